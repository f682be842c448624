/** @file What people call things: ids, handles, names; each turned into the id that the API takes. */
import { existsSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { z } from 'zod';
import { adapterId, checkpointId, clipId, exportId, jobId, photoId, pictureId, subjectId, type PictureId } from '../contract/ids.ts';
import { handle, type Adapter, type Checkpoint, type Subject } from '../contract/records.ts';
import { UsageError } from './arguments.ts';
import type { Only } from './verb.ts';

const reader =
  <S extends z.ZodType>(schema: S) =>
  (word: string): z.output<S> => {
    const parsed = schema.safeParse(word);
    if (!parsed.success) throw new UsageError(`'${word}' ${parsed.error.issues[0]?.message ?? 'is not understood'}`);
    return parsed.data;
  };
export const clipIdOf = reader(clipId);
export const jobIdOf = reader(jobId);
export const photoIdOf = reader(photoId);
export const subjectIdOf = reader(subjectId);
export const exportIdOf = reader(exportId);
export const pictureIdOf = reader(pictureId);

/** Whether a word names a picture that only a library has: a photo (p4), a frame of a clip (c5:16, c5:last), a picture kept before (i2). */
export const isOfLibrary = (word: string): boolean =>
  photoId.safeParse(word).success || pictureId.safeParse(word).success || clipId.safeParse(word.split(':')[0]).success;
/** The picture that a word names, kept in the library for clips to begin with.
 * @throws UsageError, StudioError */
export async function pictureOf(client: Only<'pictures.add' | 'clips.show'>, word: string): Promise<PictureId> {
  const picture = pictureId.safeParse(word),
    photo = photoId.safeParse(word);
  if (existsSync(word) || !isOfLibrary(word)) return (await client.pictures.add({ from: { path: pathOf(word) } })).id;
  if (picture.success) return picture.data;
  if (photo.success) return (await client.pictures.add({ from: { photo: photo.data } })).id;
  const [name = '', which, ...rest] = word.split(':'),
    id = clipIdOf(name);
  if (which === undefined || rest.length)
    throw new UsageError(`'${word}' does not say which frame: write ${id}:0 for the first one, ${id}:last for the last`);
  const frame =
    which === 'last' ? (await client.clips.show({ id })).numFrames - 1 : wholeOf(which, 'the frame', 0, Number.MAX_SAFE_INTEGER);
  return (await client.pictures.add({ from: { clip: id, frame } })).id;
}

/** A subject by `@handle`, `handle` or id.
 * @throws UsageError where it can be neither; StudioError `notFound` */
export function subjectOf(client: Only<'subjects.show'>, word: string): Promise<Subject> {
  if (!subjectId.safeParse(word).success && !handle.safeParse(word).success)
    throw new UsageError(`'${word}' is no subject: name one by its handle (@kelp) or its id (s1)`);
  return client.subjects.show({ id: word });
}

/** The one thing of a list that is meant by an id or, capitals aside, by its name.
 * @throws UsageError naming what there is */
function named<T extends { id: string; name: string }>(noun: string, isId: boolean, word: string, list: readonly T[]): T {
  const same = list.filter(x => (isId ? x.id === word : x.name.toLowerCase() === word.toLowerCase()));
  if (same.length === 1) return same[0]!;
  if (same.length) throw new UsageError(`'${word}' is the name of ${same.map(x => x.id).join(' and ')}: take the id`);
  const there = list.map(x => `${x.id} ${x.name}`).join(', ');
  throw new UsageError(
    `there is no ${noun} '${word}': ${there ? `the library knows ${there.length > 300 ? `${list.length}, see protagonist ${noun} list` : there}` : 'the library knows none'}; one that lies on a disk is added with protagonist ${noun} add`,
  );
}
export const checkpointOf = async (client: Only<'checkpoints.list'>, word: string): Promise<Checkpoint> =>
  named('checkpoint', checkpointId.safeParse(word).success, word, (await client.checkpoints.list({})).checkpoints);
export const adapterOf = async (client: Only<'adapters.list'>, word: string): Promise<Adapter> =>
  named('adapter', adapterId.safeParse(word).success, word, (await client.adapters.list({})).adapters);

/** A path as its owner has to know it: the owner of the library may work in another folder. */
export function pathOf(word: string): string {
  if (word === '') throw new UsageError('the path is empty: name a file or folder');
  return resolve(word);
}
/** Writes a file, never over another one.
 * @throws UsageError */
export function writeNew(file: string, base64: string): void {
  try {
    writeFileSync(file, Buffer.from(base64, 'base64'), { flag: 'wx' });
  } catch (e) {
    throw new UsageError(`--out ${file} cannot be written: ${(e as Error).message}`);
  }
}
/** Tags as typed: `--tag a --tag b,c`. */
export const tagsOf = (words: readonly string[] | undefined): string[] | undefined =>
  words?.flatMap(w => w.split(',')).map(w => w.trim()).filter((w, _, all) => w !== '' || all.length > 1); // prettier-ignore
/** A whole number in words that are no options.
 * @throws UsageError saying what it is for */
export function wholeOf(word: string, what: string, low: number, high: number): number {
  const n = Number(word);
  if (word.trim() === '' || !Number.isInteger(n) || n < low || n > high)
    throw new UsageError(`${what} is a whole number from ${low} to ${high}, not '${word}'`);
  return n;
}
