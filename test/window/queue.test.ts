/** @file The queue's drawer over the real engine: order by keyboard and by drag, pause, cancel and its undo, an engine that is killed, why something failed and what mends it. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import type { JobId } from '../../electron/contract/ids.ts';
import { root, sleep } from '../support/run.ts';
import { chromium, openWindow, type Opened } from './support/window.ts';

let opened: Opened, page: Page;
const skip = chromium === undefined && 'no chromium here';
const waitingIds = async (): Promise<JobId[]> =>
  (await opened.studio.jobs.list({ status: ['pending', 'paused'] })).jobs.sort((a, b) => a.position! - b.position!).map(j => j.id);
const until = async (what: string, check: () => Promise<boolean>, seconds = 60) => {
  for (const end = performance.now() + seconds * 1000; performance.now() < end; await sleep(50)) if (await check()) return;
  throw new Error(
    `never in ${seconds} s: ${what}; ${JSON.stringify((await opened.studio.jobs.list({})).jobs.map(j => [j.id, j.status, j.failure?.text]))}`,
  );
};
const queue = async (...prompts: string[]): Promise<JobId[]> => {
  const ids: JobId[] = [];
  for (const prompt of prompts) {
    const { jobs } = await opened.studio.jobs.enqueue({ request: { prompt, numInferenceSteps: 6, seed: 5 } });
    ids.push(jobs[0]!.id);
  }
  return ids;
};
/** What the drawer shows is what the host has. */
const shownSo = () =>
  until('shown so', async () => {
    const shown = await page.locator('[id^=waiting-]').evaluateAll(rows => rows.map(r => r.id.replace('waiting-', '')));
    return shown.join() === (await waitingIds()).join();
  });
const rowOf = (id: JobId) => page.locator(`#waiting-${id}`);

before(async () => {
  if (skip !== false) return;
  opened = await openWindow();
  await opened.studio.settings.edit({ welcomed: true });
  await opened.studio.subjects.addSamples(undefined);
  await opened.studio.queue.pause(undefined);
});
after(async () => {
  if (skip === false) await opened.close();
});

test('what waits is moved by keyboard and by drag, and moved back by undo', { skip }, async () => {
  const [a, b, c] = await queue('@kelp hops.', '@lemon turns.', '@otto sways.');
  page = await opened.page('#/library');
  await page.keyboard.press('q');
  await rowOf(c!).focus();
  await page.keyboard.press('Alt+ArrowUp');
  await until('c before b', async () => (await waitingIds()).join() === [a, c, b].join());
  // A browser that waits for a core now and then loses the pointer that drags, and hears no key after that: then in a new page.
  for (let left = 2; ; left--) {
    await shownSo();
    await rowOf(b!).dragTo(rowOf(a!), { targetPosition: { x: 60, y: 4 } });
    try {
      await until('b dragged to the top', async () => (await waitingIds()).join() === [b, a, c].join(), left > 0 ? 15 : 60);
      break;
    } catch (error) {
      if (left === 0) throw error;
    }
    await page.context().close();
    page = await opened.page('#/library');
    await page.keyboard.press('q');
  }
  await page.keyboard.press('Control+z');
  await until('undone', async () => (await waitingIds()).join() === [a, c, b].join());
  await page.keyboard.press('Control+Shift+Z');
  await until('done again', async () => (await waitingIds()).join() === [b, a, c].join());
  await rowOf(c!).getByRole('button').click();
  await page.getByRole('menuitem', { name: 'Make it next' }).click();
  await until('c next', async () => (await waitingIds())[0] === c);
  await shownSo();
});

test('cancel by key, and back where it was by undo', { skip }, async () => {
  const order = await waitingIds(),
    second = order[1]!;
  await rowOf(second).focus();
  await page.keyboard.press('Delete');
  await until('canceled', async () => (await opened.studio.jobs.show({ id: second })).status === 'canceled');
  await page.keyboard.press('Control+z');
  await until('back', async () => (await waitingIds()).join() === order.join());
});

test('an engine that is killed is replaced, and the clip is made; pause keeps what is painted', { skip }, async () => {
  const [first] = await waitingIds();
  await page.getByRole('button', { name: 'Go on' }).first().click();
  await page
    .getByRole('article')
    .getByText(/Painting, step [2-6]/)
    .waitFor({ timeout: 120_000 });
  await page.getByRole('article').getByRole('button', { name: 'Pause' }).click();
  await until('paused', async () => (await opened.studio.jobs.show({ id: first! })).status === 'paused');
  assert.ok((await opened.studio.jobs.show({ id: first! })).snapshotStep >= 1, 'what was painted is kept');
  // the next one runs now: its engine dies
  await page
    .getByRole('article')
    .getByText(/Painting, step/)
    .waitFor({ timeout: 120_000 });
  let engines: number[] = [];
  await until('there is an engine', () => Promise.resolve((engines = enginesOf(process.pid)).length > 0));
  for (const pid of engines) process.kill(pid, 'SIGKILL');
  await rowOf(first!).getByRole('button', { name: 'Go on' }).click();
  await until('all made', async () => (await opened.studio.jobs.list({ status: ['completed'] })).jobs.length === 3, 120);
  await page.getByText('Nothing waits').waitFor();
  assert.equal(await page.getByRole('link', { name: 'Watch it' }).count(), 3);
});

test('why it failed in its own words, the button that mends it, and giving it up', { skip }, async () => {
  await opened.studio.queue.pause(undefined);
  const [id] = await queue('@misty comes closer.');
  const { references } = (await opened.studio.jobs.show({ id: id! })).resolved;
  const folder = join(opened.home, 'photos'),
    file = readdirSync(folder, { recursive: true, encoding: 'utf8' }).find(f => f.includes(references[0]!.sha256))!;
  renameSync(join(folder, file), join(folder, `${file}.away`));
  await opened.studio.queue.resume(undefined);
  await until('failed', async () => (await opened.studio.jobs.show({ id: id! })).status === 'failed');
  const card = page.getByRole('listitem').filter({ hasText: '@misty comes closer.' });
  const { failure } = await opened.studio.jobs.show({ id: id! });
  await card.getByText(failure!.text.slice(0, 30)).waitFor();
  assert.ok(!(await card.innerText()).includes(opened.home), 'no path of the machine');
  renameSync(join(folder, `${file}.away`), join(folder, file));
  await card.getByRole('button', { name: 'Try again' }).click();
  await until('made after all', async () => (await opened.studio.jobs.show({ id: id! })).status === 'completed');
  assert.deepEqual(opened.wrongs, []);
});

/** The processes of engines that this process has started. */
function enginesOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(pid => {
      try {
        const of = Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')[1]);
        return of === parent && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(join(root, 'electron/engine/main.ts'));
      } catch {
        return false; // it has ended meanwhile
      }
    });
}
