/** @file What the system is shown of the work: progress in the taskbar, a machine that stays awake, a word when something is done or goes wrong, an end that waits for a safe point; and the clips that the system hands in. */
import { statSync } from 'node:fs';
import { posix, win32 } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { App, BrowserWindow, Event, PowerSaveBlocker } from 'electron';
import { z } from 'zod';
import { event as eventSchema, queueState, type QueueState } from '../contract/events.ts';
import { job as jobSchema, type Download, type Exported, type Job, type Progress } from '../contract/records.ts';
import type { Reply, Transport } from '../contract/rpc.ts';
import { notices, type NoticePlace, type Notifications, type Said } from './notices.ts';

/** Of what is counted: since somebody last looked, this one among them. */
export interface WorkWords {
  /** @param name what the clip is of */
  ready(name: string, clips: number): Said;
  /** @param why the host's sentence */
  failed(name: string, why: string, jobs: number): Said;
  /** @param why the host's sentence */
  held(why: string): Said;
  exported(name: string, exports: number): Said;
  exportFailed(name: string, why: string, exports: number): Said;
  downloaded(name: string, checkpoints: number): Said;
  downloadFailed(name: string, why: string, checkpoints: number): Said;
}

type Shown = Pick<BrowserWindow, 'setProgressBar' | 'isFocused' | 'isDestroyed'>;

export interface WorkOptions {
  /** The library's. */
  readonly transport: Pick<Transport, 'call' | 'subscribe'>;
  readonly app: Pick<App, 'on' | 'off'>;
  /** The window that is there now. */
  readonly window: () => Shown | undefined;
  readonly powerSaveBlocker: Pick<PowerSaveBlocker, 'start' | 'stop'>;
  readonly Notification: Notifications;
  /** In the language that is spoken now. */
  readonly words: () => WorkWords;
  /** Takes the window to a place, or opens the queue in it; makes one where none is there. */
  readonly go: (to: NoticePlace) => void;
  readonly platform?: NodeJS.Platform;
  /** Milliseconds of a clock that only goes forwards. */
  readonly clock?: () => number;
}

/** What is worked on now. */
export interface Running {
  readonly kind: 'job' | 'export' | 'download';
  readonly id: string;
  /** What it is of, in a few words. */
  readonly name: string;
  /** 0 to 1 of all of it where that is known, else of its phase. */
  readonly part: number;
  /** Stopping now would lose something that is soon there. */
  readonly waits: boolean;
  /** It would begin anew, and is not soon done. */
  readonly lost: boolean;
}
export interface Work {
  /** Also the exports that wait for their turn: nobody takes them up at the next start. */
  running(): readonly Running[];
  /** Resolves as soon as stopping would lose nothing that can be waited for: after the step that is being painted, with the clip or the export where that is nearly done, else at once. */
  safePoint(): Promise<void>;
  /** Shows all of it once more: the window is another one. */
  show(): void;
  /** Shows nothing more and lets the machine sleep. */
  stop(): void;
}

/** Milliseconds without work after which nothing is running: between two jobs there is a moment of none. */
const idleAfter = 1000;
/** Seconds of decoding and writing that are waited for: they begin anew where they are cut off, so a longer rest is as well cut off now. */
const nearly = 10;

/** A job in a few words. */
function nameOf({ request }: Job): string {
  const line = request.prompt.trim().replaceAll(/\s+/g, ' '),
    letters = Array.from(line);
  return letters.length > 60 ? `${letters.slice(0, 59).join('')}…` : line;
}
/** As the window shows it. */
function partOf(job: Job | undefined, progress: Progress | null | undefined): number {
  if (!progress) return 0;
  const { seconds, remaining, step, of } = progress,
    whole = job?.forecast.seconds ?? null;
  const part = whole !== null ? seconds / (seconds + Math.max(1, whole - seconds, remaining ?? 0)) : of > 0 ? Math.min(step, of) / of : 0;
  return Math.min(0.99, part);
}

/** What is known of a job that runs. */
interface RunningJob {
  readonly job?: Job;
  readonly progress?: Progress;
}
/** An export on its way, and where it was when it was first seen. */
interface RunningExport {
  readonly now: Exported;
  readonly at: number;
  readonly from: number;
}

/** Follows the studio's events until it is stopped. */
export function followWork(options: WorkOptions): Work {
  const { transport, app, window, powerSaveBlocker, Notification, words, go } = options,
    { platform = process.platform, clock = () => performance.now() } = options;
  const jobs = new Map<string, RunningJob>(),
    exports = new Map<string, RunningExport>(),
    downloads = new Map<string, Download>(),
    waiting = new Set<() => void>(); // for a safe point
  let queue: QueueState | undefined,
    blocker: number | undefined,
    bar = '',
    painted = 0, // of the job that was seen last
    idle: NodeJS.Timeout | undefined,
    stopped = false;

  const there = (): Shown | undefined => {
    const now = window();
    return now?.isDestroyed() ? undefined : now;
  };
  const told = notices({ window: there, Notification, go });
  const tell: typeof told.tell = (...what) => {
    if (!stopped) told.tell(...what);
  };

  // What would be lost

  const jobWaits = ({ job, progress }: RunningJob) => {
    const { phase, remaining } = progress ?? job?.progress ?? {};
    return phase === 'denoise' || ((phase === 'decode' || phase === 'export') && typeof remaining === 'number' && remaining < nearly);
  };
  const exportWaits = ({ now: { status, progress }, at, from }: RunningExport) => {
    if (status !== 'running' || progress === null || progress <= from) return false;
    return ((1 - progress) / (progress - from)) * (clock() - at) < nearly * 1000;
  };
  const anyWaits = () => [...jobs.values()].some(jobWaits) || [...exports.values()].some(exportWaits);

  // What is seen

  const busy = () => jobs.size > 0 || exports.size > 0 || downloads.size > 0;
  const barNow = (): readonly [part: number, mode: 'normal' | 'error' | 'paused' | 'none'] => {
    const [job] = jobs.values(),
      exporting = [...exports.values()].find(({ now }) => now.status === 'running')?.now,
      [download] = downloads.values(),
      modes = platform === 'win32'; // elsewhere a bar that stands still looks like one that hangs
    if (job) return [(painted = partOf(job.job, job.progress ?? job.job?.progress)), 'normal'];
    if (modes && queue?.state === 'held') return [painted || 1, 'error'];
    if (exporting) return [exporting.progress ?? 0, 'normal'];
    if (download) return [download.bytes > 0 ? Math.min(0.99, download.have / download.bytes) : 0, 'normal'];
    if (modes && queue?.state === 'paused' && painted > 0) return [painted, 'paused'];
    return [-1, 'none'];
  };
  const draw = ([part, mode] = barNow()) => {
    const rounded = part < 0 ? -1 : Math.round(part * 200) / 200, // the taskbar has no more points
      next = `${rounded} ${mode}`;
    if (next === bar || (bar === '' && mode === 'none')) return;
    bar = next;
    if (platform === 'win32') there()?.setProgressBar(rounded, { mode });
    else there()?.setProgressBar(rounded);
  };
  const rest = () => {
    idle = undefined;
    draw(stopped ? [-1, 'none'] : undefined);
    if (blocker !== undefined) powerSaveBlocker.stop(blocker);
    blocker = undefined;
  };
  const update = () => {
    if (busy()) {
      clearTimeout(idle);
      idle = undefined;
      blocker ??= powerSaveBlocker.start('prevent-app-suspension');
      draw();
    } else if (blocker !== undefined) idle ??= setTimeout(rest, idleAfter);
    else draw();
    if (!anyWaits()) for (const safe of waiting) safe();
  };

  // What happens

  const onJob = (job: Job) => {
    const known = jobs.get(job.id);
    if (job.status === 'inProgress') {
      // the painting has been kept up to here: this is the moment to stop
      if (known?.job && known.job.snapshotStep !== job.snapshotStep) for (const safe of waiting) safe();
      jobs.set(job.id, { ...known, job });
    } else {
      jobs.delete(job.id);
      if (job.status !== 'paused' && job.status !== 'pending') painted = 0;
      if (known && job.status === 'completed')
        tell('ready', job.clipId === null ? '#/library' : `#/library/${job.clipId}`, n => words().ready(nameOf(job), n));
      if (known && job.status === 'failed') tell('failed', 'queue', n => words().failed(nameOf(job), job.failure?.text ?? '', n));
    }
    update();
  };
  const onExport = (now: Exported) => {
    const { id, status, name, failure } = now,
      known = exports.get(id),
      to = `#/library/${now.clipId ?? now.order.clips[0] ?? ''}` as const;
    if (status === 'waiting' || status === 'running') {
      const begins = known?.now.status !== 'running';
      exports.set(id, { now, ...(begins ? { at: clock(), from: now.progress ?? 0 } : { at: known.at, from: known.from }) });
    } else {
      exports.delete(id);
      if (known && status === 'completed') tell('exported', to, n => words().exported(name, n));
      if (known && status === 'failed') tell('exportFailed', to, n => words().exportFailed(name, failure?.text ?? '', n));
    }
    update();
  };
  const onDownload = (now: Download) => {
    const { id, state, name, failure } = now,
      known = downloads.has(id);
    if (state === 'listing' || state === 'downloading') downloads.set(id, now);
    else {
      downloads.delete(id);
      if (known && state === 'here') tell('downloaded', '#/settings/models', n => words().downloaded(name, n));
      if (known && state === 'failed')
        tell('downloadFailed', '#/settings/models', n => words().downloadFailed(name, failure?.text ?? '', n));
    }
    update();
  };
  const onQueue = (now: QueueState) => {
    const { state, text } = now,
      before = queue?.state,
      running: readonly string[] = now.running;
    queue = now;
    for (const id of jobs.keys()) if (!running.includes(id)) jobs.delete(id);
    for (const id of running) if (!jobs.has(id)) jobs.set(id, {});
    if (state === 'held' && before !== 'held') tell('held', 'queue', () => words().held(text ?? ''));
    if (state !== 'held') told.close('held'); // it goes on by itself
    if (state === 'idle') painted = 0;
    update();
  };
  /** Asks what runs now: of what was going on before, no event comes. Exports and downloads speak of themselves several times a second. */
  const ask = async () => {
    const [state, running] = await Promise.all([
      transport.call('queue.state', undefined),
      transport.call('jobs.list', { status: ['inProgress'], limit: 100 }),
    ]);
    if (stopped) return;
    // of what was not answered an event will come where something runs
    const found = <S extends z.ZodType>(reply: Reply, schema: S) => ('error' in reply ? undefined : schema.safeParse(reply.value).data);
    const now = found(state, queueState);
    for (const job of found(running, z.object({ jobs: z.array(jobSchema) }))?.jobs ?? [])
      if (job.status === 'inProgress') jobs.set(job.id, { ...jobs.get(job.id), job });
    if (now) onQueue(now);
  };
  const stop = transport.subscribe(said => {
    const happened = eventSchema.safeParse(said).data;
    switch (happened?.type) {
      case 'job':
        return onJob(happened.job);
      case 'export':
        return onExport(happened.export);
      case 'download':
        return onDownload(happened.download);
      case 'progress':
        jobs.set(happened.jobId, { ...jobs.get(happened.jobId), progress: happened.progress });
        return update();
      case 'queue':
        return onQueue(happened.queue);
      case 'restored':
        for (const each of [exports, downloads]) each.clear(); // of another library, or another owner
        return void ask();
    }
  });
  const forget = () => told.forget();
  app.on('browser-window-focus', forget);
  void ask();

  return {
    running: () => [
      ...[...jobs].map(([id, known]): Running => {
        const { job, progress } = known;
        return { kind: 'job', id, name: job ? nameOf(job) : '', part: partOf(job, progress ?? job?.progress), waits: jobWaits(known), lost: false }; // prettier-ignore
      }),
      ...[...exports].map(([id, known]): Running => {
        const waits = exportWaits(known);
        return { kind: 'export', id, name: known.now.name, part: known.now.progress ?? 0, waits, lost: !waits };
      }),
      ...[...downloads].map(([id, { name, have, bytes }]): Running => {
        return { kind: 'download', id, name, part: bytes > 0 ? have / bytes : 0, waits: false, lost: false };
      }),
    ],
    safePoint: () => {
      if (stopped || !anyWaits()) return Promise.resolve();
      return new Promise(resolve => {
        const safe = () => {
          waiting.delete(safe);
          resolve();
        };
        waiting.add(safe);
      });
    },
    show: () => {
      bar = '';
      draw();
    },
    stop: () => {
      if (stopped) return;
      stopped = true;
      stop();
      app.off('browser-window-focus', forget);
      forget();
      clearTimeout(idle);
      for (const each of [jobs, exports, downloads]) each.clear();
      rest();
      for (const safe of waiting) safe();
    },
  };
}

// The end

export interface QuitOptions {
  readonly app: Pick<App, 'on' | 'off' | 'quit' | 'exit'>;
  readonly work: Pick<Work, 'running' | 'safePoint'>;
  /** Whether it is this process that works: another one's work does not end with this. */
  readonly owner: () => boolean;
  /** Closes the library: what runs is given back and goes on at the next start. */
  readonly close: () => Promise<void>;
  /** Called right before a hard end: ends what would outlive this process. Must not wait. */
  readonly abandon: () => void;
  /** Tells the person what is waited for, and for how many seconds at most. */
  readonly show: (waited: readonly Running[], seconds: number) => void;
  /** Asks the person whether to end although these begin anew then.
   * @returns whether to end */
  readonly ask: (lost: readonly Running[]) => Promise<boolean>;
  /** The longest that an end may take. */
  readonly seconds?: number;
}
export interface Quit {
  /** Whether the end has begun. */
  readonly begun: boolean;
  /** For the `close` event of a window whose end is the program's: it stays until what it shows is over. */
  closing(event: Pick<Event, 'preventDefault'>): void;
  /** Ends unasked, within so many seconds; 0 is at once. For a system that goes down. */
  end(seconds?: number): void;
}

/** Of those seconds, the last ones are for the library, which gives back what runs and puts its files in order. */
const forClosing = 4;
/** Milliseconds in which a second wish is the first one's echo: a click that was a double click. */
const echo = 500;
/** Seconds that systems give, and that are then taken: Windows ends a program that does not answer after 5, systemd delays a shutdown by 5. */
export const whenGoingDown = 4;
/** Seconds after a signal: a service manager follows it with SIGKILL after 10 or more. */
export const whenSignaled = 8;

/** Makes quitting wait: for the step that is being painted and for what is nearly done, so that nothing of it is lost, then for the library. What would begin anew is asked about first. A second wish, or the last of the seconds, ends everything at once; the library takes no harm by that. */
export function quitting({ app, work, owner, close, abandon, show, ask, seconds: most = 20 }: QuitOptions): Quit {
  let state: 'living' | 'asking' | 'leaving' | 'over' = 'living',
    echoing = false,
    enough: (() => void) | undefined, // of waiting for a safe point
    late: NodeJS.Timeout | undefined;
  const is = (now: typeof state) => state === now;
  const hard = () => {
    if (is('over')) return;
    state = 'over';
    clearTimeout(late);
    abandon();
    app.exit(0);
  };
  const mine = () => (owner() ? work.running() : []);
  const leave = async (seconds: number, told: boolean) => {
    state = 'leaving';
    echoing = true;
    setTimeout(() => (echoing = false), echo).unref();
    late = setTimeout(hard, seconds * 1000);
    const waited = seconds > forClosing ? mine().filter(({ waits }) => waits) : [];
    if (waited.length > 0) {
      try {
        if (told) show(waited, seconds);
      } catch {
        // an end that cannot be told of is one all the same
      }
      const patient = Promise.withResolvers<undefined>();
      enough = () => patient.resolve(undefined);
      const timer = setTimeout(enough, (seconds - forClosing) * 1000);
      await Promise.race([work.safePoint(), patient.promise]);
      clearTimeout(timer);
    }
    await close().catch(() => undefined); // there is nobody left to tell
    if (is('over')) return;
    state = 'over';
    clearTimeout(late);
    app.quit();
  };
  const wish = async () => {
    const lost = mine().filter(one => one.lost);
    if (lost.length > 0) {
      state = 'asking';
      const yes = await ask(lost).catch(() => true); // who cannot be asked wanted to quit
      if (!is('asking')) return; // it has ended meanwhile
      state = 'living';
      if (!yes) return;
    }
    await leave(most, true);
  };
  const asked = (event: Pick<Event, 'preventDefault'>) => {
    if (is('over')) return; // the second round: windows close, and that is all
    event.preventDefault();
    if (is('living')) void wish();
    else if (is('leaving') && !echoing) hard();
  };
  app.on('before-quit', asked);
  return {
    get begun() {
      return state === 'leaving' || state === 'over';
    },
    closing: event => {
      if (is('over')) return;
      event.preventDefault();
      app.quit();
    },
    end: (seconds = 0) => {
      if (seconds <= 0) return hard();
      if (is('over')) return;
      if (!is('leaving')) return void leave(seconds, false);
      clearTimeout(late); // less is left than was thought
      late = setTimeout(hard, seconds * 1000);
      if (seconds <= forClosing) enough?.();
    },
  };
}

// What the system hands in

export interface HandedIn {
  /** Where a path that is not whole begins. */
  readonly cwd?: string;
  readonly isFile?: (path: string) => boolean;
}
const isFileHere = (path: string): boolean => {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
};
/** Files of one drop that are taken; a whole folder's worth is nobody's wish. */
const mostClips = 100;

/** The clip files among a command line's arguments, or among what `open-file` gives: whole paths, each once. Flags, the program itself and whatever is not there are left out. Another process has written this: nothing of it is believed. */
export function clipsIn(
  argv: readonly string[],
  platform: NodeJS.Platform,
  { cwd = process.cwd(), isFile = isFileHere }: HandedIn = {},
): readonly string[] {
  const windows = platform === 'win32',
    path = windows ? win32 : posix,
    found = new Map<string, string>();
  for (const argument of argv) {
    if (found.size === mostClips) break;
    if (argument.startsWith('-') || argument.length > 32_767) continue;
    let file = argument;
    // some desktops hand in addresses
    if (/^file:/i.test(argument))
      try {
        file = fileURLToPath(argument, { windows });
      } catch {
        continue;
      }
    if (!/\.mp4$/i.test(file) || file.includes('\0') || (windows && /^[\\/]{2}[.?][\\/]/.test(file))) continue; // a device is no file
    const whole = path.resolve(cwd, file);
    const known = windows ? whole.toLowerCase() : whole;
    if (!found.has(known) && isFile(whole)) found.set(known, whole);
  }
  return [...found.values()];
}
