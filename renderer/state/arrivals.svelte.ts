/** @file Photos on their way into the library: sent three at a time, taken in one by one, each with what became of it. */
import type { PhotoId } from '../../electron/contract/ids.ts';
import type { Subject } from '../../electron/contract/records.ts';
import { t } from '../words/index.svelte.ts';
import type { App } from './app.svelte.ts';
import { asStudioError } from './collections.svelte.ts';
import { bring, isPlaced, type Dropped } from './desktop.ts';

export type Kind = Subject['kind'];
/** `failed` can be tried again, `refused` cannot. */
export type ArrivalState = 'waiting' | 'sending' | 'sent' | 'adding' | 'added' | 'duplicate' | 'refused' | 'failed';

/** Files that are sent at once. */
const atOnce = 3;
/** Bytes from which on the host takes no photo. */
const largest = 256 << 20;
/** The host says so too; a film of gigabytes need not be sent for that. */
const photoNames = /\.(jpe?g|jfif|png|webp|avif|heic|heif)$/i;
const looksLikePhoto = (file: Dropped['file']) =>
  photoNames.test(file.name) || (!isPlaced(file) && ((file.type.startsWith('image/') && !/\.\w+$/.test(file.name)) || file.type === ''));
/** The same file given twice is one. */
const identity = ({ path, file }: Dropped) => `${path}|${file.size}|${isPlaced(file) ? file.id : file.lastModified}`;

let next = 1;
export class Arrival {
  readonly key = next++;
  readonly file: Dropped['file'];
  readonly path: string;
  state = $state<ArrivalState>('waiting');
  /** How much of it has been sent, 0 to 1. */
  part = $state(0);
  /** Why it was not taken. */
  why = $state<{ readonly text: string; readonly fromHost: boolean }>();
  photoId = $state<PhotoId>();
  /** Of the file as the host has it; undefined once it cannot be taken. */
  sent = Promise.withResolvers<string | undefined>();

  constructor({ file, path }: Dropped) {
    this.file = file;
    this.path = path;
    if (file.size > largest) this.refuse(t('subjects.tooLarge'));
    else if (file.size === 0) this.refuse(t('subjects.emptyFile'));
    else if (!looksLikePhoto(file)) this.refuse(t('subjects.noPhoto'));
  }
  refuse(text: string, fromHost = false, again = false): void {
    this.state = again ? 'failed' : 'refused';
    this.why = { text, fromHost };
    this.sent.resolve(undefined);
  }
}

/** A name for what these files show: of the folder they came in, of the first file; empty where that is only a camera's counting. */
export function proposedName(paths: readonly string[]): string {
  const [first = ''] = paths;
  const folder = first.includes('/') ? first.split('/')[0]! : undefined;
  const raw =
    folder !== undefined && paths.every(p => p.startsWith(`${folder}/`))
      ? folder
      : first
          .split('/')
          .at(-1)!
          .replace(/\.\w{2,5}$/, '');
  const name = raw
    .replaceAll(/[_-]+/g, ' ')
    // what cameras and telephones count with says nothing
    .replace(
      /^[\d\s.:]*(?:img|dscn?|dscf|pxl|mvimg|dcim|image|picture|photo|foto|bild|screen ?shot|unnamed|untitled|unbenannt|signal|whatsapp image|clipboard)\b[\d\s.:]*/i,
      '',
    )
    .replace(/^(?:at|um|am)?[\d\s.:]+(?=\s|$)/i, '')
    .replace(/(?:\s*\(\d+\)|\s+\d+)+$/, '')
    .replaceAll(/\s+/g, ' ')
    .trim();
  if (!/\p{L}{2}/u.test(name)) return '';
  return (name.charAt(0).toLocaleUpperCase() + name.slice(1)).slice(0, 120);
}

/** Photos that come together, for a subject that is there or for one that they make. */
export class Intake {
  readonly key = next++;
  items = $state.raw<readonly Arrival[]>([]);
  name = $state('');
  kind = $state<Kind>('other');
  /** Whose they are; undefined until the first of a new subject has been taken. */
  subject = $state.raw<Subject>();
  /** `open`: name and kind can still be changed. */
  phase = $state<'open' | 'adding' | 'done'>('open');
  /** Whether they make a subject. */
  readonly makes: boolean;
  readonly added = $derived(this.items.filter(i => i.state === 'added'));
  readonly wrong = $derived(this.items.filter(i => i.state === 'refused' || i.state === 'failed' || i.state === 'duplicate'));
  readonly settled = $derived(this.added.length + this.wrong.length);
  readonly usable = $derived(this.items.length - this.items.filter(i => i.state === 'refused').length);
  /** 0 to 1: sending is most of it, being taken in the rest. */
  readonly part = $derived.by(() => {
    const all = this.items.filter(i => i.state !== 'refused');
    if (all.length === 0) return 1;
    const of = (i: Arrival) => (i.state === 'added' || i.state === 'duplicate' || i.state === 'failed' ? 1 : 0.7 * i.part);
    return all.reduce((sum, i) => sum + of(i), 0) / all.length;
  });
  readonly #app: App;
  #ended = new AbortController();
  #sending = 0;

  constructor(app: App, subject?: Subject) {
    this.#app = app;
    this.subject = subject;
    this.makes = subject === undefined;
  }
  /** Takes more files; they are sent at once. */
  take(files: readonly Dropped[]): void {
    const there = new Set(this.items.map(identity));
    const fresh = files.filter(file => !there.has(identity(file))).map(f => new Arrival(f));
    if (this.makes && this.items.length === 0) this.name = proposedName(fresh.map(f => f.path)) || t('subjects.newName');
    this.items = [...this.items, ...fresh];
    this.#pump();
  }
  /** Leaves one out, before any is taken in. */
  leaveOut(item: Arrival): void {
    this.items = this.items.filter(i => i !== item);
    item.sent.resolve(undefined);
  }
  again(item: Arrival): void {
    item.sent = Promise.withResolvers();
    item.state = 'waiting';
    item.part = 0;
    item.why = undefined;
    this.#pump();
    if (this.phase === 'done') void this.start();
  }
  #pump(): void {
    while (this.#sending < atOnce && !this.#ended.signal.aborted) {
      const item = this.items.find(i => i.state === 'waiting');
      if (!item) return;
      item.state = 'sending';
      this.#sending++;
      void bring(this.#app, item.file, { signal: this.#ended.signal, progress: part => (item.part = part) })
        .then(
          ({ path }) => {
            item.part = 1;
            if (item.state === 'sending') item.state = 'sent';
            item.sent.resolve(path);
          },
          (error: unknown) => {
            const { code, message } = asStudioError(error);
            if (code === 'canceled') item.sent.resolve(undefined);
            else item.refuse(message, true, code !== 'badInput');
          },
        )
        .finally(() => {
          this.#sending--;
          this.#pump();
        });
    }
  }
  /** Takes them into the library, in their order; ends when each has been taken or said to be wrong. */
  async start(): Promise<void> {
    if (this.phase === 'adding') return;
    this.phase = 'adding';
    const before = this.added.length;
    const { signal } = this.#ended;
    for (let i = 0; i < this.items.length && !signal.aborted; i++) {
      const item = this.items[i]!;
      if (item.photoId !== undefined) continue;
      const path = await item.sent.promise;
      if (path === undefined || signal.aborted || item.state !== 'sent') continue;
      item.state = 'adding';
      await this.#add(item, path, signal);
    }
    if (signal.aborted) return;
    this.phase = 'done';
    this.#tell(before);
  }
  async #add(item: Arrival, path: string, signal: AbortSignal): Promise<void> {
    const { api } = this.#app;
    const photos = [{ path }];
    const name = this.name.trim() || t('subjects.newName');
    try {
      const result = this.subject
        ? await api.subjects.addPhotos({ id: this.subject.id, photos }, signal)
        : await api.subjects.add({ name, kind: this.kind, photos }, signal);
      this.subject = result.subject;
      const [photoId] = result.added,
        [twice] = result.duplicates,
        [refused] = result.refused;
      if (photoId !== undefined) {
        item.state = 'added';
        item.photoId = photoId;
      } else if (twice) {
        item.state = 'duplicate';
        item.photoId = twice.photoId;
      } else item.refuse(refused?.text ?? t('frame.failed'), refused !== undefined);
    } catch (error) {
      const { code, message } = asStudioError(error);
      if (code === 'canceled') return;
      // what makes a subject of nothing is refused as a whole: the sentence about the file is its end
      const [, own = message] = / was not added: (.*)$/s.exec(message) ?? [];
      item.refuse(own, true, code !== 'badFile');
    }
  }
  #tell(before: number): void {
    const { subject } = this;
    const fresh = this.added.slice(before).map(i => i.photoId!);
    const app = this.#app;
    if (!subject || fresh.length === 0) return;
    const whole = this.makes && before === 0;
    const label = t(whole ? 'subjects.madeWith' : 'subjects.addedTo', { n: fresh.length, name: subject.name });
    const step = {
      label,
      undo: async () => {
        if (whole) await app.api.subjects.remove({ id: subject.id });
        else for (const id of fresh) await app.api.subjects.removePhoto({ id });
      },
      redo: async () => {
        if (whole) await app.api.subjects.restore({ id: subject.id });
        else for (const id of fresh) await app.api.subjects.restorePhoto({ id });
      },
    };
    app.undo.push(step);
    app.say(label);
    if (!this.makes) app.toast({ text: label, buttons: [{ label: t('frame.undo'), run: () => void app.takeBack(step) }] });
  }
  /** Gives up: what is on its way is stopped; a subject that these photos have just made goes again. */
  async cancel(): Promise<void> {
    const adding = this.phase === 'adding';
    this.#ended.abort();
    if (!adding || !this.subject) return;
    const { subject, added } = this;
    this.phase = 'done';
    await this.#app.act(undefined, async () => {
      if (this.makes) await this.#app.api.subjects.remove({ id: subject.id });
      else for (const { photoId } of added) await this.#app.api.subjects.removePhoto({ id: photoId! });
    });
  }
}

/** What is arriving now. It goes on while somebody looks at other places. */
export class Arrivals {
  /** The one that makes a subject: it has a sheet of its own. */
  making = $state.raw<Intake>();
  /** Those for subjects that are there. */
  joining = $state.raw<readonly Intake[]>([]);
  #lastKind: Kind = 'other';
  readonly #app: App;

  constructor(app: App) {
    this.#app = app;
  }
  /** Files for a new subject, or more of them for the one that is being made. */
  make(files: readonly Dropped[]): void {
    if (files.length === 0) return;
    if (this.making?.phase !== 'open') {
      const intake = new Intake(this.#app);
      intake.kind = this.#lastKind;
      this.making = intake;
    }
    this.making.take(files);
  }
  start(): void {
    const intake = this.making;
    if (!intake) return;
    this.#lastKind = intake.kind;
    void intake.start();
  }
  /** Files for a subject that is there: they are taken in at once. */
  join(subject: Subject, files: readonly Dropped[]): void {
    if (files.length === 0) return;
    const intake = new Intake(this.#app, subject);
    this.joining = [...this.joining, intake];
    intake.take(files);
    void intake.start().then(() => {
      if (intake.wrong.length === 0) this.close(intake);
    });
  }
  /** Puts it away; what is not done is given up. */
  close(intake: Intake): void {
    if (intake.phase !== 'done') void intake.cancel();
    if (this.making === intake) this.making = undefined;
    this.joining = this.joining.filter(i => i !== intake);
  }
}
const ofApp = new WeakMap<App, Arrivals>();
export function arrivalsOf(app: App): Arrivals {
  const there = ofApp.get(app) ?? new Arrivals(app);
  ofApp.set(app, there);
  return there;
}
