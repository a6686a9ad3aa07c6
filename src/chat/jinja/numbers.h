#pragma once
// Text → numbers as Python's int() and float() read it.

#include <optional>
#include <string_view>

#include "chat/jinja/value.h"

namespace exo::chat::jinja {

// `base` 2…36, or 0 to follow a 0x, 0o or 0b prefix. nullopt where Python raises ValueError, and beyond 127 bits.
std::optional<Int> parse_int(std::string_view text, int64_t base);
std::optional<double> parse_float(std::string_view text);

}  // namespace exo::chat::jinja
