// SMMLA: two rows times two columns, eight elements at once. Compiled with its own flags (module.cmake); called
// only where the processor has it.
#include "kernels/int8_neon_dotprod-inl.h"

namespace exo::kernels {
namespace {

constexpr int kTileRows = 8;

// Eight elements of two neighbouring rows each, from the two words of a panel that hold them.
inline void load_row_pairs(const uint8_t* word, int8x16_t* pairs) {
  for (int v = 0; v < 2; ++v) {
    const int32x4_t first = NeonVectors::load(word + 16 * v);
    const int32x4_t second = NeonVectors::load(word + 4 * kPanelRows + 16 * v);
    pairs[2 * v] = vreinterpretq_s8_s32(vzip1q_s32(first, second));
    pairs[2 * v + 1] = vreinterpretq_s8_s32(vzip2q_s32(first, second));
  }
}

// One group's (or half group's) sums of four rows and one column, continued into y as panel.h says.
template <bool kMin>
inline void continue_rows(int32x4_t dot, float32x4_t scale, float32x4_t min, float x_scale, float x_sum, float* y) {
  using V = NeonVectors;
  float32x4_t total = V::fma(V::to_float(dot), V::mul(scale, V::broadcast_f(x_scale)), V::load_f(y));
  if constexpr (kMin) total = V::fnma(min, V::broadcast_f(x_sum), total);
  V::store_f(y, total);
}

// Rows [row, row + 8) of the panel and 2 * kPairs columns.
template <int kPairs, bool kHalf, bool kMin>
__attribute__((noinline)) void pair_tile(const Panel& panel, int row, int groups, const ActivationBlock* x,
                                         float* y, int64_t y_stride) {
  constexpr int kHalves = kHalf ? 2 : 1, kWords = 8 / kHalves;
  for (int g = 0; g < groups; ++g) {
    for (int h = 0; h < kHalves; ++h) {
      int32x4_t sums[kPairs][4];  // of a pair of columns and a pair of rows: r0c0, r0c1, r1c0, r1c1
      for (int p = 0; p < kPairs; ++p) {
        for (int r = 0; r < 4; ++r) sums[p][r] = vdupq_n_s32(0);
      }
#pragma GCC unroll 4
      for (int k = h * kWords; k < (h + 1) * kWords; k += 2) {
        int8x16_t w[4];
        load_row_pairs(panel.q[g][k] + 4 * row, w);
        for (int p = 0; p < kPairs; ++p) {
          const int64_t at = kGroup * g + 4 * k;
          const int8x16_t both = vcombine_s8(vld1_s8(x[2 * p].q + at), vld1_s8(x[2 * p + 1].q + at));
          for (int r = 0; r < 4; ++r) sums[p][r] = vmmlaq_s32(sums[p][r], w[r], both);
        }
      }
      for (int v = 0; v < 2; ++v) {
        const float32x4_t scale = vld1q_f32(panel.scale[g][h] + row + 4 * v);
        const float32x4_t min = kMin ? vld1q_f32(panel.min[g][h] + row + 4 * v) : vdupq_n_f32(0.0f);
        for (int c = 0; c < 2 * kPairs; ++c) {
          const int32x4_t* rows = sums[c / 2] + 2 * v;
          const int32x4_t dot = c % 2 == 0 ? vuzp1q_s32(rows[0], rows[1]) : vuzp2q_s32(rows[0], rows[1]);
          const float sum = kHalf ? x[c].scaled_half_sum[2 * g + h] : x[c].scaled_sum[g];
          continue_rows<kMin>(dot, scale, min, x[c].scale[g], sum, y + c * y_stride + row + 4 * v);
        }
      }
    }
  }
}

template <int kPairs, bool kHalf, bool kMin>
void panel_columns(const Panel& panel, int groups, const ActivationBlock*& x, int64_t& n, float*& y,
                   int64_t y_stride) {
  constexpr int kColumns = 2 * kPairs;
  for (; n >= kColumns; n -= kColumns, x += kColumns, y += kColumns * y_stride) {
    for (int row = 0; row < kPanelRows; row += kTileRows) {
      pair_tile<kPairs, kHalf, kMin>(panel, row, groups, x, y, y_stride);
    }
  }
}

template <bool kHalf, bool kMin>
void multiply_panel(PanelKind kind, const Panel& panel, int groups, const ActivationBlock* x, int64_t n, float* y,
                    int64_t y_stride) {
  panel_columns<4, kHalf, kMin>(panel, groups, x, n, y, y_stride);
  panel_columns<2, kHalf, kMin>(panel, groups, x, n, y, y_stride);
  panel_columns<1, kHalf, kMin>(panel, groups, x, n, y, y_stride);
  if (n == 1) multiply<NeonDotProd>(kind, &panel, 1, groups, x, 1, Ahead(), y, y_stride);
}

void multiply_pairs(PanelKind kind, const Panel* panels, int n_panels, int groups, const ActivationBlock* x,
                    int64_t n_columns, const Ahead& ahead, float* y, int64_t y_stride) {
  ahead.ask(1).step();
  for (int p = 0; p < n_panels; ++p, y += kPanelRows) {
    const Panel& panel = panels[p];
    switch (kind) {
      case PanelKind::kWhole:
        multiply_panel<false, false>(kind, panel, groups, x, n_columns, y, y_stride);
        break;
      case PanelKind::kWholeMin:
      case PanelKind::kWholeSignedMin:
        multiply_panel<false, true>(kind, panel, groups, x, n_columns, y, y_stride);
        break;
      case PanelKind::kHalf:
        multiply_panel<true, false>(kind, panel, groups, x, n_columns, y, y_stride);
        break;
      case PanelKind::kHalfMin:
        multiply_panel<true, true>(kind, panel, groups, x, n_columns, y, y_stride);
        break;
    }
  }
}

}  // namespace

constinit const Int8Target kInt8NeonI8mm = int8_target<NeonDotProd>("I8MM", multiply_pairs);

}  // namespace exo::kernels
