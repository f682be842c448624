/** @file Subjects in a real browser: photos dropped by the browser's own drag protocol, pasted, cropped and cut out, and all of it taken back. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Page } from 'playwright-core';
import sharp from 'sharp';
import type { Photo, Subject } from '../../electron/contract/records.ts';
import { centred, dragged, emptyMask, pack, paint, unpack, viewBox } from '../../renderer/state/mask.ts';
import { root } from '../support/run.ts';
import { manyPhotos } from './support/filled.ts';
import { chromium, openWindow, type Opened } from './support/window.ts';

const toys = join(root, 'assets/toybox/photos');
const toy = (name: string) => join(toys, `${name}.jpg`);

/** Drops files and folders as a file manager does: the page gets them from the browser, by its own drag events. */
async function drop(page: Page, selector: string, files: readonly string[]): Promise<void> {
  const box = await page.locator(selector).first().boundingBox();
  assert.ok(box, `${selector} is on the page`);
  const session = await page.context().newCDPSession(page);
  const at = { x: box.x + box.width / 2, y: box.y + Math.min(box.height / 2, 300) };
  const data = { items: [], files: [...files], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) await session.send('Input.dispatchDragEvent', { type, ...at, data });
  await session.detach();
}
const living = (subject: Subject): Photo[] => subject.photos.filter(p => !p.removed);

describe('masks and crops as numbers', () => {
  it('packs a mask and gives it back', () => {
    const mask = emptyMask(300, 200);
    paint(mask, [40, 40], [260, 150], 25.5, true);
    paint(mask, [100, 100], [100, 100], 9, false);
    for (let i = 0; i < 500; i++) mask.data[(i * 7919) % mask.data.length] = i % 256;
    const packed = pack(mask),
      back = emptyMask(300, 200);
    back.data.fill(77);
    unpack(packed, back);
    assert.deepEqual(back.data, mask.data);
    assert.ok(packed.length < mask.data.length / 4);
  });
  it('paints a round line with a soft rim, within what it says has changed', () => {
    const mask = emptyMask(100, 60);
    const part = paint(mask, [20, 30], [80, 30], 10, true);
    const at = (x: number, y: number) => mask.data[y * 100 + x]!;
    assert.equal(at(50, 30), 255);
    assert.equal(at(50, 22), 255);
    assert.equal(at(50, 18), 0);
    assert.equal(at(8, 30), 0);
    assert.equal(at(12, 30), 255);
    assert.ok(mask.data.some(v => v > 0 && v < 255));
    for (let y = 0; y < 60; y++)
      for (let x = 0; x < 100; x++)
        if (x < part.x || y < part.y || x >= part.x + part.width || y >= part.y + part.height) assert.equal(at(x, y), 0);
    paint(mask, [50, 30], [50, 30], 5, false);
    assert.equal(at(50, 30), 0);
    assert.equal(at(60, 30), 255);
  });
  it('keeps a crop within the photo and in its shape, whichever handle is dragged how far', () => {
    const photo = { width: 640, height: 480 };
    for (const aspect of [null, 1, 16 / 9, 2 / 3])
      for (const handle of ['n', 'ne', 'e', 'se', 's', 'sw', 'w', 'nw', 'move'] as const)
        for (const by of [[-900, -900], [900, 700], [37, -12], [0, 0], [-55, 200]] as const) {
          const start = aspect === null ? { x: 100, y: 90, width: 200, height: 150 } : centred({ x: 0, y: 0, ...photo }, aspect);
          const { x, y, width, height } = dragged(start, handle, by, photo, aspect);
          const what = `${handle} by ${by.join(', ')} at ${String(aspect)}: ${[x, y, width, height].join(' ')}`;
          assert.ok([x, y, width, height].every(Number.isInteger), what);
          assert.ok(x >= 0 && y >= 0 && width > 0 && height > 0 && x + width <= 640 && y + height <= 480, what);
          if (aspect !== null) assert.ok(Math.abs(width - height * aspect) <= 1.5 + aspect, what);
        } // prettier-ignore
    assert.deepEqual(dragged({ x: 10, y: 10, width: 100, height: 80 }, 'e', [50, 99], photo, null), {
      x: 10,
      y: 10,
      width: 150,
      height: 80,
    });
    assert.equal(viewBox({ x: 64, y: 48, width: 320, height: 240 }, photo), 'inset(10.000% 40.000% 40.000% 10.000%)');
    assert.equal(viewBox(null, photo), undefined);
  });
});

describe('subjects', { skip: chromium === undefined && 'there is no Chromium on this machine (apt-get install chromium)' }, () => {
  let opened: Opened;
  let folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'protagonist-subjects-test-'));
    opened = await openWindow();
    await opened.studio.settings.edit({ welcomed: true, language: 'en', motion: 'reduced' });
  });
  after(async () => {
    await opened.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const named = async (name: string): Promise<Subject> => {
    const found = (await opened.studio.subjects.list({ limit: 200 })).subjects.find(s => s.name === name);
    assert.ok(found, `there is a subject ${name}`);
    return found;
  };
  const until = async (what: string, is: () => Promise<boolean>) => {
    for (const end = Date.now() + 60_000; Date.now() < end; await new Promise(done => setTimeout(done, 50))) if (await is()) return;
    assert.fail(`never: ${what}`);
  };
  /** The mask as it is stored: its pixels, or nothing. */
  const maskOf = async ({ id, mask }: Photo) => {
    if (mask === null) return undefined;
    const { base64 } = await opened.studio.media.read({ id, kind: 'mask', length: 4 << 20 });
    return sharp(Buffer.from(base64, 'base64')).toColourspace('b-w').raw().toBuffer({ resolveWithObject: true });
  };

  it('makes a subject of one dropped photo with one click, and a clip of it with another', async () => {
    const page = await opened.page('#/subjects');
    await page.getByRole('heading', { name: 'Who is your clip about?' }).waitFor();
    await drop(page, 'main', [toy('lemon')]);
    const name = page.getByLabel('Name', { exact: true });
    await name.waitFor();
    assert.equal(await name.inputValue(), 'Lemon');
    await page.getByRole('button', { name: 'Add subject' }).click();
    await page.getByRole('button', { name: 'Make a clip', exact: true }).click();
    await page.waitForURL('**/#/create');
    const subject = await named('Lemon');
    assert.equal(living(subject).length, 1);
    const draft = await page.evaluate(() => sessionStorage.getItem('protagonist.draft'));
    assert.match(draft ?? '', new RegExp(`@${subject.handle}`));
    assert.deepEqual(opened.wrongs, []);
    await page.context().close();
  });

  it('takes thirty at once, says of each wrong file what is wrong with it, and takes all of it back', async () => {
    const page = await opened.page('#/subjects');
    const photos = await manyPhotos(30);
    const paths = photos.map(({ name, base64 }, i) => {
      const path = join(folder, `${String(i).padStart(2, '0')} ${name}`);
      writeFileSync(path, Buffer.from(base64, 'base64'));
      return path;
    });
    const twice = join(folder, '30 the first once more.jpg'),
      broken = join(folder, '31 broken.jpg'),
      letter = join(folder, '32 letter.txt');
    writeFileSync(twice, Buffer.from(photos[0]!.base64, 'base64'));
    writeFileSync(broken, Buffer.from('this is no picture at all'));
    writeFileSync(letter, 'Dear library');
    await drop(page, 'main', [...paths, twice, broken, letter]);
    await page.getByLabel('Name', { exact: true }).fill('Thirty');
    await page.getByRole('button', { name: 'Add subject' }).click();
    await page.getByRole('heading', { name: 'Thirty is here' }).waitFor({ timeout: 120_000 });
    const said = await page.getByRole('dialog').innerText();
    assert.match(said, /30 the first once more\.jpg\s+This photo is there already/);
    assert.match(said, /31 broken\.jpg\s+is not a JPEG, PNG, WebP, AVIF or HEIC photo/);
    assert.match(said, /32 letter\.txt\s+is no photo/);
    const subject = await named('Thirty');
    assert.equal(living(subject).length, 30);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.keyboard.press('Control+z');
    await until('the subject is gone', async () => (await opened.studio.subjects.show({ id: subject.id })).removed);
    await page.keyboard.press('Control+Shift+z');
    await until('the subject is there again', async () => !(await opened.studio.subjects.show({ id: subject.id })).removed);
    assert.deepEqual(opened.wrongs, []);
    await page.context().close();
  });

  it('opens dropped folders within folders, whatever their number of files', async () => {
    const deep = join(folder, 'Clay owl', 'day one', 'close');
    mkdirSync(deep, { recursive: true });
    for (const [i, name] of readdirSync(toys).slice(0, 2).entries())
      writeFileSync(join(folder, 'Clay owl', `${i}.jpg`), await sharp(join(toys, name)).resize(300).jpeg().toBuffer());
    // a folder is told a hundred entries at a time
    for (let i = 0; i < 104; i++)
      writeFileSync(
        join(deep, `${i}.png`),
        await sharp({ create: { width: 24, height: 24, channels: 3, background: { r: i, g: 2 * i, b: 255 - i } } }).png().toBuffer(),
      ); // prettier-ignore
    writeFileSync(join(folder, 'Clay owl', 'day one', '.DS_Store'), 'not ours');
    const page = await opened.page('#/subjects');
    await drop(page, 'main', [join(folder, 'Clay owl')]);
    const name = page.getByLabel('Name', { exact: true });
    await name.waitFor();
    assert.equal(await name.inputValue(), 'Clay owl');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Clay owl is here' }).waitFor({ timeout: 120_000 });
    assert.equal(living(await named('Clay owl')).length, 106);
    assert.doesNotMatch(await page.getByRole('dialog').innerText(), /DS_Store/);
    assert.deepEqual(opened.wrongs, []);
    await page.context().close();
  });

  it('adds what is dropped on a tile, and what is pasted on the page, to that subject; a photo that is removed comes back', async () => {
    const lemon = await named('Lemon');
    const page = await opened.page('#/subjects', { permissions: ['clipboard-read', 'clipboard-write'] });
    await drop(page, `[data-subject="${lemon.id}"]`, [toy('melon')]);
    await page.getByText('1 photo was added to Lemon.').first().waitFor();
    assert.equal(living(await named('Lemon')).length, 2);

    await page.getByRole('link', { name: /^Lemon/ }).click();
    await page.getByRole('heading', { name: 'Lemon', level: 1 }).waitFor();
    await page.evaluate(async () => {
      const canvas = new OffscreenCanvas(300, 200);
      const context = canvas.getContext('2d')!;
      context.fillStyle = '#b03020';
      context.fillRect(40, 40, 120, 90);
      await navigator.clipboard.write([new ClipboardItem({ 'image/png': await canvas.convertToBlob() })]);
    });
    await page.keyboard.press('Control+v');
    await until('the pasted photo is there', async () => living(await named('Lemon')).length === 3);

    await page.getByRole('button', { name: 'Photo 3 of 3' }).click();
    await page.keyboard.press('Delete');
    await until('the photo is removed', async () => living(await named('Lemon')).length === 2);
    await page.getByText('The photo was removed.').first().waitFor();
    await page.getByRole('button', { name: 'Undo' }).last().click();
    await until('the photo is back', async () => living(await named('Lemon')).length === 3);
    assert.deepEqual(opened.wrongs, []);
    await page.context().close();
  });

  it('cuts a subject out: found, painted over, saved as a mask of the size of the photo, and taken back', async () => {
    const lemon = await named('Lemon');
    const [photo] = living(lemon) as [Photo];
    assert.equal(photo.mask, null);
    const page = await opened.page(`#/subjects/${lemon.id}/${photo.id}`);
    await page.getByRole('button', { name: 'Find the subject' }).click();
    await page.getByText('The subject was found', { exact: false }).first().waitFor({ state: 'attached', timeout: 120_000 });
    // painted plainly, so that what is painted is known
    await page.getByText('Follow the edges').click();
    const canvas = (await page.getByRole('application').boundingBox())!;
    const save = page.getByRole('button', { name: 'Save' });
    await page.keyboard.press('e');
    const middle = { x: canvas.x + canvas.width / 2, y: canvas.y + canvas.height / 2 };
    await page.mouse.move(middle.x - 30, middle.y);
    await page.mouse.down();
    await page.mouse.move(middle.x + 30, middle.y, { steps: 8 });
    await page.mouse.up();
    await save.click();
    await page.getByRole('application').waitFor({ state: 'detached' });
    const stored = (await named('Lemon')).photos.find(p => p.id === photo.id)!;
    const mask = await maskOf(stored);
    assert.ok(mask);
    assert.deepEqual([mask.info.width, mask.info.height], [photo.width, photo.height]);
    const at = (x: number, y: number) => mask.data[Math.round(y * photo.height) * photo.width + Math.round(x * photo.width)]!;
    assert.equal(at(0.5, 0.5), 0, 'what was taken away by the brush');
    assert.ok(at(0.5, 0.4) > 200, 'the subject around it');
    assert.equal(at(0.03, 0.03), 0, 'what is around the subject');

    await page.keyboard.press('Control+z');
    await until('the mask is gone', async () => (await named('Lemon')).photos.find(p => p.id === photo.id)!.mask === null);
    await page.keyboard.press('Control+Shift+z');
    await until('the mask is there again', async () => (await named('Lemon')).photos.find(p => p.id === photo.id)!.mask === stored.mask);
    assert.deepEqual(opened.wrongs, []);
    await page.context().close();
  });

  it('does all of it by keyboard: the wall, labels, crop, brush; and asks before it gives changes up', async () => {
    const lemon = await named('Lemon');
    const page = await opened.page('#/subjects');
    const press = async (...keys: string[]) => {
      for (const key of keys) await page.keyboard.press(key);
    };
    await page.getByRole('link', { name: /^Clay owl/ }).waitFor();
    for (let i = 0; i < 30 && !(await page.evaluate(() => document.activeElement?.closest('.wall') !== null)); i++) await press('Tab');
    await press('End');
    assert.match((await page.evaluate(() => document.activeElement?.textContent)) ?? '', /Lemon/);
    await press('ArrowLeft', 'ArrowRight', 'Enter');
    await page.getByRole('heading', { name: 'Lemon', level: 1 }).waitFor();
    await press('2');
    await until('the view is labelled', async () => living(await named('Lemon'))[0]!.view === 'side');

    await press('e');
    await page.getByRole('application').waitFor();
    await page.waitForFunction(() => document.querySelector('.photo-editor .loading') === null);
    const handle = page.getByRole('button', { name: 'Left edge' });
    await press('c');
    for (let i = 0; i < 40 && !(await handle.evaluate(e => e === document.activeElement)); i++) await press('Tab');
    await press('Shift+ArrowRight', 'Control+s');
    await page.getByRole('application').waitFor({ state: 'detached' });
    const cropped = living(await named('Lemon'))[0]!;
    assert.ok(cropped.crop, 'it is cropped');
    assert.equal(cropped.crop.x + cropped.crop.width, cropped.width);
    assert.ok(cropped.crop.x >= cropped.width / 25);

    await press('e');
    await page.getByRole('application').waitFor();
    await page.waitForFunction(() => document.querySelector('.photo-editor .loading') === null);
    await press('b', 'ArrowUp', 'ArrowUp');
    await page.keyboard.down('Space');
    await press('ArrowRight', 'ArrowRight');
    await page.keyboard.up('Space');
    await page.getByRole('button', { name: 'Save' }).and(page.locator(':enabled')).waitFor();
    await press('Escape');
    await page.getByRole('button', { name: 'Give up' }).waitFor();
    await press('Escape');
    await page.getByRole('button', { name: 'Give up' }).waitFor({ state: 'detached' });
    assert.ok(await page.getByRole('application').isVisible(), 'the editor stays open');
    await press('Control+z', 'Escape');
    await page.getByRole('application').waitFor({ state: 'detached' });
    assert.equal(living(await named('Lemon'))[0]!.mask, cropped.mask, 'nothing was saved');

    await page.goto(`${opened.host.origin}/window/#/subjects`);
    await page.getByRole('link', { name: /^Lemon/ }).focus();
    await press('Delete');
    await page.getByText('Lemon was removed.').first().waitFor();
    assert.ok((await opened.studio.subjects.show({ id: lemon.id })).removed);
    await press('Control+z');
    await until('it is back', async () => !(await opened.studio.subjects.show({ id: lemon.id })).removed);
    assert.deepEqual(opened.wrongs, []);
    await page.context().close();
  });
});
