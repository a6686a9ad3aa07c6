#pragma once
// One device's part of a model: a range of transformer blocks, with the embedding in the first stage and the head
// in the last; and the KV cache of those blocks. Of a stage that several devices compute together, each has a
// share.

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "model/model_info.h"
#include "model/tensor_group.h"
#include "model/tensor_share.h"
#include "ops/ops.h"

namespace exo::model {

struct StageConfig {
  LayerRange layers;
  TensorShare share;             // of every tensor, where a group of devices computes the stage together
  int32_t max_batch_rows = 512;  // rows of the largest step
  int32_t block_positions = 32;  // positions per KV block
  int32_t n_blocks = 0;          // KV blocks, shared by all sequences
  ElementType kv_type = ElementType::kF16;
  // The longest sequence that will be run: chooses between the short and long rope factors of models that have both
  // (the same on every stage of a ring). 0: what the cache holds, at most the trained context.
  int32_t max_sequence_positions = 0;
  // Sequences known at the same time to a model that keeps a state for each (ModelInfo::state_bytes).
  int32_t max_slots = 16;
  // The weights are more than memory holds: they stay in the file until they are used, every time.
  bool stream_weights = false;
};

// Consecutive rows of one sequence in a step. `block_table` covers every position up to first + n_tokens.
struct StepSequence {
  Position first;
  int32_t n_tokens = 0;
  std::span<const BlockId> block_table;
  bool wants_logits = false;  // of the last row, and of the `n_draft` rows before it
  int32_t n_draft = 0;        // below n_tokens
  // Where models that keep a state for each sequence keep this one's. There a sequence begins at position 0,
  // continues where its last step ended, and has no drafts: what a state has seen cannot be taken back.
  int32_t slot = 0;
};

struct StepInput {
  std::span<const StepSequence> sequences;
  std::span<const TokenId> tokens;     // first stage: [n_rows]
  std::span<const float> activations;  // other stages: [n_rows, d_model] f32 row-major
  GroupExchange* group = nullptr;      // where the stage is a share; every member gets the same step
};

// Loading progress in bytes of this stage's weights; false cancels.
using LoadProgress = std::function<bool(uint64_t done_bytes, uint64_t total_bytes)>;

class Stage {
 public:
  virtual ~Stage() = default;

  // Not last stage: out is [n_rows, d_model]. Last stage: [number of rows whose logits are wanted, n_vocab], in
  // order; empty on a member of a group that is not its leader. `out` stays valid until the next call. Errors:
  // kInvalidArgument for shapes, positions or tokens out of range (they may come from a peer); nothing of the cache
  // is touched then. What the group's exchange reports: the step's positions are to be computed anew.
  virtual Result<std::span<const float>> forward(const StepInput& input) = 0;
  // As forward on the last stage, but logits of every row: [n_rows, n_vocab]. For reference checks.
  virtual Result<std::span<const float>> forward_all_logits(const StepInput& input) = 0;

  // The cache's bytes, to carry them from one stage to another of the same model, type and block size. Layer by
  // layer; of each the blocks in order; of a block its keys, then its values, each [n_kv_heads, block_positions,
  // width] as config().kv_type stores them. kInvalidArgument for layers and blocks that are not the stage's, and
  // for another number of bytes than blocks.size() * the sum of cache_block_bytes(); nothing is touched then.
  virtual uint64_t cache_block_bytes(LayerIndex layer) const = 0;  // of a layer of the stage
  virtual Status read_cache(LayerRange layers, std::span<const BlockId> blocks, std::span<std::byte> to) const = 0;
  virtual Status write_cache(LayerRange layers, std::span<const BlockId> blocks,
                             std::span<const std::byte> from) = 0;

  virtual const ModelInfo& model() const = 0;
  virtual const StageConfig& config() const = 0;
  virtual uint64_t weight_bytes() const = 0;
  virtual uint64_t kv_bytes() const = 0;  // with the states of all slots
};

}  // namespace exo::model
