/** @file What is left open is filled in: a request becomes one with nothing open when it is queued, and that a work order when its turn comes. */
import { randomInt } from 'node:crypto';
import { statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { generateOrder, type GenerateOrder } from '../../native-models/tasks.ts';
import { StudioError } from '../contract/errors.ts';
import { plainPrompt } from '../contract/expand.ts';
import { closestHandle, fold, longestHandle, mentionsIn } from '../contract/handles.ts';
import type { AdapterId, PhotoId, PictureId, SubjectId } from '../contract/ids.ts';
import type { Adapter, Job, Picture, Settings, Subject } from '../contract/records.ts';
import type { Request, ResolvedRequest } from '../contract/requests.ts';
import { writeDurably } from '../media/files.ts';
import { prepareReference } from '../media/photo.ts';
import type { Catalogue } from './checkpoints.ts';
import { workOf, type Forecaster } from './forecast.ts';
import type { Note } from './requests.ts';

/** Where the things are that a request names. */
export interface Sources {
  readonly subjects: {
    /** @throws StudioError `notFound` */
    get(id: SubjectId): Subject;
    /** Of those that are not removed. */
    byHandle(handle: string): Subject | undefined;
    handles(): readonly string[];
    /** Whose photo it is.
     * @throws StudioError `notFound` */
    ofPhoto(id: PhotoId): SubjectId;
  };
  readonly pictures: {
    /** @throws StudioError `notFound` */
    get(id: PictureId): Picture;
  };
  readonly catalogue: Pick<Catalogue, 'checkpoint' | 'adaptersFor'> & { adapter(id: AdapterId): Adapter };
  readonly settings: () => Settings;
  readonly forecast: Pick<Forecaster, 'stepRatio'>;
}

const refuse = (text: string): never => {
  throw new StudioError('badRequest', text);
};

// Handles

/** A prompt whose handles have become words.
 * @param known the subject of a handle, lower case and NFKC
 * @throws StudioError for a handle that nobody has, with the nearest one */
export function replaceHandles<T extends { readonly words: string }>(
  prompt: string,
  known: (handle: string) => T | undefined,
  handles: () => readonly string[],
): { text: string; found: T[] } {
  const found = new Set<T>();
  let text = '',
    end = 0;
  for (const { at, run } of mentionsIn(prompt)) {
    const match = longestHandle(run, known);
    if (!match) {
      const wanted = /^[\p{L}\p{M}\p{N}]+/u.exec(run)![0].slice(0, 60),
        near = closestHandle(fold(run), handles()) ?? closestHandle(fold(wanted), handles());
      throw new StudioError(
        'notFound',
        `there is no subject @${run.slice(0, 60)}${near === undefined ? ': add it, or write @@ for the sign itself' : `: did you mean @${near}?`}`,
      );
    }
    found.add(match.found);
    text += prompt.slice(end, at) + match.found.words;
    end = at + 1 + match.length;
  }
  text += prompt.slice(end);
  return { text, found: [...found] };
}

// When it is queued

/** Fills in all that a request leaves open, from what is there now: later edits do not reach it.
 * @param draw a seed
 * @returns the request with nothing open, and what a person should know about it
 * @throws StudioError or TaskError with a sentence: an unknown handle, two subjects, a subject without a photo, a setting out of range */
export async function resolveRequest(
  request: Request,
  { subjects, pictures, catalogue, settings, forecast }: Sources,
  draw: () => number = () => randomInt(2 ** 32),
): Promise<{ resolved: ResolvedRequest; notices: string[] }> {
  const notices: string[] = [];
  const checkpoint = await catalogue.checkpoint(request.checkpoint);
  if (checkpoint.missing)
    throw new StudioError(
      'missing',
      `the checkpoint ${checkpoint.name} (${checkpoint.id}) is gone: plug in its drive, say where it is now, or choose another`,
    );

  // Who it is about: by handle, by name, by photo.
  const named = new Map<string, { words: string; subject: Subject } | undefined>();
  const byHandle = (handle: string) => {
    if (!named.has(handle)) {
      const subject = subjects.byHandle(handle);
      named.set(handle, subject && { words: subject.description === '' ? subject.name : subject.description, subject });
    }
    return named.get(handle);
  };
  const { text: prompt, found } = replaceHandles(plainPrompt(request.prompt), byHandle, () => subjects.handles());
  const negative = replaceHandles(request.negativePrompt, byHandle, () => subjects.handles());
  const about = new Map<SubjectId, Subject>();
  for (const id of request.subjects) about.set(id, subjects.get(id));
  for (const { subject } of found) about.set(subject.id, subject);
  for (const id of request.photos ?? []) {
    const subject = subjects.ofPhoto(id);
    if (!about.has(subject)) about.set(subject, subjects.get(subject));
  }
  const all = [...about.values()];
  for (const subject of all)
    if (subject.removed) refuse(`${subject.name} (@${subject.handle}) has been removed: restore it, or choose another subject`);
  if (all.length > 1 && !checkpoint.severalSubjects)
    refuse(
      `${all.map(s => `@${s.handle}`).join(' and ')} are ${all.length} subjects, and ${checkpoint.name} can show one in a clip: choose one of them, or a checkpoint that takes several`,
    );

  // Their photos
  const photos = (request.photos ?? all.map(heroOf)).filter((id, i, ids) => ids.indexOf(id) === i);
  const references = photos.map(id => {
    const photo = all.flatMap(s => s.photos).find(p => p.id === id);
    if (!photo) throw new StudioError('notFound', `there is no photo ${id}: list the subject's photos`);
    if (photo.removed) refuse(`photo ${id} (${photo.name}) has been removed: restore it, or choose another`);
    if (photo.missing)
      throw new StudioError('missing', `photo ${id} (${photo.name}) is gone from the library: add it again, or choose another`);
    if (request.cutOut && photo.mask === null)
      refuse(`photo ${id} (${photo.name}) has no mask to cut it out by: give it one, or use it whole`);
    // laid over white a second time, the soft edges of one that is on white would fade
    return { photoId: id, sha256: photo.sha256, crop: photo.crop, mask: photo.mask, cutOut: request.cutOut && !photo.onWhite };
  });
  const most = 8; // what the engine takes
  if (references.length > most) refuse(`${references.length} reference photos are too many, at most ${most} can be given: choose fewer`);

  const start = request.startImage === null ? null : pictures.get(request.startImage);
  if (start?.missing)
    throw new StudioError('missing', `the start image ${start.name} (${start.id}) is gone from the library: choose it again, or another`);

  const own = references.length ? catalogue.adaptersFor([...about.keys()], checkpoint) : [];
  const adapters = (request.adapters ?? own).map(({ id, scale }) => {
    const adapter = catalogue.adapter(id);
    if (adapter.missing)
      throw new StudioError(
        'missing',
        `the adapter ${adapter.name} (${id}) is gone: plug in its drive, say where it is now, or leave it off`,
      );
    return { id, name: adapter.name, sha256: adapter.sha256, scale: scale ?? adapter.scale };
  });
  const r = checkpoint.recommended;
  const resolved: ResolvedRequest = {
    version: 1,
    prompt,
    negativePrompt: negative.text,
    subjects: all.map(({ id, name, handle }) => ({ id, name, handle })),
    references,
    startImage: start && { pictureId: start.id, sha256: start.sha256 },
    checkpoint: { id: checkpoint.id, name: checkpoint.name, sha256: checkpoint.sha256 },
    adapters,
    seed: request.seed ?? draw(),
    numInferenceSteps: request.numInferenceSteps ?? r.numInferenceSteps,
    guidanceScale: request.guidanceScale ?? r.guidanceScale,
    useDynamicCfg: request.useDynamicCfg,
    scheduler: request.scheduler ?? r.scheduler,
    numFrames: request.numFrames ?? r.numFrames,
    width: request.width ?? r.width,
    height: request.height ?? r.height,
    fps: request.fps ?? r.fps,
    fit: request.fit,
    precision: request.precision,
    noiseDtype: request.noiseDtype,
    vaeTiling: request.vaeTiling,
    device: request.device ?? settings().device,
  };
  const { prompt: text, negativePrompt } = generateOrder.shape;
  for (const [schema, value] of [
    [text, prompt],
    [negativePrompt, negative.text],
  ] as const) {
    const parsed = schema.safeParse(value); // descriptions are longer than handles
    if (!parsed.success) refuse(parsed.error.issues.map(i => i.message).join('; '));
  }
  if (references.length > 1) {
    const work = workOf(resolved),
      ratio = forecast.stepRatio(work, { ...work, references: 1 });
    notices.push(
      `${references.length} photos instead of one are ${references.length - 1} latent ${references.length === 2 ? 'frame' : 'frames'} more: each step takes about ${Math.round((ratio - 1) * 100)} % longer`,
    );
  }
  return { resolved, notices };
}

function heroOf(subject: Subject): PhotoId {
  return subject.heroPhotoId ?? refuse(`${subject.name} (@${subject.handle}) has no photo: add one first`);
}

// When its turn comes

/** Where a photo, a mask and a start image of the library lie, by content. */
export interface Files {
  photo(sha256: string): string;
  mask(sha256: string): string;
  picture(sha256: string): string;
}

/** The work order of a job; its references are prepared in its folder.
 * @param folder the job's own, absolute
 * @throws StudioError `missing` for a file that is gone, `conflict` for one that has become another */
export async function orderOf(
  { request, resolved }: Pick<Job, 'request' | 'resolved'>,
  folder: string,
  signal: AbortSignal,
  {
    catalogue,
    files,
    subjects,
    pictures,
    settings,
  }: {
    catalogue: Pick<Catalogue, 'place'>;
    files: Files;
    subjects: Pick<Sources['subjects'], 'get' | 'ofPhoto'>;
    pictures: Sources['pictures'];
    settings: Settings;
  },
): Promise<GenerateOrder> {
  const [checkpoint, ...adapters] = await Promise.all(
    [resolved.checkpoint, ...resolved.adapters].map(({ id, sha256 }) => catalogue.place(id, sha256, signal)),
  );
  const present = (path: string, what: string) => {
    if (!statSync(path, { throwIfNoEntry: false })?.isFile())
      throw new StudioError('missing', `${what} is gone from the library's folder (${basename(path)}): put it back, or cancel this job`);
    return path;
  };
  const referenceImages: string[] = [];
  for (const [i, { photoId, sha256, crop, mask, cutOut }] of resolved.references.entries()) {
    const photo = present(files.photo(sha256), `photo ${photoId}`);
    const png = await prepareReference({
      photo,
      crop,
      mask: mask !== null && cutOut ? present(files.mask(mask), `the mask of photo ${photoId}`) : null,
      cutOut,
    });
    const path = join(folder, `reference-${i}.png`);
    await writeDurably(path, png);
    referenceImages.push(path);
  }
  const start = resolved.startImage;
  const startImage = start && present(files.picture(start.sha256), `the start image ${start.pictureId}`);
  const startName = ({ pictureId }: NonNullable<typeof start>): string => {
    try {
      return pictures.get(pictureId).name;
    } catch {
      return pictureId; // its row has gone since
    }
  };
  const described = (id: PhotoId): { name: string; handle: string | null } => {
    try {
      const subject = subjects.get(subjects.ofPhoto(id));
      return {
        name: subject.photos.find(p => p.id === id)!.name,
        handle: resolved.subjects.find(s => s.id === subject.id)?.handle ?? null,
      };
    } catch {
      return { name: id, handle: null }; // it has been deleted since
    }
  };
  const note = {
    prompt: request.prompt,
    subjects: resolved.subjects.map(({ name, handle }) => ({ name, handle })),
    photos: resolved.references.map(({ photoId, sha256, crop, mask, cutOut }) => ({
      sha256,
      ...described(photoId),
      crop,
      mask: cutOut ? mask : null,
    })),
    cutOut: request.cutOut,
    startImage: start && { sha256: start.sha256, name: startName(start) },
  } satisfies Note;
  const { prompt, negativePrompt, seed, numInferenceSteps, guidanceScale, useDynamicCfg, scheduler, numFrames, width, height, fps, fit, precision, noiseDtype, vaeTiling, device } = resolved; // prettier-ignore
  return {
    task: 'generate',
    checkpoint: checkpoint!,
    checkpointSha256: resolved.checkpoint.sha256,
    adapters: resolved.adapters.map(({ sha256, scale }, i) => ({ file: adapters[i]!, scale, sha256 })),
    referenceImages,
    startImage,
    fit, prompt, negativePrompt, seed, numInferenceSteps, guidanceScale, useDynamicCfg, scheduler, numFrames, width, height, fps, device, precision, noiseDtype, vaeTiling,
    note,
    previewSeconds: settings.previewSeconds,
    threads: settings.threads,
    out: join(folder, 'clip.mp4'),
    keepLatents: settings.keepLatents ? join(folder, 'latents.safetensors') : null,
  }; // prettier-ignore
}
