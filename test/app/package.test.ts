/** @file The packed application: packed without a network from an Electron that is none; what lies where; and that it runs from inside its package, by a plain Node and as Electron sees it (Linux). */
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { FuseState, FuseV1Options, getCurrentFuseWire } from '@electron/fuses';
import { fuses } from '../../build/after-pack.ts';
import { readHead } from '../../build/binaries.ts';
import { archived, inspect, type Packed } from '../../build/packed.ts';
import { processEngine } from '../../electron/engine/supervisor.ts';
import { findFfmpeg, type Ffmpeg } from '../../electron/media/ffmpeg.ts';
import { programVersion } from '../../electron/media/program.ts';
import type { start as Start } from '../../electron/shell/start.ts';
import { fakeElectron } from '../support/electron.ts';
import { root } from '../support/run.ts';
import { started } from '../support/utility.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'protagonist package-')); // with a space, as where people install
after(() => rmSync(folder, { recursive: true, force: true }));
const { arch, platform } = process;
const linked = lstatSync(path.join(root, 'node_modules')).isSymbolicLink();
const skip =
  platform !== 'linux' ? 'the stand-in is for Linux' : linked && 'npm does not list the packages of a node_modules that is a link';
/** Without any network, where this machine lets us. */
const alone = spawnSync('/usr/bin/unshare', ['-rn', 'true']).status === 0 ? ['/usr/bin/unshare', '-rn'] : [];
const photo = path.join(root, 'assets/toybox/photos/kelp.jpg');
const home = path.join(folder, 'library');

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
async function ended(command: readonly string[], env: NodeJS.ProcessEnv, cwd: string): Promise<Ended> {
  const [program, ...args] = command;
  const child = spawn(program!, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text: Buffer) => (stdout += text.toString()));
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
  return new Promise((done, fail) => {
    child.on('error', fail);
    child.on('close', status => done({ status, stdout, stderr }));
  });
}

let ffmpeg: Ffmpeg, resources: string, beside: string, packed: Packed;
/** What a person's Node finds around it: nothing of the tree, and no ffmpeg. */
const bare = { HOME: folder, PATH: '/usr/sbin', PROTAGONIST_HOME: home };
/** The command line inside the package, by a plain Node. */
const cli = (...args: readonly string[]): Promise<Ended> =>
  ended([...alone, process.execPath, path.join(beside, 'dist/app/electron/protagonist.js'), ...args], bare, folder);
/** A hash of a clip's frames. */
const frames = (clip: string): string => {
  const { status, stdout } = spawnSync(ffmpeg.path, ['-v', 'error', '-i', clip, '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-'], {
    maxBuffer: 1e8,
  });
  assert.equal(status, 0);
  assert.equal(stdout.length, 9 * 64 * 64 * 3);
  return createHash('sha256').update(stdout).digest('hex');
};
const clip = (out: string): string[] =>
  ['generate', '--subject', photo, '--prompt', 'the toy hops', '--seed', '7', '--steps', '2', '--frames', '9', '--width', '64', '--height', '64', '--out', out, '--json']; // prettier-ignore

before(async () => {
  if (skip) return;
  ffmpeg = await findFfmpeg();
  const env = { ...process.env, npm_config_update_notifier: 'false', npm_config_offline: 'true' };
  const { status, stdout, stderr } = await ended([...alone, process.execPath, path.join(root, 'test/support/pack.ts'), folder, ffmpeg.path], env, root); // prettier-ignore
  assert.equal(status, 0, stdout + stderr);
  resources = path.join(stdout.trim().split('\n').at(-1)!, 'resources');
  beside = path.join(resources, 'app.asar.unpacked');
  packed = inspect(resources, platform, arch);
});

describe('the package', { skip }, () => {
  test('was packed without a network, and is as it has to be', t => {
    t.diagnostic(
      alone.length > 0 ? 'packed and run where there is no network at all' : 'this machine has no unshare: packed with its network',
    );
    assert.deepEqual(packed.wrong, []);
  });

  test('has its machine code beside the archive, this much and no more, and none inside', t => {
    const natives = packed.natives.map(({ file }) => file).sort();
    for (const { file, bytes } of packed.natives) t.diagnostic(`${(bytes / 1e6).toFixed(1).padStart(6)} MB  ${file}`);
    const modules = 'app\\.asar\\.unpacked/node_modules';
    const expected = [
      `${modules}/@img/sharp-libvips-${platform}-${arch}/lib/libvips-cpp\\.so\\.[\\d.]+`,
      `${modules}/@img/sharp-${platform}-${arch}/lib/sharp-${platform}-${arch}-[\\d.]+\\.node`,
      `${modules}/@koromix/koffi-${platform}-${arch}/${platform}_${arch}/koffi\\.node`,
      `${modules}/onnxruntime-node/bin/napi-v6/${platform}/${arch}/libonnxruntime\\.so\\.1`,
      `${modules}/onnxruntime-node/bin/napi-v6/${platform}/${arch}/onnxruntime_binding\\.node`,
      'ffmpeg/ffmpeg',
    ];
    assert.deepEqual(natives.filter((file, i) => !new RegExp(`^${expected[i] ?? ''}$`).test(file)), []); // prettier-ignore
    assert.equal(natives.length, expected.length);
    let looked = 0;
    for (const { file, bytes, at } of archived(path.join(resources, 'app.asar'))) {
      if (at === undefined || bytes < 4) continue;
      looked++;
      const head = readHead(path.join(resources, 'app.asar'), at, 4).toString('latin1');
      assert.ok(!/^(?:\x7fELF|MZ..|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe)$/s.test(head) || file.endsWith('.class'), file);
    }
    assert.ok(looked > 300, `${looked} files in the archive`);
  });

  test('holds what it runs and nothing else: no sources, tests or tools', () => {
    const files = [...archived(path.join(resources, 'app.asar'))].map(({ file }) => file);
    const strange = files.filter(file => !/^(?:package\.json$|build\/icons\/64x64\.png$|dist\/app\/|node_modules\/)/.test(file));
    assert.deepEqual(strange, []);
    assert.deepEqual(files.filter(file => /\.(?:[cm]?ts|map|svelte)$/.test(file)), []); // prettier-ignore
    const modules = new Set(files.flatMap(file => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? []));
    for (const name of ['electron', 'typescript', 'vite', 'svelte', 'electron-builder', 'ffmpeg-static', 'playwright-core'])
      assert.ok(!modules.has(name), `${name} is packed`);
    assert.deepEqual(readdirSync(resources).sort(), ['LICENSE.txt', 'app.asar', 'app.asar.unpacked', 'assets', 'ffmpeg', 'renderer']);
    assert.deepEqual(readdirSync(path.join(resources, '../locales')).sort(), ['ar.pak', 'de.pak', 'en-GB.pak', 'en-US.pak']);
  });

  test('carries the licence of every package in it, and of what the window is made with', () => {
    const text = readFileSync(path.join(resources, 'renderer/licences.txt'), 'utf8');
    const names = [...archived(path.join(resources, 'app.asar'))].flatMap(({ file }) => {
      const [, folder] = /^(?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\/package\.json$/.exec(file) ?? [];
      return folder ?? [];
    });
    assert.ok(names.length > 30, `${names.length} packages`);
    for (const name of [...names, 'svelte', 'bits-ui', 'mediabunny', '@lucide/svelte', '@fontsource-variable/noto-sans-arabic'])
      assert.ok(text.includes(`\n${name} `), name);
  });

  test('weighs what each part weighs', t => {
    const all = packed.parts.reduce((sum, [, bytes]) => sum + bytes, 0);
    for (const [name, bytes] of packed.parts.filter(([, bytes]) => bytes > 1e6))
      t.diagnostic(`${(bytes / 1e6).toFixed(1).padStart(6)} MB  ${name}`);
    const program = packed.parts.reduce((sum, [name, bytes]) => (name === 'ffmpeg' ? sum : sum + bytes), 0);
    t.diagnostic(`${(all / 1e6).toFixed(1)} MB in all, ${(program / 1e6).toFixed(1)} without ffmpeg; Electron comes to that`);
    assert.ok(program < 200e6, 'something large came along');
  });

  test('has all nine fuses, read back from its program', async () => {
    const wire = new Map(Object.entries(await getCurrentFuseWire(path.join(resources, '../protagonist'))));
    const options = Object.values(FuseV1Options).filter(option => typeof option === 'number');
    assert.equal(options.length, 9);
    for (const option of options)
      assert.equal(wire.get(String(option)), fuses[option] ? FuseState.ENABLE : FuseState.DISABLE, FuseV1Options[option]);
  });
});

describe('from inside the package, by a plain Node', { skip }, () => {
  test('doctor finds the package’s own things', async () => {
    const { status, stdout } = await cli('doctor');
    assert.equal(status, 0, stdout);
    assert.match(stdout, /✓ cpu/);
    for (const place of ['ffmpeg/ffmpeg', 'assets/toybox']) assert.ok(stdout.includes(path.join(resources, place)), place);
    assert.match(stdout, /from the package/);
  });

  test('a clip has the frames that the tree makes of the same seed', async () => {
    const [ours, theirs] = [path.join(folder, 'packed.mp4'), path.join(folder, 'tree.mp4')];
    const made = await cli(...clip(ours));
    assert.equal(made.status, 0, made.stdout + made.stderr);
    const tree = await ended([process.execPath, path.join(root, 'electron/protagonist.js'), ...clip(theirs)], process.env, folder);
    assert.equal(tree.status, 0, tree.stdout + tree.stderr);
    assert.equal(frames(ours), frames(theirs));
  });

  test('the engine alone, and ONNX Runtime by its C API', async () => {
    const children: ChildProcess[] = [];
    const engine = processEngine(() => {
      const script = path.join(beside, 'dist/app/electron/engine/main.js');
      children.push(spawn(process.execPath, [script], { env: bare, stdio: ['ignore', 'inherit', 'pipe', 'ipc'] }));
      return children.at(-1)!;
    });
    try {
      const found = await engine.verify({ task: 'verify', path: path.join(resources, 'assets/toybox') }, () => undefined, new AbortController().signal); // prettier-ignore
      assert.ok(JSON.stringify(found).length > 100);
    } finally {
      await engine.close();
    }
    assert.equal(children.length, 1);
    const runtime = pathToFileURL(path.join(beside, 'dist/app/native-models/runtime/device.js')).href;
    const script = `const { openRuntime } = await import(${JSON.stringify(runtime)}); const runtime = await openRuntime({ device: 'cpu', room: 'c-api' }); process.stdout.write(runtime.room);`;
    const { status, stdout, stderr } = await ended([process.execPath, '--input-type=module', '-e', script], bare, folder);
    assert.deepEqual([status, stdout], [0, 'c-api'], stderr);
  });

  test('a subject of two photos, one of them HEIC, its mask, and a backup', async () => {
    const added = await cli(
      'subject',
      'add',
      '--name',
      'Kelp',
      '--kind',
      'toy',
      '--json',
      photo,
      path.join(root, 'test/golden/photos/p3.heic'),
    );
    assert.equal(added.status, 0, added.stdout + added.stderr);
    const cut = await cli('subject', 'photo', 'cutout', 'p1', '--json');
    assert.equal(cut.status, 0, cut.stdout + cut.stderr);
    const shown = await cli('subject', 'show', '@kelp', '--json');
    assert.match(shown.stdout, /"mask":"[0-9a-f]{64}"/);
    const backup = await cli('backup', 'create', '--json');
    assert.equal(backup.status, 0, backup.stdout + backup.stderr);
    const samples = await cli('subject', 'samples', '--json');
    assert.equal(samples.status, 0, samples.stderr);
    const { stdout } = await cli('subject', 'list', '--json');
    assert.match(stdout, /"lemon"/);
  });
});

describe('as Electron sees it', { skip }, () => {
  /** What is in the archive, in a folder of the archive's name: a plain Node reads those. */
  let start: typeof Start;
  before(async () => {
    const view = path.join(folder, 'view/resources');
    for (const { file, bytes, at } of archived(path.join(resources, 'app.asar'))) {
      const to = path.join(view, 'app.asar', file);
      mkdirSync(path.dirname(to), { recursive: true });
      if (at === undefined) symlinkSync(path.join(beside, file), to);
      else writeFileSync(to, readHead(path.join(resources, 'app.asar'), at, bytes));
    }
    for (const name of readdirSync(resources)) if (name !== 'app.asar') symlinkSync(path.join(resources, name), path.join(view, name));
    ({ start } = (await import(pathToFileURL(path.join(view, 'app.asar/dist/app/electron/shell/start.js')).href)) as {
      start: typeof Start;
    });
    assert.ok(existsSync(path.join(view, 'app.asar/dist/app/electron/shell/preload.cjs')));
    process.env['PROTAGONIST_HOME'] = home;
  });

  test('the window opens with the package’s own page and preload', async () => {
    const fake = fakeElectron(folder, { packed: true });
    await start(fake.electron, ['protagonist']);
    const [window] = fake.windows;
    assert.match(String(window?.options.webPreferences?.preload), /app\.asar\/dist\/app\/electron\/shell\/preload\.cjs$/);
    assert.ok(existsSync(window!.options.webPreferences!.preload!));
    const page = await fake.schemes.get('app')!(new Request('app://protagonist/window/'));
    assert.equal(await page.text(), readFileSync(path.join(resources, 'renderer/index.html'), 'utf8'));
    const licences = await fake.schemes.get('app')!(new Request('app://protagonist/window/licences.txt'));
    assert.equal(licences.headers.get('content-type'), 'text/plain; charset=utf-8');
    assert.equal(await licences.text(), readFileSync(path.join(resources, 'renderer/licences.txt'), 'utf8'));
    const { ended } = fake;
    window!.close();
    assert.equal(await ended, 0);
  });

  test('with --headless it makes the same clip, by utility processes from beside the archive', async () => {
    const fake = fakeElectron(folder, { packed: true });
    const out = path.join(folder, 'headless.mp4');
    await start(fake.electron, ['protagonist', '--headless', ...clip(out)]);
    assert.equal(await fake.ended, 0);
    assert.equal(frames(out), frames(path.join(folder, 'tree.mp4')));
    const scripts = started.map(({ spawnargs }) =>
      spawnargs.filter(word => word.endsWith('.js')).map(file => file.slice(file.indexOf('app.asar'))),
    );
    const within = 'app.asar.unpacked/dist/app/electron';
    assert.deepEqual(scripts, [[`${within}/shell/child.js`, `${within}/engine/main.js`]]);
  });

  test('says the version that was packed', () => {
    const { version } = JSON.parse(readFileSync(path.join(beside, 'dist/app/package.json'), 'utf8')) as { version: string };
    assert.equal(version, programVersion);
  });
});
