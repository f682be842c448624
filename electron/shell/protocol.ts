/** @file The scheme of the desktop app: the files of the window by their name, the library's pictures and videos by id, and nothing else. An address is only ever compared with names that are known, so that none leads to a path of this machine. */
import type { CustomScheme } from 'electron';
import type { Answer } from '../contract/rpc.ts';
import { kept, safety } from '../serve/answers.ts';
import { findMedia, headOf, piecesOf } from '../serve/media.ts';
import { windowFiles } from '../serve/window.ts';

/** The one origin of the app. The window is `/window/`; pictures and videos have the same paths as over `protagonist serve`. */
export const origin = 'app://protagonist';

/** Registered once, before the app is ready. Not `bypassCSP`, not `corsEnabled` (then no other origin reads an answer), not `allowServiceWorkers`. */
export const privileges: CustomScheme[] = [
  { scheme: 'app', privileges: { standard: true, secure: true, supportFetchAPI: true, stream: true, codeCache: true } },
];

/** What the window may do in the shell: as over `protagonist serve`, without its socket. */
export const windowPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; frame-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

type Asked = Pick<Request, 'url' | 'method' | 'headers' | 'signal'>;
type Headers = Readonly<Record<string, string>>;

const whole = ({ method }: Asked, status: number, headers: Headers, body: Uint8Array<ArrayBuffer>) =>
  new Response(method === 'HEAD' ? null : body, { status, headers: { ...safety, ...headers, 'content-length': String(body.length) } });
const said = (asked: Asked, status: number, text: string, headers: Headers = {}) =>
  whole(asked, status, { 'content-type': 'text/plain; charset=utf-8', ...headers }, Buffer.from(`${text}\n`));

/** Whoever stops reading stops the reading: nothing is read ahead, and nothing stays open between two pieces. */
const streamOf = (pieces: AsyncGenerator<Uint8Array, undefined>, stop: () => void) =>
  new ReadableStream<Uint8Array>(
    {
      pull: async controller => {
        const { value } = await pieces.next();
        if (value) controller.enqueue(value);
        else controller.close();
      },
      cancel: stop,
    },
    { highWaterMark: 0 },
  );

async function media(asked: Asked, answer: Answer, wanted: { readonly id: string; readonly kind: string }, version: string | null) {
  const stop = new AbortController(),
    signal = AbortSignal.any([asked.signal, stop.signal]);
  const found = await findMedia(answer, wanted, signal);
  if ('status' in found) return said(asked, found.status, found.text);
  const { method, headers } = asked;
  const head = headOf(found, { method, range: headers.get('range') ?? undefined, ifRange: headers.get('if-range') ?? undefined, version });
  const pieces = head.bytes && piecesOf(answer, wanted, found.size, head.bytes, signal);
  return new Response(pieces ? streamOf(pieces, () => stop.abort()) : null, { status: head.status, headers: head.headers });
}

/** Answers the requests of the scheme. What it returns never rejects.
 * @param window the folder of the built window: what lies in it now is all that is ever read there
 * @param answer as the window is answered
 * @param glance a small picture, as a JPEG, of a photo that the person has chosen, by the id of its place; nothing is shown of those if not given */
export function answering({
  window,
  answer,
  glance,
}: {
  window: string;
  answer: Answer;
  glance?: (id: string) => Promise<Uint8Array>;
}): (request: Request) => Promise<Response> {
  // as an address writes them: what comes is compared as it came, and decoded by nobody
  const files = new Map([...windowFiles(window)].map(([name, file]) => [`/window/${encodeURI(name)}`, file]));
  files.set('/window/', files.get('/window/index.html')!);
  const respond = async (asked: Asked) => {
    const [, path, query] = /^app:\/\/protagonist(\/[^?#]*)(?:\?([^#]*))?/.exec(asked.url) ?? [];
    if (path === undefined) return said(asked, 404, 'There is nothing at this address.');
    if (asked.method !== 'GET' && asked.method !== 'HEAD') return said(asked, 405, 'This address takes GET, HEAD.', { allow: 'GET, HEAD' });
    const file = files.get(path);
    if (file) {
      const headers = { 'content-type': file.type, 'content-security-policy': windowPolicy, ...(file.fixed && kept.program) };
      return whole(asked, 200, headers, new Uint8Array(await file.read()));
    }
    const [, place] = /^\/place\/(f[1-9]\d{0,5}(?:%2F[\w.~!'()*%-]+)?)$/.exec(path) ?? [];
    if (place !== undefined && glance) {
      const looked = async () => glance(decodeURIComponent(place)); // what is no text is nothing's id
      const picture = await looked().catch(() => undefined); // what is wrong with it, taking it in says
      if (!picture) return said(asked, 404, 'There is no picture of this file.');
      return whole(asked, 200, { 'content-type': 'image/jpeg', 'cache-control': 'no-store' }, new Uint8Array(picture));
    }
    const [, id, kind] = /^\/media\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
    if (id === undefined || kind === undefined) return said(asked, 404, 'There is nothing at this address.');
    return media(asked, answer, { id, kind }, new URLSearchParams(query).get('v'));
  };
  return request => respond(request).catch(() => said(request, 500, 'Something went wrong inside Protagonist: please report it.'));
}

/** Answers the `file` scheme, of which nothing is shown: also not what lies beside the window. */
export const refusing = (request: Request): Response => said(request, 403, 'Files are not shown by their path.');
