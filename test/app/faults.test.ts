/** @file When the disk refuses and the clock jumps: no crash, no damage, a sentence that names the cause, and work goes on once it is mended. PROTAGONIST_SEED repeats a run; `node test/bench/day.ts --faults 200` is the long one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { canFill, canInject, clockJumps, fakeTime, faults, fullDisk } from '../support/faults.ts';
import { randoms } from '../support/random.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-faults-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const seed = Number(process.env['PROTAGONIST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

test(
  `twelve calls that fail (seed ${seed})`,
  { timeout: 600_000, skip: canInject ? false : 'strace, which makes calls fail, is not there' },
  async t => {
    const { struck, ends, sentences } = await faults({
      folder: join(folder, 'calls'),
      count: 12,
      random: randoms(seed),
      say: line => t.diagnostic(line),
    });
    t.diagnostic(`${struck} calls failed: ${JSON.stringify(ends)}`);
    for (const sentence of sentences) t.diagnostic(sentence);
  },
);

test(
  'a disk that fills up while clips are made, and has room again',
  { timeout: 300_000, skip: canFill ? false : 'only root can make a small disk' },
  async t => {
    for (const line of await fullDisk(join(folder, 'disk'))) t.diagnostic(line);
  },
);

test(
  'a clock that jumps a day ahead and back while clips are made',
  { timeout: 300_000, skip: fakeTime ? false : 'libfaketime, which makes clocks jump, is not there' },
  async t => {
    for (const line of await clockJumps(join(folder, 'clock'))) t.diagnostic(line);
  },
);
