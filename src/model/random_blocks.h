#pragma once
// Random weights written directly in a number format's bytes.

#include <cstdint>
#include <span>

#include "base/element_type.h"

namespace exo::model {

// F32, F16, BF16, Q4_0, Q8_0, Q4_K and Q6_K.
bool can_randomize(ElementType type);

// Fills `bytes`, whole blocks of `type` (which can_randomize), with weights of mean about 0 and the given standard
// deviation; the same for the same seed.
void fill_random(ElementType type, double deviation, uint64_t seed, std::span<std::byte> bytes);

}  // namespace exo::model
