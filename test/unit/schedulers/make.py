"""Writes what torch and diffusers compute for test/unit/schedulers.test.ts and random.test.ts: random.json.gz and trajectories.json.gz beside this file.

Needs PyPI's torch and diffusers, on an x86 machine with AVX2. Deterministic.
"""

import base64
import gzip
import hashlib
import json
import random
from pathlib import Path

import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler

torch.set_num_threads(1)
HERE = Path(__file__).parent


def write(name, value):
    (HERE / name).write_bytes(gzip.compress(json.dumps(value, separators=(",", ":")).encode(), 9, mtime=0))


def bfloat16_normals(n, generator):
    """torch.randn in bfloat16 as releases up to 2.11 draw it: 16 and more values come from uniforms of 8 bits (later releases use more). Every operation rounds."""
    if n < 16:
        return torch.randn(n, generator=generator, dtype=torch.bfloat16)

    def uniforms(k):
        bits = (torch.rand(k, generator=generator) * 2**24).to(torch.int64) & 0xFF
        return (bits.double() / 256).to(torch.bfloat16)

    def turn(a):
        radius = (-2 * (1 - a[:8]).log()).sqrt()
        theta = (2 * torch.pi * a[8:].double()).to(torch.bfloat16)
        a[:8], a[8:] = radius * theta.cos() + 0, radius * theta.sin() + 0

    a = uniforms(n)
    for at in range(0, n - 15, 16):
        turn(a[at : at + 16])
    if n % 16:
        a[-16:] = uniforms(16)
        turn(a[-16:])
    return a


def normals():
    r = random.Random(1)
    sizes = [lambda: r.randrange(0, 16), lambda: r.randrange(16, 64), lambda: r.randrange(64, 3000)]
    for k in range(150):
        seed = r.choice([r.randrange(2**64), r.randrange(1000), 2**32 - 1, 2**32, 2**63, 2**64 - 1])
        generator = torch.Generator("cpu").manual_seed(seed)
        digest = hashlib.sha256()
        draws = []
        for _ in range(r.randrange(1, 8)):
            n = r.choice(sizes)() if k else 1_123_205
            dtype = "float32" if k == 0 else r.choice(["float32", "float32", "bfloat16"])
            values = torch.randn(n, generator=generator) if dtype == "float32" else bfloat16_normals(n, generator).float()
            digest.update(values.numpy().tobytes())
            draws.append([n, dtype])
        yield {"seed": str(seed), "draws": draws, "sha256": digest.hexdigest()}


def trajectories():
    """Random predictions through a scheduler; the predictions and its noise come from one generator in the order they are used."""
    r = random.Random(3)
    shape = (1, 2, 4, 3, 2)
    base = {"beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "prediction_type": "v_prediction"}
    for name, kind in (("ddim", CogVideoXDDIMScheduler), ("dpm", CogVideoXDPMScheduler)):
        for spacing in ("trailing", "leading", "linspace"):
            for shift in (1.0, 3.0):
                for zero, one in ((True, True), (False, True), (True, False), (False, False)):
                    n = r.choice([1, 2, 3, 4, 6, 7, 20, 30, 49, 50, 51])
                    config = {**base, "timestep_spacing": spacing, "snr_shift_scale": shift, "rescale_betas_zero_snr": zero, "set_alpha_to_one": one,
                              "steps_offset": r.choice([0, 1]) if spacing == "leading" else 0}  # fmt: skip
                    scheduler = kind(**config)
                    scheduler.set_timesteps(n)
                    seed = r.randrange(2**32)
                    generator = torch.Generator("cpu").manual_seed(seed)
                    x, old, before = torch.randn(shape, generator=generator), None, None
                    for t in scheduler.timesteps:
                        v = torch.randn(shape, generator=generator)
                        if name == "ddim":
                            x = scheduler.step(v, t, x, return_dict=False)[0]
                        else:
                            x, old = scheduler.step(v, old, t, before, x, generator=generator)
                        before = t
                    yield {"scheduler": name, "config": config, "steps": n, "seed": seed, "shape": shape, "timesteps": scheduler.timesteps.tolist(),
                           "last": base64.b64encode(x.numpy().tobytes()).decode()}  # fmt: skip


def timesteps():
    """A checksum of all timesteps for every number of steps, by spacing; the extra timestep -1 that some trailing schedules get is left out."""
    for spacing in ("trailing", "leading", "linspace"):
        scheduler = CogVideoXDDIMScheduler(timestep_spacing=spacing)
        text = []
        for n in range(1, 1001):
            scheduler.set_timesteps(n)
            steps = scheduler.timesteps.tolist()
            text.append(",".join(map(str, steps[:-1] if steps[-1] < 0 else steps)))
        yield spacing, hashlib.sha256("\n".join(text).encode()).hexdigest()


if __name__ == "__main__":
    write("random.json.gz", list(normals()))
    write("trajectories.json.gz", {"trajectories": list(trajectories()), "timesteps": dict(timesteps())})
