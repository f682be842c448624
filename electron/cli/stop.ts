/** @file How a command is stopped from outside. */

/** Ctrl-C, a polite kill, a terminal that closes. */
export const ends = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Milliseconds in which a second end is the first one's echo: npm passes on to its script what a terminal has sent to both. */
const echo = 200;
/** Runs `work` with a signal that one of these ends aborts; a second one ends the process, also while it tidies up behind `work`. */
export async function untilStopped<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let at = 0;
  const stop = () => {
    if (!controller.signal.aborted) {
      at = performance.now();
      controller.abort();
    } else if (performance.now() - at > echo) process.exit(130); // whoever asks twice does not want to wait
  };
  for (const end of ends) process.on(end, stop);
  try {
    return await work(controller.signal);
  } finally {
    if (!controller.signal.aborted) for (const end of ends) process.off(end, stop); // else an echo would cut off what is still to be said
  }
}
