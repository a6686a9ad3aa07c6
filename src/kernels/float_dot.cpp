// Dot products of f32 activations with F32, F16 and BF16 weights, and conversions between these formats.
//
// Every dot is summed alike, whatever tile it is computed in: vectors 0, 2, 4… of the row in one chain, 1, 3, 5… in
// the other, what is left of the row in the first, then the two are added and the lanes summed.
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/float_dot.cpp"
#include <type_traits>

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

template <typename T>
struct Operands {
  const T* w;
  int64_t w_stride;
  const float* x;
  int64_t x_stride, n;
  float* out;
  int64_t out_stride;

  Operands at(int64_t r, int64_t c) const {
    return {w + r * w_stride, w_stride, x + c * x_stride, x_stride, n, out + c * out_stride + r, out_stride};
  }
};

// The end of a row: what is left after the last pair of vectors.
template <typename T>
HWY_INLINE V add_tail(const T* w, const float* x, int64_t n, V even) {
  for (int64_t k = n / (2 * kLanes) * (2 * kLanes); k < n; k += kLanes) {
    const int64_t count = HWY_MIN(kLanes, n - k);
    even = hn::MulAdd(load_tail(w + k, count), load_part(x + k, count), even);
  }
  return even;
}

// One row by C columns, both chains at once. For few columns: memory is the limit, and row after row is one stream.
template <int C, typename T>
HWY_INLINE void dot_row(const Operands<T>& o) {
  V even[C], odd[C];
  for (int c = 0; c < C; ++c) even[c] = odd[c] = hn::Zero(d);
  for (int64_t k = 0; k + 2 * kLanes <= o.n; k += 2 * kLanes) {
    const V a = load(o.w + k), b = load(o.w + k + kLanes);
    for (int c = 0; c < C; ++c) {
      even[c] = hn::MulAdd(a, load(o.x + c * o.x_stride + k), even[c]);
      odd[c] = hn::MulAdd(b, load(o.x + c * o.x_stride + k + kLanes), odd[c]);
    }
  }
  for (int c = 0; c < C; ++c) {
    o.out[c * o.out_stride] = sum(hn::Add(add_tail(o.w, o.x + c * o.x_stride, o.n, even[c]), odd[c]));
  }
}

constexpr int64_t kFewColumns = 3;

template <typename T>
void dot_few(const Operands<T>& o, int64_t n_rows, int64_t n_columns) {
  for (int64_t r = 0; r < n_rows; ++r) {
    if (n_columns == 1) dot_row<1>(o.at(r, 0));
    if (n_columns == 2) dot_row<2>(o.at(r, 0));
    if (n_columns == 3) dot_row<3>(o.at(r, 0));
  }
}

// What the blocked product keeps in the first-level cache: a piece of 12 columns of x and the chains of 16 rows.
constexpr int64_t kBlockColumns = 12, kBlockRows = 16, kPiece = 512;
constexpr int64_t kTileRows = HWY_TARGET == HWY_AVX3 ? 4 : 2;

// One chain (that from `begin`, every second vector) of R rows by C columns, continued from and kept in `chains`,
// whose rows are kBlockColumns apart.
template <int R, int C, typename T>
HWY_INLINE void chain_tile(const Operands<T>& o, int64_t begin, int64_t end, bool first,
                           float* HWY_RESTRICT chains) {
  V total[R][C];
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) {
      total[r][c] = first ? hn::Zero(d) : hn::LoadU(d, chains + (r * kBlockColumns + c) * kLanes);
    }
  }
  for (int64_t k = begin; k < end; k += 2 * kLanes) {
    V w[R];
    for (int r = 0; r < R; ++r) w[r] = load(o.w + r * o.w_stride + k);
    for (int c = 0; c < C; ++c) {
      const V x = load(o.x + c * o.x_stride + k);
      for (int r = 0; r < R; ++r) total[r][c] = hn::MulAdd(w[r], x, total[r][c]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int c = 0; c < C; ++c) hn::StoreU(total[r][c], d, chains + (r * kBlockColumns + c) * kLanes);
  }
}

template <int R, typename T>
HWY_INLINE void chain_columns(const Operands<T>& o, int64_t n_columns, int64_t begin, int64_t end, bool first,
                              float* chains) {
  int64_t c = 0;
  for (; c + 6 <= n_columns; c += 6) chain_tile<R, 6>(o.at(0, c), begin, end, first, chains + c * kLanes);
  for (; c + 3 <= n_columns; c += 3) chain_tile<R, 3>(o.at(0, c), begin, end, first, chains + c * kLanes);
  for (; c < n_columns; ++c) chain_tile<R, 1>(o.at(0, c), begin, end, first, chains + c * kLanes);
}

// Up to kBlockRows rows by kBlockColumns columns.
template <typename T>
void dot_block(const Operands<T>& o, int64_t n_rows, int64_t n_columns) {
  HWY_ALIGN float chains[2][kBlockRows * kBlockColumns * kLanes];
  const int64_t pairs_end = o.n / (2 * kLanes) * (2 * kLanes);
  for (int64_t begin = 0; begin < HWY_MAX(pairs_end, 1); begin += kPiece) {
    const int64_t end = HWY_MIN(begin + kPiece, pairs_end);
    for (int64_t r = 0; r < n_rows;) {
      const bool whole = r + kTileRows <= n_rows;
      for (int parity = 0; parity < 2; ++parity) {
        float* at = chains[parity] + r * kBlockColumns * kLanes;
        const int64_t from = begin + parity * kLanes;
        if (whole) {
          chain_columns<kTileRows>(o.at(r, 0), n_columns, from, end, begin == 0, at);
        } else {
          chain_columns<1>(o.at(r, 0), n_columns, from, end, begin == 0, at);
        }
      }
      r += whole ? kTileRows : 1;
    }
  }
  for (int64_t r = 0; r < n_rows; ++r) {
    for (int64_t c = 0; c < n_columns; ++c) {
      const int64_t at = (r * kBlockColumns + c) * kLanes;
      const V even = add_tail(o.w + r * o.w_stride, o.x + c * o.x_stride, o.n, hn::LoadU(d, chains[0] + at));
      o.out[c * o.out_stride + r] = sum(hn::Add(even, hn::LoadU(d, chains[1] + at)));
    }
  }
}

template <typename T>
void dot_rows(const Operands<T>& o, int64_t n_rows, int64_t n_columns) {
  if (n_columns <= kFewColumns) return dot_few(o, n_rows, n_columns);
  for (int64_t c = 0; c < n_columns; c += kBlockColumns) {
    for (int64_t r = 0; r < n_rows; r += kBlockRows) {
      dot_block(o.at(r, c), HWY_MIN(kBlockRows, n_rows - r), HWY_MIN(kBlockColumns, n_columns - c));
    }
  }
}

void dot(ElementType type, const std::byte* w, int64_t w_stride_bytes, int64_t n_rows, const float* x,
         int64_t x_stride, int64_t n_columns, int64_t n, float* out, int64_t out_stride) {
  const auto run = [&](auto* rows) HWY_ATTR {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(rows)>>;
    const int64_t stride = w_stride_bytes / static_cast<int64_t>(sizeof(T));
    dot_rows(Operands<T>{rows, stride, x, x_stride, n, out, out_stride}, n_rows, n_columns);
  };
  if (type == ElementType::kF32) return run(reinterpret_cast<const float*>(w));
  if (type == ElementType::kF16) return run(reinterpret_cast<const hwy::float16_t*>(w));
  run(reinterpret_cast<const hwy::bfloat16_t*>(w));
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
    case ElementType::kF16:
      return widen_row(reinterpret_cast<const hwy::float16_t*>(from), to, n);
    case ElementType::kBF16:
      return widen_row(reinterpret_cast<const hwy::bfloat16_t*>(from), to, n);
    case ElementType::kQ8_0:
      return widen_q8(reinterpret_cast<const BlockQ8_0*>(from), to, n);
    default:
      std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
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
