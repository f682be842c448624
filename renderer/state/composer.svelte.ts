/** @file What Create knows about the clip that is being composed: who is in it, what it will cost, and how it is queued. */
import { untrack } from 'svelte';
import type { StudioError } from '../../electron/contract/errors.ts';
import { expand } from '../../electron/contract/expand.ts';
import type { AdapterId, ClipId, JobId, PhotoId } from '../../electron/contract/ids.ts';
import type { Job, Picture, Subject } from '../../electron/contract/records.ts';
import { askAbove, type Batch, type Request, type ResolvedRequest } from '../../electron/contract/requests.ts';
import { qualities } from '../components/composer/sizes.ts';
import { readMentions, without } from '../components/composer/prompt.ts';
import { duration } from '../words/format.ts';
import { t } from '../words/index.svelte.ts';
import type { App } from './app.svelte.ts';
import { asStudioError, type Client } from './collections.svelte.ts';
import { bring, isPlaced, type Dropped } from './desktop.ts';

export type Forecasted = Awaited<ReturnType<Client['jobs']['forecast']>>;
/** A request that came from elsewhere, and what of it is not here. */
export interface Restored {
  /** The file's name, the clip's or job's. */
  readonly from: string;
  /** English sentences of the host, or ours; each a thing. */
  readonly missing: readonly { readonly text: string; readonly fromHost: boolean }[];
  readonly undo: () => void;
}
/** Milliseconds without a change before the studio is asked what it will cost. */
const patience = 250;
const isPicture = (file: Dropped['file']) =>
  isPlaced(file) ? /\.(jpe?g|jfif|png|webp|avif|heic|heif)$/i.test(file.name) : file.type.startsWith('image/');

export class Composer {
  readonly app: App;
  forecast = $state.raw<Forecasted>();
  /** Why it cannot be made as it is: the studio's sentence. */
  refusal = $state.raw<StudioError>();
  /** What is asked has changed since the forecast. */
  stale = $state(false);
  busy = $state(false);
  /** A handle is being written: it is nobody's yet. */
  naming = $state(false);
  /** A file is on its way, or being read. */
  reading = $state<string>();
  restored = $state.raw<Restored>();
  start = $state.raw<Picture>();
  /** Masks that were found by themselves and that somebody should look at. */
  doubtful = $state.raw<ReadonlySet<PhotoId>>(new Set());
  /** Puts the caret into the prompt. */
  focusPrompt: () => void = () => undefined;
  #tick = $state(0);

  constructor(app: App) {
    this.app = app;
  }

  get draft(): App['draft'] {
    return this.app.draft;
  }
  readonly checkpoint = $derived.by(() => {
    const { checkpoint } = this.draft.request;
    return checkpoint === null ? this.app.checkpoints.default : this.app.checkpoints.get(checkpoint);
  });
  readonly recommended = $derived.by(
    () =>
      this.checkpoint?.recommended ?? {
        width: 720,
        height: 480,
        numFrames: 49,
        fps: 8,
        numInferenceSteps: 50,
        guidanceScale: 6,
        scheduler: 'ddim' as const,
        adapterId: null,
      },
  );
  /** With nothing left open that a checkpoint says. */
  readonly width = $derived.by(() => this.draft.request.width ?? this.recommended.width);
  readonly height = $derived.by(() => this.draft.request.height ?? this.recommended.height);
  readonly numFrames = $derived.by(() => this.draft.request.numFrames ?? this.recommended.numFrames);
  readonly fps = $derived.by(() => this.draft.request.fps ?? this.recommended.fps);
  readonly steps = $derived.by(() => this.draft.request.numInferenceSteps ?? this.recommended.numInferenceSteps);
  readonly qualities = $derived.by(() => qualities(this.recommended.numInferenceSteps));

  readonly mentions = $derived.by(() => readMentions(this.draft.request.prompt, this.app.subjects.byHandle));
  /** Who is in it: named in the prompt, chosen beside it, or shown by a chosen photo. */
  readonly cast = $derived.by((): readonly Subject[] => {
    const { subjects, photos } = this.draft.request;
    const all = new Set<Subject>();
    for (const { subject } of this.mentions) if (subject) all.add(subject);
    for (const id of subjects) {
      const subject = this.app.subjects.get(id);
      if (subject) all.add(subject);
    }
    for (const id of photos ?? []) {
      const subject = this.app.subjects.all.find(s => s.photos.some(p => p.id === id));
      if (subject) all.add(subject);
    }
    return [...all];
  });
  /** The photos that reach the model. */
  readonly photos = $derived.by((): readonly PhotoId[] => {
    const { photos } = this.draft.request;
    return photos ?? this.cast.flatMap(s => s.heroPhotoId ?? []);
  });
  readonly adapters = $derived.by((): readonly { readonly id: AdapterId; readonly scale: number | null }[] => {
    const { adapters } = this.draft.request;
    if (adapters) return adapters;
    if (this.photos.length === 0) return [];
    const own = this.app.adapters.all.filter(a => a.subjects.some(id => this.cast.some(s => s.id === id)));
    if (own.length > 0) return own.map(({ id }) => ({ id, scale: null }));
    return this.recommended.adapterId === null ? [] : [{ id: this.recommended.adapterId, scale: null }];
  });

  readonly editing = $derived.by(() => (this.draft.editing === null ? undefined : this.app.jobs.get(this.draft.editing)));
  /** It can no longer be changed. */
  readonly editBegun = $derived.by(
    () => this.draft.editing !== null && this.app.jobs.loaded && this.editing?.status !== 'pending' && this.editing?.status !== 'paused',
  );
  /** Whether drafts are made now: not while a job is changed, nor where a grid runs over the steps. */
  readonly drafting = $derived.by(
    () =>
      this.draft.draftFirst &&
      this.draft.editing === null &&
      !this.draft.batch.grid.some(axis => axis.field === 'numInferenceSteps') &&
      this.draftSteps < this.steps,
  );
  readonly draftSteps = $derived.by(() => Math.min(this.qualities.draft, Math.max(1, Math.round(this.steps * 0.5))));
  readonly empty = $derived.by(() => this.draft.request.prompt.trim() === '');
  /** How many clips it will be, and why it cannot be any. */
  readonly clips = $derived.by((): { readonly count: number; readonly problem: string | undefined } => {
    try {
      return {
        count: expand(this.draft.request, this.draft.editing === null ? this.draft.batch : { seeds: 1, grid: [] }, () => 0).count,
        problem: undefined,
      };
    } catch (error) {
      return { count: 1, problem: asStudioError(error).message };
    }
  });

  /** What is asked for now. */
  asked(): { request: Request; batch: Batch } {
    const { request, batch } = this.draft.snapshot();
    return {
      request: this.drafting ? { ...request, numInferenceSteps: this.draftSteps } : request,
      batch: this.draft.editing === null ? batch : { seeds: 1, grid: [] },
    };
  }

  /** For an effect: asks what it will cost whenever it has changed for a moment; an answer that is not about what is there now is dropped. */
  watchForecast(): () => void {
    const asked = this.asked();
    const idle = this.#tick < 0 || this.empty || this.app.connection === 'lost' || this.clips.problem !== undefined;
    if (idle) {
      this.forecast = undefined;
      this.refusal = undefined;
      this.stale = false;
      return () => undefined;
    }
    untrack(() => (this.stale = true));
    if (this.naming) return () => undefined;
    const aborter = new AbortController();
    const timer = setTimeout(() => {
      this.app.api.jobs.forecast(asked, aborter.signal).then(
        forecast => {
          if (aborter.signal.aborted) return;
          this.forecast = forecast;
          this.refusal = undefined;
          this.stale = false;
        },
        (error: unknown) => {
          if (aborter.signal.aborted) return;
          this.forecast = undefined;
          this.refusal = asStudioError(error);
          this.stale = false;
        },
      );
    }, patience);
    return () => {
      clearTimeout(timer);
      aborter.abort();
    };
  }
  /** For an effect: what happens elsewhere may change the forecast. */
  watchStudio(): () => void {
    const again = () => {
      this.#tick++;
    };
    const stops = [
      this.app.on('subject', again),
      this.app.on('checkpoint', again),
      this.app.on('adapter', again),
      this.app.on('settings', again),
      this.app.on('restored', again),
      this.app.on('job', ({ job }) => job.status === 'completed' && again()),
    ];
    return () => stops.forEach(stop => stop());
  }
  /** For an effect: the picture that the clip begins with. */
  watchStart(): void {
    const { startImage } = this.draft.request;
    if (startImage === null) this.start = undefined;
    else if (untrack(() => this.start?.id) !== startImage)
      this.app.api.pictures.show({ id: startImage }).then(
        picture => {
          if (this.draft.request.startImage === startImage) this.start = picture;
        },
        () => undefined, // the forecast says why
      );
  }

  /** After the prompt was changed by hand: who is no longer named leaves. */
  promptChanged(before: string): void {
    const { byHandle } = this.app.subjects;
    const now = new Set(this.mentions.flatMap(m => m.subject?.id ?? []));
    for (const { subject } of readMentions(before, byHandle)) if (subject && !now.has(subject.id)) this.#leave(subject);
  }
  #leave(subject: Subject): void {
    this.draft.removeSubject(subject.id);
    const left = this.draft.request.photos?.filter(id => !subject.photos.some(p => p.id === id));
    if (left) this.draft.setPhotos(left.length > 0 ? left : null);
  }
  /** Out of the prompt and out of the references. */
  removeFromCast(subject: Subject): void {
    this.draft.request.prompt = without(
      this.draft.request.prompt,
      this.mentions.filter(m => m.subject?.id === subject.id),
    );
    this.#leave(subject);
  }
  /** The photos of a subject that are taken. */
  photosOf(subject: Subject): readonly PhotoId[] {
    return this.photos.filter(id => subject.photos.some(p => p.id === id));
  }
  /** Takes exactly these photos of a subject; none: its hero again. */
  choosePhotos(subject: Subject, ids: readonly PhotoId[]): void {
    const wanted = ids.length > 0 ? ids : subject.heroPhotoId === null ? [] : [subject.heroPhotoId];
    const all = this.cast.flatMap(s => (s.id === subject.id ? wanted : this.photosOf(s)));
    const heroes = this.cast.flatMap(s => s.heroPhotoId ?? []);
    const usual = all.length === heroes.length && all.every((id, i) => id === heroes[i]);
    this.draft.setPhotos(usual || all.length === 0 ? null : [...all]);
  }

  /** Queues it.
   * @param next before all that wait */
  async queue(next = false): Promise<void> {
    const { app, draft } = this;
    if (this.busy) return;
    if (this.empty) {
      this.focusPrompt();
      app.say(t('create.writeFirst'));
      return;
    }
    const { count, problem } = this.clips;
    if (problem !== undefined) return app.say(problem);
    // as it is now: by the time somebody has answered, Create may have gone, and with it what is derived here
    const asked = this.asked(),
      full = this.drafting ? draft.request.numInferenceSteps : undefined;
    let confirmed = false;
    if (count > askAbove) {
      const seconds = this.stale ? null : (this.forecast?.all.seconds ?? null);
      confirmed = await app.ask({
        title: t('create.askTitle', { n: count }),
        text: seconds === null ? t('create.askUnknown') : t('create.askTime', { time: duration(seconds) }),
        confirm: t('create.askConfirm', { n: count }),
      });
      if (!confirmed) return;
    }
    await this.#enqueue({ ...asked, confirmed, next }, full);
  }
  async #enqueue(
    asked: Parameters<Client['jobs']['enqueue']>[0] & { readonly batch: Batch },
    full: number | null | undefined,
  ): Promise<void> {
    const { app, draft } = this;
    this.busy = true;
    try {
      const jobs = await app.undo.during(async () => {
        const made = await app.api.jobs.enqueue(asked);
        this.#queued(made.jobs, full);
        return made.jobs;
      });
      const first = jobs[0];
      if (first) draft.lastSeed = first.resolved.seed;
      if (draft.request.seed !== null && !draft.seedLocked) draft.request.seed += asked.batch.seeds;
    } catch (error) {
      const { message } = asStudioError(error);
      if (message === this.refusal?.message)
        app.say(message); // it stands above the button
      else app.failed(error, () => void this.#enqueue(asked, full));
    } finally {
      this.busy = false;
    }
  }
  #queued(jobs: readonly Job[], full: number | null | undefined): void {
    const { app } = this;
    for (const job of jobs) if (!app.jobs.get(job.id)) app.jobs.put(job); // an event may have been faster, and tells more
    this.draft.remember(jobs, full);
    const label = t(full === undefined ? 'create.queued' : 'create.queuedDrafts', { n: jobs.length });
    const step = {
      label,
      undo: async () => {
        for (const { id } of jobs) {
          const status = app.jobs.get(id)?.status;
          if (status !== 'completed' && status !== 'canceled') await app.api.jobs.cancel({ id });
        }
      },
      redo: async () => {
        for (const { id } of jobs) if (app.jobs.get(id)?.status === 'canceled') await app.api.jobs.retry({ id });
      },
    };
    app.undo.push(step);
    app.toast({
      text: label,
      buttons: [
        { label: t('frame.openQueue'), run: () => (app.queueOpen = true) },
        { label: t('frame.undo'), run: () => void app.takeBack(step) },
      ],
    });
  }
  /** The whole clip of a draft: the same request and seed, with all steps. */
  async makeWhole(job: Job): Promise<void> {
    const { app, draft } = this;
    const steps = draft.fullSteps[job.id] ?? null;
    const { resolved } = job;
    const request: Request = {
      ...job.request,
      seed: resolved.seed,
      numInferenceSteps: steps,
      checkpoint: resolved.checkpoint.id,
      photos: resolved.references.length > 0 ? resolved.references.map(r => r.photoId) : null,
    };
    try {
      await app.undo.during(async () => this.#queued((await app.api.jobs.enqueue({ request })).jobs, undefined));
    } catch (error) {
      app.failed(error, () => void this.makeWhole(job));
    }
  }
  /** Keeps the changes of the job that is edited. */
  async save(): Promise<void> {
    const { app, draft } = this;
    const id = draft.editing;
    if (id === null || this.busy) return;
    const before = this.editing?.request;
    const { request } = this.asked();
    this.busy = true;
    const done = await app.act(
      t('create.saved'),
      () => app.api.jobs.edit({ id, request }),
      before && (() => app.api.jobs.edit({ id, request: before })),
    );
    this.busy = false;
    if (!done) return;
    app.jobs.put(done);
    draft.leave();
  }

  /** Takes over a request; what was composed can come back. */
  take(request: Request, seed: 'keep' | 'new', from: string, missing: Restored['missing'] = []): void {
    const { app, draft } = this;
    const before = draft.snapshot();
    const put = () => {
      draft.load(request, seed);
      return Promise.resolve();
    };
    void put();
    const step = {
      label: t('create.restoredStep', { from }),
      undo: () => {
        draft.restore(before);
        if (this.restored === told) this.restored = undefined;
        return Promise.resolve();
      },
      redo: put,
    };
    const told: Restored = { from, missing, undo: () => void app.takeBack(step) };
    app.undo.push(step);
    this.restored = told;
    app.say(t('create.restored', { from }));
  }
  /** The request of a clip or a job of this library. */
  async takeFrom(id: ClipId | JobId, seed: 'keep' | 'new'): Promise<void> {
    const { app } = this;
    try {
      const [{ request, resolved }] = await Promise.all([
        app.api.requests.of({ id }),
        app.subjects.ensure(),
        app.checkpoints.ensure(),
        app.adapters.ensure(),
      ]);
      const name = id.startsWith('c') ? ((await app.clips.find(id as ClipId))?.name ?? id) : t('create.ofJob');
      const { present, missing } = await this.#present({ ...request, seed: resolved?.seed ?? request.seed }, resolved);
      this.take(present, seed, name, missing);
    } catch (error) {
      app.failed(error, () => void this.takeFrom(id, seed));
    }
  }
  /** What of a request is still there, with the photos that it had.
   * @param resolved what it stood for, with the names of what is gone */
  async #present(request: Request, resolved: ResolvedRequest | null): Promise<{ present: Request; missing: Restored['missing'] }> {
    const { app } = this;
    const missing: string[] = [];
    const had = resolved?.subjects ?? request.subjects.map(id => ({ id, name: id }));
    for (const { id, name } of had) if (!app.subjects.get(id)) missing.push(t('create.missingSubject', { name }));
    const there = new Map(app.subjects.all.flatMap(s => s.photos).map(p => [p.id, p]));
    const photos = (resolved?.references.map(r => r.photoId) ?? request.photos ?? []).filter(id => {
      const photo = there.get(id);
      if (photo && !photo.removed && !photo.missing) return true;
      missing.push(t('create.missingPhoto', { name: photo?.name ?? id }));
      return false;
    });
    const adapters =
      request.adapters?.filter(({ id }) => {
        if (app.adapters.get(id)?.missing === false) return true;
        missing.push(t('create.missingAdapter', { name: resolved?.adapters.find(a => a.id === id)?.name ?? id }));
        return false;
      }) ?? null;
    let { checkpoint, startImage } = request;
    if (checkpoint !== null && app.checkpoints.get(checkpoint)?.missing !== false) {
      missing.push(t('create.missingCheckpoint', { name: resolved?.checkpoint.name ?? checkpoint }));
      checkpoint = null;
    }
    if (startImage !== null) {
      const picture = await app.api.pictures.show({ id: startImage }).catch(() => undefined);
      if (picture?.missing !== false) {
        missing.push(t('create.missingStart', { name: picture?.name ?? startImage }));
        startImage = null;
      }
    }
    const heroes = had.flatMap(({ id }) => app.subjects.get(id)?.heroPhotoId ?? []);
    const usual = photos.length === 0 || photos.join() === heroes.join();
    const subjects = request.subjects.filter(id => app.subjects.get(id));
    return {
      present: { ...request, subjects, photos: usual ? null : photos, adapters, checkpoint, startImage },
      missing: missing.map(text => ({ text, fromHost: false })),
    };
  }
  /** What made a file that was dropped, pasted or chosen. */
  takeFile(file: Dropped['file']): Promise<void> {
    return this.#takeFrom(file.name, async () => (await bring(this.app, file)).path, file);
  }
  /** What made a clip that the system has handed in. */
  takeHandedIn(): void {
    const { draft } = this,
      { handedIn } = draft;
    if (!handedIn) return;
    draft.handedIn = undefined;
    void this.#takeFrom(handedIn.name, () => Promise.resolve(handedIn.id));
  }
  async #takeFrom(name: string, find: () => Promise<string>, file?: Dropped['file']): Promise<void> {
    const { app } = this;
    this.reading = name;
    try {
      const { request, missing } = await app.api.requests.read({ path: await find() });
      if (request)
        this.take(
          request,
          'keep',
          name,
          missing.map(text => ({ text, fromHost: true })),
        );
      else
        app.toast({
          kind: 'told',
          text: t('create.nothingInside', { name }),
          buttons: file && isPicture(file) ? [{ label: t('create.useAsStart'), run: () => void this.startWith(file) }] : [],
        });
    } catch (error) {
      app.failed(error, () => void this.#takeFrom(name, find, file));
    } finally {
      this.reading = undefined;
    }
  }
  /** The clip begins with it. */
  async startWith(from: Dropped['file'] | { readonly photo: PhotoId } | { readonly clip: ClipId; readonly frame: number }): Promise<void> {
    const { app, draft } = this;
    const before = draft.request.startImage;
    if ('name' in from) this.reading = from.name;
    await app.act(
      t('create.startSet'),
      async () => {
        const picture = await app.api.pictures.add({
          from: 'name' in from ? await bring(app, from) : from,
        });
        this.start = picture;
        draft.setStart(picture.id);
      },
      () => {
        draft.setStart(before);
        return Promise.resolve();
      },
    );
    this.reading = undefined;
  }
  /** Finds the masks that are missing, and keeps them.
   * @param ids photos without one */
  async cutOut(ids: readonly PhotoId[]): Promise<void> {
    const { app } = this;
    for (const id of ids) {
      this.reading = t('create.cuttingOut');
      const found = await app.act(undefined, () => app.api.photos.cutOut({ id }));
      if (!found) break;
      const kept = await app.act(
        t('create.maskMade'),
        () => app.api.subjects.editPhoto({ id, mask: found.mask }),
        () => app.api.subjects.editPhoto({ id, mask: null }),
      );
      if (!kept) break;
      app.subjects.put(kept);
      if (found.doubtful) this.doubtful = new Set([...this.doubtful, id]);
    }
    this.reading = undefined;
  }
  subjectOf(photo: PhotoId): Subject | undefined {
    return this.cast.find(s => s.photos.some(p => p.id === photo));
  }
}
