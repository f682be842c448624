/**
 * @file Takes jobs and sees them through: one lane a device, each with an engine of its own.
 *
 * A job works in its own folder, `work/<job>/`. What makes it a clip is a sequence of which every step can be the last before a power cut:
 *
 * 1. `job.json`: whose folder this is. Another request's (the job was edited, a backup restored) is emptied.
 * 2. the engine: `.clip.mp4.snapshot` on the way, then `latents.safetensors` and `clip.mp4`, whole and on the disk
 * 3. `done.json`: what the engine said; from here on nothing is computed again
 * 4. the clip is probed; `poster.jpg` and `sprite.jpg` are made
 * 5. `done.json` again, now with the names that the files will have in the library, which nothing has yet
 * 6. each file takes its name, which never replaces another; then the folders are on the disk
 * 7. one transaction: the clip's row, the job completed, what was learnt
 * 8. the folder is removed
 *
 * A job that was interrupted goes on after the last step that is on the disk: in 6, a name that is there while its source is not is a file that has moved. A folder whose job needs it no longer is
 * removed at the next start, with the files that step 6 gave names to where step 7 never came.
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { copyFile, link, mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import {
  engineEvent,
  phases,
  TaskError,
  type Done,
  type Engine,
  type GenerateOrder,
  type Phase,
  type Told,
} from '../../native-models/tasks.ts';
import { StudioError, type ErrorCode, type Failure } from '../contract/errors.ts';
import type { QueueState } from '../contract/events.ts';
import { jobId as jobIdSchema, type JobId } from '../contract/ids.ts';
import type { Clip, Forecast, Job, Progress } from '../contract/records.ts';
import { fileError } from '../media/error.ts';
import { findFfmpeg } from '../media/ffmpeg.ts';
import { fileHash, freeBytes, syncFolder, writeDurably } from '../media/files.ts';
import { clipPictures, probeClip } from '../media/poster.ts';
import type { NewClip } from './clips.ts';
import { DatabaseError } from './database.ts';
import { describeFailure } from './failures.ts';
import { sampleOf, workOf, type Forecaster } from './forecast.ts';
import { fileIn, type Library } from './library.ts';
import type { Claim, Device, Place, Queue } from './queue.ts';
import { fileNameOf, folderIn } from './rows.ts';
import { remember, remembered } from './settings.ts';

/** The moments between the steps of a job, for tests that end the program there. */
export const moments = [
  'claimed',
  'prepared',
  'computed',
  'done',
  'pictured',
  'planned',
  'moving',
  'moved',
  'completed',
  'removed',
] as const;
export type Moment = (typeof moments)[number];

/** How long an engine may say nothing, in seconds, before it is taken for stuck. */
export interface Patience {
  /** Between two words of one phase; or 20 times the longest silence of the job so far, where that is longer. */
  readonly usual: number;
  /** While it loads, reads, decodes or writes: how long that takes is no matter of steps, and an encoder that stands still is ended by the engine itself. */
  readonly loading: number;
  /** Before the first step of a kind, where nothing is known; else 20 times what is expected, and `loading` at least. */
  readonly first: number;
}

export interface RunnerOptions {
  readonly library: Library;
  readonly queue: Queue;
  readonly engine: (device: Device) => Engine;
  /** The work order of a job, its references prepared in `folder` (absolute). */
  readonly order: (job: Job, folder: string, signal: AbortSignal) => Promise<GenerateOrder>;
  readonly clips: { add(made: NewClip): Clip };
  readonly forecast: Forecaster;
  /** One engine each; `auto` takes any job. */
  readonly lanes?: readonly Device[];
  /** Seconds between looks whether what holds the queue is mended. */
  readonly retrySeconds?: number;
  readonly patience?: Patience;
  readonly at?: (moment: Moment, id: JobId) => void | Promise<void>;
}

export interface Runner {
  state(): QueueState;
  /** What is known of a running job beside its row. */
  live(id: JobId): { readonly progress: Progress | null; readonly forecast: Forecast | null } | undefined;
  /** Takes jobs from now on. What nothing works on any more is put back first, and what is left over on the disk removed. */
  start(): void;
  /** Puts what runs back, gives devices back and takes nothing, until `resume`; survives a restart. */
  pause(): Promise<void>;
  resume(): void;
  /** Makes a change to a job once nothing works on it: what runs is stopped at its next step and what it has gained is kept.
   * @param giveBack ends the engine's process too, so that device and memory are free when this resolves
   * @returns what `change` returns; where the clip was finished meanwhile, `change` is called with that */
  halt<T>(id: JobId, change: () => T, giveBack: boolean): Promise<T>;
  /** Removes what a job has on the disk beside its row. */
  discard(id: JobId): void;
  /** Looks for work: something was queued. */
  wake(): void;
  /** Tells clients what the queue is doing, soon and once. */
  tell(): void;
  /** Releases what runs, ends the engines; resolves when nothing is left.
   * @returns whether it was started */
  stop(): Promise<boolean>;
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const done = z.object({
  version: z.literal(1).default(1),
  done: engineEvent.transform((event, context): Done => {
    if (event.type === 'done') return event;
    context.addIssue('no clip was made');
    return z.NEVER;
  }),
  /** Seconds from taking the job to the engine's end. */
  seconds: z.number(),
  /** Set in step 5. */
  plan: z
    .object({
      sha256: z.string(),
      columns: z.number(),
      bytes: z.number(),
      /** In the job's folder, and in the library. */
      files: z.record(z.enum(['video', 'poster', 'sprite', 'latents']), z.object({ from: z.string(), to: z.string() }).nullable()),
    })
    .nullable()
    .default(null),
});
type DoneFile = z.infer<typeof done>;
type Plan = NonNullable<DoneFile['plan']>;

/** A claim that somebody else has now: nothing may be changed any more. */
class Stale extends Error {}

/** What somebody wants done with a job as soon as nothing works on it. */
interface Wish {
  readonly change: () => unknown;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly giveBack: boolean;
}
interface Active {
  readonly claim: Claim;
  readonly controller: AbortController;
  readonly since: number;
  readonly engine: Engine;
  readonly wishes: Wish[];
  progress: Progress | null;
  forecast: Forecast | null;
  place: Place;
  heard: boolean;
  gained: boolean;
}

/** Failures of the disk or the system, not of a job: it waits until they are mended. */
const holding: ReadonlySet<ErrorCode> = new Set(['noSpace', 'disk', 'readOnly', 'busy']);
/** After so many of them in a row while the library's own disk is well, and nothing gained, it is the job's failure after all. */
const mostHolds = 20;
/** Bytes that have to be free beside what a job is expected to add. */
const reserve = 8 << 20;
const progressGap = 100; // ms

export function startRunner(options: RunnerOptions): Runner {
  const { library, queue, clips, forecast, lanes = ['auto'], retrySeconds = 2, at = () => undefined } = options;
  const patience = options.patience ?? { usual: 60, loading: 600, first: 3600 };
  const { home, db } = library;
  const pausedSchema = z.object({ paused: z.boolean().default(false) });
  const active = new Map<JobId, Active>();
  const engines = new Set<Engine>();
  const holds = new Map<JobId, number>();
  let started = false,
    running: Promise<unknown> | undefined,
    paused: boolean | undefined,
    stopping = false,
    hold: { readonly text: string; readonly mended: () => Promise<boolean> } | undefined,
    troubled: string | undefined; // what writing the queue itself meets

  /** A person's word, also of an earlier start. */
  const isPaused = () => (paused ??= remembered(library, 'queue', pausedSchema).paused);
  const takes = () => started && !stopping && !isPaused();

  // Waiting

  let wakers: (() => void)[] = [],
    calls = 0;
  const wake = () => {
    calls++;
    const now = wakers;
    wakers = [];
    for (const w of now) w();
  };
  /** Until something happens, or so many seconds have passed. */
  const rest = (seconds?: number) =>
    new Promise<void>(resolve => {
      const timer = seconds === undefined ? undefined : setTimeout(resolve, seconds * 1000);
      wakers.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  const sleep = async (seconds: number) => {
    for (const until = performance.now() + seconds * 1000; !stopping && performance.now() < until;)
      await rest(Math.max(0.01, (until - performance.now()) / 1000));
  };

  // What clients are told

  const state = (): QueueState => {
    const { count, work } = queue.waiting();
    let secondsLeft: number | null = 0;
    for (const { work: w, count: n } of work) {
      const { seconds } = forecast.of(w);
      secondsLeft = seconds === null || secondsLeft === null ? null : secondsLeft + seconds * n;
    }
    for (const { progress, claim } of active.values()) {
      const expected = claim.job.forecast.seconds; // where nothing is known, what remains is that of a phase
      const left = expected === null || !progress ? expected : progress.remaining;
      secondsLeft = left === null || secondsLeft === null ? null : secondsLeft + left;
    }
    const text = troubled ?? hold?.text ?? null;
    // By the rows: what has just been claimed, or is just being put back, is not active, and nobody may take the queue for empty.
    const running = queue.running();
    return {
      state: isPaused() ? 'paused' : !started || stopping ? 'stopped' : text !== null ? 'held' : running.length ? 'running' : 'idle',
      text: takes() ? text : null,
      running,
      waiting: count,
      secondsLeft,
    };
  };
  let telling: NodeJS.Timeout | undefined;
  const tell = () => {
    telling ??= setTimeout(() => {
      telling = undefined;
      try {
        library.say({ type: 'queue', queue: state() });
      } catch {
        // a database that cannot be read now is told of by what reads it
      }
    }, 30).unref();
  };

  // When the disk says no

  /** The library's disk takes a file. */
  const takesFiles = async (): Promise<boolean> => {
    const path = join(home, 'work', '.probe');
    try {
      await folderIn(library, 'work');
      await writeDurably(path, Buffer.alloc(64 << 10));
      await unlink(path);
      return true;
    } catch {
      return false;
    }
  };
  /** @param had free bytes when it failed */
  const holdFor = (failure: Failure, had = 0): void => {
    const until = performance.now() + 60_000;
    const roomier = async () => {
      const free = await freeBytes(home);
      return free >= Math.min(1 << 30, had + (1 << 20)) || performance.now() > until;
    };
    hold = { text: failure.text, mended: async () => (failure.code !== 'noSpace' || (await roomier())) && (await takesFiles()) };
    tell();
  };
  /** Does something to the queue that has to be done before anything else can be: as often as it takes, unless the program ends. */
  const insist = async <T>(change: () => T): Promise<T | undefined> => {
    for (;;) {
      try {
        const result = change();
        if (troubled !== undefined) tell();
        troubled = undefined;
        return result;
      } catch (e) {
        if (stopping) return undefined; // what is left running is taken up at the next start
        troubled = describeFailure(e, home).text;
        tell();
        await sleep(retrySeconds);
      }
    }
  };

  // A job's folder

  const folderOf = (id: JobId) => join(home, 'work', id);
  /** What a file of ours says; undefined where there is none, or none of ours.
   * @throws where the disk refuses: it may say more later */
  const readOwn = <S extends z.ZodType>(path: string, schema: S): z.output<S> | undefined => {
    try {
      return schema.parse(JSON.parse(readFileSync(path, 'utf8')));
    } catch (e) {
      if (e instanceof SyntaxError || e instanceof z.ZodError || (e as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw fileError(`cannot read ${path}`, e);
    }
  };
  const readDone = (folder: string) => readOwn(join(folder, 'done.json'), done);
  const discard = (id: JobId) => {
    const folder = folderOf(id);
    if (!existsSync(folder)) return;
    takeBack(library, folder, Object.values(readDone(folder)?.plan?.files ?? {}));
    rmSync(folder, { recursive: true, force: true });
  };
  /** Removes the folders of jobs that have become clips or will never be one. */
  const sweep = () => {
    const folder = join(home, 'work');
    if (!existsSync(folder)) return;
    for (const name of readdirSync(folder)) {
      const id = jobIdSchema.safeParse(name);
      if (name.startsWith('.')) rmSync(join(folder, name), { recursive: true, force: true }); // a file that was being written
      if (!id.success) continue;
      let status: string;
      try {
        ({ status } = queue.get(id.data));
      } catch (e) {
        if (!(e instanceof StudioError && e.code === 'notFound')) throw e;
        status = 'canceled';
      }
      if (status === 'completed' || status === 'canceled') discard(id.data);
    }
  };
  const prepare = async ({ job, id }: Claim): Promise<string> => {
    await folderIn(library, 'work');
    const { startImage, ...resolved } = job.resolved;
    const folder = folderOf(id),
      key = createHash('sha256')
        .update(JSON.stringify([job.createdAt, startImage ? job.resolved : resolved])) // without one it is the key that it always was
        .digest('hex');
    const owner = readOwn(join(folder, 'job.json'), z.object({ key: z.string() }))?.key;
    if (owner !== key) {
      discard(id);
      try {
        await mkdir(folder);
        await syncFolder(join(home, 'work'));
      } catch (e) {
        throw fileError(`cannot write ${folder}`, e);
      }
      await writeDurably(join(folder, 'job.json'), json({ version: 1, key }));
    }
    return folder;
  };

  // The engine

  /** Ends an engine's process without waiting for it; what that meets is told and ends nobody. */
  const letGo = (engine: Engine): void =>
    void engine.close().catch((e: unknown) => {
      library.say({ type: 'notice', jobId: null, text: `the engine could not be closed: ${describeFailure(e, home).text}` });
    });

  /** What is still to come, in seconds, by this job's own pace where it has one; undefined where nothing is known. The first job of all knows what remains of its longest phases, denoising and decoding, while it is in them. */
  const watchPace = (a: Active) => {
    const expected = forecast.phasesOf(workOf(a.claim.job.resolved)),
      spent: Partial<Record<Phase, number>> = {},
      begun: Partial<Record<Phase, { step: number; at: number }>> = {};
    let last = performance.now(),
      phase: Phase = 'load';
    return (event: Extract<Told, { type: 'progress' }>): number | undefined => {
      if (event.phase === 'verify') return undefined;
      const now = performance.now();
      spent[phase] = (spent[phase] ?? 0) + (now - last) / 1000;
      last = now;
      phase = event.phase;
      const from = (begun[phase] ??= { step: event.step, at: now });
      const pace = event.step > from.step ? (now - from.at) / 1000 / (event.step - from.step) : undefined;
      const isLong = event.phase === 'denoise' || event.phase === 'decode';
      if (!expected) return pace === undefined || !isLong ? undefined : pace * (event.of - event.step);
      const steps = a.claim.job.resolved.numInferenceSteps;
      let left = expected.rest;
      for (const p of phases) {
        const whole = p === 'denoise' ? (expected.denoise * (steps - Math.min(steps, a.claim.job.snapshotStep))) / steps : expected[p];
        if (p === event.phase && pace !== undefined && isLong) left += pace * (event.of - event.step);
        else if (phases.indexOf(p) >= phases.indexOf(event.phase) || p === 'load')
          left += begun.denoise && p === 'load' ? 0 : Math.max(0, whole - (spent[p] ?? 0));
      }
      return left;
    };
  };

  const compute = async (a: Active, order: GenerateOrder): Promise<Done> => {
    const { claim, controller, engine } = a,
      { id } = claim,
      left = watchPace(a),
      expected = forecast.phasesOf(workOf(claim.job.resolved));
    let silent = 0, // seconds that this process has seen pass without a word: time it was stopped itself does not count
      longest = 0,
      first = true,
      stuck = false as boolean,
      tick = performance.now(),
      shown = -Infinity,
      later: NodeJS.Timeout | undefined;
    const allowed = () => {
      const { phase } = a.place,
        painting = phase === 'denoise',
        usual = Math.max(painting ? patience.usual : patience.loading, 20 * longest);
      if (!first || (!painting && phase !== 'decode')) return usual;
      const step = expected && (painting ? expected.denoise / claim.job.resolved.numInferenceSteps : expected.decode);
      return Math.max(usual, step === undefined ? patience.first : Math.max(patience.loading, 20 * step));
    };
    const every = Math.min(1, patience.usual / 10) * 1000;
    const watch = setInterval(() => {
      const now = performance.now();
      silent += Math.min(now - tick, 2 * every) / 1000;
      tick = now;
      if (silent <= allowed() || controller.signal.aborted) return;
      stuck = true;
      controller.abort();
      letGo(engine);
    }, every);
    const beat = setInterval(() => keepLease(a), 20_000);
    const show = () => {
      later = undefined;
      shown = performance.now();
      if (a.progress && active.get(id) === a) library.say({ type: 'progress', jobId: id, progress: a.progress });
    };
    const on = (event: Told) => {
      a.heard = true;
      longest = Math.max(longest, silent);
      silent = 0;
      if (event.type === 'snapshot') {
        a.gained = true;
        keepLease(a, event.step);
      } else if (event.type === 'progress' && event.phase !== 'verify') {
        const { phase, step, of } = event;
        first = phase !== a.place.phase;
        a.place = { phase, step };
        const seconds = (performance.now() - a.since) / 1000,
          remaining = left(event) ?? event.remaining ?? null;
        a.progress = { phase, step: Math.round(step), of: Math.round(of), seconds, remaining };
        if (expected && remaining !== null) a.forecast = { ...claim.job.forecast, seconds: seconds + remaining };
        const wait = shown + progressGap - performance.now();
        if (wait <= 0) show();
        else later ??= setTimeout(show, wait);
      } else if (event.type === 'preview') library.say({ type: 'preview', jobId: id, step: event.step, jpeg: event.jpeg });
      else if (event.type === 'notice') library.say({ type: 'notice', jobId: id, text: event.text });
    };
    try {
      return await engine.run(order, on, controller.signal);
    } catch (e) {
      if (stuck) throw new TaskError('engineDied', `the engine said nothing for ${Math.round(silent)} seconds and was ended`, { cause: e });
      throw e;
    } finally {
      clearInterval(watch);
      clearInterval(beat);
      clearTimeout(later);
    }
  };
  /** Progress is worth keeping, but no reason to stop where it cannot be kept now. */
  const keepLease = (a: Active, snapshotStep?: number) => {
    try {
      if (!queue.heartbeat(a.claim, snapshotStep)) a.controller.abort(new Stale());
      if (troubled !== undefined) tell();
      troubled = undefined;
    } catch (e) {
      troubled = describeFailure(e, home).text;
      tell();
    }
  };

  // The clip

  /** Names that nothing has, in the library and among its rows. */
  const planOf = (job: Job, folder: string): Plan['files'] => {
    const slug = slugOf(job);
    for (let n = 1; ; n++) {
      const tail = `${job.id}${n === 1 ? '' : `-${n}`}`;
      const files = {
        video: { from: 'clip.mp4', to: `clips/${slug}-${tail}.mp4` },
        poster: { from: 'poster.jpg', to: `previews/${tail}-poster.jpg` },
        sprite: { from: 'sprite.jpg', to: `previews/${tail}-sprite.jpg` },
        latents: existsSync(join(folder, 'latents.safetensors'))
          ? { from: 'latents.safetensors', to: `latents/${tail}.safetensors` }
          : null,
      };
      if (Object.values(files).every(f => !f || (!existsSync(fileIn(library, f.to)) && !isOfClip(library, f.to)))) return files;
    }
  };
  const finish = async (a: Active, folder: string, said: DoneFile, began: number): Promise<void> => {
    const { claim } = a,
      { job, id } = claim,
      clip = join(folder, 'clip.mp4');
    let { plan } = said;
    if (!plan) {
      const ffmpeg = await findFfmpeg();
      await probeClip(ffmpeg, clip);
      const { poster, sprite, columns } = await clipPictures(ffmpeg, clip, said.done);
      await writeDurably(join(folder, 'poster.jpg'), poster);
      await writeDurably(join(folder, 'sprite.jpg'), sprite);
      await at('pictured', id);
      const files = planOf(job, folder);
      const bytes = Object.values(files).reduce((sum, f) => sum + (f ? statSync(join(folder, f.from)).size : 0), 0);
      plan = { sha256: await fileHash(clip), columns, bytes, files };
      await writeDurably(join(folder, 'done.json'), json({ ...said, plan }));
      await at('planned', id);
    }
    for (const [kind, planned] of Object.entries(plan.files)) {
      if (!planned) continue;
      let file = planned;
      const name = file.to.split('/')[0]!;
      await folderIn(library, name);
      while (!(await move(join(folder, file.from), fileIn(library, file.to)))) {
        // somebody was faster: another name
        file = { ...file, to: file.to.replace(/(\.\w+)$/, `-${randomBytes(3).toString('hex')}$1`) };
        plan = { ...plan, files: { ...plan.files, [kind]: file } };
        await writeDurably(join(folder, 'done.json'), json({ ...said, plan }));
      }
      await syncFolder(join(home, name));
      await at('moving', id);
    }
    await syncFolder(home); // the folders themselves may be new
    await at('moved', id);
    const { video, poster, sprite, latents } = plan.files,
      { resolved, request } = job;
    const made: NewClip = {
      name: nameOf(job),
      jobId: id,
      request,
      resolved,
      seed: said.done.seed,
      subjects: resolved.subjects,
      checkpoint: { name: resolved.checkpoint.name, sha256: resolved.checkpoint.sha256 },
      adapters: resolved.adapters.map(({ name, sha256, scale }) => ({ name, sha256, scale })),
      device: said.done.device,
      timings: said.done.timings,
      width: said.done.width,
      height: said.done.height,
      numFrames: said.done.numFrames,
      fps: resolved.fps,
      sha256: plan.sha256,
      spriteColumns: plan.columns,
      parents: [],
      files: { video: video!.to, poster: poster?.to ?? null, sprite: sprite?.to ?? null, latents: latents?.to ?? null },
    };
    const wall = said.seconds + (performance.now() - began) / 1000,
      { bytes } = plan;
    const row = queue.complete(claim, () => {
      if (said.done.stepsRun > 0) forecast.learn(sampleOf(workOf(resolved), said.done, wall, bytes));
      return clips.add(made);
    });
    if (!row) throw new Stale();
    await at('completed', id);
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch {
      // the clip is made; what is left over goes at the next start
    }
    await at('removed', id);
  };

  /** One attempt at a job, to its end. */
  const attempt = async (a: Active): Promise<void> => {
    const { claim, controller } = a,
      { id } = claim;
    await at('claimed', id);
    const folder = await prepare(claim);
    let said = readDone(folder);
    if (!said) {
      const need = (claim.job.forecast.diskBytes ?? 0) + reserve,
        free = await freeBytes(home);
      if (free < need)
        throw new StudioError(
          'noSpace',
          `there is little room left for another clip (${Math.floor(free / 1e6)} MB are free, about ${Math.ceil(need / 1e6)} MB are needed): free some space`,
        );
      const order = await options.order(claim.job, folder, controller.signal);
      await at('prepared', id);
      controller.signal.throwIfAborted();
      const found = await compute(a, order);
      await at('computed', id);
      said = done.parse({ done: found, seconds: (performance.now() - a.since) / 1000 });
      await writeDurably(join(folder, 'done.json'), json(said));
      a.gained = true;
      await at('done', id);
    }
    const began = performance.now();
    a.place = { phase: 'export', step: said.done.numFrames };
    try {
      await finish(a, folder, said, began);
    } catch (e) {
      const { code } = describeFailure(e, home);
      if (e instanceof StudioError && code === 'missing')
        discard(id); // somebody took files away: all has to be made again
      // What the engine left is no clip: the next attempt makes it anew, from the kept latents.
      else if (
        !(e instanceof Stale) &&
        !(e instanceof DatabaseError) &&
        !holding.has(code) &&
        code !== 'encoderDied' &&
        code !== 'bug' &&
        !readDone(folder)?.plan
      )
        for (const name of ['done.json', 'clip.mp4']) rmSync(join(folder, name), { force: true });
      throw e;
    }
  };

  /** What an attempt's end means for its job. */
  const settle = async (a: Active, error: unknown): Promise<void> => {
    const { claim } = a,
      { id } = claim,
      failure = describeFailure(error, home);
    if (error instanceof Stale || a.controller.signal.reason instanceof Stale) return;
    if (a.wishes.length || stopping || failure.code === 'canceled') {
      await insist(() => queue.release(claim));
      return;
    }
    if (failure.code === 'engineDied' && !a.heard) {
      // It never came to life: no job's fault.
      await insist(() => queue.release(claim));
      return holdFor(failure);
    }
    if (a.gained) holds.delete(id);
    const ofDatabase = error instanceof DatabaseError && error.code !== 'failed' && error.code !== 'bug',
      perhapsGone = failure.code === 'failed' || failure.code === 'missing' || failure.code === 'badFile'; // with the library's drive
    if (ofDatabase || holding.has(failure.code) || (perhapsGone && !(await takesFiles()))) {
      const n = (holds.get(id) ?? 0) + 1;
      if (ofDatabase || failure.code === 'noSpace' || n < mostHolds || !(await takesFiles())) {
        holds.set(id, n);
        const had = failure.code === 'noSpace' ? await freeBytes(home).catch(() => 0) : 0; // now: by the time a full disk takes the release it has room again
        await insist(() => queue.release(claim));
        return holdFor(failure, had);
      }
    }
    holds.delete(id);
    const end = await insist(() => queue.fail(claim, failure, a.place));
    if (end === 'again') library.say({ type: 'notice', jobId: id, text: `${failure.text.replace(/\.$/, '')}; it is tried again` });
  };

  const work = async (claim: Claim, engine: Engine): Promise<void> => {
    const a: Active = {
      claim,
      engine,
      controller: new AbortController(),
      since: performance.now(),
      wishes: [],
      progress: null,
      forecast: null,
      place: { phase: 'load', step: 0 },
      heard: false,
      gained: false,
    };
    active.set(claim.id, a);
    tell();
    keepLease(a); // it may have been paused or canceled since it was claimed
    if (!takes()) a.controller.abort();
    let failed = false,
      error: unknown;
    try {
      await attempt(a);
      holds.delete(claim.id);
    } catch (e) {
      failed = true;
      error = e;
    }
    active.delete(claim.id);
    // First what was wished: it says what becomes of the job. Where it cannot be written, who wished it is told, and the job goes on.
    for (const { change, resolve, reject, giveBack } of a.wishes) {
      try {
        const result = change();
        if (giveBack) await engine.close();
        resolve(result);
      } catch (e) {
        reject(e);
      }
    }
    if (failed) await settle(a, error);
    tell();
  };
  const halt = <T>(id: JobId, change: () => T, giveBack: boolean): Promise<T> =>
    new Promise((resolve, reject) => {
      const a = active.get(id);
      if (!a) {
        resolve(change()); // what it throws rejects
        return;
      }
      a.wishes.push({ change, resolve: resolve as (result: unknown) => void, reject, giveBack });
      a.controller.abort();
      if (giveBack) letGo(a.engine);
    });

  const lane = async (device: Device): Promise<void> => {
    const engine = options.engine(device);
    engines.add(engine);
    while (!stopping) {
      const seen = calls;
      if (hold && takes()) {
        const { mended } = hold;
        await sleep(retrySeconds);
        if (await mended().catch(() => false)) hold = undefined;
        tell();
        continue;
      }
      const claim = await insist(() => (takes() ? queue.claim(device) : undefined));
      if (claim) {
        try {
          await work(claim, engine);
        } catch (e) {
          // ours: said, and the lane goes on; the job is put back when its lease ends
          troubled = describeFailure(e, home).text;
          await sleep(retrySeconds);
        }
      } else if (seen === calls) await rest();
    }
    await engine.close();
  };
  const tidy = () => {
    try {
      queue.recover(true);
      sweep();
    } catch (e) {
      // a disk that refuses now is met again by the first job, which says so; what is left over is removed at the next start
      const { code, text } = describeFailure(e, home);
      if (code === 'bug') library.say({ type: 'notice', jobId: null, text });
    }
  };
  if (db.isOpen) tidy();

  return {
    state,
    live: id => active.get(id),
    start: () => {
      if (started) return;
      started = true;
      tidy();
      paused = undefined;
      hold = undefined;
      running = Promise.all(lanes.map(lane));
      tell();
    },
    pause: async () => {
      remember(library, 'queue', { paused: true });
      paused = true;
      tell();
      await Promise.all([...active.values()].map(({ claim }) => halt(claim.id, () => queue.release(claim), true)));
      await Promise.all([...engines].map(engine => engine.close())); // an idle one holds its device too
    },
    resume: () => {
      remember(library, 'queue', { paused: false });
      paused = false;
      wake();
      tell();
    },
    halt,
    discard,
    wake,
    tell,
    stop: async () => {
      const was = started;
      stopping = true;
      wake();
      for (const { controller, engine } of active.values()) {
        controller.abort();
        letGo(engine);
      }
      await running;
      started = stopping = false;
      clearTimeout(telling);
      telling = undefined;
      return was;
    },
  };
}

/** Whether a clip has this file, relative to the library. */
export const isOfClip = ({ db }: Pick<Library, 'db'>, file: string): boolean =>
  db.get('SELECT 1 FROM clips WHERE file = ?1 OR poster = ?1 OR sprite = ?1 OR latents = ?1', file) !== undefined;

/** Removes what `move` gave names in the library for a clip that never came to be.
 * @param folder where the files lay before; one that still lies there is another's under that name */
export function takeBack(library: Library, folder: string, files: Iterable<{ readonly from: string; readonly to: string } | null>): void {
  for (const file of files) {
    if (!file || isOfClip(library, file.to)) continue;
    const to = fileIn(library, file.to),
      [mine, there] = [join(folder, file.from), to].map(path => statSync(path, { throwIfNoEntry: false, bigint: true }));
    if (there && (!mine || (mine.dev === there.dev && mine.ino === there.ino))) rmSync(to, { force: true });
    rmSync(`${to}.part`, { force: true });
  }
}

/** Codes of file systems without hard links, and of a name on another one. */
const noLinks = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EINVAL', 'EXDEV']);

/** Gives a file another name, on the disk once the folders are; never in another file's place. Done before, it does nothing.
 * @returns false where another file has that name
 * @throws StudioError `missing` where neither is there */
export async function move(from: string, to: string): Promise<boolean> {
  const inode = async (path: string) => {
    const found = await stat(path, { bigint: true }).catch((e: unknown) => {
      if ((e as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw e;
    });
    return found && `${found.dev}:${found.ino}`;
  };
  try {
    const [source, target] = [await inode(from), await inode(to)];
    if (source === undefined) {
      if (target !== undefined) return true;
      throw new StudioError('missing', `${to} was lost before it was finished: retry this job`);
    }
    if (target !== undefined && target !== source) return false;
    if (target === undefined)
      await link(from, to).catch(async (e: unknown) => {
        if (!noLinks.has((e as NodeJS.ErrnoException).code ?? '')) throw e;
        await rename(from, to).catch(async (e: unknown) => {
          if ((e as NodeJS.ErrnoException).code !== 'EXDEV') throw e;
          const part = `${to}.part`;
          await copyFile(from, part);
          const file = await open(part, 'r+');
          try {
            await file.sync();
          } finally {
            await file.close();
          }
          await rename(part, to);
        });
      });
    await unlink(from).catch((e: unknown) => {
      if ((e as NodeJS.ErrnoException).code !== 'ENOENT') throw e; // it was renamed
    });
    return true;
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw e instanceof StudioError ? e : fileError(`cannot write ${to}`, e);
  }
}

/** The prompt as it was typed, with what `@handle` becomes. */
const typed = ({ request, resolved }: Job, word: (subject: { name: string; handle: string }) => string): string => {
  const plain = request.prompt.replaceAll(/\\([{|}])/g, '$1');
  let text = plain;
  for (const subject of resolved.subjects) text = text.replaceAll(new RegExp(`[@＠]${subject.handle}`, 'giu'), () => word(subject));
  return text !== plain ? text : [...resolved.subjects.map(word), text].join(': ');
};

/** A clip's name for people. */
export function nameOf(job: Job): string {
  const text = typed(job, s => s.name)
    .replaceAll(/\s+/g, ' ')
    .trim()
    .replace(/:$/, '');
  if (text.length <= 80) return text || 'Clip';
  const cut = Array.from(text).slice(0, 79).join('');
  return `${cut.slice(0, Math.max(40, cut.lastIndexOf(' '))).trimEnd()}…`;
}
/** What its file is called, without the job's id: letters and digits of any script, at most 80 bytes. */
export const slugOf = (job: Job): string =>
  fileNameOf(
    typed(job, s => s.handle),
    'clip',
  );
