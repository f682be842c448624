/**
 * A limit of time as a test holds it: `milliseconds` where PROTAGONIST_QUIET is set, eight times as much elsewhere. Test files run two at a
 * time, on machines that do other work: there a process may wait a second for its turn, and a limit tells what has come from what never comes.
 */
export const within = (milliseconds: number): number => (process.env['PROTAGONIST_QUIET'] ? milliseconds : 8 * milliseconds);

/**
 * The milliseconds of the processor that `work` needs on this thread: the least of its runs, of which there are five at most, as long as each
 * takes `limit` or more. Compiling, collecting and a neighbour on the same core come on top of what an input costs, never off it, so that one
 * slow run in thousands says nothing of the input, and a limit can be held to the letter everywhere.
 * @param work the same work at each call; what it throws is thrown
 * @param prepare is done before each run, untimed: a file that `work` changes is written again
 */
export async function processorTime(limit: number, work: () => unknown, prepare?: () => unknown): Promise<number> {
  let least = Infinity;
  for (let run = 0; run < 5 && least >= limit; run++) {
    await prepare?.();
    const before = process.threadCpuUsage();
    await work();
    const { user, system } = process.threadCpuUsage(before);
    least = Math.min(least, (user + system) / 1000);
  }
  return least;
}
