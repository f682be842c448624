/**
 * @file What GrabCut starts from and what is kept of its answer: labels of each pixel, from a rectangle, from strokes, from an earlier mask, or
 * found by themselves; then the one thing that stands there, without crumbs and holes.
 *
 * Pictures are RGB of 8 bits [h, w, 3]; labels are [h, w]. Coordinates here are in pixels of the small picture.
 */
import type { Size } from './guided.ts';

/** GrabCut's labels: odd ones are the subject, those from 2 on may change. */
export const [surelyNot, surely, probablyNot, probably] = [0, 1, 2, 3] as const;

/** A part of a picture, in its pixels. */
export interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A line drawn with a round brush over what is the subject, or over what is not; coordinates and `radius` in pixels of the picture. */
export interface Stroke {
  readonly subject: boolean;
  readonly radius: number;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** sRGB to linear light. */
const linear = Float32Array.from({ length: 256 }, (_, i) => {
  const v = i / 255;
  return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
});

/** Of pictures that are still looked at: one that is drawn on is looked at again with each stroke. */
const labs = new WeakMap<Uint8Array, Float32Array>();

/** CIE L*a*b* of each pixel (D65), [n, 3]: distances in it are roughly what eyes see. */
export function labOf(rgb: Uint8Array): Float32Array {
  const known = labs.get(rgb);
  if (known) return known;
  const lab = new Float32Array(rgb.length);
  labs.set(rgb, lab);
  const f = (t: number): number => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
  for (let i = 0; i < rgb.length; i += 3) {
    const [r, g, b] = [linear[rgb[i]!]!, linear[rgb[i + 1]!]!, linear[rgb[i + 2]!]!];
    const x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505);
    const y = f(0.2126 * r + 0.7152 * g + 0.0722 * b);
    const z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089);
    lab[i] = 116 * y - 16;
    lab[i + 1] = 500 * (x - y);
    lab[i + 2] = 200 * (y - z);
  }
  return lab;
}

/** A picture made smaller by means over blocks of `step` x `step` pixels, the last ones cut. */
export function shrunk(rgb: Uint8Array, { width, height }: Size, step: number): { rgb: Uint8Array } & Size {
  const [w, h] = [Math.ceil(width / step), Math.ceil(height / step)];
  const out = new Uint8Array(3 * w * h);
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      const [right, bottom] = [Math.min((x + 1) * step, width), Math.min((y + 1) * step, height)];
      let [r, g, b, n] = [0, 0, 0, 0];
      for (let v = y * step; v < bottom; v++)
        for (let u = x * step; u < right; u++) {
          const i = 3 * (v * width + u);
          r += rgb[i]!;
          g += rgb[i + 1]!;
          b += rgb[i + 2]!;
          n++;
        }
      out.set([r / n, g / n, b / n], 3 * (y * w + x));
    }
  return { rgb: out, width: w, height: h };
}

/** A colour that occurs at the border: its mean in L*a*b*, how far its pixels lie from it (mean square), and its share. */
interface Colour {
  readonly mean: readonly [number, number, number];
  readonly spread: number;
  readonly share: number;
}

/** The main colours of some pixels: k-means in L*a*b*, started far apart. */
function mainColours(lab: Float32Array, pixels: readonly number[], most: number): Colour[] {
  const gap = (i: number, m: readonly number[]): number =>
    (lab[3 * i]! - m[0]!) ** 2 + (lab[3 * i + 1]! - m[1]!) ** 2 + (lab[3 * i + 2]! - m[2]!) ** 2;
  const at = (i: number): [number, number, number] => [lab[3 * i]!, lab[3 * i + 1]!, lab[3 * i + 2]!];
  const means = [at(pixels[pixels.length >> 1]!)];
  const nearest = pixels.map(i => gap(i, means[0]!));
  while (means.length < most) {
    const far = nearest.reduce((best, d, n) => (d > nearest[best]! ? n : best), 0);
    if (nearest[far]! < 16) break; // no eye sees more than these
    const mean = at(pixels[far]!);
    means.push(mean);
    pixels.forEach((i, n) => (nearest[n] = Math.min(nearest[n]!, gap(i, mean))));
  }
  let colours: Colour[] = [];
  for (let round = 0; round < 8; round++) {
    const sums = means.map(() => [0, 0, 0, 0, 0] as [number, number, number, number, number]);
    for (const i of pixels) {
      let [best, least] = [0, Infinity];
      means.forEach((mean, k) => {
        const d = gap(i, mean);
        if (d < least) [best, least] = [k, d];
      });
      const sum = sums[best]!;
      for (let c = 0; c < 3; c++) sum[c]! += lab[3 * i + c]!;
      sum[3]++;
      sum[4] += least;
    }
    colours = [];
    sums.forEach(([l, a, b, n, d], k) => {
      if (n === 0) return;
      means[k] = [l / n, a / n, b / n];
      colours.push({ mean: means[k], spread: d / n, share: n / pixels.length });
    });
  }
  return colours;
}

/** How unlike the border's colours each pixel is, in standard deviations of the likest one. */
export function unlikeBorder(rgb: Uint8Array, size: Size): Float32Array {
  const { width, height } = size;
  const lab = labOf(rgb);
  const rim = Math.max(Math.round(Math.min(width, height) * 0.06), 1);
  const border: number[] = [];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) if (x < rim || y < rim || x >= width - rim || y >= height - rim) border.push(y * width + x);
  const colours = mainColours(lab, border, 12).filter(colour => colour.share > 0.01);
  const unlike = new Float32Array(width * height);
  for (let i = 0; i < unlike.length; i++) {
    let least = Infinity;
    for (const { mean, spread } of colours) {
      const lightness = (lab[3 * i]! - mean[0]) ** 2 / 2; // shadows change it, and nothing else
      least = Math.min(least, (lightness + (lab[3 * i + 1]! - mean[1]) ** 2 + (lab[3 * i + 2]! - mean[2]) ** 2) / (spread + 20));
    }
    unlike[i] = Math.sqrt(least);
  }
  return unlike;
}

/** Labels for a subject that is guessed to fill an ellipse; a thin rim is surely not it. Half axes in pixels. */
export function ellipse(size: Size, at: { x: number; y: number; across: number; down: number }): Uint8Array {
  const { width, height } = size;
  const labels = new Uint8Array(width * height).fill(probablyNot);
  const rim = Math.max(Math.round(Math.min(width, height) * 0.03), 1);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      if (x < rim || y < rim || x >= width - rim || y >= height - rim) labels[y * width + x] = surelyNot;
      else if (((x - at.x) / at.across) ** 2 + ((y - at.y) / at.down) ** 2 < 1) labels[y * width + x] = probably;
  return labels;
}

/**
 * Where a subject may stand: an ellipse at the middle, for that is where people put it, and one where most of what is unlike the border lies.
 * @returns labels to start from, the likelier first
 */
export function automaticStarts(rgb: Uint8Array, size: Size): Uint8Array[] {
  const { width, height } = size;
  const axes = { across: width * 0.25, down: height * 0.33 };
  const unlike = unlikeBorder(rgb, size);
  let [total, x, y] = [0, 0, 0];
  unlike.forEach((value, i) => {
    const weight = Math.min(value, 6) ** 2;
    total += weight;
    x += weight * (i % width);
    y += weight * Math.floor(i / width);
  });
  const starts = [ellipse(size, { x: width / 2, y: height / 2, ...axes })];
  if (total > 0) [x, y] = [x / total, y / total];
  if (total > 0 && Math.hypot(x / width - 0.5, y / height - 0.5) > 0.06)
    starts.push(
      ellipse(size, { x: x + (x - width / 2) * 0.6, y: y + (y - height / 2) * 0.6, across: axes.across * 0.9, down: axes.down * 0.9 }),
    );
  return starts;
}

/** Labels for a subject within a rectangle: outside it is surely not, its corners are probably not. */
export function fromRectangle(size: Size, { x, y, width, height }: Rectangle): Uint8Array {
  const labels = new Uint8Array(size.width * size.height);
  for (let v = Math.max(Math.floor(y), 0); v < Math.min(y + height, size.height); v++)
    for (let u = Math.max(Math.floor(x), 0); u < Math.min(x + width, size.width); u++) {
      const [across, down] = [(2 * (u + 0.5 - x)) / width - 1, (2 * (v + 0.5 - y)) / height - 1];
      labels[v * size.width + u] = across ** 2 + down ** 2 < 1 ? probably : probablyNot;
    }
  return labels;
}

/** Labels for a subject that an earlier mask shows, 0 to 255. */
export const fromMask = (mask: Uint8Array): Uint8Array => mask.map(value => (value > 127 ? probably : probablyNot));

/** The pixels that a brush may touch on its way to a stroke's next point, both ends included. */
function touched(
  { points, radius }: Stroke,
  n: number,
  { width, height }: Size,
): { left: number; top: number; right: number; bottom: number } {
  const [[fromX, fromY], [toX, toY]] = [points[Math.max(n - 1, 0)]!, points[n]!];
  const reach = Math.max(radius, 0.5);
  return {
    left: Math.max(Math.floor(Math.min(fromX, toX) - reach), 0),
    top: Math.max(Math.floor(Math.min(fromY, toY) - reach), 0),
    right: Math.min(Math.ceil(Math.max(fromX, toX) + reach), width - 1),
    bottom: Math.min(Math.ceil(Math.max(fromY, toY) + reach), height - 1),
  };
}

/** How many pixels are looked at to draw strokes, again and again where they cross. */
export function drawingCost(strokes: readonly Stroke[], size: Size): number {
  let cost = 0;
  for (const stroke of strokes)
    for (let n = 0; n < stroke.points.length; n++) {
      const { left, top, right, bottom } = touched(stroke, n, size);
      cost += Math.max(right - left + 1, 0) * Math.max(bottom - top + 1, 0);
    }
  return cost;
}

/** Draws strokes into labels, the later over the earlier: what is drawn is sure. */
export function draw(labels: Uint8Array, size: Size, strokes: readonly Stroke[]): void {
  for (const stroke of strokes) {
    const reach = Math.max(stroke.radius, 0.5) ** 2;
    const label = stroke.subject ? surely : surelyNot;
    stroke.points.forEach(([toX, toY], n) => {
      const [fromX, fromY] = stroke.points[Math.max(n - 1, 0)]!;
      const [dx, dy] = [toX - fromX, toY - fromY];
      const along = dx * dx + dy * dy;
      const { left, top, right, bottom } = touched(stroke, n, size);
      for (let y = top; y <= bottom; y++)
        for (let x = left; x <= right; x++) {
          const [u, v] = [x + 0.5 - fromX, y + 0.5 - fromY];
          const t = along === 0 ? 0 : Math.min(Math.max((u * dx + v * dy) / along, 0), 1);
          if ((u - t * dx) ** 2 + (v - t * dy) ** 2 <= reach) labels[y * size.width + x] = label;
        }
    });
  }
}

/** How far from a stroke, in parts of the picture's longer side, and how unlike its colours a pixel may be to go with it. */
const [together, alike] = [0.15, 3] as const;

/**
 * Lets what is around a stroke, connected with it and of its colours go with it, as a guess: a dab on a foot means the foot. GrabCut by itself would
 * take the dab's colours for the other side's, whose pixels are many more.
 */
export function spread(labels: Uint8Array, rgb: Uint8Array, size: Size, strokes: readonly Stroke[]): void {
  const { width, height } = size;
  const lab = labOf(rgb);
  const far = together * Math.max(width, height);
  for (const stroke of strokes) {
    const drawn = new Uint8Array(labels.length).fill(probablyNot);
    draw(drawn, size, [stroke]);
    const under: number[] = [];
    drawn.forEach((label, i) => {
      if (label !== probablyNot && labels[i] === label) under.push(i);
    });
    if (under.length === 0) continue;
    const colours = mainColours(lab, under, 4);
    const like = (i: number): boolean =>
      colours.some(
        ({ mean, spread }) =>
          (lab[3 * i]! - mean[0]) ** 2 + (lab[3 * i + 1]! - mean[1]) ** 2 + (lab[3 * i + 2]! - mean[2]) ** 2 < alike ** 2 * (spread + 10),
      );
    let [left, top, right, bottom] = [width, height, 0, 0];
    for (const i of under) {
      [left, right] = [Math.min(left, i % width), Math.max(right, i % width)];
      [top, bottom] = [Math.min(top, Math.floor(i / width)), Math.max(bottom, Math.floor(i / width))];
    }
    const [from, to] = stroke.subject ? [probablyNot, probably] : [probably, probablyNot];
    const stack = under;
    const visit = (x: number, y: number): void => {
      const i = y * width + x;
      if (
        x < Math.max(left - far, 0) ||
        x > Math.min(right + far, width - 1) ||
        y < Math.max(top - far, 0) ||
        y > Math.min(bottom + far, height - 1)
      )
        return;
      if (labels[i] !== from || !like(i)) return;
      labels[i] = to;
      stack.push(i);
    };
    for (let i = stack.pop(); i !== undefined; i = stack.pop()) {
      const [x, y] = [i % width, Math.floor(i / width)];
      visit(x - 1, y);
      visit(x + 1, y);
      visit(x, y - 1);
      visit(x, y + 1);
    }
  }
}

/** The connected parts (by edges) of the pixels for which `of` holds: the part's number of each pixel, -1 elsewhere, and the size of each. */
export function parts(of: (i: number) => boolean, { width, height }: Size): { part: Int32Array; sizes: number[] } {
  const n = width * height;
  const part = new Int32Array(n).fill(-1);
  const sizes: number[] = [];
  const stack = new Int32Array(n);
  for (let seed = 0; seed < n; seed++) {
    if (part[seed] !== -1 || !of(seed)) continue;
    const number = sizes.length;
    let [top, count] = [1, 0];
    stack[0] = seed;
    part[seed] = number;
    const visit = (q: number): void => {
      if (part[q] !== -1 || !of(q)) return;
      part[q] = number;
      stack[top++] = q;
    };
    while (top > 0) {
      const p = stack[--top]!;
      const x = p % width;
      count++;
      if (x > 0) visit(p - 1);
      if (x < width - 1) visit(p + 1);
      if (p >= width) visit(p - width);
      if (p < n - width) visit(p + width);
    }
    sizes.push(count);
  }
  return { part, sizes };
}

/**
 * The subject in GrabCut's answer: its largest part, every part that a stroke names, parts a fifth as large; holes of less than a 400th of it closed
 * where no stroke made them.
 * @returns 0 and 255, [h, w]
 */
export function subjectOf(labels: Uint8Array, size: Size): Uint8Array {
  const mask = new Uint8Array(labels.length);
  const found = parts(i => (labels[i]! & 1) === 1, size);
  const most = Math.max(0, ...found.sizes);
  const kept = found.sizes.map(count => count * 5 >= most);
  labels.forEach((label, i) => {
    if (label === surely) kept[found.part[i]!] = true;
  });
  found.part.forEach((part, i) => {
    if (part >= 0 && kept[part]!) mask[i] = 255;
  });
  const area = mask.reduce((sum, value) => sum + (value >> 7), 0);
  const gaps = parts(i => mask[i] === 0, size);
  const closed = gaps.sizes.map(count => count * 400 < area);
  labels.forEach((label, i) => {
    if (label === surelyNot && gaps.part[i]! >= 0) closed[gaps.part[i]!] = false;
  });
  gaps.part.forEach((part, i) => {
    if (part >= 0 && closed[part]!) mask[i] = 255;
  });
  return mask;
}
