/** @file The desktop around the window: files by where they lie, the system's dialogs, files that leave the window. Views ask here, and need not know that a browser has none of it. */
import FolderSearch from '@lucide/svelte/icons/folder-search';
import type { PickKind } from '../../electron/contract/bridge.ts';
import { mostTogether, type Listing, type Place } from '../host/host.ts';
import { filesOf } from '../components/ui/files.ts';
import { t, type Key } from '../words/index.svelte.ts';
import type { App } from './app.svelte.ts';

/** A file of this machine that the host knows already: nothing of it is sent. */
export interface Placed extends Place {
  readonly size: number;
}
export interface Dropped {
  readonly file: File | Placed;
  /** Where it lay in what was dropped or chosen: `holiday/lemon.jpg`, or its name alone. */
  readonly path: string;
}
export const isPlaced = (file: File | Placed): file is Placed => 'id' in file;

/** Brings a file to the host: one that it knows is there.
 * @returns what goes wherever the API takes a `path`
 * @throws StudioError as `Host.send` */
export const bring = (app: App, file: File | Placed, options?: Parameters<App['host']['send']>[2]): Promise<{ path: string }> =>
  isPlaced(file) ? Promise.resolve({ path: file.id }) : app.host.send(file, file.name, options);

type Entry = Listing['entries'][number];
const placed = ({ id, name, bytes }: Entry): Placed => ({ id, name, size: bytes });
/** Files of a folder that are taken, and folders within one another that are looked into. */
const [mostFiles, deepest] = [2000, 8];
async function filesIn(app: App, folder: Place, path: string, found: Dropped[], depth = 0): Promise<void> {
  const { entries } = await app.host.look(folder.id);
  for (const entry of entries) {
    if (found.length >= mostFiles) return;
    const at = `${path}/${entry.name}`;
    if (entry.kind === 'file') found.push({ file: placed(entry), path: at });
    else if (depth < deepest) await filesIn(app, entry, at, found, depth + 1);
  }
}
async function opened(app: App, entries: readonly Entry[]): Promise<Dropped[]> {
  const found: Dropped[] = [];
  for (const entry of entries)
    if (entry.kind === 'folder') await filesIn(app, entry, entry.name, found);
    else found.push({ file: placed(entry), path: entry.name });
  return found;
}

/** All files of a drop or a paste, those of folders within folders too. To be called in the event itself: afterwards a drop is empty. What cannot be read is said.
 * In our own program the main process looks into folders, and sends nothing: files keep their content here only to be shown. */
export async function filesFrom(app: App, transfer: DataTransfer): Promise<Dropped[]> {
  const { desktop } = app.host;
  if (!desktop) return filesOf(transfer);
  const all = [...transfer.files];
  const found: Dropped[] = [];
  for (const one of await Promise.all(all.map(async file => ({ file, place: await desktop.place(file).catch(() => undefined) }))))
    if (one.place?.kind !== 'folder') found.push({ file: one.file, path: one.file.name });
    else await filesIn(app, one.place, one.place.name, found).catch((error: unknown) => app.failed(error));
  return found;
}

/** Lets the person choose in the system's dialog; a folder's files, those of folders within it too.
 * @returns undefined in a browser, whose own way the view then takes; nothing where nothing was chosen, or where it failed, which is said */
export function pickFiles(app: App, kind: PickKind): Promise<Dropped[]> | undefined {
  const { desktop } = app.host;
  if (!desktop) return undefined;
  return desktop
    .pick(kind)
    .then(entries => opened(app, entries))
    .catch((error: unknown) => (app.failed(error), []));
}
/** Lets the person choose a folder, or a file of weights, which is used where it lies.
 * @returns undefined where nothing was chosen */
export async function pickPlace(app: App, kind: 'folder' | 'model'): Promise<Place | undefined> {
  return (await app.act(undefined, async () => app.host.desktop?.pick(kind)))?.[0];
}
/** Where an export is to be made; undefined where nothing was chosen.
 * @param name with its ending; without one it is a folder */
export const pickTarget = (app: App, name: string): Promise<Place | undefined> =>
  app.act(undefined, async () => app.host.desktop?.target(name));

/** Takes a drag that begins out of the window, where our own program can: other programs get the files themselves.
 * @returns whether it did; otherwise the drag is the page's to fill */
export function draggedOut(app: App, event: DragEvent, ids: readonly string[]): boolean {
  const { desktop } = app.host;
  if (!desktop) return false;
  event.preventDefault();
  if (ids.length > mostTogether) app.toast({ kind: 'told', text: t('desktop.mostDragged', { n: mostTogether }) });
  if (ids.length > 0) void desktop.drag(ids.slice(0, mostTogether)).catch((error: unknown) => app.failed(error));
  return true;
}

const manager = /mac/i.test(navigator.platform) ? 'Finder' : /win/i.test(navigator.platform) ? 'Explorer' : 'Files';
/** What showing a file in the system's file manager is called on this system. */
export const revealWords = (): string => t(`desktop.show${manager}` satisfies Key);
/** Shows a file where it lies: of a clip, a photo, an export; a checkpoint or an adapter. */
export const reveal = (app: App, id: string): void => void app.act(undefined, async () => app.host.desktop?.reveal(id));
/** The line of a menu that does; none where the host cannot.
 * @param icon where the menu's lines have some */
export const revealItem = (app: App, id: string, icon = true): { label: string; icon?: typeof FolderSearch; run: () => void }[] =>
  app.host.desktop ? [{ label: revealWords(), ...(icon && { icon: FolderSearch }), run: () => reveal(app, id) }] : [];
/** What keeping files is called: a dialog asks where, or the browser downloads them. */
export const saveWords = (app: App, otherwise: Key, n = 1): string =>
  t(app.host.desktop ? (n === 1 ? 'desktop.saveAs' : 'desktop.saveInto') : otherwise);
