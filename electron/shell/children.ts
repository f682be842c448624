/** @file Processes of ours in the desktop app: Electron's utility processes, which for their owner look as Node's children do. The app's own program does not start as Node (a fuse forbids it), so this is the one way. */
import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { existsSync } from 'node:fs';
import { PassThrough, Writable, type Readable } from 'node:stream';
import type { ForkOptions, UtilityProcess } from 'electron';
import type { StartScript } from '../media/children.ts';
import { scriptAt } from '../media/program.ts';

/**
 * What goes over the one channel that a utility process has, in either direction: messages, and what is written to its standard input, which
 * it has none of. Each is answered with `taken` once it has been, which is how a sender knows that it may send more, or end. A child whose
 * script is over says so (`over`) and waits for `leave`: whatever it has written before is read first.
 */
export type Carried =
  { readonly message: unknown } | { readonly input: Uint8Array | null } | { readonly taken: true } | { readonly over: true } | { readonly leave: true }; // prettier-ignore
/** Stands for this process's number among a script's arguments: who its parent is, only the child itself can tell. */
export const ownerArgument = '{owner}';

/** Starts what the others start (`child.ts`). */
const entry = scriptAt('./child.ts', import.meta.url);
/** Milliseconds for the last of its output to come after its end. */
const patience = 1000;
/** Milliseconds of silence after which what a child has written before it said `over` has all come: it lay in the pipe already. */
const quiet = 20;
/** Bytes of standard input in one message: what is sent is copied, and nothing more is sent before it is taken. */
const inputPiece = 1 << 20;

/** Where NVIDIA's installers put CUDA and cuDNN. A program that is started by its icon has no shell that would name them. */
const cudaFolders: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  linux: ['/usr/local/cuda/lib64', '/opt/cuda/lib64', '/usr/lib/wsl/lib'],
};
/** The environment of a process that loads a device's libraries: ours, with the folders where they usually lie behind those that are named already. The system reads it when the process starts, so it cannot be said later. */
export function withLibraries(
  env: NodeJS.ProcessEnv,
  platform: NodeJS.Platform,
  isThere: (folder: string) => boolean = existsSync,
): NodeJS.ProcessEnv {
  const windows = platform === 'win32',
    key = windows ? (Object.keys(env).find(name => name.toUpperCase() === 'PATH') ?? 'PATH') : 'LD_LIBRARY_PATH',
    between = windows ? ';' : ':';
  const toolkit = env['CUDA_PATH'],
    usual = windows ? (toolkit ? [`${toolkit}\\bin`, `${toolkit}\\bin\\x64`] : []) : (cudaFolders[platform] ?? []);
  const named = (env[key] ?? '').split(between).filter(Boolean),
    found = usual.filter(folder => !named.includes(folder) && isThere(folder));
  return found.length === 0 ? env : { ...env, [key]: [...named, ...found].join(between) };
}

/** @param fork Electron's `utilityProcess.fork`
 * @returns what `startScriptsBy` takes: options beyond `stdio`, `env`, `cwd` and `timeout` are Node's alone and need nothing here, since a utility process has no console and ends with the app */
export const byUtilityProcess =
  (
    fork: (modulePath: string, args: string[], options: ForkOptions) => UtilityProcess,
    platform: NodeJS.Platform = process.platform,
  ): StartScript =>
  (script, args, flags, { stdio, env, cwd, timeout }) => {
    const [input, output, errors] = typeof stdio === 'string' ? [stdio, stdio, stdio] : (stdio ?? []);
    const how = (wanted: unknown) => (wanted === 'pipe' || wanted === 'inherit' ? wanted : 'ignore');
    const started = fork(entry, [script, ...args.map(arg => (arg === String(process.pid) ? ownerArgument : arg))], {
      execArgv: [...flags],
      serviceName: 'Protagonist',
      stdio: ['ignore', how(output), how(errors)],
      env: withLibraries(env ?? process.env, platform),
      ...(typeof cwd === 'string' && { cwd }),
    });
    const child = new UtilityChild(started, input === 'pipe');
    if (timeout !== undefined) {
      const late = setTimeout(() => child.kill('SIGKILL'), timeout);
      child.once('exit', () => clearTimeout(late));
    }
    return child as unknown as ChildProcess;
  };

/**
 * What a process writes, to its last byte. Electron takes every listener off its own stream as soon as the process has ended, also where some
 * of it is still in the pipe; so this one listens again after that, and moves on what was held back.
 */
class Output extends PassThrough {
  /** Of performance.now(): when something last came. */
  at = 0;
  readonly #from: NodeJS.ReadableStream;
  #source: NodeJS.ReadableStream | undefined;

  constructor(from: NodeJS.ReadableStream) {
    super();
    this.#from = from;
    from.once('pipe', (source: Readable) => (this.#source = source));
    this.#listen();
    this.on('drain', () => from.resume());
  }
  #listen(): void {
    this.#from
      .on('data', (bytes: Buffer) => {
        this.at = performance.now();
        if (!this.write(bytes)) this.#from.pause();
      })
      .on('end', () => this.end())
      .on('close', () => this.end())
      .on('error', () => this.end());
  }
  /** The process has ended: what it has written comes within `patience`. */
  finish(): void {
    if (this.listenerCount('data') === 0 && this.listenerCount('readable') === 0) this.resume(); // nobody reads it
    setImmediate(() => {
      if (this.writableEnded) return;
      const from = this.#from,
        source = this.#source;
      if (!from.readable) return void this.end(); // it has been read to its end
      if (from.listenerCount('data') === 0) {
        this.#listen();
        from.on('drain', () => source?.resume());
        source?.resume();
      }
      if (!this.writableNeedDrain) from.resume();
    });
    setTimeout(() => this.end(), patience);
  }
  /** As a Node child's pipes have them. The app's life is its windows', not its event loop's. */
  ref(): void {}
  unref(): void {}
}

/** Ends by a signal, as waitpid tells them and as shells do: no script of ours ends by itself with these. */
const signals: Readonly<Partial<Record<number, NodeJS.Signals>>> = { 6: 'SIGABRT', 9: 'SIGKILL', 11: 'SIGSEGV', 15: 'SIGTERM' }; // prettier-ignore
const signalOf = (code: number, platform = process.platform): NodeJS.Signals | null =>
  platform === 'win32' ? null : (signals[code > 128 ? code - 128 : code] ?? null);

/** As much of a ChildProcess as its owners use. */
class UtilityChild extends EventEmitter {
  readonly stdin: Writable | null;
  readonly stdout: Output | null;
  readonly stderr: Output | null;
  connected = true;
  killed = false;
  exitCode: number | null = null;
  signalCode: NodeJS.Signals | null = null;
  readonly #process: UtilityProcess;
  #by: NodeJS.Signals | null = null;
  /** Called as each message is taken, in their order. */
  readonly #sent: ((error: Error | null) => void)[] = [];

  constructor(started: UtilityProcess, takesInput: boolean) {
    super();
    this.#process = started;
    this.stdout = started.stdout && new Output(started.stdout);
    this.stderr = started.stderr && new Output(started.stderr);
    this.stdin = takesInput
      ? new Writable({
          write: (bytes: Uint8Array, _, done) => {
            const next = (at: number) => {
              const end = Math.min(bytes.length, at + inputPiece);
              this.#post({ input: bytes.slice(at, end) }, error => (error || end === bytes.length ? done(error) : next(end)));
            };
            next(0);
          },
          final: done => this.#post({ input: null }, done),
        })
      : null;
    started.on('message', (carried: Carried) => this.#hear(carried));
    started.on('error', (_type, location) => {
      this.stderr?.write(`FatalError: ${location}\n`); // it ends by itself after that
    });
    started.on('exit', code => {
      this.connected = false;
      this.signalCode = this.#by ?? signalOf(code);
      this.exitCode = this.signalCode ? null : code;
      const outputs = [this.stdout, this.stderr].filter(output => output !== null);
      const read = outputs
        .filter(output => !output.readableEnded && !output.destroyed)
        .map(output => new Promise<void>(done => output.once('end', done).once('close', done)));
      for (const output of outputs) output.finish();
      const gone = Object.assign(new Error('the process has ended'), { code: 'EPIPE' });
      for (const sent of this.#sent.splice(0)) sent(gone);
      if (this.stdin?.writableEnded === false) this.stdin.destroy();
      this.emit('disconnect');
      this.emit('exit', this.exitCode, this.signalCode);
      const late = new Promise<void>(done => setTimeout(done, 2 * patience)); // for an owner that reads nothing of it
      void Promise.race([Promise.all(read), late]).then(() => this.emit('close', this.exitCode, this.signalCode));
    });
  }
  /** Undefined until it runs. */
  get pid(): number | undefined {
    return this.#process.pid;
  }
  #post(carried: Carried, sent: (error: Error | null) => void): void {
    if (!this.connected) return queueMicrotask(() => sent(Object.assign(new Error('the process has ended'), { code: 'EPIPE' })));
    this.#process.postMessage(carried);
    this.#sent.push(sent);
  }
  #hear(carried: Carried): void {
    if ('taken' in carried) return this.#sent.shift()?.(null);
    if ('over' in carried) return this.#letGo();
    if (!('message' in carried)) return;
    if (this.connected) this.#process.postMessage({ taken: true } satisfies Carried);
    this.emit('message', carried.message);
  }
  /** Lets a child whose script is over end, as soon as what it has written is here. */
  #letGo(since = performance.now()): void {
    const last = Math.max(since, this.stdout?.at ?? 0, this.stderr?.at ?? 0);
    if (performance.now() - last < quiet || this.stdout?.writableNeedDrain) setTimeout(() => this.#letGo(since), quiet / 2);
    else if (this.connected) this.#process.postMessage({ leave: true } satisfies Carried);
  }
  send(message: unknown, sent: (error: Error | null) => void = () => undefined): boolean {
    this.#post({ message }, sent);
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
  ref(): void {}
  unref(): void {}
}
