// The body of the integer product over the vectors of one instruction set, included by one file each:
// `Isa` has I (32-bit integers) and F (floats) of kLanes lanes, and
//   zero(), broadcast(int32_t), load(bytes), dot(sum, w, x): sum + Σ of four products of bytes, w of the panel,
//   to_float, load_f, store_f, broadcast_f, mul, fma(a, b, c) = a * b + c, fnma = c - a * b.
// kColumns are multiplied together where there are many, kFewColumns where there are few;
// kUnsigned: dot takes w as unsigned, which is the value plus 128, and the sum starts from the activations' bias.

#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>

#include "kernels/int8_multiply.h"
#include "kernels/int8_runs-inl.h"

namespace exo::kernels {
namespace {

template <typename Isa, int kPanels, int kColumns, bool kHalf, bool kMin, bool kSigned = !kMin>
EXO_INLINE void multiply_tile(const Panel* panels, int groups, const ActivationBlock* x, const Ahead& ahead,
                              float* y, int64_t y_stride) {
  using I = typename Isa::I;
  using F = typename Isa::F;
  constexpr int kPerPanel = kPanelRows / Isa::kLanes;
  constexpr int kVectors = kPanels * kPerPanel;
  constexpr int kHalves = kHalf ? 2 : 1, kWords = 8 / kHalves;
  // Lines of an ActivationBlock that this kind of panel needs.
  constexpr int kLinesRead = kHalf && kMin ? 8 : kHalf ? 7 : kMin ? 6 : 5;
  static_assert(offsetof(ActivationBlock, scaled_sum) == 5 * 64 && sizeof(ActivationBlock) == 8 * 64);
  F total[kVectors][kColumns];
  for (int v = 0; v < kVectors; ++v) {
    for (int c = 0; c < kColumns; ++c) total[v][c] = Isa::load_f(y + c * y_stride + v * Isa::kLanes);
  }
  for (int c = 0; c < kColumns; ++c) {
    for (int p = 0; p < kPanels; ++p) __builtin_prefetch(y + (kColumns + c) * y_stride + p * kPanelRows, 1);
  }
  auto asked = ahead.ask(groups);
  for (int g = 0; g < groups; ++g) {
    asked.step();
    // The next tile's activations, a line of each per group: their stride is no pattern that processors foresee.
    if (g < kLinesRead) {
      for (int c = 0; c < kColumns; ++c) {
        __builtin_prefetch(reinterpret_cast<const char*>(x + kColumns + c) + g * 64);
      }
    }
#pragma GCC unroll 2
    for (int h = 0; h < kHalves; ++h) {
      I dot[kVectors][kColumns];
      for (int c = 0; c < kColumns; ++c) {
        const I start = !Isa::kUnsigned || !kSigned
                            ? Isa::zero()
                            : Isa::broadcast(kHalf ? x[c].half_bias[2 * g + h] : x[c].bias[g]);
        for (int v = 0; v < kVectors; ++v) dot[v][c] = start;
      }
#pragma GCC unroll 8
      for (int k = 0; k < kWords; ++k) {
        const int word = h * kWords + k;
        I w[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          w[v] = Isa::load(panels[v / kPerPanel].q[g][word] + v % kPerPanel * Isa::kLanes * 4);
        }
        for (int c = 0; c < kColumns; ++c) {
          int32_t four;
          std::memcpy(&four, x[c].q + kGroup * g + 4 * word, 4);
          const I xv = Isa::broadcast(four);
          for (int v = 0; v < kVectors; ++v) dot[v][c] = Isa::dot(dot[v][c], w[v], xv);
        }
      }
      for (int v = 0; v < kVectors; ++v) {
        const Panel& panel = panels[v / kPerPanel];
        const int lane = v % kPerPanel * Isa::kLanes;
        const F scale = Isa::load_f(panel.scale[g][h] + lane);
        for (int c = 0; c < kColumns; ++c) {
          total[v][c] =
              Isa::fma(Isa::to_float(dot[v][c]), Isa::mul(scale, Isa::broadcast_f(x[c].scale[g])), total[v][c]);
        }
        if constexpr (kMin) {
          const F min = Isa::load_f(panel.min[g][h] + lane);
          for (int c = 0; c < kColumns; ++c) {
            const float sum = kHalf ? x[c].scaled_half_sum[2 * g + h] : x[c].scaled_sum[g];
            total[v][c] = Isa::fnma(min, Isa::broadcast_f(sum), total[v][c]);
          }
        }
      }
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    for (int c = 0; c < kColumns; ++c) Isa::store_f(y + c * y_stride + v * Isa::kLanes, total[v][c]);
  }
}

// Kept apart from each other, so that each has the registers to itself.
template <typename Isa, int kPanels, int kColumns, bool kHalf, bool kMin, bool kSigned = !kMin>
__attribute__((noinline)) void tile(const Panel* panels, int groups, const ActivationBlock* x, const Ahead& ahead,
                                    float* y, int64_t y_stride) {
  multiply_tile<Isa, kPanels, kColumns, kHalf, kMin, kSigned>(panels, groups, x, ahead, y, y_stride);
}

template <typename Isa, int kPanels, bool kHalf, bool kMin, bool kSigned = !kMin>
void multiply_columns(const Panel* panels, int groups, const ActivationBlock* x, int64_t n, const Ahead& ahead,
                      float* y, int64_t y_stride) {
  int64_t done = 0;
  const auto run = [&]<int kColumns>(std::integral_constant<int, kColumns>) {
    tile<Isa, kPanels, kColumns, kHalf, kMin, kSigned>(panels, groups, x, ahead.part(done, done + kColumns, n), y,
                                                       y_stride);
    done += kColumns, x += kColumns, y += kColumns * y_stride;
  };
  if (n > 2 * Isa::kFewColumns || kPanels < Isa::kPanels) return for_runs<Isa::kColumns>(n, run);
  for_runs<Isa::kFewColumns>(n, run);
}

template <typename Isa, int kPanels>
void multiply_kind(PanelKind kind, const Panel* panels, int groups, const ActivationBlock* x, int64_t n,
                   const Ahead& ahead, float* y, int64_t y_stride) {
  switch (kind) {
    case PanelKind::kWhole:
      return multiply_columns<Isa, kPanels, false, false>(panels, groups, x, n, ahead, y, y_stride);
    case PanelKind::kWholeMin:
      return multiply_columns<Isa, kPanels, false, true>(panels, groups, x, n, ahead, y, y_stride);
    case PanelKind::kHalf:
      return multiply_columns<Isa, kPanels, true, false>(panels, groups, x, n, ahead, y, y_stride);
    case PanelKind::kHalfMin:
      return multiply_columns<Isa, kPanels, true, true>(panels, groups, x, n, ahead, y, y_stride);
    case PanelKind::kWholeSignedMin:
      return multiply_columns<Isa, kPanels, false, true, true>(panels, groups, x, n, ahead, y, y_stride);
  }
}

template <typename Isa>
void multiply(PanelKind kind, const Panel* panels, int n_panels, int groups, const ActivationBlock* x, int64_t n,
              const Ahead& ahead, float* y, int64_t y_stride) {
  if constexpr (Isa::kPanels == 2) {
    if (n_panels == 2) return multiply_kind<Isa, 2>(kind, panels, groups, x, n, ahead, y, y_stride);
  }
  for (int p = 0; p < n_panels; ++p) {
    multiply_kind<Isa, 1>(kind, panels + p, groups, x, n, ahead.part(p, p + 1, n_panels), y + p * kPanelRows,
                          y_stride);
  }
}

}  // namespace
}  // namespace exo::kernels
