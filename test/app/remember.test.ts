/** @file A clip remembers: whatever was done to the file, naming it brings its request back, in the library that made it and in others, which say what they lack. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { clipEngine } from '../../electron/cli/engine.ts';
import { lookAtMachine } from '../../electron/cli/machine.ts';
import { toybox } from '../../electron/cli/toybox.ts';
import { api } from '../../electron/contract/api.ts';
import type { PhotoId } from '../../electron/contract/ids.ts';
import type { Clip } from '../../electron/contract/records.ts';
import { request as requestSchema, type Request } from '../../electron/contract/requests.ts';
import { client, inProcess, type ClientOf } from '../../electron/contract/rpc.ts';
import { exportVideo } from '../../electron/media/export.ts';
import { ffmpegCandidates, findFfmpeg } from '../../electron/media/ffmpeg.ts';
import { writeRequest } from '../../electron/media/metadata.ts';
import { startStudio, type Studio, type StudioOptions } from '../../electron/studio/studio.ts';
import { painter } from '../support/painter.ts';
import { run } from '../support/run.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-remember-'));
const at = (name: string) => join(folder, name);
const toy = (name: string) => join(toybox, `photos/${name}.jpg`);
const engine = clipEngine(60);
const studios: Studio[] = [];
after(async () => {
  for (const studio of studios) await studio.close();
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A studio with a library of its own. */
async function open(name: string, options: Partial<StudioOptions> = {}): Promise<ClientOf<typeof api>> {
  mkdirSync(at(name));
  const studio = await startStudio({
    home: at(name), version: '0', engine: { ...painter(), verify: (...order) => engine.verify(...order) }, verifier: { verify: (...order) => engine.verify(...order), close: () => Promise.resolve() },
    embedded: [{ name: 'Toybox', path: toybox }], machine: lookAtMachine, can: { paths: true, dragOut: false, reveal: false, pickFolder: false }, ...options,
  }); // prettier-ignore
  studios.push(studio);
  return client(api, inProcess(studio.answer, studio.subscribe));
}

/** Toybox with another content and room for two subjects; an adapter that no library has by itself. */
const duo = at('duo'),
  style = at('style.safetensors');
cpSync(toybox, duo, { recursive: true });
writeFileSync(join(duo, 'scheduler/scheduler_config.json'), `${readFileSync(join(toybox, 'scheduler/scheduler_config.json'), 'utf8')}\n`);
writeFileSync(join(duo, 'generation_config.json'), JSON.stringify({ several_subjects: true }));
const values = readFileSync(join(toybox, 'adapter/pytorch_lora_weights_transformer.safetensors'));
values[values.length - 4]! ^= 1;
writeFileSync(style, values);

let call: ClientOf<typeof api>, clip: Clip, file: string;
/** A mask that shows all of a photo. */
async function giveMask(to: ClientOf<typeof api>, id: PhotoId): Promise<void> {
  const { width, height } = await sharp((await to.media.locate({ id })).path).metadata();
  const mask = await sharp({ create: { width, height, channels: 3, background: '#fff' } })
    .png()
    .toBuffer();
  await to.subjects.editPhoto({ id, mask: { base64: mask.toString('base64') } });
}
/** All that can be asked for, none of it as it would be by itself. */
const asked: Omit<Request, 'version' | 'precision' | 'device'> = {
  prompt: '@kelp and @lemon hop on the 浜辺, "at" <dusk> & 🤖',
  negativePrompt: 'blur; \\ rain',
  subjects: ['s1', 's2'],
  photos: ['p1', 'p2', 'p3'],
  cutOut: true,
  startImage: 'i1',
  checkpoint: 'k2',
  adapters: [{ id: 'a2', scale: 0.5 }],
  seed: 77, numInferenceSteps: 2, guidanceScale: 3.5, useDynamicCfg: true, scheduler: 'dpm', numFrames: 9, width: 48, height: 64, fps: 12, fit: 'cover', noiseDtype: 'bfloat16', vaeTiling: true,
}; // prettier-ignore
before(async () => {
  call = await open('library', { engine });
  await call.subjects.add({ name: 'Kelp', photos: [{ path: toy('kelp') }, { path: toy('fig') }] });
  await call.subjects.add({ name: 'Lemon', photos: [{ path: toy('lemon') }] });
  for (const id of ['p1', 'p2', 'p3'] as const) await giveMask(call, id);
  assert.equal((await call.pictures.add({ from: { path: toy('pip') } })).id, 'i1');
  assert.equal((await call.checkpoints.add({ path: duo, name: 'Duo' })).id, 'k2');
  assert.equal((await call.adapters.add({ path: style, name: 'Style' })).id, 'a2');
  const { jobs } = await call.jobs.enqueue({ request: asked });
  await call.queue.start({});
  for (;;) {
    const { status, failure, clipId } = await call.jobs.show({ id: jobs[0]!.id });
    assert.ok(!['failed', 'canceled'].includes(status), failure?.text);
    if (clipId !== null) {
      clip = await call.clips.show({ id: clipId });
      break;
    }
    await sleep(20);
  }
  file = (await call.media.locate({ id: clip.id })).path;
}); // prettier-ignore

/** The whole request comes back, and makes the same clip. */
const comesBack = async (path: string) => {
  const { request, missing } = await call.requests.read({ path });
  assert.deepEqual(missing, [], path);
  assert.deepEqual(request, clip.request, path);
};
/** A box of a file becomes one that says nothing. */
const without = (bytes: Buffer, type: 'udta' | 'uuid'): Buffer => {
  const out = Buffer.from(bytes),
    place = out.indexOf(type, 0, 'latin1');
  assert.ok(place > 0 && out.indexOf(type, place + 1, 'latin1') < 0, `there is one ${type} box`);
  out.write('free', place, 'latin1');
  out.fill(0, place + 4, place - 4 + out.readUInt32BE(place - 4));
  return out;
};

test('what comes back is what was asked for, and makes the same clip', { timeout: 600_000 }, async () => {
  assert.deepEqual(clip.request, requestSchema.parse(asked));
  await comesBack(file);
  const { request } = await call.requests.read({ path: file });
  await call.queue.pause({});
  const { jobs } = await call.jobs.enqueue({ request: request! });
  assert.deepEqual(jobs[0]!.resolved, clip.resolved);
  await call.jobs.cancel({ id: jobs[0]!.id });
});

test('through `ffmpeg -c copy` to MP4, MOV and MKV and on to each other, renamed, with one of its two places removed', { timeout: 600_000 }, async t => {
  const copied: string[] = [];
  for await (const { found: ffmpeg } of ffmpegCandidates()) {
    if (typeof ffmpeg === 'string') continue;
    const copy = (from: string, extension: string) => {
      const to = at(`copy-${copied.length}.${extension}`);
      execFileSync(ffmpeg.path, ['-nostdin', '-v', 'error', '-i', from, '-c', 'copy', to]);
      copied.push(to);
      return to;
    };
    for (const first of ['mp4', 'mov', 'mkv'])
      for (const second of ['mp4', 'mov', 'mkv']) copy(copy(file, first), second);
  }
  assert.ok(copied.length >= 18);
  for (const path of copied) await comesBack(path);
  t.diagnostic(`${copied.length} copies`);

  for (const [i, name] of ['no-extension', 'wrong.jpg', '浜辺 🤖.mkv', '-dash.mp4'].entries()) {
    renameSync(copied[i]!, at(name));
    await comesBack(at(name));
  }
  const bytes = readFileSync(file);
  for (const scrubbed of [without(bytes, 'udta'), without(bytes, 'uuid')]) {
    writeFileSync(at('scrubbed.mp4'), scrubbed);
    await comesBack(at('scrubbed.mp4'));
  }
  writeFileSync(at('scrubbed.mp4'), without(without(bytes, 'udta'), 'uuid'));
  assert.deepEqual(await call.requests.read({ path: at('scrubbed.mp4') }), { request: null, made: null, missing: [] });
}); // prettier-ignore

test('exports carry it on, but those that are to forget it; a GIF, a WebP and a PNG carry none', { timeout: 600_000 }, async () => {
  const ffmpeg = await findFfmpeg();
  const source = { file, ours: true };
  for (const [preset, out] of [['share', 'share.mp4'], ['editProres', 'edit.mov'], ['lossless', 'lossless.mkv'], ['webLoop', 'web.webm'], ['frames', 'frames']] as const) {
    await exportVideo({ source, preset, out: at(out), ffmpeg });
    await comesBack(at(out));
    await exportVideo({ source, preset, out: at(`forgot-${out}`), options: { forget: true }, ffmpeg });
    assert.equal((await call.requests.read({ path: at(`forgot-${out}`) })).request, null);
  }
  await exportVideo({ source, preset: 'gif', out: at('loop.gif'), ffmpeg });
  await exportVideo({ source, preset: 'webp', out: at('loop.webp'), ffmpeg });
  for (const path of [at('loop.gif'), at('loop.webp'), at('frames/000001.png')])
    assert.deepEqual(await call.requests.read({ path }), { request: null, made: null, missing: [] });
  const long = { prompt: 'x'.repeat(120_000) };
  const { plan } = await exportVideo({ source, preset: 'lossless', out: at('long.mkv'), request: long, ffmpeg });
  assert.ok(plan.notes.includes('What made it is too long to be remembered in a file of this kind.'), plan.notes.join());
  await exportVideo({ source, preset: 'share', out: at('long.mp4'), request: long, ffmpeg });
  assert.deepEqual((await call.requests.read({ path: at('long.mp4') })).made, long);
  await assert.rejects(call.requests.read({ path: toybox }), /toybox: it is a folder, and not one of exported frames: name a video/);
}); // prettier-ignore

test('inspect says what a video of any kind is and what made it, whatever it is called', { timeout: 600_000 }, async () => {
  copyFileSync(file, at('a-clip'));
  const forms: readonly (readonly [string, string, boolean])[] = [
    ['a-clip', 'mp4', true], ['share.mp4', 'mp4', true], ['edit.mov', 'mov', true], ['lossless.mkv', 'matroska', true], ['web.webm', 'webm', true], ['frames', 'png', true],
    ['forgot-share.mp4', 'mp4', false], ['loop.gif', 'gif', false], ['loop.webp', 'webp', false], ['frames/000001.png', 'png', false],
  ]; // prettier-ignore
  for (const [name, container, remembers] of forms) {
    const { status, lines, stderr } = await run(['inspect', at(name), '--json']);
    assert.equal(status, 0, stderr);
    const { kind, container: is, request, frames } = lines[0]! as Record<string, unknown>;
    assert.deepEqual([kind, is, frames], ['clip', container, name.endsWith('1.png') ? 1 : 9], name);
    assert.equal((request as { seed?: number } | undefined)?.seed, remembers ? 77 : undefined, name);
  }
  const { stdout } = await run(['inspect', at('web.webm')]);
  assert.match(stdout, /^web\.webm\n {2}kind: clip\n {2}container: webm\n {2}codec: V_VP9\n[^]*\n {4}"prompt": /);
  writeFileSync(at('cut.mkv'), readFileSync(at('lossless.mkv')).subarray(0, 3000));
  writeFileSync(at('text.mp4'), 'nothing of the kind');
  for (const name of ['cut.mkv', 'text.mp4']) {
    const { status, stderr } = await run(['inspect', at(name)]);
    assert.equal(status, 1, stderr);
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
  }
}); // prettier-ignore

test('another library names what it lacks one by one and keeps the rest, until it has all of it', { timeout: 600_000 }, async () => {
  const other = await open('other');
  const path = at('elsewhere.mkv');
  execFileSync((await findFfmpeg()).path, ['-nostdin', '-v', 'error', '-i', file, '-c', 'copy', path]);
  const read = () => other.requests.read({ path });
  const rest = { ...clip.request!, subjects: [], photos: null, checkpoint: null, adapters: [], startImage: null };
  const [checkpoint, adapter, kelp, fig, lemon] = ['the checkpoint duo', 'the adapter style.safetensors', 'the photo kelp.jpg', 'the photo fig.jpg', 'the photo lemon.jpg'] as const;
  const [isKelp, isLemon] = ['the subject Kelp (@kelp)', 'the subject Lemon (@lemon)'] as const;
  const says = async (missing: readonly string[], has: Partial<Request>) => {
    const answer = await read();
    assert.deepEqual(answer.missing, [...missing, 'the start image pip.jpg']);
    assert.deepEqual(answer.request, { ...rest, ...has });
    assert.equal(answer.made?.['seed'], 77);
  };
  await says([checkpoint, adapter, kelp, fig, lemon, isKelp, isLemon], {});

  // under another handle: the prompt calls it so
  await other.subjects.add({ name: 'Citron', handle: 'citron', photos: [{ path: toy('lemon') }] });
  const prompt = clip.request!.prompt.replace('@lemon', '@citron');
  const mask = (name: string, id: string) => `the mask that the photo ${name}.jpg (${id}) had`;
  await says([checkpoint, adapter, kelp, fig, mask('lemon', 'p1'), isKelp], { prompt, photos: ['p1'], subjects: ['s1'] });
  await assert.rejects(other.jobs.enqueue({ request: (await read()).request! }), /there is no subject @kelp/);

  await other.adapters.add({ path: style });
  await giveMask(other, 'p1');
  await says([checkpoint, kelp, fig, isKelp], { prompt, photos: ['p1'], subjects: ['s1'], adapters: [{ id: 'a2', scale: 0.5 }] });
  await other.checkpoints.add({ path: duo });
  const weights = { adapters: [{ id: 'a2', scale: 0.5 }], checkpoint: 'k2' } as const satisfies Partial<Request>;
  await says([kelp, fig, isKelp], { prompt, photos: ['p1'], subjects: ['s1'], ...weights });
  // one with its handle and none of its photos, then with one, then with both
  await other.subjects.add({ name: 'Somebody', handle: 'kelp' });
  await says([kelp, fig], { prompt, photos: ['p1'], subjects: ['s2', 's1'], ...weights });
  await other.subjects.addPhotos({ id: 's2', photos: [{ path: toy('fig') }] });
  await says([kelp, mask('fig', 'p2')], { prompt, photos: ['p2', 'p1'], subjects: ['s2', 's1'], ...weights });
  await other.subjects.addPhotos({ id: 's2', photos: [{ path: toy('kelp') }] });
  await says([mask('kelp', 'p3'), mask('fig', 'p2')], { prompt, photos: ['p3', 'p2', 'p1'], subjects: ['s2', 's1'], ...weights });
  for (const id of ['p2', 'p3'] as const) await giveMask(other, id);
  await says([], { prompt, photos: ['p3', 'p2', 'p1'], subjects: ['s2', 's1'], ...weights });
  // as somebody's photo it becomes a picture when it is asked for
  await other.subjects.add({ name: 'Pip', photos: [{ path: toy('pip') }] });
  const whole = await read();
  assert.deepEqual([whole.missing, whole.request?.startImage], [[], 'i1']);
  // one made without a library knows the file itself
  copyFileSync(file, at('direct.mp4'));
  const start = { name: 'bolt.jpg', sha256: createHash('sha256').update(readFileSync(toy('bolt'))).digest('hex') };
  await writeRequest(at('direct.mp4'), { prompt: 'it hops', startImage: start });
  assert.deepEqual((await other.requests.read({ path: at('direct.mp4') })).missing, ['the start image bolt.jpg']);
  const { id: bolt } = await other.pictures.add({ from: { path: toy('bolt') } });
  const direct = await other.requests.read({ path: at('direct.mp4') });
  assert.deepEqual([direct.missing, direct.request?.startImage], [[], bolt]);
  const { jobs } = await other.jobs.enqueue({ request: (await read()).request! });
  const hashes = (r: NonNullable<Clip['resolved']>) => [r.startImage?.sha256, r.references.map(p => ({ ...p, photoId: null })), r.checkpoint.sha256, r.adapters.map(a => a.sha256), r.seed];
  assert.deepEqual(hashes(jobs[0]!.resolved), hashes(clip.resolved!));
}); // prettier-ignore

test(
  'what is known but gone from its place is named too; what comes back is there again; a new handle is used',
  { timeout: 600_000 },
  async () => {
    const photo = (await call.media.locate({ id: 'p2' })).path,
      start = (await call.media.locate({ id: 'i1' })).path;
    const gone: readonly (readonly [string, string, Partial<Request>])[] = [
      [duo, 'the checkpoint Duo (k2), whose files are gone', { checkpoint: null }],
      [style, 'the adapter Style (a2), whose files are gone', { adapters: [] }],
      [photo, 'the photo fig.jpg (p2), whose file is gone', { photos: ['p1', 'p3'] }],
      [start, 'the start image pip.jpg (i1), whose file is gone', { startImage: null }],
    ];
    for (const [path, sentence, lacks] of gone) {
      renameSync(path, `${path}-away`);
      const { request, missing } = await call.requests.read({ path: file });
      assert.deepEqual(missing, [sentence]);
      assert.deepEqual(request, { ...clip.request, ...lacks });
      renameSync(`${path}-away`, path);
      await comesBack(file);
    }
    await call.subjects.removePhoto({ id: 'p2' });
    const { request, missing } = await call.requests.read({ path: file });
    assert.deepEqual(missing, ['the photo fig.jpg']);
    assert.deepEqual(request, { ...clip.request, photos: ['p1', 'p3'] });
    await call.subjects.restorePhoto({ id: 'p2' });
    await comesBack(file);

    await call.subjects.editPhoto({ id: 'p1', crop: { x: 10, y: 10, width: 100, height: 100 } });
    assert.deepEqual(await call.requests.read({ path: file }).then(r => [r.missing, r.request]), [
      ['the crop that the photo kelp.jpg (p1) had'],
      clip.request,
    ]);
    await call.subjects.editPhoto({ id: 'p1', crop: null });
    await comesBack(file);

    await call.subjects.remove({ id: 's2' });
    assert.deepEqual((await call.requests.read({ path: file })).missing, ['the photo lemon.jpg', 'the subject Lemon (@lemon)']);
    await call.subjects.restore({ id: 's2' });
    await call.subjects.edit({ id: 's1', handle: 'sea-thing' });
    const renamed = await call.requests.read({ path: file });
    assert.deepEqual(renamed.missing, []);
    assert.deepEqual(renamed.request, { ...clip.request, prompt: asked.prompt.replace('@kelp', '@sea-thing') });
    await call.jobs.cancel({ id: (await call.jobs.enqueue({ request: renamed.request })).jobs[0]!.id });
    await call.subjects.edit({ id: 's1', handle: 'kelp' });
    await comesBack(file);
  },
);

test('a library whose only checkpoint cannot be read names it, and keeps the rest', async () => {
  const bare = await open('bare', { embedded: [{ name: 'Toybox', path: at('nowhere') }] });
  const { request, missing } = await bare.requests.read({ path: file });
  assert.equal(missing[0], 'the checkpoint duo');
  assert.equal(request?.seed, 77);
});

test('a clip of no library, and what anybody may have written into one', async () => {
  const path = at('written.mp4');
  const read = async (request: Record<string, unknown>) => {
    copyFileSync(file, path);
    await writeRequest(path, request);
    return call.requests.read({ path });
  };
  const [photo] = (await call.subjects.show({ id: 's2' })).photos;
  const named = (p: string) => ({ name: basename(p), sha256: 'f'.repeat(64) });
  const direct = await read({ prompt: 'it hops', seed: 5, fps: 9, checkpoint: named('/x/other'), adapters: [{ ...named('lora.safetensors'), scale: 2 }], referenceImages: [named('a.png'), { name: 'b.png', sha256: photo!.sha256 }], startImage: named('c.png') });
  assert.deepEqual(direct.missing, ['the checkpoint other', 'the adapter lora.safetensors', 'the photo a.png', 'the start image c.png']);
  assert.deepEqual(direct.request, requestSchema.parse({ prompt: 'it hops', seed: 5, fps: 9, adapters: [], photos: ['p3'], subjects: ['s2'] }));

  const wrong = { numFrames: 10, seed: -1, width: 'wide', fit: 'stretch', checkpoint: 5, adapters: { a: 1 }, studio: { prompt: 5 }, referenceImages: 'none', startImage: 'none' };
  const odd = await read({ prompt: 'it sits', fps: 9, ...wrong });
  assert.deepEqual(odd.request, requestSchema.parse({ prompt: 'it sits', fps: 9 }));
  assert.equal(odd.missing.length, Object.keys(wrong).length);
  for (const name of Object.keys(wrong)) assert.ok(odd.missing.some(text => text.startsWith(`the setting ${name}: `)), name);

  // handles that nobody can have, and names that are none
  const studio = { prompt: '@@ @kelp @nobody @', subjects: [{ name: '', handle: '' }, { name: 'K', handle: 'kelp' }, { name: 'x', handle: '@' }], photos: [{ sha256: '../..', name: '\u0000' }], cutOut: false };
  const strange = await read({ prompt: 'resolved', studio });
  assert.equal(strange.request?.prompt, studio.prompt);
  assert.deepEqual(strange.request.subjects, ['s1']);
}); // prettier-ignore
