/** @file What the library takes on the disk, what of it can go, and whether rows and files agree. */
import { statSync } from 'node:fs';
import { readdir, rmdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { api } from '../contract/api.ts';
import { storageKinds } from '../contract/records.ts';
import type { HostOf } from '../contract/rpc.ts';
import { fileError } from '../media/error.ts';
import { freeBytes } from '../media/files.ts';
import { fileIn, type Library } from './library.ts';
import { isThere } from './rows.ts';

type Kind = (typeof storageKinds)[number];
interface File {
  /** Relative to the library, with `/`. */
  readonly name: string;
  readonly bytes: number;
}

/** What the other parts know of the files. Names are relative to the library. */
export interface Known {
  /** Photos and masks that a row or a waiting job needs; thumbnails of photos and of the subjects of clips. */
  needed(): { readonly photos: ReadonlySet<string>; readonly previews: ReadonlySet<string> };
  /** The file of every picture by its id; those that somebody may still want. */
  pictures(): { readonly all: ReadonlyMap<string, string>; readonly needed: ReadonlySet<string> };
  /** Takes the pictures with these files off the list. */
  forgetPictures(files: ReadonlySet<string>): void;
  /** Every file of every clip: video, pictures, latents; `trashed` of those in the trash. */
  clips(): ReadonlyMap<string, { readonly id: string; readonly kind: 'clips' | 'previews' | 'latents'; readonly trashed: boolean }>;
  /** The folders of jobs that are not ended. */
  work(): ReadonlySet<string>;
  /** Those, and the folders of failed jobs: a retry goes on from what is there. */
  retryable(): ReadonlySet<string>;
  /** Files that checkpoints and adapters are made of, inside or outside the library. */
  weights(): readonly {
    readonly id: string;
    readonly kind: 'checkpoints' | 'adapters';
    readonly bytes: number;
    readonly missing: boolean;
    /** Its folder or file inside the library; null elsewhere. */
    readonly own: string | null;
  }[];
  /** Folders of what is on its way to be one of them. */
  arriving(): ReadonlySet<string>;
  /** The library's own exports by their folder (`exports/e3`): whether nothing is lost with one, and whether it is gone already. */
  exports(): ReadonlyMap<string, { readonly id: string; readonly again: boolean; readonly gone: boolean }>;
  /** Takes the exports in these folders off the list. */
  forgetExports(folders: ReadonlySet<string>): void;
  /** Takes the latents of these clips out of their rows. */
  forgetLatents(files: readonly string[]): void;
  /** `ok`, or what is wrong with the database. */
  quickCheck(): Promise<string>;
}

/** Files looked at before other work gets its turn: some milliseconds. */
const atOnce = 200;
/** Files removed before it is asked again whether the others can go, which takes a look at every photo and job. */
const removedAtOnce = 2000;
const breathe = () => new Promise<void>(resolve => void setImmediate(resolve));

/** All files under a folder of the library; what vanishes meanwhile is left out, links are passed over. */
async function filesUnder(home: string, folder: string): Promise<File[]> {
  const all: File[] = [],
    folders = [folder];
  for (const at of folders) {
    const entries = await readdir(join(home, at), { withFileTypes: true }).catch((e: unknown) => {
      if ((e as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw fileError(`cannot look through ${at}`, e);
    });
    for (const [i, entry] of entries.entries()) {
      if (i % atOnce === atOnce - 1) await breathe();
      const name = `${at}/${entry.name}`;
      if (entry.isDirectory()) folders.push(name);
      else if (entry.isFile()) {
        const stat = statSync(join(home, name), { throwIfNoEntry: false });
        if (stat) all.push({ name, bytes: stat.size });
      }
    }
  }
  return all;
}

/** The folder of the job or export whose file in `work/` or `exports/` this is. */
const jobFolder = (name: string): string => name.split('/').slice(0, 2).join('/');
/** A file takes its name before its clip has a row: of a job that has not ended it may be about to be the clip's.
 * @param jobs their folders, `work/j12` */
const arrives = (name: string, jobs: ReadonlySet<string>): boolean => {
  const id = /[-/]([je]\d+)(?:-\d+)?(?:-poster|-sprite)?\.\w+$/.exec(name)?.[1];
  return id !== undefined && jobs.has(`work/${id}`);
};

export function storagePart(library: Library, known: Known): HostOf<typeof api>['storage'] {
  const { home } = library;
  const folders: Readonly<Partial<Record<Kind, readonly string[]>>> = {
    photos: ['photos', 'masks'],
    pictures: ['pictures'],
    clips: ['clips'],
    latents: ['latents'],
    previews: ['previews'],
    exports: ['exports'],
    work: ['work'],
    backups: ['backups', 'recovery'],
  };
  /** Whether a file belongs to a checkpoint or adapter of the list. */
  const listed = () => {
    const own = known.weights().flatMap(w => w.own ?? []);
    return (name: string) => own.some(place => name === place || name.startsWith(`${place}/`));
  };
  /** Files of the library's own checkpoints and adapters: of one that is listed, of nobody (a copy or a download that nothing can go on with), or neither. */
  const ownWeights = async (kind: 'checkpoints' | 'adapters') => {
    const there = await filesUnder(home, kind),
      isListed = listed(),
      arriving = known.arriving();
    const isLost = (name: string) =>
      !arriving.has(jobFolder(name)) &&
      (kind === 'adapters' ? /^adapters\/[0-9a-f]{64}(?:\.part)?\// : /^checkpoints\/[^/]+\.part\//).test(name);
    const rest = there.filter(f => !isListed(f.name));
    return { lost: rest.filter(f => isLost(f.name)), others: rest.filter(f => !isLost(f.name)) };
  };
  const lostWeights = async () => [...(await ownWeights('checkpoints')).lost, ...(await ownWeights('adapters')).lost];
  const all = async (kind: Kind) => [
    ...(await Promise.all((folders[kind] ?? []).map(folder => filesUnder(home, folder)))).flat(),
    ...(kind === 'work' ? await lostWeights() : []),
  ];
  /** The files of a kind that can go without losing anything that a person has not thrown away. */
  const cleanable = (kind: Kind, files: readonly File[], clips: ReturnType<Known['clips']>): File[] => {
    const jobs = known.work();
    switch (kind) {
      case 'photos': {
        const { photos } = known.needed();
        return files.filter(f => !photos.has(f.name));
      }
      case 'pictures': {
        const { needed } = known.pictures();
        return files.filter(f => !needed.has(f.name));
      }
      case 'latents':
        return files.filter(f => !arrives(f.name, jobs));
      case 'previews': {
        const { previews } = known.needed();
        return files.filter(f => !previews.has(f.name) && !clips.has(f.name) && !arrives(f.name, jobs));
      }
      case 'exports': {
        const exports = known.exports();
        return files.filter(f => exports.get(jobFolder(f.name))?.again ?? true);
      }
      case 'work': {
        const isListed = listed(),
          arriving = known.arriving();
        return files.filter(f => !jobs.has(jobFolder(f.name)) && !arriving.has(jobFolder(f.name)) && !isListed(f.name));
      }
      case 'backups': // what a restore replaced; the backups themselves go by being replaced
        return files.filter(f => f.name.startsWith('recovery/'));
      default: // clips go by the trash, weights are the user's own
        return [];
    }
  };
  const sum = (files: readonly File[]) => files.reduce((n, f) => n + f.bytes, 0);

  return {
    show: async () => {
      const clips = known.clips(),
        weights = known.weights();
      const free = await freeBytes(home);
      const trashed: File[] = [];
      const kindOf = async (kind: Kind) => {
        if (kind === 'checkpoints' || kind === 'adapters') {
          const own = weights.filter(w => w.kind === kind),
            { others } = await ownWeights(kind); // on its way, or taken off the list
          return { kind, files: own.length + others.length, bytes: own.reduce((n, w) => n + w.bytes, sum(others)), cleanable: 0 };
        }
        if (kind === 'database') {
          const own = ['library.db', 'library.db-wal', 'library.db-shm'].flatMap(name => {
            const stat = statSync(join(home, name), { throwIfNoEntry: false });
            return stat ? [{ name, bytes: stat.size }] : [];
          });
          return { kind, files: own.length, bytes: sum(own), cleanable: 0 };
        }
        if (kind === 'trash') return { kind, files: trashed.length, bytes: sum(trashed), cleanable: 0 }; // the last kind: the others have been looked through
        const own = await all(kind);
        trashed.push(...own.filter(f => clips.get(f.name)?.trashed));
        return { kind, files: own.length, bytes: sum(own), cleanable: sum(cleanable(kind, own, clips)) };
      };
      const kinds = [];
      for (const kind of storageKinds) kinds.push(await kindOf(kind));
      return { kinds, freeBytes: free };
    },

    check: async () => {
      const there = new Map<string, number>();
      for (const folder of ['photos', 'masks', 'pictures', 'clips', 'latents', 'previews', 'exports', 'work'])
        for (const { name, bytes } of await filesUnder(home, folder)) there.set(name, bytes);
      for (const { name, bytes } of await lostWeights()) there.set(name, bytes);
      // after the files: what has come meanwhile has its row, and is looked for again below
      const clips = known.clips(),
        { photos, previews } = known.needed(),
        exports = known.exports(),
        { all: pictures, needed } = known.pictures(),
        jobs = known.retryable();
      const lost = (name: string) => !there.has(name) && !isThere(library, name);
      const missing = [
        ...[...clips].filter(([name]) => lost(name)).map(([, { id, kind }]) => ({ id, what: kind })),
        ...[...photos].filter(lost).map(name => ({ id: name.split('/').at(-1)!, what: 'photos' })),
        ...[...pictures].filter(([name]) => lost(name)).map(([, id]) => ({ id, what: 'pictures' })),
        ...[...exports.values()].filter(e => e.gone).map(({ id }) => ({ id, what: 'exports' })),
        ...known
          .weights()
          .filter(w => w.missing)
          .map(({ id, kind }) => ({ id, what: kind })),
      ];
      const orphans = [...there]
        .filter(
          ([name]) =>
            !clips.has(name) &&
            !photos.has(name) &&
            !previews.has(name) &&
            !pictures.has(name) &&
            !needed.has(name) &&
            !exports.has(jobFolder(name)) &&
            !jobs.has(jobFolder(name)) &&
            !arrives(name, jobs),
        )
        .map(([name, bytes]) => ({ name, bytes }));
      return { database: await known.quickCheck(), missing, orphans };
    },

    clean: async ({ kinds, dryRun }, signal) => {
      let [count, bytes] = [0, 0];
      for (const kind of new Set(kinds)) {
        const there = await all(kind),
          clips = known.clips(), // a name of a clip's file is given to a file only once
          files = cleanable(kind, there, clips);
        for (let at = 0; at < files.length; at += removedAtOnce) {
          signal.throwIfAborted();
          // asked again: meanwhile a photo of just this content may have come
          const going = cleanable(kind, files.slice(at, at + removedAtOnce), clips);
          count += going.length;
          bytes += sum(going);
          if (dryRun) continue;
          // Rows first: a latents file that is still there and unknown is an orphan that the next cleaning takes, a row without its file would be a lie.
          if (kind === 'latents') known.forgetLatents(going.map(f => f.name));
          if (kind === 'pictures') known.forgetPictures(new Set(going.map(f => f.name)));
          if (kind === 'exports') known.forgetExports(new Set(going.map(f => jobFolder(f.name))));
          await Promise.all(
            going.map(({ name }) =>
              unlink(fileIn(library, name)).catch((e: unknown) => {
                if ((e as NodeJS.ErrnoException).code !== 'ENOENT') throw fileError(`cannot remove ${name}`, e);
              }),
            ),
          );
          // each export has a folder of its own; one that is not empty stays
          if (kind === 'exports')
            for (const folder of new Set(going.map(f => dirname(f.name))))
              for (let at = folder; at !== 'exports'; at = dirname(at)) await rmdir(fileIn(library, at)).catch(() => undefined);
        }
      }
      return { files: count, bytes };
    },
  };
}
