/** @file Ids: a letter and the row's number, so that they are short to type, say what they name, and grow in the order of creation whatever the clock does. */
import { z } from 'zod';

const id = <L extends string>(letter: L, noun: string) =>
  z.custom<`${L}${number}`>(
    x => typeof x === 'string' && x.startsWith(letter) && /^[1-9]\d{0,14}$/.test(x.slice(letter.length)),
    `is no id of a ${noun}: one is written like ${letter}12`,
  );
export const subjectId = id('s', 'subject');
export const photoId = id('p', 'photo');
export const clipId = id('c', 'clip');
export const jobId = id('j', 'job');
export const checkpointId = id('k', 'checkpoint');
export const adapterId = id('a', 'adapter');
export const exportId = id('e', 'export');
export const pictureId = id('i', 'picture');
export type SubjectId = z.infer<typeof subjectId>;
export type PhotoId = z.infer<typeof photoId>;
export type ClipId = z.infer<typeof clipId>;
export type JobId = z.infer<typeof jobId>;
export type CheckpointId = z.infer<typeof checkpointId>;
export type AdapterId = z.infer<typeof adapterId>;
export type ExportId = z.infer<typeof exportId>;
export type PictureId = z.infer<typeof pictureId>;
export type AnyId = SubjectId | PhotoId | ClipId | JobId | CheckpointId | AdapterId | ExportId | PictureId;

/** The row's number. */
export const rowOf = (id: AnyId): number => Number(id.slice(1));
