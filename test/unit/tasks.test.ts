/** @file Work orders: what is refused and which neighbours are named; any error as one code and one sentence. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MediaError } from '../../electron/media/error.ts';
import { DeviceError } from '../../native-models/runtime/runtime.ts';
import {
  asFailure,
  engineEvent,
  engineRequest,
  errorCodes,
  generateOrder,
  given,
  TaskError,
  type GenerateOrder,
} from '../../native-models/tasks.ts';

const order: GenerateOrder = {
  task: 'generate',
  checkpoint: '/checkpoint',
  checkpointSha256: null,
  adapters: [{ file: '/a.safetensors', scale: 0.5, sha256: '0a'.repeat(32) }],
  referenceImages: ['/photo.png'],
  startImage: null,
  fit: 'contain',
  prompt: '',
  negativePrompt: '',
  seed: null,
  numInferenceSteps: 20,
  guidanceScale: 6,
  useDynamicCfg: false,
  scheduler: 'ddim',
  numFrames: 17,
  width: 128,
  height: 128,
  fps: 8,
  device: 'auto',
  precision: 'auto',
  noiseDtype: 'float32',
  vaeTiling: false,
  previewSeconds: 10,
  threads: null,
  out: '/clip.mp4',
  keepLatents: null,
  note: null,
};
const complaint = (change: object): string => {
  const parsed = generateOrder.safeParse({ ...order, ...change });
  return parsed.success ? '' : parsed.error.issues.map(i => i.message).join('; ');
};

test('a whole order passes, also through JSON', () => {
  assert.deepEqual(generateOrder.parse(JSON.parse(JSON.stringify(order))), order);
  assert.deepEqual(engineRequest.parse({ type: 'start', order }), { type: 'start', order });
  const verify = { type: 'start', order: { task: 'verify', path: '/checkpoint' } };
  assert.deepEqual(engineRequest.parse(verify), verify);
});

const nearest: readonly (readonly [object, string])[] = [
  [{ width: 130 }, 'use 128 or 144'],
  [{ height: 100 }, 'use 96 or 112'],
  [{ width: 15 }, 'use 16'],
  [{ width: 0 }, 'use 16'],
  [{ width: -16 }, 'use 16'],
  [{ width: 5000 }, 'use 4096'],
  [{ width: 128.5 }, 'use 128 or 144'],
  [{ numFrames: 12 }, 'use 9 or 17'],
  [{ numFrames: 2 }, 'use 1 or 9'],
  [{ numFrames: 48 }, 'use 41 or 49'],
  [{ numFrames: 0 }, 'use 1'],
  [{ numFrames: 65 }, 'use 49'],
  [{ numFrames: 9.5 }, 'use 9 or 17'],
];
for (const [change, sentence] of nearest)
  test(`nearest: ${JSON.stringify(change)}`, () => {
    assert.ok(complaint(change).endsWith(sentence), complaint(change));
  });

test('every size and length that is named as near is one that can be made', () => {
  for (const field of ['width', 'height', 'numFrames'])
    for (let n = -40; n < 4200; n += n < 200 || n > 4000 ? 1 : 37) {
      const said = complaint({ [field]: n });
      if (said)
        for (const near of said.replace(/^.*: use /, '').split(' or '))
          assert.equal(complaint({ [field]: Number(near) }), '', `${field} ${near}`);
    }
});

const ranges: readonly (readonly [string, readonly number[], readonly number[]])[] = [
  ['numInferenceSteps', [1, 1000], [0, 1001, 2.5, -1]],
  ['guidanceScale', [0, 0.5, 1, 100], [-0.1, 100.1]],
  ['fps', [1, 29.97, 120], [0.9, 121]],
  ['seed', [0, 2 ** 32, Number.MAX_SAFE_INTEGER], [-1, 0.5, 2 ** 53]],
  ['threads', [1, 1024], [0, 1.5, 1025]],
  ['previewSeconds', [0, 0.01], [-1]],
];
for (const [field, good, bad] of ranges)
  test(`range: ${field}`, () => {
    for (const n of good) assert.equal(complaint({ [field]: n }), '', String(n));
    for (const n of bad) assert.match(complaint({ [field]: n }), new RegExp(`${n} is not a (whole )?number from`), String(n));
    for (const n of [NaN, Infinity, '3', undefined]) assert.notEqual(complaint({ [field]: n }), '', String(n));
  });

test('lists, texts and what nobody asked for', () => {
  assert.match(complaint({ referenceImages: Array.from({ length: 9 }, () => '/a') }), /at most 8 reference photos/);
  assert.equal(complaint({ startImage: '/start.png' }), '');
  for (const startImage of ['', undefined, 5]) assert.notEqual(complaint({ startImage }), '', String(startImage));
  assert.match(complaint({ adapters: Array.from({ length: 17 }, () => ({ file: '/a', scale: 1, sha256: null })) }), /at most 16 adapters/);
  assert.match(
    complaint({ adapters: [{ file: '/a', scale: 101, sha256: null }] }),
    /the adapter scale 101 is not a number from -100 to 100/,
  );
  assert.match(complaint({ prompt: 'x'.repeat(20_001) }), /the prompt is longer than 20000 characters/);
  assert.notEqual(complaint({ colour: 'red' }), '');
  assert.equal(complaint({ checkpointSha256: 'c0'.repeat(32), keepLatents: '/latents.safetensors' }), '');
  assert.match(complaint({ checkpointSha256: 'C0'.repeat(32) }), /a SHA-256 is 64 hexadecimal digits/);
  assert.match(complaint({ adapters: [{ file: '/a', scale: 1, sha256: '' }] }), /a SHA-256 is 64 hexadecimal digits/);
});

/** What the system really throws. */
function thrown(run: () => unknown): unknown {
  try {
    run();
  } catch (e) {
    return e;
  }
  return assert.fail('nothing was thrown');
}
const errno = (code: string) => Object.assign(new Error(`${code}: in the system's words, write`), { code, errno: -1 });

test('errors as failures', () => {
  const is = (error: unknown, code: string, text: RegExp) => {
    const failure = asFailure(error);
    assert.equal(failure.code, code);
    assert.match(failure.text, text);
    assert.deepEqual(engineEvent.parse({ type: 'failed', ...failure }), { type: 'failed', ...failure });
  };
  is(new TaskError('busy', 'another run'), 'busy', /^another run$/);
  is(errno('ENOSPC'), 'noSpace', /^the disk is full: free some space.*\(ENOSPC/);
  is(errno('EDQUOT'), 'noSpace', /share of this disk/);
  is(errno('EROFS'), 'disk', /can only be read: choose another --out/);
  is(errno('EIO'), 'disk', /^the disk reports an error.*\(EIO/);
  is(errno('EMFILE'), 'disk', /too many files are open: close some programs/);
  is(errno('ENFILE'), 'disk', /too many files are open on this machine/);
  is(errno('ENOMEM'), 'outOfMemory', /not enough memory/);
  is(errno('EACCES'), 'failed', /no permission/);
  is(
    thrown(() => readFileSync('/nowhere/at/all')),
    'failed',
    /is not there, or no longer: check the path.*\/nowhere\/at\/all/,
  );
  const folder = mkdtempSync(join(tmpdir(), 'protagonist-tasks-'));
  is(
    thrown(() => readFileSync(folder)),
    'failed',
    /that is a folder/,
  );
  rmSync(folder, { recursive: true });
  is(
    new Error('cannot write clip.mp4: the disk is full.', { cause: errno('ENOSPC') }),
    'noSpace',
    /^cannot write clip\.mp4: the disk is full\.$/,
  );
  is(
    new DeviceError('weights', 'the transformer: its weights cannot be read (errcode = 24 - Too many open files)'),
    'disk',
    /^too many files are open: close some programs.*\(the transformer: its weights cannot be read/,
  );
  is(
    new DeviceError('other', 'the transformer: ONNX Runtime: Exception', new Error('Exception during initialization SystemError : 24')),
    'disk',
    /^too many files are open/,
  );
  is(new Error('libvips: write error, No space left on device'), 'noSpace', /^the disk is full.*No space left/);
  is(
    new MediaError('cannot write a.mp4: ffmpeg was stopped by SIGKILL.', { reason: 'encoderDied' }),
    'encoderDied',
    /^cannot write a\.mp4/,
  );
  is(new DOMException('stop', 'AbortError'), 'canceled', /^canceled$/);
  is(new DeviceError('outOfMemory', 'cuda has no memory left'), 'outOfMemory', /^cuda has no memory left$/);
  is(new DeviceError('library', 'CUDA cannot be used'), 'noDevice', /CUDA cannot/);
  is(new DeviceError('noKernel', 'cpu has no kernel'), 'badRequest', /no kernel/);
  is(new DeviceError('other', 'strange'), 'failed', /strange/);
  is(
    thrown(() => new ArrayBuffer(2 ** 53 - 1)),
    'outOfMemory',
    /not enough memory for this clip: make it smaller/,
  );
  is('a bare word', 'failed', /^a bare word$/);
  is(undefined, 'failed', /undefined/);
  for (const code of errorCodes) assert.equal(asFailure(new TaskError(code, 'x')).code, code);
});

test('what is wrong with something given is a bad file, unless the system has a say', async () => {
  const code = (error: Error) =>
    given(() => {
      throw error;
    }).then(
      () => '',
      (e: unknown) => (e instanceof TaskError ? e.code : 'no TaskError'),
    );
  assert.equal(await given(() => Promise.resolve(3)), 3);
  assert.equal(await code(new Error('the shard is missing')), 'badFile');
  assert.equal(await code(errno('ENOSPC')), 'noSpace');
  assert.equal(await code(new TaskError('canceled', 'canceled')), 'canceled');
});
