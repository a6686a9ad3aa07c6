#!/usr/bin/env python3
"""Makes the tiny embedding and ranking models under src/model/testdata: random weights, and the vector (or score) that
Hugging Face transformers computes for a few tokens in float32.

    python3 make_encoders.py OUT_FOLDER

FAMILY.golden is little-endian: int32 n_tokens, int32 width, int32 tokens[n_tokens], float32 vector[width]; a score is a
vector of one.
"""
import math
import pathlib
import struct
import sys

import torch
import transformers

from make_models import SMALL, Gguf, convert

MEAN, FIRST, LAST, RANK = 1, 2, 3, 4
WIDTHS = {key: value for key, value in SMALL.items() if key != "num_key_value_heads"}
BERT = {"attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
        "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
        "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}
NOMIC = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "post_attention_layernorm": "attn_output_norm", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "post_mlp_layernorm": "layer_output_norm"}
OUTER = {"embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
         "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm",
         "classifier.dense": "cls", "classifier.out_proj": "cls.output"}


def randomize(model):
    torch.manual_seed(20240607)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            scale = 0.2 if weight.ndim == 1 else 1.5 / math.sqrt(weight.shape[-1])
            values = torch.randn_like(weight) * scale
            if weight.ndim == 1 and "norm" in name.lower() and "bias" not in name:
                values += 1
            weight.copy_(values.bfloat16().float())
    return model.float().eval()


def write_encoder(path, config, model, arch, pooling):
    gguf = Gguf()
    gguf.put("general.architecture", arch)
    gguf.put("general.name", f"tiny {path.stem}")
    positions = config.max_position_embeddings - (config.pad_token_id + 1 if config.model_type == "xlm-roberta" else 0)
    for key, value in {"block_count": config.num_hidden_layers, "context_length": positions,
                       "embedding_length": config.hidden_size, "feed_forward_length": config.intermediate_size,
                       "attention.head_count": config.num_attention_heads, "attention.causal": False,
                       "attention.layer_norm_epsilon": float(config.layer_norm_eps), "pooling_type": pooling}.items():
        gguf.put(f"{arch}.{key}", value)
    if arch == "nomic-bert":
        gguf.put(f"{arch}.rope.freq_base", float(config.rope_parameters["rope_theta"]))
    blocks = NOMIC if arch == "nomic-bert" else BERT
    for name, weight in model.state_dict().items():
        module, kind = name.removeprefix("roberta.").removeprefix("bert.").rsplit(".", 1)
        if module.startswith(("layers.", "encoder.layer.")):
            block, rest = module.removeprefix("encoder.").split(".", 2)[1:]
            gguf.tensor(f"blk.{block}.{blocks[rest]}.{kind}", weight)
        elif module in OUTER and kind in ("weight", "bias"):
            if OUTER[module] == "position_embd":
                weight = weight[-positions:]
            gguf.tensor(f"{OUTER[module]}.{kind}", weight)
    gguf.write(path)


def golden(path, tokens, vector):
    path.write_bytes(struct.pack(f"<ii{len(tokens)}i", len(tokens), len(vector), *tokens)
                     + vector.numpy().astype("<f4").tobytes())
    print(path.name, [round(x, 4) for x in vector[:4].tolist()])


def tokens_of(n):
    return torch.randint(3, WIDTHS["vocab_size"], (1, n), generator=torch.Generator().manual_seed(7))


@torch.no_grad()
def main():
    out = pathlib.Path(sys.argv[1])
    eager = dict(attn_implementation="eager")
    unit = lambda rows: torch.nn.functional.normalize(rows, dim=-1)

    config = transformers.BertConfig(**WIDTHS, type_vocab_size=2, **eager)
    model = randomize(transformers.BertModel(config, add_pooling_layer=False))
    tokens = tokens_of(21)
    write_encoder(out / "bert.gguf", config, model, "bert", FIRST)
    golden(out / "bert.golden", tokens[0].tolist(), unit(model(tokens).last_hidden_state[0, 0]))

    config = transformers.NomicBertConfig(**WIDTHS, type_vocab_size=2, **eager)
    model = randomize(transformers.NomicBertModel(config, add_pooling_layer=False))
    tokens = tokens_of(70)
    write_encoder(out / "nomic-bert.gguf", config, model, "nomic-bert", MEAN)
    golden(out / "nomic-bert.golden", tokens[0].tolist(), unit(model(tokens).last_hidden_state[0].mean(0)))

    config = transformers.XLMRobertaConfig(**{**WIDTHS, "pad_token_id": 1, "bos_token_id": 0}, type_vocab_size=1, num_labels=1, **eager)
    model = randomize(transformers.XLMRobertaForSequenceClassification(config))
    tokens = tokens_of(17)
    write_encoder(out / "bert-rank.gguf", config, model, "bert", RANK)
    golden(out / "bert-rank.golden", tokens[0].tolist(), model(tokens).logits[0])

    config = transformers.Qwen3Config(**SMALL, head_dim=16, tie_word_embeddings=True, **eager)
    model = randomize(transformers.Qwen3ForCausalLM(config))
    tokens = tokens_of(33)
    convert(config, {k: v.detach() for k, v in model.state_dict().items()}, out / "qwen3-embedding.gguf", {"pooling_type": LAST})
    golden(out / "qwen3-embedding.golden", tokens[0].tolist(), unit(model.model(tokens).last_hidden_state[0, -1]))


main()
