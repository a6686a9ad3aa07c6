#pragma once
// The integer product for instruction sets that Highway does not reach, one file each. A file for another processor
// family is left out by module.cmake, and int8_targets() knows which are there and which this machine runs.

#include <span>
#include <string_view>

#include "kernels/panel.h"

namespace exo::kernels {

using Int8Multiply = void (*)(PanelKind kind, const Panel* panels, int n_panels, int groups,
                              const ActivationBlock* x, int64_t n_columns, float* y, int64_t y_stride);

void int8_multiply_scalar(PanelKind, const Panel*, int, int, const ActivationBlock*, int64_t, float*, int64_t);
void int8_multiply_avx2(PanelKind, const Panel*, int, int, const ActivationBlock*, int64_t, float*, int64_t);
void int8_multiply_avx_vnni(PanelKind, const Panel*, int, int, const ActivationBlock*, int64_t, float*, int64_t);
void int8_multiply_avx512_vnni(PanelKind, const Panel*, int, int, const ActivationBlock*, int64_t, float*, int64_t);

// KernelTable::multiply_rows of the targets that have it.
using Int8Rows = int64_t (*)(ElementType type, const RowsProduct& product);

using Int8RowsColumns = int (*)(ElementType type);  // KernelTable::straight_columns

int64_t int8_rows_avx2(ElementType, const RowsProduct&);
int64_t int8_rows_avx_vnni(ElementType, const RowsProduct&);
int64_t int8_rows_avx512_vnni(ElementType, const RowsProduct&);

int straight_columns_avx2(ElementType);
int straight_columns_avx_vnni(ElementType);
int straight_columns_avx512_vnni(ElementType);

struct Int8Target {
  std::string_view name;
  bool unsigned_panels;
  Int8Multiply multiply;
  Int8Rows rows = nullptr;
  Int8RowsColumns straight_columns = nullptr;
};
// Those that this machine runs, fastest first.
std::span<const Int8Target> int8_targets();

}  // namespace exo::kernels
