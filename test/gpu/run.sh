#!/bin/sh
# Everything that is to be shown on an NVIDIA GPU, through Node: goldens, a Toybox clip, CogVideoX-5B's true size, PyTorch beside; the studio's queue. One failing part does not stop the others; the last lines are the sums.
#   sh test/gpu/run.sh [prepare|checks|studio]        no argument: all; about four minutes on an H200, and six more for the studio
# Needs: npm ci; libonnxruntime_providers_{cuda,shared}.so of the PyPI wheel onnxruntime-gpu 1.30.0 beside onnxruntime-node's libonnxruntime.so.1; CUDA 13 and cuDNN 9 (found in Python's packages,
# as PyTorch brings them, or under /usr/local); a python3 with torch, transformers, safetensors, diffusers; 16 GB of disk and, for the VAE untiled, a GPU of 48 GB.
# Environment: GOLDENS (folders of cases, separated by spaces), TOYBOX (a checkpoint folder), PHOTO, WORK (what is written on the way), OUT (logs, results.json, studio.json), NODE, PYTHON.
set -u
cd "$(dirname "$0")/../.."
: "${GOLDENS:=test/parity/cases}" "${TOYBOX:=assets/toybox}" "${PHOTO:=test/support/photo.png}" "${WORK:=/tmp/protagonist-gpu}" "${OUT:=$WORK/out}" "${NODE:=node}" "${PYTHON:=python3}"
mkdir -p "$WORK" "$OUT"
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 HF_HUB_DISABLE_PROGRESS_BARS=1 TRANSFORMERS_VERBOSITY=error DIFFUSERS_VERBOSITY=error

# The folders of CUDA's libraries.
places=$("$PYTHON" -c 'import site, sys; print(*[p + "/nvidia" for p in {*site.getsitepackages(), *sys.path} if p])' 2>/dev/null)
for lib in libcudart.so.13 libcublas.so.13 libcublasLt.so.13 libcurand.so.10 libcudnn.so.9; do
  found=$(find -L $places /usr/local/cuda*/ /usr/lib/x86_64-linux-gnu -name "$lib" 2>/dev/null | head -1)
  [ -n "$found" ] || found=$(find / -xdev -name "$lib" 2>/dev/null | head -1)
  [ -n "$found" ] && libraries="${libraries:-}${libraries:+:}$(dirname "$found")" || echo "run.sh: $lib was not found"
done

# part NAME SECONDS COMMAND...: its output and how it ended, in a log of its own
part() {
  name=$1 limit=$2
  shift 2
  from=$(date +%s)
  timeout -k 5 "$limit" "$@" >"$WORK/$name.log" 2>&1
  status=$?
  grep -v -i -E 'warn|Loading (weights|checkpoint)|should be kept in float32' "$WORK/$name.log" | cut -c1-600 | tail -60
  echo "-- $name: status $status, $(($(date +%s) - from)) s"
}
run_engine() { name=$1 limit=$2; shift 2; part "$name" "$limit" env LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}${libraries:-}" "$NODE" "$@"; }

prepare() {
  : >"$WORK/preparing"
  part goldens_torch 150 "$PYTHON" test/gpu/goldens_torch.py "$WORK/torch.json" $GOLDENS &
  set -- $GOLDENS
  tokenizer=$(find "$@" -path '*/tokenizer/spiece.model' | head -1)
  [ -e "$WORK/5b/model_index.json" ] || part make_5b 200 "$PYTHON" test/gpu/make_5b.py "$WORK/5b" "$(dirname "$tokenizer")"
  wait
  : >"$WORK/prepared"
}

prepared() {
  if [ -e "$WORK/preparing" ]; then for _ in $(seq 150); do [ -e "$WORK/prepared" ] && break; sleep 1; done; fi
  cat "$WORK/prepare.log" 2>/dev/null
  nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
}

# STUDIO: further arguments of studio.ts
studio() {
  prepared
  run_engine studio 560 test/gpu/studio.ts --photo "$PHOTO" --work "$WORK/studio" --json "$OUT/studio.json" ${STUDIO:-} "$WORK/5b"
  cp "$WORK/studio.log" "$OUT/" 2>/dev/null
}

checks() {
  prepared
  run_engine clip 120 test/gpu/clip.ts --photo "$PHOTO" --json "$WORK/clip.json" "$TOYBOX" &
  run_engine goldens 120 test/gpu/goldens.ts --torch "$WORK/torch.json" --json "$WORK/goldens.json" $GOLDENS
  wait
  run_engine pipeline 120 test/gpu/full.ts --part pipeline --json "$WORK/pipeline.json" "$WORK/5b"
  run_engine transformer 100 test/gpu/full.ts --part transformer --save "$WORK/saved" --json "$WORK/transformer.json" "$WORK/5b"
  run_engine vae 100 test/gpu/full.ts --part vae --save "$WORK/saved" --json "$WORK/vae.json" "$WORK/5b"
  part torch_block 150 "$PYTHON" test/gpu/torch_block.py "$WORK/torch_block.json" "$WORK/5b" "$WORK/saved"
  "$PYTHON" - "$WORK" >"$OUT/results.json" <<'PY'
import json, os, sys
print(json.dumps({n: json.load(open(f)) for n in ('torch', 'goldens', 'clip', 'pipeline', 'transformer', 'vae', 'torch_block') if os.path.exists(f := f'{sys.argv[1]}/{n}.json')}, indent=1))
PY
  tail -n +1 "$WORK"/*.log >"$OUT/log.txt" 2>/dev/null
}

case ${1:-both} in
  prepare) prepare >"$WORK/prepare.log" 2>&1 ;;
  checks) checks ;;
  studio) studio ;;
  *) prepare; checks; studio ;;
esac
