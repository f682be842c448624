/** @file Which frame is shown when: play, step, speed, and what part is played over and over. One player moves one clip, or several in step. */

export const speeds = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2] as const;

export class Player {
  readonly count: number;
  /** Frames a second at speed 1. */
  readonly fps: number;
  /** The frame that is to be shown, 0 the first. */
  frame = $state(0);
  playing = $state(false);
  /** 0.25 to 2. */
  speed = $state(1);
  loop = $state(true);
  /** What is played: the first frame of it, and the first that is not any more. */
  from = $state(0);
  to = $state(0);
  readonly whole = $derived.by(() => this.from === 0 && this.to === this.count);
  /** Whether a frame can be shown at once; playing waits for those that cannot. */
  ready: (frame: number) => boolean = () => true;
  #handle = 0;
  /** When which frame was due: what playing counts from. */
  #since = { time: 0, frame: 0 };

  constructor(count: number, fps: number) {
    this.count = count;
    this.fps = fps;
    this.to = count;
  }
  /** Seconds at which a frame begins. */
  timeOf(frame: number): number {
    return frame / this.fps;
  }
  play(): void {
    if (this.playing || this.count < 2) return;
    if (this.frame < this.from || this.frame >= this.to - (this.loop ? 0 : 1)) this.frame = this.from;
    this.playing = true;
    this.#anchor(performance.now());
    this.#handle = requestAnimationFrame(this.#tick);
  }
  pause(): void {
    this.playing = false;
    cancelAnimationFrame(this.#handle);
  }
  toggle(): void {
    if (this.playing) this.pause();
    else this.play();
  }
  /** Goes to a frame; what plays goes on from there. */
  seek(frame: number): void {
    this.frame = Math.min(Math.max(Math.round(frame), 0), this.count - 1);
    this.#anchor(performance.now());
  }
  /** Stands still, so many frames on. */
  step(by: number): void {
    this.pause();
    this.seek(this.frame + by);
  }
  setSpeed(speed: number): void {
    this.speed = speed;
    this.#anchor(performance.now());
  }
  /** Plays only what lies between; both are kept at least a frame apart. */
  setRange(from: number, to: number): void {
    this.from = Math.min(Math.max(Math.round(from), 0), this.count - 1);
    this.to = Math.min(Math.max(Math.round(to), this.from + 1), this.count);
    this.#anchor(performance.now());
  }
  /** What is played begins with the frame that is shown. */
  setIn(): void {
    this.setRange(this.frame, this.to > this.frame ? this.to : this.count);
  }
  /** What is played ends with the frame that is shown. */
  setOut(): void {
    this.setRange(this.from <= this.frame ? this.from : 0, this.frame + 1);
  }
  clearRange(): void {
    this.setRange(0, this.count);
  }
  close(): void {
    this.pause();
  }

  #anchor(time: number): void {
    this.#since = { time, frame: this.frame };
  }
  readonly #tick = (now: number): void => {
    if (!this.playing) return;
    this.#handle = requestAnimationFrame(this.#tick);
    const { time, frame } = this.#since;
    let next = frame + Math.floor(((now - time) / 1000) * this.fps * this.speed + 1e-6);
    if (next <= this.frame && next >= frame) return;
    if (next >= this.to || next < this.from) {
      if (!this.loop) {
        this.frame = Math.max(this.from, this.to - 1);
        return this.pause();
      }
      next = next < this.from ? this.from : this.from + ((next - this.from) % (this.to - this.from));
    }
    if (!this.ready(next)) return this.#anchor(now - 1000 / (this.fps * this.speed)); // it is due at once when it has come
    const wrapped = next < this.frame;
    this.frame = next;
    if (wrapped) this.#anchor(now);
  };
}
