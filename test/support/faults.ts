/** @file Commands whose system calls fail: the n-th one of a kind, with ENOSPC, EIO, EROFS or EMFILE, injected by strace (Linux). */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { QueueState } from '../../electron/contract/events.ts';
import type { Forecast } from '../../electron/contract/records.ts';
import { audit, crashIn, integrity, isCommand, Person, toy } from './day.ts';
import { root, sleep, start, type Line } from './run.ts';

/** Whether strace is there and can inject. */
export const canInject =
  process.platform === 'linux' &&
  spawnSync('strace', ['-f', '--seccomp-bpf', '-e', 'trace=openat', '-e', 'inject=openat:error=EIO:when=999', 'true'], { stdio: 'ignore' })
    .status === 0;

type Errno = 'ENOSPC' | 'EIO' | 'EROFS' | 'EMFILE';
/** The system's calls that can fail so, and with what: a write does not run out of file descriptors. */
const failing: Readonly<Record<string, readonly Errno[]>> = {
  openat: ['ENOSPC', 'EIO', 'EROFS', 'EMFILE'],
  write: ['ENOSPC', 'EIO'],
  pwrite64: ['ENOSPC', 'EIO'],
  fsync: ['ENOSPC', 'EIO'],
  fdatasync: ['ENOSPC', 'EIO'],
  ftruncate: ['ENOSPC', 'EIO', 'EROFS'],
  rename: ['ENOSPC', 'EIO', 'EROFS'],
  mkdir: ['ENOSPC', 'EIO', 'EROFS'],
  unlink: ['EIO', 'EROFS'],
  pread64: ['EIO'],
};
/** What has to be in a sentence about each. */
const cause: Readonly<Record<Errno, RegExp>> = {
  ENOSPC: /\bfull\b/,
  EIO: /\b(reports|reported) an error\b/,
  EROFS: /can only be read/,
  EMFILE: /too many|open files/,
};
/** SQLite keeps the reason of an error on the disk to itself, so that the disk is all that can be named; what it could not read may look damaged to it. */
const causeOf = (error: Errno, sentence: string): RegExp =>
  /library's database|\.db\b/.test(sentence) ? /\bdisk\b|only be read|open files/ : cause[error];

interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly lines: readonly Line[];
  readonly stderr: string;
  /** What strace wrote. */
  readonly trace: string;
}
/** A command under strace. One thread reads and writes files, so that calls come in the same order each time. */
function traced(person: Person, args: readonly string[], strace: readonly string[], log: string): Promise<Ended> {
  const child = spawn(
    'strace',
    ['-f', '-y', '--seccomp-bpf', ...strace, '-o', log, process.execPath, join(root, 'electron/protagonist.js'), ...args, '--json', '--home', person.home],
    { env: { ...process.env, PROTAGONIST_TEST_MARK: person.mark, UV_THREADPOOL_SIZE: '1' }, stdio: ['ignore', 'pipe', 'pipe'], timeout: 120_000, killSignal: 'SIGKILL' },
  );
  let stdout = '',
    stderr = '';
  child.stdout.on('data', (text: Buffer) => (stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
  // The calls of each new process are counted from the beginning, so that to a queue the fault may look like one that stays: it waits for it to be mended, until the person stops it.
  const stop = setInterval(() => person.processes().filter(isCommand).forEach(({ pid }) => process.kill(pid, 'SIGINT')), 30_000);
  return new Promise(resolve =>
    child.on('close', (status, signal) => {
      clearInterval(stop);
      const lines = stdout.split('\n').flatMap(line => (line.startsWith('{') ? [JSON.parse(line) as Line] : []));
      resolve({ status, signal, lines, stderr, trace: readFileSync(log, 'latin1') });
    }),
  );
} // prettier-ignore

/** A command, and how a person brings about that it can be typed again. */
interface Scenario {
  readonly name: string;
  args(n: number): readonly string[];
  before?(person: Person): Promise<unknown>;
  /** After a refusal: whether it has happened all the same. */
  done?(person: Person, n: number): Promise<boolean>;
}
const small = ['--frames', '1', '--width', '64', '--height', '64', '--steps', '2'];
const scenarios: readonly Scenario[] = [
  {
    name: 'subject add',
    args: n => ['subject', 'add', '--name', `Toy ${n}`, toy(['biscuit', 'bolt', 'candy', 'clover', 'ginger', 'hazel'][n % 6]!)],
    done: async (person, n) => (await person.subjects('--search', `Toy ${n}`)).some(s => s.name === `Toy ${n}`),
  },
  {
    name: 'generate --detach',
    args: n => ['generate', '--subject', '@kelp', '--prompt', `job ${n}`, '--seed', String(n), ...small, '--detach'],
  },
  {
    name: 'queue run',
    args: () => ['queue', 'run', '--until-empty'],
    before: person => person.ask(['generate', '--subject', '@kelp', '--prompt', 'one of many', ...small, '--detach']),
  },
  { name: 'clip rate', args: n => ['clip', 'rate', 'c1', String(n % 6)] },
  { name: 'clip list', args: () => ['clip', 'list', '--search', 'one'] },
  { name: 'settings set', args: n => ['settings', 'set', 'preview-seconds', String(n)] },
  { name: 'backup create', args: () => ['backup', 'create'] },
  { name: 'storage check', args: () => ['storage', 'check'] },
];

export interface Faults {
  /** Runs in which something inside the library was made to fail. */
  readonly struck: number;
  /** How they ended. */
  readonly ends: Readonly<Record<string, number>>;
  readonly sentences: ReadonlySet<string>;
}
/** Runs commands with a failing call until so many have struck; after each the library is whole and the same command works.
 * @param folder for the library and logs
 * @throws AssertionError after a crash, damage, sentence without a cause, or a command that does not go on */
export async function faults({ folder, count, random, say = () => undefined }: { folder: string; count: number; random: () => number; say?: (line: string) => void }): Promise<Faults> {
  mkdirSync(folder, { recursive: true });
  const person = new Person(join(folder, 'library')),
    log = join(folder, 'trace');
  await person.ask(['subject', 'add', '--name', 'Kelp', toy('kelp')]);
  await person.ask(['generate', '--subject', '@kelp', '--prompt', 'one of many', ...small]);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;

  /** The calls of a scenario on files of the library: which, and the how manieth of its process and thread. */
  const callsOf = new Map<Scenario, { call: string; n: number }[]>();
  const ends: Record<string, number> = {},
    sentences = new Set<string>(),
    wrong: string[] = [];
  let struck = 0;
  for (let n = 1; struck < count; n++) {
    assert.ok(n < 3 * count + 50, `${n} runs and only ${struck} struck`);
    const scenario = pick(scenarios);
    await scenario.before?.(person);
    const known = callsOf.get(scenario);
    if (!known) {
      const { status, trace, stderr } = await traced(person, scenario.args(n), ['-e', `trace=${Object.keys(failing).join()}`], log);
      assert.equal(status, 0, `${scenario.name} fails under strace: ${stderr}`);
      callsOf.set(scenario, callsIn(trace, person.home));
      continue;
    }
    const { call, n: at } = pick(known),
      error = pick(failing[call]!);
    const ended = await traced(person, scenario.args(n), ['-e', `trace=${call}`, '-e', `inject=${call}:error=${error}:when=${at}`], log);
    const hits = ended.trace.split('\n').filter(line => line.includes('(INJECTED)'));
    const inside = hits.filter(line => line.includes(person.home));
    const what = `${scenario.name}, ${error} at ${call} ${at} (seen: ${inside.map(l => l.slice(0, 200)).join(' | ')})`;
    const last = ended.lines.at(-1);
    if (inside.length === 0 || hits.length > inside.length) {
      await mend(person, scenario, n, what); // something of Node's own failed, which is not ours to answer
      continue;
    }
    struck++;
    // what the command ends with, or what the queue said while it waited
    const held = ended.lines.flatMap(l => (l.type === 'queue' && (l['queue'] as QueueState).state === 'held' ? [(l['queue'] as QueueState).text!] : [])).at(-1);
    const failure = last?.type === 'failed' ? (last['text'] as string) : last?.type === 'check' && ended.status !== 0 ? (last['database'] as string) : held;
    const end = ended.status === 0 && held === undefined ? 'carried out all the same' : last?.type === 'failed' ? (last['code'] as string) : held !== undefined ? 'the queue waited' : `${String(last?.type)} says so`;
    ends[`${error}: ${end}`] = (ends[`${error}: ${end}`] ?? 0) + 1;
    if (failure !== undefined) sentences.add(failure.replaceAll(folder, ''));
    say(`${struck}. ${what}: ${end}${failure === undefined ? '' : `: ${failure}`}`);
    try {
      assert.equal(crashIn(ended.stderr), undefined, `it crashed: ${ended.stderr}`);
      assert.notEqual(ended.status, null, `it ended by ${String(ended.signal)}: ${ended.stderr}`);
      if (held !== undefined || (ended.status !== 0 && scenario.name !== 'queue run')) assert.match(failure ?? '', causeOf(error, failure ?? ''), 'the sentence does not name the cause');
      await mend(person, scenario, n, what);
    } catch (e) {
      wrong.push(`${what}: ${(e as Error).message}`);
      say(`   WRONG: ${(e as Error).message}`);
    }
  }
  assert.deepEqual(wrong, []);
  const check = (await person.ask(['storage', 'check'])) as unknown as { database: string; missing: unknown[]; orphans: unknown[] };
  assert.deepEqual([check.database, check.missing, check.orphans], ['ok', [], []]);
  rmSync(log, { force: true });
  return { struck, ends, sentences };
} // prettier-ignore

/** The fault is gone: the same command works, jobs that failed of it are tried again, the library is whole. */
async function mend(person: Person, scenario: Scenario, n: number, what: string): Promise<void> {
  assert.equal(integrity(person.home), 'ok', what);
  try {
    for (const job of await person.jobs('--status', 'failed')) {
      assert.match(
        `${job.failure!.code} ${job.failure!.text}`,
        /noSpace|disk|readOnly|full|open files|engineDied|encoderDied|quarantined|missing/, // two engines that could not read their own code are that too
        what,
      );
      await person.ask(['job', 'retry', job.id]);
    }
    if (!(await scenario.done?.(person, n))) await person.ask(scenario.args(n));
    const { missing } = (await person.ask(['storage', 'check'])) as unknown as { missing: unknown[] };
    assert.deepEqual(missing, []);
  } catch (e) {
    throw new Error(`after ${what}: ${(e as Error).message}`, { cause: e });
  }
}

/** From a trace: calls that name a file of the library. */
function callsIn(trace: string, home: string): { call: string; n: number }[] {
  const counts = new Map<string, number>(),
    found: { call: string; n: number }[] = [];
  for (const line of trace.split('\n')) {
    const [, thread, call] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (thread === undefined || call === undefined) continue;
    const n = (counts.get(`${thread} ${call}`) ?? 0) + 1;
    counts.set(`${thread} ${call}`, n);
    if (line.includes(home)) found.push({ call, n });
  }
  return found;
}

/** Whether a small disk can be made: by root. */
export const canFill =
  process.platform === 'linux' &&
  process.getuid?.() === 0 &&
  spawnSync('mount', ['--version'], { stdio: 'ignore' }).status === 0 &&
  canMount();
function canMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'protagonist-mount-'));
  try {
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'protagonist', folder], { stdio: 'ignore' }).status !== 0) return false;
    spawnSync('umount', [folder]);
    return true;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Six jobs on a disk of 48 MB that is full to the last byte while they run, until it has room again.
 * @returns what happened, for people
 * @throws AssertionError where anything crashed, was damaged, or did not go on */
export async function fullDisk(folder: string): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'protagonist', folder]).status, 0);
  try {
    const person = new Person(join(folder, 'library'));
    await person.ask(['subject', 'add', '--name', 'Kelp', toy('kelp')]);
    await person.ask(['generate', '--subject', '@kelp', '--prompt', 'one of six', '--seeds', '6', '--frames', '9', '--width', '64', '--height', '64', '--steps', '6', '--detach']);
    const said: QueueState[] = [];
    let done = 0;
    const started = person.start(['queue', 'run', '--until-empty'], line => {
      if (line.type === 'queue') said.push(line['queue'] as QueueState);
      if (line.type === 'ready') done++;
    });
    const wait = async (what: string, is: () => boolean) => {
      for (const end = performance.now() + 120_000; !is(); await sleep(20)) {
        assert.ok(performance.now() < end, `two minutes and still not: ${what}`);
        assert.equal(started.child.exitCode, null, `queue run ended before: ${what}`);
      }
    };
    await wait('two clips', () => done >= 2);
    const file = join(folder, 'filler');
    fill(file);
    await wait('the queue says that it waits', () => said.at(-1)?.state === 'held');
    const { text } = said.at(-1)!;
    assert.match(text!, /full|space/i);
    const before = done;
    // another command meets the same full disk
    const other = await person.start(['clip', 'rate', 'c1', '4']).ended;
    assert.equal(crashIn(other.stderr), undefined, other.stderr);
    if (other.status !== 0) assert.match(String(other.lines.at(-1)!['text']), /full|space|disk/i);
    await sleep(1000);
    rmSync(file);
    const freed = performance.now();
    await wait('another clip', () => done > before);
    const seconds = (performance.now() - freed) / 1000;
    assert.ok(seconds < 30, `the next clip came ${seconds} s after there was room`);
    const { status, stderr } = await started.ended;
    assert.equal(crashIn(stderr), undefined, stderr);
    assert.equal(status, 0, stderr);
    assert.equal((await person.clips()).length, 6);
    await audit(person);
    return [`full after ${before} clips: "${text!}"; a rating then: ${other.status === 0 ? 'kept' : String(other.lines.at(-1)!['text'])}; the next clip came ${seconds.toFixed(1)} s after there was room`];
  } finally {
    spawnSync('umount', ['-l', folder]);
  }
} // prettier-ignore

/** Writes until nothing more fits. */
function fill(file: string): void {
  const to = openSync(file, 'w');
  try {
    for (const size of [1 << 20, 4096, 1])
      for (;;)
        if (writeSync(to, Buffer.alloc(size)) < size) break;
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'ENOSPC') throw e;
  } finally {
    closeSync(to);
  }
} // prettier-ignore

/** Debian's libfaketime, if it is there. */
export const fakeTime = [
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1',
].find(f => existsSync(f));

/** Jobs while the clock goes a day ahead, then two back.
 * @returns what happened, for people
 * @throws AssertionError where a job was lost, run twice or forecast by the clock */
export async function clockJumps(folder: string): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  const person = new Person(join(folder, 'library')),
    offset = join(folder, 'offset');
  const env = { LD_PRELOAD: fakeTime!, FAKETIME_TIMESTAMP_FILE: offset, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1', PROTAGONIST_TEST_MARK: person.mark };
  writeFileSync(offset, '+0');
  await person.ask(['subject', 'add', '--name', 'Kelp', toy('kelp')]);
  await person.ask(['generate', '--subject', '@kelp', '--prompt', 'one of six', '--seeds', '6', '--frames', '9', '--width', '64', '--height', '64', '--steps', '12', '--detach']);
  let done = 0;
  const days: string[] = [];
  const jump = (to: string) => {
    if (days.includes(to)) return;
    days.push(to);
    writeFileSync(offset, to);
  };
  const started = start(['queue', 'run', '--until-empty', '--json', '--home', person.home], {
    env,
    onLine: line => {
      if (line.type === 'ready') done++;
      const { step = 0 } = (line['progress'] ?? {}) as { step?: number };
      if (line.type === 'progress' && done === 1 && step > 2) jump('+1d'); // in the middle of the second
      if (line.type === 'progress' && done === 3 && step > 2) jump('-1d');
    },
  });
  const { status, stderr } = await started.ended;
  assert.equal(crashIn(stderr), undefined, stderr);
  assert.equal(status, 0, stderr);
  assert.deepEqual(days, ['+1d', '-1d']);
  const jobs = (await person.jobs()).toSorted((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)));
  assert.deepEqual(jobs.map(j => [j.status, j.attempt]), jobs.map(() => ['completed', 1]));
  assert.equal(new Set(jobs.map(j => j.endedAt!.slice(0, 10))).size, 3, 'the clock did not jump');
  const clips = await person.clips();
  assert.deepEqual(clips.map(c => c.id), ['c6', 'c5', 'c4', 'c3', 'c2', 'c1']);
  const { each } = (await person.ask(['forecast', '--subject', '@kelp', '--prompt', '', '--frames', '9', '--width', '64', '--height', '64', '--steps', '12'])) as unknown as { each: Forecast };
  assert.ok(each.seconds! > 0.1 && each.seconds! < 60, `a forecast of ${String(each.seconds)} s after the jumps`);
  await person.ask(['backup', 'create']);
  await audit(person);
  return [`6 clips, one attempt each, in the order they were made; forecast afterwards ${each.seconds!.toFixed(1)} s`];
} // prettier-ignore
