#pragma once
// Byte-level BPE models: GPT-2, Llama 3, Qwen, DeepSeek, Command R, … and their raw UTF-8 cousins (Gemma 4).

#include <functional>
#include <memory>

#include "text/bpe.h"
#include "text/pretokenizer.h"
#include "text/text_normalizer.h"
#include "text/vocabulary_tokenizer.h"

namespace exo::text {

class BpeTokenizer final : public VocabularyTokenizer {
 public:
  struct Parts {
    Vocabulary vocabulary;
    // Stored text of both sides, by rank; read by make() only.
    std::vector<std::pair<std::string_view, std::string_view>> merges;
    bool merges_by_rank_of_result = false;  // no merges: a tiktoken vocabulary
    bool byte_alphabet = true;
    TextNormalizer normalizer;
    BpeOptions options;
    PreTokenizer pretokenizer;
    // Given the vocabulary in its final place; without it, the control and user-defined tokens are what is added.
    std::function<std::vector<AddedToken>(const Vocabulary&)> added_tokens_of;
    bool strips_leading_space = false;
    std::string model_name;
    std::vector<TokenId> before, after;
  };
  static Result<std::unique_ptr<Tokenizer>> make(Parts parts);
  bool strips_leading_space() const override { return strips_leading_space_; }

 private:
  explicit BpeTokenizer(Parts& parts);
  void encode_ordinary(std::string_view text, bool at_start, std::vector<TokenId>& out) const override;

  PreTokenizer pretokenizer_;
  TextNormalizer normalizer_;
  bool strips_leading_space_;
  std::optional<BpeMerger> merger_;
};

Result<std::unique_ptr<Tokenizer>> load_bpe_tokenizer(const formats::GgufMetadata& metadata);

}  // namespace exo::text
