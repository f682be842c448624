/** @file A day during which processes are killed at random moments, and what has to be so afterwards. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { audit, complete, day, isCommand, isEngine, isFfmpeg, Person, random, watchClips, type Day, type Made } from './day.ts';
import { sleep, type Process } from './run.ts';

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
export async function killedDay({
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
    strikes = killer(person, { random: random(seed), most, every });
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
    if (!undisturbed) continue; // the one that nobody wants, where it was made before it could be canceled
    assert.equal(md5, undisturbed.md5, `${job.id} (${key}), made in ${job.attempt} attempts, is another clip than without kills`);
    if (job.attempt > 1) resumed++;
  }
  return { today, kills: strikes.kills, resumed };
}
