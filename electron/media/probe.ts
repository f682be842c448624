/**
 * @file What a finished video is, read from its own bytes: no ffprobe is needed (ffmpeg-static brings none), and none is trusted.
 *
 * MP4 and QuickTime, Matroska and WebM, GIF, WebP, PNG and a folder of PNG frames. The file may be anyone's: only headers are read, in pieces of
 * bounded size, counts and depth are bounded, and what is cut off or damaged is refused in one sentence. Whether every frame decodes is another
 * question, for ffmpeg (`probeClip`).
 */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { FileHandle } from 'node:fs/promises';
import { boxBudget, boxes, find, number, readBox, topBoxes, type Box } from './boxes.ts';
import { codecHeader, colourOf, type Colour } from './codec-headers.ts';
import { MediaError, fileError } from './error.ts';
import { isMatroska, readMatroska } from './matroska.ts';
import { gifComment, gifParts, pngParts, pngText, webpParts } from './pictures.ts';
import { readRange, reading } from './reading.ts';

/** What a video is. */
export interface Probed {
  readonly container: 'mp4' | 'mov' | 'matroska' | 'webm' | 'gif' | 'webp' | 'png';
  /**
   * As the file has it: the sample entry (`avc1`, `hvc1`, `apch`, `AVdh`), Matroska's codec id (`V_VP9`), or where that only says that QuickTime's
   * or Windows' code follows, that code (`FFV1`); `gif`, `VP8`, `VP8L` and `png` for the others.
   */
  readonly codec: string;
  /** As ffprobe calls it: `High`, `Main 10`, `HQ`, `DNXHR HQX`, `Profile 0`. */
  readonly profile?: string;
  /** Bits a sample. */
  readonly bitDepth?: number;
  /** pixels, as coded */
  readonly width: number;
  readonly height: number;
  /** Frames per second as a fraction in lowest terms; where frames last differently long, the average; 0/1 for pictures that are shown for no time. */
  readonly rate: readonly [number, number];
  /** Frames in the file: packets of its first video track. */
  readonly frames: number;
  readonly seconds: number;
  /** The container's tags of colour, where it has any. */
  readonly colour?: Colour;
  /** The bitstream's own, where its header has any. */
  readonly streamColour?: Colour;
  /** MP4 and QuickTime: whether moov comes before the frames, so that playing can start before the file has arrived. */
  readonly moovFirst?: boolean;
  /** Names in lower case, `comment`, `title`, `encoder` and the like in every container; a tag of more than 2 MiB is left out. */
  readonly tags: Readonly<Record<string, string>>;
}

/** Most bytes of a tag's text, and of all; most tags. */
const [tagLimit, tagsLimit, tagCount] = [2 << 20, 8 << 20, 1000];
/** Most bytes of movie fragments that are read, most files of a folder. */
const [fragmentLimit, folderLimit] = [128 << 20, 100_000];

/** Puts a tag into a map unless it is too large, or there is one of that name: in a file the first is meant. */
export function addTag(tags: Map<string, string>, name: string, value: Buffer): void {
  const key = name.toLowerCase();
  if (key === '' || tags.has(key) || value.length > tagLimit || tags.size >= tagCount) return;
  let total = value.length;
  for (const each of tags.values()) total += each.length;
  if (total <= tagsLimit) tags.set(key, value.toString('utf8').replace(/\0+$/, ''));
}

/** A fraction in lowest terms. */
function reduced(numerator: number, denominator: number): readonly [number, number] {
  let [a, b] = [numerator, denominator];
  while (b > 0) [a, b] = [b, a % b];
  return a > 0 ? [numerator / a, denominator / a] : [0, 1];
}

/** The rates that videos have. */
const usual: readonly (readonly [number, number])[] = [
  ...[24, 30, 48, 60, 120].map(n => [n * 1000, 1001] as const),
  ...Array.from({ length: 240 }, (_, i) => [i + 1, 1] as const),
];

/**
 * The rate of so many frames that take `length` units of 1/`scale` s: a usual one where the units' own coarseness is all that lies between, the
 * average otherwise.
 */
function averageRate(frames: number, length: number, scale: number): readonly [number, number] {
  if (frames < 1 || length < 1 || scale < 1) return [0, 1];
  const off = ([n, d]: readonly [number, number]): number => Math.abs((frames * d * scale) / n - length);
  const closest = usual.reduce((best, rate) => (off(rate) < off(best) ? rate : best));
  return off(closest) < 1 ? closest : reduced(frames * scale, length);
}

/** Damaged sizes are refused here once: a picture has 1 to 65,535 pixels a side and at least one frame. */
function checked(video: Probed): Probed {
  const { width, height, frames, container } = video;
  if (!(width >= 1 && height >= 1 && width <= 65_535 && height <= 65_535))
    throw new MediaError(`the ${container} file is damaged: it claims a size of ${width}x${height}.`);
  if (frames < 1) throw new MediaError(`the ${container} file has no frames.`);
  return video;
}

/**
 * Says what a video is.
 * @param name a file, or a folder of PNG frames
 * @throws {MediaError} where it cannot be read, is none of these formats, is cut off, damaged or too intricate
 */
export async function probe(name: string): Promise<Probed> {
  if ((await stat(name).catch(() => undefined))?.isDirectory()) return probeFolder(name);
  return reading(name, probeOpen);
}

/** Whether a file begins as one of these formats does, whatever its name says.
 * @throws {MediaError} where it cannot be read */
export async function looksLikeVideo(name: string): Promise<boolean> {
  return reading(name, async (file, size) => readerOf(await readRange(file, 0, Math.min(size, 16))) !== undefined);
}

async function probeOpen(file: FileHandle, size: number): Promise<Probed> {
  const read = readerOf(await readRange(file, 0, Math.min(size, 16)));
  if (!read) throw new MediaError('it is no video that is known here: name an MP4, MOV, MKV, WebM, GIF, WebP or PNG.');
  return checked(await read(file, size));
}

/** What reads a file that begins so. */
function readerOf(head: Buffer): ((file: FileHandle, size: number) => Promise<Probed>) | undefined {
  const begins = (text: string, at = 0): boolean => head.toString('latin1', at, at + text.length) === text;
  if (isMatroska(head)) return probeMatroska;
  if (begins('GIF87a') || begins('GIF89a')) return probeGif;
  if (begins('RIFF') && begins('WEBP', 8)) return probeWebp;
  if (begins('\x89PNG\r\n\x1a\n')) return probePng;
  return ['ftyp', 'moov', 'wide', 'free', 'skip', 'mdat'].some(type => begins(type, 4)) ? probeMp4 : undefined;
}

// MP4 and QuickTime

/** The iTunes and QuickTime names of common tags. */
const tagNames: Readonly<Record<string, string>> = {
  '\u00a9cmt': 'comment',
  '\u00a9nam': 'title',
  '\u00a9too': 'encoder',
  '\u00a9swr': 'encoder',
  '\u00a9ART': 'artist',
  '\u00a9des': 'description',
  desc: 'description',
  '\u00a9day': 'date',
  '\u00a9gen': 'genre',
  '\u00a9alb': 'album',
  '\u00a9cpy': 'copyright',
  cprt: 'copyright',
};

/** The tags of moov: `udta/meta/ilst` as iTunes writes them, QuickTime's own `udta/©xxx`, and QuickTime's `meta` with named keys.
 * @param start where moov's children begin
 * @param tags is filled: what was read before damage was met stays
 * @throws {MediaError} where moov is damaged */
export function movieTags(moov: Buffer, start: number, tags = new Map<string, string>()): Map<string, string> {
  const budget = boxBudget();
  const all = { start, end: moov.length };
  const udta = find(moov, all, 'udta', budget);
  for (const meta of [udta && find(moov, udta, 'meta', budget), find(moov, all, 'meta', budget)]) {
    if (!meta) continue;
    // In MP4 meta has a version word before its boxes, in QuickTime it has none.
    const plain = meta.end - meta.start >= 8 && moov.toString('latin1', meta.start + 4, meta.start + 8) === 'hdlr';
    const inside = { start: Math.min(meta.start + (plain ? 0 : 4), meta.end), end: meta.end };
    const keys: string[] = [];
    const table = find(moov, inside, 'keys', budget);
    if (table)
      for (const key of boxes(moov, Math.min(table.start + 8, table.end), table.end, budget))
        keys.push(moov.toString('utf8', key.start, Math.min(key.end, key.start + 256)));
    const list = find(moov, inside, 'ilst', budget);
    if (!list) continue;
    for (const item of boxes(moov, list.start, list.end, budget)) {
      const value = find(moov, item, 'data', budget);
      if (!value || value.end - value.start < 8 || number(moov, value, 0, 4) !== 1) continue; // UTF-8 only
      const key = keys[moov.readUInt32BE(item.at + 4) - 1];
      addTag(
        tags,
        key?.replace(/^com\.apple\.quicktime\./, '') ?? tagNames[item.type] ?? item.type,
        moov.subarray(value.start + 8, value.end),
      );
    }
  }
  if (udta)
    for (const item of boxes(moov, udta.start, udta.end, budget)) {
      if (!item.type.startsWith('\u00a9') || item.end - item.start < 4) continue;
      const length = moov.readUInt16BE(item.start);
      // ffmpeg writes a longer text whole, with the low 16 bits of its length
      const whole = ((item.end - item.start - 4) & 0xffff) === length;
      const end = whole ? item.end : Math.min(item.start + 4 + length, item.end);
      addTag(tags, tagNames[item.type] ?? item.type, moov.subarray(item.start + 4, end));
    }
  return tags;
}

/** A table's entries: how many it has, proven to lie within it. */
function entries(bytes: Buffer, box: Box, countAt: number, size: number): number {
  const count = number(bytes, box, countAt, 4);
  if (count * size > box.end - box.start - countAt - 4)
    throw new MediaError(`the MP4 is damaged: box ${JSON.stringify(box.type)} claims ${count} entries.`);
  return count;
}

/** How many samples a track's moov describes, and how long they last in its timescale. */
function samples(moov: Buffer, stbl: Box, size: number, budget: { left: number }): { frames: number; length: number; even: boolean } {
  const stsz = find(moov, stbl, 'stsz', budget) ?? find(moov, stbl, 'stz2', budget);
  const stts = find(moov, stbl, 'stts', budget);
  if (!stsz || !stts) throw new MediaError('the MP4 is damaged: its video track lacks a table of its frames.');
  const same = stsz.type === 'stsz' ? number(moov, stsz, 4, 4) : 0;
  const bits = stsz.type === 'stsz' ? 32 : number(moov, stsz, 7, 1);
  const frames = number(moov, stsz, 8, 4);
  if (same > 0 ? frames * same > size : (frames * bits) / 8 > stsz.end - stsz.start - 12)
    throw new MediaError(`the MP4 is damaged: it claims ${frames} frames, more than it can hold.`);
  let [timed, length, deltas] = [0, 0, 0];
  const count = entries(moov, stts, 4, 8);
  for (let i = 0, at = stts.start + 8, delta = -1; i < count; i++, at += 8) {
    const each = moov.readUInt32BE(at);
    if (moov.readUInt32BE(at + 4) !== delta) deltas++;
    delta = moov.readUInt32BE(at + 4);
    timed += each;
    length += each * delta;
  }
  if (timed !== frames) throw new MediaError(`the MP4 is damaged: ${frames} frames have ${timed} durations.`);
  return { frames, length, even: deltas === 1 };
}

/** Adds up what the fragments of a fragmented file hold of a track (ISO/IEC 14496-12, 8.8). */
async function fragments(
  file: FileHandle,
  moofs: readonly Box[],
  track: number,
  usualDuration: number,
): Promise<{ frames: number; length: number; even: boolean }> {
  let [frames, length, left] = [0, 0, fragmentLimit];
  const durations = new Set<number>();
  for (const moof of moofs) {
    left -= moof.end - moof.at;
    if (left < 0) throw new MediaError('the MP4 is refused: its fragments are too large.');
    const bytes = await readBox(file, moof);
    const budget = boxBudget();
    for (const traf of boxes(bytes, moof.start - moof.at, bytes.length, budget)) {
      if (traf.type !== 'traf') continue;
      const tfhd = find(bytes, traf, 'tfhd', budget);
      if (!tfhd || number(bytes, tfhd, 4, 4) !== track) continue;
      const has = number(bytes, tfhd, 1, 3);
      const base = has & 8 ? number(bytes, tfhd, 8 + (has & 1 ? 8 : 0) + (has & 2 ? 4 : 0), 4) : usualDuration;
      for (const trun of boxes(bytes, traf.start, traf.end, budget)) {
        if (trun.type !== 'trun') continue;
        const flags = number(bytes, trun, 1, 3);
        const count = number(bytes, trun, 4, 4);
        const at = 8 + (flags & 1 ? 4 : 0) + (flags & 4 ? 4 : 0);
        const width = [0x100, 0x200, 0x400, 0x800].filter(field => flags & field).length * 4;
        if (at + count * width > trun.end - trun.start) throw new MediaError(`the MP4 is damaged: box "trun" claims ${count} entries.`);
        frames += count;
        if (flags & 0x100)
          for (let i = 0; i < count; i++) {
            const duration = number(bytes, trun, at + i * width, 4);
            length += duration;
            if (durations.size < 3) durations.add(duration);
          }
        else {
          length += count * base;
          durations.add(base);
        }
      }
    }
  }
  return { frames, length, even: durations.size === 1 };
}

async function probeMp4(file: FileHandle, size: number): Promise<Probed> {
  let [ftyp, moov, mdat]: (Box | undefined)[] = [];
  const moofs: Box[] = [];
  for await (const top of topBoxes(file, size)) {
    if (top.end > size) throw new MediaError(`the MP4 is cut off inside its ${JSON.stringify(top.type)} box.`);
    if (top.type === 'ftyp') ftyp ??= top;
    if (top.type === 'moov') moov ??= top;
    if (top.type === 'mdat') mdat ??= top;
    if (top.type === 'moof') moofs.push(top);
  }
  if (!moov || !mdat) throw new MediaError('it is not a whole MP4 video.');
  const brand = ftyp && (await readRange(file, ftyp.start, Math.min(ftyp.start + 4, ftyp.end))).toString('latin1');
  const container = brand === undefined || brand === 'qt  ' ? 'mov' : 'mp4';
  const bytes = await readBox(file, moov);
  const budget = boxBudget();
  const all = { start: moov.start - moov.at, end: bytes.length };
  for (const trak of boxes(bytes, all.start, all.end, budget)) {
    if (trak.type !== 'trak') continue;
    const mdia = find(bytes, trak, 'mdia', budget);
    const hdlr = mdia && find(bytes, mdia, 'hdlr', budget);
    if (!mdia || !hdlr || number(bytes, hdlr, 8, 4) !== 0x76696465) continue; // 'vide'
    const tkhd = find(bytes, trak, 'tkhd', budget);
    const mdhd = find(bytes, mdia, 'mdhd', budget);
    const stbl = find(bytes, mdia, 'minf/stbl', budget);
    const stsd = stbl && find(bytes, stbl, 'stsd', budget);
    const entry = stsd && [...boxes(bytes, Math.min(stsd.start + 8, stsd.end), stsd.end, budget)][0];
    if (!tkhd || !mdhd || !stbl || !entry) throw new MediaError('the MP4 is damaged: its video track lacks a box.');
    const timescale = number(bytes, mdhd, number(bytes, mdhd, 0, 1) === 1 ? 20 : 12, 4);
    const id = number(bytes, tkhd, number(bytes, tkhd, 0, 1) === 1 ? 20 : 12, 4);
    let counted = samples(bytes, stbl, size, budget);
    if (moofs.length > 0) {
      const trex = find(bytes, all, 'mvex', budget);
      const usualOne =
        trex && [...boxes(bytes, trex.start, trex.end, budget)].find(box => box.type === 'trex' && number(bytes, box, 4, 4) === id);
      const more = await fragments(file, moofs, id, usualOne ? number(bytes, usualOne, 12, 4) : 0);
      counted = counted.frames > 0 ? { frames: counted.frames + more.frames, length: counted.length + more.length, even: false } : more;
    }
    const { frames, length, even } = counted;
    const inside = { start: Math.min(entry.start + 78, entry.end), end: entry.end };
    const config = ['avcC', 'hvcC', 'av1C', 'glbl'].map(type => find(bytes, inside, type, budget)).find(Boolean);
    const colr = find(bytes, inside, 'colr', budget);
    const kind = colr && bytes.toString('latin1', colr.start, Math.min(colr.start + 4, colr.end));
    const header = codecHeader(
      entry.type,
      config ? bytes.subarray(config.start, config.end) : Buffer.alloc(0),
      await firstSample(file, size, bytes, stbl, moofs, budget),
    );
    return {
      container,
      codec: entry.type,
      ...(header.profile !== undefined && { profile: header.profile }),
      ...(header.bitDepth !== undefined && { bitDepth: header.bitDepth }),
      width: number(bytes, entry, 24, 2),
      height: number(bytes, entry, 26, 2),
      rate: even && length > 0 && timescale > 0 ? reduced(frames * timescale, length) : averageRate(frames, length, timescale),
      frames,
      seconds: timescale > 0 ? length / timescale : 0,
      ...(colr &&
        (kind === 'nclx' || kind === 'nclc') && {
          colour: colourOf({
            primaries: number(bytes, colr, 4, 2),
            transfer: number(bytes, colr, 6, 2),
            matrix: number(bytes, colr, 8, 2),
            fullRange: kind === 'nclx' && number(bytes, colr, 10, 1) >= 128,
          }),
        }),
      ...(header.colour && { streamColour: header.colour }),
      moovFirst: moov.at < mdat.at,
      tags: Object.fromEntries(movieTags(bytes, all.start)),
    };
  }
  throw new MediaError('the MP4 has no video track.');
}

/** The first bytes of a track's first frame: where its first chunk begins. In a fragmented file that is not looked up: codecs in those have boxes. */
async function firstSample(
  file: FileHandle,
  size: number,
  moov: Buffer,
  stbl: Box,
  moofs: readonly Box[],
  budget: { left: number },
): Promise<Buffer> {
  const table = find(moov, stbl, 'stco', budget) ?? find(moov, stbl, 'co64', budget);
  if (!table || moofs.length > 0 || number(moov, table, 4, 4) === 0) return Buffer.alloc(0);
  const at = number(moov, table, 8, table.type === 'stco' ? 4 : 8);
  if (at >= size) throw new MediaError('the MP4 is damaged: its first frame lies beyond its end.');
  return readRange(file, at, Math.min(at + 4096, size));
}

// Matroska and WebM

async function probeMatroska(file: FileHandle, size: number): Promise<Probed> {
  const { video, tags } = await readMatroska(file, size, addTag);
  const { codecPrivate, frames, span, timestampScale, defaultDuration } = video;
  let [codec, config] = [video.codecId, codecPrivate];
  // two ids only say that the code of another system follows: BITMAPINFOHEADER, or QuickTime's sample description
  if (codec === 'V_MS/VFW/FOURCC' && config.length >= 40) [codec, config] = [config.toString('latin1', 16, 20), config.subarray(40)];
  else if (codec === 'V_QUICKTIME' && config.length >= 8) codec = config.toString('latin1', 4, 8);
  const fourcc = codec === 'V_PRORES' && config.length >= 4 ? config.toString('latin1', 0, 4) : codec;
  const header = codecHeader(fourcc, config, video.head);
  const bitDepth = header.bitDepth ?? video.bitsPerChannel;
  // What the file states holds where its timestamps, rounded as they are, agree with it; ffmpeg too takes the nearest simple fraction
  const stated = defaultDuration > 0 ? nearest(1e9, defaultDuration, 30_000) : undefined;
  const agrees = stated && stated[0] > 0 && Math.abs(span - ((frames - 1) * 1e9 * stated[1]) / stated[0]) <= 2 * timestampScale;
  const rate = stated && agrees ? stated : averageRate(frames - 1, Math.round(span / timestampScale), 1e9 / timestampScale);
  const { colour } = video;
  return {
    container: video.docType === 'webm' ? 'webm' : 'matroska',
    codec,
    ...(header.profile !== undefined && { profile: header.profile }),
    ...(bitDepth !== undefined && { bitDepth }),
    width: video.width,
    height: video.height,
    rate,
    frames,
    seconds: rate[0] > 0 ? (agrees ? (frames * rate[1]) / rate[0] : span / 1e9 + rate[1] / rate[0]) : span / 1e9,
    ...(colour && { colour: colourOf({ ...colour, fullRange: colour.range === 2 }) }),
    ...(header.colour && { streamColour: header.colour }),
    tags: Object.fromEntries(tags),
  };
}

/** The fraction closest to `numerator`/`denominator` with neither part above `most`, by continued fractions. */
function nearest(numerator: number, denominator: number, most: number): readonly [number, number] {
  let [a, b] = [numerator, denominator];
  let [before, now]: [[number, number], [number, number]] = [
    [0, 1],
    [1, 0],
  ];
  while (b > 0) {
    const whole = Math.floor(a / b);
    const next: [number, number] = [whole * now[0] + before[0], whole * now[1] + before[1]];
    if (next[0] > most || next[1] > most) break;
    [before, now] = [now, next];
    [a, b] = [b, a % b];
  }
  return now[1] === 0 ? [0, 1] : now;
}

// GIF, WebP, PNG

async function probeGif(file: FileHandle, size: number): Promise<Probed> {
  const tags = new Map<string, string>();
  let [width, height, frames, delay, length, even] = [0, 0, 0, 0, 0, -1];
  for await (const part of gifParts(file, size))
    if (part.kind === 'screen') [width, height] = [part.head.readUInt16LE(6), part.head.readUInt16LE(8)];
    else if (part.kind === 'control') delay = part.head.readUInt16LE(4);
    else if (part.kind === 'comment') addTag(tags, 'comment', await gifComment(file, part));
    else if (part.kind === 'image') {
      const shown = delay < 2 ? 10 : delay; // browsers and ffmpeg show shorter ones for a tenth of a second
      even = frames === 0 || even === shown ? shown : 0;
      length += shown;
      frames++;
      delay = 0;
    }
  const rate = even > 0 ? reduced(100, even) : averageRate(frames, length, 100);
  return {
    container: 'gif',
    codec: 'gif',
    bitDepth: 8,
    width,
    height,
    rate,
    frames,
    seconds: length / 100,
    tags: Object.fromEntries(tags),
  };
}

async function probeWebp(file: FileHandle, size: number): Promise<Probed> {
  let [width, height, frames, length, even, codec] = [0, 0, 0, 0, -1, ''];
  for await (const { kind, head } of webpParts(file, size)) {
    const least = ({ VP8X: 18, ANMF: 32, 'VP8 ': 18, VP8L: 13 } as Readonly<Record<string, number>>)[kind] ?? 0;
    if (head.length < least) throw new MediaError(`the WebP is damaged: its part ${JSON.stringify(kind)} is too short.`);
    if (kind === 'VP8X') [width, height] = [head.readUIntLE(12, 3) + 1, head.readUIntLE(15, 3) + 1];
    else if (kind === 'ANMF') {
      const shown = head.readUIntLE(20, 3);
      even = frames === 0 || even === shown ? shown : 0;
      length += shown;
      frames++;
      const inner = head.toString('latin1', 24, 28);
      if (codec === '') codec = inner === 'ALPH' ? 'VP8' : inner.trim();
    } else if ((kind === 'VP8 ' || kind === 'VP8L') && frames === 0) {
      [codec, frames] = [kind.trim(), 1];
      if (width > 0) continue;
      const packed = head.readUInt32LE(9); // VP8L: 14 bits each, less one
      if (kind === 'VP8L') [width, height] = [(packed & 0x3fff) + 1, ((packed >> 14) & 0x3fff) + 1];
      else [width, height] = [head.readUInt16LE(14) & 0x3fff, head.readUInt16LE(16) & 0x3fff];
    }
  }
  const rate = even > 0 ? reduced(1000, even) : averageRate(frames, length, 1000);
  return { container: 'webp', codec, bitDepth: 8, width, height, rate, frames, seconds: length / 1000, tags: {} };
}

async function probePng(file: FileHandle, size: number): Promise<Probed> {
  const tags = new Map<string, string>();
  let [width, height, bitDepth, frames, seconds] = [0, 0, 0, 1, 0];
  let colour: Colour | undefined;
  for await (const part of pngParts(file, size)) {
    const { kind, head } = part;
    if (kind === 'IHDR') [width, height, bitDepth] = [head.readUInt32BE(8), head.readUInt32BE(12), head[16]!];
    else if (kind === 'acTL' && head.length >= 16) frames = head.readUInt32BE(8);
    else if (kind === 'fcTL' && head.length >= 34) seconds += head.readUInt16BE(28) / (head.readUInt16BE(30) || 100);
    else if (kind === 'sRGB') colour ??= colourOf({ primaries: 1, transfer: 13, matrix: 0, fullRange: true });
    else if (kind === 'cICP' && head.length === 16)
      colour = colourOf({ primaries: head[8]!, transfer: head[9]!, matrix: head[10]!, fullRange: head[11] === 1 });
    else if (kind === 'tEXt' || kind === 'iTXt') {
      const tag = await pngText(file, part);
      if (tag) addTag(tags, tag.name, tag.text);
    }
  }
  // prettier-ignore
  return { container: 'png', codec: 'png', bitDepth, width, height, rate: averageRate(frames, Math.round(seconds * 1000), 1000), frames, seconds, ...(colour && { colour }), tags: Object.fromEntries(tags) };
}

/** A folder of frames: every file `*.png` in it, all of one size; a rate they have only where they are made into a video. */
async function probeFolder(name: string): Promise<Probed> {
  const files = (await readdir(name).catch((error: unknown) => Promise.reject(fileError(`cannot read ${name}`, error))))
    .filter(file => /\.png$/i.test(file) && !file.startsWith('.'))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  if (files.length === 0) throw new MediaError(`${name} holds no PNG frames: name a video, or a folder of *.png.`);
  if (files.length > folderLimit)
    throw new MediaError(`${name} is refused: it holds ${files.length} PNG files, at most ${folderLimit} are read.`);
  let first: Probed | undefined;
  for (const file of files) {
    const frame = await reading(path.join(name, file), async (handle, size) => {
      const found = await probeOpen(handle, size);
      if (found.container !== 'png') throw new MediaError('it is not a PNG.');
      return found;
    });
    first ??= frame;
    if (frame.width !== first.width || frame.height !== first.height || frame.bitDepth !== first.bitDepth)
      throw new MediaError(
        `${path.join(name, file)}: it is ${frame.width}x${frame.height} of ${frame.bitDepth ?? 0} bits, ${files[0]!} is ${first.width}x${first.height} of ${first.bitDepth ?? 0}.`,
      );
  }
  return { ...first!, frames: files.length };
}
