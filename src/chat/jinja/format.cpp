#include "chat/jinja/format.h"

#include <algorithm>
#include <cmath>

#include "chat/jinja/access.h"
#include "chat/jinja/text_ops.h"
#include "chat/jinja/unicode.h"

namespace exo::chat::jinja {
namespace {

constexpr int64_t kMaxPrecision = 1000;

// [[fill]align][sign][#][0][width][grouping][.precision][type]
struct Spec {
  std::string fill = " ";
  char align = '\0';  // < > ^ =
  char sign = '-';    // - + or space
  bool alternate = false;
  int64_t width = 0;
  char grouping = '\0';
  int64_t precision = -1;
  char type = '\0';
};

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

Result<int64_t> read_number(std::string_view text, size_t& at) {
  int64_t value = 0;
  while (at < text.size() && is_ascii_digit(text[at])) {
    value = value * 10 + (text[at++] - '0');
    if (value > (int64_t{1} << 40)) return python_error("too large a number in a format");
  }
  return value;
}

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
std::string pad_number(Runtime& runtime, const std::string& lead, const std::string& digits, const Spec& spec) {
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

std::string sign_text(bool negative, const Spec& spec) {
  if (negative) return "-";
  return spec.sign == '-' ? "" : std::string(1, spec.sign);
}

Result<std::string> format_integer(Runtime& runtime, Int value, const Spec& spec) {
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

Result<std::string> format_real(Runtime& runtime, double value, const Spec& spec) {
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

Result<std::string> format_text(Runtime& runtime, std::string_view text, const Spec& spec) {
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

Result<Spec> parse_spec(std::string_view text) {
  Spec spec;
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

// format(value, spec).
Result<std::string> format_value(Runtime& runtime, const Value& value, std::string_view spec_text) {
  if (value.is_undefined()) return std::string();
  if (spec_text.empty()) return to_str(runtime, value);
  EXO_TRY(Spec spec, parse_spec(spec_text));
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

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Value& text, const Value& values)
      : runtime_(runtime), text_(text.string()), values_(values), escapes_(text.is_markup()), out_(runtime) {}

  Result<std::string> run() {
    while (at_ < text_.size() && !out_.full()) {
      size_t percent = text_.find('%', at_);
      out_.append(text_.substr(at_, percent - at_));
      if (percent == text_.npos) break;
      at_ = percent + 1;
      EXO_CHECK_OK(conversion());
    }
    if (runtime_.exhausted()) return runtime_.failure();
    bool tuple = values_.is(Type::kTuple);
    bool leftover =
        tuple ? next_ < values_.items().size() : next_ == 0 && !values_.is(Type::kDict) && !values_.is(Type::kList);
    if (leftover) return python_error("not all arguments converted during string formatting");
    return out_.take();
  }

 private:
  Result<Value> next_value() {
    if (values_.is(Type::kTuple)) {
      if (next_ >= values_.items().size()) return python_error("not enough arguments for format string");
      return values_.items()[next_++];
    }
    if (next_++ > 0) return python_error("not enough arguments for format string");
    return values_;
  }

  Result<int64_t> number_or_star() {
    if (at_ < text_.size() && text_[at_] == '*') {
      ++at_;
      EXO_TRY(Value value, next_value());
      return to_index(value);
    }
    return read_number(text_, at_);
  }

  Status conversion() {
    std::optional<Value> named;
    if (at_ < text_.size() && text_[at_] == '(') {
      size_t close = text_.find(')', at_);
      if (close == text_.npos) return python_error("incomplete format key");
      if (!values_.is(Type::kDict)) return python_error("format requires a mapping");
      const Value* found = values_.dict().find(text_.substr(at_ + 1, close - at_ - 1));
      if (!found) return python_error("KeyError: '{}'", text_.substr(at_ + 1, close - at_ - 1));
      named = *found;
      at_ = close + 1;
    }
    Spec spec;
    spec.align = '>';
    bool zero = false, left = false;
    for (; at_ < text_.size(); ++at_) {
      char c = text_[at_];
      if (c == '-')
        left = true;
      else if (c == '0')
        zero = true;
      else if (c == '#')
        spec.alternate = true;
      else if (c == '+')
        spec.sign = '+';
      else if (c == ' ')
        spec.sign = spec.sign == '+' ? '+' : ' ';
      else
        break;
    }
    EXO_TRY(spec.width, number_or_star());
    if (spec.width < 0) {
      left = true;
      spec.width = -spec.width;
    }
    if (at_ < text_.size() && text_[at_] == '.') {
      ++at_;
      EXO_TRY(spec.precision, number_or_star());
      spec.precision = std::max<int64_t>(spec.precision, 0);
    }
    while (at_ < text_.size() && (text_[at_] == 'l' || text_[at_] == 'h' || text_[at_] == 'L')) ++at_;
    if (at_ >= text_.size()) return python_error("incomplete format");
    spec.type = text_[at_++];
    if (spec.type == '%') {
      out_.append('%');
      return {};
    }
    Value value;
    if (named) {
      value = *named;
      next_ = 1;
    } else {
      EXO_TRY(value, next_value());
    }
    if (left) {
      spec.align = '<';
    } else if (zero && spec.type != 's' && spec.type != 'r' && spec.type != 'a' && spec.type != 'c') {
      spec.align = '=';
      spec.fill = "0";
    }
    EXO_TRY(std::string piece, convert(value, spec));
    out_.append(piece);
    return {};
  }

  Result<std::string> convert(const Value& value, Spec& spec) {
    switch (spec.type) {
      case 's':
        return format_text(runtime_, safe_text(value, to_str(runtime_, value)), spec);
      case 'r':
        return format_text(runtime_, safe_text(Value(), to_repr(runtime_, value)), spec);
      case 'a':
        return format_text(runtime_, ascii_repr(to_repr(runtime_, value)), spec);
      case 'c':
        return character(value, spec);
      case 'd':
      case 'i':
      case 'u':
      case 'o':
      case 'x':
      case 'X':
        return integer(value, spec);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        break;
      default:
        return python_error("unsupported format character '{}'", spec.type);
    }
    if (value.is_undefined()) return undefined_error(value);
    if (!value.is_number()) return python_error("must be real number, not {}", type_name(value));
    if (spec.precision > kMaxPrecision) return python_error("precision too big");
    return format_real(runtime_, value.real(), spec);
  }

  // Markup escapes what is put into it.
  std::string safe_text(const Value& value, std::string text) const {
    return escapes_ && !value.is_markup() && !value.is_number() ? escape_html(text) : text;
  }

  Result<std::string> character(const Value& value, const Spec& spec) {
    if (value.is_string() && value.string_object().length == 1) return format_text(runtime_, value.string(), spec);
    if (!value.is_integral() || value.integer() < 0 || value.integer() > 0x10FFFF) {
      return python_error("%c requires int or char");
    }
    std::string text;
    append_code_point(text, static_cast<char32_t>(value.integer()));
    return format_text(runtime_, text, spec);
  }

  Result<std::string> integer(const Value& value, Spec& spec) {
    if (value.is_undefined()) return undefined_error(value);
    if (spec.precision > kMaxPrecision) return python_error("precision too big");
    bool decimal = spec.type == 'd' || spec.type == 'i' || spec.type == 'u';
    if (decimal && value.is(Type::kFloat) && std::fabs(value.real()) < 0x1p120) {
      return format_integer(runtime_, static_cast<Int>(value.real()), spec);
    }
    if (!value.is_integral()) {
      return python_error("%{} format: a real number is required, not {}", spec.type, type_name(value));
    }
    return format_integer(runtime_, value.integer(), spec);
  }

  Runtime& runtime_;
  std::string_view text_;
  const Value& values_;
  bool escapes_;
  TextWriter out_;
  size_t at_ = 0, next_ = 0;
};

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Arguments& arguments, bool escapes)
      : runtime_(runtime), arguments_(arguments), escapes_(escapes) {}

  Result<std::string> run(std::string_view text, int level) {
    if (level > 1) return python_error("Max string recursion exceeded");
    TextWriter out(runtime_);
    for (size_t i = 0; i < text.size() && !out.full(); ++i) {
      char c = text[i];
      bool doubled = i + 1 < text.size() && text[i + 1] == c;
      if (c != '{' && c != '}') {
        size_t end = std::min(text.find_first_of("{}", i), text.size());
        out.append(text.substr(i, end - i));
        i = end - 1;
      } else if (doubled) {
        out.append(c);
        ++i;
      } else if (c == '}') {
        return python_error("Single '}}' encountered in format string");
      } else {
        EXO_TRY(size_t end, field_end(text, i + 1));
        EXO_TRY(std::string piece, field(text.substr(i + 1, end - i - 1), level));
        out.append(piece);
        i = end;
      }
    }
    if (runtime_.exhausted()) return runtime_.failure();
    return out.take();
  }

 private:
  static Result<size_t> field_end(std::string_view text, size_t at) {
    for (int open = 1; at < text.size(); ++at) {
      if (text[at] == '{') ++open;
      if (text[at] == '}' && --open == 0) return at;
    }
    return python_error("expected '}}' before end of string");
  }

  Result<std::string> field(std::string_view text, int level) {
    size_t name_end = 0;
    for (bool bracket = false; name_end < text.size(); ++name_end) {
      if (text[name_end] == '[') bracket = true;
      if (text[name_end] == ']') bracket = false;
      if (!bracket && (text[name_end] == ':' || text[name_end] == '!')) break;
    }
    EXO_TRY(Value value, field_value(text.substr(0, name_end)));
    std::string_view rest = text.substr(name_end);
    if (rest.starts_with('!')) {
      if (rest.size() < 2 || (rest.size() > 2 && rest[2] != ':'))
        return python_error("expected ':' after conversion specifier");
      EXO_TRY(value, convert(value, rest[1]));
      rest.remove_prefix(2);
    }
    if (rest.starts_with(':')) rest.remove_prefix(1);
    std::string spec;
    if (!rest.empty()) {
      EXO_TRY(spec, run(rest, level + 1));
    }
    EXO_TRY(std::string piece, format_value(runtime_, value, spec));
    return escapes_ && level == 0 && !value.is_markup() ? escape_html(piece) : piece;
  }

  ValueResult convert(const Value& value, char conversion) {
    switch (conversion) {
      case 's':
        return runtime_.string(to_str(runtime_, value));
      case 'r':
        return runtime_.string(to_repr(runtime_, value));
      case 'a':
        return runtime_.string(ascii_repr(to_repr(runtime_, value)));
      default:
        return python_error("Unknown conversion specifier {}", conversion);
    }
  }

  ValueResult field_value(std::string_view path) {
    size_t end = std::min(path.find_first_of(".["), path.size());
    EXO_TRY(Value value, first_value(path.substr(0, end)));
    while (end < path.size()) {
      bool attribute = path[end] == '.';
      size_t next = attribute ? path.find_first_of(".[", end + 1) : path.find(']', end + 1);
      if (next == path.npos && !attribute) return python_error("Missing ']' in format string");
      next = std::min(next, path.size());
      std::string_view name = path.substr(end + 1, next - end - 1);
      if (name.empty()) return python_error("Empty attribute in format string");
      if (attribute) {
        EXO_TRY(value, get_attribute(runtime_, value, name));
      } else {
        EXO_TRY(value, get_item(runtime_, value, item_key(name)));
      }
      end = attribute ? next : next + 1;
    }
    return value;
  }

  Value item_key(std::string_view name) {
    bool digits = name.size() < 10 && name.find_first_not_of("0123456789") == name.npos;
    return digits ? Value::integer(std::stoi(std::string(name))) : runtime_.string(std::string(name));
  }

  ValueResult first_value(std::string_view name) {
    bool digits = name.find_first_not_of("0123456789") == name.npos;
    if (!digits) {
      for (const auto& [own, value] : arguments_.named) {
        if (own == name) return value;
      }
      return python_error("KeyError: '{}'", name);
    }
    size_t at = 0;
    size_t index = next_;
    if (name.empty()) {
      ++next_;
    } else {
      EXO_TRY(int64_t number, read_number(name, at));
      index = static_cast<size_t>(number);
    }
    if (index >= arguments_.positional.size()) {
      return python_error("Replacement index {} out of range for positional args tuple", index);
    }
    return arguments_.positional[index];
  }

  Runtime& runtime_;
  const Arguments& arguments_;
  bool escapes_;  // the text is Markup
  size_t next_ = 0;
};

}  // namespace

ValueResult format_percent(Runtime& runtime, const Value& text, const Value& values) {
  EXO_TRY(std::string out, PercentFormatter(runtime, text, values).run());
  return runtime.string(std::move(out), text.is_markup());
}

ValueResult format_braces(Runtime& runtime, const Value& text, const Arguments& arguments) {
  EXO_TRY(std::string out, BraceFormatter(runtime, arguments, text.is_markup()).run(text.string(), 0));
  return runtime.string(std::move(out), text.is_markup());
}

}  // namespace exo::chat::jinja
