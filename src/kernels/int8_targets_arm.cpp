#include "kernels/arm_features.h"
#include "kernels/int8_multiply.h"

namespace exo::kernels {

std::span<const Int8Target> int8_targets() {
  static const struct Found {
    Int8Target list[4];
    size_t count = 0;
    Found() {
      const ArmFeatures features = arm_features();
      if (features.dot_product && features.matrix_int8) list[count++] = kInt8NeonI8mm;
      if (features.dot_product) list[count++] = kInt8NeonDotProd;
      list[count++] = kInt8Neon;
      list[count++] = kInt8Scalar;
    }
  } found;
  return {found.list, found.count};
}

}  // namespace exo::kernels
