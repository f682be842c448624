/** @file Pictures, videos and exports as HTTP answers: by id, in pieces, so that a player can jump about in them. How they are answered knows nothing of sockets: the shell's scheme answers the same. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { ErrorCode, Failure } from '../contract/errors.ts';
import type { Exported } from '../contract/records.ts';
import type { Answer } from '../contract/rpc.ts';
import { isDigest, kept, safety, sendText } from './answers.ts';
import { fileName } from './places.ts';

/** What we make ourselves and a browser may show; all else is only a file to be saved. */
const shown = new Set(['image/jpeg', 'image/png', 'video/mp4']);
const pictures = new Set(['image/jpeg', 'image/png']);
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

/** What is known of a file before any of it is sent. */
interface Found {
  readonly size: number;
  readonly type: string;
  /** What a person calls an export, with its extension: it is saved and never shown. */
  readonly name: string | undefined;
}
/** Why there is nothing to send. */
interface Lacking {
  readonly status: 404 | 503;
  readonly text: string;
}
/** As an address has it: the API's parser says whether it is one. */
export interface Wanted {
  readonly id: string;
  readonly kind: string;
}

/** Asks the library for the file behind an id.
 * @param answer as the client is answered */
export async function findMedia(answer: Answer, wanted: Wanted, signal: AbortSignal): Promise<Found | Lacking> {
  const lacking = ({ code, text }: Failure): Lacking => ({ status: gone.has(code) ? 404 : 503, text });
  const first = await answer('media.read', { ...wanted, offset: 0, length: 1 }, signal);
  if ('error' in first) return lacking(first.error);
  const { bytes: size, type } = first.value as Piece;
  if (wanted.kind !== 'export') return { size, type, name: undefined };
  const row = await answer('exports.show', { id: wanted.id }, signal);
  if ('error' in row) return lacking(row.error);
  const made = row.value as Pick<Exported, 'name' | 'plan'>;
  return { size, type, name: `${made.name}.${made.plan?.extension ?? 'bin'}` };
}

/** What of a request decides how a file is sent. */
interface AskedFor {
  readonly method: string | undefined;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  /** The address's `v`: a picture that is asked for by its digest may be kept. */
  readonly version: string | null;
}
interface Head {
  readonly status: 200 | 206 | 416;
  readonly headers: Readonly<Record<string, string>>;
  /** Which bytes follow, both ends included; nothing after HEAD and 416. */
  readonly bytes: readonly [from: number, to: number] | undefined;
}

/** How a file is answered, whatever carries the answer. */
export function headOf({ size, type, name }: Found, { method, range: header, ifRange, version }: AskedFor): Head {
  // we give no validator, so none can match
  const range = method === 'GET' && ifRange === undefined ? rangeOf(header, size) : 'all';
  const headers = {
    ...safety,
    ...(range === 'all' && name === undefined && pictures.has(type) && isDigest(version) && kept.picture),
    'accept-ranges': 'bytes',
    ...(name === undefined && shown.has(type)
      ? { 'content-type': type }
      : { 'content-type': 'application/octet-stream', 'content-disposition': name === undefined ? 'attachment' : savedAs(name) }),
  };
  if (range === 'none')
    return { status: 416, headers: { ...headers, 'content-range': `bytes */${size}`, 'content-length': '0' }, bytes: undefined };
  const [from, to] = range === 'all' ? [0, size - 1] : range;
  return {
    status: range === 'all' ? 200 : 206,
    headers: {
      ...headers,
      'content-length': String(to - from + 1),
      ...(range !== 'all' && { 'content-range': `bytes ${from}-${to}/${size}` }),
    },
    bytes: method === 'HEAD' ? undefined : [from, to],
  };
}

/** Bytes of a file, each piece read when the one before has been taken.
 * @throws Error where the file is not there as it was: what was sent of it is then never completed */
export async function* piecesOf(
  answer: Answer,
  wanted: Wanted,
  size: number,
  [from, to]: readonly [from: number, to: number],
  signal: AbortSignal,
): AsyncGenerator<Buffer<ArrayBuffer>, undefined> {
  for (let at = from; at <= to;) {
    const reply = await answer('media.read', { ...wanted, offset: at, length: Math.min(piece, to - at + 1) }, signal);
    const part = 'error' in reply ? undefined : (reply.value as Piece);
    const bytes = Buffer.from(part?.base64 ?? '', 'base64');
    if (part?.bytes !== size || bytes.length === 0) throw new Error('the file has changed while it was sent');
    at += bytes.length;
    yield bytes;
  }
}

/** Answers GET or HEAD for the file behind an id.
 * @param answer as a browser is answered
 * @throws Error where the file changes while it is sent, or the player stands still for too long */
export async function sendMedia(
  response: ServerResponse,
  answer: Answer,
  wanted: Wanted,
  version: string | null,
  signal: AbortSignal,
): Promise<void> {
  const { method, headers } = response.req;
  const found = await findMedia(answer, wanted, signal);
  if ('status' in found) return sendText(response, found.status, found.text);
  const head = headOf(found, { method, range: headers.range, ifRange: headers['if-range']?.toString(), version });
  response.writeHead(head.status, head.headers);
  if (head.bytes)
    for await (const bytes of piecesOf(answer, wanted, found.size, head.bytes, signal)) {
      if (response.destroyed) return; // nobody listens
      if (!response.write(bytes)) await once(response, 'drain', { signal: AbortSignal.any([signal, AbortSignal.timeout(patience)]) });
    }
  response.end();
}
