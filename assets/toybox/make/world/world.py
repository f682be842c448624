"""The world of Toybox, from Python: subjects, clips and photos as uint8 tensors, on the CPU or on a CUDA device.

    g = torch.Generator().manual_seed(7)                 # training: seeds below HELD_OUT; evaluation and sample photos: from HELD_OUT on
    toys, setup = sample_subjects(64, g), sample_setup(64, g)
    clips = render(toys, scenes, motions, cameras, setup, device='cuda')      # uint8 [64, 17, 128, 128, 3]
    photos = photo(toys, sample_setup(64, g), backdrops, size=128)            # uint8 [64, 128, 128, 3]

`world.cu` is compiled on first use (nvcc for 'cuda', g++ for 'cpu') and kept under the system's temporary folder by the hash of its text and flags.
Vectors are drawn on the CPU generator, so that one seed means the same toy everywhere; pictures of the two devices agree to rounding, not to the bit."""

import ctypes
import hashlib
import math
import os
import pathlib
import shutil
import subprocess
import tempfile

import torch

HERE = pathlib.Path(__file__).resolve().parent
HELD_OUT = 1_000_000_000  # generator seeds from here on are never trained on

BODIES = ['round', 'pear', 'bean', 'box', 'cone', 'star', 'snowman', 'capsule', 'big-headed', 'drum', 'ghost', 'acorn']
PATTERNS = ['plain', 'stripes', 'upright stripes', 'dots', 'two-tone', 'patches', 'halves', 'checks']
EYES = ['white', 'beads', 'coloured']
MOUTHS = ['smile', 'open', 'beak', 'muzzle', 'cat']
EARS = ['none', 'round', 'cat', 'rabbit', 'horns', 'antennae', 'crest', 'floppy', 'sprout']
ARMS = ['none', 'arms', 'wings', 'thin arms']
FEET = ['none', 'feet', 'legs']
TAILS = ['none', 'pompom', 'long']
ACCESSORIES = ['none', 'scarf', 'party hat', 'bow', 'bow tie', 'beanie']
SCENES = ['meadow', 'beach', 'snow', 'city', 'room', 'desert', 'undersea', 'moon']
MOTIONS = ['slides left', 'slides right', 'hops', 'spins', 'comes closer', 'moves away', 'sways', 'stretches', 'walks in a circle', 'bows']
CAMERAS = ['still', 'pan left', 'pan right', 'zoom in', 'orbit']
BACKDROPS = [*SCENES, 'white paper', 'peach paper', 'blue paper', 'green paper', 'grey paper']  # photos

# columns of a subject, in world.cu's order
COLUMNS = ('body height width pattern pattern_freq pattern_phase pattern_tilt c1r c1g c1b c2r c2g c2b c3r c3g c3b eye_style eye_size eye_gap eye_height pupil iris lid mouth mouth_size cheeks '
           'ears ear_size ear_gap arms arm_length feet foot_size tail belly belly_size accessory gloss detail1 detail2').split()
COL = {name: i for i, name in enumerate(COLUMNS)}
SETUP = 20  # numbers in [0, 1): yaw, place, light, layout, tint, camera, phase, pose ...; see world.cu


# ---------------------------------------------------------------- the library
def _build(device: str) -> ctypes.CDLL:
    sources = [HERE / 'world.cu', HERE / 'prepare.h']
    nvcc = os.environ.get('NVCC') or shutil.which('nvcc') or '/usr/local/cuda/bin/nvcc'
    flags = ([nvcc, '-O3', '-use_fast_math', '-shared', '-Xcompiler', '-fPIC', '-arch=' + (os.environ.get('WORLD_ARCH') or 'sm_%d%d' % torch.cuda.get_device_capability())] if device == 'cuda'
             else ['g++', '-x', 'c++', '-std=c++17', '-O3', '-march=native', '-ffast-math', '-fopenmp', '-shared', '-fPIC', '-Wno-unknown-pragmas'])
    key = hashlib.sha256(b''.join(s.read_bytes() for s in sources) + ' '.join(flags).encode()).hexdigest()[:16]
    folder = pathlib.Path(tempfile.gettempdir()) / f'toybox-world-{os.getuid() if hasattr(os, "getuid") else 0}'
    folder.mkdir(exist_ok=True)
    out = folder / f'world-{device}-{key}.so'
    if not out.exists():
        part = out.with_suffix(f'.{os.getpid()}.part')
        subprocess.run([*flags, str(sources[0]), '-o', str(part)], check=True)
        os.replace(part, out)
    lib = ctypes.CDLL(str(out))
    p, i = ctypes.c_void_p, ctypes.c_int
    lib.world_prepare.argtypes = [p, p, p, p, p, p, i, i, i, i, p]
    lib.world_draw.argtypes = [p, p, i, i, i, p]
    a, b, c = i(), i(), i()
    lib.world_sizes(ctypes.byref(a), ctypes.byref(b), ctypes.byref(c))
    assert (a.value, b.value) == (len(COLUMNS), SETUP), 'world.py and world.cu disagree about the columns'
    lib.frame_floats = c.value // 4
    return lib


_libs: dict = {}


def _lib(device: torch.device) -> ctypes.CDLL:
    if device.type not in _libs:
        _libs[device.type] = _build(device.type)
    return _libs[device.type]


# ---------------------------------------------------------------- subjects and setups
def _hsv(h, s, v):
    k = lambda n: (n + h * 6) % 6
    f = lambda n: v - v * s * torch.clamp(torch.minimum(k(n), 4 - k(n)), 0, 1)
    return torch.stack([f(5.0), f(3.0), f(1.0)], -1)


def sample_subjects(n: int, generator: torch.Generator) -> torch.Tensor:
    """n toys, float32 [n, 40] (COLUMNS), from a CPU generator: the same seed, the same toys."""
    u = torch.rand(n, 64, generator=generator)
    at = iter(range(64))
    r = lambda: u[:, next(at)]
    between = lambda a, b: a + (b - a) * r()
    one_of = lambda weights: torch.searchsorted(torch.tensor(weights).cumsum(0) / sum(weights), r().contiguous()).clamp(max=len(weights) - 1)
    s = torch.zeros(n, len(COLUMNS))

    def put(name, value):
        s[:, COL[name]] = value.float()

    body = (r() * len(BODIES)).long()
    put('body', body)
    put('height', between(1.16, 1.36))
    put('width', between(0.9, 1.16))
    pattern = one_of([3.0, 2, 1.5, 2, 1.8, 1.8, 1.4, 1.2])
    put('pattern', pattern)
    put('pattern_freq', between(6.0, 10.5))
    put('pattern_phase', between(0.0, 6.28))
    put('pattern_tilt', torch.where(r() < 0.6, torch.zeros(n), between(-0.6, 0.6)))
    # three colours: the first of a family, the second well apart from it in hue or in lightness, the third lively
    family, h1, spread, sa, va = one_of([4.4, 2.0, 1.3, 1.0, 0.7, 1.2]), r(), r(), r(), r()  # vivid, pastel, deep, white, black, earth
    pick = lambda table: torch.tensor(table)[family]
    hue = torch.where(family == 5, 0.04 + 0.07 * h1, h1)
    sat = pick([0.68, 0.28, 0.62, 0.02, 0.06, 0.38]) + pick([0.24, 0.2, 0.25, 0.07, 0.2, 0.32]) * sa
    val = pick([0.82, 0.93, 0.34, 0.94, 0.13, 0.42]) + pick([0.16, 0.07, 0.2, 0.05, 0.09, 0.45]) * va
    kind, h2 = r(), (hue + 0.28 + 0.44 * spread) % 1
    light_first = (val * (1 - 0.5 * sat)) > 0.55
    s2, v2 = 0.55 + 0.35 * r(), 0.72 + 0.26 * r()
    c2 = _hsv(h2, s2, v2)
    cream = torch.tensor([0.98, 0.95, 0.88]).expand(n, 3)
    shade = _hsv(hue, (sat + 0.12).clamp(max=0.95), (val * 0.5))
    tint = _hsv(hue, sat * 0.35, (val * 0.4 + 0.6).clamp(max=1))
    c2 = torch.where(((kind < 0.2) & (family != 3))[:, None], torch.where(light_first[:, None], shade, tint), c2)
    c2 = torch.where(((kind > 0.72) & (family != 3) & (family != 1))[:, None], cream, c2)
    c1 = _hsv(hue, sat, val)
    near = (c1 - c2).abs().amax(-1, keepdim=True) < 0.3  # too alike for a pattern to be seen
    c2 = torch.where(near, torch.where(light_first[:, None], c2 * 0.45, cream), c2)
    c3 = _hsv(torch.where(r() < 0.5, (h2 + 0.5) % 1, r()), 0.65 + 0.3 * r(), 0.75 + 0.23 * r())
    s[:, COL['c1r']:COL['c1r'] + 3] = c1
    s[:, COL['c2r']:COL['c2r'] + 3] = c2
    s[:, COL['c3r']:COL['c3r'] + 3] = c3
    style = one_of([2.2, 1.3, 1.5])
    dark = (val < 0.4) & (style == 1)
    style = torch.where(dark, torch.zeros_like(style), style)  # black beads would be lost on a dark toy
    put('eye_style', style)
    put('eye_size', torch.where(style == 1, between(0.075, 0.115), between(0.105, 0.16)))
    put('eye_gap', between(0.36, 0.56))
    put('eye_height', between(-0.02, 0.05))
    put('pupil', torch.where(style == 2, between(0.62, 0.74), between(0.7, 0.82)))
    put('iris', between(0.28, 0.72))
    put('lid', torch.where((r() < 0.16) & (style != 1), between(0.4, 0.75), torch.zeros(n)))
    mouth = one_of([2.0, 1.6, 1.3, 1.3, 1.0])
    put('mouth', mouth)
    put('mouth_size', between(0.9, 1.35))
    put('cheeks', (r() < 0.4))
    ears = one_of([1.0, 1.5, 1.5, 1.3, 1.1, 1.1, 0.8, 1.1, 0.8])
    put('ears', ears)
    size = torch.tensor([0.1, 0.15, 0.14, 0.125, 0.13, 0.125, 0.13, 0.145, 0.125])[ears]
    put('ear_size', size * between(0.88, 1.2))
    put('ear_gap', between(0.5, 0.72))
    put('arms', one_of([1.0, 3.0, 1.0, 1.3]))
    put('arm_length', between(0.2, 0.29))
    put('feet', one_of([1.0, 2.2, 1.6]))
    put('foot_size', between(0.115, 0.155))
    put('tail', one_of([1.3, 1.0, 1.0]))
    put('belly', (r() < 0.38) & (body != 5) & ((pattern == 0) | (pattern == 1) | (pattern == 5)))
    put('belly_size', between(0.85, 1.1))
    wear = one_of([2.6, 1.0, 0.8, 0.7, 0.8, 0.8])
    on_top = (wear == 2) | (wear == 5)
    wear = torch.where(on_top & ((ears == 6) | (ears == 8) | (ears == 5) | (body == 5)), torch.zeros_like(wear), wear)
    wear = torch.where((body == 5) & (wear == 1), torch.full_like(wear, 4), wear)
    wear = torch.where((wear == 2) & (ears == 3), torch.full_like(wear, 4), wear)
    put('accessory', wear)
    put('gloss', between(0.1, 0.75))
    put('detail1', r())
    put('detail2', r())
    return s


def sample_setup(n: int, generator: torch.Generator) -> torch.Tensor:
    """Everything about a clip or photo that is neither the toy nor named in the caption: pose, light, layout, camera. float32 [n, 20] in [0, 1)."""
    return torch.rand(n, SETUP, generator=generator)


def body_type(subjects: torch.Tensor) -> torch.Tensor:
    """Index into BODIES, int64 [n]."""
    return subjects[:, COL['body']].long()


# ---------------------------------------------------------------- pictures
def _frames(subjects, scenes, motions, cameras, setup, count, still, fine, device):
    device = torch.device(device)
    n = subjects.shape[0]
    floats = lambda t: t.to(device, torch.float32).contiguous()
    ints = lambda t: torch.as_tensor(t).to(device, torch.int32).expand(n).contiguous()
    given = [floats(subjects), ints(scenes), ints(motions), ints(cameras), floats(setup)]
    lib = _lib(device)
    frames = torch.empty(n * count, lib.frame_floats, device=device)
    with torch.cuda.device(device) if device.type == 'cuda' else torch.no_grad():
        stream = torch.cuda.current_stream(device).cuda_stream if device.type == 'cuda' else None
        code = lib.world_prepare(*[t.data_ptr() for t in given], frames.data_ptr(), n, count, int(still), int(fine), stream)
    if code:
        raise RuntimeError(f'world_prepare: CUDA error {code}')
    return frames


def _draw(frames, size, samples):
    device = frames.device
    out = torch.empty(frames.shape[0], size, size, 3, dtype=torch.uint8, device=device)
    with torch.cuda.device(device) if device.type == 'cuda' else torch.no_grad():
        stream = torch.cuda.current_stream(device).cuda_stream if device.type == 'cuda' else None
        code = _lib(device).world_draw(frames.data_ptr(), out.data_ptr(), frames.shape[0], size, samples, stream)
    if code:
        raise RuntimeError(f'world_draw: CUDA error {code}')
    return out


def render(subjects, scenes, motions, cameras, setup, frames: int = 17, size: int = 128, device='cpu', samples: int = 2) -> torch.Tensor:
    """Clips, uint8 [n, frames, size, size, 3]. scenes, motions, cameras: indices [n] (or one for all) into SCENES, MOTIONS, CAMERAS; samples x samples rays a pixel."""
    state = _frames(subjects, scenes, motions, cameras, setup, frames, False, False, device)
    return _draw(state, size, samples).view(subjects.shape[0], frames, size, size, 3)


def photo(subjects, setup, backdrop, size: int = 128, device='cpu', samples=None, fine=None) -> torch.Tensor:
    """Photos, uint8 [n, size, size, 3]: the toy in a pose of the setup before BACKDROPS[backdrop], a little larger than in clips. `fine` adds fingerprints (from 256 on by itself)."""
    state = _frames(subjects, backdrop, 0, 0, setup, 1, True, size >= 256 if fine is None else fine, device)
    return _draw(state, size, samples or (4 if size >= 256 else 2))


def track(subjects, scenes, motions, cameras, setup, frames: int = 17, size: int = 128) -> torch.Tensor:
    """Where the toy truly is: float32 [n, frames, 3], its centre's x and y and its height, in pixels of a size x size picture. Always computed on the CPU."""
    state = _frames(subjects, scenes, motions, cameras, setup, frames, False, False, 'cpu')
    return state[:, -3:].view(subjects.shape[0], frames, 3) * size


def displacement(subjects, scenes, motions, cameras, setup, frames: int = 17, size: int = 128) -> torch.Tensor:
    """Mean way of the toy's centre from one frame to the next, in pixels, float32 [n]."""
    return track(subjects, scenes, motions, cameras, setup, frames, size)[..., :2].diff(dim=1).norm(dim=-1).mean(1)
