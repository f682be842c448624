/** @file THE table. One row an op: `infer` (its shape and dtype rule), `vjp` (its gradient, one entry an argument, in their order), `expand` (the same in simpler ops).
 * Names of ops, inputs and attributes are ONNX's, letter for letter. A row may compute more than is wanted: what no output reaches is never emitted. */
import type { Arg, DType, Graph, Type, Value } from './graph.ts';

type T = Value | number;
type Ints = readonly number[];

/** ONNX's signatures. A number where a tensor may stand becomes a constant of the first tensor's dtype. */
export interface Ops {
  Add(A: T, B: T): Value;
  Sub(A: T, B: T): Value;
  Mul(A: T, B: T): Value;
  Div(A: T, B: T): Value;
  Neg(X: Value): Value;
  Sqrt(X: Value): Value;
  Tanh(X: Value): Value;
  Sigmoid(X: Value): Value;
  Cos(X: Value): Value;
  Sin(X: Value): Value;
  Cast(input: Value, attrs: { to: DType }): Value;
  /** com.microsoft. Y = alpha A' B', where ' transposes the last two axes if asked: a Linear of torch is transB on its own layout. */
  FusedMatMul(A: Value, B: Value, attrs?: { transA?: 0 | 1; transB?: 0 | 1; alpha?: number }): Value;
  Softmax(input: Value, attrs: { axis: -1 }): Value;
  ReduceSum(data: Value, axes: Ints, attrs: { keepdims: 0 | 1 }): Value;
  ReduceMean(data: Value, axes: Ints, attrs: { keepdims: 0 | 1 }): Value;
  /** At most one -1 in the shape; a 0 is a size of 0, not a copy. */
  Reshape(data: Value, shape: Ints): Value;
  Transpose(data: Value, attrs: { perm: Ints }): Value;
  Expand(input: Value, shape: Ints): Value;
  Concat(inputs: readonly Value[], attrs: { axis: number }): Value;
  Split(input: Value, split: Ints, attrs: { axis: number }): readonly Value[];
  /** Steps of one; negative starts and ends count from the end. */
  Slice(data: Value, starts: Ints, ends: Ints, axes: Ints): Value;
  /** Zeros around: pads are all begins, then all ends. */
  Pad(data: Value, pads: Ints): Value;
  /** data [V, ...], indices int64 [...] -> [...indices, ...data.shape.slice(1)] */
  Gather(data: Value, indices: Value, attrs: { axis: 0 }): Value;
  /** data [V, ...] with updates [N, ...] added at the rows that indices [N, 1] name. */
  ScatterND(data: Value, indices: Value, updates: Value, attrs: { reduction: 'add' }): Value;
  /** X [N, C, ...s], W [O, C, ...k] -> [N, O, ...]; pads are all begins, then all ends; s has one, two or three axes. */
  Conv(X: Value, W: Value, B: Value | undefined, attrs: { strides: Ints; pads: Ints; dilations?: Ints }): Value;
  /** X [N, C, ...], scale and B [C]: each channel of each N by its own mean and variance. */
  InstanceNormalization(input: Value, scale: Value, B: Value, attrs: { epsilon: number }): Value;
  LayerNormalization(X: Value, Scale: Value, B: Value, attrs: { axis: -1; epsilon: number }): Value;
  /** X / sqrt(mean X² + epsilon) scale: T5's norm. */
  SimplifiedLayerNormalization(X: Value, scale: Value, attrs: { axis: -1; epsilon: number }): Value;
  Gelu(X: Value, attrs: { approximate: 'tanh' }): Value;
  /** com.microsoft. query [B, S, H D], key [B, L, H D], value [B, L, H E] -> [B, S, H E] */
  MultiHeadAttention(query: Value, key: Value, value: Value, attrs: { num_heads: number; scale: number }): Value;
  /** com.microsoft. input [B, H, S, D], caches [S, D/2]; position_ids must be [0], where the first row lies, or 0 ... S-1 for every B. */
  RotaryEmbedding(input: Value, position_ids: Value, cos_cache: Value, sin_cache: Value, attrs: { interleaved: 0 | 1 }): Value;
}

type Known<A> = A extends T ? Value : A; // rules see tensors: a bare number has become one
type KnownAll<P extends readonly unknown[]> = { [I in keyof P]: Known<P[I]> };
type Grads<Y> = Y extends readonly Value[] ? readonly (Value | undefined)[] : Value;
interface RuleOf<P extends readonly unknown[], Y> {
  domain?: 'com.microsoft';
  /** It yields a list. */
  many?: true;
  /** Attributes that are FLOAT in ONNX: a JavaScript 1 does not say. */
  floats?: readonly string[];
  infer(...args: KnownAll<P>): Y extends readonly Value[] ? readonly Type[] : Type;
  vjp?(g: Graph, dY: Grads<Y>, Y: Y, ...args: KnownAll<P>): readonly Arg[];
  /** The definition in simpler ops: the test's judge, and what runs (or is differentiated) where the op itself cannot be. */
  expand?(g: Graph, ...args: KnownAll<P>): Y;
}
export type Row<Op extends keyof Ops> = Ops[Op] extends (...args: infer P) => infer Y ? RuleOf<P, Y> : never;

/** Why a rule refuses; the graph adds op, operands and place. */
export class Refusal extends Error {}
const refuse = (why: string): never => {
  throw new Refusal(why);
};

const like = (t: Type, shape: Ints): Type => ({ dtype: t.dtype, shape });
const same = (X: Type): Type => like(X, X.shape);
const size = (shape: Ints): number => shape.reduce((a, b) => a * b, 1);
const sum = (list: Ints): number => list.reduce((a, b) => a + b, 0);
const at = (shape: Ints, axis: number): number => shape.at(axis) ?? refuse(`no axis ${axis}`);
const flip = (flag: 0 | 1 | undefined): 0 | 1 => (flag ? 0 : 1);
const list = (n: number, x: number): number[] => Array<number>(n).fill(x);

/** numpy's rule */
function broadcast(a: Ints, b: Ints): Ints {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const p = a[i - rank + a.length] ?? 1;
    const q = b[i - rank + b.length] ?? 1;
    return p === q || q === 1 ? p : p === 1 ? q : refuse('shapes do not broadcast');
  });
}
const elementwise = (A: Type, B: Type): Type =>
  A.dtype === B.dtype ? like(A, broadcast(A.shape, B.shape)) : refuse('dtypes differ; Cast one of them');

function reduce(X: Type, axes: Ints, { keepdims }: { keepdims: 0 | 1 }): Type {
  for (const a of axes) at(X.shape, a);
  const gone = new Set(axes.map(a => (a < 0 ? a + X.shape.length : a)));
  return like(X, keepdims ? X.shape.map((n, i) => (gone.has(i) ? 1 : n)) : X.shape.filter((_, i) => !gone.has(i)));
}
/** A reduced gradient, its lost axes put back as ones. */
const kept = (g: Graph, dY: Value, X: Value, axes: Ints): Value => g.Reshape(dY, reduce(X, axes, { keepdims: 1 }).shape);
const mean = (g: Graph, x: Value, axes: Ints): Value => g.ReduceMean(x, axes, { keepdims: 1 });
const after = (x: Value, first: number): number[] => x.shape.map((_, i) => i).slice(first);

/** First and last (excluded) index of every axis of a Slice. */
function range(X: Type, starts: Ints, ends: Ints, axes: Ints): { from: number[]; to: number[] } {
  const from = list(X.shape.length, 0);
  const to = [...X.shape];
  for (const [i, axis] of axes.entries()) {
    const n = at(X.shape, axis);
    const clamp = (x: number): number => Math.min(n, Math.max(0, x < 0 ? x + n : x));
    from[axis < 0 ? axis + X.shape.length : axis] = clamp(starts[i] ?? refuse('starts and axes differ in length'));
    to[axis < 0 ? axis + X.shape.length : axis] = clamp(ends[i] ?? refuse('ends and axes differ in length'));
  }
  return { from, to };
}

/** [B, S, H D] -> [B, H, S, D] */
const heads = (g: Graph, x: Value, H: number): Value =>
  g.Transpose(g.Reshape(x, [x.shape[0]!, x.shape[1]!, H, x.shape[2]! / H]), { perm: [0, 2, 1, 3] });
/** [B, H, S, D] -> [B, S, H D] */
const merge = (g: Graph, x: Value): Value =>
  g.Reshape(g.Transpose(x, { perm: [0, 2, 1, 3] }), [x.shape[0]!, x.shape[2]!, x.shape[1]! * x.shape[3]!]);

/** What normalising X over `axes` yields: x̂ = (X - μ) / σ and σ; without centring μ = 0. In 16 bits the mean comes out rounded, so what that leaves of it is taken away too. */
function normalize(g: Graph, X: Value, axes: Ints, epsilon: number, centred = true): { xhat: Value; sigma: Value } {
  const once = centred ? g.Sub(X, mean(g, X, axes)) : X;
  const c = centred && X.dtype !== 'float32' ? g.Sub(once, mean(g, once, axes)) : once;
  const sigma = g.Sqrt(g.Add(mean(g, g.Mul(c, c), axes), epsilon));
  return { xhat: g.Div(c, sigma), sigma };
}

/** A convolution's attributes, all there. */
interface Window {
  strides: Ints;
  pads: Ints;
  dilations: Ints;
}
function window(X: Type, W: Type, attrs: { strides: Ints; pads: Ints; dilations?: Ints }): Window & { out: number[] } {
  const s = X.shape.slice(2);
  const k = W.shape.slice(2);
  const { strides, pads, dilations = list(s.length, 1) } = attrs;
  if (strides.length !== s.length || pads.length !== 2 * s.length || dilations.length !== s.length)
    refuse(`strides, pads and dilations must have ${s.length}, ${2 * s.length} and ${s.length} numbers`);
  const out = s.map((n, i) => Math.floor((n + pads[i]! + pads[i + s.length]! - dilations[i]! * (k[i]! - 1) - 1) / strides[i]!) + 1);
  return { strides, pads, dilations, out };
}
/** W [O, C, ...k], each k read backwards. */
function reversed(g: Graph, W: Value): Value {
  let y = W;
  for (const axis of after(W, 2)) {
    const n = W.shape[axis]!;
    if (n > 1) y = g.Concat(g.Split(y, list(n, 1), { axis }).toReversed(), { axis });
  }
  return y;
}
/** Zeros between the elements: [N, O, ...h] -> [N, O, ...h s], the zeros after each. */
function spread(g: Graph, x: Value, strides: Ints): Value {
  if (strides.every(s => s === 1)) return x;
  const apart = x.shape.flatMap((n, i) => (i < 2 ? [n] : [n, 1])); // [N, O, h, 1, w, 1]
  const ends = apart.map((_, i) => (i >= 2 && i % 2 === 1 ? strides[(i - 3) / 2]! - 1 : 0));
  const padded = g.Pad(g.Reshape(x, apart), [...apart.map(() => 0), ...ends]);
  return g.Reshape(
    padded,
    x.shape.map((n, i) => (i < 2 ? n : n * strides[i - 2]!)),
  ); // [N, O, h s, w s]
}
const swapped = (g: Graph, x: Value): Value => g.Transpose(x, { perm: [1, 0, ...after(x, 2)] });

export const rows: { readonly [Op in keyof Ops]: Row<Op> } = {
  // dA = dY · dB = dY
  Add: { infer: elementwise, vjp: (_, dY) => [dY, dY] },
  // dA = dY · dB = -dY
  Sub: { infer: elementwise, vjp: (g, dY) => [dY, g.Neg(dY)] },
  // dA = dY B · dB = dY A
  Mul: { infer: elementwise, vjp: (g, dY, _, A, B) => [g.Mul(dY, B), g.Mul(dY, A)] },
  // dA = dY / B · dB = -dY Y / B
  Div: { infer: elementwise, vjp: (g, dY, Y, _, B) => [g.Div(dY, B), g.Neg(g.Div(g.Mul(dY, Y), B))] },
  // dX = -dY
  Neg: { infer: same, vjp: (g, dY) => [g.Neg(dY)] },
  // dX = dY / 2Y
  Sqrt: { infer: same, vjp: (g, dY, Y) => [g.Div(dY, g.Mul(Y, 2))] },
  // dX = dY (1 - Y²)
  Tanh: { infer: same, vjp: (g, dY, Y) => [g.Mul(dY, g.Sub(1, g.Mul(Y, Y)))] },
  // dX = dY Y (1 - Y)
  Sigmoid: { infer: same, vjp: (g, dY, Y) => [g.Mul(dY, g.Mul(Y, g.Sub(1, Y)))] },
  // dX = -dY sin X
  Cos: { infer: same, vjp: (g, dY, _, X) => [g.Neg(g.Mul(dY, g.Sin(X)))] },
  // dX = dY cos X
  Sin: { infer: same, vjp: (g, dY, _, X) => [g.Mul(dY, g.Cos(X))] },
  // dX = dY, in X's dtype
  Cast: { infer: (X, { to }) => ({ dtype: to, shape: X.shape }), vjp: (g, dY, _, X) => [g.Cast(dY, { to: X.dtype })] },
  // Y = αAB: dA = αdY Bᵀ · dB = αAᵀ dY, and where an operand came transposed its gradient comes out transposed: never a Transpose node
  FusedMatMul: {
    domain: 'com.microsoft',
    floats: ['alpha'],
    infer(A, B, { transA, transB } = {}) {
      const [m, k] = transA ? [at(A.shape, -1), at(A.shape, -2)] : [at(A.shape, -2), at(A.shape, -1)];
      const [l, n] = transB ? [at(B.shape, -1), at(B.shape, -2)] : [at(B.shape, -2), at(B.shape, -1)];
      if (k !== l) refuse('inner sizes differ');
      if (A.dtype !== B.dtype) refuse('dtypes differ; Cast one of them');
      return like(A, [...broadcast(A.shape.slice(0, -2), B.shape.slice(0, -2)), m, n]);
    },
    vjp: (g, dY, _, A, B, { transA = 0, transB = 0, alpha = 1 } = {}) => [
      transA ? g.FusedMatMul(B, dY, { transA: transB, transB: 1, alpha }) : g.FusedMatMul(dY, B, { transB: flip(transB), alpha }),
      transB ? g.FusedMatMul(dY, A, { transA: 1, transB: transA, alpha }) : g.FusedMatMul(A, dY, { transA: flip(transA), alpha }),
    ],
  },
  // dX = Y (dY - Σ dY Y)
  Softmax: {
    infer: same,
    vjp: (g, dY, Y, _, { axis }) => [g.Mul(Y, g.Sub(dY, g.ReduceSum(g.Mul(dY, Y), [axis], { keepdims: 1 })))],
  },
  // dX = dY, stretched
  ReduceSum: { infer: reduce, vjp: (g, dY, _, X, axes) => [g.Expand(kept(g, dY, X, axes), X.shape)] },
  // dX = dY / n, stretched
  ReduceMean: {
    infer: reduce,
    vjp: (g, dY, Y, X, axes) => [g.Expand(kept(g, g.Mul(dY, size(Y.shape) / size(X.shape)), X, axes), X.shape)],
  },
  Reshape: {
    infer(X, shape) {
      const known = shape.filter(n => n !== -1);
      const full = shape.map(n => (n === -1 ? size(X.shape) / size(known) : n));
      const fits = known.length >= shape.length - 1 && size(full) === size(X.shape) && full.every(n => Number.isInteger(n) && n >= 0);
      return fits ? like(X, full) : refuse(`cannot become [${shape.join(',')}]`);
    },
    vjp: (g, dY, _, X) => [g.Reshape(dY, X.shape)],
  },
  // dX = dY by the inverse permutation
  Transpose: {
    infer: (X, { perm }) =>
      String(perm.toSorted((a, b) => a - b)) === String(X.shape.map((_, i) => i))
        ? like(
            X,
            perm.map(p => X.shape[p]!),
          )
        : refuse(`perm [${perm.join(',')}] is not an order of its axes`),
    vjp: (g, dY, _, __, { perm }) => [g.Transpose(dY, { perm: perm.map((___, i) => perm.indexOf(i)) })],
  },
  // dX = dY, which the walker sums back
  Expand: { infer: (X, shape) => like(X, broadcast(X.shape, shape)), vjp: (_, dY) => [dY] },
  // dXᵢ = its part of dY
  Concat: {
    infer(Xs, { axis }) {
      const X = Xs[0] ?? refuse('nothing to join');
      const n = sum(Xs.map(x => at(x.shape, axis)));
      for (const x of Xs)
        if (x.dtype !== X.dtype || String(x.shape.with(axis, 0)) !== String(X.shape.with(axis, 0)))
          refuse(`parts differ beside axis ${axis}`);
      return like(X, X.shape.with(axis, n));
    },
    vjp: (g, dY, _, Xs, { axis }) => [
      g.Split(
        dY,
        Xs.map(x => at(x.shape, axis)),
        { axis },
      ),
    ],
  },
  // dX = the dYᵢ joined, zeros for a part that is not used
  Split: {
    many: true,
    infer: (X, split, { axis }) =>
      sum(split) === at(X.shape, axis)
        ? split.map(n => like(X, X.shape.with(axis, n)))
        : refuse(`cannot be cut into [${split.join(',')}] along axis ${axis}`),
    vjp: (g, dYs, Ys, _, __, { axis }) => [
      g.Concat(
        Ys.map((Y, i) => dYs[i] ?? g.Expand(g.constant(0, Y.dtype), Y.shape)),
        { axis },
      ),
    ],
  },
  // dX = dY with zeros around
  Slice: {
    infer(X, starts, ends, axes) {
      const { from, to } = range(X, starts, ends, axes);
      return like(
        X,
        from.map((a, i) => Math.max(0, to[i]! - a)),
      );
    },
    vjp(g, dY, _, X, starts, ends, axes) {
      const { from, to } = range(X, starts, ends, axes);
      return [g.Pad(dY, [...from, ...to.map((b, i) => X.shape[i]! - b)])];
    },
  },
  // dX = the middle of dY
  Pad: {
    infer(X, pads) {
      const r = X.shape.length;
      if (pads.length !== 2 * r || pads.some(p => p < 0)) refuse(`pads [${pads.join(',')}] must be ${2 * r} numbers from 0 on`);
      return like(
        X,
        X.shape.map((n, i) => n + pads[i]! + pads[i + r]!),
      );
    },
    vjp: (g, dY, _, X, pads) => [
      g.Slice(
        dY,
        pads.slice(0, X.shape.length),
        X.shape.map((n, i) => n + pads[i]!),
        after(X, 0),
      ),
    ],
    expand(g, X, pads) {
      let y = X;
      for (const axis of after(X, 0)) {
        const zeros = (n: number): Value[] => (n ? [g.Expand(g.constant(0, X.dtype), y.shape.with(axis, n))] : []);
        const parts = [...zeros(pads[axis]!), y, ...zeros(pads[axis + X.shape.length]!)];
        if (parts.length > 1) y = g.Concat(parts, { axis });
      }
      return y;
    },
  },
  // ddata = zeros, and dY added at the rows that were read
  Gather: {
    infer: (X, indices) => (indices.dtype === 'int64' ? like(X, [...indices.shape, ...X.shape.slice(1)]) : refuse('indices must be int64')),
    vjp(g, dY, _, X, indices) {
      const n = size(indices.shape);
      const zeros = g.Expand(g.constant(0, X.dtype), X.shape);
      return [g.ScatterND(zeros, g.Reshape(indices, [n, 1]), g.Reshape(dY, [n, ...X.shape.slice(1)]), { reduction: 'add' }), undefined];
    },
  },
  // ddata = dY · dupdates = the rows of dY that were added to
  ScatterND: {
    infer: (X, indices, updates) =>
      indices.dtype === 'int64' &&
      String(indices.shape) === `${at(updates.shape, 0)},1` &&
      String(updates.shape.slice(1)) === String(X.shape.slice(1)) &&
      X.dtype === updates.dtype
        ? same(X)
        : refuse('indices must be int64 [N,1] and updates N rows of data'),
    vjp: (g, dY, _, __, indices, updates) => [dY, undefined, g.Gather(dY, g.Reshape(indices, [updates.shape[0]!]), { axis: 0 })],
  },
  // Y = X * W: dX = dY spread by the stride * W read backwards · dW[o,c] = X[·,c] * dY[·,o], stride and dilation changing places · dB = Σ dY
  Conv: {
    infer(X, W, B, attrs) {
      if (X.shape.length < 3 || X.shape.length !== W.shape.length) refuse('X and W must be [N,C,...] and [O,C,...] of one rank');
      if (X.shape[1] !== W.shape[1]) refuse('channels differ');
      if (X.dtype !== W.dtype || (B && B.dtype !== X.dtype)) refuse('dtypes differ; Cast one of them');
      if (B && String(B.shape) !== String([W.shape[0]])) refuse('the bias is not as long as W has outputs');
      const { out } = window(X, W, attrs);
      return out.every(n => n > 0)
        ? like(X, [X.shape[0]!, W.shape[0]!, ...out])
        : refuse(`the kernel is larger than its padded input, pads [${attrs.pads.join(',')}]`);
    },
    vjp(g, dY, _, X, W, __, attrs) {
      const { strides, pads, dilations } = window(X, W, attrs);
      const s = X.shape.slice(2);
      const k = W.shape.slice(2);
      const ones = list(s.length, 1);
      const reach = k.map((n, i) => dilations[i]! * (n - 1));
      if (reach.some((r, i) => r < pads[i]!)) refuse(`no gradient for pads [${pads.join(',')}] wider than the kernel`);
      const wide = spread(g, dY, strides); // [N, O, ...h s]
      const begins = reach.map((r, i) => r - pads[i]!);
      const ends = s.map((n, i) => n + reach[i]! - wide.shape[i + 2]! - begins[i]!);
      const cut = ends.some(e => e < 0)
        ? g.Slice(
            wide,
            s.map(() => 0),
            wide.shape.slice(2).map((n, i) => n + Math.min(0, ends[i]!)),
            after(wide, 2),
          )
        : wide;
      const back = { strides: ones, pads: [...begins, ...ends.map(e => Math.max(0, e))], dilations };
      const dW = g.Conv(swapped(g, X), swapped(g, dY), undefined, { strides: dilations, pads, dilations: strides }); // [C, O, ...k or a little more]
      return [
        g.Conv(cut, swapped(g, reversed(g, W)), undefined, back),
        swapped(
          g,
          String(dW.shape.slice(2)) === String(k)
            ? dW
            : g.Slice(
                dW,
                k.map(() => 0),
                k,
                after(dW, 2),
              ),
        ),
        g.ReduceSum(dY, [0, ...after(dY, 2)], { keepdims: 0 }),
      ];
    },
  },
  // x̂ = (X - μ)/σ, h = dY scale: dX = (h - mean h - x̂ mean(h x̂))/σ · dscale = Σ dY x̂ · dB = Σ dY
  InstanceNormalization: {
    floats: ['epsilon'],
    infer: (X, scale, B) =>
      X.shape.length > 2 && String(scale.shape) === String([X.shape[1]]) && String(B.shape) === String([X.shape[1]])
        ? same(X)
        : refuse('scale or B is not as long as X has channels'),
    vjp(g, dY, _, X, scale, __, { epsilon }) {
      const axes = after(X, 2);
      const { xhat, sigma } = normalize(g, X, axes, epsilon);
      const h = g.Mul(dY, g.Reshape(scale, [-1, ...axes.map(() => 1)]));
      const dX = g.Div(g.Sub(g.Sub(h, mean(g, h, axes)), g.Mul(xhat, mean(g, g.Mul(h, xhat), axes))), sigma);
      const total = (x: Value): Value => g.ReduceSum(x, [0, ...axes], { keepdims: 0 });
      return [dX, total(g.Mul(dY, xhat)), total(dY)];
    },
    expand(g, X, scale, B, { epsilon }) {
      const axes = after(X, 2);
      const column = (x: Value): Value => g.Reshape(x, [-1, ...axes.map(() => 1)]);
      return g.Add(g.Mul(normalize(g, X, axes, epsilon).xhat, column(scale)), column(B));
    },
  },
  // x̂ = (X - μ)/σ, h = dY Scale: dX = (h - mean h - x̂ mean(h x̂))/σ · dScale = dY x̂ · dB = dY
  LayerNormalization: {
    floats: ['epsilon'],
    infer: (X, Scale, B) =>
      at(Scale.shape, -1) === at(X.shape, -1) && at(B.shape, -1) === at(X.shape, -1) ? same(X) : refuse('Scale or B is not as wide as X'),
    vjp(g, dY, _, X, Scale, __, { epsilon }) {
      const { xhat, sigma } = normalize(g, X, [-1], epsilon);
      const h = g.Mul(dY, Scale);
      return [g.Div(g.Sub(g.Sub(h, mean(g, h, [-1])), g.Mul(xhat, mean(g, g.Mul(h, xhat), [-1]))), sigma), g.Mul(dY, xhat), dY];
    },
    expand: (g, X, Scale, B, { epsilon }) => g.Add(g.Mul(normalize(g, X, [-1], epsilon).xhat, Scale), B),
  },
  // x̂ = X/σ, h = dY scale: dX = (h - x̂ mean(h x̂))/σ · dscale = dY x̂
  SimplifiedLayerNormalization: {
    floats: ['epsilon'],
    infer: (X, scale) => (at(scale.shape, -1) === at(X.shape, -1) ? same(X) : refuse('scale is not as wide as X')),
    vjp(g, dY, _, X, scale, { epsilon }) {
      const { xhat, sigma } = normalize(g, X, [-1], epsilon, false);
      const h = g.Mul(dY, scale);
      return [g.Div(g.Sub(h, g.Mul(xhat, mean(g, g.Mul(h, xhat), [-1]))), sigma), g.Mul(dY, xhat)];
    },
    expand: (g, X, scale, { epsilon }) => g.Mul(normalize(g, X, [-1], epsilon, false).xhat, scale),
  },
  // u = √(2/π)(X + 0.044715 X³), t = tanh u: dX = dY (½(1 + t) + ½X(1 - t²) √(2/π)(1 + 0.134145 X²))
  Gelu: {
    infer: same,
    vjp(g, dY, _, X) {
      const k = Math.sqrt(2 / Math.PI);
      const X2 = g.Mul(X, X);
      const t = g.Tanh(g.Mul(g.Mul(X, k), g.Add(g.Mul(X2, 0.044715), 1)));
      const du = g.Mul(g.Add(g.Mul(X2, 0.134145), 1), k / 2);
      return [g.Mul(dY, g.Add(g.Add(g.Mul(t, 0.5), 0.5), g.Mul(g.Mul(X, g.Sub(1, g.Mul(t, t))), du)))];
    },
    expand: (g, X) =>
      g.Mul(g.Mul(X, 0.5), g.Add(g.Tanh(g.Mul(g.Mul(X, Math.sqrt(2 / Math.PI)), g.Add(g.Mul(g.Mul(X, X), 0.044715), 1))), 1)),
  },
  // P = softmax(s Q Kᵀ), dP = dO Vᵀ, dS = P (dP - Σ dP P): dQ = s dS K · dK = s dSᵀ Q · dV = Pᵀ dO
  MultiHeadAttention: {
    domain: 'com.microsoft',
    floats: ['scale'],
    infer(q, k, v, { num_heads }) {
      if (at(q.shape, -1) % num_heads || at(v.shape, -1) % num_heads) refuse(`the width does not divide into ${num_heads} heads`);
      if (at(k.shape, -1) !== at(q.shape, -1) || at(k.shape, 1) !== at(v.shape, 1)) refuse('widths or lengths differ');
      return like(q, [...q.shape.slice(0, 2), at(v.shape, -1)]);
    },
    vjp(g, dY, _, q, k, v, { num_heads, scale }) {
      const [Q, K, V, dO] = [heads(g, q, num_heads), heads(g, k, num_heads), heads(g, v, num_heads), heads(g, dY, num_heads)]; // [B, H, S, D]
      const P = g.Softmax(g.FusedMatMul(Q, K, { transB: 1, alpha: scale }), { axis: -1 }); // [B, H, S, L]
      const dP = g.FusedMatMul(dO, V, { transB: 1 });
      const dS = g.Mul(P, g.Sub(dP, g.ReduceSum(g.Mul(dP, P), [-1], { keepdims: 1 })));
      const grads = [
        g.FusedMatMul(dS, K, { alpha: scale }),
        g.FusedMatMul(dS, Q, { transA: 1, alpha: scale }),
        g.FusedMatMul(P, dO, { transA: 1 }),
      ];
      return grads.map(x => merge(g, x));
    },
    expand(g, q, k, v, { num_heads, scale }) {
      const P = g.Softmax(g.FusedMatMul(heads(g, q, num_heads), heads(g, k, num_heads), { transB: 1, alpha: scale }), { axis: -1 }); // [B, H, S, L]
      return merge(g, g.FusedMatMul(P, heads(g, v, num_heads)));
    },
  },
  // a rotation's transpose is the rotation back: the same with -sin
  RotaryEmbedding: {
    domain: 'com.microsoft',
    infer: (X, _, cos, sin) =>
      at(cos.shape, -1) * 2 === at(X.shape, -1) && at(cos.shape, 0) === at(X.shape, -2) && String(sin.shape) === String(cos.shape)
        ? same(X)
        : refuse('caches and input differ'),
    vjp: (g, dY, _, __, ids, cos, sin, attrs) => [g.RotaryEmbedding(dY, ids, cos, g.Neg(sin), attrs), undefined, undefined, undefined],
    expand(g, X, _, cos, sin, { interleaved }) {
      const [lead, d] = [X.shape.slice(0, -1), at(X.shape, -1) / 2];
      const axis = interleaved ? X.shape.length : X.shape.length - 1; // where the pair lies: [..., d, 2] or [..., 2, d]
      const table = (t: Value): Value => g.Reshape(t, interleaved ? [...t.shape, 1] : [t.shape[0]!, 1, d]);
      const [c, s] = [table(cos), table(sin)];
      const [a, b] = g.Split(g.Reshape(X, interleaved ? [...lead, d, 2] : [...lead, 2, d]), [1, 1], { axis }) as readonly [Value, Value];
      return g.Reshape(g.Concat([g.Sub(g.Mul(a, c), g.Mul(b, s)), g.Add(g.Mul(b, c), g.Mul(a, s))], { axis }), X.shape);
    },
  },
};
