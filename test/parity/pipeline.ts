/** @file A pipeline case: photos and prompts through the engine's own pipeline, with the draws that the case gives; the latents of every step, the embeddings, the frames. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readPhoto } from '../../electron/media/photo.ts';
import { parseVaeConfig, spatialRatio } from '../../native-models/models/autoencoder-kl-cogvideox.ts';
import { cogvideox, type Clip } from '../../native-models/pipelines/cogvideox.ts';
import type { Runtime } from '../../native-models/runtime/runtime.ts';
import { openCheckpoint } from '../../native-models/weights/checkpoint.ts';
import { joined, type Case, type Result } from './case.ts';

export async function* pipeline(kase: Case, runtime: Runtime): AsyncGenerator<Result> {
  const { spec } = kase;
  const text = (name: string, otherwise: string): string => (typeof spec[name] === 'string' ? spec[name] : otherwise);
  const checkpoint = openCheckpoint(kase.part('.'));
  const width = kase.number('width', 0);
  const height = kase.number('height', 0);
  const numFrames = kase.number('num_frames', 1);
  const limit = kase.tolerance('latents', 1e-3);
  const listed = spec['references'] ?? spec['reference'] ?? [];
  const photos = (Array.isArray(listed) ? listed : [listed]).map(String);
  const named = text('scheduler', checkpoint.scheduler().className);
  const latents = kase.find('initial_latents') ?? kase.find('latents');
  const noises = [...kase.header('inputs.safetensors').keys()].filter(name => name.startsWith('reference_noise')).sort();
  const references = noises.flatMap(name => each(kase.input(name)));
  const clip: Clip = {
    checkpoint,
    adapters: kase.adapters(),
    runtime,
    dtype: 'float32',
    width,
    height,
    numFrames,
    referenceImages: await Promise.all(photos.map(file => photo(join(kase.dir, file), width, height))),
    prompt: text('prompt', ''),
    negativePrompt: text('negative_prompt', ''),
    numInferenceSteps: kase.number('steps', kase.number('num_inference_steps', 50)),
    guidanceScale: kase.number('guidance_scale', 6),
    useDynamicCfg: spec['use_dynamic_cfg'] === true,
    scheduler: /dpm/i.test(named) ? 'dpm' : 'ddim',
    noiseDtype: spec['noise_dtype'] === 'bfloat16' ? 'bfloat16' : 'float32',
    seed: kase.number('seed', 0),
    given: { ...(references.length && { references }), ...(latents && { latents: latents.data }) },
  };
  const found: Result[] = [];
  const ratio = spatialRatio(parseVaeConfig(checkpoint.component('vae').config));
  const [h, w] = [height / ratio, width / ratio];
  const listener: Parameters<typeof cogvideox>[1] = {
    progress: () => undefined,
    notice: () => undefined,
    encoded(embeds, refs) {
      const rows = clip.guidanceScale > 1 ? 2 : 1;
      const T = (checkpoint.component('transformer').config['max_text_seq_length'] as number | undefined) ?? 226;
      const data = joined(...refs);
      const C = data.length / (refs.length * h * w);
      found.push({ file: 'outputs', name: 'prompt_embeds', data: embeds, shape: [rows, T, embeds.length / (rows * T)], tolerance: limit });
      if (refs.length) found.push({ file: 'outputs', name: 'reference_latents', data, shape: [1, refs.length, C, h, w], tolerance: limit });
    },
    step(step, snapshot) {
      const { data, shape } = snapshot().latents;
      found.push({ file: 'outputs', name: `latents.${step - 1}`, data: data.slice(), shape, tolerance: limit });
    },
  };
  const frames: Float32Array[] = [];
  for await (const rgb of cogvideox(clip, listener, new AbortController().signal)) frames.push(Float32Array.from(rgb));
  yield* found;
  const [H, W] = [height, frames[0]!.length / (3 * height)];
  yield {
    file: 'outputs',
    name: 'frames',
    data: joined(...frames),
    shape: [frames.length, H, W, 3],
    tolerance: kase.tolerance('frames_max_levels', 2),
    absolute: true,
  };
}
/** [n, C, 1, h, w] or [1, C, n, h, w] of one reference each. */
function each({ data, shape }: { data: Float32Array; shape: readonly number[] }): Float32Array[] {
  const n = shape[0]!;
  return Array.from({ length: n }, (_, i) => data.subarray((i * data.length) / n, ((i + 1) * data.length) / n));
}
async function photo(file: string, width: number, height: number): Promise<Float32Array> {
  if (!existsSync(file)) throw new Error(`there is no ${file}`);
  return readPhoto(file, { width, height, fit: 'contain' });
}
