#pragma once
// Which experts one row goes to.

#include <cstdint>
#include <span>

#include "ops/ops.h"

namespace exo::ops {

int64_t router_scratch_floats(int64_t n_experts, int64_t n_groups);

// Fills experts and weights, both [n_chosen], as Ops::route describes. Whatever the logits are (NaN too), the
// experts are different ones and in range.
void route_row(std::span<const float> logits, const RoutingParams& params, float* scratch,
               std::span<int32_t> experts, std::span<float> weights);

}  // namespace exo::ops
