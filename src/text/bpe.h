#pragma once
// Byte-pair encoding of one word by merge ranks (Sennrich et al. 2016): of all neighbouring pairs the one with the
// lowest rank merges first, the leftmost of equals, until no pair merges. O(n log n) in the word's length.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/flat_index.h"
#include "text/vocabulary.h"

namespace exo::text {

struct BpeOptions {
  bool byte_level = true;      // words start as bytes; else as UTF-8 characters
  bool ignore_merges = false;  // a word that is a token as a whole is not merged from its parts
  bool fuse_unknown = false;   // neighbouring unknown characters of a word become one unknown token
  bool byte_fallback = true;   // characters without a token become <0xNN> where the vocabulary has these
  // Written before every symbol of a word but the first, and behind the last; merges leave inner prefixes out.
  std::string continuing_prefix, word_suffix;
};

class BpeMerger {
 public:
  // `merges` in order of rank, as (left, right) in the form of the vocabulary's stored text. `vocabulary` must
  // outlive the merger. Merges whose result is not a token still take part; such a result is written in its parts.
  static Result<BpeMerger> from_merges(const Vocabulary& vocabulary,
                                       const std::vector<std::pair<std::string_view, std::string_view>>& merges,
                                       bool byte_alphabet, BpeOptions options);
  // For vocabularies that come without merges (tiktoken): two symbols merge when together they are a token, the
  // token with the lowest id first.
  static BpeMerger from_ranks(const Vocabulary& vocabulary, BpeOptions options);

  // Appends the word's tokens. Characters without a token become byte tokens, else the unknown token, else nothing.
  // Scratch space is kept between words by the caller.
  struct Scratch {
    struct Symbol {
      int32_t id, next, previous;
      PairTable::Merge merge;  // of this symbol and the next
    };
    struct Candidate {
      int32_t rank, left, left_id, right_id;
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };
  void encode(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const;

 private:
  BpeMerger(const Vocabulary& vocabulary, BpeOptions options);
  PairTable::Merge merge_of(int32_t left, int32_t right) const;
  std::string_view bytes_of(int32_t symbol) const;
  int32_t symbol_of(std::string_view bytes) const;
  int32_t make_symbol(std::string_view bytes);
  int32_t initial_symbol(std::string_view character, bool first, bool last) const;
  void split_into_symbols(std::string_view word, Scratch& scratch) const;
  void merge_short(Scratch& scratch) const;
  void merge_long(Scratch& scratch) const;
  void emit(int32_t symbol, std::vector<TokenId>& out) const;
  void emit_parts(std::string_view bytes, std::vector<TokenId>& out) const;
  void emit_without_token(std::string_view character, std::vector<TokenId>& out) const;

  const Vocabulary* vocabulary_;
  BpeOptions options_;
  bool by_rank_of_result_ = false;
  PairTable pairs_;
  std::array<int32_t, 256> byte_symbols_{};
  // Symbols from vocabulary size on: merge results that are no tokens, and single bytes or characters that are
  // none.
  std::vector<std::string> extra_symbols_;
  StringIndex extra_index_;
  size_t extra_capacity_ = 0;
};

}  // namespace exo::text
