/** @file Who may ask at all: one guard before any routing. It knows headers, the token and the clock, and no route. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/** Why a request gets nothing: an HTTP status and a sentence for a person, with nothing of the request in it. */
export interface Refusal {
  readonly status: 401 | 403 | 415 | 421 | 429;
  readonly text: string;
}

/** The guard of one host. */
export interface Guard {
  /** The secret of the address: 256 bits, drawn anew at each start, on no disk. Whoever has it may do what a window may. */
  readonly token: string;
  /** `set-cookie` for a browser that has shown the token; a secret of its own, so that the token stays where it is. */
  readonly cookie: string;
  /** @param upgrade whether it asks for a socket, which pages of other sites may ask for too: then an Origin is demanded
   * @returns nothing if it may go on */
  refuses(request: IncomingMessage, upgrade: boolean): Refusal | undefined;
}

/** Milliseconds over which wrong tokens are counted. */
const minute = 60_000;
const digest = (text: string) => createHash('sha256').update(text).digest();
const refusal = (status: Refusal['status'], text: string): Refusal => ({ status, text });
/** The one value that a header has; undefined where it is not there, null where it is there more than once. */
const single = ({ headersDistinct }: IncomingMessage, name: string): string | null | undefined => {
  const values = headersDistinct[name];
  return values === undefined ? undefined : values.length === 1 ? values[0]! : null;
};

/**
 * Checks, in this order: Host (another one is a rebound name: 421), Origin and Sec-Fetch-Site (pages of other sites and ports: 403), token (401, wrong ones
 * too often 429), and for all that is not GET or HEAD what no form can send: a content type and a header of ours (415).
 * A cookie alone changes nothing: browsers send it to every port of this machine, so that a change by cookie must name our Origin too.
 * @param host as in the address that was printed, for example `127.0.0.1:4123`
 * @param failures wrong tokens in a minute from which on more of them get 429; the right one always passes, so that nobody is shut out by them
 * @param stranger whether a connection comes from another user of this machine: then nothing is a proof (403)
 * @param now milliseconds of a clock that does not jump
 */
export function guardOf(
  host: string,
  {
    failures = 10,
    stranger = () => false,
    now = () => performance.now(),
  }: { failures?: number; stranger?: (socket: Socket) => boolean; now?: () => number } = {},
): Guard {
  const origin = `http://${host}`,
    token = randomBytes(32).toString('base64url'),
    session = randomBytes(32).toString('base64url'),
    name = `protagonist-${host.split(':')[1] ?? '80'}`,
    wanted = { token: digest(token), session: digest(session) };
  const wrong: number[] = []; // when, of the last ones: no more than `failures`
  const matches = (given: string, kind: keyof typeof wanted) => timingSafeEqual(digest(given), wanted[kind]);

  /** By which proof a request comes; undefined: it shows none. */
  const proofOf = (request: IncomingMessage): 'token' | 'cookie' | 'wrong' | undefined => {
    const { authorization } = request.headers;
    if (authorization !== undefined) {
      const [, given] = /^Bearer +([^\s]+)$/i.exec(authorization) ?? [];
      return given !== undefined && matches(given, 'token') ? 'token' : 'wrong';
    }
    // another port of this machine may have set cookies of the same name: one of them has to be ours
    const given = (request.headers.cookie ?? '')
      .split(';')
      .map(pair => pair.trim())
      .filter(pair => pair.startsWith(`${name}=`));
    if (given.length === 0) return undefined;
    return given.slice(0, 20).some(pair => matches(pair.slice(name.length + 1), 'session')) ? 'cookie' : 'wrong';
  };
  /** Counts a wrong token; whether there were too many. */
  const tooMany = () => {
    const since = now() - minute;
    while (wrong.length > 0 && wrong[0]! <= since) wrong.shift();
    if (wrong.length >= failures) return true;
    wrong.push(now());
    return false;
  };

  return {
    token,
    cookie: `${name}=${session}; Path=/; HttpOnly; SameSite=Strict`,
    refuses: (request, upgrade) => {
      // a target that is a whole address would count more than the Host
      if (single(request, 'host') !== host || !request.url?.startsWith('/'))
        return refusal(421, `This is not the address under which Protagonist answers: open ${origin}/ as it was printed.`);
      const from = single(request, 'origin');
      if (from === undefined ? upgrade : from !== origin)
        return refusal(403, 'Pages of other sites get nothing here: open the address that was printed.');
      const site = single(request, 'sec-fetch-site');
      if (site !== undefined && site !== 'same-origin' && site !== 'none')
        return refusal(403, 'Pages of other sites get nothing here: type the address, or open it from the terminal.');
      const proof = proofOf(request);
      if (proof === 'wrong' && tooMany())
        return refusal(429, 'There were too many wrong tokens: wait a minute, then use the address that was printed.');
      if (proof === undefined || proof === 'wrong')
        return refusal(
          401,
          'The token is missing or wrong: open the whole address that protagonist serve printed when it was started last.',
        );
      if (stranger(request.socket))
        return refusal(403, 'Another user of this machine asks: open the address as the user who has started Protagonist.');
      if (request.method === 'GET' || request.method === 'HEAD') return undefined;
      const type = single(request, 'content-type')?.split(';')[0]?.trim().toLowerCase();
      if (single(request, 'x-protagonist') !== '1' || (type !== 'application/json' && type !== 'application/octet-stream'))
        return refusal(415, 'Send application/json, or a file as application/octet-stream, with the header x-protagonist: 1.');
      if (proof === 'cookie' && from === undefined)
        return refusal(403, 'A change that shows only a cookie has to name its Origin: send the token instead.');
      return undefined;
    },
  };
}
