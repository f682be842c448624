/** @file The guided filter against its definition, window by window, and what it does to a mask along an edge. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guidedMask, type Guiding, type Size } from '../../native-models/photos/guided.ts';

/** Numbers in [0, 1), the same each time. */
function numbers(seed: number): () => number {
  return () => (seed = (seed * 48271) % 2147483647) / 2147483647;
}

/** The definition: for each window the least squares fit of the mask by colour, solved by elimination; the functions averaged; interpolated. */
function byDefinition(
  rgb: Uint8Array,
  mask: Uint8Array,
  { width: w, height: h }: Size,
  large: { rgb: Uint8Array } & Size,
  { radius, epsilon }: Guiding,
): number[] {
  const window = (x: number, y: number): number[] => {
    const at: number[] = [];
    for (let v = Math.max(y - radius, 0); v <= Math.min(y + radius, h - 1); v++)
      for (let u = Math.max(x - radius, 0); u <= Math.min(x + radius, w - 1); u++) at.push(v * w + u);
    return at;
  };
  const each = Array.from({ length: w * h }, (_, i) => window(i % w, Math.floor(i / w)));
  const fits = each.map(at => {
    const mean = (of: (i: number) => number) => at.reduce((sum, i) => sum + of(i), 0) / at.length;
    const colour = (c: number) => (i: number) => rgb[3 * i + c]! / 255;
    const means = [0, 1, 2].map(c => mean(colour(c)));
    const p = mean(i => mask[i]! / 255);
    const rows = [0, 1, 2].map(c => [
      ...[0, 1, 2].map(d => mean(i => (colour(c)(i) - means[c]!) * (colour(d)(i) - means[d]!)) + (c === d ? epsilon : 0)),
      mean(i => (colour(c)(i) - means[c]!) * (mask[i]! / 255 - p)),
    ]);
    for (let k = 0; k < 3; k++)
      for (let r = 0; r < 3; r++)
        if (r !== k) {
          const f = rows[r]![k]! / rows[k]![k]!;
          rows[r] = rows[r]!.map((v, j) => v - f * rows[k]![j]!);
        }
    const a = rows.map((row, k) => row[3]! / row[k]!);
    return [...a, p - a.reduce((sum, v, c) => sum + v * means[c]!, 0)];
  });
  const averaged = each.map(at => [0, 1, 2, 3].map(c => at.reduce((sum, i) => sum + fits[i]![c]!, 0) / at.length));
  return Array.from({ length: large.width * large.height }, (_, i) => {
    const place = (at: number, from: number, to: number): [number, number, number] => {
      const p = Math.min(Math.max(((at + 0.5) * to) / from - 0.5, 0), to - 1);
      return [Math.floor(p), Math.min(Math.floor(p) + 1, to - 1), p - Math.floor(p)];
    };
    const [l, r, s] = place(i % large.width, large.width, w);
    const [t, b, d] = place(Math.floor(i / large.width), large.height, h);
    const [x, y, z, o] = [0, 1, 2, 3].map(
      c =>
        (averaged[t * w + l]![c]! * (1 - s) + averaged[t * w + r]![c]! * s) * (1 - d) +
        (averaged[b * w + l]![c]! * (1 - s) + averaged[b * w + r]![c]! * s) * d,
    ) as [number, number, number, number];
    return Math.min(Math.max(large.rgb[3 * i]! * x + large.rgb[3 * i + 1]! * y + large.rgb[3 * i + 2]! * z + 255 * o, 0), 255);
  });
}

for (const { name, w, h, W, H, radius } of [
  { name: 'the same size', w: 23, h: 17, W: 23, H: 17, radius: 2 },
  { name: 'three times the size, not by a whole number', w: 23, h: 17, W: 71, H: 53, radius: 3 },
  { name: 'windows larger than the picture', w: 5, h: 4, W: 11, H: 9, radius: 7 },
  { name: 'one row', w: 9, h: 1, W: 20, H: 3, radius: 1 },
  { name: 'one pixel', w: 1, h: 1, W: 4, H: 4, radius: 1 },
])
  test(`a guided mask is what the definition gives: ${name}`, () => {
    const next = numbers(w * 1000 + radius);
    const rgb = Uint8Array.from({ length: 3 * w * h }, () => next() * 256);
    const mask = Uint8Array.from({ length: w * h }, (_, i) => (i % w > w / 2 + next() * 3 ? 255 : 0));
    const large = { rgb: Uint8Array.from({ length: 3 * W * H }, () => next() * 256), width: W, height: H };
    const guiding = { radius, epsilon: 1e-3 };
    const fast = guidedMask({ rgb, mask, width: w, height: h }, large, guiding);
    const slow = byDefinition(rgb, mask, { width: w, height: h }, large, guiding);
    const worst = Math.max(...slow.map((value, i) => Math.abs(value - fast[i]!)));
    assert.ok(worst < 0.52, `differs by ${worst} of 255`); // half of it is rounding
  });

test('an enlarged mask follows the large photo, not the small mask', () => {
  // a disc of radius 100 at 4x, the small mask is off by a pixel
  const paint = (side: number, radius: number, rgb: boolean) =>
    Uint8Array.from({ length: side * side * (rgb ? 3 : 1) }, (_, i) => {
      const p = rgb ? Math.floor(i / 3) : i;
      const inside = Math.hypot((p % side) + 0.5 - side / 2, Math.floor(p / side) + 0.5 - side / 2) < radius;
      return rgb ? (inside ? [200, 60, 40] : [60, 120, 90])[i % 3]! : inside ? 255 : 0;
    });
  const mask = guidedMask(
    { rgb: paint(64, 25, true), mask: paint(64, 25.7, false), width: 64, height: 64 },
    { rgb: paint(256, 100, true), width: 256, height: 256 },
    { radius: 4, epsilon: 4e-4 },
  );
  const truth = paint(256, 100, false);
  const wrong = mask.reduce((sum, value, i) => sum + (value > 127 !== truth[i]! > 127 ? 1 : 0), 0);
  assert.ok(wrong < 0.005 * 256 * 256, `${wrong} pixels of ${256 * 256} are on the wrong side`);
});
