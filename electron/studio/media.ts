/** @file Pictures and videos by id: what a client may see of the library's files, piece by piece. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { z } from 'zod';
import type { api } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import { adapterId, checkpointId, type AdapterId, type CheckpointId } from '../contract/ids.ts';
import type { HostOf } from '../contract/rpc.ts';
import { fileError } from '../media/error.ts';

type Part = HostOf<typeof api>['media'];
type Wanted = Pick<Parameters<Part['read']>[0], 'id' | 'kind'>;
const weightsId = z.union([checkpointId, adapterId]);

/** A file that a client may read. */
export interface Served {
  /** Absolute. */
  readonly path: string;
  /** Its media type. */
  readonly type: string;
  /** Why its bytes are not handed out, although it may be told where it lies. */
  readonly withheld?: string | undefined;
}

/** Follows no link out of the library, and waits for no pipe. */
const plainly = constants.O_RDONLY | (process.platform === 'win32' ? 0 : constants.O_NOFOLLOW | constants.O_NONBLOCK);

/** @param find the file behind an id
 * @throws StudioError `notFound` for an id without one
 * @param weights where a checkpoint or an adapter lies; undefined: clients of this host are told no paths at all */
export function mediaPart(
  find: (wanted: Wanted) => Served,
  weights: ((id: CheckpointId | AdapterId) => Promise<string>) | undefined,
): Part {
  return {
    read: async ({ id, kind, offset, length }) => {
      const { path, type, withheld } = find({ id, kind });
      if (withheld !== undefined) throw new StudioError('notFound', withheld);
      const gone = (cause?: unknown) =>
        new StudioError('missing', `the ${kind} of ${id} is gone from the library's folder: put it back, or remove ${id}`, { cause });
      const file = await open(path, plainly).catch((e: unknown) => {
        throw /^(ENOENT|ENOTDIR|ELOOP|ENXIO)$/.test((e as NodeJS.ErrnoException).code ?? '')
          ? gone(e)
          : fileError(`cannot read the ${kind} of ${id}`, e);
      });
      try {
        const stat = await file.stat(),
          { size } = stat;
        if (!stat.isFile()) throw gone();
        const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.max(0, Math.min(length, size - offset))), 0, undefined, offset);
        return { base64: buffer.toString('base64', 0, bytesRead), bytes: size, type };
      } finally {
        await file.close();
      }
    },
    locate: async ({ id }) => {
      if (!weights) throw new StudioError('notHere', 'files are not shown by their path here: save a copy instead');
      const folder = weightsId.safeParse(id).data;
      if (folder !== undefined) return { path: await weights(folder) };
      const wanted = id as Wanted['id'];
      return {
        path: find({
          id: wanted,
          kind: id.startsWith('c') ? 'video' : id.startsWith('e') ? 'export' : id.startsWith('i') ? 'picture' : 'photo',
        }).path,
      };
    },
  };
}
