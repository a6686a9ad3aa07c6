#include "text/special_splitter.h"

#include <algorithm>

#include "text/utf8.h"

namespace exo::text {
namespace {

// The character that `text` ends with.
std::string_view last_character(std::string_view text) {
  size_t begin = text.size() - 1;
  while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
  return text.substr(begin);
}

bool is_space(std::string_view character) { return is_white_space(decode_utf8(character).code_point); }

}  // namespace

SpecialSplitter::SpecialSplitter(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::vector<std::pair<std::string_view, int32_t>> all, always;
  const auto single_word = [](const AddedToken& token) { return token.single_word; };
  if (std::any_of(tokens_.begin(), tokens_.end(), single_word))
    if (auto regex = SplitRegex::compile("\\w")) word_.emplace(std::move(*regex));
  for (size_t i = 0; i < tokens_.size(); ++i) {
    all.emplace_back(tokens_[i].text, static_cast<int32_t>(i));
    if (!tokens_[i].only_if_parsed) always.emplace_back(tokens_[i].text, static_cast<int32_t>(i));
  }
  all_ = ByteTrie(std::move(all));
  always_ = ByteTrie(std::move(always));
}

bool SpecialSplitter::is_word(std::string_view character) const {
  std::vector<SplitRegex::Match> matches;
  if (word_) word_->find_all(character, matches);
  return !matches.empty();
}

bool SpecialSplitter::is_inside_word(std::string_view text, size_t begin, size_t end) const {
  if (begin > 0 && is_word(last_character(text.substr(0, begin)))) return true;
  return end < text.size() && is_word(text.substr(end, utf8_length(text[end])));
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
    if (token.single_word && is_inside_word(text, i, behind)) {
      i = behind;
      continue;
    }
    size_t end = i;
    while (token.strip_left && end > begin && is_space(last_character(text.substr(begin, end - begin))))
      end -= last_character(text.substr(begin, end - begin)).size();
    if (end > begin) fragments.push_back({text.substr(begin, end - begin), -1});
    fragments.push_back({{}, token.id.value});
    begin = behind;
    while (token.strip_right && begin < text.size() && is_space(text.substr(begin)))
      begin += utf8_length(text[begin]);
    i = begin;
  }
  if (begin < text.size()) fragments.push_back({text.substr(begin), -1});
}

}  // namespace exo::text
