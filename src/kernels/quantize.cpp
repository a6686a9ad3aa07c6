#include "kernels/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/block_codes.h"
#include "kernels/blocks.h"
#include "kernels/half.h"
#include "kernels/quantize_fit-inl.h"
#include "kernels/quantize_k.h"

namespace exo::kernels {
namespace {

// Codes of x ≈ d * (code + low), d rounded to a half.
uint16_t fit_symmetric(const float* x, int low, int* codes) {
  const uint16_t d = f32_to_f16(fit_scale<32>(x, low, -low - 1));
  for (int i = 0; i < 32; ++i) codes[i] = round_to(x[i] * inverse(f16_to_f32(d)), low, -low - 1) - low;
  return d;
}

void quantize(const float* x, BlockQ4_0& b) {
  int codes[32];
  b.d = fit_symmetric(x, -8, codes);
  set_nibbles(codes, b.q);
}

void quantize(const float* x, BlockQ5_0& b) {
  int codes[32];
  b.d = fit_symmetric(x, -16, codes);
  b.high = fifth_bits(codes);
  set_nibbles(codes, b.q);
}

template <typename Block>
void fit_with_minimum(const float* x, int most, Block& b, int* codes) {
  const auto fit = fit_scale_and_minimum<32>(x, most, false);
  b.d = f32_to_f16(fit.scale);
  b.m = f32_to_f16(fit.minimum);
  for (int i = 0; i < 32; ++i) {
    codes[i] = round_to((x[i] - f16_to_f32(b.m)) * inverse(f16_to_f32(b.d)), 0, most);
  }
}

void quantize(const float* x, BlockQ4_1& b) {
  int codes[32];
  fit_with_minimum(x, 15, b, codes);
  set_nibbles(codes, b.q);
}

void quantize(const float* x, BlockQ5_1& b) {
  int codes[32];
  fit_with_minimum(x, 31, b, codes);
  b.high = fifth_bits(codes);
  set_nibbles(codes, b.q);
}

void quantize(const float* x, BlockQ8_0& b) {
  const float d = std::fabs(extreme(x, 32)) / 127.0f;
  b.d = f32_to_f16(d);
  for (int i = 0; i < 32; ++i) b.q[i] = static_cast<int8_t>(round_to(x[i] * inverse(d), -127, 127));
}

void quantize(const float* x, BlockIQ4_NL& b) {
  b.d = f32_to_f16(fit_scale_to_values<32>(x, kIq4Values));
  const float to_values = inverse(f16_to_f32(b.d));
  int codes[32];
  for (int i = 0; i < 32; ++i) codes[i] = nearest(std::span(kIq4Values), x[i] * to_values);
  set_nibbles(codes, b.q);
}

// The code of the FP4 value nearest to x, in the scale of kFp4Values.
int fp4_code(float x) {
  const int code = nearest(std::span(kFp4Values).first<8>(), std::fabs(x));
  return code != 0 && x < 0.0f ? code + 8 : code;
}

// The largest element fits with one power of two; the one below cuts it off but may round the others better.
void quantize(const float* x, BlockMXFP4& b) {
  const float largest = std::fabs(extreme(x, 32));
  const int above = largest > 0.0f ? std::clamp(std::ilogb(largest / 6.0f) + 1 + 127, 0, 254) : 0;
  float best_error = INFINITY;
  for (int e = above; e >= std::max(0, above - 2); --e) {
    const float scale = e8m0_to_f32_half(static_cast<uint8_t>(e));
    int codes[32];
    float error = 0.0f;
    for (int i = 0; i < 32; ++i) {
      codes[i] = fp4_code(x[i] / scale);
      const float off = x[i] - scale * static_cast<float>(kFp4Values[codes[i]]);
      error += off * off;
    }
    if (e != above && !(error < best_error)) continue;
    best_error = error;
    b.e = static_cast<uint8_t>(e);
    set_nibbles(codes, b.q);
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
    case kQ4_1:
    case kQ5_0:
    case kQ5_1:
    case kQ8_0:
    case kQ2_K:
    case kQ3_K:
    case kQ4_K:
    case kQ5_K:
    case kQ6_K:
    case kIQ4_NL:
    case kIQ4_XS:
    case kMXFP4:
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
    case kQ4_1:
      return quantize_blocks<BlockQ4_1, 32>(x, out, n);
    case kQ5_0:
      return quantize_blocks<BlockQ5_0, 32>(x, out, n);
    case kQ5_1:
      return quantize_blocks<BlockQ5_1, 32>(x, out, n);
    case kQ8_0:
      return quantize_blocks<BlockQ8_0, 32>(x, out, n);
    case kIQ4_NL:
      return quantize_blocks<BlockIQ4_NL, 32>(x, out, n);
    case kMXFP4:
      return quantize_blocks<BlockMXFP4, 32>(x, out, n);
    case kQ2_K:
      return quantize_blocks<BlockQ2_K, 256>(x, out, n);
    case kQ3_K:
      return quantize_blocks<BlockQ3_K, 256>(x, out, n);
    case kQ4_K:
      return quantize_blocks<BlockQ4_K, 256>(x, out, n);
    case kQ5_K:
      return quantize_blocks<BlockQ5_K, 256>(x, out, n);
    case kQ6_K:
      return quantize_blocks<BlockQ6_K, 256>(x, out, n);
    case kIQ4_XS:
      return quantize_blocks<BlockIQ4_XS, 256>(x, out, n);
    default:
      EXO_CHECK(can_quantize(type));
  }
}

}  // namespace exo::kernels
