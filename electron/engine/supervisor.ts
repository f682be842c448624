/** @file Runs work orders in an engine process: start, events, cancel, and an end that never leaves a process behind. */
import type { ChildProcess } from 'node:child_process';
import { engineEvent, TaskError, type EngineEvent, type EngineRequest, type GenerateOrder } from '../../native-models/tasks.ts';

/** An engine, wherever it runs. Events come in order; `done` is the last of a clip.
 * @throws TaskError with a sentence: what the engine said, `canceled` after an abort, `engineDied` if its process ended without a word */
export interface Engine {
  run(order: GenerateOrder, on: (event: EngineEvent) => void, signal: AbortSignal): Promise<Extract<EngineEvent, { type: 'done' }>>;
}

/** How long an engine may take to stop between two steps before it is killed, in milliseconds. */
const patience = 10_000;

/** An engine in a process of its own, made by `spawn` for each order: a crash or an exhausted memory ends that process alone, and its end gives all memory back, on the GPU too. */
export function processEngine(spawn: () => ChildProcess): Engine {
  return {
    run: (order, on, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(new TaskError('canceled', 'canceled'));
          return;
        }
        const child = spawn();
        let done: Extract<EngineEvent, { type: 'done' }> | undefined,
          failure: TaskError | undefined,
          killer: NodeJS.Timeout | undefined,
          stderr = '';
        const send = (message: EngineRequest) => {
          if (child.connected) child.send(message, () => undefined); // an engine that is gone says so by its exit
        };
        const cancel = () => {
          send({ type: 'cancel' });
          killer = setTimeout(() => child.kill('SIGKILL'), patience);
        };
        signal.addEventListener('abort', cancel);
        child.stderr?.on('data', (text: Buffer) => (stderr = (stderr + text.toString()).slice(-4000)));
        child.on('message', message => {
          const event = engineEvent.parse(message);
          if (event.type === 'done') done = event;
          else if (event.type === 'failed') failure = new TaskError(event.code, event.text);
          else on(event);
        });
        child.on('error', e => (failure ??= new TaskError('engineDied', `the engine could not be started: ${e.message}`)));
        child.on('close', (code, by) => {
          signal.removeEventListener('abort', cancel);
          clearTimeout(killer);
          if (done) resolve(done);
          else if (signal.aborted) reject(new TaskError('canceled', 'canceled'));
          else reject(failure ?? died(by ?? `exit ${code ?? 'unknown'}`, stderr));
        });
        send({ type: 'start', order });
      }),
  };
}

function died(how: string, stderr: string): TaskError {
  const what = how === 'SIGKILL' ? 'was killed, perhaps because memory ran short' : `stopped unexpectedly (${how})`,
    smaller = how === 'SIGKILL' ? ', or make the clip smaller or shorter' : '',
    line = stderr.trim().split('\n').at(-1);
  return new TaskError(
    'engineDied',
    `the engine ${what}: run the same command again to go on where it was${smaller}${line ? ` (${line})` : ''}`,
  );
}
