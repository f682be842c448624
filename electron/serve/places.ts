/** @file The files that a browser may name without knowing where they lie: those in folders named at start (`r1`, `r1/beach/kelp.jpg`), those it has sent itself (`u…`), and in our own window those that the person has dropped or chosen (`f1`, `f1/kelp.jpg`). */
import { randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, statSync, type Stats } from 'node:fs';
import { open, opendir, readdir, realpath, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { z } from 'zod';
import { StudioError } from '../contract/errors.ts';
import { method } from '../contract/rpc.ts';
import { fileError } from '../media/error.ts';
import { HttpError } from './answers.ts';
import type { Names } from './sentences.ts';

const rootId = z.string().max(4096);
/** What a browser can ask about the folders named at start: methods of this host alone, beside the API's. */
export const rootsApi = {
  roots: {
    list: method(z.object({}).optional(), z.object({ roots: z.array(z.object({ id: z.string(), name: z.string() })) })),
    /** What lies in a folder. `more`: not all of it is told. */
    show: method(
      z.object({ id: rootId }),
      z.object({
        id: z.string(),
        name: z.string(),
        entries: z.array(z.object({ id: z.string(), name: z.string(), kind: z.enum(['folder', 'file']), bytes: z.number() })),
        more: z.boolean(),
      }),
    ),
  },
} as const;
type Listing = z.output<(typeof rootsApi)['roots']['show']['output']>;

/** A file or folder that the person has chosen, as the page may know it. */
export interface Admitted {
  readonly id: string;
  readonly name: string;
  readonly kind: 'file' | 'folder';
  readonly bytes: number;
}

/** Where a place lies, and how sentences are to call it: `names` has what is never told, with what is told instead. */
export interface Found {
  readonly path: string;
  readonly names: Names;
}

export interface Places {
  readonly roots: readonly { readonly id: string; readonly name: string }[];
  show(id: string): Promise<Listing>;
  /** @param uploads whether a file that was sent will do: not where the library uses it where it lies
   * @throws StudioError `notFound`, with the same sentence for what is not there and what may not be named */
  find(id: string, uploads: boolean): Promise<Found>;
  /** Keeps a file that a browser sends until it is used, for an hour at most.
   * @param name what the person calls it
   * @throws HttpError 413 where too many wait, 507 where the disk is full */
  keep(name: string, body: AsyncIterable<Buffer>): Promise<{ id: string; bytes: number }>;
  /** Takes in a file or folder of this machine that the person has dropped or chosen, with every link followed; its id holds until `close`. Whoever calls this
   * knows that a person did: nothing that comes over a network may.
   * @throws StudioError `badInput`, `notFound`; its sentence calls the place by its last name */
  admit(path: string): Promise<Admitted>;
  /** Files that were sent and have been used. */
  drop(ids: readonly string[]): Promise<void>;
  close(): void;
}

/** Entries of a folder that are told, and that are looked at. */
const [toldLimit, lookLimit] = [5000, 50_000];
/** Files and folders that may be admitted: far more than a person drops. */
const admittedLimit = 100_000;
/** Files that may wait, bytes of them together, milliseconds they wait. */
const [waitingLimit, bytesLimit, expiry] = [1000, 4 * 2 ** 30, 3_600_000];

/** The names in a place's id, or nothing where one of them is no plain, visible name. */
function namesIn(inside: string): readonly string[] | undefined {
  const names = inside === '' ? [] : inside.split('/');
  const bad = process.platform === 'win32' ? /^\.|^$|[\0\\:]|[. ]$/ : /^\.|^$|\0/;
  return names.some(name => bad.test(name)) ? undefined : names;
}
/** What a person calls a file, as the name of one: no folders, nothing hidden, nothing that a system keeps for itself. */
export function fileName(name: string): string {
  const last = name.split(/[/\\]/).at(-1)!.toWellFormed();
  const plain = last.replace(/[^\p{L}\p{N}\p{M} ._()+-]/gu, '_').replace(/^[. ]+|[. ]+$/g, '');
  let short = plain.replace(/^(con|prn|aux|nul|com\d|lpt\d)(?=$|\.)/i, '_$1');
  while (Buffer.byteLength(short) > 200) short = short.slice(1); // its end says what kind it is
  return short.toWellFormed().replace(/^[. ]+/, '') || 'file';
}

const prefix = 'protagonist-sent-';
/** Removes what hosts that were killed have left in the folder for temporary files; none that live has anything in one that has rested so long. */
function leftBehind(): void {
  try {
    for (const name of readdirSync(tmpdir())) {
      if (!name.startsWith(prefix)) continue;
      const path = join(tmpdir(), name),
        { mtimeMs, uid } = lstatSync(path);
      if (Date.now() - mtimeMs > 3 * expiry && uid === (process.getuid?.() ?? uid)) rmSync(path, { recursive: true, force: true });
    }
  } catch {
    // another one may be doing the same
  }
}

/** @param folders named at start
 * @throws StudioError `badInput` where one of them is no folder */
export function placesOf(folders: readonly string[]): Places {
  const paths = folders.map(folder => {
    try {
      const path = realpathSync(resolve(folder));
      if (folder !== '' && statSync(path).isDirectory()) return path;
    } catch {
      // said below
    }
    throw new StudioError('badInput', `'${folder}' is no folder here: name folders after --roots`);
  });
  const roots = [...new Set(paths)].map((path, i) => ({ id: `r${i + 1}`, name: basename(path) || path, path }));
  const uploads = new Map<string, { path: string; bytes: number; at: number; busy: boolean }>();
  const admitted = new Map<string, { id: string; name: string; path: string; given: string }>(), // by id
    known = new Map<string, string>(); // ids by what was given: the same file dropped again is the same place
  let folder: string | undefined,
    waiting = 0; // bytes
  /** Where files that are sent wait: readable by us alone. Systems that tidy up may have taken it away meanwhile. */
  const waitingRoom = () => {
    const there = folder === undefined ? undefined : lstatSync(folder, { throwIfNoEntry: false });
    if (!there?.isDirectory() || there.uid !== (process.getuid?.() ?? there.uid)) folder = mkdtempSync(join(tmpdir(), prefix)); // 0700
    return folder!;
  };
  leftBehind();

  const nowhere = (id: string) => {
    const chosen = admitted.get(id.split('/')[0]!);
    return new StudioError(
      'notFound',
      chosen
        ? `${chosen.name} is no longer there: choose it again`
        : `there is nothing called ${JSON.stringify(id.slice(0, 200))} in the folders that were named at start: choose another`,
    );
  };
  const inside = (root: string, path: string) => path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);
  const visible = (root: string, path: string) => inside(root, path) && namesIn(relative(root, path).replaceAll(sep, '/')) !== undefined;
  /** A file or folder with every link followed, inside its root; nothing where it is neither or elsewhere. */
  const follow = async (root: string, path: string) => {
    try {
      const real = await realpath(path);
      if (!visible(root, real)) return undefined;
      const found = await stat(real);
      return found.isFile() || found.isDirectory()
        ? { real, folder: found.isDirectory(), bytes: found.isFile() ? found.size : 0 }
        : undefined;
    } catch {
      return undefined;
    }
  };
  const find = async (id: string) => {
    const [, rootName = '', rest = ''] = /^([rf][1-9]\d{0,5})(?:\/(.+))?$/s.exec(id) ?? [];
    const root = roots.find(r => r.id === rootName) ?? admitted.get(rootName),
      names = namesIn(rest);
    const at = root && names && (await follow(root.path, join(root.path, ...names)));
    if (!at) throw nowhere(id);
    return { ...at, root };
  };
  /** Nothing in a folder leads out of its root, over however many links: whoever is given the folder follows what is in it. */
  const closed = async (root: string, top: string, id: string) => {
    const folders = new Set([top]);
    let looked = 0;
    try {
      for (const path of folders)
        for (const entry of await readdir(path, { withFileTypes: true })) {
          if (++looked > lookLimit)
            throw new StudioError('badInput', `${id} holds more than ${lookLimit} files and folders: name one inside it`);
          const at = join(path, entry.name);
          if (entry.isDirectory()) folders.add(at);
          if (!entry.isSymbolicLink()) continue;
          const to = await follow(root, at);
          if (!to)
            throw new StudioError(
              'badInput',
              `${JSON.stringify(entry.name)} in ${id} is a link that leads out of the folder named at start: put the file itself there`,
            );
          if (to.folder) folders.add(to.real);
        }
    } catch (error) {
      throw error instanceof StudioError ? error : fileError(`cannot read ${id}`, error);
    }
  };
  const forget = async (id: string) => {
    const upload = uploads.get(id);
    uploads.delete(id);
    if (!upload) return;
    waiting -= upload.bytes;
    await rm(join(upload.path, '..'), { recursive: true, force: true });
  };

  const sweep = setInterval(() => {
    for (const [id, { at, busy }] of uploads) if (!busy && performance.now() - at > expiry) void forget(id).catch(() => undefined);
  }, expiry / 6).unref();

  return {
    roots: roots.map(({ id, name }) => ({ id, name })),
    show: async id => {
      const { real, folder, root } = await find(id);
      if (!folder) throw new StudioError('badInput', `${id} is a file: name a folder`);
      const entries: Listing['entries'] = [];
      let more = false,
        looked = 0;
      try {
        for await (const entry of await opendir(real)) {
          if (entries.length >= toldLimit || ++looked > lookLimit) {
            more = true;
            break;
          }
          const { name } = entry;
          if (namesIn(name) === undefined || name.includes('\ufffd')) continue; // hidden, or no text: it cannot be named
          if (!entry.isDirectory() && !entry.isFile() && !entry.isSymbolicLink()) continue;
          const at = await follow(root.path, join(real, name));
          if (at) entries.push({ id: `${id}/${name}`, name, kind: at.folder ? 'folder' : 'file', bytes: at.bytes });
        }
      } catch (error) {
        throw fileError(`cannot read ${id}`, error);
      }
      const order = new Intl.Collator('en', { numeric: true });
      entries.sort(
        (a, b) => Number(b.kind === 'folder') - Number(a.kind === 'folder') || order.compare(a.name, b.name) || (a.name < b.name ? -1 : 1),
      );
      return { id, name: id.includes('/') ? basename(id) : root.name, entries, more };
    },
    find: async (id, sent) => {
      const upload = uploads.get(id);
      if (upload && !upload.busy) {
        if (!sent)
          throw new StudioError(
            'notHere',
            'that is used where it lies, so it cannot be sent: name it in a folder named at start (--roots), or have it copied where that can be asked for',
          );
        return { path: upload.path, names: [[upload.path, basename(upload.path)]] };
      }
      const { real, folder, root } = await find(id);
      const chosen = admitted.get(root.id);
      // links in a folder of the person's own choice may lead where they will: whole checkpoints consist of them
      if (chosen) return { path: real, names: [[real, id.includes('/') ? basename(id) : chosen.name], [chosen.path, chosen.name], [chosen.given, chosen.name]] }; // prettier-ignore
      if (folder) await closed(root.path, real, id);
      return { path: real, names: [[real, id], [root.path, root.id]] }; // prettier-ignore
    },
    admit: async given => {
      if (!isAbsolute(given) || given.includes('\0')) throw new StudioError('badInput', 'that is no file of this machine: choose another');
      const name = basename(given) || given;
      let path: string, found: Stats;
      try {
        path = await realpath(given);
        found = await stat(path);
      } catch (error) {
        if (/^(ENOENT|ENOTDIR|ELOOP)$/.test((error as NodeJS.ErrnoException).code ?? ''))
          throw new StudioError('notFound', `${name} is no longer there: choose it again`, { cause: error });
        throw fileError(`cannot read ${name}`, error);
      }
      if (!found.isFile() && !found.isDirectory())
        throw new StudioError('badInput', `${name} is neither a file nor a folder: choose another`);
      let id = known.get(given);
      if (id === undefined || admitted.get(id)!.path !== path) {
        if (admitted.size >= admittedLimit)
          throw new StudioError('busy', 'too many files were chosen: close Protagonist and open it again');
        id = `f${admitted.size + 1}`;
        admitted.set(id, { id, name, path, given });
        known.set(given, id);
      }
      return { id, name, kind: found.isFile() ? 'file' : 'folder', bytes: found.isFile() ? found.size : 0 };
    },
    keep: async (name, body) => {
      const tooMany = new HttpError(413, 'Too many files were sent and not used: use them, or wait an hour.');
      if (uploads.size >= waitingLimit) throw tooMany;
      const unkept = (error: unknown) => new HttpError(507, fileError('the file that was sent cannot be kept', error).message);
      let room: string;
      try {
        room = waitingRoom();
      } catch (error) {
        throw unkept(error);
      }
      const id = `u${randomBytes(16).toString('base64url')}`,
        path = join(room, id, fileName(name)),
        upload = { path, bytes: 0, at: performance.now(), busy: true };
      uploads.set(id, upload);
      try {
        mkdirSync(join(room, id), { mode: 0o700 });
        const file = await open(path, 'wx', 0o600);
        try {
          for await (const chunk of body) {
            upload.bytes += chunk.length;
            waiting += chunk.length;
            if (waiting > bytesLimit) throw tooMany;
            await file.appendFile(chunk);
          }
        } finally {
          await file.close();
        }
        upload.busy = false;
        return { id, bytes: upload.bytes };
      } catch (error) {
        await forget(id);
        throw error instanceof HttpError ? error : unkept(error);
      }
    },
    drop: async ids => {
      for (const id of ids) await forget(id);
    },
    close: () => {
      clearInterval(sweep);
      if (folder) rmSync(folder, { recursive: true, force: true });
    },
  };
}
