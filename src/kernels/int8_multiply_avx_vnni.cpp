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

constinit const Int8Target kInt8AvxVnni = int8_target<AvxVnni>("AVX-VNNI");

}  // namespace exo::kernels
