/** @file CogVideoXTransformer3DModel (diffusers models/transformers/cogvideox_transformer_3d.py, models/embeddings.py; the tables as pipelines/cogvideo/pipeline_cogvideox.py prepares them).
 * Both families: rotary positions (5B) and added sin-cos positions (2B). A reference is a clean latent frame in front of the video: same patches, same modulation, times from 0 on. */
import type { Graph, Value } from '../graph/graph.ts';
import { ConfigReader, layerNorm, linear, silu } from './layers.ts';

/** config.json, its keys as they stand there; what is not used by the mathematics is left out. */
export interface TransformerConfig {
  readonly num_attention_heads: number;
  readonly attention_head_dim: number;
  readonly in_channels: number;
  readonly out_channels: number;
  readonly flip_sin_to_cos: boolean;
  readonly freq_shift: number;
  readonly time_embed_dim: number;
  readonly text_embed_dim: number;
  readonly num_layers: number;
  readonly attention_bias: boolean;
  readonly sample_width: number;
  readonly sample_height: number;
  readonly sample_frames: number;
  readonly patch_size: number;
  readonly temporal_compression_ratio: number;
  readonly max_text_seq_length: number;
  readonly norm_eps: number;
  readonly spatial_interpolation_scale: number;
  readonly temporal_interpolation_scale: number;
  readonly use_rotary_positional_embeddings: boolean;
}

/** A CogVideoXTransformer3DModel's config.json, checked.
 * @throws one sentence naming the entry where the checkpoint is of a kind that is not computed here: the 32-channel image-to-video ones, patch_size_t and ofs_embed_dim (CogVideoX 1.5), learned positions */
export function parseTransformerConfig(config: unknown): TransformerConfig {
  const c = new ConfigReader(config, 'CogVideoXTransformer3DModel');
  c.only('_class_name', ['CogVideoXTransformer3DModel']);
  if ((c.values['patch_size_t'] ?? null) !== null)
    c.refuse('patch_size_t', 'belongs to CogVideoX 1.5, which is not supported; use a CogVideoX 1.0 checkpoint (2B or 5B)');
  if ((c.values['ofs_embed_dim'] ?? null) !== null)
    c.refuse('ofs_embed_dim', 'belongs to CogVideoX 1.5 image-to-video, which is not supported; use a CogVideoX 1.0 checkpoint (2B or 5B)');
  const in_channels = c.int('in_channels', 16);
  const out_channels = c.int('out_channels', 16);
  if (in_channels !== out_channels)
    c.refuse(
      'in_channels',
      `is not out_channels (${out_channels}): an image-to-video checkpoint with the image beside the noise is not supported; use a text-to-video one, the photo becomes a reference frame`,
    );
  if (c.flag('use_learned_positional_embeddings', false))
    c.refuse('use_learned_positional_embeddings', 'must be false: a learned table fits one size only and has no row for a reference frame');
  c.only('activation_fn', ['gelu-approximate']);
  c.only('timestep_activation_fn', ['silu']);
  c.only('norm_elementwise_affine', [true]);
  c.only('patch_bias', [true]);
  const heads = c.int('num_attention_heads', 30);
  const head = c.int('attention_head_dim', 64);
  const rotary = c.flag('use_rotary_positional_embeddings', false);
  if (rotary && head % 16)
    c.refuse('attention_head_dim', 'must be a multiple of 16: a quarter of a head turns with time, three eighths each with row and column');
  if ((heads * head) % 16) c.refuse('num_attention_heads', `times attention_head_dim is ${heads * head}, it must be a multiple of 16`);
  return {
    num_attention_heads: heads,
    attention_head_dim: head,
    in_channels,
    out_channels,
    flip_sin_to_cos: c.flag('flip_sin_to_cos', true),
    freq_shift: c.int('freq_shift', 0, 0),
    time_embed_dim: c.int('time_embed_dim', 512),
    text_embed_dim: c.int('text_embed_dim', 4096),
    num_layers: c.int('num_layers', 30),
    attention_bias: c.flag('attention_bias', true),
    sample_width: c.int('sample_width', 90),
    sample_height: c.int('sample_height', 60),
    sample_frames: c.int('sample_frames', 49),
    patch_size: c.int('patch_size', 2),
    temporal_compression_ratio: c.int('temporal_compression_ratio', 4),
    max_text_seq_length: c.int('max_text_seq_length', 226),
    norm_eps: c.positive('norm_eps', 1e-5),
    spatial_interpolation_scale: c.positive('spatial_interpolation_scale', 1.875),
    temporal_interpolation_scale: c.positive('temporal_interpolation_scale', 1),
    use_rotary_positional_embeddings: rotary,
  };
}

/** The part of the trained grid, in patches, that another grid is laid over: [[top, left], [bottom, right]]. */
export type Crops = readonly [start: readonly [number, number], stop: readonly [number, number]];

/** The block a path lies in: what gradients() recomputes as one. */
export const transformerBlockOf = (path: string): string | undefined => /^transformer_blocks\.\d+/.exec(path)?.[0];

/** One prediction. Reference frames are simply the first of F; whoever put them there drops their outputs.
 * @param hidden_states [B, F, C, H, W], H and W divisible by patch_size
 * @param encoder_hidden_states [B, T, text_embed_dim]
 * @param timestep [B], 0 to 999, float32
 * @param crops of the rotary family only: instead of those that the pipeline derives from the config's sample size
 * @returns sample [B, F, C, H, W] */
export function cogvideoxTransformer3d(
  g: Graph,
  c: TransformerConfig,
  hidden_states: Value,
  encoder_hidden_states: Value,
  timestep: Value,
  crops?: Crops,
): Value {
  const [B, F, C, H, W] = hidden_states.shape as readonly [number, number, number, number, number];
  const T = encoder_hidden_states.shape[1]!;
  const D = c.num_attention_heads * c.attention_head_dim;
  const p = c.patch_size;
  const [h, w] = [H / p, W / p];
  const V = F * h * w;
  if (C !== c.in_channels || H % p || W % p) {
    const fit = `${c.in_channels} channels, height and width divisible by ${p}`;
    throw new Error(`latents [${hidden_states.shape.join(',')}] do not fit this transformer: it takes ${fit}`);
  }

  const emb = silu(g, timeEmbedding(g, c, timestep, D)); // [B, E]

  const e = g.at('patch_embed');
  const proj = e.at('proj'); // a convolution of patch by patch, written as the product it is
  const split = e.Transpose(e.Reshape(hidden_states, [B, F, C, h, p, w, p]), { perm: [0, 1, 3, 5, 2, 4, 6] }); // [B, F, h, w, C, p, p]
  const kernel = proj.Reshape(proj.initializer('weight', [D, C, p, p]), [D, C * p * p]); // [D, C p p]
  let video = proj.FusedMatMul(e.Reshape(split, [B, V, C * p * p]), kernel, { transB: 1 }); // [B, V, D]
  video = proj.Add(video, proj.initializer('bias', [D]));
  let text = linear(e.at('text_proj'), encoder_hidden_states, D); // [B, T, D]
  let rotary: Rotary | undefined;
  if (c.use_rotary_positional_embeddings) rotary = rotaryOf(g.at('rotary'), rotaryTables(c, F, h, w, crops), T);
  else video = e.Add(video, sinCosTable(e, c, F, h, w)); // text gets no position

  // Text and video stay apart, so that each is modulated by broadcasting alone; they meet where the weights see both.
  for (let i = 0; i < c.num_layers; i++) {
    const b = g.at('transformer_blocks').at(i);
    const n1 = modulated(b.at('norm1'), c, text, video, emb); // [B, T+V, D]
    const [a0, a1] = b.Split(attention(b.at('attn1'), c, n1.x, rotary), [T, V], { axis: 1 }); // [B, T, D] [B, V, D]
    text = b.Add(text, b.Mul(a0!, n1.encGate));
    video = b.Add(video, b.Mul(a1!, n1.gate));

    const n2 = modulated(b.at('norm2'), c, text, video, emb); // [B, T+V, D]
    const ff = b.at('ff.net');
    const up = ff.Gelu(linear(ff.at('0.proj'), n2.x, 4 * D), { approximate: 'tanh' }); // [B, T+V, 4 D]
    const [f0, f1] = b.Split(linear(ff.at(2), up, D), [T, V], { axis: 1 }); // [B, T, D] [B, V, D]
    text = b.Add(text, b.Mul(f0!, n2.encGate));
    video = b.Add(video, b.Mul(f1!, n2.gate));
  }

  const o = g.at('norm_out');
  const [shift, scale] = pieces(o, linear(o.at('linear'), emb, 2 * D), 2); // [B, 1, D] each
  const y = modulate(o, c, layerNorm(g.at('norm_final'), video, c.norm_eps), shift!, scale!); // [B, V, D]
  const out = linear(g.at('proj_out'), y, C * p * p); // [B, V, C p p]
  const joined = g.Transpose(g.Reshape(out, [B, F, h, w, C, p, p]), { perm: [0, 1, 4, 2, 5, 3, 6] }); // [B, F, C, h, p, w, p]
  return g.Reshape(joined, [B, F, C, H, W]); // [B, F, C, H, W]
}

/** CogVideoXLayerNormZero: text [B, T, D] and video [B, V, D] normed by the same weights, each with its own shift, scale and gate of emb [B, E].
 * @returns x [B, T+V, D], and the gates [B, 1, D] for what is made of it */
function modulated(g: Graph, c: TransformerConfig, text: Value, video: Value, emb: Value): { x: Value; gate: Value; encGate: Value } {
  const [shift, scale, gate, encShift, encScale, encGate] = pieces(g, linear(g.at('linear'), emb, 6 * video.shape[2]!), 6); // [B, 1, D] each
  const x = g.Concat([modulate(g, c, text, encShift!, encScale!), modulate(g, c, video, shift!, scale!)], { axis: 1 }); // [B, T+V, D]
  return { x, gate: gate!, encGate: encGate! };
}
/** LN(x) (1 + scale) + shift, the norm's own weights at `norm`. x [B, S, D] */
const modulate = (g: Graph, c: TransformerConfig, x: Value, shift: Value, scale: Value): Value =>
  g.Add(g.Mul(layerNorm(g.at('norm'), x, c.norm_eps), g.Add(scale, 1)), shift);
/** [B, n D] -> n of [B, 1, D] */
function pieces(g: Graph, x: Value, n: number): readonly Value[] {
  const [B, W] = x.shape as readonly [number, number];
  return g.Split(g.Reshape(x, [B, 1, W]), Array<number>(n).fill(W / n), { axis: 2 });
}

/** softmax(q kᵀ / √d) v over text and video together, q and k normed per head and turned. x [B, S, D] -> [B, S, D] */
function attention(g: Graph, c: TransformerConfig, x: Value, rotary: Rotary | undefined): Value {
  const [B, S, D] = x.shape as readonly [number, number, number];
  const [H, d] = [c.num_attention_heads, c.attention_head_dim];
  const turned = (to: string, norm: string): Value => {
    const y = layerNorm(g.at(norm), g.Reshape(linear(g.at(to), x, D, c.attention_bias), [B, S, H, d]), 1e-6); // [B, S, H, d]
    if (!rotary) return g.Reshape(y, [B, S, D]); // [B, S, D]
    const heads = g.Transpose(y, { perm: [0, 2, 1, 3] }); // [B, H, S, d]
    const r = g.at(norm).RotaryEmbedding(heads, rotary.ids, rotary.cos, rotary.sin, { interleaved: 1 }); // [B, H, S, d]
    return g.Reshape(g.Transpose(r, { perm: [0, 2, 1, 3] }), [B, S, D]); // [B, S, D]
  };
  const v = linear(g.at('to_v'), x, D, c.attention_bias); // [B, S, D]
  const o = g.MultiHeadAttention(turned('to_q', 'norm_q'), turned('to_k', 'norm_k'), v, { num_heads: H, scale: 1 / Math.sqrt(d) });
  return linear(g.at('to_out.0'), o, D); // [B, S, D]
}

/** Sinusoid of the step, then Linear, SiLU, Linear. timestep [B] -> [B, E] */
function timeEmbedding(g: Graph, c: TransformerConfig, timestep: Value, D: number): Value {
  const proj = g.at('time_proj');
  const frequencies = Array.from({ length: D / 2 }, (_, i) => Math.exp((-Math.log(10000) * i) / (D / 2 - c.freq_shift)));
  const angle = proj.Mul(proj.Reshape(timestep, [-1, 1]), proj.constant(frequencies)); // [B, D/2]
  const [cos, sin] = [proj.Cos(angle), proj.Sin(angle)];
  const wave = proj.Concat(c.flip_sin_to_cos ? [cos, sin] : [sin, cos], { axis: 1 }); // [B, D]
  const e = g.at('time_embedding');
  return linear(e.at('linear_2'), silu(e, linear(e.at('linear_1'), wave, c.time_embed_dim)), c.time_embed_dim); // [B, E]
}

interface Rotary {
  readonly cos: Value;
  readonly sin: Value;
  readonly ids: Value;
}
/** The tables with text's rows in front: those turn by nothing. */
function rotaryOf(g: Graph, { cos, sin, pairs }: RotaryTables, T: number): Rotary {
  const S = T + cos.length / pairs;
  const behind = (text: number, x: Float32Array): Value => {
    const all = new Float32Array(S * pairs).fill(text);
    all.set(x, T * pairs);
    return g.constant(all, 'float32', [S, pairs]); // [T+V, d/2]
  };
  return { cos: behind(1, cos), sin: behind(0, sin), ids: g.constant([0], 'int64') };
}

export interface RotaryTables {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
  readonly pairs: number;
}
/** cos and sin of each video token's angle for each pair of a head, [F h w, attention_head_dim / 2], in float32 arithmetic as diffusers has it. Of the pairs
 * the first quarter turns with the frame, three eighths with the row, three eighths with the column: angle = position · 10000^(-2i/m). Frames count 0, 1, 2;
 * rows and columns are spread over `crops`.
 * @param h rows of patches
 * @param w columns of patches */
export function rotaryTables(c: TransformerConfig, F: number, h: number, w: number, crops: Crops = cropsFor(c, h, w)): RotaryTables {
  const d = c.attention_head_dim;
  const [start, stop] = crops;
  const f32 = Math.fround;
  const axis = (m: number, positions: Float32Array): number[][] => {
    const frequencies = Array.from({ length: m / 2 }, (_, i) => f32(1 / f32(10000 ** f32((2 * i) / m))));
    return Array.from(positions, p => frequencies.map(x => f32(p * x)));
  };
  const time = axis(d / 4, linspace(0, (F * (F - 1)) / F, F));
  const row = axis((d / 8) * 3, linspace(start[0], (stop[0] * (h - 1)) / h, h));
  const column = axis((d / 8) * 3, linspace(start[1], (stop[1] * (w - 1)) / w, w));
  const angles = time.flatMap(t => row.flatMap(i => column.flatMap(j => [...t, ...i, ...j])));
  return { cos: Float32Array.from(angles, Math.cos), sin: Float32Array.from(angles, Math.sin), pairs: d / 2 };
}

/** Where a grid of h x w patches lies on the trained one: as large as fits with its own proportions, in the middle (get_resize_crop_region_for_grid). */
export function cropsFor(c: TransformerConfig, h: number, w: number): Crops {
  const th = Math.floor(c.sample_height / c.patch_size);
  const tw = Math.floor(c.sample_width / c.patch_size);
  const [rows, columns] = h / w > th / tw ? [th, toEven((th / h) * w)] : [toEven((tw / w) * h), tw];
  const start = [toEven((th - rows) / 2), toEven((tw - columns) / 2)] as const;
  return [start, [start[0] + rows, start[1] + columns]];
}
/** Python's round: halves go to the even neighbour. */
const toEven = (x: number): number => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));
/** torch.linspace in float32: steps from both ends, so that both are met exactly. */
function linspace(start: number, end: number, n: number): Float32Array {
  const f32 = Math.fround;
  const [a, b] = [f32(start), f32(end)];
  const step = n > 1 ? f32(f32(b - a) / (n - 1)) : 0;
  const half = Math.floor(n / 2);
  return Float32Array.from({ length: n }, (_, i) => (i < half ? a + f32(step * i) : b - f32(step * (n - 1 - i))));
}

/** The added positions of the 2B family, [F h w, D]: a quarter of the width says the frame, then three eighths the column, three eighths the row, each as
 * sines then cosines, computed in float64. */
function sinCosTable(g: Graph, c: TransformerConfig, F: number, h: number, w: number): Value {
  const D = c.num_attention_heads * c.attention_head_dim;
  const axis = (n: number, scale: number, m: number, shape: readonly number[]): Value => {
    const waves = Array.from({ length: n }, (_, i) => {
      const angles = Array.from({ length: m / 2 }, (__, k) => Math.fround(i / scale) / 10000 ** (k / (m / 2)));
      return [...angles.map(Math.sin), ...angles.map(Math.cos)];
    });
    return g.Expand(g.constant(waves.flat(), 'float32', [...shape, m]), [F, h, w, m]); // [F, h, w, m]
  };
  const time = axis(F, c.temporal_interpolation_scale, D / 4, [F, 1, 1]);
  const column = axis(w, c.spatial_interpolation_scale, (D / 8) * 3, [1, 1, w]);
  const row = axis(h, c.spatial_interpolation_scale, (D / 8) * 3, [1, h, 1]);
  return g.Reshape(g.Concat([time, column, row], { axis: 3 }), [F * h * w, D]); // [V, D]
}
