/** @file Batches: what a request with choices, a grid and seeds stands for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { StudioError } from '../../electron/contract/errors.ts';
import { expand, plainPrompt } from '../../electron/contract/expand.ts';
import { batch, request, type Batch, type Request } from '../../electron/contract/requests.ts';

const ask = (prompt: string, more: Partial<Request> = {}) => request.parse({ prompt, ...more });
const spell = (prompt: string, of: Partial<Batch> = {}, more: Partial<Request> = {}) => {
  const { count, requests } = expand(ask(prompt, more), batch.parse(of), () => 1000);
  const all = [...requests];
  assert.equal(all.length, count);
  return all;
};
const prompts = (prompt: string) => spell(prompt).map(r => r.prompt);
const refused = (sentence: RegExp) => (e: unknown) =>
  e instanceof StudioError && e.code === 'badRequest' && sentence.test(e.message) && !e.message.includes('\n');

test('choices: the first changes slowest; spaces around an alternative do not count', () => {
  assert.deepEqual(prompts('a {red|blue} toy {hops| rolls }'), [
    'a red toy hops',
    'a red toy rolls',
    'a blue toy hops',
    'a blue toy rolls',
  ]);
  assert.deepEqual(prompts('{@lemon|@plum} on the beach'), ['@lemon on the beach', '@plum on the beach']);
  assert.deepEqual(prompts('{紅|青}色'), ['紅色', '青色']);
});
test('choices in choices', () => {
  assert.deepEqual(prompts('a {{dark|light} red|blue} toy'), ['a dark red toy', 'a light red toy', 'a blue toy']);
  assert.deepEqual(prompts('{a{b|c}d|e}'), ['abd', 'acd', 'e']);
  assert.throws(() => prompts(`${'{a|'.repeat(30)}b${'}'.repeat(30)}`), refused(/deep/));
});
test('what is no choice stays as it is', () => {
  for (const text of ['{single}', 'a } b', 'a | b', ':-{ sad', '{}', 'a {b} c {d', '{ {x} }', 'back\\slash', ''])
    assert.deepEqual(prompts(text), [text]);
  assert.deepEqual(prompts('{single {a|b}}'), ['{single a}', '{single b}']);
});
test('the signs themselves are written with a backslash, and stay so until the prompt is used', () => {
  assert.deepEqual(prompts('a \\{b|c\\} d'), ['a \\{b|c\\} d']);
  assert.deepEqual(prompts('{a\\|b|c}'), ['a\\|b', 'c']);
  assert.equal(plainPrompt('a \\{b\\|c\\} d'), 'a {b|c} d');
  assert.equal(plainPrompt('{single} \\n'), '{single} \\n');
  assert.throws(() => plainPrompt('{a|b}'), refused(/stands for 2 clips/));
});
test('an empty alternative leaves no double space; one written twice counts once', () => {
  assert.deepEqual(prompts('a {big|} toy'), ['a big toy', 'a toy']);
  assert.deepEqual(prompts('{|a}'), ['', 'a']);
  assert.deepEqual(prompts('a {red|red|blue| red} toy'), ['a red toy', 'a blue toy']);
  assert.equal(plainPrompt('{a|a}'), 'a');
});
test('a choice that is never closed is refused with a sentence', () => {
  assert.throws(() => prompts('a {red|blue toy'), refused(/never closed \("\{red\|blue toy"\): close it with \}, or write \\\{/));
  assert.throws(() => prompts('{ {a|b} | c'), refused(/never closed/));
});

test('prompt choices outermost, then the grid as it is written, then seeds', () => {
  const all = spell('{a|b}', { seeds: 2, grid: [{ field: 'numInferenceSteps', values: [4, 8] }, { field: 'cutOut', values: [false, true] }] }, { seed: 7 }); // prettier-ignore
  assert.equal(all.length, 16);
  assert.deepEqual(
    all.slice(0, 6).map(r => [r.prompt, r.numInferenceSteps, r.cutOut, r.seed]),
    [
      ['a', 4, false, 7],
      ['a', 4, false, 8],
      ['a', 4, true, 7],
      ['a', 4, true, 8],
      ['a', 8, false, 7],
      ['a', 8, false, 8],
    ],
  );
  assert.equal(all[8]!.prompt, 'b');
});
test('a seed that is open is drawn once for all; a single clip keeps it open', () => {
  assert.deepEqual(
    spell('{a|b}').map(r => r.seed),
    [1000, 1000],
  );
  assert.deepEqual(
    spell('a', { seeds: 3 }).map(r => r.seed),
    [1000, 1001, 1002],
  );
  assert.equal(spell('a')[0]!.seed, null);
  assert.deepEqual(
    spell('a', { seeds: 2, grid: [{ field: 'seed', values: [5, 50] }] }).map(r => r.seed),
    [5, 6, 50, 51],
  );
  assert.deepEqual(
    spell('a', { grid: [{ field: 'numFrames', values: [9, 9, 17] }] }).map(r => r.numFrames),
    [9, 17],
  );
});

test('values are judged by the setting itself', () => {
  const grid =
    (field: Batch['grid'][number]['field'], ...values: (number | string | boolean)[]) =>
    () =>
      spell('a', { grid: [{ field, values }] });
  assert.throws(grid('numFrames', 9, 10), refused(/^the grid's numFrames cannot be 10: 10 frames cannot be made, .*use 9 or 17$/));
  assert.throws(grid('width', 100), refused(/the grid's width cannot be 100: .*use 96 or 112/));
  assert.throws(grid('scheduler', 'euler'), refused(/the grid's scheduler cannot be "euler"/));
  assert.throws(grid('guidanceScale', true), refused(/the guidance scale must be a number/));
  assert.throws(grid('useDynamicCfg', 'yes'), refused(/useDynamicCfg cannot be "yes"/));
  assert.throws(() => spell('a', { grid: [{ field: 'fps' as 'width', values: [8] }] }), /./);
  assert.throws(
    () => spell('a', { grid: [{ field: 'width', values: [96] }, { field: 'width', values: [112] }] }), // prettier-ignore
    refused(/runs over width twice/),
  );
});
test('the count is known without the clips, however many there would be', () => {
  const twenty = '{0|1|2|3|4|5|6|7|8|9|10|11|12|13|14|15|16|17|18|19}';
  assert.equal(expand(ask(twenty.repeat(3)), batch.parse({})).count, 8000);
  assert.throws(() => expand(ask(twenty.repeat(4)), batch.parse({})), refused(/^that would be 160,000 clips, and at most 10,000/));
  assert.throws(() => expand(ask('{a|b}'.repeat(3900)), batch.parse({})), refused(/countless/));
  assert.throws(() => expand(ask('{a|b}'), batch.parse({ seeds: 5001 })), refused(/10,002 clips/));
  assert.throws(() => spell('a', { seeds: 2 }, { seed: Number.MAX_SAFE_INTEGER }), refused(/last of 2 seeds/));
});

const piece: fc.Arbitrary<string> = fc.letrec(tie => ({
  text: fc.oneof(
    { withCrossShrink: true },
    tie('word'),
    tie('word'),
    fc.array(tie('text') as fc.Arbitrary<string>, { minLength: 1, maxLength: 3 }).map(a => `{${a.join('|')}}`),
    fc.array(tie('text') as fc.Arbitrary<string>, { maxLength: 3 }).map(a => a.join(' ')),
  ),
  word: fc.constantFrom('a', 'red', ' ', '', '\\{', '\\|', '\\}', '@x', '檸檬', '}', '|'),
})).text as fc.Arbitrary<string>;
test('what comes out stands for itself alone; all differ; nothing but a sentence is thrown', () => {
  fc.assert(
    fc.property(piece, fc.integer({ min: 1, max: 3 }), (prompt, seeds) => {
      let all: Request[];
      try {
        const { count, requests } = expand(ask(prompt), batch.parse({ seeds }), () => 5);
        fc.pre(count <= 300);
        all = [...requests];
        assert.equal(all.length, count);
      } catch (e) {
        if (e instanceof StudioError) return;
        throw e;
      }
      for (const one of all.slice(0, 20)) {
        const again = [...expand(one, batch.parse({})).requests];
        assert.deepEqual(again, [one]);
        assert.ok(!/\\[{|}]/.test(plainPrompt(one.prompt)));
      }
    }),
    { numRuns: 1000 },
  );
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('{', '}', '|', '\\', 'a', ' '), maxLength: 40 }), prompt => {
      try {
        const { count, requests } = expand(ask(prompt), batch.parse({}));
        if (count < 100) assert.equal([...requests].length, count);
      } catch (e) {
        if (!(e instanceof StudioError)) throw e;
      }
    }),
    { numRuns: 3000 },
  );
});
