"""Makes Toybox, stage by stage, on one process per GPU; every stage obeys its minutes, saves, and goes on from what it saved.

    torchrun --nproc-per-node 4 train.py FOLDER judges=4 vae=6
    torchrun --nproc-per-node 4 train.py FOLDER encode=0.7 base=4 adapter=2 evaluate=200

Environment: TOYBOX_SPIECE (the vocabulary, else ../tokenizer/spiece.model), TOYBOX_VAE_RATE, TOYBOX_BASE_RATE, TOYBOX_ADAPTER_RATE (learning rates),
TOYBOX_SEED (other clips to encode), TOYBOX_EAGER=1 (no compilation).

FOLDER/toybox becomes the diffusers folder, FOLDER/recognisers the judges, FOLDER/records.json what was done. With several processes and
both asked for, the last one trains the judges (and rehearses the later stages) while the others train the VAE. `FOLDER small` runs
everything in miniature.
"""
import copy
import json
import os
import sys
import time
import traceback

if 'LOCAL_RANK' in os.environ:  # every process sees one GPU, as number 0, so that compiled code is shared through the cache
    first = int(os.environ.get('TOYBOX_FIRST_GPU', 0))  # the GPUs before it are left to others
    os.environ['CUDA_VISIBLE_DEVICES'] = str(first + int(os.environ['LOCAL_RANK'])); os.environ['LOCAL_RANK'] = '0'

import torch

import evaluate
import fast_vae
import latents
import parts
import recognisers
import tokenizer
import train_adapter
import train_base
import train_vae
from loop import Place

HERE = os.path.dirname(os.path.abspath(__file__))


def alone(place):
    """The same place without its peers."""
    one = copy.copy(place); one.size = 1; one.rank = 0
    return one


def note(place, folder, stage, record):
    """Appends a stage's record to FOLDER/records.json."""
    if place.rank != 0 or record is None: return
    file = f'{folder}/records.json'
    records = json.load(open(file)) if os.path.exists(file) else []
    device = torch.cuda.get_device_name() if place.cuda else 'CPU'
    records.append(dict(stage=stage, device=device, **record))
    with open(file, 'w') as f: json.dump(records, f, indent=1)


def vocabulary(place, folder):
    file = f'{folder}/toybox/tokenizer/spiece.model'
    if place.rank == 0:
        # The vocabulary is made once, beside the scripts' result, and copied: every stage and every machine uses the same one.
        parts.export(f'{folder}/toybox', tokenizer=os.environ.get('TOYBOX_SPIECE', f'{HERE}/../tokenizer/spiece.model'))
    place.wait()
    return tokenizer.Tokens(file)


def rehearse(place, folder, tokens, sizes):
    """The later stages with a few steps at full sizes, alone: finds mistakes early and fills the compiler's cache."""
    vae = parts.new_vae()
    store = latents.encode(place, vae, 1.0, tokens, 0.2, clips=sizes['encode'], batch=sizes['encode'])
    os.makedirs(f'{folder}/rehearsal', exist_ok=True)
    base = train_base.Base(place, f'{folder}/rehearsal')
    place.say('rehearsal: base', train_base.train(base, store, 1, steps=6, batch=sizes['base']), everyone=True)
    adapter, metadata, record = train_adapter.train(base, store, 1, steps=8, identity_batch=sizes['identity'], motion_batch=sizes['motion'], script=('identity', 'motion', 'dropped'))
    place.say('rehearsal: adapter', record, everyone=True)
    transformer, text = base.exact()
    parts.export(f'{folder}/rehearsal/toybox', vae, transformer, text, 1.0, f'{folder}/toybox/tokenizer/spiece.model', (adapter.tensors(), metadata))
    judges = {f'identity.{k}': v for k, v in recognisers.Identity().state_dict().items()} | {f'clip.{k}': v for k, v in recognisers.Clip().state_dict().items()}
    parts.write_shards(parts.half(judges), f'{folder}/rehearsal/recognisers', 'recognisers')
    if not sizes['pairs']: return
    results = evaluate.evaluate(place, f'{folder}/rehearsal/toybox', f'{folder}/rehearsal/recognisers', pairs=sizes['pairs'], steps=2, sheets=f'{folder}/rehearsal')
    place.say('rehearsal: evaluation', results['rows'], everyone=True)


def main():
    folder, stages = sys.argv[1], dict((s.split('=') + ['1'])[:2] for s in sys.argv[2:])
    place = Place()
    os.makedirs(folder, exist_ok=True)
    tokens = vocabulary(place, folder)
    small = 'small' in stages
    sizes = dict(encode=64, base=128, identity=384, motion=128, pairs=40) if not small else dict(encode=2, base=2, identity=2, motion=2, pairs=2)
    steps = 2 if small else None
    if small and len(stages) == 1: stages = dict(judges=9, vae=9, encode=9, base=9, adapter=9, evaluate=2, rehearse=1)

    if 'compile' in stages:  # beside another run: fills the compiler's cache for it
        rehearse(alone(place), folder, tokens, {**sizes, 'pairs': 0})
    if 'vae' in stages or 'judges' in stages:
        split = place.size > 1 and 'vae' in stages and 'judges' in stages
        painters, last = place.size - 1 if split else place.size, place.size - 1
        group = place.group(list(range(painters))) if split else None
        if 'judges' in stages and (place.rank == last):
            one = alone(place)
            if 'rehearse' in stages:
                try: rehearse(one, folder, tokens, sizes)
                except Exception: place.say('REHEARSAL FAILED', traceback.format_exc(), everyone=True)
            marks = recognisers.train(one, folder, float(stages['judges']), steps=steps, **(dict(subjects=2, clips=2) if small else {}))
            note(one, folder, 'recognisers', marks)
        if 'vae' in stages and place.rank < painters:
            record = train_vae.train(place, folder, float(stages['vae']), group=group, steps=4 if small else None, peak=float(os.environ.get('TOYBOX_VAE_RATE', 2e-3)), batch=1 if small else 8, ranks=painters)
            note(place, folder, 'vae', record)
            if place.rank == 0: json.dump([fast_vae.STACKED, fast_vae.LAST], open(f'{folder}/vae-form.json', 'w'))
        place.wait()

    if 'encode' in stages:
        form = json.load(open(f'{folder}/vae-form.json')) if os.path.exists(f'{folder}/vae-form.json') else (False, False)
        fast_vae.install(*form)
        vae = parts.new_vae(); vae.load_state_dict({k: v.float() for k, v in parts.read_shards(f'{folder}/toybox/vae').items()})
        scaling = json.load(open(f'{folder}/toybox/vae/config.json'))['scaling_factor']
        store = latents.encode(place, vae, scaling, tokens, float(stages['encode']), clips=4 if small else None, batch=sizes['encode'], seed=int(os.environ.get('TOYBOX_SEED', 0)))
        note(place, folder, 'encode', dict(clips=store.n * place.size, gpus=place.size, seconds=round(60 * float(stages['encode']))))
        del vae
    if 'base' in stages or 'adapter' in stages:
        base = train_base.Base(place, folder)
    if 'base' in stages:
        note(place, folder, 'base', train_base.train(base, store, float(stages['base']), steps=10 if small else None, batch=sizes['base'],
                                                      peak=float(os.environ.get('TOYBOX_BASE_RATE', 1.2e-3))))
        if place.rank == 0:
            transformer, text = base.exact(); parts.export(f'{folder}/toybox', transformer=transformer, text_encoder=text)
    if 'adapter' in stages:
        adapter, metadata, record = train_adapter.train(base, store, float(stages['adapter']), steps=20 if small else None, identity_batch=sizes['identity'], motion_batch=sizes['motion'],
                                                        peak=float(os.environ.get('TOYBOX_ADAPTER_RATE', 2e-3)))
        note(place, folder, 'adapter', record)
        if place.rank == 0: parts.export(f'{folder}/toybox', adapter=(adapter.tensors(), metadata))
        place.wait()
    if 'evaluate' in stages:
        sheets = f'{folder}/sheets'; os.makedirs(sheets, exist_ok=True)
        start = time.time()
        if 'looks' in stages:
            for guidance in (2.5, 6.0):  # a look, on other subjects than the measured ones
                r = evaluate.evaluate(place, f'{folder}/toybox', f'{folder}/recognisers', 80, guidance, seed=evaluate.toys.HELD_OUT + 2_000_000, rows=('adapter on',), vae=False)
                others[str(guidance)] = {k: r['rows']['adapter on'][k] for k in ('right subject of 20', 'asked motion', 'asked scene')}
        results = evaluate.evaluate(place, f'{folder}/toybox', f'{folder}/recognisers', int(stages['evaluate']), 4.0, sheets=sheets, steps=2 if small else 20)
        results['other guidance, 80 other held-out pairs'] = others
        place.say('evaluation', json.dumps(results), round(time.time() - start), 's')
        if place.rank == 0: json.dump(results, open(f'{folder}/results.json', 'w'), indent=1)
    place.wait()
    place.say('done')
    if place.size > 1: torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main()
