/** @file The switch in the app that starts: off, nothing of updates is loaded, asked or shown; on, there are two items in the menu, and nothing is contacted before somebody wants it. */
import assert from 'node:assert/strict';
import { channel } from 'node:diagnostics_channel';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { registerHooks } from 'node:module';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MenuItem, MenuItemConstructorOptions } from 'electron';
import type { UpdatesSwitch } from '../../electron/contract/updates.ts';
import { fakeElectron, type Fake } from '../support/electron.ts';
import { root } from '../support/run.ts';

/** Every module that is loaded from now on. */
const loaded: string[] = [];
registerHooks({
  load(url, context, next) {
    loaded.push(url);
    return next(url, context);
  },
});
const ofUpdates = () =>
  loaded.filter(url => /node_modules\/electron-updater\/|shell\/(?:feed|updates|updater|update-words|connect-updates)\.ts$/.test(url));

const folder = mkdtempSync(join(tmpdir(), 'protagonist-switch-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** @returns the app, started, and what it has connected to over the network */
async function launch(t: TestContext, name: string, switched?: UpdatesSwitch): Promise<{ fake: Fake; out: Socket[] }> {
  const out: Socket[] = [],
    note = (said: unknown) => {
      const { socket } = said as { socket: Socket };
      socket.once('lookup', () => out.push(socket)).once('connect', () => socket.remotePort !== undefined && out.push(socket));
    };
  channel('net.client.socket').subscribe(note);
  t.after(() => channel('net.client.socket').unsubscribe(note));
  process.env['PROTAGONIST_HOME'] = join(folder, name, 'library');
  mkdirSync(join(folder, name));
  const { start } = await import('../../electron/shell/start.ts');
  const fake = fakeElectron(join(folder, name));
  await start(fake.electron, ['protagonist', '.'], process.platform, ...(switched ? [switched] : []));
  return { fake, out };
}
const items = (menu: readonly MenuItemConstructorOptions[]): MenuItemConstructorOptions[] =>
  menu.flatMap(item => [item, ...(Array.isArray(item.submenu) ? items(item.submenu) : [])]);
const find = ({ menu }: Fake, label: RegExp) => items(menu).find(item => label.test(item.label ?? ''));
const click = (item: MenuItemConstructorOptions | undefined, checked = false) =>
  (item!.click as unknown as (item: Pick<MenuItem, 'checked'>) => void)({ checked });
const quit = async (fake: Fake) => {
  fake.electron.app.quit();
  assert.equal(await fake.ended, 0);
};

test('off, as it is given away: nothing is loaded, nobody is contacted, no item is there', async t => {
  const { fake, out } = await launch(t, 'off');
  assert.ok(loaded.some(url => url.endsWith('electron/shell/start.ts')));
  assert.equal(find(fake, /update|once a day/i), undefined);
  assert.ok(find(fake, /^About/));
  await sleep(50);
  await quit(fake);
  assert.deepEqual([ofUpdates(), out], [[], []]);
  assert.ok(!existsSync(join(folder, 'off/updates.json')));
});

test('on: two items, and still nobody is contacted unasked, or offline', async t => {
  const { fake, out } = await launch(t, 'on', { feed: 'https://updates.example.invalid/protagonist/', keys: [Buffer.alloc(32, 9).toString('base64')] }); // prettier-ignore
  assert.ok(ofUpdates().length > 0);
  assert.ok(
    !loaded.some(url => /node_modules\/electron-updater\/|shell\/updater\.ts$/.test(url)),
    'what installs waits for something to install',
  );
  const settingsItem = () => find(fake, /^Check Once a Day$/);
  assert.deepEqual([settingsItem()?.type, settingsItem()?.checked], ['checkbox', false]);
  const { openLibrary } = await import('../../electron/cli/library.ts');
  const library = await openLibrary(undefined),
    { transport } = library;
  await transport.call('settings.edit', { offline: true });
  click(settingsItem(), true);
  for (let i = 0; i < 200 && settingsItem()?.checked !== true; i++) await sleep(10);
  assert.equal(settingsItem()?.checked, true, 'it is set in the library, and the menu shows it');

  click(find(fake, /^Check for Updates…$/));
  const boxes = () => fake.calls.filter(({ name }) => name === 'dialog.showMessageBox');
  for (let i = 0; i < 200 && boxes().length === 0; i++) await sleep(10);
  const said = boxes()[0]!.args.at(-1) as { message: string; detail: string };
  assert.equal(said.message, 'There is nothing to install');
  assert.match(said.detail, /^The offline switch is on, so nothing was contacted/);
  await library.close();
  await quit(fake);
  assert.deepEqual(out, []);
  assert.ok(!existsSync(join(folder, 'on/updates')));
});

test('electron-updater has one door, and only this chain leads to it', () => {
  const importing = (what: RegExp) =>
    globSync(['electron/**/*.ts', 'native-models/**/*.ts'], { cwd: root })
      .filter(file => what.test(readFileSync(join(root, file), 'utf8')))
      .map(file => file.replaceAll('\\', '/'));
  assert.deepEqual(importing(/'electron-updater'/), ['electron/shell/updater.ts']);
  // types alone load nothing
  assert.deepEqual(importing(/^import (?!type)[^;]*'\.\/updater\.ts'|[^.]import\('\.\/updater\.ts'\)/m), [
    'electron/shell/connect-updates.ts',
  ]);
  assert.deepEqual(importing(/^import (?!type)[^;]*'\.\/connect-updates\.ts'|[^.]import\('\.\/connect-updates\.ts'\)/m), [
    'electron/shell/start.ts',
  ]);
  assert.deepEqual(importing(/^import (?!type)[^;]*'\.\/updates\.ts'|[^.]import\('\.\/updates\.ts'\)/m), [
    'electron/shell/connect-updates.ts',
  ]);
});
