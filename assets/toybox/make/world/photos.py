"""The sample photos: python photos.py [OUT_FOLDER]. Sixteen toys of the seeds kept for samples, 768 x 768, never trained on.

Seeds of the generators: below HELD_OUT (10^9) training; from HELD_OUT to 2 * 10^9 evaluation; from 2 * 10^9 on sample photos. Toys of different seeds differ (40 continuous and discrete numbers)."""
import pathlib
import sys

import torch
from PIL import Image

import world as w

SAMPLES = 2 * w.HELD_OUT
NAMED = [('hazel', 2, 'beach'), ('fig', 3, 'peach paper'), ('biscuit', 8, 'desert'), ('nova', 11, 'grey paper'), ('misty', 13, 'city'), ('bolt', 16, 'meadow'), ('clover', 20, 'snow'), ('kelp', 26, 'undersea'),
         ('lemon', 33, 'white paper'), ('ginger', 35, 'peach paper'), ('pip', 36, 'snow'), ('nutmeg', 37, 'blue paper'), ('moss', 40, 'desert'), ('candy', 44, 'moon'), ('otto', 54, 'room'), ('melon', 59, 'grey paper')]


def main(out: pathlib.Path):
    out.mkdir(parents=True, exist_ok=True)
    for name, number, backdrop in NAMED:
        g = torch.Generator().manual_seed(SAMPLES + number)
        toy, setup = w.sample_subjects(1, g), w.sample_setup(1, g)
        picture = w.photo(toy, setup, w.BACKDROPS.index(backdrop), 768)[0]
        Image.fromarray(picture.numpy()).save(out / f'{name}.jpg', quality=88, optimize=True, subsampling=0)
        print(name, w.BODIES[int(w.body_type(toy)[0])], backdrop, (out / f'{name}.jpg').stat().st_size)


if __name__ == '__main__':
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2] / 'photos')
