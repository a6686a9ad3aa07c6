#include "text/unigram.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "text/spm.h"
#include "text/utf8.h"

namespace exo::text {
namespace {

constexpr int32_t kUnreached = -1, kUncovered = -2;
// How much worse a character without a token is than the worst token.
constexpr double kUnknownPenalty = 10;
constexpr size_t kMaxChunk = size_t{1} << 28;

}  // namespace

UnigramEncoder::UnigramEncoder(const Vocabulary& vocabulary, UnigramOptions options, std::span<const double> scores)
    : vocabulary_(&vocabulary), options_(options), words_are_independent_(words_are_independent(vocabulary)) {
  std::vector<std::pair<std::string_view, int32_t>> entries;
  double lowest = std::numeric_limits<double>::max();
  scores_.reserve(static_cast<size_t>(vocabulary.size()));
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const auto index = static_cast<size_t>(id);
    scores_.push_back(index < scores.size() ? scores[index] : vocabulary.score(id));
    const std::string_view key = vocabulary.key(id);
    if (key.empty() || vocabulary.find_ordinary(key) != id) continue;
    entries.emplace_back(key, id);
    lowest = std::min(lowest, scores_.back());
  }
  unknown_score_ = (entries.empty() ? 0 : lowest) - kUnknownPenalty;
  trie_ = ByteTrie(std::move(entries));
}

size_t UnigramEncoder::character_bytes(std::string_view text, size_t at) const {
  return options_.byte_level ? 1 : std::min(utf8_length(text[at]), text.size() - at);
}

// nodes[i] ends at byte i of the text.
void UnigramEncoder::find_best(std::string_view text, std::vector<Node>& nodes) const {
  nodes.assign(text.size() + 1, {0, kUnreached, 0});
  for (size_t at = 0; at < text.size();) {
    const double score = nodes[at].score;
    const size_t character = character_bytes(text, at);
    bool covered = false;  // by a token of just this character
    const auto offer = [&](int32_t token, size_t bytes, double token_score) {
      Node& end = nodes[at + bytes];
      if (end.token == kUnreached || score + token_score > end.score)
        end = {score + token_score, token, static_cast<uint32_t>(bytes)};
    };
    trie_.prefixes(text.substr(at), [&](int32_t token, size_t bytes) {
      offer(token, bytes, scores_[static_cast<size_t>(token)]);
      covered = covered || bytes == character;
    });
    if (!covered) offer(kUncovered, character, unknown_score_);
    at += character;
  }
}

void UnigramEncoder::emit(std::string_view text, const std::vector<Node>& nodes, std::string_view& unknown,
                          std::vector<TokenId>& out) const {
  std::vector<size_t> ends;
  for (size_t end = text.size(); end > 0; end -= nodes[end].bytes) ends.push_back(end);
  std::reverse(ends.begin(), ends.end());
  const auto& unknown_token = vocabulary_->special.unknown;
  for (const size_t end : ends) {
    const Node& node = nodes[end];
    if (node.token >= 0 && !(unknown_token && node.token == unknown_token->value)) {
      emit_unknown(unknown, out);
      out.push_back(TokenId(node.token));
      continue;
    }
    const std::string_view here = text.substr(end - node.bytes, node.bytes);
    unknown = unknown.empty() ? here : std::string_view(unknown.data(), unknown.size() + here.size());
  }
}

void UnigramEncoder::emit_unknown(std::string_view& unknown, std::vector<TokenId>& out) const {
  const std::string_view text = std::exchange(unknown, {});
  if (text.empty()) return;
  bool all_bytes = options_.byte_fallback;
  for (const char c : text) all_bytes = all_bytes && vocabulary_->byte_token(static_cast<uint8_t>(c)) >= 0;
  if (const int32_t id = vocabulary_->find_ordinary(text); id >= 0)
    out.push_back(TokenId(id));
  else if (all_bytes)
    for (const char c : text) out.push_back(TokenId(vocabulary_->byte_token(static_cast<uint8_t>(c))));
  else if (vocabulary_->special.unknown)
    out.push_back(*vocabulary_->special.unknown);
}

void UnigramEncoder::encode(std::string_view text, std::vector<TokenId>& out) const {
  std::vector<Node> nodes;
  std::string_view unknown;  // neighbouring characters without a token are one unknown token
  while (!text.empty()) {
    size_t bytes = words_are_independent_ ? first_word_bytes(text) : text.size();
    if (bytes > kMaxChunk) {
      bytes = kMaxChunk;
      while (bytes > 1 && (static_cast<uint8_t>(text[bytes]) & 0xC0) == 0x80) --bytes;
    }
    find_best(text.substr(0, bytes), nodes);
    emit(text.substr(0, bytes), nodes, unknown, out);
    text.remove_prefix(bytes);
  }
  emit_unknown(unknown, out);
}

}  // namespace exo::text
