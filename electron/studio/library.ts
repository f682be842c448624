/** @file What every part of the studio works on: one folder, one database, one stream of events. */
import { isAbsolute, join, normalize } from 'node:path';
import type { StudioEvent } from '../contract/events.ts';
import { StudioError } from '../contract/errors.ts';
import type { Database } from './database.ts';

/** An open library. */
export interface Library {
  /** The visible folder, absolute. */
  readonly home: string;
  readonly db: Database;
  /** Tells every client. Inside a transaction the event waits until that is on the disk, and is dropped if it is not. */
  say(event: StudioEvent): void;
}

/** The absolute path of a file that a row names relative to the library.
 * @throws StudioError `corrupt` where a row would lead out of the library */
export function fileIn(library: Pick<Library, 'home'>, relative: string): string {
  const path = normalize(relative);
  if (relative === '' || isAbsolute(path) || path.startsWith('..'))
    throw new StudioError(
      'corrupt',
      `the library names a file outside itself (${JSON.stringify(relative.slice(0, 80))}): restore a backup`,
    );
  return join(library.home, path);
}
