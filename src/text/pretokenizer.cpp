#include "text/pretokenizer.h"

#include "text/byte_alphabet.h"
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

void fixed_length(std::string_view text, size_t length, std::vector<Match>& matches) {
  matches.clear();
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin;
    for (size_t n = 0; n < length && end < text.size(); ++n) end += utf8_length(text[end]);
    matches.push_back({begin, end});
    begin = end;
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

bool rewrites(SplitStep::Kind kind) {
  switch (kind) {
    case SplitStep::Kind::kReplaceSpaces:
    case SplitStep::Kind::kPrefix:
    case SplitStep::Kind::kPrefixAtStart:
    case SplitStep::Kind::kByteAlphabet:
    case SplitStep::Kind::kFromByteAlphabet:
      return true;
    default:
      return false;
  }
}

std::string replace_spaces(std::string_view word, std::string_view by) {
  std::string out;
  out.reserve(word.size() + word.size() / 2);
  for (const char c : word) {
    if (c == ' ')
      out += by;
    else
      out += c;
  }
  return out;
}

// Replaces `word` by its rewritten form, kept in `rewritten`, where it changes.
void rewrite(const SplitStep& step, bool at_start, std::string_view& word, std::deque<std::string>& rewritten) {
  switch (step.kind) {
    case SplitStep::Kind::kReplaceSpaces:
      if (word.find(' ') == std::string_view::npos) return;
      rewritten.push_back(replace_spaces(word, step.text));
      break;
    case SplitStep::Kind::kPrefixAtStart:
      if (!at_start) return;
      [[fallthrough]];
    case SplitStep::Kind::kPrefix:
      if (word.starts_with(step.text)) return;
      rewritten.push_back(step.text + std::string(word));
      break;
    case SplitStep::Kind::kByteAlphabet:
      rewritten.push_back(encode_byte_alphabet(word));
      break;
    case SplitStep::Kind::kFromByteAlphabet: {
      auto bytes = decode_byte_alphabet(word);
      if (!bytes) return;
      rewritten.push_back(std::move(*bytes));
      break;
    }
    default:
      return;
  }
  word = rewritten.back();
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

void PreTokenizer::split(std::string_view text, bool at_start, Words& words) const {
  words.views.clear();
  words.rewritten.clear();
  if (text.empty()) return;
  words.views.push_back(text);
  std::vector<std::string_view> next;
  std::vector<Match> matches;
  std::vector<Part> parts;
  bool first_at_start = at_start;  // words.views[0] begins where the whole text does
  for (const Compiled& compiled : steps_) {
    const SplitStep& step = compiled.step;
    if (words.views.empty()) return;
    if (rewrites(step.kind)) {
      for (size_t i = 0; i < words.views.size(); ++i)
        rewrite(step, first_at_start && i == 0, words.views[i], words.rewritten);
      continue;
    }
    next.clear();
    for (const std::string_view word : words.views) {
      switch (step.kind) {
        case SplitStep::Kind::kRegex:
          compiled.regex.find_all(word, matches);
          break;
        case SplitStep::Kind::kFixedLength:
          fixed_length(word, step.length, matches);
          break;
        default:
          digits_in_threes(word, step.kind == SplitStep::Kind::kDigitsInThreesAtBoundary, matches);
          break;
      }
      parts_of(word, matches, step.invert, parts);
      apply(step.behavior, word, parts, next);
    }
    first_at_start = first_at_start && !next.empty() && next[0].data() == words.views[0].data();
    words.views.swap(next);
  }
}

}  // namespace exo::text
