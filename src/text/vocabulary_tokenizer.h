#pragma once
// What all tokenizers over a Vocabulary share: added tokens are cut out first, the rest goes to the algorithm, BOS
// and EOS come around it.

#include <string>
#include <string_view>
#include <vector>

#include "text/special_splitter.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace exo::text {

class VocabularyTokenizer : public Tokenizer {
 public:
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const final;
  std::string piece(TokenId token, bool render_special) const override;
  int32_t vocabulary_size() const final { return vocabulary_.size(); }
  const SpecialTokens& special() const final { return vocabulary_.special; }
  bool is_control(TokenId token) const final;
  bool strips_leading_space() const override { return false; }
  std::string_view token_text(TokenId token) const final;
  std::optional<TokenId> find_token(std::string_view text) const final;
  bool adds_bos() const final { return !before_.empty(); }

 protected:
  explicit VocabularyTokenizer(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  struct Place {
    bool at_start;  // the text begins the whole text; else an added token is before it
    bool parse_special;
  };
  // Appends the tokens of ordinary text: valid UTF-8, not empty.
  virtual void encode_ordinary(std::string_view text, Place place, std::vector<TokenId>& out) const = 0;

  // To be called by a subclass once vocabulary_ is final and in place.
  void set_added_tokens(std::vector<AddedToken> tokens) { splitter_ = SpecialSplitter(std::move(tokens)); }
  // Control, unknown and user-defined tokens of the vocabulary, with the attributes that `model_name` is known for.
  std::vector<AddedToken> added_tokens(std::string_view model_name) const;

  const Vocabulary vocabulary_;
  std::vector<TokenId> before_, after_;  // what add_special puts around a text

 private:
  SpecialSplitter splitter_;
};

}  // namespace exo::text
