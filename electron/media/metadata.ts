/**
 * @file A clip that remembers: the request inside it, written, read back and taken out again; and what an MP4 of ours is (ISO/IEC 14496-12).
 *
 * A clip carries its request twice: as the standard comment tag (moov/udta/meta/ilst/©cmt), which other tools keep on a stream copy, and as a
 * top-level XMP `uuid` box, which sites that scrub `udta` keep. The tag is written here and not by ffmpeg: an argument shows the prompt to
 * everyone who lists processes and ends at 32 kB on Windows, and ffmpeg of 2018 cuts a metadata file's lines at 1 kB (measured).
 * The box is then also put before the frames, which is what ffmpeg's faststart would do.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { open, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { boxBudget, boxes, find, number, readBox, topBoxes, type Box } from './boxes.ts';
import { MediaError, fileError } from './error.ts';
import { syncFolder } from './files.ts';
import { isMatroska, matroskaNotes, readMatroskaTags, voidElement } from './matroska.ts';
import { gifParts, pngParts, webpParts } from './pictures.ts';
import { addTag, movieTags, probe } from './probe.ts';
import { readRange, reading } from './reading.ts';

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
/**
 * The JSON text that is embedded: an envelope by which we know our own comments from others', in characters that XML allows everywhere.
 * @throws {MediaError} where it exceeds 1 MiB
 */
export function requestText(request: Request): string {
  const text = JSON.stringify({ protagonist: 1, request }).replace(
    /[\u007f-\u009f\ufffe\uffff]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  const bytes = Buffer.byteLength(text);
  if (bytes > requestLimit)
    throw new MediaError(`the request is ${bytes} bytes long and a clip carries at most ${requestLimit}: shorten the prompt.`);
  return text;
}

/** The envelope; what a request is made of is for its reader to parse, setting by setting (`electron/studio/requests.ts`). */
const envelope = z.object({ protagonist: z.literal(1), request: z.record(z.string(), z.unknown()) });
/** How deep a request may be nested: ours are four deep, and what prints one recurses. */
const depthLimit = 32;
const deeper = (value: unknown, left: number): boolean =>
  typeof value === 'object' && value !== null && (left === 0 || Object.values(value).some(each => deeper(each, left - 1)));

/** The request in an embedded text, or undefined where the text is another's, or none that we would write. */
function parseRequest(text: string): Request | undefined {
  if (!text.includes('"protagonist"') || Buffer.byteLength(text) > requestLimit) return undefined;
  try {
    const parsed = envelope.safeParse(JSON.parse(text));
    return parsed.success && !deeper(parsed.data.request, depthLimit) ? parsed.data.request : undefined;
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

/** What an export of frames writes beside them, of what is read here. */
const framesFile = z.object({ request: z.record(z.string(), z.unknown()).optional() });

/** The request beside frames, in their frames.json. */
async function framesRequest(folder: string): Promise<Request | undefined> {
  return reading(path.join(folder, 'frames.json'), async (file, size) => {
    if (size > 2 * requestLimit) throw new MediaError(`it has ${size} bytes, more than are read.`);
    let found: z.infer<typeof framesFile>;
    try {
      found = framesFile.parse(JSON.parse((await readRange(file, 0, size)).toString('utf8')));
    } catch (error) {
      if (error instanceof MediaError) throw error;
      throw new MediaError('it is not what an export of frames writes.', { cause: error });
    }
    return found.request && !deeper(found.request, depthLimit) ? found.request : undefined;
  });
}

/**
 * The request that a clip carries, from its comment tag, else (MP4, QuickTime) from its XMP box; undefined where it carries none of ours, as a GIF,
 * a WebP or a PNG does. The file may be anyone's, whatever its name says: sizes, counts and depth are bounded, nothing in it is trusted, and what it
 * says is to be parsed before use. MP4, QuickTime, Matroska, WebM and a folder of exported frames are read.
 * @throws {MediaError} where the file cannot be read or is none of these
 */
export async function readRequest(name: string): Promise<Request | undefined> {
  if ((await stat(name).catch(() => undefined))?.isDirectory()) {
    if (existsSync(path.join(name, 'frames.json'))) return framesRequest(name);
    throw new MediaError(`${name}: it is a folder, and not one of exported frames: name a video.`);
  }
  return reading(name, async (file, size) => {
    const head = await readRange(file, 0, Math.min(size, 16));
    if (/^(GIF8[79]a|\x89PNG\r\n\x1a\n|RIFF[^]{4}WEBP)/.test(head.toString('latin1'))) return undefined;
    if (isMatroska(head)) return parseRequest((await readMatroskaTags(file, size, addTag)).get('comment') ?? '');
    let damage: MediaError | undefined;
    let known = false;
    let inXmp: Request | undefined;
    const guarded = async <T>(read: () => Promise<T>): Promise<T | undefined> => {
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
          const tags = new Map<string, string>();
          await guarded(async () => movieTags(await readBox(file, top), top.start - top.at, tags));
          const request = parseRequest(tags.get('comment') ?? '');
          if (request) return request;
        } else if (top.type === 'uuid' && inXmp === undefined) inXmp = await guarded(() => requestInBox(file, top));
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

/** The request in an XMP box, undefined for another uuid box. */
async function requestInBox(file: FileHandle, box: Box): Promise<Request | undefined> {
  if (box.end - box.start <= 16 || !(await readRange(file, box.start, box.start + 16)).equals(xmpUuid)) return undefined;
  return xmpRequest((await readRange(file, box.start + 16, box.end)).toString('utf8'));
}

/** What moov says about the first video track. */
function clipOf(moov: Buffer, fastStart: boolean): Clip {
  const budget = boxBudget();
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
 * What `inspect` says of a video, whatever made it: what it is, the request in it, where there is one of ours, and its other tags.
 * @param name a file, or a folder of frames
 * @throws {MediaError} where it is no whole video of a kind that is read
 */
export async function describeClip(name: string): Promise<Readonly<Record<string, unknown>>> {
  const { tags, ...film } = await probe(name);
  const request = await readRequest(name);
  const [n, d] = film.rate;
  const others = Object.entries(tags).filter(([tag]) => !request || tag !== 'comment');
  return {
    ...{ kind: 'clip', ...film },
    ...(n > 0 && { fps: Math.round((n / d) * 1000) / 1000 }),
    ...(others.length > 0 && { tags: Object.fromEntries(others) }),
    ...(request && { request }),
  };
}

/** Pieces in which a file is copied: bytes. */
const copyPiece = 1 << 20;

async function copyRange(from: FileHandle, to: FileHandle, at: number, end: number): Promise<void> {
  for (; at < end; at += copyPiece) await to.appendFile(await readRange(from, at, Math.min(at + copyPiece, end)));
}

/**
 * Copies a finished MP4 or QuickTime file into one that is open and empty, with a request in it: ftyp, moov with the comment tag, the rest as it
 * lay, the XMP box at the end. Chunk offsets move with the frames. An earlier request, other tags and padding are left out.
 * @throws {MediaError} where the file is not whole, or is fragmented; the caller's `to` is then to be removed
 */
export async function embedRequest(from: string, to: FileHandle, request: Request): Promise<void> {
  const text = requestText(request);
  const [comment, xmp] = [commentBox(text), xmpBox(text)];
  await reading(from, async (file, size) => {
    let [ftyp, moov, mdat]: (Box | undefined)[] = [];
    const kept: Box[] = []; // all but these two, in the order they lie
    for await (const top of topBoxes(file, size)) {
      if (top.end > size) throw new MediaError(`the MP4 is cut off inside its ${JSON.stringify(top.type)} box.`);
      if (top.type === 'moof') throw new MediaError('the MP4 is fragmented: make a plain one of it with `ffmpeg -i FILE -c copy`.');
      if (top.type === 'ftyp') ftyp = top;
      else if (top.type === 'moov') moov = top;
      else if (!['free', 'skip', 'wide', 'meta'].includes(top.type) && !(top.type === 'uuid' && (await requestInBox(file, top))))
        kept.push(top);
      if (top.type === 'mdat') mdat = top;
    }
    if (!ftyp || !moov || !mdat) throw new MediaError('it is no whole MP4 video.');
    const bytes = await readBox(file, moov);
    const budget = boxBudget();
    const children = [...boxes(bytes, moov.start - moov.at, bytes.length, budget)].filter(
      child => child.type !== 'udta' && child.type !== 'meta',
    );
    const start = await readRange(file, ftyp.at, ftyp.end);
    let at = start.length + 8 + children.reduce((sum, child) => sum + child.end - child.at, 0) + comment.length;
    const moved = kept.map(({ at: was, end }) => ({ was, end, shift: (at += end - was) - end }));
    for (const trak of children.filter(child => child.type === 'trak')) {
      const stbl = find(bytes, trak, 'mdia/minf/stbl', budget);
      for (const table of stbl ? boxes(bytes, stbl.start, stbl.end, budget) : []) {
        if (table.type === 'saio') throw new MediaError('the MP4 is encrypted: it is not changed.');
        if (table.type !== 'stco' && table.type !== 'co64') continue;
        const wide = table.type === 'co64' ? 8 : 4;
        const count = number(bytes, table, 4, 4);
        let inside = moved[0]!;
        for (let i = 0; i < count; i++) {
          const was = number(bytes, table, 8 + i * wide, wide);
          if (was < inside.was || was >= inside.end) {
            const found = moved.find(box => was >= box.was && was < box.end);
            if (!found) throw new MediaError(`the MP4 is damaged: frames are said to lie at byte ${was}.`);
            inside = found;
          }
          const offset = was + inside.shift;
          const place = table.start + 8 + i * wide;
          if (wide === 8) bytes.writeBigUInt64BE(BigInt(offset), place);
          else if (offset < 2 ** 32) bytes.writeUInt32BE(offset, place);
          else throw new MediaError('the clip is longer than 4 GB.');
        }
      }
    }
    await to.appendFile(start);
    await to.appendFile(box('moov', ...children.map(child => bytes.subarray(child.at, child.end)), comment));
    for (const { at, start, end } of kept) {
      // a box may say that it reaches up to the file's end; it now must not
      const header = await readRange(file, at, start);
      if (header.readUInt32BE(0) === 0) {
        if (end - at >= 2 ** 32) throw new MediaError('the clip is longer than 4 GB.');
        header.writeUInt32BE(end - at, 0);
      }
      await to.appendFile(header);
      await copyRange(file, to, start, end);
    }
    await to.appendFile(xmp);
  });
}

/** Fills a new file beside `out`, lets it be looked at, makes it last, and only then puts it in the place of `out`; a failure leaves nothing. */
async function replacing(out: string, fill: (to: FileHandle) => Promise<void>, check: (part: string) => Promise<void>): Promise<void> {
  const folder = path.dirname(path.resolve(out));
  const part = path.join(folder, `.${randomBytes(12).toString('hex')}.part`);
  try {
    const to = await open(part, 'wx');
    try {
      await fill(to);
      await to.sync();
    } finally {
      await to.close();
    }
    await check(part);
    await rename(part, out);
    await syncFolder(folder);
  } catch (error) {
    await unlink(part).catch(() => undefined); // the disk may be gone: the first error says so
    throw fileError(`cannot write ${out}`, error);
  }
}

/**
 * Puts a request into a finished MP4 or QuickTime file, twice: the comment tag, and the XMP box at the end. The file is replaced when the new one
 * is whole, on the disk, and says the same; frames are copied, not encoded.
 * @throws {MediaError} where it is no whole MP4 video, is fragmented or encrypted, or the request is larger than 1 MiB; the file is then as it was
 */
export async function writeRequest(file: string, request: Request): Promise<void> {
  await replacing(
    file,
    to => embedRequest(file, to, request),
    async part => {
      const [was, is] = [await probe(file), await probe(part)];
      if (was.frames !== is.frames || !(await readRequest(part))) throw new MediaError('it did not become whole: try again.');
    },
  );
}

/** A stretch of a file that is left out, or has zeros in its place, `bytes` before them. */
interface Edit {
  readonly at: number;
  readonly end: number;
  readonly bytes: Buffer;
  readonly drop?: boolean;
}

const none = Buffer.alloc(0);

/** What each box may hold in a clip that says nothing of how it was made; a box that is not listed becomes `free`. A list of its own means: looked into. */
// prettier-ignore
const plain: Readonly<Record<string, readonly string[]>> = {
  '': ['ftyp', 'styp', 'pdin', 'moov', 'moof', 'mdat', 'sidx', 'ssix', 'mfra', 'prft'],
  moov: ['mvhd', 'trak', 'mvex'],
  mvex: ['mehd', 'trex'],
  trak: ['tkhd', 'edts', 'tref', 'tapt', 'mdia'],
  edts: ['elst'],
  mdia: ['mdhd', 'hdlr', 'elng', 'minf'],
  minf: ['vmhd', 'smhd', 'hmhd', 'nmhd', 'gmhd', 'hdlr', 'dinf', 'stbl'],
  dinf: ['dref'],
  stbl: ['stsd', 'stts', 'ctts', 'cslg', 'stsc', 'stsz', 'stz2', 'stco', 'co64', 'stss', 'stsh', 'stdp', 'sdtp', 'sbgp', 'sgpd', 'subs', 'saiz', 'saio', 'padb'],
  moof: ['mfhd', 'traf'],
  traf: ['tfhd', 'tfdt', 'trun', 'sdtp', 'sbgp', 'sgpd', 'subs', 'saiz', 'saio'],
};

/** The header of a `free` box in the place of another, as wide as that was, so that nothing moves. */
function freed(bytes: Buffer, { at, start }: { at: number; start: number }): Buffer {
  const header = Buffer.from(bytes.subarray(at, start));
  header.write('free', 4, 'latin1');
  return header;
}

/** What is to be emptied inside moov or a moof. */
function* movieEdits(bytes: Buffer, parent: Box, base: number, budget: { left: number }): Generator<Edit, void> {
  const edit = (at: number, end: number, put: Buffer = none): Edit => ({ at: base + at, end: base + end, bytes: put });
  for (const child of boxes(bytes, parent.start, parent.end, budget)) {
    const { type, start, end } = child;
    if (!plain[parent.type]!.includes(type)) yield edit(child.at, end, freed(bytes, child));
    else if (type === 'hdlr') {
      const kind = bytes.toString('latin1', start + 8, Math.min(start + 12, end));
      if (parent.type === 'mdia' && !['vide', 'soun', 'tmcd'].includes(kind))
        throw new MediaError(
          `it has a track of another kind (${JSON.stringify(kind)}), which may say anything: export it anew without settings.`,
        );
      if (end > start + 24) yield edit(start + 24, end); // a name
    } else if (type === 'mvhd' || type === 'tkhd' || type === 'mdhd') {
      if (end > start + 4) yield edit(start + 4, Math.min(start + 4 + (bytes[start] === 1 ? 16 : 8), end)); // when it was made
    } else if (type === 'dref') {
      for (const entry of boxes(bytes, Math.min(start + 8, end), end, budget))
        if (entry.end > entry.start + 4) yield edit(entry.start + 4, entry.end);
    } else if (Object.hasOwn(plain, type)) yield* movieEdits(bytes, child, base, budget);
  }
}

async function mp4Edits(file: FileHandle, size: number): Promise<Edit[]> {
  const edits: Edit[] = [];
  let left = 128 << 20;
  for await (const top of topBoxes(file, size)) {
    if (top.end > size) throw new MediaError(`the MP4 is cut off inside its ${JSON.stringify(top.type)} box.`);
    if (!plain['']!.includes(top.type)) {
      const bytes = freed(await readRange(file, top.at, top.start), { at: 0, start: top.start - top.at });
      edits.push({ at: top.at, end: top.end, bytes });
    } else if (top.type === 'moov' || top.type === 'moof') {
      left -= top.end - top.at;
      if (left < 0) throw new MediaError('the MP4 is refused: its fragments are too large.');
      const bytes = await readBox(file, top);
      edits.push(...movieEdits(bytes, { ...top, at: 0, start: top.start - top.at, end: bytes.length }, top.at, boxBudget()));
    }
  }
  return edits;
}

async function matroskaEdits(file: FileHandle, size: number): Promise<Edit[]> {
  const notes = await matroskaNotes(file, size);
  return notes.map(({ at, end }) => ({ at, end, bytes: voidElement(end - at) }));
}

async function gifEdits(file: FileHandle, size: number): Promise<Edit[]> {
  const edits: Edit[] = [];
  let last = 0;
  for await (const { kind, at, end, head } of gifParts(file, size)) {
    const loops = kind === 'extension' && ['NETSCAPE2.0', 'ANIMEXTS1.0'].includes(head.toString('latin1', 3, 14)) && end - at === 19;
    if (kind === 'comment' || (kind === 'extension' && !loops)) edits.push({ at, end, bytes: none, drop: true });
    last = end;
  }
  return [...edits, { at: last, end: size, bytes: none, drop: true }];
}

async function webpEdits(file: FileHandle, size: number): Promise<Edit[]> {
  const edits: Edit[] = [];
  let [last, dropped] = [12, 0];
  let extended: { at: number; flags: number } | undefined;
  for await (const { kind, at, end, head } of webpParts(file, size)) {
    if (kind === 'VP8X') extended = { at: at + 8, flags: head[8] ?? 0 };
    if (!['VP8X', 'VP8 ', 'VP8L', 'ALPH', 'ANIM', 'ANMF', 'ICCP'].includes(kind)) {
      edits.push({ at, end, bytes: none, drop: true });
      dropped += end - at;
    }
    last = end;
  }
  const riff = Buffer.alloc(4);
  riff.writeUInt32LE(last - 8 - dropped);
  // two of the flags say that there are Exif and XMP chunks
  if (extended) edits.push({ at: extended.at, end: extended.at + 1, bytes: Buffer.from([extended.flags & ~0x0c]) });
  return [{ at: 4, end: 8, bytes: riff }, ...edits, { at: last, end: size, bytes: none, drop: true }];
}

async function pngEdits(file: FileHandle, size: number): Promise<Edit[]> {
  // prettier-ignore
  const kept = ['IHDR', 'PLTE', 'IDAT', 'IEND', 'tRNS', 'gAMA', 'cHRM', 'sRGB', 'iCCP', 'sBIT', 'pHYs', 'bKGD', 'hIST', 'sPLT', 'acTL', 'fcTL', 'fdAT', 'cICP', 'mDCV', 'cLLI'];
  const edits: Edit[] = [];
  let last = 8;
  for await (const { kind, at, end } of pngParts(file, size)) {
    if (!kept.includes(kind)) edits.push({ at, end, bytes: none, drop: true });
    last = end;
  }
  return [...edits, { at: last, end: size, bytes: none, drop: true }];
}

const editsOf = {
  mp4: mp4Edits,
  mov: mp4Edits,
  matroska: matroskaEdits,
  webm: matroskaEdits,
  gif: gifEdits,
  webp: webpEdits,
  png: pngEdits,
};

/**
 * Copies a video without anything that says how it was made: 'share without settings'. Only what is needed to play it is kept, by a list: tags, XMP
 * and other uuid boxes, names of tracks, padding (which may hold what was there before), attachments, chapters, comments and Exif all go; in
 * MP4, QuickTime and Matroska zeros lie in their place and nothing moves. The pictures and the sound stay as they are, bit for bit.
 * @param file any of the formats that `probe` knows
 * @param out where to; the file itself by default. An earlier file of that name is replaced when the new one is whole.
 * @throws {MediaError} where the file is damaged, or holds a track of text or data, which nobody can know the meaning of
 */
export async function forget(file: string, out = file): Promise<void> {
  const was = await probe(file);
  await replacing(
    out,
    to =>
      reading(file, async (from, size) => {
        const edits = (await editsOf[was.container](from, size)).filter(edit => edit.end > edit.at).sort((a, b) => a.at - b.at);
        let at = 0;
        for (const { at: start, end, bytes, drop } of edits) {
          if (start < at) throw new MediaError('the file is damaged: its parts overlap.');
          await copyRange(from, to, at, start);
          await to.appendFile(bytes);
          for (let left = drop ? 0 : end - start - bytes.length; left > 0; left -= copyPiece)
            await to.appendFile(Buffer.alloc(Math.min(left, copyPiece)));
          at = end;
        }
        await copyRange(from, to, at, size);
      }),
    async part => {
      const is = await probe(part);
      const same = (['container', 'codec', 'width', 'height', 'frames', 'seconds'] as const).every(key => was[key] === is[key]);
      if (!same || Object.keys(is.tags).length > 0) throw new MediaError('it did not become whole: export it anew without settings.');
    },
  );
}
