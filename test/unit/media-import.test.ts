/** @file Photos into the library, by the real libvips and libheif: what is kept, what is dropped, what is refused, and what becomes of a decoder that misbehaves. */
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { deflateSync, crc32 } from 'node:zlib';
import sharp from 'sharp';
import { fileHash, writeDurably } from '../../electron/media/files.ts';
import { codedProfile, heifProperties, pngLength, pngParts } from '../../electron/media/heif.ts';
import { normalizePhoto, photosIn } from '../../electron/media/import.ts';
import type { StoredPicture } from '../../electron/media/photo.ts';
import { sentence } from '../support/media.ts';
import { within } from '../support/time.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'protagonist-import-'));
});
after(() => rm(folder, { recursive: true, force: true }));
const at = (name: string): string => path.join(folder, name);
const golden = (name: string): Buffer => readFileSync(new URL(`../golden/photos/${name}`, import.meta.url));
const given = (bytes: Uint8Array, name = 'photo') => normalizePhoto({ bytes, name });
const linux = process.platform === 'linux';

const red = [255, 0, 0];
const green = [0, 255, 0];
const blue = [0, 0, 255];
const white = [255, 255, 255];
/** Red top left, green top right, blue bottom left, white bottom right. */
const corners = Buffer.from(
  Array.from({ length: 48 * 64 }, (_, i) => [red, green, blue, white][(i % 64 < 32 ? 0 : 1) + (i < 24 * 64 ? 0 : 2)]!).flat(),
);
const cornersPicture = () => sharp(corners, { raw: { width: 64, height: 48, channels: 3 } });
const flat = (background: string, width = 64, height = 48) => sharp({ create: { width, height, channels: 3, background } });

/** The colour of a stored picture at x, y. */
async function colourAt(picture: StoredPicture, x: number, y: number): Promise<number[]> {
  const { data, info } = await sharp(picture.bytes).raw().toBuffer({ resolveWithObject: true });
  return [...data.subarray((y * info.width + x) * info.channels, (y * info.width + x + 1) * info.channels)];
}

/** Asserts that two colours differ by at most so many levels. */
function near(actual: readonly number[], expected: readonly number[], levels: number, what = ''): void {
  assert.ok(
    actual.length === expected.length && actual.every((value, i) => Math.abs(value - expected[i]!) <= levels),
    `${what} ${actual.join()} is not ${expected.join()}`,
  );
}

/** Asserts the colours of the four corners: top left, top right, bottom left, bottom right. */
async function assertCorners(picture: StoredPicture, expected: readonly (readonly number[])[], what: string): Promise<void> {
  const [x, y] = [picture.width - 6, picture.height - 6];
  const places = [[5, 5], [x, 5], [5, y], [x, y]] as const; // prettier-ignore
  for (const [i, place] of places.entries()) near(await colourAt(picture, place[0], place[1]), expected[i]!, 6, `${what}, corner ${i}:`);
}

/** What a Display-P3 colour is in sRGB: to light, by the matrix of both spaces' primaries, and back, cut to 0..255. */
function fromP3(colour: readonly number[]): number[] {
  const [r, g, b] = colour.map(v => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return [
    [1.2249, -0.2247, 0],
    [-0.042, 1.0419, 0],
    [-0.0196, -0.0786, 1.0979],
  ].map(row => {
    // prettier-ignore
    const light = Math.min(Math.max(row[0]! * r! + row[1]! * g! + row[2]! * b!, 0), 1);
    return Math.round(255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055));
  });
}

/** An ISO box. */
function box(type: string, ...body: readonly Uint8Array[]): Buffer {
  const payload = Buffer.concat(body);
  const header = Buffer.alloc(8);
  header.writeUInt32BE(8 + payload.length);
  header.write(type, 4, 'latin1');
  return Buffer.concat([header, payload]);
}
const irot = (quarters: number) => box('irot', Buffer.from([quarters]));
const imir = (axis: number) => box('imir', Buffer.from([axis]));
const nclx = (primaries: number, transfer: number) =>
  box('colr', Buffer.from('nclx', 'latin1'), Buffer.from([0, primaries, 0, transfer, 0, 6, 128]));

/** A HEIC or AVIF of libheif's with properties added to its primary picture. */
function withProperties(heic: Buffer, ...added: readonly Buffer[]): Buffer {
  const start = (type: string): number => heic.indexOf(type, 0, 'latin1') - 4;
  const [meta, iprp, ipco, ipma, iloc] = ['meta', 'iprp', 'ipco', 'ipma', 'iloc'].map(start) as [number, number, number, number, number];
  const primary = heic.readUInt16BE(start('pitm') + 12);
  const end = ipco + heic.readUInt32BE(ipco);
  let properties = 0;
  for (let child = ipco + 8; child < end; child += heic.readUInt32BE(child)) properties++;
  let entry = ipma + 16;
  while (heic.readUInt16BE(entry) !== primary) entry += 3 + heic[entry + 2]!;
  const after = entry + 3 + heic[entry + 2]!;
  const grown = added.reduce((sum, each) => sum + each.length, 0);
  const patched = Buffer.from(heic);
  const grow = (offset: number, bytes: number) => patched.writeUInt32BE(heic.readUInt32BE(offset) + bytes, offset);
  grow(meta, grown + added.length);
  grow(iprp, grown + added.length);
  grow(ipco, grown);
  grow(ipma, added.length);
  patched[entry + 2]! += added.length;
  assert.deepEqual([heic[iloc + 12], heic[iloc + 13]], [0x44, 0x40]); // four bytes each
  const method = heic[iloc + 8] === 0 ? 0 : 2; // bytes of the construction method
  for (let item = 0, place = iloc + 16; item < heic.readUInt16BE(iloc + 14); item++) {
    if (method === 0 || heic.readUInt16BE(place + 2) === 0) grow(place + method + 4, grown + added.length);
    place += method + 10 + 8 * heic.readUInt16BE(place + method + 8);
  }
  const links = Buffer.from(added.map((_, i) => 0x80 | (properties + 1 + i)));
  return Buffer.concat([patched.subarray(0, end), ...added, patched.subarray(end, after), links, patched.subarray(after)]);
}

/** The processes that a process has started and that still run. */
function childrenOf(pid: number): number[] {
  const text = existsSync(`/proc/${pid}/task/${pid}/children`) ? readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8') : '';
  return text.split(' ').filter(Boolean).map(Number);
}
/** Decoders that run for a process. */
const decodersOf = (pid: number): number[] =>
  childrenOf(pid).filter(child => {
    try {
      return readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('heic.ts');
    } catch {
      return false;
    }
  });
/** Waits for a decoder to run for a process. */
async function decoderOf(pid: number): Promise<number> {
  for (let i = 0; i < 1000; i++, await sleep(5)) {
    const [decoder] = decodersOf(pid);
    if (decoder !== undefined) return decoder;
  }
  throw new Error('no decoder was started');
}

describe('a photo of any kind', () => {
  test('is kept in its colours, its name without folders', async () => {
    const kinds = {
      'a.jpg': await cornersPicture().jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer(),
      'a.png': await cornersPicture().png().toBuffer(),
      'a.webp': await cornersPicture().webp({ lossless: true }).toBuffer(),
      'a.avif': await cornersPicture().avif({ quality: 90 }).toBuffer(),
      'a.heic': golden('corners.heic'),
    };
    for (const [name, bytes] of Object.entries(kinds)) {
      await writeFile(at(name), bytes);
      const fromFile = await normalizePhoto({ path: at(name) });
      assert.equal(fromFile.name, name);
      assert.equal(fromFile.mask, undefined);
      const { photo } = fromFile;
      assert.deepEqual([photo.width, photo.height, photo.extension], [64, 48, 'png']);
      assert.equal(photo.sha256, createHash('sha256').update(photo.bytes).digest('hex'));
      await assertCorners(photo, [red, green, blue, white], name);
      const pasted = await given(bytes, `../..\\x/${name}\n`);
      assert.equal(pasted.name, name);
      assert.equal(pasted.photo.sha256, photo.sha256);
    }
    assert.equal((await given(kinds['a.png'], '\u0000/')).name, 'photo');
    assert.ok((await given(kinds['a.png'], '写'.repeat(1000))).name.length <= 200);
  });

  test('is turned as EXIF says', async () => {
    const rows = [0, 1, 2, 3].map(i => [red, green, blue, white][i]!);
    // How each orientation reads the stored corners, top left to bottom right.
    const reading = [[0, 1, 2, 3], [1, 0, 3, 2], [3, 2, 1, 0], [2, 3, 0, 1], [0, 2, 1, 3], [2, 0, 3, 1], [3, 1, 2, 0], [1, 3, 0, 2]]; // prettier-ignore
    for (const [i, order] of reading.entries()) {
      const bytes = await cornersPicture()
        .withMetadata({ orientation: i + 1 })
        .jpeg({ quality: 95, chromaSubsampling: '4:4:4' })
        .toBuffer();
      const { photo } = await given(bytes);
      assert.deepEqual([photo.width, photo.height], i < 4 ? [64, 48] : [48, 64]);
      await assertCorners(
        photo,
        order.map(j => rows[j]!),
        `orientation ${i + 1}`,
      );
    }
  });

  test('in HEIC is turned and mirrored as its boxes say', async () => {
    // Anticlockwise quarters, after them the mirror: 0 exchanges top and bottom, 1 left and right.
    const turns = [[0, 1, 2, 3], [1, 3, 0, 2], [3, 2, 1, 0], [2, 0, 3, 1]] as const; // prettier-ignore
    const mirrors = [[2, 3, 0, 1], [1, 0, 3, 2]] as const; // prettier-ignore
    for (const [quarters, turn] of turns.entries())
      for (const axis of [undefined, 0, 1] as const) {
        if (axis !== undefined && quarters > 1) continue;
        const heic = withProperties(golden('corners.heic'), irot(quarters), ...(axis === undefined ? [] : [imir(axis)]));
        const { photo } = await given(heic);
        assert.deepEqual([photo.width, photo.height], quarters % 2 === 0 ? [64, 48] : [48, 64]);
        const order = axis === undefined ? turn : mirrors[axis].map(i => turn[i]);
        await assertCorners(
          photo,
          order.map(i => [red, green, blue, white][i]!),
          `irot ${quarters}, imir ${axis ?? 'none'}`,
        );
      }
  });

  test('in Display-P3 becomes sRGB: JPEG, PNG and HEIC by profile, HEIC and AVIF by number', async () => {
    const p3 = await flat('#b43c28').withIccProfile('p3').png().toBuffer();
    near(await colourAt((await given(p3)).photo, 9, 9), [180, 60, 40], 2);
    near(await colourAt((await given(await sharp(p3).keepIccProfile().jpeg({ quality: 95 }).toBuffer())).photo, 9, 9), [180, 60, 40], 2);
    near(await colourAt((await given(golden('p3.heic'))).photo, 9, 9), [180, 60, 40], 3, 'HEIC with a profile');

    const plain = golden('deep.heic');
    near(await colourAt((await given(plain)).photo, 9, 9), [200, 100, 50], 2, 'ten bits');
    near(await colourAt((await given(withProperties(plain, nclx(1, 13)))).photo, 9, 9), [200, 100, 50], 2, 'sRGB by number');
    const wide = fromP3([200, 100, 50]);
    assert.ok(wide[0]! > 208);
    near(await colourAt((await given(withProperties(plain, nclx(12, 13)))).photo, 9, 9), wide, 3, 'HEIC by number');

    const avif = await flat('#c86432').avif({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer();
    near(await colourAt((await given(avif)).photo, 9, 9), [200, 100, 50], 3);
    near(await colourAt((await given(withProperties(avif, nclx(12, 13)))).photo, 9, 9), wide, 4, 'AVIF by number');
  });

  test('in PQ and HLG keeps what is not brighter than white', async () => {
    const ramp = Buffer.from(Array.from({ length: 256 }, (_, i) => [i, i, i]).flat());
    const rows = { width: 256, height: 1, channels: 3, row: () => ramp } as const;
    const seen = async (profile: Buffer | undefined): Promise<Buffer> => {
      const png = Buffer.concat([...pngParts(rows, profile)]);
      assert.equal(png.length, pngLength(rows, profile));
      return sharp(png, { failOn: 'warning' }).toColourspace('srgb').raw().toBuffer();
    };
    const pq = await seen(codedProfile({ primaries: 9, transfer: 16 }));
    assert.deepEqual([pq[0], pq[3 * 255]], [0, 255]);
    near([pq[3 * 147]!, pq[3 * 149]!], [253, 255], 2); // 203 cd/m² is 0.5807
    near([pq[3 * 100]!], [107], 1); // 29.8 cd/m², 0.147 of white
    const hlg = await seen(codedProfile({ primaries: 9, transfer: 18 }));
    near([hlg[0]!, hlg[3 * 191]!, hlg[3 * 255]!], [0, 255, 255], 2); // 75 % is white
    const p3 = await seen(codedProfile({ primaries: 12, transfer: 13 }));
    near([...p3], [...ramp], 1); // greys stay
    assert.equal(codedProfile({ primaries: 1, transfer: 13 }), undefined);
    assert.equal(codedProfile({ primaries: 2, transfer: 2 }), undefined);
    assert.deepEqual(await seen(undefined), ramp);
  });

  test('of 16 bits, grey, with a palette becomes 8-bit RGB', async () => {
    const deep = await sharp(await flat('#c86432').toColourspace('rgb16').png().toBuffer()).metadata();
    assert.equal(deep.depth, 'ushort');
    for (const bytes of [
      await flat('#c86432').toColourspace('rgb16').png().toBuffer(),
      await flat('#c86432').png({ palette: true }).toBuffer(),
    ]) {
      const { photo } = await given(bytes);
      near(await colourAt(photo, 3, 3), [200, 100, 50], 1);
      assert.deepEqual([photo.bytes[24], photo.bytes[25]], [8, 2]); // IHDR: 8 bits, RGB
    }
    const grey = await given(await flat('#777777').toColourspace('b-w').png().toBuffer());
    assert.deepEqual([...(await colourAt(grey.photo, 3, 3))], [0x77, 0x77, 0x77]);
  });
});

describe('transparency', () => {
  /** #c85028, alpha 0 up to x = 16, a ramp to 255 at x = 48. */
  const rgba = Buffer.alloc(64 * 48 * 4);
  const ramp = (x: number): number => (x < 16 ? 0 : x < 48 ? Math.round(((x - 16) * 255) / 32) : 255);
  for (let i = 0; i < 64 * 48; i++) rgba.set([200, 80, 40, ramp(i % 64)], 4 * i);
  const picture = () => sharp(rgba, { raw: { width: 64, height: 48, channels: 4 } });

  test('becomes the mask, and the photo lies over white', async () => {
    const cases: readonly [string, Buffer, number][] = [
      ['PNG', await picture().png().toBuffer(), 0],
      ['PNG of 16 bits', await picture().toColourspace('rgb16').png().toBuffer(), 1],
      ['WebP', await picture().webp({ lossless: true, exact: true }).toBuffer(), 0],
      ['AVIF', await picture().avif({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer(), 6],
      ['HEIC', golden('alpha.heic'), 6],
    ];
    for (const [kind, bytes, levels] of cases) {
      const { photo, mask } = await given(bytes);
      assert.ok(mask, kind);
      assert.deepEqual([mask.width, mask.height, mask.extension, mask.bytes[24], mask.bytes[25]], [64, 48, 'png', 8, 0], kind); // 8 bits, grey
      assert.equal(mask.sha256, createHash('sha256').update(mask.bytes).digest('hex'));
      const grey = await sharp(mask.bytes).toColourspace('b-w').raw().toBuffer();
      for (const x of [0, 20, 32, 40, 63]) {
        near([grey[30 * 64 + x]!], [ramp(x)], levels, `${kind} mask at ${x}:`);
        const over = [200, 80, 40].map(c => Math.round((c * ramp(x) + 255 * (255 - ramp(x))) / 255));
        near(await colourAt(photo, x, 30), over, levels + 1, `${kind} at ${x}:`);
      }
    }
  });

  test('that hides nothing is no mask, that hides all is refused', async () => {
    const opaque = await given(await flat('#c85028').ensureAlpha(1).png().toBuffer());
    assert.equal(opaque.mask, undefined);
    assert.equal(opaque.photo.sha256, (await given(await flat('#c85028').png().toBuffer())).photo.sha256);
    await assert.rejects(given(await flat('#c85028').ensureAlpha(0).png().toBuffer(), 'ghost.png'), sentence(/^ghost\.png is transparent/));
  });

  test('is turned and made smaller with the photo', async () => {
    const large = await picture().resize(6000, 4500, { kernel: 'nearest' }).withMetadata({ orientation: 6 }).png().toBuffer();
    const { photo, mask } = await given(large);
    assert.deepEqual([photo.width, photo.height, mask?.width, mask?.height], [3072, 4096, 3072, 4096]);
    const grey = await sharp(mask!.bytes).toColourspace('b-w').raw().toBuffer();
    assert.deepEqual([grey[100 * 3072 + 1500], grey[4000 * 3072 + 1500]], [0, 255]);
  });
});

describe('size and form', () => {
  test('at most 4096 pixels long; PNG where it is small or came without loss, else JPEG with full chroma', async () => {
    const cases: readonly [number, number, 'png' | 'jpeg' | 'webp' | 'lossless', string, number, number][] = [
      [5000, 2500, 'jpeg', 'jpg', 4096, 2048],
      [2500, 5000, 'png', 'png', 2048, 4096], // 8 megapixels after it was made smaller
      [4097, 16, 'png', 'png', 4096, 16],
      [1920, 1080, 'jpeg', 'png', 1920, 1080],
      [2000, 1100, 'jpeg', 'jpg', 2000, 1100],
      [2000, 1100, 'webp', 'jpg', 2000, 1100],
      [2000, 1100, 'lossless', 'png', 2000, 1100],
      [3840, 2160, 'png', 'png', 3840, 2160],
      [4000, 2400, 'png', 'jpg', 4000, 2400],
    ];
    for (const [width, height, kind, extension, w, h] of cases) {
      const picture = flat('#4080c0', width, height);
      const bytes = await (kind === 'lossless' ? picture.webp({ lossless: true }) : picture[kind]()).toBuffer();
      const { photo } = await given(bytes);
      assert.deepEqual([photo.extension, photo.width, photo.height], [extension, w, h], `${kind} ${width}x${height}`);
      const { format, chromaSubsampling, width: seen } = await sharp(photo.bytes).metadata();
      assert.deepEqual([format, seen], [extension === 'jpg' ? 'jpeg' : 'png', w]);
      if (extension === 'jpg') assert.equal(chromaSubsampling, '4:4:4');
      near(await colourAt(photo, 8, 8), [64, 128, 192], 2);
    }
  });
});

describe('metadata', () => {
  const secret = /GPS|Exif|http:\/\/|SN-0042|Person|Munich|Kamera|comment|ICC|Photoshop|II\*\0|MM\0\*|tEXt|iTXt|zTXt|eXIf|tIME/;

  test('none is kept: GPS, serial number, names, thumbnails, profiles', async () => {
    const large = await flat('#4080c0', 2000, 1500)
      .withIccProfile('p3')
      .withExif({
        IFD0: { Artist: 'A. Person' },
        IFD2: { BodySerialNumber: 'SN-0042-7781' },
        IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '48/1 8/1 14/1' },
      }) // prettier-ignore
      .withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>SN-0042-7781</a></x:xmpmeta>')
      .withMetadata({ density: 300 })
      .jpeg()
      .toBuffer();
    const text = Buffer.from('tEXtAuthor\0A. Person', 'latin1');
    const chunk = Buffer.alloc(8 + text.length);
    chunk.writeUInt32BE(text.length - 4);
    chunk.set(text, 4);
    chunk.writeUInt32BE(crc32(text), 4 + text.length);
    const png = await cornersPicture().withMetadata({ density: 300 }).png().toBuffer();
    const cases = {
      'tagged.jpg': golden('tagged.jpg'),
      'tagged.heic': golden('tagged.heic'),
      'large.jpg': large,
      'text.png': Buffer.concat([png.subarray(0, 33), chunk, png.subarray(33)]),
      'xmp.webp': await cornersPicture().withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/">A. Person</x:xmpmeta>').webp().toBuffer(),
    };
    for (const [name, bytes] of Object.entries(cases)) {
      assert.match(bytes.toString('latin1'), secret, name);
      const { photo } = await given(bytes, name);
      assert.equal(photo.extension, name === 'large.jpg' ? 'jpg' : 'png');
      assert.doesNotMatch(photo.bytes.toString('latin1'), secret, name);
      const { exif, xmp, iptc, icc, orientation, comments } = await sharp(photo.bytes).metadata();
      assert.deepEqual([exif, xmp, iptc, icc, orientation, comments], [undefined, undefined, undefined, undefined, undefined, undefined]);
    }
    // A PNG of ours has pixels and one resolution for all, a JPEG of ours no application segment and no comment.
    const { photo } = await given(cases['text.png']);
    const chunks = new Set<string>();
    for (let i = 8; i < photo.bytes.length; i += 12 + photo.bytes.readUInt32BE(i)) chunks.add(photo.bytes.toString('latin1', i + 4, i + 8));
    assert.deepEqual(photo.bytes.subarray(41, 50), Buffer.from([0, 0, 3, 232, 0, 0, 3, 232, 1])); // a millimetre a pixel
    assert.deepEqual([...chunks], ['IHDR', 'pHYs', 'IDAT', 'IEND']);
    const jpeg = (await given(large)).photo.bytes;
    const segments: number[] = [];
    for (let i = 2; jpeg[i + 1] !== 0xda; i += 2 + jpeg.readUInt16BE(i + 2)) segments.push(jpeg[i + 1]!);
    assert.deepEqual(segments.filter(marker => (marker >= 0xe0 && marker <= 0xef) || marker === 0xfe), []); // prettier-ignore
  });

  test('does not change the hash, so duplicates are found', async () => {
    const tagged = golden('tagged.jpg');
    // The same scan without its application segments and comments.
    const parts = [tagged.subarray(0, 2)];
    let i = 2;
    for (; tagged[i + 1] !== 0xda; i += 2 + tagged.readUInt16BE(i + 2))
      if (!(tagged[i + 1]! >= 0xe0 && tagged[i + 1]! <= 0xef) && tagged[i + 1] !== 0xfe)
        parts.push(tagged.subarray(i, i + 2 + tagged.readUInt16BE(i + 2)));
    const bare = Buffer.concat([...parts, tagged.subarray(i)]);
    assert.ok(bare.length < tagged.length / 2);
    const { photo } = await given(tagged);
    assert.equal((await given(bare)).photo.sha256, photo.sha256);
    const density = await cornersPicture().withMetadata({ density: 300 }).png().toBuffer();
    const plain = await cornersPicture().png({ compressionLevel: 1 }).toBuffer();
    assert.notDeepEqual(density, plain);
    assert.equal((await given(density)).photo.sha256, (await given(plain)).photo.sha256);
    assert.notEqual((await given(plain)).photo.sha256, (await given(await cornersPicture().flop().png().toBuffer())).photo.sha256);
  });
});

describe('refused in a sentence', () => {
  test('what is no photo', async () => {
    const cases: readonly [string, string | Buffer, RegExp][] = [
      ['a.svg', '<svg xmlns="http://www.w3.org/2000/svg"/>', /is an SVG drawing, not a JPEG, PNG, WebP, AVIF or HEIC photo/],
      ['a.gif', 'GIF89a', /is a GIF, not/],
      ['a.pdf', '%PDF-1.7', /is a PDF, not/],
      ['a.mp4', '\0\0\0 ftypisom', /is a video, not/],
      ['a.txt', 'hello', /is not a JPEG/],
      ['empty.jpg', '', /is empty/],
      ['a.heic', '\0\0\0\x18ftypheic\0\0\0\0mif1heic', /cut off or damaged/],
      ['a.avif', '\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf', /cut off or damaged/],
    ];
    for (const [name, text, why] of cases) {
      const bytes = Buffer.from(text as string, 'latin1');
      await assert.rejects(given(bytes, name), sentence(why), name);
      await writeFile(at(name), bytes);
      await assert.rejects(normalizePhoto({ path: at(name) }), sentence(why), name);
    }
    await assert.rejects(normalizePhoto({ path: at('absent.heic') }), sentence(/no such file or folder/));
    await assert.rejects(normalizePhoto({ path: folder }), sentence(/is a folder/));
    if (linux) await assert.rejects(normalizePhoto({ path: '/dev/zero' }), sentence(/is not a file/));
  });

  test('too many bytes or pixels, before any is decoded', async () => {
    await assert.rejects(given(Buffer.alloc((256 << 20) + 1), 'big.jpg'), sentence(/big\.jpg is 268 MB large, at most 256 MiB/));
    // 20,000 x 20,000 of one bit in 50 kB.
    const head = Buffer.alloc(13);
    head.writeUInt32BE(20_000);
    head.writeUInt32BE(20_000, 4);
    head[8] = 1;
    const chunk = (type: string, body: Uint8Array): Buffer => {
      const named = Buffer.concat([Buffer.from(type, 'latin1'), body]);
      const [length, crc] = [Buffer.alloc(4), Buffer.alloc(4)];
      length.writeUInt32BE(body.length);
      crc.writeUInt32BE(crc32(named));
      return Buffer.concat([length, named, crc]);
    };
    const lines = deflateSync(Buffer.alloc(20_000 * 2501));
    const bomb = Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', head), chunk('IDAT', lines), chunk('IEND', Buffer.alloc(0))]); // prettier-ignore
    const started = performance.now();
    await assert.rejects(given(bomb, 'bomb.png'), sentence(/bomb\.png is 20000x20000, 400 megapixels, and at most 100 are read/));
    // A HEIC that claims to be large is refused by its boxes: no decoder is started.
    const heic = golden('corners.heic');
    for (let from = 0, property = heic.indexOf('ispe', from); property >= 0; property = heic.indexOf('ispe', from)) {
      from = property + 4;
      const absurd = Buffer.from(heic);
      absurd.writeUInt32BE(0xffffffff, property + 8);
      absurd.writeUInt32BE(0xfffffff0, property + 12);
      const refused = given(absurd, 'absurd.heic');
      await assert.rejects(refused, sentence(/absurd\.heic is 4294967295x4294967280, \d+ megapixels, and at most 100/));
    }
    if (linux) assert.deepEqual(decodersOf(process.pid), []);
    assert.ok(performance.now() - started < within(2000));
    // An AVIF that does.
    const avif = await cornersPicture().avif().toBuffer();
    avif.writeUInt32BE(60_000, avif.indexOf('ispe') + 8);
    avif.writeUInt32BE(60_000, avif.indexOf('ispe') + 12);
    await assert.rejects(given(avif, 'absurd.avif'), sentence(/absurd\.avif/));
  });

  test('what is cut off anywhere', async () => {
    const noisy = sharp(Buffer.from(Array.from({ length: 128 * 128 * 3 }, (_, i) => (i * 7919) % 251)), { raw: { width: 128, height: 128, channels: 3 } }); // prettier-ignore
    const whole = {
      'a.jpg': await noisy.clone().jpeg().toBuffer(),
      'a.png': await noisy.clone().png().toBuffer(),
      'a.webp': await noisy.clone().webp().toBuffer(),
      'a.avif': await noisy.clone().avif().toBuffer(),
      'a.heic': golden('tagged.heic'),
    };
    for (const [name, bytes] of Object.entries(whole))
      for (const part of [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97])
        await assert.rejects(given(bytes.subarray(0, Math.max(Math.floor(bytes.length * part), 16)), name), sentence(/^a\.\w+ /), `${name} at ${part}`); // prettier-ignore
  });

  test('or read, but never worse: damaged boxes', async () => {
    const heic = golden('corners.heic');
    let state = 3;
    const random = (below: number): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
    for (let round = 0; round < 3000; round++) {
      const hurt = Buffer.from(heic);
      for (let i = 0; i <= round % 4; i++) hurt[random(460)] = [0, 1, 255, random(256)][random(4)]!;
      const properties = heifProperties(hurt);
      if (round % 300 !== 0) continue;
      // The decoder's own answer to ten of them: a photo or a sentence.
      await given(hurt, 'hurt.heic').then(
        ({ photo }) => assert.ok(properties && photo.bytes.length > 0),
        (error: unknown) => sentence(/^hurt\.heic /)(error as Error),
      );
    }
    assert.equal(heifProperties(Buffer.alloc(0)), undefined);
    assert.equal(heifProperties(Buffer.alloc(1 << 20)), undefined);
    const many = Buffer.concat([heic.subarray(0, 28), ...Array.from({ length: 30_000 }, () => box('free'))]);
    assert.equal(heifProperties(many), undefined);
  });
});

describe('the HEIC decoder', { skip: !linux && 'looks into /proc' }, () => {
  test('is ended when it takes too long, too much memory, or hangs', async () => {
    const source = { bytes: golden('large.heic'), name: 'large.heic' };
    await assert.rejects(
      normalizePhoto(source, undefined, { seconds: 0.2, megabytes: 2000 }),
      sentence(/^large\.heic cannot be read as a photo: the HEIC decoder took longer than 0\.2 s, save the photo as a JPEG/),
    );
    await assert.rejects(
      normalizePhoto(source, undefined, { seconds: 60, megabytes: 150 }),
      sentence(/took more than 150 MB of memory, save/),
    );
    const hanging = normalizePhoto(source, undefined, { seconds: 1.5, megabytes: 2000 });
    hanging.catch(() => undefined);
    process.kill(await decoderOf(process.pid), 'SIGSTOP');
    await assert.rejects(hanging, sentence(/took longer than 1\.5 s/));
    const killed = normalizePhoto(source);
    killed.catch(() => undefined);
    process.kill(await decoderOf(process.pid), 'SIGKILL');
    await assert.rejects(killed, sentence(/the HEIC decoder ended with SIGKILL/));
    assert.deepEqual(decodersOf(process.pid), []);
  });

  test('is ended by an abort, with its reason', async () => {
    const controller = new AbortController();
    const reading = normalizePhoto({ bytes: golden('large.heic'), name: 'large.heic' }, controller.signal);
    reading.catch(() => undefined);
    const decoder = await decoderOf(process.pid);
    controller.abort(new Error('enough'));
    await assert.rejects(reading, /^Error: enough$/);
    assert.ok(!existsSync(`/proc/${decoder}`));
    await assert.rejects(normalizePhoto({ path: at('absent') }, controller.signal), /enough/);
  });

  test('runs at most twice at a time, and each photo gets its turn', async () => {
    const photos = [1, 2, 3, 4, 5].map(() => given(golden('corners.heic')));
    const failing = given(Buffer.from('hello'));
    let most = 0;
    const watch = setInterval(() => (most = Math.max(most, decodersOf(process.pid).length)), 2);
    await assert.rejects(failing, sentence(/is not a JPEG/));
    assert.equal(new Set((await Promise.all(photos)).map(({ photo }) => photo.sha256)).size, 1);
    clearInterval(watch);
    assert.ok(most > 0 && most <= 2, `${most} at a time`);
  });

  test('dies with its owner', async () => {
    const script = `
      import { normalizePhoto } from ${JSON.stringify(new URL('../../electron/media/import.ts', import.meta.url).href)};
      await normalizePhoto({ path: ${JSON.stringify(path.join(import.meta.dirname, '../golden/photos/large.heic'))} });`;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
    const decoder = await decoderOf(owner.pid!);
    await sleep(300); // in the middle of its work
    process.kill(decoder, 'SIGSTOP'); // it cannot end by itself before its owner has gone
    owner.kill('SIGKILL');
    await new Promise(resolve => owner.once('exit', resolve));
    process.kill(decoder, 'SIGCONT');
    const gone = performance.now();
    const running = (): boolean => {
      try {
        return !/^State:\s+Z/m.test(readFileSync(`/proc/${decoder}/status`, 'utf8'));
      } catch {
        return false;
      }
    };
    while (running() && performance.now() - gone < within(5000)) await sleep(5);
    const took = performance.now() - gone;
    console.log(`the decoder went ${took.toFixed(0)} ms after its owner`);
    assert.ok(took < within(1000), `${took} ms`);
  });
});

describe('photosIn', () => {
  test('finds photos of all endings in natural order, in folders too; hidden ones and links are passed over', async () => {
    const root = at('album');
    const files = ['b/2.HEIC', 'b/10.heif', 'b/c/x.AVIF', '2.jpg', '10.JPEG', '1.png', 'z.WebP', '3.jfif', '4.jpe', '5.pjpeg', '6.apng', 'b/11.HIF', 'b/12.heics', 'notes.txt', 'clip.mp4', '.hidden.jpg', '.cache/3.jpg', 'b/._2.HEIC']; // prettier-ignore
    for (const file of files) {
      await mkdir(path.dirname(path.join(root, file)), { recursive: true });
      await writeFile(path.join(root, file), 'x');
    }
    await mkdir(path.join(root, 'folder.jpg'));
    await writeFile(at('outside.jpg'), 'x');
    await symlink(at('outside.jpg'), path.join(root, 'out.jpg'));
    await symlink(folder, path.join(root, 'up'));
    await symlink(root, path.join(root, 'b', 'loop'));
    const expected = ['1.png', '2.jpg', '3.jfif', '4.jpe', '5.pjpeg', '6.apng', '10.JPEG', 'b/2.HEIC', 'b/10.heif', 'b/11.HIF', 'b/12.heics', 'b/c/x.AVIF', 'z.WebP'].map(file => path.join(root, file)); // prettier-ignore
    assert.deepEqual(await photosIn(root), expected);
    assert.deepEqual(await photosIn(at('outside.jpg')), [at('outside.jpg')]);
    await symlink(root, at('link'));
    assert.equal((await photosIn(at('link'))).length, expected.length, 'a link that is named is followed');
  });

  test('says in a sentence where there are none, or too many', async () => {
    await mkdir(at('none'));
    await writeFile(path.join(at('none'), 'a.txt'), 'x');
    await assert.rejects(photosIn(at('none')), sentence(/holds no photos/));
    await assert.rejects(photosIn(at('missing')), sentence(/no such file or folder/));
    await mkdir(at('many'));
    for (let i = 0; i < 501; i++) await writeFile(path.join(at('many'), `${i}.jpg`), '');
    await assert.rejects(photosIn(at('many')), sentence(/holds more than 500 photos/));
    await rm(path.join(at('many'), '500.jpg'));
    assert.equal((await photosIn(at('many'))).length, 500);
    const deep = path.join(at('deep'), ...Array.from({ length: 9 }, (_, i) => String(i)));
    await mkdir(deep, { recursive: true });
    await assert.rejects(photosIn(at('deep')), sentence(/more than 8 folders inside one another/));
  });
});

describe('files', () => {
  test('are written whole or not at all, with nothing left beside them', async () => {
    const room = await mkdtemp(path.join(folder, 'room-'));
    const file = path.join(room, 'ab', 'x.png');
    await writeDurably(file, Buffer.from('one'));
    await writeDurably(file, Buffer.from('two'));
    assert.equal(await readFile(file, 'utf8'), 'two');
    const payloads = Array.from({ length: 20 }, (_, i) => Buffer.alloc(100_000, i));
    await Promise.all(payloads.map((bytes, i) => writeDurably(path.join(room, `n${i}`, 'y'), bytes)));
    await Promise.all(payloads.map(bytes => writeDurably(path.join(room, 'same', 'y'), bytes)));
    const last = await readFile(path.join(room, 'same', 'y'));
    assert.ok(payloads.some(bytes => bytes.equals(last)));
    await mkdir(path.join(room, 'taken'));
    await assert.rejects(writeDurably(path.join(room, 'taken'), Buffer.from('x')), sentence(/cannot write .*taken: that is a folder/));
    await assert.rejects(writeDurably(path.join(room, 'no', 'such', 'z'), Buffer.from('x')), sentence(/no such file or folder/));
    await assert.rejects(writeDurably(path.join(file, 'z'), Buffer.from('x')), sentence(/is a file, not a folder/));
    await assert.rejects(writeDurably(path.join(room, 'n'.repeat(300)), Buffer.from('x')), sentence(/name is too long/));
    const left = (await readdir(room, { recursive: true })).filter(name => name.endsWith('.part'));
    assert.deepEqual(left, []);
  });

  test('fileHash is SHA-256 of the bytes', async () => {
    const bytes = Buffer.alloc(300_000, 'abc');
    await writeFile(at('h.bin'), bytes);
    assert.equal(await fileHash(at('h.bin')), createHash('sha256').update(bytes).digest('hex'));
    await assert.rejects(fileHash(at('nothing')), sentence(/no such file/));
  });
});
