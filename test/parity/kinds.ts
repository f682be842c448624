/** @file What each kind of case computes. A kind reads inputs, weights and case.json, and yields what it computed by the names of the tensors that it is compared with. */
import { readFileSync } from 'node:fs';
import {
  cogvideoxTransformer3d,
  parseTransformerConfig,
  rotaryTables,
  type Crops,
  type TransformerConfig,
} from '../../native-models/models/cogvideox-transformer-3d.ts';
import { parseT5Config, t5Encoder } from '../../native-models/models/t5-encoder.ts';
import { loadProgram } from '../../native-models/pipelines/program.ts';
import { openVae, type Block, type Shape5, type Tiling } from '../../native-models/pipelines/vae.ts';
import type { DType, Runtime, Tensor } from '../../native-models/runtime/runtime.ts';
import { cogvideoxDdim } from '../../native-models/schedulers/cogvideox-ddim.ts';
import { cogvideoxDpm } from '../../native-models/schedulers/cogvideox-dpm.ts';
import { Generator, type NoiseDType } from '../../native-models/schedulers/random.ts';
import { openSentencePiece } from '../../native-models/tokenizers/sentencepiece.ts';
import { t5Tokenize } from '../../native-models/tokenizers/t5.ts';
import { openComponent, type Component } from '../../native-models/weights/checkpoint.ts';
import { readIntegers } from '../../native-models/weights/safetensors.ts';
import type { Adapter } from '../../native-models/weights/lora.ts';
import { joined, size, type Case, type Json, type Numbers, type Result } from './case.ts';
import { pipeline } from './pipeline.ts';
import { training } from './training.ts';

interface Kind {
  /** Whether it computes through ONNX Runtime, and is to be run in each of its rooms. */
  readonly rooms: boolean;
  /** @param dtype what the graph computes in; float32 if not said. Training and the pipeline are float32 always. */
  run(kase: Case, runtime: Runtime, dtype?: DType): AsyncGenerator<Result>;
}
export const kinds: Readonly<Record<string, Kind>> = {
  transformer: { rooms: true, run: transformer },
  vae: { rooms: true, run: vae },
  t5: { rooms: true, run: t5 },
  scheduler: { rooms: false, run: scheduler },
  random: { rooms: false, run: random },
  pipeline: { rooms: true, run: pipeline },
};

async function* transformer(kase: Case, runtime: Runtime, dtype: DType = 'float32'): AsyncGenerator<Result> {
  const component = openComponent(kase.part('transformer'));
  const config = parseTransformerConfig(component.config);
  const limit = kase.tolerance('forward', 1e-4);
  const x = kase.find('hidden_states');
  const given = kase.spec['rope_crops'];
  const crops = Array.isArray(given) ? (given as unknown as Crops) : undefined;
  const adapters = kase.adapters();
  if (x) {
    const ref = kase.find('ref_latents') ?? kase.find('reference_latents');
    const frames = withReference(x, ref);
    const n = ref?.shape[1] ?? 0;
    const text = kase.input('encoder_hidden_states');
    const timestep = kase.input('timestep');
    for (const [name, used] of [
      ['sample', []],
      ['sample_lora', adapters],
    ] as const) {
      if (name === 'sample_lora' && !adapters.length) continue;
      const y = await forward(runtime, component, config, dtype, used, frames, text, perRow(timestep, frames.shape[0]!), crops);
      yield { file: 'outputs', name, ...framesFrom(y, n), tolerance: limit };
    }
    if (config.use_rotary_positional_embeddings) {
      const [, F, , H, W] = frames.shape as Shape5;
      const { cos, sin, pairs } = rotaryTables(config, F, H / config.patch_size, W / config.patch_size, crops);
      for (const [name, table] of [
        ['rope_cos', cos],
        ['rope_sin', sin],
      ] as const)
        yield {
          file: 'outputs',
          name,
          data: Float32Array.from({ length: table.length * 2 }, (_, i) => table[i >> 1]!),
          shape: [table.length / pairs, 2 * pairs],
          tolerance: limit,
        }; // each angle stands for a pair
    }
  }
  if (kase.has('train_inputs.safetensors')) yield* training(kase, runtime, component, config, crops);
}

async function forward(
  runtime: Runtime,
  component: Component,
  config: TransformerConfig,
  dtype: DType,
  adapters: readonly Adapter[],
  x: Numbers,
  text: Numbers,
  timestep: Numbers,
  crops: Crops | undefined,
): Promise<Numbers> {
  const program = await loadProgram(
    runtime,
    component,
    g => ({
      sample: cogvideoxTransformer3d(
        g,
        config,
        g.input('hidden_states', x.shape),
        g.input('encoder_hidden_states', text.shape),
        g.input('timestep', timestep.shape),
        crops,
      ),
    }),
    { dtype, adapters },
  );
  const feeds = { hidden_states: tensor(runtime, x), encoder_hidden_states: tensor(runtime, text), timestep: tensor(runtime, timestep) };
  try {
    return await only(await program.run(feeds), 'sample');
  } finally {
    for (const t of Object.values(feeds)) t.release();
    program.release();
  }
}
const tensor = (runtime: Runtime, { data, shape }: Numbers): Tensor => runtime.tensor('float32', shape, data);
async function only(results: Readonly<Record<string, Tensor>>, name: string): Promise<Numbers> {
  const t = results[name]!;
  const data = (await t.read()) as Float32Array;
  t.release();
  return { data, shape: t.shape };
}
/** The reference's frames in front of each row's own; a reference of one row stands for all. [B, n, C, H, W] and [B, F, C, H, W] -> [B, n+F, C, H, W] */
function withReference(x: Numbers, ref: Numbers | undefined): Numbers {
  if (!ref) return x;
  const [B, F, ...rest] = x.shape as readonly [number, number, ...number[]];
  const n = ref.shape[1]!;
  const frame = size(rest);
  const rows = Array.from({ length: B }, (_, b) => {
    const r = ref.shape[0] === B ? b : 0;
    return joined(ref.data.subarray(r * n * frame, (r + 1) * n * frame), x.data.subarray(b * F * frame, (b + 1) * F * frame));
  });
  return { data: joined(...rows), shape: [B, n + F, ...rest] };
}
/** Without the first n frames. */
function framesFrom({ data, shape }: Numbers, n: number): Numbers {
  const [B, F, ...rest] = shape as readonly [number, number, ...number[]];
  const frame = size(rest);
  return {
    data: joined(...Array.from({ length: B }, (_, b) => data.subarray((b * F + n) * frame, (b + 1) * F * frame))),
    shape: [B, F - n, ...rest],
  };
}
const perRow = (t: Numbers, B: number): Numbers =>
  t.data.length === B ? { data: t.data, shape: [B] } : { data: new Float32Array(B).fill(t.data[0]!), shape: [B] };

/** An output is named for what was done to which input: encode[_of]_mean and encode[_of]_logvar of `of` or `video_of` (`video` if nothing is said), decode[_of] of `latents_of` (or `latents`);
 * `tiled` among the words turns tiles on; decode_image decodes the first latent frame alone where no input is named for it. */
async function* vae(kase: Case, runtime: Runtime, dtype: DType = 'float32'): AsyncGenerator<Result> {
  const component = openComponent(kase.part('vae'));
  const limit = kase.tolerance('vae', 1e-4);
  const tiling = (kase.spec['tiling'] ?? {}) as Partial<Tiling>;
  const whole = openVae(runtime, component, dtype);
  const tiled = openVae(runtime, component, dtype, tiling);
  const first = (...names: string[]): Numbers | undefined => names.map(name => kase.find(name)).find(x => x !== undefined);
  try {
    const posteriors = new Map<string, Awaited<ReturnType<typeof whole.encode>>>();
    for (const name of kase.wanted('outputs')) {
      const [verb, ...words] = name.split('_');
      const moment = words.find(w => w === 'mean' || w === 'logvar');
      const of = words.filter(w => w !== moment);
      const plain = of.filter(w => w !== 'tiled');
      const model = of.includes('tiled') ? tiled : whole;
      if (verb === 'encode' && (moment === 'mean' || moment === 'logvar')) {
        const x = first(of.join('_'), ['video', ...of].join('_'), plain.join('_'), ['video', ...plain].join('_'));
        if (!x) continue;
        const known = posteriors.get(of.join('_')) ?? (await model.encode(x.data, x.shape as Shape5));
        posteriors.set(of.join('_'), known);
        yield { file: 'outputs', name, data: known[moment], shape: known.shape, tolerance: limit };
      } else if (verb === 'decode') {
        const named = first(['latents', ...of].join('_'), ['latents', ...plain].join('_'));
        const z = named ?? first('latents');
        if (!z) continue;
        const { data, shape } = joinFrames(
          await Array.fromAsync(
            !named && plain.includes('image') ? model.decode(...firstFrame(z)) : model.decode(z.data, z.shape as Shape5),
          ),
        );
        yield { file: 'outputs', name, data, shape, tolerance: limit };
      }
    }
  } finally {
    whole.release();
    tiled.release();
  }
}
/** Of [B, C, T, H, W] time 0 alone. */
function firstFrame({ data, shape }: Numbers): [Float32Array, Shape5] {
  const [B, C, T, H, W] = shape as Shape5;
  const plane = H * W;
  return [joined(...Array.from({ length: B * C }, (_, i) => data.subarray(i * T * plane, i * T * plane + plane))), [B, C, 1, H, W]];
}
/** Chunks of time [B, C, t, H, W] as one. */
function joinFrames(blocks: readonly Block[]): Numbers {
  const [B, C, , H, W] = blocks[0]!.shape;
  const plane = H * W;
  const rows = Array.from({ length: B * C }, (_, i) =>
    blocks.map(b => b.data.subarray(i * b.shape[2] * plane, (i + 1) * b.shape[2] * plane)),
  ).flat();
  return { data: joined(...rows), shape: [B, C, blocks.reduce((n, b) => n + b.shape[2], 0), H, W] };
}

async function* t5(kase: Case, runtime: Runtime, dtype: DType = 'float32'): AsyncGenerator<Result> {
  const limit = kase.tolerance('t5', 1e-4);
  const input = kase.header('inputs.safetensors').get('input_ids');
  if (input) {
    const component = openComponent(kase.part('text_encoder'));
    const config = parseT5Config(component.config);
    const program = await loadProgram(
      runtime,
      component,
      g => ({ last_hidden_state: t5Encoder(g, config, g.input('input_ids', input.shape, 'int64')) }),
      { dtype },
    );
    const input_ids = runtime.tensor('int64', input.shape, readIntegers(input));
    try {
      yield {
        file: 'outputs',
        name: 'last_hidden_state',
        ...(await only(await program.run({ input_ids }), 'last_hidden_state')),
        tolerance: limit,
      };
    } finally {
      input_ids.release();
      program.release();
    }
  }
  if (!kase.has('tokens.json')) return;
  const tokenizer = openSentencePiece(readFileSync(kase.part('tokenizer/spiece.model')));
  const { texts } = kase.tokens();
  for (const [i, text] of texts.entries()) {
    const length = kase.number('max_length', kase.header('inputs.safetensors').get('input_ids')?.shape[1] ?? 226);
    const { ids } = t5Tokenize(tokenizer, text, length);
    yield { file: 'tokens', name: String(i), data: Float32Array.from(ids, Number), shape: [ids.length], tolerance: 0 };
  }
}

async function* scheduler(kase: Case): AsyncGenerator<Result> {
  const limit = kase.tolerance('scheduler', 1e-5);
  const config = kase.spec['config'] ?? (JSON.parse(readFileSync(kase.part('scheduler/scheduler_config.json'), 'utf8')) as Json);
  const steps = [...kase.header('inputs.safetensors').keys()].filter(name => name.startsWith('model_output.')).length;
  const start = kase.input('sample');
  for (const [name, make] of [
    ['ddim', cogvideoxDdim],
    ['dpm', cogvideoxDpm],
  ] as const) {
    const made = make(config, steps);
    if (name === 'ddim')
      yield {
        file: 'outputs',
        name: 'alphas_cumprod',
        data: Float32Array.from(made.alphasCumprod),
        shape: [made.alphasCumprod.length],
        tolerance: limit,
      };
    yield { file: 'outputs', name: `${name}.timesteps`, data: Float32Array.from(made.timesteps), shape: [steps], tolerance: 0 };
    let x = start.data;
    for (let i = 0; i < steps; i++) {
      x = made.step(i, kase.input(`model_output.${i}`).data, x, () => kase.input(`noise.${i}`).data);
      yield await Promise.resolve({ file: 'outputs', name: `${name}.${i}`, data: x, shape: start.shape, tolerance: limit });
    }
  }
}

async function* random(kase: Case): AsyncGenerator<Result> {
  const { seeds, shapes } = kase.spec as unknown as { seeds: readonly number[]; shapes: readonly (readonly number[])[] };
  for (const seed of seeds)
    for (const dtype of ['float32', 'bfloat16'] satisfies NoiseDType[]) {
      const generator = new Generator(seed);
      for (const [i, shape] of shapes.entries())
        yield await Promise.resolve({
          file: 'outputs',
          name: `${seed}.${dtype}.${i}`,
          data: generator.randn(shape, dtype),
          shape,
          tolerance: kase.tolerance(dtype, 0),
        });
    }
}
