#include "kernels/int8_multiply.h"
#include "kernels/int8_multiply_wasm.h"

namespace exo::kernels {

std::span<const Int8Target> int8_targets() {
  static constexpr Int8Target kList[] = {
      {"SIMD128", false, int8_multiply_wasm, int8_rows_wasm, straight_columns_wasm},
      {"scalar", false, int8_multiply_scalar},
  };
  return kList;
}

}  // namespace exo::kernels
