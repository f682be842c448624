"""The base: text encoder and transformer from nothing, text to video and a share of single pictures, v-prediction."""
import os

import torch

import parts
from loop import Clock, Flat


class Denoiser:
    """The loss of CogVideoX on latents: noise, predict v, compare. References are clean frames in front whose outputs are dropped."""

    def __init__(self, place, transformer, text):
        self.place, self.transformer, self.text = place, transformer, text
        self.alphas = parts.alphas_cumprod(place.device)
        self.rotary = {f: parts.rotary(f, place.device) for f in (1, 2, parts.LATENT_FRAMES, parts.LATENT_FRAMES + 1)}

    def __call__(self, x0, ids, reference=None, grad_text=True):
        n = len(x0)
        t = torch.randint(0, 1000, (n,), device=x0.device)
        a = self.alphas[t].view(-1, 1, 1, 1, 1)
        x, noise = x0.float(), torch.randn(x0.shape, device=x0.device)
        noisy, v = a.sqrt() * x + (1 - a).sqrt() * noise, a.sqrt() * noise - (1 - a).sqrt() * x
        with torch.set_grad_enabled(grad_text): words = self.text(input_ids=ids).last_hidden_state
        noisy, k = noisy.to(self.place.dtype), 0
        if reference is not None: noisy, k = torch.cat([reference.to(noisy.dtype), noisy], 1), reference.shape[1]
        out = self.transformer(hidden_states=noisy, encoder_hidden_states=words.to(noisy.dtype), timestep=t, image_rotary_emb=self.rotary[noisy.shape[1]], return_dict=False)[0]
        return (out[:, k:].float() - v).pow(2).mean()


def emptied(ids, share):
    """Ids with a share of the rows replaced by the empty prompt: end of sentence and padding."""
    empty = torch.zeros_like(ids); empty[:, 0] = 1
    return torch.where(torch.rand(len(ids), 1, device=ids.device) < share, empty, ids)


def compiled(transformer, place):
    if place.cuda and os.environ.get('TOYBOX_EAGER') != '1':
        for name in ('recompile_limit', 'cache_size_limit'):
            if hasattr(torch._dynamo.config, name): setattr(torch._dynamo.config, name, 64)
        for block in transformer.transformer_blocks: block.compile(dynamic=False)  # one graph serves all eight
    return transformer


def prepared(transformer):
    """Initial weights: modest matrices, closed gates and a silent output, so that blocks begin as the identity."""
    for name, p in transformer.named_parameters():
        if p.ndim == 2: torch.nn.init.xavier_uniform_(p)
    for block in transformer.transformer_blocks:
        for norm in (block.norm1, block.norm2): torch.nn.init.zeros_(norm.linear.weight); torch.nn.init.zeros_(norm.linear.bias)
    for layer in (transformer.norm_out.linear, transformer.proj_out): torch.nn.init.zeros_(layer.weight); torch.nn.init.zeros_(layer.bias)
    return transformer


class Base:
    """Transformer, text encoder, their flat buffer and their loss; from the stage's saved state where there is one."""

    def __init__(self, place, folder):
        torch.manual_seed(3000)
        self.place, self.folder = place, folder
        self.transformer, self.text = prepared(parts.new_transformer()), parts.new_text_encoder()
        kept, words = parts.kept(folder, 'state-transformer', 'transformer'), parts.kept(folder, 'state-text', 'text_encoder', 'model')
        self.resumed = kept is not None
        if self.resumed:
            self.transformer.load_state_dict(kept); self.text.load_state_dict(words, strict=False)
        # The masters are taken before the weights are rounded to the place's dtype.
        exact = [p.detach().float().clone() for p in [*self.transformer.parameters(), *self.text.parameters()]]
        self.transformer.to(place.device, place.dtype).train(); self.text.to(place.device, place.dtype).train()
        self.flat = Flat([*self.transformer.parameters(), *self.text.parameters()], place, masters=exact)
        self.denoise = Denoiser(place, compiled(self.transformer, place), self.text)

    def tensors(self):
        """float32 averaged weights of the transformer and of the text encoder"""
        return tuple({k: v for k, v in self.flat.named(m).items() if k != 'encoder.embed_tokens.weight'} for m in (self.transformer, self.text))

    def save(self):
        transformer, text = self.tensors()
        parts.write_shards(transformer, f'{self.folder}/state-transformer'); parts.write_shards(text, f'{self.folder}/state-text', 'model')

    def exact(self):
        """float32 modules of the averaged weights, for export and sampling"""
        transformer, text = parts.new_transformer(), parts.new_text_encoder()
        t, x = self.tensors()
        transformer.load_state_dict(t); text.load_state_dict(x, strict=False)
        return transformer, text


def train(base, store, minutes, steps=None, batch=128, peak=1.2e-3, hold=0.45):
    """Trains `base` on encoded clips; its averaged weights stand in it and in its folder afterwards. Returns a record."""
    place, flat = base.place, base.flat
    torch.manual_seed(3100 + place.rank + (17 if base.resumed else 0))
    clock, said, saved, count, samples, total = Clock(place, minutes, steps=steps), 0.0, 0.0, 0, 0, None
    while clock.tick():
        still = clock.step % 5 == 4
        if not still:
            at = store.draw(batch)
            x = store.rows['clip'][at]
            plain = torch.rand(batch, 1, device=place.device) < 0.15
            ids = torch.where(plain, store.ids('clip_plain', at), store.ids('clip_named', at))
        else:
            at = store.draw(batch * 3)
            which = torch.rand(len(at), device=place.device) < 0.5
            x = torch.where(which.view(-1, 1, 1, 1, 1), store.rows['frame'][at], store.rows['other'][at])
            ids = torch.where(which[:, None], store.ids('frame_named', at), store.ids('other_named', at))
        loss = base.denoise(x, emptied(ids, 0.1))
        loss.backward()
        flat.step(clock.rate(peak, 300, hold), decay=0.999)
        count += 1; samples += len(x)
        if not still: total = loss.detach() if total is None else total.lerp(loss.detach(), 0.02)
        if clock.seconds() - said > 15:
            said = clock.seconds()
            place.say(f'base {count} steps {said:.0f} s loss {float(total):.4f}')
        if clock.seconds() - saved > 100 and place.rank == 0:
            saved = clock.seconds(); base.save()
    flat.use_average()
    record = dict(steps=count, seconds=round(clock.seconds()), samples=samples * place.size, gpus=place.size, loss=round(float(total), 4), clips=store.n * place.size,
                  learning_rate=peak, batch=batch * place.size)
    if place.rank == 0:
        base.save(); place.say('base', record)
    return record
