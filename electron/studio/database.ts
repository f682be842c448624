/**
 * @file The one door to SQLite: a database file of ours, its statements and transactions, and one sentence for each way a disk says no.
 *
 * A commit is on the disk when `run`, or the outermost `transaction`, returns: write-ahead log, `synchronous=FULL`. One process writes; threads
 * of it may read through handles of their own. While a handle is open, never open and close that file by `node:fs` in the same process: POSIX
 * then drops the locks SQLite holds on it.
 */
import { closeSync, fsyncSync, openSync, rmSync, statSync, statfsSync, writeSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync, backup, type SQLInputValue, type StatementSync } from 'node:sqlite';

/**
 * - `noSpace`, `readOnly`, `disk`: the disk says so; the same handle works again once it is mended
 * - `corrupt`: the file is damaged; `newer`: a later version made it; `badPlace`: no library can be there
 * - `badRequest`: there is no such backup; `busy`: another program holds a lock on the file
 * - `bug`: a constraint, a statement of ours that is wrong; `failed`: anything else
 */
export type DatabaseErrorCode =
  'noSpace' | 'readOnly' | 'disk' | 'corrupt' | 'newer' | 'badPlace' | 'badRequest' | 'busy' | 'bug' | 'failed';

/** A failure of the database or its place; the message is one sentence that names the cause and the next step. */
export class DatabaseError extends Error {
  readonly code: DatabaseErrorCode;
  /** SQLite's extended result code, where it was SQLite that failed: 2067 is a UNIQUE constraint, 787 a foreign key. */
  readonly sqlite: number | undefined;
  constructor(code: DatabaseErrorCode, text: string, options?: ErrorOptions & { sqlite?: number | undefined }) {
    super(text, options);
    this.name = 'DatabaseError';
    this.code = code;
    this.sqlite = options?.sqlite;
  }
}

/** What the system's codes mean to a person. */
const systems: Readonly<Partial<Record<string, readonly [DatabaseErrorCode, string]>>> = {
  ENOSPC: ['noSpace', 'its disk is full: free some space, then try again'],
  EDQUOT: ['noSpace', 'your share of its disk is used up: free some space, then try again'],
  EROFS: ['readOnly', 'its disk can only be read: make it writable, or choose another folder'],
  EACCES: ['readOnly', 'there is no permission to write there: change the permissions, or choose another folder'],
  EPERM: ['readOnly', 'there is no permission to write there: change the permissions, or choose another folder'],
  EMFILE: ['disk', 'too many files are open: close some programs, then try again'],
  ENFILE: ['disk', 'too many files are open: close some programs, then try again'],
  ENOENT: ['disk', 'the folder is not there: is its drive plugged in?'],
  ENOTDIR: ['badPlace', 'part of the path is a file and not a folder: check the path'],
  ENAMETOOLONG: ['badPlace', 'the name is too long: choose a shorter one'],
  EIO: ['disk', 'its disk reports an error: try another one'],
};

/**
 * A file system error as a DatabaseError; one that is a DatabaseError passes through unchanged.
 * @param doing what was being done to what: `the backup cannot be written`
 */
export function diskError(doing: string, error: unknown): DatabaseError {
  if (error instanceof DatabaseError) return error;
  const [code, why] = systems[String((error as { code?: unknown } | undefined)?.code)] ?? [
    'failed' as const,
    error instanceof Error ? error.message : String(error),
  ];
  return new DatabaseError(code, `${doing}: ${why}`, { cause: error });
}

/** Free bytes under which a disk counts as full: SQLite needs a few pages at once, and the last ones may be kept for root. */
const nearlyFull = 256 * 1024;

/** SQLite says only that the disk failed, so the folder itself is asked why: by writing to it, as the database does, then by its free space. */
function askFolder(folder: string, doing: string): DatabaseError | undefined {
  const probe = path.join(folder, '.protagonist-probe');
  try {
    rmSync(probe, { force: true });
    const file = openSync(probe, 'wx', 0o600);
    try {
      writeSync(file, Buffer.alloc(32 * 1024), 0, 32 * 1024, 0); // at an offset, as SQLite writes
      fsyncSync(file);
    } finally {
      closeSync(file);
      rmSync(probe, { force: true });
    }
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize < nearlyFull ? diskError(doing, { code: 'ENOSPC' }) : undefined;
  } catch (error) {
    return diskError(doing, error);
  }
}

/** SQLite takes a file that cannot be opened for writing at this moment, for whatever reason, for one that can only be read. */
function canWrite(file: string): boolean {
  try {
    closeSync(openSync(file, 'r+'));
    return true;
  } catch {
    return false;
  }
}

const damaged =
  'is damaged, or its disk misreads: start Protagonist again; if this stays, put back a backup with `protagonist backup restore`';

/** The sentence for a mistake of ours. */
const inside = (what: string, sql?: string) =>
  `something went wrong inside Protagonist (${what}${sql === undefined ? '' : `, in: ${sql.trim().slice(0, 200)}`}): please report it`;

/** What a person may be told of an error of node:sqlite. */
function explain(file: string, error: unknown, sql: string): DatabaseError {
  if (error instanceof DatabaseError) return error;
  const { errcode: sqlite } = error as { errcode?: number };
  const words = error instanceof Error ? error.message : String(error);
  const say = (kind: DatabaseErrorCode, text: string) => new DatabaseError(kind, text, { cause: error, sqlite });
  const name = path.basename(file);
  const doing = `the library's database cannot be read or written (${name})`;
  const wrong = () => say('bug', inside(words, sql));
  if (sqlite === undefined) return wrong();
  if (sqlite === 522) return say('corrupt', `the library's database (${name}) ${damaged} (${words})`); // IOERR_SHORT_READ: pages are missing
  switch (sqlite & 255) {
    case 5: // BUSY
    case 6: // LOCKED
      return say('busy', `another program is using the library's database (${name}): close it, then try again`);
    case 7: // NOMEM
      return say('failed', `there is not enough memory for the library's database (${name}): close some programs, then try again`);
    case 8: // READONLY
    case 10: // IOERR
    case 13: // FULL
    case 14: {
      // CANTOPEN
      const asked = askFolder(path.dirname(file), doing);
      if (asked) return say(asked.code, asked.message);
      if (sqlite === 13) return say('noSpace', diskError(doing, { code: 'ENOSPC' }).message);
      if ((sqlite & 255) === 8 && !canWrite(file)) return say('readOnly', `${doing}: the file can only be read: change its permissions`);
      return say('disk', `${doing}: its disk reported an error (${words}): try again, and look after that disk if it comes back`);
    }
    case 11: // CORRUPT
    case 26: // NOTADB
      return say('corrupt', `the library's database (${name}) ${damaged} (${words})`);
    default:
      return wrong();
  }
}

/** What a column can hold. Whole numbers beyond 2^53 are given as bigint, and refused when read. */
export type Value = null | number | bigint | string | Uint8Array;
/** A row as it is read: an object without a prototype. */
export type Row = Record<string, Value>;
/** For each `?`, in order, or one object for `:name`s. A boolean becomes 0 or 1. */
export type Parameters = (Value | boolean)[] | [Readonly<Record<string, Value | boolean>>];

/** @throws DatabaseError for what SQLite would quietly turn into something else */
function bindable(value: Value | boolean, sql: string): SQLInputValue {
  if (typeof value === 'boolean') return value ? 1n : 0n;
  if (typeof value !== 'number') return value;
  if (Number.isSafeInteger(value)) return BigInt(value); // as an integer: node:sqlite binds every number as a real
  if (Number.isFinite(value)) return value;
  throw new DatabaseError('bug', inside(`${value} cannot be stored`, sql));
}

export interface OpenOptions {
  /** Nothing can be written, and no file is made. */
  readonly readOnly?: boolean;
  /** `wal`, the default, is for a database in use; `delete` makes it one file that stands alone, as backups are. */
  readonly journal?: 'wal' | 'delete';
  /** Called when the file turns out damaged, before its handle is closed: the last moment at which the files are as they were found. */
  readonly onCorrupt?: () => void;
}

/** 'Prot': what makes a SQLite file ours. */
const applicationId = 0x50726f74;
/** Prepared statements kept by a handle. */
const mostStatements = 500;
/** What the write-ahead log is cut back to once it has been written into the database, in bytes. It grows to 4 MiB in ordinary use; a single transaction can make it larger, so bulk work goes in batches. */
const walLimit = 16 * 1024 * 1024;

/** A database file; open between `open()` (or openDatabase) and `close()`, and again after that. Every method but `copyTo` is synchronous, and all throw DatabaseError. */
export class Database {
  readonly file: string;
  readonly #options: OpenOptions;
  #raw: DatabaseSync | undefined;
  #statements = new Map<string, StatementSync>();
  #depth = 0;
  #identity = '';
  #waiting: (() => void)[] = [];

  /** A closed handle on a file, for restoring one that cannot be opened; everyone else calls openDatabase. */
  constructor(file: string, options: OpenOptions = {}) {
    this.file = path.resolve(file);
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#raw !== undefined;
  }

  /** Opens the file and makes it if it is not there. A file of another program is refused untouched. */
  open(): void {
    if (this.#raw) return;
    const { readOnly = false, journal = 'wal', onCorrupt } = this.#options;
    const name = path.basename(this.file);
    try {
      this.#raw = new DatabaseSync(this.file, { readOnly, timeout: 5000, defensive: true, enableForeignKeyConstraints: true });
      this.exec('PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768');
      const id = this.pragma('application_id');
      if (id !== applicationId) {
        const isNew = id === 0 && this.pragma('user_version') === 0 && !this.get('SELECT 1 FROM sqlite_schema LIMIT 1');
        if (!isNew || readOnly)
          throw new DatabaseError(
            'badPlace',
            `${this.file} is not a library of Protagonist: choose another folder, or move that file away`,
          );
      }
      if (!readOnly) {
        // fullfsync: on a Mac only that reaches the drive's medium; elsewhere it is ignored
        this.exec(
          `PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA journal_size_limit = ${walLimit}`,
        );
        const { journal_mode } = this.get<{ journal_mode: string }>(`PRAGMA journal_mode = ${journal}`)!;
        if (journal_mode !== journal)
          throw new DatabaseError('disk', `${name} cannot use a ${journal} journal, only ${journal_mode}: choose a folder on another disk`);
        if (id !== applicationId) this.exec(`PRAGMA application_id = ${applicationId}`);
      }
      this.#identity = this.#found();
    } catch (error) {
      const explained = explain(this.file, error, 'open');
      if (explained.code === 'corrupt') onCorrupt?.();
      this.close();
      throw explained;
    }
  }

  /** Closes the handle; the log is written into the file first. No harm if it is closed already. */
  close(): void {
    this.#statements.clear();
    this.#depth = 0;
    this.#waiting = [];
    const raw = this.#raw;
    this.#raw = undefined;
    if (raw?.isOpen) raw.close();
  }

  /** The first row, or undefined. `T` is what the caller knows of the statement's columns; JSON in them is parsed by its schema. */
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- a statement's columns are known to its author alone
  get<T extends object = Row>(sql: string, ...parameters: Parameters): T | undefined {
    return this.#use(sql, parameters, (s, ...values) => s.get(...values) as T | undefined);
  }

  /** Every row. */
  all<T extends object = Row>(sql: string, ...parameters: Parameters): T[] {
    return this.#use(sql, parameters, (s, ...values) => s.all(...values) as unknown as T[]);
  }

  /** Runs a statement that changes something: how many rows it changed, and the row number of the last one inserted. */
  run(sql: string, ...parameters: Parameters): { changes: number; id: number } {
    return this.#use(sql, parameters, (s, ...values) => {
      const { changes, lastInsertRowid } = s.run(...values);
      return { changes: Number(changes), id: Number(lastInsertRowid) };
    });
  }

  /** Runs statements without parameters or rows; several commit together only inside `transaction`. */
  exec(sql: string): void {
    try {
      this.#open().exec(sql);
    } catch (error) {
      throw explain(this.file, error, sql);
    }
  }

  /** The number a pragma answers: `user_version`, `page_count`. */
  pragma(name: string): number {
    return Number(Object.values(this.get(`PRAGMA ${name}`) ?? {})[0]);
  }

  /**
   * Runs `work` whole or not at all, and returns what it returns; durable once this returns. A nested call joins: it is undone alone if it throws,
   * and commits with the outermost one.
   * @param work synchronous: a promise is refused, as other callers would run inside the transaction while it waits
   */
  transaction<T>(work: () => T): T {
    const [begin, commit, undo] = this.#depth
      ? ['SAVEPOINT nested', 'RELEASE nested', 'ROLLBACK TO nested; RELEASE nested']
      : ['BEGIN IMMEDIATE', 'COMMIT', 'ROLLBACK'];
    if (!this.#depth) this.#stillThere();
    this.exec(begin);
    this.#depth++;
    const waiting = this.#waiting.length;
    let committed: readonly (() => void)[] = [];
    try {
      const result = work();
      if (result instanceof Promise) throw new DatabaseError('bug', inside('a transaction was given work that waits'));
      this.exec(commit);
      if (this.#depth === 1) committed = this.#waiting.splice(0);
      return result;
    } catch (error) {
      if (this.#depth <= 1) this.#waiting = [];
      else this.#waiting.length = waiting;
      // after a full disk SQLite may have rolled back by itself
      if (this.#raw?.isTransaction)
        try {
          this.#raw.exec(undo);
        } catch {
          // the first error is the one to tell
        }
      throw error;
    } finally {
      this.#depth = Math.max(0, this.#depth - 1);
      for (const tell of committed) tell();
    }
  }

  /** Calls `tell` once what this transaction writes is on the disk, and never if it is undone; at once outside of one. */
  afterCommit(tell: () => void): void {
    if (this.#depth) this.#waiting.push(tell);
    else tell();
  }

  /** Writes the log into the file and empties it; does what it can while someone reads. */
  checkpoint(): void {
    this.get('PRAGMA wal_checkpoint(TRUNCATE)');
  }

  /** Copies the database as it is now, page by page, without keeping this thread; `file` is made or replaced. */
  async copyTo(file: string): Promise<void> {
    try {
      await backup(this.#open(), file, { rate: 10_000 });
    } catch (error) {
      throw explain(file, error, 'backup');
    }
  }

  #open(): DatabaseSync {
    const raw = this.#raw;
    if (!raw) throw new DatabaseError('failed', `the library's database is closed (${path.basename(this.file)}): start Protagonist again`);
    // a statement after SQLite rolled back on its own would be committed by itself
    if (this.#depth && !raw.isTransaction)
      throw new DatabaseError('failed', 'an earlier error ended this transaction and nothing of it is kept: try again');
    return raw;
  }

  #use<T>(sql: string, parameters: Parameters, use: (statement: StatementSync, ...values: SQLInputValue[]) => T): T {
    if (!this.#depth && !reads.test(sql)) this.#stillThere();
    try {
      const raw = this.#open();
      let statement = this.#statements.get(sql);
      if (statement) this.#statements.delete(sql);
      else statement = raw.prepare(sql);
      this.#statements.set(sql, statement); // the latest is the last
      if (this.#statements.size > mostStatements) this.#statements.delete(this.#statements.keys().next().value!);
      if (!isNamed(parameters)) return use(statement, ...parameters.map(v => bindable(v, sql)));
      const named = Object.fromEntries(Object.entries(parameters[0]).map(([k, v]) => [k, bindable(v, sql)]));
      return use(statement, named as unknown as SQLInputValue); // the overload with names
    } catch (error) {
      throw explain(this.file, error, sql);
    }
  }

  /** Which file lies at the path: one moved away or unplugged would go on taking rows that nobody finds again. */
  #found(): string {
    const { dev, ino } = statSync(this.file, { bigint: true });
    return `${dev}:${ino}`;
  }
  #stillThere(): void {
    if (!this.#raw) return; // said better by what comes next
    let now: string | undefined;
    try {
      now = this.#found();
    } catch {
      // not there
    }
    if (now !== this.#identity)
      throw new DatabaseError('disk', `the library's database is no longer at ${this.file}: put it back, or start Protagonist again`);
  }
}
const reads = /^\s*(?:SELECT|PRAGMA|VALUES|EXPLAIN)\b/i;
const isNamed = (p: Parameters): p is [Readonly<Record<string, Value | boolean>>] =>
  typeof p[0] === 'object' && p[0] !== null && !ArrayBuffer.isView(p[0]);

/**
 * Opens a database file, making it (empty, version 0) where there is none; its folder must exist.
 * @throws DatabaseError if it is damaged, not ours, or its disk refuses
 */
export function openDatabase(file: string, options?: OpenOptions): Database {
  const db = new Database(file, options);
  db.open();
  return db;
}

/** Held locks; a connection that nobody refers to would be closed, and its lock let go. */
const held = new Set<DatabaseSync>();

/**
 * Takes the lock that a file stands for, without waiting. The system lets it go when the process ends, however it ends, and not while it is stopped.
 * @param file made if it is not there; holds nothing
 * @returns undefined where another process, or this one, holds it
 * @throws DatabaseError what the disk says
 */
export function holdLock(file: string): { release(): void } | undefined {
  let lock: DatabaseSync | undefined;
  try {
    lock = new DatabaseSync(file, { timeout: 0 });
    lock.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    if (lock?.isOpen) lock.close();
    const explained = explain(file, error, 'BEGIN EXCLUSIVE');
    if (explained.code === 'busy') return undefined;
    if (explained.code === 'corrupt')
      throw new DatabaseError('disk', `${file} is damaged: remove that file, it holds nothing, then try again`, { cause: error });
    throw explained;
  }
  const connection = lock;
  held.add(connection);
  return {
    release: () => {
      if (held.delete(connection)) connection.close();
    },
  };
}
