"""The VAE: squared error, L1 and edges on whole clips and a share of photos; a very small KL term."""
import math
import os
import time

import torch
import torch.nn.functional as F

import fast_vae
import parts
import toys
from loop import Clock, Flat

HELD_OUT_CLIPS = 64


def edges(x): return x.diff(dim=-1), x.diff(dim=-2)


def loss_of(vae, x, kl_weight=2e-6):
    d = vae.encode(x).latent_dist
    y = vae.decode(d.sample()).sample.float()
    x = x.float()
    e = sum((a - b).abs().mean() for a, b in zip(edges(y), edges(x)))
    mean, logvar = d.mean.float(), d.logvar.float()
    kl = 0.5 * (mean.pow(2) + logvar.exp() - 1 - logvar).mean()
    square = (y - x).pow(2).mean()
    return 0.5 * (y - x).abs().mean() + 0.5 * e + 8.0 * square + kl_weight * kl, square.detach(), kl.detach()


@torch.no_grad()
def psnr(vae, clips, batch=8):
    """Mean decibels of clips (or photos) encoded by their mean and decoded, pixels clamped to [0, 1]; latents too."""
    errors, latents = [], []
    for k in range(0, len(clips), batch):
        x = toys.floats(clips[k:k + batch], next(vae.parameters()).dtype)
        z = vae.encode(x).latent_dist.mean
        y = (vae.decode(z).sample.float() / 2 + 0.5).clamp(0, 1)
        errors.append((y - (x.float() / 2 + 0.5)).pow(2).mean((1, 2, 3, 4))); latents.append(z.float())
    return float((-10 * torch.log10(torch.cat(errors))).mean()), torch.cat(latents)


def pick_layout(vae, place, group):
    """Times the equal forms of the convolution, one per process, and installs the fastest everywhere."""
    forms = [(False, False), (True, True), (False, True), (True, False)]
    mine = place.rank % len(forms)
    x = torch.rand(8, 3, 9, parts.SIZE, parts.SIZE, device=place.device, dtype=place.dtype) * 2 - 1
    fast_vae.install(*forms[mine])
    for i in range(6):
        if i == 3: torch.cuda.synchronize(); t = time.time()
        loss_of(vae, fast_vae.laid_out(x))[0].backward()
    torch.cuda.synchronize()
    times = torch.full((len(forms),), 1e9, device=place.device); times[mine] = (time.time() - t) / 3
    if group is not None or place.size > 1: torch.distributed.all_reduce(times, torch.distributed.ReduceOp.MIN, group=group)
    best = int(times.argmin())
    place.say('vae forms (stacked, channels last): seconds', {forms[i]: round(v, 4) for i, v in enumerate(times.tolist()) if v < 1e8}, 'chosen', forms[best])
    fast_vae.install(*forms[best])


def train(place, folder, minutes, group=None, steps=None, batch=8, peak=2e-3, ranks=None, still_every=6, hold=0.4):
    """Trains (or goes on with) the VAE in `folder` and writes it there; returns a record of what was done."""
    ranks = place.size if ranks is None else ranks
    torch.manual_seed(1000 + place.rank)
    vae = parts.new_vae()
    kept = parts.kept(folder, 'state-vae', 'vae')
    if kept is not None: vae.load_state_dict(kept)
    exact = [p.detach().clone() for p in vae.parameters()]
    vae.to(place.device, place.dtype).train()
    flat = Flat(vae.parameters(), place, betas=(0.9, 0.99), weight_decay=0.0, group=group, masters=exact)
    if place.cuda and not os.path.exists(f'{folder}/vae-form.json'): pick_layout(vae, place, group); flat.grad.zero_()
    else: fast_vae.install()
    clock = Clock(place, minutes, group, steps)
    seed, said, last_save = 10_000_000 * (1 + place.rank) + (0 if kept is None else 5_000_000), 0.0, 0.0
    pool, count, pictures = None, 0, 0
    while clock.tick():
        i = clock.step
        if i % still_every == 0 and pool is not None:
            draw = toys.Draw(batch * 4, seed + i)
            still = pool[torch.arange(len(pool), device=pool.device).repeat(4), torch.randint(0, pool.shape[1], (len(pool) * 4,), device=pool.device)]
            x = toys.floats(torch.cat([draw.photos(place.device)[0], still]), place.dtype)
        else:
            pool = toys.Draw(batch, seed + i).clips(place.device)
            x = toys.floats(pool, place.dtype)
        loss, square, kl = loss_of(vae, fast_vae.laid_out(x))
        loss.backward()
        flat.step(clock.rate(peak, 100, hold), decay=0.997)
        count += 1; pictures += x.shape[0] * x.shape[2]
        if clock.seconds() - said > 20:
            said = clock.seconds()
            place.say(f'vae {count} steps {said:.0f} s loss {float(loss.detach()):.4f} psnr {-10 * math.log10(float(square) / 4):.2f} kl {float(kl):.1f}')
        if clock.seconds() - last_save > 90 and place.rank == 0:
            last_save = clock.seconds()
            parts.write_shards(flat.named(vae), f'{folder}/state-vae')
    flat.use_average(); vae.eval()
    record = None
    if place.rank == 0:
        exact = {k: v.clone() for k, v in flat.named(vae).items()}
        parts.write_shards(exact, f'{folder}/state-vae')
        held = toys.Draw(HELD_OUT_CLIPS if place.cuda else 2, toys.HELD_OUT + 1).clips(place.device)
        with torch.no_grad(): value, z = psnr(vae, held)
        record = dict(steps=count, seconds=round(clock.seconds()), pictures=pictures * ranks, gpus=ranks, psnr=round(value, 2), latent_std=float(z.std()), latent_mean=float(z.mean()),
                      channel_std=[round(v, 3) for v in z.std((0, 2, 3, 4)).tolist()])
        place.say('vae', record)
        vae = parts.new_vae(); vae.load_state_dict(exact)
        parts.export(f'{folder}/toybox', vae=vae, scaling_factor=1 / float(z.std()))
    return record

