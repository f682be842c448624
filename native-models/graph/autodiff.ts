/** @file Reverse-mode differentiation: one walk, newest node first. Fan-out is summed, broadcasting undone and blocks recomputed here; no row knows of it. */
import { rows, type Ops } from './ops.ts';
import { Value, isList, isValues, valuesOf, type Arg, type Graph, type Node } from './graph.ts';

type AnyVjp = (g: Graph, dY: unknown, Y: unknown, ...args: readonly Arg[]) => readonly Arg[];

/** d(loss)/d(wrt) in their order; the loss is summed if it is not a single number.
 * `blockOf` names the block a path lies in, if any. What a block computes is not kept for the way back: the block is written once more, to run when its gradient arrives.
 * @throws if an op on the way has no rule, or the loss does not depend on a value */
export function gradients(
  g: Graph,
  loss: Value,
  wrt: readonly Value[],
  blockOf: (path: string) => string | undefined = () => undefined,
): Value[] {
  const moved = new Set<Value>(wrt); // all that a change of wrt moves
  const forward = g.nodes.slice(0, g.nodes.indexOf(loss.node) + 1);
  for (const n of forward) if (valuesOf(n.args).some(v => moved.has(v))) for (const y of n.outputs) moved.add(y);

  const grads = new Map<Value, Value>([[loss, g.constant(1, loss.dtype, loss.shape)]]);
  const again = recompute(g, blockOf, () => wrt.flatMap(w => grads.get(w) ?? []));
  for (const n of forward.toReversed()) {
    const dYs = n.outputs.map(y => grads.get(y));
    const dY = dYs.find(d => d);
    if (!dY || !valuesOf(n.args).some(v => moved.has(v))) continue;
    const at = g.root(n.path).at('grad');
    const m = again(n, dY);
    const row = rows[n.op as keyof Ops];
    if (!row.vjp) throw new Error(`${n.op} has no gradient rule, wanted at ${n.path || 'the top'}`);
    const dXs = (row.vjp as AnyVjp)(at, row.many ? dYs : dY, row.many ? m.outputs : m.outputs[0], ...m.args);
    for (const [i, arg] of n.args.entries())
      for (const [j, x] of (isList(arg) ? arg : [arg]).entries()) {
        if (!(x instanceof Value && moved.has(x))) continue;
        const d = dXs[i];
        const dX = isList(d) ? d[j] : d;
        if (!(dX instanceof Value)) throw new Error(`${n.op} has no gradient for argument ${i}, wanted at ${n.path || 'the top'}`);
        const one = unbroadcast(at, dX, x.shape);
        const known = grads.get(x);
        grads.set(x, known ? at.Add(known, one) : one);
      }
  }
  return wrt.map(x => {
    const d = grads.get(x);
    if (!d) throw new Error(`the loss does not depend on ${x.name}`);
    return d;
  });
}

/** Sums over the axes along which x was stretched from `shape`. */
function unbroadcast(g: Graph, x: Value, shape: readonly number[]): Value {
  const lead = x.shape.length - shape.length;
  const axes = x.shape.flatMap((n, i) => (i < lead || (shape[i - lead] === 1 && n !== 1) ? [i] : []));
  const sum = axes.length ? g.ReduceSum(x, axes, { keepdims: 1 }) : x;
  return lead ? g.Reshape(sum, shape) : sum;
}

/** The copy of a node inside its block. What enters the block is tied to `dY` and to every weight gradient known by then. Untied, ONNX Runtime merges copies of standard
 * ops with their originals and, running depth first from the last output, leaves the weight gradients (and all they hold) to the end: 24 blocks on CPU peak at 865 MB
 * without recomputation, 931 with untied copies, 722 tied to dY alone, 373 tied to both. */
function recompute(g: Graph, blockOf: (path: string) => string | undefined, finished: () => Value[]): (n: Node, dY: Value) => Node {
  const copies = new Map<Node, Node>();
  const tied = new Map<string, Value>();
  const tokens = new Map<string, Value>();
  const waited = new Set<Value>();

  const copy = (n: Node, block: string): Node => {
    const known = copies.get(n);
    if (known) return known;
    const move = (v: Value): Value => {
      if (!valuesOf(v.node.args).length) return v; // a leaf costs nothing to keep
      return blockOf(v.node.path) === block ? copy(v.node, block).outputs[v.node.outputs.indexOf(v)]! : tie(v, block);
    };
    const args = n.args.map(a => (a instanceof Value ? move(a) : isValues(a) ? a.map(move) : a));
    const made = g
      .root(n.path)
      .at('again')
      .write(n.op as keyof Ops, args)[0]!.node;
    copies.set(n, made);
    return made;
  };
  const tie = (x: Value, block: string): Value => {
    const key = `${block} ${x.name}`;
    const at = g.root(block).at('again');
    const token = tokens.get(block)!;
    const known = tied.get(key) ?? at.Add(x, token.dtype === x.dtype ? token : at.Cast(token, { to: x.dtype })); // x + 0
    tied.set(key, known);
    return known;
  };
  return (n, dY) => {
    const block = blockOf(n.path);
    if (block === undefined) return n;
    if (!tokens.has(block)) {
      const at = g.root(block).at('again');
      const first = (v: Value): Value => at.Cast(at.Slice(at.Reshape(v, [-1]), [0], [1], [0]), { to: dY.dtype });
      const waits = [dY, ...finished().filter(d => !waited.has(d))];
      for (const d of waits) waited.add(d);
      tokens.set(
        block,
        at.Mul(
          waits.map(first).reduce((a, b) => at.Add(a, b)),
          0,
        ),
      );
    }
    return copy(n, block);
  };
}
