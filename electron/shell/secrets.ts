/**
 * @file The access token of the desktop app: encrypted by the system's keyring through Electron's safeStorage, and where there is none, in
 * memory until the app is closed. What Electron calls encryption on a Linux without a keyring uses a password that is in its source.
 */
import type * as Electron from 'electron';
import { damaged, parseSecret, secretFile, sessionSecrets, unread, type Kept, type Secret, type Secrets } from '../studio/secrets.ts';

/** What of Electron's safeStorage is used: the calls that wait for the keyring without holding the app up. */
export type SafeStorageUsed = Pick<
  Electron.SafeStorage,
  'isAsyncEncryptionAvailable' | 'encryptStringAsync' | 'decryptStringAsync' | 'getSelectedStorageBackend'
>;

const locked =
  'the access token that is kept cannot be decrypted (the keyring is locked, or it is another one): unlock the keyring and try again, or enter the token again';

/** Keeps the token in a file that the keyring has encrypted, where there is a real one, else for the session. Nothing is asked of the keyring before a token is kept or needed: systems ask the person for its password. It knows nothing of the command line's file.
 * @param file for the ciphertext, in a folder of its own; undefined: there is no place outside of the library
 * @param patience milliseconds before a keyring that gave nothing is asked for the same again: each time it may ask the person */
export function keyringSecrets(
  safeStorage: SafeStorageUsed,
  file: string | undefined,
  { platform = process.platform, patience = 60_000 }: { platform?: NodeJS.Platform; patience?: number } = {},
): Secrets {
  const session = sessionSecrets(),
    at = file === undefined ? undefined : secretFile(file);
  /** What these bytes came to, so that the keyring is asked once. */
  let last: { readonly bytes: Buffer; readonly kept: Kept; readonly until: number } | undefined;

  let renewed = false;

  const isReal = async (): Promise<boolean> => {
    try {
      if (platform === 'linux' && ['basic_text', 'unknown'].includes(safeStorage.getSelectedStorageBackend())) return false;
      return await safeStorage.isAsyncEncryptionAvailable();
    } catch {
      return false;
    }
  };
  /** @throws what Electron says, where the keyring does not do it */
  const encrypt = (secret: Secret): Promise<Buffer> => safeStorage.encryptStringAsync(JSON.stringify(secret));
  const decrypt = async (bytes: Buffer): Promise<Kept> => {
    if (!(await isReal())) return { by: 'encrypted', trouble: locked };
    let plain: Electron.DecryptStringAsyncReturnValue;
    try {
      plain = await safeStorage.decryptStringAsync(bytes);
    } catch {
      return { by: 'encrypted', trouble: locked };
    }
    const secret = parseSecret(plain.result);
    if (!secret) return { by: 'encrypted', trouble: damaged };
    if (plain.shouldReEncrypt && !renewed) {
      renewed = true;
      await encrypt(secret)
        .then(anew => at?.write(anew))
        .catch(() => undefined); // the key before still opens it
    }
    return { by: 'encrypted', secret };
  };

  return {
    get: async () => {
      const own = await session.get();
      if (own.by !== 'none' || !at) return own;
      try {
        const bytes = await at.read();
        if (!bytes) return { by: 'none' };
        if (last?.bytes.equals(bytes) && performance.now() < last.until) return last.kept;
        const kept = await decrypt(bytes);
        last = { bytes, kept, until: 'trouble' in kept ? performance.now() + patience : Infinity };
        return kept;
      } catch (error) {
        return { by: 'encrypted', trouble: unread(error) };
      }
    },
    set: async secret => {
      const bytes = at && (await isReal()) ? await encrypt(secret).catch(() => undefined) : undefined; // a keyring that stays locked is none
      if (!bytes) return session.set(secret);
      await at!.write(bytes);
      await session.remove();
      last = undefined;
    },
    remove: async () => {
      await session.remove();
      last = undefined;
      await at?.remove();
    },
  };
}
