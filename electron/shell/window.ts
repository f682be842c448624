/**
 * @file The window's frame: what its page may do, where it stands, its menu, and the walls around it. Nothing here imports Electron: its objects
 * come as arguments. What is checked under which number is Electron's own list of what to do for security.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type {
  App,
  BrowserWindow,
  Certificate,
  ContextMenuParams,
  DownloadItem,
  Event,
  MenuItemConstructorOptions,
  Rectangle,
  Screen,
  Session,
  WebContents,
  WebPreferences,
} from 'electron';
import { z } from 'zod';
import { fileName } from '../serve/places.ts';
import { origin } from './protocol.ts';

// What the page may do

/** Whether words are checked where people write: only where the system has the dictionaries itself. Elsewhere Chromium fetches them from its maker's network, and nothing leaves the machine unasked. */
const checksSpelling = (platform: NodeJS.Platform): boolean => platform === 'darwin';

export interface Circumstances {
  /** Run from the sources by whoever works on it: with the page's inspector. */
  readonly development?: boolean;
  readonly platform?: NodeJS.Platform;
}

/** What the window's page is given: nothing but what `preload` exposes. Also what is Electron's default is said, so that no other default takes its place. */
export const webPreferences = (
  preload: string,
  { development = false, platform = process.platform }: Circumstances = {},
): WebPreferences => ({
  preload,
  nodeIntegration: false, // 2
  nodeIntegrationInWorker: false,
  nodeIntegrationInSubFrames: false,
  contextIsolation: true, // 3
  sandbox: true, // 4
  webSecurity: true, // 6
  allowRunningInsecureContent: false, // 8
  experimentalFeatures: false, // 9; 10: enableBlinkFeatures is not there
  webviewTag: false, // 11, 12
  navigateOnDragDrop: false, // 13
  plugins: false,
  devTools: development,
  spellcheck: checksSpelling(platform),
});

// Where it stands

/** Points; a display that is smaller is filled. */
export const smallest = { width: 800, height: 600 } as const;
const usual = { width: 1280, height: 860 } as const;

/** Steps of the window's size of letters and all else, as browsers have them. */
export const zoomSteps = [0.5, 0.67, 0.75, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 1.75, 2, 2.5, 3] as const;
export type ZoomWay = 'in' | 'out' | 'reset';
/** The next step from `now`. */
export const zoomed = (now: number, way: ZoomWay): number =>
  (way === 'in' ? zoomSteps.find(step => step > now + 0.001) : way === 'out' ? zoomSteps.findLast(step => step < now - 0.001) : 1) ?? now;

const place = z.object({
  x: z.int(),
  y: z.int(),
  width: z.int().positive(),
  height: z.int().positive(),
  maximized: z.boolean(),
  fullScreen: z.boolean().default(false),
  zoom: z.number().min(zoomSteps[0]).max(zoomSteps.at(-1)!).default(1),
});
/** Where the window is, before it was made to fill the display, and how large what it shows. */
export type Place = z.infer<typeof place>;

/** What is seen before the page's first picture: its own ground (`--bg` of the window's styles). */
export const ground = { light: '#f7f5f3', dark: '#151311' } as const;

const clamp = (value: number, least: number, most: number) => Math.max(least, Math.min(most, value));
const shared = (a: Rectangle, b: Rectangle): number =>
  Math.max(0, Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x)) *
  Math.max(0, Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y));

/** Where the window opens: where it was, moved and cut so that all of it is on the display that has most of it; in the middle of the first one where it was nowhere that is still there.
 * @param saved whatever was read
 * @param displays their work areas, the primary one first */
export function boundsWithin(saved: unknown, displays: readonly Rectangle[]): Place {
  const was = place.safeParse(saved).data,
    there = displays.filter(({ width, height }) => width > 0 && height > 0),
    [first = { x: 0, y: 0, ...usual }] = there;
  const on = was && there.filter(d => shared(was, d) > 0).toSorted((a, b) => shared(was, b) - shared(was, a))[0];
  const { x, y, width: w, height: h } = on ?? first,
    wanted = was ?? usual,
    width = clamp(wanted.width, Math.min(smallest.width, w), w),
    height = clamp(wanted.height, Math.min(smallest.height, h), h);
  const middle = { x: x + Math.floor((w - width) / 2), y: y + Math.floor((h - height) / 2) };
  return {
    x: on ? clamp(was.x, x, x + w - width) : middle.x,
    y: on ? clamp(was.y, y, y + h - height) : middle.y,
    width,
    height,
    maximized: was?.maximized ?? false,
    fullScreen: was?.fullScreen ?? false,
    zoom: was?.zoom ?? 1,
  };
}

/** Where the window was, as it was written down; undefined where that is not there or is no place. */
export function readBounds(file: string): Place | undefined {
  try {
    return place.safeParse(JSON.parse(readFileSync(file, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

/** Milliseconds of rest before a new place is written down: moving a window tells of each point. */
const restful = 500;

/** Writes down where the window is, soon after it has moved and when it closes: whoever is killed meanwhile finds it again all the same. A disk that refuses is not spoken of.
 * @param file in the user's data folder
 * @returns how to stop; what is still to be written is */
export function keepBounds(
  window: Pick<BrowserWindow, 'on' | 'off' | 'getNormalBounds' | 'isMaximized' | 'isFullScreen' | 'isDestroyed'>,
  file: string,
  zoom: () => number = () => 1,
): (() => void) & { /** Something else has changed that is written down. */ readonly soon: () => void } {
  let timer: NodeJS.Timeout | undefined,
    playing = false; // a video fills the display: that is the page's, not the window's
  const write = () => {
    clearTimeout(timer);
    timer = undefined;
    if (window.isDestroyed()) return;
    const { x, y, width, height } = window.getNormalBounds(),
      part = `${file}.part`;
    try {
      const how = { maximized: window.isMaximized(), fullScreen: window.isFullScreen() && !playing, zoom: zoom() };
      writeFileSync(part, JSON.stringify({ x, y, width, height, ...how } satisfies Place), { mode: 0o600 });
      renameSync(part, file);
    } catch {
      rmSync(part, { force: true });
    }
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(write, restful);
    timer.unref();
  };
  const playingNow = () => (playing = true),
    playingNoMore = () => (playing = false);
  const moves = ['resize', 'move', 'maximize', 'unmaximize', 'enter-full-screen', 'leave-full-screen'] as const;
  for (const move of moves) window.on(move as 'resize', soon);
  window.on('close', write).on('enter-html-full-screen', playingNow).on('leave-html-full-screen', playingNoMore);
  const stop = () => {
    if (timer) write();
    for (const move of moves) window.off(move as 'resize', soon);
    window.off('close', write).off('enter-html-full-screen', playingNow).off('leave-html-full-screen', playingNoMore);
  };
  return Object.assign(stop, { soon });
}

/** Milliseconds in which a system moves windows off a display that has gone, where it does that. */
const settling = 1000;
/** Points of the window's upper edge by which it can be taken. */
const handle = 40;

/** Brings the window back to a display when the one that it was on goes away, or becomes smaller.
 * @returns how to stop */
export function keepOnDisplay(
  window: Pick<BrowserWindow, 'getNormalBounds' | 'setBounds' | 'isMinimized' | 'isMaximized' | 'isFullScreen' | 'isDestroyed'>,
  screen: Pick<Screen, 'on' | 'off' | 'getAllDisplays' | 'getPrimaryDisplay'>,
): () => void {
  let timer: NodeJS.Timeout | undefined;
  const look = () => {
    if (window.isDestroyed() || window.isMinimized() || window.isMaximized() || window.isFullScreen()) return;
    const at = window.getNormalBounds(),
      areas = [screen.getPrimaryDisplay(), ...screen.getAllDisplays()].map(({ workArea }) => workArea),
      edge = { ...at, height: handle };
    if (areas.some(area => shared(edge, area) * 4 >= edge.width * edge.height)) return;
    const { x, y, width, height } = boundsWithin({ ...at, maximized: false }, areas);
    window.setBounds({ x, y, width, height });
  };
  const changed = () => {
    clearTimeout(timer);
    timer = setTimeout(look, settling);
    timer.unref();
  };
  screen.on('display-removed', changed).on('display-metrics-changed', changed);
  return () => {
    clearTimeout(timer);
    screen.off('display-removed', changed).off('display-metrics-changed', changed);
  };
}

/** Puts the window before the person, wherever it is. */
export function bringForward(window: Pick<BrowserWindow, 'isMinimized' | 'restore' | 'show' | 'focus'>): void {
  if (window.isMinimized()) window.restore();
  window.show();
  window.focus();
}

// The menu

/** Every label of the menu. */
export const menuLabels = [
  'file', 'newClip', 'openClip', 'settings', 'closeWindow', 'quit', 'edit', 'undo', 'redo', 'cut', 'copy', 'paste', 'pasteAsText', 'delete', 'selectAll', 'view', 'subjects', 'create', 'library',
  'queue', 'actualSize', 'zoomIn', 'zoomOut', 'fullScreen', 'window', 'minimize', 'zoom', 'front', 'help', 'shortcuts', 'about', 'services', 'hide', 'hideOthers', 'showAll',
] as const; // prettier-ignore
export type MenuWords = Readonly<Record<(typeof menuLabels)[number], string>>;
/** What only the menu at the pointer has. */
export type LinkWords = Readonly<Record<'copyLink' | 'copyLinkText', string>>;
/** What the menu asks for: one of the window's actions, by the id that its shortcut has, or another size of all that it shows. */
export type MenuAction =
  | 'undo'
  | 'redo'
  | 'clip.new'
  | 'clip.open'
  | 'go.subjects'
  | 'go.create'
  | 'go.library'
  | 'go.settings'
  | 'queue.toggle'
  | 'keys.show'
  | `zoom.${ZoomWay}`;

const named: Readonly<Record<string, string>> = { ArrowUp: 'Up', ArrowDown: 'Down', ArrowLeft: 'Left', ArrowRight: 'Right', '+': 'Plus' };
/** Keys as the window writes them, as Electron does; undefined where the menu shows none: of keys that people type, and of those that Electron has no name for. */
export function acceleratorOf(chord: string | null): string | undefined {
  const [, modifiers = '', key = ''] = /^((?:(?:Mod|Ctrl|Alt|Shift)\+)*)(.+)$/.exec(chord ?? '') ?? [];
  const name = named[key] ?? key;
  const known =
    /^(?:[!-~]|Plus|Space|Tab|Backspace|Delete|Insert|Enter|Up|Down|Left|Right|Home|End|PageUp|PageDown|Escape|F(?:[1-9]|1\d|2[0-4]))$/;
  if (!known.test(name) || (!/Mod|Ctrl|Alt/.test(modifiers) && !/^F\d/.test(name))) return undefined;
  return modifiers.replace('Mod', 'CmdOrCtrl') + name;
}

/** The menu of a platform. Its keys are those of the window's own table of shortcuts, where the page acts on them first; no key without a modifier is one here, since people write with those.
 * @param act does what was chosen
 * @param shortcuts those that the person has changed, as settings have them: `Mod+Shift+L`; null: none */
export function menuTemplate(
  platform: NodeJS.Platform,
  words: MenuWords,
  act: (action: MenuAction) => void,
  {
    development = false,
    updates = [],
    shortcuts = {},
  }: Pick<Circumstances, 'development'> & {
    readonly updates?: readonly MenuItemConstructorOptions[];
    readonly shortcuts?: Readonly<Record<string, string | null>>;
  } = {},
): MenuItemConstructorOptions[] {
  type Item = MenuItemConstructorOptions;
  const mac = platform === 'darwin';
  const line: Item = { type: 'separator' };
  const of = (label: string, action: MenuAction, usual?: string): Item => {
    const accelerator = Object.hasOwn(shortcuts, action) ? acceleratorOf(shortcuts[action] ?? null) : usual;
    return { label, click: () => act(action), ...(accelerator !== undefined && { accelerator }) };
  };
  const role = (label: string, role: NonNullable<Item['role']>): Item => ({ label, role });
  const settings = of(words.settings, 'go.settings', 'CmdOrCtrl+,');

  const program: Item = {
    label: 'Protagonist', // the system writes the bundle's name there, in any case
    submenu: [
      role(words.about, 'about'),
      ...updates,
      line,
      settings,
      line,
      role(words.services, 'services'),
      line,
      role(words.hide, 'hide'),
      role(words.hideOthers, 'hideOthers'),
      role(words.showAll, 'unhide'),
      line,
      role(words.quit, 'quit'),
    ],
  };
  const file: Item = {
    label: words.file,
    submenu: [
      of(words.newClip, 'clip.new', 'CmdOrCtrl+N'),
      of(words.openClip, 'clip.open', 'CmdOrCtrl+O'),
      line,
      ...(mac ? [role(words.closeWindow, 'close')] : [settings, line, role(words.quit, 'quit')]),
    ],
  };
  const edit: Item = {
    label: words.edit,
    submenu: [
      of(words.undo, 'undo', 'CmdOrCtrl+Z'), // not roles: those know of texts alone
      of(words.redo, 'redo', 'CmdOrCtrl+Shift+Z'),
      line,
      role(words.cut, 'cut'),
      role(words.copy, 'copy'),
      role(words.paste, 'paste'),
      role(words.pasteAsText, 'pasteAndMatchStyle'),
      role(words.delete, 'delete'),
      line,
      role(words.selectAll, 'selectAll'),
    ],
  };
  const view: Item = {
    label: words.view,
    submenu: [
      of(words.subjects, 'go.subjects', 'CmdOrCtrl+1'),
      of(words.create, 'go.create', 'CmdOrCtrl+2'),
      of(words.library, 'go.library', 'CmdOrCtrl+3'),
      of(words.queue, 'queue.toggle'),
      line,
      of(words.actualSize, 'zoom.reset', 'CmdOrCtrl+0'),
      of(words.zoomIn, 'zoom.in', 'CmdOrCtrl+Plus'),
      // the plus of most keyboards is typed without Shift here
      { ...of(words.zoomIn, 'zoom.in', 'CmdOrCtrl+='), visible: false, acceleratorWorksWhenHidden: true },
      of(words.zoomOut, 'zoom.out', 'CmdOrCtrl+-'),
      line,
      role(words.fullScreen, 'togglefullscreen'),
      ...(development ? [line, { role: 'reload' } as const, { role: 'toggleDevTools' } as const] : []),
    ],
  };
  const window: Item = {
    label: words.window,
    role: 'window',
    submenu: [
      role(words.minimize, 'minimize'),
      ...(mac ? [role(words.zoom, 'zoom'), line, role(words.front, 'front')] : [role(words.closeWindow, 'close')]),
    ],
  };
  const help: Item = {
    label: words.help,
    role: 'help',
    submenu: [
      of(words.shortcuts, 'keys.show'),
      ...(mac ? [] : [...(updates.length > 0 ? [line, ...updates] : []), line, role(words.about, 'about')]),
    ],
  };
  return [...(mac ? [program] : []), file, edit, view, window, help];
}

/** The menu at the pointer: for text that is written or selected, and for links. Empty where there is nothing to do; where the page has a menu of its own this one is not asked for.
 * @param what is under the pointer
 * @param act copies a text; puts a word in the place of a misspelt one */
export function contextTemplate(
  what: Pick<ContextMenuParams, 'isEditable' | 'selectionText' | 'linkURL' | 'linkText' | 'misspelledWord' | 'dictionarySuggestions'> & {
    readonly editFlags: Pick<ContextMenuParams['editFlags'], 'canUndo' | 'canRedo' | 'canCut' | 'canCopy' | 'canPaste' | 'canDelete' | 'canSelectAll'>; // prettier-ignore
  },
  words: MenuWords & LinkWords,
  act: { readonly copy: (text: string) => void; readonly replace: (word: string) => void },
): MenuItemConstructorOptions[] {
  type Item = MenuItemConstructorOptions;
  const { isEditable, editFlags, selectionText, misspelledWord, dictionarySuggestions } = what,
    role = (label: string, role: NonNullable<Item['role']>, enabled: boolean): Item => ({ label, role, enabled }),
    copied = (label: string, text: string): Item => ({ label, click: () => act.copy(text) }),
    linkText = what.linkText.trim(),
    page = mayOpen(what.linkURL);
  const groups: Item[][] = [
    misspelledWord === '' ? [] : dictionarySuggestions.slice(0, 5).map(word => ({ label: word.replaceAll('&', '&&'), click: () => act.replace(word) })), // prettier-ignore
    [...(page ? [copied(words.copyLink, page.href)] : []), ...(what.linkURL !== '' && linkText !== '' ? [copied(words.copyLinkText, linkText)] : [])], // prettier-ignore
    isEditable ? [role(words.undo, 'undo', editFlags.canUndo), role(words.redo, 'redo', editFlags.canRedo)] : [],
    isEditable
      ? [
          role(words.cut, 'cut', editFlags.canCut),
          role(words.copy, 'copy', editFlags.canCopy),
          role(words.paste, 'paste', editFlags.canPaste),
          role(words.delete, 'delete', editFlags.canDelete),
        ]
      : selectionText.trim() !== ''
        ? [role(words.copy, 'copy', editFlags.canCopy)]
        : [],
    isEditable ? [role(words.selectAll, 'selectAll', editFlags.canSelectAll)] : [],
  ];
  return groups.filter(group => group.length > 0).flatMap((group, n): Item[] => (n === 0 ? group : [{ type: 'separator' }, ...group]));
}

// Its walls

/** Where a page that the window links to may lie: the licences of the known checkpoints. Not where downloads come from: those are fetched without a browser. */
export const linkedHosts: readonly string[] = ['huggingface.co', 'www.apache.org'];

/** An address that may be handed to the person's own browser: https, on one of the hosts, written plainly. What the system would do with any other is not ours to know. */
export function mayOpen(url: string): URL | undefined {
  if (url.length > 2000 || !/^[!-~]+$/.test(url) || url.includes('\\') || !URL.canParse(url)) return undefined;
  const parsed = new URL(url),
    { protocol, host, username, password } = parsed;
  if (protocol !== 'https:' || username !== '' || password !== '' || !linkedHosts.includes(host)) return undefined;
  return url.startsWith(`https://${host}/`) ? parsed : undefined; // also the usual port spelt out, capitals, a slash too few
}

/** An address of ours. Of a scheme that it does not know, `URL` does not spell the host in one way: only the way we write it is ours. */
const ours = (url: string): URL | undefined => (url.startsWith(`${origin}/`) && URL.canParse(url) ? new URL(url) : undefined);
/** Whether it is the window's page, wherever in it. */
export const isOwnPage = (url: string): boolean => /^\/window\/(?:index\.html)?$/.test(ours(url)?.pathname ?? '');
/** Whether it may be kept as a file: what the library itself gives out. */
export const isOwnMedia = (url: string): boolean => ours(url)?.pathname.startsWith('/media/') ?? false;
/** Whether anything at all may ask for it: the window's own files and what it has made itself. `data:` is no source under its policy either. */
export const mayRequest = (url: string, { development = false }: Pick<Circumstances, 'development'> = {}): boolean =>
  ours(url) !== undefined || url.startsWith(`blob:${origin}/`) || (development && url.startsWith('devtools://devtools/'));

/** What our own page may have, and nothing else: a player that fills the screen, and text put where it can be pasted. Neither reads anything. */
const permitted: ReadonlySet<string> = new Set(['fullscreen', 'clipboard-sanitized-write']);

export interface Walls extends Circumstances {
  readonly app: Pick<App, 'on' | 'off'>;
  readonly session: Pick<
    Session,
    | 'on'
    | 'off'
    | 'setPermissionRequestHandler'
    | 'setPermissionCheckHandler'
    | 'setDevicePermissionHandler'
    | 'setDisplayMediaRequestHandler'
    | 'setCertificateVerifyProc'
    | 'setSpellCheckerEnabled'
  > & { readonly webRequest: Pick<Session['webRequest'], 'onBeforeRequest'> };
  readonly contents: Pick<WebContents, 'on' | 'setWindowOpenHandler' | 'setWebRTCIPHandlingPolicy'>;
  /** Electron's `shell.openExternal`: gets nothing that `mayOpen` does not let through. */
  readonly openExternal: (url: string) => Promise<void>;
  /** The folder that is offered for what a person keeps. */
  readonly downloads: string;
}

type Going = Event<{ readonly url: string; readonly isMainFrame: boolean }>;

/** Puts walls around the window: it stays on its page, opens nothing, is permitted nothing and reaches nobody. Called before the page is loaded, for each window anew.
 * @returns how to let go of the app and the session, which outlive the window; what was set stays set */
export function secure({
  app,
  session,
  contents,
  openExternal,
  downloads,
  development = false,
  platform = process.platform,
}: Walls): () => void {
  // 5: permissions, asked for and looked up; devices; the screen
  session.setPermissionRequestHandler((from, permission, answer, { isMainFrame, requestingUrl }) =>
    answer(permitted.has(permission) && from === contents && isMainFrame && isOwnPage(requestingUrl)),
  );
  session.setPermissionCheckHandler(
    (from, permission, requestingOrigin, { isMainFrame }) =>
      permitted.has(permission) && from === contents && isMainFrame && requestingOrigin.replace(/\/$/, '') === origin,
  );
  session.setDevicePermissionHandler(() => false);
  session.setDisplayMediaRequestHandler((_, answer) => answer(null));

  // 1, 18: nothing remote, no files
  session.webRequest.onBeforeRequest(({ url }, answer) => answer({ cancel: !mayRequest(url, { development }) }));
  session.setCertificateVerifyProc((_, answer) => answer(-2)); // none is asked for: whoever gets this far is refused
  session.setSpellCheckerEnabled(checksSpelling(platform)); // `webPreferences` alone would still fetch dictionaries
  const distrust = (event: Event, _: unknown, __: string, ___: string, ____: Certificate, answer: (trusted: boolean) => void) => {
    event.preventDefault();
    answer(false);
  };
  const keepShut = (event: Event, _: unknown, __: string, ___: Certificate[], answer: (certificate?: Certificate) => void) => {
    event.preventDefault();
    answer();
  };

  // 11 to 14: it stays where it is
  const stay = (event: Going) => {
    if (!event.isMainFrame || !isOwnPage(event.url)) event.preventDefault();
  };
  const hold = (held: Walls['contents']) => {
    held.on('will-navigate', stay);
    held.on('will-frame-navigate', stay);
    held.on('will-redirect', stay);
    held.on('will-attach-webview', event => event.preventDefault());
    held.setWindowOpenHandler(({ url }) => {
      const page = mayOpen(url);
      if (page) openExternal(page.href).catch(() => undefined); // no browser: the address can still be copied
      return { action: 'deny' };
    });
    held.setWebRTCIPHandlingPolicy('disable_non_proxied_udp'); // what goes past `webRequest`
  };
  hold(contents);
  const alsoHold = (_: unknown, other: WebContents) => hold(other);

  const keep = (event: Event, item: DownloadItem, from: unknown) => {
    const begunBy = item.getInitiatorOrigin();
    const may = item.getURLChain().every(isOwnMedia) && isOwnMedia(item.getURL()) && (begunBy === '' || begunBy === origin);
    if (!may || from !== contents) return event.preventDefault();
    item.setSaveDialogOptions({
      defaultPath: join(downloads, fileName(item.getFilename())),
      properties: ['createDirectory', 'showOverwriteConfirmation'],
    });
  };

  app.on('certificate-error', distrust).on('select-client-certificate', keepShut).on('web-contents-created', alsoHold);
  session.on('will-download', keep);
  return () => {
    app.off('certificate-error', distrust).off('select-client-certificate', keepShut).off('web-contents-created', alsoHold);
    session.off('will-download', keep);
  };
}
