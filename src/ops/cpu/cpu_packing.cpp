#include "ops/cpu/cpu_packing.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace exo::ops {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr int64_t kGroup = Ops::kPackedColumns;
constexpr int64_t kGroupBytes = Ops::packed_bytes(kGroup);
constexpr int32_t kMost = 127;  // the integer of a group's largest number

// Loops over integers, without a chain from number to number: compilers make vectors of them, which they do not of
// comparisons of floats.

float largest_of(const float* group) {
  std::array<int32_t, kGroup> bits;
  std::memcpy(bits.data(), group, sizeof bits);
  int32_t most = 0;  // magnitudes are ordered as their bits are
  for (size_t i = 0; i < bits.size(); ++i) most = std::max(most, bits[i] & INT32_MAX);
  return std::bit_cast<float>(most);
}

void unpack_group(const int8_t* from, float largest, float* to) {
  const float step = largest / static_cast<float>(kMost);
  const auto top = std::bit_cast<int32_t>(largest);
  std::array<int32_t, kGroup> q, bits;
  std::array<float, kGroup> x;
  for (size_t i = 0; i < q.size(); ++i) q[i] = from[i];
  for (size_t i = 0; i < q.size(); ++i) x[i] = static_cast<float>(q[i]) * step;
  std::memcpy(bits.data(), x.data(), sizeof bits);
  for (size_t i = 0; i < q.size(); ++i) {
    const int32_t is_most = -static_cast<int32_t>(q[i] == kMost) | -static_cast<int32_t>(q[i] == -kMost);
    const int32_t sign = q[i] & INT32_MIN;
    bits[i] = (bits[i] & ~is_most) | ((top | sign) & is_most);
  }
  std::memcpy(to, bits.data(), sizeof bits);
}

void pack_row(const kernels::KernelTable& kernels, const float* x, int64_t cols, std::byte* to) {
  constexpr int64_t kGroups = kernels::kSuperBlockElements / kGroup;
  kernels::ActivationBlock block;
  for (int64_t first = 0; first < cols; first += kernels::kSuperBlockElements) {
    const int64_t n = std::min<int64_t>(kernels::kSuperBlockElements, cols - first);
    kernels.quantize_activations(x + first, n, &block, 1);
    for (int64_t g = 0; g < kGroups && g * kGroup < n; ++g, to += kGroupBytes) {
      const float largest = largest_of(x + first + g * kGroup);
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
    unpack_group(reinterpret_cast<const int8_t*>(from + sizeof largest), largest, x + first);
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
