/** @file The first clip: from a press of one button to a video that plays, and what is remembered of it when the page is loaded again. */
import type { StudioError } from '../../../electron/contract/errors.ts';
import type { JobId } from '../../../electron/contract/ids.ts';
import type { Clip, Job } from '../../../electron/contract/records.ts';
import { asStudioError } from '../../state/collections.svelte.ts';
import type { App } from '../../state/app.svelte.ts';
import { toys, type Toy } from './toys.ts';

const storageKey = 'protagonist.firstClip';
/** Seconds between previews of the first clip: it is over so fast that the usual ones would come too late. */
const quick = 1.5;

/** How far a phase has brought the whole, of 0 to 1: what phases of a Toybox clip take, roughly, on a processor. */
const shares = {
  load: [0, 0.1],
  encode: [0.1, 0.18],
  denoise: [0.18, 0.85],
  decode: [0.85, 0.96],
  export: [0.96, 1],
  train: [0, 1],
  save: [0, 1],
} as const;

export class FirstClip {
  toy = $state.raw<Toy>(toys[0]!);
  /** Between the press and the job. */
  starting = $state(false);
  failure = $state.raw<StudioError>();
  clip = $state.raw<Clip>();
  #jobId = $state<JobId>();
  readonly #app: App;

  constructor(app: App) {
    this.#app = app;
    try {
      const { handle, jobId } = JSON.parse(sessionStorage.getItem(storageKey) ?? '{}') as { handle?: string; jobId?: JobId };
      this.toy = toys.find(toy => toy.handle === handle) ?? this.toy;
      this.#jobId = jobId;
    } catch {
      // another version kept something else
    }
    void this.#recall();
  }
  get job(): Job | undefined {
    return this.#jobId && this.#app.jobs.get(this.#jobId);
  }
  get state(): 'choosing' | 'making' | 'failed' | 'done' {
    if (this.failure) return 'failed';
    if (this.clip) return 'done';
    if (this.starting || (this.#jobId && !this.job)) return 'making';
    switch (this.job?.status) {
      case undefined:
      case 'canceled':
        return 'choosing';
      case 'failed':
        return 'failed';
      default:
        return 'making'; // a completed one's clip is being read
    }
  }
  /** 0 to 1 of all of it. */
  get part(): number {
    const progress = this.job && this.#app.jobs.progress(this.job.id);
    if (!progress) return 0;
    const [from, to] = shares[progress.phase as keyof typeof shares];
    return from + (to - from) * (progress.of > 0 ? progress.step / progress.of : 0);
  }

  choose(toy: Toy): void {
    this.toy = toy;
  }
  /** Adds the samples and queues one clip before everything that waits. */
  async make(): Promise<void> {
    if (this.starting) return;
    const { api, checkpoints, jobs, settings } = this.#app;
    this.again();
    this.starting = true;
    const usual = settings.now.previewSeconds;
    try {
      await checkpoints.ensure();
      const { subjects } = await api.subjects.addSamples(undefined);
      const { handle, name, prompt, seed } = this.toy;
      const subject = subjects.find(s => s.handle === handle) ?? subjects.find(s => s.name === name) ?? subjects[0]!;
      await settings.edit({ welcomed: true, ...(usual > quick && { previewSeconds: quick }) });
      const queued = await api.jobs.enqueue({
        request: {
          prompt: `@${subject.handle} ${prompt}`,
          subjects: [subject.id],
          seed,
          checkpoint: checkpoints.all.find(c => c.embedded)?.id ?? null,
        },
        next: true,
      });
      const job = queued.jobs[0]!;
      jobs.put(job);
      this.#jobId = job.id;
      this.#remember();
      const { state } = await api.queue.state(undefined);
      if (state === 'stopped') await api.queue.start(undefined);
      if (state === 'paused') await api.queue.resume(undefined);
      await this.#begun(job.id);
    } catch (error) {
      this.failure = asStudioError(error);
    } finally {
      this.starting = false;
      if (usual > quick && settings.now.previewSeconds === quick) await settings.edit({ previewSeconds: usual }).catch(() => undefined);
    }
  }
  async stop(): Promise<void> {
    const job = this.job;
    if (!job) return;
    await this.#app.api.jobs.cancel({ id: job.id });
    this.again();
  }
  /** Back to the choice. */
  again(): void {
    this.#jobId = undefined;
    this.clip = undefined;
    this.failure = undefined;
    sessionStorage.removeItem(storageKey);
  }
  /** For an effect: finds the clip once its job is done. */
  follow(): void {
    const { job } = this;
    if (job?.status === 'completed' && job.clipId)
      void this.#app.clips.find(job.clipId).then(
        clip => {
          if (this.#jobId === job.id) this.clip = clip;
        },
        (error: unknown) => (this.failure = asStudioError(error)),
      );
  }
  #remember(): void {
    sessionStorage.setItem(storageKey, JSON.stringify({ handle: this.toy.handle, jobId: this.#jobId }));
  }
  /** A job that ended long ago is on no list. */
  async #recall(): Promise<void> {
    const id = this.#jobId;
    if (!id) return;
    await this.#app.jobs.ensure();
    if (this.#app.jobs.get(id)) return;
    try {
      this.#app.jobs.put(await this.#app.api.jobs.show({ id }));
    } catch {
      this.again();
    }
  }
  /** Waits until it runs, or will not: it has taken its settings along by then. */
  #begun(id: JobId): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const look = () => {
      const status = this.#app.jobs.get(id)?.status;
      if (status !== 'pending' && status !== undefined) resolve(undefined);
    };
    const stop = this.#app.on('job', ({ job }) => {
      if (job.id === id && job.status !== 'pending') resolve(undefined);
    });
    const timer = setInterval(look, 500);
    setTimeout(() => resolve(undefined), 20_000);
    look();
    return promise.finally(() => {
      stop();
      clearInterval(timer);
    });
  }
}
