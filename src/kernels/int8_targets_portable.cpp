#include "kernels/int8_multiply.h"

namespace exo::kernels {

std::span<const Int8Target> int8_targets() { return {&kInt8Scalar, 1}; }

}  // namespace exo::kernels
