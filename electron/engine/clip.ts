/** @file One work order carried out: photos in, the pipeline, frames straight into ffmpeg, and on the way a snapshot after which a killed run goes on. */
import { randomInt } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { cogvideox } from '../../native-models/pipelines/cogvideox.ts';
import {
  checkKeep,
  keepSnapshot,
  lockOutput,
  readKept,
  readSnapshot,
  removeSnapshot,
  requestKey,
  writeSnapshot,
} from '../../native-models/pipelines/snapshot.ts';
import { devices, openRuntime, type Device } from '../../native-models/runtime/device.ts';
import type { DType, Runtime } from '../../native-models/runtime/runtime.ts';
import {
  asFailure,
  given,
  TaskError,
  type ClipRequest,
  type Done,
  type GenerateOrder,
  type Phase,
  type Told,
} from '../../native-models/tasks.ts';
import { identity, openCheckpoint, type Checkpoint } from '../../native-models/weights/checkpoint.ts';
import { checkAdapter, readAdapter, type Adapter } from '../../native-models/weights/lora.ts';
import { findFfmpeg, type Ffmpeg } from '../media/ffmpeg.ts';
import { leastStart, previewJpeg, readPhoto } from '../media/photo.ts';
import { checkOut, sweepParts, writeVideo } from '../media/video-writer.ts';
import { Previews } from './previews.ts';

/** The ffmpeg that was found last: the next order need not look again. Forgotten after a failure, which may have been its own. */
let found: Promise<Ffmpeg> | undefined;

/** Makes the clip. See `carryOut` in main.ts.
 * @param onEncoder told the process id of this order's ffmpeg, and 0 when that has gone */
export async function makeClip(
  order: GenerateOrder,
  on: (event: Told) => void,
  signal: AbortSignal,
  onEncoder?: (pid: number) => void,
): Promise<Done> {
  const clock = new Clock(on);
  resetPeakRam();
  const unlock = await lockOutput(order.out);
  const looking = new AbortController();
  try {
    clock.at('load', 0, 1);
    await sweepParts(order.out);
    await checkOut(order.out);
    if (order.keepLatents !== null) checkKeep(order.out, order.keepLatents);
    const finding = (found ??= findFfmpeg(process.env, looking.signal)); // a missing ffmpeg is said before the work, not after it
    finding.catch(() => undefined);
    const checkpoint = await given(() => openCheckpoint(order.checkpoint));
    const adapters = await given(() => order.adapters.map(a => readAdapter(a.file, { scale: a.scale })));
    for (const a of adapters) await given(() => checkAdapter(a, checkpoint.component('transformer').tensors));
    for (const notice of adapters.flatMap(a => a.notices)) on({ type: 'notice', text: notice });
    const referenceImages = await given(() => Promise.all(order.referenceImages.map(file => readPhoto(file, order))));
    const startImage =
      order.startImage === null ? undefined : await given(() => readPhoto(order.startImage!, { ...order, least: leastStart }));
    const ffmpeg = await finding;
    const runtime = await openRuntime({ device: order.device, ...(order.threads !== null && { threads: order.threads }) });
    const meter = runtime.inUse && new Meter(() => runtime.inUse!());
    try {
      const dtype = dtypeOf(order, runtime, checkpoint);
      const checkpointSha256 = order.checkpointSha256 ?? (await given(() => identity(checkpoint, signal)));
      const request = await given(() => describeRequest(order, checkpointSha256, adapters, { device: runtime.device, dtype }, signal));
      const key = requestKey({ ...request, fps: undefined }); // how fast it is shown does not change a latent
      const own = readSnapshot(order.out, key, order.seed),
        resume = own ?? (order.keepLatents !== null ? readKept(order.keepLatents, key, order.seed) : undefined),
        resumedFrom = resume?.step;
      const seed = resume?.seed ?? order.seed ?? randomInt(2 ** 32);
      if (resume) on({ type: 'notice', text: `going on after step ${resume.step} of ${order.numInferenceSteps} (seed ${seed})` });

      let saved = performance.now(),
        stepsRun = 0;
      const previews = new Previews(order);
      const failed = new AbortController();
      const frames = cogvideox(
        {
          ...order,
          checkpoint,
          adapters,
          referenceImages,
          startImage,
          seed,
          runtime,
          dtype,
          resume,
          tiling: order.vaeTiling ? {} : undefined,
        },
        {
          progress(phase, step, of) {
            if (phase === 'denoise') previews.begin(performance.now());
            clock.at(phase, step, of);
          },
          notice: text => on({ type: 'notice', text }),
          async step(step, snapshot, preview) {
            stepsRun++;
            const last = step === order.numInferenceSteps;
            if (last || performance.now() - saved > 1000) {
              writeSnapshot(order.out, key, snapshot());
              saved = performance.now();
              on({ type: 'snapshot', step });
            }
            const from = performance.now();
            if (previews.due(step, from)) {
              const rgb = await preview();
              on({ type: 'preview', step, jpeg: Buffer.from(await previewJpeg(rgb, order.width, order.height)).toString('base64') });
              previews.made(from, performance.now());
            }
          },
        },
        AbortSignal.any([signal, failed.signal]),
      );
      try {
        await writeVideo({
          ...order,
          ffmpeg,
          frames: clock.through(frames, order.numFrames),
          request: { ...request, seed, ...(order.note && { studio: order.note }) },
          signal,
          ...(onEncoder && { onEncoder }),
        });
      } finally {
        failed.abort(); // where ffmpeg has gone, the pipeline is in the middle of a step, which needs the runtime
        await frames.return(undefined).catch(() => undefined);
      }
      if (order.keepLatents !== null && (own || stepsRun > 0)) keepSnapshot(order.out, order.keepLatents);
      try {
        removeSnapshot(order.out);
      } catch (e) {
        on({ type: 'notice', text: `the clip is there, but its snapshot beside it could not be removed: ${asFailure(e).text}` });
      }
      clock.at('export', order.numFrames, order.numFrames);
      return {
        type: 'done',
        out: order.out,
        seed,
        width: order.width,
        height: order.height,
        numFrames: order.numFrames,
        bytes: statSync(order.out).size,
        checkpointSha256,
        device: runtime.device,
        ...(resumedFrom !== undefined && { resumedFrom }),
        stepsRun,
        timings: clock.timings(),
        seconds: clock.seconds(),
        peakMemory: { ram: peakRam(), ...(meter && { device: meter.peak }) },
      };
    } finally {
      meter?.stop();
      runtime.release();
    }
  } catch (e) {
    looking.abort();
    await found?.catch(() => undefined);
    found = undefined;
    throw e;
  } finally {
    unlock();
  }
}

/** The most that is in use, looked at ten times a second. */
class Meter {
  peak = 0;
  readonly #timer: NodeJS.Timeout;
  constructor(inUse: () => number) {
    this.#timer = setInterval(() => (this.peak = Math.max(this.peak, inUse())), 100);
  }
  stop(): void {
    clearInterval(this.#timer);
  }
}

/** Begins anew to watch for the most memory that this process holds, where the system lets it (Linux). */
function resetPeakRam(): void {
  try {
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {
    // elsewhere it is the most since the process began
  }
}
/** The most bytes of memory that this process held at a time. */
function peakRam(): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))![1]) * 1024;
  } catch {
    return process.resourceUsage().maxRSS * 1024;
  }
}

/** What an order is computed in.
 * @throws TaskError `badRequest` where the device has no such numbers */
export function dtypeOf({ precision }: Pick<GenerateOrder, 'precision'>, runtime: Runtime, checkpoint: Checkpoint): DType {
  const dtype = precision !== 'auto' ? precision : runtime.device === 'cpu' ? 'float32' : storedDtype(checkpoint);
  if (devices[runtime.device as Device].dtypes.includes(dtype)) return dtype;
  throw new TaskError('badRequest', `--precision ${dtype} is not computed on ${runtime.device}: leave it out, or use float32`);
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
  checkpointSha256: string,
  adapters: readonly Adapter[],
  computed: { device: string; dtype: string },
  signal: AbortSignal,
): Promise<ClipRequest> {
  const named = async (file: string, sha256?: string | null) => ({
    name: basename(file),
    sha256: sha256 ?? (await identity(file, signal)),
  });
  return {
    application: 'protagonist',
    version: 1,
    ...Object.fromEntries(remembered.map(setting => [setting, order[setting]])),
    ...computed,
    checkpoint: { name: basename(resolve(order.checkpoint)), sha256: checkpointSha256 },
    adapters: await Promise.all(adapters.map(async (a, i) => ({ ...(await named(a.file, order.adapters[i]!.sha256)), scale: a.scale }))),
    referenceImages: await Promise.all(order.referenceImages.map(file => named(file))),
    ...(order.startImage !== null && { startImage: await named(order.startImage) }), // without one it is the key that it always was
  };
}

/** Seconds by phase, and progress events with an estimate from the phase's own pace. */
export class Clock {
  readonly #begin = performance.now();
  readonly #on: (event: Told) => void;
  readonly #spent: Partial<Record<Phase, number>> = {};
  #phase: Phase = 'load';
  #since = this.#begin;
  #from = { step: 0, at: this.#begin };

  constructor(on: (event: Told) => void) {
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
      seconds: this.seconds(),
      ...(pace !== undefined && { remaining: pace * (of - step) }),
    });
  }

  /** The frames on their way out; after the last one the file is being finished. */
  async *through(frames: AsyncIterable<Uint8Array>, of: number): AsyncGenerator<Uint8Array> {
    yield* frames;
    this.at('export', 0, of);
  }

  /** Seconds since the order began. */
  seconds(): number {
    return (performance.now() - this.#begin) / 1000;
  }

  timings(): Record<Phase, number> {
    return { load: 0, encode: 0, denoise: 0, decode: 0, export: 0, ...this.#spent };
  }
}
