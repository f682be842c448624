/** @file What comes late: pictures and presses that belong to a page which has gone. They change nothing, and nobody is told anything stale. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
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
