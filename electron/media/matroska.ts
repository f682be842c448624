/** @file What a Matroska or WebM file is (RFC 8794, RFC 9559): its video track, its tags, its frames counted block by block. */
import type { FileHandle } from 'node:fs/promises';
import { MediaError } from './error.ts';
import { readRange, Window } from './reading.ts';

/** Most bytes of Info, Tracks or one Tags element, and of all of them; most elements in one of them, and in the file. */
const [partLimit, totalLimit, budgetLimit, elementLimit] = [16 << 20, 32 << 20, 50_000, 2_000_000];

/** The elements we look at, by their ids as the file has them. */
const id = {
  EBML: 0x1a45dfa3,
  DocType: 0x4282,
  Segment: 0x18538067,
  SeekHead: 0x114d9b74,
  Seek: 0x4dbb,
  SeekID: 0x53ab,
  Info: 0x1549a966,
  TimestampScale: 0x2ad7b1,
  Duration: 0x4489,
  Title: 0x7ba9,
  Tracks: 0x1654ae6b,
  TrackEntry: 0xae,
  TrackNumber: 0xd7,
  TrackType: 0x83,
  Name: 0x536e,
  CodecID: 0x86,
  CodecPrivate: 0x63a2,
  DefaultDuration: 0x23e383,
  Video: 0xe0,
  PixelWidth: 0xb0,
  PixelHeight: 0xba,
  Colour: 0x55b0,
  MatrixCoefficients: 0x55b1,
  BitsPerChannel: 0x55b2,
  Range: 0x55b9,
  TransferCharacteristics: 0x55ba,
  Primaries: 0x55bb,
  Cluster: 0x1f43b675,
  Timestamp: 0xe7,
  SimpleBlock: 0xa3,
  BlockGroup: 0xa0,
  Block: 0xa1,
  Cues: 0x1c53bb6b,
  Chapters: 0x1043a770,
  Attachments: 0x1941a469,
  Tags: 0x1254c367,
  Tag: 0x7373,
  SimpleTag: 0x67c8,
  TagName: 0x45a3,
  TagString: 0x4487,
  Void: 0xec,
  CRC32: 0xbf,
} as const;

/** An element: where it and its payload begin and where it ends. */
interface Element {
  readonly id: number;
  readonly at: number;
  readonly start: number;
  readonly end: number;
}

/** What a file says about its first video track. */
export interface MatroskaVideo {
  readonly docType: string;
  readonly codecId: string;
  readonly codecPrivate: Buffer;
  readonly width: number;
  readonly height: number;
  /** Nanoseconds a frame, 0 where the file does not say. */
  readonly defaultDuration: number;
  /** Frames counted, and the time from the first to the last one's start, in ns; what one unit of a timestamp is, in ns. */
  readonly frames: number;
  readonly span: number;
  readonly timestampScale: number;
  /** H.273 codes; `range` is 1 for limited, 2 for full, 0 for unknown. Undefined where the file has no Colour element. */
  readonly colour: { readonly primaries: number; readonly transfer: number; readonly matrix: number; readonly range: number } | undefined;
  readonly bitsPerChannel: number | undefined;
  /** The first bytes of the first frame, at most 4096. */
  readonly head: Buffer;
}

/** Whether these are the first bytes of an EBML file. */
export const isMatroska = (head: Buffer): boolean => head.length >= 4 && head.readUInt32BE(0) === id.EBML;

/** A variable-length number: its value (or -1 where all bits are set: unknown) and its length in bytes; undefined where it is none. */
function vint(bytes: Buffer, at: number, keepMarker: boolean): { value: number; length: number } | undefined {
  const first = bytes[at];
  if (first === undefined || first === 0) return undefined;
  const length = Math.clz32(first) - 23;
  if (at + length > bytes.length || (keepMarker && length > 4)) return undefined;
  let value = keepMarker ? first : first & (0xff >> length);
  let ones = value === 0xff >> length;
  for (let i = 1; i < length; i++) {
    value = value * 256 + bytes[at + i]!;
    ones &&= bytes[at + i] === 255;
  }
  return { value: ones && !keepMarker ? -1 : value, length };
}

/** The element whose header lies at `at` of `bytes`, which begin at `base` of the file; one of unknown size ends at `end`. */
function elementAt(bytes: Buffer, at: number, base: number, end: number): Element {
  const name = vint(bytes, at, true);
  const size = name && vint(bytes, at + name.length, false);
  if (!name || !size) throw new MediaError(`the Matroska file is damaged: there is no element at byte ${base + at}.`);
  const start = base + at + name.length + size.length;
  return { id: name.value, at: base + at, start, end: size.value < 0 ? end : start + size.value };
}

/** The elements between two offsets of a buffer; each lies within. */
function* elements(bytes: Buffer, from: { start: number; end: number }, budget: { left: number }): Generator<Element, void> {
  for (let at = from.start; at < from.end;) {
    if (budget.left-- <= 0) throw new MediaError('the Matroska file is refused: it has too many elements.');
    const element = elementAt(bytes, at, 0, from.end);
    if (element.end > from.end)
      throw new MediaError(`the Matroska file is damaged: element ${hex(element.id)} does not fit where it lies.`);
    yield element;
    at = element.end;
  }
}
const hex = (value: number): string => value.toString(16).toUpperCase();

function unsigned(bytes: Buffer, { id, start, end }: Element): number {
  if (end - start > 8) throw new MediaError(`the Matroska file is damaged: element ${hex(id)} is no number.`);
  let value = 0;
  for (let at = start; at < end; at++) value = value * 256 + bytes[at]!;
  return value;
}
/** A string ends at its first NUL. */
const text = (bytes: Buffer, { start, end }: Element): string => bytes.toString('utf8', start, end).replace(/\0[^]*$/, '');

interface Track {
  number: number;
  type: number;
  codecId: string;
  codecPrivate: Buffer;
  defaultDuration: number;
  width: number;
  height: number;
  bitsPerChannel: number | undefined;
  colour: { primaries: number; transfer: number; matrix: number; range: number } | undefined;
}

function trackOf(bytes: Buffer, entry: Element, budget: { left: number }): Track {
  // prettier-ignore
  const track: Track = { number: 0, type: 0, codecId: '', codecPrivate: Buffer.alloc(0), defaultDuration: 0, width: 0, height: 0, bitsPerChannel: undefined, colour: undefined };
  for (const e of elements(bytes, entry, budget))
    if (e.id === id.TrackNumber) track.number = unsigned(bytes, e);
    else if (e.id === id.TrackType) track.type = unsigned(bytes, e);
    else if (e.id === id.CodecID) track.codecId = text(bytes, { ...e, end: Math.min(e.end, e.start + 64) });
    else if (e.id === id.CodecPrivate) track.codecPrivate = bytes.subarray(e.start, e.end);
    else if (e.id === id.DefaultDuration) track.defaultDuration = unsigned(bytes, e);
    else if (e.id === id.Video)
      for (const v of elements(bytes, e, budget))
        if (v.id === id.PixelWidth) track.width = unsigned(bytes, v);
        else if (v.id === id.PixelHeight) track.height = unsigned(bytes, v);
        else if (v.id === id.Colour) {
          const colour = (track.colour = { primaries: 2, transfer: 2, matrix: 2, range: 0 });
          for (const c of elements(bytes, v, budget))
            if (c.id === id.Primaries) colour.primaries = unsigned(bytes, c);
            else if (c.id === id.TransferCharacteristics) colour.transfer = unsigned(bytes, c);
            else if (c.id === id.MatrixCoefficients) colour.matrix = unsigned(bytes, c);
            else if (c.id === id.Range) colour.range = unsigned(bytes, c);
            else if (c.id === id.BitsPerChannel) track.bitsPerChannel = unsigned(bytes, c);
        }
  return track;
}

/**
 * Walks over a file's elements in the order they lie, with Segment, Cluster and BlockGroup entered: so those of unknown length need no care.
 * @param visit looks at one, and is only waited for where it has to wait: a file may have millions
 */
async function walk(file: FileHandle, size: number, visit: (element: Element, window: Window) => Promise<void> | undefined): Promise<void> {
  const window = new Window(file, size);
  let left = elementLimit;
  for (let at = 0; at < size;) {
    if (left-- <= 0) throw new MediaError('the Matroska file is refused: it has too many elements.');
    const header = window.peek(at, 16) ?? (await window.fill(at, 16));
    if (header.length === 0) return; // the file has shrunk since
    const element = elementAt(header, 0, at, size);
    if (at === 0 && element.id !== id.EBML) throw new MediaError('it is not a Matroska file.');
    const waiting = visit(element, window);
    if (waiting) await waiting;
    at = element.id === id.Segment || element.id === id.Cluster || element.id === id.BlockGroup ? element.start : element.end;
  }
}

/** Reads Info, Tracks or Tags whole; all of them together are bounded too. */
function partReader(file: FileHandle, size: number): (element: Element) => Promise<Buffer> {
  let left = totalLimit;
  return async element => {
    const bytes = element.end - element.start;
    if (element.end > size) throw new MediaError(`the Matroska file is cut off inside element ${hex(element.id)}.`);
    left -= bytes;
    if (bytes > partLimit || left < 0)
      throw new MediaError(`the Matroska file is refused: its element ${hex(element.id)} of ${bytes} bytes is too large.`);
    return readRange(file, element.start, element.end);
  };
}

/** Adds each SimpleTag of a Tags element that has a short enough name and text. */
function addTags(bytes: Buffer, tags: Map<string, string>, add: (tags: Map<string, string>, name: string, value: Buffer) => void): void {
  const budget = { left: budgetLimit };
  for (const tag of elements(bytes, { start: 0, end: bytes.length }, budget)) {
    if (tag.id !== id.Tag) continue;
    for (const simple of elements(bytes, tag, budget)) {
      if (simple.id !== id.SimpleTag) continue;
      let [name, value]: [string?, Buffer?] = [];
      for (const e of elements(bytes, simple, budget))
        if (e.id === id.TagName) name = text(bytes, { ...e, end: Math.min(e.end, e.start + 256) });
        else if (e.id === id.TagString) value = bytes.subarray(e.start, e.end);
      if (name !== undefined && value) add(tags, name, value);
    }
  }
}

/**
 * Reads what a file is and counts its frames; only headers are read, so a file of any size takes little memory.
 * @param add puts a tag into the map, or leaves it out
 * @throws {MediaError} where the file is cut off, damaged, too intricate, or has no video
 */
export async function readMatroska(
  file: FileHandle,
  size: number,
  add: (tags: Map<string, string>, name: string, value: Buffer) => void,
): Promise<{ video: MatroskaVideo; tags: Map<string, string> }> {
  const read = partReader(file, size);
  const tags = new Map<string, string>();
  let [docType, scale, cluster, frames, first, last] = ['', 1_000_000, 0, 0, Infinity, -Infinity];
  let track: Track | undefined;
  let head: Buffer = Buffer.alloc(0);
  /** Reads Info, Tracks or Tags. */
  const part = async (element: Element): Promise<void> => {
    const bytes = await read(element);
    const all = { start: 0, end: bytes.length };
    const budget = { left: budgetLimit };
    if (element.id === id.EBML) {
      for (const e of elements(bytes, all, budget)) if (e.id === id.DocType) docType = text(bytes, e);
      if (docType !== 'matroska' && docType !== 'webm') throw new MediaError('it is not a Matroska file.');
    } else if (element.id === id.Info) {
      for (const e of elements(bytes, all, budget)) {
        if (e.id === id.TimestampScale) scale = unsigned(bytes, e);
        if (e.id === id.Title) add(tags, 'title', bytes.subarray(e.start, e.end));
      }
    } else if (element.id === id.Tags) addTags(bytes, tags, add);
    else
      for (const e of elements(bytes, all, budget)) {
        const found: Track | undefined = e.id === id.TrackEntry && !track ? trackOf(bytes, e, budget) : undefined;
        if (found?.type === 1) track = found;
      }
  };
  /** Counts a block by its first bytes. */
  const block = (element: Element, bytes: Buffer): Promise<void> | undefined => {
    const number = vint(bytes, 0, false);
    if (!number || bytes.length < number.length + 4 || element.end - element.start < number.length + 3)
      throw new MediaError(`the Matroska file is damaged: the block at byte ${element.at} is too short.`);
    if (number.value !== track!.number) return undefined;
    const laced = (bytes[number.length + 2]! & 6) !== 0;
    frames += laced ? bytes[number.length + 3]! + 1 : 1;
    const time = cluster + bytes.readInt16BE(number.length);
    first = Math.min(first, time);
    last = Math.max(last, time);
    if (head.length > 0 || laced) return undefined;
    const from = element.start + number.length + 3;
    return readRange(file, from, Math.min(from + 4096, element.end)).then(bytes => void (head = bytes));
  };
  const stamp = (element: Element, bytes: Buffer): void => {
    if (bytes.length < element.end - element.start) throw new MediaError('the Matroska file is damaged: a time is no number.');
    cluster = unsigned(bytes, { ...element, start: 0, end: element.end - element.start });
  };
  await walk(file, size, (element, window) => {
    if (element.end > size) throw new MediaError(`the Matroska file is cut off inside element ${hex(element.id)}.`);
    switch (element.id) {
      case id.EBML:
      case id.Info:
      case id.Tags:
      case id.Tracks:
        return part(element);
      case id.Timestamp: {
        const bytes = window.peek(element.start, 8);
        if (!bytes) return window.fill(element.start, 8).then(bytes => stamp(element, bytes));
        stamp(element, bytes);
        return undefined;
      }
      case id.SimpleBlock:
      case id.Block: {
        if (!track) return undefined;
        const bytes = window.peek(element.start, 16);
        return bytes ? block(element, bytes) : window.fill(element.start, 16).then(bytes => block(element, bytes));
      }
      default:
        return undefined;
    }
  });
  if (!track) throw new MediaError('the Matroska file has no video track.');
  const { codecId, codecPrivate, width, height, defaultDuration, colour, bitsPerChannel } = track;
  const span = frames > 0 ? (last - first) * scale : 0;
  // prettier-ignore
  return { video: { docType, codecId, codecPrivate, width, height, defaultDuration, frames, span, timestampScale: scale, colour, bitsPerChannel, head }, tags };
}

/**
 * Reads the tags alone; a file that is cut off still tells those that lie before.
 * @throws {MediaError} where it is no Matroska file, or is damaged and told nothing
 */
export async function readMatroskaTags(
  file: FileHandle,
  size: number,
  add: (tags: Map<string, string>, name: string, value: Buffer) => void,
): Promise<Map<string, string>> {
  const read = partReader(file, size);
  const tags = new Map<string, string>();
  try {
    await walk(file, size, element =>
      element.id === id.Tags && element.end <= size ? read(element).then(bytes => addTags(bytes, tags, add)) : undefined,
    );
  } catch (error) {
    if (!(error instanceof MediaError) || tags.size === 0) throw error;
  }
  return tags;
}

/**
 * The stretches of a file that may say what was asked for: tags, title, attachments, chapters and names of tracks, what it does not name, and the
 * checksums and seek entries that would then be wrong. Each is whole elements: a Void of the same length takes its place, and nothing moves.
 * @returns from and to, in bytes, in the order they lie
 * @throws {MediaError} where the file is damaged
 */
export async function matroskaNotes(file: FileHandle, size: number): Promise<{ at: number; end: number }[]> {
  const read = partReader(file, size);
  const notes: { at: number; end: number }[] = [];
  const kept = new Set<number>([
    id.EBML,
    id.Segment,
    id.Cluster,
    id.Timestamp,
    id.SimpleBlock,
    id.BlockGroup,
    id.Block,
    id.Cues,
    id.Tracks,
    id.Info,
    id.SeekHead,
  ]);
  // what lies flat in clusters and block groups: Position, PrevSize, BlockDuration, ReferencePriority, ReferenceBlock, CodecState, DiscardPadding, BlockAdditions
  for (const each of [0xa7, 0xab, 0x9b, 0xfa, 0xfb, 0xa4, 0x75a2, 0x75a1]) kept.add(each);
  const shallow: Readonly<Record<number, readonly number[]>> = {
    [id.Info]: [id.Title, id.CRC32, 0x4461 /* DateUTC */, 0x7384 /* SegmentFilename */, 0x3c83ab, 0x3e83bb /* of those before and after */],
    [id.SeekHead]: [id.CRC32],
    [id.Tracks]: [id.CRC32],
  };
  const part = async (element: Element, inside: readonly number[]): Promise<void> => {
    const bytes = await read(element);
    const budget = { left: budgetLimit };
    const drop = (e: Element) => notes.push({ at: element.start + e.at, end: element.start + e.end });
    for (const e of elements(bytes, { start: 0, end: bytes.length }, budget)) {
      if (inside.includes(e.id) || e.id === id.Void) drop(e);
      else if (e.id === id.Seek) {
        const target = [...elements(bytes, e, budget)].find(s => s.id === id.SeekID);
        const to = target && unsigned(bytes, target);
        if (to === id.Tags || to === id.Attachments || to === id.Chapters) drop(e);
      } else if (e.id === id.TrackEntry)
        for (const t of elements(bytes, e, budget)) if (t.id === id.Name || t.id === id.CRC32 || t.id === id.Void) drop(t);
    }
  };
  await walk(file, size, element => {
    if (element.end > size) throw new MediaError(`the Matroska file is cut off inside element ${hex(element.id)}.`);
    const inside = shallow[element.id];
    if (inside) return part(element, inside);
    if (!kept.has(element.id)) notes.push({ at: element.at, end: element.end });
    return undefined;
  });
  return notes;
}

/** An empty element of exactly so many bytes (2 at least), to lie where another lay. */
export function voidElement(length: number): Buffer {
  // a size of one byte holds up to 126; longer ones take eight, so that no length falls between
  const bytes = Buffer.alloc(length < 129 ? length : 9);
  bytes[0] = id.Void;
  if (length < 129) bytes[1] = 0x80 | (length - 2);
  else {
    bytes.writeBigUInt64BE(BigInt(length - 9) | (1n << 56n), 1);
  }
  return bytes;
}
