// SDOT. Compiled with its own flags (module.cmake); called only where the processor has it.
#include "kernels/int8_neon_dotprod-inl.h"

namespace exo::kernels {

void int8_multiply_neon_dotprod(PanelKind kind, const Panel* panels, int n_panels, int groups,
                                const ActivationBlock* x, int64_t n_columns, float* y, int64_t y_stride) {
  multiply<NeonDotProd>(kind, panels, n_panels, groups, x, n_columns, y, y_stride);
}

int64_t int8_rows_neon_dotprod(ElementType type, const RowsProduct& product) {
  return multiply_rows<NeonDotProd>(type, product);
}

int straight_columns_neon_dotprod(ElementType type) { return straight_columns<NeonDotProd>(type); }

}  // namespace exo::kernels
