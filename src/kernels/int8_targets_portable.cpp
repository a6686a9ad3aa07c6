#include "kernels/int8_multiply.h"

namespace exo::kernels {

std::span<const Int8Target> int8_targets() {
  static constexpr Int8Target kList[] = {{"scalar", false, int8_multiply_scalar}};
  return kList;
}

}  // namespace exo::kernels
