#include <sys/auxv.h>

#include "kernels/arm_features.h"

namespace exo::kernels {

// Bits of the kernel's user interface (asm/hwcap.h), which older headers lack.
ArmFeatures arm_features() {
  constexpr unsigned long kDotProduct = 1ul << 20, kMatrixInt8 = 1ul << 13;
  return {.dot_product = (::getauxval(AT_HWCAP) & kDotProduct) != 0,
          .matrix_int8 = (::getauxval(AT_HWCAP2) & kMatrixInt8) != 0};
}

}  // namespace exo::kernels
