#pragma once
// Byte-level BPE models: GPT-2, Llama 3, Qwen, DeepSeek, Command R, … and their raw UTF-8 cousins (Gemma 4).

#include <memory>

#include "text/bpe.h"
#include "text/pretokenizer.h"
#include "text/vocabulary_tokenizer.h"

namespace exo::text {

class BpeTokenizer final : public VocabularyTokenizer {
 public:
  struct Parts {
    Vocabulary vocabulary;
    std::vector<std::pair<std::string_view, std::string_view>> merges;  // stored text of both sides, by rank
    bool merges_by_rank_of_result = false;                              // no merges: a tiktoken vocabulary
    bool byte_alphabet = true;
    bool escape_spaces = false;  // ' ' becomes ▁ before anything else
    BpeOptions options;
    PreTokenizer pretokenizer;
    std::string model_name;
    std::vector<TokenId> before, after;
  };
  static Result<std::unique_ptr<Tokenizer>> make(Parts parts);

 private:
  explicit BpeTokenizer(Parts& parts);
  void encode_ordinary(std::string_view text, bool after_token, std::vector<TokenId>& out) const override;

  PreTokenizer pretokenizer_;
  bool escape_spaces_;
  std::optional<BpeMerger> merger_;
};

Result<std::unique_ptr<Tokenizer>> load_bpe_tokenizer(const formats::GgufMetadata& metadata);

}  // namespace exo::text
