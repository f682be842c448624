/** @file One process owns a library: it holds the lock and listens; every other one talks to it. When it is gone, whoever needs the library next takes over. */
import { readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, isAbsolute, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { StudioError } from '../contract/errors.ts';
import { inProcess, type Answer, type Transport } from '../contract/rpc.ts';
import { overWire, reconnecting, serveWire, type Limits, type Opened, type Wire } from '../contract/wire.ts';
import { keepShut } from '../media/files.ts';
import { diskError, holdLock } from './database.ts';
import { checkPlace } from './places.ts';
import { listen, reach, socketWire } from './socket.ts';

/** A studio, for its clients. */
export interface Hosted {
  readonly answer: Answer;
  readonly subscribe: Transport['subscribe'];
  close(): Promise<void>;
}

export interface OpenOptions {
  /** The program's version: an owner of another one is not talked to. */
  readonly version: string;
  /** Milliseconds to wait for an owner that does not answer; six times that for one that lives, but is opening or closing the library. */
  readonly patience?: number;
  /** Gets a sentence if others may write in the library. */
  readonly warn?: (sentence: string) => void;
  /** Milliseconds that `close` of an owner gives to calls of its clients that are in flight. */
  readonly grace?: number;
  /** For each client of an owner. */
  readonly limits?: Partial<Limits>;
}

/** What an owner leaves beside its lock, for the others: its process and where it listens. */
const note = z.object({ pid: z.number().int().positive(), socket: z.string().min(1) });
const noteFile = (home: string) => join(home, 'owner.json');

/** Opens a library: as a client of its owner, or, if it has none, as the owner until `close`. When the owner ends it is opened again, see `reconnecting`: any client may
 * become the owner later.
 * @param folder the library's, made if it is not there
 * @param become opens the studio itself; called with the lock held, so never by two processes at once; again after a time as a client
 * @throws StudioError `busy` if the owner does not answer or is another version, `conflict` if it is another user's; DatabaseError what the disk says; whatever `become` throws */
export const openStudio = (folder: string, become: () => Promise<Hosted>, options: OpenOptions): Promise<Opened> =>
  reconnecting(() => openOnce(folder, become, options));

async function openOnce(folder: string, become: () => Promise<Hosted>, options: OpenOptions): Promise<Opened> {
  const { version, patience = 10_000, warn } = options;
  checkPlace(folder); // before anything is made or locked there
  let home: string;
  try {
    home = realpathSync(folder);
  } catch (e) {
    throw diskError(`the library in ${folder} cannot be opened`, e);
  }
  if (process.platform !== 'win32' && statSync(home).mode & 0o002)
    warn?.(`every user of this machine can change the library in ${home}: take that permission from the folder (chmod o-w)`);
  const began = performance.now();
  for (let until = began + patience; ;) {
    const lock = holdLock(join(home, 'lock.db'));
    if (lock && !(await isListening(home))) return own(home, lock, become, options);
    lock?.release();
    const answer = await knock(home, version, until);
    if (typeof answer === 'object') return answer;
    const now = performance.now();
    if (answer === 'later') until = Math.min(now + patience, began + 6 * patience);
    if (now >= until) {
      const who = readNote(home)?.pid;
      throw new StudioError(
        'busy',
        `the library in ${home} is open in another process${who ? ` (${who})` : ''} that has not answered for ${Math.ceil((now - began) / 1000)} s: wait for it, or end it, then try again`,
      );
    }
    await sleep(10 + Math.random() * 20);
  }
}

function readNote(home: string): z.infer<typeof note> | undefined {
  try {
    return note.parse(JSON.parse(readFileSync(noteFile(home), 'utf8')));
  } catch {
    return undefined; // none, or not ours
  }
}

/** Whether a process accepts connections at the owner's door. It then owns the library although its lock is free: somebody deleted that file, or the process closed it, which drops the lock on POSIX. */
async function isListening(home: string): Promise<boolean> {
  if (process.platform === 'win32') return false; // a lock there cannot be lost
  try {
    (await reach(home, readNote(home)?.socket ?? 'owner.sock')).destroy();
    return true;
  } catch (e) {
    return (e as NodeJS.ErrnoException).code === 'EAGAIN'; // too many wait at that door
  }
}

/** Tries the owner's door once, until `until` (of performance.now()).
 * @returns `later` if somebody lives there, nothing if nobody answers */
async function knock(home: string, version: string, until: number): Promise<Opened | 'later' | undefined> {
  const socket = await reach(home, readNote(home)?.socket ?? 'owner.sock').catch((e: unknown) => {
    if (/^(ENOENT|ECONNREFUSED|ECONNRESET|EAGAIN|EPIPE)$/.test((e as NodeJS.ErrnoException).code ?? '')) return undefined; // not yet, or no more
    throw e instanceof StudioError ? e : diskError(`the process that has the library in ${home} open cannot be reached`, e);
  });
  if (!socket) return undefined;
  const line = overWire(socketWire(socket), version);
  const late = setTimeout(() => line.close(), until - performance.now());
  try {
    await line.greeted;
  } catch (e) {
    if (e instanceof StudioError && e.code === 'busy') throw new StudioError('busy', `the library in ${home} is in use: ${e.message}`);
    return performance.now() < until ? 'later' : undefined;
  } finally {
    clearTimeout(late);
  }
  return {
    transport: line,
    owner: false,
    gone: line.gone,
    close: () => {
      line.close();
      return Promise.resolve();
    },
  };
}

/** Opens the studio and its door. Before the studio is open, and when it is closing, the door opens only to be shut again: that says that somebody lives here. */
async function own(
  home: string,
  lock: { release(): void },
  become: () => Promise<Hosted>,
  { version, grace = 30_000, limits }: OpenOptions,
): Promise<Opened> {
  const gone = Promise.withResolvers<string>(),
    clients = new Map<Wire, () => Promise<unknown>>(); // with how to leave each
  let hosted: Hosted | undefined,
    address = '',
    closing: Promise<void> | undefined;
  const server = createServer(socket => {
    const wire = socketWire(socket);
    if (!hosted || closing) return wire.close('not now');
    clients.set(wire, serveWire(wire, hosted.answer, hosted.subscribe, version, limits));
    wire.closed(() => clients.delete(wire));
  });
  server.maxConnections = 256;
  const open = keepShut(['lock.db', 'library.db', 'library.db-wal', 'library.db-shm'].map(file => join(home, file)));
  const release = () => {
    server.close();
    open();
    try {
      if (address && process.platform !== 'win32')
        rmSync(isAbsolute(address) ? dirname(address) : join(home, address), { recursive: true, force: true });
      rmSync(noteFile(home), { force: true });
    } finally {
      lock.release();
    }
  };
  try {
    address = await listen(server, home).catch((e: unknown) => {
      throw diskError(`the library in ${home} cannot be opened to other commands`, e);
    });
    server.on('error', () => undefined); // a client that could not be accepted tries again
    try {
      writeFileSync(`${noteFile(home)}.new`, JSON.stringify({ pid: process.pid, socket: address }), { mode: 0o600 });
      renameSync(`${noteFile(home)}.new`, noteFile(home));
    } catch {
      for (const file of [`${noteFile(home)}.new`, noteFile(home)]) rmSync(file, { force: true }); // a full disk: the usual place is found without a note
    }
    hosted = await become();
  } catch (e) {
    release();
    throw e;
  }
  const studio = hosted,
    transport = inProcess(studio.answer, studio.subscribe);
  const end = async () => {
    gone.resolve('the library is closed');
    transport.close();
    await Promise.race([Promise.all([...clients.values()].map(leave => leave())), sleep(grace, undefined, { ref: false })]);
    for (const client of [...clients.keys()]) client.close('the library is closed');
    await studio.close().finally(release);
  };
  return { transport, owner: true, gone: gone.promise, close: () => (closing ??= end()) };
}
