#pragma once
// Where blocks of 32 elements keep the bits of their codes.

#include <cstdint>

namespace exo::kernels {

// 16 bytes with the low four bits of codes 0..15 in their low and of 16..31 in their high nibbles.
template <typename Code>
void set_nibbles(const Code* codes, uint8_t* q) {
  for (int i = 0; i < 16; ++i) q[i] = static_cast<uint8_t>((codes[i] & 15) | (codes[16 + i] & 15) << 4);
}

// Bit i is the fifth bit of code i.
template <typename Code>
uint32_t fifth_bits(const Code* codes) {
  uint32_t high = 0;
  for (int i = 0; i < 32; ++i) high |= static_cast<uint32_t>(codes[i] >> 4 & 1) << i;
  return high;
}

}  // namespace exo::kernels
