/** @file A clip that begins with a picture: what the engine makes of it, what it refuses, and what stays as it is without one. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import sharp from 'sharp';
import { inProcessEngine } from '../../electron/engine/main.ts';
import { findFfmpeg, readFrames } from '../../electron/media/ffmpeg.ts';
import { readRequest } from '../../electron/media/metadata.ts';
import { readPhoto } from '../../electron/media/photo.ts';
import { cogvideox, type Clip } from '../../native-models/pipelines/cogvideox.ts';
import type { Snapshot } from '../../native-models/pipelines/snapshot.ts';
import { openVae } from '../../native-models/pipelines/vae.ts';
import { openRuntime } from '../../native-models/runtime/device.ts';
import type { Runtime } from '../../native-models/runtime/runtime.ts';
import { openCheckpoint } from '../../native-models/weights/checkpoint.ts';
import { TaskError, type GenerateOrder } from '../../native-models/tasks.ts';
import { checkpoint, photo, root } from '../support/run.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-start-'));
const at = (name: string) => join(folder, name);
const size = { width: 32, height: 32 };
let runtime: Runtime;
before(async () => {
  runtime = await openRuntime({ device: 'cpu' });
});
after(async () => {
  runtime.release();
  await inProcessEngine.close();
  rmSync(folder, { recursive: true, force: true });
});

const settings = { prompt: 'the toy hops', negativePrompt: '', numFrames: 9, ...size, numInferenceSteps: 3, guidanceScale: 3, useDynamicCfg: false, scheduler: 'ddim', noiseDtype: 'float32' } as const; // prettier-ignore
/** The frames of a clip and what it would resume from after each step. */
async function make(change: Partial<Clip>): Promise<{ frames: Uint8Array[]; snapshots: Snapshot[] }> {
  const clip: Clip = { ...settings, checkpoint: openCheckpoint(checkpoint), adapters: [], referenceImages: [], seed: 5, runtime, dtype: 'float32', ...change };
  const snapshots: Snapshot[] = [],
    frames: Uint8Array[] = [];
  const step = (_: number, snapshot: () => Snapshot) => void snapshots.push(snapshot());
  for await (const rgb of cogvideox(clip, { progress: () => undefined, notice: () => undefined, step }, new AbortController().signal)) frames.push(rgb);
  return { frames, snapshots };
} // prettier-ignore
const apart = (a: Uint8Array, b: Uint8Array) => a.reduce((sum, x, i) => sum + Math.abs(x - b[i]!), 0) / a.length;

test('the first latent frame is the picture, encoded by itself, bit for bit; the first frame is the picture as the VAE gives it back', async () => {
  const startImage = await readPhoto(photo, { ...size, fit: 'cover' });
  const vae = openVae(runtime, openCheckpoint(checkpoint).component('vae'), 'float32');
  const { mean } = await vae.encode(startImage, [1, 3, 1, 32, 32]);
  const back: Float32Array[] = [];
  for await (const { data } of vae.decode(mean, [1, 16, 1, 4, 4])) back.push(data);
  vae.release();
  const latent = mean.map(x => x * vae.scalingFactor);
  const alone = new Uint8Array(32 * 32 * 3).map((_, i) =>
    Math.round(255 * Math.min(1, Math.max(0, back[0]![(i % 3) * 1024 + Math.floor(i / 3)]! / 2 + 0.5))),
  );
  for (const change of [{}, { guidanceScale: 1 }, { scheduler: 'dpm' }, { numInferenceSteps: 1 }, { numFrames: 1 }] as const) {
    const { frames, snapshots } = await make({ startImage, ...change });
    assert.deepEqual(snapshots.at(-1)!.latents.data.subarray(0, latent.length), latent, JSON.stringify(change));
    // later frames share the statistics of a chunk with it, so it is not the same to the bit
    assert.ok(apart(frames[0]!, alone) < 6, `${JSON.stringify(change)}: ${apart(frames[0]!, alone)}`);
    assert.equal(frames.length, 'numFrames' in change ? 1 : 9);
  }
});

test('the same seed draws the same noise with and without it; the clip goes on from the picture', async () => {
  const startImage = await readPhoto(photo, { ...size, fit: 'cover' });
  const plain = await make({ startImage: undefined, scheduler: 'dpm' }),
    begun = await make({ startImage, scheduler: 'dpm' });
  assert.deepEqual(
    begun.snapshots.map(s => s.generator),
    plain.snapshots.map(s => s.generator),
  );
  assert.notDeepEqual(begun.frames.at(-1), plain.frames.at(-1));
  assert.deepEqual((await make({ scheduler: 'dpm' })).frames, plain.frames);
  // another picture makes other frames all along
  const other = await make({
    startImage: await readPhoto(join(root, 'test/support/photo.png'), { ...size, fit: 'cover' }),
    scheduler: 'dpm',
  });
  for (const f of [0, 1, 8]) assert.ok(apart(begun.frames[f]!, other.frames[f]!) > 1, `frame ${f}`);
});

const order = (name: string, change: Partial<GenerateOrder> = {}): GenerateOrder => ({
  task: 'generate', checkpoint, checkpointSha256: null, adapters: [], referenceImages: [], startImage: photo, fit: 'contain', ...settings, numInferenceSteps: 2, seed: 1, fps: 8, device: 'cpu',
  precision: 'auto', vaeTiling: false, previewSeconds: 0, threads: null, out: at(name), keepLatents: null, note: null, ...change,
}); // prettier-ignore
const run = (o: GenerateOrder) => inProcessEngine.run(o, () => undefined, new AbortController().signal);

test('a picture that is none, or says nothing, is refused in a sentence before anything is computed', async () => {
  writeFileSync(at('drawing.svg'), '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>');
  writeFileSync(at('cut.png'), readFileSync(join(root, 'test/support/photo.png')).subarray(0, 100));
  await sharp({ create: { width: 1, height: 1, channels: 3, background: '#888' } }).png().toFile(at('dot.png')); // prettier-ignore
  await sharp({ create: { width: 400, height: 15, channels: 3, background: '#888' } }).png().toFile(at('line.png')); // prettier-ignore
  const refused = [
    ['nowhere.png', /cannot read .*nowhere\.png: no such file/],
    ['drawing.svg', /drawing\.svg is an SVG drawing, not a JPEG/],
    ['cut.png', /cut\.png cannot be read as a photo/],
    ['dot.png', /dot\.png is 1x1, too small for a clip to begin with: take a picture of at least 16x16/],
    ['line.png', /line\.png is 400x15, too small/],
  ] as const;
  for (const [name, sentence] of refused)
    await assert.rejects(run(order('no.mp4', { startImage: at(name) })), (e: unknown) => {
      assert.ok(e instanceof TaskError && e.code === 'badFile', `${name}: ${String(e)}`);
      assert.match(e.message, sentence);
      return true;
    });
  assert.ok(!existsSync(at('no.mp4')));
});

test('a picture of another shape is bordered or cut, as photos are; the clip remembers it by content, and goes on from its own snapshot only', async () => {
  await sharp({ create: { width: 640, height: 160, channels: 3, background: '#2040c0' } }).png().toFile(at('wide.png')); // prettier-ignore
  const latents = at('kept.safetensors');
  const done = await run(order('wide.mp4', { startImage: at('wide.png'), fit: 'contain', keepLatents: latents }));
  assert.equal(done.stepsRun, 2);
  const ffmpeg = await findFfmpeg();
  const first = async (name: string) => (await readFrames(ffmpeg, at(name), { ...size, frames: 1, ours: true }))[0]!;
  const pixel = (rgb: Uint8Array, x: number, y: number) => [...rgb.subarray((y * 32 + x) * 3, (y * 32 + x) * 3 + 3)];
  const bordered = await first('wide.mp4');
  assert.ok(Math.min(...pixel(bordered, 16, 2)) > 200, 'white above it');
  assert.ok(pixel(bordered, 16, 16)[2]! > pixel(bordered, 16, 16)[0]! + 60, 'blue in the middle');

  const made = await readRequest(at('wide.mp4'));
  const { name, sha256 } = made!['startImage'] as { name: string; sha256: string };
  assert.equal(name, 'wide.png');
  assert.match(sha256, /^[0-9a-f]{64}$/);

  // the same content under another name is the same clip; another picture, another fit, or none is not
  copyFileSync(at('wide.png'), at('copy.png'));
  assert.equal((await run(order('again.mp4', { startImage: at('copy.png'), fit: 'contain', keepLatents: latents }))).stepsRun, 0);
  for (const [i, change] of [
    { fit: 'cover' as const, startImage: at('wide.png') },
    { startImage: photo },
    { startImage: null },
  ].entries()) {
    copyFileSync(latents, at(`${i}.safetensors`));
    assert.equal((await run(order(`${i}.mp4`, { ...change, keepLatents: at(`${i}.safetensors`) }))).stepsRun, 2, JSON.stringify(change));
  }
  const cut = await first('0.mp4');
  assert.ok(pixel(cut, 16, 2)[2]! > pixel(cut, 16, 2)[0]! + 60, 'blue all over');
  assert.equal((await readRequest(at('2.mp4')))!['startImage'], undefined);
});
