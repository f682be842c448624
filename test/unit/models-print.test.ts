/** @file The graph of each model at a tiny size, as text, against test/golden/*.txt. A refactor shows an empty diff; `UPDATE_GOLDEN=1 npm test` writes them anew. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Graph, type Value } from '../../native-models/graph/graph.ts';
import { print } from '../../native-models/graph/print.ts';
import { cogvideoxTransformer3d, parseTransformerConfig } from '../../native-models/models/cogvideox-transformer-3d.ts';
import { parseVaeConfig } from '../../native-models/models/autoencoder-kl-cogvideox.ts';
import { parseT5Config, t5Encoder } from '../../native-models/models/t5-encoder.ts';
import { vaeChunk } from '../../native-models/pipelines/vae.ts';

const transformer = (rotary: boolean) => (g: Graph) => {
  const config = parseTransformerConfig({
    num_attention_heads: 4,
    attention_head_dim: 16,
    time_embed_dim: 32,
    text_embed_dim: 24,
    num_layers: 2,
    sample_height: 8,
    sample_width: 12,
    sample_frames: 9,
    max_text_seq_length: 7,
    use_rotary_positional_embeddings: rotary,
  });
  return {
    sample: cogvideoxTransformer3d(
      g,
      config,
      g.input('hidden_states', [2, 4, 16, 8, 12]),
      g.input('encoder_hidden_states', [2, 7, 24]),
      g.input('timestep', [2]),
    ),
  };
};
const t5 = (g: Graph) => {
  const config = parseT5Config({
    vocab_size: 96,
    d_model: 32,
    d_kv: 8,
    d_ff: 64,
    num_layers: 2,
    num_heads: 4,
    feed_forward_proj: 'gated-gelu',
  });
  return { last_hidden_state: t5Encoder(g, config, g.input('input_ids', [2, 7], 'int64')) };
};
const vae = (kind: 'encode' | 'decode', first: boolean, shape: readonly [number, number, number, number, number]) => (g: Graph) =>
  vaeChunk(
    g,
    parseVaeConfig({
      block_out_channels: [8, 16, 16, 24],
      layers_per_block: 1,
      norm_num_groups: 4,
      sample_height: 96,
      sample_width: 128,
      scaling_factor: 0.7,
    }),
    kind,
    first,
    shape,
  );

const graphs: Readonly<Record<string, (g: Graph) => Record<string, Value>>> = {
  'cogvideox-transformer-3d': transformer(true),
  'cogvideox-transformer-3d-2b': transformer(false),
  't5-encoder': t5,
  'vae-encode-first': vae('encode', true, [1, 3, 9, 48, 64]),
  'vae-encode-later': vae('encode', false, [1, 3, 8, 48, 64]),
  'vae-decode-first': vae('decode', true, [1, 16, 3, 6, 8]),
  'vae-decode-later': vae('decode', false, [1, 16, 2, 6, 8]),
};

for (const [name, write] of Object.entries(graphs))
  test(`the graph of ${name} is the one that is committed`, () => {
    const g = new Graph();
    const now = print(g, write(g));
    const file = join(import.meta.dirname, '../golden', `${name}.txt`);
    if (process.env['UPDATE_GOLDEN']) writeFileSync(file, now);
    assert.equal(now, readFileSync(file, 'utf8'));
  });
