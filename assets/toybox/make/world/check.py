"""Quick check of the world on the CPU: python check.py. Says what it measured and fails by AssertionError."""
import random
import re
import time

import torch

import captions
import world as w


def draw(n, seed):
    g = torch.Generator().manual_seed(seed)
    return w.sample_subjects(n, g), w.sample_setup(n, g)


def determinism():
    one, two, other = draw(6, 11), draw(6, 11), draw(6, 12)
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1]) and not torch.equal(one[0], other[0])
    take = lambda s: w.render(s[0], torch.arange(6), torch.arange(6), torch.arange(6) % 5, s[1], 3, 48)
    first = take(one)
    assert first.shape == (6, 3, 48, 48, 3) and torch.equal(first, take(two)) and not torch.equal(first, take(other))
    part = w.render(one[0][2:3], 2, 2, 2, one[1][2:3], 3, 48)
    assert torch.equal(part[0], first[2]), 'a clip depends on its neighbours in the batch'
    print('determinism: same seed, same toys, clips and batch parts')


def motions():
    n = 40
    toys, setup = draw(n, 21)
    way = {}
    for m, name in enumerate(w.MOTIONS):
        t = w.track(toys, 0, m, 0, setup)
        d = t[:, 1:] - t[:, :-1]
        way[name] = dict(dx=t[:, -1, 0] - t[:, 0, 0], grow=t[:, -1, 2] / t[:, 0, 2], up=t[..., 1].amax(1) - t[..., 1].amin(1), side=t[..., 0].amax(1) - t[..., 0].amin(1),
                         tall=t[..., 2].amax(1) / t[..., 2].amin(1), speed=d[..., :2].norm(dim=-1).mean(1))
        print(f'{name:18} dx {way[name]["dx"].mean():6.1f}  grow {way[name]["grow"].mean():.2f}  side {way[name]["side"].mean():5.1f}  up {way[name]["up"].mean():5.1f}  px/frame {way[name]["speed"].mean():.2f}')
        assert torch.allclose(w.displacement(toys, 0, m, 0, setup), way[name]['speed'])
    assert (way['slides left']['dx'] < -20).all() and (way['slides right']['dx'] > 20).all()
    assert (way['hops']['up'] > 10).all() and (way['hops']['side'] < 3).all()
    assert (way['comes closer']['grow'] > 1.4).all() and (way['moves away']['grow'] < 1 / 1.4).all()
    assert (way['spins']['side'] < 4).all() and (way['spins']['tall'] < 1.1).all() and (way['bows']['side'] < 16).all()
    assert (way['sways']['side'] > 6).all() and (way['sways']['dx'].abs() < 25).all()
    assert (way['stretches']['tall'] > 1.5).all()
    assert (way['walks in a circle']['side'] > 20).all() and (way['walks in a circle']['dx'].abs() < 4).all() and (way['walks in a circle']['up'] > 3).all()
    assert way['spins']['speed'].mean() < 1 < way['slides left']['speed'].mean()
    # and the pictures move too: a spin's pixels change though its centre rests
    clip = w.render(toys[:6], 4, 3, 0, setup[:6], 9, 64).float()
    assert (clip[:, 1:] - clip[:, :-1]).abs().mean() > 1.5


def in_view():
    n = 60
    toys, setup = draw(n, 51)
    worst, tops = 0.0, []
    for m in range(len(w.MOTIONS)):
        for c in range(len(w.CAMERAS)):
            t = w.track(toys, 0, m, c, setup)
            outside = ((t[..., 0] < 14) | (t[..., 0] > 114)).float().mean().item()
            worst = max(worst, outside)
            tops.append((t[..., 2] / 128))
    tops = torch.cat(tops)
    print(f'centre within 14 px of the left or right edge: at most {worst:.1%} of frames of any motion and camera; height {tops.mean():.0%} of the picture (5-95 %: {tops.quantile(0.05):.0%}-{tops.quantile(0.95):.0%})')
    assert worst < 0.03 and 0.42 < tops.mean() < 0.66


def scenes():
    toys, setup = draw(12, 31)
    means = torch.stack([w.render(toys, s, 3, 0, setup, 1, 64).float().mean((0, 1, 2, 3)) for s in range(len(w.SCENES))])
    gap = torch.cdist(means, means) + 1e3 * torch.eye(len(w.SCENES))
    print('scenes, mean colour:', {n: [round(v) for v in m.tolist()] for n, m in zip(w.SCENES, means)}, 'nearest two:', round(gap.min().item(), 1))
    assert gap.min() > 12
    papers = w.photo(toys[:5], setup[:5], torch.arange(len(w.SCENES), len(w.BACKDROPS)), 64).float().mean((1, 2))
    assert (torch.cdist(papers, papers) + 1e3 * torch.eye(5)).min() > 5


def subjects():
    toys, _ = draw(4000, 41)
    assert torch.isfinite(toys).all() and toys.shape[1] == len(w.COLUMNS)
    for column, names in [('body', w.BODIES), ('pattern', w.PATTERNS), ('eye_style', w.EYES), ('mouth', w.MOUTHS), ('ears', w.EARS), ('arms', w.ARMS), ('feet', w.FEET), ('tail', w.TAILS), ('accessory', w.ACCESSORIES)]:
        share = torch.bincount(toys[:, w.COL[column]].long(), minlength=len(names)) / len(toys)
        assert len(share) == len(names) and (share > 0.03).all(), (column, share)
    looks = {(*map(int, t[[w.COL[c] for c in ('body', 'pattern', 'ears', 'mouth', 'arms', 'feet', 'accessory')]].tolist()), *captions.colours(t)[:2]) for t in toys}
    print(f'subjects: {len(looks)} of 4000 differ in kind or colour names')
    assert len(looks) > 3950 and torch.equal(w.body_type(toys), toys[:, 0].long())


def words():
    toys, _ = draw(300, 61)
    rng = random.Random(1)
    banned = re.compile(r'\b(' + '|'.join(map(re.escape, captions.IDENTITY_WORDS)) + r')\b', re.I)
    seen, longest, tokens = set(), 0, set()
    for i in range(6000):
        t, s, m, c = toys[i % 300], i % 8, i % 10, i % 5
        unnamed = [captions.caption(t, s, m, c, rng, False), captions.still_caption(t, i % 13, rng, False), captions.prompt(s, m, c)]
        named = [captions.caption(t, s, m, c, rng, True), captions.still_caption(t, i % 13, rng, True)]
        for text in unnamed:
            hit = banned.search(text)
            assert not hit and 'the toy' in text.lower(), (text, hit)
        for text in unnamed + named:
            longest = max(longest, len(text.split()))
            assert text == ' '.join(text.split()) and '{' not in text, text
        seen.update(unnamed[:1])
        tokens.update(re.findall(r'[a-z]+', ' '.join(unnamed + named).lower()))
    print(f'captions: {len(seen)} different unnamed ones of 6000, at most {longest} words, {len(tokens)} different words')
    assert longest <= 35 and len(seen) > 2000


def devices():
    """With a GPU: its pictures against the CPU's, and its speed."""
    toys, setup = draw(40, 71)
    asked = (torch.arange(40) % 8, torch.arange(40) % 10, torch.arange(40) % 5)
    here, there = w.render(toys, *asked, setup, 5, 64), w.render(toys, *asked, setup, 5, 64, 'cuda').cpu()
    off = (here.float() - there.float()).abs()
    print(f'GPU against CPU: mean difference {off.mean():.3f} levels, {(off.amax(-1) > 24).float().mean():.3%} of pixels by more than 24')
    assert off.mean() < 1
    toys, setup = (t.cuda() for t in draw(256, 72))
    run = lambda: w.render(toys, torch.arange(256, device='cuda') % 8, torch.arange(256, device='cuda') % 10, 0, setup, device='cuda')
    run()
    torch.cuda.synchronize()
    start = time.time()
    for _ in range(5):
        run()
    torch.cuda.synchronize()
    print(f'{5 * 256 / (time.time() - start):.0f} clips of 17 x 128 x 128 a second on {torch.cuda.get_device_name()}')


if __name__ == '__main__':
    determinism()
    subjects()
    motions()
    in_view()
    scenes()
    words()
    if torch.cuda.is_available():
        devices()
    print('world: all checks passed')
