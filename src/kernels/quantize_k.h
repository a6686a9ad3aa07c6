#pragma once
// f32 → one block of the formats of 256 elements.

#include "kernels/blocks.h"

namespace exo::kernels {

void quantize(const float* x, BlockQ2_K& block);
void quantize(const float* x, BlockQ3_K& block);
void quantize(const float* x, BlockQ4_K& block);
void quantize(const float* x, BlockQ5_K& block);
void quantize(const float* x, BlockQ6_K& block);
void quantize(const float* x, BlockIQ4_XS& block);

}  // namespace exo::kernels
