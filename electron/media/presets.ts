/**
 * @file What a clip can be exported as: one table row each, and the pure arithmetic of what a row makes of a given clip.
 *
 * A row knows its encoder, container, pixels and limits; nothing else in the code asks which preset it is. Colours are CONVERTED to bt709 and
 * tagged in container and bitstream: by options for the encoders that read them, and by `setparams` on the frames, which is where prores_ks and
 * ffmpeg's newer builds look. Sizes below `smallest` are those that players or encoders refuse: a smaller clip is scaled up by a whole factor.
 */
import { MediaError } from './error.ts';
import { advice, type Ffmpeg } from './ffmpeg.ts';

/** A rate or ratio: numerator and denominator, whole numbers above 0. */
export type Fraction = readonly [number, number];

export const presetIds = [
  'share',
  'chat10',
  'chat25',
  'chat50',
  'socialTall',
  'socialPortrait',
  'socialSquare',
  'highEfficiency',
  'archive',
  'editProres',
  'editDnxhr',
  'lossless',
  'webLoop',
  'webLoopMp4',
  'gif',
  'webp',
  'frames',
] as const;
export type PresetId = (typeof presetIds)[number];

/** An encoder of ffmpeg's; `since`: the year of the first ffmpeg whose build of it is fit for use. */
interface Encoder {
  readonly name: string;
  readonly since?: number;
}

/** What an encoder is told beside the pictures. */
interface Encoding {
  /** The encoder that was found. */
  readonly encoder: string;
  /** bits a second, where the row has a limit in bytes */
  readonly bitRate: number;
  /** Whether the source is RGB. */
  readonly rgb: boolean;
}

/** One way to export. */
export interface Preset {
  readonly id: PresetId;
  /** For a menu. */
  readonly name: string;
  /** One sentence for a creator: where it goes, and what to know. */
  readonly says: string;
  /** Of the file, without the dot; none where a folder of pictures is made. */
  readonly extension: 'mp4' | 'mov' | 'mkv' | 'webm' | 'gif' | 'webp' | undefined;
  /** Any one of them is needed, the first is preferred. */
  readonly encoders: readonly Encoder[];
  /** What the file is to be found to be (see probe.ts): `codecs` none where the container says it all; `merges`: equal frames may come out as one, longer. */
  readonly makes: {
    readonly container: 'mp4' | 'mov' | 'matroska' | 'webm' | 'gif' | 'webp' | 'png';
    readonly codecs?: readonly string[];
    readonly bitDepth?: number;
    readonly merges?: true;
  };
  /** Pixel formats: a name of ffmpeg's, or `kept` for those of the source. */
  readonly pixels: 'yuv420p' | 'yuv420p10le' | 'yuv422p10le' | 'rgb24' | 'bgra' | 'kept';
  /** The smallest picture in pixels, and why. */
  readonly smallest: { readonly width: number; readonly height: number; readonly why: string };
  /** The shape of the picture, width to height: reached by crop or pad. */
  readonly aspect?: Fraction;
  /** Frames per second: below `least` frames are repeated, above `most` left out. */
  readonly rate?: { readonly least?: number; readonly most?: number };
  /** Shorter clips are played again up to this: s. */
  readonly leastSeconds?: number;
  /** The file is at most so large, by two passes: 10^6 bytes. */
  readonly megabytes?: number;
  /** Worth decoding the kept latents again: a compressed clip as the source is said. */
  readonly master?: true;
  /** A preset that belongs with it: both are offered as one. */
  readonly partner?: PresetId;
  /** The encoder's arguments, and the container's. */
  readonly encode: (encoding: Encoding) => readonly string[];
  readonly container: readonly string[];
  /** Filters after the conversion, from one unnamed input to one unnamed output. */
  readonly finish?: string;
}

const tags = ['-color_range', 'tv', '-color_primaries', 'bt709', '-color_trc', 'bt709', '-colorspace', 'bt709'];
const mp4 = ['-movflags', '+faststart+write_colr', '-f', 'mp4'];
const mov = ['-movflags', '+faststart+write_colr', '-f', 'mov'];
/** H.264 High; x264 is told the colours itself, since the generic options leave some of them out in some builds. */
const h264 = (...quality: string[]): readonly string[] => [
  ...['-c:v', 'libx264', '-preset', 'medium', '-profile:v', 'high', ...quality, '-pix_fmt', 'yuv420p', '-threads', '4', ...tags],
  ...['-x264-params', 'colorprim=bt709:transfer=bt709:colormatrix=bt709'],
];
const x264: readonly Encoder[] = [{ name: 'libx264' }];
const inMp4 = { container: 'mp4', codecs: ['avc1'], bitDepth: 8 } as const;
/** H.264 has no least size; Windows' own decoder has. */
const windows = { width: 48, height: 48, why: 'the players of Windows open no smaller H.264' } as const;
const nothing = { width: 16, height: 16, why: 'nobody sees less' } as const;
const tall = { width: 720, height: 720, why: 'networks blur what is smaller' } as const;

const chat = (megabytes: 10 | 25 | 50): Preset => ({
  id: `chat${megabytes}`,
  name: `Small for chat (${megabytes} MB)`,
  says: `An MP4 of at most ${megabytes} MB, as good as that allows, for messages and mail.`,
  extension: 'mp4',
  encoders: x264,
  makes: inMp4,
  pixels: 'yuv420p',
  smallest: windows,
  megabytes,
  encode: ({ bitRate }) => h264('-b:v', String(bitRate)),
  container: mp4,
});

const social = (id: PresetId, name: string, says: string, aspect: Fraction): Preset => ({
  id,
  name,
  says: `${says} At least 720 pixels wide, 30 frames a second by repeated frames, at least 3 seconds by playing it again.`,
  extension: 'mp4',
  encoders: x264,
  makes: inMp4,
  pixels: 'yuv420p',
  smallest: tall,
  aspect,
  rate: { least: 30, most: 60 },
  leastSeconds: 3,
  encode: () => h264('-crf', '18'),
  container: mp4,
});

const rows: Readonly<Record<PresetId, Preset>> = {
  share: {
    id: 'share',
    name: 'Share (MP4)',
    says: 'Plays everywhere: on phones, in browsers, in every editor.',
    extension: 'mp4',
    encoders: x264,
    makes: inMp4,
    pixels: 'yuv420p',
    smallest: windows,
    encode: () => h264('-crf', '17'),
    container: mp4,
  },
  chat10: chat(10),
  chat25: chat(25),
  chat50: chat(50),
  socialTall: social('socialTall', 'Social, tall (9:16)', 'For Reels, Shorts and TikTok.', [9, 16]),
  socialPortrait: social('socialPortrait', 'Social, portrait (4:5)', 'For feeds that are scrolled.', [4, 5]),
  socialSquare: social('socialSquare', 'Social, square (1:1)', 'For feeds and profiles.', [1, 1]),
  highEfficiency: {
    id: 'highEfficiency',
    name: 'High efficiency (H.265)',
    says: 'About half the size of Share in ten bits; opens on Apple devices and newer players.',
    extension: 'mp4',
    encoders: [{ name: 'libx265' }],
    makes: { container: 'mp4', codecs: ['hvc1'], bitDepth: 10 },
    pixels: 'yuv420p10le',
    smallest: { width: 144, height: 144, why: 'graphics cards decode no smaller H.265' },
    encode: () => [
      ...['-c:v', 'libx265', '-preset', 'medium', '-crf', '20', '-pix_fmt', 'yuv420p10le', '-tag:v', 'hvc1', ...tags],
      ...['-x265-params', 'log-level=error:colorprim=bt709:transfer=bt709:colormatrix=bt709:range=limited'],
    ],
    container: mp4,
  },
  archive: {
    id: 'archive',
    name: 'Archive small (AV1)',
    says: 'The smallest file for its quality, to keep; it takes long to make and a recent player to watch.',
    extension: 'mp4',
    // libaom was an experiment in ffmpeg until 2019, and takes minutes a second of film
    encoders: [{ name: 'libsvtav1' }, { name: 'libaom-av1', since: 2020 }],
    makes: { container: 'mp4', codecs: ['av01'], bitDepth: 10 },
    pixels: 'yuv420p10le',
    smallest: { width: 128, height: 128, why: 'graphics cards decode no smaller AV1' },
    encode: ({ encoder }) => [
      ...(encoder === 'libsvtav1'
        ? ['-c:v', 'libsvtav1', '-preset', '6', '-crf', '24']
        : ['-c:v', 'libaom-av1', '-cpu-used', '6', '-row-mt', '1', '-crf', '24', '-b:v', '0']),
      ...['-pix_fmt', 'yuv420p10le', ...tags],
    ],
    container: mp4,
  },
  editProres: {
    id: 'editProres',
    name: 'Edit (ProRes 422 HQ)',
    says: 'For Final Cut, Resolve and Premiere: large, and every frame stands by itself.',
    extension: 'mov',
    encoders: [{ name: 'prores_ks' }],
    makes: { container: 'mov', codecs: ['apch'], bitDepth: 10 },
    pixels: 'yuv422p10le',
    smallest: { width: 64, height: 64, why: 'some editors take no smaller film' },
    master: true,
    encode: () => ['-c:v', 'prores_ks', '-profile:v', '3', '-vendor', 'apl0', '-pix_fmt', 'yuv422p10le', ...tags],
    container: mov,
  },
  editDnxhr: {
    id: 'editDnxhr',
    name: 'Edit (DNxHR HQX)',
    says: 'For Avid and for Resolve or Premiere on Windows: large, and every frame stands by itself.',
    extension: 'mov',
    encoders: [{ name: 'dnxhd' }],
    makes: { container: 'mov', codecs: ['AVdh'], bitDepth: 10 },
    pixels: 'yuv422p10le',
    smallest: { width: 256, height: 120, why: 'DNxHR has no smaller pictures' },
    master: true,
    encode: () => ['-c:v', 'dnxhd', '-profile:v', 'dnxhr_hqx', '-pix_fmt', 'yuv422p10le', ...tags],
    container: mov,
  },
  lossless: {
    id: 'lossless',
    name: 'Lossless master (FFV1)',
    says: 'Every pixel as it was made, with checksums: to grade or export again later.',
    extension: 'mkv',
    encoders: [{ name: 'ffv1' }],
    makes: { container: 'matroska', codecs: ['V_FFV1', 'FFV1'] },
    pixels: 'kept',
    smallest: nothing,
    master: true,
    encode: ({ rgb }) => [
      ...['-c:v', 'ffv1', '-level', '3', '-g', '1', '-slices', '4', '-slicecrc', '1'],
      ...(rgb ? ['-color_range', 'pc', '-color_primaries', 'bt709', '-color_trc', 'bt709', '-colorspace', 'rgb'] : tags),
    ],
    container: ['-f', 'matroska'],
  },
  webLoop: {
    id: 'webLoop',
    name: 'Web loop (WebM)',
    says: 'For a page that plays it over and over without sound; goes with the MP4 for browsers that want one.',
    extension: 'webm',
    encoders: [{ name: 'libvpx-vp9' }],
    makes: { container: 'webm', codecs: ['V_VP9'], bitDepth: 8 },
    pixels: 'yuv420p',
    smallest: { width: 128, height: 128, why: 'graphics cards decode no smaller VP9' },
    partner: 'webLoopMp4',
    // prettier-ignore
    encode: () => ['-c:v', 'libvpx-vp9', '-deadline', 'good', '-cpu-used', '2', '-row-mt', '1', '-crf', '24', '-b:v', '0', '-pix_fmt', 'yuv420p', ...tags],
    container: ['-f', 'webm'],
  },
  webLoopMp4: {
    id: 'webLoopMp4',
    name: 'Web loop (MP4)',
    says: 'The second file of a web loop: for browsers that play no WebM.',
    extension: 'mp4',
    encoders: x264,
    makes: inMp4,
    pixels: 'yuv420p',
    smallest: { width: 128, height: 128, why: 'its WebM has to be as large' },
    partner: 'webLoop',
    encode: () => h264('-crf', '20'),
    container: mp4,
  },
  gif: {
    id: 'gif',
    name: 'GIF',
    says: 'Moves wherever a picture may stand, in 256 colours chosen for this clip; large for what it shows.',
    extension: 'gif',
    encoders: [{ name: 'gif' }],
    makes: { container: 'gif', merges: true },
    pixels: 'rgb24',
    smallest: nothing,
    rate: { most: 50 }, // its clock counts hundredths, and browsers slow down what is faster
    encode: () => ['-c:v', 'gif'],
    container: ['-loop', '0', '-f', 'gif'],
    finish: 'split[colours][pictures];[colours]palettegen=stats_mode=full[palette];[pictures][palette]paletteuse=dither=sierra2_4a',
  },
  webp: {
    id: 'webp',
    name: 'Animated WebP',
    says: 'Like a GIF with all its colours and a tenth of its size; for pages and newer chats.',
    extension: 'webp',
    encoders: [{ name: 'libwebp_anim' }],
    makes: { container: 'webp', merges: true },
    pixels: 'bgra', // WebP's own matrix is not bt709: libwebp is to convert
    smallest: nothing,
    rate: { most: 50 },
    encode: () => ['-c:v', 'libwebp_anim', '-lossless', '0', '-quality', '90', '-pix_fmt', 'bgra'],
    container: ['-loop', '0', '-f', 'webp'],
  },
  frames: {
    id: 'frames',
    name: 'Frames (PNG)',
    says: 'A folder with each frame as a PNG and frames.json with the rate: for effects, or to continue elsewhere.',
    extension: undefined,
    encoders: [{ name: 'png' }],
    makes: { container: 'png', bitDepth: 8 },
    pixels: 'rgb24',
    smallest: nothing,
    master: true,
    encode: () => ['-c:v', 'png', '-pix_fmt', 'rgb24'],
    container: ['-start_number', '1', '-f', 'image2'],
  },
};

/** Every preset, in the order of a menu. */
export const presets: readonly Preset[] = presetIds.map(id => rows[id]);

/** The row of a preset. */
export const presetOf = (id: PresetId): Preset => rows[id];

/** The encoder that this ffmpeg has for a preset. */
const encoderOf = (preset: Preset, ffmpeg: Ffmpeg): string | undefined =>
  preset.encoders.find(({ name, since }) => ffmpeg.encoders.includes(name) && ffmpeg.year >= (since ?? 0))?.name;

/** Why a preset cannot be made with this ffmpeg, as a sentence; undefined where it can. */
export function unavailable(preset: Preset, ffmpeg: Ffmpeg): string | undefined {
  if (encoderOf(preset, ffmpeg) !== undefined) return undefined;
  const needed = preset.encoders.map(({ name, since }) => (since === undefined ? name : `${name} of ${since} or later`)).join(' or ');
  return `${preset.name} needs an ffmpeg with ${needed}, which ffmpeg ${ffmpeg.version} of ${ffmpeg.year} lacks: choose another preset, or ${advice}.`;
}

/** What pictures an export begins with. */
export interface Film {
  /** pixels */
  readonly width: number;
  readonly height: number;
  /** frames per second */
  readonly rate: Fraction;
  readonly numFrames: number;
  /** `rgb`: RGB, full range. Else YUV by that matrix, as ffmpeg's scaler names it. */
  readonly colours: 'rgb' | { readonly matrix: 'bt709' | 'bt601' | 'smpte240m' | 'fcc'; readonly fullRange: boolean };
  /** Whether it was compressed before: a clip and not its decoded latents. */
  readonly compressed: boolean;
}

/** What a person may choose beside the preset. */
export interface ExportOptions {
  /** Size by a factor of 0.1 to 8; 1 where absent. */
  readonly scale?: number | undefined;
  /** Frames per second, 1 to 240: frames are repeated or left out, none is invented; the clip's own where absent. */
  readonly rate?: Fraction | undefined;
  /** Frames `from` up to, not including, `to`, of the clip. */
  readonly trim?: { readonly from: number; readonly to: number } | undefined;
  /** Forwards, then backwards. */
  readonly boomerang?: boolean | undefined;
  /** How often it is played one after the other in the file, 1 to 100. */
  readonly loop?: number | undefined;
  /** How another shape is reached; `crop` where absent. */
  readonly fit?: 'crop' | 'pad' | undefined;
  /** Which frame of the export is the poster, beside it as `<name>.poster.png`. */
  readonly poster?: number | undefined;
  /** Without settings: nothing of the request goes along. */
  readonly forget?: boolean | undefined;
}

/** What an export will be: all arithmetic is done, and a window can show it before anything is made. */
export interface Plan {
  readonly preset: Preset;
  readonly encoder: string;
  readonly film: Film;
  /** pixels, of the file */
  readonly width: number;
  readonly height: number;
  readonly rate: Fraction;
  readonly numFrames: number;
  readonly seconds: number;
  /** The size after scaling: all of the picture, before crop or pad. */
  readonly scaled: { readonly width: number; readonly height: number };
  /** Where the file's picture lies in the scaled one (crop: 0 or more), or the scaled one in the file's (pad: negative): px. */
  readonly offset: { readonly x: number; readonly y: number };
  readonly trim: { readonly from: number; readonly to: number };
  readonly boomerang: boolean;
  readonly plays: number;
  /** bits a second, where the preset has a limit of bytes */
  readonly bitRate: number;
  readonly poster: number | undefined;
  /** What is not as the clip was, each as a sentence. */
  readonly notes: readonly string[];
}

/** Decoded frames that may be held at once where a film is turned or repeated: bytes. */
const heldBytes = 2e9;
/** Longest side: px. */
const largestSide = 8192;
/** Bits that a pixel never needs more of, and those under which it is not worth watching. */
const [mostBits, leastBits] = [1, 0.02];

/** A rate in frames a second as the simplest fraction that is it, such as 24000/1001; to a thousandth where there is none. */
export function fractionOf(fps: number): Fraction {
  for (let d = 1; d <= 1001; d++) {
    const n = Math.round(fps * d);
    if (Math.abs(n / d - fps) < 1e-9) return [n, d];
  }
  return [Math.round(fps * 1000), 1000];
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
/** @returns the same in lowest terms */
const reduced = ([n, d]: Fraction): Fraction => [n / gcd(n, d), d / gcd(n, d)];
const perSecond = ([n, d]: Fraction): string => String(Math.round((n / d) * 1000) / 1000);
const isWhole = (n: number, from: number, to: number): boolean => Number.isInteger(n) && n >= from && n <= to;

/**
 * Works out what a preset makes of a film.
 * @param reserve bytes of a limited file that are needed for something else
 * @throws {MediaError} where an option is out of its range, or the two do not go together
 */
export function planExport(preset: Preset, film: Film, options: ExportOptions, ffmpeg: Ffmpeg, reserve = 0): Plan {
  const doing = `cannot export as ${preset.name}`;
  const refuse = (why: string): MediaError => new MediaError(`${doing}: ${why}.`);
  const encoder = encoderOf(preset, ffmpeg);
  if (encoder === undefined) throw new MediaError(unavailable(preset, ffmpeg)!);
  const notes: string[] = [];
  const { scale = 1, loop = 1, boomerang = false, fit = 'crop', poster } = options;
  if (!isWhole(film.width, 1, largestSide) || !isWhole(film.height, 1, largestSide) || !isWhole(film.numFrames, 1, 1e6))
    throw refuse(
      `a clip of ${film.width}x${film.height} with ${film.numFrames} frames is not within ${largestSide} pixels and a million frames`,
    );
  if (!(scale >= 0.1 && scale <= 8)) throw refuse(`a scale of ${scale} is not between 0.1 and 8`);
  if (!isWhole(loop, 1, 100)) throw refuse(`${loop} plays are not between 1 and 100`);
  const asked = options.rate ?? film.rate;
  if (!asked.every(n => isWhole(n, 1, 0x7fff_ffff)) || asked[0] / asked[1] < 1 || asked[0] / asked[1] > 240)
    throw refuse(`a rate of ${asked.join('/')} is no fraction between 1 and 240 frames a second`);

  const trim = options.trim ?? { from: 0, to: film.numFrames };
  if (!isWhole(trim.from, 0, film.numFrames - 1) || !isWhole(trim.to, trim.from + 1, film.numFrames))
    throw refuse(`frames ${trim.from} to ${trim.to} are not within the clip's ${film.numFrames}: choose others`);
  const once = boomerang && trim.to - trim.from > 2 ? 2 * (trim.to - trim.from) - 2 : trim.to - trim.from;
  const onceSeconds = (once * film.rate[1]) / film.rate[0];
  const plays = Math.max(loop, Math.ceil((preset.leastSeconds ?? 0) / onceSeconds - 1e-9));
  if (plays > loop) notes.push(`It is played ${plays} times, to last ${preset.leastSeconds!} seconds.`);
  if ((boomerang || plays > 1 || preset.finish !== undefined) && 3 * film.width * film.height * once > heldBytes)
    throw refuse(`${once} frames of ${film.width}x${film.height} are too many to hold: trim the clip or choose another preset`);

  const { least = 0, most = Infinity } = preset.rate ?? {};
  const value = asked[0] / asked[1];
  const rate = reduced(value < least ? [least, 1] : value > most ? [asked[0], asked[1] * Math.ceil(value / most)] : asked);
  const change = (rate[0] * film.rate[1]) / (rate[1] * film.rate[0]);
  if (change > 1) notes.push(`It has ${perSecond(rate)} frames a second by repeating frames of ${perSecond(film.rate)}; none is invented.`);
  if (change < 1) notes.push(`It has ${perSecond(rate)} frames a second by leaving out frames of ${perSecond(film.rate)}.`);
  const numFrames = Math.max(Math.round(once * plays * change), 1);
  const seconds = (numFrames * rate[1]) / rate[0];
  if (poster !== undefined && !isWhole(poster, 0, numFrames - 1))
    throw refuse(`there is no frame ${poster} for the poster: choose one of 0 to ${numFrames - 1}`);

  const step = preset.pixels.startsWith('yuv') ? 2 : 1;
  const shape = shapeOf(preset, film, scale, fit, step);
  if (shape.factor > 1)
    notes.push(
      `It is scaled up ${shape.factor} times to ${shape.scaled.width}x${shape.scaled.height}: ${preset.smallest.why} (at least ${preset.smallest.width}x${preset.smallest.height}).`,
    );
  if (preset.aspect && (shape.offset.x !== 0 || shape.offset.y !== 0))
    notes.push(`It is ${fit === 'crop' ? 'cropped' : 'padded with black'} to ${preset.aspect.join(':')}.`);
  else if (shape.offset.x !== 0 || shape.offset.y !== 0 || shape.width !== shape.scaled.width || shape.height !== shape.scaled.height)
    notes.push(`It has a black line more, to ${shape.width}x${shape.height}: video of this kind has even sizes.`);
  if (Math.max(shape.width, shape.height) > largestSide)
    throw refuse(`${shape.width}x${shape.height} is larger than ${largestSide} pixels: choose a smaller scale`);
  if (preset.master && film.compressed) notes.push('It is made from the compressed clip.');

  let bitRate = 0;
  if (preset.megabytes !== undefined) {
    const pixels = (shape.width * shape.height * rate[0]) / rate[1];
    const room = preset.megabytes * 1e6 - reserve - 4096 - 24 * numFrames; // the boxes around the frames
    bitRate = Math.floor(Math.min((0.97 * room * 8) / seconds, mostBits * pixels));
    if (bitRate < leastBits * pixels)
      throw refuse(
        `${Math.round(seconds)} s of ${shape.width}x${shape.height} in ${preset.megabytes} MB would not be worth watching: trim it, choose a smaller scale or a larger limit`,
      );
  }
  const { width, height, scaled, offset } = shape;
  return { preset, encoder, film, width, height, rate, numFrames, seconds, scaled, offset, trim, boomerang, plays, bitRate, poster, notes };
}

type Shape = Pick<Plan, 'width' | 'height' | 'scaled' | 'offset'> & { readonly factor: number };

/** How a picture is scaled, then cut out or laid on black. */
function shapeOf(preset: Preset, film: Film, scale: number, fit: 'crop' | 'pad', step: number): Shape {
  const { smallest, aspect } = preset;
  // what is scaled by choice may be rounded to even sizes; what is not keeps every pixel
  const asked =
    scale === 1
      ? { width: film.width, height: film.height }
      : {
          width: Math.max(Math.round((film.width * scale) / step) * step, step),
          height: Math.max(Math.round((film.height * scale) / step) * step, step),
        };
  for (let factor = 1; ; factor++) {
    const scaled = { width: asked.width * factor, height: asked.height * factor };
    const even = { width: Math.ceil(scaled.width / step) * step, height: Math.ceil(scaled.height / step) * step };
    const file = aspect ? inShape(aspect, scaled, fit, step) : even;
    if (file.width < smallest.width || file.height < smallest.height) continue;
    /** An even share of what is over. */
    const half = (over: number): number => (over < 0 ? -1 : 1) * Math.floor(Math.abs(over) / 2 / step) * step || 0;
    const offset = aspect ? { x: half(scaled.width - file.width), y: half(scaled.height - file.height) } : { x: 0, y: 0 };
    return { ...file, scaled, offset, factor };
  }
}

/** The largest size of exactly that shape inside a picture (crop), or the smallest around it (pad). */
function inShape([w, h]: Fraction, picture: { width: number; height: number }, fit: 'crop' | 'pad', step: number) {
  const units = [picture.width / (w * step), picture.height / (h * step)];
  const unit = step * (fit === 'crop' ? Math.floor(Math.min(...units)) : Math.ceil(Math.max(...units)));
  return { width: w * unit, height: h * unit };
}
