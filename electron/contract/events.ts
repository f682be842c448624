/** @file What a host tells its clients unasked: something has happened. */
import { z } from 'zod';
import { adapter, checkpoint, clip, download, exported, job, network, progress, settings, subject } from './records.ts';
import { jobId } from './ids.ts';

/** What the queue is doing. `held`: it waits for something to be mended (`text` says what) and goes on by itself. */
export const queueState = z.object({
  state: z.enum(['stopped', 'idle', 'running', 'paused', 'held']),
  text: z.string().nullable(),
  running: z.array(jobId),
  waiting: z.number(),
  /** Until the last waiting job is done, where all their forecasts are known. */
  secondsLeft: z.number().nullable(),
});
export type QueueState = z.infer<typeof queueState>;

export const event = z.discriminatedUnion('type', [
  z.object({ type: z.literal('subject'), subject }),
  z.object({ type: z.literal('clip'), clip }),
  z.object({ type: z.literal('job'), job }),
  z.object({ type: z.literal('checkpoint'), checkpoint }),
  z.object({ type: z.literal('adapter'), adapter }),
  z.object({ type: z.literal('settings'), settings }),
  /** Also of its progress, some times a second. */
  z.object({ type: z.literal('export'), export: exported }),
  z.object({ type: z.literal('download'), download }),
  /** Of the access token; the offline switch is a setting. */
  z.object({ type: z.literal('network'), network }),
  /** Gone for good. */
  z.object({ type: z.literal('gone'), id: z.string() }),
  z.object({ type: z.literal('queue'), queue: queueState }),
  z.object({ type: z.literal('progress'), jobId, progress }),
  /** A small JPEG (base64) of the middle frame as the model foresees it now. */
  z.object({ type: z.literal('preview'), jobId, step: z.number(), jpeg: z.string() }),
  z.object({ type: z.literal('notice'), jobId: jobId.nullable(), text: z.string() }),
  /** Everything may have changed: a backup was restored. */
  z.object({ type: z.literal('restored') }),
]);
export type StudioEvent = z.infer<typeof event>;
