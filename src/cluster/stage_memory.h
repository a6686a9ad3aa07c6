#pragma once
// What a stage of a model takes on a device: weights of its layers, the embedding on the first stage and the output
// head on the last, KV cache for the asked context, activations, and a margin for what no formula counts.

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/placement.h"

namespace exo::cluster {

class StageMemory {
 public:
  // kInvalidArgument: the facts contradict themselves or hold sizes beyond any machine.
  static Result<StageMemory> of(const wire::ModelFacts& model, const PlacementRequest& request);

  int32_t n_layers() const { return static_cast<int32_t>(weights_.size()) - 1; }
  uint64_t weight_bytes(int32_t begin, int32_t end) const;      // with embedding and head where they belong
  uint64_t kv_bytes(int32_t begin, int32_t end) const;          // and the states of all sequences
  uint64_t activation_bytes(int32_t begin, int32_t end) const;  // more on the last stage: the logits
  uint64_t need(int32_t begin, int32_t end) const;
  // Of weight_bytes, what every member of a group has: the embedding.
  uint64_t shared_weight_bytes(int32_t begin) const { return begin == 0 ? embedding_ : 0; }
  bool fits(int32_t begin, int32_t end, uint64_t budget_bytes) const {
    return need(begin, end) <= usable(budget_bytes);
  }
  // The budget less the margin: a thirty-second part.
  static uint64_t usable(uint64_t budget_bytes) { return budget_bytes - budget_bytes / 32; }

 private:
  std::vector<uint64_t> weights_, kv_;  // sums over the layers before; [n_layers + 1]
  uint64_t embedding_ = 0, head_ = 0, activations_ = 0, logits_ = 0;
};

}  // namespace exo::cluster
