/** @file Kept latents decoded once more: the very frames that the clip was made of, or a sentence and no file. */
import assert from 'node:assert/strict';
import { execFileSync, fork, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { processEngine } from '../../electron/engine/supervisor.ts';
import { findFfmpeg } from '../../electron/media/ffmpeg.ts';
import { probe } from '../../electron/media/probe.ts';
import { TaskError, type DecodeOrder, type Engine, type ErrorCode, type GenerateOrder, type Told } from '../../native-models/tasks.ts';
import { checkpoint, marked, root, sleep } from '../support/run.ts';
import { within } from '../support/time.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-decode-'));
const at = (name: string) => join(folder, name);
const main = join(root, 'electron/engine/main.ts');
const never = new AbortController().signal;
const deaf = () => undefined;

/** An ffmpeg that leaves what it is given through its standard input in the file `PIPED` too. */
const tee = at('ffmpeg');
const ffmpeg = await findFfmpeg();
writeFileSync(tee, `#!/bin/sh\ncase "$*" in *pipe:0*) tee "$PIPED" | '${ffmpeg.path}' "$@" ;; *) exec '${ffmpeg.path}' "$@" ;; esac\n`, {
  mode: 0o755,
});
/** An engine in a new process, with the processes it starts marked. */
function started(): { engine: Engine; mark: string; kill: () => void } {
  const mark = `mark-${process.pid}-${Math.random().toString(36).slice(2)}`;
  let kill = (): void => undefined;
  const engine = processEngine(() => {
    const env = { ...process.env, PROTAGONIST_TEST_MARK: mark, FFMPEG_BIN: tee, PIPED: at('piped') };
    const child = fork(main, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'], execArgv: ['--no-warnings'], env });
    kill = () => child.kill('SIGKILL');
    return child;
  });
  return { engine, mark, kill: () => kill() };
}
const { engine } = started();
after(async () => {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
});

const small = { numFrames: 9, width: 64, height: 48, fps: 8, vaeTiling: false } as const;
type Size = Pick<GenerateOrder, 'numFrames' | 'width' | 'height' | 'fps' | 'vaeTiling'>;
const generate = (name: string, size: Size): GenerateOrder => ({
  task: 'generate', checkpoint, checkpointSha256: '0'.repeat(64), adapters: [], referenceImages: [], startImage: null, fit: 'contain', prompt: 'the toy hops', negativePrompt: '', seed: 1,
  numInferenceSteps: 2, guidanceScale: 4, useDynamicCfg: false, scheduler: 'ddim', device: 'cpu', precision: 'auto', noiseDtype: 'float32', previewSeconds: 0, threads: 1,
  out: at(`${name}.mp4`), keepLatents: at(`${name}.safetensors`), note: null, ...size,
}); // prettier-ignore
const order = (latents: string, out: string, change: Partial<DecodeOrder> = {}): DecodeOrder => ({
  task: 'decode', checkpoint, latents: at(latents), device: 'cpu', precision: 'auto', threads: 1, out: at(out), ...small, ...change,
}); // prettier-ignore
const failing =
  (code: ErrorCode, text = /./) =>
  (e: unknown) => {
    assert.ok(e instanceof TaskError, String(e));
    assert.equal(e.code, code, e.message);
    assert.match(e.message, text);
    assert.doesNotMatch(e.message, /\n| at .*:\d+:\d+/);
    return true;
  };
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
/** Latents of `small`, made once. */
before(async () => {
  await engine.run(generate('small', small), deaf, never);
  renameSync(at('piped'), at('small.rgb'));
});

const sizes: readonly (readonly [string, Size])[] = [
  ['one frame', { ...small, numFrames: 1 }],
  ['several chunks of time, at 24000/1001', { ...small, numFrames: 25, fps: 24000 / 1001 }],
  ['tiles', { numFrames: 9, width: 208, height: 176, fps: 8, vaeTiling: true }],
];
for (const [what, size] of sizes)
  test(`the frames are those that the clip was made of, bit for bit: ${what}`, { timeout: 600_000 }, async () => {
    const name = what.replace(/\W.*/, '');
    await engine.run(generate(name, size), deaf, never);
    renameSync(at('piped'), at(`${name}.rgb`));
    const fresh = started(); // nothing of the first run is left in its memory
    const told: Told[] = [];
    const done = await fresh.engine.decode(order(`${name}.safetensors`, `${name}.mkv`, size), event => told.push(event), never);
    await fresh.engine.close();
    assert.equal(done.out, at(`${name}.mkv`));
    assert.equal(done.bytes, readFileSync(done.out).length);
    const made = readFileSync(at(`${name}.rgb`));
    assert.equal(made.length, size.numFrames * size.width * size.height * 3);
    const film = execFileSync(ffmpeg.path, ['-v', 'error', '-i', done.out, '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-'], { maxBuffer: 1 << 28 });
    assert.equal(hash(film), hash(made));
    assert.equal(hash(readFileSync(at('piped'))), hash(made), 'nor were they changed on their way');
    const { codec, frames, rate, width, height, bitDepth } = await probe(done.out);
    assert.match(codec, /FFV1/);
    assert.deepEqual([frames, width, height, bitDepth], [size.numFrames, size.width, size.height, 8]);
    assert.deepEqual(rate, size.fps === 8 ? [8, 1] : [24000, 1001]);
    const decoded = told.flatMap(e => (e.type === 'progress' && e.phase === 'decode' ? [e.step] : []));
    assert.deepEqual(decoded, Array.from({ length: size.numFrames + 1 }, (_, i) => i));
    assert.deepEqual(readdirSync(folder).filter(n => n.includes('.part')), []);
  }); // prettier-ignore

test('what cannot be decoded is told in a sentence, nothing is left, and the next order is carried out', { timeout: 600_000 }, async () => {
  mkdirSync(at('refused'));
  const latents = at('small.safetensors'),
    whole = readFileSync(latents);
  /** The latents with one thing wrong. */
  const wrong = (name: string, change: (file: string) => void) => {
    copyFileSync(latents, at(name));
    change(at(name));
    return name;
  };
  const header = Number(whole.readBigUInt64LE());
  for (const [n, byte] of [8 + header, 8 + header + 1000, whole.length - 1].entries())
    wrong(`bit-${n}`, file => {
      const bytes = Buffer.from(whole);
      bytes[byte]! ^= 1;
      writeFileSync(file, bytes);
    });
  wrong('cut', file => truncateSync(file, whole.length - 100));
  wrong('empty', file => truncateSync(file, 0));
  writeFileSync(at('other'), Buffer.alloc(5000, 7));
  symlinkSync('loop', at('loop'));
  cpSync(checkpoint, at('no-vae'), { recursive: true });
  rmSync(at('no-vae/vae'), { recursive: true });
  writeFileSync(at('refused-before.mkv'), 'mine');

  const refused: readonly (readonly [DecodeOrder, ErrorCode, RegExp])[] = [
    [order('small.safetensors', 'refused/a.mkv', { width: 80 }), 'badFile', /kept latents are \[1,3,16,6,8\].* 9 frames of 80x48 .*\[1,3,16,6,10\]/],
    [order('small.safetensors', 'refused/a.mkv', { width: 48, height: 64 }), 'badFile', /another clip's/],
    [order('small.safetensors', 'refused/a.mkv', { numFrames: 17 }), 'badFile', /17 frames/],
    ...[0, 1, 2].map(n => [order(`bit-${n}`, 'refused/a.mkv'), 'badFile', /kept latents are damaged/] as const),
    [order('cut', 'refused/a.mkv'), 'badFile', /kept latents cannot be read: .*bytes of the tensors are missing/],
    [order('empty', 'refused/a.mkv'), 'badFile', /kept latents cannot be read/],
    [order('other', 'refused/a.mkv'), 'badFile', /kept latents cannot be read/],
    [order('loop', 'refused/a.mkv'), 'badFile', /kept latents cannot be read/],
    [order('nowhere', 'refused/a.mkv'), 'badFile', /kept latents cannot be read: .*there is no such file/],
    [order('refused', 'refused/a.mkv'), 'badFile', /kept latents cannot be read/],
    [order('small.safetensors', 'refused/a.mkv', { checkpoint: at('gone') }), 'badFile', /gone/],
    [order('small.safetensors', 'refused/a.mkv', { checkpoint: at('no-vae') }), 'badFile', /vae/],
    [order('small.safetensors', 'refused-before.mkv'), 'badRequest', /refused-before.mkv is there already/],
    [order('small.safetensors', 'nowhere/a.mkv'), 'failed', /no such file or folder/],
    [order('small.safetensors', 'refused/a.mkv', { precision: 'float16' }), 'badRequest', /float16 is not computed on cpu/],
  ]; // prettier-ignore
  for (const [asked, code, sentence] of refused) {
    await assert.rejects(engine.decode(asked, deaf, never), failing(code, sentence));
    assert.deepEqual(readdirSync(at('refused')), [], sentence.source);
  }
  assert.equal(readFileSync(at('refused-before.mkv'), 'utf8'), 'mine');
  const { out } = await engine.decode(order('small.safetensors', 'refused/a.mkv'), deaf, never);
  assert.deepEqual(readdirSync(at('refused')), ['a.mkv']);
  assert.ok(existsSync(out));
});

/** Frames come in seven pieces. */
const long: Size = { ...small, numFrames: 49 };
const halfway = (event: Told) => event.type === 'progress' && event.phase === 'decode' && event.step === 9;

test('canceled, killed, or its owner killed: no film, no process, and the next one is whole', { timeout: 600_000 }, async () => {
  mkdirSync(at('ends'));
  await engine.run(generate('long', long), deaf, never);
  const made = hash(readFileSync(at('piped')));
  const asked = order('long.safetensors', 'ends/a.mkv', long);
  const gone = async (mark: string) => {
    for (const began = performance.now(); marked(mark).length; await sleep(20))
      assert.ok(performance.now() - began < within(2000), JSON.stringify(marked(mark)));
  };
  /** A film that another begins where this one left off. */
  const next = async () => {
    await engine.decode(asked, deaf, never);
    assert.deepEqual(readdirSync(at('ends')), ['a.mkv']);
    assert.equal(hash(readFileSync(at('piped'))), made);
    rmSync(at('ends/a.mkv'));
  };

  const cancel = new AbortController();
  const canceled = engine.decode(asked, event => halfway(event) && cancel.abort(), cancel.signal);
  await assert.rejects(canceled, failing('canceled'));
  assert.deepEqual(readdirSync(at('ends')), []);
  await next();

  const { engine: victim, mark, kill } = started();
  await assert.rejects(
    victim.decode(asked, event => halfway(event) && kill(), never),
    failing('engineDied'),
  );
  await gone(mark);
  assert.ok(!existsSync(asked.out));
  await next(); // takes the part away that was left

  const script = `
    import { fork } from 'node:child_process';
    import { processEngine } from ${JSON.stringify(join(root, 'electron/engine/supervisor.ts'))};
    const engine = processEngine(() => fork(${JSON.stringify(main)}, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'], execArgv: ['--no-warnings'] }));
    await engine.decode(${JSON.stringify(asked)}, e => e.phase === 'decode' && e.step === 9 && process.kill(process.pid, 'SIGKILL'), new AbortController().signal);`;
  const env = { ...process.env, PROTAGONIST_TEST_MARK: `${mark}-owner` };
  const owner = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], { env, stdio: 'ignore' });
  assert.equal(await new Promise(ended => owner.on('exit', (_, by) => ended(by))), 'SIGKILL');
  await gone(`${mark}-owner`);
  assert.ok(!existsSync(asked.out));
  await next();
});
