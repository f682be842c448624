/**
 * @file Disks to fail: small file systems that fill up, and one whose power is cut.
 *
 * The cut needs no special kernel: ext4 in a file, mounted by loop, so that nothing reaches the file but what was synced (`commit=600` keeps the
 * journal's own timer away). A child works on it and prints what it has acknowledged; at a random moment it is stopped, the file is copied as a
 * drive without power would hold it, and the copy is mounted and checked. Needs Linux and root.
 */
import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  rmdirSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Why no file system can be mounted here, as a test's `skip` takes it; false if one can. */
export function cannotMount(): string | false {
  if (process.platform !== 'linux') return 'file systems are mounted on Linux only';
  if (process.getuid?.() !== 0) return 'mounting a file system needs root';
  const folder = mkdtempSync(join(tmpdir(), 'protagonist-mount-'));
  try {
    mountTmpfs(folder, '64k');
    unmount(folder);
    return false;
  } catch {
    return 'mounting a file system is not permitted here';
  } finally {
    rmdirSync(folder);
  }
}
/** A file system in memory of that size (`2m`); a second call changes the size, or with `ro` makes it read-only. */
export function mountTmpfs(folder: string, size: string, mode: 'rw' | 'ro' = 'rw', again = false): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `${again ? 'remount,' : ''}size=${size},${mode}`, 'tmpfs', folder], { stdio: 'pipe' });
}
export function unmount(folder: string): void {
  execFileSync('umount', [folder], { stdio: 'pipe' });
}

export interface Cut {
  /** A script for node; its arguments are the mounted folder and `args`. It prints a line for each thing acknowledged, once it is. */
  readonly script: string;
  readonly args?: readonly string[];
  /** Milliseconds from its first line to the cut. */
  readonly after: number;
  /** Given what the disk holds after the cut, mounted, and the acknowledged lines in order. Must leave no file open. */
  readonly check: (folder: string, acknowledged: readonly string[]) => void | Promise<void>;
  /** Size of the disk, 64 MiB by default. */
  readonly bytes?: number;
}

/** Whether every thread of a process stands still; one in a system call ends that first. */
const isStopped = (pid: number): boolean =>
  readdirSync(`/proc/${pid}/task`).every(thread => /^State:\s+T/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, 'latin1')));

/** Runs a script on a disk of its own, cuts the power, and has what is left checked. */
export async function cutPower({ script, args = [], after, check, bytes = 64 * 1024 * 1024 }: Cut): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'protagonist-power-'));
  const [disk, copy, folder] = ['disk.img', 'copy.img', 'mounted'].map(name => join(root, name)) as [string, string, string];
  mkdirSync(folder);
  let mounted = false;
  const mount = (image: string) => {
    execFileSync('mount', ['-o', 'loop,commit=600', image, folder], { stdio: 'pipe' });
    mounted = true;
  };
  const leave = async () => {
    for (let tries = 0; mounted; tries++)
      try {
        unmount(folder);
        mounted = false;
      } catch (error) {
        if (tries > 50) throw error;
        await sleep(20);
      }
  };
  try {
    const image = openSync(disk, 'w');
    ftruncateSync(image, bytes);
    closeSync(image);
    execFileSync('mkfs.ext4', ['-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', disk], { stdio: 'pipe' });
    mount(disk);
    const child = spawn(process.execPath, [script, folder, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '',
      errors = '';
    const begun = new Promise<void>(done =>
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        out += text;
        if (out.includes('\n')) done();
      }),
    );
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    let hasEnded = false as boolean;
    const ended = new Promise<void>(done =>
      child.on('close', () => {
        hasEnded = true;
        done();
      }),
    );
    try {
      await Promise.race([begun, ended]);
      await Promise.race([sleep(after), ended]);
      if (hasEnded) throw new Error(`the script ended before the cut: ${errors}`);
      child.kill('SIGSTOP');
      while (!isStopped(child.pid!)) await sleep(1);
      copyFileSync(disk, copy);
    } finally {
      child.kill('SIGKILL');
      await ended; // with all that it had printed
    }
    await leave();
    mount(copy);
    const whole = out.slice(0, out.lastIndexOf('\n') + 1);
    await check(folder, whole.split('\n').slice(0, -1));
  } finally {
    await leave();
    rmSync(root, { recursive: true, force: true });
  }
}
