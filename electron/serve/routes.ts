/** @file The table of routes: all that the host answers. Each is reached only through the guard, which knows none of them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { api } from '../contract/api.ts';
import type { Answer } from '../contract/rpc.ts';
import { bodyOf, HttpError, kept, policies, send, sendJson, sendText } from './answers.ts';
import { ownMethods } from './browser.ts';
import { sendMedia } from './media.ts';
import type { Places } from './places.ts';
import { door, type PageFile } from './window.ts';

/** A request that the guard let through, as a route gets it. */
export interface Asked {
  readonly response: ServerResponse;
  /** By name what stood where the route's path has `:name`, or after `*`: as it came, not decoded. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}
interface Plain {
  /** `GET` answers HEAD too and changes nothing. */
  readonly method: 'GET' | 'POST';
  /** `/media/:id/:kind`, `/window/*`. */
  readonly path: string;
  respond(asked: Asked): Promise<void> | void;
}
interface Upgrade {
  readonly method: 'UPGRADE';
  readonly path: string;
  accept(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}
export type Route = Plain | Upgrade;

/** What the routes answer from. */
export interface Sources {
  readonly answer: Answer;
  readonly places: Places;
  readonly window: ReadonlyMap<string, PageFile>;
  /** As in the address. */
  readonly host: string;
  readonly cookie: string;
  /** Milliseconds within which something of a body has to come. */
  readonly idle: number;
  readonly accept: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

/** Bytes of the longest input: a mask fits; photos and clips are sent as files. */
const longestInput = 16 << 20;
/** Bytes of the longest file: twice the longest photo that is read, and any clip. */
const longestFile = 512 << 20;
const sent = (response: ServerResponse) => response.req.headers['content-type']?.split(';')[0]?.trim().toLowerCase();

async function inputOf(response: ServerResponse, idle: number): Promise<unknown> {
  if (sent(response) !== 'application/json') throw new HttpError(415, 'Send the input as application/json.');
  const parts: Buffer[] = [];
  for await (const part of bodyOf(response, longestInput, idle)) parts.push(part);
  const text = Buffer.concat(parts).toString();
  try {
    return text === '' ? undefined : (JSON.parse(text) as unknown);
  } catch {
    throw new HttpError(400, 'The input is not JSON.');
  }
}

/** Every route of a host. */
export function routesOf({ answer, places, window, host, cookie, idle, accept }: Sources): readonly Route[] {
  const methods = [...Object.entries(api).flatMap(([noun, rows]) => Object.keys(rows).map(verb => `${noun}.${verb}`)), ...ownMethods];
  return [
    {
      method: 'GET',
      path: '/',
      respond: ({ response }) =>
        send(response, 200, { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': door.policy }, door.html),
    },
    {
      method: 'POST',
      path: '/session',
      respond: async ({ response }) => {
        await inputOf(response, idle);
        send(response, 200, { 'content-type': 'application/json', 'set-cookie': cookie }, '{}');
      },
    },
    {
      method: 'GET',
      path: '/window/*',
      respond: async ({ response, parameters }) => {
        let name: string | undefined;
        try {
          name = decodeURIComponent(parameters['*']!) || 'index.html';
        } catch {
          // no name of a file
        }
        const file = name === undefined ? undefined : window.get(name);
        if (!file) throw new HttpError(404, 'The window has no such file.');
        const headers = { 'content-type': file.type, 'content-security-policy': policies.window(host), ...(file.fixed && kept.program) };
        send(response, 200, headers, await file.read());
      },
    },
    {
      method: 'GET',
      path: '/media/:id/:kind',
      respond: ({ response, parameters, query, signal }) =>
        sendMedia(response, answer, { id: parameters['id']!, kind: parameters['kind']! }, query.get('v'), signal),
    },
    {
      method: 'POST',
      path: '/upload',
      respond: async ({ response, query }) => {
        if (sent(response) !== 'application/octet-stream') throw new HttpError(415, 'Send the file as application/octet-stream.');
        sendJson(response, 200, { value: await places.keep(query.get('name') ?? '', bodyOf(response, longestFile, idle)) });
      },
    },
    ...methods.map((name): Route => ({
      method: 'POST',
      path: `/api/${name}`,
      respond: async ({ response, signal }) => sendJson(response, 200, await answer(name, await inputOf(response, idle), signal)),
    })),
    { method: 'UPGRADE', path: '/socket', accept },
  ];
}

/** What a path gives a route's path, or nothing where they differ. */
function fits(route: string, path: string): Record<string, string> | undefined {
  const wanted = route.split('/'),
    given = path.split('/'),
    parameters: Record<string, string> = {};
  for (const [i, name] of wanted.entries()) {
    const part = given[i];
    if (part === undefined) return undefined;
    if (name === '*') return { ...parameters, '*': given.slice(i).join('/') };
    if (name.startsWith(':')) parameters[name.slice(1)] = part;
    else if (name !== part) return undefined;
  }
  return given.length === wanted.length ? parameters : undefined;
}

/** Answers a request that the guard let through. Never rejects. */
export async function route(routes: readonly Route[], response: ServerResponse, signal: AbortSignal): Promise<void> {
  const { req: request } = response,
    [path = '', query = ''] = request.url!.split(/\?(.*)/s),
    method = request.method === 'HEAD' ? 'GET' : request.method;
  const here = routes.flatMap(row => {
    const parameters = fits(row.path, path);
    return parameters ? [{ row, parameters }] : [];
  });
  try {
    const found = here.find(({ row }) => row.method === method);
    if (found && found.row.method !== 'UPGRADE')
      return await found.row.respond({ response, parameters: found.parameters, query: new URLSearchParams(query), signal });
    if (here.length === 0) return sendText(response, 404, 'There is nothing at this address.');
    if (here.some(({ row }) => row.method === 'UPGRADE'))
      return sendText(response, 426, 'This address is for a WebSocket.', { upgrade: 'websocket' });
    const allow = here.map(({ row }) => (row.method === 'GET' ? 'GET, HEAD' : row.method)).join(', ');
    sendText(response, 405, `This address takes ${allow}.`, { allow });
  } catch (error) {
    if (signal.aborted || response.headersSent)
      response.destroy(); // nobody waits, or half of it is out
    else if (error instanceof HttpError) sendText(response, error.status, error.message);
    else sendText(response, 500, 'Something went wrong inside Protagonist: please report it.');
  }
}

/** The route of a socket, or nothing. */
export const socketRoute = (routes: readonly Route[], path: string): Upgrade | undefined =>
  routes.find((row): row is Upgrade => row.method === 'UPGRADE' && row.path === path);
