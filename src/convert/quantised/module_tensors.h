#pragma once
// The tensors that together are one weight: "MODULE.qweight", "MODULE.scales", … Errors name module and tensor.

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "convert/model_folder.h"

namespace exo::convert {

class ModuleTensors {
 public:
  // The folder outlives it and what it gives.
  ModuleTensors(const ModelFolder& folder, std::string_view module) : folder_(folder), module_(module) {}

  const std::string& module() const { return module_; }
  // `suffix` as it is written after the module: ".scales". nullptr: no such tensor.
  const formats::SafetensorsTensor* find(std::string_view suffix) const;
  // A tensor of one of these number formats and exactly this shape, not empty. kNotFound, kCorrupt.
  Result<const formats::SafetensorsTensor*> get(std::string_view suffix,
                                                std::initializer_list<formats::SafetensorsType> types,
                                                std::span<const int64_t> shape) const;
  Result<const formats::SafetensorsTensor*> get(std::string_view suffix,
                                                std::initializer_list<formats::SafetensorsType> types,
                                                std::initializer_list<int64_t> shape) const {
    return get(suffix, types, std::span(shape.begin(), shape.size()));
  }
  // The same with any shape of `n_dimensions`, none of whose extents is 0.
  Result<const formats::SafetensorsTensor*> get(std::string_view suffix,
                                                std::initializer_list<formats::SafetensorsType> types,
                                                size_t n_dimensions) const;

  template <typename... Args>
  std::unexpected<Error> error(ErrorCode code, fmt::format_string<Args...> text, Args&&... args) const {
    return fail(code, "'{}': {}", module_, fmt::format(text, std::forward<Args>(args)...));
  }

 private:
  Result<const formats::SafetensorsTensor*> typed(std::string_view suffix,
                                                  std::initializer_list<formats::SafetensorsType> types) const;
  const ModelFolder& folder_;
  const std::string module_;
};

// A tensor of F16, BF16, F32 or F8_E8M0 numbers, read one by one.
class ScaleReader {
 public:
  explicit ScaleReader(const formats::SafetensorsTensor& tensor) : type_(tensor.type), data_(tensor.data.data()) {}
  float at(int64_t index) const;

 private:
  formats::SafetensorsType type_;
  const std::byte* data_;
};
inline constexpr std::initializer_list<formats::SafetensorsType> kScaleTypes = {
    formats::SafetensorsType::kF16, formats::SafetensorsType::kBF16, formats::SafetensorsType::kF32};

// Element `index` of 32-bit words that need not be aligned.
uint32_t word_at(const formats::SafetensorsTensor& tensor, int64_t index);

}  // namespace exo::convert
