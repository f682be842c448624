/** @file Jobs for clients: requests are spelt out, filled in and queued; the queue is looked at, ordered and stopped. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { api } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import { expand } from '../contract/expand.ts';
import type { JobId } from '../contract/ids.ts';
import type { Forecast, Job } from '../contract/records.ts';
import { askAbove, type Batch, type Request } from '../contract/requests.ts';
import type { HostOf } from '../contract/rpc.ts';
import type { Catalogue } from './checkpoints.ts';
import { forecaster, workOf, type Work } from './forecast.ts';
import type { Library } from './library.ts';
import type { PromptsPart } from './prompts.ts';
import { sqliteQueue, type NewJob } from './queue.ts';
import { orderOf, resolveRequest, type Files, type Sources } from './resolve.ts';
import { startRunner, type Runner, type RunnerOptions } from './runner.ts';

export interface JobsOptions extends Pick<RunnerOptions, 'engine' | 'clips' | 'retrySeconds' | 'patience' | 'at'> {
  readonly subjects: Sources['subjects'];
  readonly pictures: Sources['pictures'];
  readonly prompts: Pick<PromptsPart, 'used'>;
  readonly files: Files;
  readonly catalogue: Catalogue;
  readonly settings: Sources['settings'];
  /** Seconds of a clock that never jumps. */
  readonly clock?: () => number;
}

export interface Jobs {
  readonly jobs: HostOf<typeof api>['jobs'];
  readonly queue: HostOf<typeof api>['queue'];
  /** @throws StudioError `notFound` */
  get(id: JobId): Job;
  /** The folders of jobs that have not ended, relative to the library; with `failed`, of those too that can be retried from what is there. */
  folders(failed?: 'failed'): ReadonlySet<string>;
  start(): void;
  /** Releases what runs, ends its engine; resolves, when nothing is left, with whether it had been started. */
  stop(): Promise<boolean>;
}

/** The queue of a library and what works on it, as a new session. Nothing is taken before `start`. */
export function startJobs(library: Library, options: JobsOptions): Jobs {
  const { catalogue, subjects, pictures, prompts, files, settings } = options;
  const forecast = forecaster(library);
  const sources: Sources = { subjects, pictures, catalogue, settings, forecast };
  let begun: Runner | undefined; // while it is being made it puts jobs back
  const queue = sqliteQueue(library, {
    session: randomUUID(),
    forecast: work => forecast.of(work),
    live: id => begun?.live(id),
    changed: () => {
      begun?.wake();
      begun?.tell();
    },
    ...(options.clock && { clock: options.clock }),
  });
  const runner = (begun = startRunner({
    ...options,
    library,
    queue,
    forecast,
    order: (job, folder, signal) => orderOf(job, folder, signal, { catalogue, files, subjects, pictures, settings: settings() }),
  }));

  /** Every request of a batch with nothing left open. */
  const resolveAll = async (requests: Iterable<Request>, signal: AbortSignal): Promise<{ all: NewJob[]; notices: string[] }> => {
    const checkpoints = new Map<unknown, ReturnType<Catalogue['checkpoint']>>();
    const once: Sources = {
      ...sources,
      catalogue: {
        adapter: id => catalogue.adapter(id),
        adaptersFor: (subjects, checkpoint) => catalogue.adaptersFor(subjects, checkpoint),
        checkpoint: id => {
          const known = checkpoints.get(id) ?? catalogue.checkpoint(id);
          checkpoints.set(id, known);
          return known;
        },
      },
    };
    const all: NewJob[] = [],
      notices = new Set<string>();
    for (const request of requests) {
      const { resolved, notices: own } = await resolveRequest(request, once);
      all.push({ request, resolved });
      for (const notice of own) notices.add(notice);
      if (all.length % 100 === 0) {
        await new Promise<void>(resolve => setImmediate(resolve)); // others get their turn
        signal.throwIfAborted();
      }
    }
    return { all, notices: [...notices] };
  };
  /** While a large batch is resolved others get their turn, and may erase a photo of it or clean a mask away.
   * @throws StudioError `notFound`, `missing` */
  const stillThere = (all: readonly NewJob[]) => {
    const references = all.flatMap(({ resolved }) => resolved.references);
    for (const { photoId, sha256, mask } of new Map(references.map(r => [`${r.photoId} ${r.mask ?? ''}`, r])).values()) {
      subjects.ofPhoto(photoId);
      for (const file of [files.photo(sha256), ...(mask === null ? [] : [files.mask(mask)])])
        if (!existsSync(file)) throw new StudioError('missing', `photo ${photoId} has gone or changed meanwhile: queue this again`);
    }
    for (const { pictureId, sha256 } of all.flatMap(({ resolved }) => resolved.startImage ?? []))
      if (!existsSync(files.picture(sha256)))
        throw new StudioError('missing', `the start image ${pictureId} has gone meanwhile: choose it again`);
  };
  const one = async (request: Request, signal: AbortSignal): Promise<NewJob> => {
    const { count, requests } = expand(request, { seeds: 1, grid: [] });
    if (count !== 1)
      throw new StudioError('badRequest', `the prompt stands for ${count} clips, but this is one: choose one of the words between { and }`);
    return (await resolveAll(requests, signal)).all[0]!;
  };

  return {
    jobs: {
      forecast: async ({ request, batch }: { request: Request; batch: Batch }, signal) => {
        const { count, requests } = expand(request, batch);
        const { all, notices } = await resolveAll(requests, signal);
        return {
          jobs: count,
          ...together(
            all.map(({ resolved }) => workOf(resolved)),
            w => forecast.of(w),
          ),
          notices,
        };
      },
      enqueue: async ({ request, batch, confirmed, next }, signal) => {
        const { count, requests } = expand(request, batch);
        if (count > askAbove && !confirmed)
          throw new StudioError('needsConfirmation', `that would be ${count.toLocaleString('en-US')} clips: confirm it to queue them all`, {
            count,
          });
        const { all, notices } = await resolveAll(requests, signal);
        stillThere(all);
        const jobs = library.db.transaction(() => {
          prompts.used(request.prompt); // as it was typed: its choices are one prompt
          return queue.enqueue(all, next);
        });
        return { jobs, notices };
      },
      list: filter => queue.list(filter),
      show: ({ id }) => queue.get(id),
      pause: ({ id }) => runner.halt(id, () => queue.pause(id), true),
      resume: ({ id }) => queue.resume(id),
      cancel: ({ id }) =>
        runner.halt(
          id,
          () => {
            const job = queue.cancel(id);
            runner.discard(id);
            return job;
          },
          false,
        ),
      retry: ({ id }) => queue.retry(id),
      duplicate: ({ id, seed }) => queue.duplicate(id, seed),
      move: ({ id, to }) => queue.move(id, to),
      edit: async ({ id, request }, signal) => {
        const changed = await one(request, signal);
        return library.db.transaction(() => {
          prompts.used(request.prompt);
          return queue.edit(id, changed);
        });
      },
    },
    queue: {
      state: () => runner.state(),
      start: () => {
        runner.start();
        return runner.state();
      },
      pause: async () => {
        await runner.pause();
        return runner.state();
      },
      resume: () => {
        runner.resume();
        return runner.state();
      },
    },
    get: id => queue.get(id),
    folders: failed =>
      new Set(
        library.db
          .all<{ id: number }>(`SELECT id FROM jobs WHERE status IN ('pending', 'inProgress', 'paused', ?)`, failed ?? 'pending')
          .map(({ id }) => `work/j${id}`),
      ),
    start: () => runner.start(),
    stop: () => runner.stop(),
  };
}

/** The forecast of one of these jobs on average, and of all, one after the other. */
function together(all: readonly Work[], of: (work: Work) => Forecast): { each: Forecast; all: Forecast } {
  const forecasts = all.map(of);
  const fold = (name: 'seconds' | 'peakRamBytes' | 'peakDeviceBytes' | 'diskBytes', how: (a: number, b: number) => number) =>
    forecasts.map(f => f[name]).reduce((a, b) => (a === null || b === null ? null : how(a, b)));
  const sum = (a: number, b: number) => a + b;
  const whole: Forecast = {
    seconds: fold('seconds', sum),
    peakRamBytes: fold('peakRamBytes', Math.max),
    peakDeviceBytes: fold('peakDeviceBytes', Math.max),
    diskBytes: fold('diskBytes', sum),
    learntFrom: Math.min(...forecasts.map(f => f.learntFrom)),
    exact: forecasts.every(f => f.exact),
  };
  const share = (n: number | null) => (n === null ? null : n / forecasts.length);
  return {
    all: whole,
    each: {
      ...whole,
      seconds: share(whole.seconds),
      diskBytes: whole.diskBytes === null ? null : Math.round(whole.diskBytes / forecasts.length),
    },
  };
}
