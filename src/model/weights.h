#pragma once
// The weights of one stage, named by what they do.

#include <memory>
#include <vector>

#include "formats/gguf.h"
#include "model/experts.h"
#include "model/hyperparameters.h"
#include "model/stage.h"
#include "model/tensor_loader.h"
#include "model/tensor_share.h"
#include "ops/ops.h"

namespace exo::model {

struct Norm {
  bool present = false;
  NormKind kind = NormKind::kRms;
  ops::Vector weight, bias;  // either may be empty
};

struct Projection {
  ops::Weight weight;
  ops::Vector bias;  // may be empty
};

// Instead of query, key and value: latent_attention.h.
struct LatentAttentionWeights {
  Projection query_down;  // empty where queries are projected directly
  Norm query_norm;
  Projection query;     // all heads'
  Projection key_down;  // latent vector and the rotated part of the keys
  Norm latent_norm;
  ops::Weight key_up, value_up;  // [n_heads] of [rank, plain_dim] and of [value_dim, rank]
};

// Instead of query, key and value: delta_net.h.
struct DeltaNetWeights {
  ops::Weight mixed;  // queries, keys and values of all heads, below each other
  ops::Weight gate;   // of what the heads make
  ops::Weight a, b;   // [n_heads, d_model]: see ops::DeltaRule
  ops::Vector taps;   // [n_taps, mixed_width]
  ops::Vector decay_rate, decay_bias;
  Norm norm;  // of each head
};

struct AttentionWeights {
  Norm norm, post_norm;
  Projection query, key, value, output;
  Norm query_norm, key_norm;
  LatentAttentionWeights latent;
  ops::Vector sinks;  // [n_heads], or empty
  DeltaNetWeights delta_net;
};

struct FeedForwardWeights {
  Norm norm, post_norm;
  Projection gate, up, down;  // gate is empty where the architecture has none
  ExpertWeights experts;      // where the block has some; gate, up and down are then the shared expert's, or empty
};

struct LayerWeights {
  AttentionWeights attention;
  FeedForwardWeights feed_forward;
};

// Of models that score texts; either may be empty.
struct RankingWeights {
  Projection dense;   // d_model to d_model, then tanh
  Projection output;  // one row, or one for each label
};

struct StageWeights {
  ops::Weight token_embedding, position_embedding;  // first stage; the second may be empty
  ops::Weight token_types;                          // of encoders, may be empty: text is of type 0
  Norm embedding_norm;                              // of encoders
  std::vector<LayerWeights> layers;
  Norm output_norm;  // last stage
  Projection head;
  RankingWeights ranking;
  ops::Vector rope_factors;  // may be empty
  LoadedMemory memory;
  uint64_t bytes = 0;
};

struct LoadHow {
  bool long_context = false;  // the rope factors for long contexts, of models that have two sets
  bool stream = false;        // weights stay in the file until they are used
};

// The bytes that load_weights reads, ordered and without overlaps: of a share those of its rows, and all of what
// every member keeps. Reads none of them. Errors as load_weights.
Result<std::vector<TensorPiece>> weight_pieces(const formats::GgufFile& file, const Hyperparameters& model,
                                               LayerRange layers, const TensorShare& share);

// Touches only the stage's own tensors, and of those only the share's rows. The file outlives the result.
Result<StageWeights> load_weights(const formats::GgufFile& file, const Hyperparameters& model, LayerRange layers,
                                  const TensorShare& share, LoadHow how, ops::Ops& ops,
                                  const LoadProgress& progress);

}  // namespace exo::model
