/** @file Pictures that clips begin with, in a library: where they come from, what names them, and what becomes of those that nothing names. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, afterEach, beforeEach, test } from 'node:test';
import sharp from 'sharp';
import { clipEngine } from '../../electron/cli/engine.ts';
import { lookAtMachine } from '../../electron/cli/machine.ts';
import { toybox } from '../../electron/cli/toybox.ts';
import { api } from '../../electron/contract/api.ts';
import type { ClipId, JobId, PictureId } from '../../electron/contract/ids.ts';
import { client, inProcess, type ClientOf } from '../../electron/contract/rpc.ts';
import { DatabaseSync } from 'node:sqlite';
import { startStudio, type Studio } from '../../electron/studio/studio.ts';
import { refused } from '../support/library.ts';
import { painter } from '../support/painter.ts';
import { sleep } from '../support/run.ts';
import type { GenerateOrder } from '../../native-models/tasks.ts';

const toy = (name: string) => join(toybox, `photos/${name}.jpg`);
const verifier = clipEngine(60);
after(() => verifier.close());

let home: string, studio: Studio, call: ClientOf<typeof api>, orders: GenerateOrder[];
async function open(): Promise<void> {
  const paint = painter();
  const engine: Parameters<typeof startStudio>[0]['engine'] = {
    ...paint,
    run: (order, on, signal) => {
      orders.push(order);
      return paint.run(order, on, signal);
    },
    verify: (...order) => verifier.verify(...order),
  };
  studio = await startStudio({
    home, version: '0', engine, verifier: { verify: (...order) => verifier.verify(...order), close: () => Promise.resolve() }, embedded: [{ name: 'Toybox', path: toybox }], machine: lookAtMachine,
    can: { paths: true, dragOut: false, reveal: false, pickFolder: false },
  }); // prettier-ignore
  call = client(api, inProcess(studio.answer, studio.subscribe));
}
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'protagonist-pictures-'));
  orders = [];
  await open();
});
afterEach(async () => {
  await studio.close();
  rmSync(home, { recursive: true, force: true });
});
const small = { width: 32, height: 32, numFrames: 9, numInferenceSteps: 2 } as const;
const ended = async (id: JobId): Promise<ClipId> => {
  for (;;) {
    const { status, failure, clipId } = await call.jobs.show({ id });
    assert.ok(!['failed', 'canceled'].includes(status), failure?.text);
    if (clipId) return clipId;
    await sleep(20);
  }
};
const clipFrom = async (startImage: PictureId | null) => {
  const { jobs } = await call.jobs.enqueue({ request: { prompt: 'it hops', ...small, startImage } });
  await call.queue.start({});
  return ended(jobs[0]!.id);
};
/** Lets the pictures have been chosen so many hours ago. */
async function age(hours: number): Promise<void> {
  await studio.close();
  const db = new DatabaseSync(join(home, 'library.db'));
  db.prepare(`UPDATE pictures SET record = json_set(record, '$.chosenAt', ?)`).run(new Date(Date.now() - hours * 3_600_000).toISOString());
  db.close();
  await open();
}
const filesIn = (folder: string) => (existsSync(join(home, folder)) ? readdirSync(join(home, folder), { recursive: true, withFileTypes: true }).filter(f => f.isFile()).length : 0); // prettier-ignore
const pixels = async (path: string) => sharp(path).removeAlpha().raw().toBuffer();

test("a file, a photo with its crop and not its mask, a clip's frame; the same content is the same picture", async () => {
  const file = await call.pictures.add({ from: { path: toy('kelp') } });
  assert.deepEqual([file.id, file.name, file.missing], ['i1', 'kelp.jpg', false]);
  assert.deepEqual(await call.pictures.show({ id: 'i1' }), file);
  const path = (await call.media.locate({ id: 'i1' })).path;
  assert.ok(path.startsWith(join(home, 'pictures')) && basename(path).startsWith(file.sha256));
  const read = await call.media.read({ id: 'i1', kind: 'picture' });
  assert.deepEqual([read.bytes, read.type], [statSync(path).size, 'image/png']);
  await assert.rejects(call.media.read({ id: 'i1', kind: 'photo' }), refused('notFound'));
  await assert.rejects(call.media.read({ id: 'i9', kind: 'picture' }), refused('notFound'));

  // the same bytes sent, and the same photo in a library, are the same picture
  const bytes = { name: 'other.jpg', base64: readFileSync(toy('kelp')).toString('base64') };
  assert.equal((await call.pictures.add({ from: bytes })).id, 'i1');
  const { subject } = await call.subjects.add({ name: 'Kelp', photos: [{ path: toy('kelp') }] });
  const [photo] = subject.photos;
  assert.equal((await call.pictures.add({ from: { photo: photo!.id } })).id, 'i1');
  assert.equal(filesIn('pictures'), 1);

  const { width, height } = photo!;
  const mask = await sharp({ create: { width, height, channels: 3, background: '#000' } }).composite([{ input: { create: { width: 20, height: 20, channels: 3, background: '#fff' } }, left: 0, top: 0 }]).png().toBuffer(); // prettier-ignore
  await call.subjects.editPhoto({
    id: photo!.id,
    crop: { x: 10, y: 20, width: 100, height: 80 },
    mask: { base64: mask.toString('base64') },
  });
  const cropped = await call.pictures.add({ from: { photo: photo!.id } });
  assert.deepEqual([cropped.id, cropped.width, cropped.height, cropped.name], ['i2', 100, 80, 'kelp.jpg']);
  const whole = (await call.media.locate({ id: photo!.id })).path;
  assert.deepEqual(
    await pixels((await call.media.locate({ id: 'i2' })).path),
    await sharp(whole).extract({ left: 10, top: 20, width: 100, height: 80 }).removeAlpha().raw().toBuffer(),
  );

  const clip = await clipFrom('i1');
  const frame = await call.pictures.add({ from: { clip, frame: 8 } });
  assert.deepEqual([frame.id, frame.width, frame.height], ['i3', 32, 32]);
  const shown = await call.clips.frame({ id: clip, frame: 8 });
  assert.equal(frame.name, shown.name);
  assert.deepEqual(await pixels((await call.media.locate({ id: 'i3' })).path), await sharp(Buffer.from(shown.base64, 'base64')).removeAlpha().raw().toBuffer()); // prettier-ignore
});

test('what is no picture is refused in a sentence', async () => {
  const dot = await sharp({ create: { width: 1, height: 1, channels: 3, background: '#888' } }).png().toBuffer(); // prettier-ignore
  const sent = (name: string, bytes: Buffer) => ({ from: { name, base64: bytes.toString('base64') } });
  await assert.rejects(call.pictures.add(sent('dot.png', dot)), refused('badFile', /dot\.png is 1x1, too small for a clip to begin with/));
  await assert.rejects(call.pictures.add(sent('a.svg', Buffer.from('<svg/>'))), refused('badFile', /a\.svg is an SVG drawing/));
  await assert.rejects(call.pictures.add(sent('no.png', Buffer.from('nothing'))), refused('badFile', /no\.png is not a JPEG/));
  await assert.rejects(call.pictures.add({ from: { path: join(home, 'nowhere.png') } }), refused('badFile', /nowhere\.png/));
  await assert.rejects(call.pictures.add({ from: { path: 'near.png' } }), refused('badInput'));
  await assert.rejects(call.pictures.add({ from: { photo: 'p9' } }), refused('notFound'));
  await assert.rejects(call.pictures.add({ from: { clip: 'c9', frame: 0 } }), refused('notFound'));
  const clip = await clipFrom(null);
  await assert.rejects(call.pictures.add({ from: { clip, frame: 9 } }), refused('badInput', /numbered 0 to 8/));
  assert.equal(filesIn('pictures'), 0);
});

test('a job keeps its start image by content; the engine is handed its file; one that is gone is named', async () => {
  const { id, sha256 } = await call.pictures.add({ from: { path: toy('fig') } });
  const path = (await call.media.locate({ id })).path;
  const clip = await clipFrom(id);
  assert.equal(orders[0]!.startImage, path);
  assert.deepEqual((orders[0]!.note as { startImage: unknown }).startImage, { sha256, name: 'fig.jpg' });
  const made = await call.clips.show({ id: clip });
  assert.deepEqual([made.request?.startImage, made.resolved?.startImage], [id, { pictureId: id, sha256 }]);
  assert.equal((await call.requests.of({ id: clip })).request.startImage, id);
  await clipFrom(null);
  assert.equal(orders[1]!.startImage, null);

  await assert.rejects(call.jobs.enqueue({ request: { prompt: '', startImage: 'i7' } }), refused('notFound', /there is no picture i7/));
  await call.queue.pause({});
  const { jobs } = await call.jobs.enqueue({ request: { prompt: 'waits', ...small, startImage: id } });
  renameSync(path, `${path}-away`);
  assert.equal((await call.pictures.show({ id })).missing, true);
  const gone = refused('missing', /the start image fig\.jpg \(i1\) is gone from the library: choose it again/);
  await assert.rejects(call.jobs.enqueue({ request: { prompt: '', startImage: id } }), gone);
  await assert.rejects(call.jobs.edit({ id: jobs[0]!.id, request: { prompt: '', startImage: id } }), gone);
  const { missing, orphans } = await call.storage.check({});
  assert.deepEqual([missing, orphans.length], [[{ id, what: 'pictures' }], 1]);
  await call.queue.resume({});
  for (;;) {
    const { status, failure } = await call.jobs.show({ id: jobs[0]!.id });
    if (status === 'failed') {
      assert.match(failure!.text, /the start image i1 is gone from the library's folder/);
      break;
    }
    await sleep(20);
  }
  // chosen again it is there again, and the job goes on
  assert.equal((await call.pictures.add({ from: { path: toy('fig') } })).id, id);
  await call.jobs.retry({ id: jobs[0]!.id });
  await ended(jobs[0]!.id);
});

test('cleaning takes a picture that nothing names, a day after it was chosen; clips and jobs keep theirs, also from the trash', async () => {
  const add = async (name: string) => (await call.pictures.add({ from: { path: toy(name) } })).id;
  const [used, waits, nobody] = [await add('kelp'), await add('fig'), await add('lemon')];
  const clip = await clipFrom(used);
  await call.queue.pause({});
  const { jobs } = await call.jobs.enqueue({ request: { prompt: 'waits', ...small, startImage: waits } });
  const clean = async () => (await call.storage.clean({ kinds: ['pictures'] })).files;
  const stored = async () => (await call.storage.show({})).kinds.find(k => k.kind === 'pictures')!;
  assert.equal(await clean(), 0);
  await age(23);
  assert.equal(await clean(), 0);
  await age(25);
  const lemon = (await call.media.locate({ id: nobody })).path;
  assert.deepEqual([(await stored()).files, (await stored()).cleanable], [3, statSync(lemon).size]);
  assert.equal((await call.storage.clean({ kinds: ['pictures'], dryRun: true })).files, 1);
  assert.ok(existsSync(lemon));
  const said: unknown[] = [];
  const stop = studio.subscribe(event => said.push(event));
  assert.equal(await clean(), 1);
  stop();
  assert.deepEqual(said, [{ type: 'gone', id: nobody }]);
  assert.ok(!existsSync(lemon));
  await assert.rejects(call.pictures.show({ id: nobody }), refused('notFound', /choose the start image again/));
  assert.deepEqual((await call.storage.check({})).missing, []);

  await call.clips.trash({ ids: [clip] });
  assert.equal(await clean(), 0);
  await call.clips.erase({ ids: [clip] });
  assert.equal(await clean(), 1); // the job that made it is done
  await call.jobs.cancel({ id: jobs[0]!.id });
  assert.equal(await clean(), 0); // it can be retried
  assert.equal((await call.pictures.show({ id: waits })).missing, false);

  // chosen once more, an old one is as good as new
  const again = await add('lemon');
  assert.notEqual(again, nobody);
  await age(30);
  assert.equal(await add('lemon'), again);
  assert.equal(await clean(), 0);
  assert.equal(filesIn('pictures'), 2);
});

test('a subject that is erased leaves the start images that were taken from it', async () => {
  const { subject } = await call.subjects.add({ name: 'Kelp', photos: [{ path: toy('kelp') }] });
  const { id } = await call.pictures.add({ from: { photo: subject.photos[0]!.id } });
  const clip = await clipFrom(id);
  await call.subjects.remove({ id: subject.id });
  await call.subjects.erase({ ids: [subject.id] });
  const { path } = await call.media.locate({ id });
  assert.ok(existsSync(path) && dirname(path).startsWith(home));
  assert.equal((await call.requests.of({ id: clip })).request.startImage, id);
});
