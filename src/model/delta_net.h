#pragma once
// The gated delta net (Yang et al. 2024), as Qwen3-Next and Qwen3.5 have it: instead of attending to all positions
// before, a block folds them into one matrix per head. Projections, a short convolution over positions, the delta
// rule (ops::DeltaRule), and a norm of each head under a gate.

#include "model/block_loader.h"
#include "model/blocks.h"
#include "model/hyperparameters.h"
#include "model/metadata_reader.h"
#include "model/weights.h"

namespace exo::model {

// Sets `delta_net` and which blocks are one, those with the tensor ssm_a; they cache no keys and values.
Status read_delta_net(const MetadataReader& reader, const formats::GgufFile& file, Hyperparameters& out);

// All three layouts of files: queries, keys and values as attn_qkv beside attn_gate, or with it as ssm_in, key head
// by key head; and the two small projections apart (ssm_alpha, ssm_beta) or as ssm_ba, key head by key head.
Result<DeltaNetWeights> load_delta_net(TensorLoader& loader, const BlockNames& names, const Hyperparameters& model);

// input: [n_rows, d_model] → [n_rows, value_width], in the workspace.
ops::Tensor run_delta_net(const BlockContext& context, const DeltaNetWeights& weights, const DeltaNetState& state,
                          ops::Tensor input);

}  // namespace exo::model
