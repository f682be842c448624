/** @file Kills -9 spread over a run: the same command afterwards makes the same clip and leaves nothing behind. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { findFfmpeg, readFrames } from '../../electron/media/ffmpeg.ts';
import { type Line, marked, photo, run, sleep, start } from '../support/run.ts';

const folder = mkdtempSync(join(tmpdir(), 'protagonist-kill-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const steps = 6;
const command = (out: string) => [
  'generate',
  '--subject',
  photo,
  '--prompt',
  'the toy hops on the beach',
  '--steps',
  String(steps),
  '--seed',
  '7',
  '--out',
  join(folder, out),
  '--json',
];

/** Hash of every decoded frame. */
async function frames(out: string): Promise<string[]> {
  const decoded = await readFrames(await findFfmpeg(), join(folder, out), { width: 128, height: 128, frames: 17, ours: true });
  return decoded.map(f => createHash('md5').update(f).digest('hex'));
}

type Victim = 'command' | 'engine' | 'ffmpeg';
/** Where to strike: a phase and how far into its time, 0 to 1. */
const plan: { phase: string; at: number; victim: Victim }[] = [];
for (const [phase, victims] of [
  ['load', ['command', 'engine', 'command', 'engine', 'command', 'engine']],
  ['encode', ['command', 'engine', 'command', 'engine', 'command', 'engine']],
  ['denoise', ['command', 'engine', 'command', 'engine', 'command', 'engine', 'command']],
  ['decode', ['command', 'engine', 'ffmpeg', 'command', 'engine', 'ffmpeg']],
  ['export', ['ffmpeg', 'engine', 'ffmpeg', 'command', 'engine']],
] as const)
  victims.forEach((victim, i) => plan.push({ phase, at: i / victims.length, victim }));

/** Every third one, another third each time, unless PROTAGONIST_KILLS asks for all: a day's kills (day-kills.test.ts) strike beside these. */
const all = process.env['PROTAGONIST_KILLS'] !== undefined;
const third = Math.floor(Math.random() * 3);

test(`${all ? 'thirty' : 'ten'} kills`, { timeout: 900_000 }, async t => {
  const plain = await run(command('plain.mp4'));
  assert.equal(plain.status, 0, plain.stderr);
  const expected = await frames('plain.mp4');
  assert.equal(expected.length, 17);
  assert.equal(plan.length, 30);
  const timings = plain.lines.at(-1)!['timings'] as Record<string, number>;

  for (const [n, { phase, at, victim }] of [...plan.entries()].filter(([n]) => all || n % 3 === third))
    await t.test(`${n}: ${victim} killed in ${phase}, ${Math.round(at * 100)} % in`, async () => {
      const out = `clip-${n}.mp4`;
      let mark = '';
      /** Starts the command and strikes so many milliseconds after the phase began; whether the strike came in time. */
      const attempt = async (delay: number): Promise<boolean> => {
        let now = '',
          timer: NodeJS.Timeout | undefined,
          struck = false as boolean;
        const strike = () => {
          const all = marked(started.mark);
          const found = {
            command: all.find(p => p.pid === started.child.pid),
            engine: all.find(p => p.command.includes('engine/main.ts')),
            ffmpeg: all.find(p => !p.command.includes('.ts') && !p.command.includes('.js')),
          }[victim];
          if (!found || now !== phase) return;
          struck = true;
          process.kill(found.pid, 'SIGKILL');
        };
        const onLine = (line: Line) => {
          if (line.type === 'progress') now = String(line['phase']);
          if (now === phase) timer ??= setTimeout(strike, delay);
        };
        rmSync(join(folder, out), { force: true });
        const started = start(command(out), { onLine });
        mark = started.mark;
        const { status } = await started.ended;
        clearTimeout(timer);
        return struck && status !== 0;
      };
      let delay = at * timings[phase]! * 1000,
        hit = await attempt(delay);
      for (let n = 0; n < 4 && !hit; n++) hit = await attempt((delay /= 2)); // the phase was over before: once more, earlier
      assert.ok(hit, `the ${victim} was never there to be killed in ${phase}`);
      await sleep(victim === 'command' ? 3000 : 200);
      const again = await run(command(out));
      assert.equal(again.status, 0, again.stderr);
      assert.deepEqual(await frames(out), expected);
      await sleep(marked(mark).length ? 2000 : 0);
      assert.deepEqual(marked(mark), [], 'processes are left');
      assert.deepEqual(
        readdirSync(folder).filter(f => f !== 'plain.mp4' && f !== out),
        [],
        'files are left',
      );
      rmSync(join(folder, out));
    });
});
