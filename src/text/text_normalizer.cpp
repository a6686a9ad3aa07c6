#include "text/text_normalizer.h"

#include <algorithm>

#include "text/unicode_normalization.h"

namespace exo::text {
namespace {

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  while (true) {
    const size_t at = from.empty() ? std::string_view::npos : text.find(from);
    if (at == std::string_view::npos) return out.append(text);
    out.append(text.substr(0, at)).append(to);
    text.remove_prefix(at + from.size());
  }
}

std::string replace_all(std::string_view text, const SplitRegex& from, std::string_view to) {
  std::vector<SplitRegex::Match> matches;
  from.find_all(text, matches);
  std::string out;
  size_t at = 0;
  for (const auto& match : matches) {
    out.append(text.substr(at, match.begin - at)).append(to);
    at = match.end;
  }
  return out.append(text.substr(at));
}

std::string strip(std::string_view text, bool left, bool right) {
  constexpr std::string_view kSpaces = " \t\n\v\f\r";
  if (left) text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
  if (right) text = text.substr(0, text.find_last_not_of(kSpaces) + 1);
  return std::string(text);
}

}  // namespace

std::string TextNormalizer::apply(std::string_view original, bool at_start) const {
  std::string text(original);
  for (const Step& step : steps_) {
    switch (step.kind) {
      case Kind::kNfc:
        if (!is_surely_nfc(text)) text = to_nfc(text);
        break;
      case Kind::kNfd:
        text = to_nfd(text);
        break;
      case Kind::kPrepend:
        if (!text.empty()) text.insert(0, step.to);
        break;
      case Kind::kPrefix:
        if (!text.empty() && (at_start || !step.only_at_start) && !text.starts_with(step.to))
          text.insert(0, step.to);
        break;
      case Kind::kReplace:
        text = replace_all(text, step.from, step.to);
        break;
      case Kind::kReplaceRegex:
        text = replace_all(text, step.regex, step.to);
        break;
      case Kind::kStrip:
        text = strip(text, step.left, step.right);
        break;
    }
  }
  return text;
}

}  // namespace exo::text
