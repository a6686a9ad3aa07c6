#include "model/expert_hyperparameters.h"

#include "model/block_loader.h"

namespace exo::model {
namespace {

// The values of expert_gating_func.
Result<ops::ExpertScore> read_score(const MetadataReader& reader, ops::ExpertScore absent) {
  EXO_TRY(const int32_t kind, reader.integer_or("expert_gating_func", 0, 0, INT32_MAX));
  switch (kind) {
    case 0:
      return absent;
    case 1:
      return ops::ExpertScore::kSoftmax;
    case 2:
      return ops::ExpertScore::kSigmoid;
    case 3:
      return ops::ExpertScore::kSoftmaxOfChosen;
    default:
      return fail(ErrorCode::kUnsupported, "'{}' is {}; 1, 2 and 3 are known", reader.full("expert_gating_func"),
                  kind);
  }
}

// What a down projection reads is as wide as what its block expands to.
Result<int32_t> width_of(const formats::GgufFile& file, const std::string& down_projection) {
  const auto* tensor = file.find_tensor(down_projection);
  if (tensor == nullptr) return fail(ErrorCode::kNotFound, "the file has no tensor '{}'", down_projection);
  if (tensor->shape[0] < 1 || tensor->shape[0] > kMaxWidth) {
    return fail(ErrorCode::kCorrupt, "tensor '{}' has rows of {}", down_projection, tensor->shape[0]);
  }
  return static_cast<int32_t>(tensor->shape[0]);
}

}  // namespace

Result<ExpertHyperparameters> read_experts(const MetadataReader& reader, const Architecture& architecture) {
  ExpertHyperparameters out;
  EXO_TRY(out.n_experts, reader.integer_or("expert_count", 0, 0, kMaxExperts));
  if (out.n_experts == 0) return out;
  EXO_TRY(out.n_chosen, reader.integer("expert_used_count", 1, out.n_experts));
  auto& routing = out.routing;
  EXO_TRY(routing.score, read_score(reader, architecture.expert_score));
  EXO_TRY(routing.normalize, reader.boolean_or("expert_weights_norm", architecture.normalizes_experts));
  EXO_TRY(routing.scale, reader.number_or("expert_weights_scale", 1.0));
  if (routing.scale == 0.0f) routing.scale = 1.0f;
  EXO_TRY(routing.n_groups, reader.integer_or("expert_group_count", 1, 0, out.n_experts));
  routing.n_groups = std::max(routing.n_groups, 1);
  EXO_TRY(routing.n_groups_chosen, reader.integer_or("expert_group_used_count", 1, 0, routing.n_groups));
  routing.n_groups_chosen = std::max(routing.n_groups_chosen, 1);
  // DeepSeek-V2 scores groups by softmax and their best expert; V3 and those after it by sigmoid and the best two.
  routing.groups_by_best_two = routing.score == ops::ExpertScore::kSigmoid;
  if (out.n_experts % routing.n_groups != 0 ||
      out.n_chosen > out.n_experts / routing.n_groups * routing.n_groups_chosen) {
    return fail(ErrorCode::kCorrupt, "{} of {} experts, of {} of {} groups", out.n_chosen, out.n_experts,
                routing.n_groups_chosen, routing.n_groups);
  }
  return out;
}

Status read_feed_forward_widths(const MetadataReader& reader, const formats::GgufFile& file, Hyperparameters& out) {
  std::vector<int32_t> dense(out.layers.size(), 0);
  if (reader.has("feed_forward_length")) {
    EXO_TRY(dense, reader.per_layer("feed_forward_length", out.n_layers(), 0, kMaxWidth));
  }
  for (int32_t i = 0; i < out.n_layers(); ++i) {
    const BlockNames names(i);
    auto& layer = out.layers[static_cast<size_t>(i)];
    if (file.find_tensor(names.weight("ffn_gate_inp")) == nullptr) {
      layer.d_ff = dense[static_cast<size_t>(i)];
      if (layer.d_ff < 1) {
        return fail(ErrorCode::kCorrupt, "metadata key '{}' gives block {} no width",
                    reader.full("feed_forward_length"), i);
      }
      continue;
    }
    EXO_TRY(layer.d_expert, width_of(file, names.weight("ffn_down_exps")));
    layer.d_ff = 0;
    if (file.find_tensor(names.weight("ffn_down_shexp")) != nullptr) {
      EXO_TRY(layer.d_ff, width_of(file, names.weight("ffn_down_shexp")));
    }
  }
  return {};
}

}  // namespace exo::model
