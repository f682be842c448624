/** @file An engine in a process of its own, kept for the next order: start, events, cancel, replacement, and an end that leaves neither it nor its ffmpeg behind. */
import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import {
  asFailure,
  engineMessage,
  TaskError,
  type Decoded,
  type DecodeOrder,
  type Done,
  type Engine,
  type EngineRequest,
  type ErrorCode,
  type GenerateOrder,
  type Told,
  type Verified,
  type VerifyOrder,
} from '../../native-models/tasks.ts';
import { Turns } from './turns.ts';

/** How long an engine may take to stop between two steps before it is killed, in milliseconds. */
const patience = 10_000;
/** The same when it is to be closed: enough to leave no file behind where nothing blocks it. */
const closing = 500;

/** Failures after which a process goes on as before. After any other it is replaced: an error on a device leaves a context in which nothing works, be it but a lack of memory that has passed. */
const harmless: ReadonlySet<ErrorCode> = new Set(['canceled', 'badRequest', 'badFile', 'noSpace', 'busy']);

type Order = GenerateOrder | VerifyOrder | DecodeOrder;
type Found = Done | Verified | Decoded;

/** An engine in a process made by `spawn`, with an IPC channel and its standard error piped. A crash or an exhausted memory ends that process alone, and its end gives all memory back, on the GPU too.
 * The process starts with the first order, takes one after the other (what it has imported, found and hashed stays), and ends when it has been idle for `idleSeconds`, 0 being at once; an idle one
 * keeps nobody's event loop alive. One engine is one process: to verify while a clip is made, have two. */
export function processEngine(spawn: () => ChildProcess, { idleSeconds = 60 }: { idleSeconds?: number } = {}): Engine {
  const turns = new Turns();
  let living: EngineProcess | undefined,
    ended: Promise<unknown> = Promise.resolve(), // of the processes before
    idle: NodeJS.Timeout | undefined;

  const end = (): void => {
    const dying = living;
    living = undefined;
    ended = Promise.all([ended, dying?.end()]);
  };
  const start = (): EngineProcess => {
    try {
      const made = new EngineProcess(spawn(), () => {
        if (living === made) end();
      });
      return made;
    } catch (e) {
      throw notStarted(e);
    }
  };
  const carryOut = (order: Order, on: (event: Told) => void, signal: AbortSignal): Promise<Found> =>
    turns.take(signal, async stop => {
      clearTimeout(idle);
      await ended; // what it held is free
      if (stop.aborted) throw new TaskError('canceled', 'canceled');
      let keep = false;
      try {
        living ??= start();
        const found = await living.carryOut(order, on, stop);
        keep = true;
        return found;
      } catch (e) {
        keep = harmless.has(asFailure(e).code);
        throw e;
      } finally {
        if (keep && idleSeconds > 0) idle = setTimeout(end, idleSeconds * 1000).unref();
        else {
          end();
          await ended;
        }
      }
    });
  return {
    run: (order, on, signal) => carryOut(order, on, signal) as Promise<Done>,
    verify: (order, on, signal) => carryOut(order, on, signal) as Promise<Verified>,
    decode: (order, on, signal) => carryOut(order, on, signal) as Promise<Decoded>,
    async close() {
      const late = setTimeout(end, closing);
      try {
        await turns.cancel(async () => {
          clearTimeout(late); // before another order's process lives
          clearTimeout(idle);
          end();
          await ended;
        });
      } finally {
        clearTimeout(late);
      }
    },
  };
}

/** What is under way in a process. */
interface Working {
  readonly task: Order['task'];
  readonly on: (event: Told) => void;
  readonly signal: AbortSignal;
  resolve(found: Found): void;
  reject(error: unknown): void;
}

class EngineProcess {
  /** When it has gone and with it its ffmpeg, which holds an end of the pipe that is its standard error. */
  readonly #gone: Promise<void>;
  readonly #child: ChildProcess;
  readonly #onEnd: () => void;
  #encoder = 0;
  #working: Working | undefined;
  #stderr = '';

  /** @param onEnd called as soon as nothing more can be asked of it, perhaps more than once */
  constructor(child: ChildProcess, onEnd: () => void) {
    this.#child = child;
    this.#onEnd = onEnd;
    let failure: TaskError | undefined;
    child.stderr?.on('data', (text: Buffer) => (this.#stderr = (this.#stderr + text.toString()).slice(-4000)));
    child.on('message', message => this.#hear(message));
    child.on('disconnect', onEnd);
    this.#gone = new Promise(resolve => {
      const gone = (how: string): void => {
        const working = this.#working;
        this.#working = undefined;
        working?.reject(
          working.signal.aborted ? new TaskError('canceled', 'canceled') : (failure ?? died(working.task, how, this.#stderr)),
        );
        onEnd();
        resolve();
      };
      child.on('error', e => {
        failure = notStarted(e);
        if (child.pid === undefined) gone('');
      });
      child.on('exit', () => this.#endEncoder());
      child.on('close', (code, by) => gone(by ?? `exit ${code ?? 'unknown'}`));
    });
  }

  /** @throws TaskError; or what `on` throws, and then the process is ended */
  async carryOut(order: Order, on: (event: Told) => void, signal: AbortSignal): Promise<Found> {
    let killer: NodeJS.Timeout | undefined;
    const cancel = (): void => {
      this.#send({ type: 'cancel' });
      killer = setTimeout(() => void this.end(), patience);
    };
    this.#hold(true);
    signal.addEventListener('abort', cancel);
    try {
      return await new Promise((resolve, reject) => {
        this.#working = { task: order.task, on, signal, resolve, reject };
        this.#stderr = '';
        this.#send({ type: 'start', order });
      });
    } finally {
      clearTimeout(killer);
      signal.removeEventListener('abort', cancel);
      this.#hold(false);
    }
  }

  /** Kills it and its ffmpeg; resolves when both have gone. */
  async end(): Promise<void> {
    this.#onEnd();
    this.#hold(true);
    this.#endEncoder(); // first: it is still the engine's child, so the id cannot be another's
    this.#child.kill('SIGKILL');
    await this.#gone;
  }

  #endEncoder(): void {
    try {
      if (this.#encoder) process.kill(this.#encoder, 'SIGKILL');
    } catch {
      // it has gone by itself
    }
    this.#encoder = 0;
  }

  #hear(message: unknown): void {
    const working = this.#working;
    try {
      const said = engineMessage.parse(message);
      if (said.type === 'encoder') this.#encoder = said.pid;
      else if (said.type !== 'done' && said.type !== 'verified' && said.type !== 'decoded' && said.type !== 'failed') working?.on(said);
      // An engine that was told to stop by someone else ends, and that end is what is told.
      else if (said.type !== 'failed' || said.code !== 'canceled' || working?.signal.aborted) {
        this.#working = undefined;
        if (said.type === 'failed') working?.reject(new TaskError(said.code, said.text));
        else working?.resolve(said.type === 'verified' ? said.found : said);
      }
    } catch (e) {
      void this.end();
      this.#working = undefined;
      working?.reject(e);
    }
  }

  #send(message: EngineRequest): void {
    if (this.#child.connected) this.#child.send(message, () => undefined); // an engine that is gone says so by its end
  }

  /** Whether the owner's event loop waits for it. */
  #hold(on: boolean): void {
    const { channel, stderr } = this.#child;
    for (const held of [this.#child, channel, stderr as Socket | null])
      if (on) held?.ref();
      else held?.unref();
  }
}

/** The system refused to start it; where it said why (too many files, no memory), that is the code. */
function notStarted(e: unknown): TaskError {
  const { code } = asFailure(e);
  return new TaskError(
    code === 'failed' ? 'engineDied' : code,
    `the engine could not be started: ${e instanceof Error ? e.message : String(e)}`,
    { cause: e },
  );
}

function died(task: Order['task'], how: string, stderr: string): TaskError {
  const what = how === 'SIGKILL' ? 'was killed, perhaps because memory ran short' : `stopped unexpectedly (${how})`,
    again = task === 'generate' ? ': run the same command again to go on where it was' : ': try again',
    smaller = how === 'SIGKILL' && task === 'generate' ? ', or make the clip smaller or shorter' : '',
    lines = stderr.trim().split('\n'),
    line = lines.findLast(text => /^\w*Error\b/.test(text)) ?? lines.at(-1);
  return new TaskError('engineDied', `the engine ${what}${again}${smaller}${line ? ` (${line})` : ''}`);
}
