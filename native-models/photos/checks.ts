/**
 * @file What is wrong with photos of a subject, in plain words: pure functions on pixels, RGB of 8 bits [h, w, 3], and where there is one the
 * subject's mask [h, w], 0 to 255.
 *
 * Findings advise, they forbid nothing. Thresholds were set on photos of their own, not on those that test/bench/cutouts.ts judges.
 */
import { parting, reach } from './cut.ts';
import type { Size } from './guided.ts';
import { parts } from './start.ts';

/** A finding's kind. */
export type PhotoProblem = 'tooSmall' | 'cutOff' | 'blurred' | 'nothingStandsOut' | 'nearDuplicate' | 'viewsMissing';

/** One thing to know about a photo, or about a subject's photos: what was seen and what would help, in one sentence. */
export interface Finding {
  readonly problem: PhotoProblem;
  readonly sentence: string;
  /** What was measured; its meaning is the check's. */
  readonly value: number;
}

/** A photo as the checks take it: at its own size or made small, and the subject's mask of that size where one is known. */
export interface CheckedPhoto extends Size {
  readonly rgb: Uint8Array;
  readonly mask?: Uint8Array;
}

/** Fewest pixels of a photo's shorter side, and of the subject's longer side where it is known. */
const [shortestSide, smallestSubject] = [256, 160] as const;

/**
 * Too few pixels to know a subject by.
 * @param size the photo's own, in pixels; `subject`: the box around the subject in it
 */
export function tooSmall(size: Size, subject?: Size): Finding | undefined {
  const side = Math.min(size.width, size.height);
  if (side < shortestSide)
    return {
      problem: 'tooSmall',
      sentence: `The photo is ${size.width}x${size.height}, and details need ${shortestSide} pixels at least: take a larger one.`,
      value: side,
    };
  const longest = subject && Math.max(subject.width, subject.height);
  if (longest !== undefined && longest < smallestSubject)
    return {
      problem: 'tooSmall',
      sentence: `The subject is only ${longest} pixels large in the photo, and details need ${smallestSubject}: go closer, or take a larger photo.`,
      value: longest,
    };
  return undefined;
}

/** The box around what a mask shows, undefined where it shows nothing. */
export function subjectBox(mask: Uint8Array, { width }: Size): { x: number; y: number; width: number; height: number } | undefined {
  let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
  mask.forEach((value, i) => {
    if (value < 128) return;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
  });
  return right < 0 ? undefined : { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
}

/** Share of a side along which a subject must touch it to be cut off there: a shadow or a thread does not. */
const touching = 0.06;

/**
 * The subject goes on beyond a side of the photo.
 * @param rim how near a side counts as touching it, in pixels; a cut-out that was found by itself ends at a thin rim
 */
export function cutOff(
  mask: Uint8Array,
  { width, height }: Size,
  rim = Math.max(Math.round(Math.min(width, height) * 0.035), 1),
): Finding | undefined {
  const sides: Readonly<Record<string, [length: number, at: (along: number, depth: number) => number]>> = {
    top: [width, (x, d) => d * width + x],
    bottom: [width, (x, d) => (height - 1 - d) * width + x],
    left: [height, (y, d) => y * width + d],
    right: [height, (y, d) => y * width + width - 1 - d],
  };
  let [worst, named] = [0, ''];
  for (const [name, [length, at]] of Object.entries(sides)) {
    let touched = 0;
    for (let along = 0; along < length; along++) {
      let lit = false;
      for (let depth = 0; depth <= rim && !lit; depth++) lit = mask[at(along, depth)]! > 127;
      if (lit) touched++;
    }
    if (touched / length > worst) [worst, named] = [touched / length, name];
  }
  if (worst < touching) return undefined;
  return {
    problem: 'cutOff',
    sentence: `The subject is cut off at the ${named}: take a photo that shows all of it, with some room around.`,
    value: worst,
  };
}

/** The longer side at which sharpness is looked at, so that a large photo of a thing is not softer than a small one of it. */
const sharpnessSide = 512;
/** Below this an edge is spread over too many pixels. */
const sharpEnough = 0.24;

/**
 * How sharp the sharpest edges are, whatever their contrast and however much of the photo is flat: where brightness changes most, how much of the
 * change of its neighbourhood falls on one pixel step. Flat toys have few edges, so only the strongest are looked at, each against its own height.
 * @returns 0 (no edge) to 1 (a step from one pixel to the next)
 */
export function sharpness({ rgb, width, height, mask }: CheckedPhoto): number {
  const step = Math.max(Math.floor(Math.max(width, height) / sharpnessSide), 1);
  const [w, h] = [Math.floor(width / step), Math.floor(height / step)];
  const grey = new Float32Array(w * h);
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      let sum = 0;
      for (let v = y * step; v < (y + 1) * step; v++)
        for (let u = x * step; u < (x + 1) * step; u++) {
          const i = 3 * (v * width + u);
          sum += 0.299 * rgb[i]! + 0.587 * rgb[i + 1]! + 0.114 * rgb[i + 2]!;
        }
      grey[y * w + x] = sum / (step * step);
    }
  const far = 6; // pixels to each side that belong to an edge
  const found: { strength: number; sharp: number }[] = [];
  const look = (x: number, y: number, stride: number): void => {
    const i = y * w + x;
    if (mask && mask[y * step * width + x * step]! < 128) return;
    const strength = Math.abs(grey[i + stride]! - grey[i]!);
    if (strength < 6) return;
    let [least, most] = [Infinity, -Infinity];
    for (let k = 1 - far; k <= far; k++) {
      const value = grey[i + k * stride]!;
      [least, most] = [Math.min(least, value), Math.max(most, value)];
    }
    if (most - least >= 24) found.push({ strength: most - least, sharp: strength / (most - least) });
  };
  for (let y = far; y < h - far; y++)
    for (let x = far; x < w - far; x++) {
      look(x, y, 1);
      look(x, y, w);
    }
  if (found.length < 40) return 0;
  found.sort((a, b) => b.sharp - a.sharp);
  return found[Math.floor(found.length * 0.1)]!.sharp;
}

/** No edge of the photo, or of the subject where its mask is known, is sharp. */
export function blurred(photo: CheckedPhoto): Finding | undefined {
  const value = sharpness(photo);
  if (value >= sharpEnough) return undefined;
  return { problem: 'blurred', sentence: 'The photo is blurred: take one that is sharp, with a still hand and more light.', value };
}

/** Below this worth a cut-out shows no one thing. */
const oneThing = 0.65;

/** How much a mask shows one thing: its colours part from the rest's, it is of one piece, and not frayed. */
function thingness(photo: CheckedPhoto, mask: Uint8Array): number {
  const { sizes } = parts(i => mask[i]! > 127, photo);
  if (sizes.length === 0) return 0;
  const whole = Math.max(...sizes) / sizes.reduce((sum, size) => sum + size, 0);
  return Math.max((parting(photo, mask) - 0.5) * 2, 0) * whole * compactness(mask, photo);
}

/** Whether a mask that was found by itself shows one thing, the subject or not: else its box and its outline say nothing. */
export const showsOneThing = (photo: CheckedPhoto): boolean => photo.mask !== undefined && thingness(photo, photo.mask) >= oneThing;

/** There is no one thing that parts from the rest: no toy, many toys, or one in the colours of what is behind it. */
export function nothingStandsOut(photo: CheckedPhoto): Finding | undefined {
  const { mask } = photo;
  if (!mask) return undefined;
  const { area, border } = reach(mask, photo);
  const thing = thingness(photo, mask);
  const value = thing * Math.min((1 - area) / 0.25, 1) * (1 - Math.min(border * 15, 0.9)); // what is no one thing goes on beyond the photo
  if (value >= oneThing) return undefined;
  return {
    problem: 'nothingStandsOut',
    sentence:
      thing < oneThing
        ? 'Nothing stands out in the photo: put the subject alone before a calm background of another colour, or mark it by hand.'
        : 'What stands out most goes on beyond the photo: mark the subject by hand if it is something else.',
    value,
  };
}

/** How much of the box around its shape, and of the shape's outline, a thing has: 1 for anything toy-like, less for what is frayed. */
function compactness(mask: Uint8Array, size: Size): number {
  const { width, height } = size;
  let [area, outline] = [0, 0];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      if (mask[i]! < 128) continue;
      area++;
      if (x === 0 || mask[i - 1]! < 128) outline++;
      if (x === width - 1 || mask[i + 1]! < 128) outline++;
      if (y === 0 || mask[i - width]! < 128) outline++;
      if (y === height - 1 || mask[i + width]! < 128) outline++;
    }
  return Math.min((10 * Math.sqrt(area)) / outline, 1); // a disc has 4.5 by this count, a star with ears about 7
}

/** A photo's perceptual hash: 64 bits of its lowest frequencies, of brightness; the same picture stored anew differs in a few. */
export function perceptualHash({ rgb, width, height }: CheckedPhoto): bigint {
  const side = 32;
  const grey = new Float64Array(side * side);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const [left, right] = [
        Math.floor((x * width) / side),
        Math.max(Math.floor(((x + 1) * width) / side), Math.floor((x * width) / side) + 1),
      ];
      const [top, bottom] = [
        Math.floor((y * height) / side),
        Math.max(Math.floor(((y + 1) * height) / side), Math.floor((y * height) / side) + 1),
      ];
      let sum = 0;
      for (let v = top; v < bottom; v++)
        for (let u = left; u < right; u++) {
          const i = 3 * (v * width + u);
          sum += 0.299 * rgb[i]! + 0.587 * rgb[i + 1]! + 0.114 * rgb[i + 2]!;
        }
      grey[y * side + x] = sum / ((right - left) * (bottom - top));
    }
  // the cosine transform's first eight frequencies each way, without the mean's
  const low = new Float64Array(64);
  for (let v = 0; v < 8; v++)
    for (let u = 0; u < 8; u++) {
      let sum = 0;
      for (let y = 0; y < side; y++)
        for (let x = 0; x < side; x++)
          sum +=
            grey[y * side + x]! * Math.cos((Math.PI * v * (2 * y + 1)) / (2 * side)) * Math.cos((Math.PI * u * (2 * x + 1)) / (2 * side));
      low[v * 8 + u] = sum;
    }
  const middle = [...low.subarray(1)].sort((a, b) => a - b)[31]!;
  let hash = 0n;
  low.forEach((value, i) => {
    if (i > 0 && value > middle) hash |= 1n << BigInt(i);
  });
  return hash;
}

/** In how many bits two hashes differ. */
export function hashDistance(a: bigint, b: bigint): number {
  let count = 0;
  for (let bits = a ^ b; bits > 0n; bits &= bits - 1n) count++;
  return count;
}

/** Photos that differ in so many bits or fewer are one photo twice. */
const sameBits = 8;

/**
 * Photos that are nearly the same as an earlier one.
 * @param photos a subject's, with the name a sentence calls each by
 */
export function nearDuplicates(
  photos: readonly { readonly name: string; readonly hash: bigint }[],
): (Finding & { of: number; as: number })[] {
  return photos.flatMap(({ name, hash }, of) => {
    const as = photos.findIndex((earlier, i) => i < of && hashDistance(earlier.hash, hash) <= sameBits);
    if (as < 0) return [];
    const sentence = `${name} is nearly the same photo as ${photos[as]!.name}: another view would tell more.`;
    return [{ problem: 'nearDuplicate' as const, sentence, value: hashDistance(photos[as]!.hash, hash), of, as }];
  });
}

/** The views by which a subject is known; photos are labelled by them, others are further details. */
export const views = ['front', 'side', 'back'] as const;

/** The views that no photo is labelled as; nothing where no photo has a label. */
export function viewsMissing(labels: readonly (string | null | undefined)[]): Finding | undefined {
  if (!labels.some(label => typeof label === 'string')) return undefined;
  const missing = views.filter(view => !labels.includes(view));
  if (missing.length === 0) return undefined;
  const list = missing.length === 1 ? missing[0]! : `${missing.slice(0, -1).join(', ')} and ${missing.at(-1)!}`;
  return {
    problem: 'viewsMissing',
    sentence: `No photo shows the ${list}: one more photo ${missing.length === 1 ? 'of it' : 'of each'} would help when the subject turns.`,
    value: missing.length,
  };
}
