/**
 * @file The signed feed: one small JSON document that says which version there is and what each of its packages hashes to, and a detached Ed25519
 * signature over its bytes. Nothing here opens a connection or a file. What is refused is refused with a sentence (`UpdateRefused`).
 */
import { createHash, createPublicKey, verify, type KeyObject } from 'node:crypto';
import { z } from 'zod';

/** Something that must not be installed, and why. */
export class UpdateRefused extends Error {}

/** The product that a feed is of: a key that signs for another one as well changes nothing. */
export const product = 'org.protagonist.Protagonist';
/** Beside each other in the feed's folder, with the packages. */
export const feedName = 'feed.json';
export const signatureName = 'feed.json.sig';
/** Bytes. */
export const mostFeed = 64 * 1024;
export const mostSignature = 1024;
/** Days that a feed may be valid for: who can hold a newer one back can do so for no longer. */
export const mostDays = 100;

/** How Protagonist came onto a machine. */
export const kinds = {
  AppImage: { platform: 'linux', extension: '.AppImage' },
  deb: { platform: 'linux', extension: '.deb' },
  nsis: { platform: 'win32', extension: '.exe' },
  mac: { platform: 'darwin', extension: '.zip' },
} as const;
export type Kind = keyof typeof kinds;

const part = '(?:0|[1-9][0-9]{0,5})';
const versionSchema = z.string().regex(new RegExp(`^${part}\\.${part}\\.${part}$`), 'is no version such as 1.2.3');
const time = z.iso.datetime({ error: 'is no time such as 2026-11-23T12:00:00Z' }); // UTC
/** Base64 of 64 bytes in the one way there is. */
const sha512 = z.string().regex(/^[A-Za-z0-9+/]{85}[AQgw]==$/, 'is no SHA-512 in base64');
const fileName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'is no plain file name')
  .refine(name => !name.includes('..'), 'is no plain file name');

const packageSchema = z.strictObject({
  platform: z.enum(['linux', 'win32', 'darwin']),
  arch: z.enum(['x64', 'arm64']),
  kind: z.enum(['AppImage', 'deb', 'nsis', 'mac']),
  file: fileName,
  /** Bytes. */
  size: z
    .int()
    .min(1)
    .max(4 * 1024 ** 3),
  sha512,
});
export type Package = z.infer<typeof packageSchema>;

const feedSchema = z
  .strictObject({
    format: z.literal(1),
    product: z.string().max(200),
    /** Rises with each feed that is published. */
    serial: z.int().min(1),
    version: versionSchema,
    released: time,
    /** After it the feed counts as no longer true. */
    expires: time,
    /** The oldest version that can become this one by itself. */
    minimum: versionSchema,
    /** Of all machines, how many get it. */
    percent: z.int().min(0).max(100),
    notes: z
      .string()
      .max(10_000)
      // no control characters, and none that turn the direction of what follows them
      .regex(/^(?:[\n\t]|[^\p{Cc}\u202a-\u202e\u2066-\u2069])*$/u, 'hold characters that are no text'),
    packages: z.array(packageSchema).min(1).max(12),
  })
  .superRefine(({ version, packages }, context) => {
    const seen = new Set<string>();
    for (const [at, { platform, arch, kind, file }] of packages.entries()) {
      const wrong = (key: string, message: string) => context.addIssue({ code: 'custom', path: ['packages', at, key], message });
      if (kinds[kind].platform !== platform) wrong('kind', `is not for ${platform}`);
      if (!file.endsWith(kinds[kind].extension)) wrong('file', `does not end in ${kinds[kind].extension}, as ${kind} does`);
      if (!file.startsWith(`Protagonist-${version}-`)) wrong('file', `does not begin with Protagonist-${version}-`);
      const machine = `${kind} ${arch}`;
      if (seen.has(machine)) wrong('kind', 'is there twice for this processor');
      seen.add(machine);
    }
  });
export type Feed = z.infer<typeof feedSchema>;

/** A feed whose signature was good. */
export interface SignedFeed extends Feed {
  /** SHA-256 of its bytes, in hex. */
  readonly digest: string;
}

/** The key that 32 bytes in base64 are. */
export const publicKey = (base64: string): KeyObject =>
  createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(base64, 'base64').toString('base64url') }, format: 'jwk' });

/** Reads a feed: its signature first, since nothing of what nobody has signed is worth being understood.
 * @param bytes of `feed.json`
 * @param signature the text of `feed.json.sig`: one signature of 64 bytes in base64 a line, of which one has to be by one of the keys
 * @param keys that are trusted, each 32 bytes in base64
 * @throws UpdateRefused */
export function readFeed(bytes: Uint8Array, signature: Uint8Array, keys: readonly string[]): SignedFeed {
  if (bytes.length > mostFeed) throw new UpdateRefused(`the feed is larger than ${mostFeed} bytes, so it was not read`);
  if (signature.length > mostSignature)
    throw new UpdateRefused(`the feed's signature is larger than ${mostSignature} bytes, so it was not read`);
  if (keys.length === 0) throw new UpdateRefused('no key is trusted, so no feed can be');
  const lines = Buffer.from(signature).toString('latin1').split('\n');
  if (lines.at(-1) === '') lines.pop();
  if (lines.length === 0 || lines.some(line => !/^[A-Za-z0-9+/]{85}[AQgw]==$/.test(line)))
    throw new UpdateRefused("the feed's signature is not 64 bytes in base64 a line");
  const good = keys.some(key => lines.some(line => verify(null, bytes, publicKey(key), Buffer.from(line, 'base64'))));
  if (!good) throw new UpdateRefused('the feed is signed by no key that Protagonist knows, so it was not read');

  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw new UpdateRefused('the feed is no JSON');
  }
  const read = feedSchema.safeParse(value);
  if (!read.success) {
    const { path, message } = read.error.issues[0]!;
    throw new UpdateRefused(`the feed cannot be understood: ${path.join('.') || 'all of it'}: ${message}`);
  }
  return { ...read.data, digest: createHash('sha256').update(bytes).digest('hex') };
}

/** Less than 0 where the first version is the lower one, 0 where they are the same. Both as `1.2.3`. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [a, b].map(version => version.split('.').map(Number)) as [number[], number[]];
  for (const i of [0, 1, 2]) if (x[i] !== y[i]) return x[i]! - y[i]!;
  return 0;
}

/** Where a machine stands in the roll-out of a version: 0 up to 100, the same each time, and another for the next version.
 * @param machine its random number */
export const placeInRollOut = (machine: string, version: string): number =>
  (createHash('sha256').update(`${machine} ${version}`).digest().readUInt32BE() / 2 ** 32) * 100;

/** The newest feed that was seen here. */
export interface Seen {
  readonly serial: number;
  readonly digest: string;
}
/** What a feed is held against. */
export interface Here {
  readonly version: string;
  readonly platform: string;
  readonly arch: string;
  /** Undefined where it runs in no package of ours. */
  readonly kind: Kind | undefined;
  /** This machine's random number. */
  readonly machine: string;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly seen?: Seen | undefined;
}
/** A package that may be fetched. */
export interface Offer extends Pick<Feed, 'version' | 'notes' | 'released'> {
  readonly file: string;
  readonly size: number;
  readonly sha512: string;
}

const day = 86_400_000;

/** Whether a signed feed is of this product, true now, and none that an older one was put in the place of.
 * @throws UpdateRefused */
export function checkCurrent(feed: SignedFeed, { now, seen }: Pick<Here, 'now' | 'seen'>): void {
  if (feed.product !== product) throw new UpdateRefused(`the feed is of ${JSON.stringify(feed.product)}, not of ${product}`);
  if (Date.parse(feed.released) > now + day)
    throw new UpdateRefused(`the feed's version is released on ${feed.released}, which is yet to come: check this machine's clock`);
  if (Date.parse(feed.expires) <= now)
    throw new UpdateRefused(`the feed has run out on ${feed.expires}: try again in some days, and check this machine's clock`);
  if (Date.parse(feed.expires) > now + mostDays * day)
    throw new UpdateRefused(`the feed is valid until ${feed.expires}, more than ${mostDays} days from now: check this machine's clock`);
  if (!seen) return;
  if (feed.serial < seen.serial)
    throw new UpdateRefused(
      `the feed has number ${feed.serial}, and number ${seen.serial} was seen before: somebody shows an old one again`,
    );
  if (feed.serial === seen.serial && feed.digest !== seen.digest)
    throw new UpdateRefused(`the feed has number ${feed.serial}, and another one with that number was seen before`);
}

/** What a current feed has for a machine: a package, or a sentence that says why there is none. */
export function offerFor(feed: SignedFeed, here: Omit<Here, 'now' | 'seen'>): { readonly offer: Offer } | { readonly nothing: string } {
  const { version, notes, released, minimum, percent } = feed,
    order = compareVersions(version, here.version);
  if (order === 0) return { nothing: `Protagonist ${here.version} is the newest version.` };
  if (order < 0) return { nothing: `Protagonist ${here.version} is newer than ${version}, the newest that is announced.` };
  if (here.kind === undefined)
    return { nothing: `Protagonist ${version} is there. This one is in no package that can be replaced: get it as you got this one.` };
  if (here.kind === 'deb')
    return { nothing: `Protagonist ${version} is there. This one was installed as a .deb: update it with your package manager, or download the new one and install it by hand.` }; // prettier-ignore
  if (compareVersions(here.version, minimum) < 0)
    return { nothing: `Protagonist ${version} is there, but ${here.version} is too old to become it by itself (${minimum} is needed): install it by hand.` }; // prettier-ignore
  const found = feed.packages.find(({ platform, arch, kind }) => platform === here.platform && arch === here.arch && kind === here.kind);
  if (!found)
    return { nothing: `Protagonist ${version} is there, but not for this machine (${here.kind}, ${here.platform}, ${here.arch}).` };
  if (placeInRollOut(here.machine, version) >= percent)
    return { nothing: `Protagonist ${version} is being given out step by step, and this machine's turn is yet to come.` };
  const { file, size, sha512 } = found;
  return { offer: { version, notes, released, file, size, sha512 } };
}
