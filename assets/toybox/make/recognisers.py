"""The judges of evaluation, trained on rendered pictures only: who is it (a picture's embedding), and which motion, scene and path (a clip)."""
import torch
import torch.nn as nn
import torch.nn.functional as F

import parts
import toys
from loop import Clock, Flat

VIEWS = 5  # frames of a clip that are embedded and averaged


class Residual(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.one, self.two = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.Conv2d(b, b, 3, 1, 1, bias=False)
        self.norm1, self.norm2, self.skip = nn.GroupNorm(8, b), nn.GroupNorm(8, b), nn.Conv2d(a, b, 1, stride, bias=False)

    def forward(self, x): return F.silu(self.skip(x) + self.norm2(self.two(F.silu(self.norm1(self.one(x))))))


class Identity(nn.Module):
    """Pictures [n, 3, h, w] in [-1, 1] -> unit vectors [n, 128]: the same subject near, other subjects far, whatever pose and scene."""

    def __init__(self):
        super().__init__()
        c = (32, 48, 96, 128, 160)
        self.stem = nn.Conv2d(5, c[0], 5, 2, 2)
        self.body = nn.Sequential(*[Residual(a, b, 2) for a, b in zip(c, c[1:])])
        self.attend, self.out = nn.Conv2d(c[-1], 4, 1), nn.Linear(4 * c[-1], 128)

    def forward(self, x):
        y, xx = torch.meshgrid(*[torch.linspace(-1, 1, n, device=x.device, dtype=x.dtype) for n in x.shape[-2:]], indexing='ij')
        x = self.body(F.silu(self.stem(torch.cat([x, torch.stack([xx, y]).expand(len(x), -1, -1, -1)], 1))))
        w = self.attend(x).flatten(2).softmax(-1)  # where the subject is
        return F.normalize(self.out(torch.einsum('nkp,ncp->nkc', w, x.flatten(2)).flatten(1)).float(), dim=1)


class Block3(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.one, self.two = nn.Conv3d(a, b, 3, stride, 1, bias=False), nn.Conv3d(b, b, 3, 1, 1, bias=False)
        self.norm1, self.norm2, self.skip = nn.GroupNorm(8, b), nn.GroupNorm(8, b), nn.Conv3d(a, b, 1, stride, bias=False)

    def forward(self, x): return F.silu(self.skip(x) + self.norm2(self.two(F.silu(self.norm1(self.one(x))))))


class Clip(nn.Module):
    """Clips [n, 3, 17, h, w] in [-1, 1] -> logits of the motion and of the scene, and the mean displacement of the toy in pixels a frame."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv3d(6, 24, (3, 5, 5), (1, 2, 2), (1, 2, 2))
        self.body = nn.Sequential(Block3(24, 40, (1, 2, 2)), Block3(40, 72, 2), Block3(72, 112, 2))
        self.motion, self.scene, self.path = nn.Linear(224, len(toys.MOTIONS)), nn.Linear(112, len(toys.SCENES)), nn.Linear(224, 1)

    def forward(self, x):
        x = F.avg_pool3d(x, (1, 2, 2))
        grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, n, device=x.device, dtype=x.dtype) for n in x.shape[-3:]], indexing='ij'))
        x = self.body(F.silu(self.stem(torch.cat([x, grid.expand(len(x), -1, -1, -1, -1)], 1)))).flatten(2)
        mean, most = x.mean(2), x.amax(2)
        both = torch.cat([mean, most], 1)
        return self.motion(both).float(), self.scene(mean).float(), self.path(both).float()[:, 0]


def worn(x):
    """Small changes of brightness, contrast, sharpness and grain, so that a judge does not lean on what a decoder cannot give back."""
    n, shape = len(x), (len(x),) + (1,) * (x.ndim - 1)
    r = lambda a, b: torch.rand(shape, device=x.device, dtype=x.dtype) * (b - a) + a
    flat = x.reshape(n, -1, *x.shape[-2:])
    soft = F.avg_pool2d(F.pad(flat, (1, 1, 1, 1), mode='replicate'), 3, 1).view_as(x)
    x = torch.lerp(x, soft, r(0, 1) * (torch.rand(shape, device=x.device) < 0.7).to(x.dtype))
    return x * r(0.92, 1.08) + r(-0.05, 0.05) + torch.randn_like(x) * r(0, 0.06)


def embed_clips(identity, clips):
    """Mean unit embedding of VIEWS frames: clips [n, 3, t, h, w] -> [n, 128]"""
    at = torch.linspace(0, clips.shape[2] - 1, VIEWS).round().long().tolist()
    e = torch.stack([identity(clips[:, :, k]) for k in at]).mean(0)
    return F.normalize(e, dim=1)


def gallery(identity, subjects, seed, device, dtype, photos=6):
    """Mean embedding of several fresh photos of each subject [n, 128]: what a candidate looks like."""
    out = []
    for k in range(0, len(subjects), 256):
        some = subjects[k:k + 256]
        draw = toys.Draw(len(some), seed + k, some)
        out.append(torch.stack([identity(toys.floats(draw.photos(device)[0], dtype)[:, :, 0]) for _ in range(photos)]).mean(0))
    return F.normalize(torch.cat(out), dim=1)


def candidates(n, seed):
    """Subjects of n line-ups [n * 20, P]: place 0 is the one asked for, 1-5 share its body type, the others are drawn at random."""
    g = torch.Generator().manual_seed(seed)
    asked = toys.sample_subjects(n, g)
    many = toys.sample_subjects(4000, g)
    kind, kinds = toys.body_type(asked), toys.body_type(many)
    rows = []
    for i in range(n):
        same = torch.nonzero(kinds == kind[i])[:, 0]
        same = same[torch.randperm(len(same), generator=g)[:5]]
        other = torch.randperm(len(many), generator=g)
        other = other[~torch.isin(other, same)][:14]
        rows.append(torch.cat([asked[i:i + 1], many[same], many[other]]))
    return asked, torch.stack(rows)


def pick(identity, queries, lineups, seed, device, dtype):
    """Which of the 20 each query [n, 128] is nearest to: [n]"""
    n, k = lineups.shape[:2]
    faces = gallery(identity, lineups.flatten(0, 1), seed, device, dtype).view(n, k, -1)
    return torch.einsum('nkd,nd->nk', faces, queries).argmax(1)


@torch.no_grad()
def examine(identity, clip, place, n=400, seed=toys.HELD_OUT + 50_000):
    """The judges' own marks on rendered, held-out clips."""
    asked, lineups = candidates(n, seed)
    hits, motion, scene, gaps = [], [], [], []
    queries = []
    for k in range(0, n, 50):
        draw = toys.Draw(len(asked[k:k + 50]), seed + 1 + k, asked[k:k + 50])
        x = toys.floats(draw.clips(place.device), place.dtype)
        m, s, p = clip(x)
        motion.append((m.argmax(1).cpu() == draw.motions)); scene.append((s.argmax(1).cpu() == draw.scenes))
        gaps.append((p.cpu() - draw.displacements()).abs()); queries.append(embed_clips(identity, x))
    hits = pick(identity, torch.cat(queries), lineups, seed + 9000, place.device, place.dtype) == 0
    mean = lambda v: round(float(torch.cat(v).float().mean()), 4)
    return dict(clips=n, identity=round(float(hits.float().mean()), 4), motion=mean(motion), scene=mean(scene), displacement_error=mean(gaps))


def train(place, folder, minutes, steps=None, subjects=256, clips=48):
    """Trains both judges side by side on one process; writes `folder`/recognisers."""
    torch.manual_seed(7)
    identity, clip = Identity().to(place.device, place.dtype), Clip().to(place.device, place.dtype)
    heat = torch.nn.Parameter(torch.tensor(2.5, device=place.device, dtype=place.dtype))
    a = Flat(list(identity.parameters()) + [heat], place)
    b = Flat(clip.parameters(), place)
    clock, said, seed = Clock(place, minutes, steps=steps), 0.0, 900_000_000
    while clock.tick():
        i, rate = clock.step, clock.rate(1.5e-3, 200, 0.4)
        draw = toys.Draw(subjects, seed + 2 * i)
        one = toys.floats(draw.photos(place.device)[0], place.dtype)[:, :, 0]
        frame = draw.clips(place.device, frames=3)
        two = toys.floats(frame[torch.arange(subjects), torch.randint(0, 3, (subjects,))], place.dtype)[:, :, 0]
        x = torch.cat([one, two])
        if i % 2: x = worn(x)
        e = identity(x)
        logits = e[:subjects] @ e[subjects:].t() * heat.float().exp().clamp(max=60)
        to = torch.arange(subjects, device=place.device)
        who = F.cross_entropy(logits, to) + F.cross_entropy(logits.t(), to)
        who.backward(); a.step(rate)
        draw = toys.Draw(clips, seed + 2 * i + 1)
        x = toys.floats(draw.clips(place.device), place.dtype)
        m, s, p = clip(worn(x) if i % 2 else x)
        what = F.cross_entropy(m, draw.motions.to(m.device)) + F.cross_entropy(s, draw.scenes.to(m.device)) + 0.3 * F.smooth_l1_loss(p, draw.displacements().to(m.device))
        what.backward(); b.step(rate)
        if clock.seconds() - said > 20:
            said = clock.seconds()
            place.say(f'recognisers {i} steps {said:.0f} s who {float(who):.3f} what {float(what):.3f}', everyone=True)
    a.use_average(); b.use_average(); identity.eval(); clip.eval()
    marks = examine(identity, clip, place, 400 if place.cuda else 4)
    marks.update(steps=clock.step, seconds=round(clock.seconds()))
    place.say('recognisers on rendered held-out clips', marks, everyone=True)
    tensors = {f'identity.{k}': v for k, v in identity.state_dict().items()} | {f'clip.{k}': v for k, v in clip.state_dict().items()}
    parts.write_shards(parts.half(tensors), f'{folder}/recognisers', 'recognisers')
    return marks


def load(folder, device, dtype=torch.float32):
    tensors = parts.read_shards(folder, 'recognisers')
    identity, clip = Identity(), Clip()
    identity.load_state_dict({k[9:]: v for k, v in tensors.items() if k.startswith('identity.')})
    clip.load_state_dict({k[5:]: v for k, v in tensors.items() if k.startswith('clip.')})
    return identity.to(device, dtype).eval(), clip.to(device, dtype).eval()
