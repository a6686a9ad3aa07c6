#pragma once
// The way of most tokenizers: added tokens are cut out, the rest is normalised, cut into words, and each word goes
// to the model's algorithm.

#include <functional>
#include <memory>
#include <variant>

#include "text/bpe.h"
#include "text/pretokenizer.h"
#include "text/spm.h"
#include "text/text_normalizer.h"
#include "text/unigram.h"
#include "text/vocabulary_tokenizer.h"
#include "text/wordpiece.h"

namespace exo::text {

using WordAlgorithm =
    std::variant<BpeMerger, WordPieceEncoder, WordLevelEncoder, UnigramEncoder, SentencePieceEncoder>;

class PipelineTokenizer final : public VocabularyTokenizer {
 public:
  struct Parts {
    Vocabulary vocabulary;
    TextNormalizer normalizer;
    PreTokenizer pretokenizer;
    // Given the vocabulary in its final place, called once by make().
    std::function<Result<WordAlgorithm>(const Vocabulary&)> make_algorithm;
    std::vector<TokenId> before, after;  // what add_special puts around a text
    // Given the vocabulary in its final place; without it, the control and user-defined tokens are what is added.
    std::function<std::vector<AddedToken>(const Vocabulary&)> added_tokens_of;
    std::string model_name;
    bool strips_leading_space = false;
    bool drops_trailing_space = false;
    // What the first token of a text shows, given its stored text; without it its piece (less one leading space if
    // strips_leading_space).
    std::function<std::string(std::string_view)> first_piece;
  };
  static Result<std::unique_ptr<Tokenizer>> make(Parts parts);
  bool strips_leading_space() const override { return strips_leading_space_; }
  bool drops_trailing_space() const override { return drops_trailing_space_; }
  std::string first_piece(TokenId token, bool render_special) const override;

 private:
  explicit PipelineTokenizer(Parts& parts);
  void encode_ordinary(std::string_view text, Place place, std::vector<TokenId>& out) const override;
  void encode_words(std::string_view text, bool at_start, std::vector<TokenId>& out) const;

  PreTokenizer pretokenizer_;
  TextNormalizer normalizer_;
  bool strips_leading_space_, drops_trailing_space_;
  std::function<std::string(std::string_view)> first_piece_;
  std::optional<WordAlgorithm> algorithm_;
  // Added tokens that are looked for in the normalised text, and their normalised texts.
  std::deque<std::string> normalized_texts_;
  SpecialSplitter normalized_splitter_;
};

}  // namespace exo::text
