#include "base/printable.h"

#include <cstdint>

namespace exo {
namespace {

// Length of the UTF-8 sequence that starts here, 0 when it is malformed or cut (Unicode, table 3-7).
size_t utf8_length(std::string_view text) {
  const auto at = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = at(0);
  const size_t n = lead < 0x80 ? 1 : lead >= 0xC2 && lead < 0xE0 ? 2 : (lead >> 4) == 14 ? 3 : lead < 0xF5 ? 4 : 0;
  if (n == 0 || (lead >= 0x80 && lead < 0xC2) || n > text.size()) return 0;
  for (size_t i = 1; i < n; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xE0 && at(1) < 0xA0) || (lead == 0xF0 && at(1) < 0x90);
  const bool outside = (lead == 0xED && at(1) >= 0xA0) || (lead == 0xF4 && at(1) >= 0x90);
  return overlong || outside ? 0 : n;
}

}  // namespace

std::string printable(std::string_view text, size_t max_bytes) {
  std::string result;
  while (!text.empty()) {
    const size_t n = utf8_length(text);
    const auto lead = static_cast<uint8_t>(text[0]);
    const bool is_c1 = lead == 0xC2 && n == 2 && static_cast<uint8_t>(text[1]) < 0xA0;
    const bool control = lead < 0x20 || lead == 0x7F || is_c1;
    const std::string_view piece = n == 0 || control ? std::string_view("?") : text.substr(0, n);
    if (result.size() + piece.size() > max_bytes) break;
    result += piece;
    text.remove_prefix(n == 0 ? 1 : n);
  }
  return result;
}

}  // namespace exo
