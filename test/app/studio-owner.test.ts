/** @file One owner a library, everybody served, taken over in time: real processes, real sockets. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  chownSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { StudioError } from '../../electron/contract/errors.ts';
import { holdLock } from '../../electron/studio/database.ts';
import { openStudio, type Hosted } from '../../electron/studio/owner.ts';
import { fits, pipeName } from '../../electron/studio/socket.ts';
import { run, start } from '../support/run.ts';
import { within } from '../support/time.ts';

const root = mkdtempSync(join(tmpdir(), 'protagonist-owner-'));
let homes = 0;
const newHome = (name = '') => join(root, `${homes++}${name}`);

interface Line {
  readonly [key: string]: unknown;
  readonly value?: { readonly pid: number; readonly count: number };
}
/** A process on a library; `next` takes its lines in order, skipping those without `key`. */
function child(home: string, ...options: string[]) {
  const process_ = spawn(process.execPath, [resolve(import.meta.dirname, '../support/owner-child.ts'), home, ...options], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const lines: Line[] = [],
    waiting: (() => void)[] = [];
  let stderr = '';
  process_.stderr.on('data', (b: Buffer) => (stderr += b.toString()));
  process_.stdin.on('error', () => undefined);
  createInterface({ input: process_.stdout }).on('line', text => {
    lines.push(JSON.parse(text) as Line);
    for (const wake of waiting.splice(0)) wake();
  });
  const exited = new Promise<void>(done =>
    process_.on('close', () => {
      lines.push({ exit: true });
      for (const wake of waiting.splice(0)) wake();
      done();
    }),
  );
  const next = async (key: string): Promise<Line> => {
    for (;;) {
      const at = lines.findIndex(line => key in line);
      if (at >= 0) return lines.splice(at, 1)[0]!;
      assert.ok(!lines.some(line => line['exit']), `it ended without ${key}: ${JSON.stringify(lines)} ${stderr}`);
      await new Promise<void>(wake => waiting.push(wake));
    }
  };
  const send = (verb: string, input: unknown = {}) => process_.stdin.write(`${JSON.stringify({ verb, input })}\n`);
  const it = {
    pid: process_.pid!,
    exited,
    next,
    send,
    call: async (verb: string, input: unknown = {}) => {
      send(verb, input);
      return next('verb');
    },
    kill: (signal: NodeJS.Signals) => process_.kill(signal),
    end: async () => {
      process_.stdin.end();
      await exited;
    },
  };
  living.add(it);
  void exited.then(() => living.delete(it));
  return it;
}
const living = new Set<{ readonly pid: number; kill(signal: NodeJS.Signals): boolean }>();
after(() => {
  for (const it of living) it.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

test('with an owner and without one, the same verbs; the end of a command is the end of its ownership', async () => {
  const home = newHome();
  const alone = child(home);
  assert.equal((await alone.next('opened'))['owner'], true);
  assert.equal((await alone.call('add', { text: 'a' })).value!.count, 1);
  const guest = child(home);
  assert.equal((await guest.next('opened'))['owner'], false);
  assert.deepEqual((await guest.call('show')).value, { pid: alone.pid, count: 1 });
  assert.equal((await guest.call('add', { text: 'b' })).value!.count, 2);
  await guest.end();
  await alone.end();
  assert.deepEqual(readdirSync(home).toSorted(), ['lines.txt', 'lock.db', 'owners.txt']);
  const later = child(home);
  assert.equal((await later.next('opened'))['owner'], true);
  assert.equal((await later.call('show')).value!.count, 2);
  await later.end();
});

test('events reach those that asked for them', async () => {
  const home = newHome();
  const owner = child(home);
  await owner.next('opened');
  const listener = child(home),
    deaf = child(home);
  await Promise.all([listener.next('opened'), deaf.next('opened')]);
  await listener.call('subscribe');
  await deaf.call('add', { text: 'hello' });
  assert.deepEqual((await listener.next('event'))['event'], { type: 'added', text: 'hello' });
  await Promise.all([listener.end(), deaf.end()]);
  await owner.end();
});

test('the folder is for its user alone, and so is the socket', { skip: process.platform === 'win32' }, async () => {
  const home = newHome();
  const owner = child(home);
  await owner.next('opened');
  assert.equal(statSync(home).mode & 0o777, 0o700);
  assert.equal(statSync(join(home, 'owner.sock')).mode & 0o777, 0o600);
  assert.equal(statSync(join(home, 'owner.json')).mode & 0o777, 0o600);
  chmodSync(home, 0o777);
  const guest = child(home);
  assert.match(String((await guest.next('warn'))['warn']), /every user of this machine can change the library in .*chmod o-w/);
  await guest.end();
  await owner.end();
});

test('twenty commands at once: one owner, everybody served', { timeout: 600_000 }, async () => {
  const home = newHome();
  const all = Array.from({ length: 20 }, () => child(home));
  const opened = await Promise.all(all.map(c => c.next('opened')));
  assert.equal(opened.filter(o => o['owner']).length, 1);
  const answers = await Promise.all(all.map((c, i) => c.call('add', { text: `line ${i}` })));
  assert.deepEqual(
    answers.map(a => a.value!.count).toSorted((a, b) => a - b),
    Array.from({ length: 20 }, (_, i) => i + 1),
  );
  assert.equal(readFileSync(join(home, 'owners.txt'), 'utf8').split('\n').length - 1, 1);
  await Promise.all(all.map(c => c.end()));
  assert.ok(!existsSync(join(home, 'owner.sock')));
});

test('SIGKILL of the owner: another takes over within a second, twenty times', { timeout: 600_000 }, async t => {
  const home = newHome(),
    took: number[] = [];
  const crew = Array.from({ length: 3 }, () => child(home));
  await Promise.all(crew.map(c => c.next('opened')));
  let count = 0;
  for (let round = 0; round < 20; round++) {
    const { pid } = (await crew[0]!.call('show')).value!;
    const [owner] = crew.splice(
      crew.findIndex(c => c.pid === pid),
      1,
    );
    assert.ok(owner, 'the owner is none of the crew');
    const began = performance.now();
    owner.kill('SIGKILL');
    const replies = await Promise.all(crew.map(c => c.call('show'))); // in flight or not: a call that reads is repeated
    took.push(performance.now() - began);
    for (const reply of replies) assert.deepEqual(reply.value, { pid: replies[0]!.value!.pid, count });
    assert.notEqual(replies[0]!.value!.pid, pid);
    assert.equal((await crew[1]!.call('add', { text: 'x' })).value!.count, ++count);
    await owner.exited;
    const fresh = child(home);
    await fresh.next('opened');
    crew.push(fresh);
  }
  took.sort((a, b) => a - b);
  t.diagnostic(`takeover after SIGKILL: median ${took[10]!.toFixed(1)} ms, worst ${took.at(-1)!.toFixed(1)} ms of 20`);
  assert.ok(took.at(-1)! < within(1000), `${took.at(-1)!} ms`);
  await Promise.all(crew.map(c => c.end()));
});

test('calls in flight when the owner dies: one that reads is repeated, one that may change something is not; listeners stay', async () => {
  const home = newHome();
  const owner = child(home);
  await owner.next('opened');
  const guest = child(home);
  await guest.next('opened');
  await guest.call('subscribe');
  guest.send('wait', { ms: 60_000 });
  guest.send('read', { ms: 1000 });
  await guest.call('show'); // what was sent before it has come, too
  owner.kill('SIGKILL');
  const first = await guest.next('verb');
  assert.equal(first['verb'], 'wait');
  assert.equal(first['code'], 'disconnected');
  assert.match(String(first['text']), /the process at the other end has ended/);
  const second = await guest.next('verb');
  assert.deepEqual([second['verb'], second.value!.pid, second['owner']], ['read', guest.pid, true]);
  assert.deepEqual((await guest.next('event'))['event'], { type: 'restored' });
  await guest.call('add', { text: 'still there' });
  assert.deepEqual((await guest.next('event'))['event'], { type: 'added', text: 'still there' });
  await guest.end();
});

test('an owner that closes the library with clients at work: one of them takes over', async () => {
  const home = newHome();
  const owner = child(home);
  await owner.next('opened');
  const guests = [child(home), child(home)];
  await Promise.all(guests.map(g => g.next('opened')));
  await owner.end();
  const replies = await Promise.all(guests.map(g => g.call('show')));
  assert.equal(replies[0]!.value!.pid, replies[1]!.value!.pid);
  assert.equal(replies.filter(r => r['owner']).length, 1);
  await Promise.all(guests.map(g => g.end()));
});

test('an owner that only stands still is not stolen from, and goes on when it is let', async () => {
  const home = newHome();
  const owner = child(home);
  await owner.next('opened');
  owner.kill('SIGSTOP');
  const guest = child(home, '--patience', '1500');
  const failed = await guest.next('failed');
  assert.equal(failed['code'], 'busy');
  assert.equal(
    failed['text'],
    `the library in ${home} is open in another process (${owner.pid}) that has not answered for 2 s: wait for it, or end it, then try again`,
  );
  const patient = child(home);
  await sleep(1000);
  owner.kill('SIGCONT');
  assert.equal((await patient.next('opened'))['owner'], false);
  assert.equal((await patient.call('show')).value!.pid, owner.pid);
  await patient.end();
  owner.kill('SIGSTOP');
  await sleep(100);
  owner.kill('SIGKILL'); // stopped or not, its end frees the library
  assert.equal((await child(home).next('opened'))['owner'], true);
});

test('an owner whose lock was lost still owns, answering or not', { skip: process.platform === 'win32' }, async () => {
  const home = newHome();
  const owner = child(home);
  await owner.next('opened');
  rmSync(join(home, 'lock.db'));
  const guest = child(home);
  assert.equal((await guest.next('opened'))['owner'], false);
  assert.equal((await guest.call('show')).value!.pid, owner.pid);
  await guest.end();
  owner.kill('SIGSTOP');
  assert.equal((await child(home, '--patience', '700').next('failed'))['code'], 'busy');
  owner.kill('SIGKILL');
  assert.equal((await child(home).next('opened'))['owner'], true);
});

test('the files that hold the owner’s locks are never opened for a client, by whatever name', async () => {
  const home = newHome(),
    files = newHome();
  await run(['subject', 'list', '--home', home]);
  mkdirSync(files);
  symlinkSync(join(home, 'lock.db'), join(files, 'clip.mp4'));
  linkSync(join(home, 'lock.db'), join(files, 'kelp.jpg'));
  const owner = start(['queue', 'run', '--json', '--home', home]);
  const isOwned = () => spawnSync(process.execPath, ['-e', `const { DatabaseSync } = require('node:sqlite'); new DatabaseSync(process.argv[1], { timeout: 0 }).exec('BEGIN EXCLUSIVE')`, join(home, 'lock.db')]).status !== 0; // prettier-ignore
  try {
    for (const end = performance.now() + 60_000; !(existsSync(join(home, 'owner.json')) && isOwned()); await sleep(50))
      assert.ok(performance.now() < end, 'no owner');
    for (const args of [
      ['request', join(home, 'lock.db')],
      ['request', join(files, 'clip.mp4')],
      ['subject', 'add', '--name', 'Kelp', '--kind', 'toy', join(home, 'lock.db')],
      ['subject', 'add', '--name', 'Kelp', '--kind', 'toy', files],
    ]) {
      const { status, stderr } = await run([...args, '--home', home]);
      assert.equal(status, 1, stderr);
      assert.match(stderr, /belongs to the library's database/);
      assert.ok(isOwned(), `${args.join(' ')} took the owner's lock`);
    }
  } finally {
    owner.child.kill('SIGINT');
    await owner.ended;
  }
});

test('an owner that is still opening is waited for; so is one that another command begins', async () => {
  const home = newHome();
  const owner = child(home, '--become', '1200');
  while (!existsSync(join(home, 'owner.sock'))) await sleep(5);
  const guest = child(home, '--patience', '400'); // it lives: that is worth more patience
  assert.equal((await guest.next('opened'))['owner'], false);
  assert.equal((await guest.call('show')).value!.pid, owner.pid);
  await guest.end();
  await owner.end();
});

test('a client that stands still does not keep an owner from closing', async () => {
  const home = newHome();
  const owner = child(home);
  await owner.next('opened');
  const guest = child(home);
  await guest.next('opened');
  guest.kill('SIGSTOP');
  const began = performance.now();
  await owner.end();
  assert.ok(performance.now() - began < within(5000));
  assert.deepEqual(readdirSync(home).toSorted(), ['lock.db', 'owners.txt']);
  guest.kill('SIGKILL');
});

test('long paths, spaces, umlauts, Chinese', async () => {
  for (const name of [' my library', ' Bücher und Träume', '我的视频', ` ${'long'.repeat(30)}/${'länger 中'.repeat(12)}`]) {
    const home = newHome(name);
    const owner = child(home);
    await owner.next('opened');
    const guest = child(home);
    assert.equal((await guest.next('opened'))['owner'], false, name);
    assert.equal((await guest.call('show')).value!.pid, owner.pid);
    owner.kill('SIGKILL');
    assert.equal((await guest.call('show')).value!.pid, guest.pid);
    await guest.end();
    assert.deepEqual(readdirSync(home).toSorted(), ['lock.db', 'owners.txt']);
  }
});

test('another version is told so in a sentence, both ways', async () => {
  const home = newHome();
  const owner = child(home, '--version', '2.0.0');
  await owner.next('opened');
  const failed = await child(home).next('failed');
  assert.equal(failed['code'], 'busy');
  assert.equal(
    failed['text'],
    `the library in ${home} is in use: another version of Protagonist answers there (2.0.0; this is 1.0.0): end that one, or use it`,
  );
  assert.equal((await owner.call('show')).value!.pid, owner.pid);
  await owner.end();
});

test('an owner that is told to close answers what its clients have in flight; what they ask meanwhile is asked of the next', async () => {
  const home = newHome();
  const owner = child(home);
  await owner.next('opened');
  const guest = child(home);
  await guest.next('opened');
  await guest.call('subscribe');
  guest.send('wait', { ms: 800 });
  await sleep(200);
  const ended = owner.end();
  await sleep(200);
  guest.send('add', { text: 'later' }); // waits until the library is free
  const first = await guest.next('verb');
  assert.deepEqual([first['verb'], first.value?.pid], ['wait', owner.pid]);
  const second = await guest.next('verb');
  assert.deepEqual([second['verb'], second.value?.count, second['owner']], ['add', 1, true]);
  await ended;
  await guest.end();

  const hasty = child(home, '--grace', '300');
  await hasty.next('opened');
  const slow = child(home);
  await slow.next('opened');
  slow.send('wait', { ms: 60_000 });
  await slow.call('show'); // what was sent before it has come, too
  await hasty.end();
  assert.equal((await slow.next('verb'))['code'], 'disconnected');
  await slow.end();
});

test('twenty commands that come and go at once: each is carried out, once', { timeout: 600_000 }, async t => {
  const home = newHome();
  const began = performance.now();
  const command = async (i: number) => {
    await sleep(i * 40);
    const it = child(home);
    it.send('add', { text: `line ${i}` });
    it.send('close');
    const { value, text } = await it.next('verb');
    assert.ok(value, String(text));
    await it.exited;
  };
  await Promise.all(Array.from({ length: 20 }, (_, i) => command(i)));
  assert.deepEqual(
    readFileSync(join(home, 'lines.txt'), 'utf8').trimEnd().split('\n').toSorted(),
    Array.from({ length: 20 }, (_, i) => `line ${i}`).toSorted(),
  );
  const owners = readFileSync(join(home, 'owners.txt'), 'utf8').split('\n').length - 1;
  t.diagnostic(`20 commands, ${owners} owners, ${((performance.now() - began) / 1000).toFixed(1)} s`);
});

test('the same with owners that are killed: what was answered is there, nothing is there twice', { timeout: 600_000 }, async t => {
  const home = newHome(),
    told: string[] = [];
  const codes: unknown[] = [];
  let kills = 0;
  const over = new AbortController();
  const command = async (i: number) => {
    await sleep(i * 80);
    const it = child(home);
    try {
      for (const text of [`${i} a`, `${i} b`, `${i} c`, `${i} d`]) {
        const { value, code } = await it.call('add', { text });
        if (value) told.push(text);
        else codes.push(code);
        assert.ok((await it.call('read', { ms: 50 })).value); // repeated until it is answered
      }
      await it.end();
    } catch (e) {
      await it.exited;
      assert.match((e as Error).message, /^it ended without/); // it was the owner
    }
  };
  const killer = (async () => {
    for (; !over.signal.aborted; await sleep(300 + Math.random() * 500)) {
      const pid = /"pid":(\d+)/.exec(existsSync(join(home, 'owner.json')) ? readFileSync(join(home, 'owner.json'), 'utf8') : '')?.[1];
      for (const it of living) if (it.pid === Number(pid) && it.kill('SIGKILL')) kills++;
    }
  })();
  await Promise.all(Array.from({ length: 20 }, (_, i) => command(i))).finally(() => over.abort());
  await killer;
  const lines = readFileSync(join(home, 'lines.txt'), 'utf8').trimEnd().split('\n');
  t.diagnostic(`${kills} kills; ${told.length} calls answered, ${codes.length} disconnected`);
  assert.equal(new Set(lines).size, lines.length);
  assert.deepEqual(
    told.filter(text => !lines.includes(text)),
    [],
  );
  assert.ok(codes.every(code => code === 'disconnected') && kills > 0);
});

const quiet: Hosted = {
  answer: () => Promise.resolve({ value: 'x'.repeat(1 << 20) }),
  subscribe: () => () => undefined,
  close: () => Promise.resolve(),
};

test('clients that connect and say nothing, half a hello, junk, or never read: the owner goes on', { timeout: 600_000 }, async () => {
  const home = newHome();
  const owner = await openStudio(home, () => Promise.resolve(quiet), { version: '1', limits: { patience: 300, most: 8 << 20 } });
  const ended = (text: string | Buffer) =>
    new Promise<void>((done, fail) => {
      const socket = connect(join(home, 'owner.sock'));
      socket.on('error', () => undefined);
      socket.on('close', () => done());
      socket.resume();
      socket.write(text);
      setTimeout(() => fail(new Error(`still connected after ${text.toString().slice(0, 40)}`)), 10_000).unref();
    });
  const hello = JSON.stringify({ type: 'hello', protocol: 1, version: '1' });
  await Promise.all([
    ended(''),
    ended(hello.slice(0, 20)),
    ended('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
    ended(Buffer.from([0xff, 0xfe, 0, 10, 10, 10])),
    ended(`${hello}\n${hello}\n`),
    ended(`${hello}\n{"type":"call","id":-1,"method":"a.b"}\n`),
    ended(`${hello}\n${'['.repeat(200_000)}${']'.repeat(200_000)}\n`),
    ended(`{"type":"hello","protocol":1,"version":"2"}\n`),
  ]);
  // one that asks for a megabyte sixty-four times and takes none of it
  const before = process.memoryUsage.rss(),
    deaf = connect(join(home, 'owner.sock'));
  const cut = new Promise<void>(done => deaf.on('close', () => done()).on('error', () => undefined));
  deaf.pause();
  deaf.write(`${hello}\n`);
  for (let id = 0; id < 64; id++) deaf.write(`{"type":"call","id":${id},"method":"a.b"}\n`);
  await sleep(1500);
  deaf.resume();
  await cut;
  assert.ok(process.memoryUsage.rss() - before < 200 << 20);
  const guest = await openStudio(home, () => Promise.reject(new Error('there is an owner')), { version: '1' });
  assert.equal(guest.owner, false);
  assert.ok('value' in (await guest.transport.call('a.b', {})));
  await guest.close();
  await owner.close();
});

test('a studio that cannot be opened leaves the library free, and its clients try for themselves', async () => {
  const home = newHome();
  await assert.rejects(
    openStudio(home, () => Promise.reject(new StudioError('corrupt', 'it is damaged')), { version: '1' }),
    { message: 'it is damaged' },
  );
  assert.deepEqual(readdirSync(home), ['lock.db']);
  const owner = await openStudio(home, () => Promise.resolve(quiet), { version: '1' });
  assert.equal(owner.owner, true);
  await Promise.all([owner.close(), owner.close()]);
});

test('what a dead owner left, and what is no socket at all, is replaced', async () => {
  const home = newHome();
  mkdirSync(home);
  writeFileSync(join(home, 'owner.sock'), 'a file');
  writeFileSync(join(home, 'owner.json'), '{"pid":"x"');
  writeFileSync(join(home, 'owner.new'), '');
  const owner = await openStudio(home, () => Promise.resolve(quiet), { version: '1' });
  const guest = await openStudio(home, () => Promise.resolve(quiet), { version: '1' });
  assert.deepEqual([owner.owner, guest.owner], [true, false]);
  await guest.close();
  await owner.close();
});

test('where no socket can be inside the library, it is in a folder of its own', { skip: process.platform === 'win32' }, async () => {
  const home = newHome();
  mkdirSync(join(home, 'owner.new'), { recursive: true }); // stands in the way
  const owner = await openStudio(home, () => Promise.resolve(quiet), { version: '1' });
  const { socket } = JSON.parse(readFileSync(join(home, 'owner.json'), 'utf8')) as { socket: string };
  assert.ok(socket.startsWith(join(tmpdir(), 'protagonist-')));
  assert.equal(statSync(dirname(socket)).mode & 0o777, 0o700);
  assert.equal(statSync(socket).mode & 0o777, 0o600);
  const guest = await openStudio(home, () => Promise.resolve(quiet), { version: '1' });
  assert.equal(guest.owner, false);
  await guest.close();
  await owner.close();
  assert.ok(!existsSync(dirname(socket)));
});

test('a folder that cannot be one is refused with the cause', async () => {
  const home = newHome();
  writeFileSync(home, 'a file');
  await assert.rejects(
    openStudio(join(home, 'inside'), () => Promise.resolve(quiet), { version: '1' }),
    /part of (that|the) path is a file, not a folder/,
  );
});

test('a socket of another user is not spoken to', { skip: process.getuid?.() !== 0 }, async () => {
  const home = newHome();
  mkdirSync(home);
  const lock = holdLock(join(home, 'lock.db'))!,
    server = createServer();
  await new Promise<void>(done => server.listen(join(home, 'owner.sock'), done));
  chownSync(join(home, 'owner.sock'), 12345, 12345);
  await assert.rejects(
    openStudio(home, () => Promise.resolve(quiet), { version: '1' }),
    {
      code: 'conflict',
      message: 'the library is open in a process of another user (number 12345): use it as that user, or choose another folder',
    },
  );
  server.close();
  lock.release();
});

test('addresses: what fits, and the name of a pipe', () => {
  assert.ok(fits(`/${'a'.repeat(102)}`));
  assert.ok(!fits(`/${'a'.repeat(103)}`));
  assert.ok(!fits(`/${'ü'.repeat(52)}`));
  const name = pipeName('C:\\Users\\Zoë\\Protagonist', '00ff');
  assert.match(name, /^\\\\\.\\pipe\\protagonist-[0-9a-f]{16}-00ff$/);
  assert.equal(name, pipeName('c:\\users\\zoË\\protagonist', '00ff'));
  assert.notEqual(name, pipeName('C:\\Users\\Zoë\\Other', '00ff'));
});
