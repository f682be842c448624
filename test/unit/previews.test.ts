/** @file After which steps a clip that is being painted is shown. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Previews } from '../../electron/engine/previews.ts';

/** Steps after which a preview was made. @param cost of the n-th preview: ms; `step`: what a step takes: ms; `from`: the step it goes on after */
function shown(
  numInferenceSteps: number,
  step: number,
  { previewSeconds = 10, cost = () => 0, from = 0 }: { previewSeconds?: number; cost?: (n: number) => number; from?: number } = {},
): { at: number[]; spent: number; worked: number } {
  const previews = new Previews({ previewSeconds, numInferenceSteps });
  let now = 5_000_000; // of a clock that began long ago
  const at: number[] = [];
  let spent = 0;
  previews.begin(now);
  for (let i = from + 1; i <= numInferenceSteps; i++) {
    now += step;
    previews.begin(now); // as the pipeline says it before each step
    if (!previews.due(i, now)) continue;
    const took = cost(at.length);
    previews.made(now, now + took);
    at.push(i);
    spent += took;
    now += took;
  }
  return { at, spent, worked: (numInferenceSteps - from) * step };
}

test('a clip of three seconds is shown once, after the first', () => {
  assert.deepEqual(shown(20, 150).at, [7]);
  assert.deepEqual(shown(20, 150, { cost: () => 250 }).at, [7]);
});

test('the first waits for a tenth of the steps, the others for the time between them', () => {
  assert.deepEqual(shown(50, 10_000).at.slice(0, 3), [5, 6, 7]); // each step is longer than the time between
  assert.deepEqual(shown(50, 1000).at, [5, 15, 25, 35, 45]);
  assert.deepEqual(shown(50, 1000, { previewSeconds: 20 }).at, [5, 25, 45]);
});

test('never where none is wanted, in a moment, or after the last step', () => {
  assert.deepEqual(shown(50, 10_000, { previewSeconds: 0 }).at, []);
  assert.deepEqual(shown(20, 40).at, []);
  assert.deepEqual(shown(1, 60_000).at, []);
  assert.equal(new Previews({ previewSeconds: 1, numInferenceSteps: 9 }).due(5, 1e9), false); // no step has begun
});

test('who asks for many gets the first at once', () => {
  assert.deepEqual(shown(3, 50, { previewSeconds: 0.01 }).at, [1, 2]);
});

test('one that goes on is shown after a second, too', () => {
  assert.deepEqual(shown(50, 1000, { from: 30 }).at, [31, 41]);
});

test('all of them take a twentieth of the time of the steps, but for the first', () => {
  for (const [step, took] of [
    [1000, 400],
    [5000, 2000],
    [30_000, 9000],
  ] as const) {
    const { at, spent, worked } = shown(400, step, { cost: n => (n ? took : 3 * took) });
    assert.ok(at.length > 10, `${at.length} previews`);
    assert.ok(spent <= worked * 0.05 + took, `${spent} of ${worked} ms`);
  }
});
