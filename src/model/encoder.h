#pragma once
// A model as a maker of embeddings: one vector (or one score) for a text, instead of the next token. Encoders
// (BERT, Devlin et al. 2019; Nomic Embed, Nussbaum et al. 2024) look both ways; decoders that were trained for it
// (Qwen3 Embedding, 2025) give the vector of their last token.

#include <memory>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "formats/gguf.h"
#include "model/hyperparameters.h"
#include "ops/ops.h"

namespace exo::model {

// Belongs to the thread of its Ops.
class Encoder {
 public:
  virtual ~Encoder() = default;

  // The pooled vector, [width()], of length 1. kInvalidArgument for no tokens, more than max_tokens(), or tokens
  // outside the vocabulary; kUnsupported for a model that ranks.
  virtual Result<std::vector<float>> embed(std::span<const TokenId> tokens) = 0;
  // How well the text of a pair (a question and a document) fits: the first label's logit, or its probability
  // where there are several. kUnsupported for a model that embeds.
  virtual Result<float> rank(std::span<const TokenId> tokens) = 0;

  virtual const Hyperparameters& model() const = 0;
  virtual int32_t width() const = 0;
  virtual int32_t max_tokens() const = 0;
};

// Loads all blocks; memory for activations grows with the texts. A model that names no pooling takes the mean if it
// is an encoder and the last token otherwise. The encoder keeps `file` alive; `ops` must outlive it.
Result<std::unique_ptr<Encoder>> load_encoder(std::shared_ptr<const formats::GgufFile> file, ops::Ops& ops);

}  // namespace exo::model
