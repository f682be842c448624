/**
 * @file The power goes at random moments: what was acknowledged is there afterwards, whole, and nothing is there by half.
 * `PROTAGONIST_CUTS` says how often, `PROTAGONIST_SEED` brings a run back; `PROTAGONIST_SYNCHRONOUS=NORMAL` shows that the rig finds what is lost.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { listBackups, openLibraryDatabase, restoreBackup } from '../../electron/studio/backups.ts';
import { openDatabase } from '../../electron/studio/database.ts';
import { cannotMount, cutPower } from '../support/power.ts';
import { randoms } from '../support/random.ts';

const cuts = Number(process.env['PROTAGONIST_CUTS'] ?? 20);
const seed = Number(process.env['PROTAGONIST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const hash = (bytes: string | Uint8Array) => createHash('sha256').update(bytes).digest('hex');

test(`${cuts} power cuts, seed ${seed}`, { skip: cannotMount(), timeout: cuts * 20_000 }, async t => {
  const random = randoms(seed);
  const sum = { rows: 0, files: 0, lostRows: 0, lostFiles: 0, torn: 0, integrity: 0, cutsWithLoss: 0 };
  for (let n = 0; n < cuts; n++)
    await cutPower({
      script: resolve(import.meta.dirname, '../support/power-writer.ts'),
      args: [String(Math.floor(random() * 2 ** 31)), process.env['PROTAGONIST_SYNCHRONOUS'] ?? 'FULL'],
      after: random() ** 2 * 1200,
      check: (folder, acknowledged) => {
        const before = sum.lostRows + sum.lostFiles;
        const db = openDatabase(join(folder, 'library.db'));
        try {
          if (db.get<{ integrity_check: string }>('PRAGMA integrity_check')!.integrity_check !== 'ok') sum.integrity++;
          // a cut in the first milliseconds may come before the table was made
          const there = db.get(`SELECT 1 FROM sqlite_schema WHERE name = 'entries'`);
          const rows = new Map(there && db.all<{ id: number; text: string }>('SELECT id, text FROM entries').map(r => [r.id, r.text]));
          for (const [what, name, sha256] of acknowledged.map(line => line.split(' ')))
            if (what === 'row') {
              sum.rows++;
              const text = rows.get(Number(name));
              if (text === undefined) sum.lostRows++;
              else if (hash(text) !== sha256) sum.torn++;
            } else {
              sum.files++;
              const file = join(folder, 'files', name!.slice(0, 2), name!);
              if (!existsSync(file)) sum.lostFiles++;
              else if (`${hash(readFileSync(file))}.bin` !== name) sum.torn++;
            }
          if (there) {
            const halves = db.get<{ n: number }>(
              'SELECT count(*) AS n FROM (SELECT 1 FROM entries GROUP BY batch HAVING count(*) <> max(of))',
            )!.n;
            const dangling = db
              .all<{ file: string }>('SELECT DISTINCT file FROM entries WHERE file IS NOT NULL')
              .filter(({ file }) => !existsSync(join(folder, 'files', file.slice(0, 2), file)));
            sum.torn += halves + dangling.length;
            db.run(`INSERT INTO entries (batch, of, text) VALUES (-1, 1, 'after')`); // and it goes on
          }
        } finally {
          db.close();
        }
        if (sum.lostRows + sum.lostFiles > before) sum.cutsWithLoss++;
      },
    });
  t.diagnostic(JSON.stringify(sum));
  assert.ok(sum.rows > cuts * 10, `only ${sum.rows} rows were acknowledged: the cuts came too early to show anything`);
  assert.deepEqual({ ...sum, rows: 0, files: 0 }, { rows: 0, files: 0, lostRows: 0, lostFiles: 0, torn: 0, integrity: 0, cutsWithLoss: 0 });
});

const restores = Math.ceil(cuts / 4);
test(`${restores} power cuts while backups are put back, seed ${seed}`, { skip: cannotMount(), timeout: cuts * 20_000 }, async t => {
  const random = randoms(seed + 1);
  let restored = 0;
  for (let n = 0; n < restores; n++)
    await cutPower({
      script: resolve(import.meta.dirname, '../support/power-restorer.ts'),
      after: random() * 700,
      check: async (folder, acknowledged) => {
        const last = acknowledged.at(-1)!,
          next = last === 'one' ? 'two' : 'one';
        restored += acknowledged.length;
        const db = await openLibraryDatabase(folder);
        try {
          assert.equal(db.get<{ integrity_check: string }>('PRAGMA integrity_check')!.integrity_check, 'ok');
          const { value } = db.get<{ value: string }>('SELECT value FROM state')!;
          assert.ok([last, next, `after ${last}`].includes(value), `${value} after ${last}`);
          const backups = listBackups(join(folder, 'backups'));
          assert.equal(backups.length, 2);
          for (const { name } of backups) await restoreBackup(db, join(folder, 'backups'), name);
        } finally {
          db.close();
        }
      },
    });
  t.diagnostic(`${restored} backups were put back`);
});
