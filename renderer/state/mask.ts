/** @file Masks and crops as numbers: painting, packing, rectangles. No canvas here. */

/** Pixels, its corner included; `width` and `height` may be 0. */
export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}
/** A mask at the size it is worked on: 0 is around the subject, 255 the subject. */
export interface Mask {
  readonly data: Uint8Array<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
}
export type Point = readonly [x: number, y: number];

export const emptyMask = (width: number, height: number): Mask => ({ data: new Uint8Array(width * height), width, height });

/** Runs of one value: value, then their length in sevens of bits. A mask is a few runs a row. */
export function pack({ data }: Mask): Uint8Array<ArrayBuffer> {
  let out = new Uint8Array(4096),
    at = 0;
  for (let i = 0; i < data.length;) {
    const value = data[i]!;
    let end = i + 1;
    while (end < data.length && data[end] === value) end++;
    if (at + 8 > out.length) {
      const larger = new Uint8Array(out.length * 2);
      larger.set(out);
      out = larger;
    }
    out[at++] = value;
    let length = end - i;
    for (; length > 127; length >>>= 7) out[at++] = (length & 127) | 128;
    out[at++] = length;
    i = end;
  }
  return out.slice(0, at);
}
/** @param into a mask of the size that was packed; all of it is overwritten */
export function unpack(packed: Uint8Array, into: Mask): void {
  let at = 0,
    to = 0;
  while (at < packed.length) {
    const value = packed[at++]!;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const part = packed[at++]!;
      length |= (part & 127) << shift;
      if (part < 128) break;
    }
    into.data.fill(value, to, to + length);
    to += length;
  }
}

/** Draws a line with a round brush and a soft rim of one pixel.
 * @param radius in pixels of the mask
 * @returns the pixels that may have changed */
export function paint({ data, width, height }: Mask, from: Point, to: Point, radius: number, subject: boolean): Rect {
  const left = Math.max(0, Math.floor(Math.min(from[0], to[0]) - radius - 1)),
    top = Math.max(0, Math.floor(Math.min(from[1], to[1]) - radius - 1)),
    right = Math.min(width, Math.ceil(Math.max(from[0], to[0]) + radius + 2)),
    bottom = Math.min(height, Math.ceil(Math.max(from[1], to[1]) + radius + 2));
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]],
    square = dx * dx + dy * dy;
  const within = Math.max(0, radius - 0.5) ** 2,
    beyond = (radius + 0.5) ** 2,
    all = subject ? 255 : 0;
  for (let y = top; y < bottom; y++) {
    const py = y + 0.5 - from[1];
    for (let x = left, i = y * width + left; x < right; x++, i++) {
      const px = x + 0.5 - from[0],
        along = square === 0 ? 0 : Math.min(1, Math.max(0, (px * dx + py * dy) / square)),
        ax = px - along * dx,
        ay = py - along * dy,
        far = ax * ax + ay * ay;
      if (far >= beyond) continue;
      if (far <= within) {
        data[i] = all;
        continue;
      }
      const value = Math.round(255 * Math.min(1, Math.max(0, radius - Math.sqrt(far) + 0.5)));
      data[i] = subject ? Math.max(data[i]!, value) : Math.min(data[i]!, 255 - value);
    }
  }
  return { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
}

export const union = (a: Rect | undefined, b: Rect): Rect => {
  if (!a) return b;
  const x = Math.min(a.x, b.x),
    y = Math.min(a.y, b.y);
  return { x, y, width: Math.max(a.x + a.width, b.x + b.width) - x, height: Math.max(a.y + a.height, b.y + b.height) - y };
};

/** Whether it marks anything. */
export const marksAnything = ({ data }: Mask): boolean => data.some(value => value > 0);

/** The sides that are moved by a handle: `nw`, `e`; `move` moves all of it. */
export type Handle = 'n' | 'ne' | 'e' | 'se' | 's' | 'sw' | 'w' | 'nw' | 'move';
/** Pixels that each side of a crop keeps at least. */
export const leastCrop = 32;

/** Moves a handle of a rectangle.
 * @param within what it stays in, from 0, 0
 * @param aspect width to height that it keeps; null: any
 * @returns whole pixels */
export function dragged(
  start: Rect,
  handle: Handle,
  by: Point,
  within: { readonly width: number; readonly height: number },
  aspect: number | null,
  least = leastCrop,
): Rect {
  const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), Math.max(low, high));
  if (handle === 'move')
    return {
      ...start,
      x: Math.round(clamp(start.x + by[0], 0, within.width - start.width)),
      y: Math.round(clamp(start.y + by[1], 0, within.height - start.height)),
    };
  const [west, east, north, south] = ['w', 'e', 'n', 's'].map(side => handle.includes(side));
  let left = start.x,
    top = start.y,
    right = start.x + start.width,
    bottom = start.y + start.height;
  if (west) left = clamp(left + by[0], 0, right - least);
  if (east) right = clamp(right + by[0], left + least, within.width);
  if (north) top = clamp(top + by[1], 0, bottom - least);
  if (south) bottom = clamp(bottom + by[1], top + least, within.height);
  if (aspect !== null) {
    // the side that is not held gives way; about the middle where neither of two is
    let width = right - left,
      height = bottom - top;
    if ((west || east) && (north || south)) {
      if (width / height > aspect) width = height * aspect;
      else height = width / aspect;
    } else if (west || east) height = width / aspect;
    else width = height * aspect;
    const room = {
      width: west ? right : east ? within.width - left : within.width,
      height: north ? bottom : south ? within.height - top : within.height,
    };
    const fit = Math.min(1, room.width / width, room.height / height);
    width *= fit;
    height *= fit;
    if (west) left = right - width;
    else if (east) right = left + width;
    else {
      left = clamp((left + right - width) / 2, 0, within.width - width);
      right = left + width;
    }
    if (north) top = bottom - height;
    else if (south) bottom = top + height;
    else {
      top = clamp((top + bottom - height) / 2, 0, within.height - height);
      bottom = top + height;
    }
  }
  const [x, y] = [Math.round(left), Math.round(top)];
  return {
    x,
    y,
    width: Math.max(1, Math.min(within.width - x, Math.round(right - left))),
    height: Math.max(1, Math.min(within.height - y, Math.round(bottom - top))),
  };
}

/** The largest rectangle of a shape in the middle of another, whole pixels. */
export function centred(within: Rect, aspect: number): Rect {
  const width = Math.min(within.width, within.height * aspect),
    height = Math.min(within.height, within.width / aspect);
  return {
    x: Math.round(within.x + (within.width - width) / 2),
    y: Math.round(within.y + (within.height - height) / 2),
    width: Math.max(1, Math.round(width)),
    height: Math.max(1, Math.round(height)),
  };
}

/** What shows a part of a picture as if it were all of it: a value of `object-view-box`. */
export function viewBox(crop: Rect | null, { width, height }: { readonly width: number; readonly height: number }): string | undefined {
  if (!crop || width === 0 || height === 0) return undefined;
  const part = (of: number, whole: number) => `${((100 * of) / whole).toFixed(3)}%`;
  return `inset(${part(crop.y, height)} ${part(width - crop.x - crop.width, width)} ${part(height - crop.y - crop.height, height)} ${part(crop.x, width)})`;
}
