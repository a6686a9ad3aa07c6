#pragma once
// SentencePiece BPE models: Llama 1 and 2, Mistral, Gemma, Phi-3, TinyLlama, …

#include <memory>

#include "text/tokenizer.h"

namespace exo::text {

Result<std::unique_ptr<Tokenizer>> load_sentencepiece_tokenizer(const formats::GgufMetadata& metadata);

}  // namespace exo::text
