/** @file Known checkpoints on their way into a library, adapters that the library keeps a copy of, and the offline switch, through the studio as every client sees it. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { lookAtMachine } from '../../electron/cli/machine.ts';
import { api } from '../../electron/contract/api.ts';
import type { CatalogueEntry } from '../../electron/contract/catalogue.ts';
import { event as eventSchema, type StudioEvent } from '../../electron/contract/events.ts';
import type { Download } from '../../electron/contract/records.ts';
import { client, inProcess } from '../../electron/contract/rpc.ts';
import { clipEngine } from '../../electron/cli/engine.ts';
import { known, toybox } from '../../electron/cli/toybox.ts';
import { receiptName } from '../../electron/studio/downloads.ts';
import { openStudio } from '../../electron/studio/owner.ts';
import { fileSecrets } from '../../electron/studio/secrets.ts';
import { startStudio, type Studio, type StudioOptions } from '../../electron/studio/studio.ts';
import { startHub as startOne, type Hub } from '../support/hub.ts';
import { refused } from '../support/library.ts';
import { painter } from '../support/painter.ts';
import { root, run, sleep } from '../support/run.ts';

const all = mkdtempSync(join(tmpdir(), 'protagonist-known-'));
const verifier = clipEngine(30);
const hubs: Hub[] = [];
after(async () => {
  await verifier.close();
  await Promise.all(hubs.map(hub => hub.close()));
  rmSync(all, { recursive: true, force: true });
});

/** A real checkpoint, as small as they come. */
const tiny = join(root, 'test/parity/cases/tiny');
const files = new Map(
  readdirSync(tiny, { recursive: true, withFileTypes: true })
    .filter(e => e.isFile())
    .map(e => join(e.parentPath, e.name))
    .map(file => [file.slice(tiny.length + 1).replaceAll('\\', '/'), readFileSync(file)]),
);
const total = [...files.values()].reduce((n, b) => n + b.length, 0);
const startHub = async (options: Partial<Parameters<typeof startOne>[0]> = {}): Promise<Hub> => {
  const hub = await startOne({ files, ...options });
  hubs.push(hub);
  return hub;
};
const licence = 'Some Licence',
  id = 'some-model';

let n = 0;
const newHome = (): string => {
  const home = join(all, `library-${++n}`);
  mkdirSync(home);
  return home;
};
const optionsOf = (home: string, hub: Hub | undefined, more: Partial<StudioOptions> = {}): StudioOptions => ({
  home,
  version: (createRequire(import.meta.url)('../../package.json') as { version: string }).version,
  engine: { ...painter(), verify: (...order) => verifier.verify(...order) },
  verifier: { verify: (...order) => verifier.verify(...order), close: () => Promise.resolve() },
  embedded: [{ name: 'Toybox', path: toybox }],
  known: [...known().filter(entry => 'embedded' in entry), ...(hub ? [hub.entry] : [])] satisfies CatalogueEntry[],
  hub: { endpoint: hub?.endpoint },
  machine: lookAtMachine,
  can: { paths: true, dragOut: false, reveal: false, pickFolder: false },
  ...more,
});
let studio: Studio | undefined;
afterEach(async () => {
  await studio?.close();
  studio = undefined;
});
async function open(home: string, hub?: Hub, more: Partial<StudioOptions> = {}) {
  studio = await startStudio(optionsOf(home, hub, more));
  const events: StudioEvent[] = [];
  studio.subscribe(event => events.push(eventSchema.parse(event)));
  const replies: unknown[] = [];
  const answer: Studio['answer'] = async (...asked) => {
    const reply = await studio!.answer(...asked);
    replies.push(reply);
    return reply;
  };
  const call = client(api, inProcess(answer, studio.subscribe));
  const now = async (): Promise<Download> => (await call.downloads.list({})).downloads.find(d => d.id === id)!;
  const until = async (...states: Download['state'][]): Promise<Download> => {
    for (const end = performance.now() + 60_000; performance.now() < end; await sleep(10)) {
      const found = await now();
      const told = events.some(e => e.type === 'download' && e.download.id === id && e.download.state === found.state);
      if (told && states.includes(found.state)) return found;
    }
    assert.fail(`it is ${JSON.stringify(await now())}`);
  };
  const close = async () => {
    await studio?.close();
    studio = undefined;
  };
  return { call, events, replies, now, until, close };
}
const everyFile = (folder: string) =>
  existsSync(folder) ? readdirSync(folder, { recursive: true, withFileTypes: true }).filter(e => e.isFile()).length : 0;

test('one that has come is a checkpoint by itself, wherever the library goes; off the list it can be put back without the hub, or thrown away', async () => {
  const hub = await startHub(),
    home = newHome(),
    { call, events, now, until, close } = await open(home, hub);
  const { downloads, network } = await call.downloads.list({});
  assert.deepEqual(
    downloads.map(d => [d.id, d.state, d.checkpointId]),
    [
      ['toybox', 'here', 'k1'],
      [id, 'none', null],
    ],
  );
  assert.equal(network.offline, false);
  assert.equal(network.endpoint, `${hub.endpoint}/`);
  assert.ok(network.contacts.some(c => c.host === '127.0.0.1') && network.contacts.every(c => c.why !== ''));
  for (const accepted of [null, 'MIT', ''])
    await assert.rejects(
      call.downloads.start({ id, accepted }),
      refused('needsConfirmation', /comes under the Some Licence \(https:\/\/example.com/),
    );
  await assert.rejects(
    call.downloads.start({ id: 'other' }),
    refused('notFound', /no checkpoint is known by the name other: there are toybox, some-model/),
  );
  assert.equal((await call.downloads.start({ id: 'toybox' })).state, 'here');
  await assert.rejects(call.downloads.cancel({ id: 'toybox' }), refused('conflict', /comes with Protagonist/));
  await assert.rejects(call.downloads.pause({ id }), refused('conflict', /nothing to pause/));
  assert.deepEqual([hub.asked.length, everyFile(join(home, 'checkpoints'))], [0, 0], 'nobody was asked before');

  const begun = await call.downloads.start({ id, accepted: licence });
  assert.equal(begun.state, 'listing');
  const here = await until('here');
  assert.deepEqual([here.checkpointId, here.have, here.bytes, here.exact, here.files.length], ['k2', total, total, true, files.size]);
  const { checkpoints } = await call.checkpoints.list({});
  assert.deepEqual(
    checkpoints.map(c => [c.name, c.isDefault, c.missing, c.embedded]),
    [
      ['Toybox', true, false, true],
      ['Some Model', false, false, false],
    ],
  );
  const told = events.flatMap(e => (e.type === 'download' ? [e.download] : []));
  assert.deepEqual(told.at(-1), here);
  assert.ok(
    told.some(d => d.state === 'downloading' && d.files.every(f => f.state === 'checking')),
    'it is read before it is here',
  );
  assert.ok(events.some(e => e.type === 'checkpoint' && e.checkpoint.id === 'k2'));
  assert.doesNotMatch(JSON.stringify([...events, here]), new RegExp(home));
  assert.equal((await call.downloads.start({ id })).state, 'here');
  await assert.rejects(call.downloads.cancel({ id }), refused('conflict', /is the checkpoint k2/));
  const kinds = Object.fromEntries((await call.storage.show({})).kinds.map(k => [k.kind, k]));
  assert.deepEqual([kinds['checkpoints']!.cleanable, kinds['work']!.cleanable], [0, 0]);
  assert.deepEqual((await call.storage.check({})).orphans, []);
  await close();

  const moved = `${home}-moved`;
  renameSync(home, moved);
  const again = await open(moved, hub),
    asked = hub.asked.length;
  assert.deepEqual(
    (await again.call.checkpoints.list({})).checkpoints.map(c => c.missing),
    [false, false],
  );
  assert.equal((await again.now()).state, 'here');
  await again.call.checkpoints.remove({ id: 'k2' });
  assert.deepEqual(await again.now().then(d => [d.state, d.have]), ['begun', total], 'its files stay, and it stays off the list');
  await again.call.settings.edit({ offline: true });
  await again.call.downloads.start({ id });
  const back = await again.until('here');
  assert.equal(back.checkpointId, 'k3');
  assert.equal(hub.asked.length, asked, 'nobody was asked');
  await again.call.checkpoints.remove({ id: 'k3' });
  assert.deepEqual(await again.call.downloads.cancel({ id }).then(d => [d.state, d.have]), ['none', 0]);
  assert.equal(everyFile(join(moved, 'checkpoints')), 0);
  assert.deepEqual([now === again.now, (await again.call.checkpoints.list({})).checkpoints.length], [false, 1]);
});

test('its files go with it only where they were downloaded, and only when that is said', async () => {
  const hub = await startHub(),
    home = newHome(),
    { call, events, now, until } = await open(home, hub);
  await call.downloads.start({ id, accepted: licence });
  await until('here');
  const folder = join(home, 'checkpoints', id);
  writeFileSync(join(folder, 'note.txt'), 'a person put this here');
  const bytes = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(e => e.isFile())
    .reduce((sum, e) => sum + statSync(join(e.parentPath, e.name)).size, 0);
  assert.ok(bytes > total);

  await assert.rejects(call.checkpoints.remove({ id: 'k1', files: true }), refused('conflict', /comes with Protagonist/));
  const own = join(all, 'a-persons-own');
  cpSync(folder, own, { recursive: true }); // with the receipt that the download left
  writeFileSync(join(own, 'scheduler/scheduler_config.json'), `${readFileSync(join(own, 'scheduler/scheduler_config.json'), 'utf8')} `);
  const mine = await call.checkpoints.add({ path: own, name: 'Mine' });
  await assert.rejects(
    call.checkpoints.remove({ id: mine.id, files: true }),
    refused('conflict', /^the files of Mine were not downloaded by Protagonist and stay where they are/),
  );
  const placed = join(home, 'checkpoints', 'placed'); // in the library, but put there by a person
  cpSync(own, placed, { recursive: true });
  rmSync(join(placed, receiptName));
  await call.checkpoints.find({ id: mine.id, path: placed });
  await assert.rejects(call.checkpoints.remove({ id: mine.id, files: true }), refused('conflict', /^the files of Mine were not/));
  assert.deepEqual((await call.checkpoints.list({})).checkpoints.map(c => c.id), ['k1', 'k2', mine.id]); // prettier-ignore
  assert.deepEqual(await call.checkpoints.remove({ id: mine.id }), { bytes: 0 });
  assert.ok(existsSync(join(placed, 'model_index.json')) && existsSync(join(own, 'model_index.json')));

  await call.checkpoints.edit({ id: 'k2', isDefault: true });
  events.length = 0;
  const [job] = (await call.jobs.enqueue({ request: { prompt: 'a toy', checkpoint: 'k2', numFrames: 9, width: 64, height: 64, numInferenceSteps: 1 } })).jobs; // prettier-ignore
  await assert.rejects(call.checkpoints.remove({ id: 'k2', files: true }), refused('conflict', /1 waiting job needs Some Model/));
  assert.equal((await now()).state, 'here');
  await call.jobs.cancel({ id: job!.id });
  assert.deepEqual(await call.checkpoints.remove({ id: 'k2', files: true }), { bytes });
  assert.ok(!existsSync(folder));
  const gone = await now();
  assert.deepEqual([gone.state, gone.have, gone.checkpointId], ['none', 0, null]);
  const told = events.flatMap(e => (e.type === 'download' ? [e.download] : []));
  assert.deepEqual(told.at(-1), gone, 'whoever looks at the downloads is told');
  assert.ok(events.some(e => e.type === 'gone' && e.id === 'k2'));
  assert.ok(
    events.some(e => e.type === 'checkpoint' && e.checkpoint.id === 'k1' && e.checkpoint.isDefault),
    'another one is the default now',
  );
  await assert.rejects(call.checkpoints.remove({ id: 'k2', files: true }), refused('notFound'));
  assert.deepEqual((await call.storage.check({})).orphans, []);

  // it can come again; off the list without its files it is as begun, which is told too
  await call.downloads.start({ id, accepted: licence });
  const { checkpointId } = await until('here');
  events.length = 0;
  assert.deepEqual(await call.checkpoints.remove({ id: checkpointId! }), { bytes: 0 });
  assert.deepEqual(events.flatMap(e => (e.type === 'download' ? [[e.download.state, e.download.checkpointId]] : [])), [['begun', null]]); // prettier-ignore
  assert.equal(everyFile(folder), files.size + 1);
});

test('paused, closed and opened it goes on from what is there, unasked about its licence; what came just before the end is taken up by itself', async () => {
  const hub = await startHub({ slow: true }),
    home = newHome(),
    first = await open(home, hub);
  if (process.platform === 'linux') hub.carefulFrom = 0; // what lies in the system's buffers would count as sent
  hub.holdAt = total / 5;
  await first.call.downloads.start({ id, accepted: licence });
  while ((await first.now()).have < total / 10) await sleep(5);
  assert.equal((await first.call.downloads.start({ id })).state, 'downloading', 'it is under way already');
  const paused = await first.call.downloads.pause({ id }),
    { sent } = hub;
  assert.ok(paused.state === 'begun' && paused.have >= total / 10 && paused.have < total && paused.bytes === total, JSON.stringify(paused));
  await sleep(100);
  assert.equal(hub.sent, sent, 'nothing comes while it is paused');
  const shown = Object.fromEntries((await first.call.storage.show({})).kinds.map(k => [k.kind, k]));
  const [own] = (await first.call.checkpoints.list({})).checkpoints;
  assert.ok(shown['checkpoints']!.bytes >= own!.bytes + paused.have && shown['work']!.cleanable === 0);
  assert.deepEqual((await first.call.storage.check({})).orphans, []);
  hub.holdAt = total / 2;
  await first.call.downloads.start({ id });
  await first.close(); // in the middle of it
  hub.holdAt = Infinity;
  assert.equal(everyFile(join(home, 'checkpoints', id)), 0);

  const second = await open(home, hub);
  assert.equal((await second.now()).state, 'begun');
  await second.call.downloads.start({ id });
  await second.until('here');
  assert.ok(hub.sent <= total + 2 * 3 * 2 * 2 ** 14, `${hub.sent} bytes were sent for ${total}`); // two stops, three files at once, a piece or two of each
  await second.close();

  // an owner that was killed between the folder and its row
  const other = newHome();
  mkdirSync(join(other, 'checkpoints'));
  cpSync(join(home, 'checkpoints', id), join(other, 'checkpoints', id), { recursive: true });
  const asked = hub.asked.length,
    third = await open(other, hub);
  assert.equal((await third.until('here')).checkpointId, 'k2');
  assert.equal(hub.asked.length, asked);
});

test('canceled it leaves nothing; two calls at once are one download; what is no checkpoint says so and can be tried again', async () => {
  const slow = await startHub({ slow: true }),
    home = newHome(),
    first = await open(home, slow);
  slow.holdAt = total / 5;
  const both = await Promise.all([0, 1, 2].map(() => first.call.downloads.start({ id, accepted: licence })));
  assert.ok(both.every(d => d.state === 'listing' || d.state === 'downloading'));
  while ((await first.now()).have < total / 20) await sleep(5);
  const [canceled] = await Promise.all([
    first.call.downloads.cancel({ id }),
    first.call.downloads.pause({ id }).catch(refused('conflict')),
  ]);
  assert.equal(canceled.state, 'none');
  assert.deepEqual(readdirSync(join(home, 'checkpoints')), []);
  const put = join(home, 'checkpoints', id, 'model_index.json'); // by a person
  mkdirSync(join(put, '..'));
  writeFileSync(put, '{}');
  await first.call.downloads.start({ id, accepted: licence });
  assert.match((await first.until('failed')).failure!.text, /^checkpoints\/some-model holds something else already/);
  assert.equal((await first.call.downloads.cancel({ id })).state, 'none');
  assert.ok(existsSync(put), 'it is not ours to delete');
  rmSync(join(put, '..'), { recursive: true });
  await first.close();

  let wrong = true as boolean;
  const lying = await startHub({ misbehave: () => (wrong ? 'wrongBytes' : undefined) }),
    second = await open(home, lying);
  await second.call.downloads.start({ id, accepted: licence });
  const failed = await second.until('failed');
  assert.match(failed.failure!.text, /arrived twice with other bytes than the hub promises/);
  assert.equal(failed.failure!.code, 'badFile');
  assert.ok(second.events.some(e => e.type === 'download' && e.download.state === 'failed'));
  wrong = false;
  await second.call.downloads.start({ id, accepted: licence });
  await second.until('here');
  await second.close();

  // whole, as the hub has it, and yet nothing that can be run
  const broken = await startHub({ files: new Map([...files].filter(([path]) => !path.startsWith('vae/'))) }),
    third = await open(newHome(), broken);
  await third.call.downloads.start({ id, accepted: licence });
  const useless = await third.until('failed');
  assert.match(useless.failure!.text, /vae/);
  assert.doesNotMatch(useless.failure!.text, new RegExp(all));
  assert.equal((await third.call.downloads.cancel({ id })).state, 'none');
});

test('a wrong HF_ENDPOINT or HF_TOKEN keeps no library shut, and is told without its secrets', async () => {
  for (const [hub, words] of [
    [{ endpoint: 'ftp://me:secret@x' }, /HF_ENDPOINT holds something/],
    [{ endpoint: 'http://example.com' }, /is not encrypted/],
    [{ token: 'hf_secret\r\nx: y' }, /HF_TOKEN holds characters/],
  ] as const) {
    const { call, close } = await open(newHome(), undefined, { hub, known: known() });
    assert.equal((await call.checkpoints.list({})).checkpoints.length, 1);
    for (const asked of [call.downloads.list({}), call.downloads.start({ id: 'cogvideox-5b', accepted: 'CogVideoX License' })])
      await assert.rejects(asked, (e: Error) => {
        assert.doesNotMatch(e.message, /secret/);
        return refused('badInput', words)(e);
      });
    await close();
  }
});

/** The files below a folder that hold these bytes. */
const holding = (folder: string, text: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(e => e.isFile() && readFileSync(join(e.parentPath, e.name)).includes(text))
    .map(e => e.name);

test('what the hub gives only to people it knows needs a token, which reaches the hub alone and no file, event or sentence', async () => {
  const token = 'hf_rightTOKEN0123456789',
    stranger = 'hf_strangerTOKEN987654',
    hub = await startHub({ gate: token }),
    home = newHome(),
    config = join(all, 'config'),
    file = join(config, 'protagonist/secrets/hub.json'),
    secrets = fileSecrets(file),
    { call, events, until, close, replies } = await open(home, hub, { secrets });
  const page = `${hub.endpoint}/somebody/Some-Model`;
  const fails = async (words: RegExp) => {
    await call.downloads.start({ id, accepted: licence });
    const { failure } = await until('failed');
    assert.deepEqual([failure!.code, failure!.action], ['needsToken', 'enterToken']);
    assert.match(failure!.text, words);
    assert.ok(!failure!.text.includes('hf_'));
    return failure!.text;
  };
  assert.deepEqual(await call.network.show({}), (await call.downloads.list({})).network);
  assert.ok((await fails(/^the hub gives somebody\/Some-Model only to people it knows: accept its licence at .*, then enter an access token/)).includes(page));
  for (const wrong of ['', 'short', 'two words here', `${token}\r\nx: y`, 'ü'.repeat(20), 'x'.repeat(201)])
    await assert.rejects(call.network.setToken({ token: wrong }), (e: Error) => {
      assert.ok(wrong === '' || !e.message.includes(wrong));
      return refused('badInput', /token: an access token has 8 to 200 letters/)(e);
    });
  assert.ok(!existsSync(config));

  const entered = await call.network.setToken({ token: stranger });
  assert.deepEqual([entered.token, entered.text], ['file', null]);
  assert.equal((await until('none')).failure, null, 'it can be tried again');
  assert.ok((await fails(/^the hub does not give somebody\/Some-Model to the owner of this access token: accept its licence/)).includes(page));
  await call.network.setToken({ token });
  await call.downloads.start({ id, accepted: licence });
  await until('here');
  assert.ok(hub.asked.some(a => a.port === 'cdn') && hub.asked.filter(a => a.port === 'cdn').every(a => a.authorization === undefined));
  assert.ok(hub.asked.filter(a => a.port === 'hub').every(a => [undefined, `Bearer ${stranger}`, `Bearer ${token}`].includes(a.authorization)));
  assert.ok(hub.asked.every(a => !a.url.includes('hf_')));
  assert.deepEqual(events.flatMap(e => (e.type === 'network' ? [e.network.token] : [])), ['file', 'file']);

  // a second owner at the same file: what it forgets is forgotten
  await call.backups.create({});
  const another = await startStudio(optionsOf(newHome(), hub, { secrets: fileSecrets(file) })),
    second = client(api, inProcess(another.answer, another.subscribe));
  assert.equal((await second.network.show({})).token, 'file');
  for (const secret of [token, stranger]) {
    assert.deepEqual(holding(home, secret), [], 'the library, open');
    assert.ok(!JSON.stringify(events).includes(secret) && !JSON.stringify(replies).includes(secret));
  }
  assert.deepEqual(holding(config, token), ['hub.json']);
  assert.equal((await second.network.setToken({ token: null })).token, 'none');
  await another.close();
  assert.equal((await call.network.show({})).token, 'none');
  await close();
  for (const secret of [token, stranger]) assert.deepEqual([...holding(home, secret), ...holding(config, secret)], [], 'the library, closed');

  // a damaged file is told, and keeps nothing else from working
  writeFileSync(file, `{"token":"${token}"`);
  const third = await open(newHome(), hub, { secrets });
  const { token: by, text } = await third.call.network.show({});
  assert.equal(by, 'file');
  assert.match(text!, /its file is damaged: enter the token again$/);
  assert.equal((await third.call.downloads.list({})).network.text, text);
  await third.close();
  // HF_TOKEN wins
  const fourth = await open(newHome(), hub, { secrets, hub: { endpoint: hub.endpoint, token } });
  assert.equal((await fourth.call.network.show({})).token, 'environment');
  await assert.rejects(fourth.call.network.setToken({ token: stranger }), refused('conflict', /^HF_TOKEN is set and wins/));
  await fourth.call.downloads.start({ id, accepted: licence });
  await fourth.until('here');
  assert.equal(readFileSync(file, 'utf8'), `{"token":"${token}"`, 'HF_TOKEN is never written');
}); // prettier-ignore

test('at the command line a token is read from standard input, never an argument, and said by nothing', async () => {
  const token = 'hf_typedTOKEN0123456789',
    home = newHome(),
    config = join(all, 'typed'),
    env = { PROTAGONIST_HOME: home, XDG_CONFIG_HOME: config, APPDATA: config, HF_TOKEN: '' };
  const cli = async (words: readonly string[], input?: string, more: Record<string, string> = {}) => {
    const ended = await run(['network', ...words], { env: { ...env, ...more }, ...(input !== undefined && { input }) });
    assert.ok(!(ended.stdout + ended.stderr).includes(token));
    return ended;
  };
  const empty = await cli(['token']);
  assert.equal(empty.status, 2);
  assert.match(empty.stderr, /^standard input is empty: give the access token there, as in: protagonist network token < FILE\n$/);
  const argument = await run(['network', 'token', 'hf_anArgument'], { env });
  assert.deepEqual([argument.status, argument.stderr.includes('hf_anArgument')], [2, false], argument.stderr);
  const wrong = await cli(['token', '--json'], 'hf_short and more\n');
  assert.deepEqual([wrong.status, wrong.lines.length, wrong.lines[0]!['text']], [2, 1, 'an access token has 8 to 200 letters, digits and signs without spaces (hf_…): copy it whole from the hub']);
  const kept = await cli(['token'], `\n${token}\r\n`);
  assert.deepEqual([kept.status, kept.stdout], [0, 'An access token is kept, in a file that only you can read.\n'], kept.stderr);
  const shown = await cli(['--json']);
  assert.deepEqual([shown.lines[0]!['token'], shown.lines[0]!['text']], ['file', null]);
  assert.match((await cli([], undefined, { HF_ENDPOINT: 'https://mirror.example' })).stdout, /kept is for huggingface\.co and is not sent to mirror\.example/);
  assert.match((await cli(['token'], token, { HF_TOKEN: 'hf_environment' })).stderr, /^HF_TOKEN is set and wins/);
  assert.equal((await cli(['token', '--remove', '--json'])).lines[0]!['token'], 'none');
  assert.deepEqual([...holding(home, token), ...holding(config, token)], []);
}); // prettier-ignore

test('an adapter is copied whole, told without a path, and its copy goes with it', async () => {
  const home = newHome(),
    mine = join(all, 'mine.safetensors'),
    { call, close } = await open(home);
  cpSync(join(toybox, 'adapter/pytorch_lora_weights_transformer.safetensors'), mine);
  const bytes = readFileSync(mine);
  writeFileSync(mine, Buffer.concat([bytes.subarray(0, -1), Buffer.from([0x3c])])); // not the one that comes with the program
  const lying = await call.adapters.add({ path: mine, name: 'Mine' });
  const [added, twice] = await Promise.all([
    call.adapters.add({ path: mine, copy: true, scale: 0.5 }),
    call.adapters.add({ path: mine, copy: true, scale: 0.5 }),
  ]);
  assert.deepEqual([added.id, added.name, added.scale, twice.id], [lying.id, 'Mine', 0.5, lying.id]);
  assert.deepEqual(readdirSync(join(home, 'adapters')), [added.sha256]);
  rmSync(mine);
  const seen = await call.adapters.inspect({ id: added.id });
  assert.deepEqual([seen.ranks.length, seen.modules > 0, seen.bytes], [1, true, bytes.length]);
  assert.doesNotMatch(JSON.stringify(seen), /protagonist-known|safetensors/);
  await close();

  const moved = `${home}-moved`;
  renameSync(home, moved);
  const again = await open(moved);
  const found = (await again.call.adapters.list({})).adapters.find(a => a.id === added.id)!;
  assert.equal(found.missing, false);
  // copies that were killed, and of nobody
  const stray = join(moved, 'adapters', 'f'.repeat(64)),
    own = join(moved, 'adapters', 'a friend’s.safetensors'),
    lost = join(moved, 'checkpoints', 'forgotten.part');
  for (const folder of [stray, `${stray}.part`, lost]) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'x'), Buffer.alloc(1000));
  }
  writeFileSync(own, 'x');
  assert.equal((await again.call.storage.check({})).orphans.length, 3);
  assert.equal((await again.call.storage.show({})).kinds.find(k => k.kind === 'work')!.cleanable, 3000);
  assert.deepEqual(await again.call.storage.clean({ kinds: ['work'] }), { files: 3, bytes: 3000 });
  assert.ok(existsSync(own) && everyFile(join(moved, 'adapters', added.sha256)) === 1);

  const file = join(moved, 'adapters', added.sha256, 'mine.safetensors');
  writeFileSync(file, readFileSync(file).subarray(0, 100));
  await assert.rejects(again.call.adapters.inspect({ id: added.id }), e => {
    assert.doesNotMatch(String(e), new RegExp(all));
    return refused('badFile')(e);
  });
  await again.call.adapters.remove({ id: added.id });
  assert.equal(existsSync(join(moved, 'adapters', added.sha256)), false);
  await assert.rejects(again.call.adapters.inspect({ id: added.id }), refused('notFound'));
  const [embedded] = (await again.call.adapters.list({})).adapters;
  assert.ok((await again.call.adapters.inspect({ id: embedded!.id })).modules > 0);
  await assert.rejects(again.call.adapters.add({ path: toybox, copy: true }), refused('badFile', /is a checkpoint/));
});

test('the switch ends what is under way and lets nothing begin; a setting of a later program does not lift it', async t => {
  const hub = await startHub(),
    home = newHome(),
    first = await open(home, hub);
  hub.holdAt = total / 5;
  await first.call.downloads.start({ id, accepted: licence });
  while ((await first.now()).have < total / 20) await sleep(5);
  await first.call.settings.edit({ offline: true });
  // what was dialled, not what came to the hub: a request of the moment before may still be on its way
  let dialled = 0 as number;
  const dial = () => dialled++;
  subscribe('net.client.socket', dial);
  t.after(() => unsubscribe('net.client.socket', dial));
  const since = performance.now(),
    ended = await first.until('failed');
  assert.ok(performance.now() - since < 20_000, 'it was not ended: the hub stood still until its connection counted as dead');
  assert.match(ended.failure!.text, /the offline switch is on/);
  assert.ok(ended.have > 0);
  await assert.rejects(first.call.downloads.start({ id, accepted: licence }), refused('conflict', /the offline switch is on/));
  await sleep(100);
  assert.equal(dialled, 0);
  assert.equal((await first.call.downloads.list({})).network.offline, true);
  await first.close();

  const { openDatabase } = await import('../../electron/studio/database.ts');
  const db = openDatabase(join(home, 'library.db'));
  db.run(`UPDATE settings SET value = json_set(value, '$.device', 'quantum') WHERE key = 'settings'`);
  db.close();
  const second = await open(home, hub);
  const { device, offline } = await second.call.settings.show({});
  assert.deepEqual([device, offline], ['auto', true]);
  await assert.rejects(second.call.downloads.start({ id }), refused('conflict', /the offline switch is on/));
  assert.equal(dialled, 0);
  hub.holdAt = Infinity;
  await second.call.settings.edit({ offline: false });
  await second.call.downloads.start({ id });
  await second.until('here');
  assert.notEqual(dialled, 0, 'no connection is seen here, whatever is dialled');
});

test(
  'with the switch on the whole studio opens no socket but local ones, whatever is asked (Linux, strace)',
  { timeout: 600_000 },
  async t => {
    const traced = ['-f', '--seccomp-bpf', '-e', 'trace=socket,connect,sendto,sendmsg,sendmmsg'];
    if (spawnSync('strace', [...traced, '-o', join(all, 'try'), 'true']).status !== 0) return t.skip('no strace');
    const whole = async (offline: boolean, env: Record<string, string>) => {
      const log = join(all, `trace-${offline}`);
      const child = spawn(
        'strace',
        [...traced, '-o', log, process.execPath, join(root, 'test/support/offline-child.ts'), newHome(), String(offline)],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
          env: { ...process.env, ...env },
        },
      );
      let said = '';
      child.stdout.on('data', (text: Buffer) => (said += text.toString()));
      assert.equal(await new Promise(done => child.on('close', done)), 0, said);
      const out = readFileSync(log, 'utf8').split('\n').filter(line => /(?:socket|connect|sendto|sendm?msg)\(/.test(line) && /AF_INET|AF_NETLINK|:53\b|htons\(53\)/.test(line)); // prettier-ignore
      return { said: JSON.parse(said) as { calls: number; methods: number; refused: number; ok: number }, out };
    };
    const quiet = await whole(true, {}); // at the real hub's address
    assert.deepEqual(quiet.out, []);
    const { calls, methods, refused: no, ok } = quiet.said;
    assert.ok(methods === Object.values(api).flatMap(Object.keys).length && no === 2 && ok > 20, JSON.stringify(quiet.said));
    const loud = await whole(false, { HF_ENDPOINT: 'http://127.0.0.1:9' });
    assert.ok(
      loud.out.some(line => line.includes('connect(') && line.includes('htons(9)')),
      'the trace would not have shown it',
    );
    t.diagnostic(`${calls} calls of ${methods} methods, ${ok} of them answered: 0 sockets; with the switch off ${loud.out.length} calls`);
  },
);

test('at the command line: the licence first, progress, the end; pause and discard; the switch', async () => {
  let stands = true;
  const hub = await startHub({ slow: true, misbehave: path => (stands && path.startsWith('transformer/') ? 'slow' : undefined) }),
    home = newHome();
  const { version } = optionsOf(home, hub);
  const owner = await openStudio(home, () => startStudio(optionsOf(home, hub)), { version });
  const cli = (...words: string[]) => run([...words, '--home', home]);
  try {
    const shown = await cli('checkpoint', 'catalogue');
    assert.match(shown.stdout, /^some-model {2}Some Model\n.*\n? {2}licence +Some Licence, https:\/\/example.com\/licence/m);
    const unasked = await cli('checkpoint', 'download', 'Some Model');
    assert.equal(unasked.status, 2);
    assert.match(unasked.stderr, /read and accept it first, then add --accept 'Some Licence'/);
    assert.equal((await cli('checkpoint', 'download', id, '--accept', 'MIT')).status, 2);
    assert.match(
      (await cli('checkpoint', 'download', 'no-model')).stderr,
      /no checkpoint is known by the name 'no-model': there are toybox, some-model/,
    );
    assert.equal(hub.asked.length, 0);
    const off = await cli('network', '--offline');
    assert.match(off.stdout, /^The offline switch is on: nothing is contacted\.\n$/);
    assert.match((await cli('checkpoint', 'download', id, '--accept', licence)).stderr, /the offline switch is on/);
    const on = await cli('network', '--offline=no', '--json');
    assert.equal(on.lines[0]!['offline'], false);
    const detached = await cli('checkpoint', 'download', id, '--accept', licence, '--detach');
    assert.equal(detached.status, 0, detached.stderr);
    const paused = await cli('checkpoint', 'pause', id, '--json');
    stands = false;
    assert.equal((paused.lines[0]!['download'] as Download).state, 'begun');
    assert.equal((await cli('checkpoint', 'discard', id)).status, 2, 'nobody to ask');
    assert.equal((await cli('checkpoint', 'discard', id, '--yes')).status, 0);
    const whole = await cli('checkpoint', 'download', id, '--accept', licence);
    assert.equal(whole.status, 0, whole.stderr);
    assert.match(whole.stdout, /^Some Model: here, as k2\n$/);
    assert.match(whole.stderr, /Downloading \.\.\. .* of 556 kB/);
    const added = await cli('adapter', 'inspect', 'a1');
    assert.match(added.stdout, /rank +\d+\n/);
  } finally {
    await owner.close();
  }
  const alone = await run(['checkpoint', 'download', 'cogvideox-2b', '--accept', 'Apache-2.0', '--home', home], {
    env: { HF_ENDPOINT: hub.endpoint },
  });
  assert.equal(alone.status, 1);
  assert.match(alone.stderr, /the hub has no list of files of zai-org\/CogVideoX-2b: check HF_ENDPOINT/);
  assert.match(
    (await run(['checkpoint', 'download', 'cogvideox-2b', '--detach', '--accept', 'Apache-2.0', '--home', home])).stderr,
    /leave out --detach/,
  );
});
