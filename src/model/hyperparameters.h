#pragma once
// The numbers of one model, read from its file's metadata and checked against each other.

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"
#include "model/architecture.h"
#include "ops/ops.h"

namespace exo::model {

// Which rows of the last block make the one vector of a text: GGUF's pooling_type.
enum class Pooling : uint8_t {
  kNone = 0,  // not said: not a model for embeddings
  kMean = 1,
  kFirst = 2,  // "CLS"
  kLast = 3,
  kRank = 4,  // a score instead of a vector
};

enum class LayerRope { kNone, kGlobal, kLocal };

// What may differ from block to block.
struct LayerHyperparameters {
  int32_t n_heads = 0;
  int32_t n_kv_heads = 0;
  int32_t d_ff = 0;      // of the dense feed-forward or the shared expert; 0: neither
  int32_t d_expert = 0;  // of each of the experts that a router chooses from; 0: none in this block
  int32_t window = 0;    // positions that attention reaches back, itself included; 0: all
  int32_t chunk = 0;     // or within its own chunk of so many positions; 0: all
  LayerRope rope = LayerRope::kGlobal;
  bool has_temperature = false;
  bool is_delta_net = false;  // instead of attention
};

// The same in all blocks that have experts.
struct ExpertHyperparameters {
  int32_t n_experts = 0;  // 0: a dense model
  int32_t n_chosen = 0;
  ops::RoutingParams routing;  // without a selection bias: each block has its own
};

// Multi-head latent attention: see latent_attention.h.
struct LatentAttention {
  int32_t query_rank = 0;               // of the queries' low-rank projection; 0: projected directly
  int32_t rank = 0;                     // of the latent vector that stands for all heads' keys and values
  int32_t plain_dim = 0, rope_dim = 0;  // of a head's query and key: plain, then rotated
  int32_t value_dim = 0;                // of a head
};

// A gated delta net: see delta_net.h.
struct DeltaNet {
  int32_t n_heads = 0;                 // of values
  int32_t n_key_heads = 0;             // divides n_heads
  int32_t key_dim = 0, value_dim = 0;  // of a head
  int32_t n_taps = 0;                  // of the convolution before it

  int64_t key_width() const { return int64_t{n_key_heads} * key_dim; }
  int64_t value_width() const { return int64_t{n_heads} * value_dim; }
  int64_t mixed_width() const { return 2 * key_width() + value_width(); }  // queries, keys and values
};

// Queries grow with the logarithm of the distance from the beginning, against attention that thins out over very
// many positions: that at position p is multiplied by 1 + scale * log(1 + floor((p + offset) / interval)).
struct AttentionTemperature {
  float scale = 0.0f;  // 0: none
  int32_t interval = 1, offset = 0;

  float factor(Position position) const {
    return 1.0f + scale * std::log1p(static_cast<float>((int64_t{position.value} + offset) / interval));
  }
};

struct Hyperparameters {
  const Architecture* architecture = nullptr;
  std::string name;
  int32_t d_model = 0;
  int32_t n_vocab = 0;
  int32_t context_length = 0;
  int32_t key_dim = 0, value_dim = 0;  // of one head, as cached
  std::optional<LatentAttention> latent;
  std::optional<DeltaNet> delta_net;
  AttentionTemperature temperature;
  bool norms_rotated_heads = false;  // QkNorm::kRotated
  Residual residual = Residual::kSequential;
  Pooling pooling = Pooling::kNone;
  float norm_epsilon = 0.0f;
  float attention_scale = 0.0f;
  float attention_soft_cap = 0.0f;  // 0: none, as all below
  float qkv_limit = 0.0f;           // queries, keys and values stay within ± this
  float final_soft_cap = 0.0f;
  float embedding_scale = 1.0f;
  float residual_scale = 1.0f;
  float logit_scale = 1.0f;  // multiplies the logits
  ops::RopeParams rope;      // without frequency factors: weights.h adds them
  ops::RopeParams local_rope;
  int32_t rope_original_context = 0;  // longer sequences use the long factors, where a model has two sets
  ExpertHyperparameters experts;
  std::vector<LayerHyperparameters> layers;

  int32_t n_layers() const { return static_cast<int32_t>(layers.size()); }
};

// All that reads the residual stream is an RMS norm, whose halves follow each other: members of a group may then
// have only their own columns of it, where the norms' readers are quantised and the shares suit (blocks.h).
bool may_cut_hidden(const Hyperparameters& model);

// kUnsupported for an unknown architecture or feature; kCorrupt or kNotFound names the key that is wrong or
// missing.
Result<Hyperparameters> read_hyperparameters(const formats::GgufFile& file);

}  // namespace exo::model
