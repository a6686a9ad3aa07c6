#include "kernels/int8_multiply.h"

namespace exo::kernels {

std::span<const Int8Target> int8_targets() {
  static const Int8Target list[] = {kInt8Wasm, kInt8Scalar};
  return list;
}

}  // namespace exo::kernels
