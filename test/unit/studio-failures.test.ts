/** @file Any error as a failure for people: no SQL, no stack, no path of the library, always a sentence. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { StudioError } from '../../electron/contract/errors.ts';
import { openDatabase } from '../../electron/studio/database.ts';
import { describeFailure } from '../../electron/studio/failures.ts';
import { MediaError } from '../../electron/media/error.ts';
import { TaskError } from '../../native-models/tasks.ts';

const thrown = (work: () => unknown): unknown => {
  try {
    work();
  } catch (e) {
    return e;
  }
  return assert.fail('it did not throw');
};

test('a mistake of ours is a bug to report, in one line', t => {
  const folder = mkdtempSync(join(tmpdir(), 'protagonist-failures-'));
  const db = openDatabase(join(folder, 'library.db'));
  t.after(() => {
    db.close();
    rmSync(folder, { recursive: true });
  });
  db.exec('CREATE TABLE clips (file TEXT UNIQUE) STRICT');
  db.run('INSERT INTO clips VALUES (?)', 'a');
  for (const [error, words] of [
    [thrown(() => db.run('INSERT INTO clips VALUES (?)', 'a')), /UNIQUE constraint failed: clips\.file/],
    [thrown(() => db.get('SELECT nowhere FROM clips')), /no such column: nowhere/],
    [thrown(() => z.object({ a: z.array(z.number()) }).parse({ a: ['x'] })), /\(a\.0: Invalid input: expected number/],
    [thrown(() => (undefined as unknown as { a: string }).a), /Cannot read properties of undefined/],
  ] as const) {
    const { code, text, action } = describeFailure(error, '/home/ada/library');
    assert.deepEqual([code, action], ['bug', 'report'], text);
    assert.match(text, /^something went wrong inside Protagonist \(.*\): please report it$/);
    assert.match(text, words);
  }
});

test('codes are kept, the place of the library is cut out, a count is handed on', () => {
  const home = '/home/ada/library';
  for (const [error, failure] of [
    [new StudioError('needsConfirmation', 'many', { count: 30 }), { code: 'needsConfirmation', text: 'many', action: 'edit', count: 30 }],
    [new TaskError('outOfMemory', `${home}/work/j1 is large`), { code: 'outOfMemory', text: 'work/j1 is large', action: 'chooseSmaller' }],
    [new MediaError(`cannot write ${home}: no.`), { code: 'failed', text: 'cannot write the library: no.', action: 'report' }],
  ] as const)
    assert.deepEqual(describeFailure(error, home), failure);
});
