/** @file What a start image does to a step: the known frame at a step's noise, and how the frames behind it are drawn to it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawToStart, knownFrame } from '../../native-models/pipelines/start-image.ts';
import { cogvideoxDdim } from '../../native-models/schedulers/cogvideox-ddim.ts';
import { Generator } from '../../native-models/schedulers/random.ts';
import { predictOriginalSample } from '../../native-models/schedulers/scheduler.ts';

const config = { prediction_type: 'v_prediction', beta_schedule: 'scaled_linear', timestep_spacing: 'trailing', rescale_betas_zero_snr: true, snr_shift_scale: 1 }; // prettier-ignore
const { alphasCumprod } = cogvideoxDdim(config, 20);
const generator = new Generator(3);
const size = 64,
  frames = 5;
const start = { latent: generator.randn([size]), noise: generator.randn([size]) };
const near = (a: Float32Array, b: ArrayLike<number>, within = 2e-5) =>
  a.forEach((x, i) => assert.ok(Math.abs(x - b[i]!) <= within * Math.max(1, Math.abs(b[i]!)), `${i}: ${x}, not ${b[i]!}`));

test('the known frame is noise alone where there is no signal, itself where there is no noise, and its own x0 in between', () => {
  assert.equal(alphasCumprod[999], 0);
  near(knownFrame(start, alphasCumprod[999]), start.noise, 0);
  near(knownFrame(start, 1), start.latent, 0);
  for (const t of [999, 949, 499, 49]) {
    const alpha = alphasCumprod[t]!;
    const velocity = start.noise.map((n, i) => Math.sqrt(alpha) * n - Math.sqrt(1 - alpha) * start.latent[i]!);
    near(predictOriginalSample(alpha, velocity, knownFrame(start, alpha)), start.latent);
  }
});

test('the frames behind it are drawn to it, half as much from one to the next and less with each step; the first and later steps stay', () => {
  for (const t of [999, 949, 499]) {
    const alpha = alphasCumprod[t]!;
    const latents = generator.randn([frames * size]),
      velocity = generator.randn([frames * size]);
    for (const [done, weight] of [[0, 1], [0.35, 0.5], [0.7, 0], [0.95, 0]] as const) {
      const drawn = velocity.slice();
      drawToStart(start, drawn, latents, alpha, done);
      near(drawn.subarray(0, size), velocity.subarray(0, size), 0);
      const before = predictOriginalSample(alpha, velocity, latents),
        after = predictOriginalSample(alpha, drawn, latents);
      for (let f = 1; f < frames; f++) {
        const w = weight * 0.5 ** (f - 1);
        const wanted = before.subarray(f * size, (f + 1) * size).map((x, i) => (1 - w) * x + w * start.latent[i]!);
        near(after.subarray(f * size, (f + 1) * size), wanted, 1e-4);
      }
      if (weight === 0) near(drawn, velocity, 0);
    }
  }
}); // prettier-ignore

test('a clip of one latent frame has nothing to draw', () => {
  const velocity = generator.randn([size]);
  const drawn = velocity.slice();
  drawToStart(start, drawn, generator.randn([size]), 0.5, 0);
  assert.deepEqual(drawn, velocity);
});
