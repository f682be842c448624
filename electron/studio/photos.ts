/** @file Photos looked at: masks that are found or drawn, and what is wrong with a subject's photos. Nothing here is saved. */
import type { api } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import type { PhotoId } from '../contract/ids.ts';
import type { Photo } from '../contract/records.ts';
import type { HostOf } from '../contract/rpc.ts';
import { given } from '../../native-models/tasks.ts';
import { doubtful, GrabCutter } from '../media/cutout.ts';
import { byteLimit } from '../media/photo.ts';
import { lookAt, lookAtAll, type Seen } from '../media/photo-check.ts';
import { readBytes } from '../media/files.ts';
import type { SubjectsPart } from './subjects.ts';

export type PhotosPart = HostOf<typeof api>['photos'] & {
  /** Ends the processes that cut out. */
  close(): void;
};

/** Photos whose findings are kept in memory: a subject that is looked at again after each change is answered at once. */
const mostKept = 2000;
const unreadable = 'The photo, or its mask, is gone or damaged: put it back, or remove it and add it again.';

/** @param subjects whose photos they are, and where the files lie */
export function photosPart(subjects: Pick<SubjectsPart, 'get' | 'ofPhoto' | 'media' | 'files'>): PhotosPart {
  // one for whoever draws, whose photo it keeps, and one for the checks
  const drawing = new GrabCutter(),
    looking = new GrabCutter({ idleSeconds: 10 });
  const seen = new Map<string, Seen>();

  const called = ({ id, name }: Photo): string => `photo ${id} (${name.slice(0, 200)})`;
  const photoOf = (id: PhotoId): Photo => subjects.get(subjects.ofPhoto(id)).photos.find(photo => photo.id === id)!;

  /** What is wrong with one photo by itself; undefined where it cannot be read. */
  const look = async (photo: Photo, signal: AbortSignal): Promise<Seen | undefined> => {
    if (photo.missing) return undefined;
    const key = JSON.stringify([photo.sha256, photo.crop, photo.mask, photo.onWhite]);
    const before = seen.get(key);
    if (before) return before;
    const mask = photo.mask === null ? null : subjects.files.mask(photo.mask);
    const now = await lookAt(
      { name: called(photo), photo: subjects.media(photo.id, 'photo').path, crop: photo.crop, mask, onWhite: photo.onWhite },
      looking,
      signal,
    );
    if (now) {
      const [oldest] = seen.keys();
      if (seen.size >= mostKept && oldest !== undefined) seen.delete(oldest);
      seen.set(key, now);
    }
    return now;
  };

  return {
    cutOut: async ({ id, rectangle, strokes, previous }, signal) => {
      const photo = photoOf(id);
      if (photo.missing)
        throw new StudioError('missing', `${called(photo)} is gone from the library's folder: put it back, or remove ${id}`);
      const { path } = subjects.media(id, 'photo');
      const { mask, confidence } = await given(async () =>
        drawing.cutOut(
          {
            photo: { name: called(photo), bytes: await readBytes(path, { most: byteLimit, wanted: 'a photo' }) },
            ...(rectangle && { rectangle }),
            strokes,
            ...(previous && { previous: Buffer.from(previous.base64, 'base64') }),
          },
          signal,
        ),
      );
      return { mask: { base64: mask.bytes.toString('base64') }, confidence, doubtful: confidence < doubtful };
    },

    check: async ({ id }, signal) => {
      const photos = subjects.get(id).photos.filter(photo => !photo.removed);
      const findings: { photoId: PhotoId | null; problem: Seen['findings'][number]['problem'] | 'unreadable'; sentence: string }[] = [];
      const readable: { id: PhotoId; name: string; hash: bigint; view: Photo['view'] }[] = [];
      for (const photo of photos) {
        signal.throwIfAborted();
        const found = await look(photo, signal);
        if (found) readable.push({ id: photo.id, name: called(photo), hash: found.hash, view: photo.view });
        else findings.push({ photoId: photo.id, problem: 'unreadable', sentence: unreadable });
        for (const { problem, sentence } of found?.findings ?? []) findings.push({ photoId: photo.id, problem, sentence });
      }
      for (const { of, finding } of lookAtAll(readable))
        findings.push({ photoId: of === null ? null : readable[of]!.id, problem: finding.problem, sentence: finding.sentence });
      return { findings };
    },

    close: () => {
      drawing.close();
      looking.close();
    },
  };
}
