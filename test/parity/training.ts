/** @file The training side of a transformer case: each task's loss, the gradient of every LoRA tensor (with and without recomputation), their cosine and norms, the LoRA after some clipped AdamW steps.
 * v-prediction: x_t = √ᾱ x₀ + √(1-ᾱ) n, v = √ᾱ n - √(1-ᾱ) x₀, loss = mean (v - v̂)² over the video's frames; the reference frames in front stay clean. */
import { gradients } from '../../native-models/graph/autodiff.ts';
import { Graph, reachable, type Value } from '../../native-models/graph/graph.ts';
import { encode } from '../../native-models/graph/onnx.ts';
import { expand, lora, precision, replay } from '../../native-models/graph/passes.ts';
import {
  cogvideoxTransformer3d,
  transformerBlockOf,
  type Crops,
  type TransformerConfig,
} from '../../native-models/models/cogvideox-transformer-3d.ts';
import { devices, type Device } from '../../native-models/runtime/device.ts';
import type { Program, Runtime, Tensor } from '../../native-models/runtime/runtime.ts';
import { alphasCumprod, parseSchedulerConfig } from '../../native-models/schedulers/scheduler.ts';
import { bind, type Component } from '../../native-models/weights/checkpoint.ts';
import type { Adapter } from '../../native-models/weights/lora.ts';
import { readTensor } from '../../native-models/weights/safetensors.ts';
import { AdamW, norm, type AdamWOptions } from './adamw.ts';
import { joined, type Case, type Json, type Numbers, type Result } from './case.ts';

/** CogVideoX-5B's own; a case may bring another as `scheduler`. */
const SCHEDULER = {
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  num_train_timesteps: 1000,
  prediction_type: 'v_prediction',
  rescale_betas_zero_snr: true,
  set_alpha_to_one: true,
  snr_shift_scale: 1,
  steps_offset: 0,
  timestep_spacing: 'trailing',
};
const INPUTS = 'train_inputs.safetensors';

/** A task's sample as the transformer gets it. */
interface Sample {
  readonly frames: Numbers;
  readonly v: Numbers;
  readonly text: Numbers;
  readonly timestep: Numbers;
}

export async function* training(
  kase: Case,
  runtime: Runtime,
  component: Component,
  config: TransformerConfig,
  crops: Crops | undefined,
): AsyncGenerator<Result> {
  const tasks = [...kase.header(INPUTS).keys()].filter(name => name.endsWith('.x0')).map(name => name.slice(0, -3));
  const alphas = alphasCumprod(parseSchedulerConfig(kase.spec['scheduler'] ?? SCHEDULER));
  const samples = new Map(tasks.map(task => [task, sampleOf(kase, task, alphas)] as const));
  const adapters = kase.adapters();
  const matrices = new Map(adapters.flatMap(a => [...a.modules.values()].flatMap(m => [m.A, m.B])).map(t => [t.name, t] as const));
  const weights = (): Map<string, Float32Array> => new Map([...matrices].map(([name, t]) => [name, readTensor(t)] as const));
  const limit = kase.tolerance('grad', 1e-3);
  const close = (name: string) => kase.tolerance(name, 1e-4);
  const scalar = (name: string, x: number, tolerance: number): Result => ({
    file: 'train_outputs',
    name,
    data: Float32Array.of(x),
    shape: [1],
    tolerance,
  });

  const programs = new Map<string, Step>();
  try {
    const first = new Map<string, Gradients>();
    for (const recompute of [true, false])
      for (const [task, sample] of samples) {
        const step = await Step.open(runtime, component, config, crops, adapters, sample, recompute);
        if (recompute) programs.set(`${task} recomputed`, step);
        else programs.set(task, step);
        const found = await step.run(sample, weights());
        const way = recompute ? 'recomputed' : 'kept';
        first.set(task, found);
        yield { ...scalar(`${task}.loss`, found.loss, close('loss')), way };
        for (const [name, data] of found.grads)
          yield { file: 'train_outputs', name: `${task}.grad.${name}`, data, shape: matrices.get(name)!.shape, tolerance: limit, way };
      }
    for (const [task, { grads }] of first) yield scalar(`norm.${task}`, norm(grads.values()), close('norm'));
    const [a, b] = [...first.values()];
    if (a && b) {
      let dot = 0;
      for (const [name, x] of a.grads) for (const [i, y] of b.grads.get(name)!.entries()) dot += x[i]! * y;
      yield scalar('cosine', dot / (norm(a.grads.values()) * norm(b.grads.values())), close('cosine'));
    }
    const optimizer = kase.spec['optimizer'] as (AdamWOptions & { readonly tasks: readonly string[] } & Json) | undefined;
    if (!optimizer) return;
    const trained = weights();
    const adamw = new AdamW(trained, optimizer);
    for (const task of optimizer.tasks) adamw.step((await programs.get(task)!.run(samples.get(task)!, trained)).grads);
    for (const [name, data] of trained)
      yield {
        file: 'train_outputs',
        name: `after${optimizer.tasks.length}.${name}`,
        data,
        shape: matrices.get(name)!.shape,
        tolerance: close('after'),
      };
  } finally {
    for (const p of programs.values()) p.release();
  }
}

function sampleOf(kase: Case, task: string, alphas: Float64Array): Sample {
  const x0 = kase.input(`${task}.x0`, INPUTS);
  const noise = kase.input(`${task}.noise`, INPUTS);
  const ref = kase.find(`${task}.ref_latents`, INPUTS);
  const timestep = kase.input(`${task}.timestep`, INPUTS);
  const [B, F, C, H, W] = x0.shape as readonly [number, number, number, number, number];
  const n = ref?.shape[1] ?? 0;
  const row = F * C * H * W;
  const refRow = n * C * H * W;
  const mix = (f: (a: number, x: number, e: number) => number): Float32Array =>
    x0.data.map((x, i) => f(alphas[timestep.data[Math.floor(i / row)]!]!, x, noise.data[i]!));
  const noisy = mix((a, x, e) => Math.sqrt(a) * x + Math.sqrt(1 - a) * e);
  const rows = Array.from({ length: B }, (_, b) =>
    joined(
      ...(ref ? [ref.data.subarray(ref.shape[0] === B ? b * refRow : 0).subarray(0, refRow)] : []),
      noisy.subarray(b * row, (b + 1) * row),
    ),
  );
  return {
    frames: { data: joined(...rows), shape: [B, n + F, C, H, W] },
    v: { data: mix((a, x, e) => Math.sqrt(a) * e - Math.sqrt(1 - a) * x), shape: x0.shape },
    text: kase.input(`${task}.encoder_hidden_states`, INPUTS),
    timestep,
  };
}

interface Gradients {
  readonly loss: number;
  readonly grads: ReadonlyMap<string, Float32Array>;
}
/** A loaded program: loss and gradients of one sample by LoRA matrices that are given at each run. */
class Step {
  readonly #runtime: Runtime;
  readonly #program: Program;
  readonly #wrt: readonly Value[];
  constructor(runtime: Runtime, program: Program, wrt: readonly Value[]) {
    this.#runtime = runtime;
    this.#program = program;
    this.#wrt = wrt;
  }
  static async open(
    runtime: Runtime,
    component: Component,
    config: TransformerConfig,
    crops: Crops | undefined,
    adapters: readonly Adapter[],
    sample: Sample,
    recompute: boolean,
  ): Promise<Step> {
    const g = new Graph();
    const [, F] = sample.v.shape as readonly [number, number];
    const n = sample.frames.shape[1]! - F;
    const out = cogvideoxTransformer3d(
      g,
      config,
      g.input('hidden_states', sample.frames.shape),
      g.input('encoder_hidden_states', sample.text.shape),
      g.input('timestep', sample.timestep.shape),
      crops,
    );
    const error = g.Sub(n ? g.Slice(out, [n], [n + F], [1]) : out, g.input('v', sample.v.shape));
    const loss = g.ReduceMean(g.Mul(error, error), [0, 1, 2, 3, 4], { keepdims: 0 });
    const found = bind(
      reachable(g, [loss]).flatMap(node => (node.op === 'initializer' ? node.outputs : [])),
      component,
    );
    const named = adapters.map(a => ({
      scale: a.scale,
      modules: new Map([...a.modules].map(([path, m]) => [path, { rank: m.rank, alpha: m.alpha, A: m.A.name, B: m.B.name }])),
    }));
    const dtypes = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;
    const exact = replay(
      g,
      { loss },
      precision(g, { loss }, 'float32', name => dtypes[found.get(name)!.dtype as keyof typeof dtypes]),
    );
    const adapted = replay(exact.g, exact.outputs, lora(named, 'input'));
    const wrt = named.flatMap(a => [...a.modules.values()].flatMap(m => [m.A, m.B])).map(name => adapted.g.named.get(name)!);
    const grads = gradients(adapted.g, adapted.outputs.loss, wrt, recompute ? transformerBlockOf : undefined);
    const all = replay(
      adapted.g,
      { loss: adapted.outputs.loss, ...Object.fromEntries(wrt.map((w, i) => [`grad.${w.name}`, grads[i]!])) },
      expand((op, node) => devices[runtime.device as Device].lacks(op, node)),
    );
    const bytes = encode(all.g, all.outputs, name => {
      const t = found.get(name)!;
      return { location: t.file.replace(/^\/+/, ''), offset: t.offset, length: t.length };
    });
    return new Step(runtime, await runtime.load(bytes), wrt);
  }
  async run(sample: Sample, weights: ReadonlyMap<string, Float32Array>): Promise<Gradients> {
    const make = ({ data, shape }: Numbers): Tensor => this.#runtime.tensor('float32', shape, data);
    const feeds = {
      hidden_states: make(sample.frames),
      encoder_hidden_states: make(sample.text),
      timestep: make(sample.timestep),
      v: make(sample.v),
      ...Object.fromEntries(this.#wrt.map(w => [w.name, make({ data: weights.get(w.name)!, shape: w.shape })])),
    };
    const results = await this.#program.run(feeds);
    const read = async (name: string): Promise<Float32Array> => ((await results[name]!.read()) as Float32Array).slice();
    const found = {
      loss: (await read('loss'))[0]!,
      grads: new Map(await Promise.all(this.#wrt.map(async w => [w.name, await read(`grad.${w.name}`)] as const))),
    };
    for (const t of [...Object.values(feeds), ...Object.values(results)]) t.release();
    return found;
  }
  release(): void {
    this.#program.release();
  }
}
