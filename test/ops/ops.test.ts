/** @file Every row of the op table against ONNX Runtime, in both rooms: the shape as it sees it, the gradient against a finite difference along a random direction, `expand`
 * against its op, and the gradient derived from `expand` against the row's own. An op without an example does not compile. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { gradients } from '../../native-models/graph/autodiff.ts';
import { Graph, size, type Value } from '../../native-models/graph/graph.ts';
import { encode } from '../../native-models/graph/onnx.ts';
import { rows, type Ops } from '../../native-models/graph/ops.ts';
import { expand, replay } from '../../native-models/graph/passes.ts';
import { openRuntime } from '../../native-models/runtime/device.ts';
import type { Runtime } from '../../native-models/runtime/runtime.ts';

/** Writes one use of an op over float32 inputs; all that it returns is checked. */
type Example = (g: Graph) => Value | readonly Value[];

const A = (g: Graph): Value => g.input('A', [2, 3, 4]);
const B = (g: Graph): Value => g.input('B', [3, 1]);
const positive = (g: Graph, x: Value): Value => g.Add(g.Mul(x, x), 0.5);
const angles = Float32Array.from({ length: 12 }, (_, i) => 0.3 * i);
const table = (g: Graph, f: (x: number) => number): Value => g.constant(angles.map(f), 'float32', [4, 3]);
const rotary =
  (interleaved: 0 | 1): Example =>
  g =>
    g.RotaryEmbedding(
      g.input('X', [2, 2, 4, 6]),
      g.constant([0, 1, 2, 3, 0, 1, 2, 3], 'int64', [2, 4]),
      table(g, Math.cos),
      table(g, Math.sin),
      { interleaved },
    );

const examples: { readonly [Op in keyof Ops]: readonly Example[] } = {
  Add: [g => g.Add(A(g), B(g)), g => g.Add(1, A(g))],
  Sub: [g => g.Sub(A(g), B(g)), g => g.Sub(B(g), A(g))],
  Mul: [g => g.Mul(A(g), B(g)), g => g.Mul(A(g), A(g))],
  Div: [g => g.Div(A(g), positive(g, B(g))), g => g.Div(B(g), positive(g, A(g)))],
  Neg: [g => g.Neg(A(g))],
  Sqrt: [g => g.Sqrt(positive(g, A(g)))],
  Tanh: [g => g.Tanh(A(g))],
  Sigmoid: [g => g.Sigmoid(A(g))],
  Cos: [g => g.Cos(A(g))],
  Sin: [g => g.Sin(A(g))],
  Cast: [g => g.Cast(A(g), { to: 'float32' })],
  FusedMatMul: [
    ...([0, 1] as const).flatMap(transA =>
      ([0, 1] as const).map((transB): Example => {
        const [a, b] = [transA ? [4, 3] : [3, 4], transB ? [5, 4] : [4, 5]];
        return g => g.FusedMatMul(g.input('A', [2, ...a]), g.input('B', b), { transA, transB, alpha: 0.5 });
      }),
    ),
    g => g.FusedMatMul(g.input('A', [2, 1, 3, 4]), g.input('B', [5, 4, 2])),
  ],
  Softmax: [g => g.Softmax(A(g), { axis: -1 })],
  ReduceSum: [g => g.ReduceSum(A(g), [1], { keepdims: 0 }), g => g.ReduceSum(A(g), [0, -1], { keepdims: 1 })],
  ReduceMean: [g => g.ReduceMean(A(g), [-1], { keepdims: 1 }), g => g.ReduceMean(A(g), [0, 1], { keepdims: 0 })],
  Reshape: [g => g.Reshape(A(g), [6, -1])],
  Transpose: [g => g.Transpose(A(g), { perm: [2, 0, 1] })],
  Expand: [g => g.Expand(B(g), [2, 3, 4])],
  Concat: [g => g.Concat([A(g), g.input('C', [2, 3, 2])], { axis: 2 }), g => g.Concat([A(g), A(g)], { axis: -2 })],
  Split: [g => g.Split(A(g), [1, 3], { axis: 2 }), g => [g.Split(A(g), [1, 3], { axis: -1 })[1]!]],
  Slice: [g => g.Slice(A(g), [1], [3], [2]), g => g.Slice(A(g), [-2, 0], [-1, 99], [1, 0])],
  Pad: [g => g.Pad(A(g), [0, 1, 0, 2, 0, 3])],
  Gather: [g => g.Gather(g.input('V', [5, 3]), g.constant([4, 0, 4, 1], 'int64', [2, 2]), { axis: 0 })],
  ScatterND: [g => g.ScatterND(g.input('V', [5, 3]), g.constant([4, 0, 4], 'int64', [3, 1]), g.input('U', [3, 3]), { reduction: 'add' })],
  Conv: [
    g => g.Conv(g.input('X', [2, 3, 5, 6]), g.input('W', [4, 3, 3, 3]), g.input('b', [4]), { strides: [1, 1], pads: [1, 1, 1, 1] }),
    g => g.Conv(g.input('X', [1, 2, 6, 7]), g.input('W', [3, 2, 3, 3]), undefined, { strides: [2, 2], pads: [0, 0, 1, 1] }),
    g =>
      g.Conv(g.input('X', [1, 2, 8, 9]), g.input('W', [3, 2, 2, 3]), undefined, { strides: [3, 2], pads: [1, 2, 0, 1], dilations: [1, 2] }),
    g => g.Conv(g.input('X', [2, 3, 4, 4]), g.input('W', [2, 3, 1, 1]), g.input('b', [2]), { strides: [1, 1], pads: [0, 0, 0, 0] }),
    g =>
      g.Conv(g.input('X', [1, 2, 5, 4, 5]), g.input('W', [3, 2, 3, 3, 3]), g.input('b', [3]), {
        strides: [1, 1, 1],
        pads: [0, 1, 1, 0, 1, 1],
      }),
    g => g.Conv(g.input('X', [2, 2, 4, 5, 6]), g.input('W', [2, 2, 3, 3, 3]), undefined, { strides: [1, 2, 2], pads: [1, 0, 1, 1, 1, 0] }),
  ],
  InstanceNormalization: [
    g => g.InstanceNormalization(g.input('X', [2, 3, 8]), g.input('S', [3]), g.input('b', [3]), { epsilon: 1e-5 }),
    g => g.InstanceNormalization(g.input('X', [2, 2, 3, 4]), g.input('S', [2]), g.input('b', [2]), { epsilon: 1e-2 }),
  ],
  LayerNormalization: [g => g.LayerNormalization(A(g), g.input('S', [4]), g.input('b', [4]), { axis: -1, epsilon: 1e-5 })],
  SimplifiedLayerNormalization: [g => g.SimplifiedLayerNormalization(A(g), g.input('S', [4]), { axis: -1, epsilon: 1e-6 })],
  Gelu: [g => g.Gelu(A(g), { approximate: 'tanh' })],
  MultiHeadAttention: [
    g => g.MultiHeadAttention(g.input('q', [2, 3, 8]), g.input('k', [2, 5, 8]), g.input('v', [2, 5, 8]), { num_heads: 2, scale: 0.5 }),
    g => g.MultiHeadAttention(g.input('q', [1, 4, 4]), g.input('k', [1, 4, 4]), g.input('v', [1, 4, 4]), { num_heads: 1, scale: 1 }),
  ],
  RotaryEmbedding: [rotary(1), rotary(0)],
};

/** Numbers in [-1, 1), the same at every run. */
function dice(seed: number): () => number {
  let s = seed;
  return () => (s = (s * 16807) % 2147483647) / 1073741823.5 - 1;
}
const noWeights = (): never => assert.fail('these graphs have no weights');
type Arrays = ReadonlyMap<string, Float32Array>;

async function run(
  rt: Runtime,
  g: Graph,
  outputs: Record<string, Value>,
  x: Arrays,
): Promise<Record<string, { shape: readonly number[]; data: Float32Array }>> {
  const program = await rt.load(encode(g, outputs, noWeights));
  const given = Object.fromEntries(program.inputs.map(k => [k, rt.tensor('float32', g.named.get(k)!.shape, x.get(k)!)]));
  const y = await program.run(given);
  const read = await Promise.all(
    Object.entries(y).map(async ([k, t]) => [k, { shape: t.shape, data: (await t.read()) as Float32Array }] as const),
  );
  for (const t of [...Object.values(y), ...Object.values(given)]) t.release();
  program.release();
  return Object.fromEntries(read);
}
const inputsOf = (g: Graph): Value[] => g.nodes.flatMap(n => (n.op === 'input' ? n.outputs : []));
const gradsOf = (g: Graph, loss: Value): Record<string, Value> => {
  const wrt = inputsOf(g);
  return Object.fromEntries(gradients(g, loss, wrt).map((d, i) => [`${wrt[i]!.name}.grad`, d]));
};
const farthest = (a: Float32Array, b: Float32Array): number => a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

async function check(rt: Runtime, op: keyof Ops, example: Example): Promise<void> {
  const g = new Graph();
  const made = example(g);
  const ys = made instanceof Array ? made : [made];
  const named = Object.fromEntries(ys.map((y, i) => [`Y${i}`, y]));
  const random = dice(7);
  const draw = (shape: readonly number[]): Float32Array => Float32Array.from({ length: size(shape) }, random);
  const inputs = inputsOf(g);
  const x: Arrays = new Map(inputs.map(v => [v.name, draw(v.shape)]));
  const u: Arrays = new Map(inputs.map(v => [v.name, draw(v.shape)]));

  const y = await run(rt, g, named, x);
  for (const [k, v] of Object.entries(named)) {
    assert.deepEqual(y[k]!.shape, v.shape, 'the shape as ONNX Runtime sees it');
    assert.ok(y[k]!.data.every(Number.isFinite), 'all outputs are finite');
  }

  // a loss that weighs every element of every output differently
  const weighed = ys.map(v => g.ReduceSum(g.Mul(v, g.constant(draw(v.shape), 'float32', v.shape)), [...v.shape.keys()], { keepdims: 0 }));
  const loss = weighed.reduce((a, b) => g.Add(a, b));
  assert.ok('vjp' in rows[op], 'every op in use has a gradient rule');
  const grads = await run(rt, g, gradsOf(g, loss), x);
  let slope = 0;
  for (const v of inputs) {
    assert.deepEqual(grads[`${v.name}.grad`]!.shape, v.shape, 'a gradient has the shape of its value');
    grads[`${v.name}.grad`]!.data.forEach((d, i) => (slope += d * u.get(v.name)![i]!));
  }
  const at = async (h: number): Promise<number> =>
    (await run(rt, g, { loss }, new Map(inputs.map(v => [v.name, x.get(v.name)!.map((a, i) => a + h * u.get(v.name)![i]!)]))))['loss']!
      .data[0]!;
  const h = 0.02;
  const difference = (8 * ((await at(h)) - (await at(-h))) - ((await at(2 * h)) - (await at(-2 * h)))) / (12 * h);
  assert.ok(Math.abs(difference - slope) <= 1e-3 * Math.max(1, Math.abs(difference)), `gradient ${slope}, finite difference ${difference}`);

  if (!('expand' in rows[op])) return;
  const simple = replay<string>(
    g,
    { ...named, loss },
    expand(o => o === op),
  );
  assert.ok(!simple.g.nodes.some(n => n.op === op), 'expand writes the op in others');
  const z = await run(rt, simple.g, Object.fromEntries(Object.keys(named).map(k => [k, simple.outputs[k]!])), x);
  for (const k of Object.keys(named))
    assert.ok(farthest(y[k]!.data, z[k]!.data) <= 1e-5, `expand differs from the op by ${farthest(y[k]!.data, z[k]!.data)}`);
  const derived = await run(rt, simple.g, gradsOf(simple.g, simple.outputs['loss']!), x);
  for (const k of Object.keys(grads))
    assert.ok(farthest(grads[k]!.data, derived[k]!.data) <= 1e-4, `the gradient derived from expand differs at ${k}`);
}

for (const room of ['binding', 'c-api'] as const)
  describe(`ops by the ${room}`, async () => {
    const rt = await openRuntime({ device: 'cpu', room, threads: 1 });
    after(() => rt.release());
    for (const op of Object.keys(examples) as (keyof Ops)[])
      test(op, async () => {
        for (const example of examples[op]) await check(rt, op, example);
      });
  });
