#include "text/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "text/utf8.h"

namespace exo::text {
namespace {

constexpr bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

// The other 68 bytes are the characters from U+0100 on, in order.
constexpr std::array<uint16_t, 256> make_characters() {
  std::array<uint16_t, 256> characters{};
  uint16_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte)
    characters[byte] = stands_for_itself(byte) ? static_cast<uint16_t>(byte) : next++;
  return characters;
}
constexpr std::array<uint16_t, 256> kCharacters = make_characters();

constexpr std::array<int16_t, 0x144> make_bytes() {
  std::array<int16_t, 0x144> bytes{};
  for (auto& byte : bytes) byte = -1;
  for (int byte = 0; byte < 256; ++byte) bytes[kCharacters[byte]] = static_cast<int16_t>(byte);
  return bytes;
}
constexpr std::array<int16_t, 0x144> kBytes = make_bytes();

}  // namespace

bool append_decoded_byte_alphabet(std::string_view text, std::string& out) {
  const size_t before = out.size();
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    if (!step.valid || step.code_point >= kBytes.size() || kBytes[step.code_point] < 0) {
      out.resize(before);
      return false;
    }
    out.push_back(static_cast<char>(kBytes[step.code_point]));
    text.remove_prefix(step.bytes);
  }
  return true;
}

std::optional<std::string> decode_byte_alphabet(std::string_view text) {
  std::string bytes;
  if (!append_decoded_byte_alphabet(text, bytes)) return std::nullopt;
  return bytes;
}

std::string encode_byte_alphabet(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) append_utf8(text, kCharacters[static_cast<uint8_t>(byte)]);
  return text;
}

}  // namespace exo::text
