/** @file Child processes of ours that compute on what a stranger made: how they are started, and the thread that ends one when its owner has gone or it holds too much, also while it computes. */
import { writeSync } from 'node:fs';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

/** Flags by which this Node runs TypeScript, where it needs any. */
export const runFlags = process.execArgv.filter(flag => flag.includes('strip-types'));

/**
 * Watches over this process from a thread of its own.
 * @param owner process id of the one that started it
 * @param megabytes the most it may come to hold: then it says `memory` on standard error and ends
 */
export function watch(owner: number, megabytes: number): void {
  new Worker(new URL(import.meta.url), { workerData: { owner, megabytes } }).unref();
}

if (!isMainThread) {
  const { owner, megabytes } = workerData as { owner: number; megabytes: number };
  setInterval(() => {
    const large = process.memoryUsage.rss() > megabytes * 1e6;
    if (large) writeSync(2, 'memory');
    if (large || process.ppid !== owner) process.kill(process.pid, 'SIGKILL');
  }, 50);
}
