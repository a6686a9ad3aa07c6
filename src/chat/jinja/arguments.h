#pragma once
// Matching the arguments of a call to the parameters of a built-in function.

#include <array>
#include <initializer_list>
#include <string_view>

#include "chat/jinja/runtime.h"

namespace exo::chat::jinja {

using ValueResult = Result<Value>;

inline constexpr size_t kMaxParameters = 8;

// The arguments of one call in the order of the parameters.
class Bound {
 public:
  // nullptr: not given.
  const Value* operator[](size_t i) const { return values_[i]; }
  bool given(size_t i) const { return values_[i] != nullptr && !values_[i]->is_none(); }
  // What was given, or the default.
  Result<int64_t> integer_or(size_t i, int64_t fallback) const;
  bool truth_or(size_t i, bool fallback) const { return values_[i] ? truthy(*values_[i]) : fallback; }

 private:
  friend Result<Bound> bind(std::string_view, const Arguments&, std::initializer_list<std::string_view>, size_t);
  std::array<const Value*, kMaxParameters> values_{};
};

// `names`: the parameters, at most kMaxParameters; the first `required` must be given. The result borrows from
// `arguments`. Errors read like Python's TypeError.
Result<Bound> bind(std::string_view function, const Arguments& arguments,
                   std::initializer_list<std::string_view> names, size_t required = 0);

Status no_arguments(const Arguments& arguments);

// operator.index(value), limited to 64 bits.
Result<int64_t> to_index(const Value& value);
// A string argument, or a TypeError.
Result<std::string_view> to_text(const Value& value, std::string_view what);

}  // namespace exo::chat::jinja
