"""PyTorch's own error on the forward goldens: diffusers' and transformers' classes with the case's weights in each dtype on the GPU, max|a-b| / max|b| against the golden's float32.

    python goldens_torch.py OUT.json DIR...        DIR a golden case or a folder of them; goldens.ts --torch OUT.json prints it beside the engine's
"""
import glob
import json
import os
import re
import sys

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid
from safetensors.torch import load_file
from transformers import T5EncoderModel

device = 'cuda' if torch.cuda.is_available() else 'cpu'
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
DTYPES = {'float32': torch.float32, 'float16': torch.float16, 'bfloat16': torch.bfloat16}
load = lambda file: load_file(file) if os.path.exists(file) else {}
root = lambda dir, case: os.path.join(dir, case.get('checkpoint', '.'))


def adapt(model, file, alpha):
    """The LoRA beside its modules, in their dtype: y + alpha/rank (x A^T) B^T."""
    weights, modules = load(file), dict(model.named_modules())
    for key in [k for k in weights if '.lora_A' in k]:
        path = re.sub(r'^transformer\.', '', key.split('.lora_A')[0])
        module = modules[path]
        A, B = (weights[k].to(device, module.weight.dtype) for k in (key, key.replace('.lora_A', '.lora_B')))
        scale = (alpha or len(A)) / len(A)
        if A.ndim == 2: module.register_forward_hook(lambda m, x, y, A=A, B=B, s=scale: y + s * (x[0] @ A.T) @ B.T)
        else: module.register_forward_hook(lambda m, x, y, A=A, B=B, s=scale: y + s * torch.nn.functional.conv2d(torch.nn.functional.conv2d(x[0], A, stride=m.stride, padding=m.padding), B))


def rotary(config, frames, h, w, crops):
    p, th, tw = config.patch_size, config.sample_height // config.patch_size, config.sample_width // config.patch_size
    crops = crops or get_resize_crop_region_for_grid((h // p, w // p), tw, th)
    return get_3d_rotary_pos_embed(config.attention_head_dim, crops, (h // p, w // p), frames, device=torch.device(device))


def transformer(dir, case, x, dtype):
    if 'hidden_states' not in x: return
    alpha, ref = case.get('lora_alpha'), x.get('ref_latents', x.get('reference_latents'))
    frames = x['hidden_states'] if ref is None else torch.cat([ref.expand(len(x['hidden_states']), *ref.shape[1:]), x['hidden_states']], 1)
    for name, files in (('sample', []), ('sample_lora', sorted(glob.glob(f'{dir}/pytorch_lora_weights*.safetensors')))):
        if name == 'sample_lora' and not (files and alpha): continue  # cases about the forms of keys are the reader's, not the GPU's
        model = CogVideoXTransformer3DModel.from_pretrained(f'{root(dir, case)}/transformer', torch_dtype=dtype).to(device).eval()
        for file in files: adapt(model, file, alpha)
        emb = rotary(model.config, frames.shape[1], *frames.shape[3:], case.get('rope_crops')) if model.config.use_rotary_positional_embeddings else None
        y = model(frames.to(device, dtype), x['encoder_hidden_states'].to(device, dtype), x['timestep'].to(device).expand(len(frames)), image_rotary_emb=emb, return_dict=False)[0]
        yield name, y[:, frames.shape[1] - x['hidden_states'].shape[1]:]


def vae(dir, case, x, dtype):
    plain, tiled = (AutoencoderKLCogVideoX.from_pretrained(f'{root(dir, case)}/vae', torch_dtype=dtype).to(device).eval() for _ in range(2))
    tiled.enable_tiling()
    for k, v in case.get('tiling', {}).items(): setattr(tiled, k, v)
    for name in load(f'{dir}/outputs.safetensors'):  # names as kinds.ts reads them
        verb, *words = name.split('_')
        of = [word for word in words if word not in ('mean', 'logvar')]
        bare = [word for word in of if word != 'tiled']
        model = tiled if 'tiled' in of else plain
        if verb == 'encode':
            given = next((x[k] for k in ('_'.join(of), '_'.join(['video', *of]), '_'.join(bare), '_'.join(['video', *bare])) if k in x), None)
            if given is None: continue
            d = model.encode(given.to(device, dtype)).latent_dist
            yield name, d.mean if 'mean' in words else d.logvar
        elif verb == 'decode':
            named = next((x[k] for k in ('_'.join(['latents', *of]), '_'.join(['latents', *bare])) if k in x and of), None)
            z = named if named is not None else x.get('latents')
            if z is None: continue
            if named is None and 'image' in bare: z = z[:, :, :1]
            yield name, model.decode(z.to(device, dtype)).sample


def t5(dir, case, x, dtype):
    if 'input_ids' in x: yield 'last_hidden_state', T5EncoderModel.from_pretrained(f'{root(dir, case)}/text_encoder', torch_dtype=dtype).to(device).eval()(x['input_ids'].to(device)).last_hidden_state


errors = {}
for case_file in sorted(f for d in sys.argv[2:] for f in (glob.glob(f'{d}/case.json') or glob.glob(f'{d}/*/case.json'))):
    dir = os.path.dirname(case_file)
    with open(case_file) as f: case = json.load(f)
    kind = {'transformer': transformer, 'vae': vae, 't5': t5}.get(case['kind'])
    if not kind: continue
    inputs, outputs = load(f'{dir}/inputs.safetensors'), load(f'{dir}/outputs.safetensors')
    for dtype in DTYPES if device == 'cuda' else ['float32']:
        try:
            with torch.no_grad():
                for name, y in kind(dir, case, inputs, DTYPES[dtype]):
                    if name not in outputs: continue
                    b, y = outputs[name].double(), y.double().cpu()
                    errors[f'{os.path.basename(os.path.abspath(dir))} {name} {dtype}'] = ((y - b).abs().max() / b.abs().max()).item() if y.shape == b.shape else None
        except Exception as e: print(f'torch {dir} {dtype}: {type(e).__name__} {e}', flush=True)
errors = {k: v for k, v in errors.items() if v is not None}
with open(sys.argv[1], 'w') as f: json.dump(errors, f, indent=1)
print(f'torch {torch.__version__} on {device}: {len(errors)} errors, largest {max(errors.values(), default=0):.1e}')
