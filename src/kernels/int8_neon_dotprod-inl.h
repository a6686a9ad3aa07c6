// The vectors of processors with SDOT. Included by files that are compiled with the flag.
#include "kernels/int8_neon-inl.h"

namespace exo::kernels {
namespace {
struct NeonDotProd : NeonVectors {
  static I dot(I sum, I w, I x) { return vdotq_s32(sum, as_bytes(w), as_bytes(x)); }
  static I small_dot(I sum, I w, I x) { return dot(sum, w, x); }
};
}  // namespace
}  // namespace exo::kernels
