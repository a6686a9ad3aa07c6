#pragma once
// config.json's fields under the several names that families give them. A field that is null counts as absent.

#include <boost/json/object.hpp>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace exo::convert {

using FieldNames = std::initializer_list<std::string_view>;

// Of a model that also sees or hears: the part that speaks ("text_config"), and the whole where that is silent.
class ConfigFields {
 public:
  // `config` outlives the object.
  explicit ConfigFields(const boost::json::object& config);

  // The first of the names that is there; nullptr when none is.
  const boost::json::value* find(FieldNames names) const;
  bool has(FieldNames names) const { return find(names) != nullptr; }

  // kNotFound lists the names when `absent` is not given; kCorrupt for another type or a value out of range.
  Result<int64_t> integer(FieldNames names, int64_t least, int64_t most,
                          std::optional<int64_t> absent = std::nullopt) const;
  Result<double> number(FieldNames names, std::optional<double> absent = std::nullopt) const;
  Result<bool> boolean(FieldNames names, bool absent) const;
  // Of what lies outside the part that speaks: the whole's word goes before that part's.
  Result<bool> outer_boolean(FieldNames names, bool absent) const;
  std::string_view text(FieldNames names, std::string_view absent) const;
  const boost::json::array& list(FieldNames names) const;     // empty when absent
  const boost::json::object& object(FieldNames names) const;  // empty when absent

  std::string_view architecture() const;  // architectures[0], or ""
  std::string_view model_type() const;    // the text part's

 private:
  const boost::json::object& whole_;
  const boost::json::object& text_;
};

}  // namespace exo::convert
