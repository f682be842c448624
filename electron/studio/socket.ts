/** @file Local sockets: a wire of JSON lines over one, and the addresses by which a library's owner is found. */
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, closeSync, lstatSync, mkdtempSync, openSync, renameSync, rmSync } from 'node:fs';
import { connect, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { StudioError } from '../contract/errors.ts';
import type { Wire } from '../contract/wire.ts';

/** Bytes of the longest message: a photo's bytes in base64 fit, a string of V8's still holds it. */
const longest = 384 << 20;
/** The same of the first one, which says who it is: before that nobody takes up memory. */
const longestFirst = 64 << 10;
/** Milliseconds for the last words of a closed wire to be taken. */
const patience = 500;

/** A wire over a socket: one JSON value a line. Nothing is read before `receive` is called. */
export function socketWire(socket: Socket, most: number = longest): Wire {
  const closed: ((why: string) => void)[] = [];
  let parts: Buffer[] = [],
    allowed = Math.min(most, longestFirst),
    size = 0,
    over: string | undefined;
  const end = (why: string) => {
    if (over !== undefined) return;
    over = why;
    parts = [];
    socket.resume().end();
    setTimeout(() => socket.destroy(), patience).unref();
    for (const listener of closed) listener(why);
  };
  socket.on('error', () => undefined); // `close` follows
  socket.on('close', () => end('the process at the other end has ended, or closed the connection'));
  const read = (chunk: Buffer, listener: (message: unknown) => void) => {
    for (let from = 0; over === undefined && from < chunk.length;) {
      const at = chunk.indexOf(10, from),
        part = chunk.subarray(from, at < 0 ? chunk.length : at);
      from += part.length + 1;
      size += part.length;
      if (size > allowed) return end('a message is too long');
      if (parts.push(part) > 4096) parts = [Buffer.concat(parts)];
      if (at < 0) return;
      let message: unknown;
      try {
        message = JSON.parse(Buffer.concat(parts).toString());
      } catch {
        return end('a message is not JSON');
      }
      parts = [];
      size = 0;
      allowed = most;
      listener(message);
    }
  };
  return {
    send: message => {
      if (over === undefined) socket.write(`${JSON.stringify(message)}\n`);
    },
    receive: listener => void socket.on('data', (chunk: Buffer) => read(chunk, listener)),
    closed: listener => {
      if (over === undefined) closed.push(listener);
      else listener(over);
    },
    close: end,
    waiting: () => socket.writableLength,
  };
}

/** The longest path that fits into a socket's address on Linux (108 bytes) and macOS (104). */
export const fits = (path: string): boolean => Buffer.byteLength(path) < 104;

/** A named pipe on Windows: the library's, and not to be guessed.
 * @param home its real path; the file system there does not tell capitals from small letters
 * @param secret hexadecimal digits, drawn anew by each owner */
export const pipeName = (home: string, secret: string): string =>
  `\\\\.\\pipe\\protagonist-${createHash('sha256').update(home.toLowerCase()).digest('hex').slice(0, 16)}-${secret}`;

/** Runs `use` with a path of `file` that is short enough for a socket; on Linux that of a folder held open may be. */
function shortly<T>(file: string, use: (path: string) => T): T {
  if (fits(file) || process.platform !== 'linux') return use(file);
  const folder = openSync(dirname(file), 'r');
  try {
    return use(`/proc/self/fd/${folder}/${basename(file)}`); // binding and connecting are done when these calls return
  } finally {
    closeSync(folder);
  }
}

/** Starts listening for the owner of the library in `home`; call it only with the lock held, since it takes the place of a socket that is there.
 * @returns the socket's address for others: relative to the library, or absolute where sockets cannot be inside it
 * @throws Error of the system */
export async function listen(server: Server, home: string): Promise<string> {
  const listening = (path: string) =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      shortly(path, address => server.listen(address, resolve));
    });
  if (process.platform === 'win32') {
    const name = pipeName(home, randomBytes(16).toString('hex'));
    await listening(name);
    return name;
  }
  const bind = async (folder: string) => {
    const fresh = join(folder, 'owner.new');
    rmSync(fresh, { force: true });
    await listening(fresh);
    try {
      chmodSync(fresh, 0o600);
      renameSync(fresh, join(folder, 'owner.sock')); // nobody ever finds one that others may use, or none where one was
    } catch (e) {
      await new Promise(done => server.close(done)); // so that it can listen elsewhere
      throw e;
    }
  };
  if (fits(join(home, 'owner.new')) || process.platform === 'linux')
    try {
      await bind(home);
      return 'owner.sock';
    } catch {
      // not every disk holds sockets
    }
  const folder = mkdtempSync(join(tmpdir(), 'protagonist-')); // 0700
  await bind(folder);
  return join(folder, 'owner.sock');
}

/** Connects to a library's owner.
 * @param address what `listen` returned
 * @throws StudioError `conflict` for a socket of somebody else; Error of the system (ENOENT, ECONNREFUSED: nobody is there) */
export async function reach(home: string, address: string): Promise<Socket> {
  const path = process.platform === 'win32' ? address : isAbsolute(address) ? address : join(home, address);
  if (process.platform !== 'win32') {
    const { uid } = lstatSync(path);
    if (uid !== process.getuid!())
      throw new StudioError(
        'conflict',
        `the library is open in a process of another user (number ${uid}): use it as that user, or choose another folder`,
      );
  }
  return new Promise((resolve, reject) => {
    const socket = shortly(path, short => connect(short));
    socket.once('connect', () => resolve(socket)).once('error', reject);
  });
}
