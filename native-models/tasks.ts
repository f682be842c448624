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
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 is 64 hexadecimal digits');

/** A clip to make, every path and setting resolved; only the seed may still be open (null: adopted from a snapshot of the same order, else drawn). Paths are absolute. */
export const generateOrder = z.strictObject({
  task: z.literal('generate'),
  checkpoint: z.string().min(1),
  /** What `verify` found its content to be; it is trusted and not read again. null: hashed by the engine. */
  checkpointSha256: sha256.nullable(),
  /** `sha256` as above. */
  adapters: z
    .array(z.strictObject({ file: z.string().min(1), scale: range('the adapter scale', -100, 100), sha256: sha256.nullable() }))
    .max(16, 'at most 16 adapters can be given'),
  /** Reference photos: clean latent frames at times 0 to n-1, in this order. */
  referenceImages: z.array(z.string().min(1)).max(8, 'at most 8 reference photos can be given'),
  /** The picture that the clip begins with; null: none. */
  startImage: z.string().min(1).nullable(),
  /** How photos and the start image of another shape fill the frame. */
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
  /** Where the final latents stay when the clip is done (on the file system of `out`, in a folder that is there); null: nowhere. If they lie there already, the clip is decoded from them. */
  keepLatents: z.string().min(1).nullable(),
  /** What the order's owner wants remembered in the clip besides (as `studio`); it changes nothing of the picture, nor what resumes it. */
  note: z.record(z.string(), z.json()).nullable(),
});
export type GenerateOrder = z.infer<typeof generateOrder>;

/** Says what lies at an absolute path, a checkpoint's folder or an adapter, after reading all of it. */
export const verifyOrder = z.strictObject({ task: z.literal('verify'), path: z.string().min(1) });
export type VerifyOrder = z.infer<typeof verifyOrder>;

/** Latents that a clip was made of, to be decoded once more and written without loss: RGB of 8 bits in FFV1, in a Matroska file that must not be there yet. Paths are absolute. */
export const decodeOrder = z.strictObject({
  task: z.literal('decode'),
  /** The one that they were made with: the latents do not say. */
  checkpoint: z.string().min(1),
  /** As `keepLatents` of the order that made them. */
  latents: z.string().min(1),
  ...generateOrder.pick({
    numFrames: true,
    width: true,
    height: true,
    fps: true,
    device: true,
    precision: true,
    vaeTiling: true,
    threads: true,
    out: true,
  }).shape,
});
export type DecodeOrder = z.infer<typeof decodeOrder>;

/** A file as it was when it was read. `path` is relative to the folder that was given (or that holds the file that was given), absolute where it lies elsewhere (links): `resolve(folder, path)` is right for both. */
const seenFile = z.object({ path: z.string(), bytes: z.number(), mtimeMs: z.number() });

/** What `verify` found. `sha256` is what orders give as `checkpointSha256` and `adapters[].sha256`. */
export const verified = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('checkpoint'),
    sha256,
    /** The pipeline's class in model_index.json, as it is there. */
    className: z.string(),
    transformerClass: z.string(),
    /** Of all files. */
    bytes: z.number(),
    files: z.array(seenFile),
    /** What the transformer is stored in. */
    dtype: z.enum(['float32', 'float16', 'bfloat16']),
    /** Settings it is made for; `adapter` is an absolute path. */
    recommended: z.object({
      width: z.number(),
      height: z.number(),
      numFrames: z.number(),
      fps: z.number(),
      numInferenceSteps: z.number(),
      guidanceScale: z.number(),
      scheduler: z.enum(schedulerNames),
      adapter: z.string().nullable(),
    }),
    /** Declared by its makers: it can take two subjects in one clip. */
    severalSubjects: z.boolean(),
    notices: z.array(z.string()),
  }),
  z.object({
    kind: z.literal('adapter'),
    sha256,
    bytes: z.number(),
    files: z.array(seenFile),
    /** Distinct, ascending; nearly always one of each. */
    ranks: z.array(z.number()),
    alphas: z.array(z.number()),
    /** How many modules it adapts. */
    modules: z.number(),
    /** The class of the model it was trained on, where the file says so. */
    transformerClass: z.string().optional(),
    notices: z.array(z.string()),
  }),
]);
export type Verified = z.infer<typeof verified>;

export const phases = ['load', 'encode', 'denoise', 'decode', 'export'] as const;
export type Phase = (typeof phases)[number];

export const errorCodes = [
  'badRequest',
  'badFile',
  'noDevice',
  'outOfMemory',
  'noSpace',
  /** The disk or the system refuses for now (an I/O error, read-only, too many open files): the same order goes on once that is mended. */
  'disk',
  'busy',
  'canceled',
  'engineDied',
  /** ffmpeg was killed, crashed or stood still; what it refuses is another code. */
  'encoderDied',
  'failed',
] as const;
export type ErrorCode = (typeof errorCodes)[number];

/** What a finished clip is made of: enough to make it again, hashes and base names instead of paths. */
export type ClipRequest = Readonly<Record<string, unknown>>;

export const engineEvent = z.discriminatedUnion('type', [
  /** `seconds` since the order began; `remaining` is an estimate for the phase, absent while there is nothing to go by. In the phase `verify`, steps are bytes. */
  z.object({
    type: z.literal('progress'),
    phase: z.enum([...phases, 'verify']),
    step: z.number(),
    of: z.number(),
    seconds: z.number(),
    remaining: z.number().optional(),
  }),
  /** What was computed up to `step` is on the disk now: a run that dies after this goes on from there. */
  z.object({ type: z.literal('snapshot'), step: z.number() }),
  /** A small JPEG (base64) of the middle frame as the model foresees it now. */
  z.object({ type: z.literal('preview'), step: z.number(), jpeg: z.string() }),
  /** Something a person should know that does not stop the clip: a prompt that was cut, an adapter without alpha, a resumed run. */
  z.object({ type: z.literal('notice'), text: z.string() }),
  /** The clip is at `out`, whole, probed and on the disk. */
  z.object({
    type: z.literal('done'),
    out: z.string(),
    seed: z.number(),
    width: z.number(),
    height: z.number(),
    numFrames: z.number(),
    /** Of the file. */
    bytes: z.number(),
    checkpointSha256: z.string(),
    device: z.string(),
    /** The step after which an earlier run was taken up. */
    resumedFrom: z.number().optional(),
    /** Steps computed in this run. */
    stepsRun: z.number(),
    /** Seconds by phase. */
    timings: z.record(z.enum(phases), z.number()),
    seconds: z.number(),
    /** The most that this order held at a time, in bytes: the engine's resident memory (ffmpeg's is not in it), and the device's own where that can be told. */
    peakMemory: z.object({ ram: z.number(), device: z.number().optional() }),
  }),
  z.object({ type: z.literal('verified'), found: verified }),
  /** The film is at `out`, whole and on the disk. */
  z.object({ type: z.literal('decoded'), out: z.string(), bytes: z.number(), seconds: z.number() }),
  z.object({ type: z.literal('failed'), code: z.enum(errorCodes), text: z.string() }),
]);
export type EngineEvent = z.infer<typeof engineEvent>;
export type Done = Extract<EngineEvent, { type: 'done' }>;
/** What an engine tells while it works; answers and failures come as the end of the call. */
export type Decoded = Extract<EngineEvent, { type: 'decoded' }>;
export type Told = Exclude<EngineEvent, { type: 'done' | 'verified' | 'decoded' | 'failed' }>;

/** An engine, wherever it runs: one order at a time, further ones wait for their turn. Events come in order and end before the call does.
 * Calls are rejected with a TaskError: what the engine said, `canceled` after an abort or `close()`, `engineDied` if its process ended without a word. */
export interface Engine {
  run(order: GenerateOrder, on: (event: Told) => void, signal: AbortSignal): Promise<Done>;
  verify(order: VerifyOrder, on: (event: Told) => void, signal: AbortSignal): Promise<Verified>;
  decode(order: DecodeOrder, on: (event: Told) => void, signal: AbortSignal): Promise<Decoded>;
  /** Cancels every order and gives back what the engine holds, memory and device; resolves when its processes have gone. Not the last word: a later order starts it again. */
  close(): Promise<void>;
}

/** What crosses from the owner of an engine process to it. */
export const engineRequest = z.discriminatedUnion('type', [
  z.object({ type: z.literal('start'), order: z.discriminatedUnion('task', [generateOrder, verifyOrder, decodeOrder]) }),
  z.object({ type: z.literal('cancel') }),
]);
export type EngineRequest = z.infer<typeof engineRequest>;

/** What crosses back: events, and which process is ffmpeg (0: none), so that it can be ended with the engine. */
export const engineMessage = z.discriminatedUnion('type', [
  ...engineEvent.options,
  z.object({ type: z.literal('encoder'), pid: z.number().int().nonnegative() }),
]);
export type EngineMessage = z.infer<typeof engineMessage>;

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
  EROFS: ['disk', 'that disk can only be read: choose another --out'],
  EACCES: ['failed', 'there is no permission for that file or folder: change its permissions, or choose another'],
  EPERM: ['failed', 'there is no permission for that file or folder: change its permissions, or choose another'],
  ENOENT: ['failed', 'a file or folder is not there, or no longer: check the path, then run the same command again'],
  ENOTDIR: ['failed', 'part of the path is a file and not a folder: check the path'],
  EISDIR: ['failed', 'that is a folder: name a file'],
  ENAMETOOLONG: ['failed', 'the name is too long: choose a shorter one'],
  EMFILE: ['disk', 'too many files are open: close some programs, then run the same command again'],
  ENFILE: ['disk', 'too many files are open on this machine: close some programs, then run the same command again'],
  EIO: ['disk', 'the disk reports an error: try another one'],
  ENOMEM: ['outOfMemory', 'there is not enough memory: close some programs, or make the clip smaller or shorter'],
};
/** The same refusals in words, as programs and libraries pass them on; ONNX Runtime gives but the number. */
const spoken: readonly (readonly [RegExp, string])[] = [
  [/No space left on device|\bENOSPC\b|(SystemError : |errcode = )28\b/, 'ENOSPC'],
  [/Disk quota exceeded|\bEDQUOT\b/, 'EDQUOT'],
  [/Read-only file system|\bEROFS\b/, 'EROFS'],
  [/Too many open files in system|\bENFILE\b|(SystemError : |errcode = )23\b/, 'ENFILE'],
  [/Too many open files|\bEMFILE\b|(SystemError : |errcode = )24\b/, 'EMFILE'],
  [/Input\/output error|\bEIO\b|(SystemError : |errcode = )5\b/, 'EIO'],
];
/** The system's code in what ffmpeg, ONNX Runtime or libvips says: ENOSPC, EDQUOT, EROFS, ENFILE, EMFILE or EIO. */
export const spokenErrno = (text: string): string | undefined => spoken.find(([words]) => words.test(text))?.[1];

/** The runtime's reasons to refuse (DeviceError), and ffmpeg's end (MediaError). */
const refusals: Readonly<Partial<Record<string, ErrorCode>>> = {
  outOfMemory: 'outOfMemory',
  noKernel: 'badRequest',
  weights: 'badFile',
  library: 'noDevice',
  encoderDied: 'encoderDied',
};

/** The system's code of an error or of what caused it, such as ENOENT; undefined where there is none. */
export const errnoOf = (e: unknown): unknown => (e instanceof Error ? ('code' in e ? e.code : errnoOf(e.cause)) : undefined);
const wordsOf = (e: unknown): string => (e instanceof Error ? `${e.message}\n${wordsOf(e.cause)}` : typeof e === 'string' ? e : '');
const reasonOf = (e: unknown): unknown => (e instanceof Error && 'reason' in e ? e.reason : undefined);

/** Any error as code and sentence, so that it can cross a process. The system's codes and the runtime's reasons are told apart here, nowhere else. */
export function asFailure(error: unknown): { code: ErrorCode; text: string } {
  if (error instanceof TaskError) return { code: error.code, text: error.message };
  const text = error instanceof Error ? error.message : String(error),
    errno = String(errnoOf(error));
  if (errno === 'ABORT_ERR' || (error instanceof Error && error.name === 'AbortError')) return { code: 'canceled', text: 'canceled' };
  const system = systems[errno];
  const raw = text.startsWith(`${errno}:`) || (error instanceof Error && 'syscall' in error);
  if (system) return { code: system[0], text: raw ? `${system[1]} (${text})` : text }; // the system's own words are explained, a sentence is kept
  const said = systems[spokenErrno(wordsOf(error)) ?? ''];
  if (said) return { code: said[0], text: `${said[1]} (${text})` };
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
