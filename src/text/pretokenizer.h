#pragma once
// Cuts a text into the words that the model's algorithm works on: a list of steps, each applied to every piece that
// the step before it made. Some steps rewrite pieces.

#include <deque>
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
    kFixedLength,               // every `length` characters
    kReplaceSpaces,             // every space becomes `text`
    kPrefix,                    // `text` goes in front of a piece that does not begin with it
    kPrefixAtStart,             // the same, for the piece at the start of the whole text only
    kByteAlphabet,              // every byte becomes a character of GPT-2's alphabet
    kFromByteAlphabet,          // and back; a piece with other characters stays as it is
  };
  Kind kind = Kind::kRegex;
  std::string pattern;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // what lies between matches is the match
  bool line_anchors = false;
  std::string text;
  size_t length = 0;
};

// The pieces of one text. Views into that text or into `rewritten`.
struct Words {
  std::vector<std::string_view> views;
  std::deque<std::string> rewritten;
};

class PreTokenizer {
 public:
  PreTokenizer() = default;  // no steps: the text is one word
  static Result<PreTokenizer> compile(std::span<const SplitStep> steps);

  // The words of `text` (valid UTF-8), in order, none empty. `words` is replaced. `at_start`: `text` begins the
  // whole text.
  void split(std::string_view text, bool at_start, Words& words) const;

 private:
  struct Compiled {
    SplitStep step;
    SplitRegex regex;  // of kind kRegex
  };
  std::vector<Compiled> steps_;
};

}  // namespace exo::text
