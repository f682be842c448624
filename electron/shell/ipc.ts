/**
 * @file What a window may say to the main process: the API as messages of a wire, and a few commands that need the desktop. Each channel takes one argument. Who
 * sends it is checked first, then what it is; what fails either is dropped and counted, never answered. Only ids, names and sentences go back, no path.
 */
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { link, open, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, extname, isAbsolute, join } from 'node:path';
import { Readable } from 'node:stream';
import type {
  BrowserWindow,
  Dialog,
  IpcMain,
  IpcMainEvent,
  IpcMainInvokeEvent,
  NativeImage,
  Shell,
  WebContents,
  WebFrameMain,
} from 'electron';
import { z } from 'zod';
import { api } from '../contract/api.ts';
import { pickKinds, type FileKind } from '../contract/bridge.ts';
import { StudioError } from '../contract/errors.ts';
import type { Answer, Reply, Transport } from '../contract/rpc.ts';
import { serveWire, type Wire } from '../contract/wire.ts';
import { fileError } from '../media/error.ts';
import { syncFolder } from '../media/files.ts';
import { glanceAt } from '../media/import.ts';
import { HttpError } from '../serve/answers.ts';
import { forBrowsers } from '../serve/browser.ts';
import { fileName, type Places } from '../serve/places.ts';
import { forBrowser } from '../serve/sentences.ts';
import { describeFailure } from '../studio/failures.ts';
import { notInside } from '../studio/rows.ts';
import { origin } from './protocol.ts';

/** Characters of the longest message: a mask fits, as it does over HTTP; photos and clips are named or kept as files. */
export const longest = 16 << 20;
/** Bytes of the largest file that is kept: far more than any picture that is pasted. */
export const mostKept = 200_000_000;
/** Dialogs that may wait for one another. */
const mostDialogs = 32;
/** Clips that are saved, or files that are dragged, at once. */
export const mostTogether = 200;
/** Places for exports that are remembered until they are used. */
const mostTargets = 100;
/** Bytes that are asked of the library at a time. */
const piece = 4 << 20;

/** What may come over a channel, and what of an answer may leave: it is cut to that. */
export interface Checked {
  readonly name: string;
  readonly takes: z.ZodType;
  readonly answers: z.ZodType;
}
const checked = <I extends z.ZodType, O extends z.ZodType>(name: string, takes: I, answers: O) => ({
  name: `protagonist:${name}`,
  takes,
  answers,
});

const line = z.number().int().nonnegative();
const name = z.string().max(1000);
const { id, kind } = api.media.read.input.shape,
  clipId = api.clips.show.input.shape.id,
  located = api.media.locate.input.shape.id;
const place = z.object({ id: z.string(), name: z.string(), kind: z.enum(['file', 'folder']), bytes: z.number() });
/** Every channel. `message` is answered by messages, each other one by a `Reply` whose value is what it `answers`. */
export const channels = {
  message: checked(
    'message',
    z.strictObject({ line, said: z.union([z.string().max(longest), z.number().int().nonnegative(), z.null()]) }),
    z.strictObject({ line, said: z.string().nullable() }),
  ),
  path: checked(
    'path',
    z
      .string()
      .max(32_767) // Windows' longest
      .refine(path => isAbsolute(path) && !path.includes('\0')),
    place,
  ),
  keep: checked(
    'keep',
    z.strictObject({ name, bytes: z.instanceof(Uint8Array).refine(bytes => bytes.byteLength <= mostKept) }),
    z.object({ id: z.string(), bytes: z.number() }),
  ),
  pick: checked('pick', z.union([z.enum(pickKinds), z.strictObject({ target: name })]), z.array(place)),
  save: checked(
    'save',
    z.union([
      z.strictObject({ id, kind, name }),
      z.strictObject({ kept: z.string().regex(/^u[\w-]{22}$/), name }),
      z.strictObject({
        clips: z
          .array(z.strictObject({ id: clipId, name }))
          .min(1)
          .max(mostTogether),
      }),
    ]),
    z.object({ saved: z.number() }),
  ),
  drag: checked('drag', z.strictObject({ ids: z.array(located).min(1).max(mostTogether) }), z.void()),
  reveal: checked('reveal', z.strictObject({ id: located }), z.void()),
} as const satisfies Readonly<Record<string, Checked>>;
type Commands = Omit<typeof channels, 'message'>;
type Work = {
  readonly [C in keyof Commands]: (said: z.output<Commands[C]['takes']>) => Promise<z.input<Commands[C]['answers']>>;
};

/** Whether a message comes from our own page: the main frame of our own window, at our origin, now. Frames are told apart by process and token: there may be several
 * objects for one. */
export function trusted(
  { senderFrame: frame }: { readonly senderFrame: WebFrameMain | null },
  contents: Pick<WebContents, 'mainFrame'>,
): boolean {
  if (frame === null) return false;
  const main = contents.mainFrame;
  return (
    frame.processId === main.processId &&
    frame.frameToken === main.frameToken &&
    frame.parent === null &&
    frame.origin === origin &&
    frame.url.startsWith(`${origin}/window/`)
  );
}

/** The API as our window's page gets it: over messages, and for the pictures and videos of its scheme. Unlike a browser it can have exports made where the
 * person wants them, also those that are folders.
 * @param targets where that is, by the ids that the page has for it: each is used once */
export function windowAnswer(transport: Pick<Transport, 'call'>, places: Places, targets = new Map<string, string>()): Answer {
  const answer = forBrowsers(transport, places, { dragOut: true, reveal: true, pickFolder: true });
  return async (method, input, signal) => {
    if (method === 'exports.presets') return forBrowser(await transport.call(method, input, signal));
    const { path: target } = (typeof input === 'object' && input !== null ? input : {}) as { path?: unknown };
    const path = method === 'exports.start' && typeof target === 'string' ? targets.get(target) : undefined;
    if (path === undefined) return answer(method, input, signal);
    targets.delete(target as string);
    return forBrowser(await transport.call(method, { ...(input as object), path }, signal), [[path, basename(path)]]);
  };
}

/** A small picture of a photo that the person has chosen, by the id of its place. */
export const glanceBy = (places: Places) => async (id: string) => glanceAt((await places.find(id, false)).path);

export interface WindowOptions {
  /** The library's, of a host that takes paths and tells them. */
  readonly transport: Transport;
  /** The program's: a page of another one is not talked to. */
  readonly version: string;
  /** Those of this window alone: what the person has chosen in it. */
  readonly places: Places;
  /** The library's folder, into which nothing is saved. */
  readonly home: string;
  /** What dialogs belong to. */
  readonly window: BrowserWindow;
  readonly dialog: Pick<Dialog, 'showOpenDialog' | 'showSaveDialog'>;
  readonly shell: Pick<Shell, 'showItemInFolder'>;
  /** What is under the pointer while files are dragged out; not empty. */
  readonly dragIcon: NativeImage | string;
  /** What dialogs call the kinds of files, in the person's language. */
  readonly words: Readonly<Record<FileKind, string>>;
  /** Told whenever a page has come that hears what it is asked (`asked`). */
  readonly onPage?: () => void;
  /** Told of each message that is dropped, and of nothing that was in it. */
  readonly onRefused?: (why: `${keyof typeof channels}: ${'sender' | 'argument'}`) => void;
}

const photos = ['jpg', 'jpeg', 'jfif', 'png', 'webp', 'avif', 'heic', 'heif'],
  films = ['mp4', 'm4v'];
/** What each dialog shows. */
const endings: Readonly<Record<FileKind, readonly string[]>> = {
  photos,
  model: ['safetensors'],
  clip: films,
  made: [...films, 'mov', 'mkv', 'webm', 'gif', ...photos],
};

/** Writes what comes into a file that is seen only when all of it is on the disk; a file of that name is replaced by then.
 * @param fresh no file is replaced: the name gets a number where there is one already
 * @throws what `pieces` does, or a MediaError; nothing is left of it and an earlier file is as it was */
async function writeWhole(target: string, pieces: AsyncIterable<Uint8Array>, fresh = false): Promise<void> {
  const part = join(dirname(target), `.${randomBytes(12).toString('hex')}.part`);
  try {
    const file = await open(part, 'wx');
    try {
      try {
        for await (const bytes of pieces) await file.appendFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      if (fresh) await beside(part, target);
      else await rename(part, target);
    } catch (error) {
      await unlink(part).catch(() => undefined); // the disk may be gone: the first error says so
      throw error;
    }
    await syncFolder(dirname(target));
  } catch (error) {
    throw error instanceof StudioError ? error : fileError(`cannot write ${basename(target)}`, error);
  }
}

/** Gives a file its name, or the next one that is free: `kelp.mp4`, `kelp (2).mp4`. */
async function beside(part: string, target: string): Promise<void> {
  const ending = extname(target),
    stem = target.slice(0, target.length - ending.length);
  for (let n = 1; ; n++) {
    const name = n === 1 ? target : `${stem} (${n})${ending}`;
    try {
      await link(part, name); // unlike a rename it takes no other file's place
      return await unlink(part);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST') continue;
      if (!/^(EPERM|ENOSYS|ENOTSUP|EOPNOTSUPP|EMLINK|EISDIR)$/.test(code ?? '')) throw error;
      // sticks of memory know no links
      if (!(await stat(name).catch(() => undefined))) return rename(part, name);
    }
  }
}

/** Answers one window until it is told to stop.
 * @param ipcMain the window's own (`contents.ipc`), so that several windows can be connected
 * @returns how to leave: nothing new is begun; resolves when what was in flight is answered and what is being saved is on the disk. To be called before the window is
 * destroyed, or when it has been */
export function connectWindow(
  ipcMain: Pick<IpcMain, 'on' | 'off' | 'handle' | 'removeHandler'>,
  contents: Pick<WebContents, 'mainFrame' | 'send' | 'isDestroyed' | 'startDrag'>,
  { transport, version, places, home, window, dialog, shell, dragIcon, words, onPage, onRefused }: WindowOptions,
): () => Promise<void> {
  const targets = new Map<string, string>();
  const answer = windowAnswer(transport, places, targets);
  let leaving = false;
  const gone = () => new StudioError('canceled', 'the window is being closed');
  /** What may be looked at of what came; nothing where it is not from our page, or not of the channel's shape. */
  const check = <C extends keyof typeof channels>(
    channel: C,
    event: Pick<IpcMainEvent, 'senderFrame'>,
    said: readonly unknown[],
  ): z.ZodSafeParseSuccess<z.output<(typeof channels)[C]['takes']>> | undefined => {
    const refuse = (why: 'sender' | 'argument'): undefined => {
      onRefused?.(`${channel}: ${why}`);
    };
    try {
      if (contents.isDestroyed() || !trusted(event, contents)) return refuse('sender');
    } catch {
      return refuse('sender'); // a frame that went away while it was looked at
    }
    const parsed = said.length === 1 ? channels[channel].takes.safeParse(said[0]) : undefined;
    return parsed?.success ? (parsed as z.ZodSafeParseSuccess<z.output<(typeof channels)[C]['takes']>>) : refuse('argument');
  };

  // the wire: a page has one at a time, and a page that was loaded anew draws another number
  let current: { readonly line: number; hear(said: string | number | null): void; end(): void; leave(): Promise<unknown> } | undefined;
  const tell = (line: number, said: string | null): boolean => {
    try {
      if (contents.isDestroyed() || !trusted({ senderFrame: contents.mainFrame }, contents)) return false;
      contents.send(channels.message.name, { line, said } satisfies z.output<typeof channels.message.answers>);
      return true;
    } catch {
      return false; // the page went away meanwhile
    }
  };
  const begin = (line: number): NonNullable<typeof current> => {
    const closed: ((why: string) => void)[] = [];
    let listener: (message: unknown) => void = () => undefined,
      over: string | undefined,
      sent = 0,
      taken = 0;
    const end = (why: string) => {
      if (over !== undefined) return;
      over = why;
      if (current?.line === line) current = undefined;
      for (const each of closed) each(why);
    };
    const wire: Wire = {
      send: message => {
        if (over !== undefined) return;
        const text = JSON.stringify(message);
        sent += text.length;
        if (!tell(line, text)) end('the window has gone');
      },
      receive: l => void (listener = l),
      closed: l => {
        if (over === undefined) closed.push(l);
        else l(over);
      },
      close: why => {
        if (over === undefined) tell(line, null);
        end(why);
      },
      waiting: () => sent - taken,
    };
    const leave = serveWire(wire, answer, heard => transport.subscribe(said => heard(forBrowser(said))), version, {
      calls: 200,
      most: 64 << 20,
    });
    const hear = (said: string | number | null) => {
      if (said === null) return end('the window has closed the connection');
      if (typeof said === 'number') return void (taken = Math.max(taken, Math.min(said, sent)));
      let message: unknown;
      try {
        message = JSON.parse(said);
      } catch {
        return wire.close('a message is not JSON');
      }
      listener(message);
    };
    return { line, hear, end: () => end('the window was loaded anew'), leave };
  };
  const onMessage = (event: IpcMainEvent, ...rest: unknown[]) => {
    const said = check('message', event, rest)?.data;
    if (!said) return;
    if (current?.line !== said.line) {
      if (typeof said.said !== 'string') return; // of a wire that has ended
      if (leaving) return void tell(said.line, null);
      current?.end();
      current = begin(said.line);
      onPage?.();
    }
    current.hear(said.said);
  };

  // the commands
  const call = async <S extends z.ZodType>(method: string, input: unknown, output: S): Promise<z.output<S>> => {
    const reply = await transport.call(method, input);
    if ('error' in reply) throw new StudioError(reply.error.code, reply.error.text);
    return output.parse(reply.value);
  };
  /** Where a file of the library lies. */
  const locate = async (id: z.output<typeof located>): Promise<string> => {
    const { path } = await call('media.locate', { id }, api.media.locate.output);
    if (!(await stat(path).catch(() => undefined)))
      throw new StudioError('missing', `the file of ${id} is gone from its folder: put it back, or remove ${id}`);
    return path;
  };
  async function* read(wanted: { id: z.output<typeof id>; kind: z.output<typeof kind> }): AsyncGenerator<Uint8Array> {
    for (let at = 0, size = 1, first = true; at < size; first = false) {
      const { base64, bytes } = await call('media.read', { ...wanted, offset: at, length: piece }, api.media.read.output);
      const part = Buffer.from(base64, 'base64');
      if (!first && (bytes !== size || part.length === 0))
        throw new StudioError('conflict', 'the file has changed meanwhile: save it again');
      size = bytes;
      at += part.length;
      yield part;
    }
  }
  let turn: Promise<unknown> = Promise.resolve(),
    asking = 0;
  /** One dialog after the other. */
  const inTurn = async <T>(ask: () => Promise<T>): Promise<T> => {
    if (asking >= mostDialogs) throw new StudioError('busy', 'several dialogs wait to be answered: answer them first');
    asking++;
    const mine = turn.then(() => {
      if (leaving) throw gone();
      return ask();
    });
    turn = mine.catch(() => undefined).finally(() => asking--);
    return mine;
  };
  const saving = new Set<Promise<void>>();
  const saved = async (...write: Parameters<typeof writeWhole>): Promise<void> => {
    const written = writeWhole(...write);
    saving.add(written);
    await written.finally(() => saving.delete(written));
  };
  /** Asks where something of this name shall lie, not inside the library. */
  const askWhere = async (name: string): Promise<string | undefined> => {
    const extension = extname(name).slice(1);
    const { canceled, filePath } = await inTurn(() =>
      dialog.showSaveDialog(window, {
        defaultPath: name,
        ...(extension !== '' && { filters: [{ name: extension.toUpperCase(), extensions: [extension] }] }),
      }),
    );
    if (canceled || filePath === '') return undefined;
    await notInside({ home }, filePath);
    return filePath;
  };
  let targeted = 0;
  /** Where an export shall lie. What the dialog has not asked about is not replaced. */
  const target = async (wanted: string): Promise<readonly z.input<typeof place>[]> => {
    const ending = extname(wanted),
      chosen = await askWhere(wanted);
    if (chosen === undefined) return [];
    const path = ending === '' || extname(chosen).toLowerCase() === ending ? chosen : `${chosen}${ending}`;
    if (path !== chosen && (await stat(path).catch(() => undefined)))
      throw new StudioError('conflict', `${basename(path)} is there already: choose it, so that it is replaced, or another name`);
    const id = `t${++targeted}`;
    targets.set(id, path);
    for (const old of targets.keys()) if (targets.size > mostTargets) targets.delete(old);
    return [{ id, name: basename(path), kind: ending === '' ? 'folder' : 'file', bytes: 0 }];
  };
  const work: Work = {
    path: path => places.admit(path),
    keep: async ({ name, bytes }) => {
      try {
        return await places.keep(name, Readable.from([Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)]));
      } catch (error) {
        throw error instanceof HttpError ? new StudioError(error.status === 507 ? 'noSpace' : 'busy', error.message) : error;
      }
    },
    pick: async kind => {
      if (typeof kind === 'object') return [...(await target(fileName(kind.target)))];
      const shown = kind === 'photo' ? 'photos' : kind;
      const { canceled, filePaths } = await inTurn(() =>
        dialog.showOpenDialog(
          window,
          shown === 'folder'
            ? { properties: ['openDirectory'] }
            : {
                properties: kind === 'photos' ? ['openFile', 'multiSelections'] : ['openFile'],
                filters: [{ name: words[shown], extensions: [...endings[shown]] }],
              },
        ),
      );
      const chosen = [];
      for (const path of canceled ? [] : filePaths) chosen.push(await places.admit(path));
      return chosen;
    },
    save: async what => {
      if ('clips' in what) {
        const { canceled, filePaths } = await inTurn(() =>
          dialog.showOpenDialog(window, { properties: ['openDirectory', 'createDirectory'] }),
        );
        const [folder] = filePaths;
        if (canceled || folder === undefined) return { saved: 0 };
        await notInside({ home }, join(folder, 'x'));
        for (const { id, name } of what.clips) {
          if (leaving) throw gone();
          await saved(join(folder, fileName(name)), read({ id, kind: 'video' }), true);
        }
        return { saved: what.clips.length };
      }
      const path = await askWhere(fileName(what.name));
      if (path !== undefined) {
        const pieces = 'kept' in what ? createReadStream((await places.find(what.kept, true)).path) : read(what);
        await saved(path, pieces as AsyncIterable<Uint8Array>);
      }
      if ('kept' in what) await places.drop([what.kept]);
      return { saved: path === undefined ? 0 : 1 };
    },
    drag: async ({ ids }) => {
      const files = await Promise.all(ids.map(locate));
      contents.startDrag({ file: files[0]!, files, icon: dragIcon });
    },
    reveal: async ({ id }) => shell.showItemInFolder(await locate(id)),
  };
  const commands = Object.keys(work) as (keyof Commands)[];
  ipcMain.on(channels.message.name, onMessage);
  for (const channel of commands)
    ipcMain.handle(channels[channel].name, async (event: IpcMainInvokeEvent, ...rest: unknown[]): Promise<Reply> => {
      const said = check(channel, event, rest);
      if (!said) return new Promise<never>(() => undefined);
      try {
        if (leaving) throw gone();
        const value = await (work[channel] as (said: unknown) => Promise<unknown>)(said.data);
        return { value: channels[channel].answers.parse(value) };
      } catch (error) {
        return forBrowser({ error: describeFailure(error, home) });
      }
    });

  return async () => {
    leaving = true;
    await Promise.allSettled([current?.leave(), ...saving]);
    ipcMain.off(channels.message.name, onMessage);
    for (const channel of commands) ipcMain.removeHandler(channels[channel].name);
  };
}
