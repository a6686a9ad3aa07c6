#include "ops/cpu/cpu_packing.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace exo::ops {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr int64_t kGroup = Ops::kPackedColumns;
constexpr int64_t kGroupBytes = Ops::packed_bytes(kGroup);
constexpr float kMost = 127.0f;  // the integer of a group's largest number

void pack_row(const kernels::KernelTable& kernels, const float* x, int64_t cols, std::byte* to) {
  constexpr int64_t kGroups = kernels::kSuperBlockElements / kGroup;
  kernels::ActivationBlock block;
  for (int64_t first = 0; first < cols; first += kernels::kSuperBlockElements) {
    const int64_t n = std::min<int64_t>(kernels::kSuperBlockElements, cols - first);
    kernels.quantize_activations(x + first, n, &block, 1);
    for (int64_t g = 0; g < kGroups && g * kGroup < n; ++g, to += kGroupBytes) {
      const float* group = x + first + g * kGroup;
      float largest = 0.0f;
      for (int64_t i = 0; i < kGroup; ++i) largest = std::max(largest, std::abs(group[i]));
      std::memcpy(to, &largest, sizeof largest);
      std::memcpy(to + sizeof largest, block.q + g * kGroup, kGroup);
    }
  }
}

// The largest magnitude comes back exactly and every other number within its integer's bounds, so that rounding
// again gives the same scale and the same integers.
void unpack_row(const std::byte* from, int64_t cols, float* x) {
  for (int64_t first = 0; first < cols; first += kGroup, from += kGroupBytes) {
    float largest = 0.0f;
    std::memcpy(&largest, from, sizeof largest);
    const float step = largest / kMost;
    for (int64_t i = 0; i < kGroup; ++i) {
      const auto q = static_cast<float>(static_cast<int8_t>(from[sizeof largest + static_cast<size_t>(i)]));
      const float value = q * step;
      x[first + i] = q == kMost ? largest : q == -kMost ? -largest : value;
    }
  }
}

}  // namespace

void pack_rows(CpuContext& context, Tensor x, std::byte* to) {
  context.for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      pack_row(context.kernels, x.data + r * x.stride, x.cols, to + r * Ops::packed_bytes(x.cols));
    }
  });
}

void unpack_rows(CpuContext& context, const std::byte* from, Tensor x) {
  context.for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      unpack_row(from + r * Ops::packed_bytes(x.cols), x.cols, x.data + r * x.stride);
    }
  });
}

}  // namespace exo::ops
