"""What training asks of the world: clips, photos, captions. Subjects, scenes and all else are drawn from a seed.

Training draws from seeds below HELD_OUT; evaluation and the sample photos from HELD_OUT upwards, so its subjects were never trained on.
"""
import os
import random
import sys

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'world'))
import captions  # noqa: E402
from world import BACKDROPS, CAMERAS, HELD_OUT, MOTIONS, SCENES, body_type, displacement, photo, render, sample_setup, sample_subjects  # noqa: E402, F401

from parts import FRAMES, SIZE  # noqa: E402

STILL = 0.6  # this share of the clips keeps its camera still, and of the others one in five


class Draw:
    """n subjects, each with a scene, a motion, a camera move and a setup (light, place, phase ...)."""

    def __init__(self, n, seed, subjects=None):
        self.n, self.g = n, torch.Generator().manual_seed(seed)
        self.rng = random.Random(seed)
        self.subjects = sample_subjects(n, self.g) if subjects is None else subjects
        self.scenes, self.motions, self.cameras = (torch.randint(0, len(k), (n,), generator=self.g) for k in (SCENES, MOTIONS, CAMERAS))
        self.cameras[torch.rand(n, generator=self.g) < STILL] = 0
        self.setup = sample_setup(n, self.g)

    def clips(self, device, frames=FRAMES, size=SIZE):
        """uint8 [n, frames, size, size, 3]"""
        return render(self.subjects, self.scenes, self.motions, self.cameras, self.setup, frames=frames, size=size, device=device)

    def photos(self, device, size=SIZE, backdrops=None):
        """Photos of the subjects under fresh setups, before a backdrop each (drawn unless given): uint8 [n, size, size, 3], and those backdrops."""
        backdrops = torch.randint(0, len(BACKDROPS), (self.n,), generator=self.g) if backdrops is None else backdrops
        return photo(self.subjects, sample_setup(self.n, self.g), backdrops, size=size, device=device), backdrops

    def displacements(self):
        """Mean way of the toy on the picture from frame to frame, in pixels [n]"""
        return displacement(self.subjects, self.scenes, self.motions, self.cameras, self.setup).float().cpu()

    def captions(self, named):
        s, m, c, looks = self.scenes.tolist(), self.motions.tolist(), self.cameras.tolist(), self.subjects.tolist()
        return [captions.caption(looks[i], s[i], m[i], c[i], self.rng, named) for i in range(self.n)]

    def still_captions(self, backdrops, named):
        """Captions of single pictures."""
        looks = self.subjects.tolist()
        return [captions.still_caption(looks[i], b, self.rng, named) for i, b in enumerate(backdrops.tolist())]


def any_captions(n, rng):
    """A mixture of every kind of caption, for the vocabulary."""
    d, k = Draw(n, rng.randrange(1 << 29)), n // 4
    backdrops = torch.randint(0, len(BACKDROPS), (n,), generator=d.g)
    return d.captions(True)[:2 * k] + d.captions(False)[2 * k:3 * k] + d.still_captions(backdrops, True)[3 * k:]


def floats(pictures, dtype=torch.float32):
    """uint8 [..., t, h, w, 3] or [n, h, w, 3] -> [n, 3, t, h, w] in [-1, 1]"""
    if pictures.ndim == 4: pictures = pictures[:, None]
    return (pictures.permute(0, 4, 1, 2, 3).to(dtype) / 127.5 - 1).contiguous()
