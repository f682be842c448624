/** @file Checkpoints and adapters: used where they lie, read whole once, known by their content from then on. */
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { z } from 'zod';
import type { api } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import { rowOf, type AdapterId, type CheckpointId, type SubjectId } from '../contract/ids.ts';
import { adapter, checkpoint, sha256, type Adapter, type Checkpoint } from '../contract/records.ts';
import type { HostOf } from '../contract/rpc.ts';
import type { Engine, Verified } from '../../native-models/tasks.ts';
import { DatabaseError } from './database.ts';
import type { Library } from './library.ts';
import { absolute, readRecord } from './rows.ts';

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
  readonly checkpoints: HostOf<typeof api>['checkpoints'];
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
  /** What each takes on the disk, wherever that is. */
  files(): { readonly id: string; readonly kind: 'checkpoints' | 'adapters'; readonly bytes: number; readonly missing: boolean }[];
}

/** @param verify an engine that reads files; it computes nothing
 * @param embedded the checkpoints that come with the program; the first is the default of a new library */
export function catalogue(library: Library, verify: Pick<Engine, 'verify'>, embedded: readonly Embedded[]): Catalogue {
  const { db } = library;
  const never = new AbortController().signal;
  const now = () => new Date().toISOString();
  /** Rows name an embedded checkpoint's files by this, since the program may have been moved since. */
  const marks = embedded.map(({ path }) => ({ mark: `embedded:${basename(path)}`, path: resolve(path) }));
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
  /** Writes what was found at `path`: a new row, or the row that had this content or this place. */
  const keepCheckpoint = async (path: string, name: string | undefined, isEmbedded: boolean, signal?: AbortSignal): Promise<Checkpoint> => {
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
      if (before && old && !isEmbedded && before.path !== toRow(path) && old.sha256 === found.sha256 && !gone(before.path, old.files)) {
        if (name !== undefined && !old.embedded)
          db.run('UPDATE checkpoints SET record = ? WHERE id = ?', JSON.stringify({ ...old, name }), before.id);
        return `k${before.id}`;
      }
      const record = checkpointRow.parse({
        name: name ?? old?.name ?? (basename(path) || 'checkpoint'),
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
          if (!seen || state(resolve(path), seen) !== 'same') await keepCheckpoint(resolve(path), name, true);
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
    { name, scale, checkpointId }: { name?: string | undefined; scale?: number; checkpointId?: CheckpointId },
  ): AdapterId => {
    const before =
      db.get<Row>('SELECT * FROM adapters WHERE sha256 = ?', found.sha256) ??
      db.get<Row>('SELECT * FROM adapters WHERE path = ?', toRow(path));
    const old = before && readRecord(adapterRow, before.record, `adapter a${before.id}`);
    const stays = old?.sha256 === found.sha256 && !gone(before!.path, old.files), // a copy of what is known and in its place
      place = stays ? before!.path : toRow(path);
    const record = adapterRow.parse({
      name: name ?? old?.name ?? basename(path).replace(/\.safetensors$/i, ''),
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
        return keepCheckpoint(absolute(path), name, false, signal);
      },
      edit: ({ id, name, isDefault }) => {
        db.transaction(() => {
          const row = checkpointById(id);
          if (name !== undefined) db.run('UPDATE checkpoints SET record = json_set(record, ?, ?) WHERE id = ?', '$.name', name, row.id);
          if (isDefault) db.run('UPDATE checkpoints SET is_default = (id = ?)', row.id);
        });
        return sayCheckpoint(id);
      },
      remove: ({ id }) => {
        db.transaction(() => {
          const row = checkpointById(id),
            record = readRecord(checkpointRow, row.record, `checkpoint k${row.id}`);
          canGo(record, record.embedded);
          db.run('DELETE FROM checkpoints WHERE id = ?', row.id);
          if (row.is_default) db.run('UPDATE checkpoints SET is_default = 1 WHERE id = (SELECT min(id) FROM checkpoints)');
        });
        library.say({ type: 'gone', id });
      },
      find: async ({ id, path }, signal) => {
        await moveTo(id, path, signal);
        return sayCheckpoint(id);
      },
    },
    adapters: {
      list: async () => {
        await whenReady();
        return { adapters: db.all<Row>('SELECT * FROM adapters ORDER BY id').map(adapterOf) };
      },
      add: async ({ path, name, scale, subjects }, signal) => {
        await whenReady();
        const there = await read(absolute(path), signal);
        if (there.kind !== 'adapter')
          throw new StudioError('badFile', `${basename(path)} is a checkpoint, not an adapter: add it as a checkpoint`);
        const id = db.transaction(() => {
          const id = writeAdapter(absolute(path), there, { name, scale });
          giveTo(id, subjects);
          return id;
        });
        return sayAdapter(id);
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
      remove: ({ id }) => {
        db.transaction(() => {
          const row = adapterById(id),
            record = readRecord(adapterRow, row.record, `adapter a${row.id}`);
          canGo(record, row.path.startsWith('embedded:'));
          db.run('DELETE FROM adapters WHERE id = ?', row.id);
        });
        library.say({ type: 'gone', id });
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
    files: () => [
      ...db
        .all<Row & { is_default: number }>('SELECT * FROM checkpoints ORDER BY id')
        .map(checkpointOf)
        .map(({ id, bytes, missing }) => ({ id, kind: 'checkpoints' as const, bytes, missing })),
      ...db
        .all<Row>('SELECT * FROM adapters ORDER BY id')
        .map(adapterOf)
        .map(({ id, bytes, missing }) => ({ id, kind: 'adapters' as const, bytes, missing })),
    ],
    place: async (id, sha256, signal) => {
      await whenReady();
      const { table, row, record } = kept(id),
        path = fromRow(row.path);
      const changed = () =>
        new StudioError('conflict', `the files of ${record.name} (${id}) have changed since this was queued: queue it again`);
      if (sha256 !== undefined && sha256 !== record.sha256) throw changed();
      const now = state(path, record.files);
      if (now === 'missing')
        throw new StudioError(
          'missing',
          `${record.name} (${id}) is not where it was: plug in its drive, say where it is now, or remove it from the list`,
        );
      if (now === 'changed') {
        const there = await read(path, signal);
        if (there.sha256 !== record.sha256) throw changed();
        keepFiles(table, row.id, there.files);
      }
      return path;
    },
  };
}
