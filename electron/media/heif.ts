/**
 * @file What an HEIF file (HEIC, AVIF) says of itself before anything decodes it, and pixels with their colour profile as a PNG.
 *
 * ISO/IEC 23008-12 for the boxes, ITU-T H.273 for colour codes, ICC.1 for the profile, RFC 1950 and PNG for the wrapping.
 */
import { crc32 } from 'node:zlib';

/** Colour as H.273 numbers it. */
export interface CodedColour {
  /** 1: BT.709 and sRGB, 9: BT.2020, 12: Display-P3. */
  readonly primaries: number;
  /** 13: sRGB, 16: PQ, 18: HLG. */
  readonly transfer: number;
}

/** What the properties of an HEIF file say. */
export interface HeifProperties {
  /** The sizes of all pictures in it (tiles, thumbnails and masks too), in pixels. */
  readonly sizes: readonly { readonly width: number; readonly height: number }[];
  /** The first picture's colour where it is given by numbers. */
  readonly colour: CodedColour | undefined;
}

/** Most boxes looked at. */
const boxLimit = 20_000;

/**
 * Reads the sizes and colours from an HEIF's property boxes. The file may be anyone's: offsets stay inside it and boxes are counted.
 * @returns undefined where the boxes are damaged or hold no picture
 */
export function heifProperties(bytes: Uint8Array): HeifProperties | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let left = boxLimit;
  /** The boxes between two offsets. */
  function* boxes(at: number, end: number): Generator<[type: string, start: number, end: number], void> {
    while (at + 8 <= end) {
      const header = view.getUint32(at) === 1 ? 16 : 8;
      if (left-- <= 0 || at + header > end) throw new RangeError();
      const size = view.getUint32(at);
      const next = size === 1 ? at + Number(view.getBigUint64(at + 8)) : size === 0 ? end : at + size;
      if (next < at + header || next > end) throw new RangeError();
      yield [Buffer.from(bytes.buffer, bytes.byteOffset + at + 4, 4).toString('latin1'), at + header, next];
      at = next;
    }
  }
  const sizes: { width: number; height: number }[] = [];
  let colour: CodedColour | undefined;
  try {
    for (const [type, start, end] of boxes(0, bytes.length)) {
      if (type !== 'meta') continue;
      for (const [type, from, to] of boxes(start + 4, end)) {
        if (type !== 'iprp') continue;
        for (const [type, at, until] of boxes(from, to)) {
          if (type !== 'ipco') continue;
          for (const [type, property, last] of boxes(at, until)) {
            if (type === 'ispe' && last - property >= 12)
              sizes.push({ width: view.getUint32(property + 4), height: view.getUint32(property + 8) });
            if (type === 'colr' && last - property >= 8 && view.getUint32(property) === 0x6e636c78)
              // 'nclx'
              colour ??= { primaries: view.getUint16(property + 4), transfer: view.getUint16(property + 6) };
          }
        }
      }
      break; // the file's own; later ones belong to tracks
    }
  } catch (error) {
    if (error instanceof RangeError) return undefined; // also what DataView throws beyond the end
    throw error;
  }
  return sizes.length > 0 ? { sizes, colour } : undefined;
}

/** The primaries' XYZ by H.273 number, adapted to D50 by Bradford, as profiles hold them: red, green, blue. */
const primaries: Readonly<Record<number, readonly (readonly [number, number, number])[]>> = {
  1: [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.7141]], // prettier-ignore
  9: [[0.67348, 0.27904, -0.00194], [0.16567, 0.67534, 0.02998], [0.12505, 0.04561, 0.79686]], // prettier-ignore
  12: [[0.51512, 0.2412, -0.00105], [0.29198, 0.69225, 0.04189], [0.1571, 0.06657, 0.78407]], // prettier-ignore
};

/** sRGB's curve to light. */
const srgb = (v: number): number => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
/** Curves to light where 1 is a photo's white, 203 cd/m² (ITU-R BT.2408); what is brighter is cut. The other curves are shown as sRGB. */
const curves: Readonly<Record<number, (v: number) => number>> = {
  8: v => v,
  16: v => {
    const power = v ** (32 / 2523);
    return (10_000 / 203) * (Math.max(power - 107 / 128, 0) / (2413 / 128 - (2392 / 128) * power)) ** (8192 / 1305);
  },
  18: v => ((v <= 0.5 ? (v * v) / 3 : (Math.exp((v - 0.55991073) / 0.17883277) + 0.28466892) / 12) ** 1.2 * 1000) / 203,
};

/**
 * The ICC profile of a colour that is given by numbers; undefined where the numbers mean sRGB or are not known.
 * PQ and HLG keep what is not brighter than white.
 */
export function codedProfile({ primaries: name, transfer }: CodedColour): Buffer | undefined {
  const columns = primaries[name];
  const curve = curves[transfer];
  if (columns === undefined || (name === 1 && curve === undefined)) return undefined;
  const s15 = (x: number): number => Math.round(x * 65536);
  const xyz = (column: readonly number[]): Buffer => {
    const tag = Buffer.alloc(20);
    tag.write('XYZ ', 'latin1');
    column.forEach((x, i) => tag.writeInt32BE(s15(x), 8 + 4 * i));
    return tag;
  };
  const steps = 4096;
  const trc = Buffer.alloc(12 + 2 * steps);
  trc.write('curv', 'latin1');
  trc.writeUInt32BE(steps, 8);
  for (let i = 0; i < steps; i++) trc.writeUInt16BE(Math.min(Math.round((curve ?? srgb)(i / (steps - 1)) * 65535), 65535), 12 + 2 * i);
  const white = [0.9642, 1, 0.8249];
  const tags: readonly [string, Buffer][] = [['wtpt', xyz(white)], ['rXYZ', xyz(columns[0]!)], ['gXYZ', xyz(columns[1]!)], ['bXYZ', xyz(columns[2]!)], ['rTRC', trc]]; // prettier-ignore
  const names = [...tags.map(([name]) => name), 'gTRC', 'bTRC'];
  const table = Buffer.alloc(4 + 12 * names.length);
  table.writeUInt32BE(names.length);
  const from = 128 + table.length;
  names.forEach((name, i) => {
    const at = Math.min(i, tags.length - 1); // the three curves are one
    table.write(name, 4 + 12 * i, 'latin1');
    table.writeUInt32BE(from + 20 * at, 8 + 12 * i);
    table.writeUInt32BE(tags[at]![1].length, 12 + 12 * i);
  });
  const header = Buffer.alloc(128);
  header.writeUInt32BE(from + tags.reduce((sum, [, tag]) => sum + tag.length, 0));
  header.writeUInt32BE(0x02400000, 8);
  header.write('mntrRGB XYZ ', 12, 'latin1');
  header.write('acsp', 36, 'latin1');
  white.forEach((x, i) => header.writeInt32BE(s15(x), 68 + 4 * i));
  return Buffer.concat([header, table, ...tags.map(([, tag]) => tag)]);
}

/** Rows of 8-bit pixels. */
export interface Rows {
  readonly width: number;
  readonly height: number;
  readonly channels: 3 | 4;
  /** Row `y`: at least width * channels bytes. */
  readonly row: (y: number) => Uint8Array;
}

/** Most bytes of one stored block of deflate. */
const blockLimit = 65_535;

/** How many bytes `pngParts` yields in all. */
export function pngLength({ width, height, channels }: Rows, profile?: Uint8Array): number {
  const line = 1 + width * channels;
  const stored = line + 5 * Math.ceil(line / blockLimit);
  return (
    8 +
    25 +
    (profile ? 12 + 3 + 2 + profile.length + 5 * Math.ceil(profile.length / blockLimit) + 4 : 0) +
    height * (12 + stored) +
    2 +
    4 +
    12
  );
}

/**
 * A PNG of the pixels that carries the profile, in parts: nothing is compressed, since it is only read again at once. It is how a decoder
 * hands pixels and profile to libvips, which takes profiles from files alone.
 */
export function* pngParts({ width, height, channels, row }: Rows, profile?: Uint8Array): Generator<Uint8Array, void> {
  let adler = 1;
  const sum = (bytes: Uint8Array): void => {
    let [a, b] = [adler & 0xffff, adler >>> 16];
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(at + 3800, bytes.length); // so many fit before the sums overflow
      while (at < end) b += a += bytes[at++]!;
      a %= 65521;
      b %= 65521;
    }
    adler = ((b << 16) | a) >>> 0;
  };
  /** Bytes as stored blocks; the last one says so. */
  function* stored(bytes: Uint8Array, last: boolean): Generator<Uint8Array, void> {
    sum(bytes);
    for (let at = 0; at < bytes.length; at += blockLimit) {
      const block = bytes.subarray(at, at + blockLimit);
      const header = Buffer.alloc(5);
      header[0] = last && at + blockLimit >= bytes.length ? 1 : 0;
      header.writeUInt16LE(block.length, 1);
      header.writeUInt16LE(~block.length & 0xffff, 3);
      yield header;
      yield block;
    }
  }
  const checksum = (): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(adler);
    return bytes;
  };
  function* chunk(type: string, ...parts: readonly Uint8Array[]): Generator<Uint8Array, void> {
    const header = Buffer.alloc(8);
    header.writeUInt32BE(parts.reduce((length, part) => length + part.length, 0));
    header.write(type, 4, 'latin1');
    const end = Buffer.alloc(4);
    end.writeUInt32BE(parts.reduce((crc, part) => crc32(part, crc), crc32(header.subarray(4))));
    yield header;
    yield* parts;
    yield end;
  }
  const zlib = Buffer.from([0x78, 0x01]);
  yield Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width);
  head.writeUInt32BE(height, 4);
  head.set([8, channels === 3 ? 2 : 6], 8);
  yield* chunk('IHDR', head);
  if (profile) {
    const blocks = [...stored(profile, true)];
    yield* chunk('iCCP', Buffer.from('p\0\0', 'latin1'), zlib, ...blocks, checksum());
    adler = 1;
  }
  for (let y = 0; y < height; y++) {
    const line = Buffer.alloc(1 + width * channels); // it begins with its filter: none
    line.set(row(y).subarray(0, width * channels), 1);
    const last = y === height - 1;
    yield* chunk('IDAT', ...(y === 0 ? [zlib] : []), ...stored(line, last), ...(last ? [checksum()] : []));
  }
  yield* chunk('IEND');
}
