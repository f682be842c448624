/** @file A scripted day of one person at the command line, on Toybox: five subjects, twenty jobs, and all that is done to them and to their clips; alone or beside a process that runs the queue, in peace or while processes are killed. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { findFfmpeg, readFrames } from '../../electron/media/ffmpeg.ts';
import { readClip } from '../../electron/media/metadata.ts';
import type { Clip, Job, Subject } from '../../electron/contract/records.ts';
import { marked, root, sleep, start, type Ended, type Line, type Process, type Started } from './run.ts';
import { within } from './time.ts';

const toybox = join(root, 'assets/toybox');
/** A sample photo. */
export const toy = (name: string) => join(toybox, `photos/${name}.jpg`);

/** The first line of a stack trace, if there is one in what a command said: it crashed. */
export const crashIn = (stderr: string): string | undefined => /^\s+at .+:\d+:\d+\)?$/m.exec(stderr)?.[0];

/** After these a person types a command again, if it has not happened all the same. */
const again: ReadonlySet<unknown> = new Set(['disconnected', 'busy', 'engineDied', 'encoderDied']);
/** And after these a job. */
const killed: ReadonlySet<unknown> = new Set(['quarantined', 'engineDied', 'encoderDied']);

/** Someone at the command line of one library. */
export class Person {
  readonly home: string;
  /** In the environment of each process that comes of this. */
  readonly mark = `day-${process.pid}-${Math.random().toString(36).slice(2)}`;
  /** Whether processes may be killed under them. */
  readonly patient: boolean;
  /** Commands typed, and why some were typed again. */
  commands = 0;
  readonly repeated: Record<string, number> = {};

  constructor(home: string, { patient = false }: { patient?: boolean } = {}) {
    this.home = home;
    this.patient = patient;
  }

  start(args: readonly string[], onLine?: (line: Line) => void): Started {
    this.commands++;
    return start([...args, '--json', '--home', this.home], { env: { PROTAGONIST_TEST_MARK: this.mark }, ...(onLine && { onLine }) });
  }
  repeat(why: string): void {
    this.repeated[why] = (this.repeated[why] ?? 0) + 1;
  }

  /** Types a command until it has been carried out.
   * @param done where processes are killed: whether it has happened all the same
   * @returns its last line; undefined where `done` said so
   * @throws AssertionError where it is refused */
  async ask(args: readonly string[], done?: () => Promise<boolean>): Promise<Line | undefined> {
    const typed = `protagonist ${args.join(' ')}`;
    for (let attempt = 1; ; attempt++) {
      const ended = await this.start(args).ended,
        last = ended.lines.at(-1);
      assert.equal(crashIn(ended.stderr), undefined, `${typed} crashed: ${ended.stderr}`);
      if (ended.status === 0) return last;
      if (this.patient && attempt < 40) {
        const why = ended.status === null ? 'killed' : String(last?.['code']);
        if (await done?.()) return undefined;
        if (ended.status === null || again.has(why)) {
          this.repeat(why);
          continue;
        }
      }
      assert.fail(`${typed} ended with ${String(ended.status)}: ${JSON.stringify(last)} ${ended.stderr.slice(0, 2000)}`);
    }
  }
  async jobs(...args: string[]): Promise<Job[]> {
    return (await this.ask(['job', 'list', '--limit', '500', ...args]))!['jobs'] as Job[];
  }
  async job(id: string): Promise<Job> {
    return (await this.ask(['job', 'show', id]))!['job'] as Job;
  }
  async subjects(...args: string[]): Promise<Subject[]> {
    return (await this.ask(['subject', 'list', '--limit', '500', ...args]))!['subjects'] as Subject[];
  }
  async clips(...args: string[]): Promise<Clip[]> {
    return (await this.ask(['clip', 'list', '--limit', '500', ...args]))!['clips'] as Clip[];
  }
  async clip(id: string): Promise<Clip> {
    return (await this.ask(['clip', 'show', id]))!['clip'] as Clip;
  }
  /** Where a clip lies. */
  async file(id: string): Promise<string> {
    return (await this.ask(['clip', 'show', id]))!['path'] as string;
  }
  processes(): Process[] {
    return marked(this.mark);
  }
  engines(): number[] {
    return this.processes()
      .filter(isEngine)
      .map(p => p.pid);
  }
}
export const isEngine = (p: Process) => p.command.includes('engine/main.ts');
export const isCommand = (p: Process) => p.command.includes('protagonist.js');
export const isFfmpeg = (p: Process) => /(^|\/)ffmpeg /.test(p.command);

/** `queue run` in the background; started again when it is killed, until it is stopped or ends by itself.
 * @returns `ended`: how it ended at last; `stop`: asks it to end, as Ctrl-C does */
export function runQueue(person: Person, ...args: string[]): { ended: Promise<Ended>; stop(): Promise<Ended> } {
  let now: Started | undefined,
    stopping = false as boolean;
  const ended = (async () => {
    for (;;) {
      now = person.start(['queue', 'run', ...args]);
      const end = await now.ended;
      assert.equal(crashIn(end.stderr), undefined, `queue run crashed: ${end.stderr}`);
      if (stopping || !person.patient) return end;
      if (end.status !== null && !again.has(end.lines.at(-1)?.['code'])) return end;
      person.repeat('queue run killed');
      await sleep(100);
    }
  })();
  ended.catch(() => undefined); // told to whoever awaits it
  return {
    ended,
    stop: () => {
      stopping = true;
      now?.child.kill('SIGINT');
      return ended;
    },
  };
}

// What is wished for

const small = ['--frames', '9', '--width', '96', '--height', '96'];
/** A command that queues jobs: the number of its seed tells them from others. */
interface Wish {
  readonly seed: number;
  readonly jobs: number;
  readonly args: readonly string[];
}
const wish = (seed: number, jobs: number, subject: string, prompt: string, ...args: string[]): Wish => ({
  seed,
  jobs,
  args: ['generate', '--subject', subject, '--prompt', prompt, '--seed', String(seed), ...(args.includes('--frames') ? args : [...small, ...args])],
}); // prettier-ignore
const long = wish(
  100,
  1,
  '@kelp',
  '@kelp walks slowly through the garden',
  '--frames',
  '17',
  '--width',
  '96',
  '--height',
  '96',
  '--steps',
  '40',
);
const second = wish(200, 1, '@fig', 'the toy turns around', '--frames', '17', '--width', '96', '--height', '96', '--steps', '32');
const prompts = { zh: '柠檬在海滩上跳舞', ar: 'لعبة تقفز على الشاطئ', ru: 'игрушка прыгает через верёвку', th: 'ของเล่นกระโดดบนชายหาด' };
const grid = wish(300, 4, '@kelp', '@kelp hops over a rope', '--grid', 'steps=4,6', 'guidance-scale=1,4');
const choice = wish(400, 2, '@set', 'the {red|blue} ball rolls to @set', '--steps', '4');
const seeds = wish(500, 3, '@otto', '@otto waves', '--steps', '4', '--seeds', '3');
const inArabic = wish(600, 1, '@kelp', prompts.ar, '--steps', '6');
const inRussian = wish(700, 1, '@otto', prompts.ru, '--steps', '5', '--fit', 'cover');
const inThai = wish(800, 1, '@fig', prompts.th, '--steps', '6', '--scheduler', 'ddim');
const inChinese = wish(900, 1, '@柠檬', prompts.zh, '--steps', '5');
const unwanted = wish(1000, 1, '@set', 'a job that nobody wants', '--steps', '4');
export const edited = wish(1100, 1, '@fig', 'the toy sits', '--steps', '4');
const adapted = wish(1200, 1, '@kelp', 'the toy looks up', '--steps', '5', '--adapter', 'mine:0.5');
const waited = wish(1300, 1, '@otto', 'the toy comes closer', '--steps', '4');
const detached = [long, second, grid, choice, seeds, inArabic, inRussian, inThai, inChinese, unwanted, edited, adapted];
const editedTo = ['--prompt', 'the toy sits down in the snow', '--steps', '7'];
const duplicateSeed = 1400;
/** Jobs of a day; all but one become clips. */
export const jobsOfADay = 20;

const ofSeed = (jobs: readonly Job[], { seed, jobs: n }: Pick<Wish, 'seed' | 'jobs'>) =>
  jobs
    .filter(j => j.resolved.seed >= seed && j.resolved.seed < seed + (n === 3 ? 3 : 1))
    .toSorted((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)));
/** What a clip looks like follows from this. */
const keyOf = ({ resolved: r }: Pick<Job, 'resolved'>): string =>
  JSON.stringify([r.prompt, r.seed, r.numInferenceSteps, r.guidanceScale, r.width, r.numFrames]);

/** A copy of Toybox's adapter that is known to be another one. */
function ownAdapter(file: string): void {
  const folder = join(toybox, 'adapter'),
    bytes = readFileSync(
      join(
        folder,
        readdirSync(folder).find(f => f.endsWith('.safetensors'))!,
      ),
    );
  const length = Number(bytes.readBigUInt64LE(0)),
    header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<string, Record<string, string>>;
  const text = JSON.stringify({ ...header, __metadata__: { ...header['__metadata__'], note: 'mine' } }),
    padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(padded.length));
  writeFileSync(file, Buffer.concat([size, padded, bytes.subarray(8 + length)]));
}

/** Five subjects and an adapter. Photos come as files and as a folder, one subject is edited, one has a crop.
 * @param folder for files that are not the library's */
async function morning(person: Person, folder: string): Promise<void> {
  const set = join(folder, 'set');
  mkdirSync(set, { recursive: true });
  for (const name of ['biscuit', 'bolt', 'candy']) copyFileSync(toy(name), join(set, `${name}.jpg`));
  const add = (handle: string, ...args: string[]) =>
    person.ask(['subject', 'add', ...args], async () => (await person.subjects()).some(s => s.handle === handle));
  await add('kelp', '--name', 'Kelp', '--kind', 'toy', '--description', 'a green plush toy', toy('kelp'));
  await add('set', '--name', 'Set', '--tag', 'many', set);
  await add('fig', '--name', 'Feige', '--handle', '@fig', toy('fig'));
  await add('otto', '--name', 'Otto', '--kind', 'pet', toy('otto'));
  await add('柠檬', '--name', '柠檬', toy('lemon'));
  await person.ask(['subject', 'edit', '@fig', '--name', 'Fig', '--description', 'a small purple toy', '--tag', 'edited,purple', '--notes', 'from the market']);
  const all = await person.subjects();
  assert.equal(all.length, 5);
  const of = (handle: string) => all.find(s => s.handle === handle)!;
  assert.equal(of('set').photos.length, 3);
  assert.deepEqual([of('fig').name, of('fig').tags], ['Fig', ['edited', 'purple']]);
  const [photo] = of('otto').photos;
  await person.ask(['subject', 'photo', 'edit', photo!.id, '--crop', `8,8,${photo!.width - 16},${photo!.height - 16}`, '--view', 'front']);
  const own = join(folder, 'mine.safetensors');
  ownAdapter(own);
  const there = async () => ((await person.ask(['adapter', 'list']))!['adapters'] as { name: string }[]).some(a => a.name === 'mine');
  await person.ask(['adapter', 'add', own, '--name', 'mine'], there);
} // prettier-ignore

const enqueue = (person: Person, w: Wish) => person.ask([...w.args, '--detach'], async () => ofSeed(await person.jobs(), w).length > 0);

/** Follows whatever waits to its end: made by the process that owns the library, or by the command itself. Tries again what failed because processes were killed. */
async function work(person: Person, quarantined: { times: number }): Promise<void> {
  for (let idle = false; !idle;) {
    const { status, lines, stderr } = await runQueue(person, '--until-empty').ended;
    assert.ok(
      (status === 0 || status === 1) && lines.at(-1)?.type === 'finished',
      `queue run --until-empty ended with ${String(status)}: ${JSON.stringify(lines.at(-1))} ${stderr}`,
    );
    const jobs = await person.jobs();
    idle = !jobs.some(j => j.status === 'pending' || j.status === 'inProgress');
    for (const job of jobs.filter(j => person.patient && j.status === 'failed' && killed.has(j.failure?.code))) {
      idle = false;
      quarantined.times++;
      await person.ask(['job', 'retry', job.id], async () => (await person.job(job.id)).status !== 'failed');
    }
    assert.ok(idle || person.patient, 'queue run --until-empty ended while jobs were waiting');
  }
}

export interface Made {
  readonly job: Job;
  readonly clip: Clip;
  /** MD5 of all decoded frames. */
  readonly md5: string;
}
/** What a day was like. */
export interface Day {
  readonly person: Person;
  readonly jobs: readonly Job[];
  /** By what they look like. */
  readonly made: ReadonlyMap<string, Made>;
  readonly seconds: number;
  /** Jobs that were given up because the script itself killed their engine or encoder again and again, and were tried again. */
  readonly quarantined: number;
  /** Each job's forecast when it began, and what it took, in seconds; in the order of their ends, without those that were stopped in between. */
  readonly forecasts: readonly { readonly id: string; readonly forecast: number | null; readonly took: number; readonly exact: boolean }[];
}

/** Waits until something is so. */
async function until(what: string, is: () => Promise<boolean> | boolean, seconds = 120): Promise<void> {
  for (const end = performance.now() + seconds * 1000; !(await is()); await sleep(50))
    assert.ok(performance.now() < end, `${seconds} s and still not: ${what}`);
}

/** The whole day.
 * @param home the library's folder, which is made
 * @param folder a folder for other files
 * @param owner whether a process runs the queue all day; else each command owns the library for its own duration
 * @param patient whether processes are killed meanwhile; the script then looks at what became of a command before it types it again, and asserts no more than that everything is done in the end */
export async function day(of: { home: string; folder: string; owner: boolean; person?: Person }): Promise<Day> {
  const queues: ReturnType<typeof runQueue>[] = [];
  try {
    return await wholeDay(of, queues);
  } catch (error) {
    await Promise.allSettled(queues.map(queue => queue.stop())); // else it runs on, and this process with it
    throw error;
  }
}
/** @param queues told which ones were started */
async function wholeDay({ home, folder, owner, person = new Person(home) }: { home: string; folder: string; owner: boolean; person?: Person }, queues: ReturnType<typeof runQueue>[]): Promise<Day> {
  const began = performance.now(),
    calm = !person.patient,
    quarantined = { times: 0 };
  mkdirSync(folder, { recursive: true });
  const status = async (id: string) => (await person.job(id)).status;
  const queue = owner ? runQueue(person) : undefined;
  if (queue) queues.push(queue);

  await morning(person, folder);
  if (owner) {
    await until('the queue runs', async () => ((await person.ask(['queue', 'show']))!['queue'] as { state: string }).state === 'idle');
    await person.ask(['queue', 'pause']);
  }
  for (const w of detached) await enqueue(person, w);
  const jobs = await person.jobs(),
    [theLong, theSecond, theUnwanted, theEdited, theAdapted] = [long, second, unwanted, edited, adapted].map(w => ofSeed(jobs, w)[0]!) as [Job, Job, Job, Job, Job],
    thai = ofSeed(jobs, inThai)[0]!;
  assert.equal(jobs.length, 18);
  assert.deepEqual(detached.map(w => ofSeed(jobs, w).length), detached.map(w => w.jobs));
  renameSync(join(folder, 'mine.safetensors'), join(folder, 'elsewhere.safetensors'));

  // the order, and what becomes of those that wait
  const waits = async (id: string) => !['pending', 'paused'].includes(await status(id));
  await person.ask(['job', 'move', theSecond.id, 'top'], () => waits(theSecond.id));
  await person.ask(['job', 'move', theLong.id, 'before', theSecond.id], () => waits(theLong.id).then(async gone => gone || waits(theSecond.id)));
  await person.ask(['job', 'move', thai.id, 'bottom'], () => waits(thai.id));
  await person.ask(['job', 'pause', theEdited.id], async () => ['paused', 'completed'].includes(await status(theEdited.id)));
  const edit = await person.ask(['job', 'edit', theEdited.id, ...editedTo], async () => (await status(theEdited.id)) === 'completed');
  await person.ask(['job', 'cancel', theUnwanted.id], async () => ['canceled', 'completed'].includes(await status(theUnwanted.id)));
  if (calm) {
    const order = (await person.jobs('--status', 'pending,paused')).map(j => j.id);
    assert.deepEqual([order[0], order[1], order.at(-1)], [theLong.id, theSecond.id, thai.id]);
    assert.equal(order.length, 17);
    const { request, resolved, status: now } = await person.job(theEdited.id);
    assert.deepEqual([request.prompt, resolved.numInferenceSteps, now], [editedTo[1], 7, 'paused']);
  }

  // the queue at work: a running job is paused, another canceled
  const working = owner ? undefined : runQueue(person, '--until-empty');
  if (working) queues.push(working);
  if (owner) await person.ask(['queue', 'resume'], async () => ((await person.ask(['queue', 'show']))!['queue'] as { state: string }).state !== 'paused');
  const running = async (job: Job) => {
    const { status: now, progress } = await person.job(job.id);
    return (now === 'inProgress' && progress?.phase === 'denoise' && progress.step > 1) || (!calm && now !== 'pending');
  };
  await until(`${theLong.id} runs`, () => running(theLong));
  const engines = person.engines();
  await person.ask(['job', 'pause', theLong.id], async () => ['paused', 'completed', 'failed'].includes(await status(theLong.id)));
  if (calm) {
    await until('the engine of a paused job has gone', () => !person.engines().some(pid => engines.includes(pid)), within(2000) / 1000);
    assert.equal(await status(theLong.id), 'paused');
  }
  await until(`${theSecond.id} runs`, () => running(theSecond));
  await person.ask(['job', 'cancel', theSecond.id], async () => ['canceled', 'completed', 'failed'].includes(await status(theSecond.id)));
  await person.ask(['job', 'resume', theEdited.id], async () => (await status(theEdited.id)) !== 'paused');
  if (working) {
    const { status: code, lines } = await working.ended;
    assert.ok((code === 0 || code === 1) && lines.at(-1)?.type === 'finished', `queue run --until-empty ended with ${String(code)}: ${JSON.stringify(lines.at(-1))}`);
  }
  await work(person, quarantined);
  const failed = await person.job(theAdapted.id);
  if (calm || failed.status !== 'completed') {
    assert.deepEqual([failed.status, failed.failure?.code], ['failed', 'missing'], JSON.stringify(failed.failure));
    assert.match(failed.failure!.text, /mine/);
  }

  // the rest of the wishes
  await person.ask(['adapter', 'find', 'mine', join(folder, 'elsewhere.safetensors')]);
  const ended = async (id: string) => !['failed', 'canceled'].includes(await status(id));
  if (failed.status === 'failed') await person.ask(['job', 'retry', theAdapted.id], () => ended(theAdapted.id));
  if ((await status(theSecond.id)) === 'canceled') await person.ask(['job', 'retry', theSecond.id], () => ended(theSecond.id));
  if ((await status(theLong.id)) === 'paused') await person.ask(['job', 'resume', theLong.id], async () => (await status(theLong.id)) !== 'paused');
  await person.ask(['job', 'duplicate', thai.id, '--seed', String(duplicateSeed)], async () => ofSeed(await person.jobs(), { seed: duplicateSeed, jobs: 1 }).length > 0);
  const out = join(folder, 'copy.mp4');
  const end = await person.ask([...waited.args, '--next', '--out', out], async () => ofSeed(await person.jobs(), waited).length > 0);
  if (calm) assert.equal((end!['clips'] as string[]).length, 1);
  await work(person, quarantined);
  if (!existsSync(out)) {
    const { clipId } = ofSeed(await person.jobs(), waited)[0]!;
    await person.ask(['clip', 'save', clipId!, out], () => Promise.resolve(existsSync(out)));
  }
  await readClip(out);

  await evening(person, out);
  if (edit) {
    const { request, resolved } = await person.job(theEdited.id);
    assert.deepEqual([request.prompt, resolved.numInferenceSteps], [editedTo[1], 7], 'an edit that was answered is lost');
  }
  if (queue) {
    const { status: code, stderr } = await queue.stop();
    assert.equal(code, 0, stderr);
  }
  return { person, ...(await look(person)), seconds: (performance.now() - began) / 1000, quarantined: quarantined.times };
} // prettier-ignore

/** What is done with finished clips: found, rated, tagged, thrown away, brought back, asked what made them; a subject goes, a backup comes back. */
async function evening(person: Person, out: string): Promise<void> {
  const promptsOf = async (...args: string[]) => (await person.clips(...args)).map(c => c.request!.prompt);
  const all = await person.clips();
  assert.equal(all.length, jobsOfADay - (person.patient && all.length === jobsOfADay ? 0 : 1));
  for (const [word, prompt] of [['海滩', prompts.zh], ['الشاطئ', prompts.ar], ['ВЕРЁВКУ', prompts.ru], ['ชายหาด', prompts.th]] as const)
    assert.deepEqual(new Set(await promptsOf('--search', word)), new Set([prompt]), `the search for ${word}`);
  assert.equal((await person.clips('--search', 'ball rolls')).length, 2);
  assert.equal((await person.clips('--search', 'ball', '--subject', '@kelp')).length, 0);
  assert.equal((await person.clips('--search', 'no such thing')).length, 0);
  assert.equal((await person.clips('--subject', '@otto')).length, 5);

  const [first, other] = await person.clips('--sort', 'oldest');
  await person.ask(['clip', 'rate', first!.id, '5']);
  await person.ask(['clip', 'tag', first!.id, '--add', 'favourite,海']);
  assert.deepEqual((await person.clips('--sort', 'stars')).map(c => c.id)[0], first!.id);
  assert.deepEqual((await person.clips('--tag', '海', '--stars', '5')).map(c => c.id), [first!.id]);
  await person.ask(['clip', 'trash', first!.id, other!.id]);
  assert.equal((await person.clips()).length, all.length - 2);
  assert.equal((await person.clips('--trash')).length, 2);
  await person.ask(['clip', 'restore', first!.id, other!.id]);
  assert.equal((await person.clips()).length, all.length);

  const made = (await person.ask(['request', out]))!['request'] as { prompt: string; seed: number };
  assert.deepEqual([made.prompt, made.seed], [waited.args[waited.args.indexOf('--prompt') + 1], waited.seed]);

  const set = (await person.subjects()).find(s => s.handle === 'set')!;
  await person.ask(['subject', 'remove', '@set'], async () => (await person.subjects('--removed')).some(s => s.id === set.id));
  assert.equal((await person.subjects()).length, 4);
  const kept = await person.clips('--search', 'ball rolls');
  assert.deepEqual(kept.map(c => c.subjects.map(s => s.name)), [['Set'], ['Set']]);

  const { name } = (await person.ask(['backup', 'create']))!['backup'] as { name: string };
  await person.ask(['clip', 'rate', first!.id, '1']);
  await person.ask(['subject', 'restore', set.id], async () => (await person.subjects()).some(s => s.id === set.id));
  await person.ask(['backup', 'restore', name]);
  const back = await person.clip(first!.id);
  assert.deepEqual([back.stars, back.tags.toSorted(), (await person.subjects()).length], [5, ['favourite', '海'], 4]);
  assert.equal((await person.clips()).length, all.length);
} // prettier-ignore

/** Every clip read and decoded, and the jobs that made them. */
async function look(person: Person): Promise<Pick<Day, 'jobs' | 'made' | 'forecasts'>> {
  const ffmpeg = await findFfmpeg(),
    clips = new Map((await person.clips()).map(c => [c.id, c])),
    jobs = (await person.jobs()).toSorted((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1))),
    made = new Map<string, Made>();
  for (const job of jobs) {
    if (job.clipId === null) continue;
    const clip = clips.get(job.clipId)!;
    const file = fileOf(person.home, clip.id);
    const read = await readClip(file),
      decoded = await readFrames(ffmpeg, file, { width: clip.width, height: clip.height, frames: clip.numFrames, ours: true });
    assert.deepEqual([read.width, read.height, read.frames, decoded.length], [job.resolved.width, job.resolved.height, job.resolved.numFrames, job.resolved.numFrames]);
    const hash = createHash('md5');
    for (const frame of decoded) hash.update(frame);
    made.set(keyOf(job), { job, clip, md5: hash.digest('hex') });
  }
  const forecasts = jobs
    .filter(j => j.status === 'completed' && j.attempt === 1)
    .toSorted((a, b) => Date.parse(a.endedAt!) - Date.parse(b.endedAt!))
    .map(j => ({ id: j.id, forecast: j.forecast.seconds, exact: j.forecast.exact, took: (Date.parse(j.endedAt!) - Date.parse(j.startedAt!)) / 1000 }));
  return { jobs, made, forecasts };
} // prettier-ignore

/** Where a library keeps a clip, from its own rows. */
export function fileOf(home: string, id: string): string {
  return join(home, rows(home, `SELECT file FROM clips WHERE id = ${Number(id.slice(1))}`)[0]!['file'] as string);
}
function rows(home: string, sql: string): Record<string, unknown>[] {
  const db = new DatabaseSync(join(home, 'library.db'), { readOnly: true });
  try {
    return db.prepare(sql).all();
  } finally {
    db.close();
  }
}

/** The database's own check of a library that nobody has open: `ok` or what is wrong. */
export const integrity = (home: string): string =>
  rows(home, 'PRAGMA integrity_check').map(r => String(r['integrity_check'])).concat(rows(home, 'PRAGMA foreign_key_check').map(r => JSON.stringify(r))).join('; '); // prettier-ignore

/** Asserts that a library is whole: no process left, the database's own check, every file with a row and every row with its file, nothing but whole videos in clips/. */
export async function audit(person: Person): Promise<void> {
  for (const end = performance.now() + 20_000; person.processes().length; await sleep(50))
    assert.ok(performance.now() < end, `processes are left: ${JSON.stringify(person.processes())}`);
  const check = await person.ask(['storage', 'check']);
  const { database, missing, orphans } = check as unknown as { database: string; missing: unknown[]; orphans: unknown[] };
  assert.deepEqual({ database, missing, orphans }, { database: 'ok', missing: [], orphans: [] });
  assert.equal(integrity(person.home), 'ok');
  for (const file of readdirSync(join(person.home, 'clips'), { recursive: true, encoding: 'utf8' })) {
    assert.match(file, /^[^.].*\.mp4$/, 'something that is no video lies in clips/');
    await readClip(join(person.home, 'clips', file));
  }
  assert.deepEqual(readdirSync(join(person.home, 'work')), [], 'work is left');
  for (const end = performance.now() + 20_000; person.processes().length; await sleep(50))
    assert.ok(performance.now() < end, `processes are left: ${JSON.stringify(person.processes())}`);
} // prettier-ignore

/** Asserts the end of a day: everything made but what was canceled. */
export function complete({ jobs, made }: Day, patient: boolean): void {
  const unfinished = jobs.filter(j => j.status !== 'completed').map(j => [j.status, j.resolved.seed, j.failure?.text]);
  if (!patient || unfinished.length) assert.deepEqual(unfinished, [['canceled', unwanted.seed, undefined]]);
  assert.equal(jobs.length, jobsOfADay);
  assert.equal(made.size, jobsOfADay - unfinished.length);
}

/** The same clips in another library, made without a single thing happening. */
export async function undisturbed(home: string, folder: string): Promise<ReadonlyMap<string, Made>> {
  const person = new Person(home);
  await morning(person, folder);
  for (const w of [...detached, waited]) await enqueue(person, w);
  const jobs = await person.jobs();
  await person.ask(['job', 'edit', ofSeed(jobs, edited)[0]!.id, ...editedTo]);
  await person.ask(['job', 'duplicate', ofSeed(jobs, inThai)[0]!.id, '--seed', String(duplicateSeed)]);
  await work(person, { times: 0 });
  return (await look(person)).made;
}

/** Lines for people: each job of a day, and the day. */
export function table({ jobs, made, seconds, forecasts, person, quarantined }: Day): string[] {
  const cell = (text: string | number, width: number) => String(text).padEnd(width);
  const rows = jobs.map(j => {
    const of = made.get(keyOf(j)),
      f = forecasts.find(x => x.id === j.id);
    const error = f?.forecast ? `${(100 * Math.abs(f.forecast / f.took - 1)).toFixed(0)} %` : '';
    return [
      cell(j.id, 5), cell(j.status, 10), cell(`x${j.attempt}`, 4), cell(`${j.resolved.numInferenceSteps} steps`, 9), cell(`${j.resolved.width}x${j.resolved.height}x${j.resolved.numFrames}`, 12),
      cell(f ? `${f.took.toFixed(1)} s` : '', 8), cell(f?.forecast ? `${f.forecast.toFixed(1)} s` : f ? 'not known' : '', 10), cell(error, 6), cell(of ? `${of.clip.id} ${of.md5.slice(0, 8)}` : '', 14), j.request.prompt,
    ].join(' '); // prettier-ignore
  });
  return [
    `${cell('job', 5)} ${cell('', 10)} ${cell('', 4)} ${cell('', 9)} ${cell('', 12)} ${cell('took', 8)} ${cell('forecast', 10)} ${cell('off by', 6)} clip`,
    ...rows,
    `${made.size} clips of ${jobs.length} jobs in ${seconds.toFixed(0)} s and ${person.commands} commands; typed again: ${JSON.stringify(person.repeated)}; given up and tried again: ${quarantined}`,
  ];
}

/** The median error of the forecasts of a day's 4th to 20th job, as a part of what they took. */
export function forecastError({ forecasts }: Day): number {
  const errors = forecasts.slice(3, 20).flatMap(f => (f.forecast === null ? [] : [Math.abs(f.forecast / f.took - 1)]));
  return errors.toSorted((a, b) => a - b)[errors.length >> 1] ?? NaN;
}

/** Reads every video the moment it is seen in clips/. `half`: those that were not whole. */
export function watchClips(home: string): { readonly half: readonly string[]; readonly seen: ReadonlySet<string>; stop(): Promise<void> } {
  const half: string[] = [],
    seen = new Set<string>();
  let stopped = false as boolean;
  const done = (async () => {
    for (; !stopped; await sleep(50)) {
      const folder = join(home, 'clips');
      if (!existsSync(folder)) continue;
      for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        if (!file.endsWith('.mp4') || file.startsWith('.') || seen.has(file)) continue;
        seen.add(file);
        await readClip(join(folder, file)).catch((e: unknown) => half.push(`${file}: ${String(e)}`));
      }
    }
  })();
  return {
    half,
    seen,
    stop: () => {
      stopped = true;
      return done;
    },
  };
}
