#include <cmath>
#include <limits>

#include "formats/gguf.h"

namespace exo::formats {
namespace {

constexpr const char* kKindNames[] = {"a boolean",
                                      "an integer",
                                      "an unsigned integer",
                                      "a number",
                                      "text",
                                      "a list of booleans",
                                      "a list of integers",
                                      "a list of unsigned integers",
                                      "a list of numbers",
                                      "a list of texts"};

Result<const GgufValue*> require(const GgufMetadata& metadata, std::string_view key) {
  const auto* value = metadata.find(key);
  if (value == nullptr) return fail(ErrorCode::kNotFound, "metadata has no key '{}'", key);
  return value;
}

std::unexpected<Error> wrong_kind(std::string_view key, const GgufValue& value, const char* wanted) {
  return fail(ErrorCode::kCorrupt, "metadata key '{}' is {}, not {}", key, kKindNames[value.index()], wanted);
}

std::unexpected<Error> out_of_range(std::string_view key) {
  return fail(ErrorCode::kCorrupt, "metadata key '{}' does not fit 63 bits", key);
}

constexpr bool fits_signed(uint64_t value) { return value <= std::numeric_limits<int64_t>::max(); }

}  // namespace

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto it = values.find(key);
  return it == values.end() ? nullptr : &it->second;
}

Result<std::string> GgufMetadata::string(std::string_view key) const {
  EXO_TRY(const auto* value, require(*this, key));
  if (const auto* text = std::get_if<std::string>(value)) return *text;
  return wrong_kind(key, *value, "text");
}

Result<int64_t> GgufMetadata::integer(std::string_view key) const {
  EXO_TRY(const auto* value, require(*this, key));
  if (const auto* v = std::get_if<int64_t>(value)) return *v;
  if (const auto* v = std::get_if<uint64_t>(value)) {
    if (!fits_signed(*v)) return out_of_range(key);
    return static_cast<int64_t>(*v);
  }
  return wrong_kind(key, *value, "an integer");
}

Result<double> GgufMetadata::number(std::string_view key) const {
  EXO_TRY(const auto* value, require(*this, key));
  if (const auto* v = std::get_if<double>(value)) return *v;
  if (const auto* v = std::get_if<int64_t>(value)) return static_cast<double>(*v);
  if (const auto* v = std::get_if<uint64_t>(value)) return static_cast<double>(*v);
  return wrong_kind(key, *value, "a number");
}

Result<bool> GgufMetadata::boolean(std::string_view key) const {
  EXO_TRY(const auto* value, require(*this, key));
  if (const auto* v = std::get_if<bool>(value)) return *v;
  return wrong_kind(key, *value, "a boolean");
}

Result<std::vector<std::string>> GgufMetadata::strings(std::string_view key) const {
  EXO_TRY(const auto* value, require(*this, key));
  if (const auto* list = std::get_if<std::vector<std::string>>(value)) return *list;
  return wrong_kind(key, *value, "a list of texts");
}

Result<std::vector<int64_t>> GgufMetadata::integers(std::string_view key) const {
  EXO_TRY(const auto* value, require(*this, key));
  if (const auto* list = std::get_if<std::vector<int64_t>>(value)) return *list;
  if (const auto* list = std::get_if<std::vector<uint64_t>>(value)) {
    std::vector<int64_t> out;
    out.reserve(list->size());
    for (const uint64_t v : *list) {
      if (!fits_signed(v)) return out_of_range(key);
      out.push_back(static_cast<int64_t>(v));
    }
    return out;
  }
  if (const auto* list = std::get_if<std::vector<bool>>(value))
    return std::vector<int64_t>(list->begin(), list->end());
  return wrong_kind(key, *value, "a list of integers");
}

Result<std::vector<double>> GgufMetadata::numbers(std::string_view key) const {
  EXO_TRY(const auto* value, require(*this, key));
  if (const auto* list = std::get_if<std::vector<double>>(value)) return *list;
  if (const auto* list = std::get_if<std::vector<int64_t>>(value)) {
    return std::vector<double>(list->begin(), list->end());
  }
  if (const auto* list = std::get_if<std::vector<uint64_t>>(value)) {
    return std::vector<double>(list->begin(), list->end());
  }
  return wrong_kind(key, *value, "a list of numbers");
}

}  // namespace exo::formats
