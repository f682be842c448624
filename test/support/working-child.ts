/** @file Works a library's queue until it is killed at a chosen moment of a chosen attempt. Arguments: the library's folder, the moment, how often it has to come first. */
import type { Moment } from '../../electron/studio/runner.ts';
import { painter } from './painter.ts';
import { openWorking } from './working.ts';

const [home, moment, times = '1'] = process.argv.slice(2);
let left = Number(times);
const working = await openWorking(home!, {
  engine: painter(),
  at: (now: Moment) => {
    if (now === moment && --left === 0) process.kill(process.pid, 'SIGKILL');
  },
});
await working.queue.start(undefined);
