/** @file Processes of ours in the desktop app: Electron's utility processes, which for their owner look as Node's children do. The app's own program does not start as Node (a fuse forbids it), so this is the one way. */
import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { Writable, type Readable } from 'node:stream';
import type { ForkOptions, UtilityProcess } from 'electron';
import type { StartScript } from '../media/children.ts';
import { scriptAt } from '../media/program.ts';

/** What goes over the one channel that a utility process has, in either direction: messages, and what is written to its standard input, which it has none of. */
export type Carried = { readonly message: unknown } | { readonly input: Uint8Array | null };
/** Stands for this process's number among a script's arguments: who its parent is, only the child itself can tell. */
export const ownerArgument = '{owner}';

/** Starts what the others start (`child.ts`). */
const entry = scriptAt('./child.ts', import.meta.url);
/** Milliseconds for the last of its output to come after its end. */
const patience = 1000;

/** @param fork Electron's `utilityProcess.fork`
 * @returns what `startScriptsBy` takes: options beyond `stdio`, `env`, `cwd` and `timeout` are Node's alone and need nothing here, since a utility process has no console and ends with the app */
export const byUtilityProcess =
  (fork: (modulePath: string, args: string[], options: ForkOptions) => UtilityProcess): StartScript =>
  (script, args, flags, { stdio, env, cwd, timeout }) => {
    const [input, output, errors] = typeof stdio === 'string' ? [stdio, stdio, stdio] : (stdio ?? []);
    const how = (wanted: unknown) => (wanted === 'pipe' || wanted === 'inherit' ? wanted : 'ignore');
    const started = fork(entry, [script, ...args.map(arg => (arg === String(process.pid) ? ownerArgument : arg))], {
      execArgv: [...flags],
      serviceName: 'Protagonist',
      stdio: ['ignore', how(output), how(errors)],
      ...(env && { env: env }),
      ...(typeof cwd === 'string' && { cwd }),
    });
    const child = new UtilityChild(started, input === 'pipe');
    if (timeout !== undefined) {
      const late = setTimeout(() => child.kill('SIGKILL'), timeout);
      child.once('exit', () => clearTimeout(late));
    }
    return child as unknown as ChildProcess;
  };

/** As much of a ChildProcess as its owners use. */
class UtilityChild extends EventEmitter {
  readonly stdin: Writable | null;
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
  connected = true;
  killed = false;
  readonly #process: UtilityProcess;
  #by: NodeJS.Signals | null = null;

  constructor(started: UtilityProcess, takesInput: boolean) {
    super();
    this.#process = started;
    this.stdout = started.stdout as Readable | null;
    this.stderr = started.stderr as Readable | null;
    const post = (carried: Carried) => this.connected && started.postMessage(carried);
    this.stdin = takesInput
      ? new Writable({
          write: (chunk: Uint8Array, _, done) => {
            post({ input: chunk });
            done();
          },
          final: done => {
            post({ input: null });
            done();
          },
        })
      : null;
    started.on('message', (carried: Carried) => {
      if ('message' in carried) this.emit('message', carried.message);
    });
    started.on('error', (_type, location) => {
      this.stderr?.emit('data', Buffer.from(`FatalError: ${location}\n`)); // it ends by itself after that
    });
    started.on('exit', code => {
      this.connected = false;
      const status = this.#by ? null : code;
      this.emit('disconnect');
      this.emit('exit', status, this.#by);
      const ends = [this.stdout, this.stderr].map(stream =>
        !stream || stream.readableEnded || stream.destroyed
          ? Promise.resolve()
          : new Promise<void>(done => stream.once('end', done).once('close', done)),
      );
      const late = new Promise<void>(done => setTimeout(done, patience));
      void Promise.race([Promise.all(ends), late]).then(() => this.emit('close', status, this.#by));
    });
  }
  /** Undefined until it runs. */
  get pid(): number | undefined {
    return this.#process.pid;
  }
  send(message: unknown, sent?: (error: Error | null) => void): boolean {
    if (this.connected) this.#process.postMessage({ message } satisfies Carried);
    if (sent) queueMicrotask(() => sent(null));
    return this.connected;
  }
  kill(signal: NodeJS.Signals = 'SIGTERM'): boolean {
    if (!this.connected) return false;
    this.#by = signal;
    this.killed = true;
    const { pid } = this;
    if (pid === undefined) this.#process.once('spawn', () => this.#strike(signal));
    else this.#strike(signal);
    return true;
  }
  #strike(signal: NodeJS.Signals): void {
    const { pid } = this;
    try {
      if (pid !== undefined) process.kill(pid, signal);
    } catch {
      // it has gone by itself
    }
  }
  /** The app's life is its windows', not its event loop's. */
  ref(): void {}
  unref(): void {}
}
