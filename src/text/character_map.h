#pragma once
// SentencePiece's "precompiled_charsmap": a double-array trie of character sequences and what each is replaced by.
// Format: https://github.com/google/sentencepiece/blob/master/src/normalizer.cc; the trie is Darts-clone's
// (https://github.com/s-yata/darts-clone).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace exo::text {

class CharacterMap {
 public:
  // Copies what it needs of `blob`. kCorrupt when the lengths do not fit or a replacement is no UTF-8.
  static Result<CharacterMap> parse(std::string_view blob);

  struct Match {
    size_t bytes;  // of the text
    std::string_view replacement;
  };
  // Of the sequences that `text` starts with.
  std::optional<Match> longest(std::string_view text) const { return find(text, true); }
  std::optional<Match> shortest(std::string_view text) const { return find(text, false); }

  // The whole of `text`, from the left, the longest sequence at each place.
  std::string apply(std::string_view text) const;

 private:
  std::optional<Match> find(std::string_view text, bool longest) const;

  std::vector<uint32_t> units_;
  std::string replacements_;  // each ends with a NUL
};

}  // namespace exo::text
