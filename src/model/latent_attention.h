#pragma once
// Multi-head latent attention (DeepSeek-V2, 2024): the keys and values of all heads are projections of one small
// latent vector per position, beside a rotated part of the key that all heads share. Only latent vector and rotated
// part are cached, as one key head whose value is its own beginning.
//
// The projections out of the latent space are absorbed: a head's query is carried into the latent space before the
// attention (q·(U c) = (Uᵀ q)·c) and the attended latent vector out of it afterwards. That is more arithmetic per
// pair of positions than projecting the whole cache, and reads far less memory.

#include "model/block_loader.h"
#include "model/blocks.h"
#include "model/hyperparameters.h"
#include "model/metadata_reader.h"
#include "model/weights.h"

namespace exo::model {

// Sets `latent` and what follows from it: the cached dimensions, one key-value head in every block, the scale of
// q·k and rope's place in a head. After the rest has been read.
Status read_latent_attention(const MetadataReader& reader, Hyperparameters& out);

// Both layouts of files: attn_kv_b with a head's key rows above its value rows, or attn_k_b, transposed, and
// attn_v_b.
Result<LatentAttentionWeights> load_latent_attention(TensorLoader& loader, const BlockNames& names,
                                                     const Hyperparameters& model,
                                                     const LayerHyperparameters& layer, const TensorShare& share);

// input: [n_rows, d_model] → [n_rows, this member's heads * value_dim], in the workspace.
ops::Tensor attend_latent(const BlockContext& context, const LayerHyperparameters& layer,
                          const LatentAttentionWeights& weights, const ops::KvCacheView& cache, ops::Tensor input);

}  // namespace exo::model
