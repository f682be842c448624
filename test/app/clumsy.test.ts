/** @file What people do without meaning harm: odd names, closed pipes and terminals, links, processes ended by hand. */
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  copyFileSync,
  lstatSync,
  mkdtempSync,
  openSync,
  closeSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readRequest } from '../../electron/media/metadata.ts';
import { checkpoint, marked, root, run, sleep, start, type Line } from '../support/run.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-clumsy-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const photo = join(root, 'test/support/photo.png');
const size = ['--width', '32', '--height', '32', '--frames', '1', '--steps', '1', '--seed', '1'];
const generate = (out: string, ...more: string[]) => ['generate', '--prompt', 'x', '--out', out, ...size, ...more];
/** Hidden files: locks, parts, snapshots. */
const hidden = () => readdirSync(folder).filter(f => f.startsWith('.'));

const names = ['with spaces', 'emoji 😀 é', 'עברית', 'new\nline', '-dash', 'a:b:0.5', '%d{x}', "it's $HOME `x`", 'x'.repeat(251), 'dots..'];
for (const name of names)
  test(`a photo and a clip called ${JSON.stringify(name).slice(0, 30)}`, async () => {
    copyFileSync(photo, join(folder, `${name}.png`));
    const ended = await run(generate(`${name}.mp4`, '--subject', `${name}.png`, '--json'), { cwd: folder });
    assert.equal(ended.status, 0, ended.stdout + ended.stderr);
    assert.equal(ended.lines.at(-1)!['out'], join(folder, `${name}.mp4`));
    assert.ok(statSync(join(folder, `${name}.mp4`)).size > 1000);
    assert.deepEqual(hidden(), []);
  });

test('an adapter whose name has spaces, with a scale, twice', async () => {
  const adapter = join(folder, 'my adapter.safetensors');
  const inside = join(checkpoint, 'adapter');
  copyFileSync(
    join(
      inside,
      readdirSync(inside).find(f => f.endsWith('.safetensors'))!,
    ),
    adapter,
  );
  const out = join(folder, 'adapted.mp4');
  const ended = await run(generate(out, '--subject', photo, '--adapter', `${adapter}:0.5`, `${adapter}:-1`));
  assert.equal(ended.status, 0, ended.stderr);
  assert.deepEqual(
    ((await readRequest(out))!['adapters'] as { scale: number }[]).map(a => a.scale),
    [0.5, -1],
  );
});

test('any prompt is painted, and comes back as it was typed', async () => {
  for (const prompt of ['\x01\x1b[31mred\x07\u202e', '😀 </s> <pad> 👩‍👩‍👧 مرحبا', '--fast', ' \n ', 'x'.repeat(10_000)]) {
    const out = join(folder, 'prompt.mp4');
    const ended = await run([...generate(out).filter((a, i, all) => a !== '--prompt' && all[i - 1] !== '--prompt'), `--prompt=${prompt}`]);
    assert.equal(ended.status, 0, ended.stderr);
    assert.equal((await readRequest(out))!['prompt'], prompt);
    const shown = await run(['inspect', out]);
    assert.equal(shown.status, 0);
    assert.doesNotMatch(shown.stdout, /[\x00-\x09\x0b-\x1f\u202e]/);
    assert.doesNotMatch(ended.stderr, /[\x00-\x09\x0b-\x1f\u202e]/);
  }
});

test('what was cut of a prompt with many lines is said on one line', async () => {
  const ended = await run([...generate(join(folder, 'lines.mp4')).map(a => (a === 'x' ? 'the toy hops\n'.repeat(200) : a))]);
  assert.equal(ended.status, 0);
  assert.equal(ended.stderr.split('\n').filter(line => line.includes('left out')).length, 1);
  assert.ok(ended.stderr.split('\n').length < 10, ended.stderr);
});

test('a link at the place of the output: what it leads to is replaced', async () => {
  const target = join(folder, 'target.mp4'),
    link = join(folder, 'link.mp4');
  writeFileSync(target, 'old');
  symlinkSync('target.mp4', link);
  const ended = await run(generate(link));
  assert.equal(ended.status, 0, ended.stderr);
  assert.ok(lstatSync(link).isSymbolicLink());
  assert.ok(statSync(target).size > 1000);
});

test('a pipe that nobody writes to is no clip to inspect', async () => {
  const pipe = join(folder, 'fifo.mp4');
  spawnSync('mkfifo', [pipe]);
  const ended = await run(['inspect', pipe]);
  assert.equal(ended.status, 1);
  assert.match(ended.stderr, /fifo\.mp4: it is not a file/);
});

const mistakes: readonly (readonly [string[], RegExp])[] = [
  [['--subject', ''], /--subject is empty/],
  [['--checkpoint', ''], /--checkpoint is empty/],
  [['--checkpoint', '/nowhere'], /--checkpoint: there is no file \/nowhere/],
  [['--adapter', `${photo}:1e999`], /--adapter: The scale of .* is beyond any number/],
  [['--adapter', `${photo}:1000`], /the adapter scale 1000 is not a number from -100 to 100/],
  [['--precision', 'int8'], /--precision is auto, float32, float16, bfloat16, not 'int8'/],
  [['--guidance-scale', '101'], /the guidance scale 101 is not a number from 0 to 100/],
  [['--negative-prompt', '--fast'], /--negative-prompt needs a value \(one that begins with dashes/],
];
for (const [more, sentence] of mistakes)
  test(`exit 2: ${more.join(' ').replace(root, '')}`, async () => {
    const ended = await run(generate(join(folder, 'no.mp4'), ...more));
    assert.equal(ended.status, 2, ended.stderr);
    assert.match(ended.stderr, sentence);
    assert.equal(ended.stderr.trim().split('\n').length, 1);
  });

/** Runs the command with its streams as given. */
const bare = (args: readonly string[], stdio: ('ignore' | 'pipe' | number)[], env: NodeJS.ProcessEnv = process.env) => {
  const child: ChildProcess = spawn(process.execPath, [join(root, 'electron/protagonist.js'), ...args, '--checkpoint', checkpoint], {
    stdio,
    env,
  });
  let stderr = '';
  child.stderr?.on('data', (b: Buffer) => (stderr += b.toString()));
  return {
    child,
    ended: new Promise<{ status: number | null; stderr: string }>(end => child.on('close', status => end({ status, stderr }))),
  };
};

test('a reader that goes away does not cost the clip', async () => {
  const out = join(folder, 'pipe.mp4');
  const { child, ended } = bare(generate(out, '--json'), ['ignore', 'pipe', 'pipe']);
  child.stdout!.once('data', () => child.stdout!.destroy());
  assert.deepEqual(await ended, { status: 0, stderr: '' });
  assert.ok(statSync(out).size > 1000);
});

test('a full disk under the log, and nothing connected at all', { skip: process.platform !== 'linux' && 'needs /dev/full' }, async () => {
  const full = openSync('/dev/full', 'w');
  assert.deepEqual(await bare(generate(join(folder, 'full.mp4'), '--json'), ['ignore', full, 'pipe']).ended, { status: 0, stderr: '' });
  assert.equal((await bare(generate(join(folder, 'full.mp4')), ['ignore', full, full]).ended).status, 0);
  closeSync(full);
});

test('an empty environment', async () => {
  const out = join(folder, 'bare.mp4');
  assert.equal((await bare(generate(out), ['ignore', 'pipe', 'pipe'], {}).ended).status, 0);
});

/** Long enough to be stopped. */
const long = (out: string) => ['generate', '--subject', photo, '--prompt', 'x', '--width', '32', '--height', '32', '--frames', '9', '--steps', '1000', '--seed', '1', '--out', out, '--json']; // prettier-ignore
/** What lives of a run: the command, its engine, ffmpeg. */
const family = (mark: string, pid: number | undefined) => {
  const all = marked(mark);
  return {
    command: pid,
    engine: all.find(p => p.command.includes('engine/main.ts'))?.pid,
    ffmpeg: all.find(p => !/\.[tj]s/.test(p.command))?.pid,
  };
};
const ends: readonly (readonly [string, NodeJS.Signals, ('command' | 'engine' | 'ffmpeg')[], number, RegExp | undefined])[] = [
  ['a terminal that closes', 'SIGHUP', ['command', 'engine'], 130, undefined],
  ['a polite end of all', 'SIGTERM', ['command', 'engine'], 130, undefined],
  ['a polite end of the engine', 'SIGTERM', ['engine'], 1, /the engine stopped unexpectedly \(SIGTERM\): run the same command again/],
  ['ffmpeg killed while painting', 'SIGKILL', ['ffmpeg'], 1, /ffmpeg was stopped by SIGKILL.*run it again/],
  ['the engine killed', 'SIGKILL', ['engine'], 1, /the engine was killed, perhaps because memory ran short: run the same command again/],
];
for (const [what, signal, victims, status, sentence] of ends)
  test(`stopped: ${what}`, async () => {
    const out = join(folder, 'stopped.mp4');
    let struck = false;
    const onLine = (l: Line) => {
      if (struck || l['phase'] !== 'denoise' || Number(l['step']) < 3) return;
      struck = true;
      const pids = family(started.mark, started.child.pid);
      for (const v of victims) process.kill(pids[v]!, signal);
    };
    const started = start(long(out), { onLine });
    const ended = await started.ended;
    assert.equal(ended.status, status, ended.stdout.slice(-500) + ended.stderr);
    assert.equal(ended.stderr, '');
    const last = ended.lines.at(-1)!;
    assert.equal(last.type, 'failed');
    assert.match(String(last['text']), sentence ?? /^Canceled\. The same command goes on where it stopped\.$/);
    await sleep(marked(started.mark).length ? 1000 : 0);
    assert.deepEqual(marked(started.mark), []);
    if (what === 'the engine killed') for (const f of hidden()) rmSync(join(folder, f)); // what a kill -9 leaves, the next run removes: kill.test.ts
    assert.deepEqual(
      hidden().filter(f => f !== '.stopped.mp4.snapshot'),
      [],
    );
    rmSync(join(folder, '.stopped.mp4.snapshot'), { force: true });
    assert.ok(!readdirSync(folder).includes('stopped.mp4'));
  });

test('the command line says the same to people: one sentence and no stack', async () => {
  const started = start(long(join(folder, 'people.mp4')).filter(a => a !== '--json'));
  while (!marked(started.mark).some(p => p.command.includes('ffmpeg') && p.command.includes('pipe:0'))) await sleep(50);
  started.child.kill('SIGHUP');
  const ended = await started.ended;
  assert.equal(ended.status, 130);
  assert.equal(ended.stderr.trim().split('\n').at(-1), 'Canceled. The same command goes on where it stopped.');
  assert.doesNotMatch(ended.stderr, /\n\s+at /);
});
