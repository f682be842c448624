/** @file AutoencoderKLCogVideoX (diffusers models/autoencoders/autoencoder_kl_cogvideox.py, models/downsampling.py, models/upsampling.py): one chunk of time of its encoder or decoder.
 * Statistics, pooling and resizing are per chunk; only the last frames before each causal convolution pass from chunk to chunk. The loops over time and tiles are in pipelines/vae.ts. */
import type { Graph, Value } from '../graph/graph.ts';
import { ConfigReader, silu } from './layers.ts';

/** config.json, its keys as they stand there. */
export interface VaeConfig {
  readonly in_channels: number;
  readonly out_channels: number;
  readonly block_out_channels: readonly number[];
  readonly latent_channels: number;
  readonly layers_per_block: number;
  readonly norm_eps: number;
  readonly norm_num_groups: number;
  readonly temporal_compression_ratio: number;
  readonly sample_height: number;
  readonly sample_width: number;
  readonly scaling_factor: number;
}

/** An AutoencoderKLCogVideoX's config.json, checked.
 * @throws one sentence naming the entry where the checkpoint is of a kind that is not computed here */
export function parseVaeConfig(config: unknown): VaeConfig {
  const c = new ConfigReader(config, 'AutoencoderKLCogVideoX');
  c.only('_class_name', ['AutoencoderKLCogVideoX']);
  c.only('act_fn', ['silu']);
  for (const key of ['use_quant_conv', 'use_post_quant_conv', 'invert_scale_latents']) c.only(key, [false]);
  for (const key of ['shift_factor', 'latents_mean', 'latents_std']) c.only(key, [null], null);
  const block_out_channels = c.ints('block_out_channels', [128, 256, 256, 512]);
  const groups = c.int('norm_num_groups', 32);
  const ratio = c.int('temporal_compression_ratio', 4);
  const blocks = { down_block_types: 'CogVideoXDownBlock3D', up_block_types: 'CogVideoXUpBlock3D' };
  for (const [key, type] of Object.entries(blocks)) {
    const types = c.values[key] ?? block_out_channels.map(() => type);
    if (!Array.isArray(types) || types.length !== block_out_channels.length || types.some(t => t !== type))
      c.refuse(key, `must name ${type} for each of block_out_channels`);
  }
  if (block_out_channels.some(n => n % groups)) c.refuse('block_out_channels', `must all be divisible by norm_num_groups, ${groups}`);
  if (!Number.isInteger(Math.log2(ratio)) || Math.log2(ratio) >= block_out_channels.length)
    c.refuse('temporal_compression_ratio', 'must be a power of two that the blocks can reach');
  return {
    in_channels: c.int('in_channels', 3),
    out_channels: c.int('out_channels', 3),
    block_out_channels,
    latent_channels: c.int('latent_channels', 16),
    layers_per_block: c.int('layers_per_block', 3),
    norm_eps: c.positive('norm_eps', 1e-6),
    norm_num_groups: groups,
    temporal_compression_ratio: ratio,
    sample_height: c.int('sample_height', 480),
    sample_width: c.int('sample_width', 720),
    scaling_factor: c.positive('scaling_factor', 1.15258426),
  };
}

/** Pixels per latent, in height and width alike. */
export const spatialRatio = (c: VaeConfig): number => 2 ** (c.block_out_channels.length - 1);

/** What a chunk leaves for the next one: each causal convolution's last frames, by its path. A later chunk's graph takes them as inputs of the names that
 * cacheInput gives. */
export type Caches = ReadonlyMap<string, Value>;
export const cacheInput = (path: string): string => `${path}.cache`;

export interface Chunked {
  readonly out: Value;
  readonly caches: Caches;
}

/** One chunk of the encoder.
 * @param sample [B, 3, T, H, W] in [-1, 1]; H and W divisible by spatialRatio
 * @param first whether time begins here; if not, caches are inputs of the graph
 * @returns out [B, 2 latent_channels, t, h, w]: the mean, then the logarithm of the variance (not yet clamped) */
export function encodeChunk(g: Graph, c: VaeConfig, sample: Value, first: boolean): Chunked {
  const e = g.at('encoder');
  const chunk = new Chunk(first);
  const channels = c.block_out_channels;
  const timeBlocks = Math.log2(c.temporal_compression_ratio);
  let x = chunk.conv(e.at('conv_in'), sample, channels[0]!); // [B, C, T, H, W]
  for (const [i, out] of channels.entries()) {
    const block = e.at('down_blocks').at(i);
    for (let j = 0; j < c.layers_per_block; j++) x = resnet(block.at('resnets').at(j), c, chunk, x, out);
    if (i < channels.length - 1) x = downsample(block.at('downsamplers.0'), x, i < timeBlocks); // [B, C, T or T/2, H/2, W/2]
  }
  for (const j of [0, 1]) x = resnet(e.at('mid_block.resnets').at(j), c, chunk, x, channels.at(-1)!);
  x = silu(e, groupNorm(e.at('norm_out'), x, c.norm_num_groups, 1e-6));
  return { out: chunk.conv(e.at('conv_out'), x, 2 * c.latent_channels), caches: chunk.caches() }; // [B, 2 L, t, h, w]
}

/** One chunk of the decoder.
 * @param latents [B, latent_channels, t, h, w], already divided by scaling_factor
 * @returns out [B, 3, T, H, W], about [-1, 1] */
export function decodeChunk(g: Graph, c: VaeConfig, latents: Value, first: boolean): Chunked {
  const d = g.at('decoder');
  const chunk = new Chunk(first);
  const channels = c.block_out_channels.toReversed();
  const timeBlocks = Math.log2(c.temporal_compression_ratio);
  let x = chunk.conv(d.at('conv_in'), latents, channels[0]!); // [B, C, t, h, w]
  for (const j of [0, 1]) x = resnet(d.at('mid_block.resnets').at(j), c, chunk, x, channels[0]!, latents);
  for (const [i, out] of channels.entries()) {
    const block = d.at('up_blocks').at(i);
    for (let j = 0; j <= c.layers_per_block; j++) x = resnet(block.at('resnets').at(j), c, chunk, x, out, latents);
    if (i < channels.length - 1) x = upsample(block.at('upsamplers.0'), x, i < timeBlocks); // [B, C, T or 2T, 2H, 2W]
  }
  x = silu(d, spatialNorm(d.at('norm_out'), c, x, latents));
  return { out: chunk.conv(d.at('conv_out'), x, c.out_channels), caches: chunk.caches() }; // [B, 3, T, H, W]
}

/** [B, C, T, H, W] */
type Shape = readonly [number, number, number, number, number];

/** The causal convolutions of one chunk and what they leave behind. */
class Chunk {
  readonly first: boolean;
  readonly #inputs: [Graph, Value][] = [];
  constructor(first: boolean) {
    this.first = first;
  }
  /** A 3x3x3 convolution that sees no later frame: in front of x stand the last two frames before it, or at the beginning of time x's first one, twice.
   * x [B, C, T, H, W] -> [B, out, T, H, W] */
  conv(g: Graph, x: Value, out: number): Value {
    const [B, C, T, H, W] = x.shape as Shape;
    const start = T > 1 ? g.Slice(x, [0], [1], [2]) : x; // [B, C, 1, H, W]
    const before = this.first ? [start, start] : [g.input(cacheInput(g.path), [B, C, 2, H, W])];
    const all = g.Concat([...before, x], { axis: 2 }); // [B, C, 2+T, H, W]
    this.#inputs.push([g, all]);
    const k = g.at('conv');
    const attrs = { strides: [1, 1, 1], pads: [0, 1, 1, 0, 1, 1] };
    return k.Conv(all, k.initializer('weight', [out, C, 3, 3, 3]), k.initializer('bias', [out]), attrs); // [B, out, T, H, W]
  }
  /** The last two frames of each, the last convolution's first: ONNX Runtime begins with the output that is named last, so the first one's are cut first, and no convolution's
   * input is kept whole until all else is done (that was half of the peak). */
  caches(): Caches {
    return new Map(this.#inputs.toReversed().map(([g, all]) => [g.path, g.Slice(all, [-2], [all.shape[2]!], [2])])); // [B, C, 2, H, W] each
  }
}

/** Norm, SiLU, convolution, twice, beside a shortcut. With `zq` (the decoder) the norms are spatial ones, whose epsilon is not the config's.
 * x [B, C, T, H, W] -> [B, out, T, H, W] */
function resnet(g: Graph, c: VaeConfig, chunk: Chunk, x: Value, out: number, zq?: Value): Value {
  const norm = (at: Graph, y: Value): Value => silu(at, zq ? spatialNorm(at, c, y, zq) : groupNorm(at, y, c.norm_num_groups, c.norm_eps));
  let y = chunk.conv(g.at('conv1'), norm(g.at('norm1'), x), out); // [B, out, T, H, W]
  y = chunk.conv(g.at('conv2'), norm(g.at('norm2'), y), out); // [B, out, T, H, W]
  return g.Add(x.shape[1] === out ? x : pointwise(g.at('conv_shortcut'), x, out), y);
}

/** A 1x1x1 convolution. x [B, C, T, H, W] -> [B, out, T, H, W] */
function pointwise(g: Graph, x: Value, out: number): Value {
  const attrs = { strides: [1, 1, 1], pads: [0, 0, 0, 0, 0, 0] };
  return g.Conv(x, g.initializer('weight', [out, x.shape[1]!, 1, 1, 1]), g.initializer('bias', [out]), attrs);
}

/** (x - mean) / sqrt(var + epsilon) over each group of channels with all its time and space. x [B, C, T, H, W] */
function normalized(g: Graph, x: Value, groups: number, epsilon: number): Value {
  const flat = g.Reshape(x, [x.shape[0]!, groups, -1]); // [B, G, C/G T H W]
  const [ones, zeros] = [g.constant(1, 'float32', [groups]), g.constant(0, 'float32', [groups])];
  return g.Reshape(g.InstanceNormalization(flat, ones, zeros, { epsilon }), x.shape); // [B, C, T, H, W]
}
/** GroupNorm. x [B, C, T, H, W] */
function groupNorm(g: Graph, x: Value, groups: number, epsilon: number): Value {
  const column = (name: string): Value => g.Reshape(g.initializer(name, [x.shape[1]!]), [x.shape[1]!, 1, 1, 1]);
  return g.Add(g.Mul(normalized(g, x, groups, epsilon), column('weight')), column('bias'));
}

/** CogVideoXSpatialNorm3D: GroupNorm(f) · Y(z) + B(z), z the chunk's latents, resized to f. A 1x1x1 convolution and a nearest resize change places, and the
 * group norm's own weight w and bias v join Y and B, (n w + v) Y + B = n (w Y) + (v Y + B): all that is done at the latents' size, and f is read once.
 * f [B, C, T, H, W], zq [B, L, t, h, w] */
function spatialNorm(g: Graph, c: VaeConfig, f: Value, zq: Value): Value {
  const [B, C, T, H, W] = f.shape as Shape;
  const [h, w] = [zq.shape[3]!, zq.shape[4]!];
  const column = (name: string): Value => g.Reshape(g.at('norm_layer').initializer(name, [C]), [C, 1, 1, 1]);
  const y = pointwise(g.at('conv_y.conv'), zq, C); // [B, C, t, h, w]
  const scale = g.Mul(y, column('weight'));
  const shift = g.Add(g.Mul(y, column('bias')), pointwise(g.at('conv_b.conv'), zq, C)); // [B, C, t, h, w]
  // H/h neighbouring rows get the same: those are left to broadcasting
  const columns = (z: Value): Value => g.Expand(g.Reshape(resizeTime(g, z, T), [B, C, T, h, w, 1]), [B, C, T, h, w, W / w]);
  const [wideScale, wideShift] = [scale, shift].map(z => g.Reshape(columns(z), [B, C * T, h, 1, W])) as [Value, Value]; // written before n: made when n is there
  const n = g.Reshape(normalized(g, f, c.norm_num_groups, 1e-6), [B, C * T, h, H / h, W]);
  return g.Reshape(g.Add(g.Mul(n, wideScale), wideShift), f.shape); // [B, C, T, H, W]
}

/** Nearest resize of time alone, t -> T. Where T is odd the first frame stands for itself and the others are resized among themselves. */
function resizeTime(g: Graph, z: Value, T: number): Value {
  const t = z.shape[2]!;
  if (t === T) return z;
  if (T % 2 === 0 || t === 1) return repeat(g, z, 2, T / t);
  const [first, rest] = g.Split(z, [1, t - 1], { axis: 2 }) as readonly [Value, Value];
  return g.Concat([first, repeat(g, rest, 2, (T - 1) / (t - 1))], { axis: 2 });
}

/** Each element along an axis n times, one beside the other. */
function repeat(g: Graph, x: Value, axis: number, n: number): Value {
  if (n === 1) return x;
  const [head, tail] = [x.shape.slice(0, axis + 1), x.shape.slice(axis + 1)];
  return g.Reshape(g.Expand(g.Reshape(x, [...head, 1, ...tail]), [...head, n, ...tail]), x.shape.with(axis, x.shape[axis]! * n));
}

/** A 3x3 convolution of each frame alone, the checkpoint's 2-D weight read as one with a time axis of 1. x [B, C, T, H, W] */
function frameConv(g: Graph, x: Value, attrs: { strides: readonly number[]; pads: readonly number[] }): Value {
  const C = x.shape[1]!;
  const weight = g.Reshape(g.initializer('weight', [C, C, 3, 3]), [C, C, 1, 3, 3]);
  return g.Conv(x, weight, g.initializer('bias', [C]), attrs);
}

/** CogVideoXDownsample3D. With `time` neighbouring frames are averaged, the first one alone if their number is odd; then half of height and width.
 * x [B, C, T, H, W] */
function downsample(g: Graph, x: Value, time: boolean): Value {
  const [B, C, T, H, W] = x.shape as Shape;
  const average = (y: Value): Value => g.ReduceMean(g.Reshape(y, [B, C, -1, 2, H, W]), [3], { keepdims: 0 }); // [B, C, T/2, H, W]
  let y = x;
  if (time && T > 1 && T % 2) {
    const [first, rest] = g.Split(x, [1, T - 1], { axis: 2 }) as readonly [Value, Value];
    y = g.Concat([first, average(rest)], { axis: 2 }); // [B, C, 1 + T/2, H, W]
  } else if (time && T > 1) y = average(x);
  return frameConv(g.at('conv'), y, { strides: [1, 2, 2], pads: [0, 0, 0, 0, 1, 1] }); // zeros at the right and below only
}

/** CogVideoXUpsample3D: nearest, twice the height and width, and with `time` twice the frames but for a first one of an odd number; then a convolution of
 * each frame. x [B, C, T, H, W] */
function upsample(g: Graph, x: Value, time: boolean): Value {
  const T = x.shape[2]!;
  const longer = !time || T === 1 ? x : resizeTime(g, x, T % 2 ? 2 * T - 1 : 2 * T); // [B, C, T or 2T, H, W]
  const wide = repeat(g, repeat(g, longer, 4, 2), 3, 2); // [B, C, T or 2T, 2H, 2W]
  return frameConv(g.at('conv'), wide, { strides: [1, 1, 1], pads: [0, 1, 1, 0, 1, 1] });
}

/** Which frames are computed together: `size` of them, and what is left over goes with the first ones. Fewer than `size` are one chunk.
 * `size` is 8 for the encoder's frames and 2 for the decoder's latents. n frames -> [start, end) of each chunk */
export function timeChunks(n: number, size: number): { start: number; end: number }[] {
  const rest = n % size;
  return Array.from({ length: Math.max(1, Math.floor(n / size)) }, (_, i) => ({
    start: i ? i * size + rest : 0,
    end: Math.min(n, (i + 1) * size + rest),
  }));
}
/** Frames of video to an encoder's chunk, latents to a decoder's. */
export const FRAMES_PER_CHUNK = 8;
export const LATENTS_PER_CHUNK = 2;
