#include "chat/jinja/unicode.h"

#include <algorithm>
#include <iterator>

namespace exo::chat::jinja {
namespace {

struct FlagRun {
  uint32_t first;  // up to the next run's first
  uint8_t flags;
};
struct SimpleCase {
  uint32_t code, upper, lower, title, fold;
};
struct SpecialCase {
  uint32_t code;
  std::u32string_view upper, lower, title, fold;
};

#include "chat/jinja/unicode_tables.inc"

enum Flag : uint8_t {
  kAlpha = 1,
  kDecimal = 2,
  kDigit = 4,
  kNumeric = 8,
  kUpper = 16,
  kLower = 32,
  kTitle = 64,
  kPrintable = 128
};

bool has_flag(char32_t code, Flag flag) {
  auto after = std::upper_bound(std::begin(kFlagRuns), std::end(kFlagRuns), static_cast<uint32_t>(code),
                                [](uint32_t value, const FlagRun& run) { return value < run.first; });
  return after != std::begin(kFlagRuns) && (std::prev(after)->flags & flag) != 0;
}

enum class CaseForm { kUpper, kLower, kTitle, kFold };

void append_case(std::u32string& out, char32_t code, CaseForm form) {
  auto by_code = [](const auto& entry, uint32_t value) { return entry.code < value; };
  auto special =
      std::lower_bound(std::begin(kSpecialCases), std::end(kSpecialCases), static_cast<uint32_t>(code), by_code);
  if (special != std::end(kSpecialCases) && special->code == code) {
    out += form == CaseForm::kUpper   ? special->upper
           : form == CaseForm::kLower ? special->lower
           : form == CaseForm::kTitle ? special->title
                                      : special->fold;
    return;
  }
  auto simple =
      std::lower_bound(std::begin(kSimpleCases), std::end(kSimpleCases), static_cast<uint32_t>(code), by_code);
  if (simple == std::end(kSimpleCases) || simple->code != code) {
    out += code;
    return;
  }
  out += static_cast<char32_t>(form == CaseForm::kUpper   ? simple->upper
                               : form == CaseForm::kLower ? simple->lower
                               : form == CaseForm::kTitle ? simple->title
                                                          : simple->fold);
}

bool is_cased(char32_t code) { return is_upper(code) || is_lower(code) || is_title(code); }

// A capital sigma at the end of a word becomes ς.
void append_lower(std::u32string& out, std::u32string_view text, size_t index) {
  constexpr char32_t kCapitalSigma = 0x3A3, kFinalSigma = 0x3C2;
  if (text[index] == kCapitalSigma && index > 0 && is_cased(text[index - 1]) &&
      (index + 1 == text.size() || !is_cased(text[index + 1]))) {
    out += kFinalSigma;
    return;
  }
  append_case(out, text[index], CaseForm::kLower);
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

DecodedCodePoint decode_code_point(std::string_view text) {
  if (text.empty()) return {};
  auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  uint8_t first = byte(0);
  if (first < 0x80) return {first, 1};
  constexpr char32_t kEscapedByte = 0xDC00;
  uint32_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < size) return {kEscapedByte + first, 1};
  char32_t code = first & (0x7F >> size);
  for (uint32_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {kEscapedByte + first, 1};
    code = (code << 6) | (byte(i) & 0x3F);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  bool surrogate = code >= 0xD800 && code < 0xE000;
  if (code < kSmallest[size] || code > 0x10FFFF || surrogate) return {kEscapedByte + first, 1};
  return {code, size};
}

void append_code_point(std::string& out, char32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code >= 0xDC80 && code <= 0xDCFF) {
    out += static_cast<char>(code - 0xDC00);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

size_t count_code_points(std::string_view text) {
  if (is_ascii(text)) return text.size();
  size_t count = 0;
  while (!text.empty()) {
    text.remove_prefix(decode_code_point(text).size);
    ++count;
  }
  return count;
}

std::u32string decode_utf8(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  while (!text.empty()) {
    auto [code, size] = decode_code_point(text);
    out += code;
    text.remove_prefix(size);
  }
  return out;
}

std::string encode_utf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char32_t code : text) append_code_point(out, code);
  return out;
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t offset = 0;
  for (; index > 0 && offset < text.size(); --index) offset += decode_code_point(text.substr(offset)).size;
  return offset;
}

bool is_space(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}

bool is_alpha(char32_t code) { return has_flag(code, kAlpha); }
bool is_decimal(char32_t code) { return has_flag(code, kDecimal); }
bool is_digit(char32_t code) { return has_flag(code, kDigit); }
bool is_numeric(char32_t code) { return has_flag(code, kNumeric); }
bool is_upper(char32_t code) { return has_flag(code, kUpper); }
bool is_lower(char32_t code) { return has_flag(code, kLower); }
bool is_title(char32_t code) { return has_flag(code, kTitle); }
bool is_printable(char32_t code) { return has_flag(code, kPrintable); }

bool is_line_break(char32_t code) {
  return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 || code == 0x2028 ||
         code == 0x2029;
}

std::string to_upper(std::string_view text) {
  if (is_ascii(text)) {
    std::string out(text);
    for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    return out;
  }
  std::u32string out;
  for (char32_t code : decode_utf8(text)) append_case(out, code, CaseForm::kUpper);
  return encode_utf8(out);
}

std::string to_lower(std::string_view text) {
  if (is_ascii(text)) {
    std::string out(text);
    for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return out;
  }
  std::u32string in = decode_utf8(text), out;
  for (size_t i = 0; i < in.size(); ++i) append_lower(out, in, i);
  return encode_utf8(out);
}

std::string to_casefold(std::string_view text) {
  std::u32string out;
  for (char32_t code : decode_utf8(text)) append_case(out, code, CaseForm::kFold);
  return encode_utf8(out);
}

std::string to_title(std::string_view text) {
  std::u32string in = decode_utf8(text), out;
  bool inside_word = false;
  for (size_t i = 0; i < in.size(); ++i) {
    if (inside_word) {
      append_lower(out, in, i);
    } else {
      append_case(out, in[i], CaseForm::kTitle);
    }
    inside_word = is_cased(in[i]);
  }
  return encode_utf8(out);
}

std::string to_capitalized(std::string_view text) {
  std::u32string in = decode_utf8(text), out;
  for (size_t i = 0; i < in.size(); ++i) {
    if (i == 0) {
      append_case(out, in[i], CaseForm::kTitle);
    } else {
      append_lower(out, in, i);
    }
  }
  return encode_utf8(out);
}

std::string swap_case(std::string_view text) {
  std::u32string in = decode_utf8(text), out;
  for (size_t i = 0; i < in.size(); ++i) {
    if (is_upper(in[i])) {
      append_lower(out, in, i);
    } else if (is_lower(in[i])) {
      append_case(out, in[i], CaseForm::kUpper);
    } else {
      out += in[i];
    }
  }
  return encode_utf8(out);
}

}  // namespace exo::chat::jinja
