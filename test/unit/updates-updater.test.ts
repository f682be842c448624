/** @file Who replaces the program: electron-updater as it is told to behave (over a fake of its own types), and itself, from packages in a folder to a program that has been replaced. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { channel } from 'node:diagnostics_channel';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, test, type TestContext } from 'node:test';
import type { UpdateInfo } from 'electron-updater';
import { main as makeFeed } from '../../build/feed.ts';
import type { Kind, Offer } from '../../electron/shell/feed.ts';
import { openUpdater, type MakeUpdater, type UpdaterUsed } from '../../electron/shell/updater.ts';
import { checkPackage, fetchPackage, followUpdates } from '../../electron/shell/updates.ts';
import { strict } from '../support/electron.ts';
import { root } from '../support/run.ts';
import { hash, quietLibrary, startServer } from '../support/updates.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-updater-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const newFolder = (name: string) => mkdtempSync(join(folder, `${name}-`));

const program = Buffer.from('a new program'.repeat(1000));
const offer: Offer = { version: '0.2.0', notes: '', released: '2026-11-23T12:00:00Z', file: 'Protagonist-0.2.0-linux-x86_64.AppImage', size: program.length, sha512: hash(program) }; // prettier-ignore

type Made = Parameters<MakeUpdater>;
interface Provider {
  getLatestVersion(): Promise<UpdateInfo>;
  resolveFiles(info: UpdateInfo): { url: URL; info: { url: string; sha512: string } }[];
}
/** An AppUpdater that has the members that we use and no others, and does what the real one does with them. */
function fakeUpdater(
  says: { available?: boolean; version?: string; files?: number; installs?: boolean; squirrel?: 'ready' | 'broken' } = {},
) {
  const { available = true, version = '0.2.0', files = 1, installs = true, squirrel = 'ready' } = says;
  const calls: string[] = [],
    errors: ((error: Error) => void)[] = [];
  let made: Made | undefined, provider: Provider | undefined;
  const members: Partial<UpdaterUsed> & { httpExecutor?: { download(url: URL, to: string, options: object): Promise<string> } } = {
    // electron-updater's own defaults
    autoDownload: true,
    autoInstallOnAppQuit: true,
    autoRunAppAfterInstall: true,
    allowPrerelease: true,
    allowDowngrade: true,
    disableWebInstaller: false,
    disableDifferentialDownload: false,
    logger: console,
    on: ((name: string, listener: (error: Error) => void) => {
      assert.equal(name, 'error');
      errors.push(listener);
    }) as unknown as UpdaterUsed['on'],
    checkForUpdates: async () => {
      calls.push('checkForUpdates');
      const updateInfo = { ...(await provider!.getLatestVersion()), version };
      return { isUpdateAvailable: available, updateInfo, versionInfo: updateInfo };
    },
    downloadUpdate: async () => {
      calls.push('downloadUpdate');
      const [file] = provider!.resolveFiles(await provider!.getLatestVersion());
      const to = join(made![2].baseCachePath, basename(file!.url.pathname));
      await members.httpExecutor!.download(file!.url, to, {});
      return Array.from({ length: files }, () => to);
    },
    install: (silent = false, run = false) => {
      calls.push(`install ${silent} ${run}`);
      if (!installs) for (const listener of errors) listener(new Error('the disk is full'));
      return installs;
    },
    quitAndInstall: () => {
      calls.push('quitAndInstall');
      setTimeout(() => {
        if (squirrel === 'ready') made![2].quit();
        else for (const listener of errors) listener(new Error('the signature is not valid'));
      }, 5);
    },
  };
  const make: MakeUpdater = (...given) => {
    made = given;
    const { provider: kind, updateProvider } = given[1] as { provider: string; updateProvider: new (...args: unknown[]) => Provider };
    assert.equal(kind, 'custom');
    provider = new updateProvider(given[1], {}, {});
    if (given[0] === 'mac') delete members.install; // it has none
    return Promise.resolve(strict<UpdaterUsed>('AppUpdater', members));
  };
  return { make, calls, members, made: () => made!, provider: () => provider! };
}
const open = (fake: ReturnType<typeof fakeUpdater>, kind: Kind = 'AppImage') =>
  openUpdater({ kind, version: '0.1.0', folder: newFolder('fake'), packaged: true, make: fake.make });
const write = (to: string) => Promise.resolve(writeFileSync(to, program));

describe('electron-updater, as it is told', () => {
  test('does nothing by itself, and knows nothing but the verified feed', async () => {
    const fake = fakeUpdater(),
      installer = await open(fake);
    const { on, checkForUpdates, downloadUpdate, install, quitAndInstall, httpExecutor, ...set } = fake.members;
    assert.ok(on && checkForUpdates && downloadUpdate && install && quitAndInstall);
    assert.deepEqual(set, {
      autoDownload: false,
      autoInstallOnAppQuit: false,
      autoRunAppAfterInstall: false,
      allowPrerelease: false,
      allowDowngrade: false,
      disableWebInstaller: true,
      disableDifferentialDownload: true,
      logger: null,
    });
    assert.deepEqual(fake.calls, []);
    await assert.rejects(fake.provider().getLatestVersion(), /no feed was verified/);
    await assert.rejects(httpExecutor!.download(new URL('https://evil.example/'), join(folder, 'x'), {}), /downloads unasked/);
    for (const member of ['downloadToBuffer', 'request'])
      assert.throws(() => (httpExecutor as unknown as Record<string, () => void>)[member]!(), /which it never has to/);
    const [, , adapter] = fake.made();
    assert.throws(() => adapter.relaunch(), /start the program anew/);
    assert.throws(() => adapter.onQuit(() => undefined), /install when the program ends/);
    assert.deepEqual(JSON.parse(readFileSync(adapter.appUpdateConfigPath, 'utf8')), { updaterCacheDirName: 'package' });

    const file = await installer.take(offer, write);
    await checkPackage(file, offer);
    assert.deepEqual(fake.calls, ['checkForUpdates', 'downloadUpdate']);
    const [found] = fake.provider().resolveFiles(await fake.provider().getLatestVersion());
    assert.equal(found!.url.href, `https://verified.invalid/${offer.file}`);
    assert.deepEqual([found!.info.url, found!.info.sha512], [offer.file, offer.sha512]);
    await assert.rejects(httpExecutor!.download(found!.url, file, {}), /downloads unasked/, 'once');
    await installer.install();
    assert.deepEqual(fake.calls.slice(2), ['install true false']);
  });
  test('what it does otherwise is refused', async () => {
    for (const says of [{ available: false }, { version: '0.3.0' }])
      await assert.rejects((await open(fakeUpdater(says))).take(offer, write), /cannot take this one's place: install it by hand/);
    for (const files of [0, 2])
      await assert.rejects((await open(fakeUpdater({ files }))).take(offer, write), new RegExp(`as ${files} files`));
    await assert.rejects((await open(fakeUpdater({ installs: false }))).install(), /the disk is full/);
    await assert.rejects(
      (await open(fakeUpdater())).take(offer, () => Promise.reject(new Error('not what the feed says'))),
      /not what the feed/,
    );
  });
  test('on a Mac the system takes it over, and that is waited for', async () => {
    const fake = fakeUpdater();
    const installer = await open(fake, 'mac');
    await installer.take(offer, write);
    await installer.install();
    assert.deepEqual(fake.calls.slice(2), ['quitAndInstall']);
    await assert.rejects((await open(fakeUpdater({ squirrel: 'broken' }), 'mac')).install(), /the signature is not valid/);
  });
  test('a .deb is not its business, and nothing is loaded for one', async () => {
    const fake = fakeUpdater();
    await assert.rejects(open(fake, 'deb'), /a \.deb is updated by the package manager/);
    assert.equal(fake.made(), undefined);
  });
});

describe('electron-updater itself', { skip: process.platform !== 'linux' }, () => {
  /** Where this process connects to from now on. */
  function connections(t: TestContext): Socket[] {
    const sockets: Socket[] = [],
      note = (said: unknown) => void sockets.push((said as { socket: Socket }).socket);
    channel('net.client.socket').subscribe(note);
    t.after(() => channel('net.client.socket').unsubscribe(note));
    return sockets;
  }
  /** A program as an AppImage is one to whoever starts it: says in a file who it is. */
  const script = (version: string, note: string) => Buffer.from(`#!/bin/sh\necho "${version} $APPIMAGE_EXIT_AFTER_INSTALL" >> '${note}'\n`);
  function appImage(t: TestContext, name: string) {
    const place = newFolder('installed'),
      note = join(place, 'note'),
      file = join(place, name);
    writeFileSync(file, script('0.1.0', note), { mode: 0o755 });
    const before = process.env['APPIMAGE'];
    process.env['APPIMAGE'] = file;
    t.after(() => {
      if (before === undefined) delete process.env['APPIMAGE'];
      else process.env['APPIMAGE'] = before;
    });
    return { place, note, file };
  }

  test('takes what it is given, from us, once, and again after a new start', async t => {
    const { file, note, place } = appImage(t, 'Protagonist.AppImage'),
      next = script('0.2.0', note),
      offered = { ...offer, size: next.length, sha512: hash(next) },
      cache = newFolder('cache'),
      sockets = connections(t);
    let fetched = 0;
    const fetchIt = (to: string) => {
      fetched++;
      return Promise.resolve(writeFileSync(to, next));
    };
    const start = () => openUpdater({ kind: 'AppImage', version: '0.1.0', folder: cache, packaged: true });
    const taken = await (await start()).take(offered, fetchIt);
    await checkPackage(taken, offered);
    assert.ok(taken.startsWith(join(cache, 'package/pending')), taken);
    const second = await start();
    assert.equal(await second.take(offered, fetchIt), taken);
    assert.equal(fetched, 1, 'what is there is not fetched again');
    writeFileSync(taken, 'changed');
    assert.equal(await (await start()).take(offered, fetchIt), taken);
    assert.equal(fetched, 2, 'unless it was changed');
    const last = await start();
    await last.take(offered, fetchIt);
    assert.deepEqual(readFileSync(file), script('0.1.0', note), 'nothing is replaced before it is wanted');
    await last.install();
    assert.deepEqual(readFileSync(file), next);
    assert.deepEqual([readdirSync(place).sort(), readFileSync(note, 'utf8')], [['Protagonist.AppImage', 'note'], '0.2.0 true\n']);
    assert.deepEqual(sockets, [], 'it opens no connection');
  });

  test('refuses a version that is not newer, and one without an AppImage to replace', async t => {
    const { file } = appImage(t, 'Protagonist.AppImage');
    for (const version of ['0.2.0', '0.3.0']) {
      const updater = await openUpdater({ kind: 'AppImage', version, folder: newFolder('cache'), packaged: true });
      await assert.rejects(updater.take(offer, write), /cannot take this one's place/);
    }
    const unpacked = await openUpdater({ kind: 'AppImage', version: '0.1.0', folder: newFolder('cache'), packaged: false });
    await assert.rejects(unpacked.take(offer, write), /cannot take this one's place|Cannot read properties of null/);
    delete process.env['APPIMAGE'];
    const without = await openUpdater({ kind: 'AppImage', version: '0.1.0', folder: newFolder('cache'), packaged: true });
    await assert.rejects(without.take(offer, write), /cannot take this one's place/);
    assert.ok(existsSync(file));
  });

  test('from packages in a folder to a program that has been replaced', async t => {
    const { file, note } = appImage(t, 'Protagonist-0.1.0-linux-x86_64.AppImage'),
      release = newFolder('release'),
      userData = newFolder('userData'),
      keyFile = join(newFolder('keys'), 'feed.pem');
    writeFileSync(join(release, 'Protagonist-0.2.0-linux-x86_64.AppImage'), script('0.2.0', note));
    writeFileSync(join(release, 'Protagonist-0.2.0-win-x64.exe'), 'MZ');
    writeFileSync(join(release, 'notes.txt'), 'Clips are made\nfaster.\n');

    const [, said] = await makeFeed(['--new-key', keyFile], {});
    const pin = /: (\S+)$/.exec(said!)![1]!;
    const make = (...more: string[]) => makeFeed(['--packages', release, '--version', '0.2.0', '--key', keyFile, ...more], {});
    const made = await make('--notes', join(release, 'notes.txt'), '--minimum', '0.1.0');
    assert.match(made[0]!, /feed\.json: 0\.2\.0, number \d+, for 100 %, until .*, 2 packages, all verified$/);
    assert.match(made[1]!, new RegExp(`updates\\.keys is empty: put in ${pin.replaceAll('+', '\\+')}`));

    const server = await startServer(name => (existsSync(join(release, name)) ? readFileSync(join(release, name)) : undefined));
    t.after(server.close);
    const sockets = connections(t),
      shown: string[] = [];
    const updates = followUpdates({
      on: { feed: 'https://updates.example.org/protagonist/', keys: [pin] },
      transport: quietLibrary().transport,
      version: '0.1.0',
      kind: 'AppImage',
      platform: 'linux',
      arch: 'x64',
      userData,
      ask: ({ message, detail = '' }) => {
        shown.push(`${message}: ${detail}`);
        return Promise.resolve({ response: 0, checkboxChecked: false });
      },
      notify: () => assert.fail('nobody asked for a word'),
      language: () => 'de',
      changed: () => undefined,
      installer: kind => openUpdater({ kind, version: '0.1.0', folder: join(userData, 'updates'), packaged: true }),
      get: server.get,
    });
    t.after(() => updates.stop());
    await updates.look();
    assert.deepEqual(shown, [
      'Protagonist 0.2.0 ist da (1 MB): Clips are made\nfaster.',
      'Protagonist 0.2.0 ist geladen und geprüft: Es kann beim Beenden installiert werden, wenn dann nichts mehr wartet.',
    ]);
    assert.deepEqual(server.asked, ['feed.json.sig', 'feed.json', 'Protagonist-0.2.0-linux-x86_64.AppImage']);
    assert.equal(sockets.length, 3, 'each of them by our own way out, and no other connection');
    await (await updates.ending())!();
    assert.ok(!existsSync(file), 'a name with a version in it changes');
    assert.equal(readFileSync(note, 'utf8'), '0.2.0 true\n');

    // a stranger's key, and a release that was put back
    const other = followUpdates({
      on: { feed: 'https://updates.example.org/protagonist/', keys: [Buffer.alloc(32, 7).toString('base64')] },
      transport: quietLibrary().transport, version: '0.1.0', kind: 'AppImage', userData: newFolder('other'), notify: () => undefined, language: () => 'en', changed: () => undefined,
      ask: ({ message, detail = '' }) => Promise.resolve({ response: Number(shown.push(`${message}: ${detail}`) < 0), checkboxChecked: false }),
      installer: () => assert.fail('nothing is to be installed'), get: server.get,
    }); // prettier-ignore
    t.after(() => other.stop());
    await other.look();
    assert.match(shown.at(-1)!, /^No update was made: The feed is signed by no key that Protagonist knows/);
  });
});

describe('npm run feed', () => {
  const release = newFolder('release'),
    keys = newFolder('keys'),
    key = join(keys, 'a.pem');
  const packed = join(release, 'Protagonist-0.2.0-linux-x86_64.AppImage');
  const make = (...more: string[]) => makeFeed(['--packages', release, '--version', '0.2.0', '--key', key, ...more], {});
  const feed = () => JSON.parse(readFileSync(join(release, 'feed.json'), 'utf8')) as Record<string, unknown>;
  test('makes a key once, and never in the tree', async () => {
    assert.match((await makeFeed(['--new-key', key], {})).join('\n'), /updates\.keys: [A-Za-z0-9+/]{43}=$/);
    await assert.rejects(makeFeed(['--new-key', key], {}), /is there already/);
    await assert.rejects(makeFeed(['--new-key', join(root, 'build/feed.pem')], {}), /lies in the source tree/);
    await makeFeed(['--new-key', join(keys, 'b.pem')], {});
  });
  test('refuses what nobody would take, each with a sentence', async () => {
    await assert.rejects(make(), /has no package of 0\.2\.0: run `npm run pack` first/);
    writeFileSync(packed, 'program');
    writeFileSync(join(release, 'Protagonist-0.2.0-win-x64.exe.blockmap'), '');
    const pem = readFileSync(key, 'utf8');
    const loose = join(keys, 'loose.pem');
    writeFileSync(loose, pem, { mode: 0o644 });
    const from = (...args: string[]) => makeFeed(['--packages', release, '--version', '0.2.0', ...args], {});
    await assert.rejects(from(), /No private key is given/);
    await assert.rejects(from('--key', join(keys, 'none')), /is not there/);
    if (process.platform !== 'win32') await assert.rejects(from('--key', loose), /can be read by others: chmod 600/);
    await assert.rejects(
      makeFeed(['--packages', release, '--version', '0.2.0'], { PROTAGONIST_FEED_KEY: 'secret' }),
      /holds no private key in PEM/,
    );
    await assert.rejects(make('--percent', '101'), /--percent is "101": it has to be a whole number from 0 to 100/);
    await assert.rejects(make('--days', '0'), /--days is "0"/);
    await assert.rejects(make('--days', '101'), /--days/);
    await assert.rejects(make('--serial', 'x'), /--serial/);
    await assert.rejects(make('--minimum', 'v1'), /minimum: is no version/);
    await assert.rejects(make('--notes', join(keys, 'none')), /is not there: name a file with what is new/);
    await assert.rejects(make('--bogus'), /Unknown option '--bogus'.*see --help/);
    assert.deepEqual(readdirSync(release).sort(), [basename(packed), 'Protagonist-0.2.0-win-x64.exe.blockmap'], 'nothing was written');
  });
  test('numbers rise, the day of release stays, and a second key signs as well', async () => {
    assert.match((await make('--serial', '5', '--percent', '10'))[0]!, /number 5, for 10 %/);
    const { released } = feed();
    await assert.rejects(make('--serial', '5'), /has number 5: the next one needs a higher --serial/);
    assert.match((await make('--serial', '6', '--key', join(keys, 'b.pem')))[0]!, /number 6, for 100 %/);
    assert.equal(feed()['released'], released);
    assert.equal(readFileSync(join(release, 'feed.json.sig'), 'utf8').trim().split('\n').length, 2);
    assert.match((await make('--check'))[0]!, /all verified/);
    assert.match((await makeFeed(['--packages', release, '--check', '--key', join(keys, 'b.pem')], {}))[0]!, /all verified/);
    writeFileSync(packed, 'another');
    await assert.rejects(make('--check'), /is not what the feed says: make the feed anew/);
    rmSync(packed);
    await assert.rejects(make('--check'), /is not in .*, and the feed names it/);
  });
  test('explains itself', () => {
    const { stdout, status } = spawnSync(process.execPath, [join(root, 'build/feed.ts'), '--help'], { encoding: 'utf8' });
    assert.equal(status, 0);
    for (const option of [
      '--packages',
      '--key',
      '--percent',
      '--minimum',
      '--notes',
      '--days',
      '--serial',
      '--check',
      '--new-key',
      'PROTAGONIST_FEED_KEY',
    ])
      assert.ok(stdout.includes(option), option);
    const wrong = spawnSync(process.execPath, [join(root, 'build/feed.ts'), '--percnt', '5'], { encoding: 'utf8' });
    assert.deepEqual([wrong.status, wrong.stdout], [1, '']);
    assert.match(wrong.stderr, /^Unknown option '--percnt'/);
  });
});

test('what is fetched goes where electron-updater wants it, by its own file name', async t => {
  const server = await startServer(name => (name === offer.file ? program : undefined));
  t.after(server.close);
  const fake = fakeUpdater(),
    installer = await open(fake);
  const { signal } = new AbortController();
  mkdirSync(join(folder, 'x'), { recursive: true });
  const file = await installer.take(offer, to => fetchPackage(server.get, offer, to, signal));
  assert.equal(basename(file), offer.file);
  await checkPackage(file, offer);
  assert.deepEqual(server.asked, [offer.file]);
});
