/** @file A clip's frames as pictures, by number. Both ways to get them are exact, which test/window/player.test.ts proves at every rate: WebCodecs decodes all of
 * a short clip at once, so that a step costs nothing; where a browser lacks the decoder, `<video>` is sent to the middle of each frame and says which one it shows. A film that is too long to be
 * held is held around the frame that is looked at. */

/** A film that can be loaded. */
export interface Film {
  readonly url: string;
  readonly numFrames: number;
  /** Frames a second. */
  readonly fps: number;
  /** Pixels. */
  readonly width: number;
  readonly height: number;
}
/** Gives frames in order; one read at a time. */
export interface FrameReader {
  readonly count: number;
  /** @param from a frame's number, 0 the first
   * @throws Error where the film ends early or is damaged */
  read(from: number): AsyncGenerator<ImageBitmap, void, undefined>;
  close(): void;
}

/** Bytes of frames that one player holds: about 130 frames of 720x480. */
export const heldBytes = 192e6;
/** Frames that are held in any case. */
const least = 24;
/** Milliseconds until a film that does not load is given up. */
const patience = 20_000;

/** A reader that shows one frame after the other in a video element.
 * @throws Error where the file cannot be loaded or played */
async function videoOf({ url, numFrames, fps }: Film): Promise<FrameReader> {
  const video = Object.assign(document.createElement('video'), { muted: true, playsInline: true, preload: 'auto' });
  const heard = <T>(listen: (done: (heard: T) => void, signal: AbortSignal) => void, within: number) =>
    new Promise<T>((resolve, reject) => {
      const stop = new AbortController();
      const end = (then: () => void) => {
        stop.abort();
        clearTimeout(late);
        then();
      };
      const fail = () => end(() => reject(new Error(video.error?.message || 'the video does not load')));
      const late = setTimeout(fail, within);
      video.addEventListener('error', fail, { signal: stop.signal });
      listen(said => end(() => resolve(said)), stop.signal);
    });
  /** Shows a frame. The browser says that it has sought before it shows what it found: only the frame's own moment proves that it is there. */
  const show = async (n: number) => {
    for (let tries = 1; ; tries++) {
      const shown = heard<number>((done, signal) => {
        const look = (_: number, { mediaTime }: VideoFrameCallbackMetadata) => {
          if (signal.aborted) return;
          if (Math.abs(mediaTime * fps - n) < 0.5) done(mediaTime);
          else video.requestVideoFrameCallback(look);
        };
        video.requestVideoFrameCallback(look);
      }, 1000);
      video.currentTime = (n + 0.5) / fps; // the middle of a frame is in no other, however a clock rounds
      try {
        return await shown;
      } catch (error) {
        if (video.error || tries === 8) throw error; // a page that nobody sees is shown nothing: it is asked for again
      }
    }
  };
  const loaded = heard<unknown>((done, signal) => video.addEventListener('loadeddata', done, { signal }), patience);
  video.src = url;
  const close = () => {
    video.removeAttribute('src');
    video.load();
  };
  try {
    await loaded;
  } catch (error) {
    close();
    throw error;
  }
  return {
    count: numFrames,
    read: async function* (from) {
      for (let n = from; n < numFrames; n++) {
        await show(n);
        yield await createImageBitmap(video);
      }
    },
    close,
  };
}

interface Run {
  next: number;
  stopped: boolean;
}

export class Frames {
  readonly film: Film;
  /** Why there are none. */
  failure = $state<string>();
  /** The first one has come. */
  ready = $state(false);
  #count: number;
  readonly #most: number;
  readonly #kept = new Map<number, ImageBitmap>();
  readonly #waiting = new Map<number, PromiseWithResolvers<ImageBitmap | undefined>>();
  /** Where somebody looks. */
  #centre = 0;
  #run: Run | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;
  readonly #reader: Promise<FrameReader>;

  /** @param bytes that may be held */
  constructor(film: Film, bytes = heldBytes) {
    this.film = film;
    this.#count = film.numFrames;
    this.#most = Math.max(least, Math.floor(bytes / (4 * film.width * film.height)));
    this.#reader = import('./player-decoder.svelte.ts').then(({ decoderOf }) => decoderOf(film)).then(reader => reader ?? videoOf(film));
    this.#reader.then(
      reader => {
        this.#count = Math.min(reader.count, film.numFrames);
        if (this.#closed) reader.close();
      },
      (error: unknown) => this.#fail(error),
    );
  }
  /** A frame that is here; it may be drawn now, and is closed when it has to make room. */
  at(n: number): ImageBitmap | undefined {
    return this.#kept.get(n);
  }
  /** A frame, as soon as it is here. Undefined: another one was wanted meanwhile, or there is none to be had. */
  want(n: number): Promise<ImageBitmap | undefined> {
    const number = Math.min(Math.max(n, 0), this.#count - 1),
      before = this.#centre;
    this.#centre = number;
    const there = this.#kept.get(number);
    if (there) {
      this.#goOn(number);
      return Promise.resolve(there);
    }
    if (this.#closed || this.failure !== undefined) return Promise.resolve(undefined);
    const waiting = this.#waiting.get(number);
    if (waiting) return waiting.promise;
    const mine = Promise.withResolvers<ImageBitmap | undefined>();
    const run = this.#run;
    if (!run || number < run.next || number > run.next + this.#ahead) {
      for (const { resolve } of this.#waiting.values()) resolve(undefined);
      this.#waiting.clear();
      // who steps back goes on stepping back
      this.#start(this.#whole ? 0 : number < before ? Math.max(0, number - (this.#most >> 1)) : number);
    }
    this.#waiting.set(number, mine);
    return mine.promise;
  }
  close(): void {
    this.#closed = true;
    if (this.#run) this.#run.stopped = true;
    for (const { resolve } of this.#waiting.values()) resolve(undefined);
    for (const bitmap of this.#kept.values()) bitmap.close();
    this.#kept.clear();
    void Promise.allSettled([this.#reader, this.#last]).then(([reader]) => reader.status === 'fulfilled' && reader.value.close());
  }

  get #whole(): boolean {
    return this.#count <= this.#most;
  }
  get #ahead(): number {
    return (this.#most * 3) >> 2;
  }
  /** Reads on before the last frame that is here is reached. */
  #goOn(number: number): void {
    if (this.#run || this.#closed || this.failure !== undefined) return;
    let next = number;
    const far = Math.min(this.#count, number + this.#ahead);
    while (next < far && this.#kept.has(next)) next++;
    if (next < far && (this.#whole || next - number < this.#ahead >> 1)) this.#start(next);
  }
  #start(from: number): void {
    if (this.#run) this.#run.stopped = true;
    const run: Run = (this.#run = { next: from, stopped: false });
    this.#last = this.#last
      .then(() => this.#read(run))
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        if (this.#run === run) this.#run = undefined;
      });
  }
  async #read(run: Run): Promise<void> {
    const reader = await this.#reader;
    if (run.stopped) return;
    for await (const bitmap of reader.read(run.next)) {
      if (run.stopped) return bitmap.close();
      this.#keep(run.next++, bitmap);
      if (run.next >= this.#count || (!this.#whole && run.next > this.#centre + this.#ahead)) {
        if (this.#run === run) this.#run = undefined; // at once: who wants a frame now must not wait for this one
        return;
      }
    }
    if (run.next < this.#count) throw new Error(`the film ends after ${run.next} of ${this.#count} frames`);
  }
  #keep(n: number, bitmap: ImageBitmap): void {
    this.#kept.get(n)?.close();
    this.#kept.set(n, bitmap);
    this.ready = true;
    this.#waiting.get(n)?.resolve(bitmap);
    this.#waiting.delete(n);
    if (this.#kept.size <= this.#most) return;
    let farthest = n;
    for (const other of this.#kept.keys()) if (Math.abs(other - this.#centre) > Math.abs(farthest - this.#centre)) farthest = other;
    this.#kept.get(farthest)!.close();
    this.#kept.delete(farthest);
  }
  #fail(error: unknown): void {
    if (this.#closed) return;
    this.failure = error instanceof Error ? error.message : String(error);
    for (const { resolve } of this.#waiting.values()) resolve(undefined);
    this.#waiting.clear();
  }
}

/** Draws a frame over all of a canvas, pixel upon pixel. */
export function draw(canvas: HTMLCanvasElement, frame: ImageBitmap, n: number): void {
  if (canvas.width !== frame.width || canvas.height !== frame.height) Object.assign(canvas, { width: frame.width, height: frame.height });
  canvas.getContext('2d', { alpha: false })?.drawImage(frame, 0, 0);
  canvas.dataset['frame'] = String(n);
}
