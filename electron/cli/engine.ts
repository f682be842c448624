/** @file The engine as the command line starts it: a Node process beside this one. */
import { fileURLToPath } from 'node:url';
import type { Engine } from '../../native-models/tasks.ts';
import { processEngine } from '../engine/supervisor.ts';
import { startScript } from '../media/children.ts';

/** @param idleSeconds how long a process without work stays, so that the next order need not load everything again */
export const clipEngine = (idleSeconds = 60): Engine =>
  processEngine(
    () =>
      startScript(fileURLToPath(new URL('../engine/main.ts', import.meta.url)), [], ['--no-warnings', ...process.execArgv], {
        stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      }),
    { idleSeconds },
  );
