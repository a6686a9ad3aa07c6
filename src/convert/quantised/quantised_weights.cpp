#include "convert/quantised/quantised_weights.h"

#include <string>

#include "formats/json_fields.h"

namespace exo::convert {
namespace {

// Where Hugging Face's and MLX's writers put it.
const boost::json::object& quantisation_of(const boost::json::object& config) {
  const auto& named = formats::find_object(config, "quantization_config");
  return named.empty() ? formats::find_object(config, "quantization") : named;
}

}  // namespace

Result<MatrixPtr> find_quantised_weight(const ModelFolder& folder, std::string_view module) {
  const auto& scheme = quantisation_of(folder.config());
  if (scheme.empty()) return fail(ErrorCode::kNotFound, "'{}' is not quantised", module);
  return fail(ErrorCode::kUnsupported, "config.json's quantization_config has the method '{}', which is not known",
              formats::find_string(scheme, "quant_method").value_or("unnamed").substr(0, 32));
}

}  // namespace exo::convert
