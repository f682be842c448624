/** @file The slow half of backups and checks, on a thread of its own: copies a database and reads all of it, while the owner goes on answering. */
import { parentPort, workerData } from 'node:worker_threads';
import { DatabaseError, openDatabase, type Database, type DatabaseErrorCode } from './database.ts';

/** `copy`: the rows committed now, as one file that stands alone, compared with where they came from. `verify`: a file nobody uses, read in full. `quickCheck`: one in use. */
export type Task =
  | { readonly kind: 'copy'; readonly file: string; readonly to: string }
  | { readonly kind: 'verify'; readonly file: string }
  | { readonly kind: 'quickCheck'; readonly file: string };

export type Answer =
  /** `problem`: what SQLite's check says, undefined if all is well; `version`: the file's user_version. */
  | { readonly problem: string | undefined; readonly version: number }
  | { readonly failed: DatabaseErrorCode; readonly text: string; readonly sqlite: number | undefined };

/** Rows of every table. */
function counts(db: Database): Map<string, number> {
  const tables = db.all<{ name: string }>(`SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY name`);
  return new Map(tables.map(({ name }) => [name, db.get<{ n: number }>(`SELECT count(*) AS n FROM "${name.replaceAll('"', '""')}"`)!.n]));
}
function problemOf(db: Database, check: 'integrity_check' | 'quick_check'): string | undefined {
  const [found] = db.all<Record<string, string>>(`PRAGMA ${check}(1)`).map(row => row[check]);
  const code = /error code=(\d+)/.exec(found ?? '')?.[1]; // a page that was not given (10: IOERR) is not a damaged one
  if ((Number(code) & 255) === 10)
    throw new DatabaseError(
      'disk',
      `the library's database cannot be read: its disk reported an error (${code!}): try again, and look after that disk if it comes back`,
    );
  return found === 'ok' ? undefined : (found ?? 'no answer').replace(/^\*\*\* in database main \*\*\*\n/, '').replaceAll('\n', ' ');
}

async function inspect(task: Task): Promise<Answer> {
  if (task.kind === 'copy') {
    const from = openDatabase(task.file, { readOnly: true });
    let expected: Map<string, number>;
    try {
      from.exec('BEGIN'); // what is counted is what is copied, whatever is written meanwhile
      expected = counts(from);
      await from.copyTo(task.to);
      from.exec('COMMIT');
    } finally {
      from.close();
    }
    const copy = openDatabase(task.to, { journal: 'delete' });
    try {
      const problem = problemOf(copy, 'integrity_check');
      const found = problem === undefined ? counts(copy) : expected;
      const differ = [...expected].find(([table, n]) => found.get(table) !== n);
      return {
        problem: problem ?? (differ && `${differ[0]} has ${differ[1]} rows, its copy ${found.get(differ[0]) ?? 0}`),
        version: copy.pragma('user_version'),
      };
    } finally {
      copy.close();
    }
  }
  const db = openDatabase(task.file, { readOnly: true });
  try {
    return { problem: problemOf(db, task.kind === 'verify' ? 'integrity_check' : 'quick_check'), version: db.pragma('user_version') };
  } finally {
    db.close();
  }
}

if (parentPort) {
  let answer: Answer;
  try {
    answer = await inspect(workerData as Task);
  } catch (error) {
    const { code, sqlite } = error instanceof DatabaseError ? error : { code: 'failed' as const, sqlite: undefined };
    answer = { failed: code, text: error instanceof Error ? error.message : String(error), sqlite };
  }
  parentPort.postMessage(answer);
}
