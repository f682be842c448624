/** @file Photos of every kind read by the real libvips: exact where they should be, refused in one sentence where they must be. */
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import {
  checkMask,
  contactSheet,
  filmStrip,
  photoThumbnail,
  prepareReference,
  previewJpeg,
  readPhoto,
} from '../../electron/media/photo.ts';
import { sentence } from '../support/media.ts';
import { within } from '../support/time.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'protagonist-photo-'));
});
after(() => rm(folder, { recursive: true, force: true }));
const at = (name: string): string => path.join(folder, name);

/** RGB24 pixels from a fixed seed. */
function pixels(width: number, height: number, channels = 3): Buffer {
  let state = 9;
  return Buffer.from(
    Array.from({ length: width * height * channels }, () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24),
  );
}

/** A PNG chunk. */
function chunk(type: string, body: Uint8Array): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), body]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(body.length, 0);
  frame.writeUInt32BE(crc32(named), 4);
  return Buffer.concat([frame.subarray(0, 4), named, frame.subarray(4)]);
}

/** A PNG from its raw scan lines, without any library's help. */
function png(width: number, height: number, depth: number, colour: number, lines: Uint8Array): Buffer {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head[8] = depth;
  head[9] = colour;
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', head),
    chunk('IDAT', deflateSync(lines)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** The colour at x, y as levels of 0 to 255. */
function level(photo: Float32Array, width: number, height: number, x: number, y: number): number[] {
  return [0, 1, 2].map(c => Math.round(((photo[c * width * height + y * width + x]! + 1) / 2) * 255));
}

/** Asserts that two colours differ by at most so many levels. */
function near(actual: readonly number[], expected: readonly number[], levels: number): void {
  assert.ok(
    actual.every((value, i) => Math.abs(value - expected[i]!) <= levels),
    `${actual.join()} is not ${expected.join()}`,
  );
}

/** An image in sharp's hands. */
type Picture = ReturnType<typeof sharp>;

const size = { width: 64, height: 48, fit: 'contain' } as const;

describe('a photo', () => {
  test('of the size asked comes through pixel by pixel, in float32 as diffusers computes it', async () => {
    const raw = pixels(64, 48);
    const lines = Buffer.alloc(48 * (64 * 3 + 1));
    for (let y = 0; y < 48; y++) raw.copy(lines, y * 193 + 1, y * 192, (y + 1) * 192);
    await writeFile(at('exact.png'), png(64, 48, 8, 2, lines));
    for (const fit of ['contain', 'cover'] as const) {
      const photo = await readPhoto(at('exact.png'), { ...size, fit });
      assert.equal(photo.length, 3 * 48 * 64);
      for (let y = 0; y < 48; y++)
        for (let x = 0; x < 64; x++)
          for (let c = 0; c < 3; c++)
            assert.equal(photo[c * 48 * 64 + y * 64 + x], Math.fround(2 * Math.fround(raw[(y * 64 + x) * 3 + c]! / 255) - 1));
    }
    assert.equal(Math.min(...(await readPhoto(at('exact.png'), size))), -1);
    assert.equal(Math.max(...(await readPhoto(at('exact.png'), size))), 1);
  });

  test('is turned as EXIF says, for each of the eight orientations', async () => {
    // Upright: red top left, green top right, blue bottom left, white bottom right.
    const corners = [
      [255, 0, 0],
      [0, 255, 0],
      [0, 0, 255],
      [255, 255, 255],
    ];
    const upright = Buffer.from(Array.from({ length: 48 * 64 }, (_, i) => corners[(i % 64 < 32 ? 0 : 1) + (i < 24 * 64 ? 0 : 2)]!).flat());
    const raw = { raw: { width: 64, height: 48, channels: 3 as const } };
    const stored = [
      (s: Picture) => s,
      (s: Picture) => s.flop(),
      (s: Picture) => s.rotate(180),
      (s: Picture) => s.flip(),
      (s: Picture) => s.rotate(270).flop(), // sharp mirrors first, whatever the order of calls: with the turn this is the transpose
      (s: Picture) => s.rotate(270),
      (s: Picture) => s.rotate(90).flop(),
      (s: Picture) => s.rotate(90),
    ];
    for (const [i, turn] of stored.entries()) {
      const turned = await turn(sharp(upright, raw)).raw().toBuffer({ resolveWithObject: true });
      const { width, height } = turned.info;
      await sharp(turned.data, { raw: { width, height, channels: 3 } })
        .withMetadata({ orientation: i + 1 })
        .png()
        .toFile(at(`turn${i + 1}.png`));
      const photo = await readPhoto(at(`turn${i + 1}.png`), size);
      const seen = [level(photo, 64, 48, 5, 5), level(photo, 64, 48, 58, 5), level(photo, 64, 48, 5, 42), level(photo, 64, 48, 58, 42)];
      assert.deepEqual(seen, corners, `orientation ${i + 1}`);
    }
  });

  test('is contained on white or covers the frame', async () => {
    const wide = { create: { width: 200, height: 100, channels: 3 as const, background: '#102030' } };
    await sharp(wide).png().toFile(at('wide.png'));
    const contained = await readPhoto(at('wide.png'), { width: 64, height: 64, fit: 'contain' });
    assert.deepEqual(level(contained, 64, 64, 32, 2), [255, 255, 255]);
    assert.deepEqual(level(contained, 64, 64, 32, 61), [255, 255, 255]);
    assert.deepEqual(level(contained, 64, 64, 1, 32), [16, 32, 48]);
    const covering = await readPhoto(at('wide.png'), { width: 64, height: 64, fit: 'cover' });
    for (const [x, y] of [[0, 0], [63, 63], [32, 1]] as const) assert.deepEqual(level(covering, 64, 64, x, y), [16, 32, 48]); // prettier-ignore
    // A small photo is enlarged.
    assert.deepEqual(level(await readPhoto(at('wide.png'), { width: 640, height: 320, fit: 'contain' }), 640, 320, 639, 319), [16, 32, 48]);
  });

  test('transparency lies over white, also in grey', async () => {
    await sharp({ create: { width: 64, height: 48, channels: 4, background: { r: 255, g: 0, b: 0, alpha: 0 } } })
      .png()
      .toFile(at('clear.png'));
    assert.deepEqual(level(await readPhoto(at('clear.png'), size), 64, 48, 30, 20), [255, 255, 255]);
    await writeFile(at('half.png'), png(2, 1, 8, 6, Buffer.from([0, 255, 0, 0, 128, 0, 0, 0, 255])));
    const half = await readPhoto(at('half.png'), { width: 2, height: 1, fit: 'contain' });
    near(level(half, 2, 1, 0, 0), [255, 127, 127], 1);
    assert.deepEqual(level(half, 2, 1, 1, 0), [0, 0, 0]);
    await writeFile(at('grey.png'), png(2, 1, 8, 4, Buffer.from([0, 100, 255, 100, 0])));
    const grey = await readPhoto(at('grey.png'), { width: 2, height: 1, fit: 'contain' });
    assert.deepEqual([level(grey, 2, 1, 0, 0), level(grey, 2, 1, 1, 0)], [[100, 100, 100], [255, 255, 255]]); // prettier-ignore
  });

  test('of one bit, of 16 bits, with a palette, grey', async () => {
    await writeFile(at('bit.png'), png(8, 1, 1, 0, Buffer.from([0, 0b10100000])));
    const bit = await readPhoto(at('bit.png'), { width: 8, height: 1, fit: 'contain' });
    assert.deepEqual([level(bit, 8, 1, 0, 0), level(bit, 8, 1, 1, 0)], [[255, 255, 255], [0, 0, 0]]); // prettier-ignore
    await writeFile(at('deep.png'), png(2, 1, 16, 2, Buffer.from([0, 200, 7, 100, 0, 50, 255, 255, 255, 0, 0, 128, 0])));
    const deep = await readPhoto(at('deep.png'), { width: 2, height: 1, fit: 'contain' });
    near(level(deep, 2, 1, 0, 0), [200, 100, 50], 1);
    near(level(deep, 2, 1, 1, 0), [255, 0, 128], 1);
    await writeFile(at('deepgrey.png'), png(1, 1, 16, 0, Buffer.from([0, 200, 7])));
    near(level(await readPhoto(at('deepgrey.png'), { width: 1, height: 1, fit: 'contain' }), 1, 1, 0, 0), [200, 200, 200], 1);
    await sharp({ create: { width: 64, height: 48, channels: 3, background: '#306090' } })
      .png({ palette: true })
      .toFile(at('palette.png'));
    assert.deepEqual(level(await readPhoto(at('palette.png'), size), 64, 48, 3, 3), [48, 96, 144]);
  });

  test('in Display-P3 and in CMYK becomes sRGB', async () => {
    const colour = { create: { width: 64, height: 48, channels: 3 as const, background: '#b43c28' } };
    await sharp(colour).withIccProfile('p3').png().toFile(at('p3.png'));
    near(level(await readPhoto(at('p3.png'), size), 64, 48, 3, 3), [180, 60, 40], 2);
    const untagged = await sharp(await readFile(at('p3.png')), { ignoreIcc: true })
      .raw()
      .toBuffer();
    assert.ok(Math.abs(untagged[0]! - 180) > 5, 'the P3 fixture holds other numbers than sRGB does');
    await sharp(colour).toColourspace('cmyk').withIccProfile('cmyk').jpeg({ quality: 100 }).toFile(at('cmyk.jpg'));
    assert.equal((await sharp(at('cmyk.jpg')).metadata()).space, 'cmyk');
    // The profile's own perceptual answer, which Little CMS gives in Pillow too.
    near(level(await readPhoto(at('cmyk.jpg'), size), 64, 48, 30, 20), [178, 56, 26], 1);
    await sharp(colour).withIccProfile('srgb').png().toFile(at('srgb.png'));
    assert.deepEqual(level(await readPhoto(at('srgb.png'), size), 64, 48, 3, 3), [180, 60, 40]);
  });

  test('in JPEG, WebP and AVIF; an animation gives its first frame', async () => {
    const colour = { create: { width: 640, height: 480, channels: 3 as const, background: '#4080c0' } };
    await sharp(colour).jpeg().toFile(at('a.jpg'));
    await sharp(colour).webp().toFile(at('a.webp'));
    await sharp(colour).avif().toFile(at('a.avif'));
    for (const name of ['a.jpg', 'a.webp', 'a.avif']) near(level(await readPhoto(at(name), size), 64, 48, 30, 20), [64, 128, 192], 3);
    const frames = Buffer.concat([Buffer.alloc(64 * 48 * 3, 200), Buffer.alloc(64 * 48 * 3, 30)]);
    await sharp(frames, { raw: { width: 64, height: 96, channels: 3, pageHeight: 48 } })
      .webp({ lossless: true })
      .toFile(at('moving.webp'));
    assert.deepEqual(level(await readPhoto(at('moving.webp'), size), 64, 48, 30, 20), [200, 200, 200]);
  });

  test('its name may be anything, its ending may lie', async () => {
    await sharp({ create: { width: 64, height: 48, channels: 3, background: '#4080c0' } })
      .jpeg()
      .toFile(at('a.jpg'));
    for (const name of ['-x.png', 'a\nb %d[0].svg', '写真.gif', 'http:a.jpg']) {
      await writeFile(at(name), await readFile(at('a.jpg')));
      near(level(await readPhoto(at(name), size), 64, 48, 30, 20), [64, 128, 192], 3);
    }
  });

  test('of 48 megapixels is welcome, in little memory', async () => {
    // A script of its own, so that the peak is this photo's.
    await sharp({ create: { width: 8000, height: 6000, channels: 3, background: '#4080c0' } })
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toFile(at('large.jpg'));
    await sharp({ create: { width: 8000, height: 6000, channels: 3, background: '#4080c0' } })
      .png()
      .toFile(at('large.png'));
    const photoModule = new URL('../../electron/media/photo.ts', import.meta.url).href;
    for (const name of ['large.jpg', 'large.png']) {
      const script = `
        import { readPhoto } from ${JSON.stringify(photoModule)};
        const before = process.resourceUsage().maxRSS, started = performance.now();
        const photo = await readPhoto(${JSON.stringify(at(name))}, { width: 128, height: 128, fit: 'cover' });
        console.log(JSON.stringify({ first: photo[64 * 128 + 64], seconds: (performance.now() - started) / 1000, megabytes: (process.resourceUsage().maxRSS - before) / 1024 }));`;
      const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
      assert.equal(child.status, 0, child.stderr);
      const { first, seconds, megabytes } = JSON.parse(child.stdout) as { first: number; seconds: number; megabytes: number };
      console.log(`${name}, 8000x6000: ${seconds.toFixed(2)} s, ${megabytes.toFixed(0)} MB more than before`);
      assert.ok(Math.abs(first - (64 / 255) * 2 + 1) < 0.03);
      assert.ok(megabytes < 300, `${megabytes} MB`);
    }
  });
});

describe('refused', () => {
  test('20,000 x 20,000 pixels, before any is decoded', async () => {
    await writeFile(at('bomb.png'), png(20_000, 20_000, 1, 0, Buffer.alloc(20_000 * 2501)));
    const started = performance.now();
    await assert.rejects(
      readPhoto(at('bomb.png'), size),
      sentence(/bomb\.png is 20000x20000, 400 megapixels, and at most 100 are read: make it smaller/),
    );
    assert.ok(performance.now() - started < within(5000));
  });

  test('what is no photo, whatever its name', async () => {
    const cases: readonly [string, string | Buffer, RegExp][] = [
      [
        'svg.png',
        '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
        /is an SVG drawing, not a JPEG/,
      ],
      ['text.jpg', 'hello', /is not a JPEG/],
      ['empty.png', '', /is empty/],
      ['a.gif', Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64'), /is a GIF, not/],
      ['clip.png', Buffer.from('\0\0\0 ftypisom', 'latin1'), /is a video, not/],
      ['phone.heic', Buffer.from('\0\0\0 ftypheic\0\0\0\0mif1heic', 'latin1'), /is a HEIC photo, not/],
      ['pickle.png', Buffer.from('\x80\x04\x95', 'latin1'), /is not a JPEG/],
      ['scan.tiff', Buffer.from('II*\0\x08\0\0\0', 'latin1'), /is a TIFF, not/],
      ['header.png', Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), /cut off or damaged/],
      ['header.jpg', Buffer.from('\xff\xd8\xff\xe0', 'latin1'), /cut off or damaged/],
      ['header.webp', Buffer.from('RIFF\x10\0\0\0WEBPVP8 ', 'latin1'), /cut off or damaged/],
      ['header.avif', Buffer.from('\0\0\0\x1cftypavif\0\0\0\0avifmif1', 'latin1'), /cut off or damaged/],
    ];
    for (const [name, bytes, why] of cases) {
      await writeFile(at(name), bytes);
      await assert.rejects(readPhoto(at(name), size), sentence(why), name);
    }
    await assert.rejects(readPhoto(at('absent.png'), size), sentence(/absent\.png: no such file or folder/));
    await assert.rejects(readPhoto(folder, size), sentence(/is a folder: name a photo/));
    if (process.platform === 'linux') await assert.rejects(readPhoto('/dev/zero', size), sentence(/is not a file/));
  });

  test('every truncated PNG, JPEG, WebP', async () => {
    const raw = { raw: { width: 256, height: 256, channels: 3 as const } };
    await sharp(pixels(256, 256), raw).png().toFile(at('t.png'));
    await sharp(pixels(256, 256), raw).jpeg().toFile(at('t.jpg'));
    await sharp(pixels(256, 256), raw).jpeg({ progressive: true }).toFile(at('p.jpg'));
    await sharp(pixels(256, 256), raw).webp().toFile(at('t.webp'));
    for (const name of ['t.png', 't.jpg', 'p.jpg', 't.webp']) {
      const whole = await readFile(at(name));
      await readPhoto(at(name), size);
      for (const part of [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97]) {
        await writeFile(at(`cut-${name}`), whole.subarray(0, Math.floor(whole.length * part)));
        await assert.rejects(readPhoto(at(`cut-${name}`), size), sentence(/cut off or damaged/), `${name} at ${part}`);
      }
    }
  });
});

test('previews are small JPEGs, a contact sheet shows frames in order', async () => {
  const small = await previewJpeg(pixels(128, 96), 128, 96);
  assert.deepEqual((({ width, height, format }) => ({ width, height, format }))(await sharp(small).metadata()), {
    width: 128,
    height: 96,
    format: 'jpeg',
  });
  const large = await sharp(await previewJpeg(pixels(720, 480), 720, 480)).metadata();
  assert.deepEqual([large.width, large.height], [256, 171]);
  const frames = [10, 60, 110, 160, 210].map(value => new Uint8Array(32 * 16 * 3).fill(value));
  const sheet = await sharp(await contactSheet(frames, { width: 32, height: 16, columns: 3 }))
    .raw()
    .toBuffer({ resolveWithObject: true });
  assert.deepEqual([sheet.info.width, sheet.info.height, sheet.info.channels], [3 * 36 - 4, 2 * 20 - 4, 3]);
  const seen = [0, 1, 2, 3, 4, 5].map(i => sheet.data[((Math.floor(i / 3) * 20 + 8) * sheet.info.width + (i % 3) * 36 + 16) * 3]);
  assert.deepEqual(seen, [10, 60, 110, 160, 210, 255]);
  assert.equal(sheet.data[33 * 3], 255);
});

test('a film strip shows frames in one row', async () => {
  const frames = [10, 90, 170, 250].map(value => new Uint8Array(64 * 48 * 3).fill(value));
  const strip = await sharp(await filmStrip(frames, { width: 64, height: 48 }, 24))
    .raw()
    .toBuffer({ resolveWithObject: true });
  assert.deepEqual([strip.info.width, strip.info.height], [4 * 32, 24]);
  const seen = [0, 1, 2, 3].map(i => strip.data[(12 * 128 + i * 32 + 16) * 3]!);
  near(seen, [10, 90, 170, 250], 2);
});

test('a thumbnail is an upright JPEG over white without metadata', async () => {
  await sharp({ create: { width: 800, height: 400, channels: 4, background: { r: 0, g: 0, b: 255, alpha: 0 } } })
    .withExif({ IFD0: { Artist: 'A. Person' } })
    .withMetadata({ orientation: 6 })
    .png()
    .toFile(at('thumb.png'));
  for (const from of [at('thumb.png'), await readFile(at('thumb.png'))]) {
    const jpeg = await photoThumbnail(from);
    const { width, height, format, exif } = await sharp(jpeg).metadata();
    assert.deepEqual({ width, height, format, exif }, { width: 160, height: 320, format: 'jpeg', exif: undefined });
    near([...(await sharp(jpeg).raw().toBuffer()).subarray(0, 3)], [255, 255, 255], 1);
  }
  assert.equal((await sharp(await photoThumbnail(at('thumb.png'), 2000)).metadata()).height, 800, 'a small one is not enlarged');
  await assert.rejects(photoThumbnail(at('absent.png')), sentence(/no such file/));
  await assert.rejects(photoThumbnail(Buffer.from('hello')), sentence(/the photo is not a JPEG/));
});

describe('a reference', () => {
  const mark = Buffer.from(Array.from({ length: 64 * 48 }, (_, i) => (i % 64 < 20 ? 0 : i % 64 < 40 ? 128 : 255)));
  before(async () => {
    await sharp(pixels(64, 48), { raw: { width: 64, height: 48, channels: 3 } })
      .png()
      .toFile(at('ref.png'));
    await sharp(mark, { raw: { width: 64, height: 48, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toFile(at('ref-mask.png'));
  });
  const reference = { photo: '', crop: null, mask: null, cutOut: false };
  /** The pixels of a PNG. */
  const decoded = async (png: Buffer) => sharp(png).raw().toBuffer({ resolveWithObject: true });

  test('is the photo, or its crop, pixel by pixel', async () => {
    const whole = await decoded(await prepareReference({ ...reference, photo: at('ref.png') }));
    assert.deepEqual([whole.info.width, whole.info.height, whole.info.channels], [64, 48, 3]);
    assert.deepEqual(whole.data, pixels(64, 48));
    const unused = await prepareReference({ ...reference, photo: at('ref.png'), mask: at('absent.png') });
    assert.deepEqual((await decoded(unused)).data, pixels(64, 48), 'without cutOut the mask is not used');
    const crop = { x: 10, y: 5, width: 7, height: 3 };
    const part = await decoded(await prepareReference({ ...reference, photo: at('ref.png'), crop }));
    assert.deepEqual([part.info.width, part.info.height], [7, 3]);
    const rows = [0, 1, 2].map(y => pixels(64, 48).subarray(((5 + y) * 64 + 10) * 3, ((5 + y) * 64 + 17) * 3));
    assert.deepEqual(part.data, Buffer.concat(rows));
  });

  test('is cut out onto white with soft edges, the same bytes each time', async () => {
    const order = { photo: at('ref.png'), crop: { x: 10, y: 0, width: 50, height: 48 }, mask: at('ref-mask.png'), cutOut: true };
    const png = await prepareReference(order);
    assert.deepEqual(await prepareReference(order), png);
    const { data } = await decoded(png);
    const stored = pixels(64, 48);
    for (let y = 0; y < 48; y++)
      for (let x = 0; x < 50; x++)
        for (let c = 0; c < 3; c++) {
          const [photo, a] = [stored[(y * 64 + x + 10) * 3 + c]!, mark[y * 64 + x + 10]!];
          assert.equal(data[(y * 50 + x) * 3 + c], Math.round((photo * a + 255 * (255 - a)) / 255));
        }
  });

  test('is refused in a sentence', async () => {
    const photo = at('ref.png');
    await assert.rejects(prepareReference({ ...reference, photo, cutOut: true }), sentence(/it has no mask/));
    for (const crop of [
      { x: 60, y: 0, width: 5, height: 1 },
      { x: -1, y: 0, width: 5, height: 1 },
      { x: 0, y: 0, width: 0, height: 1 },
      { x: 0.5, y: 0, width: 5, height: 1 },
      { x: 0, y: 0, width: NaN, height: 1 },
    ])
      await assert.rejects(prepareReference({ ...reference, photo, crop }), sentence(/does not lie within .*64x48/));
    await sharp({ create: { width: 64, height: 47, channels: 3, background: '#ffffff' } })
      .png()
      .toFile(at('short-mask.png'));
    await assert.rejects(
      prepareReference({ ...reference, photo, mask: at('short-mask.png'), cutOut: true }),
      sentence(/is 64x47 and its photo 64x48/),
    );
    await assert.rejects(prepareReference({ ...reference, photo: at('absent.png') }), sentence(/no such file/));
  });
});

describe('a mask', () => {
  const ramp = Buffer.from(Array.from({ length: 64 * 48 }, (_, i) => (i % 64) * 4));
  const grey = () => sharp(ramp, { raw: { width: 64, height: 48, channels: 1 } }).toColourspace('b-w');

  test('of any kind, grey or transparent, becomes 8-bit grey', async () => {
    const rgba = Buffer.alloc(64 * 48 * 4, 77);
    ramp.forEach((value, i) => (rgba[4 * i + 3] = value));
    const transparent = () => sharp(rgba, { raw: { width: 64, height: 48, channels: 4 } });
    const cases: readonly [Buffer, number][] = [
      [await grey().png().toBuffer(), 0],
      [await grey().toColourspace('srgb').png().toBuffer(), 0],
      [await grey().toColourspace('srgb').webp({ lossless: true }).toBuffer(), 0],
      [await grey().jpeg({ quality: 95 }).toBuffer(), 4],
      [await grey().toColourspace('srgb').avif({ quality: 90 }).toBuffer(), 6],
      [await transparent().png().toBuffer(), 0],
      [await transparent().webp({ lossless: true }).toBuffer(), 0],
    ];
    const hashes = new Set<string>();
    for (const [bytes, levels] of cases) {
      const mask = await checkMask(bytes, 64, 48);
      const { data, info } = await sharp(mask.bytes).toColourspace('b-w').raw().toBuffer({ resolveWithObject: true });
      assert.deepEqual([info.channels, info.width, info.height, mask.bytes[24], mask.bytes[25]], [1, 64, 48, 8, 0]); // IHDR: 8 bits, grey
      near([...data], [...ramp], levels);
      if (levels === 0) hashes.add(mask.sha256);
    }
    assert.equal(hashes.size, 1, 'the same mask has the same bytes');
  });

  test('of another size, coloured, empty or no picture is refused', async () => {
    await assert.rejects(checkMask(await grey().png().toBuffer(), 64, 50), sentence(/the mask is 64x48 and the photo 64x50/));
    const colour = sharp(pixels(64, 48), { raw: { width: 64, height: 48, channels: 3 } });
    await assert.rejects(checkMask(await colour.png().toBuffer(), 64, 48), sentence(/coloured/));
    const black = sharp({ create: { width: 64, height: 48, channels: 3, background: '#000000' } });
    await assert.rejects(checkMask(await black.png().toBuffer(), 64, 48), sentence(/marks nothing/));
    await assert.rejects(checkMask(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), 64, 48), sentence(/an SVG drawing/));
    const whole = await grey().png().toBuffer();
    await assert.rejects(checkMask(whole.subarray(0, whole.length / 2), 64, 48), sentence(/cut off or damaged/));
  });
});
