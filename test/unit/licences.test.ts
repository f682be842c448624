/** @file What ships is given away with its licence: every package has a text, each text stands once, and what has none is refused. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { licences, licencesOf, manifest, productionModules } from '../../build/modules.ts';
import { root } from '../support/run.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'protagonist-licences-'));
after(() => rmSync(folder, { recursive: true, force: true }));
/** A project of packages: what each package.json says, and its other files. */
function project(name: string, packages: Readonly<Record<string, readonly [object, Readonly<Record<string, string>>?]>>): string {
  for (const [at, [says, files = {}]] of Object.entries(packages)) {
    const to = path.join(folder, name, at);
    mkdirSync(to, { recursive: true });
    for (const [file, text] of Object.entries({ 'package.json': JSON.stringify({ version: '1.0.0', ...says }), ...files }))
      writeFileSync(path.join(to, file), text);
  }
  return path.join(folder, name);
}

test('every package of the main side that is installed here has its licence', () => {
  const modules = productionModules(root, new Set(['ffmpeg-static', '@ffmpeg-installer/linux-x64']));
  assert.ok(modules.length > 30, `${modules.length} packages`);
  const text = licencesOf(modules, root);
  for (const module of modules) {
    const { name, version } = manifest(module, root);
    assert.ok(text.includes(`\n${name} ${version} (`), name);
  }
  assert.match(text, /Copyright \(c\) Microsoft Corporation/);
  // the Lesser one's own text goes with its parts, and the one that it refers to
  assert.match(text, /GNU LESSER GENERAL PUBLIC LICENSE\s+Version 3/);
  assert.match(text, /GNU GENERAL PUBLIC LICENSE\s+Version 3/);
  assert.ok(!text.includes('ffmpeg-static'));
});

test('packages with the same text stand together over it, with where their source is', () => {
  const at = project('same', {
    '.': [{ name: 'x', dependencies: { a: '1', '@s/b': '1' }, optionalDependencies: { c: '1', gone: '1' } }],
    'node_modules/a': [{ name: 'a', license: 'ISC', repository: 'me/a', dependencies: { d: '1' } }, { LICENSE: 'Same text\r\n' }],
    'node_modules/@s/b': [{ name: '@s/b', license: '(MIT OR ISC)', repository: { url: 'git+https://github.com/s/b.git' } }, { 'license.md': 'Same text' }],
    'node_modules/c': [{ name: 'c', license: 'MIT' }, { 'LICENSE-MIT': 'One', NOTICE: 'Two', 'licenses.js': 'code' }],
    'node_modules/a/node_modules/d': [{ name: 'd', repository: 'git@github.com:me/d.git' }, { COPYING: 'Of d' }],
    'node_modules/d': [{ name: 'd' }],
  }); // prettier-ignore
  const modules = productionModules(at);
  assert.deepEqual(modules, ['node_modules/@s/b', 'node_modules/a', 'node_modules/a/node_modules/d', 'node_modules/c']);
  assert.deepEqual(productionModules(at, new Set(['a'])), ['node_modules/@s/b', 'node_modules/c']);
  const [, ...parts] = licencesOf([...modules, 'node_modules/a'], at).split(/^─+$/m).map(part => part.trim()); // prettier-ignore
  assert.deepEqual(parts, [
    '@s/b 1.0.0 (MIT OR ISC), https://github.com/s/b\na 1.0.0 (ISC), https://github.com/me/a\n\nSame text',
    'd 1.0.0 (as below), https://github.com/me/d\n\nOf d',
    'c 1.0.0 (MIT)\n\nOne\n\nTwo',
  ]);
});

test('a package without a licence text is refused', () => {
  const at = project('none', { 'node_modules/bare': [{ name: 'bare', license: 'MIT' }, { 'index.js': '' }] });
  assert.throws(() => licencesOf(['node_modules/bare'], at), /^Error: bare brings no licence text: add one/);
});

test('the window’s own parts are among them: its modules, and files that are none', () => {
  const at = project('window', {
    '.': [{ name: 'x' }],
    'node_modules/@s/ui': [{ name: '@s/ui' }, { LICENSE: 'Of ui' }],
    'node_modules/@s/ui/node_modules/in': [{ name: 'in' }, { LICENSE: 'Of in' }],
    'node_modules/font': [{ name: 'font' }, { LICENSE: 'Of font' }],
  });
  let written: { fileName: string; source: string } | undefined;
  const made = { getModuleIds: () => [`${at}/App.svelte`, `\0virtual`, `${at}/node_modules/@s/ui/a.js?x`, `${at}/node_modules/@s/ui/node_modules/in/b.js`], emitFile: (file: { fileName: string; source: string }) => (written = file) }; // prettier-ignore
  licences(at).generateBundle.call(made, undefined, { 'f.woff2': { originalFileNames: ['../node_modules/font/f.woff2'] }, 'a.js': {} });
  assert.equal(written?.fileName, 'licences.txt');
  for (const text of ['Of ui', 'Of in', 'Of font']) assert.ok(written.source.includes(text), text);
});

test('the texts that we add are whole', () => {
  const text = (name: string): string => readFileSync(path.join(root, 'build/licences', name), 'utf8');
  assert.match(text('GPL-3.0.txt'), /END OF TERMS AND CONDITIONS[^]*why-not-lgpl/);
  assert.match(text('LGPL-3.0.txt'), /6\. Revised Versions of the GNU Lesser[^]*Library\.\s*$/);
  assert.match(text('MIT.txt'), /^Permission is hereby[^]*DEALINGS IN THE SOFTWARE\.\n$/);
});
