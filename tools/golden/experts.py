"""Mixtures of experts for make_models.py: settings of the random models, metadata and tensors."""
import re


# Small, since each block has several experts: 3 blocks (a dense one first where the family has such).
BASE = dict(hidden_size=16, intermediate_size=24, num_attention_heads=2, num_key_value_heads=1, head_dim=8)
RANDOM = {
    "arcee": dict(model_type="arcee"),
    "mixtral": dict(BASE, model_type="mixtral", num_local_experts=4, num_experts_per_tok=2),
    "phimoe": dict(BASE, model_type="phimoe", num_local_experts=5, num_experts_per_tok=2, router_jitter_noise=0.01,
                   attention_bias=True, lm_head_bias=True),
    "qwen2moe": dict(BASE, model_type="qwen2_moe", num_experts=6, num_experts_per_tok=2, moe_intermediate_size=16,
                     shared_expert_intermediate_size=24),
    "qwen3moe": dict(BASE, model_type="qwen3_moe", num_experts=6, num_experts_per_tok=3, moe_intermediate_size=16,
                     norm_topk_prob=True),
    "glm4moe": dict(BASE, model_type="glm4_moe", n_routed_experts=8, num_experts_per_tok=2, moe_intermediate_size=8,
                    n_shared_experts=2, first_k_dense_replace=1, n_group=4, topk_group=2, norm_topk_prob=True,
                    routed_scaling_factor=1.5, use_qk_norm=True, attention_bias=True, rope_parameters={
                        "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}),
    "gpt-oss": dict(BASE, model_type="gpt_oss", num_local_experts=4, num_experts_per_tok=2, head_dim=16, intermediate_size=16,
                    num_hidden_layers=4, sliding_window=6, rope_parameters={
                        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "beta_fast": 32.0, "beta_slow": 1.0,
                        "original_max_position_embeddings": 32, "truncate": False}),
    "granitemoe": dict(BASE, model_type="granitemoe", num_local_experts=4, num_experts_per_tok=2,
                       embedding_multiplier=6.0, residual_multiplier=0.3, attention_multiplier=0.2, logits_scaling=2.0),
    "granitemoe-shared": dict(BASE, model_type="granitemoeshared", num_local_experts=4, num_experts_per_tok=2,
                              shared_intermediate_size=16, embedding_multiplier=6.0, residual_multiplier=0.3,
                              attention_multiplier=0.2, logits_scaling=2.0),
    "olmoe": dict(BASE, model_type="olmoe", num_experts=6, num_experts_per_tok=3),
    "dots1": dict(BASE, model_type="dots1", n_routed_experts=6, num_experts_per_tok=2, moe_intermediate_size=8,
                  n_shared_experts=2, first_k_dense_replace=1, norm_topk_prob=True, routed_scaling_factor=2.5),
    "hunyuan-moe": dict(BASE, model_type="hunyuan_v1_moe", num_experts=4, moe_topk=2),
    "hunyuan-dense": dict(model_type="hunyuan_v1_dense", head_dim=8),
    "ernie4.5": dict(model_type="ernie4_5", head_dim=8),
    "ernie4.5-moe": dict(BASE, model_type="ernie4_5_moe", moe_num_experts=6, moe_k=2, moe_intermediate_size=8,
                         moe_num_shared_experts=2, moe_layer_end_index=2),
    "minimax-m2": dict(BASE, model_type="minimax_m2", num_local_experts=6, num_experts_per_tok=2, rope_parameters={
        "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}),
}

ROUTER = re.compile(r"(mlp\.(gate|router|gate\.wg)|block_sparse_moe\.router\.layer)\.(weight|bias)$")
SHARED = re.compile(r"mlp\.shared_(experts?|mlp)\.(gate|up|down)_proj\.weight$")
GATE_UP = ("mlp.experts.gate_up_proj", "block_sparse_moe.input_linear.weight")
DOWN = ("mlp.experts.down_proj", "block_sparse_moe.output_linear.weight")


def first(config, *names, absent=None):
    return next((getattr(config, name) for name in names if getattr(config, name, None) is not None), absent)


def put_metadata(put, config):
    count = first(config, "num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    if not count:
        return
    put("expert_count", count)
    put("expert_used_count", first(config, "num_experts_per_tok", "moe_topk", "moe_k"))
    put("expert_feed_forward_length", first(config, "moe_intermediate_size", "intermediate_size"))
    if first(config, "n_group", absent=1) > 1:
        put("expert_group_count", config.n_group)
        put("expert_group_used_count", config.topk_group)
    if config.model_type in ("glm4_moe", "dots1"):
        put("leading_dense_block_count", config.first_k_dense_replace)
        put("expert_weights_scale", float(config.routed_scaling_factor))
        put("expert_weights_norm", bool(config.norm_topk_prob))
        put("expert_gating_func", 2)


def tensors(gguf, config, name, weight):
    """Writes the tensors that a parameter of an expert or a router becomes; False when it is none of these."""
    match = re.match(r"model\.layers\.(\d+)\.(.*)$", name)
    if not match:
        return False
    block, rest = f"blk.{match[1]}.", match[2]
    transposed = config.model_type == "gpt_oss"  # experts are [inputs, outputs], gates and ups alternate
    halves = (lambda w: (w[:, ::2], w[:, 1::2])) if transposed else (lambda w: w.chunk(2, dim=1))
    if transposed and rest in GATE_UP + DOWN:
        weight = weight.transpose(1, 2)
    if rest in GATE_UP and config.model_type == "granitemoeshared":  # some files keep both in one tensor
        gguf.tensor(f"{block}ffn_gate_up_exps.weight", weight)
    elif rest in GATE_UP or rest == "mlp.experts.gate_up_proj_bias":
        gate, up = halves(weight)
        kind = "bias" if rest.endswith("bias") else "weight"
        gguf.tensor(f"{block}ffn_gate_exps.{kind}", gate)
        gguf.tensor(f"{block}ffn_up_exps.{kind}", up)
    elif rest in DOWN:
        gguf.tensor(f"{block}ffn_down_exps.weight", weight)
    elif rest == "mlp.experts.down_proj_bias":
        gguf.tensor(f"{block}ffn_down_exps.bias", weight)
    elif router := ROUTER.match(rest):
        gguf.tensor(f"{block}ffn_gate_inp.{router[3]}", weight)
    elif rest.endswith("e_score_correction_bias"):
        gguf.tensor(f"{block}exp_probs_b.bias", weight.flatten())
    elif rest == "mlp.shared_expert_gate.weight":
        gguf.tensor(f"{block}ffn_gate_inp_shexp.weight", weight.flatten())
    elif shared := SHARED.match(rest):
        gguf.tensor(f"{block}ffn_{shared[2]}_shexp.weight", weight)
    elif rest == "shared_mlp.input_linear.weight":
        gate, up = weight.chunk(2)
        gguf.tensor(f"{block}ffn_gate_shexp.weight", gate)
        gguf.tensor(f"{block}ffn_up_shexp.weight", up)
    elif rest == "shared_mlp.output_linear.weight":
        gguf.tensor(f"{block}ffn_down_shexp.weight", weight)
    elif rest == "self_attn.sinks":
        gguf.tensor(f"{block}attn_sinks.weight", weight)
    else:
        return False
    return True
