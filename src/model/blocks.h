#pragma once
// The transformer block, composed from operations under an architecture's description. Vaswani et al. 2017, with
// grouped queries (Ainslie et al. 2023) and gated feed-forward (Shazeer 2020).

#include <span>

#include "model/hyperparameters.h"
#include "model/recurrent_state.h"
#include "model/tensor_group.h"
#include "model/weights.h"
#include "model/workspace.h"
#include "ops/ops.h"

namespace exo::model {

// What every block of a step shares.
struct BlockContext {
  ops::Ops& ops;
  const Hyperparameters& model;
  const ops::RopeParams& rope;  // with frequency factors
  const Workspace& workspace;
  TensorGroup& group;  // of the devices that compute the stage together: this one alone, or several
  std::span<const Position> positions;  // of each row
  std::span<const ops::SequenceRows> sequences;
  std::span<const ops::SequenceRows> readers;  // as attention sees the rows; empty: as in `sequences`
  std::span<const float> temperatures;         // of each row's queries; empty: no block has any
  // Members have only their own columns of the residual stream between blocks, and exchange its norm instead, which
  // is smaller: see can_cut_hidden.
  bool hidden_is_cut = false;

  int64_t n_rows() const { return static_cast<int64_t>(positions.size()); }
};

// out = norm(x), per row; x: [rows, d_model] or any width the norm's weight has; out may be x.
void apply_norm(ops::Ops& ops, const Norm& norm, float epsilon, ops::Tensor x, ops::Tensor out);

// A block's memory of its sequences: one or the other.
struct LayerMemory {
  ops::KvCacheView cache;  // of attention
  DeltaNetState state;     // of a delta net
};

// Whether a block gives the same bits with hidden_is_cut.
bool can_cut_hidden(const TensorGroup& group, const Hyperparameters& model, const LayerWeights& weights);

// Runs one block on workspace.hidden: [n_rows, d_model], in place, and adds the rows to its memory. After an error
// of the group (TensorGroup::status) the result is meaningless.
void run_block(const BlockContext& context, const LayerHyperparameters& layer, const LayerWeights& weights,
               const LayerMemory& memory);

}  // namespace exo::model
