#pragma once
// A vocabulary for models without training: every text can be encoded, every token can be shown.

#include <cstdint>

#include "formats/gguf_writer.h"

namespace exo::model {

// Byte-level BPE without merges, as tokenizer.ggml.* metadata with a chat template in Llama 3's format: 256 bytes,
// invented words, and the last 256 (or 16 in vocabularies below 4096) ids special in Llama 3's order: begin of text
// first. n_vocab is at least 320.
void put_synthetic_vocabulary(formats::GgufWriter& writer, int32_t n_vocab);

}  // namespace exo::model
