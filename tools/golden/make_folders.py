#!/usr/bin/env python3
"""Writes Hugging Face folders of the random models that make_models.py makes (same seed, same numbers): their logits are
the FAMILY.golden files that lie beside its GGUF files.

    python3 make_folders.py OUT_FOLDER [FAMILY...]

Matrices and vectors are BF16, which holds the numbers exactly. Needs what make_models.py needs.
"""
import json
import pathlib
import sys

import torch

import make_models

SHARDED = {"llama": "30KB"}  # in several files with an index


def main():
    out = pathlib.Path(sys.argv[1])
    for family in sys.argv[2:] or make_models.RANDOM:
        config, model = make_models.random_model(family)
        folder = out / family
        model.to(torch.bfloat16).save_pretrained(folder, max_shard_size=SHARDED.get(family, "1GB"))
        settings = json.loads((folder / "config.json").read_text())
        settings.pop("transformers_version", None)
        (folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n")
        print(f"{family}: {sum(file.stat().st_size for file in folder.iterdir())} bytes")


if __name__ == "__main__":
    main()
