/** @file The desktop app's keeper of the access token, over each way Electron's safeStorage can be: real, none, pretended, locked, and with another key. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import type * as Electron from 'electron';
import { keyringSecrets, type SafeStorageUsed } from '../../electron/shell/secrets.ts';
import type { Secret } from '../../electron/studio/secrets.ts';
import { strict } from '../support/electron.ts';

const all = mkdtempSync(join(tmpdir(), 'protagonist-keyring-'));
after(() => rmSync(all, { recursive: true, force: true }));
let n = 0;
const newFile = () => join(all, String(++n), 'secrets', 'hub.bin');
const mine: Secret = { format: 1, hub: 'https://huggingface.co/', token: 'hf_abcDEF0123456789' };
type Backend = ReturnType<Electron.SafeStorage['getSelectedStorageBackend']>;

/** A keyring that can be locked, and given another key. What it encrypts has nothing of the text in it. */
function fakeStorage(how: { readonly backend?: Backend; readonly available?: boolean } = {}) {
  const { backend = 'gnome_libsecret', available = true } = how,
    key = 0x5a;
  const state = { backend, available, locked: false, key, reEncrypt: false },
    calls: string[] = [];
  const seal = (bytes: Uint8Array) => Buffer.from(bytes.map(byte => byte ^ state.key));
  const able = (what: string) => {
    calls.push(what);
    if (state.locked || !state.available) throw new Error(`Error while ${what} the text`);
  };
  const storage = strict<Electron.SafeStorage>('safeStorage', {
    getSelectedStorageBackend: () => state.backend,
    isAsyncEncryptionAvailable: () => Promise.resolve(state.available),
    encryptStringAsync: async (text: string) => {
      able('encrypting');
      return Promise.resolve(Buffer.concat([Buffer.from([118, 49, state.key]), seal(Buffer.from(text))]));
    },
    decryptStringAsync: async (bytes: Buffer) => {
      able('decrypting');
      if (bytes[2] !== state.key) throw new Error('Error while decrypting the ciphertext');
      return Promise.resolve({ result: seal(bytes.subarray(3)).toString(), shouldReEncrypt: state.reEncrypt });
    },
  }) satisfies SafeStorageUsed;
  return { storage, state, calls };
}

test('a real keyring encrypts it, in a file that has none of it and that only this user reads', async () => {
  for (const [platform, backend] of [['linux', 'gnome_libsecret'], ['linux', 'kwallet'], ['linux', 'kwallet5'], ['linux', 'kwallet6'], ['darwin', 'unknown'], ['win32', 'unknown']] as const) {
    const file = newFile(),
      { storage, calls } = fakeStorage({ backend }),
      secrets = keyringSecrets(storage, file, { platform });
    assert.deepEqual(await secrets.get(), { by: 'none' });
    assert.deepEqual(calls, [], 'the keyring is not asked where there is nothing');
    await secrets.set(mine);
    const bytes = readFileSync(file);
    assert.ok(!bytes.includes(mine.token) && !bytes.includes('huggingface'));
    if (process.platform !== 'win32') assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(dirname(file)), ['hub.bin']);
    for (let i = 0; i < 3; i++) assert.deepEqual(await secrets.get(), { by: 'encrypted', secret: mine });
    assert.deepEqual(calls, ['encrypting', 'decrypting'], 'it is asked once');
    // another process of this app, at the same file
    const next = { ...mine, token: 'hf_another_one_1' };
    await keyringSecrets(storage, file, { platform }).set(next);
    assert.deepEqual(await secrets.get(), { by: 'encrypted', secret: next });
    await secrets.remove();
    assert.ok(!existsSync(file));
    assert.deepEqual(await secrets.get(), { by: 'none' });
  }
}); // prettier-ignore

test('where no keyring is real it is kept for the session alone, and nothing is written', async () => {
  for (const [platform, how] of [['linux', { backend: 'basic_text' }], ['linux', { backend: 'unknown' }], ['linux', { available: false }], ['darwin', { available: false }], ['win32', { available: false }]] as const) {
    const file = newFile(),
      { storage, calls } = fakeStorage(how),
      secrets = keyringSecrets(storage, file, { platform });
    await secrets.set(mine);
    assert.deepEqual(await secrets.get(), { by: 'session', secret: mine });
    assert.ok(!existsSync(dirname(file)));
    assert.deepEqual(calls, []);
    assert.deepEqual(await keyringSecrets(storage, file, { platform }).get(), { by: 'none' }, 'the next start');
    await secrets.remove();
    assert.deepEqual(await secrets.get(), { by: 'none' });
  }
  // a library lies around its place; a keyring that fails at the question itself
  const { storage } = fakeStorage();
  for (const secrets of [keyringSecrets(storage, undefined), keyringSecrets({ ...storage, getSelectedStorageBackend: () => 'kwallet6', isAsyncEncryptionAvailable: () => Promise.reject(new Error('D-Bus')) }, newFile(), { platform: 'linux' })]) {
    await secrets.set(mine);
    assert.equal((await secrets.get()).by, 'session');
  }
}); // prettier-ignore

test('what cannot be decrypted is told and stays; it can be read once the keyring is open, replaced, or removed', async () => {
  const file = newFile(),
    { storage, state, calls } = fakeStorage(),
    patient = () => keyringSecrets(storage, file, { platform: 'linux', patience: 0 });
  await patient().set(mine);
  const bytes = readFileSync(file);
  const told = async (words: RegExp) => {
    const kept = await patient().get();
    assert.ok(kept.by === 'encrypted' && 'trouble' in kept, JSON.stringify(kept));
    assert.match(kept.trouble, words);
    assert.doesNotMatch(kept.trouble, /hf_|Error/);
  };
  const spoil: (() => void)[] = [() => (state.locked = true), () => (state.key = 0x33), () => (state.available = false), () => (state.backend = 'basic_text')]; // prettier-ignore
  for (const change of spoil) {
    const before = { ...state };
    change();
    await told(/cannot be decrypted \(the keyring is locked, or it is another one\): unlock the keyring and try again, or enter the token again$/);
    assert.deepEqual(readFileSync(file), bytes);
    Object.assign(state, before);
    assert.deepEqual(await patient().get(), { by: 'encrypted', secret: mine });
  }
  // a keyring that stays locked asks the person each time: it is asked once in a while
  const once = keyringSecrets(storage, file, { platform: 'linux' });
  state.locked = true;
  calls.length = 0;
  for (let i = 0; i < 5; i++) assert.ok('trouble' in (await once.get()));
  assert.deepEqual(calls, ['decrypting']);
  // what is entered meanwhile is kept for the session, and the file is not touched
  const next = { ...mine, token: 'hf_another_one_1' };
  await once.set(next);
  assert.deepEqual(await once.get(), { by: 'session', secret: next });
  assert.deepEqual(readFileSync(file), bytes);
  state.locked = false;
  await once.set(next);
  assert.deepEqual(await once.get(), { by: 'encrypted', secret: next });
  assert.notDeepEqual(readFileSync(file), bytes);

  for (const hostile of [Buffer.from('v1'), Buffer.alloc(9000, 7), await storage.encryptStringAsync('hf_not_json'), await storage.encryptStringAsync('{"format":1}')]) {
    writeFileSync(file, hostile);
    await told(/^the access token that is kept cannot be (decrypted|read)/);
    assert.deepEqual(readFileSync(file), hostile);
  }
  writeFileSync(file, '');
  await told(/is empty/);
  state.locked = true;
  await patient().remove(); // asked for: that needs no key
  assert.deepEqual(await patient().get(), { by: 'none' });
  mkdirSync(file);
  await told(/is a folder/);
}); // prettier-ignore

test('where the key was changed it is encrypted anew', async () => {
  const file = newFile(),
    { storage, state, calls } = fakeStorage(),
    secrets = keyringSecrets(storage, file, { platform: 'darwin' });
  await secrets.set(mine);
  state.reEncrypt = true;
  calls.length = 0;
  assert.deepEqual(await secrets.get(), { by: 'encrypted', secret: mine });
  assert.deepEqual(calls, ['decrypting', 'encrypting']);
  state.reEncrypt = false;
  assert.deepEqual(await keyringSecrets(storage, file, { platform: 'darwin' }).get(), { by: 'encrypted', secret: mine });
});
