/** @file Subjects of a real library: photos taken in, crops and masks, handles, removal and its undoing, whatever they are called. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { join } from 'node:path';
import { beforeEach, afterEach, describe, test } from 'node:test';
import fc from 'fast-check';
import sharp from 'sharp';
import { api } from '../../electron/contract/api.ts';
import { StudioError } from '../../electron/contract/errors.ts';
import { host } from '../../electron/contract/rpc.ts';
import { describeFailure } from '../../electron/studio/failures.ts';
import { fileIn } from '../../electron/studio/library.ts';
import { makeHandle } from '../../electron/studio/subjects.ts';
import { hostile } from '../support/arbitrary.ts';
import { clipLike, newLibrary, openParts, refused } from '../support/library.ts';
import { usualProcessorTime } from '../support/time.ts';

const photos = new URL('../../assets/toybox/photos/', import.meta.url).pathname;
const lemon = join(photos, 'lemon.jpg'),
  kelp = join(photos, 'kelp.jpg');

let library: Awaited<ReturnType<typeof newLibrary>>;
let studio: ReturnType<typeof openParts>;
beforeEach(async () => {
  library = await newLibrary();
  studio = openParts(library);
});
afterEach(() => library.close());

const base64 = (file: string) => readFileSync(file).toString('base64');
/** Every file of a folder of the library. */
const files = (folder: string): string[] =>
  existsSync(join(library.home, folder))
    ? readdirSync(join(library.home, folder), { recursive: true, withFileTypes: true })
        .filter(e => e.isFile())
        .map(e => e.name)
    : [];
/** A folder of the machine, not of the library, that goes with it. */
const outside = (): string => {
  const folder = join(library.home, 'test-outside');
  mkdirSync(folder, { recursive: true });
  return folder;
};

describe('a wall of subjects', () => {
  /** Subjects with photos of nearly no content, without taking each in. */
  const wall = async (subjects: number, photos: number): Promise<string[]> => {
    const made: string[] = [];
    for (let i = 0; i < subjects; i++) {
      const { subject } = await studio.subjects.add({ name: `Toy ${i}`, kind: 'toy' });
      library.db.transaction(() => {
        for (let n = 0; n < photos; n++) {
          const sha256 = (i * 1000 + n + 1).toString(16).padStart(64, '0'),
            folder = (n % 4).toString(16).padStart(2, '0'),
            file = `photos/${folder}/${sha256}.jpg`;
          mkdirSync(join(library.home, 'photos', folder), { recursive: true });
          writeFileSync(join(library.home, file), 'x');
          made.push(file);
          const record = {
            view: null,
            crop: null,
            onWhite: false,
            width: 600,
            height: 600,
            name: `${n}.jpg`,
            createdAt: new Date().toISOString(),
          };
          library.db.run('INSERT INTO photos (subject, sha256, file, record) VALUES (?, ?, ?, ?)', Number(subject.id.slice(1)), sha256, file, JSON.stringify(record)); // prettier-ignore
        }
      });
    }
    return made;
  };

  test('says of each what it says of one alone, also of files that are gone, moved by a link, or no files', async () => {
    const made = (await wall(6, 12)).map(file => join(library.home, file));
    rmSync(made[0]!);
    rmSync(made[1]!);
    mkdirSync(made[1]!);
    renameSync(made[2]!, join(outside(), 'moved.jpg'));
    symlinkSync(join(outside(), 'moved.jpg'), made[2]!);
    await studio.subjects.removePhoto({ id: 'p14' });
    studio.parts.clips.add(clipLike(1, { subjects: [{ id: 's2', name: 'Toy 1', handle: 'toy-1' }] }));
    const { subjects } = await studio.subjects.list({ limit: 500 });
    assert.equal(subjects.length, 6);
    for (const subject of subjects) assert.deepEqual(await studio.subjects.show({ id: subject.id }), subject);
    assert.deepEqual(subjects.at(-1)!.photos.slice(0, 4).map(p => p.missing), [true, true, false, false]); // prettier-ignore
    assert.deepEqual(subjects.map(s => s.clips), [0, 0, 0, 0, 1, 0]); // prettier-ignore
    rmSync(join(library.home, 'photos'), { recursive: true }); // its drive is gone
    assert.ok((await studio.subjects.list({ limit: 500 })).subjects.every(s => s.photos.every(p => p.missing)));
  });

  test('of 60 with 30 photos each takes less than 60 ms', { timeout: 600_000 }, async t => {
    await wall(60, 30);
    const answer = host({ subjects: api.subjects }, { subjects: studio.parts.subjects }, e => describeFailure(e));
    const took = await usualProcessorTime(async () => assert.ok('value' in (await answer('subjects.list', { limit: 500 }))));
    t.diagnostic(`${took.toFixed(1)} ms`);
    assert.ok(took < 60, `${took.toFixed(1)} ms`);
  });
});

describe('photos', () => {
  test('a photo is normalised, kept by its content, shown small, and becomes the hero', async () => {
    const { subject, added, duplicates, refused } = await studio.subjects.add({ name: 'Lemon', kind: 'toy', photos: [{ path: lemon }] });
    assert.deepEqual([added, duplicates, refused], [[subject.photos[0]!.id], [], []]);
    const [photo] = subject.photos;
    assert.equal(subject.handle, 'lemon');
    assert.equal(subject.heroPhotoId, photo!.id);
    assert.equal(photo!.name, 'lemon.jpg');
    assert.ok(!photo!.missing && !photo!.removed && photo!.mask === null && photo!.crop === null && photo!.view === null);
    const file = studio.parts.subjects.files.photo(photo!.sha256);
    assert.equal(createHash('sha256').update(readFileSync(file)).digest('hex'), photo!.sha256);
    const { width, height } = await sharp(file).metadata();
    assert.deepEqual([width, height], [photo!.width, photo!.height]);
    const small = studio.parts.subjects.media(subject.id, 'subjectThumbnail');
    assert.equal(small.type, 'image/jpeg');
    assert.equal((await sharp(small.path).metadata()).format, 'jpeg');
    assert.ok(small.path.startsWith(join(library.home, 'previews')));
    assert.deepEqual(
      library.events.map(e => e.type),
      ['subject'],
    );
    assert.deepEqual(library.events[0], { type: 'subject', subject });
    assert.deepEqual(await studio.subjects.show({ id: subject.id }), subject);
    assert.deepEqual(await studio.subjects.show({ id: '@LEMON' }), subject);
    // the answer holds no path
    assert.ok(!JSON.stringify(subject).includes(library.home));
  });

  test('a folder is taken in whole; one bad file of thirty is named and the rest go in; what is there already is reported', async () => {
    const folder = join(outside(), 'thirty');
    mkdirSync(join(folder, 'inside'), { recursive: true });
    const names = readdirSync(photos).filter(n => n.endsWith('.jpg'));
    for (const [i, n] of names.entries()) copyFileSync(join(photos, n), join(folder, i % 2 ? 'inside' : '.', n));
    writeFileSync(join(folder, 'broken.jpg'), readFileSync(lemon).subarray(0, 3000));
    writeFileSync(join(folder, 'notes.txt'), 'not a photo');
    copyFileSync(lemon, join(folder, 'again.jpg'));
    const { subject, added, duplicates, refused } = await studio.subjects.add({ name: 'Many', photos: [{ path: folder }] });
    assert.equal(added.length, names.length);
    assert.equal(subject.photos.length, names.length);
    assert.deepEqual(
      refused.map(r => r.name),
      ['broken.jpg'],
    );
    assert.match(refused[0]!.text, /broken\.jpg .*damaged/);
    assert.equal(duplicates.length, 1);
    assert.match(duplicates[0]!.name, /again|lemon/);
    const again = await studio.subjects.addPhotos({ id: subject.id, photos: [{ path: kelp }, { path: join(folder, 'nothing.jpg') }] });
    assert.deepEqual([again.added, again.duplicates.length, again.refused.length], [[], 1, 1]);
    assert.equal(again.subject.photos.length, names.length);
    assert.ok(library.events.length >= names.length, 'each photo is told of as it arrives');
    // the same photo in another subject is one file
    const before = files('photos').length;
    await studio.subjects.add({ name: 'Other', photos: [{ path: lemon }] });
    assert.equal(files('photos').length, before);
  });

  test('none of the photos is any good: no subject is made', async () => {
    const text = join(outside(), 'a.jpg');
    writeFileSync(text, 'hello');
    await assert.rejects(
      studio.subjects.add({ name: 'Nobody', photos: [{ path: text }] }),
      refused('badFile', /Nobody was not added/, /a\.jpg/),
    );
    await assert.rejects(
      studio.subjects.add({ name: 'Nobody', photos: [{ path: 'lemon.jpg' }] }),
      refused('badInput', /begins at the root/),
    );
    assert.deepEqual((await studio.subjects.list({})).subjects, []);
    assert.deepEqual(library.events, []);
  });

  test('pasted bytes are taken; transparency becomes the mask', async () => {
    const alpha = Buffer.alloc(64 * 48 * 4, 200);
    for (let i = 0; i < 64 * 48; i++) alpha[4 * i + 3] = i % 64 < 32 ? 255 : 0;
    const png = await sharp(alpha, { raw: { width: 64, height: 48, channels: 4 } })
      .png()
      .toBuffer();
    const { subject, refused: bad } = await studio.subjects.add({
      name: 'Pasted',
      photos: [
        { name: '../../../etc/\u202egnp.exe', base64: png.toString('base64') },
        { name: '', base64: base64(lemon) },
        { name: 'empty.png', base64: '' },
      ],
    });
    assert.deepEqual(
      bad.map(r => r.name),
      ['empty.png'],
    );
    const [cut, plain] = subject.photos;
    assert.equal(cut!.name, 'gnp.exe');
    assert.equal(plain!.name, 'photo');
    assert.equal(plain!.mask, null);
    const mask = await sharp(studio.parts.subjects.media(cut!.id, 'mask').path).metadata();
    assert.deepEqual([mask.width, mask.height, mask.format], [64, 48, 'png']);
    const whole = await studio.subjects.editPhoto({ id: cut!.id, mask: null });
    assert.equal(whole.photos[0]!.mask, null);
    assert.throws(() => studio.parts.subjects.media(cut!.id, 'mask'), refused('notFound', /has no mask/));
  });

  test('a photo that is there already takes the mask that comes with it, but keeps one of its own', async () => {
    const picture = async (channels: 3 | 4, alpha = 0) => {
      const raw = Buffer.alloc(64 * 48 * channels, 255);
      // over white the transparent ones are the opaque one: what they hide is white anyway
      if (channels === 4) for (let i = 0; i < 64 * 48; i++) raw[4 * i + 3] = i % 64 < 32 ? 255 : alpha;
      raw.fill(90, 0, 3);
      return { name: 'a.png', base64: (await sharp(raw, { raw: { width: 64, height: 48, channels } }).png().toBuffer()).toString('base64') }; // prettier-ignore
    };
    const { subject } = await studio.subjects.add({ name: 'Twice', photos: [await picture(3)] });
    const [plain] = subject.photos;
    assert.deepEqual([plain!.mask, plain!.onWhite], [null, false]);
    library.events.length = 0;
    const again = await studio.subjects.addPhotos({ id: subject.id, photos: [await picture(4)] });
    assert.deepEqual([again.added, again.duplicates], [[], [{ name: 'a.png', photoId: plain!.id }]]);
    const [cut] = again.subject.photos;
    assert.match(cut!.mask!, /^[0-9a-f]{64}$/);
    assert.equal(cut!.onWhite, true, 'it lies on white by this mask');
    assert.deepEqual(library.events, [{ type: 'subject', subject: again.subject }]);
    assert.deepEqual(files('masks'), [`${cut!.mask!}.png`]);

    // another mask: the one that is there stays, and no file of the other is left
    const other = await studio.subjects.addPhotos({ id: subject.id, photos: [await picture(4, 128)] });
    assert.deepEqual(other.subject.photos, again.subject.photos);
    assert.deepEqual(files('masks'), [`${cut!.mask!}.png`]);
    const { subject: fresh } = await studio.subjects.add({ name: 'New', photos: [await picture(4), await picture(4, 128)] });
    assert.deepEqual([fresh.photos.length, fresh.photos[0]!.mask], [1, cut!.mask]);
    assert.deepEqual(files('masks'), [`${cut!.mask!}.png`], 'nor while its subject is made');
    // its file is gone: added again it is back
    rmSync(join(library.home, 'masks'), { recursive: true });
    await studio.subjects.addPhotos({ id: subject.id, photos: [await picture(4)] });
    assert.deepEqual(files('masks'), [`${cut!.mask!}.png`]);
    // a removed photo comes back with it
    await studio.subjects.editPhoto({ id: cut!.id, mask: null });
    await studio.subjects.removePhoto({ id: cut!.id });
    const back = await studio.subjects.addPhotos({ id: subject.id, photos: [await picture(4)] });
    assert.deepEqual([back.added, back.subject.photos], [[cut!.id], again.subject.photos]);
  });

  test('crops are fitted to the photo, or refused with the numbers; masks have the size of the photo', async () => {
    const { subject } = await studio.subjects.add({ name: 'Lemon', photos: [{ path: lemon }] });
    const { id, width, height } = subject.photos[0]!;
    const crop = async (x: number, y: number, w: number, h: number) =>
      (await studio.subjects.editPhoto({ id, crop: { x, y, width: w, height: h } })).photos[0]!.crop;
    assert.deepEqual(await crop(10, 20, 30, 40), { x: 10, y: 20, width: 30, height: 40 });
    assert.deepEqual(await crop(10, 20, 99_999, 99_999), { x: 10, y: 20, width: width - 10, height: height - 20 });
    assert.equal(await crop(0, 0, width, height + 5), null);
    await crop(1, 1, 2, 2);
    await assert.rejects(crop(width, 0, 5, 5), refused('badInput', new RegExp(`${width}, 0`), new RegExp(`${width}x${height}`)));
    assert.equal((await studio.subjects.editPhoto({ id, view: 'side' })).photos[0]!.crop?.x, 1, 'an edit leaves the rest');
    assert.equal((await studio.subjects.editPhoto({ id, crop: null })).photos[0]!.crop, null);

    const drawn = await sharp({ create: { width, height, channels: 3, background: '#000' } })
      .composite([{ input: { create: { width: 9, height: 9, channels: 3, background: '#fff' } }, left: 3, top: 3 }])
      .png()
      .toBuffer();
    const masked = await studio.subjects.editPhoto({ id, mask: { base64: drawn.toString('base64') } });
    assert.match(masked.photos[0]!.mask!, /^[0-9a-f]{64}$/);
    assert.equal(masked.photos[0]!.view, 'side');
    const small = await sharp(drawn).resize(5, 5).png().toBuffer();
    await assert.rejects(studio.subjects.editPhoto({ id, mask: { base64: small.toString('base64') } }), refused('badFile', /5x5/));
    await assert.rejects(studio.subjects.editPhoto({ id: 'p99', view: null }), refused('notFound', /p99/));
  });

  test('a photo whose file is gone is shown as missing', async () => {
    const { subject } = await studio.subjects.add({ name: 'Lemon', photos: [{ path: lemon }, { path: kelp }] });
    const file = studio.parts.subjects.files.photo(subject.photos[0]!.sha256);
    renameSync(file, `${file}.away`);
    assert.deepEqual(
      (await studio.subjects.show({ id: 'lemon' })).photos.map(p => p.missing),
      [true, false],
    );
    // adding it again heals it
    const { duplicates } = await studio.subjects.addPhotos({ id: subject.id, photos: [{ path: lemon }] });
    assert.equal(duplicates.length, 1);
    assert.ok(!(await studio.subjects.show({ id: 'lemon' })).photos[0]!.missing);
    // without its folder, and without its drive
    rmSync(join(library.home, 'photos'), { recursive: true });
    assert.ok((await studio.subjects.show({ id: 'lemon' })).photos.every(p => p.missing));
  });

  test('hero removed: the next one; restored: as it was', async () => {
    const { subject } = await studio.subjects.add({
      name: 'Lemon',
      photos: [{ path: lemon }, { path: kelp }, { path: join(photos, 'fig.jpg') }],
    });
    const [a, b, c] = subject.photos.map(p => p.id);
    assert.equal(subject.heroPhotoId, a);
    assert.equal((await studio.subjects.edit({ id: subject.id, heroPhotoId: c! })).heroPhotoId, c);
    const less = await studio.subjects.removePhoto({ id: c! });
    assert.equal(less.heroPhotoId, a);
    assert.deepEqual(
      less.photos.map(p => p.removed),
      [false, false, true],
    );
    assert.equal((await studio.subjects.removePhoto({ id: a! })).heroPhotoId, b);
    assert.equal((await studio.subjects.removePhoto({ id: b! })).heroPhotoId, null);
    await assert.rejects(studio.subjects.edit({ id: subject.id, heroPhotoId: c! }), refused('conflict', /restore it first/));
    assert.equal((await studio.subjects.restorePhoto({ id: c! })).heroPhotoId, c);
    // added again, a removed photo comes back
    const again = await studio.subjects.addPhotos({ id: subject.id, photos: [{ path: lemon }] });
    assert.deepEqual(again.added, [a]);
    assert.equal(again.subject.photos.length, 3);
    const other = await studio.subjects.add({ name: 'Kelp', photos: [{ path: kelp }] });
    await assert.rejects(
      studio.subjects.edit({ id: subject.id, heroPhotoId: other.added[0]! }),
      refused('conflict', /is of s2, not of s1/),
    );
  });

  test('cleaning may take what no subject and no job needs, and nothing that is arriving', async () => {
    const { subject } = await studio.subjects.add({ name: 'Lemon', photos: [{ path: lemon }, { path: kelp }] });
    const needed = () => studio.parts.subjects.neededFiles();
    const all = () => [...files('photos'), ...files('masks')];
    const unused = () => {
      const names = new Set([...needed().photos].map(f => f.split('/').at(-1)!));
      return all().filter(f => !names.has(f));
    };
    const { id, width, height } = subject.photos[0]!;
    const mask = async (side: number) => {
      const drawn = sharp({ create: { width, height, channels: 3, background: '#000' } }).composite([
        { input: { create: { width: side, height: side, channels: 3, background: '#fff' } }, left: 0, top: 0 },
      ]);
      const edited = await studio.subjects.editPhoto({ id, mask: { base64: (await drawn.png().toBuffer()).toString('base64') } });
      return edited.photos[0]!.mask!;
    };
    const first = await mask(5);
    const job = (status: string) =>
      library.db.run(
        'INSERT INTO jobs (batch, status, record) VALUES (1, ?, ?)',
        status,
        JSON.stringify({ resolved: { references: [{ photoId: id, sha256: subject.photos[0]!.sha256, mask: first }] } }),
      ).id;
    const waiting = job('pending');
    await mask(6);
    await studio.subjects.removePhoto({ id: subject.photos[1]!.id });
    await studio.subjects.remove({ id: subject.id });
    assert.deepEqual(unused(), [], 'what is removed can be restored, and the job needs the first mask');
    library.db.run('UPDATE jobs SET status = ? WHERE id = ?', 'completed', waiting);
    assert.deepEqual(unused(), [`${first}.png`]);

    // while photos arrive, no file of theirs is ever without someone who needs it
    let looked = 0;
    const watch = setInterval(() => {
      looked++;
      assert.deepEqual(
        unused().filter(f => f !== `${first}.png` && !f.endsWith('.part')),
        [],
      );
    }, 1);
    await studio.subjects.add({ name: 'Fig', photos: ['fig', 'moss', 'pip', 'otto'].map(n => ({ path: join(photos, `${n}.jpg`) })) });
    clearInterval(watch);
    assert.ok(looked > 3);
    assert.deepEqual(
      files('photos').filter(f => f.endsWith('.part')),
      [],
    );
  });

  test('a photo that is added again while it is erased stays', async () => {
    const { subject } = await studio.subjects.add({ name: 'Old', photos: [{ path: kelp }] });
    const { record } = library.db.get<{ record: string }>('SELECT record FROM photos')!;
    // many before it: the erasing takes longer than the adding
    library.db.transaction(() => {
      for (let i = 0; i < 4000; i++) {
        const sha256 = createHash('sha256').update(String(i)).digest('hex');
        library.db.run(
          `INSERT INTO photos (subject, sha256, file, record) VALUES (1, ?, ?, ?)`,
          sha256,
          `photos/${sha256.slice(0, 2)}/${sha256}.jpg`,
          record,
        );
      }
    });
    await studio.subjects.addPhotos({ id: subject.id, photos: [{ path: lemon }] });
    await studio.subjects.remove({ id: subject.id });
    const [{ photos: erased }, { subject: fresh }] = await Promise.all([
      studio.subjects.erase({ ids: [subject.id] }),
      studio.subjects.add({ name: 'New', photos: [{ path: lemon }] }),
    ]);
    assert.equal(erased, 4002);
    const [photo] = studio.parts.subjects.get(fresh.id).photos;
    assert.equal(photo!.missing, false);
    assert.ok(existsSync(studio.parts.subjects.media(photo!.id, 'photoThumbnail').path));
  });

  test('a canceled import stops: photos that are in stay with a subject that was there, a new one is not half there', async () => {
    const { subject } = await studio.subjects.add({ name: 'Lemon', photos: [{ path: lemon }] });
    const canceled = async (going: (stop: AbortSignal) => unknown) => {
      const stop = new AbortController(),
        before = library.events.length;
      const ended = assert.rejects(Promise.resolve(going(stop.signal)), { name: 'AbortError' });
      while (library.events.length < before + 2) await new Promise(resolve => setTimeout(resolve, 1));
      stop.abort();
      await ended;
    };
    await canceled(stop => studio.parts.subjects.addPhotos({ id: subject.id, photos: [{ path: photos }] }, stop));
    const there = studio.parts.subjects.get(subject.id);
    assert.ok(there.photos.length > 1 && there.photos.length < 16);
    assert.ok(there.photos.every(p => !p.missing));

    const many = { name: 'Many', kind: 'toy' as const, description: '', tags: [], notes: '', photos: [{ path: photos }] };
    await canceled(stop => studio.parts.subjects.add(many, stop));
    assert.deepEqual(
      (await studio.subjects.list({})).subjects.map(s => s.id),
      [subject.id],
    );
    const again = await studio.subjects.add(many);
    assert.equal(again.added.length, again.subject.photos.length);
    assert.deepEqual(again.duplicates, []);
  });
});

describe('handles', () => {
  test('are made from the name in any script, and are free', () => {
    const made = (name: string, ...taken: string[]) => makeHandle(name, h => taken.includes(h));
    assert.equal(made('Lemon'), 'lemon');
    assert.equal(made('  Old Mr. O’Brien, Jr. '), 'old-mr-o-brien-jr');
    assert.equal(made('柠檬'), '柠檬');
    assert.equal(made('ليمون الصغير'), 'ليمون-الصغير');
    assert.equal(made('Ｌｅｍｏｎ'), 'lemon');
    assert.equal(made('snake_case'), 'snake_case');
    assert.equal(made('👩‍🚀'), 'subject');
    assert.equal(made('👩‍🚀', 'subject', 'subject-2'), 'subject-3');
    assert.equal(made('S12'), 's12-2', 's12 would be taken for an id');
    assert.equal(made('a'.repeat(100)).length, 40);
    assert.equal(made('a'.repeat(100), 'a'.repeat(40)), `${'a'.repeat(38)}-2`);
    assert.equal(Array.from(made('\u{20000}'.repeat(60))).length, 40);
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...hostile)), name => {
        const handle = made(name);
        assert.match(handle, /^[\p{L}\p{N}][\p{L}\p{M}\p{N}_-]{0,39}$/u);
        assert.notEqual(made(name, handle), handle);
      }),
    );
  });

  test('a taken one is refused with a free one; made ones count up; a removed subject gives its handle away', async () => {
    const { subject: first } = await studio.subjects.add({ name: 'Lemon' });
    const { subject: second } = await studio.subjects.add({ name: 'lemon' });
    assert.deepEqual([first.handle, second.handle], ['lemon', 'lemon-2']);
    await assert.rejects(
      studio.subjects.add({ name: 'X', handle: '@Lemon' }),
      refused('conflict', /@lemon belongs to Lemon \(s1\)/, /@lemon-3 is free/),
    );
    await assert.rejects(studio.subjects.edit({ id: second.id, handle: 'lemon' }), refused('conflict', /@lemon-3 is free/));
    await assert.rejects(studio.subjects.edit({ id: second.id, handle: 's1' }), refused('badInput', /like an id/));
    assert.equal((await studio.subjects.edit({ id: second.id, handle: 'lemon-2' })).handle, 'lemon-2', 'its own is no conflict');
    await studio.subjects.remove({ id: first.id });
    await assert.rejects(studio.subjects.show({ id: 'lemon' }), refused('notFound', /@lemon/));
    assert.ok((await studio.subjects.show({ id: 's1' })).removed);
    const { subject: third } = await studio.subjects.add({ name: 'Lemon' });
    assert.equal(third.handle, 'lemon');
    const back = await studio.subjects.restore({ id: first.id });
    assert.deepEqual([back.handle, back.removed], ['lemon-3', false]);
    assert.deepEqual(studio.parts.subjects.handles(), ['lemon-3', 'lemon-2', 'lemon']);
    await assert.rejects(studio.subjects.show({ id: 's99' }), refused('notFound', /s99/));
  });

  test('two imports at once that want one handle both go in or one is refused', async () => {
    const add = (handle?: string) =>
      studio.subjects.add({ name: 'Twin', ...(handle !== undefined && { handle }), photos: [{ path: lemon }] });
    const made = await Promise.all([add(), add(), add()]);
    assert.deepEqual(made.map(m => m.subject.handle).sort(), ['twin', 'twin-2', 'twin-3']);
    const fixed = await Promise.allSettled([add('same'), add('same')]);
    assert.deepEqual(fixed.map(f => f.status).sort(), ['fulfilled', 'rejected']);
  });
});

test('fields, listing, searching, removing and restoring', async () => {
  const { subject } = await studio.subjects.add({
    name: 'Lemon',
    description: 'a yellow toy',
    notes: 'from Café Zoë',
    tags: ['fruit', 'a "quoted" tag', 'fruit'],
  });
  assert.deepEqual(subject.tags, ['fruit', 'a "quoted" tag']);
  const edited = await studio.subjects.edit({ id: subject.id, name: 'Zitrone', kind: 'toy', tags: ['obst'] });
  assert.deepEqual(
    [edited.name, edited.kind, edited.handle, edited.description, edited.tags],
    ['Zitrone', 'toy', 'lemon', 'a yellow toy', ['obst']],
  );
  const { id } = subject,
    retag = async (change: { tags?: string[]; addTags?: string[]; removeTags?: string[] }) =>
      (await studio.subjects.edit({ id, ...change })).tags;
  assert.deepEqual(await retag({ addTags: ['obst', 'gelb', 'gelb'], removeTags: ['never there'] }), ['obst', 'gelb']);
  assert.deepEqual(await retag({ tags: ['sauer', 'rund'], addTags: ['klein'], removeTags: ['rund'] }), ['sauer', 'klein']);
  const many = Array.from({ length: 49 }, (_, i) => `t${i}`);
  await assert.rejects(retag({ addTags: many }), refused('badInput', /^s1 would have 51 tags: it can have at most 50 tags$/));
  assert.equal((await retag({ addTags: many, removeTags: ['sauer'] })).length, 50);
  assert.deepEqual(await retag({ removeTags: many, addTags: ['obst'] }), ['klein', 'obst']);
  for (let i = 0; i < 9; i++) await studio.subjects.add({ name: `柠檬 ${i}` });
  const ids = async (search: string) => (await studio.subjects.list({ search })).subjects.map(s => s.id);
  assert.deepEqual(await ids('zitr'), ['s1']);
  assert.deepEqual(await ids('ZOE yellow @lem'), ['s1']);
  assert.deepEqual(await ids('檬 3'), ['s5']);
  for (const search of hostile.filter(h => h.length <= 1000)) await studio.subjects.list({ search });
  const first = await studio.subjects.list({ limit: 4 });
  assert.deepEqual([first.subjects.map(s => s.id), first.next], [['s10', 's9', 's8', 's7'], 's7']);
  const rest = await studio.subjects.list({ limit: 6, after: 's7' });
  assert.deepEqual([rest.subjects.length, rest.next], [6, null]);

  const clip = studio.parts.clips.add(clipLike(1, { subjects: [{ id: 's1', name: 'Zitrone', handle: 'lemon' }] }));
  assert.equal((await studio.subjects.show({ id: 's1' })).clips, 1);
  const removed = await studio.subjects.remove({ id: 's1' });
  assert.ok(removed.removed);
  assert.deepEqual(
    (await studio.subjects.list({ removed: true })).subjects.map(s => s.id),
    ['s1'],
  );
  assert.equal((await studio.subjects.list({})).subjects.length, 9);
  await assert.rejects(studio.subjects.edit({ id: 's1', name: 'x' }), refused('conflict', /restore it first/));
  await assert.rejects(studio.subjects.addPhotos({ id: 's1', photos: [{ path: lemon }] }), refused('conflict', /restore it first/));
  // its clips stay, and say whose they were
  assert.deepEqual((await studio.clips.list({ subject: 's1' })).clips[0]!.subjects, clip.subjects);
  assert.ok(!(await studio.subjects.restore({ id: 's1' })).removed);
});

test('names, tags and notes of any kind are kept as text or refused in a sentence', async () => {
  for (const nasty of hostile) {
    try {
      const { subject } = await studio.subjects.add({ name: nasty, description: nasty, notes: nasty, tags: nasty ? [nasty] : [] });
      assert.doesNotMatch(
        JSON.stringify([subject.name, subject.handle, subject.description, subject.tags]),
        /[\u0000\u202a-\u202e\u2066-\u2069]|\\u0000/,
      );
      assert.deepEqual(await studio.subjects.show({ id: subject.handle }), subject);
      assert.deepEqual(
        (await studio.subjects.list({ search: subject.handle, limit: 500 })).subjects.some(s => s.id === subject.id),
        true,
      );
    } catch (e) {
      assert.ok(e instanceof StudioError && e.code === 'badInput', `${JSON.stringify(nasty.slice(0, 40))}: ${String(e)}`);
    }
  }
  assert.equal(library.db.get<{ integrity_check: string }>('PRAGMA integrity_check')!.integrity_check, 'ok');
});

test('a damaged record is told from a bug, and rows never lead out of the library', async () => {
  const { subject } = await studio.subjects.add({ name: 'Lemon', photos: [{ path: lemon }] });
  library.db.run('UPDATE photos SET file = ?', '../../../etc/passwd');
  assert.throws(() => studio.parts.subjects.media(subject.photos[0]!.id, 'photo'), refused('corrupt', /outside itself/));
  library.db.run('UPDATE subjects SET record = ?', '{"name":');
  await assert.rejects(studio.subjects.list({}), refused('corrupt', /subject s1 is damaged/));
  assert.throws(() => fileIn(library, '/etc/passwd'), refused('corrupt'));
});

describe('erasing', () => {
  test('what was removed leaves the disk, what others need stays', async () => {
    const { subject: gone } = await studio.subjects.add({ name: 'Gone', photos: [{ path: lemon }, { path: kelp }] });
    const { subject: twin } = await studio.subjects.add({ name: 'Twin', photos: [{ path: lemon }] });
    await assert.rejects(studio.subjects.erase({ ids: [gone.id] }), refused('conflict', /not removed/));
    await studio.subjects.remove({ id: gone.id });
    const before = files('photos').length;
    const { subjects, photos: erased, bytes } = await studio.subjects.erase({ ids: [gone.id] });
    assert.deepEqual([subjects, erased], [1, 2]);
    assert.ok(bytes > 0);
    assert.equal(files('photos').length, before - 1, 'lemon.jpg is the twin’s too');
    await assert.rejects(studio.subjects.show({ id: gone.id }), refused('notFound'));
    assert.equal((await studio.subjects.show({ id: twin.id })).photos[0]!.missing, false);
  });

  test('a waiting job keeps the photo it needs, unless another photo of the same content stays', async () => {
    const { subject: gone } = await studio.subjects.add({ name: 'Gone', photos: [{ path: lemon }] });
    const { subject: twin } = await studio.subjects.add({ name: 'Twin', photos: [{ path: lemon }] });
    const [{ id: photoId, sha256 }] = twin.photos as [(typeof twin.photos)[0]];
    const record = JSON.stringify({ resolved: { references: [{ photoId, sha256, mask: null }] } });
    library.db.run("INSERT INTO jobs (batch, status, record) VALUES (1, 'pending', ?)", record);
    await studio.subjects.remove({ id: gone.id });
    assert.equal((await studio.subjects.erase({ ids: [gone.id] })).photos, 1);
    assert.equal((await studio.subjects.show({ id: twin.id })).photos[0]!.missing, false);
    // both go at once, and nobody else has it
    const { subject: third } = await studio.subjects.add({ name: 'Third', photos: [{ path: lemon }] });
    for (const { id } of [twin, third]) await studio.subjects.remove({ id });
    await assert.rejects(studio.subjects.erase({}), refused('conflict', /a waiting job needs photo p2 of s2/));
    assert.equal(files('photos').length, 1);
  });

  test('a removed photo of a living subject goes with everything that was removed', async () => {
    const { subject } = await studio.subjects.add({ name: 'Lemon', photos: [{ path: lemon }, { path: kelp }] });
    await studio.subjects.removePhoto({ id: subject.photos[1]!.id });
    assert.deepEqual((await studio.subjects.erase({})).photos, 1);
    assert.equal((await studio.subjects.show({ id: subject.id })).photos.length, 1);
    assert.equal(files('photos').length, 1);
    assert.equal(files('previews').length, 1);
  });
});
