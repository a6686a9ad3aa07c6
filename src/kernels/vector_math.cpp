// Norms, activations and other elementwise loops over f32 rows.
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/vector_math.cpp"
#include <cmath>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/kernel_table.h"
#include "kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace exo::kernels {
namespace HWY_NAMESPACE {

// out[i] = f(x[i])
template <typename F>
HWY_INLINE void map(const float* x, float* out, int64_t n, F f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(f(hn::LoadU(d, x + i)), d, out + i);
  if (i < n) store_part(f(load_part(x + i, n - i)), out + i, n - i);
}

// out[i] = f(x[i], y[i])
template <typename F>
HWY_INLINE void map(const float* x, const float* y, float* out, int64_t n, F f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(f(hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, out + i);
  if (i < n) store_part(f(load_part(x + i, n - i), load_part(y + i, n - i)), out + i, n - i);
}

// Σ f(x[i]) in four chains; f(0) must be 0 where a part of a vector is left.
template <typename F>
HWY_INLINE float reduce(const float* x, int64_t n, F f) {
  V s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    s0 = f(hn::LoadU(d, x + i), s0);
    s1 = f(hn::LoadU(d, x + i + kLanes), s1);
    s2 = f(hn::LoadU(d, x + i + 2 * kLanes), s2);
    s3 = f(hn::LoadU(d, x + i + 3 * kLanes), s3);
  }
  for (; i + kLanes <= n; i += kLanes) s0 = f(hn::LoadU(d, x + i), s0);
  float rest = 0.0f;
  if (i < n) {
    HWY_ALIGN float lanes[kLanes];
    hn::Store(f(load_part(x + i, n - i), hn::Zero(d)), d, lanes);
    for (int64_t k = 0; k < n - i; ++k) rest += lanes[k];
  }
  return sum(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))) + rest;
}

HWY_INLINE float sum_squares(const float* x, int64_t n) {
  return reduce(x, n, [](V v, V s) HWY_ATTR { return hn::MulAdd(v, v, s); });
}

void sum_squares(const float* x, int64_t n, float* sums) {
  for (int64_t i = 0; i < n; i += kNormColumns) *sums++ = sum_squares(x + i, HWY_MIN(kNormColumns, n - i));
}

void rms_scale(const float* x, const float* weight, float mean, float eps, float* out, int64_t n) {
  const V factor = hn::Set(d, 1.0f / std::sqrt(mean + eps));
  if (weight) {
    map(x, weight, out, n, [=](V v, V w) HWY_ATTR { return hn::Mul(hn::Mul(v, factor), w); });
  } else {
    map(x, out, n, [=](V v) HWY_ATTR { return hn::Mul(v, factor); });
  }
}

void rms_norm(const float* x, const float* weight, float eps, float* out, int64_t n) {
  float squares = 0.0f;
  for (int64_t i = 0; i < n; i += kNormColumns) squares += sum_squares(x + i, HWY_MIN(kNormColumns, n - i));
  rms_scale(x, weight, squares / static_cast<float>(n), eps, out, n);
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* out, int64_t n) {
  const float mean = reduce(x, n, [](V v, V s) HWY_ATTR { return hn::Add(v, s); }) / static_cast<float>(n);
  const V m = hn::Set(d, mean);
  const float squares = reduce(x, n, [=](V v, V s) HWY_ATTR {
    const V c = hn::Sub(v, m);
    return hn::MulAdd(c, c, s);
  });
  const V factor = hn::Set(d, 1.0f / std::sqrt(squares / static_cast<float>(n) + eps));
  map(x, out, n, [=](V v) HWY_ATTR { return hn::Mul(hn::Sub(v, m), factor); });
  if (weight) map(out, weight, out, n, [](V v, V w) HWY_ATTR { return hn::Mul(v, w); });
  if (bias) map(out, bias, out, n, [](V v, V b) HWY_ATTR { return hn::Add(v, b); });
}

HWY_INLINE V sigmoid(V x) { return hn::Div(hn::Set(d, 1.0f), hn::Add(hn::Set(d, 1.0f), exp(hn::Neg(x)))); }
HWY_INLINE V silu(V x) { return hn::Div(x, hn::Add(hn::Set(d, 1.0f), exp(hn::Neg(x)))); }

HWY_INLINE V gelu_tanh(V x) {
  const V half = hn::Mul(hn::Set(d, 0.5f), x);
  const V cube = hn::Mul(hn::Mul(x, x), x);
  const V inner = hn::Mul(hn::Set(d, 0.79788456080286536f), hn::MulAdd(hn::Set(d, 0.044715f), cube, x));
  return hn::MulAdd(half, tanh(inner), half);
}

HWY_INLINE V gelu_erf(V x) {
  const V half = hn::Mul(hn::Set(d, 0.5f), x);
  return hn::MulAdd(half, erf(hn::Mul(x, hn::Set(d, 0.70710678118654752f))), half);
}

HWY_INLINE V relu(V x) { return hn::Max(x, hn::Zero(d)); }

constexpr float kSwishLimit = 7.0f;

HWY_INLINE V clamped_swish(V x) {
  const V limited = hn::Min(x, hn::Set(d, kSwishLimit));
  const V power = exp(hn::Mul(limited, hn::Set(d, -1.702f)));
  return hn::Div(limited, hn::Add(hn::Set(d, 1.0f), power));
}

template <typename Use>
HWY_INLINE void with_function(Function function, Use use) {
  switch (function) {
    case Function::kSilu:
      return use([](V x) HWY_ATTR { return silu(x); });
    case Function::kGeluTanh:
      return use([](V x) HWY_ATTR { return gelu_tanh(x); });
    case Function::kGeluErf:
      return use([](V x) HWY_ATTR { return gelu_erf(x); });
    case Function::kRelu:
      return use([](V x) HWY_ATTR { return relu(x); });
    case Function::kReluSquared:
      return use([](V x) HWY_ATTR { return hn::Mul(relu(x), relu(x)); });
    case Function::kClampedSwish:
      return use([](V x) HWY_ATTR { return clamped_swish(x); });
    case Function::kSigmoid:
      return use([](V x) HWY_ATTR { return sigmoid(x); });
  }
}

void apply(Function function, float* x, int64_t n) {
  with_function(function, [=](auto f) HWY_ATTR { map(x, x, n, f); });
}

void gate(Function function, const float* g, const float* up, float* out, int64_t n) {
  if (function == Function::kClampedSwish) {
    map(g, up, out, n, [](V a, V b) HWY_ATTR {
      const V limited = hn::Max(hn::Min(b, hn::Set(d, kSwishLimit)), hn::Set(d, -kSwishLimit));
      return hn::Mul(clamped_swish(a), hn::Add(limited, hn::Set(d, 1.0f)));
    });
    return;
  }
  with_function(function,
                [=](auto f) HWY_ATTR { map(g, up, out, n, [=](V a, V b) HWY_ATTR { return hn::Mul(f(a), b); }); });
}

void add(float* x, const float* y, int64_t n) {
  map(x, y, x, n, [](V a, V b) HWY_ATTR { return hn::Add(a, b); });
}

void scale(float* x, float factor, int64_t n) {
  const V f = hn::Set(d, factor);
  map(x, x, n, [=](V v) HWY_ATTR { return hn::Mul(v, f); });
}

void soft_cap(float* x, float cap, int64_t n) {
  const V c = hn::Set(d, cap), inverse = hn::Set(d, 1.0f / cap);
  map(x, x, n, [=](V v) HWY_ATTR { return hn::Mul(c, tanh(hn::Mul(v, inverse))); });
}

void rotate(float* head, const float* cos_sin, int32_t dims, bool interleaved) {
  const int32_t half = dims / 2;
  const float *cosines = cos_sin, *sines = cos_sin + half;
  if (interleaved) {
    for (int32_t i = 0; i < half; ++i) {
      const float a = head[2 * i], b = head[2 * i + 1];
      head[2 * i] = a * cosines[i] - b * sines[i];
      head[2 * i + 1] = a * sines[i] + b * cosines[i];
    }
    return;
  }
  int32_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const V a = hn::LoadU(d, head + i), b = hn::LoadU(d, head + half + i);
    const V c = hn::LoadU(d, cosines + i), s = hn::LoadU(d, sines + i);
    hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), d, head + i);
    hn::StoreU(hn::MulAdd(a, s, hn::Mul(b, c)), d, head + half + i);
  }
  for (; i < half; ++i) {
    const float a = head[i], b = head[half + i];
    head[i] = a * cosines[i] - b * sines[i];
    head[half + i] = a * sines[i] + b * cosines[i];
  }
}

// Sums of each 16 of the block's integers.
HWY_INLINE void sum_halves(const int8_t* q, int32_t* sums) {
#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR  // Highway 1.0.3 has no SumsOf8 that works for them
  for (int i = 0; i < kSuperBlockElements; ++i) sums[i / 16] = (i % 16 == 0 ? 0 : sums[i / 16]) + q[i];
#else
  // Eight bytes at a time, which are unsigned with 128 added.
  const hn::ScalableTag<uint8_t> d8;
  const hn::Repartition<uint64_t, decltype(d8)> d64;
  alignas(64) uint64_t eights[kSuperBlockElements / 8];
  for (int i = 0; i < kSuperBlockElements; i += static_cast<int>(HWY_LANES(uint8_t))) {
    const auto bytes = hn::LoadU(d8, reinterpret_cast<const uint8_t*>(q) + i);
    hn::StoreU(hn::SumsOf8(hn::Xor(bytes, hn::Set(d8, uint8_t{128}))), d64, eights + i / 8);
  }
  for (int h = 0; h < 2 * kGroupsPerSuper; ++h) {
    sums[h] = static_cast<int32_t>(eights[2 * h] + eights[2 * h + 1]) - 16 * 128;
  }
#endif
}

// What belongs to the block's integers beside them.
HWY_INLINE void describe_block(const float* largest, ActivationBlock& block) {
  int32_t half_sums[2 * kGroupsPerSuper];
  sum_halves(block.q, half_sums);
  for (int g = 0; g < kGroupsPerSuper; ++g) {
    const int32_t sum = half_sums[2 * g] + half_sums[2 * g + 1];
    block.scale[g] = largest[g] / 127.0f;
    block.bias[g] = -128 * sum;
    block.scaled_sum[g] = block.scale[g] * static_cast<float>(sum);
  }
  for (int h = 0; h < 2 * kGroupsPerSuper; ++h) {
    block.half_bias[h] = -128 * half_sums[h];
    block.scaled_half_sum[h] = block.scale[h / 2] * static_cast<float>(half_sums[h]);
  }
}

// The largest magnitude of each 32 values becomes ±127; ties to even. A group of zeros has scale 0.
HWY_INLINE void quantize_block(const float* x, int groups, ActivationBlock& block) {
  const hn::Rebind<int8_t, D> d8;
  float largest[kGroupsPerSuper] = {}, factor[kGroupsPerSuper];
  for (int g = 0; g < groups; ++g) {
    V m = hn::Zero(d);
    for (int64_t i = 0; i < kGroup; i += kLanes) m = hn::Max(m, hn::Abs(hn::LoadU(d, x + g * kGroup + i)));
    largest[g] = hn::GetLane(hn::MaxOfLanes(d, m));
  }
  for (int g = 0; g < kGroupsPerSuper; ++g) factor[g] = largest[g] == 0.0f ? 0.0f : 127.0f / largest[g];
  for (int g = 0; g < groups; ++g) {
    const V f = hn::Set(d, factor[g]);
    for (int64_t i = g * kGroup; i < (g + 1) * kGroup; i += kLanes) {
      const auto rounded = hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), f));
      hn::StoreU(hn::DemoteTo(d8, rounded), d8, block.q + i);
    }
  }
  describe_block(largest, block);
}

void restore_activations(const std::byte* const* groups, int n, ActivationBlock& out) {
  float largest[kGroupsPerSuper] = {};
  if (n < kGroupsPerSuper) std::memset(out.q, 0, sizeof out.q);
  for (int g = 0; g < n; ++g) {
    std::memcpy(&largest[g], groups[g], sizeof(float));
    std::memcpy(out.q + g * kGroup, groups[g] + sizeof(float), kGroup);
  }
  describe_block(largest, out);
}

void quantize_activations(const float* x, int64_t n, ActivationBlock* out, int64_t block_stride) {
  for (int64_t first = 0; first < n; first += kSuperBlockElements, out += block_stride) {
    const int64_t groups = HWY_MIN(kGroupsPerSuper, (n - first) / kGroup);
    if (groups < kGroupsPerSuper) std::memset(static_cast<void*>(out), 0, sizeof *out);
    quantize_block(x + first, static_cast<int>(groups), *out);
  }
}

void fill_elementwise(KernelTable& table) {
  table.rms_norm = rms_norm;
  table.sum_squares = sum_squares;
  table.rms_scale = rms_scale;
  table.layer_norm = layer_norm;
  table.apply = apply;
  table.gate = gate;
  table.add = add;
  table.scale = scale;
  table.soft_cap = soft_cap;
  table.rotate = rotate;
  table.quantize_activations = quantize_activations;
  table.restore_activations = restore_activations;
}

}  // namespace HWY_NAMESPACE
}  // namespace exo::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch-inl.h"
namespace exo::kernels {
bool fill_vector_math(int64_t target, KernelTable& table) {
  EXO_DISPATCH(target, fill_elementwise(table))
  return false;
}
}  // namespace exo::kernels
#endif
