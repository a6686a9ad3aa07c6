#pragma once
// f32 → quantised formats, by least squares per block: no importance matrix.

#include <cstddef>
#include <cstdint>

#include "base/element_type.h"

namespace exo::kernels {

// F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS, MXFP4.
bool can_quantize(ElementType type);

// Writes n elements (whole blocks of `type`, which can_quantize) as a row at `out`. Elements are finite.
void quantize_row(ElementType type, const float* x, std::byte* out, int64_t n);

}  // namespace exo::kernels
