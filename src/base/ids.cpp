#include "base/ids.h"

namespace exo {

std::string NodeId::hex() const {
  std::string text;
  for (uint8_t byte : bytes) fmt::format_to(std::back_inserter(text), "{:02x}", byte);
  return text;
}

std::optional<NodeId> NodeId::from_hex(std::string_view hex) {
  NodeId id;
  if (hex.size() != 2 * id.bytes.size()) return std::nullopt;
  auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  for (size_t i = 0; i < id.bytes.size(); ++i) {
    const int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    id.bytes[i] = static_cast<uint8_t>(high * 16 + low);
  }
  return id;
}

std::string RequestId::hex() const { return fmt::format("{:016x}{:016x}", high, low); }

}  // namespace exo
