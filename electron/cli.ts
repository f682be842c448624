/** @file The command line: everything the product can do, for people and (with --json) for machines. Exit status: 0 done, 1 failed, 2 bad arguments, 130 canceled. */
import { fork } from 'node:child_process';
import { existsSync, lstatSync, realpathSync, statSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { asFailure, generateOrder, given, type EngineEvent, type GenerateOrder } from '../native-models/tasks.ts';
import { printable } from '../native-models/weights/json.ts';
import { parseArguments, UsageError, type Options } from './arguments.ts';
import { processEngine } from './engine/supervisor.ts';

const toybox = fileURLToPath(new URL('../assets/toybox', import.meta.url));

const usage = `Protagonist makes a video clip of your subject, on this machine.

  protagonist generate --subject PHOTO... --prompt TEXT [options]
  protagonist doctor [--json]               what this machine has: devices, ffmpeg, checkpoint
  protagonist inspect FILE [--json]         a checkpoint folder, a LoRA, or a clip and the request in it

generate
  --subject PHOTO...          photos of the subject; each is a reference frame (more cost more time)
  --prompt TEXT               what happens; may be empty
  --negative-prompt TEXT      what to stay away from
  --seed N                    the same seed gives the same clip; drawn if not given
  --steps N                   denoising steps
  --guidance-scale X          how closely the prompt is followed; 1 turns guidance off
  --dynamic-guidance          let guidance follow the timestep
  --scheduler ddim|dpm
  --frames N                  1, 9, 17 ... 49
  --width N, --height N       multiples of 16
  --fps N                     frames a second of the clip
  --fit contain|cover         a photo of another shape: white borders, or cut
  --checkpoint DIR            a diffusers CogVideoX folder (the embedded Toybox if not given)
  --adapter FILE[:SCALE]...   LoRA files (Toybox brings its own; 'none' leaves it off)
  --device auto|cpu|cuda      --precision auto|float32|float16|bfloat16
  --noise-dtype float32|bfloat16
  --vae-tiling                encode and decode in tiles: less memory, slightly another picture
  --threads N                 --preview-seconds N
  --out FILE                  the MP4 (clip.mp4 if not given)
  --json                      one JSON object a line
`;

/** Runs one command and says how it ended.
 * @param argv what follows the program's name
 * @returns the exit status */
export async function main(argv: readonly string[]): Promise<number> {
  const json = argv.includes('--json');
  // A reader that has gone (`| head -1`), a closed terminal or a full disk under a log is no reason to lose a clip.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const [command, ...rest] = argv;
  try {
    if (command === undefined || command === '--help' || command === '-h' || command === 'help') {
      process.stdout.write(usage);
      return command === undefined ? 2 : 0;
    }
    const run = commands[command];
    if (!run) throw new UsageError(`there is no command '${command}': it is generate, doctor or inspect`);
    if (rest.includes('--help')) {
      process.stdout.write(usage);
      return 0;
    }
    return await run(rest);
  } catch (e) {
    const bad = e instanceof UsageError,
      { code, text } = bad ? { code: 'badArguments', text: e.message } : asFailure(e);
    if (json) print({ type: 'failed', code, text });
    else process.stderr.write(code === 'canceled' ? 'Canceled. The same command goes on where it stopped.\n' : `${onOneLine(text)}\n`);
    return bad ? 2 : code === 'canceled' ? 130 : 1;
  }
}

/** Text with what files and people gave it: nothing in it moves the cursor or starts a line. */
const onOneLine = (text: string) => printable(text.replaceAll(/\s*\n\s*/g, ' '), 25_000);
const print = (line: unknown) => void process.stdout.write(`${JSON.stringify(line)}\n`);

const generateOptions = {
  subject: 'texts',
  prompt: 'text',
  'negative-prompt': 'text',
  seed: 'number',
  steps: 'number',
  'guidance-scale': 'number',
  'dynamic-guidance': 'flag',
  scheduler: 'text',
  frames: 'number',
  width: 'number',
  height: 'number',
  fps: 'number',
  fit: 'text',
  checkpoint: 'text',
  adapter: 'texts',
  device: 'text',
  precision: 'text',
  'vae-tiling': 'flag',
  'noise-dtype': 'text',
  threads: 'number',
  'preview-seconds': 'number',
  out: 'text',
  json: 'flag',
} as const;

/** Ctrl-C, a polite kill, a terminal that closes. */
const ends = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

async function generate(argv: readonly string[]): Promise<number> {
  const { order, json } = await readOrder(argv);
  const show = json ? print : progressBar();
  const controller = new AbortController();
  const cancel = () => controller.abort();
  for (const end of ends) process.on(end, cancel);
  try {
    const engine = processEngine(() =>
      fork(new URL('./engine/main.ts', import.meta.url), {
        stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
        execArgv: ['--no-warnings', ...process.execArgv],
      }),
    );
    const done = await engine.run(order, show, controller.signal);
    show(done);
    return 0;
  } finally {
    for (const end of ends) process.off(end, cancel);
    if (!json) progressEnd();
  }
}

/** The work order of `generate`'s arguments.
 * @throws UsageError naming the option */
export async function readOrder(argv: readonly string[]): Promise<{ order: GenerateOrder; json: boolean }> {
  const { options, rest } = parseArguments(argv, generateOptions);
  if (rest.length) throw new UsageError(`'${rest[0]!}' belongs to no option: put a prompt with spaces in quotes`);
  return { order: await orderOf(options), json: options.json ?? false };
}

/** What was typed, completed by the checkpoint's own sizes and recommendations.
 * @throws UsageError naming the option */
async function orderOf(o: Options<typeof generateOptions>): Promise<GenerateOrder> {
  const { openCheckpoint } = await import('../native-models/weights/checkpoint.ts');
  const { recommendations } = await import('../native-models/pipelines/recommended.ts');
  const { parseScaled } = await import('../native-models/weights/lora.ts');
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
    return { file: present('adapter', path), scale };
  });
  const parsed = generateOrder.safeParse(
    {
      task: 'generate',
      checkpoint,
      adapters,
      referenceImages: photos,
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
    },
    { reportInput: true },
  );
  if (!parsed.success)
    throw new UsageError(
      parsed.error.issues
        .map(i => (i.code === 'invalid_value' ? `--${optionOf(i.path[0])} is ${i.values.join(', ')}, not '${String(i.input)}'` : i.message))
        .join('; '),
    );
  return parsed.data;
}
/** The absolute path of something that has to be there. */
function present(option: string, path: string): string {
  if (path === '') throw new UsageError(`--${option} is empty: name a file`);
  if (!existsSync(path)) throw new UsageError(`--${option}: there is no file ${resolve(path)}`);
  return resolve(path);
}
const optionOf = (field: PropertyKey | undefined) => String(field).replace(/[A-Z]/g, c => `-${c.toLowerCase()}`);

/** The file to write. Without a wish, clip.mp4, clip-2.mp4 ...: nothing that is there is replaced unasked. */
function outputFile(wish: string | undefined): string {
  if (wish === undefined) {
    let file = resolve('clip.mp4');
    for (let n = 2; existsSync(file); n++) file = resolve(`clip-${n}.mp4`);
    return file;
  }
  const file = resolve(wish);
  if (extname(file).toLowerCase() !== '.mp4') throw new UsageError(`--out ${wish}: the clip is an MP4, so its name must end in .mp4`);
  if (isFolder(file)) throw new UsageError(`--out ${wish} is a folder: name a file in it`);
  if (!isFolder(dirname(file))) throw new UsageError(`--out: there is no folder ${dirname(file)}`);
  const linked = existsSync(file) && lstatSync(file).isSymbolicLink();
  return linked ? realpathSync(file) : file; // what a link leads to is replaced, not the link
}
const isFolder = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

const said: Record<string, string> = { load: 'Loading', encode: 'Reading', denoise: 'Painting', decode: 'Developing', export: 'Writing' };
const terminal = process.stderr;

/** Progress as one line that is painted over on a terminal, as one line a phase elsewhere. */
function progressBar(): (event: EngineEvent) => void {
  let phase = '';
  return event => {
    switch (event.type) {
      case 'progress': {
        const width = 28,
          full = Math.round((width * event.step) / Math.max(1, event.of));
        const left = event.remaining === undefined ? '' : `, ${duration(event.remaining)} left`;
        if (terminal.isTTY)
          terminal.write(
            `\r\x1b[K${said[event.phase]!.padEnd(10)} ${'█'.repeat(full)}${'░'.repeat(width - full)} ${event.step}/${event.of}${left}`,
          );
        else if (phase !== event.phase) terminal.write(`${said[event.phase]!} ...\n`);
        phase = event.phase;
        break;
      }
      case 'notice':
        terminal.write(`${terminal.isTTY ? '\r\x1b[K' : ''}${onOneLine(event.text)}\n`);
        break;
      case 'done':
        if (terminal.isTTY) terminal.write('\r\x1b[K');
        process.stdout.write(`${onOneLine(event.out)} is ready: seed ${event.seed}, ${duration(event.seconds)} on ${event.device}\n`);
        break;
      default: // a terminal shows no pictures
    }
  };
}
function progressEnd(): void {
  if (terminal.isTTY) terminal.write('\r\x1b[K');
}
const duration = (s: number) =>
  s < 90 ? `${s.toFixed(s < 10 ? 1 : 0)} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;

async function doctor(argv: readonly string[]): Promise<number> {
  const { options, rest } = parseArguments(argv, { json: 'flag' } as const);
  if (rest.length) throw new UsageError(`doctor takes no '${rest[0]!}'`);
  const { probe } = await import('../native-models/runtime/device.ts');
  const { describeFfmpeg, findFfmpeg } = await import('./media/ffmpeg.ts');
  const { openCheckpoint } = await import('../native-models/weights/checkpoint.ts');
  const attempt = async <T>(what: () => T | Promise<T>) => {
    try {
      return { ok: true as const, value: await what() };
    } catch (e) {
      return { ok: false as const, text: asFailure(e).text };
    }
  };
  const [devices, ffmpeg, checkpoint] = await Promise.all([probe(), attempt(findFfmpeg), attempt(() => openCheckpoint(toybox).dir)]);
  const healthy = devices.some(d => d.available) && ffmpeg.ok && checkpoint.ok;
  if (options.json)
    print({
      type: 'doctor',
      healthy,
      node: process.versions.node,
      platform: `${process.platform}-${process.arch}`,
      cores: cpus().length,
      memoryBytes: totalmem(),
      devices,
      ffmpeg,
      checkpoint,
    });
  else {
    const line = (good: boolean, name: string, text: string) => process.stdout.write(`${good ? '✓' : '✗'} ${name.padEnd(11)} ${text}\n`);
    line(
      true,
      'node',
      `${process.versions.node} on ${process.platform}-${process.arch}, ${cpus().length} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    );
    for (const d of devices) line(d.available, d.device, d.text);
    line(ffmpeg.ok, 'ffmpeg', ffmpeg.ok ? describeFfmpeg(ffmpeg.value) : ffmpeg.text);
    line(checkpoint.ok, 'checkpoint', checkpoint.ok ? `Toybox, ${checkpoint.value}` : checkpoint.text);
  }
  return healthy ? 0 : 1;
}

async function inspect(argv: readonly string[]): Promise<number> {
  const { options, rest } = parseArguments(argv, { json: 'flag' } as const);
  const [given, ...more] = rest;
  if (given === undefined || more.length) throw new UsageError('inspect takes one file or folder');
  const path = resolve(given);
  if (!existsSync(path)) throw new UsageError(`there is no file ${path}`);
  const found = await describePath(path);
  if (options.json) print({ type: 'inspect', path, ...found });
  else {
    process.stdout.write(`${onOneLine(basename(path))}\n`);
    for (const [key, value] of Object.entries(found)) {
      const lines = typeof value === 'string' ? [value] : JSON.stringify(value, null, 2).split('\n');
      process.stdout.write(`  ${key}: ${lines.map(onOneLine).join('\n  ')}\n`); // a stranger's prompt may be in it
    }
  }
  return 0;
}

async function describePath(path: string): Promise<Readonly<Record<string, unknown>>> {
  if (!statSync(path).isDirectory() && ['.mp4', '.mov', '.m4v'].includes(extname(path).toLowerCase())) {
    const { describeClip } = await import('./media/metadata.ts');
    return { ...(await describeClip(path)) };
  }
  const { describe } = await import('../native-models/weights/lora.ts');
  if (!existsSync(join(path, 'model_index.json'))) return describe(path);
  const { openCheckpoint } = await import('../native-models/weights/checkpoint.ts');
  const { recommendations } = await import('../native-models/pipelines/recommended.ts');
  const { printable } = await import('../native-models/weights/json.ts');
  const checkpoint = openCheckpoint(path),
    parts = ['transformer', 'vae', 'text_encoder'].filter(name => checkpoint.classNames.has(name));
  return {
    kind: 'checkpoint',
    pipeline: printable(String(checkpoint.modelIndex['_class_name'])),
    scheduler: checkpoint.scheduler().className,
    recommended: recommendations(checkpoint),
    ...Object.fromEntries(parts.map(name => [name, describe(join(path, name))])),
  };
}

const commands: Readonly<Partial<Record<string, (argv: readonly string[]) => Promise<number>>>> = { generate, doctor, inspect };
