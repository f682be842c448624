/** @file The scheme of the desktop app: ranges of a real file, streams that stop, and a hundred thousand addresses of which none leads outside. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs, { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';
import { api } from '../../electron/contract/api.ts';
import { refused, type Answer } from '../../electron/contract/rpc.ts';
import { policies, safety } from '../../electron/serve/answers.ts';
import { savedAs } from '../../electron/serve/media.ts';
import { glanceBy, windowAnswer } from '../../electron/shell/ipc.ts';
import { placesOf } from '../../electron/serve/places.ts';
import { answering, origin, privileges, refusing, windowPolicy } from '../../electron/shell/protocol.ts';
import { randoms } from '../support/random.ts';
import { root as sources } from '../support/run.ts';

const root = mkdtempSync(join(tmpdir(), 'protagonist-shell-protocol-')),
  at = (...names: string[]) => join(root, ...names);
after(() => rmSync(root, { recursive: true, force: true }));

// the window, and beside, around and behind it what nobody is to read
const secret = 'this is the secret of another';
const window = at('app', 'window');
for (const folder of ['assets', '.hidden']) mkdirSync(join(window, folder), { recursive: true });
mkdirSync(at('app', 'window-secret'));
const shown: Readonly<Record<string, string>> = {
  'index.html': '<!doctype html><title>Protagonist</title>',
  'icon.svg': '<svg xmlns="http://www.w3.org/2000/svg"/>',
  'assets/app.js': 'export {};',
  'assets/index-Dm3x_v9a.js': 'export const one = 1;',
  'assets/a b(1)é.css': 'a { color: red }',
};
for (const [name, text] of Object.entries(shown)) writeFileSync(join(window, name), text);
for (const place of ['app/secret.txt', 'app/window-secret/secret.txt', 'app/window/.secret', 'app/window/.hidden/secret.txt', 'secret.txt', 'app/index.html'])
  writeFileSync(at(place), secret); // prettier-ignore
symlinkSync(at('secret.txt'), join(window, 'assets', 'link.txt'));
symlinkSync(at('app', 'window-secret'), join(window, 'linked'));
const addresses = new Map(
  [...Object.entries(shown), ['', shown['index.html']!] as const].map(([name, text]) => [`${origin}/window/${encodeURI(name)}`, text]),
);

// the library: ids of files that lie here, read as its part of the API does
const large = randomBytes((5 << 19) + 7), // two and a half pieces, and a little
  files: Readonly<Record<string, readonly [name: string, type: string, bytes: Buffer]>> = {
    'c1/video': ['video.mp4', 'video/mp4', large],
    'c2/video': ['empty.mp4', 'video/mp4', Buffer.alloc(0)],
    'c3/video': ['byte.mp4', 'video/mp4', large.subarray(0, 1)],
    'c1/poster': ['poster.jpg', 'image/jpeg', large.subarray(0, 999)],
    'p1/photo': ['photo.html', 'text/html', Buffer.from('<script>alert(1)</script>')],
    'e1/export': ['export.webm', 'video/webm', large.subarray(0, 5000)],
    'e2/export': ['export-2.webm', 'video/webm', large.subarray(0, 5000)],
  };
for (const [name, , bytes] of Object.values(files)) writeFileSync(at(name), bytes);
const exported: Readonly<Record<string, unknown>> = {
  e1: { name: 'Кот "x"\r\nset-cookie: a', plan: { extension: 'webm' } },
  e2: { name: 'no plan' },
};
/** What was read, one entry a call. */
const reads: { id: string; kind: string; offset: number; length: number }[] = [];
const answer: Answer = async (method, input, signal) => {
  if (signal?.aborted) return refused('disconnected', 'nobody waits');
  if (method === 'exports.show') {
    const { id } = input as { id: string };
    return Object.hasOwn(exported, id) ? { value: exported[id] } : refused('notFound', 'there is no such export');
  }
  assert.equal(method, 'media.read');
  const parsed = api.media.read.input.safeParse(input);
  if (!parsed.success) return refused('badInput', 'that is no address of a file');
  const { id, kind, offset, length } = parsed.data;
  const found = Object.hasOwn(files, `${id}/${kind}`) ? files[`${id}/${kind}`]! : undefined;
  if (!found) return refused('notFound', `there is no ${kind} of ${id}`);
  reads.push(parsed.data);
  const file = await open(at(found[0]));
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.max(0, Math.min(length, size - offset))), 0, undefined, offset);
    return { value: { base64: buffer.toString('base64', 0, bytesRead), bytes: size, type: found[1] } };
  } finally {
    await file.close();
  }
};
const respond = answering({ window, answer });
const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  respond(new Request(origin + path, { method, headers }));
const bytesOf = async (response: Response) => Buffer.from(await response.arrayBuffer());
const always = Object.entries(safety).filter(([name]) => !['content-security-policy', 'cache-control'].includes(name));
/** Of every answer; the window's files alone have a policy of their own, and what may be kept says for how long. */
function isSafe({ headers, status }: Response, what: string): void {
  for (const [name, value] of always) assert.equal(headers.get(name), value, what);
  const policy = headers.get('content-security-policy');
  assert.ok(policy === policies.nothing || (status === 200 && policy === windowPolicy), what);
  assert.match(headers.get('cache-control')!, /^no-store$|^private, max-age=\d+, immutable$/, what);
  for (const never of ['access-control-allow-origin', 'set-cookie']) assert.equal(headers.get(never), null, what);
}

test('privileges: those that are needed', () => {
  assert.equal(origin, 'app://protagonist');
  const needed = { standard: true, secure: true, supportFetchAPI: true, stream: true, codeCache: true };
  assert.deepEqual(privileges, [{ scheme: 'app', privileges: needed }]);
});

test('the policy of the window is that of serve, without its socket', () => {
  assert.equal(windowPolicy, policies.window('x').replace(' ws://x', ''));
  assert.ok(!/unsafe|ws:|http|data:|\*/.test(windowPolicy), windowPolicy);
  assert.match(windowPolicy, /^default-src 'none';.* connect-src 'self';/);
});

test('the files of the window, by name', async () => {
  for (const [address, text] of addresses) {
    const got = await respond(new Request(address));
    assert.deepEqual([got.status, await got.text()], [200, text], address);
    assert.equal(got.headers.get('content-security-policy'), windowPolicy, address);
    assert.equal(got.headers.get('content-length'), String(Buffer.byteLength(text)), address);
    isSafe(got, address);
    const head = await respond(new Request(address, { method: 'HEAD' }));
    assert.deepEqual([head.status, head.body, [...head.headers]], [200, null, [...got.headers]], address);
    assert.equal((await respond(new Request(`${address}?a=/../secret.txt#/library`))).status, 200, address);
  }
  const type = async (path: string) => (await get(path)).headers.get('content-type');
  assert.equal(await type('/window/'), 'text/html; charset=utf-8');
  assert.equal(await type('/window/assets/app.js'), 'text/javascript; charset=utf-8');
  assert.equal((await get('/window/assets/index-Dm3x_v9a.js')).headers.get('cache-control'), 'private, max-age=31536000, immutable');
  assert.equal((await get('/window/index.html')).headers.get('cache-control'), 'no-store');
});

test('the window is what was there when it was looked for', async () => {
  writeFileSync(join(window, 'late.js'), secret);
  assert.equal((await get('/window/late.js')).status, 404);
  rmSync(join(window, 'late.js'));
  const passing = at('passing');
  mkdirSync(passing);
  for (const name of ['index.html', 'gone.js']) writeFileSync(join(passing, name), 'x');
  const short = answering({ window: passing, answer });
  rmSync(join(passing, 'gone.js'));
  const gone = await short(new Request(`${origin}/window/gone.js`));
  assert.deepEqual([gone.status, (await gone.text()).includes(root)], [500, false]);
  isSafe(gone, 'a file that went');
  const bare = answering({ window: at('none'), answer });
  for (const name of ['', 'stand-in.js', 'stand-in.css'])
    assert.equal((await bare(new Request(`${origin}/window/${name}`))).status, 200, name);
});

test('what is no GET or HEAD of this origin is refused', async () => {
  for (const path of ['/window/', '/window/index.html', '/media/c1/video', '/nothing', '/'])
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'PROPFIND', 'get ', 'Head'.repeat(3)].filter(m => /^\w+$/.test(m))) {
      const got = await get(path, {}, method);
      assert.deepEqual([got.status, got.headers.get('allow')], [405, 'GET, HEAD'], `${method} ${path}`);
      isSafe(got, method);
    }
  for (const address of [
    'app://protagonist', 'app://other/window/index.html', 'app://protagonist:80/window/index.html', 'app://protagonist.evil/window/index.html', 'app://PROTAGONIST/window/', 'app:///window/index.html',
    'app:/window/index.html', 'app:window/index.html', 'file:///etc/passwd', pathToFileURL(at('secret.txt')).href, 'https://protagonist/window/index.html', 'apps://protagonist/window/', 'data:text/html,x', 'blob:app://protagonist/window/',
  ])
    for (const method of ['GET', 'HEAD', 'POST']) {
      const got = await respond(new Request(address, { method }));
      assert.equal(got.status, 404, address);
      isSafe(got, address);
    } // prettier-ignore
});

test('the file scheme shows nothing', async () => {
  for (const method of ['GET', 'HEAD', 'POST'])
    for (const path of [at('secret.txt'), join(window, 'index.html'), '/etc/passwd']) {
      const got = refusing(new Request(pathToFileURL(path), { method }));
      assert.equal(got.status, 403);
      isSafe(got, path);
      const text = await got.text();
      assert.deepEqual([text, text.includes(secret)], [method === 'HEAD' ? '' : 'Files are not shown by their path.\n', false]);
    }
});

test('ranges', async () => {
  const n = large.length;
  const table: readonly (readonly [string, readonly [number, number] | 200 | 416])[] = [
    ['bytes=0-0', [0, 0]], ['bytes=0-', [0, n - 1]], ['bytes=5-9', [5, 9]], [`bytes=${n - 1}-`, [n - 1, n - 1]], [`bytes=0-${n - 1}`, [0, n - 1]], [`bytes=0-${n}`, [0, n - 1]], [`bytes=${n - 5}-${n + 5}`, [n - 5, n - 1]],
    ['bytes=3-99999999999999999999', [3, n - 1]], ['bytes=-1', [n - 1, n - 1]], ['bytes=-7', [n - 7, n - 1]], [`bytes=-${n}`, [0, n - 1]], [`bytes=-${n + 5}`, [0, n - 1]], ['BYTES=1-2', [1, 2]], ['bytes=1048570-2097160', [1048570, 2097160]],
    ['bytes=-0', 416], [`bytes=${n}-`, 416], [`bytes=${n + 1}-${n + 2}`, 416], [`bytes=${'9'.repeat(400)}-`, 416],
    ['bytes=9-5', 200], ['bytes=-', 200], ['bytes=', 200], ['bytes', 200], ['', 200], ['bytes=a-b', 200], ['bytes=0-1,3-4', 200], ['bytes=0-1, 3-4', 200], ['bytes=0-1,-5', 200], ['items=0-1', 200], ['bytes=0x1-2', 200], ['bytes=+1-2', 200], ['bytes=1.5-2', 200], ['bytes=--5', 200],
  ]; // prettier-ignore
  for (const [range, expected] of table) {
    const got = await get('/media/c1/video', { range }),
      body = await bytesOf(got),
      length = got.headers.get('content-length');
    isSafe(got, range);
    assert.equal(got.headers.get('accept-ranges'), 'bytes', range);
    assert.equal(length, String(body.length), range);
    assert.equal(got.headers.get('content-type'), 'video/mp4', range);
    if (typeof expected === 'number') {
      assert.deepEqual([got.status, got.headers.get('content-range')], [expected, expected === 416 ? `bytes */${n}` : null], range);
      assert.ok(body.equals(expected === 416 ? Buffer.alloc(0) : large), range);
    } else {
      const [from, to] = expected;
      assert.deepEqual([got.status, got.headers.get('content-range')], [206, `bytes ${from}-${to}/${n}`], range);
      assert.ok(body.equals(large.subarray(from, to + 1)), range);
    }
    // HEAD and If-Range ask for the whole file: we give no validator that could match
    const head = await get('/media/c1/video', { range }, 'HEAD');
    const headed = [head.status, head.headers.get('content-length'), head.headers.get('content-range'), head.body];
    assert.deepEqual(headed, [200, String(n), null, null], range);
    isSafe(head, range);
  }
  for (const ifRange of ['"x"', 'W/"x"', 'Wed, 21 Oct 2015 07:28:00 GMT', '']) {
    const got = await get('/media/c1/video', { range: 'bytes=0-1', 'if-range': ifRange });
    assert.deepEqual([got.status, got.headers.get('content-range')], [200, null]);
    assert.ok((await bytesOf(got)).equals(large));
  }
  const seed = Number(process.env['PROTAGONIST_SEED'] ?? 20261122),
    draw = randoms(seed);
  for (let i = 0; i < 60; i++) {
    const [a, b] = [Math.floor(draw() * n), Math.floor(draw() * n)],
      [from, to] = [Math.min(a, b), Math.max(a, b)];
    const body = await bytesOf(await get('/media/c1/video', { range: `bytes=${from}-${to}` }));
    assert.ok(body.equals(large.subarray(from, to + 1)), `bytes=${from}-${to}, seed ${seed}`);
  }
});

test('an empty file, and one of one byte', async () => {
  const whole = await get('/media/c2/video');
  assert.deepEqual([whole.status, whole.headers.get('content-length'), (await bytesOf(whole)).length], [200, '0', 0]);
  for (const range of ['bytes=0-', 'bytes=0-0', 'bytes=-1', 'bytes=-0', 'bytes=5-9']) {
    const none = await get('/media/c2/video', { range });
    assert.deepEqual([none.status, none.headers.get('content-range'), none.body], [416, 'bytes */0', null], range);
  }
  for (const range of ['bytes=0-', 'bytes=0-0', 'bytes=-1', 'bytes=-9', 'bytes=0-9']) {
    const one = await get('/media/c3/video', { range });
    assert.deepEqual([one.status, one.headers.get('content-range'), (await bytesOf(one)).length], [206, 'bytes 0-0/1', 1], range);
  }
});

test('types, names and what may be kept are those of serve', async () => {
  const digest = '0123456789abcdef';
  const keep = async (path: string, headers = {}) => (await get(path, headers)).headers.get('cache-control');
  assert.equal(await keep(`/media/c1/poster?v=${digest}`), 'private, max-age=86400, immutable');
  for (const path of ['/media/c1/poster', '/media/c1/poster?v=7', `/media/c1/video?v=${digest}`, `/media/c9/poster?v=${digest}`])
    assert.equal(await keep(path), 'no-store', path);
  assert.equal(await keep(`/media/c1/poster?v=${digest}`, { range: 'bytes=0-1' }), 'no-store');
  const odd = await get('/media/p1/photo');
  assert.deepEqual([odd.headers.get('content-type'), odd.headers.get('content-disposition')], ['application/octet-stream', 'attachment']);
  for (const [id, name] of [
    ['e1', 'Кот "x"\r\nset-cookie: a.webm'],
    ['e2', 'no plan.bin'],
  ] as const) {
    const saved = await get(`/media/${id}/export`);
    assert.equal(saved.headers.get('content-disposition'), savedAs(name));
    assert.equal(saved.headers.get('content-type'), 'application/octet-stream');
    assert.ok((await bytesOf(saved)).equals(large.subarray(0, 5000)));
    isSafe(saved, name);
  }
  for (const none of ['c9/video', 'e9/export', 'c1/secret', 'x/y', 'c1/video/', '/video', 'c1/', 'c1', 'c1/video/x', '%631/video']) {
    const got = await get(`/media/${none}`);
    assert.equal(got.status, 404, none);
    isSafe(got, none);
  }
  const locked = answering({ window, answer: () => Promise.resolve(refused('busy', 'another process has it')) });
  const got = await locked(new Request(`${origin}/media/c1/video`));
  assert.deepEqual([got.status, await got.text()], [503, 'another process has it\n']);
  isSafe(got, 'locked');
  const broken = answering({ window, answer: () => Promise.reject(new Error(root)) });
  const failed = await broken(new Request(`${origin}/media/c1/video`));
  assert.deepEqual([failed.status, (await failed.text()).includes(root)], [500, false]);
  isSafe(failed, 'broken');
});

test('one piece is read for each that is taken, and none once nobody listens', async () => {
  const pieces = () => reads.slice(1).map(({ offset, length }) => [offset, length]);
  const quiet = () => new Promise(resolve => setTimeout(resolve, 30));
  reads.length = 0;
  const reader = (await get('/media/c1/video')).body!.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  await quiet();
  assert.deepEqual(pieces(), [], 'nothing is read ahead');
  assert.equal((await reader.read()).value?.length, 1 << 20);
  await quiet();
  assert.deepEqual(pieces(), [[0, 1 << 20]]);
  await reader.cancel();
  await quiet();
  assert.deepEqual(pieces(), [[0, 1 << 20]]);

  // in the middle of a read: its signal aborts, and what comes of it anyway is dropped
  let signal: AbortSignal | undefined,
    calls = 0;
  const held = Promise.withResolvers<undefined>(),
    begun = Promise.withResolvers<undefined>();
  const slow = answering({
    window,
    answer: async (method, input, given) => {
      if (++calls === 3) {
        signal = given;
        begun.resolve(undefined);
        await held.promise;
        return answer(method, input);
      }
      return answer(method, input, given);
    },
  });
  const second = (await slow(new Request(`${origin}/media/c1/video`))).body!.getReader();
  await second.read();
  const waiting = second.read();
  await begun.promise;
  await second.cancel();
  assert.deepEqual([(await waiting).done, signal?.aborted], [true, true]);
  held.resolve(undefined);
  await quiet();
  assert.equal(calls, 3);

  // as Electron reads it: a stream of Node that is destroyed when the player goes elsewhere
  reads.length = 0;
  const stream = Readable.fromWeb((await get('/media/c1/video')).body as Parameters<typeof Readable.fromWeb>[0]);
  await new Promise(resolve => stream.once('readable', resolve));
  stream.read();
  stream.destroy();
  await quiet();
  const before = reads.length;
  assert.ok(before <= 3, `${before} reads`);
  await quiet();
  assert.equal(reads.length, before);
  const all = Readable.fromWeb((await get('/media/c1/video')).body as Parameters<typeof Readable.fromWeb>[0]);
  assert.ok(Buffer.concat((await all.toArray()) as Buffer[]).equals(large));

  // the one who asked is gone before anything was found
  const given = new AbortController();
  const asked = await get('/media/c1/video').then(() => new Request(`${origin}/media/c1/video`, { signal: given.signal }));
  given.abort();
  assert.equal((await respond(asked)).status, 503);
});

test('a file that changes while it is sent is never a whole answer', async () => {
  for (const change of [{ bytes: 5 }, { base64: '' }, undefined]) {
    let calls = 0;
    const odd = answering({
      window,
      answer: async (method, input, signal) => {
        const reply = await answer(method, input, signal);
        if (++calls < 3) return reply;
        return change && 'value' in reply ? { value: { ...(reply.value as object), ...change } } : refused('missing', 'it is gone');
      },
    });
    const got = await odd(new Request(`${origin}/media/c1/video`));
    await assert.rejects(bytesOf(got), /the file has changed/);
    assert.equal(calls, 3);
  }
});

test('100,000 hostile addresses: nothing outside', { timeout: 600_000 }, async t => {
  const seed = Number(process.env['PROTAGONIST_SEED'] ?? 20261122),
    draw = randoms(seed),
    below = (n: number) => Math.floor(draw() * n),
    pick = <T>(from: readonly T[]) => from[below(from.length)]!;
  t.diagnostic(`seed ${seed}`);

  const ups = ['..', '.', '...', '%2e%2e', '%2E.', '.%2e', '%252e%252e', '%25252e%25252e', '%c0%ae%c0%ae', '%e0%80%ae.', '%u002e%u002e', '․․', '．．', '‥', '%EF%BC%8E%EF%BC%8E', '..%00', '..;', '..%20', '..\t', '~', '$HOME', '%HOME%', '.. ', '..%0d%0a']; // prettier-ignore
  const slashes = ['/', '/', '/', '//', '\\', '%2f', '%2F', '%5c', '%5C', '%252f', '%255c', '%c0%af', '∕', '／', '⧵', '＼', '%EF%BC%8F', '/./', '/;/', '\\\\', '/\t/', '\0', '%00']; // prettier-ignore
  const targets = ['secret.txt', 'app/secret.txt', 'window-secret/secret.txt', '.secret', '.hidden/secret.txt', 'assets/link.txt', 'linked/secret.txt', 'linked', 'late.js', 'etc/passwd', 'proc/self/environ', 'windows/win.ini', 'index.html', 'INDEX.HTML', 'index.html/', 'index.html.', 'index.html ', 'index.html%20', 'index.html::$DATA', 'index.html%00.png', 'ındex.html', 'ｉndex.html', 'іndex.html', 'assets/app.js', 'assets//app.js', 'assets\\app.js', 'assets%2fapp.js', 'assets/./app.js', 'assets/a b(1)é.css', 'assets/a b(1)e\u0301.css', 'assets', 'assets/', 'con', 'nul.txt', 'aux.js', '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'video', 'video.mp4', '*', '?', '#', '']; // prettier-ignore
  const roots = [root, `${root}/app`, window, 'C:', 'c:\\', 'C|', 'C%3a', '/', '//', '\\\\?\\C:', '\\\\.\\', '\\\\server\\share', '//server/share', '//127.0.0.1/c$', '%5c%5cserver%5cshare', 'file://', 'file:', 'file%3a%2f%2f', pathToFileURL(root).href, 'https://evil.example', '@evil.example', 'app://protagonist', 'javascript:', 'data:,x']; // prettier-ignore
  const starts = [`${origin}/window/`, `${origin}/window/`, `${origin}/window/`, `${origin}/window`, `${origin}/window-secret/`, `${origin}/`, `${origin}//`, origin, `${origin}/media/`, `${origin}/media/c1/`, `${origin}/media/c1/video/`, `${origin}/WINDOW/`, `${origin}/%77indow/`, `${origin}:0/window/`, `${origin}.evil.example/window/`, `${origin}@evil.example/window/`, 'app://user:word@protagonist/window/', 'app://other/window/', 'app://window/', 'app:///window/', 'app:/', 'app:', 'app://127.0.0.1/window/', 'app://[::1]/window/', 'app://protagonist%00/window/', 'app://xn--protagonst-z9a/window/', 'app://protagonıst/window/', 'app://protagonist。/window/', 'app:\\\\protagonist\\window\\', 'file://', 'file:///', 'http://protagonist/window/', '']; // prettier-ignore
  /** Once or twice encoded, wholly or here and there. */
  const encoded = (text: string) => {
    const share = pick([0, 0, 0, 0.2, 1]);
    if (share === 0) return text;
    const once = (s: string) => s.replace(/[\0-\x7f]/g, c => (draw() < share ? `%${c.charCodeAt(0).toString(16).padStart(2, '0')}` : c));
    return draw() < 0.2 ? once(once(text)) : once(text);
  };
  const exact = [...addresses.keys(), `${origin}/media/c1/video`];
  const made = () => {
    if (draw() < 0.05) return pick(exact) + pick(['', '', '?v=1', '#x', '?../../secret.txt', '/', '%00', '.', ' ', '/..', '\\']);
    if (draw() < 0.05) {
      // nearly the name of something: one of its characters is written otherwise
      const name = pick(exact),
        i = origin.length + below(name.length - origin.length),
        hex = name.charCodeAt(i).toString(16);
      return name.slice(0, i) + pick([`%${hex}`, `%25${hex}`, name[i]!.toUpperCase(), String.fromCharCode(name.charCodeAt(i) + 0xfee0), '', name[i]!.repeat(2)]) + name.slice(i + 1); // prettier-ignore
    }
    const parts: string[] = [];
    if (draw() < 0.3) parts.push(pick(roots), pick(slashes));
    for (let i = below(pick([2, 5, 12])); i > 0; i--) parts.push(draw() < 0.75 ? pick(ups) : pick(['assets', 'window', 'app', 'x', '']), pick(slashes)); // prettier-ignore
    parts.push(pick(targets));
    if (draw() < 0.05) parts.push(pick(['?', '#', '%23', '%3f', ';', '%00', '\0', '/']), pick(ups), '/secret.txt');
    if (draw() < 0.01) parts.push(pick(['a', '../', '%2e%2e/', '/', 'é', '%']).repeat(2000));
    const start = pick(starts);
    return start + (start.startsWith(origin) && draw() < 0.5 ? parts.join('') : encoded(parts.join('')));
  };

  // every door of Node to a file says what it was asked for
  const touched = new Set<string>();
  const promised = ['readFile', 'open', 'stat', 'lstat', 'readdir', 'realpath', 'access', 'opendir', 'readlink'],
    called = [...promised, 'createReadStream', 'openAsBlob', 'exists', ...promised.map(name => `${name}Sync`), 'existsSync'];
  for (const [on, names] of [
    [fs.promises, promised],
    [fs, called],
  ] as const) {
    const doors = on as unknown as Record<string, (...given: unknown[]) => unknown>;
    for (const name of names) {
      const door = doors[name]!;
      t.mock.method(doors, name, (...given: unknown[]) => {
        touched.add(String(given[0]));
        return door.apply(on, given);
      });
    }
  }
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
  const guarded = answering({
    window,
    answer: (method, input) => {
      const parsed = api.media.read.input.safeParse(input);
      if (method !== 'media.read' || !parsed.success) return Promise.resolve(refused('badInput', 'that is no address of a file'));
      if (`${parsed.data.id}/${parsed.data.kind}` !== 'c1/video') return Promise.resolve(refused('notFound', 'there is no such file'));
      return Promise.resolve({ value: { base64: 'AA==', bytes: 1, type: 'video/mp4' } });
    },
  });
  assert.ok(touched.has(window), 'the doors are not watched');
  touched.clear();

  const counts = { made: 0, parsed: 0, found: 0, media: 0, refused: 0 };
  /** @param address as the request has it: what is 200 has exactly the name of something */
  const judge = async (address: string, request: Pick<Request, 'url' | 'method' | 'headers' | 'signal'>) => {
    const got = await guarded(request as Request),
      text = await got.text(),
      what = `${request.method} ${JSON.stringify(address.slice(0, 300))}`;
    isSafe(got, what);
    assert.ok(!text.includes(secret) && !text.includes(root), what);
    const name = address.split(/[?#]/)[0]!;
    if (got.status === 200) {
      const isMedia = name === `${origin}/media/c1/video`;
      assert.ok(isMedia || addresses.has(name), `${what} is answered`);
      assert.ok(request.method === 'HEAD' ? text === '' : isMedia ? text === '\0' : text === addresses.get(name), what);
      if (isMedia) counts.media++;
      else counts.found++;
    } else {
      assert.ok(got.status === 404 || (got.status === 405 && !/^(GET|HEAD)$/.test(request.method)), `${what}: ${got.status}`);
      counts.refused++;
    }
  };
  const { signal } = new AbortController(),
    headers = new Headers();
  while (counts.made < 100_000) {
    const several: Promise<void>[] = [];
    for (let i = 0; i < 500; i++, counts.made++) {
      const address = made(),
        method = draw() < 0.9 ? 'GET' : pick(['HEAD', 'POST', 'PUT', 'DELETE']);
      // half of them as they are, which no parser of addresses has mended; half as Electron makes them
      if (draw() < 0.5) several.push(judge(address, { url: address, method, headers, signal }));
      else
        try {
          const request = new Request(address, { method });
          counts.parsed++;
          several.push(judge(request.url, request));
        } catch (error) {
          if (!(error instanceof TypeError)) throw error; // no address at all: Electron does not hand it on either
          counts.refused++;
        }
    }
    await Promise.all(several);
  }
  t.diagnostic(JSON.stringify(counts));
  const names = new Set(Object.keys(shown).map(name => join(window, name)));
  assert.deepEqual(touched, names);
  assert.ok(counts.found > 1000 && counts.media > 100 && counts.parsed > 30_000, 'the addresses came too seldom to anything');
});

test('photos that the person has chosen are seen small before they are taken in, and nothing else of this machine is', async () => {
  const places = placesOf([]),
    toys = join(sources, 'assets/toybox/photos');
  const { id } = await places.admit(toys);
  const ask = answering({ window, answer: windowAnswer({ call: () => Promise.reject(new Error('not asked')) }, places), glance: glanceBy(places) }); // prettier-ignore
  const get = (address: string, method = 'GET') => ask(new Request(`${origin}${address}`, { method }));
  const got = await get(`/place/${encodeURIComponent(`${id}/lemon.jpg`)}`);
  assert.deepEqual([got.status, got.headers.get('content-type'), got.headers.get('cache-control')], [200, 'image/jpeg', 'no-store']);
  const { width, height } = await sharp(Buffer.from(await got.arrayBuffer())).metadata();
  assert.equal(Math.max(width, height), 384);
  assert.equal((await get(`/place/${id}%2Flemon.jpg`, 'POST')).status, 405);
  const wrong = [id, `${id}%2Fsamples.json`, `${id}%2Fnone.jpg`, `${id}%2F..%2FREADME.md`, `${id}%2F%2Fetc%2Fpasswd`, `${id}/lemon.jpg`, 'f99%2Flemon.jpg', `${id}%2F%zz`, `${id}%2F%ff`, 'r1', 'u', encodeURIComponent(join(toys, 'lemon.jpg'))]; // prettier-ignore
  for (const name of wrong) assert.equal((await get(`/place/${name}`)).status, 404, name);
  places.close();
});
