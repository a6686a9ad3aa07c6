#include "ops/cpu/cpu_head_matmul.h"

#include <algorithm>

namespace exo::ops {

void CpuHeadMatmul::quantize(Tensor x, int64_t n_heads) {
  const int64_t rows = x.rows / n_heads;
  const int64_t supers = (x.cols + kernels::kSuperBlockElements - 1) / kernels::kSuperBlockElements;
  auto* blocks = activations_.get<kernels::ActivationBlock>(static_cast<size_t>(supers * x.rows));
  context_.for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      auto* of_head = blocks + i % n_heads * rows * supers;
      context_.kernels.quantize_activations(x.data + i * x.stride, x.cols, of_head + i / n_heads, rows);
    }
  });
  for (int64_t h = 0; h < n_heads; ++h) columns_[static_cast<size_t>(h)].quantized = blocks + h * rows * supers;
}

void CpuHeadMatmul::pad(Tensor x, int64_t n_heads) {
  const int64_t rows = x.rows / n_heads, stride = prepared_stride(x.cols);
  auto* padded = padded_.get<float>(static_cast<size_t>(x.rows * stride));
  context_.for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::copy_n(x.data + i * x.stride, x.cols, padded + (i % n_heads * rows + i / n_heads) * stride);
    }
  });
  for (int64_t h = 0; h < n_heads; ++h) {
    auto& columns = columns_[static_cast<size_t>(h)];
    columns.floats = padded + h * rows * stride;
    columns.float_stride = stride;
  }
}

void CpuHeadMatmul::run(Tensor x, const Weight& weight, Tensor out) {
  if (x.rows == 0) return;
  const int64_t n_heads = weight.n_matrices, rows = x.rows / n_heads;
  columns_.clear();
  for (int64_t h = 0; h < n_heads; ++h) {
    columns_.push_back({.count = rows, .floats = x.data + h * x.stride, .float_stride = x.stride * n_heads});
  }
  if (kernels::is_quantized(weight.type)) {
    quantize(x, n_heads);
  } else if (rows >= kWideColumns) {
    pad(x, n_heads);
  }
  products_.clear();
  for (int64_t h = 0; h < n_heads; ++h) {
    products_.add({.type = weight.type,
                   .rows = weight.rows,
                   .cols = weight.cols,
                   .matrix = weight.matrix(h),
                   .columns = columns_[static_cast<size_t>(h)],
                   .out = {out.data + h * out.stride, rows, out.cols, out.stride * n_heads}});
  }
  products_.run();
}

}  // namespace exo::ops
