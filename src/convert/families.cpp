// The families of model folders. A row says what differs from llama's; names of keys and tensors on the right are
// those of the family's GGUF files.

#include <algorithm>
#include <string>
#include <vector>

#include "convert/family.h"
#include "convert/family_metadata.h"
#include "convert/recipes.h"

namespace exo::convert {
namespace {

using namespace recipes;

constexpr TensorRule kCommon[] = {
    {"input_layernorm", "attn_norm", norm},
    {"post_attention_layernorm", "ffn_norm", norm},
    {"self_attn.q_proj", "attn_q", projection},
    {"self_attn.k_proj", "attn_k", projection},
    {"self_attn.v_proj", "attn_v", projection},
    {"self_attn.qkv_proj", "attn_qkv", projection},
    {"self_attn.o_proj", "attn_output", projection},
    {"self_attn.q_norm", "attn_q_norm", norm},
    {"self_attn.k_norm", "attn_k_norm", norm},
    {"self_attn.sinks", "attn_sinks.weight", bare_vector},
    {"mlp.gate_proj", "ffn_gate", projection},
    {"mlp.up_proj", "ffn_up", projection},
    {"mlp.down_proj", "ffn_down", projection},
    {"mlp.gate_up_proj", "ffn_up", projection},
    // Mixtures of experts.
    {"mlp.gate", "ffn_gate_inp", projection},
    {"mlp.router", "ffn_gate_inp", projection},
    {"mlp.gate.e_score_correction_bias", "exp_probs_b.bias", bare_vector},
    {"mlp.experts", "ffn_exps", experts},
    {"mlp.experts", "ffn_exps", stacked_experts},
    {"mlp.switch_mlp", "ffn_exps", stacked_experts},
    {"mlp.shared_experts.gate_proj", "ffn_gate_shexp", projection},
    {"mlp.shared_experts.up_proj", "ffn_up_shexp", projection},
    {"mlp.shared_experts.down_proj", "ffn_down_shexp", projection},
    {"mlp.shared_expert.gate_proj", "ffn_gate_shexp", projection},
    {"mlp.shared_expert.up_proj", "ffn_up_shexp", projection},
    {"mlp.shared_expert.down_proj", "ffn_down_shexp", projection},
    {"mlp.shared_expert_gate", "ffn_gate_inp_shexp", vector},
    {"block_sparse_moe.gate", "ffn_gate_inp", projection},
    {"block_sparse_moe.experts", "ffn_exps", experts},
    {"block_sparse_moe.switch_mlp", "ffn_exps", stacked_experts},
};

constexpr TensorRule kSandwich[] = {
    // gemma 2 and 3, olmo 2
    {"post_attention_layernorm", "post_attention_norm", norm},
    {"pre_feedforward_layernorm", "ffn_norm", norm},
    {"post_feedforward_layernorm", "post_ffw_norm", norm},
};
constexpr TensorRule kPostAttentionNorm[] = {
    // where GGUF files name the second norm so
    {"post_attention_layernorm", "post_attention_norm", norm},
};
constexpr TensorRule kGlm4[] = {
    {"post_self_attn_layernorm", "post_attention_norm", norm},
    {"post_mlp_layernorm", "post_ffw_norm", norm},
};
constexpr TensorRule kChatGlm[] = {
    {"self_attention.query_key_value", "attn_qkv", projection},
    {"self_attention.dense", "attn_output", projection},
    {"mlp.dense_h_to_4h", "ffn_up", projection},
    {"mlp.dense_4h_to_h", "ffn_down", projection},
};
constexpr TensorRule kExaone[] = {
    {"ln_1", "attn_norm", norm},
    {"ln_2", "ffn_norm", norm},
    {"attn.attention.q_proj", "attn_q", projection},
    {"attn.attention.k_proj", "attn_k", projection},
    {"attn.attention.v_proj", "attn_v", projection},
    {"attn.attention.out_proj", "attn_output", projection},
    {"mlp.c_fc_0", "ffn_gate", projection},
    {"mlp.c_fc_1", "ffn_up", projection},
    {"mlp.c_proj", "ffn_down", projection},
};
constexpr TensorRule kGpt2[] = {
    {"ln_1", "attn_norm", norm},
    {"ln_2", "ffn_norm", norm},
    {"attn.c_attn", "attn_qkv", transposed_projection},
    {"attn.c_proj", "attn_output", transposed_projection},
    {"mlp.c_fc", "ffn_up", transposed_projection},
    {"mlp.c_proj", "ffn_down", transposed_projection},
};
constexpr TensorRule kStarcoder2[] = {
    {"mlp.c_fc", "ffn_up", projection},
    {"mlp.c_proj", "ffn_down", projection},
};
constexpr TensorRule kPhi2[] = {
    {"self_attn.dense", "attn_output", projection},
    {"mlp.fc1", "ffn_up", projection},
    {"mlp.fc2", "ffn_down", projection},
};
// Of two norms, GGUF files name the attention's attn_norm_2; a single one is attn_norm.
constexpr TensorRule kFalcon[] = {
    {"ln_attn", "attn_norm_2", norm},
    {"ln_mlp", "attn_norm", norm},
    {"self_attention.query_key_value", "attn_qkv", grouped_qkv},
    {"self_attention.dense", "attn_output", projection},
    {"mlp.dense_h_to_4h", "ffn_up", projection},
    {"mlp.dense_4h_to_h", "ffn_down", projection},
};
constexpr TensorRule kGptNeox[] = {
    {"attention.query_key_value", "attn_qkv", grouped_qkv},
    {"attention.dense", "attn_output", projection},
    {"mlp.dense_h_to_4h", "ffn_up", projection},
    {"mlp.dense_4h_to_h", "ffn_down", projection},
};
constexpr TensorRule kStableLm[] = {
    {"self_attn.q_layernorm.norms", "attn_q_norm", norm_per_head},
    {"self_attn.k_layernorm.norms", "attn_k_norm", norm_per_head},
};
constexpr TensorRule kDeepSeek2[] = {
    {"self_attn.q_a_proj", "attn_q_a", projection},
    {"self_attn.q_a_layernorm", "attn_q_a_norm", norm},
    {"self_attn.q_b_proj", "attn_q_b", projection},
    {"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa", projection},
    {"self_attn.kv_a_layernorm", "attn_kv_a_norm", norm},
    {"self_attn.kv_b_proj", "attn_kv_b", latent_kv},
};
constexpr TensorRule kGraniteMoe[] = {
    {"block_sparse_moe.router.layer", "ffn_gate_inp", projection},
    {"block_sparse_moe.input_linear", "ffn_gate_up_exps", fused_gate_up},
    {"block_sparse_moe.output_linear", "ffn_down_exps", expert_stack},
    {"shared_mlp.input_linear", "ffn_gate_up_shexp", shared_gate_up},
    {"shared_mlp.output_linear", "ffn_down_shexp", projection},
};
constexpr TensorRule kHunyuan[] = {
    {"mlp.gate.wg", "ffn_gate_inp", projection},
    {"mlp.shared_mlp.gate_proj", "ffn_gate_shexp", projection},
    {"mlp.shared_mlp.up_proj", "ffn_up_shexp", projection},
    {"mlp.shared_mlp.down_proj", "ffn_down_shexp", projection},
    {"self_attn.query_layernorm", "attn_q_norm", norm},
    {"self_attn.key_layernorm", "attn_k_norm", norm},
};
constexpr TensorRule kBailingMoe[] = {
    {"attention.query_key_value", "attn_qkv", projection},     {"attention.dense", "attn_output", projection},
    {"attention.query_layernorm", "attn_q_norm", norm},        {"attention.key_layernorm", "attn_k_norm", norm},
    {"mlp.gate.expert_bias", "exp_probs_b.bias", bare_vector},
};
constexpr TensorRule kErnieMoe[] = {
    {"mlp.moe_statics.e_score_correction_bias", "exp_probs_b.bias", bare_vector},
};
constexpr TensorRule kMiniMax[] = {
    {"block_sparse_moe.e_score_correction_bias", "exp_probs_b.bias", bare_vector},
};
constexpr TensorRule kLlama4[] = {
    {"feed_forward.gate_proj", "ffn_gate", projection},
    {"feed_forward.up_proj", "ffn_up", projection},
    {"feed_forward.down_proj", "ffn_down", projection},
    {"feed_forward.router", "ffn_gate_inp", projection},
    {"feed_forward.experts", "ffn_exps", experts},
    {"feed_forward.experts", "ffn_exps", stacked_experts},
    {"feed_forward.shared_expert.gate_proj", "ffn_gate_shexp", projection},
    {"feed_forward.shared_expert.up_proj", "ffn_up_shexp", projection},
    {"feed_forward.shared_expert.down_proj", "ffn_down_shexp", projection},
};
constexpr TensorRule kQwen3Next[] = {
    {"post_attention_layernorm", "post_attention_norm", norm},
    {"linear_attn.in_proj_qkvz", "attn_qkvz", delta_qkvz},
    {"linear_attn.in_proj_ba", "ssm_ba", projection},
    {"linear_attn.in_proj_qkv", "attn_qkv", delta_mixed},  // Qwen 3.5 stores the parts singly
    {"linear_attn.in_proj_z", "attn_gate", delta_gate},
    {"linear_attn.in_proj_b", "ssm_beta", delta_per_head},
    {"linear_attn.in_proj_a", "ssm_alpha", delta_per_head},
    {"linear_attn.conv1d", "ssm_conv1d", delta_mixed},
    {"linear_attn.dt_bias", "ssm_dt.bias", delta_step},
    {"linear_attn.A_log", "ssm_a", delta_decay},
    {"linear_attn.norm", "ssm_norm", plain_norm},
    {"linear_attn.out_proj", "ssm_out", delta_output},
};

// Sorted by architecture.
constexpr Family kFamilies[] = {
    {.architecture = "ArceeForCausalLM", .model_type = "arcee", .gguf = "arcee", .rope_halves = true},
    {.architecture = "BailingMoeForCausalLM",
     .model_type = "bailing_moe",
     .gguf = "bailingmoe",
     .rope_halves = true,
     .rules = kBailingMoe,
     .embedding = "word_embeddings"},
    {.architecture = "BailingMoeV2ForCausalLM",
     .model_type = "bailing_moe_v2",
     .gguf = "bailingmoe2",
     .rules = kBailingMoe,
     .embedding = "word_embeddings"},
    {.architecture = "ChatGLMModel",
     .model_type = "chatglm",
     .gguf = "chatglm",
     .default_partial_rotary = 0.5,
     .rules = kChatGlm,
     .embedding = "embedding.word_embeddings",
     .layers = "encoder.layers",
     .norm = "encoder.final_layernorm",
     .head = "output_layer"},
    {.architecture = "Cohere2ForCausalLM",
     .model_type = "cohere2",
     .gguf = "cohere2",
     .layer_norm = true,
     .ties_embedding = true,
     .metadata = cohere_metadata},
    {.architecture = "CohereForCausalLM",
     .model_type = "cohere",
     .gguf = "command-r",
     .layer_norm = true,
     .ties_embedding = true,
     .metadata = cohere_metadata},
    {.architecture = "DeepseekForCausalLM", .model_type = "deepseek", .gguf = "deepseek", .rope_halves = true},
    {.architecture = "DeepseekV2ForCausalLM",
     .model_type = "deepseek_v2",
     .gguf = "deepseek2",
     .metadata = deepseek2_metadata,
     .rules = kDeepSeek2},
    {.architecture = "DeepseekV3ForCausalLM",
     .model_type = "deepseek_v3",
     .gguf = "deepseek2",
     .metadata = deepseek2_metadata,
     .rules = kDeepSeek2},
    {.architecture = "Dots1ForCausalLM", .model_type = "dots1", .gguf = "dots1"},
    {.architecture = "Ernie4_5ForCausalLM", .model_type = "ernie4_5", .gguf = "ernie4_5", .ties_embedding = true},
    {.architecture = "Ernie4_5_MoeForCausalLM",
     .model_type = "ernie4_5_moe",
     .gguf = "ernie4_5-moe",
     .ties_embedding = true,
     .rules = kErnieMoe},
    {.architecture = "ExaoneForCausalLM",
     .model_type = "exaone",
     .gguf = "exaone",
     .rules = kExaone,
     .embedding = "wte",
     .layers = "h",
     .norm = "ln_f"},
    {.architecture = "FalconForCausalLM",
     .model_type = "falcon",
     .gguf = "falcon",
     .layer_norm = true,
     .ties_embedding = true,
     .rules = kFalcon,
     .embedding = "word_embeddings",
     .layers = "h",
     .norm = "ln_f"},
    {.architecture = "GPT2LMHeadModel",
     .model_type = "gpt2",
     .gguf = "gpt2",
     .layer_norm = true,
     .ties_embedding = true,
     .rules = kGpt2,
     .embedding = "wte",
     .layers = "h",
     .norm = "ln_f"},
    {.architecture = "GPTNeoXForCausalLM",
     .model_type = "gpt_neox",
     .gguf = "gptneox",
     .layer_norm = true,
     .default_partial_rotary = 0.25,
     .metadata = neox_metadata,
     .rules = kGptNeox,
     .embedding = "embed_in",
     .norm = "final_layer_norm",
     .head = "embed_out"},
    {.architecture = "Gemma2ForCausalLM",
     .model_type = "gemma2",
     .gguf = "gemma2",
     .norms_plus_one = true,
     .ties_embedding = true,
     .metadata = gemma_metadata,
     .rules = kSandwich},
    {.architecture = "Gemma3ForCausalLM",
     .model_type = "gemma3_text",
     .gguf = "gemma3",
     .norms_plus_one = true,
     .ties_embedding = true,
     .metadata = gemma_metadata,
     .rules = kSandwich},
    {.architecture = "Gemma3ForConditionalGeneration",
     .model_type = "gemma3",
     .gguf = "gemma3",
     .norms_plus_one = true,
     .ties_embedding = true,
     .metadata = gemma_metadata,
     .rules = kSandwich},
    {.architecture = "GemmaForCausalLM",
     .model_type = "gemma",
     .gguf = "gemma",
     .norms_plus_one = true,
     .ties_embedding = true},
    {.architecture = "Glm4ForCausalLM",
     .model_type = "glm4",
     .gguf = "glm4",
     .default_partial_rotary = 0.5,
     .rules = kGlm4},
    {.architecture = "Glm4MoeForCausalLM",
     .model_type = "glm4_moe",
     .gguf = "glm4moe",
     .default_partial_rotary = 0.5,
     .rules = kPostAttentionNorm},
    {.architecture = "GlmForCausalLM", .model_type = "glm", .gguf = "chatglm", .default_partial_rotary = 0.5},
    {.architecture = "GptOssForCausalLM",
     .model_type = "gpt_oss",
     .gguf = "gpt-oss",
     .gates_alternate = true,
     .rules = kPostAttentionNorm},
    {.architecture = "GraniteForCausalLM",
     .model_type = "granite",
     .gguf = "granite",
     .rope_halves = true,
     .metadata = granite_metadata},
    {.architecture = "GraniteMoeForCausalLM",
     .model_type = "granitemoe",
     .gguf = "granitemoe",
     .rope_halves = true,
     .metadata = granite_metadata,
     .rules = kGraniteMoe},
    {.architecture = "GraniteMoeSharedForCausalLM",
     .model_type = "granitemoeshared",
     .gguf = "granitemoe",
     .rope_halves = true,
     .metadata = granite_metadata,
     .rules = kGraniteMoe},
    {.architecture = "HunYuanDenseV1ForCausalLM",
     .model_type = "hunyuan_v1_dense",
     .gguf = "hunyuan-dense",
     .rules = kHunyuan},
    {.architecture = "HunYuanMoEV1ForCausalLM",
     .model_type = "hunyuan_v1_moe",
     .gguf = "hunyuan-moe",
     .metadata = hunyuan_metadata,
     .rules = kHunyuan},
    {.architecture = "Llama4ForCausalLM",
     .model_type = "llama4_text",
     .gguf = "llama4",
     .metadata = llama4_metadata,
     .rules = kLlama4},
    {.architecture = "Llama4ForConditionalGeneration",
     .model_type = "llama4",
     .gguf = "llama4",
     .metadata = llama4_metadata,
     .rules = kLlama4},
    {.architecture = "LlamaForCausalLM", .model_type = "llama", .gguf = "llama", .rope_halves = true},
    {.architecture = "MiniCPMForCausalLM",
     .model_type = "minicpm",
     .gguf = "minicpm",
     .rope_halves = true,
     .metadata = minicpm_metadata},
    {.architecture = "MiniMaxM2ForCausalLM", .model_type = "minimax_m2", .gguf = "minimax-m2", .rules = kMiniMax},
    {.architecture = "Ministral3ForCausalLM",
     .model_type = "ministral3",
     .gguf = "mistral3",
     .rope_halves = true,
     .metadata = ministral_metadata},
    {.architecture = "MistralForCausalLM", .model_type = "mistral", .gguf = "llama", .rope_halves = true},
    {.architecture = "MixtralForCausalLM", .model_type = "mixtral", .gguf = "llama", .rope_halves = true},
    {.architecture = "NemotronForCausalLM",
     .model_type = "nemotron",
     .gguf = "nemotron",
     .layer_norm = true,
     .norms_plus_one = true,
     .default_partial_rotary = 0.5},
    {.architecture = "Olmo2ForCausalLM", .model_type = "olmo2", .gguf = "olmo2", .rules = kSandwich},
    {.architecture = "OlmoForCausalLM",
     .model_type = "olmo",
     .gguf = "olmo",
     .layer_norm = true,
     .rope_halves = true,
     .metadata = olmo_metadata},
    {.architecture = "OlmoeForCausalLM", .model_type = "olmoe", .gguf = "olmoe", .metadata = olmo_metadata},
    {.architecture = "Phi3ForCausalLM", .model_type = "phi3", .gguf = "phi3"},
    {.architecture = "PhiForCausalLM",
     .model_type = "phi",
     .gguf = "phi2",
     .layer_norm = true,
     .default_partial_rotary = 0.5,
     .rules = kPhi2,
     .norm = "final_layernorm"},
    {.architecture = "PhiMoEForCausalLM", .model_type = "phimoe", .gguf = "phimoe", .layer_norm = true},
    {.architecture = "PhimoeForCausalLM", .model_type = "phimoe", .gguf = "phimoe", .layer_norm = true},
    {.architecture = "Qwen2ForCausalLM", .model_type = "qwen2", .gguf = "qwen2"},
    {.architecture = "Qwen2MoeForCausalLM", .model_type = "qwen2_moe", .gguf = "qwen2moe"},
    {.architecture = "Qwen2VLForConditionalGeneration", .model_type = "qwen2_vl_text", .gguf = "qwen2"},
    {.architecture = "Qwen2_5_VLForConditionalGeneration", .model_type = "qwen2_5_vl_text", .gguf = "qwen2"},
    {.architecture = "Qwen3ForCausalLM", .model_type = "qwen3", .gguf = "qwen3"},
    {.architecture = "Qwen3MoeForCausalLM", .model_type = "qwen3_moe", .gguf = "qwen3moe"},
    {.architecture = "Qwen3NextForCausalLM",
     .model_type = "qwen3_next",
     .gguf = "qwen3next",
     .norms_plus_one = true,
     .default_partial_rotary = 0.25,
     .metadata = delta_net_metadata,
     .rules = kQwen3Next},
    {.architecture = "Qwen3VLForConditionalGeneration", .model_type = "qwen3_vl_text", .gguf = "qwen3"},
    {.architecture = "Qwen3VLMoeForConditionalGeneration", .model_type = "qwen3_vl_moe_text", .gguf = "qwen3moe"},
    {.architecture = "Qwen3_5ForCausalLM",
     .model_type = "qwen3_5_text",
     .gguf = "qwen35",
     .norms_plus_one = true,
     .tiles_value_heads = true,
     .default_partial_rotary = 0.25,
     .metadata = delta_net_metadata,
     .rules = kQwen3Next},
    {.architecture = "Qwen3_5ForConditionalGeneration",
     .model_type = "qwen3_5",
     .gguf = "qwen35",
     .norms_plus_one = true,
     .tiles_value_heads = true,
     .default_partial_rotary = 0.25,
     .metadata = delta_net_metadata,
     .rules = kQwen3Next},
    {.architecture = "Qwen3_5MoeForCausalLM",
     .model_type = "qwen3_5_moe_text",
     .gguf = "qwen35moe",
     .norms_plus_one = true,
     .tiles_value_heads = true,
     .default_partial_rotary = 0.25,
     .metadata = delta_net_metadata,
     .rules = kQwen3Next},
    {.architecture = "Qwen3_5MoeForConditionalGeneration",
     .model_type = "qwen3_5_moe",
     .gguf = "qwen35moe",
     .norms_plus_one = true,
     .tiles_value_heads = true,
     .default_partial_rotary = 0.25,
     .metadata = delta_net_metadata,
     .rules = kQwen3Next},
    {.architecture = "SeedOssForCausalLM",
     .model_type = "seed_oss",
     .gguf = "seed_oss",
     .rules = kPostAttentionNorm},
    {.architecture = "SmolLM3ForCausalLM",
     .model_type = "smollm3",
     .gguf = "smollm3",
     .rope_halves = true,
     .ties_embedding = true},
    {.architecture = "StableLmForCausalLM",
     .model_type = "stablelm",
     .gguf = "stablelm",
     .layer_norm = true,
     .default_partial_rotary = 0.25,
     .metadata = stablelm_metadata,
     .rules = kStableLm},
    {.architecture = "Starcoder2ForCausalLM",
     .model_type = "starcoder2",
     .gguf = "starcoder2",
     .layer_norm = true,
     .ties_embedding = true,
     .rules = kStarcoder2},
};

static_assert(std::ranges::is_sorted(kFamilies, {}, &Family::architecture));

std::string known_families() {
  std::string names;
  for (const auto& family : kFamilies) {
    if (!names.empty()) names += ", ";
    names += family.architecture;
  }
  return names;
}

std::string printable(std::string_view text) {
  std::string shown(text.substr(0, 64));
  std::ranges::replace_if(
      shown, [](unsigned char c) { return c < 0x20 || c > 0x7e; }, '?');
  return shown;
}

}  // namespace

std::span<const TensorRule> common_rules() { return kCommon; }

Result<const Family*> find_family(const ConfigFields& config) {
  const auto* it = std::ranges::find(kFamilies, config.architecture(), &Family::architecture);
  if (it == std::end(kFamilies)) it = std::ranges::find(kFamilies, config.model_type(), &Family::model_type);
  if (it != std::end(kFamilies)) return it;
  return fail(ErrorCode::kUnsupported, "the model's architecture is '{}' (model_type '{}'); this build knows {}",
              printable(config.architecture()), printable(config.model_type()), known_families());
}

}  // namespace exo::convert
