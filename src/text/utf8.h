#pragma once
// UTF-8 as the Unicode standard defines it (table 3-7): no surrogates, no overlong forms, nothing above U+10FFFF.

#include <cstdint>
#include <string>
#include <string_view>

namespace exo::text {

struct Utf8Step {
  uint32_t code_point;  // U+FFFD when !valid
  uint8_t bytes;        // to move on: of the character, or of the maximal invalid subpart (at least 1)
  bool valid;
  bool truncated;  // the text ends inside a character that is valid so far
};

// Decodes the character at the front of `text`, which must not be empty. An invalid sequence is one step per
// "maximal subpart", which is how Python's errors="replace" counts replacement characters.
Utf8Step decode_utf8(std::string_view text);

bool is_valid_utf8(std::string_view text);
// `text` with every invalid subpart replaced by U+FFFD.
std::string replace_invalid_utf8(std::string_view text);
void append_utf8(std::string& out, uint32_t code_point);
// Unicode's White_Space.
bool is_white_space(uint32_t code_point);
// Length that the lead byte announces, 1 for a byte that cannot lead. For text known to be valid.
inline size_t utf8_length(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

}  // namespace exo::text
