/** @file Files as wholes: read within bounds, hashed, and written so that a power cut leaves all of one or none of it. */
import { createHash, randomBytes } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { mkdir, open, rename, stat, statfs, unlink } from 'node:fs/promises';
import path from 'node:path';
import { MediaError, fileError } from './error.ts';

/** Makes a rename last through a power cut; where folders cannot be opened (Windows) the system sees to it. */
export async function syncFolder(folder: string): Promise<void> {
  const unable = (error: unknown): void => {
    if (!['EINVAL', 'EPERM', 'EACCES', 'EISDIR', 'ENOTSUP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  };
  const handle = await open(folder, 'r').catch(unable);
  try {
    await handle?.sync().catch(unable);
  } finally {
    await handle?.close();
  }
}

/** Bytes that we may still write on a folder's disk. */
export async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** Files that this process holds locks on. */
const locked = new Set<string>();
/** Keeps files from being read by this process: POSIX drops every lock it holds on a file as soon as it closes any handle of that file, also one that a person took for a photo.
 * @returns what ends that */
export function keepShut(files: readonly string[]): () => void {
  for (const file of files) locked.add(file);
  return () => files.forEach(file => locked.delete(file));
}
/** Before a file that somebody named is opened.
 * @throws {MediaError} where it is, by whatever name, one that is to be kept shut */
export async function refuseShut(name: string): Promise<void> {
  const identity = async (file: string) => {
    const { dev, ino } = await stat(file, { bigint: true });
    return `${dev}:${ino}`;
  };
  if (locked.size === 0) return;
  const asked = await identity(name).catch(() => undefined); // opening it says what is wrong
  for (const file of locked)
    if (asked !== undefined && asked === (await identity(file).catch(() => undefined)))
      throw new MediaError(`${name} belongs to the library's database: name another file.`);
}

/** Folders whose own entries have been synced by this process: they may have been made a moment ago. */
const lasting = new Set<string>();

/**
 * Writes a file of which nobody ever sees a part, and which a power cut after the return no longer takes away: a new file beside it
 * (`.<random>.part`) is filled, fsynced and renamed over `file`, then the folder is fsynced. The file's own folder is made where it is
 * missing, no other: a drive that is not there must not grow a second library.
 * @param mode of a file that only some may read; the process's umask counts too
 * @throws {MediaError} one sentence, with no part left behind; `file` is then the earlier one, or already the new one, but never half of one
 */
export async function writeDurably(file: string, bytes: Uint8Array, mode = 0o666): Promise<void> {
  const folder = path.dirname(path.resolve(file));
  const part = path.join(folder, `.${randomBytes(12).toString('hex')}.part`);
  const create = () => open(part, 'wx', mode);
  try {
    const handle = await create().catch(async (error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      lasting.delete(folder);
      await mkdir(folder).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error; // another writer was first
      });
      return create();
    });
    try {
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(part, file);
    } catch (error) {
      await unlink(part).catch(() => undefined); // the disk may be gone: the first error says so
      throw error;
    }
    await syncFolder(folder);
    if (!lasting.has(folder)) await syncFolder(path.dirname(folder));
    lasting.add(folder);
  } catch (error) {
    throw fileError(`cannot write ${file}`, error);
  }
}

/**
 * SHA-256 of a file's bytes, in hexadecimal; the file is streamed.
 * @throws {MediaError} where it cannot be read
 */
export async function fileHash(file: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await refuseShut(file);
    for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  } catch (error) {
    throw fileError(`cannot read ${file}`, error);
  }
  return hash.digest('hex');
}

/**
 * The bytes of a file. A pipe does not block and a device is not read: both are refused.
 * @param what `most`: bytes a file may have; `wanted`: what to name instead, for example `a photo`
 * @throws {MediaError} where it is missing, is no file, is empty or too large
 */
export async function readBytes(file: string, what: { most: number; wanted: string }): Promise<Buffer> {
  try {
    await refuseShut(file);
    const handle = await open(file, constants.O_RDONLY | (process.platform === 'win32' ? 0 : constants.O_NONBLOCK));
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw new MediaError(`${file} is ${stat.isDirectory() ? 'a folder' : 'not a file'}: name ${what.wanted}.`);
      checkSize(file, stat.size, what);
      const bytes = Buffer.alloc(stat.size);
      let filled = 0;
      while (filled < bytes.length) {
        const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, filled);
        if (bytesRead === 0) break; // it has shrunk since
        filled += bytesRead;
      }
      return bytes.subarray(0, filled);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError(`cannot read ${file}`, error);
  }
}

/** Refuses what is empty or larger than `most` bytes; `name` begins the sentence. */
export function checkSize(name: string, size: number, what: { most: number; wanted: string }): void {
  if (size === 0) throw new MediaError(`${name} is empty: name ${what.wanted}.`);
  if (size > what.most)
    throw new MediaError(`${name} is ${Math.round(size / 1e6)} MB large, at most ${what.most >> 20} MiB are read: make it smaller.`);
}
