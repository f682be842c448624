/**
 * @file safetensors files: the header under every rule that a hostile file could break, tensors as typed arrays, and a durable writer.
 * Format: https://github.com/huggingface/safetensors (u64 length, JSON header, tensor bytes; little-endian, row-major, no gaps).
 * What is accepted is what the reference package accepts, less the named limits below (`limits`, rules `leadingSpace`, `duplicateKey`, `arrayForm`).
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  writeSync,
  type BigIntStats,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { JsonError, JsonReader, printable } from './json.ts';

/** Bits of one element, in the reference package's order (the writer sorts by it, widest alignment first). */
const bits = {
  BOOL: 8, F4: 4, F6_E2M3: 6, F6_E3M2: 6, U8: 8, I8: 8, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8,
  I16: 16, U16: 16, F16: 16, BF16: 16, I32: 32, U32: 32, F32: 32, C64: 64, F64: 64, I64: 64, U64: 64,
} as const; // prettier-ignore
export type SafetensorsDType = keyof typeof bits;
const order = Object.keys(bits);

/** Our own limits, beyond the format's: bytes, counts. */
export const limits = {
  /** Bytes of header of a base model's file: the reference package's own limit. */
  header: 100_000_000,
  /** Bytes of header of an adapter's file. */
  adapterHeader: 16 * 2 ** 20,
  tensors: 100_000,
  rank: 8,
  nameBytes: 512,
  /** Keys in the whole header beside the three of each tensor: metadata and what nobody reads. */
  otherKeys: 100_000,
} as const;

/** The rules by name. A file that breaks one is refused with a SafetensorsError that carries it. */
export type SafetensorsRule =
  | 'notAFile' // missing, or a folder, pipe or device
  | 'pickle' // a Python pickle under another name
  | 'lfsPointer' // the text file that git leaves where Git LFS was not run
  | 'tooShort' // fewer than the 8 bytes of the length
  | 'headerTooLarge' // the length is over the limit; nothing was allocated
  | 'headerOutside' // the header ends after the file
  | 'utf8'
  | 'leadingSpace' // the header must start with "{" (the format's text; the reference reader is laxer)
  | 'json'
  | 'duplicateKey' // the reference reader keeps the last
  | 'tooManyKeys'
  | 'tooManyTensors'
  | 'nameTooLong'
  | 'rankTooLarge'
  | 'arrayForm' // a tensor's entry or dtype written as an array or object (an accident of the reference reader)
  | 'field' // dtype, shape or data_offsets missing or of another type
  | 'metadata' // __metadata__ must map strings to strings
  | 'dtype'
  | 'integer' // negative, fractional, exponent or beyond 64 bits
  | 'unsafeInteger' // beyond 2^53 - 1
  | 'overflow' // shape x dtype is beyond 64 bits
  | 'partialByte' // the elements do not fill whole bytes
  | 'size' // end - begin is not shape x dtype
  | 'reversed' // end before begin
  | 'hole'
  | 'overlap'
  | 'missingBytes' // the file ends before the last tensor
  | 'extraBytes'; // the file goes on after the last tensor

/** A file that is not a safetensors file by one of the rules. */
export class SafetensorsError extends Error {
  readonly rule: SafetensorsRule;
  constructor(file: string, rule: SafetensorsRule, what: string) {
    super(`${file}: ${what}`);
    this.rule = rule;
  }
}

/** Where one tensor lies: `offset` and `length` in bytes from the start of `file` (an absolute path without links). */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

export interface SafetensorsFile {
  /** Absolute, links resolved. */
  readonly file: string;
  /** Bytes. */
  readonly size: number;
  /** Text from whoever wrote the file: print it only through `printable`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order in which they lie in the file. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** What was open when the header was checked; the bytes are read later only from that very file. */
interface Stamp {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeNs: bigint;
}
const stamps = new WeakMap<StoredTensor, Stamp>();

/** Opens a regular file for reading; a pipe does not block. */
export function openRegular(file: string): { fd: number; stat: BigIntStats } {
  const fd = openSync(file, constants.O_RDONLY | (process.platform === 'win32' ? 0 : constants.O_NONBLOCK));
  const stat = fstatSync(fd, { bigint: true });
  if (stat.isFile()) return { fd, stat };
  closeSync(fd);
  throw new SafetensorsError(file, 'notAFile', 'this is not a regular file; give the path of a .safetensors file');
}

/** Fills `into` from byte `position` of the file; false when the file ends first. */
function readFully(fd: number, into: Uint8Array, position: number): boolean {
  for (let done = 0; done < into.byteLength;) {
    const n = readSync(fd, into, done, Math.min(into.byteLength - done, 2 ** 30), position + done);
    if (n === 0) return false;
    done += n;
  }
  return true;
}

/**
 * Reads and checks the header of a safetensors file; no tensor bytes are read.
 * @param limit the most bytes of header to take (`limits.adapterHeader` for adapters)
 * @throws SafetensorsError naming the rule broken, or the file system's error
 */
export function readSafetensors(file: string, limit: number = limits.header): SafetensorsFile {
  if (!existsSync(file)) throw new SafetensorsError(file, 'notAFile', 'there is no such file');
  const path = realpathSync(file);
  const { fd, stat } = openRegular(path);
  try {
    const size = Number(stat.size);
    const refuse = (rule: SafetensorsRule, what: string): never => {
      throw new SafetensorsError(file, rule, what);
    };
    const head = new Uint8Array(Math.min(size, 512));
    if (!readFully(fd, head, 0)) refuse('tooShort', 'the file shrank while it was read');
    const foreign = foreignFormat(fd, size, head);
    if (foreign) throw new SafetensorsError(file, foreign.rule, foreign.what);
    if (size < 8) refuse('tooShort', `the file has ${size} bytes, too few for a safetensors file; download it again`);
    const length = new DataView(head.buffer).getBigUint64(0, true);
    if (length > BigInt(limit))
      refuse(
        'headerTooLarge',
        `the header claims ${length} bytes, more than the ${limit} allowed; this is no safetensors file, or a damaged one`,
      );
    const n = Number(length);
    if (n > size - 8) refuse('headerOutside', `the header claims ${n} bytes, but only ${size - 8} follow; download the file again`);
    const header = new Uint8Array(n);
    if (!readFully(fd, header, 8)) refuse('headerOutside', 'the file shrank while it was read');
    let parsed: Header;
    try {
      parsed = parseHeader(header, refuse);
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      return refuse(error.why === 'keys' ? 'tooManyKeys' : error.why, `the header is refused, ${error.message}`);
    }
    const tensors = placed(parsed.entries, size - 8 - n, refuse);
    const stamp = { dev: stat.dev, ino: stat.ino, size: stat.size, mtimeNs: stat.mtimeNs };
    return {
      file: path,
      size,
      metadata: parsed.metadata,
      tensors: new Map(
        tensors.map(({ name, dtype, shape, begin, end }) => {
          const tensor = { name, dtype, shape, file: path, offset: 8 + n + begin, length: end - begin };
          stamps.set(tensor, stamp);
          return [name, tensor] as const;
        }),
      ),
    };
  } finally {
    closeSync(fd);
  }
}

type Refuse = (rule: SafetensorsRule, what: string) => never;
interface Entry {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}
interface Header {
  readonly metadata: ReadonlyMap<string, string>;
  readonly entries: readonly Entry[];
}

function parseHeader(bytes: Uint8Array, refuse: Refuse): Header {
  const json = new JsonReader(bytes, limits.tensors * 4 + limits.otherKeys);
  if (bytes[0] !== 0x7b && json.peek() === 0x7b) refuse('leadingSpace', 'the header does not start with "{"');
  const metadata = new Map<string, string>();
  const entries: Entry[] = [];
  json.object(name => {
    if (name === '__metadata__') {
      if (json.peek() === 0x6e) return void json.literal(); // null means none
      if (json.peek() !== 0x7b) refuse('metadata', '__metadata__ is not an object');
      return json.object(key => {
        if (json.peek() !== 0x22) refuse('metadata', `the metadata "${printable(key)}" is not a text`);
        metadata.set(key, json.string());
      });
    }
    if (Buffer.byteLength(name) > limits.nameBytes)
      refuse('nameTooLong', `a tensor's name has more than ${limits.nameBytes} bytes: "${printable(name, 40)}"`);
    if (entries.length === limits.tensors) refuse('tooManyTensors', `there are more than ${limits.tensors} tensors`);
    entries.push(parseEntry(json, name, refuse));
  });
  json.end();
  return { metadata, entries };
}

function parseEntry(json: JsonReader, name: string, refuse: Refuse): Entry {
  const shown = printable(name);
  const integer = (what: string): number => {
    const byte = json.peek();
    if (byte !== 0x2d && (byte < 0x30 || byte > 0x39)) refuse('field', `${what} of "${shown}" is not a number`);
    const text = json.numberText();
    if (!/^[0-9]+$/.test(text) || (text.length > 16 && BigInt(text) > 0xffff_ffff_ffff_ffffn))
      refuse('integer', `${what} of "${shown}" is ${printable(text, 24)}, not a natural number`);
    if (!Number.isSafeInteger(Number(text))) refuse('unsafeInteger', `${what} of "${shown}" is ${text}, more than this program counts to`);
    return Number(text);
  };
  if (json.peek() === 0x5b) refuse('arrayForm', `the entry of "${shown}" is an array, not an object`);
  if (json.peek() !== 0x7b) refuse('field', `the entry of "${shown}" is not an object`);
  let dtype: SafetensorsDType | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  json.object(key => {
    if (key === 'dtype') {
      if (json.peek() === 0x7b) refuse('arrayForm', `the dtype of "${shown}" is an object, not a text`);
      if (json.peek() !== 0x22) refuse('field', `the dtype of "${shown}" is not a text`);
      const text = json.string();
      if (!order.includes(text)) refuse('dtype', `"${shown}" has the dtype "${printable(text, 24)}", which is not known`);
      dtype = text as SafetensorsDType;
    } else if (key === 'shape' || key === 'data_offsets') {
      if (json.peek() !== 0x5b) refuse('field', `the ${key} of "${shown}" is not an array`);
      const values: number[] = [];
      json.array(index => {
        if (key === 'data_offsets' && index === 2) refuse('field', `the data_offsets of "${shown}" are more than two`);
        if (index === limits.rank) refuse('rankTooLarge', `"${shown}" has more than ${limits.rank} dimensions`);
        values.push(integer(key === 'shape' ? 'a dimension' : 'an offset'));
      });
      if (key === 'shape') shape = values;
      else offsets = values;
    } else json.skip();
  });
  const [begin, end] = offsets ?? [];
  if (dtype === undefined || shape === undefined || begin === undefined || end === undefined)
    return refuse('field', `"${shown}" lacks its ${dtype === undefined ? 'dtype' : shape === undefined ? 'shape' : 'data_offsets'}`);
  return { name, dtype, shape, begin, end };
}

/** Checks that the tensors fill `available` bytes from 0 without hole or overlap, each with the bytes of its shape; returns them in that order. */
function placed(entries: readonly Entry[], available: number, refuse: Refuse): readonly Entry[] {
  const sorted = entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const { name, dtype, shape, begin, end } of sorted) {
    const shown = printable(name);
    if (begin !== at)
      refuse(
        begin > at ? 'hole' : 'overlap',
        `"${shown}" begins at byte ${begin}, but the tensor before it ends at ${at}; download the file again`,
      );
    if (end < begin) refuse('reversed', `"${shown}" ends at byte ${end}, before its begin ${begin}`);
    // Left to right with the limit at every step, as the reference does: [2^40, 2^40, 0] overflows, [0, 2^40, 2^40] is empty.
    let total = 1n;
    for (const size of [...shape, bits[dtype]]) {
      total *= BigInt(size);
      if (total > 0xffff_ffff_ffff_ffffn) refuse('overflow', `the shape [${shape.join(',')}] of "${shown}" overflows`);
    }
    if (total % 8n !== 0n) refuse('partialByte', `the shape [${shape.join(',')}] of "${shown}" (${dtype}) does not fill whole bytes`);
    if (total / 8n !== BigInt(end - begin))
      refuse('size', `"${shown}" is ${dtype} [${shape.join(',')}], ${total / 8n} bytes, but its offsets span ${end - begin}`);
    at = end;
  }
  if (at > available) refuse('missingBytes', `${at - available} bytes of the tensors are missing at the end; download the file again`);
  if (at < available) refuse('extraBytes', `${available - at} bytes follow the last tensor; download the file again`);
  return sorted;
}

/** What else the file is, when its first bytes say so. */
function foreignFormat(fd: number, size: number, head: Uint8Array): { rule: 'pickle' | 'lfsPointer'; what: string } | undefined {
  const text = Buffer.from(head.buffer, 0, head.byteLength).toString('latin1');
  if (text.startsWith('version https://git-lfs')) {
    return {
      rule: 'lfsPointer',
      what: 'this is a Git LFS pointer, not the weights; run "git lfs pull" in its folder, or download the file itself',
    };
  }
  return isPickle(fd, size, text) ? { rule: 'pickle', what: pickleAdvice } : undefined;
}

const pickleAdvice =
  'this is a Python pickle (a PyTorch .bin, .pt or .ckpt), which can run code when it is opened, so it is not read; ' +
  'get the .safetensors version, or convert it with save_pretrained(..., safe_serialization=True) where its source is trusted';

/** @param head the first 512 bytes at most, as latin1 */
function isPickle(fd: number, size: number, head: string): boolean {
  // A safetensors file with 640 bytes of header begins with 80 02 too. Read as a length, the first 8 bytes of a pickle, zip or tar are beyond any file.
  if (size > 8 && Buffer.from(head.slice(0, 8), 'latin1').readBigUInt64LE() <= size - 8) return false;
  const tail = (bytes: number): string => {
    const last = new Uint8Array(Math.min(size, bytes));
    return readFully(fd, last, size - last.byteLength) ? Buffer.from(last.buffer).toString('latin1') : '';
  };
  if (/^\x80[\x02-\x05]/.test(head)) return true; // PROTO 2 to 5, torch.save before 1.6 among them
  if (head.startsWith('PK\x03\x04')) return head.includes('data.pkl') || tail(2 ** 20).includes('data.pkl'); // torch.save since 1.6; the names stand at the end too
  if (head.slice(257, 262) === 'ustar' || /^(?:\.\/)?(?:sys_info|pickle|storages|tensors)\0/.test(head)) return true; // torch.save before 0.1.10: a tar
  return /^(?:\(|\]|\}|c[\w.]+\n\w+\n)/.test(head) && tail(1) === '.'; // protocols 0 and 1 have no mark; all end in STOP
}

/** True when the file's content (not its name) is a Python pickle, as torch.save writes in any of its three formats. */
export function looksLikePickle(file: string): boolean {
  const { fd, stat } = openRegular(file);
  try {
    const head = new Uint8Array(Math.min(Number(stat.size), 512));
    return readFully(fd, head, 0) && isPickle(fd, Number(stat.size), Buffer.from(head.buffer).toString('latin1'));
  } finally {
    closeSync(fd);
  }
}

/** Elements of a shape: the product, 1 for a scalar. */
export const elements = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Counts over tensors: how many, parameters, bytes, and tensors by dtype. */
export function summary(tensors: ReadonlyMap<string, StoredTensor>): {
  tensors: number;
  parameters: number;
  bytes: number;
  dtypes: Readonly<Record<string, number>>;
} {
  const dtypes: Record<string, number> = {};
  let [parameters, bytes] = [0, 0];
  for (const tensor of tensors.values()) {
    dtypes[tensor.dtype] = (dtypes[tensor.dtype] ?? 0) + 1;
    parameters += elements(tensor.shape);
    bytes += tensor.length;
  }
  return { tensors: tensors.size, parameters, bytes, dtypes };
}

/**
 * Calls `take` with the tensor's bytes, piece by piece and in order, at most 4 MiB at a time (one buffer, reused).
 * @throws when the file is no longer the one whose header was checked
 */
function pieces(tensor: StoredTensor, take: (bytes: Uint8Array<ArrayBuffer>, from: number) => void): void {
  const fd = openChecked(tensor);
  try {
    const buffer = new ArrayBuffer(Math.min(tensor.length, 2 ** 22));
    for (let at = 0; at < tensor.length; at += buffer.byteLength) {
      const bytes = new Uint8Array(buffer, 0, Math.min(buffer.byteLength, tensor.length - at));
      if (!readFully(fd, bytes, tensor.offset + at)) throw changed(tensor);
      take(bytes, at);
    }
  } finally {
    closeSync(fd);
  }
}

const changed = (tensor: StoredTensor): Error =>
  new Error(`${tensor.file}: the file changed after its header was read ("${printable(tensor.name)}"); start again`);

/** Opens the tensor's file, but only the very file that was checked: same device, inode, size and time of change. */
function openChecked(tensor: StoredTensor): number {
  const { fd, stat } = openRegular(tensor.file);
  const stamp = stamps.get(tensor);
  const same = !stamp || (stat.dev === stamp.dev && stat.ino === stamp.ino && stat.size === stamp.size && stat.mtimeNs === stamp.mtimeNs);
  if (same && Number(stat.size) >= tensor.offset + tensor.length) return fd;
  closeSync(fd);
  throw changed(tensor);
}

/** The tensor's bytes as they are stored. */
export function readBytes(tensor: StoredTensor): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(tensor.length);
  const fd = openChecked(tensor);
  try {
    if (!readFully(fd, out, tensor.offset)) throw changed(tensor);
  } finally {
    closeSync(fd);
  }
  return out;
}

let halves: Float32Array | undefined;
/** All 65,536 float16 values as float32: sign, 5 bits of exponent, 10 of fraction. */
function float16Table(): Float32Array {
  return (halves ??= Float32Array.from({ length: 65536 }, (_, i) => {
    const sign = i & 0x8000 ? -1 : 1;
    const exponent = (i >> 10) & 31;
    const fraction = i & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
  }));
}

/**
 * A tensor's values as float32, row-major: F32 as it is, F16 and BF16 exactly, F64 rounded.
 * @throws for any other dtype: integers are read by readIntegers, 8-bit and smaller floats are not supported
 */
export function readTensor(tensor: StoredTensor): Float32Array<ArrayBuffer> {
  const { dtype } = tensor;
  if (dtype === 'F32') return new Float32Array(readBytes(tensor).buffer);
  if (dtype !== 'F16' && dtype !== 'BF16' && dtype !== 'F64') throw unreadable(tensor, 'F32, F16, BF16 and F64');
  const out = new Float32Array(elements(tensor.shape));
  const table = dtype === 'F16' ? float16Table() : undefined;
  const words = new Uint32Array(out.buffer);
  pieces(tensor, (bytes, from) => {
    if (dtype === 'F64') {
      out.set(new Float64Array(bytes.buffer, 0, bytes.byteLength / 8), from / 8);
      return;
    }
    const source = new Uint16Array(bytes.buffer, 0, bytes.byteLength / 2);
    const at = from / 2;
    if (table) for (let i = 0; i < source.length; i++) out[at + i] = table[source[i]!]!;
    else for (let i = 0; i < source.length; i++) words[at + i] = source[i]! << 16;
  });
  return out;
}

const integerArrays = {
  I8: Int8Array, U8: Uint8Array, BOOL: Uint8Array, I16: Int16Array, U16: Uint16Array, I32: Int32Array, U32: Uint32Array, I64: BigInt64Array, U64: BigUint64Array,
} as const; // prettier-ignore

/**
 * A tensor's values as 64-bit integers, row-major: any signed or unsigned integer dtype, BOOL as 0 and 1.
 * @throws for other dtypes, and for an U64 beyond 2^63 - 1
 */
export function readIntegers(tensor: StoredTensor): BigInt64Array<ArrayBuffer> {
  const kind = Object.entries(integerArrays).find(([dtype]) => dtype === tensor.dtype)?.[1];
  if (!kind) throw unreadable(tensor, 'integers');
  const source = new kind(readBytes(tensor).buffer);
  if (source instanceof BigInt64Array) return source;
  if (source instanceof BigUint64Array) {
    if (source.some(x => x > 0x7fff_ffff_ffff_ffffn))
      throw new Error(`"${printable(tensor.name)}" in ${tensor.file}: a number is over 2^63 - 1`);
    return BigInt64Array.from(source);
  }
  return BigInt64Array.from(source, BigInt);
}

const unreadable = (tensor: StoredTensor, wanted: string): Error =>
  new Error(
    `"${printable(tensor.name)}" in ${tensor.file} is ${tensor.dtype}; ${wanted} are read here` +
      (/^F[468]/.test(tensor.dtype) ? ': get the bfloat16 or float16 version of these weights' : ''),
  );

/** True when every value is finite. Reads the bits, so that it costs little more than the reading itself. F32, F16, BF16, F64. */
export function isFiniteTensor(tensor: StoredTensor): boolean {
  let finite = true;
  pieces(tensor, bytes => {
    if (!finite) return;
    if (tensor.dtype === 'F64') finite = new Float64Array(bytes.buffer, 0, bytes.byteLength / 8).every(x => Number.isFinite(x));
    else if (tensor.dtype === 'F32') finite = !allOnes(new Uint32Array(bytes.buffer, 0, bytes.byteLength / 4), 0x7f80_0000);
    else if (tensor.dtype === 'F16' || tensor.dtype === 'BF16')
      finite = !allOnes(new Uint16Array(bytes.buffer, 0, bytes.byteLength / 2), tensor.dtype === 'F16' ? 0x7c00 : 0x7f80);
    else throw unreadable(tensor, 'F32, F16, BF16 and F64');
  });
  return finite;
}

/** Whether some word has all bits of the exponent `mask`: an infinity or not a number. */
function allOnes(words: Uint16Array | Uint32Array, mask: number): boolean {
  for (let i = 0; i < words.length; i++) if ((words[i]! & mask) === mask) return true;
  return false;
}

/** A tensor to write: `data` holds exactly the elements of `shape`, row-major, in the layout of `dtype`, which is that of the array's own kind unless it is named. */
export interface NewTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | BigInt64Array | Int32Array | Uint8Array | Uint16Array;
  readonly dtype?: SafetensorsDType;
}

/** The dtype of an array's own kind. */
function dtypeOf(data: NewTensor['data']): SafetensorsDType {
  if (data instanceof Float32Array) return 'F32';
  if (data instanceof Float64Array) return 'F64';
  if (data instanceof BigInt64Array) return 'I64';
  if (data instanceof Int32Array) return 'I32';
  return data instanceof Uint16Array ? 'U16' : 'U8';
}

/**
 * Writes a safetensors file so that it is either there whole or not at all: part file beside it, fsync, rename, fsync of the folder.
 * The bytes depend on the arguments only: wider dtypes first, then by name; metadata by key; the header padded with spaces to 8 bytes.
 * @throws when a tensor's data does not fit its shape, or the file system's error; then the part file is gone and an older file untouched
 */
export function writeSafetensors(file: string, tensors: Iterable<NewTensor>, metadata: Readonly<Record<string, string>> = {}): void {
  const compare = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
  const sorted = Array.from(tensors, t => ({ ...t, dtype: t.dtype ?? dtypeOf(t.data) })).toSorted(
    (a, b) => order.indexOf(b.dtype) - order.indexOf(a.dtype) || compare(a.name, b.name),
  );
  // Members are joined by hand: an object would move keys like "7" to the front and lose "__proto__".
  const members: string[] = [];
  const member = (key: string, value: string): string => {
    if (!key.isWellFormed()) throw new Error(`${file}: "${printable(key)}" has a lone surrogate and cannot be written`);
    return `${JSON.stringify(key)}:${value}`;
  };
  const texts = Object.entries(metadata).toSorted(([a], [b]) => compare(a, b));
  if (texts.length > 0) {
    if (texts.some(([, text]) => !text.isWellFormed()))
      throw new Error(`${file}: a text of the metadata has a lone surrogate and cannot be written`);
    members.push(`"__metadata__":{${texts.map(([key, text]) => member(key, JSON.stringify(text))).join(',')}}`);
  }
  const seen = new Set(['__metadata__']);
  let at = 0;
  for (const { name, dtype, shape, data } of sorted) {
    const length = (elements(shape) * bits[dtype]) / 8;
    if (length !== data.byteLength)
      throw new Error(`${file}: "${printable(name)}" is ${dtype} [${shape.join(',')}], ${length} bytes, but ${data.byteLength} were given`);
    if (seen.has(name)) throw new Error(`${file}: the name "${printable(name)}" is taken`);
    seen.add(name);
    members.push(member(name, JSON.stringify({ dtype, shape, data_offsets: [at, (at += length)] })));
  }
  const json = Buffer.from(`{${members.join(',')}}`);
  const header = Buffer.alloc(8 + Math.ceil(json.byteLength / 8) * 8, 0x20);
  header.writeBigUInt64LE(BigInt(header.byteLength - 8));
  json.copy(header, 8);
  writeDurably(file, [header, ...sorted.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength))]);
}

/** Writes `parts` one after the other as `file`: `file.part`, fsync, rename, fsync of the folder. On an error the part file is removed. */
function writeDurably(file: string, parts: Iterable<Uint8Array>): void {
  const part = `${file}.part`;
  rmSync(part, { force: true }); // a killed run's, or a link that someone laid there
  const fd = openSync(part, 'wx');
  try {
    try {
      for (const bytes of parts)
        for (let at = 0; at < bytes.byteLength;) at += writeSync(fd, bytes, at, Math.min(bytes.byteLength - at, 2 ** 30));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(part, file);
  } catch (error) {
    rmSync(part, { force: true });
    throw error;
  }
  syncFolder(dirname(resolve(file)));
}

/** Makes a rename in the folder survive a power cut. Windows has no such call and needs none. */
export function syncFolder(folder: string): void {
  if (process.platform === 'win32') return;
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
