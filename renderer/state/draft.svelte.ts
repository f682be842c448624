/** @file The clip that is being composed: it survives going elsewhere, and a reload. */
import { z } from 'zod';
import { jobId, type JobId, type PhotoId, type PictureId, type SubjectId } from '../../electron/contract/ids.ts';
import type { Job, Subject } from '../../electron/contract/records.ts';
import { longestHandle, mentionsIn } from '../../electron/contract/handles.ts';
import { batch as batchSchema, request as requestSchema, type Batch, type Request } from '../../electron/contract/requests.ts';

/** A request as it is composed: the prompt may still be empty. */
export type Draft = Request;
/** All that a person has composed. */
export interface Composed {
  readonly request: Draft;
  readonly batch: Batch;
  readonly seedLocked: boolean;
}
/** Jobs of this window's session that are remembered for the strip of results. */
const mostMade = 60;
const empty = (): Draft => ({ ...requestSchema.parse({ prompt: 'x' }), prompt: '' });
const emptyBatch = (): Batch => batchSchema.parse({});
const composed = z.object({ request: requestSchema, batch: batchSchema, seedLocked: z.boolean() });
const kept = z.object({
  draft: requestSchema,
  batch: batchSchema,
  jobId: jobId.nullable(),
  seedLocked: z.boolean().default(false),
  before: composed.nullable().default(null),
  draftFirst: z.boolean().default(false),
  lastSeed: z.number().nullable().default(null),
  made: z.array(jobId).default([]),
  fullSteps: z.record(z.string(), z.number().nullable()).default({}),
});
const storageKey = 'protagonist.draft';

export class DraftState {
  request = $state<Draft>(empty());
  batch = $state<Batch>(emptyBatch());
  /** The seed stays from clip to clip. */
  seedLocked = $state(false);
  /** A waiting job that is being changed instead of a new one being made. */
  editing = $state<JobId | null>(null);
  /** Fewer steps at first; what pleases is made whole with the same seed. */
  draftFirst = $state(false);
  /** Of the clip that was queued last. */
  lastSeed = $state<number | null>(null);
  /** A clip that the system has handed in: what made it is to be composed. */
  handedIn = $state<{ readonly id: string; readonly name: string }>();
  /** What this session has queued, the newest first. */
  made = $state.raw<readonly JobId[]>([]);
  /** Drafts among them, and the steps of the whole clip (null: as the checkpoint recommends). */
  fullSteps = $state.raw<Readonly<Record<string, number | null>>>({});
  /** What was composed before a job was taken up to be changed. */
  #before = $state.raw<Composed | null>(null);

  constructor() {
    try {
      const all = kept.parse(JSON.parse(sessionStorage.getItem(storageKey) ?? 'null'));
      this.request = all.draft;
      this.batch = all.batch;
      this.editing = all.jobId;
      this.seedLocked = all.seedLocked;
      this.draftFirst = all.draftFirst;
      this.lastSeed = all.lastSeed;
      this.made = all.made;
      this.fullSteps = all.fullSteps;
      this.#before = all.before;
    } catch {
      // nothing was kept, or by another version
    }
  }
  /** For an effect: keeps it as it is now. */
  keep(): void {
    const { request: draft, batch, editing, seedLocked, draftFirst, lastSeed, made, fullSteps } = this;
    const all = { draft, batch, jobId: editing, seedLocked, before: this.#before, draftFirst, lastSeed, made, fullSteps };
    sessionStorage.setItem(storageKey, JSON.stringify(all));
  }
  clear(): void {
    this.request = empty();
    this.batch = emptyBatch();
    this.editing = null;
    this.seedLocked = false;
  }
  /** Nothing has been composed yet. */
  get isEmpty(): boolean {
    const { prompt, subjects, startImage } = this.request;
    return prompt.trim() === '' && subjects.length === 0 && startImage === null;
  }
  /** All of it as it is now. */
  snapshot(): Composed {
    return $state.snapshot({ request: this.request, batch: this.batch, seedLocked: this.seedLocked });
  }
  /** As it was. */
  restore({ request, batch, seedLocked }: Composed): void {
    this.request = request;
    this.batch = batch;
    this.seedLocked = seedLocked;
  }
  /** Takes over a request whole.
   * @param seed `keep`: the same clip again; `new`: all but the seed */
  load(request: Request, seed: 'keep' | 'new'): void {
    if (this.editing === null) this.#before = this.snapshot();
    this.request = { ...request, seed: seed === 'keep' ? request.seed : null };
    this.seedLocked = seed === 'keep' && request.seed !== null;
    this.batch = emptyBatch();
    this.editing = null;
  }
  /** Takes up a waiting job; `leave` brings back what is here now. */
  edit({ id, request }: Pick<Job, 'id' | 'request'>): void {
    this.load(request, 'keep');
    this.editing = id;
  }
  /** Ends the changing of a job. */
  leave(): void {
    this.editing = null;
    if (this.#before) this.restore(this.#before);
    else this.clear();
    this.#before = null;
  }
  /** Ends it and keeps what is here: it becomes a clip of its own. */
  detach(): void {
    this.editing = null;
    this.#before = null;
  }
  /** Names a subject in the prompt, where it is not named yet, and takes it among the subjects. */
  addSubject({ id, handle }: Pick<Subject, 'id' | 'handle'>): void {
    const { prompt, subjects } = this.request;
    if (!mentionsIn(prompt).some(m => longestHandle(m.run, known => (known === handle ? true : undefined))))
      this.request.prompt = prompt.trim() === '' ? `@${handle} ` : `${prompt.trimEnd()} @${handle} `;
    if (!subjects.includes(id)) this.request.subjects = [...subjects, id];
  }
  removeSubject(id: SubjectId): void {
    this.request.subjects = this.request.subjects.filter(s => s !== id);
  }
  setPhotos(photos: PhotoId[] | null): void {
    this.request.photos = photos;
  }
  setStart(picture: PictureId | null): void {
    this.request.startImage = picture;
  }
  /** Remembers what was queued.
   * @param full of drafts: the steps of the whole clips; undefined: they are whole */
  remember(jobs: readonly Pick<Job, 'id'>[], full: number | null | undefined): void {
    const ids = jobs.map(j => j.id);
    this.made = [...ids.toReversed(), ...this.made].slice(0, mostMade);
    const here = new Set<string>(this.made);
    const drafts = Object.entries(this.fullSteps).filter(([id]) => here.has(id));
    if (full !== undefined) drafts.push(...ids.filter(id => here.has(id)).map(id => [id, full] as [string, number | null]));
    this.fullSteps = Object.fromEntries(drafts);
  }
}
