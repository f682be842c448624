/** @file One engine, two kinds of work: jobs, and latents that an export has decoded again. The engine takes one order at a time by itself; what is added here is that nobody is taken for stuck meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TaskError, type Decoded, type DecodeOrder, type Engine, type Told } from '../../native-models/tasks.ts';
import { StudioError } from '../contract/errors.ts';

/** How often decoding is begun anew after somebody else had the engine ended: a pause, a job that stood still. */
const most = 5;

export interface Shared {
  /** For jobs. One that waits for a film to be decoded tells of it as `load`, so that its silence is not counted. */
  readonly jobs: Engine;
  /** Begins again where the engine was ended for another's sake.
   * @throws TaskError as the engine's own; StudioError `busy` where that happens again and again */
  readonly decode: (order: DecodeOrder, on: (event: Told) => void, signal: AbortSignal) => Promise<Decoded>;
}

/** @param saying how often a waiting job says that it waits, in milliseconds */
export function shared(engine: Engine, saying = 10_000): Shared {
  const decoding = new Set<Promise<unknown>>();
  return {
    jobs: {
      ...engine,
      run: async (order, on, signal) => {
        const began = performance.now();
        const say = () => on({ type: 'progress', phase: 'load', step: 0, of: 1, seconds: (performance.now() - began) / 1000 });
        const timer = decoding.size > 0 ? setInterval(say, saying) : undefined;
        if (timer) void Promise.allSettled(decoding).then(() => clearInterval(timer));
        try {
          return await engine.run(order, on, signal);
        } finally {
          clearInterval(timer);
        }
      },
    },
    decode: async (order, on, signal) => {
      for (let n = 1; ; n++) {
        const work = engine.decode(order, on, signal);
        decoding.add(work);
        try {
          return await work;
        } catch (e) {
          if (!(e instanceof TaskError) || e.code !== 'canceled' || signal.aborted) throw e;
          if (n === most)
            throw new StudioError('busy', 'the engine was ended again and again while the latents were decoded: export it again', {
              cause: e,
            });
        } finally {
          decoding.delete(work);
        }
        await sleep(200, undefined, { signal });
      }
    },
  };
}
