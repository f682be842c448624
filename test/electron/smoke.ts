/**
 * @file `npm run smoke:electron`: the rows of the checklist that need a real Electron, asked of one. `ELECTRON_OVERRIDE_DIST_PATH` names the folder it was unpacked into, or a packed
 * app's (`release/linux-unpacked`), of which other things are asked. Without it nothing is run, and each row says so.
 *
 * `--patience SECONDS` for each probe (20). Exit status 0: all passed, or nothing could be run; 1: some row failed or was not answered; 2: there is no Electron.
 */
import { getCurrentFuseWire, FuseState, FuseV1Options } from '@electron/fuses';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import ts from 'typescript';
import { z } from 'zod';
import { fuses } from '../../build/after-pack.ts';
import { root } from '../support/run.ts';
import type { Told } from './probe.ts';
import { probes, type Answer } from './probes.ts';

/** A row that only a binary can answer. */
export interface BinaryRow {
  readonly id: string;
  readonly item: number;
  readonly what: string;
  readonly of: 'source' | 'packed';
}
/** What is asked of a packed app from outside: no code of ours can be put into it. */
const packedRows = [
  { id: '19.fuses', item: 19, what: 'The nine fuses of the packed program are as build/after-pack.ts sets them' },
  { id: '19.node', item: 19, what: 'ELECTRON_RUN_AS_NODE does not make it a Node' },
  { id: '19.options', item: 19, what: 'NODE_OPTIONS loads nothing into it' },
  { id: '19.inspect', item: 19, what: '--inspect opens no port' },
  { id: '19.debugging', item: 19, what: '--remote-debugging-port opens no port, and the app does not go on' },
  { id: '0.headless', item: 0, what: '--headless is the command line, and lists its verbs' },
] as const;
export const binaryRows: readonly BinaryRow[] = [
  ...probes.map(({ id, item, what }) => ({ id, item, what, of: 'source' as const })),
  ...packedRows.map(row => ({ ...row, of: 'packed' as const })),
];

/** What was found under a name. */
export interface Found {
  readonly program: string;
  readonly packed: boolean;
}
/** One sentence for whoever has set the variable: what is missing. */
export class CannotRun extends Error {}

/** The program in a folder: Electron as it is distributed, or an app that was packed with it.
 * @throws CannotRun where there is none, or what is there has not Electron's fuses in it */
export async function findElectron(folder: string, platform: NodeJS.Platform = process.platform): Promise<Found> {
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    throw new CannotRun(`ELECTRON_OVERRIDE_DIST_PATH names ${folder}, which is no folder: name the one that Electron was unpacked into.`);
  const names: Readonly<Record<string, readonly [plain: string, packed: string]>> = {
    darwin: ['Electron.app/Contents/MacOS/Electron', 'Protagonist.app/Contents/MacOS/Protagonist'],
    win32: ['electron.exe', 'Protagonist.exe'],
  };
  const [plain, ours] = names[platform] ?? ['electron', 'protagonist'];
  const program = [plain, ours].map(name => join(folder, name)).find(file => existsSync(file));
  if (program === undefined)
    throw new CannotRun(
      `There is neither ${plain} nor ${ours} in ${folder}; it has ${readdirSync(folder).slice(0, 5).join(', ') || 'nothing'}.`,
    );
  try {
    await getCurrentFuseWire(program.replace(/(\.app)\/.*$/, '$1'));
  } catch (error) {
    throw new CannotRun(`${program} is no Electron: ${error instanceof Error ? error.message.split('\n')[0]! : String(error)}.`);
  }
  return { program, packed: program.endsWith(ours) };
}

/** What a program has said and how it ended. */
interface Ran {
  readonly status: number | null;
  readonly out: string;
  readonly late: boolean;
}
/** @param milliseconds after which it is killed with all that it has started */
function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv, milliseconds: number): Promise<Ran> {
  return new Promise((done, fail) => {
    const group = process.platform !== 'win32';
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: group });
    let out = '',
      late = false;
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (bytes: Buffer) => (out = (out + bytes.toString()).slice(-20_000)));
    const end = setTimeout(() => {
      late = true;
      try {
        if (group) process.kill(-child.pid!, 'SIGKILL');
        else child.kill('SIGKILL');
      } catch {
        // it has ended meanwhile
      }
    }, milliseconds);
    child.on('error', fail);
    child.on('close', status => {
      clearTimeout(end);
      done({ status, out, late });
    });
  });
}

const answer = z.strictObject({ id: z.string(), passed: z.boolean(), text: z.string().max(10_000) });
/** What a probe has written, line by line; a line that was cut off, or is none of ours, is an answer to nothing.
 * @returns answers by row, and what else was said: of the start, and that it came to its end */
export function parseAnswers(text: string): {
  readonly rows: ReadonlyMap<string, Answer>;
  readonly start: string | undefined;
  readonly ended: boolean;
} {
  const rows = new Map<string, Answer>(),
    known = new Set(probes.map(({ id }) => id));
  let start: string | undefined,
    ended = false;
  for (const line of text.split('\n')) {
    let said: unknown;
    try {
      said = JSON.parse(line);
    } catch {
      continue;
    }
    const { data } = answer.safeParse(said);
    if (data?.id === 'start') start ??= data.text;
    else if (data?.id === 'end') ended = true;
    else if (data && known.has(data.id) && (rows.get(data.id)?.passed ?? true)) rows.set(data.id, data);
  }
  return { rows, start, ended };
}

/** What came of one row. */
export interface Result {
  readonly id: string;
  readonly item: number;
  readonly what: string;
  readonly state: 'passed' | 'failed' | 'NOT RUN';
  readonly text: string;
}

/** The environment of what is started: nothing of ours that would change how Electron starts, and a home of its own. */
function environment(home: string): NodeJS.ProcessEnv {
  return { ...process.env, PROTAGONIST_HOME: join(home, 'library'), ELECTRON_RUN_AS_NODE: undefined, NODE_OPTIONS: undefined, NODE_TEST_CONTEXT: undefined }; // prettier-ignore
}

export type Modules = Pick<Told, 'shell' | 'ending' | 'preload'>;
/** Where the shell's modules are that Electron can read (compiled ones where there are any, else the sources), and the preload. @throws CannotRun where the window is not built */
export function shellModules(at = root): Modules {
  const compiled = join(at, 'dist/app/electron/shell'),
    sources = join(at, 'electron/shell');
  const preload = [compiled, sources].map(folder => join(folder, 'preload.cjs')).find(file => existsSync(file));
  if (preload === undefined || !existsSync(join(at, 'dist/renderer/index.html')))
    throw new CannotRun('The window is not built: `npm run build` first.');
  return existsSync(join(compiled, 'start.js')) ? { shell: compiled, ending: '.js', preload } : { shell: sources, ending: '.ts', preload };
}

async function ofSource(program: string, home: string, patience: number, modules: Modules): Promise<Result[]> {
  const app = join(home, 'app'),
    answers = join(home, 'answers.jsonl');
  mkdirSync(app);
  for (const name of ['probe', 'probes']) {
    const { outputText } = ts.transpileModule(readFileSync(join(import.meta.dirname, `${name}.ts`), 'utf8'), {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2024, verbatimModuleSyntax: true },
    });
    writeFileSync(join(app, `${name}.mjs`), outputText.replaceAll(`'./probes.ts'`, `'./probes.mjs'`));
  }
  writeFileSync(join(app, 'answering.mjs'), `process.on('message', said => process.send({ said, owner: Number(process.argv[2]) }));\n`);
  writeFileSync(join(app, 'package.json'), JSON.stringify({ name: 'protagonist', version: '0.0.0', type: 'module', main: 'probe.mjs' }));
  writeFileSync(answers, '');
  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { devDependencies: { electron: string } };
  const env = environment(home),
    told: Told = { ...modules, answers, version: devDependencies.electron, patience };
  // a photo, of which pieces can be asked
  const added = await run(process.execPath, [join(root, 'electron/protagonist.js'), 'subject', 'add', '--name', 'Probe', '--kind', 'toy', '--description', 'a toy', join(root, 'assets/toybox/photos/kelp.jpg')], env, 60_000); // prettier-ignore
  if (added.status !== 0) throw new Error(`a library could not be made: ${added.out.trim().split('\n').at(-1) ?? ''}`);
  const ran = await run(
    program,
    [app, `--user-data-dir=${join(home, 'profile')}`],
    { ...env, PROTAGONIST_PROBE: JSON.stringify(told) },
    patience * (probes.length + 2),
  );
  const { rows, start, ended } = parseAnswers(readFileSync(answers, 'utf8'));
  const why =
    start ??
    (ran.late
      ? 'it did not end in time'
      : `it ended with ${ran.status ?? 'a signal'}${ran.out.trim() === '' ? '' : `: ${ran.out.trim().split('\n').at(-1)!}`}`);
  return [
    ...probes.map(({ id, item, what }): Result => {
      const said = rows.get(id);
      return { id, item, what, state: said?.passed ? 'passed' : 'failed', text: said?.text ?? `not answered: ${why}` };
    }),
    { id: '0.quit', item: 0, what: 'It quits when it is told to, with 0', state: ended && ran.status === 0 && !ran.late ? 'passed' : 'failed', text: ended && ran.status === 0 ? 'ended with 0' : why }, // prettier-ignore
  ];
}

async function ofPacked(program: string, home: string, patience: number): Promise<Result[]> {
  const env = environment(home),
    profile = `--user-data-dir=${join(home, 'profile')}`;
  const marker = join(home, 'loaded'),
    script = join(home, 'loaded.cjs');
  writeFileSync(script, `require('node:fs').writeFileSync(${JSON.stringify(marker)}, '');\n`);
  const asked: Readonly<Record<(typeof packedRows)[number]['id'], () => Promise<string>>> = {
    '19.fuses': async () => {
      const wire = new Map(Object.entries(await getCurrentFuseWire(program.replace(/(\.app)\/.*$/, '$1'))));
      const wrong = Object.values(FuseV1Options)
        .filter(option => typeof option === 'number')
        .filter(option => wire.get(String(option)) !== (fuses[option] ? FuseState.ENABLE : FuseState.DISABLE));
      if (wrong.length > 0) throw new Error(`otherwise: ${wrong.map(option => FuseV1Options[option]).join(', ')}`);
      return 'nine of nine';
    },
    '19.node': async () => {
      const { out } = await run(program, ['-p', '6 * 7', profile], { ...env, ELECTRON_RUN_AS_NODE: '1' }, patience);
      if (/^42$/m.test(out)) throw new Error('it has run a script');
      return 'it is not';
    },
    '19.options': async () => {
      await run(program, [profile, '--headless', 'help'], { ...env, NODE_OPTIONS: `--require ${script}` }, patience);
      if (existsSync(marker)) throw new Error('a script was loaded');
      return 'nothing was loaded';
    },
    '19.inspect': async () => {
      const { out } = await run(program, ['--inspect=127.0.0.1:0', profile], env, patience / 2);
      if (/Debugger listening/i.test(out)) throw new Error('it listens');
      return 'it does not listen';
    },
    '19.debugging': async () => {
      const { out } = await run(program, ['--remote-debugging-port=0', profile], env, patience / 2);
      if (/DevTools listening/i.test(out) || existsSync(join(home, 'profile/DevToolsActivePort'))) throw new Error('it listens');
      if (existsSync(join(home, 'library'))) throw new Error('it has opened a library all the same');
      return 'it does not listen, and opened no library';
    },
    '0.headless': async () => {
      const { status, out } = await run(program, [profile, '--headless', 'help'], env, patience);
      if (status !== 0 || !/\bgenerate\b/.test(out))
        throw new Error(`it ended with ${status ?? 'a signal'} and said “${out.trim().slice(-200)}”`);
      return 'it lists its verbs';
    },
  };
  const results: Result[] = [];
  // the library must not be there before the one that says it opens none
  for (const { id, item, what } of packedRows.toSorted((a, b) => Number(b.id === '19.debugging') - Number(a.id === '19.debugging')))
    try {
      results.push({ id, item, what, state: 'passed', text: await asked[id]() });
    } catch (error) {
      results.push({ id, item, what, state: 'failed', text: error instanceof Error ? error.message : String(error) });
    }
  return results;
}

/** Asks what can be asked.
 * @param folder as the environment names it; undefined where it does not
 * @param patience milliseconds for each probe
 * @param modules what is started; the app that is built here unless it is named
 * @throws CannotRun */
export async function smoke(folder: string | undefined, patience: number, modules?: Modules): Promise<Result[]> {
  const not = (why: string, rows = binaryRows): Result[] =>
    rows.map(({ id, item, what }) => ({ id, item, what, state: 'NOT RUN', text: why }));
  if (folder === undefined || folder === '') return not('needs a real Electron: ELECTRON_OVERRIDE_DIST_PATH names its folder');
  const { program, packed } = await findElectron(folder);
  const home = mkdtempSync(join(tmpdir(), 'protagonist-smoke-'));
  try {
    const asked = packed ? await ofPacked(program, home, patience) : await ofSource(program, home, patience, modules ?? shellModules());
    const others = binaryRows.filter(row => !asked.some(({ id }) => id === row.id));
    return [...asked, ...not(packed ? 'asked of an Electron that was not packed' : 'asked of a packed app', others)];
  } finally {
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** One line of a table. */
export const line = ({ id, what, state, text }: Result): string =>
  `${state.padEnd(8)} ${id.padEnd(15)} ${what}${text === '' ? '' : `\n${' '.repeat(25)}${text}`}`;

if (import.meta.main) {
  const { values } = parseArgs({ options: { patience: { type: 'string', default: '20' }, json: { type: 'boolean', default: false } } });
  try {
    const results = await smoke(process.env['ELECTRON_OVERRIDE_DIST_PATH'], Number(values.patience) * 1000);
    for (const result of results) console.log(values.json ? JSON.stringify(result) : line(result));
    const failed = results.filter(({ state }) => state === 'failed').length,
      left = results.filter(({ state }) => state === 'NOT RUN').length;
    if (!values.json) console.log(`${results.length - failed - left} passed, ${failed} failed, ${left} not run`);
    process.exitCode = failed > 0 ? 1 : 0;
  } catch (error) {
    if (!(error instanceof CannotRun)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
