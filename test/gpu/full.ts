/** @file CogVideoX-5B's true size on a GPU: `node test/gpu/full.ts [--part pipeline|transformer|vae] [--device cuda] [--width 720] [--height 480] [--frames 49] [--steps 3] [--save FOLDER] [--json FILE] FOLDER`,
 * FOLDER as make_5b.py writes it. Seconds and the peak of nvidia-smi:
 * pipeline: the engine's own, from photo and sentence to frames, guided, with one reference; its steps are told one by one.
 * transformer: one guided evaluation, three times; inputs and output go to --save for torch_block.py.
 * vae: encode of one photo and decode of all latents in float16 (which is what it computes in for bfloat16 too), twice; the first chunk goes to --save.
 * A node that CUDA has no kernel for fails the load, so what ends well ran on the GPU alone. Status 1 if something failed or was not finite. */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cogvideoxTransformer3d, parseTransformerConfig } from '../../native-models/models/cogvideox-transformer-3d.ts';
import { cogvideox } from '../../native-models/pipelines/cogvideox.ts';
import { loadProgram } from '../../native-models/pipelines/program.ts';
import { openVae, type Shape5 } from '../../native-models/pipelines/vae.ts';
import { openRuntime, type Device } from '../../native-models/runtime/device.ts';
import type { DType } from '../../native-models/runtime/runtime.ts';
import { Generator } from '../../native-models/schedulers/random.ts';
import { openCheckpoint } from '../../native-models/weights/checkpoint.ts';
import { writeSafetensors } from '../../native-models/weights/safetensors.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    part: { type: 'string', default: 'pipeline' },
    device: { type: 'string', default: 'cuda' },
    dtypes: { type: 'string' },
    width: { type: 'string', default: '720' },
    height: { type: 'string', default: '480' },
    frames: { type: 'string', default: '49' },
    steps: { type: 'string', default: '3' },
    save: { type: 'string' },
    json: { type: 'string' },
  },
});
const [width, height, numFrames] = [Number(values.width), Number(values.height), Number(values.frames)];
const [w, h, F] = [width / 8, height / 8, (numFrames - 1) / 4 + 1];
const device = values.device as Device;
const chosen = (otherwise: readonly DType[]): readonly DType[] =>
  (values.dtypes?.split(',') as DType[] | undefined) ?? (device === 'cpu' ? ['float32'] : otherwise);
const checkpoint = openCheckpoint(positionals[0]!);
const told: Record<string, unknown> = {};
let failed = false;

/** Peak of the GPU's memory in use, MiB, as nvidia-smi sees it ten times a second; undefined where there is none. */
class Meter {
  #peak = 0;
  readonly #smi = spawn(
    'nvidia-smi',
    ['-i', process.env['CUDA_VISIBLE_DEVICES'] ?? '0', '--query-gpu=memory.used', '--format=csv,noheader,nounits', '-lms', '100'],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  constructor() {
    this.#smi.on('error', () => undefined);
    this.#smi.stdout.on('data', (lines: Buffer) => {
      for (const line of lines.toString().split('\n')) this.#peak = Math.max(this.#peak, Number(line) || 0);
    });
  }
  /** The peak since the last time this was asked. */
  get MiB(): number | undefined {
    const peak = this.#peak;
    this.#peak = 0;
    return peak || undefined;
  }
  stop(): void {
    this.#smi.kill();
  }
}
const meter = new Meter();
const clock = (): (() => number) => {
  let from = performance.now();
  return () => {
    const now = performance.now(),
      seconds = (now - from) / 1000;
    from = now;
    return seconds;
  };
};
const s = (x: number): string => `${x.toFixed(2)} s`;
const tell = (name: string, text: string, figures: unknown): void => {
  const peak = meter.MiB;
  console.log(`${name}: ${text}${peak === undefined ? '' : `, peak ${peak} MiB by nvidia-smi`}`);
  told[name] = { ...(figures as object), ...(peak !== undefined && { peakMiB: peak }) };
};
/** Not finite, or nothing but one value: then something was not computed. */
function check(name: string, data: Float32Array): string {
  let [low, high, finite] = [Infinity, -Infinity, true];
  for (const x of data) {
    if (!Number.isFinite(x)) finite = false;
    low = Math.min(low, x);
    high = Math.max(high, x);
  }
  if (finite && high > low) return `finite, ${low.toFixed(2)} to ${high.toFixed(2)}`;
  failed = true;
  return `FAIL ${name} is not finite or all the same`;
}
const save = (name: string, tensors: Readonly<Record<string, readonly [readonly number[], Float32Array]>>): void => {
  if (values.save === undefined) return;
  mkdirSync(values.save, { recursive: true });
  writeSafetensors(
    join(values.save, name),
    Object.entries(tensors).map(([key, [shape, data]]) => ({ name: key, dtype: 'F32' as const, shape, data })),
  );
};
const noise = (seed: number, shape: readonly number[]): Float32Array => new Generator(seed).randn(shape, 'float32');
/** A smooth photo with an edge in it, [3, height, width] in [-1, 1]. */
const photo = Float32Array.from({ length: 3 * height * width }, (_, i) => {
  const [c, y, x] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width];
  return Math.hypot(x - width / 2, y - height / 2) < height / 4 ? 0.8 - 0.4 * c : Math.sin((x * (c + 1)) / 97 + y / 53) * 0.5;
});

async function pipeline(): Promise<void> {
  const dtype = chosen(['bfloat16'])[0]!,
    runtime = await openRuntime({ device });
  const whole = clock(),
    part = clock(),
    seconds: Record<string, number> = {},
    steps: number[] = [];
  let [last, frames, levels] = ['', 0, 0];
  const order = {
    checkpoint,
    adapters: [],
    referenceImages: [photo],
    prompt: 'a toy robot dances on the beach',
    negativePrompt: '',
    seed: 1,
    width,
    height,
    numFrames,
    numInferenceSteps: Number(values.steps),
    guidanceScale: 6,
    useDynamicCfg: true,
    scheduler: 'ddim',
    noiseDtype: 'bfloat16',
    runtime,
    dtype,
  } as const;
  const listener = {
    progress(phase: string, step: number, of: number): void {
      const spent = part(),
        key = last || 'start';
      seconds[key] = (seconds[key] ?? 0) + spent;
      if (phase === 'denoise' && step) steps.push(spent);
      last = phase;
      if (phase === 'decode' && step > 1) return;
      if (phase === 'decode' || phase === 'load' || (phase === 'denoise' && step === 0) || (phase === 'encode' && step === of))
        tell(`pipeline ${phase} ${step}/${of}`, `after ${s(spent)}`, { seconds: spent });
    },
    notice: (text: string): void => console.log(text),
    step: (): void => undefined,
  };
  for await (const rgb of cogvideox(order, listener, new AbortController().signal)) {
    frames++;
    levels = Math.max(levels, new Set(rgb).size);
  }
  seconds[last] = (seconds[last] ?? 0) + part();
  if (frames !== numFrames || levels < 16) failed = true;
  runtime.release();
  const all = {
    total: whole(),
    ...seconds,
    steps,
    frames,
    levels,
    dtype,
    rssMiB: Math.round(Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) / 1024),
  };
  tell(
    'pipeline',
    `${dtype} ${width}x${height}, ${frames} frames in ${s(all.total)}: encode ${s(seconds['encode'] ?? 0)}, load ${s(seconds['load'] ?? 0)}, steps ${steps.map(s).join(' ')}, decode ${s(seconds['decode'] ?? 0)}; ${levels} levels in a frame, host ${all.rssMiB} MiB${failed ? ' FAIL' : ''}`,
    all,
  );
}

async function transformer(): Promise<void> {
  const component = checkpoint.component('transformer'),
    config = parseTransformerConfig(component.config),
    T = config.max_text_seq_length,
    E = config.text_embed_dim;
  const shapes = { hidden_states: [2, 1 + F, 16, h, w], encoder_hidden_states: [2, T, E], timestep: [2] };
  const one = noise(1, [1 + F, 16, h, w]),
    data = {
      hidden_states: Float32Array.from({ length: 2 * one.length }, (_, i) => one[i % one.length]!),
      encoder_hidden_states: noise(2, shapes.encoder_hidden_states),
      timestep: Float32Array.of(499, 499),
    };
  for (const dtype of chosen(['bfloat16'])) {
    const runtime = await openRuntime({ device }),
      time = clock();
    const program = await loadProgram(
      runtime,
      component,
      g => ({
        sample: cogvideoxTransformer3d(
          g,
          config,
          g.input('hidden_states', shapes.hidden_states),
          g.input('encoder_hidden_states', shapes.encoder_hidden_states),
          g.input('timestep', shapes.timestep),
        ),
      }),
      { dtype },
    );
    const load = time();
    tell(`transformer ${dtype} load`, s(load), { seconds: load });
    const runs: number[] = [];
    let sample = new Float32Array();
    for (let i = 0; i < 3; i++) {
      const feeds = Object.fromEntries(
        Object.entries(data).map(([k, x]) => [k, runtime.tensor('float32', shapes[k as keyof typeof shapes], x)]),
      );
      time();
      const out = await program.run(feeds);
      sample = (await out['sample']!.read()) as Float32Array<ArrayBuffer>;
      runs.push(time());
      for (const t of [...Object.values(feeds), ...Object.values(out)]) t.release();
    }
    tell(`transformer ${dtype} runs`, `${T + ((1 + F) * h * w) / 4} tokens x 2, ${runs.map(s).join(' ')}, ${check('sample', sample)}`, {
      seconds: runs,
    });
    save(`transformer_${dtype}.safetensors`, {
      hidden_states: [shapes.hidden_states, data.hidden_states],
      encoder_hidden_states: [shapes.encoder_hidden_states, data.encoder_hidden_states],
      timestep: [[2], data.timestep],
      sample: [shapes.hidden_states, sample],
    });
    program.release();
    runtime.release();
  }
}

async function vae(): Promise<void> {
  const latents = noise(3, [1, 16, F, h, w]),
    shape: Shape5 = [1, 16, F, h, w];
  for (const dtype of chosen(['float16']))
    try {
      const runtime = await openRuntime({ device }),
        model = openVae(runtime, checkpoint.component('vae'), dtype),
        time = clock(),
        encodes: number[] = [],
        decodes: number[] = [];
      let mean = new Float32Array(),
        first: readonly [readonly number[], Float32Array] = [[], new Float32Array()],
        verdict = '';
      for (let i = 0; i < 2; i++) {
        mean = (await model.encode(photo, [1, 3, 1, height, width])).mean as Float32Array<ArrayBuffer>;
        encodes.push(time());
      }
      tell(`vae ${dtype} encode`, `one photo, ${encodes.map(s).join(' ')}, ${check('mean', mean)}`, { seconds: encodes });
      for (let i = 0; i < 2; i++) {
        let frames = 0;
        for await (const chunk of model.decode(latents, shape)) {
          if (!frames) first = [chunk.shape, chunk.data];
          frames += chunk.shape[2];
          if (i) verdict = check('a frame', chunk.data);
        }
        if (frames !== numFrames) failed = true;
        decodes.push(time());
      }
      tell(`vae ${dtype} decode`, `${numFrames} frames, untiled, ${decodes.map(s).join(' ')}, ${verdict}`, { seconds: decodes });
      save(`vae_${dtype}.safetensors`, {
        photo: [[1, 3, 1, height, width], photo],
        mean: [[1, 16, 1, h, w], mean],
        latents: [shape, latents],
        decode: first,
      });
      model.release();
      runtime.release();
    } catch (e) {
      failed = true;
      tell(`vae ${dtype}`, `FAIL ${e instanceof Error ? e.message : String(e)}`, { failed: String(e) });
    }
}

const parts: Readonly<Record<string, () => Promise<void>>> = { pipeline, transformer, vae };
try {
  await parts[values.part]!();
} catch (e) {
  failed = true;
  tell(values.part, `FAIL ${e instanceof Error ? e.message : String(e)}`, { failed: String(e) });
} finally {
  meter.stop();
  if (values.json) writeFileSync(values.json, JSON.stringify(told, null, 1));
}
process.exitCode = failed ? 1 : 0;
