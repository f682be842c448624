/** @file The desktop app from its first moment to its last, over an Electron that only remembers: every security setting, what the page can say, what the system hands in, and how it ends. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { overWire } from '../../electron/contract/wire.ts';
import { start } from '../../electron/shell/start.ts';
import { refusedSwitches } from '../../electron/shell/switches.ts';
import { fakeElectron, type Fake, type FakeWindow } from '../support/electron.ts';
import { root, sleep } from '../support/run.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-shell-start-'));
process.env['PROTAGONIST_HOME'] = join(folder, 'library');
after(() => rmSync(folder, { recursive: true, force: true }));
delete process.env['HF_TOKEN'];
const names = ({ calls }: Fake) => calls.map(call => call.name);
const argsOf = ({ calls }: Fake, name: string) => calls.filter(call => call.name === name).map(call => call.args);
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };

/** The page's end of the wire, over the channel alone. */
function pageOf(window: FakeWindow) {
  const line = 1;
  let heard = 0;
  return overWire(
    {
      send: message => void window.ipc.emit('protagonist:message', { senderFrame: window.frame }, { line, said: JSON.stringify(message) }),
      receive: listener => {
        const look = setInterval(() => {
          for (; heard < window.sent.length; heard++) {
            const [channel, said] = window.sent[heard]! as [string, { said: string | null }];
            if (channel === 'protagonist:message' && said.said !== null) listener(JSON.parse(said.said));
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
  await start(fake.electron, ['protagonist', '.']);
  const order = ['app.enableSandbox', 'protocol.registerSchemesAsPrivileged', 'app.requestSingleInstanceLock', 'app.whenReady'];
  assert.deepEqual(names(fake).slice(0, 4), order);

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
  for (const end = performance.now() + 20_000; window.sent.length === before && performance.now() < end;) await sleep(10);
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
  assert.deepEqual(JSON.parse(readFileSync(join(folder, 'window.json'), 'utf8')), { x: 10, y: 20, width: 1000, height: 700, maximized: false }); // prettier-ignore
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
