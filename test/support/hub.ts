/**
 * @file A hub on this machine that speaks as much of Hugging Face's API as a download needs (revision, tree in pages, resolve with a redirect to
 * another port for large files) and misbehaves as a seed wants. It counts what it sends: what a client asks for again after it was killed shows here.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Downloadable } from '../../electron/studio/downloads.ts';
import { randoms } from './random.ts';

/** Ways to misbehave while a file is asked for. */
export const faults = [
  'drop', // the connection breaks in the middle
  'truncated', // the body ends early, in good order
  'wrongBytes', // one byte is another
  'extra', // more bytes than the file has
  'changedEtag', // says that there is something else now, and sends all of it
  'whole', // 200 where a part was asked for
  'wrongRange', // another part than was asked for
  '416',
  'wrongLength', // Content-Length is not the file's
  'slow', // stands still
  '503',
  'expired', // the signed link has run out
  'otherFile', // X-Linked-Etag of something else
  'toPrivate', // sends on into a local network
  'toStranger', // sends on to a host that nobody knows
] as const;
export type Fault = (typeof faults)[number];

export interface Hub {
  readonly endpoint: string;
  readonly entry: Downloadable;
  readonly files: ReadonlyMap<string, Buffer>;
  /** Bytes of bodies that went out, all together. */
  sent: number;
  /** Once so many bytes are sent, nothing goes out before what went out was read (Linux): the system's own memory would else hold megabytes that a killed client loses, more than any network does. */
  carefulFrom: number;
  /** Once so many bytes are sent, it stands still until this is raised, or whoever asked has gone: what is under way then stays so, however late somebody looks. */
  holdAt: number;
  readonly fired: Map<Fault, number>;
  /** The token that it wants to see, of somebody who has accepted the licence: 401 to whoever shows none that begins with hf_, 403 to whoever shows another one. */
  gate: string | undefined;
  /** Every request's head, as it came. */
  readonly asked: {
    readonly port: 'hub' | 'cdn';
    readonly url: string;
    readonly range: string | undefined;
    readonly authorization: string | undefined;
  }[];
  close(): Promise<void>;
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const blobOf = (bytes: Buffer) => createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

/** Bytes that have come to the client's half of a connection and that it has not read yet (Linux). */
function unread({ socket }: IncomingMessage): number {
  const hex = (n: number | undefined) => (n ?? 0).toString(16).toUpperCase().padStart(4, '0');
  const [client, server] = [hex(socket.remotePort), hex(socket.localPort)];
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n')) {
    const [, local, remote, , queues] = line.trim().split(/\s+/);
    if (local?.endsWith(`:${client}`) && remote?.endsWith(`:${server}`)) return parseInt(queues!.split(':')[1]!, 16);
  }
  return 0;
}

const isBehind = (request: IncomingMessage, response: ServerResponse): boolean =>
  !response.destroyed && (response.writableLength > 0 || unread(request) > 0);

/** Files of a checkpoint that is none: `large` of pseudo-random bytes of these sizes, and small ones of text. */
export function someFiles(seed: number, large: readonly number[]): Map<string, Buffer> {
  const random = randoms(seed);
  const noise = (size: number) => {
    const bytes = Buffer.alloc(size);
    for (let at = 0; at + 4 <= size; at += 4) bytes.writeUInt32LE((random() * 2 ** 32) >>> 0, at);
    return bytes;
  };
  return new Map([
    ['model_index.json', Buffer.from(JSON.stringify({ _class_name: 'CogVideoXPipeline', seed }))],
    ['tokenizer/empty.txt', Buffer.alloc(0)],
    ...large.map((size, n): [string, Buffer] => [`transformer/diffusion_pytorch_model-0000${n + 1}.safetensors`, noise(size)]),
  ]);
}

/** @param misbehave how it answers a file's request: the fault it is to show, or none
 * @param slow waits a little after each piece of 16 KiB */
export async function startHub({
  files,
  repository = 'somebody/Some-Model',
  misbehave = () => undefined,
  slow = false,
  tree: changeTree = tree => tree,
  gate: wanted,
}: {
  files: ReadonlyMap<string, Buffer>;
  repository?: string;
  misbehave?: (path: string, request: IncomingMessage) => Fault | undefined;
  slow?: boolean;
  tree?: (tree: Record<string, unknown>[]) => unknown;
  gate?: string;
}): Promise<Hub> {
  const commit = createHash('sha1').update(repository).update(Buffer.concat([...files.values()])).digest('hex');
  const isLarge = (path: string) => path.endsWith('.safetensors');
  const byHash = new Map([...files].map(([path, bytes]) => [sha256(bytes), path]));
  const say = (response: ServerResponse, status: number, headers: Record<string, string | number> = {}, body = '') =>
    void response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers }).end(body);

  const sendFile = async (path: string, request: IncomingMessage, response: ServerResponse, fault: Fault | undefined, head: Record<string, string | number>) => {
    let bytes = files.get(path)!;
    let etag = `"${isLarge(path) ? sha256(bytes).slice(0, 32) : blobOf(bytes)}"`;
    if (fault === '503') return say(response, 503, { 'retry-after': 0 }, 'busy');
    if (fault === 'expired') return say(response, 403, {}, '<Error>Request has expired</Error>');
    if (fault === '416') return say(response, 416, { 'content-range': `bytes */${bytes.length}` });
    if (fault === 'changedEtag') etag = `"other-${hub.asked.length}"`;
    if (fault === 'wrongBytes' && bytes.length > 0) {
      bytes = Buffer.from(bytes);
      const at = Math.floor(draw() * bytes.length);
      bytes[at] = bytes[at]! ^ 1;
    }
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? NaN),
      fits = request.headers['if-range'] === undefined || request.headers['if-range'] === etag;
    if (from >= bytes.length && fault !== 'whole') return say(response, 416, { 'content-range': `bytes */${bytes.length}` });
    const part = !Number.isNaN(from) && fits && fault !== 'whole';
    const start = part ? (fault === 'wrongRange' ? Math.max(0, from - 7) : from) : 0;
    let body = bytes.subarray(start);
    const headers: Record<string, string | number> = {
      ...head,
      etag,
      'accept-ranges': 'bytes',
      'content-length': body.length,
      ...(part && { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
    };
    if (fault === 'truncated' || fault === 'extra') delete headers['content-length'];
    if (fault === 'extra') body = Buffer.concat([body, Buffer.from('and some more')]);
    if (fault === 'truncated') body = body.subarray(0, Math.floor(draw() * body.length));
    if (fault === 'wrongLength') headers['content-length'] = body.length + (draw() < 0.5 ? 5 : -Math.min(5, body.length));
    response.writeHead(part ? 206 : 200, headers);
    const until = fault === 'drop' || fault === 'slow' ? Math.floor(draw() * body.length) : body.length;
    const closed = new Promise<void>(done => response.once('close', done));
    let waiting: (() => void) | undefined;
    response.on('drain', () => waiting?.());
    const most = fault === 'wrongLength' ? Math.min(until, Number(headers['content-length'])) : until,
      piece = 2 ** 14;
    for (let at = 0; at < most; at += piece) {
      while (hub.sent >= hub.holdAt && !response.destroyed) await sleep(1);
      if (response.destroyed) break;
      const chunk = body.subarray(at, Math.min(most, at + piece));
      hub.sent += chunk.length;
      if (!response.write(chunk)) await Promise.race([closed, new Promise<void>(done => (waiting = done))]);
      if (slow) await sleep(1);
      while (hub.sent > hub.carefulFrom && isBehind(request, response)) await sleep(0);
    }
    if (fault === 'slow') await closed;
    else if (fault === 'drop' || fault === 'wrongLength') response.destroy();
    else response.end();
  };
  let draw: () => number = Math.random;
  const hub: Omit<Hub, 'endpoint' | 'close'> = {
    sent: 0,
    carefulFrom: Infinity,
    holdAt: Infinity,
    gate: wanted,
    files,
    fired: new Map(),
    asked: [],
    entry: {
      id: 'some-model',
      name: 'Some Model',
      for: 'tests',
      licence: { name: 'Some Licence', link: 'https://example.com/licence', summary: '' },
      memory: { bytes: 1, note: '' },
      hub: { repository, revision: commit, files: [...files.keys()].map(path => ({ path })) },
    },
  };
  const decide = (path: string, request: IncomingMessage): Fault | undefined => {
    const drawn = misbehave(path, request),
      fault = drawn === 'expired' && !isLarge(path) ? undefined : drawn; // what the hub itself sends has no link that could
    if (fault) hub.fired.set(fault, (hub.fired.get(fault) ?? 0) + 1);
    draw = randoms(hub.asked.length * 7919 + path.length);
    return fault;
  };
  const note = (port: 'hub' | 'cdn', { url, headers }: IncomingMessage) =>
    hub.asked.push({ port, url: url ?? '', range: headers.range, authorization: headers.authorization });

  /** What the two ports have agreed to do at the next request of a file. */
  const agreed = new Map<string, Fault | undefined>();
  const cdn = createServer((request, response) => {
    note('cdn', request);
    const path = byHash.get(new URL(request.url!, 'http://x').pathname.slice(1));
    if (path === undefined) return say(response, 404);
    const fault = agreed.get(path);
    void sendFile(path, request, response, fault, {});
  });
  const main = createServer((request, response) => {
    note('hub', request);
    const { authorization = '' } = request.headers;
    if (hub.gate !== undefined && authorization !== `Bearer ${hub.gate}`) return say(response, authorization.startsWith('Bearer hf_') ? 403 : 401, {}, 'Access is restricted');
    const { pathname, searchParams } = new URL(request.url!, 'http://x');
    if (pathname.startsWith(`/api/models/${repository}/revision/`)) return say(response, 200, {}, JSON.stringify({ id: repository, sha: commit }));
    if (pathname === `/api/models/${repository}/tree/${commit}`) {
      const tree: Record<string, unknown>[] = [{ type: 'directory', oid: '0'.repeat(40), size: 0, path: 'transformer' }, { type: 'file', oid: '1'.repeat(40), size: 3, path: '../../unasked' }];
      for (const [path, bytes] of files)
        tree.push({
          type: 'file',
          path,
          size: bytes.length,
          oid: isLarge(path) ? blobOf(Buffer.from(sha256(bytes))) : blobOf(bytes),
          ...(isLarge(path) && { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 134 } }),
        });
      const all = changeTree(tree);
      if (!Array.isArray(all)) return say(response, 200, {}, JSON.stringify(all));
      const at = Number(searchParams.get('cursor') ?? 0),
        next = at + 2;
      const link = `<//${request.headers.host ?? ''}${pathname}?recursive=true&cursor=${next}>; rel="next"`;
      return say(response, 200, next < all.length ? { link } : {}, JSON.stringify(all.slice(at, next)));
    }
    const prefix = `/${repository}/resolve/${commit}/`;
    if (!pathname.startsWith(prefix)) return say(response, 404);
    const path = decodeURIComponent(pathname.slice(prefix.length)),
      bytes = files.get(path);
    if (!bytes) return say(response, 404);
    const fault = decide(path, request);
    const head = { 'x-repo-commit': commit };
    if (!isLarge(path)) return void sendFile(path, request, response, fault, head);
    agreed.set(path, fault);
    const { port } = cdn.address() as AddressInfo;
    const location =
      fault === 'toPrivate' ? 'http://10.255.255.1/metadata' : fault === 'toStranger' ? 'https://stranger.invalid/file' : `http://127.0.0.1:${port}/${sha256(bytes)}?signature=secret`;
    const id = fault === 'otherFile' ? sha256(Buffer.from('other')) : sha256(bytes);
    say(response, 302, { ...head, location, 'x-linked-size': bytes.length, 'x-linked-etag': `"${id}"`, etag: `"${id}"` });
  });
  const listen = (server: Server) => new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  await Promise.all([listen(cdn), listen(main)]);
  return Object.assign(hub, {
    endpoint: `http://127.0.0.1:${(main.address() as AddressInfo).port}`,
    close: async () => {
      await Promise.all(
        [cdn, main].map(server => {
          const closed = new Promise(done => server.close(done));
          server.closeAllConnections();
          return closed;
        }),
      );
    },
  });
} // prettier-ignore
