#include "text/text_normalizer.h"

#include <algorithm>

#include "text/byte_alphabet.h"
#include "text/unicode_normalization.h"
#include "text/utf8.h"

namespace exo::text {
namespace {

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  while (true) {
    const size_t at = from.empty() ? std::string_view::npos : text.find(from);
    if (at == std::string_view::npos) return out.append(text);
    out.append(text.substr(0, at)).append(to);
    text.remove_prefix(at + from.size());
  }
}

std::string replace_all(std::string_view text, const SplitRegex& from, std::string_view to) {
  std::vector<SplitRegex::Match> matches;
  from.find_all(text, matches);
  std::string out;
  size_t at = 0;
  for (const auto& match : matches) {
    out.append(text.substr(at, match.begin - at)).append(to);
    at = match.end;
  }
  return out.append(text.substr(at));
}

std::string surround(std::string_view text, const SplitRegex& what, std::string_view around) {
  std::vector<SplitRegex::Match> matches;
  what.find_all(text, matches);
  std::string out;
  size_t at = 0;
  for (const auto& match : matches) {
    out.append(text.substr(at, match.begin - at)).append(around);
    out.append(text.substr(match.begin, match.end - match.begin)).append(around);
    at = match.end;
  }
  return out.append(text.substr(at));
}

std::string strip(std::string_view text, bool left, bool right) {
  while (left && !text.empty()) {
    const Utf8Step step = decode_utf8(text);
    if (!is_white_space(step.code_point)) break;
    text.remove_prefix(step.bytes);
  }
  while (right && !text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
    if (!is_white_space(decode_utf8(text.substr(begin)).code_point)) break;
    text = text.substr(0, begin);
  }
  return std::string(text);
}

std::string base_characters(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    append_utf8(out, base_of(step.code_point));
    text.remove_prefix(step.bytes);
  }
  return out;
}

// A cluster of up to five bytes is replaced as a whole when a sequence of the map begins it; else character by
// character.
std::string map_clusters(std::string_view text, const CharacterMap& map, const SplitRegex& clusters) {
  constexpr size_t kWholeClusterBytes = 6;
  std::vector<SplitRegex::Match> matches;
  clusters.find_all(text, matches);
  std::string out;
  out.reserve(text.size());
  size_t done = 0;
  for (const auto& [begin, end] : matches) {
    done = end;
    std::string_view cluster = text.substr(begin, end - begin);
    if (cluster.size() < kWholeClusterBytes)
      if (const auto match = map.shortest(cluster)) {
        out += match->replacement;
        continue;
      }
    while (!cluster.empty()) {
      const std::string_view character = cluster.substr(0, std::min(utf8_length(cluster[0]), cluster.size()));
      const auto match = map.shortest(character);
      out += match ? match->replacement : character;
      cluster.remove_prefix(character.size());
    }
  }
  return out.append(text.substr(done));
}

std::string remove_extra_spaces(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text)
    if (c != ' ' || (!out.empty() && out.back() != ' ')) out += c;
  // A ▁ is a space by another name there.
  while (out.ends_with(' ') || out.ends_with("▁")) out.resize(out.size() - (out.back() == ' ' ? 1 : 3));
  return out;
}

}  // namespace

std::string TextNormalizer::apply(const Step& step, std::string text, bool at_start) {
  switch (step.kind) {
    case Kind::kNfc:
      return is_surely_nfc(text) ? text : to_nfc(text);
    case Kind::kNfd:
      return to_nfd(text);
    case Kind::kNfkc:
      return to_nfkc(text);
    case Kind::kNfkd:
      return to_nfkd(text);
    case Kind::kLowercase:
      return to_lower(text);
    case Kind::kBase:
      return base_characters(text);
    case Kind::kByteAlphabet:
      return encode_byte_alphabet(text);
    case Kind::kPrepend:
      return text.empty() ? text : step.to + text;
    case Kind::kPrefix:
      if (text.empty() || (step.only_at_start && !at_start) || text.starts_with(step.to)) return text;
      return step.to + text;
    case Kind::kReplace:
      return replace_all(text, step.from, step.to);
    case Kind::kReplaceRegex:
      return replace_all(text, step.regex, step.to);
    case Kind::kSurround:
      return surround(text, step.regex, step.to);
    case Kind::kStrip:
      return strip(text, step.left, step.right);
    case Kind::kCharacterMap:
      return step.map->apply(text);
    case Kind::kCharacterMapByCluster:
      return map_clusters(text, *step.map, step.regex);
    case Kind::kRemoveExtraSpaces:
      return remove_extra_spaces(text);
  }
  return text;
}

std::string TextNormalizer::apply(std::string_view original, bool at_start) const {
  std::string text(original);
  for (const Step& step : steps_) text = apply(step, std::move(text), at_start);
  return text;
}

}  // namespace exo::text
