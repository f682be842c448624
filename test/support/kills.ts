/** @file A day during which processes are killed at random moments, and what has to be so afterwards. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { audit, complete, day, edited, isCommand, isEngine, isFfmpeg, Person, table, watchClips, type Day, type Made } from './day.ts';
import { sleep, type Process } from './run.ts';
import { randoms } from './random.ts';

/** The process that has a library open, by what it leaves beside its lock. */
function ownerOf(home: string): number | undefined {
  try {
    return (JSON.parse(readFileSync(join(home, 'owner.json'), 'utf8')) as { pid: number }).pid;
  } catch {
    return undefined;
  }
}
export interface Kill {
  readonly victim: 'owner' | 'engine' | 'ffmpeg';
  readonly at: number;
}
/** Kills processes of a person's day at random moments, until it is stopped or has struck so often. */
export function killer(person: Person, { random: draw, most, every }: { random: () => number; most: number; every: number }): { readonly kills: readonly Kill[]; stop(): Promise<void> } {
  const kills: Kill[] = [],
    began = performance.now();
  let stopped = false;
  const over = () => stopped;
  const victims = {
    owner: (all: readonly Process[]) => all.find(p => isCommand(p) && p.pid === ownerOf(person.home)),
    engine: (all: readonly Process[]) => all.find(isEngine),
    ffmpeg: (all: readonly Process[]) => all.find(isFfmpeg),
  };
  const done = (async () => {
    while (!over() && kills.length < most) {
      await sleep(100 + draw() * 2000 * every);
      const r = draw(),
        victim = r < 0.35 ? 'owner' : r < 0.6 ? 'engine' : 'ffmpeg';
      // which is not always there: wait for one, then strike somewhere in its time
      for (const end = performance.now() + 10_000; !over() && performance.now() < end; await sleep(20)) if (victims[victim](person.processes())) break;
      await sleep(draw() * (victim === 'ffmpeg' ? 200 : 1200));
      const found = victims[victim](person.processes());
      if (!found || over()) continue;
      try {
        process.kill(found.pid, 'SIGKILL');
        kills.push({ victim, at: (performance.now() - began) / 1000 });
      } catch {
        // it has ended by itself
      }
    }
  })();
  return {
    kills,
    stop: () => {
      stopped = true;
      return done;
    },
  };
} // prettier-ignore

/** A day in a fresh library under `folder`, with so many kills at most.
 * @param every seconds between kills, about, beside the wait for a victim
 * @param expected what its clips look like when nothing happens
 * @returns the day; what struck; how many clips were made in more than one attempt
 * @throws AssertionError where anything was lost, half made, different or left behind */
async function killedDay({
  folder,
  expected,
  seed,
  kills: most,
  every = 1,
  owner,
}: {
  folder: string;
  expected: ReadonlyMap<string, Made>;
  seed: number;
  kills: number;
  every?: number;
  owner: boolean;
}): Promise<{ today: Day; kills: readonly Kill[]; resumed: number }> {
  mkdirSync(folder, { recursive: true });
  const person = new Person(join(folder, 'library'), { patient: true }),
    watch = watchClips(person.home),
    strikes = killer(person, { random: randoms(seed), most, every });
  const today = await day({ home: person.home, folder: join(folder, 'files'), owner, person }).finally(async () => {
    await strikes.stop();
    await watch.stop();
  });
  complete(today, true);
  assert.deepEqual(watch.half, [], 'half videos were seen');
  await audit(person);
  let resumed = 0;
  for (const [key, { job, md5 }] of today.made) {
    const undisturbed = expected.get(key);
    assert.ok(undisturbed ?? job.resolved.seed === edited.seed, `nobody has wished for ${job.id} (${key})`);
    if (!undisturbed) continue; // the one that was to be edited, where it was made before
    assert.equal(md5, undisturbed.md5, `${job.id} (${key}), made in ${job.attempt} attempts, is another clip than without kills`);
    if (job.attempt > 1) resumed++;
  }
  return { today, kills: strikes.kills, resumed };
}

/** Days with kills, one after the other, until so many have struck: a fast machine is through with its day before the last of them. One day has `perDay` at most, and every second one an owner beside it.
 * @param seed of the first day; the second one has the next
 * @param say told a line or two about each day
 * @returns what struck, by victim; how many clips were made, how many of them in more than one attempt; how many jobs were given up and tried again
 * @throws AssertionError as a single day does */
export async function killedDays({ folder, expected, seed, kills: all, perDay, every, say }: {
  folder: string; expected: ReadonlyMap<string, Made>; seed: number; kills: number; perDay: number; every?: number; say: (line: string) => void;
}): Promise<{ total: number; struck: Readonly<Record<string, number>>; clips: number; resumed: number; quarantined: number }> {
  const struck: Record<string, number> = {};
  let total = 0, clips = 0, resumed = 0, quarantined = 0;
  for (let n = 0; total < all; n++) {
    const of = await killedDay({
      folder: join(folder, `day-${n}`),
      expected,
      seed: seed + n,
      kills: Math.min(perDay, all - total),
      ...(every !== undefined && { every }),
      owner: (seed + n) % 2 === 0,
    });
    for (const { victim } of of.kills) struck[victim] = (struck[victim] ?? 0) + 1;
    total += of.kills.length;
    clips += of.today.made.size;
    resumed += of.resumed;
    quarantined += of.today.quarantined;
    say(`day ${n} (seed ${seed + n}): ${of.kills.length} kills (${of.kills.map(k => `${k.victim} at ${k.at.toFixed(1)} s`).join(', ')}), ${of.resumed} clips resumed, ${of.today.seconds.toFixed(0)} s`);
    say(table(of.today).at(-1)!);
    assert.ok(of.kills.length > 0, 'nothing was there to be killed');
    rmSync(join(folder, `day-${n}`), { recursive: true });
  }
  assert.ok(resumed > 0, 'no clip was made in more than one attempt');
  return { total, struck, clips, resumed, quarantined };
} // prettier-ignore
