/** @file The window as our own program shows it, in a real browser: the real preload, messages, scheme and menu over a real library. Electron's own parts (dialogs, the file manager, drags, where a file lies) only remember what they were asked, typed by electron.d.ts. */
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import type * as electron from 'electron';
import { chromium as playwright, type Page } from 'playwright-core';
import { build } from 'vite';
import { openLibrary } from '../../../electron/cli/library.ts';
import { api } from '../../../electron/contract/api.ts';
import type { AskedOfPage } from '../../../electron/contract/bridge.ts';
import { settings } from '../../../electron/contract/records.ts';
import { client, type ClientOf } from '../../../electron/contract/rpc.ts';
import { placesOf } from '../../../electron/serve/places.ts';
import { connectWindow, glanceBy, windowAnswer, type WindowOptions } from '../../../electron/shell/ipc.ts';
import { answering, origin } from '../../../electron/shell/protocol.ts';
import { menuTemplate, type MenuAction } from '../../../electron/shell/window.ts';
import { shellWords } from '../../../electron/shell/words.ts';
import { chromium } from '../../support/chromium.ts';
import { root } from '../../support/run.ts';
import { slowDown } from './slow.ts';
import { buildWindow } from './window.ts';
import { within } from '../../support/time.ts';

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };

/** What is put into the page's world for the preload: Electron's end of it. */
interface Electronic {
  readonly ipc: (kind: 'send' | 'invoke', channel: string, said: unknown) => Promise<unknown>;
  readonly hear: (channel: string, said: unknown) => void;
  /** Where files lie, by their name. */
  readonly paths: Record<string, string>;
}

export interface OpenedShell {
  readonly home: string;
  readonly studio: ClientOf<typeof api>;
  readonly page: Page;
  /** What pages have done wrong so far, one line each; each test asserts that it is empty. */
  readonly wrongs: string[];
  /** Messages that were dropped. */
  readonly refused: string[];
  /** What dialogs will be answered, one after the other; where nothing is left they are canceled. And what they were asked. */
  readonly dialogs: {
    readonly open: string[][];
    readonly save: string[];
    readonly asked: (electron.OpenDialogOptions | electron.SaveDialogOptions)[];
  };
  readonly dragged: electron.Item[];
  readonly shown: string[];
  /** Every message that crossed into the page, as JSON. */
  readonly told: string[];
  /** Presses a line of the menu by its words, as the menu is now. */
  menu(label: string): Promise<void>;
  /** As the system hands clips in. */
  open(...paths: string[]): Promise<void>;
  /** Drops files or folders of this machine onto what a selector finds. */
  drop(selector: string, files: readonly { readonly path: string; readonly type?: string; readonly bytes?: Buffer }[]): Promise<void>;
  close(): Promise<void>;
}

/** The preload as the packages have it. */
async function preload(): Promise<string> {
  const outDir = mkdtempSync(join(tmpdir(), 'protagonist-preload-'));
  try {
    await build({ configFile: join(root, 'build/preload.config.ts'), build: { outDir } });
    return readFileSync(join(outDir, 'preload.cjs'), 'utf8');
  } finally {
    rmSync(outDir, { recursive: true, force: true });
  }
}

/** A library in a folder of its own, its window, and nothing of it served to anybody else.
 * @param options `platform`: whose menu it has; `from`: a library that is copied */
export async function openShell({ platform = 'linux', from }: { platform?: NodeJS.Platform; from?: string } = {}): Promise<OpenedShell> {
  const home = mkdtempSync(join(tmpdir(), 'protagonist-shell-window-'));
  if (from !== undefined) cpSync(from, home, { recursive: true });
  const [window, script] = [await buildWindow(), await preload()];
  const library = await openLibrary(home),
    { transport } = library,
    studio = client(api, transport),
    places = placesOf([]);
  await transport.call('queue.start', {});

  // the scheme, over HTTP: this browser knows no `app:`
  const answer = answering({ window, answer: windowAnswer(transport, places), glance: glanceBy(places) });
  const server = createServer((request, response) => {
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    const headers = new Headers();
    for (const [name, value] of Object.entries(request.headers)) if (typeof value === 'string') headers.set(name, value);
    void answer(new Request(`${origin}${request.url ?? ''}`, { method: request.method ?? 'GET', headers, signal: gone.signal })).then(
      ({ status, headers, body }) => {
        response.writeHead(status, Object.fromEntries(headers));
        if (body)
          Readable.fromWeb(body as ReadableStream).on('error', () => response.destroy()).pipe(response); // prettier-ignore
        else response.end();
      },
    );
  });
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const browser = await playwright.launch({
    executablePath: chromium!,
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--force-color-profile=srgb'],
  });
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  context.setDefaultTimeout(within(15_000));
  await slowDown(context);
  const page = await context.newPage();
  const wrongs: string[] = [],
    refused: string[] = [],
    told: string[] = [],
    shown: string[] = [],
    dragged: electron.Item[] = [],
    dialogs: OpenedShell['dialogs'] = { open: [], save: [], asked: [] };
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') wrongs.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on('pageerror', error => wrongs.push(`error: ${error.stack ?? error.message}`));
  page.on('response', response => {
    if (response.status() >= 400) wrongs.push(`${response.status()} ${response.url()}`);
  });

  // Electron's ends
  let loads = 0;
  const frameNow = () => ({ processId: 7, frameToken: `frame ${loads}`, parent: null, origin, url: `${origin}/window/index.html` });
  page.on('framenavigated', frame => {
    if (frame === page.mainFrame()) loads++;
  });
  let telling: Promise<unknown> = Promise.resolve(); // in order
  const tell = (channel: string, said: unknown) => {
    told.push(JSON.stringify(said));
    telling = telling
      .then(() =>
        page.evaluate(([to, what]) => (window as unknown as { electronic: Electronic }).electronic.hear(to, what), [
          channel,
          said,
        ] as const),
      ) // prettier-ignore
      .catch(() => undefined); // it is being loaded
  };
  type Listener = (event: electron.IpcMainEvent, ...said: unknown[]) => unknown;
  const listeners = new Map<string, Listener>();
  const ipc = {
    on: (channel: string, listener: Listener) => void listeners.set(channel, listener),
    off: (channel: string) => void listeners.delete(channel),
    handle: (channel: string, listener: Listener) => void listeners.set(channel, listener),
    removeHandler: (channel: string) => void listeners.delete(channel),
  };
  await context.exposeBinding('electronicIpc', async ({ frame }, channel: string, said: unknown) => {
    const { bytes } = (said ?? {}) as { bytes?: { base64: string } };
    const given = bytes ? { ...(said as object), bytes: new Uint8Array(Buffer.from(bytes.base64, 'base64')) } : said;
    const senderFrame = frame === page.mainFrame() ? frameNow() : null;
    const replied = await listeners.get(channel)?.({ senderFrame } as unknown as electron.IpcMainEvent, given);
    if (replied !== undefined) told.push(JSON.stringify(replied));
    return replied;
  });
  await context.addInitScript(`{
    const listeners = new Map(), paths = {};
    const encoded = said => said?.bytes instanceof Uint8Array ? { ...said, bytes: { base64: said.bytes.toBase64() } } : said;
    window.electronic = { paths, hear: (channel, said) => listeners.get(channel)?.forEach(listener => listener({}, said)) };
    const electron = {
      contextBridge: { exposeInMainWorld: (name, what) => { window[name] = what; } },
      ipcRenderer: {
        send: (channel, said) => void electronicIpc(channel, encoded(said)),
        invoke: (channel, said) => electronicIpc(channel, encoded(said)),
        on: (channel, listener) => listeners.set(channel, (listeners.get(channel) ?? new Set()).add(listener)),
        off: (channel, listener) => listeners.get(channel)?.delete(listener),
      },
      webUtils: { getPathForFile: file => paths[file.name] ?? '' },
    };
    document.addEventListener('securitypolicyviolation', e => console.error('CSP: ' + e.effectiveDirective + ' forbids ' + (e.blockedURI || 'inline') + ' at ' + e.sourceFile + ':' + e.lineNumber));
    ((require, module, exports) => { ${script} })(() => electron, {}, {});
  }`);
  const dialog = {
    showOpenDialog: (_: unknown, options: electron.OpenDialogOptions) => {
      dialogs.asked.push(options);
      const filePaths = dialogs.open.shift() ?? [];
      return Promise.resolve({ canceled: filePaths.length === 0, filePaths });
    },
    showSaveDialog: (_: unknown, options: electron.SaveDialogOptions) => {
      dialogs.asked.push(options);
      const filePath = dialogs.save.shift() ?? '';
      return Promise.resolve({ canceled: filePath === '', filePath });
    },
  } as WindowOptions['dialog'];
  const unasked: AskedOfPage[] = [];
  let hears = false;
  const ask = (said: AskedOfPage) => {
    if (hears) tell('protagonist:asked', said);
    else unasked.push(said);
  };
  page.on('request', request => {
    if (request.isNavigationRequest() && request.frame() === page.mainFrame()) hears = false;
  });
  const disconnect = connectWindow(
    ipc as unknown as electron.IpcMain,
    {
      get mainFrame() {
        return frameNow() as unknown as electron.WebFrameMain;
      },
      isDestroyed: () => false,
      send: (channel, said) => tell(channel, said),
      startDrag: item => void dragged.push(item),
    },
    {
      transport,
      version,
      places,
      home,
      window: undefined as unknown as electron.BrowserWindow, // nothing asks it
      dialog,
      shell: { showItemInFolder: path => void shown.push(path) },
      dragIcon: 'icon.png',
      words: shellWords('en', 'en').files,
      onPage: () => {
        hears = true;
        for (const said of unasked.splice(0)) tell('protagonist:asked', said);
      },
      onRefused: why => void refused.push(why),
    },
  );
  const open: OpenedShell['open'] = async (...paths) => {
    const found = await Promise.all(paths.map(path => places.admit(path)));
    ask({ opened: found.map(({ id, name }) => ({ id, name })) });
  };
  await page.goto(`${address}/window/`);
  await page.waitForSelector('main h1');

  return {
    home,
    studio,
    page,
    wrongs,
    refused,
    dialogs,
    dragged,
    shown,
    told,
    menu: async label => {
      const { shortcuts } = settings.parse(await studio.settings.show(undefined));
      const items = (of: readonly electron.MenuItemConstructorOptions[]): electron.MenuItemConstructorOptions[] =>
        of.flatMap(item => [item, ...(Array.isArray(item.submenu) ? items(item.submenu) : [])]);
      const act = (action: MenuAction) => ask({ action });
      const line = items(menuTemplate(platform, shellWords('en', 'en').menu, act, { shortcuts })).find(
        item => item.label === label && item.click,
      );
      if (!line) throw new Error(`the menu has nothing to press that is called ${label}`);
      (line.click as unknown as () => void)();
    },
    open,
    drop: async (selector, files) => {
      const all = files.map(({ path, type = '', bytes }) => ({ name: path.split('/').at(-1)!, path, type, base64: bytes?.toString('base64') ?? '' })); // prettier-ignore
      const transfer = await page.evaluateHandle(given => {
        const transfer = new DataTransfer();
        for (const { name, path, type, base64 } of given) {
          (window as unknown as { electronic: Electronic }).electronic.paths[name] = path;
          transfer.items.add(new File([Uint8Array.from(atob(base64), c => c.charCodeAt(0))], name, { type }));
        }
        return transfer;
      }, all);
      for (const type of ['dragenter', 'dragover', 'drop']) await page.dispatchEvent(selector, type, { dataTransfer: transfer });
      await transfer.dispose();
    },
    close: async () => {
      await disconnect();
      await context.close().catch(() => undefined);
      await browser.close();
      server.closeAllConnections();
      await new Promise(done => server.close(done));
      await library.close();
      places.close();
      rmSync(home, { recursive: true, force: true });
    },
  };
}
