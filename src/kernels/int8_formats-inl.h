// What the integer products straight from the rows' bytes need to know of a format, and what formats share.
// Included by one file per instruction set.

#pragma once

#include <cstddef>
#include <cstring>

#include "kernels/blocks.h"
#include "kernels/int8_multiply.h"

namespace exo::kernels {
namespace {

// What the product needs to know of a format:
//   kHalf, kMin: as PanelKind;  kSmall: its integers are in [0, 127], and kBiasShift turns an activation's bias
//   (-128 times its sum) into what makes up for the offset of the integers (31: none);
//   kTogether: groups that share bytes;
//   load(...): elements 0…15 and 16…31 of group g of the rows that rows16 names, where one column is multiplied so;
//   words(...): elements 4k…4k + 3 of group start + i in w[k], row by row;  scales(...).
template <typename Isa>
struct Nibbles {  // of blocks of 32 with 16 bytes of nibbles
  using I = typename Isa::I;
  EXO_INLINE static void split(I bytes, I* low, I* high) {
    const I mask = Isa::bytes(0x0f);
    *low = Isa::and_(bytes, mask);
    *high = Isa::and_(Isa::srl(bytes, 4), mask);
  }
};

// words(...) of formats whose groups are 16 bytes on their own, each with a part of two elements.
template <typename Isa, typename Format>
EXO_INLINE void split_words(const PanelRows& rows, int set, int64_t offset, typename Isa::I* w) {
  typename Isa::I bytes[4];
  Isa::words16(rows, set, offset, bytes);
  for (int i = 0; i < 4; ++i) Format::split(bytes[i], &w[i], &w[4 + i]);
}

// The halves at the starts of blocks of kBlock bytes.
template <typename Isa, int64_t kBlock>
EXO_INLINE void half_scales(const PanelRows& rows, int set, int64_t first, int64_t count, RowScales& to) {
  typename Isa::F halves[kGroupsPerSuper];
  if (count < kGroupsPerSuper || !Isa::template halves_of_8_blocks<kBlock>(rows, set, first * kBlock, halves)) {
    for (int64_t g = 0; g < count; ++g) {
      halves[g] = Isa::half_to_float(Isa::fields16(rows, set, (first + g) * kBlock));
    }
  }
  for (int64_t g = 0; g < count; ++g) Isa::store_f(to.scale[g][0] + set * Isa::kLanes, halves[g]);
}

// Scale d and minimum m side by side as 16 bits each: an element is d * q + m.
template <typename Isa>
struct HalfPair {
  using I = typename Isa::I;
  EXO_INLINE static auto scale(I both) { return Isa::half_to_float(both); }
  EXO_INLINE static auto min(I both) { return Isa::half_to_float(Isa::srl(both, 16)); }
};
template <typename Isa>
struct BfloatPair {
  using I = typename Isa::I;
  EXO_INLINE static auto scale(I both) { return Isa::from_bits(Isa::sll(both, 16)); }
  EXO_INLINE static auto min(I both) { return Isa::from_bits(Isa::and_(both, Isa::broadcast(-0x10000))); }
};

// The pairs at the starts of blocks of kBlock bytes, whose integers were given less kCentre.
template <typename Isa, typename Pair, int64_t kBlock, int kCentre = 0>
EXO_INLINE void pair_scales(const PanelRows& rows, int set, int64_t first, int64_t count, RowScales& to) {
  const int lane = set * Isa::kLanes;
  typename Isa::I pairs[kGroupsPerSuper];
  if (count < kGroupsPerSuper || !Isa::template dwords_of_8_blocks<kBlock>(rows, set, first * kBlock, pairs)) {
    for (int64_t g = 0; g < count; ++g) pairs[g] = Isa::fields32(rows, set, (first + g) * kBlock);
  }
  for (int64_t g = 0; g < count; ++g) {
    const typename Isa::I both = pairs[g];
    const typename Isa::F scale = Pair::scale(both);
    typename Isa::F min = Pair::min(both);
    if constexpr (kCentre > 0) min = Isa::fma(Isa::broadcast_f(kCentre), scale, min);
    Isa::store_f(to.scale[g][0] + lane, scale);
    Isa::store_f(to.min[g][0] + lane, Isa::negate(min));
  }
}

// Codes of 4 bits for values of a table.
template <typename Isa, typename Block, const int8_t* kValues>
struct RowsTable {
  using I = typename Isa::I;
  static constexpr bool kHalf = false, kMin = false, kSmall = false;
  static constexpr int kBiasShift = 0, kTogether = 1;
  static constexpr int64_t kBlock = sizeof(Block);
  EXO_INLINE static I table() {
    uint8_t values[16];
    for (int i = 0; i < 16; ++i) values[i] = static_cast<uint8_t>(kValues[i] + (Isa::kUnsigned ? 128 : 0));
    return Isa::broadcast16(values);
  }
  EXO_INLINE static void split(I bytes, I* low, I* high) {
    Nibbles<Isa>::split(bytes, low, high);
    *low = Isa::lookup(table(), *low);
    *high = Isa::lookup(table(), *high);
  }
};

}  // namespace
}  // namespace exo::kernels
