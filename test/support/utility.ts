/** @file What stands in for Electron's `utilityProcess` where there is no Electron: a Node process that has of a utility process what its documentation says, and no more. */
import { fork, type ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { constants } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { ForkOptions, UtilityProcess } from 'electron';

/** Every process that was started. */
export const started: ChildProcess[] = [];

export function utilityFork(module: string, args: string[], options: ForkOptions): UtilityProcess {
  const [, output = 'inherit', errors = 'inherit'] = Array.isArray(options.stdio) ? options.stdio : [];
  const child = fork(join(import.meta.dirname, 'utility-child.ts'), [module, ...args], {
    execArgv: options.execArgv ?? [],
    serialization: 'advanced',
    stdio: ['ignore', output, errors, 'ipc'],
    ...(options.env && { env: options.env as Record<string, string> }),
  });
  started.push(child);
  // Electron's own streams: what the process writes is piped into them once it runs
  const piped = [child.stdout, child.stderr].map(stream => stream && new PassThrough());
  const [stdout = null, stderr = null] = piped;
  const utility = Object.assign(new EventEmitter(), {
    pid: undefined as number | undefined,
    stdout: stdout,
    stderr: stderr,
    postMessage: (message: unknown) => {
      const copy: unknown = structuredClone(message); // also what cannot be cloned is refused as there
      if (child.connected) child.send({ overPort: copy }, () => undefined);
    },
    kill: () => child.kill('SIGTERM'),
  });
  child.on('spawn', () => {
    utility.pid = child.pid;
    for (const [n, stream] of [child.stdout, child.stderr].entries()) stream?.pipe(piped[n]!);
    utility.emit('spawn');
  });
  child.on('message', (message: { overPort?: unknown }) => utility.emit('message', message.overPort));
  child.on('exit', (code, signal) => {
    utility.pid = undefined;
    utility.emit('exit', signal === null ? code : constants.signals[signal]);
    // and this is what it does, whether everything was read or not (lib/browser/api/utility-process.ts)
    for (const stream of piped) stream?.removeAllListeners();
    utility.stdout = utility.stderr = null;
  });
  return utility;
}
