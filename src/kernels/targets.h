#pragma once
// Which instruction sets the Highway sources are compiled for, and a call of a given one. Included first in each of
// them, before hwy/foreach_target.h. AVX3_DL is left out: Highway 1.0.3 compiles it with AVX-VNNI, which processors
// that it selects it for may lack; the int8 files have their own detection. SVE is left out because its vectors
// have no size at compile time.

#include <cstdint>

#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)

namespace exo::kernels {
struct KernelTable;
// Each fills its part of the table with the functions for one Highway target; false when the build lacks it.
bool fill_vector_math(int64_t target, KernelTable& table);
bool fill_float_conversions(int64_t target, KernelTable& table);
bool fill_float_product(int64_t target, KernelTable& table);
bool fill_attention(int64_t target, KernelTable& table);
bool fill_delta_rule(int64_t target, KernelTable& table);
}  // namespace exo::kernels
