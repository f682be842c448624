/** @file The one kind of error this folder throws on purpose, and the sentence for each way a disk says no. */

/** A failure of photos, ffmpeg or clip files that a person can act on: its message is one sentence saying what, where, and what to do. */
export class MediaError extends Error {
  override readonly name = 'MediaError';
  /** `encoderDied`: ffmpeg refused nothing, it was killed, crashed or stood still. */
  readonly reason: 'encoderDied' | undefined;
  constructor(message: string, { reason, ...options }: ErrorOptions & { reason?: 'encoderDied' } = {}) {
    super(message, options);
    this.reason = reason;
  }
}

/** What each of the operating system's codes means to a person. */
const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full: free some space or choose another folder',
  EDQUOT: 'your share of this disk is used up: free some space or choose another folder',
  EROFS: 'that disk can only be read: choose another folder',
  EACCES: 'you have no permission there: choose another file or folder',
  EPERM: 'you have no permission there: choose another file or folder',
  ENOENT: 'no such file or folder: check the path',
  ENOTDIR: 'part of the path is a file, not a folder: check the path',
  EISDIR: 'that is a folder: name a file',
  ENAMETOOLONG: 'the name is too long: choose a shorter one',
  EMFILE: 'too many files are open: close some programs and try again',
  ENFILE: 'too many files are open on this machine: close some programs and try again',
  EIO: 'the disk reports an error: try another one',
};

/** The sentence for one of the system's codes. */
export const fileReason = (code: string): string | undefined => reasons[code];

/**
 * Turns a file system error into one sentence.
 * @param doing what was being done to which file, for example `cannot write /tmp/clip.mp4`
 * @param error what was thrown; a MediaError passes through unchanged
 */
export function fileError(doing: string, error: unknown): MediaError {
  if (error instanceof MediaError) return error;
  const code = (error as { code?: unknown } | undefined)?.code;
  const known = typeof code === 'string' ? reasons[code] : undefined;
  return new MediaError(`${doing}: ${known ?? String(error instanceof Error ? error.message : error)}.`, { cause: error });
}
