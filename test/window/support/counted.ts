/** @file A library of clips in which every frame says which it is, through the real encoder: red counts the frames, green tells the clips apart. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { api } from '../../../electron/contract/api.ts';
import type { ClipId } from '../../../electron/contract/ids.ts';
import { client, inProcess } from '../../../electron/contract/rpc.ts';
import { clipEngine } from '../../../electron/cli/engine.ts';
import { lookAtMachine } from '../../../electron/cli/machine.ts';
import { known, samples, toybox } from '../../../electron/cli/toybox.ts';
import { findFfmpeg, type Ffmpeg } from '../../../electron/media/ffmpeg.ts';
import { writeVideo } from '../../../electron/media/video-writer.ts';
import { startStudio } from '../../../electron/studio/studio.ts';
import type { Engine } from '../../../native-models/tasks.ts';
import { root, sleep } from '../../support/run.ts';

/** What frame `n` of a clip with that seed is painted with. */
export const colourOf = (seed: number, n: number): [red: number, green: number, blue: number] => [8 + 4 * n, 40 * (seed % 6) + 10, 128];
/** Which frame a colour is, and of which seed (of 0 to 5), as near as it is to any. */
export const frameOf = ([red, green]: readonly [number, number, ...number[]]): { n: number; seed: number } => ({
  n: Math.max(0, Math.round((red - 8) / 4)),
  seed: Math.round((green - 10) / 40),
});

async function* painted(
  { width, height, numFrames }: { width: number; height: number; numFrames: number },
  seed: number,
): AsyncGenerator<Uint8Array> {
  for (let n = 0; n < numFrames; n++) {
    yield await Promise.resolve(Buffer.alloc(width * height * 3, Buffer.from(colourOf(seed, n))));
  }
}

/** An engine that paints such frames at once. */
function counter(): Pick<Engine, 'run' | 'decode' | 'close'> {
  let ffmpeg: Promise<Ffmpeg> | undefined;
  return {
    run: async (order, on, signal) => {
      const seed = order.seed ?? 1;
      on({ type: 'progress', phase: 'denoise', step: 1, of: 1, seconds: 0.01 });
      await writeVideo({
        ...order,
        ffmpeg: await (ffmpeg ??= findFfmpeg()),
        frames: painted(order, seed),
        request: { prompt: order.prompt, seed, studio: order.note },
        signal,
      });
      if (order.keepLatents !== null) writeFileSync(order.keepLatents, Buffer.alloc(1000));
      const { out, width, height, numFrames, checkpointSha256 } = order;
      return {
        type: 'done', out, seed, width, height, numFrames, bytes: statSync(out).size, checkpointSha256: checkpointSha256 ?? '0'.repeat(64), device: 'cpu', stepsRun: 1,
        timings: { load: 0.2, encode: 0.4, denoise: 6.1, decode: 1.3, export: 0.2 }, seconds: 8.2, peakMemory: { ram: 1e8 },
      }; // prettier-ignore
    },
    decode: () => Promise.reject(new Error('nothing is decoded here')),
    close: () => Promise.resolve(),
  };
}

export interface Wanted {
  readonly seed: number;
  readonly fps: number;
  readonly numFrames: number;
  readonly width?: number;
  readonly height?: number;
  readonly prompt?: string;
  readonly steps?: number;
}
/** Makes a library with these clips.
 * @returns their ids, in the order in which they were asked for */
export async function countedLibrary(home: string, wanted: readonly Wanted[]): Promise<ClipId[]> {
  const verifier = clipEngine(1);
  const studio = await startStudio({
    home,
    version: (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version,
    engine: { ...counter(), verify: (...order) => verifier.verify(...order) },
    verifier,
    embedded: [{ name: 'Toybox', path: toybox }],
    known: known(),
    samples: samples(),
    machine: lookAtMachine,
    hub: { endpoint: 'http://127.0.0.1:1', token: undefined },
    can: { paths: true, dragOut: false, reveal: false, pickFolder: false },
  });
  try {
    const library = client(api, inProcess(studio.answer, studio.subscribe));
    const {
      subjects: [subject],
    } = await library.subjects.addSamples(undefined);
    await library.settings.edit({ welcomed: true, keepLatents: false });
    const ids: string[] = [];
    for (const {
      seed,
      fps,
      numFrames,
      width = 64,
      height = 48,
      prompt = `@${subject!.handle} counts to ${numFrames}.`,
      steps = 2,
    } of wanted) {
      const { jobs } = await library.jobs.enqueue({
        request: { prompt, seed, fps, numFrames, width, height, subjects: [subject!.id], numInferenceSteps: steps },
      });
      ids.push(jobs[0]!.id);
    }
    await library.queue.start(undefined);
    const clips: ClipId[] = [];
    for (const id of ids)
      for (;;) {
        const { clipId, status, failure } = await library.jobs.show({ id: id as 'j1' });
        if (clipId) {
          clips.push(clipId);
          break;
        }
        if (status === 'failed') throw new Error(failure?.text);
        await sleep(20);
      }
    return clips;
  } finally {
    await studio.close();
  }
}
