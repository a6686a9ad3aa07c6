"""Settings of the random models that make_folders.py writes: those of make_models.py made smaller, and what only
folders have (families without a GGUF file here, and models that also see)."""
import experts
import make_models
import mixers

FEW = dict(vocab_size=40, num_hidden_layers=2, hidden_size=16, intermediate_size=12)
BASE = experts.BASE
HALF_ROTARY = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}

# Experts are few and narrow: most are no squares, which would not show when they are
# turned; llama4's gates and ups together are one.
MOST = {"moe_intermediate_size": 12, "intermediate_size": 36}
COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")

# What a family's pattern of blocks needs, or what would still be large.
OWN = {
    "cohere2": dict(num_hidden_layers=4, hidden_size=16, num_attention_heads=2, num_key_value_heads=1),
    "gemma3": dict(num_hidden_layers=3, intermediate_size=12,
                   layer_types=["sliding_attention", "sliding_attention", "full_attention"]),
    "llama": dict(hidden_size=32),
    "stablelm": dict(num_attention_heads=2, num_key_value_heads=1),
    "stablelm-parallel": dict(hidden_size=32),
    "mistral": dict(head_dim=8),
    "qwen3": dict(head_dim=8),
    "gemma": dict(head_dim=8),
    "smollm3": dict(num_hidden_layers=4, hidden_size=16, num_attention_heads=2, num_key_value_heads=1),
    "gptneox": dict(intermediate_size=32, num_attention_heads=2),
    "gpt-oss": dict(num_hidden_layers=2, num_local_experts=3, intermediate_size=12),
    "qwen3next": dict(num_hidden_layers=2, full_attention_interval=2),
    "qwen35": dict(num_hidden_layers=2, full_attention_interval=2),
    "qwen35moe": dict(num_hidden_layers=2, full_attention_interval=2),
    "llama4": dict(num_local_experts=3),
    "mixtral": dict(intermediate_size=12),
    "phimoe": dict(intermediate_size=12),
    "minimax-m2": dict(intermediate_size=12),
    "granitemoe": dict(intermediate_size=12),
    "granitemoe-shared": dict(intermediate_size=12),
    "hunyuan-moe": dict(intermediate_size=12),
    "olmoe": dict(intermediate_size=12),
    # Only as folders.
    "gemma2": dict(final_logit_softcapping=5.0, attn_logit_softcapping=10.0),
    "deepseek-v2-grouped": dict(mixers.LATENT, model_type="deepseek_v2", q_lora_rank=12, n_routed_experts=8,
                                num_experts_per_tok=3, topk_method="group_limited_greedy", n_group=4, topk_group=2,
                                routed_scaling_factor=2.0, moe_intermediate_size=8),
    "glm": dict(model_type="glm", head_dim=8, attention_bias=True, rope_parameters=HALF_ROTARY),
    "gpt2": dict(model_type="gpt2", max_position_embeddings=24, hidden_size=16, num_attention_heads=2),
    "seed-oss": dict(model_type="seed_oss", head_dim=8, attention_bias=True, attention_out_bias=False),
    "qwen2-windowed": dict(model_type="qwen2", use_sliding_window=True, sliding_window=6, max_window_layers=1),
}
ABSENT = {"gpt2": ("intermediate_size",)}  # fields that the family has not
REPEATED = ("qwen3next-together",)  # the same parameters in another GGUF layout

# Models that also see: settings of the part that speaks; `vision` of the part that is left out here.
SMALL_TEXT = {**make_models.SMALL, **FEW, **BASE, "pad_token_id": 0}
LLAMA4_TEXT = {**mixers.RANDOM["llama4"], **OWN["llama4"], "num_hidden_layers": 2, "intermediate_size": 12}
LLAMA4_TEXT.pop("model_type")
QWEN_VISION = dict(depth=1, hidden_size=8, out_hidden_size=16, num_heads=1, intermediate_size=8, patch_size=2,
                   num_position_embeddings=4)
DELTA_TEXT = {**mixers.DELTA, "intermediate_size": 12, "num_hidden_layers": 2, "full_attention_interval": 2,
              "rope_parameters": {**mixers.DELTA["rope_parameters"], "mrope_section": [1, 1, 0],
                                  "mrope_interleaved": True}}
SEEING = {
    "gemma3-vision": dict(
        model_type="gemma3", mm_tokens_per_image=1, image_token_index=39, boi_token_index=38, eoi_token_index=37,
        text=dict(query_pre_attn_scalar=8, sliding_window=6, num_hidden_layers=2, intermediate_size=12,
                  layer_types=["sliding_attention", "full_attention"]),
        vision=dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=8,
                    patch_size=4)),
    "llama4-vision": dict(
        model_type="llama4", image_token_index=39, boi_token_index=38, eoi_token_index=37,
        text=LLAMA4_TEXT,
        vision=dict(hidden_size=8, intermediate_size=32, num_hidden_layers=1, num_attention_heads=1, image_size=8,
                    patch_size=4, projector_input_dim=8, projector_output_dim=8, vision_output_dim=8)),
    "qwen2vl": dict(model_type="qwen2_vl", text=dict(rope_parameters=MROPE), vision=dict(
        depth=1, embed_dim=8, hidden_size=16, num_heads=1, mlp_ratio=1, patch_size=2)),
    "qwen2.5vl": dict(model_type="qwen2_5_vl", text=dict(rope_parameters=MROPE), vision={
        key: value for key, value in QWEN_VISION.items() if key != "num_position_embeddings"}),
    "qwen3vl": dict(model_type="qwen3_vl", text=dict(rope_parameters=MROPE), vision=dict(
        QWEN_VISION, deepstack_visual_indexes=[])),
    "qwen3vl-moe": dict(model_type="qwen3_vl_moe", text=dict(
        rope_parameters=MROPE, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=12), vision=dict(
        QWEN_VISION, deepstack_visual_indexes=[])),
    "qwen35-vision": dict(model_type="qwen3_5", text=DELTA_TEXT, vision=QWEN_VISION),
    "qwen35moe-vision": dict(model_type="qwen3_5_moe", text=dict(
        DELTA_TEXT, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=8, shared_expert_intermediate_size=8),
        vision=QWEN_VISION),
}


def names():
    speaking = [name for name in make_models.RANDOM if name not in REPEATED]
    return speaking + [name for name in OWN if name not in speaking] + list(SEEING)


def settings(name):
    """The configuration's fields, model_type among them."""
    if name not in SEEING:
        every = {**make_models.SMALL, **FEW, **make_models.RANDOM.get(name, {}), **OWN.get(name, {})}
        every.update({key: min(value, MOST[key]) for key, value in every.items() if key in MOST})
        if "n_group" not in every:
            every.update({key: min(value, 4) for key, value in every.items() if key in COUNTS})
        return {key: value for key, value in every.items() if key not in ABSENT.get(name, ())}
    own = dict(SEEING[name])
    text, vision = {**SMALL_TEXT, **own.pop("text")}, own.pop("vision")
    return dict(own, text_config=text, vision_config=vision, tie_word_embeddings=False)
