// Methods of str.
#include <algorithm>
#include <array>

#include "chat/jinja/access.h"
#include "chat/jinja/format.h"
#include "chat/jinja/text_ops.h"
#include "chat/jinja/unicode.h"

namespace exo::chat::jinja {
namespace {

// A result that is Markup when the receiver is.
Value like(Runtime& runtime, const Value& self, std::string_view text) {
  return runtime.string(std::string(text), self.is_markup());
}

Value list_like(Runtime& runtime, const Value& self, const std::vector<std::string_view>& parts) {
  std::vector<Value> items;
  if (!runtime.allows_memory(parts.size() * (sizeof(Value) + sizeof(StringObject)))) return runtime.list({});
  items.reserve(parts.size());
  for (std::string_view part : parts) items.push_back(like(runtime, self, part));
  return runtime.list(std::move(items));
}

template <std::string (*change)(std::string_view)>
ValueResult changed(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  if (!runtime.step_bytes(self.string().size() * 4)) return runtime.failure();
  return like(runtime, self, change(self.string()));
}

template <bool left, bool right>
ValueResult strip(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("strip", arguments, {"chars"}));
  StripSides sides{.left = left, .right = right};
  if (!bound.given(0)) return like(runtime, self, strip_space(self.string(), sides));
  EXO_TRY(std::string_view chars, to_text(*bound[0], "strip arg"));
  if (!runtime.step_bytes(self.string().size() + chars.size())) return runtime.failure();
  return like(runtime, self, strip_chars(self.string(), chars, sides));
}

template <bool from_right>
ValueResult split(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("split", arguments, {"sep", "maxsplit"}));
  EXO_TRY(int64_t limit, bound.integer_or(1, -1));
  const std::string& text = self.string();
  if (!runtime.step_bytes(text.size())) return runtime.failure();
  if (!bound.given(0)) {
    return list_like(runtime, self, from_right ? split_space_from_right(text, limit) : split_space(text, limit));
  }
  EXO_TRY(std::string_view separator, to_text(*bound[0], "separator"));
  if (separator.empty()) return python_error("empty separator");
  return list_like(runtime, self,
                   from_right ? split_at_from_right(text, separator, limit) : split_at(text, separator, limit));
}

ValueResult split_lines_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("splitlines", arguments, {"keepends"}));
  return list_like(runtime, self, split_lines(self.string(), bound.truth_or(0, false)));
}

template <bool from_right>
ValueResult partition(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("partition", arguments, {"sep"}, 1));
  EXO_TRY(std::string_view separator, to_text(*bound[0], "separator"));
  if (separator.empty()) return python_error("empty separator");
  std::string_view text = self.string();
  size_t found = from_right ? text.rfind(separator) : text.find(separator);
  std::array<std::string_view, 3> parts = {text, {}, {}};
  if (found != text.npos) {
    parts = {text.substr(0, found), separator, text.substr(found + separator.size())};
  } else if (from_right) {
    parts = {std::string_view(), {}, text};
  }
  return runtime.tuple(
      {like(runtime, self, parts[0]), like(runtime, self, parts[1]), like(runtime, self, parts[2])});
}

// The part of the text that the arguments start and end (code points) leave.
struct Window {
  std::string_view text;
  int64_t start = 0;  // code points before it
  bool valid = true;  // start was not beyond the end
};

Result<Window> window(const Value& self, const Value* start, const Value* end) {
  auto length = static_cast<int64_t>(self.string_object().length);
  std::string_view text = self.string();
  int64_t first = 0, last = length;
  auto resolve = [&](const Value* value, int64_t& place) -> Status {
    if (!value || value->is_none()) return {};
    EXO_TRY(place, to_index(*value));
    if (place < 0) place = std::max<int64_t>(0, place + length);
    return {};
  };
  EXO_CHECK_OK(resolve(start, first));
  EXO_CHECK_OK(resolve(end, last));
  last = std::min(last, length);
  if (first > last) return Window{{}, first, false};
  if (first == 0 && last == length) return Window{text, 0, true};
  size_t begin = byte_offset(text, static_cast<size_t>(first));
  size_t size = byte_offset(text.substr(begin), static_cast<size_t>(last - first));
  return Window{text.substr(begin, size), first, true};
}

template <bool at_start>
ValueResult affix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind(at_start ? "startswith" : "endswith", arguments, {"prefix", "start", "end"}, 1));
  EXO_TRY(Window part, window(self, bound[1], bound[2]));
  auto matches = [&](std::string_view wanted) {
    return part.valid && (at_start ? part.text.starts_with(wanted) : part.text.ends_with(wanted));
  };
  if (bound[0]->is(Type::kTuple)) {
    for (const Value& candidate : bound[0]->items()) {
      EXO_TRY(std::string_view wanted, to_text(candidate, "tuple for startswith or endswith"));
      if (matches(wanted)) return Value(true);
    }
    return Value(false);
  }
  if (bound[0]->is_undefined()) return undefined_error(*bound[0]);
  if (!bound[0]->is_string()) {
    return python_error("{} first arg must be str or a tuple of str, not {}", at_start ? "startswith" : "endswith",
                        type_name(*bound[0]));
  }
  (void)runtime;
  return Value(matches(bound[0]->string()));
}

enum class Missing { kMinusOne, kError };

template <bool from_right, Missing missing>
ValueResult find(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("find", arguments, {"sub", "start", "end"}, 1));
  EXO_TRY(std::string_view wanted, to_text(*bound[0], "argument"));
  EXO_TRY(Window part, window(self, bound[1], bound[2]));
  if (!runtime.step_bytes(part.text.size())) return runtime.failure();
  size_t found = !part.valid ? part.text.npos : from_right ? part.text.rfind(wanted) : part.text.find(wanted);
  if (found == part.text.npos) {
    if (missing == Missing::kError) return python_error("substring not found");
    return Value::integer(-1);
  }
  return Value::integer(part.start + static_cast<Int>(count_code_points(part.text.substr(0, found))));
}

ValueResult count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("count", arguments, {"sub", "start", "end"}, 1));
  EXO_TRY(std::string_view wanted, to_text(*bound[0], "argument"));
  EXO_TRY(Window part, window(self, bound[1], bound[2]));
  if (!runtime.step_bytes(part.text.size())) return runtime.failure();
  if (!part.valid) return Value::integer(0);
  if (wanted.empty()) return Value::integer(static_cast<Int>(count_code_points(part.text)) + 1);
  Int number = 0;
  for (size_t at = part.text.find(wanted); at != part.text.npos; at = part.text.find(wanted, at + wanted.size()))
    ++number;
  return Value::integer(number);
}

ValueResult replace(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("replace", arguments, {"old", "new", "count"}, 2));
  EXO_TRY(std::string_view old, to_text(*bound[0], "replace() argument 1"));
  EXO_TRY(std::string_view fresh, to_text(*bound[1], "replace() argument 2"));
  EXO_TRY(int64_t limit, bound.integer_or(2, -1));
  std::string escaped = self.is_markup() && !bound[1]->is_markup() ? escape_html(fresh) : std::string(fresh);
  return like(runtime, self, replace_all(runtime, self.string(), old, escaped, limit));
}

ValueResult join(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("join", arguments, {"iterable"}, 1));
  EXO_TRY(std::vector<Value> items, iterate(runtime, *bound[0]));
  TextWriter out(runtime);
  for (size_t i = 0; i < items.size() && !out.full(); ++i) {
    if (!items[i].is_string()) {
      return python_error("sequence item {}: expected str instance, {} found", i, type_name(items[i]));
    }
    if (i > 0) out.append(self.string());
    bool escape = self.is_markup() && !items[i].is_markup();
    out.append(escape ? escape_html(items[i].string()) : items[i].string());
  }
  return like(runtime, self, out.take());
}

ValueResult format(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return format_braces(runtime, self, arguments);
}

ValueResult format_map(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("format_map", arguments, {"mapping"}, 1));
  if (!bound[0]->is(Type::kDict)) return python_error("format_map() needs a mapping");
  Arguments named;
  for (const auto& [key, value] : bound[0]->dict().entries) named.named.emplace_back(to_str(runtime, key), value);
  return format_braces(runtime, self, named);
}

template <bool at_start>
ValueResult remove_affix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("removeprefix", arguments, {"prefix"}, 1));
  EXO_TRY(std::string_view affix_text, to_text(*bound[0], "argument"));
  std::string_view text = self.string();
  if (at_start && text.starts_with(affix_text)) text.remove_prefix(affix_text.size());
  if (!at_start && text.ends_with(affix_text)) text.remove_suffix(affix_text.size());
  return like(runtime, self, text);
}

enum class Side { kLeft, kRight, kBoth };

template <Side text_side>
ValueResult justify(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("ljust", arguments, {"width", "fillchar"}, 1));
  EXO_TRY(int64_t width, to_index(*bound[0]));
  std::string_view fill = " ";
  if (bound[1]) {
    EXO_TRY(fill, to_text(*bound[1], "the fill character"));
    if (count_code_points(fill) != 1) return python_error("The fill character must be exactly one character long");
  }
  const std::string& text = self.string();
  if (text_side == Side::kBoth) return like(runtime, self, center_text(runtime, text, width, fill));
  std::string padding = repeat_text(runtime, fill, width - static_cast<int64_t>(self.string_object().length));
  return like(runtime, self, text_side == Side::kLeft ? text + padding : padding + text);
}

ValueResult zfill(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("zfill", arguments, {"width"}, 1));
  EXO_TRY(int64_t width, to_index(*bound[0]));
  std::string zeros = repeat_text(runtime, "0", width - static_cast<int64_t>(self.string_object().length));
  std::string text = self.string();
  bool sign = text.starts_with('+') || text.starts_with('-');
  return like(runtime, self, text.insert(sign ? 1 : 0, zeros));
}

ValueResult expand_tabs(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("expandtabs", arguments, {"tabsize"}));
  EXO_TRY(int64_t tab, bound.integer_or(0, 8));
  TextWriter out(runtime);
  int64_t column = 0;
  std::string_view text = self.string();
  while (!text.empty() && !out.full()) {
    auto [code, size] = decode_code_point(text);
    if (code == '\t') {
      int64_t spaces = tab > 0 ? tab - column % tab : 0;
      out.append(repeat_text(runtime, " ", spaces));
      column += spaces;
    } else {
      out.append(text.substr(0, size));
      column = code == '\n' || code == '\r' ? 0 : column + 1;
    }
    text.remove_prefix(size);
  }
  return like(runtime, self, out.take());
}

// All characters satisfy the predicate and there is one.
template <bool (*predicate)(char32_t)>
ValueResult all_of(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  std::string_view text = self.string();
  if (!runtime.step_bytes(text.size() * 8)) return runtime.failure();
  if (text.empty()) return Value(false);
  while (!text.empty()) {
    auto [code, size] = decode_code_point(text);
    if (!predicate(code)) return Value(false);
    text.remove_prefix(size);
  }
  return Value(true);
}

template <bool (*wanted)(char32_t), bool (*unwanted)(char32_t)>
ValueResult all_cased(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  if (!runtime.step_bytes(self.string().size() * 8)) return runtime.failure();
  bool any = false;
  for (char32_t code : decode_utf8(self.string())) {
    if (unwanted(code) || jinja::is_title(code)) return Value(false);
    any = any || wanted(code);
  }
  return Value(any);
}

ValueResult is_title_text(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  if (!runtime.step_bytes(self.string().size() * 8)) return runtime.failure();
  bool any = false, after_cased = false;
  for (char32_t code : decode_utf8(self.string())) {
    bool upper = is_upper(code) || jinja::is_title(code), lower = is_lower(code);
    if ((upper && after_cased) || (lower && !after_cased)) return Value(false);
    any = any || upper || lower;
    after_cased = upper || lower;
  }
  return Value(any);
}

ValueResult is_identifier(Runtime&, const Value& self, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  std::u32string codes = decode_utf8(self.string());
  bool good = !codes.empty() && (is_alpha(codes[0]) || codes[0] == '_');
  return Value(good && std::all_of(codes.begin(), codes.end(), [](char32_t c) { return is_alnum(c) || c == '_'; }));
}

ValueResult is_ascii(Runtime&, const Value& self, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  return Value(std::all_of(self.string().begin(), self.string().end(),
                           [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
}

ValueResult is_printable_text(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (self.string().empty()) return Value(true);
  return all_of<is_printable>(runtime, self, arguments);
}

constexpr MethodEntry kMethods[] = {
    {"capitalize", &changed<to_capitalized>},
    {"casefold", &changed<to_casefold>},
    {"center", &justify<Side::kBoth>},
    {"count", &count},
    {"endswith", &affix<false>},
    {"expandtabs", &expand_tabs},
    {"find", &find<false, Missing::kMinusOne>},
    {"format", &format},
    {"format_map", &format_map},
    {"index", &find<false, Missing::kError>},
    {"isalnum", &all_of<is_alnum>},
    {"isalpha", &all_of<is_alpha>},
    {"isascii", &is_ascii},
    {"isdecimal", &all_of<is_decimal>},
    {"isdigit", &all_of<is_digit>},
    {"isidentifier", &is_identifier},
    {"islower", &all_cased<is_lower, is_upper>},
    {"isnumeric", &all_of<is_numeric>},
    {"isprintable", &is_printable_text},
    {"isspace", &all_of<is_space>},
    {"istitle", &is_title_text},
    {"isupper", &all_cased<is_upper, is_lower>},
    {"join", &join},
    {"ljust", &justify<Side::kLeft>},
    {"lower", &changed<to_lower>},
    {"lstrip", &strip<true, false>},
    {"partition", &partition<false>},
    {"removeprefix", &remove_affix<true>},
    {"removesuffix", &remove_affix<false>},
    {"replace", &replace},
    {"rfind", &find<true, Missing::kMinusOne>},
    {"rindex", &find<true, Missing::kError>},
    {"rjust", &justify<Side::kRight>},
    {"rpartition", &partition<true>},
    {"rsplit", &split<true>},
    {"rstrip", &strip<false, true>},
    {"split", &split<false>},
    {"splitlines", &split_lines_method},
    {"startswith", &affix<true>},
    {"strip", &strip<true, true>},
    {"swapcase", &changed<swap_case>},
    {"title", &changed<to_title>},
    {"upper", &changed<to_upper>},
    {"zfill", &zfill},
};

}  // namespace

const MethodEntry* find_string_method(std::string_view name) {
  auto found =
      std::lower_bound(std::begin(kMethods), std::end(kMethods), name,
                       [](const MethodEntry& entry, std::string_view wanted) { return entry.name < wanted; });
  return found != std::end(kMethods) && found->name == name ? found : nullptr;
}

}  // namespace exo::chat::jinja
