/** @file An API over anything that passes messages: a socket, a WebSocket, a MessagePort. Both ends parse all that comes; what is not understood ends the connection and nothing else. No Node here: windows use this too. */
import { z } from 'zod';
import { StudioError } from './errors.ts';
import { refused, repeatable, reply, type Answer, type Reply, type Transport } from './rpc.ts';

/** Carries messages (values that JSON can hold) in order to one other end. */
export interface Wire {
  /** Does nothing on a closed wire.
   * @throws where the message is not one that can be carried */
  send(message: unknown): void;
  receive(listener: (message: unknown) => void): void;
  /** Calls `listener` once, with a sentence, whichever end closes. */
  closed(listener: (why: string) => void): void;
  close(why: string): void;
  /** Bytes sent that the other end has not taken yet, where that is known. */
  waiting?(): number;
}

/** Of these messages. Ends of different versions say so and part. */
const protocol = 1;
const hello = z.object({ type: z.literal('hello'), protocol: z.number(), version: z.string().max(100) });
const id = z.number().int().nonnegative();
const fromClient = z.discriminatedUnion('type', [
  hello,
  z.object({ type: z.literal('call'), id, method: z.string(), input: z.unknown().optional() }),
  /** Of a call in flight; it is answered all the same. */
  z.object({ type: z.literal('cancel'), id }),
  /** No event is sent before this. */
  z.object({ type: z.literal('subscribe') }),
  z.object({ type: z.literal('unsubscribe') }),
  /** Nothing more comes: the answer to the host's. */
  z.object({ type: z.literal('bye') }),
]);
const fromHost = z.discriminatedUnion('type', [
  hello,
  z.object({ type: z.literal('reply'), id, reply }),
  z.object({ type: z.literal('event'), event: z.unknown() }),
  /** The host is going: calls in flight are still answered, later ones are not begun. */
  z.object({ type: z.literal('bye') }),
]);
type FromClient = z.input<typeof fromClient>;
type FromHost = z.input<typeof fromHost>;

/** Of a call that the other end has not begun and never will. */
const unsent = (text: string): Reply => ({ ...refused('disconnected', text), unsent: true });
const leaving = 'the process that had the library open has closed it';

/** A transport that can end by itself. */
export interface Line extends Transport {
  /** Resolves when the other end has said who it is, with its version. Rejects with a StudioError: `busy` if it is another version, `disconnected` if it went away. */
  readonly greeted: Promise<string>;
  /** Resolves with a sentence when the connection has ended, or the host is going. */
  readonly gone: Promise<string>;
}

/** The client's end of a wire. Calls in flight when the wire closes are answered `disconnected`.
 * @param version the program's: both ends have to be the same */
export function overWire(wire: Wire, version: string): Line {
  const calls = new Map<number, (reply: Reply) => void>(),
    listeners = new Set<(event: unknown) => void>(),
    greeted = Promise.withResolvers<string>(),
    gone = Promise.withResolvers<string>();
  let next = 0,
    known = false,
    closed = false,
    over: string | undefined;
  greeted.promise.catch(() => undefined); // whoever does not ask learns it from the first call
  const send = (message: FromClient) => wire.send(message);
  wire.closed(why => {
    closed = true;
    over ??= why;
    greeted.reject(new StudioError('disconnected', why));
    gone.resolve(why);
    for (const answered of calls.values()) answered(refused('disconnected', why));
    calls.clear();
    listeners.clear();
  });
  wire.receive(message => {
    const { success, data } = fromHost.safeParse(message);
    if (closed) return;
    if (!success) wire.close('the other end said something that is not understood');
    else if (data.type === 'hello') {
      const text = `another version of Protagonist answers there (${data.version}; this is ${version}): end that one, or use it`;
      known = data.protocol === protocol && data.version === version;
      if (known) greeted.resolve(data.version);
      else {
        greeted.reject(new StudioError('busy', text));
        wire.close(text);
      }
    } else if (!known) wire.close('the other end did not say who it is');
    else if (data.type === 'bye') {
      gone.resolve((over = leaving));
      send({ type: 'bye' });
    } else if (data.type === 'event') for (const listener of [...listeners]) listener(data.event);
    else {
      const answered = calls.get(data.id);
      calls.delete(data.id);
      if (answered) answered(data.reply);
      else wire.close('the other end answered what was never asked');
    }
  });
  send({ type: 'hello', protocol, version });
  return {
    greeted: greeted.promise,
    gone: gone.promise,
    call: (method, input, signal) =>
      new Promise(resolve => {
        if (over !== undefined) return resolve(unsent(over));
        if (signal?.aborted) return resolve(refused('canceled', 'canceled'));
        const id = next++,
          cancel = () => send({ type: 'cancel', id });
        calls.set(id, answer => {
          signal?.removeEventListener('abort', cancel);
          resolve(answer);
        });
        try {
          send({ type: 'call', id, method, input });
          signal?.addEventListener('abort', cancel);
        } catch (e) {
          calls.delete(id);
          resolve(refused('badInput', `${method}: the input cannot be sent (${String(e)})`));
        }
      }),
    subscribe: listener => {
      const own = (event: unknown) => listener(event); // the same function given twice is two listeners
      if (listeners.size === 0) send({ type: 'subscribe' });
      listeners.add(own);
      return () => {
        if (listeners.delete(own) && listeners.size === 0) send({ type: 'unsubscribe' });
      };
    },
    close: () => wire.close('the connection is closed'),
  };
}

/** What one client may take of a host. */
export interface Limits {
  /** Calls in flight; one more is answered `busy`. */
  readonly calls: number;
  /** Bytes that wait for the client, from which on events that later ones replace are left out. */
  readonly fewer: number;
  /** Bytes that wait for the client, from which on it is disconnected. */
  readonly most: number;
  /** Milliseconds in which it has to say who it is. */
  readonly patience: number;
}
const usual: Limits = { calls: 1000, fewer: 1 << 18, most: 1 << 28, patience: 10_000 };
const replaced = (event: unknown) => /^(progress|preview)$/.test(String((event as { type?: unknown } | null)?.type));

/** The host's end of a wire. Never throws, whatever comes: what is no message of ours closes the wire. A client that goes away aborts its calls.
 * @returns how to leave: says so, begins nothing new, and resolves when what was in flight is answered and the wire closed
 * @param version the program's: a client of another one is told so and left */
export function serveWire(
  wire: Wire,
  answer: Answer,
  subscribe: Transport['subscribe'],
  version: string,
  limits: Partial<Limits> = {},
): () => Promise<unknown> {
  const { calls: atOnce, fewer, most, patience } = { ...usual, ...limits };
  const calls = new Map<number, AbortController>();
  const left = Promise.withResolvers<string>();
  let known = false,
    over = false,
    going = false,
    parted = false,
    stop: (() => void) | undefined;
  let late = setTimeout(() => wire.close('the client did not say who it is'), patience);
  const waiting = () => wire.waiting?.() ?? 0;
  /** Whether it can be sent at all. */
  const send = (message: FromHost): boolean => {
    if (over) return true;
    try {
      wire.send(message);
    } catch {
      return false;
    }
    if (waiting() > most) wire.close('the client does not read what it is sent');
    return true;
  };
  const respond = (id: number, reply: Reply) => {
    calls.delete(id);
    if (!send({ type: 'reply', id, reply }))
      send({ type: 'reply', id, reply: refused('bug', 'the answer is too large or too deep to be sent') });
    if (parted && calls.size === 0) wire.close(leaving);
  };
  wire.closed(why => {
    over = true;
    left.resolve(why);
    clearTimeout(late);
    stop?.();
    for (const call of calls.values()) call.abort();
    calls.clear();
  });
  wire.receive(message => {
    if (over) return;
    const { success, data } = fromClient.safeParse(message);
    if (!success) return wire.close('the client said something that is not understood');
    if (known !== (data.type !== 'hello')) return wire.close('the client did not say who it is, or said it twice');
    switch (data.type) {
      case 'hello':
        clearTimeout(late);
        known = true;
        send({ type: 'hello', protocol, version });
        if (data.protocol !== protocol || data.version !== version) wire.close('the client is another version');
        return;
      case 'call': {
        if (calls.has(data.id)) return wire.close('the client used the number of a call twice');
        if (going) return respond(data.id, unsent(leaving));
        if (calls.size >= atOnce) return respond(data.id, refused('busy', `${atOnce} calls are being answered: wait for some of them`));
        const call = new AbortController();
        calls.set(data.id, call);
        void answer(data.method, data.input, call.signal)
          .catch((e: unknown) => refused('bug', String(e)))
          .then(reply => respond(data.id, reply));
        return;
      }
      case 'cancel':
        return calls.get(data.id)?.abort(); // it may have been answered meanwhile
      case 'subscribe':
        stop ??= subscribe(event => {
          if (!(waiting() > fewer && replaced(event))) send({ type: 'event', event });
        });
        return;
      case 'unsubscribe':
        stop?.();
        stop = undefined;
        return;
      case 'bye':
        parted = true;
        if (calls.size === 0) wire.close(leaving);
    }
  });
  return () => {
    going = true;
    stop?.();
    if (known && send({ type: 'bye' }))
      late = setTimeout(() => {
        if (!parted) wire.close(leaving); // it stands still
      }, 1000);
    else wire.close(leaving);
    return left.promise;
  };
}

/** A way to a studio that is open: as a client of its owner, or as the owner. */
export interface Opened {
  readonly transport: Transport;
  readonly owner: boolean;
  /** Resolves with a sentence when the way has ended. */
  readonly gone: Promise<string>;
  close(): Promise<void>;
}

/** A way that is opened again as soon as it ends, now perhaps as the owner. Listeners stay and get `restored`, since they may have missed something. A call is
 * repeated if it was not begun or only reads; any other one in flight when its host dies is answered `disconnected`: it may have been carried out.
 * `gone` resolves when opening again has failed; the next call tries once more.
 * @throws whatever the first `open` does */
export async function reconnecting(open: () => Promise<Opened>, again: (method: string) => boolean = repeatable): Promise<Opened> {
  const listeners = new Map<(event: unknown) => void, (() => void) | undefined>(),
    gone = Promise.withResolvers<string>();
  let now: Opened | undefined,
    opening: Promise<Opened> | undefined,
    closed = false;
  const connect = () =>
    (opening ??= open().then(
      async opened => {
        if (closed) {
          await opened.close();
          throw new StudioError('disconnected', 'the connection is closed');
        }
        now = opened;
        for (const listener of listeners.keys()) {
          listeners.set(listener, opened.transport.subscribe(listener));
          listener({ type: 'restored' });
        }
        void opened.gone.then(() => {
          now = opening = undefined;
          if (!closed) connect().catch((e: unknown) => gone.resolve((e as Error).message));
        });
        return opened;
      },
      (e: unknown) => {
        opening = undefined;
        throw e;
      },
    ));
  const close = async () => {
    closed = true;
    await opening?.then(opened => opened.close()).catch(() => undefined);
    gone.resolve('the connection is closed');
  };
  await connect();
  return {
    transport: {
      call: async (method, input, signal) => {
        for (let tries = 1; ; tries++) {
          if (closed) return refused('disconnected', 'the connection is closed');
          let reply: Reply;
          try {
            const { transport } = await connect();
            reply = await transport.call(method, input, signal);
          } catch (e) {
            return refused(e instanceof StudioError ? e.code : 'disconnected', (e as Error).message);
          }
          if (!('error' in reply) || reply.error.code !== 'disconnected') return reply;
          if (reply.unsent ? tries > 100 : tries > 4 || !again(method)) return reply; // what kills each host it is sent to is not sent for ever
        }
      },
      subscribe: listener => {
        const own = (event: unknown) => listener(event);
        listeners.set(own, now?.transport.subscribe(own));
        return () => {
          listeners.get(own)?.();
          listeners.delete(own);
        };
      },
      close: () => void close(),
    },
    get owner() {
      return now?.owner ?? false;
    },
    gone: gone.promise,
    close,
  };
}
