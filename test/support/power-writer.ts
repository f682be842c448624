/**
 * @file Works on a disk whose power will be cut: rows through the real database, files through the real writer, each printed once it is acknowledged.
 * Arguments: a folder, a seed, what SQLite's `synchronous` is set to (FULL, as the product has it, unless the rig itself is tested).
 */
import { createHash, randomBytes } from 'node:crypto';
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { openDatabase } from '../../electron/studio/database.ts';
import { writeDurably } from '../../electron/media/files.ts';
import { randoms } from './random.ts';

const [folder, seed, synchronous = 'FULL'] = process.argv.slice(2);
const random = randoms(Number(seed));
const between = (low: number, high: number) => low + Math.floor(random() * (high - low + 1));
const hash = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex');

const db = openDatabase(join(folder!, 'library.db'));
db.exec(
  `PRAGMA synchronous = ${synchronous}; CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY AUTOINCREMENT, batch INTEGER, of INTEGER, text TEXT, file TEXT)`,
);
for (let batch = 0; ; batch++) {
  let file: string | null = null;
  if (batch % 8 === 0) {
    const bytes = randomBytes(between(1, 60_000));
    file = `${hash(bytes)}.bin`;
    await writeDurably(join(folder!, 'files', file.slice(0, 2), file), bytes).catch(async (error: unknown) => {
      if (batch) throw error;
      await writeDurably(join(folder!, 'files', '.made'), new Uint8Array(1)); // the folders themselves, one level at a time
      await writeDurably(join(folder!, 'files', file!.slice(0, 2), file!), bytes);
    });
    writeSync(1, `file ${file}\n`);
  }
  const of = between(1, 12);
  const rows = db.transaction(() =>
    Array.from({ length: of }, () => {
      const text = randomBytes(between(10, 300)).toString('hex');
      return `row ${db.run('INSERT INTO entries (batch, of, text, file) VALUES (?, ?, ?, ?)', batch, of, text, file).id} ${hash(text)}\n`;
    }),
  );
  writeSync(1, rows.join(''));
}
