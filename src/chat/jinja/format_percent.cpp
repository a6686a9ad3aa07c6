// text % values.

#include <algorithm>

#include "chat/jinja/access.h"
#include "chat/jinja/format.h"
#include "chat/jinja/format_spec.h"
#include "chat/jinja/text_ops.h"
#include "chat/jinja/unicode.h"

namespace exo::chat::jinja {
namespace {

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
    FormatSpec spec;
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

  Result<std::string> convert(const Value& value, FormatSpec& spec) {
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

  Result<std::string> character(const Value& value, const FormatSpec& spec) {
    if (value.is_string() && value.string_object().length == 1) return format_text(runtime_, value.string(), spec);
    if (!value.is_integral() || value.integer() < 0 || value.integer() > 0x10FFFF) {
      return python_error("%c requires int or char");
    }
    std::string text;
    append_code_point(text, static_cast<char32_t>(value.integer()));
    return format_text(runtime_, text, spec);
  }

  Result<std::string> integer(const Value& value, FormatSpec& spec) {
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

}  // namespace

ValueResult format_percent(Runtime& runtime, const Value& text, const Value& values) {
  EXO_TRY(std::string out, PercentFormatter(runtime, text, values).run());
  return runtime.string(std::move(out), text.is_markup());
}

}  // namespace exo::chat::jinja
