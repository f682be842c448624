/** @file Every method of the API under inputs of its shape, nearly of it, and junk: at the parser, and carried out on a real library. PROTAGONIST_FUZZ=10000,300 sets how many of each; PROTAGONIST_SEED repeats a run. */
import assert from 'node:assert/strict';
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { lookAtMachine } from '../../electron/cli/machine.ts';
import { api } from '../../electron/contract/api.ts';
import { failure } from '../../electron/contract/errors.ts';
import { host, type Api, type HostOf } from '../../electron/contract/rpc.ts';
import { StudioError } from '../../electron/contract/errors.ts';
import { clipEngine } from '../../electron/cli/engine.ts';
import { known as catalogue, samples, toybox } from '../../electron/cli/toybox.ts';
import { client, inProcess } from '../../electron/contract/rpc.ts';
import { event as eventSchema } from '../../electron/contract/events.ts';
import { describeFailure } from '../../electron/studio/failures.ts';
import { startStudio } from '../../electron/studio/studio.ts';
import { integrity, toy } from '../support/day.ts';
import { painter } from '../support/painter.ts';
import { sleep } from '../support/run.ts';

const late = (ms: number) => new Promise<undefined>(done => setTimeout(() => done(undefined), ms).unref());
import { hostile, inputs, likely } from '../support/arbitrary.ts';
import { randoms } from '../support/random.ts';
import { within } from '../support/time.ts';

const [parsed = 10_000, executed = 30] = (process.env['PROTAGONIST_FUZZ'] ?? '').split(',').filter(Boolean).map(Number);
const seed = Number(process.env['PROTAGONIST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const methods = Object.entries(api as Api).flatMap(([noun, verbs]) =>
  Object.entries(verbs).map(([verb, row]) => ({ name: `${noun}.${verb}`, noun, verb, row })),
);

test(`${parsed} inputs a method at the parser (seed ${seed})`, async t => {
  for (const { name, noun, verb, row } of methods)
    await t.test(name, async () => {
      let reached = 0;
      const implementation = {
        [noun]: {
          [verb]: (input: unknown) => {
            reached++;
            assert.doesNotThrow(() => JSON.stringify(input));
            throw new StudioError('notFound', 'it was reached');
          },
        },
      } as unknown as HostOf<typeof api>;
      const answer = host(api, implementation, e => describeFailure(e, '/nowhere'));
      for (const input of fc.sample(inputs(row.input, likely), { numRuns: parsed, seed })) {
        const reply = await answer(name, input);
        if (!('error' in reply)) assert.fail(`${name} answered a value to ${JSON.stringify(input)}`);
        failure.parse(reply.error);
        assert.ok(
          reply.error.code === 'badInput' || reply.error.text === 'it was reached',
          `${JSON.stringify(reply)} to ${JSON.stringify(input)}`,
        );
        assert.ok(reply.error.text.length < 10_000, `${name}: a refusal of ${reply.error.text.length} characters`);
      }
      assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
      t.diagnostic(`${name}: ${reached} of ${parsed} were valid`);
      assert.ok(reached > parsed / 50, `only ${reached} of ${parsed} inputs reached ${name}: the fuzzer is blind to it`);
    });
});

const folder = mkdtempSync(join(tmpdir(), 'protagonist-fuzz-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test(`${executed} inputs a method carried out on a real library (seed ${seed})`, { timeout: 1_800_000 }, async t => {
  const home = join(folder, 'library'),
    files = join(folder, 'files');
  mkdirSync(home, { mode: 0o700 });
  mkdirSync(join(files, 'set'), { recursive: true });
  mkdirSync(join(files, 'writable'));
  process.chdir(join(files, 'writable')); // where a relative path leads
  copyFileSync(toy('fig'), join(files, 'fig.jpg'));
  copyFileSync(toy('kelp'), join(files, 'set/kelp.jpg'));
  writeFileSync(join(files, 'set/notes.txt'), 'not a photo');
  writeFileSync(join(files, 'junk.mp4'), Buffer.alloc(5000, 7));
  symlinkSync('loop', join(files, 'loop'));
  spawnSync('mkfifo', [join(files, 'pipe')]);
  const checkpoint = join(files, 'toybox'), // a copy: clips are saved beside it
    adapterFile = join(checkpoint, 'adapter');
  cpSync(toybox, checkpoint, { recursive: true });

  const verifier = clipEngine(1);
  const start = () =>
    startStudio({
      home,
      version: '0',
      engine: { ...painter(), verify: (...order) => verifier.verify(...order) },
      verifier,
      embedded: [{ name: 'Toybox', path: checkpoint }],
      known: catalogue(),
      hub: { endpoint: 'http://127.0.0.1:9' }, // nobody is there
      machine: lookAtMachine,
      samples: samples(),
      can: { paths: true, dragOut: false, reveal: false, pickFolder: false },
    });
  let studio = await start();
  const told = new Map<string, string>();
  const secret = (what: string, text: string, given = '') => {
    for (const path of [home, 'library.db', 'lock.db'])
      if (text.includes(path) && !given.includes(path))
        // what was given may be said again
        told.set(what.split(' ')[0]!, `${what}: ${text.slice(Math.max(0, text.indexOf(path) - 200), text.indexOf(path) + 300)}`);
  };
  let events = 0;
  const listen = () =>
    studio.subscribe(said => {
      events++;
      const { error } = eventSchema.safeParse(said);
      if (error) told.set('an event', `${JSON.stringify(said).slice(0, 300)} is none: ${error.message}`); // thrown, whoever says it would catch it
      secret('an event', JSON.stringify(said));
    });
  listen();

  const call = client(api, inProcess(studio.answer, studio.subscribe));
  for (const name of ['kelp', 'fig', 'otto']) await call.subjects.add({ name, photos: [{ path: toy(name) }] });
  await call.queue.start({});
  await call.jobs.enqueue({
    request: { prompt: '@kelp hops', numFrames: 9, width: 64, height: 64, numInferenceSteps: 3 },
    batch: { seeds: 6 },
  });
  while ((await call.clips.list({})).clips.length < 6) await sleep(50);
  await call.backups.create({});

  const paths = [
    'fig.jpg', 'set', 'set/kelp.jpg', 'set/notes.txt', 'junk.mp4', 'loop', 'pipe', 'none.mp4', 'writable', 'writable/x.mp4', 'writable/y.MP4', 'writable/no/z.mp4', `writable/${'l'.repeat(300)}.mp4`,
  ].map(f => join(files, f)).concat([adapterFile, checkpoint, home, join(home, 'library.db'), join(home, 'lock.db'), join(home, 'clips'), join(home, 'clips/own.mp4'), join(home, 'photos'), '/dev/null', '/dev/full', '/dev/zero', '/etc/passwd', '/proc/self/mem', '/proc/self/environ']); // prettier-ignore
  const known = {
    ...likely,
    path: fc.oneof({ arbitrary: fc.constantFrom(...paths), weight: 4 }, { arbitrary: fc.constantFrom(...hostile), weight: 1 }),
    prompt: fc.oneof(fc.constantFrom('@kelp hops', '@fig and @kelp', '@otto {waves|sits}', '@kelp', ''), fc.constantFrom(...hostile)),
  };
  /** Nothing is written where this test does not belong. */
  const harmless = (input: unknown): boolean => {
    const path = (input as { path?: unknown } | null)?.path;
    return typeof path !== 'string' || !isAbsolute(path) || path.startsWith(folder) || existsSync(path);
  };
  const calls: { name: string; input: unknown }[] = [];
  for (const { name, row } of methods) {
    const names =
      name === 'backups.restore'
        ? { name: fc.constantFrom((await call.backups.list({})).backups[0]!.name, '../library.db', ...hostile) }
        : name.startsWith('downloads.')
          ? {
              id: fc.constantFrom(...catalogue().map(({ id }) => id), 'no-model'),
              accepted: fc.constantFrom(...catalogue().map(({ licence }) => licence.name)),
            }
          : {};
    for (const input of fc.sample(inputs(row.input, { ...known, ...names }), { numRuns: executed, seed }))
      if (harmless(input)) calls.push({ name, input });
  }
  const draw = randoms(seed);
  for (let i = calls.length - 1; i > 0; i--) {
    const j = Math.floor(draw() * (i + 1));
    [calls[i], calls[j]] = [calls[j]!, calls[i]!];
  }

  const codes: Record<string, number> = {},
    slow: string[] = [],
    wrong = new Map<string, string>();
  let next = 0;
  const lane = async () => {
    for (let i = next++; i < calls.length; i = next++) {
      const { name, input } = calls[i]!,
        began = performance.now(),
        asked = `${name} ${JSON.stringify(input ?? null).slice(0, 500)}`;
      const reply = await Promise.race([
        studio.answer(name, input === undefined ? undefined : JSON.parse(JSON.stringify(input))),
        late(60_000),
      ]);
      const seconds = (performance.now() - began) / 1000;
      assert.ok(reply !== undefined, `no reply in a minute to ${asked}`);
      if (seconds > within(5)) slow.push(`${seconds.toFixed(1)} s: ${asked.slice(0, 200)}`);
      const text = JSON.stringify(reply),
        code = 'error' in reply ? reply.error.code : 'ok';
      codes[code] = (codes[code] ?? 0) + 1;
      if (name !== 'media.locate' && name !== 'exports.command') secret(`${name}'s reply to ${asked}`, text, JSON.stringify(input));
      if (code === 'bug' || code === 'failed' || code === 'corrupt') wrong.set(`${name}: ${code}`, `${asked}: ${text}`);
      if ('error' in reply && code !== 'badInput' && /undefined|\[object|SQLITE|constraint failed|at .*:\d+:\d+/.test(text))
        wrong.set(`${name}: a sentence for nobody`, `${asked}: ${text}`);
    }
  };
  await Promise.all([lane(), lane(), lane()]);
  t.diagnostic(`${calls.length} calls, ${events} events: ${JSON.stringify(codes)}`);
  for (const line of slow) t.diagnostic(`slow: ${line}`);
  for (const line of [...wrong.values(), ...told.values()]) t.diagnostic(`WRONG: ${line}`);
  const check = (await studio.answer('storage.check', {})) as { value: { database: string; missing: unknown[]; orphans: unknown[] } };
  assert.equal(check.value.database, 'ok');
  t.diagnostic(
    `missing ${check.value.missing.length}, orphans ${check.value.orphans.length}: ${JSON.stringify(check.value).slice(0, 500)}`,
  );
  await studio.close();
  assert.equal(integrity(home), 'ok');
  assert.ok(existsSync(join(checkpoint, 'vae/config.json')), 'what is not the library’s own was deleted');

  assert.deepEqual([...wrong.keys()], []);
  assert.deepEqual([...told.keys()], [], 'paths of the library were told, or events that are none');

  // and it opens again
  studio = await start();
  assert.ok('value' in (await studio.answer('clips.list', {})));
  assert.ok('value' in (await studio.answer('jobs.list', {})));
  await studio.close();
});
