#include "model/experts.h"

#include <array>

#include "model/block_loader.h"
#include "model/blocks.h"

namespace exo::model {

using ops::Tensor;

Result<ExpertWeights> load_experts(TensorLoader& loader, const BlockNames& names, const Hyperparameters& model,
                                   const LayerHyperparameters& layer, const TensorShare& share) {
  const int64_t n = model.experts.n_experts, d = model.d_model, d_ff = layer.d_expert;
  const RowPart wide = share.part(split_rows(d_ff)), out_rows = share.part(split_rows(d));
  if (n == 0) return fail(ErrorCode::kCorrupt, "a block has a router, but the metadata counts no experts");
  ExpertWeights out;
  EXO_TRY(out.router, loader.matrix(names.weight("ffn_gate_inp"), n, d));
  EXO_TRY(out.router_bias, loader.optional_vector(names.bias("ffn_gate_inp"), n));
  EXO_TRY(out.selection_bias, loader.optional_vector(names.bias("exp_probs_b"), n));
  const auto both = names.weight("ffn_gate_up_exps");
  if (loader.has(both)) {
    EXO_TRY(out.gate,
            loader.interleaved_matrices(
                both, {.n_matrices = n, .period = 2 * d_ff, .first = wide.first, .count = wide.count}, d));
    EXO_TRY(out.up,
            loader.interleaved_matrices(
                both, {.n_matrices = n, .period = 2 * d_ff, .first = d_ff + wide.first, .count = wide.count}, d));
  } else {
    EXO_TRY(out.gate, loader.matrices_rows(names.weight("ffn_gate_exps"), n, wide, d));
    EXO_TRY(out.up, loader.matrices_rows(names.weight("ffn_up_exps"), n, wide, d));
  }
  EXO_TRY(out.down, loader.matrices_rows(names.weight("ffn_down_exps"), n, out_rows, d_ff));
  const TensorLoader::Interleaved wide_bias{n, wide.of, wide.first, wide.count};
  const TensorLoader::Interleaved out_bias{n, out_rows.of, out_rows.first, out_rows.count};
  EXO_TRY(out.gate_bias, loader.optional_interleaved_vector(names.bias("ffn_gate_exps"), wide_bias));
  EXO_TRY(out.up_bias, loader.optional_interleaved_vector(names.bias("ffn_up_exps"), wide_bias));
  EXO_TRY(out.down_bias, loader.optional_interleaved_vector(names.bias("ffn_down_exps"), out_bias));
  if (layer.d_ff > 0 && loader.has(names.weight("ffn_gate_inp_shexp"))) {
    EXO_TRY(out.shared_router, loader.matrix(names.weight("ffn_gate_inp_shexp"), 1, d));
  }
  return out;
}

namespace {

ops::Routing choose(const BlockContext& context, const ExpertWeights& weights, Tensor input) {
  const auto& experts = context.model.experts;
  const auto& space = context.workspace;
  const Tensor logits = dense(space.router, input.rows, experts.n_experts);
  const ops::Linear linear{&weights.router, logits, weights.router_bias};
  context.ops.matmul(input, {&linear, 1});
  const ops::Routing routing{space.chosen_experts, space.expert_weights.data, input.rows, experts.n_chosen};
  auto params = experts.routing;
  params.selection_bias = weights.selection_bias;
  context.ops.route(logits, params, routing);
  return routing;
}

}  // namespace

ExpertResults run_experts(const BlockContext& context, const LayerHyperparameters& layer,
                          const ExpertWeights& weights, Tensor input) {
  auto& ops = context.ops;
  const auto& space = context.workspace;
  const auto& architecture = *context.model.architecture;
  const ops::Routing routing = choose(context, weights, input);
  const auto& share = context.group.share();
  const RowSplit split = split_rows(layer.d_expert);
  const int64_t wide = share.part(split).count;
  const Tensor gate = dense(space.expert_gate, routing.n_pairs(), wide);
  const Tensor up = dense(space.expert_up, routing.n_pairs(), wide);
  const Tensor outputs =
      dense(space.expert_outputs, routing.n_pairs(), share.part(split_rows(context.model.d_model)).count);
  const std::array<ops::ExpertLinear, 2> projections = {
      {{&weights.gate, gate, weights.gate_bias}, {&weights.up, up, weights.up_bias}}};
  ops.expert_matmul(input, routing, projections);
  if (architecture.weights_expert_inputs) {
    // The projections are linear, so that weighting what they make is weighting what they read.
    ops.scale_pairs(gate, routing);
    ops.scale_pairs(up, routing);
  }
  ops.gated_activation(architecture.activation, gate, up, gate);
  const ops::ExpertLinear down{&weights.down, outputs, weights.down_bias};
  ops.expert_matmul(context.group.gathered(gate, split, space.all_experts, &weights.down), routing, {&down, 1});
  return {routing, outputs};
}

void add_experts(const BlockContext& context, const ExpertResults& results, Tensor out, bool accumulate) {
  const bool weighted = !context.model.architecture->weights_expert_inputs;
  context.ops.combine_experts(results.outputs, results.routing, weighted, out, accumulate);
}

}  // namespace exo::model
