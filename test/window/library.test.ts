/** @file The library in a browser: a wall of thousands of clips, found, filtered, selected, rated, tagged, thrown away and brought back, by hand and by keyboard. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import type { ClipId } from '../../electron/contract/ids.ts';
import { sleep } from '../support/run.ts';
import { becomes } from '../support/time.ts';
import { manyClips } from './support/many.ts';
import { onLine } from './support/states.ts';
import { framesOf, traced, wheel } from './support/trace.ts';
import { chromium, openWindow, type Opened } from './support/window.ts';

const skip = chromium === undefined && 'there is no chromium on this machine';
/** So many that a browser would not bear them all at once. */
const clips = 5000;
let opened: Opened;

before(async () => {
  if (skip) return;
  const home = mkdtempSync(join(tmpdir(), 'protagonist-window-many-'));
  await manyClips(home, { clips, subjects: 12 });
  opened = await openWindow({ home });
  await opened.studio.settings.edit({ welcomed: true, language: 'en', theme: 'light' });
});
after(() => opened?.close()); // eslint-disable-line @typescript-eslint/no-unnecessary-condition -- not where it is skipped

const tiles = '[role=grid] [data-clip]';
const tile = (id: string) => `[role=grid] [data-clip="${id}"]`;
const open = async (hash = '#/library', options: Parameters<Opened['page']>[1] = {}): Promise<Page> => {
  const page = await opened.page(hash, options);
  await page.waitForSelector(`${tiles} img.poster`);
  return page;
};
const done = (page: Page) => page.context().close();
const indexOf = async (search: Parameters<Opened['studio']['clips']['index']>[0] = {}): Promise<readonly ClipId[]> =>
  (await opened.studio.clips.index(search)).ids;
const at = (page: Page) => page.evaluate(() => (document.activeElement as HTMLElement | null)?.dataset['clip']);
/** Waits until something the window does has come to an end. */
async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i++, await sleep(50)) if (await holds()) return;
  assert.fail(`it did not come: ${what}`);
}
const focusIs = (page: Page, id: string | undefined) => until(`the focus on ${id ?? 'nothing'}`, async () => (await at(page)) === id);
const selected = (page: Page) =>
  page.$$eval('[role=gridcell][aria-selected=true] [data-clip]', all => all.map(a => (a as HTMLElement).dataset['clip']));
const said = (page: Page, text: RegExp | string) => page.getByText(text).first().waitFor();
const fine = () => assert.deepEqual(opened.wrongs, []);

test('a grid of thousands: all of them counted, few of them there, and the last is one key away', { skip }, async t => {
  const page = await open(),
    ids = await indexOf();
  const grid = page.locator('[role=grid]');
  const columns = Number(await grid.getAttribute('aria-colcount')),
    rows = Math.ceil(ids.length / columns);
  assert.ok(columns >= 4);
  await becomes(async () => Number(await grid.getAttribute('aria-rowcount')), rows); // after the first screen
  await said(page, `${ids.length.toLocaleString('en')} clips`);
  assert.deepEqual(await page.$$eval(tiles, all => all.slice(0, 12).map(a => (a as HTMLElement).dataset['clip'])), ids.slice(0, 12));

  // one stop for Tab, wherever somebody was
  assert.equal(await page.locator(`${tiles}[tabindex="0"]`).count(), 1);
  await page.locator(tile(ids[0]!)).focus();
  const moves: [string, number][] = [['ArrowRight', 1], ['ArrowDown', 1 + columns], ['ArrowLeft', columns], ['ArrowLeft', columns - 1], ['ArrowUp', columns - 1], ['End', ids.length - 1], ['ArrowRight', ids.length - 1], ['ArrowDown', ids.length - 1], ['Home', 0], ['ArrowUp', 0]]; // prettier-ignore
  for (const [key, index] of moves) {
    await page.keyboard.press(key);
    await focusIs(page, ids[index]);
    const box = (await page.locator(tile(ids[index]!)).boundingBox())!;
    assert.ok(box.y >= 100 && box.y + box.height <= 900, `${key}: the tile is in sight`);
    const row = page.locator(`[role=row]:has([data-clip="${ids[index]!}"])`);
    assert.equal(Number(await row.getAttribute('aria-rowindex')), Math.floor(index / columns) + 1);
    assert.equal(Number(await page.locator(`[role=gridcell]:has(> [data-clip="${ids[index]!}"])`).getAttribute('aria-colindex')), (index % columns) + 1); // prettier-ignore
  }
  await page.keyboard.press('PageDown');
  const paged = ids.indexOf((await at(page)) as ClipId);
  assert.ok(paged >= 2 * columns && paged % columns === 0, `a page is ${paged} clips`);
  await page.keyboard.press('PageUp');
  await focusIs(page, ids[0]);

  // the tile that has the focus stays, however far the wheel goes
  const most: Record<string, number> = {};
  for (const [i, size] of ['s', 'm', 'l'].entries()) {
    await page.getByRole('slider', { name: 'Tile size' }).evaluate((input: HTMLInputElement, value) => {
      input.value = String(value);
      input.dispatchEvent(new Event('input', { bubbles: true }));
    }, i);
    for (let part = 0; part <= 1; part += 0.19) {
      const nodes = await page.evaluate(async to => {
        const scroller = document.querySelector('[role=grid]')!.parentElement!;
        scroller.scrollTo(0, to * scroller.scrollHeight);
        await new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)));
        const walker = document.createTreeWalker(document, NodeFilter.SHOW_ALL);
        let n = 1;
        while (walker.nextNode()) n++;
        return n;
      }, part);
      most[size] = Math.max(most[size] ?? 0, nodes);
    }
    assert.ok(most[size]! <= 2000, `${most[size]!} nodes with tiles of size ${size}`);
    assert.equal(await page.locator(tile(ids[0]!)).count(), 1, 'the tile of the keyboard is gone');
  }
  t.diagnostic(`nodes at most, texts and comments too: ${JSON.stringify(most)}`);
  await page.reload();
  await page.waitForSelector(tiles);
  assert.equal(await page.getByRole('slider', { name: 'Tile size' }).inputValue(), '2', 'the size is remembered');
  await page.evaluate(() => localStorage.clear());
  await done(page);
  fine();
});

test('a search and its filters are in the address, and one step back leads out of them', { skip }, async () => {
  const page = await open();
  const all = await indexOf(),
    found = await indexOf({ search: 'sunset lantern' });
  assert.ok(found.length > 0 && found.length < all.length / 4);
  await page.keyboard.press('/');
  await page.keyboard.type('sunset lantern', { delay: 15 });
  await said(page, `${found.length.toLocaleString('en')} clips found`);
  assert.match(page.url(), /#\/library\?search=sunset\+lantern$/);
  await becomes(() => page.locator('[role=status][aria-live=polite]').last().innerText(), `${found.length.toLocaleString('en')} clips found`, 'what a screen reader hears'); // prettier-ignore
  await page.keyboard.press('ArrowDown');
  await focusIs(page, found[0]);
  await page.keyboard.press('End');
  await focusIs(page, found.at(-1));
  await page.goBack();
  await said(page, `${all.length.toLocaleString('en')} clips`);
  assert.equal(await page.getByRole('searchbox', { name: 'Search the library' }).or(page.getByRole('textbox', { name: 'Search the library' })).inputValue(), ''); // prettier-ignore

  const best = await indexOf({ stars: 4 });
  await page.getByRole('combobox', { name: /^Stars/ }).click();
  await page.getByRole('option', { name: '4 stars or more' }).click();
  await said(page, `${best.length.toLocaleString('en')} clips found`);
  const kept = await indexOf({ stars: 4, tag: 'keep' });
  await page.getByRole('button', { name: 'Tag', exact: true }).click();
  await page.getByRole('combobox', { name: 'Find a tag' }).fill('kee');
  await page.keyboard.press('Enter');
  await said(page, `${kept.length.toLocaleString('en')} clips found`);
  const [somebody] = (await opened.studio.subjects.list({ limit: 1 })).subjects,
    theirs = await indexOf({ stars: 4, tag: 'keep', subject: somebody!.id });
  await page.getByRole('button', { name: 'Subject', exact: true }).click();
  await page.getByRole('combobox', { name: 'Find a subject' }).fill(somebody!.handle);
  await page.getByRole('option').first().click();
  if (theirs.length > 0) await said(page, new RegExp(`^${theirs.length.toLocaleString('en')} clips? found`));
  else await said(page, 'No clip matches');
  assert.match(page.url(), new RegExp(`subject=${somebody!.id}&tag=keep&stars=4$`));
  await page.reload();
  await page.waitForSelector('main h1');
  await page.getByRole('button', { name: /^Remove the filter/ }).first().click(); // prettier-ignore
  await said(page, `${kept.length.toLocaleString('en')} clips found`);

  // in another order
  await page.getByRole('combobox', { name: /^Order/ }).click();
  await page.getByRole('option', { name: 'Oldest first' }).click();
  const oldest = await indexOf({ stars: 4, tag: 'keep', sort: 'oldest' });
  await page.waitForSelector(
    `[aria-rowindex="1"] > :first-child [data-clip="${oldest[0]!}"], [aria-rowindex="1"] [data-clip="${oldest[0]!}"]`,
  );

  await page.keyboard.press('Control+f');
  await page.keyboard.type('no such word anywhere');
  await said(page, 'No clip matches');
  await page.getByRole('button', { name: 'Clear all filters' }).last().click();
  await said(page, `${all.length.toLocaleString('en')} clips`);
  await done(page);
  fine();
});

test('selected by hand and by keyboard; rated, tagged, thrown away and brought back', { skip }, async () => {
  const page = await open(),
    ids = await indexOf();
  const show = (id: string | undefined) => opened.studio.clips.show({ id: id as ClipId });
  await page.click(tile(ids[1]!), { modifiers: ['Control'] });
  await page.click(tile(ids[4]!), { modifiers: ['Shift'] });
  assert.deepEqual(await selected(page), ids.slice(1, 5));
  await page.locator(`${tile(ids[2]!)} [data-check]`).click();
  assert.deepEqual(await selected(page), [ids[1], ids[3], ids[4]]);
  await said(page, '3 selected');
  assert.match((await page.locator(tile(ids[1]!)).getAttribute('aria-label'))!, /, selected$/);

  await page.keyboard.press('5');
  await until('five stars', async () => (await Promise.all([1, 3, 4].map(i => show(ids[i])))).every(c => c.stars === 5));
  const two = (await show(ids[2])).stars;
  await page.locator('[role=toolbar] [role=radio], [role=toolbar] [role=slider], [role=toolbar] button').first().waitFor();

  // tags: those in use are known, a new one can be made
  await page.keyboard.press('t');
  const field = page.getByRole('combobox', { name: 'Add a tag' });
  await field.fill('a new tag for three');
  await page.keyboard.press('Enter');
  await until('a tag', async () => (await indexOf({ tag: 'a new tag for three' })).length === 3);
  await page.getByRole('button', { name: 'Remove the tag a new tag for three' }).click();
  await until('no tag', async () => (await indexOf({ tag: 'a new tag for three' })).length === 0);
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('Control+z');
  await until('the tag again', async () => (await indexOf({ tag: 'a new tag for three' })).length === 3);

  await page.locator(tile(ids[1]!)).focus();
  await page.keyboard.press('Delete');
  await said(page, '3 clips moved to the trash');
  await until('three fewer', async () => (await indexOf()).length === ids.length - 3);
  await page.locator(tile(ids[1]!)).waitFor({ state: 'detached' });
  assert.ok((await at(page)) !== undefined, 'the keyboard has lost its place');
  await page.getByRole('button', { name: 'Undo' }).last().click();
  await page.locator(tile(ids[1]!)).waitFor();
  assert.deepEqual(await indexOf(), ids);
  assert.deepEqual(await page.$$eval(tiles, all => all.slice(0, 8).map(a => (a as HTMLElement).dataset['clip'])), ids.slice(0, 8), 'they come back where they were'); // prettier-ignore

  // by keyboard alone
  await page.locator(tile(ids[10]!)).focus();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Space');
  assert.deepEqual(await selected(page), [ids[10]]);
  for (let i = 0; i < 3; i++) {
    await page.keyboard.press('Shift+ArrowRight');
    await focusIs(page, ids[11 + i]);
  }
  assert.deepEqual(await selected(page), ids.slice(10, 14));
  await page.locator('[aria-live=polite]', { hasText: '4 selected' }).first().waitFor({ state: 'attached' });
  await page.keyboard.press('Shift+ArrowLeft');
  await focusIs(page, ids[12]);
  assert.deepEqual(await selected(page), ids.slice(10, 13));
  await page.keyboard.press('c');
  await page.waitForURL(`**/#/library/compare?ids=${ids.slice(10, 13).join(',')}`);
  await page.goBack();
  await page.waitForSelector(tiles);
  await page.locator(tile(ids[12]!)).focus();
  await page.keyboard.press('Control+a');
  await said(page, `${ids.length.toLocaleString('en')} selected`);
  await page.keyboard.press('Escape');
  assert.deepEqual(await selected(page), []);
  await page.keyboard.press('0');
  await until('no stars', async () => (await show(ids[12])).stars === 0);
  assert.equal((await show(ids[2])).stars, two, 'a clip was rated that was not meant');

  // the menu has the same
  await page.click(tile(ids[6]!), { button: 'right' });
  await page.getByRole('menuitem', { name: /^Move to the trash/ }).click();
  await page.locator(tile(ids[6]!)).waitFor({ state: 'detached' });
  assert.ok((await show(ids[6])).trashed);
  await page.keyboard.press('Control+z');
  await page.locator(tile(ids[6]!)).waitFor();
  assert.ok(!(await show(ids[6])).trashed);
  await page.locator(tile(ids[6]!)).focus();
  await page.keyboard.press('Enter');
  await page.waitForURL(`**/#/library/${ids[6]!}`);
  await done(page);
  fine();
});

test('Undo takes back what was done last, also where its answer is not there yet', { skip }, async () => {
  const { studio } = opened,
    clip = (await studio.clips.list({})).clips[0]!;
  const { page, line } = await onLine(opened, '#/library');
  const now = async () => {
    const { stars, tags } = await studio.clips.show({ id: clip.id });
    return [stars, tags];
  };
  await page.locator(`[data-clip="${clip.id}"]`).focus();
  await page.keyboard.press('1');
  await becomes(now, [1, clip.tags]);
  await page.keyboard.press('t');
  await page.getByRole('combobox', { name: 'Add a tag' }).fill('kites');
  line.hold(/^clips\.edit$/);
  await page.keyboard.press('Enter');
  await line.held(1);
  assert.deepEqual(await now(), [1, [...clip.tags, 'kites']]);
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('Control+z');
  line.release();
  await becomes(now, [1, clip.tags]);
  await page.keyboard.press('Control+z');
  await becomes(now, [clip.stars, clip.tags]);
  fine();
  await done(page);
});

test('Enter before the list is there chooses from it once it is', { skip }, async () => {
  const { page, line } = await onLine(opened, '#/library');
  line.hold(/^clips\.tags$/);
  await page.getByRole('button', { name: 'Tag', exact: true }).click();
  await page.getByRole('combobox', { name: 'Find a tag' }).fill('kee');
  await page.keyboard.press('Enter');
  await line.held(1);
  await page.getByRole('img', { name: 'Loading…' }).waitFor();
  line.release();
  await page.waitForURL('**/#/library?tag=keep');
  fine();
  await done(page);
});

test('the trash: seen, restored, deleted for good after a question', { skip }, async () => {
  const page = await open(),
    before = await indexOf({ trashed: true });
  await page.getByRole('button', { name: 'Trash', exact: true }).click();
  await said(page, `${before.length.toLocaleString('en')} clips in the trash`);
  assert.match(page.url(), /\?trash=1$/);
  await page.click(tile(before[0]!), { modifiers: ['Control'] });
  await page.getByRole('toolbar').getByRole('button', { name: 'Restore' }).click();
  await until('one fewer', async () => (await indexOf({ trashed: true })).length === before.length - 1);
  await page.locator(tile(before[0]!)).waitFor({ state: 'detached' });

  await page.click(tile(before[1]!), { modifiers: ['Control'] });
  await page.getByRole('button', { name: 'Delete for good' }).click();
  await page.getByRole('alertdialog').getByRole('button', { name: 'Cancel' }).click();
  assert.equal((await indexOf({ trashed: true })).length, before.length - 1, 'what was not confirmed was done');
  await page.keyboard.press('Delete');
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete for good' }).click();
  await until('it is gone', async () => (await indexOf({ trashed: true })).length === before.length - 2);
  await assert.rejects(opened.studio.clips.show({ id: before[1]! }));

  await page.getByRole('button', { name: 'Empty the trash' }).click();
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete for good' }).click();
  await said(page, 'The trash is empty');
  assert.deepEqual(await indexOf({ trashed: true }), []);
  await page.getByRole('link', { name: 'Back to the clips' }).click();
  await page.waitForSelector(tiles);
  await done(page);
  fine();
});

test('a tile shows its frames under the pointer, is dragged out as a file, and says when that is missing', { skip }, async () => {
  const page = await open(),
    ids = await indexOf();
  const one = page.locator(tile(ids[2]!)),
    box = (await one.boundingBox())!;
  const frames: number[] = [];
  for (const part of [0.02, 0.26, 0.51, 0.98]) {
    await page.mouse.move(box.x + box.width * part, box.y + box.height / 2);
    const strip = one.locator('.strip img');
    await strip.evaluate((image: HTMLImageElement) => image.decode());
    const shown = (await strip.boundingBox())!;
    frames.push(Math.round((box.x - shown.x) / (shown.width / 16)));
    assert.ok(shown.y <= box.y && shown.y + shown.height >= box.y + box.height - 0.5, 'the frame fills the tile');
  }
  assert.deepEqual(frames, [0, 4, 8, 15]);
  await page.mouse.move(5, 5);
  await one.locator('.strip').waitFor({ state: 'detached' });
  // by keyboard it plays
  await one.focus();
  await page.keyboard.press('ArrowRight');
  await page.locator(`${tile(ids[3]!)} .strip`).waitFor();
  await page.keyboard.press('ArrowLeft');
  await page.locator(`${tile(ids[3]!)} .strip`).waitFor({ state: 'detached' });

  const carried = await one.evaluate(element => {
    const transfer = new DataTransfer();
    element.dispatchEvent(new DragEvent('dragstart', { bubbles: true, cancelable: true, dataTransfer: transfer }));
    return Object.fromEntries(transfer.types.map(type => [type, transfer.getData(type)]));
  });
  const { name, sha256 } = await opened.studio.clips.show({ id: ids[2]! });
  assert.equal(carried['application/x-protagonist-clip'], ids[2]);
  const [type, file, ...address] = carried['downloadurl']!.split(':');
  assert.equal(type, 'video/mp4');
  assert.match(file!, /^[^\\/:*?"<>|]+\.mp4$/);
  assert.ok(name.startsWith(file!.slice(0, 8)), file);
  assert.equal(address.join(':'), `${opened.host.origin}/media/${ids[2]!}/video?v=${sha256}`);
  const coming = page.waitForEvent('download');
  await one.focus();
  await page.keyboard.press('d');
  const download = await coming;
  assert.equal(download.suggestedFilename(), file);
  assert.deepEqual(readFileSync(await download.path()), readFileSync(join(opened.home, 'shared/clip.mp4')));

  unlinkSync(join(opened.home, `clips/clip-${ids[3]!.slice(1)}.mp4`));
  await opened.studio.clips.edit({ id: ids[3]!, addTags: ['seen'] }); // whoever looks at it again finds out
  await page.waitForSelector(`${tile(ids[3]!)}[aria-label*="The file is missing"] [data-missing]`);
  await done(page);

  const calm = await open('#/library', { reducedMotion: 'reduce' });
  await calm.locator(tile(ids[2]!)).focus();
  await calm.keyboard.press('ArrowLeft');
  await sleep(1000);
  assert.equal(await calm.locator('.strip').count(), 0, 'it moves where nothing should');
  await done(calm);
  fine();
});

test('a frame that scrolls paints what has come into sight, not all of it anew', { skip }, async t => {
  const page = await open();
  await page.waitForTimeout(500);
  const session = await page.context().newCDPSession(page);
  const events = await traced(await opened.browser.newBrowserCDPSession(), () => wheel(session, 10_000, 2500));
  const frames = framesOf(events).length,
    painted = events.filter(e => e.name === 'RasterTask').length / frames;
  t.diagnostic(`${frames} frames, ${painted.toFixed(1)} pieces of 256 by 256 painted for each`);
  assert.ok(frames > 10 && painted > 0);
  assert.ok(painted < 18, `${painted} pieces a frame, of 24 in sight`);
  await done(page);
  fine();
});

test('pictures come once; who comes back finds the place', { skip }, async () => {
  const page = await open(),
    ids = await indexOf();
  await page.evaluate(() => document.querySelector('[role=grid]')!.parentElement!.scrollTo(0, 20_000));
  await until('covers', () =>
    page.$$eval(`${tiles} img.poster`, all => all.length > 20 && all.every(i => (i as HTMLImageElement).complete)),
  );
  const found = await page.waitForFunction(() => [...document.querySelectorAll<HTMLElement>('[role=grid] [data-clip]')].find(a => a.getBoundingClientRect().top > 200)?.dataset['clip']); // prettier-ignore
  const there = (await found.jsonValue())!;
  await page.click(tile(there));
  await page.waitForURL(`**/#/library/${there}`);
  await page.goBack();
  await page.waitForSelector(tile(there));
  await until('where it was', () => page.evaluate(() => document.querySelector('[role=grid]')!.parentElement!.scrollTop === 20_000));

  await page.evaluate(() => performance.clearResourceTimings());
  await page.evaluate(() => document.querySelector('[role=grid]')!.parentElement!.scrollTo(0, 0));
  await page.waitForSelector(`${tile(ids[0]!)} img.poster`);
  await until('covers', () => page.$$eval(`${tiles} img.poster`, all => all.every(i => (i as HTMLImageElement).complete)));
  const again = await page.evaluate(ids => performance.getEntriesByType('resource').filter(e => ids.some(id => e.name.includes(`/media/${id}/`))).map(e => (e as PerformanceResourceTiming).transferSize), ids.slice(0, 10)); // prettier-ignore
  assert.ok(
    again.every(bytes => bytes === 0),
    `${again.filter(n => n > 0).length} of ${again.length} pictures came again`,
  );
  await done(page);
  fine();
});

test('a library without clips points to Create', { skip }, async () => {
  const empty = await openWindow();
  try {
    await empty.studio.settings.edit({ welcomed: true, language: 'en' });
    const page = await empty.page('#/library');
    await page.getByText('Your clips will be here').waitFor();
    await page.getByRole('link', { name: 'Make a clip' }).click();
    await page.waitForURL('**/#/create');
    assert.deepEqual(empty.wrongs, []);
  } finally {
    await empty.close();
  }
});

test('a host that is gone is told, and what was there stays to be looked at', { skip }, async () => {
  const page = await open();
  await opened.host.close();
  await page.getByText('Protagonist does not answer').first().waitFor();
  assert.ok((await page.locator(tiles).count()) > 20);
  await done(page);
});
