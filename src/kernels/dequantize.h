#pragma once
// Weights as f32, bit for bit what ggml's reference gives.

#include <cstddef>
#include <cstdint>

#include "base/element_type.h"

namespace exo::kernels {

// True for F32, F16, BF16 and every quantised format.
bool can_dequantize(ElementType type);

// out[0, n): the first n elements of a row; n is whole blocks of `type`, which can_dequantize.
void dequantize_row(ElementType type, const std::byte* row, float* out, int64_t n);

}  // namespace exo::kernels
