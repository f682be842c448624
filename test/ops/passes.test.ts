/** @file Passes, recomputation and weights in files, by their numbers: what must not change them does not, and what must does as written out by hand. Both rooms. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { gradients } from '../../native-models/graph/autodiff.ts';
import { Graph, reachable, size, type DType, type Value } from '../../native-models/graph/graph.ts';
import { encode, toBits, type Stored } from '../../native-models/graph/onnx.ts';
import { conv3dAs2d, lora, precision, replay, stretchByProduct, type LoraAdapter } from '../../native-models/graph/passes.ts';
import { openRuntime } from '../../native-models/runtime/device.ts';
import type { Runtime } from '../../native-models/runtime/runtime.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-passes-'));
after(() => rmSync(folder, { recursive: true }));

const wave = (n: number, phase: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(12.9898 * i + phase));
/** One file of weights, each at an odd offset behind a few bytes of something else, as in a .safetensors file. */
function weightFile(
  name: string,
  tensors: Record<string, { dtype?: 'float32' | 'float16' | 'bfloat16'; data: Float32Array }>,
): (name: string) => Stored {
  const parts: Uint8Array[] = [new Uint8Array(13).fill(0x7b)];
  const places = new Map<string, Stored>();
  let offset = 13;
  for (const [key, { dtype = 'float32', data }] of Object.entries(tensors)) {
    const bytes = new Uint8Array(dtype === 'float32' ? data.slice().buffer : toBits(data, dtype).buffer);
    places.set(key, { location: name, offset, length: bytes.length });
    parts.push(bytes, new Uint8Array(3));
    offset += bytes.length + 3;
  }
  writeFileSync(join(folder, name), Buffer.concat(parts));
  return key => places.get(key) ?? assert.fail(`no weight ${key}`);
}
type Arrays = Readonly<Record<string, Float32Array>>;
async function run(
  rt: Runtime,
  graph: { g: Graph; outputs: Record<string, Value> },
  inputs: Arrays,
  stored: (name: string) => Stored,
): Promise<Arrays> {
  const program = await rt.load(encode(graph.g, graph.outputs, stored), { folder });
  const given = Object.fromEntries(program.inputs.map(k => [k, rt.tensor('float32', graph.g.named.get(k)!.shape, inputs[k]!)]));
  const made = await program.run(given);
  const out = Object.fromEntries(
    await Promise.all(Object.entries(made).map(async ([k, t]) => [k, (await t.read()) as Float32Array] as const)),
  );
  for (const t of [...Object.values(made), ...Object.values(given)]) t.release();
  program.release();
  return out;
}
const error = (a: Float32Array, b: Float32Array): number => {
  assert.equal(a.length, b.length);
  const worst = a.reduce((m, x, i) => Math.max(m, Number.isNaN(x) ? Infinity : Math.abs(x - b[i]!)), 0);
  return worst / b.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
};
const linear = (g: Graph, x: Value, out: number): Value =>
  g.Add(g.FusedMatMul(x, g.initializer('weight', [out, x.shape.at(-1)!]), { transB: 1 }), g.initializer('bias', [out]));
/** scale B A, added to a weight of [out, in ...]. */
const merged = (w: Float32Array, A: Float32Array, B: Float32Array, rank: number, scale: number): Float32Array => {
  const inner = A.length / rank;
  return w.map((x, i) => {
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += B[Math.floor(i / inner) * rank + r]! * A[r * inner + (i % inner)]!;
    return x + scale * sum;
  });
};

for (const room of ['binding', 'c-api'] as const)
  describe(`passes by the ${room}`, async () => {
    const rt = await openRuntime({ device: 'cpu', room, threads: 1 });
    after(() => rt.release());

    test('weights are read at odd offsets of a file, in the dtype they have there', async () => {
      const data = wave(12, 1);
      for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
        const stored = weightFile(`odd.${dtype}`, { 'layer.weight': { dtype, data }, 'layer.bias': { dtype, data: wave(3, 2) } });
        const g = new Graph();
        const outputs = { y: linear(g.at('layer'), g.input('x', [2, 4]), 3) };
        const inner = replay(
          g,
          outputs,
          precision(g, outputs, 'float32', () => dtype),
        );
        const { y } = await run(rt, inner, { x: Float32Array.of(1, 0, 0, 0, 0, 0, 1, 0) }, stored);
        const expected = [0, 4, 8, 2, 6, 10].map((i, k) => data[i]! + Math.sin(12.9898 * (k % 3) + 2));
        assert.ok(error(y!, Float32Array.from(expected)) < { float32: 1e-6, float16: 1e-3, bfloat16: 1e-2 }[dtype]);
      }
    });

    test('two adapters at once, a product, a patch and a convolution, are the merged weights', async () => {
      const shapes = { lin: [6, 4], patch: [6, 2, 2, 2], conv: [3, 2, 3, 3] };
      const write = (): { g: Graph; outputs: Record<string, Value> } => {
        const g = new Graph();
        const p = g.at('patch');
        return {
          g,
          outputs: {
            lin: g.at('lin').FusedMatMul(g.input('x', [2, 5, 4]), g.at('lin').initializer('weight', shapes.lin), { transB: 1 }),
            patch: p.FusedMatMul(g.input('patches', [5, 8]), p.Reshape(p.initializer('weight', shapes.patch), [6, 8]), { transB: 1 }),
            conv: g.at('conv').Conv(g.input('image', [1, 2, 5, 5]), g.at('conv').initializer('weight', shapes.conv), undefined, {
              strides: [2, 2],
              pads: [1, 1, 0, 0],
            }),
          },
        };
      };
      const weights: Record<string, { data: Float32Array }> = {};
      const sum: Record<string, { data: Float32Array }> = {};
      for (const [m, shape] of Object.entries(shapes)) sum[`${m}.weight`] = weights[`${m}.weight`] = { data: wave(size(shape), shape[0]!) };
      const adapters = [
        { scale: 0.7, rank: 2, alpha: 4, only: ['lin', 'patch', 'conv'] },
        { scale: -1.5, rank: 3, alpha: 1, only: ['lin', 'conv'] },
      ].map(({ scale, rank, alpha, only }, i): LoraAdapter => {
        const modules = only.map(m => {
          const [out, ...rest] = shapes[m as keyof typeof shapes] as [number, ...number[]];
          const names = { A: `${i}.${m}.A`, B: `${i}.${m}.B` };
          weights[names.A] = { data: wave(rank * size(rest), i + 1) };
          weights[names.B] = { data: wave(out * rank, i + 2) };
          sum[`${m}.weight`] = {
            data: merged(sum[`${m}.weight`]!.data, weights[names.A]!.data, weights[names.B]!.data, rank, (scale * alpha) / rank),
          };
          return [m, { rank, alpha, ...names }] as const;
        });
        return { scale, modules: new Map(modules) };
      });
      const inputs = { x: wave(40, 3), patches: wave(40, 4), image: wave(50, 5) };
      const plain = write();
      const want = await run(rt, plain, inputs, weightFile('merged', sum));
      const fixed = replay(plain.g, plain.outputs, lora(adapters, 'initializer'));
      const got = await run(rt, fixed, inputs, weightFile('parts', weights));
      const folding = replay(plain.g, plain.outputs, lora(adapters, 'folded'));
      const folded = await run(rt, folding, inputs, weightFile('folded', weights));
      const swapped = replay(plain.g, plain.outputs, lora(adapters, 'input'));
      const given = await run(
        rt,
        swapped,
        { ...inputs, ...Object.fromEntries(Object.entries(weights).map(([k, v]) => [k, v.data])) },
        weightFile('base', weights),
      );
      for (const k of Object.keys(want)) {
        assert.ok(error(got[k]!, want[k]!) < 1e-5, `${k} as initializers: ${error(got[k]!, want[k]!)}`);
        assert.ok(error(folded[k]!, want[k]!) < 1e-5, `${k} folded: ${error(folded[k]!, want[k]!)}`);
        assert.ok(error(given[k]!, want[k]!) < 1e-5, `${k} as inputs: ${error(given[k]!, want[k]!)}`);
      }
    });

    test('float16 inside: close to float32, the angle of a timestep exact, a residual sum beyond 65504 finite', async () => {
      const g = new Graph();
      const angle = g.Mul(g.input('timestep', [3]), g.constant(0.731));
      let x = linear(g.at('in'), g.input('x', [4, 8]), 8);
      for (let i = 0; i < 3; i++) {
        const b = g.at('block').at(i);
        const n = b.SimplifiedLayerNormalization(x, b.initializer('norm', [8]), { axis: -1, epsilon: 1e-6 });
        x = b.Add(x, b.FusedMatMul(b.Mul(n, 1000), b.initializer('weight', [8, 8]), { transB: 1 }));
      }
      const outputs: Record<string, Value> = {
        wave: g.Concat([g.Sin(angle), g.Cos(angle)], { axis: 0 }),
        y: g.SimplifiedLayerNormalization(x, g.initializer('norm', [8]), { axis: -1, epsilon: 1e-6 }),
      };
      const f16 = (n: number, phase: number, k = 1) => ({ dtype: 'float16' as const, data: wave(n, phase).map(v => k * v) });
      const weights = {
        'in.weight': f16(64, 1),
        'in.bias': f16(8, 2),
        norm: f16(8, 3),
        ...Object.fromEntries(
          [0, 1, 2].flatMap(
            i =>
              [
                [`block.${i}.norm`, f16(8, 4 + i)],
                [`block.${i}.weight`, f16(64, 7 + i, 60)],
              ] as const,
          ),
        ),
      };
      const stored = weightFile('deep', weights);
      const inputs = { timestep: Float32Array.of(999, 501, 1), x: wave(32, 9) };
      const inside = (dtype: DType) =>
        replay<string>(
          g,
          outputs,
          precision(g, outputs, dtype, () => 'float16'),
        );
      const want = await run(rt, inside('float32'), inputs, stored);
      const graph = inside('float16');
      const got = await run(rt, graph, inputs, stored);
      assert.ok(error(got['wave']!, want['wave']!) < 1e-3, `angles: ${error(got['wave']!, want['wave']!)}`);
      assert.ok(error(got['y']!, want['y']!) < 1e-2, `norm of the sum: ${error(got['y']!, want['y']!)}`);
      const products = reachable(graph.g, Object.values(graph.outputs)).filter(n => n.op === 'FusedMatMul');
      assert.ok(
        products.every(n => n.outputs[0]!.dtype === 'float16'),
        'every product is float16',
      );
      // on the CPU float16 is float32 in between, so that nothing overflows here: what keeps it from that on a GPU is in the graph
      assert.deepEqual(
        products.map(n => (n.args[2] as { alpha?: number }).alpha),
        [1 / 64, 1 / 64, 1 / 64, 1 / 64],
      );
      const peak = await run(
        rt,
        replay(
          g,
          { sum: x },
          precision(g, { sum: x }, 'float32', () => 'float16'),
        ),
        inputs,
        stored,
      );
      assert.ok(
        peak['sum']!.some(v => Math.abs(v) > 65504),
        'the example does leave the range',
      );
    });

    test('a causal 3-D convolution is the same as 2-D ones over the same bytes', async () => {
      const g = new Graph();
      const conv = (name: string, x: Value, out: number, strides: readonly number[]): Value => {
        const at = g.at(name);
        return at.Conv(x, at.initializer('weight', [out, x.shape[1]!, 3, 3, 3]), at.initializer('bias', [out]), {
          strides,
          pads: [0, 1, 1, 0, 1, 1],
        });
      };
      const y = conv('a', g.input('x', [2, 3, 7, 6, 5]), 4, [1, 1, 1]);
      const outputs = { y, z: conv('b', g.Slice(y, [0], [3], [2]), 2, [1, 2, 2]) };
      const stored = weightFile('conv', {
        'a.weight': { data: wave(324, 1) },
        'a.bias': { data: wave(4, 2) },
        'b.weight': { data: wave(216, 3) },
        'b.bias': { data: wave(2, 4) },
      });
      const inputs = { x: wave(1260, 5) };
      const want = await run(rt, { g, outputs }, inputs, stored);
      const flat = replay(g, outputs, conv3dAs2d);
      assert.ok(flat.g.nodes.every(n => n.op !== 'Conv' || n.outputs[0]!.shape.length === 4));
      const got = await run(rt, flat, inputs, stored);
      for (const k of ['y', 'z']) assert.ok(error(got[k]!, want[k]!) < 1e-5, `${k}: ${error(got[k]!, want[k]!)}`);
    });

    test('columns stretched by a product are those that Expand gives, and no other Expand is touched', async () => {
      const g = new Graph();
      const x = g.input('x', [2, 3, 5, 1]);
      const outputs = { y: g.Expand(x, [2, 3, 5, 4]), rows: g.Expand(g.input('r', [2, 1, 5, 1]), [2, 3, 5, 4]) };
      const inputs = { x: wave(30, 1), r: wave(10, 2) };
      const none = (): never => assert.fail('no weights');
      const want = await run(rt, { g, outputs }, inputs, none);
      const fast = replay(g, outputs, stretchByProduct);
      assert.deepEqual(
        fast.g.nodes.filter(n => n.op === 'Expand' || n.op === 'FusedMatMul').map(n => n.op),
        ['FusedMatMul', 'Expand'],
      );
      const got = await run(rt, fast, inputs, none);
      for (const k of ['y', 'rows']) assert.deepEqual(got[k], want[k]);
    });

    test('gradients with recomputation are the gradients, and nothing of a block is kept', async () => {
      const g = new Graph();
      const x = g.input('x', [3, 8]);
      const wrt: Value[] = [];
      let y = x;
      for (let i = 0; i < 4; i++) {
        const b = g.at('block').at(i);
        const [A, B] = [b.input(`A${i}`, [2, 8]), b.input(`B${i}`, [8, 2])];
        const [left, right] = b.Split(
          b.Gelu(b.FusedMatMul(b.FusedMatMul(y, A, { transB: 1 }), B, { transB: 1 }), { approximate: 'tanh' }),
          [4, 4],
          { axis: 1 },
        ) as readonly [Value, Value];
        y = b.Add(y, b.Concat([b.Mul(left, right), right], { axis: 1 }));
        wrt.push(A, B);
      }
      const loss = g.ReduceMean(g.Mul(y, y), [0, 1], { keepdims: 0 });
      const named = (d: readonly Value[]): Record<string, Value> => Object.fromEntries(d.map((v, i) => [`d.${wrt[i]!.name}`, v]));
      const blockOf = (path: string): string | undefined => /^block\.\d+/.exec(path)?.[0];
      const [kept, again] = [named(gradients(g, loss, wrt)), named(gradients(g, loss, wrt, blockOf))];
      const inputs = { x: wave(24, 1), ...Object.fromEntries(wrt.map((v, i) => [v.name, wave(16, i + 2)])) };
      const none = (): never => assert.fail('no weights');
      const want = await run(rt, { g, outputs: kept }, inputs, none);
      const got = await run(rt, { g, outputs: again }, inputs, none);
      for (const k of Object.keys(want)) assert.ok(error(got[k]!, want[k]!) < 1e-6, `${k}: ${error(got[k]!, want[k]!)}`);
      // on the way back nothing reads what a block computed the first time but the block's own result
      const inner = new Set(
        g.nodes
          .filter(n => blockOf(n.path) !== undefined && !/\.(grad|again)$/.test(n.path) && n.args.length && n.op !== 'Add')
          .flatMap(n => n.outputs),
      );
      const back = reachable(g, Object.values(again)).filter(n => /\.(grad|again)$/.test(n.path));
      assert.ok(back.length > 40);
      assert.deepEqual(
        back.filter(n => n.args.flat().some(a => inner.has(a as Value))).map(n => n.outputs[0]!.name),
        [],
      );
    });
  });
