/** @file What the engine is asked and what it answers: work orders, events, errors; types and parsers, no Node. */
import { z } from 'zod';

/** Where a clip may be computed. `auto` takes CUDA if its libraries and a device are there, else the CPU. */
export const devices = ['auto', 'cpu', 'cuda'] as const;
/** `auto` is float32 on the CPU and the dtype the transformer is stored in on CUDA. */
export const precisions = ['auto', 'float32', 'float16', 'bfloat16'] as const;
export const schedulerNames = ['ddim', 'dpm'] as const;
export const fits = ['contain', 'cover'] as const;
export const noiseDtypes = ['float32', 'bfloat16'] as const;

/** The two allowed values around `value`, for a sentence. Allowed: `first`, `first + step`, ... up to `last`. */
function nearest(value: number, step: number, first: number, last: number): string {
  const below = Math.min(last, Math.max(first, first + Math.floor((value - first) / step) * step));
  const above = Math.min(last, Math.max(first, first + Math.ceil((value - first) / step) * step));
  return below === above ? `${below}` : `${below} or ${above}`;
}
const side = (name: 'width' | 'height') =>
  z.number().superRefine((n, ctx) => {
    if (!Number.isInteger(n) || n < 16 || n > 4096 || n % 16)
      ctx.addIssue({ code: 'custom', message: `${name} ${n} is not a multiple of 16 from 16 to 4096: use ${nearest(n, 16, 16, 4096)}` });
  });
const range = (name: string, low: number, high: number, integer = false) =>
  z.number({ error: `${name} must be a number from ${low} to ${high}` }).superRefine((n, ctx) => {
    if (!Number.isFinite(n) || n < low || n > high || (integer && !Number.isInteger(n)))
      ctx.addIssue({ code: 'custom', message: `${name} ${n} is not ${integer ? 'a whole number' : 'a number'} from ${low} to ${high}` });
  });
const longest = 20_000;

/** A clip to make, every path and setting resolved; only the seed may still be open (null: adopted from a snapshot of the same order, else drawn). Paths are absolute. */
export const generateOrder = z.strictObject({
  task: z.literal('generate'),
  checkpoint: z.string().min(1),
  adapters: z
    .array(z.strictObject({ file: z.string().min(1), scale: range('the adapter scale', -100, 100) }))
    .max(16, 'at most 16 adapters can be given'),
  /** Reference photos: clean latent frames at times 0 to n-1, in this order. */
  referenceImages: z.array(z.string().min(1)).max(8, 'at most 8 reference photos can be given'),
  fit: z.enum(fits),
  prompt: z.string().max(longest, `the prompt is longer than ${longest} characters: shorten it`),
  negativePrompt: z.string().max(longest, `the negative prompt is longer than ${longest} characters: shorten it`),
  seed: range('the seed', 0, Number.MAX_SAFE_INTEGER, true).nullable(),
  numInferenceSteps: range('the number of steps', 1, 1000, true),
  guidanceScale: range('the guidance scale', 0, 100),
  useDynamicCfg: z.boolean(),
  scheduler: z.enum(schedulerNames),
  /** 8n + 1, so that the latent frames are 2n + 1 and the VAE's time chunks come out even. */
  numFrames: z.number().superRefine((n, ctx) => {
    if (!Number.isInteger(n) || n < 1 || n > 49 || n % 8 !== 1)
      ctx.addIssue({ code: 'custom', message: `${n} frames cannot be made, only 1, 9, 17, 25, 33, 41 or 49: use ${nearest(n, 8, 1, 49)}` });
  }),
  width: side('width'),
  height: side('height'),
  fps: range('the frame rate', 1, 120),
  device: z.enum(devices),
  precision: z.enum(precisions),
  /** What a diffusers pipeline of that dtype draws. */
  noiseDtype: z.enum(noiseDtypes),
  /** Encode and decode pictures larger than half the checkpoint's size in overlapping tiles: far less memory, slightly another picture (diffusers' enable_tiling). */
  vaeTiling: z.boolean(),
  /** Seconds between previews while denoising; 0 for none. */
  previewSeconds: range('the seconds between previews', 0, 86_400),
  threads: range('the number of threads', 1, 1024, true).nullable(),
  out: z.string().min(1),
});
export type GenerateOrder = z.infer<typeof generateOrder>;

export const phases = ['load', 'encode', 'denoise', 'decode', 'export'] as const;
export type Phase = (typeof phases)[number];

export const errorCodes = [
  'badRequest',
  'badFile',
  'noDevice',
  'outOfMemory',
  'noSpace',
  'busy',
  'canceled',
  'engineDied',
  'failed',
] as const;
export type ErrorCode = (typeof errorCodes)[number];

/** What a finished clip is made of: enough to make it again, hashes and base names instead of paths. */
export type ClipRequest = Readonly<Record<string, unknown>>;

export const engineEvent = z.discriminatedUnion('type', [
  /** `seconds` since the order began; `remaining` is an estimate for the phase, absent while there is nothing to go by. */
  z.object({
    type: z.literal('progress'),
    phase: z.enum(phases),
    step: z.number(),
    of: z.number(),
    seconds: z.number(),
    remaining: z.number().optional(),
  }),
  /** A small JPEG (base64) of the middle frame as it looks now. */
  z.object({ type: z.literal('preview'), step: z.number(), jpeg: z.string() }),
  /** Something a person should know that does not stop the clip: a prompt that was cut, an adapter without alpha, a resumed run. */
  z.object({ type: z.literal('notice'), text: z.string() }),
  z.object({
    type: z.literal('done'),
    out: z.string(),
    seed: z.number(),
    /** Seconds by phase. */
    timings: z.record(z.enum(phases), z.number()),
    seconds: z.number(),
    device: z.string(),
    resumedFrom: z.number().optional(),
  }),
  z.object({ type: z.literal('failed'), code: z.enum(errorCodes), text: z.string() }),
]);
export type EngineEvent = z.infer<typeof engineEvent>;

/** What crosses from the owner of an engine process to it. */
export const engineRequest = z.discriminatedUnion('type', [
  z.object({ type: z.literal('start'), order: generateOrder }),
  z.object({ type: z.literal('cancel') }),
]);
export type EngineRequest = z.infer<typeof engineRequest>;

/** A failure with a sentence for a person. */
export class TaskError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, text: string, options?: ErrorOptions) {
    super(text, options);
    this.name = 'TaskError';
    this.code = code;
  }
}

/** What the operating system's codes mean to a person. */
const systems: Readonly<Partial<Record<string, readonly [ErrorCode, string]>>> = {
  ENOSPC: ['noSpace', 'the disk is full: free some space, then run the same command again'],
  EDQUOT: ['noSpace', 'your share of this disk is used up: free some space, then run the same command again'],
  EROFS: ['failed', 'that disk can only be read: choose another --out'],
  EACCES: ['failed', 'there is no permission for that file or folder: change its permissions, or choose another'],
  EPERM: ['failed', 'there is no permission for that file or folder: change its permissions, or choose another'],
  ENOENT: ['failed', 'a file or folder is not there, or no longer: check the path, then run the same command again'],
  ENOTDIR: ['failed', 'part of the path is a file and not a folder: check the path'],
  EISDIR: ['failed', 'that is a folder: name a file'],
  ENAMETOOLONG: ['failed', 'the name is too long: choose a shorter one'],
  EMFILE: ['failed', 'too many files are open: close some programs, then run the same command again'],
  EIO: ['failed', 'the disk reports an error: try another one'],
};
/** The runtime's reasons to refuse (DeviceError). */
const refusals: Readonly<Partial<Record<string, ErrorCode>>> = {
  outOfMemory: 'outOfMemory',
  noKernel: 'badRequest',
  weights: 'badFile',
  library: 'noDevice',
};

const errnoOf = (e: unknown): unknown => (e instanceof Error ? ('code' in e ? e.code : errnoOf(e.cause)) : undefined);
const reasonOf = (e: unknown): unknown => (e instanceof Error && 'reason' in e ? e.reason : undefined);

/** Any error as code and sentence, so that it can cross a process. The system's codes and the runtime's reasons are told apart here, nowhere else. */
export function asFailure(error: unknown): { code: ErrorCode; text: string } {
  if (error instanceof TaskError) return { code: error.code, text: error.message };
  const text = error instanceof Error ? error.message : String(error),
    errno = String(errnoOf(error));
  if (errno === 'ABORT_ERR' || (error instanceof Error && error.name === 'AbortError')) return { code: 'canceled', text: 'canceled' };
  const system = systems[errno];
  if (system) return { code: system[0], text: text.startsWith(`${errno}:`) ? `${system[1]} (${text})` : text }; // the system's own words are explained, a sentence is kept
  const refused = refusals[String(reasonOf(error))];
  if (refused) return { code: refused, text };
  if (/out of memory|failed to allocate memory|bad_alloc|Array buffer allocation failed/i.test(text))
    return {
      code: 'outOfMemory',
      text: `there is not enough memory for this clip: make it smaller or shorter, or choose another device (${text})`,
    };
  return { code: 'failed', text };
}

/** Reads something that a person gave: what is wrong with it is then `badFile`, unless the system has a say (a full disk, a permission).
 * @throws TaskError */
export async function given<T>(read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (e) {
    const { code, text } = asFailure(e);
    throw new TaskError(code === 'failed' ? 'badFile' : code, text, { cause: e });
  }
}
