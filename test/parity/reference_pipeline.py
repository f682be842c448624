"""The CogVideoX pipeline with reference photos, of diffusers' own components.

No pipeline of diffusers takes them: the clean reference latents stand before the video's at every step, both branches of the guidance see them, and what comes
out for them is dropped (proven equal to the paper's published code). Without references the loop is held to equal CogVideoXPipeline exactly.
"""

import math

import numpy
import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler


@torch.no_grad()
def clip(pipe, embeds, photos, height, width, num_frames, steps, guidance_scale, use_dynamic_cfg, scheduler, seed):
    """
    Computes a clip, everything drawn from one CPU generator: each photo's posterior in order, the latents, the scheduler's noise.

    pipe: a CogVideoXPipeline in float32. embeds: [2, T, D], the negative prompt's first, or [1, T, D] where guidance_scale is 1. photos: uint8 [height, width, 3] each.
    scheduler: 'ddim' or 'dpm'. Returns the tensors of a pipeline case's outputs: prompt_embeds, reference_latents, latents.i, frames.
    """
    kind = {"ddim": CogVideoXDDIMScheduler, "dpm": CogVideoXDPMScheduler}[scheduler]
    pipe.scheduler = kind.from_config(pipe.scheduler.config)
    guided = guidance_scale > 1
    g = torch.Generator("cpu").manual_seed(seed)
    out = {"prompt_embeds": embeds}
    clean = []
    for photo in photos:
        assert photo.shape == (height, width, 3), "a photo must have the clip's size"
        pixels = torch.from_numpy(photo.astype("float32") / 255 * 2 - 1)
        posterior = pipe.vae.encode(pixels.permute(2, 0, 1)[None, :, None]).latent_dist  # [1, 3, 1, H, W]
        clean.append(posterior.sample(g).permute(0, 2, 1, 3, 4) * pipe.vae.config.scaling_factor)  # [1, 1, 16, h, w]
    n = len(clean)
    if n:
        out["reference_latents"] = torch.cat(clean, 1)
    frames = (num_frames - 1) // 4 + 1
    latents = torch.randn((1, frames, 16, height // 8, width // 8), generator=g)
    pipe.scheduler.set_timesteps(steps)
    rotary = None
    if pipe.transformer.config.use_rotary_positional_embeddings:
        rotary = pipe._prepare_rotary_positional_embeddings(height, width, n + frames, torch.device("cpu"))
    old = None
    timesteps = pipe.scheduler.timesteps
    for i, t in enumerate(timesteps):
        x = torch.cat([*clean, latents], 1).repeat(2 if guided else 1, 1, 1, 1, 1)
        v = pipe.transformer(hidden_states=x, encoder_hidden_states=embeds, timestep=t.expand(len(x)), image_rotary_emb=rotary, return_dict=False)[0][:, n:].float()
        if guided:
            scale = guidance_scale
            if use_dynamic_cfg:
                scale = 1 + guidance_scale * ((1 - math.cos(math.pi * ((steps - t.item()) / steps) ** 5.0)) / 2)
            negative, positive = v.chunk(2)
            v = negative + scale * (positive - negative)
        if scheduler == "ddim":
            latents = pipe.scheduler.step(v, t, latents, return_dict=False)[0]
        else:
            latents, old = pipe.scheduler.step(v, old, t, timesteps[i - 1] if i > 0 else None, latents, generator=g, return_dict=False)
        out[f"latents.{i}"] = latents
    video = pipe.video_processor.postprocess_video(pipe.decode_latents(latents), output_type="np")[0]
    out["frames"] = torch.from_numpy((video * 255).round().astype("uint8"))
    if n == 0:
        stock(pipe, embeds, guided, out, height, width, num_frames, steps, guidance_scale, use_dynamic_cfg, seed, video)
    return out


def stock(pipe, embeds, guided, out, height, width, num_frames, steps, guidance_scale, use_dynamic_cfg, seed, video):
    """Holds the loop above to CogVideoXPipeline itself."""
    seen = []

    def each(_pipe, _i, _t, tensors):
        seen.append(tensors["latents"].clone())
        return tensors

    given = {"prompt_embeds": embeds[-1:], **({"negative_prompt_embeds": embeds[:1]} if guided else {})}
    pipe.set_progress_bar_config(disable=True)
    its = pipe(**given, height=height, width=width, num_frames=num_frames, num_inference_steps=steps, guidance_scale=guidance_scale, use_dynamic_cfg=use_dynamic_cfg,
               generator=torch.Generator("cpu").manual_seed(seed), output_type="np", callback_on_step_end=each).frames[0]  # fmt: skip
    assert len(seen) == steps and all(torch.equal(x, out[f"latents.{i}"]) for i, x in enumerate(seen)), "the loop differs from CogVideoXPipeline"
    assert numpy.array_equal(its, video)
