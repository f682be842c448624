/**
 * @file The child process that decodes one HEIC: the photo on standard input, on standard output eight bytes of length and a PNG with the photo's profile.
 *
 * libheif and libde265 run as WebAssembly, so that what a hostile photo makes of them stays in its memory, and in a process of their own, so
 * that a hang or a full memory ends this process alone. Arguments: the owner's process id, and the most MB this process may come to hold.
 * A refusal is exit status 65 and the reason in words on standard error.
 */
import { createRequire } from 'node:module';
import { writeSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { buffer } from 'node:stream/consumers';
import { codedProfile, pngLength, pngParts, type Rows } from './heif.ts';
import { watch } from './watch.ts';

/** What is called of libheif's C interface: pointers are numbers, and a struct that is returned goes where the first argument points. */
interface LibHeif {
  readonly HEAPU8: Uint8Array;
  _malloc(bytes: number): number;
  _heif_context_alloc(): number;
  _heif_context_set_maximum_image_size_limit(context: number, side: number): void;
  _heif_context_read_from_memory_without_copy(error: number, context: number, bytes: number, length: number, options: number): void;
  _heif_context_get_primary_image_handle(error: number, context: number, out: number): void;
  _heif_image_handle_has_alpha_channel(handle: number): number;
  _heif_image_handle_get_raw_color_profile_size(handle: number): number;
  _heif_image_handle_get_raw_color_profile(error: number, handle: number, out: number): void;
  _heif_image_handle_get_nclx_color_profile(error: number, handle: number, out: number): void;
  _heif_decode_image(error: number, handle: number, out: number, colorspace: number, chroma: number, options: number): void;
  _heif_image_is_premultiplied_alpha(image: number): number;
  _heif_image_get_width(image: number, channel: number): number;
  _heif_image_get_height(image: number, channel: number): number;
  _heif_image_get_plane_readonly(image: number, channel: number, stride: number): number;
}

/** heif_colorspace_RGB, heif_chroma_interleaved_RGB and RGBA (8 bits, whatever the photo has), heif_channel_interleaved. */
const [colorspaceRgb, chromaRgb, chromaRgba, channelInterleaved] = [1, 10, 11, 10] as const;
/** The side of the largest square that is decoded: 100 megapixels. */
const largestSide = 10_000;

/** A reason for which a photo is refused. */
class Refusal extends Error {}

/** Decodes the primary picture, upright; its rows lie in libheif's memory. */
function decode(photo: Uint8Array): { rows: Rows; profile: Uint8Array | undefined } {
  const require = createRequire(import.meta.url);
  const load = require('libheif-js/libheif-wasm/libheif-bundle.js') as (options: object) => LibHeif;
  const quiet = (): void => undefined; // standard output is the photo's
  const heif = load({ print: quiet, printErr: quiet });
  const memory = (): DataView => new DataView(heif.HEAPU8.buffer); // it moves as it grows
  const [error, out, input] = [heif._malloc(12), heif._malloc(4), heif._malloc(photo.length)];
  const pointer = (): number => memory().getUint32(out, true);
  const failure = (): string | undefined => {
    if (memory().getInt32(error, true) === 0) return undefined;
    const from = memory().getUint32(error + 8, true);
    return Buffer.from(heif.HEAPU8.subarray(from, heif.HEAPU8.indexOf(0, from))).toString('latin1');
  };
  const check = (): void => {
    const why = failure();
    if (why !== undefined) throw new Refusal(why);
  };
  heif.HEAPU8.set(photo, input);
  const context = heif._heif_context_alloc();
  heif._heif_context_set_maximum_image_size_limit(context, largestSide);
  heif._heif_context_read_from_memory_without_copy(error, context, input, photo.length, 0);
  check();
  heif._heif_context_get_primary_image_handle(error, context, out);
  check();
  const handle = pointer();

  let profile: Uint8Array | undefined;
  const length = heif._heif_image_handle_get_raw_color_profile_size(handle);
  if (length > 0) {
    const at = heif._malloc(length);
    heif._heif_image_handle_get_raw_color_profile(error, handle, at);
    check();
    profile = heif.HEAPU8.slice(at, at + length);
    if (Buffer.from(profile.subarray(16, 20)).toString('latin1') !== 'RGB ') profile = undefined; // a grey photo's does not fit the pixels
  } else {
    heif._heif_image_handle_get_nclx_color_profile(error, handle, out);
    if (failure() === undefined)
      profile = codedProfile({ primaries: memory().getInt32(pointer() + 4, true), transfer: memory().getInt32(pointer() + 8, true) });
  }

  const channels = heif._heif_image_handle_has_alpha_channel(handle) ? 4 : 3;
  heif._heif_decode_image(error, handle, out, colorspaceRgb, channels === 4 ? chromaRgba : chromaRgb, 0);
  check();
  const image = pointer();
  const plane = heif._heif_image_get_plane_readonly(image, channelInterleaved, out);
  const stride = pointer();
  const [width, height] = [heif._heif_image_get_width(image, channelInterleaved), heif._heif_image_get_height(image, channelInterleaved)];
  if (plane === 0 || width <= 0 || height <= 0) throw new Refusal('it holds no pixels');
  const premultiplied = channels === 4 && heif._heif_image_is_premultiplied_alpha(image) !== 0;
  const row = (y: number): Uint8Array => {
    const line = heif.HEAPU8.subarray(plane + y * stride, plane + y * stride + width * channels);
    if (premultiplied)
      for (let at = 0; at < line.length; at += 4)
        for (let c = at; c < at + 3; c++) line[c] = Math.min(Math.round((line[c]! * 255) / Math.max(line[at + 3]!, 1)), 255);
    return line;
  };
  return { rows: { width, height, channels, row }, profile };
}

async function main(): Promise<void> {
  const [owner, megabytes] = process.argv.slice(2).map(Number);
  watch(owner!, megabytes!);
  try {
    const { rows, profile } = decode(await buffer(process.stdin));
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(pngLength(rows, profile)));
    process.stdout.write(length);
    await pipeline(Readable.from(pngParts(rows, profile)), process.stdout);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    writeSync(2, error.message);
    process.exitCode = 65;
  }
}

await main();
