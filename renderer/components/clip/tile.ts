/** @file What tiles of clips share: their pictures, what they are called, what they carry when they are dragged. */
import type { ClipId } from '../../../electron/contract/ids.ts';
import type { Clip } from '../../../electron/contract/records.ts';
import type { App } from '../../state/app.svelte.ts';
import { draggedOut } from '../../state/desktop.ts';
import { fileNameOf } from '../../state/library-actions.ts';
import { decimal } from '../../words/format.ts';
import { t } from '../../words/index.svelte.ts';

/** What a drag within the window carries: one clip's id, and the ids of all that are dragged, with commas between. */
export const carried = { one: 'application/x-protagonist-clip', all: 'application/x-protagonist-clips' } as const;

/** `2.1 s` */
export const lengthOf = ({ numFrames, fps }: Pick<Clip, 'numFrames' | 'fps'>): string =>
  t('library.seconds', { n: decimal(numFrames / fps) });

/** All that a tile shows, in words. */
export function spokenOf(clip: Clip, selected = false): string {
  return [
    clip.name,
    lengthOf(clip),
    clip.stars > 0 && t('library.stars', { n: clip.stars }),
    clip.subjects.length > 0 && t('library.with', { names: clip.subjects.map(s => s.name).join(', ') }),
    clip.missing && t('library.missing'),
    clip.trashed && t('library.isTrashed'),
    selected && t('library.isSelected'),
  ]
    .filter(part => part !== false)
    .join(', ');
}

/** Small pictures of a clip's subjects, at most so many: as they are now, or as they were where they are gone. */
export function facesOf(app: App, clip: Clip, most: number): string[] {
  const kept = clip.subjects.find(s => s.thumbnail)?.id;
  return clip.subjects.slice(0, most).flatMap(({ id }) => {
    const subject = app.subjects.get(id),
      hero = subject?.photos.find(p => p.id === subject.heroPhotoId);
    if (hero && !hero.missing && !hero.removed) return [app.host.media(id, 'subjectThumbnail', hero.sha256)];
    return id === kept ? [app.host.media(clip.id, 'subjectThumbnail', clip.sha256)] : [];
  });
}

/** What a drag that begins at a clip carries: the file manager gets the file; in our own program those of all that are dragged. */
export function carry(app: App, event: DragEvent, clip: Clip, ids: readonly ClipId[]): void {
  const there = ids.filter(id => app.clips.record(id)?.missing !== true);
  if (draggedOut(app, event, there)) return;
  const { dataTransfer: transfer } = event;
  if (!transfer) return;
  const address = new URL(app.host.media(clip.id, 'video', clip.sha256), location.href).href;
  transfer.effectAllowed = 'copy';
  transfer.setData(carried.one, clip.id);
  transfer.setData(carried.all, ids.join(','));
  if (clip.missing) return;
  transfer.setData('DownloadURL', `video/mp4:${fileNameOf(clip).replaceAll(':', ' ')}:${address}`);
  transfer.setData('text/uri-list', address);
}

/** Whether things should keep still. */
export const still = (): boolean => {
  const { motion } = document.documentElement.dataset;
  return motion === 'reduced' || (motion !== 'full' && matchMedia('(prefers-reduced-motion: reduce)').matches);
};
