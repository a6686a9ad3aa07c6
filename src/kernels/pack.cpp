// Interleaves 16 rows of a quantised weight into a panel. Each format's loop holds for vectors of any width: a
// vector is a few 128-bit blocks, one block per four rows, and a 4 x 4 transposition of 32-bit words within blocks
// brings the same columns of four rows side by side. pack_reference is the definition; tests compare every byte.
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pack.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/blocks.h"
#include "kernels/kernel_table.h"
#include "kernels/math-inl.h"
#include "kernels/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace exo::kernels {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR  // has no blocks of 128 bits

template <int kBias>
void pack(ElementType type, const PanelRows& rows, int64_t first, int64_t count, Panel& out) {
  pack_reference(type, rows, first, count, kBias, out);
}

#else

HWY_INLINE V to_float(V32 v) { return hn::ConvertTo(d, hn::BitCast(hn::RebindToSigned<D>(), v)); }
HWY_INLINE V32 bits(V32 v, int shift, uint32_t mask) {
  return hn::And(hn::ShiftRightSame(v, shift), hn::Set(d32, mask));
}
HWY_INLINE V32 low_nibbles(V32 v) { return hn::And(v, hn::Set(d32, 0x0f0f0f0f)); }
HWY_INLINE V32 high_nibbles(V32 v) { return low_nibbles(hn::ShiftRight<4>(v)); }

// Where one set's words of a panel go.
struct Target {
  Panel& panel;
  int set;
  HWY_INLINE void q(int64_t g, int k, V32 v) const {
    hn::Store(hn::BitCast(d8, v), d8, panel.q[g][k] + set * kVectorBytes);
  }
  HWY_INLINE void q_plus(int64_t g, int k, V32 v, int add) const {
    q(g, k, hn::BitCast(d32, hn::Add(hn::BitCast(d8, v), hn::Set(d8, static_cast<uint8_t>(add)))));
  }
  HWY_INLINE void scale(int64_t g, int half, V v) const {
    hn::Store(v, d, panel.scale[g][half] + set * kRowsPerVector);
  }
  HWY_INLINE void min(int64_t g, int half, V v) const {
    hn::Store(v, d, panel.min[g][half] + set * kRowsPerVector);
  }
};

// 16 values of a 4-bit code, in every block of a vector.
HWY_INLINE V8 value_table(const int8_t* values, int bias) {
  HWY_ALIGN uint8_t table[16];
  for (int i = 0; i < 16; ++i) table[i] = static_cast<uint8_t>(values[i] + bias);
  return hn::LoadDup128(d8, table);
}

HWY_INLINE V32 lookup(V8 table, V32 codes) {
  return hn::BitCast(d32, hn::TableLookupBytes(table, hn::BitCast(d8, codes)));
}

constexpr int8_t kQ4Values[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};

// Blocks of 32 with 16 bytes of nibbles at kOffset.
template <typename Block, typename Scale>
HWY_INLINE void pack_nibbles(const PanelRows& rows, int64_t first, int64_t count, V8 table, Panel& out,
                             Scale scale) {
  for (int set = 0; set < kSets; ++set) {
    const Rows row(rows, set);
    const Target to{out, set};
    for (int64_t g = 0; g < count; ++g) {
      const int64_t at = (first + g) * static_cast<int64_t>(sizeof(Block));
      V32 w[4];
      load_words(row, at + static_cast<int64_t>(offsetof(Block, q)), w);
      for (int k = 0; k < 4; ++k) {
        to.q(g, k, lookup(table, low_nibbles(w[k])));
        to.q(g, 4 + k, lookup(table, high_nibbles(w[k])));
      }
      scale(to, row, at, g);
    }
  }
}

HWY_INLINE void half_scale(const Target& to, const Rows& row, int64_t at, int64_t g) {
  to.scale(g, 0, half_to_float(load_field<uint16_t>(row, at)));
}

// d and m side by side: y = d * q + m.
HWY_INLINE void half_scale_and_min(const Target& to, const Rows& row, int64_t at, int64_t g) {
  const V32 both = load_field<uint32_t>(row, at);
  to.scale(g, 0, half_to_float(hn::And(both, hn::Set(d32, 0xffff))));
  to.min(g, 0, hn::Neg(half_to_float(hn::ShiftRight<16>(both))));
}

// The same in bfloat16.
HWY_INLINE void bf16_scale_and_min(const Target& to, const Rows& row, int64_t at, int64_t g) {
  const V32 both = load_field<uint32_t>(row, at);
  to.scale(g, 0, hn::BitCast(d, hn::ShiftLeft<16>(both)));
  to.min(g, 0, hn::Neg(hn::BitCast(d, hn::And(both, hn::Set(d32, 0xffff0000)))));
}

HWY_INLINE void power_scale(const Target& to, const Rows& row, int64_t at, int64_t g) {
  const V32 e = load_field<uint8_t>(row, at);
  const V32 normal = hn::ShiftLeft<23>(hn::Sub(e, hn::Set(d32, 1)));
  const V32 small = hn::IfThenElse(hn::Eq(e, hn::Zero(d32)), hn::Set(d32, 0x00200000), hn::Set(d32, 0x00400000));
  to.scale(g, 0, hn::BitCast(d, hn::IfThenElse(hn::Lt(e, hn::Set(d32, 2)), small, normal)));
}

// Four bits → bit j in the lowest bit of byte j.
HWY_INLINE V32 spread(V32 v, int shift) {
  return hn::And(hn::Mul(bits(v, shift, 15), hn::Set(d32, 0x00204081)), hn::Set(d32, 0x01010101));
}

template <typename Block, typename Scale>
HWY_INLINE void pack_q5(const PanelRows& rows, int64_t first, int64_t count, int add, Panel& out, Scale scale) {
  for (int set = 0; set < kSets; ++set) {
    const Rows row(rows, set);
    const Target to{out, set};
    for (int64_t g = 0; g < count; ++g) {
      const int64_t at = (first + g) * static_cast<int64_t>(sizeof(Block));
      const V32 high = load_field<uint32_t>(row, at + static_cast<int64_t>(offsetof(Block, high)));
      V32 w[4];
      load_words(row, at + static_cast<int64_t>(offsetof(Block, q)), w);
      for (int k = 0; k < 4; ++k) {
        to.q_plus(g, k, hn::Or(low_nibbles(w[k]), hn::ShiftLeft<4>(spread(high, 4 * k))), add);
        to.q_plus(g, 4 + k, hn::Or(high_nibbles(w[k]), hn::ShiftLeft<4>(spread(high, 16 + 4 * k))), add);
      }
      scale(to, row, at, g);
    }
  }
}

HWY_INLINE void pack_q8(const PanelRows& rows, int64_t first, int64_t count, int bias, Panel& out) {
  for (int set = 0; set < kSets; ++set) {
    const Rows row(rows, set);
    const Target to{out, set};
    for (int64_t g = 0; g < count; ++g) {
      const int64_t at = (first + g) * static_cast<int64_t>(sizeof(BlockQ8_0));
      V32 w[8];
      load_words(row, at + 2, w);
      load_words(row, at + 18, w + 4);
      for (int k = 0; k < 8; ++k) to.q_plus(g, k, w[k], bias);
      half_scale(to, row, at, g);
    }
  }
}

// `bfloat`: scale and minimum are in bfloat16, not in half precision.
HWY_INLINE void pack_a8(const PanelRows& rows, int64_t first, int64_t count, bool bfloat, int bias, Panel& out) {
  for (int set = 0; set < kSets; ++set) {
    const Rows row(rows, set);
    const Target to{out, set};
    for (int64_t g = 0; g < count; ++g) {
      const int64_t at = (first + g) * static_cast<int64_t>(sizeof(BlockA8));
      V32 w[8];
      load_words(row, at + 4, w);
      load_words(row, at + 20, w + 4);
      for (int k = 0; k < 8; ++k) to.q_plus(g, k, w[k], bias - 128);
      const V32 both = load_field<uint32_t>(row, at);
      const V scale =
          bfloat ? hn::BitCast(d, hn::ShiftLeft<16>(both)) : half_to_float(hn::And(both, hn::Set(d32, 0xffff)));
      const V min = bfloat ? hn::BitCast(d, hn::And(both, hn::Set(d32, 0xffff0000)))
                           : half_to_float(hn::ShiftRight<16>(both));
      to.scale(g, 0, scale);
      // The product is exact, so that a fused multiply-add and two operations give the same.
      to.min(g, 0, hn::Neg(hn::MulAdd(hn::Set(d, 128.0f), scale, min)));
    }
  }
}

// Four scales of 16 elements; first and count are even.
HWY_INLINE void pack_nvfp4(const PanelRows& rows, int64_t first, int64_t count, V8 table, Panel& out) {
  for (int set = 0; set < kSets; ++set) {
    const Rows row(rows, set);
    const Target to{out, set};
    for (int64_t g = 0; g < count; g += 2) {
      const int64_t at = (first + g) / 2 * static_cast<int64_t>(sizeof(BlockNVFP4));
      const V32 scales = load_field<uint32_t>(row, at);
      for (int h = 0; h < 4; ++h) {
        const V32 e = bits(scales, 8 * h, 0x7f);
        // Placed as if the exponent bias were f32's, then corrected by a product, and halved.
        const V value = hn::Mul(hn::BitCast(d, hn::ShiftLeft<20>(e)), hn::Set(d, 0x1p119f));
        to.scale(g + h / 2, h % 2,
                 hn::BitCast(d, hn::IfThenZeroElse(hn::Eq(e, hn::Set(d32, 0x7f)), hn::BitCast(d32, value))));
      }
      V32 w[8];
      load_words(row, at + 4, w);
      load_words(row, at + 20, w + 4);
      for (int h = 0; h < 4; ++h) {  // words 2h and 2h + 1
        for (int k = 0; k < 2; ++k) {
          to.q(g + h / 2, 4 * (h % 2) + k, lookup(table, low_nibbles(w[2 * h + k])));
          to.q(g + h / 2, 4 * (h % 2) + 2 + k, lookup(table, high_nibbles(w[2 * h + k])));
        }
      }
    }
  }
}

// For formats of 256: body(target, rows, byte offset of the block), once per set; they come one block at a time.
template <typename Block, typename Body>
HWY_INLINE void for_sets(const PanelRows& rows, int64_t first, Panel& out, Body body) {
  const int64_t at = first / kGroupsPerSuper * static_cast<int64_t>(sizeof(Block));
  for (int set = 0; set < kSets; ++set) body(Target{out, set}, Rows(rows, set), at);
}

// d, dmin and the twelve bytes of unpack_scales_k4, at the start of the block.
HWY_INLINE void pack_scales_k4(const Target& to, const Rows& row, int64_t at) {
  V32 w[4];
  load_words(row, at, w);
  const V scale = half_to_float(hn::And(w[0], hn::Set(d32, 0xffff))), min = half_to_float(hn::ShiftRight<16>(w[0]));
  for (int j = 0; j < 4; ++j) {
    to.scale(j, 0, hn::Mul(scale, to_float(bits(w[1], 8 * j, 63))));
    to.min(j, 0, hn::Mul(min, to_float(bits(w[2], 8 * j, 63))));
    const V32 s = hn::Or(bits(w[3], 8 * j, 15), hn::ShiftLeft<4>(bits(w[1], 8 * j + 6, 3)));
    const V32 m = hn::Or(bits(w[3], 8 * j + 4, 15), hn::ShiftLeft<4>(bits(w[2], 8 * j + 6, 3)));
    to.scale(4 + j, 0, hn::Mul(scale, to_float(s)));
    to.min(4 + j, 0, hn::Mul(min, to_float(m)));
  }
}

void pack_q4_k(const PanelRows& rows, int64_t first, Panel& out) {
  for_sets<BlockQ4_K>(rows, first, out, [](const Target& to, const Rows& row, int64_t at) HWY_ATTR {
    pack_scales_k4(to, row, at);
    for (int j = 0; j < 8; ++j) {  // 16 bytes: half of groups 2 * (j / 2) and the next
      V32 w[4];
      load_words(row, at + 16 + 16 * j, w);
      for (int k = 0; k < 4; ++k) {
        to.q(j / 2 * 2, j % 2 * 4 + k, low_nibbles(w[k]));
        to.q(j / 2 * 2 + 1, j % 2 * 4 + k, high_nibbles(w[k]));
      }
    }
  });
}

void pack_q5_k(const PanelRows& rows, int64_t first, Panel& out) {
  for_sets<BlockQ5_K>(rows, first, out, [](const Target& to, const Rows& row, int64_t at) HWY_ATTR {
    pack_scales_k4(to, row, at);
    const V32 fifth = hn::Set(d32, 0x10101010);
    for (int half = 0; half < 2; ++half) {
      V32 high[4];
      load_words(row, at + 16 + 16 * half, high);
      for (int pair = 0; pair < 4; ++pair) {
        V32 w[4];
        load_words(row, at + 48 + 32 * pair + 16 * half, w);
        for (int k = 0; k < 4; ++k) {
          // Bit n of `high` is the fifth bit of group n: moved to bit 4 of the byte.
          const V32 at_four = hn::ShiftLeft<4>(hn::ShiftRightSame(high[k], 2 * pair));
          const V32 at_three = hn::ShiftLeft<3>(hn::ShiftRightSame(high[k], 2 * pair));
          to.q(2 * pair, 4 * half + k, hn::Or(low_nibbles(w[k]), hn::And(at_four, fifth)));
          to.q(2 * pair + 1, 4 * half + k, hn::Or(high_nibbles(w[k]), hn::And(at_three, fifth)));
        }
      }
    }
  });
}

// 16 signed bytes at `at`, times d: the scales of 16 half-groups.
HWY_INLINE void pack_byte_scales(const Target& to, const Rows& row, int64_t at, V scale) {
  const hn::RebindToSigned<D> di;
  V32 w[4];
  load_words(row, at, w);
  for (int h = 0; h < 16; ++h) {
    const auto code = hn::ShiftRight<24>(hn::ShiftLeftSame(hn::BitCast(di, w[h / 4]), 24 - 8 * (h % 4)));
    to.scale(h / 2, h % 2, hn::Mul(scale, hn::ConvertTo(d, code)));
  }
}

void pack_q6_k(const PanelRows& rows, int64_t first, int bias, Panel& out) {
  for_sets<BlockQ6_K>(rows, first, out, [=](const Target& to, const Rows& row, int64_t at) HWY_ATTR {
    pack_byte_scales(to, row, at + 192, half_to_float(load_field<uint16_t>(row, at + 208)));
    const V32 top = hn::Set(d32, 0x30303030);
    for (int part = 0; part < 4; ++part) {  // half of the block, then half of the group
      const int h = part / 2, i = part % 2;
      V32 a[4], b[4], high[4];
      load_words(row, at + 64 * h + 16 * i, a);
      load_words(row, at + 64 * h + 32 + 16 * i, b);
      load_words(row, at + 128 + 32 * h + 16 * i, high);
      for (int k = 0; k < 4; ++k) {
        const int word = 4 * i + k;
        to.q_plus(4 * h, word, hn::Or(low_nibbles(a[k]), hn::And(hn::ShiftLeft<4>(high[k]), top)), bias - 32);
        to.q_plus(4 * h + 1, word, hn::Or(low_nibbles(b[k]), hn::And(hn::ShiftLeft<2>(high[k]), top)), bias - 32);
        to.q_plus(4 * h + 2, word, hn::Or(high_nibbles(a[k]), hn::And(high[k], top)), bias - 32);
        to.q_plus(4 * h + 3, word, hn::Or(high_nibbles(b[k]), hn::And(hn::ShiftRight<2>(high[k]), top)), bias - 32);
      }
    }
  });
}

void pack_q2_k(const PanelRows& rows, int64_t first, Panel& out) {
  for_sets<BlockQ2_K>(rows, first, out, [](const Target& to, const Rows& row, int64_t at) HWY_ATTR {
    const V32 both = load_field<uint32_t>(row, at + 80);
    const V scale = half_to_float(hn::And(both, hn::Set(d32, 0xffff))),
            min = half_to_float(hn::ShiftRight<16>(both));
    V32 s[4];
    load_words(row, at, s);
    for (int h = 0; h < 16; ++h) {
      to.scale(h / 2, h % 2, hn::Mul(scale, to_float(bits(s[h / 4], 8 * (h % 4), 15))));
      to.min(h / 2, h % 2, hn::Mul(min, to_float(bits(s[h / 4], 8 * (h % 4) + 4, 15))));
    }
    for (int part = 0; part < 4; ++part) {
      V32 w[4];
      load_words(row, at + 16 + 16 * part, w);
      for (int j = 0; j < 4; ++j) {
        for (int k = 0; k < 4; ++k) to.q(part / 2 * 4 + j, part % 2 * 4 + k, bits(w[k], 2 * j, 0x03030303));
      }
    }
  });
}

void pack_q3_k(const PanelRows& rows, int64_t first, int bias, Panel& out) {
  for_sets<BlockQ3_K>(rows, first, out, [=](const Target& to, const Rows& row, int64_t at) HWY_ATTR {
    const hn::RebindToSigned<D> di;
    const V scale = half_to_float(load_field<uint16_t>(row, at + 108));
    V32 s[3];
    for (int i = 0; i < 3; ++i) s[i] = load_field<uint32_t>(row, at + 96 + 4 * i);
    for (int h = 0; h < 16; ++h) {  // the layout of q3_scale in unpack.cpp
      const V32 low = bits(s[h % 8 / 4], 8 * (h % 4) + (h < 8 ? 0 : 4), 15);
      const V32 code = hn::Or(low, hn::ShiftLeft<4>(bits(s[2], 8 * (h % 4) + 2 * (h / 4), 3)));
      to.scale(h / 2, h % 2, hn::Mul(scale, hn::ConvertTo(d, hn::Sub(hn::BitCast(di, code), hn::Set(di, 32)))));
    }
    for (int part = 0; part < 4; ++part) {
      V32 w[4], high[4];
      load_words(row, at + 32 + 16 * part, w);
      load_words(row, at + 16 * (part % 2), high);
      for (int j = 0; j < 4; ++j) {
        const int g = part / 2 * 4 + j;
        for (int k = 0; k < 4; ++k) {
          const V32 third = hn::ShiftLeft<2>(bits(high[k], g, 0x01010101));
          to.q_plus(g, part % 2 * 4 + k, hn::Or(bits(w[k], 2 * j, 0x03030303), third), bias - 4);
        }
      }
    }
  });
}

void pack_iq4_xs(const PanelRows& rows, int64_t first, int bias, Panel& out) {
  const V8 table = value_table(kIq4Values, bias);
  for_sets<BlockIQ4_XS>(rows, first, out, [=](const Target& to, const Rows& row, int64_t at) HWY_ATTR {
    const hn::RebindToSigned<D> di;
    V32 head[4];
    load_words(row, at, head);
    const V scale = half_to_float(hn::And(head[0], hn::Set(d32, 0xffff)));
    for (int g = 0; g < 8; ++g) {
      const V32 code = hn::Or(bits(head[1], 4 * g, 15), hn::ShiftLeft<4>(bits(head[0], 16 + 2 * g, 3)));
      to.scale(g, 0, hn::Mul(scale, hn::ConvertTo(d, hn::Sub(hn::BitCast(di, code), hn::Set(di, 32)))));
      V32 w[4];
      load_words(row, at + 8 + 16 * g, w);
      for (int k = 0; k < 4; ++k) {
        to.q(g, k, lookup(table, low_nibbles(w[k])));
        to.q(g, 4 + k, lookup(table, high_nibbles(w[k])));
      }
    }
  });
}

template <int kBias>
void pack(ElementType type, const PanelRows& rows, int64_t first, int64_t count, Panel& out) {
  constexpr int8_t kPlain[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const auto half = [](auto&... args) HWY_ATTR { half_scale(args...); };
  const auto half_min = [](auto&... args) HWY_ATTR { half_scale_and_min(args...); };
  const auto bf16_min = [](auto&... args) HWY_ATTR { bf16_scale_and_min(args...); };
  const auto power = [](auto&... args) HWY_ATTR { power_scale(args...); };
  switch (type) {
    using enum ElementType;
    case kQ4_0:
      return pack_nibbles<BlockQ4_0>(rows, first, count, value_table(kQ4Values, kBias), out, half);
    case kQ4_1:
      return pack_nibbles<BlockQ4_1>(rows, first, count, value_table(kPlain, 0), out, half_min);
    case kIQ4_NL:
      return pack_nibbles<BlockIQ4_NL>(rows, first, count, value_table(kIq4Values, kBias), out, half);
    case kMXFP4:
      return pack_nibbles<BlockMXFP4>(rows, first, count, value_table(kFp4Values, kBias), out, power);
    case kQ5_0:
      return pack_q5<BlockQ5_0>(rows, first, count, kBias - 16, out, half);
    case kQ5_1:
      return pack_q5<BlockQ5_1>(rows, first, count, 0, out, half_min);
    case kQ8_0:
      return pack_q8(rows, first, count, kBias, out);
    case kNVFP4:
      return pack_nvfp4(rows, first, count, value_table(kFp4Values, kBias), out);
    case kA4_BF16:
      return pack_nibbles<BlockA4>(rows, first, count, value_table(kPlain, 0), out, bf16_min);
    case kA5_BF16:
      return pack_q5<BlockA5>(rows, first, count, 0, out, bf16_min);
    case kA8_BF16:
    case kA8_F16:
      return pack_a8(rows, first, count, type == kA8_BF16, kBias, out);
    case kQ2_K:
      return pack_q2_k(rows, first, out);
    case kQ3_K:
      return pack_q3_k(rows, first, kBias, out);
    case kQ4_K:
      return pack_q4_k(rows, first, out);
    case kQ5_K:
      return pack_q5_k(rows, first, out);
    case kQ6_K:
      return pack_q6_k(rows, first, kBias, out);
    case kIQ4_XS:
      return pack_iq4_xs(rows, first, kBias, out);
    default:
      return pack_reference(type, rows, first, count, kBias, out);
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

void fill_packer(bool unsigned_panels, KernelTable& table) { table.pack = unsigned_panels ? pack<128> : pack<0>; }

}  // namespace HWY_NAMESPACE
}  // namespace exo::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch-inl.h"
namespace exo::kernels {
bool fill_pack(int64_t target, bool unsigned_panels, KernelTable& table) {
  EXO_DISPATCH(target, fill_packer(unsigned_panels, table))
  return false;
}
}  // namespace exo::kernels
#endif
