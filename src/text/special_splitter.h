#pragma once
// Finds added tokens in a text before anything else looks at it: at each place the longest that starts there.

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "text/byte_trie.h"
#include "text/split_regex.h"

namespace exo::text {

struct AddedToken {
  std::string_view text;  // must outlive the splitter
  TokenId id;
  bool only_if_parsed = false;  // a control token: recognised with parse_special only
  bool strip_left = false;      // white space before it belongs to it
  bool strip_right = false;     // white space behind it belongs to it
  bool single_word = false;     // not inside a word
  bool normalized = false;      // looked for in the normalised text
};

class SpecialSplitter {
 public:
  struct Fragment {
    std::string_view text;  // ordinary text, never empty, when token < 0
    int32_t token = -1;
  };

  SpecialSplitter() = default;
  explicit SpecialSplitter(std::vector<AddedToken> tokens);
  bool empty() const { return all_.empty(); }
  // `fragments` is replaced by the parts of `text` in order.
  void split(std::string_view text, bool parse_special, std::vector<Fragment>& fragments) const;

 private:
  void split_with(const ByteTrie& trie, std::string_view text, std::vector<Fragment>& fragments) const;

  bool is_word(std::string_view character) const;
  bool is_inside_word(std::string_view text, size_t begin, size_t end) const;

  std::vector<AddedToken> tokens_;
  std::optional<SplitRegex> word_;
  ByteTrie all_, always_;
};

}  // namespace exo::text
