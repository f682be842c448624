/** @file Kept latents decoded once more, into a film without loss: what masters are exported from. */
import { existsSync } from 'node:fs';
import { decodeLatents } from '../../native-models/pipelines/cogvideox.ts';
import { readLatents } from '../../native-models/pipelines/snapshot.ts';
import { openRuntime } from '../../native-models/runtime/device.ts';
import { given, TaskError, type Decoded, type DecodeOrder, type Told } from '../../native-models/tasks.ts';
import { openCheckpoint } from '../../native-models/weights/checkpoint.ts';
import { exportVideo } from '../media/export.ts';
import { fractionOf } from '../media/presets.ts';
import { Clock, dtypeOf } from './clip.ts';

/** Decodes the latents. See `carryOut` in main.ts.
 * @param onEncoder told the process id of this order's ffmpeg, and 0 when that has gone
 * @throws TaskError `badRequest` where something lies at `out` already; `badFile` for latents or a checkpoint that cannot be used, or do not belong together */
export async function decode(
  order: DecodeOrder,
  on: (event: Told) => void,
  signal: AbortSignal,
  onEncoder?: (pid: number) => void,
): Promise<Decoded> {
  const clock = new Clock(on);
  clock.at('load', 0, 1);
  if (existsSync(order.out)) throw new TaskError('badRequest', `${order.out} is there already: choose another name`);
  const latents = readLatents(order.latents);
  const checkpoint = await given(() => openCheckpoint(order.checkpoint));
  const runtime = await openRuntime({ device: order.device, ...(order.threads !== null && { threads: order.threads }) });
  try {
    const failed = new AbortController();
    const frames = decodeLatents(
      { ...order, checkpoint, runtime, latents, dtype: dtypeOf(order, runtime, checkpoint), tiling: order.vaeTiling ? {} : undefined },
      { progress: (phase, step, of) => clock.at(phase, step, of) },
      AbortSignal.any([signal, failed.signal]),
    );
    try {
      const { bytes } = await exportVideo({
        source: { ...order, frames: clock.through(frames, order.numFrames), rate: fractionOf(order.fps) },
        preset: 'lossless',
        out: order.out,
        signal,
        ...(onEncoder && { onEncoder }),
      });
      clock.at('export', order.numFrames, order.numFrames);
      return { type: 'decoded', out: order.out, bytes, seconds: clock.seconds() };
    } finally {
      failed.abort(); // where ffmpeg has gone, the decoder is in the middle of a chunk, which needs the runtime
      await frames.return(undefined).catch(() => undefined);
    }
  } finally {
    runtime.release();
  }
}
