/**
 * @file What a video codec's own header says: profile, bits a sample, and the colour that is tagged in the bitstream itself, beside the container's.
 *
 * Read is one small header: the parameter sets that the container keeps, or the start of the first frame. A header that cannot be followed says
 * nothing, and is no reason to refuse the file: whether it decodes is for ffmpeg to say. Profiles are called what ffprobe calls them.
 */

/** Colour by the names that ffmpeg has for the codes of ITU-T H.273; a code without one is its number. */
export interface Colour {
  readonly primaries: string;
  readonly transfer: string;
  readonly matrix: string;
  /** Whether black is 0 and white the largest value, or (limited, the usual one) 16 and 235 of 255. */
  readonly fullRange: boolean;
}

/** What could be told; `colour` has `unknown` for what is not tagged and is absent where the header has no place for it or says none. */
export interface CodecHeader {
  readonly profile?: string;
  readonly bitDepth?: number;
  readonly colour?: Colour;
}

// prettier-ignore
const names = {
  primaries: { 1: 'bt709', 2: 'unknown', 4: 'bt470m', 5: 'bt470bg', 6: 'smpte170m', 7: 'smpte240m', 8: 'film', 9: 'bt2020', 10: 'smpte428', 11: 'smpte431', 12: 'smpte432', 22: 'ebu3213' },
  transfer: { 1: 'bt709', 2: 'unknown', 4: 'bt470m', 5: 'bt470bg', 6: 'smpte170m', 7: 'smpte240m', 8: 'linear', 9: 'log100', 10: 'log316', 11: 'iec61966-2-4', 12: 'bt1361e', 13: 'iec61966-2-1', 14: 'bt2020-10', 15: 'bt2020-12', 16: 'smpte2084', 17: 'smpte428', 18: 'arib-std-b67' },
  matrix: { 0: 'gbr', 1: 'bt709', 2: 'unknown', 4: 'fcc', 5: 'bt470bg', 6: 'smpte170m', 7: 'smpte240m', 8: 'ycgco', 9: 'bt2020nc', 10: 'bt2020c', 11: 'smpte2085', 12: 'chroma-derived-nc', 13: 'chroma-derived-c', 14: 'ictcp' },
} as const;

/** Names the codes of H.273. */
export function colourOf(codes: { primaries: number; transfer: number; matrix: number; fullRange: boolean }): Colour {
  const named = (of: Readonly<Record<number, string>>, code: number): string => of[code] ?? String(code);
  return {
    primaries: named(names.primaries, codes.primaries),
    transfer: named(names.transfer, codes.transfer),
    matrix: named(names.matrix, codes.matrix),
    fullRange: codes.fullRange,
  };
}

/** Bits of a header, most significant first; reading beyond the end ends the reading of the header. */
class Bits {
  readonly #bytes: Uint8Array;
  #at = 0;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  /** An unsigned number of up to 32 bits. */
  u(count: number): number {
    if (this.#at + count > this.#bytes.length * 8) throw new RangeError('the header ends');
    let value = 0;
    for (let i = 0; i < count; i++, this.#at++) value = value * 2 + ((this.#bytes[this.#at >> 3]! >> (7 - (this.#at & 7))) & 1);
    return value;
  }
  flag(): boolean {
    return this.u(1) === 1;
  }
  skip(count: number): void {
    this.#at += count;
  }
  /** Exp-Golomb, unsigned. */
  ue(): number {
    let zeros = 0;
    while (this.u(1) === 0) if (++zeros > 31) throw new RangeError('no such number');
    return 2 ** zeros - 1 + this.u(zeros);
  }
  /** The same, skipped so many times: a signed one is as long. */
  skipUe(count: number): void {
    if (count > 4096) throw new RangeError('too many');
    for (let i = 0; i < count; i++) this.ue();
  }
}

/** The payload of a NAL unit, without the bytes that keep start codes out of it. */
function unescaped(nal: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(nal.length);
  let length = 0;
  for (let i = 0; i < nal.length; i++) if (nal[i] !== 3 || i < 2 || nal[i - 1] !== 0 || nal[i - 2] !== 0) bytes[length++] = nal[i]!;
  return bytes.subarray(0, length);
}

/** The start of a VUI, alike in H.264 and H.265, up to its colour. */
function vuiColour(b: Bits): { colour?: Colour } {
  if (b.flag() && b.u(8) === 255) b.skip(32); // the pixels' aspect
  if (b.flag()) b.skip(1); // overscan
  if (!b.flag()) return {};
  b.skip(3);
  const fullRange = b.flag();
  const [primaries, transfer, matrix] = b.flag() ? [b.u(8), b.u(8), b.u(8)] : [2, 2, 2];
  return { colour: colourOf({ primaries, transfer, matrix, fullRange }) };
}

// prettier-ignore
const h264Profiles: Readonly<Record<number, string>> = { 66: 'Baseline', 77: 'Main', 88: 'Extended', 100: 'High', 110: 'High 10', 122: 'High 4:2:2', 244: 'High 4:4:4 Predictive', 44: 'CAVLC 4:4:4' };

/** AVCDecoderConfigurationRecord (ISO/IEC 14496-15) and the sequence parameter set in it (ITU-T H.264, 7.3.2.1.1). */
function h264({ config }: Headers): CodecHeader {
  const length = config.readUInt16BE(6);
  const b = new Bits(unescaped(config.subarray(9, 8 + length)));
  const idc = b.u(8);
  const constraints = b.u(8);
  b.skip(8);
  const profile = (idc === 66 && constraints & 0x40 ? 'Constrained Baseline' : h264Profiles[idc]) ?? String(idc);
  b.ue();
  let bitDepth = 8;
  if ([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].includes(idc)) {
    const chroma = b.ue();
    if (chroma === 3) b.skip(1);
    bitDepth = 8 + b.ue();
    b.ue();
    b.skip(1);
    if (b.flag())
      for (let i = 0; i < (chroma === 3 ? 12 : 8); i++) {
        if (!b.flag()) continue;
        let [last, next] = [8, 8];
        for (let j = 0; j < (i < 6 ? 16 : 64); j++) {
          if (next !== 0) {
            const code = b.ue();
            next = (last + (code & 1 ? (code + 1) / 2 : -code / 2) + 256) % 256;
          }
          last = next === 0 ? last : next;
        }
      }
  }
  b.ue();
  const order = b.ue();
  if (order === 0) b.ue();
  else if (order === 1) {
    b.skip(1);
    b.skipUe(2);
    b.skipUe(b.ue());
  }
  b.ue();
  b.skip(1);
  b.skipUe(2);
  if (!b.flag()) b.skip(1);
  b.skip(1);
  if (b.flag()) b.skipUe(4);
  return { profile, bitDepth, ...(b.flag() && vuiColour(b)) };
}

/** HEVCDecoderConfigurationRecord (ISO/IEC 14496-15) and the sequence parameter set in it (ITU-T H.265, 7.3.2.2). */
function h265({ config }: Headers): CodecHeader {
  const idc = config.readUInt8(1) & 31;
  const profile = ({ 1: 'Main', 2: 'Main 10', 3: 'Main Still Picture', 4: 'Rext' } as Readonly<Record<number, string>>)[idc] ?? String(idc);
  const known = { profile, bitDepth: 8 + (config.readUInt8(17) & 7) };
  let at = 23;
  for (let arrays = config.readUInt8(22); arrays > 0; arrays--) {
    const type = config.readUInt8(at) & 63;
    let count = config.readUInt16BE(at + 1);
    for (at += 3; count > 0; count--) {
      const end = at + 2 + config.readUInt16BE(at);
      if (type === 33) return { ...known, ...following(() => h265Colour(new Bits(unescaped(config.subarray(at + 4, end))))) };
      at = end;
    }
  }
  return known;
}

function h265Colour(b: Bits): { colour?: Colour } {
  b.skip(4);
  const layers = b.u(3);
  b.skip(1 + 96);
  const present = Array.from({ length: layers }, () => [b.flag(), b.flag()]);
  if (layers > 0) b.skip(2 * (8 - layers));
  for (const [profile, level] of present) b.skip((profile ? 88 : 0) + (level ? 8 : 0));
  b.ue();
  if (b.ue() === 3) b.skip(1);
  b.skipUe(2);
  if (b.flag()) b.skipUe(4);
  b.skipUe(2);
  const orderBits = b.ue() + 4;
  b.skipUe(3 * (b.flag() ? layers + 1 : 1));
  b.skipUe(6);
  if (b.flag() && b.flag())
    for (let size = 0; size < 4; size++)
      for (let matrix = 0; matrix < 6; matrix += size === 3 ? 3 : 1)
        if (!b.flag()) b.ue();
        else b.skipUe(Math.min(64, 1 << (4 + 2 * size)) + (size > 1 ? 1 : 0));
  b.skip(2);
  if (b.flag()) {
    b.skip(8);
    b.skipUe(2);
    b.skip(1);
  }
  const sets = b.ue();
  if (sets > 64) throw new RangeError('too many');
  let pictures = 0;
  for (let set = 0; set < sets; set++)
    if (set > 0 && b.flag()) {
      b.skip(1);
      b.ue();
      let kept = 0;
      for (let j = 0; j <= pictures; j++) if (b.flag() || b.flag()) kept++;
      pictures = kept;
    } else {
      pictures = b.ue() + b.ue();
      if (pictures > 32) throw new RangeError('too many');
      for (let j = 0; j < pictures; j++) {
        b.ue();
        b.skip(1);
      }
    }
  if (b.flag()) b.skip(b.ue() * (orderBits + 1));
  b.skip(2);
  return b.flag() ? vuiColour(b) : {};
}

/** AV1CodecConfigurationRecord and the sequence header in it (AV1 specification, 5.5). */
function av1({ config }: Headers): CodecHeader {
  const [second, third] = [config.readUInt8(1), config.readUInt8(2)];
  const profile = ['Main', 'High', 'Professional'][second >> 5] ?? String(second >> 5);
  return { profile, bitDepth: third & 0x40 ? (third & 0x20 ? 12 : 10) : 8, ...following(() => av1Colour(config.subarray(4))) };
}

function av1Colour(units: Buffer): { colour?: Colour } {
  const header = units.readUInt8(0);
  if (((header >> 3) & 15) !== 1 || !(header & 2)) return {};
  let at = header & 4 ? 2 : 1;
  while (units.readUInt8(at) & 0x80) at++; // its size
  const b = new Bits(units.subarray(at + 1));
  const profile = b.u(3);
  b.skip(1);
  const reduced = b.flag();
  if (reduced) b.skip(5);
  else {
    let delayBits = 0;
    let model = false;
    if (b.flag()) {
      b.skip(64);
      if (b.flag()) b.ue(); // uvlc is Exp-Golomb
      model = b.flag();
      if (model) {
        delayBits = b.u(5) + 1;
        b.skip(32 + 10);
      }
    }
    const displayDelay = b.flag();
    for (let points = b.u(5) + 1; points > 0; points--) {
      b.skip(12);
      if (b.u(5) > 7) b.skip(1);
      if (model && b.flag()) b.skip(2 * delayBits + 1);
      if (displayDelay && b.flag()) b.skip(4);
    }
  }
  b.skip(b.u(4) + b.u(4) + 2);
  if (!reduced && b.flag()) b.skip(7);
  b.skip(3);
  if (!reduced) {
    b.skip(4);
    const hinted = b.flag();
    if (hinted) b.skip(2);
    const screen = b.flag() || b.flag(); // chosen a frame, or always
    if (screen && !b.flag()) b.skip(1);
    if (hinted) b.skip(3);
  }
  b.skip(3);
  if (b.flag() && profile === 2) b.skip(1);
  const mono = profile !== 1 && b.flag();
  const [primaries, transfer, matrix] = b.flag() ? [b.u(8), b.u(8), b.u(8)] : [2, 2, 2];
  const fullRange = !mono && primaries === 1 && transfer === 13 && matrix === 0 ? true : b.flag();
  return { colour: colourOf({ primaries, transfer, matrix, fullRange }) };
}

/** A key frame's uncompressed header (VP9 bitstream specification, 6.2). */
function vp9({ head }: Headers): CodecHeader {
  const b = new Bits(head);
  if (b.u(2) !== 2) return {};
  const profile = b.u(1) + 2 * b.u(1);
  if (profile === 3) b.skip(1);
  if (b.u(2) !== 0) return {};
  b.skip(2);
  if (b.u(24) !== 0x498342) return {};
  const bitDepth = profile >= 2 ? (b.flag() ? 12 : 10) : 8;
  const space = b.u(3);
  const fullRange = space === 7 || b.flag();
  // the frame names its colour by one number that says the matrix only
  const matrix = [2, 5, 1, 6, 7, 9, 2, 0][space]!;
  return { profile: `Profile ${profile}`, bitDepth, colour: colourOf({ primaries: 2, transfer: 2, matrix, fullRange }) };
}

// prettier-ignore
const proResProfiles: Readonly<Record<string, string>> = { apco: 'Proxy', apcs: 'LT', apcn: 'Standard', apch: 'HQ', ap4h: '4444', ap4x: 'XQ' };

/** A frame header (SMPTE RDD 36, 5.1); Matroska leaves out the eight bytes before it. */
function proRes({ fourcc, head }: Headers): CodecHeader {
  const at = head.toString('latin1', 4, 8) === 'icpf' ? 8 : 0;
  const profile = proResProfiles[fourcc];
  const [primaries, transfer, matrix] = [head.readUInt8(at + 14), head.readUInt8(at + 15), head.readUInt8(at + 16)];
  const known = (code: number): number => (code === 0 ? 2 : code);
  return {
    ...(profile !== undefined && { profile }),
    bitDepth: fourcc.startsWith('ap4') ? 12 : 10,
    colour: colourOf({ primaries: known(primaries), transfer: known(transfer), matrix: known(matrix), fullRange: false }),
  };
}

/** A frame header (SMPTE ST 2019-1, 8.2). */
function dnx({ head }: Headers): CodecHeader {
  if (head.readUInt32BE(0) !== 0x00000280 && head.readUInt32BE(0) >>> 8 !== 0x000002 && head.readUInt16BE(0) !== 0) return {};
  const bitDepth = [undefined, 8, 10, 12][head.readUInt8(0x21) >> 5];
  const profile = { 1270: '444', 1271: 'HQX', 1272: 'HQ', 1273: 'SQ', 1274: 'LB' }[head.readUInt32BE(0x28)];
  return { profile: profile === undefined ? 'DNXHD' : `DNXHR ${profile}`, ...(bitDepth !== undefined && { bitDepth }) };
}

/** A configuration record (RFC 9043, 4.2): numbers in a range coder with its initial states. */
function ffv1({ config, head }: Headers): CodecHeader {
  const [one, zero] = [new Uint8Array(256), new Uint8Array(256)];
  // ffmpeg's ff_build_rac_states(0.05, 256 - 8), which RFC 9043 prints as a table (3.8.1.5)
  const whole = 2 ** 32;
  const factor = Math.floor(0.05 * whole);
  const nearer = (p: number): number => p + Number((BigInt(whole - p) * BigInt(factor) + BigInt(whole / 2)) >> 32n);
  const eighth = (p: number): number => Math.floor((256 * p + whole / 2) / whole);
  let [p, last] = [whole / 2, 0];
  for (let i = 0; i < 128; i++) {
    const p8 = Math.max(eighth(p), last + 1);
    if (last > 0 && last < 256 && p8 <= 248) one[last] = p8;
    p = nearer(p);
    last = p8;
  }
  for (let i = 8; i <= 248; i++)
    if (one[i] === 0) one[i] = Math.min(Math.max(eighth(nearer(Math.floor((i * whole + 128) / 256))), i + 1), 248);
  for (let i = 1; i < 255; i++) zero[i] = 256 - one[256 - i]!;

  const bytes = config.length >= 8 ? config : head; // versions 0 and 1 say it in every frame
  const states = new Uint8Array(32).fill(128);
  let [low, range, at] = [bytes.readUInt16BE(0), 0xff00, 2];
  const bit = (n: number): number => {
    const split = (range * states[n]!) >> 8;
    range -= split;
    const set = low >= range;
    if (set) {
      low -= range;
      range = split;
    }
    states[n] = (set ? one : zero)[states[n]!]!;
    while (range < 0x100) {
      if (range === 0 || at > bytes.length + 8) throw new RangeError('the header ends');
      range *= 256;
      low = low * 256 + (bytes[at++] ?? 0);
    }
    return set ? 1 : 0;
  };
  const symbol = (signed = false): number => {
    if (bit(0)) return 0;
    let e = 0;
    while (bit(1 + Math.min(e, 9))) if (++e > 30) throw new RangeError('no such number');
    let value = 1;
    for (let i = e - 1; i >= 0; i--) value = 2 * value + bit(22 + Math.min(i, 9));
    return signed && bit(11 + Math.min(e, 10)) ? -value : value;
  };
  if (bytes === head) {
    states[0] = 128;
    bit(0); // whether it is a key frame; it has a state of its own
    states.fill(128);
  }
  const version = symbol();
  if (version > 4) return {};
  if (version > 2) symbol();
  if (symbol() > 1) for (let i = 1; i < 256; i++) symbol(true); // the pictures' own transitions; the header goes on with the usual ones
  symbol();
  const bits = version > 0 ? symbol() : 8;
  return bits <= 16 ? { bitDepth: bits || 8 } : {};
}

/** What a header is read from. */
interface Headers {
  /** The four characters by which the codec is known in QuickTime. */
  readonly fourcc: string;
  /** The codec's configuration: avcC, hvcC, av1C, FFV1's record; empty where there is none. */
  readonly config: Buffer;
  /** The first bytes of the first frame, some hundred at least. */
  readonly head: Buffer;
}

const codecs: Readonly<Record<string, (headers: Headers) => CodecHeader>> = {
  avc1: h264,
  avc3: h264,
  'V_MPEG4/ISO/AVC': h264,
  hvc1: h265,
  hev1: h265,
  'V_MPEGH/ISO/HEVC': h265,
  av01: av1,
  V_AV1: av1,
  vp09: vp9,
  V_VP9: vp9,
  ...Object.fromEntries(Object.keys(proResProfiles).map(name => [name, proRes])),
  AVdh: dnx,
  AVdn: dnx,
  FFV1: ffv1,
  V_FFV1: ffv1,
};

/** What a reader can tell; nothing where the header ends too soon. */
function following<T extends object>(read: () => T): T | Record<string, never> {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) return {}; // Node's own, of a Buffer that is too short, is one too
    throw error;
  }
}

/**
 * Reads what a codec's header says.
 * @param codec a QuickTime code (`avc1`, `apch`) or a Matroska id (`V_AV1`); an unknown one says nothing
 */
export function codecHeader(codec: string, config: Buffer, head: Buffer): CodecHeader {
  const read = Object.hasOwn(codecs, codec) ? codecs[codec] : undefined;
  return read ? following(() => read({ fourcc: codec, config, head })) : {};
}
