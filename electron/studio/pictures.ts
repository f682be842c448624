/** @file Pictures that clips begin with. Each is kept by content and never changed; what it was taken from may be edited or deleted. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { api } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import { rowOf, type PhotoId, type PictureId } from '../contract/ids.ts';
import { picture, text, type Picture } from '../contract/records.ts';
import type { HostOf } from '../contract/rpc.ts';
import { given } from '../../native-models/tasks.ts';
import { fileHash, readBytes, writeDurably } from '../media/files.ts';
import { normalizePhoto } from '../media/import.ts';
import { byteLimit, checkStart, prepareReference, storePhoto, type StoredPicture } from '../media/photo.ts';
import { fileIn, type Library } from './library.ts';
import { absolute, folderIn, isThere, readRecord } from './rows.ts';
import type { SubjectsPart } from './subjects.ts';

export type PicturesPart = HostOf<typeof api>['pictures'] & {
  /** @throws StudioError `notFound` */
  get(id: PictureId): Picture;
  /** The picture of this content, or made of a file of this content; where a photo of the library has it, that one is kept as a picture. */
  byContent(sha256: string): Promise<Picture | undefined>;
  /** Where a picture lies, by content, absolute; whether it is there is the caller's to see. */
  file(sha256: string): string;
  /** Where its file lies, absolute, and its media type.
   * @throws StudioError `notFound` */
  media(id: PictureId): { path: string; type: string };
  /** The file of every picture, relative to the library. */
  allFiles(): ReadonlyMap<string, PictureId>;
  /** Those that are named by a clip or a job that can still run, or that somebody may be about to use: chosen less than a day ago, or being written. Any other can go. */
  neededFiles(): ReadonlySet<string>;
  /** Takes the pictures with these files off the list. The files are the caller's to remove, afterwards. */
  forget(files: ReadonlySet<string>): void;
};

interface Row {
  readonly id: number;
  readonly sha256: string;
  readonly file: string;
  readonly record: string;
}
/** What a row keeps beside its columns; `chosenAt`: when it was added last; `cameAs`: the content of the files that it was made of, by which clips made without a library know it. */
const pictureRecord = picture
  .omit({ id: true, sha256: true, missing: true })
  .extend({ chosenAt: picture.shape.createdAt, cameAs: z.array(z.string()).default([]) });

/** How long a picture stays that nothing names: somebody may be writing a prompt for it. */
const day = 24 * 60 * 60_000;
/** Files that a picture is known by; the newest. */
const mostFiles = 20;

/** @param sources the photos and clips that pictures are taken from */
export function picturesPart(
  library: Library,
  {
    subjects,
    clips,
  }: {
    subjects: Pick<SubjectsPart, 'get' | 'ofPhoto' | 'media' | 'photoByContent'>;
    clips: Pick<HostOf<typeof api>['clips'], 'frame'>;
  },
): PicturesPart {
  const { db } = library;
  const now = () => new Date().toISOString();
  /** Written, and not yet in a row: cleaning must let them be. */
  const arriving = new Map<string, number>();

  const pictureOf = (row: Row): Picture => {
    const { version, name, width, height, createdAt } = readRecord(pictureRecord, row.record, `picture i${row.id}`);
    return { version, id: `i${row.id}`, name, sha256: row.sha256, width, height, createdAt, missing: !isThere(library, row.file) };
  };
  const rowById = (id: PictureId): Row => {
    const row = db.get<Row>('SELECT * FROM pictures WHERE id = ?', rowOf(id));
    if (!row) throw new StudioError('notFound', `there is no picture ${id}: choose the start image again`);
    return row;
  };
  const rowByContent = (sha256: string) => db.get<Row>('SELECT * FROM pictures WHERE sha256 = ?', sha256);
  const get = (id: PictureId) => pictureOf(rowById(id));

  /** File first, then the row: a crash in between leaves a file that cleaning takes. */
  const keep = async (
    name: string,
    { bytes, extension, sha256, width, height }: Omit<StoredPicture, 'bytes'> & { bytes: Uint8Array },
    cameAs: readonly string[] = [],
  ) => {
    await given(() => checkStart(name, { width, height }));
    const file = rowByContent(sha256)?.file ?? `pictures/${sha256.slice(0, 2)}/${sha256}.${extension}`;
    arriving.set(file, (arriving.get(file) ?? 0) + 1);
    try {
      if (!isThere(library, file)) {
        await folderIn(library, 'pictures');
        await writeDurably(fileIn(library, file), bytes);
      }
      return db.transaction(() => {
        const before = rowByContent(sha256);
        if (before) {
          const record = readRecord(pictureRecord, before.record, `picture i${before.id}`);
          const changed: typeof record = {
            ...record,
            chosenAt: now(),
            cameAs: [...new Set([...record.cameAs, ...cameAs])].slice(-mostFiles),
          };
          db.run('UPDATE pictures SET record = ? WHERE id = ?', JSON.stringify(changed), before.id);
          return get(`i${before.id}`);
        }
        const record = pictureRecord.parse({
          name: text('the name', 1000).parse(name) || 'picture',
          width,
          height,
          createdAt: now(),
          chosenAt: now(),
          cameAs,
        });
        const { id } = db.run('INSERT INTO pictures (sha256, file, record) VALUES (?, ?, ?)', sha256, file, JSON.stringify(record));
        return get(`i${id}`);
      });
    } finally {
      const left = arriving.get(file)! - 1;
      if (left) arriving.set(file, left);
      else arriving.delete(file);
    }
  };
  /** A photo as it lies in the library: its bytes are its content. */
  const keepPhoto = async (id: PhotoId): Promise<Picture> => {
    const photo = subjects.get(subjects.ofPhoto(id)).photos.find(p => p.id === id)!;
    const called = `photo ${photo.id} (${photo.name.slice(0, 200)})`;
    if (photo.missing)
      throw new StudioError('missing', `${called} is gone from the library's folder: put it back, or choose another picture`);
    const { path, type } = subjects.media(photo.id, 'photo');
    if (photo.crop === null)
      return keep(photo.name, {
        bytes: await given(() => readBytes(path, { most: byteLimit, wanted: 'a photo' })),
        extension: type === 'image/png' ? 'png' : 'jpg',
        sha256: photo.sha256,
        width: photo.width,
        height: photo.height,
      });
    const cut = await given(() => prepareReference({ photo: path, crop: photo.crop, mask: null, cutOut: false }));
    return keep(photo.name, (await given(() => storePhoto({ name: called, bytes: cut, lossy: type !== 'image/png' }))).photo);
  };

  return {
    get,
    file: sha256 => fileIn(library, rowByContent(sha256)?.file ?? `pictures/${sha256.slice(0, 2)}/${sha256}.png`),
    byContent: async sha256 => {
      const row =
        rowByContent(sha256) ??
        db.get<Row>(
          `SELECT * FROM pictures WHERE EXISTS (SELECT 1 FROM json_each(record, '$.cameAs') WHERE value = ?) ORDER BY id`,
          sha256,
        );
      const known = row && pictureOf(row);
      if (known && !known.missing) return known;
      const own = subjects.photoByContent(sha256);
      const photo = own?.subject.photos.find(p => p.id === own.id);
      return photo && !photo.missing && photo.crop === null ? keepPhoto(photo.id) : known;
    },
    media: id => {
      const { file } = rowById(id);
      return { path: fileIn(library, file), type: file.endsWith('.png') ? 'image/png' : 'image/jpeg' };
    },
    allFiles: () => new Map(db.all<Pick<Row, 'id' | 'file'>>('SELECT id, file FROM pictures').map(({ id, file }) => [file, `i${id}`])),
    neededFiles: () => {
      const needed = new Set(arriving.keys());
      const old = new Map<string, string>(); // by content
      for (const { file, sha256, chosenAt } of db.all<{ file: string; sha256: string; chosenAt: string | null }>(
        `SELECT file, sha256, json_extract(record, '$.chosenAt') AS chosenAt FROM pictures`,
      ))
        if (Date.now() - Date.parse(chosenAt ?? '') < day) needed.add(file);
        else old.set(sha256, file);
      if (old.size === 0) return needed;
      // most clips begin with none, and their records need not be parsed
      for (const { sha256 } of db.all<{ sha256: string }>(
        `SELECT DISTINCT json_extract(record, '$.resolved.startImage.sha256') AS sha256 FROM jobs WHERE status <> 'completed' AND instr(record, '"startImage":{')
         UNION SELECT json_extract(record, '$.resolved.startImage.sha256') FROM clips WHERE instr(record, '"startImage":{')`,
      )) {
        const file = old.get(sha256);
        if (file !== undefined) needed.add(file);
      }
      return needed;
    },
    forget: files => {
      db.transaction(() => {
        for (const { id } of db.all<{ id: number }>(
          'SELECT id FROM pictures WHERE file IN (SELECT value FROM json_each(?))',
          JSON.stringify([...files]),
        )) {
          db.run('DELETE FROM pictures WHERE id = ?', id);
          library.say({ type: 'gone', id: `i${id}` });
        }
      });
    },

    add: async ({ from }, signal) => {
      if ('photo' in from) return keepPhoto(from.photo);
      if ('clip' in from) {
        const { base64, name } = await clips.frame({ id: from.clip, frame: from.frame }, signal);
        const { photo } = await given(() => storePhoto({ name, bytes: Buffer.from(base64, 'base64') }));
        return keep(name, photo);
      }
      if ('path' in from) {
        const path = absolute(from.path);
        const { photo, name } = await given(() => normalizePhoto({ path }, signal));
        return keep(name, photo, [await given(() => fileHash(path))]);
      }
      const bytes = Buffer.from(from.base64, 'base64');
      const { photo, name } = await given(() => normalizePhoto({ name: from.name, bytes }, signal));
      return keep(name, photo, [createHash('sha256').update(bytes).digest('hex')]);
    },
    show: ({ id }) => get(id),
  };
}
