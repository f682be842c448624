/** @file SentencePiece against what Google's library made of 5,000 hostile strings with five models (sentencepiece/make.py), and T5's padding around it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Generator } from '../../native-models/schedulers/random.ts';
import { openSentencePiece } from '../../native-models/tokenizers/sentencepiece.ts';
import { t5Tokenize } from '../../native-models/tokenizers/t5.ts';

const read = (name: string): Buffer => gunzipSync(readFileSync(new URL(`sentencepiece/${name}.gz`, import.meta.url)));
const strings = JSON.parse(read('strings.json').toString()) as string[];
const plain = openSentencePiece(read('plain.model'));

for (const name of ['plain', 'bytes', 'identity', 'suffix', 'unescaped']) {
  test(`${name}: the ids of 5,000 hostile strings are those of Google's library`, () => {
    const tokenizer = openSentencePiece(read(`${name}.model`));
    const recorded = read(`${name}.ids`);
    let at = 0;
    const next = (): number => recorded.readUInt16LE((at += 2) - 2);
    const wrong: string[] = [];
    for (const text of strings) {
      const wanted = Array.from({ length: next() }, next);
      const ids = tokenizer.encode(text);
      if (ids.join() !== wanted.join()) wrong.push(JSON.stringify(text));
    }
    assert.equal(strings.length, 5000);
    assert.equal(at, recorded.length);
    assert.deepEqual(wrong, []);
  });
}

test('a text forms no control piece', () => {
  for (const name of ['plain', 'bytes']) {
    const tokenizer = openSentencePiece(read(`${name}.model`));
    for (const text of ['</s>', '<pad>', '<unk>', 'a </s> b', '<ctl>', '<0x41>', '<extra_id_0>']) {
      for (const { id, piece } of tokenizer.segment(text)) assert.ok(id > 1 && (id !== 2 || piece !== '<unk>'), `${text}: ${piece}`);
    }
  }
});

test('pieces say where they begin in the text', () => {
  const text = '  naïve 🐼🐼  robot ½';
  const starts = plain.segment(text).map(({ piece, start }) => [piece, start]);
  assert.deepEqual(starts.slice(0, 1), [['▁naïve', 2]]);
  assert.equal(starts.find(([piece]) => piece === '▁robot')?.[1], text.indexOf('  robot')); // two spaces became one: the first
  assert.equal(text.slice(Number(starts.at(-1)![1])), ' ½');
});

test('T5: end of sentence, padding, and what was cut', () => {
  assert.deepEqual(t5Tokenize(plain, 'a toy robot dances on the beach', 12), {
    ids: BigInt64Array.from([3n, 23n, 11n, 6n, 25n, 37n, 42n, 5n, 1n, 0n, 0n, 0n]),
  });
  assert.deepEqual(t5Tokenize(plain, '', 3), { ids: BigInt64Array.from([1n, 0n, 0n]) });
  assert.deepEqual(t5Tokenize(plain, 'a toy robot dances on the beach', 9).cut, undefined);
  assert.deepEqual(t5Tokenize(plain, 'a toy robot dances on the beach', 8), {
    ids: BigInt64Array.from([3n, 23n, 11n, 6n, 25n, 37n, 42n, 1n]),
    cut: 'beach',
  });
  assert.deepEqual(t5Tokenize(plain, 'the the the', 1), { ids: BigInt64Array.from([1n]), cut: 'the the the' });
  assert.throws(() => t5Tokenize(plain, 'a', 0), /text length/);
});

test('a damaged model is refused with one sentence or still encodes', () => {
  let refused = 0;
  for (const name of ['bytes', 'suffix']) {
    const model = read(`${name}.model`);
    const picks = new Generator(11).randn([6000]);
    const pick = (k: number, n: number): number => Math.floor(Math.abs(picks[k % picks.length]!) * 1e6) % n;
    for (let k = 0; k < 600; k++) {
      let damaged = Uint8Array.from(model);
      if (k % 4 === 0) damaged = damaged.subarray(0, pick(3 * k, damaged.length));
      else
        for (let hits = 0; hits <= k % 3; hits++)
          damaged[pick(3 * k + hits, k % 2 === 0 ? damaged.length : 400)] = pick(5 * k + hits + 1, 256);
      try {
        const tokenizer = openSentencePiece(damaged);
        for (const text of strings.slice(k, k + 5)) assert.ok(tokenizer.encode(text).every(id => id >= 0 && id < tokenizer.size));
      } catch (error) {
        assert.ok(error instanceof Error);
        assert.match(error.message, /^The SentencePiece model cannot be used: [^\n]+$/);
        refused++;
      }
    }
  }
  assert.ok(refused > 300, `${refused} refused`);
});

test('models of other kinds are refused by name', () => {
  // trainer_spec { model_type: BPE }
  assert.throws(() => openSentencePiece(Uint8Array.from([0x12, 2, 0x18, 2])), /BPE kind/);
  assert.throws(() => openSentencePiece(new Uint8Array()), /no piece for the unknown/);
});
