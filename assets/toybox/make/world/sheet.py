"""Contact sheets of the world: python sheet.py OUT.png [photos|clips|scenes|bodies|motion] [--seed N] [--size 128] [--rows 4] [--cols 6] [--zoom 1]"""
import argparse

import numpy as np
import torch
from PIL import Image

import world as w


def grid(tiles: torch.Tensor, zoom: int) -> Image.Image:
    """tiles uint8 [rows, cols, S, S, 3] to one picture."""
    rows, cols, s, _, _ = tiles.shape
    picture = Image.fromarray(tiles.permute(0, 2, 1, 3, 4).reshape(rows * s, cols * s, 3).numpy())
    return picture.resize((cols * s * zoom, rows * s * zoom), Image.Resampling.LANCZOS) if zoom > 1 else picture


def main():
    a = argparse.ArgumentParser()
    a.add_argument('out')
    a.add_argument('what', choices=['photos', 'clips', 'scenes', 'bodies', 'motion'])
    a.add_argument('--seed', type=int, default=1)
    a.add_argument('--size', type=int, default=128)
    a.add_argument('--rows', type=int, default=4)
    a.add_argument('--cols', type=int, default=6)
    a.add_argument('--zoom', type=int, default=1)
    o = a.parse_args()
    g = torch.Generator().manual_seed(o.seed)
    rows = {'scenes': len(w.SCENES), 'bodies': len(w.BODIES), 'motion': len(w.MOTIONS)}.get(o.what, o.rows)
    n = rows * o.cols
    toys, setup = w.sample_subjects(n, g), w.sample_setup(n, g)
    if o.what == 'photos':
        tiles = w.photo(toys, setup, torch.randint(0, len(w.BACKDROPS), (n,), generator=g), o.size).view(rows, o.cols, o.size, o.size, 3)
    elif o.what == 'bodies':
        toys[:, w.COL['body']] = torch.arange(rows).repeat_interleave(o.cols)
        tiles = w.photo(toys, setup, torch.randint(len(w.SCENES), len(w.BACKDROPS), (n,), generator=g), o.size).view(rows, o.cols, o.size, o.size, 3)
    elif o.what == 'scenes':
        tiles = w.render(toys, torch.arange(rows).repeat_interleave(o.cols), 6, 0, setup, 1, o.size).view(rows, o.cols, o.size, o.size, 3)
    else:  # clips: some frames of each, left to right
        toys, setup = toys[:rows], setup[:rows]
        scenes = torch.randint(0, len(w.SCENES), (rows,), generator=g)
        motions = torch.arange(rows) if o.what == 'motion' else torch.randint(0, len(w.MOTIONS), (rows,), generator=g)
        cameras = torch.zeros(rows, dtype=torch.long) if o.what == 'motion' else torch.randint(0, len(w.CAMERAS), (rows,), generator=g)
        clips = w.render(toys, scenes, motions, cameras, setup, 17, o.size)
        tiles = clips[:, np.linspace(0, 16, o.cols).round().astype(int)]
    grid(tiles, o.zoom).save(o.out)


if __name__ == '__main__':
    main()
