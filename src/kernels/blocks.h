#pragma once
// The block layouts of ggml's quantised formats, byte for byte as GGUF files hold them (little-endian), and of our
// own. `d` and `m`
// are IEEE halves unless said otherwise. What the fields mean is written where they are read: unpack.cpp.

#include <cstdint>

namespace exo::kernels {

#pragma pack(push, 1)
struct BlockQ4_0 {
  uint16_t d;
  uint8_t q[16];
};
struct BlockQ4_1 {
  uint16_t d, m;
  uint8_t q[16];
};
struct BlockQ5_0 {
  uint16_t d;
  uint32_t high;
  uint8_t q[16];
};
struct BlockQ5_1 {
  uint16_t d, m;
  uint32_t high;
  uint8_t q[16];
};
struct BlockQ8_0 {
  uint16_t d;
  int8_t q[32];
};
struct BlockQ8_1 {
  uint16_t d, sum;
  int8_t q[32];
};
struct BlockQ2_K {
  uint8_t scales[16];
  uint8_t q[64];
  uint16_t d, dmin;
};
struct BlockQ3_K {
  uint8_t high[32];
  uint8_t q[64];
  uint8_t scales[12];
  uint16_t d;
};
struct BlockQ4_K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t q[128];
};
struct BlockQ5_K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t high[32];
  uint8_t q[128];
};
struct BlockQ6_K {
  uint8_t low[128];
  uint8_t high[64];
  int8_t scales[16];
  uint16_t d;
};
struct BlockQ8_K {
  float d;
  int8_t q[256];
  int16_t sums[16];
};
struct BlockIQ4_NL {
  uint16_t d;
  uint8_t q[16];
};
struct BlockIQ4_XS {
  uint16_t d;
  uint16_t scales_high;
  uint8_t scales_low[4];
  uint8_t q[128];
};
struct BlockIQ2_XXS {
  uint16_t d;
  uint16_t q[32];
};
struct BlockIQ2_XS {
  uint16_t d;
  uint16_t q[32];
  uint8_t scales[8];
};
struct BlockIQ2_S {
  uint16_t d;
  uint8_t q[32];
  uint8_t signs[32];
  uint8_t high[8];
  uint8_t scales[8];
};
struct BlockIQ3_XXS {
  uint16_t d;
  uint8_t q[64];
  uint32_t scales_signs[8];
};
struct BlockIQ3_S {
  uint16_t d;
  uint8_t q[64];
  uint8_t high[8];
  uint8_t signs[32];
  uint8_t scales[4];
};
struct BlockIQ1_S {
  uint16_t d;
  uint8_t q[32];
  uint16_t high[8];
};
struct BlockIQ1_M {
  uint8_t q[32];
  uint8_t high[16];
  uint16_t scales[4];
};
struct BlockTQ1_0 {
  uint8_t q[48];
  uint8_t high[4];
  uint16_t d;
};
struct BlockTQ2_0 {
  uint8_t q[64];
  uint16_t d;
};
struct BlockMXFP4 {
  uint8_t e;
  uint8_t q[16];
};  // e: power of two, biased by 127
struct BlockNVFP4 {
  uint8_t scales[4];
  uint8_t q[32];
};  // scales: E4M3 without sign, of 16 elements each
struct BlockA4 {
  uint16_t d, m;
  uint8_t q[16];
};
struct BlockA5 {
  uint16_t d, m;
  uint32_t high;
  uint8_t q[16];
};
struct BlockA8 {
  uint16_t d, m;
  uint8_t q[32];
};
#pragma pack(pop)

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22 &&
              sizeof(BlockQ5_1) == 24);
static_assert(sizeof(BlockQ8_0) == 34 && sizeof(BlockQ8_1) == 36 && sizeof(BlockMXFP4) == 17);
static_assert(sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110 && sizeof(BlockQ4_K) == 144);
static_assert(sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210 && sizeof(BlockQ8_K) == 292);
static_assert(sizeof(BlockIQ4_NL) == 18 && sizeof(BlockIQ4_XS) == 136 && sizeof(BlockIQ2_XXS) == 66);
static_assert(sizeof(BlockIQ2_XS) == 74 && sizeof(BlockIQ2_S) == 82 && sizeof(BlockIQ3_XXS) == 98);
static_assert(sizeof(BlockIQ3_S) == 110 && sizeof(BlockIQ1_S) == 50 && sizeof(BlockIQ1_M) == 56);
static_assert(sizeof(BlockNVFP4) == 36 && sizeof(BlockA4) == 20 && sizeof(BlockA5) == 24 && sizeof(BlockA8) == 36);
static_assert(sizeof(BlockTQ1_0) == 54 && sizeof(BlockTQ2_0) == 66);

// 4-bit code → value, times the block's scale.
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
inline constexpr int8_t kFp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};  // twice E2M1

}  // namespace exo::kernels
