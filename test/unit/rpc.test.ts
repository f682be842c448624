/** @file The API's table, its client and its host, without any way between. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { api } from '../../electron/contract/api.ts';
import { actionOf, StudioError, type Failure } from '../../electron/contract/errors.ts';
import { client, host, inProcess, method, repeatable, type HostOf } from '../../electron/contract/rpc.ts';

const table = {
  sums: {
    add: method(z.object({ a: z.number(), b: z.number().default(1) }), z.object({ sum: z.number() })),
    refuse: method(z.object({ count: z.number().optional() }), z.void()),
    nothing: method(z.object({}).optional(), z.void()),
    leak: method(z.object({}), z.object({ id: z.string() })),
    wrong: method(z.object({}), z.object({ id: z.string() })),
    wait: method(z.object({}), z.boolean()),
  },
} as const;
const describe = (e: unknown): Failure =>
  e instanceof StudioError
    ? { code: e.code, text: e.message, action: actionOf[e.code], ...(e.count !== undefined && { count: e.count }) }
    : { code: 'bug', text: 'ours', action: 'report' };
const implementation: HostOf<typeof table> = {
  sums: {
    add: ({ a, b }) => ({ sum: a + b }),
    refuse: ({ count }) => {
      throw new StudioError('needsConfirmation', 'that is many', count === undefined ? {} : { count });
    },
    nothing: () => undefined,
    leak: () => ({ id: 'c1', path: '/home/me' }),
    wrong: () => ({ id: 5 }) as never,
    wait: (_, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) resolve(true);
        signal.addEventListener('abort', () => reject(new StudioError('canceled', 'canceled')));
      }),
  },
};
const answer = host(table, implementation, describe);
const silent = () => () => undefined;
const { sums } = client(table, inProcess(answer, silent));

test('a call there and back: defaults, errors with code, sentence and count, nothing at all', async () => {
  assert.deepEqual(await sums.add({ a: 2 }), { sum: 3 });
  assert.equal(await sums.nothing({}), undefined);
  await assert.rejects(sums.refuse({ count: 24 }), { name: 'StudioError', code: 'needsConfirmation', message: 'that is many', count: 24 });
  await assert.rejects(sums.refuse({}), (e: StudioError) => e.count === undefined);
});

test('what is no method of the table is refused, inherited names too', async () => {
  for (const name of [
    '',
    '.',
    'sums',
    'sums.',
    '.add',
    'sums.add.add',
    'sums.toString',
    'toString.call',
    '__proto__.toString',
    'constructor.name',
    'sums.__proto__',
    'sums.constructor',
    'x'.repeat(1e6),
  ]) {
    const reply = await answer(name, {});
    assert.ok('error' in reply && reply.error.code === 'unknownMethod' && reply.error.text.length < 120, name.slice(0, 80));
  }
});

test('input is parsed at the host alone, and the sentence names the field', async () => {
  const reply = await answer('sums.add', { a: 'two', b: null });
  assert.ok('error' in reply);
  assert.equal(reply.error.code, 'badInput');
  assert.match(reply.error.text, /^sums\.add: a: .*; b: /);
  for (const input of [undefined, null, 0, '', [], [[]], () => 0]) assert.ok('error' in (await answer('sums.add', input)));
});

test('of several forms that a value may have, those it comes nearest to are named', async () => {
  const nothing = (): never => assert.fail('it was called');
  const parts = new Proxy({}, { get: () => new Proxy({}, { get: () => nothing }) });
  const studio = host(api, parts as HostOf<typeof api>, e => {
    throw e;
  });
  for (const [method, input, text] of [
    ['jobs.move', { id: 'j1', to: { before: 'x1' } }, 'to: before: is no id of a job: one is written like j12'],
    [
      'jobs.move',
      { id: 'j1', to: 'up' },
      'to: Invalid input: expected "top", or Invalid input: expected "bottom", or Invalid input: expected object, received string',
    ],
    ['subjects.addPhotos', { id: 's1', photos: [{ path: '' }] }, 'photos.0.path: the path is empty'],
    ['subjects.addPhotos', { id: 's1', photos: [{ name: 'a', base64: '!' }] }, 'photos.0.base64: the bytes are not base64'],
    ['subjects.show', { id: 'S 1' }, 'id: a handle is 1 to 40 letters, digits, - or _, and begins with a letter or digit: choose another'],
  ] as const)
    // prettier-ignore
    assert.deepEqual(await studio(method, input), { error: { code: 'badInput', text: `${method}: ${text}`, action: 'edit' } });
  const photos = Array.from({ length: 500 }, () => ({ name: 'a', base64: '!' }));
  assert.match(JSON.stringify(await studio('subjects.addPhotos', { id: 's1', photos })), /photos\.19.base64: .*; and 480 more"/);
});

test('an answer is cut to its shape; one of another shape is a bug and is not handed on', async () => {
  assert.deepEqual(await answer('sums.leak', {}), { value: { id: 'c1' } });
  assert.deepEqual(await answer('sums.wrong', {}), { error: { code: 'bug', text: 'ours', action: 'report' } });
  const strange = client(
    table,
    inProcess(() => Promise.resolve({ value: { id: 7 } }), silent),
  );
  await assert.rejects(strange.sums.leak({}), { code: 'bug', message: /sums\.leak was answered in a way that is not understood/ });
});

test('a signal reaches the host; the lack of one does no harm', async () => {
  const stop = new AbortController(),
    waiting = sums.wait({}, stop.signal);
  setTimeout(() => stop.abort(), 5);
  await assert.rejects(waiting, { code: 'canceled' });
  assert.equal(await sums.wait({}, AbortSignal.abort()), true);
});

test('in process: values cross as JSON does; what JSON cannot carry is refused; closed is closed', async () => {
  const listeners = new Set<(event: unknown) => void>();
  const transport = inProcess(answer, listener => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  });
  const cycle: Record<string, unknown> = {};
  cycle['cycle'] = cycle;
  for (const input of [cycle, { a: 1n }]) {
    const reply = await transport.call('sums.add', input);
    assert.ok('error' in reply && reply.error.code === 'badInput');
  }
  const seen: unknown[] = [],
    event = { type: 'x', gone: undefined, at: new Date(0) };
  transport.subscribe(e => seen.push(e));
  const stop = transport.subscribe(e => seen.push(e));
  for (const listener of listeners) listener(event);
  assert.deepEqual(seen, Array(2).fill({ type: 'x', at: '1970-01-01T00:00:00.000Z' }));
  stop();
  assert.equal(listeners.size, 1);
  transport.close();
  assert.equal(listeners.size, 0);
  const reply = await transport.call('sums.add', { a: 1 });
  assert.ok('error' in reply && reply.error.code === 'disconnected');
});

test("which of the studio's calls may be repeated unasked", () => {
  const names = Object.entries(api).flatMap(([noun, methods]) => Object.keys(methods).map(verb => `${noun}.${verb}`));
  assert.deepEqual(names.filter(repeatable), [
    'host.describe',
    'host.machine',
    'subjects.list',
    'subjects.show',
    'photos.check',
    'clips.list',
    'clips.index',
    'clips.some',
    'clips.tags',
    'clips.frame',
    'clips.show',
    'pictures.show',
    'prompts.list',
    'exports.describe',
    'exports.list',
    'exports.show',
    'jobs.forecast',
    'jobs.list',
    'jobs.show',
    'queue.state',
    'checkpoints.list',
    'adapters.list',
    'downloads.list',
    'network.show',
    'requests.read',
    'requests.of',
    'settings.show',
    'storage.show',
    'storage.check',
    'backups.list',
    'media.read',
    'media.locate',
  ]);
});
