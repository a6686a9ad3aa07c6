#pragma once
// Random numbers as a function of (seed, position): Philox4x32-10 of Salmon et al., "Parallel random numbers: as
// easy as 1, 2, 3" (SC 2011). Integer arithmetic only, so every machine gives the same numbers.

#include <array>
#include <cstdint>

namespace exo::sample {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Uniform in [0, 1), a multiple of 2^-53.
double uniform(uint64_t seed, int32_t position);

}  // namespace exo::sample
