/** @file Backups: verified before they count, none deleted too early, put back whole, and damage that leaves everything where it was. */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import {
  type Backup,
  createBackup,
  dailyBackup,
  listBackups,
  openLibraryDatabase,
  quickCheck,
  restoreBackup,
} from '../../electron/studio/backups.ts';
import { Database, DatabaseError, openDatabase } from '../../electron/studio/database.ts';
import { migrate, migrations, newestVersion } from '../../electron/studio/migrations.ts';
import { refusedByDatabase as refused } from '../support/library.ts';
import { cannotMount, mountTmpfs, unmount } from '../support/power.ts';
import { randoms } from '../support/random.ts';

const root = mkdtempSync(join(tmpdir(), 'protagonist-backups-'));
after(() => rmSync(root, { recursive: true, force: true }));
let serial = 0;
type Context = { after(f: () => void): void };
/** A new library: its folder, its database (closed after the test) and where its backups are. */
async function library(t: Context, home = join(root, String(serial++))) {
  mkdirSync(home, { recursive: true });
  const db = await openLibraryDatabase(home);
  db.exec('CREATE TABLE test_state (value); CREATE TABLE test_rows (id INTEGER PRIMARY KEY AUTOINCREMENT, name UNIQUE, text)');
  t.after(() => db.close());
  return { home, db, backups: join(home, 'backups'), file: db.file };
}
const set = (db: Database, value: string) => {
  db.run('DELETE FROM test_state');
  db.run('INSERT INTO test_state VALUES (?)', value);
};
const state = (db: Database) => db.get<{ value: string }>('SELECT value FROM test_state')?.value;
const fill = (db: Database, rows: number, bytes = 400) =>
  db.transaction(() => {
    for (let i = 0; i < rows; i++) db.run('INSERT INTO test_rows (name, text) VALUES (?, ?)', crypto.randomUUID(), 'x'.repeat(bytes));
  });
const count = (db: Database) => db.get<{ n: number }>('SELECT count(*) AS n FROM test_rows')!.n;
const names = (folder: string) => readdirSync(folder).sort();
const hour = 3_600_000;
const noon = Date.parse('2026-11-22T12:00:00Z');

test('a backup is one whole file, made while rows are written', async t => {
  const { db, backups } = await library(t);
  fill(db, 20_000);
  let written = count(db);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const working = { now: true };
  const writer = (async () => {
    while (working.now) {
      fill(db, 1);
      written++;
      await sleep(1);
    }
  })();
  const made = await createBackup(db, backups, 'manual', noon);
  delay.disable();
  working.now = false;
  await writer;
  t.diagnostic(`${written - 20_000} rows were written meanwhile; the owner waited ${(delay.max / 1e6).toFixed(0)} ms at most`);
  assert.ok(written > 20_000);
  assert.deepEqual(made, {
    name: 'manual-2026-11-22T12-00-00Z-1.db',
    kind: 'manual',
    bytes: made.bytes,
    createdAt: '2026-11-22T12:00:00Z',
  });
  assert.deepEqual(names(backups), [made.name]);
  assert.deepEqual(listBackups(backups), [made]);
  assert.equal(statSync(backups).mode & 0o777, 0o700);
  const copy = openDatabase(join(backups, made.name), { readOnly: true });
  assert.deepEqual(names(backups), [made.name], 'nothing beside it is needed to read it');
  assert.ok(count(copy) >= 20_000 && count(copy) <= written);
  assert.equal(copy.pragma('user_version'), newestVersion);
  copy.close();
});

test('three daily backups and three before migrations are kept, and all made by hand', async t => {
  const { db, backups } = await library(t);
  for (let i = 0; i < 5; i++)
    for (const kind of ['daily', 'manual', 'migration'] as const) await createBackup(db, backups, kind, noon + i * 24 * hour);
  const kinds = listBackups(backups).map(b => b.kind);
  assert.deepEqual(
    { daily: 3, manual: 5, migration: 3 },
    Object.fromEntries(['daily', 'manual', 'migration'].map(k => [k, kinds.filter(x => x === k).length])),
  );
  assert.deepEqual(
    listBackups(backups)
      .filter(b => b.kind === 'daily')
      .map(b => b.createdAt),
    ['2026-11-26T12:00:00Z', '2026-11-25T12:00:00Z', '2026-11-24T12:00:00Z'],
  );
  assert.match(listBackups(backups)[0]!.name, new RegExp(`^pre-migration-${newestVersion}-2026-11-26T12-00-00Z-15\\.db$`));
  writeFileSync(join(backups, 'notes.txt'), '');
  writeFileSync(join(backups, 'daily-2026-11-26.db'), '');
  writeFileSync(join(backups, '.daily-2026-11-26T12-00-00Z-99.db.part'), '');
  mkdirSync(join(backups, 'manual-2026-11-26T12-00-00Z-99.db'));
  assert.equal(listBackups(backups).length, 11, 'only backups are listed');
  await createBackup(db, backups, 'manual', noon);
  assert.ok(!names(backups).some(n => n.includes('.part')), 'what a kill left is swept');
  assert.deepEqual(listBackups(join(root, 'nowhere')), []);
});

test('a daily backup once a day, whatever the clock does', async t => {
  const { db, backups } = await library(t);
  const made = async (now: number) => (await dailyBackup(db, backups, now))?.createdAt;
  assert.equal(await made(noon), '2026-11-22T12:00:00Z');
  assert.equal(await made(noon), undefined);
  assert.equal(await made(noon + 23 * hour), undefined);
  assert.equal(await made(noon + 24 * hour), '2026-11-23T12:00:00Z');
  const years = 4 * 365 * 24 * hour;
  assert.equal(await made(noon + years), '2030-11-21T12:00:00Z', 'the clock jumps ahead');
  assert.equal(await made(noon + 25 * hour), '2026-11-23T13:00:00Z', 'and back: a backup from the future stops nothing');
  assert.equal(await made(noon + 26 * hour), undefined);
  assert.equal(await made(noon + 50 * hour), '2026-11-24T14:00:00Z');
  assert.equal(await made(noon + 75 * hour), '2026-11-25T15:00:00Z');
  assert.deepEqual(
    listBackups(backups).map(b => b.createdAt.slice(0, 10)),
    ['2026-11-25', '2026-11-24', '2026-11-23'],
    'the latest made are kept, not those with the latest date',
  );
});

test('a damaged database makes no backup and costs none', async t => {
  const { db, backups, file } = await library(t);
  fill(db, 2000);
  for (let i = 0; i < 3; i++) await createBackup(db, backups, 'daily', noon + i * 24 * hour);
  const before = names(backups);
  db.close();
  const bytes = readFileSync(file);
  bytes.fill(0xab, 40 * 4096, 60 * 4096);
  writeFileSync(file, bytes);
  db.open();
  assert.match(await quickCheck(db), /damaged \(.*\): put back a backup with/);
  await assert.rejects(createBackup(db, backups, 'daily'), refused('corrupt', /damaged/));
  assert.deepEqual(names(backups), before);
  await restoreBackup(db, backups, before[0]!);
  assert.equal(await quickCheck(db), 'ok');
  assert.equal(count(db), 2000);
});

test('no space: the sentence says how much, and nothing is left or lost', { skip: cannotMount() }, async t => {
  const home = join(root, String(serial++));
  mkdirSync(home);
  mountTmpfs(home, '16m');
  t.after(() => unmount(home));
  const { db, backups } = await library({ after: () => undefined }, home);
  try {
    set(db, 'one');
    const { name } = await createBackup(db, backups, 'daily', noon);
    fill(db, 4000, 800);
    db.checkpoint();
    const leave = (bytes: number) => {
      const { bavail, bsize } = statfsSync(home);
      writeFileSync(join(home, `filler-${bytes}`), Buffer.alloc(bavail * bsize - bytes));
    };
    leave(3e6);
    await assert.rejects(
      createBackup(db, backups, 'daily', noon + 48 * hour),
      refused('noSpace', /needs \d+ MB and its disk has \d+ MB free/),
    );
    assert.deepEqual(names(backups), [name]);
    leave(1e6);
    await assert.rejects(restoreBackup(db, backups, name), refused('noSpace', /disk/));
    assert.equal(count(db), 4000);
    mountTmpfs(home, '48m', 'rw', true);
    await createBackup(db, backups, 'daily', noon + 48 * hour);
    await restoreBackup(db, backups, name);
    assert.equal(count(db), 0);
  } finally {
    db.close();
  }
});

test('a restore: under the living handle, the replaced files kept, the log not replayed', async t => {
  const { db, backups, home } = await library(t);
  set(db, 'then');
  fill(db, 100);
  const { name } = await createBackup(db, backups, 'manual');
  set(db, 'now');
  fill(db, 50);
  const kept = await restoreBackup(db, backups, name, noon);
  assert.equal(kept, 'recovery/2026-11-22T12-00-00Z');
  assert.deepEqual([state(db), count(db)], ['then', 100]);
  db.transaction(() => set(db, 'after'));
  assert.deepEqual(names(home), ['backups', 'library.db', 'library.db-shm', 'library.db-wal', 'recovery']);
  assert.ok(names(join(home, kept)).includes('library.db-wal'));
  const old = openDatabase(join(home, kept, 'library.db'));
  assert.deepEqual([state(old), count(old)], ['now', 150], 'what was replaced can be read');
  old.close();
  assert.equal(listBackups(backups).length, 1, 'a backup is copied, not used up');
  await restoreBackup(db, backups, name);
  assert.equal(state(db), 'then');
  db.close();
  db.open();
  assert.equal(state(db), 'then');
});

test('a restore that is refused leaves the library as it was', async t => {
  const { db, backups, home, file } = await library(t);
  fill(db, 1000);
  const { name } = await createBackup(db, backups, 'manual', noon);
  set(db, 'now');
  for (const wrong of ['', 'manual', `../backups/${name}`, 'manual-2020-01-01T00-00-00Z-1.db', 'x'.repeat(5000)])
    await assert.rejects(restoreBackup(db, backups, wrong), refused('badRequest', /there is no backup/));
  const whole = readFileSync(join(backups, name));
  const variants: [string, (file: string) => void, RegExp][] = [
    ['damaged', f => writeFileSync(f, Buffer.from(whole).fill(0x55, 20 * 4096, 30 * 4096)), /it is damaged: choose another/],
    ['short', f => truncateSync(f, 9 * 4096), /it is damaged/],
    ['empty', f => writeFileSync(f, ''), /not a library of Protagonist/],
    ['text', f => writeFileSync(f, 'text '.repeat(1000)), /it is damaged/],
    ['foreign', f => writeFileSync(f, Buffer.from(whole).fill(1, 68, 72)), /not a library of Protagonist/], // its application_id
    ['newer', f => writeFileSync(f, Buffer.from(whole).fill(99, 63, 64)), /made by a newer Protagonist \(its version is 99/], // its user_version
  ];
  for (const [i, [what, spoil, sentence]] of variants.entries()) {
    const bad = `manual-2026-11-22T12-00-00Z-${i + 10}.db`;
    copyFileSync(join(backups, name), join(backups, bad));
    spoil(join(backups, bad));
    await assert.rejects(restoreBackup(db, backups, bad), (e: unknown) => {
      assert.ok(e instanceof DatabaseError);
      assert.match(e.message, sentence, what);
      return true;
    });
    assert.ok(db.isOpen);
    assert.deepEqual([state(db), count(db)], ['now', 1000], what);
  }
  assert.deepEqual(names(home), ['backups', 'library.db', 'library.db-shm', 'library.db-wal']);
  assert.ok(!existsSync(`${file}.restoring`));
});

test('damage found at start: the sentence says what to do, every file stays and is copied once, a restore mends it', async t => {
  const { db, backups, home, file } = await library(t);
  set(db, 'then');
  const { name } = await createBackup(db, backups, 'daily');
  db.close();
  const broken = Buffer.alloc(20_000, 'no database ');
  writeFileSync(file, broken);
  writeFileSync(`${file}-wal`, 'a log');
  for (let i = 0; i < 3; i++)
    await assert.rejects(
      openLibraryDatabase(home),
      refused('corrupt', /damaged.*; its files are kept in recovery\/[\dTZ-]+: put back a backup with `protagonist backup restore`/),
    );
  assert.deepEqual(readFileSync(file), broken);
  const [kept, ...more] = names(join(home, 'recovery'));
  assert.deepEqual(more, []);
  assert.deepEqual(readFileSync(join(home, 'recovery', kept!, 'library.db')), broken);
  assert.equal(readFileSync(join(home, 'recovery', kept!, 'library.db-wal'), 'utf8'), 'a log');
  const closed = new Database(file);
  t.after(() => closed.close());
  await restoreBackup(closed, backups, name);
  assert.equal(state(closed), 'then');
  closed.close();
  (await openLibraryDatabase(home)).close();
  // and without any file at all
  rmSync(file);
  assert.equal(await restoreBackup(closed, backups, name), undefined);
  assert.equal(state(closed), 'then');
});

test('a restore that a crash cut short is finished at the next start', async t => {
  const { db, backups, home, file } = await library(t);
  set(db, 'then');
  const { name } = await createBackup(db, backups, 'manual');
  set(db, 'now');
  const log = readFileSync(`${file}-wal`);
  db.close();
  copyFileSync(join(backups, name), `${file}.incoming`);
  writeFileSync(`${file}-wal`, log);
  const again = await openLibraryDatabase(home);
  assert.equal(state(again), 'then');
  again.close();
  assert.deepEqual(names(home), ['backups', 'library.db']);
  writeFileSync(`${file}.restoring`, 'half a copy'); // before that point nothing has begun
  const unchanged = await openLibraryDatabase(home);
  assert.equal(state(unchanged), 'then');
  assert.ok(!existsSync(`${file}.restoring`));
  await restoreBackup(unchanged, backups, name);
  unchanged.close();
  assert.deepEqual(names(home), ['backups', 'library.db', 'recovery']);
});

test('a library of an older version is backed up before it is migrated', async t => {
  const { db, backups } = await library(t);
  set(db, 'old');
  const list = [...migrations, { version: newestVersion + 1, name: 'next', sql: 'CREATE TABLE next (id INTEGER PRIMARY KEY)' }];
  await migrate(db, { list, before: () => createBackup(db, backups, 'migration', noon) });
  assert.equal(db.pragma('user_version'), newestVersion + 1);
  const [{ name, kind }] = listBackups(backups) as [Backup];
  assert.deepEqual([name, kind], [`pre-migration-${newestVersion}-2026-11-22T12-00-00Z-1.db`, 'migration']);
  db.close();
  await assert.rejects(openLibraryDatabase(join(backups, '..')), refused('newer', /made by a newer Protagonist/));
  const closed = new Database(db.file);
  await restoreBackup(closed, backups, name);
  assert.deepEqual([state(closed), closed.pragma('user_version')], ['old', newestVersion]);
  closed.close();
});

test('a flipped byte anywhere is found, or changes no table’s structure', async t => {
  const { db, file } = await library(t);
  fill(db, 400, 60);
  const read = () => db.all<{ id: number; name: unknown; text: unknown }>('SELECT * FROM test_rows');
  const rows = read();
  db.close();
  const whole = readFileSync(file);
  const random = randoms(7);
  const sum = { found: 0, harmless: 0, text: 0 };
  for (let n = 0; n < 300; n++) {
    const bytes = Buffer.from(whole);
    const at = Math.floor(random() * bytes.length);
    bytes[at]! ^= 1 + Math.floor(random() * 255);
    writeFileSync(file, bytes);
    let problem: string | undefined;
    try {
      db.open();
      problem = db.get<{ integrity_check: string }>('PRAGMA integrity_check(1)')!.integrity_check;
      if (problem === 'ok') {
        problem = undefined;
        const now = read();
        if (isDeepStrictEqual(now, rows)) sum.harmless++;
        else {
          assert.deepEqual(
            now.map(r => r.id),
            rows.map(r => r.id),
            'rows were lost or gained unnoticed',
          ); // SQLite keeps no checksum of what a column holds
          sum.text++;
        }
      }
    } catch (error) {
      assert.ok(error instanceof DatabaseError, String(error));
      problem = error.message;
    } finally {
      db.close();
      rmSync(`${file}-wal`, { force: true });
      rmSync(`${file}-shm`, { force: true });
    }
    if (problem !== undefined) sum.found++;
  }
  t.diagnostic(`300 bytes flipped: ${sum.found} found, ${sum.harmless} harmless, ${sum.text} within a column's text`);
  assert.ok(sum.found > 0);
});
