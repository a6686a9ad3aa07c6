#include "kernels/arm_features.h"
#include "kernels/int8_multiply.h"
#include "kernels/int8_multiply_neon.h"

namespace exo::kernels {

std::span<const Int8Target> int8_targets() {
  static const struct Found {
    Int8Target list[4];
    size_t count = 0;
    Found() {
      const ArmFeatures features = arm_features();
      if (features.dot_product && features.matrix_int8)
        list[count++] = {"I8MM", false, int8_multiply_neon_i8mm, int8_rows_neon_dotprod,
                         straight_columns_neon_dotprod};
      if (features.dot_product)
        list[count++] = {"DotProd", false, int8_multiply_neon_dotprod, int8_rows_neon_dotprod,
                         straight_columns_neon_dotprod};
      list[count++] = {"NEON", false, int8_multiply_neon, int8_rows_neon, straight_columns_neon};
      list[count++] = {"scalar", false, int8_multiply_scalar};
    }
  } found;
  return {found.list, found.count};
}

}  // namespace exo::kernels
