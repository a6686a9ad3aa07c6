// The integer product of 16 weight rows with a few rows of activations, straight from the rows' bytes: each vector
// of weights is unpacked and turned in registers, used for all columns, and forgotten. The same arithmetic as
// panel.h, bit for bit. Included by one file per instruction set, after int8_rows-inl.h, whose formats it reads.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "kernels/int8_rows-inl.h"
#include "kernels/int8_runs-inl.h"

namespace exo::kernels {
namespace {

// What a sum of products starts from, for each group or half-group of each column: makes up for the offset of
// unsigned weights.
template <typename Format, int kColumns>
struct alignas(64) Starts {
  static constexpr int kCount = Format::kHalf ? 2 * kGroupsPerSuper : kGroupsPerSuper;
  int32_t at[kColumns][kCount];
  explicit Starts(const ActivationBlock* x) {
    for (int c = 0; c < kColumns; ++c) {
      const int32_t* bias = Format::kHalf ? x[c].half_bias : x[c].bias;
      for (int i = 0; i < kCount; ++i) at[c][i] = bias[i] >> Format::kBiasShift;  // a multiple of 128: exact
    }
  }
};

// Sums of group g in the two halves of `dot`: apart where each half has its scale, and for few columns, since a
// chain of eight products takes longer than the products of other columns hide.
template <typename Isa, typename Format, int kColumns>
inline constexpr bool kApart = Format::kHalf || kColumns <= Isa::kApartColumns;

template <typename Isa, typename Format, int kColumns>
EXO_INLINE void multiply_group(const typename Isa::I (&w)[8], const ActivationBlock* x, int64_t g,
                               typename Isa::I (&dot)[2][kColumns]) {
  using I = typename Isa::I;
  constexpr bool kTwo = kApart<Isa, Format, kColumns>;
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const int half = kTwo ? i % 2 : 0, k = kTwo ? i % 2 * 4 + i / 2 : i;
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      int32_t four;
      std::memcpy(&four, x[c].q + kGroup * g + 4 * k, 4);
      const I xv = Isa::broadcast(four);
      I& sum = dot[half][c];
      sum = Format::kSmall ? Isa::small_dot(sum, w[k], xv) : Isa::dot(sum, w[k], xv);
    }
  }
}

template <typename Isa, typename Format, int kColumns>
EXO_INLINE void scale_sums(const RowScales& scales, int lane, int64_t g, int h, const ActivationBlock* x,
                           const typename Isa::I (&dot)[kColumns], typename Isa::F (&total)[kColumns]) {
  using F = typename Isa::F;
  const F scale = Isa::load_f(scales.scale[g][h] + lane);
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
    total[c] = Isa::fma(Isa::to_float(dot[c]), Isa::mul(scale, Isa::broadcast_f(x[c].scale[g])), total[c]);
    if constexpr (Format::kMin) {
      const float sum = Format::kHalf ? x[c].scaled_half_sum[2 * g + h] : x[c].scaled_sum[g];
      total[c] = Isa::fnma(Isa::load_f(scales.min[g][h] + lane), Isa::broadcast_f(sum), total[c]);
    }
  }
}

// Groups [first, first + 8).
template <typename Isa, typename Format, int kColumns>
__attribute__((noinline)) void columns_product(const PanelRows rows, RowsAsked& to_ask, int64_t first,
                                               const ActivationBlock* x, float* y, int64_t y_stride) {
  RowsAsked asked = to_ask;  // a copy that no pointer leads to, so that bytes of several groups are loaded once
  using I = typename Isa::I;
  using F = typename Isa::F;
  constexpr bool kStarts = Format::kBiasShift < 31 && (Format::kSmall || Isa::kUnsigned);
  // Groups that one round of the loop computes: for many columns the code would else be longer than the processor
  // keeps decoded.
  constexpr int64_t kSpan = kColumns < 4 ? kGroupsPerSuper : Format::kTogether > 2 ? Format::kTogether : 2;
  const Starts<Format, kColumns> starts(x);
  RowScales scales;
  for (int set = 0; set < kPanelRows / Isa::kLanes; ++set) {
    const int lane = set * Isa::kLanes;
    Format::scales(rows, set, first, kGroupsPerSuper, scales);
    F total[kColumns];
    for (int c = 0; c < kColumns; ++c) total[c] = Isa::load_f(y + c * y_stride + lane);
#pragma GCC unroll 1
    for (int64_t start = 0; start < kGroupsPerSuper; start += kSpan) {
#pragma GCC unroll 8
      for (int64_t i = 0; i < kSpan; ++i) {
        const int64_t g = start + i;
        if (set == 0) asked.step(rows, first, g);
        I w[8], dot[2][kColumns];
        Format::words(rows, set, first, start, i, w);
        for (int h = 0; h < 2; ++h) {
          for (int c = 0; c < kColumns; ++c) {
            dot[h][c] = kStarts && (h == 0 || Format::kHalf)
                            ? Isa::broadcast(starts.at[c][Format::kHalf ? 2 * g + h : g])
                            : Isa::zero();
          }
        }
        multiply_group<Isa, Format, kColumns>(w, x, g, dot);
        if constexpr (!Format::kHalf && kApart<Isa, Format, kColumns>) {
          for (int c = 0; c < kColumns; ++c) dot[0][c] = Isa::add(dot[0][c], dot[1][c]);
        }
        scale_sums<Isa, Format, kColumns>(scales, lane, g, 0, x, dot[0], total);
        if constexpr (Format::kHalf) scale_sums<Isa, Format, kColumns>(scales, lane, g, 1, x, dot[1], total);
      }
    }
    for (int c = 0; c < kColumns; ++c) Isa::store_f(y + c * y_stride + lane, total[c]);
  }
  to_ask = asked;
}

template <typename Isa, typename Format>
void columns_product(const PanelRows& rows, RowsAsked& asked, int64_t first, const ActivationBlock* x, int64_t n,
                     float* y, int64_t y_stride) {
  for_runs<Isa::kMostStraight>(n, [&]<int kColumns>(std::integral_constant<int, kColumns>) {
    columns_product<Isa, Format, kColumns>(rows, asked, first, x, y, y_stride);
    x += kColumns, y += kColumns * y_stride;
  });
}

}  // namespace
}  // namespace exo::kernels
