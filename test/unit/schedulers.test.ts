/** @file The CogVideoX schedulers against trajectories that diffusers computed (schedulers/make.py). */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { cogvideoxDdim } from '../../native-models/schedulers/cogvideox-ddim.ts';
import { cogvideoxDpm } from '../../native-models/schedulers/cogvideox-dpm.ts';
import { dynamicGuidance } from '../../native-models/schedulers/guidance.ts';
import { Generator } from '../../native-models/schedulers/random.ts';
import { parseSchedulerConfig, timestepsOf } from '../../native-models/schedulers/scheduler.ts';

interface Trajectory {
  scheduler: 'ddim' | 'dpm';
  config: Record<string, unknown>;
  steps: number;
  seed: number;
  shape: number[];
  timesteps: number[];
  last: string; // float32, base64
}

const recorded = JSON.parse(gunzipSync(readFileSync(new URL('schedulers/trajectories.json.gz', import.meta.url))).toString()) as {
  trajectories: Trajectory[];
  timesteps: Record<string, string>;
};
const make = { ddim: cogvideoxDdim, dpm: cogvideoxDpm };
const supported = { prediction_type: 'v_prediction', beta_schedule: 'scaled_linear', timestep_spacing: 'trailing' };

test('trajectories are those of diffusers', () => {
  assert.equal(recorded.trajectories.length, 48);
  let differing = 0;
  for (const { scheduler, config, steps, seed, shape, timesteps, last } of recorded.trajectories) {
    const made = make[scheduler](config, steps);
    assert.deepEqual(made.timesteps, timesteps);
    const generator = new Generator(seed);
    let sample = generator.randn(shape);
    for (let i = 0; i < timesteps.length; i++) sample = made.step(i, generator.randn(shape), sample, () => generator.randn(shape));
    const bytes = Buffer.from(last, 'base64');
    const wanted = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    const largest = wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    sample.forEach((x, k) => {
      assert.ok(
        Math.abs(x - wanted[k]!) <= 1e-6 * largest,
        `${scheduler} ${JSON.stringify(config)} ${steps} steps: ${x} is not ${wanted[k]!}`,
      );
      if (x !== wanted[k]) differing++;
    });
  }
  console.log(`    ${differing} of the values differ in any bit`);
});

test('timesteps are those of diffusers for every number of steps', () => {
  for (const [timestep_spacing, digest] of Object.entries(recorded.timesteps)) {
    const config = parseSchedulerConfig({ ...supported, timestep_spacing });
    const text = Array.from({ length: 1000 }, (_, k) => timestepsOf(config, k + 1).join(','));
    assert.equal(createHash('sha256').update(text.join('\n')).digest('hex'), digest, timestep_spacing);
  }
});

test('DPM goes on from its state as if never stopped, and draws once or twice', () => {
  const config = { ...supported, rescale_betas_zero_snr: true, snr_shift_scale: 1 };
  const run = (stopAt: number): { sample: Float32Array; draws: number[] } => {
    let scheduler = cogvideoxDpm(config, 5);
    const generator = new Generator(1);
    let sample = generator.randn([32]);
    const draws: number[] = [];
    for (let i = 0; i < 5; i++) {
      if (i === stopAt) {
        const state = scheduler.state();
        scheduler = cogvideoxDpm(config, 5);
        scheduler.restore(state);
      }
      let count = 0;
      sample = scheduler.step(i, generator.randn([32]), sample, () => (count++, generator.randn([32])));
      draws.push(count);
    }
    return { sample, draws };
  };
  const whole = run(-1);
  assert.deepEqual(whole.draws, [1, 2, 2, 2, 1]);
  assert.deepEqual(run(3), whole);
  assert.throws(() => cogvideoxDpm(config, 5).step(2, new Float32Array(4), new Float32Array(4), () => new Float32Array(4)), /Step 2/);
});

test('configurations that are not supported are refused by name', () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ ...supported, prediction_type: 'epsilon' }, /prediction_type "epsilon"/],
    [{ beta_schedule: 'scaled_linear' }, /prediction_type/],
    [{ ...supported, beta_schedule: 'linear' }, /beta_schedule "linear"/],
    [{ ...supported, trained_betas: [0.1] }, /trained_betas/],
    [{ ...supported, timestep_spacing: 'karras' }, /timestep_spacing "karras"/],
    [{ ...supported, num_train_timesteps: 1e9 }, /num_train_timesteps/],
    [{ ...supported, snr_shift_scale: 'x' }, /snr_shift_scale/],
    [{ ...supported, set_alpha_to_one: 1 }, /set_alpha_to_one/],
  ];
  for (const [config, message] of cases)
    for (const scheduler of [cogvideoxDdim, cogvideoxDpm]) assert.throws(() => scheduler(config, 5), message);
  assert.throws(() => cogvideoxDdim([], 5), /JSON object/);
  for (const steps of [0, 1001, 2.5]) assert.throws(() => cogvideoxDdim(supported, steps), /steps/);
});

test('dynamic guidance takes the raw timestep, as the pipeline of diffusers does', () => {
  // 1 + 6 * ((1 - math.cos(math.pi * ((50 - t) / 50) ** 5.0)) / 2), computed by Python
  const wanted: [number, number][] = [
    [999, 2.291487174551452],
    [499, 1.5212656935026643],
    [59, 1.0000005285864701],
    [19, 1.123397939968981],
    [0, 7],
  ];
  for (const [t, scale] of wanted) assert.ok(Math.abs(dynamicGuidance(6, 50, t) - scale) < 1e-7, `${t}: ${dynamicGuidance(6, 50, t)}`);
});
