"""The parts of Toybox: their configurations, how they are built, and how they are written as a diffusers folder.

Everything that fixes a shape is here; training, encoding and evaluation only import it.
"""
import json
import math
import os
import shutil

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXTransformer3DModel
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import T5Config, T5EncoderModel

SIZE, FRAMES, FPS = 128, 17, 8
LATENT_SIZE, LATENT_FRAMES, LATENT_CHANNELS = SIZE // 8, (FRAMES - 1) // 4 + 1, 16
TEXT_LENGTH, VOCABULARY = 48, 1024
RANK, ALPHA = 16, 16  # equal, so that readers that know no alpha in a file's metadata (diffusers) agree with those that do
SHARD_BYTES = 15_000_000

TRANSFORMER = dict(
    num_attention_heads=5, attention_head_dim=64, num_layers=8, time_embed_dim=64, text_embed_dim=128, max_text_seq_length=TEXT_LENGTH,
    in_channels=LATENT_CHANNELS, out_channels=LATENT_CHANNELS, patch_size=2, sample_width=LATENT_SIZE, sample_height=LATENT_SIZE,
    sample_frames=FRAMES, temporal_compression_ratio=4, use_rotary_positional_embeddings=True,
)
VAE = dict(
    in_channels=3, out_channels=3, down_block_types=('CogVideoXDownBlock3D',) * 4, up_block_types=('CogVideoXUpBlock3D',) * 4,
    block_out_channels=(32, 48, 64, 96), layers_per_block=1, norm_num_groups=8, latent_channels=LATENT_CHANNELS, temporal_compression_ratio=4,
    sample_height=SIZE, sample_width=SIZE, scaling_factor=1.0,
)
TEXT_ENCODER = dict(
    vocab_size=VOCABULARY, d_model=128, d_kv=32, num_heads=4, d_ff=256, num_layers=4, num_decoder_layers=4, feed_forward_proj='gated-gelu',
    dropout_rate=0.0, pad_token_id=0, eos_token_id=1, is_encoder_decoder=False, use_cache=False,
)
SCHEDULER = dict(  # CogVideoX-5B's
    num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule='scaled_linear', prediction_type='v_prediction',
    rescale_betas_zero_snr=True, timestep_spacing='trailing', snr_shift_scale=1.0, set_alpha_to_one=True, steps_offset=0, clip_sample=False,
)
# The paper's target list. PEFT's suffix matching makes `proj` hit the patch convolution and every ff.net.0.proj too.
TARGETS = ('to_q', 'to_k', 'to_v', 'to_out.0', 'proj', 'text_proj', 'norm1.linear', 'norm2.linear', 'ff.net.2')


def new_vae(): return AutoencoderKLCogVideoX(**VAE)
def new_transformer(): return CogVideoXTransformer3DModel(**TRANSFORMER)
def new_text_encoder(): return T5EncoderModel(T5Config(**TEXT_ENCODER))


def targets_of(transformer):
    """Module paths that carry LoRA, by PEFT's rule: the name equals a target or ends with '.' + target."""
    return [n for n, m in transformer.named_modules() if any(n == t or n.endswith('.' + t) for t in TARGETS) and hasattr(m, 'weight')]


def alphas_cumprod(device='cpu'):
    """The scheduler's cumulative alphas: shifted SNR, zero terminal SNR; float32 [1000]."""
    return CogVideoXDDIMScheduler(**SCHEDULER).alphas_cumprod.float().to(device)


def rotary(frames, device='cpu'):
    """Cos and sin tables [frames * 64, 64] of `frames` latent frames (a reference is simply frame 0)."""
    n = LATENT_SIZE // 2
    tables = get_3d_rotary_pos_embed(embed_dim=64, crops_coords=((0, 0), (n, n)), grid_size=(n, n), temporal_size=frames)
    return tuple(t.to(device) for t in tables)


# ---------------------------------------------------------------------------------------------- files

def write_shards(tensors, folder, stem='diffusion_pytorch_model', shard_bytes=SHARD_BYTES, metadata=None):
    """Writes tensors into `folder` in shards of at most `shard_bytes`, with an index when there are several."""
    os.makedirs(folder, exist_ok=True)
    shards, room = [{}], shard_bytes
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        if size > room and shards[-1]:
            shards.append({}); room = shard_bytes
        shards[-1][name] = tensor.detach().cpu().contiguous(); room -= size
    for old in os.listdir(folder):
        if old.startswith(stem): os.remove(os.path.join(folder, old))
    metadata = {'format': 'pt', **(metadata or {})}
    if len(shards) == 1:
        save_file(shards[0], os.path.join(folder, stem + '.safetensors'), metadata=metadata)
        return
    where = {}
    for i, shard in enumerate(shards):
        file = f'{stem}-{i + 1:05d}-of-{len(shards):05d}.safetensors'
        save_file(shard, os.path.join(folder, file), metadata=metadata)
        where.update({name: file for name in shard})
    total = sum(t.numel() * t.element_size() for s in shards for t in s.values())
    with open(os.path.join(folder, stem + '.safetensors.index.json'), 'w') as f:
        json.dump({'metadata': {'total_size': total}, 'weight_map': where}, f, indent=2)


def read_shards(folder, stem='diffusion_pytorch_model'):
    """The tensors `write_shards` wrote, or None where there are none."""
    index, single = os.path.join(folder, stem + '.safetensors.index.json'), os.path.join(folder, stem + '.safetensors')
    if os.path.exists(index):
        files = sorted(set(json.load(open(index))['weight_map'].values()))
    elif os.path.exists(single):
        files = [os.path.basename(single)]
    else:
        return None
    tensors = {}
    for file in files:
        with safe_open(os.path.join(folder, file), 'pt') as f:
            tensors.update({k: f.get_tensor(k) for k in f.keys()})
    return tensors


def kept(folder, state, part, stem='diffusion_pytorch_model', exported=None):
    """What an earlier run left, float32: its full state, else the exported part; None where there is neither."""
    tensors = read_shards(f'{folder}/{state}', stem)
    if tensors is None: tensors = read_shards(f'{folder}/toybox/{part}', exported or stem)
    return None if tensors is None else {k: v.float() for k, v in tensors.items()}


def half(tensors): return {k: v.detach().to(torch.float16) for k, v in tensors.items()}


def _config(path, values):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as f:
        json.dump(values, f, indent=2, sort_keys=True); f.write('\n')


def export(folder, vae=None, transformer=None, text_encoder=None, scaling_factor=None, tokenizer=None, adapter=None):
    """Writes the given parts, float16, as a diffusers CogVideoXPipeline folder. `adapter` is (tensors, metadata)."""
    from diffusers import __version__ as diffusers_version
    os.makedirs(folder, exist_ok=True)
    _config(f'{folder}/model_index.json', {
        '_class_name': 'CogVideoXPipeline', '_diffusers_version': diffusers_version,
        'scheduler': ['diffusers', 'CogVideoXDDIMScheduler'], 'text_encoder': ['transformers', 'T5EncoderModel'],
        'tokenizer': ['transformers', 'T5Tokenizer'], 'transformer': ['diffusers', 'CogVideoXTransformer3DModel'],
        'vae': ['diffusers', 'AutoencoderKLCogVideoX'],
    })
    CogVideoXDDIMScheduler(**SCHEDULER).save_pretrained(f'{folder}/scheduler')
    if vae is not None:
        if scaling_factor is not None: vae.register_to_config(scaling_factor=float(scaling_factor))
        vae.save_config(f'{folder}/vae'); write_shards(half(vae.state_dict()), f'{folder}/vae')
    if transformer is not None:
        transformer.save_config(f'{folder}/transformer'); write_shards(half(transformer.state_dict()), f'{folder}/transformer')
    if text_encoder is not None:
        os.makedirs(f'{folder}/text_encoder', exist_ok=True)
        text_encoder.config.architectures = ['T5EncoderModel']; text_encoder.config.dtype = 'float16'
        text_encoder.config.save_pretrained(f'{folder}/text_encoder')
        state = {k: v for k, v in half(text_encoder.state_dict()).items() if k != 'encoder.embed_tokens.weight'}  # tied to shared.weight
        write_shards(state, f'{folder}/text_encoder', 'model')
    if tokenizer is not None:
        os.makedirs(f'{folder}/tokenizer', exist_ok=True)
        if os.path.abspath(tokenizer) != os.path.abspath(f'{folder}/tokenizer/spiece.model'):
            shutil.copyfile(tokenizer, f'{folder}/tokenizer/spiece.model')
        _config(f'{folder}/tokenizer/tokenizer_config.json', {
            'additional_special_tokens': [], 'eos_token': '</s>', 'pad_token': '<pad>', 'unk_token': '<unk>', 'extra_ids': 0,
            'model_max_length': TEXT_LENGTH, 'tokenizer_class': 'T5Tokenizer',
        })
    if adapter is not None:
        tensors, metadata = adapter
        os.makedirs(f'{folder}/adapter', exist_ok=True)
        save_file({k: v.contiguous() for k, v in half(tensors).items()}, f'{folder}/adapter/pytorch_lora_weights_transformer.safetensors',
                  metadata={'format': 'pt', **{k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}})


def load(folder, device='cpu', dtype=torch.float32):
    """vae, transformer, text_encoder and scaling factor of an exported folder, for encoding and evaluation (no gradients)."""
    vae, transformer, text = new_vae(), new_transformer(), new_text_encoder()
    vae.load_state_dict(read_shards(f'{folder}/vae')); transformer.load_state_dict(read_shards(f'{folder}/transformer'))
    text.load_state_dict(read_shards(f'{folder}/text_encoder', 'model'), strict=False)
    scaling = json.load(open(f'{folder}/vae/config.json'))['scaling_factor']
    return tuple(m.to(device, dtype).eval().requires_grad_(False) for m in (vae, transformer, text)) + (scaling,)


# ---------------------------------------------------------------------------------------------- adapter

class Adapter(torch.nn.Module):
    """LoRA factors of every target of a transformer, kept apart from it: W = W0 + alpha / rank * B A.

    `base` holds the frozen W0 in float32 (set by whoever trains). The transformer runs with the merged weight; `pull` turns its weight gradients into those of A and B. A step then costs what a step
    of the base costs, and the compiled blocks are the very same.
    """

    def __init__(self, transformer, rank=RANK, alpha=ALPHA):
        super().__init__()
        self.scale, self.paths = alpha / rank, targets_of(transformer)
        self.weights = [transformer.get_submodule(p).weight for p in self.paths]
        self.A, self.B = torch.nn.ParameterList(), torch.nn.ParameterList()
        for w in self.weights:
            a = torch.empty(rank, math.prod(w.shape[1:]))
            torch.nn.init.kaiming_uniform_(a, a=math.sqrt(5))
            self.A.append(torch.nn.Parameter(a)); self.B.append(torch.nn.Parameter(torch.zeros(w.shape[0], rank)))

    @torch.no_grad()
    def merge(self, factors=None):
        """Writes W0 + scale * B A into the transformer. `factors` (A..., B...) stands in for the own ones, such as their average."""
        A, B = factors if factors is not None else (self.A, self.B)
        for w, w0, a, b in zip(self.weights, self.base, A, B):
            w.data.copy_(torch.addmm(w0.flatten(1), b, a, alpha=self.scale).view_as(w))

    @torch.no_grad()
    def remove(self):
        for w, w0 in zip(self.weights, self.base): w.data.copy_(w0)

    @torch.no_grad()
    def pull(self, gradients):
        """dA = scale * Bt dW, dB = scale * dW At; written into the factors' .grad."""
        for dw, a, b in zip(gradients, self.A, self.B):
            dw = dw.flatten(1).float()
            a.grad.copy_(self.scale * (b.t() @ dw)); b.grad.copy_(self.scale * (dw @ a.t()))

    def tensors(self, factors=None):
        """PEFT's file form. A convolution's A keeps the kernel, its B is 1x1."""
        A, B = factors if factors is not None else (self.A, self.B)
        out = {}
        for path, w, a, b in zip(self.paths, self.weights, A, B):
            conv = w.ndim == 4
            out[f'transformer.{path}.lora_A.weight'] = a.detach().view(a.shape[0], *w.shape[1:]) if conv else a.detach()
            out[f'transformer.{path}.lora_B.weight'] = b.detach()[:, :, None, None] if conv else b.detach()
        return out

    @torch.no_grad()
    def read(self, tensors):
        for path, a, b in zip(self.paths, self.A, self.B):
            a.copy_(tensors[f'transformer.{path}.lora_A.weight'].flatten(1)); b.copy_(tensors[f'transformer.{path}.lora_B.weight'].flatten(1))
