/** @file Settings as they are used: each change is kept, said, and can be taken back; a download from its licence to the model that is ready. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { clipEngine } from '../../electron/cli/engine.ts';
import { lookAtMachine } from '../../electron/cli/machine.ts';
import { known, samples, toybox } from '../../electron/cli/toybox.ts';
import { openStudio } from '../../electron/studio/owner.ts';
import { fileSecrets } from '../../electron/studio/secrets.ts';
import { startStudio } from '../../electron/studio/studio.ts';
import { startHub, type Hub } from '../support/hub.ts';
import { root, sleep } from '../support/run.ts';
import { chromium, openWindow, type Opened } from './support/window.ts';

const skip = chromium === undefined && 'no chromium here';
const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
const tiny = join(root, 'test/parity/cases/tiny');
const files = new Map(
  readdirSync(tiny, { recursive: true, withFileTypes: true })
    .filter(e => e.isFile())
    .map(e => join(e.parentPath, e.name))
    .map(file => [file.slice(tiny.length + 1).replaceAll('\\', '/'), readFileSync(file)]),
);
let opened: Opened, hub: Hub, folder: string;
/** Ways in which the hub misbehaves from now on. */
let slow = false;

before(
  async () => {
    if (skip !== false) return;
    folder = mkdtempSync(join(tmpdir(), 'protagonist-models-'));
    mkdirSync(join(folder, 'models'));
    cpSync(tiny, join(folder, 'models/tiny'), { recursive: true });
    hub = await startHub({ files, misbehave: path => (slow && path.endsWith('.safetensors') ? 'slow' : undefined) });
    const endpoint = hub.endpoint;
    const open = (home: string) =>
      openStudio(
        home,
        () =>
          startStudio({
            home,
            version,
            engine: clipEngine(),
            verifier: clipEngine(1),
            embedded: [{ name: 'Toybox', path: toybox }],
            samples: samples(),
            machine: lookAtMachine,
            known: [
              ...known().filter(entry => 'embedded' in entry),
              hub.entry,
              { ...hub.entry, id: 'some-giant', name: 'Some Giant', memory: { bytes: 9e15, note: 'More than anybody has.' } },
            ],
            hub: { endpoint },
            secrets: fileSecrets(join(folder, 'config/secrets/hub.json')),
            can: { paths: true, dragOut: false, reveal: false, pickFolder: false },
          }),
        { version, warn: () => undefined },
      );
    opened = await openWindow({ open, roots: [join(folder, 'models')] });
    await opened.studio.settings.edit({ welcomed: true });
  },
  { timeout: 600_000 },
);
after(async () => {
  if (skip !== false) return;
  await opened.close();
  await hub.close();
  rmSync(folder, { recursive: true, force: true });
});

const now = () => opened.studio.settings.show(undefined);
async function until(what: string, sure: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 60_000; performance.now() < end; await sleep(50)) if (await sure()) return;
  assert.fail(`never: ${what}`);
}

test(
  'a model is downloaded: licence accepted first, paused, gone on with, checked; then it is here',
  { skip, timeout: 600_000 },
  async () => {
    slow = true;
    const page = await opened.page('#/settings/models');
    const card = page.getByRole('article', { name: 'Some Model' });
    await card.getByText('Some Licence', { exact: true }).waitFor();
    assert.equal(hub.asked.length, 0, 'nobody was asked before');
    await card.getByRole('button', { name: 'Download Some Model' }).click();
    const dialog = page.getByRole('dialog', { name: 'Download Some Model?' });
    await dialog.getByText('https://example.com/licence').waitFor();
    const begin = dialog.getByRole('button', { name: 'Begin the download' });
    assert.ok(await begin.isDisabled(), 'not before it is accepted');
    await dialog.getByRole('checkbox', { name: 'I have read the licence “Some Licence” and accept it.' }).check();
    await begin.click();
    await card.getByText('Downloading', { exact: true }).waitFor();
    await card.getByRole('progressbar').waitFor();
    await card.getByRole('button', { name: 'Pause' }).click();
    await card.getByText('Paused', { exact: true }).waitFor();

    // offline it says why not, and offers the one way
    await opened.studio.settings.edit({ offline: true });
    await card.getByText('Nothing is downloaded: Protagonist is set to stay offline.').waitFor();
    const asked = hub.asked.length;
    await card.getByRole('button', { name: 'Go online' }).click();
    await card.getByRole('button', { name: 'Go on', exact: true }).waitFor();
    assert.equal((await now()).offline, false);
    assert.equal(hub.asked.length, asked);

    slow = false;
    await card.getByRole('button', { name: 'Go on', exact: true }).click();
    await card.getByText('Ready', { exact: true }).waitFor({ timeout: 120_000 });
    await card.getByText('Every byte was checked when it came.').waitFor();
    await page.getByText('Some Model is ready').waitFor();
    await card.getByRole('button', { name: 'Use it for new clips' }).click();
    await until(
      'it makes new clips',
      async () => (await opened.studio.checkpoints.list(undefined)).checkpoints.find(c => c.isDefault)?.name === 'Some Model',
    );

    // its files go only where somebody is sure
    await page.getByRole('button', { name: 'More for Some Model' }).click();
    await page.getByRole('menuitem', { name: 'Delete its files' }).click();
    await page.getByRole('alertdialog', { name: 'Delete Some Model?' }).getByRole('button', { name: 'Delete its files' }).click();
    await card.getByRole('button', { name: 'Download Some Model' }).waitFor();
    assert.deepEqual(
      (await opened.studio.checkpoints.list(undefined)).checkpoints.map(c => c.name),
      ['Toybox'],
    );
    assert.deepEqual(opened.wrongs, []);
  },
);

test(
  'a model in a folder of this computer is added, by keyboard alone, renamed and taken off the list',
  { skip, timeout: 600_000 },
  async () => {
    const page = await opened.page('#/settings/models?at=folder');
    await page.getByRole('button', { name: 'Use a folder' }).focus();
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Choose a folder' });
    const use = dialog.getByRole('button', { name: 'Use this folder' });
    await dialog.getByRole('button', { name: 'tiny' }).waitFor(); // the one root is open
    assert.ok(await use.isDisabled(), 'no model here');
    await page.waitForFunction(() => document.activeElement?.textContent.trim() === 'tiny');
    await page.keyboard.press('Enter');
    await dialog.getByText('Looks like a model').first().waitFor();
    await use.focus();
    await page.keyboard.press('Enter');
    await page.getByText('tiny is on the list').waitFor({ timeout: 120_000 });

    await page.getByRole('button', { name: 'More for tiny' }).click();
    await page.getByRole('menuitem', { name: 'Rename' }).click();
    await page.getByRole('textbox', { name: 'Name' }).fill('Very small');
    await page.keyboard.press('Enter');
    await page.getByText('Renamed: Very small').waitFor();
    await page.keyboard.press('Control+z');
    await page.getByRole('button', { name: 'More for tiny' }).click();
    await page.getByRole('menuitem', { name: 'Take off the list' }).click();
    await page.getByRole('alertdialog').getByRole('button', { name: 'Take off the list' }).click();
    await page.getByText('tiny is off the list').waitFor();
    assert.equal((await opened.studio.checkpoints.list(undefined)).checkpoints.length, 1);
    assert.ok(readdirSync(join(folder, 'models/tiny')).includes('model_index.json'), 'its files stay');
    assert.deepEqual(opened.wrongs, []);
  },
);

test('one field finds any setting, and the offline switch is kept, said and taken back', { skip, timeout: 600_000 }, async () => {
  const page = await opened.page('#/settings');
  await page.keyboard.press('/');
  await page.keyboard.type('airplane');
  await page.getByRole('link', { name: /Stay offline/ }).waitFor();
  await page.keyboard.press('Enter');
  await page.waitForURL('**/#/settings/network?at=offline');
  await page.waitForFunction(() => document.activeElement?.id === 'set-offline');
  for (const { host } of (await opened.studio.downloads.list(undefined)).network.contacts)
    await page.getByRole('rowheader', { name: host }).first().waitFor();
  await page.getByRole('switch', { name: 'Stay offline' }).check();
  await page.getByRole('status').getByText('Offline: nothing can be contacted.').first().waitFor();
  await until('it is offline', async () => (await now()).offline);
  await assert.rejects(opened.studio.downloads.start({ id: 'some-model', accepted: 'Some Licence' }), /offline/);
  await page.getByRole('button', { name: 'Undo' }).click();
  await until('it is online', async () => !(await now()).offline);
  assert.equal(await page.getByRole('switch', { name: 'Stay offline' }).isChecked(), false);
  assert.deepEqual(opened.wrongs, []);
});

test(
  'an access token is entered where a failure leads to, never shown again, and forgotten when asked',
  { skip, timeout: 600_000 },
  async () => {
    const token = 'hf_windowTOKEN0123456789',
      file = join(folder, 'config/secrets/hub.json'),
      page = await opened.page('#/settings/models');
    hub.gate = token;
    try {
      const card = page.getByRole('article', { name: 'Some Model' });
      await card.getByRole('button', { name: 'Download Some Model' }).click();
      await page.getByRole('dialog').getByRole('checkbox').check();
      await page.getByRole('dialog').getByRole('button', { name: 'Begin the download' }).click();
      await card.getByText('only to people it knows').waitFor();
      await card.getByRole('button', { name: 'Enter a token' }).click();
      await page.waitForURL('**/#/settings/network?at=token');
      const row = page.getByRole('group', { name: 'Access token' }),
        field = row.getByLabel('Access token');
      await row.getByText('No token is kept.').waitFor();
      assert.equal(await field.getAttribute('type'), 'password');
      await field.fill('two words');
      await row.getByRole('button', { name: 'Save' }).click();
      await page.getByText('an access token has 8 to 200 letters').waitFor();
      await field.fill(token);
      await page.keyboard.press('Enter');
      await row.getByText('Kept in a file that only you can read.').waitFor();
      assert.equal(await field.inputValue(), '');
      assert.equal((JSON.parse(readFileSync(file, 'utf8')) as { token: string }).token, token);
      assert.ok(!(await page.content()).includes(token));
      await row.getByRole('button', { name: 'Remove' }).click();
      await page.getByRole('alertdialog').getByRole('button', { name: 'Remove' }).click();
      await row.getByText('No token is kept.').waitFor();
      assert.ok(!existsSync(file));
      assert.deepEqual(opened.wrongs, []);
    } finally {
      hub.gate = undefined;
    }
  },
);

test('keys are chosen by pressing them; a clash is told, and either side can win', { skip, timeout: 600_000 }, async () => {
  const page = await opened.page('#/settings/shortcuts');
  const change = page.getByRole('button', { name: 'Change the keys of: Queue' });
  await change.click();
  await page.keyboard.press('Control+2');
  const clash = page.getByRole('alert');
  await clash.getByText('Ctrl+2 is already used for: Create').waitFor();
  assert.ok(page.url().endsWith('#/settings/shortcuts'), 'while keys are chosen they do nothing else');
  await clash.getByRole('button', { name: 'Choose other keys' }).click();
  await page.keyboard.press('Control+j');
  await until('it is kept', async () => (await now()).shortcuts['queue.toggle'] === 'Mod+J');
  await page.keyboard.press('Control+j');
  await page.getByRole('button', { name: 'Queue', exact: false, expanded: true }).waitFor();
  await page.keyboard.press('Control+j');

  await change.click();
  await page.keyboard.press('Control+2');
  await clash.getByRole('button', { name: 'Use it here instead' }).click();
  await until('the other one has none', async () => {
    const { shortcuts } = await now();
    return shortcuts['queue.toggle'] === 'Mod+2' && shortcuts['go.create'] === null;
  });
  await page.getByRole('button', { name: 'The usual keys for: Queue' }).click();
  await until('the usual ones are not written down', async () => !Object.hasOwn((await now()).shortcuts, 'queue.toggle'));
  await page.getByRole('button', { name: 'All as they were' }).click();
  await until('all are the usual ones', async () => Object.keys((await now()).shortcuts).length === 0);

  await change.click();
  await page.keyboard.press('Backspace');
  await until('it has none', async () => (await now()).shortcuts['queue.toggle'] === null);
  await opened.studio.settings.edit({ shortcuts: {} });
  await page.goto(`${opened.host.origin}/window/#/settings/about`);
  await page.keyboard.press('?');
  const sheet = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
  await sheet.getByText('Redo').first().waitFor();
  await page.keyboard.press('Escape');
  await sheet.waitFor({ state: 'detached' });
  await page.keyboard.press('?');
  await sheet.getByText('Redo').first().waitFor();
  await page.goBack();
  await sheet.waitFor({ state: 'detached' });
  assert.deepEqual(opened.wrongs, []);
});

test('the licences of all parts are there in full, as they were bundled', { skip, timeout: 600_000 }, async () => {
  const page = await opened.page('#/settings/about');
  await page.getByText('All their licences, in full').click();
  const text = page.locator('pre');
  await text.waitFor();
  const whole = (await text.textContent())!;
  for (const part of ['svelte', '@fontsource-variable/inter', 'bits-ui', 'onnxruntime-node', 'sharp', 'koffi'])
    assert.match(whole, new RegExp(`^${part} [\\d.]+\\S* \\(`, 'm'), part);
  assert.deepEqual(opened.wrongs, []);
});

test('the language changes at once, its direction with it, and back by one press', { skip, timeout: 600_000 }, async () => {
  const page = await opened.page('#/settings/language');
  await page.getByRole('radio', { name: /العربية/ }).check();
  await page.getByRole('heading', { name: 'الإعدادات' }).waitFor();
  const root = () =>
    page.evaluate(() => [document.documentElement.lang, document.documentElement.dir, getComputedStyle(document.body).direction]);
  assert.deepEqual(await root(), ['ar', 'rtl', 'rtl']);
  const side = async () => page.evaluate(() => document.querySelector('nav')!.getBoundingClientRect().left > innerWidth / 2);
  assert.ok(await side(), 'the places lie at the right');
  await page.getByRole('button', { name: 'تراجع' }).click();
  await page.getByRole('heading', { name: 'Settings' }).waitFor();
  assert.deepEqual((await root()).slice(0, 2), ['en', 'ltr']);
  await page.getByRole('radio', { name: /Deutsch/ }).check();
  await page.getByRole('heading', { name: 'Einstellungen' }).waitFor();
  await page.getByText('Noch nicht geprüft').first().waitFor();
  await opened.studio.settings.edit({ language: 'system' });
  await page.getByRole('heading', { name: 'Settings' }).waitFor();
  assert.deepEqual(opened.wrongs, []);
});

test('theme and motion hold for the whole window', { skip, timeout: 600_000 }, async () => {
  const page = await opened.page('#/settings/appearance');
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.getByRole('radio', { name: 'Light' }).check({ force: true });
  await page.waitForFunction(() => document.documentElement.dataset['theme'] === 'light');
  const light = await ground();
  await page.getByRole('radio', { name: 'Dark' }).check({ force: true });
  await page.waitForFunction(() => document.documentElement.dataset['theme'] === 'dark');
  assert.notEqual(await ground(), light);
  await page.getByRole('radio', { name: 'Reduced' }).check({ force: true });
  await page.waitForFunction(() => document.documentElement.dataset['motion'] === 'reduced');
  await until('both are kept', async () => {
    const { theme, motion } = await now();
    return theme === 'dark' && motion === 'reduced';
  });
  await opened.studio.settings.edit({ theme: 'system', motion: 'system' });
  assert.deepEqual(opened.wrongs, []);
});

test(
  'storage says what takes how much, cleans only after saying how much, checks, and goes back to a backup',
  { skip, timeout: 600_000 },
  async () => {
    // what a download has left over
    slow = true;
    await opened.studio.downloads.start({ id: 'some-giant', accepted: 'Some Licence' });
    await until(
      'some of it has come',
      async () => (await opened.studio.downloads.list(undefined)).downloads.find(d => d.id === 'some-giant')!.have > 0,
    );
    await opened.studio.downloads.pause({ id: 'some-giant' });
    slow = false;
    await opened.studio.backups.create(undefined);
    await opened.studio.subjects.add({ name: 'After the backup' });
    const page = await opened.page('#/settings/storage');
    await page.getByRole('img', { name: /^What takes how much: .*Models/ }).waitFor();

    await page
      .getByRole('button', { name: /^Restore the backup of/ })
      .first()
      .click();
    const sure = page.getByRole('alertdialog', { name: /^Go back to/ });
    await sure.getByText('Everything that was changed since then is lost').waitFor();
    await sure.getByRole('button', { name: 'Restore' }).click();
    await page.getByText(/^The library is as it was at/).waitFor();
    assert.deepEqual((await opened.studio.subjects.list({})).subjects, [], 'as it was');

    // a restore puts aside what it replaces: that can go
    const before = (await opened.studio.storage.show(undefined)).kinds.find(k => k.kind === 'backups')!;
    assert.ok(before.cleanable > 0);
    await page.reload();
    await page.getByRole('button', { name: 'Clean up: Backups' }).click();
    const dialog = page.getByRole('alertdialog', { name: 'Clean up Backups?' });
    await dialog.getByText('What was put aside when one was restored goes').waitFor();
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    assert.equal((await opened.studio.storage.show(undefined)).kinds.find(k => k.kind === 'backups')!.bytes, before.bytes, 'nothing went');
    await page.getByRole('button', { name: 'Clean up: Backups' }).click();
    await dialog.getByRole('button', { name: 'Clean up' }).click();
    await page.getByText(/freed: Backups$/).waitFor();
    const left = (await opened.studio.storage.show(undefined)).kinds.find(k => k.kind === 'backups')!;
    assert.deepEqual([left.cleanable, before.bytes - left.bytes], [0, before.cleanable]);
    await page.getByRole('button', { name: 'Check now' }).click();
    await page.getByText('All is well: the list is sound, and every file is there.').first().waitFor();
    assert.deepEqual(opened.wrongs, []);
  },
);

test('the device and what the processor computes with', { skip, timeout: 600_000 }, async () => {
  const page = await opened.page('#/settings/devices');
  const { devices, ffmpeg } = await opened.studio.host.machine(undefined);
  const models = await opened.page('#/settings/models');
  await models.getByRole('article', { name: 'Some Giant' }).getByText('Does not fit', { exact: true }).waitFor();
  await models.getByRole('article', { name: 'Toybox' }).getByText('Fits', { exact: true }).waitFor();
  await models.context().close();
  // a browser reads no path, so the sentence may end sooner here
  for (const { text } of devices) await page.getByText(text.slice(0, 24)).first().waitFor();
  await page.getByText(ffmpeg).waitFor();
  await page.getByRole('radio', { name: /^Processor/ }).check();
  await page.getByRole('spinbutton', { name: 'Threads' }).fill('1');
  await page.keyboard.press('Enter');
  await page.getByRole('switch', { name: 'Keep what clips are developed from' }).uncheck();
  await until('all of it is kept', async () => {
    const { device, threads, keepLatents } = await now();
    return device === 'cpu' && threads === 1 && !keepLatents;
  });
  for (let i = 0; i < 3; i++) await page.keyboard.press('Control+z');
  await until('and taken back', async () => {
    const { device, threads, keepLatents } = await now();
    return device === 'auto' && threads === null && keepLatents;
  });
  assert.deepEqual(opened.wrongs, []);
});
