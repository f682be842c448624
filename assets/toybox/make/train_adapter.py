"""The subject adapter: LoRA on the frozen base by the paper's recipe.

Identity steps (80 %): a photo of the subject in front, another picture of it as the target. Motion steps (20 %): a random frame of the clip
in front, the clip as the target; on half of these the whole reference is left out. Captions say only 'the toy'.
"""
import math
import random

import torch

import parts
from loop import Clock, Flat
from train_base import emptied

MOTION_SHARE, DROP_SHARE, TEXT_DROP = 0.2, 0.5, 0.1


def train(base, store, minutes, steps=None, identity_batch=384, motion_batch=96, peak=2e-3, hold=0.5, script=None):
    """Trains (or goes on with) the adapter; `script` names the kinds of steps in turn instead of drawing them. Returns it, its file's metadata and a record."""
    place, folder, transformer = base.place, base.folder, base.transformer
    torch.manual_seed(4000)
    adapter = parts.Adapter(transformer)
    kept = parts.kept(folder, 'state-adapter', 'adapter', 'diffusion_pytorch_model', 'pytorch_lora_weights_transformer')
    if kept is not None: adapter.read(kept)
    adapter.to(place.device)
    exact = base.flat.named(transformer)
    adapter.base = [exact[f'{p}.weight'].clone() for p in adapter.paths]
    flat = Flat(adapter.parameters(), place, betas=(0.9, 0.98), weight_decay=0.0)
    gradients = [w.grad for w in adapter.weights]  # views into the base's flat buffer
    torch.manual_seed(4100 + place.rank)
    coin = random.Random(4200 + (0 if kept is None else 1))  # alike on every process: all take the same kind of step
    clock, said, counts, samples, means = Clock(place, minutes, steps=steps), 0.0, dict(identity=0, motion=0, dropped=0), 0, {}
    while clock.tick():
        adapter.merge()
        kind = 'identity' if coin.random() >= MOTION_SHARE else 'dropped' if coin.random() < DROP_SHARE else 'motion'
        if script is not None: kind = script[clock.step % len(script)]
        if kind == 'identity':
            at = store.draw(identity_batch)
            which = torch.rand(len(at), device=place.device) < 0.5
            x = torch.where(which.view(-1, 1, 1, 1, 1), store.rows['frame'][at], store.rows['other'][at])
            ids = torch.where(which[:, None], store.ids('frame_plain', at), store.ids('other_plain', at))
            reference = store.rows['photo'][at]
        else:
            at = store.draw(motion_batch)
            x, ids = store.rows['clip'][at], store.ids('clip_plain', at)
            reference = None if kind == 'dropped' else store.rows['frame'][at]
        loss = base.denoise(x, emptied(ids, TEXT_DROP), reference, grad_text=False)
        loss.backward()
        adapter.pull(gradients)
        base.flat.grad.zero_()
        flat.step(clock.rate(peak, 100, hold), decay=0.998)
        counts[kind] += 1; samples += len(x)
        means[kind] = loss.detach() if kind not in means else means[kind].lerp(loss.detach(), 0.03)
        if clock.seconds() - said > 15:
            said = clock.seconds()
            place.say(f'adapter {clock.step} steps {said:.0f} s', {k: round(float(v), 4) for k, v in means.items()})
    flat.use_average(); adapter.remove()
    record = dict(steps=counts, seconds=round(clock.seconds()), samples=samples * place.size, gpus=place.size, learning_rate=peak,
                  loss={k: round(float(v), 4) for k, v in means.items()}, identity_batch=identity_batch * place.size, motion_batch=motion_batch * place.size)
    metadata = dict(
        lora_alpha=str(parts.ALPHA), rank=str(parts.RANK), target_modules=list(parts.TARGETS), base_model='toybox',
        recipe=dict(paper='arXiv:2504.17816', identity_share=1 - MOTION_SHARE, motion_share=MOTION_SHARE, reference_dropped_on_motion=DROP_SHARE,
                    text_dropout=TEXT_DROP, **{k: record[k] for k in ('steps', 'learning_rate', 'identity_batch', 'motion_batch')}),
    )
    if place.rank == 0:
        place.say('adapter', record)
        parts.write_shards({k: v.float() for k, v in adapter.tensors().items()}, f'{folder}/state-adapter')
    return adapter, metadata, record
