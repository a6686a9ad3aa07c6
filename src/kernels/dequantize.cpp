#include "kernels/dequantize.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/half.h"
#include "kernels/unpack.h"

namespace exo::kernels {

bool can_dequantize(ElementType type) {
  using enum ElementType;
  return type == kF32 || type == kF16 || type == kBF16 || is_quantized(type);
}

void dequantize_row(ElementType type, const std::byte* row, float* out, int64_t n) {
  if (type == ElementType::kF32) {
    std::memcpy(out, row, static_cast<size_t>(n) * sizeof(float));
    return;
  }
  if (type == ElementType::kF16 || type == ElementType::kBF16) {
    for (int64_t i = 0; i < n; ++i) {
      uint16_t h;
      std::memcpy(&h, row + 2 * i, 2);
      out[i] = type == ElementType::kF16 ? f16_to_f32(h) : bf16_to_f32(h);
    }
    return;
  }
  EXO_CHECK(is_quantized(type));
  const bool minimums = has_minimums(type);
  Group groups[kGroupsPerSuper];
  for (int64_t first = 0; first < n / kGroup; first += kGroupsPerSuper) {
    const int64_t count = std::min<int64_t>(kGroupsPerSuper, n / kGroup - first);
    unpack_groups(type, row, first, count, groups);
    for (int64_t g = 0; g < count; ++g) {
      float* to = out + (first + g) * kGroup;
      for (int i = 0; i < kGroup; ++i) to[i] = groups[g].scale[i / 16] * static_cast<float>(groups[g].q[i]);
      if (!minimums) continue;
      for (int i = 0; i < kGroup; ++i) to[i] -= groups[g].min[i / 16];
    }
  }
}

}  // namespace exo::kernels
