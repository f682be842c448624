/** @file What comes late: pictures and presses of a page that has gone, and answers that somebody was faster than. Nothing that was done is lost, and nobody is told anything stale. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { becomes } from '../support/time.ts';
import { onLine } from './support/states.ts';
import { chromium, openWindow, type Opened } from './support/window.ts';

const skip = chromium === undefined && 'no chromium here';
let opened: Opened;
before(async () => {
  if (skip !== false) return;
  opened = await openWindow();
  await opened.studio.settings.edit({ welcomed: true });
  await opened.studio.subjects.addSamples(undefined);
});
after(async () => {
  if (skip === false) await opened.close();
});
/** Nothing was said in the console but that a photo was refused. */
const fine = () =>
  assert.deepEqual(
    opened.wrongs.splice(0).filter(wrong => !wrong.includes('net::ERR_FAILED')),
    [],
  );

test('a photo that is there when its page has gone says nothing of the page', { skip }, async () => {
  const page = await opened.page('#/create');
  for (const answer of ['there', 'refused'] as const) {
    const held = Promise.withResolvers<undefined>(),
      asked = Promise.withResolvers<undefined>();
    const photo = /\/media\/p\d+\/photo\?/;
    await page.route(photo, async route => {
      asked.resolve(undefined);
      await held.promise;
      await (answer === 'there' ? route.fallback() : route.abort());
    });
    await page.evaluate(place => (location.hash = place), answer === 'there' ? '#/subjects/s1' : '#/subjects/s2');
    await asked.promise;
    const late = await page.evaluateHandle(() => {
      const all = [...document.querySelectorAll<HTMLImageElement>('main img')].filter(
        image => /\/photo\?/.test(image.src) && !image.complete,
      );
      return {
        come: Promise.all(all.map(image => new Promise(done => ['load', 'error'].map(e => image.addEventListener(e, () => done(e)))))),
      };
    });
    await page.evaluate(() => (location.hash = '#/create'));
    await page.getByRole('heading', { name: 'Create', exact: true }).waitFor();
    held.resolve(undefined);
    const come = (await late.evaluate(({ come }) => come)) as string[];
    assert.ok(come.length > 0, 'a photo was on its way');
    assert.deepEqual([...new Set(come)], [answer === 'there' ? 'load' : 'error']);
    await page.unroute(photo);
  }
  fine();
  await page.context().close();
});

test('the way back to a photo that was left half done leads to it from anywhere', { skip }, async () => {
  const [subject] = (await opened.studio.subjects.list({})).subjects;
  const place = `#/subjects/${subject!.id}/${subject!.photos[0]!.id}`;
  const page = await opened.page(place);
  await page.getByRole('application').waitFor();
  await page.waitForFunction(() => document.querySelector('.photo-editor .loading') === null);
  await page.keyboard.press('c');
  await page.getByRole('button', { name: 'Left edge' }).focus();
  await page.keyboard.press('Shift+ArrowRight');
  await page.getByRole('button', { name: 'Save' }).and(page.locator(':enabled')).waitFor();
  await page.evaluate(() => (location.hash = '#/library'));
  await page.getByRole('heading', { name: 'Library', exact: true }).waitFor();
  await page.getByRole('button', { name: 'Go on', exact: true }).click();
  await page.waitForURL(`**/${place}`);
  await page.getByRole('application').waitFor();
  fine();
  await page.context().close();
});

test('a list that was read before the last change is read again', { skip }, async () => {
  const { studio } = opened;
  await studio.queue.pause(undefined);
  const ids = await Promise.all([1, 2, 3].map(async seed => (await studio.jobs.enqueue({ request: { prompt: 'a kite', seed } })).jobs[0]!.id)); // prettier-ignore
  const { page, line } = await onLine(opened, '#/library');
  await page.keyboard.press('q');
  const rows = page.locator('[id^=waiting-]'),
    shown = async () => (await rows.evaluateAll(all => all.map(row => row.id.slice('waiting-'.length)))).join();
  const [a, b, c] = ids as [(typeof ids)[0], (typeof ids)[0], (typeof ids)[0]];
  await becomes(shown, [a, b, c].join());
  line.hold(/^jobs\.list$/);
  await studio.jobs.move({ id: c, to: 'top' });
  await line.held(1);
  await studio.jobs.move({ id: a, to: 'top' });
  await page.waitForTimeout(500); // the page has heard of it, and wants the list once more
  line.release();
  await page.waitForTimeout(500); // all that waited is there
  await becomes(shown, [a, c, b].join());
  for (const id of ids) await studio.jobs.cancel({ id });
  fine();
  await page.context().close();
});

test('letters that are typed before the address has changed stay', { skip }, async () => {
  const page = await opened.page('#/library', {}, of =>
    // before the window itself hears of it
    of.addInitScript(() =>
      addEventListener('hashchange', () => {
        const input = document.querySelector<HTMLInputElement>('[type=search]');
        if (input?.value !== 'sun') return;
        input.value = 'suns';
        input.dispatchEvent(new InputEvent('input', { bubbles: true }));
      }),
    ),
  );
  const field = page.getByRole('searchbox', { name: 'Search the library' });
  await field.fill('sun');
  await becomes(() => field.inputValue(), 'suns');
  await page.waitForURL('**/#/library?search=suns');
  await becomes(() => field.inputValue(), 'suns');
  fine();
  await page.context().close();
});

test('a tag that is typed before the last one is there takes nothing away', { skip }, async () => {
  const { studio } = opened,
    [subject] = (await studio.subjects.list({})).subjects;
  const { page, line } = await onLine(opened, `#/subjects/${subject!.id}`);
  const field = page.getByLabel('Tags');
  await field.waitFor();
  line.hold(/./);
  for (const tag of ['red', 'round', 'soft']) {
    await field.fill(tag);
    await field.press('Enter');
  }
  const tags = async () => (await studio.subjects.show({ id: subject!.id })).tags;
  await becomes(tags, [...subject!.tags, 'red', 'round', 'soft']);
  line.release();
  await page.getByRole('button', { name: 'Remove the tag soft' }).waitFor();
  await field.evaluate(input => (input as HTMLElement).blur());
  for (let i = 0; i < 3; i++) await page.keyboard.press('Control+z');
  await becomes(tags, subject!.tags);
  fine();
  await page.context().close();
});

test('a setting stays as it was chosen while the answer to the one before comes', { skip }, async () => {
  const { page, line } = await onLine(opened, '#/settings/appearance');
  await page.getByRole('radio', { name: 'Dark' }).waitFor({ state: 'attached' });
  const shown = () => page.evaluate(() => ['theme', 'motion'].map(name => document.documentElement.dataset[name]));
  line.hold(/^settings(\.edit)?$/);
  await page.getByRole('radio', { name: 'Dark' }).check({ force: true });
  await page.getByRole('radio', { name: 'Reduced' }).check({ force: true });
  await becomes(shown, ['dark', 'reduced']);
  await line.held(4); // two answers, two events
  for (let i = 0; i < 4; i++) {
    line.release(1);
    await page.evaluate(() => new Promise(requestAnimationFrame));
    assert.deepEqual(await shown(), ['dark', 'reduced'], `after ${i + 1} of them`);
    assert.ok(await page.getByRole('radio', { name: 'Reduced' }).isChecked());
  }
  line.release();
  await opened.studio.settings.edit({ theme: 'system', motion: 'system' });
  fine();
  await page.context().close();
});
