/** @file `node test/golden/libraries/make.ts HOME` keeps the database of a library as the fixture of its version: see README.md. */
import { copyFileSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createBackup } from '../../../electron/studio/backups.ts';
import { openDatabase } from '../../../electron/studio/database.ts';

const home = process.argv[2];
if (home === undefined) throw new Error('name the folder of a library: node test/golden/libraries/make.ts HOME');
const folder = mkdtempSync(join(tmpdir(), 'protagonist-fixture-'));
const db = openDatabase(resolve(home, 'library.db'));
try {
  const version = db.pragma('user_version');
  const { name } = await createBackup(db, folder, 'manual'); // verified, and one file without a log
  const to = join(import.meta.dirname, `v${version}.db`);
  copyFileSync(join(folder, name), to, constants.COPYFILE_EXCL);
  console.log(to);
} finally {
  db.close();
  rmSync(folder, { recursive: true });
}
