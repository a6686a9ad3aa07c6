// AVX-VNNI: the 256-bit dot product of processors without AVX-512. Compiled with its own flags (module.cmake);
// called only where the processor has them.
#include <immintrin.h>

#include "kernels/int8_multiply-inl.h"

namespace exo::kernels {
namespace {
struct AvxVnni {
  using I = __m256i;
  using F = __m256;
  static constexpr int kLanes = 8, kColumns = 2, kPanels = 1;
  static constexpr bool kUnsigned = true;
  static I zero() { return _mm256_setzero_si256(); }
  static I broadcast(int32_t v) { return _mm256_set1_epi32(v); }
  static I load(const uint8_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
  static I dot(I sum, I w, I x) { return _mm256_dpbusd_avx_epi32(sum, w, x); }
  static F to_float(I v) { return _mm256_cvtepi32_ps(v); }
  static F load_f(const float* p) { return _mm256_loadu_ps(p); }
  static void store_f(float* p, F v) { _mm256_storeu_ps(p, v); }
  static F broadcast_f(float v) { return _mm256_set1_ps(v); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F fnma(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
};
}  // namespace

void int8_multiply_avx_vnni(PanelKind kind, const Panel* panels, int n_panels, int groups, const ActivationBlock* x,
                            int64_t n_columns, float* y, int64_t y_stride) {
  multiply<AvxVnni>(kind, panels, n_panels, groups, x, n_columns, y, y_stride);
}

}  // namespace exo::kernels
