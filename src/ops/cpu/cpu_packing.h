#pragma once
// Activations as products with quantised weights see them, for travelling: for each group of 32 numbers the largest
// magnitude (f32) and 32 integers. Little-endian hosts only agree with each other.

#include "ops/cpu/cpu_context.h"

namespace exo::ops {

// See Ops::pack and Ops::unpack.
void pack_rows(CpuContext& context, Tensor x, std::byte* to);
void unpack_rows(CpuContext& context, const std::byte* from, Tensor x);

}  // namespace exo::ops
