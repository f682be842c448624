/** @file Command line arguments: what is understood, and the sentence for what is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseArguments, UsageError } from '../../electron/cli/arguments.ts';

const spec = {
  subject: 'texts',
  tag: 'each',
  prompt: 'text',
  'negative-prompt': 'text',
  steps: 'number',
  fps: 'number',
  json: 'flag',
} as const;
const parse = (...argv: string[]) => parseArguments(argv, spec);

test('each kind, joined and apart', () => {
  assert.deepEqual(parse('--prompt', 'a b', '--steps', '20', '--json'), { options: { prompt: 'a b', steps: 20, json: true }, rest: [] });
  assert.deepEqual(parse('--prompt=a=b', '--steps=2e1'), { options: { prompt: 'a=b', steps: 20 }, rest: [] });
  assert.deepEqual(parse('--prompt', ''), { options: { prompt: '' }, rest: [] });
  assert.deepEqual(parse('--prompt='), { options: { prompt: '' }, rest: [] });
  assert.deepEqual(parse('--steps', '-5'), { options: { steps: -5 }, rest: [] });
});

test('a list takes what follows up to the next option, again and again', () => {
  assert.deepEqual(parse('--subject', 'a', '-b', '--json', '--subject', 'c', '--subject=d', 'e'), {
    options: { subject: ['a', '-b', 'c', 'd'], json: true },
    rest: ['e'],
  });
});

test('a repeated option takes one value each time', () => {
  assert.deepEqual(parse('--tag', 'a', 'b', '--tag=c', '--tag', '-d'), { options: { tag: ['a', 'c', '-d'] }, rest: ['b'] });
});

test('what belongs to no option is the rest; two dashes end the options', () => {
  assert.deepEqual(parse('a', '--json', 'b', '--', '--steps', '-x'), { options: { json: true }, rest: ['a', 'b', '--steps', '-x'] });
});

test('a value that begins with dashes is joined', () => {
  assert.equal(parse('--prompt=--fast').options.prompt, '--fast');
  assert.equal(parse('--prompt', '-fast').options.prompt, '-fast');
});

const mistakes: readonly (readonly [string[], RegExp])[] = [
  [['--promt', 'x'], /^there is no option --promt: did you mean --prompt\?$/],
  [['--negativ-promt=x'], /did you mean --negative-prompt\?/],
  [['--zzz'], /^there is no option --zzz$/],
  [['--x'], /^there is no option --x$/],
  [['--__proto__', 'x'], /no option --__proto__/],
  [['--constructor=x'], /no option --constructor/],
  [['-p', 'x'], /-p is not an option: options begin with two dashes/],
  [['--prompt'], /^--prompt needs a value$/],
  [['--prompt', '--json'], /^--prompt needs a value .*--prompt=--json/],
  [['--subject', '--json'], /--subject needs a value/],
  [['--tag'], /^--tag needs a value$/],
  [['--tag', '--json'], /--tag needs a value/],
  [['--prompt', 'a', '--prompt', 'b'], /--prompt is given twice/],
  [['--steps', '1', '--steps=1'], /--steps is given twice/],
  [['--json=yes'], /--json takes no value/],
  [['--steps', 'ten'], /--steps needs a number, not 'ten'/],
  [['--steps', ' '], /--steps needs a number/],
  [['--steps', 'Infinity'], /--steps needs a number, not 'Infinity'/],
  [['--steps', '1,5'], /--steps needs a number, not '1,5'/],
];
for (const [argv, sentence] of mistakes)
  test(`refused: ${argv.join(' ')}`, () => {
    assert.throws(
      () => parse(...argv),
      (e: unknown) => e instanceof UsageError && sentence.test(e.message) && !e.message.includes('\n'),
    );
  });

test('whatever is typed is understood or refused with a usage error, and no value is lost', () => {
  const words = ['--subject', '--prompt', '--prompt=', '--tag', '--steps', '--json', '--', '-x', '3', ''];
  let understood = 0;
  const all = (argv: readonly string[]): void => {
    try {
      const { options, rest } = parseArguments(argv, spec);
      understood++;
      const values =
        [...rest, ...(options.subject ?? []), ...(options.tag ?? []), ...(options.prompt === undefined ? [] : [options.prompt])].length +
        (options.steps === undefined ? 0 : 1);
      const ended = argv.indexOf('--');
      // each word that is no option's name is a value, behind two dashes every word
      const expected = argv.filter((word, i) => (ended >= 0 && i > ended) || word === '--prompt=' || !word.startsWith('--')).length;
      assert.equal(values, expected, argv.join(' '));
    } catch (e) {
      if (!(e instanceof UsageError)) throw e;
    }
    if (argv.length < 5) for (const word of words) all([...argv, word]);
  };
  all([]);
  assert.ok(understood > 1000);
});
