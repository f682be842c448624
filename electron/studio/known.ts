/**
 * @file The checkpoints that are known by name, and their way here. Each lies in `checkpoints/<its name>` of the library; one that has come
 * becomes a checkpoint of the library by itself. Only what a person starts contacts anybody, and never with the offline switch on.
 */
import { existsSync } from 'node:fs';
import { lstat, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import type { api } from '../contract/api.ts';
import { catalogueSize, type CatalogueEntry } from '../contract/catalogue.ts';
import { StudioError, type Failure } from '../contract/errors.ts';
import type { CheckpointId } from '../contract/ids.ts';
import type { Download as DownloadRecord, Network as NetworkRecord } from '../contract/records.ts';
import type { HostOf } from '../contract/rpc.ts';
import { fileError } from '../media/error.ts';
import type { Catalogue, Embedded } from './checkpoints.ts';
import { finished, receiptName, startDownload, unfinished, type Download, type Downloadable } from './downloads.ts';
import type { Library } from './library.ts';
import { offlineText, openNetwork, type Contact, type Network, type NetworkOptions } from './network.ts';
import { folderIn } from './rows.ts';
import { accessTo, type Access, type Secrets } from './secrets.ts';
import { remember, remembered } from './settings.ts';

export interface KnownOptions {
  readonly known: readonly CatalogueEntry[];
  /** Those of them that come with the program. */
  readonly embedded: readonly Embedded[];
  /** Which hub, and HF_TOKEN. */
  readonly hub: { readonly endpoint?: NetworkOptions['endpoint']; readonly token?: string | undefined };
  /** Keeps the access token that a person enters. */
  readonly secrets: Secrets;
  /** Who else this program may contact, for the list; not through this. */
  readonly others?: readonly Contact[] | undefined;
  readonly weights: Pick<Catalogue, 'at' | 'adopt' | 'checkpoints' | 'files' | 'remove'>;
  /** The switch as it is set now. */
  readonly offline: () => boolean;
  readonly describe: (error: unknown) => Failure;
}
export type DownloadsPart = HostOf<typeof api>['downloads'] & {
  readonly network: HostOf<typeof api>['network'];
  /** Takes a checkpoint off the list, and with `files` what was downloaded for it into the library.
   * @returns bytes that were freed
   * @throws StudioError as `Catalogue.remove`; `conflict` where its files were not downloaded into the library */
  remove(id: CheckpointId, files: boolean): Promise<number>;
  /** Takes the switch as it is set now: what is open ends at once. */
  obey(): void;
  /** Folders of what is not finished, whether they are there or not, relative to the library. */
  unfinished(): readonly string[];
  /** Ends every download; what has come stays. */
  stop(): Promise<void>;
};

/** One that is on its way, or has come and is being read. */
interface Way {
  readonly download: Download;
  readonly stop: AbortController;
  /** It has come: it is read whole once, as every checkpoint is. */
  adding: boolean;
  /** Resolves when nothing of it is under way any more. */
  settled: Promise<void>;
}
/** What lies in a folder, in bytes; 0 where there is none. */
async function bytesIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  });
  let bytes = 0;
  for (const entry of entries) if (entry.isFile()) bytes += (await lstat(join(entry.parentPath, entry.name))).size;
  return bytes;
}

/** Which have been on the list: what a person took off it does not come back by itself. */
const seenSchema = z.object({ listed: z.array(z.string()).default([]) });

export function downloadsPart(library: Library, options: KnownOptions): DownloadsPart {
  const { known, weights, describe } = options;
  const ways = new Map<string, Way>(),
    failures = new Map<string, Failure>(),
    turns = new Map<string, Promise<unknown>>();
  let opened: { network: Network; access: Access } | undefined,
    closing = false;
  /** Not before it is needed: a wrong HF_ENDPOINT or HF_TOKEN must not keep a library shut. */
  const outward = (): { network: Network; access: Access } => {
    if (opened) return opened;
    const network = openNetwork({ endpoint: options.hub.endpoint, offline: options.offline(), token: () => access.token() }),
      access = accessTo(network.endpoint.href, options.secrets, options.hub.token);
    return (opened = { network, access });
  };
  const networkRecord = async (): Promise<NetworkRecord> => {
    const { network, access } = outward();
    return { offline: options.offline(), endpoint: network.endpoint.href, contacts: [...network.contacts], ...(await access.state()) };
  };
  const folderOf = ({ id }: CatalogueEntry) => join(library.home, 'checkpoints', id);
  const placeOf = (entry: CatalogueEntry): string | undefined =>
    'hub' in entry ? folderOf(entry) : options.embedded.map(({ path }) => resolve(path)).find(path => basename(path) === entry.embedded);
  const find = (id: string): CatalogueEntry => {
    const entry = known.find(k => k.id === id);
    if (entry) return entry;
    throw new StudioError('notFound', `no checkpoint is known by the name ${id}: there are ${known.map(k => k.id).join(', ') || 'none'}`);
  };
  const findRemote = (id: string): Downloadable => {
    const entry = find(id);
    if ('hub' in entry) return entry;
    throw new StudioError('conflict', `${entry.name} comes with Protagonist: there is nothing to download`);
  };
  /** Calls about one checkpoint, one after the other. */
  const inTurn = <T>(id: string, work: () => Promise<T>): Promise<T> => {
    const mine = (turns.get(id) ?? Promise.resolve()).then(work);
    turns.set(id, mine.catch(() => undefined)); // prettier-ignore
    return mine;
  };
  const listed = (): string[] => remembered(library, 'downloads', seenSchema).listed;

  // What it looks like

  const common = (entry: CatalogueEntry): Omit<DownloadRecord, 'state'> => {
    const { id, name, for: use, licence, memory } = entry,
      size = 'hub' in entry ? catalogueSize(entry.hub.files) : { bytes: 0, exact: true };
    return { id, name, for: use, licence, memory, ...size, have: 0, speed: null, secondsLeft: null, files: [], failure: null, checkpointId: null }; // prettier-ignore
  };
  const moving = (entry: Downloadable, { download, adding }: Way): DownloadRecord => {
    const { state, files, bytes, of, speed = null, secondsLeft = null } = download.progress();
    return {
      ...common(entry),
      ...(of > 0 && { bytes: of, exact: true }),
      state: state === 'listing' || state === 'downloading' ? state : state === 'done' ? 'downloading' : 'begun',
      have: bytes,
      speed,
      secondsLeft,
      files: files.map(file => ({ ...file, ...(adding && { state: 'checking' as const }) })),
    };
  };
  /** One that nothing is done about now, by the list of checkpoints and what lies on the disk. */
  const resting = async (entry: CatalogueEntry): Promise<DownloadRecord> => {
    const plain = common(entry),
      place = placeOf(entry),
      checkpoint = place === undefined ? undefined : weights.at(place);
    const there = checkpoint && !checkpoint.missing ? checkpoint : undefined;
    if (!('hub' in entry)) return { ...plain, state: there ? 'here' : 'none', checkpointId: there?.id ?? null };
    const disk = (await finished(place!)) ?? (await unfinished(place!)),
      sizes = disk && { bytes: disk.of, exact: true, have: disk.bytes, files: [...disk.files] };
    if (there) return { ...plain, have: plain.bytes, ...sizes, state: 'here', checkpointId: there.id };
    const failure = failures.get(entry.id) ?? null;
    return { ...plain, ...sizes, failure, state: failure ? 'failed' : disk ? 'begun' : 'none' };
  };
  const show = (entry: CatalogueEntry): DownloadRecord | Promise<DownloadRecord> => {
    const way = ways.get(entry.id);
    return way && 'hub' in entry ? moving(entry, way) : resting(entry);
  };
  const tell = (download: DownloadRecord) => library.say({ type: 'download', download });
  const told = async (entry: CatalogueEntry): Promise<DownloadRecord> => {
    const seen = await show(entry),
      way = ways.get(entry.id),
      download = way && 'hub' in entry ? moving(entry, way) : seen; // it may have been begun anew meanwhile
    tell(download);
    return download;
  };

  // On its way

  const begin = (entry: Downloadable, accepted: string | undefined): void => {
    const stop = new AbortController(),
      folder = folderOf(entry);
    const download = startDownload(entry, {
      folder,
      network: outward().network,
      accepted,
      signal: stop.signal,
      on: ({ state }) => {
        if (state !== 'failed') tell(moving(entry, way)); // how it ends is told below
      },
    });
    const way: Way = { download, stop, adding: false, settled: Promise.resolve() };
    ways.set(entry.id, way);
    failures.delete(entry.id);
    const carry = async () => {
      try {
        await download.done;
        way.adding = true;
        tell(moving(entry, way));
        await weights.adopt(folder, entry.name, stop.signal);
        remember(library, 'downloads', { listed: [...new Set([...listed(), entry.id])] });
      } catch (error) {
        const failure = describe(error);
        if (failure.code !== 'canceled') failures.set(entry.id, failure);
      }
      ways.delete(entry.id);
      if (!closing) await told(entry).catch(() => undefined); // whoever asks hears what is wrong
    };
    way.settled = carry();
  };
  /** Ends what is under way of it. */
  const halt = async ({ stop, settled }: Way): Promise<void> => {
    stop.abort();
    await settled;
  };
  /** What has come and is on no list goes on it: its owner ended in between. */
  const finish = async (entry: Downloadable): Promise<void> => {
    const disk = await finished(folderOf(entry));
    if (disk?.revision !== entry.hub.revision || disk.repository !== entry.hub.repository) return;
    if (closing || ways.has(entry.id) || failures.has(entry.id) || listed().includes(entry.id) || weights.at(folderOf(entry))) return;
    begin(entry, disk.accepted);
  };

  return {
    network: {
      show: networkRecord,
      setToken: async ({ token }) => {
        const { access } = outward();
        await (token === null ? access.forget() : access.enter(token));
        const now = await networkRecord();
        library.say({ type: 'network', network: now });
        for (const entry of known)
          if (failures.get(entry.id)?.code === 'needsToken') {
            failures.delete(entry.id); // it can be tried again
            await told(entry);
          }
        return now;
      },
    },
    list: async (_, signal) => {
      const found = await networkRecord();
      await Promise.resolve(weights.checkpoints.list(undefined, signal)).catch(() => undefined); // those of the program are on it now, or it says why not
      for (const entry of known) if ('hub' in entry) await inTurn(entry.id, () => finish(entry));
      return {
        downloads: await Promise.all(known.map(async entry => show(entry))),
        network: found,
      };
    },
    start: async ({ id, accepted }) => {
      const kept = await resting(find(id));
      if (kept.state === 'here') return kept; // what comes with the program, too
      const entry = findRemote(id);
      return inTurn(id, async () => {
        const way = ways.get(id);
        if (way) return moving(entry, way);
        const now = await resting(entry);
        if (now.state === 'here') return now;
        const complete = await finished(folderOf(entry)),
          before = complete ?? (await unfinished(folderOf(entry)));
        const agreed = accepted ?? before?.accepted;
        if (agreed === entry.licence.name && !complete && options.offline()) throw new StudioError('conflict', offlineText);
        if (agreed === entry.licence.name) await folderIn(library, 'checkpoints');
        if (closing) throw new StudioError('canceled', 'the library is being closed');
        begin(entry, agreed);
        return told(entry);
      });
    },
    pause: ({ id }) => {
      const entry = findRemote(id);
      return inTurn(id, async () => {
        const way = ways.get(id);
        if (way) await halt(way);
        const now = await resting(entry);
        if (!way && (now.state === 'here' || now.state === 'none'))
          throw new StudioError('conflict', `${entry.name} is not on its way: there is nothing to pause`);
        return now;
      });
    },
    cancel: ({ id }) => {
      const entry = findRemote(id);
      return inTurn(id, async () => {
        const way = ways.get(id);
        if (way) await halt(way);
        const now = await resting(entry),
          folder = folderOf(entry);
        if (now.state === 'here')
          throw new StudioError(
            'conflict',
            `${entry.name} has come and is the checkpoint ${now.checkpointId ?? ''}: take it off the list first, then its files can go`,
          );
        const isOurs = existsSync(join(folder, receiptName)); // else a person has put something there
        for (const path of [`${folder}.part`, ...(isOurs ? [folder] : [])])
          await rm(path, { recursive: true, force: true }).catch((error: unknown) => {
            throw fileError(`cannot remove ${path}`, error);
          });
        failures.delete(id);
        remember(library, 'downloads', { listed: listed().filter(one => one !== id) });
        return told(entry);
      });
    },
    remove: (id, files) => {
      const own = weights.files().find(one => one.id === id)?.own,
        entry = known.find(one => 'hub' in one && own === `checkpoints/${one.id}`);
      const remove = async (): Promise<number> => {
        let folder = '';
        weights.remove(id, files, (name, path) => {
          folder = path;
          if (files && (dirname(path) !== join(library.home, 'checkpoints') || (existsSync(path) && !existsSync(join(path, receiptName)))))
            throw new StudioError(
              'conflict',
              `the files of ${name} were not downloaded by Protagonist and stay where they are: remove it from the list without them`,
            );
        });
        try {
          if (!files) return 0;
          const bytes = await bytesIn(folder);
          await rm(folder, { recursive: true, force: true });
          return bytes;
        } catch (error) {
          throw fileError(`cannot remove ${folder}`, error);
        } finally {
          if (entry) await told(entry).catch(() => undefined); // whoever asks hears what is wrong
        }
      };
      return entry ? inTurn(entry.id, remove) : remove();
    },
    obey: () => {
      if (opened) opened.network.offline = options.offline();
    },
    unfinished: () => known.filter(entry => 'hub' in entry).map(({ id }) => `checkpoints/${id}.part`),
    stop: async () => {
      closing = true;
      await Promise.all([...turns.values()]);
      await Promise.all([...ways.values()].map(halt));
    },
  };
}
