/** @file Checkpoints and adapters: used where they lie, read whole once, known by their content from then on. */
import { existsSync, statSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { z } from 'zod';
import type { api } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import { rowOf, type AdapterId, type CheckpointId, type SubjectId } from '../contract/ids.ts';
import { adapter, checkpoint, sha256, type Adapter, type Checkpoint } from '../contract/records.ts';
import type { HostOf } from '../contract/rpc.ts';
import { asFailure, type Engine, type Verified } from '../../native-models/tasks.ts';
import { fileError } from '../media/error.ts';
import { syncFolder } from '../media/files.ts';
import { DatabaseError } from './database.ts';
import type { Library } from './library.ts';
import { absolute, copyWhole, folderIn, readRecord } from './rows.ts';

/** A checkpoint that comes with the program. */
export interface Embedded {
  readonly name: string;
  readonly path: string;
}

const files = z.array(z.object({ path: z.string(), bytes: z.number(), mtimeMs: z.number() }));
const recommended = checkpoint.shape.recommended;
/** What the rows keep beside their columns. */
const checkpointRow = checkpoint
  .omit({ id: true, isDefault: true, missing: true, recommended: true })
  .extend({ recommended: recommended.omit({ adapterId: true }).extend({ adapter: sha256.nullable() }), files });
const adapterRow = adapter.omit({ id: true, subjects: true, missing: true }).extend({ files });

interface Row {
  readonly id: number;
  readonly path: string;
  readonly record: string;
}

export interface Catalogue {
  /** Without `remove`: whoever downloads has a part in it. */
  readonly checkpoints: Omit<HostOf<typeof api>['checkpoints'], 'remove'>;
  readonly adapters: HostOf<typeof api>['adapters'];
  /** The one named, or (null) the default.
   * @throws StudioError `notFound` */
  checkpoint(id: CheckpointId | null): Promise<Checkpoint>;
  /** @throws StudioError `notFound` */
  adapter(id: AdapterId): Adapter;
  /** What a request of these subjects takes if it names none: the subjects' own adapters, else the checkpoint's. */
  adaptersFor(subjects: readonly SubjectId[], checkpoint: Checkpoint): { id: AdapterId; scale: number }[];
  /** Where its files lie, as they were verified; read again where sizes or times have changed.
   * @param sha256 what a job was queued with
   * @throws StudioError `missing` where they are gone, `conflict` where they have become something else */
  place(id: CheckpointId | AdapterId, sha256?: string, signal?: AbortSignal): Promise<string>;
  /** Where its files lie or did, absolute; nothing is looked at.
   * @throws StudioError `notFound` */
  where(id: CheckpointId | AdapterId): Promise<string>;
  /** The checkpoint that lies at a path, where the list has one. */
  at(path: string): Checkpoint | undefined;
  /** Takes a folder of the library's own into the list, and where its content is known already, knows it there from now on.
   * @param name what it is called if it has no name yet */
  adopt(path: string, name: string, signal: AbortSignal): Promise<Checkpoint>;
  /** Takes a checkpoint off the list; with `files` the adapters that lie in its folder, too.
   * @param allow called before anything changes, with its name and where it lies, absolute
   * @throws StudioError `notFound`, `conflict` where it comes with the program or a waiting job needs it */
  remove(id: CheckpointId, files: boolean, allow?: (name: string, path: string) => void): void;
  /** What each takes on the disk, wherever that is. `own`: its folder inside the library, relative to it and with `/`; null elsewhere. */
  files(): {
    readonly id: string;
    readonly kind: 'checkpoints' | 'adapters';
    readonly bytes: number;
    readonly missing: boolean;
    readonly own: string | null;
  }[];
  /** Folders inside the library that are about to be listed. */
  arriving(): ReadonlySet<string>;
}

interface AdapterWords {
  readonly name?: string | undefined;
  /** If it has no name yet. */
  readonly else?: string;
  readonly scale?: number;
  readonly checkpointId?: CheckpointId;
  /** The library's copy: where it lies from now on. */
  readonly own?: boolean;
}
/** Where the library's own copy of an adapter lies in it. */
const ownCopy = /^adapters\/[0-9a-f]{64}$/;
const adapterName = (path: string): string => basename(path).replace(/\.safetensors$/i, '') || 'adapter';

/** @param verify an engine that reads files; it computes nothing
 * @param embedded the checkpoints that come with the program; the first is the default of a new library */
export function catalogue(library: Library, verify: Pick<Engine, 'verify'>, embedded: readonly Embedded[]): Catalogue {
  const { db } = library;
  const never = new AbortController().signal;
  const now = () => new Date().toISOString();
  /** Rows name the files of an embedded checkpoint, and those inside the library, by these, since the program or the library may have been moved since. */
  const marks = [
    ...embedded.map(({ path }) => ({ mark: `embedded:${basename(path)}`, path: resolve(path) })),
    { mark: 'library:', path: library.home },
  ];
  /** Relative to the library, with `/`; null where it lies elsewhere. */
  const inLibrary = (path: string): string | null => {
    const inside = relative(library.home, path);
    return inside === '' || inside.startsWith('..') || isAbsolute(inside) ? null : inside.replaceAll('\\', '/');
  };
  const toRow = (path: string) => {
    const inside = marks.find(m => path === m.path || path.startsWith(`${m.path}/`) || path.startsWith(`${m.path}\\`));
    return inside ? inside.mark + path.slice(inside.path.length) : path;
  };
  const fromRow = (path: string) => {
    const inside = marks.find(m => path === m.mark || path.startsWith(`${m.mark}/`) || path.startsWith(`${m.mark}\\`));
    return inside ? inside.path + path.slice(inside.mark.length) : path;
  };
  /** How the files differ from what was verified. */
  const state = (path: string, seen: z.infer<typeof files>): 'same' | 'changed' | 'missing' => {
    let same = true;
    const folder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ? path : dirname(path);
    for (const file of seen) {
      const stat = statSync(resolve(folder, file.path), { throwIfNoEntry: false });
      if (!stat) return 'missing';
      if (stat.size !== file.bytes || Math.abs(stat.mtimeMs - file.mtimeMs) > 2) same = false;
    }
    return same ? 'same' : 'changed';
  };
  const gone = (path: string, seen: z.infer<typeof files>) => {
    try {
      return state(fromRow(path), seen) === 'missing';
    } catch {
      return true; // a drive that reports errors is as good as gone
    }
  };
  const read = async (path: string, signal = never): Promise<Verified> => {
    if (!existsSync(path)) throw new StudioError('missing', `there is nothing at ${path}: check the path, or plug in its drive`);
    return verify.verify({ task: 'verify', path }, () => undefined, signal);
  };

  // Checkpoints

  const checkpointOf = (row: Row & { readonly is_default: number }): Checkpoint => {
    const { files: seen, ...record } = readRecord(checkpointRow, row.record, `checkpoint k${row.id}`);
    const { adapter, ...recommended } = record.recommended,
      own = adapter === null ? undefined : db.get<{ id: number }>('SELECT id FROM adapters WHERE sha256 = ?', adapter);
    return {
      ...record,
      id: `k${row.id}`,
      isDefault: row.is_default === 1,
      recommended: { ...recommended, adapterId: own ? `a${own.id}` : null },
      missing: gone(row.path, seen),
    };
  };
  const checkpointById = (id: CheckpointId) => {
    const row = db.get<Row & { is_default: number }>('SELECT * FROM checkpoints WHERE id = ?', rowOf(id));
    if (!row) throw new StudioError('notFound', `there is no checkpoint ${id}: list them`);
    return row;
  };
  const sayCheckpoint = (id: CheckpointId): Checkpoint => {
    const told = checkpointOf(checkpointById(id));
    library.say({ type: 'checkpoint', checkpoint: told });
    return told;
  };
  /** Writes what was found at `path`: a new row, or the row that had this content or this place.
   * @param ours with the program's own, and with what the library keeps itself, `path` is where it lies from now on; `else`: its name if it has none */
  const keepCheckpoint = async (
    path: string,
    name: string | undefined,
    ours: { readonly embedded: boolean; readonly else?: string } | undefined,
    signal?: AbortSignal,
  ): Promise<Checkpoint> => {
    const isEmbedded = ours?.embedded ?? false;
    const found = await read(path, signal);
    if (found.kind !== 'checkpoint')
      throw new StudioError('badFile', `${basename(path)} is an adapter, not a checkpoint: add it as an adapter`);
    const { adapter: adapterPath, ...settings } = found.recommended;
    const brought = adapterPath === null ? undefined : await read(adapterPath, signal);
    const id = db.transaction((): CheckpointId => {
      const before =
        db.get<Row>('SELECT * FROM checkpoints WHERE sha256 = ?', found.sha256) ??
        (isEmbedded ? db.get<Row>('SELECT * FROM checkpoints WHERE path = ?', toRow(path)) : undefined);
      const old = before && readRecord(checkpointRow, before.record, `checkpoint k${before.id}`);
      // A copy of what is known and in its place changes nothing but the name.
      if (before && old && !ours && before.path !== toRow(path) && old.sha256 === found.sha256 && !gone(before.path, old.files)) {
        if (name !== undefined && !old.embedded)
          db.run('UPDATE checkpoints SET record = ? WHERE id = ?', JSON.stringify({ ...old, name }), before.id);
        return `k${before.id}`;
      }
      const record = checkpointRow.parse({
        name: name ?? old?.name ?? ours?.else ?? (basename(path) || 'checkpoint'),
        className: found.className,
        sha256: found.sha256,
        bytes: found.bytes,
        embedded: isEmbedded || (old?.embedded ?? false),
        severalSubjects: found.severalSubjects,
        recommended: { ...settings, adapter: brought?.sha256 ?? null },
        createdAt: old?.createdAt ?? now(),
        files: found.files,
      });
      if (before)
        db.run(
          'UPDATE checkpoints SET sha256 = ?, path = ?, record = ? WHERE id = ?',
          found.sha256,
          toRow(path),
          JSON.stringify(record),
          before.id,
        );
      else {
        const first = db.get('SELECT id FROM checkpoints') === undefined;
        db.run(
          'INSERT INTO checkpoints (sha256, path, is_default, record) VALUES (?, ?, ?, ?)',
          found.sha256,
          toRow(path),
          first ? 1 : 0,
          JSON.stringify(record),
        );
      }
      const { id } = db.get<{ id: number }>('SELECT id FROM checkpoints WHERE sha256 = ?', found.sha256)!;
      if (adapterPath !== null && brought?.kind === 'adapter')
        writeAdapter(adapterPath, brought, { name: `${record.name} subject`, checkpointId: `k${id}` });
      return `k${id}`;
    });
    return sayCheckpoint(id);
  };

  let looking: Promise<Error | undefined> | undefined;
  /** Sees to it that the embedded checkpoints have rows: the first time, after the program brought other files, after a backup was restored.
   * @returns what one of them was refused for: the others, and a person's own, can be used all the same */
  const whenReady = (): Promise<Error | undefined> =>
    (looking ??= (async () => {
      let trouble: Error | undefined;
      for (const { name, path } of embedded) {
        try {
          const row = db.get<Row>('SELECT * FROM checkpoints WHERE path = ?', toRow(resolve(path)));
          const seen = row && readRecord(checkpointRow, row.record, `checkpoint k${row.id}`).files;
          if (!seen || state(resolve(path), seen) !== 'same') await keepCheckpoint(resolve(path), name, { embedded: true });
        } catch (e) {
          if (!(e instanceof Error) || e instanceof DatabaseError) throw e;
          trouble ??= e;
        }
      }
      return trouble;
    })().finally(() => (looking = undefined)));

  // Adapters

  const adapterOf = (row: Row): Adapter => {
    const { files: seen, ...record } = readRecord(adapterRow, row.record, `adapter a${row.id}`);
    return {
      ...record,
      id: `a${row.id}`,
      subjects: db
        .all<{ subject: number }>('SELECT subject FROM adapter_subjects WHERE adapter = ? ORDER BY subject', row.id)
        .map(r => `s${r.subject}` as const),
      missing: gone(row.path, seen),
    };
  };
  const adapterById = (id: AdapterId) => {
    const row = db.get<Row>('SELECT * FROM adapters WHERE id = ?', rowOf(id));
    if (!row) throw new StudioError('notFound', `there is no adapter ${id}: list them`);
    return row;
  };
  const sayAdapter = (id: AdapterId): Adapter => {
    const told = adapterOf(adapterById(id));
    library.say({ type: 'adapter', adapter: told });
    return told;
  };
  const writeAdapter = (
    path: string,
    found: Extract<Verified, { kind: 'adapter' }>,
    { name, else: otherwise, scale, checkpointId, own = false }: AdapterWords,
  ): AdapterId => {
    const before =
      db.get<Row>('SELECT * FROM adapters WHERE sha256 = ?', found.sha256) ??
      db.get<Row>('SELECT * FROM adapters WHERE path = ?', toRow(path));
    const old = before && readRecord(adapterRow, before.record, `adapter a${before.id}`);
    const stays = !own && old?.sha256 === found.sha256 && !gone(before!.path, old.files), // a copy of what is known and in its place
      place = stays ? before!.path : toRow(path);
    const record = adapterRow.parse({
      name: name ?? old?.name ?? otherwise ?? adapterName(path),
      sha256: found.sha256,
      bytes: found.bytes,
      rank: found.ranks.length === 1 ? found.ranks[0] : null,
      scale: scale ?? old?.scale ?? 1,
      checkpointId: old?.checkpointId ?? checkpointId ?? null,
      createdAt: old?.createdAt ?? now(),
      files: stays ? old.files : found.files,
    });
    if (before)
      db.run('UPDATE adapters SET sha256 = ?, path = ?, record = ? WHERE id = ?', found.sha256, place, JSON.stringify(record), before.id);
    else db.run('INSERT INTO adapters (sha256, path, record) VALUES (?, ?, ?)', found.sha256, toRow(path), JSON.stringify(record));
    return `a${db.get<{ id: number }>('SELECT id FROM adapters WHERE sha256 = ?', found.sha256)!.id}`;
  };
  const arriving = new Set<string>();
  let copies: Promise<unknown> = Promise.resolve();
  /** One after the other: two may be of the same content. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = copies.then(work);
    copies = mine.catch(() => undefined);
    return mine;
  };
  /** Sees to the library's own copy of an adapter, `adapters/<its SHA-256>`: it appears there only whole.
   * @param found what lies at `from`
   * @param keep writes the row, with what was read at the copy's place */
  const copyAdapter = <T>(from: string, found: Verified, signal: AbortSignal, keep: (path: string, there: Verified) => T): Promise<T> =>
    inTurn(async () => {
      const folder = join(await folderIn(library, 'adapters'), found.sha256),
        part = `${folder}.part`,
        base = statSync(from).isDirectory() ? from : dirname(from),
        names = [inLibrary(folder)!, inLibrary(part)!];
      const listed = db.get<Row>('SELECT * FROM adapters WHERE path = ?', toRow(folder));
      if (listed && state(folder, readRecord(adapterRow, listed.record, `adapter a${listed.id}`).files) === 'same')
        return keep(folder, await read(folder, signal));
      for (const name of names) arriving.add(name);
      try {
        await rm(part, { recursive: true, force: true }); // what a killed copy has left
        await mkdir(part);
        for (const file of found.files) await copyWhole(resolve(base, file.path), join(part, basename(file.path)), { signal });
        const there = await read(part, signal);
        if (there.sha256 !== found.sha256)
          throw new StudioError('conflict', `${basename(from)} has changed while it was copied: wait until it is complete, then try again`);
        await rm(folder, { recursive: true, force: true });
        await rename(part, folder);
        await syncFolder(dirname(folder));
        return keep(folder, there);
      } catch (error) {
        await rm(part, { recursive: true, force: true }).catch(() => undefined); // the first error says more
        throw error instanceof Error && 'syscall' in error ? fileError(`cannot write ${folder}`, error) : error;
      } finally {
        for (const name of names) arriving.delete(name);
      }
    });
  /** What is wrong, or to be known, of a file in words that tell no path. */
  const plainly = (text: string, path: string, name: string): string => text.replaceAll(path, () => name);
  const giveTo = (id: AdapterId, subjects: readonly SubjectId[]) => {
    db.run('DELETE FROM adapter_subjects WHERE adapter = ?', rowOf(id));
    for (const subject of subjects) {
      if (!db.get('SELECT id FROM subjects WHERE id = ?', rowOf(subject)))
        throw new StudioError('notFound', `there is no subject ${subject}: list them`);
      db.run('INSERT OR IGNORE INTO adapter_subjects (adapter, subject) VALUES (?, ?)', rowOf(id), rowOf(subject));
    }
  };
  /** Refuses to take away what comes with the program, and what waiting jobs need. */
  const canGo = ({ name, sha256 }: { readonly name: string; readonly sha256: string }, isEmbedded: boolean) => {
    if (isEmbedded) throw new StudioError('conflict', `${name} comes with Protagonist and cannot be removed`);
    const { n } = db.get<{ n: number }>(
      `SELECT count(*) AS n FROM jobs WHERE status IN ('pending', 'inProgress', 'paused') AND instr(record, ?)`,
      sha256,
    )!;
    if (n > 0)
      throw new StudioError(
        'conflict',
        `${n} waiting ${n === 1 ? 'job needs' : 'jobs need'} ${name}: let them finish or cancel them first`,
      );
  };
  /** What is kept of either. */
  const kept = (id: CheckpointId | AdapterId) => {
    const isCheckpoint = id.startsWith('k'),
      row = isCheckpoint ? checkpointById(id as CheckpointId) : adapterById(id as AdapterId);
    return {
      table: isCheckpoint ? 'checkpoints' : 'adapters',
      row,
      record: readRecord(isCheckpoint ? checkpointRow : adapterRow, row.record, id),
    };
  };
  const lost = (id: string, name: string) =>
    new StudioError('missing', `${name} (${id}) is not where it was: plug in its drive, say where it is now, or remove it from the list`);
  /** Only these of the record: reading gigabytes takes its time, and meanwhile it may have been given another name. */
  const keepFiles = (table: string, row: number, files: Verified['files']) =>
    db.run(`UPDATE ${table} SET record = json_set(record, '$.files', json(?)) WHERE id = ?`, JSON.stringify(files), row);
  /** Keeps that the same thing lies at another place now. */
  const moveTo = async (id: CheckpointId | AdapterId, path: string, signal: AbortSignal): Promise<void> => {
    const { table, row, record } = kept(id);
    const there = await read(absolute(path), signal);
    if (there.sha256 !== record.sha256)
      throw new StudioError(
        'conflict',
        `what lies at ${path} is not ${record.name}, its content differs: choose another place, or add it anew`,
      );
    db.transaction(() => {
      keepFiles(table, row.id, there.files);
      db.run(`UPDATE ${table} SET path = ? WHERE id = ?`, toRow(absolute(path)), row.id);
    });
  };

  /** Reads every byte of it where it lies.
   * @throws StudioError `missing`, `conflict` where it has become something else, and what reading it says, without its path */
  const readAgain = async (id: CheckpointId | AdapterId, signal: AbortSignal) => {
    await whenReady();
    const { table, row, record } = kept(id),
      path = fromRow(row.path);
    const changed = () => new StudioError('conflict', `${record.name} (${id}) has changed since it was added: add it anew`);
    if (gone(row.path, record.files)) throw lost(id, record.name);
    let found: Verified;
    try {
      found = await read(path, signal);
    } catch (error) {
      const { code, text } = asFailure(error);
      throw new StudioError(code, plainly(text, path, record.name), { cause: error });
    }
    if (found.sha256 !== record.sha256) throw changed();
    return { found, record, path, changed, table, row: row.id };
  };

  return {
    checkpoints: {
      list: async () => {
        const trouble = await whenReady(),
          rows = db.all<Row & { is_default: number }>('SELECT * FROM checkpoints ORDER BY id');
        if (!rows.length && trouble) throw trouble;
        return { checkpoints: rows.map(checkpointOf) };
      },
      add: async ({ path, name }, signal) => {
        await whenReady();
        return keepCheckpoint(absolute(path), name, undefined, signal);
      },
      edit: ({ id, name, isDefault }) => {
        db.transaction(() => {
          const row = checkpointById(id);
          if (name !== undefined) db.run('UPDATE checkpoints SET record = json_set(record, ?, ?) WHERE id = ?', '$.name', name, row.id);
          if (isDefault) db.run('UPDATE checkpoints SET is_default = (id = ?)', row.id);
        });
        return sayCheckpoint(id);
      },
      find: async ({ id, path }, signal) => {
        await moveTo(id, path, signal);
        return sayCheckpoint(id);
      },
      verify: async ({ id }, signal) => {
        const { found, table, row } = await readAgain(id, signal);
        keepFiles(table, row, found.files);
        return sayCheckpoint(id);
      },
    },
    adapters: {
      list: async () => {
        await whenReady();
        return { adapters: db.all<Row>('SELECT * FROM adapters ORDER BY id').map(adapterOf) };
      },
      add: async ({ path, name, scale, subjects, copy }, signal) => {
        await whenReady();
        const there = await read(absolute(path), signal);
        const keep = (at: string, found: Verified, own: boolean) => {
          if (found.kind !== 'adapter')
            throw new StudioError('badFile', `${basename(path)} is a checkpoint, not an adapter: add it as a checkpoint`);
          return db.transaction(() => {
            const id = writeAdapter(at, found, { name, else: adapterName(path), scale, own });
            giveTo(id, subjects);
            return id;
          });
        };
        const before = db.get<Row>('SELECT * FROM adapters WHERE sha256 = ?', there.sha256),
          isOurs =
            before?.path.startsWith('embedded:') === true &&
            !gone(before.path, readRecord(adapterRow, before.record, `adapter a${before.id}`).files);
        const id =
          copy && there.kind === 'adapter' && !isOurs // what comes with the program stays with it
            ? await copyAdapter(path, there, signal, (at, found) => keep(at, found, true))
            : keep(absolute(path), there, false);
        return sayAdapter(id);
      },
      inspect: async ({ id }, signal) => {
        const { found, record, path, changed } = await readAgain(id, signal);
        if (found.kind !== 'adapter') throw changed();
        const { ranks, alphas, modules, transformerClass = null, bytes, notices } = found;
        return { ranks, alphas, modules, transformerClass, bytes, notices: notices.map(text => plainly(text, path, record.name)) };
      },
      edit: ({ id, name, scale, subjects }) => {
        db.transaction(() => {
          const row = adapterById(id),
            record = readRecord(adapterRow, row.record, `adapter a${row.id}`);
          const next = { ...record, ...(name !== undefined && { name }), ...(scale !== undefined && { scale }) };
          db.run('UPDATE adapters SET record = ? WHERE id = ?', JSON.stringify(next), row.id);
          if (subjects) giveTo(id, subjects);
        });
        return sayAdapter(id);
      },
      remove: async ({ id }) => {
        const path = db.transaction(() => {
          const row = adapterById(id),
            record = readRecord(adapterRow, row.record, `adapter a${row.id}`);
          canGo(record, row.path.startsWith('embedded:'));
          db.run('DELETE FROM adapters WHERE id = ?', row.id);
          return row.path;
        });
        library.say({ type: 'gone', id });
        const own = inLibrary(fromRow(path));
        if (own === null || !ownCopy.test(own)) return;
        await inTurn(async () => {
          // a copy that cannot be removed is cleaned away with what other work has left
          if (!db.get('SELECT id FROM adapters WHERE path = ?', path))
            await rm(fromRow(path), { recursive: true, force: true }).catch(() => undefined);
        });
      },
      find: async ({ id, path }, signal) => {
        await moveTo(id, path, signal);
        return sayAdapter(id);
      },
    },
    checkpoint: async id => {
      const trouble = await whenReady();
      if (id !== null) return checkpointOf(checkpointById(id));
      const row = db.get<Row & { is_default: number }>('SELECT * FROM checkpoints ORDER BY is_default DESC, id LIMIT 1');
      if (!row) throw trouble ?? new StudioError('notFound', 'there is no checkpoint: add one');
      return checkpointOf(row);
    },
    remove: (id, files, allow) =>
      db.transaction(() => {
        const row = checkpointById(id),
          record = readRecord(checkpointRow, row.record, `checkpoint k${row.id}`);
        canGo(record, record.embedded);
        allow?.(record.name, fromRow(row.path));
        for (const adapter of files ? db.all<Row>('SELECT * FROM adapters ORDER BY id') : []) {
          if (!adapter.path.startsWith(`${row.path}/`)) continue;
          canGo(readRecord(adapterRow, adapter.record, `adapter a${adapter.id}`), false);
          db.run('DELETE FROM adapters WHERE id = ?', adapter.id);
          library.say({ type: 'gone', id: `a${adapter.id}` });
        }
        db.run('DELETE FROM checkpoints WHERE id = ?', row.id);
        if (row.is_default) db.run('UPDATE checkpoints SET is_default = 1 WHERE id = (SELECT min(id) FROM checkpoints)');
        library.say({ type: 'gone', id });
        const next = row.is_default ? db.get<{ id: number }>('SELECT id FROM checkpoints WHERE is_default = 1') : undefined;
        if (next) sayCheckpoint(`k${next.id}`);
      }),
    adapter: id => adapterOf(adapterById(id)),
    adaptersFor: (subjects, { recommended }) => {
      const own = subjects.flatMap(s =>
        db.all<Row>('SELECT a.* FROM adapters a JOIN adapter_subjects s ON s.adapter = a.id WHERE s.subject = ? ORDER BY a.id', rowOf(s)),
      );
      if (own.length) return [...new Map(own.map(row => [row.id, adapterOf(row)])).values()].map(({ id, scale }) => ({ id, scale }));
      if (recommended.adapterId === null) return [];
      const { id, scale } = adapterOf(adapterById(recommended.adapterId));
      return [{ id, scale }];
    },
    at: path => {
      const row = db.get<Row & { is_default: number }>('SELECT * FROM checkpoints WHERE path = ?', toRow(path));
      return row && checkpointOf(row);
    },
    adopt: async (path, name, signal) => {
      await whenReady();
      return keepCheckpoint(path, undefined, { embedded: false, else: name }, signal);
    },
    files: () =>
      (['checkpoints', 'adapters'] as const).flatMap(kind =>
        db
          .all<Row & { is_default: number }>(`SELECT * FROM ${kind} ORDER BY id`)
          .map(row => ({ ...(kind === 'checkpoints' ? checkpointOf(row) : adapterOf(row)), own: inLibrary(fromRow(row.path)) }))
          .map(({ id, bytes, missing, own }) => ({ id, kind, bytes, missing, own })),
      ),
    arriving: () => arriving,
    where: async id => {
      await whenReady();
      return fromRow(kept(id).row.path);
    },
    place: async (id, sha256, signal) => {
      await whenReady();
      const { table, row, record } = kept(id),
        path = fromRow(row.path);
      const changed = () =>
        new StudioError('conflict', `the files of ${record.name} (${id}) have changed since this was queued: queue it again`);
      if (sha256 !== undefined && sha256 !== record.sha256) throw changed();
      const now = state(path, record.files);
      if (now === 'missing') throw lost(id, record.name);
      if (now === 'changed') {
        const there = await read(path, signal);
        if (there.sha256 !== record.sha256) throw changed();
        keepFiles(table, row.id, there.files);
      }
      return path;
    },
  };
}
