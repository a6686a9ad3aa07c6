#include "convert/rope_metadata.h"

#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "convert/matrix_views.h"
#include "formats/json_fields.h"

namespace exo::convert {

namespace json = boost::json;

namespace {

// One kind of attention's rope, wherever config.json says it.
struct RopeFields {
  const json::object& fields;  // of rope_parameters (or its "full_attention"), else of rope_scaling
  const ConfigFields& config;

  std::string_view type() const {
    const auto type = formats::find_string(fields, "rope_type");
    return type ? *type : formats::find_string(fields, "type").value_or("default");
  }
  std::optional<double> find(std::string_view name) const {
    const auto* value = fields.if_contains(name);
    return value == nullptr ? std::nullopt : formats::as_number(*value);
  }
  Result<double> positive(std::string_view name) const {
    const auto value = find(name);
    if (!value || !std::isfinite(*value) || *value <= 0.0) {
      return fail(ErrorCode::kCorrupt, "config.json: rope scaling '{}' has no usable '{}'", type(), name);
    }
    return *value;
  }
  // A field of its own, else one of config.json.
  Result<double> own_or(std::string_view own, FieldNames outer, double absent) const {
    const auto value = find(own);
    if (!value) return config.number(outer, absent);
    if (!std::isfinite(*value)) return fail(ErrorCode::kCorrupt, "config.json: '{}' is {}", own, *value);
    return *value;
  }
  Result<int64_t> original_context() const {
    const auto own = find("original_max_position_embeddings");
    if (own && *own >= 1.0 && *own < 2147483648.0) return static_cast<int64_t>(*own);
    return config.integer({"original_max_position_embeddings", "max_position_embeddings"}, 1, INT32_MAX);
  }
};

RopeFields rope_fields(const ConfigFields& config) {
  const auto& parameters = config.object({"rope_parameters"});
  const auto& full = formats::find_object(parameters, "full_attention");
  if (!full.empty()) return {full, config};
  if (!parameters.empty()) return {parameters, config};
  return {config.object({"rope_scaling"}), config};
}

class RopeWriter {
 public:
  RopeWriter(const MetadataInput& input, ViewBuilder& view)
      : input_(input), view_(view), rope_(rope_fields(input.config)) {}

  Status put() {
    EXO_TRY(theta_, rope_.own_or("rope_theta", {"rope_theta", "rotary_emb_base"}, 10000.0));
    EXO_TRY(const double ratio, input_.config.number({"rope_ratio"}, 1.0));  // ChatGLM's way to a larger base
    theta_ *= ratio;
    EXO_CHECK_OK(find_dims());
    EXO_CHECK_OK(put_scaling());
    if (!(theta_ > 0.0)) return fail(ErrorCode::kCorrupt, "config.json: rope_theta is {}", theta_);
    set("rope.dimension_count", static_cast<uint32_t>(dims_));
    set("rope.freq_base", static_cast<float>(theta_));
    if (input_.family.rope_halves) input_.metadata.set("exo.rope.halves", true);
    return put_local();
  }

 private:
  template <typename T>
  void set(std::string_view key, T value) {
    input_.metadata.set(fmt::format("{}.{}", input_.family.gguf, key), value);
  }

  Status find_dims() {
    // Latent attention rotates a part of its own.
    if (input_.config.has({"qk_rope_head_dim"}) && input_.config.has({"kv_lora_rank"})) {
      EXO_TRY(dims_, input_.config.integer({"qk_rope_head_dim"}, 2, 1 << 20));
      return {};
    }
    if (input_.config.has({"rotary_dim"})) {
      EXO_TRY(dims_, input_.config.integer({"rotary_dim"}, 2, input_.shape.head_dim));
      return {};
    }
    EXO_TRY(const double part,
            rope_.own_or("partial_rotary_factor", {"partial_rotary_factor", "rotary_pct", "rope_pct"},
                         input_.family.default_partial_rotary));
    if (!(part >= 0.0 && part <= 1.0)) return fail(ErrorCode::kCorrupt, "config.json: {} of a head rotates", part);
    dims_ = static_cast<int64_t>(static_cast<double>(input_.shape.head_dim) * part);
    if (dims_ < 2 || dims_ > input_.shape.head_dim) {
      return fail(ErrorCode::kCorrupt, "config.json: {} rotated dimensions in heads of {}", dims_,
                  input_.shape.head_dim);
    }
    return {};
  }

  Status put_scaling() {
    const auto type = rope_.type();
    if (type == "default" || type == "none" || type == "mrope") return {};
    if (type == "linear") return put_linear();
    if (type == "dynamic") return put_dynamic();
    if (type == "yarn") return put_yarn();
    if (type == "llama3") return put_llama3();
    if (type == "longrope" || type == "su") return put_longrope();
    return fail(ErrorCode::kUnsupported,
                "config.json has rope scaling of type '{}'; linear, dynamic, yarn, llama3 and longrope are known",
                type.substr(0, 32));
  }

  Status put_linear() {
    EXO_TRY(const double factor, rope_.positive("factor"));
    set("rope.scaling.type", "linear");
    set("rope.scaling.factor", static_cast<float>(factor));
    return {};
  }

  // NTK-aware scaling changes nothing within the trained context, unless a fixed alpha is given: then it is a
  // larger base.
  Status put_dynamic() {
    const auto alpha = rope_.find("alpha");
    if (!alpha || *alpha <= 0.0 || dims_ <= 2) return {};
    theta_ *= std::pow(*alpha, static_cast<double>(dims_) / static_cast<double>(dims_ - 2));
    return {};
  }

  static double magnitude(double factor, double scale) {
    return factor <= 1.0 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
  }

  Status put_yarn() {
    EXO_TRY(const double factor, rope_.positive("factor"));
    EXO_TRY(const int64_t original, rope_.original_context());
    set("rope.scaling.type", "yarn");
    set("rope.scaling.factor", static_cast<float>(factor));
    set("rope.scaling.original_context_length", static_cast<uint32_t>(original));
    if (const auto fast = rope_.find("beta_fast")) set("rope.scaling.yarn_beta_fast", static_cast<float>(*fast));
    if (const auto slow = rope_.find("beta_slow")) set("rope.scaling.yarn_beta_slow", static_cast<float>(*slow));
    if (const auto* rounds = rope_.fields.if_contains("truncate"); rounds != nullptr && rounds->is_bool()) {
      set("rope.scaling.yarn_truncate", rounds->get_bool());
    }
    put_magnitude(factor);
    return {};
  }

  // How much cosine and sine grow. Readers of the other families multiply by magnitude(factor, 1) themselves.
  void put_magnitude(double factor) {
    const double all = rope_.find("mscale_all_dim").value_or(0.0), own = rope_.find("mscale").value_or(0.0);
    const bool is_latent = input_.config.has({"kv_lora_rank"});
    double wanted = magnitude(factor, own != 0.0 ? own : 1.0) / magnitude(factor, all);
    if (!is_latent && (all == 0.0 || own == 0.0)) wanted = magnitude(factor, 1.0);
    if (const auto given = rope_.find("long_mscale")) wanted = *given;
    if (const auto given = rope_.find("attention_factor")) wanted = *given;
    if (is_latent) set("rope.scaling.yarn_log_multiplier", static_cast<float>(0.1 * all));
    const double rest = is_latent ? wanted : wanted / magnitude(factor, 1.0);
    if (std::abs(rest - 1.0) > 1e-6) set("rope.scaling.attn_factor", static_cast<float>(rest));
  }

  // Long waves are slowed down by `factor`, short ones not at all, those between smoothly, as the Llama 3.1 release
  // defines it.
  Status put_llama3() {
    EXO_TRY(const double factor, rope_.positive("factor"));
    EXO_TRY(const double low, rope_.positive("low_freq_factor"));
    EXO_TRY(const double high, rope_.positive("high_freq_factor"));
    EXO_TRY(const int64_t original, rope_.original_context());
    std::vector<float> factors;
    for (int64_t i = 0; i < dims_ / 2; ++i) {
      const double frequency = std::pow(theta_, -2.0 * static_cast<double>(i) / static_cast<double>(dims_));
      const double waves = static_cast<double>(original) * frequency / (2.0 * std::numbers::pi);  // in the context
      double divisor = 1.0;
      if (waves < low) {
        divisor = factor;
      } else if (waves <= high) {
        const double smooth = (waves - low) / (high - low);
        divisor = 1.0 / ((1.0 - smooth) / factor + smooth);
      }
      factors.push_back(static_cast<float>(divisor));
    }
    return view_.add_vector("rope_freqs.weight", make_vector(std::move(factors)));
  }

  Status put_factors(std::string_view name, const char* tensor) {
    std::vector<float> factors;
    for (const auto& value : formats::find_array(rope_.fields, name)) {
      factors.push_back(static_cast<float>(formats::as_number(value).value_or(0.0)));
    }
    if (static_cast<int64_t>(factors.size()) != dims_ / 2) {
      return fail(ErrorCode::kCorrupt, "config.json: '{}' lists {} numbers of {}", name, factors.size(), dims_ / 2);
    }
    return view_.add_vector(tensor, make_vector(std::move(factors)));
  }

  Status put_longrope() {
    EXO_TRY(const int64_t longest, input_.config.integer({"max_position_embeddings"}, 1, INT32_MAX));
    // Where the trained context stands only outside, so does the factor: in the ratio of the two.
    EXO_TRY(const int64_t original, input_.config.has({"original_max_position_embeddings"})
                                        ? input_.config.integer({"original_max_position_embeddings"}, 1, INT32_MAX)
                                        : rope_.original_context());
    const double factor =
        input_.config.has({"original_max_position_embeddings"})
            ? static_cast<double>(longest) / static_cast<double>(original)
            : rope_.find("factor").value_or(static_cast<double>(longest) / static_cast<double>(original));
    double wanted =
        factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(static_cast<double>(original)));
    if (const auto given = rope_.find("attention_factor")) wanted = *given;
    set("rope.scaling.original_context_length", static_cast<uint32_t>(original));
    set("rope.scaling.attn_factor", static_cast<float>(wanted));
    EXO_CHECK_OK(put_factors("long_factor", "rope_factors_long.weight"));
    return put_factors("short_factor", "rope_factors_short.weight");
  }

  // Blocks with a window may have a base of their own.
  Status put_local() {
    const auto& local = formats::find_object(input_.config.object({"rope_parameters"}), "sliding_attention");
    auto theta = formats::as_number(formats::find_value(local, "rope_theta"));
    if (!theta && input_.config.has({"rope_local_base_freq"})) {
      EXO_TRY(theta, input_.config.number({"rope_local_base_freq"}));
    }
    if (theta && input_.config.has({"sliding_window"})) set("rope.freq_base_swa", static_cast<float>(*theta));
    return {};
  }

  const MetadataInput& input_;
  ViewBuilder& view_;
  RopeFields rope_;
  int64_t dims_ = 0;
  double theta_ = 0.0;
};

}  // namespace

Status put_rope(const MetadataInput& input, ViewBuilder& view) { return RopeWriter(input, view).put(); }

}  // namespace exo::convert
