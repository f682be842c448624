/** @file Every preset through the real ffmpeg: what comes out is probed, its colours are measured, and nothing is left of what was stopped. */
import { after, before, describe, test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { describeFfmpeg, findFfmpeg, type Ffmpeg } from '../../electron/media/ffmpeg.ts';
import { describeExport, exportVideo, joinVideos, type ExportProgress, type FilmFrames } from '../../electron/media/export.ts';
import { readRequest } from '../../electron/media/metadata.ts';
import { presets, unavailable, type Plan, type Preset, type PresetId } from '../../electron/media/presets.ts';
import { probe } from '../../electron/media/probe.ts';
import { writeVideo } from '../../electron/media/video-writer.ts';
import { sentence } from '../support/media.ts';
import { photo, run as runCommand } from '../support/run.ts';
import { within } from '../support/time.ts';

let ffmpeg: Ffmpeg;
let folder: string;
/** A clip of Toybox's, 128x128x17, and a made one, 720x480x12: files of ours. */
let toy: string, wide: string;
const request = { prompt: 'a zebra named Quagga in "the snow" ' + "it's", seed: 424242, subjects: [{ name: 'quagga.png' }] };

before(async () => {
  ffmpeg = await findFfmpeg();
  folder = await mkdtemp(path.join(tmpdir(), 'protagonist-exports-'));
  console.log(describeFfmpeg(ffmpeg));
  toy = path.join(folder, 'toy.mp4');
  const made = await runCommand(['generate', '--subject', photo, '--prompt', 'It turns.', '--seed', '3', '--width', '128', '--height', '128', '--frames', '17', '--out', toy, '--json']); // prettier-ignore
  assert.equal(made.status, 0, made.stderr);
  wide = path.join(folder, 'wide.mp4');
  await writeVideo({ out: wide, width: 720, height: 480, fps: 8, frames: waves(720, 480, 12), request, ffmpeg });
});
after(() => rm(folder, { recursive: true, force: true }));

/** Smooth colours that move. */
async function* waves(width: number, height: number, count: number): AsyncGenerator<Uint8Array> {
  for (let f = 0; f < count; f++) {
    const frame = new Uint8Array(width * height * 3);
    for (let y = 0, i = 0; y < height; y++)
      for (let x = 0; x < width; x++, i += 3) {
        frame[i] = 128 + 100 * Math.sin((x + 9 * f) / 40);
        frame[i + 1] = 128 + 100 * Math.sin((y - 7 * f) / 30);
        frame[i + 2] = 128 + 100 * Math.cos((x + y + 5 * f) / 50);
      }
    yield await Promise.resolve(frame);
  }
}
/** Noise, which nothing makes small; with no end. */
async function* noise(width: number, height: number): AsyncGenerator<Uint8Array> {
  let state = 1;
  for (;;) {
    const frame = new Uint8Array(width * height * 3);
    for (let i = 0; i < frame.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      frame[i] = state >>> 24;
    }
    yield await Promise.resolve(frame);
  }
}

/** 16 flat patches, 4 x 4. */
const patches = [
  [74, 203, 221], [255, 255, 255], [0, 0, 0], [128, 128, 128], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0],
  [0, 255, 255], [255, 0, 255], [200, 120, 90], [30, 60, 20], [240, 200, 180], [16, 16, 60], [90, 90, 200], [250, 140, 20],
] as const; // prettier-ignore
const [patchWidth, patchHeight] = [64, 36];
async function* patchwork(count: number): AsyncGenerator<Uint8Array> {
  const width = 4 * patchWidth;
  const frame = new Uint8Array(width * 4 * patchHeight * 3);
  for (let i = 0; i < frame.length / 3; i++)
    frame.set(patches[4 * Math.floor(i / width / patchHeight) + Math.floor((i % width) / patchWidth)]!, 3 * i);
  for (let f = 0; f < count; f++) yield await Promise.resolve(frame);
}

/** Where a preset's export goes. */
const target = (preset: Preset, at: string, name = 'out'): string =>
  path.join(at, preset.extension === undefined ? name : `${name}.${preset.extension}`);
/** A folder of its own. */
const room = (): Promise<string> => mkdtemp(path.join(folder, 'room-'));
/** What an ffmpeg cannot make is skipped, saying so. */
function skipped(t: TestContext, preset: Preset): boolean {
  const why = unavailable(preset, ffmpeg);
  if (why !== undefined) t.skip(why);
  return why !== undefined;
}
function run(...args: string[]): Buffer {
  const result = spawnSync(ffmpeg.path, ['-nostdin', '-hide_banner', '-loglevel', 'error', ...args], { maxBuffer: 1 << 30 });
  assert.equal(result.status, 0, result.stderr.toString());
  return result.stdout;
}
/** The first picture of an export as RGB, by whatever its tags say. */
async function firstFrame(file: string, plan: Plan): Promise<Buffer> {
  const { container } = plan.preset.makes;
  if (container === 'webp') return sharp(file, { page: 0 }).removeAlpha().raw().toBuffer();
  const input = container === 'png' ? path.join(file, '000001.png') : file;
  return run('-i', input, '-map', '0:v:0', '-vf', 'scale=out_range=pc:flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24', '-frames:v', '1', '-f', 'rawvideo', 'pipe:1'); // prettier-ignore
}

/** How far each patch's inner part lies from its colour at the most, by channels of its mean. */
function patchErrors(picture: Buffer, plan: Plan, wanted: readonly (readonly number[])[]): number[] {
  const factor = plan.scaled.width / plan.film.width;
  return wanted.map((colour, k) => {
    const sum = [0, 0, 0];
    let n = 0;
    for (let y = patchHeight / 4; y < (3 * patchHeight) / 4; y++)
      for (let x = patchWidth / 4; x < (3 * patchWidth) / 4; x++, n++) {
        const at = [((k % 4) * patchWidth + x) * factor - plan.offset.x, (Math.floor(k / 4) * patchHeight + y) * factor - plan.offset.y];
        for (let c = 0; c < 3; c++) sum[c]! += picture[(Math.floor(at[1]!) * plan.width + Math.floor(at[0]!)) * 3 + c]!;
      }
    return Math.max(...sum.map((s, c) => Math.abs(s / n - colour[c]!)));
  });
}

describe('every preset', () => {
  for (const preset of presets) {
    test(`${preset.name}: a Toybox clip and a 720x480 one`, async t => {
      if (skipped(t, preset)) return;
      for (const [file, width, height, frames] of [
        [toy, 128, 128, 17],
        [wide, 720, 480, 12],
      ] as const) {
        const at = await room();
        const seen: ExportProgress[] = [];
        const { out, probed, plan, bytes, poster } = await exportVideo({ source: { file, ours: true }, preset: preset.id, out: target(preset, at), options: { poster: 2 }, on: p => seen.push(p), ffmpeg }); // prettier-ignore
        assert.deepEqual([plan.film.width, plan.film.height, plan.film.numFrames], [width, height, frames]);
        assert.deepEqual((await readdir(at)).toSorted(), [path.basename(out), path.basename(poster!)].toSorted());
        assert.deepEqual(await probe(out), probed);
        assert.deepEqual([probed.container, probed.width, probed.height], [preset.makes.container, plan.width, plan.height]);
        if (preset.makes.codecs) assert.ok(preset.makes.codecs.includes(probed.codec), probed.codec);
        assert.equal(probed.frames, plan.numFrames);
        if (preset.makes.container !== 'png' && preset.makes.container !== 'gif') assert.deepEqual(probed.rate, plan.rate);
        if (preset.pixels.startsWith('yuv'))
          assert.deepEqual(probed.colour, { primaries: 'bt709', transfer: 'bt709', matrix: 'bt709', fullRange: false });
        if (preset.megabytes) assert.ok(bytes <= preset.megabytes * 1e6);
        const still = await sharp(poster).metadata();
        assert.deepEqual([still.format, still.width, still.height], ['png', plan.width, plan.height]);
        assert.ok(
          seen.length > 0 && seen.every((p, i) => p.part >= (seen[i - 1]?.part ?? 0)) && seen.at(-1)!.part === 1,
          JSON.stringify(seen),
        );
        const { codec, profile = '-', bitDepth = 0, rate } = probed;
        t.diagnostic(`${width}x${height}x${frames}: ${codec} ${profile} ${bitDepth} bit, ${plan.width}x${plan.height}, ${rate.join('/')} fps, ${probed.frames} frames, ${Math.round(bytes / 1024)} KiB`); // prettier-ignore
      }
    });

    test(`${preset.name}: 16 flat patches come back, from frames and from a clip`, async t => {
      if (skipped(t, preset)) return;
      const at = await room();
      const most = preset.id === 'gif' || preset.id === 'webp' ? 4 : 2;
      const size = { width: 4 * patchWidth, height: 4 * patchHeight, rate: [8, 1] as const, numFrames: 8 };
      const options = { fit: 'pad' } as const;
      const fromFrames = await exportVideo({
        source: { frames: patchwork(8), ...size },
        preset: preset.id,
        out: target(preset, at),
        options,
        ffmpeg,
      });
      const errors = patchErrors(await firstFrame(fromFrames.out, fromFrames.plan), fromFrames.plan, patches);
      assert.ok(Math.max(...errors) <= most, `patches are off by ${errors.map(e => e.toFixed(1)).join(' ')}`);
      // a clip is taken for what it shows, which is not quite what it was made of
      const clip = path.join(at, 'clip.mp4');
      await writeVideo({ out: clip, ...size, fps: 8, frames: patchwork(8), request, ffmpeg });
      const fromClip = await exportVideo({
        source: { file: clip, ours: true },
        preset: preset.id,
        out: target(preset, at, 'again'),
        options,
        ffmpeg,
      });
      const shown = run('-i', clip, '-vf', 'scale=in_color_matrix=bt709:in_range=tv:out_range=pc:flags=bicubic+accurate_rnd+full_chroma_int,format=rgb24', '-frames:v', '1', '-f', 'rawvideo', 'pipe:1'); // prettier-ignore
      const wanted = patches.map((_, k) => [0, 1, 2].map(c => shown[(((Math.floor(k / 4) + 0.5) * patchHeight * size.width) + ((k % 4) + 0.5) * patchWidth) * 3 + c]!)); // prettier-ignore
      const again = patchErrors(await firstFrame(fromClip.out, fromClip.plan), fromClip.plan, wanted);
      assert.ok(Math.max(...again) <= most, `patches of a clip are off by ${again.map(e => e.toFixed(1)).join(' ')}`);
      t.diagnostic(`at most ${Math.max(...errors).toFixed(2)} levels off from frames, ${Math.max(...again).toFixed(2)} from a clip`);
    });

    test(`${preset.name}: a cancel leaves nothing, at once`, async t => {
      if (skipped(t, preset)) return;
      const at = await room();
      const earlier = preset.extension === undefined ? undefined : target(preset, at);
      if (earlier !== undefined) await writeFile(earlier, 'an earlier one');
      const stop = new AbortController();
      let given = 0;
      async function* source(): AsyncGenerator<Uint8Array> {
        for await (const frame of noise(256, 144)) {
          if (++given === 12) setTimeout(() => stop.abort(new Error('enough')), 30);
          yield frame;
        }
      }
      const order = { source: { frames: source(), width: 256, height: 144, rate: [8, 1], numFrames: 900 }, preset: preset.id, out: target(preset, at), signal: stop.signal, ffmpeg } as const; // prettier-ignore
      let aborted = 0;
      stop.signal.addEventListener('abort', () => (aborted = performance.now()));
      await assert.rejects(exportVideo(order), /^Error: enough$/);
      assert.ok(aborted > 0 && performance.now() - aborted < within(2000), `${performance.now() - aborted} ms`);
      assert.deepEqual(await readdir(at), earlier === undefined ? [] : [path.basename(earlier)]);
      if (earlier !== undefined) assert.equal(await readFile(earlier, 'utf8'), 'an earlier one');
    });

    test(`${preset.name}: a full disk is said, and leaves nothing`, async t => {
      if (skipped(t, preset)) return;
      if (process.getuid?.() !== 0) return t.skip('only root can mount a small tmpfs');
      const at = await room();
      if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', at]).status !== 0) return t.skip('root may not mount here');
      try {
        const source = { frames: noise(256, 144), width: 256, height: 144, rate: [8, 1], numFrames: 32 } as const;
        const frames = first(source.frames, 32);
        await assert.rejects(
          exportVideo({ source: { ...source, frames }, preset: preset.id, out: target(preset, at), ffmpeg }),
          sentence(/cannot write .*: the disk is full: free some space or choose another folder\.$/),
        );
        assert.deepEqual(await readdir(at), []);
      } finally {
        spawnSync('umount', [at]);
      }
    });
  }
});

async function* first<T>(from: AsyncIterable<T>, count: number): AsyncGenerator<T> {
  for await (const one of from) {
    if (count-- <= 0) return;
    yield one;
  }
}

/** Hashes of all decoded pictures. */
const frameHashes = (file: string): string[] =>
  run('-i', file, '-map', '0:v:0', '-f', 'framemd5', 'pipe:1').toString().split('\n').filter(line => /^\d/.test(line)).map(line => line.split(',').at(-1)!.trim()); // prettier-ignore

describe('what is exported', () => {
  const share = presets[0]!;
  const lossless = presets.find(({ id }) => id === 'lossless')!;

  test('FFV1 keeps each pixel of frames, and of a clip', async () => {
    const at = await room();
    const source = { frames: waves(98, 62, 5), width: 98, height: 62, rate: [8, 1], numFrames: 5 } as const;
    const { out } = await exportVideo({ source, preset: 'lossless', out: target(lossless, at), ffmpeg });
    const back = run('-i', out, '-f', 'rawvideo', '-pix_fmt', 'rgb24', 'pipe:1');
    let f = 0;
    for await (const frame of waves(98, 62, 5)) assert.ok(back.subarray(f * frame.length, ++f * frame.length).equals(frame), `frame ${f}`);
    const again = await exportVideo({ source: { file: toy, ours: true }, preset: 'lossless', out: target(lossless, at, 'clip'), ffmpeg });
    assert.deepEqual(frameHashes(again.out), frameHashes(toy));
    assert.ok(again.plan.notes.includes('It is made from the compressed clip.'));
  });

  test('trim, boomerang, plays and a rate show the right frames', async () => {
    const at = await room();
    const all = frameHashes(toy);
    const options = { trim: { from: 2, to: 7 }, boomerang: true, loop: 2 };
    const { out } = await exportVideo({
      source: { file: toy, ours: true },
      preset: 'lossless',
      out: target(lossless, at),
      options,
      ffmpeg,
    });
    const once = [2, 3, 4, 5, 6, 5, 4, 3].map(i => all[i]);
    assert.deepEqual(frameHashes(out), [...once, ...once]);
    const faster = await exportVideo({ source: { file: toy, ours: true }, preset: 'lossless', out: target(lossless, at, 'faster'), options: { rate: [24000, 1001] }, ffmpeg }); // prettier-ignore
    const hashes = frameHashes(faster.out);
    assert.equal(hashes.length, 51);
    assert.deepEqual(hashes, hashes.map((_, i) => all[Math.min(Math.floor((i * 8 * 1001) / 24000 + 1e-9), 16)])); // prettier-ignore
    assert.deepEqual((await probe(faster.out)).rate, [24000, 1001]);
  });

  test('the request goes along, and without settings nothing of it does', async t => {
    for (const preset of presets) {
      if (unavailable(preset, ffmpeg) !== undefined || ['chat25', 'chat50', 'socialTall', 'socialPortrait'].includes(preset.id)) continue; // as another row
      const at = await room();
      const source = { file: wide, ours: true };
      const options = { trim: { from: 0, to: 3 } };
      const kept = await exportVideo({ source, preset: preset.id, out: target(preset, at, 'kept'), options, ffmpeg });
      if (['mp4', 'mov', 'matroska', 'webm'].includes(preset.makes.container))
        assert.deepEqual(await readRequest(kept.out), request, preset.id);
      const bare = await exportVideo({
        source,
        preset: preset.id,
        out: target(preset, at, 'bare'),
        options: { ...options, forget: true },
        ffmpeg,
      });
      const files = preset.extension === undefined ? (await readdir(bare.out)).map(name => path.join(bare.out, name)) : [bare.out];
      for (const file of files) {
        const bytes = (await readFile(file)).toString('latin1');
        for (const word of ['zebra', 'Quagga', 'quagga', '424242', 'prompt']) assert.ok(!bytes.includes(word), `${file}: ${word}`);
      }
      assert.doesNotMatch(bare.command, /zebra|uagga|424242/);
    }
    t.diagnostic('searched in the bytes of each preset');
  });

  test('the command can be copied: run in a shell it makes the same pictures', async () => {
    const at = await room();
    const odd = path.join(at, "it's 100% a\nfilm.mp4");
    await symlink(wide, odd);
    for (const id of ['share', 'chat10', 'gif', 'frames'] satisfies PresetId[]) {
      const preset = presets.find(row => row.id === id)!;
      const out = target(preset, at, `a 5% $HOME 'cut' ${id}`);
      const order = { source: { file: odd, ours: true }, preset: id, out, options: { forget: true, poster: 0 }, ffmpeg } as const;
      const { command } = await describeExport(order);
      const made = await exportVideo(order);
      assert.equal(made.command, command);
      const hashes = id === 'frames' ? undefined : frameHashes(out);
      await rm(out, { recursive: true });
      if (id === 'frames') await mkdir(out);
      const shell = spawnSync('sh', ['-c', command], { encoding: 'utf8', cwd: at });
      assert.equal(shell.status, 0, shell.stderr);
      if (hashes) assert.deepEqual(frameHashes(out), hashes);
      else assert.equal((await readdir(out)).length, 12);
    }
  });

  test('a limit in bytes holds where it is tight, also for frames that come once', async () => {
    const at = await room();
    const chat = { ...presets.find(({ id }) => id === 'chat10')!, megabytes: 0.06 };
    const source: FilmFrames = { frames: first(noise(128, 128), 40), width: 128, height: 128, rate: [8, 1], numFrames: 40 };
    const { bytes, plan } = await exportVideo({ source, preset: chat, out: path.join(at, 'a.mp4'), request, ffmpeg });
    assert.ok(bytes <= 60_000 && bytes > 20_000, `${bytes} bytes at ${plan.bitRate} bits a second`);
    assert.deepEqual(await readRequest(path.join(at, 'a.mp4')), request);
    assert.deepEqual(await readdir(at), ['a.mp4']);
  });

  test('frames that are too few, too many or of another size, and a source that fails', async () => {
    const at = await room();
    const order = (frames: AsyncIterable<Uint8Array>, numFrames: number) =>
      exportVideo({ source: { frames, width: 64, height: 64, rate: [8, 1], numFrames }, preset: 'share', out: target(share, at), ffmpeg });
    await assert.rejects(order(waves(64, 64, 4), 5), sentence(/4 frames came where 5 were promised/));
    await assert.rejects(order(waves(64, 64, 6), 5), sentence(/more than 5 frames came/));
    await assert.rejects(order(waves(64, 62, 5), 5), sentence(/frame 0 has 11904 bytes, a 64x64 one has 12288/));
    // eslint-disable-next-line @typescript-eslint/require-await -- a source whose first frame fails
    await assert.rejects(order((async function* (): AsyncGenerator<Uint8Array> { throw new Error('no more memory'); })(), 5), /no more memory/); // prettier-ignore
    assert.deepEqual(await readdir(at), []);
  });
});

describe('what is refused', () => {
  const share = presets[0]!;
  const attempt = async (file: string, out?: string) =>
    exportVideo({ source: { file, ours: true }, preset: 'share', out: out ?? path.join(await room(), 'out.mp4'), ffmpeg });

  test('targets', async () => {
    const at = await room();
    const source = { file: wide, ours: true };
    await assert.rejects(attempt(wide, wide), sentence(/that is the clip itself/));
    await symlink(wide, path.join(at, 'link.mp4'));
    await assert.rejects(attempt(wide, path.join(at, 'link.mp4')), sentence(/that is the clip itself/));
    await assert.rejects(attempt(wide, path.join(at, 'out.mov')), sentence(/makes a \.mp4 file: name it so/));
    await mkdir(path.join(at, 'folder.mp4'));
    await assert.rejects(attempt(wide, path.join(at, 'folder.mp4')), sentence(/that is a folder/));
    await assert.rejects(attempt(wide, path.join(at, 'none', 'out.mp4')), sentence(/no such file or folder/));
    const frames = path.join(at, 'frames');
    await exportVideo({ source, preset: 'frames', out: frames, options: { trim: { from: 0, to: 2 } }, ffmpeg });
    assert.deepEqual((await readdir(frames)).toSorted(), ['000001.png', '000002.png', 'frames.json']);
    await assert.rejects(exportVideo({ source, preset: 'frames', out: frames, ffmpeg }), sentence(/something of that name already/));
  });

  test('a file that is not to be replaced, also one that appears while it is made', async () => {
    const at = await room();
    const order = { source: { file: wide, ours: true }, preset: 'share', out: path.join(at, 'out.mp4'), options: { poster: 0 }, replace: false, ffmpeg } as const; // prettier-ignore
    for (const name of ['out.mp4', 'out.poster.png']) {
      const file = path.join(at, name);
      await writeFile(file, 'an earlier one');
      await assert.rejects(exportVideo(order), sentence(/there is a file of that name already: choose another name/));
      await rm(file);
      let appeared = false;
      const on = () => {
        if (!appeared) writeFileSync(file, 'another one');
        appeared = true;
      };
      await assert.rejects(exportVideo({ ...order, on }), sentence(/there is a file of that name already: choose another name/));
      assert.equal(await readFile(file, 'utf8'), 'another one');
      assert.deepEqual(await readdir(at), [name]);
      await rm(file);
    }
    await exportVideo(order);
    assert.deepEqual((await readdir(at)).toSorted(), ['out.mp4', 'out.poster.png']);
  });

  test('an ffmpeg of the last resort opens no film of others', async () => {
    const order = { source: { file: wide }, preset: 'share', out: path.join(await room(), 'out.mp4'), ffmpeg: { ...ffmpeg, ownFramesOnly: true } } as const; // prettier-ignore
    await assert.rejects(exportVideo(order), sentence(/reads no video of others/));
  });

  test('playlists, scripts, damaged and cut clips', async () => {
    const at = await room();
    const secret = path.join(at, 'secret.mp4');
    await writeFile(secret, await readFile(wide));
    const files: Record<string, string | Buffer> = {
      'list.mp4': `#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://${secret}\n#EXT-X-ENDLIST\n`,
      'concat.mkv': `ffconcat version 1.0\nfile '${secret}'\n`,
      'empty.mp4': '',
      'text.mp4': 'hello',
      'cut.mp4': (await readFile(wide)).subarray(0, 9000),
    };
    for (const [name, bytes] of Object.entries(files)) {
      await writeFile(path.join(at, name), bytes);
      await assert.rejects(attempt(path.join(at, name)), sentence(/./), name);
    }
    const flipped = Buffer.from(await readFile(wide));
    for (let i = flipped.length >> 1; i < (flipped.length >> 1) + 400; i++) flipped[i] = 0xff;
    await writeFile(path.join(at, 'flipped.mp4'), flipped);
    await assert.rejects(attempt(path.join(at, 'flipped.mp4')), sentence(/./));
    await truncate(secret, (await stat(secret)).size - 5000);
    await assert.rejects(attempt(secret), sentence(/./));
  });

  test('what ffmpeg itself would not open: the lists hold without our own look at the file', async () => {
    const at = await room();
    await writeFile(path.join(at, 'list.mp4'), `#EXTM3U\n#EXTINF:1,\nfile://${wide}\n#EXT-X-ENDLIST\n`);
    await writeFile(path.join(at, 'concat.mp4'), `ffconcat version 1.0\nfile '${wide}'\n`);
    const { command } = await describeExport({
      source: { file: wide, ours: true },
      preset: 'share',
      out: path.join(at, 'out.mp4'),
      ffmpeg,
    });
    for (const name of ['list.mp4', 'concat.mp4']) {
      const shell = spawnSync('sh', ['-c', command.replace(wide, path.join(at, name))], { encoding: 'utf8' });
      assert.notEqual(shell.status, 0);
      assert.match(shell.stderr, /whitelist|Invalid data/);
    }
    assert.ok(!(await readdir(at)).includes('out.mp4') || (await stat(path.join(at, 'out.mp4'))).size === 0);
  });

  test('what a killed run left is swept by the next', async () => {
    const at = await room();
    const left = path.join(at, '.out.mp4.999999-1-1.part');
    await mkdir(left);
    await writeFile(path.join(left, 'out.mp4'), 'part');
    await attempt(wide, path.join(at, target(share, '')));
    assert.deepEqual(await readdir(at), ['out.mp4']);
  });
});

describe('joining', () => {
  const lossless = presets.find(({ id }) => id === 'lossless')!;
  const files = () => [
    { file: toy, ours: true },
    { file: toy, ours: true },
    { file: toy, ours: true },
  ];

  test('a cut is every frame of each, in order', async () => {
    const at = await room();
    const { out, plan } = await joinVideos({ files: files(), joint: 'cut', preset: 'lossless', out: target(lossless, at), ffmpeg });
    assert.equal(plan.numFrames, 51);
    const hashes = frameHashes(out);
    assert.equal(hashes.length, 51);
    // the three thirds are the same film: it went through one conversion that changes nothing
    assert.deepEqual(hashes.slice(17, 34), hashes.slice(0, 17));
    assert.deepEqual(hashes.slice(0, 17), frameHashes(toy));
  });

  test('a crossfade blends as many frames as it says, between two shapes and rates', async () => {
    const at = await room();
    const { out, plan, probed } = await joinVideos({ files: [{ file: wide, ours: true }, { file: toy, ours: true }], joint: { crossfade: 0.5 }, preset: 'share', out: path.join(at, 'a.mp4'), options: { poster: 9 }, ffmpeg }); // prettier-ignore
    assert.deepEqual([plan.numFrames, probed.frames, probed.width, probed.height], [12 + 17 - 4, 25, 720, 480]);
    assert.equal(await readRequest(out), undefined);
    // black, then white: the blend goes up by equal steps
    const flat = (level: number) => async function* (): AsyncGenerator<Uint8Array> { for (let f = 0; f < 8; f++) yield await Promise.resolve(new Uint8Array(64 * 64 * 3).fill(level)); }; // prettier-ignore
    for (const [name, level] of [
      ['black.mp4', 0],
      ['white.mp4', 255],
    ] as const)
      await writeVideo({ out: path.join(at, name), width: 64, height: 64, fps: 8, frames: flat(level)(), request, ffmpeg });
    const faded = await joinVideos({ files: ['black.mp4', 'white.mp4'].map(name => ({ file: path.join(at, name), ours: true })), joint: { crossfade: 0.5 }, preset: 'lossless', out: target(lossless, at), ffmpeg }); // prettier-ignore
    const picture = run('-i', faded.out, '-vf', 'scale=out_range=pc,format=gray', '-f', 'rawvideo', 'pipe:1');
    const levels = Array.from({ length: 12 }, (_, f) => picture[f * 64 * 64 + 2000]!);
    assert.deepEqual(levels.map(l => Math.round(l / 51) * 51), [0, 0, 0, 0, 51, 102, 153, 204, 255, 255, 255, 255], levels.join(' ')); // prettier-ignore
  });

  test('too few clips, or too few frames for the fade', async () => {
    const at = await room();
    const join = (some: readonly { file: string; ours: boolean }[], joint: 'cut' | { crossfade: number }) =>
      joinVideos({ files: some, joint, preset: 'share', out: path.join(at, 'a.mp4'), ffmpeg });
    await assert.rejects(join(files().slice(1, 2), 'cut'), sentence(/1 clips are not between 2 and 100/));
    await assert.rejects(join(files(), { crossfade: 1.1 }), sentence(/has 17 frames, too few for crossfades of 9/));
    await assert.rejects(join(files(), { crossfade: 0 }), sentence(/crossfade of 0 s/));
    assert.deepEqual(await readdir(at), []);
  });
});

test('the same clip, preset and ffmpeg give the same bytes', async () => {
  const at = await room();
  const hashes = [];
  for (const name of ['a.mp4', 'b.mp4']) {
    await exportVideo({ source: { file: toy, ours: true }, preset: 'share', out: path.join(at, name), ffmpeg });
    hashes.push(createHash('sha256').update(await readFile(path.join(at, name))).digest('hex')); // prettier-ignore
  }
  assert.equal(hashes[0], hashes[1]);
});
