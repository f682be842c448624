/** @file Feeds for tests, signed by keys of their own. */
import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { settings as settingsSchema } from '../../electron/contract/records.ts';
import type { Transport } from '../../electron/contract/rpc.ts';
import { product, type Feed } from '../../electron/shell/feed.ts';
import type { Get, Standing } from '../../electron/shell/updates.ts';
import { openNetwork, type Network } from '../../electron/studio/network.ts';

/** A pair of keys; `pin` is the public one as `updates.keys` holds it. */
export function newKey(): { readonly key: KeyObject; readonly pin: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return { key: privateKey, pin: Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url').toString('base64') };
}

export const now = Date.UTC(2026, 10, 23, 12);
export const day = 86_400_000;
export const hash = (bytes: Uint8Array | string) => createHash('sha512').update(bytes).digest('base64');

/** A good feed, with something else in it. */
export const feedOf = (changes: Partial<Feed> = {}): Feed => ({
  format: 1,
  product,
  serial: 7,
  version: '0.2.0',
  released: new Date(now - 2 * day).toISOString(),
  expires: new Date(now + 30 * day).toISOString(),
  minimum: '0.1.0',
  percent: 100,
  notes: 'Faster.\n\t- and smaller',
  packages: [
    {
      platform: 'linux',
      arch: 'x64',
      kind: 'AppImage',
      file: 'Protagonist-0.2.0-linux-x86_64.AppImage',
      size: 11,
      sha512: hash('new program'),
    },
    { platform: 'win32', arch: 'x64', kind: 'nsis', file: 'Protagonist-0.2.0-win-x64.exe', size: 11, sha512: hash('new program') },
    { platform: 'darwin', arch: 'arm64', kind: 'mac', file: 'Protagonist-0.2.0-mac-arm64.zip', size: 11, sha512: hash('new program') },
  ],
  ...changes,
});

/** Bytes, and their signatures by these keys. */
export function signed(content: unknown, keys: readonly KeyObject[]): { readonly bytes: Buffer; readonly signature: Buffer } {
  const bytes = typeof content === 'string' || content instanceof Uint8Array ? Buffer.from(content) : Buffer.from(JSON.stringify(content));
  return { bytes, signature: Buffer.from(keys.map(key => `${sign(null, bytes, key).toString('base64')}\n`).join('')) };
}

/** A folder on this machine's own web server, over the way out that every download takes.
 * @param answer what is there; undefined: 404; a number: that status */
export async function startServer(answer: (name: string) => Uint8Array | number | undefined | Promise<Uint8Array | undefined>): Promise<{
  readonly get: Get;
  readonly asked: string[];
  readonly network: Network;
  readonly close: () => Promise<void>;
}> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const name = request.url!.replace('/protagonist/', '');
    asked.push(name);
    void Promise.resolve(answer(name)).then(found => {
      if (found === undefined || typeof found === 'number') return void response.writeHead(found ?? 404).end();
      response.writeHead(200, { 'content-length': found.length });
      for (let at = 0; at < found.length; at += 4096) response.write(found.subarray(at, at + 4096));
      response.end();
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const network = openNetwork({ endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/protagonist/` });
  return {
    asked,
    network,
    get: (name, signal) => network.get(name, { signal }),
    close: () => {
      server.closeAllConnections();
      return new Promise(resolve => server.close(() => resolve()));
    },
  };
}

/** A library that says what it is told to say, through the real client and its parsers. */
export function quietLibrary(): {
  readonly transport: Transport;
  readonly edits: unknown[];
  readonly asked: string[];
  set(changes: Partial<Standing & { daily: boolean; deaf: boolean }>): void;
} {
  const listeners = new Set<(event: unknown) => void>(),
    edits: unknown[] = [],
    asked: string[] = [],
    now = { offline: false, daily: false, waiting: 0, running: 0, exports: 0, downloads: 0, deaf: false };
  const time = '2026-11-23T12:00:00.000Z',
    each = <T>(n: number, make: (n: number) => T) => Array.from({ length: n }, (_, i) => make(i + 1));
  const queue = () => ({
    state: now.running > 0 ? 'running' : 'idle',
    text: null,
    running: each(now.running, n => `j${n}`),
    waiting: now.waiting,
    secondsLeft: null,
  });
  const settings = () => settingsSchema.parse({ version: 1, offline: now.offline, dailyUpdates: now.daily });
  const answers: Readonly<Record<string, () => unknown>> = {
    'settings.show': settings,
    'queue.state': queue,
    'jobs.list': () => ({ jobs: [], next: null }),
    'exports.list': () => ({
      exports: each(now.exports, n => ({
        version: 1, id: `e${n}`, status: n === 1 ? 'running' : 'waiting', order: { clips: ['c1'], preset: 'mp4' }, name: 'x', inLibrary: true, clipId: null,
        plan: null, progress: null, bytes: 0, failure: null, createdAt: time, endedAt: null, missing: false,
      })), // prettier-ignore
      next: null,
    }),
    'downloads.list': () => ({
      downloads: each(now.downloads, n => ({
        id: `model-${n}`, name: 'Model', for: 'clips', licence: { name: 'Apache-2.0', link: 'https://www.apache.org/licenses/LICENSE-2.0', summary: 'free' }, memory: { bytes: 1, note: '' },
        bytes: 2, exact: true, state: 'downloading', have: 1, speed: null, secondsLeft: null, files: [], failure: null, checkpointId: null,
      })), // prettier-ignore
      network: { offline: now.offline, endpoint: 'https://huggingface.co/', contacts: [], token: 'none', text: null },
    }),
  };
  return {
    edits,
    asked,
    transport: {
      call: (method, input) => {
        asked.push(method);
        if (now.deaf) return Promise.resolve({ error: { code: 'disconnected', text: 'the library is closed', action: 'retry' } });
        if (method === 'settings.edit') edits.push(input);
        const answer = answers[method === 'settings.edit' ? 'settings.show' : method];
        if (!answer) throw new Error(`nobody asks for ${method}`);
        return Promise.resolve({ value: answer() });
      },
      subscribe: listener => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      close: () => listeners.clear(),
    },
    set: changes => {
      Object.assign(now, changes);
      const said =
        'offline' in changes || 'daily' in changes ? { type: 'settings', settings: settings() } : { type: 'queue', queue: queue() };
      for (const listener of listeners) listener(said);
    },
  };
}
