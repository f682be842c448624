/** @file Where a utility process begins: it gives the script that it was started for what a Node child has (messages, standard input, its owner's number among the arguments), and becomes it. */
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import type { ParentPort } from 'electron';
import { ownerArgument, type Carried } from './children.ts';

const port = (process as unknown as { parentPort: ParentPort }).parentPort;
const [program = process.execPath, , script = '', ...args] = process.argv;
process.argv = [program, script, ...args.map(arg => (arg === ownerArgument ? String(process.ppid) : arg))];

const early: unknown[] = [];
let listens = false as boolean;
const stdin = new Readable({ read: () => undefined });
Object.defineProperty(process, 'stdin', { value: stdin, configurable: true });
port.on('message', ({ data }) => {
  const carried = data as Carried;
  if ('input' in carried) stdin.push(carried.input);
  else if (!listens) early.push(carried.message);
  else process.emit('message', carried.message, undefined);
});
process.on('newListener', name => {
  if (name !== 'message' || listens) return;
  queueMicrotask(() => {
    listens = true;
    for (const message of early.splice(0)) process.emit('message', message, undefined);
  });
});
Object.assign(process, {
  connected: true,
  send: (message: unknown, ...rest: unknown[]) => {
    port.postMessage({ message } satisfies Carried);
    const sent = rest.findLast(one => typeof one === 'function') as ((error: Error | null) => void) | undefined;
    if (sent) setImmediate(sent, null);
    return true;
  },
});
await import(pathToFileURL(script).href);
// such a process does not end by itself when nothing is left to do; one that listens has more to do, and what was sent last gets its time
if (!listens) setTimeout(() => process.exit(), 100);
