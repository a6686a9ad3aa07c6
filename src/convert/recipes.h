#pragma once
// The ways in which a folder's tensors become a GGUF file's.

#include "convert/family.h"

namespace exo::convert::recipes {

// weight → NAME.weight, bias → NAME.bias.
Status projection(const RecipeInput& input);
// The same, stored as [in, out] (GPT-2's Conv1D).
Status transposed_projection(const RecipeInput& input);
// weight and bias as vectors; the weight plus one where the family stores it less one.
Status norm(const RecipeInput& input);
// The same without "plus one", whatever the family.
Status plain_norm(const RecipeInput& input);
// A weight of one row → NAME.weight, a vector.
Status vector(const RecipeInput& input);
// A tensor that has no ".weight" behind its name → NAME, a vector.
Status bare_vector(const RecipeInput& input);
// One norm per head, stored as MODULE.0.weight, MODULE.1.weight, … → NAME.weight, a row for each.
Status norm_per_head(const RecipeInput& input);

// Fused projections in rows of [group: its queries, key, value] → all queries, all keys, all values.
Status grouped_qkv(const RecipeInput& input);

// MODULE.N.gate_proj (or w1), up_proj (w3), down_proj (w2), or MODULE.gate_up_proj and down_proj of all experts →
// ffn_gate_exps, ffn_up_exps, ffn_down_exps, with biases where there are.
Status experts(const RecipeInput& input);
// MODULE.gate_proj, up_proj and down_proj with all experts' rows below each other, as MLX stores them → the same.
Status stacked_experts(const RecipeInput& input);
// A fused weight of all experts' gates and ups → ffn_gate_exps, ffn_up_exps.
Status fused_gate_up(const RecipeInput& input);
// A weight with all experts' rows below each other → NAME.weight, a stack.
Status expert_stack(const RecipeInput& input);
// Gate and up below each other → ffn_gate_shexp, ffn_up_shexp.
Status shared_gate_up(const RecipeInput& input);

// DeepSeek's kv_b_proj, per head [keys without rotation, values] → attn_k_b transposed, attn_v_b; or, in formats
// that cannot be transposed, attn_kv_b as it is.
Status latent_kv(const RecipeInput& input);

// Gated delta nets: the linear attention of Qwen3-Next and Qwen 3.5. Value heads are put in the order that the
// family's GGUF files have.
Status delta_qkvz(const RecipeInput& input);      // per key head [q, k, its v, its z] → attn_qkv, attn_gate
Status delta_mixed(const RecipeInput& input);     // rows (or channels, [channels, 1, taps]) of all q, all k, all v
Status delta_gate(const RecipeInput& input);      // rows of all z
Status delta_per_head(const RecipeInput& input);  // a row for each value head
Status delta_output(const RecipeInput& input);    // columns of all values
Status delta_step(const RecipeInput& input);      // dt_bias
Status delta_decay(const RecipeInput& input);     // A_log → -exp(A_log)

}  // namespace exo::convert::recipes
