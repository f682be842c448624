/** @file probe against ffmpeg on real files of every kind, and against damaged and hostile ones: an answer or one sentence, quickly, in little memory. */
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { findFfmpeg, type Ffmpeg } from '../../electron/media/ffmpeg.ts';
import { probe, type Probed } from '../../electron/media/probe.ts';
import { attempt } from '../support/media.ts';
import { processorTime } from '../support/time.ts';

let folder: string;
let ffmpeg: Ffmpeg;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'protagonist-probe-'));
  ffmpeg = await findFfmpeg();
});
after(() => rm(folder, { recursive: true, force: true }));

function run(args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(ffmpeg.path, ['-nostdin', '-v', 'error', '-y', ...args], {
    encoding: 'latin1',
    timeout: 60_000,
    cwd: folder,
  });
  assert.equal(status, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
}

const bt709 = { primaries: 'bt709', transfer: 'bt709', matrix: 'bt709', fullRange: false };
const tagged = ['-color_primaries', 'bt709', '-color_trc', 'bt709', '-colorspace', 'bt709', '-color_range', 'tv'];
const untagged = { primaries: 'unknown', transfer: 'unknown', matrix: 'unknown', fullRange: false };
/** The source has 13 frames of 24000/1001 a second at 64x48, or what is said. */
interface Case {
  readonly file: string;
  readonly encoder: string;
  readonly args: readonly string[];
  readonly source?: string;
  readonly from?: string;
  readonly expected: Partial<Probed>;
}
const h264 = ['-c:v', 'libx264', '-pix_fmt', 'yuv420p'];
// prettier-ignore
const cases: readonly Case[] = [
  { file: 'h264.mp4', encoder: 'libx264', args: [...h264, ...tagged, '-movflags', '+faststart', '-metadata', 'comment=a remark é', '-metadata', 'title=T'],
    expected: { container: 'mp4', codec: 'avc1', profile: 'High', bitDepth: 8, colour: bt709, streamColour: bt709, moovFirst: true } },
  { file: 'late.mp4', encoder: 'libx264', args: [...h264], expected: { container: 'mp4', moovFirst: false } },
  { file: 'h264.mov', encoder: 'libx264', args: [...h264, ...tagged, '-metadata', 'comment=a remark é'], expected: { container: 'mov', codec: 'avc1', colour: bt709 } },
  { file: 'keys.mov', encoder: 'libx264', args: [...h264, '-metadata', 'comment=a remark é', '-movflags', 'use_metadata_tags'], expected: { container: 'mov' } },
  { file: 'h264.mkv', encoder: 'libx264', args: [...h264, ...tagged, '-metadata', 'comment=a remark é'],
    expected: { container: 'matroska', codec: 'V_MPEG4/ISO/AVC', profile: 'High', bitDepth: 8, colour: bt709, streamColour: bt709 } },
  { file: 'fragments.mp4', encoder: 'libx264', args: [...h264, '-g', '4', '-movflags', '+frag_keyframe+empty_moov'], expected: { container: 'mp4', codec: 'avc1', moovFirst: true } },
  { file: 'ten.mp4', encoder: 'libx264', args: ['-c:v', 'libx264', '-pix_fmt', 'yuv422p10le', ...tagged], expected: { profile: 'High 4:2:2', bitDepth: 10, streamColour: bt709 } },
  { file: 'base.mp4', encoder: 'libx264', args: [...h264, '-profile:v', 'baseline'], expected: { profile: 'Constrained Baseline', bitDepth: 8 } },
  { file: 'hevc.mp4', encoder: 'libx265', args: ['-c:v', 'libx265', '-x265-params', 'log-level=none', '-pix_fmt', 'yuv420p10le', '-tag:v', 'hvc1', ...tagged],
    expected: { container: 'mp4', codec: 'hvc1', profile: 'Main 10', bitDepth: 10, colour: bt709, streamColour: bt709 } },
  { file: 'hevc.mkv', encoder: 'libx265', args: ['-c:v', 'libx265', '-x265-params', 'log-level=none', '-pix_fmt', 'yuv420p', ...tagged],
    expected: { codec: 'V_MPEGH/ISO/HEVC', profile: 'Main', bitDepth: 8, colour: bt709, streamColour: bt709 } },
  { file: 'av1.mp4', encoder: 'libaom-av1', args: ['-c:v', 'libaom-av1', '-cpu-used', '8', '-pix_fmt', 'yuv420p10le', ...tagged],
    expected: { codec: 'av01', profile: 'Main', bitDepth: 10, colour: bt709, streamColour: bt709 } },
  { file: 'svt.mp4', encoder: 'libsvtav1', source: 'testsrc2=s=64x64:r=24000/1001:d=1', args: ['-c:v', 'libsvtav1', '-preset', '10', '-pix_fmt', 'yuv420p10le', ...tagged], expected: { codec: 'av01', bitDepth: 10, colour: bt709 } },
  { file: 'av1.mkv', encoder: 'libaom-av1', args: ['-c:v', 'libaom-av1', '-cpu-used', '8', '-pix_fmt', 'yuv420p'], expected: { codec: 'V_AV1', bitDepth: 8 } },
  { file: 'prores.mov', encoder: 'prores_ks', args: ['-c:v', 'prores_ks', '-profile:v', '3', '-pix_fmt', 'yuv422p10le', '-vf', 'setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv'],
    expected: { container: 'mov', codec: 'apch', profile: 'HQ', bitDepth: 10, colour: bt709, streamColour: bt709 } },
  { file: 'bare.mov', encoder: 'prores_ks', args: ['-c:v', 'prores_ks', '-profile:v', '4', '-pix_fmt', 'yuv444p10le'], expected: { codec: 'ap4h', profile: '4444', bitDepth: 12, streamColour: untagged } },
  { file: 'prores.mkv', encoder: 'prores_ks', args: ['-c:v', 'prores_ks', '-profile:v', '3', '-pix_fmt', 'yuv422p10le'], expected: { codec: 'V_PRORES', profile: 'HQ', bitDepth: 10 } },
  { file: 'dnxhr.mov', encoder: 'dnxhd', source: 'testsrc2=s=256x120:r=24000/1001:d=1', args: ['-c:v', 'dnxhd', '-profile:v', 'dnxhr_hqx', '-pix_fmt', 'yuv422p10le', ...tagged],
    expected: { container: 'mov', codec: 'AVdh', profile: 'DNXHR HQX', bitDepth: 10, colour: bt709 } },
  { file: 'dnxhr.mkv', encoder: 'dnxhd', from: 'dnxhr.mov', args: ['-c', 'copy'], expected: { container: 'matroska', codec: 'AVdh', profile: 'DNXHR HQX', bitDepth: 10 } },
  { file: 'ffv1.mkv', encoder: 'ffv1', args: ['-c:v', 'ffv1', '-level', '3', '-pix_fmt', 'bgr0'], expected: { container: 'matroska', bitDepth: 8 } },
  { file: 'ffv1-10.mkv', encoder: 'ffv1', args: ['-c:v', 'ffv1', '-level', '3', '-pix_fmt', 'yuv444p10le', ...tagged], expected: { bitDepth: 10, colour: bt709 } },
  { file: 'ffv1-1.mkv', encoder: 'ffv1', args: ['-c:v', 'ffv1', '-level', '1', '-pix_fmt', 'yuv420p'], expected: { bitDepth: 8 } },
  { file: 'vp9.webm', encoder: 'libvpx-vp9', args: ['-c:v', 'libvpx-vp9', '-pix_fmt', 'yuv420p', ...tagged, '-metadata', 'comment=a remark é'],
    expected: { container: 'webm', codec: 'V_VP9', profile: 'Profile 0', bitDepth: 8, colour: bt709 } },
  { file: 'vp9.mp4', encoder: 'libvpx-vp9', args: ['-c:v', 'libvpx-vp9', '-pix_fmt', 'yuv420p', ...tagged], expected: { codec: 'vp09', profile: 'Profile 0', colour: bt709 } },
  { file: 'live.webm', encoder: 'libvpx-vp9', args: ['-c:v', 'libvpx-vp9', '-pix_fmt', 'yuv420p10le', '-profile:v', '2', '-f', 'webm', '-live', '1', '-cluster_time_limit', '100'],
    expected: { codec: 'V_VP9', profile: 'Profile 2', bitDepth: 10 } },
  { file: 'slow.mp4', encoder: 'libx264', source: 'testsrc2=s=64x48:r=8:d=2', args: h264, expected: { rate: [8, 1], frames: 13, seconds: 13 / 8 } },
  { file: 'sound.mkv', encoder: 'libx264', source: 'testsrc2=s=64x48:r=30000/1001:d=1', args: ['-f', 'lavfi', '-i', 'sine=d=1', ...h264, '-c:a', 'flac', '-map', '1', '-map', '0'], expected: { codec: 'V_MPEG4/ISO/AVC', rate: [30000, 1001] } },
  { file: 'odd.gif', encoder: 'gif', source: 'testsrc2=s=63x47:r=10:d=2', args: [], expected: { container: 'gif', codec: 'gif', rate: [10, 1], seconds: 1.3 } },
  { file: 'gif24.gif', encoder: 'gif', source: 'testsrc2=s=64x48:r=24:d=2', args: [], expected: { container: 'gif', rate: [24, 1] } },
];

describe('probe agrees with ffmpeg', () => {
  for (const { file, encoder, args, source = 'testsrc2=s=64x48:r=24000/1001:d=1', from, expected } of cases)
    test(file, async t => {
      if (!ffmpeg.encoders.includes(encoder)) return t.skip(`${ffmpeg.version} has no ${encoder}`);
      const rest = args.filter(arg => !args.includes('lavfi') || !['-f', 'lavfi', '-i', 'sine=d=1'].includes(arg));
      const sound = args.includes('lavfi') ? ['-f', 'lavfi', '-i', 'sine=d=1'] : [];
      run([...(from ? ['-i', from] : ['-f', 'lavfi', '-i', source]), ...sound, ...(from ? [] : ['-frames:v', '13']), ...rest, file]);
      const found = await probe(path.join(folder, file));
      for (const [key, value] of Object.entries(expected)) assert.deepEqual(found[key as keyof Probed], value, key);

      const said = run(['-i', file, '-map', '0:v:0', '-vsync', 'passthrough', '-f', 'framemd5', '-']);
      assert.equal(found.frames, said.split('\n').filter(line => /^0,/.test(line)).length, 'frames');
      const size = /^#dimensions 0: (\d+)x(\d+)$/m.exec(said)!;
      assert.deepEqual([found.width, found.height], [Number(size[1]), Number(size[2])], 'size');
      const rate = spawnSync(ffmpeg.path, ['-nostdin', '-i', file], { cwd: folder, encoding: 'latin1' });
      const fps = Number(/([\d.]+) fps/.exec(rate.stderr)?.[1]);
      assert.ok(
        Math.abs(found.rate[0] / found.rate[1] - fps) < (file.endsWith('.gif') ? 0.1 : 0.006),
        `rate ${found.rate.join('/')}, ffmpeg says ${fps}`,
      );
      if (args.includes('comment=a remark é')) assert.equal(found.tags['comment'], 'a remark é');
    });

  test('animated and still WebP, with libwebp as the judge', async () => {
    const frames = await Promise.all(
      Array.from({ length: 5 }, (_, i) =>
        sharp({ create: { width: 40, height: 30, channels: 3, background: { r: i * 40, g: 20, b: 90 } } })
          .png()
          .toBuffer(),
      ),
    );
    const animated = await sharp(frames, { join: { animated: true } })
      .webp({ delay: frames.map(() => 125), loop: 0 })
      .toBuffer();
    await writeFile(path.join(folder, 'a.webp'), animated);
    const { pages } = await sharp(animated, { animated: true }).metadata();
    const found = await probe(path.join(folder, 'a.webp'));
    assert.deepEqual(
      [found.container, found.codec, found.width, found.height, found.frames, found.rate, found.seconds],
      ['webp', 'VP8', 40, 30, pages, [8, 1], 0.625],
    );
    for (const lossless of [true, false]) {
      await writeFile(path.join(folder, 's.webp'), await sharp(frames[0]).webp({ lossless }).toBuffer());
      const still = await probe(path.join(folder, 's.webp'));
      assert.deepEqual([still.codec, still.width, still.height, still.frames, still.rate], [lossless ? 'VP8L' : 'VP8', 40, 30, 1, [0, 1]]);
    }
  });

  test('a PNG, and a folder of PNG frames of one size', async () => {
    const frames = path.join(folder, 'frames');
    await mkdir(frames);
    run(['-f', 'lavfi', '-i', 'testsrc2=s=64x48:r=10:d=1', '-pix_fmt', 'rgb48be', 'frames/%05d.png']);
    const expected = { container: 'png', codec: 'png', bitDepth: 16, width: 64, height: 48, rate: [0, 1], frames: 10, seconds: 0 };
    const { tags, ...found } = await probe(frames);
    assert.deepEqual({ ...found, colour: undefined }, { ...expected, colour: undefined });
    assert.deepEqual(tags, {});
    assert.equal((await probe(path.join(frames, '00003.png'))).frames, 1);
    run(['-f', 'lavfi', '-i', 'testsrc2=s=32x48:r=10:d=0.1', '-frames:v', '1', 'frames/00011.png']);
    await assert.rejects(probe(frames), /00011\.png: it is 32x48 of 8 bits, 00001\.png is 64x48 of 16\.$/);
    await mkdir(path.join(folder, 'empty'));
    await assert.rejects(probe(path.join(folder, 'empty')), /holds no PNG frames/);
  });

  test('what is no video, and a name that is none', async () => {
    await writeFile(path.join(folder, 'text.mp4'), '#EXTM3U\nfile:///etc/passwd\n');
    await assert.rejects(probe(path.join(folder, 'text.mp4')), /it is no video that is known here: name an MP4/);
    await assert.rejects(probe(path.join(folder, 'absent.mkv')), /absent\.mkv: no such file or folder: check the path\.$/);
  });
});

/** The sentence by which a file is refused. */
async function refusal(file: string, most?: number): Promise<string> {
  const said = await judge(file, most);
  return typeof said === 'string' ? said : 'it was answered';
}

/** Probes; the answer, or the sentence. Anything else fails, and so does more CPU time than `most` ms. */
async function judge(file: string, most = 200): Promise<Probed | string> {
  let said: Probed | string = '';
  const spent = await processorTime(most, async () => {
    said = await attempt(() => probe(file));
    if (typeof said === 'string') return;
    assert.ok(said.width > 0 && said.height > 0 && said.frames > 0 && Number.isFinite(said.seconds) && said.rate.every(Number.isFinite));
  });
  slowest = Math.max(slowest, spent);
  assert.ok(spent < most, `${spent} ms`);
  return said;
}
let slowest = 0;

describe('hostile files', () => {
  test('mutations of a file of each kind', async t => {
    let state = 7;
    const random = (below: number): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
    const sizes = [0, 1, 2, 7, 8, 15, 16, 127, 255, 65535, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff];
    const hostile = path.join(folder, 'hostile.bin');
    // prettier-ignore
    const kinds = ['h264.mp4', 'fragments.mp4', 'hevc.mp4', 'av1.mp4', 'prores.mov', 'dnxhr.mov', 'keys.mov', 'h264.mkv', 'ffv1-10.mkv', 'vp9.webm', 'live.webm', 'odd.gif', 'a.webp', 'frames/00001.png'];
    slowest = 0;
    let [answered, refused] = [0, 0];
    for (const kind of kinds) {
      const whole = await readFile(path.join(folder, kind)).catch(() => undefined);
      if (!whole) {
        t.diagnostic(`no ${kind} here`);
        continue;
      }
      for (let n = 0; n < 250; n++) {
        let bytes: Buffer = Buffer.from(whole);
        for (let k = random(4); k >= 0; k--) {
          const how = random(5);
          const near = random(2) ? random(Math.min(bytes.length, 1500)) : Math.max(0, bytes.length - 1 - random(1500)); // headers lie at both ends
          if (how === 0) bytes[near] = random(256);
          else if (how === 1 && bytes.length > near + 4) bytes.writeUInt32BE(sizes[random(sizes.length)]!, near);
          else if (how === 2) bytes = bytes.subarray(0, 16 + random(Math.max(bytes.length - 16, 1)));
          else if (how === 3) bytes[near] = bytes[near]! ^ (1 << random(8));
          else bytes = Buffer.concat([bytes.subarray(0, near), bytes.subarray(random(bytes.length))]);
        }
        await writeFile(hostile, bytes);
        if (typeof (await judge(hostile)) === 'string') refused++;
        else answered++;
      }
    }
    t.diagnostic(`${answered} mutations still gave an answer, ${refused} were refused, the slowest took ${slowest.toFixed(1)} ms of CPU`);
    assert.ok(answered > 100 && refused > 500, 'the mutations reach both sides');
  });

  test('cut anywhere, a file is refused', async () => {
    for (const kind of ['h264.mp4', 'late.mp4', 'h264.mkv', 'odd.gif', 'a.webp', 'frames/00001.png']) {
      const whole = await readFile(path.join(folder, kind));
      for (let n = 1; n <= 60; n++) {
        await writeFile(path.join(folder, 'cut.bin'), whole.subarray(0, Math.floor((whole.length * n) / 61)));
        assert.equal(typeof (await judge(path.join(folder, 'cut.bin'))), 'string', `${kind} ${n}/61`);
      }
    }
  });

  test('counts that would fill the memory or never end', async () => {
    // two of these ended a process with mediabunny 1.61.0, one held it for more than 40 s
    const whole = await readFile(path.join(folder, 'h264.mp4'));
    const put = async (change: (bytes: Buffer) => void): Promise<string> => {
      const bytes = Buffer.from(whole);
      change(bytes);
      await writeFile(path.join(folder, 'counts.mp4'), bytes);
      return refusal(path.join(folder, 'counts.mp4'));
    };
    const count = 0xfffffff0;
    assert.match(await put(b => b.writeUInt32BE(count, b.indexOf('stts') + 12)), /durations\.$/);
    assert.match(await put(b => b.writeUInt32BE(count, b.indexOf('stts') + 8)), /claims 4294967280 entries\.$/);
    assert.match(await put(b => b.writeUInt32BE(count, b.indexOf('stsz') + 12)), /more than it can hold\.$/);
    assert.match(
      await put(b => (b.writeUInt32BE(1, b.indexOf('stsz') + 8), b.writeUInt32BE(count, b.indexOf('stsz') + 12))),
      /more than it can hold\.$/,
    );
    assert.equal(await put(b => b.writeUInt32BE(count, b.indexOf('stsc') + 16)), 'it was answered'); // that table is not read
  });

  test('millions of elements, parts within parts, sizes of gigabytes in a sparse file', async () => {
    const mkv = Buffer.concat([Buffer.from('1a45dfa38b428288', 'hex'), Buffer.from('matroska')]);
    const segment = Buffer.from('1853806701ffffffffffffff', 'hex');
    const file = path.join(folder, 'many.bin');
    const written = async (...parts: Uint8Array[]): Promise<string> => (await writeFile(file, Buffer.concat(parts)), file);
    assert.match(await refusal(await written(mkv, segment)), /has no video track\.$/);
    const voids = Buffer.alloc(10 << 20);
    for (let i = 0; i < voids.length; i += 2) voids.writeUInt16BE(0xec80, i);
    assert.match(await refusal(await written(mkv, segment, voids), 8000), /it has too many elements\.$/);
    const groups = Buffer.alloc(8 << 20);
    for (let i = 0; i + 9 <= groups.length; i += 9) Buffer.from('a001ffffffffffffff', 'hex').copy(groups, i); // each within the one before
    assert.match(await refusal(await written(mkv, segment, groups), 8000), /\.$/);
    const deepTags = Buffer.alloc(1 << 20);
    for (let i = 0; i < deepTags.length; i += 2) deepTags.writeUInt16BE(0x67c8, i);
    assert.match(await refusal(await written(mkv, segment, Buffer.from('1254c36701000000000fffff', 'hex'), deepTags)), /\.$/);
    for (const head of [
      Buffer.concat([mkv, segment, Buffer.from('1254c367010000020000000000', 'hex')]),
      Buffer.from('0000001c6674797069736f6d0000020069736f6d69736f32617663316d703431000000016d6f6f760000000200000000', 'hex'),
    ]) {
      await writeFile(file, head);
      const handle = await open(file, 'r+');
      await handle.truncate(2 ** 33 + 1000);
      await handle.close();
      assert.match(await refusal(file), /too large|are read|cut off|not a whole/);
    }
    await writeFile(file, Buffer.concat([Buffer.from('GIF89a'), Buffer.alloc(7), Buffer.alloc(8 << 20, 0x21)]));
    assert.match(await refusal(file, 4000), /\.$/);
    assert.ok(process.memoryUsage.rss() < 1 << 30, `${process.memoryUsage.rss()} bytes`);
  });
});
