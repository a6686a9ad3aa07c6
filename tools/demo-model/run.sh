#!/usr/bin/env bash
# Makes assets/exo-demo.gguf from nothing: corpus, training, export, check.
# Needs Python 3.11 or newer with torch, tokenizers, gguf and numpy; PYTHON names it, DATA is the scratch folder.
# An interrupted training goes on when this is started again; remove DATA to begin anew.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
data=${DATA:-build/demo-model}
[ -e "$data/train.jsonl" ] || $python tools/demo-model/corpus.py --out "$data"
$python -u tools/demo-model/train.py --data "$data" "$@" | tee -a "$data/train.log"
mkdir -p assets
$python tools/demo-model/export.py --data "$data" --out assets/exo-demo.gguf
