/** @file CogVideoXDPMScheduler (diffusers, schedulers/scheduling_dpm_cogvideox.py): SDE-DPM-Solver++ of second order, two steps. */
import { alphasCumprod, parseSchedulerConfig, predictOriginalSample, timestepsOf, type Scheduler } from './scheduler.ts';

const { fround } = Math;

/**
 * A DPM scheduler. A step draws noise once when it is of first order (the first step, and one whose next timestep lies below 0), else twice with the first
 * draw thrown away.
 * lambda = log sqrt(abar / (1 - abar));  h = lambda' - lambda;  r = (lambda - lambda_back) / h
 * first order:  x' = sqrt((1 - abar') / (1 - abar)) e^-h x - expm1(-2h) sqrt(abar') x0 + sqrt(1 - abar') sqrt(1 - e^-2h) n
 * second order: the same with D = (1 + 1 / 2r) x0 - (1 / 2r) x0_before in place of x0
 * @param config the checkpoint's scheduler_config.json
 * @throws Error naming the key when the configuration is not supported
 */
export function cogvideoxDpm(config: unknown, numInferenceSteps: number): Scheduler {
  const c = parseSchedulerConfig(config);
  const alphas = alphasCumprod(c);
  const timesteps = timestepsOf(c, numInferenceSteps);
  const stride = Math.floor(c.num_train_timesteps / numInferenceSteps);
  const lambda = (alpha: number): number => Math.log(Math.sqrt(alpha / (1 - alpha)));
  let old: Float32Array | undefined;
  return {
    timesteps,
    alphasCumprod: alphas,
    step(i, modelOutput, sample, draw) {
      const timestep = timesteps[i];
      if (timestep === undefined) throw new RangeError(`Step ${i} does not exist; there are ${timesteps.length}.`);
      if (i > 0 && old === undefined)
        throw new Error(`Step ${i} needs the clean sample that step ${i - 1} predicted; restore it or start from step 0.`);
      const before = i > 0 ? old : undefined;
      const previous = timestep - stride;
      const alpha = alphas[timestep]!;
      const alphaPrevious = previous >= 0 ? alphas[previous]! : c.set_alpha_to_one ? 1 : alphas[0]!;
      const x0 = predictOriginalSample(alpha, modelOutput, sample);
      const h = lambda(alphaPrevious) - lambda(alpha);
      const m1 = fround(Math.sqrt((1 - alphaPrevious) / (1 - alpha)) * Math.exp(-h));
      const m2 = fround(Math.expm1(-2 * h) * Math.sqrt(alphaPrevious));
      const mn = fround(Math.sqrt(1 - alphaPrevious) * Math.sqrt(1 - Math.exp(-2 * h)));
      let target = x0;
      let noise = draw();
      if (before !== undefined && previous >= 0) {
        const r = (lambda(alpha) - lambda(alphas[timesteps[i - 1]!]!)) / h;
        const m3 = fround(1 + 1 / (2 * r));
        const m4 = fround(1 / (2 * r));
        target = x0.map((x, k) => fround(m3 * x) - fround(m4 * before[k]!));
        noise = draw();
      }
      if (noise.length !== sample.length)
        throw new RangeError(`The scheduler got ${noise.length} values of noise for ${sample.length} latents.`);
      old = x0;
      return sample.map((x, k) => fround(fround(m1 * x) - fround(m2 * target[k]!)) + fround(mn * noise[k]!));
    },
    state: () => old,
    restore(state) {
      old = state;
    },
  };
}
