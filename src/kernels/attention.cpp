// Attention over one chunk of positions: scores, online softmax (Milakov and Gimelshein 2018), weighted values.
// What is computed for a row does not depend on the rows beside it.
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cpp"
#include <cmath>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/kernel_table.h"
#include "kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace exo::kernels {
namespace HWY_NAMESPACE {

template <int R>
HWY_INLINE void score_rows(const float* HWY_RESTRICT q, int64_t q_stride, const float* HWY_RESTRICT k,
                           int64_t k_stride, int n, int64_t dim, float* HWY_RESTRICT s) {
  int j = 0;
  for (; j + 2 <= n; j += 2) {
    V a[R], b[R];
    for (int r = 0; r < R; ++r) a[r] = b[r] = hn::Zero(d);
    for (int64_t i = 0; i < dim; i += kLanes) {
      const V ka = hn::LoadU(d, k + j * k_stride + i), kb = hn::LoadU(d, k + (j + 1) * k_stride + i);
      for (int r = 0; r < R; ++r) {
        const V v = hn::LoadU(d, q + r * q_stride + i);
        a[r] = hn::MulAdd(v, ka, a[r]);
        b[r] = hn::MulAdd(v, kb, b[r]);
      }
    }
    for (int r = 0; r < R; ++r) {
      s[r * kAttentionChunk + j] = sum(a[r]);
      s[r * kAttentionChunk + j + 1] = sum(b[r]);
    }
  }
  for (; j < n; ++j) {
    for (int r = 0; r < R; ++r) {
      V a = hn::Zero(d);
      for (int64_t i = 0; i < dim; i += kLanes) {
        a = hn::MulAdd(hn::LoadU(d, q + r * q_stride + i), hn::LoadU(d, k + j * k_stride + i), a);
      }
      s[r * kAttentionChunk + j] = sum(a);
    }
  }
}

void scores(const float* q, int64_t q_stride, int rows, const float* k, int64_t k_stride, int n, int64_t dim,
            float* s) {
  int r = 0;
  for (; r + 4 <= rows; r += 4)
    score_rows<4>(q + r * q_stride, q_stride, k, k_stride, n, dim, s + r * kAttentionChunk);
  for (; r < rows; ++r) score_rows<1>(q + r * q_stride, q_stride, k, k_stride, n, dim, s + r * kAttentionChunk);
}

float softmax_step(float* s, int begin, int end, float& maximum, float& total) {
  float largest = maximum;
  for (int j = begin; j < end; ++j) largest = HWY_MAX(largest, s[j]);
  for (int j = 0; j < begin; ++j) s[j] = -1e30f;
  for (int j = end; j < kAttentionChunk; ++j) s[j] = -1e30f;
  const V m = hn::Set(d, largest), floor = hn::Set(d, -87.0f);
  V chunk = hn::Zero(d);
  for (int64_t j = 0; j < kAttentionChunk; j += kLanes) {
    const V x = hn::Sub(hn::LoadU(d, s + j), m);
    const V p = hn::IfThenElseZero(hn::Gt(x, floor), exp(x));
    chunk = hn::Add(chunk, p);
    hn::StoreU(p, d, s + j);
  }
  const float factor = maximum == largest ? 1.0f : std::exp(maximum - largest);
  total = total * factor + sum(chunk);
  maximum = largest;
  return factor;
}

template <int R, int N>
HWY_INLINE void mix_tile(const float* HWY_RESTRICT p, const float* HWY_RESTRICT factor, const float* HWY_RESTRICT v,
                         int64_t v_stride, int n, float* HWY_RESTRICT o, int64_t o_stride) {
  V acc[R][N];
  for (int r = 0; r < R; ++r) {
    for (int i = 0; i < N; ++i) {
      acc[r][i] = hn::Mul(hn::LoadU(d, o + r * o_stride + i * kLanes), hn::Set(d, factor[r]));
    }
  }
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < N; ++i) {
      const V value = hn::LoadU(d, v + j * v_stride + i * kLanes);
      for (int r = 0; r < R; ++r) acc[r][i] = hn::MulAdd(hn::Set(d, p[r * kAttentionChunk + j]), value, acc[r][i]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int i = 0; i < N; ++i) hn::StoreU(acc[r][i], d, o + r * o_stride + i * kLanes);
  }
}

template <int R>
HWY_INLINE void mix_rows(const float* p, const float* factor, const float* v, int64_t v_stride, int n, int64_t dim,
                         float* o, int64_t o_stride) {
  int64_t i = 0;
  for (; i + 2 * kLanes <= dim; i += 2 * kLanes) mix_tile<R, 2>(p, factor, v + i, v_stride, n, o + i, o_stride);
  for (; i < dim; i += kLanes) mix_tile<R, 1>(p, factor, v + i, v_stride, n, o + i, o_stride);
}

void mix_values(const float* p, const float* factor, int rows, const float* v, int64_t v_stride, int n, int64_t dim,
                float* o, int64_t o_stride) {
  int r = 0;
  for (; r + 4 <= rows; r += 4) {
    mix_rows<4>(p + r * kAttentionChunk, factor + r, v, v_stride, n, dim, o + r * o_stride, o_stride);
  }
  for (; r < rows; ++r) {
    mix_rows<1>(p + r * kAttentionChunk, factor + r, v, v_stride, n, dim, o + r * o_stride, o_stride);
  }
}

void fill_chunk(KernelTable& table) {
  table.scores = scores;
  table.softmax_step = softmax_step;
  table.mix_values = mix_values;
}

}  // namespace HWY_NAMESPACE
}  // namespace exo::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch-inl.h"
namespace exo::kernels {
bool fill_attention(int64_t target, KernelTable& table) {
  EXO_DISPATCH(target, fill_chunk(table))
  return false;
}
}  // namespace exo::kernels
#endif
