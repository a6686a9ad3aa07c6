#include "kernels/unpack.h"

#include <bit>
#include <cmath>

#include "base/check.h"
#include "kernels/blocks.h"
#include "kernels/half.h"
#include "kernels/unpack_iq.h"

namespace exo::kernels {
namespace {

void set_scales(Group& g, float scale, float min = 0.0f) {
  g.scale[0] = g.scale[1] = scale;
  g.min[0] = g.min[1] = min;
}

// 16 bytes hold elements 0..15 in their low and 16..31 in their high nibbles.
void split_nibbles(const uint8_t* q, Group& g) {
  for (int i = 0; i < 16; ++i) {
    g.q[i] = static_cast<int8_t>(q[i] & 15);
    g.q[16 + i] = static_cast<int8_t>(q[i] >> 4);
  }
}

void unpack(const BlockQ4_0& b, Group* g) {
  split_nibbles(b.q, *g);
  for (auto& q : g->q) q = static_cast<int8_t>(q - 8);
  set_scales(*g, f16_to_f32(b.d));
}

void unpack(const BlockQ4_1& b, Group* g) {
  split_nibbles(b.q, *g);
  set_scales(*g, f16_to_f32(b.d), -f16_to_f32(b.m));
}

void add_high_bits(uint32_t high, Group& g) {
  for (int i = 0; i < 32; ++i) g.q[i] = static_cast<int8_t>(g.q[i] | ((high >> i & 1) << 4));
}

void unpack(const BlockQ5_0& b, Group* g) {
  split_nibbles(b.q, *g);
  add_high_bits(b.high, *g);
  for (auto& q : g->q) q = static_cast<int8_t>(q - 16);
  set_scales(*g, f16_to_f32(b.d));
}

void unpack(const BlockQ5_1& b, Group* g) {
  split_nibbles(b.q, *g);
  add_high_bits(b.high, *g);
  set_scales(*g, f16_to_f32(b.d), -f16_to_f32(b.m));
}

template <typename Block>
void unpack_q8(const Block& b, Group* g) {
  for (int i = 0; i < 32; ++i) g->q[i] = b.q[i];
  set_scales(*g, f16_to_f32(b.d));
}
void unpack(const BlockQ8_0& b, Group* g) { unpack_q8(b, g); }
void unpack(const BlockQ8_1& b, Group* g) { unpack_q8(b, g); }

void unpack(const BlockIQ4_NL& b, Group* g) {
  split_nibbles(b.q, *g);
  for (auto& q : g->q) q = kIq4Values[q];
  set_scales(*g, f16_to_f32(b.d));
}

void unpack(const BlockMXFP4& b, Group* g) {
  split_nibbles(b.q, *g);
  for (auto& q : g->q) q = kFp4Values[q];
  set_scales(*g, e8m0_to_f32_half(b.e));
}

// Four scales of half a group each; 8 bytes hold their 16 elements, the first 8 in the low nibbles.
void unpack(const BlockNVFP4& b, Group* g) {
  for (int h = 0; h < 4; ++h) {
    Group& to = g[h / 2];
    for (int i = 0; i < 8; ++i) {
      const uint8_t q = b.q[8 * h + i];
      to.q[16 * (h % 2) + i] = kFp4Values[q & 15];
      to.q[16 * (h % 2) + 8 + i] = kFp4Values[q >> 4];
    }
    to.scale[h % 2] = nvfp4_scale(b.scales[h]);
    to.min[h % 2] = 0.0f;
  }
}

void unpack(const BlockA4& b, Group* g) {
  split_nibbles(b.q, *g);
  set_scales(*g, bf16_to_f32(b.d), -bf16_to_f32(b.m));
}

void unpack(const BlockA5& b, Group* g) {
  split_nibbles(b.q, *g);
  add_high_bits(b.high, *g);
  set_scales(*g, bf16_to_f32(b.d), -bf16_to_f32(b.m));
}

void unpack_a8(const BlockA8& b, float d, float m, Group* g) {
  for (int i = 0; i < 32; ++i) g->q[i] = static_cast<int8_t>(b.q[i] - 128);
  set_scales(*g, d, -std::fma(128.0f, d, m));
}
struct BlockA8Bf16 : BlockA8 {};
struct BlockA8F16 : BlockA8 {};
void unpack(const BlockA8Bf16& b, Group* g) { unpack_a8(b, bf16_to_f32(b.d), bf16_to_f32(b.m), g); }
void unpack(const BlockA8F16& b, Group* g) { unpack_a8(b, f16_to_f32(b.d), f16_to_f32(b.m), g); }

// Two bits per element: bytes 32h..32h+31 hold groups 4h..4h+3, lowest bits first.
void split_two_bits(const uint8_t* q, Group* groups) {
  for (int n = 0; n < 8; ++n) {
    for (int i = 0; i < 32; ++i) {
      groups[n].q[i] = static_cast<int8_t>(q[32 * (n / 4) + i] >> (2 * (n % 4)) & 3);
    }
  }
}

void unpack(const BlockQ2_K& b, Group* g) {
  split_two_bits(b.q, g);
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  for (int h = 0; h < 16; ++h) {
    g[h / 2].scale[h % 2] = d * static_cast<float>(b.scales[h] & 15);
    g[h / 2].min[h % 2] = dmin * static_cast<float>(b.scales[h] >> 4);
  }
}

// Sixteen 6-bit scales: low nibbles in bytes 0..7 (scales 0..7 low, 8..15 high), top two bits in bytes 8..11.
int q3_scale(const uint8_t* s, int h) {
  const int low = h < 8 ? s[h] & 15 : s[h - 8] >> 4;
  return (low | (s[8 + h % 4] >> (2 * (h / 4)) & 3) << 4) - 32;
}

void unpack(const BlockQ3_K& b, Group* g) {
  split_two_bits(b.q, g);
  const float d = f16_to_f32(b.d);
  for (int n = 0; n < 8; ++n) {
    for (int i = 0; i < 32; ++i) g[n].q[i] = static_cast<int8_t>(g[n].q[i] - ((b.high[i] >> n & 1) ? 0 : 4));
    for (int half = 0; half < 2; ++half) {
      g[n].scale[half] = d * static_cast<float>(q3_scale(b.scales, 2 * n + half));
      g[n].min[half] = 0.0f;
    }
  }
}

// Eight 6-bit (scale, minimum) pairs in 12 bytes: the first four plain in bytes 0..3 and 4..7, whose top bits are
// the top bits of the last four; bytes 8..11 hold the last four's low nibbles.
void unpack_scales_k4(const uint8_t* s, float d, float dmin, Group* g) {
  for (int n = 0; n < 8; ++n) {
    const int scale = n < 4 ? s[n] & 63 : (s[n + 4] & 15) | (s[n - 4] >> 6) << 4;
    const int min = n < 4 ? s[n + 4] & 63 : (s[n + 4] >> 4) | (s[n] >> 6) << 4;
    set_scales(g[n], d * static_cast<float>(scale), dmin * static_cast<float>(min));
  }
}

// Bytes 32j..32j+31 hold group 2j in their low and group 2j+1 in their high nibbles.
void split_nibbles_k(const uint8_t* q, Group* g) {
  for (int n = 0; n < 8; ++n) {
    for (int i = 0; i < 32; ++i) g[n].q[i] = static_cast<int8_t>(q[32 * (n / 2) + i] >> (4 * (n % 2)) & 15);
  }
}

void unpack(const BlockQ4_K& b, Group* g) {
  split_nibbles_k(b.q, g);
  unpack_scales_k4(b.scales, f16_to_f32(b.d), f16_to_f32(b.dmin), g);
}

void unpack(const BlockQ5_K& b, Group* g) {
  split_nibbles_k(b.q, g);
  for (int n = 0; n < 8; ++n) {
    for (int i = 0; i < 32; ++i) g[n].q[i] = static_cast<int8_t>(g[n].q[i] | (b.high[i] >> n & 1) << 4);
  }
  unpack_scales_k4(b.scales, f16_to_f32(b.d), f16_to_f32(b.dmin), g);
}

// Half h of the block (groups 4h..4h+3): nibbles of 64 bytes, two high bits in 32 bytes.
void unpack(const BlockQ6_K& b, Group* g) {
  const float d = f16_to_f32(b.d);
  for (int n = 0; n < 8; ++n) {
    const uint8_t* low = b.low + 64 * (n / 4) + 32 * (n % 2);
    const uint8_t* high = b.high + 32 * (n / 4);
    const int low_shift = n % 4 < 2 ? 0 : 4, high_shift = 2 * (n % 4);
    for (int i = 0; i < 32; ++i) {
      g[n].q[i] = static_cast<int8_t>(((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32);
    }
    for (int half = 0; half < 2; ++half) {
      g[n].scale[half] = d * static_cast<float>(b.scales[2 * n + half]);
      g[n].min[half] = 0.0f;
    }
  }
}

void unpack(const BlockQ8_K& b, Group* g) {
  for (int n = 0; n < 8; ++n) {
    for (int i = 0; i < 32; ++i) g[n].q[i] = b.q[32 * n + i];
    set_scales(g[n], b.d);
  }
}

void unpack(const BlockIQ4_XS& b, Group* g) {
  const float d = f16_to_f32(b.d);
  for (int n = 0; n < 8; ++n) {
    split_nibbles(b.q + 16 * n, g[n]);
    for (auto& q : g[n].q) q = kIq4Values[q];
    const int scale = (b.scales_low[n / 2] >> (4 * (n % 2)) & 15) | (b.scales_high >> (2 * n) & 3) << 4;
    set_scales(g[n], d * static_cast<float>(scale - 32));
  }
}

void unpack(const BlockTQ2_0& b, Group* g) {
  split_two_bits(b.q, g);
  for (int n = 0; n < 8; ++n) {
    for (auto& q : g[n].q) q = static_cast<int8_t>(q - 1);
    set_scales(g[n], f16_to_f32(b.d));
  }
}

// Five ternary digits per byte as a fraction of 243 in 256ths: multiplying by 3^k brings digit k above the byte.
int8_t ternary_digit(uint8_t byte, int k) {
  constexpr uint8_t kPower[5] = {1, 3, 9, 27, 81};
  return static_cast<int8_t>((static_cast<uint8_t>(byte * kPower[k]) * 3 >> 8) - 1);
}

void unpack(const BlockTQ1_0& b, Group* g) {
  for (int e = 0; e < 256; ++e) {
    int8_t q;
    if (e < 160) {
      q = ternary_digit(b.q[e % 32], e / 32);
    } else if (e < 240) {
      q = ternary_digit(b.q[32 + (e - 160) % 16], (e - 160) / 16);
    } else {
      q = ternary_digit(b.high[(e - 240) % 4], (e - 240) / 4);
    }
    g[e / 32].q[e % 32] = q;
  }
  for (int n = 0; n < 8; ++n) set_scales(g[n], f16_to_f32(b.d));
}

template <typename Block>
void unpack_blocks(const std::byte* row, int64_t first, int64_t count, Group* out) {
  const auto* blocks = reinterpret_cast<const Block*>(row) + first;
  for (int64_t i = 0; i < count; ++i) unpack(blocks[i], out + i);
}

void unpack_nvfp4(const std::byte* row, int64_t first, int64_t count, Group* out) {
  const auto* blocks = reinterpret_cast<const BlockNVFP4*>(row) + first / 2;
  for (int64_t i = 0; i < count / 2; ++i) unpack(blocks[i], out + 2 * i);
}

template <typename Block>
void unpack_super_blocks(const std::byte* row, int64_t first, int64_t count, Group* out) {
  const auto* blocks = reinterpret_cast<const Block*>(row) + first / kGroupsPerSuper;
  for (int64_t i = 0; i < count / kGroupsPerSuper; ++i) unpack(blocks[i], out + i * kGroupsPerSuper);
}

}  // namespace

bool is_quantized(ElementType type) {
  switch (type) {
    using enum ElementType;
    case kF32:
    case kF16:
    case kBF16:
    case kI8:
    case kI16:
    case kI32:
    case kI64:
    case kF64:
      return false;
    default:
      return true;
  }
}

bool has_half_group_scales(ElementType type) {
  switch (type) {
    using enum ElementType;
    case kQ2_K:
    case kQ3_K:
    case kQ6_K:
    case kIQ2_XS:
    case kIQ2_S:
    case kIQ1_M:
    case kNVFP4:
      return true;
    default:
      return false;
  }
}

bool has_minimums(ElementType type) {
  switch (type) {
    using enum ElementType;
    case kQ4_1:
    case kQ5_1:
    case kQ2_K:
    case kQ4_K:
    case kQ5_K:
    case kA4_BF16:
    case kA5_BF16:
    case kA8_BF16:
    case kA8_F16:
      return true;
    default:
      return false;
  }
}

bool has_centred_minimums(ElementType type) {
  return type == ElementType::kA8_BF16 || type == ElementType::kA8_F16;
}

void unpack_groups(ElementType type, const std::byte* row, int64_t first, int64_t count, Group* out) {
  switch (type) {
    using enum ElementType;
    case kQ4_0:
      return unpack_blocks<BlockQ4_0>(row, first, count, out);
    case kQ4_1:
      return unpack_blocks<BlockQ4_1>(row, first, count, out);
    case kQ5_0:
      return unpack_blocks<BlockQ5_0>(row, first, count, out);
    case kQ5_1:
      return unpack_blocks<BlockQ5_1>(row, first, count, out);
    case kQ8_0:
      return unpack_blocks<BlockQ8_0>(row, first, count, out);
    case kQ8_1:
      return unpack_blocks<BlockQ8_1>(row, first, count, out);
    case kIQ4_NL:
      return unpack_blocks<BlockIQ4_NL>(row, first, count, out);
    case kMXFP4:
      return unpack_blocks<BlockMXFP4>(row, first, count, out);
    case kNVFP4:
      return unpack_nvfp4(row, first, count, out);
    case kA4_BF16:
      return unpack_blocks<BlockA4>(row, first, count, out);
    case kA5_BF16:
      return unpack_blocks<BlockA5>(row, first, count, out);
    case kA8_BF16:
      return unpack_blocks<BlockA8Bf16>(row, first, count, out);
    case kA8_F16:
      return unpack_blocks<BlockA8F16>(row, first, count, out);
    case kQ2_K:
      return unpack_super_blocks<BlockQ2_K>(row, first, count, out);
    case kQ3_K:
      return unpack_super_blocks<BlockQ3_K>(row, first, count, out);
    case kQ4_K:
      return unpack_super_blocks<BlockQ4_K>(row, first, count, out);
    case kQ5_K:
      return unpack_super_blocks<BlockQ5_K>(row, first, count, out);
    case kQ6_K:
      return unpack_super_blocks<BlockQ6_K>(row, first, count, out);
    case kQ8_K:
      return unpack_super_blocks<BlockQ8_K>(row, first, count, out);
    case kIQ4_XS:
      return unpack_super_blocks<BlockIQ4_XS>(row, first, count, out);
    case kTQ1_0:
      return unpack_super_blocks<BlockTQ1_0>(row, first, count, out);
    case kTQ2_0:
      return unpack_super_blocks<BlockTQ2_0>(row, first, count, out);
    case kIQ2_XXS:
      return unpack_super_blocks<BlockIQ2_XXS>(row, first, count, out);
    case kIQ2_XS:
      return unpack_super_blocks<BlockIQ2_XS>(row, first, count, out);
    case kIQ2_S:
      return unpack_super_blocks<BlockIQ2_S>(row, first, count, out);
    case kIQ3_XXS:
      return unpack_super_blocks<BlockIQ3_XXS>(row, first, count, out);
    case kIQ3_S:
      return unpack_super_blocks<BlockIQ3_S>(row, first, count, out);
    case kIQ1_S:
      return unpack_super_blocks<BlockIQ1_S>(row, first, count, out);
    case kIQ1_M:
      return unpack_super_blocks<BlockIQ1_M>(row, first, count, out);
    default:
      EXO_CHECK(is_quantized(type));
  }
}

}  // namespace exo::kernels
