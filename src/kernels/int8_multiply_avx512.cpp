// AVX-512 VNNI. Compiled with its own flags (module.cmake); called only where the processor has them.
#include <immintrin.h>

#include "kernels/int8_multiply-inl.h"

namespace exo::kernels {
namespace {
struct Avx512Vnni {
  using I = __m512i;
  using F = __m512;
  static constexpr int kLanes = 16, kColumns = 6, kPanels = 2;
  static constexpr bool kUnsigned = true;
  static I zero() { return _mm512_setzero_si512(); }
  static I broadcast(int32_t v) { return _mm512_set1_epi32(v); }
  static I load(const uint8_t* p) { return _mm512_load_si512(p); }
  static I dot(I sum, I w, I x) { return _mm512_dpbusd_epi32(sum, w, x); }
  static F to_float(I v) { return _mm512_cvtepi32_ps(v); }
  static F load_f(const float* p) { return _mm512_loadu_ps(p); }
  static void store_f(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F broadcast_f(float v) { return _mm512_set1_ps(v); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
};
}  // namespace

void int8_multiply_avx512_vnni(PanelKind kind, const Panel* panels, int n_panels, int groups,
                               const ActivationBlock* x, int64_t n_columns, float* y, int64_t y_stride) {
  multiply<Avx512Vnni>(kind, panels, n_panels, groups, x, n_columns, y, y_stride);
}

}  // namespace exo::kernels
