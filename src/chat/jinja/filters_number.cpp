// Filters on numbers, and from text to numbers.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "chat/jinja/builtins.h"
#include "chat/jinja/numbers.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/text_ops.h"

namespace exo::chat::jinja {
namespace {

constexpr double kIntLimit = 0x1p126;

ValueResult filter_abs(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  if (value.is_undefined()) return undefined_error(value);
  if (!value.is_number()) return python_error("bad operand type for abs(): '{}'", type_name(value));
  if (value.is(Type::kFloat)) return Value(std::fabs(value.real()));
  return apply_unary(runtime, value.integer() < 0 ? UnaryOp::kMinus : UnaryOp::kPlus, value);
}

// int(value) of a float; nullopt for NaN.
Result<std::optional<Value>> truncate_float(double value) {
  if (std::isnan(value)) return std::optional<Value>();
  if (std::isinf(value)) return python_error("cannot convert float infinity to integer");
  if (std::fabs(value) >= kIntLimit) return python_error("an integer of the chat template is too large");
  return std::optional(Value::integer(static_cast<Int>(value)));
}

ValueResult filter_int(Runtime&, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("int", arguments, {"default", "base"}));
  if (value.is_undefined()) return undefined_error(value);
  EXO_TRY(int64_t base, bound.integer_or(1, 10));
  std::optional<double> real;
  if (value.is_integral()) return Value::integer(value.integer());
  if (value.is(Type::kFloat)) real = value.real();
  if (value.is_string()) {
    if (auto number = parse_int(value.string(), base)) return Value::integer(*number);
    real = parse_float(value.string());
    if (real && std::isinf(*real)) real.reset();  // OverflowError counts as no number only here
  }
  if (real) {
    EXO_TRY(std::optional<Value> number, truncate_float(*real));
    if (number) return *number;
  }
  return bound[0] ? *bound[0] : Value::integer(0);
}

ValueResult filter_float(Runtime&, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("float", arguments, {"default"}));
  if (value.is_undefined()) return undefined_error(value);
  if (value.is_number()) return Value(value.real());
  if (value.is_string()) {
    if (auto number = parse_float(value.string())) return Value(*number);
  }
  return bound[0] ? *bound[0] : Value(0.0);
}

// round() half to even, on the decimal expansion of the number.
double round_float(double value, int64_t precision) {
  constexpr int64_t kMostDigits = 330;
  if (!std::isfinite(value) || precision > kMostDigits) return value;
  if (precision < -kMostDigits) return std::copysign(0.0, value);
  if (precision < 0) {
    double unit = std::pow(10.0, static_cast<double>(-precision));
    return std::nearbyint(value / unit) * unit;
  }
  std::string text(800, '\0');
  std::snprintf(text.data(), text.size(), "%.*f", static_cast<int>(precision), value);
  return std::strtod(text.c_str(), nullptr);
}

ValueResult round_integer(Int value, int64_t precision) {
  constexpr int64_t kMostDigits = 38;
  if (precision >= 0) return Value::integer(value);
  if (precision < -kMostDigits) return Value::integer(0);
  Int unit = 1;
  for (int64_t i = 0; i < -precision; ++i) unit *= 10;
  Int quotient = value / unit, rest = value % unit;
  Int magnitude = rest < 0 ? -rest : rest;
  bool away = magnitude > unit - magnitude || (magnitude == unit - magnitude && quotient % 2 != 0);
  if (away) quotient += value < 0 ? -1 : 1;
  return Value::integer(quotient * unit);
}

ValueResult filter_round(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("round", arguments, {"precision", "method"}));
  EXO_TRY(int64_t precision, bound.integer_or(0, 0));
  std::string method = bound[1] ? to_str(runtime, *bound[1]) : "common";
  if (method != "common" && method != "ceil" && method != "floor") {
    return python_error("method must be common, ceil or floor");
  }
  if (value.is_undefined()) return undefined_error(value);
  if (!value.is_number()) return python_error("type {} doesn't define __round__ method", type_name(value));
  if (method == "common") {
    if (value.is_integral()) return round_integer(value.integer(), precision);
    return Value(round_float(value.real(), precision));
  }
  double scale = std::pow(10.0, static_cast<double>(precision));
  double scaled = value.real() * scale;
  if (!std::isfinite(scaled)) return python_error("cannot convert float infinity to integer");
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

ValueResult filter_filesizeformat(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("filesizeformat", arguments, {"binary"}));
  if (value.is_undefined()) return undefined_error(value);
  auto number = value.is_number()   ? std::optional(value.real())
                : value.is_string() ? parse_float(value.string())
                                    : std::nullopt;
  if (!number) return python_error("could not convert to float");
  bool binary = bound.truth_or(0, false);
  double base = binary ? 1024 : 1000;
  if (*number == 1) return runtime.string("1 Byte");
  if (*number < base)
    return runtime.string(fmt::format("{} Bytes", static_cast<int64_t>(std::max(*number, -1e18))));
  constexpr std::string_view kPrefixes = "kMGTPEZY";
  double unit = base * base;
  size_t i = 0;
  for (; i + 1 < kPrefixes.size() && *number >= unit; ++i) unit *= base;
  char prefix = binary && i == 0 ? 'K' : kPrefixes[i];
  return runtime.string(fmt::format("{:.1f} {}{}", base * *number / unit, prefix, binary ? "iB" : "B"));
}

constexpr FilterEntry kFilters[] = {
    {"abs", &filter_abs},     {"filesizeformat", &filter_filesizeformat},
    {"float", &filter_float}, {"int", &filter_int},
    {"round", &filter_round},
};

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 99;
}

}  // namespace

std::span<const FilterEntry> number_filters() { return kFilters; }

std::optional<Int> parse_int(std::string_view text, int64_t base) {
  text = strip_space(text);
  bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  bool prefix_used = false;
  if (text.size() > 2 && text[0] == '0') {
    char kind = static_cast<char>(text[1] | 0x20);
    int64_t named = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    if (named && (base == named || base == 0)) {
      base = named;
      text.remove_prefix(2);
      prefix_used = true;
    }
  }
  if (base == 0) base = 10;
  if (base < 2 || base > 36 || text.empty()) return std::nullopt;
  Int value = 0;
  bool after_digit = prefix_used;
  for (char c : text) {
    if (c == '_') {
      if (!after_digit) return std::nullopt;
      after_digit = false;
      continue;
    }
    int digit = digit_value(c);
    if (digit >= base || __builtin_mul_overflow(value, Int{base}, &value) ||
        __builtin_add_overflow(value, Int{digit}, &value)) {
      return std::nullopt;
    }
    after_digit = true;
  }
  if (!after_digit) return std::nullopt;
  return negative ? -value : value;
}

std::optional<double> parse_float(std::string_view text) {
  text = strip_space(text);
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      plain += text[i];
      continue;
    }
    auto is_digit_at = [&](size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '9'; };
    if (i == 0 || !is_digit_at(i - 1) || !is_digit_at(i + 1)) return std::nullopt;
  }
  std::string_view rest = plain;
  bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest.empty() || rest[0] == '-' || rest[0] == '+') return std::nullopt;
  double value = 0;
  auto [end, status] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (end != rest.data() + rest.size() || rest.find('(') != rest.npos) return std::nullopt;
  if (status == std::errc::result_out_of_range)
    value = std::strtod(std::string(rest).c_str(), nullptr);
  else if (status != std::errc())
    return std::nullopt;
  return negative ? -value : value;
}

}  // namespace exo::chat::jinja
