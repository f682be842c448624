/** @file Processes of ours as the desktop app starts them: the same scripts, the same answers, over the one channel that a utility process has. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SpawnOptions } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { clipEngine } from '../../electron/cli/engine.ts';
import { lookAtMachine } from '../../electron/cli/machine.ts';
import { startScriptsBy } from '../../electron/media/children.ts';
import { GrabCutter } from '../../electron/media/cutout.ts';
import { normalizePhoto } from '../../electron/media/import.ts';
import { byUtilityProcess, withLibraries } from '../../electron/shell/children.ts';
import { TaskError, type GenerateOrder } from '../../native-models/tasks.ts';
import { checkpoint, photo, root, sleep } from '../support/run.ts';
import { started, utilityFork } from '../support/utility.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-shell-children-'));
const alone = new AbortController().signal;
const engine = clipEngine(1);
before(() => startScriptsBy(byUtilityProcess(utilityFork)));
after(async () => {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
});
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
  out: join(folder, name),
  keepLatents: null,
  note: null,
  ...change,
});

test('a clip, a cancel between two steps, and the next clip by the same process', async () => {
  const steps: number[] = [];
  const done = await engine.run(order('a.mp4'), said => said.type === 'progress' && steps.push(said.step), alone);
  assert.deepEqual([done.numFrames, existsSync(join(folder, 'a.mp4'))], [9, true]);
  assert.ok(steps.length >= 2, `told of ${steps.length} steps`);
  const stop = new AbortController();
  const stopped = engine.run(order('b.mp4', { numInferenceSteps: 1000 }), said => said.type === 'progress' && stop.abort(), stop.signal);
  await assert.rejects(stopped, (e: unknown) => e instanceof TaskError && e.code === 'canceled');
  await engine.run(order('c.mp4'), () => undefined, alone);
  assert.deepEqual(readFileSync(join(folder, 'c.mp4')).subarray(0, 8), readFileSync(join(folder, 'a.mp4')).subarray(0, 8));
  assert.equal(started.length, 1);
});

test('one that is killed is replaced, and the end of the last is told', async () => {
  const running = engine.run(order('d.mp4', { numInferenceSteps: 1000 }), said => said.type === 'progress' && started.at(-1)!.kill('SIGKILL'), alone); // prettier-ignore
  await assert.rejects(running, (e: unknown) => e instanceof TaskError && e.code === 'engineDied');
  await engine.run(order('e.mp4'), () => undefined, alone);
  assert.equal(started.length, 2);
});

test('a HEIC is decoded: standard input and output go the same way', async () => {
  const { photo: kept } = await normalizePhoto({ path: join(root, 'test/golden/photos/p3.heic') });
  assert.ok(kept.width > 0 && kept.bytes.length > 0);
  await assert.rejects(
    normalizePhoto({ bytes: readFileSync(join(root, 'test/golden/photos/p3.heic')).subarray(0, 900), name: 'cut.heic' }),
  );
});

test('a subject is cut out, twice by the same process', async () => {
  const cutter = new GrabCutter();
  const before = started.length;
  const bytes = readFileSync(photo);
  const first = await cutter.cutOut({ photo: { bytes, name: 'toy.jpg' } });
  const again = await cutter.cutOut({ photo: { bytes, name: 'toy.jpg' } });
  assert.equal(again.mask.sha256, first.mask.sha256);
  assert.equal(started.length - before, 1);
  cutter.close();
});

test('what this machine has is found, and nothing of all that stays', async () => {
  const { devices } = await lookAtMachine();
  assert.ok(devices.some(({ device, available }) => device === 'cpu' && available));
  await engine.close();
  for (let i = 0; i < 400 && started.some(child => child.exitCode === null && child.signalCode === null); i++) await sleep(50);
  assert.deepEqual(started.filter(child => child.exitCode === null && child.signalCode === null).map(child => child.pid), []); // prettier-ignore
});

/** A script in a process as the app starts it, and all that comes of it. */
function begun(code: string, options: SpawnOptions = { stdio: 'pipe' }) {
  const script = join(folder, `script-${createHash('sha256').update(code).digest('hex').slice(0, 8)}.mjs`);
  writeFileSync(script, code);
  const child = byUtilityProcess(utilityFork)(script, ['one', String(process.pid)], ['--no-warnings'], options);
  const out: Buffer[] = [],
    err: Buffer[] = [],
    said: unknown[] = [];
  child.stdout?.on('data', (bytes: Buffer) => out.push(bytes));
  child.stderr?.on('data', (bytes: Buffer) => err.push(bytes));
  child.on('message', message => said.push(message));
  const ended = new Promise<readonly [code: number | null, by: string | null]>(resolve =>
    child.on('close', (status, by) => resolve([status, by])),
  );
  return { child, said, ended, out: () => Buffer.concat(out), err: () => Buffer.concat(err).toString() };
}

describe('what a Node child does, one of Electron’s does too', () => {
  test('its last output arrives, however it ends; and so does its status', async () => {
    const fills = 'import { writeSync } from "node:fs"; for (let i = 0; i < 10; i++) process.stdout.write(Buffer.alloc(10_000, i)); ';
    const ways = [
      ['process.exit(3);', [3, null], 100_000],
      ['process.exitCode = 65; writeSync(2, "no photo"); process.stdout.write(Buffer.alloc(900_000));', [65, null], 1_000_000],
      ['writeSync(2, "memory"); process.kill(process.pid, "SIGKILL"); await new Promise(() => {});', [null, 'SIGKILL'], 100_000],
      ['process.abort();', [null, 'SIGABRT'], 100_000],
    ] as const;
    for (const [end, status, bytes, one] of ways.map(([end, ...more]) => [end, ...more, begun(fills + end)] as const)) {
      assert.deepEqual(await one.ended, status, end);
      assert.equal(one.out().length, bytes, end);
      assert.equal(/no photo|memory/.exec(one.err())?.[0], /no photo|memory/.exec(end)?.[0]);
      assert.deepEqual([one.child.exitCode, one.child.signalCode, one.child.connected], [...status, false]);
    }
  });
  test('what it throws, or forgets to catch, ends it with its reason', async () => {
    const codes = [
      'throw new TypeError("one of ours");',
      'process.on("message", () => undefined); setTimeout(() => { throw new TypeError("one of ours"); }, 10);',
      'process.on("message", () => undefined); void Promise.reject(new TypeError("one of ours"));',
      'await import("./nowhere.mjs").catch(() => { throw new TypeError("one of ours"); });',
    ];
    const lost = begun('import "./nowhere.mjs";');
    for (const [code, one] of codes.map(code => [code, begun(code)] as const)) {
      assert.deepEqual(await one.ended, [1, null], code);
      assert.match(one.err(), /TypeError: one of ours\n.*at /s, code);
    }
    assert.deepEqual(await lost.ended, [1, null]);
    assert.match(lost.err(), /nowhere\.mjs/);
  });
  test('a message that was sent is there before an end that waited for it; one to a process that has gone is refused', async () => {
    const one = begun('process.send({ argv: process.argv.slice(2).length, bytes: new Uint8Array(5_000_000) }, () => process.exit());', { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }); // prettier-ignore
    assert.deepEqual([one.child.stdin, one.child.stdout, one.child.stderr], [null, null, null]);
    assert.deepEqual(await one.ended, [0, null]);
    const [{ argv, bytes }] = one.said as [{ argv: number; bytes: Uint8Array }];
    assert.deepEqual([argv, bytes.length], [2, 5_000_000]);
    const refusal = await new Promise<NodeJS.ErrnoException | null>(resolve => one.child.send({ more: true }, resolve));
    assert.equal(refusal?.code, 'EPIPE');
    assert.equal(one.child.kill(), false);
    const early = begun('await new Promise(r => setTimeout(r, 50)); process.on("message", m => process.send({ heard: m }, () => process.exit(4)));'); // prettier-ignore
    const taken = await new Promise<Error | null>(resolve => early.child.send({ n: 1 }, resolve));
    assert.deepEqual([taken, await early.ended, early.said], [null, [4, null], [{ heard: { n: 1 } }]]);
  });
  test('large input is given as it is taken; where nobody takes it the writer hears so', async () => {
    const bytes = Buffer.alloc(12_000_000, 'abcdefg');
    const one = begun(`import { createHash } from 'node:crypto';
      const hash = createHash('sha256'); let held = 0;
      await new Promise(r => setTimeout(r, 100));
      held = process.stdin.readableLength; // while nobody reads no more than a piece has come
      for await (const piece of process.stdin) hash.update(piece);
      process.stdout.write(JSON.stringify({ held, hash: hash.digest('hex') }));`);
    one.child.stdin!.end(bytes);
    assert.deepEqual(await one.ended, [0, null]);
    const { held, hash } = JSON.parse(one.out().toString()) as { held: number; hash: string };
    assert.equal(hash, createHash('sha256').update(bytes).digest('hex'));
    assert.ok(held > 0 && held <= 1 << 20, `${held} bytes were waiting`);
    const deaf = begun('process.exit(2);');
    const refused = new Promise<unknown>(resolve => deaf.child.stdin!.on('error', resolve));
    deaf.child.stdin!.end(bytes);
    assert.deepEqual(await deaf.ended, [2, null]);
    assert.equal(((await refused) as NodeJS.ErrnoException).code, 'EPIPE');
  });
  test('it can be ended before it has begun, by its time, and by somebody else', async () => {
    const idle = 'process.on("message", () => undefined);';
    const at = performance.now();
    const [early, timed, other] = [begun(idle), begun(`${idle}//`, { stdio: 'pipe', timeout: 400 }), begun(`process.send(1); ${idle}`)];
    assert.equal(early.child.pid, undefined);
    assert.ok(early.child.kill('SIGKILL') && early.child.killed);
    while (other.said.length === 0) await sleep(5);
    process.kill(other.child.pid!, 'SIGKILL');
    assert.deepEqual(
      await Promise.all([early.ended, timed.ended, other.ended]),
      Array.from({ length: 3 }, () => [null, 'SIGKILL']),
    );
    assert.ok(performance.now() - at > 400);
    assert.ok(!other.child.killed, 'not by its owner');
  });
  test('it finds the libraries of its device', async () => {
    const there = (folder: string) => folder === '/usr/local/cuda/lib64' || folder === 'C:\\CUDA\\bin';
    const linux = (env: NodeJS.ProcessEnv) => withLibraries(env, 'linux', there);
    assert.deepEqual(linux({ A: '1' }), { A: '1', LD_LIBRARY_PATH: '/usr/local/cuda/lib64' });
    assert.deepEqual(linux({ LD_LIBRARY_PATH: '/mine' }), { LD_LIBRARY_PATH: '/mine:/usr/local/cuda/lib64' }, 'behind what is named');
    assert.deepEqual(linux({ LD_LIBRARY_PATH: '/usr/local/cuda/lib64' }), { LD_LIBRARY_PATH: '/usr/local/cuda/lib64' });
    assert.deepEqual(withLibraries({ A: '1' }, 'linux', () => false), { A: '1' }); // prettier-ignore
    assert.deepEqual(withLibraries({ A: '1' }, 'darwin', () => true), { A: '1' }); // prettier-ignore
    assert.deepEqual(withLibraries({ Path: 'C:\\W', CUDA_PATH: 'C:\\CUDA' }, 'win32', there), { Path: 'C:\\W;C:\\CUDA\\bin', CUDA_PATH: 'C:\\CUDA' }); // prettier-ignore
    const one = begun('process.stdout.write(String(process.env.LD_LIBRARY_PATH)); process.stderr.write(process.env.ONE);', {
      stdio: 'pipe',
      env: { ...process.env, ONE: 'two', LD_LIBRARY_PATH: '/mine' },
    });
    await one.ended;
    assert.match(`${one.out().toString()} ${one.err()}`, /^\/mine.* two$/);
  });
});
