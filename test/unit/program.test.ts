/** @file Where the program's things lie: in the tree, compiled, in an archive and beside one; and that all of them are there. */
import assert from 'node:assert/strict';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { program, programAt, programVersion, scriptAt } from '../../electron/media/program.ts';
import { root } from '../support/run.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'protagonist program %20 app.asar-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** The program as its module would see it, were it in this folder. */
function at(code: string, ending: 'ts' | 'js', version = '1.2.3') {
  mkdirSync(path.join(folder, code), { recursive: true });
  writeFileSync(
    path.join(folder, code, 'package.json'),
    JSON.stringify({ name: 'protagonist', version, updates: { feed: null, keys: [] } }),
  );
  const url = (file: string): string => pathToFileURL(path.join(folder, code, file)).href;
  const { scriptAt, updates, ...places } = programAt(url(`electron/media/program.${ending}`));
  assert.deepEqual(updates, { feed: null, keys: [] });
  return {
    places: Object.fromEntries(
      Object.entries(places).map(([name, place]) => [
        name,
        name === 'version' || place === undefined ? place : path.relative(folder, place),
      ]),
    ),
    script: (name: string, from: string) => path.relative(folder, scriptAt(name, url(`${from}.${ending}`))),
  };
}

test('in the tree and compiled beside it, the things are those of the tree', () => {
  const things = {
    resources: 'tree',
    assets: 'tree/assets',
    window: 'tree/dist/renderer',
    icon: 'tree/build/icons/64x64.png',
    ffmpeg: undefined,
  };
  const tree = at('tree', 'ts');
  assert.deepEqual(tree.places, { version: '1.2.3', ...things });
  assert.equal(tree.script('../engine/main.ts', 'electron/cli/engine'), 'tree/electron/engine/main.ts');
  const compiled = at('tree/dist/app', 'js', '1.2.4');
  assert.deepEqual(compiled.places, { version: '1.2.4', ...things });
  assert.equal(compiled.script('../engine/main.ts', 'electron/cli/engine'), 'tree/dist/app/electron/engine/main.js');
});

test('in a package they are resources, and scripts lie beside the archive, from wherever they are asked for', () => {
  for (const archive of ['app.asar', 'app.asar.unpacked']) {
    const packed = at(`resources/${archive}/dist/app`, 'js');
    assert.deepEqual(packed.places, {
      version: '1.2.3',
      resources: 'resources',
      assets: 'resources/assets',
      window: 'resources/renderer',
      icon: `resources/${archive}/build/icons/64x64.png`,
      ffmpeg: process.platform === 'win32' ? 'resources/ffmpeg/ffmpeg.exe' : 'resources/ffmpeg/ffmpeg',
    });
    assert.equal(packed.script('./heic.ts', 'electron/media/import'), 'resources/app.asar.unpacked/dist/app/electron/media/heic.js');
  }
});

test('a tree in a folder that is named like an archive is a tree, and one without a package.json is refused', () => {
  assert.equal(at('app.asar/tree', 'ts').places['assets'], 'app.asar/tree/assets');
  assert.equal(at('app.asar/tree/dist/app', 'js').script('./b.ts', 'electron/cli/a'), 'app.asar/tree/dist/app/electron/cli/b.js');
  const nowhere = pathToFileURL(path.join(folder, 'nowhere/electron/media/program.js')).href;
  assert.throws(() => programAt(nowhere), /ENOENT.*package\.json/);
});

test('what this program says is there, and so is every script that it starts', () => {
  assert.equal(programVersion, (JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { version: string }).version);
  for (const file of [program.icon, path.join(program.assets, 'checkpoints.json'), path.join(program.assets, 'toybox/model_index.json')])
    assert.ok(existsSync(file), file);
  const scripts = globSync('electron/**/*.ts', { cwd: root }).flatMap(file =>
    [...readFileSync(path.join(root, file), 'utf8').matchAll(/scriptAt\('([^']+)', import\.meta\.url\)/g)].map(([, name]) =>
      scriptAt(name!, pathToFileURL(path.join(root, file)).href),
    ),
  );
  assert.ok(scripts.length >= 6, `${scripts.length} scripts`);
  for (const script of scripts) assert.ok(existsSync(script), script);
});

test('nobody else asks where the program lies', () => {
  for (const file of globSync('electron/**/*.ts', { cwd: root })) {
    if (file === path.join('electron', 'media', 'program.ts')) continue;
    const source = readFileSync(path.join(root, file), 'utf8');
    assert.doesNotMatch(source, /resourcesPath|['`](?:\.\.\/)+(?:assets|dist|package\.json)\b/, file);
    assert.doesNotMatch(source, /new URL\([^\n]*\.ts', import\.meta\.url\)/, `${file}: scriptAt knows where scripts lie`);
  }
});
