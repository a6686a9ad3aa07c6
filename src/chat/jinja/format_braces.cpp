// text.format(…).

#include <algorithm>

#include "chat/jinja/access.h"
#include "chat/jinja/format.h"
#include "chat/jinja/format_spec.h"
#include "chat/jinja/text_ops.h"

namespace exo::chat::jinja {
namespace {

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

ValueResult format_braces(Runtime& runtime, const Value& text, const Arguments& arguments) {
  EXO_TRY(std::string out, BraceFormatter(runtime, arguments, text.is_markup()).run(text.string(), 0));
  return runtime.string(std::move(out), text.is_markup());
}

}  // namespace exo::chat::jinja
