/** @file What the system is shown of the work, without Electron: progress, notifications, an end that waits; what is done when a part of the app dies; clips that are handed in. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import type { QueueState } from '../../electron/contract/events.ts';
import {
  download as downloadSchema,
  exported as exportedSchema,
  job as jobSchema,
  languages,
  type Job,
  type Progress,
} from '../../electron/contract/records.ts';
import { keepDownloading } from '../../electron/shell/downloads.ts';
import { drawing, mending, type MendingOptions } from '../../electron/shell/faults.ts';
import { shellWords } from '../../electron/shell/words.ts';
import { clipsIn, followWork, quitting, type Running, type WorkOptions } from '../../electron/shell/work.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-work-'));
after(() => rmSync(folder, { recursive: true }));
const platforms = ['darwin', 'win32', 'linux'] as const;
/** Lets promises that are settled be noticed. */
const settle = async () => {
  for (let i = 0; i < 5; i++) await turn();
};

const progressOf = (more: Partial<Progress> = {}): Progress => ({ phase: 'denoise', step: 1, of: 10, seconds: 10, remaining: 90, ...more });
const jobOf = (id: number, more: Partial<Job> = {}): Job =>
  jobSchema.parse({
    id: `j${id}`, status: 'inProgress', position: 0, batchId: `j${id}`, request: { prompt: `  @lemon\n hops ${id}` },
    resolved: {
      version: 1, prompt: 'a toy hops', negativePrompt: '', subjects: [], references: [], startImage: null, checkpoint: { id: 'k1', name: 'Toybox', sha256: 'a'.repeat(64) }, adapters: [], seed: 1, numInferenceSteps: 8, guidanceScale: 3,
      useDynamicCfg: false, scheduler: 'ddim', numFrames: 9, width: 32, height: 32, fps: 8, fit: 'contain', precision: 'auto', noiseDtype: 'float32', vaeTiling: false, device: 'auto',
    },
    forecast: { seconds: 100, peakRamBytes: null, peakDeviceBytes: null, diskBytes: null, learntFrom: 0, exact: false },
    progress: null, snapshotStep: 0, attempt: 1, failure: null, clipId: null, createdAt: '', startedAt: null, endedAt: null, ...more,
  }); // prettier-ignore
const queueOf = (running: readonly string[], more: Partial<QueueState> = {}) => ({ type: 'queue', queue: { state: running.length ? 'running' : 'idle', text: null, running, waiting: 0, secondsLeft: null, ...more } }); // prettier-ignore
const exportOf = (id: number, status: string, more: object = {}) => ({
  type: 'export',
  export: exportedSchema.parse({ id: `e${id}`, status, order: { clips: ['c1'], preset: 'share' }, name: `Lemon ${id}`, inLibrary: false, clipId: null, plan: null, progress: null, bytes: 0, failure: null, createdAt: '', endedAt: null, missing: false, ...more }), // prettier-ignore
});
const downloadOf = (state: string, more: object = {}) => ({
  type: 'download',
  download: downloadSchema.parse({ id: 'cogvideox-2b', name: 'CogVideoX-2B', for: '', licence: { name: 'Apache 2.0', link: 'https://www.apache.org/', summary: '' }, memory: { bytes: 1, note: '' }, bytes: 100, exact: true, state, have: 25, speed: null, secondsLeft: null, files: [], failure: null, checkpointId: null, ...more }), // prettier-ignore
});

/** `followWork` with a clock that only we move. */
async function following(
  t: TestContext,
  {
    now = [],
    supported = true,
    patient = true,
    platform = 'linux',
  }: { now?: Job[]; supported?: boolean; patient?: boolean; platform?: NodeJS.Platform } = {},
) {
  t.mock.timers.reset();
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const bars: (number | string)[] = [],
    log: string[] = [],
    shown: { title?: string; body?: string; click: () => void; closed: boolean }[] = [],
    app = new EventEmitter();
  let listener: ((event: unknown) => void) | undefined,
    focused = false,
    window = true,
    blockers = 0,
    time = 0;
  class Notification extends EventEmitter {
    static isSupported = () => supported;
    readonly #at: (typeof shown)[number];
    constructor(options: { title?: string; body?: string }) {
      super();
      this.#at = { ...options, click: () => this.emit('click'), closed: false };
    }
    show() {
      shown.push(this.#at);
    }
    close() {
      this.#at.closed = true;
    }
  }
  const work = followWork({
    transport: {
      call: method => Promise.resolve({ value: method === 'queue.state' ? queueOf(now.map(j => j.id)).queue : { jobs: now, next: null } }),
      subscribe: l => {
        listener = l;
        return () => (listener = undefined);
      },
    },
    app: app as unknown as WorkOptions['app'],
    window: () =>
      window
        ? {
            setProgressBar: (part, how) => bars.push(how ? `${part} ${how.mode}` : part),
            isFocused: () => focused,
            isDestroyed: () => false,
          }
        : undefined,
    powerSaveBlocker: {
      start: kind => (log.push(`awake ${kind}`), blockers++),
      stop: id => (log.push(`asleep ${id}`), true),
    },
    Notification: Notification as unknown as WorkOptions['Notification'],
    words: () => ({
      ready: (name, clips) => ({ title: `ready ${clips}`, body: name }),
      failed: (name, why, jobs) => ({ title: `failed ${jobs}`, body: `${name}: ${why}` }),
      held: why => ({ title: 'held', body: why }),
      exported: (name, n) => ({ title: `exported ${n}`, body: name }),
      exportFailed: (name, why, n) => ({ title: `export failed ${n}`, body: `${name}: ${why}` }),
      downloaded: (name, n) => ({ title: `downloaded ${n}`, body: name }),
      downloadFailed: (name, why, n) => ({ title: `download failed ${n}`, body: `${name}: ${why}` }),
    }),
    platform,
    clock: () => time,
    go: to => log.push(`go ${to}`),
  });
  if (patient) await settle();
  return {
    work, bars, log, shown, app,
    say: (event: unknown) => listener?.(event),
    job: (job: Job) => listener?.({ type: 'job', job }),
    progress: (id: number, more: Partial<Progress> = {}) => listener?.({ type: 'progress', jobId: `j${id}`, progress: progressOf(more) }),
    look: (on: boolean) => ((focused = on), on && app.emit('browser-window-focus', {}, {})),
    shut: () => (window = false),
    listens: () => listener !== undefined,
    pass: (ms: number) => (time += ms),
  }; // prettier-ignore
}

describe('what the system is shown of the work', () => {
  test('the taskbar and the machine follow what runs, over the moment between two jobs', async t => {
    const { say, job, progress, bars, log } = await following(t);
    assert.deepEqual([bars, log], [[], []], 'nothing runs');
    job(jobOf(1));
    assert.deepEqual(log, ['awake prevent-app-suspension']);
    progress(1, { seconds: 25, remaining: 75 });
    progress(1, { seconds: 25.1, remaining: 74.9 }); // too little to be seen
    progress(1, { seconds: 50, remaining: 50 });
    progress(1, { seconds: 100, remaining: 0 });
    assert.deepEqual(bars, [0, 0.25, 0.5, 0.99]);
    job(jobOf(1, { status: 'completed', clipId: 'c1' }));
    say(queueOf([]));
    t.mock.timers.tick(900);
    assert.equal(bars.at(-1), 0.99);
    job(jobOf(2));
    t.mock.timers.tick(5000);
    assert.equal(bars.at(-1), 0);
    assert.deepEqual(log, ['awake prevent-app-suspension'], 'it stayed awake');
    progress(2, { seconds: 10, remaining: 90 });
    say(queueOf([]));
    t.mock.timers.tick(1000);
    assert.equal(bars.at(-1), -1);
    assert.deepEqual(log, ['awake prevent-app-suspension', 'asleep 0']);
    say(queueOf(['j3'])); // by another process: only the queue speaks of it
    assert.equal(bars.at(-1), 0);
    say({ type: 'progress', jobId: 'j3', progress: progressOf({ step: 5, of: 10 }) });
    assert.equal(bars.at(-1), 0.5, 'where nothing is foretold, the phase');
    for (const odd of [null, 7, {}, { type: 'queue' }, { type: 'next year' }]) say(odd);
  });
  test('what ran before it was opened is asked for, and again after a restore', async t => {
    const now = [jobOf(4, { progress: progressOf({ seconds: 20, remaining: 80 }) })];
    const { work, bars, log, say } = await following(t, { now });
    assert.deepEqual(bars, [0.2]);
    assert.deepEqual(work.running(), [{ kind: 'job', id: 'j4', name: '@lemon hops 4', part: 0.2, waits: true, lost: false }]);
    now.length = 0;
    say({ type: 'restored' });
    await settle();
    t.mock.timers.tick(1000);
    assert.deepEqual([bars.at(-1), log.at(-1)], [-1, 'asleep 0']);
  });
  test('a clip that is ready is told to whoever looks elsewhere; a click shows it', async t => {
    const { job, look, log, shown } = await following(t);
    look(true);
    job(jobOf(1));
    job(jobOf(1, { status: 'completed', clipId: 'c1' }));
    assert.equal(shown.length, 0, 'who looks at it sees it');
    look(false);
    job(jobOf(2));
    job(jobOf(2, { status: 'completed', clipId: 'c2' }));
    job(jobOf(2, { status: 'completed', clipId: 'c2' })); // said again
    job(jobOf(9, { status: 'completed', clipId: 'c9' })); // long since
    job(jobOf(3));
    job(jobOf(3, { status: 'completed', clipId: 'c3' }));
    assert.deepEqual(
      shown.map(({ title, body, closed }) => [title, body, closed]),
      [
        ['ready 1', '@lemon hops 2', true],
        ['ready 2', '@lemon hops 3', false],
      ],
      'one at a time',
    );
    shown[1]!.click();
    assert.equal(log.at(-1), 'go #/library/c3');
    look(true);
    assert.ok(shown.every(({ closed }) => closed));
    look(false);
    job(jobOf(5));
    job(jobOf(5, { status: 'completed', clipId: 'c5' }));
    assert.equal(shown.at(-1)!.title, 'ready 1', 'counted anew');
  });
  test('so is one that failed, with its reason; not one that is canceled, paused or tried again', async t => {
    const { job, shown, log, shut } = await following(t);
    for (const status of ['pending', 'paused', 'canceled'] as const) {
      job(jobOf(1));
      job(jobOf(1, { status }));
    }
    assert.equal(shown.length, 0);
    job(jobOf(1));
    shut();
    job(jobOf(1, { status: 'failed', failure: { code: 'noSpace', text: 'the disk is full', action: 'freeSpace' } }));
    assert.deepEqual([shown[0]!.title, shown[0]!.body], ['failed 1', '@lemon hops 1: the disk is full']);
    shown[0]!.click();
    assert.equal(log.at(-1), 'go queue');
  });
  test('nothing is told where the system cannot, and nothing after the end', async t => {
    const silent = await following(t, { supported: false });
    silent.job(jobOf(1));
    silent.job(jobOf(1, { status: 'completed', clipId: 'c1' }));
    assert.equal(silent.shown.length, 0);
    silent.job(jobOf(2));
    silent.work.stop();
    silent.work.stop();
    assert.deepEqual([silent.bars.at(-1), silent.log.at(-1), silent.listens(), silent.app.eventNames()], [-1, 'asleep 0', false, []]);
    assert.deepEqual(silent.work.running(), []);
    silent.say({ type: 'restored' });
    const asking = await following(t, { now: [jobOf(3)], patient: false });
    asking.work.stop(); // before it was answered
    await settle();
    assert.deepEqual([asking.bars, asking.log, asking.work.running()], [[], [], []]);
  });
  test('so is a queue that waits, until it goes on; an export; a download: of each kind one', async t => {
    const { say, shown, log, look } = await following(t);
    const said = () => shown.filter(({ closed }) => !closed).map(({ title, body }) => `${title ?? ''}: ${body ?? ''}`);
    say(queueOf([], { state: 'held', text: 'the disk is full' }));
    say(queueOf([], { state: 'held', text: 'the disk is full' }));
    assert.deepEqual([shown.length, said()], [1, ['held: the disk is full']]);
    shown[0]!.click();
    assert.equal(log.at(-1), 'go queue');
    say(queueOf(['j1']));
    assert.deepEqual(said(), [], 'it goes on by itself');
    say(queueOf([]));
    const failure = { code: 'noSpace', text: 'no room', action: 'freeSpace' };
    for (const id of [1, 2]) {
      say(exportOf(id, 'waiting'));
      say(exportOf(id, 'running', { progress: 0.5 }));
      say(exportOf(id, 'completed'));
    }
    say(exportOf(9, 'completed')); // long since
    assert.deepEqual(said(), ['exported 2: Lemon 2']);
    shown.at(-1)!.click();
    assert.equal(log.at(-1), 'go #/library/c1');
    say(exportOf(3, 'running', { progress: 0 }));
    say(exportOf(3, 'failed', { failure }));
    say(exportOf(4, 'running', { progress: 0 }));
    say(exportOf(4, 'canceled'));
    say(downloadOf('downloading'));
    say(downloadOf('here'));
    say(downloadOf('here')); // said again
    assert.deepEqual(said(), ['exported 2: Lemon 2', 'export failed 1: Lemon 3: no room', 'downloaded 1: CogVideoX-2B']);
    shown.at(-1)!.click();
    assert.equal(log.at(-1), 'go #/settings/models');
    look(true);
    say(downloadOf('downloading'));
    say(downloadOf('failed', { failure }));
    look(false);
    assert.deepEqual(said(), [], 'who looks at it sees it');
    say(downloadOf('downloading'));
    say(downloadOf('begun')); // paused by a person
    say(downloadOf('listing'));
    say(downloadOf('failed', { failure }));
    assert.deepEqual(said(), ['download failed 1: CogVideoX-2B: no room']);
  });
  test('exports and downloads keep the machine awake and have a bar; a window that is made anew gets it', async t => {
    const { say, bars, log, work } = await following(t);
    say(downloadOf('downloading'));
    assert.deepEqual([bars, log], [[0.25], ['awake prevent-app-suspension']]);
    say(exportOf(1, 'running', { progress: 0.4 }));
    say(queueOf(['j1']));
    work.show();
    assert.deepEqual(bars, [0.25, 0.4, 0, 0]);
    say(queueOf([]));
    say(exportOf(1, 'completed'));
    say(downloadOf('here'));
    t.mock.timers.tick(1000);
    assert.deepEqual([bars.slice(4), log.at(-1)], [[0.4, 0.25, -1], 'asleep 0']);
  });
  test('Windows’ taskbar says what is wrong, and that it is paused', async t => {
    const { say, job, progress, bars } = await following(t, { platform: 'win32' });
    say(queueOf([], { state: 'paused' }));
    assert.deepEqual(bars, [], 'nothing was begun');
    job(jobOf(1));
    progress(1, { seconds: 50, remaining: 50 });
    job(jobOf(1, { status: 'pending' }));
    say(queueOf([], { state: 'held', text: 'the disk is full', waiting: 1 }));
    t.mock.timers.tick(1000);
    say(queueOf([], { state: 'paused', waiting: 1 }));
    say(queueOf([]));
    assert.deepEqual(bars, ['0 normal', '0.5 normal', '0.5 error', '0.5 paused', '-1 none']);
  });
  test('an export that is nearly done is worth waiting for; one that is not, or waits, would begin anew', async t => {
    const { say, work, pass } = await following(t);
    const of = () => work.running().map(({ kind, name, waits, lost }) => `${kind} ${name} ${waits ? 'waits' : lost ? 'lost' : 'goes on'}`);
    say(downloadOf('downloading'));
    say(exportOf(2, 'waiting'));
    say(exportOf(1, 'running', { progress: 0 }));
    assert.deepEqual(of(), ['export Lemon 2 lost', 'export Lemon 1 lost', 'download CogVideoX-2B goes on']);
    pass(10_000);
    say(exportOf(1, 'running', { progress: 0.1 })); // 90 s more
    assert.match(of().join(), /Lemon 1 lost/);
    assert.equal(await Promise.race([work.safePoint().then(() => 'safe'), settle().then(() => 'waits')]), 'safe');
    pass(30_000);
    say(exportOf(1, 'running', { progress: 0.9 })); // 4.4 s more
    assert.match(of().join(), /Lemon 1 waits/);
    let safe = false;
    void work.safePoint().then(() => (safe = true));
    await settle();
    assert.ok(!safe);
    say(exportOf(1, 'completed'));
    await settle();
    assert.ok(safe);
    say({ type: 'restored' });
    assert.deepEqual(of(), [], 'of another owner');
  });
  test('stopping is safe when the painting was kept, when there is nothing to lose, and at once where waiting gains nothing', async t => {
    const { work, job, progress, say } = await following(t);
    const safe = () => {
      let is = false;
      void work.safePoint().then(() => (is = true));
      return async () => {
        await settle();
        return is;
      };
    };
    assert.ok(await safe()(), 'nothing runs');
    job(jobOf(1));
    for (const phase of ['load', 'encode'] as const) {
      progress(1, { phase });
      assert.ok(await safe()(), phase);
    }
    progress(1, { phase: 'denoise', step: 3 });
    let at = safe();
    assert.ok(!(await at()));
    progress(1, { phase: 'denoise', step: 4 });
    job(jobOf(1)); // said for another reason
    assert.ok(!(await at()));
    job(jobOf(1, { snapshotStep: 4 }));
    assert.ok(await at(), 'kept');
    progress(1, { phase: 'decode', remaining: 60 });
    assert.ok(await safe()(), 'a minute of decoding is not waited for');
    progress(1, { phase: 'decode', remaining: 6 });
    at = safe();
    assert.ok(!(await at()));
    job(jobOf(1, { status: 'completed', clipId: 'c1' }));
    assert.ok(await at(), 'the clip is there');
    job(jobOf(2));
    progress(2);
    at = safe();
    assert.ok(!(await at()));
    say(queueOf([]));
    assert.ok(await at(), 'paused');
  });
});

describe('the end', () => {
  function leaving(
    t: TestContext,
    { running = [] as Running[], owner = true, seconds = 20, ask = (): Promise<boolean> => Promise.resolve(true) } = {},
  ) {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const log: string[] = [],
      safe = Promise.withResolvers<unknown>(),
      closed = Promise.withResolvers<unknown>();
    const app = Object.assign(new EventEmitter(), {
      quit: () => {
        log.push('quit');
        before();
      },
      exit: (code?: number) => log.push(`exit ${code ?? 0}`),
    });
    /** @returns whether the app goes on living */
    const before = () => {
      let prevented = false;
      app.emit('before-quit', { preventDefault: () => (prevented = true) });
      return prevented;
    };
    const quit = quitting({
      app: app as unknown as Parameters<typeof quitting>[0]['app'],
      work: { running: () => running, safePoint: () => safe.promise.then(() => undefined) },
      owner: () => owner,
      close: async () => {
        log.push('close');
        await closed.promise;
      },
      abandon: () => log.push('abandon'),
      show: (what, most) => log.push(`show ${what.map(({ name }) => name).join()} ${most}`),
      ask: lost => {
        log.push(`ask ${lost.map(({ name }) => name).join()}`);
        return ask();
      },
      seconds,
    });
    return { log, safe, closed, before, quit };
  }
  const one: Running[] = [{ kind: 'job', id: 'j1', name: 'a toy', part: 0.5, waits: true, lost: false }];
  const lost: Running[] = [{ kind: 'export', id: 'e1', name: 'a film', part: 0.1, waits: false, lost: true }];

  test('waits for a safe point, then for the library, then lets the app quit', async t => {
    const { log, safe, closed, before, quit } = leaving(t, { running: one });
    assert.ok(!quit.begun);
    assert.ok(before(), 'it goes on for now');
    assert.ok(quit.begun);
    await settle();
    assert.deepEqual(log, ['show a toy 20']);
    safe.resolve(0);
    await settle();
    assert.deepEqual(log, ['show a toy 20', 'close']);
    closed.resolve(0);
    await settle();
    assert.deepEqual(log, ['show a toy 20', 'close', 'quit']);
    assert.ok(!before(), 'nothing holds it any more');
    t.mock.timers.tick(60_000);
    assert.deepEqual(log.slice(3), []);
  });
  test('waits for no work but this process’s own', async t => {
    for (const options of [{}, { running: one, owner: false }]) {
      const { log, closed, before } = leaving(t, options);
      before();
      await settle();
      assert.deepEqual(log, ['close']);
      closed.reject(new Error('the disk is gone'));
      await settle();
      assert.deepEqual(log, ['close', 'quit'], 'what goes wrong now holds nobody up');
      t.mock.timers.reset();
    }
  });
  test('leaves the library its seconds, and ends when all are over', async t => {
    const { log, before } = leaving(t, { running: one, seconds: 20 });
    before();
    t.mock.timers.tick(15_999);
    await settle();
    assert.deepEqual(log, ['show a toy 20']);
    t.mock.timers.tick(1);
    await settle();
    assert.deepEqual(log.slice(1), ['close']);
    t.mock.timers.tick(4000);
    assert.deepEqual(log.slice(2), ['abandon', 'exit 0']);
    await settle();
    assert.ok(!before());
    assert.deepEqual(log.slice(4), []);
  });
  test('a second wish ends at once, its echo does not', async t => {
    const { log, before } = leaving(t, { running: one });
    before();
    before();
    t.mock.timers.tick(400);
    before();
    assert.deepEqual(log, ['show a toy 20']);
    t.mock.timers.tick(100);
    assert.ok(before());
    assert.deepEqual(log.slice(1), ['abandon', 'exit 0']);
    await settle();
    t.mock.timers.tick(60_000);
    await settle();
    assert.deepEqual(
      log.slice(3).filter(done => done !== 'close'),
      [],
    );
  });
  test('closing the last window is quitting, and the window stays until it is over', async t => {
    const { log, closed, quit } = leaving(t);
    const close = () => {
      let prevented = false;
      quit.closing({ preventDefault: () => (prevented = true) });
      return prevented;
    };
    assert.ok(close());
    await settle();
    assert.deepEqual(log, ['quit', 'close']);
    closed.resolve(0);
    await settle();
    assert.deepEqual(log, ['quit', 'close', 'quit']);
    assert.ok(!close());
  });
  test('what would begin anew is asked about first: who stays has lost nothing, and can be asked again', async t => {
    let answer = Promise.withResolvers<boolean>();
    const { log, before, quit, closed } = leaving(t, { running: lost, ask: () => answer.promise });
    assert.ok(before() && before(), 'a second wish is no answer');
    assert.deepEqual([log, quit.begun], [['ask a film'], false]);
    answer.resolve(false);
    await settle();
    assert.deepEqual([log, quit.begun], [['ask a film'], false]);
    answer = Promise.withResolvers();
    assert.ok(before());
    answer.resolve(true);
    await settle();
    assert.deepEqual([log, quit.begun], [['ask a film', 'ask a film', 'close'], true], 'nothing is waited for');
    closed.resolve(0);
    await settle();
    assert.equal(log.at(-1), 'quit');
  });
  test('nobody is asked about another one’s exports, nor where asking fails', async t => {
    const other = leaving(t, { running: lost, owner: false });
    other.before();
    await settle();
    assert.deepEqual(other.log, ['close']);
    t.mock.timers.reset();
    const dumb = leaving(t, { running: lost, ask: () => Promise.reject(new Error('no display')) });
    dumb.before();
    await settle();
    assert.deepEqual(dumb.log, ['ask a film', 'close']);
  });
  test('a system that goes down is not held up: no question, no word, and what it gives is all that is taken', async t => {
    const now = leaving(t, { running: one });
    now.quit.end();
    now.quit.end();
    assert.deepEqual(now.log, ['abandon', 'exit 0']);
    t.mock.timers.reset();
    const soon = leaving(t, { running: [...one, ...lost] });
    soon.quit.end(4);
    await settle();
    assert.deepEqual(soon.log, ['close'], 'there is no time for the step');
    t.mock.timers.tick(3999);
    assert.deepEqual(soon.log, ['close']);
    t.mock.timers.tick(1);
    assert.deepEqual(soon.log, ['close', 'abandon', 'exit 0']);
    t.mock.timers.reset();
    const patient = leaving(t, { running: one });
    patient.quit.end(8);
    t.mock.timers.tick(3999);
    await settle();
    assert.deepEqual(patient.log, [], 'half of it is for the step');
    t.mock.timers.tick(1);
    await settle();
    patient.closed.resolve(0);
    await settle();
    assert.deepEqual(patient.log, ['close', 'quit']);
  });
  test('a system that goes down while a person is quitting shortens it, also while they are asked', async t => {
    const { log, before, quit } = leaving(t, { running: one });
    before();
    quit.end(4);
    await settle();
    assert.deepEqual(log, ['show a toy 20', 'close']);
    t.mock.timers.tick(4000);
    assert.deepEqual(log.slice(2), ['abandon', 'exit 0']);
    t.mock.timers.reset();
    const asking = leaving(t, { running: lost, ask: () => new Promise(() => undefined) });
    asking.before();
    asking.quit.end(4);
    await settle();
    assert.deepEqual(asking.log, ['ask a film', 'close']);
  });
  test('its words: in every language, with what they are about', () => {
    for (const language of languages) {
      const { leaving, givesUp, work } = shellWords(language, 'en');
      for (const [clips, exports] of [[1, 0], [3, 0], [0, 1], [0, 2], [2, 2]] as const) assert.match(leaving(clips, exports, 20).body, /20/); // prettier-ignore
      assert.notEqual(leaving(1, 0, 20).body, leaving(1, 1, 20).body);
      assert.match(givesUp(1, 'Lemon').detail, /Lemon/);
      assert.match(givesUp(3, 'Lemon').message, /3/);
      for (const kind of ['ready', 'exported', 'downloaded'] as const) {
        assert.equal(work[kind]('Lemon', 1).body, 'Lemon');
        assert.match(work[kind]('Lemon', 7).title, /7/);
      }
      for (const kind of ['failed', 'exportFailed', 'downloadFailed'] as const)
        assert.match(work[kind]('Lemon', 'no room', 7).body, /Lemon.*no room/);
    }
  });
});

describe('what dies', () => {
  const mended = (more: Partial<MendingOptions> = {}) => {
    const log: string[] = [],
      died = { answer: Promise.withResolvers<'again' | 'quit'>() },
      hangs = { answer: Promise.withResolvers<'again' | 'wait'>(), gone: false };
    const time = { now: 0, leaving: false };
    const page = mending({
      reload: () => log.push('reload'),
      crash: () => log.push('crash'),
      quit: () => log.push('quit'),
      leaving: () => time.leaving,
      askDied: () => (log.push('ask'), died.answer.promise),
      askHangs: signal => {
        log.push('wait?');
        signal.onabort = () => (hangs.gone = true);
        return hangs.answer.promise;
      },
      clock: () => time.now,
      ...more,
    });
    return { page, log, died, hangs, time };
  };
  test('a page comes back unasked once, then as long as somebody wants it', async () => {
    const { page, log, died, time } = mended();
    page.died('clean-exit');
    assert.deepEqual(log, []);
    page.died('crashed');
    time.now += 60_000;
    page.died('oom');
    page.died('crashed'); // while it is asked
    assert.deepEqual(log, ['reload', 'ask']);
    died.answer.resolve('again');
    await settle();
    assert.deepEqual(log, ['reload', 'ask', 'reload']);
    died.answer = Promise.withResolvers();
    page.died('crashed');
    died.answer.resolve('quit');
    await settle();
    assert.deepEqual(log.slice(3), ['ask', 'quit']);
    time.now += 3_600_000;
    page.died('killed');
    assert.equal(log.at(-1), 'reload', 'an accident again');
    time.leaving = true;
    page.died('crashed');
    assert.equal(log.length, 6);
    const lost = mended({ askDied: () => Promise.reject(new Error('no display')) });
    lost.page.died('launch-failed');
    await settle();
    assert.deepEqual(lost.log, ['quit'], 'never for ever');
  });
  test('one that does not answer is waited for, or ended and loaded anew; the question goes when it answers', async () => {
    const { page, log, hangs } = mended();
    page.hangs();
    page.hangs();
    page.answers();
    assert.deepEqual([log, hangs.gone], [['wait?'], true]);
    hangs.answer.resolve('again'); // too late
    await settle();
    assert.deepEqual(log, ['wait?']);
    for (const [answer, then] of [
      ['wait', []],
      ['again', ['crash', 'reload']],
    ] as const) {
      // prettier-ignore
      const next = mended();
      next.page.hangs();
      next.hangs.answer.resolve(answer);
      await settle();
      if (answer === 'again') next.page.died('killed');
      assert.deepEqual(next.log, ['wait?', ...then]);
    }
  });
  test('after three deaths of what draws, the next start draws without the card, for a week or until another version', () => {
    const file = join(folder, 'drawing.json');
    let time = 1e12;
    const begun = (version = '1') => drawing(file, version, () => time);
    const first = begun();
    for (const reason of ['killed', 'clean-exit', 'memory-eviction', 'crashed', 'crashed'] as const) first.died(reason);
    assert.ok(!begun().software);
    time += 3_600_000;
    first.died('crashed'); // the others were long ago
    assert.ok(!begun().software);
    const second = begun();
    second.died('abnormal-exit');
    second.died('launch-failed');
    assert.ok(begun().software && !begun('2').software);
    begun().died('crashed'); // of what draws in software
    time += 6 * 24 * 3_600_000;
    assert.ok(begun().software);
    time += 2 * 24 * 3_600_000;
    assert.ok(!begun().software);
    time -= 90 * 24 * 3_600_000;
    assert.ok(!begun().software, 'a clock that was set back');
    for (const text of ['', '{', '[]', '{"version":"1","at":["x"]}']) {
      writeFileSync(file, text);
      assert.ok(!begun().software);
    }
  });
});

describe('downloads over an end', () => {
  test('one that was under way goes on; not one that was paused, has come or failed, and none while offline', async () => {
    const file = join(folder, 'downloads.json'),
      asked: string[] = [];
    let listener: (event: unknown) => void = () => undefined,
      state = 'begun',
      offline = false;
    const begun = () =>
      keepDownloading(
        {
          call: (method, input) => {
            asked.push(`${method} ${input === undefined ? '' : JSON.stringify(input)}`.trim());
            const network = { offline, endpoint: 'https://huggingface.co/', contacts: [], token: 'none', text: null };
            return Promise.resolve({ value: { downloads: [downloadOf(state).download], network } });
          },
          subscribe: heard => ((listener = heard), () => (listener = () => undefined)),
        },
        file,
      );
    const first = begun();
    await first.goOn();
    assert.deepEqual(asked, [], 'nothing was under way');
    for (const end of ['begun', 'here', 'failed', 'none']) {
      listener(downloadOf('downloading'));
      assert.equal(readFileSync(file, 'utf8'), '["cogvideox-2b"]');
      listener(downloadOf(end));
      assert.ok(!existsSync(file), end);
    }
    listener(downloadOf('listing'));
    first.stop();
    listener(downloadOf('begun')); // its end is ours
    offline = true;
    await begun().goOn();
    offline = false;
    assert.deepEqual(asked.splice(0), ['downloads.list']);
    state = 'none';
    writeFileSync(file, '["cogvideox-2b"]');
    await begun().goOn();
    assert.deepEqual(asked.splice(0), ['downloads.list']);
    state = 'begun';
    writeFileSync(file, '["cogvideox-2b","another"]');
    await begun().goOn();
    assert.deepEqual(asked.splice(0), ['downloads.list', 'downloads.start {"id":"cogvideox-2b"}']);
    for (const text of ['', '{}', '[7]']) {
      writeFileSync(file, text);
      await begun().goOn();
    }
    assert.deepEqual(asked, []);
  });
});

describe('clips that the system hands in', () => {
  const there = (...files: string[]) => ({ cwd: '/home/ada', isFile: (path: string) => files.includes(path) });

  test('paths of files that are there, whole, each once', () => {
    const files = ['/home/ada/a.mp4', '/tmp/B b.MP4', '/tmp/é.mp4'];
    assert.deepEqual(
      clipsIn(['/opt/Protagonist/protagonist', '--flag', '--x=/tmp/é.mp4', '-psn_0_1', 'a.mp4', './a.mp4', '/tmp/../home/ada/a.mp4', '/tmp/B b.MP4', 'file:///tmp/%C3%A9.mp4', 'file://elsewhere/tmp/é.mp4', 'file:///tmp/%00.mp4', 'file:%', '/tmp/none.mp4', '/etc/passwd', '', '.mp4', 'https://a.example/a.mp4', 'a.mp4\0', '/home/ada/a.mp4.exe'], 'linux', there(...files, '/etc/passwd', '/home/ada/a.mp4.exe')),
      ['/home/ada/a.mp4', '/tmp/B b.MP4', '/tmp/é.mp4'],
    ); // prettier-ignore
    assert.deepEqual(clipsIn(['-a.mp4', '--clip=b.mp4', 'c\0.mp4', 'd.mp4'], 'linux', { cwd: '/', isFile: () => true }), ['/d.mp4']);
    assert.deepEqual(clipsIn(['/Users/ada/a.mp4'], 'darwin', there('/Users/ada/a.mp4')), ['/Users/ada/a.mp4']);
  });
  test('on Windows too, and no devices', () => {
    const files = ['C:\\Users\\Ada\\a.mp4', 'D:\\b.mp4', '\\\\server\\share\\c.mp4', '\\\\.\\pipe\\d.mp4', '\\\\?\\C:\\e.mp4'];
    assert.deepEqual(
      clipsIn(['C:\\Programs\\Protagonist.exe', '--allow-file-access-from-files', 'a.mp4', 'd:/b.mp4', 'D:\\b.mp4', ...files.slice(2), '//./pipe/d.mp4', 'file:///C:/Users/Ada/a.mp4'], 'win32', { cwd: 'C:\\Users\\Ada', isFile: path => files.some(f => f.toLowerCase() === path.toLowerCase()) }).map(path => path.toLowerCase()),
      ['c:\\users\\ada\\a.mp4', 'd:\\b.mp4', '\\\\server\\share\\c.mp4'],
    ); // prettier-ignore
  });
  test('real files only, and not without end', () => {
    const file = join(folder, 'real.mp4'),
      odd = join(folder, 'folder.mp4');
    writeFileSync(file, '');
    assert.deepEqual(clipsIn([file, odd, folder, `${file}\0`], 'linux'), [file]);
    assert.deepEqual(clipsIn(['real.mp4'], 'linux', { cwd: folder }), [file]);
    const many = Array.from({ length: 1000 }, (_, i) => `/${i}.mp4`);
    assert.equal(clipsIn(many, 'linux', { isFile: () => true }).length, 100);
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), fc.constantFrom(...platforms), (argv, platform) => {
        for (const path of clipsIn(argv.map(a => `${a}.mp4`), platform, { cwd: platform === 'win32' ? 'C:\\x' : '/x', isFile: () => true }))
          assert.match(path, platform === 'win32' ? /^(?:[a-z]:|\\\\)/i : /^\//);
      }),
      { numRuns: 2000 },
    ); // prettier-ignore
  });
});
