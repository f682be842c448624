import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';

/**
 * A limit of time as a test holds it: `milliseconds` where PROTAGONIST_QUIET is set, eight times as much elsewhere. Test files run two at a
 * time, on machines that do other work: there a process may wait a second for its turn, and a limit tells what has come from what never comes.
 */
export const within = (milliseconds: number): number => (process.env['PROTAGONIST_QUIET'] ? milliseconds : 8 * milliseconds);

/**
 * Waits until what is read is `wanted`; what is looked at while it changes may be a step behind what is already there to be seen.
 * @param why said where it never is
 * @throws AssertionError after 10 seconds, or within(10_000), with what is there instead
 */
export async function becomes<T>(read: () => T | Promise<T>, wanted: T, why?: string): Promise<void> {
  for (const end = performance.now() + within(10_000); ; await sleep(20)) {
    const found = await read();
    if (isDeepStrictEqual(found, wanted)) return;
    if (performance.now() > end) assert.deepEqual(found, wanted, why);
  }
}

/** The milliseconds of the processor that `work` needs, by what `used` counts. */
async function spent(used: (before?: NodeJS.CpuUsage) => NodeJS.CpuUsage, work: () => unknown): Promise<number> {
  const before = used();
  await work();
  const { user, system } = used(before);
  return (user + system) / 1000;
}

/**
 * The milliseconds of the processor that an input costs this process, all its threads: the least of its runs, of which there are five at most, as
 * long as each takes `limit` or more. Compiling, collecting and a neighbour on the same core come on top of what an input costs, never off it, so
 * that one slow run in thousands says nothing of the input, and a limit can be held to the letter everywhere.
 * @param work the same work at each call; what it throws is thrown
 * @param prepare is done before each run, untimed: a file that `work` changes is written again
 */
export async function processorTime(limit: number, work: () => unknown, prepare?: () => unknown): Promise<number> {
  let least = Infinity;
  for (let run = 0; run < 5 && least >= limit; run++) {
    await prepare?.();
    least = Math.min(least, await spent(before => process.cpuUsage(before), work));
  }
  return least;
}

/** The milliseconds of the processor that `work` usually needs on this thread: the middle of nine runs. What it throws is thrown. */
export async function usualProcessorTime(work: () => unknown): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < 9; run++) times.push(await spent(before => process.threadCpuUsage(before), work));
  return times.sort((a, b) => a - b)[4]!;
}
