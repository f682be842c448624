/** @file The engine: carries out one work order, joining native-models and media. As a process of its own it talks to its owner by messages; `execute` is the same in process. */
import { basename } from 'node:path';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { asFailure, engineRequest, TaskError, type EngineEvent, type GenerateOrder } from '../../native-models/tasks.ts';
import type { Engine } from './supervisor.ts';

/** Makes the clip that `order` asks for and says on the way how far it is. Resumes an interrupted run of the same order.
 * @throws TaskError or an error that `asFailure` turns into a sentence; `order.out` is then as it was before */
export async function execute(
  order: GenerateOrder,
  on: (event: EngineEvent) => void,
  signal: AbortSignal,
): Promise<Extract<EngineEvent, { type: 'done' }>> {
  const { makeClip } = await import('./clip.ts'); // the heavy part: loaded only where it runs
  try {
    return await makeClip(order, on, signal);
  } catch (e) {
    throw signal.aborted ? new TaskError('canceled', 'canceled', { cause: e }) : e; // whatever an abort broke on its way
  }
}

/** The engine in this very process: the same work, for tests and for embedding. */
export const inProcessEngine: Engine = { run: execute };

/** Ends this process when its owner is gone, also while native code blocks the event loop: a thread of its own looks who the parent is. */
function dieWithOwner(): void {
  const watcher = new Worker(new URL(import.meta.url), { workerData: { owner: process.ppid } });
  watcher.unref();
}
function watch(owner: number): void {
  setInterval(() => {
    if (process.ppid !== owner) process.kill(process.pid, 'SIGKILL');
  }, 500);
}

function serve(): void {
  dieWithOwner();
  const controller = new AbortController();
  const say = (event: EngineEvent) => {
    if (process.connected) process.send?.(event);
  };
  process.on('SIGINT', () => undefined); // Ctrl-C reaches the whole group; the owner decides what it means
  for (const end of ['SIGTERM', 'SIGHUP']) process.on(end, () => controller.abort()); // an end that leaves no half file
  process.on('disconnect', () => process.exit(1));
  process.on('message', message => {
    const request = engineRequest.parse(message);
    if (request.type === 'cancel') return controller.abort();
    execute(request.order, say, controller.signal).then(
      done => process.send?.(done, () => process.exit(0)),
      (e: unknown) => {
        if (!(e instanceof TaskError)) process.stderr.write(`${e instanceof Error ? (e.stack ?? e.message) : String(e)}\n`);
        process.send?.({ type: 'failed', ...asFailure(e) } satisfies EngineEvent, () => process.exit(1));
      },
    );
  });
}

const data = workerData as { owner?: number } | null;
if (!isMainThread && data?.owner !== undefined) watch(data.owner);
else if (process.send && basename(process.argv[1] ?? '') === basename(import.meta.filename)) serve();
