#include "model/weights.h"

#include <algorithm>
#include <tuple>

#include "model/block_loader.h"
#include "model/delta_net.h"
#include "model/latent_attention.h"
#include "model/stage_tensors.h"
#include "model/tensor_loader.h"

namespace exo::model {
namespace {

// The weight is shared by all heads, or there is one per head.
Result<Norm> load_head_norm(TensorLoader& loader, const formats::GgufFile& file, const Hyperparameters& model,
                            const std::string& name, RowPart heads) {
  const auto& architecture = *model.architecture;
  const auto* tensor = file.find_tensor(name);
  if (architecture.qk_norm == QkNorm::kNone || architecture.qk_norm == QkNorm::kRotated ||
      (tensor == nullptr && architecture.qk_norm_is_optional))
    return Norm{};
  const RowPart rows = heads.times(model.key_dim);
  const bool is_one = architecture.qk_norm == QkNorm::kWholeRow;
  const bool for_each = !is_one && tensor != nullptr && tensor->elements() == rows.of;
  EXO_TRY(auto norm,
          load_norm(loader, architecture.qk_norm_kind, name, "", is_one || for_each ? rows.of : model.key_dim));
  if (for_each && norm.weight) norm.weight = {norm.weight.data + rows.first, rows.count};
  return norm;
}

// Where a query has a gate its rows are followed by the gate's.
Status load_grouped_attention(TensorLoader& loader, const formats::GgufFile& file, const BlockNames& names,
                              const Hyperparameters& model, const LayerHyperparameters& layer,
                              const TensorShare& share, AttentionWeights& out) {
  const int64_t per_query = model.architecture->gates_attention ? 2 : 1;
  const RowPart heads = share.heads(layer), kv_heads = share.kv_heads(layer);
  const RowPart q = heads.times(per_query * model.key_dim), k = kv_heads.times(model.key_dim),
                v = kv_heads.times(model.value_dim);
  if (loader.has(names.weight("attn_qkv"))) {
    const int64_t all = q.of + k.of + v.of;
    const auto load = [&](RowPart rows, int64_t above) {
      return load_projection(loader, names, "attn_qkv", {above + rows.first, rows.count, all}, model.d_model);
    };
    EXO_TRY(out.query, load(q, 0));
    EXO_TRY(out.key, load(k, q.of));
    EXO_TRY(out.value, load(v, q.of + k.of));
  } else {
    EXO_TRY(out.query, load_projection(loader, names, "attn_q", q, model.d_model));
    EXO_TRY(out.key, load_projection(loader, names, "attn_k", k, model.d_model));
    EXO_TRY(out.value, load_projection(loader, names, "attn_v", v, model.d_model));
  }
  EXO_TRY(out.query_norm, load_head_norm(loader, file, model, names.weight("attn_q_norm"), heads));
  EXO_TRY(out.key_norm, load_head_norm(loader, file, model, names.weight("attn_k_norm"), kv_heads));
  EXO_TRY(out.sinks, load_part(loader, names.weight("attn_sinks"), heads));
  return {};
}

Result<AttentionWeights> load_attention(TensorLoader& loader, const formats::GgufFile& file,
                                        const BlockNames& names, const Hyperparameters& model,
                                        const LayerHyperparameters& layer, const TensorShare& share) {
  const auto& architecture = *model.architecture;
  AttentionWeights out;
  EXO_TRY(out.norm, load_block_norm(loader, names, model, architecture.attention_norm));
  EXO_TRY(out.post_norm, load_block_norm(loader, names, model, architecture.attention_post_norm));
  std::string_view output = "attn_output";
  int64_t output_cols = int64_t{layer.n_heads} * model.value_dim;
  if (layer.is_delta_net) {
    EXO_TRY(out.delta_net, load_delta_net(loader, names, model));
    output = "ssm_out";
    output_cols = model.delta_net->value_width();
  } else if (model.latent) {
    EXO_TRY(out.latent, load_latent_attention(loader, names, model, layer, share));
    output_cols = int64_t{layer.n_heads} * model.latent->value_dim;
  } else {
    EXO_CHECK_OK(load_grouped_attention(loader, file, names, model, layer, share, out));
  }
  EXO_TRY(out.output, load_projection(loader, names, output, share.part(split_rows(model.d_model)), output_cols));
  return out;
}

Result<FeedForwardWeights> load_feed_forward(TensorLoader& loader, const BlockNames& names,
                                             const Hyperparameters& model, const LayerHyperparameters& layer,
                                             const TensorShare& share) {
  const auto& architecture = *model.architecture;
  FeedForwardWeights out;
  EXO_TRY(out.norm, load_block_norm(loader, names, model, architecture.feed_forward_norm));
  EXO_TRY(out.post_norm, load_block_norm(loader, names, model, architecture.feed_forward_post_norm));
  const bool routed = layer.d_expert > 0;
  if (routed) {
    EXO_TRY(out.experts, load_experts(loader, names, model, layer, share));
  }
  if (layer.d_ff == 0) return out;
  const std::string suffix = routed ? "_shexp" : "";
  const std::string gate = "ffn_gate" + suffix, up = "ffn_up" + suffix, down = "ffn_down" + suffix;
  const RowPart wide = share.part(split_rows(layer.d_ff));
  if (!architecture.gated) {
    EXO_TRY(out.up, load_projection(loader, names, up, wide, model.d_model));
  } else if (loader.has(names.weight(gate))) {
    EXO_TRY(out.gate, load_projection(loader, names, gate, wide, model.d_model));
    EXO_TRY(out.up, load_projection(loader, names, up, wide, model.d_model));
  } else {
    const int64_t d_ff = layer.d_ff;
    EXO_TRY(out.gate, load_projection(loader, names, up, {wide.first, wide.count, 2 * d_ff}, model.d_model));
    EXO_TRY(out.up, load_projection(loader, names, up, {d_ff + wide.first, wide.count, 2 * d_ff}, model.d_model));
  }
  EXO_TRY(out.down, load_projection(loader, names, down, share.part(split_rows(model.d_model)), layer.d_ff));
  return out;
}

Status load_embedding(TensorLoader& loader, const formats::GgufFile& file, const Hyperparameters& model,
                      StageWeights& out) {
  EXO_TRY(out.token_embedding, loader.matrix("token_embd.weight", model.n_vocab, model.d_model));
  if (model.architecture->rope_layers == RopeLayers::kNone) {
    const auto* positions = file.find_tensor("position_embd.weight");
    const int64_t n_positions = positions == nullptr ? 0 : positions->rows();
    EXO_TRY(out.position_embedding, loader.matrix("position_embd.weight", n_positions, model.d_model));
  }
  if (!model.architecture->is_encoder) return {};
  if (const auto* types = file.find_tensor("token_types.weight")) {
    EXO_TRY(out.token_types, loader.matrix("token_types.weight", types->rows(), model.d_model));
  }
  EXO_TRY(out.embedding_norm, load_norm(loader, model.architecture->norm, "token_embd_norm.weight",
                                        "token_embd_norm.bias", model.d_model));
  return {};
}

Status load_ranking(TensorLoader& loader, const formats::GgufFile& file, const Hyperparameters& model,
                    RankingWeights& out) {
  if (loader.has("cls.weight")) {
    EXO_TRY(out.dense.weight, loader.matrix("cls.weight", model.d_model, model.d_model));
    EXO_TRY(out.dense.bias, loader.optional_vector("cls.bias", model.d_model));
  }
  if (const auto* output = file.find_tensor("cls.output.weight")) {
    EXO_TRY(out.output.weight, loader.matrix("cls.output.weight", output->rows(), model.d_model));
    EXO_TRY(out.output.bias, loader.optional_vector("cls.output.bias", output->rows()));
  }
  return {};
}

Status load_head(TensorLoader& loader, const formats::GgufFile& file, const Hyperparameters& model,
                 const TensorShare& share, StageWeights& out) {
  const auto& architecture = *model.architecture;
  EXO_CHECK_OK(load_ranking(loader, file, model, out.ranking));
  if (architecture.is_encoder) return {};
  if (architecture.norms_have_weights) {
    EXO_TRY(out.output_norm,
            load_norm(loader, architecture.norm, "output_norm.weight", "output_norm.bias", model.d_model));
  } else {
    out.output_norm = {.present = true, .kind = architecture.norm};
  }
  const char* name = has_tied_head(file) ? "token_embd.weight" : "output.weight";
  const RowPart rows = share.part(split_rows(model.n_vocab));
  EXO_TRY(out.head.weight, loader.matrix_rows(name, rows.of, model.d_model, rows.first, rows.count));
  EXO_TRY(out.head.bias, load_part(loader, "output.bias", rows));
  return {};
}

Status load_rope_factors(TensorLoader& loader, const Hyperparameters& model, bool long_context, StageWeights& out) {
  const int64_t pairs = model.rope.dims / 2;
  for (const bool is_long : {false, true}) {
    const char* name = is_long ? "rope_factors_long.weight" : "rope_factors_short.weight";
    EXO_TRY(const auto factors, loader.optional_vector(name, pairs));
    if (factors && is_long == long_context) out.rope_factors = factors;
  }
  EXO_TRY(const auto fixed, loader.optional_vector("rope_freqs.weight", pairs));
  if (fixed) out.rope_factors = fixed;
  return {};
}

// A tensor outside the blocks that nobody knows would change the result.
Status check_outer_tensors(const formats::GgufFile& file) {
  for (const auto& tensor : file.tensors()) {
    const auto& name = tensor.name;
    if (!block_of(name) && !is_embedding_tensor(name) && !is_head_tensor(name) && !is_rope_tensor(name)) {
      return fail(ErrorCode::kUnsupported, "the file has a tensor '{}' that no known architecture uses",
                  name.substr(0, 80));
    }
  }
  return {};
}

Result<StageWeights> load_all(TensorLoader& loader, const formats::GgufFile& file, const Hyperparameters& model,
                              LayerRange layers, const TensorShare& share, bool long_context) {
  EXO_CHECK_OK(check_outer_tensors(file));
  StageWeights out;
  EXO_CHECK_OK(load_rope_factors(loader, model, long_context, out));
  if (layers.begin.value == 0) EXO_CHECK_OK(load_embedding(loader, file, model, out));
  out.layers.reserve(static_cast<size_t>(layers.size()));
  for (LayerIndex i = layers.begin; i < layers.end; ++i) {
    const auto& layer = model.layers[static_cast<size_t>(i.value)];
    const BlockNames names(i.value);
    auto& weights = out.layers.emplace_back();
    EXO_TRY(weights.attention, load_attention(loader, file, names, model, layer, share));
    EXO_TRY(weights.feed_forward, load_feed_forward(loader, names, model, layer, share));
    if (model.residual == Residual::kParallel && !weights.attention.norm.present &&
        !weights.feed_forward.norm.present) {
      return fail(ErrorCode::kNotFound, "block {} has no norm before its halves", i);
    }
  }
  if (layers.end.value == model.n_layers()) EXO_CHECK_OK(load_head(loader, file, model, share, out));
  EXO_CHECK_OK(loader.check_all_used());
  return out;
}

// In the order of the tensors, without overlaps.
std::vector<TensorPiece> merged(std::vector<TensorPiece> pieces) {
  std::ranges::sort(pieces, {}, [](const TensorPiece& p) { return std::tuple(p.tensor, p.begin); });
  std::vector<TensorPiece> out;
  for (const auto& piece : pieces) {
    if (!out.empty() && out.back().tensor == piece.tensor && piece.begin <= out.back().end) {
      out.back().end = std::max(out.back().end, piece.end);
    } else {
      out.push_back(piece);
    }
  }
  return out;
}

}  // namespace

Result<std::vector<TensorPiece>> weight_pieces(const formats::GgufFile& file, const Hyperparameters& model,
                                               LayerRange layers, const TensorShare& share) {
  const auto tensors = stage_tensors(file, layers, model.n_layers());
  std::vector<TensorPiece> pieces;
  if (share.is_whole()) {
    for (const auto* tensor : tensors) pieces.push_back({tensor, 0, tensor->bytes()});
    return pieces;
  }
  TensorLoader loader(file, tensors);
  EXO_TRY([[maybe_unused]] const auto empty, load_all(loader, file, model, layers, share, false));
  return merged(loader.pieces());
}

Result<StageWeights> load_weights(const formats::GgufFile& file, const Hyperparameters& model, LayerRange layers,
                                  const TensorShare& share, LoadHow how, ops::Ops& ops,
                                  const LoadProgress& progress) {
  const auto reads = how.stream         ? TensorLoader::Reads::kNothing
                     : share.is_whole() ? TensorLoader::Reads::kAll
                                        : TensorLoader::Reads::kRows;
  EXO_TRY(const auto pieces, weight_pieces(file, model, layers, share));
  uint64_t bytes = 0;
  for (const auto& piece : pieces) bytes += piece.size();
  const auto tensors = stage_tensors(file, layers, model.n_layers());
  TensorLoader loader(file, tensors, bytes, ops, progress, reads);
  EXO_TRY(auto out, load_all(loader, file, model, layers, share, how.long_context));
  out.memory = loader.take_memory();
  out.bytes = bytes;
  return out;
}

}  // namespace exo::model
