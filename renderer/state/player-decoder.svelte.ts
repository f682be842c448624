/** @file Frames out of an MP4 of ours, in the order in which they are shown. Loaded only where a clip is played. */
import { EncodedPacketSink, Input, MP4, UrlSource, VideoSampleSink } from 'mediabunny';
import type { Film, FrameReader } from './player-frames.svelte.ts';

/** Seconds that a frame's moment may be off by the container's clock. */
const rounding = 1e-4;

/** A reader that decodes by WebCodecs; undefined where this browser has none, or none for this file.
 * @throws Error where the file cannot be loaded or read */
export async function decoderOf({ url }: Film): Promise<FrameReader | undefined> {
  if (!('VideoDecoder' in globalThis)) return undefined;
  const input = new Input({ source: new UrlSource(url, { getRetryDelay: tries => (tries < 3 ? 0.3 : null) }), formats: [MP4] });
  try {
    const track = await input.getPrimaryVideoTrack();
    if (!track || !(await track.canDecode())) {
      input.dispose();
      return undefined;
    }
    // a frame's number is its place in the order of presentation, whatever the rate and however the encoder has reordered it
    const moments: number[] = [];
    for await (const packet of new EncodedPacketSink(track).packets(undefined, undefined, { metadataOnly: true }))
      moments.push(packet.timestamp);
    moments.sort((a, b) => a - b);
    const sink = new VideoSampleSink(track);
    return {
      count: moments.length,
      read: async function* (from) {
        let n = from;
        for await (const sample of sink.samples(moments[from])) {
          try {
            if (Math.abs(sample.timestamp - (moments[n] ?? NaN)) > rounding || Number.isNaN(sample.timestamp))
              throw new Error(`frame ${n} did not come where it was due`);
            const frame = sample.toVideoFrame();
            try {
              yield await createImageBitmap(frame);
            } finally {
              frame.close();
            }
            n++;
          } finally {
            sample.close();
          }
        }
      },
      close: () => input.dispose(),
    };
  } catch (error) {
    input.dispose();
    throw error;
  }
}
