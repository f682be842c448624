/**
 * @file The only caller of ffmpeg: finds one that runs, and starts it with arguments that keep it to the file or pipe it is given.
 *
 * Every input carries a protocol and a format whitelist: without them a playlist or a concat script named `.mp4` makes ffmpeg open other
 * files or addresses. Paths are always `file:` URLs (`a:b.mp4` and `-x.mp4` are then names), no shell is involved, and `-nostdin` keeps the
 * terminal ours. The flags are those that ffmpeg's builds of 2018, 5.1 and 9.0 all accept.
 */
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { createRequire } from 'node:module';
import { constants, accessSync } from 'node:fs';
import path from 'node:path';
import { spokenErrno } from '../../native-models/tasks.ts';
import { fileReason, MediaError } from './error.ts';
import { program } from './program.ts';

/** Where an ffmpeg came from, in the order of preference. */
export type FfmpegSource = 'FFMPEG_BIN' | 'the package' | 'ffmpeg-static' | 'PATH' | '@ffmpeg-installer/linux-x64';

/** An ffmpeg that has been run. */
export interface Ffmpeg {
  readonly path: string;
  readonly source: FfmpegSource;
  /** As printed, for example `5.1.9-0+deb12u1` or `N-47683-g0e8eb07980-static`. */
  readonly version: string;
  /** The last year of its copyright line: the year it was built from. */
  readonly year: number;
  /** Video encoders that it lists, for example `libx264`. */
  readonly encoders: readonly string[];
  /** True for the last resort, which is years behind on security fixes: it is fed frames and clips of our own making, never another's video. */
  readonly ownFramesOnly: boolean;
}

/** A place that was looked at: what was found there, or why it does not serve. */
export interface FfmpegCandidate {
  readonly source: FfmpegSource;
  readonly path: string;
  readonly found: Ffmpeg | string;
}

/** What we encode with. */
const encoder = 'libx264';
/** How to come by an ffmpeg, as the end of a sentence. */
export const advice = 'install one with `npm i ffmpeg-static` or `apt install ffmpeg`, or name one in FFMPEG_BIN';

/** The last line of what a program said, as an addition to a sentence. */
function said(stderr: string): string {
  const last = stderr.trim().split('\n').at(-1)!;
  return last && `, saying "${last.slice(0, 300)}"`;
}

/** Starts a program. Some of the system's refusals come as the error returned, others as an `error` event; without file handles left, its pipes are not there. */
function launch(file: string, args: readonly string[], options: SpawnOptions): ChildProcess | Error {
  try {
    return spawn(file, args, options);
  } catch (error) {
    return error as Error;
  }
}

/** Runs `ffmpeg -encoders`: its banner says the version, its list the encoders, in one start. Answers a reason when it does not serve, or was told to stop, and then it has gone. */
async function tryRun(file: string, source: FfmpegSource, signal?: AbortSignal): Promise<Ffmpeg | string> {
  const {
    code,
    signal: by,
    stdout,
    stderr,
    failure,
  } = await new Promise<End & { readonly stdout: string }>(resolve => {
    let stdout = '';
    let stderr = '';
    const child = launch(file, ['-nostdin', '-encoders'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 20_000,
      killSignal: 'SIGKILL',
      windowsHide: true,
      ...(signal && { signal }),
    });
    if (child instanceof Error) return resolve({ code: null, signal: null, stdout, stderr, failure: child });
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout = (stdout + text).slice(0, 1 << 20)));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(0, 1 << 20)));
    // one that runs has ended when it is closed, also where it was told to stop
    child.on('error', failure => child.pid === undefined && resolve({ code: null, signal: null, stdout, stderr, failure }));
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  if (failure)
    return (failure as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such program' : `it does not start (${failure.message})`;
  if (by === 'SIGKILL' || by === 'SIGTERM') return `it was stopped by ${by}`;
  const version = /^ffmpeg version (\S+)/m.exec(stderr)?.[1];
  const year = /Copyright \(c\) \d{4}-(\d{4})/.exec(stderr)?.[1];
  if (code !== 0 || version === undefined || year === undefined)
    return `it does not behave like ffmpeg (exit status ${code ?? 'none'}${code ? said(stderr) : ''})`;
  const encoders = [...stdout.matchAll(/^ V[A-Z.]{5} (\S+)/gm)].map(match => match[1]!).filter(name => name !== '=');
  if (!encoders.includes(encoder)) return `ffmpeg ${version} lacks the ${encoder} encoder`;
  return { path: file, source, version, year: Number(year), encoders, ownFramesOnly: source === '@ffmpeg-installer/linux-x64' };
}

/** The path that the optional package `ffmpeg-static` exports; its name is a variable so that the types hold where it is not installed. */
async function staticPath(): Promise<string | undefined> {
  const name: string = 'ffmpeg-static';
  try {
    const loaded = (await import(name)) as { default?: unknown };
    return typeof loaded.default === 'string' ? loaded.default : undefined;
  } catch {
    return undefined;
  }
}

/** The binary inside `@ffmpeg-installer/linux-x64`: a file of the package itself, so that it comes with npm and nothing else. */
function packagedPath(): string | undefined {
  try {
    return path.join(path.dirname(createRequire(import.meta.url).resolve('@ffmpeg-installer/linux-x64/package.json')), 'ffmpeg');
  } catch {
    return undefined;
  }
}

/** The first `ffmpeg` on the PATH that may be executed. Relative entries are skipped: they would run what lies in the current folder. */
function onPath(searched: string | undefined): string | undefined {
  const file = process.platform === 'win32' ? 'ffmpeg.exe' : 'ffmpeg';
  for (const folder of (searched ?? '').split(path.delimiter)) {
    if (!path.isAbsolute(folder)) continue;
    try {
      accessSync(path.join(folder, file), constants.X_OK);
      return path.join(folder, file);
    } catch {
      continue;
    }
  }
  return undefined;
}

/**
 * Looks in each place in order and runs what is there, each when it is asked for; `doctor` prints them all.
 * @param env where FFMPEG_BIN and PATH are read
 */
export async function* ffmpegCandidates(
  env: Readonly<Record<string, string | undefined>> = process.env,
  signal?: AbortSignal,
): AsyncGenerator<FfmpegCandidate, void> {
  const places: readonly [FfmpegSource, () => Promise<string | undefined> | string | undefined][] = [
    ['FFMPEG_BIN', () => env['FFMPEG_BIN']],
    ['the package', () => program.ffmpeg],
    ['ffmpeg-static', staticPath],
    ['PATH', () => onPath(env['PATH'])],
    ['@ffmpeg-installer/linux-x64', packagedPath],
  ];
  for (const [source, where] of places) {
    const file = await where();
    if (file) yield { source, path: file, found: await tryRun(file, source, signal) };
  }
}

/**
 * Finds an ffmpeg that encodes H.264: FFMPEG_BIN, then the one in the package, then `ffmpeg-static`, then the PATH, then the old binary inside an npm package.
 * Each is really run. An FFMPEG_BIN that does not serve is an error, since someone asked for it. Nothing is installed or downloaded.
 * @param signal ends the looking; no process is left when that has been answered
 * @throws {MediaError} one sentence with how to get one
 */
export async function findFfmpeg(env: Readonly<Record<string, string | undefined>> = process.env, signal?: AbortSignal): Promise<Ffmpeg> {
  const refused: string[] = [];
  for await (const { source, path: file, found } of ffmpegCandidates(env, signal)) {
    if (typeof found !== 'string') return found;
    const errno = spokenErrno(found); // the machine's trouble, not that program's
    if (errno !== undefined)
      throw new MediaError(`cannot start ${file}: ${fileReason(errno)!} (${found}).`, {
        cause: Object.assign(new Error(found), { code: errno }),
      });
    if (found.startsWith('it was stopped'))
      throw new MediaError(`cannot start ${file}: ${found}: run it again.`, { reason: 'encoderDied' });
    if (source === 'FFMPEG_BIN') throw new MediaError(`FFMPEG_BIN is ${file}, but ${found}: correct or unset it.`);
    refused.push(`${file}: ${found}`);
  }
  throw new MediaError(`no usable ffmpeg was found${refused.length > 0 ? ` (${refused.join('; ')})` : ''}: ${advice}.`);
}

/**
 * One line for `doctor` and logs: version, year and age, source and path.
 * @param now the present year
 */
export function describeFfmpeg(ffmpeg: Ffmpeg, now = new Date().getFullYear()): string {
  const age = now - ffmpeg.year;
  const old = age <= 0 ? 'from this year' : `${age} year${age === 1 ? '' : 's'} old`;
  const limits = ffmpeg.ownFramesOnly ? '; last resort, fed only our own frames' : '';
  return `ffmpeg ${ffmpeg.version} (${ffmpeg.year}, ${old}) from ${ffmpeg.source}: ${ffmpeg.path}${limits}`;
}

/** Arguments that start every run: quiet, never reading the terminal. */
export const quiet = ['-nostdin', '-hide_banner', '-loglevel', 'error'];

/**
 * The arguments of one encoding: RGB24 frames from standard input to H.264 High, yuv420p, CRF 17, in an MP4 whose moov lies at the end.
 * Colours are CONVERTED with the bt709 matrix to limited range and tagged so in the bitstream and in the `colr` box (a tag alone shifts
 * colours by up to 40 levels). Older builds take the tags from the options, newer ones from the frames, hence both. The output depends on
 * the frames and on ffmpeg's build alone: four encoder threads whatever the machine has, bit-exact scaler, no date and no versions written.
 * @param out absolute path; it is overwritten
 */
export function encodeArguments(clip: { width: number; height: number; fps: number; out: string }): readonly string[] {
  const convert = 'scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact';
  const tag = 'setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709';
  // prettier-ignore
  return [
    ...quiet,
    '-protocol_whitelist', 'pipe,file', '-format_whitelist', 'rawvideo',
    '-f', 'rawvideo', '-pixel_format', 'rgb24', '-video_size', `${clip.width}x${clip.height}`, '-framerate', String(clip.fps), '-i', 'pipe:0',
    '-map', '0:v:0', '-map_metadata', '-1', '-map_chapters', '-1', '-vf', `${convert},format=yuv420p,${tag}`,
    '-c:v', encoder, '-preset', 'medium', '-profile:v', 'high', '-crf', '17', '-pix_fmt', 'yuv420p', '-threads', '4',
    '-color_range', 'tv', '-color_primaries', 'bt709', '-color_trc', 'bt709', '-colorspace', 'bt709',
    '-fflags', '+bitexact', '-flags:v', '+bitexact', '-movflags', '+write_colr', '-f', 'mp4', '-y', `file:${clip.out}`,
  ];
}

/** The arguments that decode the first video track of a file to RGB24 frames on standard output, by the matrix its bt709 tag asks for. */
function decodeArguments(file: string, size: { width: number; height: number }, frames: number): readonly string[] {
  const convert = `scale=${size.width}:${size.height}:in_color_matrix=bt709:in_range=tv:out_range=pc:flags=bicubic+accurate_rnd+full_chroma_int+bitexact`;
  // prettier-ignore
  return [
    ...quiet,
    '-protocol_whitelist', 'file', '-format_whitelist', 'mov,mp4,m4a,3gp,3g2,mj2', '-i', `file:${path.resolve(file)}`,
    '-map', '0:v:0', '-an', '-sn', '-dn', '-vf', `${convert},format=rgb24`, '-frames:v', String(frames), '-f', 'rawvideo', 'pipe:1',
  ];
}

/** A running ffmpeg. */
export interface Running {
  readonly child: ChildProcess;
  /** Resolves when it has gone and its pipes are closed; never rejects. */
  readonly ended: Promise<End>;
}

/** How a run of ffmpeg ended; `failure`: it could not be started. */
export interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
  readonly failure?: Error;
}

/**
 * Starts ffmpeg without a shell, in a process group of its own: a Ctrl-C meant for us must not make it end a clip early. It still goes when
 * we are killed: standard input is the pipe, and its end is the end of the film. It writes nothing on a standard output that is not a pipe, which is
 * our standard error: whoever listens there hears the end only when ffmpeg has gone too.
 * @throws {MediaError} when it does not start; or `ended` says so
 */
export function startFfmpeg(
  ffmpeg: Ffmpeg,
  args: readonly string[],
  stdio: { stdin: 'pipe' | 'ignore'; stdout: 'pipe' | 'ignore' },
): Running {
  const child = launch(ffmpeg.path, args, {
    stdio: [stdio.stdin, stdio.stdout === 'pipe' ? 'pipe' : process.stderr.fd, 'pipe'],
    detached: process.platform !== 'win32',
    windowsHide: true,
  });
  let stderr = '';
  if (child instanceof Error) throw ffmpegFailure('cannot start ffmpeg', { code: null, signal: null, stderr, failure: child });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-8192)));
  const ended = new Promise<End>(resolve => {
    child.on('error', failure => resolve({ code: null, signal: null, stderr, failure }));
    child.on('close', (code, signal) => resolve({ code, signal, stderr }));
  });
  return { child, ended };
}

/** Says in one sentence why a run failed, with the system's code as the cause where there is one; its `reason` tells an ffmpeg that died from one that refused. */
export function ffmpegFailure(doing: string, end: End): MediaError {
  const errno = spokenErrno(end.failure?.message ?? end.stderr);
  if (errno !== undefined)
    return new MediaError(`${doing}: ${fileReason(errno)!}.`, { cause: Object.assign(new Error(end.stderr.trim()), { code: errno }) });
  if (end.failure) return new MediaError(`${doing}: ffmpeg does not start (${end.failure.message}).`, { cause: end.failure });
  const known: readonly [RegExp, string][] = [
    [/Permission denied/i, 'ffmpeg has no permission there: choose another folder'],
    [/Unknown encoder|Encoder not found/i, `this ffmpeg lacks the ${encoder} encoder: ${advice}`],
    [/moov atom not found|Invalid data found/i, 'the video is damaged or is no MP4'],
    [/not in (the )?whitelist|not on whitelist/i, 'the file is no MP4'],
  ];
  const match = known.find(([pattern]) => pattern.test(end.stderr));
  if (match) return new MediaError(`${doing}: ${match[1]}.`);
  // After a polite signal ffmpeg exits with 255 and no word, while it starts with 1 and these words, after the fourth with 123; Windows tells a crash by the status.
  const asked = (end.code === 255 && end.stderr.trim() === '') || /Immediate exit requested|Received > 3 system signals/.test(end.stderr);
  const died = end.signal ?? (asked ? 'a signal' : (end.code ?? 0) >= 0xc000_0000 ? 'a crash' : undefined);
  if (died !== undefined)
    return new MediaError(`${doing}: ffmpeg was stopped by ${died} (was memory short?): run it again.`, { reason: 'encoderDied' });
  return new MediaError(`${doing}: ffmpeg failed with exit status ${end.code ?? 'none'}${said(end.stderr)}.`);
}

/**
 * Decodes the frames of an MP4 to RGB24, [H, W, 3] each.
 * @param clip `width`, `height`: the size wanted; `frames`: at most so many are read; `ours`: we made this file (the last resort reads no other)
 * @throws {MediaError} when the file cannot be decoded, or may not be by this ffmpeg
 */
export async function readFrames(
  ffmpeg: Ffmpeg,
  file: string,
  clip: { width: number; height: number; frames: number; ours: boolean },
): Promise<Uint8Array[]> {
  if (ffmpeg.ownFramesOnly && !clip.ours)
    throw new MediaError(`${file} is not opened: the only ffmpeg here is of ${ffmpeg.year} and reads no video of others: ${advice}.`);
  const { child, ended } = startFfmpeg(ffmpeg, decodeArguments(file, clip, clip.frames), { stdin: 'ignore', stdout: 'pipe' });
  const limit = setTimeout(() => child.kill('SIGKILL'), 120_000);
  const size = clip.width * clip.height * 3;
  const frames: Uint8Array[] = [];
  let frame = new Uint8Array(size);
  let filled = 0;
  child.stdout?.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + size - filled);
      frame.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled === size) {
        frames.push(frame);
        frame = new Uint8Array(size);
        filled = 0;
      }
    }
  });
  const end = await ended;
  clearTimeout(limit);
  if (end.code !== 0) throw ffmpegFailure(`cannot decode ${file}`, end);
  return frames;
}
