"""Reads each numbered file of a folder with PyPI's safetensors and prints its verdict as one JSON line."""

import hashlib
import json
import sys

import safetensors
from safetensors import deserialize, safe_open

folder, count = sys.argv[1], int(sys.argv[2])
print(json.dumps({"version": safetensors.__version__}))
for i in range(count):
    path = f"{folder}/{i}.safetensors"
    try:
        with safe_open(path, framework="np") as opened:
            metadata = opened.metadata() or {}
        with open(path, "rb") as file:
            tensors = deserialize(file.read())
        verdict = {
            "metadata": metadata,
            "tensors": {name: [t["dtype"], list(t["shape"]), hashlib.sha256(t["data"]).hexdigest()] for name, t in tensors},
        }
    except Exception as error:
        verdict = {"refused": str(error)}
    print(json.dumps(verdict))
