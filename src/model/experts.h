#pragma once
// The feed-forward of blocks with a mixture of experts: a router chooses a few experts for each row, each a gated
// feed-forward of its own; some families add one that all rows share.

#include "model/hyperparameters.h"
#include "model/tensor_loader.h"
#include "model/tensor_share.h"
#include "ops/ops.h"

namespace exo::model {

class BlockNames;
struct BlockContext;

struct ExpertWeights {
  ops::Weight router;  // [n_experts, d_model]
  ops::Vector router_bias, selection_bias;
  ops::Weight gate, up, down;  // n_experts matrices each
  ops::Vector gate_bias, up_bias, down_bias;
  ops::Weight shared_router;  // [1, d_model] decides how much of the shared expert is added; may be empty: all
};

Result<ExpertWeights> load_experts(TensorLoader& loader, const BlockNames& names, const Hyperparameters& model,
                                   const LayerHyperparameters& layer, const TensorShare& share);

// What the chosen experts make of each row, not yet combined: add_experts does that. In the workspace until the
// next call.
struct ExpertResults {
  ops::Routing routing;
  ops::Tensor outputs;  // [n_pairs, this member's part of d_model]
};
// input: [n_rows, d_model]
ExpertResults run_experts(const BlockContext& context, const LayerHyperparameters& layer,
                          const ExpertWeights& weights, ops::Tensor input);

// out: [n_rows, this member's part of d_model] (+)= the weighted sum of each row's experts.
void add_experts(const BlockContext& context, const ExpertResults& results, ops::Tensor out, bool accumulate);

}  // namespace exo::model
