#pragma once

#include "ops/cpu/cpu_products.h"

namespace exo::ops {

// Products of each head with a matrix of its own (ops.h).
class CpuHeadMatmul {
 public:
  explicit CpuHeadMatmul(CpuContext& context) : context_(context), products_(context) {}
  void run(Tensor x, const Weight& weight, Tensor out);

 private:
  void quantize(Tensor x, int64_t n_heads);
  void pad(Tensor x, int64_t n_heads);

  CpuContext& context_;
  CpuProducts products_;
  Scratch activations_, padded_;
  std::vector<PreparedColumns> columns_;  // [n_heads], a column for each row
};

}  // namespace exo::ops
