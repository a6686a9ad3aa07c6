#pragma once
// Whether two models mean the same by a token id, so that one can guess what the other will say.

#include <cstdint>

#include "base/result.h"
#include "text/tokenizer.h"

namespace exo::text {

// How many ids, from 0, both have and store with the same text. Beyond the shorter vocabulary the longer one may
// have only what fills it up to a round number: tokens without text, "[PAD…]", "<unused…>", "<|reserved…" and the
// like. kInvalidArgument says at which id they part.
Result<int32_t> shared_vocabulary(const Tokenizer& a, const Tokenizer& b);

}  // namespace exo::text
