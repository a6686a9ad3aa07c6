// The definition of the integer product in plain code: the oracle of all others, and the kernel of processors for
// which there is no other.
#include <cmath>

#include "kernels/int8_multiply.h"
#include "kernels/kernel_table.h"

namespace exo::kernels {
namespace {

void multiply_column(PanelKind kind, const Panel& panel, int groups, const ActivationBlock& x, float* y) {
  const bool half_scales = kind == PanelKind::kHalf || kind == PanelKind::kHalfMin;
  const bool min = kind != PanelKind::kWhole && kind != PanelKind::kHalf;
  const int halves = half_scales ? 2 : 1, words = 8 / halves;
  for (int g = 0; g < groups; ++g) {
    for (int h = 0; h < halves; ++h) {
      int32_t dot[kPanelRows] = {};
      for (int k = h * words; k < (h + 1) * words; ++k) {
        for (int r = 0; r < kPanelRows; ++r) {
          for (int i = 0; i < 4; ++i) {
            dot[r] += static_cast<int8_t>(panel.q[g][k][4 * r + i]) * x.q[kGroup * g + 4 * k + i];
          }
        }
      }
      const float sum = half_scales ? x.scaled_half_sum[2 * g + h] : x.scaled_sum[g];
      for (int r = 0; r < kPanelRows; ++r) {
        y[r] = std::fma(static_cast<float>(dot[r]), panel.scale[g][h][r] * x.scale[g], y[r]);
        if (min) y[r] = std::fma(-panel.min[g][h][r], sum, y[r]);
      }
    }
  }
}

void multiply(PanelKind kind, const Panel* panels, int n_panels, int groups, const ActivationBlock* x,
              int64_t n_columns, const Ahead&, float* y, int64_t y_stride) {
  for (int p = 0; p < n_panels; ++p) {
    for (int64_t c = 0; c < n_columns; ++c) {
      multiply_column(kind, panels[p], groups, x[c], y + c * y_stride + p * kPanelRows);
    }
  }
}

void pack(ElementType type, const PanelRows& rows, int64_t first, int64_t count, const Ahead&, Panel& out) {
  pack_reference(type, rows, first, count, 0, out);
}

}  // namespace

constinit const Int8Target kInt8Scalar = {.name = "scalar",
                                          .unsigned_panels = false,
                                          .pack = pack,
                                          .multiply = multiply,
                                          .multiply_rows = nullptr,
                                          .straight_columns = nullptr};

}  // namespace exo::kernels
