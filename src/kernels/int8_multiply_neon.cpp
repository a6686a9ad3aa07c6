// What every 64-bit Arm processor has (a Raspberry Pi 4 has no more): products of bytes as 16-bit integers, summed
// by pairs.
#include "kernels/int8_neon-inl.h"

namespace exo::kernels {
namespace {
struct Neon : NeonVectors {
  // |w| reaches 128 and |x| 127, so a sum of two products stays below 2^15.
  static I dot(I sum, I w, I x) {
    const int16x8_t low = vmull_s8(vget_low_s8(as_bytes(w)), vget_low_s8(as_bytes(x)));
    const int16x8_t high = vmull_high_s8(as_bytes(w), as_bytes(x));
    return vpadalq_s16(sum, vpaddq_s16(low, high));
  }
  static I small_dot(I sum, I w, I x) { return dot(sum, w, x); }
};
}  // namespace

constinit const Int8Target kInt8Neon = int8_target<Neon>("NEON");

}  // namespace exo::kernels
