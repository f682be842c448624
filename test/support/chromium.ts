/** @file A Chromium without a window, driven over a pipe by its DevTools protocol; and where there is one on this machine. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

/** The browser's program; undefined where there is none (`apt-get install chromium`). */
export const chromium: string | undefined = (process.env['PATH'] ?? '')
  .split(delimiter)
  .flatMap(folder => ['chromium', 'chromium-browser', 'google-chrome'].map(name => join(folder, name)))
  .find(file => existsSync(file));

type Message = Readonly<Record<string, unknown>>;
/** One tab. */
export interface Page {
  /** Goes there and waits until it is loaded, or refused.
   * @param html what is there instead, as if it had come from there: a name that leads elsewhere a moment later */
  goto(url: string, html?: string): Promise<void>;
  /** What an expression, or a promise of it, gives; JSON only.
   * @throws Error with what the page threw */
  run<T>(expression: string): Promise<T>;
  /** Waits until an expression is true. */
  until(expression: string, milliseconds?: number): Promise<void>;
}
export interface Browser {
  newPage(): Promise<Page>;
  /** All answers that pages have had from anywhere, in order: the whole address and the status (101 for a socket). */
  readonly answers: { readonly url: string; readonly status: number }[];
  /** What pages have said by `console.log`. */
  readonly said: string[];
  close(): Promise<void>;
}

/** @param flags beside those that every test needs */
export async function openBrowser(flags: readonly string[] = []): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), 'protagonist-chromium-'));
  const child = spawn(
    chromium!,
    ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--remote-debugging-pipe', `--user-data-dir=${profile}`, ...flags, 'about:blank'],
    { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
  ); // prettier-ignore
  const [input, output] = [child.stdio[3] as Writable, child.stdio[4] as Readable];
  const ended = new Promise<void>(done => child.on('close', () => done()));
  const waiting = new Map<number, { resolve: (value: Message) => void; reject: (e: Error) => void }>(),
    listeners = new Set<(session: string, method: string, parameters: Message) => void>(),
    answers: Browser['answers'] = [],
    said: string[] = [];
  let last = 0,
    rest = '';
  input.on('error', () => undefined);
  output.setEncoding('utf8').on('data', (text: string) => {
    const messages = (rest + text).split('\0');
    rest = messages.pop()!;
    for (const each of messages) {
      const {
        id,
        sessionId = '',
        method,
        params,
        result,
        error,
      } = JSON.parse(each) as {
        id?: number;
        sessionId?: string;
        method?: string;
        params?: Message;
        result?: Message;
        error?: { message: string };
      };
      if (id === undefined) {
        for (const listener of [...listeners]) listener(sessionId, method!, params!);
        continue;
      }
      const call = waiting.get(id);
      waiting.delete(id);
      if (error) call?.reject(new Error(error.message));
      else call?.resolve(result ?? {});
    }
  });
  const send = (method: string, parameters: Message = {}, sessionId?: string) =>
    new Promise<Message>((resolve, reject) => {
      const id = ++last;
      waiting.set(id, { resolve, reject });
      input.write(`${JSON.stringify({ id, method, params: parameters, ...(sessionId !== undefined && { sessionId }) })}\0`);
    });
  listeners.add((session, method, parameters) => {
    if (method === 'Target.attachedToTarget') {
      // frames of other sites and windows that pages open are looked at too
      const { sessionId } = parameters as { sessionId: string };
      void Promise.all([send('Network.enable', {}, sessionId), send('Runtime.enable', {}, sessionId), follow(sessionId)]).then(() => send('Runtime.runIfWaitingForDebugger', {}, sessionId)).catch(() => undefined); // prettier-ignore
    }
    if (method === 'Network.responseReceived' || method === 'Network.webSocketHandshakeResponseReceived') {
      const { response } = parameters as { response: { url?: string; status: number } };
      answers.push({ url: response.url ?? `ws in ${session}`, status: response.status });
    }
    if (method === 'Runtime.consoleAPICalled') said.push(...(parameters as { args: { value?: unknown }[] }).args.map(a => String(a.value)));
  });
  const follow = (sessionId?: string) =>
    send('Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: true, flatten: true }, sessionId);
  await follow();

  return {
    answers,
    said,
    newPage: async () => {
      const { targetId } = (await send('Target.createTarget', { url: 'about:blank' })) as { targetId: string };
      const { sessionId } = (await send('Target.attachToTarget', { targetId, flatten: true })) as { sessionId: string };
      for (const domain of ['Page', 'Runtime', 'Network']) await send(`${domain}.enable`, {}, sessionId);
      await follow(sessionId);
      const run = async <T>(expression: string): Promise<T> => {
        const { result, exceptionDetails } = (await send(
          'Runtime.evaluate',
          { expression, awaitPromise: true, returnByValue: true, userGesture: true },
          sessionId,
        )) as { result: { value: T }; exceptionDetails?: { text: string; exception?: { description?: string } } };
        if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
        return result.value;
      };
      return {
        goto: async (url, html) => {
          const served = (session: string, method: string, parameters: Message) => {
            if (session === sessionId && method === 'Fetch.requestPaused')
              void send('Fetch.fulfillRequest', { requestId: parameters['requestId'], responseCode: 200, responseHeaders: [{ name: 'content-type', value: 'text/html' }], body: Buffer.from(html!).toString('base64') }, sessionId); // prettier-ignore
          };
          if (html !== undefined) {
            listeners.add(served);
            await send('Fetch.enable', { patterns: [{ urlPattern: url }] }, sessionId);
          }
          const loaded = new Promise<void>(done => {
            const listener = (session: string, method: string) => {
              if (session !== sessionId || method !== 'Page.loadEventFired') return;
              listeners.delete(listener);
              done();
            };
            listeners.add(listener);
            setTimeout(listener, 15_000, sessionId, 'Page.loadEventFired').unref(); // refused, or a download
          });
          const { errorText } = (await send('Page.navigate', { url }, sessionId)) as { errorText?: string };
          if (errorText === undefined) await loaded;
          if (html !== undefined) await send('Fetch.disable', {}, sessionId);
          listeners.delete(served);
        },
        run,
        until: async (expression, milliseconds = 60_000) => {
          for (const end = performance.now() + milliseconds; performance.now() < end; await new Promise(done => setTimeout(done, 50)))
            if (await run<boolean>(`Boolean(${expression})`).catch(() => false)) return;
          throw new Error(
            `never true in ${milliseconds} ms: ${expression}; the page: ${String(await run('document.body?.innerText').catch(String))}`,
          );
        },
      };
    },
    close: async () => {
      await Promise.race([send('Browser.close').catch(() => undefined), new Promise(done => setTimeout(done, 3000).unref())]);
      child.kill('SIGKILL');
      await ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
