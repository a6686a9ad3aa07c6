#include "convert/family_metadata.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace exo::convert {
namespace {

constexpr int64_t kMostLayers = 4096;
constexpr int64_t kMostWidth = 1 << 24;
constexpr int64_t kMostHeads = 1 << 16;
constexpr int64_t kMostExperts = 1 << 16;

// Sets "FAMILY.key".
class Keys {
 public:
  explicit Keys(const MetadataInput& input) : input_(input) {}

  template <typename T>
  void set(std::string_view key, T value) const {
    input_.metadata.set(fmt::format("{}.{}", input_.family.gguf, key), value);
  }
  void set_count(std::string_view key, int64_t value) const { set(key, static_cast<uint32_t>(value)); }
  // The field where it is there.
  Status copy_count(std::string_view key, FieldNames names) const {
    if (!input_.config.has(names)) return {};
    EXO_TRY(const int64_t value, input_.config.integer(names, 0, INT32_MAX));
    set_count(key, value);
    return {};
  }
  Status copy_number(std::string_view key, FieldNames names) const {
    if (!input_.config.has(names)) return {};
    EXO_TRY(const double value, input_.config.number(names));
    set(key, static_cast<float>(value));
    return {};
  }
  Status copy_boolean(std::string_view key, FieldNames names) const {
    if (!input_.config.has(names)) return {};
    EXO_TRY(const bool value, input_.config.boolean(names, false));
    set(key, value);
    return {};
  }

 private:
  const MetadataInput& input_;
};

Status put_widths(const MetadataInput& input, const Keys& keys) {
  const auto& shape = input.shape;
  EXO_CHECK_OK(keys.copy_count("context_length", {"max_position_embeddings", "n_positions", "n_ctx", "seq_length",
                                                  "max_sequence_length", "model_max_length"}));
  keys.set_count("embedding_length", shape.d_model);
  keys.set_count("block_count", shape.n_layers);
  keys.set_count("feed_forward_length", shape.d_ff);
  keys.set_count("attention.head_count", shape.n_heads);
  EXO_CHECK_OK(keys.copy_count("vocab_size", {"vocab_size", "padded_vocab_size"}));
  EXO_TRY(const double epsilon, input.config.number({"rms_norm_eps", "layernorm_epsilon", "norm_epsilon",
                                                     "layer_norm_eps", "layer_norm_epsilon", "norm_eps"},
                                                    1e-5));
  keys.set(input.family.layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
           static_cast<float>(epsilon));
  if (input.config.has({"kv_lora_rank"})) return {};  // latent attention has other heads
  keys.set_count("attention.head_count_kv", shape.n_kv_heads);
  keys.set_count("attention.key_length", shape.head_dim);
  keys.set_count("attention.value_length", shape.head_dim);
  return {};
}

// Which blocks have the window, one entry for each; empty where config.json leaves it to the family.
Result<std::vector<int32_t>> windowed_blocks(const MetadataInput& input) {
  std::vector<int32_t> windowed;
  const auto n = static_cast<size_t>(input.shape.n_layers);
  const auto& types = input.config.list({"layer_types"});
  if (types.size() >= n) {
    for (size_t i = 0; i < n; ++i) {
      const bool is_windowed = types[i].is_string() && (types[i].get_string() == "sliding_attention" ||
                                                        types[i].get_string() == "chunked_attention");
      windowed.push_back(is_windowed ? 1 : 0);
    }
    return windowed;
  }
  const FieldNames kPeriod = {"sliding_window_pattern", "_sliding_window_pattern"};
  if (const auto* period = input.config.find(kPeriod); period != nullptr && period->is_int64()) {
    EXO_TRY(const int64_t every, input.config.integer(kPeriod, 1, kMostLayers));
    for (size_t i = 0; i < n; ++i) windowed.push_back((static_cast<int64_t>(i) + 1) % every != 0 ? 1 : 0);
    return windowed;
  }
  // Qwen 2 and 3: the first blocks have none.
  if (input.config.has({"use_sliding_window"}) && input.config.has({"max_window_layers"})) {
    EXO_TRY(const int64_t first, input.config.integer({"max_window_layers"}, 0, INT32_MAX));
    for (size_t i = 0; i < n; ++i) windowed.push_back(static_cast<int64_t>(i) >= first ? 1 : 0);
  }
  return windowed;
}

Status put_window(const MetadataInput& input, const Keys& keys) {
  EXO_TRY(const bool is_used, input.config.boolean({"use_sliding_window"}, true));
  const FieldNames kWindow = {"sliding_window", "attention_chunk_size"};
  if (!is_used || !input.config.has(kWindow)) return {};
  EXO_TRY(const int64_t window, input.config.integer(kWindow, 0, INT32_MAX));
  EXO_TRY(const auto windowed, windowed_blocks(input));
  if (!windowed.empty() && std::ranges::count(windowed, 1) == 0) return {};
  keys.set_count("attention.sliding_window", window);
  if (!windowed.empty()) keys.set("attention.sliding_window_pattern", std::span<const int32_t>(windowed));
  return {};
}

// Blocks that do not rotate, one entry for each block: 0.
Status put_unrotated(const MetadataInput& input) {
  const auto& list = input.config.list({"no_rope_layers"});
  if (list.size() < static_cast<size_t>(input.shape.n_layers)) return {};
  std::vector<int32_t> rotates;
  for (int64_t i = 0; i < input.shape.n_layers; ++i) {
    rotates.push_back(list[static_cast<size_t>(i)] == boost::json::value(0) ? 0 : 1);
  }
  input.metadata.set("exo.rope.layers", std::span<const int32_t>(rotates));
  return {};
}

const FieldNames kExpertWidth = {"moe_intermediate_size", "expert_ffn_hidden_size"};
const FieldNames kSharedWidth = {"shared_expert_intermediate_size", "shared_intermediate_size"};
constexpr uint32_t kSoftmax = 1, kSigmoid = 2;

Status put_experts(const MetadataInput& input, const Keys& keys) {
  if (input.shape.n_experts == 0) return {};
  const auto& config = input.config;
  keys.set_count("expert_count", input.shape.n_experts);
  const FieldNames kUsed = {"num_experts_per_tok", "moe_topk", "moe_k", "num_experts_per_token"};
  const auto* used = config.find(kUsed);
  if (used != nullptr && used->is_array() && !used->get_array().empty() && used->get_array()[0].is_int64()) {
    keys.set_count("expert_used_count", std::clamp<int64_t>(used->get_array()[0].get_int64(), 1, kMostExperts));
  } else {
    EXO_TRY(const int64_t n_used, config.integer(kUsed, 1, kMostExperts));
    keys.set_count("expert_used_count", n_used);
  }
  const auto* width = config.find(kExpertWidth);
  if (width != nullptr && width->is_array() && !width->get_array().empty() && width->get_array()[0].is_int64()) {
    keys.set_count("expert_feed_forward_length",
                   std::clamp<int64_t>(width->get_array()[0].get_int64(), 1, kMostWidth));
  } else if (width != nullptr) {
    EXO_CHECK_OK(keys.copy_count("expert_feed_forward_length", kExpertWidth));
  }
  EXO_CHECK_OK(keys.copy_count("expert_shared_feed_forward_length", kSharedWidth));
  EXO_CHECK_OK(
      keys.copy_count("expert_shared_count", {"n_shared_experts", "num_shared_experts", "moe_num_shared_experts"}));
  EXO_CHECK_OK(keys.copy_count("leading_dense_block_count", {"first_k_dense_replace", "moe_layer_start_index"}));
  EXO_CHECK_OK(keys.copy_count("expert_group_count", {"n_group"}));
  EXO_CHECK_OK(keys.copy_count("expert_group_used_count", {"topk_group"}));
  EXO_CHECK_OK(keys.copy_number("expert_weights_scale", {"routed_scaling_factor"}));
  EXO_CHECK_OK(keys.copy_boolean("expert_weights_norm", {"norm_topk_prob"}));
  // A correction of the scores belongs to the sigmoid; who has it need not say so.
  const std::string_view scoring = config.text({"scoring_func"}, "");
  if (scoring == "sigmoid" || scoring == "noaux_tc" || config.model_type() == "deepseek_v3" ||
      config.model_type() == "glm4_moe" || config.model_type() == "dots1") {
    keys.set("expert_gating_func", kSigmoid);
  } else if (scoring == "softmax") {
    keys.set("expert_gating_func", kSoftmax);
  }
  return {};
}

}  // namespace

namespace {

Result<int64_t> read_kv_heads(const ConfigFields& config, int64_t n_heads) {
  const FieldNames kGrouped = {"num_key_value_heads", "multi_query_group_num", "num_kv_heads"};
  const auto type = config.model_type();
  if (type == "gpt_neox" || type == "gpt2") return n_heads;
  if (type == "falcon") {  // one, unless its newer architecture says how many
    EXO_TRY(const bool is_new, config.boolean({"new_decoder_architecture"}, false));
    EXO_TRY(const bool has_one, config.boolean({"multi_query"}, true));
    if (!is_new) return has_one ? 1 : n_heads;
  }
  EXO_TRY(const bool is_grouped, config.boolean({"multi_query_attention"}, true));
  if (!is_grouped) return n_heads;
  return config.integer(kGrouped, 1, kMostHeads, n_heads);
}

}  // namespace

Result<ModelShape> read_shape(const ConfigFields& config) {
  ModelShape shape;
  EXO_TRY(shape.n_layers, config.integer({"num_hidden_layers", "num_layers", "n_layer"}, 1, kMostLayers));
  EXO_TRY(shape.d_model, config.integer({"hidden_size", "n_embd"}, 1, kMostWidth));
  EXO_TRY(shape.d_ff, config.integer({"intermediate_size_mlp", "ffn_hidden_size", "intermediate_size", "n_inner"},
                                     1, kMostWidth, 4 * shape.d_model));
  EXO_TRY(shape.n_heads, config.integer({"num_attention_heads", "n_head"}, 1, kMostHeads));
  EXO_TRY(shape.n_kv_heads, read_kv_heads(config, shape.n_heads));
  EXO_TRY(shape.head_dim, config.integer({"head_dim", "kv_channels", "attention_head_dim"}, 1, kMostWidth,
                                         std::max<int64_t>(1, shape.d_model / shape.n_heads)));
  EXO_TRY(shape.n_experts,
          config.integer({"num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"}, 0,
                         kMostExperts, 0));
  if (shape.n_heads % shape.n_kv_heads != 0) {
    return fail(ErrorCode::kCorrupt, "config.json: {} heads over {} key-value heads", shape.n_heads,
                shape.n_kv_heads);
  }
  return shape;
}

Status put_metadata(const MetadataInput& input) {
  const Keys keys(input);
  EXO_TRY(const bool alibi, input.config.boolean({"alibi"}, false));
  if (alibi) return fail(ErrorCode::kUnsupported, "config.json: positions by ALiBi are not known");
  EXO_CHECK_OK(put_widths(input, keys));
  EXO_CHECK_OK(put_window(input, keys));
  EXO_CHECK_OK(put_unrotated(input));
  EXO_CHECK_OK(put_experts(input, keys));
  if (input.family.metadata != nullptr) return input.family.metadata(input);
  return {};
}

Status cohere_metadata(const MetadataInput& input) {
  return Keys(input).copy_number("logit_scale", {"logit_scale"});
}

Status deepseek2_metadata(const MetadataInput& input) {
  const Keys keys(input);
  const auto& config = input.config;
  EXO_CHECK_OK(keys.copy_count("attention.q_lora_rank", {"q_lora_rank"}));
  EXO_TRY(const int64_t rank, config.integer({"kv_lora_rank"}, 1, kMostWidth));
  EXO_TRY(const int64_t nope, config.integer({"qk_nope_head_dim"}, 1, kMostWidth));
  EXO_TRY(const int64_t rotated, config.integer({"qk_rope_head_dim"}, 1, kMostWidth));
  EXO_TRY(const int64_t value, config.integer({"v_head_dim"}, 1, kMostWidth));
  keys.set_count("attention.kv_lora_rank", rank);
  // What is cached is one head of the latent and the rotated part.
  keys.set_count("attention.head_count_kv", 1);
  keys.set_count("attention.key_length", rank + rotated);
  keys.set_count("attention.value_length", rank);
  keys.set_count("attention.key_length_mla", nope + rotated);
  keys.set_count("attention.value_length_mla", value);
  return {};
}

Status delta_net_metadata(const MetadataInput& input) {
  const Keys keys(input);
  const auto& config = input.config;
  EXO_TRY(const int64_t value_heads, config.integer({"linear_num_value_heads"}, 1, kMostHeads));
  EXO_TRY(const int64_t value_dim, config.integer({"linear_value_head_dim"}, 1, kMostHeads));
  keys.set_count("ssm.inner_size", value_heads * value_dim);
  keys.set_count("ssm.time_step_rank", value_heads);
  EXO_CHECK_OK(keys.copy_count("ssm.conv_kernel", {"linear_conv_kernel_dim"}));
  EXO_CHECK_OK(keys.copy_count("ssm.state_size", {"linear_key_head_dim"}));
  EXO_CHECK_OK(keys.copy_count("ssm.group_count", {"linear_num_key_heads"}));
  int64_t interval = 4;
  const auto& types = config.list({"layer_types"});
  for (size_t i = 0; i < types.size(); ++i) {
    if (!types[i].is_string() || types[i].get_string() != "full_attention") continue;
    interval = static_cast<int64_t>(i) + 1;
    break;
  }
  EXO_TRY(interval, config.integer({"full_attention_interval"}, 1, kMostLayers, interval));
  keys.set_count("full_attention_interval", interval);
  return {};
}

Status gemma_metadata(const MetadataInput& input) {
  const Keys keys(input);
  if (input.family.gguf == "gemma2") {
    EXO_CHECK_OK(keys.copy_number("attn_logit_softcapping", {"attn_logit_softcapping"}));
  }
  EXO_CHECK_OK(keys.copy_number("final_logit_softcapping", {"final_logit_softcapping"}));
  EXO_TRY(const double scalar, input.config.number({"query_pre_attn_scalar"}, double(input.shape.head_dim)));
  if (!(scalar > 0.0)) return fail(ErrorCode::kCorrupt, "config.json: query_pre_attn_scalar is {}", scalar);
  keys.set("attention.scale", static_cast<float>(1.0 / std::sqrt(scalar)));
  return {};
}

Status granite_metadata(const MetadataInput& input) {
  const Keys keys(input);
  EXO_CHECK_OK(keys.copy_number("embedding_scale", {"embedding_multiplier"}));
  EXO_CHECK_OK(keys.copy_number("residual_scale", {"residual_multiplier"}));
  EXO_CHECK_OK(keys.copy_number("attention.scale", {"attention_multiplier"}));
  return keys.copy_number("logit_scale", {"logits_scaling"});
}

Status hunyuan_metadata(const MetadataInput& input) {
  const Keys keys(input);
  // Shared experts are one feed-forward of so many times the width.
  EXO_TRY(const int64_t count, input.config.integer({"num_shared_expert"}, 1, kMostExperts, 2));
  if (input.shape.n_experts > 0 && !input.config.has(kSharedWidth)) {
    keys.set_count("expert_shared_feed_forward_length", count * input.shape.d_ff);
  }
  return {};
}

Status llama4_metadata(const MetadataInput& input) {
  const Keys keys(input);
  if (!input.config.has(kExpertWidth)) {
    EXO_CHECK_OK(keys.copy_count("expert_feed_forward_length", {"intermediate_size"}));
  }
  EXO_CHECK_OK(keys.copy_count("interleave_moe_layer_step", {"interleave_moe_layer_step"}));
  // Blocks that do not rotate scale their queries with the logarithm of the place.
  const auto* tuning = input.config.find({"attn_temperature_tuning"});
  const bool is_tuned =  // some say a number for true
      tuning == nullptr || (*tuning != boost::json::value(false) && *tuning != boost::json::value(0));
  EXO_TRY(const double scale, input.config.number({"attn_scale"}, 0.1));
  keys.set("attention.temperature_scale", is_tuned ? static_cast<float>(scale) : 0.0f);
  EXO_TRY(const double floor_scale, input.config.number({"floor_scale"}, 8192.0));
  keys.set_count("attention.temperature_length",
                 static_cast<int64_t>(std::clamp(floor_scale, 1.0, double{INT32_MAX})));
  return {};
}

Status minicpm_metadata(const MetadataInput& input) {
  const Keys keys(input);
  EXO_CHECK_OK(keys.copy_number("embedding_scale", {"scale_emb"}));
  if (input.config.has({"scale_depth"})) {
    EXO_TRY(const double depth, input.config.number({"scale_depth"}));
    keys.set("residual_scale", static_cast<float>(depth / std::sqrt(static_cast<double>(input.shape.n_layers))));
  }
  if (input.config.has({"dim_model_base"})) {
    EXO_TRY(const int64_t base, input.config.integer({"dim_model_base"}, 1, kMostWidth));
    keys.set("logit_scale",
             static_cast<float>(static_cast<double>(input.shape.d_model) / static_cast<double>(base)));
  }
  return {};
}

Status neox_metadata(const MetadataInput& input) {
  EXO_TRY(const bool parallel, input.config.boolean({"use_parallel_residual"}, true));
  Keys(input).set("use_parallel_residual", parallel);
  return {};
}

Status olmo_metadata(const MetadataInput& input) {
  return Keys(input).copy_number("attention.clamp_kqv", {"clip_qkv"});
}

Status stablelm_metadata(const MetadataInput& input) {
  EXO_TRY(const bool parallel, input.config.boolean({"use_parallel_residual"}, false));
  Keys(input).set("use_parallel_residual", parallel);
  return {};
}

Status ministral_metadata(const MetadataInput& input) {
  // Queries far into the text are scaled up, as Llama 4's are.
  const auto& rope = input.config.object({"rope_parameters", "rope_scaling"});
  const auto* beta = rope.if_contains("llama_4_scaling_beta");
  if (beta == nullptr || beta->is_null()) return {};
  if (!beta->is_double()) return fail(ErrorCode::kCorrupt, "config.json: llama_4_scaling_beta is no fraction");
  Keys(input).set("attention.temperature_scale", static_cast<float>(beta->get_double()));
  return {};
}

}  // namespace exo::convert
