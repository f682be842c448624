/**
 * @file Clips on their way out of the library, one after the other.
 *
 * An export is a row before it is begun, and its file is whole and on the disk before the row says so. One that its owner did not live to finish
 * is failed at the next start, with what it left removed: its part beside the target, its folder in the library, `work/e12` (a decoded film, or a
 * clip that was to be), and, for a clip that was to be, the names that `moving.json` planned before any file took one.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, rm, stat } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { asFailure, errnoOf, type DecodeOrder } from '../../native-models/tasks.ts';
import type { api } from '../contract/api.ts';
import { StudioError, type Failure } from '../contract/errors.ts';
import { rowOf, type ClipId, type ExportId } from '../contract/ids.ts';
import { exported, type Clip, type Exported, type ExportOrder, type ExportPlan } from '../contract/records.ts';
import type { HostOf } from '../contract/rpc.ts';
import { MediaError } from '../media/error.ts';
import { checkTarget, describeExport, exportVideo, joinVideos, type FilmFile, type FilmFrames, type Joint } from '../media/export.ts';
import { findFfmpeg, type Ffmpeg } from '../media/ffmpeg.ts';
import { fileHash, syncFolder, writeDurably } from '../media/files.ts';
import { readRequest } from '../media/metadata.ts';
import { clipPictures, probeClip } from '../media/poster.ts';
import { fractionOf, presetIds, presets, unavailable, type Plan, type Preset } from '../media/presets.ts';
import { sweepParts } from '../media/video-writer.ts';
import type { Catalogue } from './checkpoints.ts';
import type { ClipsPart, NewClip } from './clips.ts';
import { describeFailure } from './failures.ts';
import { fileIn, type Library } from './library.ts';
import type { Served } from './media.ts';
import { absolute, fileNameOf, folderIn, notInside, readRecord } from './rows.ts';
import { isOfClip, move, takeBack } from './runner.ts';
import type { Shared } from './sharing.ts';

export interface ExportsOptions {
  readonly clips: Pick<ClipsPart, 'get' | 'files' | 'add'>;
  readonly catalogue: Pick<Catalogue, 'checkpoint' | 'place'>;
  /** Decodes kept latents. */
  readonly decode: Shared['decode'];
  /** Processor threads for decoding; null: as many as are good. */
  readonly threads: () => number | null;
  /** Whether clients of this host may be told paths. */
  readonly local: boolean;
}

export type ExportsPart = HostOf<typeof api>['exports'] & {
  /** The file behind an id; one outside the library may be told, and its bytes are withheld.
   * @throws StudioError `notFound` */
  media(id: ExportId, kind: 'export' | 'poster'): Served;
  /** The library's own exports by their folder (`exports/e3`). `again`: nothing is lost with it, since its clips are there; `gone`: it is not there. */
  folders(): ReadonlyMap<string, { readonly id: ExportId; readonly again: boolean; readonly gone: boolean }>;
  /** Folders of those under way: `work/e3`. */
  work(): ReadonlySet<string>;
  /** Takes the exports in these folders off the list. The files are the caller's to remove, afterwards. */
  forget(folders: ReadonlySet<string>): void;
  /** Takes up the library as it is now: what nothing works on any more is failed, and what is left of it removed. */
  begin(): void;
  /** Ends what runs and takes nothing more; resolves when nothing is left of it. */
  stop(): Promise<void>;
};

/** What a row keeps beside its columns. */
const keptRecord = exported
  .omit({ id: true, status: true, inLibrary: true, progress: true, missing: true })
  .extend({ replace: z.boolean().default(false), asClip: z.boolean().default(false) });
type Kept = z.infer<typeof keptRecord>;
interface Row {
  readonly id: number;
  readonly status: string;
  readonly inside: number;
  readonly file: string | null;
  readonly record: string;
}
const statusOf = exported.shape.status;

/** What is under way. */
interface Active {
  readonly controller: AbortController;
  readonly ended: Promise<unknown>;
  /** Of performance.now(). */
  readonly since: number;
  progress: number;
}
/** Why what runs is stopped. */
class Closing extends Error {}
class Canceled extends Error {}

/** How much of an export decoding is, where latents are decoded. */
const decodingShare = 0.7;
/** Between two events of progress: ms. */
const progressGap = 250;
/** Between two tries to write a row: ms. */
const retryGap = 2000;
const interrupted = 'Protagonist ended before this export was done: export it again';
/** Media types of what presets make. */
const types: Readonly<Partial<Record<string, string>>> = {
  '.mp4': 'video/mp4',
  '.mov': 'video/quicktime',
  '.mkv': 'video/x-matroska',
  '.webm': 'video/webm',
  '.gif': 'image/gif',
  '.webp': 'image/webp',
};

const presetFor = (id: string): Preset => {
  const preset = presets.find(row => row.id === id);
  if (!preset) throw new StudioError('badInput', `there is no preset ${JSON.stringify(id)}: choose one of ${presetIds.join(', ')}`);
  return preset;
};
/** What cannot be made as it is asked is the asker's to mend; what the system refuses stays what it is. */
const asked = async <T>(work: () => Promise<T>): Promise<T> => {
  try {
    return await work();
  } catch (e) {
    if (!(e instanceof MediaError) || asFailure(e).code !== 'failed' || errnoOf(e) !== undefined) throw e;
    throw new StudioError('badRequest', e.message.replace(/\.$/, ''), { cause: e });
  }
};
const posterOf = (file: string): string => `${file.slice(0, file.length - extname(file).length)}.poster.png`;

/** What an export is made of. */
type Film = { readonly source: FilmFile | FilmFrames } | { readonly files: readonly FilmFile[]; readonly joint: Joint };
interface Sources {
  readonly clips: readonly Clip[];
  /** Latents that are to be decoded. */
  readonly latents: Omit<DecodeOrder, 'out' | 'threads' | 'checkpoint'> | undefined;
  /** What a person should know of where it comes from. */
  readonly notes: readonly string[];
}

export function exportsPart(library: Library, { clips, catalogue, decode, threads, local }: ExportsOptions): ExportsPart {
  const { home, db } = library;
  const active = new Map<ExportId, Active>();
  let stopping = false,
    working: Promise<void> | undefined,
    again = false,
    sweeping: Promise<void> = Promise.resolve(),
    finding: Promise<Ffmpeg> | undefined;

  /** Found once; anew where it does not serve any more. */
  const program = (): Promise<Ffmpeg> => {
    const found = (finding ??= findFfmpeg());
    found.catch(() => (finding = undefined));
    return found;
  };

  // Rows

  const rowById = (id: ExportId): Row => {
    const row = db.get<Row>('SELECT * FROM exports WHERE id = ?', rowOf(id));
    if (!row) throw new StudioError('notFound', `there is no export ${id}: list them`);
    return row;
  };
  const keptOf = (row: Row): Kept => readRecord(keptRecord, row.record, `export e${row.id}`);
  /** Where its file lies, absolute, whether it is there or not; undefined where it has none. */
  const placeOf = (row: Row, { clipId }: Kept): string | undefined => {
    if (clipId !== null) {
      try {
        return clips.files(clipId).video;
      } catch {
        return undefined; // the clip was erased
      }
    }
    return row.file === null ? undefined : row.inside === 1 ? fileIn(library, row.file) : row.file;
  };
  const isThere = (path: string | undefined): boolean => path !== undefined && existsSync(path);
  const exportOf = (row: Row): Exported => {
    const kept = keptOf(row),
      { version, order, name, clipId, plan, bytes, failure, createdAt, endedAt } = kept,
      id = `e${row.id}` as const,
      status = statusOf.parse(row.status);
    return {
      version,
      id,
      status,
      order,
      name,
      clipId,
      plan,
      bytes,
      failure,
      createdAt,
      endedAt,
      inLibrary: row.inside === 1,
      progress: status === 'running' ? (active.get(id)?.progress ?? 0) : null,
      missing: status === 'completed' && !isThere(placeOf(row, kept)),
    };
  };
  const told = (id: ExportId): Exported => {
    const now = exportOf(rowById(id));
    library.say({ type: 'export', export: now });
    return now;
  };
  const write = (id: ExportId, status: Exported['status'], changes: Partial<Kept>): void => {
    const record = keptRecord.parse({ ...keptOf(rowById(id)), ...changes });
    db.run('UPDATE exports SET status = ?, record = ? WHERE id = ?', status, JSON.stringify(record), rowOf(id));
  };
  const now = () => new Date().toISOString();
  /** Does something to the rows that has to be done before anything else can be: as often as it takes, unless the program ends. */
  const insist = async (change: () => void): Promise<void> => {
    for (;;) {
      try {
        return db.transaction(change);
      } catch (e) {
        if (e instanceof StudioError && e.code === 'notFound') return; // it was taken off the list
        if (stopping) return; // the next start sees to it
        await sleep(retryGap, undefined, { ref: false });
      }
    }
  };

  // Planning

  const nameFor = ([first, ...others]: readonly Clip[]): string =>
    others.length === 0
      ? first!.name
      : `${Array.from(first!.name)
          .slice(0, 60)
          .join('')
          .replace(/[.!?…\s]+$/u, '')} and ${others.length} more`;
  /** Whether a clip's latents can be decoded; a note where somebody may wonder why not. */
  const latentsOf = async (clip: Clip): Promise<Sources['latents'] | string> => {
    const { resolved, numFrames, width, height, fps } = clip,
      { latents } = clips.files(clip.id);
    if (!resolved || latents === null || !existsSync(latents)) return undefined;
    const { device, precision, vaeTiling, checkpoint } = resolved;
    const own = await catalogue.checkpoint(checkpoint.id).catch(() => undefined);
    if (!own || own.missing || own.sha256 !== checkpoint.sha256)
      return `Its latents are kept, but the checkpoint that decodes them, ${checkpoint.name}, is not here.`;
    return { task: 'decode', latents, numFrames, width, height, fps, device, precision, vaeTiling };
  };
  /** @throws StudioError `notFound` */
  const sourcesOf = async (order: ExportOrder, preset: Preset): Promise<Sources> => {
    const all = order.clips.map(id => clips.get(id));
    const latents = all.length === 1 && preset.master ? await latentsOf(all[0]!) : undefined;
    return typeof latents === 'string' ? { clips: all, latents: undefined, notes: [latents] } : { clips: all, latents, notes: [] };
  };
  /** The clips' own files.
   * @throws StudioError `missing` */
  const filesOf = (order: ExportOrder, all: readonly Clip[]): Film => {
    const files = all.map(({ id }) => {
      const file = clips.files(id).video;
      if (!existsSync(file))
        throw new StudioError('missing', `the file of ${id} is gone from the library's folder: find it, or export another clip`);
      return { file, ours: true };
    });
    return files.length === 1 ? { source: files[0]! } : { files, joint: order.joint };
  };
  /** What a clip's own file remembers, where it is not what is exported from. */
  const requestOf = async (clip: Clip) => readRequest(clips.files(clip.id).video).catch(() => undefined);
  const none: AsyncIterable<Uint8Array> = (async function* () {})(); // describing asks for no frame
  const shownPlan = (plan: Plan, source: ExportPlan['source'], notes: readonly string[]): ExportPlan => {
    const { width, height, rate, numFrames, seconds, scaled, offset, preset } = plan;
    return {
      width,
      height,
      rate: [...rate],
      numFrames,
      seconds,
      scaled: { ...scaled },
      offset: { ...offset },
      extension: preset.extension ?? null,
      source,
      notes: [...notes, ...plan.notes],
    };
  };
  const planned = async (order: ExportOrder, signal: AbortSignal) => {
    const preset = presetFor(order.preset),
      sources = await sourcesOf(order, preset),
      name = nameFor(sources.clips),
      own = `${fileNameOf(name, 'clip')}${preset.extension === undefined ? '' : `.${preset.extension}`}`,
      ffmpeg = await program();
    const { latents } = sources;
    const film: Film = latents
      ? {
          source: {
            frames: none,
            width: latents.width,
            height: latents.height,
            rate: fractionOf(latents.fps),
            numFrames: latents.numFrames,
          },
        }
      : filesOf(order, sources.clips);
    const { plan, command } = await asked(() => describeExport({ ...film, preset, options: order.options, out: own, ffmpeg, signal }));
    return { preset, sources, name, own, command, shown: shownPlan(plan, latents ? 'latents' : 'clip', sources.notes) };
  };

  /** Whether `target`, which is outside the library, can be made.
   * @param own the export that is to make it, where it has a row
   * @throws StudioError `conflict` where something is or comes there already; `badInput` and others where nothing can be written */
  const checkPlace = async (
    order: ExportOrder,
    preset: Preset,
    sources: Sources,
    target: string,
    replace: boolean,
    own?: ExportId,
  ): Promise<void> => {
    await notInside(library, target);
    const poster = order.options.poster === undefined ? [] : [posterOf(target)];
    for (const file of [target, ...poster])
      if (!replace && preset.extension !== undefined && existsSync(file))
        throw new StudioError('conflict', `there is a file already at ${file}: choose another name, or say that it may be replaced`);
    const files = sources.clips.map(({ id }) => clips.files(id).video);
    await asked(() => checkTarget(preset, target, files, replace));
    const other = db.get<{ id: number }>(
      `SELECT id FROM exports WHERE file = ? AND status IN ('waiting', 'running') AND id IS NOT ?`,
      target,
      own === undefined ? null : rowOf(own),
    );
    if (other) throw new StudioError('conflict', `e${other.id} is on its way to ${target}: let it finish, or choose another name`);
  };

  // Making

  const workOf = (id: ExportId) => join(home, 'work', id);
  /** Decodes kept latents into the export's own folder.
   * @returns where the film is, or why it has to be made from the compressed clip */
  const develop = async (id: ExportId, clip: Clip, latents: NonNullable<Sources['latents']>, a: Active): Promise<FilmFile | string> => {
    const { signal } = a.controller,
      out = join(workOf(id), 'film.mkv');
    try {
      const { id: known, sha256 } = clip.resolved!.checkpoint,
        checkpoint = await catalogue.place(known, sha256, signal);
      const on: Parameters<Shared['decode']>[1] = event => {
        if (event.type === 'progress' && event.phase === 'decode' && event.of > 0) advance(id, a, (decodingShare * event.step) / event.of);
      };
      const attempt = (device: DecodeOrder['device']) => decode({ ...latents, device, checkpoint, threads: threads(), out }, on, signal);
      await attempt(latents.device).catch((e: unknown) => {
        if (signal.aborted || asFailure(e).code !== 'noDevice') throw e;
        return attempt('auto'); // it was made on another machine
      });
      return { file: out, ours: true, lossless: true };
    } catch (e) {
      const { code, text } = describeFailure(e, home);
      if (signal.aborted || !['badFile', 'missing', 'conflict'].includes(code)) throw e;
      return `Its latents could not be decoded: ${text.replace(/\.$/, '')}.`;
    }
  };

  const saidAt = new Map<ExportId, number>();
  const advance = (id: ExportId, a: Active, part: number): void => {
    a.progress = Math.max(a.progress, Math.min(part, 1));
    if (performance.now() - (saidAt.get(id) ?? -Infinity) < progressGap) return;
    saidAt.set(id, performance.now());
    try {
      told(id);
    } catch {
      // a database that cannot be read now is told of by what reads it
    }
  };

  const make = async (row: Row, a: Active): Promise<void> => {
    const id = `e${row.id}` as const,
      kept = keptOf(row),
      { order } = kept,
      { signal } = a.controller,
      preset = presetFor(order.preset),
      ffmpeg = await program(),
      sources = await sourcesOf(order, preset),
      [clip] = sources.clips;
    await folderIn(library, 'work');
    await rm(workOf(id), { recursive: true, force: true });
    await mkdir(workOf(id));
    const decoded = sources.latents && (await develop(id, clip!, sources.latents, a));
    signal.throwIfAborted();
    const fromLatents = typeof decoded === 'object',
      begin = fromLatents ? decodingShare : 0,
      request = fromLatents && !order.options.forget ? await requestOf(clip!) : undefined;
    const out = kept.asClip ? join(workOf(id), 'clip.mp4') : row.inside === 1 ? fileIn(library, row.file!) : row.file!;
    if (row.inside === 1 && !kept.asClip) {
      await folderIn(library, 'exports');
      await mkdir(dirname(out), { recursive: true });
      await syncFolder(join(home, 'exports'));
      await syncFolder(home);
    }
    const film = fromLatents ? { source: decoded } : filesOf(order, sources.clips);
    const base = { preset, options: order.options, out, request, replace: kept.replace, ffmpeg, signal };
    const notes = [...sources.notes, ...(typeof decoded === 'string' ? [decoded] : [])];
    const plan = shownPlan((await describeExport({ ...base, ...film })).plan, fromLatents ? 'latents' : 'clip', notes);
    await insist(() => {
      write(id, 'running', { plan });
      told(id);
    });
    const on = ({ part }: { readonly part: number }) => advance(id, a, begin + (1 - begin) * part);
    const made = 'files' in film ? await joinVideos({ ...base, ...film, on }) : await exportVideo({ ...base, ...film, on });
    const complete = (clipId: ClipId | null) => {
      write(id, 'completed', { bytes: made.bytes, clipId, endedAt: now() });
      active.delete(id);
      told(id);
    };
    if (kept.asClip) await become(id, kept, sources.clips, out, made.plan, ffmpeg, a, complete);
    else {
      await rm(workOf(id), { recursive: true, force: true }).catch(() => undefined); // what is left goes at the next start
      await insist(() => complete(null));
    }
  };

  /** Makes a finished file a clip of the library. */
  const become = async (
    id: ExportId,
    kept: Kept,
    parents: readonly Clip[],
    file: string,
    plan: Plan,
    ffmpeg: Ffmpeg,
    a: Active,
    complete: (clipId: ClipId) => void,
  ): Promise<void> => {
    const { width, height, numFrames, rate } = plan,
      folder = workOf(id);
    await probeClip(ffmpeg, file);
    const { poster, sprite, columns } = await clipPictures(ffmpeg, file, { width, height, numFrames });
    await writeDurably(join(folder, 'poster.jpg'), poster);
    await writeDurably(join(folder, 'sprite.jpg'), sprite);
    const sha256 = await fileHash(file);
    a.controller.signal.throwIfAborted();
    const files = freeNames(`${fileNameOf(kept.name, 'clip')}-${id}`, id);
    await writeDurably(join(folder, 'moving.json'), Buffer.from(JSON.stringify(files)));
    for (const { from, to } of Object.values(files)) {
      const into = to.split('/')[0]!;
      await folderIn(library, into);
      if (!(await move(join(folder, from), fileIn(library, to))))
        throw new StudioError('conflict', `another file has just taken the name ${to}: export it again`);
      await syncFolder(join(home, into));
    }
    await syncFolder(home);
    const [first, ...others] = parents,
      alone = others.length === 0 ? first! : undefined;
    const made: NewClip = {
      name: kept.name,
      jobId: null,
      request: alone?.request ?? null,
      resolved: alone?.resolved ?? null,
      seed: first!.seed,
      subjects: [...new Map(parents.flatMap(p => p.subjects).map(({ id, name, handle }) => [id, { id, name, handle }])).values()],
      tags: [...new Set(parents.flatMap(p => p.tags))].slice(0, 50),
      checkpoint: first!.checkpoint,
      adapters: first!.adapters,
      device: first!.device,
      timings: { load: 0, encode: 0, denoise: 0, decode: 0, export: (performance.now() - a.since) / 1000 },
      width,
      height,
      numFrames,
      fps: rate[0] / rate[1],
      sha256,
      spriteColumns: columns,
      parents: parents.map(p => p.id),
      files: { video: files.video.to, poster: files.poster.to, sprite: files.sprite.to, latents: null },
    };
    await insist(() => complete(clips.add(made).id));
  };
  const isTaken = (to: string): boolean => existsSync(fileIn(library, to)) || isOfClip(library, to);
  const freeNames = (slug: string, id: ExportId) => {
    for (let n = 1; ; n++) {
      const tail = n === 1 ? '' : `-${n}`;
      const files = {
        video: { from: 'clip.mp4', to: `clips/${slug}${tail}.mp4` },
        poster: { from: 'poster.jpg', to: `previews/${id}${tail}-poster.jpg` },
        sprite: { from: 'sprite.jpg', to: `previews/${id}${tail}-sprite.jpg` },
      };
      if (Object.values(files).every(({ to }) => !isTaken(to))) return files;
    }
  };
  const movingFile = z.record(z.string(), z.object({ from: z.string(), to: z.string() }));
  /** Removes an export's folder in `work`, and the files that took names for a clip that never came to be. */
  const discardWork = (id: ExportId): void => {
    const folder = workOf(id);
    if (!existsSync(folder)) return;
    let moving: z.infer<typeof movingFile> = {};
    try {
      moving = movingFile.parse(JSON.parse(readFileSync(join(folder, 'moving.json'), 'utf8')));
    } catch {
      // there is none, or it was being written: no file has moved
    }
    takeBack(library, folder, Object.values(moving));
    rmSync(folder, { recursive: true, force: true });
  };
  /** Removes what an export that did not come to its end has left. */
  const discard = async (row: Row): Promise<void> => {
    discardWork(`e${row.id}`);
    if (row.file === null) return;
    if (row.inside === 1) await rm(dirname(fileIn(library, row.file)), { recursive: true, force: true, maxRetries: 5 });
    else await sweepParts(row.file);
  };

  /** A sentence without the folder that the file was to lie in: others of this library may read it. */
  const failureOf = (error: unknown, row: Row): Failure => {
    const failure = describeFailure(error, home);
    if (row.file === null || row.inside === 1) return failure;
    return { ...failure, text: failure.text.replaceAll(`${dirname(row.file).replace(/[/\\]$/, '')}/`, '') };
  };
  const carryOut = async (row: Row): Promise<void> => {
    const id = `e${row.id}` as const,
      { promise, resolve } = Promise.withResolvers<undefined>(),
      a: Active = { controller: new AbortController(), ended: promise, since: performance.now(), progress: 0 };
    active.set(id, a);
    try {
      await insist(() => {
        if (rowById(id).status !== 'waiting') throw new StudioError('notFound', 'it was canceled');
        write(id, 'running', {});
        told(id);
      });
      if (rowById(id).status === 'running') await make(row, a);
    } catch (e) {
      const { reason } = a.controller.signal as { reason: unknown };
      active.delete(id);
      finding = undefined; // a machine's ffmpeg may have been replaced
      await discard(row).catch(() => undefined); // the disk may be gone: the first error says more
      if (!(reason instanceof Closing))
        await insist(() => {
          if (reason instanceof Canceled) write(id, 'canceled', { endedAt: now() });
          else write(id, 'failed', { failure: failureOf(e, row), endedAt: now() });
          told(id);
        });
    } finally {
      active.delete(id);
      saidAt.delete(id);
      await rm(workOf(id), { recursive: true, force: true }).catch(() => undefined); // what is left goes at the next start
      resolve(undefined);
    }
  };
  const drain = async (): Promise<void> => {
    await sweeping;
    do {
      again = false;
      for (;;) {
        if (stopping) return;
        let row: Row | undefined;
        try {
          row = db.get<Row>(`SELECT * FROM exports WHERE status = 'waiting' ORDER BY id LIMIT 1`);
        } catch {
          await sleep(retryGap, undefined, { ref: false }); // what reads next says what is wrong
          continue;
        }
        if (!row) break;
        await carryOut(row);
      }
    } while (again as boolean);
  };
  const wake = (): void => {
    again = true;
    if (!stopping)
      working ??= drain()
        .catch((e: unknown) => {
          library.say({ type: 'notice', jobId: null, text: `exports have stopped: ${describeFailure(e, home).text}` });
        })
        .finally(() => {
          working = undefined;
          if (again && !stopping) wake();
        });
  };
  /** Fails what nothing works on any more.
   * @returns its rows */
  const giveUp = (): Row[] => {
    const rows = db.all<Row>(`SELECT * FROM exports WHERE status IN ('waiting', 'running')`);
    db.transaction(() => {
      for (const { id } of rows) {
        write(`e${id}`, 'failed', { failure: { code: 'canceled', text: interrupted, action: 'retry' }, endedAt: now() });
        told(`e${id}`);
      }
    });
    return rows;
  };
  const sweep = async (rows: readonly Row[]): Promise<void> => {
    for (const row of rows) await discard(row).catch(() => undefined); // its drive may be unplugged
    const folder = join(home, 'work');
    if (!existsSync(folder)) return;
    for (const name of readdirSync(folder)) if (/^e[1-9]\d*$/.test(name)) discardWork(name as ExportId);
  };

  const part: ExportsPart = {
    presets: async () => {
      const found = await program().catch((e: unknown) => describeFailure(e, home).text);
      return {
        presets: presets.map(preset => {
          const { id, name, says, extension = null, partner = null, smallest, aspect } = preset;
          return {
            id,
            name,
            says,
            extension,
            partner,
            smallest: { ...smallest },
            aspect: aspect ? ([...aspect] as [number, number]) : null,
            unavailable: typeof found === 'string' ? found : (unavailable(preset, found) ?? null),
          };
        }),
        ffmpeg: typeof found === 'string' ? 'none' : `ffmpeg ${found.version} of ${found.year}`,
      };
    },
    describe: async (order, signal) => (await planned(order, signal)).shown,
    command: async (order, signal) => {
      if (!local) throw new StudioError('notHere', 'a command names files of this machine, which are not shown here: export it instead');
      const { sources, own, preset, command } = await planned(order, signal);
      if (!sources.latents) return { command };
      // what is decoded comes from no command: it is the same export of the compressed clip
      const film = filesOf(order, sources.clips),
        ffmpeg = await program();
      return asked(() => describeExport({ ...film, preset, options: order.options, out: own, ffmpeg, signal }));
    },
    start: async ({ name: given, path, replace, asClip, ...order }, signal) => {
      const { preset, sources, name, own } = await planned(order, signal);
      if (asClip && path !== undefined)
        throw new StudioError('badInput', 'a new clip lies in the library: leave out where to put it, and save a copy afterwards');
      if (asClip && !(preset.makes.container === 'mp4' && preset.makes.codecs?.includes('avc1')))
        throw new StudioError(
          'badInput',
          `${preset.name} makes no clip that the library can show: choose Share (MP4) for a clip of its own`,
        );
      if (!local && preset.extension === undefined)
        throw new StudioError(
          'notHere',
          `${preset.name} is a folder of pictures, which this host cannot hand out: choose a preset that makes one file`,
        );
      const title = given ?? name,
        ownName = `${fileNameOf(title, 'clip')}${extname(own)}`;
      let target: string | null = null;
      if (path !== undefined) {
        target = absolute(path);
        const isFolder = await stat(target).then(
          s => s.isDirectory(),
          () => false,
        );
        if (isFolder && preset.extension !== undefined) target = join(target, ownName);
        await checkPlace(order, preset, sources, target, replace);
      }
      signal.throwIfAborted();
      const id = db.transaction((): ExportId => {
        const record = keptRecord.parse({
          order,
          name: title,
          clipId: null,
          plan: null,
          bytes: 0,
          failure: null,
          createdAt: now(),
          endedAt: null,
          replace,
          asClip,
        });
        const { id: row } = db.run(
          `INSERT INTO exports (status, inside, file, record) VALUES ('waiting', ?, ?, ?)`,
          path === undefined ? 1 : 0,
          target,
          JSON.stringify(record),
        );
        for (const clip of new Set(order.clips)) db.run('INSERT INTO export_clips (export, clip) VALUES (?, ?)', row, rowOf(clip));
        if (path === undefined && !asClip) {
          let folder = `exports/e${row}`; // after a backup was restored an id may have been another's
          for (let n = 2; existsSync(fileIn(library, folder)); n++) folder = `exports/e${row}-${n}`;
          db.run('UPDATE exports SET file = ? WHERE id = ?', `${folder}/${ownName}`, row);
        }
        return `e${row}`;
      });
      const started = told(id);
      wake();
      return started;
    },
    list: ({ limit, clip, after }) => {
      const before = after === null ? Number.MAX_SAFE_INTEGER : rowOf(after);
      const rows =
        clip === null
          ? db.all<Row>('SELECT * FROM exports WHERE id < ? ORDER BY id DESC LIMIT ?', before, limit + 1)
          : db.all<Row>(
              'SELECT e.* FROM export_clips c JOIN exports e ON e.id = c.export WHERE c.clip = ? AND e.id < ? ORDER BY e.id DESC LIMIT ?',
              rowOf(clip),
              before,
              limit + 1,
            );
      const shown = rows.slice(0, limit);
      return { exports: shown.map(exportOf), next: rows.length > limit ? `e${shown.at(-1)!.id}` : null };
    },
    show: ({ id }) => exportOf(rowById(id)),
    cancel: async ({ id }) => {
      const { status } = rowById(id);
      if (status !== 'waiting' && status !== 'running')
        throw new StudioError('conflict', `${id} has ended already (${status}): there is nothing to cancel`);
      const a = active.get(id);
      if (!a) {
        db.transaction(() => write(id, 'canceled', { endedAt: now() }));
        return told(id);
      }
      a.controller.abort(new Canceled());
      await a.ended;
      return exportOf(rowById(id));
    },
    retry: async ({ id, replace }, signal) => {
      /** The row as it is now, if that is made again. */
      const ended = (): Row => {
        const row = rowById(id),
          { status, missing } = exportOf(row);
        if (status === 'waiting' || status === 'running')
          throw new StudioError('conflict', `${id} is being made: there is nothing to retry`);
        if (status === 'completed' && !missing)
          throw new StudioError('conflict', `${id} is there: export its clip once more to have another file of it`);
        return row;
      };
      const row = ended(),
        kept = keptOf(row),
        { preset, sources } = await planned(kept.order, signal);
      if (row.inside === 0) await checkPlace(kept.order, preset, sources, row.file!, replace || kept.replace, id);
      signal.throwIfAborted();
      db.transaction(() => {
        ended();
        const nothing = { plan: null, clipId: null, bytes: 0, failure: null, endedAt: null };
        write(id, 'waiting', { ...nothing, replace: replace || kept.replace });
      });
      const waits = told(id);
      wake();
      return waits;
    },
    remove: async ({ id }) => {
      const row = rowById(id);
      if (row.status === 'waiting' || row.status === 'running') throw new StudioError('conflict', `${id} is being made: cancel it first`);
      db.run('DELETE FROM exports WHERE id = ?', row.id);
      library.say({ type: 'gone', id });
      // the row first: a file without one is an orphan that cleaning takes, a row without its file would be a lie
      if (row.inside === 1 && row.file !== null) await rm(dirname(fileIn(library, row.file)), { recursive: true, force: true });
    },

    media: (id, kind) => {
      const row = rowById(id),
        kept = keptOf(row),
        place = placeOf(row, kept);
      if (row.status !== 'completed' || place === undefined) throw new StudioError('notFound', `${id} has no file: it is ${row.status}`);
      const withheld =
        row.inside === 0
          ? `${id} was written to a place of its own: the library has no copy of it`
          : kind === 'export' && presetFor(kept.order.preset).extension === undefined
            ? `${id} is a folder of pictures: export it to a folder of your own, or choose a preset that makes one file`
            : undefined;
      if (kind === 'poster') {
        if (kept.order.options.poster === undefined || kept.asClip) throw new StudioError('notFound', `${id} has no poster`);
        return { path: posterOf(place), type: 'image/png', withheld };
      }
      return { path: place, type: types[extname(place)] ?? 'application/octet-stream', withheld };
    },
    folders: () =>
      new Map(
        db.all<Row>('SELECT * FROM exports WHERE inside = 1 AND file IS NOT NULL').map(row => {
          const kept = keptOf(row),
            ended = row.status !== 'waiting' && row.status !== 'running';
          const again = () =>
            kept.order.clips.every(clip => {
              try {
                return !clips.get(clip).missing;
              } catch {
                return false;
              }
            });
          const gone = row.status === 'completed' && !isThere(placeOf(row, kept));
          return [row.file!.split('/').slice(0, 2).join('/'), { id: `e${row.id}` as const, again: ended && again(), gone }] as const;
        }),
      ),
    work: () =>
      new Set(db.all<{ id: number }>(`SELECT id FROM exports WHERE status IN ('waiting', 'running')`).map(({ id }) => `work/e${id}`)),
    forget: folders => {
      for (const row of db.all<Row>('SELECT * FROM exports WHERE inside = 1 AND file IS NOT NULL')) {
        if (!folders.has(row.file!.split('/').slice(0, 2).join('/')) || row.status === 'waiting' || row.status === 'running') continue;
        db.run('DELETE FROM exports WHERE id = ?', row.id);
        library.say({ type: 'gone', id: `e${row.id}` });
      }
    },
    begin: () => {
      stopping = false;
      if (!db.isOpen) return;
      try {
        const rows = giveUp();
        sweeping = sweep(rows).catch(() => undefined);
      } catch (e) {
        // a disk that refuses now is met again by the next export, which says so
        const { code, text } = describeFailure(e, home);
        if (code === 'bug') library.say({ type: 'notice', jobId: null, text });
      }
    },
    stop: async () => {
      stopping = true;
      for (const { controller } of active.values()) controller.abort(new Closing());
      await working;
      await sweeping;
      try {
        if (db.isOpen) giveUp();
      } catch {
        // the next start says it
      }
    },
  };
  part.begin();
  return part;
}
