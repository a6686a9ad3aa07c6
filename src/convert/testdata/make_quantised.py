#!/usr/bin/env python3
"""Writes quantised/SCHEME: tiny folders in each scheme of quantised weights. Needs numpy.

A module NAME has its packed tensors and NAME.expected, the weight as f32, computed here from unpacked integers and
scales, so that a reader can be checked against something that shares no code with it. Safetensors are written by
hand: numpy has no bfloat16 and no FP8.
"""
import json
import pathlib

import numpy as np

rng = np.random.default_rng(3)
HERE = pathlib.Path(__file__).parent
SIZES = {"U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8}


def save(name, config, tensors):
    folder = HERE / "quantised" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    header, blobs, at = {}, [], 0
    for tensor, (kind, shape, data) in tensors.items():
        raw = np.ascontiguousarray(data).tobytes()
        assert len(raw) == SIZES[kind] * int(np.prod(shape)), tensor
        header[tensor] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        blobs.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def to_bf16(x):
    """f32 → (bits, the value that the bits stand for); cut, not rounded: any bfloat16 will do."""
    bits = (np.asarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return bits, (bits.astype(np.uint32) << 16).view(np.float32)


def halves(kind, x):
    if kind == "BF16":
        return to_bf16(x)
    if kind == "F16":
        bits = np.asarray(x, np.float16)
        return bits, bits.astype(np.float32)
    return np.asarray(x, np.float32), np.asarray(x, np.float32)


def f32(x):
    return ("F32", x.shape, np.asarray(x, np.float32))


def bit_stream(codes, bits):
    """[rows, n] → [rows, n * bits / 8] bytes, lowest bits first."""
    spread = (codes[:, :, None] >> np.arange(bits)) & 1
    return np.packbits(spread.reshape(codes.shape[0], -1).astype(np.uint8), axis=1, bitorder="little")


def words(codes, bits, order=None):
    """[n, m] → [n, m * bits / 32] int32; nibble i of a word holds column order[i] of its own."""
    per = 32 // bits
    order = np.arange(per) if order is None else np.asarray(order)
    columns = codes.reshape(codes.shape[0], -1, per)[:, :, order].astype(np.uint64)
    return (columns << (np.arange(per, dtype=np.uint64) * bits)).sum(-1).astype(np.uint32).view(np.int32)


def random_scales(shape):
    return rng.uniform(0.002, 0.02, shape) * rng.choice([-1.0, 1.0], shape)


E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)


def fp4(codes):
    return np.where(codes & 8, -1, 1).astype(np.float32) * E2M1[codes & 7]


def e4m3(codes):
    codes = codes.astype(np.int32)
    exponent, mantissa = codes >> 3 & 15, codes & 7
    value = np.where(exponent == 0, mantissa / 8 * 2.0 ** -6, (1 + mantissa / 8) * 2.0 ** (exponent - 7.0))
    return (np.where(codes & 128, -1, 1) * value).astype(np.float32)


def random_e4m3(shape):
    codes = rng.integers(0, 256, shape).astype(np.uint8)
    return np.where((codes & 127) == 127, 0x38, codes).astype(np.uint8)


def mlx():
    rows, cols = 4, 192
    config = {"quantization": {"group_size": 64, "bits": 4}}
    tensors = {}

    def affine(name, bits, group, kind, lead=(rows,)):
        if (bits, group) != (4, 64):
            config["quantization"][name] = {"bits": bits, "group_size": group}
        n = int(np.prod(lead))
        codes = rng.integers(0, 2 ** bits, (n, cols)).astype(np.uint8)
        scales, s = halves(kind, random_scales((n, cols // group)))
        biases, b = halves(kind, rng.normal(0, 0.1, (n, cols // group)))
        value = np.repeat(s, group, 1) * codes.astype(np.float32) + np.repeat(b, group, 1)
        tensors[name + ".weight"] = ("U32", (*lead, cols * bits // 32), bit_stream(codes, bits))
        tensors[name + ".scales"] = (kind, (*lead, cols // group), scales)
        tensors[name + ".biases"] = (kind, (*lead, cols // group), biases)
        tensors[name + ".expected"] = f32(value)

    for bits, group in ((2, 32), (3, 64), (4, 64), (5, 32), (6, 64), (8, 96)):
        affine(f"bf16_{bits}", bits, group, "BF16")
    affine("f16_4", 4, 64, "F16")
    affine("f16_5", 5, 64, "F16")
    affine("f16_8", 8, 32, "F16")
    affine("experts", 4, 64, "BF16", lead=(2, 2))
    plain = rng.normal(0, 1, (2, 32)).astype(np.float16)
    config["quantization"]["plain"] = False
    tensors["plain.weight"] = ("F16", plain.shape, plain)

    codes = rng.integers(0, 16, (rows, cols)).astype(np.uint8)
    scales = rng.integers(110, 130, (rows, cols // 32)).astype(np.uint8)
    config["quantization"]["mxfp4"] = {"mode": "mxfp4", "bits": 4, "group_size": 32}
    tensors["mxfp4.weight"] = ("U32", (rows, cols // 8), bit_stream(codes, 4))
    tensors["mxfp4.scales"] = ("U8", scales.shape, scales)
    tensors["mxfp4.expected"] = f32(fp4(codes) * np.repeat(2.0 ** (scales.astype(np.float32) - 127), 32, 1))
    codes = rng.integers(0, 16, (rows, cols)).astype(np.uint8)
    scales = random_e4m3((rows, cols // 16)) & 127
    config["quantization"]["nvfp4"] = {"mode": "nvfp4", "bits": 4, "group_size": 16}
    tensors["nvfp4.weight"] = ("U32", (rows, cols // 8), bit_stream(codes, 4))
    tensors["nvfp4.scales"] = ("U8", scales.shape, scales)
    tensors["nvfp4.expected"] = f32(fp4(codes) * np.repeat(e4m3(scales), 16, 1))
    save("mlx", config, tensors)


def gptq(name, bits, symmetric, version, stored_offset, modules):
    rows, cols, group = 8 if bits > 2 else 16, 128, 32
    config = {"quantization_config": {"quant_method": "gptq", "bits": bits, "group_size": group, "sym": symmetric,
                                      "desc_act": "act_order" in modules, "checkpoint_format": version}}
    tensors = {}
    for module in modules:
        kind = "BF16" if module == "bf16" else "F16"
        n_groups = cols // group
        codes = rng.integers(0, 2 ** bits, (rows, cols))
        zeros = rng.integers(1, 2 ** bits, (rows, n_groups))
        if symmetric:
            zeros[:] = 2 ** (bits - 1)
        scales, s = halves(kind, np.abs(random_scales((n_groups, rows))))
        group_of = np.arange(cols) // group
        if module == "act_order":
            group_of = rng.permutation(group_of)
        value = s.T[:, group_of] * (codes - zeros[:, group_of]).astype(np.float32)
        tensors[module + ".qweight"] = ("I32", (cols * bits // 32, rows), words(codes, bits).T)
        tensors[module + ".qzeros"] = ("I32", (n_groups, rows * bits // 32), words(zeros.T - stored_offset, bits))
        tensors[module + ".scales"] = (kind, (n_groups, rows), scales)
        if module != "without_index":
            tensors[module + ".g_idx"] = ("I32", (cols,), group_of.astype(np.int32))
        tensors[module + ".expected"] = f32(value)
    save(name, config, tensors)


def awq():
    rows, cols, group = 8, 128, 64
    n_groups, order = cols // group, [0, 2, 4, 6, 1, 3, 5, 7]
    codes = rng.integers(0, 16, (rows, cols))
    zeros = rng.integers(0, 16, (rows, n_groups))
    scales, s = halves("F16", np.abs(random_scales((n_groups, rows))))
    value = np.repeat(s.T, group, 1) * (codes - np.repeat(zeros, group, 1)).astype(np.float32)
    save("awq", {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm",
                                         "zero_point": True}},
         {"linear.qweight": ("I32", (cols, rows // 8), words(codes.T, 4, order)),
          "linear.qzeros": ("I32", (n_groups, rows // 8), words(zeros.T, 4, order)),
          "linear.scales": ("F16", scales.shape, scales),
          "linear.expected": f32(value)})


def fp8():
    rows, cols = 12, 72  # blocks of 8 x 32: the last ones are smaller
    tensors = {}

    def add(name, suffix, scales, spread, kind="F32", lead=(rows, cols)):
        codes = random_e4m3((int(np.prod(lead[:-1])), cols))
        bits, s = halves(kind, scales)
        tensors[name + ".weight"] = ("F8_E4M3", lead, codes)
        if suffix:
            tensors[name + suffix] = (kind, bits.shape, bits)
        tensors[name + ".expected"] = f32(e4m3(codes) * (spread(s) if suffix else np.float32(1)))

    def blocks(s):
        return np.repeat(np.repeat(s, 8, 0), 32, 1)[:rows, :cols]

    positive = lambda *shape: np.abs(random_scales(shape)) * 0.1
    add("block", ".weight_scale_inv", positive(2, 3), blocks)
    add("block_of_powers", ".weight_scale_inv", 2.0 ** rng.integers(-14, -2, (2, 3)), blocks)
    add("tensor", ".weight_scale", positive(1), lambda s: s)
    add("tensor_bf16", ".weight_scale", np.array(0.003), lambda s: s, "BF16")
    add("channel", ".weight_scale", positive(rows, 1), lambda s: s)
    add("bare", "", 0, None)
    add("huge", ".weight_scale", np.array([1000.3]), lambda s: s)
    add("experts", ".weight_scale", positive(2, 1, 3),
        lambda s: np.concatenate([np.repeat(np.repeat(m, 8, 0), 32, 1)[:6, :cols] for m in s]), lead=(2, 6, cols))
    wide = (rng.normal(0, 1, (rows, cols)).astype(np.float16).view(np.uint16) >> 8).astype(np.uint8)
    tensors["e5m2.weight"] = ("F8_E5M2", wide.shape, wide)
    tensors["e5m2.expected"] = f32((wide.astype(np.uint16) << 8).view(np.float16).astype(np.float32))
    nan = random_e4m3((2, 32))
    nan[1, 5] = 0xFF
    tensors["nan.weight"] = ("F8_E4M3", nan.shape, nan)
    plain = rng.normal(0, 1, (2, 32)).astype(np.float16)
    tensors["plain.weight"] = ("F16", plain.shape, plain)
    save("fp8", {"quantization_config": {"quant_method": "fp8", "weight_block_size": [8, 32]}}, tensors)


def mxfp4():
    experts, rows, groups = 2, 6, 3
    codes = rng.integers(0, 16, (experts, rows, groups, 32)).astype(np.uint8)
    scales = rng.integers(110, 130, (experts, rows, groups)).astype(np.uint8)
    value = fp4(codes) * 2.0 ** (scales.astype(np.float32) - 127)[..., None]
    save("mxfp4", {"quantization_config": {"quant_method": "mxfp4"}},
         {"experts.gate_up_proj_blocks": ("U8", (experts, rows, groups, 16), codes[..., ::2] | codes[..., 1::2] << 4),
          "experts.gate_up_proj_scales": ("U8", scales.shape, scales),
          "experts.gate_up_proj.expected": f32(value.reshape(experts * rows, -1))})


def compressed():
    rows, cols, group = 8, 128, 64
    n_groups = cols // group
    tensors = {}
    for name, bits, asymmetric, kind in (("sym4", 4, False, "BF16"), ("asym4", 4, True, "F16"), ("sym8", 8, False, "F16")):
        codes = rng.integers(0, 2 ** bits, (rows, cols))
        zeros = rng.integers(0, 2 ** bits, (rows, n_groups))
        if not asymmetric:
            zeros[:] = 2 ** (bits - 1)
        scales, s = halves(kind, np.abs(random_scales((rows, n_groups))))
        tensors[name + ".weight_packed"] = ("I32", (rows, cols * bits // 32), words(codes, bits))
        tensors[name + ".weight_scale"] = (kind, scales.shape, scales)
        tensors[name + ".weight_shape"] = ("I64", (2,), np.array([rows, cols], np.int64))
        if asymmetric:
            packed = words(zeros.T, bits).T
            tensors[name + ".weight_zero_point"] = ("I32", packed.shape, packed)
        spread = np.repeat(zeros, group, 1)
        tensors[name + ".expected"] = f32(np.repeat(s, group, 1) * (codes - spread).astype(np.float32))
    codes = rng.integers(-128, 128, (rows, cols)).astype(np.int8)
    scales, s = halves("BF16", np.abs(random_scales((rows, 1))))
    tensors["int8.weight"] = ("I8", codes.shape, codes)
    tensors["int8.weight_scale"] = ("BF16", scales.shape, scales)
    tensors["int8.expected"] = f32(s * codes.astype(np.float32))
    save("compressed", {"quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized"}}, tensors)


mlx()
gptq("gptq_sym", 4, True, "gptq", 1, ["linear", "bf16", "act_order"])
gptq("gptq_sym_v2", 4, True, "gptq", 0, ["linear"])
gptq("gptq_asym", 4, False, "gptq", 1, ["linear", "act_order", "without_index"])
gptq("gptq_v2", 4, False, "gptq_v2", 0, ["linear"])
gptq("gptq_8", 8, True, "gptq", 1, ["linear", "bf16"])
gptq("gptq_8_asym", 8, False, "gptq", 1, ["linear"])
gptq("gptq_2", 2, False, "gptq", 1, ["linear"])
awq()
fp8()
mxfp4()
compressed()
