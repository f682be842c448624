/**
 * @file What only a real Electron can be asked: each row of the checklist that needs its binary. They run inside the app's main process (`probe.ts`), on its own window. Nothing but
 * types is imported, since Electron reads this file with its types taken out and nothing beside it.
 */
import type { BrowserWindow } from 'electron';
import type * as Electron from 'electron';

/** Where a probe is. */
export interface At {
  readonly electron: typeof Electron;
  /** The app's one window, loaded. */
  readonly window: BrowserWindow;
  /** A web server of ours on this machine, which nothing of the window may reach: an address that ends in a slash. */
  readonly server: string;
  /** Requests that have reached it since it was asked last. */
  hits(): number;
  /** A file of this machine that anyone may read, as an address. */
  readonly file: string;
  /** Addresses that the app has handed to the system, since it was asked last. */
  opened(): readonly string[];
  /** The version that package.json names. */
  readonly version: string;
  /** The app's preload, as a file. */
  readonly preload: string;
  /** Has a process of ours answer, the way that the engine's is started.
   * @returns what it said */
  child(): Promise<{ readonly said: unknown; readonly owner: number }>;
  /** Starts the app once more. @returns the exit status */
  again(): Promise<number | null>;
  /** Lines of a file, such as Linux's about a process; none where it is not there. */
  lines(file: string): readonly string[];
}
export interface Probe {
  readonly id: string;
  /** Of Electron's list; 0 for what is checked beside it. */
  readonly item: number;
  readonly what: string;
  /** @returns what was seen. @throws Error with what must not be */
  run(at: At): Promise<string>;
}

const sleep = (milliseconds: number) => new Promise<void>(done => setTimeout(done, milliseconds));
/** What an expression gives in the page: JSON only. */
const inPage = <T>({ window }: At, expression: string, gesture = false): Promise<T> =>
  window.webContents.executeJavaScript(`(async () => (${expression}))()`, gesture) as Promise<T>;
/** Whether something in the page is refused: its error's name, or nothing where it was let through. */
const refusal = (at: At, expression: string): Promise<string | null> =>
  inPage(
    at,
    `Promise.race([Promise.resolve().then(() => ${expression}).then(() => null, e => String(e?.name ?? e?.message ?? e)), new Promise(done => setTimeout(done, 4000, 'no answer'))])`,
  );
function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}
const list = (values: readonly string[]) => (values.length === 0 ? 'none' : values.join(', '));
/** Bytes that are asked of the photo that the smoke script has put into the library. */
const range = { id: 'p1', kind: 'photo' } as const;

/** Every one of them, in the order in which they run. */
export const probes: readonly Probe[] = [
  {
    id: '16.version',
    item: 16,
    what: 'The binary is the version that package.json names',
    run: async ({ version }) => {
      const { electron, chrome, node } = process.versions as Partial<Record<string, string>>;
      must(electron === version, `it is Electron ${electron ?? 'none'}, and package.json names ${version}`);
      return Promise.resolve(`Electron ${electron}, Chromium ${chrome ?? '?'}, Node ${node ?? '?'}`);
    },
  },
  {
    id: '2.page',
    item: 2,
    what: 'The page has nothing of Node',
    run: async at => {
      const there = await inPage<string[]>(
        at,
        `['require', 'module', 'exports', 'process', 'Buffer', 'global', '__dirname', 'setImmediate'].filter(name => name in globalThis)`,
      );
      must(there.length === 0, `the page has ${list(there)}`);
      return 'no require, module, process, Buffer, global';
    },
  },
  {
    id: '3.world',
    item: 3,
    what: 'The page has a world of its own: it cannot change what the preload gives it',
    run: async at => {
      const before = await inPage<string>(at, 'typeof window.protagonist?.send');
      must(before === 'function', `the page has no bridge: ${before}`);
      const changed = await inPage<string[]>(
        at,
        `(() => { const was = window.protagonist, send = was.send; try { was.send = null } catch {} try { window.protagonist = {} } catch {} const changed = [window.protagonist === was ? '' : 'the bridge', window.protagonist.send === send ? '' : 'a function of it', 'ipcRenderer' in window || 'contextBridge' in window ? 'the world: the preload’s names are in it' : ''].filter(Boolean); try { window.protagonist = was; was.send = send } catch {} return changed })()`,
      );
      must(changed.length === 0, `the page could change ${list(changed)}`);
      return 'the bridge cannot be replaced';
    },
  },
  {
    id: '4.process',
    item: 4,
    what: 'The page’s process is in the sandbox, as the system sees it',
    run: async at => {
      const pid = at.window.webContents.getOSProcessId();
      if (process.platform === 'linux') {
        const seccomp = at.lines(`/proc/${pid}/status`).find(line => line.startsWith('Seccomp:'));
        must(/\b2$/.test(seccomp ?? ''), `its system calls are not filtered: ${seccomp ?? `nothing is known of process ${pid}`}`);
        return Promise.resolve(`process ${pid}, ${seccomp!.replace(/\s+/, ' ')}`);
      }
      const metric = at.electron.app.getAppMetrics().find(one => one.pid === pid);
      must(metric?.sandboxed === true, `process ${pid} is ${metric ? 'not in the sandbox' : 'not known'}`);
      return Promise.resolve(`process ${pid}, sandboxed`);
    },
  },
  {
    id: '5.permissions',
    item: 5,
    what: 'The page is permitted nothing that it asks for',
    run: async at => {
      const asked = {
        geolocation: `new Promise((yes, no) => navigator.geolocation.getCurrentPosition(yes, no))`,
        camera: `navigator.mediaDevices.getUserMedia({ video: true })`,
        screen: `navigator.mediaDevices.getDisplayMedia({ video: true })`,
        clipboard: `navigator.clipboard.readText()`,
        notifications: `Notification.requestPermission().then(said => { if (said !== 'granted') throw new Error(said) })`,
        midi: `navigator.requestMIDIAccess({ sysex: true })`,
        usb: `navigator.usb.requestDevice({ filters: [] })`,
        files: `window.showOpenFilePicker ? window.showDirectoryPicker() : Promise.reject(new Error('none'))`,
      };
      const given: string[] = [];
      for (const [name, expression] of Object.entries(asked)) if ((await refusal(at, expression)) === null) given.push(name);
      must(given.length === 0, `the page was given ${list(given)}`);
      return `refused: ${Object.keys(asked).join(', ')}`;
    },
  },
  {
    id: '1.network',
    item: 1,
    what: 'Nothing of the page reaches a server: not by fetch, socket, picture, style, beacon or frame',
    run: async at => {
      at.hits();
      await fetch(at.server); // else a server that does not answer would pass for a wall
      must(at.hits() === 1, 'the probe’s own server does not answer: nothing is known');
      const { server } = at,
        socket = server.replace(/^http/, 'ws');
      const through: string[] = [];
      if ((await refusal(at, `fetch(${JSON.stringify(server)})`)) === null) through.push('fetch');
      if ((await refusal(at, `fetch(${JSON.stringify(server)}, { mode: 'no-cors' })`)) === null) through.push('fetch without cors');
      await inPage(
        at,
        `(() => {
        new Image().src = ${JSON.stringify(server)} + 'image';
        try { new WebSocket(${JSON.stringify(socket)}) } catch {}
        try { new EventSource(${JSON.stringify(server)}) } catch {}
        navigator.sendBeacon(${JSON.stringify(server)}, 'x');
        for (const [tag, key] of [['link', 'href'], ['script', 'src'], ['iframe', 'src'], ['video', 'src'], ['object', 'data']]) {
          const made = document.createElement(tag);
          if (tag === 'link') made.rel = 'stylesheet';
          made[key] = ${JSON.stringify(server)} + tag;
          document.body.append(made);
          setTimeout(() => made.remove(), 700);
        }
      })()`,
      );
      await sleep(1000);
      const hits = at.hits();
      must(
        hits === 0 && through.length === 0,
        `${hits} requests have reached the server${through.length > 0 ? `, by ${list(through)}` : ''}`,
      );
      return 'no request has reached the server';
    },
  },
  {
    id: '6.origins',
    item: 6,
    what: 'Of other origins the page reads nothing, also not of its own scheme',
    run: async at => {
      const through = [];
      for (const url of ['app://elsewhere/window/', 'data:text/plain,x', 'devtools://devtools/bundled/inspector.html'])
        if ((await refusal(at, `fetch(${JSON.stringify(url)})`)) === null) through.push(url);
      must(through.length === 0, `the page has read ${list(through)}`);
      const own = await inPage<number>(at, `fetch('/window/').then(answer => answer.status)`);
      must(own === 200, `its own address answers ${own}`);
      return 'app://elsewhere, data: and devtools: refused, its own read';
    },
  },
  {
    id: '7.policy',
    item: 7,
    what: 'The policy is in force: no text becomes code',
    run: async at => {
      const run = await inPage<string[]>(
        at,
        `(async () => {
        const ran = [];
        await new Promise(done => setTimeout(done)); // what is run from outside may do what the page may not
        try { (0, eval)('1'); ran.push('eval') } catch {}
        try { new Function('return 1')(); ran.push('Function') } catch {}
        const script = document.createElement('script');
        script.textContent = 'window.ranInline = true';
        document.body.append(script); script.remove();
        const button = document.createElement('button');
        button.setAttribute('onclick', 'window.ranInline = true'); button.click();
        try { new Worker(URL.createObjectURL(new Blob(['1']))).onmessage = null } catch {}
        if (window.ranInline) ran.push('a script in the document');
        const broken = await new Promise(done => {
          document.addEventListener('securitypolicyviolation', e => done(e.violatedDirective), { once: true });
          new Image().src = 'https://example.invalid/x.png';
          setTimeout(done, 2000, '');
        });
        if (broken === '') ran.push('a picture from elsewhere, unreported');
        return ran;
      })()`,
      );
      must(run.length === 0, `let through: ${list(run)}`);
      return 'eval, Function, inline scripts and handlers refused';
    },
  },
  {
    id: '12.webview',
    item: 12,
    what: 'A webview is an unknown element',
    run: async at => {
      const before = at.electron.webContents.getAllWebContents().length;
      const kind = await inPage<string>(
        at,
        `(() => { const made = document.createElement('webview'); made.setAttribute('src', ${JSON.stringify(at.server)}); made.setAttribute('allowpopups', ''); document.body.append(made); setTimeout(() => made.remove(), 700); return typeof made.loadURL })()`,
      );
      await sleep(1000);
      const now = at.electron.webContents.getAllWebContents().length;
      must(kind === 'undefined' && now === before, `it has become a page: ${kind}, ${now - before} more contents`);
      return 'no methods, no contents';
    },
  },
  {
    id: '18.file',
    item: 18,
    what: 'Files are not shown by their path',
    run: async at => {
      const why = await refusal(at, `fetch(${JSON.stringify(at.file)}).then(answer => answer.text())`);
      must(why !== null, `${at.file} was read`);
      const shown = await inPage<boolean>(
        at,
        `new Promise(done => { const made = document.createElement('iframe'); made.onload = () => { let text = ''; try { text = made.contentDocument?.body?.textContent ?? '' } catch {} done(text.length > 0) }; made.src = ${JSON.stringify(at.file)}; document.body.append(made); setTimeout(() => { made.remove(); done(false) }, 1000) })`,
      );
      must(!shown, `${at.file} was shown in a frame`);
      return `fetch: ${why}`;
    },
  },
  {
    id: '20.bridge',
    item: 20,
    what: 'The page gets functions, and nothing of Electron',
    run: async at => {
      const wanted = ['asked', 'drag', 'keep', 'path', 'pick', 'receive', 'reveal', 'save', 'send'];
      const there = await inPage<string[]>(
        at,
        `Object.entries(window.protagonist).map(([name, it]) => typeof it === 'function' ? name : name + ': ' + typeof it).sort()`,
      );
      const missing = wanted.filter(name => !there.includes(name));
      const odd = there.filter(name => name.includes(':'));
      must(missing.length === 0 && odd.length === 0, `missing: ${list(missing)}; no function: ${list(odd)}`);
      const leaked = await inPage<string[]>(
        at,
        `Object.getOwnPropertyNames(window).filter(name => /electron|ipc|remote|nodejs/i.test(name))`,
      );
      must(leaked.length === 0, `the page has ${list(leaked)}`);
      return list(there);
    },
  },
  {
    id: '17.sender',
    item: 17,
    what: 'Another window, with the same preload, is not answered',
    run: async at => {
      const other = new at.electron.BrowserWindow({ show: false, webPreferences: { sandbox: true, preload: at.preload } });
      try {
        await other.loadURL('about:blank');
        const said = (await other.webContents.executeJavaScript(
          `typeof window.protagonist === 'undefined' ? 'no bridge' : Promise.race([window.protagonist.pick('photos').then(said => JSON.stringify(said), () => 'refused'), new Promise(done => setTimeout(done, 1500, 'no answer'))])`,
        )) as string;
        must(said === 'refused' || said === 'no answer', `it was answered: ${said}`);
        return said;
      } finally {
        other.destroy();
      }
    },
  },
  {
    id: '15.external',
    item: 15,
    what: 'The system is handed the addresses of the licences, and no other',
    run: async at => {
      at.opened();
      const urls = [
        'file:///etc/passwd',
        'javascript:alert(1)',
        'ms-settings:',
        'smb://example.invalid/x',
        'https://example.invalid/',
        'http://huggingface.co/',
        'https://huggingface.co@example.invalid/',
      ];
      for (const url of urls) await inPage(at, `void window.open(${JSON.stringify(url)})`, true);
      await sleep(500);
      const handed = at.opened();
      must(handed.length === 0, `handed on: ${list(handed)}`);
      await inPage(at, `void window.open('https://huggingface.co/THUDM')`, true);
      await sleep(500);
      const meant = at.opened();
      must(meant.length === 1 && meant[0] === 'https://huggingface.co/THUDM', `of what it may hand on it has: ${list(meant)}`);
      return `${urls.length} refused, one handed on`;
    },
  },
  {
    id: '14.windows',
    item: 14,
    what: 'No further window opens: not by script, not by a link',
    run: async at => {
      const before = at.electron.BrowserWindow.getAllWindows().length;
      at.hits();
      const opened = await inPage<boolean>(
        at,
        `window.open(${JSON.stringify(at.server)}) !== null || window.open('about:blank') !== null`,
        true,
      );
      await inPage(
        at,
        `(() => { const made = document.createElement('a'); made.href = ${JSON.stringify(at.server)}; made.target = '_blank'; document.body.append(made); made.click(); made.remove() })()`,
        true,
      );
      await sleep(1000);
      const now = at.electron.BrowserWindow.getAllWindows().length,
        hits = at.hits();
      must(!opened && now === before && hits === 0, `a window was opened: ${now - before} more, ${hits} requests`);
      return 'none';
    },
  },
  {
    id: '13.navigation',
    item: 13,
    what: 'The window stays on its page: location, link, form, refresh, history',
    run: async at => {
      at.hits();
      const own = at.window.webContents.getURL();
      const { server, file } = at;
      const tries = [
        `location.href = ${JSON.stringify(server)}`,
        `location.replace(${JSON.stringify(file)})`,
        `location.assign('about:blank')`,
        `(() => { const made = document.createElement('a'); made.href = ${JSON.stringify(server)}; document.body.append(made); made.click(); made.remove() })()`,
        `(() => { const made = document.createElement('form'); made.action = ${JSON.stringify(server)}; made.method = 'post'; document.body.append(made); made.submit(); made.remove() })()`,
        `(() => { const made = document.createElement('meta'); made.httpEquiv = 'refresh'; made.content = '0; url=${server}'; document.head.append(made); setTimeout(() => made.remove(), 500) })()`,
        `location.href = 'app://protagonist/media/p1/photo'`,
      ];
      for (const each of tries) {
        await inPage(at, `void (${each})`, true).catch(() => undefined); // a page that went away does not answer
        await sleep(700);
        const now = at.window.webContents.getURL();
        must(now.split('#')[0] === own.split('#')[0], `it went to ${now} by ${each.slice(0, 60)}`);
      }
      const hits = at.hits();
      must(hits === 0, `${hits} requests have reached the server`);
      return `${tries.length} ways refused`;
    },
  },
  {
    id: '0.range',
    item: 0,
    what: 'Pieces of files come over the scheme: 206 with the bytes that were asked for, 416 beyond the end',
    run: async at => {
      const url = `/media/${range.id}/${range.kind}`;
      const got = await inPage<{ status: number; length: number; said: string | null; beyond: number }>(
        at,
        `(async () => {
        const some = await fetch(${JSON.stringify(url)}, { headers: { range: 'bytes=2-5' } });
        const beyond = await fetch(${JSON.stringify(url)}, { headers: { range: 'bytes=999999999-' } });
        return { status: some.status, length: (await some.arrayBuffer()).byteLength, said: some.headers.get('content-range'), beyond: beyond.status };
      })()`,
      );
      must(got.status === 206 && got.length === 4 && got.beyond === 416, `it was ${JSON.stringify(got)}`);
      return got.said ?? '206';
    },
  },
  {
    id: '0.child',
    item: 0,
    what: 'A process of ours comes up as a utility process, hears and answers, and knows its owner',
    run: async at => {
      const { said, owner } = await at.child();
      must(said === 'hello', `it said ${JSON.stringify(said)}`);
      must(owner === process.pid, `it takes ${owner} for its owner, which is ${process.pid}`);
      return 'it answers';
    },
  },
  {
    id: '0.secrets',
    item: 0,
    what: 'Where secrets go on this machine',
    run: async ({ electron: { safeStorage } }) => {
      const there = await safeStorage.isAsyncEncryptionAvailable();
      if (process.platform !== 'linux') return there ? 'the system’s own store' : 'no store: secrets are kept for the session only';
      const backend = safeStorage.getSelectedStorageBackend();
      must(backend !== 'unknown', 'it is asked before the app is ready');
      return backend === 'basic_text' || !there ? `${backend}: secrets are kept for the session only` : backend;
    },
  },
  {
    id: '0.single',
    item: 0,
    what: 'A second start ends by itself, and the window stays one',
    run: async at => {
      const status = await at.again();
      must(status === 0, `the second one ended with ${status ?? 'nothing: it still ran'}`);
      const windows = at.electron.BrowserWindow.getAllWindows().length;
      must(windows === 1, `there are ${windows} windows`);
      return 'ended with 0';
    },
  },
];

/** What a row came to. */
export interface Answer {
  readonly id: string;
  readonly passed: boolean;
  readonly text: string;
}

/** Runs one after the other, and goes on whatever one of them does.
 * @param patience milliseconds for each
 * @param say gets each answer as it comes */
export async function runProbes(which: readonly Probe[], at: At, patience: number, say: (answer: Answer) => void): Promise<void> {
  for (const { id, run } of which) {
    let late: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, fail) => {
      late = setTimeout(() => fail(new Error(`no answer in ${patience / 1000} s`)), patience);
    });
    try {
      say({ id, passed: true, text: await Promise.race([run(at), tooLate]) });
    } catch (error) {
      say({ id, passed: false, text: error instanceof Error ? error.message : String(error) });
    } finally {
      clearTimeout(late);
    }
  }
}
