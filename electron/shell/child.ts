/** @file Where a utility process begins: it gives the script that it was started for what a Node child has (messages, standard input, its owner's number among the arguments), and becomes it. */
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import type { ParentPort } from 'electron';
import { ownerArgument, type Carried } from './children.ts';

/** Milliseconds that an end waits for its owner to take what was said last. */
const patience = 2000;

const port = (process as unknown as { parentPort: ParentPort }).parentPort;
const [program = process.execPath, , script = '', ...args] = process.argv;
process.argv = [program, script, ...args.map(arg => (arg === ownerArgument ? String(process.ppid) : arg))];

const early: unknown[] = [],
  sent: ((error: Error | null) => void)[] = []; // called as each message is taken, in their order
let listens = false as boolean,
  ending = false as boolean;
const post = (carried: Carried) => port.postMessage(carried);
const written = (stream: NodeJS.WriteStream) => new Promise<void>(done => stream.write('', () => done()));
/** Ends this process after all that it has written and sent. */
const leave = () => {
  if (ending) return;
  ending = true;
  setTimeout(() => process.exit(), patience); // an owner that does not answer
  void Promise.all([written(process.stdout), written(process.stderr)]).then(() => post({ over: true }));
};
const fail = (error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exitCode = 1;
  leave();
};
// as Node does it: Electron only warns of the second
process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);

const taking: (() => void)[] = [];
const stdin = new Readable({
  read: () => {
    taking.pop()?.();
  },
});
Object.defineProperty(process, 'stdin', { value: stdin, configurable: true });
const hear = (message: unknown) => {
  post({ taken: true });
  process.emit('message', message, undefined);
};
port.on('message', ({ data }) => {
  const carried = data as Carried;
  if ('taken' in carried) sent.shift()?.(null);
  else if ('leave' in carried) process.exit();
  else if ('input' in carried) {
    taking.push(() => post({ taken: true }));
    if (stdin.push(carried.input) || carried.input === null) taking.pop()?.(); // else it is when it was read
  } else if ('message' in carried) {
    if (listens) hear(carried.message);
    else early.push(carried.message);
  }
});
process.on('newListener', name => {
  if (name !== 'message' || listens) return;
  queueMicrotask(() => {
    listens = true;
    for (const message of early.splice(0)) hear(message);
  });
});
Object.assign(process, {
  connected: true,
  send: (message: unknown, ...rest: unknown[]) => {
    post({ message });
    sent.push((rest.findLast(one => typeof one === 'function') as ((error: Error | null) => void) | undefined) ?? (() => undefined));
    return true;
  },
});
try {
  await import(pathToFileURL(script).href);
  // such a process does not end by itself when nothing is left to do; one that listens has more to do
  if (!listens) leave();
} catch (error) {
  fail(error);
}
