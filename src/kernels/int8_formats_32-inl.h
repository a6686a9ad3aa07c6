// Formats of blocks of 32 elements, and NVFP4, of 64 (int8_formats-inl.h); what their fields mean is in unpack.cpp.

#pragma once

#include "kernels/int8_formats-inl.h"

namespace exo::kernels {
namespace {

template <typename Isa>
struct RowsQ4_0 : Nibbles<Isa> {
  using I = typename Isa::I;
  static constexpr bool kHalf = false, kMin = false, kSmall = true;
  static constexpr int kBiasShift = 4, kTogether = 1;
  static constexpr int64_t kBlock = sizeof(BlockQ4_0);
  EXO_INLINE static void load(const PanelRows& rows, int set, int j, int64_t first, int64_t g, I* low, I* high) {
    Nibbles<Isa>::split(Isa::rows16(rows, set, j, (first + g) * kBlock + 2), low, high);
  }
  EXO_INLINE static void words(const PanelRows& rows, int set, int64_t first, int64_t start, int64_t i, I* w) {
    split_words<Isa, RowsQ4_0>(rows, set, (first + start + i) * kBlock + 2, w);
  }
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t count, RowScales& to) {
    half_scales<Isa, kBlock>(rows, set, first, count, to);
  }
};

// Scale, minimum and nibbles.
template <typename Isa, typename Pair, typename Block>
struct RowsNibblesMin : Nibbles<Isa> {
  using I = typename Isa::I;
  static constexpr bool kHalf = false, kMin = true, kSmall = true;
  static constexpr int kBiasShift = 31, kTogether = 1;
  static constexpr int64_t kBlock = sizeof(Block);
  EXO_INLINE static void load(const PanelRows& rows, int set, int j, int64_t first, int64_t g, I* low, I* high) {
    Nibbles<Isa>::split(Isa::rows16(rows, set, j, (first + g) * kBlock + 4), low, high);
  }
  EXO_INLINE static void words(const PanelRows& rows, int set, int64_t first, int64_t start, int64_t i, I* w) {
    split_words<Isa, RowsNibblesMin>(rows, set, (first + start + i) * kBlock + 4, w);
  }
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t count, RowScales& to) {
    pair_scales<Isa, Pair, kBlock>(rows, set, first, count, to);
  }
};
template <typename Isa>
using RowsQ4_1 = RowsNibblesMin<Isa, HalfPair<Isa>, BlockQ4_1>;
template <typename Isa>
using RowsA4_BF16 = RowsNibblesMin<Isa, BfloatPair<Isa>, BlockA4>;

// Nibbles, and a fifth bit of each element i in bit i of `high`.
template <typename Isa, typename Block>
struct FiveBits {
  using I = typename Isa::I;
  static constexpr bool kHalf = false, kSmall = true;
  static constexpr int kTogether = 1;
  static constexpr int64_t kBlock = sizeof(Block), kHigh = offsetof(Block, high), kQ = offsetof(Block, q);
  // 0x10 in byte i of each block of 128 bits whose bytes [at, at + 2) have bit i.
  EXO_INLINE static I spread16(I from, int at) {
    uint8_t pick[16], bit[16];
    for (int i = 0; i < 16; ++i) {
      pick[i] = static_cast<uint8_t>(at + i / 8);
      bit[i] = static_cast<uint8_t>(1 << i % 8);
    }
    const I one = Isa::and_(Isa::lookup(from, Isa::broadcast16(pick)), Isa::broadcast16(bit));
    return Isa::sll(Isa::min_bytes(one, Isa::bytes(1)), 4);
  }
  // 0x10 in byte e of each word that has bit 4k + e.
  EXO_INLINE static I spread4(I from, int k) {
    uint8_t pick[16];
    for (int i = 0; i < 16; ++i) pick[i] = static_cast<uint8_t>(k / 2 + i / 4 * 4);
    const I byte = Isa::lookup(k % 2 == 0 ? Isa::sll(from, 4) : from, Isa::broadcast16(pick));
    return Isa::min_bytes(Isa::and_(byte, Isa::broadcast(static_cast<int32_t>(0x80402010))), Isa::bytes(0x10));
  }
  EXO_INLINE static void load(const PanelRows& rows, int set, int j, int64_t first, int64_t g, I* low, I* high) {
    const int64_t at = (first + g) * kBlock;
    const I head = Isa::rows16(rows, set, j, at);
    Nibbles<Isa>::split(Isa::rows16(rows, set, j, at + kQ), low, high);
    *low = Isa::or_(*low, spread16(head, kHigh));
    *high = Isa::or_(*high, spread16(head, kHigh + 2));
  }
  EXO_INLINE static void words(const PanelRows& rows, int set, int64_t first, int64_t start, int64_t i, I* w) {
    const int64_t at = (first + start + i) * kBlock;
    const I high = Isa::fields32(rows, set, at + kHigh);
    split_words<Isa, Nibbles<Isa>>(rows, set, at + kQ, w);
    for (int k = 0; k < 8; ++k) w[k] = Isa::or_(w[k], spread4(high, k));
  }
};

template <typename Isa>
struct RowsQ5_0 : FiveBits<Isa, BlockQ5_0> {
  static constexpr bool kMin = false;
  static constexpr int kBiasShift = 3;
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t count, RowScales& to) {
    half_scales<Isa, sizeof(BlockQ5_0)>(rows, set, first, count, to);
  }
};

template <typename Isa, typename Pair, typename Block>
struct RowsFiveBitsMin : FiveBits<Isa, Block> {
  static constexpr bool kMin = true;
  static constexpr int kBiasShift = 31;
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t count, RowScales& to) {
    pair_scales<Isa, Pair, sizeof(Block)>(rows, set, first, count, to);
  }
};
template <typename Isa>
using RowsQ5_1 = RowsFiveBitsMin<Isa, HalfPair<Isa>, BlockQ5_1>;
template <typename Isa>
using RowsA5_BF16 = RowsFiveBitsMin<Isa, BfloatPair<Isa>, BlockA5>;

template <typename Isa>
struct RowsIQ4_NL : RowsTable<Isa, BlockIQ4_NL, kIq4Values> {
  using I = typename Isa::I;
  using Base = RowsTable<Isa, BlockIQ4_NL, kIq4Values>;
  EXO_INLINE static void load(const PanelRows& rows, int set, int j, int64_t first, int64_t g, I* low, I* high) {
    Base::split(Isa::rows16(rows, set, j, (first + g) * Base::kBlock + 2), low, high);
  }
  EXO_INLINE static void words(const PanelRows& rows, int set, int64_t first, int64_t start, int64_t i, I* w) {
    split_words<Isa, Base>(rows, set, (first + start + i) * Base::kBlock + 2, w);
  }
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t count, RowScales& to) {
    RowsQ4_0<Isa>::scales(rows, set, first, count, to);
  }
};

template <typename Isa>
struct RowsMXFP4 : RowsTable<Isa, BlockMXFP4, kFp4Values> {
  using I = typename Isa::I;
  using Base = RowsTable<Isa, BlockMXFP4, kFp4Values>;
  EXO_INLINE static void load(const PanelRows& rows, int set, int j, int64_t first, int64_t g, I* low, I* high) {
    Base::split(Isa::rows16(rows, set, j, (first + g) * Base::kBlock + 1), low, high);
  }
  EXO_INLINE static void words(const PanelRows& rows, int set, int64_t first, int64_t start, int64_t i, I* w) {
    split_words<Isa, Base>(rows, set, (first + start + i) * Base::kBlock + 1, w);
  }
  // Half of two to the power e - 127; below e = 2 a number without leading one.
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t count, RowScales& to) {
    I exponents[kGroupsPerSuper];
    const bool whole = count == kGroupsPerSuper &&
                       Isa::template words_of_8_blocks<Base::kBlock>(rows, set, first * Base::kBlock, exponents);
    for (int64_t g = 0; g < count; ++g) {
      const I e = !whole       ? Isa::fields8(rows, set, (first + g) * Base::kBlock)
                  : g % 2 == 0 ? Isa::and_(exponents[g], Isa::broadcast(0xff))
                               : Isa::srl(exponents[g], 8);
      const I is_zero = Isa::srl(Isa::add(e, Isa::broadcast(-1)), 31);
      const auto twice = Isa::from_bits(Isa::or_(Isa::sll(e, 23), Isa::sll(is_zero, 22)));
      Isa::store_f(to.scale[g][0] + set * Isa::kLanes, Isa::mul(twice, Isa::broadcast_f(0.5f)));
    }
  }
};

// 32 bytes at kOffset. kFlip: they are signed where a product of unsigned ones is wanted, or the reverse.
template <typename Isa, int64_t kBlockBytes, int64_t kOffset, bool kFlip>
struct WholeBytes {
  using I = typename Isa::I;
  static constexpr bool kHalf = false, kSmall = false;
  static constexpr int kBiasShift = 0, kTogether = 1;
  static constexpr int64_t kBlock = kBlockBytes;
  EXO_INLINE static I flip(I bytes) {
    if constexpr (kFlip) bytes = Isa::xor_(bytes, Isa::bytes(0x80));
    return bytes;
  }
  EXO_INLINE static void load(const PanelRows& rows, int set, int j, int64_t first, int64_t g, I* low, I* high) {
    const int64_t at = (first + g) * kBlock + kOffset;
    *low = flip(Isa::rows16(rows, set, j, at));
    *high = flip(Isa::rows16(rows, set, j, at + 16));
  }
  EXO_INLINE static I load_two(const PanelRows& rows, int k, int64_t first, int64_t g) requires requires {
    Isa::two_rows32;
  }
  { return flip(Isa::two_rows32(rows, k, (first + g) * kBlock + kOffset)); }
  EXO_INLINE static void words(const PanelRows& rows, int set, int64_t first, int64_t start, int64_t i, I* w) {
    Isa::words32(rows, set, (first + start + i) * kBlock + kOffset, w);
    for (int k = 0; k < 8; ++k) w[k] = flip(w[k]);
  }
};

template <typename Isa>
struct RowsQ8_0 : WholeBytes<Isa, sizeof(BlockQ8_0), 2, Isa::kUnsigned> {
  static constexpr bool kMin = false;
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t count, RowScales& to) {
    half_scales<Isa, sizeof(BlockQ8_0)>(rows, set, first, count, to);
  }
};

template <typename Isa, typename Pair>
struct RowsA8 : WholeBytes<Isa, sizeof(BlockA8), 4, !Isa::kUnsigned> {
  static constexpr bool kMin = true;
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t count, RowScales& to) {
    pair_scales<Isa, Pair, sizeof(BlockA8), 128>(rows, set, first, count, to);
  }
};
template <typename Isa>
using RowsA8_BF16 = RowsA8<Isa, BfloatPair<Isa>>;
template <typename Isa>
using RowsA8_F16 = RowsA8<Isa, HalfPair<Isa>>;

// Two groups in a block, their halves' 16 elements in 8 bytes each.
template <typename Isa>
struct RowsNVFP4 : RowsTable<Isa, BlockNVFP4, kFp4Values> {
  using I = typename Isa::I;
  using Base = RowsTable<Isa, BlockNVFP4, kFp4Values>;
  static constexpr bool kHalf = true;
  EXO_INLINE static int64_t offset(int64_t group) { return group / 2 * Base::kBlock + 4 + group % 2 * 16; }
  EXO_INLINE static void load(const PanelRows& rows, int set, int j, int64_t first, int64_t g, I* low, I* high) {
    I even, odd;  // halves of 8 elements of either half-group
    Base::split(Isa::rows16(rows, set, j, offset(first + g)), &even, &odd);
    *low = Isa::low_halves(even, odd);
    *high = Isa::high_halves(even, odd);
  }
  EXO_INLINE static void words(const PanelRows& rows, int set, int64_t first, int64_t start, int64_t i, I* w) {
    I bytes[4];
    Isa::words16(rows, set, offset(first + start + i), bytes);
    for (int k = 0; k < 4; ++k) Base::split(bytes[k], &w[k / 2 * 4 + k % 2], &w[k / 2 * 4 + k % 2 + 2]);
  }
  // E4M3 without sign, halved: placed as if the exponent bias were f32's, then corrected by a product.
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t count, RowScales& to) {
    const I low_bits = Isa::broadcast(0x7f7f7f7f), ones = Isa::broadcast(0x01010101);
    for (int64_t g = 0; g < count; g += 2) {
      I four = Isa::and_(Isa::fields32(rows, set, (first + g) / 2 * Base::kBlock), low_bits);
      const I not_numbers = Isa::and_(Isa::srl(Isa::add(four, ones), 7), ones);  // 0x7f counts as 0
      four = Isa::and_(Isa::add(four, not_numbers), low_bits);
      for (int h = 0; h < 4; ++h) {
        const I placed = h < 3 ? Isa::sll(four, 20 - 8 * h) : Isa::srl(four, 4);
        const auto value = Isa::from_bits(Isa::and_(placed, Isa::broadcast(0x7f << 20)));
        Isa::store_f(to.scale[g + h / 2][h % 2] + set * Isa::kLanes, Isa::mul(value, Isa::broadcast_f(0x1p119f)));
      }
    }
  }
};

}  // namespace
}  // namespace exo::kernels
