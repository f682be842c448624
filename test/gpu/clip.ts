/** @file A Toybox clip on a GPU beside the CPU's, and one that begins with a start image: `node test/gpu/clip.ts [--device cuda] [--dtypes float16,bfloat16] [--photo FILE] [--start-image FILE] [--steps N] [--json FILE] CHECKPOINT`.
 * The same seed, photo, prompt and adapter; the frames are compared before they are compressed: PSNR over all of them, and of the worst one.
 * Status 0 if float16 is at least 40 dB from the CPU's float32; bfloat16 is only told. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readPhoto } from '../../electron/media/photo.ts';
import { cogvideox, type Clip } from '../../native-models/pipelines/cogvideox.ts';
import { recommendations } from '../../native-models/pipelines/recommended.ts';
import { openRuntime, type Device } from '../../native-models/runtime/device.ts';
import type { DType } from '../../native-models/runtime/runtime.ts';
import { openCheckpoint } from '../../native-models/weights/checkpoint.ts';
import { readAdapter } from '../../native-models/weights/lora.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: 'string', default: 'cuda' },
    dtypes: { type: 'string', default: 'float32,float16,bfloat16' },
    photo: { type: 'string', default: join(import.meta.dirname, '../support/photo.png') },
    'start-image': { type: 'string', default: join(import.meta.dirname, '../support/photo.png') },
    prompt: { type: 'string', default: 'the toy jumps up and down on the beach' },
    steps: { type: 'string' },
    json: { type: 'string' },
  },
});
const checkpoint = openCheckpoint(positionals[0]!);
const { width, height, numFrames, numInferenceSteps, guidanceScale, scheduler, adapter } = recommendations(checkpoint);
const settings: Omit<Clip, 'runtime' | 'dtype'> = {
  checkpoint,
  adapters: adapter === undefined ? [] : [readAdapter(adapter)],
  referenceImages: [await readPhoto(values.photo, { width, height, fit: 'contain' })],
  prompt: values.prompt,
  negativePrompt: '',
  seed: 1,
  width,
  height,
  numFrames,
  numInferenceSteps: Number(values.steps ?? numInferenceSteps),
  guidanceScale,
  useDynamicCfg: false,
  scheduler,
  noiseDtype: 'float32',
};

/** The frames of the clip, and the seconds they took. */
async function clip(
  device: Device,
  dtype: DType,
  startImage: Float32Array | undefined,
): Promise<{ frames: Uint8Array[]; seconds: number }> {
  const runtime = await openRuntime({ device }),
    begin = performance.now();
  try {
    const listener = { progress: () => undefined, notice: () => undefined, step: () => undefined };
    const frames = await Array.fromAsync(cogvideox({ ...settings, startImage, runtime, dtype }, listener, new AbortController().signal));
    return { frames, seconds: (performance.now() - begin) / 1000 };
  } finally {
    runtime.release();
  }
}

/** Peak signal-to-noise ratio in dB; Infinity where nothing differs. */
function psnr(pairs: readonly (readonly [Uint8Array, Uint8Array])[]): number {
  let squares = 0,
    n = 0;
  for (const [a, b] of pairs) {
    n += a.length;
    for (let i = 0; i < a.length; i++) squares += (a[i]! - b[i]!) ** 2;
  }
  return 10 * Math.log10((255 ** 2 * n) / squares);
}

interface Row {
  readonly begins: 'with noise' | 'with a start image';
  readonly dtype: DType;
  readonly psnr?: number;
  readonly worst?: number;
  readonly seconds?: number;
  readonly passed: boolean;
  readonly why?: string;
}
const rows: Row[] = [];
const cpuSeconds: number[] = [];
for (const [begins, startImage] of [
  ['with noise', undefined],
  ['with a start image', await readPhoto(values['start-image'], { width, height, fit: 'cover' })],
] as const) {
  const judge = await clip('cpu', 'float32', startImage);
  cpuSeconds.push(judge.seconds);
  const spread = Math.sqrt(
    judge.frames.reduce((s, f) => s + f.reduce((t, x) => t + (x - 127.5) ** 2, 0), 0) / judge.frames.reduce((n, f) => n + f.length, 0),
  );
  console.log(
    `${begins}, cpu float32: ${judge.frames.length} frames ${width}x${height}, ${settings.numInferenceSteps} steps, ${judge.seconds.toFixed(1)} s, levels ${spread.toFixed(0)} from grey on average`,
  );
  for (const dtype of values.dtypes.split(',') as DType[])
    try {
      const { frames, seconds } = await clip(values.device as Device, dtype, startImage);
      if (frames.length !== judge.frames.length) throw new Error(`${frames.length} frames instead of ${judge.frames.length}`);
      const pairs = frames.map((f, i) => [f, judge.frames[i]!] as const),
        all = psnr(pairs),
        worst = Math.min(...pairs.map(p => psnr([p])));
      const passed = dtype !== 'float16' || all >= 40;
      rows.push({ begins, dtype, psnr: all, worst, seconds, passed });
      console.log(
        `${passed ? 'ok  ' : 'FAIL'} ${begins}, ${values.device} ${dtype}: ${all.toFixed(1)} dB to the CPU's, worst frame ${worst.toFixed(1)} dB, first ${psnr([pairs[0]!]).toFixed(1)} dB, ${seconds.toFixed(1)} s`,
      );
    } catch (e) {
      const why = e instanceof Error ? e.message : String(e);
      rows.push({ begins, dtype, passed: false, why });
      console.log(`FAIL ${begins}, ${values.device} ${dtype}: ${why}`);
    }
}
if (values.json)
  writeFileSync(
    values.json,
    JSON.stringify({ frames: numFrames, width, height, steps: settings.numInferenceSteps, cpuSeconds, rows }, null, 1),
  );
process.exitCode = rows.every(r => r.passed) ? 0 : 1;
