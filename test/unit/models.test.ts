/** @file What the models refuse, and their rules of size: positions, chunks of time, tiles, buckets. Numbers to compare with are diffusers' and transformers' own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Graph } from '../../native-models/graph/graph.ts';
import { parseVaeConfig, timeChunks } from '../../native-models/models/autoencoder-kl-cogvideox.ts';
import {
  cogvideoxTransformer3d,
  cropsFor,
  parseTransformerConfig,
  rotaryTables,
} from '../../native-models/models/cogvideox-transformer-3d.ts';
import { parseT5Config, relativePositionBucket } from '../../native-models/models/t5-encoder.ts';
import { tilingOf } from '../../native-models/pipelines/vae.ts';

const base = { num_attention_heads: 48, num_layers: 42, use_rotary_positional_embeddings: true };

test('a transformer of a kind that is not computed is refused by name', () => {
  const refusals: readonly (readonly [object, RegExp])[] = [
    [{ in_channels: 32 }, /in_channels is 32.*image-to-video/],
    [{ patch_size_t: 2 }, /patch_size_t is 2.*1\.5/],
    [{ ofs_embed_dim: 512 }, /ofs_embed_dim is 512.*1\.5/],
    [{ use_learned_positional_embeddings: true }, /use_learned_positional_embeddings/],
    [{ activation_fn: 'geglu' }, /activation_fn is "geglu"/],
    [{ attention_head_dim: 24 }, /attention_head_dim is 24.*16/],
    [{ num_layers: 0 }, /num_layers is 0/],
    [{ norm_eps: '1e-5' }, /norm_eps is "1e-5"/],
    [{ _class_name: 'WanTransformer3DModel' }, /_class_name is "WanTransformer3DModel"/],
  ];
  for (const [change, message] of refusals) assert.throws(() => parseTransformerConfig({ ...base, ...change }), message);
  assert.throws(() => parseTransformerConfig([]), /not a JSON object/);
  assert.equal(parseTransformerConfig({ ...base, patch_size_t: null, ofs_embed_dim: null }).num_layers, 42);
});

test('a VAE or text encoder of a kind that is not computed is refused by name', () => {
  const refusals: readonly (readonly [object, RegExp])[] = [
    [{ use_quant_conv: true }, /use_quant_conv is true/],
    [{ latents_mean: [0] }, /latents_mean/],
    [{ shift_factor: 0.1 }, /shift_factor is 0\.1/],
    [{ down_block_types: ['DownBlock3D'] }, /down_block_types/],
    [{ block_out_channels: [128, 250] }, /block_out_channels.*norm_num_groups, 32/],
    [{ temporal_compression_ratio: 3 }, /temporal_compression_ratio is 3/],
  ];
  for (const [change, message] of refusals) assert.throws(() => parseVaeConfig(change), message);
  assert.throws(() => parseT5Config({ feed_forward_proj: 'relu' }), /feed_forward_proj is "relu"/);
  assert.throws(() => parseT5Config({}), /feed_forward_proj/);
});

test('latents that do not fit the transformer are refused with their shape', () => {
  const g = new Graph();
  const config = parseTransformerConfig({ ...base, num_layers: 1 });
  const text = g.input('encoder_hidden_states', [1, 226, 4096]);
  const t = g.input('timestep', [1]);
  assert.throws(() => cogvideoxTransformer3d(g, config, g.input('odd', [1, 3, 16, 9, 12]), text, t), /\[1,3,16,9,12\].*divisible by 2/);
  assert.throws(() => cogvideoxTransformer3d(g, config, g.input('wide', [1, 3, 32, 8, 12]), text, t), /16 channels/);
});

test('another size is laid into the trained grid as the pipeline of diffusers does it', () => {
  const config = parseTransformerConfig({ ...base, sample_height: 60, sample_width: 90 }); // 30 x 45 patches
  assert.deepEqual(cropsFor(config, 30, 45), [
    [0, 0],
    [30, 45],
  ]);
  assert.deepEqual(cropsFor(config, 45, 45), [
    [0, 8],
    [30, 38],
  ]); // square: (45 - 30) / 2 = 7.5 goes to the even 8
  assert.deepEqual(cropsFor(config, 45, 30), [
    [0, 12],
    [30, 32],
  ]);
  assert.deepEqual(cropsFor(config, 16, 48), [
    [8, 0],
    [23, 45],
  ]); // upright: 15 rows, 7.5 goes to 8
  const { cos, pairs } = rotaryTables(config, 2, 45, 45);
  const token = 45 * 45 + 3 * 45 + 5; // frame 1, row 3, column 5
  assert.equal(pairs, 32);
  const near = (i: number, angle: number): void => assert.ok(Math.abs(cos[token * pairs + i]! - Math.cos(angle)) < 1e-6, `pair ${i}`);
  near(0, 1); // time: position 1
  near(8, 3 * (30 / 45)); // row 3 of 45 spread over 0 to 30
  near(20, 8 + 5 * ((38 * (44 / 45) - 8) / 44)); // column 5 of 45, from 8 to 38 · 44/45
});

test('time is cut as diffusers cuts it, odd and even numbers alike', () => {
  const lengths = (n: number, size: number): number[] => timeChunks(n, size).map(({ start, end }) => end - start);
  assert.deepEqual(lengths(49, 8), [9, 8, 8, 8, 8, 8]);
  assert.deepEqual(lengths(1, 8), [1]);
  assert.deepEqual(lengths(5, 8), [5]);
  assert.deepEqual(lengths(12, 8), [12]);
  assert.deepEqual(lengths(16, 8), [8, 8]);
  assert.deepEqual(lengths(13, 2), [3, 2, 2, 2, 2, 2]);
  assert.deepEqual(lengths(4, 2), [2, 2]);
  assert.deepEqual(lengths(1, 2), [1]);
  for (const n of [1, 7, 9, 24, 31])
    assert.equal(
      lengths(n, 8).reduce((a, b) => a + b),
      n,
    );
});

test('tiles are half of the sample size unless said otherwise', () => {
  const config = parseVaeConfig({});
  assert.deepEqual(tilingOf(config), {
    tile_sample_min_height: 240,
    tile_sample_min_width: 360,
    tile_latent_min_height: 30,
    tile_latent_min_width: 45,
    tile_overlap_factor_height: 1 / 6,
    tile_overlap_factor_width: 1 / 5,
  });
  assert.equal(tilingOf(config, { tile_sample_min_width: 100 }).tile_latent_min_width, 12);
  assert.throws(() => tilingOf(config, { tile_overlap_factor_height: 1 }), /tile_overlap_factor_height is 1/);
  assert.throws(() => tilingOf(config, { tile_sample_min_height: 0 }), /tile_sample_min_height is 0/);
});

test('relative positions fall into the buckets of T5', () => {
  const config = parseT5Config({ feed_forward_proj: 'gated-gelu' });
  const bucket = (d: number): number => relativePositionBucket(config, d);
  assert.deepEqual([0, -1, -7, -8, -11, -12, -16, -128, -1000].map(bucket), [0, 1, 7, 8, 8, 9, 10, 15, 15]);
  assert.deepEqual([1, 7, 8, 12, 127, 128].map(bucket), [17, 23, 24, 25, 31, 31]);
});
