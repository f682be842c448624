/**
 * @file Cut-outs: a mask for a photo's subject, found by itself or from what a person draws, by a child process that stays while they draw.
 */
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { startScript } from './children.ts';
import { MediaError, fileError } from './error.ts';
import { checkSize, readBytes } from './files.ts';
import type { Answered, Asked } from './grabcut.ts';
import type { PhotoSource } from './import.ts';
import { byteLimit, photoKind, pixelLimit, type StoredPicture } from './photo.ts';
import { scriptAt } from './program.ts';
import { runFlags } from './watch.ts';

/** What to cut out. Coordinates are in pixels of the photo, upright; with neither rectangle, strokes nor mask the subject is found by itself. */
export interface CutOutRequest {
  /** JPEG, PNG, WebP or AVIF. */
  readonly photo: PhotoSource;
  /** Something around the whole subject; it may reach over the photo's edges. Not looked at where `previous` is given. */
  readonly rectangle?: { readonly x: number; readonly y: number; readonly width: number; readonly height: number };
  /** All that was drawn so far, in order: what is under a stroke is the subject, or is not, whatever the colours say. */
  readonly strokes?: readonly {
    readonly subject: boolean;
    /** Of the brush, more than 0 and at most 10,000. */
    readonly radius: number;
    readonly points: readonly (readonly [x: number, y: number])[];
  }[];
  /** The file of a mask of the photo's size to go on from: the last answer, or one from elsewhere. */
  readonly previous?: Uint8Array;
}

/** A mask and what it is worth. */
export interface CutOut {
  /** 8-bit grey PNG of the photo's size, white the subject, grey along its edge. */
  readonly mask: StoredPicture;
  /** 0 to 1: how well the subject parts from what is around it. Below `doubtful` a person should look. */
  readonly confidence: number;
}

/** No subject was found where nobody pointed at one. */
export class NothingFound extends MediaError {}

/** Below this confidence a mask that was found by itself is not to be used unseen. */
export const doubtful = 0.5;

/** Whatever makes masks: the one here, or later a matting checkpoint in the engine, which takes the same requests. */
export interface MaskMaker {
  /**
   * @throws {NothingFound} where nothing stands out
   * @throws {MediaError} one sentence: no photo, damaged, out of bounds, too slow, too large
   * @throws the signal's reason when aborted
   */
  cutOut(request: CutOutRequest, signal?: AbortSignal): Promise<CutOut>;
  /** Ends what it holds; a later request starts anew. */
  close(): void;
}

/** What the child may take before it is ended: seconds for one request, megabytes, and seconds without a request. */
export interface CutOutLimits {
  readonly seconds: number;
  readonly megabytes: number;
  readonly idleSeconds: number;
}
/** Ten times what 16 megapixels took where it was measured, and what 100 megapixels hold; a photo that is drawn on stays for two minutes. */
const usualLimits: CutOutLimits = { seconds: 60, megabytes: 2000, idleSeconds: 120 };

/** Most strokes of a request, and most points of all of them. */
const [mostStrokes, mostPoints] = [2000, 100_000];

/** Refuses numbers that mean nothing, before a process is started for them. */
function checkHints({ rectangle, strokes = [] }: CutOutRequest): void {
  if (rectangle && !(Object.values(rectangle).every(Number.isFinite) && rectangle.width > 0 && rectangle.height > 0))
    throw new MediaError(
      `a rectangle of ${rectangle.width}x${rectangle.height} at ${rectangle.x},${rectangle.y} is none: draw it around the subject.`,
    );
  if (strokes.length > mostStrokes)
    throw new MediaError(`${strokes.length} strokes are too many, at most ${mostStrokes} are read: go on from the mask they made.`);
  let points = 0;
  for (const stroke of strokes) {
    if (!(stroke.radius > 0 && stroke.radius <= 10_000))
      throw new MediaError(`a brush of radius ${stroke.radius} is none: give more than 0 and at most 10,000 pixels.`);
    points += stroke.points.length;
    for (const point of stroke.points)
      if (!point.every(at => Math.abs(at) <= 1e6))
        throw new MediaError(`a stroke goes through ${point.join(',')}, which is no place in a photo: give pixels.`);
  }
  if (points > mostPoints)
    throw new MediaError(`the strokes have ${points} points, at most ${mostPoints} are read: go on from the mask they made.`);
}

/** A child process and what it has been given. */
interface Running {
  readonly child: ChildProcess;
  /** SHA-256 of the photo it keeps, undefined before the first answer. */
  photo: string | undefined;
  /** How it ended. */
  readonly ended: Promise<string>;
  said: string;
}

/** Cuts out by GrabCut, in a child process that is started at the first request and keeps the last photo. */
export class GrabCutter implements MaskMaker {
  readonly #limits: CutOutLimits;
  #running: Running | undefined;
  #idle: NodeJS.Timeout | undefined;
  /** The end of the requests so far: one is worked on at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(limits: Partial<CutOutLimits> = {}) {
    this.#limits = { ...usualLimits, ...limits };
  }

  async cutOut(request: CutOutRequest, signal?: AbortSignal): Promise<CutOut> {
    signal?.throwIfAborted();
    checkHints(request);
    const { photo: source } = request;
    const name = 'path' in source ? source.path : source.name;
    const wanted = { most: byteLimit, wanted: 'a photo' };
    if ('bytes' in source) checkSize(name, source.bytes.length, wanted);
    const bytes = 'path' in source ? await readBytes(source.path, wanted) : source.bytes;
    photoKind(name, bytes, false);
    const photo = { name, bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
    const mine = this.#turn.then(() => {
      signal?.throwIfAborted();
      return this.#ask(photo, request);
    });
    this.#turn = mine.catch(() => undefined);
    // a request that is no longer wanted is left to end: a child started anew would take longer than the next one's waiting
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(signal?.reason as Error);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await Promise.race([mine, aborted.promise]);
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  close(): void {
    clearTimeout(this.#idle);
    this.#running?.child.kill('SIGKILL');
    this.#running = undefined;
  }

  #start(name: string): Running {
    const script = scriptAt('./grabcut.ts', import.meta.url);
    const cannot = `cannot start what cuts out ${name}`;
    let child: ChildProcess;
    try {
      child = startScript(
        script,
        [String(process.pid), String(this.#limits.megabytes)],
        ['--no-warnings', ...runFlags, '--max-old-space-size=512'],
        {
          stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
          serialization: 'advanced',
          detached: process.platform !== 'win32', // Ctrl-C is for us; it goes when we are gone
          windowsHide: true,
        },
      );
    } catch (error) {
      throw fileError(cannot, error);
    }
    const ended = new Promise<string>(resolve => {
      child.on('error', error => resolve(fileError(cannot, error).message));
      child.on('close', (code, by) => resolve(`ended with ${by ?? `exit status ${code ?? 'none'}`}`));
    });
    const running: Running = { child, photo: undefined, ended, said: '' };
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (running.said = (running.said + text).slice(0, 1000)));
    void ended.then(() => {
      if (this.#running === running) this.#running = undefined;
    });
    return running;
  }

  async #ask(photo: { name: string; bytes: Uint8Array; sha256: string }, request: CutOutRequest): Promise<CutOut> {
    clearTimeout(this.#idle);
    const running = (this.#running ??= this.#start(photo.name));
    const { child } = running;
    hold(child, true);
    const stopped: { why?: string } = {};
    const timer = setTimeout(() => {
      stopped.why = `took longer than ${this.#limits.seconds} s`;
      child.kill('SIGKILL');
    }, this.#limits.seconds * 1000);
    try {
      const asked: Asked = {
        ...(running.photo !== photo.sha256 && { photo: { name: photo.name, bytes: photo.bytes } }),
        ...(request.rectangle && { rectangle: request.rectangle }),
        strokes: request.strokes ?? [],
        ...(request.previous && { previous: request.previous }),
      };
      running.photo = undefined; // until it has answered
      const answer = await Promise.race([
        new Promise<Answered>(resolve => {
          child.once('message', resolve as (message: unknown) => void);
          if (child.connected) child.send(asked, () => undefined); // where it cannot be sent the child's end says why
        }),
        running.ended,
      ]);
      if (typeof answer === 'string') {
        const why = stopped.why ?? (running.said === 'memory' ? `took more than ${this.#limits.megabytes} MB of memory` : answer);
        throw new MediaError(`${photo.name} could not be cut out: it ${why}, try again or with a smaller photo.`);
      }
      if ('refusal' in answer) throw new (answer.nothing ? NothingFound : MediaError)(answer.refusal);
      running.photo = photo.sha256;
      return checked(answer);
    } finally {
      clearTimeout(timer);
      child.removeAllListeners('message');
      hold(child, false);
      this.#idle = setTimeout(() => this.close(), this.#limits.idleSeconds * 1000).unref();
    }
  }
}

/** Whether this process waits for the child before it ends. */
function hold(child: ChildProcess, held: boolean): void {
  const stderr = child.stderr as (NodeJS.ReadableStream & { ref?(): void; unref?(): void }) | null;
  if (held) {
    child.ref();
    child.channel?.ref();
    stderr?.ref?.();
  } else {
    child.unref();
    child.channel?.unref();
    stderr?.unref?.();
  }
}

/** What came from the child, as what it says it is: it has read a stranger's photo. */
function checked({ mask, confidence }: { mask: StoredPicture; confidence: number }): CutOut {
  const bytes = Buffer.from(mask.bytes);
  const { width, height } = mask;
  const png = bytes.length > 33 && bytes.toString('latin1', 1, 4) === 'PNG' && bytes[24] === 8 && bytes[25] === 0;
  if (!png || bytes.readUInt32BE(16) !== width || bytes.readUInt32BE(20) !== height || width * height > pixelLimit)
    throw new MediaError('what cuts photos out gave no mask: try again.');
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { mask: { bytes, extension: 'png', sha256, width, height }, confidence: Math.min(Math.max(confidence, 0), 1) || 0 };
}
