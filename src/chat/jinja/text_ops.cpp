#include "chat/jinja/text_ops.h"

#include <algorithm>
#include <limits>

#include "chat/jinja/unicode.h"

namespace exo::chat::jinja {
namespace {

// The last code point of text that is not empty.
DecodedCodePoint decode_last(std::string_view text) {
  size_t longest = std::min<size_t>(4, text.size());
  for (size_t size = longest; size > 1; --size) {
    auto last = decode_code_point(text.substr(text.size() - size));
    if (last.size == size) return last;
  }
  return decode_code_point(text.substr(text.size() - 1));
}

template <typename Predicate>
std::string_view strip_if(std::string_view text, StripSides sides, Predicate drop) {
  while (sides.left && !text.empty()) {
    auto [code, size] = decode_code_point(text);
    if (!drop(code)) break;
    text.remove_prefix(size);
  }
  while (sides.right && !text.empty()) {
    auto [code, size] = decode_last(text);
    if (!drop(code)) break;
    text.remove_suffix(size);
  }
  return text;
}

uint64_t limit_of(int64_t max_splits) {
  return max_splits < 0 ? std::numeric_limits<uint64_t>::max() : static_cast<uint64_t>(max_splits);
}

}  // namespace

std::string_view strip_space(std::string_view text, StripSides sides) { return strip_if(text, sides, is_space); }

std::string_view strip_chars(std::string_view text, std::string_view chars, StripSides sides) {
  std::u32string set = decode_utf8(chars);
  return strip_if(text, sides, [&](char32_t code) { return set.find(code) != set.npos; });
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    auto [code, size] = decode_code_point(text.substr(i));
    size_t end = i;
    i += size;
    if (!is_line_break(code)) continue;
    if (code == '\r' && i < text.size() && text[i] == '\n') ++i;
    lines.push_back(text.substr(begin, (keep_ends ? i : end) - begin));
    begin = i;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::vector<std::string_view> split_space(std::string_view text, int64_t max_splits) {
  std::vector<std::string_view> parts;
  text = strip_space(text, {.left = true, .right = false});
  while (!text.empty()) {
    if (parts.size() == limit_of(max_splits)) {
      parts.push_back(text);  // its end keeps its white space
      return parts;
    }
    size_t end = 0;
    while (end < text.size()) {
      auto [code, size] = decode_code_point(text.substr(end));
      if (is_space(code)) break;
      end += size;
    }
    parts.push_back(text.substr(0, end));
    text = strip_space(text.substr(end), {.left = true, .right = false});
  }
  return parts;
}

std::vector<std::string_view> split_space_from_right(std::string_view text, int64_t max_splits) {
  std::vector<std::string_view> parts;
  text = strip_space(text, {.left = false, .right = true});
  while (!text.empty()) {
    if (parts.size() == limit_of(max_splits)) {
      parts.push_back(text);
      break;
    }
    size_t begin = text.size();
    while (begin > 0) {
      auto [code, size] = decode_last(text.substr(0, begin));
      if (is_space(code)) break;
      begin -= size;
    }
    parts.push_back(text.substr(begin));
    text = strip_space(text.substr(0, begin), {.left = false, .right = true});
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_at(std::string_view text, std::string_view separator, int64_t max_splits) {
  std::vector<std::string_view> parts;
  while (parts.size() < limit_of(max_splits)) {
    size_t found = text.find(separator);
    if (found == text.npos) break;
    parts.push_back(text.substr(0, found));
    text.remove_prefix(found + separator.size());
  }
  parts.push_back(text);
  return parts;
}

std::vector<std::string_view> split_at_from_right(std::string_view text, std::string_view separator,
                                                  int64_t max_splits) {
  std::vector<std::string_view> parts;
  while (parts.size() < limit_of(max_splits)) {
    size_t found = text.rfind(separator);
    if (found == text.npos) break;
    parts.push_back(text.substr(found + separator.size()));
    text = text.substr(0, found);
  }
  parts.push_back(text);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::string replace_all(Runtime& runtime, std::string_view text, std::string_view old, std::string_view replacement,
                        int64_t count) {
  TextWriter out(runtime);
  uint64_t left = limit_of(count);
  if (old.empty()) {
    while (left > 0 && !out.full()) {
      out.append(replacement);
      --left;
      if (text.empty()) return out.take();
      uint32_t size = decode_code_point(text).size;
      out.append(text.substr(0, size));
      text.remove_prefix(size);
    }
  }
  for (; left > 0 && !old.empty() && !out.full(); --left) {
    size_t found = text.find(old);
    if (found == text.npos) break;
    out.append(text.substr(0, found));
    out.append(replacement);
    text.remove_prefix(found + old.size());
  }
  out.append(text);
  return out.take();
}

std::string repeat_text(Runtime& runtime, std::string_view fill, int64_t count) {
  if (count <= 0 || fill.empty()) return {};
  if (static_cast<uint64_t>(count) > runtime.limits().max_output_bytes / fill.size()) {
    runtime.exhaust("memory for one string");
    return {};
  }
  std::string out;
  out.reserve(fill.size() * static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) out += fill;
  return out;
}

std::string center_text(Runtime& runtime, std::string_view text, int64_t width, std::string_view fill) {
  auto length = static_cast<int64_t>(count_code_points(text));
  if (width <= length) return std::string(text);
  int64_t margin = width - length;
  int64_t left = margin / 2 + (margin & width & 1);
  std::string before = repeat_text(runtime, fill, left);
  return before + std::string(text) + repeat_text(runtime, fill, margin - left);
}

}  // namespace exo::chat::jinja
