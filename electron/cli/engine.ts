/** @file The engine as the command line starts it: a Node process beside this one. */
import type { Engine } from '../../native-models/tasks.ts';
import { processEngine } from '../engine/supervisor.ts';
import { startScript } from '../media/children.ts';
import { scriptAt } from '../media/program.ts';

/** @param idleSeconds how long a process without work stays, so that the next order need not load everything again */
export const clipEngine = (idleSeconds = 60): Engine =>
  processEngine(
    () =>
      startScript(scriptAt('../engine/main.ts', import.meta.url), [], ['--no-warnings', ...process.execArgv], {
        stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      }),
    { idleSeconds },
  );
