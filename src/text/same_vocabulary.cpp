#include "text/same_vocabulary.h"

#include <algorithm>
#include <array>

namespace exo::text {
namespace {

bool is_padding(std::string_view text) {
  constexpr std::array<std::string_view, 7> kBeginnings = {"[PAD",       "[unused", "<unused", "<|unused",
                                                           "<|reserved", "<|dummy", "<|extra"};
  return text.empty() || std::ranges::any_of(kBeginnings, [text](std::string_view beginning) {
           return text.starts_with(beginning);
         });
}

}  // namespace

Result<int32_t> shared_vocabulary(const Tokenizer& a, const Tokenizer& b) {
  const bool a_is_longer = a.vocabulary_size() > b.vocabulary_size();
  const Tokenizer& longer = a_is_longer ? a : b;
  const int32_t shared = (a_is_longer ? b : a).vocabulary_size();
  for (int32_t id = 0; id < shared; ++id) {
    const auto of_a = a.token_text(TokenId(id)), of_b = b.token_text(TokenId(id));
    if (of_a == of_b) continue;
    return fail(ErrorCode::kInvalidArgument, "token {} is '{}' in one vocabulary and '{}' in the other", id, of_a,
                of_b);
  }
  for (int32_t id = shared; id < longer.vocabulary_size(); ++id) {
    if (is_padding(longer.token_text(TokenId(id)))) continue;
    return fail(ErrorCode::kInvalidArgument,
                "one vocabulary ends after {} tokens, the other goes on to {} with '{}'", shared,
                longer.vocabulary_size(), longer.token_text(TokenId(id)));
  }
  return shared;
}

}  // namespace exo::text
