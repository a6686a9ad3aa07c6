#include "serve/prompt_lookup.h"

#include <algorithm>

namespace exo::serve {

// Of the `length` tokens before place `end`.
uint64_t PromptLookup::key(std::span<const TokenId> tokens, size_t end, size_t length) {
  uint64_t hash = length;
  for (const TokenId token : tokens.subspan(end - length, length)) {
    hash = (hash ^ static_cast<uint32_t>(token.value)) * 0x9E3779B97F4A7C15ull;
    hash ^= hash >> 29;
  }
  return hash;
}

void PromptLookup::index(std::span<const TokenId> tokens) {
  // The place at the very end is what is asked for: it becomes known when something follows it.
  for (size_t end = std::max(indexed_, kShortest); end < tokens.size(); ++end) {
    for (size_t length = kShortest; length <= std::min(kLongest, end); ++length) {
      places_[key(tokens, end, length)] = static_cast<uint32_t>(end);
    }
  }
  indexed_ = std::max(indexed_, tokens.size());
}

// 0: nowhere.
size_t PromptLookup::find(std::span<const TokenId> tokens, size_t length) const {
  if (tokens.size() <= length) return 0;
  const auto found = places_.find(key(tokens, tokens.size(), length));
  if (found == places_.end()) return 0;
  return std::ranges::equal(tokens.last(length), tokens.subspan(found->second - length, length)) ? found->second
                                                                                                 : 0;
}

std::vector<TokenId> PromptLookup::guess(std::span<const TokenId> tokens, int32_t count) {
  index(tokens);
  size_t place = 0;
  for (size_t length = kLongest; length >= kShortest && place == 0; --length) place = find(tokens, length);
  std::vector<TokenId> guessed;
  if (place == 0) return guessed;
  for (auto i = place; guessed.size() < static_cast<size_t>(std::max(count, 0)); ++i) {
    guessed.push_back(i < tokens.size() ? tokens[i] : guessed[i - tokens.size()]);
  }
  return guessed;
}

}  // namespace exo::serve
