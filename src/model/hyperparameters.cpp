#include "model/hyperparameters.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/delta_net.h"
#include "model/expert_hyperparameters.h"
#include "model/latent_attention.h"
#include "model/metadata_reader.h"

namespace exo::model {
namespace {

using formats::GgufFile;
using Reader = MetadataReader;

Status read_widths(const Reader& reader, const GgufFile& file, int32_t n_layers, Hyperparameters& out) {
  EXO_TRY(out.d_model, reader.integer("embedding_length", 1, kMaxWidth));
  EXO_TRY(out.context_length, reader.integer_or("context_length", 0, 0, std::numeric_limits<int32_t>::max()));
  EXO_TRY(const auto heads, reader.per_layer("attention.head_count", n_layers, 1, kMaxHeads));
  auto kv_heads = heads;
  if (reader.has("attention.head_count_kv")) {
    EXO_TRY(kv_heads, reader.per_layer("attention.head_count_kv", n_layers, 1, kMaxHeads));
  }
  for (size_t i = 0; i < out.layers.size(); ++i) {
    if (heads[i] % kv_heads[i] != 0) {
      return fail(ErrorCode::kCorrupt, "block {} has {} heads over {} key-value heads", i, heads[i], kv_heads[i]);
    }
    out.layers[i].n_heads = heads[i];
    out.layers[i].n_kv_heads = kv_heads[i];
  }
  if (!reader.has("attention.key_length") && out.d_model % heads[0] != 0) {
    return fail(ErrorCode::kCorrupt, "a width of {} does not divide into {} heads", out.d_model, heads[0]);
  }
  EXO_TRY(out.key_dim, reader.integer_or("attention.key_length", out.d_model / heads[0], 1, kMaxWidth));
  EXO_TRY(out.value_dim, reader.integer_or("attention.value_length", out.key_dim, 1, kMaxWidth));

  const auto* embedding = file.find_tensor("token_embd.weight");
  if (embedding == nullptr) return fail(ErrorCode::kNotFound, "the file has no tensor 'token_embd.weight'");
  if (embedding->rows() > std::numeric_limits<int32_t>::max() / 2) {
    return fail(ErrorCode::kCorrupt, "tensor 'token_embd.weight' has {} rows", embedding->rows());
  }
  out.n_vocab = static_cast<int32_t>(embedding->rows());
  return {};
}

Status read_scales(const Reader& reader, Hyperparameters& out) {
  const auto& architecture = *out.architecture;
  EXO_TRY(out.norm_epsilon, reader.number(architecture.norm == NormKind::kRms ? "attention.layer_norm_rms_epsilon"
                                                                              : "attention.layer_norm_epsilon"));
  const bool by_width = architecture.blocks_with_width_scale == out.n_layers();
  const double scaled_dim = by_width ? out.d_model / out.layers[0].n_heads : out.key_dim;
  EXO_TRY(out.attention_scale, reader.number_or("attention.scale", 1.0 / std::sqrt(scaled_dim)));
  if (out.attention_scale == 0.0f) out.attention_scale = static_cast<float>(1.0 / std::sqrt(scaled_dim));
  EXO_TRY(out.attention_soft_cap, reader.number_or("attn_logit_softcapping", 0.0));
  EXO_TRY(out.qkv_limit, reader.number_or("attention.clamp_kqv", 0.0));
  if (out.qkv_limit < 0.0f) return fail(ErrorCode::kCorrupt, "'attention.clamp_kqv' is {}", out.qkv_limit);
  EXO_TRY(out.final_soft_cap, reader.number_or("final_logit_softcapping", 0.0));
  EXO_TRY(out.embedding_scale,
          reader.number_or("embedding_scale", architecture.scales_embedding ? std::sqrt(out.d_model) : 1.0));
  EXO_TRY(out.residual_scale, reader.number_or("residual_scale", 1.0));
  if (architecture.logit_scale != LogitScale::kNone) {
    EXO_TRY(const float scale, reader.positive_or("logit_scale", 1.0));
    out.logit_scale = architecture.logit_scale == LogitScale::kDivide ? 1.0f / scale : scale;
  }
  EXO_TRY(const bool parallel,
          reader.boolean_or("use_parallel_residual", architecture.residual == Residual::kParallel));
  const bool always = architecture.residual == Residual::kPostNorm;
  out.residual = always ? architecture.residual : parallel ? Residual::kParallel : Residual::kSequential;
  return {};
}

// YaRN, Peng et al. 2023, section 3.4: attention grows with the logarithm of the stretch. What a model has of that
// growth elsewhere (`mscale_all_dim`, DeepSeek-V2) is not in the rotation.
double yarn_magnitude(double factor, double elsewhere) {
  if (factor <= 1.0) return 1.0;
  return (1.0 + 0.1 * std::log(factor)) / (1.0 + 0.1 * elsewhere * std::log(factor));
}

Status read_rope_scaling(const Reader& reader, Hyperparameters& out) {
  auto& rope = out.rope;
  // Files older than the key rope.scaling.type say "linear" by having a factor.
  const bool old_linear = reader.has("rope.scale_linear");
  EXO_TRY(const float factor, reader.positive_or(old_linear ? "rope.scale_linear" : "rope.scaling.factor", 1.0));
  EXO_TRY(const auto type, reader.text_or("rope.scaling.type", factor == 1.0f ? "none" : "linear"));
  EXO_TRY(rope.magnitude_scale, reader.positive_or("rope.scaling.attn_factor", 1.0));
  EXO_TRY(out.rope_original_context, reader.integer_or("rope.scaling.original_context_length", out.context_length,
                                                       0, std::numeric_limits<int32_t>::max()));
  if (type == "linear") {
    rope.position_scale = 1.0f / factor;
  } else if (type == "yarn") {
    rope.position_scale = 1.0f / factor;
    rope.yarn_original_context = out.rope_original_context;
    EXO_TRY(rope.yarn_ext_factor, reader.number_or("rope.scaling.yarn_ext_factor", 1.0));
    EXO_TRY(rope.yarn_rounds, reader.boolean_or("rope.scaling.yarn_truncate", true));
    EXO_TRY(rope.yarn_beta_fast, reader.positive_or("rope.scaling.yarn_beta_fast", 32.0));
    EXO_TRY(rope.yarn_beta_slow, reader.positive_or("rope.scaling.yarn_beta_slow", 1.0));
    EXO_TRY(const float elsewhere, reader.number_or("rope.scaling.yarn_log_multiplier", 0.0));
    rope.magnitude_scale *= static_cast<float>(yarn_magnitude(factor, elsewhere));
  } else if (type != "none" && type != "longrope") {
    return fail(ErrorCode::kUnsupported, "rope scaling of type '{}'; none, linear, yarn and longrope are known",
                type.substr(0, 32));
  }
  return {};
}

// Views of model folders keep their queries and keys in the folder's order, and say so.
Result<ops::RopeStyle> read_rope_style(const formats::GgufMetadata& metadata, ops::RopeStyle usual) {
  constexpr std::string_view kHalves = "exo.rope.halves";
  if (metadata.find(kHalves) == nullptr) return usual;
  EXO_TRY(const bool halves, metadata.boolean(kHalves));
  return halves ? ops::RopeStyle::kHalves : usual;
}

Status read_rope(const formats::GgufMetadata& metadata, const Reader& reader, Hyperparameters& out) {
  const auto& architecture = *out.architecture;
  if (architecture.rope_layers == RopeLayers::kNone) return {};
  auto& rope = out.rope;
  EXO_TRY(rope.style, read_rope_style(metadata, architecture.rope));
  EXO_TRY(rope.dims, reader.integer_or("rope.dimension_count", out.key_dim, 2, kMaxWidth));
  if (rope.dims % 2 != 0 || rope.dims > out.key_dim) {
    return fail(ErrorCode::kCorrupt, "{} rotated dimensions in heads of {}", rope.dims, out.key_dim);
  }
  EXO_TRY(rope.theta, reader.positive_or("rope.freq_base", 10000.0));
  EXO_CHECK_OK(read_rope_scaling(reader, out));
  out.local_rope = {
      .style = rope.style, .dims = rope.dims, .theta = static_cast<float>(architecture.local_rope_theta)};
  if (architecture.local_rope_theta > 0.0) {
    EXO_TRY(out.local_rope.theta, reader.positive_or("rope.freq_base_swa", architecture.local_rope_theta));
  }
  return {};
}

// Which blocks have the window: the file's own list or period where it has one, the architecture's otherwise.
Result<std::vector<bool>> windowed_layers(const Reader& reader, const Hyperparameters& out) {
  constexpr std::string_view kPattern = "attention.sliding_window_pattern";
  const auto n = static_cast<size_t>(out.n_layers());
  auto period = static_cast<size_t>(out.architecture->window_period);
  if (reader.has(kPattern)) {
    if (const auto list = reader.per_layer(kPattern, out.n_layers(), 0, 1); list && n > 1) {
      return std::vector<bool>(list->begin(), list->end());
    }
    EXO_TRY(const int32_t stated, reader.integer(kPattern, 0, kMaxLayers));
    period = static_cast<size_t>(stated);
  }
  std::vector<bool> windowed(n);
  for (size_t i = 0; i < n; ++i) windowed[i] = period == 0 || i % period != period - 1;
  return windowed;
}

// Which blocks rotate queries and keys: a view of a model folder may list them, otherwise the architecture knows.
Result<std::vector<bool>> rotating_layers(const formats::GgufMetadata& metadata, const Hyperparameters& out,
                                          const std::vector<bool>& windowed) {
  constexpr std::string_view kList = "exo.rope.layers";
  const auto& architecture = *out.architecture;
  std::vector<bool> rotates(out.layers.size());
  if (metadata.find(kList) != nullptr) {
    EXO_TRY(const auto list, metadata.integers(kList));
    if (list.size() < rotates.size()) {
      return fail(ErrorCode::kCorrupt, "metadata key '{}' lists {} blocks of {}", kList, list.size(),
                  rotates.size());
    }
    for (size_t i = 0; i < rotates.size(); ++i) rotates[i] = list[i] != 0;
    return rotates;
  }
  for (size_t i = 0; i < rotates.size(); ++i) {
    const bool skipped = architecture.rope_skip_period > 0 && (i + 1) % architecture.rope_skip_period == 0;
    rotates[i] = architecture.rope_layers == RopeLayers::kAll ||
                 (architecture.rope_layers == RopeLayers::kWindowed && windowed[i]) ||
                 (architecture.rope_layers == RopeLayers::kAllButEveryNth && !skipped);
  }
  return rotates;
}

Status read_layer_kinds(const formats::GgufMetadata& metadata, const Reader& reader, Hyperparameters& out) {
  const auto& architecture = *out.architecture;
  EXO_TRY(const int32_t window, reader.integer_or("attention.sliding_window", architecture.default_window, 0,
                                                  std::numeric_limits<int32_t>::max()));
  EXO_TRY(const auto windowed, windowed_layers(reader, out));
  EXO_TRY(const auto rotates, rotating_layers(metadata, out, windowed));
  for (size_t i = 0; i < out.layers.size(); ++i) {
    auto& layer = out.layers[i];
    (architecture.windows_are_chunks ? layer.chunk : layer.window) = windowed[i] ? window : 0;
    const bool local = architecture.local_rope_theta > 0.0 && windowed[i];
    layer.rope = !rotates[i] ? LayerRope::kNone : local ? LayerRope::kLocal : LayerRope::kGlobal;
  }
  return {};
}

Status read_temperature(const Reader& reader, Hyperparameters& out) {
  constexpr std::string_view kScale = "attention.temperature_scale", kLength = "attention.temperature_length";
  const auto& architecture = *out.architecture;
  const auto layers = architecture.temperature_layers;
  EXO_TRY(out.temperature.scale, reader.number_or(kScale, architecture.temperature_scale));
  EXO_TRY(int32_t interval,
          reader.integer_or(kLength, architecture.temperature_interval, 0, std::numeric_limits<int32_t>::max()));
  if (layers == TemperatureLayers::kNone && (out.temperature.scale != 0.0f || interval != 0)) {
    return fail(ErrorCode::kUnsupported, "'{}' with a temperature of its attention", architecture.name);
  }
  if (out.temperature.scale == 0.0f) return {};
  if (interval == 0) interval = out.rope_original_context;
  if (interval < 1) return fail(ErrorCode::kNotFound, "metadata key '{}' is missing", reader.full(kLength));
  out.temperature.interval = interval;
  out.temperature.offset = architecture.temperature_offset;
  for (auto& layer : out.layers) {
    layer.has_temperature = layers == TemperatureLayers::kAll || layer.rope == LayerRope::kNone;
  }
  return {};
}

// Keys of variants that would run, and say something else than the model does.
Status check_unknown_variants(const Reader& reader, const Architecture& architecture) {
  constexpr std::string_view kAlibi = "attention.max_alibi_bias";
  EXO_TRY(const float alibi, reader.number_or(kAlibi, 0.0));
  if (alibi != 0.0f)
    return fail(ErrorCode::kUnsupported, "'{}' is {}; this build knows only 0", reader.full(kAlibi), alibi);
  EXO_TRY(const bool causal, reader.boolean_or("attention.causal", !architecture.is_encoder));
  if (!causal && !architecture.is_encoder)
    return fail(ErrorCode::kUnsupported, "a model that also attends forwards (attention.causal is false)");
  return {};
}

// Blocks that only predict tokens further ahead (multi-token prediction) come last in the file and are not run.
Result<int32_t> count_layers(const Reader& reader) {
  EXO_TRY(const int32_t n_blocks, reader.integer("block_count", 1, kMaxLayers));
  EXO_TRY(const int32_t n_ahead, reader.integer_or("nextn_predict_layers", 0, 0, n_blocks - 1));
  return n_blocks - n_ahead;
}

}  // namespace

Result<Hyperparameters> read_hyperparameters(const GgufFile& file) {
  const auto& metadata = file.metadata();
  EXO_TRY(const auto architecture_name, metadata.string("general.architecture"));
  Hyperparameters out;
  EXO_TRY(out.architecture, find_architecture(architecture_name));
  out.name = metadata.string("general.name").value_or(architecture_name);
  const Reader reader(metadata, architecture_name);
  EXO_CHECK_OK(check_unknown_variants(reader, *out.architecture));
  EXO_TRY(const int32_t pooling, reader.integer_or("pooling_type", 0, 0, 4));
  out.pooling = static_cast<Pooling>(pooling);
  EXO_TRY(const int32_t n_layers, count_layers(reader));
  out.layers.resize(static_cast<size_t>(n_layers));
  EXO_CHECK_OK(read_widths(reader, file, n_layers, out));
  EXO_CHECK_OK(read_feed_forward_widths(reader, file, out));
  EXO_TRY(out.experts, read_experts(reader, *out.architecture));
  EXO_CHECK_OK(read_scales(reader, out));
  EXO_CHECK_OK(read_rope(metadata, reader, out));
  EXO_CHECK_OK(read_layer_kinds(metadata, reader, out));
  EXO_CHECK_OK(read_temperature(reader, out));
  // The family's one size without these norms does not say so: Llama 4 with 128 experts.
  out.norms_rotated_heads = out.architecture->qk_norm == QkNorm::kRotated && out.experts.n_experts != 128;
  if (out.architecture->delta_net != DeltaNetHeads::kNone) EXO_CHECK_OK(read_delta_net(reader, file, out));
  if (out.architecture->attention == AttentionKind::kLatent) EXO_CHECK_OK(read_latent_attention(reader, out));
  return out;
}

bool may_cut_hidden(const Hyperparameters& model) {
  const Architecture& architecture = *model.architecture;
  const bool normed = architecture.norm == NormKind::kRms && !architecture.attention_norm.empty() &&
                      !architecture.feed_forward_norm.empty();
  const bool normed_after =
      !architecture.attention_post_norm.empty() || !architecture.feed_forward_post_norm.empty();
  if (!normed || normed_after || model.residual != Residual::kSequential || model.residual_scale != 1.0f)
    return false;
  if (model.latent || model.d_model % ops::Ops::kNormColumns != 0) return false;
  return std::ranges::none_of(model.layers,
                              [](const auto& layer) { return layer.is_delta_net || layer.d_expert > 0; });
}

}  // namespace exo::model
