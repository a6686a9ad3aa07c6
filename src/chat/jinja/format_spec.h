#pragma once
// What Python's two ways of formatting share: the specification of one value, and numbers and texts written by it.

#include <string>
#include <string_view>

#include "chat/jinja/value.h"

namespace exo::chat::jinja {

inline constexpr int64_t kMaxPrecision = 1000;

// [[fill]align][sign][#][0][width][grouping][.precision][type]
struct FormatSpec {
  std::string fill = " ";
  char align = '\0';  // < > ^ =
  char sign = '-';    // - + or space
  bool alternate = false;
  int64_t width = 0;
  char grouping = '\0';
  int64_t precision = -1;
  char type = '\0';
};

// A number that begins at `at`, which moves behind it; 0 where there is no digit.
Result<int64_t> read_number(std::string_view text, size_t& at);

Result<std::string> format_integer(Runtime& runtime, Int value, const FormatSpec& spec);
Result<std::string> format_real(Runtime& runtime, double value, const FormatSpec& spec);
Result<std::string> format_text(Runtime& runtime, std::string_view text, const FormatSpec& spec);
// format(value, spec), with the spec as it is written.
Result<std::string> format_value(Runtime& runtime, const Value& value, std::string_view spec_text);
// What ascii() leaves of a text: escapes beyond ASCII.
std::string ascii_repr(const std::string& text);

}  // namespace exo::chat::jinja
