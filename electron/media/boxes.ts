/** @file The boxes of an MP4 or QuickTime file (ISO/IEC 14496-12), walked so that no file can make it long, deep or large. */
import type { FileHandle } from 'node:fs/promises';
import { MediaError } from './error.ts';
import { readRange, Window } from './reading.ts';

/** Most boxes at the top of a file. */
const topLimit = 4096;
/** Most boxes looked at inside one box, shared by all walks that are given the same budget. */
export const boxBudget = (): { left: number } => ({ left: 20_000 });

/** A box: where its header and its payload begin, and where it ends, in bytes from the start of the file or buffer. */
export interface Box {
  readonly type: string;
  readonly at: number;
  readonly start: number;
  readonly end: number;
}

/** Reads one box header at `at` of something that ends at `end`; `header` holds at least 16 bytes from there where there are so many. */
function boxHeader(header: Buffer, at: number, end: number): Box {
  const type = header.toString('latin1', 4, 8);
  let size = header.readUInt32BE(0);
  let start = at + 8;
  if (size === 1) {
    if (header.length < 16) throw new MediaError(`the MP4 is damaged: box ${JSON.stringify(type)} is cut off.`);
    size = Number(header.readBigUInt64BE(8)); // beyond 2^53 it is only compared with the end of the file
    start = at + 16;
  } else if (size === 0) size = end - at; // up to the end
  if (size < start - at) throw new MediaError(`the MP4 is damaged: box ${JSON.stringify(type)} claims ${size} bytes.`);
  return { type, at, start, end: at + size };
}

/**
 * The boxes between two offsets of a buffer; each lies within.
 * @throws {MediaError} where one does not, or the budget is spent
 */
export function* boxes(bytes: Buffer, start: number, end: number, budget: { left: number }): Generator<Box, void> {
  for (let at = start; at + 8 <= end;) {
    if (budget.left-- <= 0) throw new MediaError('the MP4 is refused: it has too many boxes.');
    const box = boxHeader(bytes.subarray(at, Math.min(at + 16, end)), at, end);
    if (box.end > end) throw new MediaError(`the MP4 is damaged: box ${JSON.stringify(box.type)} does not fit where it lies.`);
    yield box;
    at = box.end;
  }
}

/** The first box down a path of types, for example `mdia/minf/stbl`. */
export function find(bytes: Buffer, from: { start: number; end: number }, types: string, budget: { left: number }): Box | undefined {
  let inside = from;
  let found: Box | undefined;
  for (const type of types.split('/')) {
    found = undefined;
    for (const box of boxes(bytes, inside.start, inside.end, budget))
      if (box.type === type) {
        found = box;
        break;
      }
    if (!found) return undefined;
    inside = found;
  }
  return found;
}

/**
 * A big-endian number at an offset of a payload.
 * @throws {MediaError} where the payload is too short
 */
export function number(bytes: Buffer, box: { start: number; end: number; type: string }, offset: number, size: 1 | 2 | 3 | 4 | 8): number {
  const at = box.start + offset;
  if (at + size > box.end) throw new MediaError(`the MP4 is damaged: box ${JSON.stringify(box.type)} is too short.`);
  return size === 8 ? Number(bytes.readBigUInt64BE(at)) : bytes.readUIntBE(at, size);
}

/** The top-level boxes of a file; one that runs past its end is yielded last, as a download that was cut leaves it. */
export async function* topBoxes(file: FileHandle, size: number): AsyncGenerator<Box, void> {
  const window = new Window(file, size);
  let left = topLimit;
  for (let at = 0; at + 8 <= size;) {
    if (left-- <= 0) throw new MediaError('the MP4 is refused: it has too many boxes.');
    const header = window.peek(at, 16) ?? (await window.fill(at, 16));
    if (header.length < 8) return; // the file has shrunk since
    const box = boxHeader(header, at, size);
    yield box;
    at = box.end;
  }
}

/** A whole box with its header, for example moov; its children begin at offset `box.start - box.at`. */
export async function readBox(file: FileHandle, box: Box): Promise<Buffer> {
  return readRange(file, box.at, box.end);
}
