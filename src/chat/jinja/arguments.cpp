#include "chat/jinja/arguments.h"

#include <algorithm>
#include <limits>

namespace exo::chat::jinja {

Result<Bound> bind(std::string_view function, const Arguments& arguments,
                   std::initializer_list<std::string_view> names, size_t required) {
  Bound bound;
  if (arguments.positional.size() > names.size()) {
    return python_error("{}() takes at most {} arguments ({} given)", function, names.size(),
                        arguments.positional.size());
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) bound.values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    auto place = std::find(names.begin(), names.end(), name);
    if (place == names.end()) return python_error("{}() got an unexpected keyword argument '{}'", function, name);
    const Value*& slot = bound.values_[static_cast<size_t>(place - names.begin())];
    if (slot) return python_error("{}() got multiple values for argument '{}'", function, name);
    slot = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!bound.values_[i]) {
      return python_error("{}() missing required argument: '{}'", function,
                          *(names.begin() + static_cast<std::ptrdiff_t>(i)));
    }
  }
  return bound;
}

Status no_arguments(const Arguments& arguments) {
  if (!arguments.positional.empty() || !arguments.named.empty()) return python_error("no arguments are expected");
  return {};
}

Result<int64_t> to_index(const Value& value) {
  if (value.is_undefined()) return undefined_error(value);
  if (!value.is_integral())
    return python_error("'{}' object cannot be interpreted as an integer", type_name(value));
  constexpr Int kMax = std::numeric_limits<int64_t>::max(), kMin = std::numeric_limits<int64_t>::min();
  return static_cast<int64_t>(std::clamp(value.integer(), kMin, kMax));
}

Result<std::string_view> to_text(const Value& value, std::string_view what) {
  if (value.is_undefined()) return undefined_error(value);
  if (!value.is_string()) return python_error("{} must be str, not {}", what, type_name(value));
  return std::string_view(value.string());
}

Result<int64_t> Bound::integer_or(size_t i, int64_t fallback) const {
  if (!values_[i]) return fallback;
  return to_index(*values_[i]);
}

}  // namespace exo::chat::jinja
