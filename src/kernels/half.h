#pragma once
// IEEE half precision and bfloat16 by integer arithmetic, for scalar code. Rounding to nearest even; NaN stays NaN.

#include <bit>
#include <cstdint>

namespace exo::kernels {

inline float f16_to_f32(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t magnitude = h & 0x7fffu;
  if (magnitude >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  // Placed as if the exponent bias were f32's, then corrected by a product, which also normalises subnormals.
  const float shifted = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(shifted));
}

inline uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // rounds to 2^16 or more
  if (magnitude < 0x38800000u) {
    // Subnormal: adding 0.5 leaves the rounded multiple of 2^-24 in the lowest bits.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

inline float bf16_to_f32(uint16_t h) { return std::bit_cast<float>(static_cast<uint32_t>(h) << 16); }

inline uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// E4M3 of the OCP 8-bit formats: no infinity; 0x7f and 0xff are NaN.
inline float e4m3_to_f32(uint8_t e) {
  const uint32_t magnitude = e & 0x7fu;
  if (magnitude == 0x7fu) return std::bit_cast<float>(0x7fc00000u);
  // As for f16: placed as if the exponent bias were f32's, then corrected by a product.
  const float shifted = std::bit_cast<float>(magnitude << 20) * 0x1p120f;
  return std::bit_cast<float>(static_cast<uint32_t>(e & 0x80u) << 24 | std::bit_cast<uint32_t>(shifted));
}

// A scale of NVFP4: E4M3 without sign, halved (its codes are twice their values); the NaN counts as 0.
inline float nvfp4_scale(uint8_t e) { return (e & 0x7f) == 0x7f ? 0.0f : e4m3_to_f32(e & 0x7f) * 0.5f; }

// An 8-bit power of two (the MX formats): 2^(e - 127), halved; e = 0 and 1 give subnormals.
inline float e8m0_to_f32_half(uint8_t e) {
  return std::bit_cast<float>(e < 2 ? 0x00200000u << e : static_cast<uint32_t>(e - 1) << 23);
}

}  // namespace exo::kernels
