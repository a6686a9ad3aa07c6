#!/usr/bin/env python3
"""Makes the tiny models under src/model/testdata: random weights of each architecture, and the logits that Hugging
Face transformers computes for them in float32.

    python3 make_models.py OUT_FOLDER [FAMILY...]       random models, from a fixed seed
    python3 make_models.py OUT_FOLDER --checkpoint DIR  an existing Hugging Face folder (only the .gguf is written)

Needs torch, transformers (5.x), safetensors and numpy; the build and the tests of exo do not.

FAMILY.gguf holds matrices in BF16 (random weights are rounded to it first; a checkpoint's matrices that do not fit it
stay F32) and vectors in F32.
FAMILY.golden is little-endian: int32 n_tokens, int32 n_vocab, int32 tokens[n_tokens], float32 logits[n_tokens][n_vocab].
"""
import math
import pathlib
import struct
import sys

import numpy as np
import torch
import transformers

import experts
import mixers

F32, BF16 = 0, 30

# One Hugging Face name ending each -> name within a GGUF block. Later tables override, per family.
BLOCK = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "mlp.gate_up_proj": "ffn_up", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}
SANDWICH = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
            "post_feedforward_layernorm": "post_ffw_norm"}
FALCON = {"input_layernorm": "attn_norm", "ln_mlp": "attn_norm", "ln_attn": "attn_norm_2",
          "self_attention.query_key_value": "attn_qkv", "self_attention.dense": "attn_output",
          "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down"}
NEOX = {"attention.query_key_value": "attn_qkv", "attention.dense": "attn_output",
        "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down"}
PHI = {"self_attn.dense": "attn_output", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down"}
HUNYUAN = {"self_attn.query_layernorm": "attn_q_norm", "self_attn.key_layernorm": "attn_k_norm"}
POST_NORM = {"post_attention_layernorm": "post_attention_norm"}
GLM = {"post_self_attn_layernorm": "post_attention_norm", "post_mlp_layernorm": "post_ffw_norm"}
# model_type -> (GGUF architecture, block names, is q/k order interleaved, do norms store weight - 1)
FAMILIES = {
    "llama": ("llama", {}, True, False), "mistral": ("llama", {}, True, False), "qwen2": ("qwen2", {}, False, False),
    "qwen3": ("qwen3", {}, False, False), "gemma": ("gemma", {}, False, True),
    "gemma2": ("gemma2", SANDWICH, False, True), "gemma3_text": ("gemma3", SANDWICH, False, True),
    "olmo2": ("olmo2", SANDWICH, False, False), "glm4": ("glm4", GLM, False, False), "phi3": ("phi3", {}, False, False),
    "granite": ("granite", {}, True, False), "cohere": ("command-r", {}, False, False),
    "cohere2": ("cohere2", {}, False, False), "smollm3": ("smollm3", {}, True, False),
    "stablelm": ("stablelm", {}, False, False), "starcoder2": ("starcoder2", {}, False, False),
    "falcon": ("falcon", FALCON, False, False), "gpt_neox": ("gptneox", NEOX, False, False),
    "nemotron": ("nemotron", {}, False, True), "olmo": ("olmo", {}, True, False), "phi": ("phi2", PHI, False, False),
    "phimoe": ("phimoe", {}, False, False),
    "arcee": ("arcee", {}, True, False), "mixtral": ("llama", {}, True, False), "qwen2_moe": ("qwen2moe", {}, False, False),
    "qwen3_moe": ("qwen3moe", {}, False, False), "glm4_moe": ("glm4moe", POST_NORM, False, False),
    "gpt_oss": ("gpt-oss", POST_NORM, False, False), "granitemoe": ("granitemoe", {}, True, False),
    "granitemoeshared": ("granitemoe", {}, True, False), "olmoe": ("olmoe", {}, False, False),
    "dots1": ("dots1", {}, False, False), "hunyuan_v1_moe": ("hunyuan-moe", HUNYUAN, False, False),
    "hunyuan_v1_dense": ("hunyuan-dense", HUNYUAN, False, False), "ernie4_5": ("ernie4_5", {}, False, False),
    "ernie4_5_moe": ("ernie4_5-moe", {}, False, False), "minimax_m2": ("minimax-m2", {}, False, False),
}
FAMILIES.update(mixers.FAMILIES)
LAYER_NORM = {"command-r", "cohere2", "stablelm", "starcoder2", "falcon", "gptneox", "nemotron", "olmo", "phi2", "phimoe"}
OUTER = {"embed_tokens": "token_embd", "word_embeddings": "token_embd", "embed_in": "token_embd",
         "norm": "output_norm", "ln_f": "output_norm", "final_layer_norm": "output_norm",
         "final_layernorm": "output_norm", "lm_head": "output", "embed_out": "output"}

SMALL = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0)
DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
RANDOM = {
    "llama": dict(model_type="llama", rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0,
                  "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32},
                  tie_word_embeddings=True),
    "mistral": dict(model_type="mistral", sliding_window=6, head_dim=16),
    "qwen2": dict(model_type="qwen2", tie_word_embeddings=False),
    "qwen3": dict(model_type="qwen3", head_dim=16, tie_word_embeddings=True),
    "gemma": dict(model_type="gemma", head_dim=16, num_key_value_heads=1),
    "gemma2": dict(model_type="gemma2", head_dim=8, sliding_window=6, query_pre_attn_scalar=8),
    "gemma3": dict(model_type="gemma3_text", head_dim=8, sliding_window=6, query_pre_attn_scalar=8,
                   num_hidden_layers=7, hidden_size=16, intermediate_size=32, rope_parameters={
                       "full_attention": {"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0},
                       "sliding_attention": DEFAULT_ROPE}),
    "olmo2": dict(model_type="olmo2"),
    "glm4": dict(model_type="glm4", head_dim=8, attention_bias=True, rope_parameters={
        "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}),
    "phi3": dict(model_type="phi3", sliding_window=6),
    "granite": dict(model_type="granite", embedding_multiplier=6.0, residual_multiplier=0.3,
                    attention_multiplier=0.2, logits_scaling=2.0),
    "cohere": dict(model_type="cohere", logit_scale=0.25),
    "cohere2": dict(model_type="cohere2", logit_scale=0.25, sliding_window=6, num_hidden_layers=4),
    "smollm3": dict(model_type="smollm3", num_hidden_layers=4),
    "stablelm": dict(model_type="stablelm", use_qkv_bias=True, rope_parameters={
        "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}),
    "stablelm-parallel": dict(model_type="stablelm", use_parallel_residual=True, qk_layernorm=True,
                              num_key_value_heads=2),
    "starcoder2": dict(model_type="starcoder2", use_bias=True),
    "falcon": dict(model_type="falcon", new_decoder_architecture=True, num_kv_heads=2),
    "falcon-mqa": dict(model_type="falcon", new_decoder_architecture=False, multi_query=True, parallel_attn=True),
    "gptneox": dict(model_type="gpt_neox", intermediate_size=64, rope_parameters={
        "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}),
    "nemotron": dict(model_type="nemotron", head_dim=8, rope_parameters={
        "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}),
    "olmo": dict(model_type="olmo", clip_qkv=1.0),
    "phi2": dict(model_type="phi", rope_parameters={
        "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}),
}
RANDOM.update(experts.RANDOM)
RANDOM.update(mixers.RANDOM)


class Gguf:
    """Collects metadata and tensors; writes a version 3 file with alignment 32."""

    def __init__(self):
        self.entries, self.infos, self.data = [], [], b""

    def put(self, key, value):
        text = lambda s: struct.pack("<Q", len(s.encode())) + s.encode()
        if isinstance(value, bool):
            body = struct.pack("<IB", 7, value)
        elif isinstance(value, int):
            body = struct.pack("<II", 4, value)
        elif isinstance(value, float):
            body = struct.pack("<If", 6, value)
        elif isinstance(value, str):
            body = struct.pack("<I", 8) + text(value)
        elif isinstance(value[0], str):
            body = struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(v) for v in value)
        else:
            body = struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)
        self.entries.append(text(key) + body)

    def tensor(self, name, array):
        array = array.float().contiguous().numpy()
        bits = array.view(np.uint32)
        kind = BF16 if array.ndim > 1 and not (bits & 0xFFFF).any() else F32
        raw = (bits >> 16).astype("<u2").tobytes() if kind == BF16 else array.astype("<f4").tobytes()
        dims = struct.pack(f"<I{array.ndim}Q", array.ndim, *reversed(array.shape))
        encoded = name.encode()
        self.infos.append(struct.pack("<Q", len(encoded)) + encoded + dims + struct.pack("<IQ", kind, len(self.data)))
        self.data += raw + b"\0" * (-len(raw) % 32)

    def write(self, path):
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.infos), len(self.entries))
        head += b"".join(self.entries) + b"".join(self.infos)
        path.write_bytes(head + b"\0" * (-len(head) % 32) + self.data)


def interleave(weight, n_heads):
    """Rows of each head from (pair i, pair i + half) order to (2i, 2i + 1) order."""
    head = weight.shape[0] // n_heads
    shaped = weight.reshape(n_heads, 2, head // 2, *weight.shape[1:])
    return shaped.swapaxes(1, 2).reshape(weight.shape)


def group_qkv(weight, config):
    """Rows of a fused projection from [groups, queries + key + value] order to all queries, all keys, all values."""
    if config.model_type == "falcon" and not config.new_decoder_architecture:
        return weight
    groups = config.num_kv_heads if config.model_type == "falcon" else config.num_attention_heads
    per_group = config.num_attention_heads // groups
    head = config.hidden_size // config.num_attention_heads
    shaped = weight.reshape(groups, per_group + 2, head, *weight.shape[1:])
    parts = shaped[:, :per_group], shaped[:, per_group:per_group + 1], shaped[:, per_group + 1:]
    return torch.cat([part.reshape(-1, *weight.shape[1:]) for part in parts])


def kv_heads_of(config):
    if config.model_type == "falcon":
        return config.num_kv_heads if config.new_decoder_architecture else 1
    if config.model_type == "gpt_neox":
        return config.num_attention_heads
    return getattr(config, "num_key_value_heads", None) or config.num_attention_heads


def rope_of(config):
    rope = dict(getattr(config, "rope_parameters", None) or DEFAULT_ROPE)
    return rope.get("full_attention", rope)


def llama3_factors(rope, dims):
    """Factors that divide the frequencies, as the Llama 3.1 release defines them."""
    out = []
    low = rope["original_max_position_embeddings"] / rope["low_freq_factor"]
    high = rope["original_max_position_embeddings"] / rope["high_freq_factor"]
    for i in range(dims // 2):
        wave = 2 * math.pi * rope["rope_theta"] ** (2 * i / dims)
        if wave < high:
            out.append(1.0)
        elif wave > low:
            out.append(rope["factor"])
        else:
            smooth = (rope["original_max_position_embeddings"] / wave - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"])
            out.append(1.0 / ((1 - smooth) / rope["factor"] + smooth))
    return torch.tensor(out)


def put_metadata(gguf, config, arch):
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = rope_of(config)
    partial = rope.get("partial_rotary_factor") or getattr(config, "partial_rotary_factor", None) or 1.0
    own = mixers.metadata(config)
    put = lambda key, value: gguf.put(f"{arch}.{key}", own.pop(key, value))
    gguf.put("general.architecture", arch)
    gguf.put("general.name", f"tiny {config.model_type}")
    put("block_count", config.num_hidden_layers)
    put("context_length", config.max_position_embeddings)
    put("embedding_length", config.hidden_size)
    put("feed_forward_length", getattr(config, "ffn_hidden_size", None) or config.intermediate_size)
    put("attention.head_count", config.num_attention_heads)
    put("attention.head_count_kv", kv_heads_of(config))
    put("attention.key_length", head_dim)
    put("attention.value_length", head_dim)
    names = ("rms_norm_eps", "layer_norm_eps", "norm_epsilon", "layer_norm_epsilon", "norm_eps")
    epsilon = next((getattr(config, name) for name in names if getattr(config, name, None) is not None), 1e-5)
    put("attention.layer_norm_epsilon" if arch in LAYER_NORM else "attention.layer_norm_rms_epsilon", float(epsilon))
    put("rope.dimension_count", int(head_dim * partial))
    put("rope.freq_base", float(rope["rope_theta"]))
    if rope.get("rope_type") == "linear":
        put("rope.scaling.type", "linear")
        put("rope.scaling.factor", float(rope["factor"]))
    if arch in ("gemma2", "gemma3", "cohere2", "phi3", "llama", "gpt-oss") and getattr(config, "sliding_window", None):
        put("attention.sliding_window", config.sliding_window)
    if arch == "gemma2":
        put("attn_logit_softcapping", float(config.attn_logit_softcapping))
        put("final_logit_softcapping", float(config.final_logit_softcapping))
    if arch in ("gemma2", "gemma3") and config.query_pre_attn_scalar != head_dim:
        put("attention.scale", float(config.query_pre_attn_scalar) ** -0.5)
    if arch in ("granite", "granitemoe"):
        put("embedding_scale", float(config.embedding_multiplier))
        put("residual_scale", float(config.residual_multiplier))
        put("attention.scale", float(config.attention_multiplier))
        put("logit_scale", float(config.logits_scaling))
    if arch in ("cohere2", "command-r"):
        put("logit_scale", float(config.logit_scale))
    if rope.get("rope_type") == "yarn":
        put("rope.scaling.type", "yarn")
        put("rope.scaling.factor", float(rope["factor"]))
        put("rope.scaling.original_context_length", rope["original_max_position_embeddings"])
        put("rope.scaling.yarn_truncate", bool(rope.get("truncate", True)))
    if arch == "olmo" and config.clip_qkv:
        put("attention.clamp_kqv", float(config.clip_qkv))
    experts.put_metadata(put, config)
    if arch in ("stablelm", "gptneox"):
        put("use_parallel_residual", bool(config.use_parallel_residual))
    for key in list(own):
        put(key, None)
    return rope, int(head_dim * partial)


def convert(config, state, path, more={}):
    arch, names, interleaved, plus_one = FAMILIES[config.model_type]
    gguf = Gguf()
    rope, dims = put_metadata(gguf, config, arch)
    for key, value in more.items():
        gguf.put(f"{arch}.{key}", value)
    names, stacks = {**BLOCK, **names}, {}
    if rope.get("rope_type") == "llama3":
        gguf.tensor("rope_freqs.weight", llama3_factors(rope, dims))
    for name, weight in state.items():
        outer = name.split(".", 1)
        if experts.tensors(gguf, config, name, weight) or mixers.tensors(gguf, config, name, weight):
            continue
        module, kind = (outer[1] if outer[0] in ("model", "transformer", "gpt_neox") else name).rsplit(".", 1)
        if plus_one and module.endswith("norm") and kind == "weight":
            weight = weight + 1
        if module.startswith(("layers.", "h.")):
            _, block, rest = module.split(".", 2)
            if interleaved and rest in ("self_attn.q_proj", "self_attn.k_proj"):
                heads = config.num_attention_heads if "q_proj" in rest else config.num_key_value_heads
                weight = interleave(weight, heads)
            if rest.startswith(("self_attn.q_layernorm.", "self_attn.k_layernorm.")):
                stacks.setdefault((block, rest[10]), []).append(weight)  # one module per head, in their order
                continue
            if rest.endswith("query_key_value"):
                weight = group_qkv(weight, config)
            gguf.tensor(f"blk.{block}.{names[rest]}.{kind}", weight)
        elif OUTER[module] != "output" or not config.tie_word_embeddings:
            gguf.tensor(f"{OUTER[module]}.{kind}", weight)
    for (block, part), heads in stacks.items():
        gguf.tensor(f"blk.{block}.attn_{part}_norm.weight", torch.stack(heads))
    gguf.write(path)


def randomise(model):
    """Numbers that BF16 holds, of a size that keeps activations near one."""
    plus_one = FAMILIES.get(model.config.get_text_config().model_type, ("", {}, False, False))[3]
    with torch.no_grad():
        for name, weight in model.named_parameters():
            scale = 0.2 if weight.ndim == 1 else 1.5 / math.sqrt(weight.shape[-1])
            values = torch.randn_like(weight) * scale
            if weight.ndim == 1 and ("norm" in name or "ln_" in name) and not plus_one and "bias" not in name:
                values += 1
            weight.copy_(values.bfloat16().float())
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.copy_((torch.randn_like(buffer) * 0.2).bfloat16().float())


def random_model(family):
    settings = {**SMALL, **RANDOM[family]}
    config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
    config._attn_implementation = "eager"
    torch.manual_seed(20240607)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    randomise(model)
    return config, model


def random_tokens(n_vocab, count):
    return torch.randint(3, n_vocab, (1, count), generator=torch.Generator().manual_seed(7))


def write_golden(path, tokens, logits):
    ids = tokens[0].tolist()
    path.write_bytes(struct.pack(f"<ii{len(ids)}i", len(ids), logits.shape[1], *ids) + logits.astype("<f4").tobytes())


def main():
    out = pathlib.Path(sys.argv[1])
    if "--checkpoint" in sys.argv:
        folder = pathlib.Path(sys.argv[3])
        config = transformers.AutoConfig.from_pretrained(folder)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        convert(config, model.state_dict(), out / (folder.name + ".gguf"))
        return
    for family in sys.argv[2:] or RANDOM:
        config, model = random_model(family)
        tokens = random_tokens(config.vocab_size, 24)
        with torch.no_grad():
            logits = model(tokens).logits[0].float().numpy()
        convert(config, {k: v.detach() for k, v in model.state_dict().items()}, out / f"{family}.gguf")
        write_golden(out / f"{family}.golden", tokens, logits)
        print(f"{family}: {(out / f'{family}.gguf').stat().st_size} bytes, logits std {logits.std():.2f}")


if __name__ == "__main__":
    main()
