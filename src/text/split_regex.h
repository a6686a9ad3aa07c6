#pragma once
// One compiled regular expression of a pre-tokenizer, on PCRE2 with UTF-8, Unicode properties and JIT.

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace exo::text {

class SplitRegex {
 public:
  struct Match {
    size_t begin, end;
  };

  // `pattern` as published for Rust's regex crates, Oniguruma or Python; \s and \S mean Unicode's White_Space,
  // \p{Han} the script. With `line_anchors`, ^ and $ also match at line breaks (Oniguruma's default).
  static Result<SplitRegex> compile(std::string_view pattern, bool line_anchors = false);

  // All matches in `text` (valid UTF-8) from left to right; matches may be empty. Replaces what `matches` held.
  // Ends early if the expression exceeds PCRE2's limits: then the rest counts as unmatched.
  void find_all(std::string_view text, std::vector<Match>& matches) const;

 private:
  struct Free {
    void operator()(void* code) const;
  };
  std::unique_ptr<void, Free> code_;  // pcre2_code, whose header stays out of this one
};

}  // namespace exo::text
