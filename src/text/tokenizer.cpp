#include "text/tokenizer.h"

#include "text/bpe_tokenizer.h"
#include "text/huggingface_tokenizer.h"
#include "text/pretokenizers.h"
#include "text/sentencepiece_tokenizer.h"
#include "text/utf8.h"

namespace exo::text {

std::string Tokenizer::decode(std::span<const TokenId> tokens, bool render_special) const {
  std::string bytes;
  bool at_start = strips_leading_space();
  for (const TokenId token : tokens) {
    const std::string bytes_of_token = piece(token, render_special);
    if (bytes_of_token.empty()) continue;
    const bool drop = at_start && !is_control(token) && bytes_of_token[0] == ' ';
    bytes.append(bytes_of_token, drop ? 1 : 0);
    if (!is_control(token)) at_start = false;
  }
  return is_valid_utf8(bytes) ? bytes : replace_invalid_utf8(bytes);
}

Result<std::unique_ptr<Tokenizer>> load_tokenizer(const formats::GgufMetadata& metadata) {
  auto model = metadata.string("tokenizer.ggml.model");
  if (const auto json = metadata.string("tokenizer.huggingface.json"); !model && json) {
    const auto config = metadata.string("tokenizer.huggingface.config");
    return load_tokenizer_json(*json, config ? std::optional<std::string_view>(*config) : std::nullopt);
  }
  if (!model) return fail(ErrorCode::kNotFound, "the file has no tokenizer (tokenizer.ggml.model)");
  if (*model == "llama") return load_sentencepiece_tokenizer(metadata);
  if (*model == "gpt2" || *model == "gemma4") return load_bpe_tokenizer(metadata);
  return fail(ErrorCode::kUnsupported, "tokenizer model '{}' is not known", *model);
}

}  // namespace exo::text
