/** @file What the system is shown of the queue's work: progress in the taskbar, a machine that stays awake, a word when a clip is ready, an end that waits for a safe point; and the clips that the system hands in. */
import { statSync } from 'node:fs';
import { posix, win32 } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { App, BrowserWindow, Event, Notification, NotificationConstructorOptions, PowerSaveBlocker } from 'electron';
import { z } from 'zod';
import { event as eventSchema, queueState } from '../contract/events.ts';
import { job as jobSchema, type Job, type Progress } from '../contract/records.ts';
import type { Transport } from '../contract/rpc.ts';
import { bringForward } from './window.ts';

/** A sentence for the system's notification, and what stands above it. */
export interface Said {
  readonly title: string;
  readonly body: string;
}
export interface WorkWords {
  /** @param name what the clip is of
   * @param clips ready since somebody last looked, this one among them */
  ready(name: string, clips: number): Said;
  /** @param why the host's sentence
   * @param jobs failed since somebody last looked, this one among them */
  failed(name: string, why: string, jobs: number): Said;
}

type Shown = Pick<BrowserWindow, 'setProgressBar' | 'isFocused' | 'isDestroyed' | 'isMinimized' | 'restore' | 'show' | 'focus'>;
/** Electron's `Notification`, the class. */
export interface Notifications {
  new (options: NotificationConstructorOptions): Pick<Notification, 'on' | 'show' | 'close'>;
  isSupported(): boolean;
}

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
  readonly go: (to: `#/${string}` | 'queue') => void;
}

/** A job that is worked on now. */
export interface Running {
  readonly id: string;
  /** What it is of, in a few words. */
  readonly name: string;
  /** 0 to 1 of the whole job where that is known, else of its phase. */
  readonly part: number;
}
export interface Work {
  running(): readonly Running[];
  /** Resolves as soon as stopping would lose nothing that can be waited for: after the step that is being painted, with the clip where that is nearly done, else at once. */
  safePoint(): Promise<void>;
  /** Shows nothing more and lets the machine sleep. */
  stop(): void;
}

/** Milliseconds without a job after which nothing is running: between two of them there is a moment of none. */
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

/** Follows the studio's events until it is stopped. */
export function followWork({ transport, app, window, powerSaveBlocker, Notification, words, go }: WorkOptions): Work {
  const running = new Map<string, { job?: Job; progress?: Progress }>(),
    waiting = new Set<() => void>(), // for a safe point
    told = new Map<'ready' | 'failed', { count: number; notification: Pick<Notification, 'close'> }>();
  let blocker: number | undefined,
    bar = -1,
    idle: NodeJS.Timeout | undefined,
    stopped = false;

  const there = (): Shown | undefined => {
    const now = window();
    return now?.isDestroyed() ? undefined : now;
  };
  const showBar = (part: number) => {
    const rounded = part < 0 ? -1 : Math.round(part * 200) / 200; // the taskbar has no more points
    if (rounded === bar) return;
    bar = rounded;
    there()?.setProgressBar(rounded);
  };
  const rest = () => {
    idle = undefined;
    showBar(-1);
    if (blocker !== undefined) powerSaveBlocker.stop(blocker);
    blocker = undefined;
  };
  /** Whether stopping now would lose what can be waited for. */
  const loses = ({ job, progress }: { job?: Job; progress?: Progress }) => {
    const { phase, remaining } = progress ?? job?.progress ?? {};
    return phase === 'denoise' || ((phase === 'decode' || phase === 'export') && typeof remaining === 'number' && remaining < nearly);
  };
  const update = () => {
    const [first] = running.values();
    if (first) {
      clearTimeout(idle);
      idle = undefined;
      blocker ??= powerSaveBlocker.start('prevent-app-suspension');
      showBar(partOf(first.job, first.progress ?? first.job?.progress));
    } else if (blocker !== undefined) idle ??= setTimeout(rest, idleAfter);
    if (![...running.values()].some(loses)) for (const safe of waiting) safe();
  };

  const forget = () => {
    for (const { notification } of told.values()) notification.close();
    told.clear();
  };
  /** One of a kind at a time: a night's work is one sentence in the morning. */
  const tell = (kind: 'ready' | 'failed', to: Parameters<WorkOptions['go']>[0], say: (count: number) => Said) => {
    const now = there();
    if (now?.isFocused() || !Notification.isSupported()) return;
    const before = told.get(kind),
      count = (before?.count ?? 0) + 1,
      notification = new Notification({ ...say(count) });
    before?.notification.close();
    told.set(kind, { count, notification }); // kept: one that is collected can no longer be clicked
    notification.on('click', () => {
      const now = there();
      if (now) bringForward(now);
      go(to);
    });
    notification.show();
  };

  const onJob = (job: Job) => {
    const known = running.get(job.id);
    if (job.status === 'inProgress') {
      // the painting has been kept up to here: this is the moment to stop
      if (known?.job && known.job.snapshotStep !== job.snapshotStep) for (const safe of waiting) safe();
      running.set(job.id, { ...known, job });
    } else {
      running.delete(job.id);
      if (known && job.status === 'completed')
        tell('ready', job.clipId === null ? '#/library' : `#/library/${job.clipId}`, n => words().ready(nameOf(job), n));
      if (known && job.status === 'failed') tell('failed', 'queue', n => words().failed(nameOf(job), job.failure?.text ?? '', n));
    }
    update();
  };
  /** Asks what runs now: of what was going on before, no event comes. */
  const ask = async () => {
    const [state, jobs] = await Promise.all([
      transport.call('queue.state', undefined),
      transport.call('jobs.list', { status: ['inProgress'], limit: 100 }),
    ]);
    if (stopped || 'error' in state || 'error' in jobs) return; // an event will come where something runs
    const list = z.object({ jobs: z.array(jobSchema) }).safeParse(jobs.value).data?.jobs ?? [];
    const ids = queueState.safeParse(state.value).data?.running ?? [];
    for (const id of running.keys()) if (!ids.some(i => i === id)) running.delete(id);
    for (const job of list) if (job.status === 'inProgress') running.set(job.id, { ...running.get(job.id), job });
    update();
  };
  const stop = transport.subscribe(said => {
    const happened = eventSchema.safeParse(said).data;
    switch (happened?.type) {
      case 'job':
        return onJob(happened.job);
      case 'progress':
        running.set(happened.jobId, { ...running.get(happened.jobId), progress: happened.progress });
        return update();
      case 'queue': {
        const ids: readonly string[] = happened.queue.running;
        for (const id of running.keys()) if (!ids.includes(id)) running.delete(id);
        for (const id of ids) if (!running.has(id)) running.set(id, {});
        return update();
      }
      case 'restored':
        return void ask();
    }
  });
  app.on('browser-window-focus', forget);
  void ask();

  return {
    running: () =>
      [...running].map(([id, { job, progress }]) => ({
        id,
        name: job ? nameOf(job) : '',
        part: partOf(job, progress ?? job?.progress),
      })),
    safePoint: () => {
      if (stopped || ![...running.values()].some(loses)) return Promise.resolve();
      return new Promise(resolve => {
        const safe = () => {
          waiting.delete(safe);
          resolve();
        };
        waiting.add(safe);
      });
    },
    stop: () => {
      if (stopped) return;
      stopped = true;
      stop();
      app.off('browser-window-focus', forget);
      forget();
      clearTimeout(idle);
      rest();
      running.clear();
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
  readonly show: (running: readonly Running[], seconds: number) => void;
  /** The longest that an end may take. */
  readonly seconds?: number;
}
export interface Quit {
  /** Whether the end has begun. */
  readonly begun: boolean;
  /** For the `close` event of a window whose end is the program's: it stays until what it shows is over. */
  closing(event: Pick<Event, 'preventDefault'>): void;
  /** Ends at once: the system is going down. */
  end(): void;
}

/** Of those seconds, the last ones are for the library, which gives back what runs and puts its files in order. */
const forClosing = 4;
/** Milliseconds in which a second wish is the first one's echo: a click that was a double click. */
const echo = 500;

/** Makes quitting wait: for the step that is being painted, so that nothing of it is lost, then for the library. A second wish, or the last of the seconds, ends everything at once; the library takes no harm by that. */
export function quitting({ app, work, owner, close, abandon, show, seconds = 20 }: QuitOptions): Quit {
  let state: 'living' | 'leaving' | 'over' = 'living',
    echoing = false,
    late: NodeJS.Timeout | undefined;
  const end = () => {
    if (state === 'over') return;
    state = 'over';
    clearTimeout(late);
    abandon();
    app.exit(0);
  };
  const leave = async () => {
    state = 'leaving';
    echoing = true;
    setTimeout(() => (echoing = false), echo).unref();
    late = setTimeout(end, seconds * 1000);
    const running = owner() ? work.running() : [];
    if (running.length > 0) {
      try {
        show(running, seconds);
      } catch {
        // an end that cannot be told of is one all the same
      }
      const enough = Promise.withResolvers<unknown>(),
        timer = setTimeout(enough.resolve, Math.max(0, seconds - forClosing) * 1000);
      await Promise.race([work.safePoint(), enough.promise]);
      clearTimeout(timer);
    }
    await close().catch(() => undefined); // there is nobody left to tell
    if (!over()) {
      state = 'over';
      clearTimeout(late);
      app.quit();
    }
  };
  const over = () => state === 'over';
  const asked = (event: Pick<Event, 'preventDefault'>) => {
    if (over()) return; // the second round: windows close, and that is all
    event.preventDefault();
    if (state === 'living') void leave();
    else if (!echoing) end();
  };
  app.on('before-quit', asked);
  return {
    get begun() {
      return state !== 'living';
    },
    closing: event => {
      if (over()) return;
      event.preventDefault();
      app.quit();
    },
    end,
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
