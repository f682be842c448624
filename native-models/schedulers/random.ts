/** @file torch.randn of the CPU, bit for bit: the Mersenne Twister and the two normal transforms that PyTorch's x86 (AVX2) build uses. */

export type NoiseDType = 'float32' | 'bfloat16';

const WORDS = 624;
const HALF = 397;
const STATE_BYTES = 4 + 4 * WORDS + 4 + 1 + 8; // version, words, position, whether a sine is kept, the sine
const STATE_VERSION = 0x31_4e_52_54; // 'TRN1'

const double = new Float64Array(1);
const doubleBits = new Uint32Array(double.buffer); // little-endian, as every machine that runs Node is: [0] holds the low word
const single = new Float32Array(1);
const singleBits = new Int32Array(single.buffer);
const { fround } = Math;

/**
 * a * b + c rounded once to float32, all three being float32. The product of two float32 is exact in a double; their sum may be rounded there, and a second
 * rounding then goes wrong only where the first one landed exactly half-way between two float32. That case is undone by a step of one bit towards the lost part.
 */
function fma(a: number, b: number, c: number): number {
  const product = a * b;
  const sum = product + c;
  double[0] = sum;
  if ((doubleBits[0]! & 0x1fffffff) !== 0x10000000) return fround(sum);
  const part = sum - product;
  const lost = product - (sum - part) + (c - part);
  if (lost === 0) return fround(sum);
  doubleBits[0] = doubleBits[0]! + (lost > 0 === sum > 0 ? 1 : -1);
  return fround(double[0]);
}

// Cephes' single-precision coefficients (logf, sincosf), as in avx_mathfun.h, which PyTorch carries.
const SQRT_HALF = fround(0.707106781186547524);
const LOG_P0 = fround(7.0376836292e-2);
const LOG_P1 = fround(-1.151461031e-1);
const LOG_P2 = fround(1.167699874e-1);
const LOG_P3 = fround(-1.2420140846e-1);
const LOG_P4 = fround(1.4249322787e-1);
const LOG_P5 = fround(-1.6668057665e-1);
const LOG_P6 = fround(2.0000714765e-1);
const LOG_P7 = fround(-2.4999993993e-1);
const LOG_P8 = fround(3.3333331174e-1);
const LOG_Q1 = fround(-2.1219444e-4);
const LOG_Q2 = fround(0.693359375);
const FOUR_OVER_PI = fround(1.27323954473516);
const DP1 = fround(-0.78515625);
const DP2 = fround(-2.4187564849853515625e-4);
const DP3 = fround(-3.77489497744594108e-8);
const SIN_P0 = fround(-1.9515295891e-4);
const SIN_P1 = fround(8.3321608736e-3);
const SIN_P2 = fround(-1.6666654611e-1);
const COS_P0 = fround(2.443315711809948e-5);
const COS_P1 = fround(-1.388731625493765e-3);
const COS_P2 = fround(4.166664568298827e-2);
const TWO_PI = fround(2 * Math.PI);

/** Natural logarithm of a float32 in (0, 1], with the roundings of log256_ps compiled with fused multiply-add. */
function logSingle(value: number): number {
  single[0] = value;
  const bits = singleBits[0]!;
  let e = (bits >>> 23) - 126;
  singleBits[0] = (bits & 0x007fffff) | 0x3f000000; // mantissa in [0.5, 1)
  let x = single[0];
  if (x < SQRT_HALF) {
    e -= 1;
    x = fround(fround(x - 1) + x);
  } else x = fround(x - 1);
  const z = fround(x * x);
  let y = fma(LOG_P0, x, LOG_P1);
  y = fma(y, x, LOG_P2);
  y = fma(y, x, LOG_P3);
  y = fma(y, x, LOG_P4);
  y = fma(y, x, LOG_P5);
  y = fma(y, x, LOG_P6);
  y = fma(y, x, LOG_P7);
  y = fma(y, x, LOG_P8);
  y = fround(y * x);
  y = fma(y, z, fround(e * LOG_Q1));
  y = fma(-z, 0.5, y);
  return fma(e, LOG_Q2, fround(x + y));
}

/** Turns 16 uniforms of [0, 1) at `at` into normals by pairs (j, j + 8), float32. */
function turnSingle(a: Float32Array, at: number): void {
  for (let j = at; j < at + 8; j++) {
    const radius = fround(Math.sqrt(fround(-2 * logSingle(fround(1 - a[j]!)))));
    const theta = fround(TWO_PI * a[j + 8]!);
    const octant = (Math.trunc(fround(theta * FOUR_OVER_PI)) + 1) & ~1;
    let x = fma(octant, DP1, theta);
    x = fma(octant, DP2, x);
    x = fma(octant, DP3, x);
    const z = fround(x * x);
    let c = fma(COS_P0, z, COS_P1);
    c = fround(fma(c, z, COS_P2) * z);
    c = fround(fma(c, z, fround(-0.5 * z)) + 1);
    let s = fma(SIN_P0, z, SIN_P1);
    s = fround(fma(s, z, SIN_P2) * z);
    s = fma(s, x, x);
    const swapped = (octant & 2) !== 0; // sine and cosine change places every other octant
    const sine = (octant & 4) !== 0 ? -(swapped ? c : s) : swapped ? c : s;
    const cosine = ((octant - 2) & 4) === 0 ? -(swapped ? s : c) : swapped ? s : c;
    a[j] = radius * cosine + 0; // + 0: PyTorch adds the mean, so that no negative zero leaves
    a[j + 8] = radius * sine + 0;
  }
}

/** Rounds to bfloat16, ties to even, by way of float32. */
function toBfloat16(value: number): number {
  single[0] = value;
  const bits = singleBits[0]!;
  singleBits[0] = (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000;
  return single[0];
}

interface Bfloat16Tables {
  radius: Float32Array; // by 256 * u1's uniform, u1 = 1 - uniform
  cos: Float32Array; // by 256 * u2
  sin: Float32Array;
}

let bfloat16Tables: Bfloat16Tables | undefined;

/** A bfloat16 uniform has 256 values: every function of one is a table. Each operation rounds to bfloat16. */
function tablesOfBfloat16(): Bfloat16Tables {
  if (bfloat16Tables !== undefined) return bfloat16Tables;
  const radius = new Float32Array(256);
  const cos = new Float32Array(256);
  const sin = new Float32Array(256);
  for (let k = 0; k < 256; k++) {
    radius[k] = toBfloat16(Math.sqrt(toBfloat16(-2 * toBfloat16(Math.log(1 - k / 256)))));
    const theta = toBfloat16(2 * Math.PI * (k / 256));
    cos[k] = toBfloat16(Math.cos(theta));
    sin[k] = toBfloat16(Math.sin(theta));
  }
  return (bfloat16Tables = { radius, cos, sin });
}

function turnBfloat16(a: Float32Array, at: number): void {
  const { radius, cos, sin } = tablesOfBfloat16();
  for (let j = at; j < at + 8; j++) {
    const r = radius[a[j]! * 256]!;
    const k = a[j + 8]! * 256;
    a[j] = toBfloat16(r * cos[k]!) + 0;
    a[j + 8] = toBfloat16(r * sin[k]!) + 0;
  }
}

/**
 * torch.Generator('cpu') with a seed, and torch.randn drawn from it: the same bits as PyTorch's x86 build with AVX2 (ATen native/cpu/DistributionTemplates.h,
 * core/MT19937RNGEngine.h, core/DistributionsHelper.h, avx_mathfun.h). PyTorch on ARM, without AVX2, or on a GPU draws other numbers.
 */
export class Generator {
  readonly #words = new Uint32Array(WORDS);
  #position = WORDS;
  #sine: number | undefined; // a short draw makes normals in twos; the second waits here for the next short draw

  /** @param seed 0 to 2^64 - 1; PyTorch uses its low 32 bits. Throws a RangeError for anything else. */
  constructor(seed: number | bigint) {
    if (typeof seed === 'number' ? !Number.isSafeInteger(seed) || seed < 0 : seed < 0n || seed >= 1n << 64n) {
      throw new RangeError(
        `The seed ${seed} is not a whole number from 0 to 18446744073709551615; choose one that is (above 2^53 as a bigint).`,
      );
    }
    let word = Number(BigInt(seed) & 0xffffffffn);
    this.#words[0] = word;
    for (let i = 1; i < WORDS; i++) {
      word = (Math.imul(word ^ (word >>> 30), 1812433253) + i) >>> 0;
      this.#words[i] = word;
    }
  }

  /**
   * Draws standard normals: what `torch.randn(shape, generator=..., dtype=...)` draws next.
   * @param shape sizes; their product is the length of the result
   * @param dtype bfloat16 values come widened to float32
   */
  randn(shape: readonly number[], dtype: NoiseDType = 'float32'): Float32Array {
    const size = shape.reduce((product, n) => product * n, 1);
    if (!Number.isSafeInteger(size) || size < 0)
      throw new RangeError(`randn: the shape [${shape.join(', ')}] has no size; give whole numbers that are not negative.`);
    const a = new Float32Array(size);
    if (size < 16) {
      for (let i = 0; i < size; i++) a[i] = dtype === 'bfloat16' ? toBfloat16(this.#boxMuller()) : this.#boxMuller();
      return a;
    }
    const turn = dtype === 'bfloat16' ? turnBfloat16 : turnSingle;
    this.#fill(a, 0, dtype);
    for (let at = 0; at + 16 <= size; at += 16) turn(a, at);
    if (size % 16 !== 0) {
      // The last 16 places are drawn anew, those that overlap included.
      this.#fill(a, size - 16, dtype);
      turn(a, size - 16);
    }
    return a;
  }

  /** Everything that later draws depend on, as bytes for `Generator.restore`. */
  state(): Uint8Array {
    const bytes = new Uint8Array(STATE_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, STATE_VERSION, true);
    this.#words.forEach((word, i) => view.setUint32(4 + 4 * i, word, true));
    view.setUint32(4 + 4 * WORDS, this.#position, true);
    view.setUint8(8 + 4 * WORDS, this.#sine === undefined ? 0 : 1);
    view.setFloat64(9 + 4 * WORDS, this.#sine ?? 0, true);
    return bytes;
  }

  /** A generator that goes on where the one whose `state()` this is stood. Throws when the bytes are not such a state. */
  static restore(state: Uint8Array): Generator {
    const view = new DataView(state.buffer, state.byteOffset, state.byteLength);
    const whole = state.byteLength === STATE_BYTES && view.getUint32(0, true) === STATE_VERSION;
    const position = whole ? view.getUint32(4 + 4 * WORDS, true) : 0;
    const kept = whole ? view.getUint8(8 + 4 * WORDS) : 0;
    if (!whole || position > WORDS || kept > 1) {
      throw new Error(`The noise generator's state (${state.byteLength} bytes) is not one that this version wrote; start the clip anew.`);
    }
    const generator = new Generator(0);
    for (let i = 0; i < WORDS; i++) generator.#words[i] = view.getUint32(4 + 4 * i, true);
    generator.#position = position;
    generator.#sine = kept === 1 ? view.getFloat64(9 + 4 * WORDS, true) : undefined;
    return generator;
  }

  /** The next 32 random bits (mt19937, tempered). */
  #next(): number {
    if (this.#position >= WORDS) this.#twist();
    let y = this.#words[this.#position++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #twist(): void {
    const w = this.#words;
    for (let i = 0; i < WORDS; i++) {
      const mixed = (w[i]! & 0x80000000) | (w[i + 1 < WORDS ? i + 1 : 0]! & 0x7fffffff);
      w[i] = w[i + HALF < WORDS ? i + HALF : i + HALF - WORDS]! ^ (mixed >>> 1) ^ ((mixed & 1) === 0 ? 0 : 0x9908b0df);
    }
    this.#position = 0;
  }

  /** Uniforms of [0, 1) from `at` to the end: as many low bits of one draw as the dtype's significand has. */
  #fill(a: Float32Array, at: number, dtype: NoiseDType): void {
    if (dtype === 'bfloat16') for (let i = at; i < a.length; i++) a[i] = (this.#next() & 0xff) / 256;
    else for (let i = at; i < a.length; i++) a[i] = (this.#next() & 0xffffff) / 16777216;
  }

  /** A uniform of [0, 1) with 53 bits, from two draws, the high word first. */
  #uniformDouble(): number {
    const high = this.#next() & 0x1fffff;
    return (high * 4294967296 + this.#next()) / 9007199254740992;
  }

  #boxMuller(): number {
    if (this.#sine !== undefined) {
      const kept = this.#sine;
      this.#sine = undefined;
      return kept;
    }
    const u1 = this.#uniformDouble();
    const u2 = this.#uniformDouble();
    const r = Math.sqrt(-2 * Math.log1p(-u2));
    const theta = 2 * Math.PI * u1;
    this.#sine = r * Math.sin(theta);
    return r * Math.cos(theta);
  }
}
