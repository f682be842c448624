/** @file Dynamic guidance of the CogVideoX pipelines (diffusers, pipelines/cogvideo/pipeline_cogvideox.py). */

/**
 * The guidance scale of one step under dynamic guidance, as the CogVideoX pipeline computes it for `use_dynamic_cfg`: its formula takes the training timestep
 * where a step index would be expected, and is kept so.
 * scale_i = 1 + scale * (1 - cos(pi * ((N - t) / N)^5)) / 2
 */
export function dynamicGuidance(guidanceScale: number, numInferenceSteps: number, timestep: number): number {
  return 1 + guidanceScale * ((1 - Math.cos(Math.PI * ((numInferenceSteps - timestep) / numInferenceSteps) ** 5)) / 2);
}
