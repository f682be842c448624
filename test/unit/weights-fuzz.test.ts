/**
 * @file The safetensors reader beside PyPI's safetensors: 10,000 damaged headers and adapters are refused or read exactly as it reads them, 2,000 sound files
 * are accepted by both. SEED=number chooses other cases; PYTHON=path the interpreter, else one with the package is looked for, else one is installed.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readAdapter } from '../../native-models/weights/lora.ts';
import {
  readBytes,
  readSafetensors,
  SafetensorsError,
  writeSafetensors,
  type SafetensorsRule,
} from '../../native-models/weights/safetensors.ts';

/** Where we refuse what the reference reads, on purpose. Any other refusal must be the reference's too. */
const stricter: ReadonlySet<SafetensorsRule> = new Set<SafetensorsRule>([
  'leadingSpace', // the format's text demands "{" first
  'duplicateKey', // the reference keeps the last of two
  'arrayForm', // an entry as an array, a dtype as {"F32":null}: accidents of the reference's JSON library
  'unsafeInteger', // sizes of empty tensors beyond 2^53 - 1
  'nameTooLong',
  'rankTooLarge',
]);

const seed = Number(process.env['SEED'] ?? 1);
/** mulberry32 */
let state = seed >>> 0;
function random(): number {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const below = (n: number): number => Math.floor(random() * n);
const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
const chance = (p: number): boolean => random() < p;

const dtypeBits: Readonly<Record<string, number>> = {
  BOOL: 8, F4: 4, F6_E2M3: 6, F6_E3M2: 6, U8: 8, I8: 8, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8,
  I16: 16, U16: 16, F16: 16, BF16: 16, I32: 32, U32: 32, F32: 32, C64: 64, F64: 64, I64: 64, U64: 64,
}; // prettier-ignore
const dtypes = Object.keys(dtypeBits);

/** A file before it is put together: each member of the header as JSON text, so that every part can be damaged by itself. */
interface Draft {
  entries: { key: string; dtype: string; shape: string; offsets: string; extra: string[] }[];
  metadata: string | undefined;
  data: Buffer;
}

const oddNames = ['', 'a', '7', '__proto__', 'constructor', 'toString', 'ü', '名前', '👩‍🚀', 'a b', 'a"b', 'a\\b', 'a/b', '\u0001', '\u007f', '\u2028', '﻿x', 'é', '__metadata', '\ud800\udc00', '\u202egnp']; // prettier-ignore

function name(taken: Set<string>): string {
  for (;;) {
    const text = chance(0.2)
      ? pick(oddNames)
      : `${pick(['transformer_blocks', 'encoder', 'x'])}.${below(50)}.${pick(['weight', 'bias', 'lora_A.weight'])}`;
    if (!taken.has(text)) {
      taken.add(text);
      return text;
    }
  }
}

function shapeFor(dtype: string): number[] {
  const rank = pick([0, 1, 1, 2, 2, 3, 4, 8]);
  const shape = Array.from({ length: rank }, () => pick([0, 1, 1, 2, 3, 4, 5]));
  const bits = shape.reduce((a, b) => a * b, dtypeBits[dtype]!);
  return bits % 8 === 0 && bits < 2 ** 15 ? shape : [...shape.slice(0, 2), 4];
}

const bytes = (n: number): Buffer => Buffer.from(Uint8Array.from({ length: n }, () => below(256)));
const metadataText = (): string =>
  JSON.stringify(Object.fromEntries(Array.from({ length: below(4) }, (_, i) => [`k${i}${pick(oddNames)}`, pick(oddNames)])));

function draft(): Draft {
  const taken = new Set<string>();
  let at = 0;
  const entries = Array.from({ length: pick([0, 1, 2, 3, 5, 9]) }, () => {
    const dtype = pick(dtypes);
    const shape = shapeFor(dtype);
    const length = shape.reduce((a, b) => a * b, dtypeBits[dtype]!) / 8;
    const offsets = JSON.stringify([at, (at += length)]);
    return { key: JSON.stringify(name(taken)), dtype: JSON.stringify(dtype), shape: JSON.stringify(shape), offsets, extra: [] };
  });
  for (let i = entries.length - 1; i > 0; i--) {
    const j = below(i + 1);
    [entries[i], entries[j]] = [entries[j]!, entries[i]!]; // the header's order need not be the order of the bytes
  }
  return { entries, metadata: chance(0.4) ? metadataText() : undefined, data: bytes(at) };
}

/** LoRA pairs, some with alpha, some with declared alphas: sound as adapters. */
function adapterDraft(): Draft {
  const dtype = pick(['F32', 'F16', 'BF16']);
  const size = dtypeBits[dtype]! / 8;
  const [a, b] = pick([['lora_A', 'lora_B'], ['lora_A.default', 'lora_B.default'], ['lora.down', 'lora.up'], ['lora_down', 'lora_up']]); // prettier-ignore
  const prefix = pick(['', 'transformer.', 'base_model.model.']);
  const rank = pick([1, 2, 4]);
  let at = 0;
  const entries: Draft['entries'] = [];
  const add = (key: string, kind: string, shape: number[], width: number): void => {
    const offsets = JSON.stringify([at, (at += shape.reduce((x, y) => x * y, width))]);
    entries.push({ key: JSON.stringify(key), dtype: JSON.stringify(kind), shape: JSON.stringify(shape), offsets, extra: [] });
  };
  for (let i = 0; i < 1 + below(3); i++) {
    const module = `${prefix}transformer_blocks.${i}.attn1.to_${pick(['q', 'k', 'v', 'out.0'])}`;
    const kernel = chance(0.2);
    add(`${module}.${a}.weight`, dtype, kernel ? [rank, 3, 2, 2] : [rank, 6], size);
    add(`${module}.${b}.weight`, dtype, kernel ? [5, rank, 1, 1] : [5, rank], size);
    if (chance(0.3)) add(`${module}.alpha`, 'F32', [], 4);
  }
  const metadata = pick([
    undefined,
    '{"lora_alpha":"8"}',
    `{"lora_adapter_metadata":${JSON.stringify(JSON.stringify({ 'transformer.lora_alpha': 4, 'transformer.r': rank }))}}`,
  ]);
  return { entries, metadata, data: Buffer.alloc(at, 0x3c) }; // 0x3c3c is finite in every dtype
}

const entryText = (e: Draft['entries'][number]): string => {
  const fields = [`"dtype":${e.dtype}`, `"shape":${e.shape}`, `"data_offsets":${e.offsets}`].filter(field => !field.endsWith(':'));
  return `${e.key}:{${[...fields, ...e.extra].join(',')}}`;
};
const headerText = (d: Draft): string =>
  `{${[...(d.metadata === undefined ? [] : [`"__metadata__":${d.metadata}`]), ...d.entries.map(entryText)].join(',')}}`;

function assemble(header: Buffer, data: Buffer): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.byteLength));
  return Buffer.concat([length, header, data]);
}
const padded = (text: string): Buffer => Buffer.from(text + (chance(0.5) ? ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8) : pick(['', ' ', '\n', '\t\r\n  ']))); // prettier-ignore

const numbers = ['-1', '-0', '0', '1', '4', '1.0', '0.0', '4e0', '1e2', '1E400', '-1e400', '0e999', '01', '+1', '0x10', '.5', '5.', '1e', '2147483648', '4294967296', '9007199254740991', '9007199254740992', '9223372036854775807', '9223372036854775808', '18446744073709551615', '18446744073709551616', '1' + '0'.repeat(40), '"4"', 'null', 'true', '[4]', '{}', 'NaN', 'Infinity']; // prettier-ignore
const values = [...numbers, '""', '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\\x41"', '"\\', '"\u0001"', '{"a":1,"a":2}', '{"a":1}', '[1,]', '{"a":1,}', '[[[[]]]]', `${'['.repeat(120)}${']'.repeat(120)}`, `${'['.repeat(125)}${']'.repeat(125)}`, `${'['.repeat(126)}${']'.repeat(126)}`, `${'['.repeat(300)}${']'.repeat(300)}`, '1.7976931348623157e308', '1e-999', '-', 'nul', 'tru e', '\'a\'', '/**/1']; // prettier-ignore
const dtypeTexts = ['"f32"', '"F32 "', '"F4"', '"F6"', '"F6_E2M3"', '"F8_E8M0"', '"F8_E4M3FN"', '"FP16"', '"C128"', '"BF16"', '"\\u0046\\u0033\\u0032"', '"F32\\u0000"', '""', '{"F32":null}', '{"F32":{}}', '{"F32":1}', '["F32"]', '17', 'null', '']; // prettier-ignore

/** Replaces one JSON number in a text. */
const renumber = (text: string): string => {
  const found = [...text.matchAll(/-?\d+/g)];
  if (found.length === 0) return text.replace(']', `${pick(numbers)}]`);
  const { index, 0: old } = pick(found);
  const value = chance(0.4) ? String(Number(old) + pick([-8, -4, -1, 1, 2, 4, 8])) : pick(numbers);
  return text.slice(0, index) + value + text.slice(index + old.length);
};

/** Changes to the draft, by name; the file is put together soundly afterwards. */
const draftChanges: Readonly<Record<string, (d: Draft) => void>> = {
  number(d) {
    const e = pick(d.entries);
    if (chance(0.5)) e.shape = renumber(e.shape);
    else e.offsets = renumber(e.offsets);
  },
  dtype(d) {
    pick(d.entries).dtype = pick(dtypeTexts);
  },
  otherDtype(d) {
    pick(d.entries).dtype = JSON.stringify(pick(dtypes));
  },
  duplicateEntry(d) {
    d.entries.splice(below(d.entries.length + 1), 0, { ...pick(d.entries) });
  },
  duplicateName(d) {
    pick(d.entries).key = pick(d.entries).key;
  },
  duplicateField(d) {
    const e = pick(d.entries);
    e.extra.push(pick([`"dtype":${e.dtype}`, `"shape":${e.shape}`, `"data_offsets":${e.offsets}`, '"x":1,"x":1', `"${pick(['dtyp\\u0065', 'sh\\u0061pe'])}":${e.dtype}`])); // prettier-ignore
  },
  unknownField(d) {
    pick(d.entries).extra.push(`${JSON.stringify(pick(oddNames))}:${pick(values)}`);
  },
  missingField(d) {
    pick(d.entries)[pick(['dtype', 'shape', 'offsets'] as const)] = '';
  },
  metadata(d) {
    d.metadata = pick(['null', '[]', '{}', '""', '1', '{"a":null}', '{"a":1}', '{"a":["b"]}', '{"a":{}}', '{"a":"b","a":"c"}', '{"a":"\\ud800"}', '{"":""}', '{"__proto__":"x"}', metadataText()]); // prettier-ignore
  },
  secondMetadata(d) {
    const e = pick(d.entries);
    e.key = chance(0.5) ? '"__metadata__"' : '"__metadat\\u0061__"';
  },
  oddName(d) {
    pick(d.entries).key = pick([JSON.stringify(pick(oddNames)), '"\\u0061\\n"', '"\\ud83d\\ude00"', '"\\ud83d"', '"a', "'a'", 'a', '1', 'null', `"${'n'.repeat(pick([511, 512, 513, 600]))}"`, `"${'é'.repeat(pick([256, 257]))}"`]); // prettier-ignore
  },
  swapOffsets(d) {
    const [a, b] = [pick(d.entries), pick(d.entries)];
    [a.offsets, b.offsets] = [b.offsets, a.offsets];
  },
  sharedOffsets(d) {
    pick(d.entries).offsets = pick(d.entries).offsets;
  },
  reversedOffsets(d) {
    const e = pick(d.entries);
    e.offsets = e.offsets.replace(/\[(\d+),(\d+)\]/, '[$2,$1]');
  },
  offsetsForm(d) {
    pick(d.entries).offsets = pick(['[]', '[0]', '[0,4,8]', '[0,0,0]', '{"0":0,"1":4}', 'null', '"[0,4]"', '[[0,4]]', '[null,null]', '0']);
  },
  shapeForm(d) {
    pick(d.entries).shape = pick(['[]', '[0]', '[1,1,1,1,1,1,1,1]', '[1,1,1,1,1,1,1,1,1]', '[9007199254740992,0]', '[0,9007199254740992]', '[1099511627776,1099511627776,0]', '[0,1099511627776,1099511627776]', '[1099511627776,1099511627776]', '[4294967296,4294967296]', '[2305843009213693952]', '[2305843009213693952,0]', '[18446744073709551615,0]', '[18446744073709551616,0]', 'null', '{}', '"[1]"', '[[1]]', '1']); // prettier-ignore
  },
  longShape(d) {
    const e = pick(d.entries);
    const sizes = e.shape.slice(1, -1).split(',').filter(Boolean);
    for (const rank = pick([8, 9, 10]); sizes.length < rank;) sizes.push('1');
    e.shape = `[${sizes.join(',')}]`;
  },
  dropEntry(d) {
    d.entries.splice(below(d.entries.length), 1);
  },
  shorterData(d) {
    d.data = d.data.subarray(0, below(d.data.length + 1));
  },
  longerData(d) {
    d.data = Buffer.concat([d.data, bytes(pick([1, 3, 8, 64]))]);
  },
};

/** Changes to the header's text; the length is set to match afterwards. */
const textChanges: Readonly<Record<string, (header: string) => string>> = {
  space(h) {
    const at = pick([...h.matchAll(/[{}[\],:]/g)]).index + below(2);
    return h.slice(0, at) + pick([' ', '\n', '\t', '\r', '  \r\n', '\v', '\f', '\u00a0', '﻿', '\0', '\u2028']) + h.slice(at);
  },
  before: h => pick([' ', '\n', '﻿', '\0', '//\n', '[', '"']) + h,
  after: h => h + pick([' ', '\n\n', '\0', '{}', ',', '}', ']', 'x', '\u00a0', '//']),
  trailingComma: h => h.replace(/([\]}])(?!.*[\]}].*[\]}])/s, ',$1'),
  entryAsArray: h =>
    h.replace(/\{"dtype":([^,]*),"shape":(\[[^\]]*\]),"data_offsets":(\[[^\]]*\])\}/, pick(['[$1,$2,$3]', '[$1,$2]', '[$1,$2,$3,0]'])),
  wrapped: h => pick([`[${h}]`, `{"a":${h}}`, `"${h}"`, 'null', '[]', '""', '1', '', '{', '{}']),
  character(h) {
    const at = below(h.length);
    return h.slice(0, at) + String.fromCharCode(32 + below(95)) + h.slice(at + 1);
  },
  missing(h) {
    const at = below(h.length);
    return h.slice(0, at) + h.slice(at + 1 + below(3));
  },
  escaped(h) {
    const at = pick([...h.matchAll(/[a-zA-Z]/g), { index: 0 }]).index;
    return h.slice(0, at) + `\\u${h.charCodeAt(at).toString(16).padStart(4, '0')}` + h.slice(at + 1); // sound inside strings: means the same
  },
};

/** Changes to the finished bytes. */
const byteChanges: Readonly<Record<string, (file: Buffer) => Buffer>> = {
  flip(file) {
    const out = Buffer.from(file);
    for (let i = 0; i < 1 + below(4); i++) out[below(out.length)]! ^= 1 << below(8);
    return out;
  },
  flipHeader(file) {
    const out = Buffer.from(file);
    const n = Math.min(Number(file.readBigUInt64LE()), file.length - 8);
    out[8 + below(Math.max(1, n))]! ^= 1 << below(8);
    return out;
  },
  truncate: file => file.subarray(0, below(file.length)),
  append: file => Buffer.concat([file, bytes(1 + below(16))]),
  remove(file) {
    const at = below(file.length);
    return Buffer.concat([file.subarray(0, at), file.subarray(at + 1 + below(8))]);
  },
  insert(file) {
    const at = below(file.length);
    return Buffer.concat([file.subarray(0, at), bytes(1 + below(8)), file.subarray(at)]);
  },
  length(file) {
    const out = Buffer.from(file);
    const n = file.readBigUInt64LE();
    const near = n + BigInt(pick([-8, -2, -1, 1, 2, 8]));
    out.writeBigUInt64LE(pick([0n, 1n, 2n, near < 0n ? 0n : near, BigInt(file.length), BigInt(file.length) - 8n, 100_000_000n, 100_000_001n, 2n ** 31n, 2n ** 32n + n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n])); // prettier-ignore
    return out;
  },
  utf8(file) {
    const n = Number(file.readBigUInt64LE());
    const at = 8 + below(n);
    const bad = pick(['ff', 'c080', 'eda080', 'f4908080', 'e282', '80', 'c3', 'f09f9880', 'c3a9']);
    return assemble(Buffer.concat([file.subarray(8, at), Buffer.from(bad, 'hex'), file.subarray(at, 8 + n)]), file.subarray(8 + n));
  },
};

function damaged(adapter: boolean): { file: Buffer; how: string } {
  const d = adapter ? adapterDraft() : draft();
  const how: string[] = [];
  const kind = random();
  if (kind < 0.6 && d.entries.length > 0) {
    for (let i = 0; i < (chance(0.8) ? 1 : 2) && d.entries.length > 0; i++) {
      const key = pick(Object.keys(draftChanges));
      how.push(key);
      draftChanges[key]!(d);
    }
  }
  let header = headerText(d);
  if ((kind >= 0.6 && kind < 0.8) || chance(0.05)) {
    const key = pick(Object.keys(textChanges));
    how.push(key);
    header = textChanges[key]!(header);
  }
  let file = assemble(padded(header), d.data);
  if (kind >= 0.8 || how.length === 0 || chance(0.05)) {
    const key = pick(Object.keys(byteChanges));
    how.push(key);
    file = byteChanges[key]!(file);
  }
  return { file, how: how.join('+') };
}

/** An interpreter with safetensors and numpy: $PYTHON, what the PATH has, or a fresh environment filled by pip. A sentence where there is none. */
function findPython(folder: string): { python: string } | { none: string } {
  const has = (python: string): boolean => {
    try {
      execFileSync(python, ['-c', 'import numpy, safetensors'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  };
  const candidates = [process.env['PYTHON'], 'python3', 'python'].filter(p => p !== undefined);
  const found = candidates.find(has);
  if (found !== undefined) return { python: found };
  for (const python of candidates)
    try {
      execFileSync(python, ['-m', 'venv', join(folder, 'venv')], { stdio: 'ignore' });
      const own = join(folder, 'venv', process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
      execFileSync(own, ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', '--retries', '1', '--timeout', '15', 'safetensors==0.8.0', 'numpy'], { stdio: 'ignore' }); // prettier-ignore
      return { python: own };
    } catch {
      // no venv module, or no way to PyPI: the next candidate
    }
  return {
    none: "PyPI's safetensors could not be found or installed (python3 with the venv module and a way to pypi.org, or PYTHON=path)",
  };
}

type Verdict = { refused: string } | { metadata: Record<string, string>; tensors: Record<string, [string, number[], string]> };

test(`files read as PyPI's safetensors reads them (seed ${seed})`, { timeout: 600_000 }, t => {
  const folder = mkdtempSync(join(tmpdir(), 'weights-fuzz-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const found = findPython(folder);
  if ('none' in found) {
    t.skip(found.none);
    return;
  }

  const sound = Array.from({ length: 2000 }, () => ({ file: Buffer.alloc(0), how: 'sound' }));
  const cases = [...sound, ...Array.from({ length: 10_000 }, (_, i) => damaged(i % 3 === 0))];
  for (const [i, { file }] of cases.entries()) {
    const path = join(folder, `${i}.safetensors`);
    if (i >= 2000) writeFileSync(path, file);
    else if (i % 4 === 0) writeSafetensors(path, ownTensors(), { seed: String(i), text: pick(oddNames) });
    else {
      const d = i % 4 === 1 ? adapterDraft() : draft();
      writeFileSync(path, assemble(padded(headerText(d)), d.data));
    }
  }
  const lines = execFileSync(found.python, [join(import.meta.dirname, 'weights-judge.py'), folder, String(cases.length)], {
    maxBuffer: 2 ** 28,
  })
    .toString()
    .trimEnd()
    .split('\n');
  const { version } = JSON.parse(lines[0]!) as { version: string };

  const counts = { soundAccepted: 0, bothRefused: 0, bothRead: 0, adaptersRead: 0, adaptersRefused: 0 };
  const exceptions: Partial<Record<SafetensorsRule, number>> = {};
  const rules: Partial<Record<SafetensorsRule, number>> = {};
  for (const [i, { how }] of cases.entries()) {
    const path = join(folder, `${i}.safetensors`);
    const verdict = JSON.parse(lines[i + 1]!) as Verdict;
    const context = `case ${i} (${how}), reference: ${'refused' in verdict ? verdict.refused : 'reads it'}`;
    let ours: ReturnType<typeof readSafetensors> | SafetensorsError;
    try {
      ours = readSafetensors(path);
    } catch (error) {
      assert.ok(error instanceof SafetensorsError, `${context}; ours broke: ${String(error)}`);
      ours = error;
      rules[error.rule] = (rules[error.rule] ?? 0) + 1;
    }
    if ('refused' in verdict) {
      assert.ok(ours instanceof SafetensorsError, `${context}; ours reads it`);
      counts.bothRefused++;
    } else if (ours instanceof SafetensorsError) {
      assert.ok(stricter.has(ours.rule), `${context}; ours refused: ${ours.message}`);
      assert.ok(i >= 2000, context);
      exceptions[ours.rule] = (exceptions[ours.rule] ?? 0) + 1;
    } else {
      const read = [...ours.tensors].map(([key, tensor]) => [
        key,
        [tensor.dtype, tensor.shape, createHash('sha256').update(readBytes(tensor)).digest('hex')],
      ]);
      assert.deepEqual(new Map(read as [string, unknown][]), new Map(Object.entries(verdict.tensors)), context);
      assert.deepEqual(new Map(ours.metadata), new Map(Object.entries(verdict.metadata)), context);
      if (i < 2000) counts.soundAccepted++;
      else counts.bothRead++;
    }
    if (how === 'sound' ? i % 4 === 1 : (i - 2000) % 3 === 0) {
      try {
        readAdapter(path);
        counts.adaptersRead++;
        assert.ok(!(ours instanceof SafetensorsError), `${context}: an adapter was read from a file that is refused`);
      } catch (error) {
        counts.adaptersRefused++;
        assert.ok(
          error instanceof SafetensorsError || (error as Error).constructor === Error,
          `${context}; the adapter broke: ${String(error)}`,
        );
        assert.ok(how !== 'sound', `${context}; a sound adapter was refused: ${(error as Error).message}`);
      }
    }
  }
  t.diagnostic(`safetensors ${version}: ${JSON.stringify(counts)}`);
  t.diagnostic(`refused here only, by rule: ${JSON.stringify(exceptions)}`);
  t.diagnostic(`refused here, by rule: ${JSON.stringify(rules)}`);
  assert.equal(counts.soundAccepted, 2000);
  assert.ok(counts.bothRead > 500, 'too few damaged files that are still sound: the cases prove little');
  for (const rule of stricter) assert.ok((exceptions[rule] ?? 0) > 0, `no case came across the rule ${rule}`);
});

/** What our own writer writes. */
function ownTensors(): Parameters<typeof writeSafetensors>[1] {
  const taken = new Set<string>(['__metadata__']);
  return Array.from({ length: below(6) }, () => {
    const shape = Array.from({ length: below(4) }, () => below(5));
    const n = shape.reduce((a, b) => a * b, 1);
    const data = pick([
      new Float32Array(n),
      new Float64Array(n),
      new BigInt64Array(n),
      new Int32Array(n),
      new Uint8Array(n),
      new Uint16Array(n),
    ]);
    new Uint8Array(data.buffer).set(bytes(data.byteLength));
    return { name: name(taken), shape, data, ...(data instanceof Uint16Array && { dtype: pick(['F16', 'BF16', 'U16'] as const) }) };
  });
}
