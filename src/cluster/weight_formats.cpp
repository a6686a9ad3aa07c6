#include "cluster/weight_formats.h"

#include <algorithm>
#include <string>

namespace exo::cluster {
namespace {

const ElementTypeInfo* type_of(const std::string& weight_type) {
  std::string name = weight_type;
  while (!name.empty()) {
    if (const auto* type = find_element_type(std::string_view(name))) return type;
    const size_t cut = name.rfind('_');
    name.resize(cut == std::string::npos ? 0 : cut);
  }
  return nullptr;
}

// `share` of each becomes a part of 1; the last has all where there is nothing to divide.
void divide_by_sum(std::vector<WeightFormat>& formats, double WeightFormat::*share) {
  double sum = 0;
  for (const auto& format : formats) sum += format.*share;
  for (auto& format : formats) format.*share = sum > 0 ? format.*share / sum : 0;
  if (sum <= 0) formats.back().*share = 1;
}

}  // namespace

double WeightFormat::ops_per_byte() const {
  return type == nullptr ? 2.0 : 2.0 * type->block_elements / type->block_bytes;
}

bool WeightFormat::is_float() const {
  return type != nullptr &&
         (type->type == ElementType::kF32 || type->type == ElementType::kF16 || type->type == ElementType::kBF16);
}

std::vector<WeightFormat> weight_formats(const wire::ModelFacts& model) {
  std::vector<WeightFormat> formats;
  for (const auto& bytes : model.formats) {
    const double layers = static_cast<double>(bytes.layer_bytes), experts = static_cast<double>(bytes.expert_bytes);
    formats.push_back({type_of(bytes.weight_type), std::max(layers - experts, 0.0), experts,
                       static_cast<double>(bytes.head_bytes)});
  }
  formats.push_back({type_of(model.weight_type), 0, 0, 0});  // of what is not told
  for (auto share : {&WeightFormat::dense, &WeightFormat::experts, &WeightFormat::head}) {
    divide_by_sum(formats, share);
  }
  std::erase_if(formats, [](const WeightFormat& f) { return f.dense <= 0 && f.experts <= 0 && f.head <= 0; });
  return formats;
}

wire::FormatRate rate_of(const wire::DeviceProfile& profile, const WeightFormat& format) {
  wire::FormatRate rate{"", profile.memory_bandwidth_bytes_per_s,
                        format.is_float() ? profile.f32_flops_per_s : profile.int8_ops_per_s, 0};
  for (const auto& measured : profile.format_rates) {
    if (format.type == nullptr || measured.weight_type != format.type->name) continue;
    if (measured.stream_bytes_per_s > 0) rate.stream_bytes_per_s = measured.stream_bytes_per_s;
    if (measured.ops_per_s > 0) rate.ops_per_s = measured.ops_per_s;
    rate.few_rows_ops_per_s = measured.few_rows_ops_per_s;
  }
  return rate;
}

}  // namespace exo::cluster
