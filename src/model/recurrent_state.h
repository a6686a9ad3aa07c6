#pragma once
// What the blocks of a stage that are delta nets remember of the sequences, slot by slot, beside the paged cache of
// the others. It cannot be taken back or shared: a slot's sequence grows position by position, and begins anew at
// 0.

#include <memory>
#include <span>
#include <vector>

#include "model/hyperparameters.h"
#include "model/stage.h"
#include "ops/ops.h"

namespace exo::model {

// Of one block.
struct DeltaNetState {
  ops::StateView convolution;  // [n_taps - 1, mixed_width] of each slot
  ops::StateView heads;        // [n_heads, value_dim, key_dim] of each slot
};

class RecurrentState {
 public:
  // Empty for a model without delta nets. kInvalidArgument for no slots, kResourceExhausted when it does not fit.
  static Result<RecurrentState> allocate(const Hyperparameters& model, const StageConfig& config, ops::Ops& ops);

  // Of the stage's i-th block, counted from its first; empty for those with attention.
  const DeltaNetState& layer(size_t i) const { return layers_[i]; }
  uint64_t bytes() const { return bytes_; }

  // kInvalidArgument for a slot out of range or twice, drafts, or a sequence that does not begin where its slot's
  // ended, nor at 0.
  Status check(std::span<const StepSequence> sequences) const;
  // A step begins to change the slots of these sequences, which check() accepted; a step that does not end leaves
  // them unusable until a sequence begins there anew.
  void begin_step(std::span<const StepSequence> sequences);
  void end_step(std::span<const StepSequence> sequences);

 private:
  std::vector<DeltaNetState> layers_;
  std::vector<std::unique_ptr<ops::Buffer>> buffers_;
  std::vector<int64_t> next_positions_;  // [max_slots]; empty without delta nets
  uint64_t bytes_ = 0;
};

// Of one sequence in one block.
uint64_t state_bytes(const Hyperparameters& model, const LayerHyperparameters& layer);

}  // namespace exo::model
