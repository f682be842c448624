/** @file How anything is answered over HTTP: the headers that every answer has, texts, JSON, bodies within bounds. */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** What a page that came from here may do. What is no page may do nothing at all. */
export const policies = {
  nothing: "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
  /** @param host where its socket is: `self` is no socket everywhere */
  window: (host: string) =>
    `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; font-src 'self'; connect-src 'self' ws://${host}; worker-src 'self'; manifest-src 'self'; frame-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
} as const;

/** Of every answer, also of those that refuse. None of them lets another origin read anything. */
export const safety: Readonly<Record<string, string>> = {
  'content-security-policy': policies.nothing,
  'x-content-type-options': 'nosniff',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
};

/** What a browser may keep, each for seconds. Nothing else is kept: not a sentence, not a video, not a page. Whoever is signed in as somebody else at the
 * same browser has that browser's files anyway; another origin reads neither the answer nor the copy, since `cross-origin-resource-policy` is kept with it. */
export const kept = {
  /** A picture whose address has a digest of its content: what scrolling back and forth would load again and again. A day, so that what was erased goes. */
  picture: { 'cache-control': 'private, max-age=86400, immutable' },
  /** A file of the window whose name has a digest of its content: the same program every time, compiled once. */
  program: { 'cache-control': 'private, max-age=31536000, immutable' },
} as const satisfies Readonly<Record<string, Readonly<Record<string, string>>>>;
/** Whether an address's `v` is a digest: 16 digits or more of one in base 16. A plain number, a time may mean something else in another library. */
export const isDigest = (version: string | null): boolean => version !== null && /^[0-9a-f]{16,64}$/.test(version);

/** A status with a sentence, thrown by what reads a request. */
export class HttpError extends Error {
  readonly status: number;
  constructor(status: number, text: string) {
    super(text);
    this.name = 'HttpError';
    this.status = status;
  }
}

const hasBody = ({ headers }: IncomingMessage) => headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/** Sends one whole answer. What of the request's body was not read is not waited for: then the connection ends. */
export function send(response: ServerResponse, status: number, headers: Readonly<Record<string, string>>, body: string | Uint8Array): void {
  const { req: request } = response;
  if (response.headersSent || response.destroyed) return void response.destroy();
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  const cut = hasBody(request) && !request.complete;
  response.writeHead(status, { ...safety, ...headers, 'content-length': bytes.length, ...(cut && { connection: 'close' }) });
  response.end(request.method === 'HEAD' ? undefined : bytes);
}
export const sendText = (response: ServerResponse, status: number, text: string, headers: Readonly<Record<string, string>> = {}): void =>
  send(response, status, { 'content-type': 'text/plain; charset=utf-8', ...headers }, `${text}\n`);
export const sendJson = (response: ServerResponse, status: number, value: unknown): void =>
  send(response, status, { 'content-type': 'application/json' }, JSON.stringify(value));

/** The same where there is no response object yet or any more: the connection ends with it. */
export function sendRaw(socket: Duplex, status: number, text: string): void {
  const body = Buffer.from(`${text}\n`);
  const headers = { ...safety, 'content-type': 'text/plain; charset=utf-8', 'content-length': body.length, connection: 'close' };
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  if (socket.writable)
    socket.end(Buffer.concat([Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${head.join('')}\r\n`), body]));
  setTimeout(() => socket.destroy(), 500).unref();
}

/** A request's body, piece by piece.
 * @param most bytes that it may have; more of them are not read
 * @param idle milliseconds within which something has to come
 * @throws HttpError 413, 408, 415 for a coding we do not undo, 400 where it breaks off */
export async function* bodyOf(response: ServerResponse, most: number, idle: number): AsyncGenerator<Buffer> {
  const { req: request } = response;
  const tooLarge = new HttpError(413, `That is too large: at most ${most >> 20} MiB are taken at once.`);
  if ((request.headers['content-encoding'] ?? 'identity') !== 'identity')
    throw new HttpError(415, 'Send the bytes as they are, without a content-encoding.');
  if (Number(request.headers['content-length'] ?? 0) > most) throw tooLarge;
  if (request.headers.expect !== undefined) response.writeContinue(); // not before: what is refused is not to be sent
  const stopped = { late: false };
  let size = 0;
  const tooLate = () => {
    stopped.late = true;
    request.destroy();
  };
  let timer = setTimeout(tooLate, idle);
  try {
    // leaving the loop early must leave the response alone
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      clearTimeout(timer);
      size += (chunk as Buffer).length;
      if (size > most) throw tooLarge;
      yield chunk as Buffer;
      timer = setTimeout(tooLate, idle);
    }
  } catch (error) {
    if (error instanceof HttpError) throw error;
    if (stopped.late) throw new HttpError(408, 'The rest of it did not come.');
    if (!request.complete) throw new HttpError(400, 'The connection broke off.');
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
