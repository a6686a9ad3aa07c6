#include "kernels/unpack_iq.h"

#include <bit>

#include "kernels/half.h"
#include "kernels/iq_grids.h"

namespace exo::kernels {
namespace {

constexpr int8_t kLevels2[4] = {8, 25, 43, 0};  // IQ2: 2-bit digit → magnitude
constexpr int8_t kLevels3Xxs[8] = {4, 12, 20, 28, 36, 44, 52, 62};

// Seven stored sign bits; the eighth makes their number even.
uint8_t even_signs(uint32_t seven) {
  return static_cast<uint8_t>(seven | (static_cast<uint32_t>(std::popcount(seven)) & 1) << 7);
}

int8_t with_sign(int value, uint8_t signs, int i) { return static_cast<int8_t>(signs >> i & 1 ? -value : value); }

// Eight elements of an IQ2 grid: two bits each, lowest first.
void put_eight(uint16_t entry, uint8_t signs, int8_t* q) {
  for (int i = 0; i < 8; ++i) q[i] = with_sign(kLevels2[entry >> (2 * i) & 3], signs, i);
}

// Eight elements from two IQ3 grid entries of four: four bits each, lowest first.
template <typename Level>
void put_two_fours(uint16_t a, uint16_t b, uint8_t signs, Level level, int8_t* q) {
  for (int i = 0; i < 4; ++i) {
    q[i] = with_sign(level(a >> (4 * i) & 15), signs, i);
    q[4 + i] = with_sign(level(b >> (4 * i) & 15), signs, 4 + i);
  }
}

void set_scale(Group& g, int half, float scale) {
  g.scale[half] = scale;
  g.min[half] = 0.0f;
}

float iq2_scale(float d, int code) { return d * (0.5f + static_cast<float>(code)) * 0.25f; }

// IQ1: (digit ± 1/8) * scale, kept whole as (8 * digit ± 1) * (scale / 8).
void put_eight_ternary(uint16_t entry, bool minus, int8_t* q) {
  for (int i = 0; i < 8; ++i) q[i] = static_cast<int8_t>(8 * ((entry >> (2 * i) & 3) - 1) + (minus ? -1 : 1));
}

}  // namespace

void unpack(const BlockIQ2_XXS& b, Group* g) {
  const float d = f16_to_f32(b.d);
  for (int n = 0; n < 8; ++n) {
    const uint16_t* q = b.q + 4 * n;
    const uint32_t codes = static_cast<uint32_t>(q[2]) | static_cast<uint32_t>(q[3]) << 16;
    for (int k = 0; k < 4; ++k) {
      const int index = q[k / 2] >> (8 * (k % 2)) & 255;
      put_eight(kGridIq2Xxs[index], even_signs(codes >> (7 * k) & 127), g[n].q + 8 * k);
    }
    for (int half = 0; half < 2; ++half) set_scale(g[n], half, iq2_scale(d, static_cast<int>(codes >> 28)));
  }
}

void unpack(const BlockIQ2_XS& b, Group* g) {
  const float d = f16_to_f32(b.d);
  for (int n = 0; n < 8; ++n) {
    for (int k = 0; k < 4; ++k) {
      const uint16_t code = b.q[4 * n + k];
      put_eight(kGridIq2Xs[code & 511], even_signs(code >> 9), g[n].q + 8 * k);
    }
    for (int half = 0; half < 2; ++half) set_scale(g[n], half, iq2_scale(d, b.scales[n] >> (4 * half) & 15));
  }
}

void unpack(const BlockIQ2_S& b, Group* g) {
  const float d = f16_to_f32(b.d);
  for (int n = 0; n < 8; ++n) {
    for (int k = 0; k < 4; ++k) {
      const int index = b.q[4 * n + k] | (b.high[n] >> (2 * k) & 3) << 8;
      put_eight(kGridIq2S[index], b.signs[4 * n + k], g[n].q + 8 * k);
    }
    for (int half = 0; half < 2; ++half) set_scale(g[n], half, iq2_scale(d, b.scales[n] >> (4 * half) & 15));
  }
}

void unpack(const BlockIQ3_XXS& b, Group* g) {
  const float d = f16_to_f32(b.d);
  for (int n = 0; n < 8; ++n) {
    const uint32_t codes = b.scales_signs[n];
    for (int k = 0; k < 4; ++k) {
      const uint8_t* index = b.q + 8 * n + 2 * k;
      put_two_fours(
          kGridIq3Xxs[index[0]], kGridIq3Xxs[index[1]], even_signs(codes >> (7 * k) & 127),
          [](int digit) { return kLevels3Xxs[digit]; }, g[n].q + 8 * k);
    }
    const float scale = d * (0.5f + static_cast<float>(codes >> 28)) * 0.5f;
    for (int half = 0; half < 2; ++half) set_scale(g[n], half, scale);
  }
}

void unpack(const BlockIQ3_S& b, Group* g) {
  const float d = f16_to_f32(b.d);
  for (int n = 0; n < 8; ++n) {
    for (int k = 0; k < 4; ++k) {
      const int first = b.q[8 * n + 2 * k] | (b.high[n] >> (2 * k) & 1) << 8;
      const int second = b.q[8 * n + 2 * k + 1] | (b.high[n] >> (2 * k + 1) & 1) << 8;
      put_two_fours(
          kGridIq3S[first], kGridIq3S[second], b.signs[4 * n + k], [](int digit) { return 2 * digit + 1; },
          g[n].q + 8 * k);
    }
    const float scale = d * static_cast<float>(1 + 2 * (b.scales[n / 2] >> (4 * (n % 2)) & 15));
    for (int half = 0; half < 2; ++half) set_scale(g[n], half, scale);
  }
}

void unpack(const BlockIQ1_S& b, Group* g) {
  const float d = f16_to_f32(b.d);
  for (int n = 0; n < 8; ++n) {
    const uint16_t high = b.high[n];
    for (int k = 0; k < 4; ++k) {
      const int index = b.q[4 * n + k] | (high >> (3 * k) & 7) << 8;
      put_eight_ternary(kGridIq1[index], (high & 0x8000) != 0, g[n].q + 8 * k);
    }
    const float scale = d * static_cast<float>(2 * (high >> 12 & 7) + 1) * 0.125f;
    for (int half = 0; half < 2; ++half) set_scale(g[n], half, scale);
  }
}

void unpack(const BlockIQ1_M& b, Group* g) {
  uint16_t d_bits = 0;
  for (int i = 0; i < 4; ++i) d_bits = static_cast<uint16_t>(d_bits | (b.scales[i] >> 12) << (4 * i));
  const float d = f16_to_f32(d_bits);
  for (int n = 0; n < 8; ++n) {
    for (int k = 0; k < 4; ++k) {
      const int high = b.high[2 * n + k / 2] >> (4 * (k % 2));
      put_eight_ternary(kGridIq1[b.q[4 * n + k] | (high & 7) << 8], (high & 8) != 0, g[n].q + 8 * k);
    }
    for (int half = 0; half < 2; ++half) {
      const int code = b.scales[n / 2] >> (6 * (n % 2) + 3 * half) & 7;
      set_scale(g[n], half, d * static_cast<float>(2 * code + 1) * 0.125f);
    }
  }
}

}  // namespace exo::kernels
