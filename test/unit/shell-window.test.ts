/** @file The desktop window's frame without Electron: where it stands, its menu, its walls, and what the system is shown of the work. What Electron can ask is read out of its own types, so that what is new there is met here first. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { BrowserWindow, MenuItemConstructorOptions, Rectangle } from 'electron';
import fc from 'fast-check';
import { parseCatalogue } from '../../electron/contract/catalogue.ts';
import { job as jobSchema, type Job, type Progress } from '../../electron/contract/records.ts';
import {
  acceleratorOf,
  boundsWithin,
  bringForward,
  isOwnMedia,
  isOwnPage,
  keepBounds,
  linkedHosts,
  mayOpen,
  mayRequest,
  menuLabels,
  menuTemplate,
  readBounds,
  secure,
  smallest,
  webPreferences,
  type MenuAction,
  type MenuWords,
  type Walls,
} from '../../electron/shell/window.ts';
import { clipsIn, followWork, quitting, type Running, type WorkOptions } from '../../electron/shell/work.ts';
import { root } from '../support/run.ts';

const declarations = readFileSync(join(root, 'node_modules/electron/electron.d.ts'), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'protagonist-window-'));
after(() => rmSync(folder, { recursive: true }));

const platforms = ['darwin', 'win32', 'linux'] as const;
/** The class's text in Electron's types. */
const classOf = (name: string) => new RegExp(`^  (?:class|interface) ${name} [^]*?^  }`, 'm').exec(declarations)![0];
/** Lets promises that are settled be noticed. */
const settle = async () => {
  for (let i = 0; i < 5; i++) await turn();
};

describe('what the page may do', () => {
  const said = (development: boolean, platform: NodeJS.Platform) => ({
    preload: '/p.js',
    nodeIntegration: false,
    nodeIntegrationInWorker: false,
    nodeIntegrationInSubFrames: false,
    contextIsolation: true,
    sandbox: true,
    webSecurity: true,
    allowRunningInsecureContent: false,
    experimentalFeatures: false,
    webviewTag: false,
    navigateOnDragDrop: false,
    plugins: false,
    devTools: development,
    spellcheck: platform === 'darwin',
  });
  test('exactly this, and each is a preference that Electron knows', () => {
    for (const platform of platforms)
      for (const development of [true, false])
        assert.deepEqual(webPreferences('/p.js', { development, platform }), said(development, platform));
    assert.equal(webPreferences('/p.js').devTools, false, 'no inspector unless it is asked for');
    const known = classOf('WebPreferences');
    for (const name of Object.keys(said(false, 'linux'))) assert.match(known, new RegExp(`^    ${name}\\?:`, 'm'));
    for (const name of known.matchAll(/^    (nodeIntegration\w*|\w*Insecure\w*|\w*[eE]xperimental\w*|webview\w*)\?:/gm))
      assert.ok(name[1]! in said(false, 'linux'), `${name[1]!} is new: say what it is to be`);
  });
});

describe('where the window stands', () => {
  const whole = fc.integer({ min: -20_000, max: 20_000 });
  const display = fc.record({
    x: whole,
    y: whole,
    width: fc.integer({ min: 300, max: 8000 }),
    height: fc.integer({ min: 200, max: 5000 }),
  });
  const displays = fc.array(display, { minLength: 1, maxLength: 4 });
  const rectangle = fc.record({
    x: fc.oneof(whole, fc.maxSafeInteger()),
    y: fc.oneof(whole, fc.maxSafeInteger()),
    width: fc.oneof(fc.integer({ min: 1, max: 12_000 }), fc.maxSafeInteger()),
    height: fc.oneof(fc.integer({ min: 1, max: 12_000 }), fc.maxSafeInteger()),
    maximized: fc.boolean(),
  });
  const nonsense = fc.oneof(
    fc.anything(),
    rectangle,
    fc.record({ x: fc.double(), y: fc.double(), width: fc.double(), height: fc.double() }),
  );
  const inside = (a: Rectangle, b: Rectangle) =>
    a.x >= b.x && a.y >= b.y && a.x + a.width <= b.x + b.width && a.y + a.height <= b.y + b.height;

  test('always whole on a display, and large enough where the display is', () => {
    fc.assert(
      fc.property(nonsense, displays, (saved, there) => {
        const found = boundsWithin(saved, there),
          on = there.filter(d => inside(found, d));
        assert.ok(on.length > 0, JSON.stringify({ found, there }));
        assert.ok(on.some(d => found.width >= Math.min(smallest.width, d.width) && found.height >= Math.min(smallest.height, d.height)));
        assert.deepEqual(boundsWithin(found, there), found, 'it stays there');
      }),
      { numRuns: 5000 },
    );
  });
  test('what is fine stays as it is', () => {
    fc.assert(
      fc.property(displays, fc.nat(), fc.nat(), fc.nat(), fc.nat(), fc.boolean(), (there, a, b, c, d, maximized) => {
        const [on] = there as [Rectangle];
        fc.pre(on.width >= smallest.width && on.height >= smallest.height);
        const width = smallest.width + (a % (on.width - smallest.width + 1)),
          height = smallest.height + (b % (on.height - smallest.height + 1)),
          saved = { x: on.x + (c % (on.width - width + 1)), y: on.y + (d % (on.height - height + 1)), width, height, maximized };
        assert.deepEqual(boundsWithin(saved, there), saved);
      }),
      { numRuns: 2000 },
    );
  });
  test('a display that is gone, half off, too large, too small, no display at all', () => {
    const left = { x: 0, y: 25, width: 1920, height: 1055 },
      right = { x: 1920, y: 0, width: 2560, height: 1440 };
    const was = { x: 2500, y: 300, width: 1200, height: 800, maximized: true };
    assert.deepEqual(boundsWithin(was, [left, right]), was);
    assert.deepEqual(
      boundsWithin(was, [left]),
      { x: 360, y: 152, width: 1200, height: 800, maximized: true },
      'in the middle of the other',
    );
    const at = (x: number, y: number, width: number, height: number) => boundsWithin({ x, y, width, height, maximized: false }, [left]);
    assert.deepEqual(at(-300, -50, 1000, 700), { x: 0, y: 25, width: 1000, height: 700, maximized: false });
    assert.deepEqual(at(100, 100, 9000, 9000), { x: 0, y: 25, width: 1920, height: 1055, maximized: false });
    assert.deepEqual(at(1900, 1000, 40, 40), { x: 1120, y: 480, width: 800, height: 600, maximized: false });
    assert.deepEqual(boundsWithin(undefined, [left]), { x: 320, y: 122, width: 1280, height: 860, maximized: false });
    assert.deepEqual(boundsWithin(undefined, []), { x: 0, y: 0, width: 1280, height: 860, maximized: false });
    assert.deepEqual(boundsWithin(undefined, [{ x: 0, y: 0, width: 0, height: 0 }, left]), boundsWithin(undefined, [left]));
  });

  class Moving extends EventEmitter {
    at = { x: 10, y: 20, width: 900, height: 700 };
    maximized = false;
    destroyed = false;
    getNormalBounds = () => this.at;
    isMaximized = () => this.maximized;
    isDestroyed = () => this.destroyed;
  }
  const kept = (t: TestContext, name: string) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const window = new Moving(),
      file = join(folder, name);
    return { window, file, stop: keepBounds(window as unknown as BrowserWindow, file) };
  };

  test('it is written down after it has come to rest, and when it closes', t => {
    const { window, file, stop } = kept(t, 'bounds.json');
    for (let i = 0; i < 100; i++) {
      window.at = { ...window.at, x: i };
      window.emit('move');
      t.mock.timers.tick(100);
    }
    assert.equal(readBounds(file), undefined, 'it was still moving');
    t.mock.timers.tick(500);
    assert.deepEqual(readBounds(file), { x: 99, y: 20, width: 900, height: 700, maximized: false });
    window.maximized = true;
    window.emit('maximize');
    window.emit('close');
    assert.deepEqual(readBounds(file), { x: 99, y: 20, width: 900, height: 700, maximized: true });
    window.at = { ...window.at, x: 7 };
    window.emit('resize');
    window.destroyed = true;
    t.mock.timers.tick(1000);
    assert.equal(readBounds(file)?.x, 99, 'a window that is gone is not asked');
    stop();
    assert.equal(window.eventNames().length, 0);
    assert.deepEqual(
      readdirSync(folder).filter(name => name.endsWith('.part')),
      [],
    );
  });
  test('what was still to be written is written when it is let go; a folder that is gone is no matter', t => {
    const { window, file, stop } = kept(t, 'late.json');
    window.emit('resize');
    stop();
    assert.equal(readBounds(file)?.x, 10);
    const other = new Moving();
    keepBounds(other as unknown as BrowserWindow, join(folder, 'nowhere', 'bounds.json'));
    other.emit('close');
  });
  test('what is read is a place or nothing', () => {
    const file = join(folder, 'odd.json');
    assert.equal(readBounds(join(folder, 'none.json')), undefined);
    for (const text of ['', '{', 'null', '[]', '{"x":1}', '{"x":"1","y":2,"width":3,"height":4,"maximized":false}', '\0\0\0\0']) {
      writeFileSync(file, text);
      assert.equal(readBounds(file), undefined, text);
    }
    writeFileSync(file, '{"x":1.5,"y":2,"width":3,"height":4,"maximized":false}');
    assert.equal(readBounds(file), undefined);
    writeFileSync(file, '{"x":1,"y":2,"width":3,"height":4,"maximized":false,"__proto__":{"a":1}}');
    assert.deepEqual(readBounds(file), { x: 1, y: 2, width: 3, height: 4, maximized: false });
  });
  test('it comes forward, minimised or not', () => {
    for (const minimised of [true, false]) {
      const done: string[] = [];
      bringForward({
        isMinimized: () => minimised,
        restore: () => done.push('restore'),
        show: () => done.push('show'),
        focus: () => done.push('focus'),
      });
      assert.deepEqual(done, [...(minimised ? ['restore'] : []), 'show', 'focus']);
    }
  });
});

describe('the menu', () => {
  const words = Object.fromEntries(menuLabels.map(label => [label, `~${label}`])) as unknown as MenuWords;
  const items = (menu: readonly MenuItemConstructorOptions[]): MenuItemConstructorOptions[] =>
    menu.flatMap(item => [item, ...(Array.isArray(item.submenu) ? items(item.submenu) : [])]);
  const roles = new Set(
    [...classOf('MenuItemConstructorOptions').matchAll(/role\?: \(([^)]+)\)/g)].flatMap(m =>
      [...m[1]!.matchAll(/'(\w+)'/g)].map(name => name[1]!),
    ),
  );
  /** What a role answers to unless the item says otherwise (lib/browser/api/menu-item-roles.ts of Electron). */
  const roleKeys = (role: string, platform: (typeof platforms)[number]): string | undefined => {
    const mac = platform === 'darwin',
      windows = platform === 'win32';
    const keys: Readonly<Record<string, string | undefined>> = {
      close: 'CommandOrControl+W',
      copy: 'CommandOrControl+C',
      cut: 'CommandOrControl+X',
      hide: 'Command+H',
      hideOthers: 'Command+Alt+H',
      minimize: 'CommandOrControl+M',
      paste: 'CommandOrControl+V',
      pasteAndMatchStyle: mac ? 'Command+Alt+Shift+V' : 'Shift+CommandOrControl+V',
      quit: windows ? undefined : 'CommandOrControl+Q',
      redo: windows ? 'Control+Y' : 'Shift+CommandOrControl+Z',
      reload: 'CommandOrControl+R',
      resetZoom: 'CommandOrControl+0',
      selectAll: 'CommandOrControl+A',
      toggleDevTools: mac ? 'Alt+Command+I' : 'Control+Shift+I',
      togglefullscreen: mac ? 'Control+Command+F' : 'F11',
      undo: 'CommandOrControl+Z',
      zoomIn: 'CommandOrControl+Plus',
      zoomOut: 'CommandOrControl+-',
    };
    return keys[role];
  };
  const spelt = (keys: string, mac: boolean) =>
    keys
      .replace(/CommandOrControl|CmdOrCtrl/, mac ? 'Command' : 'Control')
      .split('+')
      .sort()
      .join('+');

  for (const platform of platforms)
    for (const development of [false, true])
      test(`${platform}${development ? ', in development' : ''}: keys are unique, roles are Electron's, words are ours`, () => {
        const mac = platform === 'darwin',
          menu = menuTemplate(platform, words, () => undefined, { development }),
          all = items(menu);
        assert.ok(roles.size > 30);
        const taken = new Map<string, string>();
        for (const item of all) {
          if (item.type === 'separator') {
            assert.deepEqual(Object.keys(item), ['type']);
            continue;
          }
          if (item.role !== undefined) assert.ok(roles.has(item.role), item.role);
          assert.equal(
            [item.role, item.click].filter(Boolean).length + (item.submenu && !item.role ? 1 : 0),
            1,
            'a role, an action or a menu',
          );
          if (!development) assert.match(item.label ?? '', /^~|^Protagonist$/, 'every label is a word of ours');
          const keys = item.accelerator ?? (item.role && roleKeys(item.role, platform));
          if (keys === undefined) continue;
          assert.match(keys, /\+|^F\d+$/, 'people type without modifiers');
          const chord = spelt(keys, mac);
          assert.ok(!taken.has(chord), `${chord} is both ${taken.get(chord) ?? ''} and ${item.label ?? ''}`);
          taken.set(chord, item.label ?? '');
        }
        assert.equal(all.some(i => i.role === 'reload' || i.role === 'toggleDevTools'), development); // prettier-ignore
        const edges = all.flatMap(item => (Array.isArray(item.submenu) ? [item.submenu[0], item.submenu.at(-1)] : []));
        assert.ok(edges.every(item => item && item.type !== 'separator'));
        const used = new Set(all.map(item => item.label?.slice(1)));
        const foreign = mac ? [] : ['zoom', 'front', 'services', 'hide', 'hideOthers', 'showAll'];
        if (!development) assert.deepEqual([...menuLabels].filter(label => !used.has(label)), foreign, 'no word is for nothing'); // prettier-ignore
        assert.deepEqual(
          menu.map(item => item.label),
          [...(mac ? ['Protagonist'] : []), '~file', '~edit', '~view', '~window', '~help'],
        );
      });

  test('what it asks for is in the table of shortcuts, with the same keys', () => {
    const table = new Map(
      [
        ...readFileSync(join(root, 'renderer/state/shortcuts.svelte.ts'), 'utf8').matchAll(
          /\{ id: '([\w.]+)', label: '[\w.]+', keys: '([^']+)' \}/g,
        ),
      ].map(m => [m[1]!, m[2]!]),
    );
    for (const platform of platforms) {
      const asked = new Map<MenuAction, string[]>();
      let last: MenuAction | undefined;
      for (const item of items(menuTemplate(platform, words, action => (last = action)))) {
        (item.click as (() => void) | undefined)?.();
        if (last) asked.set(last, [...(asked.get(last) ?? []), ...(item.accelerator === undefined ? [] : [item.accelerator])]);
        last = undefined;
      }
      assert.deepEqual([...asked.keys()].sort(), [
        'clip.new',
        'clip.open',
        'go.create',
        'go.library',
        'go.settings',
        'go.subjects',
        'keys.show',
        'queue.toggle',
        'redo',
        'undo',
      ]);
      for (const [action, keys] of asked) {
        const usual = table.get(action);
        assert.ok(usual !== undefined, action);
        if (usual.startsWith('Mod+')) assert.ok(keys.includes(usual.replace('Mod', 'CmdOrCtrl')), `${action}: ${usual}`);
        else assert.deepEqual(keys, [], `${action} has keys that people type`);
      }
      const ours = new Set([...asked.values()].flat());
      for (const [id, keys] of table)
        if (ours.has(keys.replace('Mod', 'CmdOrCtrl')))
          assert.ok(asked.has(id as MenuAction) || /^edit\.(undo|redo)$/.test(id), `${id} has the menu's ${keys}`);
    }
  });

  test('keys that a person has changed are the menu’s too, and those that people type are not shown there', () => {
    const accelerators = (shortcuts: Readonly<Record<string, string | null>>) =>
      new Map(
        items(menuTemplate('linux', words, () => undefined, { shortcuts })).flatMap(i => (i.click ? [[i.label, i.accelerator]] : [])),
      );
    const usual = accelerators({});
    assert.deepEqual(['~library', '~queue', '~undo', '~newClip'].map(label => usual.get(label)), ['CmdOrCtrl+3', undefined, 'CmdOrCtrl+Z', 'CmdOrCtrl+N']); // prettier-ignore
    const own = accelerators({ 'go.library': 'Mod+Alt+L', 'queue.toggle': 'Mod+Q', 'keys.show': 'F1', 'clip.new': null, undo: 'U', other: 'Mod+X' }); // prettier-ignore
    assert.deepEqual(['~library', '~queue', '~shortcuts', '~newClip', '~undo', '~redo'].map(label => own.get(label)), ['CmdOrCtrl+Alt+L', 'CmdOrCtrl+Q', 'F1', undefined, undefined, 'CmdOrCtrl+Shift+Z']); // prettier-ignore
    const spelt: readonly (readonly [string | null, string | undefined])[] = [[null, undefined], ['', undefined], ['Mod+', undefined], ['Q', undefined], ['Shift+Q', undefined], ['?', undefined], ['Mod++', 'CmdOrCtrl+Plus'], ['Alt+ArrowUp', 'Alt+Up'], ['Mod+Ctrl+Space', 'CmdOrCtrl+Ctrl+Space'], ['Mod+é', undefined], ['Mod+MediaPlay', undefined], ['Shift+F5', 'Shift+F5'], ['Mod+,', 'CmdOrCtrl+,'], ['constructor', undefined]]; // prettier-ignore
    for (const [chord, keys] of spelt) assert.equal(acceleratorOf(chord), keys, String(chord));
  });
});

describe('what the person’s own browser may be given', () => {
  const links = parseCatalogue(readFileSync(join(root, 'assets/checkpoints.json'), 'utf8')).map(({ licence }) => licence.link);

  test('the pages that the window names, and their hosts are all that are listed', () => {
    for (const link of links) assert.equal(mayOpen(link)?.href, link);
    assert.deepEqual([...new Set(links.map(link => new URL(link).host))].sort(), [...linkedHosts].sort());
    assert.equal(mayOpen('https://huggingface.co/a?b=c#d')?.href, 'https://huggingface.co/a?b=c#d');
  });
  test('nothing else', () => {
    const wrong = [
      '', ' ', 'huggingface.co', '//huggingface.co/', 'https:', 'https://', 'https:///', 'https:huggingface.co', 'https:/huggingface.co/', 'https:\\\\huggingface.co\\a', 'http://huggingface.co/',
      'HTTPS://huggingface.co/', 'https://HUGGINGFACE.co/', 'https://huggingface.co', 'https://huggingface.co:443/', 'https://huggingface.co:8443/', 'https://huggingface.co./', 'https://www.huggingface.co/',
      'https://huggingface.co.evil.example/', 'https://evil.example/huggingface.co/', 'https://huggingface.co@evil.example/', 'https://a@huggingface.co/', 'https://a:b@huggingface.co/', 'https://@huggingface.co/',
      'https://huggingface.co%2eevil.example/', 'https://huggingface.co%00/', 'https://hugg%69ngface.co/', 'https://huggingface。co/', 'https://huggіngface.co/', 'https://xn--huggngface-5oi.co/', 'https://ｈuggingface.co/',
      'https://huggingface.co\\@evil.example/', 'https://evil.example\\@huggingface.co/', 'https://huggingface.co/\n', '\thttps://huggingface.co/', 'https://hugging\tface.co/', 'https://huggingface.co/a b', 'https://huggingface.co/\u202e',
      'https://huggingface.co/é', 'https://cdn-lfs.huggingface.co/', 'https://cas-bridge.xethub.hf.co/', 'https://apache.org/', 'https://127.0.0.1/', 'https://[::1]/', 'https://0x7f.1/', `https://huggingface.co/${'a'.repeat(3000)}`,
      'file:///etc/passwd', 'file://huggingface.co/share/a.exe', 'smb://huggingface.co/share', '\\\\huggingface.co\\share', 'ms-settings:privacy', 'ms-msdt:/id', 'search-ms:query=a&crumb=location:\\\\evil', 'javascript:alert(1)', 'data:text/html,a',
      'blob:https://huggingface.co/a', 'view-source:https://huggingface.co/', 'mailto:a@huggingface.co', 'tel:1', 'ftp://huggingface.co/', 'ws://huggingface.co/', 'wss://huggingface.co/', 'vscode://huggingface.co/', 'app://protagonist/window/', 'about:blank', 'chrome://settings', 'x-apple.systempreferences:a',
    ]; // prettier-ignore
    for (const url of wrong) assert.equal(mayOpen(url), undefined, url);
  });
  test('whatever is made of parts of addresses: https, a listed host, nothing hidden', () => {
    const part = fc.constantFrom('https:', 'http:', 'file:', 'smb:', 'javascript:', '/', '//', '\\', '@', ':', ':443', '?', '#', '.', '%00', '\n', '\t', '\0', ' ', 'huggingface.co', 'www.apache.org', 'evil.example', 'HuggingFace.co', 'ı', '\u202e', 'a', '..'); // prettier-ignore
    const url = fc.oneof(
      fc.array(part, { maxLength: 9 }).map(parts => parts.join('')),
      fc.webUrl(),
      fc.string({ unit: 'binary' }),
      fc
        .string({ unit: fc.oneof({ weight: 20, arbitrary: fc.string({ minLength: 1, maxLength: 1 }) }, { weight: 1, arbitrary: part }) })
        .map(rest => `https://huggingface.co/${rest}`),
      fc.string({ unit: 'binary' }).map(rest => `https://huggingface.co${rest}`),
    );
    let passed = 0;
    fc.assert(
      fc.property(url, given => {
        const found = mayOpen(given);
        if (!found) return;
        passed++;
        assert.match(given, /^https:\/\/(?:huggingface\.co|www\.apache\.org)\/[!-[\]-~]*$/);
        assert.deepEqual([found.protocol, found.username, found.password, found.port], ['https:', '', '', '']);
        assert.ok(linkedHosts.includes(found.host));
      }),
      { numRuns: 20_000 },
    );
    assert.ok(passed > 100, 'some were let through');
  });
});

/** Electron's side of `secure`: what was set, and what is emitted. */
function walled(options: Partial<Walls> = {}) {
  const set = new Map<string, (...args: never[]) => unknown>(),
    calls: unknown[] = [],
    opened: string[] = [];
  const emitter = (...names: readonly string[]) => {
    const made = new EventEmitter() as EventEmitter & Record<string, unknown>;
    for (const name of names)
      made[name] = (value: never) => (typeof value === 'function' ? set.set(name, value) : calls.push([name, value]));
    return made;
  };
  const app = emitter(),
    session = emitter(
      'setPermissionRequestHandler',
      'setPermissionCheckHandler',
      'setDevicePermissionHandler',
      'setDisplayMediaRequestHandler',
      'setCertificateVerifyProc',
      'setSpellCheckerEnabled',
    ),
    web = emitter('onBeforeRequest'),
    contents = emitter('setWindowOpenHandler', 'setWebRTCIPHandlingPolicy');
  Object.assign(session, { webRequest: web });
  const stop = secure({
    app: app as unknown as Walls['app'],
    session: session as unknown as Walls['session'],
    contents: contents as unknown as Walls['contents'],
    openExternal: url => {
      opened.push(url);
      return Promise.reject(new Error('no browser'));
    },
    downloads: '/home/ada/Downloads',
    platform: 'linux',
    ...options,
  });
  const ask = (name: string, ...args: unknown[]) => (set.get(name) as (...args: unknown[]) => unknown)(...args);
  const event = (more: object = {}) => {
    let prevented = false;
    return { event: { preventDefault: () => (prevented = true), ...more }, prevented: () => prevented };
  };
  return { app, session, contents, calls, opened, ask, event, emitter, stop };
}

describe('permissions', () => {
  const names = (method: string) => {
    const line = new RegExp(`^ +${method}\\(handler: .*$`, 'm').exec(declarations)![0];
    return [...line.slice(line.indexOf('permission: '), line.indexOf(method.includes('Request') ? ', callback' : ', requestingOrigin')).matchAll(/'([\w-]+)'/g)].map(m => m[1]!); // prettier-ignore
  };
  const all = [...new Set([...names('setPermissionRequestHandler'), ...names('setPermissionCheckHandler')])];

  test(`of all ${all.length} that Electron knows two are given, to our own page in our own window alone`, () => {
    const { ask, contents } = walled(),
      page = 'app://protagonist/window/';
    const requested = (from: unknown, permission: string, isMainFrame: boolean, requestingUrl: string) => {
      const answers: unknown[] = [];
      ask('setPermissionRequestHandler', from, permission, (granted: unknown) => answers.push(granted), { isMainFrame, requestingUrl });
      return answers;
    };
    const given = all.filter(permission => requested(contents, permission, true, page)[0]);
    assert.deepEqual(given.sort(), ['clipboard-sanitized-write', 'fullscreen']);
    for (const permission of given) {
      assert.deepEqual(requested(contents, permission, false, page), [false], 'a frame within');
      assert.deepEqual(requested(contents, permission, true, 'https://example.com/'), [false], 'another page');
      assert.equal(ask('setPermissionCheckHandler', contents, permission, 'app://protagonist/', { isMainFrame: true }), true);
      assert.equal(ask('setPermissionCheckHandler', contents, permission, 'app://protagonist.example', { isMainFrame: true }), false);
      assert.equal(ask('setPermissionCheckHandler', contents, permission, 'app://protagonist', { isMainFrame: false }), false);
    }
  });
  test('to anybody else all are denied, asked for and looked up', () => {
    assert.ok(
      all.length >= 45 && ['media', 'geolocation', 'usb', 'openExternal', 'fileSystem', 'unknown'].every(name => all.includes(name)),
      all.join(),
    );
    const { ask } = walled();
    for (const permission of [...all, 'what comes next year']) {
      const answers: unknown[] = [];
      ask('setPermissionRequestHandler', {}, permission, (granted: unknown) => answers.push(granted), {
        isMainFrame: true,
        requestingUrl: 'app://protagonist/window/',
      });
      assert.deepEqual(answers, [false], permission);
      for (const contents of [{}, null])
        assert.equal(ask('setPermissionCheckHandler', contents, permission, 'app://protagonist', {}), false);
    }
  });
  test('devices and the screen are denied', () => {
    const { ask } = walled(),
      kinds = [...classOf('DevicePermissionHandlerHandlerDetails').matchAll(/'(\w+)'/g)].map(m => m[1]!);
    assert.ok(kinds.length >= 3);
    for (const deviceType of kinds)
      assert.equal(ask('setDevicePermissionHandler', { deviceType, origin: 'app://protagonist', device: {} }), false);
    const streams: unknown[] = [];
    ask('setDisplayMediaRequestHandler', { videoRequested: true }, (given: unknown) => streams.push(given));
    assert.deepEqual(streams, [null]);
  });
  test('a session has no further door of this kind', () => {
    const doors = new Set([...classOf('Session').matchAll(/^    (set\w*Handler|set\w*Proc|register\w*Handler)\(/gm)].map(m => m[1]!));
    assert.deepEqual([...doors].sort(), [
      'registerLocalAIHandler', // none: pages get no such thing
      'setBluetoothPairingHandler', // none: pairing is cancelled
      'setCertificateVerifyProc',
      'setDevicePermissionHandler',
      'setDisplayMediaRequestHandler',
      'setPermissionCheckHandler',
      'setPermissionRequestHandler',
      'setUSBProtectedClassesHandler', // none: USB is denied altogether
    ]);
  });
});

describe('where the window goes', () => {
  const page = ['app://protagonist/window/', 'app://protagonist/window/index.html', 'app://protagonist/window/#/library/c5', 'app://protagonist/window/index.html?a=b#/x']; // prettier-ignore
  const elsewhere = [
    'app://protagonist/', 'app://protagonist', 'app://protagonist/window', 'app://protagonist/window/assets/a.js', 'app://protagonist/window/index.html/x', 'app://protagonist/window/../media/c1/video', 'app://protagonist/media/c1/video',
    'app://protagonist/window/%2e%2e/media/c1/video', 'app://Protagonist/window/', 'APP://protagonist/window/', 'app://protagonist:1/window/', 'app://a@protagonist/window/', 'app://protagonist@evil/window/', 'app://protagonist.evil/window/',
    'app://other/window/', 'app:///window/', 'app:window/', 'apps://protagonist/window/', 'https://protagonist/window/', 'https://huggingface.co/', 'http://127.0.0.1:4123/', 'file:///etc/passwd', 'javascript:alert(1)', 'data:text/html,<script>',
    'blob:app://protagonist/1', 'about:blank', 'about:srcdoc', 'devtools://devtools/', 'chrome://gpu', '', ' app://protagonist/window/',
  ]; // prettier-ignore

  test('to its own page, in its main frame; nowhere else, by no way', () => {
    for (const url of page) assert.ok(isOwnPage(url), url);
    for (const url of elsewhere) assert.ok(!isOwnPage(url), url);
    const { app, contents, event, emitter } = walled(),
      later = emitter('setWindowOpenHandler', 'setWebRTCIPHandlingPolicy');
    app.emit('web-contents-created', {}, later);
    for (const held of [contents, later])
      for (const way of ['will-navigate', 'will-frame-navigate', 'will-redirect'])
        for (const [urls, isMainFrame, stays] of [
          [page, true, false],
          [page, false, true],
          [elsewhere, true, true],
          [elsewhere, false, true],
        ] as const)
          for (const url of urls) {
            const { event: e, prevented } = event({ url, isMainFrame, isSameDocument: false, frame: null });
            assert.ok(held.emit(way, e), way);
            assert.equal(prevented(), stays, `${way} ${url} ${isMainFrame}`);
          }
  });
  test('Electron has no further way to go', () => {
    const ways = new Set([...classOf('WebContents').matchAll(/^    on\(event: '(will-[\w-]+)'/gm)].map(m => m[1]!));
    assert.deepEqual([...ways].sort(), [
      'will-attach-webview',
      'will-frame-navigate',
      'will-navigate',
      'will-prevent-unload',
      'will-redirect',
    ]);
  });
  test('it opens no window, and hands on what may be handed on', () => {
    const { ask, opened } = walled();
    for (const url of [...page, ...elsewhere, 'https://huggingface.co/zai-org', 'https://huggingface.co:444/', 'ms-settings:'])
      for (const disposition of ['foreground-tab', 'new-window'])
        assert.deepEqual(ask('setWindowOpenHandler', { url, disposition, frameName: '', features: '' }), { action: 'deny' });
    assert.deepEqual([...new Set(opened)], ['https://huggingface.co/', 'https://huggingface.co/zai-org']);
  });
  test('no page in the page', () => {
    const { contents, event } = walled(),
      { event: e, prevented } = event();
    contents.emit('will-attach-webview', e, {}, { src: 'app://protagonist/window/' });
    assert.ok(prevented());
  });
});

describe('what is reached', () => {
  const own = ['app://protagonist/window/assets/a.js', 'app://protagonist/media/c1/video?v=1', 'blob:app://protagonist/4c1d'];
  const foreign = [
    'https://huggingface.co/', 'http://localhost/', 'ws://127.0.0.1/', 'wss://a.example/', 'file:///etc/hostname', 'ftp://a/', 'data:text/html,a', 'data:image/png;base64,AA', 'blob:null/1', 'blob:https://a.example/1', 'blob:app://other/1',
    'app://other/', 'app://protagonist.evil/', 'app://protagonist', 'app://protagonist:80/', 'chrome-extension://a/b', 'devtools://evil/', 'https://redirector.gvt1.com/edgedl/chrome/dict/en-us-10-1.bdic', 'about:blank', '',
  ]; // prettier-ignore

  test('its own files and nothing else, for whoever asks', () => {
    for (const development of [false, true]) {
      const { ask } = walled({ development });
      const cancelled = (url: string) => {
        const answers: unknown[] = [];
        ask('onBeforeRequest', { url, resourceType: 'other' }, (answer: unknown) => answers.push(answer));
        return answers;
      };
      for (const url of own) assert.deepEqual(cancelled(url), [{ cancel: false }], url);
      for (const url of foreign) assert.deepEqual(cancelled(url), [{ cancel: true }], url);
      assert.deepEqual(cancelled('devtools://devtools/bundled/inspector.html'), [{ cancel: !development }]);
    }
    fc.assert(
      fc.property(fc.oneof(fc.webUrl({ validSchemes: ['http', 'https', 'ws', 'app', 'file'] }), fc.string({ unit: 'binary' })), url =>
        assert.equal(mayRequest(url), /^(?:blob:)?app:\/\/protagonist\//.test(url)),
      ),
      { numRuns: 5000 },
    );
  });
  test('no certificate is trusted and none is shown; dictionaries are not fetched; what goes past all this has no way either', () => {
    const { app, ask, event, calls } = walled();
    const verdicts: unknown[] = [];
    ask('setCertificateVerifyProc', { hostname: 'huggingface.co', errorCode: 0 }, (verdict: unknown) => verdicts.push(verdict));
    assert.deepEqual(verdicts, [-2]);
    const bad = event(),
      trusted: unknown[] = [];
    app.emit('certificate-error', bad.event, {}, 'https://huggingface.co/', 'net::ERR', {}, (trust: unknown) => trusted.push(trust), true);
    assert.ok(bad.prevented());
    assert.deepEqual(trusted, [false]);
    const wanted = event(),
      shown: unknown[][] = [];
    app.emit('select-client-certificate', wanted.event, {}, 'https://a.example/', [{}], (...given: unknown[]) => shown.push(given));
    assert.ok(wanted.prevented());
    assert.deepEqual(shown, [[]]);
    assert.deepEqual(calls, [
      ['setSpellCheckerEnabled', false],
      ['setWebRTCIPHandlingPolicy', 'disable_non_proxied_udp'],
    ]);
    assert.deepEqual(walled({ platform: 'darwin' }).calls[0], ['setSpellCheckerEnabled', true]);
  });

  const item = (url: string, more: { chain?: string[]; by?: string; name?: string } = {}) => {
    const options: unknown[] = [];
    return {
      options,
      item: {
        getURL: () => url,
        getURLChain: () => more.chain ?? [url],
        getInitiatorOrigin: () => more.by ?? 'app://protagonist',
        getFilename: () => more.name ?? 'lemon.mp4',
        setSaveDialogOptions: (given: unknown) => options.push(given),
      },
    };
  };
  test('kept are the library’s own files, where the person says', () => {
    const { session, contents, event } = walled();
    const media = 'app://protagonist/media/c1/video?v=1';
    const emit = (given: ReturnType<typeof item>, from: unknown = contents) => {
      const { event: e, prevented } = event();
      session.emit('will-download', e, given.item, from, null);
      return prevented();
    };
    for (const by of ['app://protagonist', '']) {
      const kept = item(media, { by });
      assert.equal(emit(kept), false);
      assert.deepEqual(kept.options, [{ defaultPath: join('/home/ada/Downloads', 'lemon.mp4'), properties: ['createDirectory', 'showOverwriteConfirmation'] }]); // prettier-ignore
    }
    for (const name of ['../../.bashrc', 'C:\\a\\con.mp4', '/etc/passwd', '.hidden', 'a\0b\u202e4pm.exe', '']) {
      const kept = item(media, { name });
      emit(kept);
      const { defaultPath } = kept.options[0] as { defaultPath: string };
      assert.match(defaultPath, /^\/home\/ada\/Downloads\/[^/\\\0\u202e.][^/\\\0\u202e]*$/, name);
    }
    for (const refused of [
      item('https://huggingface.co/a.mp4'),
      item('app://protagonist/window/index.html'),
      item('app://protagonist/media/../window/index.html'),
      item('app://other/media/c1/video'),
      item('blob:app://protagonist/1'),
      item('data:text/html,a'),
      item('file:///etc/passwd'),
      item(media, { by: 'null' }),
      item(media, { by: 'https://a.example' }),
      item(media, { chain: ['https://a.example/', media] }),
    ]) {
      assert.ok(emit(refused), refused.item.getURL());
      assert.deepEqual(refused.options, []);
    }
    assert.ok(emit(item(media), {}), 'of another page');
    assert.ok(!isOwnMedia('app://protagonist/mediax/c1'));
  });
  test('what outlives the window is let go', () => {
    const { app, session, stop } = walled();
    assert.ok(app.eventNames().length === 3 && session.eventNames().length === 1);
    stop();
    assert.deepEqual([...app.eventNames(), ...session.eventNames()], []);
  });
});

const progressOf = (more: Partial<Progress> = {}): Progress => ({ phase: 'denoise', step: 1, of: 10, seconds: 10, remaining: 90, ...more });
const jobOf = (id: number, more: Partial<Job> = {}): Job =>
  jobSchema.parse({
    id: `j${id}`, status: 'inProgress', position: 0, batchId: `j${id}`, request: { prompt: `  @lemon\n hops ${id}` },
    resolved: {
      version: 1, prompt: 'a toy hops', negativePrompt: '', subjects: [], references: [], startImage: null, checkpoint: { id: 'k1', name: 'Toybox', sha256: 'a'.repeat(64) }, adapters: [], seed: 1, numInferenceSteps: 8, guidanceScale: 3,
      useDynamicCfg: false, scheduler: 'ddim', numFrames: 9, width: 32, height: 32, fps: 8, fit: 'contain', precision: 'auto', noiseDtype: 'float32', vaeTiling: false, device: 'auto',
    },
    forecast: { seconds: 100, peakRamBytes: null, peakDeviceBytes: null, diskBytes: null, learntFrom: 0, exact: false },
    progress: null, snapshotStep: 0, attempt: 1, failure: null, clipId: null, createdAt: '', startedAt: null, endedAt: null, ...more,
  }); // prettier-ignore
const queueOf = (running: readonly string[]) => ({ type: 'queue', queue: { state: running.length ? 'running' : 'idle', text: null, running, waiting: 0, secondsLeft: null } }); // prettier-ignore

/** `followWork` with a clock that only we move. */
async function following(t: TestContext, { now = [] as Job[], supported = true, patient = true } = {}) {
  t.mock.timers.reset();
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const bars: number[] = [],
    log: string[] = [],
    shown: { title?: string; body?: string; click: () => void; closed: boolean }[] = [],
    app = new EventEmitter();
  let listener: ((event: unknown) => void) | undefined,
    focused = false,
    window = true,
    blockers = 0;
  class Notification extends EventEmitter {
    static isSupported = () => supported;
    readonly #at: (typeof shown)[number];
    constructor(options: { title?: string; body?: string }) {
      super();
      this.#at = { ...options, click: () => this.emit('click'), closed: false };
    }
    show() {
      shown.push(this.#at);
    }
    close() {
      this.#at.closed = true;
    }
  }
  const work = followWork({
    transport: {
      call: method => Promise.resolve({ value: method === 'queue.state' ? queueOf(now.map(j => j.id)).queue : { jobs: now, next: null } }),
      subscribe: l => {
        listener = l;
        return () => (listener = undefined);
      },
    },
    app: app as unknown as WorkOptions['app'],
    window: () =>
      window
        ? {
            setProgressBar: part => bars.push(part),
            isFocused: () => focused,
            isDestroyed: () => false,
            isMinimized: () => true,
            restore: () => log.push('restore'),
            show: () => log.push('show'),
            focus: () => log.push('focus'),
          }
        : undefined,
    powerSaveBlocker: {
      start: kind => (log.push(`awake ${kind}`), blockers++),
      stop: id => (log.push(`asleep ${id}`), true),
    },
    Notification: Notification as unknown as WorkOptions['Notification'],
    words: () => ({
      ready: (name, clips) => ({ title: `ready ${clips}`, body: name }),
      failed: (name, why, jobs) => ({ title: `failed ${jobs}`, body: `${name}: ${why}` }),
    }),
    go: to => log.push(`go ${to}`),
  });
  if (patient) await settle();
  return {
    work, bars, log, shown, app,
    say: (event: unknown) => listener?.(event),
    job: (job: Job) => listener?.({ type: 'job', job }),
    progress: (id: number, more: Partial<Progress> = {}) => listener?.({ type: 'progress', jobId: `j${id}`, progress: progressOf(more) }),
    look: (on: boolean) => ((focused = on), on && app.emit('browser-window-focus', {}, {})),
    shut: () => (window = false),
    listens: () => listener !== undefined,
  }; // prettier-ignore
}

describe('what the system is shown of the work', () => {
  test('the taskbar and the machine follow what runs, over the moment between two jobs', async t => {
    const { say, job, progress, bars, log } = await following(t);
    assert.deepEqual([bars, log], [[], []], 'nothing runs');
    job(jobOf(1));
    assert.deepEqual(log, ['awake prevent-app-suspension']);
    progress(1, { seconds: 25, remaining: 75 });
    progress(1, { seconds: 25.1, remaining: 74.9 }); // too little to be seen
    progress(1, { seconds: 50, remaining: 50 });
    progress(1, { seconds: 100, remaining: 0 });
    assert.deepEqual(bars, [0, 0.25, 0.5, 0.99]);
    job(jobOf(1, { status: 'completed', clipId: 'c1' }));
    say(queueOf([]));
    t.mock.timers.tick(900);
    assert.equal(bars.at(-1), 0.99);
    job(jobOf(2));
    t.mock.timers.tick(5000);
    assert.equal(bars.at(-1), 0);
    assert.deepEqual(log, ['awake prevent-app-suspension'], 'it stayed awake');
    progress(2, { seconds: 10, remaining: 90 });
    say(queueOf([]));
    t.mock.timers.tick(1000);
    assert.equal(bars.at(-1), -1);
    assert.deepEqual(log, ['awake prevent-app-suspension', 'asleep 0']);
    say(queueOf(['j3'])); // by another process: only the queue speaks of it
    assert.equal(bars.at(-1), 0);
    say({ type: 'progress', jobId: 'j3', progress: progressOf({ step: 5, of: 10 }) });
    assert.equal(bars.at(-1), 0.5, 'where nothing is foretold, the phase');
    for (const odd of [null, 7, {}, { type: 'queue' }, { type: 'next year' }]) say(odd);
  });
  test('what ran before it was opened is asked for, and again after a restore', async t => {
    const now = [jobOf(4, { progress: progressOf({ seconds: 20, remaining: 80 }) })];
    const { work, bars, log, say } = await following(t, { now });
    assert.deepEqual(bars, [0.2]);
    assert.deepEqual(work.running(), [{ id: 'j4', name: '@lemon hops 4', part: 0.2 }]);
    now.length = 0;
    say({ type: 'restored' });
    await settle();
    t.mock.timers.tick(1000);
    assert.deepEqual([bars.at(-1), log.at(-1)], [-1, 'asleep 0']);
  });
  test('a clip that is ready is told to whoever looks elsewhere; a click shows it', async t => {
    const { job, look, log, shown } = await following(t);
    look(true);
    job(jobOf(1));
    job(jobOf(1, { status: 'completed', clipId: 'c1' }));
    assert.equal(shown.length, 0, 'who looks at it sees it');
    look(false);
    job(jobOf(2));
    job(jobOf(2, { status: 'completed', clipId: 'c2' }));
    job(jobOf(2, { status: 'completed', clipId: 'c2' })); // said again
    job(jobOf(9, { status: 'completed', clipId: 'c9' })); // long since
    job(jobOf(3));
    job(jobOf(3, { status: 'completed', clipId: 'c3' }));
    assert.deepEqual(
      shown.map(({ title, body, closed }) => [title, body, closed]),
      [
        ['ready 1', '@lemon hops 2', true],
        ['ready 2', '@lemon hops 3', false],
      ],
      'one at a time',
    );
    shown[1]!.click();
    assert.deepEqual(log.slice(-4), ['restore', 'show', 'focus', 'go #/library/c3']);
    look(true);
    assert.ok(shown.every(({ closed }) => closed));
    look(false);
    job(jobOf(5));
    job(jobOf(5, { status: 'completed', clipId: 'c5' }));
    assert.equal(shown.at(-1)!.title, 'ready 1', 'counted anew');
  });
  test('so is one that failed, with its reason; not one that is canceled, paused or tried again', async t => {
    const { job, shown, log, shut } = await following(t);
    for (const status of ['pending', 'paused', 'canceled'] as const) {
      job(jobOf(1));
      job(jobOf(1, { status }));
    }
    assert.equal(shown.length, 0);
    job(jobOf(1));
    shut();
    job(jobOf(1, { status: 'failed', failure: { code: 'noSpace', text: 'the disk is full', action: 'freeSpace' } }));
    assert.deepEqual([shown[0]!.title, shown[0]!.body], ['failed 1', '@lemon hops 1: the disk is full']);
    shown[0]!.click();
    assert.equal(log.at(-1), 'go queue');
  });
  test('nothing is told where the system cannot, and nothing after the end', async t => {
    const silent = await following(t, { supported: false });
    silent.job(jobOf(1));
    silent.job(jobOf(1, { status: 'completed', clipId: 'c1' }));
    assert.equal(silent.shown.length, 0);
    silent.job(jobOf(2));
    silent.work.stop();
    silent.work.stop();
    assert.deepEqual([silent.bars.at(-1), silent.log.at(-1), silent.listens(), silent.app.eventNames()], [-1, 'asleep 0', false, []]);
    assert.deepEqual(silent.work.running(), []);
    silent.say({ type: 'restored' });
    const asking = await following(t, { now: [jobOf(3)], patient: false });
    asking.work.stop(); // before it was answered
    await settle();
    assert.deepEqual([asking.bars, asking.log, asking.work.running()], [[], [], []]);
  });
  test('stopping is safe when the painting was kept, when there is nothing to lose, and at once where waiting gains nothing', async t => {
    const { work, job, progress, say } = await following(t);
    const safe = () => {
      let is = false;
      void work.safePoint().then(() => (is = true));
      return async () => {
        await settle();
        return is;
      };
    };
    assert.ok(await safe()(), 'nothing runs');
    job(jobOf(1));
    for (const phase of ['load', 'encode'] as const) {
      progress(1, { phase });
      assert.ok(await safe()(), phase);
    }
    progress(1, { phase: 'denoise', step: 3 });
    let at = safe();
    assert.ok(!(await at()));
    progress(1, { phase: 'denoise', step: 4 });
    job(jobOf(1)); // said for another reason
    assert.ok(!(await at()));
    job(jobOf(1, { snapshotStep: 4 }));
    assert.ok(await at(), 'kept');
    progress(1, { phase: 'decode', remaining: 60 });
    assert.ok(await safe()(), 'a minute of decoding is not waited for');
    progress(1, { phase: 'decode', remaining: 6 });
    at = safe();
    assert.ok(!(await at()));
    job(jobOf(1, { status: 'completed', clipId: 'c1' }));
    assert.ok(await at(), 'the clip is there');
    job(jobOf(2));
    progress(2);
    at = safe();
    assert.ok(!(await at()));
    say(queueOf([]));
    assert.ok(await at(), 'paused');
  });
});

describe('the end', () => {
  function leaving(t: TestContext, { running = [] as Running[], owner = true, seconds = 20 } = {}) {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const log: string[] = [],
      safe = Promise.withResolvers<unknown>(),
      closed = Promise.withResolvers<unknown>();
    const app = Object.assign(new EventEmitter(), {
      quit: () => {
        log.push('quit');
        before();
      },
      exit: (code?: number) => log.push(`exit ${code ?? 0}`),
    });
    /** @returns whether the app goes on living */
    const before = () => {
      let prevented = false;
      app.emit('before-quit', { preventDefault: () => (prevented = true) });
      return prevented;
    };
    const quit = quitting({
      app: app as unknown as Parameters<typeof quitting>[0]['app'],
      work: { running: () => running, safePoint: () => safe.promise.then(() => undefined) },
      owner: () => owner,
      close: async () => {
        log.push('close');
        await closed.promise;
      },
      abandon: () => log.push('abandon'),
      show: (what, most) => log.push(`show ${what.map(({ name }) => name).join()} ${most}`),
      seconds,
    });
    return { log, safe, closed, before, quit };
  }
  const one: Running[] = [{ id: 'j1', name: 'a toy', part: 0.5 }];

  test('waits for a safe point, then for the library, then lets the app quit', async t => {
    const { log, safe, closed, before, quit } = leaving(t, { running: one });
    assert.ok(!quit.begun);
    assert.ok(before(), 'it goes on for now');
    assert.ok(quit.begun);
    await settle();
    assert.deepEqual(log, ['show a toy 20']);
    safe.resolve(0);
    await settle();
    assert.deepEqual(log, ['show a toy 20', 'close']);
    closed.resolve(0);
    await settle();
    assert.deepEqual(log, ['show a toy 20', 'close', 'quit']);
    assert.ok(!before(), 'nothing holds it any more');
    t.mock.timers.tick(60_000);
    assert.deepEqual(log.slice(3), []);
  });
  test('waits for no work but this process’s own', async t => {
    for (const options of [{}, { running: one, owner: false }]) {
      const { log, closed, before } = leaving(t, options);
      before();
      await settle();
      assert.deepEqual(log, ['close']);
      closed.reject(new Error('the disk is gone'));
      await settle();
      assert.deepEqual(log, ['close', 'quit'], 'what goes wrong now holds nobody up');
      t.mock.timers.reset();
    }
  });
  test('leaves the library its seconds, and ends when all are over', async t => {
    const { log, before } = leaving(t, { running: one, seconds: 20 });
    before();
    t.mock.timers.tick(15_999);
    await settle();
    assert.deepEqual(log, ['show a toy 20']);
    t.mock.timers.tick(1);
    await settle();
    assert.deepEqual(log.slice(1), ['close']);
    t.mock.timers.tick(4000);
    assert.deepEqual(log.slice(2), ['abandon', 'exit 0']);
    await settle();
    assert.ok(!before());
    assert.deepEqual(log.slice(4), []);
  });
  test('a second wish ends at once, its echo does not', async t => {
    const { log, before } = leaving(t, { running: one });
    before();
    before();
    t.mock.timers.tick(400);
    before();
    assert.deepEqual(log, ['show a toy 20']);
    t.mock.timers.tick(100);
    assert.ok(before());
    assert.deepEqual(log.slice(1), ['abandon', 'exit 0']);
    await settle();
    t.mock.timers.tick(60_000);
    await settle();
    assert.deepEqual(
      log.slice(3).filter(done => done !== 'close'),
      [],
    );
  });
  test('closing the last window is quitting, and the window stays until it is over', async t => {
    const { log, closed, quit } = leaving(t);
    const close = () => {
      let prevented = false;
      quit.closing({ preventDefault: () => (prevented = true) });
      return prevented;
    };
    assert.ok(close());
    await settle();
    assert.deepEqual(log, ['quit', 'close']);
    closed.resolve(0);
    await settle();
    assert.deepEqual(log, ['quit', 'close', 'quit']);
    assert.ok(!close());
  });
  test('a system that goes down is not held up', t => {
    const { log, quit } = leaving(t, { running: one });
    quit.end();
    quit.end();
    assert.deepEqual(log, ['abandon', 'exit 0']);
  });
});

describe('clips that the system hands in', () => {
  const there = (...files: string[]) => ({ cwd: '/home/ada', isFile: (path: string) => files.includes(path) });

  test('paths of files that are there, whole, each once', () => {
    const files = ['/home/ada/a.mp4', '/tmp/B b.MP4', '/tmp/é.mp4'];
    assert.deepEqual(
      clipsIn(['/opt/Protagonist/protagonist', '--flag', '--x=/tmp/é.mp4', '-psn_0_1', 'a.mp4', './a.mp4', '/tmp/../home/ada/a.mp4', '/tmp/B b.MP4', 'file:///tmp/%C3%A9.mp4', 'file://elsewhere/tmp/é.mp4', 'file:///tmp/%00.mp4', 'file:%', '/tmp/none.mp4', '/etc/passwd', '', '.mp4', 'https://a.example/a.mp4', 'a.mp4\0', '/home/ada/a.mp4.exe'], 'linux', there(...files, '/etc/passwd', '/home/ada/a.mp4.exe')),
      ['/home/ada/a.mp4', '/tmp/B b.MP4', '/tmp/é.mp4'],
    ); // prettier-ignore
    assert.deepEqual(clipsIn(['-a.mp4', '--clip=b.mp4', 'c\0.mp4', 'd.mp4'], 'linux', { cwd: '/', isFile: () => true }), ['/d.mp4']);
    assert.deepEqual(clipsIn(['/Users/ada/a.mp4'], 'darwin', there('/Users/ada/a.mp4')), ['/Users/ada/a.mp4']);
  });
  test('on Windows too, and no devices', () => {
    const files = ['C:\\Users\\Ada\\a.mp4', 'D:\\b.mp4', '\\\\server\\share\\c.mp4', '\\\\.\\pipe\\d.mp4', '\\\\?\\C:\\e.mp4'];
    assert.deepEqual(
      clipsIn(['C:\\Programs\\Protagonist.exe', '--allow-file-access-from-files', 'a.mp4', 'd:/b.mp4', 'D:\\b.mp4', ...files.slice(2), '//./pipe/d.mp4', 'file:///C:/Users/Ada/a.mp4'], 'win32', { cwd: 'C:\\Users\\Ada', isFile: path => files.some(f => f.toLowerCase() === path.toLowerCase()) }).map(path => path.toLowerCase()),
      ['c:\\users\\ada\\a.mp4', 'd:\\b.mp4', '\\\\server\\share\\c.mp4'],
    ); // prettier-ignore
  });
  test('real files only, and not without end', () => {
    const file = join(folder, 'real.mp4'),
      odd = join(folder, 'folder.mp4');
    writeFileSync(file, '');
    assert.deepEqual(clipsIn([file, odd, folder, `${file}\0`], 'linux'), [file]);
    assert.deepEqual(clipsIn(['real.mp4'], 'linux', { cwd: folder }), [file]);
    const many = Array.from({ length: 1000 }, (_, i) => `/${i}.mp4`);
    assert.equal(clipsIn(many, 'linux', { isFile: () => true }).length, 100);
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), fc.constantFrom(...platforms), (argv, platform) => {
        for (const path of clipsIn(argv.map(a => `${a}.mp4`), platform, { cwd: platform === 'win32' ? 'C:\\x' : '/x', isFile: () => true }))
          assert.match(path, platform === 'win32' ? /^(?:[a-z]:|\\\\)/i : /^\//);
      }),
      { numRuns: 2000 },
    ); // prettier-ignore
  });
});
