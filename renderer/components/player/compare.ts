/** @file What comparing needs to know: one clock for clips of different rates, and what they differ in. */
import type { Clip } from '../../../electron/contract/records.ts';
import { decimal, duration } from '../../words/format.ts';
import { t } from '../../words/index.svelte.ts';

/** Under one wipe; side by side; one at a time, in one place. */
export type Mode = 'wipe' | 'grid' | 'one';

/** How a clip is called while it is compared. */
export const letters = ['A', 'B', 'C', 'D'] as const;

type Timed = Pick<Clip, 'numFrames' | 'fps'>;
/** The clock of all: the fastest rate, as long as the longest. */
export function clockOf(clips: readonly Timed[]): { fps: number; count: number } {
  const fps = Math.max(...clips.map(c => c.fps)),
    seconds = Math.max(...clips.map(c => c.numFrames / c.fps));
  return { fps, count: Math.max(1, Math.round(seconds * fps)) };
}
/** The frame of a clip at a tick of the clock; the last one is held. */
export const frameAt = (clip: Timed, tick: number, fps: number): number =>
  Math.min(Math.floor((tick * clip.fps) / fps + 1e-6), clip.numFrames - 1);

/** What the clips were made with, one row a thing; only those in which they differ. */
export function differences(clips: readonly Clip[]): { name: string; values: string[]; long: boolean }[] {
  const yes = (is: boolean) => (is ? t('frame.yes') : t('frame.no'));
  const row = (name: string, value: (clip: Clip) => string, long = false) => ({ name, values: clips.map(value), long });
  return [
    row(t('player.prompt'), c => c.request?.prompt ?? c.resolved?.prompt ?? '', true),
    row(t('player.without'), c => c.resolved?.negativePrompt ?? '', true),
    row(t('player.subjects'), c => c.subjects.map(s => s.name).join(', '), true),
    row(t('player.seed'), c => String(c.seed)),
    row(t('player.checkpoint'), c => c.checkpoint.name),
    row(t('player.adapters'), c => c.adapters.map(a => `${a.name} × ${decimal(a.scale, 2)}`).join(', ')),
    row(t('player.steps'), c => (c.resolved ? decimal(c.resolved.numInferenceSteps) : '')),
    row(t('player.guidance'), c => (c.resolved ? decimal(c.resolved.guidanceScale, 2) : '')),
    row(t('player.scheduler'), c => c.resolved?.scheduler.toUpperCase() ?? ''),
    row(t('player.photos'), c => (c.resolved ? decimal(c.resolved.references.length) : '')),
    row(t('player.cutOut'), c => (c.resolved ? yes(c.resolved.references.some(r => r.cutOut)) : '')),
    row(t('player.startImage'), c => (c.resolved ? yes(c.resolved.startImage !== null) : '')),
    row(t('player.size'), c => t('player.pixels', { w: String(c.width), h: String(c.height) })),
    row(t('player.length'), c =>
      t('player.lengthIs', { n: c.numFrames, seconds: decimal(c.numFrames / c.fps, 1), fps: decimal(c.fps, 3) }),
    ),
    row(t('player.device'), c => c.device.toUpperCase()),
    row(t('player.took'), c => duration(Math.round(Object.values(c.timings).reduce((sum, s) => sum + s, 0)))),
  ].filter(({ values }) => new Set(values).size > 1);
}
