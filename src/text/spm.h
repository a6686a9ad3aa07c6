#pragma once
// SentencePiece's BPE (Kudo & Richardson 2018): of all neighbouring pieces whose concatenation is a token the one
// with the highest score merges first, the leftmost of equals. What ends as no token becomes its bytes' tokens.

#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace exo::text {

// Appends the tokens of `text`, in which spaces are already written as ▁. O(n log n) for a bounded token length.
void encode_sentencepiece(const Vocabulary& vocabulary, std::string_view text, std::vector<TokenId>& out);

}  // namespace exo::text
