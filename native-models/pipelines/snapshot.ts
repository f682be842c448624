/** @file The state of a running clip, kept beside its output: what resumes it, and the lock that keeps a second run away. */
import { createHash, randomBytes } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { readBytes, readSafetensors, readTensor, writeSafetensors } from '../weights/safetensors.ts';
import { TaskError } from '../tasks.ts';

const beside = (out: string, what: string) => join(dirname(out), `.${basename(out)}.${what}`);

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

/** Identifies what is being made: SHA-256 of the resolved request without its seed, content hashes in place of paths. Keys are sorted at every level. */
export function requestKey(request: Readonly<Record<string, unknown>>): string {
  const sorted = (x: unknown): unknown =>
    Array.isArray(x)
      ? x.map(sorted)
      : typeof x === 'object' && x !== null
        ? Object.fromEntries(
            Object.entries(x)
              .sort(([a], [b]) => (a < b ? -1 : 1))
              .map(([k, v]) => [k, sorted(v)]),
          )
        : x;
  return createHash('sha256')
    .update(JSON.stringify(sorted(request)))
    .digest('hex');
}

/** The snapshot kept beside `out` if it belongs to `key` and, where a seed is asked for, to that seed. Anything else there, a damaged file included, is no snapshot. */
export function readSnapshot(out: string, key: string, seed: number | null): Snapshot | undefined {
  try {
    const file = readSafetensors(beside(out, 'snapshot'));
    const meta = file.metadata,
      found = Number(meta.get('seed')),
      step = Number(meta.get('step'));
    if (meta.get('key') !== key || (seed !== null && found !== seed) || !Number.isSafeInteger(found) || !Number.isSafeInteger(step))
      return undefined;
    const latents = file.tensors.get('latents'),
      generator = file.tensors.get('generator'),
      previous = file.tensors.get('previous_sample');
    if (!latents || !generator) return undefined;
    const data = readTensor(latents);
    if (!data.every(Number.isFinite)) return undefined;
    return {
      step,
      seed: found,
      latents: { data, shape: latents.shape },
      previousSample: previous && readTensor(previous),
      generator: readBytes(generator),
    };
  } catch {
    return undefined;
  }
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
    { key, seed: String(s.seed), step: String(s.step) },
  );
}

export function removeSnapshot(out: string): void {
  rmSync(beside(out, 'snapshot'), { force: true });
  rmSync(beside(out, 'snapshot.part'), { force: true }); // of a run killed while it wrote
}

interface Holder {
  readonly pid: number;
  readonly started: string;
}
/** When a process was started, in the kernel's ticks since boot: a pid alone may have been given to another one. Empty where there is no /proc. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}
function alive({ pid, started }: Holder): boolean {
  try {
    process.kill(pid, 0);
  } catch (e) {
    return (e as NodeJS.ErrnoException).code === 'EPERM';
  }
  return startOf(pid) === started;
}
function holderOf(file: string): Holder | undefined {
  try {
    const h = JSON.parse(readFileSync(file, 'utf8')) as Partial<Holder>;
    return typeof h.pid === 'number' && typeof h.started === 'string' ? { pid: h.pid, started: h.started } : undefined;
  } catch {
    return undefined;
  }
}

/** Keeps other runs away from `out` until the returned function is called. A holder that has died is replaced; one that is dying (its owner was killed a moment ago) is waited for.
 * @throws TaskError `busy` if another run is still at it after `patience` milliseconds, or the system's error if the folder cannot be written */
export async function lockOutput(out: string, patience = 6000): Promise<() => void> {
  const file = beside(out, 'lock'),
    mine = beside(out, `${process.pid}.${randomBytes(4).toString('hex')}.lock`);
  const until = performance.now() + patience;
  try {
    writeFileSync(mine, JSON.stringify({ pid: process.pid, started: startOf(process.pid) } satisfies Holder));
    for (;;) {
      try {
        linkSync(mine, file); // atomic, and the file is never seen half-written
        return () => {
          if (holderOf(file)?.pid === process.pid) rmSync(file, { force: true });
        };
      } catch (e) {
        if ((e as NodeJS.ErrnoException).code !== 'EEXIST') throw e;
      }
      const holder = holderOf(file);
      if (!holder || !alive(holder)) {
        const aside = `${mine}.stale`;
        try {
          renameSync(file, aside);
          const moved = holderOf(aside);
          if (moved && alive(moved))
            renameSync(aside, file); // another run took over in between: its lock goes back
          else unlinkSync(aside);
        } catch (e) {
          if ((e as NodeJS.ErrnoException).code !== 'ENOENT') throw e;
        }
      } else if (performance.now() > until)
        throw new TaskError(
          'busy',
          `another run (process ${holder.pid}) is already making ${basename(out)}: wait for it, or choose another --out`,
        );
      else await new Promise(resolve => setTimeout(resolve, 100));
    }
  } finally {
    rmSync(mine, { force: true });
  }
}
