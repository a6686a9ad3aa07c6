#include "text/wordpiece.h"

#include "text/utf8.h"

namespace exo::text {

WordPieceEncoder::WordPieceEncoder(const Vocabulary& vocabulary, WordPieceOptions options)
    : vocabulary_(&vocabulary), options_(std::move(options)) {
  std::vector<std::pair<std::string_view, int32_t>> first, rest;
  const std::string_view prefix = options_.continuing_prefix;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const std::string_view key = vocabulary.key(id);
    if (key.empty() || vocabulary.find_ordinary(key) != id) continue;
    first.emplace_back(key, id);
    if (key.starts_with(prefix)) rest.emplace_back(key.substr(prefix.size()), id);
  }
  first_ = ByteTrie(std::move(first));
  if (options_.word_prefix.empty()) rest_ = ByteTrie(std::move(rest));
}

bool WordPieceEncoder::is_too_long(std::string_view word) const {
  if (options_.max_characters == 0 || word.size() <= options_.max_characters) return false;
  if (options_.byte_level) return true;
  size_t characters = 0;
  for (const char c : word) characters += (static_cast<uint8_t>(c) & 0xC0) != 0x80;
  return characters > options_.max_characters;
}

void WordPieceEncoder::encode(std::string_view word, std::vector<TokenId>& out) const {
  if (word.empty()) return;
  std::string prefixed;
  if (!options_.word_prefix.empty()) {
    prefixed = options_.word_prefix;
    prefixed += word;
    word = prefixed;
  }
  const size_t before = out.size();
  bool covered = !is_too_long(word);
  for (size_t at = 0; covered && at < word.size();) {
    const ByteTrie& trie = at == 0 || !options_.word_prefix.empty() ? first_ : rest_;
    const auto match = trie.longest_prefix(word.substr(at));
    covered = match.has_value();
    if (!covered) break;
    out.push_back(TokenId(match->value));
    at += match->bytes;
  }
  if (covered) return;
  out.resize(before);
  if (vocabulary_->special.unknown) out.push_back(*vocabulary_->special.unknown);
}

void WordLevelEncoder::encode(std::string_view word, std::vector<TokenId>& out) const {
  if (const int32_t id = vocabulary_->find_ordinary(word); id >= 0)
    out.push_back(TokenId(id));
  else if (vocabulary_->special.unknown)
    out.push_back(*vocabulary_->special.unknown);
}

}  // namespace exo::text
