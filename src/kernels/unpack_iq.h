#pragma once
// Unpacking of the codebook formats (IQ1, IQ2, IQ3), whose elements are indices into fixed grids. Each call writes
// the eight groups of one super-block.

#include "kernels/blocks.h"
#include "kernels/unpack.h"

namespace exo::kernels {

void unpack(const BlockIQ2_XXS& block, Group* groups);
void unpack(const BlockIQ2_XS& block, Group* groups);
void unpack(const BlockIQ2_S& block, Group* groups);
void unpack(const BlockIQ3_XXS& block, Group* groups);
void unpack(const BlockIQ3_S& block, Group* groups);
void unpack(const BlockIQ1_S& block, Group* groups);
void unpack(const BlockIQ1_M& block, Group* groups);

}  // namespace exo::kernels
