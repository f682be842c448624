"""Photos of toys with known masks, for cutouts.ts: python cutouts.py FOLDER SEED COUNT SIZE [BACKDROPS_ONLY]. Torch, Pillow and g++; no GPU.

Toys and setups come from make/world as the sample photos do, from seeds of their own. The masks are rendered, not guessed: a copy of world.cu, in which a ray that meets the toy is white and any
other black, is drawn with the same rays (16 a pixel). Photos with an even number stand in one of the eight scenes with props, rendered whole (shadows, fog, depth of field). Those with an odd
number are the toy's own light (a second copy: what is not toy is black) laid with that mask, in linear light, onto one of eight procedural textures (planks, bricks, weave, gravel, leaves,
wallpaper, marble, stripes) in random colours, with a soft shadow. BACKDROPS_ONLY: scenes and textures without any toy.
"""
import json
import pathlib
import sys
import tempfile

import torch
import torch.nn.functional as F
from PIL import Image

make = pathlib.Path(__file__).resolve().parents[2] / 'assets/toybox/make/world'
sys.path.insert(0, str(make))
sys.dont_write_bytecode = True
import world as w  # noqa: E402

HIT, MISS = '      V p = lo_ + ld * t, wp = o + rd * t;\n', '  // everything else, along a ray'
TONE, SHADE = 'V c = tone(look(f, rd, far, px), f.exposure);', 'k = (1.f - .35f * (u * u + w * w)) / taken;'
LINEAR = [(f'powf(sat(sum.{c} * k), 1.f / 2.2f)', f'sat(sum.{c} * k)') for c in 'xyz']
MASK = [(HIT, '      return v3(1, 1, 1);\n' + HIT), (MISS, '  return v3(0, 0, 0);\n' + MISS), (TONE, 'V c = look(f, rd, far, px);'), (SHADE, 'k = 1.f / taken;'), *LINEAR]
TOY = [(MISS, '  return v3(0, 0, 0);\n' + MISS)]
NONE = [('if (inBox(f, lo_, ld, t, end)) {', 'if (false && inBox(f, lo_, ld, t, end)) {'), ('    if (dx * dx + dz * dz < reach * reach) {', '    if (false && dx * dx + dz * dz < reach * reach) {')]


def variant(changes):
    """The world's library compiled from a changed copy of its source."""
    folder = pathlib.Path(tempfile.mkdtemp())
    text = (make / 'world.cu').read_text()
    for a, b in changes:
        assert text.count(a) == 1, f'world.cu has changed: {a!r} is there {text.count(a)} times'
        text = text.replace(a, b)
    (folder / 'world.cu').write_text(text)
    (folder / 'prepare.h').write_text((make / 'prepare.h').read_text())
    w.HERE = folder
    return w._build('cpu')


def drawn(lib, toys, setup, backdrops, size):
    w._libs['cpu'] = lib
    return w.photo(toys, setup, backdrops, size)


# ---------------------------------------------------------------- textures, linear light [size, size, 3]
def noise(size, cells, g):
    return F.interpolate(torch.rand(1, 1, cells + 3, cells + 3, generator=g), (size, size), mode='bicubic', align_corners=False)[0, 0].clamp(0, 1)


def clouds(size, cells, g):
    return sum(noise(size, cells * 2 ** o, g) * 0.5 ** (o + 1) for o in range(4)) / 0.9375


def texture(kind, size, g):
    y, x = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing='ij')
    hue, r = torch.rand(3, generator=g), lambda: float(torch.rand(1, generator=g))
    a = 0.15 + 0.6 * torch.rand(3, generator=g)
    b = (a * (0.35 + 0.4 * r()) + 0.15 * hue).clamp(0, 1)
    mix = lambda t: (a * t[..., None] + b * (1 - t[..., None]))
    if kind == 0:  # planks
        n = 5 + int(4 * r())
        v = (clouds(size, 3, g) * 9 + x * 2 + y * 40 * (0.5 + r())).sin() * 0.3 + 0.5
        gap = ((y * n) % 1 < 0.03).float()
        return mix(v) * (1 - 0.75 * gap[..., None]) * (0.75 + 0.25 * torch.rand(n + 1, generator=g)[(y * n).long()][..., None])
    if kind == 1:  # bricks
        n = 8 + int(5 * r())
        row = (y * n).long()
        cx = x * n / 2 + 0.5 * (row % 2)
        mortar = (((y * n) % 1 < 0.1) | (cx % 1 < 0.05)).float()
        tone = torch.rand(64, 64, generator=g)[row % 64, cx.long() % 64] * 0.7 + clouds(size, 20, g) * 0.3
        return mix(tone) * (1 - mortar[..., None]) + 0.45 * mortar[..., None]
    if kind == 2:  # weave
        n = 30 + 30 * r()
        return mix(0.5 + 0.25 * (x * n * 6.28).sin() * (y * n * 6.28).sin() + 0.35 * (clouds(size, 6, g) - 0.5))
    if kind == 3:  # gravel
        n = 300
        p = torch.rand(n, 2, generator=g)
        d = ((x[..., None] - p[:, 0]) ** 2 + (y[..., None] - p[:, 1]) ** 2)
        near = d.topk(2, dim=-1, largest=False)
        tone = torch.rand(n, generator=g)[near.indices[..., 0]]
        edge = ((near.values[..., 1].sqrt() - near.values[..., 0].sqrt()) * 60).clamp(0, 1)
        return mix(tone) * (0.3 + 0.7 * edge[..., None])
    if kind == 4:  # leaves
        out = mix(clouds(size, 8, g))
        for _ in range(160):
            cx, cy, t, s = r(), r(), 6.28 * r(), 0.03 + 0.05 * r()
            u, v = (x - cx) * torch.tensor(t).cos() + (y - cy) * torch.tensor(t).sin(), -(x - cx) * torch.tensor(t).sin() + (y - cy) * torch.tensor(t).cos()
            inside = ((u / s) ** 2 + (v / s / 0.4) ** 2 < 1).float()[..., None]
            out = out * (1 - inside) + inside * (a * (0.4 + 0.8 * r()) + 0.1 * torch.rand(3, generator=g)).clamp(0, 1) * (0.7 + 0.3 * (1 - v.abs() / s)[..., None])
        return out
    if kind == 5:  # wallpaper
        n = 7 + 6 * r()
        dots = ((((x * n) % 1 - 0.5) ** 2 + ((y * n + 0.5 * ((x * n).long() % 2)) % 1 - 0.5) ** 2) < 0.06).float()
        return mix(dots) * (0.9 + 0.2 * (clouds(size, 4, g)[..., None] - 0.5))
    if kind == 6:  # marble
        return mix((0.5 + 0.5 * ((x + y) * 12 + clouds(size, 4, g) * 14).sin()) ** 2)
    n = 10 + 14 * r()  # stripes
    return mix((((x * (1 - 2 * r()) + y) * n) % 1 < 0.5).float()) * (0.85 + 0.3 * (clouds(size, 5, g)[..., None] - 0.5))


TEXTURES = ['planks', 'bricks', 'weave', 'gravel', 'leaves', 'wallpaper', 'marble', 'stripes']


def blurred(plane, sigma):
    k = int(3 * sigma) | 1
    t = torch.exp(-(torch.arange(-k, k + 1).float() ** 2) / (2 * sigma ** 2))
    t = t / t.sum()
    p = F.pad(plane[None, None], (k, k, k, k), mode='replicate')
    return F.conv2d(F.conv2d(p, t[None, None, None]), t[None, None, :, None])[0, 0]


def main(out, seed, count, size, alone):
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    g = torch.Generator().manual_seed(seed)
    toys, setup = w.sample_subjects(count, g), w.sample_setup(count, g)
    scenes = torch.arange(count) // 2 % 8
    whole, masks, own = drawn(variant(NONE if alone else []), toys, setup, scenes, size), None, None
    if not alone:
        masks = drawn(variant(MASK), toys, setup, scenes, size)[..., 0]
        own = drawn(variant(TOY), toys[1::2], setup[1::2], scenes[1::2], size)
    entries = []
    for i in range(count):
        picture, name = whole[i], w.SCENES[int(scenes[i])]
        if i % 2:
            name = TEXTURES[int(scenes[i])]
            ground = texture(int(scenes[i]), size, g).clamp(0, 1)
            if alone:
                light = ground
            else:
                alpha = masks[i].float() / 255
                shift = size // 30
                shadow = blurred(F.pad(alpha, (shift, 0, shift, 0))[:size, :size], size / 50)
                light = (own[i // 2].float() / 255) ** 2.2 + ground * (1 - 0.5 * shadow)[..., None] * (1 - alpha)[..., None]
            picture = (light.clamp(0, 1) ** (1 / 2.2) * 255 + 0.5).to(torch.uint8)
        Image.fromarray(picture.numpy()).save(out / f'{i:02}.jpg', quality=90, subsampling=0)
        if not alone: Image.fromarray(masks[i].numpy()).save(out / f'{i:02}-mask.png')
        entries.append({'photo': f'{i:02}.jpg', 'mask': None if alone else f'{i:02}-mask.png', 'on': name, 'kind': 'texture' if i % 2 else 'scene'})
    (out / 'photos.json').write_text(json.dumps(entries))


if __name__ == '__main__':
    main(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:5]), len(sys.argv) > 5)
