#include "chat/jinja/format_spec.h"

#include <algorithm>
#include <cmath>

#include "chat/jinja/text_ops.h"
#include "chat/jinja/unicode.h"

namespace exo::chat::jinja {
namespace {

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

std::string digits_of(Int value, int base, bool upper) {
  if (value == 0) return "0";
  std::string out;
  for (bool negative = value < 0; value != 0; value /= base) {
    auto digit = static_cast<int>(negative ? -(value % base) : value % base);
    out += (upper ? "0123456789ABCDEF" : "0123456789abcdef")[digit];
  }
  std::reverse(out.begin(), out.end());
  return out;
}

// |value| with C's conversion `type` of e E f F g G.
std::string format_magnitude(double value, char type, int64_t precision, bool alternate) {
  bool upper = type == 'E' || type == 'F' || type == 'G';
  if (std::isnan(value)) return upper ? "NAN" : "nan";
  if (std::isinf(value)) return upper ? "INF" : "inf";
  std::string pattern = fmt::format("%{}.*{}", alternate ? "#" : "", type);
  int size = std::snprintf(nullptr, 0, pattern.c_str(), static_cast<int>(precision), std::fabs(value));
  std::string out(static_cast<size_t>(size) + 1, '\0');
  std::snprintf(out.data(), out.size(), pattern.c_str(), static_cast<int>(precision), std::fabs(value));
  out.pop_back();
  return out;
}

void group_digits(std::string& number, char separator, size_t every) {
  size_t end = number.find_first_not_of("0123456789abcdefABCDEF");
  if (end == std::string::npos) end = number.size();
  for (size_t i = end; i > every; i -= every) number.insert(i - every, 1, separator);
}

// Sign and prefix, digits, and the padding between or around them.
std::string pad_number(Runtime& runtime, const std::string& lead, const std::string& digits,
                       const FormatSpec& spec) {
  auto length = static_cast<int64_t>(lead.size() + digits.size());
  std::string padding = repeat_text(runtime, spec.fill, spec.width - length);
  switch (spec.align) {
    case '<':
      return lead + digits + padding;
    case '=':
      return lead + padding + digits;
    case '^': {
      std::string left = repeat_text(runtime, spec.fill, (spec.width - length) / 2);
      return left + lead + digits +
             repeat_text(runtime, spec.fill, spec.width - length - (spec.width - length) / 2);
    }
    default:
      return padding + lead + digits;
  }
}

std::string sign_text(bool negative, const FormatSpec& spec) {
  if (negative) return "-";
  return spec.sign == '-' ? "" : std::string(1, spec.sign);
}

Result<FormatSpec> parse_spec(std::string_view text) {
  FormatSpec spec;
  constexpr std::string_view kAligns = "<>=^";
  size_t at = 0;
  uint32_t fill = decode_code_point(text).size;
  if (fill > 0 && fill < text.size() && kAligns.find(text[fill]) != kAligns.npos) {
    spec.fill = text.substr(0, fill);
    spec.align = text[fill];
    at = fill + 1;
  } else if (!text.empty() && kAligns.find(text[0]) != kAligns.npos) {
    spec.align = text[at++];
  }
  auto peek = [&] { return at < text.size() ? text[at] : '\0'; };
  if (peek() == '+' || peek() == '-' || peek() == ' ') spec.sign = text[at++];
  if (peek() == '#') {
    spec.alternate = true;
    ++at;
  }
  if (peek() == '0') {
    ++at;
    if (!spec.align) {
      spec.fill = "0";
      spec.align = '=';
    }
  }
  EXO_TRY(spec.width, read_number(text, at));
  if (peek() == ',' || peek() == '_') spec.grouping = text[at++];
  if (peek() == '.') {
    ++at;
    if (!is_ascii_digit(peek())) return python_error("Format specifier missing precision");
    EXO_TRY(spec.precision, read_number(text, at));
  }
  if (at < text.size()) spec.type = text[at++];
  if (at != text.size()) return python_error("Invalid format specifier");
  return spec;
}

}  // namespace

Result<int64_t> read_number(std::string_view text, size_t& at) {
  int64_t value = 0;
  while (at < text.size() && is_ascii_digit(text[at])) {
    value = value * 10 + (text[at++] - '0');
    if (value > (int64_t{1} << 40)) return python_error("too large a number in a format");
  }
  return value;
}

Result<std::string> format_integer(Runtime& runtime, Int value, const FormatSpec& spec) {
  int base = spec.type == 'x' || spec.type == 'X' ? 16 : spec.type == 'o' ? 8 : spec.type == 'b' ? 2 : 10;
  std::string digits = digits_of(value, base, spec.type == 'X');
  if (spec.precision > 0 && static_cast<int64_t>(digits.size()) < spec.precision) {
    digits.insert(0, static_cast<size_t>(spec.precision) - digits.size(), '0');
  }
  if (spec.grouping) group_digits(digits, spec.grouping, base == 10 ? 3 : 4);
  std::string lead = sign_text(value < 0, spec);
  if (spec.alternate && base != 10) lead += std::string("0") + spec.type;
  return pad_number(runtime, lead, digits, spec);
}

Result<std::string> format_real(Runtime& runtime, double value, const FormatSpec& spec) {
  std::string digits;
  bool percent = spec.type == '%';
  if (spec.type == '\0' && spec.precision < 0) {
    digits = repr_float(std::fabs(value));
  } else {
    char type = percent ? 'f' : spec.type == '\0' || spec.type == 'n' ? 'g' : spec.type;
    int64_t precision = spec.precision < 0 ? 6 : spec.precision;
    digits = format_magnitude(percent ? value * 100 : value, type, precision, spec.alternate);
    bool whole = digits.find_first_not_of("0123456789") == std::string::npos;
    if (spec.type == '\0' && whole) digits += ".0";
  }
  if (percent) digits += '%';
  if (spec.grouping) group_digits(digits, spec.grouping, 3);
  return pad_number(runtime, sign_text(std::signbit(value) && !std::isnan(value), spec), digits, spec);
}

Result<std::string> format_text(Runtime& runtime, std::string_view text, const FormatSpec& spec) {
  if (spec.precision >= 0) text = text.substr(0, byte_offset(text, static_cast<size_t>(spec.precision)));
  auto length = static_cast<int64_t>(count_code_points(text));
  if (spec.width <= length) return std::string(text);
  int64_t missing = spec.width - length;
  if (spec.align == '=') return python_error("'=' alignment not allowed in string format specifier");
  if (spec.align == '>') return repeat_text(runtime, spec.fill, missing) + std::string(text);
  if (spec.align == '^') {
    return repeat_text(runtime, spec.fill, missing / 2) + std::string(text) +
           repeat_text(runtime, spec.fill, missing - missing / 2);
  }
  return std::string(text) + repeat_text(runtime, spec.fill, missing);
}

Result<std::string> format_value(Runtime& runtime, const Value& value, std::string_view spec_text) {
  if (value.is_undefined()) return std::string();
  if (spec_text.empty()) return to_str(runtime, value);
  EXO_TRY(FormatSpec spec, parse_spec(spec_text));
  constexpr std::string_view kIntegerTypes = "bdoxXn", kRealTypes = "eEfFgG%n";
  auto unknown = [&] {
    return python_error("Unknown format code '{}' for object of type '{}'", spec.type, type_name(value));
  };
  if (value.is_string()) {
    if (spec.type != '\0' && spec.type != 's') return unknown();
    if (spec.fill == "0" && spec.align == '=') spec.align = '<';
    return format_text(runtime, value.string(), spec);
  }
  if (!value.is_number())
    return python_error("unsupported format string passed to {}.__format__", type_name(value));
  bool real_type = spec.type != '\0' && kRealTypes.find(spec.type) != kRealTypes.npos && spec.type != 'n';
  if (value.is_integral() && !real_type) {
    if (spec.type == 'c') {
      std::string text;
      append_code_point(text, static_cast<char32_t>(value.integer() & 0x1FFFFF));
      return format_text(runtime, text, spec);
    }
    if (spec.type != '\0' && kIntegerTypes.find(spec.type) == kIntegerTypes.npos) return unknown();
    if (spec.precision >= 0) return python_error("Precision not allowed in integer format specifier");
    return format_integer(runtime, value.integer(), spec);
  }
  if (spec.type != '\0' && kRealTypes.find(spec.type) == kRealTypes.npos) return unknown();
  if (spec.precision > kMaxPrecision) return python_error("precision too big");
  return format_real(runtime, value.real(), spec);
}

std::string ascii_repr(const std::string& text) {
  std::string out;
  for (char32_t code : decode_utf8(text)) {
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else {
      auto value = static_cast<uint32_t>(code);
      out += value < 0x100     ? fmt::format("\\x{:02x}", value)
             : value < 0x10000 ? fmt::format("\\u{:04x}", value)
                               : fmt::format("\\U{:08x}", value);
    }
  }
  return out;
}

}  // namespace exo::chat::jinja
