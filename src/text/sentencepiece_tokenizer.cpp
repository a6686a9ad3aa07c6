#include "text/sentencepiece_tokenizer.h"

#include "text/spm.h"
#include "text/vocabulary_tokenizer.h"

namespace exo::text {
namespace {

class SentencePieceTokenizer final : public VocabularyTokenizer {
 public:
  SentencePieceTokenizer(Vocabulary vocabulary, std::string_view model_name)
      : VocabularyTokenizer(std::move(vocabulary)),
        space_prefix_(vocabulary_.add_space_prefix.value_or(true)),
        encoder_(vocabulary_) {
    const SpecialTokens& ids = vocabulary_.special;
    if (vocabulary_.add_bos.value_or(true) && ids.bos) before_.push_back(*ids.bos);
    if (vocabulary_.add_eos.value_or(false) && ids.eos) after_.push_back(*ids.eos);
    set_added_tokens(added_tokens(model_name));
  }

  bool strips_leading_space() const override { return space_prefix_; }

 private:
  void encode_ordinary(std::string_view text, bool, std::vector<TokenId>& out) const override {
    std::string escaped;
    escaped.reserve(text.size() + text.size() / 2 + 3);
    if (space_prefix_) escaped += "▁";
    for (const char c : text) {
      if (c == ' ')
        escaped += "▁";
      else
        escaped += c;
    }
    encoder_.encode(escaped, out);
  }

  bool space_prefix_;
  SentencePieceEncoder encoder_;
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> load_sentencepiece_tokenizer(const formats::GgufMetadata& metadata) {
  SpecialTokens defaults;
  defaults.unknown = TokenId(0);
  defaults.bos = TokenId(1);
  defaults.eos = TokenId(2);
  EXO_TRY(auto vocabulary, Vocabulary::from_metadata(metadata, PieceForm::kSentencePiece, defaults));
  return std::make_unique<SentencePieceTokenizer>(std::move(vocabulary),
                                                  metadata.string("general.name").value_or(""));
}

}  // namespace exo::text
