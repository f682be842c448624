/** @file SentencePiece Unigram, straight from a `spiece.model`: its protobuf, its normaliser, its Viterbi. */

/** One piece of a segmented text. */
export interface Segment {
  readonly id: number;
  /** The normalised text it covers, or `<0xNN>` for a byte piece. */
  readonly piece: string;
  /** Where it begins in the text given (UTF-16 index). */
  readonly start: number;
}

export interface SentencePiece {
  /** How many pieces the model has; ids are 0 to size - 1. */
  readonly size: number;
  readonly unkId: number;
  /** Id of the end-of-sentence piece, undefined where the model has none. */
  readonly eosId: number | undefined;
  /** Id of the padding piece, undefined where the model has none. */
  readonly padId: number | undefined;
  /**
   * The ids of a text, the same as Google's library gives (`SentencePieceProcessor.encode`). No text forms a control piece such as `</s>`.
   * A lone surrogate counts as U+FFFD.
   */
  encode(text: string): number[];
  /** The same ids with what each covers. */
  segment(text: string): Segment[];
}

const { fround } = Math;

const MAX_FILE = 32 * 1024 * 1024;
const MAX_NODES = 8_000_000;
const MAX_REPLACEMENT = 1024; // bytes; Unicode's longest compatibility mapping has 33
const UNK_PENALTY = 10;
const SPACE = 0x20;
const SPACE_SYMBOL = [0xe2, 0x96, 0x81]; // U+2581
const REPLACEMENT_CHARACTER = [0xef, 0xbf, 0xbd]; // U+FFFD

const Kind = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;
const MODEL_TYPES = ['none', 'Unigram', 'BPE', 'word', 'character'];
const decoder = new TextDecoder();

function refuse(what: string): never {
  throw new Error(`The SentencePiece model cannot be used: ${what}; copy spiece.model again from where the checkpoint came from.`);
}

interface ProtoModel {
  pieces: Uint8Array[];
  scores: number[];
  kinds: number[];
  modelType: number;
  byteFallback: boolean;
  spaceAsSuffix: boolean;
  eosId: number;
  padId: number;
  charsmap: Uint8Array;
  addDummyPrefix: boolean;
  removeExtraWhitespaces: boolean;
  escapeWhitespaces: boolean;
}

type Field = number | Uint8Array; // a varint or fixed32 as a signed 32-bit number; bytes of a length-delimited field

/** Calls `take` for every field of a protobuf message. 64-bit fixed fields are passed over: the model has none. */
function eachField(message: Uint8Array, take: (field: number, value: Field) => void): void {
  let at = 0;
  const varint = (): number => {
    let low = 0; // low 32 bits
    let high = 0; // whether anything lies above them
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = message[at++];
      if (byte === undefined) refuse('it ends in the middle of a field');
      if (shift < 32) low |= (byte & 0x7f) << shift;
      if (shift >= 28) high |= shift === 28 ? (byte & 0x7f) >> 4 : byte & 0x7f;
      if (byte < 0x80) return high === 0 ? low >>> 0 : low | 0; // negative numbers are written with 64 bits
    }
    return refuse('a number in it is longer than 10 bytes');
  };
  while (at < message.length) {
    const tag = varint();
    const wire = tag & 7;
    let value: Field;
    if (wire === 0) value = varint();
    else if (wire === 5 || wire === 1) {
      const end = at + (wire === 5 ? 4 : 8);
      if (end > message.length) refuse('it ends in the middle of a field');
      value = message[at]! | (message[at + 1]! << 8) | (message[at + 2]! << 16) | (message[at + 3]! << 24);
      at = end;
      if (wire === 1) continue;
    } else if (wire === 2) {
      const length = varint();
      if (length < 0 || length > message.length - at) refuse(`a field says ${length} bytes where ${message.length - at} are left`);
      value = message.subarray(at, at + length);
      at += length;
    } else refuse(`a field has wire type ${wire}`);
    take(tag >>> 3, value);
  }
}

/** The fields of sentencepiece_model.proto that encoding needs; its defaults where a field is absent. */
function readModel(bytes: Uint8Array): ProtoModel {
  if (bytes.length > MAX_FILE) refuse(`it has ${bytes.length} bytes, more than the ${MAX_FILE} any known model needs`);
  const m: ProtoModel = {
    pieces: [],
    scores: [],
    kinds: [],
    modelType: 1,
    byteFallback: false,
    spaceAsSuffix: false,
    eosId: 2,
    padId: -1,
    charsmap: new Uint8Array(),
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
    escapeWhitespaces: true,
  };
  const message = (value: Field, what: string): Uint8Array => (typeof value === 'number' ? refuse(`${what} is a number`) : value);
  const number = (value: Field, what: string): number => (typeof value === 'number' ? value : refuse(`${what} is not a number`));
  const float = new Float32Array(1);
  const floatBits = new Int32Array(float.buffer);
  eachField(bytes, (field, value) => {
    if (field === 1) {
      let piece = new Uint8Array();
      let score = 0;
      let kind: number = Kind.normal;
      eachField(message(value, 'a piece'), (inner, v) => {
        if (inner === 1) piece = new Uint8Array(message(v, "a piece's text"));
        else if (inner === 2) {
          floatBits[0] = number(v, "a piece's score");
          score = float[0]!;
        } else if (inner === 3) kind = number(v, "a piece's type");
      });
      if (piece.length === 0) refuse(`piece ${m.pieces.length} is empty`);
      if (!Number.isFinite(score)) refuse(`piece ${m.pieces.length} has the score ${score}`);
      if (kind < 1 || kind > 6) refuse(`piece ${m.pieces.length} is of the unknown type ${kind}`);
      m.pieces.push(piece);
      m.scores.push(score);
      m.kinds.push(kind);
    } else if (field === 2) {
      eachField(message(value, 'trainer_spec'), (inner, v) => {
        if (inner === 3) m.modelType = number(v, 'model_type');
        else if (inner === 24) m.spaceAsSuffix = number(v, 'treat_whitespace_as_suffix') !== 0;
        else if (inner === 35) m.byteFallback = number(v, 'byte_fallback') !== 0;
        else if (inner === 42) m.eosId = number(v, 'eos_id') | 0;
        else if (inner === 43) m.padId = number(v, 'pad_id') | 0;
      });
    } else if (field === 3) {
      eachField(message(value, 'normalizer_spec'), (inner, v) => {
        if (inner === 2) m.charsmap = message(v, 'precompiled_charsmap');
        else if (inner === 3) m.addDummyPrefix = number(v, 'add_dummy_prefix') !== 0;
        else if (inner === 4) m.removeExtraWhitespaces = number(v, 'remove_extra_whitespaces') !== 0;
        else if (inner === 5) m.escapeWhitespaces = number(v, 'escape_whitespaces') !== 0;
      });
    }
  });
  return m;
}

/** Byte strings to ids: a step per byte, -1 where no string goes on. */
class ByteTrie {
  readonly #next = new Map<number, number>(); // node * 256 + byte -> node
  readonly #ids: number[] = [-1];

  /** Adds a string; false when it is there already. */
  add(key: Uint8Array, id: number): boolean {
    let node = 0;
    for (const byte of key) {
      let child = this.#next.get(node * 256 + byte);
      if (child === undefined) {
        child = this.#ids.length;
        if (child > MAX_NODES) refuse(`its pieces need more than ${MAX_NODES} trie nodes`);
        this.#next.set(node * 256 + byte, child);
        this.#ids.push(-1);
      }
      node = child;
    }
    if (this.#ids[node] !== -1) return false;
    this.#ids[node] = id;
    return true;
  }

  step(node: number, byte: number): number {
    return this.#next.get(node * 256 + byte) ?? -1;
  }

  /** The id of the string that ends at a node, -1 when none does. */
  id(node: number): number {
    return this.#ids[node]!;
  }
}

/** The compiled character map: a double array (Darts-clone) of the replaced strings, and their replacements, NUL-terminated. */
class CharacterMap {
  readonly #units: Uint32Array;
  readonly #replacements: Uint8Array;

  constructor(blob: Uint8Array) {
    const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
    const size = blob.length < 4 ? refuse('its character map is cut off') : view.getUint32(0, true);
    if (size >= blob.length || size > blob.length - 4) refuse(`its character map says ${size} bytes where ${blob.length - 4} are left`);
    this.#units = new Uint32Array(size >>> 2);
    for (let i = 0; i < this.#units.length; i++) this.#units[i] = view.getUint32(4 + 4 * i, true);
    this.#replacements = blob.subarray(4 + size);
  }

  /** The longest replaced string that `text` has at `at`: its length in bytes (0 when there is none) and what replaces it. */
  longest(text: Uint8Array, at: number): { length: number; replacement: Uint8Array } {
    const units = this.#units;
    const offset = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);
    let node = offset(this.#unit(0));
    let length = 0;
    let value = 0;
    for (let i = at; i < text.length; i++) {
      node ^= text[i]!;
      if (node >>> 0 >= units.length) break;
      const unit = units[node]!;
      if ((unit & 0x800000ff) >>> 0 !== text[i]!) break;
      node ^= offset(unit);
      if ((unit & 0x100) !== 0) {
        length = i + 1 - at;
        value = this.#unit(node) & 0x7fffffff;
      }
    }
    if (length === 0) return { length, replacement: text.subarray(at, at) };
    const end = this.#replacements.indexOf(0, value);
    if (value >= this.#replacements.length || end < 0 || end - value > MAX_REPLACEMENT)
      refuse('its character map points outside its replacements');
    return { length, replacement: this.#replacements.subarray(value, end) };
  }

  #unit(node: number): number {
    return this.#units[node] ?? refuse('its character map points outside itself');
  }
}

/** Length of the UTF-8 character at `at`, 0 where the bytes are not one. */
function validLength(text: Uint8Array, at: number): number {
  const [a, b = 0, c = 0, d = 0] = text.subarray(at, at + 4);
  if (a === undefined) return 0;
  const trail = (byte: number): boolean => (byte & 0xc0) === 0x80;
  if (a < 0x80) return 1;
  if ((a & 0xe0) === 0xc0) return a >= 0xc2 && trail(b) ? 2 : 0;
  if ((a & 0xf0) === 0xe0) {
    const code = ((a & 0x0f) << 12) | ((b & 0x3f) << 6) | (c & 0x3f);
    return trail(b) && trail(c) && code >= 0x800 && (code < 0xd800 || code > 0xdfff) ? 3 : 0;
  }
  if ((a & 0xf8) === 0xf0) {
    const code = ((a & 0x07) << 18) | ((b & 0x3f) << 12) | ((c & 0x3f) << 6) | (d & 0x3f);
    return trail(b) && trail(c) && trail(d) && code >= 0x10000 && code <= 0x10ffff ? 4 : 0;
  }
  return 0;
}

/** Length of a UTF-8 character by its first byte alone. */
function leadLength(byte: number): number {
  return byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/** Bytes that a code point takes in UTF-8. */
function utf8Length(codePoint: number): number {
  return codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
}

class Unigram implements SentencePiece {
  readonly size: number;
  readonly unkId: number;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  readonly #model: ProtoModel;
  readonly #scores: Float32Array;
  readonly #trie = new ByteTrie();
  readonly #userDefined: ByteTrie | undefined;
  readonly #characterMap: CharacterMap | undefined;
  readonly #byteIds: Int32Array | undefined; // by byte, where the model falls back to bytes
  readonly #minScore: number;

  constructor(bytes: Uint8Array) {
    const m = (this.#model = readModel(bytes));
    if (m.modelType !== 1) refuse(`it is of the ${MODEL_TYPES[m.modelType] ?? String(m.modelType)} kind and only Unigram is supported`);
    this.size = m.pieces.length;
    this.#scores = Float32Array.from(m.scores);
    const reserved = new Map<string, number>();
    const userDefined = new ByteTrie();
    const byteIds = new Int32Array(256).fill(-1);
    let unkId = -1;
    let ordinary = 0;
    let min = Infinity;
    m.pieces.forEach((piece, id) => {
      const kind = m.kinds[id]!;
      const text = decoder.decode(piece);
      if (kind === Kind.normal || kind === Kind.userDefined || kind === Kind.unused) {
        ordinary++;
        if (!this.#trie.add(piece, id)) refuse(`the piece ${JSON.stringify(text)} is defined twice`);
        if (kind === Kind.userDefined) userDefined.add(piece, id);
        if (kind === Kind.normal) min = Math.min(min, this.#scores[id]!);
        return;
      }
      if (reserved.has(text)) refuse(`the piece ${JSON.stringify(text)} is defined twice`);
      reserved.set(text, id);
      if (kind === Kind.unknown) unkId = unkId < 0 ? id : refuse('it has two pieces for the unknown');
      if (kind === Kind.byte) {
        const byte = /^<0x([0-9A-F]{2})>$/.exec(text);
        if (!m.byteFallback || byte === null) refuse(`the byte piece ${JSON.stringify(text)} is not one or not expected`);
        byteIds[parseInt(byte[1]!, 16)] = id;
      }
    });
    if (unkId < 0) refuse('it has no piece for the unknown');
    if (ordinary === 0) refuse('it has no pieces');
    if (m.byteFallback && byteIds.includes(-1)) refuse('it falls back to bytes but has not 256 byte pieces');
    this.unkId = unkId;
    this.eosId = m.eosId >= 0 && m.eosId < this.size ? m.eosId : undefined;
    this.padId = m.padId >= 0 && m.padId < this.size ? m.padId : undefined;
    this.#userDefined = m.kinds.includes(Kind.userDefined) ? userDefined : undefined;
    this.#characterMap = m.charsmap.length > 0 ? new CharacterMap(m.charsmap) : undefined;
    this.#byteIds = m.byteFallback ? byteIds : undefined;
    this.#minScore = min === Infinity ? 3.4028234663852886e38 : min;
  }

  encode(text: string): number[] {
    return this.segment(text).map(segment => segment.id);
  }

  segment(text: string): Segment[] {
    const original = new TextEncoder().encode(text);
    const { normalized, origins } = this.#normalize(original);
    const utf16 = new Uint32Array(original.length + 1); // byte offset -> UTF-16 index
    let byte = 0;
    let index = 0;
    for (const character of text) {
      utf16.fill(index, byte, (byte += utf8Length(character.codePointAt(0)!)));
      index += character.length;
    }
    utf16[original.length] = index;
    const segments: Segment[] = [];
    let unknownFrom = -1; // where the run of unknown pieces before this one began
    for (const { id, from, to } of this.#bestPath(normalized)) {
      const start = utf16[origins[from]!]!;
      if (id !== this.unkId) {
        segments.push({ id, piece: decoder.decode(normalized.subarray(from, to)), start });
        unknownFrom = -1;
      } else if (this.#byteIds !== undefined) {
        for (const unit of normalized.subarray(from, to)) {
          segments.push({ id: this.#byteIds[unit]!, piece: `<0x${unit.toString(16).toUpperCase().padStart(2, '0')}>`, start });
        }
      } else if (unknownFrom >= 0) {
        const last = segments.pop()!;
        segments.push({ ...last, piece: decoder.decode(normalized.subarray(unknownFrom, to)) });
      } else {
        unknownFrom = from;
        segments.push({ id, piece: decoder.decode(normalized.subarray(from, to)), start });
      }
    }
    return segments;
  }

  /** What the text at `at` becomes: a user-defined symbol as it is, else the longest replaced string, else one character. */
  #prefix(text: Uint8Array, at: number): { length: number; replacement: ArrayLike<number> } {
    if (this.#userDefined !== undefined) {
      let longest = 0;
      let node = 0;
      for (let i = at; i < text.length; i++) {
        node = this.#userDefined.step(node, text[i]!);
        if (node < 0) break;
        if (this.#userDefined.id(node) >= 0) longest = i + 1 - at;
      }
      if (longest > 0) return { length: longest, replacement: text.subarray(at, at + longest) };
    }
    const found = this.#characterMap?.longest(text, at);
    if (found !== undefined && found.length > 0) return found;
    const length = validLength(text, at);
    return length === 0 ? { length: 1, replacement: REPLACEMENT_CHARACTER } : { length, replacement: text.subarray(at, at + length) };
  }

  /** Normalizer::Normalize: the normalised bytes, and for each the place in the original that it comes from. */
  #normalize(original: Uint8Array): { normalized: Uint8Array; origins: number[] } {
    const { addDummyPrefix, removeExtraWhitespaces, escapeWhitespaces, spaceAsSuffix } = this.#model;
    const space = escapeWhitespaces ? SPACE_SYMBOL : [SPACE];
    const out: number[] = [];
    const origins: number[] = [];
    let at = 0;
    const put = (bytes: readonly number[]): void => {
      for (const byte of bytes) {
        out.push(byte);
        origins.push(at);
      }
    };
    while (removeExtraWhitespaces && at < original.length) {
      const { length, replacement } = this.#prefix(original, at);
      if (replacement.length !== 1 || replacement[0] !== SPACE) break;
      at += length;
    }
    if (at === original.length) return { normalized: new Uint8Array(), origins };
    if (addDummyPrefix && !spaceAsSuffix) put(space);
    let afterSpace = removeExtraWhitespaces;
    while (at < original.length) {
      const { length, replacement } = this.#prefix(original, at);
      let from = 0;
      while (afterSpace && replacement[from] === SPACE) from++;
      for (let i = from; i < replacement.length; i++) {
        if (replacement[i] === SPACE) put(space);
        else put([replacement[i]!]);
      }
      if (from < replacement.length) afterSpace = replacement[replacement.length - 1] === SPACE;
      at += length;
      if (!removeExtraWhitespaces) afterSpace = false;
    }
    while (removeExtraWhitespaces && out.length >= space.length && space.every((byte, i) => out[out.length - space.length + i] === byte)) {
      out.length -= space.length;
      origins.length -= space.length;
    }
    if (addDummyPrefix && spaceAsSuffix) put(space);
    return { normalized: Uint8Array.from(out), origins };
  }

  /**
   * The best segmentation of normalised bytes: unigram::Model::EncodeOptimized of release 0.2.3, sums in float32. (Release 0.2.0 sums in double before it compares and
   * scores user-defined symbols by the largest score; the two part only where best segmentations tie or a user-defined symbol competes.)
   */
  #bestPath(text: Uint8Array): { id: number; from: number; to: number }[] {
    const n = text.length;
    const best = new Float32Array(n + 1);
    const from = new Int32Array(n + 1).fill(-1);
    const ids = new Int32Array(n + 1).fill(-1);
    const unknown = fround(this.#minScore - UNK_PENALTY);
    const offer = (end: number, score: number, start: number, id: number): void => {
      if (from[end] !== -1 && !(score > best[end]!)) return;
      best[end] = score;
      from[end] = start;
      ids[end] = id;
    };
    let start = 0;
    while (start < n) {
      const here = best[start]!;
      const oneCharacter = Math.min(leadLength(text[start]!), n - start);
      let single = false; // whether a piece covers just this character
      let node = 0;
      for (let end = start + 1; end <= n; end++) {
        node = this.#trie.step(node, text[end - 1]!);
        if (node < 0) break;
        const id = this.#trie.id(node);
        if (id < 0) continue;
        const kind = this.#model.kinds[id]!;
        if (kind === Kind.unused) continue;
        const score = kind === Kind.userDefined ? fround(0.1 * (end - start - 1)) : this.#scores[id]!;
        offer(end, fround(score + here), start, id);
        if (end - start === oneCharacter) single = true;
      }
      if (!single) offer(start + oneCharacter, fround(unknown + here), start, this.unkId);
      start += oneCharacter;
    }
    const path: { id: number; from: number; to: number }[] = [];
    for (let to = n; to > 0; to = from[to]!) path.push({ id: ids[to]!, from: from[to]!, to });
    return path.reverse();
  }
}

/**
 * Reads a SentencePiece Unigram model.
 * @param bytes the whole `spiece.model`
 * @throws Error with one sentence when the file is cut off, inconsistent, too large, or of another kind than Unigram.
 * Ported from google/sentencepiece: normalizer.cc, unigram_model.cc, model_interface.cc, sentencepiece_processor.cc; third_party/darts_clone.
 */
export function openSentencePiece(bytes: Uint8Array): SentencePiece {
  return new Unigram(bytes);
}
