#pragma once
// What happens to a piece of text before it is cut into words: a list of steps.

#include <string>
#include <string_view>
#include <vector>

#include "text/split_regex.h"

namespace exo::text {

class TextNormalizer {
 public:
  void add_nfc() { steps_.push_back({.kind = Kind::kNfc}); }
  void add_nfd() { steps_.push_back({.kind = Kind::kNfd}); }
  void add_prepend(std::string text) { steps_.push_back({.kind = Kind::kPrepend, .to = std::move(text)}); }
  // Prepends unless the text begins with it; `only_at_start` for the first piece of the whole text only.
  void add_prefix(std::string text, bool only_at_start) {
    steps_.push_back({.kind = Kind::kPrefix, .to = std::move(text), .only_at_start = only_at_start});
  }
  void add_replace(std::string from, std::string to) {
    steps_.push_back({.kind = Kind::kReplace, .from = std::move(from), .to = std::move(to)});
  }
  void add_replace(SplitRegex from, std::string to) {
    steps_.push_back({.kind = Kind::kReplaceRegex, .to = std::move(to), .regex = std::move(from)});
  }
  void add_strip(bool left, bool right) { steps_.push_back({.kind = Kind::kStrip, .left = left, .right = right}); }

  bool empty() const { return steps_.empty(); }
  // `text` must be valid UTF-8.
  std::string apply(std::string_view text, bool at_start) const;

 private:
  enum class Kind { kNfc, kNfd, kPrepend, kPrefix, kReplace, kReplaceRegex, kStrip };
  struct Step {
    Kind kind;
    std::string from, to;
    SplitRegex regex;
    bool only_at_start = false, left = false, right = false;
  };
  std::vector<Step> steps_;
};

}  // namespace exo::text
