/** @file The VAE's loops around its chunk programs: time chunks with carried caches, and tiles (diffusers models/autoencoders/autoencoder_kl_cogvideox.py:
 * _encode, _decode, tiled_encode, tiled_decode), with what is odd there kept: statistics are those of a chunk, blending works in place on tiles that are
 * already blended, and a tiled picture can come out larger than its latents say. */
import type { DType, Graph, Value } from '../graph/graph.ts';
import {
  FRAMES_PER_CHUNK,
  LATENTS_PER_CHUNK,
  cacheInput,
  decodeChunk,
  encodeChunk,
  parseVaeConfig,
  spatialRatio,
  timeChunks,
  type VaeConfig,
} from '../models/autoencoder-kl-cogvideox.ts';
import type { Program, Runtime, Tensor } from '../runtime/runtime.ts';
import type { Component } from '../weights/checkpoint.ts';
import { bindProgram, loadProgram } from './program.ts';

/** [B, C, T, H, W] */
export type Shape5 = readonly [number, number, number, number, number];
export interface Block {
  readonly data: Float32Array;
  readonly shape: Shape5;
}

/** diffusers' names: the size from which on there are tiles (and their size), and how much of it two neighbours share. */
export interface Tiling {
  readonly tile_sample_min_height: number;
  readonly tile_sample_min_width: number;
  readonly tile_latent_min_height: number;
  readonly tile_latent_min_width: number;
  readonly tile_overlap_factor_height: number;
  readonly tile_overlap_factor_width: number;
}

/** The tiles that diffusers would use: half of the config's sample size, unless said otherwise. */
export function tilingOf(c: VaeConfig, given: Partial<Tiling> = {}): Tiling {
  const height = given.tile_sample_min_height ?? Math.floor(c.sample_height / 2);
  const width = given.tile_sample_min_width ?? Math.floor(c.sample_width / 2);
  const ratio = spatialRatio(c);
  const tiling = {
    tile_sample_min_height: height,
    tile_sample_min_width: width,
    tile_latent_min_height: given.tile_latent_min_height ?? Math.floor(height / ratio),
    tile_latent_min_width: given.tile_latent_min_width ?? Math.floor(width / ratio),
    tile_overlap_factor_height: given.tile_overlap_factor_height ?? 1 / 6,
    tile_overlap_factor_width: given.tile_overlap_factor_width ?? 1 / 5,
  };
  for (const [key, n] of Object.entries(tiling))
    if (!(n > 0) || (key.includes('factor') ? n >= 1 : !Number.isInteger(n)))
      throw new Error(`${key} is ${n}; it must be ${key.includes('factor') ? 'between 0 and 1' : 'a positive integer'}`);
  return tiling;
}

export interface Vae {
  readonly config: VaeConfig;
  readonly compression: { readonly spatial: number; readonly temporal: number };
  /** Latents are multiplied by it before the transformer sees them. */
  readonly scalingFactor: number;
  /** The posterior of a video in [-1, 1].
   * @param shape [B, 3, T, H, W], H and W divisible by compression.spatial, any T
   * @returns mean and logarithm of the variance, clamped to [-30, 20], of `shape` [B, C, t, h, w]; T = 8n + 1 gives t = 2n + 1 */
  encode(sample: Float32Array, shape: Shape5, signal?: AbortSignal): Promise<{ mean: Float32Array; logvar: Float32Array; shape: Shape5 }>;
  /** The video of latents [B, C, t, h, w] (already divided by scalingFactor), chunk after chunk: [B, 3, T, H, W] of about [-1, 1].
   * 2n + 1 latents give 8n + 1 frames, an even number n of them 4n. */
  decode(latents: Float32Array, shape: Shape5, signal?: AbortSignal): AsyncGenerator<Block>;
  release(): void;
}

/** The VAE of a checkpoint; its programs are loaded when a size is first needed, and those of another size let go.
 * Asked for bfloat16 it computes in float16: a tenth of the error (on the goldens 2e-3 instead of 2e-2), and CogVideoX is published for float16 too. Numbers that leave its range are refused.
 * @param tiling undefined: whole pictures; otherwise tiles where the picture is larger than one */
export function openVae(runtime: Runtime, component: Component, dtype: DType, tiling?: Partial<Tiling>): Vae {
  const config = parseVaeConfig(component.config);
  const tiles = tiling && tilingOf(config, tiling);
  const programs = new Programs(runtime, component, config, dtype === 'bfloat16' ? 'float16' : dtype);
  const ratio = spatialRatio(config);
  return {
    config,
    compression: { spatial: ratio, temporal: config.temporal_compression_ratio },
    scalingFactor: config.scaling_factor,
    async encode(data, shape, signal) {
      const [, C, , H, W] = shape;
      if (C !== config.in_channels || H % ratio || W % ratio)
        throw new Error(
          `the VAE cannot encode [${shape.join(',')}]: it takes ${config.in_channels} channels, height and width divisible by ${ratio}`,
        );
      const whole = joinTime(await collect(run(encoder(tiles), programs, { data, shape }, signal)));
      const mean = channels(whole, 0, config.latent_channels);
      const logvar = channels(whole, config.latent_channels, 2 * config.latent_channels);
      return { mean: mean.data, logvar: logvar.data.map(x => Math.min(20, Math.max(-30, x))), shape: mean.shape };
    },
    decode(data, shape, signal) {
      if (shape[1] !== config.latent_channels)
        throw new Error(`the VAE cannot decode [${shape.join(',')}]: its latents have ${config.latent_channels} channels`);
      return run(decoder(tiles), programs, { data, shape }, signal);
    },
    release: () => programs.release(),
  };
}

/** How one direction cuts its input: into what chunks of time, and if tiles, how. */
interface Direction {
  readonly kind: 'encode' | 'decode';
  readonly chunk: number;
  readonly tiles?: { readonly tile: Pair; readonly overlap: Pair; readonly blend: Pair; readonly keep: Pair };
}
/** height, width */
type Pair = readonly [number, number];
const encoder = (t: Tiling | undefined): Direction => ({
  kind: 'encode',
  chunk: FRAMES_PER_CHUNK,
  ...(t && { tiles: cut(t, [t.tile_sample_min_height, t.tile_sample_min_width], [t.tile_latent_min_height, t.tile_latent_min_width]) }),
});
const decoder = (t: Tiling | undefined): Direction => ({
  kind: 'decode',
  chunk: LATENTS_PER_CHUNK,
  ...(t && { tiles: cut(t, [t.tile_latent_min_height, t.tile_latent_min_width], [t.tile_sample_min_height, t.tile_sample_min_width]) }),
});
/** A tile's size in the input, and what is blended and kept of it in the output. */
function cut(t: Tiling, tile: Pair, out: Pair) {
  const factor: Pair = [t.tile_overlap_factor_height, t.tile_overlap_factor_width];
  const overlap: Pair = [Math.floor(tile[0] * (1 - factor[0])), Math.floor(tile[1] * (1 - factor[1]))];
  const blend: Pair = [Math.floor(out[0] * factor[0]), Math.floor(out[1] * factor[1])];
  if (overlap[0] < 1 || overlap[1] < 1)
    throw new Error(
      `tiles of ${tile.join('x')} that share ${factor.join(' and ')} of their size leave nothing between them; take larger ones`,
    );
  return { tile, overlap, blend, keep: [out[0] - blend[0], out[1] - blend[1]] as Pair };
}

async function* run({ kind, chunk, tiles }: Direction, programs: Programs, x: Block, signal?: AbortSignal): AsyncGenerator<Block> {
  const [, , T, H, W] = x.shape;
  const times = timeChunks(T, chunk);
  if (!tiles || (H <= tiles.tile[0] && W <= tiles.tile[1])) {
    yield* inTime(kind, programs, x, [0, 0], [H, W], times, signal);
    return;
  }
  const { tile, overlap } = tiles;
  const tileAt = (top: number, left: number) => ({
    at: [top, left] as Pair,
    size: [Math.min(tile[0], H - top), Math.min(tile[1], W - left)] as Pair,
    blocks: [] as Block[],
  });
  const grid = starts(H, overlap[0]).map(top => starts(W, overlap[1]).map(left => tileAt(top, left)));
  // Tiles of one size after the other, so that no program is loaded twice.
  for (const one of grid.flat().sort((a, b) => b.size[0] - a.size[0] || b.size[1] - a.size[1]))
    one.blocks = await collect(inTime(kind, programs, x, one.at, one.size, times, signal));
  // Blending knows no time: chunk by chunk, and each let go when it is handed out.
  for (let k = 0; k < times.length; k++) {
    const rows = grid.map(row => row.map(one => one.blocks.shift()!));
    for (const [i, row] of rows.entries())
      for (const [j, one] of row.entries()) {
        if (i) blend(rows[i - 1]![j]!, one, tiles.blend[0], 3);
        if (j) blend(row[j - 1]!, one, tiles.blend[1], 4);
      }
    yield assemble(rows, tiles.keep);
  }
}
const starts = (n: number, step: number): number[] => Array.from({ length: Math.ceil(n / step) }, (_, i) => i * step);

/** One tile (or the whole picture) from its first chunk to its last, the caches going from one to the next inside the runtime. */
async function* inTime(
  kind: Direction['kind'],
  programs: Programs,
  x: Block,
  at: Pair,
  size: Pair,
  times: readonly { start: number; end: number }[],
  signal?: AbortSignal,
): AsyncGenerator<Block> {
  let caches: Readonly<Record<string, Tensor>> = {};
  try {
    for (const { start, end } of times) {
      const piece = region(x, start, end, at, size);
      const given = programs.runtime.tensor('float32', piece.shape, piece.data);
      try {
        const program = await programs.get(kind, start === 0, piece.shape);
        const { [OUT]: out, ...next } = await program.run({ [IN]: given, ...caches }, signal);
        for (const t of Object.values(caches)) t.release();
        caches = Object.fromEntries(Object.entries(next).map(([name, t]) => [name.slice(NEXT.length), t]));
        const data = (await out!.read()) as Float32Array;
        const shape = out!.shape as unknown as Shape5;
        out!.release();
        if (!data.every(Number.isFinite))
          throw new Error('The VAE computed numbers that are not finite: its values leave the range of float16; use --precision float32.');
        yield { data, shape };
      } finally {
        given.release();
      }
    }
  } finally {
    for (const t of Object.values(caches)) t.release();
  }
}

/** A chunk program's names at its edges; a cache goes in as cacheInput(path) and comes out with NEXT in front. */
const IN = 'chunk';
const OUT = 'out';
const NEXT = 'next.';

/** The loaded chunk programs of one direction and one size. */
class Programs {
  readonly runtime: Runtime;
  readonly #component: Component;
  readonly #config: VaeConfig;
  readonly #dtype: DType;
  readonly #held = new Map<string, Program>();
  #family = '';
  constructor(runtime: Runtime, component: Component, config: VaeConfig, dtype: DType) {
    this.runtime = runtime;
    this.#component = component;
    this.#config = config;
    this.#dtype = dtype;
  }
  async get(kind: Direction['kind'], first: boolean, shape: Shape5): Promise<Program> {
    const [B, , T, H, W] = shape;
    const family = `${kind} ${B} ${H}x${W}`;
    const key = `${family} ${T} ${first}`;
    if (family !== this.#family) this.release();
    this.#family = family;
    const known = this.#held.get(key);
    if (known) return known;
    const program = await loadProgram(this.runtime, this.#component, g => vaeChunk(g, this.#config, kind, first, shape), {
      dtype: this.#dtype,
      elsewhere: elsewhere(kind),
      between: name => name.endsWith(cacheInput('')),
      frugal: true,
    });
    this.#held.set(key, program);
    return program;
  }
  release(): void {
    for (const p of this.#held.values()) p.release();
    this.#held.clear();
  }
}

/** The tensors of the other direction. */
const elsewhere = (kind: Direction['kind']) => (name: string) => name.startsWith(kind === 'encode' ? 'decoder.' : 'encoder.');

/** Finds every weight that both directions want. @throws in one sentence: a config that is not computed here, names or shapes that do not fit it */
export async function checkVae(component: Component): Promise<void> {
  const config = parseVaeConfig(component.config),
    ratio = spatialRatio(config);
  await bindProgram(component, g => vaeChunk(g, config, 'encode', true, [1, config.in_channels, 1, ratio, ratio]), elsewhere('encode'));
  await bindProgram(component, g => vaeChunk(g, config, 'decode', true, [1, config.latent_channels, 1, 1, 1]), elsewhere('decode'));
}

/** A chunk program's graph: input `chunk` and, but for the first, the caches; outputs `out` and the caches for the next. */
export function vaeChunk(g: Graph, config: VaeConfig, kind: 'encode' | 'decode', first: boolean, shape: Shape5): Record<string, Value> {
  const x = g.input(IN, shape);
  const { out, caches } = kind === 'encode' ? encodeChunk(g, config, x, first) : decodeChunk(g, config, x, first);
  return { [OUT]: out, ...Object.fromEntries([...caches].map(([path, v]) => [NEXT + cacheInput(path), v])) };
}

// Numbers in [B, C, T, H, W]; what is not named runs through whole.

/** Frames start to end (excluded) of the h x w pixels at top, left. */
function region({ data, shape: [B, C, T, H, W] }: Block, start: number, end: number, [top, left]: Pair, [h, w]: Pair): Block {
  const t = end - start;
  const out = new Float32Array(B * C * t * h * w);
  let to = 0;
  for (let bc = 0; bc < B * C; bc++)
    for (let f = start; f < end; f++)
      for (let y = top; y < top + h; y++, to += w) {
        const from = ((bc * T + f) * H + y) * W + left;
        out.set(data.subarray(from, from + w), to);
      }
  return { data: out, shape: [B, C, t, h, w] };
}

/** Fades `b` in behind `a` (above it for axis 3, left of it for axis 4) over `extent` lines, in place in b: torch's float32, product by product. */
function blend(a: Block, b: Block, extent: number, axis: 3 | 4): void {
  const f32 = Math.fround;
  const n = Math.min(a.shape[axis], b.shape[axis], extent);
  const [B, C, T, H, W] = b.shape;
  const [aH, aW] = [a.shape[3], a.shape[4]];
  for (let plane = 0; plane < B * C * T; plane++)
    for (let i = 0; i < n; i++) {
      const fade = f32(i / n);
      const keep = f32(1 - i / n);
      const length = axis === 3 ? Math.min(W, aW) : Math.min(H, aH);
      for (let j = 0; j < length; j++) {
        const from = axis === 3 ? (plane * aH + aH - n + i) * aW + j : (plane * aH + j) * aW + aW - n + i;
        const to = axis === 3 ? (plane * H + i) * W + j : (plane * H + j) * W + i;
        b.data[to] = f32(a.data[from]! * keep) + f32(b.data[to]! * fade);
      }
    }
}

/** Of each tile its first keep[0] x keep[1], side by side. */
function assemble(rows: readonly (readonly Block[])[], keep: Pair): Block {
  const heights = rows.map(row => Math.min(keep[0], row[0]!.shape[3]));
  const widths = rows[0]!.map(tile => Math.min(keep[1], tile.shape[4]));
  const [B, C, T] = rows[0]![0]!.shape;
  const H = heights.reduce((a, b) => a + b);
  const W = widths.reduce((a, b) => a + b);
  const data = new Float32Array(B * C * T * H * W);
  let top = 0;
  for (const [i, row] of rows.entries()) {
    let left = 0;
    for (const [j, tile] of row.entries()) {
      const [h, w] = [heights[i]!, widths[j]!];
      for (let plane = 0; plane < B * C * T; plane++)
        for (let y = 0; y < h; y++) {
          const from = (plane * tile.shape[3] + y) * tile.shape[4];
          data.set(tile.data.subarray(from, from + w), (plane * H + top + y) * W + left);
        }
      left += w;
    }
    top += heights[i]!;
  }
  return { data, shape: [B, C, T, H, W] };
}

function joinTime(blocks: readonly Block[]): Block {
  const [B, C, , H, W] = blocks[0]!.shape;
  const T = blocks.reduce((n, b) => n + b.shape[2], 0);
  const plane = H * W;
  const data = new Float32Array(B * C * T * plane);
  for (let bc = 0, to = 0; bc < B * C; bc++)
    for (const b of blocks) {
      const n = b.shape[2] * plane;
      data.set(b.data.subarray(bc * n, (bc + 1) * n), to);
      to += n;
    }
  return { data, shape: [B, C, T, H, W] };
}

function channels({ data, shape: [B, C, T, H, W] }: Block, from: number, to: number): Block {
  const plane = T * H * W;
  const out = new Float32Array(B * (to - from) * plane);
  for (let b = 0; b < B; b++) out.set(data.subarray((b * C + from) * plane, (b * C + to) * plane), b * (to - from) * plane);
  return { data: out, shape: [B, to - from, T, H, W] };
}

async function collect(blocks: AsyncGenerator<Block>): Promise<Block[]> {
  const all: Block[] = [];
  for await (const b of blocks) all.push(b);
  return all;
}
