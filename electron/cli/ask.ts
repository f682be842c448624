/** @file Questions at a terminal. */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
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

/** Something that nobody else should see: from a terminal, where what is typed is not shown, or from standard input, its first line that is not empty.
 * @param what it is, as in `give the access token`
 * @param verb the command, as it is typed
 * @returns undefined where the terminal gave nothing
 * @throws UsageError where there is nothing to read it from */
export async function secretly(what: string, verb: string, signal: AbortSignal): Promise<string | undefined> {
  if (!process.stdin.isTTY) {
    const most = 4096;
    let text = '';
    for await (const chunk of process.stdin.setEncoding('utf8')) if ((text += String(chunk)).length > most || signal.aborted) break;
    const line = text.slice(0, most).split(/\r?\n/).find(one => one.trim() !== ''); // prettier-ignore
    if (line === undefined) throw new UsageError(`standard input is empty: give the ${what} there, as in: ${verb} < FILE`);
    return line;
  }
  if (!canAsk()) throw new UsageError(`there is no terminal to ask at: give the ${what} on standard input, as in: ${verb} < FILE`);
  process.stderr.write(`The ${what} (it is not shown): `);
  const unseen = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: unseen, terminal: true, historySize: 0 });
  try {
    return (await terminal.question('', { signal })).trim() || undefined;
  } catch {
    return undefined; // Ctrl-C, Ctrl-D
  } finally {
    terminal.close();
    process.stderr.write('\n');
  }
}
