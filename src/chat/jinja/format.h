#pragma once
// Python's string formatting: `text % values` and text.format(…).

#include "chat/jinja/arguments.h"

namespace exo::chat::jinja {

// `values` is a tuple, a dict (for %(name)s) or one value.
ValueResult format_percent(Runtime& runtime, const Value& text, const Value& values);
// str.format with sandboxed attribute access.
ValueResult format_braces(Runtime& runtime, const Value& text, const Arguments& arguments);

}  // namespace exo::chat::jinja
