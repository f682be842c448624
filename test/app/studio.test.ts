/** @file The studio as a whole: what a client without paths may not do, backups put back under way, what can be cleaned, checkpoints that are not there. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { cpus, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { after, afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { lookAtMachine } from '../../electron/cli/machine.ts';
import { api } from '../../electron/contract/api.ts';
import { StudioError, type ErrorCode } from '../../electron/contract/errors.ts';
import { event } from '../../electron/contract/events.ts';
import { client, inProcess, type ClientOf } from '../../electron/contract/rpc.ts';
import { clipEngine } from '../../electron/cli/engine.ts';
import { samples, toybox } from '../../electron/cli/toybox.ts';
import { probe } from '../../native-models/runtime/device.ts';
import { startStudio, type Studio, type StudioOptions } from '../../electron/studio/studio.ts';
import { painter } from '../support/painter.ts';

const all = mkdtempSync(join(tmpdir(), 'protagonist-studio-'));
const kelp = join(toybox, 'photos/kelp.jpg');
const verifier = clipEngine(30);
after(async () => {
  await verifier.close();
  rmSync(all, { recursive: true, force: true });
});

let home: string, studio: Studio, call: ClientOf<typeof api>;
let n = 0;
/** @param paths whether clients may name places on this machine */
async function open(options: Partial<StudioOptions> = {}, paths = true): Promise<void> {
  studio = await startStudio({
    home,
    version: '0',
    engine: { ...painter(), verify: (...order) => verifier.verify(...order) },
    verifier: { verify: (...order) => verifier.verify(...order), close: () => Promise.resolve() },
    embedded: [{ name: 'Toybox', path: toybox }],
    machine: lookAtMachine,
    can: { paths, dragOut: false, reveal: false, pickFolder: false },
    ...options,
  });
  call = client(api, inProcess(studio.answer, studio.subscribe));
}
beforeEach(async () => {
  home = join(all, `library-${++n}`);
  mkdirSync(home);
  await open();
});
afterEach(() => studio.close());

const refused =
  (code: ErrorCode, ...words: RegExp[]) =>
  (e: unknown) => {
    assert.ok(e instanceof StudioError, String(e));
    assert.equal(e.code, code, e.message);
    for (const w of words) assert.match(e.message, w);
    assert.ok(!e.message.includes(home), e.message);
    return true;
  };
const tiny = { numFrames: 1, width: 64, height: 64, numInferenceSteps: 3 };
const until = async (done: () => Promise<boolean>) => {
  for (const end = performance.now() + 60_000; !(await done());) {
    assert.ok(performance.now() < end, 'it takes too long');
    await sleep(20);
  }
};
const idle = () => until(async () => ['idle', 'stopped'].includes((await call.queue.state({})).state));

test('a host without paths takes none, in no method, and tells none; bytes it takes', async () => {
  const { subject } = await call.subjects.add({ name: 'Kelp', photos: [{ path: kelp }] });
  await studio.close();
  await open({}, false);
  const path = kelp,
    { id } = subject;
  for (const asked of [
    () => call.subjects.add({ name: 'Other', photos: [{ path }] }),
    () => call.subjects.addPhotos({ id, photos: [{ name: 'a', base64: '' }, { path }] }),
    () => call.clips.find({ id: 'c1', path }),
    () => call.clips.save({ id: 'c1', path: join(all, 'out.mp4') }),
    () => call.checkpoints.add({ path: toybox }),
    () => call.checkpoints.find({ id: 'k1', path: toybox }),
    () => call.adapters.add({ path: join(toybox, 'adapter') }),
    () => call.adapters.find({ id: 'a1', path: join(toybox, 'adapter') }),
    () => call.requests.read({ path }),
  ])
    await assert.rejects(asked, refused('notHere', /takes no paths/));
  await assert.rejects(async () => call.media.locate({ id: 'p1' }), refused('notHere', /not shown by their path/));
  const deep = `${'['.repeat(100_000)}{"path":"/"}${']'.repeat(100_000)}`;
  assert.match(JSON.stringify(await studio.answer('subjects.list', { deep: JSON.parse(deep) as unknown })), /notHere/);
  const { added } = await call.subjects.add({
    name: 'Pasted',
    photos: [{ name: 'kelp.jpg', base64: readFileSync(kelp).toString('base64') }],
  });
  assert.equal(added.length, 1);
  // no output but media.locate's has a path in it
  assert.doesNotMatch(
    JSON.stringify([await call.subjects.list({}), await call.checkpoints.list({}), await call.adapters.list({})]),
    /"path"|assets/,
  );
});

test('a backup from before the first checkpoint is put back: the one that comes with the program is there again', async () => {
  const { name } = await call.backups.create({});
  assert.equal((await call.checkpoints.list({})).checkpoints.length, 1);
  await call.backups.restore({ name });
  const { checkpoints } = await call.checkpoints.list({});
  assert.deepEqual(
    checkpoints.map(c => [c.name, c.isDefault, c.missing]),
    [['Toybox', true, false]],
  );
});

test('backups put back while the queue runs leave one that goes on, whatever is called meanwhile', async () => {
  await call.subjects.add({ name: 'Kelp', photos: [{ path: kelp }] });
  const { jobs } = await call.jobs.enqueue({ request: { prompt: '@kelp hops', ...tiny }, batch: { seeds: 6 } });
  const { name } = await call.backups.create({});
  await call.queue.start({});
  await until(async () => (await call.clips.list({})).clips.length > 0);
  await assert.rejects(call.backups.restore({ name: 'daily-1' }), refused('badRequest', /there is no backup "daily-1"/));
  assert.notEqual((await call.queue.state({})).state, 'stopped');
  const asked = [
    call.backups.restore({ name }),
    call.queue.start({}),
    call.backups.restore({ name }),
    call.queue.start({}),
    call.jobs.list({}),
  ] as const;
  await Promise.all(asked);
  await until(async () => (await call.jobs.list({ status: ['completed'] })).jobs.length === jobs.length);
  await idle();
  const { clips } = await call.clips.list({});
  assert.equal(clips.length, jobs.length);
  assert.ok(clips.every(c => !c.missing));
  const attempts = (await call.jobs.list({})).jobs.map(j => j.attempt);
  assert.deepEqual(
    attempts,
    attempts.map(() => 1),
    'two runners took each other’s jobs',
  );
  // of clips that the backup does not know the files are still there
  const { orphans, missing, database } = await call.storage.check({});
  assert.deepEqual([missing, database], [[], 'ok']);
  assert.ok(orphans.some(o => o.name.startsWith('clips/')));
});

test('a restore lets nothing of what was under way into the library that it puts back', async () => {
  await call.subjects.add({ name: 'Kelp', photos: [{ path: kelp }] });
  const { name } = await call.backups.create({});
  const canceled = refused('canceled');
  const begun = Promise.withResolvers<undefined>();
  const unsubscribe = studio.subscribe(said => {
    const e = event.parse(said);
    if (e.type === 'subject' && e.subject.name === 'Many') begun.resolve(undefined); // with the first of its photos
  });
  const adding = assert.rejects(call.subjects.add({ name: 'Many', photos: [{ path: join(toybox, 'photos') }] }), canceled);
  await begun.promise;
  unsubscribe();
  await Promise.all([
    adding,
    assert.rejects(call.jobs.enqueue({ request: { prompt: '@kelp hops', ...tiny }, batch: { seeds: 5000 }, confirmed: true }), canceled),
    call.backups.restore({ name }),
  ]);
  assert.deepEqual(
    (await call.subjects.list({})).subjects.map(s => [s.name, s.photos.length]),
    [['Kelp', 1]],
  );
  assert.equal((await call.jobs.list({})).jobs.length, 0);
});

test('a library that is damaged says so until a backup is put back, also after a name that is mistyped', async () => {
  await call.subjects.add({ name: 'Kelp', photos: [{ path: kelp }] });
  const { name } = await call.backups.create({});
  await studio.close();
  writeFileSync(join(home, 'library.db'), Buffer.alloc(100_000, 7));
  await open();
  await assert.rejects(call.subjects.list({}), refused('corrupt', /damaged/));
  await assert.rejects(call.backups.restore({ name: 'daily-1' }), refused('badRequest', /there is no backup/));
  await assert.rejects(call.subjects.list({}), refused('corrupt', /damaged/));
  await call.backups.restore({ name });
  assert.equal((await call.subjects.list({})).subjects.length, 1);
});

test('a photo erased while a large batch is queued: nothing of the batch is', async () => {
  await call.subjects.add({ name: 'Fig', photos: [{ path: join(dirname(kelp), 'fig.jpg') }] }); // another content: else Kelp's may go
  const request = { prompt: '{@kelp|@fig} hops', ...tiny },
    batch = { seeds: 2500 };
  for (const part of [0, 0.3, 0.6, 0.8, 0.95]) {
    const { subject } = await call.subjects.add({ name: 'Kelp', photos: [{ path: kelp }] });
    const began = performance.now();
    await call.jobs.forecast({ request, batch });
    const whole = performance.now() - began;
    const queued = call.jobs.enqueue({ request, batch, confirmed: true }).catch((e: unknown) => e);
    await sleep(part * whole);
    await call.subjects.remove({ id: subject.id });
    await call.subjects.erase({ ids: [subject.id] }).catch(refused('conflict', /a waiting job needs/));
    const ended = await queued,
      { jobs } = await call.jobs.list({ limit: 1 });
    if (jobs.length) {
      assert.equal((await call.subjects.list({ removed: true })).subjects.length, 1, 'queued, and what it needs erased');
      return; // it was through before
    }
    refused('notFound', /no subject @kelp|no photo p\d+/)(ended);
  }
});

test('what can be cleaned is said, then goes; files that a job is about to give to its clip stay', async () => {
  await call.subjects.add({ name: 'Kelp', photos: [{ path: kelp }] });
  const { jobs } = await call.jobs.enqueue({ request: { prompt: '@kelp hops', ...tiny }, batch: { seeds: 2 } });
  await call.queue.start({});
  await until(async () => (await call.clips.list({})).clips.length === 2);
  await idle();
  const waiting = (await call.jobs.enqueue({ request: { prompt: '@kelp sits', ...tiny } })).jobs[0]!;
  await call.jobs.pause({ id: waiting.id });
  const put = (file: string, bytes: number) => {
    mkdirSync(join(home, file, '..'), { recursive: true });
    writeFileSync(join(home, file), Buffer.alloc(bytes));
  };
  const stay = [
    `previews/${waiting.id}-poster.jpg`,
    `previews/${waiting.id}-2-sprite.jpg`,
    `latents/${waiting.id}.safetensors`,
    `work/${waiting.id}/clip.mp4`,
  ];
  const go = ['previews/j900-poster.jpg', 'latents/j900.safetensors', 'work/j900/clip.mp4', 'photos/ab/abc.png', 'masks/ab/abc.png'];
  for (const file of [...stay, ...go]) put(file, 1000);
  const orphans = (await call.storage.check({})).orphans.map(o => o.name);
  assert.deepEqual(orphans.toSorted(), go.toSorted());
  const { kinds } = await call.storage.show({});
  const can = Object.fromEntries(kinds.map(k => [k.kind, k.cleanable]));
  assert.deepEqual([can['photos'], can['previews'], can['work'], can['clips']], [2000, 1000, 1000, 0]);
  assert.equal(can['latents'], 1000 + 2 * 1000); // the painter's are 1000 bytes each
  const kindsToClean = ['photos', 'previews', 'latents', 'work'] as const;
  const would = await call.storage.clean({ kinds: [...kindsToClean], dryRun: true });
  assert.ok(go.every(f => existsSync(join(home, f))));
  assert.deepEqual(await call.storage.clean({ kinds: [...kindsToClean, 'work'] }), would);
  assert.deepEqual(would, { files: 7, bytes: 7000 });
  assert.ok(go.every(f => !existsSync(join(home, f))) && stay.every(f => existsSync(join(home, f))));
  const { clips } = await call.clips.list({});
  assert.deepEqual(
    [clips.map(c => c.latentsBytes), clips.map(c => c.missing)],
    [
      [0, 0],
      [false, false],
    ],
  );
  assert.deepEqual((await call.storage.check({})).missing, []);
  assert.equal(jobs.length, 2);
});

test('the program’s checkpoint gone or damaged: a person’s own serves, and alone it says why', async () => {
  await studio.close();
  const own = join(all, 'own');
  cpSync(toybox, own, { recursive: true });
  await open({ embedded: [{ name: 'Toybox', path: join(all, 'nowhere') }] });
  await assert.rejects(call.checkpoints.list({}), refused('missing', /nothing at .*nowhere/));
  const added = await call.checkpoints.add({ path: own, name: 'Mine' });
  assert.deepEqual(
    (await call.checkpoints.list({})).checkpoints.map(c => [c.id, c.name, c.isDefault]),
    [[added.id, 'Mine', true]],
  );
  await assert.rejects(call.checkpoints.edit({ id: added.id, name: '  ' }), refused('badInput', /name is empty/));
  const { subject } = await call.subjects.add({ name: 'Kelp', photos: [{ path: kelp }] });
  assert.equal((await call.jobs.enqueue({ request: { prompt: '@kelp hops', ...tiny } })).jobs[0]!.resolved.checkpoint.id, added.id);
  await assert.rejects(call.checkpoints.remove({ id: added.id }), refused('conflict', /1 waiting job needs Mine/));
  renameSync(own, `${own}-moved`);
  await assert.rejects(
    call.jobs.enqueue({ request: { prompt: '@kelp hops', ...tiny, subjects: [subject.id] } }),
    refused('missing', /Mine \(k1\) is gone/),
  );
  await assert.rejects(call.checkpoints.find({ id: added.id, path: join(toybox, 'adapter') }), refused('conflict', /its content differs/));
  await assert.rejects(call.checkpoints.verify({ id: added.id }), refused('missing', /^Mine \(k1\) is not where it was/));
  const finding = call.checkpoints.find({ id: added.id, path: `${own}-moved` });
  await call.checkpoints.edit({ id: added.id, name: 'Renamed while it is read' });
  const { missing, name } = await finding;
  assert.deepEqual({ missing, name }, { missing: false, name: 'Renamed while it is read' });

  // every byte is read again: one that the disk has changed is found, though size and time are as they were
  assert.deepEqual(await call.checkpoints.verify({ id: added.id }), (await call.checkpoints.list({})).checkpoints[0]);
  const file = join(`${own}-moved`, 'vae/diffusion_pytorch_model.safetensors');
  const { atime, mtime } = statSync(file),
    bytes = readFileSync(file);
  bytes[bytes.length - 5]! ^= 1;
  writeFileSync(file, bytes);
  utimesSync(file, atime, mtime);
  assert.equal((await call.checkpoints.list({})).checkpoints[0]!.missing, false);
  await assert.rejects(call.checkpoints.verify({ id: added.id }), (e: unknown) => refused('conflict', /has changed since it was added/)(e) && !String(e).includes(own)); // prettier-ignore
  writeFileSync(file, 'no weights');
  await assert.rejects(call.checkpoints.verify({ id: added.id }), (e: unknown) => refused('badFile')(e) && !String(e).includes(own));
  const stop = new AbortController();
  const stopped = studio.answer('checkpoints.verify', { id: added.id }, stop.signal);
  stop.abort();
  const answer = await stopped;
  assert.ok('error' in answer && answer.error.code === 'canceled', JSON.stringify(answer));
});

test('prompts are kept as they were typed: pinned ones first, then the newest; removed ones come back by being used or pinned', async () => {
  await call.subjects.add({ name: 'Kelp', photos: [{ path: kelp }] });
  const listed = async (search = '') => (await call.prompts.list({ search })).prompts.map(p => `${p.pinned ? '* ' : ''}${p.prompt}`);
  const enqueue = (prompt: string) => call.jobs.enqueue({ request: { prompt, ...tiny } });
  assert.deepEqual(await listed(), []);
  await enqueue('@kelp hops');
  await enqueue('@kelp in {snow|SÀND}'); // two clips of one prompt
  await enqueue('  ');
  assert.deepEqual(await listed(), ['@kelp in {snow|SÀND}', '@kelp hops']);
  await enqueue('@kelp hops');
  assert.deepEqual(await listed(), ['@kelp hops', '@kelp in {snow|SÀND}']);
  assert.deepEqual(await listed('sand KELP'), ['@kelp in {snow|SÀND}']);
  assert.deepEqual(await listed('sand tree'), []);

  // what is refused, looked at or queued by another way leaves no trace
  await assert.rejects(enqueue('@nobody hops'), refused('notFound', /nobody/));
  await assert.rejects(call.jobs.enqueue({ request: { prompt: 'many', ...tiny }, batch: { seeds: 30 } }), refused('needsConfirmation'));
  await call.jobs.forecast({ request: { prompt: 'only asked', ...tiny } });
  assert.equal((await listed()).length, 2);
  await call.jobs.edit({ id: 'j1', request: { prompt: '@kelp sleeps', ...tiny } });
  await assert.rejects(call.jobs.edit({ id: 'j99', request: { prompt: 'no such job', ...tiny } }), refused('notFound'));
  assert.deepEqual(await listed(), ['@kelp sleeps', '@kelp hops', '@kelp in {snow|SÀND}']);

  const old = (await call.prompts.list({ search: 'snow' })).prompts[0]!;
  assert.deepEqual(await call.prompts.pin({ prompt: old.prompt, pinned: true }), { ...old, pinned: true });
  await call.prompts.pin({ prompt: 'never used', pinned: true });
  assert.deepEqual(await listed(), ['* never used', '* @kelp in {snow|SÀND}', '@kelp sleeps', '@kelp hops']);
  await call.prompts.pin({ prompt: 'never used', pinned: false });
  await call.prompts.remove({ prompt: old.prompt });
  await call.prompts.remove({ prompt: '@kelp hops' });
  await assert.rejects(call.prompts.remove({ prompt: '@kelp hops' }), refused('notFound', /not on the list/));
  await assert.rejects(call.prompts.pin({ prompt: ' ', pinned: true }), refused('badInput', /empty/));
  assert.deepEqual(await listed(), ['never used', '@kelp sleeps']);
  assert.deepEqual(await call.prompts.pin({ prompt: old.prompt, pinned: false }), old, 'undone, it is as it was');
  assert.deepEqual(await listed(), ['never used', '@kelp sleeps', old.prompt]);
  await enqueue('@kelp hops');
  assert.deepEqual(await listed(), ['@kelp hops', 'never used', '@kelp sleeps', old.prompt]);

  await studio.close();
  await open();
  assert.deepEqual(await listed(), ['@kelp hops', 'never used', '@kelp sleeps', old.prompt]);
  assert.deepEqual((await call.prompts.list({ limit: 1 })).prompts.map(p => p.prompt), ['@kelp hops']); // prettier-ignore
});

test('the sample subjects are there once, whatever became of them', { timeout: 600_000 }, async () => {
  await studio.close();
  const events: string[] = [];
  await open({ samples: samples() });
  studio.subscribe(said => events.push(event.parse(said).type));
  // a person's own with the same photo, and one with the same handle
  await call.subjects.add({ name: 'My toy', handle: 'mine', photos: [{ path: kelp }] });
  await call.subjects.add({ name: 'Lemon' });
  const [{ subjects }, { subjects: again }] = await Promise.all([call.subjects.addSamples({}), call.subjects.addSamples({})]);
  assert.deepEqual(again, subjects);
  assert.equal(subjects.length, samples().length);
  assert.ok(subjects.length >= 12);
  for (const [i, { name, description, handle }] of samples().entries()) {
    const own = subjects[i]!;
    assert.equal(own.photos.filter(p => !p.removed && !p.missing).length, 1, name);
    if (handle === 'kelp') assert.deepEqual([own.name, own.handle], ['My toy', 'mine']);
    else
      assert.deepEqual(
        [own.name, own.handle, own.kind, own.description],
        [name, handle === 'lemon' ? 'lemon-2' : handle, 'toy', description],
      );
  }
  const count = async () => (await call.subjects.list({ limit: 500 })).subjects.length;
  assert.equal(await count(), subjects.length + 1);
  const told = events.length;

  // one removed, one erased, one renamed and described anew, one whose photo was taken away
  const [gone, erased, renamed, bare] = ['otto', 'moss', 'fig', 'pip'].map(handle => subjects.find(s => s.handle === handle)!.id);
  await call.subjects.remove({ id: gone! });
  await call.subjects.remove({ id: erased! });
  await call.subjects.erase({ ids: [erased!] });
  await call.subjects.edit({ id: renamed!, name: 'Figgy', handle: 'figgy', description: 'mine' });
  await call.subjects.removePhoto({ id: subjects.find(s => s.id === bare)!.heroPhotoId! });
  const { subjects: third } = await call.subjects.addSamples({});
  const of = (id: string | undefined) => third.find(s => s.id === id);
  assert.deepEqual([of(gone)?.removed, of(gone)?.handle], [false, 'otto']);
  assert.equal(of(erased), undefined);
  assert.deepEqual(third.filter(s => s.name === 'Moss').map(s => [s.handle, s.photos.length]), [['moss', 1]]); // prettier-ignore
  assert.deepEqual([of(renamed)?.name, of(renamed)?.handle, of(renamed)?.description], ['Figgy', 'figgy', 'mine']);
  assert.equal(of(bare)?.heroPhotoId, null, 'a photo that a person took away stays away');
  assert.equal(await count(), subjects.length + 1);
  assert.ok(events.slice(told).includes('subject'));

  // a stopped call leaves whole subjects, and the next one adds the rest
  await studio.close();
  home = `${home}-stopped`;
  mkdirSync(home);
  await open({ samples: samples() });
  const stop = new AbortController();
  studio.subscribe(said => {
    if (event.parse(said).type === 'subject') stop.abort();
  });
  assert.ok('error' in (await studio.answer('subjects.addSamples', {}, stop.signal)));
  const few = (await call.subjects.list({})).subjects;
  assert.ok(few.length >= 1 && few.length < 5 && few.every(s => s.photos.length === 1), JSON.stringify(few.map(s => s.handle)));
  assert.equal((await call.subjects.addSamples({})).subjects.length, samples().length);
  assert.equal(await count(), samples().length);
});

test('the machine is looked at once a start, when somebody asks, and again where looking failed', { timeout: 600_000 }, async () => {
  await studio.close();
  let looked = 0,
    fails = true;
  await open({
    machine: () => {
      looked++;
      return fails ? Promise.reject(new StudioError('disk', 'the disk is tired: try again')) : lookAtMachine();
    },
  });
  await call.settings.show({});
  assert.equal(looked, 0);
  await assert.rejects(call.host.machine({}), refused('disk'));
  fails = false;
  const [machine, same] = await Promise.all([call.host.machine({}), call.host.machine({})]);
  assert.deepEqual(await call.host.machine({}), machine);
  assert.deepEqual([same, looked], [machine, 2]);

  const { platform, processor, cores, ramBytes, devices, ffmpeg } = machine;
  assert.deepEqual([platform, cores, ramBytes], [`${process.platform}-${process.arch}`, cpus().length, totalmem()]);
  assert.ok(processor.length > 1 && ffmpeg.startsWith('ffmpeg ') && !ffmpeg.includes('/'), JSON.stringify(machine));
  const found = await probe(); // in this process, what the machine found by one of its own
  assert.deepEqual(
    devices.map(d => [d.device, d.available, d.text]),
    found.map(d => [d.device, d.available, d.text]),
  );
  assert.deepEqual(devices.map(d => d.memoryBytes !== null && d.memoryBytes > 1e9), [false, found[1]!.available]); // prettier-ignore
  assert.equal(devices[0]!.name, processor);
});

test('a pipe or a link in a clip’s place is a missing file', async () => {
  await call.subjects.add({ name: 'Kelp', photos: [{ path: kelp }] });
  const file = (await call.media.locate({ id: 'p1' })).path;
  for (const make of [() => void spawnSync('mkfifo', [file]), () => symlinkSync('/etc/passwd', file), () => mkdirSync(file)]) {
    rmSync(file, { recursive: true, force: true });
    make();
    await assert.rejects(
      call.media.read({ id: 'p1', kind: 'photo' }),
      refused('missing', /^the photo of p1 is gone from the library's folder/),
    );
  }
});

test('a file that is no clip is told as such', async () => {
  await assert.rejects(call.requests.read({ path: kelp }), refused('badFile', /not an MP4 video/));
});
