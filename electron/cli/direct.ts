/** @file A clip straight from photo files, without a library: `generate --subject PHOTO`. */
import { existsSync, lstatSync, realpathSync, statSync } from 'node:fs';
import { dirname, extname, resolve } from 'node:path';
import { asFailure, generateOrder, given, TaskError, type Done, type GenerateOrder, type Told } from '../../native-models/tasks.ts';
import { parseArguments, UsageError } from './arguments.ts';
import { clipEngine } from './engine.ts';
import { asTyped, generationOptions, orHandle } from './options.ts';
import { duration, onOneLine, printJson, tell } from './print.ts';
import { progressBar, progressEnd } from './progress.ts';
import { toybox } from './toybox.ts';
import { ends } from './stop.ts';
import { common, sentenceOf, type CommonValues, type Values } from './verb.ts';

/** Makes one clip and waits for it.
 * @throws UsageError, TaskError */
export async function generateDirect(options: Values<typeof generationOptions> & CommonValues): Promise<number> {
  const order = await orderOf(options),
    show = options.json ? printJson : forPeople();
  for (const text of asTyped(options)) show({ type: 'notice', text });
  const controller = new AbortController();
  const cancel = () => controller.abort();
  for (const end of ends) process.on(end, cancel);
  const engine = clipEngine(0);
  try {
    show(await engine.run(order, show, controller.signal));
    return 0;
  } catch (e) {
    const canceled = controller.signal.aborted && asFailure(e).code === 'canceled';
    throw canceled ? new TaskError('canceled', 'Canceled. The same command goes on where it stopped.', { cause: e }) : e;
  } finally {
    for (const end of ends) process.off(end, cancel);
    if (!options.json) progressEnd();
    await engine.close();
  }
}

function forPeople(): (event: Told | Done) => void {
  const bar = progressBar();
  return event => {
    switch (event.type) {
      case 'progress':
        bar(event);
        break;
      case 'notice':
        tell(event.text);
        break;
      case 'done':
        progressEnd();
        process.stdout.write(`${onOneLine(event.out)} is ready: seed ${event.seed}, ${duration(event.seconds)} on ${event.device}\n`);
        break;
      default: // a terminal shows no pictures
    }
  };
}

/** The work order of `generate`'s arguments.
 * @throws UsageError naming the option */
export async function readOrder(argv: readonly string[]): Promise<GenerateOrder> {
  const table = { ...generationOptions, ...common };
  const { options } = parseArguments(argv, Object.fromEntries(Object.entries(table).map(([name, [kind]]) => [name, kind])));
  return orderOf(options);
}

/** What was typed, completed by the checkpoint's own sizes and recommendations.
 * @throws UsageError naming the option */
async function orderOf(o: Values<typeof generationOptions>): Promise<GenerateOrder> {
  const { openCheckpoint } = await import('../../native-models/weights/checkpoint.ts');
  const { recommendations } = await import('../../native-models/pipelines/recommended.ts');
  const { parseScaled } = await import('../../native-models/weights/lora.ts');
  const scaled = (argument: string) => {
    try {
      return parseScaled(argument);
    } catch (e) {
      throw new UsageError(`--adapter: ${(e as Error).message}`);
    }
  };
  if (o.prompt === undefined) throw new UsageError(`--prompt is missing: say in a sentence what happens (--prompt "" leaves it open)`);
  const photos = (o.subject ?? []).map(p => present('subject', p));
  const checkpoint = o.checkpoint === undefined ? toybox : present('checkpoint', o.checkpoint),
    folder = await given(() => openCheckpoint(checkpoint)),
    recommended = await given(() => recommendations(folder));
  const chosen = o.adapter?.filter(a => a !== 'none') ?? (recommended.adapter && photos.length ? [recommended.adapter] : []);
  const adapters = chosen.map(a => {
    const { path, scale } = scaled(a);
    return { file: present('adapter', path), scale, sha256: null };
  });
  const parsed = generateOrder.safeParse(
    {
      task: 'generate',
      checkpoint,
      checkpointSha256: null,
      adapters,
      referenceImages: photos,
      startImage: o.start === undefined || o.start === 'none' ? null : present('start', o.start),
      fit: o.fit ?? 'contain',
      prompt: o.prompt,
      negativePrompt: o['negative-prompt'] ?? '',
      seed: o.seed ?? null,
      numInferenceSteps: o.steps ?? recommended.numInferenceSteps,
      guidanceScale: o['guidance-scale'] ?? recommended.guidanceScale,
      useDynamicCfg: o['dynamic-guidance'] ?? false,
      scheduler: o.scheduler ?? recommended.scheduler,
      numFrames: o.frames ?? recommended.numFrames,
      width: o.width ?? recommended.width,
      height: o.height ?? recommended.height,
      fps: o.fps ?? recommended.fps,
      device: o.device ?? 'auto',
      precision: o.precision ?? 'auto',
      noiseDtype: o['noise-dtype'] ?? 'float32',
      vaeTiling: o['vae-tiling'] ?? false,
      previewSeconds: o['preview-seconds'] ?? 10,
      threads: o.threads ?? null,
      out: outputFile(o.out),
      keepLatents: null,
      note: null,
    },
    { reportInput: true },
  );
  if (!parsed.success) throw new UsageError(sentenceOf(parsed.error));
  return parsed.data;
}
/** The absolute path of something that has to be there. */
function present(option: string, path: string): string {
  if (path === '') throw new UsageError(`--${option} is empty: name a file`);
  if (!existsSync(path)) {
    const meant = option === 'subject' ? orHandle(path) : undefined;
    throw new UsageError(
      `--${option}: there is no file ${resolve(path)}${meant === undefined ? '' : `; did you mean ${meant} of the library?`}`,
    );
  }
  return resolve(path);
}

/** The file to write. Without a wish, clip.mp4, clip-2.mp4 ...: nothing that is there is replaced unasked. */
function outputFile(wish: string | undefined): string {
  if (wish === undefined) {
    let file = resolve('clip.mp4');
    for (let n = 2; existsSync(file); n++) file = resolve(`clip-${n}.mp4`);
    return file;
  }
  const file = mp4Of(wish);
  const linked = existsSync(file) && lstatSync(file).isSymbolicLink();
  return linked ? realpathSync(file) : file; // what a link leads to is replaced, not the link
}
/** The absolute path of an MP4 that can be written where `--out` says.
 * @throws UsageError */
export function mp4Of(wish: string): string {
  const file = resolve(wish);
  if (extname(file).toLowerCase() !== '.mp4') throw new UsageError(`--out ${wish}: the clip is an MP4, so its name must end in .mp4`);
  if (isFolder(file)) throw new UsageError(`--out ${wish} is a folder: name a file in it`);
  if (!isFolder(dirname(file))) throw new UsageError(`--out: there is no folder ${dirname(file)}`);
  return file;
}
const isFolder = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
