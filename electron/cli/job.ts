/** @file `job` and `queue`. */
import type { JobId } from '../contract/ids.ts';
import type { Job, JobStatus } from '../contract/records.ts';
import type { QueueState } from '../contract/events.ts';
import { UsageError } from './arguments.ts';
import { openLibrary } from './library.ts';
import { jobIdOf } from './names.ts';
import { requestOf, requestOptions } from './options.ts';
import { card, counted, duration, madeWith, printLines, size, table, tell, when } from './print.ts';
import { clientOf, onlyGiven, verb, type Answer, type CommonValues, type Verb } from './verb.ts';
import { untilStopped } from './stop.ts';
import { failureText, follow, forecastText, hasEnded, printFinished, statusOf, waitUses } from './wait.ts';

const words: Readonly<Record<JobStatus, string>> = {
  pending: 'waits',
  inProgress: 'runs',
  paused: 'paused',
  completed: 'done',
  failed: 'failed',
  canceled: 'canceled',
};
const left = ({ status, progress, forecast }: Job) =>
  progress
    ? `${progress.phase} ${progress.step}/${progress.of}`
    : status === 'pending' || status === 'paused'
      ? forecast.seconds === null
        ? 'not known yet'
        : `about ${duration(forecast.seconds)}`
      : '';
function jobCard(job: Job): string[] {
  const { resolved: r, forecast: f } = job;
  return card(`${job.id}  ${words[job.status]}${job.position === null ? '' : `, place ${job.position}`}`, [
    ['prompt', job.request.prompt],
    ['becomes', r.prompt === job.request.prompt ? '' : r.prompt],
    ['stays away from', r.negativePrompt],
    ['subjects', r.subjects.map(s => `${s.name} @${s.handle}`).join(', ')],
    ['photos', r.references.map(p => p.photoId).join(' ')],
    ['begins with', r.startImage?.pictureId],
    ['seed', String(r.seed)],
    ['made with', madeWith(r)],
    ['picture', `${r.width}x${r.height}, ${counted(r.numFrames, 'frame')}, ${r.fps} a second`],
    ['checkpoint', r.checkpoint.name],
    ['adapters', r.adapters.map(a => `${a.name} x ${a.scale}`).join(', ')],
    ['device', `${r.device}, precision ${r.precision}`],
    ['batch', job.batchId === job.id ? '' : job.batchId],
    [
      'forecast',
      hasEnded(job)
        ? ''
        : `${forecastText(f)}${f.peakRamBytes === null ? '' : `; ${size(f.peakRamBytes)} of memory`}${f.diskBytes === null ? '' : `, ${size(f.diskBytes)} of disk`}`,
    ],
    ['now', job.progress && `${left(job)}${job.progress.remaining === null ? '' : `, ${duration(job.progress.remaining)} left`}`],
    ['kept', job.snapshotStep && !hasEnded(job) ? counted(job.snapshotStep, 'step') : ''],
    ['attempts', job.attempt > 1 ? String(job.attempt) : ''],
    ['failure', job.failure && (job.status === 'failed' ? failureText(job) : job.failure.text)],
    ['clip', job.clipId],
    ['queued', when(job.createdAt)],
    ['started', job.startedAt && when(job.startedAt)],
    ['ended', job.endedAt && when(job.endedAt)],
  ]);
}
const said = (job: Job, text: string): Answer => ({ json: { type: 'job', job }, text: [text] });
const place = ({ position }: Job) => (position === null ? '' : `, place ${position}`);

export const jobVerbs = [
  verb({
    name: 'job list',
    takes: '',
    help: 'what runs, waits and has ended, in the order of the queue',
    options: {
      status: ['each', 'S', 'pending, inProgress, paused, completed, failed or canceled; again for each, or S,S'],
      batch: ['text', 'ID', 'queued together with this one'],
      limit: ['number', 'N', 'at most so many (60)'],
      after: ['text', 'ID', 'go on behind this one'],
    },
    uses: ['jobs.list'],
    act: async ({ client, options }) => {
      const { batch, limit, after } = options;
      const { jobs, next } = await client.jobs.list(
        onlyGiven({
          status: options.status?.flatMap(s => s.split(',')) as JobStatus[] | undefined,
          batch: batch === undefined ? undefined : jobIdOf(batch),
          limit,
          after: after === undefined ? undefined : jobIdOf(after),
        }),
      );
      const rows = jobs.map(j => [
        j.id,
        words[j.status],
        j.position === null ? '' : String(j.position),
        j.clipId ?? '',
        left(j),
        j.resolved.subjects.map(s => `@${s.handle}`).join(' '),
        String(j.resolved.seed),
        j.request.prompt,
      ]);
      return {
        json: { type: 'jobs', jobs, next },
        text: rows.length
          ? [
              ...table(['id', 'status', 'place>', 'clip', 'time', 'subject', 'seed>', 'prompt'], rows),
              ...(next === null ? [] : [`more: --after ${next}`]),
            ]
          : [options.status || batch ? 'no job fits' : 'no jobs yet: protagonist generate queues one'],
      };
    },
  }),
  verb({
    name: 'job show',
    takes: 'ID',
    help: 'all about one job',
    uses: ['jobs.show'],
    act: async ({ client, words: [id] }) => {
      const job = await client.jobs.show({ id: jobIdOf(id!) });
      return { json: { type: 'job', job }, text: jobCard(job) };
    },
  }),
  verb({
    name: 'job pause',
    takes: 'ID',
    help: 'stop a job where it is and give the device back',
    uses: ['jobs.pause'],
    act: async ({ client, words: [id] }) => {
      const job = await client.jobs.pause({ id: jobIdOf(id!) });
      return said(job, `${job.id} is paused: protagonist job resume ${job.id} goes on`);
    },
  }),
  verb({
    name: 'job resume',
    takes: 'ID',
    help: 'let a paused job wait for its turn again',
    uses: ['jobs.resume'],
    act: async ({ client, words: [id] }) => {
      const job = await client.jobs.resume({ id: jobIdOf(id!) });
      return said(job, `${job.id} ${words[job.status]}${place(job)}`);
    },
  }),
  verb({
    name: 'job cancel',
    takes: 'ID',
    help: 'end a job that waits, runs or is paused',
    uses: ['jobs.cancel'],
    act: async ({ client, words: [id] }) => {
      const job = await client.jobs.cancel({ id: jobIdOf(id!) });
      return said(job, `${job.id} is canceled: protagonist job retry ${job.id} would begin it again`);
    },
  }),
  verb({
    name: 'job retry',
    takes: 'ID',
    help: 'queue a job again: a failed one goes on where it was, a canceled one begins again',
    uses: ['jobs.retry'],
    act: async ({ client, words: [id] }) => {
      const job = await client.jobs.retry({ id: jobIdOf(id!) });
      return said(job, `${job.id} ${words[job.status]} again${place(job)}`);
    },
  }),
  verb({
    name: 'job duplicate',
    takes: 'ID',
    help: 'queue the same request once more',
    options: { seed: ['number', 'N', 'with this seed'], 'new-seed': ['flag', '', 'with a seed that is drawn'] },
    uses: ['jobs.duplicate'],
    act: async ({ client, words: [id], options }) => {
      if (options.seed !== undefined && options['new-seed'])
        throw new UsageError('--seed and --new-seed contradict each other: leave one out');
      const job = await client.jobs.duplicate({
        id: jobIdOf(id!),
        ...onlyGiven({ seed: options['new-seed'] ? null : options.seed }),
      });
      return said(job, `${job.id} ${words[job.status]}${place(job)}: seed ${job.resolved.seed}`);
    },
  }),
  verb({
    name: 'job move',
    takes: 'ID PLACE [ID]',
    help: 'to the top, to the bottom, before ID or after ID',
    uses: ['jobs.move'],
    act: async ({ client, words: [word, to, other] }) => {
      const id = jobIdOf(word!);
      const job = await client.jobs.move({ id, to: placeOf(to!, other) });
      return said(job, `${job.id} ${words[job.status]}${place(job)}`);
    },
  }),
  verb({
    name: 'job edit',
    takes: 'ID',
    help: 'change what a job that waits or is paused was asked for',
    options: requestOptions,
    uses: ['jobs.edit', 'requests.of', 'subjects.show', 'checkpoints.list', 'adapters.list', 'pictures.add', 'clips.show'],
    act: async ({ client, words: [word], options }) => {
      const id = jobIdOf(word!);
      if (!Object.keys(requestOptions).some(name => options[name as keyof typeof requestOptions] !== undefined))
        throw new UsageError('nothing to change: name an option, such as --prompt or --steps');
      const { request } = await client.requests.of({ id });
      const job = await client.jobs.edit({ id, request: await requestOf(client, options, request) });
      return { json: { type: 'job', job }, text: jobCard(job) };
    },
  }),
] as const;

function placeOf(to: string, other: string | undefined): 'top' | 'bottom' | { before: JobId } | { after: JobId } {
  if ((to === 'top' || to === 'bottom') && other === undefined) return to;
  if (to === 'before' && other !== undefined) return { before: jobIdOf(other) };
  if (to === 'after' && other !== undefined) return { after: jobIdOf(other) };
  throw new UsageError(`'${[to, other].filter(Boolean).join(' ')}' is no place: it is top, bottom, before ID or after ID`);
}

const states: Readonly<Record<QueueState['state'], string>> = {
  stopped: 'the queue is stopped: protagonist queue run runs it',
  idle: 'the queue is ready and empty',
  running: 'the queue runs',
  paused: 'the queue is paused: protagonist queue resume lets it go on',
  held: 'the queue waits',
};
const queueText = (q: QueueState): string[] =>
  card(q.state === 'held' && q.text !== null ? `${states.held}: ${q.text}` : states[q.state], [
    ['runs', q.running.join(' ')],
    ['waiting', String(q.waiting)],
    ['time', q.waiting + q.running.length ? (q.secondsLeft === null ? 'not known yet' : `about ${duration(q.secondsLeft)} left`) : ''],
  ]);
const queueAnswer = (queue: QueueState): Answer => ({ json: { type: 'queue', queue }, text: queueText(queue) });

export const queueVerbs = [
  verb({
    name: 'queue show',
    takes: '',
    help: 'what the queue is doing',
    uses: ['queue.state'],
    act: async ({ client }) => queueAnswer(await client.queue.state({})),
  }),
  {
    name: 'queue run',
    takes: '',
    help: 'make what waits, until Ctrl-C',
    options: { 'until-empty': ['flag', '', 'end when nothing waits; paused and failed jobs do not count'] },
    uses: [...waitUses, 'queue.resume'],
    run: async (_, values) => {
      const { json = false, home, 'until-empty': untilEmpty = false } = values as CommonValues & { 'until-empty'?: boolean };
      const library = await openLibrary(home);
      let last: string | undefined;
      try {
        const client = clientOf(library.transport);
        if ((await client.queue.state({})).state === 'paused') await client.queue.resume({});
        if (!json && !library.owner) tell('Another process has this library open and does the work; this shows it.');
        const outcome = await untilStopped(signal => follow(library, { untilEmpty, json, signal }));
        const { waiting } = outcome.stopped ? await client.queue.state({}) : { waiting: 0 };
        if (outcome.stopped)
          last = library.owner
            ? `Stopped. ${waiting ? `What waits goes on with protagonist queue run.` : 'Nothing waits.'}`
            : 'No longer shown: the process that has the library open goes on.';
        if (json) printFinished(outcome);
        else if (!outcome.stopped)
          printLines([
            `The queue is empty: ${counted(outcome.clips.length, 'clip')} made${outcome.failed.length ? `, ${counted(outcome.failed.length, 'job')} failed` : ''}.`,
          ]);
        // Ctrl-C is how this ends where nobody said when
        return outcome.stopped && !untilEmpty ? (outcome.failed.length ? 1 : 0) : statusOf({ ...outcome, canceled: [] });
      } finally {
        await library.close();
        if (last !== undefined && !json) tell(last);
      }
    },
  } satisfies Verb,
  verb({
    name: 'queue pause',
    takes: '',
    help: 'pause what runs and take nothing new, also after a restart',
    uses: ['queue.pause'],
    act: async ({ client }) => queueAnswer(await client.queue.pause({})),
  }),
  verb({
    name: 'queue resume',
    takes: '',
    help: 'let a paused queue go on',
    uses: ['queue.resume'],
    act: async ({ client }) => queueAnswer(await client.queue.resume({})),
  }),
] as const;
