"""Writes the model card from what was measured: records.json (training), results.json (evaluation) and start_image.json (clips that begin with a picture), all beside this script.

    python model_card.py > ../README.md
"""
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
PHOTO = "photo's scene"
ASKED = {'vae psnr, clips': 28.0, 'right subject of 20': 0.80, 'asked motion': 0.80, 'asked scene': 0.80}


def percent(v): return f'{100 * v:.1f} %'
def verdict(value, asked): return 'met' if value >= asked else '**short**'


def training(records):
    """One line a stage, in the order they were run."""
    out = []
    for r in records:
        if r['stage'] == 'vae': what = f"{r['steps']:,} steps, {r['pictures']:,} pictures"
        elif r['stage'] == 'recognisers': what = f"{r['steps']:,} steps; on {r['clips']} rendered held-out clips: subject among 20 {percent(r['identity'])}, motion {percent(r['motion'])}, scene {percent(r['scene'])}"
        elif r['stage'] == 'encode': what = f"{r['clips']:,} clips, a frame of each, two photos of each subject"
        elif r['stage'] == 'base': what = f"{r['steps']:,} steps of {r['batch']} clips (every fifth: {r['batch'] * 3:,} pictures), {r['samples']:,} samples, loss {r['loss']}"
        else: what = f"{r['steps']['identity']:,} identity steps of {r['identity_batch']:,} pairs, {r['steps']['motion'] + r['steps']['dropped']} motion steps of {r['motion_batch']} clips ({r['steps']['dropped']} without the reference), {r['samples']:,} samples"
        gpus = r.get('gpus', 1)
        out.append(f"| {r['stage']} | {what} | {r['seconds'] / 60:.1f} | {gpus} x {r['device']} |")
    return '\n'.join(out)


def begun(results):
    """One line a way to begin with a picture."""
    out, before = [], ''
    for name, r in results['rows'].items():
        if name == 'rendered': continue
        kind, _, way = name.partition(': ')
        if not way: kind, way = '', kind
        said = {'photo': 'a photo in front, adapter on', 'no photo': 'no photo, no adapter', 'another scene': 'the photo itself; the sentence asks for another scene'}.get(kind, '')
        head, before = (f'**{said}**: ' if said and said != before else ''), said or before
        first = '' if way == 'no start image' else f"{r['first frame, dB']:.1f} dB"
        out.append(f"| {head}{way} | {first} | {r['step to the second']:.1f} | {r['other steps']:.1f} | {r['a cut']:.1f} % | {r['same toy in the second frame']:.2f} | {r['right subject of 20']:.1f} % | {r['asked motion']:.1f} % | {r['asked scene']:.1f} % |")
    return '\n'.join(out)


def card(records, results, starts):
    rows = results['rows']; on = rows['adapter on']
    table = '\n'.join(f"| {name} | {percent(r['right subject of 20'])} | {percent(r['asked motion'])} | {percent(r['asked scene'])} | {percent(r[PHOTO])} | {r['displacement']:.2f} |" for name, r in rows.items())
    swapped = rows['reference swapped']['the swapped subject of 20']
    motions = ', '.join(f'{k} {v}' for k, v in results['asked motion by motion'].items())
    guidance = ' '.join(f"Guidance {g} on 80 other held-out pairs: subject {percent(r['right subject of 20'])}, motion {percent(r['asked motion'])}, scene {percent(r['asked scene'])}."
                        for g, r in results.get('other guidance, 80 other held-out pairs', {}).items())
    clips, photos = results['vae psnr, clips'], results['vae psnr, photos']
    return f"""---
license: apache-2.0
library_name: diffusers
tags: [text-to-video, subject-to-video, cogvideox, lora]
---
# Toybox

A very small CogVideoX checkpoint with a subject adapter, made from nothing for tests, demonstrations and the first minute with the product: a photo of a
clay toy and a sentence give a clip of that toy, 128x128, 17 frames, in seconds on a CPU. It knows toys, eight scenes and ten motions, and nothing else of the world.

| part | class | size |
|---|---|---|
| transformer | CogVideoXTransformer3DModel, 5 heads of 64, 8 layers, rotary positions, 12.0 M parameters, two shards | 24.0 MB |
| vae | AutoencoderKLCogVideoX, widths 32-48-64-96, one layer a block, 16 latent channels, 5.1 M | 10.1 MB |
| text_encoder | T5EncoderModel, width 128, 4 layers, 0.8 M; own SentencePiece Unigram vocabulary | 1.6 MB |
| adapter | LoRA of rank 16 (alpha 16) on the paper's targets, 1.3 M; PEFT keys; alpha, rank, targets and recipe in the file's metadata | 2.5 MB |
| scheduler | CogVideoXDDIMScheduler: v-prediction, zero terminal SNR, trailing steps | |

All weights are float16. `diffusers.CogVideoXPipeline.from_pretrained` opens the folder for text to video; the adapter needs the reference as a clean latent
frame in front of the video (times 0, then 1 to 5), its output dropped. {results['steps']} DDIM steps and guidance {results['guidance']:g} are what the figures below were measured with; length of text 48 tokens.

## Data
Everything is rendered by `make/world`: clay toys (12 body shapes, 8 patterns, ears, eyes, tails, clothes, three colours) in 8 scenes with 10 motions and 5 camera
moves (still in about two clips of three), and photos of the same toys in other poses, lights and backdrops, with generated English captions. Captions of the base name the
toy's looks (15 % say only 'the toy'); those of the adapter and of the evaluation say only 'the toy'. Nobody's pictures or clips were used. Subjects of the evaluation and
of the sample photos come from seeds that training never draws.

## Training
Recipe of the adapter: arXiv:2504.17816. 80 % identity steps (a photo in front, another picture of the subject as the target), 20 % motion steps (a random frame of the clip
in front, the clip as the target; no reference on half of them), text left out 10 % of the time. The base: v-prediction, 10 % of the captions empty, averaged weights.

| stage | what | minutes | on |
|---|---|---|---|
{training(records)}

## Measured
`make/evaluate.py` on {results['pairs']} held-out pairs (photo of a subject never trained on; a sentence that asks for a motion and for another scene than the photo's), {results['steps']} steps of {results['scheduler']},
guidance {results['guidance']:g}, seed {results['seed']}. The judges were trained on rendered pictures only. 20 candidates: the right one, 5 of its body shape, 14 drawn at random (chance 5 %).

| | right subject of 20 | asked motion | asked scene | the photo's scene | displacement, pixels a frame |
|---|---|---|---|---|---|
{table}
| rendered clips of the same sentences | | | | | {results["training clips' displacement"]:.2f} |

With the reference swapped, the other photo's subject is found in {percent(swapped)}. Motions: {motions}.
{guidance}

| asked for | asked | measured | |
|---|---|---|---|
| VAE, whole clips | 28 dB | {clips:.2f} dB | {verdict(clips, ASKED['vae psnr, clips'])} |
| VAE, photos | 28 dB | {photos:.2f} dB | {verdict(photos, 28)} |
| right subject of 20 | 80 % | {percent(on['right subject of 20'])} | {verdict(on['right subject of 20'], 0.8)} |
| asked motion | 80 % | {percent(on['asked motion'])} | {verdict(on['asked motion'], 0.8)} |
| asked scene | 80 % | {percent(on['asked scene'])} | {verdict(on['asked scene'], 0.8)} |

## Clips that begin with a picture
`make/start_image.py` on {starts['clips']} held-out clips: the picture is the first frame of a rendered clip, the sentence that clip's own; {starts['steps']} steps of {results['scheduler']}, guidance {starts['guidance']:g}, seed {starts['seed']}.
Steps from frame to frame are mean differences in levels; a cut is a step to the second frame that is more than twice those between latent frames; the same toy: the judge's cosine between the first frame
and the second. `native-models/pipelines/start-image.ts` says how the product does it.

| | first frame | step to the second | other steps | a cut | same toy | right subject of 20 | asked motion | asked scene |
|---|---|---|---|---|---|---|---|---|
{begun(starts)}

One more reference is calmer still, but costs a sixth of each step's time and much of the motion. Place, scenery and colours go on from the picture; eyes, mouths and small patterns are lost from the
second frame on, as in every clip of Toybox. Where the picture shows another scene than the sentence asks for, each second clip stays in the picture's, or mixes both.

## Limits
- The VAE blurs what moves: four frames share one latent frame, and the little network had minutes to learn it. Faces and small patterns dissolve in motion.
- Colours and coarse patterns of the subject carry over; faces, ears and clothes often do not. Small motions (bows, half turns, hops) are the least reliable.
- The vocabulary is the captions'. Other words are spelt in letters and mean nothing to it. It knows no sizes but 128x128 and 17 frames.

## Making it again
```
torchrun --nproc-per-node 4 make/train.py FOLDER judges=4 vae=8
torchrun --nproc-per-node 4 make/train.py FOLDER encode=0.5 base=3 adapter=1.5 evaluate=200
python make/evaluate.py FOLDER/toybox --recognisers FOLDER/recognisers
python make/start_image.py FOLDER/toybox --recognisers FOLDER/recognisers
```
Python with torch, diffusers, transformers, sentencepiece, safetensors, pillow; nvcc for the renderer (g++ without a GPU). Stages obey their minutes, save, and go on from what they saved.
The weights here came out of three such runs; between the first two the VAE's loss changed from mostly L1 to mostly squared error and stills became rarer, as `make/train_vae.py` now has it.
"""


if __name__ == '__main__':
    print(card(json.load(open(f'{HERE}/records.json')), json.load(open(f'{HERE}/results.json')), json.load(open(f'{HERE}/start_image.json'))), end='')
