/**
 * @file The smoke script without a real Electron: what it starts and with what, how long it waits, what it takes for an answer, and what it says where there is none. The program is a
 * stand-in that has Electron's fuses in it and answers as it is told; what the probes ask of a page is asked of a real browser, with walls and without.
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type * as Electron from 'electron';
import { windowPolicy } from '../../electron/shell/protocol.ts';
import { chromium, openBrowser, type Page } from '../support/chromium.ts';
import { root } from '../support/run.ts';
import { within } from '../support/time.ts';
import type { Told } from './probe.ts';
import { probes, runProbes, type Answer, type At } from './probes.ts';
import { binaryRows, CannotRun, findElectron, line, parseAnswers, shellModules, smoke } from './smoke.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-smoke-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));
/** The app's sources, with something in the place of its built preload. */
const modules = { shell: join(root, 'electron/shell'), ending: '.ts', preload: join(root, 'package.json') };

/** A folder with a program that has these fuses in it and runs this script. */
function standIn(name: string, program: string, script: string, wire = '010011001'): string {
  const at = join(folder, name);
  mkdirSync(at);
  writeFileSync(join(at, 'script.mjs'), script);
  writeFileSync(
    join(at, program),
    Buffer.concat([Buffer.from(`#!/bin/sh\nexec "${process.execPath}" "${at}/script.mjs" "$@"\n`), Buffer.from('dL7pKGdnNz796PbbjQWNKmHXBZaB9tsX'), Buffer.from([1, wire.length]), Buffer.from(wire)]), // prettier-ignore
  );
  chmodSync(join(at, program), 0o755);
  return at;
}
const answering = (body: string) => `
import { appendFileSync, writeFileSync } from 'node:fs';
const told = JSON.parse(process.env.PROTAGONIST_PROBE);
const say = (id, passed, text) => appendFileSync(told.answers, JSON.stringify({ id, passed, text }) + '\\n');
const ids = ${JSON.stringify(probes.map(({ id }) => id))};
${body}`;

test('without the variable each row says NOT RUN, and why', async () => {
  const results = await smoke(undefined, 1000);
  assert.deepEqual(results.map(({ id }) => id), binaryRows.map(({ id }) => id)); // prettier-ignore
  for (const result of results) assert.match(line(result), /^NOT RUN .*\n +needs a real Electron: ELECTRON_OVERRIDE_DIST_PATH names/);
  assert.deepEqual(await smoke('', 1000), results);
});

test('what is no Electron is refused in one sentence', async () => {
  const refuses = (at: string, why: RegExp) =>
    assert.rejects(
      smoke(at, 1000),
      (error: unknown) => error instanceof CannotRun && why.test(error.message) && !error.message.includes('\n'),
    );
  await refuses(join(folder, 'none'), /which is no folder/);
  writeFileSync(join(folder, 'file'), '');
  await refuses(join(folder, 'file'), /which is no folder/);
  mkdirSync(join(folder, 'empty'));
  await refuses(join(folder, 'empty'), /neither electron(\.exe|\.app\S*)? nor .* it has nothing/);
  if (process.platform !== 'linux') return;
  mkdirSync(join(folder, 'node'));
  writeFileSync(join(folder, 'node/electron'), '#!/bin/sh\necho v45.4.1\n');
  await refuses(join(folder, 'node'), /node\/electron is no Electron: .*sentinel/i);
  assert.deepEqual(await findElectron(standIn('plain', 'electron', '')), { program: join(folder, 'plain/electron'), packed: false });
  assert.deepEqual(await findElectron(standIn('ours', 'protagonist', '')), { program: join(folder, 'ours/protagonist'), packed: true });
});

test('what is started is the compiled app where there is one, else its sources; neither without the window', () => {
  const at = join(folder, 'app');
  const lay = (file: string) => {
    mkdirSync(join(at, file, '..'), { recursive: true });
    writeFileSync(join(at, file), '');
  };
  assert.throws(() => shellModules(at), /^Error: The window is not built: `npm run build` first\.$/);
  lay('electron/shell/preload.cjs');
  assert.throws(() => shellModules(at), CannotRun);
  lay('dist/renderer/index.html');
  const sources = join(at, 'electron/shell');
  assert.deepEqual(shellModules(at), { shell: sources, ending: '.ts', preload: join(sources, 'preload.cjs') });
  lay('dist/app/electron/shell/start.js');
  lay('dist/app/electron/shell/preload.cjs');
  const compiled = join(at, 'dist/app/electron/shell');
  assert.deepEqual(shellModules(at), { shell: compiled, ending: '.js', preload: join(compiled, 'preload.cjs') });
});

test('answers are read line by line: what is cut off, unknown or twice is no pass', () => {
  const said = (id: unknown, passed: unknown, text: unknown = '') => JSON.stringify({ id, passed, text });
  const { rows, start, ended } = parseAnswers(
    [said('2.page', true, 'fine'), said('4.process', true), said('4.process', false, 'not'), said('5.permissions', false, 'no'), said('5.permissions', true), said('19.fuses', true), said('7.policy', 'yes'), said('12.webview', true).slice(0, -1), 'DevTools listening', '', 'null', said('start', false, 'it did not load')].join('\n'), // prettier-ignore
  );
  assert.deepEqual([...rows].map(([id, { passed, text }]) => [id, passed, text]), [['2.page', true, 'fine'], ['4.process', false, 'not'], ['5.permissions', false, 'no']]); // prettier-ignore
  assert.deepEqual([start, ended], ['it did not load', false]);
  assert.equal(parseAnswers(said('end', true)).ended, true);
});

describe('a stand-in', { skip: process.platform !== 'linux' ? 'needs Linux' : false }, () => {
  test('is started with a folder, a profile and a library of its own, and all that is needed lies there', async () => {
    const seen = join(folder, 'seen.json');
    const at = standIn(
      'passing',
      'electron',
      answering(`
        import { readFileSync, existsSync } from 'node:fs';
        const [app, profile] = process.argv.slice(2);
        const { main } = JSON.parse(readFileSync(app + '/package.json', 'utf8'));
        await import('node:child_process').then(({ execFileSync }) => [main, 'probes.mjs', 'answering.mjs'].forEach(file => execFileSync(process.execPath, ['--check', app + '/' + file])));
        writeFileSync(${JSON.stringify(seen)}, JSON.stringify({ argv: process.argv.slice(2), told, home: process.env.PROTAGONIST_HOME, node: process.env.ELECTRON_RUN_AS_NODE ?? null, options: process.env.NODE_OPTIONS ?? null, library: existsSync(process.env.PROTAGONIST_HOME), probe: readFileSync(app + '/' + main, 'utf8') }));
        for (const id of ids) say(id, true, 'seen');
        say('end', true, '');`),
    );
    process.env['ELECTRON_RUN_AS_NODE'] = '1';
    const results = await smoke(at, 5000, modules).finally(() => delete process.env['ELECTRON_RUN_AS_NODE']);
    for (const probe of probes) assert.deepEqual(results.find(({ id }) => id === probe.id), { id: probe.id, item: probe.item, what: probe.what, state: 'passed', text: 'seen' }); // prettier-ignore
    assert.equal(results.find(({ id }) => id === '0.quit')?.state, 'passed');
    assert.deepEqual(
      new Set(results.filter(({ state }) => state === 'NOT RUN').map(({ text }) => text)),
      new Set(['asked of a packed app']),
    );
    const { argv, told, home, node, options, library, probe } = JSON.parse(readFileSync(seen, 'utf8')) as { argv: string[]; told: Told; home: string; node: string | null; options: string | null; library: boolean; probe: string }; // prettier-ignore
    assert.equal(argv.length, 2);
    assert.match(argv[1]!, /^--user-data-dir=.*protagonist-smoke-.*\/profile$/);
    assert.ok(home.startsWith(tmpdir()) && library && node === null && options === null);
    assert.match(told.ending, /^\.[tj]s$/);
    assert.ok(existsSync(join(told.shell, `start${told.ending}`)) && existsSync(told.preload) && told.patience === 5000);
    assert.ok(!probe.includes('import type') && probe.includes(`from './probes.mjs'`), 'the probe is no plain JavaScript');
    assert.ok(!existsSync(argv[0]!), 'what was made stays behind');
  });

  test('that fails, says nonsense or ends early fails row by row, with what it said', async () => {
    const at = standIn('failing', 'electron', answering(`for (const id of ids.slice(0, 3)) say(id, id !== ids[1], 'as told'); appendFileSync(told.answers, '{"id":"'); console.error('Missing X server or $DISPLAY'); process.exit(3);`)); // prettier-ignore
    const results = await smoke(at, 5000, modules);
    assert.deepEqual(results.slice(0, 4).map(({ state }) => state), ['passed', 'failed', 'passed', 'failed']); // prettier-ignore
    assert.equal(results[3]!.text, 'not answered: it ended with 3: Missing X server or $DISPLAY');
    assert.equal(results.find(({ id }) => id === '0.quit')?.state, 'failed');
  });

  test('that hangs is killed, with what it has started', async () => {
    const pids = join(folder, 'pids');
    const at = standIn('hanging', 'electron', answering(`import { spawn } from 'node:child_process'; const child = spawn('sleep', ['600'], { stdio: 'ignore' }); writeFileSync(${JSON.stringify(pids)}, process.pid + ' ' + child.pid); setInterval(() => {}, 1000);`)); // prettier-ignore
    const began = performance.now();
    const results = await smoke(at, 100, modules);
    assert.ok(performance.now() - began < within(30_000));
    assert.ok(
      results
        .filter(({ state }) => state !== 'NOT RUN')
        .every(({ state, text }) => state === 'failed' && /it did not end in time/.test(text)),
    );
    for (const pid of readFileSync(pids, 'utf8').split(' ')) {
      const alive = existsSync(`/proc/${pid}/stat`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
      assert.ok(!alive, `process ${pid} lives on`);
    }
  });

  test('of a packed app is asked from outside, and each way in is seen where it is open', async () => {
    const shut = standIn(
      'shut',
      'protagonist',
      `if (process.argv.slice(-2).join(' ') === '--headless help') console.log('generate'); else process.exit(1);`,
    );
    // Node itself would take NODE_OPTIONS: the stand-in's shell takes it away, as the fuse does
    const program = readFileSync(join(shut, 'protagonist'), 'latin1').replace('exec ', 'unset NODE_OPTIONS; exec ');
    writeFileSync(join(shut, 'protagonist'), program, 'latin1');
    const closed = await smoke(shut, 5000);
    const states = (results: typeof closed) => Object.fromEntries(results.filter(({ state }) => state !== 'NOT RUN').map(({ id, state }) => [id, state])); // prettier-ignore
    const each = binaryRows.filter(({ of }) => of === 'packed').map(({ id }) => id);
    assert.deepEqual(states(closed), Object.fromEntries(each.map(id => [id, 'passed'])));

    const open = standIn(
      'open',
      'protagonist',
      `import { mkdirSync } from 'node:fs';
       if (process.env.ELECTRON_RUN_AS_NODE) console.log(42);
       if (process.argv.some(arg => arg.startsWith('--inspect'))) console.error('Debugger listening on ws://127.0.0.1:9229/x');
       if (process.argv.some(arg => arg.startsWith('--remote-debugging'))) { mkdirSync(process.env.PROTAGONIST_HOME); setInterval(() => {}, 1000); }`,
      '110011001',
    );
    assert.deepEqual(states(await smoke(open, 2000)), Object.fromEntries(each.map(id => [id, 'failed'])));
  });

  test('the command prints a row each; its status says what came of them', async () => {
    const script = join(root, 'test/electron/smoke.ts');
    const { spawnSync } = await import('node:child_process');
    const said = (at: string | undefined, ...args: string[]) =>
      spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', env: { ...process.env, ELECTRON_OVERRIDE_DIST_PATH: at ?? '' } });
    const none = said(undefined);
    assert.deepEqual([none.status, none.stdout.match(/^NOT RUN/gm)?.length], [0, binaryRows.length]);
    const nothing = join(folder, 'nothing');
    mkdirSync(nothing);
    const wrong = said(nothing);
    assert.deepEqual([wrong.status, wrong.stdout], [2, '']);
    assert.match(wrong.stderr, /^There is neither [^\n]*\n$/);
    const ended = standIn('ended', 'protagonist', 'process.exit(7);');
    const failed = said(ended, '--json', '--patience', '2');
    assert.equal(failed.status, 1);
    assert.ok(failed.stdout.trim().split('\n').every(text => 'state' in (JSON.parse(text) as object))); // prettier-ignore
  });
});

test('each probe gets its time, and one that breaks or hangs does not keep the next', async () => {
  const answers: Answer[] = [];
  const probe = (id: string, ask: () => Promise<string>) => ({ id, item: 0, what: id, run: ask });
  await runProbes([probe('a', () => Promise.reject(new Error('broken'))), probe('b', () => new Promise<string>(() => undefined)), probe('c', () => Promise.resolve('fine'))], {} as At, 60, one => void answers.push(one)); // prettier-ignore
  assert.deepEqual(answers, [
    { id: 'a', passed: false, text: 'broken' },
    { id: 'b', passed: false, text: 'no answer in 0.06 s' },
    { id: 'c', passed: true, text: 'fine' },
  ]);
});

describe('what the probes ask of a page', { skip: chromium === undefined ? 'no Chromium here' : false }, () => {
  /** A browser's page in the place of the window; `walls`: with the window's policy, as its only wall. */
  async function asked(walls: boolean, which: readonly string[], before = ''): Promise<Record<string, Answer>> {
    let hits = 0;
    const other = createServer((_, response) => {
      hits++;
      response.setHeader('access-control-allow-origin', '*');
      response.end('reached');
    });
    const own = createServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/html', ...(walls && { 'content-security-policy': windowPolicy }) });
      response.end('<!doctype html><body>the window</body>');
    });
    for (const server of [other, own]) await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
    const address = (server: typeof own) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const browser = await openBrowser();
    const answers: Record<string, Answer> = {};
    try {
      const page: Page = await browser.newPage();
      await page.goto(`${address(own)}window/`);
      if (before !== '') await page.run(before);
      let at = `${address(own)}window/`;
      const contents = {
        executeJavaScript: (code: string) => page.run(code),
        // asked of the page itself, which may have gone elsewhere
        getURL: () => at,
      };
      const look = setInterval(() => void page.run<string>('location.href').then(now => (at = now), () => undefined), 100); // prettier-ignore
      await runProbes(
        probes.filter(({ id }) => which.includes(id)),
        {
          window: { webContents: contents } as unknown as Electron.BrowserWindow,
          electron: {
            webContents: { getAllWebContents: () => [] },
            BrowserWindow: { getAllWindows: () => [] },
          } as unknown as typeof Electron,
          server: address(other),
          hits: () => {
            const now = hits;
            hits = 0;
            return now;
          },
          file: 'file:///etc/hostname',
          opened: () => [],
          version: '0.0.0',
          preload: '',
          child: () => Promise.resolve({ said: 'hello', owner: process.pid }),
          again: () => Promise.resolve(0),
          lines: () => [],
        },
        15_000,
        answer => void (answers[answer.id] = answer),
      );
      clearInterval(look);
    } finally {
      await browser.close();
      for (const server of [other, own]) {
        server.closeAllConnections();
        server.close();
      }
    }
    return answers;
  }

  test('is refused by the policy alone, where the policy is what refuses it', async () => {
    const answers = await asked(true, ['2.page', '1.network', '6.origins', '7.policy', '12.webview', '18.file']);
    for (const id of ['2.page', '1.network', '6.origins', '7.policy', '12.webview', '18.file']) assert.ok(answers[id]?.passed, `${id}: ${answers[id]?.text ?? 'no answer'}`); // prettier-ignore
  });

  test('is seen where nothing refuses it', async () => {
    const open = `(globalThis.require = () => 1, globalThis.protagonist = { send() {}, path: {} }, globalThis.ipcRenderer = {}, 1)`;
    const answers = await asked(
      false,
      ['16.version', '2.page', '3.world', '1.network', '6.origins', '7.policy', '20.bridge', '13.navigation'],
      open,
    );
    const says: Readonly<Record<string, RegExp>> = {
      '16.version': /it is Electron none, and package\.json names 0\.0\.0/,
      '2.page': /the page has require/,
      '3.world': /could change the bridge, a function of it, the world/,
      '1.network': /requests have reached the server, by fetch/,
      '6.origins': /has read data:/,
      '7.policy': /let through: eval, Function, a script in the document/,
      '20.bridge': /missing: asked.*no function: path: object/,
      '13.navigation': /it went to http/,
    };
    for (const [id, what] of Object.entries(says)) {
      assert.equal(answers[id]?.passed, false, `${id} passes: ${answers[id]?.text ?? 'no answer'}`);
      assert.match(answers[id].text, what);
    }
  });
});
