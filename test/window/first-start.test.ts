/** @file The first start: one button from an empty library to a clip that plays, the honest page about models, and that it returns never unasked. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium, openWindow, type Opened } from './support/window.ts';

const skip = chromium === undefined && 'no chromium here';
let opened: Opened;
before(
  async () => {
    if (skip === false) opened = await openWindow();
  },
  { timeout: 600_000 },
);
after(() => skip === false && opened.close());

test('one button leads from nothing to a clip that plays, with previews on the way', { skip, timeout: 600_000 }, async () => {
  const page = await opened.page();
  await page.waitForURL('**/#/welcome');
  assert.deepEqual((await opened.studio.subjects.list({})).subjects, [], 'nothing is there yet');
  const toys = page.getByRole('group', { name: 'Which toy?' }).getByRole('img');
  assert.ok((await toys.count()) >= 6);
  for (const toy of await toys.all())
    assert.ok(
      await toy.evaluate(img => (img as HTMLImageElement).decode().then(() => (img as HTMLImageElement).naturalWidth > 0)),
      'a picture',
    );
  await page.getByText('not made for photos of real people').waitFor();

  await page.getByRole('button', { name: 'Make my first clip' }).click();
  await page.getByRole('heading', { name: 'Your clip is being painted' }).waitFor();
  await page.getByText('Painting', { exact: true }).waitFor();
  assert.equal(await page.getByText(/denois|latent|checkpoint/i).count(), 0, 'plain words');
  const preview = page.getByRole('img', { name: 'Otto, as it looks now' });
  await preview.waitFor({ timeout: 120_000 });
  assert.ok(await preview.evaluate(img => (img as HTMLImageElement).naturalWidth >= 64));

  await page.getByRole('heading', { name: 'There it is' }).waitFor({ timeout: 120_000 });
  const film = page.locator('video');
  await page.waitForFunction(() => (document.querySelector('video')?.currentTime ?? 0) > 0.2);
  assert.deepEqual(await film.evaluate(v => [(v as HTMLVideoElement).videoWidth, (v as HTMLVideoElement).loop]), [128, true]);
  await page.getByRole('button', { name: 'Pause' }).click();
  assert.ok(await film.evaluate(v => (v as HTMLVideoElement).paused), 'it can be held');

  const { subjects } = await opened.studio.subjects.list({ limit: 100 });
  assert.equal(subjects.length, 16, 'the samples are there');
  const [clip] = (await opened.studio.clips.list({})).clips;
  assert.deepEqual([clip?.subjects.map(s => s.handle), clip?.seed, clip?.checkpoint.name], [['otto'], 14, 'Toybox']);
  const { previewSeconds, welcomed } = await opened.studio.settings.show(undefined);
  assert.deepEqual([previewSeconds, welcomed], [10, true], 'nothing else is set');

  // loaded again, the page still has it
  await page.reload();
  await page.getByRole('heading', { name: 'There it is' }).waitFor();
  await page.getByRole('link', { name: /Get a model for real things/ }).click();
  await page.getByRole('heading', { name: 'Models for real things' }).waitFor();
  assert.deepEqual(opened.wrongs, []);
});

test('the page about models says what each needs of this computer, and who says so', { skip, timeout: 600_000 }, async () => {
  const page = await opened.page('#/welcome/models');
  const machine = await opened.studio.host.machine(undefined);
  await page.getByText(machine.processor, { exact: true }).waitFor();
  const card = page.getByRole('article', { name: 'CogVideoX-5B' });
  await card.getByText('not measured on this computer').waitFor();
  await card.getByText('Measured by us, not on this computer.').waitFor();
  await card.getByText(/about 22 GB, (and|but only) .* free/).waitFor();
  await card.getByText(/^(Fits|Tight|Does not fit)$/).waitFor();
  await card.getByText('https://huggingface.co/zai-org/CogVideoX-5b/blob/main/LICENSE').waitFor();
  assert.equal(await page.locator('a[href^="http"]').count(), 0, 'nothing leads outward');
  assert.equal(await page.getByRole('article').count(), 2, 'the larger ones');

  // no folder was named when this host was started
  await page.getByRole('button', { name: 'Use a folder' }).click();
  await page.getByRole('dialog').getByText('protagonist serve --roots').waitFor();
  await page.keyboard.press('Escape');
  assert.deepEqual(opened.wrongs, []);
});

test('it returns never unasked, and can be skipped and stopped', { skip, timeout: 600_000 }, async () => {
  await opened.studio.settings.edit({ welcomed: false });
  let page = await opened.page();
  await page.waitForURL('**/#/welcome');
  await page.getByRole('link', { name: 'Skip this' }).click();
  await page.waitForURL('**/#/create');
  await page.waitForFunction(() => !document.querySelector('[aria-busy=true]'));
  page = await opened.page();
  await page.waitForURL('**/#/create');

  await page.goto(`${opened.host.origin}/window/#/settings/appearance?at=welcome`);
  await page.getByRole('link', { name: 'Show it' }).click();
  await page.getByRole('radio', { name: /^Misty/ }).check();
  await page.getByText('Misty comes closer on a sandy beach by the sea.').waitFor();
  await page.getByRole('button', { name: 'Make my first clip' }).click();
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.getByRole('button', { name: 'Make my first clip' }).waitFor();
  assert.equal((await opened.studio.jobs.list({ status: ['canceled'] })).jobs.length, 1);
  assert.equal((await opened.studio.subjects.list({ limit: 100 })).subjects.length, 16, 'samples are there once');
  assert.deepEqual(opened.wrongs, []);
});
