/** @file Photos through the studio's API: masks found, drawn on and kept, and photos checked; by the real child process on a real library. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp, { type Sharp } from 'sharp';
import { lookAtMachine } from '../../electron/cli/machine.ts';
import { api } from '../../electron/contract/api.ts';
import { client, inProcess, type ClientOf } from '../../electron/contract/rpc.ts';
import { toybox } from '../../electron/cli/toybox.ts';
import { startStudio, type Studio } from '../../electron/studio/studio.ts';
import { refused } from '../support/library.ts';
import { painter } from '../support/painter.ts';
import { within } from '../support/time.ts';

const home = mkdtempSync(join(tmpdir(), 'protagonist-photos-'));
const toy = (name: string): Buffer => readFileSync(join(toybox, 'photos', `${name}.jpg`));
let studio: Studio, call: ClientOf<typeof api>;
before(async () => {
  mkdirSync(join(home, 'library'));
  studio = await startStudio({
    home: join(home, 'library'),
    version: '0',
    engine: { ...painter(), verify: () => Promise.reject(new Error('nothing is verified here')) },
    verifier: { verify: () => Promise.reject(new Error('nothing is verified here')), close: () => Promise.resolve() },
    embedded: [],
    machine: lookAtMachine,
    can: { paths: false, dragOut: false, reveal: false, pickFolder: false },
  });
  call = client(api, inProcess(studio.answer, studio.subscribe));
});
after(async () => {
  await studio.close();
  rmSync(home, { recursive: true, force: true });
});

const png = (image: Sharp): Promise<Buffer> => image.png().toBuffer();
const grey = (base64: string): Promise<Buffer> => sharp(Buffer.from(base64, 'base64')).toColourspace('b-w').raw().toBuffer();
const add = async (name: string, photos: Record<string, Buffer>) =>
  (await call.subjects.add({ name, photos: Object.entries(photos).map(([n, b]) => ({ name: n, base64: b.toString('base64') })) })).subject;
/** The processes that cut out for this one. */
const cutting = (): number =>
  spawnSync('ps', ['-o', 'args=', '--ppid', String(process.pid)], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter(line => line.includes('grabcut.ts')).length;

test('a mask is found, drawn on and kept', async () => {
  const { id: subject, photos } = await add('Kelp', { 'kelp.jpg': toy('kelp') });
  const [{ id, width, height }] = photos as [(typeof photos)[0]];
  const found = await call.photos.cutOut({ id });
  assert.equal(found.doubtful, false);
  const mask = await grey(found.mask.base64);
  assert.equal(mask.length, width * height);
  assert.ok(mask[(height >> 1) * width + (width >> 1)]! > 127, 'the toy stands in the middle');
  assert.ok(mask[5 * width + 5]! < 128);

  const corner: [number, number][] = [
    [20, 20],
    [80, 20],
  ];
  const more = await call.photos.cutOut({ id, strokes: [{ subject: true, radius: 12, points: corner }], previous: found.mask });
  const drawn = await grey(more.mask.base64);
  assert.ok(drawn[20 * width + 50]! > 127, 'what is under a stroke belongs to it');
  assert.ok(drawn[(height >> 1) * width + (width >> 1)]! > 127, 'and the rest stays');

  assert.equal((await call.subjects.show({ id: subject })).photos[0]!.mask, null, 'nothing is kept by looking');
  const kept = await call.subjects.editPhoto({ id, mask: more.mask });
  assert.notEqual(kept.photos[0]!.mask, null);
  const piece = await call.media.read({ id, kind: 'mask', length: 4 << 20 });
  assert.deepEqual(await grey(piece.base64), drawn, 'the mask that is kept is the one that was seen');
});

test('what cannot be cut out is refused in one sentence without a path, and the library stays as it is', async () => {
  const sky = await png(sharp({ create: { width: 300, height: 200, channels: 3, background: '#88aacc' } }));
  const { id: subject, photos } = await add('Sky', { 'sky.png': sky });
  const { id } = photos[0]!;
  await assert.rejects(call.photos.cutOut({ id }), refused('badFile', /^nothing stands out in photo p\d+ \(sky\.png\): draw a rectangle/));
  await assert.rejects(call.photos.cutOut({ id: 'p999' }), refused('notFound', /p999/));
  await assert.rejects(
    call.photos.cutOut({ id, rectangle: { x: 5000, y: 0, width: 5, height: 5 } }),
    refused('badFile', /marks nothing of photo p\d+ \(sky\.png\), which is 300x200/),
  );
  await assert.rejects(
    call.photos.cutOut({ id, previous: { base64: toy('fig').toString('base64') } }),
    refused('badFile', /^the mask is 768x768/),
  );
  await assert.rejects(call.photos.cutOut({ id, previous: { base64: '' } }), refused('badFile', /^the mask /));
  const everywhere = Array.from({ length: 50_000 }, (_, i): [number, number] => [i % 300, (i * 7) % 200]);
  await assert.rejects(
    call.photos.cutOut({ id, strokes: [{ subject: true, radius: 10_000, points: everywhere }] }),
    refused('badFile', /strokes cover too much/),
  );
  const leave = new AbortController();
  const left = call.photos.cutOut({ id, rectangle: { x: 10, y: 10, width: 200, height: 100 } }, leave.signal);
  leave.abort();
  await assert.rejects(left, refused('canceled'));
  assert.equal((await call.subjects.show({ id: subject })).photos[0]!.mask, null);
});

test('photos are checked in plain words, each against its own', async () => {
  const otto = toy('otto');
  const { id, photos } = await add('Otto', {
    'good.jpg': otto,
    'again.jpg': await sharp(otto).modulate({ brightness: 1.08 }).resize(600).jpeg({ quality: 60 }).toBuffer(),
    'small.jpg': await sharp(toy('lemon')).resize(120).jpeg().toBuffer(),
    'soft.jpg': await sharp(toy('melon')).blur(6).jpeg().toBuffer(),
    'cut.jpg': await sharp(toy('biscuit')).extract({ left: 384, top: 0, width: 384, height: 768 }).jpeg().toBuffer(),
    'wall.jpg': await png(
      sharp({ create: { width: 500, height: 500, channels: 3, background: '#ccbbaa', noise: { type: 'gaussian', mean: 170, sigma: 25 } } }),
    ),
  });
  const named = new Map(photos.map(photo => [photo.id, photo.name]));
  const seen = async (): Promise<string[]> =>
    (await call.photos.check({ id })).findings.map(
      ({ photoId, problem }) => `${photoId === null ? 'all' : named.get(photoId)!} ${problem}`,
    );
  const first = await seen();
  for (const expected of [
    'again.jpg nearDuplicate',
    'small.jpg tooSmall',
    'soft.jpg blurred',
    'cut.jpg cutOff',
    'wall.jpg nothingStandsOut',
  ])
    assert.ok(first.includes(expected), `${expected} is missing of ${first.join(', ')}`);
  assert.deepEqual(
    first.filter(line => line.startsWith('good.jpg') || line.startsWith('all')),
    [],
  );
  const began = performance.now();
  assert.deepEqual(await seen(), first);
  assert.ok(performance.now() - began < within(200), 'what was seen is remembered');

  const { findings } = await call.photos.check({ id });
  for (const { sentence } of findings) assert.match(sentence, /^[A-Z][^\n/]*: [^\n]*\.$/);

  // what is wrong goes with what is changed: a view is said, a mask is drawn, a crop is made, a photo is taken away
  const photo = (name: string) => photos.find(p => p.name === name)!.id;
  await call.subjects.editPhoto({ id: photo('good.jpg'), view: 'front' });
  assert.ok((await seen()).includes('all viewsMissing'));
  await call.subjects.editPhoto({ id: photo('good.jpg'), crop: { x: 0, y: 0, width: 200, height: 200 } });
  assert.ok((await seen()).includes('good.jpg tooSmall'), 'what reaches the model is looked at');
  const disc = Uint8Array.from({ length: 500 * 500 }, (_, i) => (Math.hypot((i % 500) - 250, Math.floor(i / 500) - 250) < 150 ? 255 : 0));
  const mask = await png(sharp(disc, { raw: { width: 500, height: 500, channels: 1 } }));
  await call.subjects.editPhoto({ id: photo('wall.jpg'), mask: { base64: mask.toString('base64') } });
  assert.ok(!(await seen()).includes('wall.jpg nothingStandsOut'), 'who draws a mask says what stands out');
  await call.subjects.removePhoto({ id: photo('small.jpg') });
  assert.ok(!(await seen()).some(line => line.startsWith('small.jpg')));
});

test('a photo that was cut out elsewhere is not told to be cut off, one that is gone or damaged is named', async () => {
  const [w, h] = [400, 300];
  const trimmed = Uint8Array.from({ length: 4 * w * h }, (_, k) => {
    const [x, y] = [(k >> 2) % w, Math.floor((k >> 2) / w)];
    const dark = x > 100 && x < 250 && y > 80 && y < 200;
    const inside = Math.abs(x - w / 2) + Math.abs(y - h / 2) < w / 2 + h / 2 - 30; // its corners are missing
    return [dark ? 60 : 200, dark ? 20 : 120, 60, inside ? 255 : 0][k & 3]!;
  });
  const { id, photos } = await add('Trimmed', {
    'trimmed.png': await png(sharp(trimmed, { raw: { width: w, height: h, channels: 4 } })),
    'fig.jpg': toy('fig'),
  });
  assert.equal(photos[0]!.onWhite, true);
  assert.deepEqual((await call.photos.check({ id })).findings, []);
  const { sha256 } = photos[1]!;
  truncateSync(join(home, 'library/photos', sha256.slice(0, 2), `${sha256}.png`), 5000);
  await call.subjects.editPhoto({ id: photos[1]!.id, crop: { x: 0, y: 0, width: 700, height: 700 } }); // what was seen before is not asked
  assert.deepEqual(
    (await call.photos.check({ id })).findings.map(f => [f.photoId, f.problem]),
    [[photos[1]!.id, 'unreadable']],
  );
  rmSync(join(home, 'library/photos', sha256.slice(0, 2), `${sha256}.png`));
  assert.deepEqual(
    (await call.photos.check({ id })).findings.map(f => [f.photoId, f.problem]),
    [[photos[1]!.id, 'unreadable']],
  );
  await assert.rejects(call.photos.cutOut({ id: photos[1]!.id }), refused('missing', /fig\.jpg.* is gone from the library's folder/));
});

test('a subject without photos is found nothing wrong with, and one that is not there is told', async () => {
  const { subject } = await call.subjects.add({ name: 'Nobody' });
  assert.deepEqual(await call.photos.check({ id: subject.id }), { findings: [] });
  await assert.rejects(call.photos.check({ id: 's999' }), refused('notFound', /s999/));
});

test('no process is left when the studio closes', async () => {
  assert.ok(cutting() > 0);
  await studio.close();
  for (let i = 0; cutting() > 0; i++) {
    assert.ok(i < 50, 'it is still there');
    await sleep(20);
  }
});
