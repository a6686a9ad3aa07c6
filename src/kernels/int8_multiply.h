#pragma once
// The integer product for instruction sets that Highway does not reach, one file each. A file for another processor
// family is left out by module.cmake, and int8_targets() knows which are there and which this machine runs.

#include <span>
#include <string_view>

#include "kernels/panel.h"

namespace exo::kernels {

struct Int8Target {
  std::string_view name;
  bool unsigned_panels;
  // As KernelTable's, which says what they do; the last two may be null.
  void (*pack)(ElementType type, const PanelRows& rows, int64_t first, int64_t count, const Ahead& ahead,
               Panel& out);
  void (*multiply)(PanelKind kind, const Panel* panels, int n_panels, int groups, const ActivationBlock* x,
                   int64_t n_columns, const Ahead& ahead, float* y, int64_t y_stride);
  int64_t (*multiply_rows)(ElementType type, const RowsProduct& product);
  int (*straight_columns)(ElementType type);
};

extern const Int8Target kInt8Scalar;
extern const Int8Target kInt8Avx2, kInt8AvxVnni, kInt8Avx512Vnni;
extern const Int8Target kInt8Neon, kInt8NeonDotProd, kInt8NeonI8mm;  // what every one has, FEAT_DotProd, FEAT_I8MM
extern const Int8Target kInt8Wasm;

// Those that this machine runs, fastest first; the last is kInt8Scalar.
std::span<const Int8Target> int8_targets();

}  // namespace exo::kernels
