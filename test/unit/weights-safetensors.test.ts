/** @file safetensors files: one named counterexample for every rule, values of every dtype, and the writer under failures. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  isFiniteTensor,
  limits,
  looksLikePickle,
  readBytes,
  readIntegers,
  readSafetensors,
  readTensor,
  SafetensorsError,
  writeSafetensors,
  type SafetensorsRule,
} from '../../native-models/weights/safetensors.ts';
import { printable } from '../../native-models/weights/json.ts';

const folder = mkdtempSync(join(tmpdir(), 'weights-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;
const place = (bytes: Uint8Array): string => {
  const path = join(folder, `${count++}.safetensors`);
  writeFileSync(path, bytes);
  return path;
};

/** A file of a header's text and so many bytes of tensors; `length` where the header's claim shall be another. */
function build(header: string | Uint8Array, data: number | Uint8Array = 0, length?: bigint): string {
  const text = Buffer.from(header as string);
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(length ?? BigInt(text.byteLength));
  return place(Buffer.concat([head, text, typeof data === 'number' ? Buffer.alloc(data) : data]));
}
const entry = (dtype: string, shape: string, offsets: string): string => `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;
const one = (dtype: string, shape: readonly number[], data: Uint8Array): string =>
  build(`{"x":${entry(dtype, JSON.stringify(shape), `[0,${data.byteLength}]`)}}`, data);

const f32 = entry('F32', '[1]', '[0,4]');
const [huge, wide] = ['9'.repeat(30), '9007199254740992'];

/** [rule, what breaks it, the file] */
const counterexamples: readonly (readonly [SafetensorsRule, string, () => string])[] = [
  ['notAFile', 'a path that is not there', () => join(folder, 'nowhere.safetensors')],
  ['notAFile', 'a folder', () => folder],
  ['tooShort', 'an empty file', () => place(Buffer.alloc(0))],
  ['tooShort', 'seven bytes', () => place(Buffer.alloc(7))],
  ['headerTooLarge', 'a header one byte over the limit', () => build('{}', 0, 100_000_001n)],
  ['headerTooLarge', 'a length that is negative when signed', () => build('{}', 0, 2n ** 64n - 1n)],
  ['headerTooLarge', 'a length whose low 32 bits are small', () => build('{}', 0, 2n ** 32n + 2n)],
  ['headerOutside', 'a header that ends after the file', () => build('{}', 0, 3n)],
  ['utf8', 'a lone continuation byte', () => build(Buffer.from('{"\x80":1}', 'latin1'))],
  ['utf8', 'an overlong NUL', () => build(Buffer.from('{"\xc0\x80":1}', 'latin1'))],
  ['utf8', 'a surrogate in UTF-8', () => build(Buffer.from('{"\xed\xa0\x80":1}', 'latin1'))],
  ['leadingSpace', 'a space before "{"', () => build(' {}')],
  ['json', 'no header at all', () => build('')],
  ['json', 'a byte order mark', () => build('﻿{}')],
  ['json', 'an array', () => build('[]')],
  ['json', 'text after the object', () => build('{} x')],
  ['json', 'a NUL after the object', () => build('{}\0')],
  ['json', 'a trailing comma', () => build(`{"x":${f32},}`, 4)],
  ['json', 'a raw control character in a name', () => build(`{"a\nb":${f32}}`, 4)],
  ['json', 'a lone surrogate by escape', () => build(`{"\\ud800":${f32}}`, 4)],
  ['json', 'a leading zero', () => build(`{"x":${entry('F32', '[01]', '[0,4]')}}`, 4)],
  ['json', 'a number beyond a double, where nobody reads it', () => build(`{"x":{"y":1e999,${f32.slice(1)}}`, 4)],
  ['json', '128 levels', () => build(`{"x":{"y":${'['.repeat(126)}${']'.repeat(126)},${f32.slice(1)}}`, 4)],
  ['json', 'an unfinished string', () => build('{"x')],
  ['json', 'an unfinished escape', () => build('{"x\\')],
  ['duplicateKey', 'a tensor twice', () => build(`{"x":${f32},"x":${f32}}`, 4)],
  ['duplicateKey', 'a tensor twice, once by escape', () => build(`{"x":${f32},"\\u0078":${f32}}`, 4)],
  ['duplicateKey', 'a field twice', () => build(`{"x":{"dtype":"F16",${f32.slice(1)}}`, 4)],
  ['duplicateKey', '__metadata__ twice', () => build('{"__metadata__":{},"__metadata__":{}}')],
  ['duplicateKey', 'a text of the metadata twice', () => build('{"__metadata__":{"a":"b","a":"c"}}')],
  ['duplicateKey', 'a key that nobody reads twice', () => build(`{"x":{"y":{"z":1,"z":2},${f32.slice(1)}}`, 4)],
  ['duplicateKey', '__proto__ twice', () => build('{"__metadata__":{"__proto__":"b","__proto__":"c"}}')],
  [
    'tooManyKeys',
    'metadata without end',
    () => build(`{"__metadata__":{${Array.from({ length: 500_001 }, (_, i) => `"${i}":""`).join(',')}}}`),
  ],
  [
    'tooManyTensors',
    '100,001 tensors',
    () => build(`{${Array.from({ length: limits.tensors + 1 }, (_, i) => `"${i}":${entry('U8', '[0]', '[0,0]')}`).join(',')}}`),
  ],
  ['nameTooLong', '513 bytes of name', () => build(`{"${'n'.repeat(513)}":${f32}}`, 4)],
  ['nameTooLong', '257 letters of two bytes', () => build(`{"${'é'.repeat(257)}":${f32}}`, 4)],
  ['rankTooLarge', 'nine dimensions', () => build(`{"x":${entry('F32', '[1,1,1,1,1,1,1,1,1]', '[0,4]')}}`, 4)],
  ['arrayForm', 'an entry as an array', () => build('{"x":["F32",[1],[0,4]]}', 4)],
  ['arrayForm', 'a dtype as an object', () => build('{"x":{"dtype":{"F32":null},"shape":[1],"data_offsets":[0,4]}}', 4)],
  ['field', 'no dtype', () => build('{"x":{"shape":[1],"data_offsets":[0,4]}}', 4)],
  ['field', 'no shape', () => build('{"x":{"dtype":"F32","data_offsets":[0,4]}}', 4)],
  ['field', 'no offsets', () => build('{"x":{"dtype":"F32","shape":[1]}}', 4)],
  ['field', 'one offset', () => build(`{"x":${entry('F32', '[1]', '[0]')}}`, 4)],
  ['field', 'three offsets', () => build(`{"x":${entry('F32', '[1]', '[0,4,8]')}}`, 4)],
  ['field', 'a dimension as a text', () => build(`{"x":${entry('F32', '["1"]', '[0,4]')}}`, 4)],
  ['field', 'an entry as a number', () => build('{"x":1}')],
  ['metadata', '__metadata__ as an array', () => build('{"__metadata__":[]}')],
  ['metadata', 'a number in the metadata', () => build('{"__metadata__":{"a":1}}')],
  ['dtype', 'an unknown dtype', () => build(`{"x":${entry('F128', '[1]', '[0,16]')}}`, 16)],
  ['dtype', 'a dtype in lower case', () => build(`{"x":${entry('f32', '[1]', '[0,4]')}}`, 4)],
  ['dtype', 'a dtype called __proto__', () => build(`{"x":${entry('__proto__', '[1]', '[0,4]')}}`, 4)],
  ['integer', 'a negative dimension', () => build(`{"x":${entry('F32', '[-1]', '[0,4]')}}`, 4)],
  ['integer', 'a negative offset', () => build(`{"x":${entry('F32', '[1]', '[-4,0]')}}`, 4)],
  ['integer', '1.0', () => build(`{"x":${entry('F32', '[1.0]', '[0,4]')}}`, 4)],
  ['integer', '1e0', () => build(`{"x":${entry('F32', '[1e0]', '[0,4]')}}`, 4)],
  ['integer', '-0', () => build(`{"x":${entry('F32', '[1]', '[-0,4]')}}`, 4)],
  ['integer', 'a number of 30 digits', () => build(`{"x":${entry('F32', `[${huge}]`, '[0,4]')}}`, 4)],
  ['unsafeInteger', '2^53', () => build(`{"x":${entry('F32', `[0,${wide}]`, '[0,0]')}}`)],
  ['overflow', 'a shape beyond 64 bits', () => build(`{"x":${entry('F32', '[4294967296,4294967296]', '[0,4]')}}`, 4)],
  ['overflow', 'a shape that is 4 bytes modulo 2^64', () => build(`{"x":${entry('F32', '[4294967297,4294967295,2]', '[0,4]')}}`, 4)],
  ['partialByte', 'three 4-bit numbers', () => build(`{"x":${entry('F4', '[3]', '[0,2]')}}`, 2)],
  ['size', 'more bytes than the shape has', () => build(`{"x":${entry('F32', '[1]', '[0,8]')}}`, 8)],
  ['size', 'a matrix with the bytes of a vector', () => build(`{"x":${entry('F32', '[2,2]', '[0,8]')}}`, 8)],
  ['reversed', 'an end before its begin', () => build(`{"x":${f32},"y":${entry('U8', '[1]', '[4,3]')}}`, 4)],
  ['hole', 'a first tensor that does not begin at 0', () => build(`{"x":${entry('F32', '[1]', '[4,8]')}}`, 8)],
  ['hole', 'a gap between two tensors', () => build(`{"x":${f32},"y":${entry('F32', '[1]', '[8,12]')}}`, 12)],
  ['overlap', 'two tensors in the same bytes', () => build(`{"x":${f32},"y":${f32}}`, 4)],
  ['overlap', 'two tensors that share two bytes', () => build(`{"x":${f32},"y":${entry('F32', '[1]', '[2,6]')}}`, 6)],
  ['missingBytes', 'a download that stopped', () => build(`{"x":${f32}}`, 3)],
  ['extraBytes', 'a byte after the last tensor', () => build(`{"x":${f32}}`, 5)],
  ['extraBytes', 'bytes and no tensor', () => build('{}', 1)],
  [
    'lfsPointer',
    'a Git LFS pointer',
    () => place(Buffer.from(`version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 123\n`)),
  ],
  ['pickle', 'a pickle of protocol 2', () => place(Buffer.from('\x80\x02}q\0(X\x01\0\0\0aK\x01u.', 'latin1'))],
];

describe('refused by rule', () => {
  for (const [rule, what, make] of counterexamples)
    test(`${rule}: ${what}`, () => {
      assert.throws(
        () => readSafetensors(make()),
        (error: unknown) =>
          error instanceof SafetensorsError && error.rule === rule && !error.message.includes('\n') && error.message.length < 500,
      );
    });

  test('every rule has its counterexample', () => {
    const source = readFileSync(new URL('../../native-models/weights/safetensors.ts', import.meta.url), 'utf8');
    const rules = [
      ...source.slice(source.indexOf('export type SafetensorsRule'), source.indexOf('/** A file that is not')).matchAll(/'(\w+)'/g),
    ].map(m => m[1]!);
    assert.ok(rules.length > 20);
    assert.deepEqual(
      rules.filter(rule => !counterexamples.some(([r]) => r === rule)),
      [],
    );
  });

  test('headerTooLarge: the limit of adapters is lower', () => {
    const path = build('{}', 0, BigInt(limits.adapterHeader) + 1n);
    assert.throws(() => readSafetensors(path, limits.adapterHeader), { rule: 'headerTooLarge' });
    assert.throws(() => readSafetensors(path), { rule: 'headerOutside' });
  });

  test('headerTooLarge: nothing is allocated for a claim', () => {
    const path = build('{}', 0, 99_999_999n);
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 20; i++) assert.throws(() => readSafetensors(path), { rule: 'headerOutside' });
    assert.ok(process.memoryUsage().arrayBuffers - before < 2 ** 20);
  });

  test('a pipe does not block', { skip: process.platform === 'win32' && 'Windows has no mkfifo' }, () => {
    const path = join(folder, 'pipe');
    execFileSync('mkfifo', [path]);
    assert.throws(() => readSafetensors(path), { rule: 'notAFile' });
  });

  test('names from the file are escaped in the sentence', () => {
    assert.throws(
      () => readSafetensors(build('{"\\u001b[31m\\u202egnp":1}')),
      (error: Error) => error.message.includes('\\u001b[31m\\u202egnp') && !error.message.includes('\u001b'),
    );
    assert.equal(printable('a\u0007\u009b\u2067\ud800b'.repeat(50), 6), 'a\\u0007\\u009b\\u2067\\ud800b…');
  });
});

describe('read', () => {
  test('trailing white space, any order of members, empty tensors, scalars and odd names', () => {
    const path = build(
      `{"b":${entry('U8', '[2]', '[4,6]')},"__proto__":${entry('F32', '[]', '[0,4]')},"constructor":${entry('F32', '[0,3]', '[4,4]')},"e":${entry('F4', '[4]', '[6,8]')},"__metadata__":{"a":"\\u00fc","__proto__":"x"}} \n\t\r  `,
      Uint8Array.of(0, 0, 128, 63, 7, 8, 1, 2),
    );
    const file = readSafetensors(path);
    assert.deepEqual([...file.tensors.keys()], ['__proto__', 'constructor', 'b', 'e']);
    assert.deepEqual(readTensor(file.tensors.get('__proto__')!), Float32Array.of(1));
    assert.equal(readTensor(file.tensors.get('constructor')!).length, 0);
    assert.deepEqual([...readIntegers(file.tensors.get('b')!)], [7n, 8n]);
    assert.deepEqual([...readBytes(file.tensors.get('e')!)], [1, 2]);
    assert.deepEqual([...file.metadata], [['a', 'ü'], ['__proto__', 'x']]); // prettier-ignore
    assert.equal(Object.getPrototypeOf({}), Object.prototype);
  });

  test('127 levels, null metadata and unknown fields are passed over', () => {
    const file = readSafetensors(build(`{"__metadata__":null,"x":{"y":${'['.repeat(125)}${']'.repeat(125)},${f32.slice(1)}}`, 4));
    assert.equal(file.tensors.size, 1);
  });

  test('float16: all 65,536 values', () => {
    const path = one('F16', [65536], new Uint8Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer));
    const got = readTensor(readSafetensors(path).tensors.get('x')!);
    const want = Float32Array.from(new Float16Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer));
    for (let i = 0; i < 65536; i++) assert.ok(Object.is(got[i], want[i]), `${i}: ${got[i]!} instead of ${want[i]!}`);
  });

  test('bfloat16 is the upper half of a float32; pieces of 4 MiB are joined', () => {
    const n = 3 * 2 ** 21 + 5;
    const halves = Uint16Array.from({ length: n }, (_, i) => (i * 2654435761) >>> 16);
    const got = readTensor(readSafetensors(one('BF16', [n], new Uint8Array(halves.buffer))).tensors.get('x')!);
    const words = new Uint32Array(got.buffer);
    assert.equal(got.length, n);
    for (let i = 0; i < n; i++) if (words[i] !== halves[i]! * 65536) assert.fail(`value ${i}`);
  });

  test('float64 is rounded, float32 as it is', () => {
    const doubles = Float64Array.of(0.1, -1e300, NaN);
    assert.deepEqual(
      readTensor(readSafetensors(one('F64', [3], new Uint8Array(doubles.buffer))).tensors.get('x')!),
      Float32Array.from(doubles),
    );
    const singles = Float32Array.of(0.1, -0, Infinity);
    assert.deepEqual(readTensor(readSafetensors(one('F32', [3], new Uint8Array(singles.buffer))).tensors.get('x')!), singles);
  });

  test('integers of every kind', () => {
    const rows = [
      ['I8', Int8Array.of(-1, 5), [-1n, 5n]],
      ['U8', Uint8Array.of(255, 5), [255n, 5n]],
      ['BOOL', Uint8Array.of(0, 1), [0n, 1n]],
      ['I16', Int16Array.of(-2, 5), [-2n, 5n]],
      ['U16', Uint16Array.of(65535, 5), [65535n, 5n]],
      ['I32', Int32Array.of(-3, 5), [-3n, 5n]],
      ['U32', Uint32Array.of(2 ** 32 - 1, 5), [2n ** 32n - 1n, 5n]],
      ['I64', BigInt64Array.of(-(2n ** 63n), 5n), [-(2n ** 63n), 5n]],
      ['U64', BigUint64Array.of(2n ** 63n - 1n, 5n), [2n ** 63n - 1n, 5n]],
    ] as const;
    for (const [dtype, data, want] of rows)
      assert.deepEqual([...readIntegers(readSafetensors(one(dtype, [2], new Uint8Array(data.buffer))).tensors.get('x')!)], want, dtype);
    const over = readSafetensors(one('U64', [1], new Uint8Array(BigUint64Array.of(2n ** 63n).buffer))).tensors.get('x')!;
    assert.throws(() => readIntegers(over), /2\^63/);
  });

  test('dtypes that cannot be computed with are refused with what to do', () => {
    const at = (dtype: string, bytes: number) => readSafetensors(one(dtype, [8], new Uint8Array(bytes))).tensors.get('x')!;
    for (const dtype of ['F8_E4M3', 'F8_E5M2', 'F8_E8M0'])
      assert.throws(() => readTensor(at(dtype, 8)), new RegExp(`is ${dtype};.*get the bfloat16 or float16 version`));
    assert.throws(() => readTensor(at('F4', 4)), /get the bfloat16/);
    assert.throws(() => readTensor(at('I32', 32)), /is I32; F32, F16, BF16 and F64 are read here$/);
    assert.throws(() => readIntegers(at('F32', 32)), /is F32; integers are read here$/);
  });

  test('not a number is found wherever it stands', () => {
    const find = (dtype: string, width: number, bits: readonly number[]) => {
      for (const at of [0, 5, 2 ** 21 + 1]) {
        const data = Buffer.alloc((2 ** 21 + 2) * width, 0x3c);
        const tensor = () => readSafetensors(one(dtype, [2 ** 21 + 2], data)).tensors.get('x')!;
        assert.ok(isFiniteTensor(tensor()), dtype);
        data.set(bits, at * width);
        assert.ok(!isFiniteTensor(tensor()), `${dtype} ${at}`);
      }
    };
    find('F16', 2, [0x00, 0x7c]);
    find('BF16', 2, [0x80, 0xff]);
    find('F32', 4, [0, 0, 0xc0, 0x7f]);
    find('F64', 8, [0, 0, 0, 0, 0, 0, 0xf0, 0x7f]);
  });

  test('a file that changed after its header was read', () => {
    const path = one('F32', [1], new Uint8Array(4));
    const first = readSafetensors(path).tensors.get('x')!;
    truncateSync(path, 70);
    assert.throws(() => readTensor(first), /changed after its header was read/);
    const other = one('F32', [1], new Uint8Array(4));
    const second = readSafetensors(path === other ? path : other).tensors.get('x')!;
    renameSync(one('F32', [1], new Uint8Array(4)), other); // same size, another file
    assert.throws(() => readTensor(second), /changed after its header was read/);
  });

  test('links are followed to the file itself', { skip: process.platform === 'win32' && 'links need rights on Windows' }, () => {
    const path = one('F32', [1], new Uint8Array(4));
    symlinkSync(path, join(folder, 'link.safetensors'));
    assert.equal(readSafetensors(join(folder, 'link.safetensors')).tensors.get('x')!.file, readSafetensors(path).file);
  });
});

describe('pickles by content', () => {
  const zip = (name: string): Buffer =>
    Buffer.concat([
      Buffer.from('PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0', 'latin1'),
      Buffer.from([name.length, 0, 0, 0]),
      Buffer.from(name),
      Buffer.alloc(600),
      Buffer.from('PK\x01\x02archive/version'),
    ]);
  const tar = (name: string): Buffer => {
    const block = Buffer.alloc(1024);
    block.write(name);
    block.write('ustar', 257);
    return block;
  };
  const pickles: readonly (readonly [string, Buffer])[] = [
    ['protocol 2, as torch.save before 1.6', Buffer.from('\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.', 'latin1')],
    ['protocol 4', Buffer.from('\x80\x04\x95\x0a\0\0\0\0\0\0\0}\x94\x8c\x01a\x94K\x01s.', 'latin1')],
    ['protocol 5', Buffer.from('\x80\x05N.', 'latin1')],
    ['protocol 0 that runs a command', Buffer.from("cos\nsystem\n(S'echo'\ntR.")],
    ['protocol 0, a dict', Buffer.from("(dp0\nS'a'\np1\nI1\ns.")],
    ['protocol 1, a dict', Buffer.from('}q\0(U\x01aq\x01K\x01u.', 'latin1')],
    ['zip, as torch.save since 1.6', zip('archive/data.pkl')],
    ['tar, as torch.save before 0.1.10', tar('sys_info')],
    ['tar without the ustar mark', Buffer.concat([Buffer.from('storages\0'), Buffer.alloc(1015)])],
  ];
  for (const [what, bytes] of pickles)
    test(what, () => {
      const path = place(bytes);
      assert.ok(looksLikePickle(path));
      assert.throws(() => readSafetensors(path), {
        rule: 'pickle',
        message: /can run code when it is opened.*get the \.safetensors version/,
      });
    });

  test('what is none', () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from('{"a":1}'), zip('a/readme.txt'), Buffer.from('(a) text'), Buffer.from([0x80])])
      assert.ok(!looksLikePickle(place(bytes)));
    // 640 bytes of header: the file begins with 80 02, as a pickle does.
    const text = `{"x":${f32}}`.padEnd(640);
    assert.ok(!looksLikePickle(build(text, 4)));
    assert.equal(readSafetensors(build(text, 4)).tensors.size, 1);
  });
});

describe('written', () => {
  const tensors = [
    { name: 'b', shape: [2], data: Float32Array.of(1, 2) },
    { name: '7', shape: [1], data: Float32Array.of(3) },
    { name: 'é', shape: [2, 1], data: Uint8Array.of(4, 5) },
    { name: 'long', shape: [1], data: BigInt64Array.of(6n) },
    { name: 'half', shape: [2], data: Uint16Array.of(0x3c00, 0x4000), dtype: 'F16' as const },
    { name: '__proto__', shape: [], data: Float32Array.of(8) },
  ];

  test('and read again, in one order, aligned', () => {
    const [a, b] = [join(folder, 'a.safetensors'), join(folder, 'b.safetensors')];
    writeSafetensors(a, tensors, { z: '"\n\u2028', a: '' });
    writeSafetensors(b, tensors.toReversed(), { a: '', z: '"\n\u2028' });
    assert.deepEqual(readFileSync(a), readFileSync(b));
    const file = readSafetensors(a);
    assert.deepEqual([...file.tensors.keys()], ['long', '7', '__proto__', 'b', 'half', 'é']);
    assert.deepEqual(Object.fromEntries(file.metadata), { a: '', z: '"\n\u2028' });
    assert.deepEqual(readTensor(file.tensors.get('half')!), Float32Array.of(1, 2));
    assert.deepEqual(readTensor(file.tensors.get('b')!), Float32Array.of(1, 2));
    assert.deepEqual([...readIntegers(file.tensors.get('é')!)], [4n, 5n]);
    for (const tensor of file.tensors.values()) if (tensor.dtype === 'I64' || tensor.dtype === 'F32') assert.equal(tensor.offset % 4, 0);
    assert.equal(Number(readFileSync(a).readBigUInt64LE()) % 8, 0);
    writeSafetensors(a, []);
    assert.equal(readSafetensors(a).tensors.size, 0);
  });

  test('a link laid where the part file goes is not followed', () => {
    const path = join(folder, `${count++}.safetensors`),
      bystander = join(folder, `${count++}.txt`);
    writeFileSync(bystander, 'precious');
    symlinkSync(bystander, `${path}.part`);
    writeSafetensors(path, [{ name: 'x', shape: [1], data: Float32Array.of(1) }]);
    assert.equal(readFileSync(bystander, 'utf8'), 'precious');
    assert.deepEqual([...readTensor(readSafetensors(path).tensors.get('x')!)], [1]);
  });

  test('a view into a larger array is written alone', () => {
    const path = join(folder, 'view.safetensors');
    writeSafetensors(path, [{ name: 'x', shape: [2], data: Float32Array.of(0, 1, 2, 3).subarray(1, 3) }]);
    assert.deepEqual(readTensor(readSafetensors(path).tensors.get('x')!), Float32Array.of(1, 2));
  });

  test('what does not fit is refused before anything is written', () => {
    const path = join(folder, 'refused.safetensors');
    const data = Float32Array.of(1, 2);
    assert.throws(() => writeSafetensors(path, [{ name: 'x', shape: [3], data }]), /"x" is F32 \[3\], 12 bytes, but 8 were given/);
    assert.throws(() => writeSafetensors(path, [{ name: 'x', shape: [2], data }, { name: 'x', shape: [2], data }]), /the name "x" is taken/); // prettier-ignore
    assert.throws(() => writeSafetensors(path, [{ name: '__metadata__', shape: [2], data }]), /is taken/);
    assert.throws(() => writeSafetensors(path, [{ name: '\ud800', shape: [2], data }]), /lone surrogate/);
    assert.throws(() => writeSafetensors(path, [], { a: '\ud800' }), /lone surrogate/);
    assert.ok(!existsSync(path) && !existsSync(`${path}.part`));
  });

  /** Runs a writer of 8 MiB in a process of its own, under a shell's limits; returns what it printed. */
  const writeUnder = (shell: string, path: string): string => {
    const program = `import { writeSafetensors } from ${JSON.stringify(new URL('../../native-models/weights/safetensors.ts', import.meta.url).href)};
      try { writeSafetensors(${JSON.stringify(path)}, [{ name: 'x', shape: [2 ** 21], data: new Float32Array(2 ** 21) }]); console.log('written'); } catch (error) { console.log(error.code); }`;
    return spawnSync('bash', ['-c', `${shell} exec "$0" --input-type=module -e "$1"`, process.execPath, program], {
      encoding: 'utf8',
    }).stdout.trim();
  };

  test(
    'a disk that takes no more leaves nothing half-written and the older file whole',
    { skip: process.platform === 'win32' && 'needs bash' },
    () => {
      const inside = join(folder, 'limited');
      mkdirSync(inside);
      const path = join(inside, 'x.safetensors');
      writeSafetensors(path, tensors);
      const before = readFileSync(path);
      assert.equal(writeUnder('trap "" XFSZ; ulimit -f 1024;', path), 'EFBIG');
      assert.deepEqual(readdirSync(inside), ['x.safetensors']);
      assert.deepEqual(readFileSync(path), before);
      assert.equal(writeUnder('', path), 'written');
      assert.equal(readSafetensors(path).size > 2 ** 23, true);
    },
  );

  test('a full disk (tmpfs)', t => {
    const mount = join(folder, 'tmpfs');
    mkdirSync(mount);
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', mount]).status !== 0) return t.skip('mounting a tmpfs needs root');
    try {
      assert.equal(writeUnder('', join(mount, 'x.safetensors')), 'ENOSPC');
      assert.deepEqual(readdirSync(mount), []);
    } finally {
      execFileSync('umount', [mount]);
    }
  });

  test('a rename that fails leaves no part file', () => {
    const path = join(folder, 'taken.safetensors');
    mkdirSync(path);
    assert.throws(() => writeSafetensors(path, tensors), { code: process.platform === 'win32' ? 'EPERM' : 'EISDIR' });
    assert.ok(!existsSync(`${path}.part`));
  });

  test('a part file that a killed process left is replaced', () => {
    const path = join(folder, 'again.safetensors');
    writeFileSync(`${path}.part`, 'x'.repeat(10_000));
    writeSafetensors(path, tensors);
    assert.equal(readSafetensors(path).tensors.size, tensors.length);
    assert.ok(!existsSync(`${path}.part`));
    appendFileSync(path, 'x');
    assert.throws(() => readSafetensors(path), { rule: 'extraBytes' });
  });
});
