/** @file What the library keeps: subjects, photos, clips, jobs, checkpoints, adapters, settings. Each record carries a version and is parsed again when it is read back. No record holds a path. */
import { z } from 'zod';
import { phases } from '../../native-models/tasks.ts';
import { failure } from './errors.ts';
import { resolvedRequest, request } from './requests.ts';
import { catalogueId, contact, licence, memoryNeed } from './catalogue.ts';
import { adapterId, checkpointId, clipId, exportId, jobId, photoId, pictureId, subjectId } from './ids.ts';

const version = z.literal(1).default(1);
/** For display alone: order comes from ids, which grow. */
const time = z.string();
const count = z.number().int().nonnegative();
export const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'is not a SHA-256 in hexadecimal');

/** Control characters and the marks that turn writing direction never get into a record. */

const unprintable = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
export const text = (name: string, longest: number) =>
  z
    .string()
    .transform(s => s.normalize('NFC').replaceAll(unprintable, ' ').trim())
    .refine(s => s.length <= longest, `${name} is longer than ${longest} characters: shorten it`);

export const subjectKinds = ['person', 'pet', 'toy', 'product', 'character', 'other'] as const;
export const photoViews = ['front', 'side', 'back', 'detail'] as const;
/** Of a clip, a checkpoint, an adapter. */
export const itemName = text('the name', 120).refine(s => s !== '', 'the name is empty: write one');
export const subjectName = text('the name', 120).refine(s => s !== '', 'the name is empty: give the subject a name');
/** How a subject is called in a prompt, without the @: letters, digits, `-` and `_` of any script. */
export const handle = z
  .string()
  .transform(s => s.normalize('NFKC').replace(/^@/, '').toLowerCase())
  .refine(
    s => /^[\p{L}\p{N}][\p{L}\p{M}\p{N}_-]{0,39}$/u.test(s),
    'a handle is 1 to 40 letters, digits, - or _, and begins with a letter or digit: choose another',
  );
export const tag = text('the tag', 60).refine(s => s !== '' && !s.includes(','), 'a tag is not empty and has no comma');
/** Of one subject, or one clip. */
export const mostTags = 50;
export const tags = z
  .array(tag)
  .max(mostTags, `at most ${mostTags} tags`)
  .transform(list => [...new Set(list)]);

/** Pixels of the stored photo. */
export const crop = z.object({ x: count, y: count, width: z.number().int().positive(), height: z.number().int().positive() });
export type Crop = z.infer<typeof crop>;

export const photo = z.object({
  version,
  id: photoId,
  subjectId,
  view: z.enum(photoViews).nullable(),
  /** Null: all of it. */
  crop: crop.nullable(),
  /** Of the mask's PNG, 8-bit grey of the photo's size; null where there is none. */
  mask: sha256.nullable(),
  /** The mask came with the photo, which is kept on white by it: it is cut out already. False: the mask was drawn over what is seen. */
  onWhite: z.boolean().default(false),
  sha256,
  width: count,
  height: count,
  /** The file's name as it was given. */
  name: z.string(),
  createdAt: time,
  removed: z.boolean(),
  /** The library's copy is gone. */
  missing: z.boolean(),
});
export type Photo = z.infer<typeof photo>;

export const subject = z.object({
  version,
  id: subjectId,
  name: z.string(),
  kind: z.enum(subjectKinds),
  /** What `@handle` becomes in a prompt; the name where it is empty. */
  description: z.string(),
  handle: z.string(),
  tags: z.array(z.string()),
  notes: z.string(),
  /** The photo that reaches the model; null while there is none. */
  heroPhotoId: photoId.nullable(),
  photos: z.array(photo),
  clips: count,
  adapters: z.array(adapterId),
  createdAt: time,
  updatedAt: time,
  removed: z.boolean(),
});
export type Subject = z.infer<typeof subject>;

/** A picture that a clip may begin with. */
export const picture = z.object({
  version,
  id: pictureId,
  /** The file's name as it was given, or what it was taken from. */
  name: z.string(),
  sha256,
  width: count,
  height: count,
  createdAt: time,
  /** The library's copy is gone. */
  missing: z.boolean(),
});
export type Picture = z.infer<typeof picture>;

/** A prompt that was used or kept. */
export const keptPrompt = z.object({ prompt: z.string(), pinned: z.boolean(), usedAt: time });
export type KeptPrompt = z.infer<typeof keptPrompt>;

const timings = z.record(z.enum(phases), z.number());

/** A finished video with all that made it. */
export const clip = z.object({
  version,
  id: clipId,
  /** A name for people, also of the file. */
  name: z.string(),
  jobId: jobId.nullable(),
  request: request.nullable(),
  resolved: resolvedRequest.nullable(),
  seed: z.number(),
  /** As they were when the clip was made: kept when a subject is deleted. */
  subjects: z.array(z.object({ id: subjectId, name: z.string(), handle: z.string(), thumbnail: z.boolean() })),
  checkpoint: z.object({ name: z.string(), sha256 }),
  adapters: z.array(z.object({ name: z.string(), sha256, scale: z.number() })),
  device: z.string(),
  /** Seconds by phase. */
  timings,
  width: count,
  height: count,
  numFrames: count,
  fps: z.number(),
  bytes: count,
  sha256,
  /** Columns of the sprite strip. */
  spriteColumns: count,
  /** Bytes of the final latents kept with it; 0 once they are cleaned. */
  latentsBytes: count,
  /** What it was trimmed or joined from. */
  parents: z.array(clipId),
  stars: z.number().int().min(0).max(5),
  tags: z.array(z.string()),
  trashed: z.boolean(),
  missing: z.boolean(),
  createdAt: time,
});
export type Clip = z.infer<typeof clip>;

export const jobStatuses = ['pending', 'inProgress', 'paused', 'completed', 'failed', 'canceled'] as const;
export type JobStatus = (typeof jobStatuses)[number];

/** Where a clip's time, memory and disk go. Null: not known yet. */
export const forecast = z.object({
  /** Of the whole job on this machine. */
  seconds: z.number().nullable(),
  /** The most memory it will hold at once: RAM, and the device's own where it has some. */
  peakRamBytes: z.number().nullable(),
  peakDeviceBytes: z.number().nullable(),
  /** What it adds to the library: clip, pictures, latents. */
  diskBytes: z.number().nullable(),
  /** How many of this machine's own jobs it was learnt from; 0 with everything null. */
  learntFrom: count,
  /** Whether those had just this size, length and device, or were scaled. */
  exact: z.boolean(),
});
export type Forecast = z.infer<typeof forecast>;

export const progress = z.object({ phase: z.enum(phases), step: count, of: count, seconds: z.number(), remaining: z.number().nullable() });
export type Progress = z.infer<typeof progress>;

export const job = z.object({
  version,
  id: jobId,
  status: z.enum(jobStatuses),
  /** 1 is next; null once it has ended. */
  position: count.nullable(),
  /** Jobs queued together share the first one's id. */
  batchId: jobId,
  request,
  resolved: resolvedRequest,
  forecast,
  /** Of a running job; null else. */
  progress: progress.nullable(),
  /** Steps that need not be done again. */
  snapshotStep: count,
  attempt: count,
  failure: failure.nullable(),
  clipId: clipId.nullable(),
  createdAt: time,
  startedAt: time.nullable(),
  endedAt: time.nullable(),
});
export type Job = z.infer<typeof job>;

export const checkpoint = z.object({
  version,
  id: checkpointId,
  name: z.string(),
  className: z.string(),
  sha256,
  bytes: count,
  /** Comes with the program. */
  embedded: z.boolean(),
  isDefault: z.boolean(),
  /** Can take two subjects in one prompt. */
  severalSubjects: z.boolean(),
  recommended: z.object({
    width: count,
    height: count,
    numFrames: count,
    fps: z.number(),
    numInferenceSteps: count,
    guidanceScale: z.number(),
    scheduler: z.enum(['ddim', 'dpm']),
    /** The subject adapter that comes with it. */
    adapterId: adapterId.nullable(),
  }),
  createdAt: time,
  missing: z.boolean(),
});
export type Checkpoint = z.infer<typeof checkpoint>;

export const adapter = z.object({
  version,
  id: adapterId,
  name: z.string(),
  sha256,
  bytes: count,
  rank: z.number().nullable(),
  /** What it is multiplied by unless a request says otherwise. */
  scale: z.number(),
  /** Taken for clips of these subjects unless a request says otherwise. */
  subjects: z.array(subjectId),
  /** Belongs to this checkpoint. */
  checkpointId: checkpointId.nullable(),
  createdAt: time,
  missing: z.boolean(),
});
export type Adapter = z.infer<typeof adapter>;

/** A rate or a ratio: numerator and denominator. */
export const fraction = z.tuple([z.number().int().min(1).max(1_000_000), z.number().int().min(1).max(1_000_000)]);
/** What of a clip is exported, and how; what is left out is as the clip has it. */
export const exportOptions = z.strictObject({
  /** Both sides are multiplied by it. */
  scale: z.number().min(0.1, 'the scale is below 0.1').max(8, 'the scale is above 8').optional(),
  /** Frames a second: frames are repeated or left out, never made up. */
  rate: fraction.optional(),
  /** Frames of the clip: the first that is shown, and the first that is not any more. */
  trim: z.strictObject({ from: count, to: count }).optional(),
  /** Forwards, then backwards. */
  boomerang: z.boolean().optional(),
  /** How many times it is played. */
  loop: z.number().int().min(1).max(100).optional(),
  /** How a picture gets a shape that is not its own. */
  fit: z.enum(['crop', 'pad']).optional(),
  /** A picture of this frame of the export, beside it. */
  poster: count.optional(),
  /** Without prompt, names, seed or settings. */
  forget: z.boolean().optional(),
});
export type ExportOptions = z.infer<typeof exportOptions>;
/** What is exported: one clip, or several joined in this order. */
export const exportOrder = z.object({
  clips: z.array(clipId).min(1, 'name a clip').max(100, 'at most 100 clips can be joined'),
  preset: z.string().max(40),
  options: exportOptions.prefault({}),
  /** How clips follow each other; a crossfade takes so many seconds. */
  joint: z
    .union([z.literal('cut'), z.strictObject({ crossfade: z.number().positive().max(60, 'a crossfade is longer than 60 s') })])
    .default('cut'),
});
export type ExportOrder = z.infer<typeof exportOrder>;
/** What an export will be. */
export const exportPlan = z.object({
  width: count,
  height: count,
  rate: fraction,
  numFrames: count,
  seconds: z.number(),
  /** The picture before it is cropped or padded, and where the export lies in it: below zero there is a border. */
  scaled: z.object({ width: count, height: count }),
  offset: z.object({ x: z.number(), y: z.number() }),
  /** The file's, without the dot; null: a folder of pictures. */
  extension: z.string().nullable(),
  /** The kept latents are decoded again, or it is made from the compressed clip. */
  source: z.enum(['latents', 'clip']),
  /** What a person should know, a sentence each. */
  notes: z.array(z.string()),
});
export type ExportPlan = z.infer<typeof exportPlan>;
export const exportStatuses = ['waiting', 'running', 'completed', 'failed', 'canceled'] as const;
/** A clip on its way out of the library, or one that has left it. */
export const exported = z.object({
  version,
  id: exportId,
  status: z.enum(exportStatuses),
  order: exportOrder,
  /** For people, also of the file. */
  name: z.string(),
  /** The file is the library's own (`media.read` has it); else it lies where its maker said. */
  inLibrary: z.boolean(),
  /** What it became in the library, where it was asked to be a clip of its own. */
  clipId: clipId.nullable(),
  /** Null before it has begun. */
  plan: exportPlan.nullable(),
  /** Of all of it, 0 to 1; null unless it runs. */
  progress: z.number().nullable(),
  bytes: count,
  failure: failure.nullable(),
  createdAt: time,
  endedAt: time.nullable(),
  /** Its file is not where it was made. */
  missing: z.boolean(),
});
export type Exported = z.infer<typeof exported>;

/** A checkpoint that this program knows by name, and how far it is from being here. */
export const download = z.object({
  id: catalogueId,
  name: z.string(),
  for: z.string(),
  licence,
  memory: memoryNeed,
  /** Of all that it needs; `exact`: nothing of it is rounded. 0 where it comes with the program. */
  bytes: count,
  exact: z.boolean(),
  /** `here`: it can be used. `begun`: some of it is there, and nothing is coming now. */
  state: z.enum(['here', 'none', 'begun', 'listing', 'downloading', 'failed']),
  /** That have come. */
  have: count,
  /** Bytes a second, and seconds left; null while there is nothing to go by. */
  speed: z.number().nullable(),
  secondsLeft: z.number().nullable(),
  files: z.array(z.object({ path: z.string(), size: count, bytes: count, state: z.enum(['waiting', 'checking', 'downloading', 'done']) })),
  failure: failure.nullable(),
  /** What it is in this library. */
  checkpointId: checkpointId.nullable(),
});
export type Download = z.infer<typeof download>;
/** A hub's access token as it may be entered; no answer and no event ever has it. */
export const accessToken = z
  .string()
  .trim()
  .regex(/^[!-~]{8,200}$/, 'an access token has 8 to 200 letters, digits and signs without spaces (hf_…): copy it whole from the hub');
/** How an access token is kept: in memory until the library's owner ends (`session`), in a file that only this user reads, encrypted by the
 * system's keyring; `environment`: HF_TOKEN, which wins over the others and is never written. */
export const tokenPlaces = ['none', 'session', 'file', 'keyring', 'environment'] as const;
/** All that may be contacted, the switch that forbids it, and whether an access token is kept. */
export const network = z.object({
  offline: z.boolean(),
  endpoint: z.string(),
  contacts: z.array(contact),
  token: z.enum(tokenPlaces),
  /** Why the token that is kept cannot be used now. */
  text: z.string().nullable(),
});
export type Network = z.infer<typeof network>;

/** What the window can speak. */
export const languages = ['en', 'de', 'ar'] as const;

/** Each setting as it may be changed. */
export const settingFields = z.object({
  /** Seconds between previews while a clip is painted; 0 for none. */
  previewSeconds: z.number().min(0).max(86_400),
  device: z.enum(['auto', 'cpu', 'cuda']),
  /** Keep each clip's final latents, so that other exports need not start from the MP4. */
  keepLatents: z.boolean(),
  threads: z.number().int().min(1).max(1024).nullable(),
  /** Back up the library once a day. */
  dailyBackup: z.boolean(),
  /** Nothing is contacted, whatever is asked. */
  offline: z.boolean(),
  /** The desktop app looks for a newer one once a day, where updates are switched on at all. */
  dailyUpdates: z.boolean(),
  /** How the window looks, speaks and moves; `system`: as this machine is set. */
  theme: z.enum(['system', 'light', 'dark']),
  language: z.enum(['system', ...languages]),
  motion: z.enum(['system', 'reduced', 'full']),
  /** The keys of the window's actions that are not the usual ones: `queue.toggle` to `Mod+J`, or null for none. */
  shortcuts: z
    .record(z.string().max(60), z.string().max(60).nullable())
    .refine(keys => Object.keys(keys).length <= 300, 'at most 300 shortcuts'),
  /** The first start has been seen. */
  welcomed: z.boolean(),
});
const { previewSeconds, device, keepLatents, threads, dailyBackup, offline, dailyUpdates, theme, language, motion, shortcuts, welcomed } =
  settingFields.shape;
export const settings = z.object({
  version,
  previewSeconds: previewSeconds.default(10),
  device: device.default('auto'),
  keepLatents: keepLatents.default(true),
  threads: threads.default(null),
  dailyBackup: dailyBackup.default(true),
  offline: offline.default(false),
  dailyUpdates: dailyUpdates.default(false),
  theme: theme.default('system'),
  language: language.default('system'),
  motion: motion.default('system'),
  shortcuts: shortcuts.default({}),
  welcomed: welcomed.default(false),
});
export type Settings = z.infer<typeof settings>;

/** This machine, as far as it matters for making clips. */
export const machine = z.object({
  /** `linux-x64`. */
  platform: z.string(),
  processor: z.string(),
  cores: count,
  ramBytes: count,
  devices: z.array(
    z.object({
      device: z.enum(['cpu', 'cuda']),
      /** What it is called: the graphics card's name, the processor's. */
      name: z.string(),
      available: z.boolean(),
      /** Of its own; null where it shares the machine's or is not there. */
      memoryBytes: count.nullable(),
      /** What it is, or what it lacks and how to mend that. */
      text: z.string(),
    }),
  ),
  /** Which ffmpeg writes the clips, or why none can. */
  ffmpeg: z.string(),
});
export type Machine = z.infer<typeof machine>;

export const storageKinds = [
  'photos',
  'pictures',
  'clips',
  'latents',
  'previews',
  'exports',
  'checkpoints',
  'adapters',
  'work',
  'backups',
  'database',
  'trash',
] as const;
/** Those of which something can go unasked; clips, subjects and photos go by being removed and then erased. */
export const cleanableKinds = [
  'photos',
  'pictures',
  'latents',
  'previews',
  'exports',
  'work',
  'backups',
] as const satisfies readonly (typeof storageKinds)[number][];
export const storage = z.object({
  kinds: z.array(
    z.object({ kind: z.enum(storageKinds), files: count, bytes: count, /** What cleaning this kind would free now. */ cleanable: count }),
  ),
  freeBytes: count,
});

export const backup = z.object({ name: z.string(), kind: z.enum(['daily', 'manual', 'migration']), bytes: count, createdAt: time });
