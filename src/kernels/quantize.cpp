#include "kernels/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/blocks.h"
#include "kernels/half.h"

namespace exo::kernels {
namespace {

int round_to(float value, int low, int high) { return std::clamp(static_cast<int>(std::lrintf(value)), low, high); }

float inverse(float scale) { return scale == 0.0f ? 0.0f : 1.0f / scale; }

// The element of largest magnitude, with its sign.
float extreme(const float* x, int n) {
  float result = 0.0f;
  for (int i = 0; i < n; ++i) {
    if (std::fabs(x[i]) > std::fabs(result)) result = x[i];
  }
  return result;
}

void quantize(const float* x, BlockQ4_0& b) {
  const float d = extreme(x, 32) / -8.0f;  // the extreme becomes -8, the end that has no positive twin
  b.d = f32_to_f16(d);
  for (int i = 0; i < 16; ++i) {
    const int low = round_to(x[i] * inverse(d) + 8.0f, 0, 15);
    const int high = round_to(x[16 + i] * inverse(d) + 8.0f, 0, 15);
    b.q[i] = static_cast<uint8_t>(low | high << 4);
  }
}

void quantize(const float* x, BlockQ8_0& b) {
  const float d = std::fabs(extreme(x, 32)) / 127.0f;
  b.d = f32_to_f16(d);
  for (int i = 0; i < 32; ++i) b.q[i] = static_cast<int8_t>(round_to(x[i] * inverse(d), -127, 127));
}

void pack_scales_k4(const int* scale, const int* min, uint8_t* out) {
  std::memset(out, 0, 12);
  for (int n = 0; n < 4; ++n) {
    out[n] = static_cast<uint8_t>(scale[n] | (scale[n + 4] >> 4) << 6);
    out[n + 4] = static_cast<uint8_t>(min[n] | (min[n + 4] >> 4) << 6);
    out[n + 8] = static_cast<uint8_t>((scale[n + 4] & 15) | (min[n + 4] & 15) << 4);
  }
}

void quantize(const float* x, BlockQ4_K& b) {
  float range[8], low[8];
  for (int n = 0; n < 8; ++n) {
    const auto [lo, hi] = std::minmax_element(x + 32 * n, x + 32 * n + 32);
    low[n] = std::max(0.0f, -*lo);  // minimums are stored positive
    range[n] = (std::max(*hi, -low[n]) + low[n]) / 15.0f;
  }
  const float d = *std::max_element(range, range + 8) / 63.0f, dmin = *std::max_element(low, low + 8) / 63.0f;
  b.d = f32_to_f16(d);
  b.dmin = f32_to_f16(dmin);
  int scale[8], min[8];
  for (int n = 0; n < 8; ++n) {
    scale[n] = round_to(range[n] * inverse(d), 0, 63);
    min[n] = round_to(low[n] * inverse(dmin), 0, 63);
  }
  pack_scales_k4(scale, min, b.scales);
  std::memset(b.q, 0, sizeof b.q);
  for (int e = 0; e < 256; ++e) {
    const int n = e / 32;
    const float step = f16_to_f32(b.d) * static_cast<float>(scale[n]);
    const float offset = f16_to_f32(b.dmin) * static_cast<float>(min[n]);
    const int q = round_to((x[e] + offset) * inverse(step), 0, 15);
    b.q[32 * (n / 2) + e % 32] = static_cast<uint8_t>(b.q[32 * (n / 2) + e % 32] | q << (4 * (n % 2)));
  }
}

void quantize(const float* x, BlockQ6_K& b) {
  float step[16], largest = 0.0f;
  for (int h = 0; h < 16; ++h) {
    step[h] = extreme(x + 16 * h, 16) / -32.0f;
    if (std::fabs(step[h]) > std::fabs(largest)) largest = step[h];
  }
  const float d = largest / -128.0f;
  b.d = f32_to_f16(d);
  for (int h = 0; h < 16; ++h) b.scales[h] = static_cast<int8_t>(round_to(step[h] * inverse(d), -128, 127));
  std::memset(b.low, 0, sizeof b.low);
  std::memset(b.high, 0, sizeof b.high);
  for (int e = 0; e < 256; ++e) {
    const int n = e / 32, i = e % 32;
    const float scale = f16_to_f32(b.d) * static_cast<float>(b.scales[e / 16]);
    const int q = round_to(x[e] * inverse(scale), -32, 31) + 32;
    uint8_t& low = b.low[64 * (n / 4) + 32 * (n % 2) + i];
    uint8_t& high = b.high[32 * (n / 4) + i];
    low = static_cast<uint8_t>(low | (q & 15) << (n % 4 < 2 ? 0 : 4));
    high = static_cast<uint8_t>(high | (q >> 4) << (2 * (n % 4)));
  }
}

template <typename Block, int kElements>
void quantize_blocks(const float* x, std::byte* out, int64_t n) {
  for (int64_t i = 0; i < n / kElements; ++i) {
    Block block;
    quantize(x + i * kElements, block);
    std::memcpy(out + i * static_cast<int64_t>(sizeof block), &block, sizeof block);
  }
}

}  // namespace

bool can_quantize(ElementType type) {
  switch (type) {
    using enum ElementType;
    case kF32:
    case kF16:
    case kBF16:
    case kQ4_0:
    case kQ8_0:
    case kQ4_K:
    case kQ6_K:
      return true;
    default:
      return false;
  }
}

void quantize_row(ElementType type, const float* x, std::byte* out, int64_t n) {
  switch (type) {
    using enum ElementType;
    case kF32:
      std::memcpy(out, x, static_cast<size_t>(n) * 4);
      return;
    case kF16:
    case kBF16:
      for (int64_t i = 0; i < n; ++i) {
        const uint16_t h = type == kF16 ? f32_to_f16(x[i]) : f32_to_bf16(x[i]);
        std::memcpy(out + 2 * i, &h, 2);
      }
      return;
    case kQ4_0:
      return quantize_blocks<BlockQ4_0, 32>(x, out, n);
    case kQ8_0:
      return quantize_blocks<BlockQ8_0, 32>(x, out, n);
    case kQ4_K:
      return quantize_blocks<BlockQ4_K, 256>(x, out, n);
    case kQ6_K:
      return quantize_blocks<BlockQ6_K, 256>(x, out, n);
    default:
      EXO_CHECK(can_quantize(type));
  }
}

}  // namespace exo::kernels
