/** @file Whoever leaves a field, or its page, while they type loses nothing, changes nothing else, and nothing is said in the console: every field of every place is left by a shortcut. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import type { Clip, Subject } from '../../electron/contract/records.ts';
import { within } from '../support/time.ts';
import { filledLibrary } from './support/filled.ts';
import { chromium, openWindow, type Opened } from './support/window.ts';

const skip = chromium === undefined && 'no chromium here';
let opened: Opened, page: Page, clips: readonly Clip[], subjects: readonly Subject[];
before(
  async () => {
    if (skip !== false) return;
    opened = await openWindow({ from: await filledLibrary(2) });
    await opened.studio.settings.edit({ welcomed: true });
    ({ clips } = await opened.studio.clips.list({}));
    ({ subjects } = await opened.studio.subjects.list({}));
    page = await opened.page('#/create');
  },
  { timeout: 600_000 },
);
after(async () => {
  if (skip === false) await opened.close();
});
const fine = (where = '') => assert.deepEqual(opened.wrongs.splice(0), [], where);
const go = (place: string) => page.evaluate(to => void (location.hash = to), place);
/** Leaves by the keys of another place. */
async function leave(): Promise<void> {
  const away = (await page.evaluate(() => location.hash)).startsWith('#/create') ? ['Control+1', '#/subjects'] : ['Control+2', '#/create'];
  await page.keyboard.press(away[0]!);
  await page.waitForFunction(to => location.hash.startsWith(to), away[1]!);
  await page.waitForTimeout(200); // what comes late
}
async function until(what: string, is: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + within(10_000); !(await is()); await page.waitForTimeout(50))
    assert.ok(performance.now() < end, what);
}

test('any field of any place', { skip, timeout: 600_000 }, async t => {
  const settings = ['', '/network', '/models', '/storage', '/devices', '/shortcuts', '/appearance'].map(s => `#/settings${s}`);
  const places = ['#/subjects', `#/subjects/${subjects[0]!.id}`, '#/create', '#/library', `#/library/${clips[0]!.id}`, ...settings];
  const fields = page.locator('main :is(input:not([type=checkbox], [type=radio], [type=file], [type=range]), textarea)');
  let left = 0;
  for (const place of places) {
    let n = Infinity;
    for (let i = 0; i < n; i++) {
      await go(place);
      await fields.first().waitFor({ state: 'attached' });
      await page.waitForTimeout(300); // the whole page
      n = await fields.count();
      const field = fields.nth(i);
      if (!(await field.isVisible()) || !(await field.isEnabled())) continue;
      await field.focus();
      await page.keyboard.press('Control+a');
      await page.keyboard.type('7');
      await leave();
      left++;
      fine(`${place}, field ${i}`);
    }
  }
  t.diagnostic(`${left} fields of ${places.length} places`);
  assert.ok(left > 20, `${left} fields`);
});

test('a subject’s tags, a clip’s tag and its name are kept, each where it belongs', { skip }, async () => {
  const subject = subjects[1]!,
    [one, other] = clips as [Clip, Clip];
  await go(`#/subjects/${subject.id}`);
  await page.getByLabel('Tags').fill('fresh, twice');
  await leave();
  await until('the subject’s tags', async () => {
    const { tags } = await opened.studio.subjects.show({ id: subject.id });
    return ['fresh', 'twice'].every(tag => tags.includes(tag));
  });

  const clip = (id: Clip['id']) => opened.studio.clips.show({ id });
  await go(`#/library/${one.id}`);
  await page.getByLabel('Add a tag').fill('typed');
  await leave();
  await until('the clip’s tag', async () => (await clip(one.id)).tags.includes('typed'));

  await go(`#/library/${one.id}`);
  await page.getByRole('button', { name: 'Rename' }).click();
  await page.keyboard.type('Another name');
  await go(`#/library/${other.id}`);
  await until('its name', async () => (await clip(one.id)).name === 'Another name');
  assert.equal((await clip(other.id)).name, other.name);
  await page.getByRole('heading', { name: other.name }).waitFor();
  fine();
});

test('what is kept is no longer in the field; what is given up, or could not be kept, is in it as it was', { skip }, async () => {
  const { id } = subjects[0]!,
    tags = Array.from({ length: 50 }, (_, i) => `tag ${i}`); // as many as a subject may have
  const show = () => opened.studio.subjects.show({ id });
  const { name } = await opened.studio.subjects.edit({ id, tags });
  await go(`#/subjects/${id}`);
  await page.getByRole('button', { name: 'Remove the tag tag 49' }).waitFor();
  const says = (field: typeof tag, value: string) => until(`${value} in the field`, async () => (await field.inputValue()) === value);

  const tag = page.getByLabel('Tags');
  await tag.fill('one more');
  await tag.press('Enter');
  await page.getByText('at most 50 tags').waitFor();
  await says(tag, 'one more');
  assert.deepEqual((await show()).tags, tags);
  await page.getByRole('button', { name: 'Remove the tag tag 49' }).click();
  await until('a tag less', async () => (await show()).tags.length === 49);
  await tag.press('Enter');
  await until('the tag', async () => (await show()).tags.includes('one more'));
  await says(tag, '');
  await page.getByText('at most 50 tags').waitFor({ state: 'detached' });

  const field = page.getByLabel('Name', { exact: true });
  await field.fill('Given up');
  await field.press('Escape');
  await says(field, name);
  await leave();
  assert.equal((await show()).name, name);
  await go(`#/subjects/${id}`);
  await field.fill('  Kept  ');
  await field.press('Enter');
  await until('its name', async () => (await show()).name === 'Kept');
  await says(field, 'Kept');
  fine();
});
