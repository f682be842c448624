/** @file How a clip is made to begin with a picture, with checkpoints that were trained on text alone.
 * The VAE is causal: a picture encoded by itself is exactly the first latent frame of every clip that begins with it. So that frame is known, and the rest is
 * painted around it, as RePaint (arXiv 2201.09865) does with the known part of a picture:
 * 1. Where the prompt is heard, the model sees the known frame with as much noise as all others have at that step, always the same noise.
 * 2. Where it is not heard, the model sees a first frame of its own. Guidance then strengthens what the picture says, as it does with the prompt.
 * 3. What the model expects the next frames to be is drawn towards the picture, a half as much from each latent frame to the next, and less with each step:
 *    at the highest noise the known frame says nothing, and by then it is decided what lies where. */
import { addNoise } from '../schedulers/scheduler.ts';

/** Share of the steps in which frames are drawn to the picture, and how much less each further latent frame is. Measured on Toybox (assets/toybox/make/start_image.py). */
const [drawnFor, fading] = [0.7, 0.5];

export interface StartImage {
  /** [C, h, w], clean, as the transformer sees latents. */
  readonly latent: Float32Array;
  /** What the first latent frame was drawn as. */
  readonly noise: Float32Array;
}

/** The known frame as noisy as the others are.
 * @param alphaProd share of signal power at this step */
export const knownFrame = ({ latent, noise }: StartImage, alphaProd: number): Float32Array => addNoise(alphaProd, latent, noise);

/** Draws what was predicted of the frames behind the first one towards the picture, in place.
 * v' = v + w (x0 - s) / sqrt(1 - abar): the v whose x0 is (1 - w) x0 + w s
 * @param velocity v of all latent frames [F, C, h, w]
 * @param latents before the step
 * @param done share of the steps that lie behind, 0 to 1 */
export function drawToStart({ latent }: StartImage, velocity: Float32Array, latents: Float32Array, alphaProd: number, done: number): void {
  const { fround, sqrt } = Math,
    a = fround(sqrt(alphaProd)),
    b = fround(sqrt(1 - alphaProd)),
    frame = latent.length;
  for (let at = frame, weight = 1 - done / drawnFor; weight > 0 && at < velocity.length; at += frame, weight *= fading)
    for (let j = 0; j < frame; j++) {
      const v = velocity[at + j]!,
        x0 = fround(fround(a * latents[at + j]!) - fround(b * v));
      velocity[at + j] = v + fround(fround(weight * fround(x0 - latent[j]!)) / b);
    }
}
