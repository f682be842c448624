/** @file Exports in a real library: made by the real engine and ffmpeg, through the API and the command line, and stopped in every way. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { lookAtMachine } from '../../electron/cli/machine.ts';
import { api } from '../../electron/contract/api.ts';
import { StudioError, type ErrorCode } from '../../electron/contract/errors.ts';
import { event as eventSchema, type StudioEvent } from '../../electron/contract/events.ts';
import type { ClipId, ExportId } from '../../electron/contract/ids.ts';
import type { Exported } from '../../electron/contract/records.ts';
import { client, inProcess, type ClientOf } from '../../electron/contract/rpc.ts';
import { clipEngine } from '../../electron/cli/engine.ts';
import { toybox } from '../../electron/cli/toybox.ts';
import { findFfmpeg, type Ffmpeg } from '../../electron/media/ffmpeg.ts';
import { readRequest } from '../../electron/media/metadata.ts';
import { presetIds } from '../../electron/media/presets.ts';
import { probe } from '../../electron/media/probe.ts';
import { shared } from '../../electron/studio/sharing.ts';
import { startStudio, type Studio } from '../../electron/studio/studio.ts';
import { TaskError, type Decoded, type Done, type Engine, type GenerateOrder } from '../../native-models/tasks.ts';
import { randoms } from '../support/random.ts';
import { run, sleep, start, type Line } from '../support/run.ts';
import { within } from '../support/time.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-studio-exports-'));
const home = join(folder, 'library'),
  outside = join(folder, 'outside');
let studio: Studio, call: ClientOf<typeof api>, ffmpeg: Ffmpeg;
let events: StudioEvent[] = [];
const engine = clipEngine(60);

async function open(paths = true): Promise<void> {
  studio = await startStudio({
    home,
    version: '0',
    engine,
    verifier: { verify: (...order) => engine.verify(...order), close: () => Promise.resolve() },
    embedded: [{ name: 'Toybox', path: toybox }],
    machine: lookAtMachine,
    can: { paths, dragOut: false, reveal: false, pickFolder: false },
  });
  studio.subscribe(said => events.push(eventSchema.parse(said)));
  call = client(api, inProcess(studio.answer, studio.subscribe));
}
/** Does something with the library while no studio of ours has it open. */
async function meanwhile<T>(work: () => Promise<T>): Promise<T> {
  await studio.close();
  try {
    return await work();
  } finally {
    await open();
  }
}
before(async () => {
  mkdirSync(home, { mode: 0o700 });
  mkdirSync(outside);
  ffmpeg = await findFfmpeg();
  await open();
  await call.subjects.add({ name: 'Kelp', photos: [{ path: join(toybox, 'photos/kelp.jpg') }] });
  await call.queue.start({});
  const request = { prompt: '@kelp hops over a zebra', numFrames: 9, width: 64, height: 64, numInferenceSteps: 3, seed: 424242 };
  await call.jobs.enqueue({ request });
  await call.jobs.enqueue({ request: { ...request, prompt: '@kelp sits', seed: 7 } });
  for (const end = performance.now() + 120_000; (await call.clips.list({})).clips.length < 2; await sleep(50))
    assert.ok(performance.now() < end, JSON.stringify(await call.jobs.list({})));
});
after(async () => {
  await studio.close();
  rmSync(folder, { recursive: true, force: true });
});

const ended = async (id: ExportId): Promise<Exported> => {
  for (const end = performance.now() + 60_000; ; await sleep(20)) {
    const e = await call.exports.show({ id });
    if (e.status !== 'waiting' && e.status !== 'running') return e;
    assert.ok(performance.now() < end, `${id} is ${e.status}`);
  }
};
const until = async (id: ExportId, status: Exported['status']): Promise<void> => {
  for (const end = performance.now() + 60_000; (await call.exports.show({ id })).status !== status; await sleep(5))
    assert.ok(performance.now() < end, `${id} is ${(await call.exports.show({ id })).status}`);
};
const done = async (order: Parameters<typeof call.exports.start>[0]): Promise<Exported> => {
  const e = await ended((await call.exports.start(order)).id);
  assert.equal(e.status, 'completed', e.failure?.text);
  return e;
};
const refused =
  (code: ErrorCode, ...words: RegExp[]) =>
  (e: unknown) => {
    assert.ok(e instanceof StudioError, String(e));
    assert.equal(e.code, code, e.message);
    for (const w of words) assert.match(e.message, w);
    return true;
  };
const hashes = (file: string, ...how: string[]): string[] => {
  const { stdout, status, stderr } = spawnSync(ffmpeg.path, ['-nostdin', '-loglevel', 'error', '-i', file, '-map', '0:v:0', ...how, '-f', 'framemd5', '-'], { encoding: 'utf8' }); // prettier-ignore
  assert.equal(status, 0, stderr);
  return stdout.split('\n').filter(line => /^\d/.test(line)).map(line => line.split(',').at(-1)!.trim()); // prettier-ignore
};
/** All files of the library that exports may have to do with, and those outside. */
const files = () =>
  [home, outside].flatMap(at =>
    readdirSync(at, { recursive: true, withFileTypes: true })
      .filter(e => e.isFile() && !/^(library\.db|lock\.db|owner|toc)/.test(e.name))
      .map(e => join(e.parentPath, e.name).slice(folder.length + 1)),
  ).toSorted(); // prettier-ignore
const readCommand = (pid: string): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // it has gone
  }
};
/** How many kills; a number in PROTAGONIST_EXPORT_KILLS makes it more. PROTAGONIST_SEED repeats them. */
const kills = Number(process.env['PROTAGONIST_EXPORT_KILLS'] ?? 3);
const seed = Number(process.env['PROTAGONIST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const draw = randoms(seed);
/** What takes some time to be made. */
const long = { clips: ['c1' as ClipId], preset: 'highEfficiency', options: { scale: 8, loop: 100, rate: [120, 1] as [number, number] } };

test('presets are listed with what they make, and no path', async () => {
  const { presets, ffmpeg: by } = await call.exports.presets({});
  assert.deepEqual(presets.map(p => p.id), [...presetIds]); // prettier-ignore
  assert.deepEqual(presets.filter(p => ['share', 'gif', 'lossless'].includes(p.id)).map(p => p.unavailable), [null, null, null]); // prettier-ignore
  assert.equal(presets.find(p => p.id === 'frames')!.extension, null);
  assert.deepEqual(presets.find(p => p.id === 'socialTall')!.aspect, [9, 16]);
  assert.match(by, /^ffmpeg /);
  assert.doesNotMatch(JSON.stringify(presets) + by, /"\/|\/usr/);
});

test('an export is described, begun, followed and found where it was to be', async () => {
  const order = { clips: ['c1' as ClipId], preset: 'share', options: { trim: { from: 2, to: 8 }, poster: 1 } };
  const plan = await call.exports.describe(order);
  assert.deepEqual([plan.width, plan.height, plan.rate, plan.numFrames, plan.extension, plan.source], [64, 64, [8, 1], 6, 'mp4', 'clip']);
  events = [];
  const path = join(outside, 'a beach.mp4');
  const begun = await call.exports.start({ ...order, path });
  assert.deepEqual(
    [begun.status, begun.inLibrary, begun.plan, begun.name],
    ['waiting', false, null, (await call.clips.show({ id: 'c1' })).name],
  );
  const e = await ended(begun.id);
  assert.deepEqual([e.status, e.failure, e.missing, e.bytes, e.progress], ['completed', null, false, statSync(path).size, null]);
  assert.deepEqual(e.plan, plan);
  const probed = await probe(path);
  assert.deepEqual([probed.codec, probed.frames, probed.width], ['avc1', 6, 64]);
  assert.equal((await readRequest(path))?.['seed'], 424242);
  assert.ok(existsSync(join(outside, 'a beach.poster.png')));
  const said = events.flatMap(x => (x.type === 'export' && x.export.id === e.id ? [x.export] : []));
  assert.deepEqual([...new Set(said.map(x => x.status))], ['waiting', 'running', 'completed']);
  assert.ok(said.every((x, i) => (x.progress ?? 0) >= (said[i - 1]?.progress ?? 0) || x.status === 'completed'));
  assert.doesNotMatch(JSON.stringify([said, await call.exports.list({})]), /outside|beach/, 'a record tells no path');

  assert.equal((await call.media.locate({ id: e.id })).path, path);
  await assert.rejects(async () => call.media.read({ id: e.id, kind: 'export' }), refused('notFound', /no copy of it/));
  await assert.rejects(
    async () => call.exports.start({ ...order, path }),
    refused('conflict', /already at .*beach\.mp4: choose another name, or/),
  );
  await done({ ...order, path, replace: true });
  const into = await done({ clips: ['c2'], preset: 'share', path: outside, name: 'In a folder!' });
  assert.equal((await call.media.locate({ id: into.id })).path, join(outside, 'in-a-folder.mp4'));
  rmSync(join(outside, 'in-a-folder.mp4'));
  assert.equal((await call.exports.show({ id: into.id })).missing, true);
});

test('what cannot be made is refused before anything is begun', async () => {
  const before = files(),
    rows = (await call.exports.list({})).exports.length;
  const attempt = (more: object) => async () => call.exports.start({ clips: ['c1'], preset: 'share', ...more });
  await assert.rejects(attempt({ clips: ['c99'] }), refused('notFound', /no clip c99/));
  await assert.rejects(attempt({ preset: 'vhs' }), refused('badInput', /no preset "vhs": choose one of share, chat10/));
  await assert.rejects(
    attempt({ options: { trim: { from: 5, to: 99 } } }),
    refused('badRequest', /frames 5 to 99 are not within the clip's 9/),
  );
  await assert.rejects(attempt({ clips: ['c1', 'c2'], joint: { crossfade: 5 } }), refused('badRequest', /too few for crossfades/));
  await assert.rejects(attempt({ path: join(outside, 'x.mov') }), refused('badRequest', /makes a \.mp4 file: name it so/));
  await assert.rejects(attempt({ path: 'x.mp4' }), refused('badInput', /not a whole path/));
  await assert.rejects(attempt({ path: join(home, 'clips', 'x.mp4') }), refused('badInput', /library's own folder/));
  await assert.rejects(attempt({ path: join(outside, 'none', 'x.mp4') }), refused('badFile', /no such file or folder/));
  await assert.rejects(attempt({ asClip: true, preset: 'gif' }), refused('badInput', /choose Share/));
  await assert.rejects(attempt({ asClip: true, path: join(outside, 'x.mp4') }), refused('badInput', /leave out where/));
  await assert.rejects(async () => call.exports.show({ id: 'e999' }), refused('notFound', /no export e999/));
  assert.deepEqual(files(), before);
  assert.equal((await call.exports.list({})).exports.length, rows);
});

test('in the library: read in pieces, with its poster, removed with its file', async () => {
  const e = await done({ clips: ['c1'], preset: 'webp', name: 'Zebra ☀', options: { poster: 0 } });
  assert.equal(e.inLibrary, true);
  const { path } = await call.media.locate({ id: e.id });
  assert.equal(path, join(home, 'exports', e.id, 'zebra.webp'));
  const read = await call.media.read({ id: e.id, kind: 'export' });
  assert.deepEqual([read.type, read.bytes, Buffer.from(read.base64, 'base64').equals(readFileSync(path))], ['image/webp', e.bytes, true]);
  assert.equal((await call.media.read({ id: e.id, kind: 'poster' })).type, 'image/png');
  await assert.rejects(async () => call.media.read({ id: e.id, kind: 'video' }), refused('notFound'));
  await assert.rejects(async () => call.media.read({ id: 'c1', kind: 'export' }), refused('notFound'));
  events = [];
  await call.exports.remove({ id: e.id });
  assert.ok(!existsSync(dirname(path)));
  assert.deepEqual(events, [{ type: 'gone', id: e.id }]);
  await assert.rejects(async () => call.exports.show({ id: e.id }), refused('notFound'));
});

test('masters come from the kept latents, frame for frame, and else from the clip, which they say', async () => {
  const clip = await call.clips.show({ id: 'c1' });
  const latents = readdirSync(join(home, 'latents')).map(name => join(home, 'latents', name)).find(file => statSync(file).size === clip.latentsBytes)!; // prettier-ignore
  const { device, precision, vaeTiling } = clip.resolved!;
  const film = join(outside, 'film.mkv');
  const order = { numFrames: 9, width: 64, height: 64, fps: 8, device, precision, vaeTiling, threads: null };
  const own = join(home, 'latents', basename((await locateLatents('c1')) ?? latents));
  await engine.decode({ task: 'decode', checkpoint: toybox, latents: own, out: film, ...order }, () => undefined, new AbortController().signal); // prettier-ignore
  const e = await done({ clips: ['c1'], preset: 'lossless' });
  assert.deepEqual([e.plan!.source, e.plan!.notes, e.plan!.extension], ['latents', [], 'mkv']);
  const { path } = await call.media.locate({ id: e.id });
  assert.deepEqual(hashes(path, '-pix_fmt', 'rgb24'), hashes(film, '-pix_fmt', 'rgb24'));
  assert.equal((await probe(path)).colour?.matrix, 'gbr');
  assert.equal((await readRequest(path))?.['seed'], 424242);
  assert.notDeepEqual(hashes(path, '-pix_fmt', 'rgb24'), hashes((await call.media.locate({ id: 'c1' })).path, '-pix_fmt', 'rgb24'));
  const described = await call.exports.describe({ clips: ['c1'], preset: 'editProres', options: { trim: { from: 0, to: 3 } } });
  assert.deepEqual([described.source, described.numFrames], ['latents', 3]);
  const prores = await done({ clips: ['c1'], preset: 'editProres', options: { trim: { from: 0, to: 3 } } });
  assert.deepEqual(prores.plan, described);
  assert.deepEqual(readdirSync(join(home, 'work')), []);
  // without settings: nothing goes along from the clip beside it either
  const bare = await done({ clips: ['c1'], preset: 'lossless', options: { forget: true } });
  assert.ok(!readFileSync((await call.media.locate({ id: bare.id })).path).includes('zebra'));

  // damaged: told, and made from the clip
  copyFileSync(own, join(outside, 'kept'));
  truncateSync(own, 1000);
  const damaged = await done({ clips: ['c1'], preset: 'lossless' });
  assert.equal(damaged.plan!.source, 'clip');
  assert.match(damaged.plan!.notes[0]!, /^Its latents could not be decoded: .+\.$/);
  assert.ok(damaged.plan!.notes.includes('It is made from the compressed clip.'));
  assert.doesNotMatch(JSON.stringify(damaged), new RegExp(folder));
  rmSync(own);
  const gone = await done({ clips: ['c1'], preset: 'lossless' });
  assert.deepEqual([gone.plan!.source, gone.plan!.notes], ['clip', ['It is made from the compressed clip.']]);
  assert.deepEqual(hashes((await call.media.locate({ id: gone.id })).path), hashes((await call.media.locate({ id: 'c1' })).path));
  copyFileSync(join(outside, 'kept'), own);
  for (const name of ['film.mkv', 'kept']) rmSync(join(outside, name));
});
/** The base name of a clip's latents, by what its job was called. */
const locateLatents = async (id: ClipId): Promise<string | undefined> => {
  const { jobId } = await call.clips.show({ id });
  return readdirSync(join(home, 'latents')).find(name => name.startsWith(`${jobId!}.`));
};

describe('a new clip', () => {
  test('of a part of one: with its request, its pictures, its parent', async () => {
    const e = await done({ clips: ['c1'], preset: 'share', asClip: true, name: 'The middle', options: { trim: { from: 2, to: 7 } } });
    const clip = await call.clips.show({ id: e.clipId! });
    const { request, resolved, seed } = await call.clips.show({ id: 'c1' });
    assert.deepEqual([clip.name, clip.parents, clip.numFrames, clip.fps, clip.request, clip.resolved, clip.seed], ['The middle', ['c1'], 5, 8, request, resolved, seed]); // prettier-ignore
    assert.deepEqual([clip.jobId, clip.missing, clip.latentsBytes, clip.spriteColumns], [null, false, 0, 5]);
    for (const kind of ['video', 'poster', 'sprite'] as const) assert.ok((await call.media.read({ id: clip.id, kind })).bytes > 0);
    const { path } = await call.media.locate({ id: clip.id });
    assert.equal(createHash('sha256').update(readFileSync(path)).digest('hex'), clip.sha256);
    assert.equal((await call.media.locate({ id: e.id })).path, path);
    assert.equal(basename(path), `the-middle-${e.id}.mp4`);
    assert.deepEqual((await call.clips.list({ search: 'middle zebra' })).clips.map(c => c.id), [clip.id]); // prettier-ignore
    assert.deepEqual((await call.exports.list({ clip: 'c1', limit: 1 })).exports.map(x => x.id), [e.id]); // prettier-ignore
    const { orphans, missing } = await call.storage.check({});
    assert.deepEqual([orphans, missing.filter(m => m.what !== 'exports')], [[], []]);
    // it goes as clips go; the export stays on the list and says so
    await call.exports.remove({ id: e.id });
    assert.ok(existsSync(path));
  });

  test('of two: no request, both parents', async () => {
    const e = await done({ clips: ['c2', 'c1'], preset: 'share', asClip: true, joint: { crossfade: 0.25 } });
    const clip = await call.clips.show({ id: e.clipId! });
    assert.deepEqual([clip.parents, clip.request, clip.resolved, clip.numFrames], [['c2', 'c1'], null, null, 16]);
    assert.deepEqual(clip.subjects.map(s => s.handle), ['kelp']); // prettier-ignore
    assert.match(clip.name, / and 1 more$/);
    await assert.rejects(async () => call.requests.of({ id: clip.id }), refused('notFound', /c2, c1/));
    await call.clips.trash({ ids: [clip.id] });
    await call.clips.erase({ ids: [clip.id] });
    assert.equal((await call.exports.show({ id: e.id })).missing, true);
  });
});

describe('made again', () => {
  const order = { clips: ['c2' as const], preset: 'share' as const };
  const again = async (id: ExportId, how: { replace?: boolean } = {}): Promise<Exported> => {
    const waits = await call.exports.retry({ id, ...how });
    assert.deepEqual([waits.id, waits.status, waits.plan, waits.failure, waits.endedAt], [id, 'waiting', null, null, null]);
    return ended(id);
  };

  test('one whose file is gone, outside and in the library: the same file at the same place', async () => {
    const path = join(outside, 'again.mp4');
    for (const e of [await done({ ...order, path, name: 'Again', options: { scale: 0.5 } }), await done({ ...order, name: 'Again' })]) {
      await assert.rejects(async () => call.exports.retry({ id: e.id }), refused('conflict', /is there: export its clip once more/));
      const at = (await call.media.locate({ id: e.id })).path,
        whole = readFileSync(at);
      if (e.inLibrary) rmSync(dirname(at), { recursive: true });
      else rmSync(at);
      assert.equal((await call.exports.show({ id: e.id })).missing, true);
      const { endedAt, ...now } = await again(e.id),
        { endedAt: before, ...was } = e;
      assert.deepEqual(now, was);
      assert.ok(endedAt! > before!);
      assert.equal((await call.media.locate({ id: e.id })).path, at);
      assert.ok(readFileSync(at).equals(whole));
      await call.exports.remove({ id: e.id });
    }
    rmSync(path);
  });

  test('one that was canceled or failed; not while it is being made, and only once at a time', async () => {
    const path = join(outside, 'again.mp4');
    const { id } = await call.exports.start({ ...long, path });
    await until(id, 'running');
    await assert.rejects(async () => call.exports.retry({ id }), refused('conflict', /is being made/));
    await call.exports.cancel({ id });
    const both = await Promise.allSettled([call.exports.retry({ id }), call.exports.retry({ id })]);
    assert.deepEqual(both.map(b => b.status).toSorted(), ['fulfilled', 'rejected']);
    refused('conflict', /is being made/)(both.find(b => b.status === 'rejected')!.reason);
    await call.exports.cancel({ id });
    await meanwhile(() => Promise.resolve(writeFileSync(path, 'theirs'))); // it is known of after a restart, too
    const before = await call.exports.show({ id });
    await assert.rejects(async () => call.exports.retry({ id }), refused('conflict', /there is a file already at/));
    assert.deepEqual(await call.exports.show({ id }), before);
    assert.equal(readFileSync(path, 'utf8'), 'theirs');
    const other = await call.exports.start({ ...long, path, replace: true });
    await assert.rejects(async () => call.exports.retry({ id, replace: true }), refused('conflict', /is on its way/));
    await call.exports.cancel({ id: other.id });
    await call.exports.retry({ id, replace: true });
    await call.exports.cancel({ id });
    assert.equal(readFileSync(path, 'utf8'), 'theirs');
    for (const e of [id, other.id]) await call.exports.remove({ id: e });
    rmSync(path);
    const folder = join(outside, 'later');
    mkdirSync(folder);
    const failed = await call.exports.start({ ...order, path: join(folder, 'a.mp4') });
    rmSync(folder, { recursive: true });
    const e = await ended(failed.id);
    assert.equal(e.status, 'failed');
    await assert.rejects(async () => call.exports.retry({ id: e.id }), refused('badFile', /no such file or folder/));
    mkdirSync(folder);
    assert.equal((await again(e.id)).status, 'completed');
    await call.exports.remove({ id: e.id });
    rmSync(folder, { recursive: true });
  });

  test('as a clip that was erased: another clip; of a clip that is gone: nothing', async () => {
    const e = await done({ ...order, asClip: true });
    await call.clips.trash({ ids: [e.clipId!] });
    await call.clips.erase({ ids: [e.clipId!] });
    const now = await again(e.id);
    assert.equal(now.status, 'completed', now.failure?.text);
    assert.ok(now.clipId !== null && now.clipId !== e.clipId);
    const of = await done({ clips: [now.clipId], preset: 'share' });
    await call.clips.trash({ ids: [now.clipId] });
    await call.clips.erase({ ids: [now.clipId] });
    rmSync(dirname((await call.media.locate({ id: of.id })).path), { recursive: true });
    const before = await call.exports.show({ id: of.id });
    await assert.rejects(async () => call.exports.retry({ id: of.id }), refused('notFound'));
    assert.deepEqual(await call.exports.show({ id: of.id }), before);
  });
});

describe('stopped', () => {
  test('several wait for each other; waiting and running ones are canceled, and nothing is left', async () => {
    const before = files();
    const [a, b, c] = [
      await call.exports.start({ ...long, path: join(outside, 'a.mp4') }),
      await call.exports.start(long),
      await call.exports.start({ clips: ['c2'], preset: 'share', path: join(outside, 'c.mp4') }),
    ];
    await assert.rejects(async () => call.exports.start({ ...long, path: join(outside, 'a.mp4') }), refused('conflict', /is on its way/));
    await until(a.id, 'running');
    assert.deepEqual(
      [(await call.exports.show({ id: b.id })).status, (await call.exports.show({ id: c.id })).status],
      ['waiting', 'waiting'],
    );
    await assert.rejects(async () => call.exports.remove({ id: a.id }), refused('conflict', /cancel it first/));
    assert.equal((await call.exports.cancel({ id: b.id })).status, 'canceled');
    for (const end = performance.now() + 60_000; !readdirSync(outside).some(f => f.endsWith('.part')); await sleep(5))
      assert.ok(performance.now() < end);
    const began = performance.now();
    assert.equal((await call.exports.cancel({ id: a.id })).status, 'canceled');
    assert.ok(performance.now() - began < within(2000), `${performance.now() - began} ms`);
    assert.equal((await ended(c.id)).status, 'completed');
    await assert.rejects(async () => call.exports.cancel({ id: c.id }), refused('conflict', /ended already \(completed\)/));
    rmSync(join(outside, 'c.mp4'));
    assert.deepEqual(files(), before);
  });

  test('decoding too is canceled at once', async () => {
    const before = files();
    const { id } = await call.exports.start({ clips: ['c1'], preset: 'lossless' });
    await until(id, 'running');
    assert.equal((await call.exports.cancel({ id })).status, 'canceled');
    assert.deepEqual(files(), before);
  });

  test('a studio that is closed fails what is under way, with a sentence', async () => {
    const before = files();
    const one = await call.exports.start({ ...long, path: join(outside, 'closed.mp4') }),
      two = await call.exports.start(long);
    await until(one.id, 'running');
    await meanwhile(() => Promise.resolve(assert.deepEqual(files(), before)));
    for (const { id } of [one, two]) {
      const { status, failure } = await call.exports.show({ id });
      assert.deepEqual(
        [status, failure?.text, failure?.action],
        ['failed', 'Protagonist ended before this export was done: export it again', 'retry'],
      );
    }
  });

  test('a killed owner leaves a row that says so, and no part', async () => {
    const before = files();
    await meanwhile(async () => {
      const [, id] = await new Promise<[ReturnType<typeof start>, string]>(resolve => {
        const started = start(['clip', 'export', 'c1', '--preset', 'highEfficiency', '--scale', '8', '--loop', '100', '--rate', '120', '--out', join(outside, 'killed.mp4'), '--home', home, '--json'], { onLine: killing }); // prettier-ignore
        function killing(line: Line): void {
          const e = line['export'] as Exported | undefined;
          if (e?.status !== 'running' || !readdirSync(outside).some(f => f.endsWith('.part'))) return;
          started.child.kill('SIGKILL');
          void started.ended.then(() => resolve([started, e.id]));
        }
      });
      assert.ok(readdirSync(outside).some(f => f.endsWith('.part')));
      killed = id as ExportId;
    });
    for (const end = performance.now() + 60_000; readdirSync(outside).some(f => f.endsWith('.part')); await sleep(20))
      assert.ok(performance.now() < end);
    const survivors = readdirSync('/proc').filter(pid => /^\d+$/.test(pid) && readCommand(pid).includes(join(outside, '.killed.mp4')));
    assert.deepEqual(survivors, [], 'its ffmpeg has gone too');
    const { status, failure } = await call.exports.show({ id: killed! });
    assert.deepEqual([status, failure?.action], ['failed', 'retry']);
    assert.deepEqual(files(), before);
    await done({ clips: ['c1'], preset: 'share', path: join(outside, 'killed.mp4') });
    rmSync(join(outside, 'killed.mp4'));
  });
  let killed: ExportId | undefined;

  test(`killed ${kills} times at any moment: a whole file or none, and nothing else`, async t => {
    const ends: Record<string, number> = {};
    const target = join(outside, 'any');
    mkdirSync(target);
    const before = files();
    for (let n = 0; n < kills; n++) {
      const [preset, file] = ([['lossless', 'a.mkv'], ['share', 'a.mp4'], ['frames', 'a'], ['chat10', 'a.mp4'], ['share', undefined], ['share', 'clip']] as const)[n % 6]!; // prettier-ignore
      const args = file === 'clip' ? ['--as-clip'] : file === undefined ? [] : ['--out', join(target, file)];
      await meanwhile(
        () =>
          new Promise<void>(resolve => {
            let timer: NodeJS.Timeout | undefined;
            const started = start(['clip', 'export', 'c1', '--preset', preset, '--scale', '4', ...args, '--home', home, '--json'], {
              onLine: () => (timer ??= setTimeout(() => started.child.kill('SIGKILL'), draw() * 1500)),
            });
            void started.ended.then(() => (clearTimeout(timer), resolve()));
          }),
      );
      for (const end = performance.now() + 60_000; existsSync(join(home, 'work')) && readdirSync(join(home, 'work')).length; await sleep(20)) assert.ok(performance.now() < end); // prettier-ignore
      const e = (await call.exports.list({ limit: 1 })).exports[0]!;
      ends[e.status] = (ends[e.status] ?? 0) + 1;
      assert.ok(e.status === 'completed' || e.status === 'failed', e.status);
      assert.equal(e.missing, false);
      const { database, orphans, missing } = await call.storage.check({});
      assert.deepEqual([database, orphans, missing.filter(m => m.id === e.id)], ['ok', [], []]);
      // whole where its name is there: the name is the last step before the row
      for (const name of readdirSync(target))
        if (preset === 'frames') assert.ok(existsSync(join(target, name, 'frames.json')), name);
        else assert.equal((await probe(join(target, name))).frames, 9);
      if (e.clipId) {
        await call.clips.trash({ ids: [e.clipId] });
        await call.clips.erase({ ids: [e.clipId] });
      }
      await call.exports.remove({ id: e.id });
      for (const name of readdirSync(target)) rmSync(join(target, name), { recursive: true });
      assert.deepEqual(files(), before);
    }
    t.diagnostic(`seed ${seed}: ${JSON.stringify(ends)}`);
  });

  test('a clip that was to be is undone where the owner died between its names and its row', async () => {
    const before = files();
    const e = await done({ clips: ['c1'], preset: 'share', asClip: true });
    const { path } = await call.media.locate({ id: e.clipId! });
    const workEnds = async () => {
      for (const end = performance.now() + 60_000; existsSync(join(home, 'work', e.id)); await sleep(20))
        assert.ok(performance.now() < end);
    };
    await workEnds(); // its folder goes after the row
    const made = files().filter(f => !before.includes(f));
    assert.equal(made.length, 3, made.join(' '));
    await meanwhile(async () => {
      // as it was a moment before the row
      const { DatabaseSync } = await import('node:sqlite');
      const db = new DatabaseSync(join(home, 'library.db'));
      db.exec(`UPDATE exports SET status = 'running', record = json_set(record, '$.clipId', NULL) WHERE id = ${e.id.slice(1)}; DELETE FROM clip_index WHERE rowid = ${e.clipId!.slice(1)}; DELETE FROM clip_words WHERE clip = ${e.clipId!.slice(1)}; DELETE FROM clips WHERE id = ${e.clipId!.slice(1)}`); // prettier-ignore
      db.close();
      const work = join(home, 'work', e.id);
      mkdirSync(work);
      const moving = { video: { from: 'clip.mp4', to: `clips/${basename(path)}` }, poster: { from: 'poster.jpg', to: `previews/${e.id}-poster.jpg` }, sprite: { from: 'sprite.jpg', to: `previews/${e.id}-sprite.jpg` } }; // prettier-ignore
      writeFileSync(join(work, 'moving.json'), JSON.stringify(moving));
    });
    await workEnds();
    assert.equal((await call.exports.show({ id: e.id })).status, 'failed');
    assert.deepEqual(files(), before);
  });

  test('a full disk is told without the place, and leaves nothing', async t => {
    const disk = join(outside, 'disk'),
      own = join(home, 'exports');
    mkdirSync(disk);
    mkdirSync(own, { recursive: true });
    for (const at of [disk, own]) {
      if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', at]).status !== 0)
        return t.skip('only root can mount a small tmpfs');
      try {
        const where = at === disk ? { path: join(disk, 'full.mov') } : { name: 'full' };
        const { id } = await call.exports.start({ clips: ['c1'], preset: 'editProres', options: { scale: 4 }, ...where });
        const e = await ended(id);
        assert.deepEqual([e.status, e.failure?.code, e.failure?.action], ['failed', 'noSpace', 'freeSpace']);
        assert.match(
          e.failure!.text,
          at === disk ? /^cannot write full\.mov: the disk is full/ : /^cannot write exports\/e\d+\/full\.mov: the disk is full/,
        );
        assert.deepEqual(readdirSync(at), []);
        assert.ok(!existsSync(join(home, 'work', id)));
      } finally {
        spawnSync('umount', [at]);
      }
    }
  });

  test('a backup put back ends what runs', async () => {
    const { name } = await call.backups.create({});
    const before = files().filter(f => !f.includes('/recovery/'));
    const { id } = await call.exports.start(long);
    await until(id, 'running');
    await call.backups.restore({ name });
    await assert.rejects(async () => call.exports.show({ id }), refused('notFound'));
    assert.deepEqual(files().filter(f => !f.includes('/recovery/')), before); // prettier-ignore
    assert.equal((await call.exports.start({ clips: ['c1'], preset: 'share' })).id, id);
    assert.equal((await ended(id)).status, 'completed');
  });
});

test('storage counts exports, and cleaning takes those that can be made again', async () => {
  for (const { id } of (await call.exports.list({ limit: 500 })).exports) await call.exports.remove({ id });
  const again = await done({ clips: ['c1'], preset: 'frames' });
  await assert.rejects(async () => call.media.read({ id: again.id, kind: 'export' }), refused('notFound', /folder of pictures/));
  assert.ok(existsSync(join((await call.media.locate({ id: again.id })).path, 'frames.json')));
  const copy = await done({ clips: ['c2'], preset: 'share', asClip: true });
  const kept = await done({ clips: [copy.clipId!], preset: 'gif' });
  await call.clips.trash({ ids: [copy.clipId!] });
  await call.clips.erase({ ids: [copy.clipId!] });
  mkdirSync(join(home, 'exports/e77'));
  writeFileSync(join(home, 'exports/e77/orphan.mp4'), 'x');
  const { orphans } = await call.storage.check({});
  assert.deepEqual(orphans.map(o => o.name), ['exports/e77/orphan.mp4']); // prettier-ignore
  const kind = (await call.storage.show({})).kinds.find(k => k.kind === 'exports')!;
  assert.deepEqual([kind.files, kind.bytes, kind.cleanable], [12, again.bytes + kept.bytes + 1, again.bytes + 1]);
  const cleaned = await call.storage.clean({ kinds: ['exports'] });
  assert.equal(cleaned.files, 11);
  assert.deepEqual((await call.exports.list({ limit: 500 })).exports.map(e => e.id), [kept.id, copy.id]); // prettier-ignore
  assert.deepEqual((await call.storage.check({})).orphans, []);
  assert.deepEqual(readdirSync(join(home, 'exports')), [kept.id]);
});

test('a host that tells no paths tells no command, takes no path, and hands out its own', async () => {
  await studio.close();
  await open(false);
  try {
    await assert.rejects(async () => call.exports.command({ clips: ['c1'], preset: 'share' }), refused('notHere'));
    await assert.rejects(async () => call.exports.start({ clips: ['c1'], preset: 'share', path: join(outside, 'x.mp4') }), refused('notHere', /takes no paths/)); // prettier-ignore
    const e = await done({ clips: ['c1'], preset: 'share' });
    await assert.rejects(async () => call.media.locate({ id: e.id }), refused('notHere'));
    assert.equal((await call.media.read({ id: e.id, kind: 'export' })).bytes, e.bytes);
    await assert.rejects(async () => call.exports.start({ clips: ['c1'], preset: 'frames' }), refused('notHere', /folder of pictures/));
  } finally {
    await studio.close();
    await open();
  }
});

test('the command line exports, joins, lists, shows, removes and prints the command', async () => {
  await meanwhile(async () => {
    const at = ['--home', home];
    const cli = async (...args: string[]) => {
      const { status, stdout, stderr } = await run([...args, ...at]);
      assert.equal(status, 0, stderr);
      return stdout;
    };
    assert.match(await cli('export', 'presets'), /socialTall +mp4 +Social, tall/);
    assert.match(await cli('clip', 'export', 'c1', '--preset', 'gif', '--out', join(outside, 'a.gif'), '--from', '3'), /is ready: 64x64, 6 frames, 8 a second/); // prettier-ignore
    assert.equal((await probe(join(outside, 'a.gif'))).container, 'gif');
    assert.match(await cli('clip', 'export', 'c1', 'c2', '--out', outside, '--rate', '30000/1001'), /e\d+ is ready[^]*e\d+ is ready/);
    assert.match(
      await cli('clip', 'join', 'c1', 'c2', '--crossfade', '0.5', '--as-clip', '--name', 'Both'),
      /c\d+ is a clip of its own: 64x64, 14 frames/,
    );
    assert.match(await cli('clip', 'export', 'c1', '--preset', 'socialTall', '--dry-run'), /c1 as socialTall: \d+x\d+[^]*It is scaled up/);
    const command = await cli('clip', 'export', 'c1', '--command', '--forget');
    assert.equal(spawnSync('sh', ['-c', command], { cwd: outside }).status, 0, command);
    const name = /file:([^/\s]+\.mp4)/.exec(command)![1]!;
    assert.equal((await probe(join(outside, name))).frames, 9);
    const list = JSON.parse(await cli('export', 'list', '--json')) as { exports: Exported[] };
    assert.ok(list.exports.length >= 4);
    const { id } = list.exports.at(-1)!;
    assert.match(await cli('export', 'show', id), new RegExp(`^${id} `));
    await cli('export', 'remove', id);
    const wrong = await run(['clip', 'export', 'c1', '--rate', 'fast', ...at]);
    assert.deepEqual([wrong.status, /--rate is frames a second/.test(wrong.stderr)], [2, true], wrong.stderr);
    const again = await run(['clip', 'export', 'c1', '--preset', 'gif', '--out', join(outside, 'a.gif'), ...at]);
    assert.deepEqual([again.status, /already at/.test(again.stderr)], [1, true], again.stderr);
    // Ctrl-C
    const before = files();
    const stopped = start(['clip', 'export', 'c1', '--preset', 'highEfficiency', '--scale', '8', '--loop', '100', '--rate', '120', '--out', join(outside, 'b.mp4'), ...at, '--json'], { onLine: l => { if ((l['export'] as Exported | undefined)?.status === 'running') stopped.child.kill('SIGINT'); } }); // prettier-ignore
    assert.equal((await stopped.ended).status, 130);
    assert.deepEqual(files(), before);
  });
  const states = (await call.exports.list({})).exports.map(e => e.status);
  assert.equal(states[0], 'canceled');
});

test('a job that waits for a film to be decoded says so; decoding goes on after a pause', async () => {
  const found = Promise.withResolvers<Decoded>(),
    told: string[] = [];
  let begun = 0;
  const engine: Engine = {
    run: async () => {
      await found.promise;
      return {} as Done;
    },
    verify: () => Promise.reject(new Error('not asked')),
    decode: () => (++begun === 1 ? Promise.reject(new TaskError('canceled', 'canceled')) : found.promise),
    close: () => Promise.resolve(),
  };
  const { jobs, decode } = shared(engine, 20);
  const never = new AbortController().signal;
  const film = decode({} as Parameters<Engine['decode']>[0], () => undefined, never);
  while (begun < 2) await sleep(20);
  const job = jobs.run({} as GenerateOrder, e => void told.push(e.type === 'progress' ? e.phase : e.type), never);
  await sleep(100);
  assert.ok(told.length > 1 && told.every(t => t === 'load'), told.join(' '));
  found.resolve({ type: 'decoded', out: '', bytes: 1, seconds: 1 });
  assert.equal((await film).bytes, 1);
  await job;
});
