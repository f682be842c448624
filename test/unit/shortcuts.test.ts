/** @file The table of shortcuts and what views register are the same: settings would else show keys that do something else, or nothing. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../support/run.ts';

const renderer = join(root, 'renderer');
const table = 'state/shortcuts.svelte.ts';
const rows = (source: string) =>
  [...source.matchAll(/\{ id: '([\w.]+)', label: '([\w.]+)', keys: (?:'([^']+)'|null) \}/g)].map(
    m => `${m[1]!} ${m[2]!} ${m[3] ?? 'none'}`,
  );

test('every shortcut is in the table, with the same words and keys, and nothing else is', () => {
  const registered = new Set<string>(),
    odd: string[] = [];
  for (const file of readdirSync(renderer, { recursive: true, encoding: 'utf8' })) {
    if (!/\.(svelte|ts)$/.test(file) || file.replaceAll('\\', '/') === table || file.startsWith('words')) continue;
    const source = readFileSync(join(renderer, file), 'utf8');
    for (const { 1: id, index } of source.matchAll(/\bid: '([\w.]+)',\s*label: \(\) =>/g)) {
      const [, label, keys] =
        /^[^,]*,\s*label: \(\) => t\('([\w.]+)'\),\s*keys: (?:'([^']+)'|null)/.exec(source.slice(index, index + 300)) ?? [];
      if (label === undefined) odd.push(`${file}: ${id!} is not written as { id, label: () => t('…'), keys: '…' }`);
      else registered.add(`${id!} ${label} ${keys ?? 'none'}`);
    }
  }
  const known = rows(readFileSync(join(renderer, table), 'utf8'));
  assert.ok(known.length > 40 && odd.length === 0, odd.join('\n'));
  assert.deepEqual([...registered].sort(), known.toSorted());
  assert.equal(new Set(known.map(row => row.split(' ')[0])).size, known.length, 'each id once');
});

test('no two shortcuts of one place have the same keys', () => {
  const taken = new Map<string, string>(),
    twice: string[] = [];
  for (const row of rows(readFileSync(join(renderer, table), 'utf8'))) {
    const [id = '', , keys = ''] = row.split(' ');
    const place = `${id.split('.')[0]!} ${keys}`;
    if (keys !== 'none' && taken.has(place)) twice.push(`${taken.get(place)!} and ${id}: ${keys}`);
    taken.set(place, id);
  }
  assert.deepEqual(twice, []);
});
