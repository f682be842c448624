/** @file CogVideoXDDIMScheduler (diffusers, schedulers/scheduling_ddim_cogvideox.py). */
import { alphasCumprod, parseSchedulerConfig, predictOriginalSample, timestepsOf, type Scheduler } from './scheduler.ts';

const { fround } = Math;

/**
 * A DDIM scheduler; it draws no noise.
 * x0 = sqrt(abar) x - sqrt(1 - abar) v;  a = sqrt((1 - abar') / (1 - abar));  x' = a x + (sqrt(abar') - sqrt(abar) a) x0
 * @param config the checkpoint's scheduler_config.json
 * @throws Error naming the key when the configuration is not supported
 */
export function cogvideoxDdim(config: unknown, numInferenceSteps: number): Scheduler {
  const c = parseSchedulerConfig(config);
  const alphas = alphasCumprod(c);
  const timesteps = timestepsOf(c, numInferenceSteps);
  const stride = Math.floor(c.num_train_timesteps / numInferenceSteps);
  return {
    timesteps,
    alphasCumprod: alphas,
    step(i, modelOutput, sample) {
      const timestep = timesteps[i];
      if (timestep === undefined) throw new RangeError(`Step ${i} does not exist; there are ${timesteps.length}.`);
      const previous = timestep - stride;
      const alpha = alphas[timestep]!;
      const alphaPrevious = previous >= 0 ? alphas[previous]! : c.set_alpha_to_one ? 1 : alphas[0]!;
      const x0 = predictOriginalSample(alpha, modelOutput, sample);
      const a = Math.sqrt((1 - alphaPrevious) / (1 - alpha));
      const b = fround(Math.sqrt(alphaPrevious) - Math.sqrt(alpha) * a);
      return sample.map((x, k) => fround(fround(a) * x) + fround(b * x0[k]!));
    },
    state: () => undefined,
    restore: () => undefined,
  };
}
