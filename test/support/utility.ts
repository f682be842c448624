/** @file What stands in for Electron's `utilityProcess` where there is no Electron: a Node process that has of a utility process what its documentation says, and no more. */
import { fork, type ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { join } from 'node:path';
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
  const utility = Object.assign(new EventEmitter(), {
    pid: undefined as number | undefined,
    stdout: child.stdout,
    stderr: child.stderr,
    postMessage: (message: unknown) => {
      if (child.connected) child.send({ overPort: message }, () => undefined);
    },
    kill: () => child.kill('SIGTERM'),
  });
  child.on('spawn', () => {
    utility.pid = child.pid;
    utility.emit('spawn');
  });
  child.on('message', (message: { overPort?: unknown }) => utility.emit('message', message.overPort));
  child.on('exit', (code, signal) => {
    utility.pid = undefined;
    utility.emit('exit', signal === null ? code : 9);
  });
  return utility;
}
