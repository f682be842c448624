/**
 * @file A clip as a file for somewhere else: frames or a finished clip in, what a preset promises out, or nothing.
 *
 * The arguments come from pure functions, so that what is run can be shown and copied. Everything is made inside one hidden folder beside the
 * target: ffmpeg's file is probed, fsynced and renamed, then the folder is fsynced; failure and abort remove it, and after a kill -9 the next
 * export of that name does. Film of others is opened by lists of protocols, formats and decoders only.
 */
import { link, mkdir, open, readdir, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MediaError, fileError } from './error.ts';
import { advice, ffmpegFailure, findFfmpeg, quiet, startFfmpeg, type End, type Ffmpeg, type Running } from './ffmpeg.ts';
import { freeBytes, refuseShut, syncFolder } from './files.ts';
import { embedRequest, readRequest, requestText, type Request } from './metadata.ts';
import {
  planExport,
  presetOf,
  unavailable,
  type ExportOptions,
  type Film,
  type Fraction,
  type Plan,
  type Preset,
  type PresetId,
} from './presets.ts';
import { probe, type Probed } from './probe.ts';
import { checkOut, removePart, reservePart, sweepParts } from './video-writer.ts';

/** A film in a file; `ours`: we made it (the last resort of an ffmpeg opens no other); `lossless`: nothing was lost in it, it is as good as its frames. */
export interface FilmFile {
  readonly file: string;
  readonly ours?: boolean;
  readonly lossless?: boolean;
}
/** A film as it comes: RGB24 frames, [H, W, 3] each, asked for as fast as they are taken. */
export interface FilmFrames {
  readonly frames: AsyncIterable<Uint8Array>;
  /** pixels */
  readonly width: number;
  readonly height: number;
  /** frames per second */
  readonly rate: Fraction;
  readonly numFrames: number;
}

/** How far an export is: `part` of all of it, 0 to 1; the pass of how many; frames of that pass. */
export interface ExportProgress {
  readonly part: number;
  readonly pass: number;
  readonly passes: number;
  readonly frames: number;
  readonly numFrames: number;
}

interface Order {
  /** A row, or its id. */
  readonly preset: PresetId | Preset;
  readonly options?: ExportOptions | undefined;
  /** The file to appear, or the folder where the preset makes one; an earlier file is replaced by a whole one only, an earlier folder never. */
  readonly out: string;
  /** `false`: no file is replaced, not even one that appears meanwhile. */
  readonly replace?: boolean | undefined;
  /** What the export remembers, unless `options.forget`; of a file that holds one, its own where absent. */
  readonly request?: Request | undefined;
  /** Abort kills ffmpeg and leaves nothing. */
  readonly signal?: AbortSignal | undefined;
  readonly on?: ((progress: ExportProgress) => void) | undefined;
  /** The ffmpeg to use; found anew where absent. */
  readonly ffmpeg?: Ffmpeg | undefined;
  /** Called with the id of each process that encodes, and with 0 when it has gone. */
  readonly onEncoder?: ((pid: number) => void) | undefined;
}

/** What was made. */
export interface Exported {
  /** Absolute paths of the file or folder, and of the poster. */
  readonly out: string;
  readonly poster: string | undefined;
  /** What the finished file says of itself; of a folder, its first picture. */
  readonly probed: Probed;
  /** All of it: bytes. */
  readonly bytes: number;
  readonly plan: Plan;
  /** The command that makes it, to copy into a terminal; frames that were piped in are its standard input. */
  readonly command: string;
}

/** Formats and decoders that film is read with. No playlists, no scripts, nothing that names another file. */
const formats = 'mov,mp4,m4a,3gp,3g2,mj2,matroska,webm';
const decoders = 'h264,hevc,av1,libdav1d,libaom-av1,vp8,vp9,libvpx,libvpx-vp9,prores,dnxhd,ffv1,mpeg4,mjpeg,png';
/** Longest film that is opened: s. */
const longest = 3600;
/** How long ffmpeg may say nothing; slow encoders are silent while they empty their queues: ms. */
const patience = 600_000;

/** One input of ffmpeg's. */
interface Input {
  readonly arguments: readonly string[];
  readonly film: Film;
}

const fileInput = (file: string, film: Film): Input => ({
  // prettier-ignore
  arguments: ['-protocol_whitelist', 'file', '-format_whitelist', formats, '-codec_whitelist', decoders, '-xerror', '-err_detect', 'explode', '-noautorotate', '-i', `file:${file}`],
  film,
});
const framesInput = (film: Film): Input => ({
  // prettier-ignore
  arguments: ['-protocol_whitelist', 'pipe,file', '-format_whitelist', 'rawvideo', '-f', 'rawvideo', '-pixel_format', 'rgb24', '-video_size', `${film.width}x${film.height}`, '-framerate', film.rate.join('/'), '-i', 'pipe:0'],
  film,
});

const scaler = 'flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact';
const bt709 = 'color_primaries=bt709:color_trc=bt709';
const numbered = ([n, d]: Fraction): string => `settb=${d}/${n},setpts=N`;
/**
 * Exactly so many frames at a rate, whatever the file's clock says; the last frame is there twice before, lest a clock's rounding loses it.
 * `numberedBy`: the rate of what are only frames in order: after a concat older builds know no rate, and do not know when the second last one is due.
 */
const exactly = (rate: Fraction, frames: number, numberedBy?: Fraction): string =>
  `tpad=stop_mode=clone:stop=1,${numberedBy ? `${numbered(numberedBy)},` : ''}fps=${rate.join('/')},trim=end_frame=${frames},${numbered(rate)}`;

/** The scale filter from a film's colours: to bt709 in limited range, or to RGB. */
function convert({ colours }: Film, size: { width: number; height: number }, to: 'yuv' | 'rgb'): string {
  const from = colours === 'rgb' ? '' : `:in_color_matrix=${colours.matrix}:in_range=${colours.fullRange ? 'pc' : 'tv'}`;
  const target = to === 'yuv' ? ':out_color_matrix=bt709:out_range=tv' : from && ':out_range=pc';
  return `scale=${size.width}:${size.height}${from}${target}:${scaler}`;
}

/** The colours in the end: converted, scaled, cut or padded, tagged. */
function colourChain({ preset, film, scaled, offset, width, height }: Plan): string {
  const { pixels } = preset;
  const resized = scaled.width !== film.width || scaled.height !== film.height;
  const same = film.colours !== 'rgb' && film.colours.matrix === 'bt709' && !film.colours.fullRange;
  const kept = pixels === 'kept';
  const yuv = kept ? film.colours !== 'rgb' : pixels.startsWith('yuv');
  const chain: string[] = [];
  if (!kept || resized || (film.colours !== 'rgb' && !same)) chain.push(convert(film, scaled, yuv ? 'yuv' : 'rgb'));
  chain.push(`format=${!kept ? pixels : yuv ? 'yuv420p|yuv422p|yuv444p|yuv420p10le|yuv422p10le|yuv444p10le' : 'bgr0'}`);
  if (width < scaled.width || height < scaled.height) chain.push(`crop=${width}:${height}:${offset.x}:${offset.y}:exact=1`);
  else if (width > scaled.width || height > scaled.height)
    chain.push(`pad=${width}:${height}:${Math.abs(offset.x)}:${Math.abs(offset.y)}:black`);
  if (yuv) chain.push(`setparams=range=tv:${bt709}:colorspace=bt709`);
  else if (kept) chain.push(`setparams=range=pc:${bt709}:colorspace=gbr`);
  else if (preset.makes.container === 'png') chain.push('setparams=range=pc:color_primaries=bt709:color_trc=iec61966-2-1'); // as every viewer shows it
  return chain.join(',');
}

/** Everything between the assembled film and the encoder; `[in]` to `[out]`, and `[poster]` where one is asked for. */
function editGraph(plan: Plan, withPoster: boolean): string {
  const { film, preset, trim, boomerang, plays, rate, numFrames, poster } = plan;
  const again = numbered(film.rate);
  const parts = [`[in]trim=start_frame=${trim.from}:end_frame=${trim.to},${again}`];
  let once = trim.to - trim.from;
  if (boomerang && once > 2) {
    parts.push(
      `split[there][turned];[turned]trim=start_frame=1:end_frame=${once - 1},reverse,${again}[back];[there][back]concat=n=2:v=1:a=0,${again}`,
    );
    once = 2 * once - 2;
  }
  if (plays > 1) parts.push(`loop=loop=${plays - 1}:size=${once}:start=0,${again}`);
  parts.push(exactly(rate, numFrames, film.rate), colourChain(plan));
  const [end, last] = [preset.finish === undefined ? '' : `,${preset.finish}`, `null[out]`];
  if (!withPoster || poster === undefined) return `${parts.join(',')}${end},${last}`;
  const still = preset.pixels.startsWith('yuv') || (preset.pixels === 'kept' && film.colours !== 'rgb');
  const shown = still ? `scale=in_color_matrix=bt709:in_range=tv:out_range=pc:${scaler},` : '';
  return `${parts.join(',')},split[film][still];[film]null${end},${last};[still]select='eq(n,${poster})',${shown}format=rgb24,setparams=range=pc:color_primaries=bt709:color_trc=iec61966-2-1[poster]`;
}

/** How films follow each other. */
export type Joint = 'cut' | { readonly crossfade: number };

/** The frames of a film at the first one's rate. */
const framesAt = (rate: Fraction, film: Film): number =>
  Math.max(Math.round((film.numFrames * film.rate[1] * rate[0]) / (film.rate[0] * rate[1])), 1);

/** Films as one, `[in]`: each in the size, rate and colours of the first; `fade`: frames in which two are blended. */
function joinGraph(inputs: readonly Input[], fade: number, pixels: string): string {
  const { width, height, rate } = inputs[0]!.film;
  const graph: string[] = [];
  const order: string[] = [];
  inputs.forEach(({ film }, i) => {
    const scale = Math.min(width / film.width, height / film.height);
    const [w, h] = [Math.min(2 * Math.round((film.width * scale) / 2), width), Math.min(2 * Math.round((film.height * scale) / 2), height)];
    const size = film.width === width && film.height === height ? { width, height } : { width: w, height: h };
    const n = framesAt(rate, film);
    const one = `[${i}:v:0]${exactly(rate, n)},${convert(film, size, 'yuv')},format=${pixels},pad=${width}:${height}:(ow-iw)/2:(oh-ih)/2:black,setsar=1,setparams=range=tv:${bt709}:colorspace=bt709`;
    const [head, tail] = [i > 0 && fade > 0, i < inputs.length - 1 && fade > 0];
    const pieces = [...(head ? [`h${i}`] : []), `b${i}`, ...(tail ? [`t${i}`] : [])];
    graph.push(`${one},split=${pieces.length}${pieces.map(p => `[${p}s]`).join('')}`);
    const cut = (name: string, from: number, to: number) =>
      graph.push(`[${name}s]trim=start_frame=${from}:end_frame=${to},${numbered(rate)}[${name}]`);
    if (head) cut(`h${i}`, 0, fade);
    cut(`b${i}`, head ? fade : 0, tail ? n - fade : n);
    if (tail) cut(`t${i}`, n - fade, n);
    if (head) {
      // `xfade` is not in older builds; blend's own count of frames begins at 0 or 1, its clock at 0
      graph.push(`[t${i - 1}][h${i}]blend=all_expr='A+(B-A)*(T*${rate[0]}/${rate[1]}+1)/${fade + 1}+0.5',${numbered(rate)}[x${i}]`);
      order.push(`[x${i}]`);
    }
    order.push(`[b${i}]`);
  });
  return `${graph.join(';')};${order.join('')}concat=n=${order.length}:v=1:a=0,${numbered(rate)}[in]`;
}

/** What is to be made of which inputs. */
interface Work {
  readonly plan: Plan;
  readonly inputs: readonly Input[];
  /** The graph that ends in `[in]`. */
  readonly assembled: string;
  /** For containers whose comment ffmpeg writes. */
  readonly comment: string | undefined;
}

/** Paths that a run writes: absolute; `log`: what x264's two passes tell each other, a path's beginning. */
interface Paths {
  readonly out: string;
  readonly log: string;
  readonly poster: string | undefined;
}

/** The arguments of each pass, in order. */
function commands({ plan, inputs, assembled, comment }: Work, paths: Paths): readonly (readonly string[])[] {
  const { preset, encoder, bitRate, numFrames } = plan;
  const passes = preset.megabytes === undefined ? [0] : [1, 2];
  return passes.map(pass => {
    const last = pass !== 1;
    const poster = last ? paths.poster : undefined;
    const out = preset.extension === undefined ? `${paths.out.replaceAll('%', '%%')}${path.sep}%06d.png` : paths.out;
    // prettier-ignore
    return [
      ...quiet, ...inputs.flatMap(input => input.arguments),
      '-filter_complex', `${assembled};${editGraph(plan, poster !== undefined)}`,
      '-map', '[out]', '-map_metadata', '-1', '-map_chapters', '-1', '-frames:v', String(numFrames),
      ...preset.encode({ encoder, bitRate, rgb: plan.film.colours === 'rgb' }), ...(pass > 0 ? ['-pass', String(pass), '-passlogfile', paths.log] : []),
      '-fflags', '+bitexact', '-flags:v', '+bitexact',
      ...(comment === undefined || !last ? [] : ['-metadata', `comment=${comment}`]),
      ...(last ? [...preset.container, '-y', `file:${out}`] : ['-f', 'null', '-']),
      ...(poster === undefined ? [] : ['-map', '[poster]', '-frames:v', '1', '-c:v', 'png', '-fflags', '+bitexact', '-flags:v', '+bitexact', '-f', 'image2pipe', '-y', `file:${poster}`]),
    ];
  });
}

/** A command as one line for a POSIX shell. */
const shown = (ffmpeg: Ffmpeg, lines: readonly (readonly string[])[]): string =>
  lines
    .map(args =>
      [ffmpeg.path, ...args].map(word => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' '),
    )
    .join(' && ');

/** Why an export failed, as a sentence with what to do. */
function failure(doing: string, end: End, sources: readonly string[]): MediaError {
  const source = sources.length === 1 ? sources[0]! : sources.length > 1 ? 'one of the clips' : undefined;
  if (source !== undefined && /not (in|on) (the )?whitelist|Codec .*whitelist/i.test(end.stderr))
    return new MediaError(`${doing}: ${source} is no video of a kind that is opened: choose an MP4, MOV, MKV or WebM.`);
  if (
    source !== undefined &&
    end.signal === null &&
    /moov atom not found|Invalid data found|Error while decoding|error while decoding/i.test(end.stderr) &&
    !/No space left/.test(end.stderr)
  )
    return new MediaError(`${doing}: ${source} is damaged or not finished: export another copy, or make the clip again.`);
  return ffmpegFailure(doing, end);
}

/** Whether ffmpeg says that it could not write, whatever its exit status. */
const unwritten = /Error (writing|closing|muxing)|av_interleaved_write_frame|No space left|Conversion failed/;

/** Runs one pass. */
async function drive(
  ffmpeg: Ffmpeg,
  args: readonly string[],
  run: {
    doing: string;
    sources: readonly string[];
    frames: FilmFrames | undefined;
    signal: AbortSignal | undefined;
    onFrame: (frames: number) => void;
    onEncoder: ((pid: number) => void) | undefined;
  },
): Promise<void> {
  const { doing, frames, signal } = run;
  signal?.throwIfAborted();
  const running: Running = startFfmpeg(ffmpeg, [...quiet, '-progress', 'pipe:1', ...args.slice(quiet.length)], {
    stdin: frames ? 'pipe' : 'ignore',
    stdout: 'pipe',
  });
  const { child, ended } = running;
  run.onEncoder?.(child.pid ?? 0);
  const was = { stuck: false };
  const kill = () => child.kill('SIGKILL');
  const still = () => {
    was.stuck = true;
    kill();
  };
  let timer: NodeJS.Timeout | undefined;
  /** Ffmpeg has shown life, and it is its turn; `false`: it waits for us. */
  const alive = (itsTurn = true) => {
    clearTimeout(timer);
    timer = itsTurn ? setTimeout(still, patience) : undefined;
  };
  alive();
  signal?.addEventListener('abort', kill, { once: true });
  let line = '';
  child.stdout?.setEncoding('latin1').on('data', (text: string) => {
    if (timer) alive();
    line += text;
    const lines = line.split('\n');
    line = lines.pop()!.slice(-200);
    for (const word of lines) {
      const frame = /^frame=\s*(\d+)/.exec(word)?.[1];
      if (frame !== undefined && !signal?.aborted) run.onFrame(Number(frame));
    }
  });
  try {
    if (frames) await feed(frames, running, doing, alive, signal);
    const end = await ended;
    signal?.throwIfAborted();
    if (was.stuck) throw new MediaError(`${doing}: ffmpeg has stood still for ${patience / 1000} s: try again.`, { reason: 'encoderDied' });
    if (end.code !== 0 || unwritten.test(end.stderr)) throw failure(doing, end, run.sources);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', kill);
    kill(); // no effect where it has ended
    await ended;
    run.onEncoder?.(0);
  }
}

/** Gives ffmpeg the frames; returns early where it has gone, whose end says why. */
async function feed(
  film: FilmFrames,
  { child, ended }: Running,
  doing: string,
  alive: (itsTurn: boolean) => void,
  signal?: AbortSignal,
): Promise<void> {
  const stdin = child.stdin;
  if (!stdin) return;
  stdin.on('error', () => undefined); // EPIPE where ffmpeg has gone
  const end = ended.then(() => undefined);
  const size = film.width * film.height * 3;
  const frames = film.frames[Symbol.asyncIterator]();
  let count = 0;
  let whole = false;
  try {
    for (;;) {
      alive(false);
      const next = await Promise.race([end, frames.next()]);
      alive(true);
      if (!next) return; // ffmpeg has gone
      signal?.throwIfAborted();
      if (next.done) break;
      if (next.value.length !== size)
        throw new MediaError(`${doing}: frame ${count} has ${next.value.length} bytes, a ${film.width}x${film.height} one has ${size}.`);
      if (++count > film.numFrames) throw new MediaError(`${doing}: more than ${film.numFrames} frames came.`);
      if (!stdin.write(next.value)) await Promise.race([new Promise(resolve => stdin.once('drain', resolve)), end]);
    }
    whole = true;
  } finally {
    // The source may be in the middle of a long frame: it is told, and not waited for.
    if (!whole) void Promise.resolve(frames.return?.()).catch(() => undefined);
  }
  if (count < film.numFrames) throw new MediaError(`${doing}: ${count} frames came where ${film.numFrames} were promised.`);
  stdin.end();
}

/** What a file's film is, for the arithmetic. */
function filmOf(file: string, probed: Probed, compressed: boolean): Film {
  const { width, height, rate, frames, seconds, colour } = probed;
  if (seconds > longest) throw new MediaError(`${file} lasts ${Math.round(seconds)} s, at most ${longest} s are opened: trim it first.`);
  if (frames < 1 || !(rate[0] > 0) || !(rate[1] > 0)) throw new MediaError(`${file} has no frames: choose another clip.`);
  if (colour && /smpte2084|arib-std-b67|bt2020/.test(`${colour.transfer} ${colour.primaries}`))
    throw new MediaError(`${file} is an HDR video, whose colours would come out wrong: convert it to SDR first.`);
  const known: Readonly<Record<string, 'bt709' | 'bt601' | 'smpte240m' | 'fcc'>> = {
    bt709: 'bt709',
    smpte170m: 'bt601',
    bt470bg: 'bt601',
    smpte240m: 'smpte240m',
    fcc: 'fcc',
  };
  // untagged video is by custom what televisions of its size used
  const matrix = known[colour?.matrix ?? ''] ?? (height > 576 || width > 1024 ? 'bt709' : 'bt601');
  const rgb = /^(gbr|rgb|identity)$/.test(colour?.matrix ?? '');
  return {
    width,
    height,
    rate,
    numFrames: frames,
    colours: rgb ? 'rgb' : { matrix, fullRange: colour?.fullRange ?? false },
    compressed,
  };
}

/** Opens a file of film: no other program's where this ffmpeg is the last resort, no database of ours. */
async function openFile(
  ffmpeg: Ffmpeg,
  { file, ours = false, lossless = false }: FilmFile,
): Promise<{ input: Input; probed: Probed; file: string }> {
  const name = path.resolve(file);
  await refuseShut(name);
  if (ffmpeg.ownFramesOnly && !ours)
    throw new MediaError(`${name} is not opened: the only ffmpeg here is of ${ffmpeg.year} and reads no video of others: ${advice}.`);
  const probed = await probe(name);
  if (probed.container === 'gif' || probed.container === 'webp' || probed.container === 'png')
    throw new MediaError(`${name} is a ${probed.container.toUpperCase()}: choose an MP4, MOV, MKV or WebM.`);
  return { input: fileInput(name, filmOf(name, probed, !lossless)), probed, file: name };
}

/** A name that something has. */
const taken = (out: string): MediaError =>
  new MediaError(`cannot write ${out}: there is a file of that name already: choose another name.`);
/** Codes of file systems without hard links. */
const noLinks = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EINVAL']);
/** Gives a finished file its name.
 * @throws {MediaError} where `replace` is false and something has that name */
async function appear(finished: string, out: string, replace: boolean): Promise<void> {
  if (replace) return rename(finished, out);
  await link(finished, out).catch(async (error: unknown) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw taken(out);
    if (!noLinks.has(code ?? '')) throw error;
    // the name is taken first, by an empty file, so that the rename replaces nothing else
    const held = await open(out, 'wx').catch((error: unknown) => {
      throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? taken(out) : error;
    });
    await held.close();
    await rename(finished, out);
  });
}

/**
 * Refuses a target before any work.
 * @param out absolute path
 * @param sources files that are read and must not be written
 * @throws {MediaError} where nothing could be written there, or (`replace` false) something is there
 */
export async function checkTarget(preset: Preset, out: string, sources: readonly string[], replace = true): Promise<void> {
  const named = path.extname(out).slice(1).toLowerCase();
  if (preset.extension !== undefined && named !== preset.extension)
    throw new MediaError(`cannot write ${out}: ${preset.name} makes a .${preset.extension} file: name it so.`);
  const identity = async (file: string) =>
    stat(file, { bigint: true })
      .then(({ dev, ino }) => `${dev}:${ino}`)
      .catch(() => undefined);
  const target = await identity(out);
  for (const source of sources)
    if (target !== undefined && target === (await identity(source)))
      throw new MediaError(`cannot write ${out}: that is the clip itself: choose another name.`);
  if (preset.extension !== undefined) {
    await checkOut(out);
    if (!replace && (await stat(out).catch(() => undefined))) throw taken(out);
    return;
  }
  const present = await stat(out).catch(() => undefined);
  if (present && !(present.isDirectory() && (await readdir(out)).length === 0))
    throw new MediaError(`cannot write ${out}: there is something of that name already: choose another folder.`);
}

/** Refuses a file that is not what the plan says. */
function verify(doing: string, { preset, film, width, height, rate, numFrames, seconds }: Plan, probed: Probed): void {
  const { makes } = preset;
  const wrong: string[] = [];
  if (probed.container !== makes.container || (makes.codecs && !makes.codecs.includes(probed.codec)))
    wrong.push(`${probed.codec} in ${probed.container}`);
  if (probed.width !== width || probed.height !== height) wrong.push(`${probed.width}x${probed.height} instead of ${width}x${height}`);
  if (makes.merges ? probed.frames > numFrames : probed.frames !== numFrames) wrong.push(`${probed.frames} frames instead of ${numFrames}`);
  const still = makes.container === 'png' || (makes.merges && probed.frames === 1); // a clip that does not move becomes a picture
  if (!still && Math.abs(probed.seconds - seconds) > Math.max((0.51 * rate[1]) / rate[0], 0.011))
    wrong.push(`${probed.seconds} s instead of ${seconds} s`);
  if (makes.bitDepth !== undefined && probed.bitDepth !== undefined && probed.bitDepth !== makes.bitDepth)
    wrong.push(`${probed.bitDepth} bits a colour`);
  const kept = preset.pixels === 'kept';
  if (kept || preset.pixels.startsWith('yuv')) {
    const { primaries, transfer, matrix, fullRange } = probed.colour ?? {};
    const wanted = kept && film.colours === 'rgb' ? ['gbr', true] : ['bt709', false];
    if (primaries !== 'bt709' || transfer !== 'bt709' || matrix !== wanted[0] || fullRange !== wanted[1]) wrong.push('no bt709 tags');
    if (probed.streamColour && (probed.streamColour.matrix !== wanted[0] || probed.streamColour.fullRange !== wanted[1]))
      // VP9 says no more than that
      wrong.push('no bt709 tags in its stream');
  }
  if ((makes.container === 'mp4' || makes.container === 'mov') && !probed.moovFirst) wrong.push('its index at the end');
  if (wrong.length > 0) throw new MediaError(`${doing}: ffmpeg wrote ${wrong.join(', ')}: try another ffmpeg, or another preset.`);
}

/** Probes what was made. Older builds of ffmpeg pass over a full disk in silence: then that is the reason. */
async function inspect(doing: string, plan: Plan, finished: string, folder: string): Promise<Probed> {
  try {
    const probed = await probe(finished).catch((error: unknown) => {
      const why = error instanceof Error ? error.message.replaceAll(finished, 'it').replace(/\.$/, '') : String(error);
      throw new MediaError(`${doing}: what ffmpeg wrote is not whole (${why}): try again.`, { cause: error });
    });
    verify(doing, plan, probed);
    return probed;
  } catch (error) {
    if ((await freeBytes(folder)) > 1 << 16) throw error;
    throw fileError(doing, Object.assign(new Error('ENOSPC', { cause: error }), { code: 'ENOSPC' }));
  }
}

/** Fsyncs a file, or a folder's files and itself; bytes of all. */
async function settle(name: string): Promise<number> {
  if ((await stat(name)).isDirectory()) {
    let bytes = 0;
    for (const file of await readdir(name)) bytes += await settle(path.join(name, file));
    await syncFolder(name);
    return bytes;
  }
  const handle = await open(name, 'r+');
  try {
    await handle.sync();
    return (await handle.stat()).size;
  } finally {
    await handle.close();
  }
}

/** What an order comes to: the plan, and all that its commands are made of. */
interface Prepared {
  readonly ffmpeg: Ffmpeg;
  readonly out: string;
  readonly plan: Plan;
  readonly inputs: readonly Input[];
  /** The graph that ends in `[in]`. */
  readonly assembled: string;
  /** Files that are read: absolute. */
  readonly sources: readonly string[];
  readonly frames: FilmFrames | undefined;
  readonly request: Request | undefined;
  /** What the request takes of a limited file: bytes. */
  readonly reserve: number;
}

/** Whether ffmpeg writes the request, as a tag; the system takes no longer argument than 128 KiB (Linux). */
const asTag = ({ makes }: Preset): boolean => makes.container === 'matroska' || makes.container === 'webm';
const longestTag = 100_000;

/** The one file whose frames are numbered, `[in]`. */
const single = (film: Film): string => `[0:v:0]${exactly(film.rate, film.numFrames)}[in]`;
/** Frames come once, and two passes look twice: they are written down first, without loss. */
const spooling = (input: Input, to: string): readonly string[] =>
  // prettier-ignore
  [...quiet, ...input.arguments, '-c:v', 'ffv1', '-level', '3', '-pix_fmt', 'bgr0', '-f', 'matroska', '-y', `file:${to}`];
/** Whether the preset looks at frames twice that come but once. */
const needsSpool = ({ frames, plan }: Prepared): boolean => frames !== undefined && plan.preset.megabytes !== undefined;
/** What lies beside the target under its name. */
const beside = (out: string, ending: string): string => path.join(path.dirname(out), `${path.basename(out, path.extname(out))}.${ending}`);
/** For containers whose comment ffmpeg writes. */
const commentOf = ({ plan, request }: Prepared): string | undefined => (request && asTag(plan.preset) ? requestText(request) : undefined);

/** The command of an order, for a POSIX shell. */
function commandOf(prepared: Prepared): string {
  const { ffmpeg, out, plan } = prepared;
  let { inputs, assembled } = prepared;
  const lines: (readonly string[])[] = [];
  if (needsSpool(prepared)) {
    const spool = beside(out, 'frames.mkv');
    lines.push(spooling(inputs[0]!, spool));
    [inputs, assembled] = [[fileInput(spool, plan.film)], single(plan.film)];
  }
  const paths = { out, log: beside(out, 'passes'), poster: plan.poster === undefined ? undefined : beside(out, 'poster.png') };
  return shown(ffmpeg, [...lines, ...commands({ plan, inputs, assembled, comment: commentOf(prepared) }, paths)]);
}

/** Makes it. */
async function produce(prepared: Prepared, { signal, on, onEncoder, replace = true }: Order): Promise<Exported> {
  const { ffmpeg, out, request, sources, reserve } = prepared;
  let { plan } = prepared;
  const { preset, film } = plan;
  const doing = `cannot write ${out}`;
  const folder = path.dirname(out);
  const makesFolder = preset.extension === undefined;
  await checkTarget(preset, out, sources, replace);
  const posterOut = plan.poster === undefined ? undefined : beside(out, 'poster.png');
  if (posterOut !== undefined) {
    await checkOut(posterOut);
    if (!replace && (await stat(posterOut).catch(() => undefined))) throw taken(posterOut);
  }
  await sweepParts(out);
  const comment = commentOf(prepared);
  const work = reservePart(out);
  try {
    await mkdir(work);
    let { inputs, assembled, frames } = prepared;
    const first = needsSpool(prepared) ? 2 : 1;
    const passes = first - 1 + (preset.megabytes === undefined ? 1 : 2);
    const report = (pass: number, n: number, of: number): void => {
      const count = Math.min(n, of);
      on?.({ part: Math.min((pass - 1 + count / of) / passes, 1), pass, passes, frames: count, numFrames: of });
    };
    const run = (args: readonly string[], pass: number, of: number) =>
      drive(ffmpeg, args, { doing, sources, frames, signal, onEncoder, onFrame: n => report(pass, n, of) });
    if (first > 1) {
      const spool = path.join(work, 'frames.mkv');
      await run(spooling(inputs[0]!, spool), 1, film.numFrames);
      [inputs, assembled, frames] = [[fileInput(spool, film)], single(film), undefined];
    }
    const paths = {
      out: path.join(work, makesFolder ? 'frames' : `out.${preset.extension}`),
      log: path.join(work, 'passes'),
      poster: posterOut && path.join(work, 'poster.png'),
    };
    if (makesFolder) await mkdir(paths.out);
    let finished = paths.out;
    for (let attempt = 1; ; attempt++) {
      const lines = commands({ plan, inputs, assembled, comment }, paths);
      for (const [i, args] of lines.entries()) await run(args, first + i, plan.numFrames);
      if (preset.makes.container === 'mp4' || preset.makes.container === 'mov') finished = await remember(paths.out, request, work);
      const limit = (preset.megabytes ?? Infinity) * 1e6;
      const { size } = await stat(finished);
      if (size <= limit) break;
      if (attempt === 4) throw new MediaError(`${doing}: it does not fit into ${preset.megabytes!} MB: trim it, or choose a larger limit.`);
      // x264 misses its mark on a short film
      plan = { ...plan, bitRate: Math.floor(plan.bitRate * Math.min((0.97 * (limit - reserve)) / size, 0.9)) };
    }
    signal?.throwIfAborted();
    const probed = await inspect(doing, plan, finished, folder);
    if (makesFolder) {
      const about = { rate: plan.rate, width: plan.width, height: plan.height, frames: plan.numFrames, ...(request && { request }) };
      await writeFile(path.join(finished, 'frames.json'), `${JSON.stringify(about, undefined, 2)}\n`);
    }
    const bytes = await settle(finished);
    if (paths.poster !== undefined) await settle(paths.poster);
    signal?.throwIfAborted();
    if (makesFolder) {
      await rmdir(out).catch(() => undefined); // an empty one, or none
      await rename(finished, out);
    } else await appear(finished, out, replace);
    if (posterOut !== undefined)
      await appear(paths.poster!, posterOut, replace).catch(async (error: unknown) => {
        if (!replace) await rm(out, { recursive: true, force: true }); // nothing was there before
        throw error;
      });
    await syncFolder(folder);
    report(passes, plan.numFrames, plan.numFrames);
    return { out, poster: posterOut, probed, bytes, plan, command: commandOf({ ...prepared, plan }) };
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw error instanceof MediaError || typeof (error as NodeJS.ErrnoException | undefined)?.errno !== 'number' // whatever else the frames' maker says is its own
      ? error
      : fileError(doing, error);
  } finally {
    await removePart(work);
  }
}

/** Puts the request into an MP4 or MOV that ffmpeg has written; which file it is then in. */
async function remember(file: string, request: Request | undefined, work: string): Promise<string> {
  if (!request) return file;
  const to = path.join(work, `remembering${path.extname(file)}`);
  const handle = await open(to, 'w');
  try {
    await embedRequest(file, handle, request);
  } finally {
    await handle.close();
  }
  return to;
}

/** What is exported: one film, or several one after the other. */
type Subject = { readonly source: FilmFile | FilmFrames } | { readonly files: readonly FilmFile[]; readonly joint: Joint };

/** Opens what is to be exported and works out what it comes to; nothing is written. */
async function prepare(order: Order & Subject): Promise<Prepared> {
  order.signal?.throwIfAborted();
  const preset = typeof order.preset === 'string' ? presetOf(order.preset) : order.preset;
  const ffmpeg = order.ffmpeg ?? (await findFfmpeg(process.env, order.signal));
  const lacking = unavailable(preset, ffmpeg);
  if (lacking !== undefined) throw new MediaError(lacking);
  const { options = {}, out } = order;
  const { film, own, ...rest } =
    'files' in order ? await openFiles(ffmpeg, order, `cannot write ${out}`) : await openSource(ffmpeg, order.source);
  const request = options.forget ? undefined : (order.request ?? own);
  const reserve = request ? 4 * Buffer.byteLength(JSON.stringify(request)) + 4096 : 0; // twice, and escaped for XML
  const plan = planExport(preset, film, options, ffmpeg, reserve);
  if (request && asTag(preset) && Buffer.byteLength(requestText(request)) > longestTag) {
    const notes = [...plan.notes, 'What made it is too long to be remembered in a file of this kind.'];
    return { ffmpeg, out, plan: { ...plan, notes }, request: undefined, reserve, ...rest };
  }
  return { ffmpeg, out, plan, request, reserve, ...rest };
}

type Opened = Pick<Prepared, 'inputs' | 'assembled' | 'sources' | 'frames'> & { readonly film: Film; readonly own: Request | undefined };

async function openSource(ffmpeg: Ffmpeg, source: FilmFile | FilmFrames): Promise<Opened> {
  if ('file' in source) {
    const { input, file } = await openFile(ffmpeg, source);
    const own = await readRequest(file).catch(() => undefined); // what cannot be read is not passed on
    return { inputs: [input], assembled: single(input.film), sources: [file], frames: undefined, film: input.film, own };
  }
  const { width, height, rate, numFrames } = source;
  const film: Film = { width, height, rate, numFrames, colours: 'rgb', compressed: false };
  return { inputs: [framesInput(film)], assembled: `[0:v:0]${numbered(rate)}[in]`, sources: [], frames: source, film, own: undefined };
}

async function openFiles(ffmpeg: Ffmpeg, { files, joint }: { files: readonly FilmFile[]; joint: Joint }, doing: string): Promise<Opened> {
  if (files.length < 2 || files.length > 100) throw new MediaError(`${doing}: ${files.length} clips are not between 2 and 100.`);
  const opened: Awaited<ReturnType<typeof openFile>>[] = [];
  for (const file of files) opened.push(await openFile(ffmpeg, file));
  const inputs = opened.map(({ input }) => input);
  const { width, height, rate } = inputs[0]!.film;
  const fade = joint === 'cut' ? 0 : Math.round((joint.crossfade * rate[0]) / rate[1]);
  if (joint !== 'cut' && !(fade >= 1 && joint.crossfade <= 10))
    throw new MediaError(`${doing}: a crossfade of ${joint.crossfade} s is not between one frame and 10 s.`);
  const counts = inputs.map(({ film }) => framesAt(rate, film));
  for (const [i, n] of counts.entries())
    if (n <= fade * (i === 0 || i === counts.length - 1 ? 1 : 2))
      throw new MediaError(
        `${doing}: ${opened[i]!.file} has ${n} frames, too few for crossfades of ${fade}: choose a shorter one, or a cut.`,
      );
  const numFrames = counts.reduce((sum, n) => sum + n, 0) - fade * (counts.length - 1);
  const film: Film = { width, height, rate, numFrames, colours: { matrix: 'bt709', fullRange: false }, compressed: true };
  const eight = opened.every(({ probed }) => (probed.bitDepth ?? 8) === 8) && width % 2 === 0 && height % 2 === 0;
  const assembled = joinGraph(inputs, fade, eight ? 'yuv420p' : 'yuv444p10le');
  return { inputs, assembled, sources: opened.map(({ file }) => file), frames: undefined, film, own: undefined };
}

/**
 * Says what an export would be, without making it: for a window's preview of crop and notes, and for the command to copy. Frames are not asked for,
 * and a relative `out` stays one in the command.
 * @throws {MediaError} where it could not be made
 */
export async function describeExport(order: Order & Subject): Promise<{ plan: Plan; command: string }> {
  const prepared = await prepare(order);
  return { plan: prepared.plan, command: commandOf(prepared) };
}

/**
 * Exports a clip, from its file or from frames (decoded again from kept latents, for masters). The file is probed before it is given its name.
 * @throws {MediaError} one sentence, with nothing left behind and an earlier `out` untouched
 * @throws the signal's reason when aborted, with the same care
 */
export async function exportVideo(order: Order & { readonly source: FilmFile | FilmFrames }): Promise<Exported> {
  return produce(await prepare({ ...order, out: path.resolve(order.out) }), order);
}

/**
 * Joins clips, in order, and exports the whole: all in the size and at the rate of the first, others fitted into it on black. What each was
 * made from does not go along, unless `request` says something of the whole.
 * @param order `joint`: a cut, or a crossfade of so many seconds, of which each clip must have more than it gives away
 * @throws {MediaError} as exportVideo
 */
export async function joinVideos(order: Order & { readonly files: readonly FilmFile[]; readonly joint: Joint }): Promise<Exported> {
  return produce(await prepare({ ...order, out: path.resolve(order.out) }), order);
}
