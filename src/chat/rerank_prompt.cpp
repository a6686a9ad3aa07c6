#include "chat/rerank_prompt.h"

#include <algorithm>

namespace exo::chat {
namespace {

// Both at once, so that a query which says "{document}" stays what it is.
std::string fill(std::string_view form, std::string_view query, std::string_view document) {
  constexpr std::string_view kQuery = "{query}", kDocument = "{document}";
  std::string out;
  while (!form.empty()) {
    const size_t at = std::min(form.find(kQuery), form.find(kDocument));
    out += form.substr(0, at);
    if (at == form.npos) break;
    form.remove_prefix(at);
    const bool is_query = form.starts_with(kQuery);
    out += is_query ? query : document;
    form.remove_prefix(is_query ? kQuery.size() : kDocument.size());
  }
  return out;
}

}  // namespace

std::vector<TokenId> rerank_tokens(const TextModel& model, std::string_view query, std::string_view document) {
  const text::Tokenizer& tokenizer = *model.tokenizer;
  if (!model.rerank_template.empty())
    return tokenizer.encode(fill(model.rerank_template, query, document),
                            {.add_special = true, .parse_special = true});
  auto tokens = tokenizer.encode(query, {.add_special = true});
  auto second = tokenizer.encode(document, {.add_special = true});
  // The second text has no beginning of its own; RoBERTa writes its end mark there once more.
  const auto& eos = tokenizer.special().eos;
  const bool doubles = eos && !tokens.empty() && tokens.back() == *eos;
  if (tokenizer.adds_bos() && !second.empty()) second.erase(second.begin());
  if (tokenizer.adds_bos() && doubles) tokens.push_back(*eos);
  tokens.insert(tokens.end(), second.begin(), second.end());
  return tokens;
}

}  // namespace exo::chat
