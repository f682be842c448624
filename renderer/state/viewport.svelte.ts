/** @file How a picture lies in a window of its own: how large, and where. */
import type { Point, Rect } from './mask.ts';

/** Pixels of the screen around a picture that fits. */
const margin = 32;
const [smallest, largest] = [0.02, 16];

export class Viewport {
  /** Pixels of the screen to one of the picture. */
  scale = $state(1);
  /** Where the picture's corner is, in pixels of the screen. */
  x = $state(0);
  y = $state(0);
  /** Of the screen. */
  width = $state(1);
  height = $state(1);
  /** Nobody has zoomed: it goes on fitting. */
  #fits = true;
  readonly #picture: { readonly width: number; readonly height: number };

  constructor(picture: { readonly width: number; readonly height: number }) {
    this.#picture = picture;
  }
  resize(width: number, height: number): void {
    this.width = width;
    this.height = height;
    if (this.#fits) this.fit();
    else this.#keep();
  }
  fit(): void {
    const { width, height } = this.#picture;
    this.scale = Math.max(smallest, Math.min((this.width - 2 * margin) / width, (this.height - 2 * margin) / height, 4));
    this.x = (this.width - width * this.scale) / 2;
    this.y = (this.height - height * this.scale) / 2;
    this.#fits = true;
  }
  /** @param at what stays where it is, in pixels of the screen; the middle if not given */
  zoom(factor: number, at: Point = [this.width / 2, this.height / 2]): void {
    const to = Math.min(largest, Math.max(smallest, this.scale * factor)),
      by = to / this.scale;
    this.x = at[0] - (at[0] - this.x) * by;
    this.y = at[1] - (at[1] - this.y) * by;
    this.scale = to;
    this.#fits = false;
    this.#keep();
  }
  pan(dx: number, dy: number): void {
    this.x += dx;
    this.y += dy;
    this.#fits = false;
    this.#keep();
  }
  /** Some of the picture stays in sight. */
  #keep(): void {
    const { width, height } = this.#picture,
      least = 48;
    this.x = Math.min(this.width - least, Math.max(least - width * this.scale, this.x));
    this.y = Math.min(this.height - least, Math.max(least - height * this.scale, this.y));
  }
  /** A point of the screen as one of the picture. */
  toPicture([x, y]: Point): Point {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }
  toScreen([x, y]: Point): Point {
    return [x * this.scale + this.x, y * this.scale + this.y];
  }
  /** Moves so that a point of the picture is in sight. */
  reveal(point: Point): void {
    const [x, y] = this.toScreen(point);
    const dx = x < margin ? margin - x : x > this.width - margin ? this.width - margin - x : 0,
      dy = y < margin ? margin - y : y > this.height - margin ? this.height - margin - y : 0;
    if (dx !== 0 || dy !== 0) this.pan(dx, dy);
  }
  /** A rectangle of the picture, on the screen. */
  rect({ x, y, width, height }: Rect): Rect {
    return { x: x * this.scale + this.x, y: y * this.scale + this.y, width: width * this.scale, height: height * this.scale };
  }
}
