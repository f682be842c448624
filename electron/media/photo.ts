/**
 * @file Photos in, pictures out: the only user of sharp (libvips).
 *
 * Photos come from anywhere, so all of libvips's loaders are blocked but those of JPEG, PNG, WebP and AVIF, and sizes are read before pixels are.
 */
import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import sharp from 'sharp';
import { MediaError, fileError } from './error.ts';

sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({ operation: ['VipsForeignLoadJpeg', 'VipsForeignLoadPng', 'VipsForeignLoadWebp', 'VipsForeignLoadHeif'] });
sharp.cache(false); // each photo is read once

/** Most pixels of a photo: twice what a 48-megapixel telephone gives. */
const pixelLimit = 100_000_000;
/** Most bytes of a photo's file. */
const byteLimit = 256 << 20;

/** How a photo fills the frame: `contain` shows all of it, the rest white; `cover` fills the frame, cutting at the centre. */
export type Fit = 'contain' | 'cover';

/** Photo kinds by their first bytes; what is not here is named as well as it can be and refused. */
const kinds: readonly [RegExp, string, 'photo' | 'other'][] = [
  [/^\xff\xd8\xff/s, 'JPEG', 'photo'],
  [/^\x89PNG\r\n\x1a\n/s, 'PNG', 'photo'],
  [/^RIFF....WEBP/s, 'WebP', 'photo'],
  [/^....ftypavi[fs]/s, 'AVIF', 'photo'],
  [/^....ftyp(mif1|msf1).{4}.*avif/s, 'AVIF', 'photo'],
  [/^....ftyp(hei|hev|mif1|msf1)/s, 'a HEIC photo', 'other'],
  [/^....ftyp/s, 'a video', 'other'],
  [/^GIF8/s, 'a GIF', 'other'],
  [/^(II\*\0|MM\0\*)/s, 'a TIFF', 'other'],
  [/^BM/s, 'a BMP', 'other'],
  [/^%PDF/s, 'a PDF', 'other'],
  [/^\x1a\x45\xdf\xa3/s, 'a video', 'other'],
  [/^[\s\S]*<svg/i, 'an SVG drawing', 'other'],
];

/** Looks at a photo's first bytes and size; refuses what is no photo. */
async function checkKind(name: string): Promise<void> {
  try {
    const file = await open(name, constants.O_RDONLY | (process.platform === 'win32' ? 0 : constants.O_NONBLOCK)); // a pipe does not block
    try {
      const stat = await file.stat();
      if (!stat.isFile()) throw new MediaError(`${name} is ${stat.isDirectory() ? 'a folder' : 'not a file'}: name a photo.`);
      if (stat.size === 0) throw new MediaError(`${name} is empty: name a photo.`);
      if (stat.size > byteLimit)
        throw new MediaError(
          `${name} is ${Math.round(stat.size / 1e6)} MB large, at most ${byteLimit >> 20} MiB are read: make it smaller.`,
        );
      const { buffer, bytesRead } = await file.read(Buffer.alloc(1024), 0, 1024, 0);
      const head = buffer.toString('latin1', 0, bytesRead);
      const kind = kinds.find(([pattern]) => pattern.test(head));
      if (kind?.[2] !== 'photo')
        throw new MediaError(`${name} is ${kind ? `${kind[1]}, not` : 'not'} a JPEG, PNG, WebP or AVIF photo: save it as one of these.`);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(`cannot read ${name}`, error);
  }
}

/** x / 255 * 2 - 1 in float32, as diffusers' VaeImageProcessor computes it: divide, double, subtract. */
const normalized = Float32Array.from({ length: 256 }, (_, x) => Math.fround(Math.fround(x / 255) * 2) - 1);

/**
 * Reads a photo as the engine takes it: Float32Array [3, H, W], RGB in [-1, 1].
 * EXIF turn, embedded profile (also Display-P3 and CMYK) to sRGB, 16 bits to 8, first frame of an animation, transparency over white; then the
 * fit, by Lanczos with three lobes on gamma-encoded values. A photo that has the size already comes through pixel by pixel.
 * A large JPEG is shrunk by the power of two while it is decoded, so 48 megapixels need no 144 MB.
 * @param size `width` and `height` in pixels, and how the photo fills them
 * @throws {MediaError} where the file is missing, is no photo, is cut off or damaged, or has more than 100 megapixels
 */
export async function readPhoto(name: string, size: { width: number; height: number; fit: Fit }): Promise<Float32Array> {
  await checkKind(name);
  const options = { limitInputPixels: pixelLimit, failOn: 'error', sequentialRead: true, pages: 1, ignoreIcc: false } as const;
  let pixels: Buffer;
  try {
    // Sizes first, without a limit of its own, so that the sentence can say them: only the header is read.
    const { width, height } = await sharp(name, { ...options, limitInputPixels: false }).metadata();
    if (width * height > pixelLimit)
      throw new MediaError(
        `${name} is ${width}x${height}, ${Math.round((width * height) / 1e6)} megapixels, and at most ${pixelLimit / 1e6} are read: make it smaller.`,
      );
    const decoded = await sharp(name, options)
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
    if (error instanceof MediaError) throw error;
    const why = error instanceof Error ? error.message.trim().split('\n')[0]! : String(error);
    throw new MediaError(`${name} cannot be read as a photo, it is cut off or damaged (${why}): open and save it anew, or take another.`, {
      cause: error,
    });
  }
  const plane = size.width * size.height;
  const photo = new Float32Array(3 * plane); // [3, H, W]
  for (let i = 0; i < plane; i++) for (let c = 0; c < 3; c++) photo[c * plane + i] = normalized[pixels[3 * i + c]!]!;
  return photo;
}

/**
 * SHA-256 of a file's bytes, in hexadecimal: what a photo is known by in a request.
 * @throws {MediaError} where it cannot be read
 */
export async function photoHash(name: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(name)) hash.update(chunk as Buffer);
  } catch (error) {
    throw fileError(`cannot read ${name}`, error);
  }
  return hash.digest('hex');
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
