/** @file The engine process as its owner meets it: one for many orders, what it answers, how it fails, and that nothing of it is left. */
import assert from 'node:assert/strict';
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { inProcessEngine } from '../../electron/engine/main.ts';
import { processEngine } from '../../electron/engine/supervisor.ts';
import { findFfmpeg, readFrames } from '../../electron/media/ffmpeg.ts';
import { readRequest } from '../../electron/media/metadata.ts';
import { TaskError, type Done, type Engine, type ErrorCode, type GenerateOrder, type Told } from '../../native-models/tasks.ts';
import { identity, openCheckpoint } from '../../native-models/weights/checkpoint.ts';
import { readBytes, readSafetensors, writeSafetensors } from '../../native-models/weights/safetensors.ts';
import { checkpoint, marked, photo, root, sleep } from '../support/run.ts';
import { within } from '../support/time.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-engine-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
const main = join(root, 'electron/engine/main.ts');
const adapter = join(checkpoint, 'adapter/pytorch_lora_weights_transformer.safetensors');

/** The smallest clip: 9 frames of 32x32 in two steps. */
const order = (name: string, change: Partial<GenerateOrder> = {}): GenerateOrder => ({
  task: 'generate',
  checkpoint,
  checkpointSha256: null,
  adapters: [],
  referenceImages: [],
  startImage: null,
  fit: 'contain',
  prompt: 'the toy hops',
  negativePrompt: '',
  seed: 1,
  numInferenceSteps: 2,
  guidanceScale: 4,
  useDynamicCfg: false,
  scheduler: 'ddim',
  numFrames: 9,
  width: 32,
  height: 32,
  fps: 8,
  device: 'cpu',
  precision: 'auto',
  noiseDtype: 'float32',
  vaeTiling: false,
  previewSeconds: 0,
  threads: null,
  out: at(name),
  keepLatents: null,
  note: null,
  ...change,
});
/** Steps enough to be stopped in the middle. */
const long = (name: string) => order(name, { numInferenceSteps: 1000 });
/** A single step of it blocks the engine's event loop for seconds. */
const blocking = (name: string) => order(name, { width: 480, height: 320, numFrames: 49, threads: 1 });

/** An engine and the processes it has been in. */
function started(options?: { idleSeconds?: number; execArgv?: string[]; env?: NodeJS.ProcessEnv }): {
  engine: Engine;
  processes: ChildProcess[];
} {
  const processes: ChildProcess[] = [];
  const engine = processEngine(() => {
    const child = fork(main, {
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      execArgv: ['--no-warnings', ...(options?.execArgv ?? [])],
      env: { ...process.env, ...options?.env },
    });
    processes.push(child);
    return child;
  }, options);
  return { engine, processes };
}
const never = new AbortController().signal;
const deaf = () => undefined;
const alive = (pid: number): boolean => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return !stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
  } catch {
    return false;
  }
};
/** The children of a process that live. */
const children = (pid: number): number[] =>
  readdirSync('/proc').flatMap(name => {
    try {
      const fields = readFileSync(`/proc/${name}/stat`, 'latin1')
        .replace(/^.*\) /s, '')
        .split(' ');
      return /^\d+$/.test(name) && fields[1] === String(pid) && fields[0] !== 'Z' ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
const failing =
  (code: ErrorCode, text = /./) =>
  (e: unknown) => {
    assert.ok(e instanceof TaskError, String(e));
    assert.equal(e.code, code, e.message);
    assert.match(e.message, text);
    return true;
  };
const ffmpeg = await findFfmpeg();
async function frames(
  name: string,
  { width, height, numFrames }: Pick<GenerateOrder, 'width' | 'height' | 'numFrames'> = order(''),
): Promise<string> {
  const decoded = await readFrames(ffmpeg, at(name), { width, height, frames: numFrames, ours: true });
  assert.equal(decoded.length, numFrames);
  return createHash('sha256').update(Buffer.concat(decoded)).digest('hex');
}
/** Resolves with the first event that fits; the run itself is let alone. */
function until(fits: (event: Told) => boolean): { on: (event: Told) => void; seen: Promise<void> } {
  let tell = (): void => undefined;
  const seen = new Promise<void>(done => (tell = done));
  return {
    on: event => {
      if (fits(event)) tell();
    },
    seen,
  };
}
const denoising = (step: number) => (event: Told) => event.type === 'progress' && event.phase === 'denoise' && event.step >= step;

test('one process for many orders; what is done says what was made', async t => {
  const { engine, processes } = started();
  const begins: number[] = [],
    clips: Done[] = [];
  for (const name of ['a.mp4', 'b.mp4', 'c.mp4']) {
    const began = performance.now();
    let first = 0;
    clips.push(await engine.run(order(name), e => (first ||= denoising(0)(e) ? performance.now() - began : 0), never));
    begins.push(first);
  }
  t.diagnostic(`milliseconds until the first step: ${begins.map(Math.round).join(', ')}`);
  assert.equal(processes.length, 1);
  assert.ok(begins[1]! < begins[0]! && begins[2]! < begins[0]!, begins.join());
  for (const [i, done] of clips.entries()) {
    const { out, seed, width, height, numFrames, bytes, checkpointSha256, device, stepsRun, resumedFrom, timings, seconds, peakMemory } =
      done;
    assert.equal(out, at(`${'abc'[i]!}.mp4`));
    assert.deepEqual({ seed, width, height, numFrames, device, stepsRun, resumedFrom }, { seed: 1, width: 32, height: 32, numFrames: 9, device: 'cpu', stepsRun: 2, resumedFrom: undefined }); // prettier-ignore
    assert.equal(bytes, statSync(out).size);
    assert.equal(checkpointSha256, await identity(openCheckpoint(checkpoint)));
    assert.ok(Math.abs(Object.values(timings).reduce((a, b) => a + b) - seconds) < 0.05);
    assert.ok(peakMemory.ram > 50e6 && peakMemory.ram < 2e9, String(peakMemory.ram));
  }
  assert.ok(readFileSync(at('a.mp4')).equals(readFileSync(at('c.mp4'))));
  // The most memory of an order is its own, not that of a larger one before it.
  const large = await engine.run(order('large.mp4', { width: 256, height: 256, numInferenceSteps: 1 }), deaf, never);
  const small = await engine.run(order('small.mp4'), deaf, never);
  assert.ok(small.peakMemory.ram < large.peakMemory.ram - 50e6, `${small.peakMemory.ram} after ${large.peakMemory.ram}`);
  const pid = processes[0]!.pid!;
  await engine.close();
  assert.ok(!alive(pid));
  await inProcessEngine.run(order('inside.mp4'), deaf, never);
  assert.ok(readFileSync(at('a.mp4')).equals(readFileSync(at('inside.mp4'))));
});

test('ten orders in one process: no memory is kept', async t => {
  // A small young generation and one arena, so that what V8 and malloc let lie there does not hide what is really held.
  const { engine, processes } = started({ execArgv: ['--max-semi-space-size=2'], env: { MALLOC_ARENA_MAX: '1' } });
  const peaks: number[] = [],
    rests: number[] = [];
  for (let i = 0; i < 10; i++) {
    const clip = order('creep.mp4', {
      seed: i,
      width: 64,
      height: 64,
      adapters: [{ file: adapter, scale: 1, sha256: null }],
      referenceImages: [photo],
    });
    peaks.push((await engine.run(clip, deaf, never)).peakMemory.ram / 2 ** 20);
    await sleep(50);
    rests.push(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${processes[0]!.pid!}/status`, 'utf8'))![1]) / 1024);
  }
  t.diagnostic(`peak MiB: ${peaks.map(Math.round).join(' ')}; between orders: ${rests.map(Math.round).join(' ')}`);
  await engine.close();
  assert.equal(processes.length, 1);
  const worst = (all: readonly number[]) => Math.max(...all);
  assert.ok(worst(peaks.slice(7)) < worst(peaks.slice(1, 4)) + 60, peaks.join(' '));
  assert.ok(worst(rests.slice(7)) < worst(rests.slice(1, 4)) + 60, rests.join(' '));
});

test('orders wait for their turn; a waiting one can be canceled; close cancels all, and a later order starts anew', async () => {
  const { engine, processes } = started();
  const said: string[] = [];
  const saying = (name: string) => (event: Told) => {
    if (said.at(-1) !== name && event.type === 'progress') said.push(name);
  };
  await Promise.all(['one', 'two', 'three'].map(name => engine.run(order(`${name}.mp4`), saying(name), never)));
  assert.deepEqual(said, ['one', 'two', 'three']);

  const { on, seen } = until(denoising(3));
  const first = engine.run(long('first.mp4'), on, never),
    cancel = new AbortController(),
    second = engine.run(order('second.mp4'), () => assert.fail('its turn has not come'), cancel.signal);
  await seen;
  cancel.abort();
  await assert.rejects(second, failing('canceled'));
  const third = engine.run(order('third.mp4'), deaf, never);
  const pid = processes[0]!.pid!,
    encoders = children(pid);
  assert.equal(encoders.length, 1);
  const began = performance.now();
  const [one, three] = await Promise.allSettled([first, third, engine.close()]);
  assert.ok(performance.now() - began < within(2000), 'close takes long');
  assert.ok(![pid, ...encoders].some(alive), 'something lives');
  for (const ended of [one, three]) assert.ok(ended.status === 'rejected' && failing('canceled')(ended.reason));
  assert.ok(!existsSync(at('third.mp4')) && !existsSync(at('first.mp4')));

  await engine.run(order('third.mp4'), deaf, never);
  assert.equal(processes.length, 2);
  const closing = engine.close();
  await engine.run(order('third.mp4'), deaf, never); // asked for while it closes: a process of its own
  await closing;
  assert.equal(processes.length, 3);
  await assert.rejects(engine.run(order('never.mp4'), deaf, AbortSignal.abort()), failing('canceled'));
  await engine.close();
  await engine.close();
});

test('closed by several at a time: each is answered, what was asked for between is canceled, and the next order lives on', async () => {
  const { engine, processes } = started();
  const { on, seen } = until(denoising(3));
  const first = engine.run(long('first.mp4'), on, never);
  await seen;
  const one = engine.close(),
    between = engine.run(order('between.mp4'), () => assert.fail('its turn has not come'), never),
    two = engine.close();
  const cancel = new AbortController(),
    going = until(denoising(3)),
    last = engine.run(long('last.mp4'), going.on, cancel.signal);
  last.catch(deaf);
  const [worked, waited, ...closed] = await Promise.allSettled([first, between, one, two]);
  for (const ended of [worked, waited]) assert.ok(ended.status === 'rejected' && failing('canceled')(ended.reason));
  assert.deepEqual(closed, [
    { status: 'fulfilled', value: undefined },
    { status: 'fulfilled', value: undefined },
  ]);
  await Promise.race([going.seen, last]);
  await sleep(700); // longer than a close waits until it kills
  cancel.abort();
  await assert.rejects(last, failing('canceled'));
  assert.equal(processes.length, 2);
  assert.ok(alive(processes[1]!.pid!), 'a close has ended the process of a later order');
  await engine.close();
});

test('a cancel leaves the process and the snapshot; the next run takes it up', async () => {
  const { engine, processes } = started();
  const whole = order('whole.mp4', { numInferenceSteps: 150 });
  await engine.run(whole, deaf, never);
  const steps: number[] = [],
    cancel = new AbortController();
  const cut = { ...whole, out: at('cut.mp4') };
  const on = (event: Told) => {
    if (event.type !== 'snapshot') return;
    steps.push(event.step);
    assert.ok(existsSync(at('.cut.mp4.snapshot')), 'told before it is there');
    cancel.abort();
  };
  await assert.rejects(engine.run(cut, on, cancel.signal), failing('canceled'));
  assert.ok(steps.length === 1 && steps[0]! < 150, steps.join());
  const done = await engine.run(cut, deaf, never);
  assert.equal(done.resumedFrom, steps[0]);
  assert.equal(done.stepsRun, 150 - steps[0]!);
  assert.equal(processes.length, 1);
  assert.ok(readFileSync(at('cut.mp4')).equals(readFileSync(at('whole.mp4'))));
  await engine.close();
});

test('the final latents are kept, and a clip is made from them without a step', async () => {
  const { engine } = started();
  const latents = at('kept.safetensors'),
    first = order('kept.mp4', { keepLatents: latents, referenceImages: [photo], seed: null });
  const made = await engine.run(first, deaf, never);
  assert.ok(existsSync(latents));
  assert.deepEqual(readdirSync(folder).filter(f => f.startsWith('.kept')), []); // prettier-ignore

  // A checkpoint whose text encoder is gone and whose transformer is cut short: neither is read.
  const half = at('half');
  cpSync(checkpoint, half, { recursive: true });
  rmSync(join(half, 'text_encoder'), { recursive: true });
  rmSync(join(half, 'tokenizer'), { recursive: true });
  const again = { ...first, out: at('again.mp4'), fps: 24, seed: made.seed, checkpoint: half, checkpointSha256: made.checkpointSha256 };
  const phases: string[] = [];
  const done = await engine.run(again, e => (e.type === 'progress' ? phases.push(e.phase) : 0), never);
  assert.equal(done.resumedFrom, 2);
  assert.equal(done.stepsRun, 0);
  assert.ok(!phases.includes('encode') && !phases.includes('denoise'), phases.join());
  await engine.run({ ...first, fps: 24, seed: made.seed, keepLatents: null, out: at('fresh.mp4') }, deaf, never);
  assert.equal(await frames('again.mp4'), await frames('fresh.mp4'));
  assert.ok(existsSync(latents), 'they stay');

  copyFileSync(latents, at('.copied.mp4.snapshot')); // beside the output, with nothing to keep
  const copied = await engine.run({ ...again, out: at('copied.mp4'), keepLatents: null }, deaf, never);
  assert.equal(copied.stepsRun, 0);
  assert.equal(await frames('copied.mp4'), await frames('fresh.mp4'));
  assert.deepEqual(readdirSync(folder).filter(f => f.startsWith('.copied')), []); // prettier-ignore

  const other = await engine.run({ ...first, prompt: 'another', out: at('other.mp4') }, deaf, never);
  assert.equal(other.stepsRun, 2); // what lies there is not this order's: it is made anew and replaced
  assert.equal((await engine.run({ ...first, prompt: 'another', out: at('other.mp4') }, deaf, never)).stepsRun, 0);
  await assert.rejects(
    engine.run({ ...first, keepLatents: at('nowhere/l.safetensors') }, deaf, never),
    failing('badRequest', /no folder .*nowhere/),
  );
  if (existsSync('/dev/shm') && statSync('/dev/shm').dev !== statSync(folder).dev)
    await assert.rejects(
      engine.run({ ...first, keepLatents: '/dev/shm/l.safetensors' }, deaf, never),
      failing('badRequest', /on another disk/),
    );
  await engine.close();
});

test('a hash that is given is trusted, and nothing is hashed again', async () => {
  const { engine } = started();
  const adapters = [{ file: adapter, scale: 0.5, sha256: 'ad'.repeat(32) }];
  const done = await engine.run(order('trusted.mp4', { checkpointSha256: 'c0'.repeat(32), adapters }), deaf, never);
  assert.equal(done.checkpointSha256, 'c0'.repeat(32));
  const request = await readRequest(done.out);
  assert.deepEqual(request?.['checkpoint'], { name: basename(checkpoint), sha256: 'c0'.repeat(32) });
  assert.deepEqual(request['adapters'], [{ name: basename(adapter), scale: 0.5, sha256: 'ad'.repeat(32) }]);
  await engine.close();
});

test('verify: a checkpoint and an adapter', async () => {
  const { engine } = started();
  const events: Told[] = [];
  const found = await engine.verify({ task: 'verify', path: checkpoint }, e => void events.push(e), never);
  assert.ok(found.kind === 'checkpoint');
  assert.equal(found.sha256, await identity(openCheckpoint(checkpoint)));
  assert.equal(found.className, 'CogVideoXPipeline');
  assert.equal(found.transformerClass, 'CogVideoXTransformer3DModel');
  assert.equal(found.severalSubjects, false);
  assert.equal(found.bytes, found.files.reduce((n, f) => n + f.bytes, 0)); // prettier-ignore
  for (const f of found.files) {
    const { size, mtimeMs } = statSync(resolve(checkpoint, f.path));
    assert.deepEqual({ bytes: f.bytes, mtimeMs: f.mtimeMs }, { bytes: size, mtimeMs });
  }
  assert.equal(found.recommended.adapter, adapter);
  const last = events.at(-1);
  assert.ok(last?.type === 'progress' && last.phase === 'verify' && last.step === found.bytes && last.of === found.bytes);

  for (const path of [adapter, dirname(adapter)]) {
    const lora = await engine.verify({ task: 'verify', path }, deaf, never);
    assert.ok(lora.kind === 'adapter');
    assert.deepEqual([lora.ranks, lora.alphas.length, lora.modules > 60], [[16], 1, true]);
    assert.equal(lora.sha256, await identity(adapter));
    assert.deepEqual(lora.files.map(f => f.path), [basename(adapter)]); // prettier-ignore
  }
  assert.deepEqual(await inProcessEngine.verify({ task: 'verify', path: checkpoint }, deaf, never), found);

  // What its makers declare, and files that lie elsewhere.
  const declared = at('declared');
  cpSync(checkpoint, declared, { recursive: true });
  const file = join(declared, 'generation_config.json');
  writeFileSync(file, JSON.stringify({ several_subjects: true, num_inference_steps: 7, adapter: 'nothing.safetensors' }));
  mkdirSync(at('elsewhere'));
  const shard = join(declared, 'vae/diffusion_pytorch_model.safetensors');
  cpSync(shard, at('elsewhere/vae.safetensors'));
  rmSync(shard);
  symlinkSync(at('elsewhere/vae.safetensors'), shard);
  const special = await engine.verify({ task: 'verify', path: declared }, deaf, never);
  assert.ok(special.kind === 'checkpoint');
  assert.equal(special.severalSubjects, true);
  assert.equal(special.recommended.numInferenceSteps, 7);
  assert.equal(special.recommended.adapter, null);
  assert.match(special.notices.join(), /recommends an adapter that is not there/);
  assert.equal(special.sha256, found.sha256);
  assert.ok(special.files.some(f => f.path.endsWith('elsewhere/vae.safetensors')));

  // PEFT's own description beside an adapter that says nothing itself.
  const described = at('described');
  mkdirSync(described);
  const tensors = Array.from(readSafetensors(adapter).tensors.values(), t => ({ ...t, data: readBytes(t) }));
  writeSafetensors(join(described, 'a.safetensors'), tensors);
  const config = { r: 16, lora_alpha: 32, auto_mapping: { base_model_class: 'CogVideoXTransformer3DModel' } };
  writeFileSync(join(described, 'adapter_config.json'), JSON.stringify(config));
  const peft = await engine.verify({ task: 'verify', path: described }, deaf, never);
  assert.ok(peft.kind === 'adapter');
  assert.deepEqual(peft.alphas, [32]);
  assert.equal(peft.transformerClass, 'CogVideoXTransformer3DModel');
  assert.deepEqual(
    peft.files.map(f => f.path),
    ['adapter_config.json', 'a.safetensors'],
  );
  await engine.close();
});

const broken: readonly (readonly [string, (path: string) => void, RegExp])[] = [
  ['nothing', path => rmSync(path, { recursive: true }), /There is no checkpoint folder/],
  ['an empty folder', path => (rmSync(path, { recursive: true }), mkdirSync(path)), /holds no model_index\.json/],
  ['no text encoder', path => rmSync(join(path, 'text_encoder'), { recursive: true }), /text_encoder is missing; download/],
  ['a shard cut short', path => truncateSync(join(path, 'transformer/diffusion_pytorch_model-00002-of-00002.safetensors'), 5_000_000), /missing at the end; download the file again/],
  ['a config of another size', path => {
      const file = join(path, 'transformer/config.json');
      writeFileSync(file, readFileSync(file, 'utf8').replace(/"num_layers": \d+/, '"num_layers": 3'));
    }, /weights of the transformer do not fit its config\.json/],
  ['a VAE of another size', path => {
      const file = join(path, 'vae/config.json');
      writeFileSync(file, readFileSync(file, 'utf8').replace(/"layers_per_block": \d+/, '"layers_per_block": 5'));
    }, /weights of the vae do not fit its config\.json/],
  ['a tokenizer that is none', path => writeFileSync(join(path, 'tokenizer/spiece.model'), 'words'), /./],
  ['recommendations that are none', path => writeFileSync(join(path, 'generation_config.json'), '{"several_subjects": "perhaps"}'), /generation_config\.json is not understood/],
  ['a component', path => writeFileSync(join(path, 'config.json'), '{}') ?? rmSync(join(path, 'model_index.json')), /one component of a checkpoint/],
]; // prettier-ignore
test('verify: what is badly formed is told in the sentences of whoever reads it, and the process stays', async t => {
  const { engine, processes } = started();
  for (const [what, breakIt, sentence] of broken)
    await t.test(what, async () => {
      const path = mkdtempSync(at('broken-'));
      cpSync(checkpoint, path, { recursive: true });
      breakIt(path);
      await assert.rejects(engine.verify({ task: 'verify', path }, deaf, never), failing('badFile', sentence));
    });
  await assert.rejects(engine.verify({ task: 'verify', path: photo }, deaf, never), failing('badFile'));
  await assert.rejects(engine.verify({ task: 'verify', path: join(checkpoint, 'vae/diffusion_pytorch_model.safetensors') }, deaf, never), failing('badFile', /not a LoRA key/)); // prettier-ignore
  const nan = at('nan.safetensors'),
    bytes = readFileSync(adapter);
  bytes.fill(0xff, bytes.length - 64);
  writeFileSync(nan, bytes);
  await assert.rejects(engine.verify({ task: 'verify', path: nan }, deaf, never), failing('badFile', /damaged or its training failed/));
  assert.equal(processes.length, 1);
  await engine.close();
});

test('verify: canceled while it hashes', async () => {
  const large = at('large');
  cpSync(checkpoint, large, { recursive: true });
  const { engine, processes } = started();
  const cancel = new AbortController();
  const canceled = engine.verify({ task: 'verify', path: large }, () => cancel.abort(), cancel.signal);
  await assert.rejects(canceled, failing('canceled'));
  assert.equal((await engine.verify({ task: 'verify', path: large }, deaf, never)).kind, 'checkpoint');
  assert.equal(processes.length, 1);
  await engine.close();
});

test('a failure that says nothing about the device leaves the process, any other replaces it', async () => {
  const { engine, processes } = started();
  const refused: readonly (readonly [Partial<GenerateOrder>, ErrorCode])[] = [
    [{ precision: 'float16' }, 'badRequest'],
    [{ checkpoint: at('nowhere') }, 'badFile'],
    [{ referenceImages: [main] }, 'badFile'],
    [{ width: 100 }, 'badRequest'],
  ];
  for (const [change, code] of refused) await assert.rejects(engine.run(order('no.mp4', change), deaf, never), failing(code));
  await engine.run(order('yes.mp4'), deaf, never);
  assert.equal(processes.length, 1);
  await assert.rejects(engine.run(order('nowhere/no.mp4'), deaf, never), failing('failed'));
  await engine.run(order('yes.mp4'), deaf, never);
  assert.equal(processes.length, 2);
  assert.ok(!alive(processes[0]!.pid!));
  await engine.close();
});

test('ffmpeg killed: the code says so; the next run goes on from the snapshot in a new process', async () => {
  const { engine, processes } = started();
  const clip = order('encoder.mp4', { numInferenceSteps: 150 });
  const kill = (event: Told) => {
    if (event.type === 'snapshot') for (const pid of children(processes[0]!.pid!)) process.kill(pid, 'SIGKILL');
  };
  await assert.rejects(engine.run(clip, kill, never), failing('encoderDied', /ffmpeg was stopped by SIGKILL.*run it again/));
  const polite = (event: Told) => {
    if (event.type === 'snapshot') for (const pid of children(processes[1]!.pid!)) process.kill(pid, 'SIGTERM');
  };
  await assert.rejects(engine.run(clip, polite, never), failing('encoderDied'));
  const done = await engine.run(clip, deaf, never);
  assert.ok(done.resumedFrom! > 0);
  assert.equal(processes.length, 3);
  await engine.close();
});

test('the engine killed, ended politely, and never started', async () => {
  const { engine, processes } = started();
  for (const [signal, text] of [
    ['SIGKILL', /the engine was killed, perhaps because memory ran short/],
    ['SIGTERM', /the engine stopped unexpectedly \(SIGTERM\)/],
    ['SIGSEGV', /the engine stopped unexpectedly \(SIGSEGV\)/],
  ] as const) {
    let encoders: number[] = [];
    const kill = (event: Told) => {
      if (encoders.length || !denoising(3)(event)) return;
      encoders = children(processes.at(-1)!.pid!);
      processes.at(-1)!.kill(signal);
    };
    await assert.rejects(engine.run(long('killed.mp4'), kill, never), failing('engineDied', text));
    assert.ok(encoders.length, 'there was no ffmpeg');
    for (const until = performance.now() + 60_000; encoders.some(alive) && performance.now() < until;) await sleep(20);
    assert.ok(!encoders.some(alive), 'its ffmpeg lives');
  }
  const began = performance.now();
  await engine.run(order('after.mp4'), deaf, never);
  assert.ok(performance.now() - began < within(10_000));
  assert.equal(processes.length, 4);
  const died = new Promise(done => processes[3]!.once('exit', done));
  processes[3]!.kill('SIGKILL'); // while it is idle
  await died;
  await engine.run(order('after.mp4'), deaf, never);
  assert.equal(processes.length, 5);
  await engine.close();

  const nothing = processEngine(() => spawn(at('no-such-program'), [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] }));
  await assert.rejects(nothing.run(order('never.mp4'), deaf, never), failing('engineDied', /could not be started.*ENOENT/));
  const throwing = processEngine(() => {
    throw Object.assign(new Error('spawn EMFILE'), { code: 'EMFILE' });
  });
  await assert.rejects(throwing.run(order('never.mp4'), deaf, never), failing('disk', /could not be started/));
  await nothing.close();
});

test('an owner that fails while it listens gets its own error back, and a fresh process', async () => {
  const { engine, processes } = started();
  const full = new Error('the database is full');
  await assert.rejects(
    engine.run(long('listener.mp4'), event => { if (denoising(2)(event)) throw full; }, never), // prettier-ignore
    e => e === full,
  );
  await engine.run(order('listener.mp4'), deaf, never);
  assert.equal(processes.length, 2);
  await engine.close();
});

test('an idle engine ends by itself', async () => {
  const { engine, processes } = started({ idleSeconds: 1 });
  await engine.run(order('idle.mp4'), deaf, never);
  const pid = processes[0]!.pid!;
  await sleep(100);
  assert.ok(alive(pid));
  for (const end = performance.now() + 60_000; alive(pid) && performance.now() < end;) await sleep(50);
  assert.ok(!alive(pid));
  await engine.run(order('idle.mp4'), deaf, never);
  assert.equal(processes.length, 2);
  await engine.close();
  const once = started({ idleSeconds: 0 });
  await once.engine.run(order('idle.mp4'), deaf, never);
  assert.ok(!alive(once.processes[0]!.pid!), 'it is gone when the answer comes');
});

test('closed while native code blocks it: gone within a second, ffmpeg too', { timeout: 600_000 }, async () => {
  const { engine, processes } = started();
  const { on, seen } = until(denoising(0));
  const run = engine.run(blocking('blocked.mp4'), on, never);
  run.catch(deaf);
  await seen;
  await sleep(500);
  const pids = [processes[0]!.pid!, ...children(processes[0]!.pid!)];
  assert.equal(pids.length, 2);
  const began = performance.now();
  await engine.close();
  assert.ok(performance.now() - began < within(2000));
  assert.ok(!pids.some(alive));
  await assert.rejects(run, failing('canceled'));
});

/** An owner in a process of its own, that runs `orders` and then stays; what it prints is told. */
function owner(orders: readonly GenerateOrder[]): { child: ChildProcess; mark: string; line: (text: RegExp) => Promise<void> } {
  const mark = `mark-${process.pid}-${Math.random().toString(36).slice(2)}`;
  const script = `
    import { fork } from 'node:child_process';
    import { processEngine } from ${JSON.stringify(join(root, 'electron/engine/supervisor.ts'))};
    const engine = processEngine(() => fork(${JSON.stringify(main)}, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'], execArgv: ['--no-warnings'] }));
    for (const order of ${JSON.stringify(orders)}) {
      const done = await engine.run(order, e => console.log(e.type, e.phase ?? '', e.step ?? ''), new AbortController().signal);
      console.log('done');
    }
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], {
    env: { ...process.env, PROTAGONIST_TEST_MARK: mark },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said: string[] = [],
    waiting: [RegExp, () => void][] = [];
  createInterface({ input: child.stdout }).on('line', text => {
    said.push(text);
    for (const [wanted, tell] of waiting) if (wanted.test(text)) tell();
  });
  const line = (wanted: RegExp) =>
    said.some(text => wanted.test(text)) ? Promise.resolve() : new Promise<void>(tell => void waiting.push([wanted, tell]));
  return { child, mark, line };
}
const moments: readonly (readonly [string, GenerateOrder, RegExp])[] = [
  ['is idle', order('owner.mp4'), /^done/],
  ['denoises', long('owner.mp4'), /^progress denoise 5/],
  ['is blocked in native code', blocking('owner.mp4'), /^progress denoise 0/],
  ['decodes', order('owner.mp4', { width: 128, height: 128, numFrames: 49 }), /^progress decode 9/],
];
for (const [what, clip, line] of moments)
  test(`the owner killed while the engine ${what}: it and its ffmpeg are gone within two seconds`, { timeout: 600_000 }, async t => {
    const started = owner([clip]);
    await started.line(line);
    await sleep(what.includes('blocked') ? 500 : 0);
    const before = marked(started.mark).length;
    assert.equal(before, what === 'is idle' ? 2 : 3, 'owner, engine, ffmpeg');
    started.child.kill('SIGKILL');
    const began = performance.now();
    while (marked(started.mark).length && performance.now() - began < within(2500)) await sleep(20);
    const took = performance.now() - began;
    t.diagnostic(`gone after ${Math.round(took)} ms`);
    assert.ok(took < within(2000), JSON.stringify(marked(started.mark)));
  });

test('an idle engine does not keep its owner from ending', { timeout: 600_000 }, async () => {
  const mark = `mark-${process.pid}-idle`;
  const script = `
    import { fork } from 'node:child_process';
    import { processEngine } from ${JSON.stringify(join(root, 'electron/engine/supervisor.ts'))};
    const engine = processEngine(() => fork(${JSON.stringify(main)}, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'], execArgv: ['--no-warnings'] }));
    await engine.run(${JSON.stringify(order('leaves.mp4'))}, () => undefined, new AbortController().signal);`;
  const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], {
    env: { ...process.env, PROTAGONIST_TEST_MARK: mark },
    stdio: 'inherit',
  });
  assert.equal(await new Promise(done => child.on('exit', done)), 0);
  for (const end = performance.now() + 60_000; marked(mark).length && performance.now() < end;) await sleep(50);
  assert.deepEqual(marked(mark), []);
});
