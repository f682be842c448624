/** @file Photo and sentence to frames: the CogVideoX pipeline with reference photos as clean latent frames, one visible step after the other.
 * Follows diffusers pipelines/cogvideo/pipeline_cogvideox.py; the reference path is the paper's (arXiv 2504.17816, section 3). */
import { setImmediate as breathe } from 'node:timers/promises';
import type { Adapter } from '../weights/lora.ts';
import { readSmall, type Checkpoint } from '../weights/checkpoint.ts';
import { printable } from '../weights/json.ts';
import type { DType } from '../graph/graph.ts';
import type { Runtime, Tensor } from '../runtime/runtime.ts';
import { given, TaskError, type GenerateOrder, type Phase } from '../tasks.ts';
import { cogvideoxTransformer3d, parseTransformerConfig, type TransformerConfig } from '../models/cogvideox-transformer-3d.ts';
import { parseT5Config, t5Encoder } from '../models/t5-encoder.ts';
import { Generator } from '../schedulers/random.ts';
import { cogvideoxDdim } from '../schedulers/cogvideox-ddim.ts';
import { cogvideoxDpm } from '../schedulers/cogvideox-dpm.ts';
import { dynamicGuidance } from '../schedulers/guidance.ts';
import type { Scheduler } from '../schedulers/scheduler.ts';
import { openSentencePiece } from '../tokenizers/sentencepiece.ts';
import { t5Tokenize } from '../tokenizers/t5.ts';
import { bindProgram, loadProgram, type Inside } from './program.ts';
import { drawToStart, knownFrame } from './start-image.ts';
import { checkVae, openVae, type Shape5, type Tiling, type Vae } from './vae.ts';
import type { Snapshot } from './snapshot.ts';

/** What a person decides of a clip. */
export type Settings = Pick<
  GenerateOrder,
  | 'prompt'
  | 'negativePrompt'
  | 'numFrames'
  | 'width'
  | 'height'
  | 'numInferenceSteps'
  | 'guidanceScale'
  | 'useDynamicCfg'
  | 'scheduler'
  | 'noiseDtype'
>;

export interface Clip extends Settings {
  readonly checkpoint: Checkpoint;
  readonly adapters: readonly Adapter[];
  /** RGB [3, height, width] each, in [-1, 1]; in the order of their times. */
  readonly referenceImages: readonly Float32Array[];
  /** What the clip begins with, a picture like them; none if not said. */
  readonly startImage?: Float32Array | undefined;
  readonly seed: number;
  readonly runtime: Runtime;
  /** What the transformer and the VAE compute in; float32 at the edges. */
  readonly dtype: DType;
  /** Tiles of the VAE, `{}` for the checkpoint's own; whole pictures if not said. */
  readonly tiling?: Partial<Tiling> | undefined;
  /** Where an earlier run stopped. */
  readonly resume?: Snapshot | undefined;
  /** Draws given instead of made, in the order of their use: posterior noise [1, 16, 1, h, w] a reference, and the initial latents [1, F, 16, h, w]. For comparing with other programs. */
  readonly given?: { readonly references?: readonly Float32Array[]; readonly latents?: Float32Array };
}

/** What the pipeline tells while it works. */
export interface Listener {
  progress(phase: Phase, step: number, of: number): void;
  notice(text: string): void;
  /** After each step; `snapshot()` is what resumes behind it, `preview()` decodes the middle latent frame as the model foresees it now (RGB [height, width, 3]). */
  step(step: number, snapshot: () => Snapshot, preview: () => Promise<Uint8Array>): Promise<void> | void;
  /** Embeddings [B, T, D] (negative first under guidance) and reference latents [1, 1, 16, h, w] each. */
  encoded?(embeds: Float32Array, references: readonly Float32Array[]): void;
}

/** The frames of a clip, RGB [height, width, 3] of bytes each, as they are decoded. Resumed behind its last step, it loads nothing but the decoder.
 * @throws TaskError `badRequest` for a size the checkpoint cannot make, `canceled` between two steps after an abort, and whatever the files or the runtime refuse */
export async function* cogvideox(clip: Clip, listener: Listener, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const { checkpoint, runtime, width, height } = clip;
  const config = await given(() => parseTransformerConfig(checkpoint.component('transformer').config));
  const vae = await given(() => openVae(runtime, checkpoint.component('vae'), clip.dtype, clip.tiling));
  try {
    const shape = latentShape(vae, config.in_channels, clip),
      [, , , h, w] = shape;
    if (h % config.patch_size || w % config.patch_size)
      throw new TaskError(
        'badRequest',
        `${width}x${height} does not fit this checkpoint: width and height must be multiples of ${vae.compression.spatial * config.patch_size}`,
      );
    const scheduler = schedulerOf(clip);
    const latents =
      clip.resume && clip.resume.step >= scheduler.timesteps.length
        ? clip.resume.latents.data
        : await denoise(clip, config, vae, scheduler, shape, listener, signal);
    yield* film(vae, latents, shape, clip, listener, signal);
  } finally {
    vae.release();
  }
}

/** The frames once more, bit for bit as `cogvideox` gave them on the same device in the same dtype, from the latents that were kept.
 * @throws TaskError `badFile` where the latents are of another size, or of another kind of checkpoint; `canceled`; and whatever the files or the runtime refuse */
export async function* decodeLatents(
  clip: Pick<Clip, 'checkpoint' | 'runtime' | 'dtype' | 'tiling' | 'numFrames' | 'width' | 'height'> & Pick<Snapshot, 'latents'>,
  listener: Pick<Listener, 'progress'>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { checkpoint, runtime, latents, width, height, numFrames } = clip;
  const vae = await given(() => openVae(runtime, checkpoint.component('vae'), clip.dtype, clip.tiling));
  try {
    const shape = latentShape(vae, vae.config.latent_channels, clip);
    if (shape.join() !== latents.shape.join())
      throw new TaskError(
        'badFile',
        `the kept latents are [${latents.shape.join(',')}], a clip of ${numFrames} frames of ${width}x${height} has [${shape.join(',')}] with this checkpoint: they are another clip's`,
      );
    yield* film(vae, latents.data, shape, clip, listener, signal);
  } finally {
    vae.release();
  }
}

/** [1, F, C, h, w] of a clip's latents. */
function latentShape({ compression: { spatial, temporal } }: Vae, channels: number, clip: Size & Pick<Settings, 'numFrames'>) {
  return [1, (clip.numFrames - 1) / temporal + 1, channels, clip.height / spatial, clip.width / spatial] as const;
}

/** The frames of a clip's final latents, one after the other. */
async function* film(
  vae: Vae,
  latents: Float32Array,
  shape: readonly [number, number, number, number, number],
  clip: Size & Pick<Settings, 'numFrames'>,
  listener: Pick<Listener, 'progress'>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  stopIf(signal);
  listener.progress('decode', 0, clip.numFrames);
  let decoded = 0;
  for await (const rgb of frames(vae, latents, shape, clip)) {
    stopIf(signal);
    listener.progress('decode', ++decoded, clip.numFrames);
    yield rgb;
    await breathe();
  }
}

/** The final latents [1, F, C, h, w] of a clip: text and references encoded, noise drawn, then step after step, from the resumed one on. */
async function denoise(
  clip: Clip,
  config: TransformerConfig,
  vae: Vae,
  scheduler: Scheduler,
  shape: readonly [number, number, number, number, number],
  listener: Listener,
  signal: AbortSignal,
): Promise<Float32Array> {
  const { checkpoint, runtime, width, height } = clip,
    [, F, C, h, w] = shape,
    n = clip.referenceImages.length,
    pictures = n + (clip.startImage ? 1 : 0),
    guided = clip.guidanceScale > 1,
    B = guided ? 2 : 1;

  // 1. text
  listener.progress('encode', 0, 1 + pictures);
  const embeds = await encodePrompts(
    clip,
    guided ? [clip.negativePrompt, clip.prompt] : [clip.prompt],
    config.max_text_seq_length,
    listener,
  ); // [B, T, D]
  stopIf(signal);

  // 2. noise, in this order: references, latents, scheduler
  const generator = new Generator(clip.seed);
  const references: Float32Array[] = [];
  for (const [i, photo] of clip.referenceImages.entries()) {
    listener.progress('encode', 1 + i, 1 + pictures);
    const { mean, logvar } = await vae.encode(photo, [1, 3, 1, height, width]), // [1, C, 1, h, w]
      noise = clip.given?.references?.[i] ?? generator.randn([1, C, 1, h, w], clip.noiseDtype);
    references.push(
      mean.map((m, j) => Math.fround(Math.fround(m + Math.fround(Math.exp(0.5 * logvar[j]!)) * noise[j]!) * vae.scalingFactor)),
    );
    stopIf(signal);
  }
  let latent: Float32Array | undefined; // of the start image
  if (clip.startImage) {
    listener.progress('encode', pictures, 1 + pictures);
    const { mean } = await vae.encode(clip.startImage, [1, 3, 1, height, width]); // no draw: a seed's noise is the same without it
    latent = mean.map(m => m * vae.scalingFactor); // [1, C, 1, h, w]
    stopIf(signal);
  }
  listener.progress('encode', 1 + pictures, 1 + pictures);
  listener.encoded?.(embeds.data, references);
  let latents = clip.given?.latents ?? generator.randn(shape, clip.noiseDtype); // [1, F, C, h, w]

  // 3. denoise
  const frame = C * h * w,
    start = latent && { latent, noise: latents.slice(0, frame) },
    middle = Math.floor(F / 2),
    from = clip.resume?.step ?? 0,
    N = scheduler.timesteps.length;
  let frozen = generator;
  if (clip.resume) {
    latents = clip.resume.latents.data;
    frozen = Generator.restore(clip.resume.generator);
    scheduler.restore(clip.resume.previousSample);
  }
  listener.progress('load', 0, 1);
  const program = await loadProgram(
    runtime,
    checkpoint.component('transformer'),
    g => ({
      sample: cogvideoxTransformer3d(
        g,
        config,
        g.input('hidden_states', [B, n + F, C, h, w]),
        g.input('encoder_hidden_states', [B, embeds.length, embeds.width]),
        g.input('timestep', [B]),
      ),
    }),
    { dtype: clip.dtype, adapters: clip.adapters },
  );
  const text = runtime.tensor('float32', [B, embeds.length, embeds.width], embeds.data);
  try {
    const input = new Float32Array(B * (n + F) * frame); // every row begins with the clean references
    for (let b = 0; b < B; b++) references.forEach((r, i) => input.set(r, (b * (n + F) + i) * frame));
    listener.progress('denoise', from, N);
    for (let i = from; i < N; i++) {
      stopIf(signal);
      const t = scheduler.timesteps[i]!;
      for (let b = 0; b < B; b++) input.set(latents, (b * (n + F) + n) * frame);
      const alphaProd = scheduler.alphasCumprod[t]!;
      if (start) input.set(knownFrame(start, alphaProd), ((B - 1) * (n + F) + n) * frame); // of the prompt's row alone, where there are two
      const velocity = await predict(
        runtime,
        program,
        { hidden_states: [[B, n + F, C, h, w], input], timestep: [[B], new Float32Array(B).fill(t)] },
        text,
        signal,
      );
      const of = (b: number) => velocity.subarray((b * (n + F) + n) * frame, (b + 1) * (n + F) * frame); // the references' outputs are dropped
      const v = guided ? guide(of(0), of(1), clip.useDynamicCfg ? dynamicGuidance(clip.guidanceScale, N, t) : clip.guidanceScale) : of(0);
      const before = latents;
      if (start) {
        v.set(of(0).subarray(0, frame)); // the other row's first frame goes its own way
        drawToStart(start, v, latents, alphaProd, i / N);
      }
      latents = scheduler.step(i, v, latents, () => frozen.randn(shape, clip.noiseDtype));
      if (start && i === N - 1) latents.set(start.latent);
      if (!latents.every(Number.isFinite))
        throw new TaskError(
          'failed',
          `step ${i + 1} gave values that are not numbers: the weights or an adapter are damaged, or ${clip.dtype} is too narrow for them (try --precision float32)`,
        );
      listener.progress('denoise', i + 1, N);
      const now = latents;
      await listener.step(
        i + 1,
        () => ({
          step: i + 1,
          seed: clip.seed,
          latents: { data: now, shape },
          previousSample: scheduler.state(),
          generator: frozen.state(),
        }),
        () =>
          one(
            vae,
            foreseen(
              scheduler.alphasCumprod[t]!,
              before.subarray(middle * frame, (middle + 1) * frame),
              v.subarray(middle * frame, (middle + 1) * frame),
            ),
            [1, C, 1, h, w],
            clip,
          ),
      );
      await breathe(); // lets a cancel arrive
    }
  } finally {
    text.release();
    program.release();
  }
  return latents;
}

/** What a noisy sample will be without its noise, by the velocity that was predicted for it: sqrt(a) x - sqrt(1 - a) v (Salimans and Ho 2022, appendix D). Shows a picture where the sample itself still shows noise. */
function foreseen(alpha: number, sample: Float32Array, velocity: Float32Array): Float32Array {
  const [signal, noise] = [Math.sqrt(alpha), Math.sqrt(1 - alpha)];
  return sample.map((x, i) => signal * x - noise * velocity[i]!);
}

/** Holds a checkpoint's configurations, names and shapes against what its models want, and opens its tokenizer. Reads no weight and needs no device.
 * @throws TaskError `badFile` in one sentence */
export async function checkParts(checkpoint: Checkpoint): Promise<void> {
  await given(async () => {
    const transformer = checkpoint.component('transformer'),
      config = parseTransformerConfig(transformer.config),
      { patch_size: p, in_channels: C, max_text_seq_length: length } = config;
    await bindProgram(transformer, g => ({
      sample: cogvideoxTransformer3d(
        g,
        config,
        g.input('hidden_states', [1, 1, C, p, p]),
        g.input('encoder_hidden_states', [1, length, config.text_embed_dim]),
        g.input('timestep', [1]),
      ),
    }));
    await checkVae(checkpoint.component('vae'));
    const text = checkpoint.component('text_encoder'),
      t5 = parseT5Config(text.config);
    await bindProgram(text, g => ({ last_hidden_state: t5Encoder(g, t5, g.input('input_ids', [1, length], 'int64')) }));
    openSentencePiece(readSmall(checkpoint.tokenizerFile()));
    for (const scheduler of [cogvideoxDdim, cogvideoxDpm]) scheduler(checkpoint.scheduler().config, 2);
  });
}

const stopIf = (signal: AbortSignal) => {
  if (signal.aborted) throw new TaskError('canceled', 'canceled');
};

function schedulerOf({ checkpoint, scheduler, numInferenceSteps }: Clip): Scheduler {
  const { config } = checkpoint.scheduler();
  return scheduler === 'dpm' ? cogvideoxDpm(config, numInferenceSteps) : cogvideoxDdim(config, numInferenceSteps);
}

interface Embeds {
  readonly data: Float32Array;
  readonly length: number;
  readonly width: number;
}
/** T5's last hidden states of each prompt, padded to the transformer's text length; padding is attended to, as in diffusers. [prompts, length, width] */
async function encodePrompts(clip: Clip, prompts: readonly string[], length: number, listener: Listener): Promise<Embeds> {
  const tokenizer = await given(() => openSentencePiece(readSmall(clip.checkpoint.tokenizerFile()))),
    component = clip.checkpoint.component('text_encoder'),
    config = await given(() => parseT5Config(component.config));
  const ids = new BigInt64Array(prompts.length * length);
  for (const [i, prompt] of prompts.entries()) {
    const tokens = t5Tokenize(tokenizer, prompt, length);
    if (tokens.cut !== undefined)
      listener.notice(`the prompt is longer than this checkpoint reads (${length} tokens): left out is "${printable(tokens.cut, 2000)}"`);
    ids.set(tokens.ids, i * length);
  }
  const inside: Inside = { dtype: clip.dtype === 'float16' ? 'bfloat16' : clip.dtype, adapters: [] }; // T5's activations leave float16's range
  const program = await loadProgram(
    clip.runtime,
    component,
    g => ({ last_hidden_state: t5Encoder(g, config, g.input('input_ids', [prompts.length, length], 'int64')) }),
    inside,
  );
  try {
    const input_ids = clip.runtime.tensor('int64', [prompts.length, length], ids);
    const { last_hidden_state: y } = await program.run({ input_ids });
    const data = (await y!.read()) as Float32Array;
    input_ids.release();
    y!.release();
    return { data: data.slice(), length, width: config.d_model };
  } finally {
    program.release();
  }
}

/** One evaluation of the transformer. */
async function predict(
  runtime: Runtime,
  program: Awaited<ReturnType<typeof loadProgram>>,
  feeds: Readonly<Record<string, readonly [readonly number[], Float32Array]>>,
  encoder_hidden_states: Tensor,
  signal: AbortSignal,
): Promise<Float32Array> {
  const tensors = Object.fromEntries(Object.entries(feeds).map(([name, [shape, data]]) => [name, runtime.tensor('float32', shape, data)]));
  try {
    const { sample } = await program.run({ ...tensors, encoder_hidden_states }, signal);
    const data = ((await sample!.read()) as Float32Array).slice();
    sample!.release();
    return data;
  } finally {
    for (const t of Object.values(tensors)) t.release();
  }
}

/** v = v₋ + s (v₊ - v₋) in float32 */
function guide(negative: Float32Array, positive: Float32Array, scale: number): Float32Array {
  return negative.map((v, i) => v + Math.fround(scale * Math.fround(positive[i]! - v)));
}

type Size = Pick<Settings, 'width' | 'height'>;

/** Latents [1, F, C, h, w] to frames. */
async function* frames(
  vae: Vae,
  latents: Float32Array,
  [, F, C, h, w]: readonly [number, number, number, number, number],
  size: Size,
): AsyncGenerator<Uint8Array> {
  const z = new Float32Array(latents.length),
    plane = h * w;
  for (let f = 0; f < F; f++)
    for (let c = 0; c < C; c++)
      for (let i = 0; i < plane; i++) z[(c * F + f) * plane + i] = latents[(f * C + c) * plane + i]! / vae.scalingFactor; // [1, C, F, h, w]
  for await (const chunk of vae.decode(z, [1, C, F, h, w])) yield* toRgb(chunk.data, chunk.shape, size);
}
async function one(
  vae: Vae,
  latents: Float32Array,
  shape: readonly [number, number, number, number, number],
  size: Size,
): Promise<Uint8Array> {
  for await (const chunk of vae.decode(
    latents.map(x => x / vae.scalingFactor),
    shape,
  ))
    for (const rgb of toRgb(chunk.data, chunk.shape, size)) return rgb;
  throw new Error('nothing was decoded');
}

/** [1, 3, T, H, W] in [-1, 1] to T frames of bytes: round(255 clamp(x / 2 + 1/2)), halves to even as numpy does. Tiles can make a picture larger than asked for: the rest is cut. */
function* toRgb(x: Float32Array, [, , T, H, W]: Shape5, { width, height }: Size): Iterable<Uint8Array> {
  for (let t = 0; t < T; t++) {
    const rgb = new Uint8Array(width * height * 3);
    for (let c = 0; c < 3; c++)
      for (let y = 0; y < height; y++)
        for (let i = 0; i < width; i++) {
          const v = 255 * Math.min(1, Math.max(0, Math.fround(x[((c * T + t) * H + y) * W + i]! / 2 + 0.5))),
            r = Math.round(v);
          if (Number.isNaN(v))
            throw new TaskError(
              'failed',
              'the VAE gave values that are not numbers: its weights are damaged, or this precision is too narrow for them (try --precision float32)',
            );
          rgb[(y * width + i) * 3 + c] = r - v === 0.5 && r % 2 ? r - 1 : r;
        }
    yield rgb;
  }
}
