/** @file What the rows of different tables share: reading records back, and looking after the files they name. */
import { createHash, randomBytes } from 'node:crypto';
import { constants, readdirSync, statSync } from 'node:fs';
import { link, mkdir, open, realpath, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative } from 'node:path';
import type { z } from 'zod';
import { given } from '../../native-models/tasks.ts';
import { StudioError } from '../contract/errors.ts';
import { mostTags } from '../contract/records.ts';
import { MediaError, fileError } from '../media/error.ts';
import { syncFolder } from '../media/files.ts';
import { fileIn, type Library } from './library.ts';

/** A row's record, parsed.
 * @throws StudioError `corrupt` where it is not what was written */
export function readRecord<S extends z.ZodType>(schema: S, json: string, id: string): z.output<S> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    // said below
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new StudioError('corrupt', `the library's record of ${id} is damaged: put back a backup with \`protagonist backup restore\``, {
    cause: parsed.error,
  });
}

/** The tags that something has once some are taken off and others put on; one that it has stays in its place.
 * @param what as a sentence names it
 * @throws StudioError `badInput` for more than it may have */
export function retagged(what: string, tags: readonly string[], { add = [], remove = [] }: { add?: readonly string[] | undefined; remove?: readonly string[] | undefined }): string[] {
  const all = [...new Set([...tags.filter(tag => !remove.includes(tag)), ...add])];
  if (all.length > mostTags) throw new StudioError('badInput', `${what} would have ${all.length} tags: it can have at most ${mostTags} tags`);
  return all;
} // prettier-ignore

/** Bytes of a file; undefined where there is none. A drive that reports errors is as good as gone. */
export function sizeOf(path: string): number | undefined {
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat?.isFile() ? stat.size : undefined;
  } catch {
    return undefined;
  }
}
/** Whether a file that a row names is there. */
export const isThere = (library: Pick<Library, 'home'>, file: string): boolean => sizeOf(fileIn(library, file)) !== undefined;

/** Files of one folder from which on looking at each takes longer than reading the folder. */
const many = 8;
/** Whether files that rows name are there, for many at once: of folders with many of them the list is read instead. What it says is of now, not of later.
 * @param files relative to the library */
export function presence(library: Pick<Library, 'home'>, files: readonly string[]): (file: string) => boolean {
  const listed = new Map<string, ReadonlySet<string>>();
  for (const [folder, inside] of Map.groupBy(files, dirname)) {
    if (inside.length < many) continue;
    try {
      const entries = readdirSync(fileIn(library, folder), { withFileTypes: true });
      listed.set(folder, new Set(entries.filter(entry => entry.isFile()).map(entry => entry.name)));
    } catch {
      // each is looked at, which says more
    }
  }
  return file => listed.get(dirname(file))?.has(basename(file)) === true || isThere(library, file);
}

/** A path that a client gives: where the host happens to run must not matter.
 * @throws StudioError `badInput` */
export function absolute(path: string): string {
  if (isAbsolute(path) && !path.includes('\0')) return path;
  throw new StudioError('badInput', `${JSON.stringify(path.slice(0, 200))} is not a whole path: give one that begins at the root`);
}

/** A folder directly inside the library, made where it is missing; the library itself is never made here: its drive may be unplugged. */
export async function folderIn({ home }: Pick<Library, 'home'>, name: string): Promise<string> {
  const folder = join(home, name);
  await mkdir(folder).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fileError(`cannot write ${folder}`, error);
  });
  return folder;
}

/** Codes of file systems without hard links. */
const noLinks = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EINVAL'];

/**
 * Copies a file so that its new name appears only when all of it is on the disk, and never in another file's place.
 * @param sha256 what its content has to be; anything where absent
 * @returns how many bytes
 * @throws StudioError `conflict` where `to` is taken or the content differs, `badFile` where `from` cannot be read
 * @throws {MediaError} where it cannot be written
 */
export async function copyWhole(from: string, to: string, { signal, sha256 }: { signal: AbortSignal; sha256?: string }): Promise<number> {
  const taken = () => new StudioError('conflict', `there is a file already at ${to}: choose another name`);
  const writing = `cannot write ${to}`;
  const source = await given(() =>
    open(from, constants.O_RDONLY | (process.platform === 'win32' ? 0 : constants.O_NONBLOCK)).catch((error: unknown) => {
      throw fileError(`cannot read ${from}`, error);
    }),
  );
  const part = join(dirname(to), `.${randomBytes(12).toString('hex')}.part`);
  try {
    if (!(await source.stat()).isFile()) throw new StudioError('badFile', `${from} is not a file: name one`);
    if (await stat(to).catch(() => undefined)) throw taken();
    const hash = createHash('sha256');
    let bytes = 0;
    try {
      const target = await open(part, 'wx').catch((error: unknown) => {
        throw fileError(writing, error);
      });
      try {
        const buffer = Buffer.alloc(1 << 20);
        for (;;) {
          signal.throwIfAborted();
          const { bytesRead } = await given(() =>
            source.read(buffer, 0, buffer.length, bytes).catch((error: unknown) => {
              throw fileError(`cannot read ${from}`, error);
            }),
          );
          if (bytesRead === 0) break;
          const piece = buffer.subarray(0, bytesRead);
          hash.update(piece);
          for (let at = 0; at < bytesRead;) at += (await target.write(piece, at, bytesRead - at, bytes + at)).bytesWritten;
          bytes += bytesRead;
        }
        await target.sync();
      } finally {
        await target.close();
      }
      if (sha256 !== undefined && hash.digest('hex') !== sha256)
        throw new StudioError('conflict', `${basename(from)} is not the file that is looked for, its content differs: name another`);
      await link(part, to).catch(async (error: unknown) => {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EEXIST') throw taken();
        if (!noLinks.includes(code ?? '')) throw error;
        // the name is taken first, by an empty file, so that the rename replaces nothing else
        const held = await open(to, 'wx').catch((error: unknown) => {
          throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? taken() : error;
        });
        await held.close();
        await rename(part, to);
      });
    } finally {
      await unlink(part).catch(() => undefined); // renamed, or the disk is gone: the first error says more
    }
    await syncFolder(dirname(to));
    return bytes;
  } catch (error) {
    const system = typeof (error as { code?: unknown }).code === 'string' && (error as { errno?: unknown }).errno !== undefined;
    throw system && !(error instanceof MediaError) ? fileError(writing, error) : error;
  } finally {
    await source.close();
  }
}

/** Refuses a file that somebody would put into the library's own folder, by whatever way it is named.
 * @param target absolute
 * @throws StudioError `badInput` */
export async function notInside({ home }: Pick<Library, 'home'>, target: string): Promise<void> {
  const folder = await realpath(dirname(target)).catch(() => undefined); // what is wrong with it writing says
  const inside = folder === undefined ? '..' : relative(await realpath(home), folder);
  if (!/^\.\.(?:[/\\]|$)/.test(inside) && !isAbsolute(inside))
    throw new StudioError('badInput', `${basename(target)} would lie in the library's own folder: choose another folder`);
}

/** What people call something as the name of a file: letters and digits of any script, at most 80 bytes. */
export function fileNameOf(text: string, otherwise: string): string {
  const words = text
    .normalize('NFC')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{M}\p{N}]+/gu, '-')
    .replaceAll(/^-+|-+$/g, '');
  let name = '';
  for (const letter of words) {
    if (Buffer.byteLength(name + letter) > 80) return name.replace(/-[^-]*$/, '') || name;
    name += letter;
  }
  return name || otherwise;
}
