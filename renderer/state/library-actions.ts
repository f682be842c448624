/** @file What a person does to clips, one or many of them, with what takes it back. Views offer these; none is a view's own. */
import type { ClipId } from '../../electron/contract/ids.ts';
import type { Clip } from '../../electron/contract/records.ts';
import { mostTogether } from '../host/host.ts';
import { t } from '../words/index.svelte.ts';
import { bytes } from '../words/format.ts';
import type { App } from './app.svelte.ts';
import { libraryOf } from './library.svelte.ts';

/** Clips that one call takes: its answer has all their records. */
const atOnce = 250;
/** Calls under way at a time, where each takes one clip. */
const together = 8;
/** From so many clips on it is shown how far it is. */
const worthShowing = 50;
/** Most clips whose files are saved by one press: a browser asks about each. */
export const mostDownloads = (app: App): number => (app.host.desktop ? mostTogether : 20);
/** How many clips can be compared. */
export const comparable = (n: number): boolean => n >= 2 && n <= 4;

/** Does something to these, part by part; it can be stopped.
 * @returns those that it was done to: all, or those until it was stopped or failed, which is said */
async function overAll(app: App, ids: readonly ClipId[], size: number, work: (part: ClipId[]) => Promise<unknown>): Promise<ClipId[]> {
  const library = libraryOf(app),
    done: ClipId[] = [];
  let next = 0,
    stopped = false;
  const tell = () => {
    if (ids.length >= worthShowing) library.busy = { done: done.length, of: ids.length, stop: () => (stopped = true) };
  };
  const one = async () => {
    while (next < ids.length && !stopped) {
      const part = ids.slice(next, (next += size));
      await work(part);
      done.push(...part);
      tell();
    }
  };
  tell();
  try {
    await Promise.all(Array.from({ length: size === 1 ? together : 1 }, one));
  } catch (error) {
    stopped = true;
    if (done.length === 0) throw error;
    app.failed(error);
  } finally {
    library.busy = undefined;
  }
  return done;
}
/** Changes clips, so that Undo takes back what was really done, also where it was stopped on the way. */
function change(
  app: App,
  ids: readonly ClipId[],
  label: (n: number) => string,
  size: number,
  does: (part: ClipId[]) => Promise<unknown>,
  undoes: (part: ClipId[]) => Promise<unknown>,
): Promise<void> {
  // whoever presses Undo before all of it is done means all of it
  return app.undo.during(async () => {
    if (ids.length === 0) return;
    let done: ClipId[];
    try {
      done = await overAll(app, ids, size, does);
    } catch (error) {
      return app.failed(error, () => void change(app, ids, label, size, does, undoes));
    }
    if (done.length === 0) return;
    let first = true;
    await app.act(
      label(done.length),
      async () => {
        if (!first) await overAll(app, done, size, does);
        first = false;
      },
      () => overAll(app, done, size, undoes),
    );
  });
}

export function trashClips(app: App, ids: readonly ClipId[]): Promise<void> {
  const { clips } = app.api;
  return change(
    app,
    ids,
    n => t('library.trashed', { n }),
    atOnce,
    part => clips.trash({ ids: part }),
    part => clips.restore({ ids: part }),
  );
}
export function restoreClips(app: App, ids: readonly ClipId[]): Promise<void> {
  const { clips } = app.api;
  return change(
    app,
    ids,
    n => t('library.restored', { n }),
    atOnce,
    part => clips.restore({ ids: part }),
    part => clips.trash({ ids: part }),
  );
}
/** Asks first.
 * @param ids null: all that is in the trash */
export async function eraseClips(app: App, ids: readonly ClipId[] | null, n: number): Promise<void> {
  if (n === 0) return;
  const sure = await app.ask({
    title: ids === null ? t('library.emptyTrash') : t('library.erase'),
    text: t('library.eraseSure', { n }),
    confirm: t('library.erase'),
    danger: true,
  });
  if (!sure) return;
  try {
    const gone = await app.api.clips.erase({ ids: ids && [...ids] });
    app.toast({ text: t('library.erased', { n: gone.clips, bytes: bytes(gone.bytes) }) });
  } catch (error) {
    app.failed(error, () => void eraseClips(app, ids, n));
  }
}

export async function rateClips(app: App, ids: readonly ClipId[], stars: number): Promise<void> {
  const before = new Map<ClipId, number>();
  await change(
    app,
    ids,
    n => (stars === 0 ? t('library.unrated', { n }) : t('library.rated', { n, stars: t('library.stars', { n: stars }) })),
    1,
    async ([id]) => {
      const clip = await app.clips.find(id!);
      if (clip && !before.has(id!)) before.set(id!, clip.stars);
      await app.api.clips.edit({ id: id!, stars });
    },
    ([id]) => app.api.clips.edit({ id: id!, stars: before.get(id!) ?? 0 }),
  );
}
/** Adds a tag to these, or takes it from them. */
export async function tagClips(app: App, ids: readonly ClipId[], tag: string, way: 'add' | 'remove'): Promise<void> {
  const changed = new Set<ClipId>();
  const put = (id: ClipId) => app.api.clips.edit({ id, addTags: [tag] }),
    take = (id: ClipId) => app.api.clips.edit({ id, removeTags: [tag] });
  const [does, undoes] = way === 'add' ? [put, take] : [take, put];
  await change(
    app,
    ids,
    n => (way === 'add' ? t('library.tagged', { n, tag }) : t('library.untagged', { n, tag })),
    1,
    async ([id]) => {
      const clip = await app.clips.find(id!);
      if (!clip || clip.tags.includes(tag) === (way === 'add')) return;
      await does(id!);
      changed.add(id!);
    },
    async ([id]) => {
      if (changed.has(id!)) await undoes(id!);
    },
  );
}
/** Makes the same clip again, or all of it with another seed: what made it comes into Create. */
export async function reuseClip(app: App, id: ClipId, seed: 'keep' | 'new'): Promise<void> {
  const found = await app.act(undefined, () => app.api.requests.of({ id }));
  if (!found) return;
  const used = found.resolved && found.request.seed === null ? { ...found.request, seed: found.resolved.seed } : found.request;
  app.draft.load(used, seed);
  app.go('#/create');
}
/** What a clip's file is called when it leaves the library. */
export const fileNameOf = ({ id, name }: Pick<Clip, 'id' | 'name'>): string =>
  `${name.replaceAll(/[\p{Cc}"*/:<>?\\|]+/gu, ' ').trim().slice(0, 80) || id}.mp4`; // prettier-ignore
export async function downloadClips(app: App, ids: readonly ClipId[]): Promise<void> {
  const { desktop } = app.host;
  if (desktop && ids.length > 1) {
    const saved = await app.act(undefined, async () => {
      await app.clips.ensure(ids);
      const there = ids.slice(0, mostTogether).flatMap(id => app.clips.record(id) ?? []).filter(clip => !clip.missing); // prettier-ignore
      return there.length === 0 ? 0 : desktop.saveClips(there.map(clip => ({ id: clip.id, name: fileNameOf(clip) })));
    });
    if (saved) app.toast({ text: t('desktop.saved', { n: saved }) });
    return;
  }
  for (const id of ids.slice(0, mostDownloads(app))) {
    const clip = await app.act(undefined, () => app.clips.find(id));
    if (!clip || clip.missing) continue;
    app.host.save(app.host.media(id, 'video', clip.sha256), fileNameOf(clip));
    await new Promise(done => setTimeout(done, 300)); // a browser that is asked for all at once saves one
  }
}
export const compareClips = (app: App, ids: readonly ClipId[]): void => app.go(`#/library/compare?ids=${ids.join(',')}`);
