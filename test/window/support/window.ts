/** @file The window in a real browser over a real host: what its tests and its pictures are made with. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium as playwright, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { build } from 'vite';
import { openLibrary } from '../../../electron/cli/library.ts';
import { api } from '../../../electron/contract/api.ts';
import { client, type ClientOf, type Transport } from '../../../electron/contract/rpc.ts';
import type { Opened as Library } from '../../../electron/contract/wire.ts';
import { serveLibrary, type Host } from '../../../electron/serve.ts';
import { chromium } from '../../support/chromium.ts';
import { root } from '../../support/run.ts';
import { within } from '../../support/time.ts';
import { slowDown } from './slow.ts';

/** The browser's program; undefined where there is none. */
export { chromium };

let built: Promise<string> | undefined;
/** The window as it is now, built once a process into a folder of its own.
 * @param folder where it goes; a temporary one, removed with the process, if not given */
export const buildWindow = (folder?: string): Promise<string> =>
  (built ??= (async () => {
    const outDir = folder ?? mkdtempSync(join(tmpdir(), 'protagonist-window-'));
    if (folder === undefined) process.on('exit', () => rmSync(outDir, { recursive: true, force: true }));
    await build({ configFile: join(root, 'renderer/vite.config.ts'), logLevel: 'warn', build: { outDir, emptyOutDir: true } });
    return outDir;
  })());

/** A library, its host, and a browser in front of it. */
export interface Opened {
  readonly home: string;
  readonly host: Host;
  readonly transport: Transport;
  readonly studio: ClientOf<typeof api>;
  readonly browser: Browser;
  /** What pages have done wrong so far, one line each: console errors, uncaught errors, violations of the policy, answers of 400 and above. Each test asserts that it is empty. */
  readonly wrongs: string[];
  /** A new page of the window, signed in, at this place.
   * @param hash `#/library`; the first start's own choice if not given
   * @param prepare what is done with it before it goes anywhere */
  page(hash?: string, options?: Parameters<Browser['newContext']>[0], prepare?: (page: Page) => Promise<unknown>): Promise<Page>;
  close(): Promise<void>;
}

/** @param options `from`: a library that is copied; `home`: one that is used as it is, and afterwards removed unless `keep`; `roots`: folders that the window may look into; `folder`: of the built window; `open`: how the library is opened, if not as every command does */
export async function openWindow({
  from,
  home = mkdtempSync(join(tmpdir(), 'protagonist-window-library-')),
  roots = [],
  folder,
  keep = false,
  open = openLibrary,
}: {
  from?: string;
  home?: string;
  roots?: readonly string[];
  folder?: string;
  keep?: boolean;
  open?: (home: string) => Promise<Pick<Library, 'transport' | 'close'>>;
} = {}): Promise<Opened> {
  if (from !== undefined) cpSync(from, home, { recursive: true });
  const window = await buildWindow(folder);
  const library = await open(home);
  const host = await serveLibrary({ transport: library.transport, port: 0, roots, window });
  await library.transport.call('queue.start', {});
  const browser = await playwright.launch({
    executablePath: chromium!,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--force-color-profile=srgb'],
  });
  const wrongs: string[] = [];
  const contexts: BrowserContext[] = [];
  return {
    home,
    host,
    transport: library.transport,
    studio: client(api, library.transport),
    browser,
    wrongs,
    page: async (hash, options = {}, prepare) => {
      const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, acceptDownloads: true, ...options });
      context.setDefaultTimeout(within(15_000));
      contexts.push(context);
      await context.addInitScript(() =>
        document.addEventListener('securitypolicyviolation', e =>
          console.error(`CSP: ${e.effectiveDirective} forbids ${e.blockedURI || 'inline'} at ${e.sourceFile}:${e.lineNumber} ${e.sample}`),
        ),
      );
      await slowDown(context);
      const page = await context.newPage();
      page.on('console', message => {
        // the door answers 401 to whoever has not shown the token yet, which its own page then does
        if (message.location().url.startsWith(`${host.origin}/#token`) || message.location().url === `${host.origin}/`) return;
        if (message.type() === 'error' || message.type() === 'warning') wrongs.push(`console: ${message.text()} ${message.location().url}`);
      });
      page.on('pageerror', error => wrongs.push(`error: ${error.stack ?? error.message}`));
      page.on('response', response => {
        if (response.status() >= 400 && !response.url().startsWith(`${host.origin}/#`) && response.url() !== `${host.origin}/`)
          wrongs.push(`${response.status()} ${response.url()}`);
      });
      await prepare?.(page);
      await page.goto(host.address);
      await page.waitForURL('**/window/**');
      if (hash !== undefined) await page.goto(`${host.origin}/window/${hash}`);
      await page.waitForSelector('main h1');
      return page;
    },
    close: async () => {
      for (const context of contexts) await context.close().catch(() => undefined);
      await browser.close();
      await host.close();
      await library.close();
      if (!keep) rmSync(home, { recursive: true, force: true });
    },
  };
}
