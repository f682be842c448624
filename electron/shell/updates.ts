/**
 * @file When the desktop app looks for a newer one, and when not: never offline, never while something is made, exported or downloaded, never
 * unasked unless a person wants it once a day; and nothing is installed but at the end, with a person's yes. What may be installed at all is
 * `feed.ts`; who replaces the program is `updater.ts`. Loaded only where the switch is on.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type { Dialog, MenuItemConstructorOptions } from 'electron';
import { z } from 'zod';
import { api } from '../contract/api.ts';
import { event as studioEvent } from '../contract/events.ts';
import { client, type Transport } from '../contract/rpc.ts';
import type { UpdatesSwitch } from '../contract/updates.ts';
import { writeDurably } from '../media/files.ts';
import { openUpdates, type Reply } from '../studio/network.ts';
import {
  checkCurrent,
  feedName,
  mostFeed,
  mostSignature,
  offerFor,
  readFeed,
  signatureName,
  UpdateRefused,
  type Kind,
  type Offer,
} from './feed.ts';
import { updateWords } from './update-words.ts';
import type { Language } from './words.ts';

// How it was installed

/** How this program came onto the machine; undefined where that is no package of ours, which then nothing may replace.
 * @param resources the folder of the package's resources */
export function packageKind({
  platform,
  packaged,
  resources,
  env,
}: {
  readonly platform: NodeJS.Platform;
  readonly packaged: boolean;
  readonly resources: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}): Kind | undefined {
  if (!packaged) return undefined;
  if (platform === 'win32') return 'nsis';
  if (platform === 'darwin') return 'mac';
  if (platform !== 'linux') return undefined;
  try {
    if (readFileSync(join(resources, 'package-type'), 'utf8').trim() === 'deb') return 'deb';
  } catch {
    // only packages of the system have it
  }
  const { APPIMAGE: file = '', APPDIR: mounted = '' } = env;
  // started by another AppImage, we would replace that one
  const inside = posix.isAbsolute(mounted) && posix.normalize(resources).startsWith(`${posix.normalize(mounted).replace(/\/$/, '')}/`);
  return posix.isAbsolute(file) && inside ? 'AppImage' : undefined;
}

// What is remembered

const memorySchema = z.object({
  /** Where this machine stands in roll-outs: random, never sent. */
  machine: z.string().regex(/^[0-9a-f]{32}$/),
  seen: z.object({ serial: z.int().min(1), digest: z.string().regex(/^[0-9a-f]{64}$/) }).optional(),
  /** When a feed was last asked for, in milliseconds since 1970. */
  asked: z.number().optional(),
});
export type Memory = z.infer<typeof memorySchema>;

/** What is remembered in a file; a new machine where there is none, or one that cannot be understood. */
export function recall(file: string): Memory {
  try {
    return memorySchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return { machine: randomBytes(16).toString('hex') };
  }
}

const day = 86_400_000;
/** Whether the day's look is due. A clock that was set back does not put it off. */
export const isDue = (asked: number | undefined, now: number): boolean => asked === undefined || asked > now || now - asked >= day;

// Whether it may

/** What goes on in the library. */
export interface Standing {
  readonly offline: boolean;
  /** Jobs. */
  readonly waiting: number;
  readonly running: number;
  readonly exports: number;
  readonly downloads: number;
}
const some = (n: number, one: string, many: string) => `${n} ${n === 1 ? one : many}`;

/** Why nothing of updates may happen now; undefined where it may. */
export function hindrance({ offline, waiting, running, exports, downloads }: Standing): string | undefined {
  if (offline) return 'The offline switch is on, so nothing was contacted: switch it off in the settings to look for updates.';
  const busy = [
    ...(running > 0 ? [some(running, 'clip is being made', 'clips are being made')] : []),
    ...(waiting > 0 ? [some(waiting, 'clip waits', 'clips wait')] : []),
    ...(exports > 0 ? [some(exports, 'export is under way', 'exports are under way')] : []),
    ...(downloads > 0 ? [some(downloads, 'checkpoint is being downloaded', 'checkpoints are being downloaded')] : []),
  ];
  return busy.length === 0 ? undefined : `Not now, since ${busy.join(', ')}: try again when that is done.`;
}

/** Asks a library what goes on in it. @throws StudioError where it does not answer */
export async function standingOf(transport: Transport): Promise<Standing & { readonly daily: boolean }> {
  const { settings, queue, jobs, exports, downloads } = client(api, transport);
  const [set, state, open, out, coming] = await Promise.all([
    settings.show({}),
    queue.state({}),
    jobs.list({ status: ['pending', 'inProgress'], limit: 500 }),
    exports.list({ limit: 500 }),
    downloads.list({}),
  ]);
  const of = (status: string) => open.jobs.filter(job => job.status === status).length;
  return {
    offline: set.offline,
    daily: set.dailyUpdates,
    waiting: Math.max(state.waiting, of('pending')),
    running: Math.max(state.running.length, of('inProgress')),
    exports: out.exports.filter(({ status }) => status === 'waiting' || status === 'running').length,
    downloads: coming.downloads.filter(d => d.state === 'listing' || d.state === 'downloading').length,
  };
}

// Where it stands

export type State =
  | { readonly at: 'idle' }
  | { readonly at: 'checking' }
  | { readonly at: 'available'; readonly offer: Offer }
  | { readonly at: 'downloading'; readonly offer: Offer; readonly have: number }
  /** `agreed`: a person wants it installed when the program ends. */
  | { readonly at: 'ready'; readonly offer: Offer; readonly agreed: boolean }
  | { readonly at: 'installing'; readonly offer: Offer };
export type Happening =
  | { readonly is: 'check' | 'nothing' | 'download' | 'done' | 'agree' | 'decline' | 'install' | 'failed' }
  | { readonly is: 'found'; readonly offer: Offer }
  | { readonly is: 'came'; readonly have: number };

/** Where it stands after something has happened; undefined where that cannot happen there. */
export function step(state: State, happening: Happening): State | undefined {
  const { is } = happening;
  switch (state.at) {
    case 'idle':
      return is === 'check' ? { at: 'checking' } : undefined;
    case 'checking':
      if (is === 'found') return { at: 'available', offer: happening.offer };
      return is === 'nothing' || is === 'failed' ? { at: 'idle' } : undefined;
    case 'available':
      if (is === 'check') return { at: 'checking' };
      return is === 'download' ? { at: 'downloading', offer: state.offer, have: 0 } : undefined;
    case 'downloading':
      if (is === 'came') return { ...state, have: happening.have };
      if (is === 'done') return { at: 'ready', offer: state.offer, agreed: false };
      return is === 'failed' ? { at: 'available', offer: state.offer } : undefined;
    case 'ready':
      if (is === 'agree' || is === 'decline') return { ...state, agreed: is === 'agree' };
      if (is === 'install') return state.agreed ? { at: 'installing', offer: state.offer } : undefined;
      return is === 'failed' ? { at: 'idle' } : undefined;
    case 'installing':
      return is === 'failed' ? { at: 'idle' } : undefined;
  }
}

// What comes over the network

/** GETs a file of the feed's folder. */
export type Get = (name: string, signal: AbortSignal) => Promise<Pick<Reply, 'status' | 'body' | 'close'>>;

async function asked(get: Get, name: string, signal: AbortSignal): ReturnType<Get> {
  const reply = await get(name, signal);
  if (reply.status === 200) return reply;
  reply.close();
  throw new UpdateRefused(`${name} cannot be had: the server answers ${reply.status}: try again later`);
}

/** A small file, whole. @throws UpdateRefused where it is larger than `most` bytes; NetworkError */
export async function fetchSmall(get: Get, name: string, most: number, signal: AbortSignal): Promise<Buffer> {
  const { body } = await asked(get, name, signal),
    pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > most) throw new UpdateRefused(`${name} is larger than ${most} bytes, so it was not read`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

const altered = ({ file }: Pick<Offer, 'file'>, why: string) =>
  new UpdateRefused(`${file} is not what the feed says (${why}), so it was thrown away: try again later`);

/** Fetches a package into a new file, which is there only if it is what the feed says.
 * @throws UpdateRefused where it is not; NetworkError; what `signal` was aborted with */
export async function fetchPackage(
  get: Get,
  offer: Pick<Offer, 'file' | 'size' | 'sha512'>,
  to: string,
  signal: AbortSignal,
  came: (bytes: number) => void = () => undefined,
): Promise<void> {
  const { body } = await asked(get, offer.file, signal),
    file = await open(to, 'wx', 0o600),
    hash = createHash('sha512');
  let bytes = 0;
  try {
    for await (const piece of body) {
      bytes += piece.length;
      if (bytes > offer.size) throw altered(offer, `more than ${offer.size} bytes`);
      hash.update(piece);
      await file.writeFile(piece);
      came(bytes);
    }
    if (bytes < offer.size) throw altered(offer, `${bytes} bytes instead of ${offer.size}`);
    if (hash.digest('base64') !== offer.sha512) throw altered(offer, 'its SHA-512 is another');
    await file.sync();
  } catch (error) {
    await file.close();
    await rm(to, { force: true });
    throw error;
  }
  await file.close();
}

/** Reads a package once more from the disk, right before it is used. @throws UpdateRefused where it is not what the feed says; it is removed then */
export async function checkPackage(file: string, offer: Pick<Offer, 'file' | 'size' | 'sha512'>): Promise<void> {
  const refuse = async (why: string): Promise<never> => {
    await rm(file, { force: true });
    throw altered(offer, why);
  };
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) return refuse('it is gone');
  if (found.size !== offer.size) return refuse(`${found.size} bytes instead of ${offer.size}`);
  const hash = createHash('sha512');
  for await (const piece of createReadStream(file, { highWaterMark: 1024 * 1024 })) hash.update(piece as Buffer);
  if (hash.digest('base64') !== offer.sha512) await refuse('its SHA-512 is another');
}

// All of it

/** Who replaces the program: `updater.ts`. */
export interface Installer {
  /** Has the package brought into a file that it names.
   * @returns the file */
  take(offer: Offer, bring: (to: string) => Promise<void>): Promise<string>;
  /** Puts what was taken in this program's place, or has the system do so when this process has ended. */
  install(): Promise<void>;
}

export interface UpdatesOptions {
  readonly on: UpdatesSwitch & { readonly feed: string };
  readonly transport: Transport;
  readonly version: string;
  readonly kind: Kind | undefined;
  readonly platform?: NodeJS.Platform;
  readonly arch?: string;
  /** Electron's folder for what belongs to this user. */
  readonly userData: string;
  readonly ask: (options: Parameters<Dialog['showMessageBox']>[0]) => ReturnType<Dialog['showMessageBox']>;
  readonly notify: (said: { readonly title: string; readonly body: string }) => void;
  readonly language: () => Language;
  /** The menu has to be made anew. */
  readonly changed: () => void;
  /** Loads what replaces the program; not before there is something to take. */
  readonly installer: (kind: Kind) => Promise<Installer>;
  /** The way to the feed's folder; only tests have one of their own. */
  readonly get?: Get;
  readonly now?: () => number;
}

export interface Updates {
  readonly state: State;
  /** Items for the menu. */
  menu(): MenuItemConstructorOptions[];
  /** What a person asks for by the menu: looks, tells, asks, downloads. Resolves when the last dialog is answered. */
  look(): Promise<void>;
  /** The day's look, where that is wanted, due and possible now; tells only of what there is. */
  daily(): Promise<void>;
  /** At the end, while the library still answers.
   * @returns what installs, to be called when the library is closed; undefined where nothing is to be installed */
  ending(): Promise<(() => Promise<void>) | undefined>;
  stop(): void;
}

/** Milliseconds between two thoughts about the day's look. */
const often = 15 * 60_000;

/** Follows the switch, the settings and the library until it is stopped. Opens no connection before it is asked to. */
export function followUpdates(options: UpdatesOptions): Updates {
  const { on, transport, version, kind, userData, ask, notify, changed, now = Date.now } = options,
    memoryFile = join(userData, 'updates.json'),
    words = () => updateWords[options.language()];
  const network = options.get ? undefined : openUpdates(on.feed, { offline: true }); // until a look has asked for the switch
  const get: Get = options.get ?? ((name, signal) => network!.get(name, { signal }));
  let state: State = { at: 'idle' },
    file: string | undefined,
    installer: Promise<Installer> | undefined,
    under = new AbortController(), // what is under way
    wantsDaily = false,
    stopped = false;

  const go = (happening: Happening): boolean => {
    const next = step(state, happening);
    if (next) state = next;
    return next !== undefined;
  };
  /** Why not now. What cannot be asked is in the way. */
  const inTheWay = async (): Promise<string | undefined> => {
    try {
      const standing = await standingOf(transport);
      if (standing.daily !== wantsDaily) {
        wantsDaily = standing.daily;
        changed();
      }
      if (network) network.offline = standing.offline;
      return hindrance(standing);
    } catch (error) {
      return `The library does not say whether it is at work, so nothing was done: ${(error as Error).message}.`;
    }
  };
  const textOf = (error: unknown): string => {
    const text = error instanceof Error ? error.message : String(error);
    return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
  };
  const say = (message: string, detail: string, buttons: readonly string[] = []): Promise<number> =>
    ask({
      type: 'info',
      message,
      detail,
      buttons: [...buttons],
      noLink: true,
      defaultId: 0,
      cancelId: Math.max(0, buttons.length - 1),
    }).then(({ response }) => response);

  const tell = async (message: string, detail: string): Promise<void> => {
    await say(message, detail);
  };
  /** @returns a sentence where there is nothing */
  const check = async (): Promise<string | undefined> => {
    if (!go({ is: 'check' })) return undefined;
    under = new AbortController();
    try {
      const { signal } = under,
        memory = recall(memoryFile),
        at = now();
      // before anything is asked: who cannot remember what was seen can be shown an old one
      await writeDurably(memoryFile, Buffer.from(JSON.stringify({ ...memory, asked: at } satisfies Memory)));
      const signature = await fetchSmall(get, signatureName, mostSignature, signal),
        feed = readFeed(await fetchSmall(get, feedName, mostFeed, signal), signature, on.keys);
      checkCurrent(feed, { now: now(), seen: memory.seen });
      const { serial, digest } = feed;
      await writeDurably(memoryFile, Buffer.from(JSON.stringify({ ...memory, asked: at, seen: { serial, digest } } satisfies Memory)));
      const { platform = process.platform, arch = process.arch } = options,
        found = offerFor(feed, { version, platform, arch, kind, machine: memory.machine });
      if ('nothing' in found) {
        go({ is: 'nothing' });
        return found.nothing;
      }
      go({ is: 'found', offer: found.offer });
      return undefined;
    } catch (error) {
      go({ is: 'failed' });
      throw error;
    }
  };

  const download = async (): Promise<void> => {
    if (state.at !== 'available' || kind === undefined || !go({ is: 'download' })) return;
    const { offer } = state;
    under = new AbortController();
    const { signal } = under;
    let asking = false;
    const unsubscribe = transport.subscribe(said => {
      const type = studioEvent.safeParse(said).data?.type;
      if (asking || !['job', 'queue', 'export', 'download', 'settings', 'restored'].includes(type ?? '')) return;
      asking = true;
      void inTheWay().then(why => {
        asking = false;
        if (why !== undefined) under.abort(new UpdateRefused(why));
      });
    });
    try {
      const by = await (installer ??= options.installer(kind));
      file = await by.take(offer, to => fetchPackage(get, offer, to, signal, have => void go({ is: 'came', have })));
      signal.throwIfAborted();
      await checkPackage(file, offer);
      go({ is: 'done' });
    } catch (error) {
      go({ is: 'failed' });
      throw signal.aborted ? signal.reason : error;
    } finally {
      unsubscribe();
    }
  };

  const whenReady = async (): Promise<void> => {
    if (state.at !== 'ready') return;
    const { ready, readyText, agreed, onQuit, later, goOn, doNot } = words(),
      { version: next } = state.offer;
    const yes = state.agreed
      ? (await say(agreed(next), readyText, [goOn, doNot])) === 0
      : (await say(ready(next), readyText, [onQuit, later])) === 0;
    go({ is: yes ? 'agree' : 'decline' });
  };
  const look = async (): Promise<void> => {
    const { none, failed, found, coming, goOn, stop, download: fetchIt, later } = words();
    try {
      if (state.at === 'checking' || state.at === 'installing') return;
      if (state.at === 'ready') return await whenReady();
      if (state.at === 'downloading') {
        const { offer, have } = state;
        if ((await say(coming(offer.version, Math.floor((100 * have) / offer.size)), offer.notes, [goOn, stop])) === 1)
          under.abort(new UpdateRefused('the download was stopped'));
        return;
      }
      const first = await inTheWay();
      if (first !== undefined) return await tell(none, first);
      const nothing = await check();
      if (nothing !== undefined) return await tell(none, nothing);
      const offer = available();
      if (offer) {
        if ((await say(found(offer.version, Math.ceil(offer.size / 1e6)), offer.notes, [fetchIt, later])) !== 0) return;
        const since = await inTheWay(); // the dialog may have been there for long
        if (since !== undefined) return await tell(failed, since);
        await download();
      }
      await whenReady();
    } catch (error) {
      if (!stopped) await tell(failed, textOf(error));
    }
  };
  const available = () => (state.at === 'available' ? state.offer : undefined);

  const wanted = () => wantsDaily;
  const daily = async (): Promise<void> => {
    if (!wantsDaily || state.at !== 'idle' || !isDue(recall(memoryFile).asked, now())) return;
    const why = await inTheWay();
    if (!wanted() || why !== undefined || stopped) return;
    try {
      await check();
    } catch {
      return; // whoever asks by the menu is told
    }
    const offer = available();
    if (offer) notify(words().notice(offer.version));
  };
  const timer = setInterval(() => void daily(), often);
  timer.unref();
  const unsubscribe = transport.subscribe(said => {
    const { data } = studioEvent.safeParse(said);
    if (data?.type !== 'settings') return;
    if (network) network.offline = data.settings.offline;
    if (data.settings.dailyUpdates !== wantsDaily) {
      wantsDaily = data.settings.dailyUpdates;
      changed();
    }
  });
  void inTheWay(); // what is set

  return {
    get state() {
      return state;
    },
    menu: () => [
      { label: words().look, click: () => void look() },
      {
        label: words().daily,
        type: 'checkbox',
        checked: wantsDaily,
        click: ({ checked }) => void transport.call('settings.edit', { dailyUpdates: checked }),
      },
    ],
    look,
    daily,
    ending: async () => {
      if (state.at === 'downloading') under.abort(new UpdateRefused('the program ends'));
      if (state.at !== 'ready' || !state.agreed || file === undefined) return undefined;
      if ((await inTheWay()) !== undefined) return undefined;
      const { offer } = state,
        taken = file;
      return async () => {
        if (!go({ is: 'install' })) return;
        try {
          await checkPackage(taken, offer);
          await (await installer!).install();
        } catch {
          go({ is: 'failed' }); // the program that is here stays, and nobody is there to be told
        }
      };
    },
    stop: () => {
      stopped = true;
      clearInterval(timer);
      unsubscribe();
      under.abort(new UpdateRefused('the program ends'));
    },
  };
}
