#pragma once

#include <span>

#include "ops/cpu/cpu_products.h"

namespace exo::ops {

// Products of one x with several weights (ops.h).
class CpuMatmul {
 public:
  explicit CpuMatmul(CpuContext& context) : context_(context), products_(context) {}
  void run(Tensor x, std::span<const Linear> projections);
  void run_packed(std::span<const PackedColumns> x, int64_t n_rows, std::span<const Linear> projections);

 private:
  void quantize(Tensor x);
  void restore(std::span<const PackedColumns> x, int64_t n_rows);
  void pad(Tensor x);
  void multiply(std::span<const Linear> projections);

  CpuContext& context_;
  CpuProducts products_;
  Scratch activations_, padded_;
  PreparedColumns columns_;
};

}  // namespace exo::ops
