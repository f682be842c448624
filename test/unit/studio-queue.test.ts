/** @file What every queue has to keep to: `contract` is written against the port and run on each implementation of it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { StudioError, type Failure } from '../../electron/contract/errors.ts';
import type { StudioEvent } from '../../electron/contract/events.ts';
import { rowOf, type JobId } from '../../electron/contract/ids.ts';
import { job as jobSchema, type Job } from '../../electron/contract/records.ts';
import { request, type ResolvedRequest } from '../../electron/contract/requests.ts';
import { openLibraryDatabase } from '../../electron/studio/backups.ts';
import { DatabaseError } from '../../electron/studio/database.ts';
import type { Library } from '../../electron/studio/library.ts';
import { lease, sqliteQueue, type Claim, type NewJob, type Queue } from '../../electron/studio/queue.ts';
import { within } from '../support/time.ts';

const hash = (x: string) => x.repeat(64);
const resolved = (more: Partial<ResolvedRequest> = {}): ResolvedRequest => ({
  version: 1, prompt: 'a toy hops', negativePrompt: '', subjects: [], references: [], startImage: null, checkpoint: { id: 'k1', name: 'Toybox', sha256: hash('a') }, adapters: [], seed: 1, numInferenceSteps: 8, guidanceScale: 3,
  useDynamicCfg: false, scheduler: 'ddim', numFrames: 9, width: 32, height: 32, fps: 8, fit: 'contain', precision: 'auto', noiseDtype: 'float32', vaeTiling: false, device: 'auto', ...more,
}); // prettier-ignore
const fresh = (more: Partial<ResolvedRequest> = {}): NewJob => ({ request: request.parse({ prompt: 'a toy hops', seed: more.seed ?? 1 }), resolved: resolved(more) }); // prettier-ignore
const conflict = (sentence: RegExp) => (e: unknown) => e instanceof StudioError && e.code === 'conflict' && sentence.test(e.message);
const died: Failure = { code: 'engineDied', text: 'the engine was killed', action: 'retry' };
const encoderDied: Failure = { code: 'encoderDied', text: 'ffmpeg was killed', action: 'retry' };
const bad: Failure = { code: 'badFile', text: 'the checkpoint is damaged', action: 'edit' };

/** A store that several sessions can open, and a clock that only we move. */
interface Rig {
  /** A queue as another start of an owner sees it. */
  session(name: string): Queue;
  clock: { now: number };
  readonly told: StudioEvent[];
  /** Makes a job unreadable. */
  damage(id: JobId): void;
  close(): void;
}

const ids = (jobs: readonly Job[]) => jobs.map(j => j.id);
const all = (queue: Queue, more: Partial<Parameters<Queue['list']>[0]> = {}) =>
  queue.list({ status: [], batch: null, after: null, limit: 100, ...more }).jobs;
const waiting = (queue: Queue) => ids(all(queue, { status: ['pending', 'paused'] }));
const take = (queue: Queue): Claim => {
  const claim = queue.claim('auto');
  assert.ok(claim, 'nothing to take');
  return claim;
};

function contract(name: string, open: () => Promise<Rig>) {
  const on = (title: string, body: (queue: Queue, rig: Rig) => void | Promise<void>) =>
    test(title, async () => {
      const rig = await open();
      try {
        await body(rig.session('one'), rig);
      } finally {
        rig.close();
      }
    });
  const three = (queue: Queue) => queue.enqueue([fresh(), fresh({ seed: 2 }), fresh({ seed: 3 })]).map(j => j.id) as [JobId, JobId, JobId];

  describe(name, () => {
    on('what is queued waits in its order, as one batch; ids grow', (queue, { told }) => {
      const [a, b, c] = queue.enqueue([fresh(), fresh({ seed: 2 }), fresh({ seed: 3 })]);
      const d = queue.enqueue([fresh()])[0]!;
      assert.deepEqual(ids(all(queue)), ids([a!, b!, c!, d]));
      assert.deepEqual(
        [a, b, c, d].map(j => j!.position),
        [1, 2, 3, 4],
      );
      assert.deepEqual(
        [a, b, c].map(j => j!.batchId),
        [a!.id, a!.id, a!.id],
      );
      assert.equal(d.batchId, d.id);
      assert.ok(rowOf(a!.id) < rowOf(b!.id) && rowOf(c!.id) < rowOf(d.id));
      assert.deepEqual(jobSchema.parse(a), { ...a });
      assert.equal(told.filter(e => e.type === 'job').length, 4);
      assert.deepEqual(queue.enqueue([]), []);
    });
    on('run next goes before all others, in its own order', queue => {
      const [a] = queue.enqueue([fresh()]);
      const [b, c] = queue.enqueue([fresh(), fresh()], true);
      assert.deepEqual(waiting(queue), [b!.id, c!.id, a!.id]);
      assert.deepEqual([b!.position, c!.position], [1, 2]);
    });

    on('a claim takes the first that waits and passes over what is paused', queue => {
      const [a, b, c] = three(queue);
      queue.pause(a);
      const claim = take(queue);
      assert.equal(claim.id, b);
      assert.equal(claim.job.status, 'inProgress');
      assert.equal(claim.job.position, 0);
      assert.equal(claim.job.attempt, 1);
      assert.ok(claim.job.startedAt);
      assert.equal(take(queue).id, c);
      assert.equal(queue.claim('auto'), undefined);
      assert.deepEqual(ids(all(queue)), [b, c, a]);
    });
    on('a device takes its own; auto takes any', queue => {
      const [a, b] = queue.enqueue([fresh({ device: 'cuda' }), fresh({ device: 'cpu' })]);
      assert.equal(queue.claim('cpu')!.id, b!.id);
      assert.equal(queue.claim('cpu'), undefined);
      assert.equal(take(queue).id, a!.id);
    });
    on('completion is one transaction with what it writes, and only once', queue => {
      const [a] = three(queue);
      const claim = take(queue);
      assert.throws(() => queue.complete(claim, () => assert.fail('the disk is full')), /the disk is full/);
      assert.equal(queue.get(a).status, 'inProgress');
      assert.deepEqual(
        queue.complete(claim, () => ({ id: 'c7' as const, more: 1 })),
        { id: 'c7', more: 1 },
      );
      const job = queue.get(a);
      assert.deepEqual([job.status, job.clipId, job.position, job.snapshotStep], ['completed', 'c7', null, 8]);
      assert.ok(job.endedAt);
      assert.equal(
        queue.complete(claim, () => assert.fail('called again')),
        undefined,
      );
    });

    on('whoever lost the claim changes nothing and is told so', (queue, rig) => {
      for (const lose of [
        (c: Claim) => queue.release(c),
        (c: Claim) => queue.pause(c.id),
        (c: Claim) => queue.cancel(c.id),
        (c: Claim) => queue.fail(c, bad),
        (c: Claim) => queue.complete(c, () => ({ id: 'c1' as const })),
        () => rig.session('two').claim('auto'),
        () => ((rig.clock.now += lease + 1), queue.claim('auto')),
        () => queue.recover(true),
      ]) {
        queue.enqueue([fresh()], true);
        const claim = take(queue);
        lose(claim);
        const before = JSON.stringify(all(queue));
        assert.equal(queue.heartbeat(claim), false);
        assert.equal(queue.heartbeat(claim, 5), false);
        assert.equal(queue.release(claim), false);
        assert.equal(queue.fail(claim, bad), undefined);
        assert.equal(queue.fail(claim, died, { phase: 'denoise', step: 1 }), undefined);
        assert.equal(
          queue.complete(claim, () => assert.fail('must not be called')),
          undefined,
        );
        assert.equal(JSON.stringify(all(queue)), before);
        for (const { id, status } of all(queue))
          if (status === 'pending' || status === 'inProgress' || status === 'paused') queue.cancel(id);
      }
    });
    on('what another session left goes back to the front with what it had gained', (queue, rig) => {
      const [a, b, c] = three(queue);
      const claim = take(queue);
      assert.ok(queue.heartbeat(claim, 5));
      queue.move(c, 'top');
      const two = rig.session('two');
      two.recover();
      assert.deepEqual(waiting(two), [a, c, b]);
      assert.equal(two.get(a).snapshotStep, 5);
      const again = take(two);
      assert.deepEqual([again.id, again.attempt, again.job.snapshotStep], [a, 2, 5]);
      assert.equal(queue.heartbeat(claim), false);
    });
    on('a claim finds what another session left by itself', (queue, rig) => {
      const [a] = three(queue);
      take(queue);
      assert.equal(take(rig.session('two')).id, a);
    });
    on('a lease lasts as long as it is kept, by a clock that only we move', (queue, rig) => {
      const [a, b] = three(queue);
      const claim = take(queue);
      for (let i = 0; i < 5; i++) {
        rig.clock.now += lease - 1;
        assert.ok(queue.heartbeat(claim));
      }
      assert.equal(take(queue).id, b);
      rig.clock.now += lease + 1;
      assert.equal(take(queue).id, a, 'the first that ran out is the first again');
      assert.equal(queue.heartbeat(claim), false);
    });
    on('released, it waits at the front', queue => {
      const [a, b, c] = three(queue);
      const claim = take(queue);
      queue.move(c, 'top');
      assert.ok(queue.release(claim));
      assert.deepEqual(waiting(queue), [a, c, b]);
    });

    on('a failure ends a job with its sentence', queue => {
      const [a] = three(queue);
      assert.equal(queue.fail(take(queue), bad), 'failed');
      const job = queue.get(a);
      assert.deepEqual([job.status, job.failure, job.position], ['failed', bad, null]);
      assert.ok(job.endedAt);
    });
    on('an engine that dies twice at the same step with nothing gained between is quarantined', queue => {
      const [a] = three(queue);
      assert.equal(queue.fail(take(queue), died, { phase: 'denoise', step: 3 }), 'again');
      const second = take(queue);
      assert.equal(second.id, a, 'it waits at the front');
      queue.release(second); // the owner ended: no death
      assert.equal(queue.fail(takeAgain(queue, a), died, { phase: 'denoise', step: 3 }), 'failed');
      const { failure, status } = queue.get(a);
      assert.equal(status, 'failed');
      assert.equal(failure!.code, 'quarantined');
      assert.match(failure!.text, /^the engine died twice in step 4 of 8, .*make it smaller or shorter.*\(the engine was killed\)$/);
    });
    on('a new snapshot, or another step, is progress', queue => {
      three(queue);
      for (const step of [3, 3, 5, 6]) {
        const claim = take(queue);
        if (step === 3) assert.ok(queue.heartbeat(claim, queue.get(claim.id).snapshotStep + 1));
        assert.equal(queue.fail(claim, died, { phase: 'denoise', step }), 'again');
      }
      assert.equal(queue.fail(take(queue), died, { phase: 'denoise', step: 5 }), 'failed', 'the same step again');
    });
    on('a snapshot of fewer steps than there were is progress, too: what the row says had been lost', queue => {
      const [a] = three(queue);
      for (const step of [5, 2]) {
        const claim = take(queue);
        assert.ok(queue.heartbeat(claim, step));
        assert.equal(queue.get(a).snapshotStep, step);
        assert.equal(queue.fail(claim, died, { phase: 'denoise', step: 6 }), 'again');
      }
      assert.equal(queue.fail(take(queue), died, { phase: 'denoise', step: 6 }), 'failed');
    });
    on('five deaths without anything gained are enough, wherever', queue => {
      const [a] = three(queue);
      for (let step = 5; step > 1; step--) assert.equal(queue.fail(take(queue), died, { phase: 'denoise', step }), 'again');
      assert.equal(queue.fail(take(queue), died, { phase: 'load', step: 0 }), 'failed');
      assert.match(queue.get(a).failure!.text, /died 5 times without getting on, the last time while it loaded/);
    });
    on('an encoder may die five times in a row, and getting further begins anew', queue => {
      const [a] = three(queue);
      for (const step of [1, 1, 1, 1, 2, 2, 2, 2]) assert.equal(queue.fail(take(queue), encoderDied, { phase: 'decode', step }), 'again');
      assert.equal(queue.fail(take(queue), encoderDied, { phase: 'decode', step: 1 }), 'failed');
      assert.equal(queue.get(a).failure!.code, 'encoderDied');
    });
    on('deaths of the owner and of the encoder do not count as the engine’s', (queue, rig) => {
      const [a] = three(queue);
      let session = queue;
      assert.equal(session.fail(take(session), died, { phase: 'denoise', step: 3 }), 'again');
      for (let i = 0; i < 10; i++) {
        session = rig.session(`start ${i}`);
        const claim = take(session);
        assert.equal(claim.id, a);
        if (i === 5) session.fail(claim, encoderDied, { phase: 'denoise', step: 3 });
      }
      assert.equal(session.get(a).status, 'inProgress');
    });

    on('pause, resume', queue => {
      const [a, b] = three(queue);
      const claim = take(queue);
      queue.heartbeat(claim, 2);
      assert.deepEqual([queue.pause(a).status, queue.get(a).snapshotStep, queue.get(a).position], ['paused', 2, 1]);
      assert.equal(queue.pause(a).status, 'paused');
      assert.equal(take(queue).id, b);
      assert.equal(queue.resume(a).status, 'pending');
      assert.equal(queue.resume(a).status, 'pending');
      assert.equal(take(queue).id, a);
      queue.complete(takeAgain(queue, a), () => ({ id: 'c1' }));
      assert.throws(() => queue.pause(a), conflict(/^j\d+ is completed: only what waits or runs can be paused$/));
      assert.throws(() => queue.resume(a), conflict(/duplicate it/));
    });
    on('cancel, and retry puts it back where it was', queue => {
      const [a, b, c] = three(queue);
      assert.deepEqual([queue.cancel(b).status, queue.get(b).position], ['canceled', null]);
      assert.equal(queue.cancel(b).status, 'canceled');
      assert.deepEqual(waiting(queue), [a, c]);
      assert.equal(queue.retry(b).status, 'pending');
      assert.equal(queue.retry(b).status, 'pending');
      assert.deepEqual(waiting(queue), [a, b, c]);
      const claim = take(queue);
      queue.heartbeat(claim, 4);
      queue.cancel(a);
      assert.equal(queue.get(a).snapshotStep, 0, 'what it had gained goes with its folder');
      queue.retry(a);
      assert.deepEqual(waiting(queue), [a, b, c]);
    });
    on('a failed job that is tried again waits at the end, keeps what it gained and has a clean sheet', queue => {
      const [a, b, c] = three(queue);
      const claim = take(queue);
      queue.heartbeat(claim, 4);
      queue.fail(claim, died, { phase: 'denoise', step: 5 });
      queue.fail(take(queue), died, { phase: 'denoise', step: 5 });
      const job = queue.retry(a);
      assert.deepEqual([job.status, job.failure, job.snapshotStep, job.endedAt], ['pending', null, 4, null]);
      assert.deepEqual(waiting(queue), [b, c, a]);
      queue.move(a, 'top');
      assert.equal(queue.fail(take(queue), died, { phase: 'denoise', step: 5 }), 'again');
      queue.fail(takeAgain(queue, a), bad);
      assert.deepEqual([queue.cancel(a).status, queue.get(a).snapshotStep], ['canceled', 0]); // given up, with what was kept of it
      assert.deepEqual([queue.retry(a).status, waiting(queue).at(-1)], ['pending', a]);
    });
    on('move', queue => {
      const [a, b, c] = three(queue);
      assert.equal(queue.move(c, 'top').position, 1);
      assert.deepEqual(waiting(queue), [c, a, b]);
      queue.move(c, 'bottom');
      assert.deepEqual(waiting(queue), [a, b, c]);
      queue.move(c, { before: b });
      assert.deepEqual(waiting(queue), [a, c, b]);
      queue.move(a, { after: b });
      assert.deepEqual(waiting(queue), [c, b, a]);
      queue.move(a, { after: a });
      assert.deepEqual(waiting(queue), [c, b, a]);
      take(queue);
      assert.throws(() => queue.move(c, 'top'), conflict(/is running: only what waits/));
      assert.throws(() => queue.move(a, { before: c }), conflict(/name a job that waits/));
      assert.throws(
        () => queue.move('j999', 'top'),
        (e: unknown) => e instanceof StudioError && e.code === 'notFound',
      );
    });
    on('duplicate keeps the seed, takes one, or draws one', queue => {
      const [a] = three(queue);
      const same = queue.duplicate(a),
        given = queue.duplicate(a, 77),
        drawn = queue.duplicate(a, null);
      assert.deepEqual([same.resolved.seed, same.request.seed, given.resolved.seed, given.request.seed], [1, 1, 77, 77]);
      assert.notEqual(drawn.resolved.seed, 1);
      assert.deepEqual([same.batchId, same.status, same.position, same.attempt], [same.id, 'pending', 4, 0]);
      assert.deepEqual({ ...given.resolved, seed: 1 }, queue.get(a).resolved);
    });
    on('edit while it waits or is paused', queue => {
      const [a, b] = three(queue);
      const claim = take(queue);
      queue.heartbeat(claim, 3);
      const to = fresh({ prompt: 'another', seed: 9 });
      assert.throws(() => queue.edit(a, to), conflict(/pause it to edit it/));
      queue.pause(a);
      const job = queue.edit(a, to);
      assert.deepEqual([job.status, job.resolved.prompt, job.snapshotStep, job.position], ['paused', 'another', 0, 1]);
      assert.deepEqual(queue.edit(b, to).resolved, to.resolved);
      queue.cancel(b);
      assert.throws(() => queue.edit(b, to), conflict(/only what waits can be edited/));
    });

    on('pages: running, waiting, ended; nothing twice, nothing left out', queue => {
      const jobs = ids(queue.enqueue(Array.from({ length: 23 }, (_, i) => fresh({ seed: i }))));
      for (let i = 0; i < 4; i++) queue.complete(take(queue), () => ({ id: `c${i + 1}` as const }));
      const running = [take(queue).id, take(queue).id];
      assert.deepEqual(queue.running(), running);
      queue.cancel(jobs[10]!);
      const seen: JobId[] = [];
      let after: JobId | null = null,
        pages = 0;
      do {
        const page = queue.list({ status: [], batch: null, after, limit: 5 });
        seen.push(...ids(page.jobs));
        after = page.next;
        pages++;
      } while (after);
      const expected = [...running, ...jobs.slice(6).filter(j => j !== jobs[10]), jobs[10]!, jobs[3]!, jobs[2]!, jobs[1]!, jobs[0]!];
      assert.deepEqual(seen, expected);
      assert.equal(pages, 5);
      assert.deepEqual(ids(all(queue, { status: ['completed'] })), jobs.slice(0, 4).reverse());
      assert.equal(all(queue, { batch: jobs[0]! }).length, 23);
      assert.equal(all(queue, { batch: jobs[1]! }).length, 0);
      assert.deepEqual(all(queue, { status: ['pending'] }).map(j => j.position), Array.from({ length: 16 }, (_, i) => i + 1)); // prettier-ignore
    });
    on('how much waits', queue => {
      queue.enqueue([fresh(), fresh({ seed: 2 }), fresh({ numInferenceSteps: 3 })]);
      const paused = queue.enqueue([fresh()])[0]!.id;
      queue.pause(paused);
      const { count, work } = queue.waiting();
      assert.equal(count, 3);
      assert.deepEqual(work.map(w => [w.work.steps, w.count]).toSorted(), [[3, 1], [8, 2]]); // prettier-ignore
    });
    on('a record that cannot be read is a failed job, and the queue goes on', (queue, rig) => {
      const [a, b, c] = three(queue);
      rig.damage(a);
      const [seen] = all(queue);
      assert.deepEqual([seen!.id, seen!.status, seen!.failure!.code], [a, 'failed', 'corrupt']);
      jobSchema.parse(seen);
      assert.match(seen!.failure!.text, /job j\d+ is damaged: restore a backup, or make the clip anew/);
      assert.equal(take(queue).id, b);
      assert.equal(queue.get(a).status, 'failed');
      assert.throws(() => queue.retry(a), (e: unknown) => e instanceof StudioError && e.code === 'corrupt'); // prettier-ignore
      rig.damage(b);
      const two = rig.session('two');
      two.recover();
      assert.equal(two.get(b).status, 'failed');
      assert.equal(take(two).id, c);
    });

    // Any order of anything: the order is one list, what has ended stays so, no job is with two workers.
    test('any sequence of verbs keeps the queue whole', async () => {
      const step = fc.record({ verb: fc.nat(12), which: fc.nat(20), other: fc.nat(20) });
      const rig = await open();
      try {
        fc.assert(
          fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), steps => {
            let queue = rig.session('a');
            for (const { id, status } of all(queue)) if (!['completed', 'failed', 'canceled'].includes(status)) queue.cancel(id);
            const jobs = ids(queue.enqueue([fresh(), fresh(), fresh()]));
            const claims = new Map<JobId, Claim>();
            let n = 0;
            for (const { verb, which, other } of steps) {
              const id = jobs[which % jobs.length]!,
                target = jobs[other % jobs.length]!,
                claim = claims.get(id);
              try {
                if (verb === 0) jobs.push(...ids(queue.enqueue([fresh()], other % 2 === 0)));
                else if (verb === 1) {
                  const taken = queue.claim('auto');
                  if (taken) {
                    assert.ok(!claims.has(taken.id) || !queue.heartbeat(claims.get(taken.id)!), 'two have it');
                    claims.set(taken.id, taken);
                  }
                } else if (verb === 2) queue.pause(id);
                else if (verb === 3) queue.resume(id);
                else if (verb === 4) queue.cancel(id);
                else if (verb === 5) queue.retry(id);
                else if (verb === 6) queue.move(id, (['top', 'bottom', { before: target }, { after: target }] as const)[other % 4]!);
                else if (verb === 7) jobs.push(queue.duplicate(id).id);
                else if (verb === 8 && claim) queue.complete(claim, () => ({ id: `c${other + 1}` as const }));
                else if (verb === 9 && claim) queue.fail(claim, other % 2 ? bad : died, { phase: 'denoise', step: other % 3 });
                else if (verb === 10 && claim) queue.release(claim);
                else if (verb === 11 && claim) queue.heartbeat(claim, other % 8);
                else if (verb === 12 && other % 4 === 0) queue = rig.session(`b${n++}`);
              } catch (e) {
                if (!(e instanceof StudioError) || e.code !== 'conflict') throw e;
              }
              const now = all(queue, { status: ['pending', 'paused', 'inProgress'] });
              assert.deepEqual(now.filter(j => j.status !== 'inProgress').map(j => j.position), now.filter(j => j.status !== 'inProgress').map((_, i) => i + 1)); // prettier-ignore
              assert.equal(new Set(ids(now)).size, now.length);
              for (const j of jobs.map(j => queue.get(j))) {
                const ended = ['completed', 'failed', 'canceled'].includes(j.status);
                assert.equal(j.position === null, ended);
                assert.equal(j.clipId !== null, j.status === 'completed');
                assert.equal(j.failure !== null, j.status === 'failed');
              }
            }
          }),
          { numRuns: 30 },
        );
      } finally {
        rig.close();
      }
    });
  });
}

/** The claim on a job that is running, taken anew: released and claimed. */
function takeAgain(queue: Queue, id: JobId): Claim {
  if (queue.get(id).status === 'inProgress') queue.pause(id);
  queue.resume(id);
  queue.move(id, 'top');
  const claim = take(queue);
  assert.equal(claim.id, id);
  return claim;
}

const folder = mkdtempSync(join(tmpdir(), 'protagonist-queue-'));
after(() => rmSync(folder, { recursive: true, force: true }));

contract('the queue on SQLite', async () => {
  const home = mkdtempSync(join(folder, 'library-')),
    db = await openLibraryDatabase(home),
    clock = { now: 1000 },
    told: StudioEvent[] = [];
  const library: Library = { home, db, say: event => db.afterCommit(() => told.push(event)) };
  return {
    clock,
    told,
    session: session => sqliteQueue(library, { session, clock: () => clock.now }),
    damage: id =>
      void db.run(`UPDATE jobs SET record = ? WHERE id = ?`, Math.random() < 0.5 ? '{"version":1,' : '{"version":2}', rowOf(id)),
    close: () => db.close(),
  };
});

test('ten thousand jobs at once: queued, moved, taken and listed without a wait', async () => {
  const home = mkdtempSync(join(folder, 'library-')),
    db = await openLibraryDatabase(home);
  const told: StudioEvent[] = [];
  const queue = sqliteQueue({ home, db, say: e => told.push(e) }, { session: 'one' });
  const timed = <T>(limit: number, what: () => T): T => {
    const began = performance.now();
    const result = what();
    assert.ok(performance.now() - began < within(limit), `${what.toString()} took ${Math.round(performance.now() - began)} ms`);
    return result;
  };
  const jobs = timed(10_000, () => queue.enqueue(Array.from({ length: 10_000 }, (_, i) => fresh({ seed: i }))));
  assert.equal(told.length, 0, 'clients are told that the queue has changed, not ten thousand times');
  timed(500, () => queue.move(jobs[9999]!.id, 'top'));
  timed(500, () => queue.move(jobs[5000]!.id, { before: jobs[10]!.id }));
  timed(500, () => queue.claim('auto'));
  timed(500, () => queue.list({ status: [], batch: null, after: jobs[7000]!.id, limit: 60 }));
  timed(500, () => queue.waiting());
  db.close();
});

test('a closed database is a DatabaseError, not a lost queue', async () => {
  const home = mkdtempSync(join(folder, 'library-')),
    db = await openLibraryDatabase(home);
  const queue = sqliteQueue({ home, db, say: () => undefined }, { session: 'one' });
  const [job] = queue.enqueue([fresh()]);
  db.close();
  assert.throws(() => queue.claim('auto'), DatabaseError);
  db.open();
  assert.equal(queue.claim('auto')!.id, job!.id);
  db.close();
});
