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

constinit const Int8Target kInt8Avx2 = int8_target<Avx2>("AVX2");

}  // namespace exo::kernels
