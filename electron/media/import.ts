/** @file Photos into the library: from files, folders and pasted bytes, of any kind that telephones and browsers make. */
import type { ChildProcess } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { startScript } from './children.ts';
import { MediaError, fileError } from './error.ts';
import { checkSize, readBytes } from './files.ts';
import { heifProperties } from './heif.ts';
import { byteLimit, damaged, photoKind, pixelLimit, photoThumbnail, storePhoto, tooLarge, type StoredPicture } from './photo.ts';
import { scriptAt } from './program.ts';
import { runFlags } from './watch.ts';

/** Where a photo comes from; a name given with bytes is only a name. */
export type PhotoSource = { readonly path: string } | { readonly bytes: Uint8Array; readonly name: string };

/** A photo as the library keeps it. */
export interface NormalizedPhoto {
  readonly photo: StoredPicture;
  /** Its transparency: a PNG, 8-bit grey, of the photo's size, white the subject. */
  readonly mask: StoredPicture | undefined;
  /** Its file's name, without a folder. */
  readonly name: string;
}

/** What the HEIC decoder may take before it is ended: seconds by the clock, and megabytes of memory. */
export interface DecoderLimits {
  readonly seconds: number;
  readonly megabytes: number;
}
/** Four times what 100 megapixels took where it was measured, and twice their memory. */
const usualLimits: DecoderLimits = { seconds: 60, megabytes: 2000 };

/** How many photos are worked on at a time: each may hold some hundred megabytes. */
const places = 2;
let taken = 0;
const waiting: (() => void)[] = [];

/** Runs `work` when one of the places is free. */
async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (taken < places) taken++;
  else await new Promise<void>(resolve => waiting.push(resolve)); // the place is handed on
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else taken--;
  }
}

/** Decodes a HEIC in a process of its own to a PNG with the photo's profile. */
async function decodeHeic(name: string, bytes: Uint8Array, limits: DecoderLimits, signal: AbortSignal | undefined): Promise<Buffer> {
  const properties = heifProperties(bytes);
  if (!properties) throw damaged(name, 'its boxes are not whole');
  const large = properties.sizes.find(({ width, height }) => width * height > pixelLimit);
  if (large) throw tooLarge(name, large.width, large.height);
  const cannot = `cannot start the HEIC decoder for ${name}`;
  const script = scriptAt('./heic.ts', import.meta.url);
  let child: ChildProcess;
  try {
    child = startScript(
      script,
      [String(process.pid), String(limits.megabytes)],
      ['--no-warnings', ...runFlags, '--max-old-space-size=128'],
      {
        stdio: 'pipe',
        detached: process.platform !== 'win32', // Ctrl-C is for us; it goes when we are gone
        windowsHide: true,
      },
    );
  } catch (error) {
    throw fileError(cannot, error);
  }
  const stopped: { why?: string } = {};
  let [png, filled] = [Buffer.alloc(0), -8]; // the first eight bytes are the length
  const length = Buffer.alloc(8);
  let said = '';
  const kill = (): void => void child.kill('SIGKILL');
  const stop = (why: string): void => {
    stopped.why ??= why;
    kill();
  };
  const timer = setTimeout(() => stop(`took longer than ${limits.seconds} s`), limits.seconds * 1000);
  signal?.addEventListener('abort', kill, { once: true });
  try {
    child.stdin?.on('error', () => undefined).end(bytes); // EPIPE where it has gone: its end says more; no pipes where it did not start
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(0, 1000)));
    child.stdout?.on('data', (chunk: Buffer) => {
      for (let at = 0; at < chunk.length;) {
        const into = filled < 0 ? length.subarray(8 + filled) : png.subarray(filled);
        const part = chunk.subarray(at, at + into.length);
        if (part.length === 0) return stop('gave more than it announced');
        into.set(part);
        at += part.length;
        filled += part.length;
        if (filled === 0) {
          const announced = Number(length.readBigUInt64BE());
          if (announced > pixelLimit * 4 + (16 << 20)) return stop('gave too much');
          png = Buffer.alloc(announced);
        }
      }
    });
    const end = await new Promise<{ code: number | null; why: string }>((resolve, reject) => {
      child.on('error', error => reject(fileError(cannot, error)));
      child.on('close', (code, by) => resolve({ code, why: `ended with ${by ?? `exit status ${code ?? 'none'}`}` }));
    });
    signal?.throwIfAborted();
    if (end.code === 65) throw damaged(name, said.replace(/[^\x20-\x7e]/g, '?').slice(0, 200));
    if (end.code === 0 && filled === png.length) return png;
    const why = stopped.why ?? (said === 'memory' ? `took more than ${limits.megabytes} MB of memory` : end.why);
    throw new MediaError(`${name} cannot be read as a photo: the HEIC decoder ${why}, save the photo as a JPEG.`);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', kill);
    kill(); // no effect where it has ended
  }
}

/**
 * Makes of a photo what the library keeps: upright, in sRGB, 8 bits, at most 4096 pixels long, its transparency as a mask, without any metadata.
 * JPEG, PNG, WebP and AVIF are decoded here, HEIC in a child process. The same pixels give the same bytes and so the same SHA-256, whatever
 * metadata they came with. Two photos are worked on at a time; more wait.
 * @param limits of the HEIC decoder
 * @throws {MediaError} one sentence: missing, no photo, cut off, damaged, too large
 * @throws the signal's reason when aborted
 */
export async function normalizePhoto(source: PhotoSource, signal?: AbortSignal, limits = usualLimits): Promise<NormalizedPhoto> {
  return inTurn(async () => {
    signal?.throwIfAborted();
    const given = 'path' in source ? source.path : source.name;
    const base = given
      .split(/[/\\]/)
      .at(-1)!
      .replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, ' ')
      .trim();
    const name = base === '' ? 'photo' : base.slice(0, 200).toWellFormed();
    const label = 'path' in source ? source.path : name;
    const wanted = { most: byteLimit, wanted: 'a photo' };
    if ('bytes' in source) checkSize(label, source.bytes.length, wanted);
    const bytes = 'path' in source ? await readBytes(source.path, wanted) : source.bytes;
    const heic = photoKind(label, bytes, true) === 'HEIC';
    const decoded = heic ? { bytes: await decodeHeic(label, bytes, limits, signal), lossy: true } : { bytes };
    signal?.throwIfAborted();
    const kept = await storePhoto({ name: label, ...decoded });
    signal?.throwIfAborted();
    return { ...kept, name };
  });
}

/** A small picture of a photo before it is taken in, as `photoThumbnail`; in turn with those that are. */
export const glanceAt = (file: string): Promise<Buffer> => inTurn(() => photoThumbnail(file, 384));

/** Endings of the photos that are looked for in folders: all that these kinds go by. */
const endings = new Set([
  ...['.jpg', '.jpeg', '.jpe', '.jfif', '.pjpeg', '.pjp', '.png', '.apng', '.webp', '.avif', '.avifs'],
  ...['.heic', '.heics', '.heif', '.heifs', '.hif'],
]);
/** Most photos of a folder, folders inside one another, and files that are looked at. */
const [photoLimit, depthLimit, lookLimit] = [500, 8, 50_000];

/**
 * The photos of a folder and of the folders in it, by their endings, as absolute paths in natural order (`2.jpg` before `10.jpg`).
 * Hidden files and links are passed over. A path to a file is that file.
 * @throws {MediaError} where there is nothing, no photo, or more than 500 photos, 8 folders inside one another, 50,000 files
 */
export async function photosIn(place: string): Promise<string[]> {
  const root = path.resolve(place);
  const present = await stat(root).catch((error: unknown) => {
    throw fileError(`cannot read ${root}`, error);
  });
  if (!present.isDirectory()) return [root];
  const order = new Intl.Collator('en', { numeric: true });
  const found: string[] = [];
  let looked = 0;
  const look = async (folder: string, depth: number): Promise<void> => {
    const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
      throw fileError(`cannot read ${folder}`, error);
    });
    looked += entries.length;
    if (looked > lookLimit) throw new MediaError(`${root} holds more than ${lookLimit} files: name a smaller folder.`);
    entries.sort((a, b) => order.compare(a.name, b.name) || (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      if (entry.name.startsWith('.')) continue;
      const file = path.join(folder, entry.name);
      if (entry.isDirectory()) {
        if (depth >= depthLimit) throw new MediaError(`${root} has more than ${depthLimit} folders inside one another: name ${folder}.`);
        await look(file, depth + 1);
      } else if (entry.isFile() && endings.has(path.extname(entry.name).toLowerCase())) found.push(file);
      if (found.length > photoLimit) throw new MediaError(`${root} holds more than ${photoLimit} photos: name a smaller folder.`);
    }
  };
  await look(root, 0);
  if (found.length === 0) throw new MediaError(`${root} holds no photos (JPEG, PNG, WebP, AVIF or HEIC): name another folder.`);
  return found;
}
