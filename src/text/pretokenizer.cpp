#include "text/pretokenizer.h"

#include "text/utf8.h"

namespace exo::text {
namespace {

using Match = SplitRegex::Match;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool continues_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<uint8_t>(c) >= 0x80;
}

void digits_in_threes(std::string_view text, bool at_boundary, std::vector<Match>& matches) {
  matches.clear();
  for (size_t i = 0; i < text.size();) {
    if (!is_digit(text[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && is_digit(text[end])) ++end;
    if (!at_boundary || end == text.size() || !continues_word(text[end])) {
      size_t first = (end - i) % 3;
      if (first == 0) first = 3;
      for (size_t cut = i + first; i < end; i = cut, cut += 3) matches.push_back({i, cut});
    }
    i = end;
  }
}

struct Part {
  size_t begin, end;
  bool matched;
};

// The text as alternating matched and unmatched parts; an empty match is a cut without a part.
void parts_of(std::string_view text, const std::vector<Match>& matches, bool invert, std::vector<Part>& parts) {
  parts.clear();
  size_t at = 0;
  for (const Match& match : matches) {
    if (match.begin > at) parts.push_back({at, match.begin, invert});
    if (match.end > match.begin) parts.push_back({match.begin, match.end, !invert});
    at = match.end;
  }
  if (at < text.size()) parts.push_back({at, text.size(), invert});
}

void apply(SplitBehavior behavior, std::string_view text, const std::vector<Part>& parts,
           std::vector<std::string_view>& out) {
  size_t begin = 0;
  bool open = false;  // a word has begun at `begin` and may go on
  const auto close = [&](size_t end) {
    if (open && end > begin) out.push_back(text.substr(begin, end - begin));
    open = false;
  };
  for (size_t i = 0; i < parts.size(); ++i) {
    const Part& part = parts[i];
    switch (behavior) {
      case SplitBehavior::kIsolated:
        out.push_back(text.substr(part.begin, part.end - part.begin));
        break;
      case SplitBehavior::kRemoved:
        if (!part.matched) out.push_back(text.substr(part.begin, part.end - part.begin));
        break;
      case SplitBehavior::kMergedWithPrevious:
        if (!open) begin = part.begin;
        open = true;
        if (part.matched || i + 1 == parts.size() || !parts[i + 1].matched) close(part.end);
        break;
      case SplitBehavior::kMergedWithNext:
        if (part.matched) close(part.begin);
        if (!open) begin = part.begin;
        open = true;
        if (!part.matched || i + 1 == parts.size()) close(part.end);
        break;
      case SplitBehavior::kContiguous:
        if (!open) begin = part.begin;
        open = true;
        if (i + 1 == parts.size() || parts[i + 1].matched != part.matched) close(part.end);
        break;
    }
  }
}

}  // namespace

Result<PreTokenizer> PreTokenizer::compile(std::span<const SplitStep> steps) {
  PreTokenizer result;
  for (const SplitStep& step : steps) {
    Compiled compiled{step, {}};
    if (step.kind == SplitStep::Kind::kRegex) {
      EXO_TRY(compiled.regex, SplitRegex::compile(step.pattern, step.line_anchors));
    }
    result.steps_.push_back(std::move(compiled));
  }
  return result;
}

void PreTokenizer::split(std::string_view text, std::vector<std::string_view>& words) const {
  words.clear();
  if (text.empty()) return;
  words.push_back(text);
  std::vector<std::string_view> next;
  std::vector<Match> matches;
  std::vector<Part> parts;
  for (const Compiled& step : steps_) {
    next.clear();
    for (const std::string_view word : words) {
      if (step.step.kind == SplitStep::Kind::kRegex)
        step.regex.find_all(word, matches);
      else
        digits_in_threes(word, step.step.kind == SplitStep::Kind::kDigitsInThreesAtBoundary, matches);
      parts_of(word, matches, step.step.invert, parts);
      apply(step.step.behavior, word, parts, next);
    }
    words.swap(next);
  }
}

}  // namespace exo::text
