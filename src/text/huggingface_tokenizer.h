#pragma once
// Hugging Face's tokenizer.json: every model (BPE, WordPiece, WordLevel, Unigram) with its normalizers,
// pre-tokenizers, post-processors and decoders.

#include <memory>
#include <optional>
#include <string_view>

#include "text/tokenizer.h"

namespace exo::text {

// `json` is tokenizer.json, `config` tokenizer_config.json, which names BOS, EOS, padding and unknown tokens
// (without it only well-known names are found) and may have further added tokens. kCorrupt for what is malformed,
// kUnsupported naming what is not known.
// Not applied: dropout (a training device) and clean_up_tokenization_spaces (it would change what the model wrote).
Result<std::unique_ptr<Tokenizer>> load_tokenizer_json(std::string_view json,
                                                       std::optional<std::string_view> config = std::nullopt);

}  // namespace exo::text
