#pragma once

#include <span>
#include <vector>

#include "ops/cpu/cpu_products.h"

namespace exo::ops {

// A mixture of experts (ops.h).
class CpuExperts {
 public:
  explicit CpuExperts(CpuContext& context) : context_(context), products_(context) {}
  void route(Tensor logits, const RoutingParams& params, const Routing& out);
  void multiply(Tensor x, const Routing& routing, std::span<const ExpertLinear> projections);
  void scale_pairs(Tensor x, const Routing& routing);
  void combine(Tensor x, const Routing& routing, bool weighted, Tensor out, bool accumulate);

 private:
  void group(const Routing& routing, int64_t n_experts);
  void quantize(Tensor x, const Routing& routing);
  void gather(Tensor x, const Routing& routing);
  PreparedColumns columns_of(int64_t expert, int64_t cols) const;

  CpuContext& context_;
  CpuProducts products_;
  Scratch activations_, gathered_;
  const kernels::ActivationBlock* quantized_ = nullptr;
  const float* floats_ = nullptr;
  // Pairs ordered by expert, and by row for each: those of expert e are pairs_[starts_[e], starts_[e + 1]).
  std::vector<int32_t> pairs_, places_;  // places_[p]: where in pairs_ pair p is
  std::vector<int32_t> starts_;
};

}  // namespace exo::ops
