/** @file Graphs without a runtime: what they refuse and how they say it, what reaches the bytes, and what stays the same. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gradients } from '../../native-models/graph/autodiff.ts';
import { Graph, reachable, type Value } from '../../native-models/graph/graph.ts';
import { encode, fromBits, toBits, type Stored } from '../../native-models/graph/onnx.ts';
import { conv3dAs2d, lora, precision, replay, type Rule } from '../../native-models/graph/passes.ts';
import { print } from '../../native-models/graph/print.ts';

const same: Rule = () => undefined;
const linear = (g: Graph, x: Value, out: number): Value =>
  g.Add(g.FusedMatMul(x, g.initializer('weight', [out, x.shape.at(-1)!]), { transB: 1 }), g.initializer('bias', [out]));
/** Two small layers with a bit of everything that a pass must carry over. */
function small(): { g: Graph; outputs: { y: Value; z: Value } } {
  const g = new Graph();
  const x = g.input('x', [2, 3, 4]);
  const h = g.at('up').Gelu(linear(g.at('up'), x, 6), { approximate: 'tanh' });
  const [a, b] = g.Split(h, [2, 4], { axis: -1 }) as readonly [Value, Value];
  const y = linear(g.at('down'), g.Concat([b, a], { axis: 2 }), 4);
  const picked = g.Gather(g.at('table').initializer('weight', [5, 4]), g.input('ids', [3], 'int64'), { axis: 0 });
  return { g, outputs: { y: g.Add(y, picked), z: g.Mul(a, g.constant(0.5, 'float32', [2])) } };
}
const somewhere =
  (g: Graph): ((name: string) => Stored) =>
  name => ({ location: 'weights', offset: 0, length: 4 * g.named.get(name)!.shape.reduce((a, b) => a * b, 1) });

describe('what is refused is said in one sentence', () => {
  const refusals: Record<string, [(g: Graph) => unknown, string]> = {
    'inner sizes': [
      g =>
        g
          .at('transformer_blocks')
          .at(0)
          .at('attn1.to_k')
          .FusedMatMul(g.input('x', [2, 77, 4096]), g.input('w', [1536, 5120]), { transB: 1 }),
      'FusedMatMul: inner sizes differ, float32[2,77,4096] x float32[1536,5120] at transformer_blocks.0.attn1.to_k',
    ],
    broadcasting: [
      g => g.Add(g.input('a', [2, 3]), g.input('b', [2])),
      'Add: shapes do not broadcast, float32[2,3] x float32[2] at the top',
    ],
    dtypes: [
      g => g.Mul(g.input('a', [2]), g.input('b', [2], 'float16')),
      'Mul: dtypes differ; Cast one of them, float32[2] x float16[2] at the top',
    ],
    reshape: [g => g.Reshape(g.input('a', [2, 3]), [4, -1]), 'Reshape: cannot become [4,-1], float32[2,3] at the top'],
    split: [g => g.Split(g.input('a', [5]), [2, 2], { axis: 0 }), 'Split: cannot be cut into [2,2] along axis 0, float32[5] at the top'],
    axis: [g => g.ReduceMean(g.input('a', [5]), [1], { keepdims: 1 }), 'ReduceMean: no axis 1, float32[5] at the top'],
    kernel: [
      g => g.Conv(g.input('x', [1, 2, 2, 2]), g.input('w', [3, 2, 4, 4]), undefined, { strides: [1, 1], pads: [0, 0, 0, 0] }),
      'Conv: the kernel is larger than its padded input, pads [0,0,0,0], float32[1,2,2,2] x float32[3,2,4,4] at the top',
    ],
    channels: [
      g => g.Conv(g.input('x', [1, 2, 5, 5]), g.input('w', [3, 4, 3, 3]), undefined, { strides: [1, 1], pads: [0, 0, 0, 0] }),
      'Conv: channels differ, float32[1,2,5,5] x float32[3,4,3,3] at the top',
    ],
    heads: [
      g => g.MultiHeadAttention(g.input('q', [1, 2, 6]), g.input('k', [1, 2, 6]), g.input('v', [1, 2, 6]), { num_heads: 4, scale: 1 }),
      'MultiHeadAttention: the width does not divide into 4 heads, float32[1,2,6] x float32[1,2,6] x float32[1,2,6] at the top',
    ],
    indices: [
      g => g.Gather(g.input('t', [5, 2]), g.input('i', [3]), { axis: 0 }),
      'Gather: indices must be int64, float32[5,2] x float32[3] at the top',
    ],
    'a name twice, two shapes': [
      g => [g.at('a').initializer('weight', [2]), g.at('a').initializer('weight', [3])],
      'initializer a.weight: already there as initializer float32[2], now wanted as float32[3]; give it another name',
    ],
    'a name twice, two kinds': [
      g => [g.input('a', [2]), g.initializer('a', [2])],
      'initializer a: already there as input float32[2], now wanted as float32[2]; give it another name',
    ],
    'too few numbers': [g => g.constant([1, 2, 3], 'float32', [2, 2]), 'constant: 3 numbers do not fill [2,2] at the top'],
    'a shape that is none': [g => g.input('a', [2, -1]), 'input a: [2,-1] is not a shape'],
  };
  for (const [name, [write, sentence]] of Object.entries(refusals))
    test(name, () => {
      assert.throws(() => write(new Graph()), { message: sentence });
    });

  test('a gradient that does not exist', () => {
    const g = new Graph();
    const [x, y] = [g.input('x', [2]), g.input('y', [2])];
    assert.throws(() => gradients(g, g.Mul(x, x), [y]), { message: 'the loss does not depend on y' });
    const turned = g
      .at('deep')
      .RotaryEmbedding(g.input('q', [1, 1, 3, 2]), g.constant([0], 'int64'), g.input('cos', [3, 1]), g.input('sin', [3, 1]), {
        interleaved: 1,
      });
    assert.throws(() => gradients(g, turned, [g.named.get('cos')!]), {
      message: 'RotaryEmbedding has no gradient for argument 2, wanted at deep',
    });
  });

  test('a weight whose bytes do not fit, an output named like an input', () => {
    const { g, outputs } = small();
    assert.throws(
      () => encode(g, outputs, () => ({ location: 'w', offset: 0, length: 5 })),
      /^Error: encode: up\.weight takes 96 bytes as float32\[6,4\], w holds 5; is it another dtype there\?$/,
    );
    assert.throws(() => encode(g, { x: outputs.y }, somewhere(g)), /^Error: encode: output x has the name of an input; give it another$/);
  });

  test('an adapter for another model', () => {
    const { g, outputs } = small();
    const modules = new Map(['down', 'sideways'].map(m => [m, { rank: 2, alpha: 2, A: `${m}.A`, B: `${m}.B` }]));
    assert.throws(() => replay(g, outputs, lora([{ scale: 1, modules }], 'input')), {
      message: /^lora: 1 adapted modules are not in this model, first sideways/,
    });
  });
});

test('what no output reaches is nowhere', () => {
  const g = new Graph();
  const x = g.input('x', [2]);
  const y = g.Mul(x, 3);
  const before = encode(g, { y }, somewhere(g));
  g.Neg(g.Add(y, g.at('unused').initializer('weight', [2])));
  assert.deepEqual(
    reachable(g, [y]).map(n => n.op),
    ['input', 'constant', 'Mul'],
  );
  assert.deepEqual(encode(g, { y }, somewhere(g)), before);
  assert.ok(!print(g, { y }).includes('unused'));
});

test('a print is stable: names count within their own path, numbers are short', () => {
  const write = (extra: boolean): string => {
    const g = new Graph();
    let x = g.input('x', [2, 4]);
    if (extra) x = g.at('before').Neg(x);
    const y = linear(g.at('layer'), g.Mul(x, 0.1), 3);
    return print(g, { y });
  };
  assert.equal(
    write(false),
    [
      'x = input()  float32[2,4]',
      'constant_0 = constant(0.1)  float32[]',
      'Mul_0 = Mul(x, constant_0)  float32[2,4]',
      'layer.weight = initializer()  float32[3,4]',
      'layer.FusedMatMul_0 = FusedMatMul(Mul_0, .weight, transB=1)  float32[2,3]',
      'layer.bias = initializer()  float32[3]',
      'layer.Add_0 = Add(.FusedMatMul_0, .bias)  float32[2,3]',
      'return y = layer.Add_0',
      '',
    ].join('\n'),
  );
  const changed = write(true)
    .split('\n')
    .filter(line => !write(false).includes(line));
  assert.deepEqual(changed, ['before.Neg_0 = Neg(x)  float32[2,4]', 'Mul_0 = Mul(before.Neg_0, constant_0)  float32[2,4]']);
  const g = new Graph();
  const long = (last: number): string => print(g, { c: g.constant([1, 2, 3, 4, 5, 6, 7, 8, last]) });
  assert.notEqual(long(9), long(9.5), 'a long constant is known by its numbers');
});

test('the same graph is the same bytes, another graph is others', () => {
  const bytes = (): Uint8Array => {
    const { g, outputs } = small();
    return encode(g, outputs, somewhere(g));
  };
  assert.deepEqual(bytes(), bytes());
  const { g, outputs } = small();
  const moved = encode(g, outputs, name => ({ ...somewhere(g)(name), offset: name === 'up.bias' ? 8 : 0 }));
  assert.notDeepEqual(moved, bytes());
});

test('replay without a rule is the same graph, and so is its replay', () => {
  const { g, outputs } = small();
  const once = replay(g, outputs, same);
  assert.equal(print(once.g, once.outputs), print(g, outputs));
  const twice = replay(once.g, once.outputs, same);
  assert.deepEqual(encode(twice.g, twice.outputs, somewhere(twice.g)), encode(g, outputs, somewhere(g)));
});

test('precision: edges stay float32, weights keep their dtype, int64 stays, angles stay float32', () => {
  const { g, outputs } = small();
  const angle = g.Cos(g.Mul(g.input('timestep', [1]), 0.01));
  const all = { ...outputs, w: g.Mul(angle, 2) };
  const stored = (name: string) => (name === 'up.weight' ? 'bfloat16' : 'float32');
  const inner = replay<string>(g, all, precision(g, all, 'bfloat16', stored));
  const nodes = reachable(inner.g, Object.values(inner.outputs));
  const types = (op: string): string[] => nodes.filter(n => n.op === op).flatMap(n => n.outputs.map(o => `${o.name} ${o.dtype}`));
  assert.deepEqual(types('input'), ['x float32', 'ids int64', 'timestep float32']);
  assert.deepEqual(types('initializer'), [
    'up.weight bfloat16',
    'up.bias float32',
    'down.weight float32',
    'down.bias float32',
    'table.weight float32',
  ]);
  assert.deepEqual(
    [...types('FusedMatMul'), ...types('Gelu')].filter(t => !t.endsWith(' bfloat16')),
    [],
  );
  assert.deepEqual(types('Cos'), ['Cos_0 float32']);
  assert.equal(nodes.find(n => n.op === 'Cos')!.args.length, 1);
  assert.deepEqual(
    Object.values(inner.outputs).map(o => o.dtype),
    ['float32', 'float32', 'float32'],
  );
  assert.ok(
    !nodes.some(n => n.op === 'Cast' && n.args[0] === inner.g.named.get('up.weight')),
    'a weight of the right dtype is read as it is',
  );
  assert.equal(nodes.filter(n => n.op === 'Cast' && n.args[0] === inner.g.named.get('x')).length, 1, 'an input is cast once');

  const plain = replay<string>(g, all, precision(g, all, 'float32'));
  assert.equal(print(plain.g, plain.outputs), print(g, all), 'float32 over float32 changes nothing');
});

test('a causal convolution over time becomes one a frame, others stay', () => {
  const g = new Graph();
  const conv = (name: string, strides: number[], pads: number[]): Value =>
    g.at(name).Conv(g.input('x', [1, 2, 4, 6, 6]), g.at(name).initializer('weight', [3, 2, 3, 3, 3]), undefined, { strides, pads });
  const all = {
    causal: conv('causal', [1, 1, 1], [0, 1, 1, 0, 1, 1]),
    strided: conv('strided', [2, 1, 1], [0, 1, 1, 0, 1, 1]),
    padded: conv('padded', [1, 1, 1], [1, 1, 1, 1, 1, 1]),
  };
  const flat = replay(g, all, conv3dAs2d);
  const ranks = (path: string): number[] =>
    flat.g.nodes.filter(n => n.op === 'Conv' && n.path === path).map(n => n.outputs[0]!.shape.length);
  assert.deepEqual([ranks('causal'), ranks('strided'), ranks('padded')], [[4, 4], [5], [5]]);
  assert.deepEqual(
    Object.values(flat.outputs).map(v => v.shape),
    Object.values(all).map(v => v.shape),
  );
});

describe('16-bit floats', () => {
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
  for (const dtype of ['float16', 'bfloat16'] as const)
    test(`every ${dtype} survives the way to float32 and back`, () => {
      const back = toBits(fromBits(bits, dtype), dtype);
      const floats = fromBits(bits, dtype);
      assert.deepEqual(
        bits.filter((b, i) => (Number.isNaN(floats[i]) ? !Number.isNaN(fromBits(back.slice(i, i + 1), dtype)[0]) : back[i] !== b)),
        new Uint16Array(),
      );
    });

  test('float16 rounds as the language does', () => {
    const near = fromBits(bits, 'float16').filter(x => Number.isFinite(x));
    const between = Float32Array.from(near, x => x * 1.00048828125); // about half a unit further: ties among them
    const random = Float32Array.from({ length: 20000 }, (_, i) => Math.sin(i) * 2 ** ((i % 50) - 30));
    for (const x of [near, between, random, Float32Array.of(65519.99, 65520, 1e9, -1e9, Infinity, 2 ** -25, 2 ** -24 * 1.5, 1e-10, -0)])
      assert.deepEqual(toBits(x, 'float16'), new Uint16Array(Float16Array.from(x).buffer));
  });

  test('bfloat16 rounds to nearest, ties to even', () => {
    // 1 + 2^-8 lies between 1 and 1 + 2^-7: to the even one, 1; 1 + 3 2^-8 to 1 + 2^-6
    assert.deepEqual(
      [...toBits([1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, 3.4e38, NaN], 'bfloat16')],
      [0x3f80, 0x3f82, 0x3f81, 0x7f80, 0x7fc0],
    );
  });
});
