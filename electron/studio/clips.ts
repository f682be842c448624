/** @file Finished clips: their rows, files and index; found, named, rated, tagged, thrown away and brought back. */
import { existsSync } from 'node:fs';
import { lstat, stat, unlink } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import type { api } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import { rowOf, type ClipId, type SubjectId } from '../contract/ids.ts';
import { clip, type Clip } from '../contract/records.ts';
import type { HostOf } from '../contract/rpc.ts';
import { fileError } from '../media/error.ts';
import { fileHash, syncFolder } from '../media/files.ts';
import { findFfmpeg, type Ffmpeg } from '../media/ffmpeg.ts';
import { clipFrame } from '../media/poster.ts';
import { given } from '../../native-models/tasks.ts';
import { fileIn, type Library } from './library.ts';
import { absolute, copyWhole, fileNameOf, folderIn, isThere, notInside, readRecord, retagged, sizeOf } from './rows.ts';
import { indexClip, indexOfClips, searchClips, unindexClip } from './search.ts';
import { thumbnailOf } from './subjects.ts';

/** A clip as it is handed over by whoever made it; all its files lie in the library, on the disk. */
export interface NewClip extends Omit<
  Clip,
  'version' | 'id' | 'subjects' | 'bytes' | 'latentsBytes' | 'stars' | 'tags' | 'trashed' | 'missing' | 'createdAt'
> {
  readonly subjects: readonly { readonly id: SubjectId; readonly name: string; readonly handle: string }[];
  readonly tags?: readonly string[];
  /** Relative to the library. */
  readonly files: {
    readonly video: string;
    readonly poster: string | null;
    readonly sprite: string | null;
    readonly latents: string | null;
  };
}

/** Where a clip's files lie, absolute; null: it has none. */
export interface ClipFiles {
  readonly video: string;
  readonly poster: string | null;
  readonly sprite: string | null;
  readonly latents: string | null;
}

export type ClipsPart = HostOf<typeof api>['clips'] & {
  /** @throws StudioError `notFound` */
  get(id: ClipId): Clip;
  /** Writes a new clip, inside the transaction that ends its job, and tells of it once that is on the disk. Its subjects' thumbnails are those of the photos it was made from. */
  add(made: NewClip): Clip;
  /** @throws StudioError `notFound` */
  files(id: ClipId): ClipFiles;
  /** The thumbnail of one of its subjects as it was then (the first where none is named), absolute.
   * @throws StudioError `notFound` where none was kept */
  subjectThumbnail(id: ClipId, subject?: SubjectId): string;
  /** The files of every clip, relative to the library. */
  allFiles(): ReadonlyMap<string, { readonly id: ClipId; readonly kind: 'clips' | 'previews' | 'latents'; readonly trashed: boolean }>;
  /** Takes these latents out of their clips' rows. The files are the caller's to remove, afterwards. */
  forgetLatents(files: readonly string[]): void;
};

interface Row {
  readonly id: number;
  readonly file: string;
  readonly poster: string | null;
  readonly sprite: string | null;
  readonly latents: string | null;
  readonly stars: number;
  readonly trashed: number;
  readonly record: string;
}
/** What a row keeps beside its columns. */
const clipRecord = clip.omit({ id: true, stars: true, trashed: true, missing: true });

/** Clips changed in one transaction, and files removed before their rows are: other work gets its turn in between. */
const atOnce = 250;
const pause = () => new Promise<void>(resolve => void setImmediate(resolve));

export function clipsPart(library: Library): ClipsPart {
  const { db } = library;

  const none = (id: ClipId) => new StudioError('notFound', `there is no clip ${id}: list them`);
  const rowById = (id: ClipId): Row => {
    const row = db.get<Row>('SELECT * FROM clips WHERE id = ?', rowOf(id));
    if (!row) throw none(id);
    return row;
  };
  const clipOf = (row: Row): Clip => ({
    ...readRecord(clipRecord, row.record, `clip c${row.id}`),
    id: `c${row.id}`,
    stars: row.stars,
    trashed: row.trashed === 1,
    missing: !isThere(library, row.file),
  });
  const get = (id: ClipId) => clipOf(rowById(id));
  const told = (id: ClipId): Clip => {
    const clip = get(id);
    library.say({ type: 'clip', clip });
    return clip;
  };
  /** Brings the index and the counted tags to what the row says. */
  const reindex = (clip: Clip) => {
    const row = rowOf(clip.id);
    db.run('DELETE FROM clip_tags WHERE clip = ?', row);
    for (const tag of clip.tags) db.run('INSERT OR IGNORE INTO clip_tags (tag, clip, trashed) VALUES (?, ?, ?)', tag, row, clip.trashed);
    indexClip(db, {
      id: row,
      texts: [
        clip.name,
        clip.request?.prompt ?? '',
        clip.resolved?.prompt ?? '',
        ...clip.subjects.flatMap(s => [s.name, `@${s.handle}`]),
        ...clip.tags,
      ],
      stars: clip.stars,
      trashed: clip.trashed,
      subjects: clip.subjects.map(s => rowOf(s.id)),
      tags: clip.tags,
    });
  };
  /** Changes a clip, in the caller's transaction. */
  const write = (clip: Clip) => {
    const row = rowOf(clip.id);
    const record = JSON.stringify(clipRecord.parse(clip));
    db.run('UPDATE clips SET stars = ?, trashed = ?, record = ? WHERE id = ?', clip.stars, clip.trashed, record, row);
    db.run('UPDATE clip_subjects SET trashed = ? WHERE clip = ?', clip.trashed, row);
    reindex(clip);
  };
  /** Each of these once, in their order.
   * @throws StudioError `notFound` */
  const known = (ids: readonly ClipId[]) =>
    db
      .all<{ row: number; trashed: number | null }>(
        'SELECT asked.value AS row, clips.trashed FROM json_each(?) asked LEFT JOIN clips ON clips.id = asked.value ORDER BY asked.key',
        JSON.stringify([...new Set(ids)].map(rowOf)),
      )
      .map(({ row, trashed }) => {
        const id = `c${row}` as const;
        if (trashed === null) throw none(id);
        return { id, trashed: trashed === 1 };
      });
  const throwAway = async (ids: readonly ClipId[], trashed: boolean): Promise<{ clips: Clip[] }> => {
    const all = known(ids);
    const clips: Clip[] = [];
    for (let at = 0; at < all.length; at += atOnce) {
      if (at) await pause();
      clips.push(
        ...db.transaction(() =>
          all.slice(at, at + atOnce).map(({ id }) => {
            const clip = get(id);
            if (clip.trashed !== trashed) write({ ...clip, trashed });
            return told(id);
          }),
        ),
      );
    }
    return { clips };
  };
  /** Where its file lies, absolute.
   * @throws StudioError `missing` */
  const present = (row: Row): string => {
    if (isThere(library, row.file)) return fileIn(library, row.file);
    throw new StudioError('missing', `the file of c${row.id} is gone from the library's folder: find it, or remove c${row.id}`);
  };
  let ffmpeg: Ffmpeg | undefined,
    decoding: Promise<unknown> = Promise.resolve();
  /** One after the other: each starts a process. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = decoding.then(work);
    decoding = mine.catch(() => undefined);
    return mine;
  };
  const named = (file: string) => db.get('SELECT 1 FROM clips WHERE file = ?', file) !== undefined;
  const relatives = (row: Row) => [row.file, row.poster, row.sprite, row.latents].filter(f => f !== null);

  return {
    get,

    add: made => {
      const { files, subjects, tags = [], jobId, ...rest } = made;
      const bytes = (file: string | null) => (file === null ? 0 : (sizeOf(fileIn(library, file)) ?? 0));
      return db.transaction(() => {
        const thumbnails = subjects.map(({ id }) => {
          const photo = made.resolved?.references.find(
            r => db.get<{ subject: number }>('SELECT subject FROM photos WHERE id = ?', rowOf(r.photoId))?.subject === rowOf(id),
          );
          const file = photo && thumbnailOf(photo.sha256);
          return file !== undefined && existsSync(fileIn(library, file)) ? file : null;
        });
        const record = clipRecord.parse({
          ...rest,
          jobId,
          subjects: subjects.map((s, i) => ({ ...s, thumbnail: thumbnails[i] !== null })),
          bytes: bytes(files.video),
          latentsBytes: bytes(files.latents),
          tags: [...new Set(tags)],
          createdAt: new Date().toISOString(),
        });
        const { id } = db.run(
          'INSERT INTO clips (job, file, poster, sprite, latents, record) VALUES (?, ?, ?, ?, ?, ?)',
          jobId && rowOf(jobId),
          files.video,
          files.poster,
          files.sprite,
          files.latents,
          JSON.stringify(record),
        );
        subjects.forEach((s, i) =>
          db.run('INSERT INTO clip_subjects (clip, subject, thumbnail) VALUES (?, ?, ?)', id, rowOf(s.id), thumbnails[i]!),
        );
        const clip = told(`c${id}`);
        reindex(clip);
        return clip;
      });
    },

    files: id => {
      const { file, poster, sprite, latents } = rowById(id);
      const lies = (name: string | null) => name && fileIn(library, name);
      return { video: fileIn(library, file), poster: lies(poster), sprite: lies(sprite), latents: lies(latents) };
    },

    subjectThumbnail: (id, subject) => {
      const first = subject ?? get(id).subjects.find(s => s.thumbnail)?.id;
      const row =
        first &&
        db.get<{ thumbnail: string | null }>('SELECT thumbnail FROM clip_subjects WHERE subject = ? AND clip = ?', rowOf(first), rowOf(id));
      if (!row?.thumbnail) throw new StudioError('notFound', `no picture of ${subject ?? 'a subject'} was kept with ${id}`);
      return fileIn(library, row.thumbnail);
    },

    list: search => {
      const { ids, next } = searchClips(db, search);
      return { clips: ids.map(id => get(`c${id}`)), next };
    },

    index: search => ({ ids: indexOfClips(db, search).map(id => `c${id}` as const) }),

    some: ({ ids }) => {
      const rows = db.all<Row>('SELECT * FROM clips WHERE id IN (SELECT value FROM json_each(?))', JSON.stringify(ids.map(rowOf)));
      const clips = new Map(rows.map(row => [row.id, row]));
      return { clips: ids.map(id => clips.get(rowOf(id))).flatMap(row => (row ? [clipOf(row)] : [])) };
    },

    tags: () => ({
      tags: db
        .all<{
          tag: string;
          clips: number;
        }>('SELECT tag, count(*) AS clips FROM clip_tags WHERE trashed = 0 GROUP BY tag ORDER BY clips DESC, tag')
        .map(({ tag, clips }) => ({ tag, clips })),
    }),

    frame: async ({ id, frame }, signal) => {
      const row = rowById(id),
        { name, numFrames, width, height } = clipOf(row);
      if (frame >= numFrames)
        throw new StudioError(
          'badInput',
          `${id} has ${numFrames === 1 ? 'one frame, number 0' : `${numFrames} frames, numbered 0 to ${numFrames - 1}`}: there is no frame ${frame}`,
        );
      const file = present(row);
      const png = await inTurn(async () => {
        signal.throwIfAborted();
        try {
          return await given(async () => clipFrame((ffmpeg ??= await findFfmpeg()), file, frame, signal));
        } catch (e) {
          ffmpeg = undefined; // a machine's ffmpeg may have been replaced
          throw e;
        }
      });
      return { base64: Buffer.from(png).toString('base64'), name: `${fileNameOf(name, id)}-${frame}.png`, width, height };
    },

    show: ({ id }) => get(id),

    edit: ({ id, name, stars, addTags: add, removeTags: remove }) =>
      db.transaction(() => {
        const clip = get(id);
        const tags = retagged(id, clip.tags, { add, remove });
        write({ ...clip, ...(name !== undefined && { name }), ...(stars !== undefined && { stars }), tags });
        return told(id);
      }),

    trash: ({ ids }) => throwAway(ids, true),
    restore: ({ ids }) => throwAway(ids, false),

    // Files go before rows: it works on a full disk, whose space it may be needed for, and after a crash in between the clip is still in the
    // trash, without its file, until the trash is emptied again. The other order would leave files that no one knows.
    erase: async ({ ids }, signal) => {
      const asked = ids && known(ids),
        kept = asked?.find(c => !c.trashed);
      if (kept) throw new StudioError('conflict', `${kept.id} is not in the trash: only what is there can be erased`);
      const all = asked?.map(c => c.id) ?? db.all<{ id: number }>('SELECT id FROM clips WHERE trashed = 1').map(r => `c${r.id}` as const);
      let [clips, bytes] = [0, 0];
      for (let at = 0; at < all.length; at += atOnce) {
        signal.throwIfAborted();
        const done: ClipId[] = [];
        const folders = new Set<string>();
        try {
          for (const id of all.slice(at, at + atOnce)) {
            const row = db.get<Row>('SELECT * FROM clips WHERE id = ? AND trashed = 1', rowOf(id)); // it may have been restored meanwhile
            if (!row) continue;
            for (const file of relatives(row)) {
              const path = fileIn(library, file);
              try {
                const { size } = await lstat(path);
                await unlink(path);
                bytes += size;
                folders.add(dirname(path));
              } catch (error) {
                if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw fileError(`cannot erase ${file}`, error);
              }
            }
            done.push(id);
          }
        } finally {
          for (const folder of folders) await syncFolder(folder);
          db.transaction(() => {
            for (const id of done) {
              db.run('DELETE FROM clips WHERE id = ?', rowOf(id));
              unindexClip(db, rowOf(id));
              library.say({ type: 'gone', id });
            }
          });
          clips += done.length;
        }
      }
      return { clips, bytes };
    },

    find: async ({ id, path }, signal) => {
      const row = rowById(id),
        { sha256, bytes, name } = get(id);
      const from = absolute(path);
      const size = sizeOf(from);
      if (size === undefined) throw new StudioError('missing', `there is no file at ${path}: check the path, or plug in its drive`);
      if (bytes > 0 && size !== bytes)
        throw new StudioError('conflict', `${basename(path)} is not the file of ${name} (${id}), its content differs: name another`);
      const own = fileIn(library, row.file);
      if (sizeOf(own) === size && (await fileHash(own)) === sha256) return told(id);
      await folderIn(library, 'clips');
      // what lies in its place, if anything, is something else and stays
      const end = extname(row.file);
      let file = row.file;
      for (let n = 2; existsSync(fileIn(library, file)) || (file !== row.file && named(file)); n++)
        file = `${row.file.slice(0, -end.length || undefined)}-${n}${end}`;
      await copyWhole(from, fileIn(library, file), { signal, sha256 });
      db.run(`UPDATE clips SET file = ?, record = json_set(record, '$.bytes', ?) WHERE id = ?`, file, size, row.id);
      return told(id);
    },

    save: async ({ id, path }, signal) => {
      const row = rowById(id);
      const from = present(row),
        to = absolute(path);
      const isFolder = await stat(to).then(
        s => s.isDirectory(),
        () => false,
      );
      const target = isFolder ? join(to, basename(row.file)) : to;
      await notInside(library, target);
      return { bytes: await copyWhole(from, target, { signal }) };
    },

    allFiles: () => {
      const all = new Map<string, { id: ClipId; kind: 'clips' | 'previews' | 'latents'; trashed: boolean }>();
      for (const row of db.all<Omit<Row, 'record' | 'stars'>>('SELECT id, file, poster, sprite, latents, trashed FROM clips')) {
        const of = { id: `c${row.id}`, trashed: row.trashed === 1 } as const;
        all.set(row.file, { ...of, kind: 'clips' });
        for (const file of [row.poster, row.sprite]) if (file !== null) all.set(file, { ...of, kind: 'previews' });
        if (row.latents !== null) all.set(row.latents, { ...of, kind: 'latents' });
      }
      return all;
    },
    forgetLatents: files => {
      db.run(
        `UPDATE clips SET latents = NULL, record = json_set(record, '$.latentsBytes', 0) WHERE latents IN (SELECT value FROM json_each(?))`,
        JSON.stringify(files),
      );
    },
  };
}
