/** @file When a clip is shown while it is painted. */

/** A clip of a few seconds is shown, too: once a tenth of its steps is done, and after so long: ms. */
const [firstShare, firstAfter] = [0.1, 1000];
/** All previews after the first together take at most this share of the time that the steps take. */
const mostShare = 0.05;

/**
 * Decides after which steps a preview is made: the first early, whatever it costs (its program is loaded for it), the others `previewSeconds` apart
 * at least, and only where all that were made and one more take little of the steps' time. Times are milliseconds of a clock that never jumps.
 */
export class Previews {
  readonly #gap: number;
  readonly #steps: number;
  #began: number | undefined;
  #last: { readonly at: number; readonly cost: number } | undefined;
  #spent = 0;

  /** @param order `previewSeconds`: 0 for none */
  constructor({ previewSeconds, numInferenceSteps }: { readonly previewSeconds: number; readonly numInferenceSteps: number }) {
    this.#gap = previewSeconds * 1000;
    this.#steps = numInferenceSteps;
  }

  /** The first step begins; said again it changes nothing. */
  begin(now: number): void {
    this.#began ??= now;
  }

  /** Whether one is made after this step, of all of them; never after the last. */
  due(step: number, now: number): boolean {
    if (this.#gap === 0 || this.#began === undefined || step >= this.#steps) return false;
    const worked = now - this.#began - this.#spent;
    if (!this.#last) return step >= this.#steps * firstShare && worked >= Math.min(this.#gap, firstAfter);
    return now - this.#last.at >= this.#gap && this.#spent + this.#last.cost <= worked * mostShare;
  }

  /** One was made. */
  made(from: number, to: number): void {
    this.#last = { at: to, cost: to - from };
    this.#spent += to - from;
  }
}
