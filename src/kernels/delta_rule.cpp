// One position of the gated delta rule (Yang et al. 2024) for some rows of a head's state.
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/delta_rule.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/kernel_table.h"
#include "kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace exo::kernels {
namespace HWY_NAMESPACE {

// What a row gives depends on nothing but itself, whatever R.
template <int R>
HWY_INLINE void step_rows(float* HWY_RESTRICT state, const DeltaStep& step, const float* HWY_RESTRICT values,
                          float* HWY_RESTRICT out) {
  const int64_t dim = step.dim, whole = dim / kLanes * kLanes, rest = dim - whole;
  V remembered[R], result[R];
  for (int r = 0; r < R; ++r) remembered[r] = result[r] = hn::Zero(d);
  for (int64_t i = 0; i < whole; i += kLanes) {
    const V k = hn::LoadU(d, step.key + i);
    for (int r = 0; r < R; ++r) remembered[r] = hn::MulAdd(hn::LoadU(d, state + r * dim + i), k, remembered[r]);
  }
  if (rest > 0) {
    const V k = load_part(step.key + whole, rest);
    for (int r = 0; r < R; ++r) {
      remembered[r] = hn::MulAdd(load_part(state + r * dim + whole, rest), k, remembered[r]);
    }
  }
  const V decay = hn::Set(d, step.decay);
  V delta[R];
  for (int r = 0; r < R; ++r) {
    delta[r] = hn::Set(d, (values[r] - step.decay * sum(remembered[r])) * step.beta);
  }
  for (int64_t i = 0; i < whole; i += kLanes) {
    const V k = hn::LoadU(d, step.key + i), q = hn::LoadU(d, step.query + i);
    for (int r = 0; r < R; ++r) {
      float* at = state + r * dim + i;
      const V s = hn::MulAdd(delta[r], k, hn::Mul(hn::LoadU(d, at), decay));
      hn::StoreU(s, d, at);
      result[r] = hn::MulAdd(s, q, result[r]);
    }
  }
  if (rest > 0) {
    const V k = load_part(step.key + whole, rest), q = load_part(step.query + whole, rest);
    for (int r = 0; r < R; ++r) {
      float* at = state + r * dim + whole;
      const V s = hn::MulAdd(delta[r], k, hn::Mul(load_part(at, rest), decay));
      store_part(s, at, rest);
      result[r] = hn::MulAdd(s, q, result[r]);
    }
  }
  for (int r = 0; r < R; ++r) out[r] = sum(result[r]);
}

void delta_step(float* state, const DeltaStep& step, const float* values, int64_t n_rows, float* out) {
  int64_t r = 0;
  for (; r + 4 <= n_rows; r += 4) step_rows<4>(state + r * step.dim, step, values + r, out + r);
  for (; r < n_rows; ++r) step_rows<1>(state + r * step.dim, step, values + r, out + r);
}

void fill_step(KernelTable& table) { table.delta_step = delta_step; }

}  // namespace HWY_NAMESPACE
}  // namespace exo::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch-inl.h"
namespace exo::kernels {
bool fill_delta_rule(int64_t target, KernelTable& table) {
  EXO_DISPATCH(target, fill_step(table))
  return false;
}
}  // namespace exo::kernels
#endif
