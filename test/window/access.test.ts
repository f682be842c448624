/** @file Every view in every state, in both themes and both directions: no violation that axe finds, none of the content security policy, no error on the console. */
import AxeBuilder from '@axe-core/playwright';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { filledLibrary } from './support/filled.ts';
import { slowDown } from './support/slow.ts';
import { intervene, sentence } from './support/states.ts';
import { chromium, openWindow, type Opened } from './support/window.ts';
import { within } from '../support/time.ts';

const skip = chromium === undefined && 'no chromium here';
let opened: Opened, empty: Opened;
before(
  async () => {
    if (skip !== false) return;
    opened = await openWindow({ from: await filledLibrary(2) });
    empty = await openWindow();
    await empty.studio.settings.edit({ welcomed: true });
  },
  { timeout: 600_000 },
);
after(async () => {
  if (skip !== false) return;
  await opened.close();
  await empty.close();
});

/** What axe finds wrong on a page as it stands, one line each. */
async function violations(page: Page, where: string): Promise<string[]> {
  const { violations: found } = await new AxeBuilder({ page }).analyze();
  return found.map(
    v =>
      `${where}: ${v.id} (${v.help}) at ${v.nodes
        .slice(0, 3)
        .map(n => `${n.target.join(' ')} ${n.failureSummary?.split('\n').slice(1, 3).join(' ') ?? ''}`)
        .join(' | ')}`,
  );
}
const looks = [
  { theme: 'light', language: 'en' },
  { theme: 'dark', language: 'ar' },
  { theme: 'dark', language: 'de' },
  { theme: 'light', language: 'ar' },
] as const;
/** Looks at a page in each theme and direction, after `prepare` on each. */
async function examine(host: Opened, page: Page, where: string, some: readonly (typeof looks)[number][] = looks): Promise<string[]> {
  const wrong: string[] = [];
  for (const look of some) {
    await host.studio.settings.edit(look);
    await page.waitForFunction(
      ([theme, language]) => document.documentElement.dataset['theme'] === theme && document.documentElement.lang === language,
      [look.theme, look.language] as const,
    );
    await page.evaluate(() =>
      Promise.all(
        document
          .getAnimations()
          .map(a => a.finished.catch(() => undefined))
          .slice(0, 50)
          .map(p => Promise.race([p, new Promise(done => setTimeout(done, 400))])),
      ),
    );
    wrong.push(...(await violations(page, `${where} ${look.theme} ${look.language}`)));
  }
  await host.studio.settings.edit({ theme: 'light', language: 'en' });
  return wrong;
}

const places = [
  '#/welcome', '#/welcome/models', '#/subjects', '#/subjects/s1', '#/subjects/s17', '#/create', '#/library', '#/library/c1', '#/library/compare?ids=c1,c2', '#/library?trashed=true',
  '#/settings', '#/settings/storage', '#/settings/devices', '#/settings/models', '#/settings/network', '#/settings/shortcuts', '#/settings/language', '#/settings/appearance', '#/settings/about',
]; // prettier-ignore

test('every place, filled', { skip }, async t => {
  const page = await opened.page('#/subjects', { reducedMotion: 'reduce' });
  for (const place of places)
    await t.test(place, async () => {
      await page.goto(`${opened.host.origin}/window/${place}`);
      await page.waitForSelector('main h1');
      await page.waitForTimeout(400);
      assert.deepEqual(await examine(opened, page, place), []);
    });
  await page.keyboard.press('q');
  await page.getByRole('complementary').first().waitFor();
  assert.deepEqual(await examine(opened, page, 'queue'), []);
  assert.deepEqual(opened.wrongs, []);
});

test('every place, empty', { skip }, async () => {
  const page = await empty.page('#/subjects', { reducedMotion: 'reduce' });
  const wrong: string[] = [];
  for (const place of ['#/subjects', '#/create', '#/library', '#/library?search=nothing']) {
    await page.goto(`${empty.host.origin}/window/${place}`);
    await page.waitForSelector('main h1');
    await page.waitForTimeout(400);
    wrong.push(...(await examine(empty, page, `${place} empty`, looks.slice(0, 2))));
  }
  await page.keyboard.press('q');
  wrong.push(...(await examine(empty, page, 'queue empty', looks.slice(0, 2))));
  assert.deepEqual(wrong, []);
  assert.deepEqual(empty.wrongs, []);
});

test('while it is read, and where that fails: with its sentence and a way on', { skip }, async () => {
  const wrong: string[] = [];
  for (const [state, held] of [
    ['loading', { hold: /^(subjects|clips|jobs|checkpoints|storage|downloads|adapters|prompts)\./ }],
    [
      'failed',
      { refuse: /^(subjects\.(list|show)|clips\.(index|list|some|show)|jobs\.list|storage\.show|downloads\.list|checkpoints\.list)$/ },
    ],
  ] as const) {
    const context = await opened.browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce' });
    context.setDefaultTimeout(within(15_000));
    await slowDown(context);
    const page = await context.newPage();
    await intervene(page, held);
    await page.goto(opened.host.address);
    await page.waitForURL('**/window/**');
    for (const place of [
      '#/subjects',
      '#/subjects/s1',
      '#/create',
      '#/library',
      '#/library/c1',
      '#/settings/storage',
      '#/settings/models',
    ]) {
      await page.goto(`${opened.host.origin}/window/${place}`);
      await page.waitForSelector('main h1', { timeout: 120_000 }).catch(() => wrong.push(`${place} ${state}: no heading`));
      await page.waitForTimeout(300);
      if (state === 'failed' && /subjects$|library$|storage$/.test(place))
        await page
          .locator('main')
          .getByText(sentence.slice(0, 40))
          .first()
          .waitFor()
          .catch(() => wrong.push(`${place}: does not say why it failed`));
      wrong.push(...(await violations(page, `${place} ${state}`)));
    }
    await context.close();
  }
  assert.deepEqual(wrong, []);
});

test('a host that has gone is told, and the window goes on by itself when it is back', { skip }, async () => {
  const page = await empty.page('#/subjects');
  await page.routeWebSocket(/\/socket$/, route => void route.close({ code: 1001 }));
  await page.goto(`${empty.host.origin}/window/#/library`);
  await page.reload();
  await page.getByText('Protagonist does not answer').waitFor({ timeout: 120_000 });
  assert.deepEqual(await violations(page, 'lost'), []);
  await page.unrouteAll();
  await page.routeWebSocket(/\/socket$/, route => void route.connectToServer());
  await page.getByText('Protagonist does not answer').waitFor({ state: 'hidden', timeout: 120_000 });
});
