// AVX-VNNI: the 256-bit dot product of processors without AVX-512. Compiled with its own flags (module.cmake);
// called only where the processor has them.
#include "kernels/int8_avx2-inl.h"

namespace exo::kernels {
namespace {
struct AvxVnni : Avx2Vectors {
  static constexpr bool kUnsigned = true;
  static I dot(I sum, I w, I x) { return _mm256_dpbusd_avx_epi32(sum, w, x); }
  static I small_dot(I sum, I w, I x) { return dot(sum, w, x); }
};
}  // namespace

void int8_multiply_avx_vnni(PanelKind kind, const Panel* panels, int n_panels, int groups, const ActivationBlock* x,
                            int64_t n_columns, float* y, int64_t y_stride) {
  multiply<AvxVnni>(kind, panels, n_panels, groups, x, n_columns, y, y_stride);
}

int64_t int8_rows_avx_vnni(ElementType type, const RowsProduct& product) {
  return multiply_rows<AvxVnni>(type, product);
}

int straight_columns_avx_vnni(ElementType type) { return straight_columns<AvxVnni>(type); }

}  // namespace exo::kernels
