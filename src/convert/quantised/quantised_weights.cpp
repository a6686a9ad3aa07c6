#include "convert/quantised/quantised_weights.h"

#include <string>

#include "convert/quantised/schemes.h"
#include "formats/json_fields.h"

namespace exo::convert {
namespace {

// Where Hugging Face's and MLX's writers put it.
const boost::json::object& quantisation_of(const boost::json::object& config) {
  const auto& named = formats::find_object(config, "quantization_config");
  return named.empty() ? formats::find_object(config, "quantization") : named;
}

// The method's name; MLX's writer gives none.
std::string method_of(const boost::json::object& scheme) {
  if (const auto named = formats::find_string(scheme, "quant_method")) {
    if (*named != "auto-round") return std::string(*named);
    // It writes in other methods' layouts.
    const auto layout = formats::find_string(scheme, "packing_format").value_or("auto_round:auto_gptq");
    return layout.find("awq") != std::string_view::npos ? "awq" : "gptq";
  }
  return scheme.contains("bits") || scheme.contains("group_size") ? "mlx" : "unnamed";
}

Result<MatrixPtr> find_by_scheme(const ModuleTensors& tensors, const boost::json::object& scheme) {
  const std::string method = method_of(scheme);
  if (method == "mlx") return mlx_weight(tensors, scheme);
  if (method == "gptq") return gptq_weight(tensors, scheme);
  if (method == "awq") return awq_weight(tensors, scheme);
  if (method == "mxfp4") return mxfp4_weight(tensors);
  if (method == "compressed-tensors") return compressed_weight(tensors, scheme);
  // With FP8 methods this weight is not of FP8, hence stored plainly.
  if (method == "fp8" || method == "fbgemm_fp8") return tensors.error(ErrorCode::kNotFound, "it is not quantised");
  return fail(ErrorCode::kUnsupported,
              "the folder is quantised with '{}'; known are fp8, fbgemm_fp8, mxfp4, mlx, gptq, awq and "
              "compressed-tensors",
              method.substr(0, 32));
}

}  // namespace

Result<MatrixPtr> find_quantised_weight(const ModelFolder& folder, std::string_view module) {
  const auto& scheme = quantisation_of(folder.config());
  const ModuleTensors tensors(folder, module);
  // FP8 speaks for itself, whoever wrote it.
  if (const auto* weight = tensors.find(".weight"); weight != nullptr && is_fp8(weight->type)) {
    return fp8_weight(tensors, scheme);
  }
  if (scheme.empty()) return tensors.error(ErrorCode::kNotFound, "it is not quantised");
  return find_by_scheme(tensors, scheme);
}

}  // namespace exo::convert
