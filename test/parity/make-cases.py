"""Writes the cases in test/parity/cases: what pip's diffusers, transformers and PEFT compute, in the golden form (see case.json of each).

    python test/parity/make-cases.py [DIR]

Deterministic; needs torch, diffusers, transformers, peft, safetensors, sentencepiece and pillow, and computes on the CPU in float32. Two checkpoints with
random weights, tiny and tiny-2b, are shared by the cases ('checkpoint' in case.json). Pipeline cases run through reference_pipeline.py.
"""

import gzip
import json
import logging
import sys
from pathlib import Path

import numpy
import sentencepiece
import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXPipeline, CogVideoXTransformer3DModel
from peft import LoraConfig, get_peft_model_state_dict
from PIL import Image, ImageDraw
from reference_pipeline import clip
from safetensors.torch import save_file
from transformers import T5Config, T5EncoderModel

torch.set_num_threads(1)
logging.disable(logging.WARNING)
torch.use_deterministic_algorithms(True)
HERE = Path(__file__).parent
OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "cases"
SPIECE = gzip.decompress((HERE.parent / "unit/sentencepiece/suffix.model.gz").read_bytes())
TARGETS = ["to_k", "to_q", "to_v", "to_out.0", "proj", "text_proj", "norm1.linear", "norm2.linear", "ff.net.2"]
TILES = {
    "tile_sample_min_height": 24,
    "tile_sample_min_width": 32,
    "tile_latent_min_height": 3,
    "tile_latent_min_width": 4,
    "tile_overlap_factor_height": 1 / 6,
    "tile_overlap_factor_width": 1 / 5,
}


def generator(seed):
    return torch.Generator("cpu").manual_seed(seed)


def randn(seed, *shape):
    return torch.randn(shape, generator=generator(seed))


@torch.no_grad()
def fill(model, seed, gain, dtype):
    """Random weights that neither vanish nor grow through the layers, as they will be after a stay in a file of this dtype."""
    g = generator(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=g)
        if p.dim() > 1:
            p.copy_(noise * gain / (p[0].numel() ** 0.5))
        elif name.endswith("bias"):
            p.copy_(noise * 0.1)
        else:
            p.copy_(1 + noise * 0.1)
        p.copy_(p.to(dtype))
    return model.eval().requires_grad_(False)


def store(model, folder, dtype, **options):
    """Saves in this dtype and leaves the model, which computes in float32, as it is."""
    model.to(dtype).save_pretrained(folder, **options)
    model.to(torch.float32)


def checkpoint(name, **transformer):
    """A tiny checkpoint in diffusers' layout: bfloat16 transformer in two shards, float16 VAE, float32 text encoder."""
    folder = OUT / name
    two_b = not transformer["use_rotary_positional_embeddings"]
    make = CogVideoXTransformer3DModel(
        attention_head_dim=16, num_attention_heads=3, num_layers=2, in_channels=16, out_channels=16, time_embed_dim=24, text_embed_dim=20, max_text_seq_length=16,
        sample_width=8, sample_height=6, sample_frames=9, **transformer)  # fmt: skip
    model = fill(make, 1 + two_b, 1.0, torch.bfloat16)
    store(model, folder / "transformer", torch.bfloat16, max_shard_size="100KB" if two_b else "5GB")
    vae = fill(
        AutoencoderKLCogVideoX(
            block_out_channels=(4, 4, 8, 8) if two_b else (8, 8, 8, 12), layers_per_block=1, norm_num_groups=4, sample_height=96, sample_width=128, scaling_factor=1.15258426 if two_b else 0.7),
        3 + two_b, 1.3, torch.float16)  # fmt: skip
    vae.decoder.conv_out.conv.weight.mul_(0.15).copy_(vae.decoder.conv_out.conv.weight.half())  # few values are cut off
    vae.encoder.conv_out.conv.bias[16:] -= 2  # a posterior narrower than the prior, as a trained one is
    vae.encoder.conv_out.conv.bias.copy_(vae.encoder.conv_out.conv.bias.half())
    store(vae, folder / "vae", torch.float16)
    text = fill(
        T5EncoderModel(T5Config(vocab_size=600, d_model=20, d_kv=8, d_ff=40, num_layers=2, num_heads=3, feed_forward_proj="gated-gelu", dropout_rate=0.0)), 5, 0.6, torch.float32
    )
    text.save_pretrained(folder / "text_encoder")
    scheduler = CogVideoXDDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction", timestep_spacing="trailing", clip_sample=False,
        rescale_betas_zero_snr=True, snr_shift_scale=3.0 if two_b else 1.0)  # fmt: skip
    scheduler.save_pretrained(folder / "scheduler")
    (folder / "tokenizer").mkdir(exist_ok=True)
    (folder / "tokenizer/spiece.model").write_bytes(SPIECE)
    (folder / "tokenizer/tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "model_max_length": 16}) + "\n")
    index = {"_class_name": "CogVideoXPipeline", "_diffusers_version": "0.42.1", "scheduler": ["diffusers", "CogVideoXDDIMScheduler"], "text_encoder": ["transformers", "T5EncoderModel"],
             "tokenizer": ["transformers", "T5Tokenizer"], "transformer": ["diffusers", "CogVideoXTransformer3DModel"], "vae": ["diffusers", "AutoencoderKLCogVideoX"]}  # fmt: skip
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    return name, CogVideoXPipeline(tokenizer=None, text_encoder=text, vae=vae, transformer=model, scheduler=scheduler)


def write(name, case, outputs, inputs=None):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")
    tidy = lambda tensors: {k: v.detach().contiguous().clone() for k, v in tensors.items()}  # noqa: E731
    save_file(tidy(outputs), folder / "outputs.safetensors")
    if inputs:
        save_file(tidy(inputs), folder / "inputs.safetensors")


def photo(name, case, width, height, seed):
    """A picture of a made-up toy: a body, a head, a background with a slope."""
    y, x = numpy.mgrid[0:height, 0:width]
    r = numpy.random.default_rng(seed)
    a, b = r.integers(80, 250, (2, 3))
    slope = (a[None, None] * (y / height)[..., None] + b[None, None] * (x / width)[..., None]) / 2
    image = Image.fromarray(slope.astype("uint8"))
    draw = ImageDraw.Draw(image)
    draw.rectangle((width * 0.3, height * 0.45, width * 0.7, height * 0.9), fill=tuple(map(int, r.integers(0, 255, 3))))
    draw.ellipse((width * 0.35, height * 0.1, width * 0.65, height * 0.5), fill=tuple(map(int, r.integers(0, 255, 3))))
    (OUT / case).mkdir(parents=True, exist_ok=True)
    image.save(OUT / case / name)
    return name


def embed(pipe, prompts):
    """Ids by Google's library, the end of sentence, padding; no mask. [prompts, T, D]"""
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=SPIECE)
    length = pipe.transformer.config.max_text_seq_length
    rows = []
    for prompt in prompts:
        ids = tokenizer.encode(prompt)[: length - 1] + [1]
        rows.append(pipe.text_encoder(torch.tensor([ids + [0] * (length - len(ids))]))[0])
    return torch.cat(rows)


def pipeline(shared, name, what, photos=0, adapters=(), **settings):
    where, pipe = shared
    settings = {"prompt": "", "negative_prompt": "", "height": 48, "width": 64, "num_frames": 9, "steps": 5, "guidance_scale": 6.0, "use_dynamic_cfg": False, "scheduler": "ddim",
                "seed": 42, **settings}  # fmt: skip
    files = [photo(f"reference-{k}.png", name, settings["width"], settings["height"], settings["seed"] + k) for k in range(photos)]
    listed = attach(pipe.transformer, OUT / name, adapters)
    prompt, negative = settings["prompt"], settings["negative_prompt"]
    with torch.no_grad():
        embeds = embed(pipe, [negative, prompt] if settings["guidance_scale"] > 1 else [prompt])
    photos = [numpy.asarray(Image.open(OUT / name / file).convert("RGB")) for file in files]
    out = clip(pipe, embeds, photos, **{key: value for key, value in settings.items() if "prompt" not in key})
    detach(pipe.transformer, adapters)
    spread = out["frames"].float().std().item()
    assert 8 < spread < 80 and all(torch.isfinite(v.float()).all() for v in out.values()), f"{name} shows nothing"
    case = {"kind": "pipeline", "what": what, "checkpoint": f"../{where}", **settings, "references": files, **({"adapters": listed} if listed else {}),
            "tolerance": {"latents": 1e-3, "frames_max_levels": 2}}  # fmt: skip
    write(name, case, out)
    print(f"{name}: frames spread by {spread:.0f} levels")


def attach(transformer, folder, adapters):
    """Adds LoRAs by PEFT and saves each in one of the forms of keys. An adapter: rank, alpha, scale, seed, targets, form."""
    if not adapters:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for k, a in enumerate(adapters):
        # The seed only decides where PEFT's own random numbers start; all values are ours.
        transformer.add_adapter(LoraConfig(r=a["rank"], lora_alpha=a["alpha"], init_lora_weights=False, target_modules=a.get("targets", TARGETS)), adapter_name=f"a{k}")
        g = generator(a["seed"])
        for name, p in transformer.named_parameters():
            if f".a{k}." in name:
                p.data = torch.randn(p.shape, generator=g) * (0.7 / (p[0].numel() ** 0.5))
        state = get_peft_model_state_dict(transformer, adapter_name=f"a{k}")
        file = f"adapter-{k}.safetensors"
        save_adapter(state, a, folder, file)
        listed.append({"file": a.get("file", file), "scale": a["scale"]})
    transformer.set_adapters([f"a{k}" for k in range(len(adapters))], weights=[a["scale"] for a in adapters])
    return listed


def detach(transformer, adapters):
    if adapters:
        transformer.delete_adapters([f"a{k}" for k in range(len(adapters))])


def save_adapter(state, a, folder, file):
    """peft: lora_A/lora_B with 'transformer.', alpha in the metadata. peft-default: PEFT's own folder. diffusers-old: lora.down/up. kohya: lora_down/up with an alpha by each."""
    pairs = {}
    for key, value in state.items():
        module, part = key.rsplit(".lora_", 1)
        pairs.setdefault(module, {})[part[0]] = value.contiguous()
    tensors, metadata, form = {}, {}, a["form"]  # one entry at most: their order in the file is not fixed
    for module, pair in pairs.items():
        if form == "peft":
            tensors |= {f"transformer.{module}.lora_{x}.weight": pair[x] for x in "AB"}
            metadata["lora_alpha"] = str(a["alpha"])
        elif form == "peft-default":
            tensors |= {f"base_model.model.{module}.lora_{x}.default.weight": pair[x] for x in "AB"}
        elif form == "diffusers-old":
            tensors |= {f"transformer.{module}.lora.{x}.weight": pair[y] for x, y in (("down", "A"), ("up", "B"))}
        elif form == "kohya":
            tensors |= {f"{module}.lora_{x}.weight": pair[y] for x, y in (("down", "A"), ("up", "B"))}
            tensors[f"{module}.alpha"] = torch.tensor(float(a["alpha"]))
    if form == "peft-default":
        a["file"] = "adapter"
        folder = folder / "adapter"
        folder.mkdir(exist_ok=True)
        file = "adapter_model.safetensors"
        config = {"peft_type": "LORA", "r": a["rank"], "lora_alpha": a["alpha"], "target_modules": a.get("targets", TARGETS)}
        (folder / "adapter_config.json").write_text(json.dumps(config) + "\n")
    save_file(tensors, folder / file, metadata=metadata)


@torch.no_grad()
def transformer(shared, name, what, rows, references, frames, height, width, adapters=(), seed=100):
    where, pipe = shared
    model = pipe.transformer
    c = model.config
    x = randn(seed, rows, frames, 16, height, width)
    ref = randn(seed + 1, 1, references, 16, height, width) if references else x[:, :0]
    text = randn(seed + 2, rows, c.max_text_seq_length, c.text_embed_dim)
    t = torch.tensor([999, 37, 500][:rows])
    rotary = None
    if c.use_rotary_positional_embeddings:
        rotary = pipe._prepare_rotary_positional_embeddings(height * 8, width * 8, references + frames, torch.device("cpu"))

    def forward():
        both = torch.cat([ref.expand(rows, *ref.shape[1:]), x], 1)
        return model(hidden_states=both, encoder_hidden_states=text, timestep=t, image_rotary_emb=rotary, return_dict=False)[0][:, references:]

    out = {"sample": forward()}
    if rotary is not None:
        out |= {"rope_cos": rotary[0], "rope_sin": rotary[1]}
    listed = attach(model, OUT / name, adapters)
    if adapters:
        out["sample_lora"] = forward()
        assert (out["sample_lora"] - out["sample"]).abs().max() > 0.05 * out["sample"].abs().max()
        detach(model, adapters)
    case = {"kind": "transformer", "what": what, "checkpoint": f"../{where}", **({"adapters": listed} if listed else {}), "tolerance": {"forward": 1e-4}}
    inputs = {"hidden_states": x, "encoder_hidden_states": text, "timestep": t, **({"ref_latents": ref} if references else {})}
    write(name, case, out, inputs)


@torch.no_grad()
def vae(shared, name):
    where, pipe = shared
    model = pipe.vae
    inputs = {
        "video_tiled": randn(200, 1, 3, 9, 40, 64).clamp(-1, 1),
        "video_tiled_image": randn(201, 1, 3, 1, 56, 40).clamp(-1, 1),
        "video_even": randn(202, 1, 3, 12, 16, 24).clamp(-1, 1),
        "latents_tiled": randn(203, 1, 16, 2, 6, 8),
        "latents_even": randn(204, 1, 16, 4, 2, 3),
    }
    out = {}
    for k, video in inputs.items():
        kind, of = k.split("_", 1)
        model.enable_tiling(**{key: value for key, value in TILES.items() if "latent" not in key}) if "tiled" in of else model.disable_tiling()
        if kind == "video":
            moments = model.encode(video).latent_dist
            out |= {f"encode_{of}_mean": moments.mean, f"encode_{of}_logvar": moments.logvar}
        else:
            out[f"decode_{of}"] = model.decode(video).sample
    model.disable_tiling()
    assert out["encode_tiled_mean"].shape[-1] != 8, "tiles that do not divide the width give diffusers other than 64 / 8 columns"
    what = "tiled encode of a clip and of an image, tiled decode, even numbers of frames"
    write(name, {"kind": "vae", "what": what, "checkpoint": f"../{where}", "tiling": TILES, "tolerance": 1e-4}, out, inputs)


if __name__ == "__main__":
    five = checkpoint("tiny", use_rotary_positional_embeddings=True)
    two = checkpoint("tiny-2b", use_rotary_positional_embeddings=False)
    one = dict(rank=4, alpha=2, scale=0.8, seed=300, form="peft")
    other = dict(rank=3, alpha=6, scale=-0.5, seed=301, form="kohya", targets=["to_q", "to_v", "ff.net.0.proj", "patch_embed.proj"])
    vae(five, "vae-tiled")
    transformer(five, "two-references", "two reference frames at times 0 and 1; two LoRAs at once", 2, 2, 3, 6, 10, (one, other))
    transformer(two, "two-references-2b", "added sin-cos positions with two reference frames, at a size that is not the checkpoint's", 1, 2, 2, 8, 6)
    small = dict(rows=1, references=1, frames=1, height=6, width=8)
    for form in ("peft", "peft-default", "diffusers-old", "kohya"):
        a = dict(rank=2, alpha=2 if form == "diffusers-old" else 1, scale=1.0, seed=302, form=form)
        transformer(five, f"keys-{form}", f"one LoRA with its keys in the form '{form}'", adapters=(a,), **small)
    pipeline(five, "dpm-seeded", "two references, DPM, everything drawn from the seed", photos=2, scheduler="dpm", seed=420, prompt="kalo toy box mi shiru go")
    pipeline(five, "dpm-text", "no reference, DPM with a last step of second order, one frame, a negative prompt, a seed above 2^32", scheduler="dpm", seed=2**32 + 5, steps=7, num_frames=1,
             prompt="taru ka", negative_prompt="mine neru")  # fmt: skip
    pipeline(five, "dynamic-guidance", "no reference, dynamic guidance, a prompt that is cut", use_dynamic_cfg=True, seed=7, prompt="shiru kalo mi go " * 8)
    pipeline(five, "guidance-1", "one reference, no guidance, upright", photos=1, guidance_scale=1.0, seed=11, height=64, width=48, prompt="kami ne")
    pipeline(five, "two-adapters", "one reference, two LoRAs with scales", photos=1, adapters=(one, other), seed=13, steps=3, prompt="kami ne")
    pipeline(two, "two-b", "the 2B family: sin-cos positions, another noise schedule, one reference, 17 frames", photos=1, scheduler="dpm", seed=17, steps=4, num_frames=17, height=32, width=48, prompt="ta ka lo")
