/** @file When the desktop app looks for a newer one, and when not: the table of its states, what is in the way, and the whole of it over a server of its own. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MessageBoxOptions } from 'electron';
import type { Feed, Kind, Offer } from '../../electron/shell/feed.ts';
import { updateWords } from '../../electron/shell/update-words.ts';
import {
  checkPackage,
  fetchPackage,
  fetchSmall,
  followUpdates,
  hindrance,
  isDue,
  packageKind,
  recall,
  step,
  type Happening,
  type Installer,
  type State,
  type Updates,
} from '../../electron/shell/updates.ts';
import { day, feedOf, hash, newKey, now, quietLibrary, signed, startServer } from '../support/updates.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-updates-'));
after(() => rmSync(folder, { recursive: true, force: true }));
after(() => void setTimeout(() => process.exit(1), 10_000).unref()); // what a failed test has left open ends the file, not the run
let folders = 0;
const newFolder = () => {
  const made = join(folder, String(++folders));
  mkdirSync(made);
  return made;
};

describe('the states', () => {
  const offer: Offer = { version: '0.2.0', notes: '', released: '', file: 'f', size: 10, sha512: '' };
  const states: readonly State[] = [
    { at: 'idle' },
    { at: 'checking' },
    { at: 'available', offer },
    { at: 'downloading', offer, have: 0 },
    { at: 'ready', offer, agreed: false },
    { at: 'ready', offer, agreed: true },
    { at: 'installing', offer },
  ];
  const happenings: readonly Happening[] = [
    ...(['check', 'nothing', 'download', 'done', 'agree', 'decline', 'install', 'failed'] as const).map(is => ({ is })),
    { is: 'found', offer },
    { is: 'came', have: 5 },
  ];
  const name = (state: State) => (state.at === 'ready' && state.agreed ? 'agreed' : state.at);
  test('each way from each to each, and no other', () => {
    const ways = states.flatMap(from => happenings.flatMap(happening => {
      const to = step(from, happening);
      return to ? [`${name(from)} ${happening.is} ${name(to)}`] : [];
    })); // prettier-ignore
    assert.deepEqual(ways.sort(), [
      'agreed agree agreed',
      'agreed decline ready',
      'agreed failed idle',
      'agreed install installing',
      'available check checking',
      'available download downloading',
      'checking failed idle',
      'checking found available',
      'checking nothing idle',
      'downloading came downloading',
      'downloading done ready',
      'downloading failed available',
      'idle check checking',
      'installing failed idle',
      'ready agree agreed',
      'ready decline ready',
      'ready failed idle',
    ]);
  });
  test('nothing is installed that was not downloaded and agreed to', () => {
    const reach = (from: State, without: string): Set<string> => {
      const seen = new Map([[name(from), from]]);
      for (const state of seen.values())
        for (const happening of happenings) {
          const to = happening.is === without ? undefined : step(state, happening);
          if (to && !seen.has(name(to))) seen.set(name(to), to);
        }
      return new Set(seen.keys());
    };
    assert.ok(reach({ at: 'idle' }, '').has('installing'));
    for (const without of ['found', 'download', 'done', 'agree', 'install'])
      assert.ok(!reach({ at: 'idle' }, without).has('installing'), without);
  });
});

test('what goes on in the library is in the way, each by its own words', () => {
  const quiet = { offline: false, waiting: 0, running: 0, exports: 0, downloads: 0 };
  assert.equal(hindrance(quiet), undefined);
  assert.match(hindrance({ ...quiet, offline: true })!, /^The offline switch is on/);
  assert.equal(hindrance({ ...quiet, waiting: 1 }), 'Not now, since 1 clip waits: try again when that is done.');
  assert.match(hindrance({ ...quiet, running: 2 })!, /2 clips are being made/);
  assert.match(hindrance({ ...quiet, exports: 1 })!, /1 export is under way/);
  assert.match(hindrance({ ...quiet, downloads: 1 })!, /1 checkpoint is being downloaded/);
  assert.match(hindrance({ ...quiet, running: 1, waiting: 3, exports: 2 })!, /1 clip is being made, 3 clips wait, 2 exports are under way/);
});

test('a day is a day, whatever the clock does', () => {
  assert.ok(isDue(undefined, now));
  assert.ok(!isDue(now - day + 1, now));
  assert.ok(isDue(now - day, now));
  assert.ok(isDue(now + 1, now), 'a clock that was set back');
});

test('how it was installed: only an AppImage of our own is one', () => {
  const resources = newFolder(),
    mounted = folder;
  const of = (env: Record<string, string>, more: { platform?: NodeJS.Platform; packaged?: boolean } = {}) =>
    packageKind({ platform: 'linux', packaged: true, resources, env, ...more });
  const good = { APPIMAGE: '/home/a/P.AppImage', APPDIR: mounted };
  assert.equal(of(good), 'AppImage');
  assert.equal(of({ ...good, APPDIR: `${mounted}/` }), 'AppImage');
  assert.equal(of({}), undefined);
  assert.equal(of({ APPIMAGE: '/home/a/P.AppImage' }), undefined);
  assert.equal(of({ ...good, APPDIR: '/tmp/.mount_other' }), undefined, "started by another program's AppImage");
  assert.equal(of({ ...good, APPDIR: mounted.slice(0, -1) }), undefined, 'a folder whose name only begins so');
  assert.equal(of({ ...good, APPDIR: `/${basename(mounted)}` }), undefined, 'a folder of that name elsewhere');
  assert.equal(of({ ...good, APPIMAGE: 'P.AppImage' }), undefined);
  assert.equal(of(good, { packaged: false }), undefined);
  assert.equal(of({}, { platform: 'win32' }), 'nsis');
  assert.equal(of({}, { platform: 'darwin' }), 'mac');
  assert.equal(of(good, { platform: 'freebsd' }), undefined);
  writeFileSync(join(resources, 'package-type'), 'deb\n');
  assert.equal(of(good), 'deb');
});

test('what is remembered: a random machine, and nothing of a file that is damaged', () => {
  const file = join(newFolder(), 'updates.json'),
    fresh = recall(file);
  assert.match(fresh.machine, /^[0-9a-f]{32}$/);
  assert.notEqual(recall(file).machine, fresh.machine);
  const whole = { machine: fresh.machine, seen: { serial: 3, digest: '0'.repeat(64) }, asked: 5 };
  writeFileSync(file, JSON.stringify(whole));
  assert.deepEqual(recall(file), whole);
  for (const damaged of ['', '{', '[]', '{"machine":"x"}', JSON.stringify({ ...whole, seen: { serial: -1, digest: '' } })]) {
    writeFileSync(file, damaged);
    assert.equal(recall(file).seen, undefined);
    assert.notEqual(recall(file).machine, fresh.machine);
  }
});

test('what is said is said in every language', () => {
  const filled = Object.values(updateWords).map(words =>
    Object.entries(words).map(([key, value]: [string, unknown]) => [
      key,
      typeof value === 'function' ? JSON.stringify((value as (...args: unknown[]) => unknown)('1.2.3', 45)) : value,
    ]),
  );
  for (const words of filled) for (const [key, text] of words) assert.ok(typeof text === 'string' && text.length > 1, String(key));
  const [en, de, ar] = filled as [unknown[][], unknown[][], unknown[][]];
  for (const [i, [key, text]] of en.entries()) {
    assert.notEqual(de[i]![1], text, String(key));
    assert.match(String(ar[i]![1]), /[\u0600-\u06ff]/, String(key));
  }
});

describe('what comes over the network', () => {
  const content = Buffer.from('a new program'.repeat(5000)),
    file = 'Protagonist-0.2.0-linux-x64.AppImage';
  const offer = { file, size: content.length, sha512: hash(content) };
  const { signal } = new AbortController();
  test('a package is there only if it is what the feed says', async t => {
    let sent: Uint8Array | number | undefined = content;
    const server = await startServer(() => sent);
    t.after(server.close);
    const place = newFolder(),
      to = join(place, 'p');
    const came: number[] = [];
    await fetchPackage(server.get, offer, to, signal, bytes => came.push(bytes));
    assert.deepEqual(readFileSync(to), content);
    assert.equal(came.at(-1), content.length);
    await checkPackage(to, offer);
    await assert.rejects(fetchPackage(server.get, offer, to, signal), { code: 'EEXIST' });
    rmSync(to);

    const other = Buffer.from(content);
    other[1000] = other[1000]! ^ 1;
    for (const [bad, why] of [
      [other, /its SHA-512 is another\), so it was thrown away/],
      [content.subarray(1), new RegExp(`${content.length - 1} bytes instead of ${content.length}`)],
      [Buffer.concat([content, Buffer.from('!')]), new RegExp(`more than ${content.length} bytes`)],
      [Buffer.alloc(0), /0 bytes instead/],
      [undefined, /the server answers 404/],
      [500, /the server answers 500/],
    ] as const) {
      sent = bad;
      await assert.rejects(fetchPackage(server.get, offer, to, signal), why);
      assert.deepEqual(readdirSync(place), []);
    }
    sent = Buffer.alloc(2000, 32);
    await assert.rejects(fetchSmall(server.get, 'feed.json', 1999, signal), /feed\.json is larger than 1999 bytes/);
    assert.equal((await fetchSmall(server.get, 'feed.json', 2000, signal)).length, 2000);
    server.network.offline = true;
    await assert.rejects(fetchPackage(server.get, offer, to, signal), /the offline switch is on/);
  });
  test('what was changed on the disk meanwhile is found, and removed', async () => {
    const to = join(newFolder(), 'p');
    for (const [bad, why] of [
      ['x', /1 bytes instead of/],
      [content.toString().replace('n', 'm'), /SHA-512 is another/],
    ] as const) {
      // prettier-ignore
      writeFileSync(to, bad);
      await assert.rejects(checkPackage(to, offer), why);
      await assert.rejects(checkPackage(to, offer), /it is gone/);
    }
  });
});

const agreed = ({ state }: Pick<Updates, 'state'>) => state.at === 'ready' && state.agreed;

describe('all of it', () => {
  const ours = newKey(),
    program = Buffer.from('new program'.repeat(3000));
  const feed = (changes: Partial<Feed> = {}) => {
    const good = feedOf(changes);
    return { ...good, packages: good.packages.map(p => ({ ...p, size: program.length, sha512: hash(program) })) };
  };
  /** The app from its menu on: a quiet library, a server with a feed, somebody who answers dialogs, an installer that keeps what it is told. */
  async function setUp(t: TestContext, { kind = 'AppImage', answers = [] }: { kind?: Kind | 'none'; answers?: number[] } = {}) {
    let published: Feed = feed(),
      clock = now,
      hold: Promise<unknown> | undefined,
      sent: Buffer = program;
    const library = quietLibrary();
    const server = await startServer(async name => {
      const { bytes, signature } = signed(published, [ours.key]);
      if (name === 'feed.json') return bytes;
      if (name === 'feed.json.sig') return signature;
      await hold;
      return sent;
    });
    const userData = newFolder(),
      asked: MessageBoxOptions[] = [],
      told: unknown[] = [],
      loaded: Kind[] = [];
    let installed = 0,
      redrawn = 0;
    const installer: Installer = {
      take: async (offer, fetch) => {
        const to = join(userData, offer.file);
        rmSync(to, { force: true });
        await fetch(to);
        return to;
      },
      install: () => {
        installed++;
        return Promise.resolve();
      },
    };
    const updates = followUpdates({
      on: { feed: 'https://updates.example.org/', keys: [ours.pin] },
      transport: library.transport,
      version: '0.1.0',
      kind: kind === 'none' ? undefined : kind,
      platform: 'linux',
      arch: 'x64',
      userData,
      ask: options => {
        asked.push(options);
        return Promise.resolve({ response: answers.shift() ?? Math.max(0, (options.buttons?.length ?? 0) - 1), checkboxChecked: false });
      },
      notify: said => told.push(said),
      language: () => 'en',
      changed: () => redrawn++,
      installer: which => {
        loaded.push(which);
        return Promise.resolve(installer);
      },
      get: server.get,
      now: () => clock,
    });
    t.after(async () => {
      updates.stop();
      await server.close();
    });
    await sleep(5); // it has asked what is set
    return {
      updates, library, server, asked, told, loaded, answers, userData,
      said: () => asked.map(({ message, detail = '' }) => `${message}: ${detail}`),
      memory: () => recall(join(userData, 'updates.json')),
      set published(next: Feed) { published = next; },
      set clock(ms: number) { clock = ms; },
      set hold(until: Promise<unknown> | undefined) { hold = until; },
      set sent(bytes: Buffer) { sent = bytes; },
      get installed() { return installed; },
      get redrawn() { return redrawn; },
    }; // prettier-ignore
  }

  test('asked for, agreed to, installed at the end', async t => {
    const app = await setUp(t, { answers: [0, 0] });
    assert.deepEqual(app.server.asked, [], 'nothing is contacted before it is asked');
    assert.deepEqual(app.loaded, []);
    const [look] = app.updates.menu();
    assert.equal(look!.label, 'Check for Updates…');
    await app.updates.look();
    assert.deepEqual(app.server.asked, ['feed.json.sig', 'feed.json', 'Protagonist-0.2.0-linux-x86_64.AppImage']);
    assert.deepEqual(app.said(), [
      'Protagonist 0.2.0 is there (1 MB): Faster.\n\t- and smaller',
      'Protagonist 0.2.0 is downloaded and checked: It can be installed when you quit, if nothing waits to be made by then.',
    ]);
    assert.deepEqual(app.asked.map(a => a.buttons), [['Download', 'Not Now'], ['Install When I Quit', 'Not Now']]); // prettier-ignore
    assert.ok(
      app.asked.every(({ cancelId, noLink }) => cancelId === 1 && noLink),
      'closing a dialog says no',
    );
    assert.equal(app.updates.state.at, 'ready');
    assert.deepEqual(app.memory().seen?.serial, 7);
    const install = await app.updates.ending();
    assert.equal(app.installed, 0, 'not while the library is open');
    await install!();
    assert.equal(app.installed, 1);
    assert.equal(app.updates.state.at, 'installing');
    await install!();
    assert.equal(app.installed, 1, 'once');
  });

  test('without a yes nothing is downloaded, or nothing installed', async t => {
    const app = await setUp(t, { answers: [1] });
    await app.updates.look();
    assert.equal(app.updates.state.at, 'available');
    assert.equal(app.server.asked.length, 2);
    assert.equal(await app.updates.ending(), undefined);
    app.answers.push(0, 1);
    await app.updates.look();
    assert.deepEqual(app.updates.state.at, 'ready');
    assert.equal(await app.updates.ending(), undefined);
    app.answers.push(0);
    await app.updates.look(); // agrees after all
    assert.ok(await app.updates.ending());
    app.answers.push(1);
    await app.updates.look(); // and not
    assert.match(app.said().at(-1)!, /^Protagonist 0\.2\.0 is installed when you quit/);
    assert.equal(await app.updates.ending(), undefined);
    assert.equal(app.installed, 0);
  });

  for (const [what, standing] of Object.entries({
    'the offline switch': { offline: true },
    'a job that waits': { waiting: 1 },
    'a job that runs': { running: 1 },
    'an export': { exports: 2 },
    'a download': { downloads: 1 },
    'a library that says nothing': { deaf: true },
  })) {
    test(`${what} keeps it from looking, from downloading and from installing`, async t => {
      const app = await setUp(t, { answers: [0] });
      const lift = Object.fromEntries(Object.entries(standing).map(([key, value]) => [key, typeof value === 'number' ? 0 : false]));
      app.library.set(standing);
      await app.updates.look();
      assert.deepEqual(app.server.asked, []);
      assert.match(app.said()[0]!, /^There is nothing to install: (Not now|The offline switch is on|The library does not say)/);

      // it comes up while the dialog is open
      app.library.set(lift);
      app.answers.splice(0, Infinity);
      const push = app.asked.push.bind(app.asked);
      app.asked.push = (...items) => {
        app.library.set(standing);
        return push(...items);
      };
      app.answers.push(0);
      await app.updates.look();
      app.asked.push = push;
      assert.deepEqual(app.server.asked, ['feed.json.sig', 'feed.json']);
      assert.match(app.said().at(-1)!, /^No update was made: /);
      assert.deepEqual(app.loaded, [], 'electron-updater is not loaded either');

      // while it downloads
      app.library.set(lift);
      const held = Promise.withResolvers<unknown>();
      app.hold = held.promise;
      app.answers.push(0);
      const looking = app.updates.look();
      while (app.updates.state.at !== 'downloading') await sleep(1);
      while (app.server.asked.length < 5) await sleep(1);
      app.library.set(standing);
      await looking;
      held.resolve(undefined);
      app.hold = undefined;
      assert.equal(app.updates.state.at, 'available');
      assert.match(app.said().at(-1)!, /^No update was made: (Not now|The offline|The library)/);
      assert.deepEqual(readdirSync(app.userData), ['updates.json'], 'nothing of it is left');

      // at the end
      app.library.set(lift);
      app.answers.push(0, 0);
      await app.updates.look();
      assert.ok(agreed(app.updates));
      app.library.set(standing);
      assert.equal(await app.updates.ending(), undefined);
      app.library.set(lift);
      assert.ok(await app.updates.ending(), 'the next time it is');
      assert.equal(app.installed, 0);
    });
  }

  test('an older feed is not taken again, nor another one with the same number', async t => {
    const app = await setUp(t);
    app.published = feed({ serial: 9, percent: 0 });
    await app.updates.look();
    assert.match(app.said().at(-1)!, /turn is yet to come/);
    app.published = feed({ serial: 8 });
    await app.updates.look();
    assert.match(app.said().at(-1)!, /^No update was made: The feed has number 8, and number 9 was seen before/);
    app.published = feed({ serial: 9 });
    await app.updates.look();
    assert.match(app.said().at(-1)!, /another one with that number/);
    assert.equal(app.memory().seen?.serial, 9);
    const { machine } = app.memory();
    app.published = feed({ serial: 10 });
    await app.updates.look();
    assert.match(app.said().at(-1)!, /^Protagonist 0\.2\.0 is there/);
    assert.deepEqual([app.memory().seen?.serial, app.memory().machine], [10, machine]);
    app.published = feed({ serial: 11, product: 'org.example.Other' });
    await app.updates.look();
    assert.equal(app.memory().seen?.serial, 10, 'what is not ours counts for nothing');
  });
  test('who cannot remember asks nobody', async t => {
    const app = await setUp(t);
    rmSync(app.userData, { recursive: true });
    writeFileSync(app.userData, 'a file');
    await app.updates.look();
    assert.deepEqual(app.server.asked, []);
    assert.match(app.said()[0]!, /^No update was made: /);
  });
  test('a package that is not what the feed says is not installed, whenever it was changed', async t => {
    const app = await setUp(t, { answers: [0] });
    app.sent = Buffer.concat([program.subarray(1), Buffer.from('x')]);
    await app.updates.look();
    assert.match(app.said().at(-1)!, /^No update was made: Protagonist-0\.2\.0-linux-x86_64\.AppImage is not what the feed says/);
    assert.equal(app.updates.state.at, 'available');
    app.sent = program;
    app.answers.push(0, 0);
    await app.updates.look();
    const install = await app.updates.ending();
    writeFileSync(join(app.userData, 'Protagonist-0.2.0-linux-x86_64.AppImage'), 'something else');
    await install!();
    assert.equal(app.installed, 0);
    assert.equal(app.updates.state.at, 'idle');
  });
  test('a .deb and a program from its sources are told what to do, and nothing is loaded', async t => {
    for (const kind of ['deb', 'none'] as const) {
      const app = await setUp(t, { kind });
      await app.updates.look();
      assert.match(app.said()[0]!, kind === 'deb' ? /package manager/ : /get it as you got this one/);
      assert.deepEqual([app.loaded, app.server.asked.length, app.updates.state.at], [[], 2, 'idle']);
    }
  });
  test('a download can be stopped, and begins anew', async t => {
    const app = await setUp(t, { answers: [0] });
    const held = Promise.withResolvers<unknown>();
    app.hold = held.promise;
    const looking = app.updates.look();
    while (app.updates.state.at !== 'downloading') await sleep(1);
    app.answers.push(1);
    await app.updates.look();
    assert.match(app.said().join('\n'), /is being downloaded: 0 %/);
    await looking;
    held.resolve(undefined);
    assert.match(app.said().at(-1)!, /The download was stopped\./);
    app.hold = undefined;
    app.answers.push(0, 1);
    await app.updates.look();
    assert.equal(app.updates.state.at, 'ready');
  });

  test('once a day, where a person wants it, and then only with a word', async t => {
    const app = await setUp(t);
    await app.updates.daily();
    assert.deepEqual(app.server.asked, [], 'off by default');
    const before = app.redrawn;
    const box = () => app.updates.menu()[1]!;
    assert.deepEqual([box().type, box().checked], ['checkbox', false]);
    (box().click as unknown as (item: { checked: boolean }) => void)({ checked: true });
    assert.deepEqual(app.library.edits, [{ dailyUpdates: true }]);
    app.library.set({ daily: true });
    assert.ok(box().checked && app.redrawn > before);

    app.library.set({ waiting: 1 });
    await app.updates.daily();
    assert.deepEqual(app.server.asked, []);
    app.library.set({ waiting: 0 });
    app.published = feed({ percent: 0 });
    await app.updates.daily();
    assert.deepEqual([app.server.asked.length, app.told.length], [2, 0]);
    await app.updates.daily();
    assert.equal(app.server.asked.length, 2, 'not twice a day');
    app.published = feed({ serial: 8 });
    app.clock = now + day;
    await app.updates.daily();
    assert.deepEqual(app.told, [{ title: 'Protagonist 0.2.0 is there', body: 'Check for updates in the menu to see what is new.' }]);
    assert.deepEqual([app.asked, app.updates.state.at, app.server.asked.length], [[], 'available', 4], 'no dialog, no download');
    app.library.set({ daily: false });
    app.clock = now + 3 * day;
    await app.updates.daily();
    assert.equal(app.server.asked.length, 4);
  });
  test('a server that is broken is asked once a day too, and tells nobody unasked', async t => {
    const app = await setUp(t);
    app.library.set({ daily: true });
    app.published = feed({ product: 'org.example.Other' });
    await app.updates.daily();
    await app.updates.daily();
    assert.deepEqual([app.server.asked.length, app.told, app.asked], [2, [], []]);
    assert.equal(app.updates.state.at, 'idle');
  });
});
