/** @file Waiting for jobs: what is shown meanwhile, and how it ends. Outlives the library's owner: what was missed is read again. */
import { event as eventSchema, type QueueState, type StudioEvent } from '../contract/events.ts';
import { StudioError } from '../contract/errors.ts';
import type { Clip, Forecast, Job } from '../contract/records.ts';
import type { ClipId, JobId } from '../contract/ids.ts';
import type { Opened } from '../contract/wire.ts';
import { counted, duration, onOneLine, ordinal, printJson, printLines, tell } from './print.ts';
import { progressBar, progressEnd } from './progress.ts';
import { clientOf, type Only } from './verb.ts';

/** What waiting asks the library. */
export const waitUses = ['jobs.list', 'jobs.show', 'clips.show', 'media.locate', 'queue.start', 'queue.state', 'host.describe'] as const;
type WaitClient = Only<(typeof waitUses)[number]>;

/** How long it may take, for people. */
export const forecastText = ({ seconds, learntFrom, exact }: Forecast): string =>
  seconds === null
    ? 'not known yet how long it takes'
    : `about ${duration(seconds)}, learnt from ${counted(learntFrom, 'clip')}${exact ? '' : ' of another size or device'}`;
/** Where jobs stand that were just queued. */
export function queuedText(jobs: readonly Job[]): string {
  const [first] = jobs,
    last = jobs.at(-1);
  if (!first || !last) return 'nothing was queued';
  const place = first.position === null ? '' : first.position === 1 ? ', next in the queue' : `, ${ordinal(first.position)} in the queue`;
  if (jobs.length === 1) return `${first.id}${place}: ${forecastText(first.forecast)}`;
  const seconds = jobs.reduce<number | null>((s, j) => (s === null || j.forecast.seconds === null ? null : s + j.forecast.seconds), 0);
  return `${jobs.length} jobs, ${first.id} to ${last.id}${place}: ${forecastText({ ...first.forecast, seconds })}`;
}
/** Why a job failed and what mends it. */
export function failureText({ id, failure }: Job): string {
  const again = failure && failure.action !== 'edit' && failure.action !== 'report' ? ` (protagonist job retry ${id} tries again)` : '';
  return `${id} failed: ${failure?.text ?? 'for a reason that was not kept'}${again}`;
}
export const hasEnded = ({ status }: Job): boolean => status === 'completed' || status === 'failed' || status === 'canceled';

/** How a wait ended. */
export interface Outcome {
  readonly clips: Clip[];
  readonly failed: Job[];
  readonly canceled: Job[];
  /** Stopped by a person before all had ended. */
  readonly stopped: boolean;
}
export const statusOf = ({ stopped, failed, canceled }: Outcome): number => (stopped ? 130 : failed.length || canceled.length ? 1 : 0);
/** The last line for machines. */
export const printFinished = ({ clips, failed, canceled, stopped }: Outcome): void =>
  printJson({ type: 'finished', clips: clips.map(c => c.id), failed: failed.map(j => j.id), canceled: canceled.map(j => j.id), stopped });

/** Starts the queue and follows jobs, saying what happens to them.
 * @param which of a batch, or undefined: whatever the queue runs
 * @param untilEmpty without a batch: end when nothing waits or runs
 * @returns when all of the batch have ended, the queue is empty, or `signal` aborts */
export async function follow(
  library: Opened,
  { batch, untilEmpty = false, json, signal }: { batch?: JobId; untilEmpty?: boolean; json: boolean; signal: AbortSignal },
): Promise<Outcome> {
  const client: WaitClient = clientOf(library.transport);
  const jobs = new Map<JobId, Job>(),
    told = new Set<JobId>(),
    clips: Clip[] = [];
  const bar = progressBar();
  /** Which of several; '' for the only one. */
  const label = (id: JobId): string => {
    if (batch === undefined) return id;
    return jobs.size < 2 ? '' : `${id} (${[...jobs.keys()].indexOf(id) + 1} of ${jobs.size})`;
  };
  let saidOfQueue = '',
    working: Promise<unknown> = Promise.resolve();
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();

  const ready = async (clipId: ClipId) => {
    const clip = await client.clips.show({ id: clipId });
    const path = await whereIs(client, clip);
    clips.push(clip);
    if (json) printJson({ type: 'ready', clip, path });
    else {
      progressEnd();
      printLines([readyText(clip, path)]);
    }
  };
  const see = async (job: Job) => {
    const old = jobs.get(job.id);
    if (batch === undefined && !old && hasEnded(job)) return; // before this began
    jobs.set(job.id, job);
    if (json && JSON.stringify(old) !== JSON.stringify(job)) printJson({ type: 'job', job });
    if (hasEnded(job)) {
      if (told.has(job.id)) return;
      if (job.status === 'completed' && job.clipId) await ready(job.clipId);
      else if (!json) tell(job.status === 'failed' ? failureText(job) : `${job.id} was canceled`);
      told.add(job.id); // not before: where the owner went away meanwhile it is told by the next one
      return;
    }
    told.delete(job.id); // it may be tried again
    if (json || old?.status === job.status) return;
    if (job.status === 'paused') tell(`${job.id} is paused: protagonist job resume ${job.id} lets it go on`);
    else if (job.status === 'pending' && old?.status === 'inProgress' && job.failure) tell(`${job.id} waits again: ${job.failure.text}`);
  };
  const look = async (queue: QueueState) => {
    const stuck =
      queue.state === 'paused'
        ? (queue.text ?? 'the queue is paused: protagonist queue resume lets it go on')
        : queue.state === 'held'
          ? (queue.text ?? 'the queue waits for something to be mended')
          : '';
    const changed = stuck !== saidOfQueue;
    saidOfQueue = stuck;
    if (json && (changed || batch === undefined)) printJson({ type: 'queue', queue });
    else if (changed && stuck) tell(stuck);
    if (batch !== undefined || !untilEmpty || queue.waiting > 0 || queue.running.length > 0) return;
    for (const { id, status } of [...jobs.values()]) if (status === 'inProgress') await see(await client.jobs.show({ id })); // its end may be told later
    resolve(false);
  };
  const check = () => {
    if (batch !== undefined && [...jobs.values()].every(j => hasEnded(j) && told.has(j.id))) resolve(false);
  };
  const waitingLine = async () => {
    const first = [...jobs.values()].find(j => !hasEnded(j));
    if (json || !process.stderr.isTTY || first?.status !== 'pending') return;
    const now = await client.jobs.show({ id: first.id });
    if (now.status === 'pending' && now.position !== null)
      process.stderr.write(`\r\x1b[K${onOneLine(`Waiting    ${now.position === 1 ? 'next' : ordinal(now.position)} in the queue`)}`);
  };
  /** Everything as it is now: at first, and after the owner has changed. */
  const read = async () => {
    const there = new Set<JobId>();
    for (let after: JobId | null = null; ;) {
      const page: { jobs: Job[]; next: JobId | null } = await client.jobs.list(
        batch === undefined ? { status: ['inProgress', 'pending'], limit: 500, after } : { batch, limit: 500, after },
      );
      for (const job of page.jobs) {
        there.add(job.id);
        await see(job);
      }
      after = page.next;
      if (after === null) break;
    }
    for (const [id, job] of jobs)
      if (!there.has(id) && !hasEnded(job)) {
        const now = batch === undefined ? await client.jobs.show({ id }).catch(unlessGone) : undefined;
        if (now) await see(now);
        else jobs.delete(id);
      }
    check();
    await look(await client.queue.start({}));
  };
  const hear = async (event: StudioEvent) => {
    const ours = (id: JobId | null) => id === null || batch === undefined || jobs.has(id);
    switch (event.type) {
      case 'job':
        if (batch === undefined || jobs.has(event.job.id)) await see(event.job);
        check();
        break;
      case 'progress':
        if (!ours(event.jobId)) break;
        if (json) printJson(event);
        else bar(event.progress, label(event.jobId));
        break;
      case 'preview':
        if (json && ours(event.jobId)) printJson(event);
        break;
      case 'notice':
        if (!ours(event.jobId)) break;
        if (json) printJson(event);
        else tell(`${event.jobId && label(event.jobId) ? `${label(event.jobId)}: ` : ''}${event.text}`);
        break;
      case 'queue':
        await look(event.queue);
        await waitingLine();
        break;
      case 'restored': // a backup, or another owner
        await read();
        break;
      case 'gone':
        if (jobs.delete(event.id as JobId)) check();
        break;
      default: // not about the queue
    }
  };
  /** One thing after the other, so that lines come in the order of events. */
  const inTurn = (work: () => Promise<void>) => {
    working = working.then(work).catch((e: unknown) => {
      if (!isDisconnected(e)) reject(e); // the next connection reads everything again
    });
  };
  const unsubscribe = library.transport.subscribe(raw => inTurn(() => hear(eventSchema.parse(raw))));
  void library.gone.then(why => reject(new StudioError('disconnected', why)));
  const stop = () => resolve(true);
  signal.addEventListener('abort', stop);
  try {
    if (signal.aborted) stop();
    inTurn(read);
    const stopped = await promise;
    if (!stopped) await working;
    const ended = [...jobs.values()].filter(j => told.has(j.id));
    return {
      clips,
      failed: ended.filter(j => j.status === 'failed'),
      canceled: ended.filter(j => j.status === 'canceled'),
      stopped,
    };
  } finally {
    signal.removeEventListener('abort', stop);
    unsubscribe();
    if (!json) progressEnd();
  }
}
const unlessGone = (e: unknown): undefined => {
  if (!(e instanceof StudioError) || e.code !== 'notFound') throw e;
};
const isDisconnected = (e: unknown) => e instanceof StudioError && e.code === 'disconnected';

/** Where a clip's file lies; null where that cannot be told. */
export async function whereIs(client: Only<'host.describe' | 'media.locate'>, { id, missing }: Clip): Promise<string | null> {
  if (missing || !(await client.host.describe({})).can.paths) return null;
  return (await client.media.locate({ id })).path;
}
/** A finished clip for people. */
export const readyText = (clip: Clip, path: string | null): string => {
  const seconds = Object.values(clip.timings).reduce((s, t) => s + t, 0);
  return `${clip.id} is ready: seed ${clip.seed}, ${duration(seconds)} on ${clip.device}${path === null ? '' : `, ${path}`}`;
};
