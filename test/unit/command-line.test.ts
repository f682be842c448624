/** @file The table of verbs, what is typed and what is printed; without a library. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { api } from '../../electron/contract/api.ts';
import { StudioError } from '../../electron/contract/errors.ts';
import type { Transport } from '../../electron/contract/rpc.ts';
import { UsageError } from '../../electron/cli/arguments.ts';
import { find, help, helpOf, overview } from '../../electron/cli/help.ts';
import { asTyped, batchOf, inLibrary } from '../../electron/cli/options.ts';
import { card, cut, duration, onOneLine, ordinal, size, table } from '../../electron/cli/print.ts';
import { ends, untilStopped } from '../../electron/cli/stop.ts';
import { alone, unused, verbs } from '../../electron/cli/verbs.ts';
import { clientOf, readWords } from '../../electron/cli/verb.ts';

const usage = (sentence: RegExp) => (e: unknown) => e instanceof UsageError && sentence.test(e.message) && !e.message.includes('\n');

test('every method of the API is reached by a verb, or there is a reason why not', () => {
  const methods = Object.entries(api).flatMap(([noun, row]) => Object.keys(row).map(name => `${noun}.${name}`));
  const used = new Set<string>(verbs.flatMap(v => v.uses));
  assert.deepEqual(
    methods.filter(m => !used.has(m)),
    Object.keys(unused),
  );
  assert.deepEqual(
    [...used].filter(m => !methods.includes(m)),
    [],
  );
});

test('help names each verb, and each verb its options', () => {
  const all = overview();
  for (const verb of verbs) {
    assert.ok(all.includes(`\n  ${verb.name} `), verb.name);
    const own = helpOf(verb);
    assert.equal(help(verb.name.split(' ')), own);
    for (const option of [...Object.keys(verb.options), 'json', ...(verb.uses.length ? ['home'] : [])])
      assert.ok(own.includes(`--${option}`), `${verb.name} --${option}`);
    for (const option of Object.keys(verb.options)) assert.match(option, /^[a-z]+(-[a-z]+)*$/);
    assert.deepEqual(find(verb.name.split(' ')), { verb, rest: [] });
  }
  assert.equal(new Set(verbs.map(v => v.name)).size, verbs.length);
  for (const line of [all, ...verbs.map(helpOf)].join('\n').split('\n')) assert.ok(line.length <= 125, line);
  for (const [noun, name] of Object.entries(alone)) assert.equal(find([noun]).verb.name, name);
  assert.equal(find(['settings', '--json']).verb.name, 'settings show');
  assert.match(help(['subject', 'photo']), /subject photo add SUBJECT PHOTO\.\.\..*\n.*subject photo edit/);
});

const unknown: readonly (readonly [string, RegExp])[] = [
  ['generat', /no command 'generat': did you mean generate\?/],
  ['clips list', /no command 'clips': did you mean clip\?/],
  ['zzzzzzz', /no command 'zzzzzzz': protagonist help lists what there is/],
  ['clip', /^clip what\? There are clip list, clip show/],
  ['clip lst', /no 'clip lst': did you mean clip list\?/],
  ['clip zzzzzzz', /no 'clip zzzzzzz': there are clip list/],
  ['subject photo', /subject photo what\?/],
  ['subject photo ad @kelp', /did you mean subject photo add\?/],
  ['settings sett x y', /did you mean settings set\?/],
  ['--home /x clip list', /options come after the verb/],
];
for (const [typed, sentence] of unknown)
  test(`no such verb: ${typed}`, () => {
    assert.throws(() => find(typed.split(' ')), usage(sentence));
  });

const verbOf = (name: string) => verbs.find(v => v.name === name)!;
test('as many words as a verb takes', () => {
  assert.deepEqual(readWords(verbOf('clip rate'), ['c1', '5', '--json']), { words: ['c1', '5'], values: { json: true } });
  assert.deepEqual(readWords(verbOf('job move'), ['j1', 'top']).words, ['j1', 'top']);
  assert.deepEqual(readWords(verbOf('clip trash'), ['c1', 'c2', 'c3']).words.length, 3);
  assert.deepEqual(readWords(verbOf('clip tag'), ['c1', '--add', 'a', '--add=b']).values, { add: ['a', 'b'] });
  assert.throws(() => readWords(verbOf('clip rate'), ['c1']), usage(/STARS is missing: protagonist clip rate ID STARS/));
  assert.throws(() => readWords(verbOf('clip rate'), ['c1', '2', '3']), usage(/'3' belongs to no option/));
  assert.throws(() => readWords(verbOf('clip list'), ['x']), usage(/'clip list' takes options alone/));
  assert.throws(() => readWords(verbOf('doctor'), ['--home', '/x']), usage(/no option --home/));
});

test('whether a clip is made in the library is told from what is typed', () => {
  const isFile = (word: string) => word === 's9' || word.endsWith('.png');
  const cases: readonly (readonly [Parameters<typeof inLibrary>[0], boolean | RegExp])[] = [
    [{ prompt: 'x' }, false],
    [{ prompt: 'x', subject: ['a.png', 'b.png'] }, false],
    [{ prompt: 'x', subject: ['nobody.jpg'] }, false],
    [{ prompt: '@kelp hops', subject: ['a.png'] }, false], // as before there were libraries
    [{ prompt: '{red|blue} ball' }, false],
    [{ prompt: 'x', subject: ['@kelp'] }, true],
    [{ prompt: 'x', subject: ['＠kelp'] }, true],
    [{ prompt: 'x', subject: ['s1'] }, true],
    [{ prompt: 'x', subject: ['s9'] }, false],
    [{ prompt: 'x', subject: ['./@kelp'] }, false],
    [{ prompt: '@kelp hops' }, true],
    [{ prompt: 'the toy (@kelp) hops' }, true],
    [{ prompt: 'the toy, @חתול, hops' }, true],
    [{ prompt: '海滩上@many跳舞' }, true],
    [{ prompt: 'ที่ชายหาด@many' }, true],
    [{ prompt: '해변에서@many' }, true],
    [{ prompt: 'the toy ＠kelp hops' }, true],
    [{ prompt: 'a toy.@kelp hops' }, true],
    [{ prompt: '@{kelp|many} hops' }, true],
    [{ prompt: 'x', 'negative-prompt': 'no @kelp' }, true],
    [{ prompt: '@@kelp @-' }, false],
    [{ prompt: 'write to me@home.org' }, false],
    [{ prompt: '5 @ 3' }, false],
    [{ prompt: 'x', detach: true }, true],
    [{ prompt: 'x', seeds: 3 }, true],
    [{ prompt: 'x', library: true }, true],
    [{ prompt: 'x', home: '/x' }, true],
    [{ like: 'c5' }, true],
    [{ prompt: 'x', start: 'a.png' }, false],
    [{ prompt: 'x', start: 'nowhere.jpg' }, false],
    [{ prompt: 'x', start: 'none' }, false],
    [{ prompt: 'x', start: 'p4' }, true],
    [{ prompt: 'x', start: 'i2' }, true],
    [{ prompt: 'x', start: 'c5:16' }, true],
    [{ prompt: 'x', start: 'c5:last' }, true],
    [{ prompt: 'x', start: 'c5' }, true], // and is told there which frame
    [{ prompt: 'x', start: 'a.png', subject: ['@kelp'] }, true],
    [{ prompt: 'x', start: 'a.png', subject: ['b.png'] }, false],
    [{ prompt: 'x', start: 'c5:16', subject: ['b.png'] }, /--start c5:16 is of the library, and --subject b\.png is a photo file/],
    [{ prompt: 'x', subject: ['@kelp', 'a.png'] }, /@kelp is of the library and a\.png is a photo file/],
    [{ prompt: 'x', subject: ['a.png'], next: true }, /--next is for subjects of the library/],
    [{ prompt: 'x', subject: ['a.png'], home: '/x' }, /--home is for subjects of the library/],
    [{ prompt: 'x', subject: ['b'], seeds: 2 }, /^--subject b: there is no such file; .* did you mean @b\?$/],
    [{ prompt: 'x', subject: ['@kelp', 'b'] }, /did you mean @b\?$/],
  ];
  for (const [options, expected] of cases)
    if (expected instanceof RegExp) assert.throws(() => inLibrary(options, isFile), usage(expected));
    else assert.equal(inLibrary(options, isFile), expected, JSON.stringify(options));
});

test('what only a library understands is told where there is none', () => {
  assert.deepEqual(asTyped({ prompt: 'me@home.org {red} | \\{a|b\\} a {b|c' }), []);
  const [choices, ...more] = asTyped({ prompt: '{red|blue} ball' });
  assert.match(choices!, /^the prompt stays as it is written, one clip of it: its 2 choices between \{ and \} are for the library/);
  assert.deepEqual(more, []);
  const [named] = asTyped({ prompt: 'the toy ＠kelp hops' });
  assert.match(named!, /^@kelp stays as it is written, since --subject names photo files/);
  assert.equal(asTyped({ prompt: 'x', 'negative-prompt': '@kelp' }).length, 1);
});

test('what is on for some clips can be turned off', () => {
  for (const name of ['generate', 'forecast', 'job edit']) {
    const read = (...words: string[]) => readWords(verbOf(name), [...(name === 'job edit' ? ['j1'] : []), ...words]).values;
    assert.deepEqual(read('--cut-out', '--dynamic-guidance=on', '--vae-tiling=no'), { 'cut-out': true, 'dynamic-guidance': true, 'vae-tiling': false }); // prettier-ignore
    assert.deepEqual(read('--cut-out=off', '--cut-out=no'), { 'cut-out': false });
    assert.throws(() => read('--cut-out=maybe'), usage(/^--cut-out is yes or no, not 'maybe'$/));
    assert.throws(() => read('--cut-out=constructor'), usage(/^--cut-out is yes or no/));
    assert.throws(() => read('--cut-out', '--cut-out=no'), usage(/^--cut-out is given twice/));
    assert.match(help(name.split(' ')), /--cut-out\[=no\] /);
  }
});

test('a grid as it is typed', () => {
  assert.deepEqual(batchOf({}), { grid: [] });
  assert.deepEqual(batchOf({ seeds: 3, grid: ['steps=10,20', 'guidance-scale=1.5', 'scheduler=ddim,dpm', 'cut-out=on,off'] }), {
    seeds: 3,
    grid: [
      { field: 'numInferenceSteps', values: [10, 20] },
      { field: 'guidanceScale', values: [1.5] },
      { field: 'scheduler', values: ['ddim', 'dpm'] },
      { field: 'cutOut', values: [true, false] },
    ],
  });
  for (const [word, sentence] of [
    ['steps', /--grid steps is not understood: write OPTION=A,B with one of steps/],
    ['step=1', /--grid step=1 is not understood/],
    ['constructor=1', /is not understood/],
    ['steps=', /has an empty value/],
    ['steps=1,,2', /has an empty value/],
    ['steps=many', /--grid steps needs numbers, not 'many'/],
    ['cut-out=maybe', /--grid cut-out is on or off, not 'maybe'/],
  ] as const)
    assert.throws(() => batchOf({ grid: [word] }), usage(sentence));
  assert.throws(() => batchOf({ grid: ['steps=1', 'steps=2'] }), usage(/twice/));
});

const nowhere: Transport = {
  call: () => Promise.reject(new Error('it was sent')),
  subscribe: () => () => undefined,
  close: () => undefined,
};
const bad: readonly (readonly [(c: ReturnType<typeof clientOf>) => unknown, RegExp])[] = [
  [c => c.clips.list({ sort: 'best' as 'stars' }), /^--sort is newest, oldest, stars, not 'best'$/],
  [c => c.clips.list({ limit: 1000 }), /^--limit is at most 500$/],
  [c => c.clips.list({ limit: 1.5 }), /^--limit is a whole number, not 1\.5$/],
  [c => c.clips.list({ stars: -1 }), /^--stars is at least 0$/],
  [c => c.clips.list({ tag: '' }), /^a tag is not empty/],
  [c => c.jobs.list({ status: ['done' as 'failed'] }), /^--status is pending, .*, not 'done'$/],
  [c => c.subjects.add({ name: ' ' }), /^the name is empty: give the subject a name$/],
  [c => c.subjects.add({ name: 'x', kind: 'cat' as 'pet' }), /^--kind is person, pet, .*, not 'cat'$/],
  [c => c.subjects.add({ name: 'x', handle: '@a b' }), /^a handle is 1 to 40 letters/],
  [c => c.subjects.edit({ id: 's1', notes: 'x'.repeat(20_001) }), /^the notes is longer than|^the notes .*longer than 20000/],
  [c => c.jobs.enqueue({ request: { prompt: 'x', numInferenceSteps: 2.5 } }), /^the number of steps 2\.5 is not a whole number/],
  [c => c.jobs.enqueue({ request: { prompt: 'x', width: 130 } }), /^width 130 .*use 128 or 144$/],
  [c => c.jobs.enqueue({ request: { prompt: 'x', scheduler: 'euler' as 'ddim' } }), /^--scheduler is ddim, dpm, not 'euler'$/],
  [c => c.jobs.enqueue({ request: { prompt: 'x', device: 'gpu' as 'cuda' } }), /^--device is auto, cpu, cuda, not 'gpu'$/],
  [c => c.jobs.enqueue({ request: { prompt: 'x' }, batch: { seeds: 0 } }), /^at least 1 seed$|^--seeds is at least 1$/],
  [c => c.settings.edit({ threads: 0 }), /^--threads is at least 1$/],
];
test('what does not fit is told in the words that were typed, before it is sent', async () => {
  for (const [call, sentence] of bad) await assert.rejects(async () => await call(clientOf(nowhere)), usage(sentence));
  await assert.rejects(async () => await clientOf(nowhere).clips.list({}), /it was sent/);
});

test('a client that is stopped tells its calls, and begins none after', async () => {
  const stop = new AbortController(),
    signals: (AbortSignal | undefined)[] = [];
  const call: Transport['call'] = (_, __, signal) => {
    signals.push(signal);
    return Promise.resolve({ value: { clips: [], next: null } });
  };
  const client = clientOf({ ...nowhere, call }, stop.signal);
  await client.clips.list({});
  assert.deepEqual(signals, [stop.signal]);
  stop.abort();
  await assert.rejects(client.clips.list({}), (e: unknown) => e instanceof StudioError && e.code === 'canceled');
  assert.equal(signals.length, 1);
});

test('the first Ctrl-C aborts, its echo does nothing, a second one ends the process', async t => {
  const exit = t.mock.method(process, 'exit', () => undefined as never);
  const before = new Map(ends.map(end => [end, process.listeners(end)]));
  t.after(() => {
    for (const [end, there] of before) for (const l of process.listeners(end)) if (!there.includes(l)) process.off(end, l);
  });
  assert.equal(await untilStopped(() => Promise.resolve(7)), 7);
  assert.equal(process.listenerCount('SIGINT'), before.get('SIGINT')!.length);
  await untilStopped(async signal => {
    process.emit('SIGINT');
    assert.ok(signal.aborted);
    await Promise.resolve();
  });
  process.emit('SIGINT');
  assert.equal(exit.mock.callCount(), 0);
  await sleep(250);
  process.emit('SIGINT');
  assert.deepEqual(exit.mock.calls.map(c => c.arguments), [[130]]); // prettier-ignore
});

test('tables are aligned, whatever is in them', () => {
  const lines = table(
    ['id', 'n>', 'name'],
    [
      ['c1', '5', 'plain'],
      ['c12', '1,000', '日本語 😀 é'],
      ['c3', '', `\x1b[31mred\n\u202eback ${'long '.repeat(100)}`],
    ],
  );
  assert.deepEqual(lines.slice(0, 3), ['id       n  name', 'c1       5  plain', 'c12  1,000  日本語 😀 é']);
  assert.match(lines[3]!, /^c3 {10}\\u001b\[31mred \\u202eback long .*…$/);
  assert.ok(lines[3]!.length <= 112);
  assert.equal(cut('日本語', 4), '日…');
  assert.equal(cut('日本語', 6), '日本語');
  assert.deepEqual(card('Kelp', [['kind', 'toy'], ['notes', ''], ['description', 'green'], ['clip', null]]), ['Kelp', '  kind         toy', '  description  green']); // prettier-ignore
  assert.equal(onOneLine('a\r\n\n b\x07'), 'a b\\u0007');
});

test('sizes, times and places as a person says them', () => {
  assert.deepEqual([0, 999, 1000, 999_499, 999_500, 12_345_678, 3e12].map(size), ['0 bytes', '999 bytes', '1.0 kB', '999 kB', '1.0 MB', '12.3 MB', '3.0 TB']); // prettier-ignore
  assert.deepEqual([0.04, 9.99, 12.4, 89.6, 120, 7200].map(duration), ['0.0 s', '10.0 s', '12 s', '90 s', '2 min', '2.0 h']);
  assert.deepEqual([1, 2, 3, 4, 11, 12, 13, 21, 111, 122].map(ordinal), ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '111th', '122nd']); // prettier-ignore
});
