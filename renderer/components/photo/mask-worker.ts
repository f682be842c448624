/** @file A worker: the files of masks and their pixels. Sixteen megapixels would hold up the window for half a second. */

/** `decode` makes a file small; `encode` makes a file of the photo's size. */
export type MaskJob = { readonly id: number } & (
  | { readonly kind: 'decode'; readonly file: Blob | string; readonly width: number; readonly height: number }
  | {
      readonly kind: 'encode';
      readonly data: Uint8Array<ArrayBuffer>;
      readonly width: number;
      readonly height: number;
      readonly toWidth: number;
      readonly toHeight: number;
    }
);
/** `base64` is the file, whole. */
export type MaskDone =
  | { readonly id: number; readonly data: Uint8Array<ArrayBuffer>; readonly base64: string }
  | { readonly id: number; readonly base64: string }
  | { readonly id: number; readonly error: string };

const surface = (width: number, height: number) => {
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('there is no memory for a picture of this size');
  return context;
};

async function decode(file: Blob | string, width: number, height: number) {
  const bytes = typeof file === 'string' ? Uint8Array.fromBase64(file) : new Uint8Array(await file.arrayBuffer());
  const picture = await createImageBitmap(new Blob([bytes], { type: 'image/png' }), {
    resizeWidth: width,
    resizeHeight: height,
    resizeQuality: 'high',
    colorSpaceConversion: 'none',
  });
  const context = surface(width, height);
  context.drawImage(picture, 0, 0);
  picture.close();
  const { data: rgba } = context.getImageData(0, 0, width, height);
  const data = new Uint8Array(width * height);
  for (let i = 0; i < data.length; i++) data[i] = rgba[4 * i]!;
  return { data, base64: typeof file === 'string' ? file : bytes.toBase64() };
}

async function encode({ data, width, height, toWidth, toHeight }: Extract<MaskJob, { kind: 'encode' }>) {
  const rgba = new Uint8ClampedArray(4 * data.length);
  for (let i = 0; i < data.length; i++) {
    rgba[4 * i] = rgba[4 * i + 1] = rgba[4 * i + 2] = data[i]!;
    rgba[4 * i + 3] = 255;
  }
  const small = surface(width, height);
  small.putImageData(new ImageData(rgba, width, height), 0, 0);
  let from = small;
  if (toWidth !== width || toHeight !== height) {
    from = surface(toWidth, toHeight);
    from.imageSmoothingQuality = 'high';
    from.drawImage(small.canvas, 0, 0, toWidth, toHeight);
  }
  const file = await from.canvas.convertToBlob({ type: 'image/png' });
  return { base64: new Uint8Array(await file.arrayBuffer()).toBase64() };
}

addEventListener('message', ({ data: job }: MessageEvent<MaskJob>) => {
  const answer = (done: MaskDone) => postMessage(done, 'data' in done ? { transfer: [done.data.buffer] } : {});
  (job.kind === 'decode' ? decode(job.file, job.width, job.height) : encode(job)).then(
    made => answer({ id: job.id, ...made }),
    (error: unknown) => answer({ id: job.id, error: error instanceof Error ? error.message : String(error) }),
  );
});
