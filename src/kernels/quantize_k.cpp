#include "kernels/quantize_k.h"

#include <cstring>

#include "kernels/half.h"
#include "kernels/quantize_fit-inl.h"

namespace exo::kernels {
namespace {

// The scales and minimums of a block's groups as whole numbers up to `most`, times one scale each.
template <int kGroups>
struct GroupScales {
  uint16_t d = 0, dmin = 0;  // halves
  int scale[kGroups], min[kGroups];

  // Minimums are stored positive, as what is subtracted.
  GroupScales(const ScaleAndMinimum* groups, int most) {
    float largest = 0.0f, deepest = 0.0f;
    for (int n = 0; n < kGroups; ++n) {
      largest = std::max(largest, groups[n].scale);
      deepest = std::max(deepest, -groups[n].minimum);
    }
    d = f32_to_f16(largest / static_cast<float>(most));
    dmin = f32_to_f16(deepest / static_cast<float>(most));
    for (int n = 0; n < kGroups; ++n) {
      scale[n] = round_to(groups[n].scale * inverse(f16_to_f32(d)), 0, most);
      min[n] = round_to(-groups[n].minimum * inverse(f16_to_f32(dmin)), 0, most);
    }
  }
  int code(float x, int n, int high) const {
    const float step = f16_to_f32(d) * static_cast<float>(scale[n]);
    const float offset = f16_to_f32(dmin) * static_cast<float>(min[n]);
    return round_to((x + offset) * inverse(step), 0, high);
  }
};

// The layout that unpack_scales_k4 reads.
void pack_scales_k4(const GroupScales<8>& s, uint8_t* out) {
  std::memset(out, 0, 12);
  for (int n = 0; n < 4; ++n) {
    out[n] = static_cast<uint8_t>(s.scale[n] | (s.scale[n + 4] >> 4) << 6);
    out[n + 4] = static_cast<uint8_t>(s.min[n] | (s.min[n + 4] >> 4) << 6);
    out[n + 8] = static_cast<uint8_t>((s.scale[n + 4] & 15) | (s.min[n + 4] & 15) << 4);
  }
}

template <typename Block>
GroupScales<8> set_scales_k4(const float* x, int high, Block& b) {
  ScaleAndMinimum groups[8];
  for (int n = 0; n < 8; ++n) groups[n] = fit_scale_and_minimum<32>(x + 32 * n, high, true);
  const GroupScales<8> scales(groups, 63);
  b.d = scales.d;
  b.dmin = scales.dmin;
  pack_scales_k4(scales, b.scales);
  return scales;
}

void add_bits(uint8_t& byte, int bits, int shift) { byte = static_cast<uint8_t>(byte | bits << shift); }

// Signed scales of 16 half-groups, whole numbers from `low` (negative, the larger end) times d.
template <int kBits>
uint16_t fit_half_group_scales(const float* x, int low, int (&codes)[16]) {
  constexpr int kLow = -(1 << (kBits - 1));
  float scale[16];
  for (int h = 0; h < 16; ++h) scale[h] = fit_scale<16>(x + 16 * h, kLow, -kLow - 1);
  const uint16_t d = f32_to_f16(extreme(scale, 16) / static_cast<float>(low));
  for (int h = 0; h < 16; ++h) codes[h] = round_to(scale[h] * inverse(f16_to_f32(d)), low, -low - 1);
  return d;
}

}  // namespace

void quantize(const float* x, BlockQ2_K& b) {
  ScaleAndMinimum groups[16];
  for (int h = 0; h < 16; ++h) groups[h] = fit_scale_and_minimum<16>(x + 16 * h, 3, true);
  const GroupScales<16> scales(groups, 15);
  b.d = scales.d;
  b.dmin = scales.dmin;
  std::memset(b.q, 0, sizeof b.q);
  for (int h = 0; h < 16; ++h) b.scales[h] = static_cast<uint8_t>(scales.scale[h] | scales.min[h] << 4);
  for (int e = 0; e < 256; ++e) {
    add_bits(b.q[32 * (e / 128) + e % 32], scales.code(x[e], e / 16, 3), 2 * (e / 32 % 4));
  }
}

void quantize(const float* x, BlockQ3_K& b) {
  int codes[16];
  b.d = fit_half_group_scales<3>(x, -32, codes);
  std::memset(b.scales, 0, sizeof b.scales);
  std::memset(b.q, 0, sizeof b.q);
  std::memset(b.high, 0, sizeof b.high);
  for (int h = 0; h < 16; ++h) {  // the layout that q3_scale reads
    add_bits(b.scales[h % 8], (codes[h] + 32) & 15, h < 8 ? 0 : 4);
    add_bits(b.scales[8 + h % 4], (codes[h] + 32) >> 4, 2 * (h / 4));
  }
  for (int e = 0; e < 256; ++e) {
    const float scale = f16_to_f32(b.d) * static_cast<float>(codes[e / 16]);
    const int q = round_to(x[e] * inverse(scale), -4, 3) + 4;
    add_bits(b.q[32 * (e / 128) + e % 32], q & 3, 2 * (e / 32 % 4));
    add_bits(b.high[e % 32], q >> 2, e / 32);
  }
}

void quantize(const float* x, BlockQ4_K& b) {
  const auto scales = set_scales_k4(x, 15, b);
  std::memset(b.q, 0, sizeof b.q);
  for (int e = 0; e < 256; ++e) {
    add_bits(b.q[32 * (e / 64) + e % 32], scales.code(x[e], e / 32, 15), 4 * (e / 32 % 2));
  }
}

void quantize(const float* x, BlockQ5_K& b) {
  const auto scales = set_scales_k4(x, 31, b);
  std::memset(b.q, 0, sizeof b.q);
  std::memset(b.high, 0, sizeof b.high);
  for (int e = 0; e < 256; ++e) {
    const int q = scales.code(x[e], e / 32, 31);
    add_bits(b.q[32 * (e / 64) + e % 32], q & 15, 4 * (e / 32 % 2));
    add_bits(b.high[e % 32], q >> 4, e / 32);
  }
}

void quantize(const float* x, BlockQ6_K& b) {
  int codes[16];
  b.d = fit_half_group_scales<6>(x, -128, codes);
  for (int h = 0; h < 16; ++h) b.scales[h] = static_cast<int8_t>(codes[h]);
  std::memset(b.low, 0, sizeof b.low);
  std::memset(b.high, 0, sizeof b.high);
  for (int e = 0; e < 256; ++e) {
    const int n = e / 32, i = e % 32;
    const float scale = f16_to_f32(b.d) * static_cast<float>(b.scales[e / 16]);
    const int q = round_to(x[e] * inverse(scale), -32, 31) + 32;
    add_bits(b.low[64 * (n / 4) + 32 * (n % 2) + i], q & 15, n % 4 < 2 ? 0 : 4);
    add_bits(b.high[32 * (n / 4) + i], q >> 4, 2 * (n % 4));
  }
}

void quantize(const float* x, BlockIQ4_XS& b) {
  float scale[8];
  for (int n = 0; n < 8; ++n) scale[n] = fit_scale_to_values<32>(x + 32 * n, kIq4Values);
  b.d = f32_to_f16(extreme(scale, 8) / -32.0f);
  b.scales_high = 0;
  std::memset(b.scales_low, 0, sizeof b.scales_low);
  std::memset(b.q, 0, sizeof b.q);
  for (int n = 0; n < 8; ++n) {
    const int code = round_to(scale[n] * inverse(f16_to_f32(b.d)), -32, 31);
    add_bits(b.scales_low[n / 2], (code + 32) & 15, 4 * (n % 2));
    b.scales_high = static_cast<uint16_t>(b.scales_high | (code + 32) >> 4 << (2 * n));
    const float to_values = inverse(f16_to_f32(b.d) * static_cast<float>(code));
    for (int i = 0; i < 32; ++i)
      add_bits(b.q[16 * n + i % 16], nearest(std::span(kIq4Values), x[32 * n + i] * to_values), 4 * (i / 16));
  }
}

}  // namespace exo::kernels
