// Matrix products of one x with several weights: x is prepared once for each kind of weight.
#include "ops/cpu/cpu_matmul.h"

#include <algorithm>
#include <array>

namespace exo::ops {

void CpuMatmul::quantize(Tensor x) {
  const int64_t supers = (x.cols + kernels::kSuperBlockElements - 1) / kernels::kSuperBlockElements;
  auto* blocks = activations_.get<kernels::ActivationBlock>(static_cast<size_t>(supers * x.rows));
  context_.for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      context_.kernels.quantize_activations(x.data + r * x.stride, x.cols, blocks + r, x.rows);
    }
  });
  columns_.quantized = blocks;
}

void CpuMatmul::restore(std::span<const PackedColumns> x, int64_t n_rows) {
  constexpr int64_t kGroupsOfBlock = kernels::kGroupsPerSuper, kGroupBytes = Ops::packed_bytes(kernels::kGroup);
  int64_t cols = 0;
  for (const PackedColumns& part : x) cols += part.cols;
  const int64_t supers = (cols + kernels::kSuperBlockElements - 1) / kernels::kSuperBlockElements;
  auto* blocks = activations_.get<kernels::ActivationBlock>(static_cast<size_t>(supers * n_rows));
  context_.for_rows(n_rows, cols, [&](int64_t begin, int64_t end) {
    std::array<const std::byte*, kGroupsOfBlock> groups;
    for (int64_t r = begin; r < end; ++r) {
      auto* block = blocks + r;
      size_t n = 0;
      for (const PackedColumns& part : x) {
        const std::byte* at = part.rows + r * Ops::packed_bytes(part.cols);
        for (int64_t g = 0; g < part.cols / kernels::kGroup; ++g, at += kGroupBytes) {
          groups[n++] = at;
          if (n < groups.size()) continue;
          context_.kernels.restore_activations(groups.data(), static_cast<int>(n), *block);
          block += n_rows;
          n = 0;
        }
      }
      if (n > 0) context_.kernels.restore_activations(groups.data(), static_cast<int>(n), *block);
    }
  });
  columns_ = {.count = n_rows, .quantized = blocks};
}

void CpuMatmul::pad(Tensor x) {
  const int64_t stride = prepared_stride(x.cols);
  auto* padded = padded_.get<float>(static_cast<size_t>(x.rows * stride));
  context_.for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) std::copy_n(x.data + r * x.stride, x.cols, padded + r * stride);
  });
  columns_.floats = padded;
  columns_.float_stride = stride;
}

void CpuMatmul::run(Tensor x, std::span<const Linear> projections) {
  if (x.rows == 0) return;
  const auto is_quantized = [](const Linear& linear) { return kernels::is_quantized(linear.weight->type); };
  columns_ = {.count = x.rows, .floats = x.data, .float_stride = x.stride};
  if (std::ranges::any_of(projections, is_quantized)) quantize(x);
  if (x.rows >= kWideColumns && !std::ranges::all_of(projections, is_quantized)) pad(x);
  multiply(projections);
}

void CpuMatmul::run_packed(std::span<const PackedColumns> x, int64_t n_rows, std::span<const Linear> projections) {
  if (n_rows == 0) return;
  restore(x, n_rows);
  multiply(projections);
}

void CpuMatmul::multiply(std::span<const Linear> projections) {
  products_.clear();
  for (const Linear& linear : projections) {
    const Weight& w = *linear.weight;
    products_.add({.type = w.type,
                   .rows = w.rows,
                   .cols = w.cols,
                   .matrix = w.data,
                   .columns = columns_,
                   .out = linear.out,
                   .bias = linear.bias.data,
                   .accumulate = linear.accumulate});
  }
  products_.run();
}

}  // namespace exo::ops
