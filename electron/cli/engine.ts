/** @file The engine as the command line starts it: a Node process beside this one. */
import { fork } from 'node:child_process';
import type { Engine } from '../../native-models/tasks.ts';
import { processEngine } from '../engine/supervisor.ts';

/** @param idleSeconds how long a process without work stays, so that the next order need not load everything again */
export const clipEngine = (idleSeconds = 60): Engine =>
  processEngine(
    () =>
      fork(new URL('../engine/main.ts', import.meta.url), {
        stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
        execArgv: ['--no-warnings', ...process.execArgv],
      }),
    { idleSeconds },
  );
