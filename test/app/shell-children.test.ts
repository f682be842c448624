/** @file Processes of ours as the desktop app starts them: the same scripts, the same answers, over the one channel that a utility process has. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { clipEngine } from '../../electron/cli/engine.ts';
import { lookAtMachine } from '../../electron/cli/machine.ts';
import { startScriptsBy } from '../../electron/media/children.ts';
import { GrabCutter } from '../../electron/media/cutout.ts';
import { normalizePhoto } from '../../electron/media/import.ts';
import { byUtilityProcess } from '../../electron/shell/children.ts';
import { TaskError, type GenerateOrder } from '../../native-models/tasks.ts';
import { checkpoint, photo, root, sleep } from '../support/run.ts';
import { started, utilityFork } from '../support/utility.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-shell-children-'));
const alone = new AbortController().signal;
const engine = clipEngine(1);
before(() => startScriptsBy(byUtilityProcess(utilityFork)));
after(async () => {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
});
const order = (name: string, change: Partial<GenerateOrder> = {}): GenerateOrder => ({
  task: 'generate',
  checkpoint,
  checkpointSha256: null,
  adapters: [],
  referenceImages: [],
  startImage: null,
  fit: 'contain',
  prompt: 'the toy hops',
  negativePrompt: '',
  seed: 1,
  numInferenceSteps: 2,
  guidanceScale: 4,
  useDynamicCfg: false,
  scheduler: 'ddim',
  numFrames: 9,
  width: 32,
  height: 32,
  fps: 8,
  device: 'cpu',
  precision: 'auto',
  noiseDtype: 'float32',
  vaeTiling: false,
  previewSeconds: 0,
  threads: null,
  out: join(folder, name),
  keepLatents: null,
  note: null,
  ...change,
});

test('a clip, a cancel between two steps, and the next clip by the same process', async () => {
  const steps: number[] = [];
  const done = await engine.run(order('a.mp4'), said => said.type === 'progress' && steps.push(said.step), alone);
  assert.deepEqual([done.numFrames, existsSync(join(folder, 'a.mp4'))], [9, true]);
  assert.ok(steps.length >= 2, `told of ${steps.length} steps`);
  const stop = new AbortController();
  const stopped = engine.run(order('b.mp4', { numInferenceSteps: 1000 }), said => said.type === 'progress' && stop.abort(), stop.signal);
  await assert.rejects(stopped, (e: unknown) => e instanceof TaskError && e.code === 'canceled');
  await engine.run(order('c.mp4'), () => undefined, alone);
  assert.deepEqual(readFileSync(join(folder, 'c.mp4')).subarray(0, 8), readFileSync(join(folder, 'a.mp4')).subarray(0, 8));
  assert.equal(started.length, 1);
});

test('one that is killed is replaced, and the end of the last is told', async () => {
  const running = engine.run(order('d.mp4', { numInferenceSteps: 1000 }), said => said.type === 'progress' && started.at(-1)!.kill('SIGKILL'), alone); // prettier-ignore
  await assert.rejects(running, (e: unknown) => e instanceof TaskError && e.code === 'engineDied');
  await engine.run(order('e.mp4'), () => undefined, alone);
  assert.equal(started.length, 2);
});

test('a HEIC is decoded: standard input and output go the same way', async () => {
  const { photo: kept } = await normalizePhoto({ path: join(root, 'test/golden/photos/p3.heic') });
  assert.ok(kept.width > 0 && kept.bytes.length > 0);
  await assert.rejects(
    normalizePhoto({ bytes: readFileSync(join(root, 'test/golden/photos/p3.heic')).subarray(0, 900), name: 'cut.heic' }),
  );
});

test('a subject is cut out, twice by the same process', async () => {
  const cutter = new GrabCutter();
  const before = started.length;
  const bytes = readFileSync(photo);
  const first = await cutter.cutOut({ photo: { bytes, name: 'toy.jpg' } });
  const again = await cutter.cutOut({ photo: { bytes, name: 'toy.jpg' } });
  assert.equal(again.mask.sha256, first.mask.sha256);
  assert.equal(started.length - before, 1);
  cutter.close();
});

test('what this machine has is found, and nothing of all that stays', async () => {
  const { devices } = await lookAtMachine();
  assert.ok(devices.some(({ device, available }) => device === 'cpu' && available));
  await engine.close();
  for (let i = 0; i < 400 && started.some(child => child.exitCode === null && child.signalCode === null); i++) await sleep(50);
  assert.deepEqual(started.filter(child => child.exitCode === null && child.signalCode === null).map(child => child.pid), []); // prettier-ignore
});
