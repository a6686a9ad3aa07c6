// Any bytes as a SentencePiece model: parse() must refuse, or give a vocabulary that a tokenizer can be made of and
// whose tokens are within it.
#include <cstdlib>

#include "formats/sentencepiece_model.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace exo;
  const auto model = formats::SentencePieceModel::parse(std::as_bytes(std::span(data, size)));
  if (!model) return 0;
  const auto metadata = formats::gguf_tokenizer_metadata(*model);
  if (!metadata) return 0;
  auto tokenizer = text::load_tokenizer(*metadata);
  if (!tokenizer) return 0;
  for (const std::string_view text : {std::string_view("Hello  wörld 日本\t①x "), std::string_view("\x01\xFF▁a<s>")}) {
    const auto tokens = (*tokenizer)->encode(text, {.add_special = true, .parse_special = true});
    for (const TokenId token : tokens)
      if (token.value < 0 || token.value >= (*tokenizer)->vocabulary_size()) std::abort();
    if (!text::is_valid_utf8((*tokenizer)->decode(tokens, true))) std::abort();
  }
  return 0;
}
