/** @file Cut-outs by the real child process: of a painted photo, of Toybox's, from rectangle, strokes and an earlier mask; refusals, limits, ends. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import path from 'node:path';
import sharp from 'sharp';
import { GrabCutter, type CutOut } from '../../electron/media/cutout.ts';
import { MediaError } from '../../electron/media/error.ts';

const cutter = new GrabCutter();
after(() => cutter.close());

/** A red ball and a blue one on woven green, and which pixels are whose. */
const [width, height] = [900, 600];
const balls = { red: { x: 450, y: 320, r: 170 }, blue: { x: 760, y: 130, r: 70 } };
const isIn = (ball: { x: number; y: number; r: number }, i: number): boolean =>
  Math.hypot((i % width) + 0.5 - ball.x, Math.floor(i / width) + 0.5 - ball.y) < ball.r;
const rgb = Uint8Array.from({ length: 3 * width * height }, (_, k) => {
  const i = Math.floor(k / 3);
  const weave = 12 * Math.sin(i % width) * Math.cos(Math.floor(i / width) / 2) + ((i * 7919) % 17);
  const base = isIn(balls.red, i) ? [190, 60, 50] : isIn(balls.blue, i) ? [40, 60, 190] : [70, 130, 80];
  return base[k % 3]! + weave;
});
const photo = {
  bytes: await sharp(rgb, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 92 })
    .toBuffer(),
  name: 'balls.jpg',
};

async function iou({ mask }: CutOut, truth: (i: number) => boolean): Promise<number> {
  const grey = await sharp(mask.bytes).toColourspace('b-w').raw().toBuffer();
  let [both, any] = [0, 0];
  grey.forEach((value, i) => {
    const [a, b] = [value > 127, truth(i)];
    if (a && b) both++;
    if (a || b) any++;
  });
  return both / any;
}

test("the subject is found by itself, and the mask is a grey PNG of the photo's size, the same each time", async () => {
  const cut = await cutter.cutOut({ photo });
  const { format, width: w, height: h, channels, depth } = await sharp(cut.mask.bytes).metadata();
  assert.deepEqual({ format, w, h, channels, depth }, { format: 'png', w: width, h: height, channels: 1, depth: 'uchar' });
  assert.ok((await iou(cut, i => isIn(balls.red, i))) > 0.97);
  assert.ok(cut.confidence > 0.7, `confidence ${cut.confidence}`);
  assert.equal((await cutter.cutOut({ photo })).mask.sha256, cut.mask.sha256);
});

test('a rectangle says which thing is meant, also one that reaches over the edge', async () => {
  const cut = await cutter.cutOut({ photo, rectangle: { x: 670, y: -30, width: 400, height: 250 } });
  assert.ok((await iou(cut, i => isIn(balls.blue, i))) > 0.95);
});

test('strokes add and take away, going on from the last mask, and what is under them is as they say', async () => {
  const first = await cutter.cutOut({ photo });
  const add = {
    subject: true,
    radius: 12,
    points: [
      [730, 130],
      [790, 130],
    ] as [number, number][],
  };
  const both = await cutter.cutOut({ photo, previous: first.mask.bytes, strokes: [add] });
  assert.ok((await iou(both, i => isIn(balls.red, i) || isIn(balls.blue, i))) > 0.95);
  const take = {
    subject: false,
    radius: 25,
    points: [
      [380, 320],
      [520, 320],
    ] as [number, number][],
  };
  const less = await cutter.cutOut({ photo, previous: both.mask.bytes, strokes: [add, take] });
  const grey = await sharp(less.mask.bytes).toColourspace('b-w').raw().toBuffer();
  assert.ok(grey[320 * width + 450]! < 128);
  assert.ok(grey[130 * width + 760]! > 127);
  const fresh = new GrabCutter(); // another process, which knows the mask only by its file
  try {
    const same = await fresh.cutOut({ photo, previous: first.mask.bytes, strokes: [add] });
    assert.ok((await iou(same, i => isIn(balls.red, i) || isIn(balls.blue, i))) > 0.95);
  } finally {
    fresh.close();
  }
});

test('what was drawn before stays, and a photo that was all painted over can be drawn on', async () => {
  const own = new GrabCutter();
  try {
    const line = (subject: boolean, x: number, y: number, radius: number) => ({ subject, radius, points: [[x, y] as const] });
    const everything = [line(true, 450, 300, 2000)];
    const all = await own.cutOut({ photo, rectangle: { x: 0, y: 0, width, height }, strokes: everything });
    assert.ok((await iou(all, () => true)) > 0.99);
    const strokes = [...everything, line(false, 100, 100, 40)];
    const hole = await own.cutOut({ photo, strokes, previous: all.mask.bytes });
    const more = await own.cutOut({ photo, strokes: [...strokes, line(false, 100, 500, 40)], previous: hole.mask.bytes });
    for (const [x, y, lit] of [
      [100, 100, false],
      [100, 500, false],
      [450, 320, true],
    ] as const)
      assert.equal((await sharp(more.mask.bytes).toColourspace('b-w').raw().toBuffer())[y * width + x]! > 127, lit, `${x}, ${y}`);
  } finally {
    own.close();
  }
});

test("a toy of Toybox's sample photos", async () => {
  const cut = await cutter.cutOut({ photo: { path: path.resolve(import.meta.dirname, '../../assets/toybox/photos/kelp.jpg') } });
  assert.equal(cut.mask.width, 768);
  assert.ok(cut.confidence > 0.5);
});

test('what cannot be cut out is refused in one sentence, and the next request is answered', async () => {
  const refused = (request: Parameters<GrabCutter['cutOut']>[0], message: RegExp) =>
    assert.rejects(cutter.cutOut(request), (error: unknown) => error instanceof MediaError && message.test(error.message));
  const plain = await sharp({ create: { width: 300, height: 200, channels: 3, background: '#88aacc' } })
    .png()
    .toBuffer();
  await refused({ photo: { bytes: plain, name: 'sky.png' } }, /^nothing stands out in sky\.png: draw a rectangle/);
  await refused({ photo: { bytes: Buffer.from('hello'), name: 'note.txt' } }, /^note\.txt is not a JPEG/);
  await refused({ photo: { bytes: photo.bytes.subarray(0, 3000), name: 'half.jpg' } }, /^half\.jpg cannot be read as a photo/);
  await refused({ photo, rectangle: { x: 2000, y: 0, width: 10, height: 10 } }, /marks nothing of balls\.jpg, which is 900x600/);
  await refused({ photo, rectangle: { x: 0, y: 0, width: NaN, height: 10 } }, /is none: draw it around the subject/);
  await refused({ photo, strokes: [{ subject: true, radius: 0, points: [] }] }, /a brush of radius 0 is none/);
  await refused({ photo, strokes: [{ subject: true, radius: 3, points: [[Infinity, 0]] }] }, /which is no place in a photo/);
  await refused({ photo, previous: plain }, /the mask is 300x200 and the photo 900x600/);
  await refused({ photo: { path: '/nowhere/cat.jpg' } }, /no such file/);
  const tiny = await sharp({ create: { width: 1, height: 1, channels: 3, background: '#123456' } })
    .png()
    .toBuffer();
  await refused({ photo: { bytes: tiny, name: 'dot.png' } }, /^nothing stands out in dot\.png/);
  assert.ok((await cutter.cutOut({ photo })).confidence > 0.7);
});

test('a request that is no longer wanted ends at once, and the one after it is answered', async () => {
  const leave = new AbortController();
  const left = cutter.cutOut({ photo, rectangle: { x: 10, y: 10, width: 800, height: 500 } }, leave.signal);
  const next = cutter.cutOut({ photo });
  setTimeout(() => leave.abort(new Error('enough')), 30);
  await assert.rejects(left, /enough/);
  assert.ok((await iou(await next, i => isIn(balls.red, i))) > 0.97);
});

test('a child that takes too long or too much is ended with a sentence; the next request starts another', async () => {
  const slow = new GrabCutter({ seconds: 0.05 });
  await assert.rejects(slow.cutOut({ photo }), /could not be cut out: it took longer than 0\.05 s/);
  slow.close();
  const narrow = new GrabCutter({ megabytes: 60 });
  await assert.rejects(narrow.cutOut({ photo }), /took more than 60 MB of memory/);
  narrow.close();
});
