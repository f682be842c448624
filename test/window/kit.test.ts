/** @file The kit in Debian's Chromium: contrast of all colours, axe, the policy, keys, both themes, both directions of reading. */
import { AxeBuilder } from '@axe-core/playwright';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { chromium as playwright, type Browser, type Page } from 'playwright-core';
import { build } from 'vite';
import { policies, safety } from '../../electron/serve/answers.ts';
import { filesOf, isAccepted } from '../../renderer/components/ui/files.ts';
import { chromium } from '../support/chromium.ts';
import { root } from '../support/run.ts';
import { becomes, within } from '../support/time.ts';
import { slowDown } from './support/slow.ts';

const css = readFileSync(join(root, 'renderer/app.css'), 'utf8');
type Colour = readonly [red: number, green: number, blue: number, alpha: number];
const parse = (text: string): Colour => {
  const hex = /^#([\da-f]{2})([\da-f]{2})([\da-f]{2})$/.exec(text);
  if (hex) return [...hex.slice(1).map(part => parseInt(part, 16)), 1] as unknown as Colour;
  const rgb = /^rgb\((\d+) (\d+) (\d+) \/ ([\d.]+)\)$/.exec(text);
  assert.ok(rgb, text);
  return rgb.slice(1).map(Number) as unknown as Colour;
};
/** A colour's pair of app.css. */
const pair = (name: string): readonly [light: Colour, dark: Colour] => {
  const value = new RegExp(`--${name}: ([^;]+);`).exec(css)?.[1];
  assert.ok(value, name);
  const both = /^light-dark\((.+?), ((?:#|rgb).+)\)$/.exec(value);
  return both ? [parse(both[1]!), parse(both[2]!)] : [parse(value), parse(value)];
};
const over = ([r, g, b, a]: Colour, below: Colour): Colour => {
  const mix = (one: number, other: number) => one * a + other * (1 - a);
  return [mix(r, below[0]), mix(g, below[1]), mix(b, below[2]), 1];
};
const luminance = ([r, g, b]: Colour) => {
  const linear = (value: number) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
};
const contrast = (one: Colour, other: Colour) => {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a) as [number, number];
  return (light + 0.05) / (dark + 0.05);
};

const surfaces = ['sunken', 'bg', 'surface', 'raised'];
const pairs: readonly (readonly [names: readonly string[], upon: readonly string[], least: number])[] = [
  [['text', 'text-2'], [...surfaces, 'fill', 'fill-hover', 'mat'], 4.5],
  [['accent-text', 'danger-text', 'warning-text', 'success-text'], [...surfaces, 'fill'], 4.5],
  [['text-off'], ['raised', 'surface'], 4.5],
  [['on-accent'], ['accent', 'accent-hover'], 4.5],
  [['on-danger'], ['danger', 'danger-hover'], 4.5],
  ...['accent', 'danger', 'warning', 'success'].map(tone => [[`${tone}-text`, 'text'], [`${tone}-soft`], 4.5] as const),
  [['line-control', 'focus', 'accent', 'star-line'], surfaces, 3],
];

test('every text is 4.5:1 on every surface it may lie on, control borders and the focus ring 3:1, in both themes', () => {
  for (const [names, grounds, least] of pairs)
    for (const name of names)
      for (const ground of grounds)
        for (const theme of [0, 1] as const) {
          const ratio = contrast(pair(name)[theme], pair(ground)[theme]);
          assert.ok(ratio >= least, `--${name} on --${ground}, ${theme ? 'dark' : 'light'}: ${ratio.toFixed(2)}`);
        }
  // what a pointer lies over is tinted
  for (const theme of [0, 1] as const)
    for (const tint of ['hover', 'press'])
      for (const ground of surfaces) {
        const below = over(pair(tint)[theme], pair(ground)[theme]);
        assert.ok(contrast(pair('text')[theme], below) >= 4.5 && contrast(pair('text-2')[theme], below) >= 4.5, `${tint} on ${ground}`);
      }
});

test('words on a scrim are 4.5:1 on any picture', () => {
  const white: Colour = [255, 255, 255, 1];
  assert.ok(contrast(white, over(pair('scrim')[0], white)) >= 4.5);
  // of the fade the part that words stand on: up to 56 %, where Cover begins its words
  const fade = /--scrim-fade:[^;]*rgb\(18 15 12 \/ ([\d.]+)\) 56%/.exec(css.replaceAll(/\s+/g, ' '))?.[1];
  assert.ok(contrast(white, over([18, 15, 12, Number(fade)], white)) >= 4.5);
});

test('which files are taken: by kind, by ending, all', async () => {
  const photo = { name: 'Lemon.JPG', type: 'image/jpeg' },
    heic = { name: 'fig.HEIC', type: '' },
    clip = { name: 'a.mp4', type: 'video/mp4' };
  assert.deepEqual([photo, heic, clip].map(file => isAccepted(file, ['image/*', '.heic'])), [true, true, false]); // prettier-ignore
  assert.deepEqual([photo, heic, clip].map(file => isAccepted(file, ['video/mp4'])), [false, false, true]); // prettier-ignore
  assert.ok([photo, heic, clip].every(file => isAccepted(file, [])));

  // a folder gives its entries in parts; hidden files and files that cannot be read are left out
  const file = (path: string, works = true) => ({
    name: path.split('/').at(-1)!,
    fullPath: `/${path}`,
    isFile: true,
    file: (done: (file: File) => void, failed: (e: Error) => void) =>
      works ? done(new File(['.'], path.split('/').at(-1)!)) : failed(new Error('gone')),
  });
  const folder = (path: string, parts: unknown[][]) => ({
    name: path.split('/').at(-1)!,
    fullPath: `/${path}`,
    isDirectory: true,
    createReader: () => ({ readEntries: (done: (entries: unknown[]) => void) => done(parts.shift() ?? []) }),
  });
  const items = [
    folder('trip', [
      [file('trip/10.jpg'), file('trip/.DS_Store')],
      [file('trip/2.jpg'), folder('trip/more', [[file('trip/more/a.jpg')]])],
    ]),
    file('gone.jpg', false),
    file('b.jpg'),
  ].map(entry => ({ webkitGetAsEntry: () => entry }));
  const found = await filesOf({ items, files: [] } as unknown as DataTransfer);
  assert.deepEqual(
    found.map(one => one.path),
    ['b.jpg', 'trip/2.jpg', 'trip/10.jpg', 'trip/more/a.jpg'],
  );
});

const kinds: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.woff2': 'font/woff2',
  '.jpg': 'image/jpeg',
  '.svg': 'image/svg+xml',
};

describe(
  'the showcase',
  { skip: chromium === undefined && 'there is no Chromium here: apt-get install chromium', timeout: 600_000 },
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'protagonist-kit-')),
      wrongs: string[] = [];
    let server: Server, browser: Browser, page: Page;

    before(async () => {
      const building = build({ configFile: join(import.meta.dirname, 'kit/vite.config.ts'), logLevel: 'error', build: { outDir: folder } });
      browser = await playwright.launch({ executablePath: chromium!, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
      await building;
      server = createServer(({ url = '/', headers }, response) => {
        const name = url === '/' ? 'index.html' : url.slice(1);
        try {
          const body = readFileSync(join(folder, name));
          response
            .writeHead(200, { ...safety, 'content-security-policy': policies.window(headers.host!), 'content-type': kinds[extname(name)]! })
            .end(body);
        } catch {
          response.writeHead(404).end();
        }
      });
      await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: 'reduce' });
      context.setDefaultTimeout(within(15_000));
      await context.addInitScript(() =>
        document.addEventListener('securitypolicyviolation', e =>
          console.error(`CSP: ${e.effectiveDirective} ${e.sourceFile}:${e.lineNumber}`),
        ),
      );
      await slowDown(context);
      page = await context.newPage();
      page.on('console', message => {
        if (message.type() === 'error' || message.type() === 'warning') wrongs.push(`${message.text()} ${message.location().url}`);
      });
      page.on('pageerror', error => wrongs.push(error.stack ?? error.message));
      await open();
    });
    after(async () => {
      await browser.close();
      server.close();
      rmSync(folder, { recursive: true, force: true });
    });
    const open = async (theme = 'light', dir = 'ltr') => {
      await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      await page.waitForSelector('main h1');
      await page.evaluate(
        ([theme, dir]) => {
          document.documentElement.dataset['theme'] = theme!;
          document.documentElement.dir = dir!;
        },
        [theme, dir],
      );
    };
    const focused = () =>
      page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent.trim());
    const did = () => page.locator('header output').textContent();
    // all rules take seconds for the whole page: what has come to it is looked at alone, and then how it lies in the page
    const placing = [
      'region',
      'landmark-unique',
      'landmark-no-duplicate-banner',
      'landmark-one-main',
      'aria-hidden-focus',
      'heading-order',
    ];
    const axe = async (what: string, within?: string) => {
      const builder = new AxeBuilder({ page }).setLegacyMode(); // there are no frames
      const { violations } = await (within === undefined ? builder : builder.include(within)).analyze();
      if (within !== undefined)
        violations.push(...(await new AxeBuilder({ page }).setLegacyMode().withRules(placing).analyze()).violations);
      assert.deepEqual(
        violations.map(({ id, nodes }) => `${what}: ${id}: ${nodes.map(node => node.html).join(' ')}`),
        [],
      );
    };

    const looks = [
      ['light', 'ltr'],
      ['dark', 'rtl'],
    ] as const;
    for (const [theme, dir] of looks)
      test(`axe finds nothing, ${theme} and ${dir}: page, menu within a menu, list, dialog, drawer`, async () => {
        await open(theme, dir);
        await axe('page');
        await page.getByRole('button', { name: 'Menu', exact: true }).press('Enter');
        await page.getByRole('menuitem', { name: 'Export' }).press(dir === 'rtl' ? 'ArrowLeft' : 'ArrowRight');
        await page.getByRole('menuitem', { name: 'An editor' }).waitFor();
        await axe('menu', '[role=menu]');
        await page.keyboard.press('Escape');
        await page.getByRole('menu').first().waitFor({ state: 'detached' });
        await page.locator('button[role=combobox]').first().click();
        await axe('list', '[role=listbox]');
        await page.keyboard.press('Escape');
        await page.getByRole('button', { name: 'Drawer', exact: true }).click();
        await page.getByRole('button', { name: 'Dialog', exact: true }).click();
        await axe('dialog and drawer', '[role=dialog]');
      });

    test('a menu by keyboard: opened, typed in, run; Escape gives the focus back; a right click opens it where it was', async () => {
      await open();
      const button = page.getByRole('button', { name: 'Menu', exact: true });
      await button.press('Enter');
      await page.getByRole('menu').waitFor();
      await becomes(focused, 'Use again R');
      await page.keyboard.type('all');
      await page.keyboard.press('Enter');
      await becomes(did, 'all but the seed');
      await button.press('ArrowDown');
      await page.getByRole('menuitemcheckbox', { name: 'Show the grid', checked: false }).press('Enter');
      await button.press('Enter');
      await page.getByRole('menuitemcheckbox', { name: 'Show the grid', checked: true }).waitFor();
      await page.keyboard.press('Escape');
      await page.getByRole('menu').waitFor({ state: 'detached' });
      await becomes(focused, 'Menu');
      const area = page.getByRole('button', { name: 'Right click' });
      const box = (await area.boundingBox())!;
      await area.click({ button: 'right', position: { x: 10, y: 10 } });
      const menu = page.getByRole('menu');
      await becomes(async () => Math.abs((await menu.boundingBox())!.x - box.x - 10) < 12, true, 'the menu is not where the click was');
      await page.keyboard.press('Escape');
      await page.getByRole('menu').waitFor({ state: 'detached' });
      await becomes(focused, 'Right click');
    });

    test('a list: arrows choose, what cannot be chosen is passed over', async () => {
      await open();
      const list = page.getByRole('combobox', { name: 'Checkpoint' }).first();
      await list.press('ArrowDown');
      await page.getByRole('option', { name: /^CogVideoX/ }).waitFor();
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('Enter');
      await becomes(did, 'model cog');
      await list.getByText('CogVideoX 5B').waitFor();
    });

    test('a dialog keeps the focus within and gives it back; a question stays; a drawer leaves the window in use', async () => {
      await open();
      await page.getByRole('button', { name: 'Dialog', exact: true }).click();
      await page.getByRole('dialog', { name: 'Export the clip' }).waitFor();
      await page.waitForFunction(() => document.activeElement?.getAttribute('role') === 'combobox'); // its first field, not what closes it
      for (let i = 0; i < 9; i++) {
        await page.keyboard.press('Tab');
        assert.ok(await page.evaluate(() => document.activeElement?.closest('[role=dialog]')), 'the focus left the dialog');
      }
      await page.keyboard.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'detached' });
      await becomes(focused, 'Dialog');
      await page.getByRole('button', { name: 'Question' }).click();
      const question = page.getByRole('alertdialog', { name: 'Empty the trash?' });
      await question.waitFor();
      await page.mouse.click(5, 5);
      assert.ok(await question.isVisible());
      await question.getByRole('button', { name: 'Delete 12 clips' }).click();
      await becomes(did, 'emptied');
      await page.getByRole('button', { name: 'Drawer' }).click();
      await page.getByRole('dialog', { name: 'Queue' }).waitFor();
      await page.getByRole('button', { name: 'Create clip' }).first().click();
      await becomes(did, 'create s');
      assert.ok(await page.getByRole('dialog', { name: 'Queue' }).isVisible());
    });

    test('numbers, stars, tabs and choices by keyboard, along the line of reading', async () => {
      await open('light', 'rtl');
      const seed = page.getByRole('spinbutton', { name: 'Seed' });
      await seed.press('ArrowUp');
      await seed.press('PageUp');
      await becomes(did, 'seed 22');
      await seed.fill('٤٢');
      await seed.press('Enter');
      await becomes(did, 'seed 42');
      await seed.fill('99999999999');
      await seed.blur();
      await becomes(did, 'seed 4294967295');
      await seed.fill('lemon');
      await seed.press('Enter');
      await becomes(() => seed.inputValue(), '4294967295');
      const stars = page.getByRole('slider', { name: 'Rating', exact: true });
      await stars.press('ArrowLeft'); // to the left is onward
      await becomes(did, 'stars 4');
      await stars.press('2');
      await becomes(() => stars.getAttribute('aria-valuetext'), '2 of 5 stars');
      await stars.locator('[data-star="2"]').click();
      await becomes(did, 'stars 0');
      await page.getByRole('tab', { name: 'General' }).press('ArrowLeft');
      await page.getByRole('tabpanel').getByText('storage').waitFor();
      await page.getByRole('radio', { name: 'Wide' }).press('ArrowDown');
      await becomes(did, 'shape square');
      const chip = page.getByRole('button', { name: 'Remove it' });
      await chip.press('Delete');
      await becomes(() => chip.count(), 0);
    });

    test('what is at work or disabled answers no press; what is pressed says so', async () => {
      await open();
      for (const name of ['At work', 'Disabled']) await page.getByRole('button', { name, exact: true }).first().click({ force: true });
      assert.equal(await did(), '');
      await page.getByRole('button', { name: 'Pressed', pressed: true }).first().waitFor();
      await page.getByRole('button', { name: 'At work' }).first().focus();
      await becomes(focused, 'At work', 'the focus stays on what is at work');
    });

    test('a tooltip comes by keyboard and under the pointer, goes with Escape, and lies above a dialog', async () => {
      await open();
      const tip = page.locator('.tip');
      await page.getByRole('button', { name: 'Pause' }).first().focus();
      await page.keyboard.press('Tab');
      await page.waitForSelector('.tip:popover-open');
      await becomes(() => tip.textContent(), 'Search in the library');
      await page.keyboard.press('Escape');
      await becomes(() => page.locator('.tip:popover-open').count(), 0);
      await page.getByRole('button', { name: 'With a tooltip' }).hover();
      await page.waitForSelector('.tip:popover-open');
      const [shown, button] = [(await tip.boundingBox())!, (await page.getByRole('button', { name: 'With a tooltip' }).boundingBox())!];
      assert.ok(shown.y + shown.height <= button.y && shown.x >= 0 && shown.x + shown.width <= 1280, 'above it, within the window');
      assert.equal(
        await page.getByRole('button', { name: 'With a tooltip' }).getAttribute('aria-description'),
        'What is said on hover and focus',
      );
    });

    test('files come by drop, by the picker and by paste; what does not fit is counted; a drag of the window itself is carried', async () => {
      await open();
      const zone = page.getByRole('group', { name: 'Photos' });
      const send = (kind: string, types: readonly string[], data: Record<string, string> = {}) =>
        zone.evaluate(
          (zone, { kind, types, data }) => {
            const dataTransfer = new DataTransfer();
            for (const [index, type] of types.entries())
              dataTransfer.items.add(new File(['.'], `${index}.${type.split('/')[1]!}`, { type }));
            for (const [type, text] of Object.entries(data)) dataTransfer.setData(type, text);
            const event =
              kind === 'paste'
                ? new ClipboardEvent('paste', { clipboardData: dataTransfer, bubbles: true, cancelable: true })
                : new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true });
            zone.dispatchEvent(event);
            return event.defaultPrevented;
          },
          { kind, types, data },
        );
      assert.equal(await send('dragover', []), false, 'text is none of its business');
      assert.equal(await send('dragenter', ['image/png']), true);
      await becomes(() => zone.getByText('Drop photos', { exact: true }).count(), 1);
      await send('drop', ['image/png', 'video/mp4', 'image/webp']);
      await zone.getByText('0.png, 2.webp, 1 refused').waitFor();
      await becomes(() => zone.getByText('Drop photos', { exact: true }).count(), 0);
      await send('paste', ['image/jpeg']);
      await zone.getByText('0.jpeg, 0 refused').waitFor();
      const choosing = page.waitForEvent('filechooser');
      await zone.getByRole('button', { name: 'Choose photos' }).click();
      await (await choosing).setFiles({ name: 'lemon.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('.') });
      await zone.getByText('lemon.jpg, 0 refused').waitFor();
      await open();
      await send('drop', [], { 'text/x-clip': 'c5' });
      await page.getByRole('group', { name: 'Photos' }).getByText('c5').waitFor();
    });

    test('the ring of the focus is drawn; motion stops where the person, or the system, wants none', async () => {
      await open();
      await page.keyboard.press('Tab');
      const ring = await page.evaluate(() => {
        const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(document.activeElement!);
        return { outlineStyle, outlineWidth, outlineColor };
      });
      assert.deepEqual(ring, { outlineStyle: 'solid', outlineWidth: '2px', outlineColor: 'rgb(0, 108, 84)' });
      const slow = () =>
        page.evaluate(
          () =>
            1000 *
            (CSSNumericValue.parse(getComputedStyle(document.documentElement).getPropertyValue('--slow')) as CSSUnitValue).to('s').value,
        );
      assert.equal(await slow(), 1);
      await page.emulateMedia({ reducedMotion: 'no-preference' });
      assert.equal(await slow(), 200);
      await page.evaluate(() => (document.documentElement.dataset['motion'] = 'reduced'));
      assert.equal(await slow(), 1);
      await page.emulateMedia({ reducedMotion: 'reduce' });
      await page.evaluate(() => (document.documentElement.dataset['motion'] = 'full'));
      assert.equal(await slow(), 200);
    });

    test('nothing reaches beyond the window, nothing that can be pressed is under 24 px', async () => {
      for (const dir of ['ltr', 'rtl']) {
        await open('dark', dir);
        await page.setViewportSize({ width: 1024, height: 700 });
        const { wide, small } = await page.evaluate(() => ({
          wide: document.documentElement.scrollWidth,
          small: [...document.querySelectorAll('button, a, input:not([hidden]), [role=slider], summary')]
            .map(one => (one instanceof HTMLInputElement ? (one.closest('label') ?? one.closest('span') ?? one) : one))
            .filter(one => one.checkVisibility())
            .filter(one => one.getBoundingClientRect().height < 24 && !one.matches('.title'))
            .map(one => one.outerHTML.slice(0, 120)),
        }));
        assert.ok(wide <= 1024, `${wide} px wide`);
        assert.deepEqual(small, []);
      }
    });

    test('the policy was never violated and nothing was said on the console', () => assert.deepEqual(wrongs, []));

    test('the whole showcase, with Svelte and its icons, is under 100 kB of script', () => {
      const script = /assets\/[\w-]+\.js/.exec(readFileSync(join(folder, 'index.html'), 'utf8'))![0];
      const size = gzipSync(readFileSync(join(folder, script))).length;
      assert.ok(size < 100_000, `${size} bytes`);
    });
  },
);
