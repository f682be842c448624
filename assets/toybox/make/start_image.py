"""Measures clips that begin with a picture, made the product's way (native-models/pipelines/start-image.ts) and plainer ones.

    python start_image.py FOLDER [--clips 160] [--guidance 4] [--steps 20] [--recognisers make/recognisers] [--out results.json] [--sheets DIR]

The pictures are first frames of rendered, held-out clips, and the sentences those clips' own: what a perfect answer looks like is known (row 'rendered', and after the VAE). Above: a photo of the toy in
front, the adapter on, captions that say only 'the toy'. Below: no photo, no adapter, captions that describe it. The last rows begin with the photo itself and ask for another scene than the photo's.
"""
import argparse
import json
import os

import torch
import torch.nn.functional as F

import parts
import recognisers
import toys
from evaluate import Pairs
from loop import Place
from sampling import Sampler, sheet
from tokenizer import Tokens

PRODUCT = dict(guided=True, drawn=(0.7, 0.5))
WAYS = {
    'no start image': None,
    'known frame put back at every step (RePaint)': {},
    'the same in two thirds of the steps': dict(until=2 / 3),
    'the same, every step twice': dict(twice=True),
    'the same, as one more reference too': dict(extra=True),
    'guided by it': dict(guided=True),
    'guided by it and drawn to it: the product': PRODUCT,
    'the product, as one more reference too': dict(**PRODUCT, extra=True),
}


@torch.no_grad()
def latents(sampler, captions, noise, start, photos=None, steps=20, guidance=4.0, guided=False, drawn=None, until=1.0, twice=False, extra=False):
    """As Sampler.latents, begun with `start` [n, 1, 16, h, w]; None: as it is."""
    sampler.adapter.merge() if photos is not None else sampler.adapter.remove()
    n, words = len(captions), torch.cat([sampler.words([''] * len(captions)), sampler.words(captions)])
    front = [r for r in (photos, start if extra else None) if r is not None]
    k, alphas, rotary = len(front), sampler.alphas, parts.rotary(parts.LATENT_FRAMES + len(front), sampler.device)
    times = [round(1000 - i * 1000 / steps) - 1 for i in range(steps)]
    x, again = noise.clone(), torch.Generator().manual_seed(1)
    for i, t in enumerate(times):
        now, then = alphas[t], alphas[times[i + 1]] if i + 1 < steps else torch.ones((), device=sampler.device)
        turns = 2 if twice and steps // 20 <= i < steps // 2 else 1
        for turn in range(turns):
            heard = x.clone()
            if start is not None and i < until * steps: heard[:, :1] = now.sqrt() * start + (1 - now).sqrt() * noise[:, :1]
            both = [torch.cat([*front, y], 1) for y in (x if guided else heard, heard)]
            v = []
            for at in range(0, n, 80):
                some = slice(at, at + 80)
                y = torch.cat([both[0][some], both[1][some]]); w = torch.cat([words[:n][some], words[n:][some]])
                v.append(sampler.transformer(hidden_states=y, encoder_hidden_states=w, timestep=torch.full((len(y),), t, device=sampler.device), image_rotary_emb=rotary, return_dict=False)[0][:, k:].float().chunk(2))
            not_heard, is_heard = (torch.cat(side) for side in zip(*v))
            v = not_heard + guidance * (is_heard - not_heard)
            if guided: v[:, :1] = not_heard[:, :1]
            y = x if guided else heard
            clean = now.sqrt() * y - (1 - now).sqrt() * v
            for f in range(1, parts.LATENT_FRAMES) if drawn else ():
                clean[:, f] = torch.lerp(clean[:, f], start[:, 0], max(0.0, 1 - i / steps / drawn[0]) * drawn[1] ** (f - 1))
            x = then.sqrt() * clean + (1 - then).sqrt() * (y - now.sqrt() * clean) / (1 - now).sqrt()
            if turn < turns - 1: x = (now / then).sqrt() * x + (1 - now / then).sqrt() * torch.randn(x.shape, generator=again).to(x)
    if start is not None: x[:, :1] = start
    return x


@torch.no_grad()
def marks(made, start, asked, lineups, draw, scenes, judges, sampler):
    """How well clips uint8 [n, 17, h, w, 3] begin with `start`, and what else they keep. 'a cut': the step to the second frame is twice as large as those between latent frames."""
    f, (identity, clip) = made.float(), judges
    d = (f[:, 1:] - f[:, :-1]).abs().flatten(2).mean(2)
    first, rest, between = d[:, 0], d[:, 1:].mean(1), d[:, [4, 8, 12]].mean(1)
    x = toys.floats(made, sampler.dtype)
    motion, scene, _ = (torch.cat(m) for m in zip(*(clip(x[k:k + 40]) for k in range(0, len(x), 40))))
    face = [F.normalize(torch.cat([identity(x[k:k + 80, :, t]) for k in range(0, len(x), 80)]), dim=1) for t in (0, 1, 8, 16)]
    who = recognisers.pick(identity, F.normalize(face[2] + face[3], dim=1), lineups, 11, sampler.device, sampler.dtype)
    share = lambda b: round(100 * float(b.float().mean()), 1)
    mse = (f[:, 0] - start.float()).square().flatten(1).mean(1).clamp_min(1e-9)
    return {'first frame, dB': round(float((10 * torch.log10(255 ** 2 / mse)).mean()), 2), 'step to the second': round(float(first.mean()), 2), 'other steps': round(float(rest.mean()), 2),
            'ratio': round(float(first.mean() / rest.mean()), 2), 'a cut': share(first > 2 * between), 'same toy in the second frame': round(float((face[0] * face[1]).sum(1).mean()), 3),
            'right subject of 20': share(who == 0), 'asked motion': share(motion.argmax(1).cpu() == draw.motions), 'asked scene': share(scene.argmax(1).cpu() == scenes)}


def main():
    p = argparse.ArgumentParser()
    p.add_argument('folder'); p.add_argument('--clips', type=int, default=160); p.add_argument('--guidance', type=float, default=4.0); p.add_argument('--steps', type=int, default=20)
    p.add_argument('--recognisers', default=os.path.join(os.path.dirname(__file__), 'recognisers')); p.add_argument('--out'); p.add_argument('--sheets')
    a = p.parse_args()
    place = Place()
    sampler, judges = Sampler(a.folder, Tokens(f'{a.folder}/tokenizer/spiece.model'), place.device), recognisers.load(a.recognisers, place.device)
    seed, n = toys.HELD_OUT + 5_000_000, a.clips
    pairs = Pairs(n, seed, place.device)  # the photo never shows the scene that is asked
    draw, truth = pairs.draw, pairs.draw.clips(place.device)
    torch.manual_seed(seed)
    photos, noise = sampler.references(pairs.photos), torch.randn(n, parts.LATENT_FRAMES, 16, parts.LATENT_SIZE, parts.LATENT_SIZE, generator=torch.Generator().manual_seed(seed + 7)).to(place.device)
    unnamed, named = pairs.captions, draw.captions(True)
    results = dict(clips=n, guidance=a.guidance, steps=a.steps, seed=seed, rows={})

    def row(name, made, start):
        results['rows'][name] = marks(made, start, pairs.asked, pairs.lineups, draw, draw.scenes, judges, sampler)
        place.say(name, json.dumps(results['rows'][name]))
        if a.sheets:
            os.makedirs(a.sheets, exist_ok=True)
            sheet([[start[k], *made[k][[0, 1, 2, 3, 4, 6, 8, 12, 16]]] for k in range(min(6, n))], f'{a.sheets}/{len(results["rows"]):02d}.jpg')

    first = truth[:, 0]
    row('rendered', truth, first)
    back = [sampler.vae.decode(sampler.vae.encode(toys.floats(truth[k:k + 16], sampler.dtype)).latent_dist.mean).sample for k in range(0, n, 16)]
    row('rendered, after the VAE', ((torch.cat(back) / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 4, 1), first)
    for title, captions, reference, ways in (('photo', unnamed, photos, WAYS), ('no photo', named, None, {k: w for k, w in WAYS.items() if not (w or {}).get('extra')})):
        for name, way in ways.items():
            start = None if way is None else sampler.references(first, noise=False)
            row(f'{title}: {name}', sampler.clips(latents(sampler, captions, noise, start, reference, a.steps, a.guidance, **(way or {}))), first)
    for name in ('known frame put back at every step (RePaint)', 'guided by it and drawn to it: the product'):
        start = sampler.references(pairs.photos, noise=False)
        row(f'another scene: {name}', sampler.clips(latents(sampler, unnamed, noise, start, photos, a.steps, a.guidance, **WAYS[name])), pairs.photos)
    if a.out: json.dump(results, open(a.out, 'w'), indent=2)


if __name__ == '__main__':
    main()
