#pragma once
// Special ids that stand beside the vocabulary: a folder's generation_config.json may name several tokens that end
// an answer.

#include <memory>

#include "base/result.h"
#include "formats/gguf.h"
#include "text/tokenizer.h"

namespace exo::text {

// The same tokenizer; answers also end at the ids of `tokenizer.ggml.eos_token_ids`. Ids outside the vocabulary are
// left out. kCorrupt when the key holds no list of integers.
Result<std::unique_ptr<Tokenizer>> with_stated_ids(std::unique_ptr<Tokenizer> tokenizer,
                                                   const formats::GgufMetadata& metadata);

}  // namespace exo::text
