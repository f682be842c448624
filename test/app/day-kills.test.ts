/** @file Six kills -9 at random moments of a day: all is made in the end, the same to the bit, and nothing is left behind. PROTAGONIST_SEED repeats a run; `node test/bench/day.ts --kills 200` is the long one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { undisturbed } from '../support/day.ts';
import { killedDays } from '../support/kills.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-day-kills-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const seed = Number(process.env['PROTAGONIST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

test(`six kills in a day, or in two where one is over too soon (seed ${seed})`, { timeout: 900_000 }, async t => {
  const expected = await undisturbed(join(folder, 'undisturbed'), join(folder, 'files'));
  const { struck, clips, resumed } = await killedDays({
    folder,
    expected,
    seed,
    kills: 6,
    perDay: 6,
    every: 2,
    say: line => t.diagnostic(line),
  });
  t.diagnostic(`${JSON.stringify(struck)}; ${resumed} of ${clips} clips were made in more than one attempt`);
});
