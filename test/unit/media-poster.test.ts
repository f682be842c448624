/** @file What a gallery shows of a clip, and the proof that it is whole: real clips, written and decoded by every ffmpeg here. */
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { ffmpegCandidates, readFrames, type Ffmpeg } from '../../electron/media/ffmpeg.ts';
import { clipFrame, clipPictures, probeClip } from '../../electron/media/poster.ts';
import { writeVideo } from '../../electron/media/video-writer.ts';
import { sentence } from '../support/media.ts';

const ffmpegs: Ffmpeg[] = [];
let folder: string;
before(async () => {
  for await (const { found } of ffmpegCandidates()) if (typeof found !== 'string') ffmpegs.push(found);
  assert.ok(ffmpegs.length > 0);
  folder = await mkdtemp(path.join(tmpdir(), 'protagonist-poster-'));
});
after(() => rm(folder, { recursive: true, force: true }));
const at = (name: string): string => path.join(folder, name);

/** Writes a clip whose frame `i` is grey of `level(i)`, with noise on it where asked for, so that it has weight. */
async function clip(
  out: string,
  numFrames: number,
  width: number,
  height: number,
  level: (i: number) => number,
  noise = 0,
): Promise<string> {
  let state = 5;
  async function* frames(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < numFrames; i++) {
      const frame = new Uint8Array(width * height * 3).fill(level(i));
      if (noise > 0)
        for (let at = 0; at < frame.length; at++) frame[at]! += ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24) % noise;
      yield await Promise.resolve(frame);
    }
  }
  await writeVideo({ out, width, height, fps: 8, frames: frames(), request: { prompt: 'a test' }, ffmpeg: ffmpegs[0] });
  return out;
}

/** A JPEG's size and its grey at places. */
async function seen(jpeg: Uint8Array, places: readonly (readonly [number, number])[] = []): Promise<{ size: number[]; greys: number[] }> {
  const { data, info } = await sharp(jpeg).raw().toBuffer({ resolveWithObject: true });
  assert.equal((await sharp(jpeg).metadata()).format, 'jpeg');
  return { size: [info.width, info.height], greys: places.map(([x, y]) => data[(y * info.width + x) * info.channels]!) };
}
const near = (actual: readonly number[], expected: readonly number[], levels: number): void =>
  assert.ok(
    actual.every((value, i) => Math.abs(value - expected[i]!) <= levels),
    `${actual.join()} is not ${expected.join()}`,
  );

describe('the pictures of a clip', () => {
  test('a poster of the middle, a strip of 16 from the first frame to the last', async () => {
    const level = (i: number): number => 20 + 4 * i;
    const file = await clip(at('long.mp4'), 49, 720, 480, level);
    for (const ffmpeg of ffmpegs) {
      const { poster, sprite, columns } = await clipPictures(ffmpeg, file, { width: 720, height: 480, numFrames: 49 });
      assert.equal(columns, 16);
      const middle = await seen(poster, [[320, 200]]);
      assert.deepEqual(middle.size, [443, 295]);
      near(middle.greys, [level(24)], 3);
      const strip = await seen(
        sprite,
        Array.from({ length: 16 }, (_, i) => [i * 288 + 144, 96]),
      );
      assert.deepEqual(strip.size, [16 * 288, 192]);
      near(strip.greys, Array.from({ length: 16 }, (_, i) => level(Math.round((i * 48) / 15))), 3); // prettier-ignore
    }
  });

  test('of a short, small, upright clip', async () => {
    const file = await clip(at('short.mp4'), 5, 96, 160, i => 50 * i);
    const { poster, sprite, columns } = await clipPictures(ffmpegs[0]!, file, { width: 96, height: 160, numFrames: 5 });
    assert.equal(columns, 5);
    assert.deepEqual((await seen(poster)).size, [96, 160]);
    const strip = await seen(
      sprite,
      [0, 1, 2, 3, 4].map(i => [i * 96 + 48, 80]),
    );
    assert.deepEqual(strip.size, [480, 160]);
    near(strip.greys, [0, 50, 100, 150, 200], 4);
    const still = await clip(at('still.mp4'), 1, 64, 64, () => 99);
    const one = await clipPictures(ffmpegs[0]!, still, { width: 64, height: 64, numFrames: 1 });
    assert.equal(one.columns, 1);
    assert.deepEqual((await seen(one.sprite)).size, [64, 64]);
  });

  test('a clip with fewer frames than it should have is refused', async () => {
    const file = await clip(at('few.mp4'), 3, 64, 64, () => 9);
    await assert.rejects(clipPictures(ffmpegs[0]!, file, { width: 64, height: 64, numFrames: 4 }), sentence(/has 3 frames where 4 were/));
    await assert.rejects(clipPictures(ffmpegs[0]!, at('absent.mp4'), { width: 64, height: 64, numFrames: 4 }), sentence(/cannot decode/));
  });
});

describe('one frame', () => {
  const [numFrames, width, height] = [17, 96, 64];
  const pixels = async (png: Uint8Array): Promise<Buffer> => {
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    assert.deepEqual([(await sharp(png).metadata()).format, info.width, info.height, info.channels], ['png', width, height, 3]);
    return data;
  };

  test('is that one and no other, pixel by pixel, in colours that every viewer shows', async () => {
    const file = await clip(at('frames.mp4'), numFrames, width, height, i => 12 * i, 60);
    for (const ffmpeg of ffmpegs) {
      const all = await readFrames(ffmpeg, file, { width, height, frames: numFrames, ours: true });
      assert.equal(all.length, numFrames);
      for (const frame of [0, 1, 7, 8, 15, 16]) {
        const png = await clipFrame(ffmpeg, file, frame);
        assert.ok((await pixels(png)).equals(all[frame]!), `frame ${frame} by ${ffmpeg.version}`);
        assert.equal((await sharp(png).metadata()).icc, undefined);
      }
      assert.deepEqual(await clipFrame(ffmpeg, file, 7), await clipFrame(ffmpeg, file, 7), 'the same twice');
    }
  });

  test('one that is not there, a file that is none, and being stopped', async () => {
    const file = await clip(at('two.mp4'), 2, width, height, i => 90 * i);
    for (const ffmpeg of ffmpegs) {
      await assert.rejects(clipFrame(ffmpeg, file, 2), sentence(/^two\.mp4 has no frame 2: it is damaged/));
      await assert.rejects(clipFrame(ffmpeg, at('absent.mp4'), 0), sentence(/cannot decode/));
      await writeFile(at('list.mp4'), '#EXTM3U\n/etc/passwd');
      await assert.rejects(clipFrame(ffmpeg, at('list.mp4'), 0), sentence(/cannot decode/));
      const stop = new AbortController();
      const stopped = clipFrame(ffmpeg, file, 0, stop.signal);
      stop.abort(new Error('enough'));
      await assert.rejects(stopped, /^Error: enough$/);
    }
  });
});

describe('a probe', () => {
  test('decodes and counts every frame', async () => {
    const file = await clip(at('probed.mp4'), 49, 720, 480, i => 4 * i, 9);
    for (const ffmpeg of ffmpegs) {
      const started = performance.now();
      const { width, height, frames, codec } = await probeClip(ffmpeg, file);
      assert.deepEqual([width, height, frames, codec], [720, 480, 49, 'avc1']);
      console.log(`${ffmpeg.version}: 49 frames of 720x480 probed in ${(performance.now() - started).toFixed(0)} ms`);
    }
  });

  test('refuses what is cut off, and frames that do not decode', async () => {
    const whole = await readFile(await clip(at('noisy.mp4'), 25, 320, 240, i => 5 * i, 99));
    const mdat = whole.indexOf('mdat', 0, 'latin1');
    const length = whole.readUInt32BE(mdat - 4);
    for (const ffmpeg of ffmpegs) {
      await writeFile(at('cut.mp4'), whole.subarray(0, whole.length - length));
      await assert.rejects(probeClip(ffmpeg, at('cut.mp4')), sentence(/cut off|not a whole/));
      let noticed = 0;
      for (let part = 0.05; part < 1; part += 0.1) {
        const hurt = Buffer.from(whole);
        const from = mdat + Math.floor(length * part);
        for (let i = 0; i < 4096; i++) hurt[from + i] = (i * i * 31) >> 3; // a block that the disk lost
        await writeFile(at('hurt.mp4'), hurt);
        await probeClip(ffmpeg, at('hurt.mp4')).catch((error: unknown) => {
          sentence(/is damaged, a frame does not decode|cannot decode|decodes to/)(error as Error);
          noticed++;
        });
      }
      assert.ok(noticed >= 7, `${noticed} of 10`); // H.264 has no checksums
    }
    await assert.rejects(probeClip(ffmpegs[0]!, at('absent.mp4')), sentence(/no such file/));
    await writeFile(at('text.mp4'), '#EXTM3U\n/etc/passwd');
    await assert.rejects(probeClip(ffmpegs[0]!, at('text.mp4')), sentence(/not a whole MP4|damaged|is not/));
  });
});
