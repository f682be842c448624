/** @file Graph -> graph. Every pass is `replay` with a rule that says what to write instead of a node. */
import { Graph, Value, isValues, reachable, size, valuesOf, type Arg, type DType, type Node } from './graph.ts';
import { rows, type Ops } from './ops.ts';

/** What to write instead of `node`, whose arguments are already those of the new graph; undefined: the same again. */
export interface Rule {
  (g: Graph, node: Node, args: readonly Arg[]): Value | readonly Value[] | undefined;
  /** What leaves the graph as `name` where `was` left it; the value itself if there is no such rule. */
  output?(g: Graph, value: Value, was: Value, name: string): Value;
  /** Called when all is written: the time to refuse. */
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
    for (const [i, v] of n.outputs.entries()) map.set(v, now instanceof Value ? now : now[i]!);
  }
  const left = Object.entries<Value>(outputs).map(([k, v]) => [k, rule.output?.(to, map.get(v)!, v, k) ?? map.get(v)!]);
  rule.finish?.();
  return { g: to, outputs: Object.fromEntries(left) as Record<K, Value> };
}

/** A node as it was, with its new arguments. */
function again(g: Graph, n: Node, args: readonly Arg[]): Value | readonly Value[] {
  const y = n.outputs[0]!;
  if (n.op === 'input') return g.input(y.name, y.shape, y.dtype);
  if (n.op === 'initializer') return leaf(g, y, y.dtype);
  if (n.op === 'constant') return constant(g, n, y.dtype);
  return manyOrOne(g.write(n.op, args));
}
const manyOrOne = (outputs: readonly Value[]): Value | readonly Value[] => (outputs.length === 1 ? outputs[0]! : outputs);
/** The numbers of a constant once more; one number fills its shape. */
function constant(g: Graph, { data, outputs }: Node, dtype: DType): Value {
  const { shape } = outputs[0]!;
  return g.constant(data!.length === size(shape) ? data! : Number(data![0]), dtype, shape);
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
 * Some of it stays float32: see `wideNodes`. Use: `replay(g, outputs, precision(g, outputs, 'float16', stored))`.
 * @param from the graph that will be replayed
 * @param stored the dtype in the file of an initializer by its name; float32 if not said
 * @param between inputs and outputs, by name, that are in `dtype` at the edge too: those that go from one run to the next and are read by nobody */
export function precision(
  from: Graph,
  outputs: Record<string, Value>,
  dtype: DType,
  stored: (name: string) => DType = () => 'float32',
  between: (name: string) => boolean = () => false,
): Rule {
  const { wide, scaled } = wideNodes(reachable(from, Object.values(outputs)), dtype);
  const casts = new Map<Value, Map<DType, Value>>();
  const as = (g: Graph, v: Value, to: DType): Value => {
    if (v.dtype === to) return v;
    const known = casts.get(v) ?? new Map<DType, Value>();
    const y = known.get(to) ?? (v.node.op === 'constant' ? constant(g, v.node, to) : g.Cast(v, { to }));
    casts.set(v, known.set(to, y));
    return y;
  };
  const rule: Rule = (g, n, args) => {
    const y = n.outputs[0]!;
    if (n.op === 'initializer' && y.dtype === 'float32') return leaf(g, y, stored(y.name));
    if (n.op === 'input' && y.dtype === 'float32' && between(y.name)) return g.input(y.name, y.shape, dtype);
    if (n.op === 'input' || n.op === 'initializer' || n.op === 'constant' || n.op === 'Gather') return undefined; // cast where they are read; of a table only the rows
    const want = wide.has(n) ? 'float32' : dtype;
    const cast = (a: Arg, was: Arg): Arg => (a instanceof Value && was instanceof Value && was.dtype === 'float32' ? as(g, a, want) : a);
    const now = args.map((a, i) =>
      isValues(a) ? a.map((v, j) => cast(v, (n.args[i] as readonly Value[])[j]) as Value) : cast(a, n.args[i]),
    );
    if (n.op === 'Cast') return y.dtype === 'float32' ? (now[0] as Value) : undefined;
    if (!scaled.has(n)) return manyOrOne(g.write(n.op, now));
    const [A, B, attrs] = now as Parameters<Ops['FusedMatMul']>;
    return g.Mul(g.Cast(g.FusedMatMul(A, B, { ...attrs, alpha: (attrs?.alpha ?? 1) / headroom }), { to: 'float32' }), headroom);
  };
  rule.output = (g, v, was, name) => as(g, v, was.dtype === 'float32' && between(name) ? dtype : was.dtype);
  return rule;
}

/** A float16 product may be this many times 65504 before it overflows: its sum is kept in float32 and scaled before it is rounded. */
const headroom = 64;

/** What `precision` computes in float32 whatever is asked.
 * `wide`: trigonometry and all that leads to it (a timestep of 999 is 1000 in bfloat16). In float16 also the running sum before a SimplifiedLayerNormalization: T5 was trained
 * in bfloat16, and its residual stream leaves float16's range. `scaled`: the products that are added to such a sum; their operands stay narrow. */
function wideNodes(nodes: readonly Node[], dtype: DType): { wide: ReadonlySet<Node>; scaled: ReadonlySet<Node> } {
  const wide = new Set<Node>();
  const angles = new Set<Node>();
  const sums = new Set<Node>();
  const scaled = new Set<Node>();
  if (dtype === 'float32') return { wide, scaled };
  for (const n of nodes.toReversed()) {
    if (n.op === 'Sin' || n.op === 'Cos') angles.add(n);
    if (angles.has(n)) for (const v of valuesOf(n.args)) angles.add(v.node);
    if (dtype !== 'float16') continue;
    if (n.op === 'SimplifiedLayerNormalization') {
      wide.add(n);
      sums.add((n.args[0] as Value).node);
    }
    if (!sums.has(n)) continue;
    if (n.op === 'FusedMatMul') scaled.add(n);
    if (n.op !== 'Add') continue;
    wide.add(n);
    for (const v of valuesOf(n.args)) sums.add(v.node);
  }
  return { wide: wide.union(angles), scaled };
}

/** A LoRA by the module paths of the checkpoint; A and B are the names its tensors get in the graph. */
export interface LoraAdapter {
  readonly scale: number;
  readonly modules: ReadonlyMap<string, { readonly rank: number; readonly alpha: number; readonly A: string; readonly B: string }>;
}

/** y + Σ scale alpha/rank (x Aᵀ) Bᵀ beside every product or convolution with an adapted weight, several adapters at once.
 * Matrices that train or are swapped are inputs, fixed ones initializers; folded ones are added to the weight, W + Σ scale alpha/rank B A, which ONNX Runtime computes
 * once while it loads where it folds constants (CPU). A [rank, in, ...k], B [out, rank, ...1].
 * @throws after the replay if a module of an adapter is not in the graph */
export function lora(adapters: readonly LoraAdapter[], as: 'input' | 'initializer' | 'folded'): Rule {
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
    let y = as === 'folded' ? w : g.write(n.op, args)[0]!;
    for (const adapter of adapters) {
      const m = adapter.modules.get(path);
      if (!m) continue;
      const [out, ...rest] = weight.shape as readonly [number, ...number[]];
      const make = (name: string, shape: readonly number[]): Value =>
        as === 'input' ? at.input(name, shape) : at.root().initializer(name, shape);
      const A = make(m.A, [m.rank, ...rest]);
      const B = make(m.B, [out, m.rank, ...rest.slice(1).map(() => 1)]);
      const scale = (adapter.scale * m.alpha) / m.rank;
      if (as === 'folded') y = at.Add(y, at.Reshape(at.FusedMatMul(flat(at, B), flat(at, A), { alpha: scale }), w.shape));
      else y = g.Add(y, n.op === 'Conv' ? viaConv(at, x, n, A, B, scale) : viaProduct(at, x, A, B, scale));
    }
    return as === 'folded' ? g.write(n.op, [x, y, ...args.slice(2)])[0]! : y;
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
  return g.FusedMatMul(g.FusedMatMul(x, flat(g, A), { transB: 1 }), flat(g, B), { transB: 1, alpha });
}
const flat = (g: Graph, v: Value): Value => (v.shape.length === 2 ? v : g.Reshape(v, [v.shape[0]!, -1]));
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

/** A convolution over time, height and width, causal in time (no padding there, stride 1), as one over height and width for every frame it yields: the kt frames it reads lie beside
 * each other for every channel, as its weight does, so that the weight is read as [O, I kt, kh, kw] from the same bytes. For CPUs: ONNX Runtime has fast 2-D kernels only. Measured on
 * a decoder of 32 to 96 channels at 128x128, one thread: 0.95 s instead of 1.35; all frames in one batch take 1.45, for their transposes. */
export const conv3dAs2d: Rule = (g, n, args) => {
  if (n.op !== 'Conv') return undefined;
  const [X, W, B, { strides, pads, dilations }] = args as unknown as Parameters<Ops['Conv']>;
  const [N, C, F, H, width] = X.shape as readonly [number, number, number, number, number];
  const [O, , kt, kh, kw] = W.shape as readonly [number, number, number, number, number];
  if (X.shape.length !== 5 || kt === 1 || strides[0] !== 1 || pads[0] !== 0 || pads[3] !== 0 || (dilations?.[0] ?? 1) !== 1)
    return undefined;
  const attrs = {
    strides: strides.slice(1),
    pads: [pads[1]!, pads[2]!, pads[4]!, pads[5]!],
    ...(dilations && { dilations: dilations.slice(1) }),
  };
  const weight = g.Reshape(W, [O, C * kt, kh, kw]);
  const frames = Array.from({ length: F - kt + 1 }, (_, t) => {
    const read = F === kt ? X : g.Slice(X, [t], [t + kt], [2]); // [N, C, kt, H, W]
    const y = g.Conv(g.Reshape(read, [N, C * kt, H, width]), weight, B, attrs); // [N, O, h, w]
    return g.Reshape(y, [N, O, 1, ...y.shape.slice(2)]);
  });
  return frames.length === 1 ? frames[0]! : g.Concat(frames, { axis: 2 }); // [N, O, T, h, w]
};

/** An Expand of single columns, [..., w, 1] -> [..., w, k], as a product with a matrix of zeros and ones: exact, and on CPUs faster, since ONNX Runtime copies number by number along a last
 * axis of one. Measured on the same decoder: a tenth of its time. */
export const stretchByProduct: Rule = (g, n, args) => {
  if (n.op !== 'Expand') return undefined;
  const [X, to] = args as unknown as Parameters<Ops['Expand']>;
  const from = X.shape,
    [w, k] = [from.at(-2) ?? 0, to.at(-1) ?? 0];
  if (
    X.dtype !== 'float32' ||
    from.length !== to.length ||
    from.at(-1) !== 1 ||
    k < 2 ||
    w > 256 ||
    from.slice(0, -1).some((size, i) => size !== to[i])
  )
    return undefined;
  const ones = new Float32Array(w * w * k);
  for (let i = 0; i < w; i++) ones.fill(1, i * w * k + i * k, i * w * k + (i + 1) * k);
  return g.Reshape(g.FusedMatMul(g.Reshape(X, [-1, w]), g.constant(ones, 'float32', [w, w * k])), to);
};
