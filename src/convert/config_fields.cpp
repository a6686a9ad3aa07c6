#include "convert/config_fields.h"

#include <cmath>
#include <string>

#include "formats/json_fields.h"

namespace exo::convert {

namespace json = boost::json;

namespace {

const json::object& text_part(const json::object& config) {
  for (const char* name : {"text_config", "llm_config", "language_config"}) {
    const auto& part = formats::find_object(config, name);
    if (!part.empty()) return part;
  }
  return config;
}

std::string joined(FieldNames names) { return fmt::format("'{}'", fmt::join(names, "' or '")); }

}  // namespace

ConfigFields::ConfigFields(const json::object& config) : whole_(config), text_(text_part(config)) {}

const json::value* ConfigFields::find(FieldNames names) const {
  for (const auto* part : {&text_, &whole_}) {
    for (const auto name : names) {
      const auto* value = part->if_contains(name);
      if (value != nullptr && !value->is_null()) return value;
    }
  }
  return nullptr;
}

Result<int64_t> ConfigFields::integer(FieldNames names, int64_t least, int64_t most,
                                      std::optional<int64_t> absent) const {
  const auto* value = find(names);
  if (value == nullptr) {
    if (absent) return *absent;
    return fail(ErrorCode::kNotFound, "config.json has no {}", joined(names));
  }
  const auto number = formats::as_integer(*value);
  if (!number) return fail(ErrorCode::kCorrupt, "config.json: {} is no whole number", joined(names));
  if (*number < least || *number > most) {
    return fail(ErrorCode::kCorrupt, "config.json: {} is {}, outside {}…{}", joined(names), *number, least, most);
  }
  return *number;
}

Result<double> ConfigFields::number(FieldNames names, std::optional<double> absent) const {
  const auto* value = find(names);
  if (value == nullptr) {
    if (absent) return *absent;
    return fail(ErrorCode::kNotFound, "config.json has no {}", joined(names));
  }
  const auto number = formats::as_number(*value);
  if (!number || !std::isfinite(*number))
    return fail(ErrorCode::kCorrupt, "config.json: {} is no number", joined(names));
  return *number;
}

Result<bool> ConfigFields::boolean(FieldNames names, bool absent) const {
  const auto* value = find(names);
  if (value == nullptr) return absent;
  if (!value->is_bool())
    return fail(ErrorCode::kCorrupt, "config.json: {} is neither true nor false", joined(names));
  return value->get_bool();
}

Result<bool> ConfigFields::outer_boolean(FieldNames names, bool absent) const {
  for (const auto name : names) {
    const auto* value = whole_.if_contains(name);
    if (value != nullptr && value->is_bool()) return value->get_bool();
  }
  return boolean(names, absent);
}

std::string_view ConfigFields::text(FieldNames names, std::string_view absent) const {
  const auto* value = find(names);
  return value != nullptr && value->is_string() ? std::string_view(value->get_string()) : absent;
}

const json::array& ConfigFields::list(FieldNames names) const {
  static const json::array kEmpty;
  const auto* value = find(names);
  return value != nullptr && value->is_array() ? value->get_array() : kEmpty;
}

const json::object& ConfigFields::object(FieldNames names) const {
  static const json::object kEmpty;
  const auto* value = find(names);
  return value != nullptr && value->is_object() ? value->get_object() : kEmpty;
}

std::string_view ConfigFields::architecture() const {
  const auto& names = formats::find_array(whole_, "architectures");
  return !names.empty() && names[0].is_string() ? std::string_view(names[0].get_string()) : "";
}

std::string_view ConfigFields::model_type() const {
  return formats::find_string(text_, "model_type")
      .value_or(formats::find_string(whole_, "model_type").value_or(""));
}

}  // namespace exo::convert
