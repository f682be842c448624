/** @file A photo that is being cropped and cut out: its mask at a working size, every step of it, and what the host makes of strokes. */
import type { PhotoId } from '../../electron/contract/ids.ts';
import type { Photo } from '../../electron/contract/records.ts';
import type { MaskDone, MaskJob } from '../components/photo/mask-worker.ts';
import type { App } from './app.svelte.ts';
import { asStudioError } from './collections.svelte.ts';
import { emptyMask, marksAnything, pack, paint, unpack, type Mask, type Point, type Rect } from './mask.ts';

/** Pixels of the longer side: of the mask while it is worked on, and of the photo as it is shown. */
const workingSide = 1536,
  shownSide = 2560;
/** Steps that can be undone; of the last ones the host's own file is kept too. */
const mostSteps = 300,
  mostFiles = 40;

interface Stroke {
  subject: boolean;
  /** Pixels of the photo, as its points. */
  radius: number;
  points: [number, number][];
}
/** How it stood after a step. */
interface Step {
  readonly crop: Rect | null;
  /** Packed; null: there is none. */
  readonly mask: Uint8Array<ArrayBuffer> | null;
  /** The mask's file at the photo's size, where nobody has painted over it. */
  file?: string | undefined;
  /** All that was drawn since the mask was found. */
  readonly strokes: readonly Stroke[];
  readonly doubtful: boolean;
}
const unsaved = new Map<PhotoId, { readonly of: string; readonly steps: readonly Step[]; readonly at: number }>();
/** Photos whose unsaved changes are remembered until they are saved, given up, or the window goes. */
const mostUnsaved = 5;

/** Where the host's own work on a mask is answered. */
class MaskFiles {
  readonly #worker = new Worker(new URL('../components/photo/mask-worker.ts', import.meta.url), { type: 'module' });
  readonly #waiting = new Map<number, PromiseWithResolvers<MaskDone>>();
  #next = 1;
  constructor() {
    this.#worker.addEventListener('message', ({ data }: MessageEvent<MaskDone>) => {
      this.#waiting.get(data.id)?.resolve(data);
      this.#waiting.delete(data.id);
    });
    this.#worker.addEventListener('error', event => {
      for (const { reject } of this.#waiting.values()) reject(new Error(event.message || 'the mask cannot be worked on'));
      this.#waiting.clear();
    });
  }
  async #ask(job: (id: number) => MaskJob): Promise<Exclude<MaskDone, { error: string }>> {
    const id = this.#next++;
    const mine = Promise.withResolvers<MaskDone>();
    this.#waiting.set(id, mine);
    this.#worker.postMessage(job(id));
    const done = await mine.promise;
    if ('error' in done) throw new Error(done.error);
    return done;
  }
  async decode(file: Blob | string, width: number, height: number): Promise<{ data: Uint8Array<ArrayBuffer>; base64: string }> {
    const done = await this.#ask(id => ({ id, kind: 'decode', file, width, height }));
    if (!('data' in done)) throw new Error('the mask has no pixels');
    return done;
  }
  async encode({ data, width, height }: Mask, to: { readonly width: number; readonly height: number }): Promise<string> {
    return (await this.#ask(id => ({ id, kind: 'encode', data, width, height, toWidth: to.width, toHeight: to.height }))).base64;
  }
  close(): void {
    this.#worker.terminate();
  }
}

export class PhotoEdit {
  readonly photo: Photo;
  /** The photo as it is shown; undefined while it comes. */
  picture = $state.raw<ImageBitmap>();
  /** Why it cannot be shown. */
  failure = $state<string>();
  /** Painted in place; `ondraw` says which part. */
  readonly mask: Mask;
  /** Pixels of the mask to one of the photo. */
  readonly scale: number;
  hasMask = $state(false);
  crop = $state.raw<Rect | null>(null);
  /** The host is looking for the subject. */
  busy = $state(false);
  /** The mask was found by the host, which is not sure of it. */
  doubtful = $state(false);
  /** Why nothing was found, in the host's words. */
  problem = $state<string>();
  /** What was kept from before is here again. */
  readonly resumed: boolean;
  /** After each stroke the host settles its edge. */
  settle = $state(true);
  /** Called with the part of the mask that has changed; undefined: all of it. */
  ondraw: (part?: Rect) => void = () => undefined;

  #steps = $state.raw<readonly Step[]>([]);
  #at = $state(0);
  readonly canUndo = $derived(this.#at > 0);
  readonly canRedo = $derived(this.#at < this.#steps.length - 1);
  /** Whether saving would change anything. */
  readonly changed = $derived.by(() => {
    const [first] = this.#steps,
      now = this.#steps[this.#at];
    return first !== undefined && now !== undefined && (first.mask !== now.mask || JSON.stringify(first.crop) !== JSON.stringify(now.crop));
  });
  readonly #app: App;
  readonly #files = new MaskFiles();
  #asked: AbortController | undefined;
  #drawing: Stroke | undefined;
  #closed = false;

  constructor(app: App, photo: Photo) {
    this.#app = app;
    this.photo = photo;
    const longest = Math.max(photo.width, photo.height);
    this.scale = Math.min(1, workingSide / longest);
    this.mask = emptyMask(Math.max(1, Math.round(photo.width * this.scale)), Math.max(1, Math.round(photo.height * this.scale)));
    const kept = unsaved.get(photo.id);
    unsaved.delete(photo.id);
    this.resumed = kept?.of === this.#key();
    if (kept && this.resumed) {
      this.#steps = kept.steps;
      this.#at = kept.at;
    }
  }
  #key(): string {
    const { sha256, crop, mask } = this.photo;
    return JSON.stringify([sha256, crop, mask]);
  }
  get #now(): Step {
    return this.#steps[this.#at]!;
  }

  async load(): Promise<void> {
    const { photo } = this;
    try {
      const get = async (kind: 'photo' | 'mask', version: string) => {
        const answer = await fetch(this.#app.host.media(photo.id, kind, version.slice(0, 8)));
        if (!answer.ok) throw new Error(await answer.text());
        return answer.blob();
      };
      const [picture, mask] = await Promise.all([
        get('photo', photo.sha256),
        photo.mask !== null && this.#steps.length === 0 ? get('mask', photo.mask) : Promise.resolve(undefined),
      ]);
      const shrink = Math.min(1, shownSide / Math.max(photo.width, photo.height));
      const shown = await createImageBitmap(picture, {
        resizeWidth: Math.round(photo.width * shrink),
        resizeHeight: Math.round(photo.height * shrink),
        resizeQuality: 'high',
      });
      const stored = mask && (await this.#files.decode(mask, this.mask.width, this.mask.height));
      if (this.#closed) return shown.close();
      if (this.#steps.length === 0) {
        if (stored) this.mask.data.set(stored.data);
        this.#steps = [
          { crop: photo.crop, mask: stored ? pack(this.mask) : null, ...(stored && { file: stored.base64 }), strokes: [], doubtful: false },
        ];
      }
      this.#show();
      this.picture = shown;
    } catch (error) {
      this.failure = asStudioError(error).message;
    }
  }
  #show(): void {
    const { crop, mask, doubtful } = this.#now;
    this.crop = crop;
    this.hasMask = mask !== null;
    this.doubtful = doubtful;
    this.problem = undefined;
    if (mask) unpack(mask, this.mask);
    else this.mask.data.fill(0);
    this.ondraw();
  }
  #push(changes: Partial<Step>): void {
    const step: Step = { ...this.#now, ...changes };
    const steps = [...this.#steps.slice(0, this.#at + 1), step];
    // the first is what is stored: it stays
    if (steps.length > mostSteps) steps.splice(1, steps.length - mostSteps);
    for (const old of steps.slice(1, -mostFiles)) old.file = undefined;
    this.#steps = steps;
    this.#at = steps.length - 1;
  }
  #stop(): void {
    this.#asked?.abort();
    this.#asked = undefined;
    this.busy = false;
  }

  undo(): boolean {
    if (!this.canUndo) return false;
    this.#stop();
    this.#at--;
    this.#show();
    return true;
  }
  redo(): boolean {
    if (!this.canRedo) return false;
    this.#stop();
    this.#at++;
    this.#show();
    return true;
  }

  /** Finds the subject, in a rectangle where one is given. Pixels of the photo. */
  async find(rectangle?: Rect): Promise<boolean> {
    const found = await this.#cutOut({ ...(rectangle && { rectangle }) });
    if (!found) return false;
    this.#push({ mask: pack(this.mask), file: found.base64, strokes: [], doubtful: found.doubtful });
    return true;
  }
  /** Asks the host and shows what it says; undefined where it found nothing or was asked something else meanwhile. */
  async #cutOut(hints: {
    rectangle?: Rect;
    strokes?: readonly Stroke[];
    previous?: { base64: string };
  }): Promise<{ base64: string; doubtful: boolean } | undefined> {
    this.#stop();
    const asked = (this.#asked = new AbortController());
    this.busy = true;
    this.problem = undefined;
    try {
      const { strokes = [], ...rest } = hints;
      const answer = await this.#app.api.photos.cutOut({ id: this.photo.id, strokes: [...strokes], ...rest }, asked.signal);
      const { data, base64 } = await this.#files.decode(answer.mask.base64, this.mask.width, this.mask.height);
      if (asked.signal.aborted || this.#closed) return undefined;
      this.mask.data.set(data);
      this.hasMask = true;
      this.doubtful = answer.doubtful;
      this.ondraw();
      return { base64, doubtful: answer.doubtful };
    } catch (error) {
      const { code, message } = asStudioError(error);
      if (!asked.signal.aborted && code !== 'canceled') this.problem = message;
      return undefined;
    } finally {
      if (this.#asked === asked) {
        this.busy = false;
        this.#asked = undefined;
      }
    }
  }

  /** @param at pixels of the photo, as the radius */
  begin(at: Point, radius: number, subject: boolean): void {
    this.#stop();
    this.problem = undefined;
    if (!this.hasMask) {
      this.mask.data.fill(subject ? 0 : 255);
      this.hasMask = true;
      this.ondraw();
    }
    this.#drawing = { subject, radius, points: [[at[0], at[1]]] };
    this.#paint(at, at);
  }
  go(to: Point): void {
    const points = this.#drawing?.points;
    if (!points) return;
    const from = points.at(-1)!;
    points.push([to[0], to[1]]);
    this.#paint(from, to);
  }
  #paint(from: Point, to: Point): void {
    const { scale } = this,
      { radius, subject } = this.#drawing!;
    const part = paint(this.mask, [from[0] * scale, from[1] * scale], [to[0] * scale, to[1] * scale], radius * scale, subject);
    this.ondraw(part);
  }
  /** The stroke is done: a step of its own, whose edge the host settles. */
  async end(): Promise<void> {
    const stroke = this.#drawing;
    if (!stroke) return;
    this.#drawing = undefined;
    if (!marksAnything(this.mask)) {
      this.clear();
      return;
    }
    const strokes = [...this.#now.strokes, stroke];
    this.#push({ mask: pack(this.mask), file: undefined, strokes, doubtful: false });
    this.doubtful = false;
    if (!this.settle) return;
    const mine = this.#now;
    // the last file before these strokes is where the host goes on from
    const known = this.#steps.slice(0, this.#at).findLast(s => s.file !== undefined || s.mask === null)?.file;
    const found = await this.#cutOut({ strokes, ...(known !== undefined && { previous: { base64: known } }) });
    if (!found || this.#now !== mine) return;
    this.#steps = this.#steps.with(this.#at, { ...mine, mask: pack(this.mask), file: found.base64, doubtful: found.doubtful });
  }
  /** Leaves a stroke half drawn as if it had not begun. */
  abandon(): void {
    if (!this.#drawing) return;
    this.#drawing = undefined;
    this.#show();
  }
  clear(): void {
    this.#stop();
    if (this.#now.mask === null) return this.#show();
    this.#push({ mask: null, file: undefined, strokes: [], doubtful: false });
    this.#show();
  }
  /** @param done it is a step; else the hand is still on it */
  setCrop(crop: Rect | null, done: boolean): void {
    const { width, height } = this.photo;
    const whole = crop && crop.width >= width && crop.height >= height ? null : crop;
    this.crop = whole;
    if (done && JSON.stringify(whole) !== JSON.stringify(this.#now.crop)) this.#push({ crop: whole });
  }

  /** What saving changes, and how it was before.
   * @throws where the mask's file cannot be made */
  async changes(): Promise<{ readonly to: Changes; readonly from: Changes }> {
    this.#stop(); // as it is seen: an edge that has not settled by now stays as it was painted
    const [first] = this.#steps,
      now = this.#now;
    const masks = first!.mask !== now.mask;
    const file = async ({ mask, file }: Step) =>
      mask === null ? null : { base64: file ?? (await this.#files.encode(this.#unpacked(mask), this.photo)) };
    return {
      to: { crop: now.crop, ...(masks && { mask: await file(now) }) },
      from: { crop: first!.crop, ...(masks && { mask: await file(first!) }) },
    };
  }
  #unpacked(packed: Uint8Array): Mask {
    const mask = emptyMask(this.mask.width, this.mask.height);
    unpack(packed, mask);
    return mask;
  }
  /** @param keep its changes are there when the photo is opened again */
  close(keep: boolean): void {
    this.#closed = true;
    this.#stop();
    this.#files.close();
    this.picture?.close();
    if (!keep || !this.changed) return;
    unsaved.set(this.photo.id, { of: this.#key(), steps: this.#steps, at: this.#at });
    for (const id of [...unsaved.keys()].slice(0, -mostUnsaved)) unsaved.delete(id);
  }
}
export interface Changes {
  readonly crop: Rect | null;
  readonly mask?: { readonly base64: string } | null;
}
