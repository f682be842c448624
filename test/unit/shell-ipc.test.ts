/** @file The window's messages to the main process: through the real preload and the window's own host, with Electron's two ends faked; foreign senders, hostile inputs, files that cannot be written. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { registerHooks } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, mock, test } from 'node:test';
import { setImmediate as soon, setTimeout as sleep } from 'node:timers/promises';
import type * as electron from 'electron';
import fc from 'fast-check';
import { z } from 'zod';
import { api } from '../../electron/contract/api.ts';
import type { Bridge } from '../../electron/contract/bridge.ts';
import { failure, StudioError } from '../../electron/contract/errors.ts';
import { client, inProcess, type Answer, type Api, type Reply, type Transport } from '../../electron/contract/rpc.ts';
import { channels, connectWindow, longest, trusted, windowAnswer, type Checked, type WindowOptions } from '../../electron/shell/ipc.ts';
import { origin } from '../../electron/shell/protocol.ts';
import { placesOf, type Places } from '../../electron/serve/places.ts';
import { describeFailure } from '../../electron/studio/failures.ts';
import { shellHost } from '../../renderer/host/shell.ts';
import { inputs, junk, likely } from '../support/arbitrary.ts';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'protagonist-shell-ipc-')));
const at = (...names: string[]) => join(folder, ...names);
for (const name of ['library', 'desk', 'photos', 'model', 'blobs']) mkdirSync(at(name));
const film = Buffer.alloc(9_000_000, 'a film of some length; ');
writeFileSync(at('library/c1.mp4'), film);
writeFileSync(at('photos/kelp.jpg'), 'kelp');
writeFileSync(at('photos/.fig.jpg'), 'fig');
writeFileSync(at('blobs/a1b2'), 'weights');
symlinkSync(at('blobs/a1b2'), at('model/weights.safetensors'));
symlinkSync(at('photos/kelp.jpg'), at('desk/link.jpg'));
symlinkSync(at('nowhere'), at('desk/dangling.jpg'));
after(() => rmSync(folder, { recursive: true, force: true }));

// the library: what of it these messages touch
const listeners = new Set<(event: unknown) => void>();
const say = (event: unknown) => listeners.forEach(listener => listener(event));
/** Files as they were named to the library. */
const given: string[] = [];
let aborted = 0,
  /** What a piece of a file is answered, from one on. */
  broken: { readonly from: number; readonly reply: Reply } | undefined;
const answer: Answer = async (method, input, signal) => {
  const { id = '', kind = '', path = '', photos = [], offset = 0, length = 1 << 20 } = (input ?? {}) as { id?: string; kind?: string; path?: string; photos?: { path: string }[]; offset?: number; length?: number }; // prettier-ignore
  switch (method) {
    case 'host.describe':
      return { value: { version: '1', can: { paths: true, dragOut: false, reveal: false, pickFolder: false } } };
    case 'media.locate':
      return { value: { path: id === 'c1' ? at('library/c1.mp4') : at('library', `${id}.mp4`) } };
    case 'media.read': {
      if (broken && offset >= broken.from) return broken.reply;
      if (id !== 'c1' || kind !== 'video') return { error: describeFailure(new StudioError('notFound', `there is no ${kind} of ${id}`)) };
      return { value: { base64: film.toString('base64', offset, offset + length), bytes: film.length, type: 'video/mp4' } };
    }
    case 'requests.read':
    case 'checkpoints.add':
      given.push(path);
      return { error: describeFailure(new StudioError('badFile', `${path} is not what is wanted, ${at('library')} neither`)) };
    case 'subjects.addPhotos':
      given.push(...photos.map(photo => photo.path));
      return { value: { notes: photos.map(photo => `${photo.path} was taken`) } };
    case 'exports.presets':
      return { value: { presets: [{ id: 'frames', extension: null, unavailable: null }], ffmpeg: at('ffmpeg') } };
    case 'exports.start':
      given.push(path);
      return { error: describeFailure(new StudioError('conflict', `there is ${path} already`)) };
    case 'queue.start':
      return await new Promise(resolve =>
        signal!.addEventListener('abort', () => {
          aborted++;
          resolve({ error: describeFailure(new StudioError('canceled', 'canceled')) });
        }),
      );
    default:
      return { error: describeFailure(new StudioError('notFound', 'not in this library')) };
  }
};
const subscribe: Transport['subscribe'] = listener => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

// Electron's two ends: what crosses is cloned, as it is there
let token = 0;
const frameOf = (changes: Partial<electron.WebFrameMain> = {}): electron.WebFrameMain => {
  const frame: Partial<electron.WebFrameMain> = { processId: 7, frameToken: `frame ${++token}`, parent: null, origin, url: `${origin}/window/index.html#/create`, ...changes }; // prettier-ignore
  return frame as electron.WebFrameMain;
};
type Heard = (event: electron.IpcMainEvent, ...said: unknown[]) => unknown;
class Main {
  readonly heard = new Map<string, Heard>();
  readonly handlers = new Map<string, Heard>();
  readonly ipc: Pick<electron.IpcMain, 'on' | 'off' | 'handle' | 'removeHandler'> = {
    on: (channel, listener) => (assert.ok(!this.heard.has(channel)), this.heard.set(channel, listener), this.ipc as electron.IpcMain),
    off: channel => (this.heard.delete(channel), this.ipc as electron.IpcMain),
    handle: (channel, listener) => (assert.ok(!this.handlers.has(channel)), void this.handlers.set(channel, listener as Heard)),
    removeHandler: channel => void this.handlers.delete(channel),
  };
  /** All that ever went to the page. */
  readonly told: unknown[] = [];
  readonly page = new EventEmitter();
  readonly dragged: electron.Item[] = [];
  destroyed = false;
  frame = frameOf();
  readonly contents: Pick<electron.WebContents, 'mainFrame' | 'send' | 'isDestroyed' | 'startDrag'>;
  constructor() {
    const frame = () => this.frame;
    this.contents = {
      get mainFrame() {
        return frame();
      },
      isDestroyed: () => this.destroyed,
      startDrag: item => void this.dragged.push(item),
      send: (channel, ...said: unknown[]) => {
        const copy = structuredClone(said);
        this.told.push(...copy);
        queueMicrotask(() => this.page.emit(channel, {}, ...copy));
      },
    };
  }
  deliver(channel: string, senderFrame: electron.WebFrameMain | null, ...said: unknown[]): unknown {
    const event = { senderFrame } as electron.IpcMainEvent;
    const listener = this.heard.get(channel) ?? this.handlers.get(channel);
    assert.ok(listener, `nobody listens at ${channel}`);
    return listener(event, ...said);
  }
  /** As from our own page. */
  async ask(channel: keyof typeof channels, ...said: unknown[]): Promise<unknown> {
    const replied: unknown = await this.deliver(channels[channel].name, this.frame, ...structuredClone(said));
    if (channel !== 'message') this.told.push(structuredClone(replied));
    return replied;
  }
}

interface Opened {
  readonly main: Main;
  readonly places: Places;
  readonly refusals: string[];
  readonly shown: string[];
  readonly dialogs: { open: readonly string[]; save: string; asked: (electron.OpenDialogOptions | electron.SaveDialogOptions)[] };
  readonly leave: () => Promise<void>;
}
function opened(changes: Partial<WindowOptions> = {}): Opened {
  const main = new Main(),
    places = placesOf([]),
    refusals: string[] = [],
    shown: string[] = [],
    dialogs: Opened['dialogs'] = { open: [], save: '', asked: [] };
  const dialog = {
    showOpenDialog: async (_: unknown, options: electron.OpenDialogOptions) => {
      dialogs.asked.push(options);
      await soon();
      return { canceled: dialogs.open.length === 0, filePaths: [...dialogs.open] };
    },
    showSaveDialog: async (_: unknown, options: electron.SaveDialogOptions) => {
      dialogs.asked.push(options);
      await soon();
      return { canceled: dialogs.save === '', filePath: dialogs.save };
    },
  } as WindowOptions['dialog'];
  const stop = connectWindow(main.ipc, main.contents, {
    transport: inProcess(answer, subscribe),
    version: '1',
    places,
    home: at('library'),
    window: undefined as unknown as electron.BrowserWindow, // nothing asks it
    dialog,
    shell: { showItemInFolder: path => void shown.push(path) },
    dragIcon: 'icon.png',
    words: { photos: 'Photos', model: 'Models', clip: 'Clips', made: 'Clips and Pictures' },
    onRefused: why => void refusals.push(why),
    ...changes,
  });
  const leave = async () => {
    await stop();
    places.close();
    assert.deepEqual([main.heard.size, main.handlers.size], [0, 0]);
  };
  return { main, places, refusals, shown, dialogs, leave };
}

// the real preload, loaded once; each page of these tests is one that it serves
const exposed: Record<string, unknown> = {};
let serving: Main | undefined;
const paths = new WeakMap<File, string>();
const fake: Pick<typeof electron, never> & Record<string, unknown> = {
  contextBridge: { exposeInMainWorld: (name: string, what: unknown) => (exposed[name] = what) },
  ipcRenderer: {
    send: (channel: string, ...said: unknown[]) => void serving!.deliver(channel, serving!.frame, ...structuredClone(said)),
    invoke: async (channel: string, ...said: unknown[]) => {
      const replied = structuredClone(await serving!.deliver(channel, serving!.frame, ...structuredClone(said)));
      serving!.told.push(replied);
      return replied;
    },
    on: (channel: string, listener: () => void) => serving!.page.on(channel, listener),
    off: (channel: string, listener: () => void) => serving!.page.off(channel, listener),
  },
  webUtils: {
    getPathForFile: (file: File) => {
      if (!(file instanceof File)) throw new TypeError('no file');
      return paths.get(file) ?? '';
    },
  },
};
Object.assign(globalThis, { fakeElectron: fake });
const hooks = registerHooks({
  resolve: (name, context, next) =>
    name === 'electron' ? { url: 'fake:electron', format: 'module', shortCircuit: true } : next(name, context),
  load: (url, context, next) =>
    url === 'fake:electron'
      ? {
          format: 'module',
          shortCircuit: true,
          source: 'export const { contextBridge, ipcRenderer, webUtils } = globalThis.fakeElectron;',
        }
      : next(url, context),
});
await import('../../electron/shell/preload.ts');
hooks.deregister();
const bridge = exposed['protagonist'] as Bridge;
const fileAt = (path: string): File => {
  const file = new File([], path.split('/').at(-1)!);
  paths.set(file, path);
  return file;
};
/** A page in a window, as it begins. */
function page(window: Opened) {
  serving = window.main;
  const host = shellHost('1', bridge),
    events: unknown[] = [],
    states: string[] = [];
  host.transport.subscribe(event => events.push(event));
  host.watch(state => states.push(state));
  return { host, events, states, api: client(api, host.transport) };
}
const until = async (what: string, is: () => boolean) => {
  for (let i = 0; !is(); i++) {
    assert.ok(i < 500, `${what}: it never was`);
    await sleep(10);
  }
};
const noPaths = ({ main }: Opened) => {
  for (const said of main.told) assert.ok(!JSON.stringify(said).includes(folder), JSON.stringify(said).slice(0, 300));
};
const codeOf = (reply: unknown) => (reply as { error?: { code: string } }).error?.code ?? 'value';

test('calls, events and cancels cross; a page that is loaded anew hears nothing of the one before', async () => {
  const window = opened();
  const first = page(window);
  assert.deepEqual(first.states, ['connecting']);
  assert.deepEqual(await first.api.host.describe({}), {
    version: '1',
    can: { paths: false, dragOut: true, reveal: true, pickFolder: true },
  });
  assert.deepEqual(first.states, ['connecting', 'online']);
  await until('subscribed', () => listeners.size === 1);
  say({ type: 'notice', jobId: null, text: `${at('library/c1.mp4')} is gone` });
  await until('heard', () => first.events.length > 0);
  assert.deepEqual(first.events, [{ type: 'notice', jobId: null, text: 'c1.mp4 is gone' }]);

  const ending = new AbortController();
  const waiting = first.host.transport.call('queue.start', {}, ending.signal);
  await soon();
  ending.abort();
  assert.equal(codeOf(await waiting), 'canceled');
  assert.equal(aborted, 1);
  assert.deepEqual(await Promise.all(Array.from({ length: 100 }, () => first.api.host.describe({}).then(d => d.version))), Array(100).fill('1')); // prettier-ignore

  const left = first.host.transport.call('queue.start', {}); // whoever asked is gone when it is answered
  await soon();
  window.main.frame = frameOf();
  say({ type: 'notice', jobId: null, text: 'between two pages' });
  window.main.page.removeAllListeners();
  const second = page(window);
  assert.equal((await second.api.host.describe({})).version, '1');
  assert.equal(aborted, 2);
  assert.deepEqual(second.events, []);
  assert.equal(listeners.size, 1);
  assert.deepEqual(await Promise.race([left, sleep(20, 'nothing')]), 'nothing');
  assert.equal(second.host.media('c1', 'poster', 'ab/c'), '/media/c1/poster?v=ab%2Fc');
  assert.deepEqual(window.refusals, []);
  noPaths(window);
  await window.leave();
  assert.equal(listeners.size, 0);
});

test('a wire that ends is begun anew, and what may have been missed is said', async () => {
  const window = opened();
  const { host, events, states, api: asked } = page(window);
  await asked.host.describe({});
  const line = (window.main.told.find(said => typeof (said as { line?: unknown }).line === 'number') as { line: number }).line;
  await window.main.ask('message', { line, said: 'no JSON' });
  await until('online again', () => states.join() === 'connecting,online,lost,online');
  await until('told', () => events.length > 0);
  assert.deepEqual(events, [{ type: 'restored' }]);
  assert.equal((await asked.host.describe({})).version, '1');
  const other = await new Promise<Reply>(resolve => {
    void shellHost('2', bridge).transport.call('host.describe', {}).then(resolve);
  });
  assert.equal(codeOf(other), 'busy');
  host.transport.close();
  assert.equal(codeOf(await host.transport.call('host.describe', {})), 'disconnected');
  await window.leave();
});

test('a page that takes nothing misses previews, and is left before it fills the memory', async () => {
  const window = opened();
  const { main } = window;
  const line = 5;
  for (const message of [{ type: 'hello', protocol: 1, version: '1' }, { type: 'subscribe' }])
    await main.ask('message', { line, said: JSON.stringify(message) });
  const preview = { type: 'preview', jobId: 'j1', step: 1, jpeg: 'x'.repeat(100_000) };
  for (let i = 0; i < 20; i++) say(preview);
  const count = () => main.told.filter(said => String((said as { said: unknown }).said).includes('"preview"')).length;
  assert.equal(count(), 3);
  await main.ask('message', { line, said: 1e9 }); // more than there was
  say(preview);
  assert.equal(count(), 4);
  for (let i = 0; i < 80; i++) say({ type: 'notice', jobId: null, text: 'x'.repeat(1 << 20) });
  assert.deepEqual(main.told.at(-1), { line, said: null });
  assert.equal(listeners.size, 0);
  await window.leave();
});

test('what is too large is refused before it is sent, and dropped where it comes', async () => {
  const window = opened();
  const { host } = page(window);
  assert.equal(codeOf(await host.transport.call('host.describe', 'x'.repeat(longest))), 'badInput');
  assert.equal(codeOf(await host.transport.call('host.describe', {})), 'value');
  await window.main.ask('message', { line: 9, said: 'x'.repeat(longest + 1) });
  assert.deepEqual(window.refusals, ['message: argument']);
  await window.leave();
});

test('files are named by places: dropped, chosen, pasted', async () => {
  const window = opened();
  const { host } = page(window);
  const add = (path: string) => host.transport.call('subjects.addPhotos', { id: 's1', photos: [{ path }] });
  const read = async (path: string) => {
    const reply = await host.transport.call('requests.read', { path });
    return 'error' in reply ? reply.error.text : '';
  };
  given.length = 0;
  const parts: number[] = [];
  const dropped = await host.send(fileAt(at('photos/kelp.jpg')), 'kelp.jpg', { progress: part => parts.push(part) });
  assert.deepEqual([dropped, parts], [{ path: 'f1' }, [1]]);
  assert.deepEqual(await host.send(fileAt(at('photos/kelp.jpg')), 'kelp.jpg'), { path: 'f1' });
  assert.deepEqual(await add('f1'), { value: { notes: ['kelp.jpg was taken'] } });
  assert.deepEqual(await add('f1'), { value: { notes: ['kelp.jpg was taken'] } }); // it stays
  const linked = await host.send(fileAt(at('desk/link.jpg')), 'link.jpg');
  assert.match(await read(linked.path), /^link\.jpg is not what is wanted, library neither/);
  assert.deepEqual(given, [at('photos/kelp.jpg'), at('photos/kelp.jpg'), at('photos/kelp.jpg')]);
  await assert.rejects(host.send(fileAt(at('desk/dangling.jpg')), 'x'), {
    code: 'notFound',
    message: 'dangling.jpg is no longer there: choose it again',
  });
  await assert.rejects(host.send(fileAt('/dev/null'), 'x'), { code: 'badInput' });

  // the system's dialog; whole checkpoints consist of links
  const { dialogs } = window;
  assert.deepEqual(await host.desktop!.pick('folder'), []);
  dialogs.open = [at('model')];
  const [model] = await host.desktop!.pick('folder');
  assert.deepEqual(model, { id: 'f3', name: 'model', kind: 'folder', bytes: 0 });
  assert.match(codeOf(await host.transport.call('checkpoints.add', { path: model.id })), /badFile/);
  assert.equal(given.at(-1), at('model'));
  dialogs.open = [at('photos/kelp.jpg'), at('photos')];
  const picked = await host.desktop!.pick('photos');
  assert.deepEqual(picked.map(place => [place.id, place.name, place.kind, place.bytes]), [['f1', 'kelp.jpg', 'file', 4], ['f4', 'photos', 'folder', 0]]); // prettier-ignore
  assert.deepEqual(dialogs.asked.at(-1)?.properties, ['openFile', 'multiSelections']);
  assert.deepEqual((await host.look('f4')).entries, [{ id: 'f4/kelp.jpg', name: 'kelp.jpg', kind: 'file', bytes: 4 }]);
  assert.match(await read('f4/kelp.jpg'), /^kelp\.jpg is not/);
  for (const hidden of ['f4/.fig.jpg', 'f4/../blobs/a1b2', 'f99', at('photos/kelp.jpg')]) assert.match(await read(hidden), /^there is nothing called|is no longer there/); // prettier-ignore
  assert.deepEqual(await host.roots(), []);

  // what lies nowhere
  const pasted = await host.send(new Blob(['pasted']), 'image.png');
  assert.match(pasted.path, /^u[\w-]{22}$/);
  assert.deepEqual(await add(pasted.path), { value: { notes: ['image.png was taken'] } });
  assert.equal(codeOf(await add(pasted.path)), 'notFound'); // used once
  await assert.rejects(host.send(new Blob(['x']), 'x', { signal: AbortSignal.abort() }), { code: 'canceled' });

  writeFileSync(at('photos/later.jpg'), 'x');
  const { path: later } = await host.send(fileAt(at('photos/later.jpg')), 'later.jpg');
  rmSync(at('photos/later.jpg'));
  assert.equal(await read(later), 'later.jpg is no longer there: choose it again');
  symlinkSync(at('blobs/a1b2'), at('photos/later.jpg'));
  assert.equal(await read(later), 'later.jpg is no longer there: choose it again'); // another file than was chosen
  rmSync(at('photos/later.jpg'));
  assert.deepEqual(window.refusals, []);
  noPaths(window);
  await window.leave();
});

/** Names in a folder, hidden ones too. */
const lying = (name: string) => readdirSync(at(name)).sort();

test('files are saved whole or not at all', async t => {
  const window = opened();
  const { main, dialogs } = window;
  const save = () => main.ask('save', { id: 'c1', kind: 'video', name: 'My: clip.mp4' });
  const target = at('desk/clip.mp4');
  assert.deepEqual(await save(), { value: { saved: 0 } });
  assert.deepEqual(dialogs.asked[0], { defaultPath: 'My_ clip.mp4', filters: [{ name: 'MP4', extensions: ['mp4'] }] });
  dialogs.save = target;
  assert.deepEqual(await save(), { value: { saved: 1 } });
  assert.ok(readFileSync(target).equals(film));
  writeFileSync(target, 'an earlier one');
  const before = lying('desk');
  const failing = async (what: string, code: string, sentence: RegExp) => {
    const reply = (await save()) as { error?: { code: string; text: string } };
    assert.equal(reply.error?.code, code, `${what}: ${JSON.stringify(reply)}`);
    assert.match(reply.error.text, sentence, what);
    assert.deepEqual(lying('desk'), before, what);
    assert.equal(readFileSync(target, 'utf8'), 'an earlier one', what);
  };
  broken = { from: 8_000_000, reply: { error: describeFailure(new StudioError('missing', `the video is gone from ${at('library')}`)) } };
  await failing('gone half-way', 'missing', /^the video is gone from the library$/);
  broken = { from: 8_000_000, reply: { value: { base64: '', bytes: 8_000_000, type: 'video/mp4' } } };
  await failing('shorter half-way', 'conflict', /has changed meanwhile/);
  broken = { from: 8_000_000, reply: { value: { base64: 'A'.repeat(4_000_000), bytes: film.length + 1, type: 'video/mp4' } } };
  await failing('longer half-way', 'conflict', /has changed meanwhile/);
  broken = undefined;
  const handle = await open(at('blobs/a1b2'));
  const kind = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const fails = (code: string) => () =>
    Promise.reject(Object.assign(new Error(`${code}: it fails`), { code, errno: -1, syscall: 'write' }));
  for (const [method, code, said] of [
    ['appendFile', 'ENOSPC', 'noSpace'],
    ['appendFile', 'EIO', 'disk'],
    ['sync', 'EIO', 'disk'],
  ] as const) {
    let written = 0;
    const real = Reflect.get(kind, method) as (...given: unknown[]) => Promise<void>;
    const mocked = mock.method(kind, method, function (this: FileHandle, ...rest: unknown[]) {
      return written++ < (method === 'sync' ? 0 : 2) ? real.apply(this, rest) : fails(code)();
    });
    await failing(`${method} ${code}`, said, /^cannot write clip\.mp4: /);
    mocked.mock.restore();
  }
  dialogs.save = at('desk/none/clip.mp4');
  await failing('no folder', 'badFile', /^cannot write clip\.mp4: no such file or folder/);
  dialogs.save = at('model');
  await failing('a folder', 'badFile', /^cannot write model: that is a folder/);
  dialogs.save = at('library/library.db');
  await failing('the library itself', 'badInput', /would lie in the library's own folder/);
  assert.deepEqual(lying('library'), ['c1.mp4']);
  assert.equal(codeOf(await main.ask('save', { id: 'c2', kind: 'video', name: 'x' })), 'badInput'); // still there
  dialogs.save = at('desk/other.mp4');
  assert.equal(codeOf(await main.ask('save', { id: 'c2', kind: 'video', name: 'x' })), 'notFound');

  // what the page made itself
  const { host, events } = page(window);
  dialogs.save = at('desk/frame.png');
  host.save(new Blob(['a frame']), 'Frame 3.png');
  await until('saved', () => existsSync(at('desk/frame.png')));
  assert.equal(readFileSync(at('desk/frame.png'), 'utf8'), 'a frame');
  dialogs.save = at('desk/again.mp4');
  host.save('/media/c1/video?v=ab', 'again.mp4');
  await until('saved', () => existsSync(at('desk/again.mp4')));
  assert.ok(readFileSync(at('desk/again.mp4')).equals(film));
  dialogs.save = at('desk/none/x.mp4');
  host.save('/media/c1/video', 'x.mp4');
  await until('said', () => events.length > 0);
  assert.match(JSON.stringify(events), /"type":"notice".*cannot write x\.mp4: no such file/);
  const many = await Promise.all(Array.from({ length: 40 }, () => main.ask('pick', 'clip')));
  t.diagnostic(`${many.filter(reply => codeOf(reply) === 'busy').length} of 40 dialogs at once are refused`);
  assert.equal(many.filter(reply => codeOf(reply) === 'busy').length, 8);

  // leaving waits for what is being saved
  dialogs.save = at('desk/last.mp4');
  const last = save();
  await until('begun', () => lying('desk').some(name => name.endsWith('.part')));
  await window.leave();
  assert.deepEqual(await last, { value: { saved: 1 } });
  assert.ok(readFileSync(at('desk/last.mp4')).equals(film));
  assert.deepEqual(lying('desk').filter(name => name.endsWith('.part')), []); // prettier-ignore
  noPaths(window);
});

test('several clips are saved into one folder, and nothing there is replaced', async () => {
  const window = opened();
  const { main, dialogs } = window,
    { host } = page(window);
  const save = (...names: string[]) => main.ask('save', { clips: names.map(name => ({ id: 'c1', name })) });
  assert.deepEqual(await save('a.mp4'), { value: { saved: 0 } });
  mkdirSync(at('shelf'));
  writeFileSync(at('shelf/a.mp4'), 'an earlier one');
  dialogs.open = [at('shelf')];
  assert.deepEqual(await save('a.mp4', '../a.mp4', 'no ending'), { value: { saved: 3 } });
  assert.deepEqual(dialogs.asked.at(-1)?.properties, ['openDirectory', 'createDirectory']);
  assert.deepEqual(lying('shelf'), ['a (2).mp4', 'a (3).mp4', 'a.mp4', 'no ending']);
  assert.equal(readFileSync(at('shelf/a.mp4'), 'utf8'), 'an earlier one');
  for (const name of ['a (2).mp4', 'a (3).mp4', 'no ending']) assert.ok(readFileSync(at('shelf', name)).equals(film), name);
  assert.equal(await host.desktop!.saveClips([{ id: 'c1', name: 'b.mp4' }]), 1);
  assert.equal(codeOf(await main.ask('save', { clips: [{ id: 'c2', name: 'c.mp4' }] })), 'notFound');
  assert.ok(!lying('shelf').some(name => name.startsWith('c') || name.endsWith('.part')));
  dialogs.open = [at('library')];
  assert.equal(codeOf(await save('c2.mp4')), 'badInput');
  noPaths(window);
  await window.leave();
});

test('an export goes where the person wants it: a name for that is used once, and nobody else can make one', async () => {
  const window = opened();
  const { main, dialogs } = window,
    { host } = page(window);
  const begin = (path: string) => host.transport.call('exports.start', { clips: ['c1'], preset: 'share', path, replace: true });
  const { value } = (await host.transport.call('exports.presets', {})) as { value: { presets: unknown[]; ffmpeg: string } };
  assert.deepEqual(value, { presets: [{ id: 'frames', extension: null, unavailable: null }], ffmpeg: 'ffmpeg' }); // a folder can be made here
  assert.equal(await host.desktop!.target('My: clip.mp4'), undefined);
  assert.deepEqual(dialogs.asked.at(-1), { defaultPath: 'My_ clip.mp4', filters: [{ name: 'MP4', extensions: ['mp4'] }] });
  dialogs.save = at('desk/out.mp4');
  const first = await host.desktop!.target('clip.mp4');
  assert.deepEqual(first, { id: 't1', name: 'out.mp4' });
  given.length = 0;
  for (const path of [at('desk/out.mp4'), 't9', '../t1', 'constructor']) assert.equal(codeOf(await begin(path)), 'notHere', path);
  assert.deepEqual(await begin('t1'), { error: describeFailure(new StudioError('conflict', 'there is out.mp4 already')) });
  assert.equal(codeOf(await begin('t1')), 'notHere');
  assert.deepEqual(given, [at('desk/out.mp4')]);
  // what was written without its ending gets it, unless that is another file's name
  dialogs.save = at('desk/plain');
  assert.equal((await host.desktop!.target('clip.mp4'))?.name, 'plain.mp4');
  dialogs.save = at('desk/clip');
  await assert.rejects(host.desktop!.target('clip.mp4'), { code: 'conflict', message: /^clip\.mp4 is there already/ });
  assert.deepEqual(await main.ask('pick', { target: 'frames' }), { value: [{ id: 't3', name: 'clip', kind: 'folder', bytes: 0 }] });
  dialogs.save = at('library/out.mp4');
  await assert.rejects(host.desktop!.target('clip.mp4'), { code: 'badInput' });
  noPaths(window);
  await window.leave();
});

test('what the page is asked before its views are there waits for them, and the shell is told when it can ask', async () => {
  let pages = 0;
  const window = opened({ onPage: () => pages++ });
  const { host, api: asked } = page(window);
  assert.equal(pages, 1); // with the first message, before anything is answered
  window.main.contents.send('protagonist:asked', { opened: [{ id: 'f1', name: 'a.mp4' }] });
  window.main.contents.send('protagonist:asked', { action: 7 });
  await asked.host.describe({});
  const heard: unknown[] = [];
  const stop = host.desktop!.asked(said => heard.push(said));
  window.main.contents.send('protagonist:asked', { action: 'undo' });
  await soon();
  stop();
  assert.deepEqual(heard, [{ opened: [{ id: 'f1', name: 'a.mp4' }] }, { action: 'undo' }]);
  page(window);
  await soon();
  assert.equal(pages, 2);
  await window.leave();
});

test('clips are dragged out and shown by id', async () => {
  const window = opened();
  const { host } = page(window);
  await host.desktop!.drag(['c1', 'c1']);
  assert.deepEqual(window.main.dragged, [
    { file: at('library/c1.mp4'), files: [at('library/c1.mp4'), at('library/c1.mp4')], icon: 'icon.png' },
  ]);
  await host.desktop!.reveal('c1');
  assert.deepEqual(window.shown, [at('library/c1.mp4')]);
  await assert.rejects(host.desktop!.drag(['c1', 'c2']), { code: 'missing' });
  await assert.rejects(host.desktop!.reveal('e5'), { code: 'missing' });
  assert.deepEqual([window.main.dragged.length, window.shown.length], [1, 1]);
  noPaths(window);
  await window.leave();
});

/** Something of each channel's shape that would be answered. */
const good: Readonly<Record<keyof typeof channels, unknown>> = {
  message: { line: 1, said: JSON.stringify({ type: 'hello', protocol: 1, version: '1' }) },
  path: at('photos/kelp.jpg'),
  keep: { name: 'x', bytes: new Uint8Array(3) },
  pick: 'photos',
  save: { id: 'c1', kind: 'video', name: 'x' },
  drag: { ids: ['c1'] },
  reveal: { id: 'c1' },
};
const every = Object.keys(channels) as (keyof typeof channels)[];

test('nobody else is answered on any channel', async () => {
  const window = opened();
  const { main, refusals } = window;
  const own = main.frame;
  const like = (changes: Partial<electron.WebFrameMain>) => frameOf({ frameToken: own.frameToken, ...changes });
  const goneAway = like({});
  Object.defineProperty(goneAway, 'origin', {
    get: () => {
      throw new Error('Render frame was disposed before WebFrameMain could be accessed');
    },
  });
  const strangers: Readonly<Record<string, electron.WebFrameMain | null>> = {
    nobody: null,
    'another page of the same origin': frameOf(),
    'another process': like({ processId: 8 }),
    'a frame within our page': frameOf({ parent: own }),
    'a frame that says it is the page': like({ parent: own }),
    'a page from elsewhere': like({ origin: 'https://example.org', url: 'https://example.org/window/' }),
    'an origin that begins alike': like({ origin: `${origin}.example.org` }),
    'no origin': like({ origin: 'null' }),
    'our origin at another address': like({ url: 'about:blank' }),
    'our origin at an empty address': like({ url: '' }),
    'a picture of ours': like({ url: `${origin}/media/c1/poster` }),
    'an address that begins alike': like({ url: `${origin}.example.org/window/` }),
    'a frame that is gone': goneAway,
  };
  assert.ok(trusted({ senderFrame: own }, main.contents) && trusted({ senderFrame: like({}) }, main.contents));
  given.length = 0;
  for (const [who, frame] of Object.entries(strangers))
    for (const channel of every) {
      refusals.length = 0;
      const replied = main.deliver(channels[channel].name, frame, good[channel]);
      assert.equal(await Promise.race([replied, sleep(3, undefined)]), undefined, `${who} on ${channel}`);
      assert.deepEqual(refusals, [`${channel}: sender`], `${who} on ${channel}`);
    }
  for (const channel of every)
    for (const said of [[], [good[channel], undefined], [[good[channel]]]]) {
      refusals.length = 0;
      assert.equal(await Promise.race([main.deliver(channels[channel].name, own, ...said), sleep(3, undefined)]), undefined, channel);
      assert.deepEqual(refusals, [`${channel}: argument`]);
    }
  const kept = main.frame;
  main.frame = strangers['a page from elsewhere']!; // where the window itself has gone elsewhere nothing follows it
  for (const channel of every) {
    const replied = main.deliver(channels[channel].name, main.frame, good[channel]);
    assert.equal(await Promise.race([replied, sleep(3, undefined)]), undefined, channel);
  }
  main.frame = kept;
  assert.deepEqual([main.told, window.dialogs.asked, main.dragged, window.shown, given], [[], [], [], [], []]);

  await main.ask('message', good.message);
  assert.equal(main.told.length, 1); // a greeting
  await main.ask('message', { line: 1, said: JSON.stringify({ type: 'subscribe' }) });
  main.frame = strangers['a page from elsewhere']!;
  const told = main.told.length;
  say({ type: 'notice', jobId: null, text: 'for us alone' });
  assert.equal(main.told.length, told);
  assert.equal(listeners.size, 0);
  main.frame = own;
  main.destroyed = true;
  await main.ask('message', good.message);
  assert.deepEqual(refusals.at(-1), 'message: sender');
  await window.leave();
});

/** Values of a channel's shape, nearly so, and what no JSON holds. */
const exotic = fc.constantFrom<unknown>(undefined, NaN, Infinity, -0, 1n, new Date(0), /x/, new Map([['id', 'c1']]), new Set(['c1']), new Uint8Array(5), new ArrayBuffer(3), new Float64Array(2), new Error('x'), new Array(5)); // prettier-ignore
const calls = Object.entries(api as Api).flatMap(([noun, methods]) => Object.entries(methods).map(([verb, { input }]) => [`${noun}.${verb}`, input] as const)); // prettier-ignore
const messages: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom({ type: 'hello', protocol: 1, version: '1' }, { type: 'subscribe' }, { type: 'unsubscribe' }, { type: 'bye' }, { type: 'cancel', id: 1 }, { type: 'reply', id: 1, reply: {} }),
  fc.record({ type: fc.constantFrom('hello', 'call', 'cancel', 'event', '__proto__'), id: junk, method: junk, input: junk }, { requiredKeys: ['type'] }),
  { weight: 30, arbitrary: fc.constantFrom(...calls).chain(([method, schema]) => fc.tuple(fc.nat(), inputs(schema, likely)).map(([id, input]) => ({ type: 'call', id, method, input }))) },
  junk,
); // prettier-ignore
const fields: Record<string, fc.Arbitrary<unknown>> = {
  name: fc.string({ maxLength: 30 }),
  id: fc.constantFrom('c1', 'c2', 'p1', 'e1', 's1', 'c0', at('library/c1.mp4')),
  kind: fc.constantFrom('video', 'video', 'poster', 'export', 'kept'),
  kept: fc.constantFrom(`u${'a'.repeat(22)}`, 'u', `u${'../'.repeat(7)}a`),
  ids: fc.array(fc.constantFrom('c1', 'c2', 'x'), { maxLength: 4 }),
};
const shapes: Readonly<Record<keyof typeof channels, fc.Arbitrary<unknown>>> = {
  message: fc.record({
    line: fc.oneof({ arbitrary: fc.constant(1), weight: 30 }, { arbitrary: fc.nat(3), weight: 1 }),
    said: fc.oneof({ arbitrary: messages.map(said => JSON.stringify(said)), weight: 8 }, fc.string(), fc.nat(), fc.constant(null)),
  }),
  path: fc.oneof(
    fc.constantFrom('/', '/dev/zero', '/dev/tty', '/proc/self/mem', at(), at('photos'), at('photos/kelp.jpg'), at('desk/dangling.jpg'), at('photos/kelp.jpg/x'), `${folder}/\0`, `/${'x'.repeat(300)}`, `/${'x/'.repeat(10_000)}`),
    fc.string().map(text => `/${text}`),
    fc.string().map(text => at('photos', text)),
    fc.constantFrom(...['kelp.jpg', 'x', '..', '.']),
  ),
  keep: fc.record({ name: fc.string({ unit: 'binary' }), bytes: fc.oneof(fc.uint8Array({ maxLength: 9 }), junk) }),
  pick: fc.oneof(fc.constantFrom<unknown>('photos', 'photo', 'folder', 'model', 'clip', 'made', 'constructor'), fc.record({ target: fields['name']! })),
  save: fc.oneof(fc.record({ id: fields['id']!, kind: fields['kind']!, name: fields['name']! }), fc.record({ kept: fields['kept']!, name: fields['name']! })),
  drag: fc.record({ ids: fields['ids']! }),
  reveal: fc.record({ id: fields['id']! }),
}; // prettier-ignore
const anything = (channel: keyof typeof channels): fc.Arbitrary<unknown[]> => {
  const shape = shapes[channel];
  const near = fc.tuple(shape, fc.constantFrom('id', 'name', 'line', 'said', 'more', '__proto__'), fc.oneof(junk, exotic)).map(([value, key, by]) => typeof value === 'object' && value !== null ? { ...value, [key]: by } : by); // prettier-ignore
  return fc.oneof(
    { arbitrary: fc.tuple(shape), weight: 6 },
    { arbitrary: fc.tuple(near), weight: 3 },
    { arbitrary: fc.array(fc.oneof(junk, exotic, shape), { maxLength: 3 }), weight: 2 },
  );
};

test('10,000 inputs a channel: none throws, none is answered but in the channel’s shape', { timeout: 600_000 }, async t => {
  const seed = Number(process.env['PROTAGONIST_SEED'] ?? 20261123);
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown) => unhandled.push(error);
  process.on('unhandledRejection', onUnhandled);
  for (const channel of every) {
    const window = opened();
    const { main, dialogs, refusals } = window;
    const row: Checked = channels[channel];
    const shape = z.union([z.strictObject({ error: failure }), z.strictObject({ value: row.answers })]);
    const counts = { value: 0, error: 0, dropped: 0 };
    // saving nine megabytes a thousand times shows nothing more
    broken = { from: 0, reply: { value: { base64: 'QUJD', bytes: 3, type: 'video/mp4' } } };
    const before = { desk: lying('desk').length, library: lying('library') };
    let n = 0;
    const began = performance.now();
    const one = async (said: readonly unknown[]) => {
      n++;
      dialogs.open = [[], [at('photos')], [at('photos/kelp.jpg'), at('desk/dangling.jpg')]][n % 3]!;
      dialogs.save = [at('desk/fuzzed.bin'), at('desk/none/x'), at('library/x')][n % 12] ?? ''; // writing is slow
      const last = main.told.at(-1) as { said: string | null } | undefined;
      if (channel === 'message' && (last?.said ?? null) === null) main.deliver(row.name, main.frame, good.message); // the last one ended it
      const was = refusals.length;
      const replied = main.deliver(row.name, main.frame, ...said);
      if (channel === 'message') return assert.equal(replied, undefined);
      if (refusals.length > was) {
        assert.equal(await Promise.race([replied, soon('dropped')]), 'dropped');
        return counts.dropped++;
      }
      const reply: unknown = await replied;
      const parsed = shape.safeParse(reply);
      assert.ok(parsed.success, `${JSON.stringify(said)}: ${JSON.stringify(reply)}`);
      main.told.push(reply);
      return counts['error' in parsed.data ? 'error' : 'value']++;
    };
    await fc.assert(
      fc.asyncProperty(anything(channel), async said => {
        await one(structuredClone(said));
      }),
      { numRuns: 10_000, seed },
    );
    if (channel === 'message') {
      await soon();
      counts.dropped = refusals.length;
      for (const said of main.told) assert.ok(row.answers.safeParse(said).success, JSON.stringify(said));
      const kinds = main.told.map(said => (JSON.parse((said as { said: string | null }).said ?? 'null') as { type: string } | null)?.type ?? 'end'); // prettier-ignore
      t.diagnostic(
        `message: ${kinds.filter(kind => kind === 'reply').length} replies, ${kinds.filter(kind => kind === 'end').length} ends`,
      );
      assert.ok(kinds.filter(kind => kind === 'reply').length > 100);
    } else assert.ok(counts.value > 100 && counts.dropped > 1000, `${channel}: ${JSON.stringify(counts)}`);
    t.diagnostic(`${channel}: ${JSON.stringify(counts)} ${Math.round(performance.now() - began)} ms`);
    assert.ok(refusals.every(why => why === `${channel}: argument`));
    // what was said in a path comes back as its last name, and nothing else of this machine
    if (channel !== 'path') noPaths(window);
    else for (const said of main.told) assert.ok(!JSON.stringify(said).includes(`${folder}/`), JSON.stringify(said));
    assert.ok(lying('desk').length <= before.desk + 1 && !lying('desk').some(name => name.endsWith('.part')));
    assert.deepEqual(lying('library'), before.library);
    broken = undefined;
    await window.leave();
  }
  process.off('unhandledRejection', onUnhandled);
  assert.deepEqual(unhandled, []);
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
});

test('the page gets functions for commands, and nothing of Electron', async () => {
  assert.deepEqual(Object.keys(exposed), ['protagonist']);
  assert.deepEqual(Object.keys(bridge).sort(), ['asked', 'drag', 'keep', 'path', 'pick', 'receive', 'reveal', 'save', 'send']);
  const heard: string[] = [];
  const window = opened();
  serving = window.main;
  for (const map of [window.main.heard, window.main.handlers])
    for (const [channel, listener] of map)
      map.set(channel, (event, ...said) => {
        heard.push(channel);
        return listener(event, ...said);
      });
  // whatever a page passes, each function has its own channel
  const odd = ['protagonist:save', 'ipcRenderer', { channel: 'protagonist:save' }] as never[];
  const call = bridge as unknown as Record<string, (...given: never[]) => unknown>;
  for (const name of ['send', 'keep', 'pick', 'save', 'drag', 'reveal']) void call[name]!(...odd);
  assert.deepEqual(heard, ['message', 'keep', 'pick', 'save', 'drag', 'reveal'].map(name => `protagonist:${name}`)); // prettier-ignore
  assert.throws(() => call['path']!(...odd), /no file/); // a text is no file, whatever it says
  assert.equal(bridge.path(new File([], 'pasted.png')), undefined);
  assert.deepEqual(await bridge.path(fileAt(at('photos/kelp.jpg'))), { value: { id: 'f1', name: 'kelp.jpg', kind: 'file', bytes: 4 } });
  const arguments_: unknown[][] = [];
  const stop = bridge.receive((...given) => void arguments_.push(given));
  window.main.contents.send(channels.message.name, { line: 3, said: 'x' });
  await soon();
  stop();
  window.main.contents.send(channels.message.name, { line: 3, said: 'y' });
  await soon();
  assert.deepEqual(arguments_, [[3, 'x']]); // no event
  const asked: unknown[][] = [];
  const deaf = bridge.asked((...given) => void asked.push(given));
  window.main.contents.send('protagonist:asked', { action: 'go.create' });
  await soon();
  deaf();
  assert.deepEqual(asked, [[{ action: 'go.create' }]]);
  const text = readFileSync(new URL('../../electron/shell/preload.ts', import.meta.url), 'utf8');
  assert.deepEqual([...text.matchAll(/^import (type )?.* from '(.*)';$/gm)].filter(m => m[1] === undefined).map(m => m[2]), ['electron']); // prettier-ignore
  await window.leave();
});

test('what the scheme answers from is what the window is told', async () => {
  const places = placesOf([]);
  const said = windowAnswer(inProcess(answer, subscribe), places);
  assert.equal(codeOf(await said('media.locate', { id: 'c1' })), 'notHere');
  assert.equal(codeOf(await said('media.read', { id: 'c1', kind: 'video' })), 'value');
  places.close();
});
