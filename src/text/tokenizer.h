#pragma once
// Text ⇄ token ids, as the model's own vocabulary says.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "formats/gguf.h"

namespace exo::text {

struct EncodeOptions {
  bool add_special = true;     // BOS/EOS where the vocabulary asks for them
  bool parse_special = false;  // recognise control tokens (<|im_end|>) written in the text
};

struct SpecialTokens {
  std::optional<TokenId> bos, eos, eot, unknown, padding;
  std::vector<TokenId> end_of_generation;  // every token that ends an answer: eos, eot, eom, …
};

// Immutable after load; every method may be called from any thread.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options) const = 0;
  // The bytes of one token, not necessarily whole UTF-8 characters. Control tokens render as their text when
  // `render_special`, else as nothing. An id outside the vocabulary renders as nothing.
  virtual std::string piece(TokenId token, bool render_special) const = 0;
  virtual int32_t vocabulary_size() const = 0;
  virtual const SpecialTokens& special() const = 0;
  virtual bool is_control(TokenId token) const = 0;
  // True when decoding a whole sequence drops the one space that encoding put in front (SentencePiece).
  virtual bool strips_leading_space() const = 0;
  // True when decoding a whole sequence drops one space at its end (BPE with marks at the ends of words).
  virtual bool drops_trailing_space() const { return false; }
  // As piece(), for the first token of a text that shows anything: without the space that strips_leading_space()
  // speaks of, or what else the model's decoder does there.
  virtual std::string first_piece(TokenId token, bool render_special) const;
  // The token as the vocabulary stores it ("<|im_end|>", "Ġthe"), empty for an id outside; valid as long as this.
  virtual std::string_view token_text(TokenId token) const = 0;
  // The token stored with exactly this text. A scan of the vocabulary: for names, once.
  virtual std::optional<TokenId> find_token(std::string_view text) const = 0;
  // Whether add_special puts a BOS in front.
  virtual bool adds_bos() const = 0;

  std::string decode(std::span<const TokenId> tokens, bool render_special) const;
};

// From `tokenizer.huggingface.json` (the whole of a tokenizer.json) and, where it is there,
// `tokenizer.huggingface.config` (the whole of a tokenizer_config.json); without it, or where it is of a kind that
// is not known, from the `tokenizer.ggml.*` keys. kUnsupported names the model or pre-tokenizer it does not know.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const formats::GgufMetadata& metadata);

// Token by token to text that never ends inside a UTF-8 character: incomplete bytes wait for the next token;
// invalid bytes become U+FFFD as Python's bytes.decode(errors="replace") does.
class Detokenizer {
 public:
  // `also_rendered`: control tokens that are rendered even without `render_special`.
  Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool render_special = false,
              std::vector<TokenId> also_rendered = {});
  std::string push(TokenId token);  // what may be shown now
  std::string finish();             // what was still waiting

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool render_special_;
  std::vector<TokenId> also_rendered_;
  bool at_start_ = true;
  std::string pending_;  // an incomplete character, or a space that may be the last
};

}  // namespace exo::text
