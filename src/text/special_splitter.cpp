#include "text/special_splitter.h"

namespace exo::text {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<uint8_t>(c) >= 0x80;
}

}  // namespace

SpecialSplitter::SpecialSplitter(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::vector<std::pair<std::string_view, int32_t>> all, always;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    all.emplace_back(tokens_[i].text, static_cast<int32_t>(i));
    if (!tokens_[i].only_if_parsed) always.emplace_back(tokens_[i].text, static_cast<int32_t>(i));
  }
  all_ = ByteTrie(std::move(all));
  always_ = ByteTrie(std::move(always));
}

void SpecialSplitter::split(std::string_view text, bool parse_special, std::vector<Fragment>& fragments) const {
  fragments.clear();
  const ByteTrie& trie = parse_special ? all_ : always_;
  if (!trie.empty())
    split_with(trie, text, fragments);
  else if (!text.empty())
    fragments.push_back({text, -1});
}

void SpecialSplitter::split_with(const ByteTrie& trie, std::string_view text,
                                 std::vector<Fragment>& fragments) const {
  size_t begin = 0;  // of the ordinary text not yet given out
  for (size_t i = 0; i < text.size();) {
    if (!trie.can_start(text[i])) {
      ++i;
      continue;
    }
    const auto match = trie.longest_prefix(text.substr(i));
    if (!match) {
      ++i;
      continue;
    }
    const AddedToken& token = tokens_[match->value];
    const size_t behind = i + match->bytes;
    if (token.single_word && ((i > 0 && is_word(text[i - 1])) || (behind < text.size() && is_word(text[behind])))) {
      ++i;
      continue;
    }
    size_t end = i;
    while (token.strip_left && end > begin && is_space(text[end - 1])) --end;
    if (end > begin) fragments.push_back({text.substr(begin, end - begin), -1});
    fragments.push_back({{}, token.id.value});
    begin = behind;
    while (token.strip_right && begin < text.size() && is_space(text[begin])) ++begin;
    i = begin;
  }
  if (begin < text.size()) fragments.push_back({text.substr(begin), -1});
}

}  // namespace exo::text
