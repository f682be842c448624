/** @file The access token's keepers: who can read the file, what half-written and hostile files come to, which hub is sent what. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { accessToken } from '../../electron/contract/records.ts';
import { configHome } from '../../electron/studio/places.ts';
import { accessTo, fileSecrets, isInside, ownSecrets, parseSecret, sessionSecrets, type Secret } from '../../electron/studio/secrets.ts';
import { hostile, junk } from '../support/arbitrary.ts';
import { refused } from '../support/library.ts';

const all = mkdtempSync(join(tmpdir(), 'protagonist-secrets-'));
after(() => rmSync(all, { recursive: true, force: true }));
let n = 0;
const newFile = () => join(all, String(++n), 'config', 'secrets', 'hub.json');
const hub = 'https://huggingface.co/',
  token = 'hf_abcDEF0123456789',
  mine: Secret = { format: 1, hub, token };
const modeOf = (path: string) => statSync(path).mode & 0o777;
const posix = process.platform !== 'win32';

test('a token has 8 to 200 printable characters and no space; what is wrong is said without saying it', () => {
  for (const good of [token, `  ${token}\n`, 'a'.repeat(8), '~'.repeat(200)]) assert.equal(accessToken.parse(good), good.trim());
  for (const bad of ['', 'short', 'a'.repeat(201), 'hf_abc def ghi', 'hf_abc\r\nx: y', 'hf_äbcdefgh', 'hf_abcdefg\0', ...hostile.filter(text => /[^!-~]/.test(text.trim()))]) {
    const { error } = accessToken.safeParse(bad);
    assert.match(error?.issues[0]?.message ?? '', /^an access token has 8 to 200 letters.*: copy it whole from the hub$/, JSON.stringify(bad));
    if (bad.length > 4) assert.ok(!error!.issues[0]!.message.includes(bad));
  }
}); // prettier-ignore

test('a file for this user alone, replaced whole and removed with what a killed writer has left', async () => {
  const file = newFile(),
    secrets = fileSecrets(file);
  assert.deepEqual(await secrets.get(), { by: 'none' });
  assert.ok(!existsSync(dirname(file)), 'looking makes nothing');
  await secrets.remove();
  const before = process.umask(0);
  try {
    await secrets.set(mine);
  } finally {
    process.umask(before);
  }
  assert.deepEqual(await secrets.get(), { by: 'file', secret: mine });
  if (posix) assert.deepEqual([modeOf(file), modeOf(dirname(file))], [0o600, 0o700]);
  assert.deepEqual(readdirSync(dirname(file)), ['hub.json']);

  // another owner shares the file: what was entered last counts for both
  const other = fileSecrets(file),
    next = { ...mine, token: 'hf_another_one_1' };
  await other.set(next);
  assert.deepEqual(await secrets.get(), { by: 'file', secret: next });

  // a reader sees the one or the other whole, never a part
  let looked = 0,
    writing = true;
  const read = async () => {
    for (; writing; looked++) {
      const kept = await secrets.get();
      assert.ok('secret' in kept && [next.token, mine.token].includes(kept.secret.token), JSON.stringify(kept));
    }
  };
  const reading = read();
  for (let i = 0; i < 20; i++) await other.set(i % 2 ? next : mine);
  writing = false;
  await reading;
  assert.ok(looked > 5);

  if (posix) {
    chmodSync(file, 0o644); // a copy that was put back
    await secrets.get();
    assert.equal(modeOf(file), 0o600);
  }
  writeFileSync(join(dirname(file), `.${'0a'.repeat(12)}.part`), JSON.stringify(mine));
  await other.remove();
  assert.deepEqual(readdirSync(dirname(file)), []);
  assert.deepEqual(await secrets.get(), { by: 'none' });
});

test('a file that is damaged, hostile or no file is told and stays; none of it is quoted', async () => {
  const file = newFile(),
    secrets = fileSecrets(file);
  mkdirSync(dirname(file), { recursive: true });
  const told = async (): Promise<string> => {
    const kept = await secrets.get();
    assert.ok(kept.by === 'file' && 'trouble' in kept, JSON.stringify(kept));
    assert.match(kept.trouble, /^the access token that is kept cannot be read/);
    assert.ok(!kept.trouble.includes('hf_') && !kept.trouble.includes('\n'), kept.trouble);
    return kept.trouble;
  };
  const whole = JSON.stringify(mine);
  for (const text of [token, whole.slice(0, -3), `${whole}${whole}`, `[${whole}]`, '{}', 'null', '\0\0\0', JSON.stringify({ ...mine, format: 2 }), JSON.stringify({ ...mine, more: 1 }), JSON.stringify({ ...mine, token: 'hf_a b\r\nx: y' }), `{"__proto__":${whole}}`, '['.repeat(9000)]) {
    writeFileSync(file, text);
    assert.match(await told(), /damaged: enter the token again$/, text.slice(0, 60));
    assert.equal(readFileSync(file, 'utf8'), text);
  }
  writeFileSync(file, '');
  assert.match(await told(), /is empty/);
  writeFileSync(file, Buffer.alloc(1 << 20, 0x20));
  assert.match(await told(), /is 1 MB large/);
  await secrets.set(mine); // what a person enters takes its place
  assert.ok('secret' in (await secrets.get()));
  await secrets.remove();
  if (posix) {
    spawnSync('mkfifo', [file]);
    assert.match(await told(), /is not a file/);
    rmSync(file);
    symlinkSync('nowhere', file);
    assert.deepEqual(await secrets.get(), { by: 'none' });
    rmSync(file);
  }
  mkdirSync(file);
  assert.match(await told(), /is a folder/);
  await assert.rejects(secrets.set(mine), /cannot write/);
  await assert.rejects(secrets.remove(), /cannot remove/);
  const blocked = fileSecrets(join(all, String(n), 'file', 'secrets', 'hub.json'));
  writeFileSync(join(all, String(n), 'file'), '');
  assert.deepEqual(await blocked.get(), { by: 'none' });
  await assert.rejects(blocked.set(mine), (e: Error) => /part of the path is a file/.test(e.message) && !e.message.includes('hf_'));
  await blocked.remove();

  fc.assert(fc.property(junk, value => parseSecret(JSON.stringify(value)) === undefined), { numRuns: 200 });
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 60 }), text => parseSecret(text) === undefined), { numRuns: 500 });
}); // prettier-ignore

test('the file lies where this user keeps settings, and never inside a library', async () => {
  assert.equal(configHome({}, 'linux', '/home/ada'), '/home/ada/.config/protagonist');
  assert.equal(configHome({ XDG_CONFIG_HOME: '/c' }, 'linux', '/home/ada'), '/c/protagonist');
  assert.equal(configHome({ XDG_CONFIG_HOME: 'c' }, 'linux', '/home/ada'), '/home/ada/.config/protagonist');
  assert.equal(configHome({}, 'darwin', '/Users/ada'), '/Users/ada/Library/Preferences/Protagonist');
  assert.equal(configHome({ APPDATA: 'C:\\Users\\ada\\AppData\\Roaming' }, 'win32', ''), 'C:\\Users\\ada\\AppData\\Roaming\\Protagonist');
  assert.equal(configHome({}, 'win32', 'C:\\Users\\ada'), 'C:\\Users\\ada\\AppData\\Roaming\\Protagonist');

  const config = join(all, 'own');
  mkdirSync(config);
  if (posix) {
    symlinkSync(config, join(all, 'link'));
    assert.ok(isInside(join(all, 'link/a/b'), config) && !isInside(join(all, 'own-2/a'), config) && !isInside(all, config));
  }
  const env = { ...process.env };
  process.env['XDG_CONFIG_HOME'] = config;
  process.env['APPDATA'] = config;
  try {
    const inside = ownSecrets(config);
    await inside.set(mine);
    assert.deepEqual((await inside.get()).by, 'session');
    assert.deepEqual(readdirSync(config), []);
    const outside = ownSecrets(join(all, 'library'));
    await outside.set(mine);
    assert.deepEqual((await outside.get()).by, 'file');
    assert.deepEqual((await inside.get()).by, 'session');
    await outside.remove();
  } finally {
    process.env = env;
  }
});

test('HF_TOKEN wins and is never written; a token goes to the hub that it was entered for and to no other', async () => {
  const file = newFile(),
    secrets = fileSecrets(file);
  const won = accessTo(hub, secrets, ' hf_environment \n');
  assert.deepEqual([await won.token(), await won.state()], ['hf_environment', { token: 'environment', text: null }]);
  await assert.rejects(won.enter(token), refused('conflict', /^HF_TOKEN is set and wins/));
  assert.ok(!existsSync(file));
  assert.throws(
    () => accessTo(hub, secrets, 'hf_x\r\ny: z'),
    refused('badInput', /^HF_TOKEN holds characters that no token has: correct it$/),
  );

  const access = accessTo(hub, secrets, '');
  assert.deepEqual([await access.token(), await access.state()], [undefined, { token: 'none', text: null }]);
  await access.enter(token);
  assert.deepEqual([await access.token(), await access.state()], [token, { token: 'file', text: null }]);
  const mirror = accessTo('https://mirror.example/', secrets, undefined);
  assert.equal(await mirror.token(), undefined);
  assert.deepEqual(await mirror.state(), {
    token: 'file',
    text: 'the access token that is kept is for huggingface.co and is not sent to mirror.example: enter one for this hub',
  });
  await won.forget(); // what is kept can be forgotten all the same
  assert.ok(!existsSync(file));

  const session = accessTo(hub, sessionSecrets(), undefined);
  await session.enter(token);
  assert.deepEqual([await session.token(), await session.state()], [token, { token: 'session', text: null }]);
  await session.forget();
  assert.deepEqual(await session.state(), { token: 'none', text: null });
});
