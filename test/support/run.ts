/** @file Runs the command line as a person would and looks at the processes it starts (Linux). */
import { spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

export const root = resolve(import.meta.dirname, '../..');
const entry = resolve(root, 'electron/protagonist.js');

const other = process.env['PROTAGONIST_TEST_CHECKPOINT'];
/** The checkpoint that the tests run: the embedded one, unless another is named in the environment. */
export const checkpoint = other ?? resolve(root, 'assets/toybox');

const photos = resolve(root, 'assets/toybox/photos');
/** One of the sample photos: the first by its name. */
export const photo: string = resolve(
  photos,
  readdirSync(photos)
    .toSorted()
    .find(f => /\.(jpg|png)$/.test(f))!,
);

export interface Line {
  readonly type: string;
  readonly [key: string]: unknown;
}
export interface Ended {
  readonly status: number | null;
  readonly lines: readonly Line[];
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}
export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** In the environment of each process that the command starts, directly or not. */
  readonly mark: string;
}

/** Starts `protagonist ...args`; `onLine` sees each JSON line as it comes. */
export function start(
  args: readonly string[],
  { onLine, env = {}, cwd, input }: { onLine?: (line: Line) => void; env?: Record<string, string>; cwd?: string; input?: string } = {},
): Started {
  const mark = `mark-${process.pid}-${Math.random().toString(36).slice(2)}`,
    began = performance.now();
  const open = other !== undefined && args[0] === 'generate' && !args.includes('--checkpoint');
  const child = spawn(process.execPath, [entry, ...args, ...(open ? ['--checkpoint', other] : [])], {
    env: { ...process.env, PROTAGONIST_TEST_MARK: mark, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(cwd !== undefined && { cwd }),
  });
  child.stdin.on('error', () => undefined).end(input ?? ''); // it may end before it has read
  const lines: Line[] = [];
  let stdout = '',
    stderr = '';
  createInterface({ input: child.stdout }).on('line', text => {
    stdout += `${text}\n`;
    if (!text.startsWith('{')) return;
    const line = JSON.parse(text) as Line;
    lines.push(line);
    onLine?.(line);
  });
  child.stderr.on('data', (b: Buffer) => (stderr += b.toString()));
  const ended = new Promise<Ended>((done, fail) => {
    child.on('error', fail);
    child.on('close', status => done({ status, lines, stdout, stderr, seconds: (performance.now() - began) / 1000 }));
  });
  return { child, ended, mark };
}
export const run = (args: readonly string[], options?: Parameters<typeof start>[1]): Promise<Ended> => start(args, options).ended;

export interface Process {
  readonly pid: number;
  readonly command: string;
}
/** The living processes whose environment carries `mark`. */
export function marked(mark: string): Process[] {
  return readdirSync('/proc').flatMap(name => {
    if (!/^\d+$/.test(name)) return [];
    try {
      if (!readFileSync(`/proc/${name}/environ`, 'latin1').includes(mark)) return [];
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      if (stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z')) return [];
      return [{ pid: Number(name), command: readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ').trim() }];
    } catch {
      return [];
    }
  });
}
/** Peak resident memory of a process so far, in MiB; 0 if it is gone. */
export function peakMiB(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}
export const sleep = (ms: number): Promise<void> => new Promise(done => setTimeout(done, ms));
