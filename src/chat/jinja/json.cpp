#include "chat/jinja/json.h"

#include <algorithm>
#include <cmath>

#include "chat/jinja/builtins.h"
#include "chat/jinja/text_ops.h"
#include "chat/jinja/unicode.h"

namespace exo::chat::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style), out_(runtime) {}

  Result<std::string> run(const Value& value) {
    EXO_CHECK_OK(write(value, 0));
    if (runtime_.exhausted()) return runtime_.failure();
    return out_.take();
  }

 private:
  Status write(const Value& value, int32_t level) {
    if (!runtime_.step() || !runtime_.stack_left()) return runtime_.failure();
    switch (value.type()) {
      case Type::kNone:
        out_.append("null");
        return {};
      case Type::kBool:
        out_.append(value.boolean() ? "true" : "false");
        return {};
      case Type::kInt:
        out_.append(fmt::format("{}", value.integer()));
        return {};
      case Type::kFloat:
        out_.append(number(value.real()));
        return {};
      case Type::kString:
        write_string(value.string());
        return {};
      case Type::kList:
      case Type::kTuple:
        return write_array(value.items(), level);
      case Type::kDict:
        return write_object(value.dict(), level);
      default:
        return python_error("Object of type {} is not JSON serializable", type_name(value));
    }
  }

  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return repr_float(value);
  }

  void newline(int32_t level) {
    if (!style_.indent) return;
    out_.append('\n');
    for (int32_t i = 0; i < level; ++i) out_.append(*style_.indent);
  }

  Status write_array(const std::vector<Value>& items, int32_t level) {
    if (items.empty()) {
      out_.append("[]");
      return {};
    }
    out_.append('[');
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.append(style_.item_separator);
      newline(level + 1);
      EXO_CHECK_OK(write(items[i], level + 1));
    }
    newline(level);
    out_.append(']');
    return {};
  }

  Status write_object(const DictObject& dict, int32_t level) {
    if (dict.entries.empty()) {
      out_.append("{}");
      return {};
    }
    std::vector<Value> order;
    for (size_t i = 0; i < dict.entries.size(); ++i) order.push_back(Value::integer(static_cast<Int>(i)));
    if (style_.sort_keys) {
      std::vector<Value> keys;
      for (const auto& [key, value] : dict.entries) keys.push_back(key);
      EXO_TRY(order, sort_by_keys(runtime_, std::move(order), std::move(keys), false));
    }
    out_.append('{');
    bool first = true;
    for (const Value& place : order) {
      const auto& [key, value] = dict.entries[static_cast<size_t>(place.integer())];
      if (!first) out_.append(style_.item_separator);
      first = false;
      newline(level + 1);
      EXO_CHECK_OK(write_key(key));
      out_.append(style_.key_separator);
      EXO_CHECK_OK(write(value, level + 1));
    }
    newline(level);
    out_.append('}');
    return {};
  }

  Status write_key(const Value& key) {
    switch (key.type()) {
      case Type::kString:
        write_string(key.string());
        return {};
      case Type::kNone:
        write_string("null");
        return {};
      case Type::kBool:
        write_string(key.boolean() ? "true" : "false");
        return {};
      case Type::kInt:
        write_string(fmt::format("{}", key.integer()));
        return {};
      case Type::kFloat:
        write_string(number(key.real()));
        return {};
      default:
        return python_error("keys must be str, int, float, bool or None, not {}", type_name(key));
    }
  }

  void write_string(std::string_view text) {
    out_.append('"');
    size_t plain = 0;  // begin of what needs no escape
    for (size_t i = 0; i < text.size();) {
      auto [code, size] = decode_code_point(text.substr(i));
      std::string escaped = escape(code);
      if (!escaped.empty()) {
        out_.append(text.substr(plain, i - plain));
        out_.append(escaped);
        plain = i + size;
      }
      i += size;
    }
    out_.append(text.substr(plain));
    out_.append('"');
  }

  // Empty when the code point stands for itself.
  std::string escape(char32_t code) const {
    switch (code) {
      case '"':
        return "\\\"";
      case '\\':
        return "\\\\";
      case '\n':
        return "\\n";
      case '\r':
        return "\\r";
      case '\t':
        return "\\t";
      case '\f':
        return "\\f";
      case '\b':
        return "\\b";
      default:
        break;
    }
    auto unit = [](uint32_t value) { return fmt::format("\\u{:04x}", value); };
    auto value = static_cast<uint32_t>(code);
    if (value < 0x20) return unit(value);
    if (value < 0x7F || !style_.ensure_ascii) return {};
    if (value < 0x10000) return unit(value);
    value -= 0x10000;
    return unit(0xD800 + (value >> 10)) + unit(0xDC00 + (value & 0x3FF));
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  TextWriter out_;
};

}  // namespace

Result<std::string> dump_json(Runtime& runtime, const Value& value, const JsonStyle& style) {
  return JsonWriter(runtime, style).run(value);
}

ValueResult filter_tojson(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"}));
  JsonStyle style;
  style.ensure_ascii = bound.truth_or(0, false);
  style.sort_keys = bound.truth_or(3, false);
  if (bound.given(1)) {
    style.item_separator = ",";
    if (bound[1]->is_string()) {
      style.indent = bound[1]->string();
    } else {
      EXO_TRY(int64_t width, to_index(*bound[1]));
      style.indent = repeat_text(runtime, " ", width);
    }
  }
  if (bound.given(2)) {
    EXO_TRY(std::vector<Value> separators, iterate(runtime, *bound[2]));
    if (separators.size() != 2 || !separators[0].is_string() || !separators[1].is_string()) {
      return python_error("separators must be two strings");
    }
    style.item_separator = separators[0].string();
    style.key_separator = separators[1].string();
  }
  EXO_TRY(std::string text, dump_json(runtime, value, style));
  return runtime.string(std::move(text));
}

}  // namespace exo::chat::jinja
