/** @file The scripted day on Toybox, and the long runs: `node test/bench/day.ts [--owner] [--folder DIR]`, `--kills 200`, `--faults 200`. PROTAGONIST_SEED repeats a run. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { audit, complete, day, forecastError, Person, table, undisturbed } from '../support/day.ts';
import { canFill, clockJumps, fakeTime, faults, fullDisk } from '../support/faults.ts';
import { killedDays } from '../support/kills.ts';
import { randoms } from '../support/random.ts';

const { values } = parseArgs({
  options: {
    owner: { type: 'boolean', default: false },
    folder: { type: 'string' },
    kills: { type: 'string' },
    faults: { type: 'string' },
  },
});
const folder = values.folder ?? mkdtempSync(join(tmpdir(), 'protagonist-day-'));
mkdirSync(folder, { recursive: true });
const seed = Number(process.env['PROTAGONIST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const print = (lines: readonly string[]) => lines.forEach(line => console.log(line));

async function once(): Promise<void> {
  const person = new Person(join(folder, 'library'));
  const today = await day({ home: person.home, folder, owner: values.owner, person });
  print(table(today));
  complete(today, false);
  await audit(person);
  console.log(`forecasts of jobs 4 to 20: off by ${(100 * forecastError(today)).toFixed(0)} % in the median`);
}

async function kills(all: number): Promise<void> {
  console.log(`seed ${seed}`);
  const expected = await undisturbed(join(folder, 'undisturbed'), join(folder, 'files'));
  const { total, struck, clips, resumed, quarantined } = await killedDays({
    folder,
    expected,
    seed,
    kills: all,
    perDay: 50,
    say: line => console.log(line),
  });
  console.log(
    `${total} kills (${JSON.stringify(struck)}), ${clips} clips as if nothing had happened, ${resumed} of them made in more than one attempt, ${quarantined} jobs given up and tried again`,
  );
}

async function fail(count: number): Promise<void> {
  console.log(`seed ${seed}`);
  const { struck, ends, sentences } = await faults({
    folder: join(folder, 'calls'),
    count,
    random: randoms(seed),
    say: line => console.log(line),
  });
  print([...sentences].toSorted());
  console.log(`${struck} calls failed: ${JSON.stringify(ends)}`);
  if (canFill) print(await fullDisk(join(folder, 'disk')));
  if (fakeTime) print(await clockJumps(join(folder, 'clock')));
}

if (values.faults !== undefined) await fail(Number(values.faults));
else if (values.kills !== undefined) await kills(Number(values.kills));
else await once();
if (values.folder === undefined) rmSync(folder, { recursive: true, force: true });
