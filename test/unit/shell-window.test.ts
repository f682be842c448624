/** @file The desktop window's frame without Electron: where it stands, its menu, and its walls. What Electron can ask is read out of its own types, so that what is new there is met here first. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test, type TestContext } from 'node:test';
import type { BrowserWindow, MenuItemConstructorOptions, Rectangle } from 'electron';
import fc from 'fast-check';
import { parseCatalogue } from '../../electron/contract/catalogue.ts';
import {
  acceleratorOf,
  boundsWithin,
  bringForward,
  contextTemplate,
  ground,
  isOwnMedia,
  isOwnPage,
  keepBounds,
  keepOnDisplay,
  linkedHosts,
  mayOpen,
  mayRequest,
  menuLabels,
  menuTemplate,
  readBounds,
  secure,
  smallest,
  webPreferences,
  zoomed,
  zoomSteps,
  type LinkWords,
  type MenuAction,
  type MenuWords,
  type Walls,
} from '../../electron/shell/window.ts';
import { root } from '../support/run.ts';

const declarations = readFileSync(join(root, 'node_modules/electron/electron.d.ts'), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'protagonist-window-'));
after(() => rmSync(folder, { recursive: true }));

const platforms = ['darwin', 'win32', 'linux'] as const;
/** The class's text in Electron's types. */
const classOf = (name: string) => new RegExp(`^  (?:class|interface) ${name} [^]*?^  }`, 'm').exec(declarations)![0];
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
    fullScreen: fc.boolean(),
    zoom: fc.double({ min: 0.4, max: 3.1, noNaN: true }),
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
          saved = {
            x: on.x + (c % (on.width - width + 1)),
            y: on.y + (d % (on.height - height + 1)),
            width,
            height,
            maximized,
            fullScreen: maximized,
            zoom: 1.25,
          };
        assert.deepEqual(boundsWithin(saved, there), saved);
      }),
      { numRuns: 2000 },
    );
  });
  const plain = { fullScreen: false, zoom: 1 };
  test('a display that is gone, half off, too large, too small, no display at all', () => {
    const left = { x: 0, y: 25, width: 1920, height: 1055 },
      right = { x: 1920, y: 0, width: 2560, height: 1440 };
    const was = { x: 2500, y: 300, width: 1200, height: 800, maximized: true, ...plain };
    assert.deepEqual(boundsWithin(was, [left, right]), was);
    assert.deepEqual(
      boundsWithin(was, [left]),
      { x: 360, y: 152, width: 1200, height: 800, maximized: true, ...plain },
      'in the middle of the other',
    );
    const at = (x: number, y: number, width: number, height: number) => boundsWithin({ x, y, width, height, maximized: false }, [left]);
    assert.deepEqual(at(-300, -50, 1000, 700), { x: 0, y: 25, width: 1000, height: 700, maximized: false, ...plain });
    assert.deepEqual(at(100, 100, 9000, 9000), { x: 0, y: 25, width: 1920, height: 1055, maximized: false, ...plain });
    assert.deepEqual(at(1900, 1000, 40, 40), { x: 1120, y: 480, width: 800, height: 600, maximized: false, ...plain });
    assert.deepEqual(boundsWithin(undefined, [left]), { x: 320, y: 122, width: 1280, height: 860, maximized: false, ...plain });
    assert.deepEqual(boundsWithin(undefined, []), { x: 0, y: 0, width: 1280, height: 860, maximized: false, ...plain });
    assert.deepEqual(boundsWithin(undefined, [{ x: 0, y: 0, width: 0, height: 0 }, left]), boundsWithin(undefined, [left]));
  });

  class Moving extends EventEmitter {
    at = { x: 10, y: 20, width: 900, height: 700 };
    maximized = false;
    destroyed = false;
    getNormalBounds = () => this.at;
    fullScreen = false;
    isMaximized = () => this.maximized;
    isFullScreen = () => this.fullScreen;
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
    assert.deepEqual(readBounds(file), { x: 99, y: 20, width: 900, height: 700, maximized: false, ...plain });
    window.maximized = true;
    window.emit('maximize');
    window.emit('close');
    assert.deepEqual(readBounds(file), { x: 99, y: 20, width: 900, height: 700, maximized: true, ...plain });
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
    assert.deepEqual(readBounds(file), { x: 1, y: 2, width: 3, height: 4, maximized: false, ...plain });
  });
  test('its zoom and its full screen are kept; a video that fills the display is not the window’s doing', t => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const window = new Moving(),
      file = join(folder, 'zoom.json');
    let zoom = 1;
    const stop = keepBounds(window as unknown as BrowserWindow, file, () => zoom);
    zoom = 1.25;
    stop.soon();
    t.mock.timers.tick(500);
    assert.equal(readBounds(file)?.zoom, 1.25);
    window.fullScreen = true;
    window.emit('enter-full-screen');
    t.mock.timers.tick(500);
    assert.equal(readBounds(file)?.fullScreen, true);
    window.emit('enter-full-screen');
    window.emit('enter-html-full-screen');
    t.mock.timers.tick(500);
    assert.equal(readBounds(file)?.fullScreen, false);
    window.emit('leave-html-full-screen');
    window.emit('leave-full-screen');
    t.mock.timers.tick(500);
    assert.equal(readBounds(file)?.fullScreen, true);
    stop();
    assert.deepEqual(window.eventNames(), []);
    for (const zoom of [0, -1, 0.1, 50, '1', null]) {
      writeFileSync(file, JSON.stringify({ x: 1, y: 2, width: 3, height: 4, maximized: false, zoom }));
      assert.equal(readBounds(file), undefined, String(zoom));
    }
  });
  test('zoom goes by steps, from wherever it is, and no further than the last', () => {
    let now = 1;
    for (let i = 0; i < 20; i++) now = zoomed(now, 'in');
    assert.equal(now, zoomSteps.at(-1));
    for (let i = 0; i < 40; i++) now = zoomed(now, 'out');
    assert.equal(now, zoomSteps[0]);
    assert.deepEqual(
      [zoomed(0.93, 'in'), zoomed(0.93, 'out'), zoomed(2.2, 'reset'), zoomed(1, 'in'), zoomed(1, 'out')],
      [1, 0.9, 1, 1.1, 0.9],
    );
  });
  test('it comes back from a display that goes away, unless it fills one or is put away', t => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const left = { x: 0, y: 0, width: 1920, height: 1040 },
      right = { x: 1920, y: 0, width: 1920, height: 1040 };
    let displays = [left, right],
      is = '';
    const set: Rectangle[] = [],
      screen = Object.assign(new EventEmitter(), {
        getPrimaryDisplay: () => ({ workArea: left }),
        getAllDisplays: () => displays.map(workArea => ({ workArea })),
      });
    const window = {
      at: { x: 2400, y: 100, width: 1000, height: 700 },
      getNormalBounds: () => window.at,
      setBounds: (to: Rectangle) => set.push(to),
      isMinimized: () => is === 'minimised',
      isMaximized: () => is === 'maximised',
      isFullScreen: () => is === 'full',
      isDestroyed: () => is === 'gone',
    };
    type Given = Parameters<typeof keepOnDisplay>;
    const stop = keepOnDisplay(window, screen as unknown as Given[1]);
    screen.emit('display-metrics-changed');
    t.mock.timers.tick(1000);
    assert.deepEqual(set, [], 'it is on one');
    displays = [left];
    for (is of ['minimised', 'maximised', 'full', 'gone', '']) {
      screen.emit('display-removed');
      t.mock.timers.tick(999);
      assert.deepEqual(set, [], 'the system may do it');
      t.mock.timers.tick(1);
    }
    assert.deepEqual(set, [{ x: 460, y: 170, width: 1000, height: 700 }]);
    window.at = { x: -900, y: 100, width: 1000, height: 700 }; // a tenth of it can be seen
    screen.emit('display-metrics-changed');
    t.mock.timers.tick(1000);
    assert.deepEqual(set[1], { x: 0, y: 100, width: 1000, height: 700 });
    stop();
    assert.deepEqual(screen.eventNames(), []);
  });
  test('what is seen before the page is the page’s own ground', () => {
    const styles = readFileSync(join(root, 'renderer/app.css'), 'utf8');
    assert.deepEqual(/--bg: light-dark\((#\w+), (#\w+)\)/.exec(styles)?.slice(1), [ground.light, ground.dark]);
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
      selectAll: 'CommandOrControl+A',
      toggleDevTools: mac ? 'Alt+Command+I' : 'Control+Shift+I',
      togglefullscreen: mac ? 'Control+Command+F' : 'F11',
      undo: 'CommandOrControl+Z',
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
        'zoom.in',
        'zoom.out',
        'zoom.reset',
      ]);
      for (const [action, keys] of asked) {
        if (action.startsWith('zoom.')) continue;
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

describe('the menu at the pointer', () => {
  const words = Object.fromEntries([...menuLabels, 'copyLink', 'copyLinkText'].map(label => [label, `~${label}`])) as unknown as MenuWords & LinkWords; // prettier-ignore
  const flags = { canUndo: true, canRedo: false, canCut: true, canCopy: true, canPaste: true, canDelete: true, canSelectAll: true };
  const nothing = { isEditable: false, selectionText: '', linkURL: '', linkText: '', misspelledWord: '', dictionarySuggestions: [], editFlags: flags }; // prettier-ignore
  const shown = (what: Partial<Parameters<typeof contextTemplate>[0]>) => {
    const done: string[] = [],
      act = { copy: (text: string) => void done.push(`copy ${text}`), replace: (word: string) => void done.push(`replace ${word}`) };
    const menu = contextTemplate({ ...nothing, ...what }, words, act);
    for (const item of menu) (item.click as (() => void) | undefined)?.();
    return { said: menu.map(({ type, role, label, enabled }) => (type === 'separator' ? '-' : `${role ?? label ?? ''}${enabled === false ? '!' : ''}`)), done }; // prettier-ignore
  };
  test('what can be done with text, as far as it can', () => {
    assert.deepEqual(shown({}).said, [], 'there is nothing to do');
    assert.deepEqual(shown({ selectionText: '  ' }).said, []);
    assert.deepEqual(shown({ selectionText: 'lemon' }).said, ['copy']);
    const all = ['undo', 'redo!', '-', 'cut', 'copy', 'paste', 'delete', '-', 'selectAll'];
    assert.deepEqual(shown({ isEditable: true }).said, all);
    assert.deepEqual(shown({ isEditable: true, editFlags: { ...flags, canPaste: false, canRedo: true } }).said, ['undo', 'redo', '-', 'cut', 'copy', 'paste!', 'delete', '-', 'selectAll']); // prettier-ignore
    const spelt = shown({ isEditable: true, misspelledWord: 'lemn', dictionarySuggestions: ['lemon', 'a&b', '3', '4', '5', '6'] });
    assert.deepEqual(spelt.said, ['lemon', 'a&&b', '3', '4', '5', '-', ...all]);
    assert.deepEqual(spelt.done.slice(0, 2), ['replace lemon', 'replace a&b']);
  });
  test('links: their text, and their address where it is one for the person’s own browser', () => {
    const licence = 'https://www.apache.org/licenses/LICENSE-2.0';
    const far = shown({ linkURL: licence, linkText: ' Apache 2.0 ' });
    assert.deepEqual(
      [far.said, far.done],
      [
        ['~copyLink', '~copyLinkText'],
        [`copy ${licence}`, 'copy Apache 2.0'],
      ],
    );
    for (const linkURL of ['app://protagonist/window/#/library', 'file:///etc/passwd', 'javascript:alert(1)', 'https://evil.example/'])
      assert.deepEqual(shown({ linkURL, linkText: 'Library' }).said, ['~copyLinkText'], linkURL);
    assert.deepEqual(shown({ linkURL: 'https://evil.example/' }).said, []);
  });
  test('its roles are Electron’s', () => {
    const known = classOf('MenuItemConstructorOptions');
    for (const role of ['undo', 'redo', 'cut', 'copy', 'paste', 'delete', 'selectAll']) assert.match(known, new RegExp(`'${role}'`));
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
