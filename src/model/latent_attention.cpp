#include "model/latent_attention.h"

#include <array>
#include <cmath>

namespace exo::model {

using ops::Tensor;

Status read_latent_attention(const MetadataReader& reader, Hyperparameters& out) {
  LatentAttention latent;
  EXO_TRY(latent.query_rank, reader.integer_or("attention.q_lora_rank", 0, 0, kMaxWidth));
  EXO_TRY(latent.rank, reader.integer("attention.kv_lora_rank", 1, kMaxWidth));
  // Where the heads' own dimensions have keys of their own, the common ones tell those of the cache.
  EXO_TRY(const int32_t key_dim, reader.integer_or("attention.key_length_mla", out.key_dim, 1, kMaxWidth));
  EXO_TRY(latent.value_dim, reader.integer_or("attention.value_length_mla", out.value_dim, 1, kMaxWidth));
  latent.rope_dim = out.rope.dims;
  latent.plain_dim = key_dim - latent.rope_dim;
  if (latent.plain_dim < 1) {
    return fail(ErrorCode::kCorrupt, "{} rotated dimensions in heads of {}", latent.rope_dim, key_dim);
  }
  out.latent = latent;
  out.key_dim = latent.rank + latent.rope_dim;
  out.value_dim = latent.rank;
  for (auto& layer : out.layers) layer.n_kv_heads = 1;

  // YaRN's growth of the attention is in its scale here, not in the rotation: the plain part grows as well.
  EXO_TRY(const float factor, reader.positive_or("rope.scaling.factor", 1.0));
  EXO_TRY(const float log_multiplier, reader.number_or("rope.scaling.yarn_log_multiplier", 0.0));
  EXO_TRY(out.rope.magnitude_scale, reader.positive_or("rope.scaling.attn_factor", 1.0));
  double growth = 1.0;
  if (out.rope.yarn_ext_factor != 0.0f && factor > 1.0f) growth += log_multiplier * std::log(double{factor});
  EXO_TRY(out.attention_scale, reader.number_or("attention.scale", growth * growth / std::sqrt(key_dim)));
  return {};
}

Result<LatentAttentionWeights> load_latent_attention(TensorLoader& loader, const BlockNames& names,
                                                     const Hyperparameters& model,
                                                     const LayerHyperparameters& layer, const TensorShare& share) {
  const auto& latent = *model.latent;
  const RowPart heads = share.heads(layer);
  const RowPart query_rows = heads.times(latent.plain_dim + latent.rope_dim);
  const auto load_rms_norm = [&](std::string_view part, int64_t size) {
    return load_norm(loader, NormKind::kRms, names.weight(part), "", size);
  };
  LatentAttentionWeights out;
  if (latent.query_rank > 0) {
    EXO_TRY(out.query_down,
            load_projection(loader, names, "attn_q_a", RowPart::all(latent.query_rank), model.d_model));
    EXO_TRY(out.query_norm, load_rms_norm("attn_q_a_norm", latent.query_rank));
    EXO_TRY(out.query, load_projection(loader, names, "attn_q_b", query_rows, latent.query_rank));
  } else {
    EXO_TRY(out.query, load_projection(loader, names, "attn_q", query_rows, model.d_model));
  }
  EXO_TRY(out.key_down, load_projection(loader, names, "attn_kv_a_mqa", RowPart::all(latent.rank + latent.rope_dim),
                                        model.d_model));
  EXO_TRY(out.latent_norm, load_rms_norm("attn_kv_a_norm", latent.rank));
  const auto both = names.weight("attn_kv_b");
  if (!loader.has(both)) {
    EXO_TRY(out.key_up, loader.matrices_of(names.weight("attn_k_b"), heads, latent.rank, latent.plain_dim));
    EXO_TRY(out.value_up, loader.matrices_of(names.weight("attn_v_b"), heads, latent.value_dim, latent.rank));
    return out;
  }
  const int64_t period = latent.plain_dim + latent.value_dim;
  EXO_TRY(out.key_up,
          loader.transposed_matrices(both, {layer.n_heads, period, 0, latent.plain_dim, heads}, latent.rank));
  EXO_TRY(out.value_up, loader.interleaved_matrices(
                            both, {layer.n_heads, period, latent.plain_dim, latent.value_dim, heads}, latent.rank));
  return out;
}

Tensor attend_latent(const BlockContext& context, const LayerHyperparameters& layer,
                     const LatentAttentionWeights& weights, const ops::KvCacheView& cache, Tensor input) {
  const auto& model = context.model;
  const auto& latent = *model.latent;
  const auto& space = context.workspace;
  auto& ops = context.ops;
  const int64_t rows = context.n_rows(), n_heads = context.group.share().heads(layer).count;
  const int64_t head_dim = latent.plain_dim + latent.rope_dim;
  const Tensor key = dense(space.key, rows, model.key_dim);
  const Tensor projected = dense(space.heads, rows, n_heads * head_dim);
  const ops::Linear key_down{&weights.key_down.weight, key, weights.key_down.bias};
  if (latent.query_rank > 0) {
    const Tensor low_rank = dense(space.low_rank, rows, latent.query_rank);
    const std::array<ops::Linear, 2> down = {
        {{&weights.query_down.weight, low_rank, weights.query_down.bias}, key_down}};
    ops.matmul(input, down);
    apply_norm(ops, weights.query_norm, model.norm_epsilon, low_rank, low_rank);
    const ops::Linear up{&weights.query.weight, projected, weights.query.bias};
    ops.matmul(low_rank, {&up, 1});
  } else {
    const std::array<ops::Linear, 2> both = {{{&weights.query.weight, projected, weights.query.bias}, key_down}};
    ops.matmul(input, both);
  }
  const Tensor compressed = key.columns(0, latent.rank);
  apply_norm(ops, weights.latent_norm, model.norm_epsilon, compressed, compressed);

  ops::RopeParams rope = context.rope;
  ops.rope(key.columns(latent.rank, latent.rope_dim), latent.rope_dim, context.positions, rope);
  rope.first = latent.plain_dim;
  ops.rope(projected, static_cast<int32_t>(head_dim), context.positions, rope);

  const Tensor query = dense(space.query, rows, n_heads * model.key_dim);
  const Tensor from = projected.heads(head_dim), to = query.heads(model.key_dim);
  ops.matmul_heads(from.columns(0, latent.plain_dim), weights.key_up, to.columns(0, latent.rank));
  ops.copy(from.columns(latent.plain_dim, latent.rope_dim), to.columns(latent.rank, latent.rope_dim));

  if (layer.has_temperature) ops.scale_rows(query, context.temperatures);
  ops.store_kv(key, {}, cache, context.sequences);
  const Tensor attended = dense(space.attended, rows, n_heads * latent.rank);
  ops.attention(query, cache, context.sequences,
                {.n_heads = static_cast<int32_t>(n_heads),
                 .scale = model.attention_scale,
                 .logit_soft_cap = model.attention_soft_cap,
                 .window = layer.window},
                attended);
  const Tensor out = dense(space.heads, rows, n_heads * latent.value_dim);
  ops.matmul_heads(attended.heads(latent.rank), weights.value_up, out.heads(latent.value_dim));
  return out;
}

}  // namespace exo::model
