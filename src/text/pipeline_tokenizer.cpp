#include "text/pipeline_tokenizer.h"

#include <algorithm>

namespace exo::text {

PipelineTokenizer::PipelineTokenizer(Parts& parts)
    : VocabularyTokenizer(std::move(parts.vocabulary)),
      pretokenizer_(std::move(parts.pretokenizer)),
      normalizer_(std::move(parts.normalizer)),
      strips_leading_space_(parts.strips_leading_space),
      drops_trailing_space_(parts.drops_trailing_space),
      first_piece_(std::move(parts.first_piece)) {
  before_ = std::move(parts.before);
  after_ = std::move(parts.after);
  std::vector<AddedToken> tokens =
      parts.added_tokens_of ? parts.added_tokens_of(vocabulary_) : added_tokens(parts.model_name);
  std::vector<AddedToken> plain, normalized;
  for (AddedToken& token : tokens) {
    if (!token.normalized || normalizer_.empty()) {
      plain.push_back(token);
      continue;
    }
    normalized_texts_.push_back(normalizer_.apply(token.text, true));
    token.text = normalized_texts_.back();
    normalized.push_back(token);
  }
  set_added_tokens(std::move(plain));
  normalized_splitter_ = SpecialSplitter(std::move(normalized));
}

Result<std::unique_ptr<Tokenizer>> PipelineTokenizer::make(Parts parts) {
  std::unique_ptr<PipelineTokenizer> tokenizer(new PipelineTokenizer(parts));
  EXO_TRY(auto algorithm, parts.make_algorithm(tokenizer->vocabulary_));
  tokenizer->algorithm_.emplace(std::move(algorithm));
  return tokenizer;
}

void PipelineTokenizer::encode_ordinary(std::string_view text, Place place, std::vector<TokenId>& out) const {
  std::string normalized;
  if (!normalizer_.empty()) {
    normalized = normalizer_.apply(text, place.at_start);
    text = normalized;
  }
  if (normalized_splitter_.empty()) return encode_words(text, place.at_start, out);
  std::vector<SpecialSplitter::Fragment> fragments;
  normalized_splitter_.split(text, place.parse_special, fragments);
  for (const auto& fragment : fragments) {
    if (fragment.token >= 0)
      out.push_back(TokenId(fragment.token));
    else
      encode_words(fragment.text, place.at_start, out);
    place.at_start = false;
  }
}

void PipelineTokenizer::encode_words(std::string_view text, bool at_start, std::vector<TokenId>& out) const {
  Words words;
  pretokenizer_.split(text, at_start, words);
  std::visit(
      [&](const auto& algorithm) {
        if constexpr (std::is_same_v<std::decay_t<decltype(algorithm)>, BpeMerger>) {
          BpeMerger::Scratch scratch;
          for (const std::string_view word : words.views) algorithm.encode(word, scratch, out);
        } else {
          for (const std::string_view word : words.views) algorithm.encode(word, out);
        }
      },
      *algorithm_);
}

std::string PipelineTokenizer::first_piece(TokenId token, bool render_special) const {
  if (!first_piece_ || !vocabulary_.contains(token.value) || piece(token, render_special).empty())
    return VocabularyTokenizer::first_piece(token, render_special);
  return first_piece_(vocabulary_.text(token.value));
}

}  // namespace exo::text
