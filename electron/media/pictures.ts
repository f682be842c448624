/** @file The parts that GIF, WebP and PNG files are made of, walked in order by their headers: sizes and counts are bounded, and each part lies within the file. */
import type { FileHandle } from 'node:fs/promises';
import { MediaError } from './error.ts';
import { readRange, Window } from './reading.ts';

/** A part: what it is, where it lies in bytes, and the first bytes of it (valid until the next part is asked for). */
export interface Part {
  readonly kind: string;
  readonly at: number;
  readonly end: number;
  readonly head: Buffer;
}

/** Most bytes of a GIF, which has no lengths and is walked over whole; most bytes of a part that are read; most parts. */
const [gifLimit, textLimit, partLimit] = [1 << 30, 2 << 20, 1_000_000];

/**
 * The parts of a GIF: `screen`, `image`, `control`, `comment`, `extension` (an application's, or text), `trailer`. What follows the trailer is none.
 * @throws {MediaError} where it is cut off or damaged
 */
export async function* gifParts(file: FileHandle, size: number): AsyncGenerator<Part, void> {
  if (size > gifLimit) throw new MediaError(`the GIF is refused: of ${size} bytes, at most ${gifLimit} are read.`);
  const window = new Window(file, size, 1 << 16);
  const seen = async (at: number, count: number): Promise<Buffer> => {
    const bytes = window.peek(at, count) ?? (await window.fill(at, count));
    if (bytes.length < count) throw new MediaError('the GIF is cut off.');
    return bytes;
  };
  const table = (flags: number): number => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  const screen = Buffer.from(await seen(0, 13));
  let at = 13 + table(screen[10]!);
  yield { kind: 'screen', at: 0, end: at, head: screen };
  for (;;) {
    const from = at;
    const first = (await seen(at, 1))[0];
    let kind: string;
    let head: Buffer;
    if (first === 0x3b) {
      yield { kind: 'trailer', at, end: at + 1, head: await seen(at, 1) };
      return;
    } else if (first === 0x2c) {
      kind = 'image';
      head = Buffer.from(await seen(at, 10));
      at += 11 + table(head[9]!);
    } else if (first === 0x21) {
      const label = (await seen(at, 2))[1]!;
      kind = label === 0xf9 ? 'control' : label === 0xfe ? 'comment' : 'extension';
      head = Buffer.from(await seen(at, label === 0xf9 ? 8 : label === 0xff ? 14 : 2));
      at += 2;
    } else throw new MediaError(`the GIF is damaged: there is no part at byte ${at}.`);
    for (let count = -1; count !== 0; at += 1 + count) count = (await seen(at, 1))[0]!;
    yield { kind, at: from, end: at, head };
  }
}

/** The text of a GIF's comment; one of more than 2 MiB is empty. */
export async function gifComment(file: FileHandle, part: Part): Promise<Buffer> {
  if (part.end - part.at > textLimit) return Buffer.alloc(0);
  const bytes = await readRange(file, part.at, part.end);
  const text: Buffer[] = [];
  for (let at = 2; at < bytes.length && bytes[at] !== 0; at += 1 + bytes[at]!) text.push(bytes.subarray(at + 1, at + 1 + bytes[at]!));
  return Buffer.concat(text);
}

/**
 * The chunks of a WebP by their names (`VP8X`, `ANMF`), with 32 bytes of each from its header on. What follows the RIFF is none.
 * @throws {MediaError} where it is cut off or damaged
 */
export async function* webpParts(file: FileHandle, size: number): AsyncGenerator<Part, void> {
  const window = new Window(file, size);
  const riff = await window.fill(0, 12);
  const end = riff.length < 12 ? Infinity : 8 + riff.readUInt32LE(4);
  if (end > size) throw new MediaError('the WebP is cut off.');
  let left = partLimit;
  for (let at = 12; at + 8 <= end;) {
    if (left-- <= 0) throw new MediaError('the WebP is refused: it has too many parts.');
    const head = window.peek(at, 32) ?? (await window.fill(at, 32));
    if (head.length < 8) throw new MediaError('the WebP is cut off.');
    const kind = head.toString('latin1', 0, 4);
    const last = at + 8 + head.readUInt32LE(4);
    if (last > end) throw new MediaError(`the WebP is damaged: its part ${JSON.stringify(kind)} does not fit where it lies.`);
    const next = Math.min(last + ((last - at) & 1), end);
    yield { kind, at, end: next, head: head.subarray(0, next - at) };
    at = next;
  }
}

/**
 * The chunks of a PNG by their names, up to and with IEND, with 40 bytes of each from its header on.
 * @throws {MediaError} where it is cut off or damaged
 */
export async function* pngParts(file: FileHandle, size: number): AsyncGenerator<Part, void> {
  const window = new Window(file, size);
  let left = partLimit;
  for (let at = 8; ;) {
    if (left-- <= 0) throw new MediaError('the PNG is refused: it has too many parts.');
    const head = window.peek(at, 40) ?? (await window.fill(at, 40));
    if (head.length < 12) throw new MediaError('the PNG is cut off.');
    const kind = head.toString('latin1', 4, 8);
    const end = at + 12 + head.readUInt32BE(0);
    if (end > size) throw new MediaError(`the PNG is cut off inside its ${JSON.stringify(kind)} part.`);
    if (at === 8 && (kind !== 'IHDR' || end !== 33)) throw new MediaError('the PNG is damaged: it does not begin with its size.');
    yield { kind, at, end, head: head.subarray(0, end - at) };
    if (kind === 'IEND') return;
    at = end;
  }
}

/** The keyword and text of a PNG's `tEXt` or `iTXt`; undefined for one that is compressed or has more than 2 MiB. */
export async function pngText(file: FileHandle, part: Part): Promise<{ name: string; text: Buffer } | undefined> {
  if (part.end - part.at > textLimit) return undefined;
  const bytes = await readRange(file, part.at + 8, part.end - 4);
  const named = bytes.indexOf(0);
  if (named < 1) return undefined;
  const name = bytes.toString('latin1', 0, named);
  if (part.kind === 'tEXt') return { name, text: Buffer.from(bytes.toString('latin1', named + 1)) };
  // keyword, whether compressed, how, language, translated keyword, text
  const language = bytes.indexOf(0, named + 3);
  const translated = language < 0 ? -1 : bytes.indexOf(0, language + 1);
  return bytes[named + 1] === 0 && translated > 0 ? { name, text: bytes.subarray(translated + 1) } : undefined;
}
