#pragma once
// GPT-2's reversible alphabet: every byte is written as one printable character (space as Ġ, newline as Ċ), so that
// byte-level vocabularies are text files.

#include <optional>
#include <string>
#include <string_view>

namespace exo::text {

// The bytes that `text` stands for; nullopt when a character is outside the alphabet (added tokens are plain text).
std::optional<std::string> decode_byte_alphabet(std::string_view text);
// Appends the bytes to `out` and says whether all characters were of the alphabet; `out` is unchanged if not.
bool append_decoded_byte_alphabet(std::string_view text, std::string& out);
std::string encode_byte_alphabet(std::string_view bytes);

}  // namespace exo::text
