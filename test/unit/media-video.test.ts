/** @file Clips written by the real ffmpeg: colours, tags, requests, and nothing left behind by whatever goes wrong. */
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeFfmpeg, ffmpegCandidates, findFfmpeg, readFrames, type Ffmpeg } from '../../electron/media/ffmpeg.ts';
import { describeClip, readClip, readRequest } from '../../electron/media/metadata.ts';
import { checkOut, sweepParts, writeVideo } from '../../electron/media/video-writer.ts';
import { sentence } from '../support/media.ts';
import { within } from '../support/time.ts';

let ffmpeg: Ffmpeg;
let folder: string;
before(async () => {
  ffmpeg = await findFfmpeg();
  folder = await mkdtemp(path.join(tmpdir(), 'protagonist-media-'));
  console.log(describeFfmpeg(ffmpeg));
});
after(() => rm(folder, { recursive: true, force: true }));

const request = {
  prompt: 'a toy "robot" dances;\n# on the = beach \\ 浜辺で踊る 🤖 <&> \u0007\u0085\ufffe\ud800 ' + "it's",
  seed: 7,
  subjects: [{ name: 'robot.png', sha256: 'ab'.repeat(32) }],
};
/** What JSON makes of the request: the lone surrogate stays one. */
const embedded: unknown = JSON.parse(JSON.stringify(request));

/** Frames of noise from a fixed seed: they do not compress, so a clip has weight. */
async function* noise(width: number, height: number, count: number, delay = 0): AsyncGenerator<Uint8Array> {
  let state = 1;
  for (let f = 0; f < count; f++) {
    const frame = new Uint8Array(width * height * 3);
    for (let i = 0; i < frame.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      frame[i] = state >>> 24;
    }
    if (delay > 0) await sleep(delay);
    yield frame;
  }
}

/** Frames of one colour. */
async function* flat(width: number, height: number, count: number, colour: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let f = 0; f < count; f++) yield await Promise.resolve(Uint8Array.from({ length: width * height * 3 }, (_, i) => colour[i % 3]!));
}

/** Runs the same ffmpeg on files of ours. */
function run(...args: string[]): string {
  const result = spawnSync(ffmpeg.path, ['-nostdin', '-hide_banner', '-loglevel', 'error', ...args], { encoding: 'utf8' });
  assert.equal(result.status, 0, result.stderr);
  return result.stdout;
}

/** A folder of its own for a test. */
async function room(): Promise<string> {
  return mkdtemp(path.join(folder, 'room-'));
}

describe('finding ffmpeg', () => {
  test('each candidate is run, with version, year and encoders', async () => {
    for await (const { source, path: file, found } of ffmpegCandidates()) {
      if (typeof found === 'string') assert.fail(`${file}: ${found}`);
      assert.equal(found.source, source);
      assert.ok(found.year >= 2018 && found.year <= new Date().getFullYear() + 1);
      assert.ok(found.encoders.includes('libx264') && !found.encoders.includes('='));
      assert.equal(found.ownFramesOnly, source === '@ffmpeg-installer/linux-x64');
    }
    assert.match(describeFfmpeg({ ...ffmpeg, year: 2018, ownFramesOnly: true }, 2026), /2018, 8 years old.*only our own frames/);
  });

  test('an FFMPEG_BIN that is absent, or another program, or lacks H.264, is refused by name', async () => {
    const at = await room();
    await assert.rejects(
      findFfmpeg({ FFMPEG_BIN: '/nowhere/ffmpeg' }),
      sentence(/FFMPEG_BIN is \/nowhere\/ffmpeg, but there is no such program/),
    );
    await assert.rejects(findFfmpeg({ FFMPEG_BIN: process.execPath }), sentence(/does not behave like ffmpeg/));
    const poor = path.join(at, 'poor');
    await writeFile(
      poor,
      '#!/bin/sh\necho "ffmpeg version 9.9 Copyright (c) 2000-2025 the FFmpeg developers" >&2\necho " V..... mpeg4  MPEG-4"\n',
      { mode: 0o755 },
    );
    await assert.rejects(findFfmpeg({ FFMPEG_BIN: poor }), sentence(/ffmpeg 9.9 lacks the libx264 encoder/));
  });

  test('the PATH is searched, its unusable and relative entries passed over', async () => {
    const at = await room();
    await symlink(ffmpeg.path, path.join(at, 'ffmpeg'));
    const bad = await room();
    await symlink(process.execPath, path.join(bad, 'ffmpeg'));
    const sources = [];
    for await (const { source, found } of ffmpegCandidates({ PATH: `.:${at}` })) sources.push([source, typeof found]);
    assert.ok(sources.some(([source, found]) => source === 'PATH' && found === 'object'));
    for await (const { source, found } of ffmpegCandidates({ PATH: bad })) if (source === 'PATH') assert.equal(typeof found, 'string');
    for await (const { source } of ffmpegCandidates({ PATH: '.' })) assert.notEqual(source, 'PATH');
  });

  test('the last resort opens no foreign video', async () => {
    await assert.rejects(
      readFrames({ ...ffmpeg, ownFramesOnly: true }, 'other.mp4', { width: 16, height: 16, frames: 1, ours: false }),
      sentence(/reads no video of others/),
    );
  });
});

describe('a clip', () => {
  test('six flat colours come back within 4 levels, converted and tagged bt709', async () => {
    const colours = [
      [255, 0, 0],
      [0, 255, 0],
      [0, 0, 255],
      [74, 203, 221],
      [235, 180, 140],
      [16, 16, 16],
    ];
    const at = await room();
    let worst = 0;
    for (const colour of colours) {
      const out = path.join(at, `${colour.join('-')}.mp4`);
      const clip = await writeVideo({ out, width: 64, height: 48, fps: 8, frames: flat(64, 48, 5, colour), request, ffmpeg });
      assert.deepEqual(clip, {
        width: 64,
        height: 48,
        frames: 5,
        seconds: 0.625,
        codec: 'avc1',
        profile: 100,
        colour: { primaries: 1, transfer: 1, matrix: 1, fullRange: false },
        fastStart: true,
      });
      const frames = await readFrames(ffmpeg, out, { width: 64, height: 48, frames: 99, ours: true });
      assert.equal(frames.length, 5);
      for (const frame of frames) frame.forEach((value, i) => (worst = Math.max(worst, Math.abs(value - colour[i % 3]!))));
      // The tag in the bitstream itself survives a bare H.264 stream.
      run('-i', `file:${out}`, '-c', 'copy', '-f', 'h264', '-y', `file:${out}.h264`);
      assert.match(spawnSync(ffmpeg.path, ['-hide_banner', '-i', `${out}.h264`], { encoding: 'utf8' }).stderr, /yuv420p\(tv, bt709/);
    }
    console.log(`worst of six flat colours: ${worst} levels`);
    assert.ok(worst <= 4, `${worst} levels`);
  });

  test('that is really a playlist or a script opens no other file', async () => {
    const at = await room();
    const secret = path.join(at, 'secret.mp4');
    await writeVideo({ out: secret, width: 64, height: 64, fps: 8, frames: noise(64, 64, 2), request, ffmpeg });
    const attacks: Record<string, string> = {
      'concat.mp4': `ffconcat version 1.0\nfile 'secret.mp4'\n`,
      'list.mp4': `#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://${secret}\n#EXT-X-ENDLIST\n`,
      'remote.mp4': '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.mp4\n#EXT-X-ENDLIST\n',
    };
    for (const [name, text] of Object.entries(attacks)) {
      await writeFile(path.join(at, name), text);
      await assert.rejects(
        readFrames(ffmpeg, path.join(at, name), { width: 64, height: 64, frames: 9, ours: true }),
        sentence(/cannot decode .*: the (video is damaged or is|file is) no MP4/),
      );
    }
    // The attack is real: without our arguments the first one opens its neighbour.
    assert.match(
      spawnSync(ffmpeg.path, ['-nostdin', '-hide_banner', '-i', path.join(at, 'concat.mp4')], { encoding: 'utf8' }).stderr,
      /Video: h264/,
    );
  });

  test('is the same twice, bit for bit, whatever the pace', async () => {
    const at = await room();
    const [a, b] = [path.join(at, 'a.mp4'), path.join(at, 'b.mp4')];
    const seen: number[] = [];
    await writeVideo({ out: a, width: 128, height: 128, fps: 8, frames: noise(128, 128, 17), request, ffmpeg, onFrame: n => seen.push(n) });
    await writeVideo({ out: b, width: 128, height: 128, fps: 8, frames: noise(128, 128, 17, 5), request, ffmpeg });
    assert.deepEqual(
      seen,
      Array.from({ length: 17 }, (_, i) => i + 1),
    );
    assert.ok((await readFile(a)).equals(await readFile(b)));
    assert.deepEqual((await readdir(at)).sort(), ['a.mp4', 'b.mp4']);
  });

  test('a fractional rate and one frame', async () => {
    const at = await room();
    const out = path.join(at, 'a:b -x\n名.mp4');
    const clip = await writeVideo({ out, width: 64, height: 64, fps: 23.976, frames: noise(64, 64, 24), request, ffmpeg });
    assert.ok(Math.abs(clip.seconds - 24 / 23.976) < 0.002);
    assert.equal((await writeVideo({ out, width: 64, height: 64, fps: 8, frames: noise(64, 64, 1), request, ffmpeg })).frames, 1);
    assert.equal((await describeClip(out))['fps'], 8);
  });

  test('the request comes back, survives a stream copy by its comment, and the loss of udta by its uuid box', async () => {
    const at = await room();
    const out = path.join(at, 'clip.mp4');
    const long = { ...request, prompt: 'ü"\n'.repeat(3000) + '🤖'.repeat(60_000), negativePrompt: '' };
    for (const asked of [request, long]) {
      const expected: unknown = JSON.parse(JSON.stringify(asked));
      await writeVideo({ out, width: 64, height: 64, fps: 8, frames: noise(64, 64, 9), request: asked, ffmpeg });
      assert.deepEqual(await readRequest(out), expected);
      for (const copy of ['copy.mp4', 'copy.mov']) {
        if (copy.endsWith('.mov') && asked === long) continue; // QuickTime's own tag ends at 64 kB
        run('-i', `file:${out}`, '-c', 'copy', '-y', `file:${path.join(at, copy)}`);
        assert.ok(
          !(await readFile(path.join(at, copy))).includes('urn:protagonist'),
          'this ffmpeg keeps uuid boxes, so the copy proves nothing of the comment',
        );
        assert.deepEqual(await readRequest(path.join(at, copy)), expected, copy);
      }
      run('-i', `file:${path.join(at, 'copy.mp4')}`, '-c', 'copy', '-movflags', '+faststart', '-y', `file:${path.join(at, 'twice.mp4')}`);
      assert.deepEqual(await readRequest(path.join(at, 'twice.mp4')), expected);
      const bytes = await readFile(out);
      bytes.write('free', bytes.indexOf('udta'), 'latin1');
      await writeFile(path.join(at, 'scrubbed.mp4'), bytes);
      assert.deepEqual(await readRequest(path.join(at, 'scrubbed.mp4')), expected);
      run('-i', `file:${path.join(at, 'scrubbed.mp4')}`, '-map_metadata', '-1', '-c', 'copy', '-y', `file:${path.join(at, 'bare.mp4')}`);
      assert.equal(await readRequest(path.join(at, 'bare.mp4')), undefined);
      await writeFile(path.join(at, 'cut.mp4'), (await readFile(out)).subarray(0, -9000)); // a download that was cut: moov is first
      assert.deepEqual(await readRequest(path.join(at, 'cut.mp4')), expected);
      await assert.rejects(readClip(path.join(at, 'cut.mp4')), sentence(/cut off inside/));
    }
    await assert.rejects(
      writeVideo({ out, width: 64, height: 64, fps: 8, frames: noise(64, 64, 1), request: { prompt: 'x'.repeat(2e6) }, ffmpeg }),
      sentence(/at most 1048576: shorten/),
    );
    assert.deepEqual(await readRequest(out), JSON.parse(JSON.stringify(long)));
  });

  test("another's comment is another's", async () => {
    const at = await room();
    const out = path.join(at, 'clip.mp4');
    await writeVideo({ out, width: 64, height: 64, fps: 8, frames: noise(64, 64, 1), request, ffmpeg });
    for (const comment of [
      '{"prompt":"x"}',
      '{"protagonist":2,"request":{}}',
      '"protagonist"',
      '{"protagonist":1,"request":[]}',
      'hello',
    ]) {
      run('-i', `file:${out}`, '-c', 'copy', '-metadata', `comment=${comment}`, '-y', `file:${path.join(at, 'foreign.mp4')}`);
      assert.equal(await readRequest(path.join(at, 'foreign.mp4')), undefined);
    }
  });

  test('the XMP packet is well-formed XML', async t => {
    const at = await room();
    const out = path.join(at, 'clip.mp4');
    await writeVideo({ out, width: 64, height: 64, fps: 8, frames: noise(64, 64, 1), request, ffmpeg });
    const bytes = await readFile(out);
    const id = bytes.lastIndexOf(Buffer.from('be7acfcb97a942e89c71999491e3afac', 'hex'));
    assert.equal(bytes.toString('latin1', id - 4, id), 'uuid');
    assert.equal(bytes.readUInt32BE(id - 8), bytes.length - id + 8);
    const parsed = spawnSync(
      'python3',
      [
        '-c',
        'import sys,xml.dom.minidom as m; d=m.parseString(sys.stdin.buffer.read()); print(ascii(d.getElementsByTagName("protagonist:request")[0].firstChild.data))',
      ],
      { input: bytes.subarray(id + 16), encoding: 'utf8' },
    );
    if (parsed.error) return t.skip('no python3 to parse XML with');
    assert.equal(parsed.status, 0, parsed.stderr);
  });
});

describe('when things go wrong nothing is left', () => {
  test('sizes, frames and rates that cannot be', async () => {
    const at = await room();
    const out = path.join(at, 'clip.mp4');
    const order = { out, width: 64, height: 64, fps: 8, request, ffmpeg };
    await assert.rejects(writeVideo({ ...order, width: 63, frames: noise(63, 64, 1) }), sentence(/63x64 is no even size/));
    await assert.rejects(writeVideo({ ...order, fps: 0, frames: noise(64, 64, 1) }), sentence(/0 frames per second/));
    await assert.rejects(writeVideo({ ...order, frames: noise(64, 64, 0) }), sentence(/there are no frames/));
    await assert.rejects(writeVideo({ ...order, frames: noise(64, 32, 1) }), sentence(/frame 0 has 6144 bytes, a 64x64 one has 12288/));
    const broken = async function* () {
      yield* noise(64, 64, 3);
      throw new RangeError('the decoder broke');
    };
    await assert.rejects(writeVideo({ ...order, frames: broken() }), { name: 'RangeError', message: 'the decoder broke' });
    assert.deepEqual(await readdir(at), []);
  });

  test('a missing folder, a folder of that name, a file in the way', async () => {
    const at = await room();
    await mkdir(path.join(at, 'dir.mp4'));
    await writeFile(path.join(at, 'file'), '');
    await assert.rejects(checkOut(path.join(at, 'no', 'clip.mp4')), sentence(/no such file or folder/));
    await assert.rejects(checkOut(path.join(at, 'dir.mp4')), sentence(/that is a folder/));
    await assert.rejects(checkOut(path.join(at, 'file', 'clip.mp4')), sentence(/part of the path is a file/));
    await assert.rejects(checkOut(path.join(at, `${'n'.repeat(300)}.mp4`)), sentence(/name is too long/));
    await checkOut(path.join(at, `${'n'.repeat(240)}.mp4`));
    assert.deepEqual((await readdir(at)).sort(), ['dir.mp4', 'file']);
  });

  test('a folder that can only be read', async t => {
    const at = await room();
    const root = process.getuid?.() === 0;
    if (root) {
      if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', at]).status !== 0) return t.skip('root may not mount here');
    } else await chmod(at, 0o555);
    try {
      await assert.rejects(
        writeVideo({ out: path.join(at, 'clip.mp4'), width: 64, height: 64, fps: 8, frames: noise(64, 64, 1), request, ffmpeg }),
        sentence(root ? /that disk can only be read/ : /no permission/),
      );
      assert.deepEqual(await readdir(at), []);
    } finally {
      if (root) spawnSync('umount', [at]);
      else await chmod(at, 0o755);
    }
  });

  test('a full disk, at whichever byte: a sentence, the earlier clip untouched', async t => {
    const at = await room();
    if (process.getuid?.() !== 0) return t.skip('only root can mount a small tmpfs');
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=640k', 'tmpfs', at]).status !== 0) return t.skip('root may not mount here');
    const out = path.join(at, 'clip.mp4');
    const ballast = path.join(at, 'ballast');
    try {
      await writeFile(out, 'an earlier clip');
      const outcomes = [];
      for (const free of [0, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200, 600]) {
        await rm(ballast, { force: true });
        await writeFile(ballast, Buffer.alloc((632 - free) * 1024));
        const earlier = await readFile(out);
        const order = { out, width: 64, height: 64, fps: 8, frames: noise(64, 64, 17), request: { ...request, free }, ffmpeg };
        try {
          await writeVideo(order);
          outcomes.push(`${free}: written`);
          assert.equal((await readRequest(out))?.['free'], free);
        } catch (error) {
          sentence(/the disk is full/)(error as Error);
          outcomes.push(`${free}: full`);
          assert.ok((await readFile(out)).equals(earlier));
        }
        assert.deepEqual((await readdir(at)).sort(), ['ballast', 'clip.mp4']);
      }
      console.log(`kB free -> ${outcomes.join(', ')}`);
      assert.ok(outcomes.some(o => o.endsWith('full')) && outcomes.at(-1)!.endsWith('written'));
    } finally {
      spawnSync('umount', [at]);
    }
  });

  test('abort, before, during and after the last frame', async () => {
    const at = await room();
    const out = path.join(at, 'clip.mp4');
    await writeFile(out, 'an earlier clip');
    const order = { out, width: 256, height: 256, fps: 8, request, ffmpeg };
    await assert.rejects(writeVideo({ ...order, frames: noise(256, 256, 9), signal: AbortSignal.abort() }), { name: 'AbortError' });
    for (const last of [1, 5, 9]) {
      const controller = new AbortController();
      const reason = new Error('enough');
      const frames = noise(256, 256, 9);
      await assert.rejects(
        writeVideo({ ...order, frames, signal: controller.signal, onFrame: n => n === last && controller.abort(reason) }),
        error => error === reason,
      );
    }
    // A source that never gives another frame does not hold an abort up.
    const controller = new AbortController();
    const silent = async function* () {
      yield* noise(256, 256, 1);
      controller.abort();
      await sleep(60_000, undefined, { ref: false });
    };
    const started = performance.now();
    await assert.rejects(writeVideo({ ...order, frames: silent(), signal: controller.signal }), { name: 'AbortError' });
    assert.ok(performance.now() - started < within(5000));
    assert.equal(await readFile(out, 'utf8'), 'an earlier clip');
    assert.deepEqual(await readdir(at), ['clip.mp4']);
  });

  test('ffmpeg killed at any frame, or dying on its own', async () => {
    const at = await room();
    const out = path.join(at, 'clip.mp4');
    await writeFile(out, 'an earlier clip');
    const order = { out, width: 256, height: 256, fps: 8, request, ffmpeg };
    for (const victim of [0, 4, 8]) {
      const frames = async function* () {
        let n = 0;
        for await (const frame of noise(256, 256, 9, 20)) {
          if (n++ === victim) for (const pid of await childrenOf(process.pid)) process.kill(pid, 'SIGKILL');
          yield frame;
        }
      };
      await assert.rejects(writeVideo({ ...order, frames: frames() }), sentence(/ffmpeg was stopped by SIGKILL/));
      assert.deepEqual(await readdir(at), ['clip.mp4']);
    }
    await assert.rejects(
      writeVideo({ ...order, frames: noise(256, 256, 9), ffmpeg: { ...ffmpeg, path: '/bin/false' } }),
      sentence(/ffmpeg failed with exit status 1/),
    );
    await assert.rejects(writeVideo({ ...order, frames: noise(256, 256, 9), ffmpeg: { ...ffmpeg, path: '/nowhere' } }), sentence(/ENOENT/));
    await assert.rejects(
      writeVideo({ ...order, frames: noise(256, 256, 9), ffmpeg: { ...ffmpeg, path: '/bin/true' } }),
      sentence(/ffmpeg/),
    );
    assert.equal(await readFile(out, 'utf8'), 'an earlier clip');
    assert.deepEqual(await readdir(at), ['clip.mp4']);
  });

  test('our own kill -9: ffmpeg goes within 5 s, the part is swept, the clip comes out the same', async t => {
    if (process.platform !== 'linux') return t.skip('reads /proc');
    const at = await room();
    const out = path.join(at, 'clip.mp4');
    const writer = new URL('../../electron/media/video-writer.ts', import.meta.url).href;
    const script = `
      import { writeVideo } from ${JSON.stringify(writer)};
      async function* frames() { for (let f = 0; f < 49; f++) { await new Promise((r) => setTimeout(r, 20)); yield new Uint8Array(480 * 720 * 3).fill(f * 5); } }
      await writeVideo({ out: ${JSON.stringify(out)}, width: 720, height: 480, fps: 8, frames: frames(), request: {}, ffmpeg: ${JSON.stringify(ffmpeg)}, onFrame: (n) => console.log(n) });`;
    let slowest = 0;
    for (const moment of [1, 20, 40]) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
      child.stdout.setEncoding('utf8');
      for await (const text of child.stdout as AsyncIterable<string>) if (text.split('\n').some(line => Number(line) >= moment)) break;
      const [encoder, ...more] = await childrenOf(child.pid!);
      assert.ok(encoder !== undefined && more.length === 0);
      child.kill('SIGKILL');
      const killed = performance.now();
      await once(child, 'exit');
      while (await alive(encoder)) {
        await sleep(20);
        assert.ok(performance.now() - killed < within(5000), 'ffmpeg outlives us');
      }
      slowest = Math.max(slowest, performance.now() - killed);
      const left = await readdir(at);
      assert.equal(left.length, 1);
      assert.match(left[0]!, /^\.clip\.mp4\.\d+-\d+-\d+\.part$/);
      assert.deepEqual(await sweepParts(out), left);
    }
    console.log(`ffmpeg gone ${slowest.toFixed(0)} ms after our SIGKILL at the latest`);
    // Parts of the living and of other clips stay; those of the dead go with the next clip.
    const held = `.clip.mp4.${process.ppid}-${(await readFile(`/proc/${process.ppid}/stat`, 'latin1')).split(') ')[1]!.split(' ')[19]!}-1.part`;
    for (const name of [held, '.clip.mp4.1-12-3.part', '.clip.mp4.4194999-12-3.part', '.other.mp4.4194999-12-3.part', '.clip.mp4.part'])
      await writeFile(path.join(at, name), 'x');
    await writeVideo({ out, width: 64, height: 64, fps: 8, frames: noise(64, 64, 1), request, ffmpeg });
    assert.deepEqual((await readdir(at)).sort(), ['.clip.mp4.part', held, '.other.mp4.4194999-12-3.part', 'clip.mp4'].sort());
    assert.deepEqual(await readRequest(out), embedded);
    assert.ok((await stat(out)).size > 1000);
  });
});

/** The child processes of a process that are not zombies. */
async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'latin1').catch(() => '');
  const pids = text.split(' ').filter(Boolean).map(Number);
  const running = await Promise.all(pids.map(alive));
  return pids.filter((_, i) => running[i]);
}

async function alive(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined);
  return text !== undefined && !text.slice(text.lastIndexOf(')')).startsWith(') Z');
}
