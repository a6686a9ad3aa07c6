// Dot products of f32 activations with F32, F16 and BF16 weights, and conversions between these formats.
//
// Every dot is summed alike, whatever tile it is computed in: vectors 0, 2, 4… of the row in one chain, 1, 3, 5… in the
// other, what is left of the row in the first, then the two are added and the lanes summed.
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/float_dot.cpp"
#include "hwy/foreach_target.h"

#include "hwy/highway.h"
#include "kernels/blocks.h"
#include "kernels/half.h"
#include "kernels/kernel_table.h"
#include "kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace exo::kernels {
namespace HWY_NAMESPACE {

constexpr hn::Rebind<hwy::float16_t, D> df16;
constexpr hn::Rebind<hwy::bfloat16_t, D> dbf16;
constexpr hn::Rebind<uint16_t, D> du16;

HWY_INLINE V load(const float* p) { return hn::LoadU(d, p); }
// Highway's own conversion where the processor has none turns infinities into 65536.
constexpr bool kNativeHalf = HWY_TARGET <= HWY_AVX2 || HWY_TARGET == HWY_NEON;

HWY_INLINE V load(const hwy::float16_t* p) {
  if constexpr (kNativeHalf) return hn::PromoteTo(d, hn::LoadU(df16, p));
  return half_to_float(hn::PromoteTo(d32, hn::LoadU(du16, reinterpret_cast<const uint16_t*>(p))));
}
HWY_INLINE V load(const hwy::bfloat16_t* p) {
  const auto half = hn::LoadU(du16, reinterpret_cast<const uint16_t*>(p));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, half)));
}

template <typename T>
HWY_INLINE V load_tail(const T* p, int64_t count) {
  HWY_ALIGN T buffer[kLanes] = {};
  std::memcpy(static_cast<void*>(buffer), static_cast<const void*>(p), static_cast<size_t>(count) * sizeof(T));
  return load(buffer);
}

// R rows by C columns.
template <int R, int C, typename T>
HWY_INLINE void dot_tile(const T* HWY_RESTRICT w, int64_t w_stride, const float* HWY_RESTRICT x, int64_t x_stride,
                         int64_t n, float* HWY_RESTRICT out, int64_t out_stride) {
  V even[R][C], odd[R][C];
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) even[r][c] = odd[r][c] = hn::Zero(d);
  }
  int64_t k = 0;
  for (; k + 2 * kLanes <= n; k += 2 * kLanes) {
    V a[C], b[C];
    for (int c = 0; c < C; ++c) {
      a[c] = load(x + c * x_stride + k);
      b[c] = load(x + c * x_stride + k + kLanes);
    }
    for (int r = 0; r < R; ++r) {
      const V wa = load(w + r * w_stride + k), wb = load(w + r * w_stride + k + kLanes);
      for (int c = 0; c < C; ++c) {
        even[r][c] = hn::MulAdd(wa, a[c], even[r][c]);
        odd[r][c] = hn::MulAdd(wb, b[c], odd[r][c]);
      }
    }
  }
  for (; k < n; k += kLanes) {
    const int64_t count = HWY_MIN(kLanes, n - k);
    for (int r = 0; r < R; ++r) {
      const V wa = load_tail(w + r * w_stride + k, count);
      for (int c = 0; c < C; ++c) even[r][c] = hn::MulAdd(wa, load_part(x + c * x_stride + k, count), even[r][c]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) out[c * out_stride + r] = sum(hn::Add(even[r][c], odd[r][c]));
  }
}

constexpr int kTileColumns = 3;
constexpr int kTileRows = HWY_TARGET <= HWY_AVX3 && HWY_MAX_BYTES == 64 ? 4 : 2;

// All columns for R rows.
template <int R, typename T>
HWY_INLINE void dot_columns(const T* w, int64_t w_stride, const float* x, int64_t x_stride, int64_t n_columns,
                            int64_t n, float* out, int64_t out_stride) {
  int64_t c = 0;
  for (; c + kTileColumns <= n_columns; c += kTileColumns) {
    dot_tile<R, kTileColumns>(w, w_stride, x + c * x_stride, x_stride, n, out + c * out_stride, out_stride);
  }
  if (n_columns - c == 2) dot_tile<R, 2>(w, w_stride, x + c * x_stride, x_stride, n, out + c * out_stride, out_stride);
  if (n_columns - c == 1) dot_tile<R, 1>(w, w_stride, x + c * x_stride, x_stride, n, out + c * out_stride, out_stride);
}

template <typename T>
void dot_rows(const T* w, int64_t w_stride, int64_t n_rows, const float* x, int64_t x_stride, int64_t n_columns,
              int64_t n, float* out, int64_t out_stride) {
  int64_t r = 0;
  // Few columns: memory is the limit, and one row after the other is one stream.
  if (n_columns > kTileColumns) {
    for (; r + kTileRows <= n_rows; r += kTileRows) {
      dot_columns<kTileRows>(w + r * w_stride, w_stride, x, x_stride, n_columns, n, out + r, out_stride);
    }
  }
  for (; r < n_rows; ++r) dot_columns<1>(w + r * w_stride, w_stride, x, x_stride, n_columns, n, out + r, out_stride);
}

void dot(ElementType type, const std::byte* w, int64_t w_stride_bytes, int64_t n_rows, const float* x,
         int64_t x_stride, int64_t n_columns, int64_t n, float* out, int64_t out_stride) {
  const int64_t half_stride = w_stride_bytes / 2;
  if (type == ElementType::kF32) {
    dot_rows(reinterpret_cast<const float*>(w), w_stride_bytes / 4, n_rows, x, x_stride, n_columns, n, out,
             out_stride);
  } else if (type == ElementType::kF16) {
    dot_rows(reinterpret_cast<const hwy::float16_t*>(w), half_stride, n_rows, x, x_stride, n_columns, n, out,
             out_stride);
  } else {
    dot_rows(reinterpret_cast<const hwy::bfloat16_t*>(w), half_stride, n_rows, x, x_stride, n_columns, n, out,
             out_stride);
  }
}

template <typename T>
HWY_INLINE void widen_row(const T* from, float* to, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(load(from + i), d, to + i);
  if (i < n) store_part(load_tail(from + i, n - i), to + i, n - i);
}

void widen_q8(const BlockQ8_0* blocks, float* to, int64_t n) {
  const hn::Rebind<int8_t, D> d8;
  const hn::RebindToSigned<D> di;
  for (int64_t b = 0; b < n / kGroup; ++b) {
    const V scale = hn::Set(d, f16_to_f32(blocks[b].d));
    for (int64_t i = 0; i < kGroup; i += kLanes) {
      const auto q = hn::PromoteTo(di, hn::LoadU(d8, blocks[b].q + i));
      hn::StoreU(hn::Mul(scale, hn::ConvertTo(d, q)), d, to + b * kGroup + i);
    }
  }
}

void widen(ElementType type, const std::byte* from, float* to, int64_t n) {
  switch (type) {
    case ElementType::kF16: return widen_row(reinterpret_cast<const hwy::float16_t*>(from), to, n);
    case ElementType::kBF16: return widen_row(reinterpret_cast<const hwy::bfloat16_t*>(from), to, n);
    case ElementType::kQ8_0: return widen_q8(reinterpret_cast<const BlockQ8_0*>(from), to, n);
    default: std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
  }
}

void narrow_f16(const float* from, uint16_t* to, int64_t n) {
  int64_t i = 0;
  for (; kNativeHalf && i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::DemoteTo(df16, hn::LoadU(d, from + i)), df16, reinterpret_cast<hwy::float16_t*>(to + i));
  }
  for (; i < n; ++i) to[i] = f32_to_f16(from[i]);
}

void fill_dot(KernelTable& table) {
  table.dot = dot;
  table.widen = widen;
  table.narrow_f16 = narrow_f16;
}

}  // namespace HWY_NAMESPACE
}  // namespace exo::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch-inl.h"
namespace exo::kernels {
bool fill_float_dot(int64_t target, KernelTable& table) {
  EXO_DISPATCH(target, fill_dot(table))
  return false;
}
}  // namespace exo::kernels
#endif
