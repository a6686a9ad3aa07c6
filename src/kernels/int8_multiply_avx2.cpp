// AVX2 with FMA. Compiled with its own flags (module.cmake); called only where the processor has them.
#include "kernels/int8_avx2-inl.h"

namespace exo::kernels {
namespace {
struct Avx2 : Avx2Vectors {
  static constexpr bool kUnsigned = false;
  static I sum_words(I sum, I pairs) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  // |w| reaches 128 and |x| 127, so a sum of two products stays below 2^15.
  static I dot(I sum, I w, I x) {
    return sum_words(sum, _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)));
  }
  static I small_dot(I sum, I w, I x) { return sum_words(sum, _mm256_maddubs_epi16(w, x)); }
};
}  // namespace

void int8_multiply_avx2(PanelKind kind, const Panel* panels, int n_panels, int groups, const ActivationBlock* x,
                        int64_t n_columns, float* y, int64_t y_stride) {
  multiply<Avx2>(kind, panels, n_panels, groups, x, n_columns, y, y_stride);
}

int64_t int8_rows_avx2(ElementType type, const RowsProduct& product) {
  return multiply_rows<Avx2>(type, product);
}

int straight_columns_avx2(ElementType type) { return straight_columns<Avx2>(type); }

}  // namespace exo::kernels
