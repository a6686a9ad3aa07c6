// SDOT. Compiled with its own flags (module.cmake); called only where the processor has it.
#include "kernels/int8_neon_dotprod-inl.h"

namespace exo::kernels {

constinit const Int8Target kInt8NeonDotProd = int8_target<NeonDotProd>("DotProd");

}  // namespace exo::kernels
