#pragma once
// Attributes, items and slices, as jinja2's immutable sandbox gives them.

#include "chat/jinja/arguments.h"

namespace exo::chat::jinja {

// A built-in method of a type. `self` is of the type whose table holds the entry.
struct MethodEntry {
  std::string_view name;
  ValueResult (*call)(Runtime& runtime, const Value& self, const Arguments& arguments);
};

// value.name in a template: the object's attribute, else its item; undefined when neither exists.
ValueResult get_attribute(Runtime& runtime, const Value& object, std::string_view name);
// value[key] in a template: the item, else (for a string) the attribute.
ValueResult get_item(Runtime& runtime, const Value& object, const Value& key);
// value[start:stop:step]; None where a part is absent.
ValueResult get_slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                      const Value& step);

// nullptr when there is none.
const MethodEntry* find_string_method(std::string_view name);
const MethodEntry* find_container_method(Type type, std::string_view name);

}  // namespace exo::chat::jinja
