/** @file The desktop app from its first moment to its last, over an Electron that only remembers: every security setting, what the page can say, what the system hands in, and how it ends. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { overWire } from '../../electron/contract/wire.ts';
import { configuration } from '../../build/electron-builder.config.ts';
import { openLibrary } from '../../electron/cli/library.ts';
import { identity, start } from '../../electron/shell/start.ts';
import { refusedSwitches } from '../../electron/shell/switches.ts';
import { fakeElectron, type Fake, type FakeWindow } from '../support/electron.ts';
import { root, sleep } from '../support/run.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-shell-start-'));
process.env['PROTAGONIST_HOME'] = join(folder, 'library');
after(() => rmSync(folder, { recursive: true, force: true }));
after(() => void setTimeout(() => process.exit(1), 10_000).unref()); // what a failed test has left open ends the file, not the run
delete process.env['HF_TOKEN'];
const names = ({ calls }: Fake) => calls.map(call => call.name);
const argsOf = ({ calls }: Fake, name: string) => calls.filter(call => call.name === name).map(call => call.args);
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };

/** The page's end of the wire, over the channel alone. */
let pages = 0;
function pageOf(window: FakeWindow) {
  const line = ++pages;
  let heard = 0;
  return overWire(
    {
      send: message => void window.ipc.emit('protagonist:message', { senderFrame: window.frame }, { line, said: JSON.stringify(message) }),
      receive: listener => {
        const look = setInterval(() => {
          for (; heard < window.sent.length; heard++) {
            const [channel, said] = window.sent[heard]! as [string, { line: number; said: string | null }];
            if (channel === 'protagonist:message' && said.line === line && said.said !== null) listener(JSON.parse(said.said));
          }
        }, 5);
        look.unref();
      },
      closed: () => undefined,
      close: () => undefined,
    },
    version,
  );
}

test('it starts, in this order, with every setting of the list, and its page gets the library', async () => {
  const fake = fakeElectron(folder);
  await start(fake.electron, ['protagonist', '.'], 'linux');
  const order = [
    'app.enableSandbox',
    'app.setDesktopName',
    'protocol.registerSchemesAsPrivileged',
    'app.requestSingleInstanceLock',
    'app.whenReady',
  ];
  assert.deepEqual(names(fake).slice(0, 5), order);

  const [window] = fake.windows;
  assert.ok(window && fake.windows.length === 1);
  const { webPreferences, ...options } = window.options;
  assert.deepEqual(options.show, false);
  const {
    nodeIntegration,
    nodeIntegrationInWorker,
    nodeIntegrationInSubFrames,
    contextIsolation,
    sandbox,
    webSecurity,
    allowRunningInsecureContent,
    experimentalFeatures,
    webviewTag,
    navigateOnDragDrop,
    ...others
  } = webPreferences!;
  assert.deepEqual({ nodeIntegration, nodeIntegrationInWorker, nodeIntegrationInSubFrames }, { nodeIntegration: false, nodeIntegrationInWorker: false, nodeIntegrationInSubFrames: false }); // prettier-ignore
  assert.deepEqual({ contextIsolation, sandbox, webSecurity }, { contextIsolation: true, sandbox: true, webSecurity: true });
  assert.deepEqual({ allowRunningInsecureContent, experimentalFeatures, webviewTag, navigateOnDragDrop }, { allowRunningInsecureContent: false, experimentalFeatures: false, webviewTag: false, navigateOnDragDrop: false }); // prettier-ignore
  assert.ok(!('enableBlinkFeatures' in others) && String(others.preload).endsWith('preload.cjs'));
  assert.deepEqual(window.loaded, ['app://protagonist/window/']);

  // schemes and permissions
  assert.deepEqual([...fake.schemes.keys()], ['app', 'file']);
  const page = await fake.schemes.get('app')!(new Request('app://protagonist/window/'));
  assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'.*script-src 'self'/);
  assert.equal((await fake.schemes.get('file')!(new Request('file:///etc/hostname'))).status, 403);
  let granted: boolean | undefined;
  (fake.permissions['setPermissionRequestHandler'] as unknown as (c: unknown, p: string, a: (g: boolean) => void, d: object) => void)(null, 'camera', g => (granted = g), { isMainFrame: true, requestingUrl: 'https://example.com/' }); // prettier-ignore
  assert.equal(granted, false);
  let canceled: boolean | undefined;
  (fake.permissions['onBeforeRequest'] as unknown as (d: { url: string }, a: (r: { cancel: boolean }) => void) => void)({ url: 'https://example.com/' }, r => (canceled = r.cancel)); // prettier-ignore
  assert.equal(canceled, true);
  assert.deepEqual(window.opens('https://evil.example/'), { action: 'deny' });
  assert.deepEqual(argsOf(fake, 'shell.openExternal'), []);
  let stayed = false;
  window.contents.emit('will-navigate', { url: 'https://example.com/', isMainFrame: true, preventDefault: () => (stayed = true) });
  assert.ok(stayed);

  // what is asked before the page is there waits for it
  (fake.menu.at(-1)!.submenu as { click: () => void }[])[0]!.click();
  assert.ok(!window.sent.some(([channel]) => channel === 'protagonist:asked'));

  // the page
  const line = pageOf(window);
  assert.deepEqual(window.sent.filter(([channel]) => channel === 'protagonist:asked'), [['protagonist:asked', { action: 'keys.show' }]]); // prettier-ignore
  assert.equal(await line.greeted, version);
  const described = await line.call('host.describe', {});
  assert.deepEqual('value' in described && (described.value as { can: unknown }).can, { paths: false, dragOut: true, reveal: true, pickFolder: true }); // prettier-ignore
  assert.deepEqual([...window.ipc.handlers.keys()].sort(), ['drag', 'keep', 'path', 'pick', 'reveal', 'save'].map(name => `protagonist:${name}`)); // prettier-ignore

  // the access token: the keyring is asked once there is one, and never by the page
  assert.deepEqual(names(fake).filter(name => name.startsWith('safeStorage')), []); // prettier-ignore
  const token = 'hf_desktopTOKEN0123456789';
  for (const [given, kept] of [
    [token, 'keyring'],
    [null, 'none'],
  ] as const) {
    const reply = await line.call('network.setToken', { token: given });
    assert.ok('value' in reply && (reply.value as { token: string }).token === kept, JSON.stringify(reply));
    assert.equal(existsSync(join(folder, 'secrets/hub.bin')), given !== null);
    if (given !== null) assert.ok(!readFileSync(join(folder, 'secrets/hub.bin')).includes(token));
  }
  assert.ok(!JSON.stringify(window.sent).includes(token));

  // the menu
  assert.ok(fake.menu.length >= 4);

  // what another instance is given comes here, and only clips do
  const clip = join(folder, 'a clip.mp4');
  copyFileSync(join(root, 'test/golden/photos/p3.heic'), clip);
  const before = window.sent.length;
  fake.app.emit('second-instance', {}, ['protagonist', '--flag', clip, join(folder, 'none.mp4'), '/etc/hostname'], folder);
  for (const end = performance.now() + 60_000; window.sent.length === before && performance.now() < end;) await sleep(10);
  const [channel, said] = window.sent.slice(before).find(([name]) => name === 'protagonist:asked')!;
  const { opened } = said as { opened: { id: string; name: string }[] };
  assert.equal(channel, 'protagonist:asked');
  assert.deepEqual(opened.map(({ name }) => name), ['a clip.mp4']); // prettier-ignore
  assert.ok(!JSON.stringify(window.sent).includes(folder), 'a path has crossed into the page');

  // its end
  const ended = fake.ended;
  window.close();
  assert.equal(await ended, 0);
  assert.ok(!existsSync(join(folder, 'library/owner.sock')), 'the library is closed');
  assert.deepEqual(JSON.parse(readFileSync(join(folder, 'window.json'), 'utf8')), { x: 10, y: 20, width: 1000, height: 700, maximized: false, fullScreen: false, zoom: 1 }); // prettier-ignore
});

test('a second instance leaves at once, and opens no library', async () => {
  const fake = fakeElectron(folder, { first: false });
  await start(fake.electron, ['protagonist']);
  assert.equal(fake.windows.length, 0);
  assert.equal(await fake.ended, 0);
});

test('a packed one refuses to run without its sandbox, and says why', async () => {
  const fake = fakeElectron(folder, { packed: true, switches: ['no-sandbox'] });
  await start(fake.electron, ['protagonist']);
  assert.equal(await fake.ended, 1);
  assert.match(String(argsOf(fake, 'dialog.showErrorBox')[0]?.[1]), /--no-sandbox/);
  assert.equal(fake.windows.length, 0);
});

test('a packed one takes away what opens it to other programs, and does not start; who works on it may have it', async () => {
  for (const name of refusedSwitches.filter(name => name !== 'no-sandbox')) {
    const fake = fakeElectron(folder, { packed: true, switches: [name] });
    await start(fake.electron, ['protagonist']);
    assert.equal(await fake.ended, 1);
    const ofTheSandbox = /sandbox|single-process|site-isolation/.test(name);
    assert.deepEqual(argsOf(fake, 'commandLine.removeSwitch'), ofTheSandbox ? [] : [[name]]);
    assert.ok(names(fake).indexOf('commandLine.removeSwitch') < names(fake).indexOf('app.whenReady'), 'too late');
    assert.match(String(argsOf(fake, 'dialog.showErrorBox')[0]?.[1]), new RegExp(`--${name}, `));
    assert.equal(fake.windows.length, 0);
  }
  const headless = fakeElectron(folder, { packed: true, switches: ['no-sandbox', 'remote-debugging-port'] });
  await start(headless.electron, ['protagonist', '--headless', 'subject', 'list', '--json']);
  assert.equal(await headless.ended, 0); // it has no window; what would let others in is gone all the same
  assert.deepEqual(argsOf(headless, 'commandLine.removeSwitch'), [['remote-debugging-port']]);
  const development = fakeElectron(folder, { switches: ['remote-debugging-port'], first: false });
  await start(development.electron, ['protagonist']);
  assert.deepEqual(argsOf(development, 'commandLine.removeSwitch'), []);
});

test('with --headless it is the command line', async () => {
  const fake = fakeElectron(folder);
  await start(fake.electron, ['protagonist', '--headless', 'subject', 'list', '--json']);
  assert.equal(await fake.ended, 0);
  assert.equal(fake.windows.length, 0);
});

/** Started on a platform, and its window. */
async function started(platform: NodeJS.Platform, name: string, argv: readonly string[] = [], says = {}) {
  const data = join(folder, name);
  mkdirSync(data, { recursive: true });
  const fake = fakeElectron(data, says);
  await start(fake.electron, ['protagonist', ...argv], platform);
  const [window] = fake.windows as [FakeWindow];
  const opened = () => window.sent.flatMap(([channel, said]) => (channel === 'protagonist:asked' && 'opened' in (said as object) ? (said as { opened: { name: string }[] }).opened.map(one => one.name) : [])); // prettier-ignore
  const told = async (count: number) => {
    for (let i = 0; i < 300 && opened().length < count; i++) await sleep(10);
    return opened();
  };
  return { fake, window, told };
}
const film = (name: string) => {
  const file = join(folder, name);
  writeFileSync(file, 'no film');
  return file;
};

test('what the system knows it by is what its packages say', () => {
  const { appId, copyright, ...more } = configuration({ program: '/ffmpeg', licence: '/l', notes: undefined, binary: { platform: 'linux' } } as never); // prettier-ignore
  assert.deepEqual({ appId, copyright, desktopName: (more.extraMetadata as { desktopName?: unknown }).desktopName }, { ...identity });
});

for (const platform of ['darwin', 'win32', 'linux'] as const)
  test(`${platform}: it is known to the system, says what it is, looks as it is set, and ends as windows end there`, async () => {
    const { fake, window, told } = await started(platform, platform, platform === 'darwin' ? [] : ['--flag', film(`${platform}.mp4`)]);
    assert.deepEqual(argsOf(fake, 'app.setAppUserModelId'), platform === 'win32' ? [[identity.appId]] : []);
    assert.deepEqual(argsOf(fake, 'app.setDesktopName'), platform === 'linux' ? [[identity.desktopName]] : []);
    assert.equal((argsOf(fake, 'app.setAboutPanelOptions')[0]![0] as { applicationVersion: string }).applicationVersion, version);
    assert.deepEqual(argsOf(fake, 'nativeTheme.themeSource')[0], ['system']);
    assert.equal(window.options.backgroundColor, '#f7f5f3');
    assert.equal(window.options.webPreferences?.spellcheck, platform === 'darwin', 'no dictionary is fetched');
    assert.deepEqual(argsOf(fake, 'setSpellCheckerEnabled'), [[platform === 'darwin']]);
    assert.equal(fake.menu.length, platform === 'darwin' ? 6 : 5);

    // as it is set
    const line = pageOf(window);
    await line.call('settings.edit', { theme: 'dark', language: 'de' });
    for (let i = 0; i < 200 && fake.menu.at(-1)?.label !== 'Hilfe'; i++) await sleep(10);
    assert.deepEqual([fake.menu.at(-1)?.label, argsOf(fake, 'nativeTheme.themeSource').at(-1)], ['Hilfe', ['dark']]);
    fake.theme.dark = true;
    fake.theme.events.emit('updated');
    assert.deepEqual(argsOf(fake, 'setBackgroundColor'), [['#151311']]);
    await line.call('settings.edit', { theme: 'system', language: 'system' });

    // its menus and its zoom
    const editFlags = {
      canUndo: false,
      canRedo: false,
      canCut: false,
      canCopy: true,
      canPaste: true,
      canDelete: false,
      canSelectAll: true,
    };
    const what = { isEditable: true, selectionText: '', linkURL: '', linkText: 'Lemon', misspelledWord: '', dictionarySuggestions: [], editFlags, frame: null }; // prettier-ignore
    window.contents.emit('context-menu', {}, { ...what, isEditable: false, linkText: '' });
    window.contents.emit('context-menu', {}, { ...what, linkURL: 'app://protagonist/window/#/library' });
    assert.equal(fake.popups.length, 1, 'none where there is nothing to do');
    (fake.popups[0]![0]!.click as () => void)();
    assert.deepEqual(argsOf(fake, 'clipboard.writeText'), [['Lemon']]);
    window.contents.emit('zoom-changed', {}, 'in');
    assert.deepEqual(argsOf(fake, 'setZoomFactor').at(-1), [1.1]);

    // what it is given to open: with its start, by the Dock, by a second one
    if (platform === 'darwin') {
      let prevented = false;
      fake.app.emit('open-file', { preventDefault: () => (prevented = true) }, film('darwin.mp4'));
      assert.ok(prevented);
    }
    const files = platform === 'win32' ? 0 : 1; // its paths are none here: test/unit/shell-work.test.ts has them
    if (files) assert.deepEqual(await told(1), [`${platform}.mp4`]);
    film('relative.mp4');
    fake.app.emit('second-instance', {}, ['protagonist', 'relative.mp4', 'none.mp4'], folder);
    if (files) assert.deepEqual(await told(2), [`${platform}.mp4`, 'relative.mp4']);

    // a page that dies, once and again; what draws
    window.contents.emit('render-process-gone', {}, { reason: 'crashed' });
    assert.deepEqual([argsOf(fake, 'reload').length, argsOf(fake, 'dialog.showMessageBox').length], [1, 0]);
    fake.app.emit('second-instance', {}, ['protagonist', film('later.mp4')], folder);
    await sleep(50);
    assert.equal((await told(2 * files)).length, 2 * files, 'nobody listens yet');
    pageOf(window); // as it was loaded anew
    if (files) assert.equal((await told(3)).at(-1), 'later.mp4');
    window.contents.emit('render-process-gone', {}, { reason: 'oom' });
    await sleep(10);
    assert.deepEqual([argsOf(fake, 'reload').length, argsOf(fake, 'dialog.showMessageBox').length], [2, 1]);
    for (const type of ['Utility', 'GPU', 'GPU', 'GPU']) fake.app.emit('child-process-gone', {}, { type, reason: 'crashed' });
    assert.deepEqual(argsOf(fake, 'app.disableHardwareAcceleration'), []);

    // its end
    window.close();
    if (platform === 'darwin') {
      assert.deepEqual(argsOf(fake, 'app.quit'), [], 'there the app stays');
      fake.app.emit('activate');
      assert.equal(fake.windows.length, 2);
      fake.power.emit('shutdown', { preventDefault: () => undefined });
    }
    fake.app.emit('second-instance', {}, ['protagonist', film('last.mp4')], folder);
    assert.equal(await fake.ended, 0);
    assert.deepEqual(argsOf(fake, 'app.relaunch').map(([how]) => (how as { args: string[] }).args.at(-1)), [files ? join(folder, 'last.mp4') : '--flag']); // prettier-ignore
    assert.equal((JSON.parse(readFileSync(join(folder, platform, 'window.json'), 'utf8')) as { zoom: number }).zoom, 1.1);
    const again = await started(platform, platform);
    assert.equal(argsOf(again.fake, 'app.disableHardwareAcceleration').length, 1, 'the card has failed three times');
    assert.deepEqual(argsOf(again.fake, 'setZoomFactor')[0], [1.1]);
    if (platform === 'win32') {
      const asked: string[] = [];
      again.window.events.emit('query-session-end', { reasons: ['shutdown'], preventDefault: () => asked.push('prevented') });
      assert.deepEqual(asked, [], 'nothing runs');
      assert.equal(again.window.events.listenerCount('session-end'), 1);
      again.window.close(); // a hard end would be this process's
    } else process.emit('SIGTERM');
    assert.equal(await again.fake.ended, 0);
    assert.ok(!process.listeners('SIGTERM').some(listener => listener.name === 'signaled'), 'it listens no more');
  });

test('where somebody else has the library open it is that one’s client; where it cannot be opened it says why', async () => {
  const home = process.env['PROTAGONIST_HOME']!;
  try {
    process.env['PROTAGONIST_HOME'] = join(folder, 'shared');
    const owner = await openLibrary(undefined);
    const { fake, window } = await started('linux', 'client');
    assert.equal(await pageOf(window).greeted, version);
    window.close();
    assert.equal(await fake.ended, 0);
    assert.ok(existsSync(join(folder, 'shared/owner.sock')), 'its owner goes on');
    await owner.close();

    process.env['PROTAGONIST_HOME'] = film('no-folder');
    const refused = fakeElectron(folder);
    await start(refused.electron, ['protagonist'], 'linux');
    assert.equal(await refused.ended, 1);
    assert.deepEqual([refused.windows.length, argsOf(refused, 'dialog.showErrorBox').length], [0, 1]);
    assert.match(String(argsOf(refused, 'dialog.showErrorBox')[0]![1]), /library|folder/);
  } finally {
    process.env['PROTAGONIST_HOME'] = home;
  }
});

test('the command line ends with its status, without a window, a lock or a card, and not in the Dock', async () => {
  for (const [argv, status] of [
    [['storage', 'show', '--json'], 0],
    [['subject', 'show', 's999'], 1],
    [['subject', 'shw'], 2],
    [['--help'], 0],
    [[], 2],
  ] as const) {
    // prettier-ignore
    const fake = fakeElectron(folder);
    await start(fake.electron, ['protagonist', '--headless', ...argv], 'darwin');
    assert.equal(await fake.ended, status, argv.join(' '));
    assert.deepEqual(names(fake), ['app.disableHardwareAcceleration', 'app.setActivationPolicy', 'app.whenReady', 'app.exit']);
  }
});
