/** @file How large a picture is shown. */

/** Into the room there is; pixel upon pixel; each pixel as a square of four. */
export const zooms = ['fit', 'actual', 'pixels'] as const;
export type Zoom = (typeof zooms)[number];
