/** @file Both ends of a wire: over messages in memory, a MessagePort, a real socket; and what hostile ends can do to them. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import fc from 'fast-check';
import type { Answer, Reply } from '../../electron/contract/rpc.ts';
import { overWire, reconnecting, serveWire, type Limits, type Opened, type Wire } from '../../electron/contract/wire.ts';
import { socketWire } from '../../electron/studio/socket.ts';

/** One end in memory: `say` is what the other end does. */
interface Loose extends Wire {
  readonly sent: unknown[];
  say(message: unknown): void;
  why: string | undefined;
  held: number;
}
function loose(): Loose {
  const closed: ((why: string) => void)[] = [];
  let listener: (message: unknown) => void = () => undefined;
  const it: Loose = {
    sent: [],
    why: undefined,
    held: 0,
    send: message => {
      if (it.why === undefined) it.sent.push(JSON.parse(JSON.stringify(message)));
    },
    receive: l => (listener = l),
    closed: l => closed.push(l),
    close: why => {
      if (it.why !== undefined) return;
      it.why = why;
      for (const l of closed) l(why);
    },
    waiting: () => it.held,
    say: message => listener(message),
  };
  return it;
}
/** Two ends that hear each other. */
function pair(): [Loose, Loose] {
  const a = loose(),
    b = loose();
  const join = (from: Loose, to: Loose) => {
    from.send = message => {
      const text = JSON.stringify(message);
      if (from.why === undefined) queueMicrotask(() => to.say(JSON.parse(text)));
    };
    from.closed(() => queueMicrotask(() => to.close('the other end closed')));
  };
  join(a, b);
  join(b, a);
  return [a, b];
}
const overPort = (port: MessagePort): Wire => ({
  send: message => port.postMessage(message),
  receive: listener => void port.on('message', listener),
  closed: listener => void port.on('close', () => listener('the port was closed')),
  close: () => port.close(),
});

/** What a host of these tests has seen. */
const listeners = new Set<(event: unknown) => void>();
let running = 0;
const heard = () => listeners.size;
const subscribe = (listener: (event: unknown) => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};
const say = (event: unknown) => {
  for (const listener of listeners) listener(event);
};
const answer: Answer = async (method, input, signal) => {
  if (method === 'echo') return { value: input };
  if (method === 'deep') return { value: JSON.parse('['.repeat(100_000) + ']'.repeat(100_000)) as unknown };
  if (method === 'nothing') return { value: undefined };
  if (method !== 'wait') return { error: { code: 'unknownMethod', text: 'there is no such method', action: 'report' } };
  running++;
  await new Promise(done => signal!.addEventListener('abort', done));
  running--;
  return { error: { code: 'canceled', text: 'canceled', action: 'retry' } };
};
const serve = (wire: Wire, limits?: Partial<Limits>) => serveWire(wire, answer, subscribe, '1', limits);
const hello = { type: 'hello', protocol: 1, version: '1' };
const codeOf = (reply: Reply) => ('error' in reply ? reply.error.code : 'value');

const folder = mkdtempSync(join(tmpdir(), 'protagonist-wire-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let sockets = 0;
/** A socket served by `serve`: the client's end, and the host's wire. */
async function served(limits?: Partial<Limits>, most?: number): Promise<{ socket: Socket; wire: Wire; why: Promise<string> }> {
  const path = join(folder, `${sockets++}`),
    wire = Promise.withResolvers<Wire>(),
    why = Promise.withResolvers<string>();
  const server = createServer(s => {
    const w = socketWire(s, most);
    w.closed(why.resolve);
    serve(w, limits);
    wire.resolve(w);
    server.close();
  });
  await new Promise<void>(done => server.listen(path, done));
  const socket = connect(path);
  socket.on('error', () => undefined);
  return { socket, wire: await wire.promise, why: why.promise };
}

for (const kind of ['memory', 'MessagePort', 'socket'])
  test(`calls, replies, events and cancels over ${kind}`, async () => {
    let line;
    if (kind === 'memory') {
      const [a, b] = pair();
      serve(b);
      line = overWire(a, '1');
    } else if (kind === 'MessagePort') {
      const { port1, port2 } = new MessageChannel();
      serve(overPort(port2));
      line = overWire(overPort(port1), '1');
    } else line = overWire(socketWire((await served()).socket), '1');
    assert.equal(await line.greeted, '1');
    const value = { text: 'ü 中 \n "', list: [1, null, { a: true }] };
    assert.deepEqual(await line.call('echo', value), { value });
    assert.equal(codeOf(await line.call('nothing', undefined)), 'value');
    assert.equal(codeOf(await line.call('no', {})), 'unknownMethod');
    const many = await Promise.all(Array.from({ length: 500 }, (_, i) => line.call('echo', i)));
    assert.deepEqual(
      many.map(r => 'value' in r && r.value),
      Array.from({ length: 500 }, (_, i) => i),
    );

    assert.equal(listeners.size, 0); // nothing is sent unasked
    const seen: unknown[] = [],
      twice = (event: unknown) => seen.push(event);
    const stops = [line.subscribe(twice), line.subscribe(twice)];
    await line.call('echo', 0);
    assert.equal(listeners.size, 1);
    say({ type: 'x' });
    await line.call('echo', 0);
    assert.deepEqual(seen, [{ type: 'x' }, { type: 'x' }]);
    stops[0]!();
    stops[0]!();
    await line.call('echo', 0);
    assert.equal(listeners.size, 1);
    stops[1]!();
    await line.call('echo', 0);
    assert.equal(listeners.size, 0);

    const stop = new AbortController(),
      waiting = line.call('wait', {}, stop.signal);
    await line.call('echo', 0);
    assert.equal(running, 1);
    stop.abort();
    assert.equal(codeOf(await waiting), 'canceled');
    assert.equal(codeOf(await line.call('wait', {}, AbortSignal.abort())), 'canceled');
    const bad: Record<string, unknown> = {};
    bad['self'] = kind === 'MessagePort' ? () => 0 : bad;
    assert.equal(codeOf(await line.call('echo', bad)), 'badInput');
    if (kind !== 'MessagePort') assert.equal(codeOf(await line.call('deep', {})), 'bug');

    line.subscribe(twice);
    const lost = line.call('wait', {});
    await line.call('echo', 0);
    line.close();
    assert.equal(codeOf(await lost), 'disconnected');
    await line.gone;
    assert.equal(codeOf(await line.call('echo', 1)), 'disconnected');
    await sleep(20);
    assert.deepEqual([running, listeners.size], [0, 0]); // its going away stopped what it had asked for
  });

test('versions: a host and a client of different ones part with a sentence', async () => {
  const [a, b] = pair();
  serve(b);
  const line = overWire(a, '2');
  await assert.rejects(line.greeted, {
    code: 'busy',
    message: 'another version of Protagonist answers there (1; this is 2): end that one, or use it',
  });
  assert.equal(codeOf(await line.call('echo', 1)), 'disconnected');
  await sleep(1);
  assert.notEqual(b.why, undefined);
});

test('a client that is lied to closes the wire, and no call of it hangs', async () => {
  const lies: unknown[] = [
    undefined,
    null,
    7,
    'x',
    [],
    {},
    { type: 'nonsense' },
    { type: 'reply', id: 0 },
    { type: 'reply', id: 9, reply: { value: 1 } },
    { type: 'reply', id: '0', reply: { value: 1 } },
    { type: 'reply', id: 0, reply: { error: { code: 'nonsense', text: '', action: 'retry' } } },
    { type: 'event' },
  ];
  for (const lie of lies) {
    const wire = loose(),
      line = overWire(wire, '1');
    wire.say(hello);
    const call = line.call('echo', 1);
    wire.say(lie);
    assert.equal(codeOf(await call), 'disconnected', JSON.stringify(lie));
    assert.match(await line.gone, /^the other end /);
  }
  const rude = loose(),
    line = overWire(rude, '1');
  rude.say({ type: 'event', event: 1 });
  assert.equal(await line.gone, 'the other end did not say who it is');
});

test('what a client may not say closes its wire with a reason', async () => {
  const cases: [RegExp, ...unknown[]][] = [
    [/not understood/, { type: 'nonsense' }],
    [/not understood/, hello, { type: 'call', id: 1.5, method: 'echo' }],
    [/not understood/, hello, { type: 'call', id: 2 ** 60, method: 'echo' }],
    [/not understood/, hello, { type: 'call', id: 1, method: {} }],
    [/did not say who it is/, { type: 'call', id: 1, method: 'echo' }],
    [/said it twice/, hello, hello],
    [/used the number of a call twice/, hello, { type: 'call', id: 1, method: 'wait' }, { type: 'call', id: 1, method: 'echo' }],
    [/another version/, { ...hello, protocol: 2 }],
  ];
  for (const [why, ...messages] of cases) {
    const wire = loose();
    serve(wire);
    for (const message of messages) wire.say(message);
    assert.match(wire.why ?? 'still open', why);
  }
  const wire = loose();
  serve(wire);
  for (const message of [hello, { type: 'cancel', id: 77 }, { type: 'unsubscribe' }, { type: 'subscribe' }, { type: 'subscribe' }])
    wire.say(message);
  assert.deepEqual([wire.why, listeners.size], [undefined, 1]); // a cancel may come too late, a subscription twice
  wire.close('');
  await sleep(1);
  assert.deepEqual([running, listeners.size], [0, 0]);
});

test('a client that never says who it is, is left after a while', async () => {
  const { why } = await served({ patience: 50 });
  assert.equal(await why, 'the client did not say who it is');
});

test('10,000 fuzzed messages: nothing is thrown, nothing stays behind, the host answers the next', async () => {
  const id = fc.oneof(fc.nat(3), fc.integer(), fc.double(), fc.string());
  const message = fc.oneof(
    fc.anything({ withBigInt: false, withDate: true, withNullPrototype: true, maxDepth: 4 }),
    fc.constantFrom(hello, { ...hello, version: '2' }, { type: 'subscribe' }, { type: 'unsubscribe' }),
    fc.record(
      { type: fc.constant('call'), id, method: fc.oneof(fc.string(), fc.constantFrom('echo', 'wait')), input: fc.anything() },
      { requiredKeys: [] },
    ),
    fc.record({ type: fc.constant('cancel'), id }),
    fc.record({ type: fc.string(), id, reply: fc.anything() }),
  );
  let count = 0;
  fc.assert(
    fc.property(fc.boolean(), fc.array(message, { minLength: 4, maxLength: 12 }), (polite, messages) => {
      const wire = loose();
      wire.send = () => undefined; // what an echo holds is not of interest
      serve(wire);
      if (polite) wire.say(hello);
      for (const m of messages) wire.say(m);
      count += messages.length;
      wire.close('done');
    }),
    { numRuns: 2000 },
  );
  assert.ok(count >= 10_000, `${count} messages`);
  await sleep(10);
  assert.deepEqual([running, listeners.size], [0, 0]);
  const [a, b] = pair();
  serve(b);
  assert.deepEqual(await overWire(a, '1').call('echo', 'alive'), { value: 'alive' });
});

test('fuzzed bytes on a socket, cut anywhere', async () => {
  const text = `${JSON.stringify(hello)}\n`;
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.array(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          fc.json().map(j => Buffer.from(`${j}\n`)),
        ),
      ),
      async (polite, chunks) => {
        const { socket, why } = await served();
        if (polite) socket.write(text);
        for (const chunk of chunks) socket.write(chunk);
        socket.end();
        socket.resume();
        assert.ok((await why).length > 0);
      },
    ),
    { numRuns: 300 },
  );
  const { socket } = await served();
  for (const byte of Buffer.from(`${text}{"type":"call","id":1,"method":"echo","input":"ü中"}\n`)) {
    socket.write(Buffer.of(byte));
    if (byte % 7 === 0) await sleep(1);
  }
  let got = '';
  while (!got.includes('"id":1')) got += String(await new Promise(done => socket.once('data', done)));
  assert.match(got, /\{"type":"reply","id":1,"reply":\{"value":"ü中"\}\}\n$/);
  socket.destroy();
});

test('a million small messages, a deep one, one that is too long', { timeout: 600_000 }, async t => {
  const began = performance.now();
  const first = await served();
  const line = `{"type":"cancel","id":1}\n`;
  first.socket.write(`${JSON.stringify(hello)}\n`);
  for (let i = 0; i < 100; i++)
    if (!first.socket.write(line.repeat(10_000))) await new Promise<void>(done => first.socket.once('drain', done));
  const over = overWire(socketWire((await served()).socket), '1'); // another client is served all the while
  assert.equal(codeOf(await over.call('echo', 1)), 'value');
  over.close();
  first.socket.write('{"type":"call","id":5,"method":"echo","input":5}\n');
  let got = '';
  while (!got.includes('"id":5')) got += String(await new Promise(done => first.socket.once('data', done)));
  t.diagnostic(`a million messages in ${(performance.now() - began).toFixed(0)} ms`);
  const depth = 1_000_000;
  first.socket.write(`{"type":"call","id":6,"method":"echo","input":${'['.repeat(depth)}${']'.repeat(depth)}}\n`);
  got = '';
  while (!got.includes('"id":6')) got += String(await new Promise(done => first.socket.once('data', done)));
  assert.match(got, /too large or too deep/);
  first.socket.destroy();

  const small = await served({}, 10_000);
  small.socket.resume().write(`${JSON.stringify(hello)}\n${'x'.repeat(10_001)}`);
  assert.equal(await small.why, 'a message is too long');
  const stranger = await served();
  stranger.socket.resume().write('x'.repeat(70_000)); // who has not said who it is takes up no memory
  assert.equal(await stranger.why, 'a message is too long');

  const wire = loose();
  serve(wire);
  wire.say(hello);
  for (let id = 0; id < 100_000; id++) wire.say({ type: 'call', id, method: 'wait' });
  assert.equal(running, 1000); // the rest is answered `busy`
  assert.equal(wire.sent.length, 99_001);
  wire.close('');
  await sleep(10);
  assert.equal(running, 0);
});

test('a client that does not read: first it gets fewer events, then none at all', async () => {
  const wire = loose();
  serve(wire, { fewer: 100, most: 1000 });
  wire.say(hello);
  wire.say({ type: 'subscribe' });
  const count = () => wire.sent.length - 1;
  say({ type: 'progress' });
  assert.equal(count(), 1);
  wire.held = 101;
  say({ type: 'progress' });
  say({ type: 'preview' });
  assert.equal(count(), 1);
  say({ type: 'clip' });
  assert.equal(count(), 2);
  wire.held = 0;
  say({ type: 'preview' });
  assert.equal(count(), 3);
  wire.held = 1001;
  say({ type: 'clip' });
  assert.equal(wire.why, 'the client does not read what it is sent');
  assert.equal(heard(), 0);

  const { socket, wire: real, why } = await served({ most: 4 << 20 });
  socket.pause().write(`${JSON.stringify(hello)}\n{"type":"subscribe"}\n`);
  while (heard() === 0) await sleep(1);
  let peak = 0,
    told = 0;
  while (heard() > 0) {
    say(told++ % 2 ? { type: 'preview', jpeg: 'x'.repeat(100_000) } : { type: 'clip', text: 'x'.repeat(2000) });
    peak = Math.max(peak, real.waiting!());
    if (told % 50 === 0) await sleep(0);
  }
  assert.equal(await why, 'the client does not read what it is sent');
  assert.ok(peak < (4 << 20) + 5000 && told > 1000, `${peak} bytes, ${told} events`);
  socket.destroy();
});

test('reconnecting: opens again at its own pace, gives up with a sentence, tries again when called, and closes for good', async () => {
  let opens = 0,
    failing = false,
    last: Loose | undefined;
  const open = (): Promise<Opened> => {
    opens++;
    if (failing) return Promise.reject(new Error('nobody is there'));
    const [a, b] = pair();
    serve(b);
    last = b;
    const line = overWire(a, '1');
    return Promise.resolve({ transport: line, owner: false, gone: line.gone, close: () => Promise.resolve(line.close()) });
  };
  const studio = await reconnecting(open, method => method === 'echo');
  const events: unknown[] = [];
  const stop = studio.transport.subscribe(e => events.push(e));
  const unsafe = studio.transport.call('wait', {}),
    safe = studio.transport.call('echo', 1);
  last!.close('');
  assert.equal(codeOf(await unsafe), 'disconnected');
  assert.equal(codeOf(await safe), 'value');
  assert.equal(opens, 2);
  say({ type: 'x' });
  await studio.transport.call('echo', 1);
  assert.deepEqual(events, [{ type: 'restored' }, { type: 'x' }]);
  stop();

  failing = true;
  last!.close('');
  assert.equal(await studio.gone, 'nobody is there');
  const refused = await studio.transport.call('echo', 1);
  assert.ok('error' in refused && refused.error.text === 'nobody is there');
  failing = false;
  assert.equal(codeOf(await studio.transport.call('echo', 1)), 'value');
  const before = opens;
  await studio.close();
  assert.equal(codeOf(await studio.transport.call('echo', 1)), 'disconnected');
  await sleep(5);
  assert.equal(opens, before);
});
