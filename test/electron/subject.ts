/**
 * @file What the checklist looks at: the sources, what their modules give, and the app as it starts over an Electron that only remembers. All of it can be had with some of the
 * sources changed, so that each check can be shown to refuse something: the changed text is what is parsed, what is loaded and what starts.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, globSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type * as Electron from 'electron';
import type { Bridge } from '../../electron/contract/bridge.ts';
import type * as Start from '../../electron/shell/start.ts';
import { fakeElectron, type Fake, type FakeWindow } from '../support/electron.ts';
import { root } from '../support/run.ts';
import { readSources, type Sources } from './lint.ts';

/** A change of one source: its text, from and to. */
export type Edit = readonly [file: string, from: string, to: string];

/** The app, started. */
export interface Started {
  readonly fake: Fake;
  /** Its first window, where it made one. */
  readonly window: FakeWindow | undefined;
  /** That window's contents, as the app's handlers compare them. */
  readonly contents: Electron.WebContents | undefined;
}
/** What a preload has given to its page, and what it has asked of Electron. */
export interface Exposed {
  readonly worlds: readonly (readonly [name: string, api: Readonly<Record<string, unknown>>])[];
  readonly bridge: Bridge;
  readonly asked: (readonly [how: string, channel: string, ...said: unknown[]])[];
  /** Sends to the page, as the main process does. */
  tell(channel: string, said: unknown): void;
}
export interface Subject {
  readonly sources: Sources;
  /** The built window's documents and styles, by their path in it; empty where it is not built. */
  readonly built: ReadonlyMap<string, string>;
  /** Of the machine: Electron's own types, and the version that is installed. */
  readonly declarations: string;
  readonly installed: string;
  readonly today: Date;
  /** A module of the shell or of `build`. */
  load<T>(file: string): Promise<T>;
  /** Starts the app once for each way. */
  started(how?: { readonly packed?: boolean; readonly switches?: readonly string[] }): Promise<Started>;
  preload(): Promise<Exposed>;
  /** Ends what was started. */
  close(): Promise<void>;
}

/** Changed texts by the number that their modules' addresses carry. */
const variants = new Map<string, Sources>();
const variantOf = (url: string | undefined): string | undefined => /\?variant=(\d+)/.exec(url ?? '')?.[1];
const ofOurs = (url: string): string => relative(root, fileURLToPath(url)).replaceAll('\\', '/');
const preloads = new Map<string, unknown>();
Object.assign(globalThis, { electronOfThePreload: preloads });
registerHooks({
  resolve(specifier, context, next) {
    const id = variantOf(context.parentURL);
    if (id === undefined) return next(specifier, context);
    if (specifier === 'electron' && context.parentURL!.includes('/preload.ts'))
      return { url: `preloaded:electron?variant=${id}`, shortCircuit: true };
    const found = next(specifier, context);
    const ours = found.url.startsWith('file:') && /^(electron\/shell|build)\/[^/]+\.ts$/.test(ofOurs(found.url));
    return ours ? { ...found, url: `${found.url}?variant=${id}&.ts` } : found; // to the module itself its address still ends in `.ts`
  },
  load(url, context, next) {
    const id = variantOf(url);
    if (id === undefined) return next(url, context);
    if (url.startsWith('preloaded:'))
      return {
        format: 'module',
        source: `export const { contextBridge, ipcRenderer, webUtils } = electronOfThePreload.get('${id}');`,
        shortCircuit: true,
      };
    const source = variants.get(id)?.get(ofOurs(url));
    return source === undefined ? next(url, context) : { ...next(url, context), source };
  },
});

/** Read once: only what is changed differs. */
const once = <T>(read: () => T): (() => T) => {
  let had: { readonly value: T } | undefined;
  return () => (had ??= { value: read() }).value;
};
const unchanged = once(() => readSources(root)),
  unchangedBuilt = once(
    () =>
      new Map(
        globSync('dist/renderer/**/*.{html,css}', { cwd: root }).map(file => [
          file.replaceAll('\\', '/'),
          readFileSync(join(root, file), 'utf8'),
        ]),
      ),
  ),
  declarations = once(() => readFileSync(join(root, 'node_modules/electron/electron.d.ts'), 'utf8'));

/** @param edits each must be of a text that is there, once
 * @param today what day it is */
export function subjectOf(edits: readonly Edit[] = [], today = new Date()): Subject {
  const id = String(variants.size),
    sources = new Map(unchanged()),
    built = new Map(unchangedBuilt()),
    changed = new Map<string, string>();
  for (const [file, from, to] of edits) {
    const text = sources.get(file) ?? built.get(file);
    if (text?.split(from).length !== 2) throw new Error(`“${from}” is not once in ${file}`);
    const now = text.replace(from, () => to);
    (sources.has(file) ? sources : built).set(file, now);
    changed.set(file, now);
  }
  variants.set(id, changed);
  const folder = mkdtempSync(join(tmpdir(), 'protagonist-checklist-'));
  const load = <T>(file: string) => import(`${pathToFileURL(join(root, file)).href}?variant=${id}&.ts`) as Promise<T>;

  const running = new Map<string, Promise<Started>>();
  /** One after the other: a library is opened where the environment says. */
  let turn: Promise<unknown> = Promise.resolve();
  const startIn = async (at: string, packed: boolean, switches: readonly string[]): Promise<Started> => {
    const { start } = await load<typeof Start>('electron/shell/start.ts');
    mkdirSync(join(at, 'resources'), { recursive: true });
    if (existsSync(join(root, 'dist/renderer'))) symlinkSync(join(root, 'dist/renderer'), join(at, 'resources/renderer'), 'junction');
    const before = process.env['PROTAGONIST_HOME'];
    process.env['PROTAGONIST_HOME'] = join(at, 'library');
    Object.assign(process, { resourcesPath: join(at, 'resources') });
    try {
      const fake = fakeElectron(at, { packed, switches }),
        made: Electron.BrowserWindow[] = [];
      const BrowserWindow = new Proxy(fake.electron.BrowserWindow, {
        construct: (target, given: unknown[]) => {
          const window = Reflect.construct(target, given) as Electron.BrowserWindow;
          made.push(window);
          return window;
        },
      });
      const electron = new Proxy(fake.electron, {
        get: (target, name) => (name === 'BrowserWindow' ? BrowserWindow : (Reflect.get(target, name) as unknown)),
      });
      await start(electron, ['protagonist']);
      return { fake, window: fake.windows[0], contents: made[0]?.webContents };
    } finally {
      if (before === undefined) delete process.env['PROTAGONIST_HOME'];
      else process.env['PROTAGONIST_HOME'] = before;
      Object.assign(process, { resourcesPath: undefined }); // it tells others that this is a package
    }
  };

  return {
    sources,
    built,
    today,
    declarations: declarations(),
    installed: (JSON.parse(readFileSync(join(root, 'node_modules/electron/package.json'), 'utf8')) as { version: string }).version,
    load,
    started: ({ packed = false, switches = [] } = {}) => {
      const how = JSON.stringify([packed, switches]);
      const one = running.get(how) ?? turn.then(() => startIn(join(folder, String(running.size)), packed, switches));
      running.set(how, one);
      turn = one.catch(() => undefined);
      return one;
    },
    preload: async () => {
      const worlds: [string, Readonly<Record<string, unknown>>][] = [],
        asked: [string, string, ...unknown[]][] = [],
        heard = new Map<string, (event: unknown, ...said: unknown[]) => void>();
      const note =
        (how: string) =>
        (channel: string, ...said: unknown[]) =>
          void asked.push([how, channel, ...said]);
      preloads.set(id, {
        contextBridge: { exposeInMainWorld: (name: string, api: Readonly<Record<string, unknown>>) => void worlds.push([name, api]) },
        ipcRenderer: {
          invoke: (channel: string, ...said: unknown[]) => {
            note('invoke')(channel, ...said);
            return Promise.resolve(undefined);
          },
          send: note('send'),
          on: (channel: string, listener: (event: unknown, ...said: unknown[]) => void) => void heard.set(channel, listener),
          off: (channel: string) => void heard.delete(channel),
        },
        webUtils: { getPathForFile: () => '/dropped' },
      });
      await load('electron/shell/preload.ts');
      return {
        worlds,
        asked,
        bridge: worlds[0]?.[1] as unknown as Bridge,
        tell: (channel, said) => heard.get(channel)?.({ sender: 'the event', ports: [] }, said),
      };
    },
    close: async () => {
      for (const one of await Promise.allSettled(running.values())) {
        if (one.status === 'rejected') continue;
        const { fake, window } = one.value;
        if (window) window.close();
        else continue;
        await fake.ended;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
