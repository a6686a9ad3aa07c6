#pragma once
// WordPiece models: BERT and its descendants (embeddings).

#include <memory>

#include "text/tokenizer.h"

namespace exo::text {

Result<std::unique_ptr<Tokenizer>> load_wordpiece_tokenizer(const formats::GgufMetadata& metadata);

}  // namespace exo::text
