#pragma once
// What a model is, without its weights: enough to plan a placement and to talk about it.

#include <cstdint>
#include <string>
#include <vector>

#include "base/element_type.h"

namespace exo::model {

// Of layer_bytes together, of expert_bytes together and of head_bytes, what one number format has.
struct FormatBytes {
  ElementType type = ElementType::kF32;
  uint64_t layer_bytes = 0, expert_bytes = 0, head_bytes = 0;
  bool operator==(const FormatBytes&) const = default;
};

struct ModelInfo {
  std::string architecture;  // "llama", "qwen3", …
  std::string name;          // general.name, or the file's stem
  int32_t n_layers = 0;
  int32_t d_model = 0;
  int32_t n_vocab = 0;
  int32_t context_length = 0;  // trained
  int64_t n_parameters = 0;
  std::vector<uint64_t> layer_bytes;  // weights of each block, as stored
  uint64_t embedding_bytes = 0;       // first stage
  uint64_t head_bytes = 0;            // last stage; a tied embedding counts here too when the stages differ
  std::vector<uint64_t> kv_bytes_per_position;  // of each block with an F16 cache
  // Of each block, for each sequence, whatever its length; 0 for blocks that keep keys and values. A model with any
  // cannot continue a sequence but where it ended: see StepSequence::slot.
  std::vector<uint64_t> state_bytes;
  // Mixture of experts: what of layer_bytes the routed experts take; empty: there are none. A token uses
  // n_experts_used of n_experts.
  std::vector<uint64_t> expert_bytes;
  int32_t n_experts = 0, n_experts_used = 0;
  int32_t attention_width = 0;  // query heads × the mean width of their keys and values, as cached
  // Equal parts into which the heads of every block divide; 1: devices cannot compute its blocks together.
  int32_t tensor_parallel_parts = 0;
  bool kv_whole_in_groups =
      false;  // a block's query heads all read one key-value head, which no member can do without
  int32_t feed_forward_width = 0;    // between its projections, at most; of a token's experts together
  bool exchanges_norms = false;      // may_cut_hidden(), of quantised weights
  std::vector<FormatBytes> formats;  // by type
  std::string weight_type;           // the most frequent format by bytes: "Q4_0"
};

}  // namespace exo::model
