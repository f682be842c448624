/** @file Create in a real browser over the real engine: the prompt and what completes it, what a clip will cost, a clip made to its end, a waiting one changed, settings that come back from a file, all of it by keyboard, and how many clicks it takes. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Locator, Page } from 'playwright-core';
import sharp from 'sharp';
import type { ClipId } from '../../electron/contract/ids.ts';
import type { Job } from '../../electron/contract/records.ts';
import { root, sleep } from '../support/run.ts';
import { chromium, openWindow, type Opened } from './support/window.ts';

const skip = chromium === undefined && 'no chromium here: install one (apt-get install chromium) to test the window';
let opened: Opened, page: Page;
/** Files beside the library. */
const away = mkdtempSync(join(tmpdir(), 'protagonist-away-'));

const until = async (what: string, check: () => Promise<boolean>, seconds = 60) => {
  for (const end = performance.now() + seconds * 1000; performance.now() < end; await sleep(50)) if (await check()) return;
  throw new Error(`never in ${seconds} s: ${what}`);
};
const jobs = async (...status: Job['status'][]): Promise<Job[]> =>
  (await opened.studio.jobs.list({ status, limit: 500 })).jobs.sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)));
/** Those that wait, beside a queue that stands. */
const waiting = () => jobs('pending', 'paused');
const prompt = (of = page): Locator => of.getByRole('textbox', { name: 'Prompt', exact: true });
const make = (of = page): Locator => of.locator('aside').getByRole('button', { name: /^Make / });
const cost = (of = page): Locator => of.getByRole('region', { name: 'What it costs' });
async function cancelAll() {
  for (const { id } of await waiting()) await opened.studio.jobs.cancel({ id });
}
/** Lets files go over a place of the page, as a file manager does. */
async function drop(files: readonly string[], onto: Locator, of = page) {
  const box = (await onto.boundingBox())!;
  const session = await of.context().newCDPSession(of);
  const data = { items: [], files: [...files], dragOperationsMask: 1 };
  const point = { x: box.x + box.width / 2, y: box.y + Math.min(200, box.height / 2) };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await session.send('Input.dispatchDragEvent', { type, ...point, data });
    await sleep(60);
  }
  await session.detach();
}
/** Clicks and keys that are no text, as a person makes them: counted in the page, so that nothing is forgotten. */
async function counted(hash: string): Promise<{ page: Page; efforts: () => Promise<number> }> {
  const page = await opened.page(hash);
  await page.evaluate(() => {
    const counter = window as unknown as { efforts: number };
    counter.efforts = 0;
    addEventListener('pointerdown', e => (counter.efforts += Number(e.isTrusted)), true);
    addEventListener('drop', e => (counter.efforts += Number(e.isTrusted)), true);
    addEventListener(
      'keydown',
      e => (counter.efforts += Number(e.isTrusted && (e.key.length > 1 || e.ctrlKey) && !/^(Shift|Control)/.test(e.key))),
      true,
    );
  });
  return { page, efforts: () => page.evaluate(() => (window as unknown as { efforts: number }).efforts) };
}
const done = async (page: Page) => {
  await page.context().close();
  assert.deepEqual(opened.wrongs, []);
};

before(async () => {
  if (skip !== false) return;
  opened = await openWindow();
  await opened.studio.settings.edit({ welcomed: true, previewSeconds: 0.1, language: 'en', theme: 'light' });
});
after(async () => {
  rmSync(away, { recursive: true, force: true });
  if (skip === false) await opened.close();
});

test('an empty library offers toys to begin with', { skip }, async () => {
  page = await opened.page('#/create');
  await page.getByRole('button', { name: 'Begin with sample toys' }).click();
  await until('a handle in the prompt', async () => /^@[a-z]+ $/.test(await prompt().inputValue()));
  assert.ok((await opened.studio.subjects.list({})).subjects.length > 3);
  await until('the caret in the prompt', () => prompt().evaluate(area => area === document.activeElement));
  await done(page);
});

test('handles complete themselves, wrong ones are told with the nearest, choices are counted', { skip }, async () => {
  page = await opened.page('#/create');
  await prompt().click();
  await prompt().fill('');
  await page.keyboard.type('@LE');
  const list = page.getByRole('listbox', { name: 'Subjects' });
  await list.waitFor();
  const names = await list.getByRole('option').allInnerTexts();
  assert.match(names[0]!, /Lemon\s+@lemon/);
  // what a screen reader is told is what is marked
  const active = (await prompt().getAttribute('aria-activedescendant')) ?? 'none';
  assert.equal(await page.locator(`[id="${active}"]`).getAttribute('aria-selected'), 'true');
  await page.keyboard.press('Tab');
  assert.equal(await prompt().inputValue(), '@lemon ');
  await page.keyboard.type('hops beside @');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  const second = /@lemon hops beside @([a-z]+) $/.exec(await prompt().inputValue())?.[1];
  assert.ok(second !== undefined && second !== 'lemon', await prompt().inputValue());
  await until('both are in it', async () => (await page.getByRole('list', { name: 'Who is in it' }).locator(':scope > li').count()) === 2);
  assert.match(await page.locator('main').innerText(), /can show one subject in a clip/);
  // the browser's own undo takes back what was completed
  await page.keyboard.press('Control+z');
  assert.match(await prompt().inputValue(), /beside @$/);
  await page.keyboard.press('Escape');

  await prompt().fill('@lemmon {hops|{spins|bows} twice} by the sea');
  const fix = page.getByRole('button', { name: 'Did you mean @lemon?' });
  await prompt().press('Home');
  await fix.waitFor();
  assert.equal(
    await make()
      .innerText()
      .then(s => s.split('\n')[0]),
    'Make 3 clips',
  );
  await fix.click();
  assert.equal(await prompt().inputValue(), '@lemon {hops|{spins|bows} twice} by the sea');
  await page.getByRole('button', { name: 'Take Lemon out of the clip' }).click();
  assert.equal(await prompt().inputValue(), '{hops|{spins|bows} twice} by the sea');
  await prompt().fill('@lemon {hops|spins');
  await until('the brace is told', async () => (await cost().innerText()).includes('never closed'));
  await prompt().fill('');
  await done(page);
});

test('what is painted behind the prompt lies exactly below its letters, in both directions', { skip }, async () => {
  const texts = [
    '@lemon hops, office file ffi AVATAR To {a snowy landscape|a forest at dusk} beside @nobody-here and then, much later, walks on and on and on\n\n  until Donaudampfschifffahrtsgesellschaftskapitaenskajuetenschluesselbundanhaengerverkaeufer @otto.',
    '@lemon تقفز في {مشهد ثلجي|غابة عند الغسق} بجانب @otto ثم تمشي طويلًا جدًا على شاطئ البحر عند الغروب، وتنظر إلى السماء وتضحك\n@nobody يأتي.',
  ];
  page = await opened.page('#/create', { viewport: { width: 1024, height: 700 } });
  const area = page.locator('.stack textarea');
  /** The letters alone, of one of the two layers. */
  const letters = async (shown: 'textarea' | 'div') => {
    await page.locator('.stack').evaluate((stack, shown) => {
      for (const layer of stack.children as HTMLCollectionOf<HTMLElement>) {
        layer.style.color = layer.localName === shown ? 'black' : 'transparent';
        layer.style.caretColor = 'transparent';
      }
      for (const mark of stack.querySelectorAll('span'))
        Object.assign(mark.style, { background: 'none', boxShadow: 'none', textDecoration: 'none' });
    }, shown);
    return sharp(await page.locator('.stack').screenshot())
      .greyscale()
      .raw()
      .toBuffer();
  };
  for (const language of ['en', 'ar'] as const) {
    await opened.studio.settings.edit({ language });
    await page.waitForSelector(`html[lang=${language}]`);
    for (const text of texts) {
      await area.fill(text);
      const [typed, painted] = [await letters('textarea'), await letters('div')];
      const ink = typed.filter(v => v < 128).length,
        off = typed.filter((v, i) => Math.abs(v - painted[i]!) > 64).length;
      assert.ok(ink > 2000, `${ink} dark pixels`);
      assert.ok(off < ink * 0.002, `${language}: ${off} of ${ink} pixels elsewhere`);
    }
  }
  await opened.studio.settings.edit({ language: 'en' });
  await done(page);
});

test('before the button it says what it costs; many are asked for with their number', { skip }, async () => {
  page = await opened.page('#/create');
  await prompt().fill('@lemon {hops|spins} by the sea.');
  await until('nothing is known yet', async () => (await cost().innerText()).includes('Not measured yet'));
  await page.getByLabel('Variations').fill('3');
  await page.getByLabel('Variations').press('Enter');
  await page.getByRole('button', { name: 'Compare settings' }).click();
  await page.getByRole('menuitem', { name: 'Steps' }).click();
  await until('2 x 3 x 2', async () => (await make().innerText()).includes('Make 12 clips'));
  await page.getByLabel('Another value').fill('9');
  await page.getByLabel('Another value').press('Enter');
  await until('a value more', async () => (await make().innerText()).includes('Make 18 clips'));
  await page.getByLabel('Variations').fill('4');
  await page.getByLabel('Variations').press('Enter');
  await make().click();
  const question = page.getByRole('dialog').or(page.getByRole('alertdialog'));
  await question.getByText('Queue 24 clips?').waitFor();
  await question.getByRole('button', { name: 'Cancel' }).click();
  assert.deepEqual(await waiting(), []);
  await page.getByRole('button', { name: 'Do not compare Steps' }).click();
  await page.getByLabel('Variations').fill('1');
  await page.getByLabel('Variations').press('Enter');
  // sizes as shapes: about as many pixels, in steps of 16, and off what it was made for
  await page.getByRole('radio', { name: 'Wide' }).check({ force: true });
  await until('told', async () => (await page.locator('aside').innerText()).includes('was made for 128 × 128'));
  assert.equal(await page.getByLabel('Width').inputValue(), '176');
  assert.equal(await page.getByLabel('Height').inputValue(), '96');
  await page.getByRole('radio', { name: 'Square' }).check({ force: true });
  await page.getByRole('slider', { name: 'Length' }).focus();
  await page.keyboard.press('ArrowRight');
  assert.match(await page.getByRole('slider', { name: 'Length' }).getAttribute('aria-valuetext').then(String), /25 frames/);
  await page.getByRole('button', { name: 'Begin anew' }).click();
  await until('all as at first', async () => (await prompt().inputValue()) === '');
  await page.getByRole('button', { name: 'Undo' }).click();
  await until('and back', async () => (await prompt().inputValue()) === '@lemon {hops|spins} by the sea.');
  await page.getByRole('button', { name: 'Begin anew' }).click();
  await done(page);
});

let clip: ClipId, file: string;
test('a draft is painted live, becomes a clip that plays, and is then made whole with its seed', { skip }, async () => {
  page = await opened.page('#/create');
  await prompt().fill('@lemon hops in a snowy landscape.');
  await page.getByRole('slider', { name: 'Length' }).focus();
  await page.keyboard.press('ArrowLeft');
  await page.getByLabel('Steps', { exact: true }).fill('6');
  await page.getByLabel('Steps', { exact: true }).press('Enter');
  await page.getByRole('switch', { name: 'Draft first' }).click();
  await make().click();
  const results = page.getByRole('region', { name: 'Just made' });
  await results.getByRole('img', { name: /How it looks after step/ }).waitFor({ timeout: 120_000 });
  const whole = results.getByRole('button', { name: 'Full quality, same seed' });
  await whole.waitFor({ timeout: 120_000 });
  const [draft] = await jobs('completed');
  assert.equal(draft!.resolved.numInferenceSteps, 3);
  clip = draft!.clipId!;
  const tile = results.getByRole('link', { name: /^Open / });
  await tile.hover();
  await until('it plays', () => results.locator('video').evaluate((video: HTMLVideoElement) => video.currentTime > 0));
  await results
    .getByRole('slider', { name: 'Stars' })
    .or(results.getByRole('radiogroup', { name: 'Stars' }))
    .first()
    .focus();
  await page.keyboard.press('4');
  await until('starred', async () => (await opened.studio.clips.show({ id: clip })).stars === 4);
  await until('learnt', async () => /Learnt from 1 clip|Estimated from 1 clip/.test(await cost().innerText()));
  await opened.studio.queue.pause(undefined);
  await whole.click();
  await until('queued', async () => (await waiting()).length === 1);
  const [full] = await waiting();
  assert.equal(full!.resolved.numInferenceSteps, 6);
  assert.equal(full!.resolved.seed, draft!.resolved.seed);
  // undo of the queueing
  await page.keyboard.press('Escape');
  await page.locator('h1').click();
  await page.keyboard.press('Control+z');
  await until('canceled', async () => (await waiting()).length === 0);
  await results.getByRole('button', { name: 'To the trash' }).click();
  await until('in the trash', async () => (await opened.studio.clips.show({ id: clip })).trashed);
  await page.keyboard.press('Control+z');
  await until('back', async () => !(await opened.studio.clips.show({ id: clip })).trashed);
  file = join(away, 'holiday.mp4');
  await opened.studio.clips.save({ id: clip, path: file });
  await done(page);
});

test('seeds go on, stay, or are drawn; the last one is told', { skip }, async () => {
  page = await opened.page('#/create');
  await prompt().fill('@lemon spins.');
  await page.getByRole('radio', { name: 'Next' }).check({ force: true });
  await page.getByLabel('Number of the seed').fill('100');
  await page.getByLabel('Number of the seed').press('Enter');
  await page.getByLabel('Variations').fill('3');
  await page.getByLabel('Variations').press('Enter');
  await page.keyboard.press('Control+Enter');
  await until('three seeds', async () => (await waiting()).map(j => j.resolved.seed).join() === '100,101,102');
  await until('it went on', async () => (await page.getByLabel('Number of the seed').inputValue()) === '103');
  await page.getByRole('button', { name: 'Last: 100' }).click();
  await page.getByLabel('Variations').fill('1');
  await page.getByLabel('Variations').press('Enter');
  await make().click();
  await until('locked', async () => (await waiting()).length === 4 && (await waiting())[3]!.resolved.seed === 100);
  assert.equal(await page.getByLabel('Number of the seed').inputValue(), '100');
  await page.getByRole('button', { name: 'Next in the queue' }).click();
  await until('first of all', async () => (await waiting()).find(j => j.position === 1)?.id === (await waiting())[4]?.id);
  await cancelAll();
  await done(page);
});

test('a waiting job is changed, or left as it was; what was composed comes back', { skip }, async () => {
  const { jobs: queued } = await opened.studio.jobs.enqueue({ request: { prompt: '@lemon bows.', seed: 7 } });
  const id = queued[0]!.id;
  page = await opened.page('#/create');
  await prompt().fill('@otto sways at dusk.');
  await page.evaluate(id => (location.hash = `#/create?edit=${id}`), id);
  const banner = page.getByText('You are changing a waiting clip');
  await banner.waitFor();
  assert.equal(await prompt().inputValue(), '@lemon bows.');
  await prompt().fill('@lemon bows twice.');
  await page.locator('aside').getByRole('button', { name: 'Save the change' }).click();
  await until('changed', async () => (await opened.studio.jobs.show({ id })).request.prompt === '@lemon bows twice.');
  await until('the draft is back', async () => (await prompt().inputValue()) === '@otto sways at dusk.');
  await page.evaluate(id => (location.hash = `#/create?edit=${id}`), id);
  await banner.waitFor();
  await prompt().fill('nothing of this');
  await page.locator('aside').getByRole('button', { name: 'Leave it as it was' }).click();
  await until('left', async () => (await prompt().inputValue()) === '@otto sways at dusk.');
  assert.equal((await opened.studio.jobs.show({ id })).request.prompt, '@lemon bows twice.');
  await cancelAll();
  await done(page);
});

test('a dropped clip brings its settings back and names what is missing; a picture begins a clip', { skip }, async () => {
  page = await opened.page('#/create');
  await prompt().fill('something else');
  await drop([file], page.locator('main h1'));
  await until('restored', async () => (await prompt().inputValue()) === '@lemon hops in a snowy landscape.');
  const { resolved } = await opened.studio.clips.show({ id: clip });
  assert.equal(await page.getByLabel('Number of the seed').inputValue(), String(resolved!.seed));
  assert.equal(await page.getByLabel('Steps', { exact: true }).inputValue(), '3');
  await page
    .getByText(/Everything is as it was for .*holiday\.mp4/)
    .first()
    .waitFor();
  await page.getByRole('button', { name: 'Undo' }).first().click();
  await until('undone', async () => (await prompt().inputValue()) === 'something else');

  const lemon = (await opened.studio.subjects.list({ search: 'lemon' })).subjects[0]!;
  await opened.studio.subjects.remove({ id: lemon.id });
  await drop([file], page.locator('main h1'));
  await page.getByText('the rest was kept').waitFor();
  assert.match(await page.locator('main').innerText(), /the subject Lemon \(@lemon\)/);
  await page.getByRole('button', { name: 'Close', exact: true }).first().click();
  await page.evaluate(id => (location.hash = `#/create?like=${id}&seed=new`), clip);
  await page.getByText('the subject Lemon', { exact: true }).waitFor();
  await page.getByText('Nobody is called @lemon.').waitFor();
  assert.equal(await page.getByRole('radio', { name: 'Random' }).isChecked(), true);
  assert.equal(await page.evaluate(() => location.hash), '#/create');
  await opened.studio.subjects.restore({ id: lemon.id });

  // a picture that knows nothing: it may begin the clip
  const picture = join(away, 'sea.png');
  writeFileSync(
    picture,
    await sharp({ create: { width: 256, height: 160, channels: 3, background: '#3377aa' } })
      .png()
      .toBuffer(),
  );
  await drop([picture], page.locator('.work'));
  await page.getByRole('button', { name: 'Begin with it' }).click();
  await page.getByRole('img', { name: 'The clip begins with sea.png' }).waitFor();
  await page.getByRole('button', { name: 'Take the start image away' }).click();
  await page.getByRole('button', { name: 'Start image' }).waitFor();
  await done(page);
});

test('all of it by keyboard', { skip }, async () => {
  page = await opened.page('#/create');
  await until('the caret waits in the prompt', () => prompt().evaluate(area => area === document.activeElement));
  await page.keyboard.press('Control+a');
  await page.keyboard.type('@lem');
  await page.getByRole('option', { name: 'Lemon' }).waitFor();
  await page.keyboard.press('Enter');
  await page.keyboard.type('turns around in a kitchen.');
  await page.keyboard.press('Control+Enter');
  await until('queued', async () => (await waiting()).length === 1);
  assert.equal((await waiting())[0]!.request.prompt, '@lemon turns around in a kitchen.');
  // history: pinned stays on top, and comes back into the prompt
  await page.keyboard.press('Control+h');
  const history = page.getByRole('dialog', { name: 'Earlier prompts' });
  await history.getByRole('list').waitFor();
  await page.keyboard.type('snowy');
  await until('found', async () => (await history.getByRole('listitem').count()) === 1);
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await until('pinned', async () => (await opened.studio.prompts.list({})).prompts[0]!.pinned);
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await until('used', async () => (await prompt().inputValue()) === '@lemon hops in a snowy landscape.');
  await until('focus', () => prompt().evaluate(area => area === document.activeElement));
  // every control can be reached, and the button is one of them
  let reached = '';
  for (let i = 0; i < 80 && !/^Make /.test(reached); i++) {
    await page.keyboard.press('Tab');
    reached = await page.evaluate(() => (document.activeElement as HTMLElement | null)?.innerText ?? '');
  }
  assert.match(reached, /^Make a/);
  await page.keyboard.press('Enter');
  await until('queued again', async () => (await waiting()).length === 2);
  await cancelAll();
  await done(page);
});

test('own photos to a queued job: at most 4 clicks and keys besides words', { skip }, async () => {
  const { page, efforts } = await counted('#/subjects');
  await drop([join(root, 'assets/toybox/photos/kelp.jpg')], page.locator('main h1'), page);
  await page.getByRole('button', { name: 'Add subject' }).waitFor();
  await page.keyboard.type('Friend');
  await page.getByRole('button', { name: 'Add subject' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Make a clip' }).click({ timeout: 120_000 });
  await until('in the prompt', async () => /@friend/.test(await prompt(page).inputValue()));
  await until('focus', () => prompt(page).evaluate(area => area === document.activeElement));
  await page.keyboard.type('hops by the sea.');
  await make(page).click();
  await until('queued', async () => (await waiting()).length === 1);
  assert.match((await waiting())[0]!.request.prompt, /@friend\s+hops by the sea\.$/);
  const n = await efforts();
  assert.ok(n <= 4, `${n} clicks and keys`);
  await cancelAll();
  await done(page);
});

test('the same subject in five scenes: at most 8 clicks and keys besides words', { skip }, async () => {
  const { page, efforts } = await counted('#/create');
  await prompt(page).waitFor();
  await page.getByRole('list', { name: 'Who is in it?' }).getByRole('button', { name: 'Otto' }).click();
  await page.getByRole('button', { name: 'Several scenes' }).click();
  const scenes = [
    'hops in a snowy landscape.',
    'spins on a sandy beach.',
    'bows in a kitchen.',
    'sways in a forest.',
    'comes closer in a city.',
  ];
  for (const [i, scene] of scenes.entries()) {
    if (i > 0) await page.keyboard.press('Enter');
    await page.keyboard.type(scene);
  }
  await make(page).click();
  await until('five wait', async () => (await waiting()).length === 5);
  assert.deepEqual(
    (await waiting()).map(j => j.request.prompt),
    scenes.map(scene => `@otto ${scene}`),
  );
  const n = await efforts();
  assert.ok(n <= 8, `${n} clicks and keys`);
  await cancelAll();
  await done(page);
});

test("last week's best clip once more with one word changed: at most 5 clicks and keys besides words", { skip }, async () => {
  const { page, efforts } = await counted('#/create');
  const best = page.getByRole('region', { name: 'Begin from one of your best' });
  await best.getByRole('button', { name: 'Use its settings' }).first().click();
  await until('restored', async () => (await prompt(page).inputValue()) === '@lemon hops in a snowy landscape.');
  // a double click upon the word
  const at = await page.evaluate(() => {
    const walker = document.createTreeWalker(document.querySelector('.stack .ink')!, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const from = node.textContent!.indexOf('hops');
      if (from < 0) continue;
      const range = document.createRange();
      range.setStart(node, from);
      range.setEnd(node, from + 4);
      const { x, y, width, height } = range.getBoundingClientRect();
      return { x: x + width / 2, y: y + height / 2 };
    }
    throw new Error('the word is not painted');
  });
  await page.mouse.dblclick(at.x, at.y);
  await page.keyboard.type('spins');
  await make(page).click();
  await until('queued', async () => (await waiting()).length === 1);
  const [job] = await waiting();
  assert.match(job!.request.prompt, /^@lemon spins ?in a snowy landscape\.$/);
  assert.equal(job!.resolved.seed, (await opened.studio.clips.show({ id: clip })).seed);
  const n = await efforts();
  assert.ok(n <= 5, `${n} clicks and keys`);
  await cancelAll();
  await done(page);
});

test('what was written survives a reload, and a host that has gone', { skip }, async () => {
  page = await opened.page('#/create');
  await prompt().fill('@lemon hops while nobody listens.');
  await page.reload();
  await page.waitForSelector('main h1');
  await until('there after a reload', async () => (await prompt().inputValue()) === '@lemon hops while nobody listens.');
  assert.deepEqual(opened.wrongs, []);
  await opened.host.close();
  await until('told', async () => (await cost().innerText()).includes('does not answer'), 20);
  assert.equal(await make().isDisabled(), true);
  assert.equal(await prompt().inputValue(), '@lemon hops while nobody listens.');
  await page.context().close();
});
