/** @file Puts two backups back in turn on a disk whose power will be cut; prints which one is the library now. Argument: a folder. */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { createBackup, openLibraryDatabase, restoreBackup } from '../../electron/studio/backups.ts';

const folder = process.argv[2]!;
const db = await openLibraryDatabase(folder);
db.exec('CREATE TABLE state (value)');
const set = (value: string) => db.transaction(() => (db.run('DELETE FROM state'), db.run('INSERT INTO state VALUES (?)', value)));
const names: Record<string, string> = {};
for (const state of ['one', 'two']) {
  set(state);
  names[state] = (await createBackup(db, join(folder, 'backups'), 'manual')).name;
}
for (;;)
  for (const state of ['one', 'two']) {
    set(`after ${state === 'one' ? 'two' : 'one'}`); // is in the log, which must not end up over the backup
    await restoreBackup(db, join(folder, 'backups'), names[state]!);
    writeSync(1, `${state}\n`);
  }
