/** @file What the CogVideoX schedulers share: their configuration, noise levels and timesteps. */

const { fround } = Math;

/** A scheduler set to a number of steps. It holds what must survive between steps, so one serves one clip. */
export interface Scheduler {
  /** Training timesteps in the order they are run, largest first. */
  readonly timesteps: readonly number[];
  /** Share of signal power left at each training timestep. */
  readonly alphasCumprod: Float64Array; // [num_train_timesteps]
  /**
   * One denoising step.
   * @param i index into `timesteps`; steps run in order
   * @param modelOutput the guided prediction, v
   * @param sample the latents before the step
   * @param draw gives standard normals of the sample's length; called as often as diffusers draws, in its order
   * @returns the latents after the step (new memory)
   */
  step(i: number, modelOutput: Float32Array, sample: Float32Array, draw: () => Float32Array): Float32Array;
  /** What the next step needs from earlier ones (DPM's previous x0), undefined when nothing. */
  state(): Float32Array | undefined;
  /** Takes back what `state()` gave, so that step i can follow without steps 0 to i - 1. */
  restore(state: Float32Array | undefined): void;
}

/** The part of a checkpoint's scheduler_config.json that is used. */
export interface SchedulerConfig {
  num_train_timesteps: number;
  beta_start: number;
  beta_end: number;
  snr_shift_scale: number;
  rescale_betas_zero_snr: boolean;
  set_alpha_to_one: boolean;
  steps_offset: number;
  timestep_spacing: 'trailing' | 'leading' | 'linspace';
}

/**
 * Checks a scheduler_config.json and fills in the defaults of diffusers' class.
 * @throws Error with one sentence that names the key and its value when something is not supported
 */
export function parseSchedulerConfig(config: unknown): SchedulerConfig {
  if (typeof config !== 'object' || config === null || Array.isArray(config))
    throw new Error('The scheduler configuration is not a JSON object; check scheduler/scheduler_config.json.');
  const given = config as Readonly<Record<string, unknown>>;
  const refuse = (key: string, wanted: string): never => {
    throw new Error(
      `The scheduler configuration has ${key} ${JSON.stringify(given[key])}, where ${wanted} is supported; choose another checkpoint.`,
    );
  };
  const oneOf = <T extends string>(key: string, fallback: string, supported: readonly T[]): T => {
    const value = given[key] ?? fallback;
    const found = supported.find(one => one === value);
    if (found !== undefined) return found;
    if (given[key] === undefined)
      throw new Error(`The scheduler configuration lacks ${key}, whose default '${fallback}' is not supported; choose another checkpoint.`);
    return refuse(key, supported.map(one => `'${one}'`).join(' or '));
  };
  const number = (key: string, fallback: number, low: number, high: number, whole: boolean): number => {
    const value = given[key] ?? fallback;
    if (typeof value !== 'number' || !(value >= low && value <= high) || (whole && !Number.isInteger(value)))
      return refuse(key, `a ${whole ? 'whole ' : ''}number from ${low} to ${high}`);
    return value;
  };
  const flag = (key: string, fallback: boolean): boolean => {
    const value = given[key] ?? fallback;
    return typeof value === 'boolean' ? value : refuse(key, 'true or false');
  };
  oneOf('beta_schedule', 'scaled_linear', ['scaled_linear']);
  oneOf('prediction_type', 'epsilon', ['v_prediction']);
  if (given['trained_betas'] !== undefined && given['trained_betas'] !== null) refuse('trained_betas', 'null');
  const steps = number('num_train_timesteps', 1000, 2, 100_000, true);
  return {
    num_train_timesteps: steps,
    beta_start: number('beta_start', 0.00085, 0, 1, false),
    beta_end: number('beta_end', 0.012, 0, 1, false),
    snr_shift_scale: number('snr_shift_scale', 3, 1e-6, 1e6, false),
    rescale_betas_zero_snr: flag('rescale_betas_zero_snr', false),
    set_alpha_to_one: flag('set_alpha_to_one', true),
    steps_offset: number('steps_offset', 0, 0, steps - 1, true),
    timestep_spacing: oneOf('timestep_spacing', 'leading', ['trailing', 'leading', 'linspace']),
  };
}

/** Share of signal power at each training timestep, float64. */
export function alphasCumprod(config: SchedulerConfig): Float64Array {
  const n = config.num_train_timesteps;
  const start = config.beta_start ** 0.5;
  const end = config.beta_end ** 0.5;
  const step = (end - start) / (n - 1);
  const s = config.snr_shift_scale;
  const alphas = new Float64Array(n);
  let product = 1;
  for (let i = 0; i < n; i++) {
    const root = i < n / 2 ? start + step * i : end - step * (n - 1 - i); // torch.linspace walks from both ends
    product *= 1 - root * root;
    alphas[i] = product / (s + (1 - s) * product); // SNR shift
  }
  if (config.rescale_betas_zero_snr) {
    const first = Math.sqrt(alphas[0]!);
    const last = Math.sqrt(alphas[n - 1]!);
    for (let i = 0; i < n; i++) alphas[i] = ((Math.sqrt(alphas[i]!) - last) * (first / (first - last))) ** 2;
  }
  return alphas;
}

/** Rounds halves to even, as NumPy does. */
function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2 === 0 ? 0 : 1) : Math.round(value);
}

/**
 * The training timesteps of N denoising steps, largest first. For a few N (61, 103 ...) diffusers' trailing spacing gains a step at timestep -1 by a rounding of
 * numpy.arange, and turns the clip into noise there; that step is left out.
 * @throws RangeError when N is not a whole number from 1 to num_train_timesteps, or the offset leads past the last timestep
 */
export function timestepsOf(config: SchedulerConfig, numInferenceSteps: number): number[] {
  const train = config.num_train_timesteps;
  const n = numInferenceSteps;
  if (!Number.isInteger(n) || n < 1 || n > train)
    throw new RangeError(`${n} steps are not possible with this checkpoint; choose 1 to ${train}.`);
  const at = (i: number): number => {
    switch (config.timestep_spacing) {
      case 'trailing':
        return roundHalfToEven(train + i * (train - train / n - train)) - 1; // the roundings of numpy.arange
      case 'leading':
        return (n - 1 - i) * Math.floor(train / n) + config.steps_offset;
      case 'linspace':
        return n === 1 ? 0 : roundHalfToEven(i === 0 ? train - 1 : (n - 1 - i) * ((train - 1) / (n - 1)));
    }
  };
  const timesteps = Array.from({ length: n }, (_, i) => at(i));
  if (timesteps[0]! >= train)
    throw new RangeError(`steps_offset ${config.steps_offset} leads to timestep ${timesteps[0]!} of ${train}; choose fewer steps.`);
  return timesteps;
}

/** x0 = sqrt(abar) x - sqrt(1 - abar) v, every operation rounded to float32 as torch rounds it. */
export function predictOriginalSample(alphaProd: number, modelOutput: Float32Array, sample: Float32Array): Float32Array {
  if (modelOutput.length !== sample.length)
    throw new RangeError(`The scheduler got ${modelOutput.length} predicted values for ${sample.length} latents.`);
  const a = fround(Math.sqrt(alphaProd));
  const b = fround(Math.sqrt(1 - alphaProd));
  return sample.map((x, i) => fround(a * x) - fround(b * modelOutput[i]!));
}

/** sqrt(abar) x0 + sqrt(1 - abar) n: a clean sample at a noise level, rounded as diffusers' add_noise in float32. */
export function addNoise(alphaProd: number, sample: Float32Array, noise: Float32Array): Float32Array {
  if (noise.length !== sample.length)
    throw new RangeError(`The scheduler got ${noise.length} values of noise for ${sample.length} latents.`);
  const alpha = fround(alphaProd);
  const a = fround(Math.sqrt(alpha));
  const b = fround(Math.sqrt(fround(1 - alpha)));
  return sample.map((x, i) => fround(a * x) + fround(b * noise[i]!));
}
