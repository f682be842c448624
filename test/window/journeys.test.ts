/** @file Two ways through the whole app, from the first start to a clip that is made, judged, thrown away and fetched back: with the keyboard alone, and by what the accessibility tree says alone. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { CDPSession, Page } from 'playwright-core';
import { sleep } from '../support/run.ts';
import { chromium, openWindow, type Opened } from './support/window.ts';

const skip = chromium === undefined && 'no chromium here';
let opened: Opened;
before(async () => {
  if (skip === false) opened = await openWindow();
});
after(async () => {
  if (skip === false) await opened.close();
});
const until = async <T>(what: string, find: () => Promise<T | undefined | false>, seconds = 60): Promise<T> => {
  for (const end = performance.now() + seconds * 1000; performance.now() < end; await sleep(100)) {
    const found = await find();
    if (found !== undefined && found !== false) return found;
  }
  throw new Error(`never in ${seconds} s: ${what}`);
};

/** Presses Tab until what has the focus is called so. */
async function tabTo(page: Page, name: RegExp, most = 60): Promise<void> {
  const passed: string[] = [];
  for (let i = 0; i < most; i++) {
    await page.keyboard.press('Tab');
    const called = await page.evaluate(() => {
      const at = document.activeElement as HTMLElement | null;
      return at ? `${at.getAttribute('aria-label') ?? ''} ${at.innerText || (at as HTMLInputElement).placeholder || ''}`.trim() : '';
    });
    if (name.test(called)) return;
    passed.push(called.slice(0, 30));
  }
  throw new Error(`Tab never came to ${String(name)}: ${passed.join(' | ')}`);
}

test('with the keyboard alone', { skip }, async () => {
  const page = await opened.page();
  await page.waitForURL('**/#/welcome');
  await page.keyboard.press('Control+1');
  await page.waitForURL('**/#/subjects');
  await page.getByRole('heading', { name: 'Subjects', exact: true }).waitFor();
  await tabTo(page, /sample|toys/i);
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: /Kelp/ }).waitFor();
  await page.keyboard.press('Control+2');
  await page.waitForURL('**/#/create');
  const prompt = page.getByRole('textbox', { name: 'Prompt' }).or(page.getByRole('combobox', { name: 'Prompt' }));
  await prompt.waitFor();
  if (!(await prompt.evaluate(field => field === document.activeElement))) await tabTo(page, /What happens|Prompt/);
  await page.keyboard.type('@ke');
  await page.getByRole('option', { name: /Kelp/ }).waitFor();
  await page.keyboard.press('Enter');
  await page.keyboard.type('hops in a snowy landscape.');
  assert.equal(await prompt.inputValue(), '@kelp hops in a snowy landscape.');
  await page.keyboard.press('Control+Enter');
  const { id } = await until('queued', async () => (await opened.studio.jobs.list({})).jobs[0]);
  await page.keyboard.press('Control+3');
  await page.waitForURL('**/#/library');
  await until('made', async () => (await opened.studio.jobs.show({ id })).status === 'completed', 120);
  const tile = page.getByRole('gridcell').first();
  await tile.waitFor();
  await tabTo(page, /hops in a snowy/i);
  await page.keyboard.press('4');
  const clip = await until('rated', async () => (await opened.studio.clips.list({})).clips.find(c => c.stars === 4));
  await page.keyboard.press('Enter');
  await page.waitForURL(`**/#/library/${clip.id}`);
  const picture = page.getByRole('img', { name: /Frame 1 of 17/ });
  await picture.waitFor();
  await page.keyboard.press('ArrowRight');
  await page.getByRole('img', { name: /Frame 2 of 17/ }).waitFor();
  await page.keyboard.press('Delete');
  await until('in the trash', async () => (await opened.studio.clips.show({ id: clip.id })).trashed);
  await page.keyboard.press('Control+z');
  await until('back', async () => !(await opened.studio.clips.show({ id: clip.id })).trashed);
  assert.deepEqual(opened.wrongs, []);
  await page.context().close();
});

interface Node {
  readonly role: string;
  readonly name: string;
  readonly value: string;
  readonly id: number;
}
/** All that a screen reader is told of the page, in reading order. */
async function treeOf(session: CDPSession): Promise<Node[]> {
  const { nodes } = await session.send('Accessibility.getFullAXTree');
  return nodes
    .filter(n => !n.ignored && n.backendDOMNodeId !== undefined)
    .map(n => ({
      role: String(n.role?.value ?? ''),
      name: String(n.name?.value ?? ''),
      value: String(n.value?.value ?? ''),
      id: n.backendDOMNodeId!,
    }));
}

test('by the accessibility tree alone: everything has a role and a name, and what happens is said', { skip }, async () => {
  const page = await opened.page('#/subjects');
  const session = await page.context().newCDPSession(page);
  const find = (role: string | RegExp, name: RegExp, seconds = 60) =>
    until(
      `${String(role)} ${String(name)}`,
      async () => (await treeOf(session)).find(n => (typeof role === 'string' ? n.role === role : role.test(n.role)) && name.test(n.name)),
      seconds,
    );
  const activate = async (role: string | RegExp, name: RegExp) => {
    const node = await find(role, name);
    await session.send('DOM.focus', { backendNodeId: node.id });
    await page.keyboard.press('Enter');
    return node;
  };
  await find('heading', /^Subjects$/);
  await activate('link', /^Lemon/);
  await find('heading', /^Lemon$/);
  await activate('button', /^Make a clip$/);
  await find('heading', /^Create$/);
  const field = await find(/textbox|combobox/, /^Prompt$/);
  assert.match(field.value, /@lemon/, 'the subject is named already');
  await session.send('DOM.focus', { backendNodeId: field.id });
  await page.keyboard.press('Control+End');
  await page.keyboard.type('turns around in a kitchen.');
  // the forecast is said before the button is pressed
  await find(/^(StaticText|InlineTextBox|status|paragraph)$/, /minute|second|\d\s?s\b|learnt|measured/i);
  await activate('button', /^Make a clip/);
  await find(/status|StaticText/, /queue/i);
  const { id } = await until('queued', async () => (await opened.studio.jobs.list({ status: ['pending', 'inProgress'] })).jobs[0]);
  await activate('button', /^Queue/);
  await find('progressbar', /Painting/, 60);
  await find(/status|StaticText/, /ready/i, 120);
  assert.equal((await opened.studio.jobs.show({ id })).status, 'completed');
  await activate('link', /^Library$/);
  await find('heading', /^Library$/);
  await activate('link', /Lemon turns around/i);
  await find(/^(img|image)$/, /Frame 1 of 17/);
  // nothing that can be used is without a name, on any of the ways that were gone
  for (const place of ['#/subjects', '#/subjects/s1', '#/create', '#/library', '#/settings/models']) {
    await page.goto(`${opened.host.origin}/window/${place}`);
    await page.waitForTimeout(500);
    const nameless = (await treeOf(session)).filter(
      n =>
        /^(button|link|textbox|combobox|slider|checkbox|radio|switch|menuitem|tab|option|searchbox|spinbutton)$/.test(n.role) &&
        n.name.trim() === '',
    );
    assert.deepEqual(
      nameless.map(n => n.role),
      [],
      place,
    );
  }
  assert.deepEqual(opened.wrongs, []);
});
