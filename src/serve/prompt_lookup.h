#pragma once
// Guesses what follows from what was said before: the last few tokens are looked up in the sequence itself, and
// what followed them then is proposed again (prompt lookup decoding, Saxena 2023). Finds quotations, code, lists,
// tables.

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/ids.h"

namespace exo::serve {

// The index of one sequence. `tokens` is always the same sequence, growing at its end.
class PromptLookup {
 public:
  // Up to `count` tokens that may follow `tokens`; empty when its end occurs nowhere before. The latest place
  // counts; a continuation that reaches the end of the sequence goes on with itself.
  std::vector<TokenId> guess(std::span<const TokenId> tokens, int32_t count);

 private:
  static constexpr size_t kLongest = 3, kShortest = 2;  // tokens that have to match; longer first

  static uint64_t key(std::span<const TokenId> tokens, size_t end, size_t length);
  void index(std::span<const TokenId> tokens);
  size_t find(std::span<const TokenId> tokens, size_t length) const;

  // Hash of the `length` tokens before a place → the latest such place. Equal hashes are told apart by comparing.
  std::unordered_map<uint64_t, uint32_t> places_;
  size_t indexed_ = 0;  // places up to here, exclusive, are known
};

}  // namespace exo::serve
