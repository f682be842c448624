/** @file Holds the code to the import table of ARCHITECTURE.md. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';

const root = resolve(import.meta.dirname, '../..');
const rows = new Map(
  [...readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8').matchAll(/^\| ((?:native-models|electron)\/\S+|renderer) \| (.*?) ?\|$/gm)].map(
    m => [
      m[1]!,
      m[2]!
        .split(',')
        .map(s => s.trim())
        .filter(Boolean),
    ],
  ),
);
const inside = (path: string, place: string) => path === place || path.startsWith(`${place}/`) || path === `${place}.ts`;
const importsOf = (file: string) =>
  [...readFileSync(join(root, file), 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)].map(m =>
    relative(root, resolve(root, dirname(file), m[1]!)),
  );

test('imports point the way that ARCHITECTURE.md says', () => {
  assert.ok(rows.size > 8, 'the table was not found');
  const wrong: string[] = [];
  for (const file of globSync(['native-models/**/*.ts', 'electron/**/*.ts', 'renderer/**/*.{ts,svelte}'], { cwd: root })) {
    const from = [...rows.keys()].find(place => inside(file, place)) ?? (file.startsWith('electron/') ? 'electron/cli' : undefined);
    if (!from) {
      wrong.push(`${file} is in no row of the table`);
      continue;
    }
    for (const to of importsOf(file)) {
      const allowed = [from, dirname(file), 'native-models/tasks', ...rows.get(from)!];
      if (file === 'renderer/vite.config.ts') allowed.push('package.json', 'build/modules');
      if (from.startsWith('native-models') && !from.endsWith('pipelines')) allowed.splice(allowed.indexOf('native-models/tasks'), 1);
      if (!allowed.some(place => inside(to, place))) wrong.push(`${file} imports ${to}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('each outside power has one door', () => {
  const doors: Readonly<Record<string, string>> = {
    'onnxruntime-node': 'native-models/runtime/binding.ts',
    koffi: 'native-models/runtime/c-api.ts',
    sharp: 'electron/media/photo.ts',
    'node:sqlite': 'electron/studio/database.ts',
    'electron-updater': 'electron/shell/updater.ts',
  };
  for (const file of globSync(['native-models/**/*.ts', 'electron/**/*.ts'], { cwd: root }))
    for (const m of readFileSync(join(root, file), 'utf8').matchAll(/(?:from|import\()\s*'([^.'][^']*)'/g)) {
      const door = doors[m[1]!];
      if (door) assert.equal(file, door, `${file} imports ${m[1]!}; only ${door} may`);
    }
});
