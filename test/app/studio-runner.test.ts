/** @file Jobs seen through: a clip once and whole whatever happens on the way, and nothing else left. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { StudioError } from '../../electron/contract/errors.ts';
import type { JobId } from '../../electron/contract/ids.ts';
import type { Request } from '../../electron/contract/requests.ts';
import { fileError } from '../../electron/media/error.ts';
import { findFfmpeg, readFrames } from '../../electron/media/ffmpeg.ts';
import { probeClip } from '../../electron/media/poster.ts';
import { moments, type Moment } from '../../electron/studio/runner.ts';
import { TaskError, type Engine } from '../../native-models/tasks.ts';
import { painter } from '../support/painter.ts';
import { photo, root, sleep } from '../support/run.ts';
import { openWorking, realEngine, type Working } from '../support/working.ts';
import { within } from '../support/time.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-runner-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let homes = 0;
const newHome = () => {
  const home = join(folder, `library ${++homes}`);
  mkdirSync(home);
  return home;
};

const small = { numInferenceSteps: 3, numFrames: 9, width: 64, height: 64, seed: 7 } as const;
type Asked = Partial<Omit<Request, 'version'>>;
/** Queues one small job. */
const queue = async (w: Working, more: Asked = {}): Promise<JobId> =>
  (await w.jobs.enqueue({ request: { prompt: 'the toy hops', ...small, ...more } })).jobs[0]!.id;

/** Every file of the library but the database, photos and their thumbnails. */
function filesOf(home: string): string[] {
  return ['clips', 'latents', 'previews', 'work']
    .flatMap(f => (existsSync(join(home, f)) ? readdirSync(join(home, f), { recursive: true, withFileTypes: true }) : []))
    .filter(e => e.isFile() && !/^[0-9a-f]{64}\.jpg$/.test(e.name))
    .map(e => join(e.parentPath, e.name).slice(home.length + 1))
    .toSorted();
}
/** Each completed job has one clip, whole and with all its files; nothing else lies about. */
async function wholeAndClean(w: Working): Promise<void> {
  const { home, db } = w.library;
  const { clips } = await w.clips.list({ limit: 500 });
  const { jobs } = await w.jobs.list({ limit: 500 });
  const completed = jobs.filter(j => j.status === 'completed');
  assert.deepEqual(clips.map(c => c.jobId).toSorted(), completed.map(j => j.id).toSorted());
  const known: string[] = [];
  for (const c of clips) {
    const row = db.get<{ file: string; poster: string; sprite: string; latents: string }>('SELECT file, poster, sprite, latents FROM clips WHERE id = ?', Number(c.id.slice(1)))!; // prettier-ignore
    known.push(row.file, row.poster, row.sprite, row.latents);
    const probed = await probeClip(await findFfmpeg(), join(home, row.file));
    assert.equal(probed.frames, c.numFrames);
    assert.equal(
      createHash('sha256')
        .update(readFileSync(join(home, row.file)))
        .digest('hex'),
      c.sha256,
    );
    assert.ok(c.spriteColumns > 0 && c.bytes > 0);
  }
  const unended = jobs.filter(j => !['completed', 'canceled'].includes(j.status)).map(j => `work/${j.id}`);
  assert.deepEqual(
    filesOf(home).filter(f => !unended.some(u => f.startsWith(`${u}/`))),
    known.toSorted(),
  );
  assert.equal(db.get<{ integrity_check: string }>('PRAGMA integrity_check')!.integrity_check, 'ok');
}
const md5s = async (file: string) => {
  const { width, height, frames } = await probeClip(await findFfmpeg(), file);
  return (await readFrames(await findFfmpeg(), file, { width, height, frames, ours: true })).map(f =>
    createHash('md5').update(f).digest('hex'),
  );
};
const videoOf = (w: Working, jobId: JobId) =>
  join(w.library.home, w.library.db.get<{ file: string }>('SELECT file FROM clips WHERE job = ?', Number(jobId.slice(1)))!.file);

test('a job becomes a clip with its pictures, latents, hashes and a name; what it taught is kept', async () => {
  const w = await openWorking(newHome(), { engine: painter() });
  const { subject } = await w.subjects.add({ name: 'Lemon', kind: 'toy', description: 'a round yellow toy', photos: [{ path: photo }] });
  const before = await w.jobs.forecast({ request: { prompt: '@lemon hops', ...small } });
  assert.deepEqual([before.jobs, before.each.seconds, before.all.seconds, before.each.learntFrom], [1, null, null, 0]);
  const id = await queue(w, { prompt: '@lemon hops \\{twice\\}' });
  assert.equal(w.work.get(id).resolved.prompt, 'a round yellow toy hops {twice}');
  assert.equal((await w.queue.state(undefined)).state, 'stopped');
  await w.queue.start(undefined);
  const job = await w.until(id, 'completed');
  const clip = await w.clips.show({ id: job.clipId! });
  assert.equal(clip.name, 'Lemon hops {twice}');
  assert.deepEqual(filesOf(w.library.home), ['clips/lemon-hops-twice-j1.mp4', 'latents/j1.safetensors', 'previews/j1-poster.jpg', 'previews/j1-sprite.jpg']); // prettier-ignore
  assert.deepEqual(clip.subjects.map(s => [s.id, s.handle, s.thumbnail]), [[subject.id, 'lemon', true]]); // prettier-ignore
  assert.equal(clip.latentsBytes, 1000);
  assert.deepEqual([clip.resolved, clip.seed, clip.jobId], [job.resolved, 7, id]);
  const forecast = await w.jobs.forecast({ request: { prompt: '@lemon hops', ...small }, batch: { seeds: 3 } });
  assert.ok(forecast.each.seconds! > 0 && forecast.each.exact && forecast.each.learntFrom === 1);
  assert.ok(Math.abs(forecast.all.seconds! - 3 * forecast.each.seconds!) < 1e-6);
  assert.equal(forecast.each.peakRamBytes, 1e8);
  const told = w.events.filter(e => e.type === 'job' && e.job.id === id).map(e => e.type === 'job' && e.job.status);
  assert.deepEqual([told[0], told.at(-1)], ['pending', 'completed']);
  for (const end = performance.now() + 60_000; (await w.queue.state(undefined)).state !== 'idle' && performance.now() < end;)
    await sleep(20);
  assert.ok(w.events.some(e => e.type === 'queue' && e.queue.state === 'running'));
  assert.equal((await w.queue.state(undefined)).state, 'idle');
  await wholeAndClean(w);
  await w.close();
});

/** The child works until it is killed at the moment; then we go on. */
async function killedAt(home: string, moment: Moment, times = 1): Promise<void> {
  const child = spawn(process.execPath, ['--no-warnings', join(root, 'test/support/working-child.ts'), home, moment, String(times)], { stdio: ['ignore', 'inherit', 'inherit'] }); // prettier-ignore
  const late = setTimeout(() => child.kill('SIGTERM'), 60_000);
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
  clearTimeout(late);
  assert.equal(signal, 'SIGKILL', `${moment} never came`);
}
for (const moment of moments)
  test(`killed -9 at '${moment}': one clip, nothing left over, nothing computed twice after it was done`, async () => {
    const home = newHome();
    let w = await openWorking(home, { engine: painter() });
    const id = await queue(w);
    await w.close();
    await killedAt(home, moment, moment === 'moving' ? 3 : 1);
    const again = !['done', 'planned', 'completed', 'removed'].includes(moment); // these come once
    if (again) await killedAt(home, moment);
    let computed = 0;
    const paint = painter();
    w = await openWorking(home, { engine: { run: (...a) => (computed++, paint.run(...a)), close: () => paint.close() } });
    await w.queue.start(undefined);
    const job = await w.until(id, 'completed');
    assert.equal(computed, moments.indexOf(moment) <= moments.indexOf('computed') ? 1 : 0);
    assert.equal(job.attempt, moment === 'completed' || moment === 'removed' ? 1 : again ? 3 : 2);
    await wholeAndClean(w);
    await w.close();
  });

for (const [moment, times] of [
  ['planned', 1],
  ['moving', 1],
  ['moving', 4],
  ['moved', 1],
] as const)
  test(`killed at '${moment}' (${times}), then canceled or edited: no file is left in the library`, async () => {
    const home = newHome();
    let w = await openWorking(home, { engine: painter() });
    const [a, b] = [await queue(w), await queue(w, { seed: 8 })];
    await w.close();
    await killedAt(home, moment, times);
    w = await openWorking(home, { engine: painter() });
    assert.equal(w.work.get(a).status, 'pending');
    if (times === 1) await w.jobs.cancel({ id: a });
    else await w.jobs.edit({ id: a, request: { prompt: 'a ball', ...small } });
    if (times === 1) assert.deepEqual(filesOf(home), []);
    await w.queue.start(undefined);
    await w.until(b, 'completed');
    if (times > 1) assert.match(basename(videoOf(w, a)), /^a-ball-j1\.mp4$/);
    await wholeAndClean(w);
    await w.close();
  });

for (const code of ['ENOSPC', 'EIO', 'EROFS', 'EMFILE'])
  test(`${code} at every moment: the queue is held with a sentence, and goes on by itself`, async () => {
    const thrown = new Set<Moment>();
    const w = await openWorking(newHome(), {
      engine: painter(),
      at: moment => {
        if (thrown.has(moment) || moment === 'completed' || moment === 'removed') return;
        thrown.add(moment);
        throw fileError('cannot write the clip', Object.assign(new Error(code), { code }));
      },
    });
    const [id, other] = [await queue(w), await queue(w, { seed: 8 })];
    await w.queue.start(undefined);
    await w.until(id, 'completed');
    await w.until(other, 'completed');
    assert.equal(thrown.size, moments.length - 2);
    await sleep(60);
    const held = w.events.flatMap(e => (e.type === 'queue' && e.queue.state === 'held' ? [e.queue.text!] : []));
    assert.ok(held.length > 0 && held.every(t => t.startsWith('cannot write the clip: ')), JSON.stringify(held));
    await wholeAndClean(w);
    await w.close();
  });

test('a database that cannot be written does not end the queue', async () => {
  let refuse = 0;
  const w = await openWorking(newHome(), { engine: painter() });
  const { db } = w.library;
  const transaction = db.transaction.bind(db);
  db.transaction = work => {
    if (refuse-- > 0) throw fileError('the database', Object.assign(new Error('EIO'), { code: 'EIO' }));
    return transaction(work);
  };
  for (let n = 0; n < 12; n++) {
    const id = await queue(w, { seed: n });
    refuse = n;
    if (n === 0) await w.queue.start(undefined);
    await w.until(id, 'completed');
  }
  await wholeAndClean(w);
  await w.close();
});

/** An engine that does what it is told before it paints. */
function scripted(script: (attempt: number, signal: AbortSignal, say: Parameters<Engine['run']>[1]) => void | Promise<void>) {
  const paint = painter();
  const engine = {
    attempts: 0,
    closed: 0,
    run: async (...[order, on, signal]: Parameters<Engine['run']>) => {
      await script(++engine.attempts, signal, on);
      return paint.run(order, on, signal);
    },
    close: async () => {
      engine.closed++;
      await paint.close();
    },
  };
  return engine;
}
const at = (step: number) => ({ type: 'progress', phase: 'denoise', step, of: 3, seconds: 1 }) as const;

test('an engine that dies twice at the same step sets its job aside; the next goes on; retry gives it another chance', async () => {
  const engine = scripted((attempt, _, say) => {
    say(at(1));
    if (attempt <= 2) throw new TaskError('engineDied', 'the engine was killed');
  });
  const w = await openWorking(newHome(), { engine });
  const [bad, good] = [await queue(w), await queue(w, { seed: 8 })];
  await w.queue.start(undefined);
  await w.until(good, 'completed');
  const job = w.work.get(bad);
  assert.deepEqual([job.status, job.failure?.code, job.failure?.action], ['failed', 'quarantined', 'retry']);
  assert.match(job.failure!.text, /died twice in step 2 of 3/);
  await w.jobs.retry({ id: bad });
  await w.until(bad, 'completed');
  await wholeAndClean(w);
  await w.close();
});
test('deaths after a snapshot are forgiven, and a snapshot is in the row', async () => {
  const engine = scripted((attempt, _, say) => {
    say(at(1));
    if (attempt > 4) return;
    say({ type: 'snapshot', step: attempt });
    throw new TaskError('engineDied', 'the engine was killed: run it again.');
  });
  const w = await openWorking(newHome(), { engine });
  const id = await queue(w, { numInferenceSteps: 9 });
  await w.queue.start(undefined);
  const job = await w.until(id, 'completed', 'failed');
  assert.deepEqual([job.status, job.attempt], ['completed', 5]);
  assert.ok(w.events.some(e => e.type === 'job' && e.job.snapshotStep === 3));
  assert.ok(w.events.some(e => e.type === 'notice' && e.text === 'the engine was killed; it is tried again'));
  await w.close();
});
test('an engine that never starts holds the queue and fails no job', async () => {
  const engine = scripted(attempt => {
    if (attempt <= 6) throw new TaskError('engineDied', 'the engine could not be started');
  });
  const w = await openWorking(newHome(), { engine });
  const [a, b] = [await queue(w), await queue(w, { seed: 8 })];
  await w.queue.start(undefined);
  await w.until(a, 'completed');
  await w.until(b, 'completed');
  assert.ok(w.events.some(e => e.type === 'queue' && e.queue.state === 'held' && e.queue.text === 'the engine could not be started'));
  await w.close();
});
test('an engine that says nothing is ended and counted as dead; one that is slow at what it always does is not', async () => {
  const hang = (signal: AbortSignal) => new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(new TaskError('canceled', 'canceled')))); // prettier-ignore
  const engine = scripted(async (attempt, signal, say) => {
    say(at(0));
    await sleep(120);
    say(at(1));
    if (attempt <= 2) await hang(signal);
    await sleep(720); // six times what it took before, of twenty that are allowed
    say(at(2));
  });
  const w = await openWorking(newHome(), { engine, patience: { usual: 0.3, loading: 0.5, first: 0.5 } });
  const id = await queue(w);
  await w.queue.start(undefined);
  const job = await w.until(id, 'failed', 'completed');
  assert.equal(job.failure?.code, 'quarantined');
  assert.match(job.failure.text, /said nothing for \d+ seconds/);
  await w.jobs.retry({ id });
  await w.until(id, 'completed');
  await w.close();
});
test('what only a person can mend fails at once with its sentence, and its work is kept for a retry', async () => {
  const engine = scripted(attempt => {
    if (attempt === 1) throw new TaskError('outOfMemory', 'there is not enough memory for this clip: make it smaller');
  });
  const w = await openWorking(newHome(), { engine });
  const id = await queue(w);
  await w.queue.start(undefined);
  const job = await w.until(id, 'failed');
  assert.deepEqual(job.failure, {
    code: 'outOfMemory',
    text: 'there is not enough memory for this clip: make it smaller',
    action: 'chooseSmaller',
  });
  assert.ok(existsSync(join(w.library.home, 'work', id)));
  await w.jobs.retry({ id });
  await w.until(id, 'completed');
  await wholeAndClean(w);
  await w.close();
});
test('a photo that is gone when its turn comes is said to be missing', async () => {
  const w = await openWorking(newHome(), { engine: painter() });
  await w.subjects.add({ name: 'Lemon', photos: [{ path: photo }] });
  const id = await queue(w, { prompt: '@lemon hops' });
  const { sha256 } = w.work.get(id).resolved.references[0]!;
  for (const e of readdirSync(join(w.library.home, 'photos'), { recursive: true, withFileTypes: true })) if (e.name.startsWith(sha256)) rmSync(join(e.parentPath, e.name)); // prettier-ignore
  await w.queue.start(undefined);
  const { failure } = await w.until(id, 'failed');
  assert.deepEqual([failure!.code, failure!.action], ['missing', 'findFile']);
  assert.ok(!failure!.text.includes(w.library.home), failure!.text);
  await w.close();
});

test('cancel of a running job stops it, takes its work away and lets the next run; retry makes it after all', async () => {
  let blocked = true;
  const engine = scripted(async (_, signal, say) => {
    say(at(1));
    while (blocked && !signal.aborted) await sleep(5);
  });
  const w = await openWorking(newHome(), { engine });
  const [a, b] = [await queue(w), await queue(w, { seed: 8 })];
  await w.queue.start(undefined);
  while (engine.attempts === 0) await sleep(5);
  assert.ok(existsSync(join(w.library.home, 'work', a)));
  assert.equal((await w.jobs.cancel({ id: a })).status, 'canceled');
  assert.ok(!existsSync(join(w.library.home, 'work', a)));
  blocked = false;
  await w.until(b, 'completed');
  await w.jobs.retry({ id: a });
  await w.until(a, 'completed');
  await assert.rejects(w.jobs.cancel({ id: a }), (e: unknown) => e instanceof StudioError && e.code === 'conflict');
  await wholeAndClean(w);
  await w.close();
});
test('the whole queue paused: what runs is put back, the engine closed; it survives a start; resumed, it goes on', async () => {
  let blocked = true;
  const engine = scripted(async (_, signal, say) => {
    say(at(1));
    while (blocked && !signal.aborted) await sleep(5);
  });
  const home = newHome();
  let w = await openWorking(home, { engine });
  const [a, b] = [await queue(w), await queue(w, { seed: 8 })];
  await w.queue.start(undefined);
  await w.until(a, 'inProgress');
  const state = await w.queue.pause(undefined);
  assert.deepEqual([state.state, state.running, state.waiting], ['paused', [], 2]);
  assert.ok(engine.closed > 0);
  assert.equal(w.work.get(a).position, 1);
  await sleep(100);
  assert.equal(w.work.get(a).status, 'pending');
  await w.close();
  blocked = false;
  w = await openWorking(home, { engine });
  assert.equal((await w.queue.start(undefined)).state, 'paused');
  await sleep(100);
  assert.equal(w.work.get(a).status, 'pending');
  await w.queue.resume(undefined);
  await w.until(a, 'completed');
  await w.until(b, 'completed');
  await w.close();
});
test('an engine that cannot be closed: who has paused is told, so is everybody, and the owner lives', async () => {
  let blocked = true;
  const engine = scripted(async (_, signal, say) => {
    say(at(1));
    while (blocked && !signal.aborted) await sleep(5);
  });
  const { close } = engine;
  engine.close = () => (blocked ? Promise.reject(new TaskError('failed', 'its process stays')) : close());
  const w = await openWorking(newHome(), { engine });
  const id = await queue(w);
  await w.queue.start(undefined);
  while (engine.attempts === 0) await sleep(5);
  await assert.rejects(w.jobs.pause({ id }), /its process stays/);
  await until(() => w.work.get(id).status === 'paused');
  assert.ok(w.events.some(e => e.type === 'notice' && e.text === 'the engine could not be closed: its process stays'));
  blocked = false;
  await w.jobs.resume({ id });
  await w.until(id, 'completed');
  await w.close();
});
test('what is left of a phase is not told as what is left of the queue', async () => {
  let blocked = true;
  const engine = scripted(async (_, signal, say) => {
    say({ ...at(1), remaining: 3 });
    while (blocked && !signal.aborted) await sleep(5);
  });
  const w = await openWorking(newHome(), { engine });
  await w.queue.start(undefined);
  const left = async () => {
    blocked = true;
    const id = await queue(w);
    await until(() => w.work.get(id).progress !== null);
    const { secondsLeft } = await w.queue.state(undefined),
      { remaining } = w.work.get(id).progress!;
    blocked = false;
    await w.until(id, 'completed');
    return { secondsLeft, remaining };
  };
  assert.deepEqual(await left(), { secondsLeft: null, remaining: 3 });
  const { secondsLeft, remaining } = await left(); // by what the first has taught
  assert.ok(secondsLeft !== null && secondsLeft > 0 && secondsLeft === remaining, JSON.stringify({ secondsLeft, remaining }));
  await w.close();
});
test('what is left over goes at open, also where a job was left running; a mistake of ours there is told', async () => {
  const home = newHome();
  let w = await openWorking(home, { engine: painter() });
  const id = await queue(w);
  w.library.db.run(`UPDATE jobs SET status = 'inProgress', position = NULL, attempt = 1, session = 'gone'`);
  await w.close();
  mkdirSync(join(home, 'work', 'j999'), { recursive: true });
  w = await openWorking(home, { engine: painter() });
  assert.deepEqual(readdirSync(join(home, 'work')), []);
  assert.equal(w.work.get(id).status, 'pending');
  const notices = () => w.events.flatMap(e => (e.type === 'notice' ? [e.text] : []));
  assert.deepEqual(notices(), []);
  const { db } = w.library,
    transaction = db.transaction.bind(db);
  db.transaction = () => {
    db.transaction = transaction;
    throw new TypeError('it is undefined');
  };
  await w.queue.start(undefined);
  assert.deepEqual(notices(), ['something went wrong inside Protagonist (it is undefined): please report it']);
  await w.until(id, 'completed');
  await w.close();
});
test('progress is told at most ten times a second and never written', async () => {
  const engine = scripted(async (_, __, say) => {
    for (let i = 0; i < 300; i++) {
      say({ type: 'progress', phase: 'denoise', step: i, of: 300, seconds: i / 300 });
      await sleep(2);
    }
  });
  const w = await openWorking(newHome(), { engine });
  const id = await queue(w);
  const { db } = w.library;
  let writes = 0;
  const run = db.run.bind(db);
  db.run = (sql, ...values) => {
    writes++;
    return run(sql, ...values);
  };
  const began = performance.now();
  await w.queue.start(undefined);
  await w.until(id, 'completed');
  const told = w.events.filter(e => e.type === 'progress');
  const seconds = (performance.now() - began) / 1000;
  assert.ok(told.length >= 4 && told.length <= 10 * seconds + 2, `${told.length} in ${seconds} s`);
  assert.ok(writes < 40, `${writes} writes`);
  await w.close();
});
test('an edited job begins anew; a file of another in its name is left alone', async () => {
  const engine = scripted((attempt, _, say) => {
    say(at(1));
    if (attempt === 1) throw new TaskError('failed', 'once');
  });
  const home = newHome();
  mkdirSync(join(home, 'clips'));
  writeFileSync(join(home, 'clips', 'a-ball-j1.mp4'), 'mine');
  const w = await openWorking(home, { engine });
  const id = await queue(w);
  await w.jobs.edit({ id, request: { prompt: 'a ball', ...small } });
  await assert.rejects(w.jobs.edit({ id, request: { prompt: 'a {ball|cube}', ...small } }), /stands for 2 clips/);
  await w.queue.start(undefined);
  await w.until(id, 'failed');
  await w.jobs.retry({ id });
  await w.until(id, 'completed');
  assert.equal(basename(videoOf(w, id)), 'a-ball-j1-2.mp4');
  assert.equal(readFileSync(join(home, 'clips', 'a-ball-j1.mp4'), 'utf8'), 'mine');
  await w.close();
});
test('names of any script, within a hundred bytes', async () => {
  const w = await openWorking(newHome(), { engine: painter() });
  await w.subjects.add({ name: '檸檬', handle: '檸檬', photos: [{ path: photo }] });
  const a = await queue(w, { prompt: '@檸檬在海邊跳'.padEnd(120, '跳') }),
    b = await queue(w, { prompt: '   /../<>:"|?* ' }),
    c = await queue(w, { prompt: 'CON. '.repeat(60) });
  await w.queue.start(undefined);
  for (const id of [a, b, c]) {
    await w.until(id, 'completed');
    assert.ok(Buffer.byteLength(basename(videoOf(w, id))) <= 100);
  }
  assert.match(basename(videoOf(w, a)), /^檸檬在海邊跳+-j1\.mp4$/u);
  assert.equal(basename(videoOf(w, b)), 'clip-j2.mp4');
  assert.match(basename(videoOf(w, c)), /^con-con-.*con-j3\.mp4$/);
  await wholeAndClean(w);
  await w.close();
});
test('more than 20 are asked about, and all are validated before any is queued', async () => {
  const w = await openWorking(newHome(), { engine: painter() });
  const request = { prompt: '{a|b|c}', ...small };
  await assert.rejects(w.jobs.enqueue({ request, batch: { seeds: 7 } }), (e: unknown) => e instanceof StudioError && e.code === 'needsConfirmation' && e.count === 21); // prettier-ignore
  assert.equal((await w.jobs.enqueue({ request, batch: { seeds: 7 }, confirmed: true })).jobs.length, 21);
  await assert.rejects(w.jobs.enqueue({ request: { ...request, prompt: '{a|@nobody}' } }), /there is no subject @nobody/);
  assert.equal((await w.jobs.list({ limit: 500 })).jobs.length, 21);
  await w.close();
});

// The real engine

test(
  'pause gives the device back, and resumed it makes the same clip; so it does after kills of engine and owner',
  { timeout: 600_000 },
  async () => {
    const home = newHome(),
      real = realEngine();
    const pids = () => readdirSync('/proc').filter(p => /^\d+$/.test(p) && isEngineOf(p)); // prettier-ignore
    const w = await openWorking(home, { engine: real });
    await w.subjects.add({ name: 'Lemon', description: 'The toy', photos: [{ path: photo }] });
    const settings: Asked = { prompt: '@lemon hops on the beach', numInferenceSteps: 20, numFrames: 9, width: 64, height: 64, seed: 11 };
    await w.settings.edit({ previewSeconds: 0 });
    const plain = await queue(w, settings);
    await w.queue.start(undefined);
    await w.until(plain, 'completed');
    const expected = await md5s(videoOf(w, plain));
    assert.equal(expected.length, 9);

    const paused = await queue(w, settings);
    for (const part of [0.2, 0.6]) {
      await untilStep(w, paused, part * 20);
      assert.equal((await w.jobs.pause({ id: paused })).status, 'paused');
      assert.deepEqual(pids(), [], 'the engine is still there');
      await sleep(50);
      assert.equal((await w.queue.state(undefined)).state, 'idle');
      await w.jobs.resume({ id: paused });
    }
    const { attempt } = await w.until(paused, 'completed');
    assert.equal(attempt, 3);
    assert.deepEqual(await md5s(videoOf(w, paused)), expected);

    const killed = await queue(w, settings);
    for (let kill = 0; kill < 2; kill++) {
      await untilStep(w, killed, 5 + 8 * kill);
      for (const pid of pids()) process.kill(Number(pid), 'SIGKILL');
      await sleep(300);
    }
    await w.until(killed, 'completed');
    assert.deepEqual(await md5s(videoOf(w, killed)), expected);

    const left = await queue(w, settings);
    await untilStep(w, left, 10);
    const until = performance.now();
    await w.close();
    assert.ok(performance.now() - until < within(3000));
    assert.deepEqual(pids(), []);
    const again = await openWorking(home, { engine: real });
    assert.equal(again.work.get(left).status, 'pending');
    await again.queue.start(undefined);
    await again.until(left, 'completed');
    assert.deepEqual(await md5s(videoOf(again, left)), expected);
    await wholeAndClean(again);
    await again.close();
  },
);
test(
  'two pauses at once, of a job or of the queue, end one engine; the next goes on and is no death of the job',
  { timeout: 600_000 },
  async () => {
    const w = await openWorking(newHome(), { engine: realEngine() });
    const id = await queue(w, { numInferenceSteps: 1000 });
    await w.queue.start(undefined);
    await untilStep(w, id, 3);
    const paused = await Promise.all([w.jobs.pause({ id }), w.jobs.pause({ id })]);
    assert.deepEqual(paused.map(j => j.status), ['paused', 'paused']); // prettier-ignore
    await w.jobs.resume({ id });
    await untilStep(w, id, 3);
    const states = await Promise.all([w.queue.pause(undefined), w.jobs.pause({ id }), w.queue.pause(undefined)]);
    assert.deepEqual([states[0].state, states[1].status, states[2].state], ['paused', 'paused', 'paused']);
    await w.jobs.resume({ id });
    await w.queue.resume(undefined);
    await untilStep(w, id, 3);
    await sleep(700); // longer than a close waits until it kills
    assert.deepEqual([w.work.get(id).status, w.work.get(id).attempt], ['inProgress', 3]);
    await w.jobs.cancel({ id });
    // Where it went on from may be told (a machine that takes long has kept a step), its death may not.
    assert.deepEqual(
      w.events.filter(e => e.type === 'notice' && !e.text.startsWith('going on after step')),
      [],
    );
    await w.close();
  },
);
/** Whether a process is an engine that this one has started. */
function isEngineOf(pid: string): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1'),
      [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state !== 'Z' && parent === String(process.pid) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('engine/main.ts');
  } catch {
    return false;
  }
}
async function until(holds: () => boolean): Promise<void> {
  for (const began = performance.now(); !holds(); await sleep(5))
    assert.ok(performance.now() - began < 60_000, `never: ${holds.toString()}`);
}
async function untilStep(w: Working, id: JobId, step: number): Promise<void> {
  for (const began = performance.now(); performance.now() - began < 60_000; await sleep(5)) {
    const { progress, status } = w.work.get(id);
    if (status === 'inProgress' && progress?.phase === 'denoise' && progress.step >= step) return;
    assert.ok(status === 'pending' || status === 'inProgress', `${id} is ${status}: ${JSON.stringify(w.work.get(id).failure)}`);
  }
  assert.fail(`${id} never came to step ${step}`);
}
