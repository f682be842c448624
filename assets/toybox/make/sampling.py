"""Sampling with the exported weights in PyTorch: DDIM, guidance on the text alone, the reference in front of both branches."""
import torch

import parts


class Sampler:
    """Toybox's folder, ready to make clips in batches. The same steps as the product's; noise comes from the place's own generator."""

    def __init__(self, folder, tokens, device, dtype=torch.float32):
        self.vae, self.transformer, self.text, self.scaling = parts.load(folder, device, dtype)
        self.device, self.dtype, self.tokens, self.alphas = device, dtype, tokens, parts.alphas_cumprod(device)
        weights = parts.read_shards(f'{folder}/adapter', 'pytorch_lora_weights_transformer')
        self.adapter = parts.Adapter(self.transformer).to(device)
        self.adapter.base = [w.detach().float().clone() for w in self.adapter.weights]
        self.adapter.requires_grad_(False)
        if weights is not None: self.adapter.read({k: v.float() for k, v in weights.items()})

    @torch.no_grad()
    def words(self, captions):
        return self.text(input_ids=self.tokens(captions).long().to(self.device)).last_hidden_state.to(self.dtype)

    @torch.no_grad()
    def references(self, photos, noise=True):
        """uint8 photos [n, h, w, 3] -> clean latents [n, 1, 16, 16, 16]"""
        import toys
        d = self.vae.encode(toys.floats(photos, self.dtype)).latent_dist
        return (d.sample() if noise else d.mean).transpose(1, 2) * self.scaling

    @torch.no_grad()
    def latents(self, captions, references=None, steps=20, guidance=5.0, adapter=True, generator=None):
        self.adapter.merge() if adapter else self.adapter.remove()
        n, frames = len(captions), parts.LATENT_FRAMES
        x = torch.randn(n, frames, 16, parts.LATENT_SIZE, parts.LATENT_SIZE, generator=generator).to(self.device)
        words = torch.cat([self.words([''] * n), self.words(captions)])
        k = 0 if references is None else references.shape[1]
        rotary = parts.rotary(frames + k, self.device)
        times = [round(1000 - i * 1000 / steps) - 1 for i in range(steps)]
        for i, t in enumerate(times):
            y = x.to(self.dtype)
            if k: y = torch.cat([references.to(self.dtype), y], 1)
            y = self.transformer(hidden_states=torch.cat([y, y]), encoder_hidden_states=words, timestep=torch.full((2 * n,), t, device=self.device), image_rotary_emb=rotary, return_dict=False)[0][:, k:].float()
            v = y[:n] + guidance * (y[n:] - y[:n])
            now, then = self.alphas[t], self.alphas[times[i + 1]] if i + 1 < steps else torch.ones((), device=self.device)
            clean = now.sqrt() * x - (1 - now).sqrt() * v
            keep = ((1 - then) / (1 - now)).sqrt()
            x = keep * x + (then.sqrt() - now.sqrt() * keep) * clean
        return x

    @torch.no_grad()
    def clips(self, latents, batch=16):
        """Latents -> uint8 clips [n, 17, h, w, 3]"""
        out = []
        for k in range(0, len(latents), batch):
            y = self.vae.decode((latents[k:k + batch].transpose(1, 2) / self.scaling).to(self.dtype)).sample.float()
            out.append(((y / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 4, 1))
        return torch.cat(out)


def sheet(rows, file):
    """Writes rows of equal pictures (lists of uint8 [h, w, 3]) as one PNG."""
    from PIL import Image
    picture = torch.cat([torch.cat([p.cpu() for p in row], 1) for row in rows], 0)
    Image.fromarray(picture.numpy()).save(file)
