/** @file Twenty kills -9 at random moments of a day: all is made in the end, the same to the bit, and nothing is left behind. PROTAGONIST_SEED repeats a run; `node test/bench/day.ts --kills 200` is the long one. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { table, undisturbed } from '../support/day.ts';
import { killedDay } from '../support/kills.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-day-kills-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const seed = Number(process.env['PROTAGONIST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

test(`twenty kills in a day (seed ${seed})`, { timeout: 900_000 }, async t => {
  const expected = await undisturbed(join(folder, 'undisturbed'), join(folder, 'files'));
  const { today, kills, resumed } = await killedDay({
    folder: join(folder, 'killed'),
    expected,
    seed,
    kills: 20,
    every: 3,
    owner: seed % 2 === 0,
  });
  for (const line of table(today)) t.diagnostic(line);
  t.diagnostic(`${kills.map(k => `${k.victim} at ${k.at.toFixed(1)} s`).join(', ')}; ${resumed} clips were made in more than one attempt`);
  assert.ok(kills.length >= 15, `only ${kills.length} kills struck`);
});
