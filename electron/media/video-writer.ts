/**
 * @file Frames in, a whole MP4 out, or nothing.
 *
 * Two part files lie beside the clip: ffmpeg fills the first; the second is it with the request embedded. The second is read back, fsynced and
 * renamed over `out`, then the folder is fsynced: whoever sees `out` sees a whole clip, also after a power cut. Failure and abort remove both;
 * after a kill -9 the next run's `sweepParts` does.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { MediaError, fileError } from './error.ts';
import { encodeArguments, ffmpegFailure, findFfmpeg, startFfmpeg, type Ffmpeg, type Running } from './ffmpeg.ts';
import { syncFolder } from './files.ts';
import { embedRequest, readClip, type Clip, type Request } from './metadata.ts';

/** A clip to be written. */
export interface VideoOrder {
  /** The file to appear; an earlier one of that name is replaced when, and only when, the new one is whole. */
  readonly out: string;
  /** pixels, even */
  readonly width: number;
  /** pixels, even */
  readonly height: number;
  /** frames per second */
  readonly fps: number;
  /** RGB24 frames, [H, W, 3] each; asked for one at a time, as fast as ffmpeg takes them. */
  readonly frames: AsyncIterable<Uint8Array>;
  /** What is embedded: see metadata.ts. */
  readonly request: Request;
  /** Called after each frame that ffmpeg has been given, with how many it has been given so far. */
  readonly onFrame?: (frames: number) => void;
  /** Called with the id of the process that encodes, and with 0 when it has gone. */
  readonly onEncoder?: (pid: number) => void;
  /** Abort kills ffmpeg and leaves nothing. */
  readonly signal?: AbortSignal | undefined;
  /** The ffmpeg to use; found anew where absent. */
  readonly ffmpeg?: Ffmpeg | undefined;
}

/** How long ffmpeg may take no frame, or not end after the last one, before it is taken for stuck: ms. */
const patience = 120_000;

/** When a process started, as Linux counts it, so that a process id that has been given away again is not taken for the writer's; '0' elsewhere. */
function startOf(pid: number): string | undefined {
  if (process.platform === 'linux') {
    try {
      const text = readFileSync(`/proc/${pid}/stat`, 'latin1'); // the name in brackets may hold spaces and brackets
      const [state, ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ');
      return state === 'Z' || state === 'X' ? undefined : fields[18];
    } catch {
      return undefined;
    }
  }
  try {
    process.kill(pid, 0);
    return '0';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? '0' : undefined;
  }
}

/** Ends what a killed owner's ffmpeg still writes: processes that name this part, which is nobody else's. Linux tells; elsewhere they run to their end. */
function endWriters(part: string): void {
  if (process.platform !== 'linux') return;
  for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name)))
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').some(word => word.startsWith(`file:${part}`))) process.kill(Number(pid), 'SIGKILL'); // prettier-ignore
    } catch {
      // it has gone, or is another user's
    }
}

/** Part files this process is writing now. */
const live = new Set<string>();
let serial = 0;

/** What every part file of `out` begins with; a long name is hashed, so that the part's name stays within 255 bytes. */
function partPrefix(out: string): string {
  const base = path.basename(out);
  return `.${Buffer.byteLength(base) <= 150 ? base : createHash('sha256').update(base).digest('hex').slice(0, 32)}.`;
}

/**
 * Removes the part files that killed runs left of this clip: those whose writer has gone. Parts being written, by whomever, stay.
 * @param out the clip's path
 * @returns the base names removed
 */
export async function sweepParts(out: string): Promise<string[]> {
  const folder = path.dirname(path.resolve(out));
  const prefix = partPrefix(out);
  const removed: string[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.startsWith(prefix)) continue;
    const writer = /^(\d+)-(\d+)-\d+\.part$/.exec(name.slice(prefix.length));
    const part = path.join(folder, name);
    if (!writer || live.has(part)) continue;
    if (Number(writer[1]) !== process.pid && startOf(Number(writer[1])) === writer[2]) continue;
    endWriters(part);
    // where that cannot be done, an ffmpeg that outlived its owner may still be putting pictures there
    await rm(part, { recursive: true, maxRetries: 5 }).then(
      () => removed.push(name),
      () => undefined,
    );
  }
  return removed;
}

/**
 * A new name beside `out` for a file or folder that is not finished: `removePart` ends it, and after a kill `sweepParts` does.
 * @param out absolute path
 */
export function reservePart(out: string): string {
  const part = path.join(path.dirname(out), `${partPrefix(out)}${process.pid}-${startOf(process.pid) ?? '0'}-${++serial}.part`);
  live.add(part);
  return part;
}

/** Creates a new, empty part file beside `out`. */
async function createPart(out: string): Promise<{ part: string; file: FileHandle }> {
  const part = reservePart(out);
  try {
    return { part, file: await open(part, 'wx') };
  } catch (error) {
    live.delete(part);
    throw fileError(`cannot write ${out}`, error);
  }
}

/** Removes what lies under a reserved name, also a folder with all in it. */
export async function removePart(part: string): Promise<void> {
  await rm(part, { recursive: true, force: true }).catch(() => undefined); // gone already, or the disk is: either way there is no more to do
  live.delete(part);
}

/**
 * Checks, before hours of work, that a clip could be written: the folder is there and takes a new file, and `out` is not a folder itself.
 * @throws {MediaError} one sentence saying why not
 */
export async function checkOut(out: string): Promise<void> {
  const target = path.resolve(out);
  const present = await stat(target).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileError(`cannot write ${target}`, error);
  });
  if (present && !present.isFile())
    throw new MediaError(`cannot write ${target}: that is ${present.isDirectory() ? 'a folder' : 'not a file'}: name a file.`);
  const { part, file } = await createPart(target);
  await file.close();
  await removePart(part);
}

/** Feeds the frames to ffmpeg; how many there were. Stops with the first of: the end, an abort, ffmpeg's end, a frame that fails. */
async function feed(order: VideoOrder, { child, ended }: Running, aborted: Promise<never>): Promise<number> {
  const doing = `cannot write ${path.resolve(order.out)}`;
  const stdin = child.stdin;
  if (!stdin) throw ffmpegFailure(doing, await ended);
  stdin.on('error', () => undefined); // EPIPE where ffmpeg has gone: its end says more
  let stuck: NodeJS.Timeout | undefined;
  const gone = ended.then((end): never => {
    throw ffmpegFailure(doing, end);
  });
  gone.catch(() => undefined);
  /** Waits for something of ffmpeg's, and kills it where that takes too long. */
  const within = async <T>(waiting: Promise<T>): Promise<T> => {
    const late = new Promise<never>((_, reject) => {
      stuck = setTimeout(
        () => reject(new MediaError(`${doing}: ffmpeg has stood still for ${patience / 1000} s: run it again.`, { reason: 'encoderDied' })),
        patience,
      );
    });
    try {
      return await Promise.race([waiting, late, aborted]);
    } finally {
      clearTimeout(stuck);
    }
  };
  const frames = order.frames[Symbol.asyncIterator]();
  const size = order.width * order.height * 3;
  let count = 0;
  let ending = false;
  try {
    for (;;) {
      const next = await Promise.race([frames.next(), gone, aborted]);
      if (next.done) {
        ending = true;
        break;
      }
      if (next.value.length !== size)
        throw new MediaError(`${doing}: frame ${count} has ${next.value.length} bytes, a ${order.width}x${order.height} one has ${size}.`);
      if (!stdin.write(next.value)) await within(Promise.race([new Promise(resolve => stdin.once('drain', resolve)), gone]));
      count++;
      order.onFrame?.(count);
    }
  } finally {
    // The source may be in the middle of a long frame: it is told, and not waited for.
    if (!ending) void Promise.resolve(frames.return?.()).catch(() => undefined);
  }
  if (count === 0) throw new MediaError(`${doing}: there are no frames.`);
  stdin.end();
  const end = await within(ended);
  // On a full disk the builds of 2018 and 5.1 only say so, and exit with 0 (measured).
  if (end.code !== 0 || /Error (writing|closing)|av_interleaved_write_frame|No space left/.test(end.stderr))
    throw ffmpegFailure(doing, end);
  return count;
}

/** Refuses a clip whose boxes do not say what was asked for. */
function check(out: string, clip: Clip, order: VideoOrder, frames: number): void {
  const seconds = frames / order.fps;
  const said = `${clip.width}x${clip.height}, ${clip.frames} frames, ${clip.seconds.toFixed(3)} s, ${clip.codec}, profile ${clip.profile ?? 'unknown'}`;
  const right =
    clip.width === order.width &&
    clip.height === order.height &&
    clip.frames === frames &&
    Math.abs(clip.seconds - seconds) < 0.5 / order.fps + 0.002;
  const colour = clip.colour?.primaries === 1 && clip.colour.transfer === 1 && clip.colour.matrix === 1 && !clip.colour.fullRange;
  if (!right || clip.codec !== 'avc1' || clip.profile !== 100 || !colour || !clip.fastStart)
    throw new MediaError(
      `cannot write ${out}: ffmpeg wrote ${said}${colour ? '' : ', not tagged bt709'} where ${order.width}x${order.height}, ${frames} frames, ${seconds.toFixed(3)} s of H.264 High were asked for: try another ffmpeg.`,
    );
}

/**
 * Encodes frames to an H.264 MP4 that carries its request: High profile, yuv420p, CRF 17, bt709 limited range, moov first.
 * The same frames, rate and ffmpeg give the same pictures, bit for bit.
 * @returns what the finished file's own boxes say
 * @throws {MediaError} one sentence, with nothing left behind and an earlier `out` untouched
 * @throws the signal's reason when aborted, with the same care
 */
export async function writeVideo(order: VideoOrder): Promise<Clip> {
  const out = path.resolve(order.out);
  if (!(
    Number.isInteger(order.width) &&
    Number.isInteger(order.height) &&
    order.width > 0 &&
    order.height > 0 &&
    order.width % 2 === 0 &&
    order.height % 2 === 0
  ))
    throw new MediaError(`cannot write ${out}: ${order.width}x${order.height} is no even size.`);
  if (!(order.fps > 0 && order.fps <= 240))
    throw new MediaError(`cannot write ${out}: ${order.fps} frames per second is not between 0 and 240.`);
  order.signal?.throwIfAborted();
  const ffmpeg = order.ffmpeg ?? (await findFfmpeg());
  await sweepParts(out);
  await checkOut(out);

  let running: Running | undefined;
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => {
      running?.child.kill('SIGKILL');
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a signal's reason is whatever its owner chose
      reject(order.signal?.reason);
    };
    order.signal?.addEventListener('abort', stop, { once: true });
  });
  aborted.catch(() => undefined);
  const parts: string[] = [];
  const create = async (): Promise<{ part: string; file: FileHandle }> => {
    const made = await createPart(out);
    parts.push(made.part);
    return made;
  };
  try {
    const encoded = await create();
    await encoded.file.close();
    order.signal?.throwIfAborted();
    running = startFfmpeg(ffmpeg, encodeArguments({ ...order, out: encoded.part }), { stdin: 'pipe', stdout: 'ignore' });
    order.onEncoder?.(running.child.pid ?? 0);
    void running.ended.then(() => order.onEncoder?.(0));
    const frames = await feed(order, running, aborted);

    const { part, file } = await create();
    try {
      await embedRequest(encoded.part, file, order.request);
      await file.sync();
    } finally {
      await file.close();
    }
    const clip = await readClip(part);
    check(out, clip, order, frames);
    order.signal?.throwIfAborted();
    await rename(part, out);
    await syncFolder(path.dirname(out));
    return clip;
  } catch (error) {
    if (order.signal?.aborted) throw order.signal.reason;
    throw error instanceof MediaError || typeof (error as NodeJS.ErrnoException | undefined)?.errno !== 'number' // whatever else the frames' maker says is its own
      ? error
      : fileError(`cannot write ${out}`, error);
  } finally {
    if (stop) order.signal?.removeEventListener('abort', stop);
    if (running) {
      running.child.kill('SIGKILL'); // no effect where it has ended
      await running.ended;
    }
    for (const part of parts) await removePart(part);
    await sweepParts(out); // what an ffmpeg of a killed run, still ending as we began, may have left since
  }
}
