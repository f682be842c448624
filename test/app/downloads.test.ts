/** @file Downloads from a hub that misbehaves by a seed, in a process that is killed at random moments: the right bytes or nothing. PROTAGONIST_DOWNLOADS says how many such runs (30). */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { connect as dial, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { createServer as createSecureServer } from 'node:tls';
import { catalogueSize, parseCatalogue } from '../../electron/contract/catalogue.ts';
import type { StudioError } from '../../electron/contract/errors.ts';
import {
  finished,
  receiptName,
  startDownload,
  unfinished,
  type Downloadable,
  type DownloadOptions,
  type DownloadProgress,
} from '../../electron/studio/downloads.ts';
import { isPublic, openNetwork, refusal } from '../../electron/studio/network.ts';
import { faults, someFiles, startHub as startOne, type Fault, type Hub } from '../support/hub.ts';
import { randoms } from '../support/random.ts';
import { root, sleep } from '../support/run.ts';

const place = mkdtempSync(join(tmpdir(), 'protagonist-downloads-'));
after(() => rmSync(place, { recursive: true, force: true }));
const hubs: Hub[] = [];
after(() => Promise.all(hubs.map(hub => hub.close())));
const startHub = async (options: Parameters<typeof startOne>[0]): Promise<Hub> => {
  const hub = await startOne(options);
  hubs.push(hub);
  return hub;
};
let count = 0;
/** A folder that is not there yet, in one of its own. */
const fresh = (): string => {
  const own = join(place, String(++count));
  mkdirSync(own);
  return join(own, 'model');
};

/** That a folder holds these files and the receipt, and nothing is left beside it. */
function assertRight(folder: string, files: ReadonlyMap<string, Buffer>): void {
  const there = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(e => e.isFile());
  assert.equal(there.length, files.size + 1);
  for (const [path, bytes] of files) assert.ok(readFileSync(join(folder, path)).equals(bytes), `${path} has other bytes`);
  assert.ok(existsSync(join(folder, receiptName)));
}
const alone = (folder: string) => assert.deepEqual(readdirSync(dirname(folder)), existsSync(folder) ? ['model'] : []);

const options = (hub: Hub, folder: string, more: Partial<DownloadOptions> = {}): DownloadOptions => ({
  folder,
  network: openNetwork({ endpoint: hub.endpoint, idleSeconds: 0.5 }),
  accepted: hub.entry.licence.name,
  reserve: 0,
  patience: 2,
  ...more,
});
const codeOf = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'done',
    (error: unknown) => `${(error as StudioError).code}: ${(error as Error).message}`,
  );

/** A child that downloads; killed when `until` says so. @returns its last word, or that it was killed */
async function life(
  hub: Hub,
  folder: string,
  idleSeconds: number,
  until: (milliseconds: number) => boolean,
): Promise<{ killed: boolean; said: string }> {
  const told = JSON.stringify({ entry: hub.entry, folder, endpoint: hub.endpoint, idleSeconds });
  const child = spawn(process.execPath, [join(root, 'test/support/downloading-child.ts'), told], { stdio: ['ignore', 'pipe', 'inherit'] }),
    began = performance.now();
  let said = '',
    killed = false;
  child.stdout.on('data', (text: Buffer) => (said += text.toString()));
  const over = new Promise<void>(done => child.on('close', () => done()));
  while (child.exitCode === null && child.signalCode === null) {
    if (until(performance.now() - began)) killed = child.kill('SIGKILL') || killed;
    await Promise.race([over, sleep(1)]);
  }
  await over;
  return { killed: killed && said === '', said };
}

/** What kills are measured by, and what is quick. */
const many = someFiles(1, [12_000_003, 8_000_000, 3_999_999]),
  files = someFiles(2, [2_000_003, 1_500_000, 499_999]);
const sizeOf = (all: ReadonlyMap<string, Buffer>) => [...all.values()].reduce((n, b) => n + b.length, 0);
const total = sizeOf(files);
const runs = Number(process.env['PROTAGONIST_DOWNLOADS'] ?? 30);

test(`${runs} downloads, killed at random moments: the right bytes or nothing, and next to nothing twice`, { timeout: 3_600_000 }, async t => {
  let kills = 0, lives = 0, worst = 0, twice = 0, measured = 0, over = 0;
  const fired = new Map<Fault, number>();
  const few = files;
  const one = async (seed: number) => {
    const random = randoms(seed * 7919),
      folder = fresh(),
      faulty = seed % 2 === 1,
      files = faulty ? few : many,
      total = sizeOf(files);
    const pick = (of: readonly Fault[]) => of[Math.floor(random() * of.length)];
    // where a part is asked for, every other time what can go wrong with parts
    const misbehave = (_path: string, { headers }: IncomingMessage) =>
      random() < 0.4 ? pick(headers.range !== undefined && random() < 0.5 ? ['changedEtag', 'whole', 'wrongRange', '416'] : faults) : undefined;
    const hub = await startHub({ files, ...(faulty && { misbehave }) });
    let toKill = 1 + Math.floor(random() * 3), lost = 0, ended = false;
    for (let n = 0; !ended; n++) {
      assert.ok(n < 16, `seed ${seed}: it does not come to an end`);
      lives++;
      const at = hub.sent + random() * (total - Math.min(hub.sent, total) + 100_000), time = 120 + random() * 900, byBytes = !faulty || random() < 0.5, kill = toKill > 0;
      hub.carefulFrom = !faulty && process.platform === 'linux' && kill ? at - 1_500_000 : Infinity;
      const { killed, said } = await life(hub, folder, faulty ? 0.5 : 30, ms => {
        if (!faulty) return kill && hub.sent >= at; // never by the clock: a machine that is slow would be killed before the server is careful
        return kill && (byBytes ? hub.sent >= at || ms > 20_000 : ms > time);
      });
      await sleep(20); // the server notices
      if (killed) { kills++; toKill--; }
      const there = existsSync(folder);
      if (there) assertRight(folder, files);
      if (killed && !faulty) {
        const now = hub.sent - (there ? total : ((await unfinished(folder))?.bytes ?? 0));
        worst = Math.max(worst, (now - lost) / total);
        assert.ok(now - lost <= total / 100, `seed ${seed}: ${now - lost} of ${total} bytes were lost by one kill`);
        lost = now;
        measured++;
      }
      ended = said.includes('"downloaded"');
      if (!killed) assert.ok(ended || (faulty && /"(?:disconnected|badFile)"/.test(said)), `seed ${seed}: ${said}`);
    }
    assertRight(folder, files);
    alone(folder);
    if (!faulty) twice = Math.max(twice, (hub.sent - total) / total);
    if (runs > 50 && ++over % 50 === 0) console.log(`${over} of ${runs} runs, ${kills} kills, worst ${(100 * worst).toFixed(3)} %`);
    for (const [fault, n] of hub.fired) fired.set(fault, (fired.get(fault) ?? 0) + n);
    await hub.close();
    rmSync(dirname(folder), { recursive: true });
  };
  const seeds = Array.from({ length: runs }, (_, n) => n);
  await Promise.all([0, 1].map(async () => { for (let n = seeds.shift(); n !== undefined; n = seeds.shift()) await one(n); }));
  t.diagnostic(`${runs} runs, ${lives} processes, ${kills} of them killed; of ${measured} kills without faults the worst cost ${(100 * worst).toFixed(3)} % of the bytes a second time, ${(100 * twice).toFixed(3)} % in the worst run`);
  t.diagnostic(`faults: ${[...fired].map(([fault, n]) => `${fault} ${n}`).join(', ')}`);
  assert.ok(kills > runs / 2);
}); // prettier-ignore

test('each fault once is survived, each fault for ever leaves nothing', { timeout: 300_000 }, async t => {
  const small = someFiles(2, [300_000]);
  for (const fault of faults) {
    let left = 1;
    const hub = await startHub({ files: small, misbehave: path => (path.endsWith('.safetensors') && left-- > 0 ? fault : undefined) });
    const folder = fresh();
    await startDownload(hub.entry, options(hub, folder)).done;
    assertRight(folder, small);
    alone(folder);
    await hub.close();

    const always = await startHub({ files: small, misbehave: path => (path.endsWith('.safetensors') ? fault : undefined) });
    const nowhere = fresh();
    const code = await codeOf(startDownload(always.entry, options(always, nowhere, { attempts: 4 })).done);
    t.diagnostic(`${fault}: ${code}`);
    if (['extra', 'whole', 'changedEtag', 'wrongRange'].includes(fault)) assertRight(nowhere, small); // the bytes are right in the end
    else {
      assert.match(code, /^(?:disconnected|badFile): /);
      assert.equal(existsSync(nowhere), false);
    }
    await always.close();
  }
}); // prettier-ignore

test('goes on across processes without asking for what is there; a finished folder is an answer; another revision is not mixed in', async () => {
  const hub = await startHub({ files, slow: true }),
    folder = fresh(),
    stop = new AbortController();
  const first = startDownload(
    hub.entry,
    options(hub, folder, {
      signal: stop.signal,
      on: p => p.bytes > total / 2 && p.files.some(f => f.bytes > 0 && f.bytes < f.size) && stop.abort(),
    }),
  );
  assert.match(await codeOf(first.done), /^canceled/);
  assert.equal(existsSync(folder), false);
  const left = await unfinished(folder);
  assert.ok(left && left.bytes > total / 3 && left.of === total && left.commit === hub.entry.hub.revision);
  const changed: Downloadable = { ...hub.entry, hub: { ...hub.entry.hub, revision: '9'.repeat(40) } };
  assert.match(await codeOf(startDownload(changed, options(hub, folder)).done), /^conflict: .* is begun/);
  const asked = hub.asked.length;
  assert.deepEqual(await startDownload(hub.entry, options(hub, folder)).done, {
    folder,
    repository: hub.entry.hub.repository,
    commit: hub.entry.hub.revision,
    bytes: total,
  });
  const again = hub.asked.slice(asked);
  assert.ok(!again.some(a => a.url.startsWith('/api/')), 'the plan was on the disk');
  assert.ok(again.some(a => a.range !== undefined));
  assertRight(folder, files);
  alone(folder);
  const all = hub.asked.length;
  await startDownload(hub.entry, options(hub, folder)).done;
  assert.equal(hub.asked.length, all, 'what is there is not asked for');

  // killed after the folder had its name, and just before
  cpSync(folder, `${folder}.part/files`, { recursive: true });
  await startDownload(hub.entry, options(hub, folder)).done;
  alone(folder);
  mkdirSync(`${folder}.part`);
  cpSync(join(folder, receiptName), `${folder}.part/plan.json`);
  renameSync(folder, `${folder}.part/files`);
  await startDownload(hub.entry, options(hub, folder)).done;
  assert.equal(hub.asked.length, all);
  assertRight(folder, files);
  // a power cut: the part has its length, not its bytes
  mkdirSync(`${folder}.part/parts`, { recursive: true });
  renameSync(join(folder, receiptName), `${folder}.part/plan.json`);
  rmSync(folder, { recursive: true });
  for (const n of files.keys().map((_, n) => n)) writeFileSync(`${folder}.part/parts/${n}`, Buffer.alloc(n > 1 ? 400_000 : 0));
  await startDownload(hub.entry, options(hub, folder)).done;
  assertRight(folder, files);

  mkdirSync(join(dirname(folder), 'full'));
  writeFileSync(join(dirname(folder), 'full', 'x'), 'x');
  assert.match(await codeOf(startDownload(hub.entry, options(hub, join(dirname(folder), 'full'))).done), /^conflict: .*something else/);
  assert.match(await codeOf(startDownload(changed, options(hub, folder)).done), /^conflict/);
  await hub.close();
});

test('stopped it keeps what it has, and goes on; speed and time left are told; one at a time', async () => {
  const hub = await startHub({ files, slow: true }),
    folder = fresh(),
    told: DownloadProgress[] = [],
    stop = new AbortController();
  const download = startDownload(hub.entry, options(hub, folder, { on: p => told.push(p), signal: stop.signal }));
  assert.throws(() => startDownload(hub.entry, options(hub, folder)), { code: 'busy' });
  if (process.platform === 'linux') hub.carefulFrom = 0;
  hub.holdAt = total / 5;
  while (download.progress().bytes < total / 10) await sleep(5);
  stop.abort();
  assert.match(await codeOf(download.done), /^canceled: the download of Some Model was stopped/);
  hub.carefulFrom = hub.holdAt = Infinity;
  const { bytes } = download.progress(),
    { sent } = hub;
  await sleep(150);
  assert.equal(hub.sent, sent);
  assert.equal((await unfinished(folder))?.bytes, bytes);
  const second = startDownload(hub.entry, options(hub, folder, { on: p => told.push(p) }));
  assert.equal((await second.done).bytes, total);
  assert.ok(hub.sent - total < total / 5);
  assert.deepEqual(new Set(told.map(p => p.state)), new Set(['failed', 'downloading', 'done']));
  assert.ok(
    told.every(p => p.bytes <= p.of && (p.speed === undefined || p.speed > 0) && (p.secondsLeft === undefined || p.secondsLeft >= 0)),
  );
  assert.ok(told.at(-1)!.files.every(f => f.state === 'done' && f.bytes === f.size));
  const { accepted, of } = (await finished(folder))!;
  assert.deepEqual([accepted, of, await unfinished(folder)], [hub.entry.licence.name, total, undefined]);
  rmSync(join(folder, 'model_index.json'));
  assert.equal(await finished(folder), undefined, 'no longer all of it');
  await hub.close();
});

test('the licence is accepted first, there is room for all of it, and a hub is believed in nothing', async () => {
  const small = someFiles(3, [100_000]),
    hub = await startHub({ files: small }),
    [weights] = [...small.keys()].filter(p => p.endsWith('.safetensors'));
  assert.throws(() => startDownload(hub.entry, options(hub, fresh(), { accepted: undefined })), { code: 'needsConfirmation' });
  assert.match(await codeOf(startDownload(hub.entry, options(hub, fresh(), { reserve: 2 ** 60 })).done), /^noSpace: Some Model needs 1 MB more/);
  const pinned = (files: Downloadable['hub']['files']): Downloadable => ({ ...hub.entry, hub: { ...hub.entry.hub, files } });
  const tried = (entry: Downloadable) => codeOf(startDownload(entry, options(hub, fresh())).done);
  assert.match(await tried(pinned([{ path: weights!, sha256: '0'.repeat(64) }])), /^badFile: the hub offers another/);
  assert.match(await tried(pinned([{ path: 'vae/missing.json' }])), /^notFound: .* has no vae\/missing.json/);
  assert.equal(await tried(pinned([{ path: weights! }, { path: 'LICENSE', optional: true }])), 'done');
  assert.match(await tried(pinned([{ path: 'model_index.json', sha256: '0'.repeat(64) }])), /^badFile: .*twice/, 'a small file, held against the catalogue');
  assert.match(await tried({ ...hub.entry, hub: { ...hub.entry.hub, revision: 'f'.repeat(40) } }), /^badFile: the hub answers with commit/);
  const branch = fresh();
  assert.equal((await startDownload({ ...hub.entry, hub: { ...hub.entry.hub, revision: 'main' } }, options(hub, branch)).done).commit, hub.entry.hub.revision);
  await hub.close();
  const lies: ((tree: Record<string, unknown>[]) => unknown)[] = [
    () => ({ error: 'no' }),
    () => [],
    tree => tree.map(f => ({ ...f, size: -1, lfs: undefined })),
    tree => tree.map(f => ({ ...f, size: 2 ** 60, lfs: undefined })),
    tree => tree.map(f => ({ ...f, oid: '../../x', lfs: undefined })),
    tree => tree.map(f => ({ ...f, lfs: { oid: 'sha256:x', size: 1 } })),
    tree => tree.map(f => ({ ...f, size: 5 })), // smaller than what is sent
  ];
  for (const tree of lies) {
    const liar = await startHub({ files: small, tree }),
      folder = fresh();
    assert.match(await codeOf(startDownload(liar.entry, options(liar, folder, { attempts: 2 })).done), /^(?:disconnected|badFile|notFound): /);
    assert.equal(existsSync(folder), false);
    await liar.close();
  }
}); // prettier-ignore

test('the token reaches the hub and nobody else; who is sent to, and who answers, is looked at', async () => {
  const small = someFiles(4, [50_000]),
    hub = await startHub({ files: small });
  await startDownload(hub.entry, options(hub, fresh(), { network: openNetwork({ endpoint: hub.endpoint, token: () => Promise.resolve('hf_secret') }) })).done;
  assert.ok(hub.asked.filter(a => a.port === 'hub').every(a => a.authorization === 'Bearer hf_secret'));
  assert.ok(hub.asked.some(a => a.port === 'cdn') && hub.asked.filter(a => a.port === 'cdn').every(a => a.authorization === undefined));
  await hub.close();

  const hugging = new URL('https://huggingface.co/'),
    mirror = new URL('https://mirror.example/'),
    here = new URL('http://127.0.0.1:80/');
  const cases: [URL, string, boolean][] = [
    [hugging, 'https://huggingface.co/x', true],
    [hugging, 'https://cdn-lfs-us-1.hf.co/x', true],
    [hugging, 'https://us.aws.cdn.hf.co/x?Signature=y', true],
    [hugging, 'https://cas-bridge.xethub.hf.co/x', true],
    [hugging, 'https://cdn-lfs.huggingface.co/x', true],
    [mirror, 'https://cdn-lfs.mirror.example/x', true],
    [mirror, 'https://us.aws.cdn.hf.co/x', true],
    [here, 'http://127.0.0.1:8080/x', true],
    [hugging, 'http://huggingface.co/x', false],
    [hugging, 'https://hf.co.evil.example/x', false],
    [hugging, 'https://evilhf.co/x', false],
    [hugging, 'https://us.aws.cdn.hf.co:8443/x', false],
    [hugging, 'https://a:b@us.aws.cdn.hf.co/x', false],
    [hugging, 'https://169.254.169.254/latest', false],
    [hugging, 'https://127.0.0.1/x', false],
    [hugging, 'https://[::1]/x', false],
    [hugging, 'https://localhost/x', false],
    [here, 'http://10.0.0.1/x', false],
    [here, 'http://localhost/x', false],
    [here, 'ftp://127.0.0.1/x', false],
    [here, 'file:///etc/passwd', false],
  ];
  for (const [endpoint, url, may] of cases) assert.equal(refusal(new URL(url), endpoint) === undefined, may, `${url} from ${endpoint.host}`);
  for (const address of ['8.8.8.8', '2600:1f18::1', '64:ff9b::808:808', '64:ff9b::8.8.8.8', '::ffff:8.8.8.8']) assert.ok(isPublic(address), address);
  for (const address of ['10.1.2.3', '127.0.0.1', '169.254.169.254', '100.64.0.1', '192.168.1.1', '172.31.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255', '::1', '::', 'fe80::1%eth0', 'fd00::1', '::ffff:10.0.0.1', '::ffff:a00:1', '64:ff9b::a00:1', '2002:a00:1::', 'x'])
    assert.ok(!isPublic(address), address);
  for (const wrong of ['http://huggingface.co', 'http://10.0.0.1', 'https://u:p@huggingface.co', 'huggingface.co', 'ftp://x', 'https://x?y'])
    assert.throws(() => openNetwork({ endpoint: wrong }), { code: 'badInput' }, wrong);

  // a name that leads inside: nothing is dialled
  let looked = 0;
  const fooled = openNetwork({ lookup: () => Promise.resolve([{ address: ['10.0.0.7', '127.0.0.1', 'fd00::7'][looked++]!, family: 4 }]) });
  for (let n = 0; n < 3; n++)
    await assert.rejects(fooled.get('api/models/x/y', { signal: new AbortController().signal }), /leads to .* inside a local network/);
  assert.equal(looked, 3);
}); // prettier-ignore

test('encrypted: a certificate that is not known is refused, one that is serves', async t => {
  const [key, cert] = [join(place, 'key.pem'), join(place, 'cert.pem')];
  const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', cert]); // prettier-ignore
  if (made.status !== 0) return t.skip('no openssl');
  const hub = await startHub({ files }),
    inner = new URL(hub.endpoint);
  // the same hub, encrypted: its large files come from the plain port, which is not to be followed from there
  const server = createSecureServer({ key: readFileSync(key), cert: readFileSync(cert) }, socket => {
    const plain = dial(Number(inner.port), inner.hostname);
    socket.pipe(plain).pipe(socket);
    for (const end of [socket, plain]) end.on('error', () => undefined);
  });
  t.after(() => server.close());
  await new Promise<void>(done => server.listen(0, 'localhost', done));
  const endpoint = `https://localhost:${(server.address() as AddressInfo).port}`,
    text = { ...hub.entry, hub: { ...hub.entry.hub, files: [{ path: 'model_index.json' }] } };
  const child = (entry: Downloadable, env: Record<string, string>) =>
    new Promise<string>(done => {
      const told = JSON.stringify({ entry, folder: fresh(), endpoint });
      const process_ = spawn(process.execPath, [join(root, 'test/support/downloading-child.ts'), told], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] }); // prettier-ignore
      let said = '';
      process_.stdout.on('data', (part: Buffer) => (said += part.toString()));
      process_.on('close', () => done(said));
    });
  assert.match(await child(text, {}), /"disconnected".*self-signed certificate/);
  assert.match(await child(text, { NODE_EXTRA_CA_CERTS: cert }), /"downloaded"/);
  assert.match(await child(hub.entry, { NODE_EXTRA_CA_CERTS: cert }), /sends on to http:\/\/127.0.0.1:\d+, and it is not among the hosts/);
});

test('offline: no name is looked up and nothing is connected to, also in the middle of it', async t => {
  const hub = await startHub({ files, slow: true }),
    folder = fresh();
  let looked = 0;
  const off = openNetwork({ offline: true, lookup: () => Promise.reject(new Error(String(++looked))) });
  assert.match(await codeOf(startDownload(hub.entry, options(hub, folder, { network: off })).done), /^disconnected: the offline switch is on/);
  assert.equal(looked, 0);
  const network = openNetwork({ endpoint: hub.endpoint });
  const download = startDownload(hub.entry, options(hub, folder, { network, on: p => p.bytes > total / 10 && (network.offline = true) }));
  assert.match(await codeOf(download.done), /^disconnected: the offline switch is on/);
  const { sent } = hub;
  await sleep(100);
  assert.equal(hub.sent, sent, 'it went on');
  network.offline = false;
  await startDownload(hub.entry, options(hub, folder, { network })).done;
  assertRight(folder, files);

  const trace = join(place, 'trace');
  if (spawnSync('strace', ['-f', '-e', 'trace=connect', '-o', trace, 'true']).status !== 0) return t.diagnostic('no strace: not traced');
  const small = await startHub({ files: someFiles(5, [100_000]) });
  const traced = (offline: boolean, endpoint: string) => {
    const told = JSON.stringify({ entry: small.entry, folder: fresh(), endpoint, offline });
    return new Promise<{ said: string; calls: string[] }>(done => {
      const child = spawn('strace', ['-f', '-e', 'trace=socket,connect,sendto,sendmsg,sendmmsg', '-o', trace, process.execPath, join(root, 'test/support/downloading-child.ts'), told], { stdio: ['ignore', 'pipe', 'inherit'] });
      let said = '';
      child.stdout.on('data', (text: Buffer) => (said += text.toString()));
      child.on('close', () => done({ said, calls: readFileSync(trace, 'utf8').split('\n').filter(line => /(?:socket|connect|sendto|sendm?msg)\(/.test(line) && !line.includes('AF_UNIX')) }));
    });
  };
  const quiet = await traced(true, 'https://huggingface.co'),
    loud = await traced(false, small.endpoint);
  assert.match(quiet.said, /the offline switch is on/);
  assert.deepEqual(quiet.calls, []);
  assert.match(loud.said, /"downloaded"/);
  assert.ok(loud.calls.some(line => line.includes('connect(')), 'the trace is empty');
  t.diagnostic(`offline ${quiet.calls.length} calls, online ${loud.calls.length}`);
  await hub.close();
  await small.close();
}); // prettier-ignore

test('the catalogue can be read and says what is known; one file opens connections outward', () => {
  const entries = parseCatalogue(readFileSync(join(root, 'assets/checkpoints.json'), 'utf8'));
  assert.deepEqual(entries.map(e => e.id), ['toybox', 'cogvideox-5b', 'cogvideox-2b']);
  for (const entry of entries) {
    if ('embedded' in entry) assert.ok(existsSync(join(root, 'assets', entry.embedded, 'model_index.json')));
    else {
      assert.match(entry.hub.revision, /^[0-9a-f]{40}$/);
      for (const needed of ['model_index.json', 'scheduler/scheduler_config.json', 'tokenizer/spiece.model', 'vae/config.json', 'transformer/config.json', 'text_encoder/config.json'])
        assert.ok(entry.hub.files.some(f => f.path === needed), `${entry.id} without ${needed}`);
    }
  }
  const sizes = entries.flatMap(e => ('hub' in e ? [catalogueSize(e.hub.files).bytes / 1e9] : []));
  assert.ok(Math.abs(sizes[0]! - 21.5) < 0.1 && Math.abs(sizes[1]! - 13.8) < 0.1, String(sizes)); // as the hub's pages sum up
  for (const path of ['../x', '/x', 'a//b', 'a\\b', 'C:x', 'a/./b', 'nul', 'a/con.txt', 'a. ', 'x\0', ''])
    assert.throws(() => parseCatalogue(JSON.stringify({ format: 1, checkpoints: [{ ...entries[1], hub: { repository: 'a/b', revision: 'main', files: [{ path }] } }] })), path);
  for (const file of globSync('electron/**/*.ts', { cwd: root })) {
    const text = readFileSync(join(root, file), 'utf8');
    if (file === join('electron', 'studio', 'network.ts')) continue;
    assert.doesNotMatch(text, /'node:(?:https|http2|tls|dns|dgram)(?:\/promises)?'|\bfetch\(|new WebSocket\(/, file);
    assert.doesNotMatch(text, /import \{[^}]*\b(?:request|get)\b[^}]*\} from 'node:http'/, file);
  }
}); // prettier-ignore
