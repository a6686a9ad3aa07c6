// Filters that make text.
#include <algorithm>

#include "chat/jinja/builtins.h"
#include "chat/jinja/format.h"
#include "chat/jinja/json.h"
#include "chat/jinja/text_ops.h"
#include "chat/jinja/unicode.h"

namespace exo::chat::jinja {
namespace {

template <std::string (*change)(std::string_view)>
ValueResult changed_text(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  return runtime.string(change(to_str(runtime, value)), value.is_markup());
}

// do_title: words begin after white space and - ( { [ <.
std::string title_words(std::string_view text) {
  std::u32string in = decode_utf8(text);
  std::string out;
  auto is_break = [](char32_t c) {
    return is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  for (size_t i = 0; i < in.size();) {
    size_t end = i + 1;
    while (end < in.size() && is_break(in[end]) == is_break(in[i])) ++end;
    out += to_upper(encode_utf8(in.substr(i, 1)));
    out += to_lower(encode_utf8(in.substr(i + 1, end - i - 1)));
    i = end;
  }
  return out;
}

ValueResult filter_title(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  std::string text = to_str(runtime, value);
  if (!runtime.step_bytes(text.size() * 16)) return runtime.failure();
  return runtime.string(title_words(text));
}

ValueResult filter_center(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("center", arguments, {"width"}));
  EXO_TRY(int64_t width, bound.integer_or(0, 80));
  return runtime.string(center_text(runtime, to_str(runtime, value), width, " "));
}

ValueResult filter_escape(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  if (value.is_markup()) return value;
  return runtime.string(escape_html(to_str(runtime, value)), true);
}

ValueResult filter_forceescape(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  return runtime.string(escape_html(to_str(runtime, value)), true);
}

ValueResult filter_safe(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  return runtime.string(to_str(runtime, value), true);
}

ValueResult filter_string(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  if (value.is_string()) return value;
  return runtime.string(to_str(runtime, value));
}

ValueResult filter_format(Runtime& runtime, const Value& value, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    return python_error("can't handle positional and keyword arguments at the same time");
  }
  Value text = value.is_string() ? value : runtime.string(to_str(runtime, value));
  if (arguments.named.empty()) return format_percent(runtime, text, runtime.tuple(arguments.positional));
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [name, argument] : arguments.named) entries.emplace_back(runtime.string(name), argument);
  return format_percent(runtime, text, runtime.dict(std::move(entries)));
}

ValueResult filter_indent(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("indent", arguments, {"width", "first", "blank"}));
  EXO_TRY(std::string_view source, to_text(value, "the value of indent"));
  std::string indention;
  if (bound[0] && bound[0]->is_string()) {
    indention = bound[0]->string();
  } else {
    EXO_TRY(int64_t width, bound.integer_or(0, 4));
    indention = repeat_text(runtime, " ", width);
  }
  bool blank = bound.truth_or(2, false);
  TextWriter out(runtime);
  if (bound.truth_or(1, false)) out.append(indention);
  std::string text = std::string(source) + "\n";
  bool first = true;
  for (std::string_view line : split_lines(text)) {
    if (!first) {
      out.append('\n');
      if (blank || !line.empty()) out.append(indention);
    }
    first = false;
    out.append(line);
  }
  return runtime.string(out.take(), value.is_markup());
}

ValueResult filter_replace(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("replace", arguments, {"old", "new", "count"}, 2));
  int64_t count = -1;
  if (bound.given(2)) {
    EXO_TRY(count, to_index(*bound[2]));
  }
  return runtime.string(
      replace_all(runtime, to_str(runtime, value), to_str(runtime, *bound[0]), to_str(runtime, *bound[1]), count));
}

ValueResult filter_striptags(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  std::string text = to_str(runtime, value), kept;
  for (size_t at = 0; at < text.size();) {
    size_t open = text.find('<', at);
    kept += text.substr(at, open - at);
    if (open == text.npos) break;
    bool comment = text.compare(open, 4, "<!--") == 0;
    size_t close = comment ? text.find("-->", open) : text.find('>', open);
    if (close == text.npos) {
      kept += text.substr(open);
      break;
    }
    at = close + (comment ? 3 : 1);
  }
  std::string out;
  for (std::string_view word : split_space(kept, -1)) {
    if (!out.empty()) out += ' ';
    out += word;
  }
  for (auto [entity, text_of] :
       {std::pair{"&lt;", "<"}, {"&gt;", ">"}, {"&#34;", "\""}, {"&quot;", "\""}, {"&#39;", "'"}, {"&amp;", "&"}}) {
    out = replace_all(runtime, out, entity, text_of, -1);
  }
  return runtime.string(std::move(out));
}

ValueResult filter_trim(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("trim", arguments, {"chars"}));
  std::string text = to_str(runtime, value);
  if (!bound.given(0)) return runtime.string(std::string(strip_space(text)), value.is_markup());
  EXO_TRY(std::string_view chars, to_text(*bound[0], "strip arg"));
  return runtime.string(std::string(strip_chars(text, chars)), value.is_markup());
}

ValueResult filter_truncate(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("truncate", arguments, {"length", "killwords", "end", "leeway"}));
  EXO_TRY(std::string_view text, to_text(value, "the value of truncate"));
  EXO_TRY(int64_t length, bound.integer_or(0, 255));
  int64_t leeway = 5;
  if (bound.given(3)) {
    EXO_TRY(leeway, to_index(*bound[3]));
  }
  std::string end = bound[2] ? to_str(runtime, *bound[2]) : "...";
  auto end_length = static_cast<int64_t>(count_code_points(end));
  if (length < end_length) return python_error("expected length >= {}, got {}", end_length, length);
  if (leeway < 0) return python_error("expected leeway >= 0, got {}", leeway);
  auto size = static_cast<int64_t>(count_code_points(text));
  if (size - leeway <= length) return value;
  std::string_view kept = text.substr(0, byte_offset(text, static_cast<size_t>(length - end_length)));
  if (!bound.truth_or(1, false)) kept = kept.substr(0, kept.rfind(' '));
  return runtime.string(std::string(kept) + end);
}

ValueResult filter_wordcount(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  int64_t words = 0;
  bool inside = false;
  for (char32_t code : decode_utf8(to_str(runtime, value))) {
    bool word = is_alnum(code) || code == '_';
    if (word && !inside) ++words;
    inside = word;
  }
  return Value::integer(words);
}

std::string quote_url(std::string_view text, bool for_query) {
  std::string out;
  for (char c : text) {
    bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                 std::string_view("_.-~").find(c) != std::string_view::npos || (c == '/' && !for_query);
    if (plain) {
      out += c;
    } else if (c == ' ' && for_query) {
      out += '+';
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

ValueResult filter_urlencode(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  if (value.is_string() || !is_iterable(value)) return runtime.string(quote_url(to_str(runtime, value), false));
  std::vector<std::pair<Value, Value>> pairs;
  if (value.is(Type::kDict)) {
    pairs = value.dict().entries;
  } else {
    EXO_TRY(std::vector<Value> items, iterate(runtime, value));
    for (const Value& item : items) {
      EXO_TRY(std::vector<Value> pair, iterate(runtime, item));
      if (pair.size() != 2) return python_error("urlencode needs pairs");
      pairs.emplace_back(pair[0], pair[1]);
    }
  }
  TextWriter out(runtime);
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (i > 0) out.append('&');
    out.append(quote_url(to_str(runtime, pairs[i].first), true));
    out.append('=');
    out.append(quote_url(to_str(runtime, pairs[i].second), true));
  }
  return runtime.string(out.take());
}

ValueResult filter_xmlattr(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("xmlattr", arguments, {"autospace"}));
  if (!value.is(Type::kDict)) return python_error("xmlattr needs a mapping");
  TextWriter out(runtime);
  for (const auto& [key, item] : value.dict().entries) {
    if (item.is_none() || item.is_undefined()) continue;
    std::string name = to_str(runtime, key);
    if (name.find_first_of(" \t\n\r\f\v/>=") != name.npos)
      return python_error("Invalid character in attribute name");
    if (out.size() > 0 || bound.truth_or(0, true)) out.append(' ');
    auto escaped = [&](const Value& text) {
      return text.is_markup() ? text.string() : escape_html(to_str(runtime, text));
    };
    out.append(escaped(key) + "=\"" + escaped(item) + "\"");
  }
  return runtime.string(out.take());
}

constexpr FilterEntry kFilters[] = {
    {"capitalize", &changed_text<to_capitalized>},
    {"center", &filter_center},
    {"e", &filter_escape},
    {"escape", &filter_escape},
    {"forceescape", &filter_forceescape},
    {"format", &filter_format},
    {"indent", &filter_indent},
    {"lower", &changed_text<to_lower>},
    {"replace", &filter_replace},
    {"safe", &filter_safe},
    {"string", &filter_string},
    {"striptags", &filter_striptags},
    {"title", &filter_title},
    {"tojson", &filter_tojson},
    {"trim", &filter_trim},
    {"truncate", &filter_truncate},
    {"upper", &changed_text<to_upper>},
    {"urlencode", &filter_urlencode},
    {"wordcount", &filter_wordcount},
    {"xmlattr", &filter_xmlattr},
};

}  // namespace

std::span<const FilterEntry> text_filters() { return kFilters; }

}  // namespace exo::chat::jinja
