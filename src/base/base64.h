#pragma once
// Base64 with the standard alphabet and padding (RFC 4648, section 4).

#include <optional>
#include <string>
#include <string_view>

namespace exo {

std::string encode_base64(std::string_view bytes);
// nullopt when `text` has another character, or bits that no encoder leaves. Padding may be missing.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace exo
