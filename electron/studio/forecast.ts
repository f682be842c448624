/** @file How long a job takes, how much memory and disk: learnt from the jobs that this machine has completed, and from nothing else. */
import { z } from 'zod';
import { phases, type Done, type Phase } from '../../native-models/tasks.ts';
import type { Forecast } from '../contract/records.ts';
import type { ResolvedRequest } from '../contract/requests.ts';
import type { Library } from './library.ts';

/** What of a request decides how much work it is. Two jobs of one shape differ in their steps alone. */
const shape = z.object({
  checkpoint: z.string(),
  device: z.string(),
  precision: z.string(),
  width: z.number(),
  height: z.number(),
  numFrames: z.number(),
  references: z.number(),
  /** Guided: the transformer sees every step twice. */
  guided: z.boolean(),
  adapters: z.number(),
  vaeTiling: z.boolean(),
});
/** A shape and how many steps are to be done. */
export const work = shape.extend({ steps: z.number() });
export type Work = z.infer<typeof work>;

export const workOf = (r: ResolvedRequest): Work => ({
  checkpoint: r.checkpoint.sha256,
  device: r.device,
  precision: r.precision,
  width: r.width,
  height: r.height,
  numFrames: r.numFrames,
  references: r.references.length,
  guided: r.guidanceScale > 1,
  adapters: r.adapters.length,
  vaeTiling: r.vaeTiling,
  steps: r.numInferenceSteps,
});

/** What one completed job has taught. Seconds by phase, of a run from its beginning. */
const sample = work.extend({
  version: z.literal(1).default(1),
  load: z.number(),
  encode: z.number().nullable(),
  /** One step; null where none was computed. */
  step: z.number().nullable(),
  decode: z.number(),
  export: z.number(),
  /** What the engine does not see: preparing photos, starting a process, pictures, hashes, waiting for the disk. */
  rest: z.number(),
  ram: z.number(),
  deviceBytes: z.number().nullable(),
  disk: z.number(),
});
export type Sample = z.infer<typeof sample>;

/** @param done what the engine said at the end
 * @param wall seconds from taking the job to its row, of this attempt
 * @param disk bytes that it added to the library */
export function sampleOf(work: Work, done: Done, wall: number, disk: number): Sample {
  const { timings, peakMemory, stepsRun } = done;
  return sample.parse({
    ...work,
    load: timings.load,
    encode: stepsRun > 0 ? timings.encode : null,
    step: stepsRun > 0 ? timings.denoise / stepsRun : null,
    decode: timings.decode,
    export: timings.export,
    rest: Math.max(0, wall - phases.reduce((sum, p) => sum + timings[p], 0)),
    ram: peakMemory.ram,
    deviceBytes: peakMemory.device ?? null,
    disk,
  });
}

/** Tokens that the transformer sees at once, up to what its text takes: one for each 16 x 16 pixels of each latent frame and each reference. */
export const tokens = (w: Pick<Work, 'width' | 'height' | 'numFrames' | 'references'>): number =>
  Math.ceil(w.width / 16) * Math.ceil(w.height / 16) * ((w.numFrames - 1) / 4 + 1 + w.references);

/** How many of the newest samples count. */
const newest = 20;
/** And how many are looked at. */
const mostSamples = 300;

const median = (xs: readonly number[]): number => {
  const sorted = xs.toSorted((a, b) => a - b),
    middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

/** What each figure grows with, for shapes that were never made: a constant part, and these. */
const grows: Readonly<
  Record<'load' | 'encode' | 'step' | 'decode' | 'export' | 'rest' | 'ram' | 'deviceBytes' | 'disk', (w: z.infer<typeof shape>) => number[]>
> = {
  load: w => [1, tokens(w) * (w.guided ? 2 : 1)],
  encode: w => [1, w.guided ? 2 : 1, w.width * w.height * w.references],
  // The linear layers and attention, whose part is the square.
  step: w => [(w.guided ? 2 : 1) * tokens(w), (w.guided ? 2 : 1) * tokens(w) ** 2, 1],
  decode: w => [w.width * w.height * w.numFrames, 1],
  export: w => [w.width * w.height * w.numFrames, 1],
  rest: w => [1, w.width * w.height * w.numFrames],
  ram: w => [1, w.width * w.height * w.numFrames, tokens(w) * (w.guided ? 2 : 1)],
  deviceBytes: w => [1, w.width * w.height * w.numFrames, tokens(w) * (w.guided ? 2 : 1)],
  disk: w => [w.width * w.height * w.numFrames, 1],
};
type Figure = keyof typeof grows;

/** y as a sum of some of the features with factors that are not negative, fitted so that relative errors are least; of equally good ones that of fewer features. With as many features as there are different
 * points at most, so that one size alone scales by the first feature. */
function extrapolate(points: readonly { readonly x: readonly number[]; readonly y: number }[], at: readonly number[]): number | undefined {
  const usable = points.filter(p => p.y > 0);
  if (!usable.length) return points.length ? 0 : undefined;
  const different = new Set(usable.map(p => p.x.join())).size,
    n = at.length;
  let best: { error: number; y: number } | undefined;
  for (let size = 1; size <= Math.min(n, different); size++)
    for (let set = 1; set < 1 << n; set++) {
      const chosen = at.flatMap((_, i) => (set & (1 << i) ? [i] : []));
      if (chosen.length !== size || (different === 1 && chosen[0] !== 0)) continue;
      const rows = usable.map(p => chosen.map(i => p.x[i]! / p.y)); // rows · factors should be 1
      const factors = leastSquares(rows);
      if (!factors?.every(f => f >= 0)) continue;
      const error = rows.reduce((sum, row) => sum + (row.reduce((y, x, i) => y + x * factors[i]!, 0) - 1) ** 2, 0);
      if (!best || error < best.error * 0.9) best = { error, y: chosen.reduce((y, i, j) => y + at[i]! * factors[j]!, 0) };
    }
  return best?.y;
}
/** The factors by which each row's sum comes nearest to 1: normal equations by elimination. */
function leastSquares(rows: readonly (readonly number[])[]): number[] | undefined {
  const n = rows[0]!.length,
    scale = Array.from({ length: n }, (_, i) => Math.hypot(...rows.map(r => r[i]!)));
  if (scale.some(s => !(s > 0))) return undefined;
  const A = Array.from({ length: n }, (_, i) => [
    ...Array.from({ length: n }, (_, j) => rows.reduce((sum, r) => sum + (r[i]! / scale[i]!) * (r[j]! / scale[j]!), 0)),
    rows.reduce((sum, r) => sum + r[i]! / scale[i]!, 0),
  ]);
  for (let i = 0; i < n; i++) {
    const pivot = A.findIndex((row, k) => k >= i && Math.abs(row[i]!) === Math.max(...A.slice(i).map(r => Math.abs(r[i]!))));
    [A[i], A[pivot]] = [A[pivot]!, A[i]!];
    if (Math.abs(A[i]![i]!) < 1e-9) return undefined;
    for (let k = 0; k < n; k++)
      if (k !== i) {
        const f = A[k]![i]! / A[i]![i]!;
        for (let j = i; j <= n; j++) A[k]![j]! -= f * A[i]![j]!;
      }
  }
  return A.map((row, i) => row[n]! / row[i]! / scale[i]!);
}

export const unknown: Forecast = { seconds: null, peakRamBytes: null, peakDeviceBytes: null, diskBytes: null, learntFrom: 0, exact: false };

export interface Forecaster {
  /** Before a job: everything null where this machine has not made a clip by that checkpoint on that device yet. */
  of(work: Work): Forecast;
  /** Seconds of each phase of a whole job, and of `rest`; undefined where nothing is known. */
  phasesOf(work: Work): Readonly<Record<Phase | 'rest', number>> | undefined;
  /** How many times longer a step takes than that of another shape; by tokens alone where nothing is known. */
  stepRatio(work: Work, than: Work): number;
  /** Writes a completed job's sample; inside the transaction that completes it. */
  learn(sample: Sample): void;
}

export function forecaster({ db }: Library): Forecaster {
  /** Parsed samples by checkpoint, newest first. */
  const known = new Map<string, Sample[]>(),
    paces = new Map<string, number>();
  const samplesOf = (w: Work): Sample[] => {
    let all = known.get(w.checkpoint);
    if (!all) {
      all = db
        .all<{ record: string }>('SELECT record FROM samples WHERE checkpoint = ? ORDER BY id DESC LIMIT ?', w.checkpoint, mostSamples)
        .flatMap(row => {
          try {
            return [sample.parse(JSON.parse(row.record))];
          } catch {
            return []; // a damaged sample teaches nothing
          }
        });
      known.set(w.checkpoint, all);
    }
    return all.filter(s => s.device === w.device && s.precision === w.precision);
  };
  const keys = Object.keys(shape.shape) as (keyof z.infer<typeof shape>)[];
  const sameShape = (a: z.infer<typeof shape>, b: z.infer<typeof shape>) => keys.every(k => a[k] === b[k]);

  const figuresOf = (w: Work, all: readonly Sample[] = samplesOf(w)) => {
    const same = all.filter(s => sameShape(s, w)).slice(0, newest);
    /** The median of the newest of just this shape, else what all shapes together say. */
    const figure = (name: Figure): number | undefined => {
      const exact = same.flatMap(s => s[name] ?? []);
      if (exact.length) return median(exact);
      const byShape = new Map<string, { x: number[]; ys: number[] }>();
      for (const s of all) {
        const y = s[name];
        if (y === null) continue;
        const x = grows[name](s),
          at = byShape.get(x.join()) ?? { x, ys: [] };
        if (at.ys.length < newest) at.ys.push(y);
        byShape.set(x.join(), at);
      }
      return extrapolate(
        [...byShape.values()].map(({ x, ys }) => ({ x, y: median(ys) })),
        grows[name](w),
      );
    };
    return { figure, learntFrom: same.length || all.length, exact: same.some(s => s.step !== null) };
  };
  const usualOf = (w: Work, samples?: readonly Sample[]) => {
    const { figure } = figuresOf(w, samples);
    const [load, encode, step, decode, out, rest] = (['load', 'encode', 'step', 'decode', 'export', 'rest'] as const).map(figure);
    if (load === undefined || encode === undefined || step === undefined || decode === undefined || out === undefined || rest === undefined)
      return undefined;
    return { load, encode, denoise: step * w.steps, decode, export: out, rest };
  };

  const total = (seconds: Readonly<Record<Phase | 'rest', number>>) => Object.values(seconds).reduce((a, b) => a + b, 0);
  /** How much slower than usual the newest jobs were: other programs, heat, a battery. */
  const paceOf = (w: Work): number => {
    const key = [w.checkpoint, w.device, w.precision].join();
    let pace = paces.get(key);
    if (pace === undefined) {
      const all = samplesOf(w);
      const ratios = all.slice(0, 5).flatMap((s, i) => {
        const usual = s.step === null || s.encode === null ? undefined : usualOf(s, all.slice(i + 1)); // what would have been said then
        return usual ? [(s.load + s.encode! + s.step! * s.steps + s.decode + s.export + s.rest) / total(usual)] : [];
      });
      pace = ratios.length < 3 ? 1 : Math.sqrt(Math.min(9, Math.max(1 / 9, median(ratios)))); // halfway: five jobs may also be chance
      paces.set(key, pace);
    }
    return pace;
  };
  const phasesOf = (w: Work) => {
    const usual = usualOf(w);
    if (!usual) return undefined;
    const pace = paceOf(w);
    return Object.fromEntries(Object.entries(usual).map(([p, seconds]) => [p, seconds * pace])) as typeof usual;
  };

  return {
    phasesOf,
    of: w => {
      const { figure, learntFrom, exact } = figuresOf(w);
      if (learntFrom === 0) return unknown;
      const seconds = phasesOf(w);
      const round = (n: number | undefined) => (n === undefined ? null : Math.round(n));
      return {
        seconds: seconds ? total(seconds) : null,
        peakRamBytes: round(figure('ram')),
        peakDeviceBytes: round(figure('deviceBytes')),
        diskBytes: round(figure('disk')),
        learntFrom,
        exact,
      };
    },
    stepRatio: (w, than) => {
      const [a, b] = [figuresOf(w).figure('step'), figuresOf(than).figure('step')];
      return a !== undefined && b !== undefined && b > 0 && a > b ? a / b : tokens(w) / tokens(than);
    },
    learn: s => {
      db.run('INSERT INTO samples (checkpoint, record) VALUES (?, ?)', s.checkpoint, JSON.stringify(s));
      db.afterCommit(() => {
        known.delete(s.checkpoint);
        paces.clear();
      });
    },
  };
}
