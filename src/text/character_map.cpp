#include "text/character_map.h"

#include <algorithm>
#include <cstring>

#include "text/utf8.h"

namespace exo::text {
namespace {

// One unit of the double array.
bool has_leaf(uint32_t unit) { return (unit >> 8) & 1; }
uint32_t value_of(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t label_of(uint32_t unit) { return unit & 0x800000FF; }
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

}  // namespace

Result<CharacterMap> CharacterMap::parse(std::string_view blob) {
  uint32_t trie_bytes = 0;
  if (blob.size() < sizeof trie_bytes) return fail(ErrorCode::kCorrupt, "the character map is cut short");
  std::memcpy(&trie_bytes, blob.data(), sizeof trie_bytes);
  blob.remove_prefix(sizeof trie_bytes);
  if (trie_bytes > blob.size() || trie_bytes % 4 != 0 || trie_bytes == 0)
    return fail(ErrorCode::kCorrupt, "the character map says {} bytes of trie, but has {}", trie_bytes,
                blob.size());
  CharacterMap map;
  map.units_.resize(trie_bytes / 4);
  std::memcpy(map.units_.data(), blob.data(), trie_bytes);
  map.replacements_ = blob.substr(trie_bytes);
  if (!map.replacements_.empty() && map.replacements_.back() != '\0') map.replacements_ += '\0';
  if (!is_valid_utf8(map.replacements_))
    return fail(ErrorCode::kCorrupt, "the character map's replacements are no UTF-8");
  return map;
}

std::optional<CharacterMap::Match> CharacterMap::find(std::string_view text, bool longest) const {
  std::optional<Match> found;
  uint32_t node = offset_of(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    node ^= byte;
    if (byte == 0 || node >= units_.size()) break;
    const uint32_t unit = units_[node];
    if (label_of(unit) != byte) break;
    node ^= offset_of(unit);
    if (node >= units_.size()) break;
    if (!has_leaf(unit)) continue;
    // An end inside a character or a replacement that begins inside one is no match.
    const uint32_t at = value_of(units_[node]);
    const bool whole = i + 1 == text.size() || (static_cast<uint8_t>(text[i + 1]) & 0xC0) != 0x80;
    if (at >= replacements_.size() || !whole || (static_cast<uint8_t>(replacements_[at]) & 0xC0) == 0x80) continue;
    found = {i + 1, std::string_view(replacements_.data() + at)};
    if (!longest) break;
  }
  return found;
}

std::string CharacterMap::apply(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    if (const auto match = longest(text)) {
      out += match->replacement;
      text.remove_prefix(match->bytes);
      continue;
    }
    const size_t bytes = std::min(utf8_length(text[0]), text.size());
    out += text.substr(0, bytes);
    text.remove_prefix(bytes);
  }
  return out;
}

}  // namespace exo::text
