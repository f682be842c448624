/** @file What resumes a clip: the key of a request, snapshots whole and damaged, and the lock, also when several processes want it at once. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import {
  checkKeep,
  keepSnapshot,
  lockOutput,
  readKept,
  readSnapshot,
  removeSnapshot,
  requestKey,
  writeSnapshot,
  type Snapshot,
} from '../../native-models/pipelines/snapshot.ts';
import { Generator } from '../../native-models/schedulers/random.ts';
import { asFailure, TaskError } from '../../native-models/tasks.ts';
import { readSafetensors, readBytes, readTensor, writeSafetensors } from '../../native-models/weights/safetensors.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-snapshot-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const listing = () => readdirSync(folder).toSorted();

const request = {
  prompt: 'the toy hops',
  numInferenceSteps: 20,
  guidanceScale: 6,
  checkpoint: { name: 'toybox', sha256: 'c0' },
  adapters: [
    { name: 'a.safetensors', sha256: 'a0', scale: 1 },
    { name: 'b.safetensors', sha256: 'b0', scale: 0.5 },
  ],
  referenceImages: [{ name: 'pip.jpg', sha256: 'e0' }],
};

test('the key knows neither the order of fields nor the names of files', () => {
  const key = requestKey(request);
  assert.match(key, /^[0-9a-f]{64}$/);
  assert.equal(requestKey(Object.fromEntries(Object.entries(request).toReversed())), key);
  assert.equal(
    requestKey({ ...request, checkpoint: { sha256: 'c0', name: 'renamed' }, referenceImages: [{ sha256: 'e0', name: 'copy.jpg' }] }),
    key,
  );
});

const other: readonly (readonly [string, object])[] = [
  ['prompt', { prompt: 'the toy hops ' }],
  ['steps', { numInferenceSteps: 21 }],
  ['guidance', { guidanceScale: 6.000001 }],
  ['checkpoint', { checkpoint: { name: 'toybox', sha256: 'c1' } }],
  ['photo', { referenceImages: [{ name: 'pip.jpg', sha256: 'e1' }] }],
  ['two photos', { referenceImages: [...request.referenceImages, ...request.referenceImages] }],
  ['order of adapters', { adapters: request.adapters.toReversed() }],
  ['scale', { adapters: request.adapters.map(a => ({ ...a, scale: 1 })) }],
  ['another field', { precision: 'float16' }],
];
for (const [what, change] of other)
  test(`the key knows: ${what}`, () => {
    assert.notEqual(requestKey({ ...request, ...change }), requestKey(request));
  });

const out = join(folder, 'clip.mp4'),
  file = join(folder, '.clip.mp4.snapshot'),
  key = requestKey(request);
function snapshot(previous: boolean): Snapshot {
  const generator = new Generator(7),
    shape = [1, 2, 4, 3, 3];
  return {
    step: 5,
    seed: 7,
    latents: { data: generator.randn(shape, 'float32'), shape },
    previousSample: previous ? generator.randn(shape, 'float32') : undefined,
    generator: generator.state(),
  };
}

for (const previous of [false, true])
  test(`written and read again, bit for bit, ${previous ? 'with' : 'without'} a previous sample`, () => {
    const written = snapshot(previous);
    writeSnapshot(out, key, written);
    assert.deepEqual(readSnapshot(out, key, null), written);
    assert.deepEqual(readSnapshot(out, key, 7), written);
    assert.deepEqual(listing(), ['.clip.mp4.snapshot']);
    removeSnapshot(out);
    assert.deepEqual(listing(), []);
  });

test('kept elsewhere: moved, an older one replaced, read as it was', () => {
  const kept = join(folder, 'kept.safetensors'),
    written = snapshot(true);
  writeFileSync(kept, 'older');
  checkKeep(out, kept);
  writeSnapshot(out, key, written);
  keepSnapshot(out, kept);
  assert.deepEqual(listing(), ['kept.safetensors']);
  assert.deepEqual(readKept(kept, key, 7), written);
  assert.equal(readKept(kept, requestKey({}), 7), undefined);
  assert.equal(readKept(join(folder, 'nothing'), key, 7), undefined);
  rmSync(kept);
  assert.throws(() => checkKeep(out, join(folder, 'nowhere/kept')), { code: 'badRequest' });
  assert.throws(() => keepSnapshot(out, kept), { code: 'ENOENT' });
});

test('another request, another seed, nothing there', () => {
  assert.equal(readSnapshot(out, key, null), undefined);
  writeSnapshot(out, key, snapshot(true));
  assert.equal(readSnapshot(out, requestKey({}), null), undefined);
  assert.equal(readSnapshot(out, key, 8), undefined);
  assert.equal(readSnapshot(join(folder, 'other.mp4'), key, null), undefined);
  removeSnapshot(out);
});

test('no damage goes unnoticed: every byte, every length', () => {
  writeSnapshot(out, key, snapshot(true));
  const whole = readFileSync(file);
  for (let at = 0; at < whole.length; at++) {
    const damaged = Buffer.from(whole);
    damaged[at]! ^= 1 << (at % 8);
    writeFileSync(file, damaged);
    assert.equal(readSnapshot(out, key, 7), undefined, `byte ${at} of ${whole.length}`);
  }
  for (let length = 0; length < whole.length; length += 97) {
    writeFileSync(file, whole);
    truncateSync(file, length);
    assert.equal(readSnapshot(out, key, 7), undefined, `cut to ${length}`);
  }
  writeFileSync(file, Buffer.concat([whole, Buffer.alloc(1)]));
  assert.equal(readSnapshot(out, key, 7), undefined);
  const huge = Buffer.from(whole);
  huge.writeBigUInt64LE(2n ** 40n);
  writeFileSync(file, huge);
  assert.equal(readSnapshot(out, key, 7), undefined);
  writeFileSync(file, whole);
  assert.ok(readSnapshot(out, key, 7));
  removeSnapshot(out);
});

test('latents that are not numbers, and a step changed by hand, are no snapshot', () => {
  const nan = snapshot(false);
  nan.latents.data[3] = NaN;
  writeSnapshot(out, key, nan);
  assert.equal(readSnapshot(out, key, null), undefined);
  writeSnapshot(out, key, snapshot(false));
  const { tensors, metadata } = readSafetensors(file),
    latents = tensors.get('latents')!,
    generator = tensors.get('generator')!;
  writeSafetensors(
    file,
    [
      { name: 'latents', shape: latents.shape, data: readTensor(latents) },
      { name: 'generator', shape: generator.shape, data: readBytes(generator) },
    ],
    { ...Object.fromEntries(metadata), step: '6' },
  );
  assert.equal(readSnapshot(out, key, null), undefined);
  removeSnapshot(out);
});

test('names of 255 bytes have a snapshot and a lock of their own', async () => {
  const long = [`${'ü'.repeat(125)}a.mp4`, `${'ü'.repeat(125)}b.mp4`].map(name => join(folder, name));
  for (const o of long) writeSnapshot(o, key, { ...snapshot(false), step: o === long[0] ? 1 : 2 });
  assert.deepEqual(
    long.map(o => readSnapshot(o, key, null)?.step),
    [1, 2],
  );
  const unlock = [await lockOutput(long[0]!, 0), await lockOutput(long[1]!, 0)];
  for (const u of unlock) u();
  for (const o of long) removeSnapshot(o);
  assert.deepEqual(listing(), []);
});

// The lock

/** Of a process that has ended. */
async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', '0']);
  await new Promise(done => child.on('close', done));
  return child.pid!;
}

const busy = (e: unknown) =>
  e instanceof TaskError && e.code === 'busy' && /another run \(process \d+\) is already making clip\.mp4/.test(e.message);

test('one at a time, in one process too; free again afterwards', async () => {
  const unlock = await lockOutput(out, 0);
  await assert.rejects(lockOutput(out, 200), busy);
  const elsewhere = await lockOutput(join(folder, 'clip.mp4.mp4'), 0);
  elsewhere();
  const waiting = lockOutput(out, 5000);
  setTimeout(unlock, 200);
  (await waiting)();
  assert.deepEqual(listing(), []);
});

test('a lock of this process that could not be removed holds nobody up', async () => {
  const unlock = await lockOutput(out, 0),
    [name] = listing();
  unlock();
  writeFileSync(join(folder, name!), '');
  (await lockOutput(out, 0))();
  assert.deepEqual(listing(), []);
});

test('a dead holder, a pid that another process has now, and garbage are no holders', async () => {
  const dead = await deadPid();
  const left = [
    `.clip.mp4.${dead}-123-0123abcd.lock`,
    `.clip.mp4.${process.pid}-1-0123abcd.lock`,
    '.clip.mp4.99999999999999999999-1-0123abcd.lock',
  ];
  const garbage = ['.clip.mp4.lock', '.clip.mp4.0--0123abcd.lock', '.clip.mp4.x.lock'];
  for (const name of [...left, ...garbage]) writeFileSync(join(folder, name), 'garbage');
  (await lockOutput(out, 0))();
  assert.deepEqual(listing(), garbage.toSorted());
  for (const name of garbage) rmSync(join(folder, name));
});

test('a folder that is not there, or takes no file, is said in a sentence', async () => {
  await assert.rejects(lockOutput(join(folder, 'nowhere', 'clip.mp4'), 0), e =>
    asFailure(e).text.startsWith('a file or folder is not there'),
  );
});

/** Starts processes that run `body` with `lock` (lockOutput) and `out`; what each printed. */
async function together(n: number, body: string): Promise<string[]> {
  const lock = pathToFileURL(join(import.meta.dirname, '../../native-models/pipelines/snapshot.ts')).href;
  const script = `import { lockOutput as lock } from ${JSON.stringify(lock)}; import fs from 'node:fs'; const out = ${JSON.stringify(out)}; const sleep = ms => new Promise(r => setTimeout(r, ms)); ${body}`;
  return Promise.all(
    Array.from({ length: n }, () => {
      const child = spawn(process.execPath, ['--no-warnings', ...process.execArgv, '--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let said = '';
      child.stdout.on('data', (b: Buffer) => (said += b.toString()));
      return new Promise<string>(done => child.on('close', () => done(said.trim())));
    }),
  );
}

test('six processes at once after a dead holder: exactly one gets it', async () => {
  const dead = await deadPid();
  writeFileSync(join(folder, `.clip.mp4.${dead}-123-0123abcd.lock`), '');
  const said = await together(
    6,
    `try { const unlock = await lock(out, 2500); console.log('won'); await sleep(5000); unlock(); } catch (e) { console.log(e.code); }`,
  );
  assert.deepEqual(said.toSorted(), ['busy', 'busy', 'busy', 'busy', 'busy', 'won']);
  assert.deepEqual(listing(), []);
});

test('four processes in turn, some of which die holding it: never two at a time', async () => {
  const inside = join(folder, 'inside');
  const said = await together(
    4,
    `for (let i = 0; i < 8; i++) {
       const unlock = await lock(out, 60000);
       fs.writeFileSync(${JSON.stringify(inside)}, '', { flag: 'wx' }); // fails if another is inside
       await sleep(5);
       fs.rmSync(${JSON.stringify(inside)});
       if (i === 7) { console.log('through'); process.kill(process.pid, 'SIGKILL'); }
       unlock();
     }`,
  );
  assert.deepEqual(said, ['through', 'through', 'through', 'through']);
  (await lockOutput(out, 0))();
  assert.deepEqual(listing(), []);
});
