/** @file The window in its own program: calls and events as messages to the main process, files by where they lie. */
import { z } from 'zod';
import type { AskedOfPage, Bridge } from '../../electron/contract/bridge.ts';
import { StudioError } from '../../electron/contract/errors.ts';
import { refused, reply } from '../../electron/contract/rpc.ts';
import { overWire, reconnecting, type Opened, type Wire } from '../../electron/contract/wire.ts';
import type { ConnectionState, Host } from './host.ts';

declare global {
  interface Window {
    /** There where the preload has run: in our own program. */
    readonly protagonist?: Bridge;
  }
}

/** Characters of the longest message that the main process takes. */
const longest = 16 << 20;
/** Bytes of the largest file that it keeps. */
const mostKept = 200_000_000;
/** Characters that come before it is told that they have been taken. */
const step = 1 << 16;
const gone = 'Protagonist does not answer';

const place = z.object({ id: z.string(), name: z.string() });
const entry = z.object({ ...place.shape, kind: z.enum(['folder', 'file']), bytes: z.number() });
const asked = z.union([z.object({ action: z.string() }), z.object({ opened: z.array(place) })]);
const saved = z.object({ saved: z.number() });
const listing = z.object({ ...place.shape, entries: z.array(entry), more: z.boolean() });

function bridgeWire(bridge: Bridge): Wire {
  const line = crypto.getRandomValues(new Uint32Array(1))[0]!,
    closed: ((why: string) => void)[] = [];
  let listener: (message: unknown) => void = () => undefined,
    over: string | undefined,
    taken = 0,
    told = 0;
  const end = (why: string) => {
    if (over !== undefined) return;
    over = why;
    stop();
    for (const each of closed) each(why);
  };
  const close = (why: string) => {
    if (over === undefined) bridge.send(line, null);
    end(why);
  };
  const stop = bridge.receive((to, said) => {
    if (to !== line) return; // of a page that was here before
    if (said === null) return end(gone);
    taken += said.length;
    if (taken - told > step) bridge.send(line, (told = taken));
    let message: unknown;
    try {
      message = JSON.parse(said);
    } catch {
      return close('the host said something that is not JSON');
    }
    listener(message);
  });
  return {
    send: message => {
      if (over !== undefined) return;
      const said = JSON.stringify(message);
      if (said.length > longest) throw new Error('it is too large');
      bridge.send(line, said);
    },
    receive: l => void (listener = l),
    closed: l => {
      if (over === undefined) closed.push(l);
      else l(over);
    },
    close,
  };
}

/** @param version the program's
 * @param bridge what the preload gives */
export function shellHost(version: string, bridge: Bridge): Host {
  const events = new Set<(event: unknown) => void>(),
    watchers = new Set<(state: ConnectionState) => void>();
  let state: ConnectionState = 'connecting',
    way: Promise<Opened> | undefined,
    closed = false;
  const tell = (next: ConnectionState) => {
    if (state === next) return;
    state = next;
    for (const watcher of [...watchers]) watcher(next);
  };
  const hear = (event: unknown) => {
    for (const listener of [...events]) listener(event);
  };
  const open = async (): Promise<Opened> => {
    const line = overWire(bridgeWire(bridge), version);
    await line.greeted;
    void line.gone.then(() => {
      line.close();
      if (!closed) tell('lost');
    });
    if (state === 'lost') tell('online'); // `restored` follows
    return { transport: line, owner: false, gone: line.gone, close: () => Promise.resolve(line.close()) };
  };
  const connect = () =>
    (way ??= reconnecting(open).then(
      opened => {
        opened.transport.subscribe(hear);
        tell('online');
        return opened;
      },
      (error: unknown) => {
        way = undefined;
        tell('lost');
        throw error;
      },
    ));

  const call: Host['transport']['call'] = async (method, input, signal) => {
    if (closed) return refused('disconnected', 'the connection is closed');
    try {
      return await (await connect()).transport.call(method, input, signal);
    } catch (error) {
      return refused(error instanceof StudioError ? error.code : 'disconnected', error instanceof Error ? error.message : gone);
    }
  };
  /** What a command is answered. */
  const value = async <S extends z.ZodType>(asked: Promise<unknown>, schema: S): Promise<z.output<S>> => {
    const answered = reply.parse(await asked);
    if ('error' in answered) throw new StudioError(answered.error.code, answered.error.text);
    return schema.parse(answered.value);
  };
  const placeOf = async (file: File) => {
    const known = bridge.path(file);
    return known && (await value(known, entry));
  };
  const keep = async (file: Blob, name: string) => {
    if (file.size > mostKept) throw new StudioError('badInput', `${name} is larger than ${mostKept / 1e6} MB: drop the file itself`);
    return (await value(bridge.keep(name.slice(-200), new Uint8Array(await file.arrayBuffer())), z.object({ id: z.string() }))).id;
  };
  const save = async (what: string | Blob, name: string) => {
    const [, id, kind] = (typeof what === 'string' && /^\/media\/([^/?#]+)\/([^/?#]+)/.exec(what)) || [];
    const short = name.slice(-200); // its end says what kind it is
    if (typeof what !== 'string') await value(bridge.save({ kept: await keep(what, name), name: short }), saved);
    else if (id && kind) await value(bridge.save({ id, kind, name: short }), saved);
  };
  // heard from the first moment on: what is asked before somebody listens waits for them
  const unheard: AskedOfPage[] = [];
  let answering: ((said: AskedOfPage) => void) | undefined;
  bridge.asked(said => {
    const { data } = asked.safeParse(said);
    if (!data) return;
    if (answering) answering(data);
    else unheard.push(data);
  });
  connect().catch(() => undefined); // the first call says it

  return {
    transport: {
      call,
      subscribe: listener => {
        events.add(listener);
        return () => events.delete(listener);
      },
      close: () => {
        closed = true;
        void way?.then(opened => opened.close());
      },
    },
    watch: listener => {
      watchers.add(listener);
      listener(state);
      return () => watchers.delete(listener);
    },
    again: () => void call('host.describe', {}),
    media: (id, kind, v) => `/media/${id}/${kind}${v === undefined ? '' : `?v=${encodeURIComponent(v)}`}`,
    send: async (file, name, { signal, progress } = {}) => {
      const path = (file instanceof File ? await placeOf(file) : undefined)?.id ?? (await keep(file, name));
      if (signal?.aborted) throw new StudioError('canceled', 'canceled');
      progress?.(1);
      return { path };
    },
    save: (what, name) =>
      // there is nobody to throw it at
      void save(what, name).catch((error: unknown) =>
        hear({ type: 'notice', jobId: null, text: error instanceof Error ? error.message : gone }),
      ),
    roots: () => Promise.resolve([]), // the system's dialog shows them all
    look: id => value(call('roots.show', { id }), listing),
    desktop: {
      pick: kind => value(bridge.pick(kind), z.array(entry)),
      target: async name => (await value(bridge.pick({ target: name.slice(-200) }), z.array(place)))[0],
      picture: id => `/place/${encodeURIComponent(id)}`,
      place: placeOf,
      saveClips: async clips => (await value(bridge.save({ clips }), saved)).saved,
      drag: ids => value(bridge.drag([...ids]), z.undefined()),
      reveal: id => value(bridge.reveal(id), z.undefined()),
      asked: listener => {
        answering = listener;
        for (const said of unheard.splice(0)) listener(said);
        return () => (answering = undefined);
      },
    },
  };
}
