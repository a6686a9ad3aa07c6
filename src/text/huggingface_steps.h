#pragma once
// The "normalizer" and "pre_tokenizer" of a Hugging Face tokenizer.json, as steps of this project's own.
// Format: https://github.com/huggingface/tokenizers

#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/pretokenizer.h"
#include "text/text_normalizer.h"

namespace exo::text {

struct HuggingFaceSteps {
  TextNormalizer normalizer;
  std::vector<SplitStep> splits;
  // The model sees bytes written in GPT-2's alphabet. The steps leave plain bytes for a model whose vocabulary is
  // keyed by bytes (PieceForm::kByteAlphabet).
  bool byte_level = false;
};

// Null values mean "none". kUnsupported names a type or option that is not known; kCorrupt what is malformed.
Result<HuggingFaceSteps> read_huggingface_steps(const boost::json::value& normalizer,
                                                const boost::json::value& pre_tokenizer);

// {"String": …} or {"Regex": …} in `object`'s "pattern", as a regular expression.
Result<std::string> read_huggingface_pattern(const boost::json::object& object);

// What BERT takes for Chinese: one ideograph.
extern const std::string_view kCjkIdeograph;

}  // namespace exo::text
