/** @file The headless host: a library for a browser on this machine, over HTTP and a WebSocket, behind one guard. It is a client of the studio like every other. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocketServer, type WebSocket } from 'ws';
import { StudioError } from './contract/errors.ts';
import type { Transport } from './contract/rpc.ts';
import { serveWire } from './contract/wire.ts';
import { send, sendRaw, sendText } from './serve/answers.ts';
import { forBrowsers } from './serve/browser.ts';
import { guardOf } from './serve/guard.ts';
import { strangers } from './serve/peer.ts';
import { placesOf } from './serve/places.ts';
import { route, routesOf, socketRoute, type Route } from './serve/routes.ts';
import { forBrowser } from './serve/sentences.ts';
import { longest, webSocketWire } from './serve/socket.ts';
import { door, windowFiles } from './serve/window.ts';

export interface ServeOptions {
  /** The library's, of a host that takes paths: what of that a browser gets is decided here. */
  readonly transport: Transport;
  /** On 127.0.0.1; 0: one that is free. */
  readonly port: number;
  /** Folders of this machine that a browser may look into. */
  readonly roots: readonly string[];
  /** The built window's folder; a page of ours stands in for one that is not there. */
  readonly window: string;
  /** Wrong tokens in a minute from which on more of them get 429. */
  readonly failures?: number;
  /** Milliseconds for a request's headers, between two pieces of its body, and between two signs of life of a socket. */
  readonly patience?: { readonly headers?: number; readonly idle?: number; readonly heartbeat?: number };
}

export interface Host {
  /** With the token: to be told once. */
  readonly address: string;
  /** `http://127.0.0.1:4123`. */
  readonly origin: string;
  readonly token: string;
  readonly roots: readonly { readonly id: string; readonly name: string }[];
  /** All that is answered. */
  readonly routes: readonly Route[];
  /** Says so to the windows, waits a moment for what is being answered, and takes nothing new. The transport stays open. */
  close(): Promise<void>;
}

/** Windows at once, connections, and those among them that have shown no proof yet: one more ends the oldest of these, so that they shut nobody out. */
const [mostSockets, mostConnections, mostUnproven] = [32, 1024, 512];
/** Milliseconds that a whole request may take: the longest file over a slow tunnel. */
const wholeRequest = 3_600_000;

/** Listens on this machine alone.
 * @throws StudioError `badInput` for a root that is no folder, `conflict` for a port that is taken */
export async function serveLibrary({ transport, port, roots, window, failures, patience = {} }: ServeOptions): Promise<Host> {
  const { headers = 10_000, idle = 30_000, heartbeat = 30_000 } = patience;
  const places = placesOf(roots);
  const described = await transport.call('host.describe', {});
  if ('error' in described) throw new StudioError(described.error.code, described.error.text);
  const { version } = described.value as { version: string };

  const server = createServer({
    headersTimeout: headers,
    requestTimeout: wholeRequest,
    connectionsCheckingInterval: Math.min(1000, headers / 2),
    keepAliveTimeout: 5000,
    maxHeaderSize: 16 << 10,
    requireHostHeader: false, // the guard says so with the same words as for a wrong one
  });
  server.maxConnections = mostConnections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new StudioError(
          'conflict',
          error.code === 'EADDRINUSE'
            ? `port ${port} is taken by another program: name another with --port, or none`
            : `port ${port} cannot be listened at (${error.code ?? error.message}): name another with --port, or none`,
          { cause: error },
        ),
      ),
    );
    server.listen({ port, host: '127.0.0.1' }, resolve);
  });
  server.on('error', () => undefined); // a connection that could not be accepted tries again
  const own = (server.address() as AddressInfo).port;
  const { origin, host } = new URL(`http://127.0.0.1:${own}`);
  let stranger: Awaited<ReturnType<typeof strangers>> = undefined;
  const guard = guardOf(host, { stranger: socket => stranger?.(socket) ?? false, ...(failures !== undefined && { failures }) });
  const answer = forBrowsers(transport, places);

  const frames = new WebSocketServer({ noServer: true, maxPayload: longest, perMessageDeflate: false, clientTracking: false });
  const sockets = new Map<WebSocket, { leave: () => Promise<unknown>; alive: boolean }>();
  const accept = (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (sockets.size >= mostSockets) return sendRaw(socket, 503, `${mostSockets} windows are open: close one of them.`);
    frames.handleUpgrade(request, socket, head, open => {
      const leave = serveWire(webSocketWire(open), answer, listener => transport.subscribe(said => listener(forBrowser(said))), version, {
        calls: 200,
        most: 64 << 20,
      });
      const state = { leave, alive: true };
      sockets.set(open, state);
      open.on('pong', () => (state.alive = true));
      open.on('close', () => sockets.delete(open));
    });
  };
  const beat = setInterval(() => {
    for (const [socket, state] of sockets) {
      if (!state.alive) socket.terminate();
      state.alive = false;
      socket.ping();
    }
  }, heartbeat).unref();

  const routes = routesOf({ answer, places, window: windowFiles(window), host, cookie: guard.cookie, idle, accept });
  /** Connections on which nothing was ever asked: no time limit of Node's holds for them. */
  const silent = new WeakMap<Duplex, NodeJS.Timeout>();
  const unproven = new Set<Duplex>(); // oldest first
  server.on('connection', socket => {
    silent.set(socket, setTimeout(() => socket.destroy(), headers + 500).unref());
    socket.on('close', () => unproven.delete(socket));
    if (unproven.add(socket).size > mostUnproven) unproven.values().next().value!.destroy();
  });
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    clearTimeout(silent.get(request.socket));
    const refusal = guard.refuses(request, false);
    if (refusal) {
      const atDoor = request.method === 'GET' && request.url!.split('?')[0] === '/';
      // whoever comes with the token in the fragment has shown none yet
      if (atDoor && (refusal.status === 401 || refusal.status === 429))
        return send(
          response,
          refusal.status,
          { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': door.policy },
          door.html,
        );
      return sendText(response, refusal.status, refusal.text, refusal.status === 429 ? { 'retry-after': '60' } : {});
    }
    unproven.delete(request.socket);
    const controller = new AbortController();
    response.on('close', () => controller.abort());
    void route(routes, response, controller.signal);
  };
  server.on('request', handle).on('checkContinue', handle).on('checkExpectation', handle);
  server.on('upgrade', (request, socket, head) => {
    clearTimeout(silent.get(socket));
    socket.on('error', () => undefined);
    const refusal = guard.refuses(request, true);
    if (refusal) return sendRaw(socket, refusal.status, refusal.text);
    unproven.delete(socket);
    const found = socketRoute(routes, request.url!.split('?')[0]!);
    if (!found) return sendRaw(socket, 404, 'There is no socket at this address.');
    found.accept(request, socket, head);
  });
  frames.on('wsClientError', (_, socket) => sendRaw(socket, 400, 'That is no WebSocket.'));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
    const status = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
    sendRaw(socket, status, 'The request is not understood, or came too slowly.');
  });

  stranger = await strangers(own); // nobody has been told the token yet
  return {
    address: `${origin}/#token=${guard.token}`,
    origin,
    token: guard.token,
    roots: places.roots,
    routes,
    close: async () => {
      clearInterval(beat);
      const closed = new Promise(done => server.close(done));
      server.closeIdleConnections();
      await Promise.race([Promise.all([...sockets.values()].map(({ leave }) => leave())), sleep(1500, undefined, { ref: false })]);
      for (const socket of sockets.keys()) socket.terminate();
      await Promise.race([closed, sleep(1500, undefined, { ref: false })]);
      server.closeAllConnections();
      places.close();
    },
  };
}
