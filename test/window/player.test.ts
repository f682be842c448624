/** @file One clip and several, out of the library: which frame is seen is known from its own colour, not from what the player says. */
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Download, Page } from 'playwright-core';
import type { ClipId } from '../../electron/contract/ids.ts';
import type { Clip, Exported } from '../../electron/contract/records.ts';
import { probe } from '../../electron/media/probe.ts';
import { randoms } from '../support/random.ts';
import { becomes } from '../support/time.ts';
import { countedLibrary, frameOf, type Wanted } from './support/counted.ts';
import { chromium, openWindow, type Opened } from './support/window.ts';

const skip = chromium === undefined && 'there is no chromium on this machine: apt-get install chromium';

/** Rates from the lowest to the highest that the engine takes, and those that clocks round. */
const rates = [8, 1, 12, 23.976, 60, 120];
const wanted: readonly Wanted[] = [
  ...rates.map(fps => ({ seed: 1, fps, numFrames: 17 })),
  { seed: 3, fps: 12, numFrames: 49, steps: 5 },
  { seed: 4, fps: 12, numFrames: 25 },
  { seed: 5, fps: 8, numFrames: 9, width: 96, height: 96 },
  // more than a player holds: 27 frames of it
  { seed: 2, fps: 16, numFrames: 33, width: 1600, height: 1088 },
];
const seed = Number(process.env['SEED'] ?? Date.now() % 1e6);
const random = randoms(seed);
const below = (n: number) => Math.floor(random() * n);

let opened: Opened, page: Page, clips: readonly ClipId[];
/** A clip by its place in `wanted`. */
const clipAt = (i: number) => clips[i]!;
const short = 0,
  [slow, other, square, large] = [0, 1, 2, 3].map(i => rates.length + i) as [number, number, number, number];

before(
  async () => {
    if (skip) return;
    const home = mkdtempSync(join(tmpdir(), 'protagonist-player-'));
    clips = await countedLibrary(home, wanted);
    opened = await openWindow({ home });
    page = await opened.page('#/library', { reducedMotion: 'reduce' });
  },
  { timeout: 600_000 },
);
after(async () => {
  if (!skip) await opened.close();
});

/** What is seen, read from the middle of each picture. */
const seen = (on = page) =>
  on.evaluate(() => {
    const pixel = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true })!;
    return [...document.querySelectorAll<HTMLCanvasElement>('canvas[data-frame]')].map(canvas => {
      pixel.drawImage(canvas, canvas.width >> 1, canvas.height >> 1, 1, 1, 0, 0, 1, 1);
      const [red = 0, green = 0, blue = 0] = pixel.getImageData(0, 0, 1, 1).data;
      return { said: Number(canvas.dataset['frame']), colour: [red, green, blue] as [number, number, number] };
    });
  });
const go = (hash: string, on = page) => on.evaluate(to => void (location.hash = to), hash);
/** Waits until the one picture that is shown says that it is this frame. */
const shows = (n: number, on = page) =>
  on.waitForFunction(frame => document.querySelector<HTMLCanvasElement>('canvas[data-frame]')?.dataset['frame'] === String(frame), n, {
    timeout: 120_000,
  });
async function open(id: ClipId, on = page): Promise<void> {
  await go('#/library', on);
  await on.waitForFunction(() => !document.querySelector('canvas[data-frame]'));
  await go(`#/library/${id}`, on);
  await shows(0, on);
}
async function click(n: number, of: number, on = page): Promise<void> {
  // what has happened may be said just where somebody presses
  for (const note of await on.locator('section[aria-label=Messages] button[aria-label=Close]').all())
    await note.click({ timeout: 1000 }).catch(() => undefined);
  const box = (await on.locator('[role=slider][aria-label=Position]').locator('..').boundingBox())!;
  await on.mouse.click(box.x + ((n + 0.5) / of) * box.width, box.y + box.height / 2);
  await shows(n, on);
}
const isFrame = async (n: number, on = page, why = '') => {
  const [picture] = await seen(on);
  assert.deepEqual(
    { said: picture!.said, n: frameOf(picture!.colour).n },
    { said: n, n },
    `${why} seed ${seed}: ${JSON.stringify(picture)}`,
  );
};
async function until(is: () => Promise<boolean>): Promise<void> {
  for (let left = 200; left > 0 && !(await is()); left--) await new Promise(done => setTimeout(done, 50));
}
const nothingWrong = () => assert.deepEqual(opened.wrongs.splice(0), []);
/** The clip that an export becomes. */
async function cameOf(since: readonly ClipId[]): Promise<Clip> {
  for (let left = 400; left > 0; left--, await new Promise(done => setTimeout(done, 50))) {
    const { ids } = await opened.studio.clips.index({});
    const id = ids.find(one => !since.includes(one));
    if (id !== undefined) return opened.studio.clips.show({ id });
  }
  const { exports } = await opened.studio.exports.list({});
  throw new Error(`no clip has come: ${JSON.stringify(exports.map(e => [e.status, e.failure]))}`);
}

async function exact(id: ClipId, frames: number, on: Page, why: string): Promise<number> {
  await open(id, on);
  let at = 0,
    looks = 0;
  const look = async () => {
    await isFrame(at, on, why);
    looks++;
  };
  await look();
  for (let i = 0; i < 4; i++) {
    at = 1 + below(frames - 2);
    await click(at, frames, on);
    await look();
    for (const key of ['ArrowRight', 'ArrowLeft', ',', '.']) {
      at = Math.min(Math.max(at + (key === 'ArrowRight' || key === '.' ? 1 : -1), 0), frames - 1);
      await on.keyboard.press(key);
      await shows(at, on);
      await look();
    }
  }
  for (const [key, n] of [['End', frames - 1], ['Home', 0]] as const) {
    await on.keyboard.press(key);
    await shows((at = n), on);
    await look();
  }
  return looks;
} // prettier-ignore

describe('a clip', { skip }, () => {
  test('each frame is the one that was asked for, at every rate, by WebCodecs', async t => {
    let looks = 0;
    for (const [i, fps] of rates.entries()) looks += await exact(clipAt(i), 17, page, `${fps} fps:`);
    t.diagnostic(`${looks} frames looked at, ${rates.length} rates, seed ${seed}`);
    nothingWrong();
  });

  test('and by a video element where there is no decoder', async t => {
    const without = await opened.page('#/library', { reducedMotion: 'reduce' });
    await without.context().addInitScript(() => delete (globalThis as { VideoDecoder?: unknown }).VideoDecoder);
    await without.reload();
    await without.waitForSelector('main h1');
    let looks = 0;
    for (const fps of [1, 23.976, 120]) looks += await exact(clipAt(rates.indexOf(fps)), 17, without, `${fps} fps in <video>:`);
    assert.equal(await without.evaluate(() => 'VideoDecoder' in globalThis), false);
    await without.context().close();
    t.diagnostic(`${looks} frames looked at`);
    nothingWrong();
  });

  test('stands still where motion is reduced, plays by itself elsewhere; Space and K', async () => {
    await open(clipAt(short));
    await page.waitForTimeout(400);
    await isFrame(0);
    const moving = await opened.page(`#/library/${clipAt(short)}`, { reducedMotion: 'no-preference' });
    await moving.waitForFunction(() => Number(document.querySelector<HTMLCanvasElement>('canvas[data-frame]')?.dataset['frame'] ?? 0) > 1);
    await moving.context().close();
    await page.keyboard.press('Space');
    await page.waitForFunction(() => Number(document.querySelector<HTMLCanvasElement>('canvas[data-frame]')!.dataset['frame']) > 2);
    await page.keyboard.press('k');
    const [first] = await seen();
    await page.waitForTimeout(300);
    const [second] = await seen();
    assert.equal(second!.said, first!.said);
    assert.equal(frameOf(second!.colour).n, second!.said);
    nothingWrong();
  });

  test('plays a part over and over, and once', async () => {
    await open(clipAt(short));
    await click(3, 17);
    await page.keyboard.press('i');
    await click(6, 17);
    await page.keyboard.press('o');
    await page.keyboard.press('Space');
    const met = new Set<number>();
    for (let i = 0; i < 40 && met.size < 4; i++, await page.waitForTimeout(60)) {
      const [picture] = await seen();
      assert.equal(frameOf(picture!.colour).n, picture!.said);
      met.add(picture!.said);
    }
    assert.deepEqual([...met].toSorted(), [3, 4, 5, 6], 'only the part, all of it');
    await page.keyboard.press('r'); // no longer over and over
    await page.waitForSelector('button[aria-label=Play]');
    await shows(6);
    await page.keyboard.press('x');
    await page.waitForSelector('text=Trim to a new clip', { state: 'detached' });
    nothingWrong();
  });

  test('a frame is saved as the host has it, begins a clip, becomes a photo', async () => {
    const id = clipAt(slow);
    await open(id);
    await click(20, 49);
    const [saved] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('s')]);
    const { base64 } = await opened.studio.clips.frame({ id, frame: 20 });
    assert.ok(readFileSync(await saved.path()).equals(Buffer.from(base64, 'base64')), 'the very bytes of clips.frame');
    await page.click('text=Use as subject photo');
    await page.fill('[role=dialog] input', 'A counted frame');
    await page.keyboard.press('Enter');
    await page.waitForSelector('[role=dialog]', { state: 'detached' });
    const { subjects } = await opened.studio.subjects.list({ search: 'counted' });
    assert.equal(subjects[0]?.photos.length, 1);
    await page.click('text=Begin a clip with it');
    await page.waitForFunction(() => location.hash.startsWith('#/create'));
    const kept = await page.evaluate(() => sessionStorage.getItem('protagonist.draft'));
    const { startImage } = (JSON.parse(kept!) as { draft: { startImage: `i${number}` | null } }).draft;
    assert.equal((await opened.studio.pictures.show({ id: startImage! })).width, 64);
    nothingWrong();
  });

  test('is named, starred, tagged and thrown away by keys alone, each with a way back', async () => {
    const id = clipAt(other);
    await open(id);
    await page.keyboard.press('F2');
    await page.waitForSelector('input[aria-label=Name]:focus');
    await page.keyboard.type('Counted by keys');
    await page.keyboard.press('Enter');
    await page.waitForSelector('h1:has-text("Counted by keys")');
    await page.getByLabel('Add a tag').focus();
    await page.keyboard.type('numbers');
    await page.keyboard.press('Enter');
    await page.waitForSelector('[aria-label=Tags] :text("numbers")');
    await page.locator('[aria-label=Stars]').focus();
    await page.keyboard.press('4');
    await page.waitForFunction(() => document.querySelector('[aria-label=Stars]')?.getAttribute('aria-valuenow') === '4');
    const now = async () => {
      const { name, tags, stars, trashed } = await opened.studio.clips.show({ id });
      return [name, tags, stars, trashed];
    };
    await becomes(now, ['Counted by keys', ['numbers'], 4, false]);
    await page.evaluate(() => (document.activeElement as HTMLElement).blur());
    await page.keyboard.press('Delete');
    await page.waitForFunction(gone => location.hash !== `#/library/${gone}`, id);
    await becomes(now, ['Counted by keys', ['numbers'], 4, true]);
    for (let i = 0; i < 4; i++) await page.keyboard.press('Control+z'); // each waits for the one before
    await until(async () => (await opened.studio.clips.show({ id })).name !== 'Counted by keys');
    await becomes(async () => (await now()).slice(1), [[], 0, false]);
    nothingWrong();
  });

  test('a part becomes a clip of its own, frame for frame', async () => {
    const { ids } = await opened.studio.clips.index({});
    await open(clipAt(slow));
    await click(10, 49);
    await page.keyboard.press('i');
    await click(15, 49);
    await page.keyboard.press('o');
    await page.click('text=Trim to a new clip');
    const made = await cameOf(ids);
    assert.deepEqual([made.numFrames, made.parents], [6, [clipAt(slow)]]);
    await open(made.id);
    for (let n = 0; n < 6; n++) {
      if (n > 0) await page.keyboard.press('ArrowRight');
      await shows(n);
      assert.equal(frameOf((await seen())[0]!.colour).n, 10 + n);
    }
    nothingWrong();
  });
});

describe('clips in step', { skip }, () => {
  /** The ticks of the common clock at which each clip would show what it shows. */
  const ticks = (shown: readonly number[], kinds: readonly Wanted[]) => {
    const fps = Math.max(...kinds.map(k => k.fps)),
      count = Math.round(Math.max(...kinds.map(k => k.numFrames / k.fps)) * fps);
    return Array.from({ length: count }, (_, m) => m).filter(m =>
      kinds.every(({ fps: own, numFrames }, i) => Math.min(Math.floor((m * own) / fps + 1e-6), numFrames - 1) === shown[i]),
    );
  };
  for (const places of [
    [short, slow],
    [slow, other],
    [short, slow, other, square],
  ]) {
    const kinds = places.map(i => wanted[i]!);
    test(`the same moment in each of ${kinds.map(k => `${k.numFrames} at ${k.fps}`).join(', ')}`, async t => {
      await go(`#/library/compare?ids=${places.map(clipAt).join()}`);
      await page.waitForFunction(n => document.querySelectorAll('canvas[data-frame]').length === n, places.length);
      await page.locator('[aria-label="Position"]').focus();
      await page.keyboard.press('k');
      const met = new Set<string>();
      for (let i = 0; i < 20; i++) {
        await page.waitForTimeout(below(180));
        if (i === 14) await page.keyboard.press('k'); // and the last ones in leaps
        if (i > 14) await page.keyboard.press(['Home', 'End', 'PageUp', 'PageDown', 'ArrowLeft'][below(5)]!);
        const shown = await seen();
        const frames = shown.map(({ colour, said }, k) => {
          const { n, seed: whose } = frameOf(colour);
          assert.deepEqual([n, whose], [said, kinds[k]!.seed]);
          return n;
        });
        assert.ok(ticks(frames, kinds).length > 0, `no moment has ${frames.join()} (seed ${seed})`);
        met.add(frames.join());
      }
      assert.ok(met.size > 5, `it moves: ${[...met].join(' ')}`);
      t.diagnostic(`${met.size} different moments: ${[...met].join(' ')}`);
      nothingWrong();
    }); // prettier-ignore
  }

  test('a wipe by keys, one after the other by B, what differs in a table', async () => {
    await go(`#/library/compare?ids=${clipAt(slow)},${clipAt(other)}`);
    const divider = page.getByRole('slider', { name: 'Divider' });
    await divider.focus();
    await page.keyboard.press('Home');
    assert.equal(await divider.getAttribute('aria-valuenow'), '0');
    await page.keyboard.press('ArrowRight');
    assert.equal(await divider.getAttribute('aria-valuenow'), '2');
    await page.keyboard.press('b');
    await page.waitForSelector('.one');
    const visible = () => page.locator('.one figure').evaluateAll(all => all.map(f => getComputedStyle(f).visibility));
    assert.deepEqual(await visible(), ['hidden', 'visible']);
    await page.keyboard.press('b');
    assert.deepEqual(await visible(), ['visible', 'hidden']);
    const rows = await page.locator('table tbody tr').evaluateAll(all => all.map(row => [...row.children].map(cell => cell.textContent)));
    assert.deepEqual(
      rows.map(([name]) => name),
      ['Prompt', 'Seed', 'Steps', 'Length'],
    );
    assert.deepEqual(rows[1], ['Seed', '3', '4']);
    nothingWrong();
  });

  test('the one that is chosen is starred, the others are thrown away, and all of it comes back', async () => {
    await go(`#/library/compare?ids=${clipAt(short)},${clipAt(square)}`);
    await page.click('button:has-text("Choose") >> nth=1');
    await page.waitForFunction(id => location.hash === `#/library/${id}`, clipAt(square));
    const both = async () => (await opened.studio.clips.some({ ids: [clipAt(short), clipAt(square)] })).clips.map(c => [c.trashed, c.stars]);
    assert.deepEqual(await both(), [[true, 0], [false, 5]]);
    await page.keyboard.press('Control+z');
    await until(async () => (await both())[1]![1] === 0);
    assert.deepEqual(await both(), [[false, 0], [false, 0]]);
    nothingWrong();
  }); // prettier-ignore
});

describe('on the way out', { skip }, () => {
  test('joined in an order that keys change', async () => {
    const { ids } = await opened.studio.clips.index({});
    await go(`#/library/compare?ids=${clipAt(short)},${clipAt(square)}`);
    await page.click('button:has-text("Join")');
    const rows = page.locator('[role=dialog] ol > li');
    await rows.nth(0).focus();
    await page.keyboard.press('Alt+ArrowDown');
    await page.waitForFunction(() => document.querySelectorAll('[role=dialog] ol > li')[1] === document.activeElement);
    await page.waitForSelector('[role=dialog] canvas');
    await page.click('[role=dialog] button:has-text("Make the clip"):not([disabled])');
    const made = await cameOf(ids);
    assert.deepEqual([made.numFrames, made.width, made.parents], [26, 96, [clipAt(square), clipAt(short)]]);
    await page.keyboard.press('Escape');
    await open(made.id);
    for (const n of [0, 8, 9, 25]) {
      await click(n, 26);
      const { n: own, seed: whose } = frameOf((await seen())[0]!.colour);
      assert.deepEqual([own, whose], n < 9 ? [n, 5] : [n - 9, 1]);
    }
    nothingWrong();
  });

  test('a film that is more than what is held is exact too', async t => {
    await open(clipAt(large));
    let looks = 1;
    for (let i = 0; i < 5; i++) {
      let at = 4 + below(25);
      await click(at, 33);
      await isFrame(at);
      for (const key of ['ArrowLeft', 'ArrowLeft', 'ArrowRight']) {
        await page.keyboard.press(key);
        await shows((at += key === 'ArrowLeft' ? -1 : 1));
        await isFrame(at);
        looks++;
      }
    }
    for (const [key, n] of [['End', 32], ['Home', 0]] as const) {
      await page.keyboard.press(key);
      await shows(n);
      await isFrame(n);
      looks++;
    }
    t.diagnostic(`${looks} frames looked at`);
    nothingWrong();
  }); // prettier-ignore

  test('exported with options, downloaded whole; another one canceled', async t => {
    await open(clipAt(slow));
    await page.keyboard.press('e');
    await page.waitForSelector('text=64 × 48');
    await page.getByLabel('There and back').check();
    await page.waitForSelector('text=96 frames');
    await page.getByRole('dialog').getByRole('button', { name: 'Export', exact: true }).click();
    const downloads: Download[] = [];
    page.on('download', one => downloads.push(one));
    await page.click('[role=dialog] li button:has-text("Download")', { timeout: 120_000 });
    const [got] = downloads.length > 0 ? downloads : [await page.waitForEvent('download')];
    assert.match(got!.suggestedFilename(), /\.mp4$/);
    const probed = await probe(await got!.path());
    assert.deepEqual([probed.width, probed.height, probed.frames], [64, 48, 96]);
    t.diagnostic(`${readFileSync(await got!.path()).length} bytes`);

    // a picture in another shape is shown before it is made
    await page.check('[role=dialog] input[value=socialTall]');
    await page.waitForSelector('[aria-label="The bright part stays, the dark part is cut away."]');
    // one that takes long
    await page.check('[role=dialog] input[value=chat50]');
    await page.getByLabel('Times it is played').fill('100');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').getByRole('radio', { name: '4×', exact: true }).check();
    await page.waitForSelector('text=256 × 192');
    await page.getByRole('dialog').getByRole('button', { name: 'Export', exact: true }).click();
    await page.waitForSelector('[role=dialog] li [role=progressbar]');
    await page.click('[role=dialog] li button:has-text("Cancel")');
    await page.waitForSelector('[role=dialog] li :text("canceled")');
    let all: Exported[] = [];
    for (let left = 400; left > 0 && all[0]?.status !== 'canceled'; left--, await page.waitForTimeout(50))
      all = (await opened.studio.exports.list({ clip: clipAt(slow) })).exports;
    assert.equal(all[0]?.status, 'canceled');
    await page.keyboard.press('Escape');
    nothingWrong();
  });

  test('a clip whose file is gone is found again by its file', async () => {
    const id = clipAt(0),
      { path } = await opened.studio.media.locate({ id }),
      elsewhere = join(mkdtempSync(join(tmpdir(), 'protagonist-moved-')), 'moved.mp4');
    renameSync(path, elsewhere);
    const fresh = await opened.page(`#/library/${id}`, { reducedMotion: 'reduce' });
    await fresh.waitForSelector('text=not in the library any more');
    await fresh.setInputFiles('input[type=file]:not([webkitdirectory])', elsewhere);
    await shows(0, fresh);
    await isFrame(0, fresh);
    assert.equal((await opened.studio.clips.show({ id })).missing, false);
    await fresh.context().close();
    nothingWrong();
  });
});
