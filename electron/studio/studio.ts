/** @file The studio: every part over one library, answering the API's whole table. Whoever owns the library runs one; clients only know the table. */
import { join } from 'node:path';
import { api, namesPath } from '../contract/api.ts';
import { StudioError } from '../contract/errors.ts';
import type { StudioEvent } from '../contract/events.ts';
import type { AdapterId, CheckpointId, ClipId, ExportId, PhotoId, PictureId, SubjectId } from '../contract/ids.ts';
import type { Machine } from '../contract/records.ts';
import { host, refused, type Answer, type HostOf, type Transport } from '../contract/rpc.ts';
import type { Engine } from '../../native-models/tasks.ts';
import { createBackup, dailyBackup, listBackups, openLibraryDatabase, quickCheck, restoreBackup } from './backups.ts';
import { catalogue, type Embedded } from './checkpoints.ts';
import { clipsPart } from './clips.ts';
import { Database, DatabaseError } from './database.ts';
import { exportsPart } from './exports.ts';
import { describeFailure } from './failures.ts';
import { startJobs } from './jobs.ts';
import { downloadsPart, type KnownOptions } from './known.ts';
import type { Library } from './library.ts';
import { mediaPart } from './media.ts';
import { photosPart } from './photos.ts';
import { picturesPart } from './pictures.ts';
import { promptsPart } from './prompts.ts';
import { requestsPart } from './requests.ts';
import { sessionSecrets, type Secrets } from './secrets.ts';
import { settingsPart } from './settings.ts';
import { shared } from './sharing.ts';
import { storagePart } from './storage.ts';
import { subjectsPart, type Sample } from './subjects.ts';

export interface StudioOptions {
  /** The library's folder, absolute. */
  readonly home: string;
  /** The program's version. */
  readonly version: string;
  /** Makes clips; one a device. */
  readonly engine: Engine;
  /** Reads checkpoints and adapters; beside the other, so that a long clip holds nothing up. */
  readonly verifier: Pick<Engine, 'verify' | 'close'>;
  /** The checkpoints that come with the program. */
  readonly embedded: readonly Embedded[];
  /** The checkpoints that are known by name; none if not given. */
  readonly known?: KnownOptions['known'];
  /** Where they are downloaded from, and HF_TOKEN; https://huggingface.co without one if not given. */
  readonly hub?: KnownOptions['hub'];
  /** Keeps the hub's access token; for the session if not given. */
  readonly secrets?: Secrets;
  /** Who else the program may contact. */
  readonly others?: KnownOptions['others'];
  /** Looks at this machine; asked once a start, and only when somebody wants to know. */
  readonly machine: () => Promise<Machine>;
  /** The subjects that come with the program; none if not given. */
  readonly samples?: readonly Sample[];
  /** What this host can do for its clients. */
  readonly can: { readonly paths: boolean; readonly dragOut: boolean; readonly reveal: boolean; readonly pickFolder: boolean };
}

export interface Studio {
  readonly answer: Answer;
  readonly subscribe: Transport['subscribe'];
  /** Gives back what runs (it goes on at the next start), ends the engines, closes the library. */
  close(): Promise<void>;
}

/** How long after the first answer the library is checked and backed up, in milliseconds: never before a person sees it, and a short command is gone by then. */
const upkeepAfter = 5_000;
/** How often it is asked afterwards whether a backup is due: a studio may stay open for weeks. */
const upkeepEvery = 60 * 60_000;

/** Opens the library and answers for it. A damaged database does not stop it: then backups alone are answered, everything else says what is wrong.
 * @throws DatabaseError `newer`, or what the disk says */
export async function startStudio(options: StudioOptions): Promise<Studio> {
  const { home, engine, verifier } = options;
  const backups = join(home, 'backups');
  let damaged: DatabaseError | undefined;
  const db = await openLibraryDatabase(home).catch((e: unknown) => {
    if (!(e instanceof DatabaseError) || e.code !== 'corrupt') throw e;
    damaged = e;
    return new Database(join(home, 'library.db'));
  });

  const listeners = new Set<(event: StudioEvent) => void>();
  const library: Library = {
    home,
    db,
    say: event =>
      db.afterCommit(() => {
        for (const listener of listeners) listener(event);
      }),
  };
  const settings = settingsPart(library);
  const subjects = subjectsPart(library, options.samples);
  const photos = photosPart(subjects);
  const clips = clipsPart(library);
  const pictures = picturesPart(library, { subjects, clips });
  const prompts = promptsPart(library);
  const weights = catalogue(library, verifier, options.embedded);
  const downloads = downloadsPart(library, {
    known: options.known ?? [],
    embedded: options.embedded,
    hub: options.hub ?? {},
    secrets: options.secrets ?? sessionSecrets(),
    others: options.others,
    weights,
    offline: () => settings.current().offline,
    describe: error => describeFailure(error, home),
  });
  listeners.add(({ type }) => {
    if (type === 'settings' || type === 'restored') downloads.obey();
  });
  const { jobs: jobEngine, decode } = shared(engine);
  const exports = exportsPart(library, {
    clips,
    catalogue: weights,
    decode,
    threads: () => settings.current().threads,
    local: options.can.paths,
  });
  const beginWork = () =>
    startJobs(library, {
      engine: () => jobEngine,
      subjects,
      pictures,
      prompts,
      files: { ...subjects.files, picture: sha256 => pictures.file(sha256) },
      clips,
      catalogue: weights,
      settings: () => settings.current(),
    });
  let work = beginWork(),
    restoring: Promise<void> | undefined; // other calls wait for it: they would meet half of the one library and half of the other
  let machine: Promise<Machine> | undefined;
  const underWay = new Map<Promise<unknown>, AbortController>(); // it waits for those that came before

  const backupRecord = ({ name, kind, bytes, createdAt }: { name: string; kind: 'daily' | 'manual' | 'migration'; bytes: number; createdAt: string }) => ({ name, kind, bytes, createdAt }); // prettier-ignore
  const whereWeights = options.can.paths ? (id: CheckpointId | AdapterId) => weights.where(id) : undefined;
  const implementation: HostOf<typeof api> = {
    host: {
      describe: () => ({ version: options.version, can: options.can }),
      machine: () => {
        const looking = (machine ??= options.machine());
        looking.catch(() => (machine = undefined)); // what failed once may be mended meanwhile
        return looking;
      },
    },
    subjects,
    photos,
    clips,
    pictures,
    prompts,
    exports,
    get jobs() {
      return work.jobs;
    },
    get queue() {
      return work.queue;
    },
    checkpoints: {
      ...weights.checkpoints,
      remove: async ({ id, files }) => ({ bytes: await downloads.remove(id, files) }),
    },
    adapters: weights.adapters,
    downloads,
    network: downloads.network,
    requests: requestsPart({
      catalogue: weights,
      subjectByHandle: handle => subjects.byHandle(handle),
      photoByContent: sha256 => subjects.photoByContent(sha256),
      pictures,
      clip: id => clips.get(id),
      job: id => work.get(id),
    }),
    settings,
    storage: storagePart(library, {
      needed: () => subjects.neededFiles(),
      pictures: () => ({ all: pictures.allFiles(), needed: pictures.neededFiles() }),
      forgetPictures: files => pictures.forget(files),
      clips: () => clips.allFiles(),
      work: () => work.folders().union(exports.work()),
      retryable: () => work.folders('failed').union(exports.work()),
      exports: () => exports.folders(),
      forgetExports: folders => exports.forget(folders),
      weights: () => weights.files(),
      arriving: () => new Set([...weights.arriving(), ...downloads.unfinished()]),
      forgetLatents: files => clips.forgetLatents(files),
      quickCheck: () => quickCheck(db),
    }),
    backups: {
      list: () => ({ backups: listBackups(backups).map(backupRecord) }),
      create: async () => backupRecord(await createBackup(db, backups, 'manual')),
      restore: ({ name }) => {
        const after = restoring;
        return (restoring = (async () => {
          await after?.catch(() => undefined);
          const there = listBackups(backups).some(b => b.name === name); // nothing is interrupted for a name that is mistyped
          if (there) {
            for (const stop of underWay.values()) stop.abort();
            await Promise.all(underWay.keys());
          }
          const wasStarted = there && (await work.stop());
          if (there) await exports.stop();
          try {
            await restoreBackup(db, backups, name);
            damaged = undefined;
          } catch (e) {
            if (there && !db.isOpen && e instanceof DatabaseError) damaged = e; // until another try succeeds nothing else can be answered
            throw e;
          } finally {
            // what is in the queue now is another queue: a new session takes it up
            if (there && db.isOpen) {
              work = beginWork();
              exports.begin();
              if (wasStarted) work.start();
            }
          }
          library.say({ type: 'restored' });
        })());
      },
    },
    media: mediaPart(({ id, kind }) => {
      if (id.startsWith('e')) {
        if (kind !== 'export' && kind !== 'poster') throw new StudioError('notFound', `${id} has no ${kind}: it is an export`);
        return exports.media(id as ExportId, kind);
      }
      if (kind === 'export') throw new StudioError('notFound', `${id} is no export`);
      if (id.startsWith('i') !== (kind === 'picture'))
        throw new StudioError('notFound', `${id} has no ${kind}: it is ${id.startsWith('i') ? 'a picture' : 'no picture'}`);
      if (kind === 'picture') return pictures.media(id as PictureId);
      if (kind === 'video' || kind === 'poster' || kind === 'sprite') {
        if (!id.startsWith('c')) throw new StudioError('notFound', `${id} has no ${kind}: only clips have one`);
        const file = clips.files(id as ClipId)[kind];
        if (file === null) throw new StudioError('notFound', `${id} has no ${kind}`);
        return { path: file, type: kind === 'video' ? 'video/mp4' : 'image/jpeg' };
      }
      if (!id.startsWith('c')) return subjects.media(id as SubjectId | PhotoId, kind);
      if (kind !== 'subjectThumbnail') throw new StudioError('notFound', `${id} has no ${kind}: it is a clip`);
      return { path: clips.subjectThumbnail(id as ClipId), type: 'image/jpeg' };
    }, whereWeights),
  };

  const describe = (error: unknown) => describeFailure(error, home);
  const whole = host(api, implementation, describe);
  let upkeep: NodeJS.Timeout | undefined,
    checked = false,
    closed = false;
  const lookAfter = async () => {
    if (!db.isOpen) return;
    const text = checked ? 'ok' : await quickCheck(db);
    if (text !== 'ok') library.say({ type: 'notice', jobId: null, text });
    else if (settings.current().dailyBackup) await dailyBackup(db, backups);
    checked = true;
  };
  const lookAgain = (after: number) => {
    upkeep = setTimeout(() => {
      lookAfter()
        .catch((e: unknown) => {
          library.say({ type: 'notice', jobId: null, text: `the library could not be backed up: ${describe(e).text}` });
        })
        .finally(() => {
          if (!closed) lookAgain(upkeepEvery);
        });
    }, after);
    upkeep.unref();
  };
  const answer: Answer = async (method, input, signal) => {
    const onItsOwn = method.startsWith('backups.') || method.startsWith('host.');
    if (!onItsOwn) await restoring?.catch(() => undefined);
    if (damaged && !onItsOwn) return { error: describe(damaged) };
    if (!options.can.paths && namesPath(input)) return refused('notHere', 'this host takes no paths of its machine: send the file itself');
    const stop = new AbortController(),
      call = whole(method, input, signal ? AbortSignal.any([signal, stop.signal]) : stop.signal);
    if (method !== 'backups.restore') underWay.set(call, stop);
    const reply = await call.finally(() => underWay.delete(call));
    if (!upkeep && !closed) lookAgain(upkeepAfter);
    return reply;
  };

  return {
    answer,
    subscribe: listener => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => {
      closed = true;
      clearTimeout(upkeep);
      await restoring?.catch(() => undefined);
      await Promise.all([work.stop(), exports.stop()]);
      await downloads.stop();
      photos.close();
      await Promise.all([engine.close(), verifier.close()]);
      db.close();
    },
  };
}
