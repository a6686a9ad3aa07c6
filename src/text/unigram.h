#pragma once
// The unigram language model (Kudo 2018): of all ways to write a text in tokens the one with the highest sum of
// scores, by Viterbi's algorithm.

#include <span>
#include <string_view>
#include <vector>

#include "text/byte_trie.h"
#include "text/vocabulary.h"

namespace exo::text {

struct UnigramOptions {
  bool byte_level = false;     // a character is one byte of the text
  bool byte_fallback = false;  // what no token covers becomes its bytes' tokens, where there are all of them
};

class UnigramEncoder {
 public:
  // `vocabulary` must outlive the encoder; its unknown token stands for characters that no token covers. `scores`
  // of the first ids are used where they are given, those of the vocabulary (which are rounded to floats) else.
  UnigramEncoder(const Vocabulary& vocabulary, UnigramOptions options, std::span<const double> scores = {});
  // Appends the tokens of `text`, in which spaces are already written as the vocabulary has them.
  // Linear in the text for tokens of bounded length; the memory is 16 bytes for each of the text's.
  void encode(std::string_view text, std::vector<TokenId>& out) const;

 private:
  struct Node {
    double score;    // of the best way from the start to here
    int32_t token;   // its last token, kUncovered for a character without one, kUnreached
    uint32_t bytes;  // of that token
  };
  void find_best(std::string_view text, std::vector<Node>& nodes) const;
  // `unknown` is the text before this one that no token covers yet; it becomes that of this one's end.
  void emit(std::string_view text, const std::vector<Node>& nodes, std::string_view& unknown,
            std::vector<TokenId>& out) const;
  void emit_unknown(std::string_view& unknown, std::vector<TokenId>& out) const;
  size_t character_bytes(std::string_view text, size_t at) const;

  const Vocabulary* vocabulary_;
  UnigramOptions options_;
  ByteTrie trie_;
  std::vector<double> scores_;  // by id
  double unknown_score_ = 0;
  bool words_are_independent_ = false;
};

}  // namespace exo::text
