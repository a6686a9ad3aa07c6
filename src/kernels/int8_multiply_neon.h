#pragma once
// The integer product of 64-bit Arm: with SMMLA (FEAT_I8MM), with SDOT (FEAT_DotProd), with what every one has.

#include "kernels/int8_multiply.h"

namespace exo::kernels {

void int8_multiply_neon_i8mm(PanelKind, const Panel*, int, int, const ActivationBlock*, int64_t, float*, int64_t);
void int8_multiply_neon_dotprod(PanelKind, const Panel*, int, int, const ActivationBlock*, int64_t, float*,
                                int64_t);
void int8_multiply_neon(PanelKind, const Panel*, int, int, const ActivationBlock*, int64_t, float*, int64_t);

int64_t int8_rows_neon_dotprod(ElementType, const RowsProduct&);
int64_t int8_rows_neon(ElementType, const RowsProduct&);

int straight_columns_neon_dotprod(ElementType);
int straight_columns_neon(ElementType);

}  // namespace exo::kernels
