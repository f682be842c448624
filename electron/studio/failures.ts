/** @file Any error as a failure for people: code, sentence, and the action that mends it. The only place where errors of different makers are told apart. */
import { z } from 'zod';
import { actionOf, StudioError, type Failure } from '../contract/errors.ts';
import { asFailure, errnoOf } from '../../native-models/tasks.ts';
import { DatabaseError } from './database.ts';

/** @param error whatever was thrown
 * @param home the library's folder: its path is cut out of sentences, since they may go to a browser */
export function describeFailure(error: unknown, home?: string): Failure {
  const { code, text, count } = plain(error);
  const said = home === undefined ? text : text.replaceAll(`${home}/`, '').replaceAll(home, 'the library');
  return { code, text: said, action: actionOf[code], ...(count !== undefined && { count }) };
}

const bug = (what: string) => ({ code: 'bug', text: `something went wrong inside Protagonist (${what}): please report it` }) as const;

function plain(error: unknown): { code: Failure['code']; text: string; count?: number | undefined } {
  if (error instanceof StudioError) return { code: error.code, text: error.message, count: error.count };
  if (error instanceof DatabaseError) return { code: error.code, text: error.message };
  if (error instanceof z.ZodError) {
    const [issue] = error.issues;
    return bug(issue ? `${issue.path.join('.')}: ${issue.message}` : 'a record that is not whole');
  }
  if (error instanceof Error && ['TypeError', 'RangeError', 'ReferenceError', 'SyntaxError', 'AssertionError'].includes(error.name))
    return bug(error.message.split('\n')[0] ?? '');
  const found = asFailure(error);
  return found.code === 'failed' && ofAPath.has(errnoOf(error)) ? { ...found, code: 'badFile' } : found;
}

/** What the system says of a path that a person gave: theirs to correct, nothing to report. */
const ofAPath: ReadonlySet<unknown> = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG', 'EACCES', 'EPERM', 'ELOOP']);
