#pragma once
// Unicode's normalization forms (UAX #15) and lower case.

#include <cstdint>
#include <string>
#include <string_view>

namespace exo::text {

// `text` must be valid UTF-8. to_nfc returns quickly where every character is below U+0300.
std::string to_nfc(std::string_view text);
std::string to_nfd(std::string_view text);
std::string to_nfkc(std::string_view text);
std::string to_nfkd(std::string_view text);
// Whether to_nfc would give the same text, by the quick test above only: false means "maybe not".
bool is_surely_nfc(std::string_view text);
// The first code point of the canonical decomposition.
uint32_t base_of(uint32_t code);
// One code point's simple lower case: itself when there is none.
uint32_t to_lower(uint32_t code);
// Every character by itself, without regard to its neighbours; İ becomes i and a combining dot.
std::string to_lower(std::string_view text);

}  // namespace exo::text
