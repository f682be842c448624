/** @file One order at a time: the others wait for their turn. */
import { TaskError } from '../../native-models/tasks.ts';

const canceled = () => new TaskError('canceled', 'canceled');

export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #all = new AbortController();

  /** Does `work` when all that came before has ended. An abort while it waits ends the waiting at once; afterwards it is the work's own affair.
   * @throws TaskError `canceled`, or what the work throws */
  async take<T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const stop = AbortSignal.any([signal, this.#all.signal]),
      before = this.#last;
    let end = (): void => undefined;
    this.#last = new Promise<void>(resolve => (end = resolve));
    let giveUp = (): void => undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        giveUp = () => reject(canceled());
        stop.addEventListener('abort', giveUp);
        if (stop.aborted) giveUp();
        void before.then(() => resolve());
      });
      stop.removeEventListener('abort', giveUp);
      if (stop.aborted) throw canceled();
      return await work(stop);
    } finally {
      stop.removeEventListener('abort', giveUp);
      void before.then(end);
    }
  }

  /** Cancels the order at work and all that wait, and does `then` when they have ended, before any that comes later. Never canceled itself: of several at a time each is done, one after the other. */
  cancel(then: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    this.#all.abort();
    this.#all = new AbortController();
    const done = this.#last.then(then);
    this.#last = done.catch(() => undefined);
    return done;
  }
}
