#include "model/architecture.h"

#include <algorithm>
#include <vector>

namespace exo::model {
namespace {

using ops::Activation;
using enum ops::RopeStyle;
using enum ops::ExpertScore;

// Sorted by name. Defaults are llama's, so that a row lists only what differs.
constexpr Architecture kArchitectures[] = {
    {.name = "arcee", .activation = Activation::kReluSquared, .gated = false},
    {.name = "bailingmoe"},
    {.name = "bailingmoe2", .qk_norm = QkNorm::kEachHead, .rope = kHalves, .expert_score = kSigmoid},
    {.name = "chatglm"},
    {.name = "cohere2",
     .norm = NormKind::kLayer,
     .feed_forward_norm = "",
     .residual = Residual::kParallel,
     .rope_layers = RopeLayers::kWindowed,
     .window_period = 4,
     .logit_scale = LogitScale::kMultiply},
    {.name = "command-r",
     .norm = NormKind::kLayer,
     .feed_forward_norm = "",
     .residual = Residual::kParallel,
     .qk_norm = QkNorm::kEachHead,
     .qk_norm_kind = NormKind::kLayer,
     .qk_norm_is_optional = true,
     .logit_scale = LogitScale::kMultiply},
    {.name = "deepseek"},
    {.name = "deepseek2", .attention = AttentionKind::kLatent},
    {.name = "dots1", .qk_norm = QkNorm::kEachHead, .rope = kHalves, .expert_score = kSigmoid},
    {.name = "ernie4_5"},
    {.name = "ernie4_5-moe", .normalizes_experts = true},
    {.name = "exaone", .rope = kHalves},
    // Its one norm is named for the attention; the models that have two name the feed-forward's so instead.
    {.name = "falcon",
     .norm = NormKind::kLayer,
     .attention_norm = "attn_norm_2",
     .feed_forward_norm = "attn_norm",
     .residual = Residual::kParallel,
     .rope = kHalves,
     .activation = Activation::kGeluErf,
     .gated = false},
    {.name = "gemma", .rope = kHalves, .activation = Activation::kGeluTanh, .scales_embedding = true},
    {.name = "gemma2",
     .attention_post_norm = "post_attention_norm",
     .feed_forward_post_norm = "post_ffw_norm",
     .rope = kHalves,
     .window_period = 2,
     .default_window = 4096,
     .activation = Activation::kGeluTanh,
     .scales_embedding = true,
     .blocks_with_width_scale = 46},
    {.name = "gemma3",
     .attention_post_norm = "post_attention_norm",
     .feed_forward_post_norm = "post_ffw_norm",
     .qk_norm = QkNorm::kEachHead,
     .rope = kHalves,
     .local_rope_theta = 10000.0,
     .window_period = 6,
     .activation = Activation::kGeluTanh,
     .scales_embedding = true,
     .blocks_with_width_scale = 62},
    {.name = "glm4", .attention_post_norm = "post_attention_norm", .feed_forward_post_norm = "post_ffw_norm"},
    {.name = "glm4moe",
     .feed_forward_norm = "post_attention_norm",
     .qk_norm = QkNorm::kEachHead,
     .qk_norm_is_optional = true,
     .rope = kHalves,
     .expert_score = kSigmoid,
     .normalizes_experts = true},
    {.name = "gpt-oss",
     .feed_forward_norm = "post_attention_norm",
     .rope = kHalves,
     .window_period = 2,
     .activation = Activation::kClampedSwish,
     .expert_score = kSoftmaxOfChosen},
    {.name = "gpt2",
     .norm = NormKind::kLayer,
     .rope_layers = RopeLayers::kNone,
     .activation = Activation::kGeluTanh,
     .gated = false},
    {.name = "gptneox",
     .norm = NormKind::kLayer,
     .residual = Residual::kParallel,
     .rope = kHalves,
     .activation = Activation::kGeluErf,
     .gated = false},
    {.name = "granite", .logit_scale = LogitScale::kDivide},
    {.name = "granitemoe", .normalizes_experts = true, .logit_scale = LogitScale::kDivide},
    {.name = "hunyuan-dense", .qk_norm = QkNorm::kEachHead, .qk_norm_after_rope = true, .rope = kHalves},
    {.name = "hunyuan-moe",
     .qk_norm = QkNorm::kEachHead,
     .qk_norm_after_rope = true,
     .rope = kHalves,
     .normalizes_experts = true},
    {.name = "llama", .normalizes_experts = true},
    {.name = "minicpm", .logit_scale = LogitScale::kDivide},
    {.name = "minimax-m2",
     .qk_norm = QkNorm::kWholeRow,
     .rope = kHalves,
     .expert_score = kSigmoid,
     .normalizes_experts = true},
    {.name = "nemotron",
     .norm = NormKind::kLayer,
     .rope = kHalves,
     .activation = Activation::kReluSquared,
     .gated = false},
    {.name = "olmo", .norm = NormKind::kLayer, .norms_have_weights = false},
    {.name = "olmo2",
     .attention_norm = "",
     .attention_post_norm = "post_attention_norm",
     .feed_forward_norm = "",
     .feed_forward_post_norm = "post_ffw_norm",
     .qk_norm = QkNorm::kWholeRow,
     .rope = kHalves},
    {.name = "olmoe", .qk_norm = QkNorm::kWholeRow, .rope = kHalves},
    {.name = "phi2",
     .norm = NormKind::kLayer,
     .feed_forward_norm = "",
     .residual = Residual::kParallel,
     .rope = kHalves,
     .activation = Activation::kGeluTanh,
     .gated = false},
    {.name = "phi3", .rope = kHalves},
    {.name = "qwen2", .rope = kHalves},
    {.name = "qwen2moe", .rope = kHalves},
    {.name = "qwen3", .qk_norm = QkNorm::kEachHead, .rope = kHalves},
    {.name = "qwen3moe", .qk_norm = QkNorm::kEachHead, .rope = kHalves, .normalizes_experts = true},
    {.name = "seed_oss", .feed_forward_norm = "post_attention_norm", .rope = kHalves},
    {.name = "smollm3", .rope_layers = RopeLayers::kAllButEveryNth, .rope_skip_period = 4},
    {.name = "stablelm",
     .norm = NormKind::kLayer,
     .qk_norm = QkNorm::kEachHead,
     .qk_norm_kind = NormKind::kLayer,
     .qk_norm_is_optional = true,
     .rope = kHalves},
    {.name = "starcoder2",
     .norm = NormKind::kLayer,
     .rope = kHalves,
     .activation = Activation::kGeluTanh,
     .gated = false},
};

static_assert(std::ranges::is_sorted(kArchitectures, {}, &Architecture::name));

}  // namespace

std::string known_architectures() {
  std::string names;
  for (const auto& architecture : kArchitectures) {
    if (!names.empty()) names += ", ";
    names += architecture.name;
  }
  return names;
}

Result<const Architecture*> find_architecture(std::string_view name) {
  const auto* it = std::ranges::find(kArchitectures, name, &Architecture::name);
  if (it != std::end(kArchitectures)) return it;
  std::string shown(name.substr(0, 64));
  std::ranges::replace_if(
      shown, [](unsigned char c) { return c < 0x20 || c > 0x7e; }, '?');
  return fail(ErrorCode::kUnsupported, "the model's architecture is '{}'; this build knows {}", shown,
              known_architectures());
}

}  // namespace exo::model
