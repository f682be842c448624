/**
 * @file `npm run checklist`: Electron's security checklist (electronjs.org/docs/latest/tutorial/security, 20 items), one row or several for each: what we do, where, and a check that
 * runs. Kinds: `lint` reads the sources, `unit` asks one function, `fake` starts the app over an Electron that only remembers and asks what it has set; `needs-binary` is asked by
 * `smoke.ts` of a real Electron, and not run here. `--json`: one JSON object a row.
 *
 * What each check refuses is shown by `checklist.test.ts`, with changed sources.
 */
import { FuseState, getCurrentFuseWire } from '@electron/fuses';
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as Electron from 'electron';
import { z } from 'zod';
import type * as AfterPack from '../../build/after-pack.ts';
import type * as Check from '../../build/check.ts';
import type * as Ipc from '../../electron/shell/ipc.ts';
import type * as Protocol from '../../electron/shell/protocol.ts';
import type * as Switches from '../../electron/shell/switches.ts';
import type * as WindowModule from '../../electron/shell/window.ts';
import type { FakeWindow } from '../support/electron.ts';
import { sleep } from '../support/run.ts';
import { lint, rules, type RuleName } from './lint.ts';
import { binaryRows } from './smoke.ts';
import { subjectOf, type Started, type Subject } from './subject.ts';

export const kinds = ['lint', 'unit', 'fake', 'needs-binary'] as const;
export type Kind = (typeof kinds)[number];

/** The items by their number, in Electron's words. */
export const items: Readonly<Record<number, string>> = {
  1: 'Only load secure content',
  2: 'Do not enable Node.js integration for remote content',
  3: 'Enable context isolation',
  4: 'Enable process sandboxing',
  5: 'Handle session permission requests from remote content',
  6: 'Do not disable webSecurity',
  7: 'Define a Content Security Policy',
  8: 'Do not enable allowRunningInsecureContent',
  9: 'Do not enable experimental features',
  10: 'Do not use enableBlinkFeatures',
  11: 'Do not use allowpopups for WebViews',
  12: 'Verify WebView options before creation',
  13: 'Disable or limit navigation',
  14: 'Disable or limit creation of new windows',
  15: 'Do not use shell.openExternal with untrusted content',
  16: 'Use a current version of Electron',
  17: 'Validate the sender of all IPC messages',
  18: 'Avoid usage of the file:// protocol and prefer usage of custom protocols',
  19: 'Check which fuses you can change',
  20: 'Do not expose Electron APIs to untrusted web content',
};

export type Wrong = (sentence: string) => void;
export interface Row {
  readonly id: string;
  /** 0: beside the list. */
  readonly item: number;
  readonly kind: Kind;
  /** What we do. */
  readonly what: string;
  /** The file that does it. */
  readonly where: string;
  /** Says each thing that is wrong. @returns what was looked at */
  readonly check?: (subject: Subject, wrong: Wrong) => string | Promise<string>;
}

// what several checks ask

const elsewhere = [
  'https://example.com/',
  'http://example.com/',
  'http://127.0.0.1:8080/',
  'ws://example.com/',
  'wss://example.com/',
  'ftp://example.com/x',
  'file:///etc/hostname',
  'data:text/html,<p>x',
  'javascript:alert(1)',
  'about:blank',
  'chrome://gpu/',
  'devtools://devtools/bundled/inspector.html',
  'app://elsewhere/window/',
  'app://protagonist.example/window/',
  'app:protagonist/window/',
  'blob:https://example.com/1-2-3',
  'view-source:app://protagonist/window/',
  'ms-settings:privacy',
  'smb://example.com/x',
  '',
];
const own = 'app://protagonist/window/';
/** What Electron's types say a permission can be called, by both ways in which it is asked. */
function permissionsOf(declarations: string): string[] {
  const named = ['setPermissionRequestHandler', 'setPermissionCheckHandler'].flatMap(method => {
    const text = new RegExp(`^ +${method}\\(handler: .*$`, 'm').exec(declarations)?.[0] ?? '';
    return [...text.slice(text.indexOf('permission: ')).matchAll(/'([\w-]+)'/g)].map(match => match[1]!);
  });
  return [...new Set(named)];
}
/** The window's handler of that name, as the session was given it. */
const handler = ({ fake }: Started, name: string) => fake.permissions[name] as ((...args: unknown[]) => unknown) | undefined;
/** Emits to a window's contents. @returns whether it was prevented */
function prevented(emitter: { emit(name: string, ...args: unknown[]): boolean }, name: string, details: object): boolean {
  let was = false;
  emitter.emit(name, { ...details, preventDefault: () => (was = true) });
  return was;
}
/** The window, or a sentence that there is none. */
function windowOf({ window }: Started, wrong: Wrong): FakeWindow | undefined {
  if (!window) wrong('No window was made.');
  return window;
}
/** Preferences of the window, from the sources and packed. */
async function preferences(subject: Subject, wrong: Wrong, wanted: Readonly<Record<string, unknown>>): Promise<string> {
  for (const packed of [false, true]) {
    const given = windowOf(await subject.started({ packed }), wrong)?.options.webPreferences as
      Readonly<Record<string, unknown>> | undefined;
    for (const [name, value] of Object.entries(wanted))
      if (given?.[name] !== value) wrong(`The window is made with ${name}: ${String(given?.[name])}${packed ? ' when packed' : ''}.`);
  }
  return Object.entries(wanted).map(([name, value]) => `${name}: ${String(value)}`).join(', '); // prettier-ignore
}
/** A policy's directives. */
const directives = (policy: string): ReadonlyMap<string, readonly string[]> =>
  new Map(policy.split(';').map(part => part.trim().split(/\s+/)).map(([name = '', ...values]) => [name, values])); // prettier-ignore
const ruleRow = (item: number, rule: RuleName, what: string, where: string): Row => ({
  id: `${item}.lint${rule === 'preload' ? '-preload' : ''}`,
  item,
  kind: 'lint',
  what,
  where,
  check: ({ sources }, wrong) => {
    for (const sentence of lint(sources, rule)) wrong(sentence);
    const read = [...sources.keys()].filter(rules[rule].of).length;
    return read === 0 ? '' : `${read} ${read === 1 ? 'file' : 'files'}`;
  },
});
const preferenceRow = (item: number, what: string, wanted: Readonly<Record<string, unknown>>): Row => ({
  id: `${item}.window`,
  item,
  kind: 'fake',
  what,
  where: 'electron/shell/window.ts',
  check: (subject, wrong) => preferences(subject, wrong, wanted),
});

/** A message of each kind that a page may send, well formed. Channels that are not here are asked without it. */
const examples: Readonly<Record<string, unknown>> = {
  message: { line: 77, said: 'no JSON' }, // which is answered: the wire is closed
  path: '/etc/hostname',
  keep: { name: 'x.png', bytes: new Uint8Array(1) },
  pick: 'photos',
  save: { id: 'c1', kind: 'video', name: 'x.mp4' },
  drag: { ids: ['c1'] },
  reveal: { id: 'c1' },
};

const supported = z.object({
  written: z.iso.date(),
  versions: z.record(z.string().regex(/^\d+$/), z.object({ released: z.iso.date(), ends: z.iso.date(), reckoned: z.boolean() })),
});

/** A program with Electron's fuses somewhere in it. */
const standIn = (wire: string) =>
  Buffer.concat([Buffer.alloc(5000, 7), Buffer.from('dL7pKGdnNz796PbbjQWNKmHXBZaB9tsX'), Buffer.from([1, wire.length]), Buffer.from(wire), Buffer.alloc(100)]); // prettier-ignore

const written: readonly Row[] = [
  // 1
  ruleRow(1, 'secure content', 'No address without a secure connection; one page is loaded, ours', 'electron/shell/start.ts'),
  {
    id: '1.requests',
    item: 1,
    kind: 'fake',
    what: 'The window loads its own page; every request that is not for our origin is canceled, every certificate refused',
    where: 'electron/shell/window.ts',
    check: async (subject, wrong) => {
      const started = await subject.started({ packed: true });
      const loaded = windowOf(started, wrong)?.loaded ?? [];
      if (loaded.length !== 1 || loaded[0] !== own) wrong(`The window loads ${loaded.join(', ') || 'nothing'}.`);
      const ask = handler(started, 'onBeforeRequest');
      if (!ask) wrong('Nobody looks at requests.');
      for (const url of elsewhere) ask?.({ url }, ({ cancel }: { cancel?: boolean }) => { if (cancel !== true) wrong(`A request for ${url} is let through.`); }); // prettier-ignore
      for (const url of [own, 'app://protagonist/media/c1/video', 'blob:app://protagonist/1-2']) ask?.({ url }, ({ cancel }: { cancel?: boolean }) => { if (cancel === true) wrong(`${url} is canceled.`); }); // prettier-ignore
      const verify = handler(started, 'setCertificateVerifyProc');
      if (!verify) wrong('Nobody looks at certificates.');
      verify?.({}, (said: number) => { if (said !== -2) wrong('A certificate is accepted.'); }); // prettier-ignore
      return `${elsewhere.length} addresses canceled`;
    },
  },
  {
    id: '1.built',
    item: 1,
    kind: 'lint',
    what: 'The built window asks for nothing from elsewhere',
    where: 'renderer/index.html',
    check: ({ built, sources }, wrong) => {
      const documents = [...built, ...sources].filter(([file]) => !/\.(ts|svelte|json)$/.test(file) && !file.startsWith('electron/'));
      for (const [file, text] of documents)
        for (const [, url = ''] of text.matchAll(/(?:\b(?:src|href|action)=|url\(\s*|@import\s+)["']?([^"')\s>]+)/g))
          if (/^(?:[a-z][a-z0-9+.-]*:|\/\/)/i.test(url) && !url.startsWith('data:')) wrong(`${file} asks for ${url}.`);
      return built.size > 0 ? `${documents.length} documents and styles` : 'the window is not built: the source of its page alone';
    },
  },
  // 2 to 4
  ruleRow(2, 'node integration', 'Node integration is nowhere set but to false', 'electron/shell/window.ts'),
  preferenceRow(2, 'The window is made without it, also in workers and frames', { nodeIntegration: false, nodeIntegrationInWorker: false, nodeIntegrationInSubFrames: false }), // prettier-ignore
  ruleRow(3, 'context isolation', 'Context isolation is nowhere set but to true', 'electron/shell/window.ts'),
  preferenceRow(3, 'The window is made with it', { contextIsolation: true }),
  ruleRow(4, 'sandbox', 'The sandbox is nowhere set but to true, and no switch is added', 'electron/shell/window.ts'),
  preferenceRow(4, 'The window is made in it', { sandbox: true }),
  {
    id: '4.all',
    item: 4,
    kind: 'fake',
    what: 'Every page is in it before the first can be made; a packed app that is started without it does not go on',
    where: 'electron/shell/start.ts',
    check: async (subject, wrong) => {
      const { fake } = await subject.started();
      const order = fake.calls.map(({ name }) => name),
        [first, ready] = [order.indexOf('app.enableSandbox'), order.indexOf('app.whenReady')];
      if (first < 0 || first > ready) wrong('app.enableSandbox is not called before the app is ready.');
      const without = await subject.started({ packed: true, switches: ['no-sandbox'] });
      if (without.window) wrong('A packed app that is started with --no-sandbox shows its window.');
      if (!without.fake.calls.some(({ name }) => name === 'app.exit')) wrong('A packed app that is started with --no-sandbox goes on.');
      return 'before ready; --no-sandbox refused';
    },
  },
  // 5
  {
    id: '5.permissions',
    item: 5,
    kind: 'fake',
    what: 'All are denied, asked for and looked up, but full screen and putting text on the clipboard, to our page’s main frame; devices and the screen too',
    where: 'electron/shell/window.ts',
    check: async (subject, wrong) => {
      const started = await subject.started({ packed: true });
      const { contents } = started;
      const request = handler(started, 'setPermissionRequestHandler'),
        look = handler(started, 'setPermissionCheckHandler'),
        device = handler(started, 'setDevicePermissionHandler'),
        screen = handler(started, 'setDisplayMediaRequestHandler');
      if (!request || !look || !device || !screen) {
        wrong('A permission is left to Electron, which grants it.');
        return '';
      }
      const may = new Set(['fullscreen', 'clipboard-sanitized-write']),
        all = [...permissionsOf(subject.declarations), 'what comes next year'];
      if (all.length < 20) wrong('Electron’s types name too few permissions: they are written otherwise now.');
      const asked = (from: unknown, permission: string, isMainFrame: boolean, requestingUrl: string) => {
        let granted = false;
        request(from, permission, (answer: boolean) => (granted = answer), { isMainFrame, requestingUrl });
        return granted;
      };
      for (const permission of all) {
        if (asked(contents, permission, true, own) !== may.has(permission)) wrong(`${permission} is ${may.has(permission) ? 'denied' : 'granted'} to our page.`);
        if (look(contents, permission, 'app://protagonist', { isMainFrame: true }) !== may.has(permission)) wrong(`${permission}, looked up, is ${may.has(permission) ? 'denied' : 'granted'} to our page.`);
        if (asked(contents, permission, false, own)) wrong(`${permission} is granted to a frame.`);
        if (asked(contents, permission, true, 'https://example.com/')) wrong(`${permission} is granted to another page.`);
        if (asked({}, permission, true, own)) wrong(`${permission} is granted to another window.`);
        for (const [from, origin, isMainFrame] of [[contents, 'https://example.com', true], [contents, 'app://protagonist', false], [null, 'app://protagonist', true]] as const)
          if (look(from, permission, origin, { isMainFrame })) wrong(`${permission}, looked up, is granted to ${origin}${isMainFrame ? '' : ' in a frame'}.`);
      } // prettier-ignore
      for (const deviceType of ['hid', 'serial', 'usb']) if (device({ deviceType, origin: 'app://protagonist' })) wrong(`A device is granted: ${deviceType}.`); // prettier-ignore
      screen({}, (streams: unknown) => { if (streams !== null && Object.keys(streams as object).length > 0) wrong('The screen is granted.'); }); // prettier-ignore
      return `${all.length - 1} permissions, ${may.size} given`;
    },
  },
  // 6
  ruleRow(6, 'web security', 'webSecurity is nowhere set but to true', 'electron/shell/window.ts'),
  preferenceRow(6, 'The window is made with it', { webSecurity: true }),
  // 7
  {
    id: '7.policy',
    item: 7,
    kind: 'unit',
    what: 'The policy begins with nothing, and allows our own files and what the page made itself',
    where: 'electron/shell/protocol.ts',
    check: async (subject, wrong) => {
      const { windowPolicy } = await subject.load<typeof Protocol>('electron/shell/protocol.ts');
      const given = directives(windowPolicy);
      if (given.get('default-src')?.join() !== "'none'") wrong('default-src is not none.');
      for (const name of ['object-src', 'frame-src', 'base-uri', 'form-action', 'frame-ancestors']) if (given.get(name)?.join() !== "'none'") wrong(`${name} is not none.`); // prettier-ignore
      for (const name of ['script-src', 'style-src', 'worker-src']) if (given.get(name)?.join() !== "'self'") wrong(`${name} is not our own files alone.`); // prettier-ignore
      for (const [name, values] of given)
        for (const value of values) if (!["'none'", "'self'", 'blob:'].includes(value)) wrong(`${name} allows ${value}.`);
      return `${given.size} directives`;
    },
  },
  {
    id: '7.header',
    item: 7,
    kind: 'fake',
    what: 'It comes with every answer of the scheme, as a header',
    where: 'electron/shell/protocol.ts',
    check: async (subject, wrong) => {
      const { fake } = await subject.started({ packed: true });
      const { windowPolicy } = await subject.load<typeof Protocol>('electron/shell/protocol.ts');
      const answer = fake.schemes.get('app');
      if (!answer) wrong('Nobody answers the scheme.');
      const page = await answer?.(new Request(own));
      if (page?.headers.get('content-security-policy') !== windowPolicy) wrong('The page comes without the policy.');
      const urls = ['window/index.html', 'media/c1/video', 'none', ''];
      for (const url of urls) {
        const headers = (await answer?.(new Request(`app://protagonist/${url}`)))?.headers;
        if (!/^default-src 'none'/.test(headers?.get('content-security-policy') ?? '')) wrong(`/${url} comes without a policy.`);
        if (headers?.get('x-content-type-options') !== 'nosniff') wrong(`/${url} may be taken for what it is not.`);
      }
      return `${urls.length + 1} answers`;
    },
  },
  ruleRow(7, 'text as code', 'No text becomes code or a document', 'renderer'),
  {
    id: '7.built',
    item: 7,
    kind: 'lint',
    what: 'The built page has no script, style or handler in it, which the policy would stop',
    where: 'renderer/index.html',
    check: ({ built, sources }, wrong) => {
      const documents = [...built, ...sources].filter(([file]) => file.endsWith('.html') && !file.startsWith('electron/'));
      for (const [file, text] of documents) {
        for (const [, attributes = '', body = ''] of text.matchAll(/<script\b([^>]*)>([^]*?)<\/script>/gi)) if (body.trim() !== '' || !/\bsrc=/.test(attributes)) wrong(`${file} has a script in it.`); // prettier-ignore
        if (/<style\b/i.test(text) || /<[^>]+\sstyle=/i.test(text)) wrong(`${file} has a style in it.`);
        if (/<[^>]+\son[a-z]+=/i.test(text)) wrong(`${file} has a handler in it.`);
      }
      return `${documents.length} documents`;
    },
  },
  // 8 to 12
  ruleRow(8, 'insecure content', 'It is nowhere set but to false', 'electron/shell/window.ts'),
  preferenceRow(8, 'The window is made without it', { allowRunningInsecureContent: false }),
  ruleRow(9, 'experimental features', 'They are nowhere set but to false', 'electron/shell/window.ts'),
  preferenceRow(9, 'The window is made without them', { experimentalFeatures: false }),
  ruleRow(10, 'blink features', 'They are nowhere named', 'electron/shell/window.ts'),
  preferenceRow(10, 'The window is made without any', { enableBlinkFeatures: undefined, disableBlinkFeatures: undefined }),
  ruleRow(11, 'webview', 'There is no webview, nor any element that holds a page of others', 'renderer'),
  preferenceRow(11, 'The window is made without the element, and a dropped file is no page', { webviewTag: false, navigateOnDragDrop: false }), // prettier-ignore
  {
    id: '12.attach',
    item: 12,
    kind: 'fake',
    what: 'None is attached, in our window or in any contents that come after it',
    where: 'electron/shell/window.ts',
    check: async (subject, wrong) => {
      const started = await subject.started({ packed: true });
      const window = windowOf(started, wrong);
      if (window && !prevented(window.contents, 'will-attach-webview', {})) wrong('A webview is attached to the window.');
      const { other, opens } = await laterContents(started);
      if (!prevented(other, 'will-attach-webview', {})) wrong('A webview is attached to contents that came later.');
      if (opens({ url: 'https://example.com/' })?.action !== 'deny') wrong('Contents that came later open windows.');
      for (const name of ['will-navigate', 'will-frame-navigate', 'will-redirect']) if (!prevented(other, name, { url: 'https://example.com/', isMainFrame: true })) wrong(`Contents that came later go elsewhere (${name}).`); // prettier-ignore
      return 'ours, and contents that came later';
    },
  },
  // 13
  {
    id: '13.navigation',
    item: 13,
    kind: 'fake',
    what: 'The window stays on its page: no navigation, none of a frame, no redirection',
    where: 'electron/shell/window.ts',
    check: async (subject, wrong) => {
      const window = windowOf(await subject.started({ packed: true }), wrong);
      if (!window) return '';
      const events = ['will-navigate', 'will-frame-navigate', 'will-redirect'];
      const urls = [...elsewhere, 'app://protagonist/media/c1/video', 'app://protagonist/', 'app://protagonist/window/../media/x'];
      for (const name of events) {
        for (const url of urls) if (!prevented(window.contents, name, { url, isMainFrame: true })) wrong(`It goes to ${url} (${name}).`); // prettier-ignore
        if (!prevented(window.contents, name, { url: own, isMainFrame: false })) wrong(`A frame shows our page (${name}).`);
        if (prevented(window.contents, name, { url: `${own}#/library`, isMainFrame: true })) wrong(`Its own page is refused (${name}).`);
      }
      return `${urls.length} addresses by ${events.length} ways`;
    },
  },
  ruleRow(13, 'one window', 'One window is made, with its walls', 'electron/shell/start.ts'),
  // 14, 15
  {
    id: '14.windows',
    item: 14,
    kind: 'fake',
    what: 'Every further window is denied',
    where: 'electron/shell/window.ts',
    check: async (subject, wrong) => {
      const window = windowOf(await subject.started({ packed: true }), wrong);
      const urls = [...elsewhere, own, 'https://huggingface.co/x'];
      for (const url of urls) if (window?.opens(url).action !== 'deny') wrong(`A window is opened for ${url}.`);
      return `${urls.length} addresses`;
    },
  },
  ruleRow(15, 'open external', 'One place hands addresses to the system, after looking at them', 'electron/shell/window.ts'),
  {
    id: '15.addresses',
    item: 15,
    kind: 'unit',
    what: 'Only https, only on hosts that are known, written plainly',
    where: 'electron/shell/window.ts',
    check: async (subject, wrong) => {
      const { mayOpen, linkedHosts } = await subject.load<typeof WindowModule>('electron/shell/window.ts');
      const bad = [...elsewhere, 'https://huggingface.co', 'https://huggingface.co@example.com/', 'https://user:x@huggingface.co/', 'https://huggingface.co:8443/x', 'https://huggingface.co.example.com/', 'https://HUGGINGFACE.CO/x', 'https:\\\\huggingface.co\\x', 'https://huggingface.co/\u202Ex', 'https://huggingface.co/ x', 'https://huggingface.co/\nx', 'http://huggingface.co/x', `https://huggingface.co/${'x'.repeat(3000)}`]; // prettier-ignore
      for (const url of bad) if (mayOpen(url) !== undefined) wrong(`${url.slice(0, 60)} may be opened.`);
      for (const host of linkedHosts) if (mayOpen(`https://${host}/x`)?.href !== `https://${host}/x`) wrong(`https://${host}/x may not be opened.`); // prettier-ignore
      for (const host of linkedHosts) if (!/^[a-z.]+$/.test(host)) wrong(`${host} is no plain host.`);
      return `${bad.length} addresses refused, ${linkedHosts.length} hosts`;
    },
  },
  {
    id: '15.handed',
    item: 15,
    kind: 'fake',
    what: 'The system is handed those, and nothing else that the page asks to open',
    where: 'electron/shell/start.ts',
    check: async (subject, wrong) => {
      const { fake, ...started } = await subject.started({ packed: true });
      const window = windowOf({ fake, ...started }, wrong);
      const handed = () => fake.calls.filter(({ name }) => name === 'shell.openExternal').map(({ args }) => String(args[0]));
      const before = handed().length;
      for (const url of [...elsewhere, 'https://huggingface.co@example.com/', 'http://huggingface.co/x']) window?.opens(url);
      for (const url of handed().slice(before)) wrong(`The system was handed ${url}.`);
      const was = handed().length;
      window?.opens('https://www.apache.org/licenses/LICENSE-2.0');
      if (handed().slice(was).join() !== 'https://www.apache.org/licenses/LICENSE-2.0') wrong('The licence’s page was not handed on.');
      return `${elsewhere.length + 2} addresses`;
    },
  },
  // 16
  {
    id: '16.version',
    item: 16,
    kind: 'unit',
    what: 'One exact version, installed as named, of a major version that is supported today',
    where: 'package.json',
    check: ({ sources, installed, today }, wrong) => {
      const { devDependencies = {} } = JSON.parse(sources.get('package.json') ?? '{}') as {
        devDependencies?: Readonly<Record<string, string>>;
      };
      const pinned = devDependencies['electron'] ?? 'none';
      if (!/^\d+\.\d+\.\d+$/.test(pinned)) wrong(`package.json names ${pinned}, which is no exact version.`);
      if (installed !== pinned) wrong(`${installed} is installed, and package.json names ${pinned}.`);
      const { versions } = supported.parse(JSON.parse(sources.get('test/electron/supported.json') ?? '{}'));
      const [major = ''] = pinned.split('.');
      const one = versions[major],
        day = today.toISOString().slice(0, 10);
      if (!one) wrong(`Electron ${major} is not in test/electron/supported.json: write its days there.`);
      else if (day >= one.ends) wrong(`Electron ${major} has ended on ${one.ends}${one.reckoned ? ' (reckoned: look at its timeline)' : ''}: go to a later one.`); // prettier-ignore
      return one ? `${pinned}, until ${one.ends}${one.reckoned ? ' (reckoned)' : ''}` : pinned;
    },
  },
  // 17
  ruleRow(17, 'ipc listeners', 'One file hears the page, on its window’s own channel; each listener checks first', 'electron/shell/ipc.ts'),
  {
    id: '17.sender',
    item: 17,
    kind: 'fake',
    what: 'On every channel nobody is answered but the main frame of our own window, at our page',
    where: 'electron/shell/ipc.ts',
    check: async (subject, wrong) => {
      const started = await subject.started({ packed: true });
      const window = windowOf(started, wrong);
      if (!window) return '';
      const { channels } = await subject.load<typeof Ipc>('electron/shell/ipc.ts');
      const frame = window.frame,
        like = (changes: object) => ({ ...frame, ...changes }) as Electron.WebFrameMain;
      const strangers: Readonly<Record<string, Electron.WebFrameMain | null>> = {
        'no frame': null,
        'a frame within our page': like({ parent: frame }),
        'another page': like({ frameToken: 'other' }),
        'another process': like({ processId: 8 }),
        'another origin': like({ origin: 'https://example.com', url: 'https://example.com/window/' }),
        'another origin at our address': like({ origin: 'null' }),
        'our origin at another address': like({ url: 'app://protagonist/media/c1/video' }),
      };
      const names = [...new Set([...Object.values(channels).map(({ name }) => name), ...window.ipc.handlers.keys()])];
      const known = new Set([...window.ipc.handlers.keys(), 'protagonist:message']);
      for (const name of window.ipc.eventNames()) if (typeof name === 'string' && !known.has(name)) names.push(name);
      const ask = (channel: string, senderFrame: Electron.WebFrameMain | null, answered: (what: string) => void) => {
        const said = examples[channel.replace('protagonist:', '')];
        const answer = window.ipc.handlers.get(channel);
        if (answer)
          void Promise.resolve(answer({ senderFrame }, said)).then(() => answered(channel), () => answered(channel)); // prettier-ignore
        else window.ipc.emit(channel, { senderFrame }, said);
      };
      const effects = () => window.sent.length + started.fake.calls.filter(({ name }) => /^dialog|^startDrag|^shell/.test(name)).length;
      const before = effects();
      for (const [who, senderFrame] of Object.entries(strangers)) for (const name of names) ask(name, senderFrame, channel => wrong(`${who} is answered on ${channel}.`)); // prettier-ignore
      await sleep(40);
      if (effects() !== before) wrong('A message of somebody else has been acted upon.');
      // else a wire that answers nobody would pass
      const heard = new Set<string>();
      for (const name of names) ask(name, frame, channel => heard.add(channel));
      for (let i = 0; i < 100 && (heard.size < window.ipc.handlers.size || window.sent.length === 0); i++) await sleep(10);
      for (const name of Object.keys(examples)) if (name !== 'message' && !heard.has(`protagonist:${name}`)) wrong(`Our own page is not answered on ${name}.`); // prettier-ignore
      if (window.sent.length === 0) wrong('Our own page is not answered on message.');
      return `${names.length} channels, ${Object.keys(strangers).length} strangers`;
    },
  },
  // 18
  ruleRow(18, 'file scheme', 'No page or file by its path, and a scheme with no more than it needs', 'electron/shell/protocol.ts'),
  {
    id: '18.scheme',
    item: 18,
    kind: 'fake',
    what: 'One scheme of our own, registered before ready; the file scheme answers nothing',
    where: 'electron/shell/protocol.ts',
    check: async (subject, wrong) => {
      const { fake } = await subject.started({ packed: true });
      const order = fake.calls.map(({ name }) => name);
      const registered = fake.calls.find(({ name }) => name === 'protocol.registerSchemesAsPrivileged')?.args[0] as
        Electron.CustomScheme[] | undefined;
      if (!registered || order.indexOf('protocol.registerSchemesAsPrivileged') > order.indexOf('app.whenReady')) wrong('No scheme is registered before the app is ready.'); // prettier-ignore
      for (const { scheme, privileges = {} } of registered ?? []) {
        if (scheme !== 'app') wrong(`The scheme ${scheme} is privileged.`);
        for (const [name, on] of Object.entries(privileges)) if (on && !['standard', 'secure', 'supportFetchAPI', 'stream', 'codeCache'].includes(name)) wrong(`The scheme ${scheme} has ${name}.`); // prettier-ignore
      }
      const file = fake.schemes.get('file');
      if (!file) wrong('The file scheme is left to Electron.');
      for (const url of ['file:///etc/hostname', 'file:///', 'file:///C:/Windows/win.ini']) {
        const said = await file?.(new Request(url));
        if (said?.status !== 403) wrong(`${url} is answered with ${said?.status ?? 'nothing'}.`);
      }
      for (const scheme of fake.schemes.keys()) if (scheme !== 'app' && scheme !== 'file') wrong(`The scheme ${scheme} is answered.`);
      return 'app:// alone';
    },
  },
  // 19
  ruleRow(19, 'fuse hook', 'Every package goes through the hook that sets them', 'build/electron-builder.config.ts'),
  {
    id: '19.fuses',
    item: 19,
    kind: 'unit',
    what: 'Each of the nine is said, stands as it should, and is read back after it is set',
    where: 'build/after-pack.ts',
    check: async (subject, wrong) => {
      const { fuses, setFuses } = await subject.load<typeof AfterPack>('build/after-pack.ts');
      const { checkFuses } = await subject.load<typeof Check>('build/check.ts');
      for (const sentence of checkFuses(fuses)) wrong(sentence);
      const folder = mkdtempSync(join(tmpdir(), 'protagonist-fuses-')),
        file = join(folder, 'program');
      try {
        writeFileSync(file, standIn('101100011'));
        await setFuses(file);
        const { version, ...wire } = await getCurrentFuseWire(file);
        const set = Object.values(wire).map(state => (state === FuseState.ENABLE ? '1' : '0')).join(''); // prettier-ignore
        if (set !== '010011001') wrong(`The fuses of a program became ${set}.`);
        return `${set}, version ${version}`;
      } catch (error) {
        wrong(`The fuses of a program could not be set: ${error instanceof Error ? error.message : String(error)}.`);
        return '';
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  },
  {
    id: '19.switches',
    item: 19,
    kind: 'fake',
    what: 'What no fuse covers: a packed app does not go on with a switch that opens it, and takes it away first',
    where: 'electron/shell/switches.ts',
    check: async (subject, wrong) => {
      const { refusedSwitches } = await subject.load<typeof Switches>('electron/shell/switches.ts');
      for (const name of ['no-sandbox', 'remote-debugging-port', 'remote-debugging-pipe', 'inspect', 'inspect-brk', 'disable-web-security', 'load-extension', 'js-flags', 'ignore-certificate-errors'])
        if (!refusedSwitches.some(one => one === name)) wrong(`--${name} is not refused.`); // prettier-ignore
      const { fake, window } = await subject.started({ packed: true, switches: ['remote-debugging-port'] });
      const order = fake.calls.map(({ name }) => name),
        removed = order.indexOf('commandLine.removeSwitch');
      if (removed < 0 || removed > order.indexOf('app.whenReady')) wrong('--remote-debugging-port is not taken away before the app is ready.'); // prettier-ignore
      if (window || !order.includes('app.exit')) wrong('A packed app goes on with --remote-debugging-port.');
      return `${refusedSwitches.length} switches`;
    },
  },
  {
    id: '19.inspector',
    item: 19,
    kind: 'fake',
    what: 'A packed app has no inspector of its page, nor a menu for one',
    where: 'electron/shell/window.ts',
    check: async (subject, wrong) => {
      const { fake, window } = await subject.started({ packed: true });
      if (window?.options.webPreferences?.devTools !== false) wrong('The window of a packed app can be inspected.');
      const roles = (menu: readonly Electron.MenuItemConstructorOptions[]): string[] => menu.flatMap(({ role, submenu }) => [role ?? '', ...(Array.isArray(submenu) ? roles(submenu) : [])]); // prettier-ignore
      for (const role of roles(fake.menu)) if (/toggleDevTools|reload|forceReload/i.test(role)) wrong(`The menu of a packed app has ${role}.`); // prettier-ignore
      return 'devTools: false';
    },
  },
  // 20
  ruleRow(20, 'electron imports', 'main.ts and preload.ts alone import Electron', 'electron/shell'),
  ruleRow(20, 'preload', 'The preload hands out one bridge, by channels that are written out', 'electron/shell/preload.ts'),
  {
    id: '20.bridge',
    item: 20,
    kind: 'fake',
    what: 'The page gets functions alone: no channel, event or object of Electron',
    where: 'electron/shell/preload.ts',
    check: async (subject, wrong) => {
      const { worlds, bridge, asked, tell } = await subject.preload();
      if (worlds.map(([name]) => name).join() !== 'protagonist') wrong(`The page is given ${worlds.map(([name]) => name).join(', ')}.`);
      for (const [name, value] of Object.entries(bridge)) if (typeof value !== 'function') wrong(`The bridge’s ${name} is no function.`);
      const odd = ['other:channel', 'ipcRenderer'] as never[];
      for (const name of ['send', 'keep', 'pick', 'save', 'drag', 'reveal'] as const)
        Reflect.apply(bridge[name] as () => unknown, bridge, odd);
      for (const [, channel] of asked) if (!/^protagonist:[a-z]+$/.test(channel)) wrong(`The page has sent on ${channel}.`);
      const heard: unknown[][] = [];
      bridge.receive((...said) => void heard.push(said));
      bridge.asked((...said) => void heard.push(said));
      tell('protagonist:message', { line: 1, said: 'x' });
      tell('protagonist:asked', { action: 'y' });
      if (JSON.stringify(heard) !== '[[1,"x"],[{"action":"y"}]]') wrong(`The page hears more than what was said: ${JSON.stringify(heard)}.`); // prettier-ignore
      return `${Object.keys(bridge).length} functions`;
    },
  },
];

/** Contents that the app gets to see after its window: a page that something has opened all the same. */
async function laterContents({ fake }: Started) {
  const { EventEmitter } = await import('node:events');
  let answer: ((details: { url: string }) => { action: string }) | undefined;
  const other = Object.assign(new EventEmitter(), {
    setWindowOpenHandler: (given: typeof answer) => void (answer = given),
    setWebRTCIPHandlingPolicy: () => undefined,
  });
  fake.app.emit('web-contents-created', {}, other);
  return { other, opens: (details: { url: string }) => answer?.(details) };
}

/** Every row, by the item's number. */
export const rows: readonly Row[] = [
  ...written,
  ...binaryRows.map(({ id, item, what, of }): Row => ({ id: `${id} (${of})`, item, kind: 'needs-binary', what, where: of === 'packed' ? 'build/after-pack.ts' : 'electron/shell' })), // prettier-ignore
].toSorted((a, b) => (a.item || 99) - (b.item || 99));

/** What a row came to. */
export interface Checked extends Row {
  readonly state: 'passed' | 'failed' | 'NOT RUN';
  readonly wrong: readonly string[];
  /** What was looked at. */
  readonly seen: string;
}
/** Runs one row. A check that throws has failed: what it would have said is not known. */
export async function check(row: Row, subject: Subject): Promise<Checked> {
  if (!row.check) return { ...row, state: 'NOT RUN', wrong: [], seen: '' };
  const wrong = new Set<string>();
  let seen = '';
  try {
    seen = await row.check(subject, sentence => void wrong.add(sentence));
  } catch (error) {
    wrong.add(`The check broke: ${error instanceof Error ? error.message : String(error)}`);
  }
  return { ...row, state: wrong.size > 0 ? 'failed' : 'passed', wrong: [...wrong], seen };
}
/** Runs all that can be run without Electron. */
export async function checkAll(subject: Subject): Promise<Checked[]> {
  const checked: Checked[] = [];
  for (const row of rows) checked.push(await check(row, subject));
  return checked;
}

/** The table, as it is printed. */
export function table(checked: readonly Checked[]): string {
  const lines: string[] = [];
  let item = -1;
  for (const one of checked) {
    if (one.item !== item) lines.push(one.item === 0 ? 'Beside the list' : `${one.item}. ${items[one.item]!}`);
    item = one.item;
    lines.push(`   ${one.state.padEnd(8)}${one.kind.padEnd(13)} ${one.what} (${one.where}${one.seen === '' ? '' : `; ${one.seen}`})`);
    for (const sentence of one.wrong) lines.push(`      ${sentence}`);
  }
  const count = (state: Checked['state']) => checked.filter(one => one.state === state).length;
  lines.push(
    `${count('passed')} passed, ${count('failed')} failed, ${count('NOT RUN')} not run: they need a real Electron (npm run smoke:electron)`,
  );
  return lines.join('\n');
}

if (import.meta.main) {
  const subject = subjectOf();
  try {
    const checked = await checkAll(subject);
    if (process.argv.includes('--json'))
      for (const { id, item, kind, what, where, state, wrong, seen } of checked)
        console.log(JSON.stringify({ id, item, title: items[item] ?? null, kind, what, where, state, wrong, seen }));
    else console.log(table(checked));
    process.exitCode = checked.some(({ state }) => state === 'failed') ? 1 : 0;
  } finally {
    await subject.close();
  }
}
