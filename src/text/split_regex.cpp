#include "text/split_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <string>

#include "text/utf8.h"

namespace exo::text {
namespace {

// Unicode's White_Space, to be put inside a character class. PCRE2's own \s also takes U+180E.
constexpr std::string_view kWhiteSpace =
    R"(\x09-\x0D\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

// What \w means to the engines that the expressions were written for; PCRE2's own leaves out marks and most
// connectors.
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D})";

// Rewrites what PCRE2 reads differently from the engines that the expressions were written for.
std::string translate(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[i + 1];
      if (next == 's' || next == 'w') {
        if (!in_class) out += '[';
        out += next == 's' ? kWhiteSpace : kWord;
        if (!in_class) out += ']';
        ++i;
      } else if ((next == 'S' || next == 'W') && !in_class) {
        out += "[^";
        out += next == 'S' ? kWhiteSpace : kWord;
        out += ']';
        ++i;
      } else if (pattern.substr(i).starts_with("\\p{Han}")) {
        out += "\\p{sc:Han}";
        i += 6;
      } else {
        out += c;
        out += next;
        ++i;
      }
      continue;
    }
    if (in_class && c == ']')
      in_class = false;
    else if (!in_class && c == '[') {
      in_class = true;
      out += c;
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') out += pattern[++i];
      continue;
    } else if (in_class && c == '[') {
      out += '\\';  // a literal bracket, not the start of a POSIX class
    }
    out += c;
  }
  return out;
}

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeStack {
  void operator()(pcre2_jit_stack* stack) const { pcre2_jit_stack_free(stack); }
};

constexpr size_t kLargeJitStack = 16 << 20;
constexpr uint32_t kMatchLimit = 20'000'000;  // backtracking steps per match, far above any sane word

}  // namespace

void SplitRegex::Free::operator()(void* code) const { pcre2_code_free(static_cast<pcre2_code*>(code)); }

Result<SplitRegex> SplitRegex::compile(std::string_view pattern, bool line_anchors) {
  const std::string translated = translate(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  const uint32_t anchors = line_anchors ? PCRE2_MULTILINE : PCRE2_DOLLAR_ENDONLY;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | anchors, &error, &offset, nullptr);
  if (!code) {
    PCRE2_UCHAR message[160];
    pcre2_get_error_message(error, message, sizeof message);
    return fail(ErrorCode::kUnsupported, "pre-tokenizer expression at {}: {}", offset,
                reinterpret_cast<const char*>(message));
  }
  SplitRegex regex;
  regex.code_.reset(code);
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where there is no JIT, pcre2_match interprets
  return regex;
}

void SplitRegex::find_all(std::string_view text, std::vector<Match>& matches) const {
  matches.clear();
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  const std::unique_ptr<pcre2_match_data, FreeMatchData> data(pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context, FreeContext> context(pcre2_match_context_create(nullptr));
  if (!data || !context) return;
  pcre2_set_match_limit(context.get(), kMatchLimit);
  std::unique_ptr<pcre2_jit_stack, FreeStack> stack;
  size_t at = 0;
  while (at <= text.size()) {
    const int rc = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at, PCRE2_NO_UTF_CHECK,
                               data.get(), context.get());
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT && !stack) {
      stack.reset(pcre2_jit_stack_create(64 << 10, kLargeJitStack, nullptr));
      if (!stack) return;
      pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
      continue;
    }
    if (rc < 0) return;
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
    if (bounds[1] < bounds[0] || bounds[0] < at) return;  // \K in a lookaround can do this
    matches.push_back({bounds[0], bounds[1]});
    at = bounds[1];
    if (bounds[1] == bounds[0]) {  // an empty match: go on behind the next character
      if (at >= text.size()) return;
      at += utf8_length(text[at]);
    }
  }
}

}  // namespace exo::text
