/** @file What a request becomes when it is queued: handles, photos, adapters, settings; and the sentences for what cannot be. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import sharp from 'sharp';
import { StudioError, type ErrorCode } from '../../electron/contract/errors.ts';
import { request, type Request } from '../../electron/contract/requests.ts';
import { inProcessEngine } from '../../electron/engine/main.ts';
import { prepareReference } from '../../electron/media/photo.ts';
import { catalogue } from '../../electron/studio/checkpoints.ts';
import { forecaster } from '../../electron/studio/forecast.ts';
import { picturesPart } from '../../electron/studio/pictures.ts';
import { replaceHandles, resolveRequest, type Sources } from '../../electron/studio/resolve.ts';
import { settingsPart } from '../../electron/studio/settings.ts';
import { newLibrary, openParts } from '../support/library.ts';
import { checkpoint, photo, root } from '../support/run.ts';

const library = await newLibrary();
after(() => library.close());
const parts = openParts(library),
  { subjects } = parts.parts,
  weights = catalogue(library, inProcessEngine, [{ name: 'Toybox', path: checkpoint }]),
  settings = settingsPart(library);
const pictures = picturesPart(library, parts.parts);
const sources: Sources = { subjects, pictures, catalogue: weights, settings: () => settings.current(), forecast: forecaster(library) };
const resolve = (asked: Partial<Request>, from: Partial<Sources> = {}) =>
  resolveRequest(request.parse({ prompt: '', ...asked }), { ...sources, ...from }, () => 4711);
const add = async (name: string, photos: string[], description = '') => (await parts.subjects.add({ name, description, photos: photos.map(path => ({ path })) })).subject; // prettier-ignore
const other = join(root, 'test/support/photo.png');
const lemon = await add('Lemon', [photo, other], 'a round yellow toy'),
  plum = await add('Plum', [other]),
  bare = await add('Bare', []);
const [first, second] = lemon.photos.map(p => p.id);

const known = new Map(['lemon', 'lemon-2', 'plum', '檸檬', '레몬', 'лимон', 'レモン', 'a_b', 'öl', 'l'].map(h => [h, { words: `<${h}>` }]));
const replaced = (prompt: string) =>
  replaceHandles(
    prompt,
    h => known.get(h),
    () => [...known.keys()],
  ).text;
const refused = (code: ErrorCode, sentence: RegExp) => (e: unknown) =>
  e instanceof StudioError && e.code === code && sentence.test(e.message) && !e.message.includes('\n');

for (const [prompt, expected] of [
  ['@lemon hops', '<lemon> hops'],
  ['@Lemon, @LEMON. (@lemon)', '<lemon>, <lemon>. (<lemon>)'],
  ['@lemon-2 and @lemon', '<lemon-2> and <lemon>'],
  ['a @lemon-shaped cake', 'a <lemon>-shaped cake'],
  ['@lemon- @lemon_ @a_b', '<lemon>- <lemon>_ <a_b>'],
  ["@lemon's", "<lemon>'s"],
  ['@檸檬在海邊', '<檸檬>在海邊'],
  ['海邊的@檸檬跳', '海邊的<檸檬>跳'],
  ['@lemon在海邊', '<lemon>在海邊'],
  ['@레몬이 뛴다', '<레몬>이 뛴다'],
  ['@レモンが跳ぶ', '<レモン>が跳ぶ'],
  ['@лимон прыгает', '<лимон> прыгает'],
  ['＠lemon @ｌｅｍｏｎ', '<lemon> <lemon>'],
  ['@o\u0308l', '<öl>'],
  ['me@lemon.com, мама@лимон, a_@lemon', 'me@lemon.com, мама@лимон, a_@lemon'],
  ['@@lemon @@', '@@lemon @@'],
  ['at 5 @ noon, @, @-', 'at 5 @ noon, @, @-'],
  ['.@lemon', '.<lemon>'],
  ['@l @lemon', '<l> <lemon>'],
] as const)
  test(`handles: ${prompt}`, () => assert.equal(replaced(prompt), expected));
for (const [prompt, sentence] of [
  ['@lemmon hops', /^there is no subject @lemmon: did you mean @lemon\?$/],
  ['@lemons', /did you mean @lemon\?/],
  ['@lemon-22', /there is no subject @lemon-22: did you mean @lemon-2\?/],
  ['@lemonade', /there is no subject @lemonade/],
  ['@zebra', /^there is no subject @zebra: add it, or write @@ for the sign itself$/],
  ['@檬檸跳', /there is no subject @檬檸跳/],
  [`@${'x'.repeat(5000)}`, /^there is no subject @x{60}: add it/],
] as const)
  test(`no such handle: ${prompt.slice(0, 30)}`, () => assert.throws(() => replaced(prompt), refused('notFound', sentence)));

test('a handle brings its subject, the hero photo alone, the checkpoint’s own settings and adapter', async () => {
  const { resolved, notices } = await resolve({ prompt: 'On the beach @lemon hops' });
  const toybox = await weights.checkpoint(null);
  assert.equal(resolved.prompt, 'On the beach a round yellow toy hops');
  assert.deepEqual(resolved.subjects, [{ id: lemon.id, name: 'Lemon', handle: 'lemon' }]);
  assert.deepEqual(resolved.references.map(r => [r.photoId, r.sha256, r.crop, r.mask, r.cutOut]), [[first, lemon.photos[0]!.sha256, null, null, false]]); // prettier-ignore
  assert.deepEqual(resolved.checkpoint, { id: toybox.id, name: 'Toybox', sha256: toybox.sha256 });
  assert.deepEqual(resolved.adapters.map(a => a.id), [toybox.recommended.adapterId]); // prettier-ignore
  assert.deepEqual([resolved.seed, resolved.width, resolved.numInferenceSteps, resolved.device], [4711, toybox.recommended.width, toybox.recommended.numInferenceSteps, 'auto']); // prettier-ignore
  assert.deepEqual(notices, []);
  assert.equal((await resolve({ prompt: '@plum' })).resolved.prompt, 'Plum', 'the name where there is no description');
  assert.deepEqual((await resolve({ prompt: 'the sea' })).resolved.adapters, [], 'no subject, no subject adapter');
  assert.equal((await resolve({ prompt: '', negativePrompt: 'no @plum' })).resolved.negativePrompt, 'no Plum');
});
test('what is asked for wins', async () => {
  const { resolved } = await resolve({ prompt: 'x', subjects: [lemon.id], adapters: [{ id: 'a1', scale: null }], seed: 3, numInferenceSteps: 4, guidanceScale: 1, scheduler: 'dpm', numFrames: 9, width: 96, height: 64, fps: 4, device: 'cpu' }); // prettier-ignore
  const { seed, numInferenceSteps, guidanceScale, scheduler, numFrames, width, height, fps, device } = resolved;
  assert.deepEqual([seed, numInferenceSteps, guidanceScale, scheduler, numFrames, width, height, fps, device], [3, 4, 1, 'dpm', 9, 96, 64, 4, 'cpu']); // prettier-ignore
  assert.equal(resolved.adapters[0]!.scale, weights.adapter('a1').scale);
  assert.deepEqual((await resolve({ prompt: '@lemon', adapters: [] })).resolved.adapters, []);
});
test('chosen photos bring their subject; each more has its price said', async () => {
  const { resolved, notices } = await resolve({ prompt: 'it hops', photos: [second!, first!, second!], numFrames: 9 });
  assert.deepEqual(resolved.references.map(r => r.photoId), [second, first]); // prettier-ignore
  assert.deepEqual(resolved.subjects.map(s => s.id), [lemon.id]); // prettier-ignore
  assert.deepEqual(notices, ['2 photos instead of one are 1 latent frame more: each step takes about 25 % longer']);
});
test('crop and mask as they are now', async () => {
  const crop = { x: 1, y: 2, width: 30, height: 40 };
  await parts.subjects.editPhoto({ id: first!, crop });
  assert.deepEqual((await resolve({ prompt: '@lemon' })).resolved.references[0]!.crop, crop);
  await assert.rejects(resolve({ prompt: '@lemon', cutOut: true }), refused('badRequest', /has no mask to cut it out by/));
});
test('cut out, soft edges are blended once: by import where the mask came with the photo, else when the job runs', async () => {
  const rgba = Buffer.alloc(32 * 32 * 4, 200); // alpha by columns: none, a half, all
  for (let i = 0; i < 32 * 32; i++) rgba[4 * i + 3] = i % 32 < 8 ? 0 : i % 32 < 16 ? 128 : 255;
  const base64 = async (raw: Buffer, channels: 1 | 4) => (await sharp(raw, { raw: { width: 32, height: 32, channels } }).png().toBuffer()).toString('base64'); // prettier-ignore
  const { subject } = await parts.subjects.add({ name: 'Soft', photos: [{ name: 'soft.png', base64: await base64(rgba, 4) }] });
  const { id, mask } = subject.photos[0]!;
  const cut = async () => {
    const { resolved } = await resolve({ prompt: '@soft', cutOut: true });
    const [{ sha256, crop, mask, cutOut }] = resolved.references as [(typeof resolved.references)[0]];
    const png = await prepareReference({ photo: subjects.files.photo(sha256), crop, mask: mask && subjects.files.mask(mask), cutOut });
    const pixels = await sharp(png).raw().toBuffer();
    return [0, 8, 16].map(x => pixels[3 * x]);
  };
  assert.deepEqual(await cut(), [255, 227, 200]);
  const draw = async (raw: Buffer) => (await parts.subjects.editPhoto({ id, mask: { base64: await base64(raw, 1) } })).photos[0]!;
  const same = await draw(Buffer.from(Array.from({ length: 32 * 32 }, (_, i) => rgba[4 * i + 3]!)));
  assert.equal(same.mask, mask);
  assert.deepEqual(await cut(), [255, 227, 200], 'the same mask, drawn');
  await draw(Buffer.alloc(32 * 32, 128));
  assert.deepEqual(await cut(), [255, 241, 227], 'another one, drawn over the photo as it is seen');
  await parts.subjects.editPhoto({ id, mask: null });
  await assert.rejects(resolve({ prompt: '@soft', cutOut: true }), refused('badRequest', /has no mask/));
});
test('two subjects are refused until a checkpoint can', async () => {
  await assert.rejects(
    resolve({ prompt: '@lemon and @plum' }),
    refused('badRequest', /^@lemon and @plum are 2 subjects, and Toybox can show one/),
  );
  await assert.rejects(resolve({ prompt: '@lemon', photos: [plum.photos[0]!.id] }), refused('badRequest', /2 subjects/));
  await assert.rejects(resolve({ prompt: '@lemon', subjects: [plum.id] }), refused('badRequest', /2 subjects/));
  const several = { ...weights, checkpoint: async () => ({ ...(await weights.checkpoint(null)), severalSubjects: true }) };
  const { resolved } = await resolve({ prompt: '@lemon and @plum' }, { catalogue: several });
  assert.deepEqual(resolved.references.map(r => r.photoId), [first, plum.photos[0]!.id]); // prettier-ignore
});
test('a start image goes in by content; whatever else is asked', async () => {
  const { id, sha256 } = await pictures.add({ from: { path: other } }, new AbortController().signal);
  assert.equal((await resolve({ prompt: '@lemon' })).resolved.startImage, null);
  const { resolved } = await resolve({ prompt: '@lemon', startImage: id });
  assert.deepEqual(resolved.startImage, { pictureId: id, sha256 });
  assert.equal(resolved.references.length, 1);
  assert.deepEqual((await resolve({ prompt: 'nobody', startImage: id })).resolved.references, []);
  await assert.rejects(
    resolve({ prompt: '', startImage: 'i99' }),
    refused('notFound', /there is no picture i99: choose the start image again/),
  );
  rmSync(pictures.file(sha256));
  await assert.rejects(
    resolve({ prompt: '', startImage: id }),
    refused('missing', /^the start image photo\.png \(i1\) is gone from the library: choose it again, or another$/),
  );
});
test('what cannot be is said', async () => {
  await assert.rejects(resolve({ prompt: '@bare hops' }), refused('badRequest', /^Bare \(@bare\) has no photo: add one first$/));
  await assert.rejects(resolve({ prompt: '', subjects: ['s99'] }), refused('notFound', /s99/));
  await assert.rejects(resolve({ prompt: '', photos: ['p99'] }), refused('notFound', /p99/));
  await assert.rejects(resolve({ prompt: '', checkpoint: 'k99' }), refused('notFound', /k99/));
  await assert.rejects(resolve({ prompt: '', adapters: [{ id: 'a99', scale: 1 }] }), refused('notFound', /a99/));
  await assert.rejects(resolve({ prompt: '@lemon '.repeat(2000) }), refused('badRequest', /longer than 20000 characters/));
  await parts.subjects.remove({ id: bare.id });
  await assert.rejects(resolve({ prompt: '', subjects: [bare.id] }), refused('badRequest', /has been removed/));
  await assert.rejects(resolve({ prompt: '@bare' }), refused('notFound', /no subject @bare/));
});
test('a job keeps what it was queued with', async () => {
  const before = (await resolve({ prompt: '@plum hops' })).resolved;
  await parts.subjects.edit({ id: plum.id, name: 'Prune', description: 'a wrinkled toy', handle: 'prune' });
  assert.equal(before.prompt, 'Plum hops');
  assert.equal((await resolve({ prompt: '@prune hops' })).resolved.prompt, 'a wrinkled toy hops');
  await parts.subjects.edit({ id: plum.id, name: 'Plum', description: '', handle: 'plum' });
});
