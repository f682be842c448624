/** @file Photos, checkpoints, adapters and disks that are wrong in every way we know: one sentence each, nothing left behind, an earlier clip untouched. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { readSafetensors, writeSafetensors, type StoredTensor } from '../../native-models/weights/safetensors.ts';
import { checkpoint, marked, root, start, type Line } from '../support/run.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-hostile-'));
const mounted: string[] = [];
after(() => {
  for (const place of mounted) spawnSync('umount', ['-l', place]);
  rmSync(folder, { recursive: true, force: true });
});
let count = 0;
const place = (): string => {
  const made = join(folder, String(++count));
  mkdirSync(made);
  return made;
};
const photo = join(root, 'test/support/photo.png');
const size = ['--width', '32', '--height', '32', '--frames', '1', '--steps', '1', '--seed', '1'];
const painting = /^(Loading|Reading|Painting|Developing|Writing) \.\.\.$/;
const earlier = 'an earlier clip';

interface Refusal {
  readonly sentence: RegExp;
  readonly code: string;
  /** Where the clip should go; a folder of its own if not said. */
  readonly to?: string;
  readonly env?: Record<string, string>;
  readonly onLine?: (line: Line) => void;
  /** Work was done, which a snapshot may keep. */
  readonly worked?: boolean;
  /** What else lies in the folder. */
  readonly beside?: readonly string[];
}
/** Runs a command that must fail, once for machines and once for people, and looks at what it leaves. */
async function refused(
  args: readonly string[],
  { sentence, code, to = place(), env = {}, onLine, worked = false, beside = [] }: Refusal,
): Promise<void> {
  const out = join(to, 'clip.mp4'),
    there = existsSync(out);
  for (const json of onLine ? [true] : [true, false]) {
    const { ended, mark } = start(['generate', ...args, '--prompt', 'x', '--out', out, ...(json ? ['--json'] : [])], {
      env,
      ...(onLine && { onLine }),
    });
    const { status, lines, stdout, stderr } = await ended;
    assert.equal(status, 1, stdout + stderr);
    assert.deepEqual(marked(mark), [], 'processes are left');
    if (json) {
      assert.equal(stderr, '');
      assert.deepEqual(
        lines.map(l => l.type).filter(t => t === 'failed' || t === 'done'),
        ['failed'],
      );
      assert.match(String(lines.at(-1)!['text']), sentence);
      assert.equal(lines.at(-1)!['code'], code);
    } else {
      assert.equal(stdout, '');
      const said = stderr
        .trimEnd()
        .split('\n')
        .filter(line => !painting.test(line));
      assert.equal(said.length, 1, stderr);
      assert.match(said[0]!, sentence);
      assert.doesNotMatch(said[0]!, /^\w*Error|\n\s+at /, 'not a sentence');
    }
    if (!existsSync(to)) continue;
    const left = readdirSync(to).filter(name => !beside.includes(name) && !(worked && name === '.clip.mp4.snapshot'));
    assert.deepEqual(left, there ? ['clip.mp4'] : []);
    if (there) assert.equal(readFileSync(out, 'utf8'), earlier);
  }
}
/** A folder with a clip in it that must survive. */
const withClip = (): string => {
  const made = place();
  writeFileSync(join(made, 'clip.mp4'), earlier);
  return made;
};

// Photos

/** A whole PNG of one grey, one bit a pixel: few bytes, many pixels. */
function hugePng(side: number): Buffer {
  const chunk = (type: string, bytes: Uint8Array): Buffer => {
    const named = Buffer.concat([Buffer.from(type, 'latin1'), bytes]),
      framed = Buffer.alloc(named.length + 8);
    framed.writeUInt32BE(bytes.length);
    named.copy(framed, 4);
    framed.writeUInt32BE(crc32(named), named.length + 4);
    return framed;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header[8] = 1;
  const rows = Buffer.alloc(side * (Math.ceil(side / 8) + 1));
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

const photos: readonly (readonly [string, string, (file: string) => void, RegExp])[] = [
  ['a truncated PNG', 'cut.png', f => writeFileSync(f, readFileSync(photo).subarray(0, 1500)), /cut\.png cannot be read as a photo/],
  ['a PNG of 20,000 x 20,000', 'huge.png', f => writeFileSync(f, hugePng(20_000)), /huge\.png is 20000x20000, 400 megapixels/],
  [
    'an SVG named .png',
    'drawing.png',
    f => writeFileSync(f, '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
    /drawing\.png is an SVG/,
  ],
  ['text named .jpg', 'words.jpg', f => writeFileSync(f, 'just words'), /words\.jpg is not a JPEG/],
  ['a folder', 'folder.jpg', f => mkdirSync(f), /folder\.jpg is a folder/],
  ['a pipe that nobody writes to', 'pipe.png', f => void spawnSync('mkfifo', [f]), /pipe\.png is not a file/],
  ['an empty file', 'empty.png', f => writeFileSync(f, ''), /empty\.png is empty/],
  ['a name that paints and breaks lines', 'red\x1b[31m\n.png', f => writeFileSync(f, ''), /red.* is empty/s],
];
for (const [what, name, make, sentence] of photos)
  test(`photo: ${what}`, async () => {
    const file = join(place(), name);
    make(file);
    await refused(['--subject', photo, file, ...size], { sentence, code: 'badFile', to: withClip() });
  });

test('photo: 48 megapixels are welcome', async () => {
  const file = join(place(), 'large.jpg'),
    out = join(place(), 'clip.mp4');
  await sharp({ create: { width: 8000, height: 6000, channels: 3, background: '#c08040' } })
    .jpeg()
    .toFile(file);
  const { status, stderr } = await start(['generate', '--subject', file, '--prompt', 'x', '--out', out, ...size]).ended;
  assert.equal(status, 0, stderr);
  assert.ok(statSync(out).size > 1000);
});

// Checkpoints

/** The embedded checkpoint with links for files, so that a test can put its own in their place. */
function likeness(): string {
  const copy = (from: string, to: string): void => {
    mkdirSync(to);
    for (const entry of readdirSync(from, { withFileTypes: true })) {
      if (entry.name === 'make' || entry.name === 'photos') continue;
      if (entry.isDirectory()) copy(join(from, entry.name), join(to, entry.name));
      else symlinkSync(join(from, entry.name), join(to, entry.name));
    }
  };
  const made = join(place(), 'checkpoint');
  copy(checkpoint, made);
  return made;
}
const weights = (dir: string): string =>
  join(
    dir,
    readdirSync(dir)
      .filter(f => f.endsWith('.safetensors'))
      .toSorted()[0]!,
  );
/** A file of its own in place of a link. */
function own(file: string): string {
  const bytes = readFileSync(file);
  rmSync(file);
  writeFileSync(file, bytes);
  return file;
}
function rewrite(file: string, change: (text: string) => string): void {
  const text = readFileSync(file, 'utf8');
  assert.notEqual(change(text), text);
  rmSync(file);
  writeFileSync(file, change(text));
}
/** Fills a tensor with what is no number, in each of the dtypes that weights come in. */
function spoil({ file, offset, length }: StoredTensor): void {
  const fd = openSync(file, 'r+');
  writeSync(fd, Buffer.alloc(length, 0xff), 0, length, offset);
  closeSync(fd);
}
const adapterOf = (dir: string): string => weights(join(dir, 'adapter'));

const checkpoints: readonly (readonly [string, (dir: string) => void, RegExp, { worked?: boolean; code?: string }?])[] = [
  [
    'a missing shard',
    d => rmSync(weights(join(d, 'transformer'))),
    /(shard .* is missing|holds no weights).*download the checkpoint again/i,
  ],
  ['a shard cut short', d => truncateSync(own(weights(join(d, 'transformer'))), 500_000), /transformer.*\.safetensors/],
  ['a shard cut short in its header', d => truncateSync(own(weights(join(d, 'vae'))), 7), /vae.*\.safetensors/],
  ['config.json broken', d => rewrite(join(d, 'transformer/config.json'), t => t.slice(0, 40)), /transformer\/config\.json/],
  ['config.json of the VAE broken', d => rewrite(join(d, 'vae/config.json'), t => t.slice(0, 40)), /vae\/config\.json/],
  ['config.json empty', d => rewrite(join(d, 'text_encoder/config.json'), () => ''), /text_encoder\/config\.json/],
  [
    'weights that do not fit the config',
    d => rewrite(join(d, 'transformer/config.json'), t => t.replace(/"num_layers": *\d+/, '"num_layers": 99')),
    /transformer_blocks\./,
  ],
  ['no tokenizer', d => rmSync(join(d, 'tokenizer/spiece.model')), /spiece\.model is missing/],
  ['a tokenizer that is none', d => rewrite(join(d, 'tokenizer/spiece.model'), () => 'words'), /spiece|tokenizer/i],
  ['no model_index.json', d => rmSync(join(d, 'model_index.json')), /holds no model_index\.json/],
  [
    'an index that points outside',
    d => {
      const dir = join(d, 'vae');
      for (const f of readdirSync(dir)) if (f !== 'config.json') rmSync(join(dir, f));
      writeFileSync(
        join(dir, 'diffusion_pytorch_model.safetensors.index.json'),
        JSON.stringify({ metadata: {}, weight_map: { a: '../../../secret.safetensors' } }),
      );
    },
    /not the plain name of a \.safetensors file/,
  ],
  [
    'weights that are not numbers',
    d => {
      const dir = join(d, 'transformer');
      for (const f of readdirSync(dir).filter(n => n.endsWith('.safetensors')))
        for (const [name, t] of readSafetensors(join(dir, f)).tensors)
          if (name === 'proj_out.weight') spoil({ ...t, file: own(join(dir, f)) });
    },
    /step 1 gave values that are not numbers/,
    { code: 'failed' },
  ],
];
for (const [what, harm, sentence, { worked = false, code = 'badFile' } = {}] of checkpoints)
  test(`checkpoint: ${what}`, async () => {
    const dir = likeness();
    harm(dir);
    await refused(['--checkpoint', dir, '--adapter', adapterOf(checkpoint), '--subject', photo, ...size], {
      sentence,
      code,
      worked,
      to: withClip(),
    });
  });

// Adapters

const adapters: readonly (readonly [string, (file: string) => void, RegExp])[] = [
  [
    'NaN',
    f => {
      copyFileSync(adapterOf(checkpoint), f);
      spoil([...readSafetensors(f).tensors.values()].find(t => t.name.includes('lora_B'))!);
    },
    /holds values that are not numbers/,
  ],
  [
    'for another model',
    f =>
      writeSafetensors(f, [
        { name: 'transformer.transformer_blocks.0.attn1.to_q.lora_A.weight', shape: [4, 3072], data: new Float32Array(4 * 3072) },
        { name: 'transformer.transformer_blocks.0.attn1.to_q.lora_B.weight', shape: [3072, 4], data: new Float32Array(3072 * 4) },
      ]),
    /made for another model/,
  ],
  [
    'for an image model',
    f =>
      writeSafetensors(
        f,
        ['lora_A', 'lora_B'].map(l => ({ name: `unet.down_blocks.0.to_q.${l}.weight`, shape: [4, 4], data: new Float32Array(16) })),
      ),
    /image model|another model|UNet/i,
  ],
  ['a pickle', f => writeFileSync(f, Buffer.from('80027d71002858040000006c6f726171014b0175', 'hex')), /pickle/i],
  [
    'a zipped pickle',
    f => writeFileSync(f, Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), Buffer.alloc(26), Buffer.from('archive/data.pkl')])),
    /pickle/i,
  ],
  ['a header longer than the file', f => writeFileSync(f, Buffer.from('ffffff0000000000', 'hex')), /adapter\.safetensors/],
  ['a header larger than any memory', f => writeFileSync(f, Buffer.from('ffffffffffffffff7b7d', 'hex')), /adapter\.safetensors/],
  ['an empty folder', f => mkdirSync(f), /holds no adapter/],
];
for (const [what, make, sentence] of adapters)
  test(`adapter: ${what}`, async () => {
    const file = join(place(), 'adapter.safetensors');
    make(file);
    await refused(['--adapter', `${file}:0.5`, '--subject', photo, ...size], { sentence, code: 'badFile', to: withClip() });
  });

// Disks and programs

test('ffmpeg missing', () =>
  refused(['--subject', photo, ...size], {
    sentence: /FFMPEG_BIN is \/nowhere\/ffmpeg, but there is no such program/,
    code: 'failed',
    env: { FFMPEG_BIN: '/nowhere/ffmpeg' },
  }));

test('the folder of the output vanishes', async () => {
  const to = place(),
    gone = `${to}-gone`;
  await refused(['--subject', photo, '--width', '32', '--height', '32', '--frames', '9', '--steps', '40'], {
    sentence: /no such file or folder|is not there/,
    code: 'failed',
    to,
    onLine: l => {
      if (l['phase'] !== 'denoise' || !existsSync(to)) return;
      renameSync(to, gone);
      rmSync(gone, { recursive: true });
    },
  });
  assert.ok(!existsSync(to));
});

/** A file system of its own, of so many bytes; undefined where that is not allowed. */
function tmpfs(bytes: number, ...options: string[]): string | undefined {
  const at = place();
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', [`size=${bytes}`, ...options].join(','), 'tmpfs', at]).status !== 0) return undefined;
  mounted.push(at);
  return at;
}
const noMount = 'only root may mount a file system of its own';

test('an output folder that can only be read', async t => {
  const at = process.getuid?.() === 0 ? tmpfs(1 << 20) : withClip();
  if (at === undefined) return t.skip(noMount);
  if (process.getuid?.() === 0) {
    writeFileSync(join(at, 'clip.mp4'), earlier);
    spawnSync('mount', ['-o', 'remount,ro', at]);
  } else {
    chmodSync(at, 0o555);
    t.after(() => chmodSync(at, 0o755));
  }
  await refused(['--subject', photo, ...size], {
    sentence: /can only be read: choose another|no permission/,
    code: process.getuid?.() === 0 ? 'disk' : 'failed',
    to: at,
  });
});

/** 128x128, 9 frames: a snapshot of about 50 kB, and a clip. */
const whole = ['--subject', photo, '--width', '128', '--height', '128', '--frames', '9', '--steps', '1', '--seed', '1'];
/** Leaves `bytes` free on the file system of `at`. */
function fill(at: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(at);
  writeFileSync(join(at, 'filler'), Buffer.alloc(Math.max(0, bavail * bsize - bytes)));
}

test('a full disk when the latents are saved', async t => {
  const at = tmpfs(32 << 10);
  if (at === undefined) return t.skip(noMount);
  await refused(whole, { sentence: /disk is full: free some space/, code: 'noSpace', to: at });
});

test('a full disk while ffmpeg writes, then while the clip is finished; with space again, the same command goes on', async t => {
  const at = tmpfs(4 << 20);
  if (at === undefined) return t.skip(noMount);
  const elsewhere = join(place(), 'clip.mp4');
  assert.equal((await start(['generate', ...whole, '--prompt', 'x', '--out', elsewhere]).ended).status, 0);
  const bytes = statSync(elsewhere).size;
  writeFileSync(join(at, 'clip.mp4'), earlier);
  // Not a byte free: ffmpeg's own file fails. Room for one clip and a half: that one is whole, and the one that becomes the clip fails.
  for (const free of [0, Math.ceil(bytes * 1.5)]) {
    await refused(whole, {
      sentence: /disk is full: free some space/,
      code: 'noSpace',
      to: at,
      worked: true,
      beside: ['filler'],
      onLine: l => {
        if (l['phase'] === 'decode' && !existsSync(join(at, 'filler'))) fill(at, free);
      },
    });
    assert.ok(existsSync(join(at, '.clip.mp4.snapshot')), 'the work is lost');
    rmSync(join(at, 'filler'));
  }
  const { status, lines } = await start(['generate', ...whole, '--prompt', 'x', '--out', join(at, 'clip.mp4'), '--json']).ended;
  assert.equal(status, 0);
  assert.equal(lines.at(-1)!['resumedFrom'], 1);
  assert.ok(readFileSync(join(at, 'clip.mp4')).equals(readFileSync(elsewhere)));
  assert.deepEqual(readdirSync(at), ['clip.mp4']);
});
