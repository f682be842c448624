/** @file readRequest and readClip against hostile MP4 files: they answer or refuse in one sentence, quickly, and never anything else. */
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describeClip, readClip, readRequest } from '../../electron/media/metadata.ts';
import { writeVideo } from '../../electron/media/video-writer.ts';

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
  const answers = [];
  for (const reader of [readRequest, readClip]) {
    const started = process.cpuUsage(); // not the clock: other tests run beside
    try {
      answers.push(await reader(file));
    } catch (error) {
      assert.ok(error instanceof Error && error.name === 'MediaError', error instanceof Error ? error.stack : String(error));
      assert.match(error.message, /^[^\n]+\.$/);
      answers.push(error.message);
    }
    const { user, system } = process.cpuUsage(started);
    slowest = Math.max(slowest, (user + system) / 1000);
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
    assert.ok(performance.now() - started < 5000);
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
    await assert.rejects(readRequest(folder), /it is not a file\.$/);
    await assert.rejects(
      readRequest(await written(Buffer.from('\x89PNG\r\n\x1a\n plus some more bytes', 'latin1'))),
      /it is not an MP4 video\.$/,
    );
  });
});
