"""Writes a folder of CogVideoX-5B's true shape with random weights: transformer (5.57 B parameters, bfloat16, shards of about 5 GB with an index), VAE (float32, as published, in shards), scheduler;
and a text encoder of the true width but one thin layer, with the tokenizer of another folder, so that the whole pipeline runs. Numbers are drawn on the GPU and written straight out.

    python make_5b.py FOLDER TOKENIZER_FOLDER [transformer layers, 42]
"""
import json
import math
import os
import shutil
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
from transformers import T5Config, T5EncoderModel

folder, tokenizer = sys.argv[1:3]
layers = int(sys.argv[3]) if len(sys.argv) > 3 else 42
device = 'cuda' if torch.cuda.is_available() else 'cpu'
TRANSFORMER = dict(activation_fn='gelu-approximate', attention_bias=True, attention_head_dim=64, dropout=0.0, flip_sin_to_cos=True, freq_shift=0, in_channels=16, max_text_seq_length=226, norm_elementwise_affine=True,
                   norm_eps=1e-5, num_attention_heads=48, num_layers=layers, out_channels=16, patch_size=2, sample_frames=49, sample_height=60, sample_width=90, spatial_interpolation_scale=1.875,
                   temporal_compression_ratio=4, temporal_interpolation_scale=1.0, text_embed_dim=4096, time_embed_dim=512, timestep_activation_fn='silu', use_rotary_positional_embeddings=True)
VAE = dict(act_fn='silu', block_out_channels=[128, 256, 256, 512], down_block_types=['CogVideoXDownBlock3D'] * 4, force_upcast=True, in_channels=3, latent_channels=16, layers_per_block=3, norm_eps=1e-6,
           norm_num_groups=32, out_channels=3, sample_height=480, sample_width=720, scaling_factor=0.7, temporal_compression_ratio=4, up_block_types=['CogVideoXUpBlock3D'] * 4,
           use_post_quant_conv=False, use_quant_conv=False)
SCHEDULER = dict(_class_name='CogVideoXDDIMScheduler', beta_end=0.012, beta_schedule='scaled_linear', beta_start=0.00085, clip_sample=False, num_train_timesteps=1000, prediction_type='v_prediction',
                 rescale_betas_zero_snr=True, sample_max_value=1.0, set_alpha_to_one=True, snr_shift_scale=1.0, steps_offset=0, timestep_spacing='trailing')
NAMES = {torch.float32: 'F32', torch.bfloat16: 'BF16'}


def draw(name, shape, dtype):
    """Norms are one and biases zero; a convolution keeps its input's size (1/sqrt(fan in)), a product's weights are of 0.02, the size that trained ones have."""
    if name.endswith('bias'): return torch.zeros(shape, device=device, dtype=dtype)
    if len(shape) == 1: return torch.ones(shape, device=device, dtype=dtype)
    std = 0.02 if len(shape) == 2 else 1 / math.sqrt(math.prod(shape[1:]))
    return torch.randn(shape, device=device, dtype=dtype).mul_(std)


def write(file, shapes, dtype):
    size = torch.empty((), dtype=dtype).element_size()
    header, at = {'__metadata__': {'format': 'pt'}}, 0
    for name, shape in shapes.items():
        n = math.prod(shape) * size
        header[name] = {'dtype': NAMES[dtype], 'shape': list(shape), 'data_offsets': [at, at + n]}
        at += n
    head = json.dumps(header).encode()
    head += b' ' * (-len(head) % 8)
    with open(file, 'wb', buffering=0) as f:
        f.write(struct.pack('<Q', len(head)) + head)
        for name, shape in shapes.items():
            rest = memoryview(draw(name, shape, dtype).cpu().view(torch.uint8).numpy().reshape(-1))
            while len(rest): rest = rest[f.write(rest):]
    return at


def component(name, model, config, dtype, shard, base):
    """Shards of at most `shard` bytes with an index, or one file if it all fits."""
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    os.makedirs(f'{folder}/{name}', exist_ok=True)
    with open(f'{folder}/{name}/config.json', 'w') as f: json.dump(config, f, indent=1)
    groups, used, size = [{}], 0, torch.empty((), dtype=dtype).element_size()
    for k, shape in shapes.items():
        n = math.prod(shape) * size
        if used + n > shard and groups[-1]: groups.append({}); used = 0
        groups[-1][k] = shape
        used += n
    files = [f'{base}.safetensors'] if len(groups) == 1 else [f'{base}-{i + 1:05}-of-{len(groups):05}.safetensors' for i in range(len(groups))]
    if len(groups) > 1:
        index = {'metadata': {'total_size': sum(math.prod(s) for s in shapes.values()) * size}, 'weight_map': {k: file for file, g in zip(files, groups) for k in g}}
        with open(f'{folder}/{name}/{base}.safetensors.index.json', 'w') as f: json.dump(index, f)
    return [(f'{folder}/{name}/{file}', g, dtype) for file, g in zip(files, groups)], sum(math.prod(s) for s in shapes.values())


begin = time.time()
torch.manual_seed(0)
with open(f'{tokenizer}/../text_encoder/config.json') as f: vocabulary = json.load(f)['vocab_size']
t5 = dict(architectures=['T5EncoderModel'], model_type='t5', d_ff=256, d_kv=64, d_model=4096, num_heads=4, num_layers=1, vocab_size=vocabulary, feed_forward_proj='gated-gelu', is_encoder_decoder=False,
          relative_attention_num_buckets=32, relative_attention_max_distance=128, layer_norm_epsilon=1e-6, tie_word_embeddings=False)
with torch.device('meta'):
    models = {'transformer': CogVideoXTransformer3DModel(**TRANSFORMER), 'vae': AutoencoderKLCogVideoX(**VAE), 'text_encoder': T5EncoderModel(T5Config(**t5))}
class_name = lambda k: {'_class_name': type(models[k]).__name__, '_diffusers_version': '0.32.0'}
parts = {
    'transformer': component('transformer', models['transformer'], class_name('transformer') | TRANSFORMER, torch.bfloat16, 5 * 10**9, 'diffusion_pytorch_model'),
    'vae': component('vae', models['vae'], class_name('vae') | VAE, torch.float32, 5 * 10**8, 'diffusion_pytorch_model'),
    'text_encoder': component('text_encoder', models['text_encoder'], t5, torch.bfloat16, 5 * 10**9, 'model'),
}
shutil.copytree(tokenizer, f'{folder}/tokenizer', dirs_exist_ok=True)
os.makedirs(f'{folder}/scheduler', exist_ok=True)
with open(f'{folder}/scheduler/scheduler_config.json', 'w') as f: json.dump(SCHEDULER, f, indent=1)
with ThreadPoolExecutor(8) as pool: written = sum(pool.map(lambda part: write(*part), [p for list_, _ in parts.values() for p in list_]))
index = {'_class_name': 'CogVideoXPipeline', '_diffusers_version': '0.32.0', 'scheduler': ['diffusers', 'CogVideoXDDIMScheduler'], 'text_encoder': ['transformers', 'T5EncoderModel'],
         'tokenizer': ['transformers', 'T5Tokenizer'], 'transformer': ['diffusers', 'CogVideoXTransformer3DModel'], 'vae': ['diffusers', 'AutoencoderKLCogVideoX']}
with open(f'{folder}/model_index.json', 'w') as f: json.dump(index, f, indent=1)  # last: the folder is whole when it is there
print(f"{folder}: {', '.join(f'{k} {n:,} parameters in {len(list_)} files' for k, (list_, n) in parts.items())}; {written / 1e9:.2f} GB written in {time.time() - begin:.0f} s")
