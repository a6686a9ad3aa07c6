#pragma once
// The integer product of WebAssembly with 128-bit SIMD.

#include "kernels/int8_multiply.h"

namespace exo::kernels {

void int8_multiply_wasm(PanelKind, const Panel*, int, int, const ActivationBlock*, int64_t, float*, int64_t);
int64_t int8_rows_wasm(ElementType, const RowsProduct&);

int straight_columns_wasm(ElementType);

}  // namespace exo::kernels
