#include "model/blocks.h"

#include <array>

#include "model/delta_net.h"
#include "model/latent_attention.h"

namespace exo::model {
namespace {

using ops::Tensor;

Tensor hidden_of(const BlockContext& context) {
  return dense(context.workspace.hidden, context.n_rows(), context.model.d_model);
}

// The input of a half: normed into `space`, or the residual stream itself where there is no norm before.
Tensor normed_input(const BlockContext& context, const Norm& norm, const Tensor& space) {
  const Tensor hidden = hidden_of(context);
  if (!norm.present) return hidden;
  const Tensor out = dense(space, hidden.rows, hidden.cols);
  apply_norm(context.ops, norm, context.model.norm_epsilon, hidden, out);
  return out;
}

// The same where only `reader` and weights like it read it.
Gathered half_input(const BlockContext& context, const Norm& norm, const ops::Weight& reader,
                    TensorGroup::Half half) {
  if (!context.hidden_is_cut) {
    const Tensor input = normed_input(context, norm, context.workspace.normed);
    return whole(input);
  }
  return context.group.normed_for(reader, hidden_of(context), split_rows(context.model.d_model), norm.weight,
                                  context.model.norm_epsilon, context.workspace.normed, half);
}

// hidden += scale * post_norm(y): `project(to, accumulate)` writes this member's columns of y to, or adds them to,
// the tensor that it is given.
template <typename Project>
void add_to_hidden(const BlockContext& context, const Norm& post_norm, Project project) {
  const Tensor hidden = hidden_of(context);
  const float scale = context.model.residual_scale;
  const RowSplit split = split_rows(context.model.d_model);
  const RowPart own = context.group.share().part(split);
  if (!post_norm.present && scale == 1.0f) {
    project(hidden.columns(own.first, own.count), true);
    if (!context.hidden_is_cut) context.group.gather(hidden, split);
    return;
  }
  const Tensor result = dense(context.workspace.result, hidden.rows, hidden.cols);
  project(result.columns(own.first, own.count), false);
  context.group.gather(result, split);
  if (post_norm.present) apply_norm(context.ops, post_norm, context.model.norm_epsilon, result, result);
  if (scale != 1.0f) context.ops.scale(result, scale);
  context.ops.add(hidden, result);
}

void add_attention(const BlockContext& context, const AttentionWeights& weights, const Gathered& attended) {
  add_to_hidden(context, weights.post_norm, [&](Tensor to, bool accumulate) {
    const ops::Linear linear{&weights.output.weight, to, weights.output.bias, accumulate};
    context.group.matmul(attended, {&linear, 1});
  });
}

// x: [rows, heads * key_dim], without gaps, of this member's part of the heads.
void norm_heads(const BlockContext& context, const Norm& norm, const RowSplit& heads, Tensor x) {
  if (!norm.present) return;
  const int64_t head_dim = context.model.key_dim;
  const float epsilon = context.model.norm_epsilon;
  if (context.model.architecture->qk_norm == QkNorm::kWholeRow) {
    auto& group = context.group;
    const RowSplit split = heads.times(head_dim);
    const RowPart own = group.share().part(split);
    if (x.cols == split.size) return apply_norm(context.ops, norm, epsilon, x, x);
    const Tensor all = group.gathered(x, split, context.workspace.all_heads, nullptr);
    apply_norm(context.ops, norm, epsilon, all, all);
    context.ops.copy(all.columns(own.first, own.count), x);
  } else if (norm.weight.size == head_dim) {
    apply_norm(context.ops, norm, epsilon, x.heads(head_dim), x.heads(head_dim));
  } else {
    for (int64_t first = 0; first < x.cols; first += head_dim) {
      Norm own = norm;
      own.weight = {norm.weight.data + first, head_dim};
      apply_norm(context.ops, own, epsilon, x.columns(first, head_dim), x.columns(first, head_dim));
    }
  }
}

void norm_queries_and_keys(const BlockContext& context, const LayerHyperparameters& layer,
                           const AttentionWeights& weights, Tensor query, Tensor key) {
  norm_heads(context, weights.query_norm, split_heads(layer), query);
  norm_heads(context, weights.key_norm, {layer.n_kv_heads, 1}, key);
}

void rotate(const BlockContext& context, const LayerHyperparameters& layer, Tensor query, Tensor key) {
  const auto& model = context.model;
  const auto& rope = layer.rope == LayerRope::kLocal ? model.local_rope : context.rope;
  for (const Tensor& x : {query, key}) {
    context.ops.rope(x, model.key_dim, context.positions, rope);
    if (!model.norms_rotated_heads) continue;
    context.ops.rms_norm(x.heads(model.key_dim), {}, model.norm_epsilon, x.heads(model.key_dim));
  }
}

// Where a head's query is: beside its gate, or where it will be used.
struct Queries {
  Tensor projected;  // what the projection makes
  Tensor gates;      // [rows * heads, key_dim] of it; without rows where attention has no gates
};

Queries query_space(const BlockContext& context, Tensor query) {
  if (!context.model.architecture->gates_attention) return {query, {}};
  const int64_t dim = context.model.key_dim;
  const Tensor both = dense(context.workspace.heads, query.rows, 2 * query.cols);
  return {both, both.heads(2 * dim).columns(dim, dim)};
}

// Leaves the result of this member's heads in workspace.attended.
Tensor attend_grouped(const BlockContext& context, const LayerHyperparameters& layer,
                      const AttentionWeights& weights, const ops::KvCacheView& cache, const Gathered& input) {
  const auto& model = context.model;
  const auto& space = context.workspace;
  const int64_t rows = context.n_rows();
  const int64_t n_heads = context.group.share().heads(layer).count;
  const int64_t n_kv_heads = context.group.share().kv_heads(layer).count;
  const Tensor query = dense(space.query, rows, n_heads * model.key_dim);
  const Tensor key = dense(space.key, rows, n_kv_heads * model.key_dim);
  const Tensor value = dense(space.value, rows, n_kv_heads * model.value_dim);
  const Tensor attended = dense(space.attended, rows, n_heads * model.value_dim);
  const Queries queries = query_space(context, query);
  const std::array<ops::Linear, 3> projections = {{{&weights.query.weight, queries.projected, weights.query.bias},
                                                   {&weights.key.weight, key, weights.key.bias},
                                                   {&weights.value.weight, value, weights.value.bias}}};
  context.group.matmul(input, projections);
  if (queries.gates.rows > 0) {
    const Tensor plain = queries.projected.heads(2 * model.key_dim).columns(0, model.key_dim);
    context.ops.copy(plain, query.heads(model.key_dim));
  }
  if (model.qkv_limit > 0.0f) {
    for (const Tensor& projected : {query, key, value}) context.ops.clamp(projected, model.qkv_limit);
  }
  const bool norm_last = model.architecture->qk_norm_after_rope;
  if (!norm_last) norm_queries_and_keys(context, layer, weights, query, key);
  if (layer.rope != LayerRope::kNone) rotate(context, layer, query, key);
  if (norm_last) norm_queries_and_keys(context, layer, weights, query, key);
  if (layer.has_temperature) context.ops.scale_rows(query, context.temperatures);
  context.ops.store_kv(key, value, cache, context.sequences);
  context.ops.attention(query, cache, context.readers.empty() ? context.sequences : context.readers,
                        {.n_heads = static_cast<int32_t>(n_heads),
                         .scale = model.attention_scale,
                         .logit_soft_cap = model.attention_soft_cap,
                         .window = layer.window,
                         .chunk = layer.chunk,
                         .sinks = weights.sinks},
                        attended);
  if (queries.gates.rows > 0) {
    const Tensor heads = attended.heads(model.value_dim);
    context.ops.gated_activation(ops::Activation::kSigmoid, queries.gates, heads, heads);
  }
  return attended;
}

Gathered attend(const BlockContext& context, const LayerHyperparameters& layer, const AttentionWeights& weights,
                const LayerMemory& memory, const Gathered& input) {
  if (layer.is_delta_net) return whole(run_delta_net(context, weights.delta_net, memory.state, input.x));
  const bool latent = context.model.latent.has_value();
  const Tensor own = latent ? attend_latent(context, layer, weights.latent, memory.cache, input.x)
                            : attend_grouped(context, layer, weights, memory.cache, input);
  const int64_t head_dim = latent ? context.model.latent->value_dim : context.model.value_dim;
  return context.group.gathered_for(weights.output.weight, own, split_heads(layer).times(head_dim),
                                    context.workspace.all_attended, TensorGroup::Half::kAttention);
}

// Leaves this member's part of activation(gate(x)) * up(x), or activation(up(x)), in the workspace.
Tensor expand(const BlockContext& context, const LayerHyperparameters& layer, const FeedForwardWeights& weights,
              const Gathered& input) {
  const auto& architecture = *context.model.architecture;
  const int64_t wide = context.group.share().part(split_rows(layer.d_ff)).count;
  const Tensor up = dense(context.workspace.up, context.n_rows(), wide);
  if (!architecture.gated) {
    const ops::Linear linear{&weights.up.weight, up, weights.up.bias};
    context.group.matmul(input, {&linear, 1});
    context.ops.activate(architecture.activation, up);
    return up;
  }
  const Tensor gate = dense(context.workspace.gate, context.n_rows(), wide);
  const std::array<ops::Linear, 2> projections = {
      {{&weights.gate.weight, gate, weights.gate.bias}, {&weights.up.weight, up, weights.up.bias}}};
  context.group.matmul(input, projections);
  context.ops.gated_activation(architecture.activation, gate, up, gate);
  return gate;
}

// What a feed-forward has made of its input, in the workspace, before its last projection.
struct Expanded {
  Gathered dense;  // of the dense feed-forward or the shared expert; without rows where there is none
  ExpertResults experts;
};

void gate_shared_expert(const BlockContext& context, const ExpertWeights& weights, Tensor input, Tensor expanded) {
  const Tensor share = dense(context.workspace.router, input.rows, 1);
  const ops::Linear linear{&weights.shared_router, share};
  context.ops.matmul(input, {&linear, 1});
  context.ops.gate_rows(expanded, share);
}

Expanded expand_all(const BlockContext& context, const LayerHyperparameters& layer,
                    const FeedForwardWeights& weights, const Gathered& input) {
  Expanded out;
  if (layer.d_ff > 0) {
    const Tensor own = expand(context, layer, weights, input);
    if (weights.experts.shared_router) gate_shared_expert(context, weights.experts, input.x, own);
    out.dense = context.group.gathered_for(weights.down.weight, own, split_rows(layer.d_ff),
                                           context.workspace.all_expanded, TensorGroup::Half::kFeedForward);
  }
  if (layer.d_expert == 0) return out;
  out.experts = run_experts(context, layer, weights.experts, input.x);
  return out;
}

void add_feed_forward(const BlockContext& context, const FeedForwardWeights& weights, const Expanded& expanded) {
  add_to_hidden(context, weights.post_norm, [&](Tensor to, bool accumulate) {
    if (expanded.experts.routing.rows > 0) {
      add_experts(context, expanded.experts, to, accumulate);
      accumulate = true;
    }
    if (expanded.dense.rows == 0) return;
    const ops::Linear linear{&weights.down.weight, to, weights.down.bias, accumulate};
    context.group.matmul(expanded.dense, {&linear, 1});
  });
}

}  // namespace

void apply_norm(ops::Ops& ops, const Norm& norm, float epsilon, Tensor x, Tensor out) {
  if (norm.kind == NormKind::kRms) {
    ops.rms_norm(x, norm.weight, epsilon, out);
  } else {
    ops.layer_norm(x, norm.weight, norm.bias, epsilon, out);
  }
}

bool can_cut_hidden(const TensorGroup& group, const Hyperparameters& model, const LayerWeights& weights) {
  const auto& attention = weights.attention;
  const auto& feed_forward = weights.feed_forward;
  if (group.share().is_whole() || !may_cut_hidden(model)) return false;
  for (const Projection* p :
       {&attention.query, &attention.key, &attention.value, &feed_forward.gate, &feed_forward.up}) {
    if (p->weight && !group.can_norm(split_rows(model.d_model), p->weight)) return false;
  }
  return true;
}

void run_block(const BlockContext& context, const LayerHyperparameters& layer, const LayerWeights& weights,
               const LayerMemory& memory) {
  const auto& attention = weights.attention;
  const auto& feed_forward = weights.feed_forward;
  const auto& space = context.workspace;
  if (context.model.residual == Residual::kParallel) {
    // Both before the first addition: the halves read the same residual stream, under their own norms or under the
    // one that the block has.
    const bool shared = !attention.norm.present || !feed_forward.norm.present;
    const auto& first_norm = attention.norm.present ? attention.norm : feed_forward.norm;
    const Tensor input = normed_input(context, first_norm, space.normed);
    const Tensor ff_input = shared ? input : normed_input(context, feed_forward.norm, space.normed_ff);
    const Gathered attended = attend(context, layer, attention, memory, whole(input));
    const Expanded expanded = expand_all(context, layer, feed_forward, whole(ff_input));
    add_attention(context, attention, attended);
    add_feed_forward(context, feed_forward, expanded);
    return;
  }
  if (context.model.residual == Residual::kPostNorm) {
    const Tensor hidden = hidden_of(context);
    add_attention(context, attention, attend(context, layer, attention, memory, whole(hidden)));
    apply_norm(context.ops, attention.norm, context.model.norm_epsilon, hidden, hidden);
    add_feed_forward(context, feed_forward, expand_all(context, layer, feed_forward, whole(hidden)));
    apply_norm(context.ops, feed_forward.norm, context.model.norm_epsilon, hidden, hidden);
    return;
  }
  using Half = TensorGroup::Half;
  const Gathered input = half_input(context, attention.norm, attention.query.weight, Half::kAttention);
  const Gathered attended = attend(context, layer, attention, memory, input);
  add_attention(context, attention, attended);
  const Gathered ff_input = half_input(context, feed_forward.norm, feed_forward.up.weight, Half::kFeedForward);
  add_feed_forward(context, feed_forward, expand_all(context, layer, feed_forward, ff_input));
}

}  // namespace exo::model
