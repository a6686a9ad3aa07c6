#include "convert/quantised/module_tensors.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/half.h"

namespace exo::convert {

using formats::SafetensorsTensor;
using formats::SafetensorsType;

const SafetensorsTensor* ModuleTensors::find(std::string_view suffix) const {
  return folder_.find(module_ + std::string(suffix));
}

Result<const SafetensorsTensor*> ModuleTensors::typed(std::string_view suffix,
                                                      std::initializer_list<SafetensorsType> types) const {
  const auto* tensor = find(suffix);
  if (tensor == nullptr) return error(ErrorCode::kNotFound, "the folder has no tensor '{}{}'", module_, suffix);
  if (std::ranges::find(types, tensor->type) == types.end()) {
    return error(ErrorCode::kCorrupt, "tensor '{}' holds {} numbers", tensor->name, to_string(tensor->type));
  }
  return tensor;
}

Result<const SafetensorsTensor*> ModuleTensors::get(std::string_view suffix,
                                                    std::initializer_list<SafetensorsType> types,
                                                    std::span<const int64_t> shape) const {
  EXO_TRY(const auto* tensor, typed(suffix, types));
  if (!std::ranges::equal(tensor->shape, shape) || tensor->elements() == 0) {
    return error(ErrorCode::kCorrupt, "tensor '{}' has shape [{}], expected [{}]", tensor->name,
                 fmt::join(tensor->shape, ", "), fmt::join(shape, ", "));
  }
  return tensor;
}

Result<const SafetensorsTensor*> ModuleTensors::get(std::string_view suffix,
                                                    std::initializer_list<SafetensorsType> types,
                                                    size_t n_dimensions) const {
  EXO_TRY(const auto* tensor, typed(suffix, types));
  if (tensor->shape.size() != n_dimensions || tensor->elements() == 0) {
    return error(ErrorCode::kCorrupt, "tensor '{}' has shape [{}], expected {} dimensions", tensor->name,
                 fmt::join(tensor->shape, ", "), n_dimensions);
  }
  return tensor;
}

float ScaleReader::at(int64_t index) const {
  if (type_ == SafetensorsType::kF32) {
    float value;
    std::memcpy(&value, data_ + index * 4, 4);
    return value;
  }
  if (type_ == SafetensorsType::kF8E8M0) {
    return 2.0f * kernels::e8m0_to_f32_half(static_cast<uint8_t>(data_[index]));
  }
  uint16_t half;
  std::memcpy(&half, data_ + index * 2, 2);
  return type_ == SafetensorsType::kF16 ? kernels::f16_to_f32(half) : kernels::bf16_to_f32(half);
}

uint32_t word_at(const SafetensorsTensor& tensor, int64_t index) {
  uint32_t word;
  std::memcpy(&word, tensor.data.data() + index * 4, 4);
  return word;
}

}  // namespace exo::convert
