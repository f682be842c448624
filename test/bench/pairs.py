"""The questions and the judge of pairs.ts: python pairs.py draw FOLDER PAIRS | python pairs.py judge FOLDER. Torch, Pillow and g++; no GPU.

As make/evaluate.py has it: a photo of a held-out toy, a sentence that asks for a motion and for another scene than the photo's, and the judges of make/recognisers.py, which were trained on
rendered pictures only. `right subject of 20`: of a line-up of the asked toy, five of its body shape and fourteen others, each known by six fresh photos, the clip is nearest to the asked one.
Two things differ: the photo is of 768x768, as a person's would be, and the judges see the frames of the MP4.
"""
import json
import math
import pathlib
import subprocess
import sys

import torch

make = pathlib.Path(__file__).resolve().parents[2] / 'assets/toybox/make'
sys.path.insert(0, str(make))
sys.dont_write_bytecode = True
import recognisers  # noqa: E402
import toys  # noqa: E402

SEED, PHOTO = toys.HELD_OUT + 1_000_000, 768
ROWS = ('whole', 'cut-out')


def questions(n):
    asked, lineups = recognisers.candidates(n, SEED)
    draw = toys.Draw(n, SEED + 1, asked)
    shift = torch.randint(1, len(toys.BACKDROPS), (n,), generator=draw.g)
    return draw, lineups, (draw.scenes + shift) % len(toys.BACKDROPS)


def ask(folder, n):
    from PIL import Image
    folder.mkdir(parents=True, exist_ok=True)
    draw, _, scenes = questions(n)
    pictures, _ = draw.photos('cpu', size=PHOTO, backdrops=scenes)
    captions = draw.captions(False)
    entries = []
    for i in range(n):
        Image.fromarray(pictures[i].numpy()).save(folder / f'{i:03}.jpg', quality=90, subsampling=0)
        entries.append({'photo': f'{i:03}.jpg', 'prompt': captions[i], 'seed': SEED + i, 'backdrop': toys.BACKDROPS[int(scenes[i])]})
    (folder / 'pairs.json').write_text(json.dumps(entries))


def frames(file):
    raw = subprocess.run(['ffmpeg', '-v', 'error', '-i', str(file), '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-'], check=True, capture_output=True).stdout
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(-1, toys.SIZE, toys.SIZE, 3)


def chance(better, worse):
    """How likely so many or more of the pairs that differ would be better by chance alone (one-sided sign test)."""
    n = better + worse
    return sum(math.comb(n, k) for k in range(better, n + 1)) / 2 ** n


@torch.no_grad()
def judge(folder):
    """Of the pairs both of whose clips are there."""
    entries = json.loads((folder / 'pairs.json').read_text())
    draw, lineups, scenes = questions(len(entries))
    mine = torch.tensor([i for i in range(len(entries)) if all((folder / f'{i:03}-{row}.mp4').exists() for row in ROWS)])
    identity, clip = recognisers.load(str(make / 'recognisers'), torch.device('cpu'))
    dtype = next(identity.parameters()).dtype
    faces = recognisers.gallery(identity, lineups[mine].flatten(0, 1), SEED + 11, torch.device('cpu'), dtype).view(len(mine), lineups.shape[1], -1)
    found, rows = {}, {}
    for row in ROWS:
        hits, motions, places, backdrops = [], [], [], []
        for n, i in enumerate(mine.tolist()):
            x = toys.floats(frames(folder / f'{i:03}-{row}.mp4')[None], dtype)
            motion, scene, _ = clip(x)
            hits.append(int((faces[n] @ recognisers.embed_clips(identity, x)[0]).argmax()) == 0)
            motions.append(int(motion.argmax()) == int(draw.motions[i])); places.append(int(scene.argmax()) == int(draw.scenes[i])); backdrops.append(int(scene.argmax()) == int(scenes[i]))
        found[row] = hits
        share = lambda v: round(sum(v) / len(v), 4)
        rows[row] = {'right subject of 20': share(hits), 'asked motion': share(motions), 'asked scene': share(places), "photo's scene": share(backdrops)}
    whole, cut = found['whole'], found['cut-out']
    gained, lost = [sum(a and not b for a, b in zip(*two)) for two in ((cut, whole), (whole, cut))]
    results = {'pairs': len(mine), 'of': len(entries), 'seed': SEED, 'rows': rows, 'found by the cut-out alone': gained, 'found by the whole photo alone': lost, 'chance of so many or more': round(chance(gained, lost), 4),
               'each': {f'{i:03}': {'whole': whole[n], 'cut-out': cut[n], 'backdrop': entries[i]['backdrop']} for n, i in enumerate(mine.tolist())}}
    print(json.dumps(results))


if __name__ == '__main__':
    if sys.argv[1] == 'draw': ask(pathlib.Path(sys.argv[2]), int(sys.argv[3]))
    else: judge(pathlib.Path(sys.argv[2]))
