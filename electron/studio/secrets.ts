/**
 * @file The hub's access token, and who keeps it. It belongs to a user and a hub, not to a library: it is in no file of a library, so in no
 * backup, and in no reply, event or sentence. Two owners (of two libraries, say) share the one file: each reads it anew whenever a token is
 * needed, and what was entered last counts for both.
 */
import { realpathSync } from 'node:fs';
import { chmod, mkdir, readdir, stat, unlink } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { z } from 'zod';
import { StudioError } from '../contract/errors.ts';
import { accessToken, type Network } from '../contract/records.ts';
import { fileError, MediaError } from '../media/error.ts';
import { readBytes, syncFolder, writeDurably } from '../media/files.ts';
import { configHome } from './places.ts';

/** A token, and the hub that it was entered for: no other hub is ever sent it. */
export const secret = z.strictObject({ format: z.literal(1), hub: z.string().max(2000), token: accessToken });
export type Secret = z.infer<typeof secret>;

/** How a secret is kept: in memory alone, in a file that only this user can read, or in one that the system's keyring has encrypted. */
export type KeptBy = 'session' | 'file' | 'encrypted';
/** What a keeper has. `trouble`: there is something that cannot be read now, and why, as a sentence; it stays where it is. */
export type Kept =
  { readonly by: 'none' } | { readonly by: KeptBy; readonly secret: Secret } | { readonly by: KeptBy; readonly trouble: string };

/** Keeps one secret of this user. */
export interface Secrets {
  /** Never rejects. */
  get(): Promise<Kept>;
  /** Keeps it in place of the one before, as well as this keeper can: `get` says how.
   * @throws MediaError where the disk does not take it; the one before then stays */
  set(secret: Secret): Promise<void>;
  /** Forgets it, readable or not.
   * @throws MediaError where its file cannot be removed */
  remove(): Promise<void>;
}

/** Keeps it in memory, for as long as this process lives. */
export function sessionSecrets(): Secrets {
  let kept: Secret | undefined;
  return {
    get: () => Promise.resolve(kept ? { by: 'session', secret: kept } : { by: 'none' }),
    set: secret => Promise.resolve(void (kept = secret)),
    remove: () => Promise.resolve(void (kept = undefined)),
  };
}

/** The bytes of a secret on the disk: whole or not there, and for this user's eyes (0600 where there are such modes). */
export interface SecretFile {
  /** @returns undefined where there is none
   * @throws MediaError why it cannot be read */
  read(): Promise<Buffer | undefined>;
  /** @throws MediaError */
  write(bytes: Uint8Array): Promise<void>;
  /** @throws MediaError */
  remove(): Promise<void>;
}
/** Bytes that a secret's file has at most: one that was written here is far below. */
const most = 16 << 10;
/** @param file in a folder of its own, which is made with it */
export function secretFile(file: string): SecretFile {
  const folder = dirname(file);
  /** What a writer that was killed has left: it holds a secret too. */
  const sweep = async () => {
    for (const name of await readdir(folder).catch(() => []))
      if (/^\.[0-9a-f]{24}\.part$/.test(name)) await unlink(join(folder, name)).catch(() => undefined);
  };
  return {
    read: async () => {
      const there = await stat(file).catch((error: unknown) => {
        if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
        throw fileError(`cannot read ${file}`, error);
      });
      if (!there) return undefined;
      const bytes = await readBytes(file, { most, wanted: 'another one' });
      if (process.platform !== 'win32' && there.mode & 0o077) await chmod(file, 0o600).catch(() => undefined); // a copy that was put back may have lost it
      return bytes;
    },
    write: async bytes => {
      await mkdir(folder, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
        throw fileError(`cannot write ${file}`, error);
      });
      await writeDurably(file, bytes, 0o600);
      await sweep();
    },
    remove: async () => {
      try {
        await unlink(file);
        await syncFolder(folder);
      } catch (error) {
        if (!['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) throw fileError(`cannot remove ${file}`, error);
      }
      await sweep();
    },
  };
}

/** What was written as a secret; undefined where it is none. Nothing is said of why: a parser's words quote what it reads. */
export function parseSecret(text: string): Secret | undefined {
  try {
    return secret.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
/** What is said of a file that holds no secret. */
export const damaged = 'the access token that is kept cannot be read, its file is damaged: enter the token again';
/** And of one that the disk does not give. */
export const unread = (error: unknown): string =>
  `the access token that is kept cannot be read: ${error instanceof MediaError ? error.message.replace(/\.$/, '') : 'try again'}`;

/** Keeps it in a file that only this user can read. */
export function fileSecrets(file: string): Secrets {
  const at = secretFile(file);
  return {
    get: async () => {
      try {
        const bytes = await at.read();
        if (!bytes) return { by: 'none' };
        const kept = parseSecret(bytes.toString());
        return kept ? { by: 'file', secret: kept } : { by: 'file', trouble: damaged };
      } catch (error) {
        return { by: 'file', trouble: unread(error) };
      }
    },
    set: secret => at.write(Buffer.from(JSON.stringify(secret))),
    remove: () => at.remove(),
  };
}

/** Whether a file lies, or would lie, inside a folder, whatever links lead there. */
export function isInside(file: string, folder: string): boolean {
  const real = (path: string): string => {
    try {
      return realpathSync.native(path);
    } catch {
      const above = dirname(path);
      return above === path ? path : join(real(above), basename(path));
    }
  };
  const inside = relative(real(resolve(folder)), real(resolve(file)));
  return !/^\.\.(?:[/\\]|$)/.test(inside) && !isAbsolute(inside);
}

/** What the command line and `serve` keep the token with: this user's file, or, where a library lies around its place and would take it along, memory.
 * @param home the library's folder */
export function ownSecrets(home: string): Secrets {
  const file = join(configHome(), 'secrets', 'hub.json');
  return isInside(file, home) ? sessionSecrets() : fileSecrets(file);
}

/** Whether this hub is sent a token, and which. */
export interface Access {
  /** To be sent to the hub; undefined where there is none for it. */
  token(): Promise<string | undefined>;
  state(): Promise<Pick<Network, 'token' | 'text'>>;
  /** @throws StudioError `conflict` where HF_TOKEN wins; MediaError */
  enter(token: string): Promise<void>;
  /** @throws MediaError */
  forget(): Promise<void>;
}
/** @param hub its address
 * @param environment HF_TOKEN: wins, and is never written
 * @throws StudioError `badInput` where HF_TOKEN is none */
export function accessTo(hub: string, secrets: Secrets, environment: string | undefined): Access {
  const given = environment?.trim() ?? '';
  if (!/^[!-~]*$/.test(given)) throw new StudioError('badInput', 'HF_TOKEN holds characters that no token has: correct it');
  return {
    token: async () => {
      if (given !== '') return given;
      const kept = await secrets.get();
      return 'secret' in kept && kept.secret.hub === hub ? kept.secret.token : undefined;
    },
    state: async () => {
      if (given !== '') return { token: 'environment', text: null };
      const kept = await secrets.get(),
        token = kept.by === 'encrypted' ? 'keyring' : kept.by;
      if (kept.by === 'none') return { token, text: null };
      if ('trouble' in kept) return { token, text: kept.trouble };
      const other = kept.secret.hub;
      if (other === hub) return { token, text: null };
      return {
        token,
        text: `the access token that is kept is for ${hostOf(other)} and is not sent to ${hostOf(hub)}: enter one for this hub`,
      };
    },
    enter: async token => {
      if (given !== '')
        throw new StudioError(
          'conflict',
          'HF_TOKEN is set and wins over a token that is entered: start Protagonist without it, then enter one',
        );
      await secrets.set({ format: 1, hub, token });
    },
    forget: () => secrets.remove(),
  };
}
const hostOf = (address: string): string => (URL.canParse(address) ? new URL(address).host : 'another hub');
