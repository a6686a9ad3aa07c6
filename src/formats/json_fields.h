#pragma once
// Fields of JSON objects that may be absent or of another type: then there is no value.

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string_view>

namespace exo::formats {

inline std::optional<std::string_view> find_string(const boost::json::object& object, std::string_view name) {
  const boost::json::value* value = object.if_contains(name);
  if (!value || !value->is_string()) return std::nullopt;
  return std::string_view(value->get_string());
}

inline std::optional<bool> find_bool(const boost::json::object& object, std::string_view name) {
  const boost::json::value* value = object.if_contains(name);
  if (!value || !value->is_bool()) return std::nullopt;
  return value->get_bool();
}

inline std::optional<int64_t> as_integer(const boost::json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (value.is_uint64() && value.get_uint64() <= INT64_MAX) return static_cast<int64_t>(value.get_uint64());
  return std::nullopt;
}

inline std::optional<double> as_number(const boost::json::value& value) {
  if (value.is_double()) return value.get_double();
  if (value.is_int64()) return static_cast<double>(value.get_int64());
  if (value.is_uint64()) return static_cast<double>(value.get_uint64());
  return std::nullopt;
}

// An empty array when absent.
inline const boost::json::array& find_array(const boost::json::object& object, std::string_view name) {
  static const boost::json::array kEmpty;
  const boost::json::value* value = object.if_contains(name);
  return value && value->is_array() ? value->get_array() : kEmpty;
}

// An empty object when absent.
inline const boost::json::object& find_object(const boost::json::object& object, std::string_view name) {
  static const boost::json::object kEmpty;
  const boost::json::value* value = object.if_contains(name);
  return value && value->is_object() ? value->get_object() : kEmpty;
}

// Null when absent.
inline const boost::json::value& find_value(const boost::json::object& object, std::string_view name) {
  static const boost::json::value kNull;
  const boost::json::value* value = object.if_contains(name);
  return value ? *value : kNull;
}

}  // namespace exo::formats
