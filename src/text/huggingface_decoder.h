#pragma once
// The "decoder" of a Hugging Face tokenizer.json: what each token shows.

#include <boost/json/value.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace exo::text {

// A decoder's steps as functions of one stored token: all of them are, but for what happens at the ends of a text.
struct HuggingFaceDecoder {
  std::function<std::string(std::string_view)> piece;        // behind other tokens
  std::function<std::string(std::string_view)> first_piece;  // at the start of a text
  bool strips_leading_space = false;  // first_piece is piece without its leading space, where it has one
  bool drops_trailing_space = false;
};

// kUnsupported names a type that is not known.
Result<HuggingFaceDecoder> read_huggingface_decoder(const boost::json::value& value);

}  // namespace exo::text
