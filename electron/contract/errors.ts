/** @file Every way a request can be refused, and the failures a job can end with: a code for machines, a sentence for people, an action that mends it. */
import { z } from 'zod';
import { errorCodes as engineCodes } from '../../native-models/tasks.ts';

/** What an API call can be refused with, beside the engine's own codes. */
export const apiCodes = [
  /** The input does not have the method's shape. */
  'badInput',
  'unknownMethod',
  'notFound',
  /** What is asked contradicts what is there: a handle that is taken, a job that has ended. */
  'conflict',
  /** More jobs than are queued unasked: `count` says how many; ask the person, then send it again confirmed. */
  'needsConfirmation',
  /** A file that belongs to the library is gone, or its drive. */
  'missing',
  /** The library itself cannot be read or written: `corrupt`, `readOnly`, `newer`. */
  'corrupt',
  'readOnly',
  'newer',
  /** No library may lie in that folder. */
  'badPlace',
  /** The hub gives that only to people it knows: to an access token, and often to an accepted licence. */
  'needsToken',
  /** A job that killed the engine twice at the same place. */
  'quarantined',
  /** This host cannot do that (a browser cannot open a file manager). */
  'notHere',
  'disconnected',
  /** Ours. */
  'bug',
] as const;
export const errorCode = z.enum([...engineCodes, ...apiCodes]);
export type ErrorCode = z.infer<typeof errorCode>;

/** The one button that mends a failure. */
export const actions = [
  'retry',
  'freeSpace',
  'edit',
  'findFile',
  'chooseDevice',
  'chooseSmaller',
  'restoreBackup',
  'enterToken',
  'report',
] as const;
export type Action = (typeof actions)[number];

/** What mends a failure of each code. */
export const actionOf: Readonly<Record<ErrorCode, Action>> = {
  badRequest: 'edit',
  badFile: 'edit',
  noDevice: 'chooseDevice',
  outOfMemory: 'chooseSmaller',
  noSpace: 'freeSpace',
  disk: 'retry',
  busy: 'retry',
  canceled: 'retry',
  engineDied: 'retry',
  encoderDied: 'retry',
  failed: 'report',
  badInput: 'edit',
  unknownMethod: 'report',
  notFound: 'edit',
  conflict: 'edit',
  needsConfirmation: 'edit',
  missing: 'findFile',
  corrupt: 'restoreBackup',
  readOnly: 'retry',
  newer: 'report',
  badPlace: 'edit',
  needsToken: 'enterToken',
  quarantined: 'retry',
  notHere: 'edit',
  disconnected: 'retry',
  bug: 'report',
};

export const failure = z.object({
  code: errorCode,
  text: z.string(),
  action: z.enum(actions),
  /** With `needsConfirmation`: how many jobs it would be. */
  count: z.number().optional(),
});
export type Failure = z.infer<typeof failure>;

/** A refusal with a sentence for a person; crosses every transport whole. */
export class StudioError extends Error {
  readonly code: ErrorCode;
  readonly count: number | undefined;
  constructor(code: ErrorCode, text: string, options?: ErrorOptions & { count?: number }) {
    super(text, options);
    this.name = 'StudioError';
    this.code = code;
    this.count = options?.count;
  }
}
