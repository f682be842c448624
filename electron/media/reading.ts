/** @file Reading a file that may be anyone's: opened without blocking, read in bounded pieces, and every refusal one sentence that names it. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { MediaError, fileError } from './error.ts';
import { refuseShut } from './files.ts';

/** Most bytes of one piece (an MP4's moov, a Matroska file's tags) that are held at once. */
const pieceLimit = 64 << 20;

/**
 * Opens a file for reading, hands it over with its size in bytes, closes it.
 * @throws {MediaError} whatever goes wrong, as one sentence that names the file
 */
export async function reading<T>(name: string, read: (file: FileHandle, size: number) => Promise<T>): Promise<T> {
  let file: FileHandle | undefined;
  try {
    await refuseShut(name);
    file = await open(name, constants.O_RDONLY | (process.platform === 'win32' ? 0 : constants.O_NONBLOCK)); // a pipe does not block
    const stat = await file.stat();
    if (!stat.isFile()) throw new MediaError('it is not a file.');
    return await read(file, stat.size);
  } catch (error) {
    if (error instanceof MediaError) throw new MediaError(`${name}: ${error.message}`, { cause: error });
    throw fileError(`cannot read ${name}`, error);
  } finally {
    await file?.close();
  }
}

/**
 * Reads exactly the bytes from `at` to `end`.
 * @throws {MediaError} where they are more than 64 MiB, or the file ends before
 */
export async function readRange(file: FileHandle, at: number, end: number): Promise<Buffer> {
  if (end - at > pieceLimit)
    throw new MediaError(`the file is refused: a part of ${end - at} bytes is more than the ${pieceLimit} that are read.`);
  const bytes = Buffer.alloc(end - at);
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, at + filled);
    if (bytesRead === 0) throw new MediaError('the file is damaged: it ends inside a part of it.');
    filled += bytesRead;
  }
  return bytes;
}

/** A file seen through a window that follows what is asked for: walking over many small parts costs few reads and little memory. */
export class Window {
  readonly size: number;
  readonly #file: FileHandle;
  readonly #bytes: Buffer;
  #from = 0;
  #filled = 0;

  constructor(file: FileHandle, size: number, bytes = 4096) {
    this.#file = file;
    this.size = size;
    this.#bytes = Buffer.alloc(bytes);
  }

  /** Up to `count` bytes from `at`, fewer at the file's end; undefined where they are not in the window yet. They are valid until the next `fill`. */
  peek(at: number, count: number): Buffer | undefined {
    const from = at - this.#from;
    return from >= 0 && from + count <= this.#filled ? this.#bytes.subarray(from, from + count) : undefined;
  }

  /** The same, with the window moved there. `count` is at most the window's size. */
  async fill(at: number, count: number): Promise<Buffer> {
    this.#from = at;
    this.#filled = 0;
    while (this.#filled < this.#bytes.length) {
      const { bytesRead } = await this.#file.read(this.#bytes, this.#filled, this.#bytes.length - this.#filled, at + this.#filled);
      if (bytesRead === 0) break;
      this.#filled += bytesRead;
    }
    return this.#bytes.subarray(0, Math.min(count, this.#filled));
  }
}
