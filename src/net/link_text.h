#pragma once
// What surrounds the frames of a link: the count before each, and the text messages of a link and of a connection
// that may become one, a word and a number. docs/wire-handshake.md lists them.

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/format.h"

namespace exo::net {

inline constexpr std::string_view kAcknowledge = "ack";  // so many frames came
inline constexpr std::string_view kEcho = "echo";        // send this back
inline constexpr std::string_view kMove = "move";        // the link runs here from now on; so many frames came
inline constexpr std::string_view kRefuse = "no";        // to a move

// Before the frame in a binary message: how many frames the sender has received, little-endian.
using CountBytes = std::array<std::byte, 8>;

inline CountBytes count_bytes(uint64_t count) {
  CountBytes bytes;
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(count >> (8 * i));
  return bytes;
}
inline uint64_t read_count(std::span<const std::byte, 8> bytes) {
  uint64_t count = 0;
  for (size_t i = 0; i < bytes.size(); ++i) count |= uint64_t(bytes[i]) << (8 * i);
  return count;
}

inline std::string count_text(std::string_view word, uint64_t count) { return fmt::format("{} {}", word, count); }

// The number after the word; nullopt for any other text.
inline std::optional<uint64_t> read_count(std::string_view text, std::string_view word) {
  if (!text.starts_with(word) || text.size() <= word.size() + 1 || text[word.size()] != ' ') return std::nullopt;
  text.remove_prefix(word.size() + 1);
  uint64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return count;
}

}  // namespace exo::net
