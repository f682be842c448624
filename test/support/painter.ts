/** @file An engine that paints grey frames at once instead of computing: the real encoder, the real files, the real events. For tests in which what is painted does not matter. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { exportVideo } from '../../electron/media/export.ts';
import { findFfmpeg, type Ffmpeg } from '../../electron/media/ffmpeg.ts';
import { writeVideo } from '../../electron/media/video-writer.ts';
import { TaskError, type Engine } from '../../native-models/tasks.ts';

/** As many frames as asked for, all of one grey. */
async function* grey(
  { width, height, numFrames }: { width: number; height: number; numFrames: number },
  level: number,
): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < numFrames; i++) {
    await Promise.resolve();
    yield Buffer.alloc(width * height * 3, level);
  }
}

/** @param most frames times pixels beyond which it says that there is not enough memory */
export function painter(most = 17 * 128 * 128): Pick<Engine, 'run' | 'decode' | 'close'> {
  let ffmpeg: Promise<Ffmpeg> | undefined,
    closing = new AbortController(),
    last: Promise<unknown> = Promise.resolve();
  const paint: Engine['run'] = async (order, on, given) => {
    const signal = AbortSignal.any([given, closing.signal]);
    const stopped = () => {
      if (signal.aborted) throw new TaskError('canceled', 'canceled');
    };
    stopped();
    const { width, height, numFrames, seed } = order,
      drawn = seed ?? 1;
    if (width * height * numFrames > most) throw new TaskError('outOfMemory', 'there is not enough memory for this clip: make it smaller or shorter');
    for (let step = 0; step <= 3; step++) {
      on({ type: 'progress', phase: 'denoise', step, of: 3, seconds: step / 100 });
      await sleep(3);
      stopped();
    }
    await writeVideo({ ...order, ffmpeg: await (ffmpeg ??= findFfmpeg()), frames: grey(order, drawn), request: { prompt: order.prompt, seed: drawn, studio: order.note }, signal }).catch((e: unknown) => {
      stopped();
      throw e;
    });
    if (order.keepLatents !== null) writeFileSync(order.keepLatents, Buffer.alloc(1000, drawn));
    const timings = { load: 0.01, encode: 0.01, denoise: 0.03, decode: 0.02, export: 0.02 };
    return {
      type: 'done', out: order.out, seed: drawn, width, height, numFrames, bytes: statSync(order.out).size, checkpointSha256: order.checkpointSha256 ?? '0'.repeat(64), device: 'cpu', stepsRun: 3, timings, seconds: 0.1,
      peakMemory: { ram: 1e8 },
    }; // prettier-ignore
  };
  const decode: Engine['decode'] = async (order, _, given) => {
    const signal = AbortSignal.any([given, closing.signal]),
      source = { ...order, frames: grey(order, readFileSync(order.latents)[0]!), rate: [order.fps, 1] as const };
    const { bytes } = await exportVideo({ source, preset: 'lossless', out: order.out, ffmpeg: await (ffmpeg ??= findFfmpeg()), signal }).catch((e: unknown) => {
      throw signal.aborted ? new TaskError('canceled', 'canceled') : e;
    });
    return { type: 'decoded', out: order.out, bytes, seconds: 0.1 };
  };
  return {
    decode,
    run: (order, on, signal) => {
      const mine = last.then(() => paint(order, on, signal));
      last = mine.catch(() => undefined);
      return mine;
    },
    close: async () => {
      closing.abort();
      await last;
      closing = new AbortController();
    },
  };
} // prettier-ignore
