/** @file Graph -> graph. Every pass is `replay` with a rule that says what to write instead of a node. */
import { Graph, Value, isList, isValues, reachable, valuesOf, type Arg, type DType, type Node } from './graph.ts';
import { rows, type Ops } from './ops.ts';

/** What to write instead of `node`, whose arguments are already those of the new graph; undefined: the same again. `finish` is called when all is written. */
export interface Rule {
  (g: Graph, node: Node, args: readonly Arg[]): Value | readonly Value[] | undefined;
  finish?(): void;
}

/** The graph written again, node by node; shapes and dtypes are inferred anew. */
export function replay<K extends string>(from: Graph, outputs: Record<K, Value>, rule: Rule): { g: Graph; outputs: Record<K, Value> } {
  const to = new Graph();
  const map = new Map<Value, Value>();
  const moved = (a: Arg): Arg => (a instanceof Value ? map.get(a) : isValues(a) ? a.map(v => map.get(v)!) : a);
  for (const n of reachable(from, Object.values<Value>(outputs))) {
    const args = n.args.map(moved);
    const now = rule(to.root(n.path), n, args) ?? again(to.root(n.path), n, args);
    for (const [i, v] of n.outputs.entries()) map.set(v, isList(now) ? (now as readonly Value[])[i]! : (now as Value));
  }
  rule.finish?.();
  return { g: to, outputs: Object.fromEntries(Object.entries<Value>(outputs).map(([k, v]) => [k, map.get(v)!])) as Record<K, Value> };
}

/** A node as it was, with its new arguments. */
function again(g: Graph, n: Node, args: readonly Arg[]): Value | readonly Value[] {
  const y = n.outputs[0]!;
  if (n.op === 'input') return g.input(y.name, y.shape, y.dtype);
  if (n.op === 'initializer') return leaf(g, y, y.dtype);
  if (n.op === 'constant') return g.constant(n.data!.length === 1 ? Number(n.data![0]) : n.data!, y.dtype, y.shape);
  return g.write(n.op, args);
}
/** An initializer by the whole name it has. */
const leaf = (g: Graph, y: Value, dtype: DType): Value =>
  g.path && y.name.startsWith(`${g.path}.`)
    ? g.initializer(y.name.slice(g.path.length + 1), y.shape, dtype)
    : g.root().initializer(y.name, y.shape, dtype);

/** Ops that `lacking` names, written in simpler ones: for a device without the kernel, or before differentiating an op without a rule. */
export const expand =
  (lacking: (op: keyof Ops, node: Node) => boolean): Rule =>
  (g, n, args) => {
    const row = rows[n.op as keyof Ops] as { expand?: (g: Graph, ...args: readonly Arg[]) => Value } | undefined;
    return row?.expand && lacking(n.op as keyof Ops, n) ? row.expand(g, ...args) : undefined;
  };

/** Everything inside in `dtype`, float32 at the edges. Initializers keep the dtype that `stored` says they have in their file and are Cast inside.
 * What leads to a Sin or Cos stays float32: a timestep of 999 is 1000 in bfloat16. Use: `replay(g, outputs, precision(g, outputs, 'float16', stored))`. */
export function precision(
  from: Graph,
  outputs: Record<string, Value>,
  dtype: DType,
  stored: (name: string) => DType = () => 'float32',
): Rule {
  const exact = new Set<Node>(); // trigonometry and all that leads to it
  const results = new Set(Object.values(outputs));
  for (const n of from.nodes.toReversed()) {
    if (n.op === 'Sin' || n.op === 'Cos') exact.add(n);
    if (exact.has(n)) for (const v of valuesOf(n.args)) exact.add(v.node);
  }
  const wide = new Map<Value, Value>(); // an exact value read by something inside: its narrow copy
  const narrow = (g: Graph, v: Value): Value => {
    if (v.dtype !== 'float32' || dtype === 'float32') return v;
    const known = wide.get(v) ?? g.Cast(v, { to: dtype });
    wide.set(v, known);
    return known;
  };
  void results;
  return (g, n, args) => {
    const y = n.outputs[0]!;
    if (n.op === 'initializer') {
      const kept = y.dtype === 'float32' ? stored(y.name) : y.dtype;
      const value = leaf(g, y, kept);
      const want = exact.has(n) ? 'float32' : dtype;
      return kept === want || y.dtype !== 'float32' ? value : g.Cast(value, { to: want });
    }
    if (exact.has(n) || y.dtype !== 'float32') return undefined;
    if (n.op === 'input') return narrow(g, g.input(y.name, y.shape));
    if (n.op === 'constant') return g.constant(n.data!.length === 1 ? Number(n.data![0]) : (n.data as Float32Array), dtype, y.shape);
    return g.write(
      n.op,
      args.map(a => (a instanceof Value ? narrow(g, a) : isValues(a) ? a.map(v => narrow(g, v)) : a)),
    );
  };
}

/** A LoRA by the module paths of the checkpoint; A and B are the names its tensors get in the graph. */
export interface LoraAdapter {
  readonly scale: number;
  readonly prefix: string;
  readonly modules: ReadonlyMap<string, { readonly rank: number; readonly alpha: number; readonly A: string; readonly B: string }>;
}

/** y + Σ scale alpha/rank (x Aᵀ) Bᵀ beside every product or convolution with an adapted weight, several adapters at once.
 * Matrices that train or are swapped are inputs, fixed ones initializers. A [rank, in, ...k], B [out, rank, ...1].
 * @throws after the replay if a module of an adapter is not in the graph */
export function lora(adapters: readonly LoraAdapter[], as: 'input' | 'initializer'): Rule {
  const left = new Set(adapters.flatMap(a => [...a.modules.keys()]));
  const rule: Rule = (g, n, args) => {
    const [x, w] = args;
    if ((n.op !== 'FusedMatMul' && n.op !== 'Conv') || !(w instanceof Value) || !(x instanceof Value)) return undefined;
    const weight = source(w);
    const path = weight?.name.replace(/\.weight$/, '');
    const fitting = adapters.flatMap(a => (path === undefined ? [] : (a.modules.get(path) ?? []))).length;
    if (!weight || path === undefined || !fitting) return undefined;
    left.delete(path);
    const at = g.root(path);
    let y = g.write(n.op, args)[0]!;
    for (const adapter of adapters) {
      const m = adapter.modules.get(path);
      if (!m) continue;
      const [out, ...rest] = weight.shape as readonly [number, ...number[]];
      const make = (name: string, shape: readonly number[]): Value =>
        as === 'input' ? at.input(name, shape) : at.root().initializer(name, shape);
      const A = make(m.A, [m.rank, ...rest]);
      const B = make(m.B, [out, m.rank, ...rest.slice(1).map(() => 1)]);
      const scale = (adapter.scale * m.alpha) / m.rank;
      y = g.Add(y, n.op === 'Conv' ? viaConv(at, x, n, A, B, scale) : viaProduct(at, x, A, B, scale));
    }
    return y;
  };
  rule.finish = () => {
    const [first] = left;
    if (first !== undefined)
      throw new Error(`lora: ${left.size} adapted modules are not in this model, first ${first}; the adapter is for another one`);
  };
  return rule;
}
/** A patch convolution may be written as a product over its patch: then A and B are flattened likewise. */
function viaProduct(g: Graph, x: Value, A: Value, B: Value, alpha: number): Value {
  const flat = (v: Value): Value => (v.shape.length === 2 ? v : g.Reshape(v, [v.shape[0]!, -1]));
  return g.FusedMatMul(g.FusedMatMul(x, flat(A), { transB: 1 }), flat(B), { transB: 1, alpha });
}
function viaConv(g: Graph, x: Value, n: Node, A: Value, B: Value, scale: number): Value {
  const axes = A.shape.length - 2;
  const attrs = n.args[3] as Parameters<Ops['Conv']>[3];
  const plain = { strides: Array<number>(axes).fill(1), pads: Array<number>(2 * axes).fill(0) };
  return g.Mul(g.Conv(g.Conv(x, A, undefined, attrs), B, undefined, plain), scale);
}
/** The initializer behind Casts and Reshapes. */
const source = (v: Value): Value | undefined => {
  if (v.node.op === 'initializer') return v;
  const [from] = v.node.args;
  return (v.node.op === 'Cast' || v.node.op === 'Reshape') && from instanceof Value ? source(from) : undefined;
};
