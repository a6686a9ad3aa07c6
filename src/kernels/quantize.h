#pragma once
// f32 → the formats that `exo synth` and tests write. Simple and accurate enough for them: no importance matrix.

#include <cstddef>
#include <cstdint>

#include "base/element_type.h"

namespace exo::kernels {

// F32, F16, BF16, Q4_0, Q8_0, Q4_K, Q6_K.
bool can_quantize(ElementType type);

// Writes n elements (whole blocks of `type`, which can_quantize) as a row at `out`. Elements are finite.
void quantize_row(ElementType type, const float* x, std::byte* out, int64_t n);

}  // namespace exo::kernels
