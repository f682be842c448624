/** @file The state of a running clip, kept beside its output: what resumes it, and the lock that keeps a second run away. */
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { readBytes, readSafetensors, readTensor, syncFolder, writeSafetensors, type SafetensorsFile } from '../weights/safetensors.ts';
import { asFailure, TaskError } from '../tasks.ts';

/** A hidden file that belongs to `out`; a long name is hashed, so that this one stays within 255 bytes. */
function beside(out: string, what: string): string {
  const base = basename(out);
  return join(
    dirname(out),
    `.${Buffer.byteLength(base) <= 150 ? base : createHash('sha256').update(base).digest('hex').slice(0, 32)}.${what}`,
  );
}

/** What a step leaves behind. */
export interface Snapshot {
  /** Steps finished. */
  readonly step: number;
  readonly seed: number;
  readonly latents: { readonly data: Float32Array; readonly shape: readonly number[] };
  /** DPM's x0 of the step before. */
  readonly previousSample: Float32Array | undefined;
  /** Of the noise generator, after this step's draws. */
  readonly generator: Uint8Array;
}

/** Identifies what is being made: SHA-256 of the resolved request without its seed. Keys are sorted at every level, and a file is its content's hash: `name` beside `sha256` does not count. */
export function requestKey(request: Readonly<Record<string, unknown>>): string {
  const sorted = (x: unknown): unknown =>
    Array.isArray(x)
      ? x.map(sorted)
      : typeof x === 'object' && x !== null
        ? Object.fromEntries(
            Object.entries(x)
              .filter(([k]) => !(k === 'name' && 'sha256' in x))
              .sort(([a], [b]) => (a < b ? -1 : 1))
              .map(([k, v]) => [k, sorted(v)]),
          )
        : x;
  return createHash('sha256')
    .update(JSON.stringify(sorted(request)))
    .digest('hex');
}

/** Of everything a snapshot says, so that one flipped bit is noticed. */
function digest(key: string, { step, seed, latents, previousSample, generator }: Snapshot): string {
  const hash = createHash('sha256').update(JSON.stringify([key, step, seed, latents.shape, previousSample?.length ?? null]));
  for (const { buffer, byteOffset, byteLength } of [latents.data, previousSample ?? new Uint8Array(), generator])
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  return hash.digest('hex');
}

/** The snapshot beside `out` if it belongs to `key` and, where a seed is asked for, to that seed. Anything else there, a damaged file included, is no snapshot.
 * @throws the system's error if the disk cannot be read for now: what has been computed is not thrown away for that */
export const readSnapshot = (out: string, key: string, seed: number | null): Snapshot | undefined =>
  readKept(beside(out, 'snapshot'), key, seed);

/** As `readSnapshot`, from the file that `keepSnapshot` made. */
export function readKept(file: string, key: string, seed: number | null): Snapshot | undefined {
  try {
    const stored = readSafetensors(file, 1 << 20),
      { metadata } = stored;
    if (metadata.get('key') !== key || (seed !== null && metadata.get('seed') !== String(seed))) return undefined;
    return whole(stored, key);
  } catch (e) {
    if (asFailure(e).code === 'disk') throw e;
    return undefined;
  }
}

/** The final latents in the file that `keepSnapshot` made, whatever clip they are of.
 * @throws TaskError `badFile` if the file is not there, is none, or is damaged; another code where the system has a say */
export function readLatents(file: string): Snapshot['latents'] {
  try {
    const stored = readSafetensors(file, 1 << 20),
      found = whole(stored, stored.metadata.get('key') ?? '');
    if (found) return found.latents;
  } catch (e) {
    const { code, text } = asFailure(e);
    throw new TaskError(code === 'failed' ? 'badFile' : code, `the kept latents cannot be read: ${text}`, { cause: e });
  }
  throw new TaskError('badFile', `the kept latents are damaged, or no latents at all: ${file}`);
}

/** A snapshot of which not one bit differs from what was written. */
function whole({ metadata, tensors }: SafetensorsFile, key: string): Snapshot | undefined {
  const latents = tensors.get('latents'),
    generator = tensors.get('generator'),
    previous = tensors.get('previous_sample');
  if (!latents || !generator) return undefined;
  const found: Snapshot = {
    step: Number(metadata.get('step')),
    seed: Number(metadata.get('seed')),
    latents: { data: readTensor(latents), shape: latents.shape },
    previousSample: previous && readTensor(previous),
    generator: readBytes(generator),
  };
  return metadata.get('sha256') === digest(key, found) && found.latents.data.every(Number.isFinite) ? found : undefined;
}

/** Replaces the snapshot beside `out`; on the disk when this returns.
 * @throws the system's error if the folder cannot be written (ENOSPC, EROFS, EACCES) */
export function writeSnapshot(out: string, key: string, s: Snapshot): void {
  writeSafetensors(
    beside(out, 'snapshot'),
    [
      { name: 'latents', shape: s.latents.shape, data: s.latents.data },
      { name: 'generator', shape: [s.generator.length], data: s.generator },
      ...(s.previousSample ? [{ name: 'previous_sample', shape: s.latents.shape, data: s.previousSample }] : []),
    ],
    { key, seed: String(s.seed), step: String(s.step), sha256: digest(key, s) },
  );
}

/** Moves the snapshot beside `out` to `file`, where an older one is replaced; on the disk when this returns.
 * @throws the system's error: the folder is not there, or on another file system */
export function keepSnapshot(out: string, file: string): void {
  renameSync(beside(out, 'snapshot'), file);
  syncFolder(dirname(file));
}

/** Checks, before hours of work, that `keepSnapshot` can do what it will be asked for.
 * @throws TaskError `badRequest` if `file` is in no folder or on another file system than `out` */
export function checkKeep(out: string, file: string): void {
  const [from, to] = [dirname(out), dirname(file)].map(folder => statSync(folder, { throwIfNoEntry: false }));
  if (!to?.isDirectory()) throw new TaskError('badRequest', `the latents cannot be kept: there is no folder ${dirname(file)}`);
  if (from && from.dev !== to.dev)
    throw new TaskError('badRequest', `the latents cannot be kept: ${dirname(file)} is on another disk than ${dirname(out)}`);
}

export function removeSnapshot(out: string): void {
  rmSync(beside(out, 'snapshot'), { force: true });
  rmSync(beside(out, 'snapshot.part'), { force: true }); // of a run killed while it wrote
}

/** When a process was started, in the kernel's ticks since boot: a pid alone may have been given to another one. Empty where there is no /proc, undefined for one that has ended. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' '); // the name in brackets may hold spaces and brackets
    return state === 'Z' || state === 'X' ? undefined : fields[18];
  } catch {
    return '';
  }
}
function alive(pid: number, started: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const now = startOf(pid);
  return now === started || now === ''; // another user's process may be hidden: it is there, and that is all one can know
}

/** The lock files of this process that are in use: one that is left when its run has ended could not be removed. */
const held = new Set<string>();

/** Keeps other runs away from `out` until the returned function is called. Waits a while for a run that may be about to end, such as the engine of a command killed a moment ago.
 *
 * Each run lays a file of its own, named after its process, beside `out` and then looks who else did. Who sees no other run has the lock; who does takes its own file away and tries again after a
 * moment of random length. Of two runs at least one sees the other, so never do two have it; and as no name is ever used twice, a dead run's file can be removed by anyone at any time.
 * @throws TaskError `busy` if another run is still at it after `patience` milliseconds, or the system's error if the folder cannot be written */
export async function lockOutput(out: string, patience = 6000): Promise<() => void> {
  const folder = dirname(out),
    prefix = basename(beside(out, '')),
    mine = `${prefix}${process.pid}-${startOf(process.pid) ?? ''}-${randomBytes(4).toString('hex')}.lock`,
    until = performance.now() + patience;
  /** The pid of another living run at `out`; files of dead ones are removed. */
  const other = (): number | undefined => {
    for (const name of readdirSync(folder)) {
      const [, pid, started] =
        name.startsWith(prefix) && name !== mine ? (/^([1-9]\d*)-(\d*)-[0-9a-f]{8}\.lock$/.exec(name.slice(prefix.length)) ?? []) : [];
      if (pid === undefined) continue;
      if (Number(pid) === process.pid ? held.has(join(folder, name)) : alive(Number(pid), started!)) return Number(pid);
      rmSync(join(folder, name), { force: true });
    }
    return undefined;
  };
  const drop = () => {
    held.delete(join(folder, mine));
    try {
      rmSync(join(folder, mine), { force: true });
    } catch {
      // a file that cannot be removed just now must not spoil a clip that is done: this process knows that it is free, others will when it has ended
    }
  };
  for (;;) {
    let holder = other();
    if (holder === undefined) {
      try {
        held.add(join(folder, mine));
        writeFileSync(join(folder, mine), '');
        holder = other();
        if (holder === undefined) return drop;
      } catch (e) {
        drop();
        throw e;
      }
      drop();
    }
    if (performance.now() > until)
      throw new TaskError(
        'busy',
        `another run (process ${holder}) is already making ${basename(out)}: wait for it, or choose another --out`,
      );
    await new Promise(resolve => setTimeout(resolve, 50 + 100 * Math.random()));
  }
}
