/** @file The library as the window knows it: records that events keep fresh. */
import { SvelteMap } from 'svelte/reactivity';
import type { ClientOf } from '../../electron/contract/rpc.ts';
import type { api } from '../../electron/contract/api.ts';
import type { QueueState, StudioEvent } from '../../electron/contract/events.ts';
import type { ClipId, JobId } from '../../electron/contract/ids.ts';
import type {
  Adapter,
  Checkpoint,
  Clip,
  Download,
  Exported,
  Job,
  Machine,
  Network,
  Progress,
  Settings,
  Subject,
} from '../../electron/contract/records.ts';
import { settings as settingsSchema } from '../../electron/contract/records.ts';
import { StudioError } from '../../electron/contract/errors.ts';

export type Client = ClientOf<typeof api>;
export type On = <T extends StudioEvent['type']>(type: T, listener: (event: Extract<StudioEvent, { type: T }>) => void) => () => void;

const numberOf = (id: string) => Number(id.slice(1));

/** Records of one kind, all of them: read once, then kept by events, read again after a reconnection. */
abstract class Records<T extends { readonly id: string }> {
  protected readonly byId = new SvelteMap<string, T>();
  loaded = $state(false);
  failure = $state<StudioError>();
  #loading: Promise<void> | undefined;
  #again: Promise<void> | undefined;
  /** What was put or dropped while all of them are read: that is never older than what is read. */
  #told: Set<string> | undefined;

  protected abstract read(): Promise<readonly T[]>;
  /** Whether it belongs to what is shown. */
  protected keeps: (record: T) => boolean = () => true;
  get(id: string): T | undefined {
    return this.byId.get(id);
  }
  put(record: T): void {
    this.#told?.add(record.id);
    if (this.keeps(record)) this.byId.set(record.id, record);
    else this.byId.delete(record.id);
  }
  drop(id: string): void {
    this.#told?.add(id);
    this.byId.delete(id);
  }
  /** Reads all of them, again if they are there: as they are now, or later. */
  load(): Promise<void> {
    if (!this.#loading) return (this.#loading = this.#read().finally(() => (this.#loading = undefined)));
    // what is on its way may have been read before what has just happened
    return (this.#again ??= this.#loading.then(() => {
      this.#again = undefined;
      return this.load();
    }));
  }
  async #read(): Promise<void> {
    const told = (this.#told = new Set<string>());
    try {
      const records = await this.read(),
        there = new Set(records.map(r => r.id));
      for (const id of [...this.byId.keys()]) if (!there.has(id) && !told.has(id)) this.byId.delete(id);
      for (const record of records) if (!told.has(record.id)) this.put(record);
      this.failure = undefined;
      this.loaded = true;
    } catch (error) {
      this.failure = asStudioError(error);
    }
    this.#told = undefined;
  }
  /** Reads them unless they are there, or on their way. */
  ensure(): Promise<void> {
    return this.loaded ? Promise.resolve() : (this.#loading ?? this.load());
  }
}
export const asStudioError = (error: unknown): StudioError =>
  error instanceof StudioError ? error : new StudioError('bug', error instanceof Error ? error.message : String(error));

export class Subjects extends Records<Subject> {
  /** The newest first. */
  readonly all = $derived([...this.byId.values()].sort((a, b) => numberOf(b.id) - numberOf(a.id)));
  readonly byHandle = $derived(new Map(this.all.map(s => [s.handle, s])));
  readonly #api: Client;

  constructor(api: Client, on: On) {
    super();
    this.#api = api;
    on('subject', ({ subject }) => this.put(subject));
    on('gone', ({ id }) => this.drop(id));
    on('restored', () => this.loaded && void this.load());
  }
  protected override keeps = (subject: Subject): boolean => !subject.removed;
  protected async read(): Promise<readonly Subject[]> {
    const all: Subject[] = [];
    for (let after: Subject['id'] | null = null; ;) {
      const { subjects, next }: { subjects: Subject[]; next: Subject['id'] | null } = await this.#api.subjects.list({ limit: 200, after });
      all.push(...subjects);
      if (next === null) return all;
      after = next;
    }
  }
}

const open: ReadonlySet<string> = new Set(['pending', 'inProgress', 'paused', 'failed']);
/** Ended jobs that stay in view: what was canceled can come back, what is done leads to its clip. */
const endedInView = 60;

export class Jobs extends Records<Job> {
  queue = $state.raw<QueueState>({ state: 'stopped', text: null, running: [], waiting: 0, secondsLeft: null });
  readonly #progress = new SvelteMap<string, Progress & { readonly at: number }>();
  readonly #previews = new SvelteMap<string, { readonly step: number; readonly url: string }>();
  readonly running = $derived([...this.byId.values()].filter(j => j.status === 'inProgress'));
  /** In the order of the queue. */
  readonly waiting = $derived(
    [...this.byId.values()]
      .filter(j => j.status === 'pending' || j.status === 'paused')
      .sort((a, b) => (a.position ?? 1e9) - (b.position ?? 1e9)),
  );
  readonly failed = $derived([...this.byId.values()].filter(j => j.status === 'failed').sort((a, b) => numberOf(b.id) - numberOf(a.id)));
  /** The latest first. */
  readonly ended = $derived(
    [...this.byId.values()]
      .filter(j => j.status === 'completed' || j.status === 'canceled')
      .sort((a, b) => (b.endedAt ?? '').localeCompare(a.endedAt ?? '')),
  );
  readonly #api: Client;

  constructor(api: Client, on: On) {
    super();
    this.#api = api;
    let timer: ReturnType<typeof setTimeout> | undefined;
    // one that is new or has moved changes the places of others, of which nothing is said
    const reorder = () => {
      clearTimeout(timer);
      timer = setTimeout(() => void this.load(), 250);
    };
    on('job', ({ job }) => {
      this.put(job);
      if (!open.has(job.status) || job.status === 'failed') {
        this.#progress.delete(job.id);
        this.#previews.delete(job.id);
      } else if (job.progress) this.#progress.set(job.id, { ...job.progress, at: Date.now() });
      if (job.position !== null && this.loaded) reorder();
      if (job.status === 'completed' || job.status === 'canceled') for (const old of this.ended.slice(endedInView)) this.drop(old.id);
    });
    on('progress', ({ jobId, progress }) => this.#progress.set(jobId, { ...progress, at: Date.now() }));
    on('preview', ({ jobId, step, jpeg }) => this.#previews.set(jobId, { step, url: pictureUrl(jpeg, this.#previews.get(jobId)?.url) }));
    on('queue', ({ queue }) => (this.queue = queue));
    on('gone', ({ id }) => this.drop(id));
    on('restored', () => this.loaded && void this.load());
  }
  /** How far a running job is, and when that was told (Date.now()). */
  progress(id: string): (Progress & { readonly at: number }) | undefined {
    return this.#progress.get(id);
  }
  /** What it looks like now: a URL of a small picture. */
  preview(id: string): { readonly step: number; readonly url: string } | undefined {
    return this.#previews.get(id);
  }
  protected async read(): Promise<readonly Job[]> {
    this.queue = await this.#api.queue.state(undefined);
    const all: Job[] = [];
    const pages = async (status: Job['status'][], most: number) => {
      for (let after: JobId | null = null, n = 0; n < most;) {
        const { jobs, next }: { jobs: Job[]; next: JobId | null } = await this.#api.jobs.list({
          limit: Math.min(500, most),
          after,
          status,
        });
        all.push(...jobs);
        n += jobs.length;
        if (next === null) return;
        after = next;
      }
    };
    await pages(['pending', 'inProgress', 'paused'], 20_000);
    await pages(['failed'], 200);
    await pages(['completed', 'canceled'], endedInView);
    for (const job of all) if (job.progress) this.#progress.set(job.id, { ...job.progress, at: Date.now() });
    return all;
  }
}
/** `data:` is no source under the policy: pictures that come in events become blobs. */
function pictureUrl(base64: string, before: string | undefined): string {
  if (before !== undefined) setTimeout(() => URL.revokeObjectURL(before), 5000); // it may be on the screen
  const bytes = Uint8Array.from(atob(base64), c => c.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: 'image/jpeg' }));
}

export class Checkpoints extends Records<Checkpoint> {
  readonly all = $derived([...this.byId.values()].sort((a, b) => numberOf(a.id) - numberOf(b.id)));
  readonly default = $derived(this.all.find(c => c.isDefault));
  readonly #api: Client;
  constructor(api: Client, on: On) {
    super();
    this.#api = api;
    on('checkpoint', ({ checkpoint }) => {
      this.put(checkpoint);
      if (checkpoint.isDefault) void this.load(); // the one that was has changed too
    });
    on('gone', ({ id }) => this.drop(id));
    on('restored', () => this.loaded && void this.load());
  }
  protected async read(): Promise<readonly Checkpoint[]> {
    return (await this.#api.checkpoints.list(undefined)).checkpoints;
  }
}

export class Adapters extends Records<Adapter> {
  readonly all = $derived([...this.byId.values()].sort((a, b) => numberOf(a.id) - numberOf(b.id)));
  readonly #api: Client;
  constructor(api: Client, on: On) {
    super();
    this.#api = api;
    on('adapter', ({ adapter }) => this.put(adapter));
    on('gone', ({ id }) => this.drop(id));
    on('restored', () => this.loaded && void this.load());
  }
  protected async read(): Promise<readonly Adapter[]> {
    return (await this.#api.adapters.list(undefined)).adapters;
  }
}

export class Exports extends Records<Exported> {
  /** The newest first. */
  readonly all = $derived([...this.byId.values()].sort((a, b) => numberOf(b.id) - numberOf(a.id)));
  readonly active = $derived(this.all.filter(e => e.status === 'waiting' || e.status === 'running'));
  readonly #api: Client;
  constructor(api: Client, on: On) {
    super();
    this.#api = api;
    on('export', ({ export: exported }) => this.put(exported));
    on('gone', ({ id }) => this.drop(id));
    on('restored', () => this.loaded && void this.load());
  }
  protected async read(): Promise<readonly Exported[]> {
    return (await this.#api.exports.list({ limit: 200 })).exports;
  }
}

export class Downloads extends Records<Download> {
  readonly all = $derived([...this.byId.values()]);
  network = $state.raw<Network>();
  readonly #api: Client;
  constructor(api: Client, on: On) {
    super();
    this.#api = api;
    on('download', ({ download }) => this.put(download));
    on('network', ({ network }) => (this.network = network));
    on('settings', () => this.loaded && void this.load()); // the offline switch
    on('restored', () => this.loaded && void this.load());
  }
  protected async read(): Promise<readonly Download[]> {
    const { downloads, network } = await this.#api.downloads.list(undefined);
    this.network = network;
    return downloads;
  }
}

/** What is set. Before the host has said it, the usual. */
export class SettingsState {
  /** As the host has them. */
  #kept = $state.raw<Settings>(settingsSchema.parse({}));
  /** What it has not answered yet, the latest last: an answer to the one before last takes none of it back. */
  #changes = $state.raw<readonly Partial<Settings>[]>([]);
  readonly now = $derived<Settings>(Object.assign({}, this.#kept, ...this.#changes));
  loaded = $state(false);
  failure = $state<StudioError>();
  readonly #api: Client;
  constructor(api: Client, on: On) {
    this.#api = api;
    on('settings', ({ settings }) => (this.#kept = settings));
    on('restored', () => this.loaded && void this.load());
  }
  async load(): Promise<void> {
    try {
      this.#kept = await this.#api.settings.show(undefined);
      this.loaded = true;
      this.failure = undefined;
    } catch (error) {
      this.failure = asStudioError(error);
    }
  }
  /** Shown at once; what was before comes back where the host refuses.
   * @throws StudioError */
  async edit(changes: Partial<Omit<Settings, 'version'>>): Promise<void> {
    this.#changes = [...this.#changes, changes];
    try {
      this.#kept = await this.#api.settings.edit(changes);
    } finally {
      this.#changes = this.#changes.filter(other => other !== changes);
    }
  }
}

export class MachineState {
  now = $state.raw<Machine>();
  failure = $state<StudioError>();
  #asked: Promise<void> | undefined;
  readonly #api: Client;
  constructor(api: Client) {
    this.#api = api;
  }
  ensure(): Promise<void> {
    return (this.#asked ??= this.#api.host.machine(undefined).then(
      machine => {
        this.now = machine;
        this.failure = undefined;
      },
      (error: unknown) => {
        this.failure = asStudioError(error);
        this.#asked = undefined;
      },
    ));
  }
}

/** Clip records that are kept: several screens of the densest grid. */
const clipsKept = 1500;
/** Records of clips, those that were looked at last; a hundred thousand never lie here at once. */
export class Clips {
  readonly #records = new SvelteMap<ClipId, Clip>();
  readonly #used = new Map<ClipId, true>(); // in the order of use, the oldest first
  readonly #gone = new Set<ClipId>();
  #wanted = new Map<ClipId, PromiseWithResolvers<Clip | undefined>>();
  readonly #api: Client;
  readonly on: On;

  constructor(api: Client, on: On) {
    this.#api = api;
    this.on = on;
    on('clip', ({ clip }) => {
      if (this.#records.has(clip.id)) this.#records.set(clip.id, clip);
    });
    on('gone', ({ id }) => {
      this.#records.delete(id as ClipId);
      this.#gone.add(id as ClipId);
    });
    on('restored', () => {
      this.#records.clear();
      this.#used.clear();
      this.#gone.clear();
    });
  }
  /** What is known of it now. */
  record(id: ClipId): Clip | undefined {
    return this.#records.get(id);
  }
  put(clip: Clip): Clip {
    this.#records.set(clip.id, clip);
    this.#touch(clip.id);
    return clip;
  }
  /** Its record; read together with all others that are asked for at the same moment. Undefined: it is gone. */
  find(id: ClipId): Promise<Clip | undefined> {
    const known = this.#records.get(id);
    if (known) {
      this.#touch(id);
      return Promise.resolve(known);
    }
    if (this.#gone.has(id)) return Promise.resolve(undefined);
    const wanted = this.#wanted.get(id);
    if (wanted) return wanted.promise;
    const mine = Promise.withResolvers<Clip | undefined>();
    mine.promise.catch(() => undefined);
    if (this.#wanted.size === 0) queueMicrotask(() => void this.#fetch());
    this.#wanted.set(id, mine);
    return mine.promise;
  }
  /** Reads those of these that are not there yet. */
  async ensure(ids: readonly ClipId[]): Promise<void> {
    await Promise.all(ids.map(id => this.find(id)));
  }
  #touch(id: ClipId): void {
    this.#used.delete(id);
    this.#used.set(id, true);
  }
  async #fetch(): Promise<void> {
    const wanted = [...this.#wanted];
    this.#wanted = new Map();
    for (let at = 0; at < wanted.length; at += 200) {
      const part = wanted.slice(at, at + 200);
      try {
        const { clips } = await this.#api.clips.some({ ids: part.map(([id]) => id) });
        for (const clip of clips) this.put(clip);
        for (const [id, { resolve }] of part) resolve(this.#records.get(id));
      } catch (error) {
        for (const [, { reject }] of part) reject(error);
      }
    }
    for (const id of this.#used.keys()) {
      if (this.#used.size <= clipsKept) break;
      this.#used.delete(id);
      this.#records.delete(id);
    }
  }
}
