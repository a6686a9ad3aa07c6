#pragma once
// SentencePiece's BPE (Kudo & Richardson 2018): of all neighbouring pieces whose concatenation is a token the one
// with the highest score merges first, the leftmost of equals. What ends as no token becomes its bytes' tokens.

#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace exo::text {

// No ordinary token has a ▁ behind another character, so that no token crosses the beginning of a word.
bool words_are_independent(const Vocabulary& vocabulary);
// Up to the first ▁ that follows another character.
size_t first_word_bytes(std::string_view text);

class SentencePieceEncoder {
 public:
  // `vocabulary` must outlive the encoder.
  explicit SentencePieceEncoder(const Vocabulary& vocabulary);
  // Appends the tokens of `text`, in which spaces are already written as ▁. O(n log n) for tokens of bounded
  // length.
  void encode(std::string_view text, std::vector<TokenId>& out) const;

 private:
  const Vocabulary* vocabulary_;
  bool words_are_independent_;  // then they can be encoded one by one, with the same result
};

}  // namespace exo::text
