"""Writes exo-demo as GGUF: matrices in Q8_0, norms in F32, vocabulary, merges and chat template included.

    python3 export.py --data FOLDER --out FILE
"""

import argparse
import json
import os

import gguf
import torch
from gguf.quants import quantize

from model import Config
from tokenizer import CHAT_TEMPLATE, END, END_OF_TEXT, SPECIAL

DESCRIPTION = "A tiny demonstration model that comes with exo: short stories, and questions and answers about exo."


def add_metadata(out, config):
    out.add_name("exo-demo")
    out.add_description(DESCRIPTION)
    out.add_license("apache-2.0")
    out.add_languages(["en"])
    out.add_size_label("5M")
    out.add_block_count(config.layers)
    out.add_context_length(config.context)
    out.add_embedding_length(config.width)
    out.add_feed_forward_length(config.ffn)
    out.add_head_count(config.heads)
    out.add_head_count_kv(config.kv_heads)
    out.add_key_length(config.head_dim)
    out.add_value_length(config.head_dim)
    out.add_layer_norm_rms_eps(config.eps)
    out.add_rope_dimension_count(config.head_dim)
    out.add_rope_freq_base(config.rope_theta)
    out.add_vocab_size(config.vocab)
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    out.add_quantization_version(gguf.GGML_QUANT_VERSION)


def add_vocabulary(out, path, size):
    with open(path, encoding="utf-8") as file:
        model = json.load(file)["model"]
    tokens = [""] * size
    for token, i in model["vocab"].items():
        tokens[i] = token
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens)
    out.add_token_types([gguf.TokenType.CONTROL if t in SPECIAL else gguf.TokenType.NORMAL for t in tokens])
    out.add_token_merges(merges)
    out.add_bos_token_id(tokens.index(END_OF_TEXT))
    out.add_eos_token_id(tokens.index(END))
    out.add_pad_token_id(tokens.index(END_OF_TEXT))
    out.add_add_bos_token(False)
    out.add_chat_template(CHAT_TEMPLATE)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    saved = torch.load(os.path.join(args.data, "checkpoint.pt"), weights_only=True)
    config = Config(**saved["config"])

    out = gguf.GGUFWriter(args.out, "llama")
    add_metadata(out, config)
    add_vocabulary(out, os.path.join(args.data, "tokenizer.json"), config.vocab)
    for name, value in saved["model"].items():
        data = value.float().numpy()
        if data.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            out.add_tensor(name, quantize(data, kind), raw_dtype=kind)
        else:
            out.add_tensor(name, data)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    print(f"{args.out}: {os.path.getsize(args.out)} bytes, step {saved['step']}")


if __name__ == "__main__":
    main()
