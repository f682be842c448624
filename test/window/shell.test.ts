/** @file The window in our own program: photos and clips by the system's dialogs and by where they lie, files dragged out and shown, what the menu and the system ask of it. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import type { ClipId } from '../../electron/contract/ids.ts';
import { root, sleep } from '../support/run.ts';
import { chromium } from './support/window.ts';
import { openShell, type OpenedShell } from './support/shell.ts';

const skip = chromium === undefined && 'no chromium here';
const desk = realpathSync(mkdtempSync(join(tmpdir(), 'protagonist-shell-desk-')));
const at = (...names: string[]) => join(desk, ...names);
const toys = join(root, 'assets/toybox/photos');
let opened: OpenedShell, page: Page;
before(async () => {
  if (skip !== false) return;
  mkdirSync(at('holiday/beach'), { recursive: true });
  mkdirSync(at('desk'));
  for (const [from, to] of [
    ['lemon.jpg', 'lemon.jpg'],
    ['fig.jpg', 'fig.jpg'],
    ['kelp.jpg', 'holiday/kelp.jpg'],
    ['moss.jpg', 'holiday/beach/moss.jpg'],
  ])
    copyFileSync(join(toys, from!), at(to!));
  writeFileSync(at('holiday/.hidden.jpg'), 'x');
  opened = await openShell();
  ({ page } = opened);
});
after(async () => {
  if (skip === false) await opened.close();
  rmSync(desk, { recursive: true, force: true });
});
const until = async <T>(what: string, find: () => T | Promise<T | undefined | false> | undefined | false, seconds = 60): Promise<T> => {
  for (const end = performance.now() + seconds * 1000; performance.now() < end; await sleep(50)) {
    const found = await find();
    if (found !== undefined && found !== false) return found;
  }
  throw new Error(`never in ${seconds} s: ${what}`);
};
const heading = (name: string) => page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
const prompt = () => page.getByRole('textbox', { name: 'Prompt' }).or(page.getByRole('combobox', { name: 'Prompt' }));
/** A drag that begins at what a selector finds; whether the page has kept it to itself. */
const dragFrom = (selector: string) =>
  page.locator(selector).first().evaluate(from => !from.dispatchEvent(new DragEvent('dragstart', { bubbles: true, cancelable: true, dataTransfer: new DataTransfer() }))); // prettier-ignore
const fine = () => {
  assert.deepEqual([opened.wrongs, opened.refused], [[], []]);
  for (const said of opened.told) for (const place of [desk, opened.home]) assert.ok(!said.includes(place), said.slice(0, 300));
};
let clip: ClipId;

test('photos are picked in the system’s dialog, and a folder is dropped: nothing of them is sent', { skip }, async () => {
  await opened.studio.settings.edit({ welcomed: true });
  await page.keyboard.press('Control+1');
  await heading('Subjects');
  opened.dialogs.open.push([at('lemon.jpg'), at('fig.jpg')]);
  await page.getByRole('button', { name: 'Choose photos' }).click();
  const sheet = page.getByRole('dialog');
  await sheet.getByText('2 photos').waitFor();
  assert.deepEqual(opened.dialogs.asked.at(-1)?.properties, ['openFile', 'multiSelections']);
  const pictures = () => sheet.locator('.thumb img').evaluateAll(all => all.map(i => (i as HTMLImageElement).naturalWidth)); // prettier-ignore
  await until('seen', async () => (await pictures()).filter(width => width > 0).length === 2);
  await sheet.getByRole('textbox', { name: 'Name' }).fill('Lemon');
  await sheet.getByRole('button', { name: 'Add subject' }).click();
  await sheet.getByRole('button', { name: 'Make a clip' }).waitFor();
  const [subject] = (await opened.studio.subjects.list({})).subjects;
  assert.deepEqual([subject!.name, subject!.photos.map(p => p.name)], ['Lemon', ['lemon.jpg', 'fig.jpg']]);
  await sheet.getByRole('link', { name: 'Open', exact: true }).click();
  await page.waitForURL('**/#/subjects/s1');
  await opened.drop('.drop', [{ path: at('holiday') }]);
  const all = await until('dropped', async () => {
    const { photos } = (await opened.studio.subjects.list({})).subjects[0]!;
    return photos.length === 4 && photos;
  });
  assert.deepEqual(all.map(p => p.name).sort(), ['fig.jpg', 'kelp.jpg', 'lemon.jpg', 'moss.jpg']); // prettier-ignore
  // one that was pasted lies nowhere: its bytes are kept
  const pasted = readFileSync(join(toys, 'nova.jpg')).toString('base64');
  await page.evaluate(base64 => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob(base64), c => c.charCodeAt(0))], 'image.jpg', { type: 'image/jpeg' }));
    window.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true }));
  }, pasted);
  await until('pasted', async () => (await opened.studio.subjects.list({})).subjects[0]!.photos.length === 5);
  // a folder by the system's dialog: what is in it is known already
  opened.dialogs.open.push([at('holiday')]);
  await page.getByRole('button', { name: 'Add photos' }).click();
  await page.getByRole('menuitem', { name: /folder/i }).click();
  await page.getByText(/already/i).first().waitFor(); // prettier-ignore
  fine();
});

test('a clip is made after the page was loaded anew, dragged out, shown, and saved by the system’s dialog', { skip }, async () => {
  await page.keyboard.press('Control+2');
  await heading('Create');
  await prompt().fill('@lemon hops in a snowy landscape.');
  // few steps, so that it is soon made: as a request that was kept
  await sleep(100);
  await page.evaluate(() => {
    const kept = JSON.parse(sessionStorage.getItem('protagonist.draft')!) as { draft: Record<string, unknown> };
    Object.assign(kept.draft, { numInferenceSteps: 3, numFrames: 9, seed: 5 });
    sessionStorage.setItem('protagonist.draft', JSON.stringify(kept));
  });
  await page.reload();
  await heading('Create');
  assert.equal(await prompt().inputValue(), '@lemon hops in a snowy landscape.');
  await page.keyboard.press('Control+Enter');
  const made = await until('made', async () => (await opened.studio.clips.list({})).clips[0], 60);
  clip = made.id;
  await page.keyboard.press('Control+3');
  const tile = page.locator(`[data-clip="${clip}"]`);
  await tile.waitFor();
  await until('its record', () => tile.evaluate(t => t.getAttribute('aria-label')!.includes('hops')));

  assert.equal(await dragFrom(`[data-clip="${clip}"]`), true);
  const [item] = await until('dragged', () => opened.dragged.length > 0 && opened.dragged);
  assert.deepEqual([item!.file, item!.files, item!.icon], [item!.file, [item!.file], 'icon.png']);
  assert.ok(item!.file.startsWith(join(realpathSync(opened.home), 'clips')) || item!.file.startsWith(join(opened.home, 'clips')), item!.file); // prettier-ignore
  assert.ok(existsSync(item!.file));

  await tile.click({ button: 'right' });
  await page.getByRole('menuitem', { name: 'Show in the file manager' }).click();
  await until('shown', () => opened.shown.length === 1);
  assert.deepEqual(opened.shown, [item!.file]);
  opened.dialogs.save.push(at('desk/my clip.mp4'));
  await tile.click({ button: 'right' });
  await page.getByRole('menuitem', { name: 'Save as…' }).click();
  await until('saved', () => existsSync(at('desk/my clip.mp4')));
  assert.ok(readFileSync(at('desk/my clip.mp4')).equals(readFileSync(item!.file)));
  fine();
});

test('the player: its clip leaves the window, a frame is saved, an export is made where the person wants it', { skip }, async () => {
  const { dialogs, dragged, shown } = opened;
  await page.locator(`[data-clip="${clip}"]`).click();
  await page.waitForURL(`**/#/library/${clip}`);
  await page.getByRole('img', { name: /Frame 1 of 9/ }).waitFor();
  assert.equal(await dragFrom('aside [draggable=true]'), true);
  await until('dragged', () => dragged.length === 2);
  assert.deepEqual(dragged[1], dragged[0]);

  dialogs.save.push(at('desk/frame.png'));
  await page.keyboard.press('s');
  await until('saved', () => existsSync(at('desk/frame.png')));
  assert.equal(readFileSync(at('desk/frame.png')).subarray(1, 4).toString(), 'PNG');

  await page.keyboard.press('e');
  const sheet = page.getByRole('dialog');
  const press = sheet.getByRole('button', { name: 'Export to…' });
  await until('planned', () => press.isEnabled());
  await press.click(); // canceled
  await until('asked', () => /\.mp4$/.test(dialogs.asked.at(-1)?.defaultPath ?? ''));
  assert.equal((await opened.studio.exports.list({})).exports.length, 0);
  dialogs.save.push(at('desk/shared')); // without its ending
  await press.click();
  await sheet.getByRole('button', { name: 'Show in the file manager' }).click({ timeout: 120_000 });
  await until('shown', () => shown.length === 2);
  assert.equal(shown[1], at('desk/shared.mp4'));
  assert.ok(existsSync(at('desk/shared.mp4')));
  assert.ok(!(await opened.studio.exports.list({})).exports[0]!.inLibrary);
  // it is gone: made once more, it is where it was
  rmSync(at('desk/shared.mp4'));
  await page.keyboard.press('Escape');
  await sheet.waitFor({ state: 'detached' });
  await page.keyboard.press('e');
  await sheet.getByRole('button', { name: 'Once more' }).click();
  await sheet.getByRole('button', { name: 'Show in the file manager' }).waitFor();
  assert.ok(existsSync(at('desk/shared.mp4')));
  await page.keyboard.press('Escape');
  await sheet.waitFor({ state: 'detached' });
  fine();
});

test('several clips: dragged together, saved into one folder', { skip }, async () => {
  const started = await opened.studio.exports.start({
    clips: [clip],
    preset: 'share',
    asClip: true,
    options: { trim: { from: 0, to: 5 } },
  });
  const second = await until('a second clip', async () => (await opened.studio.exports.show({ id: started.id })).clipId ?? undefined);
  await page.keyboard.press('Control+3');
  await page.locator(`[data-clip="${second}"]`).waitFor();
  await page.locator(`[data-clip="${second}"]`).focus();
  await page.keyboard.press('Control+a');
  await page.getByText('2 selected').first().waitFor();
  assert.equal(await dragFrom(`[data-clip="${second}"]`), true);
  const item = await until('dragged', () => opened.dragged[2]);
  assert.equal(new Set(item.files).size, 2);
  assert.ok(item.files?.every(file => existsSync(file) && dirname(file) === dirname(opened.dragged[0]!.file)));
  mkdirSync(at('shelf'));
  opened.dialogs.open.push([at('shelf')]);
  await page.getByRole('toolbar').getByRole('button', { name: /^Save into a folder/ }).click(); // prettier-ignore
  await until('saved', () => readdirSync(at('shelf')).filter(name => name.endsWith('.mp4') && !name.startsWith('.')).length === 2);
  await page.getByText('2 clips saved').first().waitFor();
  await page.keyboard.press('Escape');
  fine();
});

test('a clip that is opened by its icon, by the menu or by its keys brings back what made it', { skip }, async () => {
  const kept = at('desk/my clip.mp4');
  const brought = async (how: () => Promise<unknown>) => {
    await how();
    await heading('Create');
    await until('restored', async () => (await prompt().inputValue()) === '@lemon hops in a snowy landscape.');
    await page.getByText(basename(kept)).first().waitFor(); // prettier-ignore
    await opened.menu('New Clip');
    await until('empty', async () => (await prompt().inputValue()) === '');
  };
  await opened.menu('New Clip');
  await heading('Create');
  await until('empty', async () => (await prompt().inputValue()) === '');
  await brought(() => opened.open(kept));
  opened.dialogs.open.push([kept]);
  await brought(() => opened.menu('Open Clip…'));
  opened.dialogs.open.push([kept]);
  await brought(() => page.keyboard.press('Control+o'));
  assert.deepEqual(opened.dialogs.asked.at(-1)?.filters, [{ name: 'Clips', extensions: ['mp4', 'm4v'] }]);
  opened.dialogs.open.push([kept]);
  await brought(() => page.getByRole('button', { name: 'Settings from a file' }).click());
  await brought(() => opened.drop('.create', [{ path: kept, type: 'video/mp4' }]));
  // while it is being loaded it is not lost
  const begun = page.waitForRequest(request => request.isNavigationRequest());
  const loading = page.reload();
  await begun;
  await brought(() => opened.open(kept).then(() => loading));
  fine();
});

test('every line of the menu does what it says, and its keys do it once', { skip }, async () => {
  const menu = (label: string) => opened.menu(label);
  for (const [label, name] of [
    ['Subjects', 'Subjects'],
    ['Library', 'Library'],
    ['Settings…', 'Settings'],
    ['Create', 'Create'],
  ] as const) {
    // prettier-ignore
    await menu(label);
    await heading(name);
  }
  const drawer = page.getByRole('button', { name: /^Queue/ }).first();
  await menu('Queue');
  await until('open', async () => (await drawer.getAttribute('aria-expanded')) === 'true');
  await menu('Queue');
  await until('closed', async () => (await drawer.getAttribute('aria-expanded')) === 'false');
  await menu('Shortcuts');
  const sheet = page.getByRole('dialog', { name: 'Shortcuts' });
  await sheet.waitFor();
  assert.match(await sheet.innerText(), /New clip[^]*Open a clip/);
  await page.keyboard.press('Escape');
  await sheet.waitFor({ state: 'detached' });

  // Undo of a text is the text's, elsewhere it is the window's
  await menu('New Clip');
  await prompt().click();
  await page.keyboard.type('abc');
  await menu('Undo');
  await until('undone', async () => (await prompt().inputValue()) !== 'abc');
  await menu('Redo');
  await until('done again', async () => (await prompt().inputValue()) === 'abc');
  await opened.studio.clips.edit({ id: clip, stars: 0 });
  await menu('Library');
  const tile = page.locator(`[data-clip="${clip}"]`);
  await tile.waitFor();
  await tile.focus();
  await page.keyboard.press('4');
  const stars = (n: number) => until(`${n} stars`, async () => (await opened.studio.clips.show({ id: clip })).stars === n);
  await stars(4);
  await menu('Undo');
  await stars(0);
  await menu('Redo');
  await stars(4);

  // keys that were changed are the menu's, too; a key that the page has taken is not the menu's any more
  await opened.studio.settings.edit({ shortcuts: { 'go.library': 'Mod+Alt+L' } });
  await menu('Subjects');
  await heading('Subjects');
  const taken = (key: string, held: { ctrlKey: boolean; altKey?: boolean; code?: string }) =>
    page.evaluate(
      said =>
        !document.body.dispatchEvent(new KeyboardEvent('keydown', { ...(JSON.parse(said) as object), bubbles: true, cancelable: true })),
      JSON.stringify({ key, ...held }),
    );
  await until('taken', () => taken('l', { ctrlKey: true, altKey: true, code: 'KeyL' }));
  await heading('Library');
  assert.equal(await taken('3', { ctrlKey: true }), false);
  for (const key of ['1', '2', ',', 'n']) assert.equal(await taken(key, { ctrlKey: true }), true, key);
  for (const key of ['=', '-', '0']) assert.equal(await taken(key, { ctrlKey: true }), false, `${key}: zooming is the menu's`);
  fine();
});

test('checkpoints by the system’s dialog, and shown where they lie', { skip }, async () => {
  await opened.menu('Settings…');
  await page.evaluate(() => (location.hash = '#/settings/models'));
  opened.dialogs.open.push([at('holiday')]);
  await page.getByRole('button', { name: /folder/i }).first().click(); // prettier-ignore
  await until('refused', async () => (await page.getByText(/holiday/).count()) > 0);
  assert.deepEqual(opened.dialogs.asked.at(-1)?.properties, ['openDirectory']);
  await page.getByRole('button', { name: /Toybox/ }).first().click(); // prettier-ignore
  await page.getByRole('menuitem', { name: 'Show in the file manager' }).click();
  await until('shown', () => opened.shown.length === 3);
  assert.equal(basename(opened.shown[2]!), 'toybox');
  fine();
});
