/** @file What a clip can be asked for with: the options of `generate`, `forecast` and `job edit`, and the request that they make. */
import type { z } from 'zod';
import { parseScaled } from '../../native-models/weights/lora.ts';
import { expand } from '../contract/expand.ts';
import { mentionsIn } from '../contract/handles.ts';
import { subjectId } from '../contract/ids.ts';
import { handle } from '../contract/records.ts';
import { batch, request } from '../contract/requests.ts';
import { UsageError, yesOrNo } from './arguments.ts';
import { adapterOf, checkpointOf, isOfLibrary, photoIdOf, pictureOf, subjectOf } from './names.ts';
import { onlyGiven, type Only, type OptionTable, type Values } from './verb.ts';

type RequestInput = z.input<typeof request>;
type BatchInput = z.input<typeof batch>;

/** Of a request, and of a work order of its own. */
const shared = {
  prompt: ['text', 'TEXT', 'what happens; may be empty; in a library @handle brings a subject, {red|blue} a clip of each'],
  'negative-prompt': ['text', 'TEXT', 'what to stay away from'],
  seed: ['number', 'N', 'the same seed gives the same clip; drawn if not given'],
  steps: ['number', 'N', 'denoising steps'],
  'guidance-scale': ['number', 'X', 'how closely the prompt is followed; 1 turns guidance off'],
  'dynamic-guidance': ['switch', '', 'let guidance follow the timestep'],
  scheduler: ['text', 'ddim|dpm', 'how noise is taken away step by step'],
  frames: ['number', 'N', '1, 9, 17 ... 49'],
  width: ['number', 'N', 'a multiple of 16'],
  height: ['number', 'N', 'a multiple of 16'],
  fps: ['number', 'N', 'frames a second of the clip'],
  start: ['text', 'FILE', "the clip begins with it; of a library also p4, c5:16, c5:last, i2; 'none' takes it off"],
  fit: ['text', 'contain|cover', 'a photo or start image of another shape: white borders, or cut'],
  checkpoint: ['text', 'K', 'of the library: k2 or its name; without one: a diffusers CogVideoX folder (Toybox if not given)'],
  adapter: ['texts', 'A[:SCALE]...', "of the library: a2 or its name; without one: LoRA files; 'none' leaves them off"],
  device: ['text', 'auto|cpu|cuda', 'where it is computed'],
  precision: ['text', 'P', 'auto, float32, float16 or bfloat16'],
  'noise-dtype': ['text', 'D', 'float32 or bfloat16: what a diffusers pipeline of that dtype draws'],
  'vae-tiling': ['switch', '', 'encode and decode in tiles: less memory, slightly another picture'],
} as const satisfies OptionTable;

/** What a request of a library has beside. */
const requested = {
  subject: ['texts', 'S...', 'who the clip is about: @kelp or s1 of the library, or photo files without one'],
  photo: ['texts', 'P...', 'which of their photos, such as p1 p4 (else the hero photo; each more costs time)'],
  'cut-out': ['switch', '', 'cut the subject out by its mask, on white'],
} as const satisfies OptionTable;

/** Of several clips of one request. */
const several = {
  seeds: ['number', 'N', 'so many clips, of seeds in a row'],
  grid: ['texts', 'OPTION=A,B...', 'a clip of every combination, such as steps=10,20 guidance-scale=4,6'],
} as const satisfies OptionTable;

export const requestOptions = { ...requested, ...shared } as const satisfies OptionTable;
export const likeOption = {
  like: ['text', 'ID|FILE', 'begin from what made this clip, job or video file (c5, j7, clip.mp4)'],
} as const satisfies OptionTable;
export const batchOptions = { ...requestOptions, ...several, ...likeOption } as const satisfies OptionTable;
/** All that `generate` takes. */
export const generationOptions = {
  ...batchOptions,
  next: ['flag', '', 'before everything that waits'],
  detach: ['flag', '', 'queue it and come back at once'],
  yes: ['flag', '', 'do not ask about more than 20 clips'],
  out: ['text', 'FILE', 'of the library: also save a copy there; without one: the MP4 (clip.mp4 if not given)'],
  'preview-seconds': ['number', 'N', 'without a library: seconds between previews (of the library: a setting)'],
  threads: ['number', 'N', 'without a library: threads to compute with (of the library: a setting)'],
  library: ['flag', '', 'make it in the library also where nothing else says so'],
} as const satisfies OptionTable;

/** What a prompt becomes where `{red|blue}` are choices; itself where they cannot be. */
function promptsOf(prompt: string): string[] {
  try {
    return Array.from(expand(request.parse({ prompt }), batch.parse({})).requests, r => r.prompt);
  } catch {
    return [prompt];
  }
}
/** The first `@handle` that a library would look up, as it was typed. */
function handleIn({ prompt = '', 'negative-prompt': negative = '' }: Pick<Values<typeof shared>, 'prompt' | 'negative-prompt'>) {
  for (const text of [...promptsOf(prompt), negative]) for (const { run } of mentionsIn(text)) return `@${run.slice(0, 60)}`;
  return undefined;
}
/** How a subject that is no file would be typed. */
export const orHandle = (word: string) => (handle.safeParse(word).success ? `@${word}` : undefined);
/** Options that mean nothing without a library. */
const ofLibrary = ['photo', 'cut-out', 'seeds', 'grid', 'like', 'next', 'detach', 'yes', 'library', 'home'] as const;

/** Whether `generate` works in the library, told from what was typed alone. Photo files mean: no. `@handles`, ids of subjects, or an option that only a library has mean: yes.
 * @param isFile whether a word names a file that is there
 * @throws UsageError where both are meant */
export function inLibrary(o: Values<typeof generationOptions> & { readonly home?: string }, isFile: (word: string) => boolean): boolean {
  const isSubject = (word: string) => /^[@＠]/.test(word) || (subjectId.safeParse(word).success && !isFile(word));
  const subjects = o.subject ?? [],
    known = subjects.find(isSubject),
    file = subjects.find(s => !isSubject(s)),
    option = ofLibrary.find(name => o[name] !== undefined);
  const meant = file === undefined || isFile(file) ? undefined : orHandle(file);
  if (meant !== undefined && (known !== undefined || option !== undefined))
    throw new UsageError(`--subject ${file!}: there is no such file; a subject of the library is named with its @: did you mean ${meant}?`);
  if (known !== undefined && file !== undefined)
    throw new UsageError(
      `--subject ${known} is of the library and ${file} is a photo file: take one kind (protagonist subject photo add ${known} ${file} puts the photo into the library)`,
    );
  if (file !== undefined && option !== undefined)
    throw new UsageError(
      `--${option} is for subjects of the library, and --subject ${file} is a photo file: put it into the library first (protagonist subject add --name NAME ${file}), then name it by its @handle`,
    );
  const start = o.start !== undefined && isOfLibrary(o.start) && !isFile(o.start) ? o.start : undefined;
  if (file !== undefined && start !== undefined)
    throw new UsageError(`--start ${start} is of the library, and --subject ${file} is a photo file: take one kind`);
  if (file !== undefined) return false;
  if (start !== undefined) return true;
  return known !== undefined || option !== undefined || handleIn(o) !== undefined;
}

/** What of a prompt only a library would understand, said where a clip is made without one: it reaches the model as it was typed. */
export function asTyped(o: Pick<Values<typeof shared>, 'prompt' | 'negative-prompt'>): string[] {
  const named = handleIn(o),
    choices = promptsOf(o.prompt ?? '').length;
  return [
    ...(named === undefined
      ? []
      : [`${named} stays as it is written, since --subject names photo files: leave --subject out for the subject of the library`]),
    ...(choices < 2
      ? []
      : [
          `the prompt stays as it is written, one clip of it: its ${choices} choices between { and } are for the library (--library, with subjects of the library)`,
        ]),
  ];
}

/** What is asked for in the library's ids: `base` where an option is not given.
 * @throws UsageError naming the option; StudioError `notFound` */
export async function requestOf(
  client: Only<'subjects.show' | 'checkpoints.list' | 'adapters.list' | 'pictures.add' | 'clips.show'>,
  o: Values<typeof requestOptions>,
  base?: RequestInput,
): Promise<RequestInput> {
  const prompt = o.prompt ?? base?.prompt;
  if (prompt === undefined) throw new UsageError(`--prompt is missing: say in a sentence what happens (--prompt "" leaves it open)`);
  const subjects = o.subject && (await Promise.all(o.subject.map(async word => (await subjectOf(client, word)).id)));
  return {
    ...base,
    // other subjects have other photos and adapters
    ...(subjects && { photos: null, adapters: null }),
    ...onlyGiven({
      prompt,
      negativePrompt: o['negative-prompt'],
      subjects,
      photos: o.photo?.map(photoIdOf),
      cutOut: o['cut-out'],
      startImage: o.start === undefined ? undefined : o.start === 'none' ? null : await pictureOf(client, o.start),
      checkpoint: o.checkpoint === undefined ? undefined : (await checkpointOf(client, o.checkpoint)).id,
      adapters: o.adapter && (await adaptersOf(client, o.adapter)),
      seed: o.seed,
      numInferenceSteps: o.steps,
      guidanceScale: o['guidance-scale'],
      useDynamicCfg: o['dynamic-guidance'],
      // the words are the parser's to judge
      scheduler: o.scheduler as RequestInput['scheduler'],
      numFrames: o.frames,
      width: o.width,
      height: o.height,
      fps: o.fps,
      fit: o.fit as RequestInput['fit'],
      precision: o.precision as RequestInput['precision'],
      noiseDtype: o['noise-dtype'] as RequestInput['noiseDtype'],
      vaeTiling: o['vae-tiling'],
      device: o.device as RequestInput['device'],
    }),
  } as RequestInput;
}

async function adaptersOf(client: Only<'adapters.list'>, words: readonly string[]): Promise<NonNullable<RequestInput['adapters']>> {
  return Promise.all(
    words
      .filter(w => w !== 'none')
      .map(async word => {
        let given: ReturnType<typeof parseScaled>;
        try {
          given = parseScaled(word);
        } catch (e) {
          throw new UsageError(`--adapter: ${(e as Error).message}`);
        }
        const { id } = await adapterOf(client, given.path);
        return { id, scale: given.path === word ? null : given.scale }; // without a scale: the adapter's own
      }),
  );
}

/** The fields a grid can run over, by their options. */
const gridOptions: Readonly<Record<string, NonNullable<BatchInput['grid']>[number]['field']>> = {
  steps: 'numInferenceSteps',
  'guidance-scale': 'guidanceScale',
  scheduler: 'scheduler',
  frames: 'numFrames',
  width: 'width',
  height: 'height',
  seed: 'seed',
  'dynamic-guidance': 'useDynamicCfg',
  'cut-out': 'cutOut',
};

/** Of `--seeds 3 --grid steps=10,20 scheduler=ddim,dpm`.
 * @throws UsageError */
export function batchOf({ seeds, grid }: Values<typeof several>): BatchInput {
  const axes = (grid ?? []).map(word => {
    const [, name = '', list = ''] = /^([^=]*)=(.*)$/s.exec(word) ?? [];
    const field = Object.hasOwn(gridOptions, name) ? gridOptions[name]! : undefined;
    if (!field)
      throw new UsageError(
        `--grid ${word} is not understood: write OPTION=A,B with one of ${Object.keys(gridOptions).join(', ')}, such as steps=10,20`,
      );
    const values = list.split(',').map(text => {
      if (text.trim() === '') throw new UsageError(`--grid ${word} has an empty value: write ${name}=A,B`);
      if (field === 'useDynamicCfg' || field === 'cutOut') {
        const value = Object.hasOwn(yesOrNo, text) ? yesOrNo[text] : undefined;
        if (value === undefined) throw new UsageError(`--grid ${name} is on or off, not '${text}'`);
        return value;
      }
      if (field === 'scheduler') return text;
      const n = Number(text);
      if (!Number.isFinite(n)) throw new UsageError(`--grid ${name} needs numbers, not '${text}'`);
      return n;
    });
    return { field, values };
  });
  const twice = axes.find((a, i) => axes.findIndex(b => b.field === a.field) !== i);
  if (twice) throw new UsageError(`--grid names ${twice.field} twice: give all its values at once`);
  return { ...(seeds !== undefined && { seeds }), grid: axes };
}
