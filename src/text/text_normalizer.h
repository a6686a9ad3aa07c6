#pragma once
// What happens to a piece of text before it is cut into words: a list of steps.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/character_map.h"
#include "text/split_regex.h"

namespace exo::text {

class TextNormalizer {
 public:
  void add_nfc() { steps_.push_back({.kind = Kind::kNfc}); }
  void add_nfd() { steps_.push_back({.kind = Kind::kNfd}); }
  void add_nfkc() { steps_.push_back({.kind = Kind::kNfkc}); }
  void add_nfkd() { steps_.push_back({.kind = Kind::kNfkd}); }
  void add_lowercase() { steps_.push_back({.kind = Kind::kLowercase}); }
  // Every character becomes the first of its canonical decomposition.
  void add_base_characters() { steps_.push_back({.kind = Kind::kBase}); }
  void add_byte_alphabet() { steps_.push_back({.kind = Kind::kByteAlphabet}); }
  void add_prepend(std::string text) { steps_.push_back({.kind = Kind::kPrepend, .to = std::move(text)}); }
  // Prepends unless the text begins with it; `only_at_start` for the first piece of the whole text only.
  void add_prefix(std::string text, bool only_at_start) {
    steps_.push_back({.kind = Kind::kPrefix, .to = std::move(text), .only_at_start = only_at_start});
  }
  void add_replace(std::string from, std::string to) {
    steps_.push_back({.kind = Kind::kReplace, .from = std::move(from), .to = std::move(to)});
  }
  void add_replace(SplitRegex from, std::string to) {
    steps_.push_back({.kind = Kind::kReplaceRegex, .to = std::move(to), .regex = std::move(from)});
  }
  // Puts `around` before and behind every match.
  void add_surround(SplitRegex what, std::string around) {
    steps_.push_back({.kind = Kind::kSurround, .to = std::move(around), .regex = std::move(what)});
  }
  void add_strip(bool left, bool right) { steps_.push_back({.kind = Kind::kStrip, .left = left, .right = right}); }
  // As SentencePiece applies it, or as Hugging Face's tokenizers do: by grapheme clusters, for which `clusters`
  // is \X.
  void add_character_map(CharacterMap map) {
    steps_.push_back({.kind = Kind::kCharacterMap, .map = std::make_unique<CharacterMap>(std::move(map))});
  }
  void add_character_map_by_cluster(CharacterMap map, SplitRegex clusters) {
    steps_.push_back({.kind = Kind::kCharacterMapByCluster,
                      .regex = std::move(clusters),
                      .map = std::make_unique<CharacterMap>(std::move(map))});
  }
  // Spaces (U+0020) at both ends go, and of several together all but one.
  void add_remove_extra_spaces() { steps_.push_back({.kind = Kind::kRemoveExtraSpaces}); }

  bool empty() const { return steps_.empty(); }
  // `text` must be valid UTF-8; what comes back is too.
  std::string apply(std::string_view text, bool at_start) const;

 private:
  enum class Kind {
    kNfc,
    kNfd,
    kNfkc,
    kNfkd,
    kLowercase,
    kBase,
    kByteAlphabet,
    kPrepend,
    kPrefix,
    kReplace,
    kReplaceRegex,
    kSurround,
    kStrip,
    kCharacterMap,
    kCharacterMapByCluster,
    kRemoveExtraSpaces,
  };
  struct Step {
    Kind kind;
    std::string from, to;
    SplitRegex regex;
    std::unique_ptr<CharacterMap> map;
    bool only_at_start = false, left = false, right = false;
  };
  static std::string apply(const Step& step, std::string text, bool at_start);
  std::vector<Step> steps_;
};

}  // namespace exo::text
