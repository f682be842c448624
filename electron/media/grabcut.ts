/**
 * @file The child process that cuts subjects out: it keeps one photo and answers any number of requests about it, each with a mask of its size.
 *
 * OpenCV's GrabCut runs as WebAssembly, and in a process of its own, so that a hang or a full memory ends this process alone and the studio goes on
 * answering meanwhile. Arguments: the owner's process id, and the most MB this process may come to hold. Messages: `Asked` in, `Answered` out.
 */
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { cut, type GrabCut, type Hints } from '../../native-models/photos/cut.ts';
import { guidedMask, type Size } from '../../native-models/photos/guided.ts';
import { drawingCost, type Rectangle, type Stroke } from '../../native-models/photos/start.ts';
import { MediaError } from './error.ts';
import { maskPicture, maskPixels, photoPixels, type Pixels, type StoredPicture } from './photo.ts';
import { watch } from './watch.ts';

/** A request: the photo where it is another one than before; coordinates in pixels of the photo. */
export interface Asked {
  readonly photo?: { readonly name: string; readonly bytes: Uint8Array };
  readonly rectangle?: Rectangle;
  readonly strokes: readonly Stroke[];
  /** A mask's file. */
  readonly previous?: Uint8Array;
}

/** The answer, or why there is none, in one sentence. */
export type Answered =
  | { readonly mask: StoredPicture; readonly confidence: number }
  | { readonly refusal: string; /** No subject was found. */ readonly nothing: boolean };

/** What is called of OpenCV. */
interface Mat {
  readonly data: Uint8Array;
  delete(): void;
}
interface OpenCv {
  readonly CV_8UC1: number;
  readonly CV_8UC3: number;
  readonly GC_INIT_WITH_MASK: number;
  readonly GC_EVAL: number;
  readonly Mat: (new () => Mat) | undefined;
  readonly Rect: new (x: number, y: number, width: number, height: number) => object;
  matFromArray(rows: number, columns: number, type: number, data: Uint8Array): Mat;
  setRNGSeed(seed: number): void;
  grabCut(image: Mat, labels: Mat, rectangle: object, not: Mat, is: Mat, rounds: number, mode: number): void;
  onRuntimeInitialized?: () => void;
}

/** The longer side of the picture that GrabCut sees, in pixels. */
const longest = 512;
/** Most pixels that strokes are drawn over: some seconds of work, and a hundred times what a hand draws. */
const mostDrawn = 3e8;
/** Windows of nine pixels of that picture; a colour difference of two parts in a hundred is an edge. */
const guiding = { radius: 4, epsilon: 4e-4 };

/** OpenCV, in an object: it has a `then` of its own, and a promise of it would never be kept. */
async function openCv(): Promise<{ cv: OpenCv }> {
  const require = createRequire(import.meta.url);
  const cv = require('@techstark/opencv-js') as OpenCv;
  if (!cv.Mat) await new Promise<void>(resolve => (cv.onRuntimeInitialized = resolve));
  return { cv };
}

/** The photo that is worked on, and what the last answer about it left. */
interface Kept {
  readonly name: string;
  readonly whole: Pixels;
  readonly small: Pixels;
  /** The last answer's file, its mask before it was enlarged and the strokes it was made with, and the colours of both sides as GrabCut learned them. */
  last?: { readonly sha256: string; readonly mask: Uint8Array; readonly strokes: readonly Stroke[] };
  colours: readonly [not: Mat, is: Mat];
}

class Cutting {
  readonly #cv: OpenCv;
  #kept: Kept | undefined;
  constructor(cv: OpenCv) {
    this.#cv = cv;
  }

  async answer({ photo, rectangle, strokes, previous }: Asked): Promise<Answered> {
    if (photo) {
      this.#kept?.colours.forEach(mat => mat.delete());
      this.#kept = undefined;
      const cv = this.#cv as OpenCv & { Mat: new () => Mat };
      this.#kept = { name: photo.name, ...(await photoPixels(photo.name, photo.bytes, longest)), colours: [new cv.Mat(), new cv.Mat()] };
    }
    const kept = this.#kept;
    if (!kept) throw new Error('a request came before any photo');
    const { name, whole, small } = kept;
    const again = previous !== undefined && createHash('sha256').update(previous).digest('hex') === kept.last?.sha256;
    const [across, down] = [small.width / whole.width, small.height / whole.height];
    const drawn = strokes.map(({ subject, radius, points }) => ({
      subject,
      radius: radius * across,
      points: points.map(([x, y]) => [x * across, y * down] as const),
    }));
    if (drawingCost(drawn, small) > mostDrawn)
      throw new MediaError(`the strokes cover too much of ${name} too often: go on from the mask they made, or draw a rectangle.`);
    const hints: Hints = {
      ...(rectangle && { rectangle: within(name, rectangle, whole, across, down) }),
      strokes: drawn,
      known: again ? alike(kept.last!.strokes, drawn) : 0,
      ...(previous && { previous: again ? kept.last!.mask : await maskPixels(previous, whole, small) }),
    };
    const picture = { rgb: small.data, width: small.width, height: small.height };
    const { mask, confidence } = cut(this.#grabCut(kept, again), picture, hints);
    if (!mask.includes(255))
      return { refusal: `nothing stands out in ${name}: draw a rectangle around the subject, or some strokes over it.`, nothing: true };
    const large = guidedMask({ ...picture, mask }, { rgb: whole.data, width: whole.width, height: whole.height }, guiding);
    const made = await maskPicture({ data: large, width: whole.width, height: whole.height });
    kept.last = { sha256: made.sha256, mask, strokes: drawn };
    return { mask: made, confidence };
  }

  /** GrabCut; `again`: the colours that it learned for the last answer, if any, are where it goes on from, which saves it a search. */
  #grabCut(kept: Kept, again: boolean): GrabCut {
    const cv = this.#cv;
    const mode = again && kept.colours.every(({ data }) => data.length > 0) ? cv.GC_EVAL : cv.GC_INIT_WITH_MASK;
    return ({ rgb, width, height }, labels, rounds) => {
      const image = cv.matFromArray(height, width, cv.CV_8UC3, rgb);
      const changed = cv.matFromArray(height, width, cv.CV_8UC1, labels);
      try {
        cv.setRNGSeed(1); // the same request, the same mask
        cv.grabCut(image, changed, new cv.Rect(0, 0, 1, 1), ...kept.colours, rounds, mode);
        return Uint8Array.from(changed.data);
      } finally {
        image.delete();
        changed.delete();
      }
    };
  }
}

/** How many strokes two drawings begin with alike. */
function alike(a: readonly Stroke[], b: readonly Stroke[]): number {
  const differs = b.findIndex((stroke, n) => JSON.stringify(stroke) !== JSON.stringify(a[n]));
  return differs < 0 ? b.length : differs;
}

/** A rectangle of the photo in pixels of the small one. */
function within(name: string, { x, y, width, height }: Rectangle, photo: Size, across: number, down: number): Rectangle {
  const [left, top, right, bottom] = [Math.max(x, 0), Math.max(y, 0), Math.min(x + width, photo.width), Math.min(y + height, photo.height)];
  if ((right - left) * across < 2 || (bottom - top) * down < 2)
    throw new MediaError(
      `the rectangle of ${width}x${height} at ${x},${y} marks nothing of ${name}, which is ${photo.width}x${photo.height}: draw it around the subject.`,
    );
  return { x: left * across, y: top * down, width: (right - left) * across, height: (bottom - top) * down };
}

function main(): void {
  const [owner, megabytes] = process.argv.slice(2).map(Number);
  process.on('disconnect', () => process.exit());
  watch(owner!, megabytes!);
  const worker = openCv().then(({ cv }) => new Cutting(cv));
  process.on('message', (asked: Asked) => {
    void (async () => {
      let answered: Answered;
      try {
        answered = await (await worker).answer(asked);
      } catch (error) {
        if (!(error instanceof MediaError))
          throw typeof error === 'number' ? new Error(`OpenCV threw at ${error}`, { cause: error }) : error;
        answered = { refusal: error.message, nothing: false };
      }
      process.send?.(answered);
    })();
  });
}

main();
