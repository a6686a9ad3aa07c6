#pragma once
// One step's input, checked: it may come from a peer.

#include <cstdint>
#include <vector>

#include "model/stage.h"
#include "ops/ops.h"

namespace exo::model {

struct StepLimits {
  bool takes_tokens = false;  // first stage; others take activations
  int32_t d_model = 0;
  int32_t n_vocab = 0;
  int32_t max_rows = 0;
  int32_t n_blocks = 0;
  int32_t block_positions = 0;
  int64_t max_positions =
      0;  // of a sequence, where the model has a table of positions; 0: no limit but the cache's
};

// Keeps its memory from step to step.
class Step {
 public:
  // kInvalidArgument names what is out of range; the step is then empty.
  Status prepare(const StepInput& input, const StepLimits& limits);

  int32_t n_rows() const { return static_cast<int32_t>(positions_.size()); }
  std::span<const ops::SequenceRows> sequences() const { return sequences_; }
  std::span<const Position> positions() const { return positions_; }
  std::span<const int32_t> logit_rows() const { return logit_rows_; }  // of the sequences that want logits

 private:
  Status add_sequence(const StepSequence& sequence, const StepLimits& limits);

  std::vector<ops::SequenceRows> sequences_;
  std::vector<Position> positions_;
  std::vector<int32_t> logit_rows_;
};

}  // namespace exo::model
