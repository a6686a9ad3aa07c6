#pragma once
// The "normalizer" and "pre_tokenizer" of a Hugging Face tokenizer.json, as steps of this project's own.
// Format: https://github.com/huggingface/tokenizers

#include <boost/json/value.hpp>
#include <vector>

#include "base/result.h"
#include "text/pretokenizer.h"
#include "text/text_normalizer.h"

namespace exo::text {

struct HuggingFaceSteps {
  TextNormalizer normalizer;
  std::vector<SplitStep> splits;
  bool byte_level = false;
};

// Null values mean "none". kUnsupported names a type or option that is not known; kCorrupt what is malformed.
Result<HuggingFaceSteps> read_huggingface_steps(const boost::json::value& normalizer,
                                                const boost::json::value& pre_tokenizer);

}  // namespace exo::text
