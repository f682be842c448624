/** @file One work order carried out: photos in, the pipeline, frames straight into ffmpeg, and on the way a snapshot after which a killed run goes on. */
import { randomInt } from 'node:crypto';
import { basename } from 'node:path';
import { cogvideox } from '../../native-models/pipelines/cogvideox.ts';
import { lockOutput, readSnapshot, removeSnapshot, requestKey, writeSnapshot } from '../../native-models/pipelines/snapshot.ts';
import { devices, openRuntime, type Device } from '../../native-models/runtime/device.ts';
import { given, TaskError, type ClipRequest, type EngineEvent, type GenerateOrder, type Phase } from '../../native-models/tasks.ts';
import { identity, openCheckpoint, type Checkpoint } from '../../native-models/weights/checkpoint.ts';
import { checkAdapter, readAdapter, type Adapter } from '../../native-models/weights/lora.ts';
import { findFfmpeg } from '../media/ffmpeg.ts';
import { previewJpeg, readPhoto } from '../media/photo.ts';
import { checkOut, sweepParts, writeVideo } from '../media/video-writer.ts';

/** Makes the clip. See `execute` in main.ts. */
export async function makeClip(
  order: GenerateOrder,
  on: (event: EngineEvent) => void,
  signal: AbortSignal,
): Promise<Extract<EngineEvent, { type: 'done' }>> {
  const clock = new Clock(on);
  const unlock = await lockOutput(order.out);
  try {
    clock.at('load', 0, 1);
    await sweepParts(order.out);
    await checkOut(order.out);
    const finding = findFfmpeg(); // a missing ffmpeg is said before the work, not after it
    finding.catch(() => undefined);
    const checkpoint = await given(() => openCheckpoint(order.checkpoint));
    const adapters = await given(() => order.adapters.map(a => readAdapter(a.file, { scale: a.scale })));
    for (const a of adapters) await given(() => checkAdapter(a, checkpoint.component('transformer').tensors));
    for (const notice of adapters.flatMap(a => a.notices)) on({ type: 'notice', text: notice });
    const referenceImages = await given(() => Promise.all(order.referenceImages.map(file => readPhoto(file, order))));
    const ffmpeg = await finding;
    const runtime = await openRuntime({ device: order.device, ...(order.threads !== null && { threads: order.threads }) });
    try {
      const dtype = order.precision !== 'auto' ? order.precision : runtime.device === 'cpu' ? 'float32' : storedDtype(checkpoint);
      if (!devices[runtime.device as Device].dtypes.includes(dtype))
        throw new TaskError('badRequest', `--precision ${dtype} is not computed on ${runtime.device}: leave it out, or use float32`);
      const request = await given(() => describeRequest(order, checkpoint, adapters, { device: runtime.device, dtype }));
      const key = requestKey(request);
      const resume = readSnapshot(order.out, key, order.seed);
      const seed = resume?.seed ?? order.seed ?? randomInt(2 ** 32);
      if (resume) on({ type: 'notice', text: `going on after step ${resume.step} of ${order.numInferenceSteps} (seed ${seed})` });

      let saved = performance.now(),
        seen = performance.now();
      const failed = new AbortController();
      const frames = cogvideox(
        { ...order, checkpoint, adapters, referenceImages, seed, runtime, dtype, resume, tiling: order.vaeTiling ? {} : undefined },
        {
          progress: (phase, step, of) => clock.at(phase, step, of),
          notice: text => on({ type: 'notice', text }),
          async step(step, snapshot, preview) {
            const last = step === order.numInferenceSteps;
            if (last || performance.now() - saved > 1000) {
              writeSnapshot(order.out, key, snapshot());
              saved = performance.now();
            }
            if (!last && order.previewSeconds > 0 && performance.now() - seen > order.previewSeconds * 1000) {
              const rgb = await preview();
              on({ type: 'preview', step, jpeg: Buffer.from(await previewJpeg(rgb, order.width, order.height)).toString('base64') });
              seen = performance.now();
            }
          },
        },
        AbortSignal.any([signal, failed.signal]),
      );
      try {
        await writeVideo({ ...order, ffmpeg, frames: clock.through(frames, order.numFrames), request: { ...request, seed }, signal });
      } finally {
        failed.abort(); // where ffmpeg has gone, the pipeline is in the middle of a step, which needs the runtime
        await frames.return(undefined).catch(() => undefined);
      }
      removeSnapshot(order.out);
      return clock.done(order, seed, runtime.device, resume?.step);
    } finally {
      runtime.release();
    }
  } finally {
    unlock();
  }
}

/** What the transformer's weights are stored in; float32 ones are computed in bfloat16 where there is a choice. */
function storedDtype(checkpoint: Checkpoint): 'float16' | 'bfloat16' {
  for (const t of checkpoint.component('transformer').tensors.values()) return t.dtype === 'F16' ? 'float16' : 'bfloat16';
  throw new TaskError('badFile', `${checkpoint.dir} has an empty transformer`);
}

/** The settings that decide what a clip looks like: what it remembers, and by what a snapshot is known again. */
const remembered = [
  'prompt',
  'negativePrompt',
  'numInferenceSteps',
  'guidanceScale',
  'useDynamicCfg',
  'scheduler',
  'numFrames',
  'width',
  'height',
  'fps',
  'fit',
  'noiseDtype',
  'vaeTiling',
] as const satisfies readonly (keyof GenerateOrder)[];

/** The request as the clip remembers it: every setting but the seed, base names and content hashes for files, no path. */
async function describeRequest(
  order: GenerateOrder,
  checkpoint: Checkpoint,
  adapters: readonly Adapter[],
  computed: { device: string; dtype: string },
): Promise<ClipRequest> {
  return {
    application: 'protagonist',
    version: 1,
    ...Object.fromEntries(remembered.map(setting => [setting, order[setting]])),
    ...computed,
    checkpoint: { name: basename(checkpoint.dir), sha256: await identity(checkpoint) },
    adapters: await Promise.all(adapters.map(async a => ({ name: basename(a.file), sha256: await identity(a.file), scale: a.scale }))),
    referenceImages: await Promise.all(order.referenceImages.map(async file => ({ name: basename(file), sha256: await identity(file) }))),
  };
}

/** Seconds by phase, and progress events with an estimate from the phase's own pace. */
class Clock {
  readonly #begin = performance.now();
  readonly #on: (event: EngineEvent) => void;
  readonly #spent: Partial<Record<Phase, number>> = {};
  #phase: Phase = 'load';
  #since = this.#begin;
  #from = { step: 0, at: this.#begin };

  constructor(on: (event: EngineEvent) => void) {
    this.#on = on;
  }

  at(phase: Phase, step: number, of: number): void {
    const now = performance.now();
    this.#spent[this.#phase] = (this.#spent[this.#phase] ?? 0) + (now - this.#since) / 1000;
    this.#since = now;
    if (phase !== this.#phase) {
      this.#phase = phase;
      this.#from = { step, at: now };
    }
    const pace = step > this.#from.step ? (now - this.#from.at) / 1000 / (step - this.#from.step) : undefined;
    this.#on({
      type: 'progress',
      phase,
      step,
      of,
      seconds: (now - this.#begin) / 1000,
      ...(pace !== undefined && { remaining: pace * (of - step) }),
    });
  }

  /** The frames on their way out; after the last one the file is being finished. */
  async *through(frames: AsyncIterable<Uint8Array>, of: number): AsyncGenerator<Uint8Array> {
    yield* frames;
    this.at('export', 0, of);
  }

  done(order: GenerateOrder, seed: number, device: string, resumedFrom: number | undefined): Extract<EngineEvent, { type: 'done' }> {
    this.at('export', order.numFrames, order.numFrames);
    const timings = { load: 0, encode: 0, denoise: 0, decode: 0, export: 0, ...this.#spent };
    return {
      type: 'done',
      out: order.out,
      seed,
      timings,
      seconds: (performance.now() - this.#begin) / 1000,
      device,
      ...(resumedFrom !== undefined && { resumedFrom }),
    };
  }
}
