/**
 * @file What `smoke.ts` has Electron start instead of `main.ts`: the app by its own `start`, and, once its window has loaded, the probes. It is read by Electron with its types taken
 * out, from a folder of its own; where everything is comes in the environment.
 */
import { spawn } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as electron from 'electron';
import type * as Children from '../../electron/shell/children.ts';
import type * as Start from '../../electron/shell/start.ts';
import { probes, runProbes, type Answer } from './probes.ts';

/** What the environment says, as JSON in PROTAGONIST_PROBE. */
export interface Told {
  /** The folder of the shell's modules, and how their names end: `.ts`, or `.js` where they are compiled. */
  readonly shell: string;
  readonly ending: string;
  /** The built preload. */
  readonly preload: string;
  /** Gets a line of JSON for each answer. */
  readonly answers: string;
  /** The version of Electron that package.json names. */
  readonly version: string;
  /** Milliseconds for each probe. */
  readonly patience: number;
  /** A second start: nothing is asked. */
  readonly second?: boolean;
}
const told = JSON.parse(process.env['PROTAGONIST_PROBE'] ?? '{}') as Told;
const say = (answer: Answer) => appendFileSync(told.answers, `${JSON.stringify(answer)}\n`);
const moduleOf = (name: string) => pathToFileURL(join(told.shell, `${name}${told.ending}`)).href;

let hits = 0;
const server = createServer((_, response) => {
  hits++;
  response.setHeader('access-control-allow-origin', '*'); // whoever gets here may read it: only walls of ours are to refuse
  response.end('reached');
});
const opened: string[] = [];
/** Electron as it is, but that nothing is handed to the system's browser. */
const watched = new Proxy({} as typeof electron, {
  get: (_, name) =>
    name === 'shell'
      ? {
          showItemInFolder: (path: string) => electron.shell.showItemInFolder(path),
          openExternal: (url: string) => Promise.resolve(void opened.push(url)),
        }
      : (Reflect.get(electron, name) as unknown),
});

async function child(): Promise<{ said: unknown; owner: number }> {
  const { byUtilityProcess } = (await import(moduleOf('children'))) as typeof Children;
  const started = byUtilityProcess((...how) => electron.utilityProcess.fork(...how))(
    join(import.meta.dirname, 'answering.mjs'),
    [String(process.pid)],
    [],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  try {
    return await new Promise((done, fail) => {
      started.on('message', message => done(message as { said: unknown; owner: number }));
      started.on('exit', status => fail(new Error(`it ended with ${status ?? 'a signal'} before it answered`)));
      started.send('hello');
    });
  } finally {
    started.kill('SIGKILL');
  }
}
const again = (): Promise<number | null> =>
  new Promise(done => {
    const second = spawn(process.execPath, process.argv.slice(1), {
      env: { ...process.env, PROTAGONIST_PROBE: JSON.stringify({ ...told, second: true }) },
      stdio: 'ignore',
    });
    const late = setTimeout(() => {
      second.kill('SIGKILL');
      done(null);
    }, told.patience * 0.8);
    second.on('exit', status => {
      clearTimeout(late);
      done(status);
    });
  });

async function ask(window: electron.BrowserWindow): Promise<void> {
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  try {
    await runProbes(
      probes,
      {
        electron,
        window,
        server: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
        hits: () => {
          const now = hits;
          hits = 0;
          return now;
        },
        file: pathToFileURL(process.execPath).href,
        opened: () => opened.splice(0),
        version: told.version,
        preload: told.preload,
        child,
        again,
        lines: file => {
          try {
            return readFileSync(file, 'utf8').split('\n');
          } catch {
            return [];
          }
        },
      },
      told.patience,
      say,
    );
  } finally {
    server.close();
    say({ id: 'end', passed: true, text: '' });
    electron.app.quit();
  }
}

if (told.second !== true)
  electron.app.once('browser-window-created', (_, window) => {
    window.webContents.once('did-finish-load', () => void setTimeout(() => void ask(window), 1000));
    window.webContents.once('did-fail-load', (_event, code, why) =>
      say({ id: 'start', passed: false, text: `the window did not load: ${why} (${code})` }),
    );
  });
try {
  const { start } = (await import(moduleOf('start'))) as typeof Start;
  void start(watched, process.argv).catch((error: unknown) => {
    say({ id: 'start', passed: false, text: `the app did not start: ${error instanceof Error ? error.message : String(error)}` });
    electron.app.exit(1);
  });
} catch (error) {
  say({ id: 'start', passed: false, text: `the app could not be read: ${error instanceof Error ? error.message : String(error)}` });
  electron.app.exit(1);
}
