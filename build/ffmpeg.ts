/**
 * @file The ffmpeg that goes into a package, with its licence and where its source is: FFMPEG_BIN, else the one that `ffmpeg-static` has downloaded.
 *
 * It is for the machine that the package is for, so it is never run here.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { binaryOf, headLength, type Binary } from './binaries.ts';

/** What is packed, by where it lies. */
export interface PackedFfmpeg {
  readonly program: string;
  /** The text of the licence that it is given away under. */
  readonly licence: string;
  /** A text that says where the source of this build is to be had, as its licence asks. */
  readonly source: string;
  /** What its makers say of it (which version, built with what), where they do. */
  readonly notes: string | undefined;
  readonly binary: Binary;
}

/** Why there is nothing to pack, as one sentence that says what to do. */
export class FfmpegMissing extends Error {
  override name = 'FfmpegMissing';
}

const staticPackage = path.join(import.meta.dirname, '..', 'node_modules', 'ffmpeg-static');
const staticSource = path.join(import.meta.dirname, 'ffmpeg-static.SOURCE.txt');
/** An ffmpeg that needs libraries of the machine that it was built on names them. */
const shared = /\b(?:libavcodec\.so|libavcodec\.\d+\.dylib|avcodec-\d+\.dll)/;

function isFile(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** The file beside a program that is named after it, or as such texts are. */
function beside(program: string, suffix: string, names: RegExp): string | undefined {
  if (isFile(program + suffix)) return program + suffix;
  const folder = path.dirname(program);
  const name = readdirSync(folder).find(name => names.test(name) && isFile(path.join(folder, name)));
  return name === undefined ? undefined : path.join(folder, name);
}

/**
 * Finds the ffmpeg to pack.
 * @param env where FFMPEG_BIN, FFMPEG_LICENSE and FFMPEG_SOURCE are read
 * @param folder of the package `ffmpeg-static`
 * @throws FfmpegMissing if there is none, it is not a program, needs libraries that are not packed, or has no licence or source with it
 */
export function findFfmpeg(env: Readonly<Record<string, string | undefined>> = process.env, folder = staticPackage): PackedFfmpeg {
  const named = env['FFMPEG_BIN'];
  const program = named ? path.resolve(named) : ['ffmpeg', 'ffmpeg.exe'].map(name => path.join(folder, name)).find(isFile);
  if (program === undefined)
    throw new FfmpegMissing('There is no ffmpeg to pack: name a static build in FFMPEG_BIN, or run `npm rebuild ffmpeg-static`.');
  if (!isFile(program)) throw new FfmpegMissing(`FFMPEG_BIN names ${program}, where there is no file: name a static build of ffmpeg.`);
  const bytes = readFileSync(program);
  const binary = binaryOf(bytes.subarray(0, headLength));
  if (!binary) throw new FfmpegMissing(`${program} is not a program: name a static build of ffmpeg in FFMPEG_BIN.`);
  const needs = shared.exec(bytes.toString('latin1'))?.[0];
  if (needs !== undefined)
    throw new FfmpegMissing(`${program} needs ${needs}, which would not be in the package: name a static build in FFMPEG_BIN.`);
  const given = env['FFMPEG_LICENSE'];
  const licence = given ? path.resolve(given) : beside(program, '.LICENSE', /^(?:LICEN[CS]E|COPYING|GPL)/i);
  if (licence === undefined || !isFile(licence))
    throw new FfmpegMissing(
      given
        ? `FFMPEG_LICENSE names ${licence!}, where there is no file: name the text of ffmpeg's licence.`
        : `There is no licence beside ${program}, and ffmpeg may not be given away without: name its text in FFMPEG_LICENSE.`,
    );
  const said = env['FFMPEG_SOURCE'];
  const source = said ? path.resolve(said) : (beside(program, '.SOURCE', /^SOURCE\.txt$/i) ?? (named ? undefined : staticSource));
  if (source === undefined || !isFile(source))
    throw new FfmpegMissing(
      said
        ? `FFMPEG_SOURCE names ${source!}, where there is no file: name a text that says where the source of this ffmpeg is.`
        : `Nothing says where the source of ${program} is, and ffmpeg may not be given away without: name a text that does in FFMPEG_SOURCE.`,
    );
  return { program, licence, source, notes: beside(program, '.README', /^readme\.txt$/i), binary };
}
