/** @file The database's door and its migrations, on real files and real disks that fill up, refuse and break. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { DatabaseError, holdLock, openDatabase, type Database } from '../../electron/studio/database.ts';
import { migrate, migrations, newestVersion, type Migration } from '../../electron/studio/migrations.ts';
import { normalize } from '../../electron/studio/search.ts';
import { refusedByDatabase as refused } from '../support/library.ts';
import { cannotMount, mountTmpfs, unmount } from '../support/power.ts';

const root = mkdtempSync(join(tmpdir(), 'protagonist-database-'));
after(() => rmSync(root, { recursive: true, force: true }));
let serial = 0;
const fresh = () => {
  const folder = join(root, String(serial++));
  mkdirSync(folder);
  return folder;
};
const table = 'CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a, b)';
/** An open database with table t, closed after the test. */
function opened(t: { after(f: () => void): void }, file = join(fresh(), 'library.db')): Database {
  const db = openDatabase(file);
  t.after(() => db.close());
  db.exec(table);
  return db;
}
const check = (db: Database) => assert.equal(db.get<{ integrity_check: string }>('PRAGMA integrity_check')!.integrity_check, 'ok');
/** A script for a process of its own. */
function script(folder: string, text: string): string {
  const file = join(folder, 'script.ts');
  const ours = (name: string) => resolve(import.meta.dirname, '../../electron/studio', name);
  writeFileSync(
    file,
    text.replaceAll(/'studio\/(\w+\.ts)'/g, (_, name: string) => JSON.stringify(ours(name))),
  );
  return file;
}

test('values come back as they went in', t => {
  const db = opened(t);
  const values = [
    null,
    0,
    -1,
    1.5,
    2 ** 31,
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
    'ein Satz, 一句话',
    '',
    new Uint8Array([0, 255]),
  ];
  for (const value of values) {
    const { id } = db.run('INSERT INTO t (a) VALUES (?)', value);
    assert.deepEqual(db.get('SELECT a FROM t WHERE id = ?', id)!['a'], value);
  }
  assert.deepEqual(
    { ...db.get('SELECT typeof(?) AS whole, typeof(?) AS real, ? AS yes, ? AS no', 5, 5.5, true, false) },
    { whole: 'integer', real: 'real', yes: 1, no: 0 },
  );
  assert.equal(db.get<{ n: number }>('SELECT :n + :m AS n', { n: 2, m: 3 })!.n, 5);
  assert.equal(db.get('SELECT a FROM t WHERE id = 999'), undefined);
  assert.equal(db.all('SELECT a FROM t').length, values.length);
  assert.deepEqual(db.run('UPDATE t SET b = 1 WHERE id <= 3').changes, 3);
  db.run('INSERT INTO t (a) VALUES (?)', 2n ** 62n);
  assert.throws(() => db.all('SELECT a FROM t'), refused('bug', /too large to be represented/)); // rather than rounded
  assert.throws(() => db.run('INSERT INTO t (a) VALUES (?)', NaN), refused('bug', /NaN cannot be stored/));
  assert.throws(() => db.get('SELECT :n AS n', { m: 1 }), refused('bug', /m/));
  assert.throws(() => db.run('INSERT INTO nowhere VALUES (1)'), refused('bug', /no such table: nowhere.*INSERT INTO nowhere/));
});

test('the settings that durability and safety rest on', t => {
  const db = opened(t);
  assert.equal(db.get<{ journal_mode: string }>('PRAGMA journal_mode')!.journal_mode, 'wal');
  for (const [name, value] of Object.entries({
    synchronous: 2,
    foreign_keys: 1,
    trusted_schema: 0,
    application_id: 0x50726f74,
    busy_timeout: 5000,
  }))
    assert.equal(Object.values(db.get(`PRAGMA ${name}`)!)[0], value, name);
  db.exec('PRAGMA writable_schema = ON');
  assert.throws(() => db.run('DELETE FROM sqlite_schema'), /may not be modified/);
  db.exec('CREATE TABLE u (t INTEGER UNIQUE REFERENCES t(id))');
  assert.throws(
    () => db.run('INSERT INTO u VALUES (77)'),
    (e: unknown) => e instanceof DatabaseError && e.sqlite === 787,
  );
  db.run('INSERT INTO t (a) VALUES (1)');
  db.run('INSERT INTO u VALUES (1)');
  assert.throws(
    () => db.run('INSERT INTO u VALUES (1)'),
    (e: unknown) => e instanceof DatabaseError && e.sqlite === 2067,
  );
  db.exec(`CREATE VIRTUAL TABLE words USING fts5(text, tokenize = 'trigram')`);
  db.run(`INSERT INTO words VALUES ('我的猫在沙滩上跳舞')`);
  assert.equal(db.all(`SELECT rowid FROM words WHERE words MATCH '沙滩上'`).length, 1);
});

test('a transaction is whole or nothing; a nested one joins it', t => {
  const db = opened(t);
  const count = () => db.get<{ n: number }>('SELECT count(*) AS n FROM t')!.n;
  const add = () => db.run('INSERT INTO t (a) VALUES (1)');
  const told: string[] = [];
  assert.equal(
    db.transaction(() => {
      add();
      db.afterCommit(() => told.push(`outer ${count()}`));
      assert.throws(() =>
        db.transaction(() => {
          add();
          db.afterCommit(() => told.push('never'));
          throw new Error('inner');
        }),
      );
      db.transaction(() => {
        add();
        db.afterCommit(() => told.push('nested'));
      });
      assert.deepEqual(told, []);
      return 'result';
    }),
    'result',
  );
  assert.deepEqual([count(), told], [2, ['outer 2', 'nested']]);
  assert.throws(() => db.transaction(() => (add(), db.afterCommit(() => told.push('never')), assert.fail('no'))), /no/);
  assert.equal(count(), 2);
  assert.throws(() => db.transaction(async () => Promise.resolve(add())), refused('bug', /work that waits/));
  assert.equal(count(), 2);
  db.afterCommit(() => told.push('at once'));
  assert.deepEqual(told.slice(2), ['at once']);
  // SQLite ends a transaction by itself after some errors; what follows must not be committed alone
  assert.throws(
    () =>
      db.transaction(() => {
        add();
        assert.throws(() => db.exec(`INSERT OR ROLLBACK INTO t (id) VALUES (1)`), /UNIQUE/);
        add();
      }),
    refused('failed', /ended this transaction/),
  );
  assert.equal(count(), 2);
  db.transaction(add);
  assert.equal(count(), 3);
});

test('closed, it says so; opened again, it goes on', t => {
  const db = opened(t);
  db.run('INSERT INTO t (a) VALUES (1)');
  db.close();
  db.close();
  assert.deepEqual(readdirSync(join(db.file, '..')), ['library.db']);
  assert.equal(db.isOpen, false);
  for (const use of [() => db.get('SELECT 1'), () => db.run('DELETE FROM t'), () => db.transaction(() => 1), () => db.exec('SELECT 1')])
    assert.throws(use, refused('failed', /is closed/));
  db.open();
  assert.equal(db.all('SELECT * FROM t').length, 1);
});

test('a file of another program is refused untouched', () => {
  const file = join(fresh(), 'library.db');
  execFileSync(
    process.execPath,
    ['-e', `new (require('node:sqlite').DatabaseSync)(${JSON.stringify(file)}).exec('CREATE TABLE theirs (x)')`],
    { stdio: 'pipe' },
  );
  const before = readFileSync(file);
  assert.throws(() => openDatabase(file), refused('badPlace', /not a library of Protagonist/));
  assert.deepEqual(readFileSync(file), before);
  assert.deepEqual(readdirSync(join(file, '..')), ['library.db']);
  const text = join(fresh(), 'library.db');
  writeFileSync(text, 'not a database, but long enough to be taken for one '.repeat(100));
  assert.throws(() => openDatabase(text), refused('corrupt', /backup restore/));
  assert.throws(() => openDatabase(join(root, 'nowhere', 'library.db')), refused('disk', /folder is not there/));
  assert.throws(() => openDatabase(join(fresh(), 'absent.db'), { readOnly: true }), DatabaseError);
});

test('a moved or deleted file takes no more rows', t => {
  const db = opened(t);
  renameSync(db.file, `${db.file}2`);
  assert.throws(() => db.run('INSERT INTO t (a) VALUES (1)'), refused('disk', /no longer at/));
  assert.throws(() => db.get('INSERT INTO t (a) VALUES (1) RETURNING id'), refused('disk', /no longer at/));
  assert.throws(() => db.transaction(() => 1), refused('disk', /no longer at/));
  renameSync(`${db.file}2`, db.file);
  db.run('INSERT INTO t (a) VALUES (1)');
});

test('damage is found, and onCorrupt sees the files as they were', () => {
  const file = join(fresh(), 'library.db');
  const db = openDatabase(file);
  db.exec(table);
  db.transaction(() => {
    for (let i = 0; i < 500; i++) db.run('INSERT INTO t (a) VALUES (?)', 'x'.repeat(500));
  });
  db.close();
  truncateSync(file, 8192);
  let size = 0;
  assert.throws(
    () => {
      const db = openDatabase(file, { onCorrupt: () => (size = statSync(file).size) });
      try {
        db.all('SELECT a FROM t');
      } finally {
        db.close();
      }
    },
    refused('corrupt', /damaged/),
  );
  writeFileSync(file, Buffer.alloc(8192, 7));
  assert.throws(() => openDatabase(file, { onCorrupt: () => (size = statSync(file).size) }), refused('corrupt', /damaged/));
  assert.equal(size, 8192);
});

test('the log stays below 64 MB', t => {
  const db = opened(t);
  const log = () => statSync(`${db.file}-wal`).size;
  let most = 0;
  const megabyte = new Uint8Array(1 << 20);
  for (let i = 0; i < 60; i++) {
    db.transaction(() => {
      for (let k = 0; k < 4; k++) db.run('INSERT INTO t (a) VALUES (?)', megabyte);
    });
    most = Math.max(most, log());
    if (i % 10 === 9) db.run('DELETE FROM t');
  }
  t.diagnostic(`240 MiB written, the log was ${(most / 2 ** 20).toFixed(1)} MiB at most`);
  assert.ok(most < 32 << 20);
  db.transaction(() => {
    for (let i = 0; i < 80; i++) db.run('INSERT INTO t (a) VALUES (?)', megabyte);
  });
  assert.ok(log() > 64 << 20, 'one transaction of 80 MiB');
  db.run('INSERT INTO t (a) VALUES (1)');
  assert.ok(log() <= 16 << 20, `the log was not cut back: ${log()}`);
  db.checkpoint();
  assert.equal(log(), 0);
});

test('a full disk: the sentence says so, nothing is lost, and the same handle goes on', { skip: cannotMount() }, t => {
  const folder = fresh();
  mountTmpfs(folder, '2m');
  t.after(() => unmount(folder));
  const db = openDatabase(join(folder, 'library.db'));
  try {
    db.exec(table);
    const add = () => db.run('INSERT INTO t (a) VALUES (?)', 'x'.repeat(3000));
    let rows = 0;
    const fill = () => {
      for (;;) {
        add();
        rows++;
      }
    };
    const count = () => db.get<{ n: number }>('SELECT count(*) AS n FROM t')!.n;
    assert.throws(fill, refused('noSpace', /disk is full: free some space/));
    assert.throws(add, refused('noSpace', /disk is full/));
    assert.equal(count(), rows);
    mountTmpfs(folder, '4m', 'rw', true);
    add();
    rows++;
    assert.throws(() => db.transaction(fill), refused('noSpace', /disk is full/));
    rows = count();
    mountTmpfs(folder, '32m', 'rw', true);
    db.transaction(() => {
      for (let i = 0; i < 100; i++) add();
    });
    assert.equal(count(), rows + 100);
    check(db);
    assert.deepEqual(readdirSync(folder).sort(), ['library.db', 'library.db-shm', 'library.db-wal']);
  } finally {
    db.close();
  }
});

test('a disk that can only be read', { skip: cannotMount() }, t => {
  const folder = fresh();
  mountTmpfs(folder, '2m');
  t.after(() => unmount(folder));
  openDatabase(join(folder, 'library.db')).close();
  mountTmpfs(folder, '2m', 'ro', true);
  assert.throws(() => openDatabase(join(folder, 'library.db')), refused('readOnly', /can only be read/));
  mountTmpfs(folder, '2m', 'rw', true);
  openDatabase(join(folder, 'library.db')).close();
});

test('no more files can be opened', { skip: process.platform === 'win32' }, () => {
  const folder = fresh();
  const file = script(
    folder,
    `import { openSync, closeSync } from 'node:fs';
    import { openDatabase } from 'studio/database.ts';
    const open = [];
    try { for (;;) open.push(openSync('/dev/null', 'r')); } catch {}
    closeSync(open.pop());
    try { openDatabase(${JSON.stringify(join(folder, 'library.db'))}); } catch (e) { closeSync(open.pop()); closeSync(open.pop()); closeSync(open.pop()); console.log(e.code, e.message); }
    for (const f of open.splice(0, 20)) closeSync(f);
    openDatabase(${JSON.stringify(join(folder, 'library.db'))}).close();
    console.log('opened');`,
  );
  const { stdout, stderr } = spawnSync('/bin/sh', ['-c', `ulimit -n 64; exec "${process.execPath}" "${file}"`], { encoding: 'utf8' });
  assert.match(stdout, /^disk .*too many files are open: close some programs.*\nopened\n$/, stderr);
});

const strace = spawnSync('strace', ['-V']).status === 0;
test(
  'calls of the system that fail: a sentence each, nothing acknowledged is lost, and it goes on',
  { skip: !strace && 'strace is not installed' },
  t => {
    for (const [call, how, sentence] of [
      ['pwrite64', 'error=ENOSPC:when=20..35', /^noSpace .*disk is full/],
      ['pwrite64', 'error=EIO:when=20..300+31', /^disk .*disk report(s an|ed an) error/],
      ['pwrite64', 'error=EROFS:when=20..35', /^readOnly .*can only be read/],
      ['fdatasync,fsync', 'error=EIO:when=5..60+11', /^disk .*disk report(s an|ed an) error/],
      ['fdatasync,fsync', 'error=ENOSPC:when=10..25', /^noSpace .*disk is full/],
      ['pread64', 'error=EIO:when=2..40+5', /^(disk|corrupt) /],
      ['ftruncate', 'error=EIO:when=1..2', /^disk /],
    ] as const) {
      const folder = fresh();
      const file = script(
        folder,
        `import { openDatabase } from 'studio/database.ts';
      const errors = new Set();
      const again = f => { for (let i = 0; ; i++) try { return f(); } catch (e) { errors.add(e.code + ' ' + e.message); if (i > 99) throw e; } };
      const db = again(() => openDatabase(${JSON.stringify(join(folder, 'library.db'))}));
      again(() => db.exec('CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY AUTOINCREMENT, a, b)'));
      const ids = [];
      for (let i = 0; i < 120; i++) ids.push(again(() => db.transaction(() => db.run('INSERT INTO t (a) VALUES (?)', 'x'.repeat(9000)).id)));
      again(() => db.checkpoint());
      const found = again(() => db.all('SELECT id FROM t ORDER BY id').map(r => r.id));
      console.log(JSON.stringify({ lost: ids.filter(id => !found.includes(id)).length, more: found.length - ids.length, check: again(() => db.get('PRAGMA integrity_check').integrity_check), errors: [...errors] }));`,
      );
      const paths = ['library.db', 'library.db-wal', 'library.db-shm', '.protagonist-probe'].flatMap(name => ['-P', join(folder, name)]);
      const { stdout, stderr } = spawnSync(
        'strace',
        ['-f', '-qq', '-o', '/dev/null', ...paths, '-e', `trace=${call}`, '-e', `inject=${call}:${how}`, process.execPath, file],
        { encoding: 'utf8' },
      );
      assert.notEqual(stdout, '', `${call} ${how}: ${stderr}`);
      const { errors, ...rest } = JSON.parse(stdout) as { errors: string[] };
      assert.deepEqual(rest, { lost: 0, more: 0, check: 'ok' }, `${call} ${how}`);
      assert.ok(errors.length > 0, `${call} ${how} hit nothing`);
      assert.ok(
        errors.some(e => sentence.test(e)),
        `${call} ${how}: ${errors.join('\n')}`,
      );
      t.diagnostic(`${call} ${how}: ${errors.join(' | ')}`);
    }
  },
);

test('one holder of a lock, until it ends', async () => {
  const file = join(fresh(), 'lock.db');
  const child = spawn(process.execPath, [
    script(
      join(file, '..'),
      `import { holdLock } from 'studio/database.ts'; console.log(!!holdLock(${JSON.stringify(file)})); setInterval(() => {}, 1000);`,
    ),
  ]);
  try {
    await new Promise(done => child.stdout.once('data', done));
    assert.equal(holdLock(file), undefined);
    child.kill('SIGSTOP');
    assert.equal(holdLock(file), undefined, 'a stopped holder still holds it');
  } finally {
    child.kill('SIGKILL');
  }
  await new Promise(done => child.once('close', done));
  const lock = holdLock(file)!;
  assert.equal(holdLock(file), undefined);
  lock.release();
  lock.release();
  holdLock(file)!.release();
});

// Migrations

const older: Migration[] = [
  {
    version: 1,
    name: 'first',
    sql: 'CREATE TABLE subjects (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT); CREATE TABLE photos (id INTEGER PRIMARY KEY, subject INTEGER REFERENCES subjects(id))',
  },
];
/** Makes a table anew, as SQLite asks for many changes: several statements, each of which a crash may follow. */
const steps = [
  'CREATE TABLE renewed (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, kind TEXT NOT NULL)',
  `INSERT INTO renewed SELECT id, name, 'toy' FROM subjects`,
  'DROP TABLE subjects',
  'ALTER TABLE renewed RENAME TO subjects',
  'CREATE INDEX subject_kind ON subjects(kind)',
];
const newer: Migration[] = [...older, { version: 2, name: 'kinds', run: db => steps.forEach(sql => db.exec(sql)) }];
async function oldLibrary(): Promise<string> {
  const db = openDatabase(join(fresh(), 'library.db'));
  assert.deepEqual(await migrate(db, { list: older }), { from: 0, to: 1 });
  for (let i = 1; i <= 50; i++) {
    db.run('INSERT INTO subjects (name) VALUES (?)', `subject ${i}`);
    db.run('INSERT INTO photos (subject) VALUES (?)', i);
  }
  db.close();
  return db.file;
}
/** Old or new, never between: the version it has. */
function versionOf(file: string): number {
  const db = openDatabase(file);
  try {
    check(db);
    assert.equal(db.get('PRAGMA foreign_key_check'), undefined);
    const version = db.pragma('user_version');
    const columns = db.all<{ name: string }>('PRAGMA table_info(subjects)').map(c => c.name);
    assert.deepEqual(columns, version === 2 ? ['id', 'name', 'kind'] : ['id', 'name']);
    assert.equal(db.get('SELECT 1 FROM sqlite_schema WHERE name = ?', 'renewed'), undefined);
    assert.equal(db.get('SELECT 1 AS n FROM sqlite_schema WHERE name = ?', 'subject_kind') !== undefined, version === 2);
    assert.equal(db.get<{ n: number }>('SELECT count(*) AS n FROM subjects JOIN photos ON subject = subjects.id')!.n, 50);
    return version;
  } finally {
    db.close();
  }
}

test('a migration: backup first, then all of it, once', async () => {
  const file = await oldLibrary();
  const db = openDatabase(file);
  try {
    const asked: number[] = [];
    const before = (from: number) => Promise.resolve(asked.push(from));
    assert.deepEqual(await migrate(db, { list: newer, before }), { from: 1, to: 2 });
    assert.deepEqual(await migrate(db, { list: newer, before }), { from: 2, to: 2 });
    assert.deepEqual(asked, [1]);
    assert.equal(db.pragma('foreign_keys'), 1);
    await assert.rejects(migrate(db, { list: older }), refused('newer', /newer Protagonist.*version is 2.*knows 1/));
    db.run(`INSERT INTO subjects (name, kind) VALUES ('last', 'pet')`);
    assert.equal(db.get<{ id: number }>('SELECT max(id) AS id FROM subjects')!.id, 51, 'numbers go on');
  } finally {
    db.close();
  }
});

test('a migration that fails, or whose backup fails, leaves the old version', async () => {
  const file = await oldLibrary();
  const db = openDatabase(file);
  try {
    await assert.rejects(migrate(db, { list: newer, before: () => Promise.reject(new Error('no backup')) }), /no backup/);
    for (const sql of ['DROP TABLE photos; CREATE TABLE x (y); nonsense', 'DELETE FROM subjects WHERE id = 7'])
      await assert.rejects(migrate(db, { list: [...older, { version: 2, name: 'wrong', sql }] }), DatabaseError);
    assert.equal(db.pragma('foreign_keys'), 1);
  } finally {
    db.close();
  }
  assert.equal(versionOf(file), 1);
});

test('killed after each statement, or at any write, of a migration: the old version or the new one', async t => {
  const old = await oldLibrary();
  const code = (list: string) => `import { openDatabase } from 'studio/database.ts';
    import { migrate } from 'studio/migrations.ts';
    const steps = ${JSON.stringify(steps)}, die = Number(process.argv[3]);
    const older = ${JSON.stringify(older)};
    const db = openDatabase(process.argv[2]);
    await migrate(db, { list: ${list} });`;
  const child = script(
    fresh(),
    code(
      `[...older, { version: 2, name: 'kinds', run: db => steps.forEach((sql, i) => { if (i === die) process.kill(process.pid, 'SIGKILL'); db.exec(sql); if (die === steps.length && i === die - 1) process.kill(process.pid, 'SIGKILL'); }) }]`,
    ),
  );
  for (let n = 0; n <= steps.length + 1; n++) {
    const file = join(fresh(), 'library.db');
    copyFileSync(old, file);
    const { signal, status } = spawnSync(process.execPath, [child, file, String(n)]);
    assert.equal(n > steps.length ? status : signal, n > steps.length ? 0 : 'SIGKILL');
    assert.equal(versionOf(file), n > steps.length ? 2 : 1);
  }
  if (!strace) return;
  const found: number[] = [];
  for (let n = 1; n <= 12; n++) {
    const file = join(fresh(), 'library.db');
    copyFileSync(old, file);
    spawnSync('strace', [
      '-f',
      '-qq',
      '-o',
      '/dev/null',
      '-P',
      file,
      '-P',
      `${file}-wal`,
      '-e',
      'trace=pwrite64,fdatasync,fsync',
      '-e',
      `inject=pwrite64,fdatasync,fsync:signal=KILL:when=${n}`,
      process.execPath,
      child,
      file,
      '-1',
    ]);
    found.push(versionOf(file));
  }
  t.diagnostic(`versions after a kill at writes 1 to 12: ${found.join(' ')}`);
  assert.equal(found[0], 1);
  assert.deepEqual(found, [...found].sort());
});

test('the product’s migrations are numbered from 1, and a new library is whole', async () => {
  assert.deepEqual(
    migrations.map(m => m.version),
    migrations.map((_, i) => i + 1),
  );
  const db = openDatabase(join(fresh(), 'library.db'));
  try {
    assert.deepEqual(await migrate(db), { from: 0, to: newestVersion });
    check(db);
  } finally {
    db.close();
  }
});

/** Tables with their columns, indexes and triggers: what a migrated library must have in common with a new one. */
const shape = (db: Database) =>
  db
    .all<{ type: string; name: string; tbl_name: string }>(
      `SELECT type, name, tbl_name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name`,
    )
    .map(({ type, name, tbl_name }) => ({
      type,
      name,
      tbl_name,
      columns: db.all(`PRAGMA ${type === 'index' ? 'index_xinfo' : 'table_xinfo'}("${name}")`).map(c => ({ ...c })),
      keys: type === 'table' ? db.all(`PRAGMA foreign_key_list("${name}")`).map(c => ({ ...c })) : [],
    }));
const libraries = resolve(import.meta.dirname, '../golden/libraries');
for (const name of readdirSync(libraries).filter(f => f.endsWith('.db')))
  test(`the released library ${name} becomes the newest version`, async () => {
    const folder = fresh();
    copyFileSync(join(libraries, name), join(folder, 'library.db'));
    const [db, anew] = [openDatabase(join(folder, 'library.db')), openDatabase(join(folder, 'new.db'))];
    try {
      const rows = () =>
        new Map(
          db
            .all<{ name: string }>(`SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0`)
            .map(({ name }) => [name, db.get<{ n: number }>(`SELECT count(*) AS n FROM "${name}"`)!.n]),
        );
      const before = rows();
      const { from } = await migrate(db);
      assert.equal(name, `v${from}.db`);
      await migrate(anew);
      assert.deepEqual(shape(db), shape(anew));
      check(db);
      assert.equal(db.get('PRAGMA foreign_key_check'), undefined);
      if (from === newestVersion) assert.deepEqual(rows(), before);
      assert.ok(before.size > 0 && !existsSync(join(libraries, `${name}-wal`)));
    } finally {
      db.close();
      anew.close();
    }
  });
test('prompts that were used before they were kept are there, the latest last; tags are counted', async () => {
  const folder = fresh();
  copyFileSync(join(libraries, 'v2.db'), join(folder, 'library.db'));
  const db = openDatabase(join(folder, 'library.db'));
  try {
    db.run(`UPDATE jobs SET record = 'damaged' WHERE id = 8`);
    db.run(`INSERT INTO clips (file, record) VALUES ('x.mp4', '{"request":null,"tags":["keep",7]}'), ('y.mp4', 'damaged')`);
    await migrate(db);
    const kept = db.all<{ prompt: string; words: string; pinned: number; hidden: number; used_at: string }>(
      'SELECT * FROM prompts ORDER BY used',
    );
    assert.deepEqual(
      kept.map(k => k.prompt),
      ['@lemon and the red ball', '@lemon and the blue ball', '@kelp hops on a sandy beach', 'waiting for @lemon'],
    );
    for (const { prompt, words, pinned, hidden, used_at } of kept)
      assert.deepEqual([words, pinned, hidden, Number.isNaN(Date.parse(used_at))], [normalize(prompt), 0, 0, false]);
    assert.deepEqual(
      db.all('SELECT tag, clip, trashed FROM clip_tags ORDER BY clip, tag').map(row => Object.values(row)),
      [['beach', 1, 0], ['keep', 1, 0], ['keep', 2, 1], ['red ball', 2, 1], ['keep', 7, 0]],
    ); // prettier-ignore
  } finally {
    db.close();
  }
});
test('every version before the newest has its library', () => {
  for (let version = 1; version < newestVersion; version++)
    assert.ok(existsSync(join(libraries, `v${version}.db`)), `v${version}.db is missing`);
});
