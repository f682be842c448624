"""English for the world of Toybox: many sentences for one clip. `named` captions describe the toy (base training); the others call it only 'the toy', so that identity cannot come through the text."""

import colorsys
import random

import world as w

MOTION_PHRASES = [  # (finite verb, -ing form); none says anything about the toy itself
    [('slides to the left', 'sliding to the left'), ('moves from right to left', 'moving from right to left'), ('walks to the left', 'walking to the left'), ('waddles left across the picture', 'waddling left across the picture'), ('heads left', 'heading left'), ('goes left', 'going left')],
    [('slides to the right', 'sliding to the right'), ('moves from left to right', 'moving from left to right'), ('walks to the right', 'walking to the right'), ('waddles right across the picture', 'waddling right across the picture'), ('heads right', 'heading right'), ('goes right', 'going right')],
    [('hops up and down', 'hopping up and down'), ('jumps up and down', 'jumping up and down'), ('hops on the spot', 'hopping on the spot'), ('jumps for joy', 'jumping for joy'), ('bounces up and down', 'bouncing up and down'), ('hops', 'hopping'), ('jumps', 'jumping')],
    [('spins around', 'spinning around'), ('turns around once', 'turning around once'), ('turns in place', 'turning in place'), ('rotates on the spot', 'rotating on the spot'), ('twirls', 'twirling'), ('spins', 'spinning')],
    [('comes closer', 'coming closer'), ('walks towards the camera', 'walking towards the camera'), ('approaches the viewer', 'approaching the viewer'), ('comes towards us', 'coming towards us'), ('walks up to the camera', 'walking up to the camera')],
    [('moves away', 'moving away'), ('backs away from the camera', 'backing away from the camera'), ('walks away into the distance', 'walking away into the distance'), ('retreats from us', 'retreating from us'), ('goes farther away', 'going farther away')],
    [('sways from side to side', 'swaying from side to side'), ('dances', 'dancing'), ('rocks left and right', 'rocking left and right'), ('dances from side to side', 'dancing from side to side'), ('sways to the music', 'swaying to the music'), ('wiggles and dances', 'wiggling and dancing')],
    [('stretches and squashes', 'stretching and squashing'), ('stretches tall and squashes flat', 'stretching tall and squashing flat'), ('grows tall and short like rubber', 'growing tall and short like rubber'), ('squashes and stretches', 'squashing and stretching'), ('stretches up and down', 'stretching up and down')],
    [('walks in a circle', 'walking in a circle'), ('runs around in a circle', 'running around in a circle'), ('goes in a circle', 'going in a circle'), ('circles around', 'circling around'), ('walks a full circle', 'walking a full circle')],
    [('bows', 'bowing'), ('takes a bow', 'taking a bow'), ('bows to the audience', 'bowing to the audience'), ('bends forward and bows', 'bending forward and bowing'), ('nods deeply', 'nodding deeply'), ('leans forward politely', 'leaning forward politely')],
]
SCENE_PHRASES = [
    ['in a meadow', 'on a sunny meadow with flowers', 'in a field with trees', 'on the grass', 'in a flowery meadow', 'in the park'],
    ['on the beach', 'on a sandy beach by the sea', 'at the seaside', 'by the ocean under a parasol', 'on a tropical beach', 'on the shore'],
    ['in the snow', 'on a snowy field', 'in a winter landscape', 'among snowy pine trees', 'in the snowy mountains', 'in a winter forest'],
    ['in the city at night', 'on a city street at night', 'in a night street with lamps', 'downtown at night', 'under the street lamps of a city at night', 'in town at night'],
    ['in a living room', 'on a rug in the living room', 'at home', 'in a cosy room', 'indoors on a big rug', 'in a room with a sofa'],
    ['in the desert', 'in the desert at sunset', 'among cacti in the desert', 'on desert sand', 'in a sandy desert with cacti', 'in the hot desert'],
    ['under the sea', 'at the bottom of the sea', 'underwater among corals', 'under water with fish', 'on the sea floor', 'in the ocean depths'],
    ['on the moon', 'on the surface of the moon', 'on the moon beside a rocket', 'in space on the moon', 'among moon craters', 'on the moon under the stars'],
]
CAMERA_PHRASES = [
    ['', '', '', '', 'The camera is still.', 'Static shot.', 'Fixed camera.'],
    ['The camera pans left.', 'The camera moves to the left.', 'Camera panning left.'],
    ['The camera pans right.', 'The camera moves to the right.', 'Camera panning right.'],
    ['The camera zooms in slowly.', 'Slow zoom in.', 'The camera moves in.'],
    ['The camera orbits around slowly.', 'The camera circles a little.', 'Slow orbit shot.'],
]
PAPER_PHRASES = [['in front of a plain white backdrop', 'on white paper'], ['in front of a plain peach backdrop', 'on peach paper'], ['in front of a plain blue backdrop', 'on blue paper'],
                 ['in front of a plain green backdrop', 'on green paper'], ['in front of a plain grey backdrop', 'on grey paper']]
PLAIN_PHRASES = ['in front of a plain backdrop', 'in a photo studio', 'on plain paper']  # unnamed: no colour at all

COLOURS = ['red', 'orange', 'yellow', 'lime', 'green', 'teal', 'cyan', 'blue', 'purple', 'magenta', 'pink', 'white', 'cream', 'black', 'grey', 'brown', 'beige']
BODY_PHRASES = [['round toy', 'ball-shaped toy', 'round little creature'], ['pear-shaped toy', 'pear-shaped creature'], ['bean-shaped toy', 'bean creature'], ['box-shaped toy', 'square toy', 'cube creature'],
                ['cone-shaped toy', 'gumdrop-shaped toy'], ['star-shaped toy', 'star'], ['snowman-shaped toy', 'two-ball toy'], ['tall capsule-shaped toy', 'tall round toy'],
                ['toy with a big head', 'big-headed toy'], ['drum-shaped toy', 'barrel-shaped toy'], ['ghost-shaped toy', 'little ghost'], ['acorn-shaped toy', 'top-heavy toy']]
EAR_PHRASES = [[''], ['round ears', 'bear ears', 'mouse ears'], ['cat ears', 'pointed ears'], ['long rabbit ears', 'bunny ears'], ['horns', 'two little horns'], ['antennae', 'two antennae'], ['a crest', 'a crest on its head'],
               ['floppy ears', 'hanging ears'], ['a sprout on its head', 'two leaves on its head']]
ACCESSORY_PHRASES = [[''], ['a {3} scarf'], ['a {3} party hat'], ['a {3} bow'], ['a {3} bow tie'], ['a {3} beanie', 'a {3} woolly hat']]
FORMS = ['{toy} {does} {where}', '{toy} {does} {where}', '{toy} {does} {where}', '{toy} {doing} {where}', '{toy} is {doing} {where}', '{where}, {toy} {does}', '{where}, {toy} is {doing}', 'a video of {toy} {doing} {where}',
         'a clip where {toy} {does} {where}', 'we see {toy} {doing} {where}', 'stop motion: {toy} {does} {where}', '{toy} {where}, {doing}', 'animation of {toy} that {does} {where}']
# what an unnamed caption must never contain
IDENTITY_WORDS = sorted({*COLOURS, 'gray', 'gold', 'golden', 'violet', 'turquoise', 'light', 'dark', 'pastel', 'round', 'ball', 'ball-shaped', 'pear', 'pear-shaped', 'bean', 'bean-shaped', 'box', 'box-shaped', 'square', 'cube', 'cone', 'cone-shaped', 'gumdrop',
                         'star', 'star-shaped', 'snowman', 'capsule', 'tall-bodied', 'big-headed', 'head', 'drum', 'barrel', 'ghost', 'acorn', 'top-heavy', 'creature', 'stripes', 'striped', 'dots', 'dotted', 'spots', 'patches', 'patched', 'checks', 'checked',
                         'ears', 'horns', 'antennae', 'crest', 'sprout', 'beak', 'scarf', 'hat', 'bow tie', 'beanie', 'tail', 'wings', 'belly'} - {'light'})


def colour_name(r: float, g: float, b: float) -> str:
    """The plain English name of an sRGB colour (0 to 1)."""
    h, s, v = colorsys.rgb_to_hsv(r, g, b)
    h *= 360
    if v < 0.24:
        return 'black'
    if s < 0.13:
        return 'white' if v > 0.86 else 'grey'
    if 15 <= h < 65 and s < 0.24 and v > 0.85:
        return 'cream'
    name = next(n for top, n in [(14, 'red'), (42, 'orange'), (66, 'yellow'), (90, 'lime'), (150, 'green'), (178, 'teal'), (200, 'cyan'), (254, 'blue'), (286, 'purple'), (318, 'magenta'), (344, 'pink'), (361, 'red')] if h < top)
    if name in ('red', 'orange', 'yellow') and v < 0.72 and h < 60:
        return 'brown' if v < 0.6 or s > 0.5 else 'beige'
    if name == 'orange' and s < 0.5:
        return 'beige' if h >= 22 else 'pink'
    if name == 'red' and s < 0.55 and v > 0.7:
        return 'pink'
    if name == 'teal' and v > 0.8:
        return 'cyan' if h >= 165 else 'green'
    if s < 0.5 and v > 0.85:
        return 'light ' + name
    if v < 0.5:
        return 'dark ' + name
    return name


def _column(subject, name):
    return float(subject[w.COL[name]])


def colours(subject) -> list[str]:
    """Names of the toy's three colours."""
    return [colour_name(*(float(subject[w.COL[f'c{i}r'] + k]) for k in range(3))) for i in (1, 2, 3)]


def describe(subject, rng: random.Random) -> str:
    """A noun phrase for one toy, with its article: 'a red pear-shaped toy with white dots and cat ears'."""
    one, two, three = colours(subject)
    if one == two:
        lum = [sum(k * float(subject[w.COL[f'c{i}r'] + j]) for j, k in enumerate((0.3, 0.59, 0.11))) for i in (1, 2)]
        two = ('light ' if lum[1] > lum[0] else 'dark ') + two.replace('light ', '').replace('dark ', '')
    body = rng.choice(BODY_PHRASES[int(_column(subject, 'body'))])
    pattern = int(_column(subject, 'pattern'))
    worn = [['plain {1}', '{1}', '{1}'], ['{1} and {2} striped', '{1}, {2} striped'], ['{1} and {2} striped', '{1}, {2} striped'], ['{2} spotted {1}', '{1} {2}-dotted'], ['{1} and {2}', 'two-tone {1} and {2}'],
            ['{2} patched {1}', '{1} and {2} patched'], ['half {1} half {2}', '{1} and {2}'], ['{1} and {2} checked', 'checkered {1} and {2}']][pattern]
    look = rng.choice(worn).replace('{1}', one).replace('{2}', two)
    extras = [rng.choice(EAR_PHRASES[int(_column(subject, 'ears'))])]
    extras.append(rng.choice(ACCESSORY_PHRASES[int(_column(subject, 'accessory'))]).replace('a {3}', ('an ' if three[0] in 'aeiou' else 'a ') + three))
    extras.append({2: rng.choice(['a beak', 'an orange beak'])}.get(int(_column(subject, 'mouth')), ''))
    extras.append({1: 'a pompom tail', 2: 'a striped tail'}.get(int(_column(subject, 'tail')), '') if rng.random() < 0.3 else '')
    extras.append({2: 'little wings'}.get(int(_column(subject, 'arms')), ''))
    extras = [e for e in extras if e and rng.random() < 0.8][:2]
    noun = f'{look} {body}'
    if extras:
        noun += (' and ' if ' with ' in noun else ' with ') + ' and '.join(extras)
    return ('an ' if noun[0] in 'aeiou' else 'a ') + noun


def _finish(text: str, tail: str, rng: random.Random) -> str:
    text = ' '.join(text.split())
    if tail:
        text = f'{text[0].upper()}{text[1:]}. {tail}'
    else:
        style = rng.random()
        if style < 0.75:
            text = f'{text[0].upper()}{text[1:]}.'
        elif style < 0.88:
            text = text[0].upper() + text[1:]
    return text


def caption(subject, scene: int, motion: int, camera: int, rng: random.Random, named: bool) -> str:
    """One sentence or two for a clip, at most 32 words."""
    while True:
        toy = describe(subject, rng) if named else 'the toy'
        does, doing = rng.choice(MOTION_PHRASES[motion])
        where = rng.choice(SCENE_PHRASES[scene])
        text = rng.choice(FORMS).format(toy=toy, does=does, doing=doing, where=where)
        text = _finish(text, rng.choice(CAMERA_PHRASES[camera]), rng)
        if len(text.split()) <= 32:
            return text


def still_caption(subject, backdrop: int, rng: random.Random, named: bool) -> str:
    """A sentence for a photo before BACKDROPS[backdrop]."""
    toy = describe(subject, rng) if named else 'the toy'
    n = len(w.SCENES)
    where = rng.choice(SCENE_PHRASES[backdrop] if backdrop < n else PAPER_PHRASES[backdrop - n] if named else PLAIN_PHRASES)
    form = rng.choice(['a photo of {toy} {where}', 'a picture of {toy} {where}', '{toy} {where}', '{toy} standing {where}', 'a still photo of {toy} {where}', 'a portrait of {toy} {where}', '{toy} stands {where}'])
    return _finish(form.format(toy=toy, where=where), '', rng)


def prompt(scene: int, motion: int, camera: int = 0) -> str:
    """The canonical sentence of the evaluation: 'The toy hops up and down on the beach.'"""
    tail = CAMERA_PHRASES[camera][0] if camera else ''
    return f'The toy {MOTION_PHRASES[motion][0][0]} {SCENE_PHRASES[scene][0]}.' + (f' {tail}' if tail else '')


if __name__ == '__main__':
    import torch

    toys = w.sample_subjects(24, torch.Generator().manual_seed(3))
    draw = random.Random(3)
    for toy in toys:
        print(caption(toy, draw.randrange(8), draw.randrange(10), draw.randrange(5), draw, draw.random() < 0.7))
    print(still_caption(toys[0], 9, draw, True), still_caption(toys[0], 9, draw, False), prompt(1, 2), prompt(3, 4, 3), sep='\n')
