/**
 * @file Photos in, pictures out: the only user of sharp (libvips).
 *
 * Photos come from anywhere, so all of libvips's loaders are blocked but those of JPEG, PNG, WebP and AVIF, and sizes are read before pixels are.
 */
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import sharp from 'sharp';
import { MediaError } from './error.ts';
import { readBytes } from './files.ts';
import { codedProfile, heifProperties, pngParts } from './heif.ts';

sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({ operation: ['VipsForeignLoadJpeg', 'VipsForeignLoadPng', 'VipsForeignLoadWebp', 'VipsForeignLoadHeif'] });
sharp.cache(false); // each photo is read once

/** Most pixels of a photo: twice what a 48-megapixel telephone gives. */
export const pixelLimit = 100_000_000;
/** Most bytes of a photo's file. */
export const byteLimit = 256 << 20;

/** How a photo fills the frame: `contain` shows all of it, the rest white; `cover` fills the frame, cutting at the centre. */
export type Fit = 'contain' | 'cover';

/** The kinds of photo that are read. */
export type PhotoKind = 'JPEG' | 'PNG' | 'WebP' | 'AVIF' | 'HEIC';

/** Photo kinds by their first bytes; what is not here is named as well as it can be and refused. */
const kinds: readonly [RegExp, PhotoKind | { other: string }][] = [
  [/^\xff\xd8\xff/s, 'JPEG'],
  [/^\x89PNG\r\n\x1a\n/s, 'PNG'],
  [/^RIFF....WEBP/s, 'WebP'],
  [/^....ftypavi[fs]/s, 'AVIF'],
  [/^....ftyp(mif1|msf1).{4}.*avif/s, 'AVIF'],
  [/^....ftyp(hei|hev|mif1|msf1)/s, 'HEIC'],
  [/^....ftyp/s, { other: 'a video' }],
  [/^GIF8/s, { other: 'a GIF' }],
  [/^(II\*\0|MM\0\*)/s, { other: 'a TIFF' }],
  [/^BM/s, { other: 'a BMP' }],
  [/^%PDF/s, { other: 'a PDF' }],
  [/^\x1a\x45\xdf\xa3/s, { other: 'a video' }],
  [/^[\s\S]*<svg/i, { other: 'an SVG drawing' }],
];

/**
 * What kind of photo begins with these bytes, whatever its name ends in.
 * @param name begins the sentence
 * @param heic whether HEIC is among the kinds that are read
 * @throws {MediaError} saying what it is instead
 */
export function photoKind(name: string, bytes: Uint8Array, heic: boolean): PhotoKind {
  const head = Buffer.from(bytes.subarray(0, 1024)).toString('latin1');
  const kind = kinds.find(([pattern]) => pattern.test(head))?.[1];
  if (typeof kind === 'string' && (heic || kind !== 'HEIC')) return kind;
  const is = typeof kind === 'string' ? `a ${kind} photo, not` : kind ? `${kind.other}, not` : 'not';
  throw new MediaError(`${name} is ${is} a JPEG, PNG, WebP${heic ? ', AVIF or HEIC' : ' or AVIF'} photo: save it as one of these.`);
}

/** How every photo is opened. */
const options = { limitInputPixels: pixelLimit, failOn: 'error', sequentialRead: true, pages: 1, ignoreIcc: false } as const;

/** Refuses more pixels than are read, before any is: only the header is looked at. */
async function checkPixels(name: string, bytes: Uint8Array): Promise<{ width: number; height: number }> {
  const { width, height } = await sharp(bytes, { ...options, limitInputPixels: false }).metadata();
  if (width * height > pixelLimit) throw tooLarge(name, width, height);
  return { width, height };
}

/** Pixels that each side of a picture must have for a clip to begin with it: the VAE's smallest patch of two. */
export const leastStart = 16;
/** Refuses a picture that shows nothing a clip could begin with.
 * @throws {MediaError} */
export function checkStart(name: string, { width, height }: { width: number; height: number }, least = leastStart): void {
  if (width < least || height < least)
    throw new MediaError(
      `${name} is ${width}x${height}, too small for a clip to begin with: take a picture of at least ${least}x${least}.`,
    );
}

/** The sentence for too many pixels. */
export function tooLarge(name: string, width: number, height: number): MediaError {
  return new MediaError(
    `${name} is ${width}x${height}, ${Math.round((width * height) / 1e6)} megapixels, and at most ${pixelLimit / 1e6} are read: make it smaller.`,
  );
}

/** Turns what a decoder says into one sentence. */
export function damaged(name: string, error: unknown): MediaError {
  if (error instanceof MediaError) return error;
  const why = error instanceof Error ? error.message.trim().split('\n')[0]! : String(error);
  return new MediaError(`${name} cannot be read as a photo, it is cut off or damaged (${why}): open and save it anew, or take another.`, {
    cause: error,
  });
}

/** x / 255 * 2 - 1 in float32, as diffusers' VaeImageProcessor computes it: divide, double, subtract. */
const normalized = Float32Array.from({ length: 256 }, (_, x) => Math.fround(Math.fround(x / 255) * 2) - 1);

/**
 * Reads a photo as the engine takes it: Float32Array [3, H, W], RGB in [-1, 1].
 * EXIF turn, embedded profile (also Display-P3 and CMYK) to sRGB, 16 bits to 8, first frame of an animation, transparency over white; then the
 * fit, by Lanczos with three lobes on gamma-encoded values. A photo that has the size already comes through pixel by pixel.
 * A large JPEG is shrunk by the power of two while it is decoded, so 48 megapixels need no 144 MB.
 * @param size `width` and `height` in pixels, and how the photo fills them; `least`: pixels that each of its sides must have
 * @throws {MediaError} where the file is missing, is no photo, is cut off or damaged, or has more than 100 megapixels
 */
export async function readPhoto(name: string, size: { width: number; height: number; fit: Fit; least?: number }): Promise<Float32Array> {
  const bytes = await readBytes(name, { most: byteLimit, wanted: 'a photo' }); // by us, not by libvips: a disk that reports an error is not a damaged photo
  photoKind(name, bytes, false);
  let pixels: Buffer;
  try {
    const own = await checkPixels(name, bytes);
    if (size.least !== undefined) checkStart(name, own, size.least);
    const decoded = await sharp(bytes, options)
      .autoOrient()
      .flatten({ background: '#ffffff' })
      .resize(size.width, size.height, { fit: size.fit, background: '#ffffff', kernel: 'lanczos3' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    if (decoded.info.width !== size.width || decoded.info.height !== size.height || decoded.info.channels !== 3)
      throw new Error(`libvips gave ${decoded.info.width}x${decoded.info.height}x${decoded.info.channels}`);
    pixels = decoded.data;
  } catch (error) {
    throw damaged(name, error);
  }
  const plane = size.width * size.height;
  const photo = new Float32Array(3 * plane); // [3, H, W]
  for (let i = 0; i < plane; i++) for (let c = 0; c < 3; c++) photo[c * plane + i] = normalized[pixels[3 * i + c]!]!;
  return photo;
}

/** A picture as the library stores it; the same pixels have the same bytes, and nothing but pixels is in them. */
export interface StoredPicture {
  readonly bytes: Buffer;
  readonly extension: 'png' | 'jpg';
  /** Of `bytes`, in hexadecimal. */
  readonly sha256: string;
  /** pixels */
  readonly width: number;
  readonly height: number;
}

/** Longest side of a stored photo. */
const longestStored = 4096;
/** Pixels up to which a photo is stored without loss: any, and one that came without loss. */
const [losslessPixels, losslessPixelsOfLossless] = [2 << 20, 8 << 20];

const stored = (bytes: Buffer, extension: 'png' | 'jpg', width: number, height: number): StoredPicture => ({
  bytes,
  extension,
  sha256: createHash('sha256').update(bytes).digest('hex'),
  width,
  height,
});

/** Pixels that are worked on before others get their turn in this process: some ten milliseconds. */
const band = 1 << 20;

/** Lays RGB over white by an alpha of its own: colour * alpha + white * (1 - alpha), rounded, in the bytes of `rgb`. */
async function overWhite(rgb: Uint8Array, alpha: Uint8Array): Promise<void> {
  for (let i = 0; i < alpha.length; i++) {
    if (i % band === 0) await nextTurn();
    const a = alpha[i]!;
    if (a === 255) continue;
    const white = 255 * (255 - a) + 127;
    for (let c = 3 * i; c < 3 * i + 3; c++) rgb[c] = ((rgb[c]! * a + white) / 255) | 0;
  }
}

/** Splits RGBA into RGB and alpha; alpha is undefined where all of it is opaque. */
async function split(rgba: Uint8Array): Promise<{ rgb: Buffer; alpha: Buffer | undefined }> {
  const pixels = rgba.length / 4;
  const [rgb, alpha] = [Buffer.alloc(3 * pixels), Buffer.alloc(pixels)];
  let opaque = 255;
  for (let i = 0; i < pixels; i++) {
    if (i % band === 0) await nextTurn();
    rgb[3 * i] = rgba[4 * i]!;
    rgb[3 * i + 1] = rgba[4 * i + 1]!;
    rgb[3 * i + 2] = rgba[4 * i + 2]!;
    opaque &= alpha[i] = rgba[4 * i + 3]!;
  }
  return { rgb, alpha: opaque === 255 ? undefined : alpha };
}

/** 8-bit grey [H, W] as a PNG. */
async function greyPng(grey: Uint8Array, width: number, height: number): Promise<StoredPicture> {
  const png = await sharp(grey, { raw: { width, height, channels: 1 } })
    .toColourspace('b-w')
    .png()
    .toBuffer();
  return stored(png, 'png', width, height);
}

/** Whether a WebP's picture is stored without loss. */
function losslessWebp(bytes: Uint8Array): boolean {
  const webp = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 12; at + 8 <= webp.length; at += (8 + ((webp.readUInt32LE(at + 4) + 1) & ~1)) >>> 0) {
    const type = webp.toString('latin1', at, at + 4);
    if (type === 'VP8L') return true;
    if (type === 'VP8 ' || type === 'ANMF') return false;
  }
  return false;
}

/** An AVIF whose colour is given by numbers alone, which libvips does not look at, as a PNG with the profile; any other as it is. */
async function withProfile(bytes: Uint8Array): Promise<Uint8Array> {
  const colour = heifProperties(bytes)?.colour;
  const profile = colour && codedProfile(colour);
  if (!profile || (await sharp(bytes, options).metadata()).hasProfile) return bytes;
  const { data, info } = await sharp(bytes, options).toColourspace('srgb').raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  if (channels !== 3 && channels !== 4) return bytes; // grey
  const row = (y: number): Uint8Array => data.subarray(y * width * channels, (y + 1) * width * channels);
  return Buffer.concat([...pngParts({ width, height, channels, row }, profile)]);
}

/**
 * Makes of a photo what the library keeps: upright, sRGB, 8 bits, the longest side at most 4096, over white, without any metadata.
 * PNG up to 2 megapixels, and up to 8 where the photo came without loss; else JPEG of quality 95 with full chroma.
 * @param photo its bytes, and what begins a sentence about it; `lossy`: it was decoded from a lossy kind before
 * @returns the photo, and its transparency as a mask (8-bit grey, of the photo's size, white the subject) where it has any
 * @throws {MediaError} where it is damaged, cut off, empty or has more than 100 megapixels
 */
export async function storePhoto(photo: {
  name: string;
  bytes: Uint8Array;
  lossy?: boolean;
}): Promise<{ photo: StoredPicture; mask: StoredPicture | undefined }> {
  const { name, bytes } = photo;
  const kind = photoKind(name, bytes, false);
  try {
    await checkPixels(name, bytes);
    const { data, info } = await sharp(kind === 'AVIF' ? await withProfile(bytes) : bytes, options)
      .autoOrient()
      .resize(longestStored, longestStored, { fit: 'inside', withoutEnlargement: true, kernel: 'lanczos3' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    if (channels !== 3 && channels !== 4) throw new Error(`libvips gave ${channels} channels`);
    const { rgb, alpha } = channels === 4 ? await split(data) : { rgb: data, alpha: undefined };
    if (alpha && !alpha.some(value => value > 0)) throw new MediaError(`${name} is transparent all over: take another photo.`);
    if (alpha) await overWhite(rgb, alpha);
    const lossless = photo.lossy !== true && (kind === 'PNG' || (kind === 'WebP' && losslessWebp(bytes)));
    const picture = sharp(rgb, { raw: { width, height, channels: 3 } });
    const extension = width * height <= (lossless ? losslessPixelsOfLossless : losslessPixels) ? 'png' : 'jpg';
    const encoded = await (extension === 'png' ? picture.png() : picture.jpeg({ quality: 95, chromaSubsampling: '4:4:4' })).toBuffer();
    return { photo: stored(encoded, extension, width, height), mask: alpha && (await greyPng(alpha, width, height)) };
  } catch (error) {
    throw damaged(name, error);
  }
}

/**
 * A small JPEG of a photo, upright, over white.
 * @param photo path or bytes of a JPEG, PNG, WebP or AVIF
 * @param longest the longer side's most pixels; a smaller photo keeps its size
 * @throws {MediaError} where it cannot be read
 */
export async function photoThumbnail(photo: string | Uint8Array, longest = 320): Promise<Buffer> {
  const name = typeof photo === 'string' ? photo : 'the photo';
  const bytes = typeof photo === 'string' ? await readBytes(photo, { most: byteLimit, wanted: 'a photo' }) : photo;
  photoKind(name, bytes, false);
  try {
    await checkPixels(name, bytes);
    return await sharp(bytes, options)
      .autoOrient()
      .flatten({ background: '#ffffff' })
      .resize(longest, longest, { fit: 'inside', withoutEnlargement: true })
      .toColourspace('srgb')
      .jpeg({ quality: 80 })
      .toBuffer();
  } catch (error) {
    throw damaged(name, error);
  }
}

/** Share of a mask's pixels that may be coloured, and from which difference between channels one counts as coloured: JPEG leaves a little. */
const [colouredShare, colouredFrom] = [0.01, 32];

/**
 * Makes of a mask that someone drew what the library keeps: 8-bit grey, white the subject. Its transparency is the mask where it has any,
 * else its brightness; a colour profile is not applied.
 * @param width of the photo it belongs to, in pixels
 * @throws {MediaError} where it is no picture, has another size than the photo, is coloured, or marks nothing
 */
export async function checkMask(bytes: Uint8Array, width: number, height: number): Promise<StoredPicture> {
  const name = 'the mask';
  photoKind(name, bytes, false);
  try {
    await checkPixels(name, bytes);
    const { data, info } = await sharp(bytes, { ...options, ignoreIcc: true })
      .autoOrient()
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    if (info.width !== width || info.height !== height)
      throw new MediaError(`the mask is ${info.width}x${info.height} and the photo ${width}x${height}: make them the same size.`);
    const { rgb, alpha } = info.channels === 4 ? await split(data) : { rgb: data, alpha: undefined };
    let grey = alpha;
    if (!grey) {
      grey = Buffer.alloc(width * height);
      let coloured = 0;
      for (let i = 0; i < grey.length; i++) {
        if (i % band === 0) await nextTurn();
        const r = rgb[3 * i]!;
        const g = rgb[3 * i + 1]!;
        const b = rgb[3 * i + 2]!;
        if (Math.max(r, g, b) - Math.min(r, g, b) > colouredFrom) coloured++;
        grey[i] = ((r + g + b + 1) / 3) | 0;
      }
      if (coloured > colouredShare * grey.length)
        throw new MediaError('the mask is a coloured picture: give a grey one, white where the subject is, or a transparent one.');
    }
    if (!grey.some(value => value > 0)) throw new MediaError('the mask marks nothing: make the subject white in it.');
    return await greyPng(grey, width, height);
  } catch (error) {
    throw damaged(name, error);
  }
}

/**
 * A reference picture for the model: a stored photo, cropped, and cut out onto white where that is asked for. The same input gives the same bytes.
 * @param reference paths of the photo and of its mask; `crop` in pixels of the photo; without `cutOut` the mask is not read
 * @returns a PNG, RGB of 8 bits, of the crop's size
 * @throws {MediaError} where a file cannot be read, the crop lies outside of the photo, or there is no mask of its size to cut out by
 */
export async function prepareReference(reference: {
  photo: string;
  crop: { x: number; y: number; width: number; height: number } | null;
  mask: string | null;
  cutOut: boolean;
}): Promise<Buffer> {
  const { photo, mask, cutOut } = reference;
  if (cutOut && mask === null) throw new MediaError(`${photo} cannot be cut out: it has no mask, give it one or use it whole.`);
  const open = async (name: string): Promise<{ name: string; bytes: Buffer; size: { width: number; height: number } }> => {
    const bytes = await readBytes(name, { most: byteLimit, wanted: 'a photo' });
    photoKind(name, bytes, false);
    try {
      await checkPixels(name, bytes);
      const { width, height } = await sharp(bytes, options).metadata();
      return { name, bytes, size: { width, height } };
    } catch (error) {
      throw damaged(name, error);
    }
  };
  const whole = await open(photo);
  const size = whole.size;
  const { x, y, width, height } = reference.crop ?? { x: 0, y: 0, ...size };
  if (
    ![x, y, width, height].every(Number.isInteger) ||
    x < 0 ||
    y < 0 ||
    width < 1 ||
    height < 1 ||
    x + width > size.width ||
    y + height > size.height
  )
    throw new MediaError(
      `the crop of ${width}x${height} at ${x},${y} does not lie within ${photo}, which is ${size.width}x${size.height}: choose another.`,
    );
  /** The cropped pixels, with so many channels. */
  const pixels = async ({ name, bytes }: { name: string; bytes: Buffer }, channels: 1 | 3): Promise<Buffer> => {
    try {
      const decoded = await sharp(bytes, options)
        .extract({ left: x, top: y, width, height })
        .flatten({ background: '#ffffff' })
        .toColourspace(channels === 1 ? 'b-w' : 'srgb')
        .raw({ depth: 'uchar' })
        .toBuffer({ resolveWithObject: true });
      if (decoded.info.channels !== channels) throw new Error(`libvips gave ${decoded.info.channels} channels`);
      return decoded.data;
    } catch (error) {
      throw damaged(name, error);
    }
  };
  const rgb = await pixels(whole, 3);
  if (cutOut && mask !== null) {
    const of = await open(mask);
    if (of.size.width !== size.width || of.size.height !== size.height)
      throw new MediaError(
        `${mask} is ${of.size.width}x${of.size.height} and its photo ${size.width}x${size.height}: give the photo a new mask.`,
      );
    await overWhite(rgb, await pixels(of, 1));
  }
  return sharp(rgb, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

/** Pixels of 8 bits: RGB [H, W, 3] or grey [H, W]. */
export interface Pixels {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/**
 * A photo's pixels, upright, sRGB, over white: all of them, and made small, where it is larger than that.
 * @param name begins a sentence about it
 * @param longest the small one's longer side, in pixels
 * @throws {MediaError} where it is no photo, damaged, or has more than 100 megapixels
 */
export async function photoPixels(name: string, bytes: Uint8Array, longest: number): Promise<{ whole: Pixels; small: Pixels }> {
  photoKind(name, bytes, false);
  try {
    await checkPixels(name, bytes);
    const { data, info } = await sharp(bytes, options)
      .autoOrient()
      .flatten({ background: '#ffffff' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new Error(`libvips gave ${info.channels} channels`);
    const { width, height } = info;
    const made = await sharp(data, { raw: { width, height, channels: 3 }, limitInputPixels: pixelLimit })
      .resize(longest, longest, { fit: 'inside', withoutEnlargement: true })
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { whole: { data, width, height }, small: { data: made.data, width: made.info.width, height: made.info.height } };
  } catch (error) {
    throw damaged(name, error);
  }
}

/** A mask as the library keeps it, of 8-bit grey pixels. Compressed little: somebody waits for it. */
export async function maskPicture({ data, width, height }: Pixels): Promise<StoredPicture> {
  const png = await sharp(data, { raw: { width, height, channels: 1 }, limitInputPixels: pixelLimit })
    .toColourspace('b-w')
    .png({ compressionLevel: 3, adaptiveFiltering: false })
    .toBuffer();
  return stored(png, 'png', width, height);
}

/**
 * A stored mask's pixels, made small.
 * @param of the size that it must have, the photo's
 * @throws {MediaError} where it is no mask of that size
 */
export async function maskPixels(
  bytes: Uint8Array,
  of: { width: number; height: number },
  to: { width: number; height: number },
): Promise<Uint8Array> {
  const mask = await checkMask(bytes, of.width, of.height);
  return sharp(mask.bytes, { limitInputPixels: pixelLimit })
    .resize(to.width, to.height, { fit: 'fill' })
    .toColourspace('b-w')
    .raw()
    .toBuffer();
}

/**
 * A small JPEG of one RGB24 frame for progress events.
 * @param frame [H, W, 3]
 * @param longest the longer side's most pixels; a smaller frame keeps its size
 */
export async function previewJpeg(frame: Uint8Array, width: number, height: number, longest = 256): Promise<Uint8Array> {
  return sharp(frame, { raw: { width, height, channels: 3 } })
    .resize(longest, longest, { fit: 'inside', withoutEnlargement: true })
    .jpeg({ quality: 80 })
    .toBuffer();
}

/**
 * A PNG that shows a clip at a glance: frames side by side in rows, in order, on white with a gap of four pixels.
 * @param frames RGB24, [H, W, 3] each
 * @param sheet `columns` of the sheet
 */
export async function contactSheet(
  frames: readonly Uint8Array[],
  sheet: { width: number; height: number; columns: number },
): Promise<Uint8Array> {
  const gap = 4;
  const { width, height, columns } = sheet;
  const rows = Math.ceil(frames.length / columns);
  const cells = frames.map((frame, i) => ({
    input: Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength),
    raw: { width, height, channels: 3 as const },
    left: (i % columns) * (width + gap),
    top: Math.floor(i / columns) * (height + gap),
  }));
  const full = { width: columns * (width + gap) - gap, height: Math.max(rows, 1) * (height + gap) - gap };
  return sharp({ create: { ...full, channels: 3, background: '#ffffff' } })
    .composite(cells)
    .removeAlpha()
    .png({ compressionLevel: 9 })
    .toBuffer();
}

/**
 * A JPEG strip of frames in one row, in order, without gaps.
 * @param frames RGB24, [H, W, 3] each
 * @param tallest the row's most pixels in height; smaller frames keep their size
 */
export async function filmStrip(frames: readonly Uint8Array[], size: { width: number; height: number }, tallest: number): Promise<Buffer> {
  const height = Math.min(size.height, tallest);
  const width = Math.max(Math.round((size.width * height) / size.height), 1);
  const cells = await Promise.all(
    frames.map(async (frame, i) => ({
      input: await sharp(frame, { raw: { ...size, channels: 3 } })
        .resize(width, height, { fit: 'fill' })
        .raw()
        .toBuffer(),
      raw: { width, height, channels: 3 as const },
      left: i * width,
      top: 0,
    })),
  );
  return sharp({ create: { width: frames.length * width, height, channels: 3, background: '#ffffff' } })
    .composite(cells)
    .removeAlpha()
    .jpeg({ quality: 80 })
    .toBuffer();
}
