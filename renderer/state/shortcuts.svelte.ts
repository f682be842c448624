/**
 * @file Every shortcut of the window in one table, so that all of them can be looked up and changed wherever one is: views add theirs only while
 * they are on the screen. `test/unit/shortcuts.test.ts` holds the table to what the sources register.
 */
import type { Key } from '../words/index.svelte.ts';
import type { App } from './app.svelte.ts';

/** Where a shortcut works, in the order in which they are listed. */
export const shortcutAreas = ['everywhere', 'create', 'subjects', 'photo', 'edit', 'library', 'player', 'queue', 'settings'] as const;
export type ShortcutArea = (typeof shortcutAreas)[number];
export interface KnownShortcut {
  readonly id: string;
  readonly label: Key;
  /** The usual ones. */
  readonly keys: string | null;
}

const shortcuts: readonly KnownShortcut[] = [
  { id: 'go.subjects', label: 'frame.subjects', keys: 'Mod+1' },
  { id: 'go.create', label: 'frame.create', keys: 'Mod+2' },
  { id: 'go.library', label: 'frame.library', keys: 'Mod+3' },
  { id: 'go.settings', label: 'frame.settings', keys: 'Mod+,' },
  { id: 'clip.new', label: 'desktop.newClip', keys: 'Mod+N' },
  { id: 'clip.open', label: 'desktop.openClip', keys: 'Mod+O' },
  { id: 'queue.toggle', label: 'frame.queue', keys: 'Q' },
  { id: 'undo', label: 'frame.undo', keys: 'Mod+Z' },
  { id: 'redo', label: 'frame.redo', keys: 'Mod+Shift+Z' },
  { id: 'keys.show', label: 'keys.sheet', keys: '?' },
  { id: 'create.make', label: 'create.makeKey', keys: 'Mod+Enter' },
  { id: 'create.next', label: 'create.next', keys: 'Mod+Shift+Enter' },
  { id: 'create.prompt', label: 'create.focusPrompt', keys: '/' },
  { id: 'create.history', label: 'create.history', keys: 'Mod+H' },
  { id: 'subjects.makeClip', label: 'subjects.makeClip', keys: 'C' },
  { id: 'subjects.next', label: 'subjects.next', keys: 'J' },
  { id: 'subjects.previous', label: 'subjects.previous', keys: 'K' },
  { id: 'subjects.search', label: 'subjects.search', keys: 'Mod+F' },
  { id: 'photo.hero', label: 'subjects.setHero', keys: 'H' },
  { id: 'photo.edit', label: 'subjects.edit', keys: 'E' },
  { id: 'photo.remove', label: 'subjects.removePhoto', keys: 'Delete' },
  { id: 'edit.add', label: 'photo.add', keys: 'B' },
  { id: 'edit.remove', label: 'photo.remove', keys: 'E' },
  { id: 'edit.swap', label: 'photo.swap', keys: 'X' },
  { id: 'edit.rectangle', label: 'photo.rectangle', keys: 'R' },
  { id: 'edit.find', label: 'photo.find', keys: 'F' },
  { id: 'edit.crop', label: 'photo.crop', keys: 'C' },
  { id: 'edit.smaller', label: 'photo.smaller', keys: '[' },
  { id: 'edit.larger', label: 'photo.larger', keys: ']' },
  { id: 'edit.overlay', label: 'photo.overlay', keys: 'O' },
  { id: 'edit.compare', label: 'photo.compare', keys: 'V' },
  { id: 'edit.zoomIn', label: 'photo.zoomIn', keys: '+' },
  { id: 'edit.zoomOut', label: 'photo.zoomOut', keys: '-' },
  { id: 'edit.fit', label: 'photo.fit', keys: '0' },
  { id: 'edit.undo', label: 'frame.undo', keys: 'Mod+Z' },
  { id: 'edit.redo', label: 'frame.redo', keys: 'Mod+Shift+Z' },
  { id: 'edit.save', label: 'frame.save', keys: 'Mod+S' },
  { id: 'library.tags', label: 'library.editTags', keys: 'T' },
  { id: 'library.reuse', label: 'library.reuse', keys: 'R' },
  { id: 'library.remix', label: 'library.remix', keys: 'Shift+R' },
  { id: 'library.compare', label: 'library.compare', keys: 'C' },
  { id: 'library.export', label: 'library.export', keys: 'E' },
  { id: 'library.download', label: 'library.download', keys: 'D' },
  { id: 'library.restore', label: 'library.restore', keys: 'U' },
  { id: 'library.trash', label: 'library.toTrash', keys: 'Delete' },
  { id: 'library.selectAll', label: 'library.selectAll', keys: 'Mod+A' },
  { id: 'library.search', label: 'library.search', keys: 'Mod+F' },
  { id: 'library.searchHere', label: 'library.search', keys: '/' },
  { id: 'player.trash', label: 'player.trash', keys: 'Delete' },
  { id: 'player.rename', label: 'player.rename', keys: 'F2' },
  { id: 'player.export', label: 'player.export', keys: 'E' },
  { id: 'player.saveFrame', label: 'player.saveFrame', keys: 'S' },
  { id: 'player.flip', label: 'player.flip', keys: 'B' },
  { id: 'player.in', label: 'player.setIn', keys: 'I' },
  { id: 'player.out', label: 'player.setOut', keys: 'O' },
  { id: 'player.whole', label: 'player.clearRange', keys: 'X' },
  { id: 'player.full', label: 'player.fullScreen', keys: 'F' },
  { id: 'player.zoom', label: 'player.zoom', keys: 'Z' },
  { id: 'player.next', label: 'player.next', keys: 'PageDown' },
  { id: 'player.previous', label: 'player.previous', keys: 'PageUp' },
  { id: 'player.play', label: 'player.playOrPause', keys: 'Space' },
  { id: 'player.playToo', label: 'player.playOrPauseToo', keys: 'K' },
  { id: 'player.back', label: 'player.back', keys: 'ArrowLeft' },
  { id: 'player.forward', label: 'player.forward', keys: 'ArrowRight' },
  { id: 'player.backToo', label: 'player.backToo', keys: ',' },
  { id: 'player.forwardToo', label: 'player.forwardToo', keys: '.' },
  { id: 'player.first', label: 'player.first', keys: 'Home' },
  { id: 'player.last', label: 'player.last', keys: 'End' },
  { id: 'player.loop', label: 'player.loop', keys: 'R' },
  { id: 'queue.close', label: 'frame.closeQueue', keys: 'Escape' },
  { id: 'settings.search', label: 'settings.search', keys: '/' },
];

/** Those that there are in this window: what browsers keep for themselves is our own program's alone. */
export const shortcutsOf = (app: App): readonly KnownShortcut[] =>
  app.host.desktop
    ? shortcuts.map(s => (s.id === 'library.download' ? { ...s, label: 'desktop.saveAs' } : s))
    : shortcuts.filter(({ id }) => !id.startsWith('clip.'));

const [everywhere] = shortcutAreas;
export const areaOf = (id: string): ShortcutArea =>
  shortcutAreas.find(area => id.startsWith(`${area}.`) && id !== 'queue.toggle') ?? everywhere;
/** What its keys are now; null: none. */
export const keysNow = (app: App, { id, keys }: Pick<KnownShortcut, 'id' | 'keys'>): string | null => {
  const own = app.settings.now.shortcuts[id];
  return own !== undefined ? own : keys;
};
/** Those that would answer to the same keys at the same place. */
export function conflictsWith(app: App, id: string, chord: string): readonly KnownShortcut[] {
  const area = areaOf(id);
  const meets = (other: ShortcutArea) => other === area || other === everywhere || area === everywhere;
  return shortcutsOf(app).filter(s => s.id !== id && meets(areaOf(s.id)) && keysNow(app, s) === chord);
}
/** Settings in which these shortcuts have these keys; what is usual is not written down. */
export function withKeys(app: App, changes: Readonly<Record<string, string | null>>): Record<string, string | null> {
  const usual = new Map(shortcuts.map(({ id, keys }) => [id, keys]));
  return Object.fromEntries(Object.entries({ ...app.settings.now.shortcuts, ...changes }).filter(([id, keys]) => usual.get(id) !== keys));
}
