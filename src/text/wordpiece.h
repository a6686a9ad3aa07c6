#pragma once
// WordPiece (Schuster & Nakajima 2012, as BERT uses it): from the left of each word always the longest token that
// fits; a word that cannot be covered becomes the unknown token as a whole.

#include <string>
#include <string_view>
#include <vector>

#include "text/byte_trie.h"
#include "text/vocabulary.h"

namespace exo::text {

struct WordPieceOptions {
  // GGUF stores tokens that begin a word as "▁word" and others bare; BERT's own files mark the others with "##".
  std::string word_prefix;
  std::string continuing_prefix;
  bool byte_level = false;    // a character is one byte of the word
  size_t max_characters = 0;  // a longer word is unknown; 0: no limit
};

class WordPieceEncoder {
 public:
  // `vocabulary` must outlive the encoder.
  WordPieceEncoder(const Vocabulary& vocabulary, WordPieceOptions options);
  // Appends the tokens of one word.
  void encode(std::string_view word, std::vector<TokenId>& out) const;

 private:
  bool is_too_long(std::string_view word) const;

  const Vocabulary* vocabulary_;
  WordPieceOptions options_;
  ByteTrie first_, rest_;  // with a word prefix only first_ is in use
};

// A whole word is one token, or unknown.
class WordLevelEncoder {
 public:
  explicit WordLevelEncoder(const Vocabulary& vocabulary) : vocabulary_(&vocabulary) {}
  void encode(std::string_view word, std::vector<TokenId>& out) const;

 private:
  const Vocabulary* vocabulary_;
};

}  // namespace exo::text
