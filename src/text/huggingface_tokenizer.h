#pragma once
// Hugging Face's tokenizer.json with a BPE model: byte-level (GPT-2, Llama 3, Qwen, …) or with byte fallback (Llama
// 2, Gemma, …).

#include <memory>
#include <optional>
#include <string_view>

#include "text/tokenizer.h"

namespace exo::text {

// `json` is tokenizer.json, `config` tokenizer_config.json, which names BOS, EOS, padding and unknown tokens
// (without it only well-known names are found). kCorrupt for what is malformed, kUnsupported naming what is not
// known.
Result<std::unique_ptr<Tokenizer>> load_tokenizer_json(std::string_view json,
                                                       std::optional<std::string_view> config = std::nullopt);

}  // namespace exo::text
