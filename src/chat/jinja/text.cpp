// str() and repr() of every value.
#include <charconv>
#include <cmath>

#include "chat/jinja/runtime.h"
#include "chat/jinja/unicode.h"

namespace exo::chat::jinja {
namespace {

void append_escaped(std::string& out, char32_t code) {
  if (code >= 0xDC80 && code <= 0xDCFF) {
    out += fmt::format("\\udc{:02x}", static_cast<uint32_t>(code & 0xFF));
  } else if (code < 0x100) {
    out += fmt::format("\\x{:02x}", static_cast<uint32_t>(code));
  } else if (code < 0x10000) {
    out += fmt::format("\\u{:04x}", static_cast<uint32_t>(code));
  } else {
    out += fmt::format("\\U{:08x}", static_cast<uint32_t>(code));
  }
}

void append_items(TextWriter& out, const std::vector<Value>& items) {
  for (size_t i = 0; i < items.size() && !out.full(); ++i) {
    if (i > 0) out.append(", ");
    append_repr(out, items[i]);
  }
}

void append_dict(TextWriter& out, const DictObject& dict) {
  out.append('{');
  bool first = true;
  for (const auto& [key, value] : dict.entries) {
    if (out.full()) return;
    if (!first) out.append(", ");
    first = false;
    append_repr(out, key);
    out.append(": ");
    append_repr(out, value);
  }
  out.append('}');
}

void append_sequence(TextWriter& out, const Value& value) {
  const auto& items = value.items();
  switch (value.type()) {
    case Type::kTuple:
      out.append('(');
      append_items(out, items);
      out.append(items.size() == 1 ? ",)" : ")");
      return;
    case Type::kView:
      out.append(value.list_object().class_name);
      out.append("([");
      append_items(out, items);
      out.append("])");
      return;
    default:
      out.append('[');
      append_items(out, items);
      out.append(']');
  }
}

}  // namespace

Value constant_string(std::string text) {
  auto object = std::make_shared<StringObject>();
  object->length = count_code_points(text);
  object->text = std::move(text);
  return Value(Type::kString, std::move(object));
}

std::string repr_string(std::string_view text) {
  bool double_quotes = text.find('\'') != text.npos && text.find('"') == text.npos;
  char quote = double_quotes ? '"' : '\'';
  std::string out(1, quote);
  while (!text.empty()) {
    auto [code, size] = decode_code_point(text);
    if (code == static_cast<char32_t>(quote) || code == '\\') {
      out += '\\';
      out += static_cast<char>(code);
    } else if (code == '\n') {
      out += "\\n";
    } else if (code == '\r') {
      out += "\\r";
    } else if (code == '\t') {
      out += "\\t";
    } else if (is_printable(code)) {
      out += text.substr(0, size);
    } else {
      append_escaped(out, code);
    }
    text.remove_prefix(size);
  }
  return out += quote;
}

std::string repr_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[32];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  std::string_view text(buffer, end);
  std::string out;
  if (text.front() == '-') {
    out += '-';
    text.remove_prefix(1);
  }
  size_t mark = text.find('e');
  std::string digits(1, text[0]);
  if (mark > 1) digits += text.substr(2, mark - 2);
  int exponent = std::atoi(std::string(text.substr(mark + 1)).c_str());
  auto count = static_cast<int>(digits.size());
  constexpr int kSmallestFixed = -4, kLargestFixed = 16;
  if (exponent < kSmallestFixed || exponent >= kLargestFixed) {
    out += digits[0];
    if (count > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02d}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1)
    return out + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
  return out + digits.substr(0, static_cast<size_t>(exponent) + 1) + "." +
         digits.substr(static_cast<size_t>(exponent) + 1);
}

void append_repr(TextWriter& out, const Value& value) {
  if (out.full() || !out.runtime().step() || !out.runtime().stack_left()) return;
  switch (value.type()) {
    case Type::kUndefined:
      return out.append("Undefined");
    case Type::kNone:
      return out.append("None");
    case Type::kBool:
      return out.append(value.boolean() ? "True" : "False");
    case Type::kInt:
      return out.append(fmt::format("{}", value.integer()));
    case Type::kFloat:
      return out.append(repr_float(value.real()));
    case Type::kString:
      if (value.is_markup()) return out.append("Markup(" + repr_string(value.string()) + ")");
      return out.append(repr_string(value.string()));
    case Type::kList:
    case Type::kTuple:
    case Type::kView:
      return append_sequence(out, value);
    case Type::kDict:
      return append_dict(out, value.dict());
    case Type::kRange: {
      const RangeObject& range = value.range();
      if (range.step == 1) return out.append(fmt::format("range({}, {})", range.start, range.stop));
      return out.append(fmt::format("range({}, {}, {})", range.start, range.stop, range.step));
    }
    case Type::kIterator:
      return out.append(fmt::format("<{} object>", value.iterator().class_name));
    case Type::kMethod:
      return out.append(fmt::format("<built-in method of {} object>", type_name(value.method().self)));
    case Type::kNative:
      return out.append(value.native()->repr(out.runtime()));
  }
}

void append_str(TextWriter& out, const Value& value) {
  if (value.is_string()) return out.append(value.string());
  if (value.is_undefined()) return;
  append_repr(out, value);
}

std::string to_str(Runtime& runtime, const Value& value) {
  if (value.is_string()) return value.string();
  TextWriter out(runtime);
  append_str(out, value);
  return out.take();
}

std::string to_repr(Runtime& runtime, const Value& value) {
  TextWriter out(runtime);
  append_repr(out, value);
  return out.take();
}

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace exo::chat::jinja
