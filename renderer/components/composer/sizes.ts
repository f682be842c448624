/** @file Sizes and lengths as creators think of them, out of what the engine takes. */
import { request } from '../../../electron/contract/requests.ts';

export interface Size {
  readonly width: number;
  readonly height: number;
}
/** Every length that the model takes, in frames. */
export const lengths: readonly number[] = Array.from({ length: 512 }, (_, i) => i + 1).filter(
  n => request.shape.numFrames.safeParse(n).success,
);
/** Sides are multiples of it. */
export const grain = 16;
export const smallestSide = 16;
export const largestSide = 4096;

const round = (side: number) => Math.min(largestSide, Math.max(smallestSide, Math.round(side / grain) * grain));
/** The size of a shape that has about as many pixels as another size. */
export function sizeOf(shape: readonly [number, number], like: Size, scale = 1): Size {
  const area = like.width * like.height * scale ** 2,
    ratio = shape[0] / shape[1];
  return { width: round(Math.sqrt(area * ratio)), height: round(Math.sqrt(area / ratio)) };
}
/** Shapes that clips are shown in, from the widest to the tallest. */
export const shapes = [
  { id: 'wide', shape: [16, 9] },
  { id: 'photo', shape: [3, 2] },
  { id: 'square', shape: [1, 1] },
  { id: 'portrait', shape: [2, 3] },
  { id: 'tall', shape: [9, 16] },
] as const;
export type ShapeId = (typeof shapes)[number]['id'];

/** The shape that a size comes nearest to. */
export function shapeOf({ width, height }: Size): ShapeId {
  const off = ([w, h]: readonly [number, number]) => Math.abs(Math.log((width / height) * (h / w)));
  return shapes.toSorted((a, b) => off(a.shape) - off(b.shape))[0]!.id;
}

/** How many steps each quality takes, where a checkpoint recommends so many. */
export const qualities = (recommended: number) => ({
  draft: Math.max(1, Math.round(recommended * 0.3)),
  standard: recommended,
  fine: Math.min(1000, Math.round(recommended * 1.6)),
});
export type Quality = keyof ReturnType<typeof qualities>;
