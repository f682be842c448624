/** @file The VAE in 16 bits: float16 whatever is asked, caches that stay narrow and are ready early, numbers that leave the range refused. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Graph, type Value } from '../../native-models/graph/graph.ts';
import { encode } from '../../native-models/graph/onnx.ts';
import { precision, replay } from '../../native-models/graph/passes.ts';
import { cacheInput, parseVaeConfig } from '../../native-models/models/autoencoder-kl-cogvideox.ts';
import { openVae, vaeChunk } from '../../native-models/pipelines/vae.ts';
import { openRuntime } from '../../native-models/runtime/device.ts';
import { openComponent } from '../../native-models/weights/checkpoint.ts';
import { Case, numbers, worst } from '../parity/case.ts';
import { kinds } from '../parity/kinds.ts';

const kase = new Case(join(import.meta.dirname, '../parity/cases/vae-tiled'));
const component = openComponent(join(import.meta.dirname, '../parity/cases/tiny/vae'));
const config = parseVaeConfig(component.config);
const runtime = await openRuntime({ device: 'cpu' });
after(() => runtime.release());

test('asked for bfloat16 it computes in float16: within 5e-3, which 8 bits of mantissa do not reach', async () => {
  let compared = 0;
  for await (const { name, data } of kinds['vae']!.run(kase, runtime, 'bfloat16')) {
    const error = worst(data, numbers(kase.header('outputs.safetensors').get(name)!).data);
    assert.ok(error > 1e-5 && error < 5e-3, `${name}: ${error}`);
    compared++;
  }
  assert.equal(compared, kase.wanted('outputs').length);
});

test('numbers that leave the range of float16 are refused with a sentence', async () => {
  const vae = openVae(runtime, component, 'float16');
  const latents = new Float32Array(config.latent_channels * 3 * 4 * 4).fill(1e6);
  await assert.rejects(Array.fromAsync(vae.decode(latents, [1, config.latent_channels, 3, 4, 4])), /not finite.*--precision float32/s);
  vae.release();
});

test('caches cross the edge in 16 bits, pixels and latents in float32', () => {
  const g = new Graph();
  const outputs = vaeChunk(g, config, 'decode', false, [1, config.latent_channels, 2, 4, 4]);
  const isCache = (name: string): boolean => name.endsWith(cacheInput(''));
  const narrow = replay<string>(
    g,
    outputs,
    precision(g, outputs, 'float16', () => 'float32', isCache),
  );
  const edges: [string, Value][] = [...Object.entries(narrow.outputs), ...[...narrow.g.named].filter(([, v]) => v.node.op === 'input')];
  for (const [name, v] of edges) assert.equal(v.dtype, isCache(name) ? 'float16' : 'float32', name);
  assert.equal(edges.filter(([name]) => isCache(name)).length, edges.length - 2);
});

test('outputs end the bytes in their order, and the first convolution is the last: its cache is cut first', () => {
  const g = new Graph();
  const root = g.Sqrt(g.input('x', [4]));
  const early = g.Neg(root); // written first, named last
  const bytes = Buffer.from(encode(g, { late: g.Tanh(root), early }, () => assert.fail('no weights here')));
  assert.ok(bytes.indexOf('Tanh_0') < bytes.indexOf('Neg_0'));

  const names = Object.keys(vaeChunk(new Graph(), config, 'decode', true, [1, config.latent_channels, 3, 4, 4]));
  assert.match(names[0]!, /^out$/);
  assert.match(names[1]!, /conv_out/);
  assert.match(names.at(-1)!, /conv_in/);
});
