/** @file What can be done with a subject and its photos; all of it can be taken back. */
import type { Photo, Subject } from '../../electron/contract/records.ts';
import { t } from '../words/index.svelte.ts';
import type { App } from './app.svelte.ts';
import { bring, type Dropped } from './desktop.ts';
import { asStudioError } from './collections.svelte.ts';

/** Goes to Create with the subject in the prompt. */
export function makeClip(app: App, subject: Pick<Subject, 'id' | 'handle'>): void {
  app.draft.addSubject(subject);
  app.go('#/create');
}
export function removeSubject(app: App, { id, name }: Subject): Promise<unknown> {
  return app.act(
    t('subjects.removed', { name }),
    () => app.api.subjects.remove({ id }),
    () => app.api.subjects.restore({ id }),
  );
}
export function addSamples(app: App): Promise<unknown> {
  return app.act(t('subjects.samplesAdded'), () => app.api.subjects.addSamples(undefined));
}
export function removePhoto(app: App, photo: Photo): Promise<unknown> {
  return app.act(
    t('subjects.photoRemoved'),
    () => app.api.subjects.removePhoto({ id: photo.id }),
    () => app.api.subjects.restorePhoto({ id: photo.id }),
  );
}
export function setView(app: App, photo: Photo, view: Photo['view']): Promise<unknown> {
  if (view === photo.view) return Promise.resolve();
  return app.act(
    t(view === null ? 'subjects.viewCleared' : 'subjects.viewSet', { view: view === null ? '' : t(`subjects.view_${view}`) }),
    () => app.api.subjects.editPhoto({ id: photo.id, view }),
    () => app.api.subjects.editPhoto({ id: photo.id, view: photo.view }),
  );
}
export function setHero(app: App, subject: Subject, photo: Photo): Promise<unknown> {
  const before = subject.heroPhotoId;
  if (before === photo.id) return Promise.resolve();
  const edit = (heroPhotoId: Photo['id']) => app.api.subjects.edit({ id: subject.id, heroPhotoId });
  return app.act(
    t('subjects.heroSet'),
    () => edit(photo.id),
    () => (before === null ? Promise.resolve() : edit(before)),
  );
}
/** Another file in the place of a photo: its view and its being the hero go over, crop and mask do not. */
export function replacePhoto(app: App, subject: Subject, photo: Photo, file: Dropped['file']): Promise<Photo['id'] | undefined> {
  const { id } = subject;
  const hero = subject.heroPhotoId === photo.id;
  let fresh: Photo['id'] | undefined;
  const settle = async (take: Photo['id'], away: Photo['id']) => {
    await app.api.subjects.editPhoto({ id: take, view: photo.view });
    if (hero) await app.api.subjects.edit({ id, heroPhotoId: take });
    await app.api.subjects.removePhoto({ id: away });
  };
  return app.act(
    t('subjects.photoReplaced'),
    async () => {
      if (fresh !== undefined) {
        await app.api.subjects.restorePhoto({ id: fresh });
        await settle(fresh, photo.id);
        return fresh;
      }
      const { path } = await bring(app, file);
      const { added, duplicates, refused } = await app.api.subjects.addPhotos({ id, photos: [{ path }] });
      const [refusal] = refused;
      if (refusal) throw asStudioError(new Error(refusal.text));
      const [taken = duplicates[0]?.photoId] = added;
      if (taken === undefined || taken === photo.id) throw asStudioError(new Error(t('subjects.duplicate')));
      fresh = taken;
      await settle(taken, photo.id);
      return taken;
    },
    async () => {
      await app.api.subjects.restorePhoto({ id: photo.id });
      if (fresh !== undefined) await settle(photo.id, fresh);
    },
  );
}
type Words = Pick<Subject, 'name' | 'handle' | 'description' | 'notes' | 'kind'>;
/** Changes what is said about a subject, as it is left; nothing happens where it is as it was.
 * @returns the sentence that refuses it; undefined where it is saved */
export async function editWords<K extends keyof Words>(app: App, subject: Subject, field: K, value: Words[K]): Promise<string | undefined> {
  const before = subject[field];
  if (before === value) return undefined;
  const edit = (to: Words[K]) => app.api.subjects.edit({ id: subject.id, [field]: to });
  return edited(app, field, () => edit(value), () => edit(before)); // prettier-ignore
}
/** Puts tags on a subject and takes others off: of those that it has by then, since the next one is typed before the last one is there.
 * @returns the sentence that refuses it; undefined where it is saved */
export function tagSubject(app: App, { id }: Subject, { add = [], remove = [] }: { add?: string[]; remove?: string[] }): Promise<string | undefined> {
  const edit = (addTags: string[], removeTags: string[]) => app.api.subjects.edit({ id, addTags, removeTags });
  return edited(app, 'tags', () => edit(add, remove), () => edit(remove, add));
} // prettier-ignore
function edited(app: App, field: keyof Words | 'tags', edit: () => Promise<unknown>, back: () => Promise<unknown>): Promise<string | undefined> {
  return app.undo.during(async () => {
    try {
      await edit();
    } catch (error) {
      const { code, message } = asStudioError(error);
      if (code === 'badInput' || code === 'conflict') return message;
      app.failed(error, () => void edited(app, field, edit, back));
      return undefined;
    }
    const label = t('subjects.changed', { field: t(`subjects.${field}`) });
    const step = { label, undo: back, redo: edit };
    app.undo.push(step);
    app.toast({ text: label, buttons: [{ label: t('frame.undo'), run: () => void app.takeBack(step) }] });
    return undefined;
  });
} // prettier-ignore
export const shownPhotos = ({ photos }: Subject): readonly Photo[] => photos.filter(p => !p.removed);
/** The photo that stands for it, cropped as it is. */
export const heroOf = (subject: Subject): Photo | undefined => subject.photos.find(p => p.id === subject.heroPhotoId);
