/**
 * @file Cutting one subject out of a small photo: from nothing, a rectangle, strokes, or an earlier mask. GrabCut itself is given as a function,
 * so that another maker of masks can take its place.
 */
import type { Size } from './guided.ts';
import { automaticStarts, draw, fromMask, fromRectangle, labOf, shrunk, spread, subjectOf, type Rectangle, type Stroke } from './start.ts';

/** A photo made small: RGB of 8 bits, [h, w, 3]. */
export type Picture = { readonly rgb: Uint8Array } & Size;

/**
 * GrabCut (C. Rother, V. Kolmogorov, A. Blake, 2004) for so many rounds from labels [h, w] of `start.ts`.
 * @returns new labels; those that were sure are as they were
 */
export type GrabCut = (picture: Picture, labels: Uint8Array, rounds: number) => Uint8Array;

/** What a mask is made from. Coordinates in pixels of the picture; with nothing the subject is found by itself. */
export interface Hints {
  readonly rectangle?: Rectangle;
  readonly strokes?: readonly Stroke[];
  /** How many of them, the first, `previous` was made with: what goes with them is in it already. */
  readonly known?: number;
  /** An earlier mask to go on from: [h, w], 0 to 255. */
  readonly previous?: Uint8Array;
}

/** A mask and how far it can be trusted. */
export interface Cut {
  /** [h, w], 0 or 255. */
  readonly mask: Uint8Array;
  /** 0 to 1: how well the subject's colours part from those around it, and whether it is one whole thing of a likely size. */
  readonly confidence: number;
}

/**
 * How well a mask parts a picture: of both sides, taken as equally large, the share that its colour alone puts on the right side (0.5 to 1), for
 * colours in L*a*b* cells of 12; what lies far around the mask does not count.
 */
export function parting({ rgb, width, height }: Picture, mask: Uint8Array): number {
  const lab = labOf(rgb);
  let [left, top, right, bottom, area] = [width, height, -1, -1, 0];
  mask.forEach((value, i) => {
    if (value < 128) return;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
    area++;
  });
  if (area === 0 || area === mask.length) return 0.5;
  const margin = Math.max(right - left, bottom - top) / 4;
  const counts = new Uint32Array(2 * 64 ** 3); // of each cell: inside, around
  let around = 0;
  for (let i = 0; i < mask.length; i++) {
    const [x, y] = [i % width, Math.floor(i / width)];
    const inside = mask[i]! > 127;
    if (!inside && (x < left - margin || x > right + margin || y < top - margin || y > bottom + margin)) continue;
    const cell = (Math.floor(lab[3 * i]! / 12) * 64 + Math.floor(lab[3 * i + 1]! / 12) + 32) * 64 + Math.floor(lab[3 * i + 2]! / 12) + 32;
    counts[2 * cell + (inside ? 0 : 1)]!++;
    if (!inside) around++;
  }
  if (around === 0) return 0.5;
  let right_ = 0;
  for (let i = 0; i < counts.length; i += 2) right_ += Math.max(counts[i]! / area, counts[i + 1]! / around) / 2;
  return right_;
}

/** The share of the picture's outline that a mask touches, 0 to 1, and the share of the picture it fills. */
export function reach(mask: Uint8Array, { width, height }: Size): { border: number; area: number } {
  let [border, area] = [0, 0];
  const edge = Math.max(Math.round(Math.min(width, height) * 0.035), 1); // just within the rim that starts call surely not
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      if (mask[y * width + x]! < 128) continue;
      area++;
      if (x < edge || y < edge || x >= width - edge || y >= height - edge) border++;
    }
  return { border: border / (2 * edge * (width + height - 2 * edge)), area: area / (width * height) };
}

/** What a mask found by itself is worth beside another one. */
function worth(picture: Picture, mask: Uint8Array): number {
  const { border, area } = reach(mask, picture);
  const likely = Math.min(area / 0.06, 1) * Math.min((1 - area) / 0.3, 1);
  return Math.max((parting(picture, mask) - 0.5) * 2, 0) * likely * (1 - Math.min(border * 2, 0.8));
}

/** A mask of the picture made smaller by `step`, at the picture's size. */
function enlarged(mask: Uint8Array, from: Size, { width, height }: Size, step: number): Uint8Array {
  const out = new Uint8Array(width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) out[y * width + x] = mask[Math.floor(y / step) * from.width + Math.floor(x / step)]!;
  return out;
}

/** The mask of a subject that nobody pointed at: each start is tried at half the size, the one that parts best goes on. */
function automatic(grabCut: GrabCut, picture: Picture): Uint8Array {
  const half = shrunk(picture.rgb, picture, 2);
  const tried = automaticStarts(half.rgb, half).map(start => {
    const mask = subjectOf(grabCut(half, start, 5), half);
    return { mask, worth: worth(half, mask) };
  });
  const best = tried.reduce((a, b) => (b.worth > a.worth * 1.1 ? b : a));
  return enlarged(best.mask, half, picture, 2);
}

/** Around what is marked as the subject, so much of its longer side is looked at when an earlier mask is refined. */
const reachAround = 0.15;

/** One round of GrabCut where a refinement can change anything: around what is marked. Far away nothing becomes the subject, and it takes half the time. */
function nearby(grabCut: GrabCut, { rgb, width, height }: Picture, labels: Uint8Array): Uint8Array {
  let [left, top, right, bottom] = [width, height, 0, 0];
  labels.forEach((label, i) => {
    if (!(label & 1)) return;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), Math.max(bottom, y + 1)];
  });
  const margin = Math.max(Math.round(reachAround * Math.max(right - left, bottom - top)), 16);
  [left, top] = [Math.max(left - margin, 0), Math.max(top - margin, 0)];
  [right, bottom] = [Math.min(right + margin, width), Math.min(bottom + margin, height)];
  const size = { width: right - left, height: bottom - top };
  const part = { rgb: new Uint8Array(3 * size.width * size.height), ...size };
  const marked = new Uint8Array(size.width * size.height);
  for (let y = 0; y < size.height; y++) {
    const from = (top + y) * width + left;
    part.rgb.set(rgb.subarray(3 * from, 3 * (from + size.width)), 3 * y * size.width);
    marked.set(labels.subarray(from, from + size.width), y * size.width);
  }
  if (!marked.some(label => !(label & 1))) return labels; // nothing beside it to be told from
  const found = grabCut(part, marked, 1);
  const out = labels.slice();
  for (let y = 0; y < size.height; y++) out.set(found.subarray(y * size.width, (y + 1) * size.width), (top + y) * width + left);
  return out;
}

/** Fewest pixels of a side in which a subject is looked for. */
const smallest = 16;

/**
 * Cuts the subject out.
 * @returns a mask of the picture's size; empty, with confidence 0, where no subject was found
 */
export function cut(grabCut: GrabCut, picture: Picture, hints: Hints): Cut {
  const { rectangle, previous } = hints;
  if (Math.min(picture.width, picture.height) < smallest) return { mask: new Uint8Array(picture.width * picture.height), confidence: 0 };
  const strokes = hints.strokes ?? [];
  const given = rectangle !== undefined || previous !== undefined;
  const labels = rectangle && !previous ? fromRectangle(picture, rectangle) : fromMask(previous ?? automatic(grabCut, picture));
  draw(labels, picture, strokes);
  spread(labels, picture.rgb, picture, strokes.slice(hints.known));
  const marked = labels.reduce((sum, label) => sum + (label & 1), 0);
  const both = Math.min(marked, labels.length - marked) >= 10; // GrabCut learns five colours of each side
  const settled = !both ? labels : previous ? nearby(grabCut, picture, labels) : grabCut(picture, labels, rectangle ? 4 : 1);
  const mask = subjectOf(settled, picture);
  const value = worth(picture, mask);
  return { mask, confidence: Math.min(given ? value ** 0.5 : value, 1) };
}
