/** @file An engine that paints grey frames at once instead of computing: the real encoder, the real files, the real events. For tests in which what is painted does not matter. */
import { statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { findFfmpeg, type Ffmpeg } from '../../electron/media/ffmpeg.ts';
import { writeVideo } from '../../electron/media/video-writer.ts';
import { TaskError, type Engine } from '../../native-models/tasks.ts';

/** @param most frames times pixels beyond which it says that there is not enough memory */
export function painter(most = 17 * 128 * 128): Pick<Engine, 'run' | 'close'> {
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
    const grey = Buffer.alloc(width * height * 3, drawn % 256);
    const frames = (async function* () {
      for (let i = 0; i < numFrames; i++) {
        await Promise.resolve();
        yield grey;
      }
    })();
    await writeVideo({ ...order, ffmpeg: await (ffmpeg ??= findFfmpeg()), frames, request: { prompt: order.prompt, seed: drawn, studio: order.note }, signal }).catch((e: unknown) => {
      stopped();
      throw e;
    });
    if (order.keepLatents !== null) writeFileSync(order.keepLatents, Buffer.alloc(1000, 1));
    const timings = { load: 0.01, encode: 0.01, denoise: 0.03, decode: 0.02, export: 0.02 };
    return {
      type: 'done', out: order.out, seed: drawn, width, height, numFrames, bytes: statSync(order.out).size, checkpointSha256: order.checkpointSha256 ?? '0'.repeat(64), device: 'cpu', stepsRun: 3, timings, seconds: 0.1,
      peakMemory: { ram: 1e8 },
    }; // prettier-ignore
  };
  return {
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
