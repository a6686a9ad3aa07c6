#include "model/random_blocks.h"

#include <cmath>
#include <cstring>

#include "base/check.h"

namespace exo::model {
namespace {

// SplitMix64, Steele et al. 2014.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

// IEEE binary16 of a positive value below 65504.
uint16_t half_bits(double value) {
  int exponent;
  const double fraction = std::frexp(value, &exponent) * 2.0;  // in [1, 2)
  --exponent;
  if (exponent < -14) return static_cast<uint16_t>(std::lround(std::ldexp(value, 24)));
  const auto bits = static_cast<uint32_t>((exponent + 15) << 10) + static_cast<uint32_t>((fraction - 1.0) * 1024.0);
  return static_cast<uint16_t>(bits);
}

void store_half(std::byte* to, uint16_t bits) { std::memcpy(to, &bits, sizeof bits); }

void fill_words(Random& random, std::span<std::byte> bytes) {
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    const uint64_t word = random.next();
    std::memcpy(bytes.data() + i, &word, 8);
  }
  const uint64_t word = random.next();
  std::memcpy(bytes.data() + i, &word, bytes.size() - i);
}

// Random sign and mantissa under one exponent: ±(1…2)·2^e has a deviation of about 1.53·2^e.
void fill_floats(int mantissa_bits, int exponent_bias, int total_bits, double deviation,
                 std::span<std::byte> bytes) {
  const auto exponent = static_cast<uint64_t>(std::ilogb(deviation / 1.53) + exponent_bias);
  const uint64_t sign = 1ull << (total_bits - 1), mantissa = (1ull << mantissa_bits) - 1;
  uint64_t keep = 0, set = 0;
  for (int shift = 0; shift < 64; shift += total_bits) {
    keep |= (sign | mantissa) << shift;
    set |= (exponent << mantissa_bits) << shift;
  }
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    word = (word & keep) | set;
    std::memcpy(bytes.data() + i, &word, 8);
  }
  uint64_t word = 0;
  std::memcpy(&word, bytes.data() + i, bytes.size() - i);
  word = (word & keep) | set;
  std::memcpy(bytes.data() + i, &word, bytes.size() - i);
}

// Uniform codes 0…15 around 8 deviate by 4.6; the sign of the scale alternates so that the half step of bias
// cancels.
void scale_q4_0(double deviation, std::span<std::byte> bytes) {
  const uint16_t scale = half_bits(deviation / 4.6);
  for (size_t i = 0; i < bytes.size(); i += 18) {
    store_half(bytes.data() + i, static_cast<uint16_t>(scale | (i / 18 % 2 == 0 ? 0x8000 : 0)));
  }
}

void scale_q8_0(double deviation, std::span<std::byte> bytes) {
  const uint16_t scale = half_bits(deviation / 73.9);
  for (size_t i = 0; i < bytes.size(); i += 34) store_half(bytes.data() + i, scale);
}

// Block: d, dmin, 12 bytes of 6-bit scales and minima, 128 bytes of codes 0…15. Every scale equals its minimum, and
// dmin = 7.5 d centres the codes.
void scale_q4_k(double deviation, std::span<std::byte> bytes) {
  constexpr uint32_t kScale = 48;  // binary 11 0000: its high bits also fill the packed upper half
  const double d = deviation / (4.6 * kScale);
  std::byte packed[12];
  for (int j = 0; j < 8; ++j) packed[j] = static_cast<std::byte>(kScale | (kScale >> 4) << 6);
  for (int j = 8; j < 12; ++j) packed[j] = static_cast<std::byte>((kScale & 15) | (kScale & 15) << 4);
  for (size_t i = 0; i < bytes.size(); i += 144) {
    store_half(bytes.data() + i, half_bits(d));
    store_half(bytes.data() + i + 2, half_bits(7.5 * d));
    std::memcpy(bytes.data() + i + 4, packed, sizeof packed);
  }
}

// Block: 192 bytes of codes -32…31, 16 signed scales, d. Scales alternate in sign, which cancels the half step of
// bias.
void scale_q6_k(double deviation, std::span<std::byte> bytes) {
  constexpr int kScale = 32;
  const uint16_t d = half_bits(deviation / (18.5 * kScale));
  for (size_t i = 0; i < bytes.size(); i += 210) {
    for (size_t j = 0; j < 16; ++j) bytes[i + 192 + j] = static_cast<std::byte>(j % 2 == 0 ? kScale : -kScale);
    store_half(bytes.data() + i + 208, d);
  }
}

}  // namespace

bool can_randomize(ElementType type) {
  switch (type) {
    case ElementType::kF32:
    case ElementType::kF16:
    case ElementType::kBF16:
    case ElementType::kQ4_0:
    case ElementType::kQ8_0:
    case ElementType::kQ4_K:
    case ElementType::kQ6_K:
      return true;
    default:
      return false;
  }
}

void fill_random(ElementType type, double deviation, uint64_t seed, std::span<std::byte> bytes) {
  Random random(seed);
  fill_words(random, bytes);
  switch (type) {
    case ElementType::kF32:
      return fill_floats(23, 127, 32, deviation, bytes);
    case ElementType::kF16:
      return fill_floats(10, 15, 16, deviation, bytes);
    case ElementType::kBF16:
      return fill_floats(7, 127, 16, deviation, bytes);
    case ElementType::kQ4_0:
      return scale_q4_0(deviation, bytes);
    case ElementType::kQ8_0:
      return scale_q8_0(deviation, bytes);
    case ElementType::kQ4_K:
      return scale_q4_k(deviation, bytes);
    case ElementType::kQ6_K:
      return scale_q6_k(deviation, bytes);
    default:
      EXO_CHECK(can_randomize(type));
  }
}

}  // namespace exo::model
