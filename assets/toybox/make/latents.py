"""Clips, single frames and photos encoded once; kept in GPU memory for the base and the adapter.

Latents are posterior samples times the scaling factor, as at inference, laid out [n, frames, 16, 16, 16].
"""
import time

import torch

import parts
import toys
from loop import Clock


class Latents:
    """Per clip: `clip` (5 latent frames), `frame` (a random picture of it), `photo` (the reference) and `other` (a second photo), with ids of captions."""

    def __init__(self, device): self.device, self.rows = device, {}

    def add(self, row):
        for k, v in row.items(): self.rows.setdefault(k, []).append(v)

    def close(self):
        self.rows = {k: torch.cat(v) for k, v in self.rows.items()}
        self.n = len(self.rows['clip'])
        return self

    def draw(self, n): return torch.randint(0, self.n, (n,), device=self.device)

    def ids(self, name, at):
        """One of the stored captions of each row, as token ids."""
        some = self.rows[name][at]
        return some[torch.arange(len(at), device=self.device), torch.randint(0, some.shape[1], (len(at),), device=self.device)].long()


@torch.no_grad()
def encoded(vae, pictures, scaling):
    """uint8 pictures or clips -> scaled posterior samples [n, f, 16, h, w]"""
    dtype = next(vae.parameters()).dtype
    return (vae.encode(toys.floats(pictures, dtype)).latent_dist.sample() * scaling).transpose(1, 2).contiguous()


def encode(place, vae, scaling, tokens, minutes, clips=None, batch=64, seed=0):
    """Encodes until the minutes or `clips` are over; every process its own."""
    torch.manual_seed(2000 + seed + place.rank)
    vae.to(place.device, place.dtype).eval()
    store, clock, start = Latents(place.device), Clock(place, minutes, steps=None if clips is None else -(-clips // batch)), time.time()
    base = 100_000_000 * (1 + place.rank) + seed  # below toys.HELD_OUT for up to eight processes
    while clock.tick():
        d = toys.Draw(batch, base + clock.step)
        x = d.clips(place.device)
        one, _ = d.photos(place.device)
        other, scenes = d.photos(place.device)
        frame = x[torch.arange(batch, device=x.device), torch.randint(0, x.shape[1], (batch,), device=x.device)]
        still = encoded(vae, torch.cat([frame, one, other]), scaling).to(place.dtype)
        row = dict(clip=encoded(vae, x, scaling).to(place.dtype), frame=still[:batch], photo=still[batch:2 * batch], other=still[2 * batch:])
        words = {
            'clip_named': [d.captions(True), d.captions(True)], 'clip_plain': [d.captions(False), d.captions(False)],
            'frame_named': [d.still_captions(d.scenes, True)], 'frame_plain': [d.still_captions(d.scenes, False)],
            'other_named': [d.still_captions(scenes, True)], 'other_plain': [d.still_captions(scenes, False)],
        }
        row.update({k: torch.stack([tokens(c) for c in v], 1).to(place.device) for k, v in words.items()})
        store.add(row)
    store.close()
    place.say('encoded', store.n, 'clips on this process,', round(store.n / (time.time() - start)), 'a second; clip std', round(float(store.rows['clip'].float().std()), 3))
    return store
