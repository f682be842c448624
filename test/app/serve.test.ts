/** @file The headless host: every guard case on every route, paths, ranges, uploads, slow and greedy clients, and a real browser with pages that mean harm. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  renameSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve, sep } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { clipEngine } from '../../electron/cli/engine.ts';
import { lookAtMachine } from '../../electron/cli/machine.ts';
import { toybox } from '../../electron/cli/toybox.ts';
import { api } from '../../electron/contract/api.ts';
import { parseCatalogue } from '../../electron/contract/catalogue.ts';
import { event } from '../../electron/contract/events.ts';
import { client, inProcess, type Api, type ClientOf, type Reply, type Transport } from '../../electron/contract/rpc.ts';
import { overWire } from '../../electron/contract/wire.ts';
import { serveLibrary, type Host, type ServeOptions } from '../../electron/serve.ts';
import { pathlessMethods, placeMethods, refusedMethods } from '../../electron/serve/browser.ts';
import { guardOf } from '../../electron/serve/guard.ts';
import { rangeOf, savedAs } from '../../electron/serve/media.ts';
import { strangers, userAt } from '../../electron/serve/peer.ts';
import { placesOf, rootsApi } from '../../electron/serve/places.ts';
import type { Route } from '../../electron/serve/routes.ts';
import { forBrowser, sentenceFields, sentenceLists, withoutPlaces } from '../../electron/serve/sentences.ts';
import { webSocketWire } from '../../electron/serve/socket.ts';
import { startStudio, type Studio } from '../../electron/studio/studio.ts';
import { chromium, openBrowser } from '../support/chromium.ts';
import { toy } from '../support/day.ts';
import { painter } from '../support/painter.ts';
import { randoms } from '../support/random.ts';
import { sleep, start } from '../support/run.ts';
import { TaskError, type Engine } from '../../native-models/tasks.ts';
import { within } from '../support/time.ts';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'protagonist-serve-'))),
  at = (...names: string[]) => join(folder, ...names);
/** In files that nobody may ever get. */
const canary = 'canary-3f9c1d7e';
/** In files that a signed-in window may get. */
const open = 'open-5b2a';

/** An engine that fails with a sentence where one is set. */
const grey = painter();
const painted: Pick<Engine, 'run' | 'decode' | 'close'> & { fails?: string | undefined } = {
  ...grey,
  run: (...order) => (painted.fails === undefined ? grey.run(...order) : Promise.reject(new TaskError('badFile', painted.fails))),
};
let studio: Studio, transport: Transport, library: ClientOf<typeof api>;
const hosts: Host[] = [];
/** A host of the test's library; closed at the end. */
async function newHost(options: Partial<ServeOptions> = {}): Promise<Host> {
  const host = await serveLibrary({ transport, port: 0, roots: [at('root')], window: at('window'), failures: Infinity, ...options });
  hosts.push(host);
  return host;
}
let host: Host;

before(async () => {
  for (const name of ['library', 'root', 'root/set', 'root/.hidden', 'window', 'window/assets', 'outside', 'tmp'])
    mkdirSync(at(name), { mode: 0o700 });
  process.env['TMPDIR'] = at('tmp'); // what is sent is kept there
  for (const name of ['outside/secret.txt', 'secret.txt', 'root/.hidden/secret.txt', 'root/.secret.txt', 'window/.secret.txt'])
    writeFileSync(at(name), canary);
  writeFileSync(at('root/set/kelp.jpg'), readFileSync(toy('kelp')));
  writeFileSync(at('root/fig.jpg'), readFileSync(toy('fig')));
  writeFileSync(at('root/note.txt'), open);
  for (const [name, to] of [['file', 'outside/secret.txt'], ['folder', 'outside'], ['hidden', 'root/.secret.txt'], ['within', 'root/fig.jpg']]) symlinkSync(at(to!), at('root', `link-${name!}`)); // prettier-ignore
  symlinkSync(at('outside/secret.txt'), at('window/assets/link.txt'));
  mkdirSync(at('root/leads-out'));
  symlinkSync(at('outside'), at('root/leads-out/out'));
  mkdirSync(at('root/linked'));
  symlinkSync(at('root/leads-out'), at('root/linked/in'));
  writeFileSync(
    at('window/index.html'),
    `<!doctype html><title>window</title><script type="module" crossorigin src="./assets/a.js"></script>${open}`,
  );
  writeFileSync(at('window/assets/a.js'), `document.title = '${open}';`);
  writeFileSync(at('window/assets/b-Dm3x_v9a.js'), '0;');
  const verifier = clipEngine(1);
  studio = await startStudio({
    home: at('library'), version: '1.2.3', engine: { ...painted, verify: (...order) => verifier.verify(...order) }, verifier,
    embedded: [{ name: 'Toybox', path: toybox }], known: parseCatalogue(readFileSync(resolve(import.meta.dirname, '../../assets/checkpoints.json'), 'utf8')), hub: { endpoint: 'http://127.0.0.1:1', token: canary }, machine: lookAtMachine, can: { paths: true, dragOut: false, reveal: false, pickFolder: false },
  }); // prettier-ignore
  transport = inProcess(studio.answer, studio.subscribe);
  library = client(api, transport);
  await library.subjects.add({ name: 'kelp', photos: [{ path: toy('kelp') }] });
  await library.queue.start({});
  await library.jobs.enqueue({ request: { prompt: '@kelp hops', numFrames: 9, width: 64, height: 64, numInferenceSteps: 3 } });
  while ((await library.clips.list({})).clips.length < 1) await sleep(50);
  host = await newHost();
});
after(async () => {
  for (const each of hosts) await each.close();
  await studio.close();
  agent.destroy();
  rmSync(folder, { recursive: true, force: true });
});

interface Got {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly ms: number;
}
const agent = new Agent({ keepAlive: true, maxSockets: 20 });
/** One request, with nothing in its headers that is not given. Whatever comes back must carry the headers that keep pages apart. */
function ask(
  to: Host,
  method: string,
  path: string,
  headers: Record<string, string | string[]> = {},
  body?: string | Uint8Array,
): Promise<Got> {
  const began = performance.now(),
    { hostname, port, host } = new URL(to.origin);
  return new Promise<Got>((done, fail) => {
    const upgrade = method === 'UPGRADE' && {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    };
    const asked = httpRequest({ hostname, port, path, method: upgrade ? 'GET' : method, setHost: false, agent: upgrade ? false : agent, headers: { host, ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }), ...upgrade, ...headers } }); // prettier-ignore
    asked.on('error', fail);
    asked.on('upgrade', (answer, socket) => {
      socket.destroy();
      done({ status: answer.statusCode!, headers: answer.headers, body: Buffer.alloc(0), ms: performance.now() - began });
    });
    asked.on('response', answer => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.on('error', fail);
      answer.on('end', () =>
        done({ status: answer.statusCode!, headers: answer.headers, body: Buffer.concat(parts), ms: performance.now() - began }),
      );
    });
    asked.end(body);
  }).then(got => {
    if (got.status !== 101) keptApart(got);
    if (got.status !== 200 || !/^\/media\/.*\?v=|^\/window\/assets\/.*-/.test(path))
      assert.equal(got.headers['cache-control'], got.status === 101 ? undefined : 'no-store', path);
    assert.ok(!got.body.includes(canary), `${method} ${path} gives what nobody may get`);
    if (!path.includes(folder.slice(1)) && !(body !== undefined && Buffer.from(body).includes(folder.slice(1))))
      assert.ok(!got.body.includes(folder), `${method} ${path} tells where files lie: ${got.body.toString().slice(0, 300)}`);
    return got;
  });
}
function keptApart({ headers }: Got): void {
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.equal(headers['referrer-policy'], 'no-referrer');
  assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
  assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
  assert.match(headers['content-security-policy'] as string, /^default-src 'none'; .*frame-ancestors 'none'/);
  assert.deepEqual(
    Object.keys(headers).filter(name => name.startsWith('access-control-') || name === 'x-powered-by' || name === 'server'),
    [],
  );
}
const bearer = (to: Host) => ({ authorization: `Bearer ${to.token}` });
const json = { 'content-type': 'application/json', 'x-protagonist': '1' };
const bytes = { 'content-type': 'application/octet-stream', 'x-protagonist': '1' };
const call = async (method: string, input: unknown = {}, to = host): Promise<Reply> => {
  const { status, body } = await ask(to, 'POST', `/api/${method}`, { ...bearer(to), ...json }, JSON.stringify(input));
  assert.equal(status, 200, body.toString());
  return JSON.parse(body.toString()) as Reply;
};
/** All that a browser can call, over HTTP. */
const browsers = (post: (method: string, input: unknown) => Promise<Reply>) =>
  client({ ...api, ...rootsApi }, { call: post, subscribe: () => () => undefined, close: () => undefined });
const web = browsers((method, input) => call(method, input));
const codeOf = (reply: Reply) => ('error' in reply ? reply.error.code : 'ok');
const upload = async (name: string, content: string | Uint8Array): Promise<string> => {
  const { status, body } = await ask(host, 'POST', `/upload?name=${encodeURIComponent(name)}`, { ...bearer(host), ...bytes }, content);
  assert.equal(status, 200, body.toString());
  return (JSON.parse(body.toString()) as { value: { id: string } }).value.id;
};
const cookieOf = async (to: Host): Promise<string> => {
  const { status, headers } = await ask(to, 'POST', '/session', { ...bearer(to), ...json }, '{}');
  assert.equal(status, 200);
  return headers['set-cookie']![0]!;
};
const filled = ({ path }: Route) => path.replace(':id', 'c1').replace(':kind', 'poster').replace('*', '');

interface Case {
  readonly name: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly status: number;
}
const { cases } = JSON.parse(readFileSync(resolve(import.meta.dirname, '../golden/guard-cases.json'), 'utf8')) as { cases: Case[] };

test('every guard case on every route', { timeout: 300_000 }, async t => {
  const { host: name, port } = new URL(host.origin);
  const cookie = (await cookieOf(host)).split(';')[0]!;
  const wrong: string[] = [];
  let asked = 0;
  const paths = [
    ...host.routes.map(route => ({ route, path: filled(route) })),
    ...[
      '/nothing',
      '/api',
      '/api/',
      '/api/nothing.here',
      '//evil.test/',
      '/media/',
      '/%2e%2e/',
      '/window/../api/host.describe',
      '/socket/',
    ].map(path => ({ route: undefined, path })),
  ];
  assert.ok(host.routes.length > 50, 'the table is not whole');
  for (const { route, path } of paths)
    for (const withCookie of [false, true])
      for (const { name: title, method, headers, status } of cases) {
        const good = status === 200 || status === 101;
        if (good && (method === 'UPGRADE' ? 'UPGRADE' : method) !== route?.method) continue;
        const given: Record<string, string> = Object.fromEntries(Object.entries(headers).map(([key, value]) => [key, value.replace('TOKEN', host.token).replace('HOST', name).replace('PORT', port).replace('ORIGIN', host.origin)])); // prettier-ignore
        if (withCookie && given['authorization'] === `Bearer ${host.token}`) {
          delete given['authorization'];
          given['cookie'] = `a=b; ${cookie}; c=d`;
        }
        if (good && path === '/upload') given['content-type'] = 'application/octet-stream';
        const got = await ask(host, method, path, given, method === 'POST' ? '{}' : undefined);
        asked++;
        if (got.status !== status) wrong.push(`${method} ${path}, ${title}${withCookie ? ' (cookie)' : ''}: ${got.status}, not ${status}`);
        if (!good && got.body.length > 300 && path !== '/')
          wrong.push(`${method} ${path}, ${title}: ${got.body.length} bytes with a refusal`);
      }
  t.diagnostic(`${asked} requests, ${host.routes.length} routes, ${cases.length} cases: ${wrong.length} wrong`);
  assert.deepEqual(wrong, []);
});

test('every other method is guarded too, and changes nothing', async () => {
  for (const path of ['/', '/api/queue.state', '/media/c1/poster', '/socket', '/upload', '/nothing'])
    for (const method of ['HEAD', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']) {
      assert.equal((await ask(host, method, path)).status, 401, `${method} ${path}`);
      assert.equal(
        (await ask(host, method, path, { ...bearer(host), origin: 'https://evil.test', 'access-control-request-method': 'POST' })).status,
        403,
      );
      const { status } = await ask(host, method, path, { ...bearer(host), ...json });
      if (method !== 'HEAD') assert.ok([404, 405, 426].includes(status), `${method} ${path}: ${status}`);
    }
});

/** Raw bytes to a host, and what comes back until it closes. */
const raw = (to: Host, text: string | Buffer, milliseconds = within(5000)): Promise<string> =>
  new Promise(done => {
    const socket = connect(Number(new URL(to.origin).port), '127.0.0.1');
    let said = '';
    const end = () => {
      socket.destroy();
      done(said);
    };
    socket
      .on('data', part => (said += part.toString('latin1')))
      .on('close', end)
      .on('error', end);
    setTimeout(end, milliseconds).unref();
    socket.write(text);
  });
const statusOf = (said: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(said)?.[1] ?? 0);

test('what is no plain request is refused like the others', async () => {
  const { host: name } = new URL(host.origin),
    auth = `authorization: Bearer ${host.token}\r\nconnection: close\r\n`;
  const answers: readonly (readonly [string, number])[] = [
    [`GET / HTTP/1.0\r\n${auth}\r\n`, 421],
    [`GET / HTTP/1.1\r\n${auth}\r\n`, 421],
    [`GET / HTTP/1.1\r\nhost: ${name}\r\nhost: evil.test\r\n${auth}\r\n`, 421],
    [`GET / HTTP/1.1\r\nhost: \r\n${auth}\r\n`, 421],
    [`GET http://evil.test/ HTTP/1.1\r\nhost: ${name}\r\n${auth}\r\n`, 421],
    [`GET http://${name}/ HTTP/1.1\r\nhost: evil.test\r\n${auth}\r\n`, 421],
    [`OPTIONS * HTTP/1.1\r\nhost: ${name}\r\n${auth}\r\n`, 421],
    [`GET / HTTP/1.1\r\nhost: ${name.toUpperCase()}.\r\n${auth}\r\n`, 421],
    [`GET / HTTP/1.1\r\nhost: ${name}\r\norigin: ${host.origin}\r\norigin: https://evil.test\r\n${auth}\r\n`, 403],
    [`GET / HTTP/1.1\r\nhost: ${name}\r\nsec-fetch-site: same-origin\r\nsec-fetch-site: cross-site\r\n${auth}\r\n`, 403],
    [`GET / HTTP/1.1\r\nhost: ${name}\r\norigin:\r\n${auth}\r\n`, 403],
    [`GET / HTTP/1.1\r\nhost: ${name}\r\nauthorization: Basic ${host.token}\r\nconnection: close\r\n\r\n`, 401],
    [`GET /?token=${host.token} HTTP/1.1\r\nhost: ${name}\r\nconnection: close\r\n\r\n`, 401],
    [`GET /socket HTTP/1.1\r\nhost: ${name}\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n`, 403],
    [`GET /socket HTTP/1.1\r\nhost: ${name}\r\norigin: ${host.origin}\r\nauthorization: Bearer ${host.token}\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n`, 400],
    [`GET /nothing HTTP/1.1\r\nhost: ${name}\r\norigin: ${host.origin}\r\nauthorization: Bearer ${host.token}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n`, 404],
    [`POST /api/queue.state HTTP/1.1\r\nhost: ${name}\r\nx-protagonist: 1\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n\r\n`, 401],
    [`POST /api/queue.state HTTP/1.1\r\nhost: ${name}\r\n${auth}x-protagonist: 1\r\ncontent-type: application/json\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
    ['CONNECT evil.test:80 HTTP/1.1\r\nhost: evil.test\r\n\r\n', 0],
    ['nonsense\r\n\r\n', 400],
    [`GET / HTTP/1.1\r\nhost: ${name}\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431],
  ]; // prettier-ignore
  for (const [text, status] of answers) assert.equal(statusOf(await raw(host, text)), status, text.slice(0, 200));
  const said = await raw(host, 'nonsense\r\n\r\n');
  assert.match(said, /nosniff/);
});

test('the token is shown once and becomes a cookie; a cookie alone changes nothing', async () => {
  const cookie = await cookieOf(host),
    { port } = new URL(host.origin),
    pair = cookie.split(';')[0]!;
  assert.match(cookie, new RegExp(`^protagonist-${port}=[\\w-]{43}; Path=/; HttpOnly; SameSite=Strict$`));
  assert.ok(!cookie.includes(host.token));
  assert.ok(Buffer.from(host.token, 'base64url').length === 32);
  assert.equal((await ask(host, 'GET', '/window/', { cookie: pair })).status, 200);
  assert.equal((await ask(host, 'GET', '/window/', { cookie: `protagonist-${port}=stale; ${pair}` })).status, 200);
  assert.equal((await ask(host, 'GET', '/window/', { cookie: pair.replace('protagonist-', 'protagonist-1') })).status, 401);
  assert.equal((await ask(host, 'GET', '/window/', { cookie: `x${pair}` })).status, 401);
  assert.equal((await ask(host, 'GET', '/window/', { cookie: pair, authorization: 'Bearer x' })).status, 401);
  assert.equal((await ask(host, 'POST', '/api/queue.state', { cookie: pair, ...json }, '{}')).status, 403);
  assert.equal((await ask(host, 'POST', '/api/queue.state', { cookie: pair, ...json, origin: host.origin }, '{}')).status, 200);
  const shut = await ask(host, 'GET', '/');
  assert.equal(shut.status, 401);
  assert.match(shut.body.toString(), /<script>/); // the door, which takes the token out of the fragment
  assert.ok(!shut.body.includes(host.token));
  assert.equal((await ask(host, 'GET', '/window/')).headers['content-type'], 'text/plain; charset=utf-8');
});

test('wrong tokens are counted, and shut nobody out', async () => {
  const strict = await newHost({ failures: 10 });
  const guess = () => ask(strict, 'GET', '/window/', { authorization: 'Bearer x' });
  for (let i = 0; i < 10; i++) assert.equal((await guess()).status, 401);
  const limited = await guess();
  assert.equal(limited.status, 429);
  assert.equal(limited.headers['retry-after'], '60');
  assert.equal((await ask(strict, 'GET', '/window/', { cookie: `protagonist-${new URL(strict.origin).port}=x` })).status, 429);
  assert.equal((await ask(strict, 'GET', '/window/')).status, 401); // none is no guess
  assert.equal((await ask(strict, 'GET', '/window/', bearer(strict))).status, 200);

  let now = 0;
  const guard = guardOf('127.0.0.1:1', { failures: 2, now: () => now });
  const guessed = (authorization: string) =>
    guard.refuses({ url: '/', method: 'GET', headers: { authorization }, headersDistinct: { host: ['127.0.0.1:1'] } } as never, false)
      ?.status;
  const seen = [0, 1, 59_999, 60_000, 60_001, 60_002, 120_000].map(time => ((now = time), guessed('Bearer y')));
  assert.deepEqual(seen, [401, 401, 429, 401, 401, 429, 401]);
  assert.equal(guessed(`Bearer ${guard.token}`), undefined);
});

test('ten thousand wrong tokens do not slow the owner down', { timeout: 600_000 }, async t => {
  const strict = await newHost({ failures: 10 });
  const before = process.memoryUsage().rss;
  let done = 0,
    slowest = 0;
  const flood = Promise.all(
    Array.from({ length: 16 }, async () => {
      for (; done < 10_000; done++)
        assert.notEqual((await ask(strict, 'GET', '/window/', { authorization: `Bearer ${done}` })).status, 200);
    }),
  );
  while (done < 9000) {
    slowest = Math.max(slowest, (await ask(strict, 'GET', '/window/', bearer(strict))).ms);
    await sleep(20);
  }
  await flood;
  const grown = (process.memoryUsage().rss - before) / 2 ** 20;
  t.diagnostic(`the owner waited ${slowest.toFixed(0)} ms at most, memory grew by ${grown.toFixed(0)} MiB (client and host)`);
  assert.ok(slowest < within(500));
});

const whole = async (id: 'c1' | 'p1', kind: 'video' | 'photo') => {
  const parts: Buffer[] = [];
  for (let offset = 0; ;) {
    const { base64, bytes } = await library.media.read({ id, kind, offset });
    parts.push(Buffer.from(base64, 'base64'));
    offset += parts.at(-1)!.length;
    if (offset >= bytes) return Buffer.concat(parts);
  }
};

test('media by id, in ranges', async t => {
  const video = await whole('c1', 'video'),
    n = video.length,
    path = '/media/c1/video';
  const all = await ask(host, 'GET', path, bearer(host));
  assert.equal(all.status, 200);
  assert.deepEqual(all.body, video);
  assert.equal(all.headers['content-type'], 'video/mp4');
  assert.equal(all.headers['accept-ranges'], 'bytes');
  const head = await ask(host, 'HEAD', path, { ...bearer(host), range: 'bytes=0-1' });
  assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, String(n), 0]);
  const ranges: readonly (readonly [string, readonly [number, number] | 200 | 416])[] = [
    ['bytes=0-0', [0, 0]], ['bytes=0-', [0, n - 1]], ['bytes=5-9', [5, 9]], [`bytes=${n - 1}-`, [n - 1, n - 1]], [`bytes=0-${n - 1}`, [0, n - 1]], [`bytes=0-${n}`, [0, n - 1]],
    ['bytes=3-99999999999999999999', [3, n - 1]], ['bytes=-1', [n - 1, n - 1]], ['bytes=-7', [n - 7, n - 1]], [`bytes=-${n}`, [0, n - 1]], [`bytes=-${n + 5}`, [0, n - 1]],
    ['bytes=-0', 416], [`bytes=${n}-`, 416], [`bytes=${n + 1}-${n + 2}`, 416], [`bytes=${'9'.repeat(400)}-`, 416],
    ['bytes=9-5', 200], ['bytes=-', 200], ['bytes=', 200], ['bytes', 200], ['bytes=a-b', 200], ['bytes=0-1,3-4', 200], ['items=0-1', 200], ['bytes=0x1-2', 200], ['bytes=+1-2', 200], ['bytes=1.5-2', 200], ['bytes=--5', 200], ['BYTES=1-2', [1, 2]],
  ]; // prettier-ignore
  for (const [range, expected] of ranges) {
    const got = await ask(host, 'GET', path, { ...bearer(host), range });
    if (expected === 416) {
      assert.deepEqual([got.status, got.headers['content-range'], got.body.length], [416, `bytes */${n}`, 0], range);
    } else if (expected === 200) {
      assert.equal(got.status, 200, range);
      assert.deepEqual(got.body, video, range);
    } else {
      const [from, to] = expected;
      assert.deepEqual(
        [got.status, got.headers['content-range'], got.headers['content-length']],
        [206, `bytes ${from}-${to}/${n}`, String(to - from + 1)],
        range,
      );
      assert.deepEqual(got.body, video.subarray(from, to + 1), range);
    }
  }
  assert.equal((await ask(host, 'GET', path, { ...bearer(host), range: 'bytes=0-1', 'if-range': '"x"' })).status, 200);
  assert.deepEqual(rangeOf('bytes=0-', 0), 'none');
  assert.deepEqual(rangeOf('bytes=-5', 0), 'none');
  const draw = randoms(7);
  for (let i = 0; i < 200; i++) {
    const [a, b] = [Math.floor(draw() * n), Math.floor(draw() * n)],
      [from, to] = [Math.min(a, b), Math.max(a, b)];
    assert.deepEqual((await ask(host, 'GET', path, { ...bearer(host), range: `bytes=${from}-${to}` })).body, video.subarray(from, to + 1));
  }
  for (const [wanted, type] of [
    ['c1/poster', 'image/jpeg'],
    ['c1/sprite', 'image/jpeg'],
    ['c1/subjectThumbnail', 'image/jpeg'],
    ['p1/photo', 'image/'],
    ['p1/photoThumbnail', 'image/'],
    ['s1/subjectThumbnail', 'image/'],
  ]) {
    const got = await ask(host, 'GET', `/media/${wanted!}`, bearer(host));
    assert.equal(got.status, 200, wanted);
    assert.ok(got.headers['content-type']!.startsWith(type!), wanted);
    assert.match(got.headers['content-security-policy'] as string, /sandbox$/);
  }
  for (const none of [
    'c9/video',
    'c1/mask',
    'c1/latents',
    'p1/video',
    'p1/mask',
    'x1/photo',
    'c1/',
    'c01/video',
    'c1/__proto__',
    'c1%2f/video',
    '..%2f/video',
    '%00/video',
  ])
    assert.equal((await ask(host, 'GET', `/media/${none}`, bearer(host))).status, 404, none);
  t.diagnostic(`${ranges.length} ranges and 200 drawn ones of ${n} bytes`);
});

test('a browser keeps pictures by their digest and the files of the window by theirs, and nothing else', async () => {
  const get = (path: string, headers: Record<string, string> = {}) => ask(host, 'GET', path, { ...bearer(host), ...headers });
  const digest = (await library.clips.show({ id: 'c1' })).sha256;
  const kept = async (path: string, headers?: Record<string, string>) => (await get(path, headers)).headers['cache-control'];
  for (const v of [digest, digest.slice(0, 16)])
    for (const picture of ['c1/poster', 'c1/sprite', 's1/subjectThumbnail', 'p1/photo'])
      assert.equal(await kept(`/media/${picture}?v=${v}`), 'private, max-age=86400, immutable', picture);
  for (const address of [
    'c1/poster', 'c1/poster?v=', 'c1/poster?v=1', 'c1/poster?v=1700000000000', `c1/poster?v=${digest.slice(0, 15)}`, `c1/poster?v=${digest}0`, `c1/poster?v=${digest.toUpperCase()}`, `c1/poster?w=${digest}`,
    `c1/video?v=${digest}`, `c99/poster?v=${digest}`, `c1/photo?v=${digest}`,
  ]) assert.equal(await kept(`/media/${address}`), 'no-store', address); // prettier-ignore
  for (const range of ['bytes=0-3', 'bytes=99999999-'])
    assert.equal(await kept(`/media/c1/poster?v=${digest}`, { range }), 'no-store', range);
  assert.equal(await kept('/window/assets/b-Dm3x_v9a.js'), 'private, max-age=31536000, immutable');
  for (const path of ['/window/', '/window/index.html', '/window/assets/a.js', '/window/assets/c-Dm3x_v9a.js', '/'])
    assert.equal(await kept(path), 'no-store', path);
  // who is not let in learns nothing by it
  for (const path of [`/media/c1/poster?v=${digest}`, '/window/assets/b-Dm3x_v9a.js']) {
    const refused = await ask(host, 'GET', path);
    assert.deepEqual([refused.status, refused.headers['cache-control']], [401, 'no-store'], path);
  }
});

test('what is not of a type that we make is a file to be saved, whatever it is', async () => {
  for (const type of ['text/html', 'image/svg+xml', 'application/xhtml+xml', 'text/xml', 'application/pdf', 'image/jpeg; charset=x', '']) {
    const odd: Transport = {
      ...transport,
      call: (method, input, signal) =>
        method === 'media.read'
          ? Promise.resolve({ value: { base64: 'PHNjcmlwdD4=', bytes: 8, type } })
          : transport.call(method, input, signal),
    };
    const got = await ask(await newHost({ transport: odd }), 'GET', '/media/c1/poster', bearer(hosts.at(-1)!));
    assert.deepEqual(
      [got.status, got.headers['content-type'], got.headers['content-disposition']],
      [200, 'application/octet-stream', 'attachment'],
      type,
    );
  }
});

test('a file of many pieces, and one that changes meanwhile', async () => {
  const file = Buffer.from(Array.from({ length: 3_500_000 }, (_, i) => (i * 2654435761) >>> 24));
  let size = file.length,
    reads = 0;
  const large: Transport = {
    ...transport,
    call: (method, input, signal) => {
      if (method !== 'media.read') return transport.call(method, input, signal);
      const { offset, length } = input as { offset: number; length: number };
      if (++reads > 3 && size !== file.length) return Promise.resolve({ value: { base64: '', bytes: size, type: 'video/mp4' } });
      return Promise.resolve({ value: { base64: file.toString('base64', offset, Math.min(offset + length, file.length)), bytes: file.length, type: 'video/mp4' } }); // prettier-ignore
    },
  };
  const to = await newHost({ transport: large });
  const get = (range?: string) => ask(to, 'GET', '/media/c1/video', { ...bearer(to), ...(range !== undefined && { range }) });
  assert.deepEqual((await get()).body, file);
  assert.deepEqual((await get('bytes=1048570-3145730')).body, file.subarray(1048570, 3145731));
  assert.deepEqual((await get('bytes=-1048577')).body, file.subarray(-1048577));
  reads = 0;
  size = 5;
  await assert.rejects(get(), /aborted|ECONNRESET|socket hang up/); // never a whole answer of two halves
});

test('the window is what was there when it was looked for', async () => {
  const get = (path: string) => ask(host, 'GET', path, bearer(host));
  const page = await get('/window/');
  assert.match(page.body.toString(), new RegExp(open));
  assert.match(page.headers['content-security-policy'] as string, /script-src 'self'; .*connect-src 'self' ws:\/\/127\.0\.0\.1:\d+;/);
  assert.ok(!/unsafe/.test(page.headers['content-security-policy'] as string));
  assert.equal((await get('/window/assets/a.js')).headers['content-type'], 'text/javascript; charset=utf-8');
  assert.equal((await get('/window/index%2ehtml')).status, 200);
  for (const none of [
    '.secret.txt',
    'assets/link.txt',
    'assets',
    'assets/',
    '../secret.txt',
    '%2e%2e/secret.txt',
    '%',
    '%ff',
    'index.html/',
    'INDEX.HTML',
    '__proto__',
    '/etc/passwd',
  ])
    assert.equal((await get(`/window/${none}`)).status, 404, none);
  const bare = await newHost({ window: at('none') });
  for (const file of ['', 'stand-in.js', 'stand-in.css'])
    assert.equal((await ask(bare, 'GET', `/window/${file}`, bearer(bare))).status, 200, file);
});

test('10,000 paths: nothing outside', { timeout: 300_000 }, async t => {
  const seed = Number(process.env['PROTAGONIST_SEED'] ?? 20261122),
    draw = randoms(seed),
    pick = <T>(list: readonly T[]): T => list[Math.floor(draw() * list.length)]!;
  const parts = [
    '..', '..', '..', '.', '', '%2e%2e', '%2E%2E', '.%2e', '%252e%252e', '..%2f..', '..%5c..', '..\\..', '\\..\\..\\', '%c0%ae%c0%ae', '%u002e%u002e', '..;', '...', '....//', '..\0', '%00', '\0', 'a\0b', '%0a', '\r\n',
    '\u2025', '\uff0e\uff0e', '%ef%bc%8e%ef%bc%8e', '／', '%ef%bc%8f', '~', '~root', 'C:', 'c:\\', '\\\\?\\', 'file:', '//', '/etc/passwd', 'etc', 'passwd', 'proc', 'self', 'environ', 'outside', 'secret.txt', '.secret.txt', '.hidden', folder.slice(1),
    'root', 'window', 'library', 'library.db', 'r1', 'r2', 'r0', 'r1', 'set', 'link-file', 'link-folder', 'link-hidden', 'link-within', 'leads-out', 'out', 'index.html', 'assets', 'link.txt', 'a.js', 'fig.jpg', 'note.txt', 'c1', 'p1', 'video', 'photo', 'x'.repeat(300), '\ud800', 'é', 'e\u0301',
  ]; // prettier-ignore
  const junk = () =>
    Array.from({ length: 1 + Math.floor(draw() * 7) }, () => pick(parts)).join(pick(['/', '/', '/', '%2f', '\\', '%5c', '']));
  /** Something that is there, one time in four alone, and then on to where nobody may go. */
  const path = (there: readonly string[] = ['']) =>
    draw() < 0.5 ? junk() : pick(there) + (draw() < 0.5 ? '' : pick(['/', '%2f', '']) + junk());
  const within = () =>
    pick(['r1/', 'r1/', 'r1/', 'r1', 'r2/', '/', '', 'u', 'R1/']) +
    path(['', 'set', 'set/kelp.jpg', 'fig.jpg', 'link-within', 'leads-out', 'link-file', 'link-folder']);
  const address = () =>
    pick(['/window/', '/window/', '/media/', '/', '/api/', '/window']) +
    path(['', 'index.html', 'assets/a.js', 'assets', 'c1/poster', 'p1/photo', 'roots.list']);
  const places = placesOf([at('root')]);
  const counts = { found: 0, nothing: 0, listed: 0, read: 0, sent: 0 };
  const before = new Set(readdirSync(folder, { recursive: true }) as string[]);
  const quiet = (what: string, said: string) =>
    assert.ok(!said.includes(canary) && !/root:.*:0:0:/.test(said), `${what} gave ${said.slice(0, 200)}`);
  for (let i = 0; i < 10_000; i++)
    if (i % 5 === 0) {
      // addresses, as they come over the wire
      const target = address().replace(/[\r\n ]/g, '%20');
      const plain = /^[\x21-\x7e]+$/.test(target);
      const said = plain ? await ask(host, 'GET', target, bearer(host)).then(got => [got.status, got.body.toString('latin1')] as const) : await raw(host, `GET ${target} HTTP/1.1\r\nhost: ${new URL(host.origin).host}\r\nauthorization: Bearer ${host.token}\r\nconnection: close\r\n\r\n`).then(text => [statusOf(text), text] as const); // prettier-ignore
      quiet(target, said[1]);
      if (said[0] === 200) counts.found++;
      else counts.nothing++;
    } else if (i % 5 === 1) {
      const id = within();
      try {
        const found = await places.find(id, true),
          real = realpathSync(found.path);
        assert.ok(
          (real === at('root') || real.startsWith(at('root') + sep)) && !/\/\./.test(real.slice(folder.length)),
          `${id} is ${real}`,
        );
        counts.found++;
      } catch (e) {
        assert.match((e as Error).message, /^there is nothing called|leads out of the folder/);
        if (!id.includes('tmp')) assert.ok(!(e as Error).message.includes(folder));
        counts.nothing++;
      }
    } else if (i % 5 === 2) {
      const reply = await call('roots.show', { id: within() });
      quiet('roots.show', JSON.stringify(reply));
      if ('error' in reply) counts.nothing++;
      else {
        counts.listed++;
        for (const { name } of (reply.value as { entries: { name: string }[] }).entries)
          assert.ok(!/secret|hidden|link-f/.test(name), name);
      }
    } else if (i % 5 === 3) {
      const [method, input] = pick<[string, unknown]>([['requests.read', { path: within() }], ['subjects.addPhotos', { id: 's1', photos: [{ path: within() }] }], ['adapters.add', { path: within() }], ['clips.find', { id: 'c1', path: within() }]]); // prettier-ignore
      const reply = await call(method, input);
      quiet(method, JSON.stringify(reply));
      if (!JSON.stringify(input).includes(folder)) assert.ok(!JSON.stringify(reply).includes(folder), JSON.stringify(reply)); // what was given may be said again
      counts.read++;
    } else {
      const { status, body } = await ask(
        host,
        'POST',
        `/upload?name=${encodeURIComponent(path().toWellFormed())}`,
        { ...bearer(host), ...bytes },
        'x',
      );
      if (status === 200) counts.sent++;
      else assert.equal(status, 413, body.toString()); // a thousand wait
    }
  const made = (readdirSync(folder, { recursive: true }) as string[]).filter(name => !before.has(name) && !name.startsWith('library'));
  for (const name of made) assert.match(name, /^tmp\/protagonist-sent-\w+(?:\/u[\w-]{22}(?:\/[^/.\\\0][^/\\\0]*)?)?$/);
  t.diagnostic(`seed ${seed}: ${JSON.stringify(counts)}`);
  assert.ok(counts.found > 50 && counts.listed > 20 && counts.sent >= 900);
  await host.close(); // those that were sent go with it
  assert.deepEqual(
    readdirSync(at('tmp')).filter(name => name.startsWith('protagonist-sent-')),
    [],
  );
  host = await newHost();
});

test('folders named at start are listed by id, and nothing leads out of them', async () => {
  const { roots } = await web.roots.list({});
  assert.deepEqual(roots, [{ id: 'r1', name: 'root' }]);
  const { entries, more } = await web.roots.show({ id: 'r1' });
  assert.deepEqual(entries.map(e => e.id), ['r1/leads-out', 'r1/linked', 'r1/set', 'r1/fig.jpg', 'r1/link-within', 'r1/note.txt']); // prettier-ignore
  assert.equal(more, false);
  assert.deepEqual((await web.roots.show({ id: 'r1/leads-out' })).entries, []);
  assert.equal(codeOf(await call('roots.show', { id: 'r1/fig.jpg' })), 'badInput');
  const added = await web.subjects.add({ name: 'From a root', photos: [{ path: 'r1/set' }, { path: 'r1/note.txt' }] });
  assert.equal(added.added.length, 1);
  assert.match(added.refused[0]!.text, /^r1\/note\.txt /);
  for (const path of ['r1/leads-out', 'r1/linked', 'r1']) {
    const out = await call('checkpoints.add', { path });
    assert.ok('error' in out && /leads out of the folder/.test(out.error.text), path);
  }
  assert.throws(() => placesOf([at('root/fig.jpg')]), /is no folder here/);
  assert.throws(() => placesOf(['']), /is no folder here/);
  await assert.rejects(newHost({ roots: [at('no')] }), /is no folder here/);
});

test('a browser names no path of this machine; a command still may', async () => {
  const takesPath = (schema: z.ZodType) =>
    JSON.stringify(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })).includes('"path":');
  const taking = Object.entries(api as Api).flatMap(([noun, row]) =>
    Object.entries(row).flatMap(([verb, { input }]) => (takesPath(input) ? [`${noun}.${verb}`] : [])),
  );
  assert.deepEqual(
    taking.filter(name => !(name in placeMethods) && !(name in refusedMethods) && !(name in pathlessMethods)),
    [],
    'say in electron/serve/browser.ts what a browser may name there',
  );
  assert.deepEqual(Object.keys({ ...placeMethods, ...pathlessMethods }).filter(name => !taking.includes(name)), []); // prettier-ignore
  const secrets = [
    at('outside/secret.txt'),
    '/etc/passwd',
    'fig.jpg',
    './fig.jpg',
    at('root/fig.jpg'),
    'r1/../outside/secret.txt',
    5,
    null,
    { path: 'r1' },
  ];
  for (const name of taking)
    for (const path of secrets) {
      const input = name.startsWith('subjects.')
        ? { id: 's1', name: 'x', photos: [{ path }] }
        : name.startsWith('pictures.')
          ? { from: { path } }
          : { id: 'c1', path };
      const code = codeOf(await call(name, input));
      assert.ok(['notFound', 'notHere', 'badInput'].includes(code), `${name} ${JSON.stringify(path)}: ${code}`);
    }
  assert.equal(codeOf(await call('clips.list', { path: '/x' })), 'notHere');
  assert.deepEqual((await web.host.describe({})).can, { paths: false, dragOut: false, reveal: false, pickFolder: false });
  assert.equal(codeOf(await call('media.locate', { id: 'c1' })), 'notHere');
  assert.equal(codeOf(await call('clips.save', { id: 'c1', path: 'r1/x.mp4' })), 'notHere');
  const order = { clips: ['c1'], preset: 'share' };
  assert.equal(codeOf(await call('exports.command', order)), 'notHere');
  for (const path of ['r1/x.mp4', at('x.mp4'), ''])
    assert.deepEqual(await call('exports.start', { ...order, path }), {
      error: { code: 'notHere', text: 'a browser gets an export by downloading it: leave out where the file shall lie', action: 'edit' },
    });
  assert.ok((await library.media.locate({ id: 'c1' })).path.startsWith(at('library')));
  assert.equal((await library.host.describe({})).can.paths, true);
});

test('what is sent is used once, by name', async () => {
  const id = await upload('../../Ünser Kelp ☃.jpg', readFileSync(toy('otto')));
  const added = await web.subjects.addPhotos({ id: 's1', photos: [{ path: id }] });
  assert.equal(added.added.length, 1);
  assert.equal(codeOf(await call('subjects.addPhotos', { id: 's1', photos: [{ path: id }] })), 'notFound');
  const start = await upload('Start here.jpg', readFileSync(toy('otto')));
  const picture = await web.pictures.add({ from: { path: start } });
  assert.equal(picture.name, 'Start here.jpg');
  assert.equal(codeOf(await call('pictures.add', { from: { path: start } })), 'notFound');
  assert.equal((await web.pictures.add({ from: { path: 'r1/fig.jpg' } })).name, 'fig.jpg');
  const shown = await ask(host, 'GET', `/media/${picture.id}/picture?v=${picture.sha256}`, bearer(host));
  assert.deepEqual([shown.status, shown.headers['content-type']], [200, 'image/png']);
  assert.match(String(shown.headers['cache-control']), /immutable/);
  const drawing = await upload('Drawing.svg', active);
  const none = await call('pictures.add', { from: { path: drawing } });
  assert.ok('error' in none && none.error.code === 'badFile' && none.error.text.startsWith('Drawing.svg is an SVG drawing'));
  const text = await upload('Notes <b>.txt', 'no photo');
  const { refused } = await web.subjects.addPhotos({ id: 's1', photos: [{ path: text }] });
  assert.equal(refused[0]!.name, 'Notes _b_.txt');
  assert.match(refused[0]!.text, /^Notes _b_\.txt /);
  const adapter = await upload('a.safetensors', 'x');
  assert.equal(codeOf(await call('adapters.add', { path: adapter })), 'notHere');
  const clip = await upload('renamed.mp4', await whole('c1', 'video'));
  assert.equal((await web.requests.read({ path: clip })).request?.prompt, '@kelp hops');
  for (const name of ['', '..', '/', 'CON', 'nul.txt', '.', '\0', 'a'.repeat(3000), '💥'.repeat(200)]) await upload(name, 'x');
});

const active = '<svg xmlns="http://www.w3.org/2000/svg" onload="console.log(\'RAN\')"><script>console.log("RAN")</script></svg>',
  page = '<!doctype html><html><body><img src=x onerror="console.log(\'RAN\')"><script>console.log("RAN")</script></body></html>';
/** Pages in many clothes. */
const hostileFiles = (): [string, Buffer][] => {
  const jpeg = readFileSync(toy('bolt'));
  const comment = Buffer.from(page.slice(0, 200).padEnd(200));
  const polyglot = Buffer.concat([jpeg.subarray(0, 2), Buffer.from([0xff, 0xfe, 0, 202]), comment, jpeg.subarray(2)]);
  const files = [['x.html', page], ['x.svg', active], ['x.xhtml', `<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><script>console.log("RAN")</script></html>`], ['x.jpg', page], ['x.png', active], ['x.mp4', page], ['<img src=x onerror=console.log("RAN")>.jpg', page], ['x.pdf', '%PDF-1.4'], ['x.js', 'console.log("RAN")']] as const; // prettier-ignore
  return [...files.map(([name, text]): [string, Buffer] => [name, Buffer.from(text)]), ['polyglot.jpg', polyglot]];
};
/** Sends them to everything that takes bytes; returns where anything of them could be. */
async function sendHostile(): Promise<string[]> {
  for (const [name, content] of hostileFiles()) {
    const ids = [await upload(name, content), await upload(name, content), await upload(name, content), await upload(name, content)];
    await call('subjects.add', {
      name: name.slice(0, 50),
      notes: page,
      description: active,
      photos: [{ path: ids[0] }, { name, base64: content.toString('base64') }],
    });
    await call('requests.read', { path: ids[1] });
    await call('clips.find', { id: 'c1', path: ids[2] });
    await call('pictures.add', { from: { path: ids[3] } });
    await call('pictures.add', { from: { name, base64: content.toString('base64') } });
    await call('subjects.editPhoto', { id: 'p1', mask: { base64: content.toString('base64') } });
  }
  const { subjects } = await library.subjects.list({ limit: 500 });
  const ids = ['c1', 'i1', 'i2', 'i3', ...subjects.flatMap(s => [s.id, ...s.photos.map(p => p.id)])];
  return ids.flatMap(id =>
    ['photo', 'photoThumbnail', 'mask', 'video', 'poster', 'sprite', 'subjectThumbnail', 'picture'].map(kind => `/media/${id}/${kind}`),
  );
}

test('pages that are sent come back as no page', { timeout: 600_000 }, async t => {
  let there = 0;
  for (const path of await sendHostile()) {
    const got = await ask(host, 'GET', path, bearer(host));
    if (got.status === 404) continue;
    there++;
    assert.equal(got.status, 200);
    assert.match(got.headers['content-type']!, /^(image\/jpeg|image\/png|video\/mp4)$/);
    assert.match(got.headers['content-security-policy'] as string, /^default-src 'none'; .*sandbox$/);
    assert.ok(!got.body.includes('RAN'), path);
  }
  t.diagnostic(`${there} files looked at`);
  assert.ok(there > 5);
});

const socketOf = (to: Host, options: object = {}) =>
  new WebSocket(`${to.origin.replace('http', 'ws')}/socket`, { headers: { ...bearer(to), origin: to.origin }, ...options });
const opened = (socket: WebSocket) => new Promise<void>((done, fail) => void socket.once('open', () => done()).once('error', fail));
const ended = (socket: WebSocket) => new Promise<number>(done => void socket.once('close', done));

test('the same API over a socket', async () => {
  const socket = socketOf(host);
  await opened(socket);
  const line = overWire(webSocketWire(socket), '1.2.3');
  assert.equal(await line.greeted, '1.2.3');
  const remote = client(api, line);
  assert.equal((await remote.host.describe({})).can.paths, false);
  await assert.rejects(remote.media.locate({ id: 'c1' }), /not shown by their path/);
  await assert.rejects(remote.subjects.add({ name: 'x', photos: [{ path: '/etc/passwd' }] }), /nothing called "passwd"/);
  const events: unknown[] = [];
  const heard = new Promise<void>(done =>
    line.subscribe(said => {
      events.push(said);
      done();
    }),
  );
  await remote.subjects.edit({ id: 's1', notes: 'seen' });
  await heard;
  assert.equal((events[0] as { type: string }).type, 'subject');
  line.close();
  await ended(socket);
});

test('sentences name no place of this machine', () => {
  const told: readonly (readonly [string, string])[] = [
    ['there is nothing at /mnt/My Drive/Models/cog video: check the path', 'there is nothing at cog video: check the path'],
    ['/a/b.jpg is a folder: name a file.', 'b.jpg is a folder: name a file.'],
    ["cannot read '/a/b c/d.mp4': no such file or folder", "cannot read 'd.mp4': no such file or folder"],
    ['"/a/b" and "/c/d e/f" differ', '"b" and "f" differ'],
    ['copied from /a/b to /c/d: done', 'copied from b to d: done'],
    ['ENOENT: no such file or directory, open \'/tmp/x/y\'', "ENOENT: no such file or directory, open 'y'"],
    ['the folder /lonely is gone', 'the folder lonely is gone'],
    ['/a//b///c: no', 'c: no'],
    ['/a:/b/secret/c is gone', 'a:c is gone'],
    ['file:///home/me/x.ts:3:5 threw', 'x.ts:3:5 threw'],
    [String.raw`C:\Users\Me And You\x.mp4 is damaged`, 'x.mp4 is damaged'],
    ['C:/Users/me/x.mp4 is damaged', 'x.mp4 is damaged'],
    [String.raw`\\server\share\x.mp4 is damaged`, 'x.mp4 is damaged'],
    ['cannot write /home/ü ber/日本/clip.mp4: the disk is full', 'cannot write clip.mp4: the disk is full'],
    ['(/dev/shm/x)', '(x)'],
    ['see https://huggingface.co/zai-org/CogVideoX-5b and r1/set/kelp.jpg: 9/17 frames/s, and/or, ~/x, ./x/y, ../x', 'see https://huggingface.co/zai-org/CogVideoX-5b and r1/set/kelp.jpg: 9/17 frames/s, and/or, ~/x, ./x/y, ../x'],
    ['read /a/b: see https://x.test/c/d', 'read b: see https://x.test/c/d'],
    ['nothing / nobody', 'nothing / nobody'],
    ['', ''],
  ]; // prettier-ignore
  for (const [text, expected] of told) {
    assert.equal(withoutPlaces(text), expected);
    assert.equal(withoutPlaces(expected), expected);
  }
  const names = [['/srv/photos', 'r1'], ['/srv/photos/set/kelp.jpg', 'r1/set/kelp.jpg'], ['/', 'r2']] as const; // prettier-ignore
  for (const [text, expected] of [
    ['/srv/photos/set/kelp.jpg is no photo', 'r1/set/kelp.jpg is no photo'],
    ['/srv/photos/other/x.jpg is no photo', 'r1/other/x.jpg is no photo'],
    ['/srv/photos-2/x.jpg is no photo', 'x.jpg is no photo'],
    ['/srv/photos.', 'r1.'],
    ['/srv/photos/(1).jpg is no photo: / is no folder', 'r1/(1).jpg is no photo: / is no folder'],
  ] as const)
    assert.equal(withoutPlaces(text, names), expected);
  const began = performance.now();
  for (const text of ['/a '.repeat(30_000), '/a'.repeat(50_000), ' /'.repeat(50_000), '/'.repeat(100_000), `/${' '.repeat(100_000)}`, '/a:'.repeat(30_000)])
    withoutPlaces(text); // prettier-ignore
  assert.ok(performance.now() - began < within(2000), `${performance.now() - began} ms`);
  // what people wrote stays as it is, and depth does not matter
  const kept = {
    prompt: '/imagine /a/b',
    notes: '/a/b',
    name: '/a/b',
    failure: { text: '/a/b' },
    plan: { notes: ['/a/b', { text: '/a/b' }] },
    missing: true,
  };
  assert.deepEqual(forBrowser(structuredClone(kept)), { ...kept, failure: { text: 'b' }, plan: { notes: ['b', { text: 'b' }] } });
  let deep: unknown = { text: '/a/b' };
  for (let i = 0; i < 100_000; i++) deep = [deep];
  forBrowser(deep);
});

/** Where the API lets people's own words, and what is no sentence, out: everything else that is a text has to be known as a sentence. */
const noSentences = new Set([
  ...['id', 'subjectId', 'photoId', 'photos', 'heroPhotoId', 'startImage', 'pictureId', 'adapters', 'adapterId', 'checkpoint', 'checkpointId', 'clips', 'clipId', 'jobId', 'batchId', 'running', 'parents', 'added', 'next', 'subjects'],
  ...['name', 'handle', 'tags', 'notes', 'description', 'prompt', 'negativePrompt', 'made', 'preset', 'order'],
  ...['createdAt', 'startedAt', 'endedAt', 'updatedAt', 'version', 'className', 'transformerClass', 'device', 'type', 'extension', 'partner', 'base64', 'jpeg', 'sha256', 'mask', 'platform', 'processor', 'tag', 'usedAt', 'shortcuts'],
  ...['says', 'why', 'for', 'link', 'summary', 'note', 'endpoint', 'host', 'path', 'command'], // fixed texts, places inside a repository; the last two where a path is the answer, which is refused
]); // prettier-ignore
test('every text that the API lets out is known: a sentence, from which places are taken, or not', () => {
  const unknown = new Set<string>(),
    seen = new Set<string>();
  type Schema = Readonly<Record<string, unknown>>;
  const look = (schema: unknown, key: string, list: boolean, from: string): void => {
    if (typeof schema !== 'object' || schema === null) return;
    const {
      properties,
      items,
      additionalProperties,
      anyOf,
      oneOf,
      allOf,
      prefixItems,
      type,
      enum: values,
      const: value,
    } = schema as Schema;
    for (const [name, field] of Object.entries((properties ?? {}) as Schema)) look(field, name, false, from);
    for (const each of [anyOf, oneOf, allOf].flatMap(x => (x ?? []) as unknown[])) look(each, key, list, from);
    for (const each of [items, ...((prefixItems ?? []) as unknown[])]) look(each, key, true, from);
    look(additionalProperties, key, list, from);
    if (![type].flat().includes('string') || values !== undefined || value !== undefined) return;
    seen.add(key);
    const known = (list ? sentenceLists : sentenceFields).has(key) || noSentences.has(key);
    if (!known) unknown.add(`${key}${list ? '[]' : ''} of ${from}`);
  };
  for (const [noun, row] of Object.entries(api as Api))
    for (const [verb, { output }] of Object.entries(row))
      look(z.toJSONSchema(output, { io: 'output', unrepresentable: 'any' }), '', false, `${noun}.${verb}`);
  look(z.toJSONSchema(event, { io: 'output', unrepresentable: 'any' }), '', false, 'an event');
  assert.deepEqual([...unknown], [], 'say in electron/serve/sentences.ts, or here, what these are');
  assert.ok(seen.size > 30);
});

test('a browser reads no place of this machine, whoever owns the library', async () => {
  const heavy = at('root/My Models/heavy');
  mkdirSync(at('root/My Models'));
  cpSync(toybox, heavy, { recursive: true });
  // another content, so that it is another checkpoint
  const index = JSON.parse(readFileSync(join(heavy, 'scheduler/scheduler_config.json'), 'utf8')) as Record<string, unknown>;
  writeFileSync(join(heavy, 'scheduler/scheduler_config.json'), JSON.stringify({ ...index, timestep_spacing: 'leading' }));
  const { id } = await web.checkpoints.add({ path: 'r1/My Models/heavy' });
  assert.notEqual(id, 'k1');
  const events: string[] = [];
  const socket = socketOf(host);
  await opened(socket);
  const line = overWire(webSocketWire(socket), '1.2.3');
  line.subscribe(said => events.push(JSON.stringify(said)));
  await line.greeted;
  rmSync(heavy, { recursive: true });
  const said: string[] = [];
  const tell = async (method: string, input: unknown) => {
    for (const reply of [await call(method, input), await line.call(method, input)]) said.push(JSON.stringify(reply));
  };
  const order = { prompt: '@kelp', numFrames: 9, width: 64, height: 64, numInferenceSteps: 3 };
  await tell('jobs.enqueue', { request: { ...order, checkpoint: id } });
  await tell('checkpoints.find', { id, path: 'r1/set' });
  await tell('checkpoints.find', { id, path: 'r1/fig.jpg' });
  await tell('checkpoints.add', { path: 'r1/set' });
  await tell('checkpoints.add', { path: 'r1/note.txt' });
  await tell('adapters.add', { path: 'r1/note.txt' });
  await tell('adapters.add', { path: 'r1/set' });
  await tell('requests.read', { path: 'r1/note.txt' });
  await tell('clips.find', { id: 'c1', path: 'r1/fig.jpg' });
  await tell('exports.presets', {});
  await tell('exports.describe', { clips: ['c1'], preset: 'share' });
  await tell('downloads.list', {});
  await tell('storage.show', {});
  await tell('storage.check', {});
  await tell('backups.list', {});
  await tell('settings.show', {});
  await tell('host.machine', {});
  await tell('clips.frame', { id: 'c1', frame: 99 });
  // a job that fails with the words of a machine
  painted.fails = `cannot write ${at('outside/My Clip/x.mp4')}: the disk is full: free some space`;
  const { jobs } = await web.jobs.enqueue({ request: order });
  while ((await library.jobs.show({ id: jobs[0]!.id })).status !== 'failed') await sleep(20);
  painted.fails = undefined;
  const { failure } = await library.jobs.show({ id: jobs[0]!.id });
  assert.match(failure!.text, /x\.mp4/);
  await tell('jobs.show', { id: jobs[0]!.id });
  await tell('jobs.list', {});
  while (!events.some(text => text.includes('x.mp4'))) await sleep(20);
  await tell('jobs.cancel', { id: jobs[0]!.id });
  await tell('checkpoints.remove', { id });
  const program = resolve(import.meta.dirname, '../..'); // what a device lacks is to be put there
  for (const text of [...said, ...events])
    assert.ok(!text.includes(folder) && !text.includes('My Models/') && !text.includes(`${program}/`), text);
  line.close();
  // an owner elsewhere may say anything
  const loud = await newHost({
    transport: {
      ...transport,
      call: (method, input, signal) => (method === 'host.describe' ? transport.call(method, input, signal) : Promise.resolve({ error: { code: 'busy', text: `the library in ${folder}/my library is open in another process`, action: 'retry' } })),
      subscribe: listener => (listener({ type: 'notice', jobId: null, text: `${folder}/a/b.txt is odd` }), () => undefined),
    },
  }); // prettier-ignore
  assert.equal((await ask(loud, 'GET', '/media/c1/video', bearer(loud))).body.toString(), 'the library in my library is open in another process\n'); // prettier-ignore
  const other = socketOf(loud);
  await opened(other);
  const heard = Promise.withResolvers<unknown>();
  const second = overWire(webSocketWire(other), '1.2.3');
  second.subscribe(heard.resolve);
  assert.deepEqual(await heard.promise, { type: 'notice', jobId: null, text: 'b.txt is odd' });
  second.close();
});

test('an export is downloaded by its name, whatever that is', async () => {
  for (const [name, plain, encoded] of [
    ['Kelp hops', 'Kelp hops.mp4', 'Kelp%20hops.mp4'],
    ['Ünser ☃ クリップ', '_nser _ ____.mp4', '%C3%9Cnser%20_%20%E3%82%AF%E3%83%AA%E3%83%83%E3%83%97.mp4'],
    [
      'a"; filename=evil.exe\r\nset-cookie: x=y',
      'a__ filename_evil.exe__set-cookie_ x_y.mp4',
      'a__%20filename_evil.exe__set-cookie_%20x_y.mp4',
    ],
    ['../../etc/passwd', 'passwd.mp4', 'passwd.mp4'],
    ['con', '_con.mp4', '_con.mp4'],
    ["it's (1)", 'it_s (1).mp4', 'it_s%20%281%29.mp4'],
    ['\ud800', '_.mp4', '_.mp4'],
  ] as const) {
    const odd: Transport = {
      ...transport,
      call: (method, input, signal) =>
        method === 'media.read' ? Promise.resolve({ value: { base64: Buffer.from('<script>').toString('base64'), bytes: 8, type: 'video/mp4' } })
        : method === 'exports.show' ? Promise.resolve({ value: { id: 'e1', name, plan: { extension: 'mp4' } } })
        : transport.call(method, input, signal),
    }; // prettier-ignore
    const got = await ask(await newHost({ transport: odd }), 'GET', '/media/e1/export', bearer(hosts.at(-1)!));
    assert.deepEqual([got.status, got.headers['content-type'], got.headers['set-cookie']], [200, 'application/octet-stream', undefined]);
    assert.equal(got.headers['content-disposition'], `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`);
  }
  assert.match(savedAs('x'.repeat(5000) + '.webm'), /^attachment; filename="x{195}\.webm"; /);
});

test('a browser exports, and downloads what was made', { timeout: 600_000 }, async () => {
  const outside = new Set(readdirSync(folder, { recursive: true }) as string[]);
  const made: string[] = [];
  for (const name of ['Kelp hops', '../../../évil "x"\tset-cookie: a=b']) {
    const { id } = await web.exports.start({ clips: ['c1'], preset: 'share', name, options: { poster: 0 } });
    made.push(id);
    while (!/completed|failed/.test((await web.exports.show({ id })).status)) await sleep(50);
    const shown = await web.exports.show({ id });
    assert.equal(shown.status, 'completed', shown.failure?.text);
    const got = await ask(host, 'GET', `/media/${id}/export`, bearer(host));
    assert.deepEqual([got.status, got.body.length, got.headers['content-type']], [200, shown.bytes, 'application/octet-stream']);
    assert.equal(got.body.toString('latin1', 4, 8), 'ftyp');
    assert.equal(got.headers['content-disposition'], savedAs(`${shown.name}.mp4`));
    assert.equal(got.headers['set-cookie'], undefined);
    const some = await ask(host, 'GET', `/media/${id}/export`, { ...bearer(host), range: 'bytes=4-7' });
    assert.deepEqual([some.status, some.body.toString()], [206, 'ftyp']);
    assert.equal((await ask(host, 'GET', `/media/${id}/poster`, bearer(host))).headers['content-type'], 'image/png');
    assert.equal((await ask(host, 'GET', `/media/${id}/video`, bearer(host))).status, 404);
  }
  const now = (readdirSync(folder, { recursive: true }) as string[]).filter(name => !outside.has(name));
  assert.deepEqual(now.filter(name => !name.startsWith('library/')), []); // prettier-ignore
  for (const id of made) {
    assert.ok(!('error' in (await call('exports.remove', { id }))));
    assert.equal((await ask(host, 'GET', `/media/${id}/export`, bearer(host))).status, 404);
  }
  const { presets } = await web.exports.presets({});
  for (const { id, extension, unavailable } of presets)
    if (extension === null) assert.match(unavailable ?? '', /a folder, which a browser cannot download/, id);
  assert.equal(presets.find(preset => preset.id === 'share')!.unavailable, null);
  assert.equal((await library.exports.presets({})).presets.find(preset => preset.extension === null)!.unavailable, null);
  // one that a command has put elsewhere is shown without its place, and not handed out
  const { id } = await library.exports.start({ clips: ['c1'], preset: 'share', path: at('outside/theirs.mp4') });
  while (!/completed|failed/.test((await library.exports.show({ id })).status)) await sleep(50);
  assert.equal((await web.exports.show({ id })).inLibrary, false);
  const refused = await ask(host, 'GET', `/media/${id}/export`, bearer(host));
  assert.ok(refused.status >= 400, `${refused.status}`);
  // nor its place, where it is to be made again
  assert.match(((await call('exports.retry', { id })) as { error: { text: string } }).error.text, /^e\d+ is there/);
  writeFileSync(at('outside/as.mp4'), readFileSync(at('outside/theirs.mp4')));
  rmSync(at('outside/theirs.mp4'));
  renameSync(at('outside'), at('unplugged'));
  const { error } = (await call('exports.retry', { id })) as { error: { text: string } };
  assert.match(error.text, /^cannot write theirs\.mp4: no such file or folder/);
  renameSync(at('unplugged'), at('outside'));
  assert.equal((await web.exports.retry({ id })).status, 'waiting');
  while (!/completed|failed/.test((await web.exports.show({ id })).status)) await sleep(50);
  assert.ok(readFileSync(at('outside/as.mp4')).equals(readFileSync(at('outside/theirs.mp4'))));
  await library.exports.remove({ id });
  for (const name of ['theirs', 'as']) rmSync(at(`outside/${name}.mp4`));
});

test('an adapter that is sent is kept by the library; masks are drawn, downloads are asked for', async () => {
  const content = readFileSync(join(toybox, 'adapter/pytorch_lora_weights_transformer.safetensors')),
    length = Number(content.readBigUInt64LE(0));
  // the same numbers with other words in front: another file
  const header = JSON.parse(content.toString('utf8', 8, 8 + length)) as Record<string, unknown>;
  const text = Buffer.from(
    JSON.stringify({ ...header, __metadata__: { ...(header['__metadata__'] as object | undefined), note: 'sent' } }),
  );
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  const other = Buffer.concat([size, text, content.subarray(8 + length)]);
  const id = await upload('My <Look>.safetensors', other);
  assert.equal(codeOf(await call('adapters.add', { path: id })), 'notHere'); // it would be used where it lies
  const before = (await library.adapters.list({})).adapters.length;
  const added = await web.adapters.add({ path: id, copy: true });
  assert.equal((await library.adapters.list({})).adapters.length, before + 1);
  assert.equal(added.name, 'My _Look_');
  assert.equal(added.missing, false);
  assert.deepEqual(
    (await web.adapters.list({})).adapters.find(a => a.id === added.id),
    added,
  );
  assert.equal(codeOf(await call('adapters.add', { path: id, copy: true })), 'notFound'); // used once
  for (const copy of [1, 'true', null, false, { x: true }]) {
    const again = await upload('a.safetensors', other);
    assert.ok(['notHere', 'badInput'].includes(codeOf(await call('adapters.add', { path: again, copy }))));
  }
  assert.equal(codeOf(await call('checkpoints.add', { path: await upload('b.safetensors', other), copy: true })), 'notHere');
  await web.adapters.remove({ id: added.id });

  const { mask } = await web.photos.cutOut({ id: 'p1' });
  assert.equal(Buffer.from(mask.base64, 'base64').toString('latin1', 1, 4), 'PNG');
  assert.ok((await web.photos.check({ id: 's1' })).findings.every(({ sentence }) => !sentence.includes(folder)));
  const { downloads } = await web.downloads.list({});
  const heavy = downloads.find(d => d.state === 'none')!;
  assert.equal(codeOf(await call('downloads.start', { id: heavy.id })), 'needsConfirmation');
  await web.settings.edit({ offline: true });
  assert.notEqual(codeOf(await call('downloads.start', { id: heavy.id, accepted: heavy.licence.name })), 'ok');
  await web.settings.edit({ offline: false });
});

test(
  'another user of this machine gets nothing, whatever he shows',
  { skip: process.platform !== 'linux' && 'only Linux tells whose a connection is' },
  async t => {
    const { port } = new URL(host.origin);
    const socket = connect(Number(port), '127.0.0.1');
    await once(socket, 'connect');
    const from = { address: socket.localAddress!, port: socket.localPort! };
    const began = performance.now();
    assert.equal(userAt(from, Number(port)), process.getuid!());
    t.diagnostic(`asked in ${(performance.now() - began).toFixed(1)} ms`);
    assert.equal(userAt({ ...from, address: '127.0.0.2' }, Number(port)), undefined);
    assert.equal(userAt(from, 1), undefined);
    socket.destroy();
    await once(socket, 'close');
    while (userAt(from, Number(port)) !== undefined) await sleep(5); // what is left of it is nobody's
    const over6 = connect(Number(port), '::ffff:127.0.0.1');
    await once(over6, 'connect');
    assert.equal(userAt({ address: '127.0.0.1', port: over6.localPort! }, Number(port)), process.getuid!());
    over6.destroy();
    assert.equal((await strangers(Number(port))) === undefined, process.getuid!() === 0);

    const sixty = guardOf('127.0.0.1:1', { stranger: socket => socket === ('theirs' as never) });
    const refused = (socket: string, given: Record<string, string>) =>
      sixty.refuses({ url: '/', method: 'GET', headers: given, headersDistinct: { host: ['127.0.0.1:1'] }, socket } as never, false)
        ?.status;
    const proofs = [{ authorization: `Bearer ${sixty.token}` }, { cookie: sixty.cookie.split(';')[0]! }];
    for (const proof of proofs) assert.deepEqual([refused('theirs', proof), refused('ours', proof)], [403, undefined]);
    assert.equal(refused('theirs', {}), 401);
  },
);
test(
  'another user with the token, over a real connection',
  { skip: (process.platform !== 'linux' || process.getuid!() !== 0) && 'only root can be two users', timeout: 600_000 },
  async () => {
    // the host as one user: its own modules are ours, which another user may not be able to read
    const [one, two] = [54_321, 54_322];
    const serving = `const { strangers } = await import(${JSON.stringify(pathToFileURL(resolve(import.meta.dirname, '../../electron/serve/peer.ts')).href)});
    const { createServer } = await import('node:http');
    process.setgid(${one}); process.setuid(${one});
    let stranger;
    const server = createServer((request, response) => response.end(String(stranger(request.socket))));
    server.listen(0, '127.0.0.1', async () => { stranger = await strangers(server.address().port); console.log(server.address().port); });`;
    const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', serving], { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      const port = Number(String(((await once(child.stdout, 'data')) as [Buffer])[0]));
      const asking = (uid: number) => {
        const code = `process.setgid(${uid}); process.setuid(${uid}); process.stdout.write(await (await fetch('http://127.0.0.1:${port}/')).text());`;
        return promisify(execFile)(process.execPath, ['--no-warnings', '--input-type=module', '-e', code]).then(({ stdout }) => stdout);
      };
      assert.deepEqual([await asking(one), await asking(two), await asking(0)], ['false', 'true', 'false']);
    } finally {
      child.kill();
    }
  },
);

test('what a host that was killed had been sent goes when another one starts', () => {
  const old = at('tmp/protagonist-sent-oldold'),
    fresh = at('tmp/protagonist-sent-newnew');
  for (const each of [old, fresh]) {
    mkdirSync(join(each, 'u1'), { recursive: true });
    writeFileSync(join(each, 'u1/x'), 'x');
  }
  const then = Date.now() / 1000 - 4 * 3600;
  utimesSync(old, then, then);
  placesOf([]).close();
  assert.deepEqual([existsSync(old), existsSync(fresh)], [false, true]);
  rmSync(fresh, { recursive: true });
});
test('files are sent on where the folder for them was tidied away', async () => {
  const first = await upload('a.jpg', 'x');
  for (const name of readdirSync(at('tmp'))) if (name.startsWith('protagonist-sent-')) rmSync(at('tmp', name), { recursive: true });
  assert.notEqual(codeOf(await call('requests.read', { path: first })), 'ok');
  const second = await upload('b.mp4', await whole('c1', 'video'));
  assert.equal((await web.requests.read({ path: second })).request?.prompt, '@kelp hops');
});

test('a socket that asks for too much is closed, and the others stay', async () => {
  const few = await newHost({ patience: { heartbeat: 300 } });
  const good = socketOf(few);
  await opened(good);
  const big = socketOf(few);
  await opened(big);
  big.send('x'.repeat((1 << 20) + 1));
  assert.equal(await ended(big), 1009);
  for (const junk of [
    'not json',
    Buffer.from('{"type":"hello"}'),
    '{"type":"call","id":0,"method":"queue.state"}',
    '[]',
    '{"type":"hello","protocol":1,"version":"0"}',
  ]) {
    const socket = socketOf(few);
    await opened(socket);
    socket.send(junk, { binary: Buffer.isBuffer(junk) });
    assert.equal(await ended(socket), 1000, String(junk));
  }
  const dead = socketOf(few, { autoPong: false });
  await opened(dead);
  assert.equal(await ended(dead), 1006); // it did not answer a ping
  const many = Array.from({ length: 31 }, () => socketOf(few));
  await Promise.all(many.map(opened));
  const full = socketOf(few);
  const refused = await new Promise<number>(
    done => void full.once('unexpected-response', (_, answer) => done(answer.statusCode!)).on('error', () => undefined),
  );
  assert.equal(refused, 503);
  assert.equal(good.readyState, WebSocket.OPEN);
  many[0]!.close();
  await ended(many[0]!);
  await opened(socketOf(few));
});

test('a crowd of silent clients shuts nobody out', { timeout: 600_000 }, async t => {
  const to = await newHost(),
    { port } = new URL(to.origin);
  const crowd = Array.from({ length: 1500 }, () => connect(Number(port), '127.0.0.1').on('error', () => undefined));
  await Promise.all(crowd.map(socket => once(socket, 'connect')));
  const good = socketOf(to);
  await opened(good);
  let slowest = 0;
  for (let i = 0; i < 20; i++) {
    crowd.push(...Array.from({ length: 100 }, () => connect(Number(port), '127.0.0.1').on('error', () => undefined)));
    const got = await ask(to, 'POST', '/api/queue.state', { ...bearer(to), ...json }, '{}');
    assert.equal(got.status, 200);
    slowest = Math.max(slowest, got.ms);
  }
  t.diagnostic(`among ${crowd.length} the owner waited ${slowest.toFixed(0)} ms at most`);
  assert.equal(good.readyState, WebSocket.OPEN);
  for (const socket of crowd) socket.destroy();
  good.close();
});

test('slow clients are left, and nobody waits for them', { timeout: 600_000 }, async t => {
  const brisk = await newHost({ patience: { headers: 1500, idle: 700 } }),
    { host: name, port } = new URL(brisk.origin);
  const start = performance.now();
  let gone = 0;
  const sockets = Array.from({ length: 500 }, (_, i) => {
    const socket = connect(Number(port), '127.0.0.1');
    socket
      .resume() // what is not read hides that the connection has ended
      .on('error', () => undefined)
      .on('close', () => gone++);
    if (i % 2) socket.write(`GET / HTTP/1.1\r\nhost: ${name}\r\n`);
    return socket;
  });
  const drip = setInterval(() => sockets.forEach((s, i) => i % 2 && s.writable && s.write('x: y\r\n')), 200);
  await sleep(300);
  let slowest = 0;
  for (let i = 0; i < 20; i++) {
    slowest = Math.max(slowest, (await ask(brisk, 'POST', '/api/queue.state', { ...bearer(brisk), ...json }, '{}')).ms);
    await sleep(50);
  }
  while (gone < 500 && performance.now() - start < within(15_000)) await sleep(50);
  clearInterval(drip);
  t.diagnostic(
    `500 slow sockets: the owner waited ${slowest.toFixed(0)} ms at most; all were gone after ${((performance.now() - start) / 1000).toFixed(1)} s`,
  );
  assert.equal(gone, 500);
  assert.ok(slowest < within(500));
  for (const path of ['/api/queue.state', '/upload']) {
    const type = path === '/upload' ? 'application/octet-stream' : 'application/json';
    const began = performance.now();
    const said = await raw(
      brisk,
      `POST ${path} HTTP/1.1\r\nhost: ${name}\r\nauthorization: Bearer ${brisk.token}\r\nx-protagonist: 1\r\ncontent-type: ${type}\r\ncontent-length: 100\r\n\r\n{`,
    );
    assert.ok([0, 408].includes(statusOf(said)), said);
    assert.ok(performance.now() - began < within(3000));
  }
});

test('bodies have bounds', { timeout: 600_000 }, async t => {
  const { host: name } = new URL(host.origin),
    head = (path: string, type: string, more: string) =>
      `POST ${path} HTTP/1.1\r\nhost: ${name}\r\nauthorization: Bearer ${host.token}\r\nx-protagonist: 1\r\ncontent-type: ${type}\r\n${more}\r\n\r\n`;
  assert.equal(statusOf(await raw(host, head('/api/queue.state', 'application/json', 'content-length: 2000000000'))), 413);
  assert.equal(statusOf(await raw(host, head('/upload', 'application/octet-stream', 'content-length: 2000000000'))), 413);
  const before = process.memoryUsage().rss;
  const chunk = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(1 << 20, 0x20), Buffer.from('\r\n')]);
  const greedy = await new Promise<{ said: string; sent: number }>(done => {
    const socket = connect(Number(new URL(host.origin).port), '127.0.0.1');
    let said = '',
      sent = 0;
    const more = () => {
      while (sent < 2048 && !socket.destroyed) {
        sent++;
        if (!socket.write(chunk)) return;
      }
    };
    socket.on('data', part => (said += part.toString('latin1'))).on('drain', more).on('error', () => undefined).on('close', () => done({ said, sent })); // prettier-ignore
    socket.write(head('/api/queue.state', 'application/json', 'transfer-encoding: chunked'));
    more();
  });
  t.diagnostic(`of 2048 MiB ${greedy.sent} were sent; memory grew by ${((process.memoryUsage().rss - before) / 2 ** 20).toFixed(0)} MiB`);
  assert.ok(greedy.sent < 100);
  assert.ok([0, 413].includes(statusOf(greedy.said)));
  const post = (body: string, headers = {}) => ask(host, 'POST', '/api/queue.state', { ...bearer(host), ...json, ...headers }, body);
  assert.equal((await post('{')).status, 400);
  assert.equal((await post('')).status, 200);
  assert.equal((await post('{}', { 'content-encoding': 'gzip' })).status, 415);
  assert.equal((await post('{}', { 'content-type': 'application/octet-stream' })).status, 415);
  assert.equal((await post('{}', { 'content-type': 'Application/JSON; charset=utf-8' })).status, 200);
  assert.equal((await post('['.repeat(1_000_000) + ']'.repeat(1_000_000))).status, 200); // badInput
  assert.equal((await ask(host, 'POST', '/upload', { ...bearer(host), ...json }, '{}')).status, 415);
});

test('protagonist serve: prints its address once, is owner or client, ends when told to', { timeout: 600_000 }, async () => {
  const home = at('by-command');
  const serve = async (...args: string[]) => {
    const line = Promise.withResolvers<{ address: string; origin: string; roots: unknown }>();
    const started = start(['serve', '--json', '--home', home, ...args], { onLine: l => l.type === 'serving' && line.resolve(l as never) });
    void started.ended.then(e => line.reject(new Error(e.stderr)));
    const { address, origin, roots } = await line.promise;
    const token = new URL(address).hash.replace('#token=', '');
    const web = browsers(async (method, input) => {
      const headers = { ...json, authorization: `Bearer ${token}` };
      return (await fetch(`${origin}/api/${method}`, { method: 'POST', headers, body: JSON.stringify(input) })).json() as Promise<Reply>;
    });
    return { ...started, address, origin, roots, token, web };
  };
  const first = await serve('--roots', at('root'), at('window'));
  assert.match(first.address, /^http:\/\/127\.0\.0\.1:\d+\/#token=[\w-]{43}$/);
  assert.deepEqual(first.roots, [{ id: 'r1', name: 'root' }, { id: 'r2', name: 'window' }]); // prettier-ignore
  assert.equal((await first.web.queue.state({})).state, 'idle'); // it works at the queue
  const second = await serve();
  await first.web.subjects.add({ name: 'Both', photos: [{ path: 'r1/fig.jpg' }] });
  assert.equal((await second.web.subjects.list({})).subjects[0]!.name, 'Both');
  const port = new URL(first.origin).port;
  const taken = await start(['serve', '--home', home, '--port', port]).ended;
  assert.equal(taken.status, 1);
  assert.match(taken.stderr, new RegExp(`port ${port} is taken by another program: name another with --port`));
  assert.equal((await start(['serve', '--home', home, '--roots', at('none')]).ended).status, 2);
  assert.equal((await start(['serve', '--home', home, '--port', '70000']).ended).status, 2);
  first.child.kill('SIGINT');
  const end = await first.ended;
  assert.equal(end.status, 0, end.stderr);
  assert.equal((end.stdout + end.stderr).split(first.token).length, 2, 'the token is told once');
  assert.equal(/You are root/.test(end.stderr), process.getuid?.() === 0);
  assert.equal((await second.web.subjects.list({})).subjects[0]!.name, 'Both');
  assert.equal((await second.web.queue.state({})).state, 'idle');
  second.child.kill('SIGTERM');
  assert.equal((await second.ended).status, 0);
});

test(
  'in a browser',
  { skip: chromium === undefined && 'there is no Chromium here: apt-get install chromium', timeout: 600_000 },
  async t => {
    const mine = await newHost({ window: at('none') }),
      { port } = new URL(mine.origin);
    const evil = createServer((_, answer) =>
      answer.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>evil</title><body>'),
    );
    await new Promise<void>(done => evil.listen(0, '127.0.0.1', done));
    const evilPort = (evil.address() as AddressInfo).port;
    // Chromium's own wall between sites and this machine is taken down: what holds has to be ours
    const browser = await openBrowser([
      '--host-resolver-rules=MAP evil.test 127.0.0.1',
      '--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets',
      '--disable-popup-blocking',
      '--autoplay-policy=no-user-gesture-required',
    ]);
    const fingerprint = async () => JSON.stringify([await library.subjects.list({ limit: 500 }), await library.clips.list({}), await library.jobs.list({}), await library.settings.show({}), (await library.queue.state({})).state, (await library.backups.list({})).backups.length]); // prettier-ignore
    try {
      await t.test('the address opens the window, and the token is gone from it', async () => {
        const tab = await browser.newPage();
        await tab.goto(mine.address);
        await tab.until(`location.pathname === '/window/' && document.body.innerText.includes('connected')`);
        assert.equal(await tab.run('location.href'), `${mine.origin}/window/`);
        assert.equal(await tab.run('document.cookie'), '');
        assert.match(await tab.run('document.body.innerText'), /version\s+1\.2\.3[^]*subjects\s.*@kelp/);
        await tab.until(`document.querySelector('video').readyState >= 2`);
        assert.ok(browser.answers.some(a => a.url.includes('/media/c1/video') && a.status === 206));
        await library.queue.pause({});
        await tab.until(`document.body.innerText.includes('paused')`); // an event over the socket
        await library.queue.resume({});
        // back at the door without a token: the cookie is enough
        await tab.goto(`${mine.origin}/`);
        await tab.until(`location.pathname === '/window/'`);
        await tab.goto(`${mine.origin}/#token=wrong`);
        await tab.until(`document.body.innerText.includes('token is missing or wrong')`);
        await tab.goto('about:blank'); // so that it asks nothing while others are looked at
      });

      await t.test('pages that were sent never run, wherever they are opened', async () => {
        const paths = (await sendHostile()).filter(path => !path.endsWith('Thumbnail'));
        const tab = await browser.newPage();
        let looked = 0;
        for (const path of paths) {
          if ((await ask(mine, 'HEAD', path, bearer(mine))).status !== 200 || looked >= 25) continue;
          looked++;
          await tab.goto(mine.origin + path);
        }
        await tab.goto(`${mine.origin}/window/`);
        await tab.until(`document.body.innerText.includes('connected')`);
        t.diagnostic(`${looked} files opened in a tab`);
        assert.ok(looked > 3);
        assert.deepEqual(browser.said.filter(text => text.includes('RAN')), []); // prettier-ignore
        await tab.goto('about:blank');
      });

      const inputs = [['subjects.add', { name: 'EVIL' }], ['queue.pause', {}], ['settings.edit', {}], ['backups.create', {}], ['clips.trash', { ids: ['c1'] }], ['subjects.remove', { id: 's1' }]] as const; // prettier-ignore
      /** Everything that a page can try at a host; returns what it could read. */
      const attack = (target: string) => `(async () => {
      const target = ${JSON.stringify(target)}, got = [], inputs = ${JSON.stringify(inputs)};
      const keep = what => text => { if (text) got.push(what + ': ' + String(text).slice(0, 300)); };
      const tries = [];
      const all = ${JSON.stringify(mine.routes.filter(r => r.method === 'GET').map(filled))};
      for (const path of [...all, '/api/clips.list'])
        for (const mode of ['cors', 'no-cors', 'same-origin'])
          for (const credentials of ['include', 'omit'])
            tries.push(fetch(target + path, { mode, credentials }).then(async a => a.ok && keep('fetch ' + path + ' ' + a.status)(await a.text())).catch(() => {}));
      for (const [method, input] of inputs) {
        const body = JSON.stringify(input), url = target + '/api/' + method;
        for (const headers of [{ 'content-type': 'application/json', 'x-protagonist': '1' }, { 'content-type': 'text/plain' }, {}])
          for (const mode of ['cors', 'no-cors', 'same-origin'])
            tries.push(fetch(url, { method: 'POST', mode, credentials: 'include', headers, body }).then(async a => a.ok && keep('post ' + a.status)(await a.text())).catch(() => {}));
        navigator.sendBeacon(url, body);
        navigator.sendBeacon(url, new Blob([body], { type: 'application/json' }));
        for (const enctype of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
          const frame = document.body.appendChild(document.createElement('iframe'));
          frame.name = 'f' + Math.random();
          const form = document.body.appendChild(document.createElement('form'));
          Object.assign(form, { method: 'post', action: url, enctype, target: frame.name });
          const field = form.appendChild(document.createElement('input'));
          field.name = body.slice(0, -1) + ',"x":"'; field.value = '"}';
          form.submit();
        }
      }
      tries.push(fetch(target + '/upload?name=x', { method: 'POST', mode: 'no-cors', credentials: 'include', body: new Blob(['x'], { type: 'application/octet-stream' }) }).catch(() => {}));
      tries.push(fetch(target + '/session', { method: 'POST', mode: 'no-cors', credentials: 'include', body: '{}' }).catch(() => {}));
      const element = (tag, set) => tries.push(new Promise(done => {
        const e = document.createElement(tag);
        e.onload = () => { keep(tag)(set.src ?? set.href); done(); };
        e.onloadedmetadata = () => { keep(tag)(set.src); done(); };
        e.onerror = done; setTimeout(done, 3000);
        Object.assign(e, set); document.body.append(e);
      }));
      for (const path of ['/media/c1/poster', '/media/p1/photo', '/media/s1/subjectThumbnail']) element('img', { src: target + path });
      element('video', { src: target + '/media/c1/video', preload: 'auto' });
      element('script', { src: target + '/window/stand-in.js' });
      element('link', { rel: 'stylesheet', href: target + '/window/stand-in.css' });
      for (const path of ['/', '/window/', '/media/c1/poster']) {
        const frame = document.body.appendChild(document.createElement('iframe'));
        frame.src = target + path;
        tries.push(new Promise(done => setTimeout(() => {
          try { keep('frame ' + path)(frame.contentDocument?.body?.innerText?.includes('Opening') && 'read'); } catch {}
          done();
        }, 1500)));
        const opened = window.open(target + path);
        tries.push(new Promise(done => setTimeout(() => { try { keep('window ' + path)(opened?.document?.body?.innerText?.includes('API answers') && 'read'); } catch {} opened?.close(); done(); }, 1500)));
      }
      for (const path of ['/socket', '/api/queue.state'])
        tries.push(new Promise(done => {
          const s = new WebSocket(target.replace('http', 'ws') + path);
          s.onopen = () => { keep('socket')('open'); s.close(); done(); };
          s.onerror = done; setTimeout(done, 3000);
        }));
      const source = new EventSource(target + '/api/queue.state', { withCredentials: true });
      source.onopen = () => keep('events')('open');
      await Promise.all(tries);
      await new Promise(done => setTimeout(done, 500));
      source.close();
      return got;
    })()`;

      for (const [title, from, target] of [
        ['a rebinding page', `http://evil.test:${port}/attack`, `http://evil.test:${port}`],
        ['a rebinding page that tries the real address', `http://evil.test:${port}/attack`, mine.origin],
        ['a page on another port of this machine', `http://127.0.0.1:${evilPort}/`, mine.origin],
        ['a page of another site', `http://evil.test:${evilPort}/`, mine.origin],
        ['a page of another name of this machine', `http://localhost:${evilPort}/`, mine.origin],
      ] as const)
        await t.test(`${title} gets no byte and changes nothing`, async () => {
          const tab = await browser.newPage(),
            before = await fingerprint(),
            seen = browser.answers.length,
            counts: Record<string, number> = {},
            passed: string[] = [];
          // what the host has answered, as Node saw it go
          const look = (said: unknown) => {
            const { request, response } = said as { request: IncomingMessage; response: ServerResponse };
            if (request.socket.localPort !== Number(port)) return;
            counts[response.statusCode] = (counts[response.statusCode] ?? 0) + 1;
            if (response.statusCode < 400) passed.push(`${request.method!} ${request.url!} ${JSON.stringify(request.headers)}`);
          };
          await tab.goto(from, from.endsWith('/attack') ? '<!doctype html><title>evil</title><body>' : undefined); // a name that led elsewhere when it was opened
          subscribe('http.server.response.finish', look);
          const got = await tab.run<string[]>(attack(target));
          unsubscribe('http.server.response.finish', look);
          t.diagnostic(`${title}: answers by status ${JSON.stringify(counts)}`);
          assert.ok(Object.values(counts).reduce((a, b) => a + b, 0) > 50, 'the browser asked nothing');
          assert.deepEqual(passed, []);
          const ours = browser.answers.slice(seen).filter(a => a.url.includes(`:${port}/`) || a.url.startsWith('ws'));
          assert.deepEqual(ours.filter(a => a.status < 400 && !a.url.endsWith('/attack')), []); // prettier-ignore
          assert.deepEqual(got, []);
          assert.equal(await fingerprint(), before);
        });
    } finally {
      await browser.close();
      evil.close();
    }
  },
);
