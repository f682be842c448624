/** @file Graph -> ONNX bytes, the same bytes for the same graph. The wire format is a few lines, so no protobuf library. */
import { rows, type Ops } from './ops.ts';
import {
  Value,
  isList,
  isValues,
  reachable,
  size,
  valuesOf,
  type Attrs,
  type Constant,
  type DType,
  type Graph,
  type Node,
  type Type,
} from './graph.ts';

/** Where a weight lies: a byte range of a file. `location` is relative to the folder given when the bytes are loaded ('/'). */
export interface Stored {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

/** TensorProto.DataType */
const dataType: Record<DType, number> = { float32: 1, int64: 7, float16: 10, bfloat16: 16 };
export const bytesOf: Readonly<Record<DType, number>> = { float32: 4, int64: 8, float16: 2, bfloat16: 2 };

type Bytes = Uint8Array;
const utf8 = new TextEncoder();

function varint(n: number | bigint): number[] {
  const out: number[] = [];
  let v = BigInt.asUintN(64, BigInt(n));
  do {
    out.push(Number(v & 127n) | (v > 127n ? 128 : 0));
    v >>= 7n;
  } while (v);
  return out;
}

function concat(parts: readonly Bytes[]): Bytes {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

// One function a kind of protobuf field; the first argument is the field's number in onnx.proto.
const int = (field: number, n: number | bigint): Bytes => Uint8Array.from([...varint(field << 3), ...varint(n)]);
const float = (field: number, x: number): Bytes =>
  concat([Uint8Array.from(varint((field << 3) | 5)), new Uint8Array(Float32Array.of(x).buffer)]);
const bytes = (field: number, b: Bytes): Bytes => concat([Uint8Array.from([...varint((field << 3) | 2), ...varint(b.length)]), b]);
const str = (field: number, s: string): Bytes => bytes(field, utf8.encode(s));
const message = (field: number, ...parts: Bytes[]): Bytes => bytes(field, concat(parts));

/** float32 to the bits of a 16-bit float, to nearest, ties to even; what is too large becomes infinity. */
export function toBits(data: ArrayLike<number>, dtype: 'float16' | 'bfloat16'): Uint16Array {
  const f = Float32Array.from(data);
  const u = new Uint32Array(f.buffer);
  return Uint16Array.from(u, (b, i) => {
    if (Number.isNaN(f[i])) return dtype === 'bfloat16' ? 0x7fc0 : 0x7e00;
    if (dtype === 'bfloat16') return (b + 0x7fff + ((b >>> 16) & 1)) >>> 16;
    const sign = (b >>> 16) & 0x8000;
    const a = Math.abs(f[i]!);
    if (a >= 65520) return sign | 0x7c00;
    if (a < 2 ** -14) return sign | even(a * 2 ** 24); // subnormal: units of 2^-24
    const rounded = (b & 0x7fffffff) + 0xfff + ((b >>> 13) & 1);
    return sign | ((rounded - (112 << 23)) >>> 13);
  });
}

/** To the nearest integer, ties to even; x >= 0. */
function even(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}

/** The bits of 16-bit floats as float32. */
export function fromBits(bits: Uint16Array, dtype: 'float16' | 'bfloat16'): Float32Array {
  if (dtype === 'bfloat16') return new Float32Array(Uint32Array.from(bits, b => b << 16).buffer);
  return Float32Array.from(bits, b => {
    const sign = b & 0x8000 ? -1 : 1;
    const exponent = (b >>> 10) & 31;
    const fraction = b & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return exponent ? sign * 2 ** (exponent - 25) * (1024 + fraction) : sign * 2 ** -24 * fraction;
  });
}

function raw(data: Constant, type: Type): Bytes {
  const n = size(type.shape);
  const all =
    data.length === n ? data : data instanceof BigInt64Array ? new BigInt64Array(n).fill(data[0]!) : new Float32Array(n).fill(data[0]!);
  if (type.dtype === 'float16' || type.dtype === 'bfloat16') return new Uint8Array(toBits(all as Float32Array, type.dtype).buffer);
  return new Uint8Array(all.buffer, all.byteOffset, all.byteLength);
}

const tensor = (name: string, t: Type, data: readonly Bytes[]): Bytes =>
  message(5, ...t.shape.map(d => int(1, d)), int(2, dataType[t.dtype]), str(8, name), ...data);
const valueInfo = (field: number, name: string, t: Type): Bytes =>
  message(field, str(1, name), message(2, message(1, int(1, dataType[t.dtype]), message(2, ...t.shape.map(d => message(1, int(1, d)))))));

function attribute(name: string, v: Attrs[string], isFloat: boolean): Bytes {
  if (v === undefined) return new Uint8Array();
  if (name === 'to') return message(5, str(1, name), int(3, dataType[v as DType]), int(20, 2));
  if (typeof v === 'string') return message(5, str(1, name), str(4, v), int(20, 3));
  if (typeof v === 'number')
    return isFloat ? message(5, str(1, name), float(2, v), int(20, 1)) : message(5, str(1, name), int(3, v), int(20, 2));
  return message(5, str(1, name), ...v.map(n => int(8, n)), int(20, 7));
}

/** An ONNX model of what the outputs need. Initializers are external data where `stored` says they lie.
 * @throws if two outputs or an output and an input share a name, or a weight's bytes do not fit its shape */
export function encode(g: Graph, outputs: Record<string, Value>, stored: (name: string) => Stored): Uint8Array {
  const nodes = endsLast(reachable(g, Object.values(outputs)), Object.values(outputs));
  const parts: Bytes[] = [];
  const lists = new Set<string>();
  const ints = (v: readonly number[]): string => {
    const name = `[${v.join(',')}]`;
    if (!lists.has(name))
      parts.push(tensor(name, { dtype: 'int64', shape: [v.length] }, [bytes(9, new Uint8Array(BigInt64Array.from(v, BigInt).buffer))]));
    lists.add(name);
    return name;
  };
  for (const n of nodes) {
    const y = n.outputs[0]!;
    if (n.op === 'input') parts.push(valueInfo(11, y.name, y));
    else if (n.op === 'constant') parts.push(tensor(y.name, y, [bytes(9, raw(n.data!, y))]));
    else if (n.op === 'initializer') parts.push(tensor(y.name, y, external(y, stored(y.name))));
    else parts.push(operator(n, ints));
  }
  for (const [name, v] of Object.entries(outputs)) {
    if (g.named.has(name)) throw new Error(`encode: output ${name} has the name of an ${g.named.get(name)!.node.op}; give it another`);
    parts.push(message(1, str(1, v.name), str(2, name), str(4, 'Identity')), valueInfo(12, name, v));
  }
  const graph = message(7, ...parts, str(2, 'graph'));
  return concat([
    int(1, 10),
    str(2, 'protagonist'),
    graph,
    message(8, int(2, opset(nodes))),
    message(8, str(1, 'com.microsoft'), int(2, 1)),
  ]);
}

/** Conv knows bfloat16 from opset 22 on; there InstanceNormalization is no longer on CUDA, so every other graph stays at 20. */
const opset = (nodes: readonly Node[]): number => (nodes.some(n => n.op === 'Conv' && n.outputs[0]!.dtype === 'bfloat16') ? 22 : 20);

/** Nodes that nothing reads come last, in the outputs' order. ONNX Runtime begins at the last of them and computes what it needs, then goes on to the one before:
 * so an output named last is ready first, and what it is made of can go. */
function endsLast(nodes: readonly Node[], outputs: readonly Value[]): readonly Node[] {
  const read = new Set(nodes.flatMap(n => valuesOf(n.args)));
  const ends = new Set(outputs.map(v => v.node).filter(n => n.args.length > 0 && !n.outputs.some(v => read.has(v))));
  return [...nodes.filter(n => !ends.has(n)), ...ends];
}

function external(y: Value, s: Stored): Bytes[] {
  const wanted = size(y.shape) * bytesOf[y.dtype];
  if (s.length !== wanted)
    throw new Error(
      `encode: ${y.name} takes ${wanted} bytes as ${y.dtype}[${y.shape.join(',')}], ${s.location} holds ${s.length}; is it another dtype there?`,
    );
  const entries = { location: s.location, offset: String(s.offset), length: String(s.length) };
  return [...Object.entries(entries).map(([k, v]) => message(13, str(1, k), str(2, v))), int(14, 1)];
}

function operator(n: Node, ints: (list: readonly number[]) => string): Bytes {
  const row = rows[n.op as keyof Ops];
  const inputs: string[] = [];
  let attrs: Attrs = {};
  for (const a of n.args) {
    if (a instanceof Value) inputs.push(a.name);
    else if (a === undefined) inputs.push('');
    else if (isValues(a)) inputs.push(...a.map(v => v.name));
    else if (isList(a)) inputs.push(ints(a));
    else attrs = a;
  }
  while (inputs.at(-1) === '') inputs.pop();
  return message(
    1,
    ...inputs.map(i => str(1, i)),
    ...n.outputs.map(o => str(2, o.name)),
    str(3, n.outputs[0]!.name),
    str(4, n.op),
    ...Object.entries(attrs).map(([k, v]) => attribute(k, v, row.floats?.includes(k) ?? false)),
    ...(row.domain ? [str(7, row.domain)] : []),
  );
}
