/** @file What a person does to jobs, with what takes it back. */
import type { JobId } from '../../electron/contract/ids.ts';
import type { Job } from '../../electron/contract/records.ts';
import { t } from '../words/index.svelte.ts';
import type { App } from './app.svelte.ts';

/** A job in a few words. */
export const nameOf = (job: Pick<Job, 'request'>): string => {
  const line = job.request.prompt.trim().replaceAll(/\s+/g, ' ');
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
};

export function cancelJob(app: App, job: Job): Promise<unknown> {
  return app.act(
    t('queue.canceled', { what: nameOf(job) }),
    () => app.api.jobs.cancel({ id: job.id }),
    () => app.api.jobs.retry({ id: job.id }), // it comes back where it was
  );
}
export const giveUp = (app: App, job: Job): Promise<unknown> =>
  app.act(
    t('queue.givenUp', { what: nameOf(job) }),
    () => app.api.jobs.cancel({ id: job.id }),
    () => app.api.jobs.retry({ id: job.id }),
  );
export const retryJob = (app: App, job: Job): Promise<unknown> =>
  app.act(t('queue.retrying', { what: nameOf(job) }), () => app.api.jobs.retry({ id: job.id }));
export const pauseJob = (app: App, job: Job): Promise<unknown> => app.act(undefined, () => app.api.jobs.pause({ id: job.id }));
export const resumeJob = (app: App, job: Job): Promise<unknown> => app.act(undefined, () => app.api.jobs.resume({ id: job.id }));
export const duplicateJob = (app: App, job: Job): Promise<unknown> =>
  app.act(
    t('queue.duplicated'),
    () => app.api.jobs.duplicate({ id: job.id, seed: null }),
    made => app.api.jobs.cancel({ id: made.id }),
  );

type To = Parameters<App['api']['jobs']['move']>[0]['to'];
/** Moves a waiting job; taking it back puts it where it was. */
export async function moveJob(app: App, id: JobId, to: To): Promise<void> {
  const order = app.jobs.waiting,
    at = order.findIndex(j => j.id === id),
    job = order[at];
  if (!job) return;
  const before = order[at + 1]?.id,
    back: To = before === undefined ? 'bottom' : { before };
  await app.act(
    t('queue.moved', { what: nameOf(job) }),
    async () => {
      await app.api.jobs.move({ id, to });
      await app.jobs.load();
      app.say(t('queue.movedTo', { what: nameOf(job), n: app.jobs.waiting.findIndex(j => j.id === id) + 1 }));
    },
    async () => {
      await app.api.jobs.move({ id, to: back });
      await app.jobs.load();
    },
  );
}
/** One place up or down among those that wait. */
export async function stepJob(app: App, id: JobId, by: -1 | 1): Promise<void> {
  const order = app.jobs.waiting,
    other = order[order.findIndex(j => j.id === id) + by];
  if (other) await moveJob(app, id, by < 0 ? { before: other.id } : { after: other.id });
}
/** Opens Create with a waiting job, to be changed where it waits. */
export function editJob(app: App, job: Job): void {
  app.draft.load(job.request, 'keep');
  app.draft.editing = job.id;
  app.go('#/create');
}

/** The one button that mends why a job failed, and where it leads. */
export function mendOf(app: App, job: Job): { label: string; run: () => void } {
  const again = () => void retryJob(app, job);
  const compose = (change: Partial<Job['request']> = {}) => {
    app.draft.load({ ...job.request, ...change }, 'keep');
    app.go('#/create');
  };
  const half = (n: number) => Math.max(64, Math.round((n * 0.7) / 16) * 16);
  switch (job.failure?.action) {
    case 'retry':
    case undefined:
      return { label: t('queue.retry'), run: again };
    case 'freeSpace':
      return { label: t('queue.freeSpace'), run: () => app.go('#/settings/storage') };
    case 'chooseDevice':
      return { label: t('queue.chooseDevice'), run: () => app.go('#/settings/devices') };
    case 'restoreBackup':
      return { label: t('queue.restoreBackup'), run: () => app.go('#/settings/storage') };
    case 'enterToken':
      return { label: t('frame.enterToken'), run: () => app.go('#/settings/network?at=token') };
    case 'chooseSmaller':
      return { label: t('queue.smaller'), run: () => compose({ width: half(job.resolved.width), height: half(job.resolved.height) }) };
    case 'findFile':
      return { label: t('queue.findFile'), run: () => compose() };
    case 'edit':
      return { label: t('queue.change'), run: () => compose() };
    case 'report':
      return {
        label: t('queue.copyDetails'),
        run: () =>
          void app.act(t('queue.copied'), () =>
            navigator.clipboard.writeText(
              JSON.stringify({ job: job.id, failure: job.failure, request: job.request, version: __VERSION__ }, null, 2),
            ),
          ),
      };
  }
}
