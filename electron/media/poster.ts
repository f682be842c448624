/** @file What a gallery shows of a finished clip, and the proof that it is one. */
import path from 'node:path';
import { MediaError } from './error.ts';
import { ffmpegFailure, quiet, readFrames, startFfmpeg, type Ffmpeg } from './ffmpeg.ts';
import { readClip, type Clip } from './metadata.ts';
import { filmStrip, previewJpeg } from './photo.ts';

/** The poster's pixels (as bytes of RGBA half a megabyte: above that Chromium decodes a picture twice, which walls of them pay for), the strip's height, and its most frames. */
const [posterPixels, stripHeight, stripFrames] = [2 ** 17, 192, 16];
/** Most bytes of frames that are held at once; a long clip's are decoded smaller. */
const frameBytes = 256 << 20;
/** How long ffmpeg may take: ms. */
const patience = 300_000;

/**
 * The pictures of a clip of ours.
 * @param clip its size in pixels and how many frames it has
 * @returns `poster`: a JPEG of the middle frame, of 131,072 pixels at most (443 by 295, 482 by 271); `sprite`: a JPEG of up to 16 frames from the first to the last, evenly
 * spaced, in one row of `columns` cells, 192 pixels high at most
 * @throws {MediaError} where the clip cannot be decoded or has fewer frames
 */
export async function clipPictures(
  ffmpeg: Ffmpeg,
  file: string,
  clip: { width: number; height: number; numFrames: number },
): Promise<{ poster: Uint8Array; sprite: Uint8Array; columns: number }> {
  const { width, height, numFrames } = clip;
  const scale = Math.min(Math.sqrt(posterPixels / (width * height)), Math.sqrt(frameBytes / (3 * width * height * numFrames)), 1);
  const size = { width: Math.max(Math.floor(width * scale), 1), height: Math.max(Math.floor(height * scale), 1) };
  const frames = await readFrames(ffmpeg, file, { ...size, frames: numFrames, ours: true });
  if (frames.length < numFrames || numFrames < 1)
    throw new MediaError(`${file} has ${frames.length} frames where ${numFrames} were expected: it is damaged, make it again.`);
  const columns = Math.min(stripFrames, numFrames);
  const shown = Array.from({ length: columns }, (_, i) => frames[columns === 1 ? 0 : Math.round((i * (numFrames - 1)) / (columns - 1))]!);
  return {
    poster: await previewJpeg(frames[numFrames >> 1]!, size.width, size.height, Math.max(size.width, size.height)),
    sprite: await filmStrip(shown, size, stripHeight),
    columns,
  };
}

/**
 * One frame of a clip of ours, pixel by pixel as it is decoded.
 * @param file an MP4
 * @param frame 0 is the first
 * @returns a PNG in sRGB
 * @throws {MediaError} where the clip has no such frame or cannot be decoded; the signal's reason where it was told to stop
 */
export async function clipFrame(ffmpeg: Ffmpeg, file: string, frame: number, signal?: AbortSignal): Promise<Uint8Array> {
  const shown = 'scale=in_color_matrix=bt709:in_range=tv:out_range=pc:flags=bicubic+accurate_rnd+full_chroma_int+bitexact,format=rgb24';
  // prettier-ignore
  const { child, ended } = startFfmpeg(ffmpeg, [
    ...quiet, '-protocol_whitelist', 'file', '-format_whitelist', 'mov,mp4,m4a,3gp,3g2,mj2', '-i', `file:${path.resolve(file)}`,
    '-map', '0:v:0', '-an', '-sn', '-dn', '-vf', `select='eq(n,${frame})',${shown},setparams=range=pc:color_primaries=bt709:color_trc=iec61966-2-1`,
    '-frames:v', '1', '-c:v', 'png', '-fflags', '+bitexact', '-flags:v', '+bitexact', '-f', 'image2pipe', 'pipe:1',
  ], { stdin: 'ignore', stdout: 'pipe' });
  const kill = () => child.kill('SIGKILL');
  const limit = setTimeout(kill, patience);
  signal?.addEventListener('abort', kill, { once: true });
  const parts: Buffer[] = [];
  child.stdout?.on('data', (part: Buffer) => parts.push(part));
  const end = await ended;
  clearTimeout(limit);
  signal?.removeEventListener('abort', kill);
  signal?.throwIfAborted();
  if (end.code !== 0) throw ffmpegFailure(`cannot decode ${file}`, end);
  if (parts.length === 0) throw new MediaError(`${path.basename(file)} has no frame ${frame}: it is damaged, make it again.`);
  return Buffer.concat(parts);
}

/**
 * Proves that a clip is whole: its boxes are read, and every frame is decoded and counted. Nothing is scaled, converted or kept, so it takes
 * what decoding takes. A frame that does not decode fails it, but H.264 has no checksums: most lost blocks are noticed, not all, and who wants
 * to know whether a file is still the same compares hashes.
 * @returns what its boxes say
 * @throws {MediaError} where the file is cut off or damaged, or its frames are not those its boxes promise
 */
export async function probeClip(ffmpeg: Ffmpeg, file: string): Promise<Clip> {
  const clip = await readClip(file);
  // prettier-ignore
  const { child, ended } = startFfmpeg(ffmpeg, [
    '-nostdin', '-hide_banner', '-loglevel', 'error', '-xerror', '-err_detect', 'explode',
    '-protocol_whitelist', 'file', '-format_whitelist', 'mov,mp4,m4a,3gp,3g2,mj2', '-i', `file:${path.resolve(file)}`,
    '-map', '0:v:0', '-an', '-sn', '-dn', '-f', 'framecrc', 'pipe:1',
  ], { stdin: 'ignore', stdout: 'pipe' });
  const limit = setTimeout(() => child.kill('SIGKILL'), patience);
  let frames = 0;
  let line = '';
  child.stdout?.setEncoding('latin1').on('data', (text: string) => {
    const lines = (line + text).split('\n');
    line = lines.pop()!.slice(0, 1000);
    frames += lines.filter(each => /^\d/.test(each)).length; // the others are a header
  });
  const end = await ended;
  clearTimeout(limit);
  const broken = /^\[h264 @ \w+\] (.{1,200})/m.exec(end.stderr)?.[1]; // the decoder's own complaint, also where ffmpeg makes nothing of it
  if (broken !== undefined) throw new MediaError(`${file} is damaged, a frame does not decode (${broken}): make it again.`);
  if (end.code !== 0) throw ffmpegFailure(`cannot decode ${file}`, end);
  if (frames !== clip.frames)
    throw new MediaError(`${file} decodes to ${frames} frames where its boxes say ${clip.frames}: it is damaged, make it again.`);
  return clip;
}
