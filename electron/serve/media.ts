/** @file Pictures, videos and exports over HTTP: by id, in pieces, so that a player can jump about in them. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { ErrorCode } from '../contract/errors.ts';
import type { Exported } from '../contract/records.ts';
import type { Answer } from '../contract/rpc.ts';
import { safety, sendText } from './answers.ts';
import { fileName } from './places.ts';

/** What we make ourselves and a browser may show; all else is only a file to be saved. */
const shown = new Set(['image/jpeg', 'image/png', 'video/mp4']);
/** Bytes that are asked of the library at a time. */
const piece = 1 << 20;
/** Milliseconds that a player may stand still; it then asks anew for the rest. */
const patience = 300_000;

/** Which bytes of `size` a Range header asks for, both ends included; `all` where there is no header, or one that need not be understood (several ranges,
 * other units); `none` where it asks for nothing that is there. */
export function rangeOf(header: string | undefined, size: number): 'all' | 'none' | readonly [from: number, to: number] {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/i.exec(header?.trim() ?? '') ?? [];
  if (first === undefined || last === undefined || first + last === '') return 'all';
  if (first === '') {
    const suffix = Number(last);
    return suffix === 0 || size === 0 ? 'none' : [Math.max(0, size - suffix), size - 1];
  }
  const from = Number(first),
    to = last === '' ? Infinity : Number(last);
  if (to < from) return 'all';
  return from >= size ? 'none' : [from, Math.min(to, size - 1)];
}

interface Piece {
  readonly base64: string;
  /** Of the whole file. */
  readonly bytes: number;
  readonly type: string;
}
const gone: ReadonlySet<ErrorCode> = new Set(['badInput', 'notFound', 'missing']);

/** `content-disposition` of a file that is saved and never shown.
 * @param name what a person calls it, with its extension */
export function savedAs(name: string): string {
  const plain = fileName(name); // nothing in it ends a header or a quoted text
  const encoded = encodeURIComponent(plain).replace(/[()]/g, c => `%${c.charCodeAt(0).toString(16)}`);
  return `attachment; filename="${plain.replace(/[^ -~]/gu, '_')}"; filename*=UTF-8''${encoded}`;
}

/** Answers GET or HEAD for the file behind an id.
 * @param answer as a browser is answered
 * @param wanted as the address has it: the API's parser says whether it is one */
export async function sendMedia(
  response: ServerResponse,
  answer: Answer,
  wanted: { readonly id: string; readonly kind: string },
  signal: AbortSignal,
): Promise<void> {
  const { req: request } = response;
  const read = (offset: number, length: number) => answer('media.read', { ...wanted, offset, length }, signal);
  const first = await read(0, 1);
  if ('error' in first) return sendText(response, gone.has(first.error.code) ? 404 : 503, first.error.text);
  const { bytes: size, type } = first.value as Piece;
  let name: string | undefined;
  if (wanted.kind === 'export') {
    const shown = await answer('exports.show', { id: wanted.id }, signal);
    if ('error' in shown) return sendText(response, gone.has(shown.error.code) ? 404 : 503, shown.error.text);
    const made = shown.value as Pick<Exported, 'name' | 'plan'>;
    name = `${made.name}.${made.plan?.extension ?? 'bin'}`;
  }
  // we give no validator, so none can match
  const range = request.method === 'GET' && request.headers['if-range'] === undefined ? rangeOf(request.headers.range, size) : 'all';
  const headers = {
    ...safety,
    'accept-ranges': 'bytes',
    ...(name === undefined && shown.has(type)
      ? { 'content-type': type }
      : { 'content-type': 'application/octet-stream', 'content-disposition': name === undefined ? 'attachment' : savedAs(name) }),
  };
  if (range === 'none') {
    response.writeHead(416, { ...headers, 'content-range': `bytes */${size}`, 'content-length': 0 }).end();
    return;
  }
  const [from, to] = range === 'all' ? [0, size - 1] : range;
  response.writeHead(range === 'all' ? 200 : 206, {
    ...headers,
    'content-length': to - from + 1,
    ...(range !== 'all' && { 'content-range': `bytes ${from}-${to}/${size}` }),
  });
  if (request.method === 'HEAD') return void response.end();
  for (let at = from; at <= to;) {
    const reply = await read(at, Math.min(piece, to - at + 1));
    const part = 'error' in reply ? undefined : (reply.value as Piece);
    const bytes = Buffer.from(part?.base64 ?? '', 'base64');
    if (part?.bytes !== size || bytes.length === 0 || response.destroyed) return void response.destroy(); // it has changed meanwhile, or nobody listens
    at += bytes.length;
    if (!response.write(bytes)) await once(response, 'drain', { signal: AbortSignal.any([signal, AbortSignal.timeout(patience)]) });
  }
  response.end();
}
