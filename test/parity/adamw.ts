/** @file AdamW with a clipped gradient norm, as torch.optim.AdamW and torch.nn.utils.clip_grad_norm_ have it; for comparing training steps. */

export interface AdamWOptions {
  readonly lr: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weight_decay: number;
  readonly max_grad_norm?: number;
}

/** Steps over named weights, in place. Decay first and apart from the gradient (Loshchilov and Hutter, arXiv 1711.05101):
 * w ← w (1 - lr λ); m ← β₁m + (1 - β₁)g; v ← β₂v + (1 - β₂)g²; w ← w - lr (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + ε) */
export class AdamW {
  readonly #weights: ReadonlyMap<string, Float32Array>;
  readonly #options: AdamWOptions;
  readonly #moments = new Map<string, { m: Float32Array; v: Float32Array }>();
  #t = 0;
  constructor(weights: ReadonlyMap<string, Float32Array>, options: AdamWOptions) {
    this.#weights = weights;
    this.#options = options;
    for (const [name, w] of weights) this.#moments.set(name, { m: new Float32Array(w.length), v: new Float32Array(w.length) });
  }

  /** One step. The gradients are scaled together so that their norm is at most max_grad_norm. @returns the norm before */
  step(grads: ReadonlyMap<string, Float32Array>): number {
    const {
      lr,
      betas: [b1, b2],
      eps,
      weight_decay,
      max_grad_norm = Infinity,
    } = this.#options;
    const total = norm(grads.values());
    const clip = Math.min(1, max_grad_norm / (total + 1e-6));
    this.#t++;
    const c1 = 1 - b1 ** this.#t;
    const c2 = Math.sqrt(1 - b2 ** this.#t);
    for (const [name, w] of this.#weights) {
      const g = grads.get(name);
      const { m, v } = this.#moments.get(name)!;
      if (!g) throw new Error(`no gradient for ${name}`);
      for (let i = 0; i < w.length; i++) {
        const x = g[i]! * clip;
        m[i] = b1 * m[i]! + (1 - b1) * x;
        v[i] = b2 * v[i]! + (1 - b2) * x * x;
        w[i] = w[i]! * (1 - lr * weight_decay) - ((lr / c1) * m[i]!) / (Math.sqrt(v[i]!) / c2 + eps);
      }
    }
    return total;
  }
}

/** The Euclidean norm of all of them together, summed in float64. */
export function norm(arrays: Iterable<Float32Array>): number {
  let sum = 0;
  for (const a of arrays) for (const x of a) sum += x * x;
  return Math.sqrt(sum);
}
