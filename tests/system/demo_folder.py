"""exo-demo.gguf as a Hugging Face folder in F16, in plain Python: what a device finds when somebody downloads a model."""
import json
import pathlib
import re
import struct

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
Q8_0 = 8
NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
PARTS = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
         "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


class Gguf:
    def __init__(self, path):
        self.data = pathlib.Path(path).read_bytes()
        self.at = 4
        _, n_tensors, n_entries = self.take("IQQ")
        self.metadata = {}
        for _ in range(n_entries):
            key = self.text()
            self.metadata[key] = self.value(self.take("I")[0])
        self.tensors = []  # name, shape (fastest first), type, offset
        for _ in range(n_tensors):
            name = self.text()
            shape = self.take("Q" * self.take("I")[0])
            self.tensors.append((name, shape, *self.take("IQ")))
        self.start = (self.at + 31) // 32 * 32

    def take(self, layout):
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values

    def text(self):
        size = self.take("Q")[0]
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            kind, count = self.take("IQ")
            return [self.value(kind) for _ in range(count)]
        return self.take(SCALARS[kind])[0]

    def half_rows(self, shape, kind, offset):
        """The tensor's rows as bytes of F16."""
        cols, rows = shape[0], shape[1] if len(shape) > 1 else 1
        begin = self.start + offset
        if kind != Q8_0:  # F32
            numbers = struct.unpack_from(f"<{cols * rows}f", self.data, begin)
            return [struct.pack(f"<{cols}e", *numbers[r * cols:(r + 1) * cols]) for r in range(rows)]
        blocks = []
        for scale, *codes in struct.iter_unpack("<e32b", self.data[begin:begin + rows * cols // 32 * 34]):
            blocks.append(struct.pack("<32e", *[scale * code for code in codes]))
        per_row = cols // 32
        return [b"".join(blocks[r * per_row:(r + 1) * per_row]) for r in range(rows)]


def hugging_face_name(name):
    part = re.match(r"blk\.(\d+)\.(\w+)\.weight", name)
    if part:
        return f"model.layers.{part[1]}.{PARTS[part[2]]}.weight"
    return NAMES[name.removesuffix(".weight")] + ".weight"


def folder_rows(name, rows, heads):
    """GGUF files of this kind keep a head's rows in pairs (0, half, 1, half + 1 …); folders keep the halves together."""
    size = len(rows) // heads
    out = []
    for head in range(heads):
        own = rows[head * size:(head + 1) * size]
        out += own[0::2] + own[1::2]
    return out


def tokenizer(metadata):
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    special = [{"id": i, "content": token, "special": True, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False} for i, (token, kind) in enumerate(zip(tokens, kinds)) if kind == 3]
    levels = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
            "pre_tokenizer": levels, "post_processor": None, "decoder": levels,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "fuse_unk": False, "byte_fallback": False,
                      "vocab": {token: i for i, token in enumerate(tokens)},
                      "merges": metadata["tokenizer.ggml.merges"]}}


def write_demo_folder(gguf_path, folder):
    gguf = Gguf(gguf_path)
    get = lambda key: gguf.metadata["llama." + key]
    heads, kv_heads = get("attention.head_count"), get("attention.head_count_kv")
    header, blobs, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, shape, kind, offset in gguf.tensors:
        rows = gguf.half_rows(shape, kind, offset)
        if ".attn_q." in name or ".attn_k." in name:
            rows = folder_rows(name, rows, heads if ".attn_q." in name else kv_heads)
        data = b"".join(rows)
        header[hugging_face_name(name)] = {"dtype": "F16", "shape": list(reversed(shape)),
                                           "data_offsets": [at, at + len(data)]}
        at += len(data)
        blobs.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    bos, eos = gguf.metadata["tokenizer.ggml.bos_token_id"], gguf.metadata["tokenizer.ggml.eos_token_id"]
    tokens = gguf.metadata["tokenizer.ggml.tokens"]
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": get("embedding_length"),
        "intermediate_size": get("feed_forward_length"), "num_hidden_layers": get("block_count"),
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": get("attention.key_length"),
        "rms_norm_eps": get("attention.layer_norm_rms_epsilon"), "rope_theta": get("rope.freq_base"),
        "vocab_size": len(tokens), "max_position_embeddings": get("context_length"), "hidden_act": "silu",
        "tie_word_embeddings": not any(name == "output.weight" for name, *_ in gguf.tensors),
        "bos_token_id": bos, "eos_token_id": eos}))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(gguf.metadata)))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "add_bos_token": False, "bos_token": tokens[bos], "eos_token": tokens[eos],
        "chat_template": gguf.metadata["tokenizer.chat_template"]}))
