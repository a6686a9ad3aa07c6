#!/usr/bin/env python3
"""Writes tiny Hugging Face folders of random models, one per family, and the logits that transformers computes for them
in float32 (src/convert/testdata).

    python3 make_folders.py OUT_FOLDER [NAME...]

A folder holds config.json and safetensors as save_pretrained writes them, in BF16, which holds the numbers exactly, and
logits.golden in the format that make_models.py describes. Needs what make_models.py needs.
"""
import json
import pathlib
import shutil
import sys
import traceback

import torch
import transformers

import folders
import make_models

SHARDED = {"llama": "12KB"}  # in several files with an index
N_TOKENS = 16


def random_model(name):
    settings = folders.settings(name)
    config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
    sees = name in folders.SEEING
    kind = transformers.AutoModelForImageTextToText if sees else transformers.AutoModelForCausalLM
    config._attn_implementation = "eager"
    torch.manual_seed(20240607)
    model = kind.from_config(config).float().eval()
    make_models.randomise(model)
    for module in model.modules():
        if name == "deepseek-v2-grouped" and hasattr(module, "topk_group"):
            module.num_experts = config.n_routed_experts  # which transformers 5.12 reads and does not set
    return model, config.get_text_config()


def write(name, folder):
    model, config = random_model(name)
    tokens = make_models.random_tokens(config.vocab_size - 3, N_TOKENS)  # the last ones may stand for images
    with torch.no_grad():
        logits = model(tokens).logits[0].float().numpy()
    shutil.rmtree(folder, ignore_errors=True)
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size=SHARDED.get(name, "1GB"))
    (folder / "generation_config.json").unlink(missing_ok=True)
    settings = json.loads((folder / "config.json").read_text())
    settings.pop("transformers_version", None)
    (folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n")
    make_models.write_golden(folder / "logits.golden", tokens, logits)
    print(f"{name}: {sum(file.stat().st_size for file in folder.iterdir())} bytes, logits std {logits.std():.2f}", flush=True)


def main():
    out, failed = pathlib.Path(sys.argv[1]), []
    for name in sys.argv[2:] or folders.names():
        try:
            write(name, out / name)
        except Exception:
            traceback.print_exc()
            failed.append(name)
    if failed:
        sys.exit(f"not written: {', '.join(failed)}")


if __name__ == "__main__":
    main()
