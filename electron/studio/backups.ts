/**
 * @file Backups of the database: made while it is in use, verified before they count, put back whole.
 *
 * A backup is one file, `<kind>-<date>-<number>.db`; the number orders them, as clocks jump. Nothing that might still be wanted is deleted: a
 * restore, or a database found damaged, first leaves a copy of the files as they are in `recovery/`.
 */
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  statfsSync,
  utimesSync,
} from 'node:fs';
import { copyFile } from 'node:fs/promises';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { scriptAt } from '../media/program.ts';
import { DatabaseError, diskError, openDatabase, type Database } from './database.ts';
import type { Answer, Task } from './inspector.ts';
import { migrate, newestVersion } from './migrations.ts';

export type BackupKind = 'daily' | 'manual' | 'migration';
export interface Backup {
  /** The file's name, which `restoreBackup` takes. */
  readonly name: string;
  readonly kind: BackupKind;
  readonly bytes: number;
  /** ISO 8601, UTC, to the second. */
  readonly createdAt: string;
}

/** How many of each kind are kept; those made by hand stay until a person deletes them. */
const kept: Readonly<Record<BackupKind, number>> = { daily: 3, migration: 3, manual: Infinity };
const day = 24 * 60 * 60 * 1000;
/** What a copy may need beside its pages. */
const margin = 1024 * 1024;

/** One backup, check or restore at a time. */
let turn: Promise<unknown> = Promise.resolve();
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const result = turn.then(work);
  turn = result.catch(() => undefined);
  return result;
}

/** Does a task on a thread of its own, so that the owner goes on answering. */
async function onThread(task: Task): Promise<{ problem: string | undefined; version: number }> {
  const worker = new Worker(scriptAt('./inspector.ts', import.meta.url), { workerData: task, execArgv: [] });
  const answer = await new Promise<Answer>((resolve, reject) => {
    worker.once('message', resolve).once('error', reject);
    worker.once('exit', code => reject(new DatabaseError('failed', `the check of the library ended early (${code}): try again`)));
  });
  if ('failed' in answer) throw new DatabaseError(answer.failed, answer.text, { sqlite: answer.sqlite });
  return answer;
}

/** What was written to a file, or changed in a folder, lasts through a power cut. Windows has no such call for folders. */
function sync(file: string, isFolder = false): void {
  if (isFolder && process.platform === 'win32') return;
  const handle = openSync(file, isFolder ? 'r' : 'r+');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** A DatabaseError for whatever `work` throws: `doing` begins the sentence. */
async function telling<T>(doing: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw diskError(doing, error);
  }
}

/** @throws DatabaseError `noSpace` */
function needSpace(folder: string, bytes: number, doing: string): void {
  const { bavail, bsize } = statfsSync(folder);
  const need = bytes + margin;
  if (bavail * bsize < need)
    throw new DatabaseError(
      'noSpace',
      `${doing}: it needs ${Math.ceil(need / 1e6)} MB and its disk has ${Math.floor((bavail * bsize) / 1e6)} MB free: free some space, then try again`,
    );
}

/** A moment as a part of a file's name, and back. */
const stamp = (ms: number): string =>
  new Date(ms)
    .toISOString()
    .replaceAll(':', '-')
    .replace(/\.\d+Z$/, 'Z');
const pattern = /^(?:(daily|manual)|pre-migration-\d+)-(\d{4}-\d\d-\d\dT)(\d\d)-(\d\d)-(\d\dZ)-(\d+)\.db$/;

function listNumbered(folder: string): (Backup & { number: number })[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw diskError('the backups cannot be listed', error);
  }
  return names
    .flatMap(name => {
      const [, kind = 'migration', date, hour, minute, second, number] = pattern.exec(name) ?? [];
      const stat = date && statSync(path.join(folder, name), { throwIfNoEntry: false });
      if (!stat || !stat.isFile()) return [];
      const createdAt = `${date}${hour!}:${minute!}:${second!}`;
      return [{ name, kind: kind as BackupKind, bytes: stat.size, createdAt, number: Number(number) }];
    })
    .sort((a, b) => b.number - a.number);
}

/**
 * The finished backups in a folder, the latest made first; none where there is no folder.
 * @throws DatabaseError if it cannot be read
 */
export function listBackups(folder: string): Backup[] {
  return listNumbered(folder).map(({ name, kind, bytes, createdAt }) => ({ name, kind, bytes, createdAt }));
}

/**
 * Copies the database as it is now, verifies the copy (all of its pages and indexes, the rows of every table) and only then gives it its name and
 * removes what is over the number kept. The database can be used meanwhile.
 * @param folder made if it is not there
 * @throws DatabaseError with no new backup and every old one left, also if the database itself turns out damaged
 */
export function createBackup(db: Database, folder: string, kind: BackupKind, now = Date.now()): Promise<Backup> {
  const doing = 'the backup cannot be made';
  return inTurn(() =>
    telling(doing, async () => {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      for (const name of readdirSync(folder)) if (name.startsWith('.') && name.includes('.part')) rmSync(path.join(folder, name)); // left by a kill: one process owns the folder
      needSpace(folder, db.pragma('page_count') * db.pragma('page_size'), doing);
      const number = Math.max(0, ...listNumbered(folder).map(b => b.number)) + 1;
      const prefix = kind === 'migration' ? `pre-migration-${db.pragma('user_version')}` : kind;
      const name = `${prefix}-${stamp(now)}-${number}.db`;
      const part = path.join(folder, `.${name}.part`);
      try {
        const { problem } = await onThread({ kind: 'copy', file: db.file, to: part });
        if (problem !== undefined)
          throw new DatabaseError(
            'corrupt',
            `${doing}: the library's database is damaged (${problem}): put back an earlier one with \`protagonist backup restore\``,
          );
        sync(part);
        renameSync(part, path.join(folder, name));
      } catch (error) {
        for (const end of ['', '-journal', '-wal', '-shm']) rmSync(part + end, { force: true });
        throw error;
      }
      sync(folder, true);
      for (const old of listNumbered(folder)
        .filter(b => b.kind === kind)
        .slice(kept[kind]))
        rmSync(path.join(folder, old.name), { force: true });
      return listBackups(folder).find(b => b.name === name)!;
    }),
  );
}

/**
 * Makes the daily backup if the last one is a day old, or a day ahead: then a clock has jumped, and waiting for it could take years.
 * @returns undefined where none is due
 */
export async function dailyBackup(db: Database, folder: string, now = Date.now()): Promise<Backup | undefined> {
  const last = listBackups(folder).find(b => b.kind === 'daily');
  return last && Math.abs(now - Date.parse(last.createdAt)) < day ? undefined : createBackup(db, folder, 'daily', now);
}

/** Reads a database in use through once, without comparing every index: `ok`, or a sentence that says what is wrong and what to do. */
export async function quickCheck(db: Database): Promise<string> {
  try {
    const { problem } = await inTurn(() => onThread({ kind: 'quickCheck', file: db.file }));
    if (problem === undefined) return 'ok';
    return `the library's database is damaged (${problem}): put back a backup with \`protagonist backup restore\``;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const ends = ['', '-wal', '-shm'] as const;
const recoveryOf = (file: string) => path.join(path.dirname(file), 'recovery');
/** A verified database waiting to take the library's place: where it is found, the restore is finished. */
const incoming = (file: string) => `${file}.incoming`;
/** One that is being copied and verified: until it is `incoming`, nothing has begun. */
const staging = (file: string) => `${file}.restoring`;
function clearStaging(file: string): void {
  for (const end of ['', '-journal', '-wal', '-shm']) rmSync(staging(file) + end, { force: true });
}

/**
 * Leaves the database's files, as they are, in `recovery/<date>/`, durably; what lies there already is not copied again.
 * @returns the folder, relative to the library
 */
function keepFiles(file: string, now: number): string {
  const recovery = recoveryOf(file);
  mkdirSync(recovery, { recursive: true, mode: 0o700 });
  const same = (folder: string) =>
    (['', '-wal'] as const).every(end => {
      const [here, there] = [file, path.join(recovery, folder, path.basename(file))].map(f => statSync(f + end, { throwIfNoEntry: false }));
      if (!here) return end !== ''; // SQLite takes the log away when it closes a file that it cannot read
      return here.size === there?.size && Math.abs(here.mtimeMs - there.mtimeMs) < 1;
    });
  const already = readdirSync(recovery).find(same);
  if (already !== undefined) return `recovery/${already}`;
  let name = stamp(now);
  for (let n = 2; existsSync(path.join(recovery, name)); n++) name = `${stamp(now)}-${n}`;
  mkdirSync(path.join(recovery, name), { mode: 0o700 });
  for (const end of ends) {
    const to = path.join(recovery, name, path.basename(file) + end);
    const stat = statSync(file + end, { throwIfNoEntry: false });
    if (!stat) continue;
    try {
      copyFileSync(file + end, to, constants.COPYFILE_FICLONE);
      sync(to);
      utimesSync(to, stat.atime, stat.mtime);
    } catch (error) {
      rmSync(to, { force: true });
      if (end === '-shm') continue; // an index of the log that SQLite makes anew; Windows keeps it locked
      try {
        linkSync(file + end, to); // a full or failing disk: the file itself then, which a restore replaces by rename
      } catch {
        throw error;
      }
    }
  }
  sync(path.join(recovery, name), true);
  sync(recovery, true);
  return `recovery/${name}`;
}

/** Ends a restore that has begun: the old log must not be replayed over the new file. Repeated after a crash until it is done. */
function finishRestore(file: string): void {
  if (!existsSync(incoming(file))) return;
  for (const end of ['-wal', '-shm']) rmSync(file + end, { force: true });
  sync(path.dirname(file), true);
  renameSync(incoming(file), file);
  sync(path.dirname(file), true);
}

/**
 * Puts a backup in the database's place, under the same handle. The backup is copied, verified and brought to the newest version first; until then,
 * and whatever goes wrong, the library is as it was. The files replaced stay in `recovery/`. A power cut leaves the old library or the new one.
 * @param db open, or closed (`new Database(file)`) where the file cannot be opened any more; open afterwards
 * @param name of a backup in `folder`
 * @returns where the replaced files are, relative to the library; undefined if there were none
 * @throws DatabaseError `badRequest` for a name that is not in the list, `corrupt` for a damaged backup, `newer` for one of a later program
 */
export function restoreBackup(db: Database, folder: string, name: string, now = Date.now()): Promise<string | undefined> {
  const doing = `the backup ${name} cannot be put back`;
  return inTurn(() =>
    telling(doing, async () => {
      const chosen = listBackups(folder).find(b => b.name === name);
      if (!chosen)
        throw new DatabaseError(
          'badRequest',
          `there is no backup ${JSON.stringify(name.slice(0, 100))}: \`protagonist backup list\` shows them`,
        );
      const { file } = db;
      const staged = staging(file);
      clearStaging(file);
      try {
        needSpace(path.dirname(file), chosen.bytes, doing);
        await copyFile(path.join(folder, name), staged, constants.COPYFILE_FICLONE);
        const { problem, version } = await onThread({ kind: 'verify', file: staged }).catch((error: unknown) => {
          if (!(error instanceof DatabaseError) || error.code !== 'corrupt') throw error;
          return { problem: error.message, version: 0 };
        });
        if (problem !== undefined) throw new DatabaseError('corrupt', `${doing}: it is damaged: choose another`);
        if (version > newestVersion)
          throw new DatabaseError(
            'newer',
            `${doing}: it was made by a newer Protagonist (its version is ${version}, this program knows ${newestVersion}): choose another, or update Protagonist`,
          );
        const copy = openDatabase(staged, { journal: 'delete' });
        try {
          await migrate(copy);
        } finally {
          copy.close();
        }
        sync(staged);
        const replaced = existsSync(file) ? keepFiles(file, now) : undefined; // while the log is as it was: closing writes it into the file
        db.close();
        try {
          renameSync(staged, incoming(file)); // from here on it will be finished
        } catch (error) {
          db.open();
          throw error;
        }
        sync(path.dirname(file), true);
        finishRestore(file);
        db.open();
        return replaced;
      } finally {
        clearStaging(file);
      }
    }),
  );
}

/**
 * Opens the database of a library: finishes a restore that a crash cut short, backs up before migrating, migrates.
 * @param home the library's folder; holds `library.db`, `backups/` and `recovery/`
 * @throws DatabaseError `corrupt` with every file left where it was and copied into `recovery/`; `newer`; what the disk says
 */
export async function openLibraryDatabase(home: string): Promise<Database> {
  const file = path.join(home, 'library.db');
  let keptIn = '';
  const onCorrupt = () => {
    try {
      keptIn = `its files are kept in ${keepFiles(file, Date.now())}`;
    } catch (error) {
      keptIn = `they could not be copied (${diskError('', error).message.replace(/^: /, '')}) and are where they were`;
    }
  };
  const open = () => openDatabase(file, { onCorrupt });
  const db = await telling("the library's database cannot be opened", () => {
    finishRestore(file);
    clearStaging(file);
    try {
      return open();
    } catch (error) {
      if (!(error instanceof DatabaseError) || error.code !== 'corrupt') throw error;
    }
    try {
      return open(); // once more: a disk can misread
    } catch (error) {
      if (!(error instanceof DatabaseError) || error.code !== 'corrupt') throw error;
      const how = error.cause instanceof Error ? ` (${error.cause.message})` : '';
      throw new DatabaseError(
        'corrupt',
        `the library's database is damaged${how}; ${keptIn}: put back a backup with \`protagonist backup restore\``,
        {
          cause: error,
          sqlite: error.sqlite,
        },
      );
    }
  });
  try {
    await migrate(db, { before: () => createBackup(db, path.join(home, 'backups'), 'migration') });
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
