/** @file The child's half of what stands in for Electron's utility process: `process.parentPort`, and nothing of Node's own channel. */
import { EventEmitter } from 'node:events';
import { pathToFileURL } from 'node:url';

const send = process.send!.bind(process);
const early: unknown[] = [];
const port = new EventEmitter();
port.on('newListener', name => {
  if (name === 'message')
    queueMicrotask(() => {
      for (const data of early.splice(0)) port.emit('message', { data });
    });
});
// what comes over Node's channel is the port's alone; what a script's own messages are comes by the same name
const { emit } = process;
process.emit = function (name: string, ...rest: unknown[]) {
  const [first] = rest;
  if (name !== 'message' || typeof first !== 'object' || first === null || !('overPort' in first))
    return Reflect.apply(emit, process, [name, ...rest]);
  if (port.listenerCount('message') === 0) early.push(first.overPort);
  else port.emit('message', { data: first.overPort });
  return true;
} as typeof process.emit;
process.on('message', () => undefined); // without one nothing is read
Object.assign(process, {
  parentPort: Object.assign(port, { postMessage: (message: unknown) => void send({ overPort: message }) }),
  send: undefined,
  connected: false,
});
const [program = '', , module = '', ...args] = process.argv;
process.argv = [program, module, ...args];
await import(pathToFileURL(module).href);
