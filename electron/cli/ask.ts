/** @file Questions at a terminal. */
import { createInterface } from 'node:readline/promises';
import { UsageError } from './arguments.ts';

/** Whether somebody sees a question and can answer it. */
export const canAsk = (): boolean => process.stdin.isTTY && process.stderr.isTTY;

/** A yes or no at the terminal; no where there is none to ask at. */
export async function confirmed(question: string, signal?: AbortSignal): Promise<boolean> {
  if (!canAsk()) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `, { ...(signal && { signal }) })).trim());
  } catch {
    return false; // Ctrl-C, Ctrl-D
  } finally {
    terminal.close();
  }
}

/** Whether something is to be deleted for good: by `--yes`, or asked at the terminal.
 * @throws UsageError where there is nobody to ask */
export async function deletesForGood(
  what: string,
  { yes, json }: { readonly yes?: boolean; readonly json?: boolean },
  signal: AbortSignal,
): Promise<boolean> {
  if (yes) return true;
  if (json || !canAsk()) throw new UsageError(`that deletes ${what} for good: add --yes`);
  return confirmed(`Delete ${what} for good?`, signal);
}
