/**
 * @file The library's versions: a numbered list that only grows, and the one that runs it.
 *
 * Each migration is one transaction that also sets the version, so a crash leaves the old version or the new one. A released migration is never
 * edited: `test/golden/libraries` keeps a file of each released version, and a test takes each to the newest.
 */
import { DatabaseError, type Database } from './database.ts';
import { schema1, schema2, schema3 } from './schema.ts';
import { normalize } from './search.ts';

/** One step of the library. `sql` is run first, then `run`, for what SQL alone cannot say. Foreign keys are not enforced meanwhile, so that tables can be made anew; they are checked before the commit. */
export interface Migration {
  /** 1 more than the one before it; the file's `user_version` afterwards. */
  readonly version: number;
  readonly name: string;
  readonly sql?: string;
  readonly run?: (db: Database) => void;
}

export const migrations: readonly Migration[] = [
  { version: 1, name: 'subjects, clips, jobs, checkpoints, settings', sql: schema1 },
  { version: 2, name: 'exports', sql: schema2 },
  { version: 3, name: 'prompts, pictures, counted tags', sql: schema3, run: rememberPrompts },
];

/** What was asked for before prompts were kept: of every job and clip that is there, in the order in which they were made. Records that cannot be read are passed over. */
function rememberPrompts(db: Database): void {
  const field = (name: string) => `CASE WHEN json_valid(record) THEN json_extract(record, '$.${name}') END`;
  const used = db.all<{ prompt: string; at: string }>(
    `SELECT prompt, max(at) AS at FROM (
       SELECT id AS job, ${field('request.prompt')} AS prompt, ${field('createdAt')} AS at FROM jobs
       UNION ALL SELECT coalesce(job, 0), ${field('request.prompt')}, ${field('createdAt')} FROM clips
     ) WHERE typeof(prompt) = 'text' AND typeof(at) = 'text' AND trim(prompt) <> '' GROUP BY prompt ORDER BY max(job)`,
  );
  for (const [i, { prompt, at }] of used.entries())
    db.run('INSERT INTO prompts (prompt, words, used, used_at) VALUES (?, ?, ?, ?)', prompt, normalize(prompt), i + 1, at);
  db.exec(
    `INSERT OR IGNORE INTO clip_tags (tag, clip, trashed)
     SELECT t.value, c.id, c.trashed FROM clips c, json_each(CASE WHEN json_valid(c.record) THEN c.record ELSE '{}' END, '$.tags') t WHERE typeof(t.value) = 'text'`,
  );
}

/** The version that this program reads and writes. */
export const newestVersion = migrations.length;

/**
 * Brings a database to the newest version; nothing is touched when it is there already.
 * @param options `before`: called once with the version found, if there is something to migrate in a library that has been used (a backup goes here); `list`: the migrations, the product's by default
 * @returns the versions before and after
 * @throws DatabaseError `newer` if a later program made it; otherwise what a statement or the disk says, and the database is at the last version that was finished
 */
export async function migrate(
  db: Database,
  { list = migrations, before }: { list?: readonly Migration[]; before?: (from: number) => Promise<unknown> } = {},
): Promise<{ from: number; to: number }> {
  const from = db.pragma('user_version'),
    to = list.length;
  if (from > to)
    throw new DatabaseError(
      'newer',
      `this library was made by a newer Protagonist (its version is ${from}, this program knows ${to}): update Protagonist, or choose another library`,
    );
  if (from > 0 && from < to) await before?.(from);
  for (const [i, { version, name, sql, run }] of list.entries()) {
    if (version !== i + 1) throw new Error(`migration ${i + 1} (${name}) is numbered ${version}`);
    if (version <= from) continue;
    db.exec('PRAGMA foreign_keys = OFF'); // a no-op inside a transaction
    try {
      db.transaction(() => {
        if (sql !== undefined) db.exec(sql);
        run?.(db);
        const broken = db.get<{ table: string; parent: string }>('PRAGMA foreign_key_check');
        if (broken)
          throw new DatabaseError('failed', `migration ${version} (${name}) leaves rows of ${broken.table} without their ${broken.parent}`);
        db.exec(`PRAGMA user_version = ${version}`);
      });
    } finally {
      db.exec('PRAGMA foreign_keys = ON');
    }
  }
  return { from, to };
}
