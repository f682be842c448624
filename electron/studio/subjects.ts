/** @file Who clips are about: subjects, their photos, crops and masks. Photos are kept by content and never changed. */
import { existsSync, rmSync } from 'node:fs';
import { basename } from 'node:path';
import type { z } from 'zod';
import { given } from '../../native-models/tasks.ts';
import type { api, Source } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import { rowOf, type PhotoId, type SubjectId } from '../contract/ids.ts';
import { handle as handleSchema, photo, subject, text, type Crop, type Photo, type Subject } from '../contract/records.ts';
import type { HostOf } from '../contract/rpc.ts';
import { fileError, MediaError } from '../media/error.ts';
import { writeDurably } from '../media/files.ts';
import { normalizePhoto, photosIn, type NormalizedPhoto, type PhotoSource } from '../media/import.ts';
import { checkMask, photoThumbnail } from '../media/photo.ts';
import { fileIn, type Library } from './library.ts';
import { absolute, folderIn, isThere, presence, readRecord, retagged, sizeOf } from './rows.ts';
import { normalize, wordsOf } from './search.ts';

const byContent = (folder: string, sha256: string, extension: string) => `${folder}/${sha256.slice(0, 2)}/${sha256}.${extension}`;
/** Where the thumbnail of a photo lies, relative to the library: a JPEG. */
export const thumbnailOf = (photoSha256: string): string => byContent('previews', photoSha256, 'jpg');
const maskOf = (sha256: string) => byContent('masks', sha256, 'png');

/** A subject that comes with the program. */
export interface Sample {
  readonly name: string;
  readonly kind: Subject['kind'];
  readonly description: string;
  readonly handle: string;
  /** Its photo, absolute. */
  readonly photo: string;
}

export type SubjectsPart = HostOf<typeof api>['subjects'] & {
  /** Removed ones too.
   * @throws StudioError `notFound` */
  get(id: SubjectId): Subject;
  /** Of those that are not removed. */
  byHandle(handle: string): Subject | undefined;
  /** Of those that are not removed. */
  handles(): string[];
  /** Whose photo it is.
   * @throws StudioError `notFound` */
  ofPhoto(id: PhotoId): SubjectId;
  /** A photo of this content, of a subject that is there. */
  photoByContent(sha256: string): { readonly id: PhotoId; readonly subject: Subject } | undefined;
  /** Where the file behind an id lies, absolute, and its media type.
   * @throws StudioError `notFound` where there is none */
  media(id: SubjectId | PhotoId, kind: 'photo' | 'photoThumbnail' | 'mask' | 'subjectThumbnail'): { path: string; type: string };
  /** Where photos and masks lie, by content, absolute; whether they are there is the caller's to see. */
  readonly files: { photo(sha256: string): string; mask(sha256: string): string };
  /** Files that are needed, relative to the library: photos and masks of every subject (what is removed can be restored), of jobs that can still run, and of imports going on; their thumbnails, and those that clips show. Any other file of these folders can go. */
  neededFiles(): { readonly photos: ReadonlySet<string>; readonly previews: ReadonlySet<string> };
};

interface SubjectRow {
  readonly id: number;
  readonly handle: string;
  readonly removed: number;
  readonly record: string;
}
interface PhotoRow {
  readonly id: number;
  readonly subject: number;
  readonly sha256: string;
  readonly file: string;
  readonly mask: string | null;
  readonly removed: number;
  readonly record: string;
}
/** What the rows keep beside their columns. */
const subjectRecord = subject.omit({ id: true, handle: true, removed: true, photos: true, clips: true, adapters: true });
const photoRecord = photo.omit({ id: true, subjectId: true, sha256: true, mask: true, removed: true, missing: true });
type SubjectRecord = z.output<typeof subjectRecord>;

/** Most photos that are taken in by one call. */
const mostPhotos = 500;
/** How many files are erased in one go. */
const atOnce = 200;
/** A handle that reads like an id would be taken for one. */
const likeId = /^s[1-9]\d{0,14}$/;
const longestHandle = 40;

/**
 * A handle made from a name: lower case, words joined by `-`, whatever script it is in.
 * @param taken whether someone has it already; `-2`, `-3` and so on are tried in turn
 */
export function makeHandle(name: string, taken: (handle: string) => boolean): string {
  const letters = name
    .normalize('NFKC')
    .toLowerCase()
    .normalize('NFKC')
    .replace(/[\s\p{P}\p{Z}]+/gu, m => (/^[-_]$/.test(m) ? m : '-'))
    .replace(/[^\p{L}\p{M}\p{N}_-]/gu, '')
    .replace(/^[^\p{L}\p{N}]+|-+$/gu, '');
  const cut = (s: string, end: string) =>
    Array.from(s)
      .slice(0, longestHandle - end.length)
      .join('')
      .replace(/-+$/, '') + end;
  const base = handleSchema.safeParse(cut(letters, '')).data ?? 'subject';
  for (let n = 1; ; n++) {
    const made = cut(base, n === 1 ? '' : `-${n}`);
    if (!likeId.test(made) && !taken(made)) return made;
  }
}

/** @param samples the subjects that come with the program */
export function subjectsPart(library: Library, samples: readonly Sample[] = []): SubjectsPart {
  const { db } = library;
  const now = () => new Date().toISOString();
  /** Written, and not yet in a row: cleaning must let them be. */
  const arriving = new Map<string, number>();

  // Reading

  const photoOf = (row: PhotoRow, there = (file: string) => isThere(library, file)): Photo => ({
    ...readRecord(photoRecord, row.record, `photo p${row.id}`),
    id: `p${row.id}`,
    subjectId: `s${row.subject}`,
    sha256: row.sha256,
    mask: row.mask,
    removed: row.removed === 1,
    missing: !there(row.file),
  });
  const subjectsOf = (rows: readonly SubjectRow[]): Subject[] => {
    const ids = JSON.stringify(rows.map(row => row.id)),
      among = 'subject IN (SELECT value FROM json_each(?))';
    const photoRows = db.all<PhotoRow>(`SELECT * FROM photos WHERE ${among} ORDER BY id`, ids),
      there = presence(
        library,
        photoRows.map(row => row.file),
      );
    const photos = Map.groupBy(photoRows, row => row.subject);
    const clips = new Map(
      db
        .all<{ subject: number; n: number }>(
          `SELECT subject, count(*) AS n FROM clip_subjects WHERE ${among} AND trashed = 0 GROUP BY subject`,
          ids,
        )
        .map(({ subject, n }) => [subject, n]),
    );
    const adapters = Map.groupBy(
      db.all<{ subject: number; id: number }>(`SELECT subject, adapter AS id FROM adapter_subjects WHERE ${among} ORDER BY adapter`, ids),
      row => row.subject,
    );
    return rows.map(row => {
      const record = readRecord(subjectRecord, row.record, `subject s${row.id}`),
        own = (photos.get(row.id) ?? []).map(photo => photoOf(photo, there)),
        living = own.filter(p => !p.removed);
      return {
        ...record,
        id: `s${row.id}`,
        handle: row.handle,
        heroPhotoId: (living.find(p => p.id === record.heroPhotoId) ?? living[0])?.id ?? null,
        photos: own,
        clips: clips.get(row.id) ?? 0,
        adapters: (adapters.get(row.id) ?? []).map(a => `a${a.id}` as const),
        removed: row.removed === 1,
      };
    });
  };
  const subjectOf = (row: SubjectRow): Subject => subjectsOf([row])[0]!;
  const rowById = (id: SubjectId): SubjectRow => {
    const row = db.get<SubjectRow>('SELECT * FROM subjects WHERE id = ?', rowOf(id));
    if (!row) throw new StudioError('notFound', `there is no subject ${id}: list them`);
    return row;
  };
  const rowByHandle = (handle: string) => db.get<SubjectRow>('SELECT * FROM subjects WHERE handle = ? AND removed = 0', handle);
  const photoById = (id: PhotoId): PhotoRow => {
    const row = db.get<PhotoRow>('SELECT * FROM photos WHERE id = ?', rowOf(id));
    if (!row) throw new StudioError('notFound', `there is no photo ${id}: list the subject's photos`);
    return row;
  };
  const get = (id: SubjectId) => subjectOf(rowById(id));
  const told = (id: SubjectId): Subject => {
    const subject = get(id);
    library.say({ type: 'subject', subject });
    return subject;
  };

  // Writing; each in the caller's transaction

  const taken = (handle: string) => rowByHandle(handle) !== undefined;
  /** @throws StudioError `conflict` where another subject than `own` has it */
  const free = (handle: string, own?: SubjectId): string => {
    if (likeId.test(handle)) throw new StudioError('badInput', `@${handle} is written like an id: choose another handle`);
    const holder = rowByHandle(handle);
    if (holder && holder.id !== (own && rowOf(own)))
      throw new StudioError(
        'conflict',
        `the handle @${handle} belongs to ${subjectOf(holder).name} (s${holder.id}): @${makeHandle(handle, taken)} is free`,
      );
    return handle;
  };
  const wordsIn = ({ name, description, notes, tags }: SubjectRecord, handle: string) =>
    [name, `@${handle}`, description, notes, ...tags].map(normalize).join('\n');
  const change = (id: SubjectId, changes: Partial<SubjectRecord> & { handle?: string; removed?: boolean }) => {
    const row = rowById(id);
    const { handle = row.handle, removed = row.removed === 1, ...fields } = changes;
    const record = subjectRecord.parse({
      ...readRecord(subjectRecord, row.record, `subject ${id}`),
      ...fields,
      updatedAt: now(),
    });
    db.run(
      'UPDATE subjects SET handle = ?, removed = ?, words = ?, record = ? WHERE id = ?',
      handle,
      removed,
      wordsIn(record, handle),
      JSON.stringify(record),
      row.id,
    );
  };
  const changePhoto = (row: PhotoRow, changes: Partial<z.output<typeof photoRecord>> & { mask?: string | null; removed?: boolean }) => {
    const { mask = row.mask, removed = row.removed === 1, ...fields } = changes;
    const record = photoRecord.parse({ ...readRecord(photoRecord, row.record, `photo p${row.id}`), ...fields });
    db.run('UPDATE photos SET mask = ?, removed = ?, record = ? WHERE id = ?', mask, removed, JSON.stringify(record), row.id);
    change(`s${row.subject}`, {});
  };
  const present = (id: SubjectId): SubjectId => {
    if (rowById(id).removed) throw new StudioError('conflict', `${get(id).name} (${id}) has been removed: restore it first`);
    return id;
  };

  // Photos

  /** Runs `work` while these files are safe from cleaning. */
  const keeping = async <T>(files: readonly string[], work: () => Promise<T>): Promise<T> => {
    for (const file of files) arriving.set(file, (arriving.get(file) ?? 0) + 1);
    try {
      return await work();
    } finally {
      for (const file of files) {
        const left = arriving.get(file)! - 1;
        if (left) arriving.set(file, left);
        else arriving.delete(file);
      }
    }
  };
  const store = async (file: string, bytes: Uint8Array) => {
    await folderIn(library, file.split('/')[0]!);
    await writeDurably(fileIn(library, file), bytes);
  };
  /** Of a subject, the photo of this content; one that is not removed where there are several. */
  const sameContent = (subject: SubjectId, sha256: string) =>
    db.get<PhotoRow>('SELECT * FROM photos WHERE subject = ? AND sha256 = ? ORDER BY removed, id', rowOf(subject), sha256);
  /** Files first, then the row: a crash in between leaves files that cleaning takes.
   * @param known whose photo it becomes, where that subject is there already
   * @param owner the same, called inside the transaction */
  const keepPhoto = ({ photo, mask: came, name }: NormalizedPhoto, known: SubjectId | undefined, owner: () => SubjectId) => {
    const file = byContent('photos', photo.sha256, photo.extension),
      thumbnail = thumbnailOf(photo.sha256);
    // a photo that has a mask keeps it, and the file of another would be nobody's
    const own = known && sameContent(known, photo.sha256)?.mask;
    const mask = came && (own ?? came.sha256) === came.sha256 ? came : undefined;
    const masks = mask ? [maskOf(mask.sha256)] : [];
    return keeping([file, thumbnail, ...masks], async () => {
      await store(file, photo.bytes);
      if (mask) await store(maskOf(mask.sha256), mask.bytes);
      await store(thumbnail, await photoThumbnail(photo.bytes));
      return db.transaction((): { id: PhotoId; subject: SubjectId; added: boolean } => {
        const subject = owner();
        const before = sameContent(subject, photo.sha256);
        if (before) {
          const masked = mask && before.mask === null;
          if (before.removed || masked) {
            changePhoto(before, { removed: false, ...(masked && { mask: mask.sha256, onWhite: true }) });
            told(subject);
          }
          return { id: `p${before.id}`, subject, added: before.removed === 1 };
        }
        const record = photoRecord.parse({
          view: null,
          crop: null,
          onWhite: mask !== undefined,
          width: photo.width,
          height: photo.height,
          name: text('the name', 1000).parse(name) || 'photo',
          createdAt: now(),
        });
        const { id } = db.run(
          'INSERT INTO photos (subject, sha256, file, mask, record) VALUES (?, ?, ?, ?, ?)',
          rowOf(subject),
          photo.sha256,
          file,
          mask?.sha256 ?? null,
          JSON.stringify(record),
        );
        change(subject, {});
        told(subject);
        return { id: `p${id}`, subject, added: true };
      });
    });
  };
  /** Takes photos in one after the other; what cannot be taken is named and the others go on.
   * @param known and `owner`: see keepPhoto */
  const takeIn = async (sources: readonly Source[], known: SubjectId | undefined, owner: () => SubjectId, signal: AbortSignal) => {
    const added: PhotoId[] = [],
      duplicates: { name: string; photoId: PhotoId }[] = [],
      refused: { name: string; text: string }[] = [];
    const nameOf = (s: Source) => ('path' in s ? basename(s.path) : s.name) || 'photo';
    /** What `read` gives, or a line among those refused; only what is wrong with the photo itself is. */
    const reading = async <T>(name: string, read: () => Promise<T>): Promise<T | undefined> => {
      signal.throwIfAborted();
      try {
        return await read();
      } catch (error) {
        if (signal.aborted || !(error instanceof MediaError)) throw error;
        refused.push({ name, text: error.message });
        return undefined;
      }
    };
    let subject = known;
    const queue: Source[] = [];
    for (const source of sources)
      if ('path' in source) {
        const inside = await reading(nameOf(source), () => photosIn(absolute(source.path)));
        queue.push(...(inside ?? []).map(path => ({ path })));
      } else queue.push(source);
    if (queue.length > mostPhotos)
      throw new StudioError('badInput', `these are ${queue.length} photos, at most ${mostPhotos} can be added at once: add fewer`);
    for (const source of queue) {
      const bytes = (): PhotoSource => ('path' in source ? source : { name: source.name, bytes: Buffer.from(source.base64, 'base64') });
      const photo = await reading(nameOf(source), () => normalizePhoto(bytes(), signal));
      if (!photo) continue;
      const kept = await keepPhoto(photo, subject, owner);
      subject = kept.subject;
      if (kept.added) added.push(kept.id);
      else duplicates.push({ name: photo.name, photoId: kept.id });
    }
    return { added, duplicates, refused };
  };
  /** A crop as it is kept: what of it lies on the photo.
   * @throws StudioError `badInput` where nothing does */
  const fitCrop = (crop: Crop, { id, width, height }: Pick<Photo, 'id' | 'width' | 'height'>): Crop | null => {
    if (crop.x >= width || crop.y >= height)
      throw new StudioError(
        'badInput',
        `the crop begins at ${crop.x}, ${crop.y} and photo ${id} is ${width}x${height}: choose a place inside it`,
      );
    const cut = { x: crop.x, y: crop.y, width: Math.min(crop.width, width - crop.x), height: Math.min(crop.height, height - crop.y) };
    return cut.width === width && cut.height === height ? null : cut;
  };

  let sampling: Promise<unknown> = Promise.resolve();
  /** One after the other: two that asked at once would each add all of them. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = sampling.then(work);
    sampling = mine.catch(() => undefined);
    return mine;
  };
  /** A sample is known by its photo, whatever it is called now. */
  const addSample = async ({ photo, handle, ...words }: Sample, signal: AbortSignal): Promise<Subject> => {
    const { photo: normal } = await given(() => normalizePhoto({ path: photo }, signal));
    const known = db.get<SubjectRow>(
      'SELECT s.* FROM subjects s JOIN photos p ON p.subject = s.id WHERE p.sha256 = ? ORDER BY s.removed, p.removed, s.id',
      normal.sha256,
    );
    if (!known) {
      const { id } = (
        await part.add({ ...words, tags: [], notes: '', photos: [{ path: photo }], ...(!taken(handle) && { handle }) }, signal)
      ).subject;
      return get(id);
    }
    const id = `s${known.id}` as const;
    if (known.removed) await part.restore({ id }, signal);
    return get(id);
  };

  const part: SubjectsPart = {
    get,
    byHandle: handle => {
      const row = rowByHandle(handle);
      return row && subjectOf(row);
    },
    handles: () => db.all<{ handle: string }>('SELECT handle FROM subjects WHERE removed = 0 ORDER BY id').map(r => r.handle),
    ofPhoto: id => `s${photoById(id).subject}`,
    photoByContent: sha256 => {
      const row = db.get<PhotoRow>(
        'SELECT p.* FROM photos p JOIN subjects s ON s.id = p.subject WHERE p.sha256 = ? AND p.removed = 0 AND s.removed = 0 ORDER BY p.id',
        sha256,
      );
      return row && { id: `p${row.id}`, subject: get(`s${row.subject}`) };
    },
    media: (id, kind) => {
      const none = (what: string) => new StudioError('notFound', `${id} has no ${what}`);
      const jpeg = 'image/jpeg',
        png = 'image/png';
      let photo: PhotoRow;
      if (id.startsWith('s')) {
        const hero = kind === 'subjectThumbnail' ? get(id as SubjectId).heroPhotoId : null;
        if (hero === null) throw none(kind === 'subjectThumbnail' ? 'photo' : kind);
        photo = photoById(hero);
      } else photo = photoById(id as PhotoId);
      if (kind === 'mask') {
        if (photo.mask === null) throw none('mask');
        return { path: fileIn(library, maskOf(photo.mask)), type: png };
      }
      const whole = { path: fileIn(library, photo.file), type: photo.file.endsWith('.png') ? png : jpeg };
      const small = fileIn(library, thumbnailOf(photo.sha256));
      return kind !== 'photo' && existsSync(small) ? { path: small, type: jpeg } : whole;
    },
    files: {
      photo: sha256 =>
        fileIn(
          library,
          db.get<{ file: string }>('SELECT file FROM photos WHERE sha256 = ?', sha256)?.file ?? byContent('photos', sha256, 'jpg'),
        ),
      mask: sha256 => fileIn(library, maskOf(sha256)),
    },
    neededFiles: () => {
      const photos = new Set(arriving.keys()),
        previews = new Set(arriving.keys());
      for (const row of db.all<Pick<PhotoRow, 'file' | 'sha256' | 'mask'>>('SELECT file, sha256, mask FROM photos')) {
        photos.add(row.file);
        previews.add(thumbnailOf(row.sha256));
        if (row.mask !== null) photos.add(maskOf(row.mask));
      }
      // a photo's row stays, so only masks can be a job's alone: of a photo whose mask was drawn anew since
      for (const { mask } of db.all<{ mask: string }>(
        `SELECT DISTINCT json_extract(r.value, '$.mask') AS mask FROM jobs j, json_each(j.record, '$.resolved.references') r
         WHERE j.status <> 'completed' AND mask IS NOT NULL`,
      ))
        photos.add(maskOf(mask));
      for (const { thumbnail } of db.all<{ thumbnail: string }>('SELECT DISTINCT thumbnail FROM clip_subjects WHERE thumbnail IS NOT NULL'))
        previews.add(thumbnail);
      return { photos, previews };
    },

    add: async ({ name, kind, description, handle, tags, notes, photos }, signal) => {
      if (handle !== undefined) free(handle);
      let id: SubjectId | undefined;
      /** With its first photo, so that a subject none of whose photos could be taken is never there. */
      const make = () => {
        if (id) return id;
        const given = handle === undefined ? makeHandle(name, taken) : free(handle);
        const record = subjectRecord.parse({ name, kind, description, tags, notes, heroPhotoId: null, createdAt: now(), updatedAt: now() });
        const row = db.run(
          'INSERT INTO subjects (handle, words, record) VALUES (?, ?, ?)',
          given,
          wordsIn(record, given),
          JSON.stringify(record),
        );
        return (id = `s${row.id}`);
      };
      const result = await takeIn(photos, undefined, make, signal).catch((error: unknown) => {
        // asked again, it must not be there twice
        if (id) {
          const begun = id;
          db.transaction(() => {
            db.run('DELETE FROM photos WHERE subject = ?', rowOf(begun));
            db.run('DELETE FROM subjects WHERE id = ?', rowOf(begun));
            library.say({ type: 'gone', id: begun });
          });
        }
        throw error;
      });
      if (!id) {
        if (photos.length > 0)
          throw new StudioError(
            'badFile',
            `none of the photos could be taken, so ${name} was not added: ${result.refused.map(r => r.text).join(' ')}`.slice(0, 4000),
          );
        db.transaction(() => told(make()));
      }
      return { subject: get(id!), ...result };
    },

    addSamples: (_, signal) =>
      inTurn(async () => {
        const subjects: Subject[] = [];
        for (const sample of samples) subjects.push(await addSample(sample, signal));
        return { subjects };
      }),

    addPhotos: async ({ id, photos }, signal) => {
      present(id);
      const result = await takeIn(photos, id, () => present(id), signal);
      return { subject: get(id), ...result };
    },

    list: ({ search, removed, after, limit }) => {
      const words = wordsOf(search);
      const rows = db.all<SubjectRow>(
        `SELECT * FROM subjects WHERE removed = ? AND id < ? ${words.map(() => 'AND instr(words, ?) > 0').join(' ')} ORDER BY id DESC LIMIT ?`,
        removed,
        after === null ? Number.MAX_SAFE_INTEGER : rowOf(after),
        ...words,
        limit + 1,
      );
      const page = rows.slice(0, limit);
      return { subjects: subjectsOf(page), next: rows.length > limit ? `s${page.at(-1)!.id}` : null };
    },

    show: ({ id }) => {
      if (likeId.test(id)) return get(id as SubjectId);
      const row = rowByHandle(id);
      if (!row) throw new StudioError('notFound', `there is no subject @${id}: list them`);
      return subjectOf(row);
    },

    edit: ({ id, handle, heroPhotoId, addTags: add, removeTags: remove, ...fields }) =>
      db.transaction(() => {
        present(id);
        if (heroPhotoId !== undefined) {
          const hero = photoById(heroPhotoId);
          if (hero.subject !== rowOf(id)) throw new StudioError('conflict', `photo ${heroPhotoId} is of s${hero.subject}, not of ${id}`);
          if (hero.removed) throw new StudioError('conflict', `photo ${heroPhotoId} has been removed: restore it first`);
        }
        const tags = add || remove ? retagged(id, fields.tags ?? get(id).tags, { add, remove }) : fields.tags;
        const given = Object.fromEntries(Object.entries({ heroPhotoId, ...fields, tags }).filter(([, v]) => v !== undefined));
        change(id, { ...given, ...(handle !== undefined && { handle: free(handle, id) }) });
        return told(id);
      }),

    remove: ({ id }) =>
      db.transaction(() => {
        if (!rowById(id).removed) change(id, { removed: true });
        return told(id);
      }),

    restore: ({ id }) =>
      db.transaction(() => {
        const { handle, removed } = rowById(id);
        if (removed) change(id, { removed: false, ...(taken(handle) && { handle: makeHandle(handle, taken) }) });
        return told(id);
      }),

    editPhoto: async ({ id, view, crop, mask }) => {
      const { width, height } = photoOf(photoById(id));
      const drawn = mask ? await given(() => checkMask(Buffer.from(mask.base64, 'base64'), width, height)) : undefined;
      const write = () =>
        db.transaction(() => {
          const row = photoById(id);
          changePhoto(row, {
            ...(view !== undefined && { view }),
            ...(crop !== undefined && { crop: crop && fitCrop(crop, { id, width, height }) }),
            // the mask that it came with, given once more, is no other
            ...(mask !== undefined && drawn?.sha256 !== row.mask && { mask: drawn?.sha256 ?? null, onWhite: false }),
          });
          return told(`s${row.subject}`);
        });
      if (!drawn) return write();
      const file = maskOf(drawn.sha256);
      return keeping([file], async () => {
        await store(file, drawn.bytes);
        return write();
      });
    },

    erase: async ({ ids }) => {
      const erased = db.transaction(() => {
        const removed = (ids ?? db.all<{ id: number }>('SELECT id FROM subjects WHERE removed = 1').map(r => `s${r.id}` as const)).map(
          id => {
            const row = rowById(id);
            if (!row.removed) throw new StudioError('conflict', `${id} is not removed: only a removed subject can be erased`);
            return row.id;
          },
        );
        const photos = db.all<PhotoRow>(
          `SELECT * FROM photos WHERE subject IN (SELECT value FROM json_each(?)) ${ids === null ? 'OR removed = 1' : ''}`,
          JSON.stringify(removed),
        );
        // what a job needs is the content: a photo may go while another of the same content stays
        const waiting = db.get<{ sha256: string }>(
          `SELECT json_extract(r.value, '$.sha256') AS sha256 FROM jobs j, json_each(j.record, '$.resolved.references') r
           WHERE j.status IN ('pending', 'inProgress', 'paused')
           AND sha256 IN (SELECT sha256 FROM photos GROUP BY sha256 HAVING min(id IN (SELECT value FROM json_each(?))))`,
          JSON.stringify(photos.map(p => p.id)),
        );
        if (waiting) {
          const needed = photos.find(p => p.sha256 === waiting.sha256)!;
          throw new StudioError(
            'conflict',
            `a waiting job needs photo p${needed.id} of s${needed.subject}: let it finish or cancel it first`,
          );
        }
        for (const { id } of photos) db.run('DELETE FROM photos WHERE id = ?', id);
        for (const id of removed) {
          db.run('DELETE FROM subjects WHERE id = ?', id);
          library.say({ type: 'gone', id: `s${id}` });
        }
        for (const id of new Set(photos.map(p => p.subject))) if (!removed.includes(id)) told(`s${id}`);
        return { subjects: removed.length, photos };
      });
      // rows first: a file without a row is cleaned later, a row without its file would be a lie
      let bytes = 0;
      const files = [...new Set(erased.photos.flatMap(p => [p.file, thumbnailOf(p.sha256), ...(p.mask === null ? [] : [maskOf(p.mask)])]))];
      for (let at = 0; at < files.length; at += atOnce) {
        if (at) await new Promise(resolve => setImmediate(resolve));
        // asked again, and nobody in between: the same photo may have been added anew
        const { photos: needed, previews } = part.neededFiles();
        for (const file of files.slice(at, at + atOnce))
          if (!needed.has(file) && !previews.has(file)) {
            bytes += sizeOf(fileIn(library, file)) ?? 0;
            try {
              rmSync(fileIn(library, file), { force: true });
            } catch (e) {
              throw fileError(`cannot erase ${file}`, e);
            }
          }
      }
      return { subjects: erased.subjects, photos: erased.photos.length, bytes };
    },
    removePhoto: ({ id }) =>
      db.transaction(() => {
        const row = photoById(id);
        if (!row.removed) changePhoto(row, { removed: true });
        return told(`s${row.subject}`);
      }),

    restorePhoto: ({ id }) =>
      db.transaction(() => {
        const row = photoById(id);
        if (row.removed) changePhoto(row, { removed: false });
        return told(`s${row.subject}`);
      }),
  };
  return part;
}
