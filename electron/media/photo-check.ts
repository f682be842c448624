/** @file What is wrong with photos of a subject: the checks of native-models/photos on what of each reaches the model. */
import {
  blurred,
  cutOff,
  nearDuplicates,
  nothingStandsOut,
  perceptualHash,
  showsOneThing,
  subjectBox,
  tooSmall,
  viewsMissing,
  type Finding,
} from '../../native-models/photos/checks.ts';
import { NothingFound, type MaskMaker } from './cutout.ts';
import { MediaError } from './error.ts';
import { readBytes } from './files.ts';
import { byteLimit, maskPixels, photoPixels, prepareReference, type Pixels } from './photo.ts';

/** A photo to look at: JPEG, PNG, WebP or AVIF. */
export interface LookedAt {
  /** What a sentence calls it. */
  readonly name: string;
  /** Its file. */
  readonly photo: string;
  /** In pixels of the photo; null: all of it. */
  readonly crop: { readonly x: number; readonly y: number; readonly width: number; readonly height: number } | null;
  /** The file of a mask that a person made or that came with it; null: the subject is looked for. */
  readonly mask: string | null;
  /** The mask came with it, and it lies on white. */
  readonly onWhite: boolean;
}

/** What was seen. */
export interface Seen {
  readonly findings: readonly Finding[];
  /** To find near-duplicates by. */
  readonly hash: bigint;
}

/** The longer side at which photos are looked at, in pixels; the checks' thresholds were set there. */
const longest = 512;

/**
 * Looks at one photo.
 * @param maker finds the subject of a photo without a mask
 * @returns what is wrong with it; undefined where the file is gone, damaged or no photo
 * @throws {MediaError} where the subject could not be looked for
 * @throws the signal's reason when aborted
 */
export async function lookAt(photo: LookedAt, maker: MaskMaker, signal?: AbortSignal): Promise<Seen | undefined> {
  const read = await pixelsOf(photo).catch((error: unknown) => {
    if (error instanceof MediaError) return undefined;
    throw error;
  });
  if (!read) return undefined;
  const { bytes, whole, small, drawn } = read;
  const size = { width: small.width, height: small.height };
  const mask = drawn ?? (await found(maker, { name: photo.name, bytes }, whole, small, signal));
  const picture = { ...size, rgb: small.data };
  // a mask that somebody made shows what they mean; one that was found is asked nothing more where it shows no one thing
  const shown = drawn !== undefined || showsOneThing({ ...picture, mask });
  const box = shown ? subjectBox(mask, size) : undefined;
  const scale = whole.width / small.width;
  const findings = [
    tooSmall(whole, box && { width: Math.round(box.width * scale), height: Math.round(box.height * scale) }),
    // pictures that were cut out elsewhere are often trimmed to their subject
    shown && !photo.onWhite ? cutOff(mask, size, drawn ? 1 : undefined) : undefined,
    drawn ? undefined : nothingStandsOut({ ...picture, mask }),
    blurred(picture),
  ];
  return { findings: findings.filter(finding => finding !== undefined), hash: perceptualHash(picture) };
}

/**
 * What is wrong with photos of one subject beside each other.
 * @param photos `name`: what a sentence calls it, lower case; `view`: what it is labelled as
 * @returns each finding with the index of its photo, null where it is of all of them
 */
export function lookAtAll(
  photos: readonly { readonly name: string; readonly hash: bigint; readonly view: string | null }[],
): { readonly of: number | null; readonly finding: Finding }[] {
  const missing = viewsMissing(photos.map(photo => photo.view));
  const twice = nearDuplicates(photos).map(({ of, sentence, ...finding }) => ({
    of,
    finding: { ...finding, sentence: sentence.charAt(0).toUpperCase() + sentence.slice(1) },
  }));
  return [...twice, ...(missing ? [{ of: null, finding: missing }] : [])];
}

/** The pixels that reach the model, and those of the mask, where there is one, of the small picture's size. */
async function pixelsOf({
  name,
  photo,
  crop,
  mask,
}: LookedAt): Promise<{ bytes: Uint8Array; whole: Pixels; small: Pixels; drawn: Uint8Array | undefined }> {
  const read = async (file: string): Promise<Uint8Array> =>
    crop ? prepareReference({ photo: file, crop, mask: null, cutOut: false }) : readBytes(file, { most: byteLimit, wanted: 'a photo' });
  const bytes = await read(photo);
  const { whole, small } = await photoPixels(name, bytes, longest);
  return { bytes, whole, small, drawn: mask === null ? undefined : await maskPixels(await read(mask), whole, small) };
}

/** The mask that is found for a photo, empty where nothing is. */
async function found(
  maker: MaskMaker,
  photo: { name: string; bytes: Uint8Array },
  whole: Pixels,
  small: Pixels,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  try {
    const { mask } = await maker.cutOut({ photo }, signal);
    return await maskPixels(mask.bytes, whole, small);
  } catch (error) {
    if (error instanceof NothingFound) return new Uint8Array(small.width * small.height);
    throw error;
  }
}
