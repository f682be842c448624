/**
 * @file A clip that remembers: its request comes back from a file that was renamed, copied by ffmpeg or scrubbed in one place, and is nowhere in one
 * that was to forget it. Against hostile MP4 files readRequest and readClip answer or refuse in one sentence, quickly, and never anything else.
 */
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { ffmpegCandidates, type Ffmpeg } from '../../electron/media/ffmpeg.ts';
import { describeClip, embedRequest, forget, readClip, readRequest, writeRequest } from '../../electron/media/metadata.ts';
import { probe } from '../../electron/media/probe.ts';
import { writeVideo } from '../../electron/media/video-writer.ts';
import { attempt } from '../support/media.ts';
import { processorTime, within } from '../support/time.ts';

let folder: string;
let whole: Buffer;
const request = { prompt: 'a toy <robot> & "friends" 浜辺 🤖', seed: 3 };

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'protagonist-metadata-'));
  async function* frames(): AsyncGenerator<Uint8Array> {
    for (let f = 0; f < 9; f++) yield await Promise.resolve(new Uint8Array(64 * 64 * 3).fill(f * 20));
  }
  await writeVideo({ out: path.join(folder, 'clip.mp4'), width: 64, height: 64, fps: 8, frames: frames(), request });
  whole = await readFile(path.join(folder, 'clip.mp4'));
});
after(() => rm(folder, { recursive: true, force: true }));

/** A box, its size field as given or true. */
function box(type: string, payload: Uint8Array, size = payload.length + 8): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(size >>> 0, 0);
  header.write(type, 4, 'latin1');
  return Buffer.concat([header, payload]);
}

async function written(bytes: Uint8Array): Promise<string> {
  const file = path.join(folder, 'hostile.mp4');
  await writeFile(file, bytes);
  return file;
}

/** Reads by each function: the answer, or the one sentence; anything else fails. */
async function read(file: string): Promise<readonly unknown[]> {
  const answers: unknown[] = [];
  for (const [i, reader] of [readRequest, readClip].entries()) {
    const took = await processorTime(50, async () => {
      answers[i] = await attempt<unknown>(() => reader(file));
    });
    slowest = Math.max(slowest, took);
  }
  return answers;
}
let slowest = 0;

describe('hostile MP4', () => {
  test('2,000 mutations', async () => {
    let state = 5;
    const random = (below: number): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
    const heads = [
      ...whole
        .toString('latin1')
        .matchAll(
          /ftyp|moov|mvhd|trak|tkhd|mdia|mdhd|hdlr|minf|stbl|stsd|avc1|avcC|colr|stsz|stco|udta|meta|ilst|\u00a9cmt|data|mdat|uuid/g,
        ),
    ].map(m => m.index - 4);
    const sizes = [0, 1, 2, 7, 8, 9, 15, 16, 17, 255, 65535, 0x7fffffff, 0x80000000, 0xffffffff];
    const [moovAt, mdatAt] = [whole.indexOf('moov') - 4, whole.indexOf('mdat') - 4];
    slowest = 0;
    let refused = 0;
    let found = 0;
    for (let n = 0; n < 2000; n++) {
      let bytes = Buffer.from(whole);
      for (let k = random(4); k >= 0; k--) {
        const kind = random(6);
        if (kind === 0) bytes[random(bytes.length)] = random(256);
        else if (kind === 1) bytes.writeUInt32BE(sizes[random(sizes.length)]!, Math.min(heads[random(heads.length)]!, bytes.length - 4));
        else if (kind === 2) bytes = bytes.subarray(0, 40 + random(bytes.length - 40));
        else if (kind === 3) bytes[moovAt + random(Math.min(mdatAt, bytes.length) - moovAt)] = random(256);
        else if (kind === 4) {
          const from = random(bytes.length);
          bytes = Buffer.concat([bytes.subarray(0, from), bytes.subarray(random(bytes.length))]);
        } else {
          const [from, to] = [heads[random(heads.length)]!, heads[random(heads.length)]!];
          bytes.copy(bytes, Math.min(to, bytes.length), Math.min(from, bytes.length), Math.min(from + random(64), bytes.length));
        }
        if (bytes.length < 48) bytes = Buffer.concat([bytes, Buffer.alloc(48)]);
      }
      const [answer] = await read(await written(bytes));
      if (typeof answer === 'string') refused++;
      else if (answer !== undefined) found++;
    }
    console.log(
      `2,000 mutations: ${found} still gave a request, ${refused} were refused, the slowest read took ${slowest.toFixed(1)} ms of CPU`,
    );
    assert.ok(found > 100 && refused > 100, 'the mutations reach both sides');
    assert.ok(slowest < 50, `${slowest} ms`);
  });

  test('sizes that lie, chains that do not end, depth', async () => {
    const ftyp = box('ftyp', Buffer.from('isom\x00\x00\x02\x00isom', 'latin1'));
    const huge = Buffer.alloc(16);
    huge.writeUInt32BE(1, 0);
    huge.write('moov', 4);
    huge.writeBigUInt64BE(0xffffffffffffffffn, 8);
    const small64 = Buffer.from(huge);
    small64.writeBigUInt64BE(3n, 8);
    let deep = box('udta', Buffer.alloc(0));
    for (let i = 0; i < 2000; i++) deep = box('meta', Buffer.concat([Buffer.alloc(4), deep]));
    const cases: readonly Buffer[] = [
      Buffer.alloc(0),
      Buffer.from('hello'),
      Buffer.alloc(4096),
      ftyp,
      Buffer.concat([ftyp, huge]),
      Buffer.concat([ftyp, small64]),
      Buffer.concat([ftyp, box('moov', Buffer.alloc(0), 4)]),
      Buffer.concat([ftyp, box('moov', Buffer.alloc(100), 0)]),
      Buffer.concat([ftyp, ...Array.from({ length: 30_000 }, () => box('free', Buffer.alloc(0)))]),
      Buffer.concat([ftyp, box('moov', Buffer.concat(Array.from({ length: 30_000 }, () => box('trak', Buffer.alloc(0)))))]),
      Buffer.concat([ftyp, box('moov', box('udta', deep))]),
      Buffer.concat([ftyp, box('moov', box('udta', box('\u00a9cmt', Buffer.from([255, 255]))))]),
      Buffer.concat([ftyp, box('moov', box('udta', box('\u00a9cmt', Buffer.from([255, 255, 0, 0, 123]))))]),
      Buffer.concat([ftyp, box('uuid', Buffer.from('be7acfcb97a942e89c71999491e3afac', 'hex'))]),
      Buffer.concat([
        ftyp,
        box(
          'uuid',
          Buffer.concat([Buffer.from('be7acfcb97a942e89c71999491e3afac', 'hex'), Buffer.from('<protagonist:request>'.repeat(50_000))]),
        ),
      ]),
    ];
    slowest = 0;
    for (const [i, bytes] of cases.entries()) {
      const [answer] = await read(await written(bytes));
      assert.ok(answer === undefined || typeof answer === 'string', `case ${i}`);
    }
    console.log(`crafted files: the slowest read took ${slowest.toFixed(1)} ms of CPU`);
    assert.ok(slowest < 50, `${slowest} ms`);
  });

  test('a box of 8 GB in a sparse file is refused without being read', async () => {
    const name = path.join(folder, 'sparse.mp4');
    const file = await open(name, 'w');
    const moov = Buffer.alloc(16);
    moov.writeUInt32BE(1, 0);
    moov.write('moov', 4);
    moov.writeBigUInt64BE(8n << 30n, 8);
    await file.write(Buffer.concat([whole.subarray(0, whole.readUInt32BE(0)), moov]));
    await file.truncate(2 ** 33 + 100);
    await file.close();
    const started = performance.now();
    await assert.rejects(readRequest(name), /is more than the 67108864 that are read\.$/);
    assert.ok(performance.now() - started < within(5000));
  });

  test('a damaged moov does not hide the XMP box, nor the other way round', async () => {
    const noMoov = Buffer.from(whole);
    noMoov.writeUInt32BE(3, noMoov.indexOf('mvhd') - 4);
    assert.deepEqual(await readRequest(await written(noMoov)), request);
    await assert.rejects(readClip(await written(noMoov)), /the MP4 is damaged: box "mvhd" claims 3 bytes\.$/);
    const noXmp = Buffer.from(whole);
    noXmp.fill(0, noXmp.lastIndexOf('uuid') + 4);
    assert.deepEqual(await readRequest(await written(noXmp)), request);
    assert.equal((await describeClip(await written(noXmp)))['frames'], 9);
  });

  test('what is no file or no MP4', async () => {
    await assert.rejects(readRequest(path.join(folder, 'absent.mp4')), /absent\.mp4: no such file or folder: check the path\.$/);
    await assert.rejects(readRequest(folder), /it is a folder, and not one of exported frames: name a video\.$/);
    await assert.rejects(readRequest(await written(Buffer.from('\xff\xd8\xff\xe0 and more', 'latin1'))), /it is not an MP4 video\.$/);
    await assert.rejects(readRequest(await written(Buffer.alloc(0))), /it is not an MP4 video\.$/);
    for (const picture of ['\x89PNG\r\n\x1a\n plus some more bytes', 'GIF89a and more bytes', 'RIFF\0\0\0\0WEBPVP8 '])
      assert.equal(await readRequest(await written(Buffer.from(picture, 'latin1'))), undefined, 'it carries none');
  });

  test('a folder of exported frames: what lies beside them may be anything', async () => {
    const frames = path.join(folder, 'frames');
    await mkdir(frames);
    const says = (text: string) => writeFile(path.join(frames, 'frames.json'), text);
    await says(JSON.stringify({ rate: [8, 1], frames: 9, request: { prompt: 'a toy' } }));
    assert.deepEqual(await readRequest(frames), { prompt: 'a toy' });
    for (const none of ['{}', '{"rate":[8,1]}', `{"request":${'{"a":'.repeat(40)}1${'}'.repeat(40)}}`]) {
      await says(none);
      assert.equal(await readRequest(frames), undefined);
    }
    for (const wrong of ['', '[', '5', '{"request":5}', '{"request":[]}']) {
      await says(wrong);
      await assert.rejects(readRequest(frames), /frames\.json: it is not what an export of frames writes\.$/);
    }
    await says(`"${'x'.repeat(3 << 20)}"`);
    await assert.rejects(readRequest(frames), /frames\.json: it has 3145730 bytes, more than are read\.$/);
  });
});

describe('a clip that remembers', () => {
  const ffmpegs: Ffmpeg[] = [];
  before(async () => {
    for await (const { found } of ffmpegCandidates()) if (typeof found !== 'string') ffmpegs.push(found);
  });
  const at = (name: string): string => path.join(folder, name);
  function run(ffmpeg: Ffmpeg, ...args: string[]): string {
    const { status, stdout, stderr } = spawnSync(ffmpeg.path, ['-nostdin', '-v', 'error', '-y', ...args], {
      encoding: 'latin1',
      timeout: 60_000,
      cwd: folder,
    });
    assert.equal(status, 0, `${args.join(' ')}: ${stderr}`);
    return stdout;
  }
  /** What every packet is, by ffmpeg: the same pictures and sound, whatever the container. */
  const packets = (name: string, ffmpeg = ffmpegs[0]!): string =>
    run(ffmpeg, '-i', name, '-map', '0', '-c', 'copy', '-f', 'framehash', '-')
      .split('\n')
      .filter(line => /^\d/.test(line))
      .map(line => line.split(',').at(-1)!.trim())
      .join();
  const long = { ...request, prompt: `${request.prompt} ${'and then 🤖 goes on, '.repeat(4000)}` }; // more than 64 KiB, which is what a QuickTime tag can state

  test('renamed, and through `ffmpeg -c copy` to MP4, MOV and MKV and on from there', async () => {
    await copyFile(at('clip.mp4'), at('holiday'));
    assert.deepEqual(await readRequest(at('holiday')), request);
    for (const ffmpeg of ffmpegs) {
      for (const type of ['mp4', 'mov', 'mkv']) {
        const copy = `copy-${ffmpeg.year}.${type}`;
        run(ffmpeg, '-i', 'clip.mp4', '-c', 'copy', copy);
        assert.deepEqual(await readRequest(at(copy)), request, copy);
        for (const next of ['mp4', 'mov', 'mkv']) {
          run(ffmpeg, '-i', copy, '-c', 'copy', `again.${next}`);
          assert.deepEqual(await readRequest(at(`again.${next}`)), request, `${copy} to ${next}`);
        }
        await copyFile(at(copy), at('holiday'));
        assert.deepEqual(await readRequest(at('holiday')), request, `${copy}, renamed`);
      }
    }
    console.log(`copied by ${ffmpegs.map(({ version }) => version).join(' and ')}`);
  });

  test('one of its two places is enough', async () => {
    const noTag = Buffer.from(whole);
    noTag.fill(0, noTag.indexOf('udta') + 4, noTag.indexOf('udta') - 4 + noTag.readUInt32BE(noTag.indexOf('udta') - 4));
    noTag.write('free', noTag.indexOf('udta'));
    assert.deepEqual(await readRequest(await written(noTag)), request);
    const noXmp = whole.subarray(0, whole.lastIndexOf('uuid') - 4);
    assert.equal(noXmp.length + whole.readUInt32BE(noXmp.length), whole.length); // it was the last box
    assert.deepEqual(await readRequest(await written(noXmp)), request);
    const neither = Buffer.from(noTag.subarray(0, noXmp.length));
    assert.equal(await readRequest(await written(neither)), undefined);
  });

  test('written into finished files of other kinds, whose packets stay as they are', async t => {
    const ffmpeg = ffmpegs[0]!;
    const sources = ['-f', 'lavfi', '-i', 'testsrc2=s=64x48:r=24:d=1', '-f', 'lavfi', '-i', 'sine=d=1'];
    // prettier-ignore
    const files: Readonly<Record<string, string[]>> = {
      'fast.mp4': ['-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-movflags', '+faststart', '-metadata', 'comment=another, longer than ours'],
      'late.mp4': ['-c:v', 'libx264', '-pix_fmt', 'yuv420p'],
      'edit.mov': ['-c:v', 'prores_ks', '-c:a', 'pcm_s16le'],
      'high.mp4': ['-c:v', 'libx265', '-x265-params', 'log-level=none', '-tag:v', 'hvc1'],
    };
    for (const [name, args] of Object.entries(files)) {
      if (!ffmpeg.encoders.includes(args[1]!)) {
        t.diagnostic(`no ${args[1]!}`);
        continue;
      }
      run(ffmpeg, ...sources, ...args, name);
      const [was, hashes] = [await probe(at(name)), packets(name)];
      await writeRequest(at(name), { prompt: 'an earlier one', seed: 77 });
      await writeRequest(at(name), long);
      const { moovFirst, tags, ...is } = await probe(at(name));
      assert.deepEqual({ ...was, moovFirst: true, tags: {} }, { ...is, moovFirst, tags: {} }, name);
      assert.deepEqual(Object.keys(tags), ['comment']);
      assert.equal(packets(name), hashes, name);
      assert.deepEqual(await readRequest(at(name)), long);
      const bytes = await readFile(at(name));
      assert.equal(bytes.includes('an earlier one'), false, 'the earlier request is gone');
      assert.equal(
        bytes.toString('latin1').split('be7acfcb97a942e8').length + bytes.toString('hex').split('be7acfcb97a942e89c71999491e3afac').length,
        3,
        'one XMP box',
      );
      const udta = bytes.indexOf('udta');
      bytes.write('free', udta);
      assert.deepEqual(await readRequest(await written(bytes)), long, 'the XMP box alone');
      for (const type of ['mp4', 'mov', 'mkv']) {
        if (type === 'mp4' && name === 'edit.mov') continue; // MP4 takes no ProRes
        run(ffmpeg, '-i', name, '-c', 'copy', `again.${type}`);
        assert.deepEqual(await readRequest(at(`again.${type}`)), long, `${name} to ${type}`);
      }
    }
  });

  test('chunk offsets of 64 bits, in several mdat boxes, of which the last reaches to the end', async () => {
    const word = (...values: number[]): Buffer =>
      Buffer.concat(values.map(value => Buffer.from([value >>> 24, value >>> 16, value >>> 8, value])));
    const ftyp = box('ftyp', Buffer.from('isom\x00\x00\x02\x00isom', 'latin1'));
    const build = (offsets: readonly bigint[]): Buffer => {
      const table = Buffer.alloc(8 + 8 * offsets.length);
      table.writeUInt32BE(offsets.length, 4);
      offsets.forEach((offset, i) => table.writeBigUInt64BE(offset, 8 + 8 * i));
      const short = box('stco', word(0, 1, Number(offsets[0])));
      const trak = (inside: Buffer): Buffer => box('trak', box('mdia', box('minf', box('stbl', inside))));
      return Buffer.concat([
        ftyp,
        box('free', Buffer.alloc(20)),
        box('mdat', Buffer.from('first chunk second chunk')),
        box('moov', Buffer.concat([box('mvhd', Buffer.alloc(100)), trak(box('co64', table)), trak(short), box('udta', Buffer.alloc(9))])),
        box('wide', Buffer.alloc(0)),
        box('mdat', Buffer.from('third chunk'), 0),
      ]);
    };
    const places = (bytes: Buffer): bigint[] => ['first', 'second', 'third'].map(name => BigInt(bytes.indexOf(`${name} chunk`)));
    const made = build(places(build([0n, 0n, 0n])));
    const to = await open(at('wide.mp4'), 'w+');
    try {
      await embedRequest(await written(made), to, request);
    } finally {
      await to.close();
    }
    const bytes = await readFile(at('wide.mp4'));
    const co64 = bytes.indexOf('co64');
    assert.deepEqual(
      [0, 1, 2].map(i => bytes.readBigUInt64BE(co64 + 12 + 8 * i)),
      places(bytes),
    );
    assert.equal(bytes.readUInt32BE(bytes.indexOf('stco') + 12), bytes.indexOf('first chunk'));
    assert.deepEqual(await readRequest(at('wide.mp4')), request);
    assert.equal(
      bytes.readUInt32BE(bytes.lastIndexOf('mdat') - 4),
      8 + 'third chunk'.length,
      'the last mdat does not swallow the box behind it',
    );
  });

  test('what cannot be written leaves the file as it was, and nothing beside it', async () => {
    const ffmpeg = ffmpegs[0]!;
    run(ffmpeg, '-i', 'clip.mp4', '-c', 'copy', '-movflags', '+frag_keyframe+empty_moov', 'fragments.mp4');
    await copyFile(at('clip.mp4'), at('large.mp4'));
    const before = await readFile(at('fragments.mp4'));
    await assert.rejects(writeRequest(at('fragments.mp4'), request), /is fragmented: make a plain one/);
    await assert.rejects(writeRequest(at('large.mp4'), { prompt: 'x'.repeat(1 << 20) }), /at most 1048576: shorten the prompt\.$/);
    assert.deepEqual(await readFile(at('fragments.mp4')), before);
    assert.deepEqual(await readFile(at('large.mp4')), whole);
    assert.deepEqual(
      (await readdir(folder)).filter(name => name.endsWith('.part')),
      [],
    );
  });

  test('a text that is no request of ours, too deep or too large, is none', async () => {
    const deep = `{"protagonist":1,"request":{"a":${'['.repeat(5000)}${']'.repeat(5000)}}}`;
    const none = [
      'hello',
      '{"protagonist":1}',
      '{"protagonist":2,"request":{}}',
      '{"protagonist":1,"request":[]}',
      '{"protagonist":1,"request":null}',
      deep,
      `{"protagonist":1,"request":{"a":"${'x'.repeat(1 << 20)}"}}`,
    ];
    for (const comment of none) {
      const text = Buffer.concat([Buffer.from([0, 0, 0, 1, 0, 0, 0, 0]), Buffer.from(comment)]);
      const udta = box('udta', box('meta', Buffer.concat([Buffer.alloc(4), box('ilst', box('\u00a9cmt', box('data', text)))])));
      const file = await written(Buffer.concat([box('ftyp', Buffer.from('isom\x00\x00\x02\x00isom', 'latin1')), box('moov', udta)]));
      assert.equal(await readRequest(file), undefined, comment.slice(0, 60));
    }
  });
});

describe('a clip that forgets', () => {
  const secret = { prompt: 'Zebedee <the> & "çarved" fox 浜辺 🦊 leaps', name: 'Quillfeather-portrait', seed: 741852963041 };
  const at = (name: string): string => path.join(folder, name);

  /** Every way in which a text may lie in a file: encodings, escapes, and base64 at each of its three alignments. */
  function traces(text: string): Buffer[] {
    const utf16 = Buffer.from(text, 'utf16le');
    const escaped = text.replace(/[\u0080-\uffff]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
    const bare = [
      text,
      escaped,
      encodeURIComponent(text),
      encodeURIComponent(text).toLowerCase(),
      encodeURI(text),
      JSON.stringify(text).slice(1, -1),
    ];
    const xml = text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
    const found = [...bare, xml, xml.replace(/"/g, '&quot;'), Buffer.from(text).toString('hex')].map(each => Buffer.from(each));
    found.push(utf16, Buffer.from(utf16).swap16(), Buffer.from(text, 'latin1'));
    for (const source of [Buffer.from(text), utf16])
      for (let shift = 0; shift < 3; shift++) {
        const all = Buffer.concat([Buffer.alloc(shift), source])
          .toString('base64')
          .replace(/=+$/, '');
        found.push(Buffer.from(all.slice(shift === 0 ? 0 : 4, -2)));
      }
    return found;
  }
  /** What of the secret a file's bytes hold: whole, or any of its longer words. */
  function held(bytes: Buffer): string[] {
    const seed = Buffer.alloc(24);
    seed.writeBigUInt64BE(BigInt(secret.seed), 0);
    seed.writeBigUInt64LE(BigInt(secret.seed), 8);
    seed.writeDoubleLE(secret.seed, 16);
    const words = [...secret.prompt.split(/[^\p{L}]+/u).filter(word => word.length > 5), ...secret.name.split('-')];
    const texts = [secret.prompt, secret.name, String(secret.seed), ...words];
    return [
      ...texts.filter(text => traces(text).some(trace => bytes.includes(trace))),
      ...[0, 8, 16].filter(i => bytes.includes(seed.subarray(i, i + 8))).map(i => `the seed's bytes (${i})`),
    ];
  }

  test('prompt, name and seed are nowhere in the bytes, and the pictures are the same', async t => {
    let ffmpeg: Ffmpeg | undefined;
    for await (const { found } of ffmpegCandidates()) if (typeof found !== 'string') ffmpeg ??= found;
    const run = (...args: string[]): string => {
      const { status, stdout, stderr } = spawnSync(ffmpeg!.path, ['-nostdin', '-v', 'error', '-y', ...args], {
        encoding: 'latin1',
        timeout: 60_000,
        cwd: folder,
      });
      assert.equal(status, 0, `${args.join(' ')}: ${stderr}`);
      return stdout;
    };
    const packets = (name: string): string =>
      run('-i', name, '-map', '0', '-c', 'copy', '-f', 'framehash', '-')
        .split('\n')
        .filter(line => /^\d/.test(line))
        .join('\n');
    async function* frames(): AsyncGenerator<Uint8Array> {
      for (let f = 0; f < 9; f++) yield await Promise.resolve(new Uint8Array(64 * 64 * 3).fill(f * 20));
    }
    const asked = { prompt: secret.prompt, seed: secret.seed, referenceImages: [{ name: secret.name }] };
    await writeVideo({ out: at('told.mp4'), width: 64, height: 64, fps: 8, frames: frames(), request: asked });
    await writeFile(at('cover.txt'), JSON.stringify(secret));
    await writeFile(at('meta.txt'), `;FFMETADATA1\ncomment=${JSON.stringify(asked).replace(/[=;#\\]/g, '\\$&')}\ntitle=${secret.name}\n`);
    const text = ['-i', 'meta.txt', '-map_metadata', '1'];
    const streams = ['-metadata:s:v', `title=${secret.name}`, '-metadata:s:v', `handler_name=${secret.name}`];
    run('-i', 'told.mp4', ...text, ...streams, '-map', '0', '-c', 'copy', 'told.mov');
    run('-i', 'told.mp4', ...text, ...streams, '-map', '0', '-c', 'copy', '-movflags', 'use_metadata_tags', 'keys.mp4');
    run('-i', 'told.mp4', ...text, ...streams, '-map', '0', '-c', 'copy', '-movflags', '+frag_keyframe+empty_moov', 'pieces.mp4');
    run(
      '-i',
      'told.mp4',
      ...text,
      ...streams,
      '-map',
      '0',
      '-c',
      'copy',
      '-attach',
      'cover.txt',
      '-metadata:s:t',
      'mimetype=text/plain',
      'told.mkv',
    );
    run('-i', 'told.mp4', ...text, ...streams, '-map', '0', '-c', 'copy', '-movflags', 'use_metadata_tags', 'keys.mov');
    const files = ['told.mp4', 'told.mov', 'keys.mp4', 'keys.mov', 'pieces.mp4', 'told.mkv'];
    if (ffmpeg!.encoders.includes('libvpx-vp9')) {
      run('-i', 'told.mp4', ...text, ...streams, '-c:v', 'libvpx-vp9', 'told.webm');
      files.push('told.webm');
    } else t.diagnostic('no libvpx-vp9');
    run('-i', 'told.mp4', 'plain.gif');
    const gif = await readFile(at('plain.gif'));
    const said = Buffer.from(JSON.stringify(secret)).subarray(0, 255);
    const comment = Buffer.concat([Buffer.from([0x21, 0xfe, said.length]), said, Buffer.from([0])]);
    await writeFile(at('told.gif'), Buffer.concat([gif.subarray(0, -1), comment, Buffer.from([0x3b]), said]));
    const frame = sharp({ create: { width: 40, height: 30, channels: 3, background: '#248' } });
    const exif = { IFD0: { ImageDescription: JSON.stringify(secret) } };
    const xmp = `<x:xmpmeta xmlns:x="adobe:ns:meta/">${JSON.stringify(secret)}</x:xmpmeta>`;
    await writeFile(at('told.webp'), await frame.clone().withExif(exif).withXmp(xmp).webp().toBuffer());
    await writeFile(at('told.png'), await frame.clone().withExif(exif).withXmp(xmp).png().toBuffer());
    files.push('told.gif', 'told.webp', 'told.png');

    for (const name of files) {
      const before = await readFile(at(name));
      assert.ok(held(before).length >= 3, `${name} holds the secret: ${held(before).join()}`);
      const was = await probe(at(name));
      await forget(at(name), at(`quiet-${name}`));
      assert.deepEqual(await readFile(at(name)), before, 'the one that remembers stays');
      const bytes = await readFile(at(`quiet-${name}`));
      assert.deepEqual(held(bytes), [], name);
      const is = await probe(at(`quiet-${name}`));
      assert.deepEqual({ ...is, tags: {} }, { ...was, tags: {} }, name);
      assert.deepEqual(is.tags, {}, name);
      if (!/png|webp/.test(name)) {
        const shown = (file: string) =>
          name === 'told.mkv'
            ? run('-i', file, '-map', '0:v', '-c', 'copy', '-f', 'framehash', '-')
                .split('\n')
                .filter(line => /^\d/.test(line))
                .join('\n')
            : packets(file);
        assert.equal(shown(`quiet-${name}`), shown(name), name);
        run('-xerror', '-err_detect', 'crccheck', '-i', `quiet-${name}`, '-f', 'null', '-');
      } else {
        const pixels = (file: string) => sharp(at(file)).raw().toBuffer();
        assert.deepEqual(await pixels(`quiet-${name}`), await pixels(name));
      }
      await writeFile(at(`loud-${name}`), before);
      await forget(at(name)); // in its own place
      assert.deepEqual(await readFile(at(name)), bytes);
      t.diagnostic(`${name}: ${before.length} bytes, ${bytes.length} without`);
    }
  });

  test('damaged files of every kind: forgotten, read or refused in one sentence', async () => {
    let state = 11;
    const random = (below: number): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
    let [done, refused, slow] = [0, 0, 0];
    for (const name of (await readdir(folder)).filter(name => name.startsWith('loud-'))) {
      const loud = await readFile(at(name));
      for (let n = 0; n < 60; n++) {
        const bytes = Buffer.from(loud);
        for (let k = random(3); k >= 0; k--) {
          const place = random(bytes.length - 4);
          if (random(2)) bytes[place] = random(256);
          else bytes.writeUInt32BE([0, 1, 8, 0x7fffffff, 0xffffffff][random(5)]!, place);
        }
        const damaged = random(5) ? bytes : bytes.subarray(0, random(bytes.length));
        for (const act of [readRequest, forget, (file: string) => writeRequest(file, request)]) {
          let [file, refusal]: [string, unknown] = ['', undefined];
          const took = await processorTime(
            300,
            async () => {
              refusal = await attempt(async () => {
                await act(file);
              });
            },
            async () => (file = await written(damaged)),
          );
          if (refusal === undefined) done++;
          else refused++;
          slow = Math.max(slow, took);
        }
      }
    }
    console.log(`damaged files: ${done} done, ${refused} refused, the slowest took ${slow.toFixed(1)} ms of CPU`);
    assert.ok(done > 200 && refused > 200);
    assert.ok(slow < 300, `${slow} ms`);
    assert.deepEqual(
      (await readdir(folder)).filter(name => name.endsWith('.part')),
      [],
    );
  });

  test('a track of text is refused, since nobody knows what it says', async () => {
    const moov = whole.indexOf('moov');
    const bytes = Buffer.from(whole);
    bytes.write('text', bytes.indexOf('vide', moov));
    await assert.rejects(forget(await written(bytes)), /no video track/);
    const twice = Buffer.from(whole);
    const size = twice.readUInt32BE(twice.indexOf('trak') - 4);
    const trak = Buffer.from(twice.subarray(twice.indexOf('trak') - 4, twice.indexOf('trak') - 4 + size));
    trak.write('text', trak.indexOf('vide'));
    const end = moov - 4 + twice.readUInt32BE(moov - 4);
    twice.writeUInt32BE(twice.readUInt32BE(moov - 4) + size, moov - 4);
    await assert.rejects(
      forget(await written(Buffer.concat([twice.subarray(0, end), trak, twice.subarray(end)]))),
      /a track of another kind \("text"\)/,
    );
  });
});
