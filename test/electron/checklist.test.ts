/** @file Electron's checklist is whole, passes, and each of its checks refuses what it is there for: sources are changed, one at a time, then read, loaded or started as the app's own are. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { root } from '../support/run.ts';
import { check, items, kinds, rows, table, type Checked } from './checklist.ts';
import { rules } from './lint.ts';
import { subjectOf, type Edit } from './subject.ts';

/** The day on which all of it was true: a test does not fail because time has passed; `npm run checklist` does. */
const day = new Date('2026-11-23T12:00:00Z');

const main = 'electron/shell/main.ts',
  preload = 'electron/shell/preload.ts',
  start = 'electron/shell/start.ts',
  window = 'electron/shell/window.ts',
  ipc = 'electron/shell/ipc.ts',
  protocol = 'electron/shell/protocol.ts',
  switches = 'electron/shell/switches.ts',
  page = 'renderer/index.html',
  afterPack = 'build/after-pack.ts',
  pack = 'build/electron-builder.config.ts';

/** At a source's beginning or end. */
const intoStart = (text: string): Edit => [start, 'export async function start(', `${text}\nexport async function start(`];
const intoView = (text: string): Edit => ['renderer/App.svelte', '</script>', `</script>\n${text}`];
const intoScript = (text: string): Edit => ['renderer/main.ts', 'const target = ', `${text}\nconst target = `];

/** For each check, what it must refuse: changed sources, and what it then says. */
const mutants: Readonly<Record<string, readonly (readonly [what: string, edits: readonly Edit[], says: RegExp])[]>> = {
  '1.lint': [
    ['an address without a secure connection', [intoStart("const news = 'http://example.com/news';")], /start\.ts:\d+: http:\/\/example\.com\/news is/],
    ['a page from elsewhere', [[start, 'made.loadURL(`${origin}/window/`)', "made.loadURL('https://example.com/')"]], /a page is loaded that is not/],
    ['a page that another file loads', [[window, 'export const smallest', "export const load = (w: BrowserWindow) => w.loadURL('x');\nexport const smallest"]], /only start\.ts loads/],
  ],
  '1.requests': [
    ['requests let through', [[window, 'answer({ cancel: !mayRequest(url, { development }) })', 'answer({})']], /A request for https:\/\/example\.com\/ is let through/],
    ['the inspector’s scheme, packed', [[window, "(development && url.startsWith('devtools://devtools/'))", "url.startsWith('devtools://')"]], /devtools:.* is let through/],
    ['an origin by its beginning', [[window, 'url.startsWith(`${origin}/`) && URL.canParse', 'url.startsWith(origin) && URL.canParse']], /app:\/\/protagonist\.example\/window\/ is let/],
    ['certificates accepted', [[window, '(_, answer) => answer(-2)', '(_, answer) => answer(0)']], /A certificate is accepted/],
    ['another page', [[start, 'made.loadURL(`${origin}/window/`)', "made.loadURL('app://elsewhere/')"]], /The window loads app:\/\/elsewhere/],
  ],
  '1.built': [['a script from elsewhere', [[page, './main.ts', 'https://example.com/main.js']], /asks for https:\/\/example\.com/]],
  '2.lint': [
    ['Node in the page', [[window, 'nodeIntegration: false', 'nodeIntegration: true']], /nodeIntegration is not plainly false/],
    ['Node in workers, reckoned', [[window, 'nodeIntegrationInWorker: false', 'nodeIntegrationInWorker: development']], /nodeIntegrationInWorker is not/],
    ['set afterwards', [intoStart("const p: Electron.WebPreferences = {}; p.nodeIntegration = true;")], /nodeIntegration is not/],
  ],
  '2.window': [['Node in frames', [[window, 'nodeIntegrationInSubFrames: false', 'nodeIntegrationInSubFrames: !development']], /nodeIntegrationInSubFrames: true when packed/]],
  '3.lint': [['one world for both', [[window, 'contextIsolation: true', 'contextIsolation: false']], /contextIsolation is not plainly true/]],
  '3.window': [['left to its default', [[window, '  contextIsolation: true, // 3\n', '']], /contextIsolation: undefined/]],
  '4.lint': [
    ['none', [[window, 'sandbox: true', 'sandbox: !development']], /sandbox is not plainly true/],
    ['a switch', [intoStart("const loosen = (app: Electron.App) => app.commandLine.appendSwitch('no-sandbox');")], /appendSwitch adds a switch/],
  ],
  '4.window': [['none', [[window, 'sandbox: true', 'sandbox: false']], /sandbox: false/]],
  '4.all': [
    ['not asked for', [[start, '  app.enableSandbox();\n', '']], /enableSandbox is not called/],
    ['asked for too late', [[start, '  app.enableSandbox();\n', ''], [start, "  let spoken: 'system'", "  app.enableSandbox();\n  let spoken: 'system'"]], /enableSandbox is not called before/],
    ['a start without it', [[switches, "  'no-sandbox',\n", '']], /--no-sandbox (shows its window|goes on)/],
  ],
  '5.permissions': [
    ['a camera', [[window, "new Set(['fullscreen',", "new Set(['media', 'fullscreen',"]], /media is granted to our page/],
    ['anybody', [[window, 'permitted.has(permission) && from === contents && isMainFrame && isOwnPage(requestingUrl)', 'permitted.has(permission)']], /fullscreen is granted to another (page|window)/],
    ['frames, looked up', [[window, 'from === contents && isMainFrame && requestingOrigin', 'from === contents && requestingOrigin']], /looked up, is granted to app:\/\/protagonist in a frame/],
    ['devices', [[window, 'setDevicePermissionHandler(() => false)', 'setDevicePermissionHandler(() => true)']], /A device is granted/],
    ['the screen', [[window, '  session.setDisplayMediaRequestHandler((_, answer) => answer(null));\n', '']], /left to Electron/],
  ],
  '6.lint': [['off', [[window, 'webSecurity: true', 'webSecurity: false']], /webSecurity is not/]],
  '6.window': [['off while developing', [[window, 'webSecurity: true', 'webSecurity: !development']], /webSecurity: false/]],
  '7.policy': [
    ['inline scripts', [[protocol, "script-src 'self';", "script-src 'self' 'unsafe-inline';"]], /script-src (is not|allows)/],
    ['pictures from anywhere', [[protocol, "img-src 'self' blob:;", "img-src 'self' blob: https:;"]], /img-src allows https:/],
    ['everything that is not named', [[protocol, "default-src 'none'; script-src", "default-src 'self'; script-src"]], /default-src is not none/],
    ['frames around it', [[protocol, "; frame-ancestors 'none'", '']], /frame-ancestors is not none/],
  ],
  '7.header': [
    ['none with the page', [[protocol, "'content-security-policy': windowPolicy, ", '']], /The page comes without the policy/],
    ['none with a refusal', [[protocol, '{ status, headers: { ...safety, ...headers,', '{ status, headers: { ...headers,']], /comes without a policy|taken for what it is not/],
  ],
  '7.lint': [
    ['eval', [intoScript("export const seven = eval('7') as number;")], /main\.ts:\d+: eval takes text for code/],
    ['Function', [intoScript("export const made = new Function('return 7');")], /Function takes text/],
    ['a timer', [intoScript("setTimeout('seven()', 7);")], /a timer takes text/],
    ['innerHTML', [intoScript("document.body.innerHTML = location.hash;")], /innerHTML takes text for a document/],
    ['insertAdjacentHTML', [intoScript("document.body.insertAdjacentHTML('beforeend', location.hash);")], /insertAdjacentHTML takes text/],
    ['document.write', [intoScript('document.write(location.hash);')], /write takes text/],
    ['{@html}', [intoView('{@html location.hash}')], /App\.svelte:\d+: \{@html\}/],
    ['innerHTML in the markup', [intoView('<button onclick={event => (event.currentTarget.innerHTML = location.hash)}>x</button>')], /innerHTML takes text/],
    ['a page’s code from the main process', [intoStart("const run = (w: Electron.WebContents) => w.executeJavaScript('7');")], /executeJavaScript/],
    ['vm', [intoStart("import { runInNewContext } from 'node:vm';")], /vm takes text/],
  ],
  '7.built': [
    ['a script', [[page, '<script type="module" src="./main.ts"></script>', '<script>start()</script>']], /has a script in it/],
    ['a handler', [[page, '<body>', '<body onload="start()">']], /has a handler/],
    ['a style', [[page, '<div id="app">', '<div id="app" style="margin: 0">']], /has a style/],
  ],
  '8.lint': [['on', [[window, 'allowRunningInsecureContent: false', 'allowRunningInsecureContent: true']], /allowRunningInsecureContent is not/]],
  '8.window': [['on while developing', [[window, 'allowRunningInsecureContent: false', 'allowRunningInsecureContent: development']], /allowRunningInsecureContent: true/]],
  '9.lint': [['on', [[window, 'experimentalFeatures: false', 'experimentalFeatures: true']], /experimentalFeatures is not/]],
  '9.window': [['on when packed', [[window, 'experimentalFeatures: false', 'experimentalFeatures: !development']], /experimentalFeatures: true when packed/]],
  '10.lint': [['one', [[window, '  plugins: false,', "  enableBlinkFeatures: 'CSSVariables',\n  plugins: false,"]], /enableBlinkFeatures is set/]],
  '10.window': [['one', [[window, '  plugins: false,', "  ...{ ['enableBlink' + 'Features']: 'CSSVariables' },\n  plugins: false,"]], /enableBlinkFeatures: CSSVariables/]],
  '11.lint': [
    ['the element in a view', [intoView('<webview src="https://example.com/" allowpopups></webview>')], /<webview> holds a page/],
    ['a frame', [intoView('<iframe src="./other.html" title="x"></iframe>')], /<iframe> holds a page/],
    ['one that is made', [intoScript("document.createElement('webview');")], /<webview> holds/],
    ['the preference', [[window, 'webviewTag: false', 'webviewTag: true']], /webviewTag is not/],
  ],
  '11.window': [['the element', [[window, 'webviewTag: false', 'webviewTag: development']], /webviewTag: true/], ['a dropped file as a page', [[window, 'navigateOnDragDrop: false', 'navigateOnDragDrop: !development']], /navigateOnDragDrop: true/]],
  '12.attach': [
    ['attached', [[window, "    held.on('will-attach-webview', event => event.preventDefault());\n", '']], /A webview is attached to the window/],
    ['attached later', [[window, ".on('web-contents-created', alsoHold);", ';']], /contents that came later/],
    ['later ones open windows', [[window, 'const alsoHold = (_: unknown, other: WebContents) => hold(other);', "const alsoHold = (_: unknown, other: WebContents) => void other.on('will-attach-webview', event => event.preventDefault());"]], /that came later (open windows|go elsewhere)/],
  ],
  '13.navigation': [
    ['anywhere', [[window, "    held.on('will-navigate', stay);\n", '']], /It goes to https:\/\/example\.com\/ \(will-navigate\)/],
    ['frames', [[window, "    held.on('will-frame-navigate', stay);\n", '']], /\(will-frame-navigate\)/],
    ['redirected', [[window, "    held.on('will-redirect', stay);\n", '']], /\(will-redirect\)/],
    ['our page in a frame', [[window, 'if (!event.isMainFrame || !isOwnPage', 'if (!isOwnPage']], /A frame shows our page/],
    ['a video as a page', [[window, '/^\\/window\\/(?:index\\.html)?$/.test', '/^\\//.test']], /media\/c1\/video/],
  ],
  '13.lint': [
    ['a second window', [intoStart("const other = (B: typeof Electron.BrowserWindow) => new B({}) ; const more = (e: ElectronUsed) => new e.BrowserWindow({ show: true });")], /without the preferences of window\.ts/],
    ['one without its walls', [[start, 'letGo = secure({', 'letGo = unsecured({']], /0 secured/],
    ['a view', [[window, '// Where it stands', 'export const view = (e: { WebContentsView: new () => object }) => new e.WebContentsView();\n// Where it stands']], /WebContentsView is made outside/],
    ['another session', [[start, 'session: ses },', '},']], /in another session/],
  ],
  '14.windows': [['allowed', [[window, "return { action: 'deny' };", "return { action: page ? 'allow' : 'deny' };"]], /A window is opened for https:\/\/huggingface\.co/]],
  '15.lint': [
    ['unseen', [[window, 'if (page) openExternal(page.href)', 'openExternal(url)']], /something else than what mayOpen/],
    ['elsewhere', [[ipc, 'reveal: async ({ id }) =>', 'open: async (shell: Shell & { openExternal(u: string): void }) => shell.openExternal("x"),\n    reveal: async ({ id }) =>']], /openExternal is called outside start\.ts/],
    ['files', [[ipc, 'shell.showItemInFolder(await locate(id))', 'shell.openPath(await locate(id))']], /openPath starts/],
  ],
  '15.addresses': [
['any characters', [[window, " || !/^[!-~]+$/.test(url)", '']], /https:\/\/huggingface\.co\/ x may be opened/],
    ['any host', [[window, " || !linkedHosts.includes(host)", '']], /https:\/\/example\.com\/ may be opened/],
    ['however it is written', [[window, 'return url.startsWith(`https://${host}/`) ? parsed : undefined;', 'return parsed;']], /https:\/\/HUGGINGFACE\.CO\/x may be opened/],
  ],
  '15.handed': [
    ['everything', [[window, 'const page = mayOpen(url);', 'const page = URL.parse(url);']], /The system was handed https:\/\/example\.com\//],
    ['nothing', [[window, 'if (page) openExternal(page.href)', 'if (!page) openExternal(url)']], /The system was handed|was not handed on/],
  ],
  '16.version': [
    ['a range', [['package.json', '"electron": "45.4.1"', '"electron": "^45.4.1"']], /no exact version/],
    ['another one', [['package.json', '"electron": "45.4.1"', '"electron": "45.4.0"']], /45\.4\.1 is installed, and package\.json names 45\.4\.0/],
    ['one that has ended', [['test/electron/supported.json', '"ends": "2027-05-04"', '"ends": "2026-11-23"']], /Electron 45 has ended on 2026-11-23 \(reckoned/],
    ['one that is not known', [['package.json', '"electron": "45.4.1"', '"electron": "46.0.0"']], /Electron 46 is not in/],
  ],
  '17.lint': [
    ['elsewhere', [intoStart("const hear = (w: Electron.WebContents) => w.ipc.on('x', () => undefined);")], /w\.ipc\.on hears the page outside ipc\.ts/],
    ['every window', [[start, "  | 'app'\n", "  | 'app'\n  | 'ipcMain'\n"]], /ipcMain hears every window/],
    ['unchecked', [[ipc, 'ipcMain.on(channels.message.name, onMessage);', "ipcMain.on(channels.message.name, onMessage);\n  ipcMain.on('protagonist:more', () => undefined);"]], /3 listeners hear the page, and 2 check/],
  ],
  '17.sender': [
    ['frames within', [[ipc, '    frame.parent === null &&\n', '']], /a frame within our page is answered/],
    ['other frames', [[ipc, '    frame.frameToken === main.frameToken &&\n', '']], /another page is answered/],
    ['other origins', [[ipc, '    frame.origin === origin &&\n', '']], /another origin at our address is answered/],
    ['other addresses', [[ipc, ' &&\n    frame.url.startsWith(`${origin}/window/`)', '']], /at another address is answered/],
    ['anybody', [[ipc, "if (contents.isDestroyed() || !trusted(event, contents)) return refuse('sender');", '']], /no frame is answered/],
    ['nobody', [[ipc, 'if (frame === null) return false;', 'return false;']], /Our own page is not answered/],
  ],
  '18.lint': [
    ['by its path', [[start, 'made.loadURL(`${origin}/window/`)', "made.loadFile('x.html')"]], /loadFile shows a page/],
    ['an address', [intoScript("export const readme = 'file:///usr/share/doc';")], /is an address of a file/],
    ['past the policy', [[protocol, 'codeCache: true', 'codeCache: true, bypassCSP: true']], /bypassCSP gives a scheme/],
  ],
  '18.scheme': [
    ['past the policy', [[protocol, 'codeCache: true', 'codeCache: true, bypassCSP: true']], /The scheme app has bypassCSP/],
    ['files', [[start, "  ses.protocol.handle('file', refusing);\n", '']], /file scheme is left to Electron/],
    ['files answered', [[protocol, 'said(request, 403,', 'said(request, 200,']], /file:\/\/\/etc\/hostname is answered with 200/],
    ['too late', [[start, '  electron.protocol.registerSchemesAsPrivileged(privileges);\n', ''], [start, "  let spoken: 'system'", "  electron.protocol.registerSchemesAsPrivileged(privileges);\n  let spoken: 'system'"]], /No scheme is registered before/],
  ],
  '19.lint': [
    ['no hook', [[pack, '    afterPack,\n', '']], /no fuse would be set/],
    ['electron-builder’s own fuses', [[pack, '    afterPack,\n', '    afterPack,\n    electronFuses: { runAsNode: false },\n']], /electronFuses knows fewer/],
  ],
  '19.fuses': [
    ['one the other way', [[afterPack, '[FuseV1Options.RunAsNode]: false', '[FuseV1Options.RunAsNode]: true']], /The fuse RunAsNode has to be off/],
    ['one not said', [[afterPack, '  [FuseV1Options.WasmTrapHandlers]: true,\n', '']], /WasmTrapHandlers/],
    ['not set', [[afterPack, "await flipFuses(program, { ...fuses, ...(resign && { resetAdHocDarwinSignature: true }) });", '']], /could not be set/],
  ],
  '19.switches': [
    ['let through', [[switches, "  'remote-debugging-port',\n", '']], /--remote-debugging-port is not refused/],
    ['not taken away', [[switches, 'commandLine.removeSwitch(name)', 'void name']], /not taken away/],
    ['gone on', [[start, '  if (refused !== undefined) {', "  if (refused === 'no-sandbox') {"]], /goes on with --remote-debugging-port/],
  ],
  '19.inspector': [
    ['the inspector', [[window, 'devTools: development', 'devTools: true']], /can be inspected/],
    ['its menu', [[window, '...(development ? [line,', '...(line ? [line,']], /The menu of a packed app has toggleDevTools/],
  ],
  '20.lint': [
    ['imported', [[window, "import { z } from 'zod';", "import { z } from 'zod';\nimport { app } from 'electron';"]], /window\.ts:\d+: electron is imported; only/],
    ['asked for later', [intoStart("const later = import('electron/main');")], /electron\/main is imported/],
    ['required', [intoStart("const more = require('electron') as typeof Electron;")], /electron is imported/],
    ['in the window', [intoScript("import type { IpcRenderer } from 'electron';")], /main\.ts:\d+: electron is imported/],
    ['the other way', [[main, "import { start } from './start.ts';", "import { start } from './start.ts';\nimport remote from '@electron/remote';"]], /gives the page the main process/],
  ],
  '20.lint-preload': [
    ['ipcRenderer itself', [[preload, "exposeInMainWorld('protagonist', bridge)", "exposeInMainWorld('protagonist', { ...bridge, ipcRenderer })"]], /ipcRenderer is used other than|something else than the bridge/],
    ['a second world', [[preload, "contextBridge.exposeInMainWorld('protagonist', bridge);", "contextBridge.exposeInMainWorld('protagonist', bridge);\ncontextBridge.exposeInMainWorld('more', bridge);"]], /called 2 times/],
    ['any channel', [[preload, "reveal: id => ask('reveal', { id }),", 'reveal: id => ask(id, { id }),']], /chosen by what the page says/],
    ['a channel that is reckoned', [[preload, "ipcRenderer.send('protagonist:message', { line, said })", "ipcRenderer.send(String(line), { line, said })"]], /not written out/],
    ['more of it', [[preload, "ipcRenderer.send('protagonist:message', { line, said })", "ipcRenderer.sendSync('protagonist:message', { line, said })"]], /other than by calling/],
  ],
  '20.bridge': [
    ['an object', [[preload, "exposeInMainWorld('protagonist', bridge)", "exposeInMainWorld('protagonist', { ...bridge, electron: ipcRenderer })"]], /electron is no function/],
    ['any channel', [[preload, "reveal: id => ask('reveal', { id }),", 'reveal: id => ask(id, { id }),']], /The page has sent on/],
    ['the event', [[preload, 'const heard = (_: IpcRendererEvent, said: unknown) => listener(said);', 'const heard = (event: IpcRendererEvent, said: unknown) => listener({ event, said });']], /hears more than what was said/],
  ],
}; // prettier-ignore

const clean = subjectOf([], day);
after(() => clean.close());

describe('the list', () => {
  test('is whole: each of the 20 items has a check that runs here, and all pass', async () => {
    assert.deepEqual(Object.keys(items).map(Number), Array.from({ length: 20 }, (_, i) => i + 1)); // prettier-ignore
    assert.equal(new Set(rows.map(({ id }) => id)).size, rows.length, 'an id stands twice');
    for (const item of Object.keys(items))
      assert.ok(
        rows.some(row => row.item === Number(item) && row.check),
        `item ${item} has no check`,
      );
    for (const kind of kinds) assert.ok(rows.some(row => row.kind === kind));
    const checked: Checked[] = [];
    for (const row of rows) checked.push(await check(row, clean));
    for (const { id, kind, state, wrong } of checked) assert.equal(state, kind === 'needs-binary' ? 'NOT RUN' : 'passed', `${id}: ${wrong.join(' ')}`); // prettier-ignore
    const text = table(checked);
    for (const title of Object.values(items)) assert.ok(text.includes(title));
    assert.match(text, /NOT RUN needs-binary {2}/);
  });
  test('each rule of the sources is one of its rows', () => {
    assert.equal(Object.keys(rules).length, rows.filter(({ id }) => /\.lint/.test(id)).length);
  });
  test('each check has something that it must refuse', () => {
    assert.deepEqual(Object.keys(mutants).toSorted(), rows.filter(row => row.check).map(({ id }) => id).toSorted()); // prettier-ignore
    console.log(`${Object.values(mutants).flat().length} changed apps`);
  });
  test('the end of a version is the day itself, not the one after', async () => {
    const row = rows.find(({ id }) => id === '16.version')!;
    for (const [today, state] of [
      ['2027-05-03', 'passed'],
      ['2027-05-04', 'failed'],
      ['2029-01-01', 'failed'],
    ] as const)
      // prettier-ignore
      assert.equal((await check(row, { ...clean, today: new Date(`${today}T12:00:00Z`) })).state, state, today);
  });
  test('the pages about it name rows, scripts and files that are there', () => {
    const { scripts } = JSON.parse(clean.sources.get('package.json')!) as { scripts: Readonly<Record<string, string>> };
    const ids = new Set(rows.map(({ id }) => id.replace(/ \(.*$/, '')));
    let named = 0;
    for (const page of ['docs/check-with-electron.md', 'docs/threat-model.md', 'README.md']) {
      const text = readFileSync(join(root, page), 'utf8');
      for (const [, id = ''] of text.matchAll(/`(\d+\.[a-z]+)`/g)) assert.ok(ids.has(id), `${page} names the row ${id}`);
      for (const [, script = ''] of text.matchAll(/npm run (?:-s )?([\w:]+)/g))
        assert.ok(Object.hasOwn(scripts, script), `${page} names ${script}`);
      for (const [, file = ''] of text.matchAll(/`((?:test|build|electron)\/[\w./-]+\.\w+)`/g))
        assert.ok(existsSync(join(root, file)), `${page} names ${file}`);
      for (const [, file = ''] of text.matchAll(/`(\w+\.ts)`/g))
        assert.ok(
          [...clean.sources.keys()].some(one => one.endsWith(`/${file}`)),
          `${page} names ${file}`,
        );
      named += text.match(/`\d+\.[a-z]+`/g)?.length ?? 0;
    }
    assert.ok(named >= 3);
  });
  test('a check that breaks has failed', async () => {
    const broken = await check({ ...rows[0]!, check: () => Promise.reject(new Error('no file')) }, clean);
    assert.deepEqual([broken.state, broken.wrong], ['failed', ['The check broke: no file']]);
  });
});

describe('refused', () => {
  for (const row of rows)
    for (const [what, edits, says] of mutants[row.id] ?? [])
      test(`${row.id}: ${what}`, async () => {
        const subject = subjectOf(edits, day);
        try {
          const { state, wrong } = await check(row, subject);
          assert.equal(state, 'failed', 'it passes');
          assert.match(wrong.join('\n'), says);
        } finally {
          await subject.close();
        }
      });
});
