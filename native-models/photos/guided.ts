/**
 * @file A mask made at a small size, brought to the photo's own size along the photo's edges: the guided filter with a colour guide.
 *
 * Within each window the mask is taken to be a linear function of the photo's colour (K. He, J. Sun, X. Tang, "Guided Image Filtering", 2013,
 * equations 19 to 21). The functions are found at the small size, averaged, and applied to the large photo, their four numbers interpolated
 * (K. He, J. Sun, "Fast Guided Filter", arXiv:1505.00996). Where a whole neighbourhood of the mask has one value, so has the result: most of a
 * large photo is filled, not computed.
 */

/** A picture's size in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** `radius` of the windows, in pixels of the small picture, and what is added to the colours' variance ([0, 1] scale): more is smoother. */
export interface Guiding {
  readonly radius: number;
  readonly epsilon: number;
}

/** Means over windows of 2 radius + 1 pixels a side, cut at the borders. */
function boxMeans(plane: Float32Array, { width, height }: Size, radius: number): Float32Array {
  const rows = new Float32Array(plane.length);
  for (let y = 0; y < height; y++) {
    const at = y * width;
    let sum = 0;
    for (let x = 0; x < Math.min(radius, width); x++) sum += plane[at + x]!;
    for (let x = 0; x < width; x++) {
      if (x + radius < width) sum += plane[at + x + radius]!;
      if (x > radius) sum -= plane[at + x - radius - 1]!;
      rows[at + x] = sum / (Math.min(x + radius, width - 1) - Math.max(x - radius, 0) + 1);
    }
  }
  const means = new Float32Array(plane.length);
  const sums = new Float64Array(width);
  for (let y = 0; y < Math.min(radius, height); y++) for (let x = 0; x < width; x++) sums[x]! += rows[y * width + x]!;
  for (let y = 0; y < height; y++) {
    const [add, drop] = [(y + radius) * width, (y - radius - 1) * width];
    if (y + radius < height) for (let x = 0; x < width; x++) sums[x]! += rows[add + x]!;
    if (y > radius) for (let x = 0; x < width; x++) sums[x]! -= rows[drop + x]!;
    const count = Math.min(y + radius, height - 1) - Math.max(y - radius, 0) + 1;
    for (let x = 0; x < width; x++) means[y * width + x] = sums[x]! / count;
  }
  return means;
}

/** The averaged linear functions: mask = red * planes[0] + green * planes[1] + blue * planes[2] + planes[3], colours in [0, 1]. */
type Functions = readonly [Float32Array, Float32Array, Float32Array, Float32Array];

type F = Float32Array;
type Thirteen = [F, F, F, F, F, F, F, F, F, F, F, F, F];

/** The linear functions of each window, averaged over the windows that hold a pixel. */
function linearFunctions(guide: Uint8Array, mask: Uint8Array, size: Size, { radius, epsilon }: Guiding): Functions {
  const n = size.width * size.height;
  // p, r, g, b, pr, pg, pb, rr, rg, rb, gg, gb, bb: of which the means over windows are wanted
  const planes = Array.from({ length: 13 }, () => new Float32Array(n));
  const [p_, r_, g_, b_, pr_, pg_, pb_, rr_, rg_, rb_, gg_, gb_, bb_] = planes as Thirteen;
  for (let i = 0; i < n; i++) {
    const [is, red, green, blue] = [mask[i]! / 255, guide[3 * i]! / 255, guide[3 * i + 1]! / 255, guide[3 * i + 2]! / 255];
    p_[i] = is;
    r_[i] = red;
    g_[i] = green;
    b_[i] = blue;
    pr_[i] = is * red;
    pg_[i] = is * green;
    pb_[i] = is * blue;
    rr_[i] = red * red;
    rg_[i] = red * green;
    rb_[i] = red * blue;
    gg_[i] = green * green;
    gb_[i] = green * blue;
    bb_[i] = blue * blue;
  }
  const [p, r, g, b, pr, pg, pb, rr, rg, rb, gg, gb, bb] = planes.map(plane => boxMeans(plane, size, radius)) as Thirteen;
  const [ar, ag, ab, offset] = [new Float32Array(n), new Float32Array(n), new Float32Array(n), new Float32Array(n)];
  for (let i = 0; i < n; i++) {
    const [mr, mg, mb, mp] = [r[i]!, g[i]!, b[i]!, p[i]!];
    // the symmetric matrix of covariances, and its inverse by cofactors
    const [sxx, sxy, sxz] = [rr[i]! - mr * mr + epsilon, rg[i]! - mr * mg, rb[i]! - mr * mb];
    const [syy, syz, szz] = [gg[i]! - mg * mg + epsilon, gb[i]! - mg * mb, bb[i]! - mb * mb + epsilon];
    const [cxx, cxy, cxz] = [syy * szz - syz * syz, sxz * syz - sxy * szz, sxy * syz - sxz * syy];
    const [cyy, cyz, czz] = [sxx * szz - sxz * sxz, sxy * sxz - sxx * syz, sxx * syy - sxy * sxy];
    const determinant = sxx * cxx + sxy * cxy + sxz * cxz;
    const [vr, vg, vb] = [pr[i]! - mr * mp, pg[i]! - mg * mp, pb[i]! - mb * mp];
    const x = (cxx * vr + cxy * vg + cxz * vb) / determinant;
    const y = (cxy * vr + cyy * vg + cyz * vb) / determinant;
    const z = (cxz * vr + cyz * vg + czz * vb) / determinant;
    ar[i] = x;
    ag[i] = y;
    ab[i] = z;
    offset[i] = mp - x * mr - y * mg - z * mb;
  }
  return [boxMeans(ar, size, radius), boxMeans(ag, size, radius), boxMeans(ab, size, radius), boxMeans(offset, size, radius)];
}

/** Marks the pixels of which all that a window's windows reach has one value: 1 all zero, 2 all 255, 0 both or between. */
function settled(mask: Uint8Array, size: Size, reach: number): Uint8Array {
  const n = mask.length;
  const lit = boxMeans(new Float32Array(mask), size, reach);
  const marks = new Uint8Array(n);
  for (let i = 0; i < n; i++) marks[i] = lit[i]! < 1e-4 ? 1 : lit[i]! > 255 - 1e-4 ? 2 : 0;
  return marks;
}

/** The linear functions where they are asked for, zeros elsewhere: around the pixels that are not settled, most often a part of the picture. */
function functionsAround(marks: Uint8Array, guide: Uint8Array, mask: Uint8Array, { width, height }: Size, guiding: Guiding): Functions {
  let [left, top, right, bottom] = [width, height, -1, -1];
  marks.forEach((mark, i) => {
    if (mark !== 0) return;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
  });
  const around = 2 * guiding.radius + 1; // a pixel's neighbours are asked for too, and two windows reach so far
  [left, top] = [Math.max(left - around, 0), Math.max(top - around, 0)];
  [right, bottom] = [Math.min(right + around + 1, width), Math.min(bottom + around + 1, height)];
  const part = { width: Math.max(right - left, 0), height: Math.max(bottom - top, 0) };
  const [colours, inside] = [new Uint8Array(3 * part.width * part.height), new Uint8Array(part.width * part.height)];
  for (let y = 0; y < part.height; y++) {
    const [from, to] = [(top + y) * width + left, y * part.width];
    colours.set(guide.subarray(3 * from, 3 * (from + part.width)), 3 * to);
    inside.set(mask.subarray(from, from + part.width), to);
  }
  const whole = (plane: Float32Array): Float32Array => {
    const out = new Float32Array(width * height);
    for (let y = 0; y < part.height; y++) out.set(plane.subarray(y * part.width, (y + 1) * part.width), (top + y) * width + left);
    return out;
  };
  const [red, green, blue, offset] = linearFunctions(colours, inside, part, guiding);
  return [whole(red), whole(green), whole(blue), whole(offset)];
}

/**
 * Brings a mask to a photo's size.
 * @param small the photo made small, RGB [h, w, 3], and its mask [h, w], 0 to 255
 * @param large the photo, RGB [H, W, 3], H / h and W / w at least 1 and about equal; may be the small one
 * @returns [H, W], 0 to 255
 */
export function guidedMask(
  small: { readonly rgb: Uint8Array; readonly mask: Uint8Array } & Size,
  large: { readonly rgb: Uint8Array } & Size,
  guiding: Guiding,
): Uint8Array {
  const { width: w, height: h } = small;
  const { width, height, rgb } = large;
  const marks = settled(small.mask, small, 2 * guiding.radius);
  const [red, green, blue, offset] = functionsAround(marks, small.rgb, small.mask, small, guiding);
  const out = new Uint8Array(width * height);
  // where each column of the large picture lies among the small one's
  const left = new Int32Array(width);
  const share = new Float32Array(width);
  for (let x = 0; x < width; x++) {
    const at = Math.min(Math.max(((x + 0.5) * w) / width - 0.5, 0), w - 1);
    left[x] = Math.min(Math.floor(at), Math.max(w - 2, 0));
    share[x] = at - left[x]!;
  }
  const next = Math.min(1, w - 1);
  const first = new Int32Array(w + 1).fill(width); // the first column that lies at or after each
  for (let x = width - 1; x >= 0; x--) first[left[x]!] = x;
  for (let l = w - 1; l >= 0; l--) first[l] = Math.min(first[l]!, first[l + 1]!);
  const line = [new Float32Array(w), new Float32Array(w), new Float32Array(w), new Float32Array(w)] as const;
  for (let y = 0; y < height; y++) {
    const at = Math.min(Math.max(((y + 0.5) * h) / height - 0.5, 0), h - 1);
    const top = Math.min(Math.floor(at), Math.max(h - 2, 0));
    const [above, below, down] = [top * w, Math.min(top + 1, h - 1) * w, at - top];
    for (let x = 0; x < w; x++) {
      line[0][x] = red[above + x]! + (red[below + x]! - red[above + x]!) * down;
      line[1][x] = green[above + x]! + (green[below + x]! - green[above + x]!) * down;
      line[2][x] = blue[above + x]! + (blue[below + x]! - blue[above + x]!) * down;
      line[3][x] = offset[above + x]! + (offset[below + x]! - offset[above + x]!) * down;
    }
    for (let x = 0; x < width; x++) {
      const l = left[x]!;
      const i = y * width + x;
      const mark = marks[above + l]! & marks[above + l + next]! & marks[below + l]! & marks[below + l + next]!;
      if (mark !== 0) {
        const end = first[l + 1]!; // all columns between these two of the small picture
        if (mark === 2) out.fill(255, i, y * width + end);
        x = end - 1;
        continue;
      }
      const s = share[x]!;
      const m = l + next;
      const value =
        rgb[3 * i]! * (line[0][l]! + (line[0][m]! - line[0][l]!) * s) +
        rgb[3 * i + 1]! * (line[1][l]! + (line[1][m]! - line[1][l]!) * s) +
        rgb[3 * i + 2]! * (line[2][l]! + (line[2][m]! - line[2][l]!) * s) +
        255 * (line[3][l]! + (line[3][m]! - line[3][l]!) * s);
      out[i] = value <= 0 ? 0 : value >= 255 ? 255 : (value + 0.5) | 0;
    }
  }
  return out;
}
