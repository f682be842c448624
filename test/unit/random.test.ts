/** @file torch.randn of the CPU, bit for bit, against digests that torch wrote (schedulers/make.py). */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Generator, type NoiseDType } from '../../native-models/schedulers/random.ts';

interface Case {
  seed: string;
  draws: [number, NoiseDType][];
  sha256: string;
}

const cases = JSON.parse(gunzipSync(readFileSync(new URL('schedulers/random.json.gz', import.meta.url))).toString()) as Case[];

test('draws are those of torch, bit for bit, also across a saved state', () => {
  assert.equal(cases.length, 150);
  let values = 0;
  const wrong: string[] = [];
  for (const { seed, draws, sha256 } of cases) {
    let generator = new Generator(BigInt(seed));
    const digest = createHash('sha256');
    for (const [n, dtype] of draws) {
      const drawn = generator.randn([n], dtype);
      digest.update(new Uint8Array(drawn.buffer));
      values += n;
      generator = Generator.restore(generator.state()); // a kept sine must survive this
    }
    if (digest.digest('hex') !== sha256) wrong.push(`${seed}: ${JSON.stringify(draws)}`);
  }
  assert.deepEqual(wrong, []);
  assert.ok(values > 1_500_000);
});

test('the shape only counts its product', () => {
  assert.deepEqual(new Generator(7).randn([2, 3, 4]), new Generator(7).randn([24]));
  assert.equal(new Generator(7).randn([0]).length, 0);
  assert.equal(new Generator(7).randn([]).length, 1);
});

test('only the low 32 bits of a seed count, as in torch', () => {
  assert.deepEqual(new Generator(2n ** 40n + 5n).randn([16]), new Generator(5).randn([16]));
});

test('seeds and states that are none are refused', () => {
  for (const seed of [-1, 1.5, Number.NaN, 2 ** 60, -1n, 2n ** 64n]) assert.throws(() => new Generator(seed), /seed/);
  assert.throws(() => new Generator(0).randn([-1]), RangeError);
  const state = new Generator(0).state();
  assert.throws(() => Generator.restore(state.subarray(1)), /state/);
  const spoiled = state.slice();
  spoiled[0] = 0;
  assert.throws(() => Generator.restore(spoiled), /state/);
});
