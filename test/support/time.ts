/**
 * A limit of time as a test holds it: `milliseconds` where PROTAGONIST_QUIET is set, eight times as much elsewhere. Test files run two at a
 * time, on machines that do other work: there a process may wait a second for its turn, and a limit tells what has come from what never comes.
 */
export const within = (milliseconds: number): number => (process.env['PROTAGONIST_QUIET'] ? milliseconds : 8 * milliseconds);
