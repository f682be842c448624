/**
 * @file Measures the window over a large library, in a browser on this machine: how soon something is there, how smoothly it scrolls beside a page of the
 * same tiles that does nothing, by the frames that the compositor showed and by those that scripts had a say in, how many nodes and how much memory it takes, how much script it is.
 * `node test/window/bench.ts [--clips 100000] [--library DIR] [--minutes 5] [--rounds 4] [--size m]`. `--library` is filled once and kept. On an idle machine.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import type { CDPSession, Page } from 'playwright-core';
import { manyClips } from './support/many.ts';
import { framesOf, traced, wheel } from './support/trace.ts';
import { buildWindow, chromium, openWindow } from './support/window.ts';

const { values } = parseArgs({
  options: {
    clips: { type: 'string', default: '100000' },
    library: { type: 'string' },
    minutes: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '4' },
    size: { type: 'string', default: 'm' },
  },
});
/** Pixels a second: a brisk hand on a wheel, and a flight. */
const speeds = [2500, 8000];
/** Pixels that are scrolled a round. */
const distance = 20_000;

const order = (all: readonly number[]) => all.toSorted((a, b) => a - b);
const at = (all: readonly number[], part: number) => order(all)[Math.min(all.length - 1, Math.floor(all.length * part))] ?? NaN;
const ms = (n: number) => n.toFixed(1).padStart(6);
const load = () => `load ${loadavg()[0]!.toFixed(1)}`;

/** Milliseconds between the frames that were shown, as traced, and between those the page had a say in; its tasks over 50 ms. */
interface Measured {
  readonly shown: number[];
  readonly frames: number[];
  readonly tasks: number[];
  /** Shown frames that lacked something that had not been painted yet. */
  readonly lacking: number;
}
async function measured(browser: CDPSession, page: Page, work: () => Promise<unknown>): Promise<Measured> {
  await page.evaluate(() => {
    const frames: number[] = [],
      tasks: number[] = [];
    const observer = new PerformanceObserver(list => tasks.push(...list.getEntries().map(e => e.duration)));
    observer.observe({ type: 'longtask' });
    let last = performance.now(),
      on = true;
    requestAnimationFrame(function frame(now) {
      frames.push(now - last);
      last = now;
      if (on) requestAnimationFrame(frame);
    });
    Object.assign(window, {
      measured: () => {
        on = false;
        tasks.push(...observer.takeRecords().map(e => e.duration));
        observer.disconnect();
        return { frames: frames.slice(2), tasks };
      },
    });
  });
  let told!: Pick<Measured, 'frames' | 'tasks'>;
  const events = await traced(browser, async () => {
    await work();
    told = await page.evaluate(() => (window as unknown as { measured: () => typeof told }).measured());
  });
  const drawn = framesOf(events);
  return {
    ...told,
    shown: drawn.slice(1).map((time, i) => time - drawn[i]!),
    lacking: events.filter(
      ({ name, args }) =>
        name === 'PipelineReporter' &&
        args?.frame_reporter?.has_missing_content === true &&
        args.frame_reporter.state?.startsWith('STATE_PRESENTED'),
    ).length,
  };
}
const settled = (page: Page) =>
  page.waitForFunction(() => {
    const box = document.querySelector('.scroller')!.getBoundingClientRect();
    const tiles = [...document.querySelectorAll('.scroller [data-clip]')].filter(tile => {
      const { top, bottom } = tile.getBoundingClientRect();
      return bottom > box.top && top < box.bottom;
    });
    return tiles.length > 0 && tiles.every(tile => tile.querySelector<HTMLImageElement>('img.poster')?.complete);
  });

if (chromium === undefined) throw new Error('there is no chromium on this machine: apt-get install chromium');
const home = values.library ?? mkdtempSync(join(tmpdir(), 'protagonist-bench-'));
const clips = Number(values.clips);
const folder = mkdtempSync(join(tmpdir(), 'protagonist-bench-window-'));
console.log(`${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores, Node ${process.versions.node}, ${load()}`);
await manyClips(home, { clips, subjects: 40 });
await buildWindow(folder);
const opened = await openWindow({ home, folder, keep: values.library !== undefined });
try {
  await opened.studio.settings.edit({ welcomed: true, language: 'en', theme: 'light' });
  console.log(`${opened.browser.version()}, ${(await opened.studio.clips.index({})).ids.length} clips`);

  // script
  const gzipped = (names: readonly string[]) =>
    names.reduce((n, name) => n + gzipSync(readFileSync(join(folder, 'assets', name))).length, 0) / 1000;
  const scripts = readdirSync(join(folder, 'assets')).filter(name => name.endsWith('.js'));
  const workers = scripts.filter(name => /worker/i.test(name));
  console.log(
    `script, gzip: ${gzipped(scripts).toFixed(0)} kB in all (${scripts.length} files${workers.length ? `, ${gzipped(workers).toFixed(0)} kB of it workers` : ''})`,
  );

  // how soon
  const address = `${opened.host.origin}/window/#/library`;
  const start = async (context: Awaited<ReturnType<typeof opened.browser.newContext>>) => {
    const page = await context.newPage();
    await page.addInitScript(size => {
      localStorage.setItem('protagonist.tiles', size);
      const times: Record<string, number> = {};
      Object.assign(window, { times });
      requestAnimationFrame(function look() {
        const tiles = [...document.querySelectorAll<HTMLElement>('.scroller [data-clip]')].filter(
          tile => tile.getBoundingClientRect().top < innerHeight,
        );
        const there = tiles.filter(tile => {
          const image = tile.querySelector<HTMLImageElement>('img.poster');
          return image?.complete && image.naturalWidth > 0 && getComputedStyle(image).visibility === 'visible';
        }).length;
        if (there > 0) times['first'] ??= performance.now();
        if (tiles.length > 0 && there === tiles.length) times['all'] ??= performance.now();
        else requestAnimationFrame(look);
      });
    }, values.size);
    await page.goto(address, { waitUntil: 'commit' });
    await page.waitForFunction(() => (window as unknown as { times: Record<string, number> }).times['all'] !== undefined);
    const told = await page.evaluate(() => ({
      ...(window as unknown as { times: Record<string, number> }).times,
      paint: performance.getEntriesByName('first-paint')[0]?.startTime ?? NaN,
      scripts: performance.getEntriesByType('resource').map(e => e.name).filter(name => name.endsWith('.js')).map(name => name.split('/').at(-1)!),
    })) as { first: number; all: number; paint: number; scripts: string[] }; // prettier-ignore
    await page.close();
    return told;
  };
  const cold: Awaited<ReturnType<typeof start>>[] = [],
    warm: typeof cold = [];
  for (let i = 0; i < 7; i++) {
    const context = await opened.browser.newContext({ viewport: { width: 1440, height: 900 } });
    await context.request.post(`${opened.host.origin}/session`, {
      headers: { authorization: `Bearer ${opened.host.token}`, 'content-type': 'application/json', 'x-protagonist': '1' },
      data: '{}',
    });
    cold.push(await start(context));
    warm.push(await start(context));
    await context.close();
  }
  console.log(`script, gzip: ${gzipped(cold[0]!.scripts).toFixed(0)} kB for the first view (${cold[0]!.scripts.length} files)`);
  for (const [name, all] of [['cold', cold], ['kept files', warm]] as const)
    for (const what of ['paint', 'first', 'all'] as const)
      console.log(`${name.padEnd(11)} ${{ paint: 'shell painted', first: 'first cover', all: 'all covers in sight' }[what].padEnd(20)} median ${ms(at(all.map(a => a[what]), 0.5))} worst ${ms(Math.max(...all.map(a => a[what])))} ms`); // prettier-ignore
  console.log(load());

  // how smoothly, beside a page of the same tiles that does nothing
  const records = [];
  for (const { ids } = await opened.studio.clips.index({}); records.length < Math.min(1200, ids.length);)
    records.push(...(await opened.studio.clips.some({ ids: ids.slice(records.length, records.length + 200) })).clips);
  const grid = async () => {
    const page = await opened.page('#/library');
    await page.evaluate(size => localStorage.setItem('protagonist.tiles', size), values.size);
    await page.reload();
    await page.waitForSelector('.scroller [data-clip]');
    await settled(page);
    return { page, session: await page.context().newCDPSession(page) };
  };
  const virtual = await grid(),
    quiet = await grid();
  await quiet.page.evaluate(
    async all => {
      const scroller = document.querySelector<HTMLElement>('.scroller')!,
        old = scroller.querySelector('.clip-row')!,
        columns = old.children.length,
        holder = scroller.parentElement!,
        copy = scroller.cloneNode(false) as HTMLElement,
        inner = scroller.firstElementChild!.cloneNode(false) as HTMLElement;
      for (let from = 0; from + columns <= all.length; from += columns) {
        const row = old.cloneNode(true) as HTMLElement;
        row.removeAttribute('style');
        for (const [i, cell] of [...row.children].entries()) {
          const clip = all[from + i]!,
            tile = cell.querySelector('a')!;
          tile.href = `#/library/${clip.id}`;
          tile.querySelector<HTMLImageElement>('img.poster')!.dataset['there'] = '';
          tile.querySelector<HTMLImageElement>('img.poster')!.src = `/media/${clip.id}/poster?v=${clip.sha256}`;
          tile.querySelector('.name')!.textContent = clip.name;
        }
        inner.append(row);
      }
      copy.append(inner);
      document.body.replaceChildren(holder.cloneNode(false));
      const stage = document.body.firstElementChild as HTMLElement;
      Object.assign(stage.style, { height: '100vh' });
      stage.append(copy);
      await Promise.all([...copy.querySelectorAll('img')].map(image => image.decode().catch(() => undefined)));
    },
    records.map(({ id, name, sha256 }) => ({ id, name, sha256 })),
  );
  const browser = await opened.browser.newBrowserCDPSession();
  const round = async ({ page, session }: typeof virtual, speed: number, back: boolean) => {
    await page.bringToFront();
    await page.waitForTimeout(400);
    return measured(browser, page, () => wheel(session, back ? -distance : distance, speed));
  };
  for (const speed of speeds) {
    const pairs: { virtual: Measured; quiet: Measured }[] = [];
    for (let i = 0; i < Number(values.rounds); i++) {
      // the grid goes ever further, where nothing has been loaded; the other page goes back and forth
      const one = await round(virtual, speed, false);
      pairs.push({ virtual: one, quiet: await round(quiet, speed, i % 2 === 1) });
    }
    for (const which of ['virtual', 'quiet'] as const) {
      const tasks = pairs.flatMap(p => p[which].tasks),
        name = `${String(speed).padStart(5)} px/s ${which === 'virtual' ? 'grid  ' : 'static'}`;
      for (const kind of ['shown', 'frames'] as const) {
        const all = pairs.flatMap(p => p[which][kind]);
        console.log(`${name} ${kind === 'shown' ? 'shown ' : 'script'} ${String(all.length).padStart(5)} frames, p50 ${ms(at(all, 0.5))} p95 ${ms(at(all, 0.95))} p99 ${ms(at(all, 0.99))} worst ${ms(Math.max(...all))} ms`); // prettier-ignore
      }
      console.log(`${name} ${tasks.length} tasks over 50 ms${tasks.length ? `, worst ${Math.max(...tasks).toFixed(0)}` : ''}; ${pairs.reduce((n, p) => n + p[which].lacking, 0)} frames shown with something missing`); // prettier-ignore
    }
    const ratios = pairs.map(p => at(p.virtual.shown, 0.95) / at(p.quiet.shown, 0.95));
    console.log(`${String(speed).padStart(5)} px/s p95 of the frames shown, grid / static, round by round: ${ratios.map(r => r.toFixed(2)).join(' ')}; median ${at(ratios, 0.5).toFixed(2)}; ${load()}`); // prettier-ignore
  }
  await quiet.page.context().close();

  // how much: nodes and memory while somebody looks at all of it
  const { page, session } = virtual;
  const nodes = { elements: 0, all: 0 },
    heaps: { minute: number; after: number }[] = [];
  let most = 0;
  const until = Date.now() + Number(values.minutes) * 60_000;
  await session.send('HeapProfiler.enable');
  for (let i = 0, began = Date.now(), next = 0; ; i++) {
    const minute = (Date.now() - began) / 60_000;
    if (minute >= next) {
      await session.send('HeapProfiler.collectGarbage');
      heaps.push({ minute, after: (await session.send('Runtime.getHeapUsage')).usedSize / 1e6 });
      next += Math.min(0.5, Number(values.minutes) / 10);
    }
    if (Date.now() > until) break;
    await wheel(session, i % 7 === 6 ? -9000 : 12_000, i % 3 === 0 ? 12_000 : 5000);
    // a hand on the scroll bar goes anywhere
    if (i % 5 === 4) await page.evaluate(part => document.querySelector('.scroller')!.scrollTo(0, part * document.querySelector('.scroller')!.scrollHeight), Math.random()); // prettier-ignore
    const told = await page.evaluate(() => {
      const walker = document.createTreeWalker(document, NodeFilter.SHOW_ALL);
      let n = 1;
      while (walker.nextNode()) n++;
      return { elements: document.getElementsByTagName('*').length, all: n };
    });
    nodes.elements = Math.max(nodes.elements, told.elements);
    nodes.all = Math.max(nodes.all, told.all);
    most = Math.max(most, (await session.send('Runtime.getHeapUsage')).usedSize / 1e6);
  }
  const kept = heaps.map(h => h.after);
  console.log(`nodes at most: ${nodes.elements} elements, ${nodes.all} with texts and comments`);
  console.log(
    `heap at most ${most.toFixed(1)} MB; after collection, over ${values.minutes} minutes: ${kept.map(h => h.toFixed(1)).join(' ')} MB`,
  );
  console.log(`${opened.wrongs.length} wrong${opened.wrongs.length ? `: ${opened.wrongs.slice(0, 5).join('; ')}` : ''}; ${load()}`);
} finally {
  await opened.close();
  rmSync(folder, { recursive: true, force: true });
}
