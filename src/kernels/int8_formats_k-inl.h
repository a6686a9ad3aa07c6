// Formats of blocks of 256 elements (int8_formats-inl.h); what their fields mean is in unpack.cpp.

#pragma once

#include "kernels/int8_formats-inl.h"

namespace exo::kernels {
namespace {

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

// Scales of 16 half-groups: d times the signed bytes of w without their lowest kSkip bits.
template <typename Isa, int kSkip>
EXO_INLINE void half_group_scales(const typename Isa::I* w, typename Isa::F d, int set, RowScales& to) {
  for (int h = 0; h < 16; ++h) {
    const typename Isa::I code = Isa::sra(Isa::sll(w[h / 4], 24 - 8 * (h % 4)), 24 + kSkip);
    Isa::store_f(to.scale[h / 2][h % 2] + set * Isa::kLanes, Isa::mul(d, Isa::to_float(code)));
  }
}

// Two bits of group g of a block in w[k]; bytes 32h…32h + 31 at `offset` hold groups 4h…4h + 3.
template <typename Isa>
EXO_INLINE void two_bit_words(const PanelRows& rows, int set, int64_t offset, int64_t start, int64_t i,
                              typename Isa::I* w) {
  Isa::words32(rows, set, offset + 8 * start + i / 4 * 32, w);
  for (int k = 0; k < 8; ++k) w[k] = Isa::and_(Isa::srl(w[k], static_cast<int>(i % 4) * 2), Isa::bytes(3));
}

template <typename Isa>
struct RowsQ2_K {
  using I = typename Isa::I;
  static constexpr bool kHalf = true, kMin = true, kSmall = true;
  static constexpr int kBiasShift = 31, kTogether = 4;
  static constexpr int64_t kBlock = sizeof(BlockQ2_K);
  EXO_INLINE static void words(const PanelRows& rows, int set, int64_t first, int64_t start, int64_t i, I* w) {
    two_bit_words<Isa>(rows, set, first / kGroupsPerSuper * kBlock + 16, start, i, w);
  }
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t, RowScales& to) {
    const int64_t at = first / kGroupsPerSuper * kBlock;
    const I both = Isa::fields32(rows, set, at + 80);
    const auto d = Isa::half_to_float(both), dmin = Isa::half_to_float(Isa::srl(both, 16));
    I w[4];
    Isa::words16(rows, set, at, w);
    for (int h = 0; h < 16; ++h) {
      const auto code = [&](int shift) {
        return Isa::to_float(Isa::and_(Isa::srl(w[h / 4], 8 * (h % 4) + shift), Isa::broadcast(15)));
      };
      Isa::store_f(to.scale[h / 2][h % 2] + set * Isa::kLanes, Isa::mul(d, code(0)));
      Isa::store_f(to.min[h / 2][h % 2] + set * Isa::kLanes, Isa::mul(dmin, code(4)));
    }
  }
};

template <typename Isa>
struct RowsQ3_K {
  using I = typename Isa::I;
  static constexpr bool kHalf = true, kMin = false, kSmall = true;
  static constexpr int kBiasShift = 5, kTogether = 8;
  static constexpr int64_t kBlock = sizeof(BlockQ3_K);
  EXO_INLINE static void words(const PanelRows& rows, int set, int64_t first, int64_t start, int64_t i, I* w) {
    const int64_t at = first / kGroupsPerSuper * kBlock;
    const int bit = static_cast<int>(i);
    I high[8];
    Isa::words32(rows, set, at, high);
    two_bit_words<Isa>(rows, set, at + 32, start, i, w);
    for (int k = 0; k < 8; ++k) {
      const I third = bit < 2 ? Isa::sll(high[k], 2 - bit) : Isa::srl(high[k], bit - 2);
      w[k] = Isa::or_(w[k], Isa::and_(third, Isa::bytes(4)));
    }
  }
  EXO_INLINE static void scales(const PanelRows& rows, int set, int64_t first, int64_t, RowScales& to) {
    I w[4];  // from two bytes before the scales to d at the block's end
    Isa::words16(rows, set, first / kGroupsPerSuper * kBlock + kBlock - 16, w);
    const auto d = Isa::half_to_float(Isa::srl(w[3], 16));
    I s[3];
    for (int i = 0; i < 3; ++i) s[i] = Isa::or_(Isa::srl(w[i], 16), Isa::sll(w[i + 1], 16));
    // Six bits, of which 32 is to be taken, at the upper end of each byte: with the sign's bit turned they are
    // that.
    const auto low = [&](int i, int shift) {
      return Isa::and_(shift < 0 ? Isa::sll(s[i], -shift) : Isa::srl(s[i], shift), Isa::bytes(0x3c));
    };
    const auto top = [&](I bits) { return Isa::and_(bits, Isa::bytes(0xc0)); };
    I codes[4] = {Isa::or_(low(0, -2), top(Isa::sll(s[2], 6))), Isa::or_(low(1, -2), top(Isa::sll(s[2], 4))),
                  Isa::or_(low(0, 2), top(Isa::sll(s[2], 2))), Isa::or_(low(1, 2), top(s[2]))};
    for (auto& code : codes) code = Isa::xor_(code, Isa::bytes(0x80));
    half_group_scales<Isa, 2>(codes, d, set, to);
  }
};

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
    half_group_scales<Isa, 0>(w, d, set, to);
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

}  // namespace
}  // namespace exo::kernels
