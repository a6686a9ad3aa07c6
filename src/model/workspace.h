#pragma once
// The activations of a step: allocated once at load for the largest step, reused by every block.

#include <memory>

#include "model/hyperparameters.h"
#include "model/tensor_share.h"
#include "ops/ops.h"

namespace exo::model {

struct Workspace {
  // Each as wide as the widest block of the stage and this member's share need, with max_batch_rows rows.
  ops::Tensor hidden;     // the residual stream, d_model
  ops::Tensor normed;     // input of a half, d_model
  ops::Tensor normed_ff;  // the feed-forward's own input in a parallel block, d_model
  ops::Tensor result;     // of a half, before its post norm or scale, d_model
  ops::Tensor query, key, value, attended;
  ops::Tensor low_rank;  // latent attention's queries, query_rank
  ops::Tensor heads;     // of queries beside their gates, or outside of the latent space
  // Of delta nets: mixed_width, value_width, n_heads.
  ops::Tensor mixed, convolved, mixed_gate, mixed_a, mixed_b;
  ops::Tensor gate, up;  // d_ff
  // Where the stage has experts; the latter four with a row for each of a row's chosen experts.
  ops::Tensor router;                  // n_experts
  int32_t* chosen_experts = nullptr;   // n_chosen per row
  ops::Tensor expert_weights;          // n_chosen per row
  ops::Tensor expert_gate, expert_up;  // d_expert
  ops::Tensor expert_outputs;          // d_model
  // What the members of a group make of it together, where this device is one: see TensorGroup.
  ops::Tensor all_attended, all_expanded, all_experts;
  ops::Tensor all_heads;  // queries or keys that are normed over all heads

  std::unique_ptr<ops::Buffer> buffer;

  static Result<Workspace> allocate(const Hyperparameters& model, LayerRange layers, const TensorShare& share,
                                    int32_t max_rows, ops::Ops& ops);
};

// The first `rows` rows of a workspace tensor, `cols` wide, without gaps.
inline ops::Tensor dense(const ops::Tensor& tensor, int64_t rows, int64_t cols) {
  return {tensor.data, rows, cols, cols};
}

}  // namespace exo::model
