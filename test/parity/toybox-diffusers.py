"""Runs a diffusers folder with its subject adapter in diffusers, in float32 on the CPU, and writes what comes out as cases that `npm run parity` compares.

    python test/parity/toybox-diffusers.py assets/toybox OUT [--photo FILE] [--adapter FILE] [--seed 1] [--steps 20]
    npm run parity -- OUT

Three prompts, each with DDIM and DPM, everything drawn from the seed: the engine's frames must lie within 2 levels. Needs pip's torch, diffusers,
transformers, peft, safetensors and pillow.
"""

import argparse
import json
import logging
import os
from pathlib import Path

import numpy
import torch
from diffusers import CogVideoXPipeline
from PIL import Image
from reference_pipeline import clip
from safetensors import safe_open
from safetensors.torch import save_file

PROMPTS = ["the toy jumps on the beach", "the toy walks to the left in a forest, the camera follows", "the toy spins slowly in the snow"]

parser = argparse.ArgumentParser()
parser.add_argument("checkpoint", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("--photo", type=Path, help="the subject; the first of CHECKPOINT/photos where not given")
parser.add_argument("--adapter", type=Path, help="the one that generation_config.json names where not given")
parser.add_argument("--prompt", action="append", help="up to three; others stand in for the rest")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--steps", type=int)
parser.add_argument("--guidance-scale", type=float)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()
logging.disable(logging.WARNING)
torch.set_num_threads(options.threads)

file = options.checkpoint / "generation_config.json"
recommended = json.loads(file.read_text()) if file.exists() else {}
steps = options.steps or recommended.get("num_inference_steps", 50)
guidance_scale = options.guidance_scale or recommended.get("guidance_scale", 6.0)
adapter = options.adapter or options.checkpoint / recommended["adapter"]

pipe = CogVideoXPipeline.from_pretrained(options.checkpoint, torch_dtype=torch.float32)
config = pipe.transformer.config
height, width, num_frames = config.sample_height * 8, config.sample_width * 8, config.sample_frames

# The adapter as diffusers' users load it; what it took for alpha is held against what the file says.
pipe.load_lora_weights(str(adapter.parent), weight_name=adapter.name, adapter_name="subject")
with safe_open(adapter, "pt") as stored:
    metadata = stored.metadata() or {}
said = float(metadata["lora_alpha"]) if "lora_alpha" in metadata else None
wrong = 0
for module in pipe.transformer.modules():
    if hasattr(module, "lora_A") and "subject" in module.lora_A:
        assert module.lora_A["subject"].weight.dtype == torch.float32
        scale = said / module.r["subject"] if said is not None else module.scaling["subject"]
        wrong += module.scaling["subject"] != scale
        module.scaling["subject"] = scale
if wrong:
    print(f"diffusers gave {wrong} modules another scale than the file's lora_alpha {said:g}, which is used here: write diffusers' own lora_adapter_metadata into the file too")

options.out.mkdir(parents=True, exist_ok=True)
photo = options.photo or sorted((options.checkpoint / "photos").glob("*.png"))[0]
image = Image.open(photo).convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
pixels = numpy.asarray(image)
prompts = [*(options.prompt or []), *PROMPTS][:3]
for k, prompt in enumerate(prompts):
    with torch.no_grad():
        positive, negative = pipe.encode_prompt(prompt, "", True, max_sequence_length=config.max_text_seq_length)
    for scheduler in ("ddim", "dpm"):
        settings = {"height": height, "width": width, "num_frames": num_frames, "steps": steps, "guidance_scale": guidance_scale, "use_dynamic_cfg": False,
                    "scheduler": scheduler, "seed": options.seed + k}  # fmt: skip
        out = clip(pipe, torch.cat([negative, positive]), [pixels], **settings)
        folder = options.out / f"{scheduler}-{k}"
        folder.mkdir(exist_ok=True)
        image.save(folder / "reference.png")
        beside = lambda path: os.path.relpath(path.resolve(), folder.resolve())  # noqa: E731
        case = {"kind": "pipeline", "what": "a real checkpoint with its adapter, computed by diffusers", "checkpoint": beside(options.checkpoint), "prompt": prompt,
                "negative_prompt": "", **settings, "references": ["reference.png"], "adapters": [{"file": beside(adapter), "scale": 1.0}],
                "tolerance": {"latents": 1e-3, "frames_max_levels": 2}}  # fmt: skip
        (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")
        save_file({name: value.detach().contiguous().clone() for name, value in out.items()}, folder / "outputs.safetensors")
        print(f"{folder.name}: {prompt!r}, frames spread by {out['frames'].float().std().item():.0f} levels", flush=True)
