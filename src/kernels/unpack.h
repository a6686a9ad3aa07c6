#pragma once
// What a quantised format means, once for all: every format is groups of 32 integers of 8 bits, each half of a
// group with a scale and (for some formats) a minimum. Dequantisation, the oracle of the products and the packing
// of panels follow from it.

#include <cstddef>
#include <cstdint>

#include "base/element_type.h"

namespace exo::kernels {

inline constexpr int kGroup = 32;  // elements
inline constexpr int kGroupsPerSuper = 8;
inline constexpr int kSuperBlockElements = kGroup * kGroupsPerSuper;

// Element i of the group is scale[i / 16] * q[i] - min[i / 16], products and differences rounded to f32.
struct Group {
  int8_t q[kGroup];
  float scale[2];
  float min[2];
};

// True for formats that are groups of integers; false for F32, F16, BF16 and non-weights.
bool is_quantized(ElementType type);
// True when the two halves of a group may have different scales.
bool has_half_group_scales(ElementType type);
// True when `min` may be other than zero. Then all q are in [0, 127] or, for has_centred_minimums, q are stored as
// [0, 255] and given less 128, which the minimum makes good.
bool has_minimums(ElementType type);
bool has_centred_minimums(ElementType type);

// Groups [first, first + count) of a row that starts at `row`. For formats of 256-element blocks first and count
// are multiples of 8, for formats of 64-element blocks multiples of 2.
void unpack_groups(ElementType type, const std::byte* row, int64_t first, int64_t count, Group* out);

}  // namespace exo::kernels
