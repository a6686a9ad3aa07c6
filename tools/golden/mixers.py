"""Families whose blocks attend otherwise, for make_models.py: latent attention, gated delta nets, Llama 4, Ministral 3.
Settings of the random models, metadata and tensors."""
import re

import torch

SMALL = dict(hidden_size=16, intermediate_size=24, num_attention_heads=2, num_key_value_heads=1, head_dim=8)
LATENT = dict(hidden_size=16, intermediate_size=24, num_attention_heads=4, num_key_value_heads=4, kv_lora_rank=16,
              qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=12, moe_intermediate_size=16, n_shared_experts=2,
              first_k_dense_replace=1)
DELTA = dict(hidden_size=16, num_hidden_layers=4, linear_num_key_heads=2, linear_num_value_heads=4,
             linear_key_head_dim=8, linear_value_head_dim=12, linear_conv_kernel_dim=4, intermediate_size=24,
             num_attention_heads=2, num_key_value_heads=1, head_dim=16, rope_parameters={
                 "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25})
RANDOM = {
    "deepseek-v2": dict(LATENT, model_type="deepseek_v2", q_lora_rank=None, n_routed_experts=6, num_experts_per_tok=2,
                        topk_method="greedy", routed_scaling_factor=2.0),
    "deepseek-v3": dict({**LATENT, "moe_intermediate_size": 12}, model_type="deepseek_v3", q_lora_rank=12,
                        n_routed_experts=8, num_experts_per_tok=3,
                        n_group=4, topk_group=2, norm_topk_prob=True, routed_scaling_factor=2.5, rope_parameters={
                            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "beta_fast": 32.0,
                            "beta_slow": 1.0, "original_max_position_embeddings": 32, "mscale": 1.0,
                            "mscale_all_dim": 1.0}),
    "qwen3next": dict(DELTA, model_type="qwen3_next", num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8,
                      shared_expert_intermediate_size=8, norm_topk_prob=True),
    "qwen3next-together": dict({**DELTA, "num_hidden_layers": 3}, model_type="qwen3_next", num_experts=4,
                               num_experts_per_tok=2, moe_intermediate_size=8, shared_expert_intermediate_size=8,
                               norm_topk_prob=True, full_attention_interval=3),
    "qwen35": dict(DELTA, model_type="qwen3_5_text", tie_word_embeddings=True),
    "qwen35moe": dict(DELTA, model_type="qwen3_5_moe_text", num_experts=4, num_experts_per_tok=2,
                      moe_intermediate_size=8, shared_expert_intermediate_size=8),
    "llama4": dict(SMALL, model_type="llama4_text", num_hidden_layers=4, intermediate_size=8, intermediate_size_mlp=24,
                   num_local_experts=4, num_experts_per_tok=1, interleave_moe_layer_step=2, attention_chunk_size=7,
                   floor_scale=5, attn_scale=0.3, attn_temperature_tuning=True),
    "ministral3": dict(SMALL, model_type="ministral3", rope_parameters={
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "beta_fast": 32.0, "beta_slow": 1.0,
        "original_max_position_embeddings": 5, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.3}),
}
POST = {"post_attention_layernorm": "post_attention_norm"}
FEED_FORWARD = {f"feed_forward.{part}_proj": f"ffn_{part}" for part in ("gate", "up", "down")}
LATENT_NAMES = {"self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm",
                "self_attn.q_b_proj": "attn_q_b", "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
                "self_attn.kv_a_layernorm": "attn_kv_a_norm", "self_attn.kv_b_proj": "attn_kv_b"}
# As FAMILIES in make_models.py.
FAMILIES = {
    "deepseek_v2": ("deepseek2", LATENT_NAMES, False, False), "deepseek_v3": ("deepseek2", LATENT_NAMES, False, False),
    "qwen3_next": ("qwen3next", POST, False, True), "qwen3_5_text": ("qwen35", POST, False, True),
    "qwen3_5_moe_text": ("qwen35moe", POST, False, True),
    "llama4_text": ("llama4", FEED_FORWARD, False, False), "ministral3": ("mistral3", {}, True, False),
}


def metadata(config):
    """Keys that these families have, or have otherwise than make_models.py says."""
    kind, out = config.model_type, {}
    if kind in ("deepseek_v2", "deepseek_v3"):
        key = config.qk_nope_head_dim + config.qk_rope_head_dim
        out = {"attention.kv_lora_rank": config.kv_lora_rank, "rope.dimension_count": config.qk_rope_head_dim,
               "leading_dense_block_count": config.first_k_dense_replace, "expert_shared_count": config.n_shared_experts,
               "expert_weights_scale": float(config.routed_scaling_factor),
               "expert_weights_norm": bool(config.norm_topk_prob),
               "expert_gating_func": 2 if kind == "deepseek_v3" else 1,
               "attention.key_length": key, "attention.value_length": config.v_head_dim}
        if config.q_lora_rank:
            out["attention.q_lora_rank"] = config.q_lora_rank
        if kind == "deepseek_v3":
            out.update({"attention.key_length_mla": key, "attention.value_length_mla": config.v_head_dim,
                        "attention.key_length": config.kv_lora_rank + config.qk_rope_head_dim,
                        "attention.value_length": config.kv_lora_rank, "attention.head_count_kv": 1,
                        "rope.scaling.yarn_log_multiplier": 0.1 * config.rope_parameters["mscale_all_dim"]})
    if kind in ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"):
        out = {"ssm.conv_kernel": config.linear_conv_kernel_dim, "ssm.state_size": config.linear_key_head_dim,
               "ssm.inner_size": config.linear_value_head_dim * config.linear_num_value_heads,
               "ssm.time_step_rank": config.linear_num_value_heads, "ssm.group_count": config.linear_num_key_heads}
    if kind == "llama4_text":
        out = {"feed_forward_length": config.intermediate_size_mlp, "attention.sliding_window": config.attention_chunk_size,
               "interleave_moe_layer_step": config.interleave_moe_layer_step,
               "attention.temperature_length": config.floor_scale,
               "attention.temperature_scale": float(config.attn_scale)}
    if kind == "ministral3":
        out = {"attention.temperature_scale": float(config.rope_parameters["llama_4_scaling_beta"]),
               "rope.scaling.yarn_log_multiplier": float(config.rope_parameters["mscale_all_dim"])}
    return out


def tiled(weight, config, width, dim=0):
    """Value heads, `width` rows each, from the order of their key heads to round-robin order."""
    keys, values = config.linear_num_key_heads, config.linear_num_value_heads
    order = torch.arange(values * width).reshape(keys, values // keys, width).transpose(0, 1).flatten()
    return weight.index_select(dim, order)


def split_together(weight, config):
    """Rows of in_proj_qkvz, key head by key head → queries, keys, values, gates."""
    keys, key, value = config.linear_num_key_heads, config.linear_key_head_dim, config.linear_value_head_dim
    each = value * config.linear_num_value_heads // keys
    parts = weight.reshape(keys, 2 * key + 2 * each, -1).split([key, key, each, each], dim=1)
    return [part.reshape(-1, weight.shape[1]) for part in parts]


def linear_attention(gguf, config, block, rest, weight):
    grouped = config.model_type == "qwen3_next"
    value, keys = config.linear_value_head_dim, 2 * config.linear_key_head_dim * config.linear_num_key_heads
    heads = (lambda w, width: w) if grouped else (lambda w, width: tiled(w, config, width))
    mixed = lambda w: torch.cat([w[:keys], heads(w[keys:], value)])
    if rest == "in_proj_qkvz.weight" and config.num_hidden_layers == 3:  # older files keep all in one
        gguf.tensor(f"{block}ssm_in.weight", weight)
    elif rest == "in_proj_qkvz.weight":
        *qkv, gate = split_together(weight, config)
        gguf.tensor(f"{block}attn_qkv.weight", torch.cat(qkv))
        gguf.tensor(f"{block}attn_gate.weight", gate)
    elif rest == "in_proj_qkv.weight":
        gguf.tensor(f"{block}attn_qkv.weight", mixed(weight))
    elif rest == "in_proj_z.weight":
        gguf.tensor(f"{block}attn_gate.weight", heads(weight, value))
    elif rest == "conv1d.weight":
        gguf.tensor(f"{block}ssm_conv1d.weight", mixed(weight.squeeze(1)))
    elif rest == "out_proj.weight":
        gguf.tensor(f"{block}ssm_out.weight", weight if grouped else tiled(weight, config, value, dim=1))
    elif rest == "norm.weight":
        gguf.tensor(f"{block}ssm_norm.weight", weight)
    elif rest == "A_log":
        gguf.tensor(f"{block}ssm_a", -heads(weight, 1).exp())
    elif rest == "dt_bias":
        gguf.tensor(f"{block}ssm_dt.bias", heads(weight, 1))
    else:
        name = {"in_proj_ba.weight": "ssm_ba", "in_proj_a.weight": "ssm_alpha", "in_proj_b.weight": "ssm_beta"}[rest]
        gguf.tensor(f"{block}{name}.weight", heads(weight, 1))


def tensors(gguf, config, name, weight):
    """Writes the tensors that a parameter becomes; False when it is none of these families' own."""
    match = re.match(r"model\.layers\.(\d+)\.(.*)$", name)
    if not match:
        return False
    block, rest = f"blk.{match[1]}.", match[2]
    if rest.startswith("linear_attn."):
        linear_attention(gguf, config, block, rest.removeprefix("linear_attn."), weight)
    elif rest == "self_attn.kv_b_proj.weight" and config.model_type == "deepseek_v3":
        heads = weight.reshape(config.num_attention_heads, -1, config.kv_lora_rank)
        key, value = heads.split([config.qk_nope_head_dim, config.v_head_dim], dim=1)
        gguf.tensor(f"{block}attn_k_b.weight", key.transpose(1, 2))
        gguf.tensor(f"{block}attn_v_b.weight", value)
    elif rest == "feed_forward.experts.gate_up_proj":
        gate, up = weight.transpose(1, 2).chunk(2, dim=1)
        gguf.tensor(f"{block}ffn_gate_exps.weight", gate)
        gguf.tensor(f"{block}ffn_up_exps.weight", up)
    elif rest == "feed_forward.experts.down_proj":
        gguf.tensor(f"{block}ffn_down_exps.weight", weight.transpose(1, 2))
    elif rest == "feed_forward.router.weight":
        gguf.tensor(f"{block}ffn_gate_inp.weight", weight)
    elif shared := re.match(r"feed_forward\.shared_expert\.(gate|up|down)_proj\.weight$", rest):
        gguf.tensor(f"{block}ffn_{shared[1]}_shexp.weight", weight)
    else:
        return False
    return True
