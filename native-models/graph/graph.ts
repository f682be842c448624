/** @file A graph is a list of nodes in the order they were written. Immutable values, static shapes, ONNX's own words. */
import { Refusal, rows, type Ops } from './ops.ts';

export type DType = 'float32' | 'float16' | 'bfloat16' | 'int64';
export interface Type {
  readonly dtype: DType;
  readonly shape: readonly number[];
}
export type Attrs = Readonly<Record<string, number | string | readonly number[] | undefined>>;
/** What may stand between an op's brackets: a tensor, a list of tensors (Concat), integers known now (Reshape's shape), nothing, or the attributes. */
export type Arg = Value | readonly Value[] | readonly number[] | Attrs | undefined;
/** The numbers of a constant: BigInt64Array for int64, Float32Array for every float dtype (rounded when it is written out). */
export type Constant = Float32Array | BigInt64Array;

export interface Node {
  readonly op: keyof Ops | 'input' | 'initializer' | 'constant';
  readonly args: readonly Arg[];
  /** The checkpoint path it was written at. */
  readonly path: string;
  readonly outputs: readonly Value[];
  /** Of a constant: all its elements, or one that fills its shape. */
  readonly data?: Constant;
}

/** One tensor of a graph: what a node yields. */
export class Value implements Type {
  readonly node: Node;
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  constructor(node: Node, name: string, type: Type) {
    this.node = node;
    this.name = name;
    this.dtype = type.dtype;
    this.shape = type.shape;
  }
}

/** `float32[2,3]` */
export const text = (t: Type): string => `${t.dtype}[${t.shape.join(',')}]`;
/** The number of elements. */
export const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
export const isList = (a: unknown): a is readonly unknown[] => Array.isArray(a);
export const isValues = (a: unknown): a is readonly Value[] => isList(a) && a[0] instanceof Value;
/** The tensors among a node's arguments, lists opened. */
export const valuesOf = (args: readonly Arg[]): Value[] =>
  args.flatMap((a): readonly unknown[] => (isList(a) ? a : [a])).filter(a => a instanceof Value);
const join = (a: string, b: string | number): string => (a ? `${a}.${b}` : String(b));

/** A graph under construction, seen from one path. Every op of the table is a method: `g.Add(a, b)`. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class Graph {
  readonly path: string;
  readonly nodes: Node[];
  /** Inputs and initializers: one of each name. */
  readonly named: Map<string, Value>;
  readonly #counts: Map<string, number>;

  constructor(parent?: Graph, path = '') {
    this.path = path;
    this.nodes = parent?.nodes ?? [];
    this.named = parent?.named ?? new Map<string, Value>();
    this.#counts = parent ? parent.#counts : new Map<string, number>();
  }

  /** The same graph from one level down: what is written there is named `path.name`, as in the checkpoint. */
  at(path: string | number): Graph {
    return new Graph(this, join(this.path, path));
  }

  /** The same graph from a path given in full. */
  root(path = ''): Graph {
    return new Graph(this, path);
  }

  /** A tensor given at every run. Its name stands as it is, whatever the path. @throws if the name is taken by something else */
  input(name: string, shape: readonly number[], dtype: DType = 'float32'): Value {
    return this.#leaf('input', name, { dtype, shape });
  }

  /** A tensor of the checkpoint, by the name it has there: the path and `name`. @throws if the name is taken by something else */
  initializer(name: string, shape: readonly number[], dtype: DType = 'float32'): Value {
    return this.#leaf('initializer', join(this.path, name), { dtype, shape });
  }

  /** Numbers known now. A single number fills `shape`. @throws if the numbers do not fill the shape */
  constant(
    data: number | readonly number[] | readonly bigint[] | Float32Array | Float64Array | BigInt64Array,
    dtype: DType = 'float32',
    shape: readonly number[] = typeof data === 'number' ? [] : [data.length],
  ): Value {
    const list = typeof data === 'number' ? [data] : data;
    if (typeof data !== 'number' && list.length !== size(shape))
      throw new Error(`constant: ${list.length} numbers do not fill [${shape.join(',')}] at ${this.path || 'the top'}`);
    return this.#write('constant', [], [{ dtype, shape }], undefined, numbers(list, dtype))[0]!;
  }

  #leaf(op: 'input' | 'initializer', name: string, type: Type): Value {
    const known = this.named.get(name);
    if (known && (known.node.op !== op || text(known) !== text(type)))
      throw new Error(`${op} ${name}: already there as ${known.node.op} ${text(known)}, now wanted as ${text(type)}; give it another name`);
    if (type.shape.some(n => !Number.isInteger(n) || n < 0)) throw new Error(`${op} ${name}: [${type.shape.join(',')}] is not a shape`);
    const value = known ?? this.#write(op, [], [type], name)[0]!;
    this.named.set(name, value);
    return value;
  }

  /** Every op method ends here. Bare numbers become constants of the first tensor's dtype.
   * @throws one sentence with op, operands and path if the row refuses */
  write(op: keyof Ops, given: readonly (Arg | number)[]): readonly Value[] {
    const dtype = given.find(a => a instanceof Value)?.dtype ?? 'float32';
    const args = given.map(a => (typeof a === 'number' ? this.constant(a, dtype) : a));
    try {
      const types = (rows[op].infer as (...a: readonly Arg[]) => Type | readonly Type[])(...args);
      return this.#write(op, args, isList(types) ? types : [types]);
    } catch (e) {
      if (!(e instanceof Refusal)) throw e;
      throw new Error(`${op}: ${e.message}, ${valuesOf(args).map(text).join(' x ')} at ${this.path || 'the top'}`, { cause: e });
    }
  }

  #write(op: Node['op'], args: readonly Arg[], types: readonly Type[], name?: string, data?: Constant): readonly Value[] {
    const outputs: Value[] = [];
    const node: Node = { op, args, path: this.path, outputs, ...(data && { data }) };
    const key = join(this.path, op);
    const n = this.#counts.get(key) ?? 0;
    this.#counts.set(key, n + 1);
    for (const [i, t] of types.entries()) outputs.push(new Value(node, name ?? `${key}_${n}${types.length > 1 ? `.${i}` : ''}`, t));
    this.nodes.push(node);
    return outputs;
  }
}

// The op methods are made from the table, so that an op is written once.
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging, @typescript-eslint/no-empty-object-type -- the loop below gives the class what the interface says
export interface Graph extends Ops {}
for (const op of Object.keys(rows) as (keyof Ops)[]) {
  const method = function (this: Graph, ...args: (Arg | number)[]): Value | readonly Value[] {
    const outputs = this.write(op, args);
    return rows[op].many ? outputs : outputs[0]!;
  };
  Object.assign(Graph.prototype, { [op]: method });
}

function numbers(list: ArrayLike<number> | ArrayLike<bigint>, dtype: DType): Constant {
  if (dtype === 'int64') return list instanceof BigInt64Array ? list : BigInt64Array.from(list as ArrayLike<number>, BigInt);
  return list instanceof Float32Array ? list : Float32Array.from(list as ArrayLike<number>, Number);
}

/** The nodes that the outputs need, in order. There is no other dead-code elimination. */
export function reachable(g: Graph, outputs: Iterable<Value>): Node[] {
  const wanted = new Set<Node>(Array.from(outputs, v => v.node));
  for (const node of g.nodes.toReversed()) if (wanted.has(node)) for (const v of valuesOf(node.args)) wanted.add(v.node);
  return g.nodes.filter(n => wanted.has(n));
}
