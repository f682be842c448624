/** @file A strict JSON reader over bytes for text from strangers: it builds nothing that its caller does not ask for, and refuses repeated keys. */
import { isUtf8 } from 'node:buffer';

/** Nesting that the Rust reference reader (serde_json) still takes: 127 containers inside each other. */
const DEPTH = 127;

/** Why the text was refused: `utf8`, `json` (grammar), `duplicateKey`, or `keys` (more object keys than the caller's budget). */
export class JsonError extends Error {
  readonly why: 'utf8' | 'json' | 'duplicateKey' | 'keys';
  constructor(why: JsonError['why'], message: string) {
    super(message);
    this.why = why;
  }
}

const escapes = new RegExp(
  String.raw`[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]`,
  'gu',
);

/** A stranger's text for one line of a terminal: control, bidi and lone surrogate characters as \uXXXX, cut to `limit` code units with an ellipsis. */
export function printable(text: string, limit = 120): string {
  const cut = text.length > limit ? `${text.slice(0, limit)}…` : text;
  return cut.replace(escapes, c => `\\u${c.codePointAt(0)!.toString(16).padStart(4, '0')}`);
}

/**
 * A pull reader over one JSON document. The caller asks for what it expects at the place it expects it (`object`, `array`, `string`, `numberText`, `literal`)
 * or passes over a value with `skip`; the grammar is checked everywhere all the same. Objects refuse a repeated key at every level, skipped ones too
 * (JSON.parse would keep the last silently); `keys` bounds how many keys the whole document may hold, so that a hostile text cannot fill the memory.
 * Strings with a lone surrogate and numbers beyond a double are refused, as the reference reader of safetensors refuses them.
 */
export class JsonReader {
  readonly #bytes: Buffer;
  #at = 0;
  #depth = 0;
  #keys: number;

  /** @throws JsonError when the bytes are not UTF-8. A byte order mark is not JSON and fails at the first value. */
  constructor(bytes: Uint8Array, keys = Infinity) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#keys = keys;
    if (!isUtf8(bytes)) throw new JsonError('utf8', 'the text is not valid UTF-8');
  }

  /** The first byte of the next value, without taking it; -1 at the end. */
  peek(): number {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte ?? -1;
      this.#at++;
    }
  }

  /** Takes an object: `each` is called at every value with its key and must take that value. */
  object(each: (key: string) => void): void {
    this.#open('{', 'an object');
    if (this.peek() !== 0x7d) {
      const seen = new Set<string>();
      do {
        const key = this.string();
        if (seen.has(key)) throw new JsonError('duplicateKey', `the key "${printable(key)}" appears twice in one object`);
        if (--this.#keys < 0) throw new JsonError('keys', 'there are too many keys');
        seen.add(key);
        if (this.peek() !== 0x3a) this.#fail('":"');
        this.#at++;
        each(key);
      } while (this.#comma());
    }
    this.#close('}');
  }

  /** Takes an array: `each` is called at every element with its index and must take that element. */
  array(each: (index: number) => void): void {
    this.#open('[', 'an array');
    let index = 0;
    if (this.peek() !== 0x5d) {
      do each(index++);
      while (this.#comma());
    }
    this.#close(']');
  }

  /** Takes a string. */
  string(): string {
    if (this.peek() !== 0x22) this.#fail('a string');
    const from = this.#at;
    return this.#decode(from, this.#passString());
  }

  /** Takes a number and gives it as written, so that the caller can tell 1 from 1.0 and from 1e0. */
  numberText(): string {
    this.peek();
    const from = this.#at;
    this.#passNumber();
    return this.#bytes.toString('latin1', from, this.#at);
  }

  /** Takes one of the words null, true, false. */
  literal(): null | boolean {
    this.peek();
    for (const [word, value] of [
      ['null', null],
      ['true', true],
      ['false', false],
    ] as const)
      // prettier-ignore
      if (this.#bytes.toString('latin1', this.#at, this.#at + word.length) === word) {
        this.#at += word.length;
        return value;
      }
    return this.#fail('a value');
  }

  /** Takes any value and forgets it. */
  skip(): void {
    const byte = this.peek();
    if (byte === 0x7b) this.object(() => this.skip());
    else if (byte === 0x5b) this.array(() => this.skip());
    else if (byte === 0x22) {
      const from = this.#at;
      if (this.#passString()) this.#decode(from, true);
    } else if (byte === 0x2d || (byte >= 0x30 && byte <= 0x39)) this.#passNumber();
    else this.literal();
  }

  /** Nothing but white space may follow. */
  end(): void {
    if (this.peek() !== -1) this.#fail('nothing after the value');
  }

  /** Goes behind the string that begins here; true when it holds escapes, which are still to be checked. */
  #passString(): boolean {
    const bytes = this.#bytes;
    let escaped = false;
    let at = this.#at + 1;
    for (; bytes[at] !== 0x22; at++) {
      const byte = bytes[at];
      if (byte === undefined || byte < 0x20) {
        this.#at = at;
        this.#fail(byte === undefined ? 'the end of a string' : 'no control character in a string');
      }
      if (byte === 0x5c) {
        escaped = true;
        at++;
      }
    }
    this.#at = at + 1;
    return escaped;
  }

  /** The text of the string from its first quote at `from` to here. */
  #decode(from: number, escaped: boolean): string {
    if (!escaped) return this.#bytes.toString('utf8', from + 1, this.#at - 1);
    let text: string | undefined;
    try {
      text = JSON.parse(this.#bytes.toString('utf8', from, this.#at)) as string;
    } catch {
      // what it holds is said below
    }
    if (text?.isWellFormed()) return text;
    this.#at = from;
    return this.#fail(text === undefined ? 'a string with valid escapes' : 'no lone surrogate in a string');
  }

  /** Goes behind the number that begins here. */
  #passNumber(): void {
    const bytes = this.#bytes;
    const from = this.#at;
    let at = from;
    const digits = (): boolean => {
      const first = at;
      for (let byte = bytes[at]; byte !== undefined && byte >= 0x30 && byte <= 0x39; byte = bytes[++at]);
      return at > first;
    };
    if (bytes[at] === 0x2d) at++;
    let sound = true;
    if (bytes[at] === 0x30) at++;
    else sound = digits();
    if (bytes[at] === 0x2e) {
      at++;
      sound &&= digits();
    }
    const exponent = at;
    if (bytes[at] === 0x65 || bytes[at] === 0x45) {
      at++;
      if (bytes[at] === 0x2b || bytes[at] === 0x2d) at++;
      sound &&= digits();
    }
    // 200 digits with an exponent of two are always a double.
    if (!sound || ((at - from > 200 || at - exponent > 3) && !Number.isFinite(Number(bytes.toString('latin1', from, at)))))
      this.#fail('a number');
    this.#at = at;
  }

  #open(bracket: string, what: string): void {
    if (this.peek() !== bracket.charCodeAt(0)) this.#fail(what);
    if (++this.#depth > DEPTH) this.#fail(`no more than ${DEPTH} levels`);
    this.#at++;
  }

  #close(bracket: string): void {
    if (this.peek() !== bracket.charCodeAt(0)) this.#fail(`"," or "${bracket}"`);
    this.#at++;
    this.#depth--;
  }

  #comma(): boolean {
    if (this.peek() !== 0x2c) return false;
    this.#at++;
    return true;
  }

  #fail(expected: string): never {
    throw new JsonError('json', `the JSON breaks at byte ${Math.min(this.#at, this.#bytes.length)}: ${expected} was expected`);
  }
}
