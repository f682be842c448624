/** @file Feeds for tests, signed by keys of their own. */
import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { product, type Feed } from '../../electron/shell/feed.ts';

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
