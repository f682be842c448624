/** @file What a checkpoint recommends: its own sizes, and generation_config.json beside model_index.json where its makers left one. */
import { existsSync } from 'node:fs';
import { join, relative, isAbsolute } from 'node:path';
import { z } from 'zod';
import { parseTransformerConfig } from '../models/cogvideox-transformer-3d.ts';
import { readObject, type Checkpoint } from '../weights/checkpoint.ts';

const file = z.object({
  num_inference_steps: z.number().int().positive().optional(),
  guidance_scale: z.number().nonnegative().optional(),
  fps: z.number().positive().optional(),
  /** A LoRA for subjects, inside the checkpoint's folder. */
  adapter: z
    .string()
    .refine(path => !isAbsolute(path) && !relative('.', path).startsWith('..'), 'the adapter must lie inside the folder')
    .optional(),
  several_subjects: z.boolean().optional(),
});

export interface Recommended {
  readonly width: number;
  readonly height: number;
  readonly numFrames: number;
  readonly fps: number;
  readonly numInferenceSteps: number;
  readonly guidanceScale: number;
  readonly scheduler: 'ddim' | 'dpm';
  /** Absolute path. */
  readonly adapter: string | undefined;
  /** It has been trained to keep two subjects apart in one clip. */
  readonly severalSubjects: boolean;
}

/** The settings a checkpoint is made for. Where it says nothing: 50 steps, guidance 6, 8 frames a second, the scheduler of its own configuration (diffusers pipeline_cogvideox.py).
 * @throws if generation_config.json is there and cannot be understood */
export function recommendations(checkpoint: Checkpoint): Recommended {
  const transformer = parseTransformerConfig(checkpoint.component('transformer').config);
  const path = join(checkpoint.dir, 'generation_config.json');
  const read = file.safeParse(existsSync(path) ? readObject(path) : {});
  if (!read.success)
    throw new Error(`${path} is not understood: ${read.error.issues.map(i => `${i.path.join('.')}: ${i.message}`).join('; ')}`);
  const { num_inference_steps = 50, guidance_scale = 6, fps = 8, adapter, several_subjects = false } = read.data;
  return {
    width: transformer.sample_width * 8,
    height: transformer.sample_height * 8,
    numFrames: transformer.sample_frames,
    fps,
    numInferenceSteps: num_inference_steps,
    guidanceScale: guidance_scale,
    scheduler: checkpoint.scheduler().className === 'CogVideoXDPMScheduler' ? 'dpm' : 'ddim',
    adapter: adapter && join(checkpoint.dir, adapter),
    severalSubjects: several_subjects,
  };
}
