#pragma once
// Cuts a text into the words inside which byte-pair merges happen: a list of steps, each applied to every piece
// that the step before it made.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/split_regex.h"

namespace exo::text {

// What becomes of a match; the names are those of Hugging Face's tokenizers.
enum class SplitBehavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct SplitStep {
  enum class Kind {
    kRegex,
    kDigitsInThrees,            // runs of decimal digits are cut in threes counted from the right
    kDigitsInThreesAtBoundary,  // the same, for runs that end at a word boundary
  };
  Kind kind = Kind::kRegex;
  std::string pattern;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // what lies between matches is the match
  bool line_anchors = false;
};

class PreTokenizer {
 public:
  PreTokenizer() = default;  // no steps: the text is one word
  static Result<PreTokenizer> compile(std::span<const SplitStep> steps);

  // The words of `text` (valid UTF-8), in order, as views into it. `words` is replaced.
  void split(std::string_view text, std::vector<std::string_view>& words) const;

 private:
  struct Compiled {
    SplitStep step;
    SplitRegex regex;  // of kind kRegex
  };
  std::vector<Compiled> steps_;
};

}  // namespace exo::text
