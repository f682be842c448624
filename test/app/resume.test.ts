/** @file A clip that is interrupted after any step goes on to the same frames, byte by byte, with either scheduler; what is not its snapshot is not used. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readPhoto } from '../../electron/media/photo.ts';
import { cogvideox, type Clip } from '../../native-models/pipelines/cogvideox.ts';
import { readSnapshot, writeSnapshot, type Snapshot } from '../../native-models/pipelines/snapshot.ts';
import { openRuntime } from '../../native-models/runtime/device.ts';
import type { Runtime } from '../../native-models/runtime/runtime.ts';
import { openCheckpoint } from '../../native-models/weights/checkpoint.ts';
import { checkpoint, root, run, start, type Line } from '../support/run.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-resume-'));
let runtime: Runtime;
before(async () => {
  runtime = await openRuntime({ device: 'cpu' });
});
after(() => {
  runtime.release();
  rmSync(folder, { recursive: true, force: true });
});
const photo = join(root, 'test/support/photo.png');

/** The frames of a clip and the snapshots after each of its steps, as they come back from the disk. */
async function make(clip: Clip): Promise<{ frames: string; snapshots: Snapshot[] }> {
  const out = join(folder, 'direct.mp4'),
    snapshots: Snapshot[] = [],
    frames: Uint8Array[] = [];
  const step = (_: number, snapshot: () => Snapshot) => {
    writeSnapshot(out, 'key', snapshot());
    snapshots.push(readSnapshot(out, 'key', clip.seed)!);
  };
  for await (const rgb of cogvideox(clip, { progress: () => undefined, notice: () => undefined, step }, new AbortController().signal))
    frames.push(rgb);
  return { frames: Buffer.concat(frames).toString('base64'), snapshots };
}

for (const scheduler of ['ddim', 'dpm'] as const)
  for (const noiseDtype of ['float32', 'bfloat16', 'begun'] as const)
    test(`${scheduler}, ${noiseDtype === 'begun' ? 'with a start image' : `${noiseDtype} noise`}: every step`, async () => {
      const settings = {
        prompt: 'the toy hops',
        negativePrompt: '',
        numFrames: 9,
        width: 32,
        height: 32,
        numInferenceSteps: 5,
        guidanceScale: 3,
        useDynamicCfg: true,
        scheduler,
        noiseDtype: noiseDtype === 'begun' ? ('float32' as const) : noiseDtype,
      };
      const referenceImages = [await readPhoto(photo, { width: 32, height: 32, fit: 'contain' })];
      const clip: Clip = {
        ...settings,
        checkpoint: openCheckpoint(checkpoint),
        adapters: [],
        referenceImages,
        startImage: noiseDtype === 'begun' ? await readPhoto(photo, { width: 32, height: 32, fit: 'cover' }) : undefined,
        seed: 5,
        runtime,
        dtype: 'float32',
      };
      const whole = await make(clip);
      assert.deepEqual(
        whole.snapshots.map(s => s.step),
        [1, 2, 3, 4, 5],
      );
      for (const resume of whole.snapshots) {
        const again = await make({ ...clip, resume });
        assert.ok(again.frames === whole.frames, `resumed after step ${resume.step}`);
        assert.deepEqual(again.snapshots.at(-1), resume.step < 5 ? whole.snapshots.at(-1) : undefined);
      }
      assert.ok((await make({ ...clip, seed: 6 })).frames !== whole.frames);
    });

const out = join(folder, 'clip.mp4'),
  kept = join(folder, '.clip.mp4.snapshot');
const command = (subject: string, ...more: string[]) =>
  ['generate', '--subject', subject, '--prompt', 'the toy hops', '--width', '32', '--height', '32', '--frames', '9', '--steps', '3', '--out', out, '--json', ...more]; // prettier-ignore
const done = (lines: readonly Line[]) => lines.find(l => l.type === 'done')!;
/** A run that is stopped when all steps are done, and its snapshot. */
async function interrupted(): Promise<Buffer> {
  const started = start(command(photo, '--seed', '3'), {
    onLine: l => {
      if (l['phase'] === 'decode') started.child.kill('SIGINT');
    },
  });
  assert.equal((await started.ended).status, 130);
  assert.deepEqual(
    readdirSync(folder).filter(f => f.startsWith('.clip')),
    ['.clip.mp4.snapshot'],
  );
  return readFileSync(kept);
}

test('the photo under another name is the same photo; a finished clip leaves no snapshot', async () => {
  await interrupted();
  const copy = join(folder, 'copy of the photo.png');
  copyFileSync(photo, copy);
  const { status, lines } = await run(command(copy));
  assert.equal(status, 0);
  assert.equal(done(lines)['resumedFrom'], 3);
  assert.equal(done(lines)['seed'], 3);
  assert.deepEqual(
    readdirSync(folder).filter(f => f.startsWith('.clip')),
    [],
  );
});

test('another seed, another prompt and a damaged snapshot start anew, and make the clip that a fresh run makes', async () => {
  const snapshot = await interrupted();
  for (const change of [
    ['--seed', '4'],
    ['--seed', '3', '--negative-prompt', 'rain'],
  ]) {
    const { lines } = await run(command(photo, ...change));
    assert.equal(done(lines)['resumedFrom'], undefined, change.join(' '));
    writeFileSync(kept, snapshot);
  }
  const flipped = Buffer.from(snapshot);
  flipped[flipped.length - 5000]! ^= 1;
  for (const damaged of [flipped, snapshot.subarray(0, 3000), Buffer.from('ffffffffffffff7f7b7d', 'hex'), Buffer.alloc(0)]) {
    writeFileSync(kept, damaged);
    const { status, lines } = await run(command(photo, '--seed', '3'));
    assert.equal(status, 0);
    assert.equal(done(lines)['resumedFrom'], undefined);
  }
  const plain = join(folder, 'plain.mp4');
  await run(command(photo, '--seed', '3').map(a => (a === out ? plain : a)));
  assert.ok(readFileSync(out).equals(readFileSync(plain)));
});
