#pragma once
// The "post_processor" of a Hugging Face tokenizer.json: what stands around a single text.

#include <boost/json/value.hpp>
#include <vector>

#include "base/result.h"
#include "text/vocabulary.h"

namespace exo::text {

struct HuggingFacePost {
  std::vector<TokenId> before, after;
  bool has_template = false;  // false: nothing is said about it
};

// kUnsupported names a type that is not known; kCorrupt what is malformed or names tokens outside the vocabulary.
Result<HuggingFacePost> read_huggingface_post(const boost::json::value& value, const Vocabulary& vocabulary);

}  // namespace exo::text
