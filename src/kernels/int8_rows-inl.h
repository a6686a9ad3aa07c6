// The integer product of 16 weight rows with one row of activations, straight from the rows' bytes: what
// packing saves for many columns, it costs for few. The same arithmetic as panel.h, bit for bit. Included by one
// file per instruction set; `Isa` is that of int8_multiply-inl.h and has besides, for rows in sets of kLanes:
//   rows16(rows, set, j, offset): block b of 128 bits is the 16 bytes at `offset` of row set * kLanes + 4 * b + j,
//   fields32/fields16/fields8(rows, set, offset): an unsigned field of each row of the set, in order, widened to 32
//   bits, words16/words32(rows, set, offset, w): the 32-bit words of 16 or 32 bytes of each row of the set, row by
//   row, broadcast16(bytes), and_, or_, srl(v, n), sll(v, n), xor_, add, lookup(table, codes),
//   min_bytes, low_halves(a, b), high_halves: the lower (upper) 64 bits of each block of a, then of b,
//   bytes(uint8_t), from_bits, half_to_float(low 16 bits of each lane), transpose(w[4]): 32-bit word i of the four
//   → row by row in w[i], row_sums(a[4]): the sums of the four words of each block, row by row. small_dot: dot for
//   w in [0, 127], also where dot takes w as signed.

#pragma once

#include <cstddef>

#include "kernels/int8_formats_32-inl.h"
#include "kernels/int8_formats_k-inl.h"

namespace exo::kernels {
namespace {

// What a product asks for, a part with each group.
class RowsAsked {
 public:
  explicit RowsAsked(const RowsProduct& p)
      : near_(p.ahead.near, p.ahead.near_bytes, p.groups),
        far_(p.ahead.far, p.ahead.far_bytes, p.groups),
        pieces_(p.ahead.near_bytes == 0),
        piece_bytes_(p.rows.stride * kGroupsPerSuper / p.groups) {}
  EXO_INLINE void step(const PanelRows& rows, int64_t first, int64_t g) {
    if (pieces_) {
      const int64_t next = (first / kGroupsPerSuper + 1) * piece_bytes_;
      for (int64_t r = 2 * g; r < 2 * g + 2; ++r) {
        for (int64_t at = 0; at < piece_bytes_ + 63; at += 64) __builtin_prefetch(rows.row(r) + next + at, 0, 3);
      }
    }
    near_.step();
    far_.step();
  }

 private:
  AskedLines<CacheLevel::kFirst> near_;
  AskedLines<CacheLevel::kSecond> far_;
  bool pieces_;
  int64_t piece_bytes_;  // of a super-block of a row
};

// sums[h]: Σ q_w · q_x of group g (or of its halves) for each row of the set. By quarters: a vector holds 16 bytes
// of several rows.
template <typename Isa, typename Format>
EXO_INLINE void sums_by_quarters(const PanelRows& rows, int set, int64_t first, int64_t g, const ActivationBlock& x,
                                 typename Isa::I* sums) {
  using I = typename Isa::I;
  const auto dot = [](I sum, I w, I xv) {
    return Format::kSmall ? Isa::small_dot(sum, w, xv) : Isa::dot(sum, w, xv);
  };
  I parts[2][4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    I low, high;
    Format::load(rows, set, j, first, g, &low, &high);
    const auto* q = x.q + kGroup * g;
    const I low_sum = dot(Isa::zero(), low, Isa::broadcast16(q)), x_high = Isa::broadcast16(q + 16);
    parts[0][j] = Format::kHalf ? low_sum : dot(low_sum, high, x_high);
    if constexpr (Format::kHalf) parts[1][j] = dot(Isa::zero(), high, x_high);
  }
  sums[0] = Isa::row_sums(parts[0]);
  if constexpr (Format::kHalf) sums[1] = Isa::row_sums(parts[1]);
}

// By halves: a vector holds all 32 bytes of two rows, where the instruction set has such vectors and the format
// stores them so.
template <typename Isa, typename Format>
EXO_INLINE typename Isa::I sum_by_halves(const PanelRows& rows, int64_t first, int64_t g,
                                         const ActivationBlock& x) {
  typename Isa::I parts[8];
#pragma GCC unroll 8
  for (int k = 0; k < 8; ++k) {
    parts[k] = Isa::dot(Isa::zero(), Format::load_two(rows, k, first, g), Isa::broadcast32(x.q + kGroup * g));
  }
  return Isa::row_sums_of_halves(parts);
}

// kCount: 8, so that bytes shared by several groups are loaded once; 0: `some`.
template <typename Isa, typename Format, int kCount>
void rows_product(const PanelRows rows, RowsAsked& to_ask, int64_t first, int64_t some, const ActivationBlock& x,
                  float* y) {
  RowsAsked asked = to_ask;  // a copy that no pointer leads to, so that bytes of several groups are loaded once
  using I = typename Isa::I;
  using F = typename Isa::F;
  constexpr int kHalves = Format::kHalf ? 2 : 1;
  const int64_t count = kCount > 0 ? kCount : some;
  RowScales scales;
  for (int set = 0; set < kPanelRows / Isa::kLanes; ++set) {
    const int lane = set * Isa::kLanes;
    Format::scales(rows, set, first, count, scales);
    F total = Isa::load_f(y + lane);
#pragma GCC unroll 8
    for (int64_t g = 0; g < count; ++g) {
      if (set == 0) asked.step(rows, first, g);
      I sums[kHalves];
      if constexpr (requires {
                      Isa::two_rows32;
                      Format::load_two;
                    }) {
        sums[0] = sum_by_halves<Isa, Format>(rows, first, g, x);
      } else {
        sums_by_quarters<Isa, Format>(rows, set, first, g, x, sums);
      }
      for (int h = 0; h < kHalves; ++h) {
        I sum = sums[h];
        if constexpr (Format::kBiasShift < 31 && (Format::kSmall || Isa::kUnsigned)) {
          const int32_t bias = kHalves == 2 ? x.half_bias[2 * g + h] : x.bias[g];
          sum = Isa::add(sum, Isa::broadcast(bias >> Format::kBiasShift));  // a multiple of 128: exact
        }
        const F scale = Isa::mul(Isa::load_f(scales.scale[g][h] + lane), Isa::broadcast_f(x.scale[g]));
        total = Isa::fma(Isa::to_float(sum), scale, total);
        if constexpr (Format::kMin) {
          static_assert(!Format::kHalf);
          total = Isa::fnma(Isa::load_f(scales.min[g][h] + lane), Isa::broadcast_f(x.scaled_sum[g]), total);
        }
      }
    }
    Isa::store_f(y + lane, total);
  }
  to_ask = asked;
}

template <typename Isa, typename Format>
void rows_product(const PanelRows& rows, RowsAsked& asked, int64_t first, int64_t count, const ActivationBlock& x,
                  float* y) {
  if (count == kGroupsPerSuper) {
    rows_product<Isa, Format, kGroupsPerSuper>(rows, asked, first, count, x, y);
  } else {
    rows_product<Isa, Format, 0>(rows, asked, first, count, x, y);
  }
}

}  // namespace
}  // namespace exo::kernels
