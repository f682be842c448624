/** @file What the player needs to know of a clip. */
import type { App } from '../../state/app.svelte.ts';
import type { Film } from '../../state/player-frames.svelte.ts';
import type { Clip, Settings } from '../../../electron/contract/records.ts';

/** Where a clip's time went, in this order. */
export const phases = ['load', 'encode', 'denoise', 'decode', 'export'] as const;

/** Its film; another file under the same id has another address. */
export const filmOf = (app: App, { id, sha256, numFrames, fps, width, height }: Clip): Film => ({
  url: app.host.media(id, 'video', sha256.slice(0, 12)),
  numFrames,
  fps,
  width,
  height,
});
/** Its sprite: all of the film in one row of pictures. */
export const stripOf = (app: App, { id, sha256, spriteColumns, width, height }: Clip) =>
  spriteColumns > 0 ? { url: app.host.media(id, 'sprite', sha256.slice(0, 12)), columns: spriteColumns, ratio: width / height } : undefined;
/** Nothing moves by itself. */
export const isCalm = (motion: Settings['motion']): boolean =>
  motion === 'reduced' || (motion === 'system' && matchMedia('(prefers-reduced-motion: reduce)').matches);

/** A name as a file may have it. */
export const fileName = (name: string): string =>
  Array.from(name.replace(/[\\/:*?"<>|\p{Cc}]/gu, ' ').trim())
    .slice(0, 100)
    .join('')
    .trim() || 'clip';

/** Does something that is seen without words, and can be taken back.
 * @param label what it was, as a sentence: for Undo */
export function quietly(app: App, label: string, work: () => Promise<unknown>, undo: () => Promise<unknown>): Promise<void> {
  return app.undo.during(async () => {
    if ((await app.act(undefined, async () => (await work(), true))) === true) app.undo.push({ label, undo, redo: work });
  });
}
export async function copy(app: App, text: string, said: string): Promise<void> {
  await navigator.clipboard.writeText(text).then(
    () => app.toast({ text: said }),
    (error: unknown) => app.failed(error),
  );
}
