#pragma once
// Code points of UTF-8 text as Python's str sees them: counting, case mapping, character classes.
// Bytes that are not valid UTF-8 count as one code point each (U+DC80…U+DCFF, as Python's surrogateescape), so that
// no input is refused and encoding gives the same bytes back.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace exo::chat::jinja {

struct DecodedCodePoint {
  char32_t code = 0;
  uint32_t size = 0;  // bytes used, 1…4; 0 only for empty text
};

// The code point that `text` begins with.
DecodedCodePoint decode_code_point(std::string_view text);
void append_code_point(std::string& out, char32_t code);

size_t count_code_points(std::string_view text);
std::u32string decode_utf8(std::string_view text);
std::string encode_utf8(std::u32string_view text);
// Byte offset of code point `index`; text.size() when the text is shorter.
size_t byte_offset(std::string_view text, size_t index);

// str.isspace() of one character: what strip() and split() without argument cut at.
bool is_space(char32_t code);
bool is_alpha(char32_t code);
bool is_decimal(char32_t code);
bool is_digit(char32_t code);
bool is_numeric(char32_t code);
bool is_upper(char32_t code);
bool is_lower(char32_t code);
bool is_title(char32_t code);  // title-case letters (ǅ), not capitals
bool is_printable(char32_t code);
inline bool is_alnum(char32_t code) { return is_alpha(code) || is_numeric(code); }
// Line ends of str.splitlines().
bool is_line_break(char32_t code);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_casefold(std::string_view text);
std::string to_title(std::string_view text);        // str.title(): every run of letters
std::string to_capitalized(std::string_view text);  // str.capitalize()
std::string swap_case(std::string_view text);

}  // namespace exo::chat::jinja
