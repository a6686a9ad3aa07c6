#pragma once
// Unicode's canonical normalization forms (UAX #15).

#include <string>
#include <string_view>

namespace exo::text {

// `text` must be valid UTF-8. to_nfc returns quickly where every character is below U+0300.
std::string to_nfc(std::string_view text);
std::string to_nfd(std::string_view text);
// Whether to_nfc would give the same text, by the quick test above only: false means "maybe not".
bool is_surely_nfc(std::string_view text);

}  // namespace exo::text
