/** @file Any error as a failure for people: no SQL, no stack, no path of the library, always a sentence. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { StudioError } from '../../electron/contract/errors.ts';
import { openDatabase } from '../../electron/studio/database.ts';
import { describeFailure } from '../../electron/studio/failures.ts';
import { MediaError } from '../../electron/media/error.ts';
import { ffmpegFailure } from '../../electron/media/ffmpeg.ts';
import { TaskError } from '../../native-models/tasks.ts';
import { root } from '../support/run.ts';

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
    [
      new MediaError(`cannot read ${home}-2/a.jpg or ${home}.`),
      { code: 'failed', text: `cannot read ${home}-2/a.jpg or the library.`, action: 'report' },
    ],
  ] as const)
    assert.deepEqual(describeFailure(error, home), failure);
});

/** What tells someone who has typed a command to type it again, or otherwise. */
const ofACommand = /run [a-z ]*again|--out/;
const errno = (code: string) => Object.assign(new Error(`${code}: so the system says`), { code });

test('advice to type a command again is for where there is no library', () => {
  for (const [error, text] of [
    [new TaskError('engineDied', 'the engine was killed, perhaps because memory ran short: run the same command again to go on where it was, or make the clip smaller or shorter (Killed)'), 'the engine was killed, perhaps because memory ran short: make the clip smaller or shorter (Killed)'],
    [new TaskError('engineDied', 'the engine stopped unexpectedly (exit 3): run the same command again to go on where it was'), 'the engine stopped unexpectedly (exit 3)'],
    [new TaskError('engineDied', 'the engine stopped unexpectedly (exit 3): run the same command again to go on where it was (Error: no)'), 'the engine stopped unexpectedly (exit 3) (Error: no)'],
    [errno('ENOSPC'), 'the disk is full: free some space (ENOSPC: so the system says)'],
    [errno('EDQUOT'), 'your share of this disk is used up: free some space (EDQUOT: so the system says)'],
    [errno('EROFS'), 'that disk can only be read (EROFS: so the system says)'],
    [errno('ENOENT'), 'a file or folder is not there, or no longer: check the path (ENOENT: so the system says)'],
    [errno('EMFILE'), 'too many files are open: close some programs (EMFILE: so the system says)'],
    [errno('ENFILE'), 'too many files are open on this machine: close some programs (ENFILE: so the system says)'],
    [errno('EACCES'), 'there is no permission for that file or folder: change its permissions, or choose another (EACCES: so the system says)'],
    [new Error('libvips: No space left on device'), 'the disk is full: free some space (libvips: No space left on device)'],
    [new TaskError('busy', 'another run (process 7) is already making clip.mp4: wait for it, or choose another --out'), 'another run (process 7) is already making clip.mp4: wait for it'],
    [ffmpegFailure('cannot write clip.mp4', { code: null, signal: 'SIGKILL', stderr: '' }), 'cannot write clip.mp4: ffmpeg was stopped by SIGKILL (was memory short?).'],
    [new MediaError('cannot write clip.mp4: ffmpeg has stood still for 60 s: run it again.', { reason: 'encoderDied' }), 'cannot write clip.mp4: ffmpeg has stood still for 60 s.'],
    [new MediaError('cannot start ffmpeg: it was stopped by SIGKILL: run it again.', { reason: 'encoderDied' }), 'cannot start ffmpeg: it was stopped by SIGKILL.'],
    [new TaskError('badFile', 'config.json is not valid JSON; download it again.'), 'config.json is not valid JSON; download it again.'],
    [new StudioError('conflict', 'run it as you like: run it again'), 'run it as you like: run it again'],
  ] as const) {
    assert.equal(describeFailure(error, '/home/ada/library').text, text);
    if (!(error instanceof StudioError) && !/EACCES|download/.test(error.message)) assert.match(describeFailure(error).text, ofACommand);
  }
}); // prettier-ignore

test('no sentence of the engine or its media tells of a command in a library', () => {
  let found = 0;
  for (const folder of ['native-models', 'electron/engine', 'electron/media'])
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }))
      if (name.endsWith('.ts'))
        for (const line of readFileSync(join(root, folder, name), 'utf8').split('\n')) {
          const sentence = /^\s*(?:\/\*|\*|\/\/)/.test(line) ? undefined : /(['`])(?:(?!\1).)*(?:run [a-z ]*again|--out)(?:(?!\1).)*\1/.exec(line)?.[0];
          if (sentence === undefined) continue;
          found++;
          assert.doesNotMatch(describeFailure(new TaskError('failed', sentence), '/home/ada/library').text, ofACommand, `${name}: ${sentence}`);
        }
  assert.ok(found >= 9, `${found} of them found`);
}); // prettier-ignore
