/** @file Pictures of the window: `node test/window/support/look.ts --out DIR --routes '#/subjects,#/library' [--fill] [--dark] [--size 1024x700] [--lang ar] [--click SELECTOR] [--wait MS]`. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { languages } from '../../../electron/contract/records.ts';
import { filledLibrary } from './filled.ts';
import { openWindow } from './window.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: '/tmp/look' },
    routes: { type: 'string', default: '#/subjects,#/create,#/library,#/settings' },
    size: { type: 'string', default: '1440x900' },
    lang: { type: 'string', default: 'en' },
    click: { type: 'string', multiple: true, default: [] },
    wait: { type: 'string', default: '600' },
    fill: { type: 'boolean', default: false },
    dark: { type: 'boolean', default: false },
  },
});
const { out, routes, size, lang, click, wait, fill, dark } = values;
mkdirSync(out, { recursive: true });
const opened = await openWindow({ ...(fill && { from: await filledLibrary() }), folder: join(out, 'built') });
try {
  await opened.studio.settings.edit({ language: languages.find(l => l === lang) ?? 'en', theme: dark ? 'dark' : 'light' });
  const [width = 1440, height = 900] = size.split('x').map(Number);
  for (const route of routes.split(',')) {
    const page = await opened.page(route, { viewport: { width, height } });
    await page.waitForTimeout(Number(wait));
    for (const selector of click) {
      await page.click(selector);
      await page.waitForTimeout(400);
    }
    const name = `${route.replace(/^#\//, '').replaceAll(/[^\w-]+/g, '-') || 'start'}${dark ? '-dark' : ''}-${size}${lang === 'en' ? '' : `-${lang}`}.png`;
    await page.screenshot({ path: join(out, name) });
    console.log(join(out, name));
    await page.context().close();
  }
  for (const wrong of opened.wrongs) console.log(`WRONG ${wrong}`);
} finally {
  await opened.close();
}
