/** @file A library with its queue at work, put together from its parts so that engines, moments and patience can be chosen. */
import { fork } from 'node:child_process';
import { join } from 'node:path';
import { api } from '../../electron/contract/api.ts';
import type { StudioEvent } from '../../electron/contract/events.ts';
import type { JobId } from '../../electron/contract/ids.ts';
import type { Job, JobStatus } from '../../electron/contract/records.ts';
import { client, host, inProcess } from '../../electron/contract/rpc.ts';
import { inProcessEngine } from '../../electron/engine/main.ts';
import { processEngine } from '../../electron/engine/supervisor.ts';
import { openLibraryDatabase } from '../../electron/studio/backups.ts';
import { catalogue } from '../../electron/studio/checkpoints.ts';
import { clipsPart } from '../../electron/studio/clips.ts';
import { describeFailure } from '../../electron/studio/failures.ts';
import { startJobs, type JobsOptions } from '../../electron/studio/jobs.ts';
import type { Library } from '../../electron/studio/library.ts';
import { picturesPart } from '../../electron/studio/pictures.ts';
import { promptsPart } from '../../electron/studio/prompts.ts';
import { settingsPart } from '../../electron/studio/settings.ts';
import { subjectsPart } from '../../electron/studio/subjects.ts';
import { checkpoint, root, sleep } from './run.ts';
import type { Engine } from '../../native-models/tasks.ts';

/** The engine as the product starts it. */
export const realEngine = (): Engine =>
  processEngine(() =>
    fork(join(root, 'electron/engine/main.ts'), { stdio: ['ignore', 'inherit', 'pipe', 'ipc'], execArgv: ['--no-warnings'] }),
  );

export type Options = Pick<JobsOptions, 'at' | 'retrySeconds' | 'patience' | 'clock'> & { readonly engine: Pick<Engine, 'run' | 'close'> };

/** Opens the library in a folder that is there, as a new session. Nothing is taken before `queue.start`. */
export async function openWorking(home: string, options: Options) {
  const db = await openLibraryDatabase(home);
  const events: StudioEvent[] = [];
  const library: Library = { home, db, say: event => db.afterCommit(() => void events.push(event)) };
  const settings = settingsPart(library),
    subjects = subjectsPart(library),
    clips = clipsPart(library),
    pictures = picturesPart(library, { subjects, clips }),
    prompts = promptsPart(library),
    weights = catalogue(library, inProcessEngine, [{ name: 'Toybox', path: checkpoint }]);
  const engine: Engine = {
    run: (order, on, signal) => options.engine.run(order, on, signal),
    verify: (order, on, signal) => inProcessEngine.verify(order, on, signal),
    decode: (order, on, signal) => inProcessEngine.decode(order, on, signal),
    close: () => options.engine.close(),
  };
  const { at, retrySeconds = 0.05, patience, clock } = options;
  const work = startJobs(library, {
    engine: () => engine, subjects, pictures, prompts, files: { ...subjects.files, picture: sha256 => pictures.file(sha256) }, clips, catalogue: weights, settings: () => settings.current(), retrySeconds,
    ...(at && { at }), ...(patience && { patience }), ...(clock && { clock }),
  }); // prettier-ignore
  const { jobs, queue, subjects: s, clips: c, pictures: i, prompts: p, settings: t } = api;
  const table = { jobs, queue, subjects: s, clips: c, pictures: i, prompts: p, settings: t };
  const parts = { jobs: work.jobs, queue: work.queue, subjects, clips, pictures, prompts, settings };
  const studio = client(
    table,
    inProcess(
      host(table, parts, e => describeFailure(e, home)),
      () => () => undefined,
    ),
  );
  return {
    ...studio,
    library,
    work,
    events,
    /** Waits until a job has one of these statuses. */
    async until(id: JobId, ...statuses: JobStatus[]): Promise<Job> {
      for (const began = performance.now(); performance.now() - began < 60_000; await sleep(10)) {
        const job = work.get(id);
        if (statuses.includes(job.status)) return job;
      }
      throw new Error(`${id} is ${work.get(id).status}, not ${statuses.join(' or ')}: ${JSON.stringify(work.get(id).failure)}; ${JSON.stringify(await studio.queue.state(undefined))}`);
    },
    async close(): Promise<void> {
      await work.stop();
      db.close();
    },
  };
} // prettier-ignore
export type Working = Awaited<ReturnType<typeof openWorking>>;
