/** @file A day at the command line beside a process that runs the queue. offline.test.ts has the same day without one. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { audit, complete, day, forecastError, Person, table, watchClips } from '../support/day.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-day-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('a day beside a running queue', { timeout: 600_000 }, async t => {
  const person = new Person(join(folder, 'library')),
    watch = watchClips(person.home);
  const today = await day({ home: person.home, folder, owner: true, person }).finally(() => watch.stop());
  for (const line of table(today)) t.diagnostic(line);
  complete(today, false);
  assert.deepEqual(watch.half, []);
  await audit(person);
  const error = forecastError(today);
  t.diagnostic(`forecasts of jobs 4 to 20: off by ${(100 * error).toFixed(0)} % in the median`);
  assert.ok(error < 0.6, `forecasts are off by ${(100 * error).toFixed(0)} % in the median`); // a quarter on a machine that does nothing else: bench:day measures it
});
