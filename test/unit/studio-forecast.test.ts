/** @file Forecasts: nothing without history, medians for what was made before, a sound guess for what was not. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { forecaster, sampleOf, tokens, type Work } from '../../electron/studio/forecast.ts';
import { newLibrary } from '../support/library.ts';
import type { Done } from '../../native-models/tasks.ts';
import { randoms } from '../support/random.ts';

const work = (more: Partial<Work> = {}): Work => ({
  checkpoint: 'a'.repeat(64), device: 'auto', precision: 'auto', width: 128, height: 128, numFrames: 17, references: 1, guided: true, adapters: 1, vaeTiling: false, steps: 20, ...more,
}); // prettier-ignore

/** A machine whose times are known: linear layers, attention, and what costs the same for any clip; noise on top. */
const next = randoms(7);
const machine = (w: Work) => {
  const n = tokens(w) * 1,
    B = w.guided ? 2 : 1,
    pixels = w.width * w.height * w.numFrames;
  const truth = { load: 0.6, encode: 0.3 + 1e-6 * w.width * w.height * w.references, step: 0.02 + B * (2e-4 * n + 4e-7 * n * n), decode: 0.2 + 4e-6 * pixels, export: 0.1 + 1e-7 * pixels, rest: 0.4 }; // prettier-ignore
  return { truth, seconds: truth.load + truth.encode + truth.step * w.steps + truth.decode + truth.export + truth.rest };
};
const ran = (w: Work, noise = 0.05) => {
  const off = () => 1 + noise * (2 * next() - 1);
  const { truth } = machine(w);
  const timings = {
    load: truth.load * off(),
    encode: truth.encode * off(),
    denoise: truth.step * w.steps * off(),
    decode: truth.decode * off(),
    export: truth.export * off(),
  };
  const seconds = Object.values(timings).reduce((a, b) => a + b, 0);
  const done: Done = { type: 'done', out: '/clip.mp4', seed: 1, width: w.width, height: w.height, numFrames: w.numFrames, bytes: 1000, checkpointSha256: w.checkpoint, device: 'cpu', stepsRun: w.steps, timings, seconds, peakMemory: { ram: 5e8 + 100 * w.width * w.height * w.numFrames } }; // prettier-ignore
  return sampleOf(w, done, seconds + truth.rest * off(), 1000 + w.width * w.height * w.numFrames * 0.05);
};
const open = async () => {
  const library = await newLibrary();
  after(() => library.close());
  return { library, forecast: forecaster(library) };
};
const error = (said: number | null, w: Work) => Math.abs(said! - machine(w).seconds) / machine(w).seconds;

test('nothing is known yet: of this machine, this checkpoint, this device, this precision', async () => {
  const { forecast } = await open();
  const nothing = { seconds: null, peakRamBytes: null, peakDeviceBytes: null, diskBytes: null, learntFrom: 0, exact: false };
  assert.deepEqual(forecast.of(work()), nothing);
  assert.equal(forecast.phasesOf(work()), undefined);
  forecast.learn(ran(work()));
  assert.equal(forecast.of(work()).learntFrom, 1);
  for (const other of [{ checkpoint: 'b'.repeat(64) }, { device: 'cuda' }, { precision: 'float32' }])
    assert.deepEqual(forecast.of(work(other)), nothing);
});
test('the same again: the median of the newest 20, whatever the steps; an outlier does no harm', async () => {
  const { forecast } = await open();
  for (let i = 0; i < 30; i++) forecast.learn({ ...ran(work()), step: 100 });
  for (let i = 0; i < 19; i++) forecast.learn(ran(work()));
  forecast.learn({ ...ran(work()), step: 50, load: 90 });
  for (const steps of [1, 20, 50]) {
    const said = forecast.of(work({ steps }));
    assert.ok(error(said.seconds, work({ steps })) < 0.05, `${String(said.seconds)} for ${machine(work({ steps })).seconds}`);
    assert.deepEqual([said.exact, said.learntFrom], [true, 20]);
  }
  const said = forecast.of(work());
  assert.ok(Math.abs(said.peakRamBytes! - (5e8 + 100 * 128 * 128 * 17)) < 1e6);
  assert.equal(said.peakDeviceBytes, null);
  assert.ok(said.diskBytes! > 0);
});
test('one size known: another is scaled, and not called exact', async () => {
  const { forecast } = await open();
  forecast.learn(ran(work(), 0));
  const twice = forecast.of(work({ numFrames: 33 }));
  assert.equal(twice.exact, false);
  assert.ok(twice.seconds! > forecast.of(work()).seconds! * 1.2);
  assert.ok(forecast.of(work({ guided: false })).seconds! < forecast.of(work()).seconds!);
});
test('two sizes known: attention’s square is told from the rest', async () => {
  const { forecast } = await open();
  for (const numFrames of [9, 25]) for (let i = 0; i < 3; i++) forecast.learn(ran(work({ numFrames, steps: 30 }), 0.02));
  for (const w of [work({ numFrames: 17, steps: 30 }), work({ numFrames: 49, steps: 30 })]) assert.ok(error(forecast.of(w).seconds, w) < 0.2, `${String(forecast.of(w).seconds)} for ${machine(w).seconds}`); // prettier-ignore
});
test('a mixed day: the median error of jobs 4 to 20 is under 25 %', async () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const { forecast } = await open();
    const pick = randoms(seed);
    const one = <T>(list: readonly T[]) => list[Math.floor(pick() * list.length)]!;
    const errors: number[] = [];
    for (let job = 1; job <= 20; job++) {
      const w = work({ steps: one([4, 8, 20, 30]), numFrames: one([9, 17, 25]), width: one([64, 96, 128]), height: one([64, 128]), guided: pick() < 0.7, references: one([0, 1, 1, 2]) }); // prettier-ignore
      const { seconds } = forecast.of(w);
      if (job >= 4) errors.push(error(seconds, w));
      forecast.learn(ran(w, 0.1));
    }
    const median = errors.toSorted((a, b) => a - b)[errors.length >> 1]!;
    assert.ok(median < 0.25, `seed ${seed}: ${median.toFixed(2)}`);
  }
});
test('the price of another photo: by what was learnt, else by tokens', async () => {
  const { forecast } = await open();
  assert.equal(forecast.stepRatio(work({ references: 2 }), work()), 7 / 6);
  for (const references of [1, 2]) forecast.learn(ran(work({ references }), 0));
  const [one, two] = [machine(work()).truth.step, machine(work({ references: 2 })).truth.step];
  assert.ok(Math.abs(forecast.stepRatio(work({ references: 2 }), work()) - two / one) < 0.01);
});
test('a job that went on after its last step teaches nothing of steps; a damaged row teaches nothing at all', async () => {
  const { library, forecast } = await open();
  forecast.learn(ran(work()));
  const resumed = ran(work());
  forecast.learn({ ...resumed, step: null, encode: null });
  library.db.run('INSERT INTO samples (checkpoint, record) VALUES (?, ?)', work().checkpoint, '{"version":1');
  assert.ok(error(forecaster(library).of(work()).seconds, work()) < 0.1);
});
