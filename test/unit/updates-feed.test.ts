/** @file The signed feed: what is taken, and everything that is not, each with its sentence. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { updatesSwitch } from '../../electron/contract/updates.ts';
import {
  checkCurrent,
  compareVersions,
  mostDays,
  mostFeed,
  offerFor,
  placeInRollOut,
  readFeed,
  UpdateRefused,
  type Feed,
  type Here,
} from '../../electron/shell/feed.ts';
import { openUpdates, updateContacts } from '../../electron/studio/network.ts';
import { root } from '../support/run.ts';
import { day, feedOf, hash, newKey, now, signed } from '../support/updates.ts';

const ours = newKey(),
  next = newKey(),
  stranger = newKey();
const here: Here = { version: '0.1.0', platform: 'linux', arch: 'x64', kind: 'AppImage', machine: '0123456789abcdef0123456789abcdef', now };

/** All of the rules, one after the other, as the app goes through them. */
function judge({ bytes, signature }: { bytes: Uint8Array; signature: Uint8Array }, at: Here = here, keys = [ours.pin]) {
  const feed = readFeed(bytes, signature, keys);
  checkCurrent(feed, at);
  return offerFor(feed, at);
}
/** The sentence of whatever is no offer. */
function refusal(act: () => ReturnType<typeof judge>): string {
  try {
    const found = act();
    return 'nothing' in found ? found.nothing : 'TAKEN';
  } catch (error) {
    assert.ok(error instanceof UpdateRefused, String(error));
    return error.message;
  }
}
const by = (content: unknown, keys = [ours.key]) => signed(content, keys);
/** A good feed with a key put in, taken away or changed. */
const changed = (change: (feed: Record<string, unknown>) => void) => {
  const feed = feedOf() as unknown as Record<string, unknown>;
  change(feed);
  return by(feed);
};
/** A good feed whose first package is another. */
const packed = (changes: Record<string, unknown>) =>
  changed(f => ((f['packages'] as unknown[])[0] = { ...feedOf().packages[0], ...changes }));

test('a good feed offers the package of this machine', () => {
  assert.deepEqual(judge(by(feedOf())), {
    offer: {
      version: '0.2.0',
      notes: 'Faster.\n\t- and smaller',
      released: feedOf().released,
      file: 'Protagonist-0.2.0-linux-x86_64.AppImage',
      size: 11,
      sha512: hash('new program'),
    },
  });
  for (const [platform, arch, kind] of [
    ['win32', 'x64', 'nsis'],
    ['darwin', 'arm64', 'mac'],
  ] as const)
    // prettier-ignore
    assert.ok('offer' in judge(by(feedOf()), { ...here, platform, arch, kind }));
});

describe('what is refused', () => {
  const good = by(feedOf());
  const flipped = (bytes: Buffer, at: number) => {
    const other = Buffer.from(bytes);
    other[at] = other[at]! ^ 1;
    return other;
  };
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const [first] = feedOf().packages;
  const iso = (ms: number) => new Date(ms).toISOString();

  const mutants: Readonly<Record<string, readonly [feed: { bytes: Buffer; signature: Buffer }, why: RegExp, at?: Partial<Here>]>> = {
    // the signature
    'no signature': [{ ...good, signature: Buffer.alloc(0) }, /^the feed's signature is not 64 bytes/],
    'a signature of spaces': [{ ...good, signature: Buffer.from('\n\n') }, /signature is not 64 bytes/],
    'a signature that is cut short': [{ ...good, signature: good.signature.subarray(0, 60) }, /signature is not 64 bytes/],
    'a signature in hex': [
      { ...good, signature: Buffer.from(sign(null, good.bytes, ours.key).toString('hex')) },
      /signature is not 64 bytes/,
    ],
    'a huge signature': [{ ...good, signature: Buffer.alloc(1025, 65) }, /signature is larger than 1024 bytes/],
    'a changed signature': [{ ...good, signature: flipped(good.signature, 3) }, /signed by no key|not 64 bytes/],
    'a signature of zeros': [{ ...good, signature: Buffer.from(`${Buffer.alloc(64).toString('base64')}\n`) }, /signed by no key/],
    "a stranger's signature": [by(feedOf(), [stranger.key]), /signed by no key that Protagonist knows/],
    "an RSA key's signature": [
      { ...good, signature: Buffer.from(`${sign('sha256', good.bytes, rsa).subarray(0, 64).toString('base64')}\n`) },
      /signed by no key/,
    ],
    'the signature of another feed': [{ ...good, signature: by(feedOf({ serial: 8 })).signature }, /signed by no key/],
    'one byte changed': [{ ...good, bytes: flipped(good.bytes, 40) }, /signed by no key/],
    'one byte more': [{ ...good, bytes: Buffer.concat([good.bytes, Buffer.from(' ')]) }, /signed by no key/],
    'nothing at all': [{ ...good, bytes: Buffer.alloc(0) }, /signed by no key/],

    // its form
    'too large': [by(Buffer.alloc(mostFeed + 1, 32)), /^the feed is larger than 65536 bytes/],
    'no JSON': [by('hello'), /^the feed is no JSON/],
    'an empty feed': [by(''), /no JSON/],
    'no UTF-8': [by(Buffer.from([0x22, 0xff, 0x22])), /no JSON/],
    'a byte order mark': [by(`\ufeff${JSON.stringify(feedOf())}`), /no JSON/],
    'a list': [by([feedOf()]), /cannot be understood: all of it/],
    null: [by('null'), /cannot be understood/],
    'a key too many': [changed(f => (f['url'] = 'https://evil.example/')), /cannot be understood: all of it: .*url/],
    __proto__: [by(JSON.stringify(feedOf()).replace('{', '{"__proto__":{"percent":100},')), /cannot be understood/],
    'no serial': [changed(f => delete f['serial']), /cannot be understood: serial/],
    'serial 0': [by(feedOf({ serial: 0 })), /serial/],
    'a broken serial': [by(feedOf({ serial: 1.5 })), /serial/],
    'a serial beyond counting': [by(feedOf({ serial: 2 ** 53 })), /serial/],
    'a serial in words': [changed(f => (f['serial'] = '7')), /serial/],
    'a later format': [changed(f => (f['format'] = 2)), /format/],
    'no version': [changed(f => delete f['version']), /version/],
    'a version with a v': [by(feedOf({ version: 'v0.2.0' })), /version: is no version such as 1\.2\.3/],
    'a version of two parts': [by(feedOf({ version: '0.2' })), /version: is no version/],
    'a pre-release': [by(feedOf({ version: '0.2.0-beta.1' })), /version: is no version/],
    'a version with leading zeros': [by(feedOf({ version: '0.02.0' })), /version: is no version/],
    'a version with a line after it': [by(feedOf({ version: '0.2.0\n' })), /version: is no version/],
    'a version beyond counting': [by(feedOf({ version: '99999999999999999999.0.0' })), /version: is no version/],
    'no minimum': [changed(f => delete f['minimum']), /minimum/],
    'no percentage': [changed(f => delete f['percent']), /percent/],
    'more than all': [by(feedOf({ percent: 101 })), /percent/],
    'less than none': [by(feedOf({ percent: -1 })), /percent/],
    'half a percent': [by(feedOf({ percent: 0.5 })), /percent/],
    'no expiry': [changed(f => delete f['expires']), /expires/],
    'an expiry in words': [by(feedOf({ expires: 'never' })), /expires: is no time/],
    'an expiry in local time': [by(feedOf({ expires: '2026-12-01T00:00:00+02:00' })), /expires: is no time/],
    'an expiry on no day': [by(feedOf({ expires: '2026-02-30T00:00:00Z' })), /expires: is no time/],
    'notes without end': [by(feedOf({ notes: 'x'.repeat(10_001) })), /notes/],
    'notes that move the cursor': [by(feedOf({ notes: 'a\u001b[2J' })), /notes: hold characters that are no text/],
    'notes that turn around': [by(feedOf({ notes: 'exe.\u202egpj' })), /notes: hold characters/],

    // its packages
    'no packages': [by(feedOf({ packages: [] })), /packages/],
    'too many packages': [by(feedOf({ packages: Array.from({ length: 13 }, () => first!) })), /packages/],
    'a platform that nobody has': [packed({ platform: 'plan9' }), /packages\.0\.platform/],
    'a processor that nobody has': [packed({ arch: 'mips' }), /packages\.0\.arch/],
    'a kind that nobody has': [packed({ kind: 'msi' }), /packages\.0\.kind/],
    'a kind of another platform': [packed({ platform: 'win32' }), /packages\.0\.kind: is not for win32/],
    'the same twice': [by(feedOf({ packages: [first!, first!] })), /is there twice/],
    'an address for a name': [
      packed({ file: 'https://evil.example/Protagonist-0.2.0-x.AppImage' }),
      /packages\.0\.file: is no plain file name/,
    ],
    'a name that climbs': [packed({ file: '../Protagonist-0.2.0-x.AppImage' }), /is no plain file name/],
    'a name with a folder': [packed({ file: 'a/Protagonist-0.2.0-x.AppImage' }), /is no plain file name/],
    'a name with a backslash': [packed({ file: 'Protagonist-0.2.0-\\x.AppImage' }), /is no plain file name/],
    'a name with two dots': [packed({ file: 'Protagonist-0.2.0-..AppImage' }), /is no plain file name/],
    'a name with a question': [packed({ file: 'Protagonist-0.2.0-x?.AppImage' }), /is no plain file name/],
    'a name with a percent sign': [packed({ file: 'Protagonist-0.2.0-%2e%2e%2fx.AppImage' }), /is no plain file name/],
    'a name with NUL': [packed({ file: 'Protagonist-0.2.0-\0.AppImage' }), /is no plain file name/],
    'a hidden name': [packed({ file: '.AppImage' }), /is no plain file name/],
    'an endless name': [packed({ file: `Protagonist-0.2.0-${'x'.repeat(200)}.AppImage` }), /is no plain file name/],
    'another extension': [packed({ file: 'Protagonist-0.2.0-linux.sh' }), /does not end in \.AppImage/],
    "another version's file": [packed({ file: 'Protagonist-0.1.0-linux-x86_64.AppImage' }), /does not begin with Protagonist-0\.2\.0-/],
    'no size': [packed({ size: undefined }), /packages\.0\.size/],
    'nothing to download': [packed({ size: 0 }), /packages\.0\.size/],
    'more than fits': [packed({ size: 5 * 1024 ** 3 }), /packages\.0\.size/],
    'no hash': [packed({ sha512: undefined }), /packages\.0\.sha512/],
    'a SHA-256': [packed({ sha512: 'ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=' }), /sha512: is no SHA-512/],
    'a hash in hex': [packed({ sha512: 'a'.repeat(128) }), /sha512: is no SHA-512/],
    'a hash written in another way': [packed({ sha512: `${hash('').slice(0, 85)}h==` }), /sha512: is no SHA-512/],

    // what holds of it now
    'of another product': [by(feedOf({ product: 'org.example.Other' })), /^the feed is of "org\.example\.Other", not of/],
    'run out': [by(feedOf({ expires: iso(now - 1) })), /^the feed has run out on 2026/],
    'running out this moment': [by(feedOf({ expires: iso(now) })), /has run out/],
    'valid for too long': [by(feedOf({ expires: iso(now + (mostDays + 1) * day) })), /more than 100 days from now/],
    'from the future': [by(feedOf({ released: iso(now + 2 * day) })), /yet to come: check this machine's clock/],
    'seen on a machine whose clock stands still': [good, /clock/, { now: Date.UTC(2020, 1) }],
    'older than the last one': [
      good,
      /^the feed has number 7, and number 8 was seen before/,
      { seen: { serial: 8, digest: '0'.repeat(64) } },
    ],
    'the same number, and another feed': [
      good,
      /another one with that number was seen before/,
      { seen: { serial: 7, digest: '0'.repeat(64) } },
    ],

    // what it has for this machine
    'the same version': [good, /^Protagonist 0\.2\.0 is the newest version\.$/, { version: '0.2.0' }],
    'an older version': [good, /^Protagonist 0\.3\.0 is newer than 0\.2\.0/, { version: '0.3.0' }],
    'an older version by number, not by letter': [good, /0\.10\.0 is newer than 0\.2\.0/, { version: '0.10.0' }],
    'too old to be replaced': [good, /0\.0\.9 is too old to become it by itself \(0\.1\.0 is needed\)/, { version: '0.0.9' }],
    'a .deb': [good, /installed as a \.deb: update it with your package manager/, { kind: 'deb' }],
    sources: [good, /in no package that can be replaced/, { kind: undefined }],
    'another processor': [good, /not for this machine \(AppImage, linux, arm64\)/, { arch: 'arm64' }],
    'not this machine yet': [by(feedOf({ percent: 0 })), /this machine's turn is yet to come/],
  };
  test(`${Object.keys(mutants).length} bad feeds, each with its reason`, () => {
    assert.ok(Object.keys(mutants).length >= 40);
    assert.equal(refusal(() => judge(good)), 'TAKEN'); // prettier-ignore
    for (const [name, [feed, why, at]] of Object.entries(mutants))
      assert.match(
        refusal(() => judge(feed, { ...here, ...at })),
        why,
        name,
      );
  });
  test('no byte of a feed or of its signature can be another', () => {
    for (let at = 0; at < good.bytes.length; at += 3)
      assert.match(refusal(() => judge({ ...good, bytes: flipped(good.bytes, at) })), /signed by no key/); // prettier-ignore
    for (let at = 0; at < good.signature.length - 1; at++)
      assert.match(refusal(() => judge({ ...good, signature: flipped(good.signature, at) })), /signed by no key|not 64 bytes/); // prettier-ignore
  });
  test('whatever is signed: an offer or a sentence, and no other error', () => {
    const kept = ['format', 'product', 'serial', 'version', 'released', 'expires', 'minimum', 'percent', 'notes', 'packages'];
    fc.assert(
      fc.property(fc.constantFrom(...kept), fc.jsonValue(), (key, value) => {
        const why = refusal(() => judge(by({ ...feedOf(), [key]: value })));
        if (why === 'TAKEN') assert.ok(['notes', 'percent', 'serial'].includes(key), `${key}: ${JSON.stringify(value)}`);
      }),
      { numRuns: 250 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), bytes =>
        assert.match(
          refusal(() => judge(by(bytes))),
          /no JSON|cannot be under/,
        ),
      ),
      { numRuns: 300 },
    );
  });
});

describe('keys', () => {
  const both = by(feedOf(), [ours.key, next.key]);
  test('any pinned one will do, and so will any of the signatures', () => {
    for (const keys of [[ours.pin], [next.pin], [ours.pin, next.pin], [stranger.pin, next.pin]])
      assert.equal(refusal(() => judge(both, here, keys)), 'TAKEN'); // prettier-ignore
    assert.equal(refusal(() => judge(by(feedOf(), [next.key]), here, [ours.pin, next.pin])), 'TAKEN'); // prettier-ignore
  });
  test('a key that is pinned no more signs nothing', () => {
    assert.match(refusal(() => judge(by(feedOf(), [ours.key]), here, [next.pin])), /signed by no key/); // prettier-ignore
    assert.match(refusal(() => judge(both, here, [stranger.pin])), /signed by no key/); // prettier-ignore
    assert.match(refusal(() => judge(both, here, [])), /no key is trusted/); // prettier-ignore
  });
});

describe('the roll-out', () => {
  const machines = Array.from({ length: 6_000 }, (_, n) => hash(String(n)).slice(0, 32));
  const offered = (machine: string, feed: Partial<Feed>) => 'offer' in offerFor({ ...feedOf(feed), digest: '' }, { ...here, machine });
  test('reaches as many as it says, evenly', () => {
    for (const percent of [1, 10, 50, 90]) {
      const part = (100 * machines.filter(machine => offered(machine, { percent })).length) / machines.length;
      assert.ok(Math.abs(part - percent) < 2, `${part} % instead of ${percent} %`);
    }
    assert.ok(machines.every(machine => !offered(machine, { percent: 0 })));
    assert.ok(machines.every(machine => offered(machine, { percent: 100 })));
  });
  test('whoever has it keeps it as it grows, and others come first the next time', () => {
    for (const machine of machines.slice(0, 500)) {
      const from = [10, 20, 40, 80, 100].findIndex(percent => offered(machine, { percent }));
      assert.ok([10, 20, 40, 80, 100].slice(from).every(percent => offered(machine, { percent })));
      assert.equal(placeInRollOut(machine, '0.2.0'), placeInRollOut(machine, '0.2.0'));
    }
    const early = machines.filter(machine => placeInRollOut(machine, '0.2.0') < 10),
      again = early.filter(machine => placeInRollOut(machine, '0.3.0') < 10);
    assert.ok(again.length / early.length < 0.15, `${again.length} of ${early.length} are first again`);
  });
});

test('versions are compared by number', () => {
  const sorted = ['0.0.9', '0.1.0', '0.1.10', '0.2.0', '0.10.0', '1.0.0', '2.0.0', '10.0.0'];
  assert.deepEqual([...sorted].reverse().sort(compareVersions), sorted);
  assert.equal(compareVersions('1.2.3', '1.2.3'), 0);
});

describe('the switch', () => {
  const feed = 'https://updates.example.org/protagonist/';
  test('is off in package.json', () => {
    const { updates } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { updates: unknown };
    assert.deepEqual(updatesSwitch.parse(updates), { feed: null, keys: [] });
    assert.deepEqual(updateContacts(null), []);
  });
  test('takes a folder over https with a key, and nothing else', () => {
    assert.ok(updatesSwitch.safeParse({ feed, keys: [ours.pin, next.pin] }).success);
    assert.equal(updatesSwitch.parse(undefined).feed, null);
    const bad: unknown[] = [
      null,
      {},
      { feed },
      { feed, keys: [] },
      { feed, keys: [ours.pin.slice(1)] },
      { feed, keys: [`${ours.pin.slice(0, 42)}9=`] }, // bits behind its end
      { feed, keys: ['-----BEGIN PUBLIC KEY-----'] },
      { feed, keys: Array.from({ length: 9 }, () => ours.pin) },
      { feed: false, keys: [ours.pin] },
      { feed, keys: [ours.pin], force: true },
      ...[
        'http://updates.example.org/',
        'https://updates.example.org',
        'https://updates.example.org/feed.json',
        'https://user:secret@updates.example.org/',
        'https://updates.example.org/?a/',
        'https://updates.example.org/#/',
        'https://updates.example.org/a/../b/',
        'file:///etc/',
        'HTTPS://updates.example.org/',
        '',
        'updates',
      ].map(feed => ({ feed, keys: [ours.pin] })),
    ];
    for (const one of bad) assert.ok(!updatesSwitch.safeParse(one).success, JSON.stringify(one));
  });
  test('puts one host on the list, and only that one is asked', async () => {
    assert.deepEqual(updateContacts(feed).map(c => c.host), ['updates.example.org']); // prettier-ignore
    const looked: string[] = [],
      { signal } = new AbortController();
    const network = openUpdates(feed, {
      lookup: host => {
        looked.push(host);
        return Promise.resolve([{ address: '127.0.0.1', family: 4 }]);
      },
    });
    assert.deepEqual(network.contacts, updateContacts(feed));
    await assert.rejects(network.get('feed.json', { signal }), /its name leads to 127\.0\.0\.1, an address inside a local network/);
    for (const other of [
      'https://huggingface.co/x',
      'https://sub.updates.example.org/x',
      'https://updates.example.org.evil.example/',
      'http://updates.example.org/protagonist/feed.json',
      'https://user:secret@updates.example.org/',
    ])
      await assert.rejects(network.get(other, { signal }), /nothing was sent there/, other);
    network.offline = true;
    await assert.rejects(network.get('feed.json', { signal }), /the offline switch is on/);
    assert.deepEqual(looked, ['updates.example.org']);
  });
});
