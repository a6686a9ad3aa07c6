#pragma once
// The "normalizer" of a Hugging Face tokenizer.json.

#include <boost/json/value.hpp>

#include "base/result.h"
#include "text/text_normalizer.h"

namespace exo::text {

// Appends its steps; `writes_byte_alphabet` becomes true when one of them writes bytes in GPT-2's alphabet. Errors
// as for read_huggingface_steps().
Status read_huggingface_normalizer(const boost::json::value& value, TextNormalizer& normalizer,
                                   bool& writes_byte_alphabet);

}  // namespace exo::text
