/** @file Questions at a terminal. */
import { createInterface } from 'node:readline/promises';
import { UsageError } from './arguments.ts';

/** A yes or no at the terminal; no where there is none to ask at. */
export async function confirmed(question: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } catch {
    return false; // Ctrl-C, Ctrl-D
  } finally {
    terminal.close();
  }
}

/** Whether something is to be deleted for good: by `--yes`, or asked at the terminal.
 * @throws UsageError where there is nobody to ask */
export async function deletesForGood(what: string, { yes, json }: { readonly yes?: boolean; readonly json?: boolean }): Promise<boolean> {
  if (yes) return true;
  if (json || !process.stdin.isTTY) throw new UsageError(`that deletes ${what} for good: add --yes`);
  return confirmed(`Delete ${what} for good?`);
}
