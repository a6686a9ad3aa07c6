#pragma once
// The fields of a request's JSON body, read one by one.

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>

#include "api/openai_request.h"

namespace exo::api {

// Reads fields out of an object and remembers the first one that is wrong.
class Fields {
 public:
  explicit Fields(const boost::json::object& object) : object_(object) {}

  const boost::json::value* get(std::string_view name) const {
    const auto* value = object_.if_contains(name);
    return value == nullptr || value->is_null() ? nullptr : value;
  }

  void refuse(std::string_view name, std::string message, ErrorCode code = ErrorCode::kInvalidArgument) {
    if (!error_) error_ = RequestError{{code, std::move(message)}, std::string(name)};
  }

  void read(std::string_view name, bool& out) {
    const auto* value = get(name);
    if (value == nullptr) return;
    if (!value->is_bool()) return refuse(name, fmt::format("'{}' must be true or false", name));
    out = value->as_bool();
  }

  void read(std::string_view name, std::string& out) {
    const auto* value = get(name);
    if (value == nullptr) return;
    if (!value->is_string()) return refuse(name, fmt::format("'{}' must be a string", name));
    out = value->as_string();
  }

  void read(std::string_view name, float& out, double least, double most) {
    const auto* value = get(name);
    if (value == nullptr) return;
    boost::json::error_code error;
    const double number = value->to_number<double>(error);
    if (error || !std::isfinite(number) || number < least || number > most) {
      return refuse(name, fmt::format("'{}' must be a number from {} to {}", name, least, most));
    }
    out = static_cast<float>(number);
  }

  void read(std::string_view name, int32_t& out, int64_t least, int64_t most) {
    const auto* value = get(name);
    if (value == nullptr) return;
    boost::json::error_code error;
    const int64_t number = value->to_number<int64_t>(error);
    if (error || number < least || number > most) {
      return refuse(name, fmt::format("'{}' must be a whole number from {} to {}", name, least, most));
    }
    out = static_cast<int32_t>(number);
  }

  const std::optional<RequestError>& error() const { return error_; }

 private:
  const boost::json::object& object_;
  std::optional<RequestError> error_;
};

}  // namespace exo::api
