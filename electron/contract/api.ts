/** @file The studio's API: every method a window, a browser or a command can call. */
import { z } from 'zod';
import { catalogueId } from './catalogue.ts';
import { adapterId, checkpointId, clipId, exportId, jobId, photoId, pictureId, subjectId } from './ids.ts';
import {
  accessToken,
  adapter,
  backup,
  checkpoint,
  clip,
  crop,
  download,
  exported,
  exportOrder,
  exportPlan,
  forecast,
  handle,
  job,
  jobStatuses,
  keptPrompt,
  machine,
  network,
  photoViews,
  picture,
  settingFields,
  settings,
  storage,
  cleanableKinds,
  subject,
  subjectKinds,
  itemName,
  subjectName,
  tag,
  tags,
  text,
} from './records.ts';
import { batch, request, resolvedRequest } from './requests.ts';
import { queueState } from './events.ts';
import { method } from './rpc.ts';

const nothing = z.void();
const none = z
  .object({})
  .optional()
  .transform(() => undefined);
/** A place on the host's machine, whole. Wherever a method takes one its field is called `path`, and nothing else is: see `namesPath`. */
const path = z.string().min(1, 'the path is empty').max(4096, 'the path is too long');
/** Whether an input, parsed or not, names a place on the host's machine: what a client without `can.paths` may not do. */
export function namesPath(input: unknown): boolean {
  const inside = [input]; // no recursion: inputs may be nested as deep as JSON goes
  for (const value of inside) {
    if (typeof value !== 'object' || value === null) continue;
    if (!Array.isArray(value) && Object.hasOwn(value, 'path')) return true;
    for (const each of Object.values(value)) inside.push(each);
  }
  return false;
}
const page = { limit: z.number().int().min(1).max(500).default(60) };
/** The library keeps its own copy of what is given. */
const source = z.union([
  /** A photo or a folder, on hosts that take paths. */
  z.strictObject({ path }),
  /** What was pasted or dropped: the file's bytes. */
  z.strictObject({ name: z.string().max(1000), base64: z.base64('the bytes are not base64').max(350_000_000) }),
]);
export type Source = z.infer<typeof source>;

const description = text('the description', 2000);
const notes = text('the notes', 20_000);

/** What import did not take, file by file. */
const imported = z.object({
  subject,
  added: z.array(photoId),
  /** Already there, by content. */
  duplicates: z.array(z.object({ name: z.string(), photoId })),
  refused: z.array(z.object({ name: z.string(), text: z.string() })),
});

export const clipSort = ['newest', 'oldest', 'stars'] as const;
export const clipSearch = z.object({
  ...page,
  /** Each word has to occur, in any language, anywhere in prompt, subjects or tags. */
  search: z.string().max(1000).default(''),
  sort: z.enum(clipSort).default('newest'),
  subject: subjectId.nullable().default(null),
  tag: tag.nullable().default(null),
  stars: z.number().int().min(0).max(5).default(0),
  trashed: z.boolean().default(false),
  /** Where the last page ended. */
  after: z.string().max(100).nullable().default(null),
});
export type ClipSearch = z.infer<typeof clipSearch>;

export const mediaKinds = [
  'photo',
  'photoThumbnail',
  'mask',
  'video',
  'poster',
  'sprite',
  'subjectThumbnail',
  'export',
  'picture',
] as const;

export const api = {
  host: {
    describe: method(
      none,
      z.object({
        version: z.string(),
        /** What this host can do for its client. */
        can: z.object({
          /** Take paths of this machine as input, and tell where a clip lies. */
          paths: z.boolean(),
          dragOut: z.boolean(),
          reveal: z.boolean(),
          pickFolder: z.boolean(),
        }),
      }),
    ),
    /** This machine: its devices, memory, encoder. Looked at once a start. */
    machine: method(none, machine),
  },
  subjects: {
    add: method(
      z.object({
        name: subjectName,
        kind: z.enum(subjectKinds).default('other'),
        description: description.default(''),
        /** Made from the name if not given. */
        handle: handle.optional(),
        tags: tags.default([]),
        notes: notes.default(''),
        photos: z.array(source).max(500, 'at most 500 photos at once').default([]),
      }),
      imported,
    ),
    /** The toys that come with the program, each as a subject with its photo; those that are there already stay as they are. */
    addSamples: method(none, z.object({ subjects: z.array(subject) })),
    addPhotos: method(z.object({ id: subjectId, photos: z.array(source).min(1).max(500, 'at most 500 photos at once') }), imported),
    list: method(
      z.object({
        ...page,
        search: z.string().max(1000).default(''),
        removed: z.boolean().default(false),
        after: subjectId.nullable().default(null),
      }),
      z.object({ subjects: z.array(subject), next: subjectId.nullable() }),
    ),
    /** By id or handle. */
    show: method(z.object({ id: z.union([subjectId, handle]) }), subject),
    edit: method(
      z.object({
        id: subjectId,
        name: subjectName.optional(),
        kind: z.enum(subjectKinds).optional(),
        description: description.optional(),
        handle: handle.optional(),
        /** All that it will have; `addTags` and `removeTags` change what it has by then, whoever else has changed it meanwhile. */
        tags: tags.optional(),
        addTags: tags.optional(),
        removeTags: tags.optional(),
        notes: notes.optional(),
        heroPhotoId: photoId.optional(),
      }),
      subject,
    ),
    /** Its clips stay. `restore` undoes it. */
    remove: method(z.object({ id: subjectId }), subject),
    restore: method(z.object({ id: subjectId }), subject),
    editPhoto: method(
      z.object({
        id: photoId,
        view: z.enum(photoViews).nullable().optional(),
        crop: crop.nullable().optional(),
        /** A picture of the photo's size, its brightness or alpha the mask; null takes it away. */ mask: z
          .object({ base64: z.base64() })
          .nullable()
          .optional(),
      }),
      subject,
    ),
    removePhoto: method(z.object({ id: photoId }), subject),
    restorePhoto: method(z.object({ id: photoId }), subject),
    /** For good: removed subjects, these or (null) all of them and every removed photo, with their files. Clips stay. */
    erase: method(
      z.object({ ids: z.array(subjectId).max(10_000, 'at most 10,000 subjects at once').nullable().default(null) }),
      z.object({ subjects: z.number(), photos: z.number(), bytes: z.number() }),
    ),
  },
  photos: {
    /** Finds the subject's mask: by itself, in a rectangle, from strokes, or on from an earlier mask. Nothing is saved: `subjects.editPhoto` does that. Coordinates are pixels of the stored photo. */
    cutOut: method(
      z.object({
        id: photoId,
        /** Something around the whole subject. */
        rectangle: z.strictObject({ x: z.number(), y: z.number(), width: z.number().positive(), height: z.number().positive() }).optional(),
        /** All that was drawn so far. */
        strokes: z
          .array(
            z.strictObject({
              subject: z.boolean(),
              radius: z.number().positive().max(10_000),
              points: z
                .array(z.tuple([z.number(), z.number()]))
                .min(1)
                .max(100_000),
            }),
          )
          .max(2000)
          .default([]),
        /** The mask to go on from. */
        previous: z.strictObject({ base64: z.base64('the mask is not base64').max(350_000_000) }).optional(),
      }),
      z.object({
        /** An 8-bit grey PNG of the photo's size. */
        mask: z.object({ base64: z.string() }),
        /** 0 to 1. */
        confidence: z.number(),
        /** Below it a person should look before it is used. */
        doubtful: z.boolean(),
      }),
    ),
    /** What is wrong with a subject's photos, in plain words; it advises and forbids nothing. */
    check: method(
      z.object({ id: subjectId }),
      z.object({
        findings: z.array(
          z.object({
            /** Null: of all of them together. */
            photoId: photoId.nullable(),
            problem: z.enum(['tooSmall', 'cutOff', 'blurred', 'nothingStandsOut', 'nearDuplicate', 'viewsMissing', 'unreadable']),
            sentence: z.string(),
          }),
        ),
      }),
    ),
  },
  clips: {
    list: method(clipSearch, z.object({ clips: z.array(clip), next: z.string().nullable() })),
    /** The ids of all that `list` would find, in its order: a window shows any part of them without having read the rest. */
    index: method(clipSearch.omit({ limit: true, after: true }), z.object({ ids: z.array(clipId) })),
    /** These clips, in this order; those that are gone are left out. */
    some: method(z.object({ ids: z.array(clipId).min(1).max(200, 'at most 200 clips at once') }), z.object({ clips: z.array(clip) })),
    /** Every tag in use outside the trash, and on how many clips. */
    tags: method(none, z.object({ tags: z.array(z.object({ tag: z.string(), clips: z.number() })) })),
    /** One frame of the clip's file as a PNG, 0 the first. */
    frame: method(
      z.object({ id: clipId, frame: z.number().int().nonnegative() }),
      z.object({ base64: z.string(), name: z.string(), width: z.number(), height: z.number() }),
    ),
    show: method(z.object({ id: clipId }), clip),
    edit: method(
      z.object({
        id: clipId,
        name: itemName.optional(),
        stars: z.number().int().min(0).max(5).optional(),
        addTags: tags.optional(),
        removeTags: tags.optional(),
      }),
      clip,
    ),
    /** Hides it; `restore` undoes it. Files stay until the trash is emptied. */
    trash: method(z.object({ ids: z.array(clipId).min(1).max(10_000) }), z.object({ clips: z.array(clip) })),
    restore: method(z.object({ ids: z.array(clipId).min(1).max(10_000) }), z.object({ clips: z.array(clip) })),
    /** For good: rows and files of these clips in the trash, or of all of them. */
    erase: method(
      z.object({ ids: z.array(clipId).max(10_000).nullable().default(null) }),
      z.object({ clips: z.number(), bytes: z.number() }),
    ),
    /** A missing clip is where `path` says: checked by content. */
    find: method(z.object({ id: clipId, path }), clip),
    /** Writes a copy of the file; never over another file. */
    save: method(z.object({ id: clipId, path }), z.object({ bytes: z.number() })),
  },
  pictures: {
    /** Keeps a picture that clips can begin with: a file, a photo of a subject, or a frame of a clip. The same content is the same picture. */
    add: method(
      z.object({
        from: z.union([
          source,
          z.strictObject({ photo: photoId }),
          z.strictObject({ clip: clipId, frame: z.number().int().nonnegative() }),
        ]),
      }),
      picture,
    ),
    show: method(z.object({ id: pictureId }), picture),
  },
  prompts: {
    /** Prompts that were used or pinned: pinned ones first, then the newest. */
    list: method(z.object({ ...page, search: z.string().max(1000).default('') }), z.object({ prompts: z.array(keptPrompt) })),
    /** Keeps one on top, used or not, or no longer. */
    pin: method(z.object({ prompt: request.shape.prompt, pinned: z.boolean() }), keptPrompt),
    /** Takes it off the list, until it is used again. */
    remove: method(z.object({ prompt: request.shape.prompt }), nothing),
  },
  exports: {
    presets: method(
      none,
      z.object({
        presets: z.array(
          z.object({
            id: z.string(),
            name: z.string(),
            says: z.string(),
            /** Null: a folder of pictures. */
            extension: z.string().nullable(),
            /** A preset that belongs with it: both are offered as one. */
            partner: z.string().nullable(),
            /** Smaller clips are scaled up by whole factors. */
            smallest: z.object({ width: z.number(), height: z.number(), why: z.string() }),
            /** The shape that the picture gets, width to height; null: its own. */
            aspect: z.tuple([z.number(), z.number()]).nullable(),
            /** Why it cannot be made here. */
            unavailable: z.string().nullable(),
          }),
        ),
        /** Which ffmpeg makes them. */
        ffmpeg: z.string(),
      }),
    ),
    /** What it would be, without making it. */
    describe: method(exportOrder, exportPlan),
    /** The command that makes it, to be copied into a terminal; on hosts that can tell paths (`can.paths`). */
    command: method(exportOrder, z.object({ command: z.string() })),
    /** Begins one; `export` events tell how far it is. Without `path` the file lies in the library. */
    start: method(
      exportOrder.extend({
        name: itemName.optional(),
        /** The file to make, or the folder where the preset makes one. */
        path: path.optional(),
        /** Whether a file of that name may be replaced. */
        replace: z.boolean().default(false),
        /** It becomes a clip of the library, which remembers what it was made from. */
        asClip: z.boolean().default(false),
      }),
      exported,
    ),
    list: method(
      z.object({ ...page, clip: clipId.nullable().default(null), after: exportId.nullable().default(null) }),
      z.object({ exports: z.array(exported), next: exportId.nullable() }),
    ),
    show: method(z.object({ id: exportId }), exported),
    /** Leaves nothing behind. */
    cancel: method(z.object({ id: exportId }), exported),
    /** The same once more at the same place: of one that failed, was canceled, or whose file is gone. */
    retry: method(
      z.object({
        id: exportId,
        /** A file of that name may be replaced, whatever was said before. */
        replace: z.boolean().default(false),
      }),
      exported,
    ),
    /** Takes it off the list, and its file where that is the library's own. */
    remove: method(z.object({ id: exportId }), nothing),
  },
  jobs: {
    /** How long, how much memory, how much disk; without queueing anything. */
    forecast: method(
      z.object({ request, batch: batch.prefault({}) }),
      z.object({ jobs: z.number(), each: forecast, all: forecast, notices: z.array(z.string()) }),
    ),
    enqueue: method(
      z.object({ request, batch: batch.prefault({}), confirmed: z.boolean().default(false), next: z.boolean().default(false) }),
      z.object({ jobs: z.array(job), notices: z.array(z.string()) }),
    ),
    list: method(
      z.object({
        ...page,
        status: z.array(z.enum(jobStatuses)).max(20).default([]),
        batch: jobId.nullable().default(null),
        after: jobId.nullable().default(null),
      }),
      z.object({ jobs: z.array(job), next: jobId.nullable() }),
    ),
    show: method(z.object({ id: jobId }), job),
    /** Gives the device back: what is done is kept, the engine's process ends. */
    pause: method(z.object({ id: jobId }), job),
    resume: method(z.object({ id: jobId }), job),
    /** Of a failed one: gives it up, and what was kept of it. */
    cancel: method(z.object({ id: jobId }), job),
    /** It waits again: a failed job at the end, where it goes on from what it had gained; a canceled one where it was in the order, from its beginning. */
    retry: method(z.object({ id: jobId }), job),
    /** The same request once more, with the same seed or (null) a drawn one. */
    duplicate: method(z.object({ id: jobId, seed: z.number().int().nonnegative().nullable().optional() }), job),
    move: method(
      z.object({
        id: jobId,
        to: z.union([z.literal('top'), z.literal('bottom'), z.strictObject({ before: jobId }), z.strictObject({ after: jobId })]),
      }),
      job,
    ),
    /** Only while it waits or is paused. */
    edit: method(z.object({ id: jobId, request }), job),
  },
  queue: {
    state: method(none, queueState),
    /** Takes jobs until told to stop, as long as this host lives. */
    start: method(none, queueState),
    /** Pauses what runs, takes nothing new. Survives a restart. */
    pause: method(none, queueState),
    resume: method(none, queueState),
  },
  checkpoints: {
    list: method(none, z.object({ checkpoints: z.array(checkpoint) })),
    /** A diffusers folder, used where it lies; read whole once, to know it again. */
    add: method(z.object({ path, name: itemName.optional() }), checkpoint),
    edit: method(z.object({ id: checkpointId, name: itemName.optional(), isDefault: z.literal(true).optional() }), checkpoint),
    /** Takes it off the list; its files stay, unless they were downloaded into the library and shall go (`files`). */
    remove: method(z.object({ id: checkpointId, files: z.boolean().default(false) }), z.object({ bytes: z.number() })),
    find: method(z.object({ id: checkpointId, path }), checkpoint),
    /** Reads every byte of it again and holds it against what it was when it was added. */
    verify: method(z.object({ id: checkpointId }), checkpoint),
  },
  adapters: {
    list: method(none, z.object({ adapters: z.array(adapter) })),
    /** A LoRA file or folder, used where it lies. */
    add: method(
      z.object({
        path,
        name: itemName.optional(),
        scale: z.number().min(-100).max(100).default(1),
        subjects: z.array(subjectId).max(100).default([]),
        /** The library keeps its own copy. */
        copy: z.boolean().default(false),
      }),
      adapter,
    ),
    /** What is in it, read anew. */
    inspect: method(
      z.object({ id: adapterId }),
      z.object({
        ranks: z.array(z.number()),
        alphas: z.array(z.number()),
        modules: z.number(),
        /** What it was trained on, where it says so. */
        transformerClass: z.string().nullable(),
        bytes: z.number(),
        notices: z.array(z.string()),
      }),
    ),
    edit: method(
      z.object({
        id: adapterId,
        name: itemName.optional(),
        scale: z.number().min(-100).max(100).optional(),
        subjects: z.array(subjectId).max(100).optional(),
      }),
      adapter,
    ),
    remove: method(z.object({ id: adapterId }), nothing),
    find: method(z.object({ id: adapterId, path }), adapter),
  },
  downloads: {
    /** The known checkpoints with their licences and what they need, and every host that may be contacted. */
    list: method(none, z.object({ downloads: z.array(download), network })),
    /** Begins one, or goes on with it.
     * `accepted`: the name of the licence, once it has been shown and accepted. */
    start: method(z.object({ id: catalogueId, accepted: z.string().max(200).nullable().default(null) }), download),
    /** Ends every connection and keeps what has come. */
    pause: method(z.object({ id: catalogueId }), download),
    /** Gives up, and removes what has come. */
    cancel: method(z.object({ id: catalogueId }), download),
  },
  network: {
    show: method(none, network),
    /** Keeps the hub's access token as well as this host can, in place of an earlier one, or (null) forgets it. */
    setToken: method(z.object({ token: accessToken.nullable() }), network),
  },
  requests: {
    /** What made this file. `missing` names each thing of it that this library does not have; `request` has the rest. */
    read: method(
      z.object({ path }),
      z.object({ request: request.nullable(), made: z.record(z.string(), z.unknown()).nullable(), missing: z.array(z.string()) }),
    ),
    /** The request of a clip or job, to be used again. */
    of: method(z.object({ id: z.union([clipId, jobId]) }), z.object({ request, resolved: resolvedRequest.nullable() })),
  },
  settings: {
    show: method(none, settings),
    edit: method(settingFields.partial(), settings),
  },
  storage: {
    show: method(none, storage),
    /** Looks at every row and every file. */
    check: method(
      none,
      z.object({
        /** The database's own check: `ok` or what is wrong. */
        database: z.string(),
        missing: z.array(z.object({ id: z.string(), what: z.string() })),
        /** Files nobody knows. */
        orphans: z.array(z.object({ name: z.string(), bytes: z.number() })),
      }),
    ),
    /** Removes what can go of these kinds and says what it freed; `dryRun` says it without doing it. Clips and photos go only by being removed and then erased. */
    clean: method(
      z.object({ kinds: z.array(z.enum(cleanableKinds)).min(1).max(20), dryRun: z.boolean().default(false) }),
      z.object({ files: z.number(), bytes: z.number() }),
    ),
  },
  backups: {
    list: method(none, z.object({ backups: z.array(backup) })),
    create: method(none, backup),
    restore: method(z.object({ name: z.string().max(200) }), nothing),
  },
  media: {
    /** A piece of a file by id. */
    read: method(
      z.object({
        id: z.union([subjectId, photoId, clipId, exportId, pictureId]),
        kind: z.enum(mediaKinds),
        offset: z.number().int().nonnegative().default(0),
        length: z
          .number()
          .int()
          .min(1)
          .max(4 << 20)
          .default(1 << 20),
      }),
      z.object({ base64: z.string(), bytes: z.number(), type: z.string() }),
    ),
    /** Where a file, or what a checkpoint or an adapter consists of, lies, on hosts that can tell (`can.paths`): with `exports.command` the one answer with a
     * path in it. */
    locate: method(
      z.object({ id: z.union([photoId, clipId, exportId, pictureId, checkpointId, adapterId]) }),
      z.object({ path: z.string() }),
    ),
  },
} as const;
