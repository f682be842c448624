/** @file Says what lies at a path, after reading all of it: a checkpoint that can be run, or an adapter. */
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import { checkParts } from '../../native-models/pipelines/cogvideox.ts';
import { recommendations } from '../../native-models/pipelines/recommended.ts';
import { given, TaskError, type Told, type Verified, type VerifyOrder } from '../../native-models/tasks.ts';
import { filesOf, identity, openCheckpoint } from '../../native-models/weights/checkpoint.ts';
import { printable } from '../../native-models/weights/json.ts';
import { checkValues, readAdapter } from '../../native-models/weights/lora.ts';

/** Reads a checkpoint's folder, an adapter's file, or a folder that holds one. See `carryOut` in main.ts.
 * @throws TaskError `badFile` in one sentence: what it is not, what is missing, what does not fit; `canceled` */
export const verify = (order: VerifyOrder, on: (event: Told) => void, signal: AbortSignal): Promise<Verified> =>
  given(() => (looksLikeAdapter(order.path) ? verifyAdapter : verifyCheckpoint)(order.path, on, signal));

/** A file, or a folder with weights but without what is in a checkpoint's. */
function looksLikeAdapter(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) return stat !== undefined;
  const names = readdirSync(path);
  return names.some(n => n.endsWith('.safetensors')) && !names.some(n => n === 'model_index.json' || n === 'config.json');
}

async function verifyCheckpoint(path: string, on: (event: Told) => void, signal: AbortSignal): Promise<Verified> {
  const checkpoint = openCheckpoint(path);
  await checkParts(checkpoint);
  const { adapter, severalSubjects, ...recommended } = recommendations(checkpoint);
  const hashed = filesOf(checkpoint),
    read = ['model_index.json', 'generation_config.json'].map(name => join(checkpoint.dir, name)).filter(file => existsSync(file));
  const files = new Files(checkpoint.dir, [...read, ...hashed]);
  const sha256 = await identity(checkpoint, signal, files.progress(on, read.length));
  files.check();
  const parts = ['transformer', 'vae', 'text_encoder'].map(name => checkpoint.component(name)),
    [first] = parts[0]!.tensors.values();
  return {
    kind: 'checkpoint',
    sha256,
    className: printable(String(checkpoint.modelIndex['_class_name'])),
    transformerClass: parts[0]!.className,
    bytes: files.bytes,
    files: files.seen,
    dtype: first?.dtype === 'F32' ? 'float32' : first?.dtype === 'F16' ? 'float16' : 'bfloat16',
    recommended: { ...recommended, adapter: adapter !== undefined && existsSync(adapter) ? adapter : null },
    severalSubjects,
    notices: [
      ...parts.flatMap(part => part.notices),
      ...(adapter !== undefined && !existsSync(adapter) ? [`${path} recommends an adapter that is not there, ${adapter}.`] : []),
    ],
  };
}

async function verifyAdapter(path: string, on: (event: Told) => void, signal: AbortSignal): Promise<Verified> {
  const adapter = readAdapter(path),
    modules = [...adapter.modules.values()];
  const read = adapter.description === undefined ? [] : [adapter.description];
  const files = new Files(statSync(path).isDirectory() ? path : dirname(path), [...read, adapter.file]);
  const sha256 = await identity(adapter.file, signal, files.progress(on, read.length));
  for (const module of modules) {
    checkValues(path, module);
    await breathe(); // lets a cancel arrive
    signal.throwIfAborted();
  }
  files.check();
  const distinct = (values: readonly number[]) => [...new Set(values)].toSorted((a, b) => a - b);
  return {
    kind: 'adapter',
    sha256,
    bytes: files.bytes,
    files: files.seen,
    ranks: distinct(modules.map(m => m.rank)),
    alphas: distinct(modules.map(m => m.alpha)),
    modules: modules.length,
    ...(adapter.trainedOn !== undefined && { transformerClass: adapter.trainedOn }),
    notices: [...adapter.notices],
  };
}

/** The files that are read, as they were before. */
class Files {
  readonly seen: { path: string; bytes: number; mtimeMs: number }[];
  readonly bytes: number;
  readonly #files: readonly string[];

  /** @param folder paths inside it are told from there on */
  constructor(folder: string, files: readonly string[]) {
    const base = realpathSync(folder);
    this.#files = files.map(file => realpathSync(file));
    this.seen = this.#files.map(file => {
      const { size, mtimeMs } = statSync(file),
        path = relative(base, file);
      return { path: path.startsWith('..') || isAbsolute(path) ? file : path, bytes: size, mtimeMs };
    });
    this.bytes = this.seen.reduce((sum, f) => sum + f.bytes, 0);
  }

  /** Takes the bytes as they are done and tells of them, ten times a second at most, and of the last. The first `read` files are done. */
  progress(on: (event: Told) => void, read: number): (more: number) => void {
    const begin = performance.now();
    let done = this.seen.slice(0, read).reduce((sum, f) => sum + f.bytes, 0),
      told = -Infinity;
    return more => {
      const now = performance.now(),
        seconds = (now - begin) / 1000,
        first = told === -Infinity;
      done += more;
      if (now - told < 100 && done < this.bytes) return;
      told = now;
      on({
        type: 'progress',
        phase: 'verify',
        step: done,
        of: this.bytes,
        seconds,
        ...(!first && { remaining: (seconds / done) * (this.bytes - done) }),
      });
    };
  }

  /** @throws TaskError `badFile` if one has changed since */
  check(): void {
    for (const [i, file] of this.#files.entries()) {
      const { size, mtimeMs } = statSync(file);
      if (size !== this.seen[i]!.bytes || mtimeMs !== this.seen[i]!.mtimeMs)
        throw new TaskError('badFile', `${file} changed while it was read: wait until it is complete, then try again`);
    }
  }
}
