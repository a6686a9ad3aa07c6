#pragma once
// Vocabularies small enough to check by hand, for tests and fuzzing.

#include "formats/gguf.h"

namespace exo::text {

// 256 bytes, then "he", "ll", "hell", "hello", "Ġhello", "in", "ing" by merges, a control token <|im_end|>, a
// user-defined token <tool> and <s> as BOS. Pre-tokenizer gpt-2.
formats::GgufMetadata tiny_bpe_metadata();
constexpr int32_t kTinyBpeFirstMerged = 256;

// SentencePiece: <unk>, <s>, </s>, 256 byte tokens, ▁ a b c ▁a ab abc bc ▁abc and the user-defined "\n\n".
formats::GgufMetadata tiny_spm_metadata();
constexpr int32_t kTinySpmFirstPiece = 259;

}  // namespace exo::text
