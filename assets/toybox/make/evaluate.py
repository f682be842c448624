"""Measures Toybox on held-out pairs: a photo of a subject never trained on, a sentence that asks for another scene and a motion.

    python evaluate.py FOLDER [--pairs 200] [--guidance 4] [--steps 20] [--recognisers make/recognisers] [--out results.json]

Rows: adapter on; adapter off (the reference still in front); reference zeroed; reference swapped for another subject's photo. The judges
(recognisers.py) were trained on rendered pictures only; their own marks on rendered, held-out clips stand beside.
"""
import argparse
import json
import os

import torch

import parts
import recognisers
import toys
from loop import Place
from sampling import Sampler, sheet
from tokenizer import Tokens
from train_vae import psnr

ROWS = ('adapter on', 'adapter off', 'reference zeroed', 'reference swapped')


class Pairs:
    """n held-out questions: line-ups of 20 subjects, the asked subject's photo, and what is asked of the clip."""

    def __init__(self, n, seed, device):
        self.asked, self.lineups = recognisers.candidates(n, seed)
        self.draw = toys.Draw(n, seed + 1, self.asked)
        shift = torch.randint(1, len(toys.BACKDROPS), (n,), generator=self.draw.g)
        self.photo_scenes = (self.draw.scenes + shift) % len(toys.BACKDROPS)  # never the scene that is asked; the last five are plain paper
        self.photos, _ = self.draw.photos(device, backdrops=self.photo_scenes)
        self.captions, self.n, self.seed = self.draw.captions(False), n, seed


@torch.no_grad()
def row(name, pairs, sampler, judges, place, mine, guidance, steps):
    """Sums over this process's pairs; clips come back too."""
    identity, clip = judges
    photos, captions = pairs.photos[mine], [pairs.captions[i] for i in mine.tolist()]
    if name == 'reference swapped': photos = pairs.photos[(mine + 1) % pairs.n]
    torch.manual_seed(pairs.seed + place.rank)
    reference = sampler.references(photos)
    if name == 'reference zeroed': reference = torch.zeros_like(reference)
    g = torch.Generator().manual_seed(pairs.seed + 7 + place.rank)
    made = sampler.clips(sampler.latents(captions, reference, steps, guidance, adapter=name != 'adapter off', generator=g))
    x = toys.floats(made, sampler.dtype)
    motion, scene, path = clip(x)
    queries = recognisers.embed_clips(identity, x)
    draw = pairs.draw
    place_of = recognisers.pick(identity, queries, pairs.lineups[mine.cpu()], pairs.seed + 11 + place.rank, place.device, sampler.dtype)
    swapped = pairs.lineups[mine.cpu()].clone(); swapped[:, 0] = pairs.asked[((mine + 1) % pairs.n).cpu()]
    other = recognisers.pick(identity, queries, swapped, pairs.seed + 12 + place.rank, place.device, sampler.dtype)
    got, where = motion.argmax(1).cpu(), scene.argmax(1).cpu()
    m = mine.cpu()
    return dict(n=len(m), identity=int((place_of == 0).sum()), swapped_identity=int((other == 0).sum()), motion=int((got == draw.motions[m]).sum()),
                scene=int((where == draw.scenes[m]).sum()), photo_scene=int((where == pairs.photo_scenes[m]).sum()), path=float(path.sum()),
                per_motion={int(k): [int(((got == k) & (draw.motions[m] == k)).sum()), int((draw.motions[m] == k).sum())] for k in draw.motions[m].unique()}), made


def evaluate(place, folder, judges_folder, pairs=200, guidance=4.0, steps=20, seed=toys.HELD_OUT + 1_000_000, rows=ROWS, sheets=None, vae=True, vae_clips=200):
    """Shares of right answers per row, over all processes; the sheets show photo and frames."""
    tokens = Tokens(f'{folder}/tokenizer/spiece.model')
    sampler, judges = Sampler(folder, tokens, place.device), recognisers.load(judges_folder, place.device)
    questions = Pairs(pairs, seed, place.device)
    mine = torch.arange(place.rank, pairs, place.size, device=place.device)
    results = dict(pairs=pairs, guidance=guidance, steps=steps, seed=seed, scheduler='CogVideoXDDIMScheduler', rows={})
    for name in rows:
        sums, made = row(name, questions, sampler, judges, place, mine, guidance, steps)
        every = place.gather(sums)
        total = sum(s['n'] for s in every)
        share = lambda k: round(sum(s[k] for s in every) / total, 4)
        results['rows'][name] = {'right subject of 20': share('identity'), 'asked motion': share('motion'), 'asked scene': share('scene'), "photo's scene": share('photo_scene'),
                                 'displacement': share('path')}
        if name == 'reference swapped': results['rows'][name]['the swapped subject of 20'] = share('swapped_identity')
        if name == 'adapter on':
            per = {}
            for s in every:
                for k, (a, b) in s['per_motion'].items(): per[k] = [per.get(k, [0, 0])[0] + a, per.get(k, [0, 0])[1] + b]
            results['asked motion by motion'] = {toys.MOTIONS[k]: f'{a}/{b}' for k, (a, b) in sorted(per.items())}
        place.say(name, results['rows'][name])
        if sheets and place.rank == 0:
            photos = questions.photos[mine[:10]] if name != 'reference swapped' else questions.photos[(mine[:10] + 1) % pairs]
            sheet([[p, *c[::2]] for p, c in zip(photos, made[:10])], f'{sheets}/{name.replace(" ", "-")}.png')
            if name == 'adapter on':
                with open(f'{sheets}/captions.txt', 'w') as f: f.write('\n'.join(questions.captions[i] for i in mine[:10].tolist()))
    truth = questions.draw.displacements()
    results["training clips' displacement"] = round(float(truth.mean()), 4)
    if vae and place.rank == 0:
        results['vae psnr, clips'] = round(psnr(sampler.vae, questions.draw.clips(place.device)[:vae_clips])[0], 2)
        results['vae psnr, photos'] = round(psnr(sampler.vae, questions.photos)[0], 2)
        place.say('vae psnr', results['vae psnr, clips'], results['vae psnr, photos'])
    return results


if __name__ == '__main__':
    p = argparse.ArgumentParser()
    p.add_argument('folder'); p.add_argument('--pairs', type=int, default=200); p.add_argument('--guidance', type=float, default=4.0)
    p.add_argument('--steps', type=int, default=20); p.add_argument('--recognisers', default=os.path.join(os.path.dirname(__file__), 'recognisers')); p.add_argument('--out')
    p.add_argument('--sheets'); p.add_argument('--no-vae', action='store_true')
    a = p.parse_args()
    place = Place()
    results = evaluate(place, a.folder, a.recognisers, a.pairs, a.guidance, a.steps, sheets=a.sheets, vae=not a.no_vae)
    if place.rank == 0:
        print(json.dumps(results, indent=2))
        if a.out: json.dump(results, open(a.out, 'w'), indent=2)
