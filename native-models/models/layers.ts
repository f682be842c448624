/** @file Layers that every architecture here has in the same form. Names of initializers are the checkpoint's. */
import type { Graph, Value } from '../graph/graph.ts';

/** y = x Wᵀ + b. x [..., in] -> [..., out]; the weight is read as torch stores it, [out, in].
 * @param bias false where the checkpoint has none (T5) */
export function linear(g: Graph, x: Value, out: number, bias = true): Value {
  const y = g.FusedMatMul(x, g.initializer('weight', [out, x.shape.at(-1)!]), { transB: 1 }); // [..., out]
  return bias ? g.Add(y, g.initializer('bias', [out])) : y;
}

/** (x - mean) / sqrt(var + epsilon) · weight + bias over the last axis; the shape stays. */
export function layerNorm(g: Graph, x: Value, epsilon: number): Value {
  const n = x.shape.at(-1)!;
  return g.LayerNormalization(x, g.initializer('weight', [n]), g.initializer('bias', [n]), { axis: -1, epsilon });
}

/** x · sigmoid(x) */
export const silu = (g: Graph, x: Value): Value => g.Mul(x, g.Sigmoid(x));

/** `x` as a non-empty record of JSON, as config.json holds it.
 * @throws if it is none */
export function record(x: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof x !== 'object' || x === null || Array.isArray(x))
    throw new Error(`${what} is not a JSON object; take config.json as the checkpoint has it`);
  return x as Readonly<Record<string, unknown>>;
}

/** Typed reading of one config.json: each method returns the entry, or the default of the upstream class where the file leaves it out. */
export class ConfigReader {
  readonly name: string;
  readonly values: Readonly<Record<string, unknown>>;
  constructor(config: unknown, name: string) {
    this.values = record(config, `the config of ${name}`);
    this.name = name;
  }
  /** A positive integer (or a non-negative one where `least` is 0). */
  int(key: string, otherwise: number, least = 1): number {
    const x = this.values[key] ?? otherwise;
    return typeof x === 'number' && Number.isInteger(x) && x >= least ? x : this.refuse(key, `needs an integer of at least ${least}`);
  }
  /** A finite number above zero. */
  positive(key: string, otherwise: number): number {
    const x = this.values[key] ?? otherwise;
    return typeof x === 'number' && Number.isFinite(x) && x > 0 ? x : this.refuse(key, 'needs a number above zero');
  }
  flag(key: string, otherwise: boolean): boolean {
    const x = this.values[key] ?? otherwise;
    return typeof x === 'boolean' ? x : this.refuse(key, 'needs true or false');
  }
  ints(key: string, otherwise: readonly number[]): readonly number[] {
    const x = this.values[key] ?? otherwise;
    return Array.isArray(x) && x.length > 0 && x.every(n => Number.isInteger(n) && n > 0)
      ? (x as number[])
      : this.refuse(key, 'needs a list of positive integers');
  }
  /** Only what is written in `allowed` is computed here; anything else is refused by name. */
  only(key: string, allowed: readonly unknown[], otherwise: unknown = allowed[0]): void {
    const x = this.values[key] ?? otherwise;
    if (!allowed.includes(x)) this.refuse(key, `can be ${allowed.map(a => JSON.stringify(a)).join(' or ')} here`);
  }
  refuse(key: string, why: string): never {
    throw new Error(`${this.name}: ${key} is ${JSON.stringify(this.values[key])}, it ${why}`);
  }
}
