#pragma once
// The "model" and the added tokens of a Hugging Face tokenizer.json: its vocabulary and its algorithm.

#include <boost/json/object.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/huggingface_decoder.h"
#include "text/pipeline_tokenizer.h"

namespace exo::text {

struct HuggingFaceAdded {
  std::string_view content;  // in the JSON
  bool special = false, single_word = false, strip_left = false, strip_right = false, normalized = false;
};
using HuggingFaceAddedTokens = std::map<int32_t, HuggingFaceAdded>;

// "added_tokens" of tokenizer.json, then "added_tokens_decoder" of tokenizer_config.json, which wins.
Result<HuggingFaceAddedTokens> read_huggingface_added(const boost::json::object& tokenizer,
                                                      const boost::json::object& config);

class HuggingFaceModel {
 public:
  // Keeps views into `model`. kUnsupported names a type that is not known; kCorrupt what is malformed.
  static Result<HuggingFaceModel> read(const boost::json::object& model);

  // The model's tokens with the added ones on top, by id; ids that nobody names stay empty. The unknown token is
  // set; find_ordinary() finds the model's tokens by their stored text, or by bytes when `byte_level`.
  Result<Vocabulary> build_vocabulary(const HuggingFaceAddedTokens& added, const HuggingFaceDecoder& decoder,
                                      bool byte_level) const;
  Result<WordAlgorithm> make_algorithm(const Vocabulary& vocabulary, bool byte_level) const;

  bool is_bpe() const { return kind_ == Kind::kBpe; }
  // Of BPE, in the order in which they are made.
  using Merges = std::vector<std::pair<std::string_view, std::string_view>>;
  Result<Merges> merges() const;

 private:
  enum class Kind { kBpe, kWordPiece, kWordLevel, kUnigram };
  struct Row {
    std::string_view text;
    double score = 0;
    bool named = false;
  };

  Status read_rows();
  Status read_scored_rows();
  Status put(std::string_view text, const boost::json::value& id, double score);

  const boost::json::object* model_ = nullptr;
  Kind kind_ = Kind::kBpe;
  std::vector<Row> rows_;
};

}  // namespace exo::text
