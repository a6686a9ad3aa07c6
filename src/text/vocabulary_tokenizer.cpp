#include "text/vocabulary_tokenizer.h"

#include <algorithm>

#include "text/utf8.h"

namespace exo::text {

std::vector<TokenId> VocabularyTokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::string repaired;
  if (!is_valid_utf8(text)) {
    repaired = replace_invalid_utf8(text);
    text = repaired;
  }
  std::vector<TokenId> out;
  out.reserve(text.size() / 3 + 2);
  if (options.add_special) out.insert(out.end(), before_.begin(), before_.end());
  std::vector<SpecialSplitter::Fragment> fragments;
  splitter_.split(text, options.parse_special, fragments);
  bool at_start = true;
  for (const auto& fragment : fragments) {
    if (fragment.token >= 0)
      out.push_back(TokenId(fragment.token));
    else
      encode_ordinary(fragment.text, {at_start, options.parse_special}, out);
    at_start = false;
  }
  if (options.add_special) out.insert(out.end(), after_.begin(), after_.end());
  return out;
}

std::string VocabularyTokenizer::piece(TokenId token, bool render_special) const {
  if (!vocabulary_.contains(token.value)) return {};
  if (vocabulary_.is_hidden(token.value) && !render_special) return {};
  const TokenType type = vocabulary_.type(token.value);
  if (type == TokenType::kUnused || type == TokenType::kUndefined) return {};
  return std::string(vocabulary_.piece(token.value));
}

bool VocabularyTokenizer::is_control(TokenId token) const {
  return vocabulary_.contains(token.value) && vocabulary_.type(token.value) == TokenType::kControl;
}

std::string_view VocabularyTokenizer::token_text(TokenId token) const {
  return vocabulary_.contains(token.value) ? vocabulary_.text(token.value) : std::string_view();
}

std::optional<TokenId> VocabularyTokenizer::find_token(std::string_view text) const {
  const int32_t id = vocabulary_.find_by_text(text);
  return id < 0 ? std::nullopt : std::optional(TokenId(id));
}

std::vector<AddedToken> VocabularyTokenizer::added_tokens(std::string_view model_name) const {
  std::string lower(model_name);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  // GGUF has no place for the attributes of added tokens; Phi-3's swallow the white space behind them.
  const bool phi3 = lower.find("phi-3") != std::string::npos || lower.find("phi3") != std::string::npos;

  std::vector<AddedToken> tokens;
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    const bool user_defined = vocabulary_.type(id) == TokenType::kUserDefined;
    if (!user_defined && !vocabulary_.is_hidden(id)) continue;
    AddedToken token{vocabulary_.text(id), TokenId(id), !user_defined};
    token.strip_right = phi3 && token.text != "<unk>" && token.text != "<s>" && token.text != "<|endoftext|>";
    tokens.push_back(token);
  }
  return tokens;
}

}  // namespace exo::text
