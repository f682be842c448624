"""What full.ts stands beside: diffusers' CogVideoXBlock under torch.compile at the true guided shape (batch 2, 226 text + 14 x 1,350 video tokens, bfloat16) x 42 layers; and, where full.ts saved
what it fed and got, the whole transformer and the VAE's first chunk in PyTorch from the same folder and inputs.

    python torch_block.py OUT.json [FOLDER SAVED]       FOLDER as make_5b.py writes it, SAVED full.ts's --save
"""
import gc
import json
import os
import sys
import time

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXBlock
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid
from safetensors.torch import load_file

told = {}
cuda = torch.cuda.is_available()
device = 'cuda' if cuda else 'cpu'
FRAMES, ROWS, COLUMNS, TEXT = (14, 30, 45, 226) if cuda else (2, 2, 3, 7)
begin = time.time()


def tell(name, text, figures):
    told[name] = figures
    print(f'{name}: {text}   [{time.time() - begin:.0f} s]', flush=True)
    with open(sys.argv[1], 'w') as f: json.dump(told, f, indent=1)


def seconds(run, n):
    times = []
    for _ in range(n):
        if cuda: torch.cuda.synchronize()
        t = time.perf_counter()
        run()
        if cuda: torch.cuda.synchronize()
        times.append(time.perf_counter() - t)
    return sorted(times)[n // 2]


def rotary(frames, h, w): return get_3d_rotary_pos_embed(64, get_resize_crop_region_for_grid((h, w), 45, 30), (h, w), frames, device=torch.device(device))


def error(a, b): return ((a.float() - b.float()).abs().max() / b.float().abs().max()).item()


def free():
    gc.collect()
    if cuda: torch.cuda.empty_cache(); torch.cuda.reset_peak_memory_stats()


@torch.no_grad()
def block():
    model = CogVideoXBlock(3072, 48, 64, 512, norm_eps=1e-5, attention_bias=True).to(device, torch.bfloat16).eval()
    video, text, emb = (torch.randn(*s, device=device, dtype=torch.bfloat16) for s in ((2, FRAMES * ROWS * COLUMNS, 3072), (2, TEXT, 3072), (2, 512)))
    turn = rotary(FRAMES, ROWS, COLUMNS)
    eager = seconds(lambda: model(video, text, emb, image_rotary_emb=turn), 5)
    compiled = torch.compile(model)
    t = time.time()
    compiled(video, text, emb, image_rotary_emb=turn)
    compiling = time.time() - t
    fast = seconds(lambda: [compiled(video, text, emb, image_rotary_emb=turn) for _ in range(5)], 5) / 5
    tell('torch block', f'{video.shape[1] + TEXT} tokens x 2, bfloat16: eager {42 * eager:.2f} s, compiled {42 * fast:.2f} s for 42 layers (compiling took {compiling:.0f} s)', {'eager42': 42 * eager, 'compiled42': 42 * fast})


@torch.no_grad()
def transformer(folder, saved):
    """The same bytes and inputs. float32 (with TF32 products) of the first row is the judge of both."""
    x = load_file(f'{saved}/transformer_bfloat16.safetensors')
    t = time.time()
    model = CogVideoXTransformer3DModel.from_pretrained(f'{folder}/transformer', torch_dtype=torch.bfloat16).to(device).eval()
    if cuda: torch.cuda.synchronize()
    load = time.time() - t
    h, w = (n // 2 for n in x['hidden_states'].shape[3:])
    turn = rotary(x['hidden_states'].shape[1], h, w)
    run = lambda dtype, rows: model(x['hidden_states'][:rows].to(device, dtype), x['encoder_hidden_states'][:rows].to(device, dtype), x['timestep'][:rows].to(device), image_rotary_emb=turn, return_dict=False)[0]
    theirs = run(torch.bfloat16, 2).cpu()
    eager = seconds(lambda: run(torch.bfloat16, 2), 2)
    peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else 0
    tell('torch transformer', f"load {load:.1f} s, eager step {eager:.2f} s, peak {peak:.0f} MiB allocated, the engine's bfloat16 output is {error(x['sample'], theirs):.1e} from torch's", {'load': load, 'eager': eager, 'peakMiB': peak, 'difference': error(x['sample'], theirs)})
    torch.backends.cuda.matmul.allow_tf32 = True
    model.float()
    judge = run(torch.float32, 1).cpu()
    tell('errors at full size', f"to float32 of the first row: engine {error(x['sample'][:1], judge):.1e}, torch {error(theirs[:1], judge):.1e} (both bfloat16)", {'engine': error(x['sample'][:1], judge), 'torch': error(theirs[:1], judge)})


@torch.no_grad()
def vae(folder, saved):
    """The first chunk of three latents, and the photo; float32 without TF32 is the judge."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = AutoencoderKLCogVideoX.from_pretrained(f'{folder}/vae').to(device).eval()
    x = load_file(f"{saved}/{[f for f in sorted(os.listdir(saved)) if f.startswith('vae_')][0]}")
    decode = lambda dtype, n: model.to(dtype).decode(x['latents'][:, :, :n].to(device, dtype)).sample
    encode = lambda dtype: model.to(dtype).encode(x['photo'].to(device, dtype)).latent_dist.mean.float().cpu()
    judges = decode(torch.float32, 3).cpu(), encode(torch.float32)
    for name, dtype in (('float16', torch.float16), ('bfloat16', torch.bfloat16)):
        if not os.path.exists(f'{saved}/vae_{name}.safetensors'): continue
        mine = load_file(f'{saved}/vae_{name}.safetensors')
        free()
        theirs = decode(dtype, 3).float().cpu(), encode(dtype)
        whole = seconds(lambda: decode(dtype, x['latents'].shape[2]), 1) if cuda else 0
        figures = {'decode': error(mine['decode'], judges[0]), 'encode': error(mine['mean'], judges[1]), 'torch decode': error(theirs[0], judges[0]), 'torch encode': error(theirs[1], judges[1]), 'seconds': whole, 'peakMiB': torch.cuda.max_memory_allocated() / 2**20 if cuda else 0}
        tell(f'vae {name}', f"to float32: decode {figures['decode']:.1e} (torch {figures['torch decode']:.1e}), encode {figures['encode']:.1e} (torch {figures['torch encode']:.1e}); torch decodes all in {whole:.2f} s, peak {figures['peakMiB']:.0f} MiB", figures)


for part in (block, *((lambda: vae(*sys.argv[2:4]), lambda: transformer(*sys.argv[2:4])) if len(sys.argv) > 3 else ())):
    try: part()
    except Exception as e: print(f'torch_block FAIL {type(e).__name__}: {e}', flush=True)
    free()
