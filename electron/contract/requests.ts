/** @file What a person asks for: a request with as much left open as they like, and what becomes of it when it is queued. */
import { z } from 'zod';
import { devices, fits, generateOrder, noiseDtypes, precisions, schedulerNames } from '../../native-models/tasks.ts';
import { adapterId, checkpointId, photoId, pictureId, subjectId } from './ids.ts';

export { devices, fits, noiseDtypes, precisions, schedulerNames };
const { prompt, negativePrompt, seed, numInferenceSteps, guidanceScale, numFrames, width, height, fps } = generateOrder.shape;
const scale = z.number().min(-100, 'the adapter scale is below -100').max(100, 'the adapter scale is above 100');
const hash = z.string().regex(/^[0-9a-f]{64}$/);

/** A clip as it is asked for. What is null is filled in when it is queued: from the subject, the checkpoint's recommendations, the settings. */
export const request = z.object({
  version: z.literal(1).default(1),
  /** `@handle` stands for a subject's description and brings the subject along. */
  prompt,
  negativePrompt: negativePrompt.default(''),
  subjects: z.array(subjectId).max(8, 'at most 8 subjects').default([]),
  /** Null: each subject's hero photo. Every photo more costs time in each step. */
  photos: z
    .array(photoId)
    .min(1, 'choose a photo, or leave the choice out')
    .max(8, 'at most 8 reference photos can be given')
    .nullable()
    .default(null),
  /** The subject cut out by its mask, on white. */
  cutOut: z.boolean().default(false),
  /** The clip begins with it: its first frame, cut or bordered as `fit` says. */
  startImage: pictureId.nullable().default(null),
  checkpoint: checkpointId.nullable().default(null),
  /** Null: the subject's own, else the checkpoint's. */
  adapters: z
    .array(z.object({ id: adapterId, scale: scale.nullable().default(null) }))
    .max(16, 'at most 16 adapters can be given')
    .nullable()
    .default(null),
  seed: seed.default(null),
  numInferenceSteps: numInferenceSteps.nullable().default(null),
  guidanceScale: guidanceScale.nullable().default(null),
  useDynamicCfg: z.boolean().default(false),
  scheduler: z.enum(schedulerNames).nullable().default(null),
  numFrames: numFrames.nullable().default(null),
  width: width.nullable().default(null),
  height: height.nullable().default(null),
  fps: fps.nullable().default(null),
  fit: z.enum(fits).default('contain'),
  precision: z.enum(precisions).default('auto'),
  noiseDtype: z.enum(noiseDtypes).default('float32'),
  vaeTiling: z.boolean().default(false),
  /** Null: the settings'. */
  device: z.enum(devices).nullable().default(null),
});
export type Request = z.infer<typeof request>;

/** A request with nothing left open, as a job keeps it: what it names may be edited or deleted meanwhile and the job stays the same. */
export const resolvedRequest = z.object({
  version: z.literal(1).default(1),
  /** With handles replaced. */
  prompt: z.string(),
  negativePrompt: z.string(),
  subjects: z.array(z.object({ id: subjectId, name: z.string(), handle: z.string() })),
  /** The photos as they were: by content, with crop and mask. */
  references: z.array(
    z.object({
      photoId,
      sha256: hash,
      crop: z.object({ x: z.number(), y: z.number(), width: z.number(), height: z.number() }).nullable(),
      mask: hash.nullable(),
      /** By the mask, when the job runs; never for a photo that is kept on white by it. */
      cutOut: z.boolean(),
    }),
  ),
  /** By content. */
  startImage: z.object({ pictureId, sha256: hash }).nullable().default(null),
  checkpoint: z.object({ id: checkpointId, name: z.string(), sha256: hash }),
  adapters: z.array(z.object({ id: adapterId, name: z.string(), sha256: hash, scale: z.number() })),
  seed: z.number(),
  numInferenceSteps: z.number(),
  guidanceScale: z.number(),
  useDynamicCfg: z.boolean(),
  scheduler: z.enum(schedulerNames),
  numFrames: z.number(),
  width: z.number(),
  height: z.number(),
  fps: z.number(),
  fit: z.enum(fits),
  precision: z.enum(precisions),
  noiseDtype: z.enum(noiseDtypes),
  vaeTiling: z.boolean(),
  device: z.enum(devices),
});
export type ResolvedRequest = z.infer<typeof resolvedRequest>;

/** What a grid can run over. */
export const gridFields = [
  'numInferenceSteps',
  'guidanceScale',
  'scheduler',
  'numFrames',
  'width',
  'height',
  'seed',
  'useDynamicCfg',
  'cutOut',
] as const;
/** Several clips of one request: every combination of `{red|blue}` choices in the prompt, of the grid's values, and of seeds. */
export const batch = z.object({
  /** How many seeds: the request's own (or a drawn one) and the numbers after it. */
  seeds: z.number().int().min(1, 'at least 1 seed').max(10_000, 'at most 10,000 seeds').default(1),
  grid: z
    .array(
      z.object({
        field: z.enum(gridFields),
        values: z
          .array(z.union([z.number(), z.string().max(40), z.boolean()]))
          .min(1, 'a grid needs a value')
          .max(200),
      }),
    )
    .max(6, 'a grid runs over at most 6 settings')
    .default([]),
});
export type Batch = z.infer<typeof batch>;
/** More jobs than this are queued only when confirmed. */
export const askAbove = 20;
/** And never more than this at once. */
export const mostJobs = 10_000;
