/** @file The window in a browser: calls and events over one WebSocket, large inputs and files over HTTP. */
import { z } from 'zod';
import { StudioError } from '../../electron/contract/errors.ts';
import { refused, reply, repeatable, type Reply } from '../../electron/contract/rpc.ts';
import { overWire, type Line, type Wire } from '../../electron/contract/wire.ts';
import type { ConnectionState, Host } from './host.ts';

/** Bytes of an input from which on it goes over HTTP: the host takes no longer frame than 1 MiB. */
const longestFrame = 700_000;
/** Milliseconds between two tries to reach a host that has gone. */
const patience = [250, 500, 1000, 2000, 3000];
const headers = { 'x-protagonist': '1' };

const place = z.object({ id: z.string(), name: z.string() });
const listing = z.object({
  ...place.shape,
  entries: z.array(z.object({ ...place.shape, kind: z.enum(['folder', 'file']), bytes: z.number() })),
  more: z.boolean(),
});

function socketWire(socket: WebSocket): Wire {
  const closed: ((why: string) => void)[] = [];
  const waiting: unknown[] = [];
  let over: string | undefined;
  const end = (why: string) => {
    if (over !== undefined) return;
    over = why;
    socket.close(1000);
    for (const listener of closed) listener(why);
  };
  socket.addEventListener('open', () => {
    for (const message of waiting.splice(0)) socket.send(JSON.stringify(message));
  });
  socket.addEventListener('close', event => end(event.reason || 'Protagonist does not answer'));
  return {
    send: message => {
      if (over !== undefined) return;
      if (socket.readyState === WebSocket.CONNECTING) waiting.push(message);
      else socket.send(JSON.stringify(message));
    },
    receive: listener =>
      socket.addEventListener('message', ({ data }) => {
        let message: unknown;
        try {
          message = JSON.parse(String(data));
        } catch {
          return end('the host said something that is not JSON');
        }
        listener(message);
      }),
    closed: listener => {
      if (over === undefined) closed.push(listener);
      else listener(over);
    },
    close: end,
  };
}

/** @param version the program's: a host of another one is not talked to */
export function browserHost(version: string): Host {
  const events = new Set<(event: unknown) => void>(),
    watchers = new Set<(state: ConnectionState) => void>();
  let state: ConnectionState = 'connecting',
    line: Line | undefined,
    ready = Promise.withResolvers<Line>(),
    tries = 0,
    timer: ReturnType<typeof setTimeout> | undefined,
    closed = false;
  ready.promise.catch(() => undefined);
  const tell = (next: ConnectionState) => {
    state = next;
    for (const watcher of [...watchers]) watcher(next);
  };
  const connect = () => {
    clearTimeout(timer);
    const opened = overWire(socketWire(new WebSocket(`ws://${location.host}/socket`)), version);
    opened.greeted.then(
      () => {
        const first = state === 'connecting';
        line = opened;
        tries = 0;
        ready.resolve(opened);
        opened.subscribe(event => {
          for (const listener of [...events]) listener(event);
        });
        if (!first) for (const listener of [...events]) listener({ type: 'restored' }); // something may have been missed
        tell('online');
      },
      (error: unknown) => {
        // a program that was updated meanwhile: the page is the old one's
        if (error instanceof StudioError && error.code === 'busy') return location.reload();
      },
    );
    void opened.gone.then(() => {
      opened.close();
      if (closed) return;
      if (line === opened) {
        line = undefined;
        ready = Promise.withResolvers<Line>();
        ready.promise.catch(() => undefined);
      }
      timer = setTimeout(connect, patience[Math.min(tries++, patience.length - 1)]);
      if (state === 'online' || tries > 2) tell('lost');
    });
  };
  connect();

  const overHttp = async (method: string, body: string, signal?: AbortSignal): Promise<Reply> => {
    try {
      const answer = await fetch(`/api/${method}`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body,
        ...(signal && { signal }),
      });
      if (!answer.ok) return refused(answer.status === 413 ? 'badInput' : 'disconnected', (await answer.text()).trim());
      return reply.parse(await answer.json());
    } catch {
      return signal?.aborted ? refused('canceled', 'canceled') : refused('disconnected', 'Protagonist does not answer');
    }
  };
  const call: Host['transport']['call'] = async (method, input, signal) => {
    const body = JSON.stringify(input) as string | undefined;
    if (body !== undefined && body.length > longestFrame) return overHttp(method, body, signal);
    for (let asked = 1; ; asked++) {
      if (closed) return refused('disconnected', 'the connection is closed');
      const waited = line ?? (await Promise.race([ready.promise, new Promise<undefined>(done => setTimeout(done, 10_000, undefined))]));
      if (!waited) return refused('disconnected', 'Protagonist does not answer: start it again, and this page goes on by itself');
      const answered = await waited.call(method, input, signal);
      if (!('error' in answered) || answered.error.code !== 'disconnected') return answered;
      if (answered.unsent ? asked > 20 : asked > 4 || !repeatable(method)) return answered;
      await waited.gone; // it is on its way out: the next line is another one
    }
  };
  const ask = async <S extends z.ZodType>(method: string, input: unknown, schema: S): Promise<z.output<S>> => {
    const answered = await call(method, input);
    if ('error' in answered) throw new StudioError(answered.error.code, answered.error.text);
    return schema.parse(answered.value);
  };

  return {
    transport: {
      call,
      subscribe: listener => {
        events.add(listener);
        return () => events.delete(listener);
      },
      close: () => {
        closed = true;
        clearTimeout(timer);
        line?.close();
      },
    },
    watch: listener => {
      watchers.add(listener);
      listener(state);
      return () => watchers.delete(listener);
    },
    again: () => {
      if (!line) connect();
    },
    media: (id, kind, v) => `/media/${id}/${kind}${v === undefined ? '' : `?v=${encodeURIComponent(v)}`}`,
    send: (file, name, { signal, progress } = {}) =>
      new Promise((resolve, reject) => {
        const request = new XMLHttpRequest(); // fetch does not tell how much has gone
        const fail = (code: 'canceled' | 'disconnected' | 'badInput', text: string) => reject(new StudioError(code, text));
        if (signal?.aborted) return fail('canceled', 'canceled');
        request.open('POST', `/upload?name=${encodeURIComponent(name.slice(-200))}`);
        request.setRequestHeader('x-protagonist', '1');
        request.setRequestHeader('content-type', 'application/octet-stream');
        request.upload.addEventListener('progress', e => progress?.(e.lengthComputable ? e.loaded / e.total : 0));
        request.addEventListener('error', () => fail('disconnected', 'Protagonist does not answer'));
        request.addEventListener('abort', () => fail('canceled', 'canceled'));
        request.addEventListener('load', () => {
          if (request.status !== 200) return fail(request.status >= 500 ? 'disconnected' : 'badInput', request.responseText.trim());
          const sent = z.object({ value: z.object({ id: z.string() }) }).safeParse(JSON.parse(request.responseText));
          if (sent.success) resolve({ path: sent.data.value.id });
          else fail('disconnected', 'the host answered in a way that is not understood');
        });
        signal?.addEventListener('abort', () => request.abort(), { once: true });
        request.send(new Blob([file], { type: 'application/octet-stream' }));
      }),
    save: (what, name) => {
      const href = typeof what === 'string' ? what : URL.createObjectURL(what);
      const link = Object.assign(document.createElement('a'), { href, download: name });
      document.body.append(link);
      link.click();
      link.remove();
      if (typeof what !== 'string') setTimeout(() => URL.revokeObjectURL(href), 60_000); // the browser reads it when it pleases
    },
    roots: async () => (await ask('roots.list', undefined, z.object({ roots: z.array(place) }))).roots,
    look: id => ask('roots.show', { id }, listing),
  };
}
