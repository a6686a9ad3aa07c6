#include "text/tokenizer.h"

#include "text/gguf_tokenizers.h"
#include "text/huggingface_tokenizer.h"
#include "text/utf8.h"

namespace exo::text {

std::string Tokenizer::decode(std::span<const TokenId> tokens, bool render_special) const {
  std::string bytes;
  bool at_start = true;
  for (const TokenId token : tokens) {
    const std::string shown = piece(token, render_special);
    if (shown.empty()) continue;
    bytes += at_start ? first_piece(token, render_special) : shown;
    at_start = false;
  }
  if (drops_trailing_space() && bytes.ends_with(' ')) bytes.pop_back();
  return is_valid_utf8(bytes) ? bytes : replace_invalid_utf8(bytes);
}

std::string Tokenizer::first_piece(TokenId token, bool render_special) const {
  std::string shown = piece(token, render_special);
  if (strips_leading_space() && shown.starts_with(' ')) shown.erase(0, 1);
  return shown;
}

Result<std::unique_ptr<Tokenizer>> load_tokenizer(const formats::GgufMetadata& metadata) {
  auto model = metadata.string("tokenizer.ggml.model");
  if (const auto json = metadata.string("tokenizer.huggingface.json")) {
    const auto config = metadata.string("tokenizer.huggingface.config");
    auto loaded = load_tokenizer_json(*json, config ? std::optional<std::string_view>(*config) : std::nullopt);
    if (loaded || !model) return loaded;
  }
  if (!model) return fail(ErrorCode::kNotFound, "the file has no tokenizer (tokenizer.ggml.model)");
  if (*model == "llama") return load_sentencepiece_tokenizer(metadata);
  if (*model == "bert") return load_wordpiece_tokenizer(metadata);
  if (*model == "t5") return load_unigram_tokenizer(metadata);
  if (*model == "gpt2" || *model == "gemma4") return load_bpe_tokenizer(metadata);
  return fail(ErrorCode::kUnsupported, "tokenizer model '{}' is not known", *model);
}

}  // namespace exo::text
