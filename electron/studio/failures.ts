/** @file Any error as a failure for people: code, sentence, and the action that mends it. The only place where errors of different makers are told apart. */
import { z } from 'zod';
import { actionOf, StudioError, type Failure } from '../contract/errors.ts';
import { asFailure, errnoOf } from '../../native-models/tasks.ts';
import { DatabaseError } from './database.ts';

/** @param error whatever was thrown
 * @param home the library's folder: its path is cut out of sentences, since they may go to a browser, and so is advice that holds only where there is no library */
export function describeFailure(error: unknown, home?: string): Failure {
  const { code, text, count } = plain(error, home !== undefined);
  const said = home === undefined ? text : without(home, text);
  return { code, text: said, action: actionOf[code], ...(count !== undefined && { count }) };
}

/** A text without the paths of the library; of a neighbour whose name begins alike (`library-2`) nothing is cut. */
const without = (home: string, text: string): string =>
  text
    .split(home)
    .reduce((before, after) =>
      /^[/\\]./.test(after)
        ? before + after.slice(1)
        : before + (/^(?:[\p{L}\p{N}_-]|\.[\p{L}\p{N}])/u.test(after) ? home : 'the library') + after,
    );

const bug = (what: string) => ({ code: 'bug', text: `something went wrong inside Protagonist (${what}): please report it` }) as const;

function plain(error: unknown, inLibrary: boolean): { code: Failure['code']; text: string; count?: number | undefined } {
  if (error instanceof StudioError) return { code: error.code, text: error.message, count: error.count };
  if (error instanceof DatabaseError) return { code: error.code, text: error.message };
  if (error instanceof z.ZodError) {
    const [issue] = error.issues;
    return bug(issue ? `${issue.path.join('.')}: ${issue.message}` : 'a record that is not whole');
  }
  if (error instanceof Error && ['TypeError', 'RangeError', 'ReferenceError', 'SyntaxError', 'AssertionError'].includes(error.name))
    return bug(error.message.split('\n')[0] ?? '');
  const { code, text } = asFailure(error);
  return { code: code === 'failed' && ofAPath.has(errnoOf(error)) ? 'badFile' : code, text: inLibrary ? withoutCommand(text) : text };
}

/** The engine and its media speak as to someone who has typed a command with an output: run again, it goes on. In a library that would queue another job; there the failure's action says what to do. */
const command = '(?:run (?:the same command|it) again(?: to go on where it was)?|choose another --out)';
const [commandFirst, commandLast] = [new RegExp(`: ${command}, or `, 'g'), new RegExp(`(?::|, then|, or) ${command}`, 'g')];
const withoutCommand = (text: string): string => text.replace(commandFirst, ': ').replace(commandLast, '');

/** What the system says of a path that a person gave: theirs to correct, nothing to report. */
const ofAPath: ReadonlySet<unknown> = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG', 'EACCES', 'EPERM', 'ELOOP']);
