/** @file The engine: carries out work orders, one after the other, joining native-models and media. As a process of its own it talks to its owner by messages; `inProcessEngine` is the same without one. */
import { basename } from 'node:path';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import {
  asFailure,
  engineRequest,
  TaskError,
  type Decoded,
  type DecodeOrder,
  type Done,
  type Engine,
  type EngineMessage,
  type GenerateOrder,
  type Told,
  type Verified,
  type VerifyOrder,
} from '../../native-models/tasks.ts';
import { Turns } from './turns.ts';

/** Makes the clip that an order asks for, and goes on with an interrupted run of the same order; or verifies what lies at a path; or decodes kept latents. Says on the way how far it is.
 * @param onEncoder told the process id of the order's ffmpeg, and 0 when that has gone
 * @throws TaskError or an error that `asFailure` turns into a sentence; `order.out` is then as it was before */
async function carryOut(
  order: GenerateOrder | VerifyOrder | DecodeOrder,
  on: (event: Told) => void,
  signal: AbortSignal,
  onEncoder?: (pid: number) => void,
): Promise<Done | Verified | Decoded> {
  try {
    // the heavy parts: loaded only where they run
    if (order.task === 'verify') return await (await import('./verify.ts')).verify(order, on, signal);
    if (order.task === 'decode') return await (await import('./decode.ts')).decode(order, on, signal, onEncoder);
    return await (await import('./clip.ts')).makeClip(order, on, signal, onEncoder);
  } catch (e) {
    throw signal.aborted ? new TaskError('canceled', 'canceled', { cause: e }) : e; // whatever an abort broke on its way
  }
}

const turns = new Turns();
/** The engine in this very process: the same work, for tests and for embedding. A crash of it is a crash of this process. */
export const inProcessEngine: Engine = {
  run: (order, on, signal) => turns.take(signal, stop => carryOut(order, on, stop) as Promise<Done>),
  verify: (order, on, signal) => turns.take(signal, stop => carryOut(order, on, stop) as Promise<Verified>),
  decode: (order, on, signal) => turns.take(signal, stop => carryOut(order, on, stop) as Promise<Decoded>),
  close: () => turns.cancel(),
};

/** What the thread that watches is given; `encoder[0]` is the process id of ffmpeg, 0 for none. */
interface Watched {
  readonly owner: number;
  readonly encoder: Int32Array;
}
/** Ends this process and its ffmpeg when the owner is gone, also while native code blocks the event loop: a thread of its own looks who the parent is. */
function watch({ owner, encoder }: Watched): void {
  setInterval(() => {
    if (process.ppid !== owner) end(encoder);
  }, 250);
}
/** Ends at once, ffmpeg first: without us it would write what it has to its end. */
function end(encoder: Int32Array): void {
  const pid = Atomics.load(encoder, 0);
  try {
    if (pid) process.kill(pid, 'SIGKILL');
  } finally {
    process.kill(process.pid, 'SIGKILL');
  }
}

function serve(): void {
  const encoder = new Int32Array(new SharedArrayBuffer(4)),
    owner = process.ppid;
  new Worker(new URL(import.meta.url), { workerData: { owner, encoder } satisfies Watched }).unref();
  let working: AbortController | undefined, leave: (() => void) | undefined;
  const say = (message: EngineMessage, then?: () => void) => {
    if (process.connected) process.send?.(message, () => then?.());
  };
  const onEncoder = (pid: number) => {
    Atomics.store(encoder, 0, pid);
    say({ type: 'encoder', pid });
  };
  process.on('SIGINT', () => undefined); // Ctrl-C reaches the whole group; the owner decides what it means
  for (const polite of ['SIGTERM', 'SIGHUP'])
    process.once(polite, () => {
      leave = () => process.kill(process.pid, polite); // this time nobody listens
      if (working)
        working.abort(); // an end that leaves no half file
      else leave();
    });
  process.on('disconnect', () => end(encoder));
  process.on('message', message => {
    const { data: request, error } = engineRequest.safeParse(message);
    if (!request) return say({ type: 'failed', code: 'badRequest', text: error.issues.map(i => i.message).join('; ') });
    if (request.type === 'cancel') return working?.abort(); // of an order that has ended meanwhile: nothing
    const controller = (working = new AbortController());
    const answer = (message: EngineMessage) => {
      working = undefined;
      say(message, leave);
    };
    carryOut(request.order, say, controller.signal, onEncoder).then(
      found => answer('kind' in found ? { type: 'verified', found } : found),
      (e: unknown) => {
        if (!(e instanceof TaskError)) process.stderr.write(`${e instanceof Error ? (e.stack ?? e.message) : String(e)}\n`);
        answer({ type: 'failed', ...asFailure(e) });
      },
    );
  });
}

const watched = workerData as Watched | null;
if (!isMainThread && watched?.encoder) watch(watched);
else if (process.send && basename(process.argv[1] ?? '') === basename(import.meta.filename)) serve();
