/**
 * @file The MP4 boxes we write and read ourselves: the request inside a clip, and what a clip is (ISO/IEC 14496-12).
 *
 * A clip carries its request twice: as the standard comment tag (moov/udta/meta/ilst/©cmt), which other tools keep on a stream copy, and as a
 * top-level XMP `uuid` box, which sites that scrub `udta` keep. The tag is written here and not by ffmpeg: an argument shows the prompt to
 * everyone who lists processes and ends at 32 kB on Windows, and ffmpeg of 2018 cuts a metadata file's lines at 1 kB (measured).
 * The box is then also put before the frames, which is what ffmpeg's faststart would do.
 */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { MediaError, fileError } from './error.ts';
import { refuseShut } from './files.ts';

/** Any JSON object: what was asked for, with hashes and base names; the caller keeps paths out. */
export type Request = Readonly<Record<string, unknown>>;

/** What an MP4's own boxes say about its first video track. */
export interface Clip {
  /** pixels */
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  readonly seconds: number;
  /** For example `avc1`. */
  readonly codec: string;
  /** H.264's profile number: 100 is High. */
  readonly profile: number | undefined;
  /** The `colr` box: primaries, transfer, matrix (1 is bt709 for each), and whether the range is full. */
  readonly colour:
    { readonly primaries: number; readonly transfer: number; readonly matrix: number; readonly fullRange: boolean } | undefined;
  /** Whether moov comes before the frames, so that playing can start before the file has arrived. */
  readonly fastStart: boolean;
}

/** The UUID of Adobe's XMP specification, part 3. */
const xmpUuid = Buffer.from('be7acfcb97a942e89c71999491e3afac', 'hex');
const xmpNamespace = 'urn:protagonist:request:1';
/** Most bytes of a request's JSON, in and out. */
const requestLimit = 1 << 20;
/** Most bytes of moov or of an XMP box that are read. */
const boxLimit = 64 << 20;
/** Most boxes looked at inside one box, and at the top of a file. */
const countLimit = 20_000;
const topLimit = 4096;

interface Box {
  readonly type: string;
  /** Where its header and its payload begin, and where it ends, from the start of the file or buffer. */
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

/** The boxes between two offsets of a buffer; each lies within. */
function* boxes(bytes: Buffer, start: number, end: number, budget: { left: number }): Generator<Box, void> {
  for (let at = start; at + 8 <= end;) {
    if (budget.left-- <= 0) throw new MediaError('the MP4 is refused: it has too many boxes.');
    const box = boxHeader(bytes.subarray(at, Math.min(at + 16, end)), at, end);
    if (box.end > end) throw new MediaError(`the MP4 is damaged: box ${JSON.stringify(box.type)} does not fit where it lies.`);
    yield box;
    at = box.end;
  }
}

/** The first box down a path of types, for example `mdia/minf/stbl`. */
function find(bytes: Buffer, from: { start: number; end: number }, types: string, budget: { left: number }): Box | undefined {
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

/** A number in a payload, or a clean error where the payload is too short. */
function number(bytes: Buffer, box: { start: number; end: number; type: string }, offset: number, size: 1 | 2 | 4 | 8): number {
  const at = box.start + offset;
  if (at + size > box.end) throw new MediaError(`the MP4 is damaged: box ${JSON.stringify(box.type)} is too short.`);
  return size === 8 ? Number(bytes.readBigUInt64BE(at)) : bytes.readUIntBE(at, size);
}

/** The top-level boxes of a file; one that runs past its end is yielded last, as a download that was cut leaves it. */
async function* topBoxes(file: FileHandle, size: number): AsyncGenerator<Box, void> {
  const window = Buffer.alloc(4096); // many small boxes cost few reads
  let [from, to] = [0, 0];
  let left = topLimit;
  for (let at = 0; at + 8 <= size;) {
    if (left-- <= 0) throw new MediaError('the MP4 is refused: it has too many boxes.');
    if (at < from || at + 16 > to) {
      from = at;
      to = at + (await file.read(window, 0, window.length, at)).bytesRead;
      if (to < at + 8) return; // the file has shrunk since
    }
    const box = boxHeader(window.subarray(at - from, Math.min(at + 16, to) - from), at, size);
    yield box;
    at = box.end;
  }
}

/** Reads exactly the bytes from `at` to `end`. */
async function readRange(file: FileHandle, at: number, end: number): Promise<Buffer> {
  if (end - at > boxLimit)
    throw new MediaError(`the MP4 is refused: a box of ${end - at} bytes is more than the ${boxLimit} that are read.`);
  const bytes = Buffer.alloc(end - at);
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, at + filled);
    if (bytesRead === 0) throw new MediaError('the MP4 is damaged: it ends inside a box.');
    filled += bytesRead;
  }
  return bytes;
}

/** Opens a file for reading, hands it over, closes it; whatever goes wrong becomes one sentence that names it. */
async function reading<T>(name: string, read: (file: FileHandle, size: number) => Promise<T>): Promise<T> {
  let file: FileHandle | undefined;
  try {
    await refuseShut(name);
    file = await open(name, constants.O_RDONLY | (process.platform === 'win32' ? 0 : constants.O_NONBLOCK)); // a pipe does not block
    const stat = await file.stat();
    if (!stat.isFile()) throw new MediaError('it is not a file.');
    return await read(file, stat.size);
  } catch (error) {
    if (error instanceof MediaError) throw new MediaError(`${name}: ${error.message}`, { cause: error });
    throw fileError(`cannot read ${name}`, error);
  } finally {
    await file?.close();
  }
}

/**
 * The JSON text that is embedded: an envelope by which we know our own comments from others', in characters that XML allows everywhere.
 * @throws {MediaError} where it exceeds 1 MiB
 */
function requestText(request: Request): string {
  const text = JSON.stringify({ protagonist: 1, request }).replace(
    /[\u007f-\u009f\ufffe\uffff]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  const bytes = Buffer.byteLength(text);
  if (bytes > requestLimit)
    throw new MediaError(`the request is ${bytes} bytes long and a clip carries at most ${requestLimit}: shorten the prompt.`);
  return text;
}

/** The request in an embedded text, or undefined where the text is another's. */
function parseRequest(text: string): Request | undefined {
  if (!text.includes('"protagonist"') || text.length > requestLimit) return undefined;
  try {
    const { protagonist, request } = JSON.parse(text) as { protagonist?: unknown; request?: unknown };
    return protagonist === 1 && typeof request === 'object' && request !== null && !Array.isArray(request)
      ? (request as Request)
      : undefined;
  } catch {
    return undefined;
  }
}

/** A box of these parts. */
function box(type: string, ...parts: readonly Uint8Array[]): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(8 + parts.reduce((sum, part) => sum + part.length, 0), 0);
  header.write(type, 4, 'latin1');
  return Buffer.concat([header, ...parts]);
}

/** udta/meta/ilst/©cmt as iTunes and ffmpeg write it: a handler of type `mdir` from `appl`, and UTF-8 text (type 1). */
function commentBox(text: string): Buffer {
  const handler = Buffer.alloc(25); // version and flags, predefined, type, three reserved words, an empty name
  handler.write('mdirappl', 8, 'latin1');
  const value = box('data', Buffer.from([0, 0, 0, 1, 0, 0, 0, 0]), Buffer.from(text));
  return box('udta', box('meta', Buffer.alloc(4), box('hdlr', handler), box('ilst', box('\u00a9cmt', value))));
}

/** A top-level XMP box: one packet whose one property is the request. */
function xmpBox(text: string): Buffer {
  const escaped = text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
  const packet =
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">' +
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">' +
    `<rdf:Description rdf:about="" xmlns:protagonist="${xmpNamespace}"><protagonist:request>${escaped}</protagonist:request></rdf:Description>` +
    '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>';
  return box('uuid', xmpUuid, Buffer.from(packet));
}

/** The request in an XMP packet. */
function xmpRequest(packet: string): Request | undefined {
  const opening = '<protagonist:request>';
  const from = packet.indexOf(opening);
  const to = packet.indexOf('</protagonist:request>', from + 1);
  if (from < 0 || to < 0 || !packet.includes(xmpNamespace)) return undefined;
  const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
  return parseRequest(
    packet.slice(from + opening.length, to).replace(/&(lt|gt|quot|apos|amp);/g, (whole, name: string) => entities[name] ?? whole),
  );
}

/** The request in moov's comment tag: the iTunes form of MP4, or QuickTime's own, which a copy to `.mov` leaves. */
function commentRequest(moov: Buffer): Request | undefined {
  const budget = { left: countLimit };
  const udta = find(moov, { start: 8, end: moov.length }, 'udta', budget);
  if (!udta) return undefined;
  const meta = find(moov, udta, 'meta', budget);
  if (meta) {
    // In MP4 meta has a version word before its boxes, in QuickTime it has none.
    const plain = meta.end - meta.start >= 8 && moov.toString('latin1', meta.start + 4, meta.start + 8) === 'hdlr';
    const tag = find(moov, { start: meta.start + (plain ? 0 : 4), end: meta.end }, 'ilst/\u00a9cmt/data', budget);
    const request = tag && parseRequest(moov.toString('utf8', Math.min(tag.start + 8, tag.end), tag.end));
    if (request) return request;
  }
  const quickTime = find(moov, udta, '\u00a9cmt', budget);
  if (!quickTime || quickTime.end - quickTime.start < 4) return undefined;
  const length = moov.readUInt16BE(quickTime.start);
  return parseRequest(moov.toString('utf8', quickTime.start + 4, Math.min(quickTime.start + 4 + length, quickTime.end)));
}

/**
 * The request that a clip carries, from its comment tag, else from its XMP box; undefined where it carries none of ours.
 * The file may be anyone's: sizes, counts and depth are bounded, nothing in it is trusted, and what it says is to be parsed before use.
 * @throws {MediaError} where the file cannot be read or is no MP4
 */
export async function readRequest(name: string): Promise<Request | undefined> {
  return reading(name, async (file, size) => {
    let damage: MediaError | undefined;
    let known = false;
    let inXmp: Request | undefined;
    const guarded = async (read: () => Promise<Request | undefined>): Promise<Request | undefined> => {
      try {
        return await read();
      } catch (error) {
        if (!(error instanceof MediaError)) throw error;
        damage ??= error;
        return undefined; // the other place may be whole
      }
    };
    try {
      for await (const top of topBoxes(file, size)) {
        if (top.at === 0 && !['ftyp', 'moov', 'wide', 'free', 'skip', 'mdat'].includes(top.type))
          throw new MediaError('it is not an MP4 video.');
        known ||= top.type === 'ftyp' || top.type === 'moov';
        if (top.end > size) break;
        if (top.type === 'moov') {
          const request = await guarded(async () => commentRequest(await readRange(file, top.start - 8, top.end)));
          if (request) return request;
        } else if (top.type === 'uuid' && inXmp === undefined && top.end - top.start > 16) {
          inXmp = await guarded(async () => {
            const id = await readRange(file, top.start, top.start + 16);
            return id.equals(xmpUuid) ? xmpRequest((await readRange(file, top.start + 16, top.end)).toString('utf8')) : undefined;
          });
        }
      }
    } catch (error) {
      if (!(error instanceof MediaError) || !known) throw error;
      damage ??= error;
    }
    if (!known) throw new MediaError('it is not an MP4 video.');
    if (inXmp === undefined && damage !== undefined) throw damage;
    return inXmp;
  });
}

/** What moov says about the first video track. */
function clipOf(moov: Buffer, fastStart: boolean): Clip {
  const budget = { left: countLimit };
  const all = { start: 8, end: moov.length };
  const mvhd = find(moov, all, 'mvhd', budget);
  if (!mvhd) throw new MediaError('the MP4 is damaged: it has no mvhd box.');
  const long = number(moov, mvhd, 0, 1) === 1;
  const timescale = number(moov, mvhd, long ? 20 : 12, 4);
  const seconds = timescale > 0 ? number(moov, mvhd, long ? 24 : 16, long ? 8 : 4) / timescale : 0;
  for (const trak of boxes(moov, all.start, all.end, budget)) {
    if (trak.type !== 'trak') continue;
    const hdlr = find(moov, trak, 'mdia/hdlr', budget);
    if (!hdlr || number(moov, hdlr, 8, 4) !== 0x76696465) continue; // 'vide'
    const tkhd = find(moov, trak, 'tkhd', budget);
    const stsd = find(moov, trak, 'mdia/minf/stbl/stsd', budget);
    const stsz = find(moov, trak, 'mdia/minf/stbl/stsz', budget);
    if (!tkhd || !stsd || !stsz) throw new MediaError('the MP4 is damaged: its video track lacks a box.');
    const tail = tkhd.end - tkhd.start - 8;
    const entry = find(moov, { start: stsd.start + 8, end: stsd.end }, 'avc1', budget);
    const inside = entry && { start: Math.min(entry.start + 78, entry.end), end: entry.end };
    const avcC = inside && find(moov, inside, 'avcC', budget);
    const colr = inside && find(moov, inside, 'colr', budget);
    const nclx = colr !== undefined && number(moov, colr, 0, 4) === 0x6e636c78 ? colr : undefined;
    return {
      width: number(moov, tkhd, tail, 2),
      height: number(moov, tkhd, tail + 4, 2),
      frames: number(moov, stsz, 8, 4),
      seconds,
      codec: moov.toString('latin1', stsd.start + 12, Math.min(stsd.start + 16, stsd.end)),
      profile: avcC && number(moov, avcC, 1, 1),
      colour: nclx && {
        primaries: number(moov, nclx, 4, 2),
        transfer: number(moov, nclx, 6, 2),
        matrix: number(moov, nclx, 8, 2),
        fullRange: number(moov, nclx, 10, 1) >= 128,
      },
      fastStart,
    };
  }
  throw new MediaError('the MP4 has no video track.');
}

/**
 * Reads what a clip is from its boxes: size, frames, duration, codec, colour. Every box must be whole, so a file cut anywhere is refused.
 * @throws {MediaError} where the file is no whole MP4 with a video track
 */
export async function readClip(name: string): Promise<Clip> {
  return reading(name, async (file, size) => {
    let moov: Box | undefined;
    let mdat: Box | undefined;
    for await (const top of topBoxes(file, size)) {
      if (top.at === 0 && top.type !== 'ftyp') break;
      if (top.end > size) throw new MediaError(`the MP4 is cut off inside its ${JSON.stringify(top.type)} box.`);
      if (top.type === 'moov') moov ??= top;
      if (top.type === 'mdat') mdat ??= top;
    }
    if (!moov || !mdat) throw new MediaError('it is not a whole MP4 video.');
    return clipOf(await readRange(file, moov.start - 8, moov.end), moov.at < mdat.at);
  });
}

/**
 * What `inspect` says of a clip: its size, length and codec, and the request in it, where there is one of ours.
 * @throws {MediaError} where it is no whole MP4 video
 */
export async function describeClip(name: string): Promise<Readonly<Record<string, unknown>>> {
  const clip = await readClip(name);
  const request = await readRequest(name);
  const fps = clip.seconds > 0 ? Math.round((clip.frames / clip.seconds) * 1000) / 1000 : 0;
  return { kind: 'clip', ...clip, fps, ...(request && { request }) };
}

/**
 * Copies what ffmpeg wrote into a file that is open and empty: ftyp, moov with the comment tag, the frames, the XMP box. Chunk offsets move with the frames.
 * @throws {MediaError} where ffmpeg's file is not whole; the caller's `to` is then to be removed
 */
export async function embedRequest(from: string, to: FileHandle, request: Request): Promise<void> {
  const text = requestText(request);
  const [comment, xmp] = [commentBox(text), xmpBox(text)];
  await reading(from, async (file, size) => {
    let [ftyp, moov, mdat]: (Box | undefined)[] = [];
    for await (const top of topBoxes(file, size)) {
      if (top.end > size) throw new MediaError(`the MP4 is cut off inside its ${JSON.stringify(top.type)} box.`);
      if (top.type === 'ftyp') ftyp = top;
      if (top.type === 'moov') moov = top;
      if (top.type === 'mdat') mdat = top;
    }
    if (!ftyp || !moov || !mdat) throw new MediaError('ffmpeg left no whole MP4.');
    const bytes = await readRange(file, moov.at, moov.end);
    const budget = { left: countLimit };
    const children = [...boxes(bytes, moov.start - moov.at, bytes.length, budget)].filter(child => child.type !== 'udta');
    const start = await readRange(file, ftyp.at, ftyp.end);
    const length = 8 + children.reduce((sum, child) => sum + child.end - child.at, 0) + comment.length;
    const shift = start.length + length - mdat.at;
    for (const trak of children.filter(child => child.type === 'trak')) {
      const stbl = find(bytes, trak, 'mdia/minf/stbl', budget);
      for (const table of stbl ? boxes(bytes, stbl.start, stbl.end, budget) : []) {
        if (table.type !== 'stco' && table.type !== 'co64') continue;
        const wide = table.type === 'co64' ? 8 : 4;
        const count = number(bytes, table, 4, 4);
        for (let i = 0; i < count; i++) {
          const offset = number(bytes, table, 8 + i * wide, wide) + shift;
          const at = table.start + 8 + i * wide;
          if (wide === 8) bytes.writeBigUInt64BE(BigInt(offset), at);
          else if (offset < 2 ** 32) bytes.writeUInt32BE(offset, at);
          else throw new MediaError('the clip is longer than 4 GB.');
        }
      }
    }
    await to.appendFile(start);
    await to.appendFile(box('moov', ...children.map(child => bytes.subarray(child.at, child.end)), comment));
    for (let at = mdat.at; at < mdat.end; at += 1 << 20) await to.appendFile(await readRange(file, at, Math.min(at + (1 << 20), mdat.end)));
    await to.appendFile(xmp);
  });
}
