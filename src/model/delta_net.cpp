#include "model/delta_net.h"

#include <array>

namespace exo::model {

using ops::Tensor;

Status read_delta_net(const MetadataReader& reader, const formats::GgufFile& file, Hyperparameters& out) {
  DeltaNet net;
  EXO_TRY(net.n_heads, reader.integer("ssm.time_step_rank", 1, kMaxHeads));
  EXO_TRY(net.n_key_heads, reader.integer("ssm.group_count", 1, kMaxHeads));
  EXO_TRY(net.key_dim, reader.integer("ssm.state_size", 1, kMaxWidth));
  EXO_TRY(net.n_taps, reader.integer("ssm.conv_kernel", 1, 64));
  EXO_TRY(const int32_t value_width, reader.integer("ssm.inner_size", 1, kMaxWidth));
  if (net.n_heads % net.n_key_heads != 0 || value_width % net.n_heads != 0) {
    return fail(ErrorCode::kCorrupt, "a delta net of {} heads over {} key heads, {} wide", net.n_heads,
                net.n_key_heads, value_width);
  }
  net.value_dim = value_width / net.n_heads;
  if (net.mixed_width() > kMaxWidth || net.value_width() * net.key_dim > kMaxWidth * 16) {
    return fail(ErrorCode::kCorrupt, "a delta net of {} heads of {} by {}", net.n_heads, net.value_dim,
                net.key_dim);
  }
  out.delta_net = net;
  for (int32_t i = 0; i < out.n_layers(); ++i) {
    auto& layer = out.layers[static_cast<size_t>(i)];
    layer.is_delta_net = file.find_tensor(BlockNames(i).bare("ssm_a")) != nullptr;
    if (layer.is_delta_net) layer.n_kv_heads = 0;
  }
  return {};
}

namespace {

// Queries, keys, values and gates of each key head follow each other in one tensor.
Status load_together(TensorLoader& loader, const std::string& name, const DeltaNet& net, int64_t d_model,
                     DeltaNetWeights& out) {
  const int64_t values = net.value_width() / net.n_key_heads, period = 2 * net.key_dim + 2 * values;
  const auto part = [&](int64_t first, int64_t count) {
    return TensorLoader::Interleaved{net.n_key_heads, period, first, count};
  };
  const std::array<TensorLoader::Interleaved, 3> mixed = {part(0, net.key_dim), part(net.key_dim, net.key_dim),
                                                          part(2 * net.key_dim, values)};
  const auto gate = part(2 * net.key_dim + values, values);
  EXO_TRY(out.mixed, loader.gathered_rows(name, mixed, d_model));
  EXO_TRY(out.gate, loader.gathered_rows(name, {&gate, 1}, d_model));
  return {};
}

Status load_small(TensorLoader& loader, const BlockNames& names, const DeltaNet& net, int64_t d_model,
                  DeltaNetWeights& out) {
  const auto both = names.weight("ssm_ba");
  if (!loader.has(both)) {
    EXO_TRY(out.a, loader.matrix(names.weight("ssm_alpha"), net.n_heads, d_model));
    EXO_TRY(out.b, loader.matrix(names.weight("ssm_beta"), net.n_heads, d_model));
    return {};
  }
  const int64_t each = net.n_heads / net.n_key_heads;
  const TensorLoader::Interleaved b{net.n_key_heads, 2 * each, 0, each}, a{net.n_key_heads, 2 * each, each, each};
  EXO_TRY(out.a, loader.gathered_rows(both, {&a, 1}, d_model));
  EXO_TRY(out.b, loader.gathered_rows(both, {&b, 1}, d_model));
  return {};
}

}  // namespace

Result<DeltaNetWeights> load_delta_net(TensorLoader& loader, const BlockNames& names,
                                       const Hyperparameters& model) {
  const auto& net = *model.delta_net;
  DeltaNetWeights out;
  if (const auto together = names.weight("ssm_in"); loader.has(together)) {
    EXO_CHECK_OK(load_together(loader, together, net, model.d_model, out));
  } else {
    EXO_TRY(out.mixed, loader.matrix(names.weight("attn_qkv"), net.mixed_width(), model.d_model));
    EXO_TRY(out.gate, loader.matrix(names.weight("attn_gate"), net.value_width(), model.d_model));
  }
  EXO_CHECK_OK(load_small(loader, names, net, model.d_model, out));
  EXO_TRY(out.taps, loader.transposed_vector(names.weight("ssm_conv1d"), net.mixed_width(), net.n_taps));
  EXO_TRY(out.decay_rate, loader.vector(names.bare("ssm_a"), net.n_heads));
  EXO_TRY(out.decay_bias, loader.vector(names.bias("ssm_dt"), net.n_heads));
  EXO_TRY(out.norm, load_norm(loader, NormKind::kRms, names.weight("ssm_norm"), "", net.value_dim));
  return out;
}

Tensor run_delta_net(const BlockContext& context, const DeltaNetWeights& weights, const DeltaNetState& state,
                     Tensor input) {
  const auto& model = context.model;
  const auto& net = *model.delta_net;
  const auto& space = context.workspace;
  auto& ops = context.ops;
  const int64_t rows = context.n_rows(), keys = net.key_width(), values = net.value_width();
  const Tensor mixed = dense(space.mixed, rows, net.mixed_width());
  const Tensor gate = dense(space.mixed_gate, rows, values);
  const Tensor a = dense(space.mixed_a, rows, net.n_heads), b = dense(space.mixed_b, rows, net.n_heads);
  const std::array<ops::Linear, 4> projections = {
      {{&weights.mixed, mixed}, {&weights.gate, gate}, {&weights.a, a}, {&weights.b, b}}};
  ops.matmul(input, projections);
  const Tensor convolved = dense(space.convolved, rows, net.mixed_width());
  ops.causal_convolution(mixed, weights.taps, net.n_taps, state.convolution, context.sequences, convolved);
  ops.activate(ops::Activation::kSilu, convolved);

  const Tensor out = dense(space.attended, rows, values);
  ops.delta_rule({.n_heads = net.n_heads,
                  .n_key_heads = net.n_key_heads,
                  .tiled = model.architecture->delta_net == DeltaNetHeads::kTiled,
                  .key_dim = net.key_dim,
                  .value_dim = net.value_dim,
                  .epsilon = 1e-6f,
                  .query = convolved.columns(0, keys),
                  .key = convolved.columns(keys, keys),
                  .value = convolved.columns(2 * keys, values),
                  .a = a,
                  .b = b,
                  .decay_rate = weights.decay_rate,
                  .decay_bias = weights.decay_bias},
                 state.heads, context.sequences, out);
  apply_norm(ops, weights.norm, model.norm_epsilon, out.heads(net.value_dim), out.heads(net.value_dim));
  ops.gated_activation(ops::Activation::kSilu, gate, out, out);
  return out;
}

}  // namespace exo::model
