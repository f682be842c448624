/** @file T5EncoderModel, the v1.1 kind (transformers models/t5/modeling_t5.py): pre-norm blocks, gated GELU, no biases, no scaling of the scores, one table of relative positions
 * for all layers. Padding is attended like any word: CogVideoX gives no mask. */
import type { Graph, Value } from '../graph/graph.ts';
import { ConfigReader, linear } from './layers.ts';

/** config.json, its keys as they stand there. */
export interface T5Config {
  readonly vocab_size: number;
  readonly d_model: number;
  readonly d_kv: number;
  readonly d_ff: number;
  readonly num_layers: number;
  readonly num_heads: number;
  readonly relative_attention_num_buckets: number;
  readonly relative_attention_max_distance: number;
  readonly layer_norm_epsilon: number;
}

/** A T5EncoderModel's config.json, checked.
 * @throws one sentence naming the entry if it is not of the v1.1 kind */
export function parseT5Config(config: unknown): T5Config {
  const c = new ConfigReader(config, 'T5EncoderModel');
  c.only('model_type', ['t5']);
  c.only('feed_forward_proj', ['gated-gelu'], 'relu'); // the upstream default is the v1.0 kind
  c.only('is_decoder', [false]);
  const buckets = c.int('relative_attention_num_buckets', 32);
  if (buckets % 4) c.refuse('relative_attention_num_buckets', 'must be a multiple of 4');
  return {
    vocab_size: c.int('vocab_size', 32128),
    d_model: c.int('d_model', 512),
    d_kv: c.int('d_kv', 64),
    d_ff: c.int('d_ff', 2048),
    num_layers: c.int('num_layers', 6),
    num_heads: c.int('num_heads', 8),
    relative_attention_num_buckets: buckets,
    relative_attention_max_distance: c.int('relative_attention_max_distance', 128),
    layer_norm_epsilon: c.positive('layer_norm_epsilon', 1e-6),
  };
}

/** The text's hidden states after the final norm.
 * @param input_ids [B, T], int64, 0 to vocab_size - 1, padded with 0
 * @returns last_hidden_state [B, T, d_model] */
export function t5Encoder(g: Graph, c: T5Config, input_ids: Value): Value {
  const T = input_ids.shape[1]!;
  const encoder = g.at('encoder');
  let x = g.Gather(g.at('shared').initializer('weight', [c.vocab_size, c.d_model]), input_ids, { axis: 0 }); // [B, T, D]
  const bias = positionBias(encoder.at('block.0.layer.0.SelfAttention'), c, T); // [1, H, T, T]
  for (let i = 0; i < c.num_layers; i++) {
    const attn = encoder.at('block').at(i).at('layer.0');
    const ff = encoder.at('block').at(i).at('layer.1');
    const dense = ff.at('DenseReluDense');
    x = attn.Add(x, attention(attn.at('SelfAttention'), c, rmsNorm(attn.at('layer_norm'), c, x), bias)); // [B, T, D]
    const y = rmsNorm(ff.at('layer_norm'), c, x);
    const gate = dense.Gelu(linear(dense.at('wi_0'), y, c.d_ff, false), { approximate: 'tanh' }); // [B, T, d_ff]
    const gated = dense.Mul(gate, linear(dense.at('wi_1'), y, c.d_ff, false)); // [B, T, d_ff]
    x = ff.Add(x, linear(dense.at('wo'), gated, c.d_model, false)); // [B, T, D]
  }
  return rmsNorm(encoder.at('final_layer_norm'), c, x); // [B, T, D]
}

/** x / sqrt(mean x² + epsilon) · weight */
const rmsNorm = (g: Graph, c: T5Config, x: Value): Value =>
  g.SimplifiedLayerNormalization(x, g.initializer('weight', [c.d_model]), { axis: -1, epsilon: c.layer_norm_epsilon });

/** softmax(q kᵀ + bias) v; no division by √d, the weights were trained with it inside. x [B, T, D] -> [B, T, D] */
function attention(g: Graph, c: T5Config, x: Value, bias: Value): Value {
  const [B, T] = x.shape as readonly [number, number, number];
  const H = c.num_heads;
  const d = c.d_kv;
  const head = (to: string): Value => g.Transpose(g.Reshape(linear(g.at(to), x, H * d, false), [B, T, H, d]), { perm: [0, 2, 1, 3] }); // [B, H, T, d]
  const scores = g.Add(g.FusedMatMul(head('q'), head('k'), { transB: 1 }), bias); // [B, H, T, T]
  const o = g.FusedMatMul(g.Softmax(scores, { axis: -1 }), head('v')); // [B, H, T, d]
  return linear(g.at('o'), g.Reshape(g.Transpose(o, { perm: [0, 2, 1, 3] }), [B, T, H * d]), c.d_model, false); // [B, T, D]
}

/** What each head adds to the score of a query for a key so many places before or behind it, [1, H, T, T]. */
function positionBias(g: Graph, c: T5Config, T: number): Value {
  const rows = Array.from({ length: T * T }, (_, i) => relativePositionBucket(c, (i % T) - Math.floor(i / T)));
  const table = g.at('relative_attention_bias').initializer('weight', [c.relative_attention_num_buckets, c.num_heads]);
  const bias = g.Gather(table, g.constant(rows, 'int64', [T, T]), { axis: 0 }); // [T, T, H]
  return g.Reshape(g.Transpose(bias, { perm: [2, 0, 1] }), [1, c.num_heads, T, T]); // [1, H, T, T]
}

/** The bucket of a distance (key's place minus query's): half of the buckets for keys behind, and of each half one half exact, the other logarithmic up to
 * the largest distance. In float32, as torch computes it: at the borders the last bit decides. */
export function relativePositionBucket(c: T5Config, distance: number): number {
  const half = c.relative_attention_num_buckets / 2;
  const exact = half / 2;
  const n = Math.abs(distance);
  const side = distance > 0 ? half : 0;
  const f32 = Math.fround;
  if (n < exact) return side + n;
  const share = f32(f32(Math.log(f32(n / exact))) / f32(Math.log(c.relative_attention_max_distance / exact)));
  return side + Math.min(half - 1, exact + Math.floor(f32(share * (half - exact))));
}
