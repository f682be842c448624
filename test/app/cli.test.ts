/** @file The command line as a person meets it, with the embedded checkpoint and the real engine. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readOrder } from '../../electron/cli/direct.ts';
import { inProcessEngine } from '../../electron/engine/main.ts';
import { readRequest } from '../../electron/media/metadata.ts';
import { checkpoint, marked, photo, root, run, sleep, start } from '../support/run.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-cli-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const out = (name: string) => join(folder, name);
const generate = (name: string, ...more: string[]) => [
  'generate',
  '--subject',
  photo,
  '--prompt',
  'the toy hops',
  '--steps',
  '2',
  '--seed',
  '3',
  '--out',
  out(name),
  '--json',
  ...more,
];

test('a clip, the request in it, and events in order', async () => {
  const ended = await run(generate('one.mp4', '--preview-seconds', '0.01'));
  assert.equal(ended.status, 0, ended.stderr);
  const done = ended.lines.at(-1)!;
  assert.equal(done.type, 'done');
  assert.equal(done['seed'], 3);
  const phases = ended.lines.filter(l => l.type === 'progress').map(l => l['phase']);
  assert.deepEqual(
    [...new Set(phases)],
    ['load', 'encode', 'denoise', 'decode', 'export'].filter(p => phases.includes(p)),
  );
  for (const p of ['encode', 'denoise', 'decode', 'export']) assert.ok(phases.includes(p), p);
  const preview = ended.lines.find(l => l.type === 'preview');
  assert.ok(preview, 'no preview');
  assert.equal(Buffer.from(String(preview['jpeg']), 'base64').subarray(0, 2).toString('hex'), 'ffd8');
  const request = await readRequest(out('one.mp4'));
  assert.equal(request?.['prompt'], 'the toy hops');
  assert.equal(request['seed'], 3);
  const bytes = readFileSync(out('one.mp4')).toString('latin1');
  assert.ok(!bytes.includes(folder) && !bytes.includes(root), 'a path is in the clip');
});

test('the engine in this process makes the same frames as one of its own', async () => {
  const order = await readOrder([...generate('inside.mp4').slice(1), '--checkpoint', checkpoint]);
  await inProcessEngine.run(order, () => undefined, new AbortController().signal);
  assert.ok(readFileSync(order.out).equals(readFileSync(out('one.mp4'))));
});

test('an old Node gets one sentence', () => {
  const old = `data:text/javascript,Object.defineProperty(process.versions, 'node', { value: '20.11.1' })`;
  const ended = spawnSync(process.execPath, ['--import', old, join(root, 'electron/protagonist.js'), 'doctor'], { encoding: 'utf8' });
  assert.equal(ended.status, 1);
  assert.match(ended.stderr, /^Protagonist needs Node 24 or newer and this is 20\.11\.1: [^\n]*\n$/);
});

test('it says which it is', async () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const [people, machine] = [await run(['--version']), await run(['--version', '--json'])];
  assert.deepEqual([people.status, people.stdout, people.stderr], [0, `protagonist ${version}\n`, '']);
  assert.deepEqual([machine.status, machine.lines], [0, [{ type: 'version', version }]]);
});

test('the same seed gives the same bytes, another one does not; a finished clip is made anew', async () => {
  const first = readFileSync(out('one.mp4'));
  assert.equal((await run(generate('one.mp4'))).status, 0);
  assert.ok(first.equals(readFileSync(out('one.mp4'))));
  assert.equal((await run(generate('two.mp4', '--seed=4').filter((a, i, all) => a !== '--seed' && all[i - 1] !== '--seed'))).status, 0);
  assert.ok(!first.equals(readFileSync(out('two.mp4'))));
});

const mistakes: readonly (readonly [string, string[], RegExp])[] = [
  ['no prompt', ['generate'], /--prompt is missing/],
  ['an odd width', ['generate', '--prompt', 'x', '--width', '130'], /width 130 .* 128 or 144/],
  ['an odd height', ['generate', '--prompt', 'x', '--height', '100'], /height 100 .* 96 or 112/],
  ['frames between', ['generate', '--prompt', 'x', '--frames', '12'], /12 frames .* 9 or 17/],
  ['too many frames', ['generate', '--prompt', 'x', '--frames', '65'], /65 frames .*49/],
  ['no frames', ['generate', '--prompt', 'x', '--frames', '0'], /0 frames/],
  ['a word for a number', ['generate', '--prompt', 'x', '--steps', 'many'], /--steps needs a number, not 'many'/],
  ['half a step', ['generate', '--prompt', 'x', '--steps', '2.5'], /steps 2.5 is not a whole number/],
  ['a negative seed', ['generate', '--prompt', 'x', '--seed', '-1'], /seed -1/],
  ['an unknown scheduler', ['generate', '--prompt', 'x', '--scheduler', 'euler'], /--scheduler/],
  ['a misspelt option', ['generate', '--promt', 'x'], /did you mean --prompt/],
  ['a missing value', ['generate', '--prompt'], /--prompt needs a value/],
  ['a photo that is not there', ['generate', '--prompt', 'x', '--subject', 'nobody.png'], /no file .*nobody\.png/],
  [
    'a handle without its @',
    ['generate', '--prompt', 'x', '--subject', 'kelp'],
    /^--subject: there is no file .*\/kelp; did you mean @kelp of the library\?$/m,
  ],
  ['an adapter that is not there', ['generate', '--prompt', 'x', '--adapter', 'none.safetensors:0.5'], /no file .*none\.safetensors/],
  ['an output that is no MP4', ['generate', '--prompt', 'x', '--out', 'clip.gif'], /\.mp4/],
  ['an output folder that is not there', ['generate', '--prompt', 'x', '--out', '/nowhere/clip.mp4'], /no folder/],
  ['words without quotes', ['generate', '--prompt', 'x', '--seed', '1', 'more'], /'more' belongs to no option/],
  ['an unknown command', ['generat'], /no command 'generat'/],
  ['inspect without a file', ['inspect'], /FILE is missing: protagonist inspect FILE/],
  ['inspect of two files', ['inspect', 'a', 'b'], /'b' belongs to no option/],
  [
    'a handle and a file',
    ['generate', '--prompt', 'x', '--subject', '@kelp', 'a.png'],
    /@kelp is of the library and a\.png is a photo file/,
  ],
  [
    'a library option for a file',
    ['generate', '--prompt', 'x', '--subject', 'a.png', '--detach'],
    /--detach is for subjects of the library/,
  ],
  ['an unknown verb of a noun', ['clip', 'lst'], /no 'clip lst': did you mean clip list\?/],
  ['a noun alone', ['clip'], /clip what\? There are clip list/],
  ['options before the verb', ['--home', '/x', 'clip', 'list'], /options come after the verb/],
];
for (const [name, args, sentence] of mistakes)
  test(`exit 2: ${name}`, async () => {
    const ended = await run(args, { cwd: folder });
    assert.equal(ended.status, 2, ended.stderr);
    assert.match(ended.stderr, sentence);
    assert.equal(ended.stderr.trim().split('\n').length, 1, 'one sentence');
  });

test('a precision that the device does not compute in is refused before the work', async () => {
  const ended = await run(['generate', '--prompt', 'x', '--device', 'cpu', '--precision', 'float16', '--out', out('half.mp4')]);
  assert.equal(ended.status, 1);
  assert.match(ended.stderr, /--precision float16 is not computed on cpu: leave it out, or use float32/);
});

test('what only a library understands is painted as it is written, and said', async () => {
  const args = ['generate', '--subject', photo, '--prompt', '@kelp in {red|blue}', '--width', '32', '--height', '32', '--frames', '1', '--steps', '1', '--out', out('typed.mp4')]; // prettier-ignore
  const machine = await run([...args, '--json']);
  assert.equal(machine.status, 0, machine.stderr);
  const notices = machine.lines.filter(l => l.type === 'notice').map(l => String(l['text']));
  assert.equal(notices.length, 2);
  assert.match(notices[0]!, /^@kelp stays as it is written/);
  assert.match(notices[1]!, /2 choices/);
  assert.equal((await readRequest(out('typed.mp4')))?.['prompt'], '@kelp in {red|blue}');
  assert.match((await run(args)).stderr, /^@kelp stays as it is written, [^\n]*\nthe prompt stays as it is written, [^\n]*\n/);
});

test('an empty prompt gives a clip', async () => {
  const ended = await run(['generate', '--prompt', '', '--steps', '1', '--seed', '1', '--out', out('empty.mp4'), '--json']);
  assert.equal(ended.status, 0, ended.stderr);
});

test('a prompt too long gives a clip and says what was cut', async () => {
  const ended = await run([
    'generate',
    '--prompt',
    `the toy hops ${'and hops again '.repeat(60)}until zebras come`,
    '--steps',
    '1',
    '--seed',
    '1',
    '--out',
    out('long.mp4'),
    '--json',
  ]);
  assert.equal(ended.status, 0, ended.stderr);
  assert.ok(ended.lines.some(l => l.type === 'notice' && /left out.*until zebras come/.test(String(l['text']))));
});

const refused: readonly (readonly [string, (file: string) => void, RegExp])[] = [
  ['truncated.png', f => writeFileSync(f, readFileSync(join(root, 'test/support/photo.png')).subarray(0, 1500)), /truncated\.png/],
  ['drawing.png', f => writeFileSync(f, '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>'), /drawing\.png is an SVG/],
  ['words.jpg', f => writeFileSync(f, 'just words'), /words\.jpg/],
];
for (const [name, make, sentence] of refused)
  test(`a photo that is none: ${name}`, async () => {
    make(out(name));
    const ended = await run(['generate', '--subject', out(name), '--prompt', 'x', '--out', out('no.mp4')]);
    assert.equal(ended.status, 1);
    assert.match(ended.stderr, sentence);
    assert.ok(!existsSync(out('no.mp4')));
    assert.deepEqual(
      readdirSync(folder).filter(f => f.startsWith('.')),
      [],
    );
  });

test('Ctrl-C: exit 130, nothing left but the snapshot; the same command goes on and makes the same clip', async () => {
  const whole = await run([...generate('whole.mp4'), '--fps', '8'].map(a => (a === '2' ? '12' : a)));
  assert.equal(whole.status, 0, whole.stderr);
  const args = [...generate('cut.mp4'), '--fps', '8'].map(a => (a === '2' ? '12' : a));
  const started = start(args, {
    onLine: l => {
      if (l.type === 'progress' && l['phase'] === 'denoise' && Number(l['step']) >= 8) started.child.kill('SIGINT');
    },
  });
  const ended = await started.ended;
  assert.equal(ended.status, 130);
  for (const end = performance.now() + 60_000; marked(started.mark).length && performance.now() < end;) await sleep(50);
  assert.deepEqual(marked(started.mark), []);
  assert.ok(!existsSync(out('cut.mp4')));
  const again = await run(args.filter((a, i) => a !== '--seed' && args[i - 1] !== '--seed')); // the seed is adopted from the snapshot
  assert.equal(again.status, 0, again.stderr);
  assert.ok(again.lines.some(l => l.type === 'done' && Number(l['resumedFrom']) >= 1 && l['seed'] === 3));
  assert.ok(readFileSync(out('cut.mp4')).equals(readFileSync(out('whole.mp4'))));
});

test('two runs at one output: the second is refused in a sentence', async () => {
  const args = ['generate', '--subject', photo, '--prompt', 'x', '--steps', '60', '--seed', '3', '--out', out('both.mp4'), '--json'];
  let second: ReturnType<typeof run> | undefined;
  const first = start(args, { onLine: l => void (l.type === 'progress' && l['phase'] === 'denoise' && (second ??= run(args))) });
  await sleep(500);
  while (!second) await sleep(50);
  const ended = await second;
  assert.equal(ended.status, 1);
  assert.match(String(ended.lines.at(-1)!['text']), /another run .* both\.mp4/);
  first.child.kill('SIGINT');
  assert.equal((await first.ended).status, 130);
});

test('doctor says what is there', async () => {
  const ended = await run(['doctor', '--json']);
  assert.equal(ended.status, 0, ended.stdout);
  const line = ended.lines[0]!;
  assert.equal(line['healthy'], true);
  const plain = await run(['doctor']);
  assert.match(plain.stdout, /✓ cpu/);
  assert.match(plain.stdout, /✓ ffmpeg .*(years? old|from this year)\)/);
});

test('inspect reads a checkpoint, a LoRA and a clip', async () => {
  const of = async (path: string) => (await run(['inspect', path, '--json'])).lines[0]!;
  const toybox = await of(checkpoint);
  assert.equal(toybox['kind'], 'checkpoint');
  const lora = await of(join(checkpoint, 'adapter'));
  assert.equal(lora['kind'], 'LoRA');
  assert.equal(lora['rank'], 16);
  copyFileSync(out('one.mp4'), out('renamed.mp4'));
  const clip = await of(out('renamed.mp4'));
  assert.equal((clip['request'] as Record<string, unknown>)['prompt'], 'the toy hops');
});
