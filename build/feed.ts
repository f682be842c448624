/**
 * @file Makes and signs the feed of a release, from the packages that lie in a folder: `npm run feed -- --help`.
 *
 * The private key comes from outside of the tree, and what was signed is read again by the parser that every installed Protagonist has.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { createReadStream, existsSync, readFileSync, readdirSync, realpathSync, renameSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { updatesSwitch } from '../electron/contract/updates.ts';
import {
  checkCurrent,
  feedName,
  kinds,
  product,
  readFeed,
  signatureName,
  type Feed,
  type Kind,
  type Package,
  type SignedFeed,
} from '../electron/shell/feed.ts';

const projectRoot = realpathSync(path.join(import.meta.dirname, '..'));
const manifest = JSON.parse(readFileSync(path.join(projectRoot, 'package.json'), 'utf8')) as { version: string; updates: unknown };

const help = `npm run feed -- [options]

Makes feed.json and feed.json.sig beside the packages of this version, and reads them again as an installed Protagonist does.

  --packages FOLDER  where the packages lie, and the feed is written (release)
  --version V        of the packages (${manifest.version}, as package.json has it)
  --key FILE         a private Ed25519 key, PEM, outside of this tree; again for each further signature
                     (else PROTAGONIST_FEED_KEY: the PEM itself)
  --percent N        of all machines, how many get it: 0 to 100 (100)
  --minimum V        the oldest version that can become this one by itself (0.0.0)
  --notes FILE       what is new, plain text
  --days N           how long the feed is valid, 1 to 100 (60): make it anew before that
  --serial N         its number, higher than that of the feed before (the seconds since 1970)
  --check            makes nothing: verifies the feed that is there, and its packages
  --new-key FILE     makes a private key in a new file, and prints the public one for package.json
  --help             this
`;

/** What is wrong with what was asked for, in one sentence. */
export class FeedError extends Error {}

/** A private key's public half, as \`updates.keys\` holds it. */
export function publicHalf(key: KeyObject): string {
  const { x } = createPublicKey(key).export({ format: 'jwk' });
  return Buffer.from(x!, 'base64url').toString('base64');
}

/** @param name where it comes from, for the sentence
 * @throws FeedError */
function parseKey(pem: string, name: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw new FeedError(`${name} holds no private key in PEM: make one with --new-key.`);
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new FeedError(`${name} holds a key of ${key.asymmetricKeyType ?? 'no kind'}: Ed25519 is needed.`); // prettier-ignore
  return key;
}
/** Whether a file lies, or would lie, in this tree: what is in it ends up in packages and commits. */
function isInTree(file: string): boolean {
  const folder = path.dirname(path.resolve(file));
  const real = existsSync(file) ? realpathSync(file) : path.join(existsSync(folder) ? realpathSync(folder) : folder, path.basename(file));
  const within = path.relative(projectRoot, real);
  return !within.startsWith('..') && !path.isAbsolute(within);
}
/** @throws FeedError where it is not there, lies in the tree, or can be read by others */
function readKey(file: string): KeyObject {
  if (!existsSync(file)) throw new FeedError(`${file} is not there: name the private key's file.`);
  if (isInTree(file)) throw new FeedError(`${file} lies in the source tree: keep private keys outside of it.`);
  if (process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0)
    throw new FeedError(`${file} can be read by others: chmod 600 it first.`);
  return parseKey(readFileSync(file, 'utf8'), file);
}

const hashOf = async (file: string): Promise<string> => {
  const hash = createHash('sha512');
  for await (const piece of createReadStream(file, { highWaterMark: 1024 * 1024 })) hash.update(piece as Buffer);
  return hash.digest('base64');
};

/** electron-builder's names of processors. */
const archs: Readonly<Record<string, Package['arch']>> = { x64: 'x64', x86_64: 'x64', amd64: 'x64', arm64: 'arm64', aarch64: 'arm64' };

/** The packages of a version in a folder, by the names that electron-builder gives them.
 * @throws FeedError where there is none, or one is for a processor that nobody knows */
export async function packagesIn(folder: string, version: string): Promise<Package[]> {
  const found: Package[] = [];
  for (const file of existsSync(folder) ? readdirSync(folder).sort() : []) {
    const entry = Object.entries(kinds).find(([, { extension }]) => file.endsWith(extension));
    if (!entry || !file.startsWith(`Protagonist-${version}-`)) continue;
    const [kind, { platform, extension }] = entry as [Kind, (typeof kinds)[Kind]];
    const arch = archs[file.slice(0, -extension.length).split('-').at(-1)!];
    if (!arch) throw new FeedError(`${file} does not end in a processor's name: pack it with \`npm run pack\`.`);
    const whole = path.join(folder, file);
    found.push({ platform, arch, kind, file, size: statSync(whole).size, sha512: await hashOf(whole) });
  }
  if (found.length === 0) throw new FeedError(`${folder} has no package of ${version}: run \`npm run pack\` first.`);
  return found;
}

/** Signs a feed, and reads it again.
 * @param pinned the keys that installed programs trust; none: those that sign it now
 * @throws FeedError where no key of theirs has signed it; UpdateRefused where no program would take it */
export function signFeed(
  feed: Feed,
  keys: readonly KeyObject[],
  pinned: readonly string[],
  now = Date.now(),
): { readonly bytes: Buffer; readonly signature: Buffer; readonly feed: SignedFeed } {
  const bytes = Buffer.from(`${JSON.stringify(feed, undefined, 2)}\n`);
  const signature = Buffer.from(keys.map(key => `${sign(null, bytes, key).toString('base64')}\n`).join(''));
  const own = keys.map(publicHalf);
  if (pinned.length > 0 && !own.some(key => pinned.includes(key)))
    throw new FeedError("The key is none of package.json's updates.keys: no installed Protagonist would take what it signs.");
  const read = readFeed(bytes, signature, pinned.length > 0 ? pinned : own);
  checkCurrent(read, { now, seen: undefined });
  return { bytes, signature, feed: read };
}

/** Holds a folder's packages against its feed. @throws FeedError */
async function checkPackages(folder: string, { packages }: Feed): Promise<void> {
  for (const { file, size, sha512 } of packages) {
    const whole = path.join(folder, file);
    if (!existsSync(whole)) throw new FeedError(`${file} is not in ${folder}, and the feed names it.`);
    if (statSync(whole).size !== size || (await hashOf(whole)) !== sha512) throw new FeedError(`${file} is not what the feed says: make the feed anew.`); // prettier-ignore
  }
}

const whole = (name: string, given: string, least: number, most: number): number => {
  const number = Number(given);
  if (/^\d+$/.test(given) && number >= least && number <= most) return number;
  throw new FeedError(`--${name} is ${JSON.stringify(given)}: it has to be a whole number from ${least} to ${most}.`);
};

const readNotes = (file: string): string => {
  if (!existsSync(file)) throw new FeedError(`${file} is not there: name a file with what is new.`);
  return readFileSync(file, 'utf8').replaceAll('\r\n', '\n').trim();
};

/** @param env PROTAGONIST_FEED_KEY is read
 * @returns lines to print
 * @throws FeedError, UpdateRefused */
export async function main(args: readonly string[], env: Readonly<Record<string, string | undefined>> = process.env): Promise<string[]> {
  const text = { type: 'string' } as const,
    flag = { type: 'boolean' } as const;
  let options;
  try {
    options = parseArgs({
      args: [...args],
      options: { packages: text, version: text, key: { ...text, multiple: true }, percent: text, minimum: text, notes: text, days: text, serial: text, check: flag, 'new-key': text, help: flag }, // prettier-ignore
    }).values;
  } catch (error) {
    throw new FeedError(`${(error as Error).message.split('\n')[0]!}: see --help.`);
  }
  if (options.help) return [help];
  const { keys: pinned } = updatesSwitch.parse(manifest.updates);

  const fresh = options['new-key'];
  if (fresh !== undefined) {
    if (isInTree(fresh)) throw new FeedError(`${fresh} lies in the source tree: keep private keys outside of it.`);
    if (existsSync(fresh)) throw new FeedError(`${fresh} is there already: name a new file.`);
    const { privateKey } = generateKeyPairSync('ed25519');
    writeFileSync(fresh, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'wx' });
    return [
      `The private key is in ${fresh}: keep it offline, and a copy elsewhere.`,
      `For package.json's updates.keys: ${publicHalf(privateKey)}`,
    ];
  }

  const folder = path.resolve(options.packages ?? path.join(projectRoot, 'release')),
    [feedFile, signatureFile] = [path.join(folder, feedName), path.join(folder, signatureName)];
  const files = options.key ?? [],
    fromEnv = env['PROTAGONIST_FEED_KEY'];
  const keys = files.length > 0 ? files.map(readKey) : fromEnv === undefined ? [] : [parseKey(fromEnv, 'PROTAGONIST_FEED_KEY')];
  const trusted = pinned.length > 0 ? pinned : keys.map(publicHalf);
  const readBack = async (): Promise<string> => {
    const feed = readFeed(readFileSync(feedFile), readFileSync(signatureFile), trusted);
    checkCurrent(feed, { now: Date.now(), seen: undefined });
    await checkPackages(folder, feed);
    return `${feedFile}: ${feed.version}, number ${feed.serial}, for ${feed.percent} %, until ${feed.expires}, ${feed.packages.length} packages, all verified`; // prettier-ignore
  };
  if (options.check) {
    if (trusted.length === 0) throw new FeedError("package.json's updates.keys is empty: name the key that has signed it with --key.");
    return [await readBack()];
  }

  if (keys.length === 0) throw new FeedError('No private key is given: use --key FILE or PROTAGONIST_FEED_KEY.');
  const version = options.version ?? manifest.version,
    now = Date.now(),
    iso = (time: number) => new Date(time).toISOString();
  const feed: Feed = {
    format: 1,
    product,
    serial: whole('serial', options.serial ?? String(Math.floor(now / 1000)), 1, Number.MAX_SAFE_INTEGER),
    version,
    released: iso(now),
    expires: iso(now + whole('days', options.days ?? '60', 1, 100) * 86_400_000 - 1000),
    minimum: options.minimum ?? '0.0.0',
    percent: whole('percent', options.percent ?? '100', 0, 100),
    notes: options.notes === undefined ? '' : readNotes(options.notes),
    packages: await packagesIn(folder, version),
  };
  if (existsSync(feedFile) && existsSync(signatureFile)) {
    const before = readFeed(readFileSync(feedFile), readFileSync(signatureFile), trusted);
    if (before.serial >= feed.serial)
      throw new FeedError(`The feed that is there has number ${before.serial}: the next one needs a higher --serial than ${feed.serial}.`);
    if (before.version === version) feed.released = before.released; // the same one, for more machines or for longer
  }
  const { bytes, signature } = signFeed(feed, keys, pinned, now);
  for (const [file, content] of [[signatureFile, signature], [feedFile, bytes]] as const) writeFileSync(`${file}.part`, content); // prettier-ignore
  for (const file of [signatureFile, feedFile]) renameSync(`${file}.part`, file);
  return [
    await readBack(),
    ...(pinned.length > 0 ? [] : [`package.json's updates.keys is empty: put in ${trusted.join(', ')}, or nobody will take it.`]),
  ];
}

if (import.meta.main)
  try {
    process.stdout.write(`${(await main(process.argv.slice(2))).join('\n')}\n`);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = 1;
  }
