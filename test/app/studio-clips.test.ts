/** @file Clips of a real library, their files made by the real ffmpeg: added, found, rated, thrown away, lost and found again. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import sharp from 'sharp';
import { StudioError } from '../../electron/contract/errors.ts';
import type { NewClip } from '../../electron/studio/clips.ts';
import { findFfmpeg, readFrames } from '../../electron/media/ffmpeg.ts';
import { readRequest } from '../../electron/media/metadata.ts';
import { clipPictures } from '../../electron/media/poster.ts';
import { writeVideo } from '../../electron/media/video-writer.ts';
import { hostile } from '../support/arbitrary.ts';
import { clipLike, newLibrary, openParts, refused } from '../support/library.ts';

const lemon = new URL('../../assets/toybox/photos/lemon.jpg', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'protagonist-clips-'));
const made = join(folder, 'made.mp4');
let pictures: Awaited<ReturnType<typeof clipPictures>>;
after(() => rmSync(folder, { recursive: true, force: true }));
before(async () => {
  const frames = async function* () {
    for (let n = 0; n < 17; n++) yield await Promise.resolve(Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7 + n * 11) & 255));
  };
  const ffmpeg = await findFfmpeg();
  await writeVideo({ out: made, width: 64, height: 64, fps: 8, frames: frames(), request: { prompt: 'a toy', seed: 3 }, ffmpeg });
  pictures = await clipPictures(ffmpeg, made, { width: 64, height: 64, numFrames: 17 });
});
const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

let library: Awaited<ReturnType<typeof newLibrary>>;
let studio: ReturnType<typeof openParts>;
beforeEach(async () => {
  library = await newLibrary();
  studio = openParts(library);
  for (const name of ['clips', 'previews', 'latents']) mkdirSync(join(library.home, name));
});
afterEach(() => library.close());

const home = (...names: string[]) => join(library.home, ...names);
let serial = 0;
/** A clip with all its files, as a finished job leaves it. Each file differs in its last bytes, as clips do. */
const add = (given: Partial<NewClip> & { prompt?: string } = {}) => {
  const n = ++serial;
  const files = {
    video: `clips/clip-${n}.mp4`,
    poster: `previews/clip-${n}.jpg`,
    sprite: `previews/clip-${n}-strip.jpg`,
    latents: `latents/clip-${n}.safetensors`,
  };
  writeFileSync(home(files.video), Buffer.concat([readFileSync(made), Buffer.from(`\0\0\0\x0cfree${String(n).padStart(4)}`, 'latin1')]));
  writeFileSync(home(files.poster), pictures.poster);
  writeFileSync(home(files.sprite), pictures.sprite);
  writeFileSync(home(files.latents), Buffer.alloc(1000));
  return studio.parts.clips.add(
    clipLike(n, { files, sha256: sha256(home(files.video)), width: 64, height: 64, spriteColumns: pictures.columns, ...given }),
  );
};
const ids = async (given: Parameters<typeof studio.clips.list>[0]) => (await studio.clips.list(given)).clips.map(c => c.id);

describe('adding', () => {
  test('a clip has all that made it, survives reading back, and is told of', async () => {
    const { subject } = await studio.subjects.add({ name: 'Lemon', photos: [{ path: lemon }] });
    const [photo] = subject.photos;
    const who = { id: subject.id, name: subject.name, handle: subject.handle };
    library.events.length = 0;
    const { resolved } = clipLike(1, { subjects: [who] });
    const references = [{ photoId: photo!.id, sha256: photo!.sha256, crop: null, mask: null, cutOut: false }];
    const clip = add({
      prompt: '@lemon hops',
      subjects: [who],
      resolved: { ...resolved!, references },
      parents: ['c90'],
      tags: ['first', 'first'],
    });
    assert.equal(clip.id, 'c1');
    assert.deepEqual(clip.subjects, [{ ...who, thumbnail: true }]);
    assert.deepEqual(
      [clip.stars, clip.tags, clip.trashed, clip.missing, clip.latentsBytes, clip.parents],
      [0, ['first'], false, false, 1000, ['c90']],
    );
    assert.equal(clip.bytes, statSync(studio.parts.clips.files('c1').video).size);
    assert.deepEqual(await studio.clips.show({ id: 'c1' }), clip);
    assert.deepEqual(library.events, [{ type: 'clip', clip }]);
    assert.equal((await studio.subjects.show({ id: 'lemon' })).clips, 1);
    assert.ok(!JSON.stringify(clip).includes('clips/'), 'no record holds a path');

    // Removed and its preview cleaned by whoever thinks it unused: what a clip shows is needed.
    await studio.subjects.remove({ id: subject.id });
    const thumbnail = studio.parts.clips.subjectThumbnail('c1');
    assert.ok(existsSync(thumbnail));
    assert.ok(studio.parts.subjects.neededFiles().previews.has(thumbnail.slice(library.home.length + 1)));
    assert.deepEqual(await ids({ subject: subject.id }), ['c1']);
    assert.throws(() => studio.parts.clips.subjectThumbnail('c1', 's9'), refused('notFound'));
    assert.deepEqual((await readRequest(studio.parts.clips.files('c1').video))?.['seed'], 3);
  });

  test('inside a transaction that is undone it was never there', async () => {
    assert.throws(
      () =>
        library.db.transaction(() => {
          add();
          throw new Error('undone');
        }),
      /undone/,
    );
    assert.deepEqual(library.events, []);
    assert.deepEqual(await ids({}), []);
    assert.equal(library.db.get<{ n: number }>('SELECT count(*) AS n FROM clip_words')!.n, 0);
  });

  test('one clip a job, one row a file', () => {
    const clip = add({ jobId: 'j4' });
    assert.throws(() => add({ jobId: 'j4' }), /UNIQUE/);
    const files = studio.parts.clips.files(clip.id);
    assert.throws(
      () => add({ files: { video: files.video.slice(library.home.length + 1), poster: null, sprite: null, latents: null } }),
      /UNIQUE/,
    );
  });
});

describe('editing', () => {
  test('stars, name and tags are found at once', async () => {
    add({ prompt: 'a lemon on the beach' });
    add({ prompt: 'a fig in the rain' });
    const edited = await studio.clips.edit({ id: 'c1', stars: 4, name: 'Zitrone', addTags: ['keep', 'a "quoted" tag'] });
    assert.deepEqual([edited.stars, edited.name, edited.tags], [4, 'Zitrone', ['keep', 'a "quoted" tag']]);
    assert.deepEqual(library.events.at(-1), { type: 'clip', clip: edited });
    assert.deepEqual(await ids({ search: 'zitr "quo' }), ['c1']);
    assert.deepEqual(await ids({ tag: 'a "quoted" tag' }), ['c1']);
    assert.deepEqual(await ids({ stars: 4 }), ['c1']);
    assert.deepEqual(await ids({ sort: 'stars' }), ['c1', 'c2']);
    assert.deepEqual(await ids({ sort: 'newest' }), ['c2', 'c1']);
    const less = await studio.clips.edit({ id: 'c1', removeTags: ['keep', 'never there'], addTags: ['x'], stars: 0 });
    assert.deepEqual([less.tags, less.stars, less.name], [['a "quoted" tag', 'x'], 0, 'Zitrone']);
    assert.deepEqual(await ids({ tag: 'keep' }), []);
    assert.deepEqual(await ids({ search: 'keep' }), []);
    await assert.rejects(studio.clips.edit({ id: 'c1', name: ' ' }), refused('badInput', /the name is empty/));
    await assert.rejects(studio.clips.edit({ id: 'c9', stars: 1 }), refused('notFound', /c9/));
    const many = (from: number) => Array.from({ length: 50 }, (_, i) => `t${from + i}`);
    await assert.rejects(studio.clips.edit({ id: 'c1', addTags: many(0) }), refused('badInput', /52 tags/));
    await studio.clips.edit({ id: 'c2', addTags: many(0) });
    assert.equal((await studio.clips.edit({ id: 'c2', removeTags: many(0), addTags: many(25) })).tags.length, 50);
  });

  test('nothing that is typed breaks a record, the index or a search', { timeout: 600_000 }, async () => {
    for (const nasty of hostile) {
      const prompt = nasty.slice(0, 20_000);
      const name = nasty.slice(0, 100);
      const { id } = add({ prompt, name: 'x', subjects: [{ id: 's1', name, handle: 'lemon' }] });
      try {
        await studio.clips.edit({ id, name: nasty, addTags: [nasty] });
      } catch (e) {
        assert.ok(e instanceof StudioError && e.code === 'badInput', String(e));
      }
      const clip = await studio.clips.show({ id });
      assert.doesNotMatch(clip.name + clip.tags.join(''), /[\0\u202a-\u202e\u2066-\u2069]/);
      assert.equal(clip.request?.prompt, prompt);
    }
    for (const search of [
      ...hostile.filter(h => h.length <= 1000),
      '"',
      'OR',
      '*',
      'NEAR(',
      'a OR b',
      'clip_index:',
      '^a',
      '-a',
      '(',
      '{',
      "'",
      'a* b*',
      '" AND "',
    ])
      for (const sort of ['newest', 'oldest', 'stars'] as const) await studio.clips.list({ search, sort });
    // each prompt is found by its own words
    for (const [i, nasty] of hostile.entries()) {
      const word = nasty.split(/\s/)[0]!.slice(0, 30).toWellFormed();
      if (word) assert.ok((await ids({ search: word, limit: 500 })).includes(`c${i + 1}`), JSON.stringify(word));
    }
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'binary', maxLength: 1000 }),
        fc.string({ unit: 'binary', maxLength: 100 }),
        async (search, after) => {
          try {
            await studio.clips.list({ search, after });
          } catch (e) {
            assert.ok(e instanceof StudioError && e.code === 'badInput', String(e));
          }
        },
      ),
      { numRuns: 200 },
    );
    assert.equal(library.db.get<{ integrity_check: string }>('PRAGMA integrity_check')!.integrity_check, 'ok');
  });
});

describe('a long list', () => {
  test('is known by its ids, and any part of it is read by them', async () => {
    for (let n = 0; n < 130; n++) studio.parts.clips.add(clipLike(9000 + n, { prompt: n % 3 ? 'the sea' : 'the moon' }));
    await studio.clips.edit({ id: 'c4', stars: 5 });
    await studio.clips.trash({ ids: ['c7', 'c130'] });
    for (const asked of [{}, { sort: 'oldest' }, { sort: 'stars' }, { search: 'moon' }, { trashed: true }, { stars: 5 }] as const) {
      const pages: string[] = [];
      for (let after: string | null = null; ;) {
        const page: { clips: { id: string }[]; next: string | null } = await studio.clips.list({ ...asked, limit: 50, after });
        pages.push(...page.clips.map(c => c.id));
        if ((after = page.next) === null) break;
      }
      assert.deepEqual((await studio.clips.index(asked)).ids, pages, JSON.stringify(asked));
    }
    const { clips } = await studio.clips.some({ ids: ['c9', 'c7', 'c999', 'c1', 'c9'] });
    assert.deepEqual(clips.map(c => c.id), ['c9', 'c7', 'c1', 'c9']); // prettier-ignore
    assert.deepEqual(clips[2], await studio.clips.show({ id: 'c1' }));
    await assert.rejects(studio.clips.some({ ids: [] }), refused('badInput'));
    await assert.rejects(studio.clips.some({ ids: Array.from({ length: 201 }, () => 'c1' as const) }), refused('badInput', /at most 200/));
  });

  test('tags are counted, of what is not in the trash', async () => {
    const tags = async () => Object.fromEntries((await studio.clips.tags({})).tags.map(({ tag, clips }) => [tag, clips]));
    assert.deepEqual(await tags(), {});
    add({ tags: ['sea', 'keep'] });
    add({ tags: ['sea'] });
    add();
    assert.deepEqual((await studio.clips.tags({})).tags, [{ tag: 'sea', clips: 2 }, { tag: 'keep', clips: 1 }]); // prettier-ignore
    await studio.clips.edit({ id: 'c3', addTags: ['Sea', 'sea'], removeTags: ['keep'] });
    await studio.clips.edit({ id: 'c1', removeTags: ['keep'] });
    assert.deepEqual(await tags(), { sea: 3, Sea: 1 });
    await studio.clips.trash({ ids: ['c3'] });
    assert.deepEqual(await tags(), { sea: 2 });
    await studio.clips.restore({ ids: ['c3'] });
    assert.deepEqual(await tags(), { sea: 3, Sea: 1 });
    await studio.clips.trash({ ids: ['c3'] });
    await studio.clips.erase({ ids: ['c3'] });
    assert.deepEqual(await tags(), { sea: 2 });
    assert.equal(library.db.get<{ n: number }>('SELECT count(*) AS n FROM clip_tags')!.n, 2);
  });
});

describe('the trash', () => {
  test('hides and brings back; erasing takes rows and files of what is in it', async () => {
    const all = [add(), add(), add()];
    const files = all.map(c => Object.values(studio.parts.clips.files(c.id)) as string[]);
    await studio.clips.edit({ id: 'c2', stars: 3, addTags: ['keep'] });
    const { clips } = await studio.clips.trash({ ids: ['c2', 'c3', 'c2'] });
    assert.deepEqual(clips.map(c => [c.id, c.trashed]), [['c2', true], ['c3', true]]); // prettier-ignore
    assert.deepEqual([await ids({}), await ids({ trashed: true })], [['c1'], ['c3', 'c2']]);
    assert.ok(files.flat().every(f => existsSync(f)));
    await assert.rejects(studio.clips.trash({ ids: ['c1', 'c99'] }), refused('notFound', /c99/));
    assert.deepEqual(await ids({}), ['c1'], 'all of them or none');
    const [back] = (await studio.clips.restore({ ids: ['c2'] })).clips;
    assert.deepEqual([back!.stars, back!.tags, back!.trashed], [3, ['keep'], false]);
    assert.deepEqual(await ids({ sort: 'stars', tag: 'keep' }), ['c2']);

    await assert.rejects(studio.clips.erase({ ids: ['c2'] }), refused('conflict', /c2 is not in the trash/));
    const size = files[2]!.reduce((sum, f) => sum + statSync(f).size, 0);
    library.events.length = 0;
    assert.deepEqual(await studio.clips.erase({}), { clips: 1, bytes: size });
    assert.deepEqual(library.events, [{ type: 'gone', id: 'c3' }]);
    assert.ok(files[2]!.every(f => !existsSync(f)) && files[0]!.every(f => existsSync(f)));
    await assert.rejects(studio.clips.show({ id: 'c3' }), refused('notFound'));
    assert.equal(library.db.get<{ n: number }>('SELECT count(*) AS n FROM clip_subjects WHERE clip = 3')!.n, 0);
    assert.deepEqual(await studio.clips.erase({}), { clips: 0, bytes: 0 });
    assert.equal(add().id, 'c4', 'no id is used twice');
  });

  test('a clip made of others outlives them', async () => {
    add();
    const joined = add({ parents: ['c1'] });
    await studio.clips.trash({ ids: ['c1'] });
    await studio.clips.erase({ ids: ['c1'] });
    assert.deepEqual((await studio.clips.show({ id: joined.id })).parents, ['c1']);
    assert.ok(!(await studio.clips.show({ id: joined.id })).missing);
  });

  test('what was gone already, by hand or by a crash, is no hindrance; what cannot go is said, and the rest is gone', async () => {
    for (let i = 0; i < 3; i++) add();
    await studio.clips.trash({ ids: ['c1', 'c2', 'c3'] });
    rmSync(studio.parts.clips.files('c1').video);
    rmSync(home('latents'), { recursive: true });
    const stuck = studio.parts.clips.files('c2').video;
    rmSync(stuck);
    mkdirSync(stuck); // a folder in its place cannot be unlinked
    await assert.rejects(studio.clips.erase({}));
    assert.deepEqual(await ids({ trashed: true }), ['c3', 'c2']);
    rmSync(stuck, { recursive: true });
    assert.equal((await studio.clips.erase({})).clips, 2);
    assert.deepEqual(readdirSync(home('clips')), []);
    assert.deepEqual(readdirSync(home('previews')), []);
  });

  test('a thousand at once leave other work its turn', async () => {
    library.db.transaction(() => {
      for (let n = 1; n <= 1000; n++) studio.parts.clips.add(clipLike(n));
    });
    let [turns, longest, last] = [0, 0, performance.now()];
    const turn = () => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
      turns++;
    };
    const timer = setInterval(turn, 1);
    await studio.clips.trash({ ids: Array.from({ length: 1000 }, (_, i) => `c${i + 1}` as const) });
    clearInterval(timer);
    assert.ok(turns >= 2, `${turns} turns, the longest wait ${longest.toFixed(0)} ms`);
    assert.deepEqual(await ids({}), []);
    assert.equal((await studio.clips.erase({})).clips, 1000);
    assert.equal(library.db.get<{ n: number }>('SELECT count(*) AS n FROM clips')!.n, 0);
  });
});

describe('files', () => {
  test('a lost clip is shown as missing, and found again by its content', async () => {
    const clip = add();
    const other = add();
    const { video } = studio.parts.clips.files(clip.id);
    const away = join(folder, 'away.mp4');
    renameSync(video, away);
    assert.ok((await studio.clips.show({ id: clip.id })).missing);
    assert.deepEqual((await studio.clips.list({})).clips.map(c => c.missing), [false, true]); // prettier-ignore

    await assert.rejects(studio.clips.find({ id: clip.id, path: join(folder, 'nothing.mp4') }), refused('missing', /no file at/));
    await assert.rejects(studio.clips.find({ id: clip.id, path: 'away.mp4' }), refused('badInput', /begins at the root/));
    await assert.rejects(studio.clips.find({ id: clip.id, path: folder }), refused('missing'));
    await assert.rejects(studio.clips.find({ id: clip.id, path: made }), refused('conflict', /content differs/));
    await assert.rejects(
      studio.clips.find({ id: clip.id, path: studio.parts.clips.files(other.id).video }),
      refused('conflict', /content differs/),
    );
    assert.deepEqual(
      readdirSync(home('clips')),
      [video.replace(/.*\//, '').replace(/\d+/, m => String(Number(m) + 1))],
      'nothing is left of the attempts',
    );

    const found = await studio.clips.find({ id: clip.id, path: away });
    assert.deepEqual(found, clip);
    assert.equal(sha256(video), clip.sha256);
    assert.ok(existsSync(away), 'what was pointed at stays');
    assert.deepEqual(await studio.clips.find({ id: clip.id, path: away }), clip, 'asked again, nothing happens');

    // something else has taken its place: it stays, and the clip lies beside it
    rmSync(video);
    writeFileSync(video, 'something else');
    const beside = await studio.clips.find({ id: clip.id, path: away });
    assert.ok(!beside.missing);
    assert.equal(readFileSync(video, 'utf8'), 'something else');
    assert.equal(studio.parts.clips.files(clip.id).video, video.replace('.mp4', '-2.mp4'));
    // the whole folder gone
    rmSync(home('clips'), { recursive: true });
    assert.ok(!(await studio.clips.find({ id: clip.id, path: away })).missing);
  });

  test('one frame is a picture of just that frame, named after the clip', async () => {
    const clip = add({ name: 'Kelp: hüpft/1' });
    const all = await readFrames(await findFfmpeg(), made, { width: 64, height: 64, frames: 17, ours: true });
    const asked = [16, 0, 9];
    const got = await Promise.all(asked.map(frame => studio.clips.frame({ id: clip.id, frame })));
    for (const [i, { base64, name, width, height }] of got.entries()) {
      assert.deepEqual([name, width, height], [`kelp-hüpft-1-${asked[i]!}.png`, 64, 64]);
      assert.ok((await sharp(Buffer.from(base64, 'base64')).raw().toBuffer()).equals(all[asked[i]!]!), name);
    }
    await assert.rejects(
      studio.clips.frame({ id: clip.id, frame: 17 }),
      refused('badInput', /^c1 has 17 frames, numbered 0 to 16: there is no frame 17$/),
    );
    await assert.rejects(studio.clips.frame({ id: 'c9', frame: 0 }), refused('notFound'));
    const stop = new AbortController();
    stop.abort();
    await assert.rejects(Promise.resolve(studio.parts.clips.frame({ id: clip.id, frame: 0 }, stop.signal)), { name: 'AbortError' });
    writeFileSync(studio.parts.clips.files(clip.id).video, 'no film');
    await assert.rejects(studio.clips.frame({ id: clip.id, frame: 0 }), refused('badFile', /cannot decode/));
    rmSync(studio.parts.clips.files(clip.id).video);
    await assert.rejects(studio.clips.frame({ id: clip.id, frame: 0 }), refused('missing', /the file of c1 is gone/));
  });

  test('a copy is saved whole, and never over another file', async () => {
    const clip = add();
    const out = join(folder, 'saved.mp4');
    assert.deepEqual(await studio.clips.save({ id: clip.id, path: out }), { bytes: clip.bytes });
    assert.equal(sha256(out), clip.sha256);
    await assert.rejects(studio.clips.save({ id: clip.id, path: out }), refused('conflict', /there is a file already/));
    const inside = join(folder, 'a folder');
    mkdirSync(inside);
    await studio.clips.save({ id: clip.id, path: inside });
    assert.equal(readdirSync(inside).length, 1);
    await assert.rejects(studio.clips.save({ id: clip.id, path: inside }), refused('conflict'));
    symlinkSync('/nowhere/at/all', join(folder, 'dangling'));
    await assert.rejects(studio.clips.save({ id: clip.id, path: join(folder, 'dangling') }), refused('conflict'));
    await assert.rejects(
      studio.clips.save({ id: clip.id, path: join(folder, 'no', 'such', 'folder.mp4') }),
      (e: unknown) => e instanceof StudioError && /no such file or folder/.test(e.message),
    );
    await assert.rejects(studio.clips.save({ id: clip.id, path: 'saved.mp4' }), refused('badInput'));
    rmSync(studio.parts.clips.files(clip.id).video);
    await assert.rejects(studio.clips.save({ id: clip.id, path: join(folder, 'gone.mp4') }), refused('missing', /find it/));
    assert.deepEqual(readdirSync(folder).filter(n => n.endsWith('.part')), []); // prettier-ignore
    const stopped = new AbortController();
    stopped.abort();
    const again = add();
    await assert.rejects(Promise.resolve(studio.parts.clips.save({ id: again.id, path: join(folder, 'stopped.mp4') }, stopped.signal)), {
      name: 'AbortError',
    });
    assert.ok(!existsSync(join(folder, 'stopped.mp4')));
  });

  test('every file is known by its clip; latents can be forgotten', async () => {
    add();
    add();
    await studio.clips.trash({ ids: ['c2'] });
    const all = studio.parts.clips.allFiles();
    assert.equal(all.size, 8);
    for (const [name, { id, trashed }] of all) {
      assert.ok(existsSync(home(name)));
      assert.equal(trashed, id === 'c2');
    }
    const latents = [...all].filter(([, f]) => f.kind === 'latents').map(([name]) => name);
    studio.parts.clips.forgetLatents(latents.slice(0, 1));
    assert.deepEqual(
      [(await studio.clips.show({ id: 'c1' })).latentsBytes, (await studio.clips.show({ id: 'c2' })).latentsBytes],
      [0, 1000],
    );
    assert.equal(studio.parts.clips.files('c1').latents, null);
    copyFileSync(made, home('clips', 'stray.mp4'));
    assert.ok(!studio.parts.clips.allFiles().has('clips/stray.mp4'));
  });
});
