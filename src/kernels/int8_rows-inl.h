// The integer product of 16 weight rows with one row of activations, straight from the rows' bytes: what
// packing saves for many columns, it costs for few. The same arithmetic as panel.h, bit for bit. Included by one
// file per instruction set; `Isa` is that of int8_multiply-inl.h and has besides, for rows in sets of kLanes:
//   rows16(rows, set, j, offset): block b of 128 bits is the 16 bytes at `offset` of row set * kLanes + 4 * b + j,
//   fields32/fields16/fields8(rows, set, offset): an unsigned field of each row of the set, in order, widened to 32
//   bits, words16/words32(rows, set, offset, w): the 32-bit words of 16 or 32 bytes of each row of the set, row by
//   row, broadcast16(bytes), and_, or_, srl(v, n), sll(v, n), add, lookup(table, codes), bytes(uint8_t),
//   from_bits, half_to_float(low 16 bits of each lane), transpose(w[4]): 32-bit word i of the four → row by row in
//   w[i], row_sums(a[4]): the sums of the four words of each block, row by row. small_dot: dot for w in [0, 127],
//   also where dot takes w as signed.

#pragma once

#include <cstddef>
#include <cstring>

#include "kernels/blocks.h"
#include "kernels/int8_multiply.h"

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
  const bool pieces_;
  const int64_t piece_bytes_;  // of a super-block of a row
};

// Scales and minimums of up to 8 groups of 16 rows.
struct alignas(64) RowScales {
  float scale[kGroupsPerSuper][2][kPanelRows];
  float min[kGroupsPerSuper][2][kPanelRows];
};

// What the product needs to know of a format:
//   kHalf, kMin: as PanelKind;  kSmall: its integers are in [0, 127], and kBiasShift turns an activation's bias
//   (-128 times its sum) into what makes up for the offset of the integers (31: none);
//   load(...): elements 0…15 and 16…31 of group g of the rows that rows16 names;  words(...): elements 4i…4i + 3 of
//   group g in w[i], row by row;  scales(...).
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
  typename Isa::I halves[kGroupsPerSuper];
  if (count < kGroupsPerSuper || !Isa::template words_of_8_blocks<kBlock>(rows, set, first * kBlock, halves)) {
    for (int64_t g = 0; g < count; ++g) halves[g] = Isa::fields16(rows, set, (first + g) * kBlock);
  }
  for (int64_t g = 0; g < count; ++g) {
    Isa::store_f(to.scale[g][0] + set * Isa::kLanes, Isa::half_to_float(halves[g]));
  }
}

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

template <typename Isa>
struct RowsQ4_1 : Nibbles<Isa> {
  using I = typename Isa::I;
  static constexpr bool kHalf = false, kMin = true, kSmall = true;
  static constexpr int kBiasShift = 31, kTogether = 1;
  static constexpr int64_t kBlock = sizeof(BlockQ4_1);
  EXO_INLINE static void load(const PanelRows& rows, int set, int j, int64_t first, int64_t g, I* low, I* high) {
    Nibbles<Isa>::split(Isa::rows16(rows, set, j, (first + g) * kBlock + 4), low, high);
  }
  EXO_INLINE static void words(const PanelRows& rows, int set, int64_t first, int64_t start, int64_t i, I* w) {
    split_words<Isa, RowsQ4_1>(rows, set, (first + start + i) * kBlock + 4, w);
  }
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t count, RowScales& to) {
    for (int64_t g = 0; g < count; ++g) {
      const I both = Isa::fields32(rows, set, (first + g) * kBlock);
      Isa::store_f(to.scale[g][0] + set * Isa::kLanes, Isa::half_to_float(both));
      Isa::store_f(to.min[g][0] + set * Isa::kLanes, Isa::negate(Isa::half_to_float(Isa::srl(both, 16))));
    }
  }
};

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

template <typename Isa>
struct RowsQ8_0 {
  using I = typename Isa::I;
  static constexpr bool kHalf = false, kMin = false, kSmall = false;
  static constexpr int kBiasShift = 0, kTogether = 1;
  static constexpr int64_t kBlock = sizeof(BlockQ8_0);
  EXO_INLINE static void load(const PanelRows& rows, int set, int j, int64_t first, int64_t g, I* low, I* high) {
    const int64_t at = (first + g) * kBlock + 2;
    *low = Isa::rows16(rows, set, j, at);
    *high = Isa::rows16(rows, set, j, at + 16);
    if constexpr (Isa::kUnsigned) {
      *low = Isa::xor_(*low, Isa::bytes(0x80));
      *high = Isa::xor_(*high, Isa::bytes(0x80));
    }
  }
  EXO_INLINE static I load_two(const PanelRows& rows, int k, int64_t first, int64_t g) requires requires {
    Isa::two_rows32;
  }
  { return Isa::xor_(Isa::two_rows32(rows, k, (first + g) * kBlock + 2), Isa::bytes(0x80)); }
  EXO_INLINE static void words(const PanelRows& rows, int set, int64_t first, int64_t start, int64_t i, I* w) {
    Isa::words32(rows, set, (first + start + i) * kBlock + 2, w);
    if constexpr (Isa::kUnsigned) {
      for (int k = 0; k < 8; ++k) w[k] = Isa::xor_(w[k], Isa::bytes(0x80));
    }
  }
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t count, RowScales& to) {
    half_scales<Isa, kBlock>(rows, set, first, count, to);
  }
};

// d, dmin and twelve bytes of scales and minimums at the start of a block of 256 (unpack_scales_k4).
template <typename Isa>
EXO_INLINE void scales_k4(const PanelRows& rows, int set, int64_t at, RowScales& to) {
  using I = typename Isa::I;
  I w[4];
  for (int j = 0; j < 4; ++j) w[j] = Isa::rows16(rows, set, j, at);
  Isa::transpose(w);
  const auto d = Isa::half_to_float(w[0]), dmin = Isa::half_to_float(Isa::srl(w[0], 16));
  const auto bits = [](I v, int shift, int mask) { return Isa::and_(Isa::srl(v, shift), Isa::broadcast(mask)); };
  const int lane = set * Isa::kLanes;
  for (int j = 0; j < 4; ++j) {
    const I scale = Isa::or_(bits(w[3], 8 * j, 15), Isa::sll(bits(w[1], 8 * j + 6, 3), 4));
    const I min = Isa::or_(bits(w[3], 8 * j + 4, 15), Isa::sll(bits(w[2], 8 * j + 6, 3), 4));
    Isa::store_f(to.scale[j][0] + lane, Isa::mul(d, Isa::to_float(bits(w[1], 8 * j, 63))));
    Isa::store_f(to.min[j][0] + lane, Isa::mul(dmin, Isa::to_float(bits(w[2], 8 * j, 63))));
    Isa::store_f(to.scale[4 + j][0] + lane, Isa::mul(d, Isa::to_float(scale)));
    Isa::store_f(to.min[4 + j][0] + lane, Isa::mul(dmin, Isa::to_float(min)));
  }
}

template <typename Isa>
struct RowsQ4_K {
  using I = typename Isa::I;
  static constexpr bool kHalf = false, kMin = true, kSmall = true;
  static constexpr int kBiasShift = 31, kTogether = 2;
  static constexpr int64_t kBlock = sizeof(BlockQ4_K);
  EXO_INLINE static void load(const PanelRows& rows, int set, int j, int64_t first, int64_t g, I* low, I* high) {
    const int64_t at = first / kGroupsPerSuper * kBlock + 16 + g / 2 * 32;
    const I mask = Isa::bytes(0x0f);
    const int shift = static_cast<int>(g % 2) * 4;
    *low = Isa::and_(Isa::srl(Isa::rows16(rows, set, j, at), shift), mask);
    *high = Isa::and_(Isa::srl(Isa::rows16(rows, set, j, at + 16), shift), mask);
  }
  EXO_INLINE static void words(const PanelRows& rows, int set, int64_t first, int64_t start, int64_t i, I* w) {
    Isa::words32(rows, set, first / kGroupsPerSuper * kBlock + 16 + 16 * (start + i / 2 * 2), w);
    for (int k = 0; k < 8; ++k) w[k] = Isa::and_(Isa::srl(w[k], static_cast<int>(i % 2) * 4), Isa::bytes(0x0f));
  }
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t, RowScales& to) {
    scales_k4<Isa>(rows, set, first / kGroupsPerSuper * kBlock, to);
  }
};

template <typename Isa>
struct RowsQ5_K {
  using I = typename Isa::I;
  static constexpr bool kHalf = false, kMin = true, kSmall = true;
  static constexpr int kBiasShift = 31, kTogether = 8;
  static constexpr int64_t kBlock = sizeof(BlockQ5_K);
  EXO_INLINE static I join(const PanelRows& rows, int set, int j, int64_t at, int64_t half, int64_t g) {
    const int shift = static_cast<int>(g % 2) * 4;
    const I low =
        Isa::and_(Isa::srl(Isa::rows16(rows, set, j, at + 48 + g / 2 * 32 + half), shift), Isa::bytes(0x0f));
    const I high = Isa::srl(Isa::rows16(rows, set, j, at + 16 + half), static_cast<int>(g));
    return Isa::or_(low, Isa::sll(Isa::and_(high, Isa::bytes(1)), 4));
  }
  EXO_INLINE static void load(const PanelRows& rows, int set, int j, int64_t first, int64_t g, I* low, I* high) {
    const int64_t at = first / kGroupsPerSuper * kBlock;
    *low = join(rows, set, j, at, 0, g);
    *high = join(rows, set, j, at, 16, g);
  }
  EXO_INLINE static I join(I low, I high, int64_t g) {
    const I four = Isa::and_(Isa::srl(low, static_cast<int>(g % 2) * 4), Isa::bytes(0x0f));
    const I fifth = g < 4 ? Isa::sll(high, 4 - static_cast<int>(g)) : Isa::srl(high, static_cast<int>(g) - 4);
    return Isa::or_(four, Isa::and_(fifth, Isa::bytes(0x10)));
  }
  EXO_INLINE static void words(const PanelRows& rows, int set, int64_t first, int64_t, int64_t i, I* w) {
    const int64_t at = first / kGroupsPerSuper * kBlock;
    I high[8];
    Isa::words32(rows, set, at + 16, high);
    Isa::words32(rows, set, at + 48 + i / 2 * 32, w);
    for (int k = 0; k < 8; ++k) w[k] = join(w[k], high[k], i);
  }
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t, RowScales& to) {
    scales_k4<Isa>(rows, set, first / kGroupsPerSuper * kBlock, to);
  }
};

template <typename Isa>
struct RowsQ6_K {
  using I = typename Isa::I;
  static constexpr bool kHalf = true, kMin = false, kSmall = true;
  static constexpr int kBiasShift = 2, kTogether = 4;
  static constexpr int64_t kBlock = sizeof(BlockQ6_K);
  EXO_INLINE static I join(const PanelRows& rows, int set, int j, int64_t at, int64_t half, int64_t g) {
    const int64_t h = g / 4, q = g % 4;  // half of the block; group in it
    const I low = Isa::rows16(rows, set, j, at + 64 * h + 32 * (q % 2) + half);
    const I high = Isa::rows16(rows, set, j, at + 128 + 32 * h + half);
    return Isa::or_(Isa::and_(Isa::srl(low, q / 2 * 4), Isa::bytes(0x0f)),
                    Isa::sll(Isa::and_(Isa::srl(high, static_cast<int>(2 * q)), Isa::bytes(3)), 4));
  }
  EXO_INLINE static void load(const PanelRows& rows, int set, int j, int64_t first, int64_t g, I* low, I* high) {
    const int64_t at = first / kGroupsPerSuper * kBlock;
    *low = join(rows, set, j, at, 0, g);
    *high = join(rows, set, j, at, 16, g);
  }
  EXO_INLINE static I join(I low, I high, int64_t q) {
    const I four = Isa::and_(Isa::srl(low, static_cast<int>(q / 2) * 4), Isa::bytes(0x0f));
    const I top = q < 2 ? Isa::sll(high, 4 - 2 * static_cast<int>(q)) : Isa::srl(high, 2 * static_cast<int>(q) - 4);
    return Isa::or_(four, Isa::and_(top, Isa::bytes(0x30)));
  }
  EXO_INLINE static void words(const PanelRows& rows, int set, int64_t first, int64_t start, int64_t i, I* w) {
    const int64_t at = first / kGroupsPerSuper * kBlock, half = start + i / 4 * 4;
    I high[8];
    Isa::words32(rows, set, at + 128 + 8 * half, high);
    Isa::words32(rows, set, at + 16 * half + 32 * (i % 2), w);
    for (int k = 0; k < 8; ++k) w[k] = join(w[k], high[k], i % 4);
  }
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t, RowScales& to) {
    const int64_t at = first / kGroupsPerSuper * kBlock;
    const auto d = Isa::half_to_float(Isa::fields16(rows, set, at + 208));
    I w[4];
    for (int j = 0; j < 4; ++j) w[j] = Isa::rows16(rows, set, j, at + 192);
    Isa::transpose(w);
    for (int h = 0; h < 16; ++h) {
      const I code = Isa::sra(Isa::sll(w[h / 4], 24 - 8 * (h % 4)), 24);
      Isa::store_f(to.scale[h / 2][h % 2] + set * Isa::kLanes, Isa::mul(d, Isa::to_float(code)));
    }
  }
};

template <typename Isa>
struct RowsIQ4_XS : RowsTable<Isa, BlockIQ4_XS, kIq4Values> {
  using I = typename Isa::I;
  using Base = RowsTable<Isa, BlockIQ4_XS, kIq4Values>;
  EXO_INLINE static void load(const PanelRows& rows, int set, int j, int64_t first, int64_t g, I* low, I* high) {
    const int64_t at = first / kGroupsPerSuper * Base::kBlock + 8 + 16 * g;
    Base::split(Isa::rows16(rows, set, j, at), low, high);
  }
  EXO_INLINE static void words(const PanelRows& rows, int set, int64_t first, int64_t start, int64_t i, I* w) {
    split_words<Isa, Base>(rows, set, first / kGroupsPerSuper * Base::kBlock + 8 + 16 * (start + i), w);
  }
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t, RowScales& to) {
    I w[4];
    for (int j = 0; j < 4; ++j) w[j] = Isa::rows16(rows, set, j, first / kGroupsPerSuper * Base::kBlock);
    Isa::transpose(w);
    const auto d = Isa::half_to_float(w[0]);
    for (int g = 0; g < 8; ++g) {
      const I code = Isa::or_(Isa::and_(Isa::srl(w[1], 4 * g), Isa::broadcast(15)),
                              Isa::sll(Isa::and_(Isa::srl(w[0], 16 + 2 * g), Isa::broadcast(3)), 4));
      Isa::store_f(to.scale[g][0] + set * Isa::kLanes,
                   Isa::mul(d, Isa::to_float(Isa::add(code, Isa::broadcast(-32)))));
    }
  }
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
void rows_product(const PanelRows& rows, RowsAsked& asked, int64_t first, int64_t some, const ActivationBlock& x,
                  float* y) {
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
          total = Isa::fnma(Isa::load_f(scales.min[g][h] + lane), Isa::broadcast_f(x.scaled_sum[g]), total);
        }
      }
    }
    Isa::store_f(y + lane, total);
  }
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
