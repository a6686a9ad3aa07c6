#pragma once
// json.dumps.

#include "chat/jinja/arguments.h"

namespace exo::chat::jinja {

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // of one level; none: everything on one line
  std::string item_separator = ", ", key_separator = ": ";
};

Result<std::string> dump_json(Runtime& runtime, const Value& value, const JsonStyle& style);

// The filter as transformers defines it: tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False).
ValueResult filter_tojson(Runtime& runtime, const Value& value, const Arguments& arguments);

}  // namespace exo::chat::jinja
